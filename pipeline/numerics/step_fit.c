/* One curve through a profile: generalised least squares, the heights solved for at each trial of the shape (variable
 * projection: G. Golub, V. Pereyra, SIAM J. Numer. Anal. 10 (1973) 413), the shape by Levenberg-Marquardt within bounds.
 */
#include "pipeline/numerics/step_internal.h"

#include <math.h>
#include <string.h>
#include "pipeline/numerics/linalg.h"

#define NOT_A_FIT 1e300

/* ---- the curve ---------------------------------------------------------------------------------------------------- */

/* The height of a step in two parts is that of both. */
static bool two_parts(enum ep_step_model m)
{
    return m == EP_STEP_JUMP || m == EP_STEP_TWO;
}

static size_t heights(enum ep_step_model m)
{
    return two_parts(m) ? 3 : 2;
}

double ep_step_height(const struct ep_step_fit *f)
{
    return f->linear[1] + (two_parts(f->model) ? f->linear[2] : 0);
}

static double middle_of(enum ep_step_model m, const double *shape)
{
    return m == EP_STEP_TWO ? 0.5 * (shape[0] + shape[1]) : shape[0];
}

/* Basis functions at u: 1, the parts of S, then the slopes of the plateaus. */
static void basis(const struct ep_step_fit *f, double u, double *row)
{
    double part[2];
    ep_step_parts(f->model, f->shape, f->blur, u, part);
    size_t k = 0;
    row[k++] = 1;
    row[k++] = part[0];
    double share = part[0];
    if (two_parts(f->model)) {
        row[k++] = part[1];
        double all = f->linear[1] + f->linear[2];
        share = all > 0 ? (f->linear[1] * part[0] + f->linear[2] * part[1]) / all : part[0];
    }
    if (f->slope_high) row[k++] = share * (u - f->middle);
    if (f->slope_low) row[k++] = (1 - share) * (u - f->middle);
}

double ep_step_of_u(const struct ep_step_fit *f, double u)
{
    double row[EP_STEP_LINEAR + 1], sum = 0;
    basis(f, u, row);
    for (size_t k = 0; k < f->nlinear; k++) sum += f->linear[k] * row[k];
    return sum;
}

double ep_step_value(const struct ep_step_fit *f, double x)
{
    return ep_step_of_u(f, f->direction * x);
}

double ep_step_share(const struct ep_step_fit *f, double u, double blur)
{
    double part[2];
    ep_step_parts(f->model, f->shape, blur, u, part);
    return two_parts(f->model) ? (f->linear[1] * part[0] + f->linear[2] * part[1]) / (f->linear[1] + f->linear[2]) : part[0];
}

/* S falls with u: bisection between bounds that are widened until they hold the share. */
static double u_of_share(const struct ep_step_fit *f, double share, double blur)
{
    double c = middle_of(f->model, f->shape), half = 1;
    while (half < 1e12 && (ep_step_share(f, c - half, blur) < share || ep_step_share(f, c + half, blur) > share)) half *= 2;
    double a = c - half, b = c + half;
    for (int i = 0; i < 80 && a < b; i++) {
        double m = 0.5 * (a + b);
        if (ep_step_share(f, m, blur) > share) a = m; else b = m;
    }
    return 0.5 * (a + b);
}

double ep_step_at(const struct ep_step_fit *f, double share)
{
    return f->direction * u_of_share(f, share, 0);
}

double ep_step_seen(const struct ep_step_fit *f, double share)
{
    return f->direction * u_of_share(f, share, f->blur);
}

/* ---- heights for a shape -------------------------------------------------------------------------------------------- */

