#include "stages/interface_find.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"

/* ---- pixels ------------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool counts(const struct ep_signal *s, const struct ep_signal *within, size_t i)
{
    return isfinite(ep_signal_get(s, i)) && !(s->flags && ep_fatal(s->flags[i])) && !(within && !ep_mask_has(within, i));
}

/* Ten times the range of the 2nd to 98th percentile to either side: no step, and no noise, reaches so far. */
static void spike_limits(struct ep_jump_work *w, const struct ep_signal *s, const struct ep_signal *within, double *room)
{
    size_t n = 0;
    w->least = -INFINITY;
    w->most = INFINITY;
    for (size_t i = 0; i < s->n; i++)
        if (counts(s, within, i)) room[n++] = ep_signal_get(s, i);
    if (n < 50) return;
    qsort(room, n, sizeof *room, by_value);
    double lo = room[n / 50], hi = room[n - 1 - n / 50];
    if (!(hi > lo)) return;
    w->least = lo - 10 * (hi - lo);
    w->most = hi + 10 * (hi - lo);
}

static ep_status gather(struct ep_jump_work *w, const struct ep_signal *s, const struct ep_signal *within, struct ep_err *e)
{
    struct ep_image g = ep_grid_in_nm(&s->d);
    size_t n = s->n;
    bool sigma = s->sigma32 != NULL;
    w->room = malloc((n + 1) * 10 * sizeof *w->room);
    if (!w->room) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (a boundary)", (n + 1) * 10 * sizeof *w->room);
    double **part[] = { &w->y, &w->x, &w->z, &w->var, &w->u, &w->v, &w->cu, &w->cv, &w->cz, &w->cvar };
    for (size_t i = 0; i < 10; i++) *part[i] = w->room + i * n;
    w->cy = g.y0 + g.hy * (double)(g.ny - 1) / 2;
    w->cx = g.x0 + g.hx * (double)(g.nx - 1) / 2;
    w->px = sqrt(fabs(g.hy * g.hx));
    w->density = 1 / fabs(g.hy * g.hx);
    spike_limits(w, s, within, w->cu);
    for (size_t i = 0; i < n; i++) {
        double z = ep_signal_get(s, i), v = sigma ? pow(ep_signal_sigma(s, i), 2) : 0;
        if (!counts(s, within, i) || z < w->least || z > w->most) continue;
        w->y[w->n] = g.y0 + g.hy * (double)(i / g.nx) - w->cy;
        w->x[w->n] = g.x0 + g.hx * (double)(i % g.nx) - w->cx;
        w->z[w->n] = z;
        w->var[w->n++] = v;
    }
    double known = 0, positive = 0;                /* no counts, no variance: such pixels are part of the mean */
    for (size_t i = 0; i < w->n; i++) {
        known += isfinite(w->var[i]) != 0;
        positive += w->var[i] > 0;
    }
    if (!sigma || known < 0.5 * (double)w->n || positive == 0) w->var = w->cvar = NULL;
    if (w->n == 0)
        return ep_fail(e, EP_E_COMPUTE, "no pixel of '%s' %s: there is no boundary to find", w->wanted->name,
                       within ? "has a value within the region" : "has a value");
    return EP_OK;
}

static void turn(struct ep_jump_work *w)
{
    for (size_t i = 0; i < w->n; i++) {
        w->u[i] = w->y[i] * w->uy + w->x[i] * w->ux;
        w->v[i] = w->y[i] * w->ux - w->x[i] * w->uy;
    }
}

/* The axis of the gradients of the smoothed map, whatever their signs (largest eigenvector of their mean square: J. Bigun and G. H.
 * Granlund, Proc. Int. Conf. Computer Vision (1987) 433). Noise adds to all directions alike. */
