/* What the fit of the sum found, as tables, with a verdict in words. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "stages/mlls_sum.h"

#define NUM(t, name, unit, v, sigma) (st = st ? st : ep_table_add(t, name, unit, v, sigma, NULL, e))
#define TEXT(t, name, v) (st = st ? st : ep_table_add(t, name, "", NULL, NULL, v, e))

/* rms of (counts - model)/model that noise does not explain. */
static double misfit_of(const struct ep_mlls_fitted *t, const double *y)
{
    double excess = 0, n = 0;
    for (size_t i = t->m.fit.first; i < t->m.fit.end; i++) {
        double m = t->f->model[i], d = y[i] - m;
        if (!(m > 0)) continue;
        excess += (d * d - t->noise.gain * m - t->noise.noise2) / (m * m);
        n++;
    }
    return sqrt(fmax(excess, 0) / fmax(n, 1));
}

/* What a systematic is compared with: the amount itself, but little lithium is still a number where something says what little is: the amount
 * of a compound's tied edges, or where a measured spectrum stands for all else, a twentieth of the counts in the window. */
static double scale_of(const struct ep_mlls_sum *q, const struct ep_mlls_fitted *t, const double *y, size_t k)
{
    double s = fabs(t->f->counts[k]), all = 0;
    for (size_t i = t->m.count.first; i < t->m.count.end; i++) all += y[i];
    for (size_t j = 0; j < q->ncol; j++) {
        if (q->col[j].nedge > 1) s = fmax(s, fabs(t->f->counts[j]));
        if (q->col[j].nedge == 0 && j != k) s = fmax(s, 0.05 * all);
    }
    return s;
}

/* What to know of the fit, in words, the worst first. */
static struct ep_str verdict_of(const struct ep_mlls_sum *q, const struct ep_mlls_fitted *t, const double *y)
{
    struct ep_str s = { 0 };
    size_t n = t->m.ncol + t->m.nexp;
    double misfit = 100 * misfit_of(t, y);
    for (size_t k = 0; k < q->ncol; k++)
        if (t->systematic[k] > ep_mlls_limit(q->par, k) * scale_of(q, t, y, k))
            ep_str_addf(&s, "%s%s is not separable: %.3g counts, but %.3g under other assumptions that are as good", s.n ? "; " : "", q->name[k],
                        t->f->counts[k], t->f->counts[k] + t->systematic[k]);
    for (size_t k = 0; k < q->ncol; k++)
        for (size_t j = 0; j < k; j++)
            if (fabs(t->f->correlation[k * n + j]) > 0.98)
                ep_str_addf(&s, "%s%s and %s can hardly be told apart: correlation %.3f", s.n ? "; " : "", q->name[j], q->name[k],
                            t->f->correlation[k * n + j]);
    if (misfit > 1)
        ep_str_addf(&s, "%sthe model differs from the sum by %.1f %% beyond noise: an edge or a reference is wrong", s.n ? "; " : "", misfit);
    if (!s.n) ep_str_addf(&s, "fits");
    return s;
}

static ep_status fit_table(const struct ep_mlls_sum *q, const struct ep_mlls_acc *acc, const struct ep_mlls_fitted *t, struct ep_signal **out, struct ep_err *e)
{
    double n = (double)acc->n, dof = (double)t->f->dof, bound = t->f->at_bound, none = (double)NAN;
    const struct ep_losses *p = t->plural;
    double misfit = 100 * misfit_of(t, acc->sum);
    struct ep_str text = verdict_of(q, t, acc->sum);
    const char *verdict = text.s;
    ep_status st = ep_table_new("fit", 1, out, e);
    NUM(*out, "pixels", "", &n, NULL);
    NUM(*out, "reduced_chi_square", "", &t->f->chi2, NULL);
    NUM(*out, "degrees_of_freedom", "", &dof, NULL);
    NUM(*out, "misfit", "%", &misfit, NULL);
    NUM(*out, "at_bound", "", &bound, NULL);
    NUM(*out, "t_over_lambda", "", p ? &p->t_over_lambda : &none, NULL);
    NUM(*out, "zero_loss_position", "eV", p ? &p->zlp : &none, NULL);
    NUM(*out, "zero_loss_end", "eV", p ? &p->end : &none, NULL);
    double amount = p ? p->scale * p->t_over_lambda : none, exposure = p ? p->scale / p->i0 : none;
    NUM(*out, "thickness_counts", "counts", &amount, NULL);
    NUM(*out, "core_per_low_loss", "", &exposure, NULL);
    TEXT(*out, "verdict", &verdict);
    ep_str_free(&text);
    return st;
}

