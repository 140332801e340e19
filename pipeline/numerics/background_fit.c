#include "pipeline/numerics/background_fit.h"

#include <math.h>
#include <string.h>

#include "pipeline/data/flags.h"
#include "pipeline/numerics/fit_internal.h"

/* The fit channels of one spectrum, where the kernels read them: at shift 0 in place, else gathered. */
struct view {
    const struct ep_fit_set *c;
    struct ep_fit_set own;
    size_t nw, len[EP_MAX_WINDOWS];
    const float *y[EP_MAX_WINDOWS];
    const double *x[EP_MAX_WINDOWS];
    const double *mom;
    double own_mom[3];
    bool shifted;
    const double *flat;           /* x of all channels without gaps */
    double *spare;                /* f->padded doubles */
};

static bool make_view(const struct ep_fit *f, const float *y, size_t ch0, size_t n, double shift, void *scratch, struct view *v)
{
    v->c = &f->c;
    v->mom = f->mom;
    v->shifted = shift != 0;
    v->flat = f->flat;
    double *room = scratch, *own_flat = room + f->padded;
    if (shift != 0) {
        if (!isfinite(shift)) return false;
        ep_model_channels(f->m, shift, &v->own);
        v->c = &v->own;
        if (f->m->method == EP_FIT_TWO_AREA && !v->own.off_axis) ep_model_area_ends(f->m, shift, &v->own);
        if (v->own.off_axis || v->own.n < (f->m->method == EP_FIT_TWO_AREA ? 4u : 3u)) return false;
        v->mom = v->own_mom;
        memset(v->own_mom, 0, sizeof v->own_mom);
        v->flat = own_flat;
    }
    v->spare = room + 2 * f->padded;
    v->nw = v->c->nw;
    size_t at = 0, flat = 0;
    for (size_t w = 0; w < v->nw; w++) {
        struct ep_range r = v->c->w[w];
        size_t len = r.end - r.first;
        if (len == 0 || r.first < ch0 || r.end > ch0 + n || at + ep_fit_blocks(len) > f->padded) return false;
        v->len[w] = len;
        v->y[w] = y + (r.first - ch0);
        v->x[w] = f->x + at;
        if (shift != 0) {
            double *x = room + at;
            memset(x, 0, ep_fit_blocks(len) * sizeof *x);
            ep_model_x(f->m, shift, r.first, len, x);
            memcpy(own_flat + flat, x, len * sizeof *x);
            ep_fit_moments(x, len, v->own_mom);
            v->x[w] = x;
        }
        at += ep_fit_blocks(len);
        flat += len;
    }
    return true;
}

static void fail(struct ep_fit_result *r, uint32_t flag)
{
    for (int k = 0; k < EP_NTHETA; k++) r->theta[k] = NAN;
    for (int k = 0; k < EP_NCMAT; k++) r->cmat[k] = NAN;
    r->chi2 = NAN;
    r->flag = flag;
}

/* Reduced Pearson chi-square for B = exp(theta0 - theta1 x). excess = sum (y - mu). */
static double chi_square(const struct ep_fit *f, const struct view *v, const double *theta, double excess)
{
    double s = 0, noise = f->m->read_noise * f->m->read_noise, gain = f->m->gain;
    if (!(noise > 0) && f->row && !v->shifted && theta[1] >= f->row_lo && theta[1] <= f->row_hi) {
        double k = floor((theta[1] - f->row_lo) / f->row_step + 0.5), dr = theta[1] - (f->row_lo + k * f->row_step);
        const double *row = f->row + (size_t)k * f->row_len;
        double a = ep_exp1(-theta[0]);
        for (size_t w = 0; w < v->nw; w++) s += ep_fit_pearson_row(v->y[w], v->len[w], v->x[w], row + (v->x[w] - f->x), dr, a);
        s = (s - excess) / gain;
        return (s > 0 ? s : 0) / ((double)v->c->n - 2);
    }
    for (size_t w = 0; w < v->nw; w++)
        s += noise > 0 ? ep_fit_pearson_noise(v->y[w], v->len[w], v->x[w], theta[0], theta[1], gain, noise)
                       : ep_fit_pearson(v->y[w], v->len[w], v->x[w], theta[0], theta[1]);
    if (!(noise > 0)) s = (s - excess) / gain;
    return (s > 0 ? s : 0) / ((double)v->c->n - 2);
}