/* Least squares of the whitened data on the columns in `use`; the others get 0. Sum of squares, or NOT_A_FIT. */
static double solve_columns(const struct ep_step_problem *p, const double *col, size_t nlinear, unsigned use, double *linear)
{
    double a[EP_STEP_LINEAR * EP_STEP_LINEAR] = { 0 }, b[EP_STEP_LINEAR], scale[EP_STEP_LINEAR];
    size_t at[EP_STEP_LINEAR] = { 0 }, m = 0, n = p->n;
    for (size_t k = 0; k < nlinear; k++) {
        linear[k] = 0;
        if (use >> k & 1) at[m++] = k;
    }
    for (size_t i = 0; i < m; i++) {
        const double *x = col + at[i] * n;
        double ss = 0;
        for (size_t q = 0; q < n; q++) ss += x[q] * x[q];
        scale[i] = sqrt(ss);
        if (!(scale[i] > 0) || !isfinite(scale[i])) return NOT_A_FIT;
        for (size_t k = 0; k <= i; k++) {
            const double *y = col + at[k] * n;
            double s = 0;
            for (size_t q = 0; q < n; q++) s += x[q] * y[q];
            a[i * m + k] = a[k * m + i] = s / (scale[i] * scale[k]);
        }
        double s = 0;
        for (size_t q = 0; q < n; q++) s += x[q] * p->white[q];
        b[i] = s / scale[i];
    }
    struct ep_err ignored = { 0 };
    for (size_t i = 0; i < m; i++) a[i * m + i] += 1e-13;
    if (ep_solve_spd(m, a, 1, b, &ignored)) return NOT_A_FIT;
    for (size_t i = 0; i < m; i++) linear[at[i]] = b[i] / scale[i];
    double chi = 0;
    for (size_t q = 0; q < n; q++) {
        double r = p->white[q];
        for (size_t i = 0; i < m; i++) r -= linear[at[i]] * col[at[i] * n + q];
        chi += r * r;
    }
    return isfinite(chi) ? chi : NOT_A_FIT;
}

/* Heights for f's shape; residuals in res when given. The two steps of two_step go the same way. */
static double solve_heights(const struct ep_step_problem *p, struct ep_step_fit *f, double *res)
{
    size_t n = p->n, h = heights(f->model);
    double *col = p->room, row[EP_STEP_LINEAR + 1];
    f->nlinear = h + f->slope_high + f->slope_low;
    f->middle = middle_of(f->model, f->shape);
    for (size_t i = 0; i < n; i++) {
        basis(f, p->u[i], row);
        for (size_t k = 0; k < f->nlinear; k++) col[k * n + i] = row[k];
    }
    for (size_t k = 0; k < f->nlinear; k++) ep_step_whiten(p, col + k * n);
    unsigned all = (1u << f->nlinear) - 1;
    double chi = solve_columns(p, col, f->nlinear, all, f->linear);
    if (two_parts(f->model) && (f->linear[1] < 0 || f->linear[2] < 0)) {
        double other[EP_STEP_LINEAR];
        chi = solve_columns(p, col, f->nlinear, all & ~2u, f->linear);
        double c = solve_columns(p, col, f->nlinear, all & ~4u, other);
        if (c < chi) {
            chi = c;
            memcpy(f->linear, other, sizeof other);
        }
    }
    for (size_t i = 0; res && i < n; i++) {
        res[i] = p->white[i];
        for (size_t k = 0; k < f->nlinear; k++) res[i] -= f->linear[k] * col[k * n + i];
    }
    return chi;
}

/* ---- shape ---------------------------------------------------------------------------------------------------------- */

#define LOG_STEP 1e-4
struct bound { double lo, hi, step; };

/* Of each shape parameter, and the step of its numerical derivative. */
static void bounds(const struct ep_step_problem *p, enum ep_step_model m, struct bound b[EP_STEP_SHAPE])
{
    double first = p->u[0], last = p->u[p->n - 1], sharp = 0.02 * p->edge;
    struct bound place = { first - 0.5 * p->span, last + 0.5 * p->span, 1e-3 * p->edge };
    struct bound width = { log(sharp * M_SQRT2), log(2 * p->span), LOG_STEP };
    if (m == EP_STEP_TWO) {                /* two steps that are seen, not one and what goes on outside the field */
        place.lo = first, place.hi = last;
        width.hi = log(0.5 * p->span);
    }
    b[0] = place;
    bool tail = m == EP_STEP_ONE_SIDED || m == EP_STEP_JUMP;
    b[1] = m == EP_STEP_ERF ? width : m == EP_STEP_TWO ? place : (struct bound){ -1.5 * p->span, 1.5 * p->span, 1e-3 * p->edge };
    b[2] = tail ? (struct bound){ log(sharp), log(p->span), LOG_STEP } : width;
    b[3] = width;
    if (tail && isfinite(p->probe)) b[2].lo = b[2].hi = log(fmax(p->probe, sharp));
}

