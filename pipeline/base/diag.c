#include "pipeline/base/diag.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/base/mem.h"

enum { MOST_ITEMS = 200, MOST_WORD = 128, MOST_TEXT = 4000 };

static int compare_files(const char *a, const char *b)
{
    if (!a || !b) return (a != NULL) - (b != NULL);
    return strcmp(a, b);
}

static int compare_pos(const struct ep_pos *a, const struct ep_pos *b)
{
    int c = compare_files(a->file, b->file);
    if (c) return c;
    if (a->line != b->line) return a->line < b->line ? -1 : 1;
    return (a->col > b->col) - (a->col < b->col);
}

/* Where a new item goes, NULL if nowhere. An error is never lost to a list full of warnings. */
static struct ep_diag_item *place_for(struct ep_diag *d, bool warning)
{
    if (d->n < MOST_ITEMS) {
        EP_PUSH(d->items, d->n, d->cap);
        return &d->items[d->n - 1];
    }
    if (warning) return NULL;
    for (size_t i = d->n; i-- > 0;)
        if (d->items[i].warning) {
            free(d->items[i].msg);
            memmove(&d->items[i], &d->items[i + 1], (d->n - i - 1) * sizeof *d->items);
            return &d->items[d->n - 1];
        }
    return NULL;
}

static void add(struct ep_diag *d, bool warning, struct ep_pos pos, const char *fmt, va_list ap)
{
    struct ep_str msg = {0};
    ep_str_vaddf(&msg, fmt, ap);
    /* Recipe text gets into messages: one line each, and nothing that steers a terminal. */
    if (msg.n > MOST_TEXT) { /* somebody's megabyte need not fill the terminal */
        size_t n = MOST_TEXT;
        while (n && ((unsigned char)msg.s[n] & 0xC0) == 0x80) n--;
        memcpy(msg.s + n, "...", 4);
    }
    for (char *c = msg.s; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F) *c = ' ';
    for (size_t i = 0; i < d->n; i++) {
        const struct ep_diag_item *it = &d->items[i];
        if (it->warning == warning && !compare_pos(&it->pos, &pos) && !strcmp(it->msg, msg.s)) {
            ep_str_free(&msg);
            return;
        }
    }
    if (warning) d->nwarnings++;
    else d->nerrors++;
    struct ep_diag_item *it = place_for(d, warning);
    if (it) *it = (struct ep_diag_item){.warning = warning, .pos = pos, .msg = msg.s};
    else ep_str_free(&msg);
}

void ep_diag_error(struct ep_diag *d, struct ep_pos pos, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(d, false, pos, fmt, ap);
    va_end(ap);
}

void ep_diag_warn(struct ep_diag *d, struct ep_pos pos, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(d, true, pos, fmt, ap);
    va_end(ap);
}

/* By place; at one place in the order in which they were found (which is the order in memory). */
static int compare_items(const void *pa, const void *pb)
{
    const struct ep_diag_item *a = *(const struct ep_diag_item *const *)pa;
    const struct ep_diag_item *b = *(const struct ep_diag_item *const *)pb;
    int c = compare_pos(&a->pos, &b->pos);
    return c ? c : (a > b) - (a < b);
}

/* What a warning of a step says behind the step's name: "step NAME (stage): ..."; NULL: it is none of these. */
static const char *behind_step(const struct ep_diag_item *it)
{
    return it->warning && strncmp(it->msg, "step ", 5) == 0 ? strchr(it->msg + 5, ' ') : NULL;
}

static bool same_cause(const struct ep_diag_item *a, const struct ep_diag_item *b)
{
    const char *x = behind_step(a), *y = behind_step(b);
    return x && y && strcmp(x, y) == 0;
}

static void print_pos(const struct ep_diag *d, const struct ep_pos *p, FILE *to)
{
    if (p->file) fprintf(to, "%s:", p->file);
    if (p->line > 0 && !d->no_lines) fprintf(to, "%s%d:", p->file ? "" : "line ", p->line);
    if (p->line > 0 && p->col > 0 && !d->no_lines) fprintf(to, "%d:", p->col);
    if (p->file || p->line > 0) fputc(' ', to);
}

