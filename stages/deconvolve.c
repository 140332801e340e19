/* Plural scattering taken off: Fourier-log of whole spectra, Fourier-ratio of edges.
 *
 * In Fourier space a spectrum is J = Z exp(s), Z being the zero-loss peak and s single scattering over I0. Fourier-log gives Z ln(J/Z),
 * single scattering at the resolution of the measurement. With L = J - Z that is L - C, C = L - Z ln(1 + L/Z) being what plural
 * scattering adds; it is C alone that is computed in Fourier space and smoothed by H, a low pass of the peak's own width. So
 *     single = counts above the peak - H C
 * holds for every frequency, also where Z is lost in noise: there the counts pass as they are, and their noise stays that of counts.
 * Fourier-ratio of a net core loss K: K - H K L/J.
 *
 * Noise. A change dL of the counts above the peak gives dL - H (L/J) dL, one of the peak's counts gives H (ln(1 + L/Z) - L/J) dZ. Both are
 * smooth functions of the loss between; they are taken from the mean spectrum and carried by the result (data/model.h, ep_transfer).
 */
#include <stdio.h>
#include <stdlib.h>
#include "pipeline/base/mem.h"
#include "pipeline/numerics/fft.h"
#include "stages/zero_loss.h"

enum { PORT_INPUT, PORT_LOW };
enum { METHOD_LOG, METHOD_RATIO };
static const char *const methods[] = { "log", "ratio", NULL };

struct par { struct ep_zero_loss_par zlp; int method; double width, tail_exponent; };

static const struct ep_param params[] = {
    EP_ZERO_LOSS_PARAMS,
    { .name = "method", .type = EP_P_WORD, .offset = offsetof(struct par, method), .def = "log", .words = methods,
      .doc = "Fourier-log for a whole spectrum with its zero-loss peak (splice makes one); Fourier-ratio for a background-subtracted edge with its low_loss." },
    { .name = "width", .type = EP_P_NUMBER, .offset = offsetof(struct par, width), .unit = "eV", .min = 0.001, .max = 100,
      .doc = "Give the result the resolution of a Gaussian of this FWHM; left out, it keeps that of the measurement." },
    { .name = "tail_exponent", .type = EP_P_NUMBER, .offset = offsetof(struct par, tail_exponent), .unit = "", .min = 0.5, .max = 20,
      .doc = "Beyond the axis spectra are continued as E^-tail_exponent; left out, that of the mean spectrum's last fifth (log), or 3 (ratio, "
             "and where that does not fall like a power)." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "A whole spectrum as raw counts (log), or net counts of an edge (ratio).", .kinds = EP_IMAGE | EP_SPECTRUM, .stream = true,
      .min = 1, .max = 1 },
    { .name = "low_loss", .doc = "For ratio: the low loss of the same pixels, as raw counts.",
      .kinds = EP_IMAGE | EP_SPECTRUM, .stream = true, .min = 0, .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "single", EP_IMAGE, "counts", "Single scattering in counts, on the input's axis; without the zero-loss peak." },
};

/* What follows an axis of nch channels: times the sum of its last `width` ones. */
struct tail { size_t nch, width; double *shape; };

struct plan {
    struct ep_zero_loss z;
    struct ep_axis source;         /* of what holds the zero-loss peak */
    double channel, q;             /* eV per channel of the input; in channels of the source */
    bool ratio;
    struct tail low_tail, core_tail;
    size_t n, nch, nlow, filled, used; /* transform; channels of the input, of the source, of this on the input's; frequencies at which H is not 0 */
    struct ep_fft *fft;
    double *h;                     /* [used] */
    bool gauss;                    /* `width`: h is what the result's resolution is */
    double total, thick, net;      /* of the mean: counts, t/lambda; ratio: net counts */
    struct ep_model model;         /* log: of the result; ratio: its transfer */
    struct ep_desc d;
};

/* ---- declare -------------------------------------------------------------------------------------------------- */

