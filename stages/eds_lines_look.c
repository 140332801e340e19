/* The look of eds_lines: the sum of all pixels, the shape of the spectrum refined on it, and the tables that say how well.
 *
 * The sum decides for all pixels, so what a detector can't have given stays out of it: flagged pixels, and channels that are not
 * finite, negative beyond noise, or a spike, one channel that towers above both neighbours though peaks are wider than a
 * channel. A few such channels of a pixel are replaced by the mean of their neighbours; a pixel with more is left out. (The map of a
 * pixel is computed from its own counts as they are.)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "pipeline/numerics/linalg.h"
#include "stages/eds_lines_plan.h"
#include "stages/pixels.h"

struct plan {
    struct ep_eds_setup *s;
    size_t nch;                    /* of the whole axis */
    double gain, read_noise;
    bool refine;
    int64_t terms;
};
struct acc { int64_t n, left_out, mended; double sum[]; };
#define MOST_MENDED 4

/* ---- declare ---------------------------------------------------------------------------------------------------- */

static void declare_spectrum(struct ep_declare *d, const char *name, const struct ep_desc *in, const char *long_name, bool counts)
{
    struct ep_desc *o = ep_declare_output(d, name, EP_SPECTRUM);
    o->spectral = true;
    o->energy = in->energy;
    snprintf(o->unit, sizeof o->unit, "%s", in->unit[0] ? in->unit : "counts");
    snprintf(o->long_name, sizeof o->long_name, "%s", long_name);
    o->has_sigma = o->primary = counts;
    o->noise = counts ? EP_NOISE_INDEPENDENT : EP_NOISE_UNKNOWN;
    o->gain = counts ? in->gain : 0;
    o->gain_estimated = in->gain_estimated;
    o->read_noise = counts ? in->read_noise : 0;
    memcpy(o->frame, in->frame, sizeof o->frame);
    o->meta = in->meta;
}

static void declare_table(struct ep_declare *d, const char *name, const struct ep_desc *in, const char *long_name)
{
    struct ep_desc *o = ep_declare_output(d, name, EP_TABLE);
    snprintf(o->long_name, sizeof o->long_name, "%s", long_name);
    memcpy(o->frame, in->frame, sizeof o->frame);
    o->meta = in->meta;
}

static void declare(struct ep_declare *d)
{
    const struct ep_desc *in = ep_declare_input(d, 0);
    struct ep_diag mine = { 0 }, *theirs = d->diag;   /* the stage itself reports mistakes */
    struct ep_eds_families f = { 0 };
    d->diag = &mine;
    ep_eds_choose(d, in, &f);
    declare_spectrum(d, "sum", in, "Sum of all pixels", true);
    declare_spectrum(d, "sum_fit", in, "Fit of the sum", false);
    declare_spectrum(d, "sum_background", in, "Background of the sum", false);
    declare_table(d, "fit", in, "The refined axis and resolution");
    declare_table(d, "families", in, "Counts of the families of lines in the sum");
    declare_table(d, "lines", in, "The lines that were fitted");
    declare_table(d, "correlation", in, "Correlation of the errors of a mean pixel's amplitudes");
    declare_table(d, "shared", in, "Errors that pixels share, by a pixel's amplitudes");
    for (size_t i = 0; i < f.n; i++) {
        char text[96];
        snprintf(text, sizeof text, "%s counts in the sum%s", f.v[i].name, f.v[i].artefact ? " (artefact)" : "");
        struct ep_desc *o = ep_declare_output(d, f.v[i].name, EP_MAP);
        snprintf(o->unit, sizeof o->unit, "counts");
        snprintf(o->long_name, sizeof o->long_name, "%s", text);
        o->has_sigma = true;
        o->noise = EP_NOISE_INDEPENDENT;
        memcpy(o->frame, in->frame, sizeof o->frame);
        o->meta = in->meta;
    }
    d->acc = sizeof(struct acc) + ep_desc_nch(in) * sizeof(double);
    ep_eds_families_free(&f);
    d->diag = theirs;
    ep_diag_free(&mine);
}

static void free_plan(void *plan)
{
    struct plan *q = plan;
    if (q) ep_eds_setup_free(q->s);
    free(q);
}