/* A warning that several steps give is told once, at the first of them. */
static void print_warning(const struct ep_diag *d, const struct ep_diag_item *const *items, size_t n, FILE *to)
{
    size_t steps = 1;
    for (size_t i = 1; i < n; i++) steps += same_cause(items[0], items[i]);
    print_pos(d, &items[0]->pos, to);
    if (steps == 1) {
        fprintf(to, "warning: %s\n", items[0]->msg);
        return;
    }
    fputs("warning: steps ", to);
    for (size_t i = 0, told = 0; i < n; i++)
        if (same_cause(items[0], items[i])) {
            const char *name = items[i]->msg + 5;
            fprintf(to, "%s%.*s", !told ? "" : told + 1 < steps ? ", " : " and ", (int)(behind_step(items[i]) - name), name);
            told++;
        }
    fprintf(to, "%s\n", behind_step(items[0]));
}

void ep_diag_print(const struct ep_diag *d, FILE *to)
{
    if (d->n == 0) return;
    const struct ep_diag_item **sorted = ep_xmalloc(d->n * sizeof *sorted);
    size_t again = 0;
    for (size_t i = 0; i < d->n; i++) sorted[i] = &d->items[i];
    qsort(sorted, d->n, sizeof *sorted, compare_items);
    for (size_t i = 0; i < d->n; i++) {
        bool told = false;
        for (size_t k = 0; k < i && !told; k++) told = same_cause(sorted[k], sorted[i]);
        again += told;
        if (told) continue;
        if (sorted[i]->warning) print_warning(d, sorted + i, d->n - i, to);
        else {
            print_pos(d, &sorted[i]->pos, to);
            fprintf(to, "error: %s\n", sorted[i]->msg);
        }
    }
    free(sorted);
    size_t warnings = d->nwarnings - again;
    if (d->nerrors) fprintf(to, "%zu error%s", d->nerrors, d->nerrors == 1 ? "" : "s");
    if (warnings) fprintf(to, "%s%zu warning%s", d->nerrors ? ", " : "", warnings, warnings == 1 ? "" : "s");
    if (d->nerrors + d->nwarnings > d->n)
        fprintf(to, " (%zu not shown)", d->nerrors + d->nwarnings - d->n);
    fputc('\n', to);
}

void ep_diag_free(struct ep_diag *d)
{
    for (size_t i = 0; i < d->n; i++) free(d->items[i].msg);
    free(d->items);
    *d = (struct ep_diag){0};
}

/* ---- did you mean ---- */

/* ASCII only, whatever the locale says. */
static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Optimal string alignment: insert, drop, replace, swap neighbours, each 1. */
static size_t distance(const char *a, size_t na, const char *b, size_t nb)
{
    size_t rows[3][MOST_WORD * 2 + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= nb; j++) last[j] = j;
    for (size_t i = 1; i <= na; i++) {
        now[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            char ca = lower(a[i - 1]), cb = lower(b[j - 1]);
            size_t best = last[j - 1] + (ca != cb);
            if (last[j] + 1 < best) best = last[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            if (i > 1 && j > 1 && ca == lower(b[j - 2]) && lower(a[i - 2]) == cb
                && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        size_t *free_row = before;
        before = last;
        last = now;
        now = free_row;
    }
    return last[nb];
}

const char *ep_suggest(const char *word, const char *const *candidates)
{
    size_t n = strlen(word);
    if (n == 0 || n > MOST_WORD) return NULL;
    const char *best = NULL;
    size_t best_d = n / 3 + 1;
    for (; *candidates; candidates++) {
        size_t nc = strlen(*candidates);
        if ((nc > n ? nc - n : n - nc) >= best_d) continue;
        size_t dist = distance(word, n, *candidates, nc);
        if (dist < best_d) {
            best_d = dist;
            best = *candidates;
        }
    }
    return best;
}
