/* Low loss and core loss to one spectrum, in the counts of the core loss.
 *
 * The joint axis is the core loss's, continued downwards with its own channels. Core-loss counts are copied; below `join` stand those of
 * the low loss times the exposure ratio. A channel of the joint axis takes the share of each low-loss channel that lies in it (counts
 * taken as spread evenly over a channel), so sums are kept whatever the channel widths and the offset of the two axes.
 *
 * Exposure ratio R = C/L, the counts of both in the overlap: var(R)/R^2 = var C/C^2 + var L/L^2. Counts times R have the variance
 * (R gain) R counts + (R read_noise)^2: gain and read noise of channels below `join` (ep_desc.low).
 */
#include <stdio.h>
#include <stdlib.h>
#include "pipeline/base/mem.h"
#include "stages/pixels.h"

enum { PORT_CORE, PORT_LOW };
enum { PER_IMAGE, PER_PIXEL };
static const char *const pers[] = { "image", "pixel", NULL };

struct par { double overlap[2], join, ratio, offset, find_offset; int per; };

static const struct ep_param params[] = {
    { .name = "overlap", .type = EP_P_WINDOW, .offset = offsetof(struct par, overlap), .unit = "eV",
      .doc = "Where both are compared; left out, the energies that both have, without a twentieth at each end." },
    { .name = "join", .type = EP_P_NUMBER, .offset = offsetof(struct par, join), .unit = "eV", .min = -1e5, .max = 1e5,
      .doc = "From here on the core loss is used; left out, from the start of overlap." },
    { .name = "ratio", .type = EP_P_NUMBER, .offset = offsetof(struct par, ratio), .unit = "", .min = 1e-6, .max = 1e6,
      .doc = "The exposure ratio, core loss over low loss, where it is known exactly; left out, it is found in overlap." },
    { .name = "per", .type = EP_P_WORD, .offset = offsetof(struct par, per), .def = "image", .words = pers,
      .doc = "One ratio for the image, from the sums of all pixels, or one for each pixel from its own counts." },
    { .name = "offset", .type = EP_P_NUMBER, .offset = offsetof(struct par, offset), .unit = "eV", .def = "0", .min = -100, .max = 100,
      .doc = "Added to the energies of the low loss so that they fit those of the core loss." },
    { .name = "find_offset", .type = EP_P_NUMBER, .offset = offsetof(struct par, find_offset), .unit = "eV", .def = "0", .min = 0, .max = 20,
      .doc = "Look for a better offset, at most so far from the one given, by comparing the sums of all pixels in overlap." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "The core loss, as raw counts.", .kinds = EP_IMAGE, .stream = true, .min = 1, .max = 1 },
    { .name = "low_loss", .doc = "The low loss of the same pixels, as raw counts.", .kinds = EP_IMAGE, .stream = true, .paired = true, .min = 0,
      .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "spliced", EP_IMAGE, "counts", "Both as one spectrum, in counts of the core loss." },
    { "ratio", EP_MAP, "", "The exposure ratio, with its counting error." },
    { "offset", EP_MAP, "eV", "The offset that was added to the energies of the low loss." },
};
enum { OUT_SPLICED, OUT_RATIO, OUT_OFFSET };

/* Where things are, from axes and parameters. Channels of the core loss, but for `below` and `join`. */
struct layout {
    double core_ev, low_ev;        /* eV per channel */
    size_t below;                  /* channels of the joint axis before the core loss's first */
    size_t join;                   /* channel of the joint axis */
    struct ep_range overlap;
};
struct plan {
    struct layout l;
    struct ep_axis core, low;
    size_t ncore, nlow;
    double offset, ratio, ratio_sigma;
    bool per_pixel, estimated;
    double gain[2], noise2[2];     /* of core and low loss */
};

static double width_of(const struct ep_axis *a)
{
    return a->scale * ep_axis_unit_factor(a);
}

/* Fractional channel of the low loss at the energy of (fractional) core-loss channel i; move: eV that the low loss is off by. */
static double low_channel(const struct ep_axis *core, const struct ep_axis *low, double move, double i)
{
    return (ep_axis_at(core, i) - move - ep_axis_at(low, 0)) / width_of(low);
}

/* ---- declare -------------------------------------------------------------------------------------------------- */

