/* Fronts of a map, line by line along a boundary.
 *
 * A line is a stretch of the boundary with the pixels whose foot points lie on it. Pixels belong to one line each, so that lines are
 * independent; within a line they are divided between the bins of distance as a profile's are. The curve is chosen once, for the sum of
 * all lines, since a line alone can't tell one from another: its doubt is in every line's sigma. A line that it can't be fitted to takes its own.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "stages/distance.h"
#include "stages/front_find.h"

#define DEFAULT_LINES 16
#define LEAST_STEP 5                    /* sigma: of many places in many lines, one has a step of 3 by chance */
#define MAX_ROOM 2e7                    /* numbers in the bins of all lines */

struct work {
    const struct ep_front_par *p;
    const struct ep_signal *map;
    struct ep_ruler r;
    struct ep_bins bins;
    struct ep_beside beside;
    size_t nline;
    double t0, width;                  /* of the first line; of each */
    double *acc, *all, *pixels;        /* bins of the lines, of all together; pixels in each line */
    struct ep_front_points pt;         /* room for one line's */
    struct ep_front *front;            /* [nline] */
};

static double *bins_of(const struct work *w, size_t line)
{
    return w->acc + line * w->bins.n * w->bins.stride;
}

static const struct ep_signal *whole_item(const struct ep_prepare *pr, size_t port)
{
    return pr->in[port].n ? pr->in[port].v[0].whole : NULL;
}

/* Lines and bins from where the map's pixels are. */
static ep_status lay_out(struct work *w, struct ep_err *e)
{
    const struct ep_image *g = &w->r.g;
    const struct ep_curve *c = w->r.curve;
    double lo = INFINITY, hi = -INFINITY, length = c->t[c->n - 1] - c->t[0], px = sqrt(fabs(g->hy * g->hx));
    w->bins.bin = isfinite(w->p->bin) ? w->p->bin : px;
    ep_bins_size(&w->bins, g);
    for (size_t i = 0; i < w->map->n; i++) {
        struct ep_at_curve at = ep_ruler_at(&w->r, i / g->nx, i % g->nx);
        double reach = fabs(at.gy * g->hy) + fabs(at.gx * g->hx);
        if (!at.inside) continue;
        if (floor(reach / w->bins.bin) + 1 > (double)w->bins.nband)
            return ep_fail(e, EP_E_COMPUTE, "the boundary is more than 60 degrees off its mean direction: lines across it have no common one");
        lo = fmin(lo, at.distance - reach / 2);
        hi = fmax(hi, at.distance + reach / 2);
    }
    if (!(lo < hi)) return ep_fail(e, EP_E_COMPUTE, "no pixel lies beside the boundary: do both show the same field?");
    if (ep_window_given(w->p->range)) {
        lo = fmax(lo, w->p->range[0]);
        hi = fmin(hi, w->p->range[1]);
        if (!(lo < hi)) return ep_fail(e, EP_E_COMPUTE, "the map has no distances from %.4g to %.4g nm", w->p->range[0], w->p->range[1]);
    }
    double k0 = floor(lo / w->bins.bin), n = ceil(hi / w->bins.bin) - k0;
    double width = isfinite(w->p->width) ? w->p->width : fmax(length / DEFAULT_LINES, 2 * px), lines = fmax(1, floor(length / width + 1e-6));
    if (lines * n * (double)w->bins.stride > MAX_ROOM)
        return ep_fail(e, EP_E_COMPUTE, "%.0f lines of %.0f bins are too many: give a larger width or bin", lines, n);
    w->bins.k0 = (long)k0;
    w->bins.n = (size_t)n;
    w->nline = (size_t)lines;
    w->width = length / lines;
    w->t0 = c->t[0];
    return EP_OK;
}

static void fill_lines(struct work *w)
{
    size_t nx = w->r.g.nx, per = w->bins.n * w->bins.stride;
    for (size_t i = 0; i < w->map->n; i++) {
        struct ep_at_curve at = ep_ruler_at(&w->r, i / nx, i % nx);
        if (!at.inside) continue;
        double k = fmin(fmax(floor((at.along - w->t0) / w->width), 0), (double)w->nline - 1);
        double sigma = w->map->sigma32 ? ep_signal_sigma(w->map, i) : 0;
        struct ep_sample s = ep_sample_of(&w->beside, ep_signal_get(w->map, i), sigma, w->map->flags ? w->map->flags[i] : 0, i);
        w->pixels[(size_t)k] += s.counts;
        ep_bins_add(&w->bins, bins_of(w, (size_t)k), &w->r, &at, &s);
    }
    for (size_t k = 0; k < w->nline; k++)
        for (size_t i = 0; i < per; i++) w->all[i] += bins_of(w, k)[i];
}

