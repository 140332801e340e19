/* White-line areas and their ratio L3/L2, pixel by pixel.
 *
 * Positions, widths and form of the lines come from the sum of all pixels (the look) and are then held, so that areas are linear
 * functionals of the net spectrum, c = L y, and ep_functionals() gives their covariance, errors of the background included. Where
 * pixels carry a shift of their axis, L is made for SUB places of the channels within one channel, and the nearest is used.
 */
#include <stdio.h>
#include <stdlib.h>
#include "pipeline/base/mem.h"
#include "pipeline/data/edges.h"
#include "pipeline/data/elements.h"
#include "pipeline/numerics/xray.h"
#include "stages/quotient.h"
#include "stages/white_lines_plan.h"

#define SUB 17
#define LOST 60                        /* eV: plural losses beyond have no structure */

static const char *const methods[] = { "fit", "windows", NULL };
const struct ep_param ep_wl_params[] = {
    { .name = "element", .type = EP_P_TEXT, .offset = offsetof(struct ep_wl_par, element), .required = true,
      .doc = "The element whose L3 and L2 lines are measured, as Mn." },
    { .name = "obstacles", .type = EP_P_TEXTS, .offset = offsetof(struct ep_wl_par, obstacles), .max_items = EP_WL_OBSTACLES,
      .doc = "Elements whose M5 and M4 lines lie between these and are fitted with them, as La for Ni." },
    { .name = "method", .type = EP_P_WORD, .offset = offsetof(struct ep_wl_par, method), .def = "fit", .words = methods,
      .doc = "Fit peaks of the sum's shape over steps, or add up windows over steps." },
    { .name = "l3", .type = EP_P_NUMBER, .offset = offsetof(struct ep_wl_par, l3), .unit = "eV", .min = 20, .max = 5000,
      .doc = "Where the L3 maximum is looked for; the tabulated edge when left out (Mn 640, Fe 708, Co 779, Ni 855)." },
    { .name = "l2", .type = EP_P_NUMBER, .offset = offsetof(struct ep_wl_par, l2), .unit = "eV", .min = 20, .max = 5000,
      .doc = "Where the L2 maximum is looked for; by the tabulated distance from L3 when left out (Mn 651, Co 794, Ni 872)." },
    { .name = "search", .type = EP_P_NUMBER, .offset = offsetof(struct ep_wl_par, search), .unit = "eV", .def = "5", .min = 0, .max = 30,
      .doc = "How far from there both may be found." },
    { .name = "range", .type = EP_P_WINDOW, .offset = offsetof(struct ep_wl_par, range), .unit = "eV",
      .doc = "The energies to fit; from 10 eV before the L3 maximum to 30 eV behind the L2 maximum when left out." },
    { .name = "step_offset", .type = EP_P_NUMBER, .offset = offsetof(struct ep_wl_par, step_offset), .unit = "eV", .def = "0", .min = -10,
      .max = 10, .doc = "Where the steps of the continuum lie, relative to the maxima." },
    { .name = "l3_window", .type = EP_P_WINDOW, .offset = offsetof(struct ep_wl_par, windows[0]), .unit = "eV",
      .doc = "With method: windows, the energies added up as L3; as far around the maximum as half way to L2 when left out." },
    { .name = "l2_window", .type = EP_P_WINDOW, .offset = offsetof(struct ep_wl_par, windows[1]), .unit = "eV",
      .doc = "With method: windows, the energies added up as L2; as wide as that of L3 when left out." },
    { .name = "continuum", .type = EP_P_WINDOW, .offset = offsetof(struct ep_wl_par, windows[2]), .unit = "eV",
      .doc = "With method: windows, the energies behind L2 that give the height of the steps; 10 to 28 eV behind the L2 maximum when left out." },
    EP_PARAM_END
};
const struct ep_port ep_wl_ports[EP_WL_PORTS] = {
    { .name = "input", .doc = "Net spectra: what a background step in front of the L3 edge left.", .kinds = EP_IMAGE | EP_SPECTRUM, .stream = true,
      .min = 1, .max = 1 },
    { .name = "low_loss", .doc = "The mean low loss with its zero-loss peak, to put plural losses of the lines where they belong; not for spectra that "
                                 "were deconvolved.", .kinds = EP_SPECTRUM, .min = 0, .max = 1 },
};
enum { OUT_RATIO, OUT_L3, OUT_L2, OUT_COVARIANCE, OUT_TOTAL, OUT_NORMALIZED, OUT_CONTINUUM, OUT_SYSTEMATIC, OUT_CHI2, OUTPUTS };
static const struct ep_outdoc outputs[] = {
    { "ratio", EP_MAP, "", "L3 over L2." },
    { "numerator", EP_MAP, "counts", "The area of the L3 line; also called L3." },
    { "denominator", EP_MAP, "counts", "The area of the L2 line; also called L2." },
    { "covariance", EP_MAP, "counts^2", "Covariance of the two areas." },
    { "total", EP_MAP, "counts", "L3 and L2 together." },
    { "normalized", EP_MAP, "eV", "Both lines over the continuum's counts per eV: they equal so many eV of continuum." },
    { "continuum", EP_MAP, "counts", "Counts per channel of both steps together, at the L2 maximum." },
    { "ratio_systematic", EP_MAP, "", "Sigma of the ratio from what is not known of steps, continuum and form of the lines, common to all pixels." },
    { "reduced_chi_square", EP_MAP, "", "Of the fit, far above 1 where the sum's shape does not fit; method windows has none." },
};