static const struct ep_desc *source_of(const struct ep_declare *d)
{
    const struct par *p = d->par;
    const struct ep_desc *low = ep_declare_input(d, PORT_LOW);
    return p->method == METHOD_RATIO && low ? low : ep_declare_input(d, PORT_INPUT);
}

static void check_ratio(struct ep_declare *d, const struct ep_desc *in, const struct ep_desc *low)
{
    if (!low) {
        ep_declare_error(d, NULL, "method: ratio needs low_loss: the low loss of the same pixels");
        return;
    }
    if (in->deconvolved) ep_declare_error(d, "input", "the input is deconvolved already");
    else if (!in->modelled) ep_declare_error(d, "input", "method: ratio needs net counts of an edge: put background before it, or use method: log");
    if (!ep_desc_same_grid(in, low))
        ep_declare_error(d, "low_loss", "the low loss has %zu x %zu pixels, the input has %zu x %zu: they must be the same pixels",
                         ep_desc_ny(low), ep_desc_nx(low), ep_desc_ny(in), ep_desc_nx(in));
    double a = in->energy.scale * ep_axis_unit_factor(&in->energy), b = low->energy.scale * ep_axis_unit_factor(&low->energy);
    if (!(a > 0) || a / b > 100 || b / a > 10)
        ep_declare_error(d, "low_loss", "the low loss has channels of %g eV, the input of %g eV: widths so different cannot be compared; rebin the finer one",
                         b, a);
    ep_zero_loss_check(d, "low_loss", low);
}

static double width_of(const struct ep_desc *d)
{
    return d->energy.scale * ep_axis_unit_factor(&d->energy);
}

/* Width of the input's channels in those of the low loss; how many of them the low loss fills. */
static double stretch(const struct ep_desc *in, const struct ep_desc *source)
{
    double q = width_of(in) / width_of(source);
    return fabs(q - 1) < 1e-6 || !(q > 0.1) || q > 100 ? 1 : q;
}
static size_t stretched(const struct ep_desc *source, double q)
{
    return (size_t)floor((double)ep_desc_nch(source) / q + 1e-6);
}

/* Longer than either spectrum, also before the low loss gets the input's channels. */
static size_t transform_size(const struct ep_desc *in, const struct ep_desc *source)
{
    size_t nch = ep_desc_nch(in), most = nch, other = ep_desc_nch(source), filled = stretched(source, stretch(in, source));
    if (other > most) most = other;
    if (filled > most) most = filled;
    return ep_fft_size(nch + most);
}

static size_t padded(size_t bytes)
{
    return (bytes + EP_FFT_ALIGN - 1) / EP_FFT_ALIGN * EP_FFT_ALIGN;
}

/* A transform is longer than either spectrum: 2 n floats hold copies of both. */
static size_t scratch_bytes(size_t n)
{
    return EP_FFT_ALIGN + padded(n * sizeof(double)) + 3 * padded((n / 2 + 1) * sizeof(struct ep_complex)) + padded(sizeof(struct ep_model)) +
           2 * n * sizeof(float);
}

static void declare(struct ep_declare *d)
{
    const struct par *p = d->par;
    const struct ep_desc *in = ep_declare_input(d, PORT_INPUT), *low = ep_declare_input(d, PORT_LOW);
    if (p->method == METHOD_RATIO) check_ratio(d, in, low);
    else {
        if (low) ep_declare_error(d, "low_loss", "method: log takes the zero-loss peak from the input: join the two with splice, or use method: ratio");
        ep_zero_loss_check(d, NULL, in);
        if (in->gain == 0 && in->read_noise == 0) ep_declare_error(d, "input", "the input holds no counts: its noise is not known");
    }
    size_t nch = ep_desc_nch(source_of(d));
    if (nch < 32 || nch > 1000000 || ep_desc_nch(in) < 32 || ep_desc_nch(in) > 1000000)
        ep_declare_error(d, NULL, "the axis has %zu channels; a transform needs 32 to a million", nch < 32 ? nch : ep_desc_nch(in));
    struct ep_desc *o = ep_declare_like(d, "single", in, "Single scattering");
    o->primary = true;
    o->modelled = o->deconvolved = true;
    size_t n = transform_size(in, source_of(d));
    d->scratch = scratch_bytes(n);
}

