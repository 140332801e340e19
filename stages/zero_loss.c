#include "stages/zero_loss.h"

#include <stdio.h>
#include <stdlib.h>
#include "pipeline/base/mem.h"
#include "stages/centre.h"

#define OWN_WIDTHS 3.3
#define OWN_FROM 1.5
#define OWN_TO 4.5

static double channel_of(const struct ep_axis *a)
{
    return a->scale * ep_axis_unit_factor(a);
}

const struct ep_zero_loss_par ep_zero_loss_default = { { -20, 20 }, (double)NAN };

bool ep_zero_loss_check(struct ep_declare *d, const char *port, const struct ep_desc *in)
{
    return ep_zero_loss_check_as(d, port, in, d->par);
}

bool ep_zero_loss_check_as(struct ep_declare *d, const char *port, const struct ep_desc *in, const struct ep_zero_loss_par *p)
{
    size_t before = d->diag->nerrors;
    if (strncmp(in->meta.signal_type, "EDS", 3) == 0) {
        ep_declare_error(d, port, "the spectra are of X-rays, which have no zero-loss peak: give the low loss");
        return false;
    }
    if (in->modelled)
        ep_declare_error(d, port, "the spectra are %s: the counts that hold the zero-loss peak are needed",
                         in->deconvolved ? "deconvolved already" : "background-subtracted");
    if (!(in->energy.scale > 0)) ep_declare_error(d, port, "the energy axis runs downwards: its scale must be positive");
    double lo = ep_axis_at(&in->energy, 0), hi = ep_axis_at(&in->energy, (double)in->energy.size - 1), reach = in->shift_max;
    if (lo - reach >= p->zlp_window[1] || hi + reach <= p->zlp_window[0])
        ep_declare_error(d, port ? port : "zlp_window", "the axis (%g to %g eV) does not reach zlp_window (%g to %g eV): there is no zero-loss "
                         "peak on it; give the low loss, or join it with splice", lo, hi, p->zlp_window[0], p->zlp_window[1]);
    else if (lo >= 0 && reach == 0 && p->zlp_window[0] < 0 && p->zlp_window[1] > 0)
        ep_declare_error(d, port, "the axis begins at %g eV: half of the zero-loss peak is cut off", lo);
    return d->diag->nerrors == before;
}

static void common(struct ep_zero_loss *z, const struct ep_zero_loss_par *par, const struct ep_desc *in)
{
    memcpy(z->window, par->zlp_window, sizeof z->window);
    z->gain = in->gain;
    z->nch = ep_desc_nch(in);
    static const double full[] = { [EP_U8] = 255, [EP_U16] = 65535, [EP_I8] = 127, [EP_I16] = 32767, [EP_I32] = 0 };
    z->full = in->dtype < sizeof full / sizeof *full ? full[in->dtype] : 0;
}

/* ---- one spectrum ---- */

static struct ep_range search_range(const struct ep_zero_loss *z, const struct ep_axis *axis, double shift)
{
    return ep_axis_window(axis, z->window[0], z->window[1], shift, NULL);
}

/* The highest channel, or a flag. A peak at the border of where it was looked for is none. */
static uint32_t highest(const struct ep_zero_loss *z, const struct ep_axis *axis, const float *y, double shift, size_t *top)
{
    struct ep_range r = search_range(z, axis, shift);
    *top = r.first;
    for (size_t i = r.first; i < r.end; i++) {
        if (!isfinite(y[i])) return EP_FLAG_NOT_FINITE;
        if (y[i] > y[*top]) *top = i;
    }
    bool none = r.end - r.first < 3 || *top == r.first || *top + 1 == r.end || !((double)y[*top] > 0);
    return none ? EP_FLAG_NO_ZLP : 0;
}

struct ep_peak ep_zero_loss_find(const struct ep_zero_loss *z, const struct ep_axis *axis, const float *y, double shift)
{
    struct ep_peak k = { (double)NAN, (double)NAN, (double)NAN, 0 };
    size_t top;
    k.flag = highest(z, axis, y, shift, &top);
    if (k.flag) return k;
    double channel = channel_of(axis), least = 2 * z->fwhm / channel;
    if ((double)top < least || (double)top + z->end / channel > (double)z->nch - 1) {
        k.flag = EP_FLAG_OFF_AXIS;
        return k;
    }
    struct ep_centre c = ep_centre_find(y, 0, z->nch, top, z->half, z->gain, 0);
    k.flag = c.flag;
    k.at = c.at;
    k.slope = c.slope;
    if (k.flag) return k;
    k.end = k.at + z->end / channel;
    if (z->full > 0 && (double)y[top] >= z->full) k.flag = EP_FLAG_SATURATED;
    return k;
}

