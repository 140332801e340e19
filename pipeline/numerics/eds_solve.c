/* Pixels: one weighted least-squares matrix for all, and what the variances need. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "pipeline/numerics/eds_fit.h"
#include "pipeline/numerics/linalg.h"

/* The weights' variances are those of the mean background plus this part of the mean lines. Weights from the mean spectrum
 * itself are best where the lines are strong and cost 10 to 20 % of scatter where an element is absent; weights
 * from the background alone cost 7 % where lines are strong. In between, both stay within a few percent of the bound. */
#define LINES_IN_WEIGHTS 0.1

static double *doubles(size_t n)
{
    return ep_xcalloc(n ? n : 1, sizeof(double));
}

static double dot(const double *a, const double *b, size_t n)
{
    double s[4] = { 0 };
    size_t i = 0;
    for (; n - i >= 4; i += 4)
        for (size_t k = 0; k < 4; k++) s[k] += a[i + k] * b[i + k];
    for (; i < n; i++) s[0] += a[i] * b[i];
    return (s[0] + s[2]) + (s[1] + s[3]);
}

static ep_status alike(const struct ep_eds_solver *s, struct ep_err *e)
{
    for (size_t i = 0; i < s->ncol; i++) {
        if (!(s->normal[i * s->n + i] > 0))
            return ep_fail(e, EP_E_COMPUTE, "column %zu of the model has no counts within the range", i + 1);
        for (size_t j = 0; j < i; j++) {
            double r = s->normal[i * s->n + j] / sqrt(s->normal[i * s->n + i] * s->normal[j * s->n + j]);
            if (r > 1 - 1e-6)
                return ep_fail(e, EP_E_COMPUTE, "columns %zu and %zu of the model are alike (their lines coincide): fit one of them",
                               j + 1, i + 1);
        }
    }
    return EP_OK;
}

/* L = (X W X')^-1 X W, by a matrix scaled to a unit diagonal. */
static ep_status solve(struct ep_eds_solver *s, struct ep_err *e)
{
    size_t n = s->n, nch = s->nch;
    double *xw = doubles(n * nch), *a = doubles(n * n), *scale = doubles(n), *l = doubles(n * nch);
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < nch; i++) xw[k * nch + i] = s->x[k * nch + i] * sqrt(s->w[i]);
    ep_gram(n, nch, xw, s->normal);
    ep_status st = alike(s, e);
    for (size_t k = 0; k < n; k++) scale[k] = 1 / sqrt(s->normal[k * n + k]);
    for (size_t k = 0; k < n; k++)
        for (size_t j = 0; j < n; j++) a[k * n + j] = s->normal[k * n + j] * scale[k] * scale[j];
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < nch; i++) l[k * nch + i] = s->x[k * nch + i] * s->w[i] * scale[k];
    if (!st) st = ep_solve_spd(n, a, nch, l, e);
    for (size_t i = 0; !st && i < nch; i++)
        for (size_t k = 0; k < n; k++) s->lt[i * n + k] = l[k * nch + i] * scale[k];
    free(xw);
    free(a);
    free(scale);
    free(l);
    return st;
}

/* The mean of sum_i w_i (y_i - model_i)^2 when y has the variances v is sum_i v_i w_i (1 - h_i), h = diag(X' L). */
static void expect(struct ep_eds_solver *s)
{
    size_t n = s->n;
    for (size_t i = 0; i < s->nch; i++) {
        double h = 0;
        for (size_t k = 0; k < n; k++) h += s->x[k * s->nch + i] * s->lt[i * n + k];
        for (size_t k = 0; k < n; k++) {
            s->expected[k] += s->x[k * s->nch + i] * s->w[i] * (1 - h);
            s->sum[k] += s->x[k * s->nch + i];
        }
        s->expected0 += s->w[i] * (1 - h);
    }
}

static double level(const double *v, size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++) s += fmax(v[i], 0);
    return s / (double)n;
}

static struct ep_eds_solver *new_solver(size_t nch, size_t n, double gain, double noise2)
{
    struct ep_eds_solver *s = ep_xcalloc(1, sizeof *s);
    *s = (struct ep_eds_solver){ .nch = nch, .n = n, .gain = gain, .noise2 = noise2 };
    s->x = doubles(n * nch);
    s->lt = doubles(nch * n);
    s->w = doubles(nch);
    s->normal = doubles(n * n);
    s->sum = doubles(n);
    s->expected = doubles(n);
    s->mean = doubles(n);
    return s;
}

static ep_status finish(struct ep_eds_solver *s, struct ep_eds_solver **out, struct ep_err *e)
{
    ep_status st = solve(s, e);
    *out = st ? NULL : s;
    if (st) ep_eds_solver_free(s);
    else expect(s);
    return st;
}

/* The mean background times Legendre polynomials of ln E on channels a .. b-1: columns from k on. */
static void background_columns(struct ep_eds_solver *s, const struct ep_eds *m, const double *back, size_t a, size_t b, size_t k)
{
    double x0 = log(fmax(m->first + (double)a * m->step, 50)), x1 = log(m->first + (double)b * m->step);
    for (size_t i = a; i < b; i++) {
        double ev = fmax(m->first + ((double)i + 0.5) * m->step, 50), t = 2 * (log(ev) - x0) / (x1 - x0) - 1, p0 = 0, p = 1;
        for (size_t j = 0; j < s->terms; j++) {
            s->polynomial[(k + j) * s->nch + i] = p;
            s->x[(s->ncol + k + j) * s->nch + i] = back[i] * p;
            double next = ((2 * (double)j + 1) * t * p - (double)j * p0) / ((double)j + 1);   /* Legendre's recursion */
            p0 = p;
            p = next;
        }
        s->beyond[i] = back[i] * p;
    }
    s->mean[s->ncol + k] = 1;
}

