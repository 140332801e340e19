/* What the parts of the page share. Private to pipeline/report/. */
#ifndef EP_REPORT_PARTS_H
#define EP_REPORT_PARTS_H
#include "pipeline/report/html.h"
#include "pipeline/report/report.h"

enum { EP_OPEN_FILES = 64 };
struct ep_rep {
    const struct ep_graph *g;
    const struct ep_report_opts *o;
    struct ep_arena arena;
    struct ep_report_tally tally;
    struct { const struct ep_node *node; struct ep_file *file; } open[EP_OPEN_FILES];
    size_t next_open;
    struct ep_made { bool opened, bad; const char *fingerprint, *version; } *made;   /* [nnodes], from results that were opened */
};

/* ---- which results ---- */

/* A node of a step of the recipe that was asked for. */
bool ep_rep_asked(const struct ep_node *n);
/* "up to date", "out of date", "not computed", "can't be computed", "unreadable". */
const char *ep_rep_state(struct ep_rep *r, const struct ep_node *n);
/* The result's file, kept open for a while; NULL: none that can be shown. */
struct ep_file *ep_rep_file(struct ep_rep *r, const struct ep_node *n);
/* What the result says of itself; NULL: none that can be shown. */
const struct ep_made *ep_rep_made(struct ep_rep *r, const struct ep_node *n);
/* An output of a result, as its file has it; NULL: not there, or a spectrum image. */
struct ep_signal *ep_rep_load(struct ep_rep *r, const struct ep_node *n, const char *name);
void ep_rep_close(struct ep_rep *r);

/* The nodes of a step that differ in one coordinate alone, in its order. */
struct ep_group { char *label; size_t n; const struct ep_node **node; };
struct ep_groups { size_t n; struct ep_group *v; int along; /* the coordinate, or -1 */ };
struct ep_groups ep_rep_groups(struct ep_rep *r, size_t step);
/* "400 °C" within its group; "sample ncm003, 400 °C" of a node by itself. */
const char *ep_rep_value(struct ep_rep *r, const struct ep_node *n, int along);
const char *ep_rep_where(struct ep_rep *r, const struct ep_node *n);
double ep_rep_number(const struct ep_node *n, int along);   /* NaN: it is no number */
/* A path as seen from the recipe's folder. */
const char *ep_rep_path(const struct ep_rep *r, const char *path);
const char *ep_rep_unit(struct ep_rep *r, const char *unit);

/* ---- charts ---- */

struct ep_plot_line { const char *label; size_t n; const double *x, *y, *s; bool points; };
struct ep_plot { const char *title, *x, *y; size_t n; const struct ep_plot_line *line; bool table; /* its first column follows x */ };
void ep_rep_plot(struct ep_str *o, const struct ep_plot *p);

/* ---- parts ---- */

/* The results of one output of a step over all its runs, as HTML. */
void ep_rep_maps(struct ep_rep *r, size_t step, const char *output, bool values, struct ep_str *o);   /* else small pictures alone */
/* Boundaries and fronts of the recipe over a map, as SVG on its picture; what they are goes to names. */
void ep_rep_overlays(struct ep_rep *r, const struct ep_node *n, const struct ep_signal *map, struct ep_str *o, struct ep_str *names);
void ep_rep_lines(struct ep_rep *r, size_t step, const char *output, struct ep_str *o);
void ep_rep_table(struct ep_rep *r, size_t step, const char *output, struct ep_str *o);
void ep_rep_values(struct ep_rep *r, size_t step, struct ep_str *o);   /* all its single values */
void ep_rep_figures(struct ep_rep *r, struct ep_str *o);
void ep_rep_flags(struct ep_rep *r, struct ep_str *o);
void ep_rep_states(struct ep_rep *r, struct ep_str *o);
void ep_rep_runs(struct ep_rep *r, struct ep_str *o);
void ep_rep_recipe(struct ep_rep *r, struct ep_str *o);
void ep_rep_origin(struct ep_rep *r, struct ep_str *o);
/* A table that scrolls by itself where it is too wide. */
void ep_rep_table_begin(struct ep_str *o, const char *caption);
void ep_rep_columns(struct ep_str *o, const char *names);   /* its head: "step|run|why"; then begins its body */
void ep_rep_table_end(struct ep_str *o);

extern const char ep_rep_script[], ep_rep_style[];
extern const uint32_t ep_rep_script_size, ep_rep_style_size;
#endif
