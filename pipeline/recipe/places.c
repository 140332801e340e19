/* Which run `at` means, and where results go: no two at one path, and never over an input. */
#include <stdlib.h>
#include <string.h>

#include "pipeline/base/units.h"
#include "pipeline/recipe/parts.h"

enum { MOST_REPORTED = 5 };

static bool in_at(const struct ep_step *s, size_t coord)
{
    for (size_t i = 0; i < s->nat; i++)
        if (s->at[i].coord == coord) return true;
    return false;
}

/* The wanted one of each coordinate's choices: all combinations are counted through, the last coordinate fastest. */
static bool pick(const struct ep_step *s, size_t choice, const char **out)
{
    for (size_t i = s->nat; i-- > 0;) {
        if (s->at[i].n == 0) return false;
        out[i] = s->at[i].choice[choice % s->at[i].n];
        choice /= s->at[i].n;
    }
    return choice == 0;
}

static bool is_extreme(const struct ep_recipe *r, const struct ep_step *s, size_t i, const char *choice)
{
    return r->coords[s->at[i].coord].number && (!strcmp(choice, "min") || !strcmp(choice, "max"));
}

long ep_at_resolve(const struct ep_recipe *r, const struct ep_runs *runs, const struct ep_step *s,
                   const struct ep_run *like, size_t choice)
{
    const char **want = ep_xcalloc(s->nat + 1, sizeof *want);
    bool *fits = ep_xcalloc(runs->n + 1, sizeof *fits);
    long found = -1;
    bool good = pick(s, choice, want);
    for (size_t k = 0; good && k < runs->n; k++) {
        fits[k] = !runs->v[k].skip;
        for (size_t c = 0; c < r->ncoords && fits[k]; c++)
            if (!in_at(s, c) && ep_coord_compare(r, c, &runs->v[k].coord[c], &like->coord[c])) fits[k] = false;
        for (size_t i = 0; i < s->nat && fits[k]; i++) {
            if (is_extreme(r, s, i, want[i])) continue;
            struct ep_coord_val v = {.text = want[i]};
            if (r->coords[s->at[i].coord].number) ep_parse_number(want[i], &v.num);
            if (ep_coord_compare(r, s->at[i].coord, &runs->v[k].coord[s->at[i].coord], &v)) fits[k] = false;
        }
    }
    /* Values first, then extremes one after the other among what is left. */
    for (size_t i = 0; good && i < s->nat; i++) {
        if (!is_extreme(r, s, i, want[i])) continue;
        const size_t c = s->at[i].coord;
        long best = -1;
        for (size_t k = 0; k < runs->n; k++) {
            if (!fits[k]) continue;
            int d = best < 0 ? 0 : ep_coord_compare(r, c, &runs->v[k].coord[c], &runs->v[best].coord[c]);
            if (best < 0 || (want[i][1] == 'i' ? d < 0 : d > 0)) best = (long)k;
        }
        for (size_t k = 0; k < runs->n; k++)
            if (fits[k] && ep_coord_compare(r, c, &runs->v[k].coord[c], &runs->v[best].coord[c])) fits[k] = false;
    }
    for (size_t k = 0; good && k < runs->n && found < 0; k++)
        if (fits[k]) found = (long)k;
    free(fits);
    free(want);
    return found;
}

long ep_relative_resolve(const struct ep_recipe *r, const struct ep_runs *runs, const struct ep_step *s,
                         const struct ep_run *like, size_t choice)
{
    struct ep_step as_at = *s;
    as_at.nat = s->nrelative;
    as_at.at = s->relative;
    return ep_at_resolve(r, runs, &as_at, like, choice);
}

/* ---- places of results ---- */

struct place_of { const char *folder; size_t run; };

static int compare_places(const void *x, const void *y)
{
    const struct place_of *p = x, *q = y;
    int c = strcmp(p->folder, q->folder);
    return c ? c : (p->run > q->run) - (p->run < q->run);
}

/* Whether a step has one result for both runs: they differ only in what it collects. */
static bool one_result(const struct ep_recipe *r, const struct ep_step *s, const struct ep_run *x,
                       const struct ep_run *y)
{
    for (size_t c = 0; c < r->ncoords; c++) {
        bool over = false;
        for (size_t i = 0; i < s->nover; i++)
            if (s->over[i] == c) over = true;
        if (!over && ep_coord_compare(r, c, &x->coord[c], &y->coord[c])) return false;
    }
    return true;
}

