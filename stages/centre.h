/* Where a zero-loss peak stands: the centre of mass of the counts within h of it, h in channels, and its counting error.
 *
 * The counts y, taken as spread evenly over their channels, have their centre of mass in [c-h, c+h] at c:
 *     F(c) = integral of y (E - c) over [c-h, c+h] = 0,     dF/dc = -N + h (y(c-h) + y(c+h)),   N = integral of y.
 * It is found by re-centring c + F/N, with Newton's step F/(-dF/dc) once that is safe. A change of one channel's counts moves F by
 * w_i (E_i - c), E_i being the centre of the part w_i of the channel that is inside, so that
 *     sigma(c) = sqrt(sum w_i^2 v_i (E_i - c)^2) / |N - h (y(c-h) + y(c+h))|.
 * Own derivation (implicit function theorem); all in channels.
 */
#ifndef EP_STAGES_CENTRE_H
#define EP_STAGES_CENTRE_H
#include "stages/pixels.h"

struct ep_centre { double at, sigma, slope; uint32_t flag; };     /* slope: -dF/dc */

/* N, F, var F and y(c-h) + y(c+h) of the counts within h of c. Channel i covers i +- 1/2; y[i - ch0] is channel i. */
struct ep_moments { double n, f, var, ends; };

static inline struct ep_moments ep_centre_moments(const float *y, size_t ch0, double c, double h, double gain, double read_noise)
{
    struct ep_moments m = { 0, 0, 0, 0 };
    double lo = c - h, hi = c + h;
    size_t first = (size_t)floor(lo + 0.5), last = (size_t)floor(hi + 0.5);
    m.ends = (double)y[first - ch0] + (double)y[last - ch0];
    for (size_t i = first; i <= last; i++) {
        double a = fmax((double)i - 0.5, lo), b = fmin((double)i + 0.5, hi);
        if (!(b > a)) continue;
        double w = b - a, t = (a + b) / 2 - c, n = (double)y[i - ch0];
        double v = fmax(gain * n, 0) + read_noise * read_noise;
        m.n += w * n;
        m.f += w * n * t;
        m.var += w * w * v * t * t;
    }
    return m;
}

/* From the highest channel `top` of an axis of nch channels; channels within 2 h of it are looked at. */
static inline struct ep_centre ep_centre_find(const float *y, size_t ch0, size_t nch, size_t top, double h, double gain, double read_noise)
{
    struct ep_centre none = { (double)NAN, (double)NAN, (double)NAN, EP_FLAG_NO_ZLP };
    double c = (double)top;
    for (int k = 0; k < 50; k++) {
        if (!(fabs(c - (double)top) <= h) || c - h < -0.5 || !(c + h < (double)nch - 0.5)) return none;
        struct ep_moments m = ep_centre_moments(y, ch0, c, h, gain, read_noise);
        if (!isfinite(m.n)) {
            none.flag = EP_FLAG_NOT_FINITE;
            return none;
        }
        if (!(m.n >= 10 * gain)) return none;
        double slope = m.n - h * m.ends, step = m.f / (slope > 0.25 * m.n ? slope : m.n);
        c += step;
        if (fabs(step) >= 1e-6) continue;
        if (!(slope > 0)) return none;           /* no lower at h than around c: not a peak */
        return (struct ep_centre){ c, sqrt(m.var) / slope, slope, 0 };
    }
    return none;
}
#endif
