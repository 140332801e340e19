/* A sum of raw spectra. An aligned pixel is moved by the nearest whole channel (no interpolation, so that channels stay independent);
 * channels that not every pixel covers have no value. */
#ifndef EP_STAGES_SPECTRUM_SUM_H
#define EP_STAGES_SPECTRUM_SUM_H
#include "stages/pixels.h"

/* Starts as zeros: reach_up, reach_down bound what all pixels cover, [reach_up, nch + reach_down). Flags of the pixels that counted,
 * and of those that were left out. */
struct ep_spectrum_sum { int64_t n, reach_up, reach_down, left_out; uint32_t flag, why; double sum[]; };

/* A sum of 0 * y is 0 unless one is not finite. */
static inline bool ep_all_finite(const float *y, size_t n)
{
    float s[8] = { 0 };
    size_t i = 0;
    for (; n - i >= 8; i += 8)
        for (size_t k = 0; k < 8; k++) s[k] += 0 * y[i + k];
    for (; i < n; i++) s[0] += 0 * y[i];
    for (size_t k = 1; k < 8; k++) s[0] += s[k];
    return s[0] == 0;
}
/* Pixel (y, x) of a cell with all its channels. Channel i has the energy E_i + shift: it goes to channel i + shift/channel. */
static inline void ep_spectrum_take(struct ep_spectrum_sum *to, const struct ep_cell *in, size_t y, size_t x, size_t nch, double channel,
                                    bool masked)
{
    size_t at = ep_in_at(in, y, x);
    const float *v = ep_cell_spectrum(in, ep_in_y(in, y), ep_in_x(in, x));
    double move = rint(ep_shift_at(in, at) / channel);
    uint32_t flag = in->flag[at] | (masked ? EP_FLAG_MASKED : 0);
    if (!(fabs(move) < (double)nch)) flag |= EP_FLAG_OFF_AXIS;
    if (!ep_fatal(flag) && !ep_all_finite(v, nch)) flag |= EP_FLAG_NOT_FINITE;
    if (ep_fatal(flag)) {
        to->left_out++;
        to->why |= flag;
        return;
    }
    int64_t by = (int64_t)move;
    size_t up = by > 0 ? (size_t)by : 0, down = by < 0 ? (size_t)-by : 0;
    to->n++;
    to->flag |= flag;
    if (by > to->reach_up) to->reach_up = by;
    if (by < to->reach_down) to->reach_down = by;
    for (size_t i = up; i + down < nch; i++) to->sum[i] += (double)v[i + down - up];
}
static inline void ep_spectrum_merge(struct ep_spectrum_sum *l, const struct ep_spectrum_sum *r, size_t nch)
{
    l->n += r->n;
    l->left_out += r->left_out;
    l->flag |= r->flag;
    l->why |= r->why;
    if (r->n == 0) return;
    if (r->reach_up > l->reach_up) l->reach_up = r->reach_up;
    if (r->reach_down < l->reach_down) l->reach_down = r->reach_down;
    for (size_t i = 0; i < nch; i++) l->sum[i] += r->sum[i];
}
static inline bool ep_spectrum_covers(const struct ep_spectrum_sum *s, size_t i, size_t nch)
{
    return s->n > 0 && (int64_t)i >= s->reach_up && (int64_t)i < (int64_t)nch + s->reach_down;
}
#endif
