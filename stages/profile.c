/* Maps and spectrum images along a boundary, or along a drawn line: value against distance.
 *
 * A map's pixels are divided between bins by area (stages/distance.h). A pixel that lies in two bins correlates them: with parts f of
 * the pixels' areas,
 *     value_k = sum f_k z / sum f_k,   Cov_kl = sum f_k f_l var / (sum f_k sum f_l).
 * Divided by a second map T: value_k = sum f_k z / sum f_k T (sums first, since averages of quotients are biased).
 *
 * A spectrum image's pixels are counted whole, in the bin of their centre: the sums are counts then, independent from bin to bin, and
 * later steps fit them as they fit a pixel.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "stages/distance.h"
#include "stages/spectrum_sum.h"

enum { PORT_INPUT, PORT_ALONG, PORT_MASK, PORT_NORMALIZE, PORT_COVARIANCE, PORT_REGISTER, PORT_SHARED };
enum { OUT_PROFILE, OUT_WEIGHT, OUT_PLACEMENT };       /* of an image: spectra, pixels, placement */
enum statistic { MEAN, SUM };
static const char *const statistics[] = { "mean", "sum", NULL };
#define MAX_BINS 1e6
#define MAX_SUMS ((size_t)1 << 28)                     /* bytes of the sums of an image, for each thread */

struct par { double bin, width, range[2]; struct ep_numbers from, to; int statistic; };

static const struct ep_param params[] = {
    { .name = "bin", .type = EP_P_NUMBER, .offset = offsetof(struct par, bin), .unit = "nm", .min = 1e-6, .max = 1e9,
      .doc = "The width of a bin; left out, that of a pixel." },
    { .name = "range", .type = EP_P_WINDOW, .offset = offsetof(struct par, range), .unit = "nm",
      .doc = "The distances to cover, to the nearest edges of bins; left out, all that the map holds (a spectrum image along a boundary needs it)." },
    { .name = "from", .type = EP_P_NUMBERS, .offset = offsetof(struct par, from), .unit = "nm", .min_items = 2, .max_items = 2,
      .doc = "Instead of along, the point y, x at which a drawn line starts." },
    { .name = "to", .type = EP_P_NUMBERS, .offset = offsetof(struct par, to), .unit = "nm", .min_items = 2, .max_items = 2,
      .doc = "The point y, x at which the drawn line ends." },
    { .name = "width", .type = EP_P_NUMBER, .offset = offsetof(struct par, width), .unit = "nm", .min = 1e-6, .max = 1e9,
      .doc = "The width of the band around the drawn line over which is averaged." },
    { .name = "statistic", .type = EP_P_WORD, .offset = offsetof(struct par, statistic), .words = statistics,
      .doc = "The mean over the area of a bin, or the sum; left out, the mean of maps and the sum of spectra, of which there is no mean." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "The map, or the spectrum image as raw counts.", .kinds = EP_MAP | EP_IMAGE, .stream = true, .min = 1, .max = 1 },
    { .name = "along", .doc = "The boundary from which distance is measured.", .kinds = EP_CURVE, .max = 1 },
    { .name = "mask", .doc = "A map of the same pixels: those that are finite and not 0 count.", .kinds = EP_MAP, .max = 1 },
    { .name = "normalize", .doc = "A map of the same pixels, such as the thickness or the denominator of a ratio, by whose sum each sum is divided.",
      .kinds = EP_MAP, .max = 1 },
    { .name = "covariance", .doc = "The covariance of input and normalize in each pixel, where both come from one spectrum.",
      .kinds = EP_MAP, .max = 1 },
    { .name = "register", .doc = "The shift, of a register step, that takes the input's positions to those of the boundary.",
      .kinds = EP_TABLE, .max = 1 },
    { .name = "shared", .doc = "The part of the input's error that its pixels share, as lines.Ti_K_shared of eds_lines: sigma then has it.",
      .kinds = EP_MAP, .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "profile", EP_PROFILE, "", "Of a map: the value against distance, with the covariances that divided pixels bring." },
    { "weight", EP_PROFILE, "px", "Of a map: the area that counted in each bin, in pixels." },
    { "spectra", EP_IMAGE, "counts", "Of a spectrum image: the sum of the spectra in each bin, distance by energy." },
    { "pixels", EP_MAP, "", "Of a spectrum image: how many pixels each bin holds." },
    { "placement", EP_TABLE, "", "One row: direction of the distance axis, sigma of the boundary, shift by registration with its sigma." },
};