/* ---- what is measured ------------------------------------------------------------------------------------------- */

static double onset_of(const char *element, const char *shell)
{
    const char *const one[] = { element, NULL };
    struct ep_edge found[8];
    size_t n = ep_edges_within(one, 0, 1e5, found, 8);
    for (size_t i = 0; i < n && i < 8; i++)
        if (strcmp(found[i].shell, shell) == 0) return found[i].onset;
    return (double)NAN;
}

static bool fail_model(struct ep_declare *d, const char *param, const char *text, const char *element)
{
    if (d) ep_declare_error(d, param, text, element);
    return false;
}

static bool add_obstacle(const char *element, const struct ep_desc *in, struct ep_declare *d, struct ep_wl *w)
{
    double m5 = onset_of(element, "M5");
    struct ep_wl_obstacle *o = &w->obstacle[w->nobstacle];
    if (isnan(m5) || !ep_eels_edge_of(element, "M45", &o->edge) || o->edge.n < 2)
        return fail_model(d, "obstacles", "'%s' has no M5 and M4 lines that could be fitted along: name rare earths, Ba, Cs and the like", element);
    int z = ep_element_z(element);
    o->m5 = m5 + 1;                   /* maxima follow the onsets */
    o->m4 = o->m5 + ep_xray_edge(z, ep_xray_subshell("M4")) - ep_xray_edge(z, ep_xray_subshell("M5"));
    double kv = in->meta.beam_energy_kev, beta = in->meta.collection_mrad;
    o->optics = (struct ep_eels_optics){ kv > 0 ? kv : 200, beta > 0 ? beta : 20, 0 };   /* for the shape alone, which hardly knows them */
    w->nobstacle++;
    return true;
}

bool ep_wl_model(const struct ep_wl_par *par, const struct ep_desc *in, struct ep_declare *d, struct ep_wl *w)
{
    *w = (struct ep_wl){ .step_offset = par->step_offset, .decay = EP_WL_DECAY, .search = par->search };
    int z = ep_element_z(par->element);
    if (!z) return fail_model(d, "element", "'%s' is no element", par->element);
    double l3 = onset_of(par->element, "L3"), apart = ep_xray_edge(z, ep_xray_subshell("L2")) - ep_xray_edge(z, ep_xray_subshell("L3"));
    if (isnan(par->l3) && isnan(l3)) return fail_model(d, "element", "no L3 edge of '%s' is tabulated: give l3 and l2", par->element);
    w->l3 = isnan(par->l3) ? l3 + 1 : par->l3;
    w->l2 = isnan(par->l2) ? w->l3 + apart : par->l2;
    if (!(w->l2 > w->l3 + 2))
        return fail_model(d, isnan(par->l2) ? "element" : "l2", "the L2 line of %s must lie at least 2 eV behind L3: give l3 and l2", par->element);
    for (size_t i = 0; i < par->obstacles.n && i < EP_WL_OBSTACLES; i++)
        if (!add_obstacle(par->obstacles.v[i], in, d, w)) return false;
    return true;
}

