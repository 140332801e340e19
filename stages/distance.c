#include "stages/distance.h"

#include <stdio.h>
#include <string.h>

/* ---- distance ----------------------------------------------------------------------------------------------- */

struct ep_at_curve ep_ruler_at(const struct ep_ruler *r, size_t i, size_t j)
{
    double y = r->g.y0 + r->g.hy * (double)i + r->dy, x = r->g.x0 + r->g.hx * (double)j + r->dx;
    if (r->curve) return ep_curve_at(r->curve, y, x);
    double along = (y - r->from[0]) * r->dir[0] + (x - r->from[1]) * r->dir[1];
    double off = (y - r->from[0]) * r->dir[1] - (x - r->from[1]) * r->dir[0];
    return (struct ep_at_curve){ .distance = along, .gy = r->dir[0], .gx = r->dir[1], .along = off, .inside = fabs(off) <= r->half * (1 + 1e-9) };
}

static double column_value(const struct ep_signal *t, const char *name, double *sigma)
{
    for (size_t i = 0; i < t->ncol; i++)
        if (strcmp(t->col[i].name, name) == 0 && t->col[i].num && t->n > 0) {
            if (sigma) *sigma = t->col[i].sigma ? t->col[i].sigma[0] : 0;
            return t->col[i].num[0];
        }
    return NAN;
}

ep_status ep_registered_of(const struct ep_signal *table, struct ep_registered *out, struct ep_err *e)
{
    memset(out, 0, sizeof *out);
    out->angle = column_value(table, "angle", NULL) * EP_DEGREE;
    out->y = column_value(table, "y", NULL);
    out->x = column_value(table, "x", NULL);
    out->along = column_value(table, "along", &out->sigma_along);
    out->across = column_value(table, "across", &out->sigma_across);
    if (!isfinite(out->y) || !isfinite(out->x) || !isfinite(out->angle) || !isfinite(out->sigma_along) || isnan(out->across))
        return ep_fail(e, EP_E_COMPUTE, "'%s' is not the table of a register step", table->d.name);
    out->open = !isfinite(out->sigma_across);
    out->open_y = cos(out->angle);
    out->open_x = -sin(out->angle);
    return EP_OK;
}

ep_status ep_ruler_register(struct ep_ruler *r, const struct ep_signal *table, struct ep_err *e)
{
    struct ep_registered t;
    ep_status st = ep_registered_of(table, &t, e);
    if (st) return st;
    double e1 = r->curve->ny * sin(t.angle) + r->curve->nx * cos(t.angle), e2 = r->curve->ny * t.open_y + r->curve->nx * t.open_x;
    double s2 = t.open ? 0 : t.sigma_across;
    if (t.open && fabs(e2) > 0.1)
        return ep_fail(e, EP_E_COMPUTE, "the registration leaves open how far the maps are shifted in a direction %.0f degrees off the "
                       "boundary: register on a map that shows more than one edge", asin(fmin(1, fabs(e2))) / EP_DEGREE);
    r->dy = t.y;
    r->dx = t.x;
    r->var_shift = e1 * e1 * t.sigma_along * t.sigma_along + e2 * e2 * s2 * s2;
    r->registered = true;
    return EP_OK;
}

/* ---- bins --------------------------------------------------------------------------------------------------- */

#define MAX_PARTS 66

void ep_bins_size(struct ep_bins *b, const struct ep_image *g)
{
    b->nband = (size_t)fmin(floor(2 * hypot(g->hy, g->hx) / b->bin) + 1, MAX_PARTS - 2);
    b->stride = EP_BIN_COV + (b->quotient ? 3 : 1) * (b->nband + 1);
}

struct ep_sample ep_sample_of(const struct ep_beside *b, double z, double sigma, uint32_t flag, size_t i)
{
    struct ep_sample s = { .z = z, .var = sigma * sigma * b->inflation, .t = 1, .flag = flag };
    if (b->by) {
        double sigma_t = b->by->sigma32 ? ep_signal_sigma(b->by, i) : 0;
        s.t = ep_signal_get(b->by, i);
        s.var_t = sigma_t * sigma_t * b->inflation_by;
        if (b->by->flags) s.flag |= b->by->flags[i];
        if (b->cov) s.cov = ep_signal_get(b->cov, i) * b->inflation;
    }
    if (b->shared) s.shared = ep_signal_get(b->shared, i);
    if (b->mask && !ep_mask_has(b->mask, i)) s.flag |= EP_FLAG_MASKED;
    else if (!isfinite(s.z) || !isfinite(s.t) || !isfinite(s.shared)) s.flag |= EP_FLAG_NOT_FINITE;
    s.counts = !(s.flag & (b->by ? EP_NO_VALUE & ~(uint32_t)EP_FLAG_LOW_DENOMINATOR : EP_NO_VALUE));   /* sums have no small denominators */
    return s;
}

