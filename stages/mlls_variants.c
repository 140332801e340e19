/* The fit of the sum, and again under other assumptions that are as good: another range, other exponents, other constants of the edges. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "stages/mlls_sum.h"

enum { RANGE, EXPONENTS, FORM, DECAYS, HELD, SPECTRA, EDGES, GROUPS };

void ep_mlls_free_fitted(struct ep_mlls_fitted *t)
{
    ep_losses_free(t->plural);
    ep_mlls_fit_free(t->f);
    for (size_t i = 0; i < t->nvar; i++) free(t->var[i].counts);
    free(t->var);
    free(t->systematic);
}

static struct ep_mlls_range channels(const struct ep_mlls_sum *q, double lo, double hi)
{
    double a = ceil((lo - q->first) / q->channel - 1e-3), b = ceil((hi - q->first) / q->channel - 1e-3);
    a = fmin(fmax(a, 0), (double)q->nch);
    b = fmin(fmax(b, a), (double)q->nch);
    return (struct ep_mlls_range){ (size_t)a, (size_t)b };
}

/* All pixels and all columns are known there. */
static bool known(const struct ep_mlls_sum *q, const struct ep_mlls_acc *acc, struct ep_mlls_range r)
{
    if ((int64_t)r.first < acc->up[0] || (int64_t)r.end > (int64_t)q->nch + acc->down[0] || r.end <= r.first) return false;
    for (size_t k = 0; k < q->ncol; k++)
        for (size_t i = r.first; !q->col[k].nedge && i < r.end; i++)
            if (!isfinite(q->col[k].shape[i])) return false;
    return true;
}

static ep_status one_variant(struct ep_mlls_fitted *t, const struct ep_mlls *m, const double *y, int group, const char *name, struct ep_err *e)
{
    struct ep_mlls_fit *f = NULL;
    ep_status st = ep_mlls_fit(m, y, &t->noise, NULL, t->f->theta, true, &f, e);
    if (st) return st;
    EP_PUSH(t->var, t->nvar, t->cap);
    struct variant *v = &t->var[t->nvar - 1];
    snprintf(v->name, sizeof v->name, "%s", name);
    v->group = group;
    v->counts = f->counts;
    f->counts = NULL;
    ep_mlls_fit_free(f);
    return EP_OK;
}

/* Measured spectra are of another compound, or another day: their axis may be off by 0.1 eV. */
static ep_status shifted_spectra(const struct ep_mlls_sum *q, const struct ep_mlls_acc *acc, struct ep_mlls_fitted *t, struct ep_err *e)
{
    struct ep_mlls_column *col = ep_xcalloc(q->ncol, sizeof *col);
    double *shape = ep_xcalloc(q->ncol * q->nch, sizeof *shape), f = fmin(0.1 / q->channel, 1);
    bool any = false;
    ep_status st = EP_OK;
    memcpy(col, q->col, q->ncol * sizeof *col);
    for (int up = 0; !st && up < 2; up++) {
        for (size_t k = 0; k < q->ncol; k++) {
            double *s = shape + k * q->nch;
            if (q->col[k].nedge || !ep_mlls_colpar(q->par, k)->spectrum) continue;
            any = true;
            for (size_t i = 0; i < q->nch; i++) {
                size_t j = up ? i + (i + 1 < q->nch) : i - (i > 0);
                s[i] = isfinite(col[k].shape[j]) ? (1 - f) * q->col[k].shape[i] + f * q->col[k].shape[j] : q->col[k].shape[i];
            }
            col[k].shape = s;
        }
        struct ep_mlls m = t->m;
        m.col = col;
        if (any) st = one_variant(t, &m, acc->sum, SPECTRA, up ? "spectra by -0.1 eV" : "spectra by +0.1 eV", e);
        memcpy(col, q->col, q->ncol * sizeof *col);
    }
    free(col);
    free(shape);
    return st;
}

