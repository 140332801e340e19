/* One spectrum from many pixels: sum first, then fit. Sums of counts have the variance gain*sum + n*read_noise^2.
 *
 * The accumulator is what one cell gives: pixels in sequence are added channel by channel, cells merge in the engine's tree.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "stages/spectrum_sum.h"

enum { PORT_INPUT, PORT_MASK, PORT_BAND };
enum { OUT_SPECTRUM, OUT_PIXELS };
enum statistic { SUM, MEAN };
static const char *const statistics[] = { "sum", "mean", NULL };

struct par { double band[2]; int statistic; };

static const struct ep_param params[] = {
    { .name = "band", .type = EP_P_WINDOW, .offset = offsetof(struct par, band),
      .doc = "The range of band_of's values, from the first (included) to the second (not included), whose pixels are summed." },
    { .name = "statistic", .type = EP_P_WORD, .offset = offsetof(struct par, statistic), .def = "sum", .words = statistics,
      .doc = "The sum over the pixels, or the mean of one pixel." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "The spectrum image, as raw counts.", .kinds = EP_IMAGE, .stream = true, .min = 1, .max = 1 },
    { .name = "mask", .doc = "A map of the same pixels: those that are finite and not 0 are summed.", .kinds = EP_MAP, .min = 0, .max = 1 },
    { .name = "band_of", .doc = "A map of the same pixels, such as a distance: those whose value lies in band are summed.",
      .kinds = EP_MAP, .min = 0, .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "spectrum", EP_SPECTRUM, "counts", "The sum, or the mean, of the pixels' spectra." },
    { "pixels", EP_MAP, "", "How many pixels went in." },
};

struct plan {
    size_t nch, ny, nx;
    double channel;                /* eV, signed */
    double gain, read_noise;
    struct ep_low_noise low;
    bool mean;
    uint8_t *keep;                 /* [ny * nx], NULL: all */
};

static void check_map(struct ep_declare *d, const char *port, const struct ep_desc *in, const struct ep_desc *map)
{
    if (map && !ep_desc_same_grid(in, map))
        ep_declare_error(d, port, "'%s' has %zu x %zu pixels, the input has %zu x %zu: they must be the same pixels", map->name,
                         ep_desc_ny(map), ep_desc_nx(map), ep_desc_ny(in), ep_desc_nx(in));
}

static void declare(struct ep_declare *d)
{
    const struct par *p = d->par;
    const struct ep_desc *in = ep_declare_input(d, PORT_INPUT), *band = ep_declare_input(d, PORT_BAND);
    if (in->deconvolved)
        ep_declare_error(d, "input", "the input is deconvolved, which is not linear: sum the counts first, and deconvolve the sum");
    else if (in->modelled)
        ep_declare_error(d, "input", "the input is background-subtracted: sum raw counts instead (put sum_spectrum before background), "
                                     "so that one background is fitted to the sum");
    check_map(d, "mask", in, ep_declare_input(d, PORT_MASK));
    check_map(d, "band_of", in, band);
    if (ep_window_given(p->band) && !d->in[PORT_BAND].n) ep_declare_error(d, "band", "band needs band_of: the map whose values it selects");
    if (!ep_window_given(p->band) && d->in[PORT_BAND].n)
        ep_declare_error(d, "band_of", "band_of needs band: the range of its values, as in band: [-5, 0]");

    struct ep_desc *o = ep_declare_output(d, "spectrum", EP_SPECTRUM);
    o->spectral = true;
    o->energy = in->energy;
    snprintf(o->unit, sizeof o->unit, "%s", in->unit[0] ? in->unit : "counts");
    strncpy(o->long_name, p->statistic == MEAN ? "Mean spectrum" : "Sum spectrum", sizeof o->long_name - 1);
    o->has_sigma = o->primary = true;
    o->noise = EP_NOISE_INDEPENDENT;
    o->gain = in->gain;
    o->gain_estimated = in->gain_estimated;
    o->read_noise = in->read_noise;      /* of one pixel: finish() knows how many there are */
    o->low = in->low;
    memcpy(o->frame, in->frame, sizeof o->frame);
    o->meta = in->meta;
    struct ep_desc *n = ep_declare_output(d, "pixels", EP_MAP);
    strncpy(n->long_name, "Pixels summed", sizeof n->long_name - 1);
    n->noise = EP_NOISE_INDEPENDENT;
    memcpy(n->frame, in->frame, sizeof n->frame);
    n->meta = in->meta;
    d->acc = sizeof(struct ep_spectrum_sum) + ep_desc_nch(in) * sizeof(double);
}

static void free_plan(void *plan)
{
    struct plan *q = plan;
    if (q) free(q->keep);
    free(q);
}