/* ---- declare ------------------------------------------------------------------------------------------------ */

/* k0 is found in prepare where neither range nor a drawn line says it. */
static struct ep_bins bins_of(const struct par *p, const struct ep_desc *in, bool quotient)
{
    struct ep_image g = ep_grid_in_nm(in);
    double hy = fabs(g.hy), hx = fabs(g.hx), length = 0;
    struct ep_bins l = { .bin = isnan(p->bin) ? sqrt(hy * hx) : p->bin, .quotient = quotient };
    ep_bins_size(&l, &g);
    if (p->from.n == 2 && p->to.n == 2) length = hypot(p->to.v[0] - p->from.v[0], p->to.v[1] - p->from.v[1]);
    double n = length > 0 ? ceil(length / l.bin - 1e-9) : 2 * ceil(hypot(hy * (double)g.ny, hx * (double)g.nx) / l.bin) + 4;
    if (ep_window_given(p->range)) {
        l.k0 = lround(fmax(-MAX_BINS, p->range[0] / l.bin));
        n = fmax(1, round(p->range[1] / l.bin) - (double)l.k0);
    }
    l.n = (size_t)fmin(n, MAX_BINS + 1);
    return l;
}

static size_t sum_bytes(const struct ep_desc *in)
{
    return sizeof(struct ep_spectrum_sum) + ep_desc_nch(in) * sizeof(double);
}

static void check_line(struct ep_declare *d, const struct par *p)
{
    bool drawn = p->from.n || p->to.n, along = d->in[PORT_ALONG].n > 0;
    if (along && drawn) ep_declare_error(d, p->from.n ? "from" : "to", "give either along, a boundary, or from, to and width, a drawn line");
    else if (!along && !drawn) ep_declare_error(d, NULL, "along what? Give along: a boundary, or from: [y, x], to: [y, x] and width:");
    else if (drawn && (!p->from.n || !p->to.n)) ep_declare_error(d, p->from.n ? "from" : "to", "a drawn line needs both from and to");
    else if (drawn && p->from.v[0] == p->to.v[0] && p->from.v[1] == p->to.v[1]) ep_declare_error(d, "to", "the line ends where it starts");
    if (drawn && isnan(p->width)) ep_declare_error(d, "width", "a drawn line needs a width: over how many nm across it to average");
    if (!drawn && isfinite(p->width)) ep_declare_error(d, "width", "width belongs to a drawn line, from and to");
}

static bool noise_known(const struct ep_desc *d)
{
    return d->has_sigma && d->noise != EP_NOISE_UNKNOWN;
}

static void distance_axis(struct ep_desc *o, const struct ep_desc *in, const struct ep_bins *l)
{
    o->nnav = 1;
    o->nav[0] = (struct ep_axis){ "distance", "", ((double)l->k0 + 0.5) * l->bin, l->bin, l->n };
    strncpy(o->nav[0].unit, ep_length_unit(in), sizeof o->nav[0].unit - 1);
    o->noise = EP_NOISE_INDEPENDENT;
    o->meta = in->meta;
    ep_copy_frame(o, in);
}

static void declare_placement(struct ep_declare *d, const struct ep_desc *in)
{
    struct ep_desc *o = ep_declare_output(d, "placement", EP_TABLE);
    strncpy(o->long_name, "Placement of the distance axis", sizeof o->long_name - 1);
    ep_copy_frame(o, in);
}

static void warn_shared(struct ep_declare *d, const struct ep_desc *in, bool sigma)
{
    const char *label = d->in[PORT_INPUT].v[0].label ? d->in[PORT_INPUT].v[0].label : "";
    if (!sigma || !in->shared || d->in[PORT_SHARED].n) return;
    ep_declare_warn(d, "input", "all pixels of %s share a part of their error, which averaging does not make smaller and sigma would lack: give "
                    "shared: %.*s.%s_shared", label, (int)strcspn(label, "."), label, in->name);
}