ep_status ep_eds_solver_new(const struct ep_eds *m, const double *theta, const double *lines, const double *back, size_t terms,
                            double gain, double noise2, struct ep_eds_solver **out, struct ep_err *e)
{
    size_t nch = m->nch, nback = m->split ? 2 * terms : terms;
    struct ep_eds_solver *s = new_solver(nch, m->ncol + nback, gain, noise2);
    s->ncol = m->ncol;
    s->nback = nback;
    s->terms = terms;
    s->polynomial = doubles(nback * nch);
    s->beyond = doubles(nch);
    double *b = doubles(nch), least = fmax(1e-3 * level(back, nch), 1e-12);
    for (size_t i = 0; i < nch; i++) b[i] = fmax(back[i], least);
    ep_eds_columns(m, theta, s->x, NULL, NULL);
    if (m->split) background_columns(s, m, b, 0, m->split, 0);
    background_columns(s, m, b, m->split, nch, nback - terms);
    for (size_t i = 0; i < nch; i++) {
        double v = b[i];
        for (size_t k = 0; k < m->ncol; k++) v += LINES_IN_WEIGHTS * fmax(lines[k], 0) * s->x[k * nch + i];
        s->w[i] = 1 / (gain * v + noise2);
    }
    for (size_t k = 0; k < m->ncol; k++) s->mean[k] = lines[k];
    free(b);
    return finish(s, out, e);
}

ep_status ep_eds_solver_of(size_t nch, size_t n, const double *x, const double *var, const double *mean, double gain, double noise2,
                           struct ep_eds_solver **out, struct ep_err *e)
{
    struct ep_eds_solver *s = new_solver(nch, n, gain, noise2);
    s->ncol = n;
    memcpy(s->x, x, n * nch * sizeof *x);
    memcpy(s->mean, mean, n * sizeof *mean);
    for (size_t i = 0; i < nch; i++) s->w[i] = 1 / var[i];
    return finish(s, out, e);
}

void ep_eds_solver_free(struct ep_eds_solver *s)
{
    if (!s) return;
    free(s->x);
    free(s->lt);
    free(s->w);
    free(s->normal);
    free(s->sum);
    free(s->expected);
    free(s->mean);
    free(s->polynomial);
    free(s->beyond);
    free(s);
}

void ep_eds_variance_terms(const struct ep_eds_solver *s, const double *q, double *t)
{
    size_t n = s->n;
    memset(t, 0, (n + 1) * sizeof *t);
    for (size_t i = 0; i < s->nch; i++) {
        const double *l = s->lt + i * n;
        double a = 0;
        for (size_t k = 0; k < n; k++) a += q[k] * l[k];
        for (size_t k = 0; k < n; k++) t[k] += a * a * s->x[k * s->nch + i];
        t[n] += a * a;
    }
}

/* By the model's change dX c: what the fit of a pixel makes of it is L dX c. Residuals do not enter, their mean is zero. */
void ep_eds_shared(const struct ep_eds_solver *s, const struct ep_eds *m, const double *theta, size_t nq, const double *q,
                   const double *dq, double *d)
{
    size_t n = s->n, nt = ep_eds_ntheta(m), nch = s->nch, size = (m->nback + nt) * n;
    double *a = doubles(nq * nch), *x = doubles(m->ncol * nch), *dx = doubles(nt * nch), *one = doubles(m->ncol);
    memset(d, 0, nq * size * sizeof *d);
    for (size_t j = 0; j < nq; j++)
        for (size_t i = 0; i < nch; i++)
            for (size_t k = 0; k < n; k++) a[j * nch + i] += q[j * n + k] * s->lt[i * n + k];
    for (size_t k = 0; k < s->nback; k++)
        for (size_t b = 0; b < m->nback; b++) {
            for (size_t i = 0; i < nch; i++) x[i] = m->back[b * nch + i] * s->polynomial[k * nch + i];
            for (size_t j = 0; j < nq; j++) d[j * size + b * n + s->ncol + k] = -dot(a + j * nch, x, nch);
        }
    for (size_t k = 0; k < m->ncol; k++) {
        one[k] = 1;
        ep_eds_columns(m, theta, x, one, dx);
        one[k] = 0;
        for (size_t j = 0; j < nq; j++)
            for (size_t t = 0; t < nt; t++)
                d[j * size + (m->nback + t) * n + k] = dq[(j * nt + t) * m->ncol + k] - dot(a + j * nch, dx + t * nch, nch);
    }
    free(a);
    free(x);
    free(dx);
    free(one);
}

void ep_eds_covariance(const struct ep_eds_solver *s, double *cov)
{
    size_t n = s->n;
    memset(cov, 0, n * n * sizeof *cov);
    for (size_t i = 0; i < s->nch; i++) {
        const double *l = s->lt + i * n;
        double v = s->noise2;
        for (size_t k = 0; k < n; k++) v += s->gain * fmax(s->mean[k], 0) * s->x[k * s->nch + i];
        for (size_t k = 0; k < n; k++)
            for (size_t j = 0; j < n; j++) cov[k * n + j] += l[k] * v * l[j];
    }
}
