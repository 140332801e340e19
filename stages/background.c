/* The background in front of (and behind) an edge, fitted and subtracted.
 *
 * One spectrum: ep_fit_spectrum() (numerics/background_fit.h) gives theta, its covariance and chi-square; B and the covariance of
 * what is left follow from these (data/model.h). `average`: the exponent from the Gaussian-weighted neighbourhood, the
 * amplitude from the pixel (local background averaging; P. Cueva, R. Hovden, J. A. Mundy, H. L. Xin, D. A. Muller,
 * Microsc. Microanal. 18 (2012) 667). `lcpl`, from the same paper: two powers whose exponents are percentiles of the image's
 * exponents; a look fits those first.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "pipeline/data/edges.h"
#include "pipeline/numerics/vmath.h"
#include "stages/background_plan.h"
#include "stages/pixels.h"
#include "stages/zero_loss.h"

enum { PORT_INPUT, PORT_LOW };
struct average { double fwhm; };
struct par {
    struct ep_windows window, windows;
    double before[2];
    int method;
    const struct average *average;
    struct ep_numbers percentiles;
    double exponent_range[2];
};
enum method { ML, TWO_AREA, LOG_LS, EXPONENTIAL, LCPL };
static const char *const methods[] = { "ml", "two_area", "log_ls", "exponential", "lcpl", NULL };

#define MAX_FWHM 20.0
static const struct ep_param average_params[] = {
    { .name = "fwhm", .type = EP_P_NUMBER, .offset = offsetof(struct average, fwhm), .unit = "px", .required = true, .min = 0.1,
      .max = MAX_FWHM, .doc = "Full width at half maximum of the Gaussian weights." },
    EP_PARAM_END
};
static const struct ep_param params[] = {
    { .name = "window", .type = EP_P_WINDOWS, .offset = offsetof(struct par, window), .unit = "eV", .min_items = 1, .max_items = 2,
      .doc = "The energies that hold background alone, from the first (included) to the second (not included)." },
    { .name = "windows", .type = EP_P_WINDOWS, .offset = offsetof(struct par, windows), .unit = "eV", .min_items = 1, .max_items = 2,
      .doc = "Another name for window, for two of them: one before and one after the edge." },
    { .name = "before", .type = EP_P_WINDOW, .offset = offsetof(struct par, before), .unit = "eV",
      .doc = "With low_loss: the energies that hold background alone in front of the edge that comes before window, as [434, 452] for Ti L2,3 "
             "before O K; what plural scattering makes of that edge is then part of the background." },
    { .name = "method", .type = EP_P_WORD, .offset = offsetof(struct par, method), .def = "ml", .words = methods,
      .doc = "How the background is fitted: ml (Poisson maximum likelihood) is least biased at low counts." },
    { .name = "average", .type = EP_P_RECORD, .offset = offsetof(struct par, average), .record = average_params,
      .record_size = sizeof(struct average),
      .doc = "Take the shape of the background from a neighbourhood of each pixel and only its height from the pixel itself." },
    { .name = "percentiles", .type = EP_P_NUMBERS, .offset = offsetof(struct par, percentiles), .def = "[20, 80]", .min = 0,
      .max = 100, .min_items = 2, .max_items = 2,
      .doc = "The percentiles of the image's exponents that lcpl takes for its two powers." },
    { .name = "exponent_range", .type = EP_P_WINDOW, .offset = offsetof(struct par, exponent_range), .def = "[-100, 100]",
      .doc = "Bounds of the exponent (or decay); a pixel that ends at one of them is flagged at_bound." },
    EP_PARAM_END
};
static const struct ep_port ports[] = {
    { .name = "input", .doc = "Raw counts: a spectrum image, or one spectrum (a sum over a region).", .kinds = EP_IMAGE | EP_SPECTRUM,
      .stream = true, .min = 1, .max = 1 },
    { .name = "low_loss", .doc = "With before: the low loss of the same pixels, as raw counts.", .kinds = EP_IMAGE | EP_SPECTRUM, .stream = true,
      .min = 0, .max = 1 },
};

static const struct ep_outdoc outputs[NSLOT] = {
    [NET] = { "net", EP_IMAGE, "counts", "The counts without the background; negative values stay." },
    [BACKGROUND] = { "background", EP_IMAGE, "counts", "The fitted background." },
    [AMPLITUDE] = { "amplitude", EP_MAP, "counts", "The background in counts per channel at the reference energy." },
    [EXPONENT] = { "exponent", EP_MAP, "", "The exponent r of the power law A E^-r." },
    [DECAY] = { "decay", EP_MAP, "", "Method exponential: k of A exp(-k (E - E0)/E0), E0 being the reference energy." },
    [AMPLITUDE_1] = { "amplitude_1", EP_MAP, "counts", "Method lcpl: the part with the smaller exponent, at the reference energy." },
    [AMPLITUDE_2] = { "amplitude_2", EP_MAP, "counts", "Method lcpl: the part with the larger exponent, at the reference energy." },
    [COVARIANCE] = { "covariance", EP_MAP, "", "Covariance of ln(amplitude) and exponent, or of the two amplitudes of lcpl." },
    [CHI2] = { "reduced_chi_square", EP_MAP, "", "Reduced chi-square of the fit; about 1 where the model and the gain are right." },
};

/* ---- what is asked for ---------------------------------------------------------------------------------------- */