static bool check_inputs(struct ep_declare *d, const struct ep_desc *in, const struct ep_desc *low)
{
    size_t before = d->diag->nerrors;
    if (!low) {
        ep_declare_error(d, NULL, "low_loss is missing: name it, or pair: it with the input");
        return false;
    }
    if (in->modelled) ep_declare_error(d, "input", "the input is not raw counts: put splice before background and deconvolve");
    if (low->modelled) ep_declare_error(d, "low_loss", "the low loss is not raw counts: it must come before background and deconvolve");
    if (in->low.end || low->low.end) ep_declare_error(d, "input", "an input is spliced already");
    if (!ep_desc_same_grid(in, low))
        ep_declare_error(d, "low_loss", "the low loss has %zu x %zu pixels, the input has %zu x %zu: they must be the same pixels",
                         ep_desc_ny(low), ep_desc_nx(low), ep_desc_ny(in), ep_desc_nx(in));
    if ((in->shift_max > 0) != (low->shift_max > 0))
        ep_declare_error(d, "low_loss", "one image is aligned and the other is not: give `aligned` and `low_loss` of one align step, or both raw");
    if (!(in->energy.scale > 0) || !(low->energy.scale > 0))
        ep_declare_error(d, "input", "an energy axis runs downwards: both scales must be positive");
    return d->diag->nerrors == before;
}

static bool make_layout(const struct par *p, const struct ep_desc *in, const struct ep_desc *low, struct layout *l, struct ep_declare *d)
{
    const struct ep_axis *c = &in->energy, *w = &low->energy;
    l->core_ev = width_of(c);
    l->low_ev = width_of(w);
    double reach = p->find_offset;
    double lo = ep_axis_at(w, -0.5) + p->offset + reach, hi = ep_axis_at(w, (double)w->size - 0.5) + p->offset - reach;
    double start = ep_axis_at(c, -0.5), end = fmin(hi, ep_axis_at(c, (double)c->size - 0.5)), span = end - start;
    double below = floor((start - lo) / l->core_ev + 1e-3);
    if (!(span > 3 * fmax(l->core_ev, l->low_ev))) {
        if (d)
            ep_declare_error(d, "low_loss", "the low loss ends at %g eV and the core loss begins at %g eV: they need energies in common", hi, start);
        return false;
    }
    if (!(below >= 1)) {
        if (d) ep_declare_error(d, "low_loss", "the low loss begins at %g eV, not below the core loss (%g eV): there is nothing to join", lo, start);
        return false;
    }
    if (below + (double)c->size > 1e6) {
        if (d) ep_declare_error(d, "low_loss", "the joint axis would have %g channels: rebin the core loss first", below + (double)c->size);
        return false;
    }
    double from = start + span / 20, to = end - span / 20;
    if (ep_window_given(p->overlap)) from = p->overlap[0], to = p->overlap[1];
    l->overlap = ep_axis_window(c, from, to, 0, NULL);
    if (l->overlap.end - l->overlap.first < 3 || from < start - l->core_ev / 2 || to > end + l->core_ev / 2) {
        if (d)
            ep_declare_error(d, "overlap", "%g to %g eV does not lie in the energies that both have, %g to %g eV, or holds fewer than 3 channels", from, to,
                             start, end);
        return false;
    }
    l->below = (size_t)below;
    double at = isnan(p->join) ? (double)l->overlap.first : ceil((p->join / ep_axis_unit_factor(c) - c->offset) / c->scale - 1e-3);
    if (at < 0 || ep_axis_at(c, at - 0.5) > hi) {
        if (d) ep_declare_error(d, "join", "%g eV does not lie in the energies that both have, %g to %g eV", p->join, start, hi);
        return false;
    }
    l->join = l->below + (size_t)at;
    return true;
}

