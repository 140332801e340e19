/* Maps of X-ray lines: all families of the named elements are fitted together, pixel by pixel.
 *
 * What the pixels share (energy axis, resolution, ratios of lines, shape of the background) is learnt from the sum by the look
 * and then held, so that a pixel is linear: c = L y, with one matrix for all, and the variance of each amplitude is
 *     var(q'c) = gain sum_k c_k t_k + read_noise^2 t_n
 * since the counts' variances follow the fitted model, which is linear in c (numerics/eds_fit.h).
 *
 * Bits: products are made 64 pixels at a time, and a pixel stands at a row of its block that its column in the image alone
 * decides, however the image is cut.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "pipeline/data/elements.h"
#include "pipeline/numerics/linalg.h"
#include "stages/eds_lines_plan.h"
#include "stages/pixels.h"

#define BLOCK 64
#define EP_EDS_MOST 256            /* columns of a pixel's fit */
/* Of what the mean pixel's background alone gives: no variance is less. Matters for pixels with next to no counts. */
#define LEAST 0.1
#define SHARED "_shared"

static const struct ep_param extra_params[] = {
    { .name = "family", .type = EP_P_TEXT, .offset = offsetof(struct ep_eds_extra, family), .required = true,
      .doc = "The family that the line belongs to, as La_M; its typed-in lines replace what the tables have for it." },
    { .name = "name", .type = EP_P_TEXT, .offset = offsetof(struct ep_eds_extra, name), .required = true,
      .doc = "The name of the line, as Ma." },
    { .name = "energy", .type = EP_P_NUMBER, .offset = offsetof(struct ep_eds_extra, energy), .unit = "eV", .required = true, .min = 50,
      .max = 100000, .doc = "The energy of the line." },
    { .name = "weight", .type = EP_P_NUMBER, .offset = offsetof(struct ep_eds_extra, weight), .unit = "", .def = "1", .min = 1e-6, .max = 1e6,
      .doc = "The counts of the line relative to the others of its family." },
    EP_PARAM_END
};
const struct ep_param ep_eds_params[] = {
    { .name = "elements", .type = EP_P_TEXTS, .offset = offsetof(struct ep_eds_par, elements), .min_items = 1,
      .doc = "The elements whose lines are fitted; those of the whole recipe when left out." },
    { .name = "artefacts", .type = EP_P_TEXTS, .offset = offsetof(struct ep_eds_par, artefacts),
      .doc = "Elements that are not the specimen's: the grid's Cu, Ga and Pt of the ion beam; fitted as well, and marked." },
    { .name = "lines", .type = EP_P_TEXTS, .offset = offsetof(struct ep_eds_par, lines),
      .doc = "Fit just these families of lines, as in [Ti_K, La_L], instead of all that the elements have in range." },
    { .name = "range", .type = EP_P_WINDOW, .offset = offsetof(struct ep_eds_par, range), .unit = "eV",
      .doc = "The energies to fit; from just below the lowest line (200 eV at least) to 1.5 keV above the highest when left out." },
    { .name = "resolution", .type = EP_P_NUMBER, .offset = offsetof(struct ep_eds_par, resolution), .unit = "eV", .def = "130", .min = 100,
      .max = 300, .doc = "Full width at half maximum of the detector's peaks at Mn K alpha (5.9 keV): where the refinement starts." },
    { .name = "refine", .type = EP_P_BOOL, .offset = offsetof(struct ep_eds_par, refine), .def = "true",
      .doc = "Refine the energy axis, the resolution and the ratios of lines on the sum of all pixels." },
    { .name = "background_terms", .type = EP_P_INT, .offset = offsetof(struct ep_eds_par, background_terms), .def = "2", .min = 1, .max = 8,
      .doc = "Terms by which a pixel's background may differ in shape from the sum's, below 3 keV and above (1: in height alone)." },
    { .name = "escape", .type = EP_P_BOOL, .offset = offsetof(struct ep_eds_par, escape), .def = "true",
      .doc = "Model the peaks of photons that lost a silicon K photon, 1.74 keV below each line." },
    { .name = "detector_thickness", .type = EP_P_NUMBER, .offset = offsetof(struct ep_eds_par, detector_thickness), .unit = "mm",
      .def = "0.45", .min = 0, .max = 10,
      .doc = "Thickness of the detector's silicon, which lets part of the photons above 10 keV through; 0: stops all." },
    { .name = "extra_lines", .type = EP_P_RECORDS, .offset = offsetof(struct ep_eds_par, extra_lines), .record = extra_params,
      .record_size = sizeof(struct ep_eds_extra), .doc = "Lines that the tables lack, or have wrong." },
    { .name = "free_subshells", .type = EP_P_BOOL, .offset = offsetof(struct ep_eds_par, free_subshells), .def = "false",
      .doc = "Fit the lines of each subshell (L1, L2, L3) with an amplitude of its own in every pixel; costs 25 % of scatter." },
    EP_PARAM_END
};
const struct ep_port ep_eds_ports[1] = {
    { .name = "input", .doc = "X-ray counts: a spectrum image, or one spectrum.", .kinds = EP_IMAGE | EP_SPECTRUM, .stream = true, .min = 1,
      .max = 1 },
};
static const struct ep_outdoc outputs[] = {
    { "<line>", EP_MAP, "counts", "Ti_Ka, La_La: counts of a family's alpha lines; the element alone (Ti) means its strongest line." },
    { "<family>", EP_MAP, "counts", "Counts of all lines of a family (Ti_K, La_L)." },
    { "<family>_shared", EP_MAP, "counts", "And <line>_shared: the error that all pixels share, as one sigma, whose sum over a region adds in "
                                           "squares to the counting error (a single spectrum's sigma has it already)." },
    { "background", EP_MAP, "counts", "Counts of the background within the range of the fit." },
    { "residual", EP_IMAGE, "counts", "Counts minus model, channel by channel; NaN outside of the range of the fit." },
    { "reduced_chi_square", EP_MAP, "", "Weighted squares of the residual over what counting noise gives; about 1 where the model holds." },
};

