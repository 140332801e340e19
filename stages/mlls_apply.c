/* Pixels and spectra of mlls: amounts, their sigmas, what is left.
 */
#include <math.h>
#include <string.h>
#include "pipeline/numerics/linalg.h"
#include "stages/mlls_work.h"
#include "stages/pixels.h"
#include "stages/quotient.h"

#define LEAST 0.1
#define ROUNDS 3               /* of a pixel's own weights, and */
#define LITTLE 0.5             /* the part of the mean pixel's variance, at its own total, that a channel has at least */

/* Counts of the columns in one pixel, and all maps made of them; systematic: by which the sum's is multiplied. */
static void put_maps(const struct ep_apply *a, const struct ep_mlls_work *p, size_t y, size_t x, const double *c, const double *var,
                     double cov, double systematic)
{
    size_t o = 0;
    const double nan = (double)NAN;
    uint32_t *flag = &a->flag[y * a->area.nx + x];
    for (size_t k = 0; k < p->ncol; k++) {
        bool ok = p->apart[k];
        ep_put(&a->out[o++], y, x, ok ? c[k] : nan, ok ? sqrt(var[k]) : nan);
        if (p->par->systematics) ep_put(&a->out[o++], y, x, p->systematic[k] * systematic, nan);
    }
    if (!p->par->per) return;
    double n = c[0], d = p->per ? c[p->per] : p->thick, vn = var[0], vd = p->per ? var[p->per] : 0, r = nan, sigma = nan;
    double change = nan, change_sigma = nan;
    if (!p->apart[0] || !p->apart[p->per]) n = d = vn = vd = cov = nan;
    else if (d < 3 * sqrt(vd) || d <= 0) *flag |= EP_FLAG_LOW_DENOMINATOR;
    if (d > 0) {
        r = n / d;
        sigma = ep_quotient_sigma(n, vn, d, vd, cov);
        change = r / p->reference - 1;
        change_sigma = hypot(sigma, r / p->reference * p->reference_sigma) / fabs(p->reference);
    }
    ep_put(&a->out[o++], y, x, r, sigma);
    ep_put(&a->out[o++], y, x, n, sqrt(vn));
    ep_put(&a->out[o++], y, x, d, sqrt(vd));
    ep_put(&a->out[o++], y, x, cov, nan);
    ep_put(&a->out[o++], y, x, change, change_sigma);
}

static size_t first_other(const struct ep_mlls_work *p)
{
    return p->ncol * (p->par->systematics ? 2 : 1) + (p->par->per ? 5 : 0);
}

/* Channel by channel: what is left of a spectrum; sigma is that of its counts. */
static void put_spectrum(const struct ep_apply *a, size_t out, const float *counts, const double *model, double factor, bool only)
{
    const struct ep_cell *o = &a->out[out], *in = &a->in[0];
    if (!o->val) return;
    for (size_t i = 0; i < o->nch; i++) {
        size_t ch = o->ch0 + i;
        double y = (double)counts[ch - in->ch0], m = factor * model[ch], v = fmax(in->d->gain * y, 0) + in->d->read_noise * in->d->read_noise;
        o->val[i] = (float)(only ? m : y - m);
        if (o->sigma) o->sigma[i] = only ? NAN : (float)sqrt(v);
    }
}

static void one_spectrum(const struct ep_apply *a, const struct ep_mlls_work *p)
{
    const struct ep_cell *in = &a->in[0];
    if (ep_fatal(a->flag[0])) {
        for (size_t i = 0; i < a->nout; i++) ep_fill_nan(&a->out[i], 0, 0);
        return;
    }
    a->flag[0] |= p->flag;
    double *var = a->scratch;
    for (size_t k = 0; k < p->ncol; k++) var[k] = p->sigma[k] * p->sigma[k];
    put_maps(a, p, 0, 0, p->counts, var, p->per ? p->cov[p->per] : 0, 1);
    size_t o = first_other(p);
    const float *y = ep_cell_spectrum(in, 0, 0);
    ep_put(&a->out[o++], 0, 0, p->chi2, 0);
    put_spectrum(a, o++, y, p->look[EP_MLLS_MODEL]->f64, 1, false);
    for (size_t k = 0; k < p->ncol; k++) {
        const double *with = p->look[EP_MLLS_NLOOK + k]->f64, *single = p->look[EP_MLLS_NLOOK + p->ncol + k]->f64;
        put_spectrum(a, o++, y, with, p->counts[k], false);
        put_spectrum(a, o++, y, with, p->counts[k], true);
        put_spectrum(a, o++, y, single, p->counts[k] != 0 ? fabs(p->counts[k]) : 1, true);     /* a shape, of whatever height */
    }
    put_spectrum(a, o, y, p->look[EP_MLLS_PLURAL]->f64, 1, true);
}

