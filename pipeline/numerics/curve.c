#include "pipeline/numerics/curve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/base/mem.h"
#include "pipeline/data/signal.h"

/* ---- pixels ---- */

double ep_box_below(double wy, double wx, double z)
{
    double a = fmax(wy, wx), b = fmin(wy, wx), h = (a + b) / 2, flat = (a - b) / 2;
    if (z <= -h) return a > 0 ? 0 : z < 0 ? 0 : 0.5;
    if (z >= h) return 1;
    if (b > 1e-12 * a) {
        if (z < -flat) return (z + h) * (z + h) / (2 * a * b);
        if (z > flat) return 1 - (h - z) * (h - z) / (2 * a * b);
    }
    return (b / 2 + z + flat) / a;
}

/* ---- a curve as a coordinate ---- */

void ep_curve_free(struct ep_curve *c)
{
    if (!c) return;
    free(c->t);
    free(c);
}

bool ep_curve_over(const double *points, size_t n, double depth, double dy, double dx, double *yx)
{
    struct ep_curve *g = NULL;
    struct ep_err none = { 0 };
    if (!isfinite(depth) || !isfinite(dy) || !isfinite(dx) || ep_curve_new(points, n, &g, &none)) return false;
    for (size_t i = 0; i < n; i++) {
        yx[2 * i] = points[i * EP_CURVE_COLS] + depth * g->ny - dy;
        yx[2 * i + 1] = points[i * EP_CURVE_COLS + 1] + depth * g->nx - dx;
    }
    ep_curve_free(g);
    return true;
}

/* The straight line through the points: principal axis of their scatter. */
static void mean_frame(struct ep_curve *c, const double *p, size_t n)
{
    double yy = 0, xx = 0, xy = 0, my = 0, mx = 0;
    for (size_t i = 0; i < n; i++) {
        c->cy += p[i * EP_CURVE_COLS] / (double)n;
        c->cx += p[i * EP_CURVE_COLS + 1] / (double)n;
        my += p[i * EP_CURVE_COLS + 2];
        mx += p[i * EP_CURVE_COLS + 3];
    }
    for (size_t i = 0; i < n; i++) {
        double y = p[i * EP_CURVE_COLS] - c->cy, x = p[i * EP_CURVE_COLS + 1] - c->cx;
        yy += y * y;
        xx += x * x;
        xy += x * y;
    }
    double along = atan2(2 * xy, xx - yy) / 2;
    c->ty = sin(along);
    c->tx = cos(along);
    double y = p[(n - 1) * EP_CURVE_COLS] - p[0], x = p[(n - 1) * EP_CURVE_COLS + 1] - p[1];
    if (y * c->ty + x * c->tx < 0) {
        c->ty = -c->ty;
        c->tx = -c->tx;
    }
    c->ny = c->tx;
    c->nx = -c->ty;
    if (my * c->ny + mx * c->nx < 0) {
        c->ny = -c->ny;
        c->nx = -c->nx;
    }
}

ep_status ep_curve_new(const double *points, size_t n, struct ep_curve **out, struct ep_err *e)
{
    *out = NULL;
    if (n < 2) return ep_fail(e, EP_E_COMPUTE, "a curve of %zu points has no direction", n);
    for (size_t i = 0; i < n * EP_CURVE_COLS; i++)
        if (!isfinite(points[i]) && i % EP_CURVE_COLS != 4)
            return ep_fail(e, EP_E_COMPUTE, "point %zu of the curve is not finite", i / EP_CURVE_COLS);
    struct ep_curve *c = ep_xcalloc(1, sizeof *c);
    double *room = calloc(n, 4 * sizeof *room);
    if (!room) {
        free(c);
        return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (a curve)", n * 4 * sizeof *room);
    }
    c->n = n;
    c->t = room;
    c->d = room + n;
    c->slope = room + 2 * n;
    c->sigma = room + 3 * n;
    mean_frame(c, points, n);
    for (size_t i = 0; i < n; i++) {
        const double *p = &points[i * EP_CURVE_COLS];
        double across = p[2] * c->ny + p[3] * c->nx, along = p[2] * c->ty + p[3] * c->tx;
        c->t[i] = (p[0] - c->cy) * c->ty + (p[1] - c->cx) * c->tx;
        c->d[i] = (p[0] - c->cy) * c->ny + (p[1] - c->cx) * c->nx;
        if (!(across > 0.1) || (i > 0 && !(c->t[i] > c->t[i - 1]))) {
            ep_curve_free(c);
            return ep_fail(e, EP_E_COMPUTE, "the curve turns back at point %zu: distance along one direction has no meaning there", i);
        }
        c->slope[i] = -along / across;
        c->sigma[i] = p[4] / across;
    }
    *out = c;
    return EP_OK;
}