static ep_status prepare(const struct ep_prepare *p, void **plan, struct ep_err *e)
{
    const struct ep_eds_par *par = p->par;
    const struct ep_desc *in = p->in[0].v[0].d;
    struct plan *q = ep_xcalloc(1, sizeof *q);
    *plan = NULL;
    *q = (struct plan){ .nch = ep_desc_nch(in), .gain = in->gain, .read_noise = in->read_noise, .refine = par->refine,
                        .terms = par->background_terms };
    ep_status st = ep_eds_setup_new(p, &q->s, e);
    if (st) free_plan(q);
    else *plan = q;
    return st;
}

/* ---- the sum ---------------------------------------------------------------------------------------------------- */

/* A channel that may speak for all; NaN may not. */
static bool good(const struct plan *p, float y)
{
    return y >= (float)(-6 * p->read_noise) && y <= 3e38f;
}

static bool spike(const struct plan *p, const float *y, size_t i, size_t first, size_t end)
{
    float least = (float)(30 * p->gain + 6 * p->read_noise), around = 0;
    if (!(y[i] > least)) return false;
    if (i > first && y[i - 1] <= 3e38f) around = y[i - 1];
    if (i + 1 < end && y[i + 1] > around && y[i + 1] <= 3e38f) around = y[i + 1];
    return y[i] > 6 * around + least;
}

/* Nothing in n channels that could be bad: no value below `low`, none large enough for a spike. Most pixels. */
static bool plain(const struct plan *p, const float *y, size_t n)
{
    float low = (float)(-6 * p->read_noise), high = (float)(30 * p->gain + 6 * p->read_noise);
    int out[8] = { 0 };
    size_t i = 0;
    for (; n - i >= 8; i += 8)
        for (size_t k = 0; k < 8; k++) out[k] |= !((y[i + k] >= low) & (y[i + k] <= high));
    for (; i < n; i++) out[0] |= !((y[i] >= low) & (y[i] <= high));
    for (size_t k = 1; k < 8; k++) out[0] |= out[k];
    return !out[0];
}

/* The channels of the range that are not to be trusted: at most MOST_MENDED go to bad; returns how many there are. */
static size_t bad_channels(const struct plan *p, const float *y, size_t bad[MOST_MENDED])
{
    size_t n = 0, first = p->s->ch.first, end = p->s->ch.end;
    for (size_t i = first; i < end; i++) {
        if (good(p, y[i]) && !spike(p, y, i, first, end)) continue;
        if (n < MOST_MENDED) bad[n] = i;
        n++;
    }
    return n;
}

/* Of the nearest channels on either side that are good. */
static double mean_beside(const struct plan *p, const float *y, size_t i)
{
    size_t first = p->s->ch.first, end = p->s->ch.end;
    double sum = 0;
    int n = 0;
    for (size_t k = i; k > first; k--)
        if (good(p, y[k - 1]) && !spike(p, y, k - 1, first, end)) {
            sum += (double)y[k - 1];
            n++;
            break;
        }
    for (size_t k = i + 1; k < end; k++)
        if (good(p, y[k]) && !spike(p, y, k, first, end)) {
            sum += (double)y[k];
            n++;
            break;
        }
    return n ? sum / n : 0;
}

static ep_status add(const struct ep_apply *a, void *accumulator, struct ep_err *e)
{
    (void)e;
    const struct plan *p = a->plan;
    const struct ep_cell *in = &a->in[0];
    struct acc *acc = accumulator;
    for (size_t y = a->area.y0; y < a->area.y0 + a->area.ny; y++)
        for (size_t x = a->area.x0; x < a->area.x0 + a->area.nx; x++) {
            size_t at = ep_in_at(in, y, x), bad[MOST_MENDED], n = 0;
            const float *v = ep_cell_spectrum(in, ep_in_y(in, y), ep_in_x(in, x));
            bool usable = !ep_fatal(in->flag[at] & ~(uint32_t)EP_FLAG_NOT_FINITE) && !(in->flag[at] & EP_FLAG_SATURATED);
            if (usable && plain(p, v, p->nch)) {
                acc->n++;
                for (size_t i = 0; i < p->nch; i++) acc->sum[i] += (double)v[i];
                continue;
            }
            if (!usable || (n = bad_channels(p, v, bad)) > MOST_MENDED) {
                acc->left_out++;
                continue;
            }
            acc->n++;
            acc->mended += (int64_t)n;
            for (size_t i = 0, k = 0; i < p->nch; i++) {
                if (k < n && bad[k] == i) {
                    acc->sum[i] += mean_beside(p, v, i);
                    k++;
                } else if (v[i] >= -3e38f && v[i] <= 3e38f) {
                    acc->sum[i] += (double)v[i];
                }
            }
        }
    return EP_OK;
}