static const char *window_param(const struct par *p)
{
    return p->windows.n ? "windows" : "window";
}

/* The windows in rising order. */
static size_t fit_windows(const struct par *p, double w[EP_MAX_WINDOWS][2])
{
    const struct ep_windows *g = p->windows.n ? &p->windows : &p->window;
    for (size_t i = 0; i < g->n; i++) {
        size_t to = g->n == 2 && g->w[0][0] > g->w[1][0] ? 1 - i : i;
        memcpy(w[to], g->w[i], sizeof w[to]);
    }
    return g->n;
}

static bool fits_shape_of_neighbours(const struct par *p)
{
    return p->average && p->average->fwhm > 0;
}

/* Everything but what a look gives (r, mean_theta). */
static void make_model(struct ep_model *m, const struct par *p, const struct ep_desc *in, bool look)
{
    memset(m, 0, sizeof *m);
    int method = look ? ML : p->method;
    m->form = method == EXPONENTIAL ? EP_MODEL_EXPONENTIAL : method == LCPL ? EP_MODEL_TWO_POWERS : EP_MODEL_POWER;
    m->method = method == TWO_AREA ? EP_FIT_TWO_AREA : method == LOG_LS ? EP_FIT_LOG_LS : method == LCPL ? EP_FIT_WLS : EP_FIT_ML;
    if (!look && fits_shape_of_neighbours(p)) {
        m->method = EP_FIT_ML_AVERAGED;
        m->own_weight = 1;              /* of the kernel exp(-d^2 / 2 s^2) at d = 0, not normalised */
    }
    m->nwindow = fit_windows(p, m->window);
    m->gain = in->gain;
    m->read_noise = in->read_noise;
    m->low = in->low;
    m->axis = in->energy;
    m->bin = 1;
}

/* Standard deviation and reach, in pixels, of the weights. */
static double kernel_sigma(const struct par *p)
{
    return p->average->fwhm / (2 * sqrt(2 * log(2)));
}
static size_t kernel_radius(const struct par *p)
{
    return fits_shape_of_neighbours(p) ? (size_t)ceil(3 * kernel_sigma(p)) : 0;
}

/* ---- declare -------------------------------------------------------------------------------------------------- */

/* Plasmons repeat white lines, L2,3 and M4,5, in front of the window, as far as this reaches; below the energy the background is no power law anyway. */
#define PLURAL_REACH 70.0
#define PLURAL_FROM 150.0
static void check_edges_in_front(struct ep_declare *d, const double w[2])
{
    struct ep_edge e[8];
    size_t n = ep_edges_within(d->elements, fmax(w[0] - PLURAL_REACH, PLURAL_FROM), w[0], e, 8);
    for (size_t i = 0; i < n && i < 8; i++) {
        if (strcmp(e[i].shell, "L3") != 0 && strcmp(e[i].shell, "M5") != 0) continue;
        ep_declare_warn(d, window_param(d->par), "the %s %s edge (%g eV) stands before the fit window %g to %g eV: plural scattering repeats its white "
                        "lines up to %g eV and more, bent as no power law is; give low_loss, and before: a window in front of that edge", e[i].element,
                        e[i].shell, e[i].onset, w[0], w[1], e[i].onset + PLURAL_REACH);
    }
}