/* r with mean m on this spectrum's channels: as ep_family_search(). */
static int solve(const struct ep_fit *f, const struct view *v, double m, struct ep_family_at *at)
{
    if (v->shifted) {           /* the table is for other x: a start */
        ep_family_solve(&f->family, m - v->mom[1] / v->mom[0] + f->start, at);
    } else {
        int end = ep_family_solve(&f->family, m, at);
        if (end == 0 || (end < 0 && f->family.lo <= f->lo) || (end > 0 && f->family.hi >= f->hi)) return end;
    }
    return ep_family_search(v->flat, v->c->n, f->lo, f->hi, m, at->r, at);
}

/* Inverse Fisher information of (ln A, r) from S0, mean and variance of x under the fit, times the gain; with read noise the
 * sandwich H^-1 S H^-1, S = gain H + read_noise^2 sum u u', u = (1, -x): the estimating equations are sum (y - mu) u = 0. */
static void ml_covariance(const struct ep_fit *f, const struct view *v, double s0, const struct ep_family_at *at,
                          double cmat[EP_NCMAT])
{
    double m = at->mean, h = 1 / (s0 * at->var), inv[3] = { (at->var + m * m) * h, m * h, h };
    double noise = f->m->read_noise * f->m->read_noise;
    for (int k = 0; k < EP_NCMAT; k++) cmat[k] = f->m->gain * inv[k];
    if (!(noise > 0)) return;
    double x0 = v->mom[0], x1 = -v->mom[1], x2 = v->mom[2];       /* sum u u' */
    double a00 = inv[0] * x0 + inv[1] * x1, a01 = inv[0] * x1 + inv[1] * x2;
    double a10 = inv[1] * x0 + inv[2] * x1, a11 = inv[1] * x1 + inv[2] * x2;
    cmat[0] += noise * (a00 * inv[0] + a01 * inv[1]);
    cmat[1] += noise * (a00 * inv[1] + a01 * inv[2]);
    cmat[2] += noise * (a10 * inv[1] + a11 * inv[2]);
}

static void get_sums(const struct view *v, double s[2])
{
    s[0] = s[1] = 0;
    for (size_t w = 0; w < v->nw; w++) ep_fit_sum_x(v->y[w], v->len[w], v->x[w], s);
}

static void fit_ml(const struct ep_fit *f, const struct view *v, struct ep_fit_result *r)
{
    double s[2];
    struct ep_family_at at;
    get_sums(v, s);
    if (!isfinite(s[0])) { fail(r, EP_FLAG_NOT_FINITE); return; }
    if (!(s[0] > 0)) { fail(r, EP_FLAG_NO_COUNTS); return; }
    int end = solve(f, v, s[1] / s[0], &at);
    if (end == 2) { fail(r, EP_FLAG_FIT_FAILED); return; }
    r->flag = end ? (uint32_t)EP_FLAG_AT_BOUND : 0;
    r->theta[0] = ep_log1(s[0]) - at.k;
    r->theta[1] = at.r;
    r->theta[2] = 0;
    ml_covariance(f, v, s[0], &at, r->cmat);
    r->chi2 = chi_square(f, v, r->theta, 0);
}

/* HyperSpy 1.7.3, PowerLaw.estimate_parameters: r = 2 (ln I1 - ln I2)/(ln x2 - ln x1), A from I2. Where an area is not positive
 * HyperSpy gives r = A = 0 (negative) or leaves the whole image as it was (zero): here the pixel fails. */