/* ---- declare ---------------------------------------------------------------------------------------------------- */

static void check_input(struct ep_declare *d, const struct ep_desc *in)
{
    if (strncmp(in->meta.signal_type, "EELS", 4) == 0)
        ep_declare_error(d, "input", "the input holds energy losses, not X-rays: use background and integrate");
    if (in->modelled) ep_declare_error(d, "input", "the input is background-subtracted: give the raw counts, the fit has a background of its own");
    else if (in->gain == 0 && in->read_noise == 0)
        ep_declare_error(d, "input", "the input holds no counts (its noise is not known): give the spectra that it was made from");
    if (in->shift_max > 0)
        ep_declare_error(d, "input", "the input was aligned pixel by pixel, which X-ray spectra do not need: the axis is refined here");
    if (!(in->energy.scale > 0)) ep_declare_error(d, "input", "the energy axis runs downwards: turn it round");
}

static size_t columns(const struct ep_eds_par *par, const struct ep_eds_families *f)
{
    return f->n * (par->free_subshells ? 5 : 1);     /* at most */
}

static void declare_family(struct ep_declare *d, const struct ep_desc *in, const struct ep_eds_family *f, bool primary)
{
    const char *mark = f->artefact ? " (artefact)" : "", *unit = in->unit[0] ? in->unit : "counts";
    char text[96];
    if (strcmp(f->alpha, f->name) != 0) {
        snprintf(text, sizeof text, "%s counts%s", f->alpha, mark);
        struct ep_desc *o = ep_declare_map(d, f->alpha, in, unit, text, true);
        o->primary = primary;
        o->shared = in->nnav > 0;
        primary = false;
    }
    snprintf(text, sizeof text, "%s counts, all lines%s", f->name, mark);
    struct ep_desc *o = ep_declare_map(d, f->name, in, unit, text, true);
    o->primary = primary;
    o->shared = in->nnav > 0;
}