static ep_status choose_pixels(struct plan *q, const struct ep_prepare *p, struct ep_err *e)
{
    const struct par *par = p->par;
    const struct ep_signal *mask = p->in[PORT_MASK].n ? p->in[PORT_MASK].v[0].whole : NULL;
    const struct ep_signal *band = p->in[PORT_BAND].n ? p->in[PORT_BAND].v[0].whole : NULL;
    if (!mask && !band) return EP_OK;
    size_t n = q->ny * q->nx;
    q->keep = malloc(n ? n : 1);
    if (!q->keep) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (a mask)", n);
    for (size_t i = 0; i < n; i++) {
        double m = mask ? ep_signal_get(mask, i) : 1, b = band ? ep_signal_get(band, i) : 0;
        bool bad = (mask && mask->flags && ep_fatal(mask->flags[i])) || (band && band->flags && ep_fatal(band->flags[i]));
        q->keep[i] = !bad && isfinite(m) && m != 0 && (!band || (b >= par->band[0] && b < par->band[1]));
    }
    return EP_OK;
}

static ep_status prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    const struct par *par = p->par;
    const struct ep_desc *in = p->in[PORT_INPUT].v[0].d;
    struct plan *q = ep_xcalloc(1, sizeof *q);
    q->nch = ep_desc_nch(in);
    q->ny = ep_desc_ny(in);
    q->nx = ep_desc_nx(in);
    q->channel = in->energy.scale * ep_axis_unit_factor(&in->energy);
    q->gain = in->gain;
    q->read_noise = in->read_noise;
    q->low = in->low;
    q->mean = par->statistic == MEAN;
    *plan = NULL;
    ep_status st = choose_pixels(q, p, e);
    if (st) free_plan(q);
    else *plan = q;
    return st;
}

static ep_status add(const struct ep_apply *a, void *accumulator, struct ep_err *e)
{
    (void)e;
    const struct plan *p = a->plan;
    for (size_t y = a->area.y0; y < a->area.y0 + a->area.ny; y++)
        for (size_t x = a->area.x0; x < a->area.x0 + a->area.nx; x++)
            ep_spectrum_take(accumulator, &a->in[0], y, x, p->nch, p->channel, p->keep && !p->keep[y * p->nx + x]);
    return EP_OK;
}

static void merge(const void *plan, void *left, const void *right)
{
    ep_spectrum_merge(left, right, ((const struct plan *)plan)->nch);
}

/* Variance of a sum of counts. A sum at or below zero (dark-subtracted, no electrons) has at least one electron's. */
static double variance(const struct plan *p, size_t ch, double sum, double n)
{
    double gain = ch < p->low.end ? p->low.gain : p->gain, noise = ch < p->low.end ? p->low.read_noise : p->read_noise;
    double v = gain * sum + n * noise * noise;
    return v > 0 ? v : gain * gain;
}

static ep_status finish(const void *plan, void *accumulator, struct ep_signal **out, struct ep_err *e)
{
    const struct plan *p = plan;
    const struct ep_spectrum_sum *acc = accumulator;
    double n = (double)acc->n, by = p->mean && n > 0 ? n : 1;
    struct ep_signal *s = out[OUT_SPECTRUM], *pixels = out[OUT_PIXELS];
    if (pixels) pixels->f32[0] = (float)n;
    for (size_t i = 0; s && i < p->nch; i++) {
        bool covered = ep_spectrum_covers(acc, i, p->nch);
        s->f64[i] = covered ? acc->sum[i] / by : (double)NAN;
        if (s->sigma64) s->sigma64[i] = covered ? sqrt(variance(p, i, acc->sum[i], n)) / by : (double)NAN;
    }
    if (s) {                             /* variance = gain*value + read_noise^2 of what came out */
        s->d.gain = p->gain / by;
        s->d.read_noise = p->read_noise * sqrt(n) / by;
        s->d.low = (struct ep_low_noise){ p->low.end, p->low.gain / by, p->low.read_noise * sqrt(n) / by };
    }
    if (acc->n == 0) return ep_fail(e, EP_E_COMPUTE, "no pixel is left: all are masked, outside the band, or not finite");
    return EP_OK;
}

const struct ep_stage ep_stage_sum_spectrum = {
    .name = "sum_spectrum",
    .summary = "Adds up the spectra of an image, or of a region of it, to one spectrum.",
    .reference = "Counting statistics; no publication.",
    .method = "Adds the counts of every pixel that the mask and the band let through; masked pixels and pixels with a channel that is not "
              "finite are left out, and the number of those summed is written beside the spectrum. Use it before background or a ratio: a "
              "quantity of a region comes from the region's sum, since averaging fits and ratios of pixels is biased at low counts. An "
              "aligned image is summed with each pixel moved by the nearest whole channel; channels at the ends that not all pixels "
              "cover have no value. Sigma is the counting error of the sum (of the mean: divided by the number of pixels).",
    .version = 1,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .prepare = prepare, .free_plan = free_plan, .add = add, .merge = merge, .finish = finish,
};
