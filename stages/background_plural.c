/* The background under an edge that stands behind another one, as O K behind Ti L2,3.
 *
 * Plasmons repeat the white lines of the edge in front under the next one, bent as no power law is; but what they make of it is known from
 * the low loss. A power law B1 is fitted before the edge in front, where there is nothing else. What the counts y hold above it is single
 * scattering T and its plural losses, p of which follow an electron (numerics/plural.h), from the lowest channel upwards
 *     T_i = y_i - B1_i - sum_{k>0} p_k T_{i-k}.
 * In the fit window B1 + T is a power law, B: what background and the edge's tail are without plural losses. From the window on T = B - B1 is
 * put in place of the counts, which hold the next edge there, and the background is
 *     b_i = B_i + sum_{k>0} p_k T_{i-k}.
 * Below the window it is B1, so that the net shows the edge in front.
 * As for any net, sigma is that of counts and of a power law through the window: the noise of T and of p is smooth and averaged, and what is
 * left of it when a power law has been fitted changes sigma by less than 2 % (test_montecarlo_stages).
 */
#include <math.h>
#include <string.h>
#include "pipeline/numerics/plural.h"
#include "stages/background_plan.h"
#include "stages/pixels.h"
#include "stages/zero_loss.h"

struct room { double *p, *plural, *kept, *b, *low; float *single, *filled; };

static struct room room_of(const struct plan *p, void *scratch)
{
    struct room r;
    r.p = (double *)(void *)((char *)scratch + p->at_plural);
    r.plural = r.p + p->nch;
    r.kept = r.plural + p->nch;
    r.b = r.kept + p->nch;
    r.low = r.b + p->nch;
    r.single = (float *)(void *)(r.low + p->nlow);
    r.filled = r.single + p->nch;
    return r;
}

size_t ep_background_plural_scratch(size_t nch, size_t nlow)
{
    return (4 * nch + nlow) * sizeof(double) + (nch + nlow) * sizeof(float);
}

/* p of the pixel, n channels of it. */
static uint32_t find_losses(const struct ep_apply *a, const struct plan *p, size_t y, size_t x, size_t n, const struct room *r)
{
    const struct ep_cell *c = &a->in[1];
    size_t gy = a->area.y0 + y, gx = a->area.x0 + x;
    const float *v = ep_zero_loss_filled(c, ep_cell_spectrum(c, ep_in_y(c, gy), ep_in_x(c, gx)), p->nlow, r->filled);
    struct ep_peak k = ep_zero_loss_own(&ep_zero_loss_default, c->d, v, ep_shift_at(c, ep_in_at(c, gy, gx)));
    double test = 0;
    for (size_t i = 0; i < p->nlow; i++) {
        r->low[i] = (double)v[i];
        test += 0 * r->low[i];
    }
    if (test != 0) return EP_FLAG_NOT_FINITE;
    if (ep_fatal(k.flag)) return k.flag;
    return ep_plural_kernel(r->low, p->nlow, k.at, k.end, p->stretch, n, r->p) ? 0 : (uint32_t)EP_FLAG_NO_COUNTS;
}

/* From the window's first channel, `at` (counted from the front's), single scattering is that of the counts, up to channel `to`. */
static void single_scattering(const float *counts, size_t at, size_t to, const struct room *r, size_t n)
{
    memset(r->plural, 0, n * sizeof *r->plural);
    for (size_t i = 0; i < to; i++) {
        if (i == at) memcpy(r->kept, r->plural, n * sizeof *r->kept);
        double t = (double)counts[i] - r->b[i] - r->plural[i];
        r->single[i] = (float)(r->b[i] + t);
        ep_plural_add(t, r->p, n - i, r->plural + i);
    }
}

static double chi_square(const struct plan *p, const float *counts, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)counts[i] - b[i], v = p->m.gain * b[i] + p->m.read_noise * p->m.read_noise;
        sum += d * d / v;
    }
    return n > 2 ? sum / (double)(n - 2) : (double)NAN;
}

const double *ep_background_plural(const struct ep_apply *a, const struct plan *p, size_t y, size_t x, struct ep_range *ch,
                                   struct ep_fit_result *res)
{
    const struct ep_cell *in = &a->in[0];
    size_t iy = ep_in_y(in, a->area.y0 + y), ix = ep_in_x(in, a->area.x0 + x);
    const float *counts = ep_cell_spectrum(in, iy, ix);
    double shift = ep_shift_at(in, iy * in->a.nx + ix);
    struct room r = room_of(p, a->scratch);
    struct ep_fit_result front, behind;
    ep_fit_spectrum(p->front, counts, in->ch0, in->nch, shift, &front, a->scratch);
    res->flag |= front.flag;
    if (ep_fatal(res->flag)) return NULL;
    size_t first = ep_axis_window(&p->m.axis, p->front_m.window[0][0], p->front_m.window[0][1], shift, NULL).first;
    struct ep_range w = ep_axis_window(&p->m.axis, p->m.window[0][0], p->m.window[0][1], shift, NULL);
    *ch = ep_range_hull(*ch, (struct ep_range){ first, w.end });
    size_t n = ch->end - first, at = w.first - first, to = w.end - first;
    counts += first - in->ch0;
    res->flag |= find_losses(a, p, y, x, n, &r);
    if (ep_fatal(res->flag)) return NULL;

    ep_model_background(&p->front_m, front.theta, shift, *ch, r.b);
    r.b += first - ch->first;
    single_scattering(counts, at, to, &r, n);
    ep_fit_spectrum(p->fit, r.single + at, w.first, to - at, shift, &behind, a->scratch);
    res->flag |= behind.flag;
    if (ep_fatal(res->flag)) return NULL;
    memcpy(r.plural, r.kept, n * sizeof *r.plural);
    ep_model_background(&p->m, behind.theta, shift, (struct ep_range){ w.first, ch->end }, r.kept);
    for (size_t i = at; i < n; i++) {
        double t = r.kept[i - at] - r.b[i];
        r.b[i] = r.kept[i - at] + r.plural[i];
        ep_plural_add(t, r.p, n - i, r.plural + i);
    }
    res->chi2 = chi_square(p, counts + at, r.b + at, to - at);
    return r.b - (first - ch->first);
}