static void declare_shared(struct ep_declare *d, const struct ep_desc *in, const char *of)
{
    char name[EP_NAME_LEN], text[96];
    snprintf(name, sizeof name, "%s" SHARED, of);
    snprintf(text, sizeof text, "Error of %s counts that pixels share", of);
    ep_declare_map(d, name, in, in->unit[0] ? in->unit : "counts", text, false);
}

/* The family that shows an element best; f->n if there is none. */
static size_t strongest(const struct ep_eds_families *f, const char *element)
{
    size_t best = f->n;
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->v[i].x.element, element) == 0 && (best == f->n || f->v[i].x.strength > f->v[best].x.strength)) best = i;
    return best;
}

/* What `input: step` means: the strongest line of the first element that is no artefact. */
static size_t primary_family(const struct ep_eds_families *f)
{
    for (size_t i = 0; i < f->n; i++)
        if (!f->v[i].artefact && f->v[i].x.element[0]) return strongest(f, f->v[i].x.element);
    return 0;
}

static void declare(struct ep_declare *d)
{
    const struct ep_eds_par *par = d->par;
    const struct ep_desc *in = ep_declare_input(d, 0);
    struct ep_eds_families f = { 0 };
    double range[2];
    size_t before = d->diag->nerrors;
    check_input(d, in);
    if (d->diag->nerrors == before) ep_eds_choose(d, in, &f);
    if (d->diag->nerrors == before && f.n) {
        ep_eds_range(par, in, &f, range);
        ep_declare_window(d, isnan(par->range[0]) ? NULL : "range", in, range, 2 * columns(par, &f) + 60);
    }
    for (size_t i = 0, first = primary_family(&f); i < f.n; i++) declare_family(d, in, &f.v[i], i == first);
    const char *unit = in->unit[0] ? in->unit : "counts";
    for (size_t i = 0; i < f.n && in->nnav > 0; i++) {
        declare_shared(d, in, f.v[i].name);
        if (strcmp(f.v[i].alpha, f.v[i].name) != 0) declare_shared(d, in, f.v[i].alpha);
    }
    ep_declare_map(d, "background", in, unit, "Background counts in the range of the fit", true);
    ep_declare_map(d, "reduced_chi_square", in, "", "Reduced chi-square of the lines' fit", false);
    struct ep_desc *r = ep_declare_like(d, "residual", in, "Counts minus model");
    r->gain = r->read_noise = 0;        /* not counts: its channels share the fit's errors */
    r->noise = EP_NOISE_UNKNOWN;
    d->scratch = BLOCK * (ep_desc_nch(in) + columns(par, &f) + 2 * (size_t)par->background_terms) * sizeof(double);
    ep_eds_families_free(&f);
}

static const char *output_alias(const struct ep_declare *d, const char *name)
{
    struct ep_diag mine = { 0 };
    struct ep_declare own = *d;
    struct ep_eds_families f = { 0 };
    const char *found = NULL;
    if (!d->in[0].n || !ep_element_z(name)) return NULL;
    own.diag = &mine;
    ep_eds_choose(&own, d->in[0].v[0].d, &f);
    size_t k = strongest(&f, name);
    for (size_t i = 0; k < f.n && i < d->nout; i++)
        if (strcmp(d->out[i].name, f.v[k].alpha) == 0) found = d->out[i].name;
    ep_eds_families_free(&f);
    ep_diag_free(&mine);
    return found;
}

static void want(const struct ep_declare *d, const struct ep_want *out, struct ep_want *in)
{
    (void)out;
    struct ep_diag mine = { 0 };
    struct ep_declare own = *d;
    struct ep_eds_families f = { 0 };
    const struct ep_desc *image = d->in[0].v[0].d;
    double range[2];
    own.diag = &mine;
    ep_eds_choose(&own, image, &f);
    ep_eds_range(d->par, image, &f, range);
    in[0].ch = ep_axis_window(&image->energy, range[0], range[1], 0, NULL);
    ep_eds_families_free(&f);
    ep_diag_free(&mine);
}

/* ---- prepare ---------------------------------------------------------------------------------------------------- */