ep_status ep_wl_plural_losses(const struct ep_prepare *p, struct ep_wl *w, double **to_free, struct ep_err *e)
{
    const struct ep_axis *core = &p->in[0].v[0].d->energy;
    const struct ep_item *low = p->in[1].n ? &p->in[1].v[0] : NULL;
    *to_free = NULL;
    if (!low) return EP_OK;
    const struct ep_axis *a = &low->d->energy;
    double step = fabs(core->scale * ep_axis_unit_factor(core)), least = 15;
    size_t n = (size_t)ceil(LOST / step) + 2;
    *to_free = ep_xcalloc(n, sizeof **to_free);
    if (!ep_wl_plural(low->whole->f64, low->whole->n, ep_axis_at(a, 0), a->scale * ep_axis_unit_factor(a), step, least, n, *to_free)) {
        free(*to_free);
        *to_free = NULL;
        return ep_fail(e, EP_E_COMPUTE, "'%s' is no low loss that plural losses can be taken from: it needs a zero-loss peak above all else, and "
                       "%g eV behind it", low->label, least);
    }
    w->plural = *to_free;
    w->nplural = n;
    return EP_OK;
}

void ep_wl_range(const struct ep_wl_par *par, const struct ep_wl *w, double shift, double range[2])
{
    range[0] = ep_window_given(par->range) ? par->range[0] : w->l3 + shift - 10;
    range[1] = ep_window_given(par->range) ? par->range[1] : w->l2 + shift + 30;
    for (size_t k = 0; k < w->nobstacle && !ep_window_given(par->range); k++) range[0] = fmin(range[0], w->obstacle[k].m5 + shift - 8);
}

void ep_wl_reach(const struct ep_wl_par *par, const struct ep_wl *w, double range[2])
{
    double high[2];
    ep_wl_range(par, w, -w->search, range);
    ep_wl_range(par, w, w->search, high);
    range[1] = high[1];
}

struct ep_wl_noise ep_wl_noise_of(const struct ep_desc *in, const struct ep_model *m)
{
    if (m) return (struct ep_wl_noise){ m->gain, m->read_noise * m->read_noise * (double)m->bin, true };
    return (struct ep_wl_noise){ in->gain, in->read_noise * in->read_noise, in->gain > 0 || in->read_noise > 0 };
}

/* ---- declare ---------------------------------------------------------------------------------------------------- */

/* The other edges whose counts would be taken for lines or continuum; M5 edges bring M4 and their maximum some 30 eV behind. */
static void check_edges(struct ep_declare *d, const struct ep_wl_par *par, const double range[2])
{
    struct ep_edge near[16];
    size_t n = ep_edges_within(d->elements, range[0] - 30, range[1], near, 16);
    for (size_t i = 0; i < n && i < 16; i++) {
        if (near[i].onset <= range[0] && strcmp(near[i].shell, "M5") != 0) continue;
        bool known = strcmp(near[i].element, par->element) == 0;
        for (size_t k = 0; k < par->obstacles.n; k++) known = known || strcmp(near[i].element, par->obstacles.v[k]) == 0;
        if (known) continue;
        bool m5 = strcmp(near[i].shell, "M5") == 0;
        ep_declare_warn(d, NULL, "the %s %s edge (%g eV) reaches into %g to %g eV, where the white lines of %s are fitted: %s", near[i].element,
                        near[i].shell, near[i].onset, range[0], range[1], par->element,
                        m5 ? "name it in obstacles, to fit its M lines along" : "end `range` before it, or take its counts for part of the continuum");
    }
}