static void merge(const void *plan, void *left, const void *right)
{
    const struct plan *p = plan;
    struct acc *l = left;
    const struct acc *r = right;
    l->n += r->n;
    l->left_out += r->left_out;
    l->mended += r->mended;
    for (size_t i = 0; i < p->nch; i++) l->sum[i] += r->sum[i];
}

/* ---- tables ----------------------------------------------------------------------------------------------------- */

#define NUM(t, name, unit, v, sigma) (st = st ? st : ep_table_add(t, name, unit, v, sigma, NULL, e))
#define TEXT(t, name, v) (st = st ? st : ep_table_add(t, name, "", NULL, NULL, v, e))

static ep_status fit_table(const struct acc *acc, const struct ep_eds_sum *f, struct ep_signal **out, struct ep_err *e)
{
    static const struct { const char *name, *unit; } col[EP_EDS_SHAPE] = {
        [EP_EDS_OFFSET] = { "offset", "eV" }, [EP_EDS_GAIN] = { "gain", "" }, [EP_EDS_RESOLUTION] = { "resolution", "eV" },
        [EP_EDS_FANO_FACTOR] = { "fano", "" }, [EP_EDS_ESCAPE] = { "escape", "" },
    };
    ep_status st = ep_table_new("fit", 1, out, e);
    for (int k = 0; k < EP_EDS_SHAPE; k++) NUM(*out, col[k].name, col[k].unit, &f->theta[k], &f->sigma[k]);
    double noise = ep_eds_fwhm(f->theta, 0), dof = (double)f->dof, n = (double)acc->n, left = (double)acc->left_out, bound = f->at_bound;
    double misfit = 100 * f->misfit, mended = (double)acc->mended;
    NUM(*out, "noise", "eV", &noise, NULL);
    NUM(*out, "reduced_chi_square", "", &f->chi2, NULL);
    NUM(*out, "degrees_of_freedom", "", &dof, NULL);
    NUM(*out, "misfit", "%", &misfit, NULL);
    NUM(*out, "worst_energy", "eV", &f->worst_energy, NULL);
    NUM(*out, "worst_residual", "sigma", &f->worst, NULL);
    NUM(*out, "at_bound", "", &bound, NULL);
    NUM(*out, "pixels", "", &n, NULL);
    NUM(*out, "pixels_left_out", "", &left, NULL);
    NUM(*out, "channels_mended", "", &mended, NULL);
    /* Chi-square has the standard deviation sqrt(2/dof): 5 of them. A tail or a wrong ratio is missed by a few places of the
     * spectrum alone, which a thousand channels hide: 5 sigma at one of them are as rare. */
    char text[128] = "fits";
    if (f->chi2 > 1 + 5 * sqrt(2 / dof) || fabs(f->worst) > 5)
        snprintf(text, sizeof text, "line ratios, peak shape or elements do not fit: see %.0f eV", f->worst_energy);
    const char *verdict = text;
    TEXT(*out, "verdict", &verdict);
    return st;
}

/* Counts of family i in the sum, and their sigma. The columns of one family count as independent. */
static void family_counts(const struct ep_eds_setup *s, const struct ep_eds_sum *f, size_t i, bool alpha, double *q, double *value,
                          double *sigma)
{
    double v = 0, var = 0;
    ep_eds_share(s, i, alpha, f->theta, q);
    for (size_t k = 0; k < s->m->ncol; k++) {
        v += q[k] * f->c[k];
        var += q[k] * q[k] * f->c_sigma[k] * f->c_sigma[k];
    }
    *value = v;
    *sigma = sqrt(var);
}

