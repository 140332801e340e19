/* Axes, scales, bars: what panels are put together from. Boxes and positions in points on the page. */
#ifndef EP_DRAW_CHART_H
#define EP_DRAW_CHART_H
#include "pipeline/draw/colour.h"

/* ---- numbers ---- */

/* Round numbers within [lo, hi] (either order), at most `most` of them if that leaves two; steps of 1, 2 or 5 times a power of ten. */
struct ep_ticks { size_t n; double v[16], step; };
struct ep_ticks ep_ticks(double lo, double hi, size_t most);
/* The largest of 1, 2, 5 times a power of ten that is at most x > 0. */
double ep_round_down(double x);
/* A number with as many places as steps of `step` need, with a real minus sign. */
void ep_tick_text(double v, double step, char *out, size_t size);
/* A power of ten (a multiple of 3) to take out of large or small numbers; 0 for most. */
int ep_tick_power(double lo, double hi);
/* "counts", 3 -> "10³ counts"; "degC" -> "°C". */
void ep_unit_text(const char *unit, int power, char *out, size_t size);
/* "Distance (nm)"; without brackets where there is no unit. */
void ep_label_text(const char *what, const char *unit, int power, char *out, size_t size);

/* ---- charts ---- */

struct ep_style { double font, thin, line; };   /* points: text, frames, curves */

/* One axis of a chart: where its values are on the page. */
struct ep_span { double lo, hi, from, to; };    /* value lo is at `from` */
double ep_at(const struct ep_span *s, double v);
struct ep_chart {
    struct ep_page *page;
    struct ep_style style;
    const char *name;                           /* of the panel: in front of the names of shapes */
    struct ep_box box;                          /* of the frame */
    struct ep_span x, y;
    int power_x, power_y;                       /* taken out of the numbers */
    bool no_y_numbers;
    double dash[2];                             /* of the next lines; as in shapes */
};
/* Room that numbers and label need on the left and below; the height of the box is set. */
double ep_chart_left(const struct ep_chart *c, double lo, double hi, const char *label);
double ep_chart_below(const struct ep_style *s);
/* Frame, ticks, numbers, labels; the box is set, and x, y.lo and hi. */
void ep_chart_axes(struct ep_chart *c, const char *x_label, const char *y_label);
/* A name for a shape of this chart, "<panel>/<what>", valid until the page is freed. */
const char *ep_chart_name(const struct ep_chart *c, const char *what);
/* Points in values; NaN breaks the line. Clipped to the frame. */
void ep_chart_line(struct ep_chart *c, const char *what, size_t n, const double *x, const double *y, struct ep_colour colour, double width);
/* y - s to y + s; NaN breaks it. */
void ep_chart_band(struct ep_chart *c, const char *what, size_t n, const double *x, const double *y, const double *s, struct ep_colour colour);
/* The mark of a series at a place of the page; a point with its error bar. */
void ep_chart_symbol(struct ep_chart *c, const char *what, struct ep_point at, size_t mark, struct ep_colour colour);
void ep_chart_point(struct ep_chart *c, const char *what, double x, double y, double sigma, size_t mark, struct ep_colour colour);
/* A vertical line through the chart, and the window between two energies. */
void ep_chart_mark(struct ep_chart *c, const char *what, double x, struct ep_colour colour);
void ep_chart_window(struct ep_chart *c, const char *what, double lo, double hi, struct ep_colour colour);

/* ---- maps ---- */

/* Row i, column j of a map is centred at y0 + i*hy, x0 + j*hx (nm; hx and hy may be negative). */
struct ep_map {
    size_t ny, nx;
    double y0, x0, hy, hx;
    const char *unit;                           /* "nm", or "px" */
    double *v;                                  /* [ny][nx]; NaN: no value */
};
struct ep_scale { double lo, hi; int colours; }; /* of values */
#define EP_NO_VALUE ((struct ep_colour){0.72, 0.72, 0.72, 1})
/* Where a position (nm) of the map is within the box that its pixels fill. */
struct ep_point ep_map_at(const struct ep_map *m, struct ep_box box, double y, double x);
void ep_draw_map(struct ep_page *p, const char *name, const struct ep_map *m, const struct ep_scale *s, struct ep_box box);
/* A bar of a round length, at most a third of the width, on the lower left of the map; length 0: chosen here. Returns the length drawn. */
double ep_draw_scale_bar(struct ep_page *p, const char *name, const struct ep_style *style, const struct ep_map *m, struct ep_box box, double length);
/* A vertical bar of colours with numbers on its right and the label (NULL: none) reading upwards on a baseline at label_x; `below`,
 * `above`: there are values beyond the ends. */
void ep_draw_colour_bar(struct ep_page *p, const char *name, const struct ep_style *style, const struct ep_scale *s, struct ep_box box,
                        const char *label, const char *unit, double label_x, bool below, bool above);
#define EP_LEAST_TEXT 0.75     /* how far a text may shrink to find room */
/* How far numbers and label reach to the right of the bar. */
double ep_colour_bar_room(struct ep_page *p, const struct ep_style *style, const struct ep_scale *s);
#endif
