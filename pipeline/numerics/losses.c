#include "pipeline/numerics/losses.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"

#define WIDTHS 3.3       /* full widths at half maximum from its centre to where the zero-loss peak ends, */
#define PEAK_FROM 1.5    /* but not nearer or farther than these, eV */
#define PEAK_TO 4.5
#define FARTHEST 3.0     /* eV from zero at which a peak is believed */
#define OVERLAP 5.0

/* Counts below energy e: linear within a channel. */
static double below(const struct ep_counts *c, const double *sum, double e)
{
    double at = (e - c->first) / c->step + 0.5;
    if (at <= 0) return 0;
    if (at >= (double)c->n) return sum[c->n];
    size_t i = (size_t)at;
    return sum[i] + (at - (double)i) * c->y[i];
}

static double *running_sum(const struct ep_counts *c)
{
    double *s = ep_xcalloc(c->n + 1, sizeof *s);
    for (size_t i = 0; i < c->n; i++) s[i + 1] = s[i] + c->y[i];
    return s;
}

/* Counts of losses (k +- 1/2) step. */
static double bin(const struct ep_counts *c, const double *sum, double zero, double step, long k)
{
    return below(c, sum, zero + ((double)k + 0.5) * step) - below(c, sum, zero + ((double)k - 0.5) * step);
}

/* The peak's centre of mass within 1 eV of the highest channel. */
static ep_status find_peak(struct ep_losses *p, const struct ep_counts *low, struct ep_err *e)
{
    size_t top = low->n;
    for (size_t i = 0; i < low->n; i++)
        if (fabs(low->first + (double)i * low->step) <= FARTHEST && (top == low->n || low->y[i] > low->y[top])) top = i;
    if (top == low->n || !(low->y[top] > 0))
        return ep_fail(e, EP_E_COMPUTE, "the low loss has no zero-loss peak within %g eV of zero: align it first", FARTHEST);
    double n = 0, f = 0, e0 = low->first + (double)top * low->step;
    for (size_t i = 0; i < low->n; i++) {
        double d = (double)i * low->step + low->first - e0;
        if (fabs(d) > 1) continue;
        n += low->y[i];
        f += low->y[i] * d;
    }
    p->zlp = e0 + f / n;
    return EP_OK;
}

/* Where losses are at half of the peak's height, towards higher or lower energies; between channels linearly. */
static double half_height(const struct ep_losses *p, const struct ep_counts *low, int sign)
{
    long at = lround((p->zlp - low->first) / low->step);
    double half = 0.5 * low->y[at];
    for (long i = at; i > 0 && i + 1 < (long)low->n; i += sign)
        if (low->y[i + sign] < half)
            return low->first + ((double)i + sign * (low->y[i] - half) / (low->y[i] - low->y[i + sign])) * low->step;
    return p->zlp + sign;
}

/* Not where counts are least: noise would choose that, and the amount of plural scattering with it. */
static void find_end(struct ep_losses *p, const struct ep_counts *low)
{
    double width = half_height(p, low, 1) - half_height(p, low, -1);
    p->end = fmin(fmax(WIDTHS * width, PEAK_FROM), PEAK_TO);
}

static ep_status scale_core(struct ep_losses *p, const struct ep_counts *low, const struct ep_counts *core, const double *core_sum,
                            size_t known, struct ep_err *e)
{
    double lo = fmax(core->first + core->step, p->end + 5 * p->step), hi = (double)known * p->step, counts = 0;
    p->over0 = (size_t)ceil(lo / p->step);
    p->over1 = known < p->n ? known : p->n;
    if (hi - lo < OVERLAP || p->over1 <= p->over0)
        return ep_fail(e, EP_E_COMPUTE, "the low loss (up to %g eV) and the core loss (from %g eV) overlap by less than %g eV, so that one can't "
                       "be scaled to the other", low->first + (double)low->n * low->step, core->first, OVERLAP);
    for (size_t k = p->over0; k < p->over1; k++) {
        p->over_sum += p->p[k];
        counts += bin(core, core_sum, 0, p->step, (long)k);
    }
    if (!(p->over_sum > 0 && counts > 0)) return ep_fail(e, EP_E_COMPUTE, "the low loss has no counts where it overlaps the core loss");
    p->scale = counts / p->over_sum;
    p->scale_sigma = p->scale / sqrt(p->over_sum * p->i0);
    return EP_OK;
}

/* S and the inverse of P; the overlap's p is the low loss's. */
static void take_log(struct ep_losses *p)
{
    p->inverse[0] = 1;
    for (size_t n = 1; n < p->n; n++) {
        double s = 0, inv = 0;
        for (size_t k = 1; k < n; k++) {
            s += (double)k * p->s[k] * p->p[n - k];
            inv += p->p[k] * p->inverse[n - k];
        }
        p->s[n] = p->p[n] - s / (double)n;
        p->inverse[n] = -inv - p->p[n];
        p->plural[n] = p->p[n] - p->s[n];
    }
}