static void declare(struct ep_declare *d)
{
    const struct par *p = d->par;
    const struct ep_desc *in = ep_declare_input(d, PORT_CORE), *low = ep_declare_input(d, PORT_LOW);
    struct layout l = { .below = 0 };
    if (check_inputs(d, in, low)) make_layout(p, in, low, &l, d);
    if (!isnan(p->ratio) && p->per == PER_PIXEL) ep_declare_error(d, "per", "give one of ratio and per: pixel");
    struct ep_desc *o = ep_declare_like(d, "spliced", in, "Low and core loss");
    o->primary = true;
    o->energy.offset -= (double)l.below * o->energy.scale;
    o->energy.size += l.below;
    o->low = (struct ep_low_noise){ l.join, (double)NAN, (double)NAN };    /* known when the ratio is */
    if (low) {
        o->gain_estimated |= low->gain_estimated;
        d->scratch = (ep_desc_nch(low) + 1) * sizeof(double);
    }
    struct ep_desc *r = ep_declare_map(d, "ratio", in, "", "Exposure ratio", true);
    if (p->per == PER_IMAGE) r->noise = EP_NOISE_UNKNOWN;                  /* one number for all pixels */
    ep_declare_map(d, "offset", in, "eV", "Energy offset of the low loss", false)->noise = EP_NOISE_UNKNOWN;
}

static struct ep_range union_if(bool on, struct ep_range a, struct ep_range b)
{
    return on ? ep_range_hull(a, b) : a;
}

static void want(const struct ep_declare *d, const struct ep_want *out, struct ep_want *in)
{
    const struct par *p = d->par;
    struct layout l;
    if (d->in[PORT_LOW].n == 0 || !make_layout(p, d->in[PORT_CORE].v[0].d, d->in[PORT_LOW].v[0].d, &l, NULL)) return;
    struct ep_range r = out[OUT_SPLICED].wanted ? out[OUT_SPLICED].ch : (struct ep_range){ 0, 0 };
    r.first = r.first > l.join ? r.first - l.below : l.join - l.below;     /* all of the core loss that shows */
    r.end = r.end > l.below ? r.end - l.below : 0;
    if (r.first >= r.end) r = (struct ep_range){ 0, 0 };
    in[PORT_CORE].ch = union_if(p->per == PER_PIXEL && isnan(p->ratio), r, l.overlap);
    if (in[PORT_CORE].ch.first == in[PORT_CORE].ch.end) in[PORT_CORE].ch = (struct ep_range){ l.overlap.first, l.overlap.first + 1 };
}

/* ---- the look: sums of all pixels ---------------------------------------------------------------------------- */

struct acc { int64_t n; double sum[]; };     /* the low loss's channels, then the core loss's */
enum { LOOK_LOW, LOOK_CORE, LOOK_PIXELS };

static void sum_desc(struct ep_declare *d, const char *name, const struct ep_desc *in)
{
    struct ep_desc *o = ep_declare_output(d, name, EP_SPECTRUM);
    o->spectral = true;
    o->energy = in->energy;
    snprintf(o->unit, sizeof o->unit, "counts");
}

static void look_declare(struct ep_declare *d)
{
    const struct ep_desc *in = ep_declare_input(d, PORT_CORE), *low = ep_declare_input(d, PORT_LOW);
    if (!low) low = in;                      /* the stage itself says that it is missing */
    sum_desc(d, "low", low);
    sum_desc(d, "core", in);
    ep_declare_output(d, "pixels", EP_MAP);
    d->acc = sizeof(struct acc) + (ep_desc_nch(low) + ep_desc_nch(in)) * sizeof(double);
}

static bool finite_sum(const float *v, size_t n)
{
    float s = 0;
    for (size_t i = 0; i < n; i++) s += 0 * v[i];
    return s == 0;
}

static ep_status look_add(const struct ep_apply *a, void *accumulator, struct ep_err *e)
{
    (void)e;
    const struct plan *p = a->plan;
    struct acc *acc = accumulator;
    const struct ep_cell *core = &a->in[0], *low = &a->in[1];
    for (size_t y = a->area.y0; y < a->area.y0 + a->area.ny; y++)
        for (size_t x = a->area.x0; x < a->area.x0 + a->area.nx; x++) {
            if (ep_fatal(core->flag[ep_in_at(core, y, x)] | low->flag[ep_in_at(low, y, x)])) continue;
            const float *c = ep_cell_spectrum(core, ep_in_y(core, y), ep_in_x(core, x));
            const float *w = ep_cell_spectrum(low, ep_in_y(low, y), ep_in_x(low, x));
            if (!finite_sum(c, p->ncore) || !finite_sum(w, p->nlow)) continue;
            acc->n++;
            for (size_t i = 0; i < p->nlow; i++) acc->sum[i] += (double)w[i];
            for (size_t i = 0; i < p->ncore; i++) acc->sum[p->nlow + i] += (double)c[i];
        }
    return EP_OK;
}