/* One map: q'c. */
struct map { size_t out; double *q, *t, least, *shared; };    /* shared: of a family in a single spectrum, else NULL */
struct plan {
    struct ep_eds_setup *setup;
    struct ep_eds_solver *s;
    size_t nmap;
    struct map *map;
    size_t chi2, residual;         /* outputs */
    double *faint, least_expected; /* faint: [ncol] variances of the amplitudes on the mean background alone */
    uint32_t flag;                 /* of all pixels */
};

static void free_plan(void *plan)
{
    struct plan *p = plan;
    if (!p) return;
    for (size_t i = 0; i < p->nmap; i++) {
        free(p->map[i].q);
        free(p->map[i].t);
        free(p->map[i].shared);
    }
    free(p->map);
    free(p->faint);
    ep_eds_solver_free(p->s);
    ep_eds_setup_free(p->setup);
    free(p);
}

static const double *column(const struct ep_signal *t, const char *name, size_t rows)
{
    for (size_t i = 0; t && t->n == rows && i < t->ncol; i++)
        if (strcmp(t->col[i].name, name) == 0) return t->col[i].num;
    return NULL;
}

/* Shape and mean pixel as the look found them. */
static ep_status read_look(const struct ep_prepare *p, const struct ep_eds_setup *s, double *theta, double *lines, double *back,
                           bool *at_bound, struct ep_err *e)
{
    static const char *const shape[EP_EDS_SHAPE] = { "offset", "gain", "resolution", "fano", "escape" };
    if (p->nlook < EP_EDS_NLOOK || !p->look[EP_EDS_FIT] || !p->look[EP_EDS_FAMILIES] || !p->look[EP_EDS_LINES] || !p->look[EP_EDS_SUM_BACK])
        return ep_fail(e, EP_E_COMPUTE, "the fit of the sum is missing");
    const double *n = column(p->look[EP_EDS_FIT], "pixels", 1), *bound = column(p->look[EP_EDS_FIT], "at_bound", 1);
    const double *c = column(p->look[EP_EDS_FAMILIES], "amplitude", s->m->ncol), *change = column(p->look[EP_EDS_LINES], "change", s->m->nline);
    bool ok = n && *n > 0 && bound && c && change && p->look[EP_EDS_SUM_BACK]->n >= s->ch.end;
    for (size_t k = 0; ok && k < EP_EDS_SHAPE; k++) {
        const double *v = column(p->look[EP_EDS_FIT], shape[k], 1);
        ok = v != NULL;
        if (ok) theta[k] = *v;
    }
    if (!ok) return ep_fail(e, EP_E_COMPUTE, "the fit of the sum is not the one that these lines need");
    for (size_t k = 0; k < s->m->nline; k++)
        if (s->m->line[k].group >= 0) theta[EP_EDS_SHAPE + s->m->line[k].group] = change[k];
    for (size_t k = 0; k < s->m->ncol; k++) lines[k] = c[k] / *n;
    for (size_t i = 0; i < s->m->nch; i++) back[i] = p->look[EP_EDS_SUM_BACK]->f64[s->ch.first + i] / *n;
    *at_bound = *bound != 0;
    return EP_OK;
}

/* The functional of a pixel's coefficients that a map's shared error is, from the look's table; NULL if it has none. */
static double *shared_by(const struct ep_signal *t, const char *map, size_t length, size_t n)
{
    if (!t || t->ncol != n + 1 || !t->col[0].is_text) return NULL;
    for (size_t i = 0; i < t->n; i++) {
        if (strlen(t->col[0].text[i]) != length || strncmp(t->col[0].text[i], map, length) != 0) continue;
        double *row = ep_xcalloc(n, sizeof *row);
        for (size_t k = 0; k < n; k++) row[k] = t->col[k + 1].num[i];
        return row;
    }
    return NULL;
}