static ep_status families_table(const struct ep_eds_setup *s, const struct ep_eds_sum *f, const char *const *name, struct ep_signal **out,
                                struct ep_err *e)
{
    size_t n = s->m->ncol;
    double *art = ep_xcalloc(n, sizeof *art), *q = ep_xcalloc(n, sizeof *q);
    double *alpha = ep_xcalloc(n, sizeof *alpha), *total = ep_xcalloc(n, sizeof *total);
    for (size_t i = 0; i < s->f.n; i++) {
        for (size_t c = 0; c < s->f.v[i].ncolumn; c++) art[s->f.v[i].column + c] = s->f.v[i].artefact;
        ep_eds_share(s, i, false, f->theta, q);
        for (size_t c = 0; c < n; c++) total[c] += q[c];
        ep_eds_share(s, i, true, f->theta, q);
        for (size_t c = 0; c < n; c++) alpha[c] += q[c];
    }
    ep_status st = ep_table_new("families", n, out, e);
    TEXT(*out, "column", name);
    NUM(*out, "amplitude", "counts", f->c, f->c_sigma);   /* per count of it there are: */
    NUM(*out, "lines_per_amplitude", "", total, NULL);
    NUM(*out, "alpha_per_amplitude", "", alpha, NULL);
    NUM(*out, "artefact", "", art, NULL);
    free(art);
    free(q);
    free(alpha);
    free(total);
    return st;
}

static ep_status lines_table(const struct ep_eds_setup *s, const struct ep_eds_sum *f, struct ep_signal **out, struct ep_err *e)
{
    size_t n = s->m->nline, nt = ep_eds_ntheta(s->m);
    char (*name)[EP_EDS_NAME] = ep_xcalloc(n, sizeof *name);
    const char **text = ep_xcalloc(n, sizeof *text), **family = ep_xcalloc(n, sizeof *family);
    double *v = ep_xcalloc(7 * n, sizeof *v), *energy = v, *weight = v + n, *table = v + 2 * n, *change = v + 3 * n, *sigma = v + 4 * n;
    double *counts = v + 5 * n, *fwhm = v + 6 * n;
    for (size_t k = 0; k < n; k++) {
        const struct ep_eds_line *l = &s->m->line[k];
        const struct ep_eds_family *of = &s->f.v[s->of_family[k]];
        size_t t = EP_EDS_SHAPE + (size_t)(l->group >= 0 ? l->group : 0);
        bool corrected = l->group >= 0 && t < nt;
        snprintf(name[k], sizeof name[k], "%.10s%s%.10s", of->x.element[0] ? of->x.element : of->name, "_", of->x.line[s->of_line[k]].name);
        text[k] = name[k];
        family[k] = of->name;
        energy[k] = l->energy;
        table[k] = l->weight;
        change[k] = corrected ? f->theta[t] : 0;
        sigma[k] = corrected ? f->sigma[t] : 0;
        weight[k] = l->weight * (1 + change[k]);
        counts[k] = weight[k] * f->c[l->column];
        fwhm[k] = ep_eds_fwhm(f->theta, l->energy);
    }
    ep_status st = ep_table_new("lines", n, out, e);
    TEXT(*out, "line", text);
    TEXT(*out, "family", family);
    NUM(*out, "energy", "eV", energy, NULL);
    NUM(*out, "weight", "", weight, NULL);
    NUM(*out, "tabulated_weight", "", table, NULL);
    NUM(*out, "change", "", change, sigma);
    NUM(*out, "counts", "counts", counts, NULL);
    NUM(*out, "fwhm", "eV", fwhm, NULL);
    free(name);
    free(text);
    free(family);
    free(v);
    return st;
}