static void look_merge(const void *plan, void *left, const void *right)
{
    const struct plan *p = plan;
    struct acc *l = left;
    const struct acc *r = right;
    l->n += r->n;
    for (size_t i = 0; i < p->nlow + p->ncore; i++) l->sum[i] += r->sum[i];
}

static ep_status look_finish(const void *plan, void *accumulator, struct ep_signal **out, struct ep_err *e)
{
    const struct plan *p = plan;
    const struct acc *acc = accumulator;
    if (acc->n == 0) return ep_fail(e, EP_E_COMPUTE, "no pixel has finite counts in both images");
    if (out[LOOK_LOW]) memcpy(out[LOOK_LOW]->f64, acc->sum, p->nlow * sizeof(double));
    if (out[LOOK_CORE]) memcpy(out[LOOK_CORE]->f64, acc->sum + p->nlow, p->ncore * sizeof(double));
    if (out[LOOK_PIXELS]) out[LOOK_PIXELS]->f32[0] = (float)acc->n;
    return EP_OK;
}

/* ---- prepare -------------------------------------------------------------------------------------------------- */

/* Counts below fractional channel boundary t (channel i covers i - 1/2 to i + 1/2) from running sums. */
static double below_boundary(const double *run, size_t n, double t)
{
    double u = t + 0.5;
    if (u <= 0) return u < -1e-6 ? (double)NAN : 0;
    if (u >= (double)n) return u > (double)n + 1e-6 ? (double)NAN : run[n];
    size_t i = (size_t)u;
    return run[i] + (u - (double)i) * (run[i + 1] - run[i]);
}

/* Counts of the low loss in channels [first, end) of the core loss. */
static double low_counts(const struct plan *p, const double *run, double move, double first, double end)
{
    return below_boundary(run, p->nlow, low_channel(&p->core, &p->low, move, end - 0.5)) -
           below_boundary(run, p->nlow, low_channel(&p->core, &p->low, move, first - 0.5));
}

/* Mean square misfit of the sums at one offset, with the ratio that fits best; weighted as counts are. */
static double misfit(const struct plan *p, const double *core, const double *run, double offset)
{
    double cl = 0, ll = 0, cc = 0;
    for (size_t i = p->l.overlap.first; i < p->l.overlap.end; i++) {
        double w = 1 / fmax(core[i], 1), l = low_counts(p, run, offset, (double)i, (double)i + 1);
        cl += w * core[i] * l;
        ll += w * l * l;
        cc += w * core[i] * core[i];
    }
    return cc - cl * cl / ll;
}

static void find_offset(struct plan *p, const double *core, const double *run, double most)
{
    double step = p->l.low_ev / 2, best = p->offset, least = INFINITY;
    long n = (long)floor(most / step);
    for (long k = -n; k <= n; k++) {
        double m = misfit(p, core, run, p->offset + (double)k * step);
        if (m < least) least = m, best = p->offset + (double)k * step;
    }
    double a = misfit(p, core, run, best - step), c = misfit(p, core, run, best + step), curve = a - 2 * least + c;
    bool inside = fabs(best - p->offset) + step <= most + 1e-9;
    p->offset = best + (inside && curve > 0 ? step * (a - c) / (2 * curve) : 0);
}

static double counts_variance(const struct plan *p, int which, double n, double channels)
{
    double v = p->gain[which] * n + channels * p->noise2[which];
    return v > 0 ? v : p->gain[which] * p->gain[which];
}

/* R and its sigma; NaN where either has no counts. */
static void ratio_of(const struct plan *p, double c, double l, double pixels, double *ratio, double *sigma)
{
    double n = (double)(p->l.overlap.end - p->l.overlap.first), vc = counts_variance(p, 0, c, pixels * n);
    double vl = counts_variance(p, 1, l, pixels * n * p->l.core_ev / p->l.low_ev);
    *ratio = c > 0 && l > 0 ? c / l : (double)NAN;
    *sigma = *ratio * sqrt(vc / (c * c) + vl / (l * l));
}

static void running(const double *v, size_t n, double *run)
{
    run[0] = 0;
    for (size_t i = 0; i < n; i++) run[i + 1] = run[i] + v[i];
}