/* Metals' edges more like exponentials, or more like Lorentzians; sections as the tables have them. */
static ep_status other_forms(const struct ep_mlls_sum *q, const struct ep_mlls_acc *acc, struct ep_mlls_fitted *t, struct ep_err *e)
{
    ep_status st = EP_OK;
    bool sections = false, metals = false;
    for (size_t k = 0; k < q->ncol; k++) {
        sections |= q->col[k].nedge && q->col[k].edge[0].shape == EP_EDGE_SHELL;
        metals |= q->col[k].nedge && q->col[k].edge[0].shape == EP_EDGE_M23;
    }
    for (int sign = -1; !st && metals && sign <= 1; sign += 2) {
        struct ep_mlls m = t->m;
        for (size_t i = 0; i < m.ntheta; i++) {
            if (!strstr(m.par[i].name, "form")) continue;
            m.par[i].mean = t->f->theta[i] + sign * m.par[i].sigma;
            m.par[i].sigma = 0.01;               /* held */
        }
        st = one_variant(t, &m, acc->sum, FORM, sign < 0 ? "M edges like exponentials" : "M edges like Lorentzians", e);
    }
    struct ep_mlls m = t->m;
    m.tabulated = true;
    return st || !sections ? st : one_variant(t, &m, acc->sum, FORM, "sections as tabulated", e);
}

/* Beside a measured spectrum, which has a background of its own, one power may do. */
static ep_status one_exponent(const struct ep_mlls_sum *q, const struct ep_mlls_acc *acc, struct ep_mlls_fitted *t, struct ep_err *e)
{
    struct ep_mlls m = t->m;
    bool measured = false;
    double mean = 0;
    for (size_t k = 0; k < q->ncol; k++) {
        if (q->col[k].nedge && q->col[k].edge[0].shape != EP_EDGE_LI_K) return EP_OK;
        measured |= q->col[k].nedge == 0;
    }
    if (!measured || m.nexp < 2) return EP_OK;
    for (size_t k = 0; k < m.nexp; k++) mean += m.exponent[k] / (double)m.nexp;
    m.exponent[0] = mean;
    m.nexp = 1;
    return one_variant(t, &m, acc->sum, EXPONENTS, "one exponent", e);
}

static ep_status variants(const struct ep_mlls_sum *q, const struct ep_mlls_acc *acc, struct ep_mlls_fitted *t, struct ep_err *e)
{
    static const double lower[] = { -2, 2, 0, 0 }, upper[] = { 0, 0, -8, 8 }, exponent[] = { -1, 1 };
    ep_status st = EP_OK;
    char name[64];
    for (size_t i = 0; !st && i < 4; i++) {
        struct ep_mlls m = t->m;
        double lo = q->par->range[0] + lower[i], hi = q->par->range[1] + upper[i];
        m.fit = channels(q, lo, hi);
        if (!known(q, acc, m.fit) || m.fit.end < m.count.end || m.fit.first > m.count.first) continue;
        snprintf(name, sizeof name, "range %g-%g eV", lo, hi);
        st = one_variant(t, &m, acc->sum, RANGE, name, e);
    }
    for (size_t i = 0; !st && i < 2; i++) {
        struct ep_mlls m = t->m;
        for (size_t k = 0; k < m.nexp; k++) m.exponent[k] += exponent[i];
        snprintf(name, sizeof name, "exponents %+g", exponent[i]);
        st = one_variant(t, &m, acc->sum, EXPONENTS, name, e);
    }
    if (!st) st = one_exponent(q, acc, t, e);
    st = st ? st : other_forms(q, acc, t, e);
    bool tied = false;
    for (size_t k = 0; k < q->ncol; k++) tied |= q->col[k].nedge > 1;
    for (int sign = -1; !st && tied && sign <= 1; sign += 2) {
        struct ep_mlls m = t->m;
        m.slant = sign * 0.2;                    /* one decay for all is an assumption */
        st = one_variant(t, &m, acc->sum, DECAYS, sign < 0 ? "later edges decay faster" : "later edges decay slower", e);
    }
    /* Where there is little lithium, its shape is free to follow what the other edges' lack. */
    struct ep_mlls held = t->m;
    bool any = false;
    for (size_t i = 0; i < held.ntheta; i++)
        if (q->col[held.par[i].col].edge[0].shape == EP_EDGE_LI_K) {
            held.par[i].sigma *= 0.01;
            any = true;
        }
    if (!st && any) st = one_variant(t, &held, acc->sum, HELD, "Li K as expected", e);
    if (!st) st = shifted_spectra(q, acc, t, e);
    for (size_t i = 0; !st && i < t->m.ntheta; i++) {
        struct ep_mlls m = t->m;
        if (!(m.par[i].doubt > 0)) continue;
        m.par[i].mean += m.par[i].doubt;
        if (strstr(m.par[i].name, "height")) m.par[i].sigma = 0.01;      /* held: the fit would undo it at other edges' cost */
        snprintf(name, sizeof name, "%.23s %+g", m.par[i].name, m.par[i].doubt);
        st = one_variant(t, &m, acc->sum, EDGES, name, e);
    }
    return st;
}

