/* The bins of a profile with their covariance, and what makes their errors independent.
 *
 * Each bin states the variance of its own counts. As weights these pull a fit towards bins that are low by chance, and bins
 * without counts would be known exactly: so the variance in use is that of the expected value, with the pixels of the bin.
 */
#include "pipeline/numerics/step_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"

/* ---- band matrices -------------------------------------------------------------------------------------------------- */

/* Cholesky factor L in place, row i holding (i, i) ... (i, i+w-1) of the symmetric matrix, then L(i, i) ... L(i+w-1, i): a few
 * bands are quicker by hand than by LAPACK. False if it is not positive definite. */
static bool factor_band(size_t n, size_t w, double *a)
{
    for (size_t i = 0; i < n; i++) {
        double *row = a + i * w;
        if (!(row[0] > 0) || !isfinite(row[0])) return false;
        double d = sqrt(row[0]);
        for (size_t k = 0; k < w && i + k < n; k++) row[k] /= k ? d : 1;
        row[0] = d;
        for (size_t k = 1; k < w && i + k < n; k++)
            for (size_t m = k; m < w && i + m < n; m++) a[(i + k) * w + m - k] -= row[k] * row[m];
    }
    return true;
}

void ep_step_whiten(const struct ep_step_problem *p, double *b)
{
    size_t n = p->n, w = p->nband + 1;
    for (size_t i = 0; i < n; i++) {
        const double *row = p->factor + i * w;
        b[i] /= row[0];
        for (size_t k = 1; k < w && i + k < n; k++) b[i + k] -= row[k] * b[i];
    }
}

/* ---- the bins -------------------------------------------------------------------------------------------------- */

void ep_step_problem_free(struct ep_step_problem *p)
{
    free(p->u);
    memset(p, 0, sizeof *p);
}

static bool usable(const struct ep_step_data *d, size_t i)
{
    return isfinite(d->y[i]) && isfinite(d->sigma[i]) && d->sigma[i] >= 0;
}

/* Of one block: u, y, white, cov, factor, room. A bin that is left out brings its neighbours closer: bands never grow. */
ep_status ep_step_problem_new(const struct ep_step_data *d, const struct ep_step_options *o, struct ep_step_problem *p, struct ep_err *e)
{
    memset(p, 0, sizeof *p);
    size_t *at = ep_xcalloc(d->n + 1, sizeof *at), n = 0;
    for (size_t i = 0; i < d->n; i++)
        if (usable(d, i)) at[n++] = i;
    size_t nband = d->band ? d->nband : 0;
    if (n > 0 && nband > n - 1) nband = n - 1;
    double *room = calloc(n * (2 * nband + 5 + EP_STEP_PAR + 2) + 1, sizeof *room);
    if (!room) {
        free(at);
        return ep_fail(e, EP_E_COMPUTE, "no memory for a profile of %zu bins", n);
    }
    *p = (struct ep_step_problem){ .n = n, .nband = nband, .direction = 1, .u = room, .y = room + n, .white = room + 2 * n,
                                   .cov = room + 3 * n, .factor = room + (4 + nband) * n, .room = room + (5 + 2 * nband) * n,
                                   .edge = o->edge, .probe = o->probe, .blur = o->blur, .slope_high = o->slope_high, .slope_low = o->slope_low };
    for (size_t i = 0; i < n; i++) {
        p->u[i] = d->x[at[i]];
        p->y[i] = d->y[at[i]];
        p->cov[i * (nband + 1)] = d->sigma[at[i]] * d->sigma[at[i]];
        for (size_t k = 1; k <= nband && i + k < n; k++) {
            size_t far = at[i + k] - at[i];
            if (far <= d->nband) p->cov[i * (nband + 1) + k] = d->band[at[i] * d->nband + far - 1];
        }
    }
    if (n > 1) p->span = fabs(p->u[n - 1] - p->u[0]);
    if (n > 1 && p->u[0] > p->u[n - 1]) {
        ep_step_turn(p);                  /* a falling axis: in order of x, direction +1 */
        p->direction = 1;
        for (size_t i = 0; i < n; i++) p->u[i] = -p->u[i];
    }
    free(at);
    return EP_OK;
}

static void reverse(double *v, size_t n)
{
    for (size_t i = 0; i + 1 < n - i; i++) {
        double t = v[i];
        v[i] = v[n - 1 - i];
        v[n - 1 - i] = t;
    }
}

void ep_step_turn(struct ep_step_problem *p)
{
    size_t n = p->n, w = p->nband + 1;
    p->direction = -p->direction;
    for (size_t i = 0; i < n; i++) p->u[i] = -p->u[i];
    reverse(p->u, n);
    reverse(p->y, n);
    double *old = p->room;                /* (i, i+k) becomes (n-1-i-k, n-1-i) */
    for (size_t k = 0; k < w; k++) {
        for (size_t i = 0; i + k < n; i++) old[i] = p->cov[i * w + k];
        for (size_t i = 0; i + k < n; i++) p->cov[(n - 1 - i - k) * w + k] = old[i];
    }
}