static void declare(struct ep_declare *d)
{
    const struct ep_wl_par *p = d->par;
    const struct ep_desc *in = ep_declare_input(d, 0);
    struct ep_wl w;
    double range[2];
    if (strncmp(in->meta.signal_type, "EDS", 3) == 0) ep_declare_error(d, "input", "the input holds X-rays, which have no white lines");
    if (!in->modelled && in->gain > 0)
        ep_declare_error(d, "input", "the input holds counts with their background: put a background step, with its window in front of the L3 edge, "
                                     "before white_lines");
    if (!d->in[1].n && !in->deconvolved)
        ep_declare_warn(d, NULL, "without low_loss, plural losses of L3 pass for the continuum of L2: at t/lambda 0.4 L3/L2 comes out a quarter too high; "
                        "give low_loss, a sum_spectrum of the paired low loss, or deconvolve the input, unless the specimen is thin");
    if (d->in[1].n && in->deconvolved)
        ep_declare_error(d, "low_loss", "the input is deconvolved: its plural losses are gone already, leave low_loss out");
    if (p->method == EP_WL_METHOD_WINDOWS && p->obstacles.n)
        ep_declare_error(d, "obstacles", "lines that overlap can't be told apart by windows: use method: fit");
    for (int k = 0; k < 3 && p->method == EP_WL_METHOD_FIT; k++)
        if (ep_window_given(p->windows[k])) {
            static const char *const names[] = { "l3_window", "l2_window", "continuum" };
            ep_declare_error(d, names[k], "%s belongs to method: windows; a fit takes l3, l2 and range", names[k]);
        }
    char counts[sizeof in->unit], square[sizeof in->unit], name[96];
    snprintf(counts, sizeof counts, "%s", in->unit[0] ? in->unit : "counts");
    snprintf(square, sizeof square, "%.28s^2", counts);
    if (ep_wl_model(p, in, d, &w)) {
        ep_wl_range(p, &w, 0, range);
        check_edges(d, p, range);
        if (ep_window_given(p->range)) ep_declare_window(d, "range", in, p->range, 3 * ep_wl_ncolumns(&w) + EP_WL_SHAPE);
        else ep_declare_window(d, NULL, in, (double[]){ w.l3 - 5, w.l2 + 10 }, 3 * ep_wl_ncolumns(&w) + EP_WL_SHAPE);
        if (ep_window_given(p->range) && (p->range[0] > w.l3 - 2 || p->range[1] < w.l2 + 8))
            ep_declare_error(d, "range", "the range %g to %g eV must hold both lines (%g and %g eV) and 8 eV of continuum behind them", p->range[0],
                             p->range[1], w.l3, w.l2);
    }
    const struct { const char *name, *unit, *text; bool sigma; } made[OUTPUTS] = {
        { "ratio", "", "white lines L3/L2", true }, { "numerator", counts, "L3 white line", true }, { "denominator", counts, "L2 white line", true },
        { "covariance", square, "covariance of L3 and L2", false }, { "total", counts, "white lines L3 + L2", true },
        { "normalized", "eV", "white lines in eV of continuum", true }, { "continuum", counts, "L continuum per channel", true },
        { "ratio_systematic", "", "systematic sigma of L3/L2", false },
        { "reduced_chi_square", "", "reduced chi-square of the white lines' fit", false },
    };
    for (int k = 0; k < OUTPUTS - (p->method == EP_WL_METHOD_WINDOWS); k++) {
        snprintf(name, sizeof name, "%.8s %s", p->element, made[k].text);
        struct ep_desc *o = ep_declare_map(d, made[k].name, in, made[k].unit, name, made[k].sigma);
        if (k == OUT_RATIO) o->primary = o->quotient = true;
        if (in->gain == 0 && in->read_noise == 0 && !in->modelled) o->noise = EP_NOISE_UNKNOWN;
    }
    d->scratch = (ep_functionals_scratch(in, EP_WL_MEASURED) + 63) / 64 * 64 + ep_desc_nch(in) * sizeof(double);
}

