/* What the files of this folder share with each other. Nobody else includes it. */
#ifndef EP_RECIPE_PARTS_H
#define EP_RECIPE_PARTS_H
#include "pipeline/recipe/recipe.h"

/* ---- hints (hint.c) ---- */

/* What goes behind "unknown key 'windw'": ": did you mean 'window'? Allowed: window, method", or without a near
 * word ". Allowed: window, method". label NULL: no list. At most 24 words are listed. */
const char *ep_hint(struct ep_arena *a, const char *word, const char *const *candidates, const char *label);
/* The same with a word that is already chosen, or NULL. */
const char *ep_hint_word(struct ep_arena *a, const char *suggestion, const char *const *candidates,
                         const char *label);
/* "[524, 505]", "\"5 nm\"": a value for a message, cut when long. */
const char *ep_show(struct ep_arena *a, const struct ep_value *v);
/* A number as short as it goes: the canonical text of a coordinate. */
const char *ep_show_number(struct ep_arena *a, double x);
/* [A-Za-z][A-Za-z0-9_]*, what steps, inputs and coordinates may be called. */
bool ep_name_ok(const char *s, size_t n);
/* The place of a key of a map (of the map when it is not there). */
struct ep_pos ep_key_pos(const struct ep_value *map, const char *key);
/* Every key of a mapping that is not in `allowed` is an error: "unknown key 'x' in WHAT: did you mean ..." */
void ep_unknown_keys(struct ep_arena *a, const struct ep_value *map, const char *const *allowed, const char *what,
                     struct ep_diag *d);

/* ---- path templates (template.c) ---- */

struct ep_piece { const char *text; bool hole; };          /* literal text, or the name of a placeholder */
struct ep_component { size_t n; struct ep_piece *v; bool holes; };
struct ep_template { bool absolute; size_t n; struct ep_component *v; };
/* "data/{sample}/{temperature}C.hspy" in parts. `what` names its owner in messages. False after an error. */
bool ep_template_parse(struct ep_arena *a, const char *text, struct ep_pos pos, const char *what,
                       struct ep_template *out, struct ep_diag *d);
bool ep_component_names(const struct ep_component *c, const char *name);
bool ep_template_names(const struct ep_template *t, const char *name);
/* The template with the coordinates of a run put in. */
char *ep_template_fill(const struct ep_recipe *r, const struct ep_template *t, const struct ep_coord_val *coord,
                       struct ep_arena *a);
/* folder/path, or path when it is absolute or folder is ".". */
char *ep_path_join(struct ep_arena *a, const char *folder, const char *path);

/* ---- coordinates (coords.c) ---- */

long ep_coord_find(const struct ep_recipe *r, const char *name);  /* -1 if there is none */
/* Finds it or reports, with a suggestion, at pos. */
long ep_coord_need(const struct ep_recipe *r, struct ep_arena *a, const char *name, struct ep_pos pos,
                   const char *what, struct ep_diag *d);
/* A value of a coordinate: a number in its unit, or a text. Canonical text in out. */
bool ep_coord_value(const struct ep_recipe *r, size_t coord, const struct ep_value *v, struct ep_arena *a,
                    struct ep_coord_val *out, const char *what, struct ep_diag *d);
bool ep_coord_text(const struct ep_recipe *r, size_t coord, const char *text, struct ep_arena *a,
                   struct ep_coord_val *out, struct ep_err *e);
int ep_coord_compare(const struct ep_recipe *r, size_t coord, const struct ep_coord_val *x,
                     const struct ep_coord_val *y);
/* "sample=ncm003, temperature=700"; values without text are left out. */
char *ep_coords_label(const struct ep_recipe *r, const struct ep_coord_val *v, struct ep_arena *a);
const char *const *ep_coord_names(const struct ep_recipe *r, struct ep_arena *a);

/* ---- the parts of a recipe ---- */

struct ep_reader { struct ep_recipe *r; struct ep_arena *a; struct ep_diag *d; };

/* Applies "steps.o.window=505,524" to the root (recipe_set.c). */
void ep_read_sets(struct ep_reader *b, size_t nsets, const char *const *sets);
/* inputs, coordinates, output (recipe_inputs.c). */
void ep_read_inputs(struct ep_reader *b);
void ep_read_coordinates(struct ep_reader *b);
void ep_read_output(struct ep_reader *b);
/* The options of one input, parsed and checked. */
bool ep_input_check(struct ep_reader *b, const struct ep_value *map, const char *what, struct ep_input_par *par);
/* recipe_steps.c, recipe_refs.c */
void ep_read_steps(struct ep_reader *b);
void ep_read_ports(struct ep_reader *b, size_t step);
void ep_order_steps(struct ep_reader *b);
const char *ep_step_what(const struct ep_step *s, struct ep_arena *a);   /* "step o_net (background)" */
/* recipe_set.c */
void ep_read_overrides(struct ep_reader *b);
/* One dotted name of `overrides` or of a column: whether it names a parameter of a step or an option of an input. */
bool ep_set_target(const struct ep_recipe *r, struct ep_arena *a, const char *path, struct ep_pos pos,
                   struct ep_diag *d);
/* The value is right where it would stand. Values that apply to a run are checked alone: parameters do not depend on each other. */
bool ep_set_check(const struct ep_recipe *r, struct ep_arena *a, const struct ep_set *set, struct ep_diag *d);

/* Whether an override is meant for a run with these coordinates. */
bool ep_override_applies(const struct ep_recipe *r, const struct ep_override *o, const struct ep_coord_val *coord);

/* ---- finding files (glob.c) ---- */

/* path as the recipe would write it; v [ncoords], text NULL: the path does not name it */
struct ep_found { const char *path; struct ep_coord_val *v; };
struct ep_founds { size_t n; struct ep_found *v; };
/* All files that fit an input's template, sorted by coordinates. Reports two files at one place and names that
 * can be read in two ways. */
bool ep_glob(const struct ep_recipe *r, size_t input, struct ep_arena *a, struct ep_founds *out, struct ep_diag *d);
/* Why nothing fits, for a message: where it was looked, and what nearly fits. */
const char *ep_glob_why(const struct ep_recipe *r, size_t input, struct ep_arena *a);
bool ep_is_file(const char *path);

/* No two results at one path, none over an input (places.c). */
bool ep_check_places(const struct ep_recipe *r, const struct ep_runs *runs, struct ep_diag *d);

/* ---- runs.csv (csv.c) ---- */

struct ep_csv_cell { const char *text; int line, col; };
struct ep_csv { const char *file; size_t ncols, nrows; struct ep_csv_cell *head; struct ep_csv_cell **row; };
bool ep_csv_read(struct ep_arena *a, const char *file, struct ep_pos pos, struct ep_csv *out, struct ep_diag *d);
enum ep_csv_role { EP_COL_INPUT, EP_COL_COORD, EP_COL_SKIP, EP_COL_NOTE, EP_COL_SET };
struct ep_csv_column { enum ep_csv_role role; size_t index; };
/* What each column is. Needs inputs and coordinates; the steps only for the suggestion. */
bool ep_csv_columns(const struct ep_recipe *r, struct ep_arena *a, const struct ep_csv *csv,
                    struct ep_csv_column **out, struct ep_diag *d);
/* The whole of a file, or a message at pos. */
bool ep_read_file(struct ep_arena *a, const char *path, struct ep_pos pos, const char *what, char **text, size_t *n,
                  struct ep_diag *d);
#endif
