/* The sum of all pixels: shape and amplitudes together.
 *
 * Least squares with the variances of the model, renewed ROUNDS times: Fisher scoring, so that the end is the Poisson
 * likelihood's maximum. At each shape the amplitudes and the background follow from linear equations (variable projection:
 * G. H. Golub, V. Pereyra, SIAM J. Numer. Anal. 10 (1973) 413); the shape's step comes from the joint normal equations, damped
 * (Levenberg-Marquardt) for the shape alone.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "pipeline/base/mem.h"
#include "pipeline/numerics/eds_fit.h"
#include "pipeline/numerics/linalg.h"

#define ROUNDS 4
#define STEPS 25
#define ROUGH 1.0                  /* expected second differences of the spline's coefficients, of their level */
#define STEP_NM 200.0              /* expected silicon in front of the detector, with either sign */
#define RIDGE 1e-11

struct work {
    const struct ep_eds *m;
    const double *y;
    size_t nch, nt, nl, n;         /* nl = columns + background terms; n = nl + nt */
    double *row;                   /* [n][nch]: columns, background, derivatives by theta */
    double *scaled;                /* [n][nch]: rows times the root of the weights */
    double *w, *fit, *r;           /* [nch]: weights, model, y - model */
    double *normal, *a, *rhs, *scale;      /* [n][n], [n][n], [n], [n] */
    double *penalty;               /* [nl][nl] on the linear coefficients */
    double *c;                     /* [nl] */
    double *theta0, *prior;        /* [nt]; prior: 1/sigma^2 */
    bool refine;
};

static double *doubles(size_t n)
{
    return ep_xcalloc(n ? n : 1, sizeof(double));
}