static void declare_map(struct ep_declare *d, const struct ep_desc *in, const struct ep_desc *by, const struct ep_bins *l)
{
    bool sigma = noise_known(in) && (!by || !by->has_sigma || noise_known(by));
    if (in->has_sigma && !sigma)
        ep_declare_warn(d, in->noise == EP_NOISE_UNKNOWN ? "input" : "normalize",
                        "how the noise of neighbouring pixels is related is not known: the profile has no sigma");
    warn_shared(d, in, sigma);
    struct ep_desc *o = ep_declare_output(d, "profile", EP_PROFILE);
    distance_axis(o, in, l);
    snprintf(o->long_name, sizeof o->long_name, "%.100s", in->long_name[0] ? in->long_name : in->name);
    o->primary = true;
    o->has_sigma = sigma;
    const char *unit = !by ? in->unit : !by->unit[0] ? in->unit : strcmp(by->unit, in->unit) == 0 ? ""
                       : ep_arena_printf(d->arena, "%s/%s", in->unit[0] ? in->unit : "1", by->unit);
    snprintf(o->unit, sizeof o->unit, "%.31s", unit);
    o = ep_declare_output(d, "weight", EP_PROFILE);
    distance_axis(o, in, l);
    strncpy(o->long_name, "Area that counted", sizeof o->long_name - 1);
    strncpy(o->unit, "px", sizeof o->unit - 1);
    declare_placement(d, in);
    d->acc = (1 + l->n * l->stride) * sizeof(double);
}

static void declare_image(struct ep_declare *d, const struct ep_desc *in, const struct ep_bins *l)
{
    const struct par *p = d->par;
    size_t bytes;
    if (in->deconvolved)
        ep_declare_error(d, "input", "the input is deconvolved, which is not linear: put profile before deconvolve, so that the sums are deconvolved");
    else if (in->modelled)
        ep_declare_error(d, "input", "the input is background-subtracted: average raw counts instead (put profile before background), so "
                                     "that the background is fitted to the sums");
    if (p->statistic == MEAN)
        ep_declare_error(d, "statistic", "spectra are summed: a mean of bins with unlike numbers of pixels has no common noise; divide "
                                         "by pixels after the fits");
    if (d->in[PORT_NORMALIZE].n)
        ep_declare_error(d, "normalize", "normalize divides maps: divide what is fitted to the summed spectra instead");
    if (d->in[PORT_ALONG].n && !ep_window_given(p->range))
        ep_declare_error(d, NULL, "along a boundary the profile of a spectrum image needs range: [from, to] in nm, so that its axis is "
                                  "known before the boundary is");
    if (!ep_mul_ok(l->n, sum_bytes(in), &bytes) || bytes > MAX_SUMS) {
        ep_declare_error(d, "bin", "%zu bins of %zu channels take more than %zu MiB: give wider bins or a smaller range", l->n, ep_desc_nch(in),
                         MAX_SUMS >> 20);
        return;
    }
    struct ep_desc *o = ep_declare_output(d, "spectra", EP_IMAGE);
    distance_axis(o, in, l);
    o->primary = o->spectral = true;
    o->energy = in->energy;
    snprintf(o->unit, sizeof o->unit, "%s", in->unit[0] ? in->unit : "counts");
    strncpy(o->long_name, "Summed spectra", sizeof o->long_name - 1);
    o->gain = in->gain;
    o->gain_estimated = in->gain_estimated;
    o->read_noise = in->read_noise;      /* of one pixel: finish() knows how many there are */
    o->low = in->low;
    o = ep_declare_output(d, "pixels", EP_MAP);
    distance_axis(o, in, l);
    strncpy(o->long_name, "Pixels summed", sizeof o->long_name - 1);
    declare_placement(d, in);
    d->acc = bytes;
}