static void fit_two_area(const struct ep_fit *f, const struct view *v, struct ep_fit_result *r)
{
    const struct ep_fit_set *c = v->c;
    size_t n1 = c->mid - c->w[0].first, n2 = c->w[0].end - c->mid;
    double i1 = ep_fit_sum(v->y[0], n1), i2 = ep_fit_sum(v->y[0] + n1, n2);
    if (!isfinite(i1 + i2)) { fail(r, EP_FLAG_NOT_FINITE); return; }
    if (!(i1 + i2 > 0)) { fail(r, EP_FLAG_NO_COUNTS); return; }
    if (!(i1 > 0 && i2 > 0)) { fail(r, EP_FLAG_FIT_FAILED); return; }
    double d = 2 / (c->x2 - c->x1), li2 = ep_log1(i2), ex = d * (ep_log1(i1) - li2), t[EP_PIECE_F];
    r->flag = 0;
    if (ex <= f->lo || ex >= f->hi) {
        r->flag = EP_FLAG_AT_BOUND;
        ex = ex <= f->lo ? f->lo : f->hi;
    }
    if (!v->shifted && ex >= f->areas.lo && ex <= f->areas.hi) {
        ep_pieces_eval(&f->areas, ex, 3, t);
    } else {
        t[0] = ep_family_direct(v->x[0], n1, ex).k;
        t[1] = ep_family_direct(v->x[0] + n1, n2, ex).k;
        t[2] = ep_two_area_phi(f->m, c, ex);
    }
    r->theta[0] = li2 - t[2];
    r->theta[1] = ex;
    r->theta[2] = 0;
    double mu[2] = { ep_exp1(r->theta[0] + t[0]), ep_exp1(r->theta[0] + t[1]) };
    struct ep_lmap l;
    ep_lmap_two_area(c, r->theta, mu, &l);
    double noise = f->m->read_noise * f->m->read_noise;
    double v1 = f->m->gain * mu[0] + (double)n1 * noise, v2 = f->m->gain * mu[1] + (double)n2 * noise;
    r->cmat[0] = v1 * l.m[0][0] * l.m[0][0] + v2 * l.m[0][1] * l.m[0][1];
    r->cmat[1] = v1 * l.m[0][0] * l.m[1][0] + v2 * l.m[0][1] * l.m[1][1];
    r->cmat[2] = v1 * l.m[1][0] * l.m[1][0] + v2 * l.m[1][1] * l.m[1][1];
    r->chi2 = chi_square(f, v, r->theta, i1 + i2 - mu[0] - mu[1]);
}

/* Least squares of ln y on x over the positive channels, all of equal weight, as EELS programs do it. Its covariance is the delta
 * method's at the fitted mean over the same channels; at low counts neither that nor the fit is good. */
static void fit_log_ls(const struct ep_fit *f, const struct view *v, struct ep_fit_result *r)
{
    double total = 0, n[3] = { 0 }, t[2] = { 0 }, used = 0;
    for (size_t w = 0; w < v->nw; w++) total += ep_fit_sum(v->y[w], v->len[w]);
    if (!isfinite(total)) { fail(r, EP_FLAG_NOT_FINITE); return; }
    if (!(total > 0)) { fail(r, EP_FLAG_NO_COUNTS); return; }
    for (size_t w = 0; w < v->nw; w++) {
        for (size_t i = 0; i < v->len[w]; i++) v->spare[i] = v->y[w][i] > 0 ? (double)v->y[w][i] : 1;
        ep_vlog(v->spare, v->spare, v->len[w]);
        for (size_t i = 0; i < v->len[w]; i++) {
            if (!(v->y[w][i] > 0)) continue;
            double x = v->x[w][i], ly = v->spare[i];
            used += 1;
            n[0] += 1;
            n[1] -= x;
            n[2] += x * x;
            t[0] += ly;
            t[1] -= x * ly;
        }
    }
    double det = n[0] * n[2] - n[1] * n[1];
    if (used < 3 || !(det > 0)) { fail(r, EP_FLAG_FIT_FAILED); return; }
    double a = (n[2] * t[0] - n[1] * t[1]) / det, ex = (n[0] * t[1] - n[1] * t[0]) / det;
    r->flag = 0;
    if (ex <= f->lo || ex >= f->hi) {
        r->flag = EP_FLAG_AT_BOUND;
        ex = ex <= f->lo ? f->lo : f->hi;
        a = (t[0] - n[1] * ex) / n[0];
    }
    r->theta[0] = a;
    r->theta[1] = ex;
    r->theta[2] = 0;
    double q[3] = { 0 }, chi = 0, gain = f->m->gain, noise = f->m->read_noise * f->m->read_noise;
    for (size_t w = 0; w < v->nw; w++) {
        ep_model_eval_at(f->m, r->theta, v->x[w], v->len[w], v->spare);
        for (size_t i = 0; i < v->len[w]; i++) {
            if (!(v->y[w][i] > 0)) continue;
            double mu = v->spare[i], x = v->x[w][i], var = gain * mu + noise, s = var / (mu * mu), d = (double)v->y[w][i] - mu;
            q[0] += s;
            q[1] -= s * x;
            q[2] += s * x * x;
            chi += d * d / var;
        }
    }
    double m00 = n[2] / det, m01 = -n[1] / det, m11 = n[0] / det;
    r->cmat[0] = m00 * m00 * q[0] + 2 * m00 * m01 * q[1] + m01 * m01 * q[2];
    r->cmat[1] = m00 * m01 * q[0] + (m00 * m11 + m01 * m01) * q[1] + m01 * m11 * q[2];
    r->cmat[2] = m01 * m01 * q[0] + 2 * m01 * m11 * q[1] + m11 * m11 * q[2];
    r->chi2 = chi / (used - 2);
}