static void take_points(struct work *w, const double *acc)
{
    struct ep_front_points *pt = &w->pt;
    const struct ep_bins *b = &w->bins;
    for (size_t k = 0; k < b->n; k++) {
        pt->x[k] = ((double)(b->k0 + (long)k) + 0.5) * b->bin;
        pt->y[k] = ep_bins_value(b, acc, k, false);
        pt->sigma[k] = isnan(pt->y[k]) ? (double)NAN : sqrt(fmax(0, ep_bins_covariance(b, acc, k, 0, false)));
    }
    for (size_t k = 0; k < b->n; k++)
        for (size_t m = 1; m <= b->nband; m++)
            pt->band[k * b->nband + m - 1] = k + m < b->n && !isnan(pt->y[k]) && !isnan(pt->y[k + m]) ? ep_bins_covariance(b, acc, k, m, false) : 0;
}

static double middle_of(const struct work *w, size_t line)
{
    return w->t0 + ((double)line + 0.5) * w->width;
}

/* The reference run's line at the same place of the boundary; none: a row that is not there. */
static size_t row_of(const struct work *w, const struct ep_signal *table, size_t line)
{
    struct ep_front_reference ref = { .table = table };
    for (; table && ref.row < table->n; ref.row++)
        if (fabs(ep_front_of_reference(&ref, "along") - middle_of(w, line)) < 0.1 * w->width) return ref.row;
    return SIZE_MAX;
}

/* A line without a step, or whose front is not in view, has no front: its numbers go, its flag stays. */
static void forget(struct ep_front *f)
{
    struct ep_quantity none = { (double)NAN, (double)NAN };
    f->position = f->displacement = none;
    f->noise = f->model = f->blur = f->isotonic = (double)NAN;
}

static ep_status find_lines(struct work *w, const struct ep_prepare *pr, struct ep_err *e)
{
    const struct ep_signal *table = whole_item(pr, EP_FRONT_RELATIVE);
    const struct ep_front_reference none = { NULL, 0, false };
    struct ep_front pooled;
    double registration = sqrt(w->r.var_shift);
    take_points(w, w->all);
    ep_status st = ep_front_find(w->p, 0, &w->pt, registration, &none, NULL, &pooled, e);
    unsigned models = pooled.name ? 1u << pooled.which : 0;
    for (size_t k = 0; k < w->nline && !st; k++) {
        struct ep_front *f = &w->front[k];
        const size_t row = row_of(w, table, k);
        const struct ep_front_reference ref = { row == SIZE_MAX ? NULL : table, row, pr->reference };
        take_points(w, bins_of(w, k));
        st = ep_front_find(w->p, models, &w->pt, registration, &ref, NULL, f, e);
        if (!st && models && !f->name) {                /* too few counts for a curve of many parameters */
            ep_str_free(&f->flags);
            st = ep_front_find(w->p, 0, &w->pt, registration, &ref, NULL, f, e);
        }
        if (!st && isfinite(pooled.model) && w->p->model == EP_FRONT_AUTO) {
            f->model = hypot(f->model, pooled.model);
            f->position.sigma = hypot(hypot(f->noise, f->model), f->blur);
            if (f->displacement.sigma > 0) f->displacement.sigma = hypot(f->displacement.sigma, pooled.model);
        }
        if (table && row == SIZE_MAX) ep_front_flag(f, "the reference has no line here");
        bool doubtful = f->step.v < LEAST_STEP * f->step.sigma;
        if (doubtful && !f->weak) ep_front_flag(f, "step below 5 sigma");
        if (doubtful || f->outside || !isfinite(f->position.v)) forget(f);
    }
    ep_str_free(&pooled.flags);
    return st;
}

/* ---- results ------------------------------------------------------------------------------------------------------ */

struct place { double y, x, ny, nx, stretch; };   /* stretch: of a distance along the mean normal to one along the curve's own */

/* Of the front of a line, in the map's positions. */
static struct place place_of(const struct work *w, size_t line, double position)
{
    const struct ep_curve *c = w->r.curve;
    double t = middle_of(w, line), y = c->cy + t * c->ty, x = c->cx + t * c->tx;
    struct ep_at_curve at = ep_curve_at(c, y, x);
    double off = position - at.distance, g = hypot(at.gy, at.gx);
    return (struct place){ y + off * c->ny - w->r.dy, x + off * c->nx - w->r.dx, at.gy / g, at.gx / g, g };
}