static ep_status mean_gradient(struct ep_jump_work *w, const struct ep_signal *s, const struct ep_signal *within, struct ep_err *e)
{
    struct ep_image g = ep_grid_in_nm(&s->d);
    w->uy = 0;
    w->ux = 1;
    if (g.ny < 3) return EP_OK;
    double *val = malloc(4 * s->n * sizeof *val);
    if (!val) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (a gradient)", 4 * s->n * sizeof *val);
    for (size_t i = 0; i < s->n; i++) {
        double z = ep_signal_get(s, i);
        val[i] = counts(s, within, i) && z >= w->least && z <= w->most ? z : (double)NAN;
    }
    g.val = val;
    double yy = 0, xx = 0, xy = 0, width = fmin(fmax(2, (double)(g.ny < g.nx ? g.ny : g.nx) / 25), 6) * fmax(fabs(g.hy), fabs(g.hx));
    ep_status st = ep_image_sample(&g, &g, 0, 0, width, 0.6, val + s->n, val + 2 * s->n, val + 3 * s->n, e);
    for (size_t i = 0; !st && i < s->n; i++) {
        double a = val[2 * s->n + i], b = val[3 * s->n + i];
        if (!isfinite(a) || !isfinite(b)) continue;
        yy += a * a;
        xx += b * b;
        xy += a * b;
    }
    double angle = atan2(2 * xy, xx - yy) / 2;
    w->uy = sin(angle);
    w->ux = cos(angle);
    free(val);
    return st;
}

/* ---- where the step is ---------------------------------------------------------------------------------------- */

struct bins { size_t n, h; double u0, step, *sum, *count, *var; };   /* the map averaged along the boundary */

/* Difference of the means of h bins before and after place k, and its sigma. */
static double jump(const struct bins *b, size_t k, double *sigma)
{
    double s[2] = { 0, 0 }, n[2] = { 0, 0 }, v[2] = { 0, 0 };
    for (size_t i = k > b->h ? k - b->h : 0; i < k + b->h && i < b->n; i++) {
        int side = i >= k;
        s[side] += b->sum[i];
        n[side] += b->count[i];
        v[side] += b->var[i];
    }
    *sigma = INFINITY;
    if (n[0] == 0 || n[1] == 0 || k < b->h / 2 + 1 || k + b->h / 2 + 1 > b->n) return 0;
    *sigma = sqrt(v[0] / (n[0] * n[0]) + v[1] / (n[1] * n[1]));
    return s[1] / n[1] - s[0] / n[0];
}

struct found { double u, height; };

/* Extrema of the jump that stand out of the noise and of the smaller ones around them. */
static size_t list_steps(const struct bins *b, struct found *f)
{
    size_t n = 0;
    double highest = 0, s;
    for (size_t k = 1; k < b->n; k++) highest = fmax(highest, fabs(jump(b, k, &s)));
    for (size_t k = 1; k < b->n; k++) {
        double here = jump(b, k, &s);
        bool top = fabs(here) > 0.1 * highest && fabs(here) > 5 * s;
        for (size_t i = k > b->h ? k - b->h : 1; top && i <= k + b->h && i < b->n; i++) {
            double other = fabs(jump(b, i, &s));
            top = other < fabs(here) || (other == fabs(here) && i >= k);
        }
        if (!top) continue;
        struct found one = { b->u0 + b->step * (double)k, here };
        if (n > 0 && here * f[n - 1].height > 0) {        /* one broad step may have two tops */
            double least = INFINITY;
            size_t from = (size_t)lround((f[n - 1].u - b->u0) / b->step);
            for (size_t i = from; i <= k; i++) least = fmin(least, fabs(jump(b, i, &s)));
            if (least > 0.6 * fmin(fabs(here), fabs(f[n - 1].height))) {
                if (fabs(here) > fabs(f[n - 1].height)) f[n - 1] = one;
                continue;
            }
        }
        f[n++] = one;
    }
    return n;
}

static void fill_bins(const struct ep_jump_work *w, struct bins *b)
{
    double mean = 0, scatter = 0, count = 0;
    for (size_t i = 0; i < w->n; i++) {
        size_t k = (size_t)fmin((double)b->n - 1, fmax(0, floor((w->u[i] - b->u0) / b->step)));
        b->sum[k] += w->z[i];
        b->count[k] += 1;
        b->var[k] += w->var && isfinite(w->var[i]) ? w->var[i] : 0;
    }
    if (w->var) return;
    for (size_t i = 0; i < w->n; i++) {                   /* no sigmas: the scatter within the bins */
        size_t k = (size_t)fmin((double)b->n - 1, fmax(0, floor((w->u[i] - b->u0) / b->step)));
        mean = b->sum[k] / b->count[k];
        scatter += (w->z[i] - mean) * (w->z[i] - mean);
        count += b->count[k] > 1 ? 1 - 1 / b->count[k] : 0;
    }
    for (size_t k = 0; k < b->n; k++) b->var[k] = count > 0 ? b->count[k] * scatter / count : 0;
}