/* How a pixel is solved: as the stage will do it. */
static ep_status mean_pixel(const struct plan *p, const struct ep_eds_sum *f, double n, struct ep_eds_solver **out, struct ep_err *e)
{
    const struct ep_eds *m = p->s->m;
    double *lines = ep_xcalloc(m->ncol, sizeof *lines), *back = ep_xcalloc(m->nch, sizeof *back);
    for (size_t k = 0; k < m->ncol; k++) lines[k] = f->c[k] / n;
    for (size_t i = 0; i < m->nch; i++) back[i] = f->back[i] / n;
    ep_status st = ep_eds_solver_new(m, f->theta, lines, back, (size_t)p->terms, p->gain, p->read_noise * p->read_noise, out, e);
    free(lines);
    free(back);
    return st;
}

/* Of a mean pixel's amplitudes: what pixels can't tell apart. */
static ep_status correlation_table(const struct ep_eds_solver *s, const char *const *name, struct ep_signal **out, struct ep_err *e)
{
    double *cov = ep_xcalloc(s->n * s->n, sizeof *cov), *r = ep_xcalloc(s->ncol, sizeof *r);
    ep_eds_covariance(s, cov);
    ep_status st = ep_table_new("correlation", s->ncol, out, e);
    TEXT(*out, "column", name);
    for (size_t j = 0; j < s->ncol; j++) {
        for (size_t i = 0; i < s->ncol; i++) r[i] = cov[i * s->n + j] / sqrt(cov[i * s->n + i] * cov[j * s->n + j]);
        NUM(*out, name[j], "", r, NULL);
    }
    free(cov);
    free(r);
    return st;
}

/* ---- errors that pixels share ------------------------------------------------------------------------------------ */

/* How a map's functional q itself moves with theta, [ntheta][ncol]: it is linear in the corrections of groups. */
static void moving_share(const struct ep_eds_setup *s, size_t family, bool alpha, const double *theta, const double *q, double *dq)
{
    size_t nt = ep_eds_ntheta(s->m), ncol = s->m->ncol;
    double *moved = ep_xcalloc(nt, sizeof *moved);
    memcpy(moved, theta, nt * sizeof *moved);
    memset(dq, 0, nt * ncol * sizeof *dq);
    for (size_t t = EP_EDS_SHAPE; t < nt; t++) {
        moved[t] = theta[t] + 1;
        ep_eds_share(s, family, alpha, moved, dq + t * ncol);
        moved[t] = theta[t];
        for (size_t k = 0; k < ncol; k++) dq[t * ncol + k] -= q[k];
    }
    free(moved);
}

/* What the mean pixel's coefficients a .. b-1 err by together, written as a sum over coefficients: part' c is that error's sigma
 * for every pixel made of the same things. M = D' C D, in counts of one sigma. */
static void add_part(const double *m, const double *mean, size_t n, size_t a, size_t b, double factor, double *part)
{
    double var = 0;
    for (size_t i = a; i < b; i++)
        for (size_t j = a; j < b; j++) var += mean[i] * m[i * n + j] * mean[j];
    for (size_t i = a; i < b && var > 0; i++)
        for (size_t j = a; j < b; j++) part[i] += factor * m[i * n + j] * mean[j] / sqrt(var);
}

/* What the first polynomial that a pixel's background lacks may be, of the background: absorption in 50 to 100 nm of different
 * oxides makes 0.2 to 0.6 % of it above 3 keV (1 to 2 % against a platinum cap). */
#define SHAPE 0.005

/* What that is of q'c, for the background of one unit on each side of the split. */
static void add_shape(const struct ep_eds_solver *v, const struct ep_eds *m, const double *q, double *part)
{
    double by[2] = { 0, 0 };
    for (size_t i = 0; i < v->nch; i++) {
        double a = 0;
        for (size_t k = 0; k < v->n; k++) a += q[k] * v->lt[i * v->n + k];
        by[i >= m->split] += a * v->beyond[i];
    }
    part[v->n - v->terms] += SHAPE * fabs(by[1]);
    if (m->split) part[v->ncol] += SHAPE * fabs(by[0]);
}

/* The sigma, common to all pixels, that the counts of a family or of its alpha lines have from the errors of the sum's fit: linear in a
 * pixel's coefficients, so that a region's is the sum of its pixels'. Lines and background err in ways of their own, and so does the
 * background's shape in a pixel; their sigmas are added, which is not too little. Where the sum does not fit as well as noise allows, what
 * comes from its fit is larger by the root of chi-square. */