/* Linear: theta = L y. At shift 0 L is the plan's. */
static void fit_wls(const struct ep_fit *f, const struct view *v, double shift, struct ep_fit_result *r)
{
    const struct ep_model *m = f->m;
    double total = 0, t[EP_NTHETA] = { 0 }, chi = 0;
    for (size_t w = 0; w < v->nw; w++) total += ep_fit_sum(v->y[w], v->len[w]);
    if (!isfinite(total)) { fail(r, EP_FLAG_NOT_FINITE); return; }
    if (!(total > 0)) { fail(r, EP_FLAG_NO_COUNTS); return; }
    struct ep_lmap l;
    struct ep_model_values val;
    bool positive = true, shifted = v->shifted;
    size_t at = 0;
    if (shifted && !ep_lmap_init(m, t, shift, v->c, &l)) { fail(r, EP_FLAG_FIT_FAILED); return; }
    for (size_t w = 0; w < v->nw; at += ep_fit_blocks(v->len[w]), w++) {
        if (!shifted) {
            ep_fit_dot(v->y[w], v->len[w], f->l[0] + at, f->l[1] + at, t);
            continue;
        }
        for (size_t i = 0; i < v->len[w]; i += EP_MODEL_BLOCK) {
            size_t len = v->len[w] - i < EP_MODEL_BLOCK ? v->len[w] - i : EP_MODEL_BLOCK;
            ep_model_eval(m, t, shift, v->c->w[w].first + i, len, &val);
            for (size_t k = 0; k < len; k++) {
                double row[2];
                ep_lmap_column(m, &l, v->c->w[w].first + i + k, &val, k, row);
                t[0] += row[0] * (double)v->y[w][i + k];
                t[1] += row[1] * (double)v->y[w][i + k];
            }
        }
    }
    memcpy(r->theta, t, sizeof t);
    r->flag = 0;
    at = 0;
    for (size_t w = 0; w < v->nw; at += ep_fit_blocks(v->len[w]), w++)
        for (size_t i = 0; i < v->len[w]; i += EP_MODEL_BLOCK) {
            size_t len = v->len[w] - i < EP_MODEL_BLOCK ? v->len[w] - i : EP_MODEL_BLOCK;
            if (shifted) ep_model_eval(m, t, shift, v->c->w[w].first + i, len, &val);
            for (size_t k = 0; k < len; k++) {
                double j0 = shifted ? val.j0[k] : f->j[0][at + i + k], j1 = shifted ? val.j1[k] : f->j[1][at + i + k];
                double b = t[0] * j0 + t[1] * j1, d = (double)v->y[w][i + k] - b, var = ep_model_fit_variance(m, b, j0, j1);
                positive &= b > 0;
                if (var > 0) chi += d * d / var;
            }
        }
    r->chi2 = chi / ((double)v->c->n - 2);
    if (positive && !shifted) {
        double g = m->gain, noise = m->read_noise * m->read_noise;
        for (int k = 0; k < EP_NCMAT; k++) r->cmat[k] = g * (t[0] * f->q[0][k] + t[1] * f->q[1][k]) + noise * f->q[2][k];
    } else {
        if (!shifted) ep_lmap_init(m, t, shift, v->c, &l);
        ep_lmap_covariance(m, t, shift, v->c, &l, r->cmat);
    }
}