static const char *output_alias(const struct ep_declare *d, const char *name)
{
    (void)d;
    return strcmp(name, "L3") == 0 ? "numerator" : strcmp(name, "L2") == 0 ? "denominator" : NULL;
}

static void want(const struct ep_declare *d, const struct ep_want *out, struct ep_want *in)
{
    ep_white_lines_look.want(d, out, in);
}

/* ---- prepare ---------------------------------------------------------------------------------------------------- */

struct plan {
    size_t n, nc, nl;                  /* channels, columns, amplitudes that have weights */
    struct ep_range ch;
    double channel;                    /* eV, signed */
    bool shifted;
    double *x, *l;                     /* [SUB or 1][nc][n], [SUB or 1][nl][n] */
    struct ep_wl_noise noise;          /* of plain counts */
    double systematic;                 /* relative, of the ratio */
    double by_shape[EP_WL_MEASURED][EP_WL_MEASURED];       /* relative covariance of the amplitudes */
    uint32_t flag;
    size_t at_back;                    /* scratch: bytes before the background */
};

static void free_plan(void *plan)
{
    struct plan *q = plan;
    if (!q) return;
    free(q->x);
    free(q->l);
    free(q);
}

static const double *cell_of_table(const struct ep_signal *t, const char *name)
{
    for (size_t i = 0; t && t->n == 1 && i < t->ncol; i++)
        if (strcmp(t->col[i].name, name) == 0) return t->col[i].num;
    return NULL;
}

/* Shape, its errors, and channels as the look found them. */
static ep_status read_look(const struct ep_prepare *p, const struct ep_wl *w, double *shape, struct plan *q, bool *bound, struct ep_err *e)
{
    const struct ep_signal *t = p->nlook == EP_WL_NLOOK ? p->look[EP_WL_TABLE] : NULL, *sum = t ? p->look[EP_WL_SUM] : NULL;
    const double *first = cell_of_table(t, "first_channel"), *end = cell_of_table(t, "end_channel"), *b = cell_of_table(t, "at_bound");
    bool ok = first && end && b && sum && sum->sigma64 && *first >= 0 && *end <= (double)sum->n && *end > *first;
    for (size_t k = 0; ok && k < ep_wl_nshape(w); k++) {
        const double *v = cell_of_table(t, ep_wl_shape_names[k]);
        ok = v != NULL;
        if (ok) shape[k] = *v;
    }
    if (!ok) return ep_fail(e, EP_E_COMPUTE, "the fit of the sum is missing or not the one that these lines need");
    for (size_t i = 0; i < EP_WL_MEASURED; i++)
        for (size_t j = 0; j < EP_WL_MEASURED; j++) {
            const double *v = cell_of_table(t, ep_wl_by_shape_names[i][j]);
            q->by_shape[i][j] = v && isfinite(*v) ? *v : 0;
        }
    const double *systematic = cell_of_table(t, "ratio_systematic"), *ratio = cell_of_table(t, "ratio");
    q->systematic = systematic && ratio ? *systematic / fabs(*ratio) : (double)NAN;
    q->ch = (struct ep_range){ (size_t)*first, (size_t)*end };
    *bound = *b != 0;
    return EP_OK;
}