static void check_edges(struct ep_declare *d, const struct ep_desc *in, const double w[2], bool first)
{
    struct ep_edge e[8];
    if (strncmp(in->meta.signal_type, "EDS", 3) == 0) return;
    size_t n = ep_edges_within(d->elements, w[0], w[1], e, 8);
    for (size_t i = 0; i < n && i < 8; i++)
        ep_declare_warn(d, window_param(d->par),
                        "the %s %s edge (%g eV) lies inside the fit window %g to %g eV, which should hold background alone; start the "
                        "window above that edge's tail, or end it before the edge",
                        e[i].element, e[i].shell, e[i].onset, w[0], w[1]);
    if (first && !ep_declare_input(d, PORT_LOW)) check_edges_in_front(d, w);
}

/* False if there are no windows to go on with. */
static bool check_windows(struct ep_declare *d, const struct ep_desc *in)
{
    const struct par *p = d->par;
    size_t before = d->diag->nerrors;
    if (!p->window.n && !p->windows.n) ep_declare_error(d, NULL, "window is missing: where to fit the background, as in window: [480, 525]");
    if (p->window.n && p->windows.n) ep_declare_error(d, "windows", "window and windows are the same thing: give one of them");
    if (d->diag->nerrors > before) return false;
    double w[EP_MAX_WINDOWS][2];
    size_t n = fit_windows(p, w);
    for (size_t i = 0; i < n; i++) {
        ep_declare_window(d, window_param(p), in, w[i], 3);
        if (!(w[i][0] > 0))
            ep_declare_error(d, window_param(p), "the background needs energies above zero, the window begins at %g eV", w[i][0]);
        check_edges(d, in, w[i], i == 0);
        double join = ep_axis_at(&in->energy, (double)in->low.end - 0.5);
        if (in->low.end && w[i][0] < join + in->shift_max)
            ep_declare_error(d, window_param(p), "the window begins at %g eV, but below %g eV the channels are those of the low loss, whose noise "
                             "is another one: begin it above, or subtract before splice", w[i][0], join + in->shift_max);
    }
    if (n == 2 && w[1][0] < w[0][1])
        ep_declare_error(d, window_param(p), "the windows %g to %g and %g to %g eV overlap: channels would count twice", w[0][0], w[0][1],
                         w[1][0], w[1][1]);
    if (n == 2 && p->method == TWO_AREA)
        ep_declare_error(d, "method", "two_area fits one window; use ml for two");
    return d->diag->nerrors == before;
}

static void check_options(struct ep_declare *d, const struct ep_desc *in)
{
    const struct par *p = d->par;
    if (in->deconvolved)
        ep_declare_error(d, "input", "the input is deconvolved, so its channels share noise that a background fit does not know of: subtract "
                                     "the background first and deconvolve the net with method: ratio, or fit with a stage that takes it");
    else if (in->modelled)
        ep_declare_error(d, "input", "the input is already background-subtracted: fit both windows in one step, as in "
                                     "windows: [[480, 525], [600, 640]]");
    else if (in->gain == 0 && in->read_noise == 0)
        ep_declare_error(d, "input", "the input holds no counts (its noise is not known): give the spectra that it was made from");
    if (p->average && p->method != ML && p->method != EXPONENTIAL)
        ep_declare_error(d, "average", "averaging the neighbourhood works with the methods ml and exponential, not with %s",
                         methods[p->method]);
    if (p->average && in->kind == EP_SPECTRUM)
        ep_declare_error(d, "average", "the input is one spectrum: there are no neighbours to average");
    if (p->percentiles.n == 2 && !(p->percentiles.v[0] < p->percentiles.v[1]))
        ep_declare_error(d, "percentiles", "the first percentile must be below the second");
}