static void declare(struct ep_declare *d)
{
    const struct par *p = d->par;
    const struct ep_desc *in = ep_declare_input(d, PORT_INPUT), *by = ep_declare_input(d, PORT_NORMALIZE);
    const char *label = d->in[PORT_INPUT].v[0].label;
    if (!ep_declare_plane(d, "input", in)) return;
    check_line(d, p);
    for (size_t k = PORT_MASK; k <= PORT_SHARED; k++) {
        if (!d->in[k].n || k == PORT_REGISTER) continue;
        const struct ep_item *it = &d->in[k].v[0];
        ep_declare_same_frame(d, ports[k].name, it->label, it->d, label, in, false);
        ep_declare_same_places(d, ports[k].name, it->label, it->d, label, in);
    }
    if (d->in[PORT_ALONG].n && !d->in[PORT_REGISTER].n)
        ep_declare_same_frame(d, "along", d->in[PORT_ALONG].v[0].label, d->in[PORT_ALONG].v[0].d, label, in, true);
    if (d->in[PORT_REGISTER].n && !d->in[PORT_ALONG].n)
        ep_declare_error(d, "register", "register needs along: a drawn line is in the map's own frame");
    if (d->in[PORT_COVARIANCE].n && !by) ep_declare_error(d, "covariance", "covariance needs normalize");
    if (in->quotient && !by)
        ep_declare_error(d, "input", "'%s' is a ratio, and a mean of ratios is biased: give its numerator as input, its denominator as normalize "
                         "(and the covariance of the two as covariance), whose sums are then divided", label);
    if (by && p->statistic == SUM) ep_declare_error(d, "statistic", "a sum divided by normalize is no sum: leave statistic out");
    struct ep_bins l = bins_of(p, in, by != NULL);
    struct ep_image g = ep_grid_in_nm(in);
    if (l.bin < 0.25 * fmin(fabs(g.hy), fabs(g.hx)))
        ep_declare_error(d, "bin", "bins of %g nm are finer than a quarter of a pixel (%g nm): they would only repeat it", l.bin,
                         fmin(fabs(g.hy), fabs(g.hx)));
    if ((double)l.n > MAX_BINS) ep_declare_error(d, "bin", "more than %g bins: give a wider bin or a smaller range", MAX_BINS);
    if (in->kind == EP_IMAGE) declare_image(d, in, &l);
    else declare_map(d, in, by, &l);
}

/* ---- prepare ------------------------------------------------------------------------------------------------ */

struct plan {
    struct ep_bins l;
    struct ep_ruler r;
    struct ep_beside beside;
    bool sum, image;
    size_t nch, bytes;                 /* of an image: channels; a bin's sums */
    double channel, gain, read_noise;  /* eV, signed */
    const char *unit;
};

/* The bins that the map reaches, from all pixels beside the boundary. */
static ep_status find_range(struct plan *q, bool given, struct ep_err *e)
{
    double lo = INFINITY, hi = -INFINITY;
    const struct ep_image *g = &q->r.g;
    for (size_t i = 0; i < g->ny; i++)
        for (size_t j = 0; j < g->nx; j++) {
            struct ep_at_curve at = ep_ruler_at(&q->r, i, j);
            double reach = fabs(at.gy * g->hy) + fabs(at.gx * g->hx);
            if (!at.inside) continue;
            if (floor(reach / q->l.bin) + 1 > (double)q->l.nband)
                return ep_fail(e, EP_E_COMPUTE, "the boundary is more than 60 degrees off its mean direction: distance along one normal "
                               "means little there");
            lo = fmin(lo, at.distance - reach / 2);
            hi = fmax(hi, at.distance + reach / 2);
        }
    double k0 = floor(lo / q->l.bin);
    if (!(lo < hi))
        return ep_fail(e, EP_E_COMPUTE, "no pixel lies %s: do both show the same field?",
                       q->r.curve ? "beside the boundary" : "within the width of the line");
    if (given) {
        double a = (double)q->l.k0 * q->l.bin, b = a + (double)q->l.n * q->l.bin;
        if (hi <= a || lo >= b)
            return ep_fail(e, EP_E_COMPUTE, "the map covers distances from %.4g to %.4g nm, none of them from %.4g to %.4g nm", lo, hi, a, b);
        return EP_OK;
    }
    if (floor(hi / q->l.bin) - k0 >= (double)q->l.n)
        return ep_fail(e, EP_E_COMPUTE, "distances from %.4g to %.4g nm take more bins than the map's diagonal has: give a range", lo, hi);
    q->l.k0 = (long)k0;
    return EP_OK;
}

static void free_plan(void *plan)
{
    struct plan *q = plan;
    if (q) ep_curve_free(q->r.curve);
    free(q);
}

static const struct ep_signal *whole_item(const struct ep_prepare *p, size_t port)
{
    return p->in[port].n ? p->in[port].v[0].whole : NULL;
}