/* Levenberg-Marquardt from f->shape. Room behind the columns of solve_heights: residuals and their derivatives. */
static void descend(const struct ep_step_problem *p, struct ep_step_fit *f)
{
    size_t n = p->n, d = ep_step_shape(f->model);
    struct bound b[EP_STEP_SHAPE];
    bounds(p, f->model, b);
    for (size_t k = 0; k < d; k++) f->shape[k] = fmin(fmax(f->shape[k], b[k].lo), b[k].hi);
    double *res = p->room + EP_STEP_LINEAR * n, *jac = res + n, lambda = 1e-3;
    f->chi2 = solve_heights(p, f, res);
    for (int round = 0; round < 60 && f->chi2 < NOT_A_FIT; round++) {
        double a[EP_STEP_SHAPE * EP_STEP_SHAPE], g[EP_STEP_SHAPE];
        size_t at[EP_STEP_SHAPE], m = 0;
        for (size_t k = 0; k < d; k++) {
            if (b[k].lo >= b[k].hi) continue;
            struct ep_step_fit q = *f;
            double h = q.shape[k] + b[k].step > b[k].hi ? -b[k].step : b[k].step, *j = jac + m * n, sum = 0;
            q.shape[k] += h;
            if (solve_heights(p, &q, j) >= NOT_A_FIT) continue;
            for (size_t i = 0; i < n; i++) {
                j[i] = (j[i] - res[i]) / h;
                sum += j[i] * res[i];
            }
            if ((f->shape[k] <= b[k].lo && sum > 0) || (f->shape[k] >= b[k].hi && sum < 0)) continue;   /* wants to leave */
            at[m] = k;
            g[m++] = sum;
        }
        bool better = false;
        double gain = 0;
        for (int tries = 0; m > 0 && tries < 12 && !better; tries++) {
            struct ep_err ignored = { 0 };
            double x[EP_STEP_SHAPE];
            for (size_t i = 0; i < m; i++) {
                x[i] = -g[i];
                for (size_t k = 0; k < m; k++) {
                    double s = 0;
                    for (size_t q = 0; q < n; q++) s += jac[i * n + q] * jac[k * n + q];
                    a[i * m + k] = i == k ? s * (1 + lambda) + 1e-12 : s;
                }
            }
            struct ep_step_fit q = *f;
            if (!ep_solve_spd(m, a, 1, x, &ignored)) {
                for (size_t i = 0; i < m; i++) q.shape[at[i]] = fmin(fmax(q.shape[at[i]] + x[i], b[at[i]].lo), b[at[i]].hi);
                double *keep = jac + EP_STEP_SHAPE * n;
                q.chi2 = solve_heights(p, &q, keep);
                better = q.chi2 < f->chi2;
                if (better) {
                    gain = f->chi2 - q.chi2;
                    *f = q;
                    memcpy(res, keep, n * sizeof *res);
                }
            }
            lambda = better ? fmax(lambda * 0.1, 1e-9) : lambda * 10;
        }
        if (!better || gain < 1e-7 * (1 + f->chi2 * 1e-3)) break;
    }
}

static void consider(const struct ep_step_problem *p, const double *shape, struct ep_step_fit *best)
{
    struct ep_step_fit f = *best;
    memcpy(f.shape, shape, sizeof f.shape);
    descend(p, &f);
    if (f.chi2 < best->chi2) *best = f;
}

/* Every centre and width of a grid, then down from the best. */
static void search_erf(const struct ep_step_problem *p, struct ep_step_fit *f)
{
    double best[EP_STEP_SHAPE] = { 0 }, least = NOT_A_FIT;
    for (double w = p->edge; w <= fmax(p->span / 2, p->edge); w *= 2)
        for (int k = 0; k <= 32; k++) {
            struct ep_step_fit q = *f;
            q.shape[0] = p->u[0] + p->span * k / 32;
            q.shape[1] = log(w);
            double chi = solve_heights(p, &q, NULL);
            if (chi >= least) continue;
            least = chi;
            memcpy(best, q.shape, sizeof best);
        }
    if (least < NOT_A_FIT) consider(p, best, f);
}

