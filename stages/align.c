/* The zero-loss peak to zero energy: a shift of each pixel's energy axis (stages/centre.h). Counts are not touched. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "stages/centre.h"

enum { PORT_INPUT, PORT_LOW_LOSS };

struct par { double window[2], half_width, max_shift; };

static const struct ep_param params[] = {
    { .name = "window", .type = EP_P_WINDOW, .offset = offsetof(struct par, window), .unit = "eV",
      .doc = "Where to look for the zero-loss peak; left out, the highest channel of the whole axis is taken." },
    { .name = "half_width", .type = EP_P_NUMBER, .offset = offsetof(struct par, half_width), .unit = "eV", .def = "1.5", .min = 1e-3,
      .max = 1000, .doc = "Half the width of the range around the peak whose centre of mass is taken; it is never less than 3 channels." },
    { .name = "max_shift", .type = EP_P_NUMBER, .offset = offsetof(struct par, max_shift), .unit = "eV", .def = "20", .min = 1e-3,
      .max = 10000, .doc = "A larger shift is taken for a mistake, and the pixel is flagged shift_limit." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "The spectra to align, as raw counts.", .kinds = EP_IMAGE, .stream = true, .min = 1, .max = 1 },
    { .name = "low_loss", .doc = "The paired low-loss image that holds the zero-loss peak; without it the input does.", .kinds = EP_IMAGE,
      .stream = true, .paired = true, .min = 0, .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "aligned", EP_IMAGE, "counts", "The input's counts; each pixel carries the shift of its energy axis." },
    { "low_loss", EP_IMAGE, "counts", "The low-loss image with the same shifts, when it is given." },
    { "shift", EP_MAP, "eV", "The energy that is added to the axis so that the zero-loss peak lies at zero." },
};

struct plan {
    size_t nin;
    double window[2];              /* eV; NaN: the whole axis */
    double h, channel;             /* half width in channels; eV per channel, signed */
    double max_shift, gain, read_noise;
    bool estimated;
    size_t out_shift;
};

/* ---- declare ------------------------------------------------------------------------------------------------ */

static double channel_of(const struct ep_desc *d)
{
    return d->energy.scale * ep_axis_unit_factor(&d->energy);
}

/* In channels. */
static double half_width(const struct par *p, const struct ep_desc *source)
{
    return fmax(3, p->half_width / fabs(channel_of(source)));
}

static void check_source(struct ep_declare *d, const struct ep_desc *source, bool paired)
{
    const struct par *p = d->par;
    const struct ep_axis *a = &source->energy;
    if (!ep_window_given(p->window) && strncmp(source->meta.signal_type, "EDS", 3) == 0) {
        ep_declare_error(d, paired ? "low_loss" : NULL, "the spectra are of X-rays, which have no zero-loss peak: give `window` around a line");
        return;
    }
    if (ep_window_given(p->window)) {
        ep_declare_window(d, "window", source, p->window, 3);
        return;
    }
    double e0 = ep_axis_at(a, 0), e1 = ep_axis_at(a, (double)a->size - 1), lo = fmin(e0, e1), hi = fmax(e0, e1);
    double reach = p->max_shift + source->shift_max;
    if (lo > reach || hi < -reach)
        ep_declare_error(d, paired ? "low_loss" : NULL,
                         "the axis (%g to %g eV) holds no zero-loss peak within max_shift (%g eV) of zero%s", lo, hi, p->max_shift,
                         paired ? "" : ": name the low_loss image that does");
    if ((double)a->size < 2 * half_width(p, source) + 1)
        ep_declare_error(d, "half_width", "the axis has only %zu channels, too few for %g eV on each side of a peak", a->size, p->half_width);
}