/* An edge in front of the window, whose plural losses are taken along. */
static void check_plural(struct ep_declare *d, const struct ep_desc *in)
{
    const struct par *p = d->par;
    const struct ep_desc *low = ep_declare_input(d, PORT_LOW);
    double w[EP_MAX_WINDOWS][2], channel = in->energy.scale * ep_axis_unit_factor(&in->energy);
    bool before = ep_window_given(p->before);
    size_t n = fit_windows(p, w);
    if (low && !before)
        ep_declare_error(d, NULL, "before is missing: with low_loss it says where there is background alone in front of the edge that comes before "
                                  "the window, as in before: [434, 452]");
    if (before && !low)
        ep_declare_error(d, "before", "low_loss is missing: what plural scattering makes of the edge before the window follows from the low loss "
                                      "of the same pixels, as in low_loss: o_aligned.low_loss");
    if (!low || !before) return;
    if (p->method != ML) ep_declare_error(d, "method", "with low_loss the method is ml, not %s", methods[p->method]);
    if (p->average) ep_declare_error(d, "average", "with low_loss each pixel is fitted by itself: leave out average");
    if (n == 2) ep_declare_error(d, window_param(p), "with low_loss there is one window, in front of the edge of interest");
    if (n == 1 && p->before[1] > w[0][0])
        ep_declare_error(d, "before", "%g to %g eV must lie below the window, which begins at %g eV", p->before[0], p->before[1], w[0][0]);
    ep_declare_window(d, "before", in, p->before, 3);
    if (!(channel > 0)) ep_declare_error(d, "input", "the energy axis runs downwards: with low_loss its scale must be positive");
    if (!ep_desc_same_grid(in, low))
        ep_declare_error(d, "low_loss", "the low loss has %zu x %zu pixels, the input has %zu x %zu: they must be the same pixels",
                         ep_desc_ny(low), ep_desc_nx(low), ep_desc_ny(in), ep_desc_nx(in));
    ep_zero_loss_check_as(d, "low_loss", low, &ep_zero_loss_default);
}

static void set_noise(struct ep_desc *o, const struct par *p)
{
    if (fits_shape_of_neighbours(p) && o->noise != EP_NOISE_UNKNOWN) {
        if (o->noise != EP_NOISE_CORRELATED || o->noise_px < p->average->fwhm) o->noise_px = p->average->fwhm;
        o->noise = EP_NOISE_CORRELATED;
    }
    if (p->method == LCPL) o->noise = EP_NOISE_UNKNOWN;   /* all pixels share the two exponents' errors */
}

static void declare_map(struct ep_declare *d, const struct ep_desc *in, int slot, const char *unit, const char *long_name, bool sigma)
{
    set_noise(ep_declare_map(d, outputs[slot].name, in, unit, long_name, sigma), d->par);
}

/* The fit's own complaints (too few channels), its reference energy, and what it needs of scratch. */
static double try_fit(struct ep_declare *d, const struct ep_desc *in, bool look)
{
    const struct par *p = d->par;
    struct ep_model m;
    struct ep_fit *f;
    struct ep_err e = { 0 };
    make_model(&m, p, in, look);
    m.r[0] = 2, m.r[1] = 4;             /* stand-ins for what the look will find */
    m.mean_theta[0] = m.mean_theta[1] = 1;
    if (ep_fit_new(&m, p->exponent_range[0], p->exponent_range[1], &f, &e)) {
        ep_declare_error(d, window_param(p), "%s", e.msg);
        return (double)NAN;
    }
    d->scratch = ep_fit_scratch(f);
    ep_fit_free(f);
    return m.e_ref;
}

static void make_front(struct ep_model *m, const struct par *p, const struct ep_desc *in)
{
    make_model(m, p, in, true);
    m->nwindow = 1;
    memcpy(m->window[0], p->before, sizeof m->window[0]);
}

/* Of the fit before the edge in front, if there is one. */
static size_t try_front(struct ep_declare *d, const struct ep_desc *in)
{
    const struct par *p = d->par;
    struct ep_model m;
    struct ep_fit *f;
    struct ep_err e = { 0 };
    if (!ep_window_given(p->before)) return 0;
    make_front(&m, p, in);
    if (ep_fit_new(&m, p->exponent_range[0], p->exponent_range[1], &f, &e)) {
        ep_declare_error(d, "before", "%s", e.msg);
        return 0;
    }
    size_t scratch = ep_fit_scratch(f);
    ep_fit_free(f);
    return scratch;
}

/* As laid out in background_plan.h. */
static size_t aligned(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}
static size_t scratch_bytes(const struct ep_desc *in, size_t fit, size_t radius)
{
    size_t sums = radius ? (2 * radius + 1) * (TILE + 2 * radius) * sizeof(struct sums) : 0;
    return aligned(fit) + aligned(ep_functionals_scratch(in, 1)) + aligned(2 * ep_desc_nch(in) * sizeof(double)) + sums;
}