/* Cubic between the points (their slopes are known), constant beyond the ends. */
struct ep_at_curve ep_curve_at(const struct ep_curve *c, double y, double x)
{
    double t = (y - c->cy) * c->ty + (x - c->cx) * c->tx, d = (y - c->cy) * c->ny + (x - c->cx) * c->nx;
    double tol = 1e-9 * (c->t[c->n - 1] - c->t[0]), at, slope = 0, sigma;
    struct ep_at_curve r = { .along = t, .inside = t >= c->t[0] - tol && t <= c->t[c->n - 1] + tol };
    size_t lo = 0, hi = c->n - 1;
    if (t <= c->t[0] || t >= c->t[hi]) {
        size_t i = t <= c->t[0] ? 0 : hi;
        at = c->d[i];
        sigma = c->sigma[i];
    } else {
        while (hi - lo > 1) {
            size_t m = (lo + hi) / 2;
            if (c->t[m] <= t) lo = m;
            else hi = m;
        }
        double h = c->t[hi] - c->t[lo], f = (t - c->t[lo]) / h, g = 1 - f, rise = c->d[hi] - c->d[lo];
        double a = c->slope[lo] * h - rise, b = rise - c->slope[hi] * h;
        at = g * c->d[lo] + f * c->d[hi] + f * g * (g * a + f * b);
        slope = (rise + (1 - 2 * f) * (g * a + f * b) + f * g * (b - a)) / h;
        sigma = g * c->sigma[lo] + f * c->sigma[hi];
    }
    r.distance = d - at;
    r.sigma = sigma;
    r.gy = c->ny - slope * c->ty;
    r.gx = c->nx - slope * c->tx;
    return r;
}

/* ---- a step ---- */

#define NPAR 5

static double phi_integral(double x)
{
    return 0.5 * erfc(-x * 0.70710678118654752440);
}

void ep_jump_noise(const struct ep_jump_data *d, struct ep_jump *s)
{
    double w[2] = { 0, 0 }, sum[2] = { 0, 0 };
    for (size_t i = 0; i < d->n; i++) {
        double f = phi_integral((d->u[i] - s->p - s->q * d->v[i]) / s->s), r = d->z[i] - s->base - s->rise * f;
        double var = d->var ? d->var[i] : r * r;
        if (!isfinite(var)) continue;
        w[0] += 1 - f;
        w[1] += f;
        sum[0] += (1 - f) * var;
        sum[1] += f * var;
    }
    double floor_var = 1e-12 * s->rise * s->rise + 1e-300;      /* data without noise */
    for (int k = 0; k < 2; k++) s->var[k] = fmax(w[k] > 0 ? sum[k] / w[k] : 0, floor_var);
}

/* Normal equations of the free parameters; the cost with Huber's function. Variances are those of `by`: were they to move with the
 * fit, it would gain by calling more pixels noisy. */
static double normal_equations(const struct ep_jump_data *d, const struct ep_jump *by, const struct ep_jump *s, const int *use, int n,
                               double *a, double *b)
{
    const double huber = 5;
    double cost = 0;
    memset(a, 0, NPAR * NPAR * sizeof *a);
    memset(b, 0, NPAR * sizeof *b);
    for (size_t i = 0; i < d->n; i++) {
        double x = (d->u[i] - s->p - s->q * d->v[i]) / s->s, f = phi_integral(x);
        double g = fabs(x) > 12 ? 0 : s->rise * 0.3989422804014327 * exp(-0.5 * x * x);
        double side = phi_integral((d->u[i] - by->p - by->q * d->v[i]) / by->s), var = by->var[0] + (by->var[1] - by->var[0]) * side;
        double r = d->z[i] - s->base - s->rise * f, t = fabs(r) / sqrt(var);
        double w = (t > huber ? huber / t : 1) / var;
        double j[NPAR] = { 1, f, -g / s->s, -g * d->v[i] / s->s, -g * x };
        cost += t > huber ? huber * (2 * t - huber) : t * t;
        for (int k = 0; k < n; k++) {
            b[k] += w * j[use[k]] * r;
            for (int l = 0; l <= k; l++) a[k * NPAR + l] += w * j[use[k]] * j[use[l]];
        }
    }
    return cost;
}