static void put_residual(const struct ep_apply *a, const struct ep_mlls_work *p, size_t y, size_t x, const double *counts, const double *c, long move)
{
    const struct ep_eds_solver *s = p->s;
    const struct ep_cell *o = &a->out[first_other(p) + 1];
    if (!o->val) return;
    float *to = ep_cell_spectrum(o, y, x);
    for (size_t i = 0; i < o->nch; i++) {
        long at = (long)(o->ch0 + i) + move - (long)p->ch.first;
        double m = 0;
        bool in = at >= 0 && at < (long)s->nch;
        for (size_t k = 0; in && k < s->n; k++) m += c[k] * s->x[k * s->nch + (size_t)at];
        to[i] = in ? (float)(counts[at] - m) : NAN;
    }
}

/* Non-negative least squares from the normal equations: columns below zero are dropped, the lowest first. They are c N = b. */
static ep_status drop_negative(const struct ep_mlls_work *p, const double *normal, const double *c, double *out, struct ep_err *e)
{
    const struct ep_eds_solver *s = p->s;
    double a[EP_MLLS_MOST * EP_MLLS_MOST], b[EP_MLLS_MOST];
    size_t in[EP_MLLS_MOST], n = s->n;
    for (size_t k = 0; k < n; k++) {
        in[k] = k;
        out[k] = c[k];
    }
    for (;;) {
        size_t lowest = n;
        for (size_t i = 0; i < n; i++)
            if (in[i] < p->ncol && out[in[i]] < 0 && (lowest == n || out[in[i]] < out[in[lowest]])) lowest = i;
        if (lowest == n) return EP_OK;
        out[in[lowest]] = 0;
        memmove(in + lowest, in + lowest + 1, (--n - lowest) * sizeof *in);
        for (size_t i = 0; i < n; i++) {
            double d = sqrt(normal[in[i] * s->n + in[i]]);
            b[i] = 0;
            for (size_t k = 0; k < s->n; k++) b[i] += normal[in[i] * s->n + k] * c[k] / d;
            for (size_t j = 0; j < n; j++) a[i * n + j] = normal[in[i] * s->n + in[j]] / d / sqrt(normal[in[j] * s->n + in[j]]);
        }
        ep_status st = ep_solve_spd(n, a, 1, b, e);
        if (st) return st;
        for (size_t i = 0; i < n; i++) out[in[i]] = b[i] / sqrt(normal[in[i] * s->n + in[i]]);
    }
}

static double variance(const struct ep_mlls_work *p, const double *t, const double *c)
{
    const struct ep_eds_solver *s = p->s;
    double v = s->noise2 * t[s->n];
    for (size_t k = 0; k < s->n; k++) v += s->gain * c[k] * t[k];
    return v;
}

/* The fit of a pixel: amplitudes, variances of the columns', covariance of numerator and denominator. */
struct pixel { double c[EP_MLLS_MOST], var[EP_MLLS_MOST], cov, chi2; };