static void declare_maps(struct ep_declare *d, const struct ep_desc *in, int method, double e_ref)
{
    const char *unit = in->unit[0] ? in->unit : "counts";
    char name[128];
    if (method == LCPL) {
        snprintf(name, sizeof name, "Background at %.6g eV, smaller exponent", e_ref);
        declare_map(d, in, AMPLITUDE_1, unit, name, true);
        snprintf(name, sizeof name, "Background at %.6g eV, larger exponent", e_ref);
        declare_map(d, in, AMPLITUDE_2, unit, name, true);
    } else {
        snprintf(name, sizeof name, "Background at %.6g eV", e_ref);
        declare_map(d, in, AMPLITUDE, unit, name, true);
        if (method == EXPONENTIAL) declare_map(d, in, DECAY, "", "Background decay over the reference energy", true);
        else declare_map(d, in, EXPONENT, "", "Background exponent", true);
    }
}

static void declare(struct ep_declare *d)
{
    const struct par *p = d->par;
    const struct ep_desc *in = ep_declare_input(d, 0);
    size_t before = d->diag->nerrors;
    double e_ref = (double)NAN;
    check_options(d, in);
    check_plural(d, in);
    if (check_windows(d, in) && d->diag->nerrors == before) e_ref = try_fit(d, in, false);
    size_t fit = d->diag->nerrors > before ? 0 : d->scratch, front = d->diag->nerrors > before ? 0 : try_front(d, in), radius = kernel_radius(p);
    const struct ep_desc *low = ep_declare_input(d, PORT_LOW);

    struct ep_desc *net = ep_declare_like(d, "net", in, "Net intensity");
    net->primary = true;
    net->modelled = true;
    set_noise(net, p);
    struct ep_desc *b = ep_declare_like(d, "background", in, "Background");
    b->modelled = false;
    b->low.end = 0;
    b->gain = b->read_noise = 0;        /* a model, no counts: their noise says nothing about it */
    b->noise = EP_NOISE_UNKNOWN;
    declare_maps(d, in, p->method, e_ref);
    declare_map(d, in, COVARIANCE, "", p->method == LCPL ? "Covariance of the amplitudes" : "Covariance of ln(amplitude) and exponent",
                false);
    declare_map(d, in, CHI2, "", "Reduced chi-square of the background", false);
    d->halo = radius;
    d->scratch = scratch_bytes(in, fit > front ? fit : front, radius);
    if (low) d->scratch += ep_background_plural_scratch(ep_desc_nch(in), ep_desc_nch(low));
}

static void declare_look(struct ep_declare *d)
{
    const struct ep_desc *in = ep_declare_input(d, 0);
    struct ep_diag mine = { 0 }, *theirs = d->diag;   /* the stage itself reports mistakes */
    d->diag = &mine;
    d->scratch = 0;
    if (check_windows(d, in)) try_fit(d, in, true);
    ep_declare_map(d, outputs[EXPONENT].name, in, "", "Background exponent", false)->primary = true;
    ep_declare_map(d, outputs[AMPLITUDE].name, in, in->unit, "Background at the reference energy", false);
    d->scratch = scratch_bytes(in, d->scratch, 0);
    d->diag = theirs;
    ep_diag_free(&mine);
}

static bool wants_look(const void *par)
{
    return ((const struct par *)par)->method == LCPL;
}

static void want(const struct ep_declare *d, const struct ep_want *out, struct ep_want *in)
{
    const struct ep_desc *image = d->in[0].v[0].d;
    struct ep_range r = { 0, 0 };
    double w[EP_MAX_WINDOWS][2];
    size_t n = fit_windows(d->par, w);
    for (size_t i = 0; i < n; i++) r = ep_range_hull(r, ep_reach(image, w[i][0], w[i][1]));
    if (r.first > 0) r.first--;         /* two_area takes the channels nearest to the ends */
    if (r.end < image->energy.size) r.end++;
    for (size_t i = 0; i < d->nout; i++)
        if (out[i].wanted && d->out[i].spectral) r = ep_range_hull(r, out[i].ch);
    in[PORT_INPUT].ch = r;
    if (!d->in[PORT_LOW].n) return;
    in[PORT_INPUT].ch = ep_range_hull(r, ep_reach(image, ((const struct par *)d->par)->before[0], ((const struct par *)d->par)->before[1]));
    in[PORT_LOW].ch = (struct ep_range){ 0, ep_desc_nch(d->in[PORT_LOW].v[0].d) };
}

