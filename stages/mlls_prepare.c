/* The fit of the sum made into the matrix that fits pixels. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "stages/mlls_work.h"
#include "stages/pixels.h"

#define SMOOTH 0.7             /* eV */

void ep_mlls_free_plan(void *plan)
{
    struct ep_mlls_work *p = plan;
    if (!p) return;
    ep_eds_solver_free(p->s);
    free(p->counts);
    free(p->cov);
    free(p->apart);
    free(p->t);
    free(p->cov_t);
    free(p->typical);
    free(p);
}

static const struct ep_column *column_of(const struct ep_signal *t, const char *name, size_t rows)
{
    for (size_t i = 0; t && t->n == rows && i < t->ncol; i++)
        if (strcmp(t->col[i].name, name) == 0 && t->col[i].num) return &t->col[i];
    return NULL;
}

static ep_status read_look(struct ep_mlls_work *p, const struct ep_prepare *pr, struct ep_err *e)
{
    const struct ep_column *n, *bound, *chi2, *counts, *systematic, *scale, *single, *thick;
    bool ok = pr->nlook == EP_MLLS_NLOOK + 2 * p->ncol;
    for (size_t i = 0; ok && i < pr->nlook; i++) ok = pr->look[i] != NULL;
    if (!ok) return ep_fail(e, EP_E_COMPUTE, "the fit of the sum is missing");
    n = column_of(pr->look[EP_MLLS_FIT], "pixels", 1);
    bound = column_of(pr->look[EP_MLLS_FIT], "at_bound", 1);
    chi2 = column_of(pr->look[EP_MLLS_FIT], "reduced_chi_square", 1);
    counts = column_of(pr->look[EP_MLLS_COUNTS], "counts", p->ncol);
    systematic = column_of(pr->look[EP_MLLS_COUNTS], "systematic", p->ncol);
    scale = column_of(pr->look[EP_MLLS_COUNTS], "scale", p->ncol);
    single = column_of(pr->look[EP_MLLS_COUNTS], "single", p->ncol);
    thick = column_of(pr->look[EP_MLLS_FIT], "thickness_counts", 1);
    ok = n && *n->num > 0 && bound && chi2 && counts && counts->sigma && systematic && scale && single && thick;
    if (!ok || pr->look[EP_MLLS_SUM]->n != p->nch)
        return ep_fail(e, EP_E_COMPUTE, "the fit of the sum is not the one that these columns need");
    p->look = (const struct ep_signal *const *)pr->look;
    p->n = *n->num;
    p->chi2 = *chi2->num;
    if (*bound->num != 0) p->flag |= EP_FLAG_AT_BOUND;
    for (size_t k = 0; k < p->ncol; k++) {
        const struct ep_column *c = column_of(pr->look[EP_MLLS_COVARIANCE], ep_mlls_colpar(p->par, k)->name, p->ncol);
        if (!c) return ep_fail(e, EP_E_COMPUTE, "the fit of the sum has no covariance");
        p->counts[k] = counts->num[k];
        p->sigma[k] = counts->sigma[k];
        p->systematic[k] = systematic->num[k];
        p->scale[k] = scale->num[k];
        for (size_t j = 0; j < p->ncol; j++) p->cov[j * p->ncol + k] = c->num[j];
    }
    p->thick = *thick->num * counts->num[0] / single->num[0];
    for (size_t i = p->ch.first; i < p->ch.end; i++) p->total += pr->look[EP_MLLS_SUM]->f64[i];
    return EP_OK;
}

/* What the model of the sum lacks, averaged with a Gaussian of so many channels. The noise of the sum as it is would be in a column of the
 * fit: that draws amplitudes to zero, the more the fewer pixels were summed, except for these pixels themselves. */