static void look_declare(struct ep_declare *d)
{
    const struct ep_desc *source = source_of(d), *in = ep_declare_input(d, PORT_INPUT);
    ep_zero_loss_look_declare(d, source, source == in ? NULL : in);
}

static size_t source_item(const struct ep_prepare *p)
{
    return ((const struct par *)p->par)->method == METHOD_RATIO && p->in[PORT_LOW].n ? PORT_LOW : PORT_INPUT;
}

static ep_status look_prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    size_t item = source_item(p);
    return ep_zero_loss_look_prepare(p, p->in[item].v[0].d, item, item == PORT_INPUT ? NULL : p->in[PORT_INPUT].v[0].d, plan, e);
}

/* ---- transforms ----------------------------------------------------------------------------------------------- */

struct room { double *t; struct ep_complex *j, *z, *c; struct ep_model *model; float *low, *core; };

static struct room room_of(const struct plan *p, void *scratch)
{
    size_t c = padded((p->n / 2 + 1) * sizeof(struct ep_complex));
    char *at = scratch;
    at += (EP_FFT_ALIGN - (uintptr_t)at % EP_FFT_ALIGN) % EP_FFT_ALIGN;
    struct room r = { .t = (double *)(void *)at };
    at += padded(p->n * sizeof(double));
    r.j = (struct ep_complex *)(void *)at;
    r.z = (struct ep_complex *)(void *)(at + c);
    r.c = (struct ep_complex *)(void *)(at + 2 * c);
    r.model = (struct ep_model *)(void *)(at + 3 * c);
    r.low = (float *)(void *)(at + 3 * c + padded(sizeof *r.model));
    r.core = r.low + p->nlow;
    return r;
}

/* Behind nch channels, the first of them `start` channels above zero loss, their last twentieth goes on as E^-r, and ends softly in the last
 * third of the transform. */
static void make_tail(struct tail *t, size_t nch, size_t n, double start, double r)
{
    double shape = 0, end = fmax((double)nch + start, 1);
    t->nch = nch;
    t->width = nch / 20 > 8 ? nch / 20 : 8;
    t->shape = ep_xcalloc(n - nch, sizeof *t->shape);
    for (size_t i = nch - t->width; i < nch; i++) shape += pow(fmax((double)i + start, 1) / end, -r);
    size_t soft = n - (n - nch) / 3;
    for (size_t i = nch; i < n; i++) {
        double fade = i < soft ? 1 : 0.5 * (1 + cos(M_PI * (double)(i - soft) / (double)(n - soft)));
        t->shape[i - nch] = fade * pow(((double)i + start) / end, -r) / shape;
    }
}

static void add_tail(const struct tail *tail, double *t, size_t n)
{
    double sum = 0;
    for (size_t i = tail->nch - tail->width; i < tail->nch; i++) sum += t[i];
    for (size_t i = tail->nch; i < n; i++) t[i] = sum * tail->shape[i - tail->nch];
}

/* The source's counts on channels of the input's width, each sharing out its own evenly; the first boundary stays. run: room for nlow + 1. */
static void stretch_counts(const struct plan *p, double *t, double *run)
{
    if (p->q == 1) return;
    run[0] = 0;
    for (size_t i = 0; i < p->nlow; i++) run[i + 1] = run[i] + t[i];
    double below = 0;
    for (size_t i = 0; i < p->filled; i++) {
        double u = fmin((double)(i + 1) * p->q, (double)p->nlow);
        size_t k = u >= (double)p->nlow ? p->nlow - 1 : (size_t)u;
        double upto = run[k] + (u - (double)k) * (run[k + 1] - run[k]);
        t[i] = upto - below;
        below = upto;
    }
}
static double stretch_boundary(const struct plan *p, double t)
{
    return p->q == 1 ? t : (t + 0.5) / p->q - 0.5;
}