/* The functional of an output; false if it is none. */
static bool make_map(const struct plan *p, const double *theta, const struct ep_signal *shared, const struct ep_desc *out, struct map *m)
{
    const struct ep_eds_solver *s = p->s;
    const char *name = out->name;
    size_t length = strlen(name), tail = strlen(SHARED);
    bool found = false;
    m->t = ep_xcalloc(s->n + 1, sizeof *m->t);
    m->shared = NULL;
    if (length > tail && strcmp(name + length - tail, SHARED) == 0) {
        m->q = shared_by(shared, name, length - tail, s->n);
        if (!m->q) free(m->t);
        return m->q != NULL;                         /* without a sigma: t stays 0 */
    }
    m->q = ep_xcalloc(s->n, sizeof *m->q);
    for (size_t k = 0; strcmp(name, "background") == 0 && k < s->nback; k++) {
        m->q[s->ncol + k] = s->sum[s->ncol + k];
        found = true;
    }
    for (size_t i = 0; !found && i < p->setup->f.n; i++) {
        const struct ep_eds_family *f = &p->setup->f.v[i];
        bool all = strcmp(name, f->name) == 0;
        if (!all && strcmp(name, f->alpha) != 0) continue;
        ep_eds_share(p->setup, i, !all, theta, m->q);
        if (out->nnav == 0) m->shared = shared_by(shared, name, length, s->n);
        found = true;
    }
    if (found) {
        ep_eds_variance_terms(s, m->q, m->t);
        m->least = LEAST * (s->gain * m->t[s->ncol] + s->noise2 * m->t[s->n]);
    } else {
        free(m->q);
        free(m->t);
    }
    return found;
}

static ep_status find_faint(struct plan *p, struct ep_err *e)
{
    const struct ep_eds_solver *s = p->s;
    if (s->n > EP_EDS_MOST) return ep_fail(e, EP_E_COMPUTE, "%zu columns are too many to fit, %d is the limit", s->n, EP_EDS_MOST);
    double *q = ep_xcalloc(s->n, sizeof *q), *t = ep_xcalloc(s->n + 1, sizeof *t);
    p->faint = ep_xcalloc(s->ncol, sizeof *p->faint);
    for (size_t k = 0; k < s->ncol; k++) {
        q[k] = 1;
        ep_eds_variance_terms(s, q, t);
        q[k] = 0;
        p->faint[k] = s->gain * t[s->ncol] + s->noise2 * t[s->n];
    }
    free(q);
    free(t);
    return EP_OK;
}

static ep_status prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    const struct ep_eds_par *par = p->par;
    const struct ep_desc *in = p->in[0].v[0].d;
    struct plan *q = ep_xcalloc(1, sizeof *q);
    double *theta = NULL, *lines = NULL, *back = NULL;
    bool at_bound = false;
    *plan = NULL;
    ep_status st = ep_eds_setup_new(p, &q->setup, e);
    if (!st) {
        const struct ep_eds *m = q->setup->m;
        theta = ep_xcalloc(ep_eds_ntheta(m), sizeof *theta);
        lines = ep_xcalloc(m->ncol, sizeof *lines);
        back = ep_xcalloc(m->nch, sizeof *back);
        st = read_look(p, q->setup, theta, lines, back, &at_bound, e);
        if (!st) st = ep_eds_solver_new(m, theta, lines, back, (size_t)par->background_terms, in->gain, in->read_noise * in->read_noise,
                                        &q->s, e);
    }
    q->map = ep_xcalloc(p->nout + 1, sizeof *q->map);
    if (!st) st = find_faint(q, e);
    for (size_t i = 0; !st && i < p->nout; i++) {
        struct map *m = &q->map[q->nmap];
        if (make_map(q, theta, p->look[EP_EDS_SHARED], &p->out[i], m)) {
            m->out = i;
            q->nmap++;
        } else if (p->out[i].spectral) {
            q->residual = i;
        } else if (strcmp(p->out[i].name, "reduced_chi_square") != 0) {
            st = ep_fail(e, EP_E_COMPUTE, "the fit of the sum has nothing for %s", p->out[i].name);
        } else {
            q->chi2 = i;
            q->least_expected = LEAST * (q->s->gain * q->s->expected[q->s->ncol] + q->s->noise2 * q->s->expected0);
        }
    }
    q->flag = (at_bound ? (uint32_t)EP_FLAG_AT_BOUND : 0) | (in->gain_estimated ? (uint32_t)EP_FLAG_SIGMA_ESTIMATED : 0);
    free(theta);
    free(lines);
    free(back);
    if (st) free_plan(q);
    else *plan = q;
    return st;
}