static void base_plan(struct plan *q, const struct ep_prepare *p)
{
    const struct par *par = p->par;
    const struct ep_desc *in = p->in[PORT_CORE].v[0].d, *low = p->in[PORT_LOW].v[0].d;
    make_layout(par, in, low, &q->l, NULL);
    q->core = in->energy;
    q->low = low->energy;
    q->ncore = ep_desc_nch(in);
    q->nlow = ep_desc_nch(low);
    q->offset = par->offset;
    q->per_pixel = par->per == PER_PIXEL;
    q->estimated = in->gain_estimated || low->gain_estimated;
    q->gain[0] = in->gain;
    q->gain[1] = low->gain;
    q->noise2[0] = in->read_noise * in->read_noise;
    q->noise2[1] = low->read_noise * low->read_noise;
}

static ep_status look_prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    (void)e;
    struct plan *q = ep_xcalloc(1, sizeof *q);
    base_plan(q, p);
    *plan = q;
    return EP_OK;
}

static ep_status prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    const struct par *par = p->par;
    struct plan *q = ep_xcalloc(1, sizeof *q);
    base_plan(q, p);
    const double *core = p->look[LOOK_CORE]->f64, *low = p->look[LOOK_LOW]->f64;
    double pixels = (double)p->look[LOOK_PIXELS]->f32[0], c = 0;
    double *run = malloc((q->nlow + 1) * sizeof *run);
    if (!run) {
        free(q);
        return ep_fail(e, EP_E_COMPUTE, "no memory for a sum spectrum");
    }
    running(low, q->nlow, run);
    if (par->find_offset > 0) find_offset(q, core, run, par->find_offset);
    for (size_t i = q->l.overlap.first; i < q->l.overlap.end; i++) c += core[i];
    double l = low_counts(q, run, q->offset, (double)q->l.overlap.first, (double)q->l.overlap.end);
    free(run);
    ratio_of(q, c, l, pixels, &q->ratio, &q->ratio_sigma);
    if (!isnan(par->ratio)) q->ratio = par->ratio, q->ratio_sigma = 0;
    if (!(q->ratio > 0)) {
        free(q);
        return ep_fail(e, EP_E_COMPUTE, "between %g and %g eV the core loss has %g counts and the low loss %g: no exposure ratio can be found",
                       ep_axis_at(&p->in[0].v[0].d->energy, 0), ep_axis_at(&p->in[1].v[0].d->energy, (double)ep_desc_nch(p->in[1].v[0].d)), c, l);
    }
    struct ep_low_noise *noise = &p->out[OUT_SPLICED].low;
    noise->gain = q->ratio * q->gain[1];
    noise->read_noise = q->ratio * sqrt(q->noise2[1] * q->l.core_ev / q->l.low_ev);
    *plan = q;
    return EP_OK;
}

/* ---- apply ---------------------------------------------------------------------------------------------------- */

struct joined { double ratio, sigma; };

/* move: eV that this pixel's low loss is off by. Sets flags where something is missing. */
static void join_pixel(const struct plan *p, const struct ep_cell *core, const float *c, const float *w, double move, double *run,
                       struct ep_cell *o, float *to, struct joined *r, uint32_t *flag)
{
    run[0] = 0;
    for (size_t i = 0; i < p->nlow; i++) run[i + 1] = run[i] + (double)w[i];
    r->ratio = p->ratio;
    r->sigma = p->ratio_sigma;
    if (p->per_pixel) {
        double n = 0, l = low_counts(p, run, move, (double)p->l.overlap.first, (double)p->l.overlap.end);
        for (size_t i = p->l.overlap.first; i < p->l.overlap.end; i++) n += (double)c[i - core->ch0];
        ratio_of(p, n, l, 1, &r->ratio, &r->sigma);
        if (!(r->ratio > 0)) *flag |= isfinite(n) && isfinite(l) ? EP_FLAG_NO_COUNTS : EP_FLAG_NOT_FINITE;
    }
    if (!isfinite(run[p->nlow])) *flag |= EP_FLAG_NOT_FINITE;
    if (!o->val || ep_fatal(*flag)) return;
    double first = low_channel(&p->core, &p->low, move, (double)o->ch0 - (double)p->l.below - 0.5);
    if (o->ch0 < p->l.join && first < -0.5 - 1e-6) *flag |= EP_FLAG_OFF_AXIS;
    size_t end = o->ch0 + o->nch, low_end = end < p->l.join ? end : p->l.join, i = o->ch0;
    double a = 0;
    if (i < low_end) a = below_boundary(run, p->nlow, first);
    for (; i < low_end; i++) {
        double b = below_boundary(run, p->nlow, low_channel(&p->core, &p->low, move, (double)(i + 1) - (double)p->l.below - 0.5));
        to[i - o->ch0] = (float)(r->ratio * (b - a));
        a = b;
    }
    if (!isfinite(a)) *flag |= EP_FLAG_OFF_AXIS;
    if (i < end) memcpy(to + (i - o->ch0), c + (i - p->l.below - core->ch0), (end - i) * sizeof *to);
}