static ep_status prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    const struct par *par = p->par;
    const struct ep_desc *in = p->in[PORT_INPUT].v[0].d;
    const struct ep_signal *along = whole_item(p, PORT_ALONG), *shift = whole_item(p, PORT_REGISTER), *by = whole_item(p, PORT_NORMALIZE);
    struct plan *q = ep_xcalloc(1, sizeof *q);
    *q = (struct plan){ .l = bins_of(par, in, by != NULL), .r = { .g = ep_grid_in_nm(in) }, .sum = par->statistic == SUM,
                        .image = in->kind == EP_IMAGE, .nch = ep_desc_nch(in), .bytes = sum_bytes(in),
                        .channel = in->energy.scale * ep_axis_unit_factor(&in->energy), .gain = in->gain, .read_noise = in->read_noise,
                        .unit = ep_length_unit(in) };
    q->beside = (struct ep_beside){ whole_item(p, PORT_MASK), by, whole_item(p, PORT_COVARIANCE), ep_noise_inflation(in),
                                    by ? ep_noise_inflation(&by->d) : 1, whole_item(p, PORT_SHARED) };
    ep_status st = EP_OK;
    if (along) {
        st = ep_curve_new(along->points, along->n, &q->r.curve, e);
    } else {
        double length = hypot(par->to.v[0] - par->from.v[0], par->to.v[1] - par->from.v[1]);
        for (int k = 0; k < 2; k++) {
            q->r.from[k] = par->from.v[k];
            q->r.dir[k] = (par->to.v[k] - par->from.v[k]) / length;
        }
        q->r.half = par->width / 2;
    }
    if (!st && shift) st = ep_ruler_register(&q->r, shift, e);
    if (!st) st = find_range(q, !along || ep_window_given(par->range), e);
    if (st) {
        free_plan(q);
        return st;
    }
    *plan = q;
    return EP_OK;
}

/* ---- sums --------------------------------------------------------------------------------------------------- */

/* Accumulator of a map: pixels of a non-negative fit; then the bins (stages/distance.h). Of an image: a sum for each bin. */
static struct ep_spectrum_sum *bin_at(const struct plan *q, const void *acc, size_t k)
{
    return (struct ep_spectrum_sum *)(uintptr_t)((const char *)acc + k * q->bytes);
}

static void add_spectrum(const struct plan *q, const struct ep_cell *in, size_t y, size_t x, double distance, void *acc)
{
    double k = floor(distance / q->l.bin + 1e-9) - (double)q->l.k0;      /* columns of pixels on an edge stay together */
    if (!(k >= 0 && k < (double)q->l.n)) return;
    const struct ep_signal *mask = q->beside.mask;
    ep_spectrum_take(bin_at(q, acc, (size_t)k), in, y, x, q->nch, q->channel, mask && !ep_mask_has(mask, y * q->r.g.nx + x));
}

static ep_status add(const struct ep_apply *a, void *accumulator, struct ep_err *e)
{
    (void)e;
    const struct plan *q = a->plan;
    const struct ep_cell *in = &a->in[0];
    double *acc = accumulator;
    for (size_t y = a->area.y0; y < a->area.y0 + a->area.ny; y++)
        for (size_t x = a->area.x0; x < a->area.x0 + a->area.nx; x++) {
            struct ep_at_curve at = ep_ruler_at(&q->r, y, x);
            if (!at.inside) continue;
            if (q->image) {
                add_spectrum(q, in, y, x, at.distance, accumulator);
                continue;
            }
            size_t i = ep_in_at(in, y, x);
            struct ep_sample s = ep_sample_of(&q->beside, (double)*ep_cell_spectrum(in, ep_in_y(in, y), ep_in_x(in, x)),
                                              in->sigma ? (double)in->sigma[i] : 0, in->flag[i], y * q->r.g.nx + x);
            if (s.flag & EP_FLAG_BIASED) acc[0] += 1;
            ep_bins_add(&q->l, acc + 1, &q->r, &at, &s);
        }
    return EP_OK;
}

static void merge(const void *plan, void *left, const void *right)
{
    const struct plan *q = plan;
    double *l = left;
    const double *r = right;
    for (size_t k = 0; q->image && k < q->l.n; k++) ep_spectrum_merge(bin_at(q, left, k), bin_at(q, right, k), q->nch);
    if (q->image) return;
    l[0] += r[0];
    for (size_t k = 0; k < q->l.n; k++) {
        double *a = &l[1 + k * q->l.stride];
        const double *b = &r[1 + k * q->l.stride];
        uint32_t flag = (uint32_t)a[EP_BIN_FLAG] | (uint32_t)b[EP_BIN_FLAG];
        for (size_t i = 0; i < q->l.stride; i++) a[i] += b[i];
        a[EP_BIN_FLAG] = (double)flag;
    }
}