/* ---- apply ------------------------------------------------------------------------------------------------------ */

/* Counts minus model; sigma (of a single spectrum) is that of the counts, by the model. */
static void put_residual(const struct ep_apply *a, const struct plan *p, size_t y, size_t x, const double *counts, const double *c)
{
    const struct ep_eds_solver *s = p->s;
    const struct ep_cell *o = &a->out[p->residual];
    if (!o->val) return;
    float *to = ep_cell_spectrum(o, y, x);
    for (size_t i = 0; i < o->nch; i++) {
        size_t at = o->ch0 + i - p->setup->ch.first;     /* wraps below the range */
        double m = 0;
        if (at < s->nch)
            for (size_t k = 0; k < s->n; k++) m += c[k] * s->x[k * s->nch + at];
        to[i] = at < s->nch ? (float)(counts[at] - m) : NAN;
        if (o->sigma) o->sigma[i] = at < s->nch ? (float)sqrt(fmax(s->gain * m, 0) + s->noise2) : NAN;
    }
}

/* Coefficients c[n]; squares: sum w y^2.
 *
 * Amplitudes are signed, their variances are not: a pixel that noise has put 2 sigma below zero would claim half its sigma, one
 * above a larger one. So an amplitude c enters the variances as c^3/(c^2 + s^2) if it is positive, s being its sigma where there
 * is background alone: what is strong counts in full, what is not significant little. Intervals then cover within a few percent
 * of what they should from 3 counts of sigma on; where an element is absent, sigma is some percent too large. */
static void put_pixel(const struct ep_apply *a, const struct plan *p, size_t y, size_t x, const double *c, double squares)
{
    const struct ep_eds_solver *s = p->s;
    double expect[EP_EDS_MOST];
    for (size_t k = 0; k < s->n; k++) {
        double c2 = c[k] * c[k];
        expect[k] = k >= s->ncol ? c[k] : c[k] > 0 ? c[k] * c2 / (c2 + p->faint[k]) : 0;
    }
    for (size_t i = 0; i < p->nmap; i++) {
        const struct map *m = &p->map[i];
        double v = 0, var = s->noise2 * m->t[s->n], shared = 0;
        for (size_t k = 0; k < s->n; k++) {
            v += c[k] * m->q[k];
            var += s->gain * expect[k] * m->t[k];
            if (m->shared) shared += c[k] * m->shared[k];
        }
        ep_put(&a->out[m->out], y, x, v, sqrt(fmax(var, m->least) + shared * shared));
    }
    if (!a->out[p->chi2].val) return;
    /* c solves the normal equations: sum w (y - model)^2 = sum w y^2 - c'N c. */
    double expected = s->noise2 * s->expected0, rest = squares;
    for (size_t k = 0; k < s->n; k++) {
        double nc = 0;
        for (size_t j = 0; j < s->n; j++) nc += s->normal[k * s->n + j] * c[j];
        rest -= c[k] * nc;
        expected += s->gain * c[k] * s->expected[k];
    }
    ep_put(&a->out[p->chi2], y, x, rest / fmax(expected, p->least_expected), 0);
}