/* The distance of a point is linear in its place within one pixel, so that the part of the pixel's square between two bin edges is an
 * area cut out by parallel lines. The parts in bins *first, *first + 1, ...; their number. */
static size_t split(const struct ep_bins *b, const struct ep_ruler *r, const struct ep_at_curve *at, long *first, double *part)
{
    double wy = fabs(at->gy * r->g.hy), wx = fabs(at->gx * r->g.hx), half = (wy + wx) / 2, bin = b->bin;
    double lo = floor((at->distance - half) / bin), hi = floor((at->distance + half) / bin), below = 0;
    if (!(hi - lo < MAX_PARTS)) return 0;
    size_t n = (size_t)(hi - lo) + 1;
    *first = (long)lo;
    for (size_t k = 0; k < n; k++) {
        double next = k + 1 == n ? 1 : ep_box_below(wy, wx, (lo + (double)k + 1) * bin - at->distance);
        part[k] = next - below;
        below = next;
    }
    return n;
}

void ep_bins_add(const struct ep_bins *b, double *acc, const struct ep_ruler *r, const struct ep_at_curve *at, const struct ep_sample *s)
{
    long first;
    double part[MAX_PARTS];
    size_t band = b->nband + 1, n = split(b, r, at, &first, part);
    for (size_t k = 0; k < n; k++) {
        long bin = first + (long)k - b->k0;
        if (bin < 0 || bin >= (long)b->n || part[k] < 1e-9) continue;
        double *q = &acc[(size_t)bin * b->stride];
        q[EP_BIN_ALL] += part[k];
        if (!s->counts) {
            q[EP_BIN_FLAG] = (double)((uint32_t)q[EP_BIN_FLAG] | s->flag);
            continue;
        }
        q[EP_BIN_AREA] += part[k];
        q[EP_BIN_NUM] += part[k] * s->z;
        q[EP_BIN_DEN] += part[k] * s->t;
        q[EP_BIN_SHARED] += part[k] * s->shared;
        for (size_t m = k; m < n && m - k < band; m++) {
            double both = part[k] * part[m];
            q[EP_BIN_COV + m - k] += both * s->var;
            if (!b->quotient) continue;
            q[EP_BIN_COV + band + m - k] += both * s->var_t;
            q[EP_BIN_COV + 2 * band + m - k] += both * s->cov;
        }
    }
}

double ep_bins_value(const struct ep_bins *b, const double *acc, size_t k, bool sum)
{
    const double *q = &acc[k * b->stride];
    if (!(q[EP_BIN_AREA] > 1e-9) || (b->quotient && q[EP_BIN_DEN] == 0)) return NAN;
    return sum ? q[EP_BIN_NUM] : q[EP_BIN_NUM] / q[EP_BIN_DEN];
}

double ep_bins_covariance(const struct ep_bins *b, const double *acc, size_t k, size_t m, bool sum)
{
    const double *a = &acc[k * b->stride], *far = &acc[(k + m) * b->stride], *c = a + EP_BIN_COV;
    size_t band = b->nband + 1;
    double shared = a[EP_BIN_SHARED] * far[EP_BIN_SHARED];
    if (sum) return c[m] + shared;
    if (!b->quotient) return (c[m] + shared) / (a[EP_BIN_DEN] * far[EP_BIN_DEN]);
    double ra = a[EP_BIN_NUM] / a[EP_BIN_DEN], rb = far[EP_BIN_NUM] / far[EP_BIN_DEN];
    return (c[m] + shared - (ra + rb) * c[2 * band + m] + ra * rb * c[band + m]) / (a[EP_BIN_DEN] * far[EP_BIN_DEN]);
}