/* J and Z of low-loss counts (n values of t, tail added) whose zero-loss peak ends at boundary `end`. Z overwrites t. */
static void split(const struct plan *p, double *t, double end, const struct room *r)
{
    ep_fft_forward(p->fft, t, r->j);
    size_t i = (size_t)(end + 0.5);
    t[i] *= end + 0.5 - (double)i;
    memset(t + i + 1, 0, (p->n - i - 1) * sizeof *t);
    ep_fft_forward(p->fft, t, r->z);
}

static struct ep_complex times(struct ep_complex a, struct ep_complex b)
{
    return (struct ep_complex){ a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re };
}
static struct ep_complex over(struct ep_complex a, struct ep_complex b)
{
    double n = b.re * b.re + b.im * b.im;
    if (!(n > 0)) return (struct ep_complex){ 0, 0 };
    return (struct ep_complex){ (a.re * b.re + a.im * b.im) / n, (a.im * b.re - a.re * b.im) / n };
}
/* 0 of 0: a sum of counts with both signs (the highest frequency) may vanish exactly, and says nothing then. */
static struct ep_complex logarithm(struct ep_complex a)
{
    double n = a.re * a.re + a.im * a.im;
    if (!(n > 0)) return (struct ep_complex){ 0, 0 };
    return (struct ep_complex){ 0.5 * log(n), atan2(a.im, a.re) };
}
static struct ep_complex minus(struct ep_complex a, struct ep_complex b)
{
    return (struct ep_complex){ a.re - b.re, a.im - b.im };
}
/* exp(-2 pi i k c / n): a peak at channel c. */
static struct ep_complex phase(const struct plan *p, size_t k, double c)
{
    double t = -2 * M_PI * (double)k * c / (double)p->n;
    return (struct ep_complex){ cos(t), sin(t) };
}
static void zero_above(const struct plan *p, struct ep_complex *c)
{
    memset(c + p->used, 0, (p->n / 2 + 1 - p->used) * sizeof *c);
}

/* ---- the mean spectrum: resolution, tail, noise --------------------------------------------------------------- */

/* Response at a loss, averaged over groups of channels: of channel i to j, i - j = d group + u. */
static void by_groups(const struct plan *p, const double *k, size_t group, double *out)
{
    for (size_t d = 0; d < EP_TRANSFER; d++) {
        double s = 0;
        for (long u = 1 - (long)group; u < (long)group; u++) {
            long at = (long)(d * group) + u;
            if (at >= (long)p->n / 2) continue;
            s += (double)((long)group - labs(u)) * k[at < 0 ? at + (long)p->n : at];
        }
        out[d] = s / (double)(group * group);
    }
}

static double mean_at(const struct plan *p, const double *m, long i)
{
    long n = 2 * (long)p->z.nch, lo = 0, hi = n - 1;
    while (lo < hi && !isfinite(m[lo])) lo++;
    while (hi > lo && !isfinite(m[hi])) hi--;
    return m[i < lo ? lo : i > hi ? hi : i];
}

/* var: variance of a mean pixel's channel in each group of the image's axis. */
static void group_variances(struct plan *q, const struct ep_desc *in, const double *m, double place, struct ep_transfer *t)
{
    for (size_t i = 0; i < q->nch; i++) {
        bool low = i < in->low.end;
        double gain = low ? in->low.gain : in->gain, noise = low ? in->low.read_noise : in->read_noise;
        double v = gain * mean_at(q, m, (long)q->z.nch + (long)i - lrint(place)) + noise * noise;
        t->var[i / t->group] += fmax(v, 0) / (double)t->group;
    }
    size_t last = (q->nch - 1) / t->group, rest = q->nch - last * t->group;
    t->var[last] *= (double)t->group / (double)rest;
}