/* Channels from the highest one to half of its height. */
static double half_height(const float *y, size_t nch, size_t top, int step)
{
    size_t i = top;
    while (i > 0 && i + 1 < nch && y[i] > y[top] / 2) i = (size_t)((long)i + step);
    double half = (double)y[top] / 2, here = (double)y[i], last = (double)y[(size_t)((long)i - step)];
    return fabs((double)i - (double)top) - 1 + (last > here ? (last - half) / (last - here) : 1);
}

struct ep_peak ep_zero_loss_own(const struct ep_zero_loss_par *par, const struct ep_desc *in, const float *y, double shift)
{
    struct ep_zero_loss z;
    struct ep_peak k = { (double)NAN, (double)NAN, (double)NAN, 0 };
    size_t top;
    common(&z, par, in);
    k.flag = highest(&z, &in->energy, y, shift, &top);
    if (k.flag) return k;
    double width = half_height(y, z.nch, top, 1) + half_height(y, z.nch, top, -1), channel = channel_of(&in->energy);
    z.fwhm = width * channel;
    z.half = fmax(3, width);
    z.end = fmin(fmax(OWN_WIDTHS * z.fwhm, OWN_FROM), OWN_TO);
    return ep_zero_loss_find(&z, &in->energy, y, shift);
}

const float *ep_zero_loss_filled(const struct ep_cell *c, const float *y, size_t nch, float *room)
{
    size_t first = 0, end = nch;
    if (c->d->kind != EP_SPECTRUM) return y;
    while (first < end && !isfinite(y[first])) first++;
    while (end > first && !isfinite(y[end - 1])) end--;
    if (end - first == nch || end - first < nch / 2) return y;
    double sum = 0;
    for (size_t i = end - nch / 20; i < end; i++) sum += (double)y[i];
    for (size_t i = 0; i < nch; i++) room[i] = i < first ? 0 : i < end ? y[i] : (float)(sum / (double)(nch / 20));
    return room;
}

/* ---- the look ---- */

struct look { struct ep_zero_loss z; struct ep_axis axis; size_t item, beside; };
/* Starts as zeros. `before`, `after`: the fewest channels below and above the peak, plus one; sum[nch + i]: i channels above it;
 * the sums of `beside` follow. */
struct acc { int64_t n; size_t before, after; double place, sum[]; };

const struct ep_outdoc ep_zero_loss_look_outputs[] = {
    { "mean", EP_SPECTRUM, "counts", "The mean spectrum, its zero-loss peak in the middle." },
    { "pixels", EP_MAP, "", "How many pixels have a peak." },
    { "place", EP_MAP, "", "The mean channel of the peak." },
    { "beside", EP_SPECTRUM, "counts", "The mean spectrum of the other image, where there is one." },
};

void ep_zero_loss_look_declare(struct ep_declare *d, const struct ep_desc *in, const struct ep_desc *beside)
{
    struct ep_desc *o = ep_declare_output(d, "mean", EP_SPECTRUM);
    o->spectral = true;
    o->energy = in->energy;
    o->energy.offset = -in->energy.scale * (double)in->energy.size;
    o->energy.size = 2 * in->energy.size;
    snprintf(o->unit, sizeof o->unit, "counts");
    snprintf(o->long_name, sizeof o->long_name, "Mean spectrum about its zero-loss peak");
    struct ep_desc *n = ep_declare_output(d, "pixels", EP_MAP);
    snprintf(n->long_name, sizeof n->long_name, "Pixels with a zero-loss peak");
    n = ep_declare_output(d, "place", EP_MAP);
    snprintf(n->long_name, sizeof n->long_name, "Mean channel of the peak");
    d->acc = sizeof(struct acc) + (2 * in->energy.size + (beside ? beside->energy.size : 0)) * sizeof(double);
    d->scratch = (in->energy.size + (beside ? beside->energy.size : 0)) * sizeof(float);
    if (!beside) return;
    o = ep_declare_output(d, "beside", EP_SPECTRUM);
    o->spectral = true;
    o->energy = beside->energy;
    snprintf(o->unit, sizeof o->unit, "counts");
    snprintf(o->long_name, sizeof o->long_name, "Mean spectrum");
}

