/* Parameter tables: the one place that says what a parameter is called, what type, unit, default and range it has
 * and what it means. Validation, help, JSON Schema, docs and the canonical form in fingerprints all derive from it.
 * The same tables describe the options of a recipe's inputs.
 */
#ifndef EP_PARAM_H
#define EP_PARAM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "pipeline/base/value.h"

/*                      in the struct                  in a recipe                 unset (no default, not given)   */
enum ep_ptype {
    EP_P_NUMBER,     /* double                         4.5, "4.4 keV"              NAN            */
    EP_P_INT,        /* int64_t                        3                           INT64_MIN      */
    EP_P_BOOL,       /* bool                           true                        false          */
    EP_P_WORD,       /* int, index into words          ml                          -1             */
    EP_P_TEXT,       /* const char *                   any text                    NULL           */
    EP_P_WINDOW,     /* double[2], lo < hi             [480, 525]                  {NAN, NAN}     */
    EP_P_WINDOWS,    /* struct ep_windows              [a, b] or [[a, b], [c, d]]  n = 0          */
    EP_P_NUMBERS,    /* struct ep_numbers              [20, 80]                    n = 0          */
    EP_P_TEXTS,      /* struct ep_texts                [Cu, Ga]                    n = 0          */
    EP_P_RECORD,     /* const void * (a struct)        {fwhm: 3}                   NULL           */
    EP_P_RECORDS     /* struct ep_records              a list of records           n = 0          */
};
struct ep_windows { size_t n; double (*w)[2]; };
struct ep_numbers { size_t n; double *v; };
struct ep_texts { size_t n; const char **v; };
struct ep_records { size_t n; const void *v; };  /* n structs of record_size */

struct ep_param {
    const char *name;
    enum ep_ptype type;
    size_t offset;                 /* of the member in the parameter struct */
    const char *unit;              /* "eV", "nm", "px", ... or NULL: a pure number, or not a number. A bare number is in it */
    const char *def;               /* the default as one would write it in a recipe; NULL: none */
    bool required;
    double min, max;               /* numbers and each number of lists: inclusive; both 0: no limits. Lists of numbers/windows: on items */
    size_t min_items, max_items;   /* lists; max 0: no limit */
    const char *const *words;      /* EP_P_WORD: choices, NULL-terminated */
    const char *port;              /* texts that name inputs or steps ("o", "lines.Ti_K"): each becomes an item of this port; NULL */
    const struct ep_param *record; /* EP_P_RECORD(S): table of members */
    size_t record_size;
    const char *doc;               /* one sentence */
};
#define EP_PARAM_END { .name = NULL }

/* Fills the struct at `out` (zeroed here, `size` bytes) from a mapping (NULL: defaults only). Keys listed in `skip` (NULL-terminated; step
 * keys such as stage, input) are left alone. Every mistake goes to d: unknown key (with a suggestion), wrong type, unit,
 * range, word, missing required one. `what` names the owner in messages ("stage background"). False if there was any. */
bool ep_params_parse(struct ep_arena *a, const struct ep_param *table, size_t size, const struct ep_value *map,
                     const char *const *skip, const char *what, void *out, struct ep_diag *d);
/* Canonical JSON object of all parameters in table order, defaults filled in, units normalised, unset ones null. */
void ep_params_json(struct ep_str *out, const struct ep_param *table, const void *par);
/* "number in eV, 0 to 100, default 3" */
void ep_param_describe(struct ep_str *out, const struct ep_param *p);
#endif