/* ---- prepare -------------------------------------------------------------------------------------------------- */

static void free_plan(void *plan)
{
    struct plan *q = plan;
    if (!q) return;
    ep_fit_free(q->fit);
    ep_fit_free(q->front);
    free(q->kernel);
    free(q->x);
    ep_rows_free(&q->rows);
    free(q);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Between the sorted values, linearly: position p/100 (n-1), as numpy's percentile has it. */
static double percentile(const double *v, size_t n, double p)
{
    double at = p / 100 * (double)(n - 1);
    size_t i = (size_t)at;
    if (i + 1 >= n) return v[n - 1];
    return v[i] + (at - (double)i) * (v[i + 1] - v[i]);
}

/* r: percentiles of the exponents, at least 0.1 apart (closer powers can't be told from one another). mean_theta: the two powers
 * that have the mean amplitude and the amplitude-weighted mean exponent at the reference energy. */
static ep_status two_powers(struct ep_model *m, const struct ep_prepare *p, struct ep_err *e)
{
    const struct par *par = p->par;
    const struct ep_signal *exponent = p->look[0], *amplitude = p->look[1];
    double *v = malloc((exponent->n + 1) * sizeof *v), sum_a = 0, sum_ar = 0;
    if (!v) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (the image's exponents)", (exponent->n + 1) * sizeof *v);
    size_t n = 0;
    for (size_t i = 0; i < exponent->n; i++) {
        double r = ep_signal_get(exponent, i), a = ep_signal_get(amplitude, i);
        uint32_t flag = exponent->flags ? exponent->flags[i] : 0;
        if (!isfinite(r) || !isfinite(a) || (flag & (EP_FLAGS_FATAL | EP_FLAG_AT_BOUND | EP_FLAG_SATURATED))) continue;
        v[n++] = r;
        sum_a += a;
        sum_ar += a * r;
    }
    if (n == 0) {
        free(v);
        return ep_fail(e, EP_E_COMPUTE, "no pixel's exponent could be fitted: lcpl has nothing to take its two powers from");
    }
    qsort(v, n, sizeof *v, by_value);
    double lo = percentile(v, n, par->percentiles.v[0]), hi = percentile(v, n, par->percentiles.v[1]);
    if (hi - lo < 0.1) {
        double mid = (lo + hi) / 2;
        lo = mid - 0.05;
        hi = mid + 0.05;
    }
    double a = sum_a / (double)n, r = fmin(fmax(sum_ar / sum_a, lo), hi);
    m->r[0] = lo;
    m->r[1] = hi;
    m->mean_theta[0] = a * (hi - r) / (hi - lo);
    m->mean_theta[1] = a * (r - lo) / (hi - lo);
    free(v);
    return EP_OK;
}

static void make_kernel(struct plan *q, const struct par *par, const struct ep_desc *in)
{
    q->radius = kernel_radius(par);
    q->frame_rows = in->nnav >= 2 ? in->nav[in->nnav - 2].size : 1;
    if (!q->radius) return;
    double s = kernel_sigma(par);
    q->kernel = ep_xcalloc(2 * q->radius + 1, sizeof *q->kernel);
    for (size_t i = 0; i <= 2 * q->radius; i++) {
        double t = ((double)i - (double)q->radius) / s;
        q->kernel[i] = ep_exp1(-t * t / 2);
    }
}

static ep_status prepare_as(const struct ep_prepare *p, void **plan, bool look, struct ep_err *e)
{
    const struct par *par = p->par;
    const struct ep_desc *in = p->in[0].v[0].d;
    struct plan *q = ep_xcalloc(1, sizeof *q);
    *plan = NULL;
    make_model(&q->m, par, in, look);
    for (int s = 0; s < NSLOT; s++) {
        q->slot[s] = SIZE_MAX;
        for (size_t i = 0; i < p->nout; i++)
            if (strcmp(p->out[i].name, outputs[s].name) == 0) q->slot[s] = i;
    }
    ep_status st = EP_OK;
    if (!look && par->method == LCPL) {
        if (p->nlook < 2 || !p->look[0] || !p->look[1]) st = ep_fail(e, EP_E_COMPUTE, "the map of exponents that lcpl needs is missing");
        else st = two_powers(&q->m, p, e);
    }
    if (!st) st = ep_fit_new(&q->m, par->exponent_range[0], par->exponent_range[1], &q->fit, e);
    if (!st && p->in[PORT_LOW].n) {
        const struct ep_axis *axis = &p->in[PORT_LOW].v[0].d->energy;
        q->nlow = axis->size;
        q->stretch = in->energy.scale * ep_axis_unit_factor(&in->energy) / (axis->scale * ep_axis_unit_factor(axis));
        make_front(&q->front_m, par, in);
        st = ep_fit_new(&q->front_m, par->exponent_range[0], par->exponent_range[1], &q->front, e);
    }
    if (st) {
        free_plan(q);
        return st;
    }
    if (!look) make_kernel(q, par, in);
    q->estimated = in->gain_estimated;
    q->nch = ep_desc_nch(in);
    q->x = ep_xcalloc(q->nch, sizeof *q->x);
    ep_model_abscissae(&q->m, 0, (struct ep_range){ 0, q->nch }, q->x);
    if (!look && q->m.form != EP_MODEL_TWO_POWERS) ep_rows_make(&q->rows, q->x, q->nch);
    size_t fit = ep_fit_scratch(q->fit), front = q->front ? ep_fit_scratch(q->front) : 0;
    q->at_cov = aligned(fit > front ? fit : front);
    q->at_spectrum = q->at_cov + aligned(ep_functionals_scratch(in, 1));
    q->at_sums = q->at_spectrum + aligned(2 * q->nch * sizeof(double));
    q->at_plural = q->at_sums;          /* never with `average` */
    *plan = q;
    return EP_OK;
}

static ep_status prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    return prepare_as(p, plan, false, e);
}

static ep_status prepare_look(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    return prepare_as(p, plan, true, e);
}

#define METHOD_TEXT \
    "ml maximises the Poisson likelihood of A E^-r (or of an exponential) on the fit window; it serves dark-subtracted data with " \
    "negative channels too, as long as the window's sum is positive. two_area and log_ls are what other programs do, for comparison; " \
    "log_ls is biased at low counts. lcpl is linear and stable at low counts: two powers whose exponents are percentiles of the " \
    "image's own exponents (at least 0.1 apart), fitted with the weights of the mean spectrum. average takes the exponent from a " \
    "Gaussian-weighted neighbourhood, which lowers its noise and correlates neighbouring pixels; neighbours that are masked or not finite " \
    "are left out, and frames of a series are not mixed. The net spectrum carries the covariance of the fit, so that sums over " \
    "windows know that all channels share the background's error. Nothing is clamped at zero. With low_loss and before, the edge in front of " \
    "the window, as Ti L2,3 in front of O K, is followed up to the window, its plural losses are taken off with the low loss, the power law is " \
    "fitted to what is left there, and what plural scattering makes of edge and power law is put on again: that is the background, while " \
    "amplitude and exponent stay those of the power law through the counts of the window."
#define REFERENCE_TEXT \
    "R. F. Egerton, Electron Energy-Loss Spectroscopy in the Electron Microscope, 3rd ed. (Springer, 2011), section 4.4; " \
    "P. Cueva et al., Microsc. Microanal. 18 (2012) 667 (average, lcpl)."

static const struct ep_stage look = {
    .name = "background_look",
    .summary = "Fits a power law everywhere, to learn how the exponent varies over the image.",
    .reference = REFERENCE_TEXT,
    .method = "Poisson maximum likelihood, as method ml of background.",
    .version = 1,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = NSLOT,
    .declare = declare_look, .want = want, .prepare = prepare_look, .free_plan = free_plan, .apply = ep_background_apply,
};

const struct ep_stage ep_stage_background = {
    .name = "background",
    .summary = "Fits the background in front of an edge and subtracts it.",
    .reference = REFERENCE_TEXT,
    .method = METHOD_TEXT,
    .version = 1,
    .params = params, .params_size = sizeof(struct par),
    .ports = ports, .nports = sizeof ports / sizeof *ports,
    .outputs = outputs, .noutputs = NSLOT,
    .look = &look, .wants_look = wants_look,
    .declare = declare, .want = want, .prepare = prepare, .free_plan = free_plan, .apply = ep_background_apply,
};