static ep_status make_table(const struct work *w, const char *unit, const char *name, struct ep_signal **out, struct ep_err *e)
{
    size_t n = w->nline;
    double *room = ep_xcalloc(3 * n, sizeof *room);
    for (size_t k = 0; k < n; k++) {
        struct place at = place_of(w, k, w->front[k].position.v);
        room[k] = middle_of(w, k);
        room[n + k] = at.y;
        room[2 * n + k] = at.x;
    }
    ep_status st = ep_table_new(name, n, out, e);
    if (!st) st = ep_table_add(*out, "along", "nm", room, NULL, NULL, e);
    if (!st) st = ep_table_add(*out, "y", "nm", room + n, NULL, NULL, e);
    if (!st) st = ep_table_add(*out, "x", "nm", room + 2 * n, NULL, NULL, e);
    if (!st) st = ep_table_add(*out, "pixels", "", w->pixels, NULL, NULL, e);
    if (!st) st = ep_front_columns(w->p, w->front, n, unit, *out, e);
    free(room);
    return st;
}

static ep_status make_curve(const struct work *w, const struct ep_desc *d, struct ep_signal **out, struct ep_err *e)
{
    struct ep_desc desc = *d;
    size_t n = 0;
    for (size_t k = 0; k < w->nline; k++) n += isfinite(w->front[k].position.v);
    if (n == 0)
        return ep_fail(e, EP_E_COMPUTE, "none of %zu lines has a front (%s): give a larger width, so that each holds more pixels, or a range that "
                       "holds one step", w->nline, w->front[0].flags.s ? w->front[0].flags.s : "no step");
    desc.nav[0].size = n;
    ep_status st = ep_signal_new(&desc, out, e);
    double *q = st ? NULL : (*out)->points;
    for (size_t k = 0; k < w->nline && !st; k++) {
        const struct ep_front *f = &w->front[k];
        if (!isfinite(f->position.v)) continue;
        struct place at = place_of(w, k, f->position.v);
        const double point[EP_CURVE_COLS] = { at.y, at.x, at.ny, at.nx, f->position.sigma / at.stretch };
        memcpy(q, point, sizeof point);
        q += EP_CURVE_COLS;
    }
    return st;
}

static ep_status make_room(struct work *w, double **room, struct ep_err *e)
{
    size_t n = w->bins.n, per = n * w->bins.stride, total = (w->nline + 1) * per + w->nline + n * (3 + w->bins.nband);
    *room = calloc(total, sizeof **room);
    w->front = ep_xcalloc(w->nline, sizeof *w->front);
    if (!*room) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (bins of %zu lines)", total * sizeof **room, w->nline);
    w->acc = *room;
    w->all = w->acc + w->nline * per;
    w->pixels = w->all + per;
    double *x = w->pixels + w->nline;
    double px = sqrt(fabs(w->r.g.hy * w->r.g.hx));
    w->pt = (struct ep_front_points){ n, w->bins.nband, x, x + n, x + 2 * n, x + 3 * n, w->bins.bin, px, true, true };
    return EP_OK;
}

ep_status ep_front_lines(const struct ep_front_par *p, const struct ep_prepare *pr, struct ep_signal **out, struct ep_err *e)
{
    const struct ep_signal *map = whole_item(pr, EP_FRONT_INPUT), *along = whole_item(pr, EP_FRONT_ALONG), *by = whole_item(pr, EP_FRONT_NORMALIZE);
    const struct ep_signal *shift = whole_item(pr, EP_FRONT_REGISTER);
    struct work w = { .p = p, .map = map, .r = { .g = ep_grid_in_nm(&map->d) }, .bins = { .quotient = by != NULL } };
    double *room = NULL;
    char unit[64];
    w.beside = (struct ep_beside){ whole_item(pr, EP_FRONT_MASK), by, NULL, ep_noise_inflation(&map->d), by ? ep_noise_inflation(&by->d) : 1, NULL };
    snprintf(unit, sizeof unit, by && by->d.unit[0] ? "%.15s/%.15s" : "%.31s", map->d.unit, by ? by->d.unit : "");
    for (size_t i = 0; map->flags && i < map->n; i++)
        if (map->flags[i] & EP_FLAG_BIASED)
            return ep_fail(e, EP_E_COMPUTE, "the map was made by a non-negative fit: averages of it are biased; fit with nonneg: false");
    ep_status st = ep_curve_new(along->points, along->n, &w.r.curve, e);
    if (!st && shift) st = ep_ruler_register(&w.r, shift, e);
    if (!st) st = lay_out(&w, e);
    if (!st) st = make_room(&w, &room, e);
    if (!st) fill_lines(&w);
    if (!st) st = find_lines(&w, pr, e);
    if (!st) st = make_table(&w, unit, pr->out[0].name, &out[0], e);
    if (!st) st = make_curve(&w, &pr->out[1], &out[1], e);
    for (size_t k = 0; w.front && k < w.nline; k++) ep_str_free(&w.front[k].flags);
    free(w.front);
    free(room);
    ep_curve_free(w.r.curve);
    return st;
}
