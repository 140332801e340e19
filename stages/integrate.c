/* Sums of a window, of counts or of a background-subtracted spectrum, with sigma.
 *
 * Value and covariance of sums along one spectrum come from ep_functionals(): Cov(a, b) of data/model.h, which knows that
 * all channels of a net spectrum share the errors of its background. A quotient R = N/D has, to first order (delta method),
 *     Var R = (Var N - 2 R Cov(N, D) + R^2 Var D) / D^2.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "pipeline/data/edges.h"
#include "stages/pixels.h"

enum { PORT_INPUT, PORT_BY };

struct par { double window[2], normalize[2]; };

static const struct ep_param params[] = {
    { .name = "window", .type = EP_P_WINDOW, .offset = offsetof(struct par, window), .unit = "eV", .required = true,
      .doc = "The energies from the first (included) to the second (not included) whose channels are added up." },
    { .name = "normalize", .type = EP_P_WINDOW, .offset = offsetof(struct par, normalize), .unit = "eV",
      .doc = "Divide by the sum over this window of the same spectrum; the covariance of the two sums goes into sigma." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "The spectra to integrate: counts, or what a background step left.", .kinds = EP_IMAGE | EP_SPECTRUM,
      .stream = true, .min = 1, .max = 1 },
    { .name = "normalize_by", .doc = "A map to divide by, such as the thickness; its errors count as independent.",
      .kinds = EP_MAP, .stream = true, .min = 0, .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "intensity", EP_MAP, "counts", "The sum over the window in counts, or the quotient when it is normalised." },
};

struct plan {
    double window[2][2];
    size_t n;                      /* windows: 1, or 2 when normalised by the second */
    struct ep_range at0[2];        /* resolved for an axis that is not shifted */
    bool by, by_sigma, no_noise, estimated;
    size_t at_sums, room;          /* window sums in scratch, doubles for abscissae behind them */
};

/* ---- declare ------------------------------------------------------------------------------------------------ */

/* The edge whose onset is nearest to the start of the window is what it is for; any other in it is counted with it. */
static void check_edges(struct ep_declare *d, const char *param, const struct ep_desc *in, const double w[2])
{
    struct ep_edge near[16];
    if (!in->modelled || strncmp(in->meta.signal_type, "EDS", 3) == 0) return;
    const double before = 10;      /* eV: how far in front of the window its own onset may be */
    size_t n = ep_edges_within(d->elements, w[0] - before, w[1], near, 16), own = 0;
    if (n > 16) n = 16;
    for (size_t i = 1; i < n; i++)
        if (fabs(near[i].onset - w[0]) < fabs(near[own].onset - w[0])) own = i;
    for (size_t i = 0; i < n; i++)
        if (i != own && near[i].onset > w[0])
            ep_declare_warn(d, param,
                            "the %s %s edge (%g eV) lies inside %g to %g eV, and its counts are added to those of %s %s (%g eV); "
                            "end the window before it, or take the map for the sum of both",
                            near[i].element, near[i].shell, near[i].onset, w[0], w[1], near[own].element, near[own].shell,
                            near[own].onset);
}

/* Scratch: that of ep_functionals(), then the sums of the windows, then abscissae of native channels to make them of (a
 * rebinned net has more of those than its own channels). */
static size_t functionals_bytes(const struct ep_desc *in)
{
    return (ep_functionals_scratch(in, 2) + 63) / 64 * 64;
}
static size_t abscissae_room(const struct ep_desc *in)
{
    return 4 * ep_desc_nch(in) + 4096;
}