/* var: net counts of a mean pixel's channel in each group, before deconvolution. */
static void mean_net(struct plan *q, const double *net, struct ep_transfer *t)
{
    for (size_t i = 0; i < q->nch; i++) {
        t->var[i / t->group] += net[i] / (double)t->group;
        q->net += net[i];
    }
    for (size_t g = 0; g < EP_TRANSFER; g++) t->var[g] = fmax(t->var[g], 0);
}

static void make_transfer(struct plan *q, const struct ep_desc *in, const struct ep_prepare *p, struct room r)
{
    const double *m = p->look[EP_ZERO_LOSS_MEAN]->f64;
    double place = (double)p->look[EP_ZERO_LOSS_PLACE]->f32[0], zero = 0;
    double end = rint(place) + q->z.end * q->q / q->channel;
    for (size_t i = 0; i < q->nlow; i++) {
        r.t[i] = mean_at(q, m, (long)q->nlow + (long)i - lrint(place));
        q->total += r.t[i];
        zero += r.t[i] * fmin(fmax(end + 0.5 - (double)i, 0), 1);
    }
    q->thick = log(q->total / zero);
    stretch_counts(q, r.t, (double *)(void *)r.c);
    add_tail(&q->low_tail, r.t, q->n);
    split(q, r.t, stretch_boundary(q, end), &r);

    struct ep_transfer *t = &q->model.transfer;
    t->group = (q->nch + EP_TRANSFER - 1) / EP_TRANSFER;
    for (size_t i = 0; i < q->used; i++) {
        struct ep_complex k = over(minus(r.j[i], r.z[i]), r.j[i]);
        r.c[i] = (struct ep_complex){ -q->h[i] * k.re, -q->h[i] * k.im };
    }
    zero_above(q, r.c);
    ep_fft_inverse(q->fft, r.c, r.t);
    by_groups(q, r.t, t->group, t->k);
    if (q->ratio) {
        mean_net(q, p->look[EP_ZERO_LOSS_BESIDE]->f64, t);
        return;
    }
    for (size_t i = 0; i < q->used; i++) {
        struct ep_complex k = minus(logarithm(over(r.j[i], r.z[i])), over(minus(r.j[i], r.z[i]), r.j[i]));
        r.c[i] = (struct ep_complex){ q->h[i] * k.re, q->h[i] * k.im };
    }
    zero_above(q, r.c);
    ep_fft_inverse(q->fft, r.c, r.t);
    by_groups(q, r.t, t->group, t->zlp);
    double stop = rint(place + q->z.end / q->channel);
    t->zlp_end = stop > 0 ? (size_t)stop : 0;
    group_variances(q, in, m, place, t);
}

/* The transform of a Gaussian peak of this width is exp(-x). H is exp(-x), too, where it is what the result's resolution shall be; to smooth,
 * exp(-x^2/4): that is 1 as long as the peak is strong, so that slopes are not moved, and falls before it is lost in noise. */
static void make_smoothing(struct plan *q, double fwhm)
{
    double s = fwhm / q->channel / (2 * sqrt(2 * log(2)));
    for (q->used = 0; q->used < q->n / 2 + 1; q->used++) {
        double v = 2 * M_PI * s * (double)q->used / (double)q->n, x = 0.5 * v * v;
        q->h[q->used] = exp(q->gauss ? -x : -x * x / 4);
        if (q->h[q->used] < 1e-8) break;
    }
}

static void free_plan(void *plan)
{
    struct plan *q = plan;
    if (!q) return;
    ep_fft_free(q->fft);
    free(q->low_tail.shape);
    free(q->core_tail.shape);
    free(q->h);
    free(q);
}