/* Solves (a + damping diag a) x = b, n <= 5, lower triangle; or inverts into x when b is NULL. Scaled to a unit diagonal. */
static bool solve_small(const double *a, const double *b, int n, double damping, double *x)
{
    double l[NPAR][NPAR] = { { 0 } }, scale[NPAR];
    for (int i = 0; i < n; i++) {
        if (!(a[i * NPAR + i] > 0)) return false;
        scale[i] = 1 / sqrt(a[i * NPAR + i]);
    }
    for (int i = 0; i < n; i++)
        for (int k = 0; k <= i; k++) {
            double sum = i == k ? 1 + damping : a[i * NPAR + k] * scale[i] * scale[k];
            for (int m = 0; m < k; m++) sum -= l[i][m] * l[k][m];
            if (i == k && !(sum > 1e-13)) return false;
            l[i][k] = i == k ? sqrt(sum) : sum / l[k][k];
        }
    for (int c = 0; c < (b ? 1 : n); c++) {
        double y[NPAR];
        for (int i = 0; i < n; i++) {
            y[i] = (b ? b[i] * scale[i] : i == c ? 1 : 0);
            for (int m = 0; m < i; m++) y[i] -= l[i][m] * y[m];
            y[i] /= l[i][i];
        }
        for (int i = n - 1; i >= 0; i--) {
            for (int m = i + 1; m < n; m++) y[i] -= l[m][i] * y[m];
            y[i] /= l[i][i];
        }
        for (int i = 0; i < n; i++) x[b ? i : i * NPAR + c] = y[i] * scale[i] * (b ? 1 : scale[c]);
    }
    return true;
}

static struct ep_jump moved(const struct ep_jump *s, const int *use, int n, const double *by, double smin, double smax)
{
    struct ep_jump t = *s;
    double *par[NPAR] = { &t.base, &t.rise, &t.p, &t.q, NULL };
    for (int k = 0; k < n; k++) {
        if (use[k] == 4) t.s *= exp(fmax(-0.7, fmin(0.7, by[k])));
        else *par[use[k]] += by[k];
    }
    t.s = fmin(fmax(t.s, smin), smax);
    return t;
}

struct normal { double a[NPAR * NPAR], b[NPAR], cost; };

/* Levenberg-Marquardt with fixed variances. */
static bool descend(const struct ep_jump_data *d, const int *use, int n, double smin, double smax, struct ep_jump *s, struct normal *m)
{
    const struct ep_jump by = *s;
    double damping = 1e-3, step[NPAR];
    struct normal next;
    m->cost = normal_equations(d, &by, s, use, n, m->a, m->b);
    for (int tries = 0; tries < 60; tries++) {
        if (!solve_small(m->a, m->b, n, damping, step)) return false;
        struct ep_jump t = moved(s, use, n, step, smin, smax);
        next.cost = normal_equations(d, &by, &t, use, n, next.a, next.b);
        if (!(next.cost <= m->cost * (1 + 1e-14))) {
            damping *= 8;
            if (damping > 1e10) break;
            continue;
        }
        bool done = fabs(t.p - s->p) < 1e-5 * s->s && fabs(t.s - s->s) < 1e-5 * s->s && m->cost - next.cost <= 1e-7 * m->cost + 1e-12;
        *s = t;
        *m = next;
        if (done) break;
        damping = fmax(damping / 10, 1e-12);
    }
    return isfinite(m->cost);
}