static ep_status shared_table(const struct ep_eds_setup *s, const struct ep_eds_solver *v, const struct ep_eds_sum *f, double pixels,
                              struct ep_signal **out, struct ep_err *e)
{
    size_t nt = ep_eds_ntheta(s->m), np = s->m->nback + nt, n = v->n, rows = 2 * s->f.n;
    double *q = ep_xcalloc(rows * n, sizeof *q), *dq = ep_xcalloc(rows * nt * v->ncol, sizeof *dq), *d = ep_xcalloc(rows * np * n, sizeof *d);
    double *cd = ep_xcalloc(np * n, sizeof *cd), *m = ep_xcalloc(n * n, sizeof *m), *part = ep_xcalloc(rows * n, sizeof *part);
    double *column = ep_xcalloc(rows, sizeof *column), worse = sqrt(fmax(1, f->chi2));
    const char **map = ep_xcalloc(rows, sizeof *map);
    for (size_t i = 0; i < rows; i++) {
        bool alpha = i % 2;
        map[i] = alpha ? s->f.v[i / 2].alpha : s->f.v[i / 2].name;
        ep_eds_share(s, i / 2, alpha, f->theta, q + i * n);
        moving_share(s, i / 2, alpha, f->theta, q + i * n, dq + i * nt * v->ncol);
    }
    ep_eds_shared(v, s->m, f->theta, rows, q, dq, d);
    for (size_t i = 0; i < rows; i++) {
        double *di = d + i * np * n;
        for (size_t k = 0; k < s->m->nback * n; k++) di[k] /= pixels;    /* the sum's background, of one pixel */
        ep_matmul(np, n, np, f->shared, di, cd);
        for (size_t a = 0; a < n; a++)
            for (size_t b = 0; b < n; b++) {
                m[a * n + b] = 0;
                for (size_t k = 0; k < np; k++) m[a * n + b] += di[k * n + a] * cd[k * n + b];
            }
        add_part(m, v->mean, n, 0, v->ncol, worse, part + i * n);
        add_part(m, v->mean, n, v->ncol, n, worse, part + i * n);
        add_shape(v, s->m, q + i * n, part + i * n);
    }
    ep_status st = ep_table_new("shared", rows, out, e);
    TEXT(*out, "map", map);
    for (size_t k = 0; k < n; k++) {
        char name[EP_EDS_NAME];
        if (k < v->ncol) ep_eds_column_name(s, k, name);
        else snprintf(name, sizeof name, "background_%zu", k - v->ncol + 1);
        for (size_t i = 0; i < rows; i++) column[i] = part[i * n + k];
        NUM(*out, name, "", column, NULL);
    }
    double *all[] = { q, dq, d, cd, m, part, column };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(map);
    return st;
}

/* ---- finish ----------------------------------------------------------------------------------------------------- */

static void put_spectra(const struct plan *p, const struct acc *acc, const struct ep_eds_sum *f, struct ep_signal **out)
{
    double noise2 = (double)acc->n * p->read_noise * p->read_noise;
    for (size_t i = 0; i < p->nch; i++) {
        bool in = i >= p->s->ch.first && i < p->s->ch.end;
        size_t at = i - p->s->ch.first;
        double var = p->gain * acc->sum[i] + noise2;
        if (out[EP_EDS_SUM]) {
            out[EP_EDS_SUM]->f64[i] = acc->sum[i];
            if (out[EP_EDS_SUM]->sigma64) out[EP_EDS_SUM]->sigma64[i] = sqrt(var > 0 ? var : p->gain * p->gain);
        }
        if (out[EP_EDS_SUM_FIT]) out[EP_EDS_SUM_FIT]->f64[i] = in ? f->fit[at] : (double)NAN;
        if (out[EP_EDS_SUM_BACK]) out[EP_EDS_SUM_BACK]->f64[i] = in ? f->back[at] : (double)NAN;
    }
    if (out[EP_EDS_SUM]) out[EP_EDS_SUM]->d.read_noise = p->read_noise * sqrt((double)acc->n);
}