static ep_status prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    const struct par *par = p->par;
    const struct ep_desc *in = p->in[PORT_INPUT].v[0].d, *source = p->in[source_item(p)].v[0].d;
    const struct ep_signal *mean = p->look[EP_ZERO_LOSS_MEAN];
    struct plan *q = ep_xcalloc(1, sizeof *q);
    double beyond;
    size_t last;
    *plan = NULL;
    q->ratio = par->method == METHOD_RATIO;
    q->gauss = !isnan(par->width);
    q->d = p->out[0];
    q->nch = ep_desc_nch(in);
    q->nlow = ep_desc_nch(source);
    q->source = source->energy;
    q->channel = width_of(in);
    q->q = stretch(in, source);
    q->filled = q->q == 1 ? q->nlow : stretched(source, q->q);
    q->n = transform_size(in, source);
    double r = !isnan(par->tail_exponent) ? par->tail_exponent : 3, place = (double)p->look[EP_ZERO_LOSS_PLACE]->f32[0];
    ep_status st = ep_zero_loss_new(&q->z, &par->zlp, source, mean, e);
    if (!st && isnan(par->tail_exponent) && !q->ratio) {
        struct ep_err unused = { 0 };
        if (ep_zero_loss_tail(&q->z, &q->source, mean, &r, &beyond, &last, &unused)) r = 3;
    }
    if (!st) st = ep_fft_new(q->n, &q->fft, e);
    if (!st) {
        q->model = (struct ep_model){ .form = EP_MODEL_COUNTS, .e_ref = 1, .gain = in->gain, .read_noise = in->read_noise, .low = in->low,
                                      .axis = in->energy, .bin = 1 };
        q->h = ep_xcalloc(q->n / 2 + 1, sizeof *q->h);
        make_tail(&q->low_tail, q->filled, q->n, -stretch_boundary(q, place), r);
        if (q->ratio) make_tail(&q->core_tail, q->nch, q->n, ep_axis_at(&in->energy, 0) / q->channel, r);
        make_smoothing(q, q->gauss ? par->width : q->z.fwhm);
        void *scratch = ep_xmalloc(scratch_bytes(q->n));
        make_transfer(q, in, p, room_of(q, scratch));
        free(scratch);
        *plan = q;
        return EP_OK;
    }
    free_plan(q);
    return st;
}

/* ---- apply ---------------------------------------------------------------------------------------------------- */

/* False when one is not finite. */
static bool load(const float *y, size_t n, double *t)
{
    double test = 0;
    for (size_t i = 0; i < n; i++) {
        t[i] = (double)y[i];
        test += 0 * t[i];
    }
    return test == 0;
}

/* Fourier-log of one pixel, whose transforms are in r->j and r->z. What comes out is left in r->t. */
static void log_pixel(const struct plan *p, const float *y, const struct ep_peak *k, double counts, const struct room *r)
{
    for (size_t i = 0; i < p->used; i++) {
        struct ep_complex s = logarithm(over(r->j[i], r->z[i]));
        if (!p->gauss) {
            struct ep_complex zs = times(r->z[i], s), c = minus(minus(r->j[i], r->z[i]), zs);
            r->c[i] = (struct ep_complex){ p->h[i] * c.re, p->h[i] * c.im };
            continue;
        }
        s = times(s, phase(p, i, k->at));
        r->c[i] = (struct ep_complex){ counts * p->h[i] * s.re, counts * p->h[i] * s.im };
    }
    zero_above(p, r->c);
    ep_fft_inverse(p->fft, r->c, r->t);
    for (size_t i = 0; !p->gauss && i < p->nch; i++) {
        double loss = fmin(fmax((double)i + 0.5 - k->end, 0), 1);            /* share of the channel above the peak */
        r->t[i] = loss * (double)y[i] - r->t[i];
    }
}

/* Fourier-ratio: r->j, r->z hold the low loss. */
static void ratio_pixel(const struct plan *p, const float *y, const struct ep_peak *k, double counts, const struct room *r)
{
    ep_fft_forward(p->fft, r->t, r->c);
    for (size_t i = 0; i < p->used; i++) {
        struct ep_complex c;
        if (p->gauss) {
            c = over(times(r->c[i], phase(p, i, k->at)), r->j[i]);
            c.re *= counts;
            c.im *= counts;
        } else {
            c = times(r->c[i], over(minus(r->j[i], r->z[i]), r->j[i]));
        }
        r->c[i] = (struct ep_complex){ p->h[i] * c.re, p->h[i] * c.im };
    }
    zero_above(p, r->c);
    ep_fft_inverse(p->fft, r->c, r->t);
    for (size_t i = 0; !p->gauss && i < p->nch; i++) r->t[i] = (double)y[i] - r->t[i];
}