bool ep_jump_fit(const struct ep_jump_data *d, unsigned free_bits, double smin, double smax, struct ep_jump *s)
{
    int use[NPAR], n = 0;
    double inverse[NPAR * NPAR];
    struct normal m;
    for (int k = 0; k < NPAR; k++)
        if (free_bits >> k & 1) use[n++] = k;
    memset(s->cov, 0, sizeof s->cov);
    if (d->n < (size_t)n + 1) return false;
    for (int round = 0; round < 10; round++) {              /* until the variances belong to the fit */
        double p = s->p, width = s->s;
        if (!descend(d, use, n, smin, smax, s, &m)) return false;
        if (fabs(s->p - p) < 1e-4 * s->s && fabs(s->s - width) < 1e-4 * s->s) break;
    }
    s->chi2 = m.cost / (double)(d->n - (size_t)n);
    if (!solve_small(m.a, NULL, n, 0, inverse)) return false;
    for (int k = 0; k < n; k++)
        for (int l = 0; l < n; l++) s->cov[use[k]][use[l]] = inverse[k * NPAR + l];
    return true;
}

/* ---- a robust line ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
    if (n == 0) return 0;
    qsort(v, n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* Median of the slopes between pairs (P. K. Sen, J. Am. Stat. Assoc. 63 (1968) 1379); of many points every k-th. */
static void median_start(size_t n, const double *x, const double *y, double *a, double *b)
{
    size_t step = n / 300 + 1, m = (n + step - 1) / step, k = 0;
    double *v = ep_xcalloc(m * m + n + 1, sizeof *v);
    for (size_t i = 0; i < n; i += step)
        for (size_t j = i + step; j < n; j += step)
            if (x[j] != x[i]) v[k++] = (y[j] - y[i]) / (x[j] - x[i]);
    *b = median(v, k);
    for (size_t i = 0; i < n; i++) v[i] = y[i] - *b * x[i];
    *a = median(v, n);
    free(v);
}

/* Scale of residuals in units of their sigmas: from their median absolute value, at least 1 where the sigmas hold. */
static double excess_scale(size_t n, const double *r, const double *var, double *room)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(var[i])) room[m++] = fabs(r[i]) / sqrt(var[i]);
    return fmax(1, 1.4826 * median(room, m) * (m > 2 ? sqrt((double)m / ((double)m - 2)) : 1));
}

#define TUKEY 4.685                /* 95 % efficient for normal errors: P. J. Huber, Robust Statistics (Wiley, 1981) */

static double biweight(double t)
{
    double k = t / TUKEY;
    return fabs(k) < 1 ? (1 - k * k) * (1 - k * k) : 0;
}

/* Variance of an M-estimate over that of weighted least squares with the stated variances: mean psi^2 / (mean psi')^2 (Huber,
 * section 7.6). */
static double excess_variance(size_t n, const double *r, const double *var, double scale, double lost)
{
    double psi2 = 0, slope = 0, m = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(var[i])) continue;
        double t = r[i] / sqrt(var[i]), k = t / scale / TUKEY, w = biweight(t / scale);
        psi2 += w * t * w * t;
        slope += fabs(k) < 1 ? (1 - k * k) * (1 - 5 * k * k) : 0;
        m += 1;
    }
    if (m <= lost || !(slope > 0)) return 1;
    slope /= m;
    return fmax(1 / 0.95, psi2 / (m - lost) / (slope * slope));
}

bool ep_robust_line(size_t n, const double *x, const double *y, const double *var, double *weight, struct ep_line *out)
{
    *out = (struct ep_line){ .excess = 1 };
    if (n == 0) return false;
    for (size_t i = 0; i < n; i++) weight[i] = 1;
    if (n == 1) {
        out->a = y[0];
        out->cov[0] = var[0];
        out->cov[2] = INFINITY;
        return true;
    }
    double *r = ep_xcalloc(2 * n, sizeof *r), s[3] = { 0, 0, 0 }, det = 0;
    median_start(n, x, y, &out->a, &out->b);
    for (int round = 0; round < 50; round++) {
        for (size_t i = 0; i < n; i++) r[i] = y[i] - out->a - out->b * x[i];
        double scale = excess_scale(n, r, var, r + n), t[2] = { 0, 0 };
        memset(s, 0, sizeof s);
        for (size_t i = 0; i < n; i++) {
            weight[i] = biweight(r[i] / sqrt(var[i]) / scale);
            double w = weight[i] / var[i];
            s[0] += w;
            s[1] += w * x[i];
            s[2] += w * x[i] * x[i];
            t[0] += w * r[i];
            t[1] += w * r[i] * x[i];
        }
        det = s[0] * s[2] - s[1] * s[1];
        if (!(det > 1e-14 * s[0] * s[2])) break;
        double da = (s[2] * t[0] - s[1] * t[1]) / det, db = (s[0] * t[1] - s[1] * t[0]) / det;
        out->a += da;
        out->b += db;
        out->excess = excess_variance(n, r, var, scale, 2);
        if (da * da * s[0] + db * db * s[2] < 1e-12) break;
    }
    bool ok = det > 1e-14 * s[0] * s[2];
    if (ok) {                                   /* of the least squares with all points, times the excess */
        memset(s, 0, sizeof s);
        for (size_t i = 0; i < n; i++) {
            double w = 1 / var[i];
            s[0] += w;
            s[1] += w * x[i];
            s[2] += w * x[i] * x[i];
        }
        det = s[0] * s[2] - s[1] * s[1];
        out->cov[0] = out->excess * s[2] / det;
        out->cov[1] = -out->excess * s[1] / det;
        out->cov[2] = out->excess * s[0] / det;
    }
    free(r);
    return ok;
}