/* share: of the mean pixel's counts. */
static ep_status mean_weights(const struct ep_mlls_work *p, const double *c, double share, double squares, struct pixel *q, struct ep_err *e)
{
    const struct ep_eds_solver *s = p->s;
    memcpy(q->c, c, s->n * sizeof *c);
    ep_status st = p->par->nonneg ? drop_negative(p, s->normal, c, q->c, e) : EP_OK;
    for (size_t k = 0; k < p->ncol; k++)
        q->var[k] = fmax(variance(p, p->t + k * (s->n + 1), q->c), LEAST * share * p->typical[k]);
    q->cov = p->per ? variance(p, p->cov_t, q->c) : 0;
    double expected = s->noise2 * s->expected0, rest = squares;
    for (size_t k = 0; k < s->n; k++) {
        double nc = 0;
        for (size_t j = 0; j < s->n; j++) nc += s->normal[k * s->n + j] * q->c[j];
        rest -= q->c[k] * nc;
        expected += s->gain * q->c[k] * s->expected[k];
    }
    q->chi2 = expected > 0 ? rest / expected : (double)NAN;
    return st;
}

/* Variances of a pixel's channels by its model; where that says little, a part of the mean pixel's: at some counts, models follow noise, and
 * weights after them would make it look small. */
static void model_variances(const struct ep_mlls_work *p, const double *c, double least, double *v)
{
    const struct ep_eds_solver *s = p->s;
    for (size_t i = 0; i < s->nch; i++) {
        double m = 0;
        for (size_t k = 0; k < s->n; k++) m += c[k] * s->x[k * s->nch + i];
        v[i] = fmax(s->gain * m, least * fmax(1 / s->w[i] - s->noise2, 0)) + s->noise2 + 1e-12 / s->w[i];
    }
}

/* Weights from the pixel's own model, found again a few times: the likelihood's maximum of Poisson counts. v: room for a spectrum. The inverse
 * of the normal equations then is the covariance. */
static ep_status model_weights(const struct ep_mlls_work *p, const double *y, const double *c, double share, double *v, struct pixel *q, struct ep_err *e)
{
    const struct ep_eds_solver *s = p->s;
    size_t n = s->n;
    double normal[EP_MLLS_MOST * EP_MLLS_MOST], inv[EP_MLLS_MOST * EP_MLLS_MOST], b[EP_MLLS_MOST], scale[EP_MLLS_MOST], positive[EP_MLLS_MOST];
    memcpy(q->c, c, n * sizeof *c);
    for (int round = 0; round < ROUNDS; round++) {
        model_variances(p, q->c, LITTLE * share, v);
        for (size_t k = 0; k < n; k++) {
            const double *xk = s->x + k * s->nch;
            b[k] = 0;
            for (size_t i = 0; i < s->nch; i++) b[k] += xk[i] * y[i] / v[i];
            for (size_t j = 0; j <= k; j++) {
                double sum = 0;
                for (size_t i = 0; i < s->nch; i++) sum += xk[i] * s->x[j * s->nch + i] / v[i];
                normal[k * n + j] = normal[j * n + k] = sum;
            }
            scale[k] = 1 / sqrt(normal[k * n + k]);
        }
        for (size_t k = 0; k < n * n; k++) inv[k] = normal[k] * scale[k / n] * scale[k % n];
        ep_status st = ep_invert_spd(n, inv, e);
        if (st) return st;
        for (size_t k = 0; k < n * n; k++) inv[k] *= scale[k / n] * scale[k % n];
        for (size_t k = 0; k < n; k++) {
            q->c[k] = 0;
            for (size_t j = 0; j < n; j++) q->c[k] += inv[k * n + j] * b[j];
        }
    }
    for (size_t k = 0; k < p->ncol; k++) q->var[k] = inv[k * n + k];
    q->cov = p->per ? inv[p->per] : 0;
    ep_status st = p->par->nonneg ? drop_negative(p, normal, q->c, positive, e) : EP_OK;
    if (!st && p->par->nonneg) memcpy(q->c, positive, n * sizeof *positive);
    q->chi2 = 0;
    for (size_t i = 0; i < s->nch; i++) {
        double r = y[i];
        for (size_t k = 0; k < n; k++) r -= q->c[k] * s->x[k * s->nch + i];
        q->chi2 += r * r / v[i] / (double)(s->nch - n);
    }
    return st;
}