/* theta of EP_MODEL_COUNTS. */
static void strength(const struct plan *p, double total, double zero, double *theta)
{
    theta[0] = total / p->total;
    theta[1] = p->thick > 0 ? log(total / zero) / p->thick : 1;
    theta[2] = 0;
}

static void one_pixel(const struct ep_apply *a, const struct plan *p, const struct room *r, size_t y, size_t x)
{
    size_t gy = a->area.y0 + y, gx = a->area.x0 + x, out = y * a->area.nx + x;
    const struct ep_cell *in = &a->in[PORT_INPUT], *source = p->ratio ? &a->in[PORT_LOW] : in;
    uint32_t *flag = &a->flag[out];
    const float *v = ep_cell_spectrum(in, ep_in_y(in, gy), ep_in_x(in, gx)), *w = ep_cell_spectrum(source, ep_in_y(source, gy), ep_in_x(source, gx));
    w = ep_zero_loss_filled(source, w, p->nlow, r->low);
    v = p->ratio ? ep_zero_loss_filled(in, v, p->nch, r->core) : w;
    struct ep_peak k = ep_zero_loss_find(&p->z, &p->source, w, ep_shift_at(source, ep_in_at(source, gy, gx)));
    *flag |= k.flag;
    if (ep_fatal(*flag)) return;
    if (!load(w, p->nlow, r->t)) {
        *flag |= EP_FLAG_NOT_FINITE;
        return;
    }
    double total = 0, zero = 0;
    for (size_t i = 0; i < p->nlow; i++) {
        total += r->t[i];
        zero += r->t[i] * fmin(fmax(k.end + 0.5 - (double)i, 0), 1);
    }
    if (!(zero > 0) || !(total > 0)) *flag |= EP_FLAG_NO_COUNTS;
    else if (log(total / zero) > 3) *flag |= EP_FLAG_FIT_FAILED;     /* the phase of ln(J/Z) is no longer known */
    if (ep_fatal(*flag)) return;
    stretch_counts(p, r->t, (double *)(void *)r->c);
    add_tail(&p->low_tail, r->t, p->n);
    split(p, r->t, stretch_boundary(p, k.end), r);
    if (p->ratio) {
        if (!load(v, p->nch, r->t)) {
            *flag |= EP_FLAG_NOT_FINITE;
            return;
        }
        const double *theta = in->theta + ep_in_at(in, gy, gx) * EP_NTHETA;
        memcpy(a->theta + out * EP_NTHETA, theta, EP_NTHETA * sizeof *theta);
        double net = 0;
        for (size_t i = 0; i < p->nch; i++) net += r->t[i];
        add_tail(&p->core_tail, r->t, p->n);
        k.at = stretch_boundary(p, k.at);
        if (in->model->method != EP_FIT_ML_AVERAGED) a->theta[out * EP_NTHETA + 2] = p->net > 0 && net > 0 ? net / p->net : 0;
        ratio_pixel(p, v, &k, zero, r);
        return;
    }
    log_pixel(p, v, &k, zero, r);
    strength(p, total, zero, a->theta + out * EP_NTHETA);
}

static void put_pixel(const struct ep_apply *a, const struct plan *p, const double *t, size_t y, size_t x)
{
    struct ep_cell *o = &a->out[0];
    float *to = ep_cell_spectrum(o, y, x);
    for (size_t i = 0; i < o->nch; i++) to[i] = (float)t[o->ch0 + i];
    if (!o->sigma) return;
    const struct ep_cell *in = &a->in[PORT_INPUT];
    for (size_t i = 0; i < o->nch; i++)
        if (!isfinite(ep_cell_spectrum(in, 0, 0)[o->ch0 + i - in->ch0])) to[i] = NAN;
    struct ep_cell c = *o;
    c.d = &p->d;
    for (size_t i = 0; i < o->nch; i++) {
        double v;
        ep_channel_variances(&c, y, x, (struct ep_range){ o->ch0 + i, o->ch0 + i + 1 }, &v, NULL);
        o->sigma[i] = (float)sqrt(v);
    }
}