ep_status ep_losses_new(const struct ep_counts *low, const struct ep_counts *core, double to, struct ep_losses **out, struct ep_err *e)
{
    struct ep_losses *p = ep_xcalloc(1, sizeof *p);
    *out = NULL;
    ep_status st = find_peak(p, low, e);
    if (st) {
        free(p);
        return st;
    }
    double *sum = running_sum(low), *core_sum = running_sum(core), all = 0;
    find_end(p, low);
    p->step = core->step;
    p->n = (size_t)ceil(to / p->step) + 2;
    p->zh = (size_t)floor(p->end / p->step);
    p->p = ep_xcalloc(p->n, sizeof *p->p);
    p->s = ep_xcalloc(p->n, sizeof *p->s);
    p->plural = ep_xcalloc(p->n, sizeof *p->plural);
    p->inverse = ep_xcalloc(p->n, sizeof *p->inverse);
    p->z = ep_xcalloc(2 * p->zh + 1, sizeof *p->z);
    for (size_t k = 0; k < 2 * p->zh + 1; k++) {
        p->z[k] = bin(low, sum, p->zlp, p->step, (long)k - (long)p->zh);
        p->i0 += p->z[k];
    }
    for (size_t k = 0; k < 2 * p->zh + 1; k++) p->z[k] /= p->i0;
    if (!(p->i0 > 0)) st = ep_fail(e, EP_E_COMPUTE, "the zero-loss peak has no counts");
    double end = low->first + ((double)low->n - 2) * low->step - p->zlp;     /* the last channels of a detector may be bad */
    size_t known = end > 0 ? (size_t)(end / p->step) : 0;
    p->p[0] = 1;
    for (size_t k = p->zh + 1; k < p->n && k < known; k++) p->p[k] = bin(low, sum, p->zlp, p->step, (long)k) / p->i0;
    if (!st && core->n) st = scale_core(p, low, core, core_sum, known, e);
    for (size_t k = known; !st && core->n && k < p->n; k++) p->p[k] = bin(core, core_sum, 0, p->step, (long)k) / p->scale;
    if (!st && core->n) take_log(p);
    for (size_t k = 0; k < p->n; k++) all += p->p[k];
    p->t_over_lambda = log(all);
    free(sum);
    free(core_sum);
    if (st) ep_losses_free(p);
    else *out = p;
    return st;
}

void ep_losses_free(struct ep_losses *p)
{
    if (!p) return;
    free(p->p);
    free(p->s);
    free(p->plural);
    free(p->inverse);
    free(p->z);
    free(p);
}

double ep_losses_at(const struct ep_losses *p, double ev)
{
    double at = ev / p->step;
    if (!(at > 0) || at >= (double)p->n - 1) return 0;
    size_t i = (size_t)at;
    return p->plural[i] + (at - (double)i) * (p->plural[i + 1] - p->plural[i]);
}

void ep_losses_put_back(const struct ep_losses *p, size_t n, const double *v, double *out)
{
    size_t first = 0;                            /* an edge begins far up the axis */
    while (first < n && v[first] == 0) first++;
    for (size_t i = n; i-- > 0;) {
        double s = 0;
        for (size_t k = 0; k + first <= i && k < p->n; k++) s += p->p[k] * v[i - k];
        out[i] = s;
    }
}

void ep_losses_broaden(const struct ep_losses *p, size_t n, const double *v, double *out)
{
    for (size_t i = 0; i < n; i++) {
        double s = 0;
        for (size_t k = 0; k < 2 * p->zh + 1; k++) s += p->z[k] * v[i + 2 * p->zh - k];
        out[i] = s;
    }
}

/* plural = P - log P: d plural = dP * (1 - P^-1), where * is convolution. P_k = J_k / I0, and scale = counts / sum P. */
void ep_losses_response(const struct ep_losses *p, size_t n, const double *e, const double *a, double *h)
{
    double *on = ep_xcalloc(p->n + 1, sizeof *on), plain = 0, peak = 0;
    for (size_t i = 0; i < n; i++) {
        double at = e[i] / p->step;
        if (!(at > 0) || at >= (double)p->n - 1) continue;
        size_t k = (size_t)at;
        on[k] += a[i] * (1 - at + (double)k);
        on[k + 1] += a[i] * (at - (double)k);
    }
    for (size_t k = 0; k < p->n; k++) plain += on[k] * p->plural[k];
    memset(h, 0, p->n * sizeof *h);
    for (size_t j = p->zh + 1; j < p->over1; j++) {
        double g = 0;
        for (size_t k = j + 1; k < p->n; k++) g -= on[k] * p->inverse[k - j];
        h[j] = p->scale * g / p->i0;
        peak -= p->scale * g * p->p[j] / p->i0;
        if (j >= p->over0) h[j] -= p->scale * plain / p->over_sum / p->i0;
    }
    h[0] = peak + p->scale * plain / p->i0;
    free(on);
}