/* Starts around the erf (c, w), in units of w: the two that are nearest to the data are followed down. */
static void from_erf(const struct ep_step_problem *p, const struct ep_step_fit *near, struct ep_step_fit *f)
{
    static const double tails[][3] = { { 0.7, 1, 0.5 }, { 0.7, 1, 0.15 }, { 0.3, 1.3, 0.3 }, { 0.2, 2, 0.15 } };
    static const double twos[][4] = { { -0.8, 0.8, 0.3, 0.3 }, { -0.5, 0.5, 0.7, 0.7 }, { -0.6, 0.3, 0.15, 1 }, { -0.3, 0.6, 1, 0.15 } };
    double c = near->shape[0], w = exp(near->shape[1]), start[8][EP_STEP_SHAPE] = { { 0 } };
    size_t n = 0;
    for (size_t k = 0; k < 4; k++) {
        if (f->model == EP_STEP_TWO) {
            const double *t = twos[k];
            memcpy(start[n++], (double[]){ c + t[0] * w, c + t[1] * w, log(t[2] * w), log(t[3] * w) }, sizeof start[0]);
            continue;
        }
        for (int side = -1; side <= 1; side += 2) {
            const double *t = tails[k];
            memcpy(start[n++], (double[EP_STEP_SHAPE]){ c - side * t[0] * w, side * t[1] * w, log(t[2] * w), 0 }, sizeof start[0]);
        }
    }
    double chi[8];
    for (size_t k = 0; k < n; k++) {
        struct ep_step_fit q = *f;
        memcpy(q.shape, start[k], sizeof q.shape);
        chi[k] = solve_heights(p, &q, NULL);
    }
    for (int follow = 0; follow < 2; follow++) {
        size_t best = 0;
        for (size_t k = 1; k < n; k++)
            if (chi[k] < chi[best]) best = k;
        if (!(chi[best] < NOT_A_FIT)) return;
        consider(p, start[best], f);
        chi[best] = NOT_A_FIT;
    }
}

/* ---- what a fit says ------------------------------------------------------------------------------------------------ */

/* Covariance of shape and linear parameters from the whitened derivatives. Those at a bound are held. What the data say
 * nothing about (skewness at zero, the width of a step narrower than a bin) is known beforehand to a factor e, places to
 * the span of the field. */
static void covariance(const struct ep_step_problem *p, struct ep_step_fit *f)
{
    size_t n = p->n, d = ep_step_shape(f->model), np = d + f->nlinear, at[EP_STEP_PAR], m = 0;
    double *jac = p->room, a[EP_STEP_PAR * EP_STEP_PAR], copy[EP_STEP_PAR * EP_STEP_PAR], scale[EP_STEP_PAR];
    struct bound b[EP_STEP_SHAPE];
    bounds(p, f->model, b);
    memset(f->cov, 0, sizeof f->cov);
    for (size_t k = 0; k < np; k++) {
        if (k < d && (f->shape[k] <= b[k].lo || f->shape[k] >= b[k].hi)) continue;
        struct ep_step_fit lo = *f, hi = *f;
        double h = k < d ? b[k].step : 0, row[EP_STEP_LINEAR + 1], *j = jac + m * n, ss = 0;
        if (k < d) lo.shape[k] -= h, hi.shape[k] += h;
        for (size_t i = 0; i < n; i++) {
            if (k < d) j[i] = (ep_step_of_u(&hi, p->u[i]) - ep_step_of_u(&lo, p->u[i])) / (2 * h);
            else basis(f, p->u[i], row), j[i] = row[k - d];
        }
        ep_step_whiten(p, j);
        for (size_t i = 0; i < n; i++) ss += j[i] * j[i];
        if (!(ss > 0) || !isfinite(ss)) continue;
        scale[m] = sqrt(ss);
        at[m++] = k;
    }
    for (size_t i = 0; i < m; i++)
        for (size_t k = 0; k < m; k++) {
            double s = 0;
            for (size_t q = 0; q < n; q++) s += jac[i * n + q] * jac[k * n + q];
            a[i * m + k] = s / (scale[i] * scale[k]);
        }
    for (size_t i = 0; i < m; i++)
        if (at[i] < d) a[i * m + i] += 1 / pow(scale[i] * (b[at[i]].step == LOG_STEP ? 1 : p->span), 2);
    struct ep_err ignored = { 0 };
    for (double ridge = 1e-12; ridge < 1; ridge *= 10) {
        memcpy(copy, a, sizeof copy);
        for (size_t i = 0; i < m; i++) copy[i * m + i] += ridge;
        if (ep_invert_spd(m, copy, &ignored)) continue;
        for (size_t i = 0; i < m; i++)
            for (size_t k = 0; k < m; k++) f->cov[at[i] * EP_STEP_PAR + at[k]] = copy[i * m + k] / (scale[i] * scale[k]);
        return;
    }
}