static ep_status apply(const struct ep_apply *a, struct ep_err *e)
{
    (void)e;
    const struct plan *p = a->plan;
    const struct ep_cell *in = &a->in[PORT_INPUT];
    struct ep_cell *o = &a->out[0];
    if (!o->val) return EP_OK;
    struct room r = room_of(p, a->scratch);
    ep_carry(a, in, 0, 0, o);
    if (p->ratio) {                  /* the net's own model, seen through K */
        *r.model = *in->model;
        r.model->transfer = p->model.transfer;
        o->model = r.model;
        o->theta = a->theta;
    } else {
        o->model = &p->model;
        o->theta = a->theta;
        o->cmat = a->cmat;
        memset(a->cmat, 0, a->area.ny * a->area.nx * EP_NCMAT * sizeof *a->cmat);
    }
    for (size_t y = 0; y < a->area.ny; y++)
        for (size_t x = 0; x < a->area.nx; x++) {
            uint32_t *flag = &a->flag[y * a->area.nx + x];
            if (!ep_fatal(*flag)) one_pixel(a, p, &r, y, x);
            if (!ep_fatal(*flag)) {
                put_pixel(a, p, r.t, y, x);
                continue;
            }
            ep_fill_nan(o, y, x);
            for (size_t i = 0; i < EP_NTHETA; i++) a->theta[(y * a->area.nx + x) * EP_NTHETA + i] = (double)NAN;
        }
    return EP_OK;
}

static const struct ep_stage look = {
    .name = "deconvolve_look", .summary = "Mean spectrum about the zero-loss peak.", .reference = "None: a mean.",
    .method = "Adds the spectra, each moved by whole channels until its zero-loss peak lies at one place, and divides by their number.",
    .version = 1, .params = params, .params_size = sizeof(struct par), .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = ep_zero_loss_look_outputs, .noutputs = EP_ZERO_LOSS_BESIDE + 1,
    .declare = look_declare, .prepare = look_prepare, .free_plan = free, .add = ep_zero_loss_look_add,
    .merge = ep_zero_loss_look_merge, .finish = ep_zero_loss_look_finish,
};

const struct ep_stage ep_stage_deconvolve = {
    .name = "deconvolve",
    .summary = "Takes plural scattering off: Fourier-log of whole spectra, Fourier-ratio of edges.",
    .reference = "D. W. Johnson, J. C. H. Spence, J. Phys. D 7 (1974) 771; R. F. Egerton, Electron Energy-Loss Spectroscopy in the Electron "
                 "Microscope, 3rd ed. (Springer, 2011), section 4.3; the smoothing and the noise: own derivation, docs/stages/deconvolve.md.",
    .method = "Fourier-log: the logarithm of the spectrum over its zero-loss peak, cut where the mean spectrum of the image (a look) has its "
              "minimum, gives single scattering. What plural scattering had added is computed, smoothed over the width of the zero-loss "
              "peak, and subtracted from the counts: their resolution and the noise of single channels stay as they were. Fourier-ratio does "
              "the same to the net counts of an edge with the low loss. Beyond the axis spectra go on as a power law, which ends "
              "softly on an axis at least twice as long. Each pixel is computed from its own counts alone; nothing is resampled, and shifts of "
              "an aligned image are kept. Sigmas of later sums over windows hold what the subtraction adds, from the response of the mean "
              "spectrum. Above t/lambda = 3 a pixel is flagged fit_failed.",
    .version = 1,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .look = &look,
    .declare = declare, .prepare = prepare, .free_plan = free_plan, .apply = apply,
};
