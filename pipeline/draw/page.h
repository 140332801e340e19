/* A page: shapes at places in points (1/72 inch), origin at the top left, y downwards, in the order in which they are painted.
 *
 * The list is what is drawn, to PDF, SVG and PNG alike, and what tests read coordinates from: every shape has a name,
 * "<panel>/<what>". Same page, same bytes: no dates, hosts or numbers of memory in the files. Text stays text in PDF (fonts embedded) and SVG.
 * One thread at a time.
 */
#ifndef EP_DRAW_PAGE_H
#define EP_DRAW_PAGE_H
#include <stdbool.h>
#include <stddef.h>
#include "pipeline/base/err.h"
#include "pipeline/base/mem.h"

#define EP_PT_PER_MM (72 / 25.4)

struct ep_point { double x, y; };
struct ep_box { double x, y, w, h; };
struct ep_colour { double r, g, b, a; };
#define EP_BLACK ((struct ep_colour){0, 0, 0, 1})
#define EP_WHITE ((struct ep_colour){1, 1, 1, 1})

enum ep_shape_kind { EP_SHAPE_LINE, EP_SHAPE_AREA, EP_SHAPE_TEXT, EP_SHAPE_PICTURE };
enum ep_anchor { EP_START, EP_MIDDLE, EP_END };
struct ep_shape {
    enum ep_shape_kind kind;
    const char *name;
    struct ep_colour colour;
    struct ep_box clip;               /* w == 0: none */
    size_t n; struct ep_point *p;     /* line; area (closed) */
    double width, dash[2];            /* line; dash {0, d}: round dots d apart; {0, 0}: solid */
    const char *text;                 /* UTF-8, one line; p[0] is on its baseline */
    double size; enum ep_anchor anchor; bool bold, upright;   /* upright: reads from below to above */
    struct ep_box box;                /* picture */
    size_t ny, nx; const unsigned char *rgb;   /* [ny][nx][3] */
};
struct ep_page {
    struct ep_arena arena;
    double w, h;                      /* points */
    const char *font;                 /* families, the first that is installed counts: "Liberation Sans, Arial" */
    const char *title, *subject;      /* for the metadata of the files; may be NULL */
    size_t n, cap; struct ep_shape *shape;
    struct ep_texts_drawn *texts;     /* fonts found, once the first text was measured */
};
struct ep_page *ep_page_new(double w, double h, const char *font);
void ep_page_free(struct ep_page *p);

/* Each returns the new shape, valid until the next; name, points and texts are copied. */
struct ep_shape *ep_page_line(struct ep_page *p, const char *name, size_t n, const struct ep_point *pts, double width, struct ep_colour c);
struct ep_shape *ep_page_area(struct ep_page *p, const char *name, size_t n, const struct ep_point *pts, struct ep_colour c);
struct ep_shape *ep_page_rect(struct ep_page *p, const char *name, struct ep_box box, struct ep_colour c);
struct ep_shape *ep_page_text(struct ep_page *p, const char *name, double x, double y, const char *text, double size, enum ep_anchor a);
struct ep_shape *ep_page_picture(struct ep_page *p, const char *name, struct ep_box box, size_t ny, size_t nx, const unsigned char *rgb);
/* The first shape of this name, NULL if there is none. */
const struct ep_shape *ep_page_find(const struct ep_page *p, const char *name);

/* The libraries that draw are there (loaded now if they were not). EP_E_COMPUTE names the package that is missing. */
ep_status ep_draw_ready(struct ep_err *e);
/* How wide a text is, in points. The libraries must be ready. */
double ep_text_width(struct ep_page *p, const char *text, double size, bool bold);
/* The text, or as much of its beginning and end as is not wider, with an ellipsis between; from the page's arena. */
const char *ep_text_fit(struct ep_page *p, const char *text, double size, bool bold, double width);
/* Its lines, broken at spaces, at most `most`, of which none is wider: what is left of the last one is cut in its middle. */
size_t ep_text_wrap(struct ep_page *p, const char *text, double size, bool bold, double width, size_t most, const char **line);
/* The part of the page that a text covers: from ascender to descender. */
struct ep_box ep_text_box(struct ep_page *p, const struct ep_shape *text);

/* The file, in out. */
ep_status ep_page_pdf(const struct ep_page *p, struct ep_str *out, struct ep_err *e);
ep_status ep_page_png(const struct ep_page *p, double dpi, struct ep_str *out, struct ep_err *e);
ep_status ep_page_svg(const struct ep_page *p, struct ep_str *out, struct ep_err *e);
#endif