static void declare(struct ep_declare *d)
{
    const struct par *p = d->par;
    const struct ep_desc *in = ep_declare_input(d, PORT_INPUT), *low = ep_declare_input(d, PORT_LOW_LOSS), *source = low ? low : in;
    if (in->modelled || (low && low->modelled))
        ep_declare_error(d, "input", "the input is background-subtracted: put align before background");
    if (low && !ep_desc_same_grid(in, low))
        ep_declare_error(d, "low_loss", "the low loss has %zu x %zu pixels, the input has %zu x %zu: they must be the same pixels",
                         ep_desc_ny(low), ep_desc_nx(low), ep_desc_ny(in), ep_desc_nx(in));
    if (low && (in->shift_max > 0 || low->shift_max > 0))
        ep_declare_error(d, "low_loss", "the images are aligned already: align the raw ones in one step");
    check_source(d, source, low != NULL);
    struct ep_desc *o = ep_declare_like(d, "aligned", in, in->long_name);
    o->primary = true;
    o->shift_max = in->shift_max + p->max_shift;
    if (low) {
        o = ep_declare_like(d, "low_loss", low, low->long_name);
        o->shift_max = low->shift_max + p->max_shift;
    }
    ep_declare_map(d, "shift", source, "eV", "Energy shift", true);
}

/* The peak and what is around it: its place is never further than h from the highest channel. */
static void want(const struct ep_declare *d, const struct ep_want *out, struct ep_want *in)
{
    const struct par *p = d->par;
    bool paired = d->in[PORT_LOW_LOSS].n > 0;
    const struct ep_desc *source = d->in[paired ? PORT_LOW_LOSS : PORT_INPUT].v[0].d;
    struct ep_range r = { 0, ep_desc_nch(source) };
    if (ep_window_given(p->window)) {
        double more = (2 * half_width(p, source) + 2) * fabs(channel_of(source));
        r = ep_reach(source, p->window[0] - more, p->window[1] + more);
    }
    for (size_t i = 0; i <= (size_t)paired; i++) {
        in[i].ch = out[i].wanted ? out[i].ch : (struct ep_range){ 0, 0 };
        if (i == (size_t)paired) in[i].ch = ep_range_hull(in[i].ch, r);
    }
}

static ep_status prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    (void)e;
    const struct par *par = p->par;
    struct plan *q = ep_xcalloc(1, sizeof *q);
    q->nin = 1 + p->in[PORT_LOW_LOSS].n;
    const struct ep_desc *source = p->in[q->nin == 2 ? PORT_LOW_LOSS : PORT_INPUT].v[0].d;
    memcpy(q->window, par->window, sizeof q->window);
    q->h = half_width(par, source);
    q->channel = channel_of(source);
    q->max_shift = par->max_shift;
    q->gain = source->gain;
    q->read_noise = source->read_noise;
    q->estimated = source->gain_estimated;
    q->out_shift = q->nin;
    *plan = q;
    return EP_OK;
}

/* ---- the peak ----------------------------------------------------------------------------------------------- */

/* y[i - ch0] is channel i of an axis of nch channels; only those that want() asked for are looked at. */
static struct ep_centre find_peak(const struct plan *p, const float *y, size_t ch0, struct ep_range search, size_t nch)
{
    struct ep_centre none = { (double)NAN, (double)NAN, (double)NAN, EP_FLAG_NO_ZLP };
    size_t top = search.first;
    for (size_t i = search.first; i < search.end; i++) {
        if (!isfinite(y[i - ch0])) {
            none.flag = EP_FLAG_NOT_FINITE;
            return none;
        }
        if (y[i - ch0] > y[top - ch0]) top = i;
    }
    if (search.end - search.first < 3 || top == search.first || top == search.end - 1) return none;
    return ep_centre_find(y, ch0, nch, top, p->h, p->gain, p->read_noise);
}

/* ---- apply -------------------------------------------------------------------------------------------------- */

static struct ep_range search_range(const struct plan *p, const struct ep_desc *d, double shift)
{
    if (isnan(p->window[0])) return (struct ep_range){ 0, ep_desc_nch(d) };
    return ep_axis_window(&d->energy, p->window[0], p->window[1], shift, NULL);
}