void ep_step_fit_model(const struct ep_step_problem *p, enum ep_step_model m, const struct ep_step_fit *near, struct ep_step_fit *out)
{
    struct ep_step_fit f = { .model = m, .slope_high = p->slope_high, .slope_low = p->slope_low, .blur = p->blur, .chi2 = NOT_A_FIT };
    if (out->ok) {
        consider(p, out->shape, &f);          /* new weights: down from where it was */
    } else if (m == EP_STEP_ERF) {
        search_erf(p, &f);
    } else if (near && near->ok) {
        from_erf(p, near, &f);
    }
    *out = f;
    if (!(f.chi2 < NOT_A_FIT)) return;
    out->chi2 = solve_heights(p, out, NULL);
    out->direction = p->direction;
    out->npar = ep_step_shape(m) + out->nlinear - ((m == EP_STEP_ONE_SIDED || m == EP_STEP_JUMP) && isfinite(p->probe));
    double step = ep_step_height(out);
    out->ok = !two_parts(m) || (fmin(out->linear[1], out->linear[2]) > 0.01 * step);
    if (out->ok) covariance(p, out);
}

/* What is derived from all parameters: threshold, 10-90 % width, heights. */
enum { POSITION, WIDTH, LOW, HIGH, STEP, LENGTH, DERIVED };

static void derived(const struct ep_step_fit *f, double threshold, double v[DERIVED])
{
    v[POSITION] = u_of_share(f, threshold, 0);
    v[WIDTH] = (u_of_share(f, 0.1, 0) - u_of_share(f, 0.9, 0)) / (2 * 0.906193802436823);      /* erfc(0.9062) = 0.2 */
    v[LOW] = f->linear[0];
    v[STEP] = ep_step_height(f);
    v[HIGH] = v[LOW] + v[STEP];
    v[LENGTH] = f->model == EP_STEP_ONE_SIDED || f->model == EP_STEP_JUMP ? fabs(f->shape[1]) * M_SQRT2 : (double)NAN;
}

void ep_step_derive(const struct ep_step_problem *p, double threshold, struct ep_step_fit *f)
{
    size_t d = ep_step_shape(f->model), np = d + f->nlinear;
    double v[DERIVED], grad[EP_STEP_PAR][DERIVED] = { { 0 } }, var[DERIVED] = { 0 };
    derived(f, threshold, v);
    for (size_t k = 0; k < np; k++) {
        double variance = f->cov[k * EP_STEP_PAR + k], lo[DERIVED], hi[DERIVED];
        if (!(variance > 0)) continue;
        struct ep_step_fit a = *f, b = *f;
        double h = k < d ? 1e-3 * (k == 0 || (k == 1 && f->model != EP_STEP_ERF) ? p->edge : 1) : 1e-4 * fabs(v[STEP]);
        if (k < d) a.shape[k] -= h, b.shape[k] += h;
        else a.linear[k - d] -= h, b.linear[k - d] += h;
        derived(&a, threshold, lo);
        derived(&b, threshold, hi);
        for (size_t q = 0; q < DERIVED; q++) grad[k][q] = (hi[q] - lo[q]) / (2 * h);
    }
    for (size_t q = 0; q < DERIVED; q++)
        for (size_t i = 0; i < np; i++)
            for (size_t k = 0; k < np; k++) var[q] += grad[i][q] * f->cov[i * EP_STEP_PAR + k] * grad[k][q];
    f->position = f->direction * v[POSITION];
    f->noise = sqrt(var[POSITION]);
    f->width = v[WIDTH], f->width_sigma = sqrt(var[WIDTH]);
    f->length = v[LENGTH], f->length_sigma = sqrt(var[LENGTH]);
    f->low = v[LOW], f->low_sigma = sqrt(var[LOW]);
    f->high = v[HIGH], f->high_sigma = sqrt(var[HIGH]);
    f->step = v[STEP], f->step_sigma = sqrt(var[STEP]);
}