/* Picks the step and its window (halfway to its neighbours). */
static ep_status locate(struct ep_jump_work *w, struct ep_err *e)
{
    double lo = INFINITY, hi = -INFINITY, at = 0;
    for (size_t i = 0; i < w->n; i++) {
        lo = fmin(lo, w->u[i]);
        hi = fmax(hi, w->u[i]);
    }
    struct bins b = { .n = (size_t)ceil((hi - lo) / w->px) + 1, .u0 = lo - w->px / 2, .step = w->px };
    b.sum = ep_xcalloc(4 * b.n, sizeof *b.sum);
    b.count = b.sum + b.n;
    b.var = b.sum + 2 * b.n;
    struct found *f = ep_xcalloc(b.n + 1, sizeof *f);
    fill_bins(w, &b);
    size_t n = 0, pick = 0;
    for (b.h = 4; n == 0 && (b.h == 4 || 2 * b.h <= b.n); b.h *= 2) n = list_steps(&b, f);
    const struct ep_jump_wanted *want = w->wanted;
    if (want->near) at = (want->near_y - w->cy) * w->uy + (want->near_x - w->cx) * w->ux;
    for (size_t i = 1; i < n; i++)
        if (want->near ? fabs(f[i].u - at) < fabs(f[pick].u - at) : fabs(f[i].height) > fabs(f[pick].height)) pick = i;
    ep_status st = EP_OK;
    if (n == 0) {
        st = ep_fail(e, EP_E_COMPUTE, "no step stands out of the noise of '%s': is the interface in the field?", w->wanted->name);
    } else {
        w->lo = (pick > 0 ? (f[pick - 1].u + f[pick].u) / 2 : lo) - f[pick].u;
        w->hi = (pick + 1 < n ? (f[pick + 1].u + f[pick].u) / 2 : hi) - f[pick].u;
        w->reach = INFINITY;
        w->st = (struct ep_jump){ .p = f[pick].u, .rise = f[pick].height, .s = 2 * w->px };
    }
    free(f);
    free(b.sum);
    return st;
}

struct ep_jump_data ep_jump_window(struct ep_jump_work *w, double p, double q, size_t first, size_t end)
{
    size_t n = 0;
    double lo = fmax(w->lo, -w->reach) - w->px / 2, hi = fmin(w->hi, w->reach) + w->px / 2;
    for (size_t i = first; i < end; i++) {
        double d = w->u[i] - p - q * w->v[i];
        if (d < lo || d > hi) continue;
        w->cu[n] = w->u[i];
        w->cv[n] = w->v[i];
        w->cz[n] = w->z[i];
        if (w->var) w->cvar[n] = w->var[i];
        n++;
    }
    return (struct ep_jump_data){ n, w->cu, w->cv, w->cz, w->cvar };
}

ep_status ep_jump_sort(struct ep_jump_work *w, double v0, double width, size_t n, size_t *start, struct ep_err *e)
{
    double *part[] = { w->y, w->x, w->z, w->u, w->v, w->var };
    size_t *strip = malloc((2 * w->n + 1) * sizeof *strip);
    if (!strip) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (a boundary)", 2 * w->n * sizeof *strip);
    size_t *order = strip + w->n;
    memset(start, 0, (n + 1) * sizeof *start);
    for (size_t i = 0; i < w->n; i++) {
        strip[i] = (size_t)fmin(fmax(0, floor((w->v[i] - v0) / width)), (double)n - 1);
        start[strip[i] + 1]++;
    }
    for (size_t k = 0; k < n; k++) start[k + 1] += start[k];
    for (size_t i = 0; i < w->n; i++) order[i] = start[strip[i]]++;
    for (size_t k = n; k > 0; k--) start[k] = start[k - 1];
    start[0] = 0;
    for (size_t k = 0; k < sizeof part / sizeof *part && part[k]; k++) {
        for (size_t i = 0; i < w->n; i++) w->cu[order[i]] = part[k][i];
        memcpy(part[k], w->cu, w->n * sizeof *w->cu);
    }
    free(strip);
    return EP_OK;
}