/* The shift of one pixel, added to what its axis is shifted by already. */
static void align_pixel(const struct ep_apply *a, const struct plan *p, size_t y, size_t x)
{
    const struct ep_cell *src = &a->in[p->nin - 1];
    size_t out = y * a->area.nx + x, gy = a->area.y0 + y, gx = a->area.x0 + x, at = ep_in_at(src, gy, gx);
    struct ep_centre k = { (double)NAN, (double)NAN, (double)NAN, 0 };
    double before = ep_shift_at(src, at), shift = (double)NAN;
    if (!ep_fatal(a->flag[out])) {
        const float *v = ep_cell_spectrum(src, ep_in_y(src, gy), ep_in_x(src, gx));
        k = find_peak(p, v, src->ch0, search_range(p, src->d, before), ep_desc_nch(src->d));
        a->flag[out] |= k.flag | (p->estimated ? (uint32_t)EP_FLAG_SIGMA_ESTIMATED : 0);
        if (!k.flag) {
            shift = -(ep_axis_at(&src->d->energy, k.at) + before);
            if (fabs(shift) > p->max_shift) a->flag[out] |= EP_FLAG_SHIFT_LIMIT;
        }
    }
    bool bad = ep_fatal(a->flag[out]);
    if (a->shift) a->shift[out] = bad ? (double)NAN : shift + before;
    ep_put(&a->out[p->out_shift], y, x, bad ? (double)NAN : shift, bad ? (double)NAN : k.sigma * fabs(p->channel));
}

/* The same counts: the input's own memory unless a pixel has no shift and becomes NaN. */
static void put_image(const struct ep_apply *a, size_t i)
{
    const struct ep_cell *in = &a->in[i];
    struct ep_cell *o = &a->out[i];
    if (!o->val) return;
    o->shift = a->shift;
    bool bad = false;
    for (size_t k = 0; k < a->area.ny * a->area.nx; k++) bad |= ep_fatal(a->flag[k]);
    if (!bad) {
        o->val = ep_cell_spectrum(in, ep_in_y(in, a->area.y0), ep_in_x(in, a->area.x0)) + (o->ch0 - in->ch0);
        o->sy = in->sy;
        o->sx = in->sx;
        return;
    }
    for (size_t y = 0; y < a->area.ny; y++)
        for (size_t x = 0; x < a->area.nx; x++) {
            const float *from = ep_cell_spectrum(in, ep_in_y(in, a->area.y0 + y), ep_in_x(in, a->area.x0 + x)) + (o->ch0 - in->ch0);
            if (ep_fatal(a->flag[y * a->area.nx + x])) ep_fill_nan(o, y, x);
            else memcpy(ep_cell_spectrum(o, y, x), from, o->nch * sizeof *from);
        }
}

static ep_status apply(const struct ep_apply *a, struct ep_err *e)
{
    (void)e;
    const struct plan *p = a->plan;
    for (size_t y = 0; y < a->area.ny; y++)
        for (size_t x = 0; x < a->area.nx; x++) align_pixel(a, p, y, x);
    for (size_t i = 0; i < p->nin; i++) put_image(a, i);
    return EP_OK;
}

const struct ep_stage ep_stage_align = {
    .name = "align",
    .summary = "Puts the zero-loss peak of every pixel at zero energy.",
    .reference = "R. F. Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (Springer, 2011), chapter 4; the "
                 "peak's place is a centre of mass with its counting error.",
    .method = "Finds the highest channel, then the centre of mass within half_width of it, re-centred until it stays, to a small fraction of "
              "a channel. The result is an offset of each pixel's energy axis, which later steps use as it is: nothing is "
              "interpolated, so the noise of channels stays independent. With a low_loss image the peak is found there and the same shift "
              "goes to the input. Pixels without a peak (fewer than 10 electrons, or a peak at the border of the window) have no value "
              "and are flagged no_zlp. The sigma of the shift is its counting error; errors of the shift are not part of the sigmas of "
              "later steps.",
    .version = 1,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .want = want, .prepare = prepare, .free_plan = free, .apply = apply,
};
