/* Diagnostics: every mistake of a recipe, each with its place, all reported at once. */
#ifndef EP_BASE_DIAG_H
#define EP_BASE_DIAG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* A place in a recipe. line and col count from 1; line 0: no line (the command line, a file). file may be NULL. */
struct ep_pos { const char *file; int line, col; };

struct ep_diag_item { bool warning; struct ep_pos pos; char *msg; };
struct ep_diag {
    struct ep_diag_item *items; size_t n, cap;
    size_t nerrors, nwarnings; /* all that were found, stored or not */
    bool no_lines;             /* the recipe was made from a command line: its lines say nothing to anyone */
};
/* The same message at the same place is stored once (a recipe is checked once per run of its series).
 * pos.file must outlive the diag. More than 200 items are counted but not stored. */
void ep_diag_error(struct ep_diag *d, struct ep_pos pos, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void ep_diag_warn(struct ep_diag *d, struct ep_pos pos, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* "config.yaml:12:9: error: ..." in the order of file, line and column; n errors at the end.
 * Warnings of several steps that say the same are one line, at the first of their places, with the names of all. */
void ep_diag_print(const struct ep_diag *d, FILE *to);
void ep_diag_free(struct ep_diag *d);

/* The candidate nearest to word (optimal string alignment distance, at most a third of its length, case
 * ignored), or NULL. Candidates end with NULL. */
const char *ep_suggest(const char *word, const char *const *candidates);
#endif