/* Windows over steps as functionals: steps scaled by the sum behind L2, lines that sum less the steps. x: the columns. */
static ep_status window_weights(const struct ep_wl_par *par, const struct ep_wl *w, const double *shape, double first, double scale, size_t n,
                                const double *x, double *l, struct ep_err *e)
{
    const double p3 = w->l3 + shape[EP_WL_POSITION], p2 = w->l2 + shape[EP_WL_POSITION] + shape[EP_WL_SEPARATION], half = (p2 - p3) / 2;
    double win[3][2] = { { p3 - half, p3 + half }, { p3 + half, p2 + half }, { p2 + 10, p2 + 28 } }, steps[3] = { 0 };
    const double *s = x + EP_WL_CONTINUUM * n;
    for (int k = 0; k < 3; k++) {
        if (ep_window_given(par->windows[k])) memcpy(win[k], par->windows[k], sizeof win[k]);
        for (size_t i = 0; i < n; i++) {
            double at = first + (double)i * scale;
            l[(size_t)k * n + i] = at >= win[k][0] && at < win[k][1];
            steps[k] += l[(size_t)k * n + i] * s[i];
        }
    }
    if (!(steps[2] > 0))
        return ep_fail(e, EP_E_COMPUTE, "no channel lies in the continuum window %g to %g eV: give continuum, or a longer range", win[2][0], win[2][1]);
    for (size_t i = 0; i < n; i++) {
        double height = l[2 * n + i] / steps[2];
        l[2 * n + i] = height;
        l[i] -= height * steps[0];
        l[n + i] -= height * steps[1];
    }
    return EP_OK;
}

static ep_status prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    const struct ep_wl_par *par = p->par;
    const struct ep_desc *in = p->in[0].v[0].d;
    struct plan *q = ep_xcalloc(1, sizeof *q);
    struct ep_wl w;
    double shape[EP_WL_MAX_SHAPE];
    bool bound = false;
    *plan = NULL;
    ep_wl_model(par, in, NULL, &w);
    double *plural = NULL;
    ep_status st = read_look(p, &w, shape, q, &bound, e);
    if (!st) st = ep_wl_plural_losses(p, &w, &plural, e);
    if (st) {
        free(q);
        return st;
    }
    q->n = q->ch.end - q->ch.first;
    q->nc = ep_wl_ncolumns(&w);
    q->nl = par->method == EP_WL_METHOD_WINDOWS ? EP_WL_MEASURED : q->nc;
    q->channel = in->energy.scale * ep_axis_unit_factor(&in->energy);
    q->shifted = in->shift_max > 0;
    q->noise = ep_wl_noise_of(in, NULL);
    q->flag = (bound ? (uint32_t)EP_FLAG_AT_BOUND : 0) | (in->gain_estimated ? (uint32_t)EP_FLAG_SIGMA_ESTIMATED : 0);
    q->at_back = (ep_functionals_scratch(in, EP_WL_MEASURED) + 63) / 64 * 64;
    size_t places = q->shifted ? SUB : 1;
    q->x = ep_xcalloc(places * q->nc * q->n, sizeof *q->x);
    q->l = ep_xcalloc(places * q->nl * q->n, sizeof *q->l);
    double *v = ep_xcalloc(q->n, sizeof *v);
    for (size_t i = 0; i < q->n; i++) v[i] = pow(p->look[EP_WL_SUM]->sigma64[q->ch.first + i], 2);
    for (size_t k = 0; !st && k < places; k++) {
        double sub = q->shifted ? ((double)k / (SUB - 1) - 0.5) * q->channel : 0, first = ep_axis_at(&in->energy, (double)q->ch.first) + sub;
        double *x = q->x + k * q->nc * q->n, *l = q->l + k * q->nl * q->n;
        ep_wl_columns(&w, shape, first, q->channel, q->n, x);
        st = par->method == EP_WL_METHOD_WINDOWS ? window_weights(par, &w, shape, first, q->channel, q->n, x, l, e)
                                                 : ep_wl_solver(q->nc, q->n, x, v, l, e);
    }
    free(v);
    free(plural);
    if (st) free_plan(q);
    else *plan = q;
    return st;
}

/* ---- apply ------------------------------------------------------------------------------------------------------ */