static ep_status finish(const void *plan, void *accumulator, struct ep_signal **out, struct ep_err *e)
{
    const struct plan *p = plan;
    const struct acc *acc = accumulator;
    const struct ep_eds_setup *s = p->s;
    double total = 0, n = (double)acc->n, *q = ep_xcalloc(s->m->ncol, sizeof *q);
    struct ep_eds_sum *f = NULL;
    struct ep_eds_solver *v = NULL;
    char (*name)[EP_EDS_NAME] = ep_xcalloc(s->m->ncol, sizeof *name);
    const char **names = ep_xcalloc(s->m->ncol, sizeof *names);
    ep_status st = EP_OK;
    for (size_t k = 0; k < s->m->ncol; k++) {
        ep_eds_column_name(s, k, name[k]);
        names[k] = name[k];
    }
    for (size_t i = s->ch.first; i < s->ch.end; i++) total += acc->sum[i];
    if (acc->n == 0) st = ep_fail(e, EP_E_COMPUTE, "no pixel is left to fit the sum of: all are masked, not finite, negative, or have a spike");
    else if (!(total > 0)) st = ep_fail(e, EP_E_COMPUTE, "there are no counts within the range of the fit");
    if (!st) st = ep_eds_fit_sum(s->m, acc->sum + s->ch.first, p->gain, n * p->read_noise * p->read_noise, p->refine, &f, e);
    if (!st) {
        put_spectra(p, acc, f, out);
        for (size_t i = 0; i < s->f.n; i++) {
            struct ep_signal *o = out[EP_EDS_NLOOK + i];
            double value, sigma;
            family_counts(s, f, i, false, q, &value, &sigma);
            if (!o) continue;
            o->f32[0] = (float)value;
            if (o->sigma32) o->sigma32[0] = (float)sigma;
        }
        st = fit_table(acc, f, &out[EP_EDS_FIT], e);
        if (!st) st = families_table(s, f, names, &out[EP_EDS_FAMILIES], e);
        if (!st) st = lines_table(s, f, &out[EP_EDS_LINES], e);
        if (!st) st = mean_pixel(p, f, n, &v, e);
        if (!st) st = correlation_table(v, names, &out[EP_EDS_CORRELATION], e);
        if (!st) st = shared_table(s, v, f, n, &out[EP_EDS_SHARED], e);
    }
    ep_eds_solver_free(v);
    ep_eds_sum_free(f);
    free(q);
    free(name);
    free(names);
    return st;
}

static const struct ep_outdoc outputs[] = {
    { "sum", EP_SPECTRUM, "counts", "The sum of all pixels." },
    { "sum_fit", EP_SPECTRUM, "counts", "Its fit." },
    { "sum_background", EP_SPECTRUM, "counts", "The background of the fit." },
    { "fit", EP_TABLE, "", "The refined axis, resolution and escape, chi-square, and where the fit is worst." },
    { "families", EP_TABLE, "", "The fitted amplitudes." },
    { "lines", EP_TABLE, "", "Every line with its energy, its share in its family, and the fit's change of it." },
    { "correlation", EP_TABLE, "", "What the fit of a pixel can't tell apart: correlations near -1." },
    { "shared", EP_TABLE, "", "Errors that all pixels share: of each map, one sigma as a sum over a pixel's amplitudes with these weights." },
    { "<family>", EP_MAP, "counts", "The counts of each family of lines in the sum." },
};

const struct ep_stage ep_eds_lines_look = {
    .name = "eds_look",
    .summary = "Fits the sum of all pixels, to learn the energy axis, the resolution and the line ratios.",
    .reference = "G. H. Golub, V. Pereyra, SIAM J. Numer. Anal. 10 (1973) 413.",
    .method = "The fit of the sum of all pixels and what it refines, as the stage eds_lines describes it.",
    .version = 3,
    .params = ep_eds_params, .params_size = sizeof(struct ep_eds_par),
    .ports = ep_eds_ports, .nports = 1,
    .outputs = outputs, .noutputs = sizeof outputs / sizeof *outputs,
    .declare = declare, .prepare = prepare, .free_plan = free_plan, .add = add, .merge = merge, .finish = finish,
};