static void work_free(struct work *k)
{
    double *all[] = { k->row, k->scaled, k->w, k->fit, k->r, k->normal, k->a, k->rhs, k->scale, k->penalty, k->c, k->theta0, k->prior };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* ---- weights ---------------------------------------------------------------------------------------------------- */

/* Mean of y within half channels. */
static void smooth(const double *y, size_t n, size_t half, double *out)
{
    for (size_t i = 0; i < n; i++) {
        size_t a = i > half ? i - half : 0, b = i + half + 1 < n ? i + half + 1 : n;
        double s = 0;
        for (size_t k = a; k < b; k++) s += y[k];
        out[i] = s / (double)(b - a);
    }
}

static void set_weights(struct work *k, const double *mean, const double *floor, double gain, double noise, double *var)
{
    for (size_t i = 0; i < k->nch; i++) {
        var[i] = gain * fmax(mean[i], floor[i]) + noise;
        k->w[i] = 1 / var[i];
    }
}

/* The background's priors: spline coefficients (counts over a first guess) whose second differences are of their own
 * level, and not much silicon. They matter for sums of a few thousand counts. */
static void make_penalty(struct work *k, const double *smoothed)
{
    size_t nb = k->m->nback, at = k->m->ncol, count = 0;
    double *ratio = doubles(k->nch), level;
    for (size_t i = 0; i < k->nch; i++) {
        double guess = 0;
        for (size_t b = 0; b + 1 < nb; b++) guess += k->m->back[b * k->nch + i];
        ratio[count++] = smoothed[i] / guess;
    }
    /* The median; lines stand on less than half of the channels or not far above them. */
    for (size_t i = 1; i < count; i++)
        for (size_t j = i; j > 0 && ratio[j] < ratio[j - 1]; j--) {
            double t = ratio[j];
            ratio[j] = ratio[j - 1];
            ratio[j - 1] = t;
        }
    level = fmax(ratio[count / 2], 1e-3);
    free(ratio);
    double p = 1 / (ROUGH * level * ROUGH * level);
    for (size_t b = 0; b + 3 < nb; b++) {
        if (b < k->m->nlow && b + 3 > k->m->nlow) continue;      /* nothing joins the two sides of the split */
        const double d[3] = { 1, -2, 1 };
        for (size_t i = 0; i < 3; i++)
            for (size_t j = 0; j < 3; j++) k->penalty[(at + b + i) * k->nl + at + b + j] += p * d[i] * d[j];
    }
    k->penalty[(k->nl - 1) * k->nl + k->nl - 1] += 1 / (STEP_NM * level * STEP_NM * level);
}

/* ---- one shape -------------------------------------------------------------------------------------------------- */

/* Normal equations of the first n rows, scaled to a unit diagonal: a, scale. */
static void scale_matrix(struct work *k, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double d = k->normal[i * n + i];
        k->scale[i] = d > 0 ? 1 / sqrt(d) : 0;   /* nothing of it in range: stays as it is */
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            k->a[i * n + j] = i == j ? 1 + RIDGE : k->normal[i * n + j] * k->scale[i] * k->scale[j];
}

static void form(struct work *k, size_t n, const double *v)
{
    for (size_t i = 0; i < n; i++) {
        const double *row = k->row + i * k->nch;
        double *to = k->scaled + i * k->nch, s = 0;
        for (size_t j = 0; j < k->nch; j++) {
            to[j] = row[j] * sqrt(k->w[j]);
            s += row[j] * k->w[j] * v[j];
        }
        k->rhs[i] = s;
    }
    ep_gram(n, k->nch, k->scaled, k->normal);
}

static double evaluate(struct work *k, const double *theta)
{
    double cost = 0;
    memset(k->fit, 0, k->nch * sizeof *k->fit);
    for (size_t l = 0; l < k->nl; l++)
        for (size_t i = 0; i < k->nch; i++) k->fit[i] += k->c[l] * k->row[l * k->nch + i];
    for (size_t i = 0; i < k->nch; i++) {
        k->r[i] = k->y[i] - k->fit[i];
        cost += k->w[i] * k->r[i] * k->r[i];
    }
    for (size_t i = 0; i < k->nl; i++)
        for (size_t j = 0; j < k->nl; j++) cost += k->c[i] * k->penalty[i * k->nl + j] * k->c[j];
    for (size_t t = 0; t < k->nt; t++) cost += k->prior[t] * (theta[t] - k->theta0[t]) * (theta[t] - k->theta0[t]);
    return cost;
}

/* Columns, amplitudes, model and residual at theta; cost: what is minimised. */
static ep_status project(struct work *k, const double *theta, double *cost, struct ep_err *e)
{
    ep_eds_columns(k->m, theta, k->row, NULL, NULL);
    form(k, k->nl, k->y);
    for (size_t i = 0; i < k->nl * k->nl; i++) k->normal[i] += k->penalty[i];
    scale_matrix(k, k->nl);
    for (size_t i = 0; i < k->nl; i++) k->c[i] = k->rhs[i] * k->scale[i];
    ep_status st = ep_solve_spd(k->nl, k->a, 1, k->c, e);
    for (size_t i = 0; i < k->nl; i++) k->c[i] *= k->scale[i];
    *cost = st ? (double)NAN : evaluate(k, theta);
    return st;
}

/* The joint normal equations at theta; c, r belong to it. */
static void linearise(struct work *k, const double *theta)
{
    ep_eds_columns(k->m, theta, k->row, k->c, k->row + k->nl * k->nch);
    form(k, k->n, k->r);
    for (size_t i = 0; i < k->nl; i++)
        for (size_t j = 0; j < k->nl; j++) {
            k->normal[i * k->n + j] += k->penalty[i * k->nl + j];
            k->rhs[i] -= k->penalty[i * k->nl + j] * k->c[j];
        }
    for (size_t t = 0; t < k->nt; t++) {
        k->normal[(k->nl + t) * k->n + k->nl + t] += k->prior[t];
        k->rhs[k->nl + t] -= k->prior[t] * (theta[t] - k->theta0[t]);
    }
}

/* ---- the search ------------------------------------------------------------------------------------------------- */

/* An axis that is off by more than a peak's width is out of reach of steps: the best of a few places. */
static ep_status search_axis(struct work *k, double *theta, struct ep_err *e)
{
    double best = INFINITY, at[2] = { 0, 0 };
    for (int i = -2; i <= 2; i++)
        for (int j = -2; j <= 2; j++) {
            double cost;
            theta[EP_EDS_OFFSET] = 30.0 * i;
            theta[EP_EDS_GAIN] = 0.003 * j;
            ep_status st = project(k, theta, &cost, e);
            if (st) return st;
            if (!(cost < best)) continue;
            best = cost;
            at[0] = theta[EP_EDS_OFFSET];
            at[1] = theta[EP_EDS_GAIN];
        }
    theta[EP_EDS_OFFSET] = at[0];
    theta[EP_EDS_GAIN] = at[1];
    return EP_OK;
}

/* Minimises with the present weights. */
static ep_status descend(struct work *k, double *theta, struct ep_err *e)
{
    double cost, lambda = 1e-3, *trial = doubles(k->nt), *step = doubles(k->n);
    ep_status st = project(k, theta, &cost, e);
    for (int n = 0; !st && n < STEPS; n++) {
        linearise(k, theta);
        double *normal = doubles(k->n * k->n), *rhs = doubles(k->n), largest = 0;
        memcpy(normal, k->normal, k->n * k->n * sizeof *normal);
        memcpy(rhs, k->rhs, k->n * sizeof *rhs);
        bool better = false;
        for (int tries = 0; !st && !better && tries < 8; tries++) {
            memcpy(k->normal, normal, k->n * k->n * sizeof *normal);
            scale_matrix(k, k->n);
            for (size_t t = k->nl; t < k->n; t++) k->a[t * k->n + t] += lambda;
            for (size_t i = 0; i < k->n; i++) step[i] = rhs[i] * k->scale[i];
            double trial_cost;
            st = ep_solve_spd(k->n, k->a, 1, step, e);
            if (st) break;
            largest = 0;               /* in standard deviations, were the others known */
            for (size_t t = 0; t < k->nt; t++) {
                largest = fmax(largest, fabs(step[k->nl + t]));
                trial[t] = theta[t] + step[k->nl + t] * k->scale[k->nl + t];
            }
            ep_eds_bound(k->m, trial);
            st = project(k, trial, &trial_cost, e);
            better = !st && trial_cost <= cost;
            if (better) {
                memcpy(theta, trial, k->nt * sizeof *theta);
                cost = trial_cost;
            }
            lambda = better ? fmax(lambda / 10, 1e-9) : lambda * 10;
        }
        free(normal);
        free(rhs);
        if (!better && !st) {          /* the rows belong to the last trial */
            st = project(k, theta, &cost, e);
            break;
        }
        if (largest < 1e-3) break;
    }
    free(trial);
    free(step);
    return st;
}

/* ---- what comes out --------------------------------------------------------------------------------------------- */

/* The residual summed over one FWHM, where it is largest in units of its sigma. */
static void find_worst(const struct work *k, const double *var, struct ep_eds_sum *s)
{
    for (size_t i = 0; i < k->nch; i++) {
        double ev = k->m->first + ((double)i + 0.5) * k->m->step, half = ep_eds_fwhm(s->theta, fmax(ev, 50)) / 2 / k->m->step;
        size_t h = (size_t)half, a = i > h ? i - h : 0, b = i + h + 1 < k->nch ? i + h + 1 : k->nch;
        double r = 0, v = 0;
        for (size_t j = a; j < b; j++) r += k->r[j], v += var[j];
        if (fabs(r) <= fabs(s->worst) * sqrt(v)) continue;
        s->worst = r / sqrt(v);
        s->worst_energy = (1 + s->theta[EP_EDS_GAIN]) * ev + s->theta[EP_EDS_OFFSET];
    }
}

static ep_status results(struct work *k, const double *var, struct ep_eds_sum *s, struct ep_err *e)
{
    size_t ncol = k->m->ncol;
    linearise(k, s->theta);
    if (!k->refine)                    /* what is held has no error here, and its rows no say */
        for (size_t t = k->nl; t < k->n; t++) {
            for (size_t i = 0; i < k->n; i++) k->normal[t * k->n + i] = k->normal[i * k->n + t] = 0;
            k->normal[t * k->n + t] = 1;
        }
    scale_matrix(k, k->n);
    ep_status st = ep_invert_spd(k->n, k->a, e);
    if (st) return ep_context(e, "errors of the fit of the sum: ");
    for (size_t i = 0; i < ncol; i++) {
        s->c[i] = k->c[i];
        s->c_sigma[i] = k->scale[i] * sqrt(k->a[i * k->n + i]);
    }
    for (size_t t = 0; t < k->nt; t++)
        s->sigma[t] = k->refine ? k->scale[k->nl + t] * sqrt(k->a[(k->nl + t) * k->n + k->nl + t]) : 0;
    size_t ns = k->n - ncol, held = k->refine ? ns : k->m->nback;
    for (size_t i = 0; i < held; i++)
        for (size_t j = 0; j < held; j++)
            s->shared[i * ns + j] = k->scale[ncol + i] * k->scale[ncol + j] * k->a[(ncol + i) * k->n + ncol + j];
    double chi2 = 0, excess = 0, total = 0;
    for (size_t i = 0; i < k->nch; i++) {
        double b = 0;
        for (size_t l = 0; l < k->m->nback; l++) b += k->c[ncol + l] * k->m->back[l * k->nch + i];
        s->back[i] = b;
        s->fit[i] = k->fit[i];
        s->var[i] = var[i];
        chi2 += k->r[i] * k->r[i] / var[i];
        excess += k->r[i] * k->r[i] - var[i];
        total += k->fit[i] * k->fit[i];
    }
    size_t used = k->nl + (k->refine ? k->nt : 0);
    s->dof = k->nch > used ? k->nch - used : 1;
    s->chi2 = chi2 / (double)s->dof;
    s->misfit = excess > 0 && total > 0 ? sqrt(excess / total) : 0;
    find_worst(k, var, s);
    return EP_OK;
}

static ep_status fit(struct work *k, double gain, double noise, struct ep_eds_sum *s, struct ep_err *e)
{
    double *narrow = doubles(k->nch), *floor = doubles(k->nch), *var = doubles(k->nch);
    size_t half = (size_t)fmax(2, ceil(40 / k->m->step)), wide = (size_t)fmax(10, ceil(400 / k->m->step));
    ep_status st = EP_OK;
    smooth(k->y, k->nch, half, narrow);
    smooth(k->y, k->nch, wide, floor);
    make_penalty(k, narrow);
    for (size_t i = 0; i < k->nch; i++) floor[i] = fmax(0.02 * floor[i], 0.1 * gain);
    set_weights(k, narrow, floor, gain, noise, var);
    memcpy(s->theta, k->theta0, k->nt * sizeof *s->theta);
    if (k->refine) st = search_axis(k, s->theta, e);
    for (int round = 0; !st && round < ROUNDS; round++) {
        double cost;
        st = k->refine ? descend(k, s->theta, e) : project(k, s->theta, &cost, e);
        if (!st) set_weights(k, k->fit, floor, gain, noise, var);
    }
    if (!st) st = results(k, var, s, e);
    free(narrow);
    free(floor);
    free(var);
    return st;
}

ep_status ep_eds_fit_sum(const struct ep_eds *m, const double *y, double gain, double noise_variance, bool refine,
                         struct ep_eds_sum **out, struct ep_err *e)
{
    size_t nt = ep_eds_ntheta(m), nl = m->ncol + m->nback, n = nl + nt;
    struct work k = { .m = m, .y = y, .nch = m->nch, .nt = nt, .nl = nl, .n = n, .refine = refine };
    *out = NULL;
    if (m->nch < nl + EP_EDS_SHAPE)
        return ep_fail(e, EP_E_COMPUTE, "%zu channels are too few to fit %zu families of lines and a background", m->nch, m->ncol);
    k.row = doubles(n * k.nch);
    k.scaled = doubles(n * k.nch);
    k.w = doubles(k.nch);
    k.fit = doubles(k.nch);
    k.r = doubles(k.nch);
    k.normal = doubles(n * n);
    k.a = doubles(n * n);
    k.rhs = doubles(n);
    k.scale = doubles(n);
    k.penalty = doubles(nl * nl);
    k.c = doubles(nl);
    k.theta0 = doubles(nt);
    k.prior = doubles(nt);
    memcpy(k.row + m->ncol * m->nch, m->back, m->nback * m->nch * sizeof *m->back);
    ep_eds_start(m, k.theta0, k.prior);
    for (size_t t = 0; t < nt; t++) k.prior[t] = 1 / (k.prior[t] * k.prior[t]);
    struct ep_eds_sum *s = ep_xcalloc(1, sizeof *s);
    s->theta = doubles(nt);
    s->sigma = doubles(nt);
    s->c = doubles(m->ncol);
    s->c_sigma = doubles(m->ncol);
    s->shared = doubles((m->nback + nt) * (m->nback + nt));
    s->back = doubles(m->nch);
    s->fit = doubles(m->nch);
    s->var = doubles(m->nch);
    ep_status st = fit(&k, gain, noise_variance, s, e);
    work_free(&k);
    if (st) {
        ep_eds_sum_free(s);
        return st;
    }
    double *probe = doubles(nt);       /* a value that stands at its bound would go beyond with the next bit */
    for (size_t t = 0; t <= EP_EDS_FANO_FACTOR && refine; t++)
        for (int sign = -1; sign <= 1; sign += 2) {
            memcpy(probe, s->theta, nt * sizeof *probe);
            probe[t] += sign * 1e-9 * fmax(1, fabs(probe[t]));
            s->at_bound |= ep_eds_bound(m, probe);
        }
    free(probe);
    *out = s;
    return EP_OK;
}

void ep_eds_sum_free(struct ep_eds_sum *s)
{
    if (!s) return;
    free(s->theta);
    free(s->sigma);
    free(s->c);
    free(s->c_sigma);
    free(s->shared);
    free(s->back);
    free(s->fit);
    free(s->var);
    free(s);
}