/* "Intensity 530-560 eV": the channels that are added, by the edges that were asked for. */
static void declare(struct ep_declare *d)
{
    const struct par *p = d->par;
    const struct ep_desc *in = ep_declare_input(d, PORT_INPUT), *by = ep_declare_input(d, PORT_BY);
    bool norm = ep_window_given(p->normalize);
    ep_declare_window(d, "window", in, p->window, 1);
    if (norm) ep_declare_window(d, "normalize", in, p->normalize, 1);
    if (norm && by) ep_declare_error(d, "normalize_by", "give one of normalize and normalize_by, not both");
    if (by && !ep_desc_same_grid(in, by))
        ep_declare_error(d, "normalize_by", "the map has %zu x %zu pixels, the input has %zu x %zu: they must be the same pixels",
                         ep_desc_ny(by), ep_desc_nx(by), ep_desc_ny(in), ep_desc_nx(in));
    check_edges(d, "window", in, p->window);

    char name[128];
    const char *unit = norm ? "" : in->unit[0] ? in->unit : "counts", *note = norm || by ? ", normalised" : "";
    snprintf(name, sizeof name, "Intensity %g-%g eV%s", p->window[0], p->window[1], note);
    if (by && by->unit[0])
        unit = strcmp(by->unit, unit) == 0 ? "" : ep_arena_printf(d->arena, "%s/%s", unit, by->unit);
    struct ep_desc *o = ep_declare_map(d, "intensity", in, unit, name, true);
    o->primary = true;
    o->quotient = norm || by;
    if (by && by->noise != EP_NOISE_INDEPENDENT && o->noise != EP_NOISE_UNKNOWN) {
        if (by->noise == EP_NOISE_UNKNOWN || by->noise_px > o->noise_px) o->noise_px = by->noise_px;
        o->noise = by->noise;
    }
    if (in->gain == 0 && in->read_noise == 0 && !in->modelled) o->noise = EP_NOISE_UNKNOWN;
    d->scratch = functionals_bytes(in) + sizeof(struct ep_window_sums) + abscissae_room(in) * sizeof(double);
}

static void want(const struct ep_declare *d, const struct ep_want *out, struct ep_want *in)
{
    const struct par *p = d->par;
    const struct ep_desc *desc = d->in[PORT_INPUT].v[0].d;
    (void)out;
    in[0].ch = ep_reach(desc, p->window[0], p->window[1]);
    if (ep_window_given(p->normalize)) in[0].ch = ep_range_hull(in[0].ch, ep_reach(desc, p->normalize[0], p->normalize[1]));
}

static ep_status prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    (void)e;
    const struct par *par = p->par;
    const struct ep_desc *in = p->in[PORT_INPUT].v[0].d;
    struct plan *q = ep_xcalloc(1, sizeof *q);
    memcpy(q->window[0], par->window, sizeof par->window);
    memcpy(q->window[1], par->normalize, sizeof par->normalize);
    q->n = ep_window_given(par->normalize) ? 2 : 1;
    for (size_t i = 0; i < q->n; i++) q->at0[i] = ep_axis_window(&in->energy, q->window[i][0], q->window[i][1], 0, NULL);
    q->by = p->in[PORT_BY].n > 0;
    q->by_sigma = q->by && p->in[PORT_BY].v[0].d->has_sigma;
    q->no_noise = in->gain == 0 && in->read_noise == 0 && !in->modelled;    /* values that are no counts: sigma is not known */
    q->estimated = in->gain_estimated;
    q->at_sums = functionals_bytes(in);
    q->room = abscissae_room(in);
    *plan = q;
    return EP_OK;
}

/* ---- apply -------------------------------------------------------------------------------------------------- */

struct quantity { double value, var; };

static struct quantity quotient(struct quantity n, struct quantity d, double cov)
{
    double r = n.value / d.value, var = (n.var - 2 * r * cov + r * r * d.var) / (d.value * d.value);
    return (struct quantity){ r, var < 0 ? 0 : var };       /* below zero by rounding only */
}

/* Divided by another window (cov known) or another map (cov = 0). A divisor at or below zero gives no number. */
static struct quantity normalised(struct quantity n, struct quantity d, double cov, uint32_t *flag)
{
    if (d.value < 3 * sqrt(d.var) || d.value <= 0) *flag |= EP_FLAG_LOW_DENOMINATOR;
    if (!(d.value > 0)) return (struct quantity){ (double)NAN, (double)NAN };
    return quotient(n, d, cov);
}