/* ---- a smooth curve ---- */

/* Penalised least squares on differences: E. T. Whittaker, Proc. Edinb. Math. Soc. 41 (1923) 63; P. H. C. Eilers, Anal. Chem. 75
 * (2003) 3631. The matrix W + lambda D'D has five diagonals; l[i][k] is element (i, i - k) of its Cholesky factor. */
struct whittaker { size_t n; double (*l)[3]; };

static bool factor(struct whittaker *q, const double *w, double lambda)
{
    size_t n = q->n;
    for (size_t i = 0; i < n; i++) {
        double a[3] = { w[i], 0, 0 };
        for (size_t k = 0; k < 3; k++) {            /* second differences i-k .. i-k+2 that hold point i */
            static const double c[3] = { 1, -2, 1 };
            if (i < k || i - k + 2 >= n) continue;
            for (size_t m = 0; m <= k; m++) a[m] += lambda * c[k] * c[k - m];
        }
        for (size_t k = 3; k-- > 0;) {
            if (i < k) continue;
            double sum = a[k];
            for (size_t m = k + 1; m < 3; m++)
                if (i >= m) sum -= q->l[i][m] * q->l[i - k][m - k];
            if (k > 0) q->l[i][k] = sum / q->l[i - k][0];
            else if (sum > 0) q->l[i][0] = sqrt(sum);
            else return false;
        }
    }
    return true;
}

static void backsolve(const struct whittaker *q, double *b)
{
    for (size_t i = 0; i < q->n; i++) {
        for (size_t k = 1; k < 3 && k <= i; k++) b[i] -= q->l[i][k] * b[i - k];
        b[i] /= q->l[i][0];
    }
    for (size_t i = q->n; i-- > 0;) {
        for (size_t k = 1; k < 3 && i + k < q->n; k++) b[i] -= q->l[i + k][k] * b[i + k];
        b[i] /= q->l[i][0];
    }
}

/* lambda for which a wave of this length keeps half its amplitude, w the mean weight of a point. */
static double lambda_of(double stiffness, double h, double w)
{
    double s = 2 * sin(3.14159265358979323846 * fmin(0.5, h / stiffness));
    return w / (s * s * s * s);
}

struct smoother { size_t n; const double *y, *var; double *w, *use, *c, *r, *room; struct whittaker q; };

/* Lines that disagree with the straight line through their neighbours, four to a side, by five times what these scatter (at the ends,
 * where that line is extended, fifteen times): apart from lambda, since a stiff curve would rather call an end an error than bend. */
static void reject(struct smoother *m, double h)
{
    double x[8], y[8], r[8];
    for (size_t i = 0; i < m->n; i++) {
        size_t n = 0, left = 0, right = 0;
        m->use[i] = isfinite(m->var[i]) ? 1 : 0;
        for (size_t k = i; k-- > 0 && left < 4;)
            if (isfinite(m->var[k])) x[n] = h * (double)k, y[n++] = m->y[k], left++;
        for (size_t k = i + 1; k < m->n && right < 4; k++)
            if (isfinite(m->var[k])) x[n] = h * (double)k, y[n++] = m->y[k], right++;
        if (m->use[i] == 0 || n < 4) continue;
        double a, b, off, limit = left < 2 || right < 2 ? 15 : 5;
        median_start(n, x, y, &a, &b);
        off = fabs(m->y[i] - a - b * h * (double)i);
        for (size_t k = 0; k < n; k++) r[k] = fabs(y[k] - a - b * x[k]);
        if (off > limit * hypot(1.4826 * median(r, n), sqrt(m->var[i]))) m->use[i] = 0;
    }
}