/* Of the fit with all amplitudes; variances by the model. */
static double chi_square(const struct plan *p, const struct ep_cell *in, size_t at, const float *y, const double *x, const double *l,
                         struct ep_range ch, double *back)
{
    double c[EP_WL_MAX_COLUMNS] = { 0 }, sum = 0;
    struct ep_wl_noise noise = in->model ? ep_wl_noise_of(in->d, in->model) : p->noise;
    if (!noise.known) return (double)NAN;
    memset(back, 0, p->n * sizeof *back);
    if (in->model) ep_model_background(in->model, in->theta + at * EP_NTHETA, ep_shift_at(in, at), ch, back);
    for (size_t k = 0; k < p->nc; k++)
        for (size_t i = 0; i < p->n; i++) c[k] += l[k * p->n + i] * (double)y[i];
    for (size_t i = 0; i < p->n; i++) {
        double m = 0;
        for (size_t k = 0; k < p->nc; k++) m += c[k] * x[k * p->n + i];
        double r = (double)y[i] - m, v = ep_wl_variance(&noise, m, back[i]);
        sum += r * r / fmax(v, noise.gain * noise.gain);       /* one electron at least */
    }
    return sum / (double)(p->n - p->nc);
}

static void put_nan(const struct ep_apply *a, size_t y, size_t x)
{
    for (size_t i = 0; i < a->nout; i++) ep_fill_nan(&a->out[i], y, x);
}

static void do_pixel(const struct ep_apply *a, const struct plan *p, size_t oy, size_t ox, uint32_t *flag)
{
    const struct ep_cell *in = &a->in[0];
    size_t iy = ep_in_y(in, a->area.y0 + oy), ix = ep_in_x(in, a->area.x0 + ox), at = iy * in->a.nx + ix;
    double shift = ep_shift_at(in, at), move = p->shifted ? rint(shift / p->channel) : 0;
    size_t place = p->shifted ? (size_t)rint((shift / p->channel - move + 0.5) * (SUB - 1)) : 0;
    double first = (double)p->ch.first - move;
    if (!(first >= (double)in->ch0 && first + (double)p->n <= (double)(in->ch0 + in->nch))) {
        *flag |= EP_FLAG_OFF_AXIS;
        return;
    }
    struct ep_range ch = { (size_t)first, (size_t)first + p->n };
    const double *l = p->l + place * p->nl * p->n, *x = p->x + place * p->nc * p->n;
    struct ep_functional f[EP_WL_MEASURED];
    double c[EP_WL_MEASURED], v[EP_WL_MEASURED * EP_WL_MEASURED], nan = (double)NAN;
    for (size_t k = 0; k < EP_WL_MEASURED; k++) f[k] = (struct ep_functional){ ch, l + k * p->n };
    *flag |= ep_functionals(in, iy, ix, EP_WL_MEASURED, f, c, v, a->scratch);
    if (ep_fatal(*flag)) return;
    if (!in->model && !p->noise.known)
        for (size_t k = 0; k < EP_WL_MEASURED * EP_WL_MEASURED; k++) v[k] = nan;
    for (size_t i = 0; i < EP_WL_MEASURED; i++)
        for (size_t j = 0; j < EP_WL_MEASURED; j++) v[i * EP_WL_MEASURED + j] += c[i] * c[j] * p->by_shape[i][j];
    double total = c[EP_WL_A3] + c[EP_WL_A2], var3 = v[0], var2 = v[4], cov32 = v[1], varc = v[8];
    double var_total = var3 + 2 * cov32 + var2, cov_tc = v[2] + v[5], per_ev = fabs(p->channel);
    bool low = c[EP_WL_A2] < 3 * sqrt(var2) || !(c[EP_WL_A2] > 0);
    if (low) *flag |= EP_FLAG_LOW_DENOMINATOR;
    bool ratio = c[EP_WL_A2] > 0, normal = c[EP_WL_CONTINUUM] > 0;
    ep_put(&a->out[OUT_RATIO], oy, ox, ratio ? c[EP_WL_A3] / c[EP_WL_A2] : nan,
           ratio ? ep_quotient_sigma(c[EP_WL_A3], var3, c[EP_WL_A2], var2, cov32) : nan);
    ep_put(&a->out[OUT_L3], oy, ox, c[EP_WL_A3], sqrt(var3));
    ep_put(&a->out[OUT_L2], oy, ox, c[EP_WL_A2], sqrt(var2));
    ep_put(&a->out[OUT_COVARIANCE], oy, ox, cov32, nan);
    ep_put(&a->out[OUT_TOTAL], oy, ox, total, sqrt(fmax(var_total, 0)));
    ep_put(&a->out[OUT_NORMALIZED], oy, ox, normal ? per_ev * total / c[EP_WL_CONTINUUM] : nan,
           normal ? per_ev * ep_quotient_sigma(total, var_total, c[EP_WL_CONTINUUM], varc, cov_tc) : nan);
    ep_put(&a->out[OUT_CONTINUUM], oy, ox, c[EP_WL_CONTINUUM], sqrt(varc));
    ep_put(&a->out[OUT_SYSTEMATIC], oy, ox, ratio ? p->systematic * fabs(c[EP_WL_A3]) / c[EP_WL_A2] : nan, 0);
    if (a->nout > OUT_CHI2 && a->out[OUT_CHI2].val)
        ep_put(&a->out[OUT_CHI2], oy, ox,
               chi_square(p, in, at, ep_cell_spectrum(in, iy, ix) + (ch.first - in->ch0), x, l, ch, (double *)(void *)((char *)a->scratch + p->at_back)), 0);
}