/* The counts of one pixel on the channels of the fit, and by how many channels it is moved to them. */
static uint32_t take_pixel(const struct ep_apply *a, const struct ep_mlls_work *p, size_t y, size_t x, double *row, long *move, double *squares, double *total)
{
    const struct ep_cell *in = &a->in[0];
    double shift = in->shift ? in->shift[ep_in_at(in, y, x)] : 0, sum = 0, all = 0, m = rint(shift / p->channel);
    if (!(fabs(m) < 1e6)) return EP_FLAG_OFF_AXIS;
    *move = (long)m;
    long first = (long)p->ch.first - *move;
    if (first < (long)in->ch0 || first + (long)p->s->nch > (long)(in->ch0 + in->nch)) return EP_FLAG_OFF_AXIS;
    const float *v = ep_cell_spectrum(in, ep_in_y(in, y), ep_in_x(in, x)) + ((size_t)first - in->ch0);
    for (size_t i = 0; i < p->s->nch; i++) {
        row[i] = (double)v[i];
        sum += p->s->w[i] * row[i] * row[i];
        all += row[i];
    }
    *squares = sum;
    *total = all;
    if (isfinite(sum)) return 0;
    memset(row, 0, p->s->nch * sizeof *row);
    return EP_FLAG_NOT_FINITE;
}

/* Pixels x0 .. x1-1 of row y of the image, all of one block; each has its place in it by its column in the image. */
static ep_status do_block(const struct ep_apply *a, const struct ep_mlls_work *p, size_t y, size_t x0, size_t x1, struct ep_err *e)
{
    size_t nch = p->s->nch, n = p->s->n, oy = y - a->area.y0;
    double *counts = a->scratch, *product = counts + EP_MLLS_BLOCK * nch, squares[EP_MLLS_BLOCK], total[EP_MLLS_BLOCK];
    long move[EP_MLLS_BLOCK];
    memset(counts, 0, EP_MLLS_BLOCK * nch * sizeof *counts);
    for (size_t x = x0; x < x1; x++) {
        uint32_t *flag = &a->flag[oy * a->area.nx + x - a->area.x0];
        size_t b = x % EP_MLLS_BLOCK;
        if (ep_fatal(*flag)) continue;
        *flag |= p->flag | take_pixel(a, p, y, x, counts + b * nch, &move[b], &squares[b], &total[b]);
    }
    ep_matmul(EP_MLLS_BLOCK, n, nch, counts, p->s->lt, product);
    for (size_t x = x0; x < x1; x++) {
        size_t ox = x - a->area.x0, b = x % EP_MLLS_BLOCK;
        struct pixel q;
        if (ep_fatal(a->flag[oy * a->area.nx + ox])) {
            for (size_t i = 0; i < a->nout; i++) ep_fill_nan(&a->out[i], oy, ox);
            continue;
        }
        double share = fmax(total[b] * p->n / p->total, 1e-3);
        ep_status st = p->par->weights == EP_MLLS_MEAN ? mean_weights(p, product + b * n, share, squares[b], &q, e)
                                                       : model_weights(p, counts + b * nch, product + b * n, share, product + EP_MLLS_BLOCK * n, &q, e);
        if (st) return st;
        put_maps(a, p, oy, ox, q.c, q.var, q.cov, total[b] / p->total);
        ep_put(&a->out[first_other(p)], oy, ox, q.chi2, 0);
        put_residual(a, p, oy, ox, counts + b * nch, q.c, move[b]);
    }
    return EP_OK;
}

ep_status ep_mlls_apply(const struct ep_apply *a, struct ep_err *e)
{
    const struct ep_mlls_work *p = a->plan;
    size_t end = a->area.x0 + a->area.nx;
    if (!p->s) {
        one_spectrum(a, p);
        return EP_OK;
    }
    for (size_t y = a->area.y0; y < a->area.y0 + a->area.ny; y++)
        for (size_t x = a->area.x0; x < end;) {
            size_t next = (x / EP_MLLS_BLOCK + 1) * EP_MLLS_BLOCK;
            if (next > end) next = end;
            ep_status st = do_block(a, p, y, x, next, e);
            if (st) return st;
            x = next;
        }
    return EP_OK;
}
