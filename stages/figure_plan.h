/* What the files of the stage `figure` share. Private to them and their test. */
#ifndef EP_STAGES_FIGURE_PLAN_H
#define EP_STAGES_FIGURE_PLAN_H
#include "pipeline/draw/chart.h"
#include "stages/space.h"

enum ep_panel_kind { EP_PANEL_MAPS, EP_PANEL_SPECTRA, EP_PANEL_PROFILES, EP_PANEL_VALUES };
enum ep_panel_share { EP_SHARE_RESULT, EP_SHARE_ALL, EP_SHARE_ROW };

struct ep_panel_par {
    int kind, share;
    struct ep_texts show, where, labels, colours, fronts;
    const char *along, *boundary, *shift, *title, *label, *column;
    double span, height, scale_bar, stack, energy[2], distance[2], normalize[2];
    struct ep_windows range, windows;
    bool bands;
};
struct ep_figure_par {
    struct ep_records panels;      /* struct ep_panel_par */
    double width, font_size, dpi;
    const char *font;
    struct ep_texts formats, names;
    int letters;
};

/* ---- runs (figure_runs.c) ---- */

#define EP_FIGURE_COORDS 8
/* The values of one coordinate that a panel shows, in order. */
struct ep_values { const char *name, *unit; bool number; size_t n; const struct ep_coord **v; };
/* Which runs a panel shows: the coordinate `along` (no values: there is none) and all combinations of the others. */
struct ep_runs_shown {
    struct ep_values along;
    size_t nother; struct ep_values other[EP_FIGURE_COORDS];
    size_t nrows;                  /* combinations of the others; 1 when there are none */
};
/* False, and a message in why, when `along` or `where` name what is not there. Arrays are from a. */
bool ep_figure_runs(const struct ep_items *in, const struct ep_panel_par *p, struct ep_arena *a, struct ep_runs_shown *out, const char **why);
/* Whether the item is of a run that is shown. */
bool ep_figure_shows(const struct ep_runs_shown *r, const struct ep_item *it);
/* Whether any run has what "coordinate=value" asks for. */
bool ep_figure_has_run(const struct ep_items *in, const char *where);
/* The value of other coordinate k in combination `row`. */
const struct ep_coord *ep_figure_other(const struct ep_runs_shown *r, size_t row, size_t k);
/* The item of a result for a run; NULL when there is none, or it is missing. along may be NULL. */
const struct ep_item *ep_figure_item(const struct ep_items *in, const char *label, const struct ep_runs_shown *r, size_t row,
                                     const struct ep_coord *along);

/* ---- a panel while it is drawn ---- */

struct ep_panel {
    const struct ep_figure_par *fig;
    const struct ep_panel_par *par;
    const struct ep_items *in;
    struct ep_runs_shown runs;
    struct ep_page *page;
    struct ep_style style;
    char letter[8];                /* "a"; also the beginning of the names of shapes */
    struct ep_box box;
    double head;                   /* room on top of it for letter, title, key of overlays: that of the highest of its row */
    struct ep_str *csv;            /* its source data */
};
/* Names of things for people: a value with its unit, or what `names` calls it; the label of result k; from the page's arena. */
const char *ep_figure_value(const struct ep_panel *p, const struct ep_coord *c);
const char *ep_figure_result(const struct ep_panel *p, size_t k);
/* "ncm003, Ti K": what tells a row (or series) from the others; "" when there is one. show SIZE_MAX: of the coordinates alone. */
const char *ep_figure_row(const struct ep_panel *p, size_t show, size_t row);
/* "<letter>/<what>": a name for a shape. */
const char *ep_figure_name(const struct ep_panel *p, const char *what);
/* Letter, title and the room that a key of overlays takes on the right: of maps with overlays, in the first line unless the title needs it. */
struct ep_heading { size_t n; const char *line[4]; double indent, key, key_down, height; };
struct ep_heading ep_figure_heading(struct ep_panel *p, double width);
void ep_figure_draw_heading(struct ep_panel *p);

/* The header of the CSV: result, the coordinates, then `columns`; and the beginning of each of its lines. */
void ep_figure_csv_head(struct ep_panel *p, const char *columns);
void ep_figure_csv_run(struct ep_panel *p, size_t show, size_t row, const struct ep_coord *along);
/* The rest of a line: n numbers. */
void ep_figure_csv_numbers(struct ep_panel *p, size_t n, const double *v);

/* Swatch and word of each line over maps; x is its right end. Draws nothing, and says how wide it is, with `draw` false. */
double ep_figure_overlay_key(struct ep_panel *p, double x, double y, bool draw);

/* maps (figure_maps.c), charts (figure_charts.c): their natural height at a width, and the drawing. */
double ep_figure_maps_height(struct ep_panel *p, double width);
void ep_figure_maps(struct ep_panel *p);
double ep_figure_chart_height(struct ep_panel *p, double width);
void ep_figure_chart(struct ep_panel *p);

/* The whole figure as a page (the caller's, also after a failure), and the data of each panel in csv[panels]. */
ep_status ep_figure_draw(const struct ep_figure_par *par, const struct ep_prepare *p, struct ep_page **out, struct ep_str *csv, struct ep_err *e);
/* What was done to all that is shown, as text (figure_methods.c). */
void ep_figure_methods(const struct ep_figure_par *par, const struct ep_prepare *p, struct ep_str *out);
/* "a", "b", ... "z", "aa" */
void ep_figure_letter(size_t i, char out[8]);
#endif