/* How the variance grows with the value: v proportional to t + (1 - t) y/top, the t for which the rest (pixels per bin)
 * scatters least. Bins near nothing say little of it. */
#define NEAR_NOTHING 0.02
static double law(double t, double value, double top)
{
    return t + (1 - t) * fmax(value / top, NEAR_NOTHING);
}

static double variance_law(const struct ep_step_problem *p, const double *f, double top)
{
    double best = 0, least = INFINITY;
    for (int k = 0; k <= 20; k++) {
        double t = pow(k / 20., 2), n = 0, sum = 0, dev = 0;
        for (int pass = 0; pass < 2; pass++)
            for (size_t i = 0; i < p->n; i++) {
                double v = p->cov[i * (p->nband + 1)];
                if (!(v > 0) || f[i] < NEAR_NOTHING * top) continue;
                double l = log(v / law(t, f[i], top));
                if (pass == 0) n += 1, sum += l;
                else dev += fabs(l - sum / n);
            }
        if (n > 0 && dev / n < least) least = dev / n, best = t;
    }
    return best;
}

/* Variance of bin i when its expected value is f: the curve's, or before there is one the mean around the bin. Where a bin's
 * own count was so low that its variance says nothing (no counts: none), that of the other bins, scaled. */
static void expected_variances(const struct ep_step_problem *p, const struct ep_step_fit *fit, double *v, bool *telling)
{
    size_t n = p->n, w = p->nband + 1;
    double *f = v + n, top = 0;
    for (size_t i = 0; i < n; i++) {
        size_t a = i < 3 ? 0 : i - 3, b = i + 4 < n ? i + 4 : n;
        f[i] = 0;
        if (fit) f[i] = ep_step_of_u(fit, p->u[i]);
        else for (size_t k = a; k < b; k++) f[i] += p->y[k] / (double)(b - a);
        top = fmax(top, f[i]);
    }
    for (size_t i = 0; i < n; i++) {
        v[i] = p->cov[i * w];
        telling[i] = v[i] > 0;
    }
    if (!(top > 0)) return;
    double t = variance_law(p, f, top), num = 0, den = 0;
    for (size_t i = 0; i < n; i++)
        if (f[i] >= NEAR_NOTHING * top) num += p->cov[i * w], den += law(t, f[i], top);
    for (size_t i = 0; i < n; i++) {
        double g = law(t, f[i], top), own = law(t, p->y[i], top), others = num / den * g;
        telling[i] &= f[i] >= NEAR_NOTHING * top || t > 0.1;
        v[i] *= g / own;
        if (!telling[i] || v[i] < 0.3 * others) v[i] = others;    /* a bin of three times as many pixels there is not */
    }
}

/* Correlation at each distance between bins, over those that tell. */
static void mean_correlations(const struct ep_step_problem *p, const bool *telling, double *rho)
{
    size_t n = p->n, w = p->nband + 1;
    for (size_t k = 1; k < w; k++) {
        double num = 0, den = 0;
        for (size_t i = 0; i + k < n; i++)
            if (telling[i] && telling[i + k]) num += p->cov[i * w + k], den += sqrt(p->cov[i * w] * p->cov[(i + k) * w]);
        rho[k] = den > 0 ? num / den : 0;
    }
}

ep_status ep_step_weights(struct ep_step_problem *p, const struct ep_step_fit *f, struct ep_err *e)
{
    size_t n = p->n, w = p->nband + 1;
    double *v = p->room, mean = 0, *rho = ep_xcalloc(w, sizeof *rho);
    bool *telling = ep_xcalloc(n + 1, sizeof *telling);
    ep_status st = EP_OK;
    expected_variances(p, f, v, telling);
    mean_correlations(p, telling, rho);
    for (size_t i = 0; i < n; i++) mean += v[i] / (double)n;
    if (!(mean > 0)) st = ep_fail(e, EP_E_COMPUTE, "the profile's sigmas are all zero");
    for (size_t i = 0; i < n; i++) v[i] = fmax(v[i], 1e-4 * mean);
    for (double ridge = 1e-6; !st; ridge *= 10) {      /* what rounding or averaging made not positive is lifted */
        for (size_t i = 0; i < n; i++) {
            p->factor[i * w] = v[i] * (1 + ridge);
            for (size_t k = 1; k < w && i + k < n; k++) {
                double r = telling[i] && telling[i + k] ? p->cov[i * w + k] / sqrt(p->cov[i * w] * p->cov[(i + k) * w]) : rho[k];
                p->factor[i * w + k] = r * sqrt(v[i] * v[i + k]);
            }
        }
        if (factor_band(n, w, p->factor)) break;
        if (ridge > 0.5) st = ep_fail(e, EP_E_COMPUTE, "the covariance of the bins is not positive definite");
    }
    free(rho);
    free(telling);
    if (st) return st;
    memcpy(p->white, p->y, n * sizeof *p->white);
    ep_step_whiten(p, p->white);
    return EP_OK;
}