double ep_jump_levels(const struct ep_jump_data *d, struct ep_jump *s)
{
    double n = 0, f1 = 0, f2 = 0, z1 = 0, zf = 0, zz = 0;
    for (size_t i = 0; i < d->n; i++) {
        double f = 0.5 * erfc(-(d->u[i] - s->p - s->q * d->v[i]) / s->s * 0.70710678118654752440);
        n += 1;
        f1 += f;
        f2 += f * f;
        z1 += d->z[i];
        zf += d->z[i] * f;
        zz += d->z[i] * d->z[i];
    }
    double det = n * f2 - f1 * f1;
    if (!(det > 1e-9 * n * n)) return INFINITY;
    s->base = (f2 * z1 - f1 * zf) / det;
    s->rise = (n * zf - f1 * z1) / det;
    return zz - s->base * z1 - s->rise * zf;
}

void ep_jump_limits(const struct ep_jump_work *w, double limit[2])
{
    limit[0] = 0.15 * w->px;
    limit[1] = 0.5 * (w->hi - w->lo);
    if (ep_window_given(w->wanted->width)) {
        limit[0] = fmax(limit[0], w->wanted->width[0]);
        limit[1] = fmax(limit[0], fmin(limit[1], w->wanted->width[1]));
    }
}

/* One straight step through the whole field; the frame turns until the boundary runs along v, unless the recipe says otherwise. */
static ep_status fit_field(struct ep_jump_work *w, struct ep_err *e)
{
    const unsigned all = EP_JUMP_BASE | EP_JUMP_RISE | EP_JUMP_P | EP_JUMP_Q | EP_JUMP_S;
    double limit[2], v0 = INFINITY, v1 = -INFINITY;
    bool ok = true;
    for (size_t i = 0; i < w->n; i++) {
        v0 = fmin(v0, w->v[i]);
        v1 = fmax(v1, w->v[i]);
    }
    unsigned free_bits = v1 - v0 < 1.5 * w->px ? all & ~(unsigned)EP_JUMP_Q : all;
    for (int round = 0; round < 4 && ok; round++) {
        ep_jump_limits(w, limit);
        w->st.s = fmin(fmax(w->st.s, limit[0]), limit[1]);
        struct ep_jump_data d = ep_jump_window(w, w->st.p, w->st.q, 0, w->n);
        if (round == 0) ep_jump_levels(&d, &w->st);
        ep_jump_noise(&d, &w->st);
        ok = ep_jump_fit(&d, free_bits, limit[0], limit[1], &w->st);
        w->reach = fmax(8 * w->st.s, 15 * w->px);
        if (round == 3 || !ok || isfinite(w->wanted->direction)) continue;
        double q = w->st.q, r = hypot(1, q), y = (w->uy - q * w->ux) / r, x = (w->ux + q * w->uy) / r;
        w->uy = y;
        w->ux = x;
        turn(w);
        w->st.p /= r;
        w->st.s /= r;
        w->st.q = 0;
    }
    struct ep_jump_data d = ep_jump_window(w, w->st.p, w->st.q, 0, w->n);
    double before = 0, after = 0;
    for (size_t i = 0; i < d.n; i++) {
        before = fmax(before, w->st.p + w->st.q * d.v[i] - d.u[i]);
        after = fmax(after, d.u[i] - w->st.p - w->st.q * d.v[i]);
    }
    if (!ok || !(fabs(w->st.rise) > 5 * sqrt(w->st.cov[1][1])))
        return ep_fail(e, EP_E_COMPUTE, "no step of '%s' can be fitted: is the interface in the field?", w->wanted->name);
    if (before < 2 * w->px || after < 2 * w->px || w->st.s > 0.4 * fmin(w->hi - w->lo, before + after))
        return ep_fail(e, EP_E_COMPUTE, "the step of '%s' has no level on %s side in the field (it is %.3g nm wide, %.3g nm "
                       "before and %.3g nm after it are in view): is the interface in the field?", w->wanted->name, before < 2 * w->px || after < 2 * w->px ? "one" : "either",
                       w->st.s, before, after);
    return EP_OK;
}

ep_status ep_jump_find(struct ep_jump_work *w, const struct ep_signal *map, const struct ep_signal *within, struct ep_err *e)
{
    double given = w->wanted->direction * 3.14159265358979323846 / 180;
    ep_status st = gather(w, map, within, e);
    if (!st && isfinite(given)) {
        w->uy = sin(given);
        w->ux = cos(given);
    } else if (!st) {
        st = mean_gradient(w, map, within, e);
    }
    if (st) return st;
    turn(w);
    st = locate(w, e);
    return st ? st : fit_field(w, e);
}