static bool fit_curve(struct smoother *m, double lambda)
{
    for (size_t i = 0; i < m->n; i++) {
        m->w[i] = m->use[i] > 0 ? 1 / m->var[i] : 0;
        m->c[i] = m->use[i] > 0 ? m->w[i] * m->y[i] : 0;
    }
    if (!factor(&m->q, m->w, lambda)) return false;
    backsolve(&m->q, m->c);
    for (size_t i = 0; i < m->n; i++) m->r[i] = m->use[i] > 0 ? m->y[i] - m->c[i] : 0;
    return true;
}

/* Row k of the hat matrix's influence: x = A^-1 e_k. */
static void unit_response(struct smoother *m, size_t k)
{
    memset(m->room, 0, m->n * sizeof *m->room);
    m->room[k] = 1;
    backsolve(&m->q, m->room);
}

static double trace_of(struct smoother *m)
{
    double t = 0;
    for (size_t k = 0; k < m->n; k++) {
        if (!(m->w[k] > 0)) continue;
        unit_response(m, k);
        t += m->w[k] * m->room[k];
    }
    return t;
}

/* Sum of squares and how many lines it has. */
static double weighted_squares(const struct smoother *m, double *n)
{
    double sum = 0;
    *n = 0;
    for (size_t i = 0; i < m->n; i++) {
        sum += m->w[i] * m->r[i] * m->r[i];
        *n += m->use[i];
    }
    return sum;
}

/* Score of generalised cross-validation, with 1.4 traces against undersmoothing (Y.-J. Kim and C. Gu, J. R. Stat. Soc. B 66 (2004)
 * 337). */
static double cross_validation(struct smoother *m, double lambda)
{
    double n;
    if (!fit_curve(m, lambda)) return INFINITY;
    double squares = weighted_squares(m, &n), left = n - 1.4 * trace_of(m);
    return left > 0.05 * n ? n * squares / (left * left) : INFINITY;
}

ep_status ep_smooth_curve(size_t n, double h, const double *y, const double *var, double stiffness, double *out, double *out_var,
                          double *weight, double *used, struct ep_err *e)
{
    double *room = calloc(n + 1, 6 * sizeof *room), mean = 0, known = 0;
    if (!room) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (a smooth curve)", n * 6 * sizeof *room);
    struct smoother m = { .n = n, .y = y, .var = var, .use = weight, .c = out, .r = room, .room = room + n, .w = room + 2 * n,
                          .q = { n, (double (*)[3])(void *)(room + 3 * n) } };
    reject(&m, h);
    for (size_t i = 0; i < n; i++)
        if (m.use[i] > 0) {
            mean += 1 / var[i];
            known += 1;
        }
    ep_status st = known < 3 ? ep_fail(e, EP_E_COMPUTE, "%g lines are too few for a smooth curve", known) : EP_OK;
    if (known > 0) mean /= known;
    if (!st && isnan(stiffness)) {
        double best = INFINITY;
        for (double s = 4 * h; s <= 6 * h * (double)n; s *= 1.3) {
            double score = cross_validation(&m, lambda_of(s, h, mean));
            if (score > best) continue;
            best = score;
            stiffness = s;
        }
    }
    if (!st && !(stiffness > 0 && fit_curve(&m, lambda_of(stiffness, h, mean))))
        st = ep_fail(e, EP_E_COMPUTE, "no smooth curve of stiffness %g goes through the lines", stiffness);
    if (!st) {
        double left, squares = weighted_squares(&m, &left), excess = fmax(1, squares / fmax(1, left - trace_of(&m)));
        for (size_t k = 0; k < n; k++) {
            unit_response(&m, k);                   /* Bayesian: what smoothing takes away counts too (G. Wahba, J. R. Stat. Soc. B */
            out_var[k] = excess * m.room[k];        /* 45 (1983) 133) */
        }
        *used = stiffness;
    }
    free(room);
    return st;
}