void ep_fit_spectrum(const struct ep_fit *f, const float *y, size_t ch0, size_t n, double shift, struct ep_fit_result *r,
                     void *scratch)
{
    struct view v;
    if (!make_view(f, y, ch0, n, shift, scratch, &v)) {
        fail(r, EP_FLAG_OFF_AXIS);
        return;
    }
    switch (f->m->method) {
    case EP_FIT_TWO_AREA: fit_two_area(f, &v, r); break;
    case EP_FIT_LOG_LS: fit_log_ls(f, &v, r); break;
    case EP_FIT_WLS: fit_wls(f, &v, shift, r); break;
    case EP_FIT_ML:
    case EP_FIT_ML_AVERAGED: fit_ml(f, &v, r); break;
    }
}

uint32_t ep_fit_sums(const struct ep_fit *f, const float *y, size_t ch0, size_t n, double shift, double s[2], void *scratch)
{
    struct view v;
    s[0] = s[1] = NAN;
    if (!make_view(f, y, ch0, n, shift, scratch, &v)) return EP_FLAG_OFF_AXIS;
    get_sums(&v, s);
    if (isfinite(s[0])) return 0;
    s[0] = s[1] = NAN;
    return EP_FLAG_NOT_FINITE;
}

/* Var r = sum_k w_k^2 sum_i (x_i-xbar)^2 v_ki/(Vx S0n)^2 = gain s2/(Vx S0n^2) + read noise, where sum w^2 is taken as s2 over
 * the pixel's own S0 (the neighbours have about as many counts). ln A = ln S0 - K(r) from the pixel's own sum, which r is
 * uncorrelated with but for the read noise. */
void ep_fit_from_sums(const struct ep_fit *f, const float *y, size_t ch0, size_t n, double shift, const double s[2],
                      double s2, double own_s0, double w0, struct ep_fit_result *r, void *scratch)
{
    struct view v;
    struct ep_family_at at;
    if (!make_view(f, y, ch0, n, shift, scratch, &v)) { fail(r, EP_FLAG_OFF_AXIS); return; }
    if (!(isfinite(s[0]) && isfinite(s[1]) && isfinite(s2) && isfinite(own_s0))) { fail(r, EP_FLAG_NOT_FINITE); return; }
    if (!(s[0] > 0 && own_s0 > 0)) { fail(r, EP_FLAG_NO_COUNTS); return; }
    int end = solve(f, &v, s[1] / s[0], &at);
    if (end == 2) { fail(r, EP_FLAG_FIT_FAILED); return; }
    r->flag = end ? (uint32_t)EP_FLAG_AT_BOUND : 0;
    r->theta[0] = ep_log1(own_s0) - at.k;
    r->theta[1] = at.r;
    r->theta[2] = s[0] * f->m->own_weight / w0;
    double gain = f->m->gain, noise = f->m->read_noise * f->m->read_noise, m = at.mean, u = 1 / (at.var * s[0]);
    double spread = v.mom[2] - 2 * m * v.mom[1] + m * m * v.mom[0];
    double vr = gain * s2 * at.var * u * u + noise * (s2 / own_s0) * spread * u * u;
    double cov = -w0 * noise * (v.mom[1] - v.mom[0] * m) * u / own_s0;
    double vs = (gain * own_s0 + v.mom[0] * noise) / (own_s0 * own_s0);
    r->cmat[0] = vs + 2 * m * cov + m * m * vr;
    r->cmat[1] = cov + m * vr;
    r->cmat[2] = vr;
    r->chi2 = chi_square(f, &v, r->theta, 0);
}