static ep_status counts_table(const struct ep_mlls_sum *q, const struct ep_mlls_fitted *t, const double *y, struct ep_signal **out, struct ep_err *e)
{
    size_t n = q->ncol;
    double *v = ep_xcalloc(3 * n, sizeof *v), *sigma = v, *scale = v + n, *single = v + 2 * n;
    for (size_t k = 0; k < n; k++) {
        sigma[k] = sqrt(t->f->cov[k * n + k]);
        scale[k] = scale_of(q, t, y, k);
        single[k] = t->f->counts[k] * t->f->thick[k];
    }
    ep_status st = ep_table_new("counts", n, out, e);
    TEXT(*out, "column", q->name);
    NUM(*out, "counts", "counts", t->f->counts, sigma);
    NUM(*out, "systematic", "counts", t->systematic, NULL);
    NUM(*out, "scale", "counts", scale, NULL);
    NUM(*out, "single", "counts", single, NULL);
    free(v);
    return st;
}

static ep_status square_table(const struct ep_mlls_sum *q, const char *name, const double *v, size_t width, struct ep_signal **out, struct ep_err *e)
{
    double *c = ep_xcalloc(q->ncol, sizeof *c);
    ep_status st = ep_table_new(name, q->ncol, out, e);
    TEXT(*out, "column", q->name);
    for (size_t j = 0; j < q->ncol; j++) {
        for (size_t k = 0; k < q->ncol; k++) c[k] = v[k * width + j];
        NUM(*out, q->name[j], "", c, NULL);
    }
    free(c);
    return st;
}

static ep_status shapes_table(const struct ep_mlls_fitted *t, struct ep_signal **out, struct ep_err *e)
{
    size_t np = t->m.ntheta, n = np + t->m.nexp;
    double *v = ep_xcalloc(4 * n, sizeof *v);
    char (*name)[24] = ep_xcalloc(n, sizeof *name);
    const char **names = ep_xcalloc(n, sizeof *names);
    for (size_t i = 0; i < n; i++) {
        bool shape = i < np;
        if (shape) memcpy(name[i], t->m.par[i].name, sizeof name[i]);
        else snprintf(name[i], sizeof name[i], "exponent %zu", i - np + 1);
        names[i] = name[i];
        v[i] = shape ? t->f->theta[i] : t->m.exponent[i - np];
        v[n + i] = shape ? t->f->theta_sigma[i] : 0;
        v[2 * n + i] = shape ? t->m.par[i].mean : v[i];
        v[3 * n + i] = shape ? t->m.par[i].sigma : 0;
    }
    ep_status st = ep_table_new("shapes", n, out, e);
    TEXT(*out, "parameter", names);
    NUM(*out, "value", "", v, v + n);
    NUM(*out, "expected", "", v + 2 * n, v + 3 * n);
    free(v);
    free(name);
    free(names);
    return st;
}

static ep_status variants_table(const struct ep_mlls_sum *q, const struct ep_mlls_fitted *t, struct ep_signal **out, struct ep_err *e)
{
    size_t n = t->nvar + 1;
    const char **names = ep_xcalloc(n, sizeof *names);
    double *v = ep_xcalloc(n, sizeof *v);
    names[0] = "as asked for";
    for (size_t i = 1; i < n; i++) names[i] = t->var[i - 1].name;
    ep_status st = ep_table_new("variants", n, out, e);
    TEXT(*out, "variant", names);
    for (size_t k = 0; k < q->ncol; k++) {
        for (size_t i = 0; i < n; i++) v[i] = i ? t->var[i - 1].counts[k] : t->f->counts[k];
        NUM(*out, q->name[k], "counts", v, NULL);
    }
    free(names);
    free(v);
    return st;
}

ep_status ep_mlls_tables(const struct ep_mlls_sum *q, const struct ep_mlls_acc *acc, const struct ep_mlls_fitted *t, struct ep_signal **out, struct ep_err *e)
{
    ep_status st = fit_table(q, acc, t, &out[EP_MLLS_FIT], e);
    if (!st) st = counts_table(q, t, acc->sum, &out[EP_MLLS_COUNTS], e);
    if (!st) st = square_table(q, "covariance", t->f->cov, q->ncol, &out[EP_MLLS_COVARIANCE], e);
    if (!st) st = shapes_table(t, &out[EP_MLLS_SHAPES], e);
    if (!st) st = square_table(q, "correlation", t->f->correlation, q->ncol + t->m.nexp, &out[EP_MLLS_CORRELATION], e);
    if (!st) st = variants_table(q, t, &out[EP_MLLS_VARIANTS], e);
    return st;
}
