/* The recipe: a YAML file, read and checked against the stages' tables, every mistake with its place (diag).
 * docs: the recipe language of the design, section 3. Nothing here opens a spectrum image.
 * All memory is the arena's.
 */
#ifndef EP_RECIPE_RECIPE_H
#define EP_RECIPE_RECIPE_H
#include "pipeline/base/value.h"
#include "pipeline/param.h"
#include "pipeline/stage.h"

/* Options of an input, as parsed from its mapping (a plain path is {path: ...}). The table is ep_input_params. */
struct ep_exclude { struct ep_numbers rows, columns; struct ep_records rectangles; /* of struct ep_exclude_rect */ };
struct ep_exclude_rect { struct ep_numbers rows, columns; };  /* [first, last] each, both included */
struct ep_input_par {
    const char *path, *signal, *pair, *frame;
    double counts_per_electron, read_noise, energy_offset, beam_energy, collection_angle, convergence_angle;
    const void *exclude;          /* struct ep_exclude * or NULL */
};
extern const struct ep_param ep_input_params[];

struct ep_input_def { const char *name; struct ep_pos pos; const char *path; /* template, as written */ int pair; /* index or -1 */ };
struct ep_coord_def { const char *name; struct ep_pos pos; const char *unit; bool number; }; /* placeholders in order of appearance; number: has a unit */

enum ep_ref_kind { EP_REF_INPUT, EP_REF_STEP };
struct ep_ref { enum ep_ref_kind kind; size_t index; const char *output; /* NULL: primary */ const char *text; struct ep_pos pos; };
struct ep_refs { size_t n; struct ep_ref *v; };
struct ep_at { size_t coord; size_t n; const char **choice; /* "min", "max" or a value, in order of preference */ struct ep_pos pos; };

struct ep_step {
    const char *name; struct ep_pos pos;
    const struct ep_stage *stage;
    const struct ep_value *val;           /* the mapping */
    struct ep_refs *port;                 /* [stage->nports]; a port not given is empty */
    size_t nat; struct ep_at *at;
    size_t nrelative; struct ep_at *relative;   /* relative_to: the run that a stage with a relative port compares with */
    size_t nover; size_t *over;           /* coordinates collected */
    int repeat;                           /* coordinate or -1 */
    bool keep; size_t nkeep; const char **keep_names;   /* keep: true, or a list of image outputs */
};
struct ep_override { struct ep_pos pos; size_t nwhen; struct ep_when { size_t coord; const char *text; double num; struct ep_pos pos; } *when;
                     size_t nset; struct ep_set { const char *path; struct ep_value *val; struct ep_pos pos; } *set; const char *because; };

struct ep_recipe {
    const char *path, *folder;            /* inputs and output are relative to folder */
    const char *text; size_t text_len;    /* exact bytes */
    const struct ep_value *root;          /* after --set */
    size_t nelements; const char **elements;   /* NULL-terminated */
    size_t ninputs; struct ep_input_def *inputs;
    size_t ncoords; struct ep_coord_def *coords;
    const char *output; struct ep_pos output_pos;   /* template */
    const char *runs_csv; struct ep_pos runs_pos;   /* NULL: by file names */
    size_t noverrides; struct ep_override *overrides;
    size_t nsteps; struct ep_step *steps; /* in the order of the file */
    size_t *order;                        /* steps so that each comes after those it uses */
};
/* NULL when there was any error. sets: "steps.o.window=505,524" from the command line. */
struct ep_recipe *ep_recipe_read(struct ep_arena *a, const char *path, size_t nsets, const char *const *sets, struct ep_diag *d);
/* The same for a recipe in memory; path is what messages name, folder what inputs and output are relative to. */
struct ep_recipe *ep_recipe_from_text(struct ep_arena *a, const char *text, size_t n, const char *path, const char *folder, size_t nsets,
                                      const char *const *sets, struct ep_diag *d);
/* Keys of a step that are not parameters: stage, input, at, over, repeat, keep, relative_to. NULL-terminated. */
extern const char *const ep_step_keys[];
/* skip list for ep_params_parse: step keys and the stage's port names. */
const char *const *ep_step_skip(struct ep_arena *a, const struct ep_stage *s);

/* A run: one binding of all coordinates. */
struct ep_coord_val { const char *text; double num; };    /* text is canonical: %g-like for numbers */
struct ep_run {
    struct ep_coord_val *coord;           /* [ncoords] */
    const char **input;                   /* [ninputs]: path to open (joined with the recipe's folder), or NULL: this run lacks it */
    const char **input_text;              /* [ninputs]: path as the recipe would write it, also where no file is; NULL: none is named */
    bool skip; const char *note;
    size_t nset; const struct ep_set *set;/* overrides that apply to this run: recipe's and runs.csv's, in order; later wins */
    size_t nbecause; const char **because;
    char *label;                          /* "sample=ncm003, temperature=700" ("" for a recipe without coordinates) */
};
struct ep_runs { size_t n; struct ep_run *v; bool no_files; /* no input is there for any run */ };
/* Finds the files (or reads runs.csv) and binds. Errors: no file for any input (names the pattern and the folder looked
 * in), a coordinate bound twice, text where a number is due, adjacent placeholders. False on any error. Runs are sorted by coordinates. */
bool ep_runs_bind(const struct ep_recipe *r, struct ep_arena *a, struct ep_runs *out, struct ep_diag *d);
/* The step's mapping with the run's overrides applied; likewise an input's. */
const struct ep_value *ep_run_step(const struct ep_recipe *r, const struct ep_run *run, size_t step, struct ep_arena *a);
const struct ep_value *ep_run_input(const struct ep_recipe *r, const struct ep_run *run, size_t input, struct ep_arena *a);
/* "temperature>=400", "sample=ncm003", several joined by commas (all must hold). Operators = == != < <= > >=. */
struct ep_filter;
struct ep_filter *ep_filter_parse(const struct ep_recipe *r, const char *text, struct ep_arena *a, struct ep_diag *d);
bool ep_filter_match(const struct ep_filter *f, const struct ep_run *run);   /* NULL filter matches all */
/* The run that `at` means among `runs` sharing the other coordinates with `like`; choice by choice; -1 if none. `choice_used` tells which. */
long ep_relative_resolve(const struct ep_recipe *r, const struct ep_runs *runs, const struct ep_step *s, const struct ep_run *like, size_t choice);
long ep_at_resolve(const struct ep_recipe *r, const struct ep_runs *runs, const struct ep_step *s, const struct ep_run *like, size_t choice);
/* Folder of a step's results for a run: the output template filled in (joined with the recipe's folder); components that name a
 * collected coordinate are left out. "/" in a coordinate's text becomes "_". */
char *ep_output_folder(const struct ep_recipe *r, const struct ep_step *s, const struct ep_run *run, struct ep_arena *a);
/* The same for what depends on the coordinates `has` (bits) alone: components that name another are left out. */
char *ep_output_folder_of(const struct ep_recipe *r, unsigned long long has, const struct ep_run *run, struct ep_arena *a);
/* The coordinates, as bits, that a path's placeholders name. */
unsigned long long ep_path_coords(const struct ep_recipe *r, const char *path, struct ep_arena *a);
#endif