/* Without empty and "." parts, so that "./data//x" is "data/x". */
static const char *plain_path(struct ep_arena *a, const char *path)
{
    struct ep_str b = {0};
    ep_str_add(&b, path[0] == '/' ? "/" : "");
    for (const char *c = path; *c;) {
        size_t n = strcspn(c, "/");
        if (n && !(n == 1 && *c == '.')) {
            if (b.n && b.s[b.n - 1] != '/') ep_str_add(&b, "/");
            ep_str_addn(&b, c, n);
        }
        c += n;
        if (*c) c++;
    }
    char *s = ep_arena_strdup(a, b.s);
    ep_str_free(&b);
    return s;
}

static int compare_texts(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

static bool same_over(const struct ep_step *x, const struct ep_step *y)
{
    return x->nover == y->nover && (x->nover == 0 || !memcmp(x->over, y->over, x->nover * sizeof *x->over));
}

static const char **all_inputs(const struct ep_recipe *r, const struct ep_runs *runs, size_t *n, struct ep_arena *a)
{
    const char **v = EP_ARENA_ARRAY(a, const char *, runs->n * r->ninputs);
    *n = 0;
    for (size_t k = 0; k < runs->n; k++)
        for (size_t i = 0; i < r->ninputs; i++)
            if (runs->v[k].input[i]) v[(*n)++] = plain_path(a, runs->v[k].input[i]);
    if (*n) qsort(v, *n, sizeof *v, compare_texts);
    return v;
}

/* An output folder among the data and a step with the name of a data file: that must not cost the data. */
static void check_inputs_safe(const struct ep_step *s, const struct place_of *p, size_t n, const char **inputs,
                              size_t ninputs, struct ep_diag *d)
{
    struct ep_str b = {0};
    for (size_t k = 0; k < n; k++) {
        b.n = 0;
        ep_str_addf(&b, "%s/%s.hspy", p[k].folder, s->name);
        const char *file = b.s;
        if (!ninputs || !bsearch(&file, inputs, ninputs, sizeof *inputs, compare_texts)) continue;
        ep_diag_error(
            d, s->pos,
            "step %s would write its result over an input, %s: choose another name or another `output`",
            s->name, file);
        break;
    }
    ep_str_free(&b);
}

static void check_apart(const struct ep_recipe *r, const struct ep_step *s, const struct ep_runs *runs,
                        struct place_of *p, size_t n, struct ep_diag *d)
{
    if (n) qsort(p, n, sizeof *p, compare_places);
    for (size_t k = 1, reported = 0; k < n && reported < MOST_REPORTED; k++) {
        const struct ep_run *x = &runs->v[p[k - 1].run], *y = &runs->v[p[k].run];
        if (strcmp(p[k].folder, p[k - 1].folder) != 0 || one_result(r, s, x, y)) continue;
        if (s->nover)
            ep_diag_error(
                d, r->output_pos,
                "the results of step %s for %s and for %s would both go to %s: `output` must tell them apart",
                s->name, x->label, y->label, p[k].folder);
        else
            ep_diag_error(
                d, r->output_pos,
                "the results of the runs %s and %s would both go to %s: `output` must tell them apart",
                x->label, y->label, p[k].folder);
        reported++;
    }
}

bool ep_check_places(const struct ep_recipe *r, const struct ep_runs *runs, struct ep_diag *d)
{
    const size_t before = d->nerrors;
    struct ep_arena a = {0};
    size_t ninputs;
    const char **inputs = all_inputs(r, runs, &ninputs, &a);
    struct place_of *p = EP_ARENA_ARRAY(&a, struct place_of, runs->n);
    bool *done = EP_ARENA_ARRAY(&a, bool, r->nsteps);
    /* Steps that collect alike have the same folders. */
    for (size_t i = 0; i < r->nsteps; i++) {
        if (done[i]) continue;
        size_t n = 0;
        for (size_t k = 0; k < runs->n; k++)
            if (!runs->v[k].skip)
                p[n++] = (struct place_of){plain_path(&a, ep_output_folder(r, &r->steps[i], &runs->v[k], &a)), k};
        for (size_t k = i; k < r->nsteps; k++) {
            if (!same_over(&r->steps[k], &r->steps[i])) continue;
            done[k] = true;
            check_inputs_safe(&r->steps[k], p, n, inputs, ninputs, d);
        }
        check_apart(r, &r->steps[i], runs, p, n, d);
    }
    ep_arena_free(&a);
    return d->nerrors == before;
}