static void smooth_residual(const double *sum, const double *model, size_t n, double width, double *out)
{
    size_t reach = (size_t)ceil(3 * width);
    for (size_t i = 0; i < n; i++) {
        double s = 0, all = 0;
        for (size_t k = i > reach ? i - reach : 0; k < n && k <= i + reach; k++) {
            double u = ((double)k - (double)i) / width, w = exp(-0.5 * u * u);
            s += w * (sum[k] - model[k]);
            all += w;
        }
        out[i] = s / all;
    }
}

/* The columns of a pixel: [n][nch of the range]. */
static size_t pixel_columns(const struct ep_mlls_work *p, const struct ep_desc *in, double *x)
{
    size_t n = p->ch.end - p->ch.first, k = p->ncol;
    bool modelled = false, plural = false;
    for (size_t c = 0; c < p->ncol; c++) {
        modelled |= ep_mlls_modelled(ep_mlls_colpar(p->par, c));
        memcpy(x + c * n, p->look[EP_MLLS_NLOOK + c]->f64 + p->ch.first, n * sizeof *x);
    }
    const double *sum = p->look[EP_MLLS_SUM]->f64 + p->ch.first, *extra = p->look[EP_MLLS_PLURAL]->f64 + p->ch.first;
    for (size_t i = 0; i < n; i++) plural |= extra[i] > 0;
    bool base = modelled || plural;
    if (base) {
        const double *model = p->look[EP_MLLS_MODEL]->f64 + p->ch.first;
        smooth_residual(sum, model, n, SMOOTH / p->channel, x + k * n);
        for (size_t i = 0; i < n; i++) {
            double v = model[i] + x[k * n + i];
            for (size_t c = 0; c < p->ncol; c++) v -= p->counts[c] * x[c * n + i];
            x[k * n + i] = v / p->n;
        }
        k++;
    }
    if (plural) memcpy(x + k++ * n, extra, n * sizeof *x);
    size_t powers = base ? 1 : p->par->background.n;
    for (size_t j = 0; j < powers; j++, k++) {
        double r = p->par->background.v[j] + (base && p->par->background.n == 1 ? 2 : 0);
        for (size_t i = 0; i < n; i++) x[k * n + i] = pow(ep_axis_at(&in->energy, (double)(p->ch.first + i)) / p->par->range[0], -r);
    }
    return k;
}

static ep_status make_solver(struct ep_mlls_work *p, const struct ep_desc *in, struct ep_err *e)
{
    size_t n = p->ch.end - p->ch.first;
    double *x = ep_xcalloc(EP_MLLS_MOST * n, sizeof *x), *var = ep_xcalloc(n, sizeof *var), *mean = ep_xcalloc(EP_MLLS_MOST, sizeof *mean);
    size_t ns = pixel_columns(p, in, x);
    const double *model = p->look[EP_MLLS_MODEL]->f64 + p->ch.first, noise2 = in->read_noise * in->read_noise;
    for (size_t i = 0; i < n; i++) var[i] = fmax(in->gain * fmax(model[i], 0) / p->n + noise2, 1e-12 * (p->total / p->n / (double)n + 1));
    for (size_t k = 0; k < p->ncol; k++) mean[k] = p->counts[k] / p->n;
    ep_status st = ep_eds_solver_of(n, ns, x, var, mean, in->gain, noise2, &p->s, e);
    free(x);
    free(var);
    free(mean);
    if (st) return st;
    p->t = ep_xcalloc(p->ncol * (ns + 1), sizeof *p->t);
    p->cov_t = ep_xcalloc(ns + 1, sizeof *p->cov_t);
    p->typical = ep_xcalloc(p->ncol, sizeof *p->typical);
    double *q = ep_xcalloc(ns, sizeof *q), *both = ep_xcalloc(ns + 1, sizeof *both);
    for (size_t k = 0; k < p->ncol; k++) {
        q[k] = 1;
        ep_eds_variance_terms(p->s, q, p->t + k * (ns + 1));
        q[k] = 0;
        for (size_t i = 0; i < n; i++) p->typical[k] += p->s->lt[i * ns + k] * p->s->lt[i * ns + k] / p->s->w[i];
    }
    q[0] = q[p->per] = 1;          /* Cov = (Var(a + b) - Var a - Var b) / 2 */
    ep_eds_variance_terms(p->s, q, both);
    for (size_t i = 0; p->per && i <= ns; i++) p->cov_t[i] = (both[i] - p->t[i] - p->t[p->per * (ns + 1) + i]) / 2;
    free(q);
    free(both);
    return st;
}