ep_status ep_zero_loss_look_prepare(const struct ep_prepare *p, const struct ep_desc *in, size_t item, const struct ep_desc *beside,
                                    void **plan, struct ep_err *e)
{
    (void)e;
    struct look *l = ep_xcalloc(1, sizeof *l);
    common(&l->z, p->par, in);
    l->axis = in->energy;
    l->item = item;
    l->beside = beside ? ep_desc_nch(beside) : 0;
    *plan = l;
    return EP_OK;
}

static bool all_finite(const float *v, size_t n)
{
    float test = 0;
    for (size_t i = 0; i < n; i++) test += 0 * v[i];
    return test == 0;
}

ep_status ep_zero_loss_look_add(const struct ep_apply *a, void *accumulator, struct ep_err *e)
{
    (void)e;
    const struct look *l = a->plan;
    const struct ep_cell *in = &a->in[l->item];
    struct acc *acc = accumulator;
    size_t nch = l->z.nch;
    for (size_t y = a->area.y0; y < a->area.y0 + a->area.ny; y++)
        for (size_t x = a->area.x0; x < a->area.x0 + a->area.nx; x++) {
            size_t at = ep_in_at(in, y, x), top;
            if (ep_fatal(in->flag[at])) continue;
            const float *v = ep_cell_spectrum(in, ep_in_y(in, y), ep_in_x(in, x)), *w = NULL;
            v = ep_zero_loss_filled(in, v, nch, a->scratch);
            if (l->beside) {
                w = ep_cell_spectrum(&a->in[0], ep_in_y(&a->in[0], y), ep_in_x(&a->in[0], x));
                w = ep_zero_loss_filled(&a->in[0], w, l->beside, (float *)a->scratch + nch);
            }
            if (!all_finite(v, nch) || !all_finite(w, l->beside) || highest(&l->z, &l->axis, v, ep_shift_at(in, at), &top)) continue;
            if (acc->n == 0 || top + 1 < acc->before) acc->before = top + 1;
            if (acc->n == 0 || nch - top < acc->after) acc->after = nch - top;
            acc->n++;
            acc->place += (double)top;
            double *to = acc->sum + (nch - top);
            for (size_t i = 0; i < nch; i++) to[i] += (double)v[i];
            for (size_t i = 0; i < l->beside; i++) acc->sum[2 * nch + i] += (double)w[i];
        }
    return EP_OK;
}

void ep_zero_loss_look_merge(const void *plan, void *left, const void *right)
{
    const struct look *l = plan;
    struct acc *to = left;
    const struct acc *from = right;
    if (from->n == 0) return;
    if (to->n == 0 || from->before < to->before) to->before = from->before;
    if (to->n == 0 || from->after < to->after) to->after = from->after;
    to->n += from->n;
    to->place += from->place;
    for (size_t i = 0; i < 2 * l->z.nch + l->beside; i++) to->sum[i] += from->sum[i];
}

ep_status ep_zero_loss_look_finish(const void *plan, void *accumulator, struct ep_signal **out, struct ep_err *e)
{
    const struct look *l = plan;
    const struct acc *acc = accumulator;
    size_t nch = l->z.nch;
    if (acc->n == 0)
        return ep_fail(e, EP_E_COMPUTE, "no pixel has a zero-loss peak between %g and %g eV: is this the low loss? else set zlp_window", l->z.window[0],
                       l->z.window[1]);
    if (out[EP_ZERO_LOSS_PIXELS]) out[EP_ZERO_LOSS_PIXELS]->f32[0] = (float)acc->n;
    if (out[EP_ZERO_LOSS_PLACE]) out[EP_ZERO_LOSS_PLACE]->f32[0] = (float)(acc->place / (double)acc->n);
    struct ep_signal *s = out[EP_ZERO_LOSS_MEAN];
    for (size_t i = 0; s && i < 2 * nch; i++) {
        bool covered = i + acc->before > nch && i < nch + acc->after;
        s->f64[i] = covered ? acc->sum[i] / (double)acc->n : (double)NAN;
    }
    for (size_t i = 0; i < l->beside && out[EP_ZERO_LOSS_BESIDE]; i++) out[EP_ZERO_LOSS_BESIDE]->f64[i] = acc->sum[2 * nch + i] / (double)acc->n;
    return EP_OK;
}

/* ---- where the peak of the mean ends ---- */

