#include "pipeline/numerics/plural.h"

#include <math.h>

int ep_plural_kernel(const double *low, size_t nlow, double at, double end, size_t n, double *p)
{
    double zero = 0;
    for (size_t k = 0; k < n; k++) p[k] = 0;
    for (size_t i = 0; i < nlow; i++) {
        double in = fmin(fmax(end - ((double)i - 0.5), 0), 1);       /* share of the channel below the boundary */
        zero += in * low[i];
        double lag = (double)i - at, whole = floor(lag), part = lag - whole;
        if (in == 1 || lag < 0) continue;
        if (whole < (double)n) p[(size_t)whole] += (1 - in) * low[i] * (1 - part);
        if (whole + 1 < (double)n) p[(size_t)whole + 1] += (1 - in) * low[i] * part;
    }
    if (!(zero > 0)) return 0;
    for (size_t k = 0; k < n; k++) p[k] /= zero;
    p[0] += 1;
    return 1;
}

void ep_plural_window(const double *p, size_t np, size_t first, size_t last, size_t n, double *w)
{
    for (size_t i = 0; i < n; i++) {
        w[i] = 0;
        for (size_t j = first > i ? first : i; j < last && j - i < np; j++) w[i] += p[j - i];
    }
}