static ep_status apply(const struct ep_apply *a, struct ep_err *e)
{
    (void)e;
    const struct plan *p = a->plan;
    const struct ep_cell *core = &a->in[0], *low = &a->in[1];
    struct ep_cell *o = &a->out[OUT_SPLICED];
    if (o->val && core->shift) ep_carry(a, core, 0, 0, o);
    for (size_t y = 0; y < a->area.ny; y++)
        for (size_t x = 0; x < a->area.nx; x++) {
            size_t gy = a->area.y0 + y, gx = a->area.x0 + x;
            uint32_t *flag = &a->flag[y * a->area.nx + x];
            struct joined r = { (double)NAN, (double)NAN };
            const float *c = ep_cell_spectrum(core, ep_in_y(core, gy), ep_in_x(core, gx));
            const float *w = ep_cell_spectrum(low, ep_in_y(low, gy), ep_in_x(low, gx));
            double move = p->offset + ep_shift_at(low, ep_in_at(low, gy, gx)) - ep_shift_at(core, ep_in_at(core, gy, gx));
            if (!ep_fatal(*flag)) join_pixel(p, core, c, w, move, a->scratch, o, o->val ? ep_cell_spectrum(o, y, x) : NULL, &r, flag);
            if (ep_fatal(*flag)) {
                ep_fill_nan(o, y, x);
                r = (struct joined){ (double)NAN, (double)NAN };
            }
            if (p->estimated) *flag |= EP_FLAG_SIGMA_ESTIMATED;
            ep_put(&a->out[OUT_RATIO], y, x, r.ratio, r.sigma);
            ep_put(&a->out[OUT_OFFSET], y, x, p->offset, (double)NAN);
        }
    return EP_OK;
}

static const struct ep_outdoc look_outputs[] = {
    { "low", EP_SPECTRUM, "counts", "The sum of the low losses." }, { "core", EP_SPECTRUM, "counts", "The sum of the core losses." },
    { "pixels", EP_MAP, "", "How many pixels were added." },
};

static const struct ep_stage look = {
    .name = "splice_look", .summary = "Sum spectra of low and core loss.", .reference = "None: sums.",
    .method = "Adds the spectra of all pixels that have finite counts in both images.", .version = 1,
    .params = params, .params_size = sizeof(struct par), .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = look_outputs, .noutputs = sizeof look_outputs / sizeof *look_outputs,
    .declare = look_declare, .prepare = look_prepare, .free_plan = free, .add = look_add, .merge = look_merge, .finish = look_finish,
};

const struct ep_stage ep_stage_splice = {
    .name = "splice",
    .summary = "Joins low loss and core loss of the same pixels to one spectrum.",
    .reference = "J. Scott et al., Ultramicroscopy 108 (2008) 1586; R. F. Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, "
                 "3rd ed. (Springer, 2011), section 4.4.",
    .method = "The exposure ratio is the quotient of the counts of both where they overlap, by default of the whole image (a look). The core "
              "loss stays as it is, with independent channels; below join stands the low loss times the ratio, brought to the core loss's "
              "channels by sharing out its own, which keeps sums. The file says that those channels have another gain. Shifts of aligned "
              "images are kept as they are; where the two differ the low loss is moved by the difference, by a fraction of a channel, "
              "which makes neighbouring channels of that part share noise: sums keep the right sigma, single channels have up to a third "
              "less than stated. The error of the ratio, common to all channels below join, is given beside and not in their sigma.",
    .version = 1,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .look = &look,
    .declare = declare, .want = want, .prepare = prepare, .free_plan = free, .apply = apply,
};