static double half_width(const double *m, size_t top, size_t end, int step)
{
    size_t i = top;
    while (i > 0 && i + 1 < end && m[i] > m[top] / 2) i = (size_t)((long)i + step);
    double last = m[(size_t)((long)i - step)];
    double part = last > m[i] ? (last - m[top] / 2) / (last - m[i]) : 1;
    return fabs((double)i - (double)top) - 1 + part;
}

/* The lowest mean of `width` channels between the zero-loss peak (at `zero`; its feet may still be higher than any loss) and the
 * losses: the feet fall faster than 1/E, so counts times E are highest where the losses are. */
static size_t valley(const double *m, size_t zero, size_t from, size_t end, size_t width)
{
    size_t top = from, best = from;
    double most = -INFINITY, least = INFINITY;
    for (size_t i = from; i + width <= end; i++) {
        double s = 0;
        for (size_t k = 0; k < width; k++) s += m[i + k];
        s *= (double)(i - zero);
        if (s > most) most = s, top = i;
    }
    for (size_t i = from; i <= top; i++) {
        double s = 0;
        for (size_t k = 0; k < width; k++) s += m[i + k];
        if (s < least) least = s, best = i + width / 2;
    }
    return best;
}

ep_status ep_zero_loss_new(struct ep_zero_loss *z, const struct ep_zero_loss_par *par, const struct ep_desc *in,
                           const struct ep_signal *mean, struct ep_err *e)
{
    common(z, par, in);
    const double *m = mean->f64;
    size_t first = z->nch, end = z->nch;
    double channel = channel_of(&in->energy);
    while (first > 0 && isfinite(m[first - 1])) first--;
    while (end < 2 * z->nch && isfinite(m[end])) end++;
    double up = half_width(m + first, z->nch - first, end - first, 1), down = half_width(m + first, z->nch - first, end - first, -1);
    z->fwhm = (up + down) * channel;
    z->half = fmax(3, up + down);
    z->end = par->zlp_end;
    if (!isnan(z->end)) return EP_OK;
    size_t from = z->nch + (size_t)ceil(2 * (up + down)), width = (size_t)fmax(1, rint(0.5 / channel));
    size_t far = from + (size_t)(50 / channel);
    if (far > end) far = end;
    if (from + 4 * width > far)
        return ep_fail(e, EP_E_COMPUTE, "the axis ends too near to the zero-loss peak (%g eV wide) to see where it ends: set zlp_end", z->fwhm);
    z->end = ((double)valley(m, z->nch, from, far, width) - (double)z->nch) * channel;
    return EP_OK;
}

ep_status ep_zero_loss_tail(const struct ep_zero_loss *z, const struct ep_axis *axis, const struct ep_signal *mean, double *r, double *beyond,
                            size_t *last, struct ep_err *e)
{
    const double *m = mean->f64 + z->nch;        /* m[0]: the peak */
    size_t end = 0;
    while (end < z->nch && isfinite(m[end])) end++;
    double channel = channel_of(axis), a = 0, b = 0;
    size_t first = end - end / 5, mid = (first + end) / 2;
    double x1 = ((double)first - 0.5) * channel, x3 = ((double)mid - 0.5) * channel, x2 = ((double)end - 0.5) * channel;
    if (end < 20 || x1 < z->end)
        return ep_fail(e, EP_E_COMPUTE, "the axis ends %g eV above the zero-loss peak, too near for the losses to be continued beyond it as a power "
                       "law (tail)", x2);
    for (size_t i = first; i < mid; i++) a += m[i];
    for (size_t i = mid; i < end; i++) b += m[i];
    /* a/b = (x1^k - x3^k)/(x3^k - x2^k), k = 1 - r: falls with k; halved until found */
    double lo = -30, hi = -0.5;
    for (int i = 0; i < 60; i++) {
        double k = (lo + hi) / 2, want = (pow(x1 / x3, k) - 1) / (1 - pow(x2 / x3, k));
        if (want > a / b) lo = k;
        else hi = k;
    }
    if (!(a > 0) || !(b > 0) || hi > -0.5 - 1e-6)
        return ep_fail(e, EP_E_COMPUTE, "between %g and %g eV the losses fall too slowly to be continued beyond the axis as a power law (tail)", x1, x2);
    *r = 1 - lo;
    *beyond = 1 / (pow(x1 / x2, lo) - 1);
    *last = end - first;
    return EP_OK;
}