/* What the windows' sums need of the background of pixels that are not shifted; made once by each thread. */
static const struct ep_window_sums *window_sums(const struct plan *p, const struct ep_apply *a)
{
    char *room = (char *)a->scratch + p->at_sums;
    return ep_window_sums((struct ep_window_sums *)(void *)room, &a->in[0], p->n, p->at0,
                          (double *)(void *)(room + sizeof(struct ep_window_sums)), p->room);
}

static struct quantity intensity(const struct plan *p, const struct ep_apply *a, size_t y, size_t x, const struct ep_window_sums *made,
                                 uint32_t *flag)
{
    const struct ep_cell *in = &a->in[0];
    const struct quantity nothing = { (double)NAN, (double)NAN };
    size_t iy = ep_in_y(in, y), ix = ep_in_x(in, x);
    struct ep_functional f[2] = { { p->at0[0], NULL }, { p->at0[1], NULL } };
    double value[2], cov[4];
    if (in->shift) {
        double s = in->shift[iy * in->a.nx + ix];
        for (size_t i = 0; i < p->n; i++) {
            bool clipped;
            f[i].ch = ep_axis_window(&in->d->energy, p->window[i][0], p->window[i][1], s, &clipped);
            if (clipped || f[i].ch.first == f[i].ch.end || f[i].ch.first < in->ch0 || f[i].ch.end > in->ch0 + in->nch) {
                *flag |= EP_FLAG_OFF_AXIS;
                return nothing;
            }
        }
    }
    *flag |= ep_functionals_at(in, iy, ix, p->n, f, made, value, cov, a->scratch);
    if (ep_fatal(*flag)) return nothing;
    struct quantity n = { value[0], p->no_noise ? (double)NAN : cov[0] };
    if (p->n == 2) return normalised(n, (struct quantity){ value[1], p->no_noise ? (double)NAN : cov[3] }, cov[1], flag);
    if (!p->by) return n;
    const struct ep_cell *by = &a->in[1];
    double b = (double)*ep_cell_spectrum(by, ep_in_y(by, y), ep_in_x(by, x));
    double s = !p->by_sigma ? 0 : by->sigma ? (double)by->sigma[ep_in_at(by, y, x)] : (double)NAN;
    return normalised(n, (struct quantity){ b, s * s }, 0, flag);
}

static ep_status apply(const struct ep_apply *a, struct ep_err *e)
{
    (void)e;
    const struct plan *p = a->plan;
    const struct ep_window_sums *made = window_sums(p, a);
    for (size_t y = 0; y < a->area.ny; y++)
        for (size_t x = 0; x < a->area.nx; x++) {
            uint32_t *flag = &a->flag[y * a->area.nx + x];
            struct quantity q = { (double)NAN, (double)NAN };
            if (!ep_fatal(*flag)) q = intensity(p, a, a->area.y0 + y, a->area.x0 + x, made, flag);
            if (p->estimated) *flag |= EP_FLAG_SIGMA_ESTIMATED;
            ep_put(&a->out[0], y, x, q.value, sqrt(q.var));
        }
    return EP_OK;
}

const struct ep_stage ep_stage_integrate = {
    .name = "integrate",
    .summary = "Adds up the counts of an energy window in every pixel.",
    .reference = "R. F. Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (Springer, 2011), section 4.5.",
    .method = "The channels whose centres lie in the window are added: a plain sum in counts, never times the channel width, and "
              "negative net counts stay negative. On background-subtracted spectra sigma holds the errors of the background, which all "
              "channels share. Dividing by a second window takes the covariance of the two sums into account; dividing by a map "
              "takes its sigma as independent. Where the divisor is below 3 sigma the pixel is flagged low_denominator, and where it "
              "is not above zero it has no value. With an aligned image the window is placed in each pixel by its own axis.",
    .version = 2,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .want = want, .prepare = prepare, .free_plan = free, .apply = apply,
};