/* What `change` counts from: the quotient of the reference run's spectrum, or the mean of its pixels' quotients; else the sum's own. */
static ep_status find_reference(struct ep_mlls_work *p, const struct ep_prepare *pr, struct ep_err *e)
{
    const struct ep_signal *s = pr->in[EP_MLLS_RELATIVE].n ? pr->in[EP_MLLS_RELATIVE].v[0].whole : NULL;
    double sum = 0, var = 0, n = 0;
    double by = p->per ? p->counts[p->per] : p->thick;
    p->reference = p->counts[0] / by;
    for (size_t i = 0; s && i < s->n; i++) {
        double v = ep_signal_get(s, i), sigma = ep_signal_sigma(s, i);
        uint32_t flag = s->flags ? s->flags[i] : 0;
        if (!isfinite(v) || ep_fatal(flag) || (flag & EP_FLAG_LOW_DENOMINATOR)) continue;
        sum += v;
        var += isfinite(sigma) ? sigma * sigma : 0;
        n++;
    }
    if (s && n > 0) {
        p->reference = sum / n;
        p->reference_sigma = sqrt(var) / n;
        p->scale[0] = fmax(p->scale[0], fabs(p->reference * by));    /* little against the reference run is still a number */
    }
    if (s && n == 0) return ep_fail(e, EP_E_COMPUTE, "no pixel of the run that relative_to names has a value");
    return EP_OK;
}

ep_status ep_mlls_prepare(const struct ep_prepare *pr, void **plan, struct ep_err *e)
{
    const struct ep_desc *in = pr->in[EP_MLLS_INPUT].v[0].d;
    struct ep_mlls_work *p = ep_xcalloc(1, sizeof *p);
    *plan = NULL;
    p->par = pr->par;
    p->ncol = p->par->columns.n;
    p->nch = ep_desc_nch(in);
    p->channel = in->energy.scale * ep_axis_unit_factor(&in->energy);
    p->ch = ep_axis_window(&in->energy, p->par->range[0], p->par->range[1], 0, NULL);
    p->counts = ep_xcalloc(4 * p->ncol, sizeof *p->counts);
    p->sigma = p->counts + p->ncol;
    p->systematic = p->sigma + p->ncol;
    p->scale = p->systematic + p->ncol;
    p->cov = ep_xcalloc(p->ncol * p->ncol, sizeof *p->cov);
    p->apart = ep_xcalloc(p->ncol, sizeof *p->apart);
    p->flag = (in->gain_estimated ? (uint32_t)EP_FLAG_SIGMA_ESTIMATED : 0) | (p->par->nonneg ? (uint32_t)EP_FLAG_BIASED : 0);
    for (size_t k = 0; p->par->per && k < p->ncol; k++)
        if (strcmp(ep_mlls_colpar(p->par, k)->name, p->par->per) == 0) p->per = k;
    ep_status st = read_look(p, pr, e);
    if (!st && p->par->per) st = find_reference(p, pr, e);
    for (size_t k = 0; !st && k < p->ncol; k++) {
        p->apart[k] = !(p->systematic[k] > ep_mlls_limit(p->par, k) * p->scale[k]);
        if (!p->apart[k]) p->flag |= EP_FLAG_NOT_SEPARABLE;
    }
    if (!st && in->kind != EP_SPECTRUM) st = make_solver(p, in, e);
    if (st) ep_mlls_free_plan(p);
    else *plan = p;
    return st;
}