/* A modelled M edge of which the range has the tail alone: nothing there says what its shape is, and the variants, which share the model, can
 * agree on the wrong amount. All amounts are in doubt then. */
static bool tail_alone(const struct ep_mlls *m)
{
    for (size_t k = 0; k < m->ncol; k++)
        for (size_t i = 0; i < m->col[k].nedge; i++)
            if (m->col[k].edge[i].shape == EP_EDGE_M23 && m->col[k].edge[i].onset < m->first + (double)m->fit.first * m->step - 4) return true;
    return false;
}

/* Of a group of alternatives (ranges, exponents, forms) the largest change, of the edges' constants the root of the squares. */
static void add_up(struct ep_mlls_fitted *t)
{
    bool tail = tail_alone(&t->m);
    for (size_t k = 0; k < t->m.ncol; k++) {
        double largest[GROUPS] = { 0 }, squares = 0;
        for (size_t i = 0; i < t->nvar; i++) {
            double d = t->var[i].counts[k] - t->f->counts[k];
            if (t->var[i].group == EDGES) squares += d * d;
            else largest[t->var[i].group] = fmax(largest[t->var[i].group], fabs(d));
        }
        for (int g = 0; g < EDGES; g++) squares += largest[g] * largest[g];
        t->systematic[k] = fmax(sqrt(squares), tail ? fabs(t->f->counts[k]) : 0);
    }
}

ep_status ep_mlls_fit_sum(const struct ep_mlls_sum *q, const struct ep_mlls_acc *acc, struct ep_mlls_fitted *t, struct ep_err *e)
{
    const struct ep_mlls_params *par = q->par;
    double n = (double)acc->n, total = 0;
    *t = (struct ep_mlls_fitted){ .noise = q->noise };
    t->noise.noise2 *= n;
    t->noise.low_noise2 *= n;
    t->systematic = ep_xcalloc(q->ncol, sizeof *t->systematic);
    if (acc->n == 0) return ep_fail(e, EP_E_COMPUTE, "no pixel is left to fit the sum of: all are masked, or not finite");
    t->m = (struct ep_mlls){ .nch = q->nch, .first = q->first, .step = q->channel, .ncol = q->ncol, .col = q->col, .nexp = par->background.n,
                             .beam_kev = q->beam_kev, .collection_mrad = q->collection_mrad, .convolve = par->plural == EP_MLLS_CONVOLVED };
    for (size_t k = 0; k < par->background.n; k++) t->m.exponent[k] = par->background.v[k];
    t->m.fit = channels(q, par->range[0], par->range[1]);
    t->m.count = channels(q, par->count[0], par->count[1]);
    if (!known(q, acc, t->m.fit))
        return ep_fail(e, EP_E_COMPUTE, "not all pixels and columns reach over the range from %g to %g eV: choose a smaller one", par->range[0],
                       par->range[1]);
    for (size_t i = t->m.fit.first; i < t->m.fit.end; i++) total += acc->sum[i];
    if (!(total > 0)) return ep_fail(e, EP_E_COMPUTE, "there are no counts within the range of the fit");
    ep_status st = EP_OK;
    if (q->nlow) {
        size_t up = (size_t)acc->up[1], down = (size_t)-acc->down[1], core_up = (size_t)acc->up[0], core_down = (size_t)-acc->down[0];
        if (up + down + 10 > q->nlow) return ep_fail(e, EP_E_COMPUTE, "the low loss is shifted too far");
        t->low = (struct ep_counts){ acc->sum + q->nch + up, q->nlow - up - down, q->low_first + (double)up * q->low_channel, q->low_channel };
        struct ep_counts core = { acc->sum + core_up, q->nch - core_up - core_down, q->first + (double)core_up * q->channel, q->channel };
        if (t->m.convolve) core = (struct ep_counts){ .step = q->channel };
        st = ep_losses_new(&t->low, &core, t->m.convolve ? par->range[1] - q->first : par->range[1] + 10, &t->plural, e);
        t->m.plural = t->plural;
    }
    if (!st) st = ep_mlls_parameters(&t->m, e);
    if (!st) st = ep_mlls_fit(&t->m, acc->sum, &t->noise, q->nlow ? &t->low : NULL, NULL, false, &t->f, e);
    if (!st && par->systematics) st = variants(q, acc, t, e);
    if (!st) add_up(t);
    return st;
}
