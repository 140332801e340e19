#include "pipeline/numerics/plural.h"

#include <math.h>

/* Counts above boundary `end` of the low loss in bins of q channels around `at`, each channel's spread evenly over it. */
static void bin_losses(const double *low, size_t nlow, double at, double end, double q, size_t n, double *p)
{
    for (size_t i = 0; i < nlow; i++) {
        double lo = fmax((double)i - 0.5, end), hi = (double)i + 0.5;
        double from = (lo - at) / q + 0.5, to = (hi - at) / q + 0.5;
        if (!(hi > lo) || to <= 0) continue;
        for (double k = fmax(floor(from), 0); k < to && k < (double)n; k++)
            p[(size_t)k] += low[i] * q * (fmin(to, k + 1) - fmax(from, k));
    }
}

int ep_plural_kernel(const double *low, size_t nlow, double at, double end, double q, size_t n, double *p)
{
    double zero = 0, last = 0, shape = 0, whole = floor(((double)nlow - 0.5 - at) / q + 0.5);   /* bins that the low loss fills */
    for (size_t k = 0; k < n; k++) p[k] = 0;
    for (size_t i = 0; i < nlow; i++) zero += fmin(fmax(end - ((double)i - 0.5), 0), 1) * low[i];
    if (!(zero > 0)) return 0;
    bin_losses(low, nlow, at, end, q, n, p);
    if (whole > 10 && whole < (double)n) {
        size_t first = (size_t)whole;
        for (size_t k = first - first / 5; k < first; k++) {
            last += p[k];
            shape += pow((double)k, -EP_PLURAL_TAIL);
        }
        for (size_t k = first; k < n; k++) p[k] = last / shape * pow((double)k, -EP_PLURAL_TAIL);
    }
    for (size_t k = 0; k < n; k++) p[k] /= zero;
    p[0] += 1;
    return 1;
}

void ep_plural_add(double t, const double *p, size_t n, double *out)
{
    for (size_t k = 1; k < n; k++) out[k] += t * p[k];
}

void ep_plural_window(const double *p, size_t np, size_t first, size_t last, size_t n, double *w)
{
    for (size_t i = 0; i < n; i++) {
        w[i] = 0;
        for (size_t j = first > i ? first : i; j < last && j - i < np; j++) w[i] += p[j - i];
    }
}