/* ---- finish --------------------------------------------------------------------------------------------------- */

static ep_status put_band(const struct plan *q, const double *bins, struct ep_signal *s, struct ep_err *e)
{
    size_t n = s->n, width = 0, stride = q->l.stride;
    for (size_t m = 1; m <= q->l.nband; m++)
        for (size_t k = 0; k + m < n; k++)
            if (bins[k * stride + EP_BIN_COV + m] != 0) width = m;
    if (width == 0) return EP_OK;
    s->band = calloc(n * width, sizeof *s->band);
    if (!s->band) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (covariances of a profile)", n * width * sizeof *s->band);
    s->nband = width;
    for (size_t k = 0; k < n; k++)
        for (size_t m = 1; m <= width && k + m < n; m++)
            if (bins[k * stride + EP_BIN_AREA] > 0 && bins[(k + m) * stride + EP_BIN_AREA] > 0)
                s->band[k * width + m - 1] = ep_bins_covariance(&q->l, bins, k, m, q->sum);
    return EP_OK;
}

static ep_status new_flags(struct ep_signal *s, struct ep_err *e)
{
    size_t n = s->d.nav[0].size;
    if (!s->flags) s->flags = calloc(n, sizeof *s->flags);
    return s->flags ? EP_OK : ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (flags of a profile)", n * sizeof *s->flags);
}

static ep_status put_profile(const struct plan *q, const double *bins, struct ep_signal *s, struct ep_err *e)
{
    ep_status st = new_flags(s, e);
    for (size_t k = 0; k < s->n && !st; k++) {
        const double *b = &bins[k * q->l.stride];
        s->f64[k] = ep_bins_value(&q->l, bins, k, q->sum);
        bool some = !isnan(s->f64[k]);
        if (s->sigma64) s->sigma64[k] = some ? sqrt(fmax(0, ep_bins_covariance(&q->l, bins, k, 0, q->sum))) : (double)NAN;
        if (!some) s->flags[k] = (uint32_t)b[EP_BIN_FLAG] & EP_NO_VALUE;
        else if (b[EP_BIN_AREA] < b[EP_BIN_ALL] * (1 - 1e-9)) s->flags[k] = EP_FLAG_PARTIAL;
    }
    return !st && s->sigma64 ? put_band(q, bins, s, e) : st;
}

static ep_status put_placement(const struct plan *q, struct ep_signal **out, struct ep_err *e)
{
    const struct ep_curve *c = q->r.curve;
    double ny = c ? c->ny : q->r.dir[0], nx = c ? c->nx : q->r.dir[1], boundary = 0;
    for (size_t i = 0; c && i < c->n; i++) boundary += pow(c->sigma[i], 2) / (double)c->n;
    double angle = atan2(ny, nx) / EP_DEGREE, shift = q->r.dy * ny + q->r.dx * nx, sigma = sqrt(q->r.var_shift);
    boundary = sqrt(boundary);
    ep_status st = ep_table_new("placement", 1, out, e);
    if (!st) st = ep_table_add(*out, "angle", "deg", &angle, NULL, NULL, e);
    if (!st) st = ep_table_add(*out, "boundary_sigma", q->unit, &boundary, NULL, NULL, e);
    if (!st) st = ep_table_add(*out, "shift", q->unit, &shift, q->r.registered ? &sigma : NULL, NULL, e);
    return st;
}