static ep_status apply(const struct ep_apply *a, struct ep_err *e)
{
    (void)e;
    const struct plan *p = a->plan;
    for (size_t y = 0; y < a->area.ny; y++)
        for (size_t x = 0; x < a->area.nx; x++) {
            uint32_t *flag = &a->flag[y * a->area.nx + x];
            if (!ep_fatal(*flag)) do_pixel(a, p, y, x, flag);
            if (ep_fatal(*flag)) put_nan(a, y, x);
            *flag |= p->flag;
        }
    return EP_OK;
}

const struct ep_stage ep_stage_white_lines = {
    .name = "white_lines",
    .summary = "Measures the L3 and L2 white lines of a transition metal and their ratio.",
    .reference = "D. H. Pearson, C. C. Ahn, B. Fultz, Phys. Rev. B 47 (1993) 8471 (lines over steps); P. A. van Aken, B. Liebscher, Phys. Chem. "
                 "Miner. 29 (2002) 188 (two arctangents, 2:1).",
    .method = "The sum of all pixels is fitted first: two peaks of one form (between Gaussian and Lorentzian, each side with its own share, skewed if "
              "need be), L2 being more Lorentzian by the shorter life of its hole (0.25 +- 0.25 eV, found by the fit), on two arctangent steps at the "
              "peaks, of heights 2:1; this gives positions, widths and form, which are then held, so that the areas of a pixel are a linear fit "
              "without bias at any dose. Sigma holds counting noise, the errors of the background that was taken off, and those of the shape, which "
              "in a spectrum by itself double it. What nobody knows is in ratio_systematic, common to all pixels: refits with the steps moved by 1.5 "
              "eV, a continuum that falls as E^-2 or E^-4, and an L2 broader by 0 or 0.8 eV. Plural losses of L3 land behind L2 and pass for continuum: "
              "at t/lambda 0.4 they raise the ratio by a quarter. Give low_loss (areas are then those of electrons that lost nothing else), or "
              "deconvolve before. method: windows adds up windows over the same steps, as is often published: it does without a peak "
              "shape, but tails of L3 count as L2, and the ratio comes out lower by 5 to 15 %.",
    .version = 2,
    .params = ep_wl_params, .params_size = sizeof(struct ep_wl_par),
    .ports = ep_wl_ports, .nports = EP_WL_PORTS,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .look = &ep_white_lines_look,
    .declare = declare, .want = want, .prepare = prepare, .free_plan = free_plan, .apply = apply, .output_alias = output_alias,
};