/* Pixels x0 .. x1-1 of row y of the image, all of one block. */
static void do_block(const struct ep_apply *a, const struct plan *p, size_t y, size_t x0, size_t x1)
{
    const struct ep_eds_solver *s = p->s;
    const struct ep_cell *in = &a->in[0];
    size_t nch = s->nch, nr = s->n, skip = p->setup->ch.first - in->ch0;
    double *counts = a->scratch, *product = counts + BLOCK * nch, squares[BLOCK];
    memset(counts, 0, BLOCK * nch * sizeof *counts);
    for (size_t x = x0; x < x1; x++) {
        const float *v = ep_cell_spectrum(in, ep_in_y(in, y), ep_in_x(in, x)) + skip;
        uint32_t *flag = &a->flag[(y - a->area.y0) * a->area.nx + x - a->area.x0];
        double *row = counts + x % BLOCK * nch, sum[8] = { 0 };
        if (ep_fatal(*flag)) continue;
        *flag |= p->flag;
        size_t i = 0;
        for (; nch - i >= 8; i += 8)
            for (size_t k = 0; k < 8; k++) {
                double t = (double)v[i + k];
                row[i + k] = t;
                sum[k] += s->w[i + k] * t * t;
            }
        for (; i < nch; i++) {
            double t = (double)v[i];
            row[i] = t;
            sum[0] += s->w[i] * t * t;
        }
        squares[x % BLOCK] = ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
        if (!isfinite(squares[x % BLOCK])) {
            *flag |= EP_FLAG_NOT_FINITE;
            memset(row, 0, nch * sizeof *row);
        }
    }
    ep_matmul(BLOCK, nr, nch, counts, s->lt, product);
    for (size_t x = x0; x < x1; x++) {
        size_t oy = y - a->area.y0, ox = x - a->area.x0;
        const double *c = product + x % BLOCK * nr;
        if (ep_fatal(a->flag[oy * a->area.nx + ox])) {
            for (size_t i = 0; i < a->nout; i++) ep_fill_nan(&a->out[i], oy, ox);
            continue;
        }
        put_pixel(a, p, oy, ox, c, squares[x % BLOCK]);
        put_residual(a, p, oy, ox, counts + x % BLOCK * nch, c);
    }
}

static ep_status apply(const struct ep_apply *a, struct ep_err *e)
{
    (void)e;
    size_t end = a->area.x0 + a->area.nx;
    for (size_t y = a->area.y0; y < a->area.y0 + a->area.ny; y++)
        for (size_t x = a->area.x0; x < end;) {
            size_t next = (x / BLOCK + 1) * BLOCK;
            if (next > end) next = end;
            do_block(a, a->plan, y, x, next);
            x = next;
        }
    return EP_OK;
}

const struct ep_stage ep_stage_eds_lines = {
    .name = "eds_lines",
    .summary = "Maps the X-ray lines of elements by a joint fit, overlapping ones included.",
    .reference = "T. Schoonjans et al., Spectrochim. Acta B 66 (2011) 776 (xraylib: energies, rates, yields); C. J. Powell, Rev. Mod. Phys. 48 "
                 "(1976) 33 (ionisation); S. J. B. Reed, N. G. Ware, J. Phys. E 5 (1972) 582 (escape peaks).",
    .method = "All lines of the elements that lie in the range are fitted together on a smooth background: Ti K and La L overlap, and "
              "windows would count a third of each as the other. The background has two parts that do not touch, below and above 3 keV, so that what is "
              "wrong among the many lines and absorption edges below stays there. First the sum of all pixels is fitted, and the offset and scale of the "
              "energy axis, the resolution, the escape peaks and, within the tables' uncertainty, the ratios of line groups are refined; "
              "then these are held and every pixel is a linear fit with one set of weights, so that its results are unbiased at any dose. "
              "Maps are signed: an absent element scatters around zero, and a region's sum is right. Sigma is the counting error. The "
              "errors of what was refined are common to all pixels: they stand apart, in <family>_shared and <line>_shared, and a region's sum has the sum of these "
              "beside its counting error (give them to collect or profile as shared). A single spectrum's sigma holds both. Look at the sum's fit in <step>.look.hspy: a "
              "reduced chi-square well above 1 means that an element is missing, or line ratios or the peak shape do not fit, and "
              "`worst_energy` says where (the verdict warns from 5 sigma on, of chi-square or at one place); `correlation` tells which families a pixel can't tell apart (3d L lines, O K and La M below 1 keV). "
              "Counts of a line include its escape peak.",
    .version = 3,
    .params = ep_eds_params, .params_size = sizeof(struct ep_eds_par),
    .ports = ep_eds_ports, .nports = 1,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .look = &ep_eds_lines_look,
    .declare = declare, .want = want, .prepare = prepare, .free_plan = free_plan, .apply = apply, .output_alias = output_alias,
};