static ep_status finish_map(const struct plan *q, double *acc, struct ep_signal **out, struct ep_err *e)
{
    double *bins = acc + 1, area = 0;
    size_t first = 0, end = q->l.n, stride = q->l.stride;
    if (acc[0] > 0)
        return ep_fail(e, EP_E_COMPUTE, "the map was made by a non-negative fit: averages of it are biased; fit with nonneg: false");
    while (first < end && bins[first * stride + EP_BIN_ALL] <= 0) first++;
    while (end > first && bins[(end - 1) * stride + EP_BIN_ALL] <= 0) end--;
    for (size_t k = first; k < end; k++) area += bins[k * stride + EP_BIN_AREA];
    if (!(area > 0)) return ep_fail(e, EP_E_COMPUTE, "no pixel beside the boundary has a value: all are masked, flagged or not finite");
    ep_status st = EP_OK;
    for (size_t o = OUT_PROFILE; o <= OUT_WEIGHT && !st; o++) {
        if (!out[o]) continue;
        out[o]->n = out[o]->d.nav[0].size = end - first;     /* only what the map reaches */
        out[o]->d.nav[0].offset = ((double)(q->l.k0 + (long)first) + 0.5) * q->l.bin;
        if (o == OUT_PROFILE) st = put_profile(q, bins + first * stride, out[o], e);
        for (size_t k = 0; o == OUT_WEIGHT && k < out[o]->n; k++) out[o]->f64[k] = bins[(first + k) * stride + EP_BIN_AREA];
    }
    return st;
}

/* The axis is the one that was declared: bins without a pixel have no value. */
static ep_status finish_image(const struct plan *q, void *acc, struct ep_signal **out, struct ep_err *e)
{
    struct ep_signal *s = out[OUT_PROFILE], *pixels = out[OUT_WEIGHT];
    int64_t most = 0;
    ep_status st = s ? new_flags(s, e) : EP_OK;
    for (size_t k = 0; k < q->l.n && !st; k++) {
        const struct ep_spectrum_sum *b = bin_at(q, acc, k);
        if (b->n > most) most = b->n;
        if (pixels) pixels->f32[k] = (float)b->n;
        for (size_t i = 0; s && i < q->nch; i++) s->f32[k * q->nch + i] = ep_spectrum_covers(b, i, q->nch) ? (float)b->sum[i] : NAN;
        uint32_t none = b->why & EP_FLAGS_FATAL ? b->why & EP_FLAGS_FATAL : EP_FLAG_NOT_FINITE;
        if (s) s->flags[k] = b->n == 0 ? none : b->flag | (b->left_out ? EP_FLAG_PARTIAL : 0);
    }
    if (!st && most == 0) return ep_fail(e, EP_E_COMPUTE, "no pixel beside the boundary has a spectrum: all are masked, flagged or not finite");
    if (!st && s) s->d.read_noise = q->read_noise * sqrt((double)most);       /* an upper limit where a bin holds fewer pixels */
    if (!st && s) s->d.low.read_noise *= sqrt((double)most);
    return st;
}

static ep_status finish(const void *plan, void *accumulator, struct ep_signal **out, struct ep_err *e)
{
    const struct plan *q = plan;
    ep_status st = q->image ? finish_image(q, accumulator, out, e) : finish_map(q, accumulator, out, e);
    for (size_t o = OUT_PROFILE; o <= OUT_WEIGHT && !st; o++)
        if (out[o]) out[o]->d.placement_sigma = sqrt(q->r.var_shift);
    return st ? st : put_placement(q, &out[OUT_PLACEMENT], e);
}

const struct ep_stage ep_stage_profile = {
    .name = "profile",
    .summary = "Averages a map, or sums the spectra of an image, along a boundary or a drawn line: values against distance.",
    .reference = "Propagation of errors with exact areas; no publication.",
    .method = "Every pixel of a map is divided between the bins of distance that it lies in, by area, so that a tilted or wavy boundary costs no "
              "resolution. Distance is the signed one of `interface`, along the boundary's mean normal, and pixels beside the ends of the "
              "boundary that was seen do not count; nor do masked, flagged or missing ones. Bins that share pixels are correlated, and their "
              "covariances go along (`data_band`). With `normalize` each bin is the quotient of two sums: so a ratio is averaged "
              "by its numerator and denominator, never pixel by pixel. Where the noise of the map is correlated, sigma is that of an average "
              "over many pixels. Of a spectrum image the raw counts are summed, each pixel whole in the bin of its centre, so that bins stay "
              "independent and have counting noise: backgrounds, ratios and lines are then fitted to the sums (sum first, then fit). "
              "An aligned image is summed with each pixel moved by the nearest whole channel. A map or image from another scan needs "
              "`register`; the shift and its sigma stand in `placement`, and the profile carries the sigma to `front`. A part of the error that all pixels share (eds_lines) is in "
              "sigma when it is given as `shared`; it is common to far bins as well, which their covariances leave out.",
    .version = 3,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .prepare = prepare, .free_plan = free_plan, .add = add, .merge = merge, .finish = finish,
};
