#include "pipeline/data/model.h"

#include <math.h>
#include <string.h>

#include "pipeline/base/mem.h"
#include "pipeline/data/model_internal.h"
#include "pipeline/numerics/vmath.h"

static bool is_power(const struct ep_model *m)
{
    return m->form != EP_MODEL_EXPONENTIAL;
}

/* ---- the channels of the fit ---- */

/* HyperSpy's nearest channel (axes.py, value2index): the fractional index is cut to 12 decimals; halves go toward zero.
 * Values beyond the axis give its end. */
static size_t nearest(const struct ep_axis *a, double value)
{
    double t = (value / ep_axis_unit_factor(a) - a->offset) / a->scale;
    if (!(t > 0)) return 0;
    if (t >= (double)(a->size - 1)) return a->size - 1;
    t = trunc(t * 1e12) / 1e12;
    return (size_t)ceil(t - 0.5);
}

/* The two areas of HyperSpy 1.7.3 (components1d PowerLaw.estimate_parameters): an even number of channels from
 * nearest(a) to nearest(b)-1, halved; x2 is one channel past the last one used. */
static void two_areas(const struct ep_model *m, double shift, struct ep_fit_set *c)
{
    const struct ep_axis *a = &m->axis;
    bool up = a->scale > 0;
    size_t i1 = nearest(a, m->window[0][up ? 0 : 1] - shift), i2 = nearest(a, m->window[0][up ? 1 : 0] - shift);
    if ((i1 + i2) % 2 != 0) i2 -= i2 > 0;
    if (i2 <= i1) i2 = i1 + 2;
    if (i2 >= a->size) {
        c->off_axis = true;
        i2 = a->size - 1;
        i1 = ep_min(i1, i2);
    }
    c->w[0] = (struct ep_range){ i1, i2 };
    c->mid = (i1 + i2) / 2;
}

void ep_model_area_ends(const struct ep_model *m, double shift, struct ep_fit_set *c)
{
    size_t at[3] = { c->w[0].first, c->mid, c->w[0].end };
    double x[3];
    for (int k = 0; k < 3; k++) ep_model_x(m, shift, at[k], 1, &x[k]);
    c->x1 = x[0];
    c->x3 = x[1];
    c->x2 = x[2];
}

void ep_model_channels(const struct ep_model *m, double shift, struct ep_fit_set *c)
{
    memset(c, 0, sizeof *c);
    c->nw = m->nwindow;
    for (size_t k = 0; k < c->nw; k++) {
        bool clipped;
        c->w[k] = ep_axis_window(&m->axis, m->window[k][0], m->window[k][1], shift, &clipped);
        c->off_axis |= clipped;
    }
    if (m->method == EP_FIT_TWO_AREA) two_areas(m, shift, c);
    for (size_t k = 0; k < c->nw; k++) {
        c->n += c->w[k].end - c->w[k].first;
        if (c->w[k].first == c->w[k].end || !is_power(m)) continue;
        size_t lowest = m->axis.scale > 0 ? c->w[k].first : c->w[k].end - 1;
        if (!(ep_axis_at(&m->axis, (double)lowest) + shift > 0)) c->off_axis = true;
    }
}

/* ---- the model on channels ---- */

/* E of channel i is (offset + scale*i)*unit + shift everywhere, so that equal channels give equal bits. */
struct axis_terms { double offset, scale, unit, shift, e_ref, inv; bool log; };

static struct axis_terms axis_terms(const struct ep_model *m, double shift)
{
    return (struct axis_terms){ m->axis.offset, m->axis.scale, ep_axis_unit_factor(&m->axis), shift, m->e_ref,
                                1.0 / m->e_ref, is_power(m) };
}

static const double lane_index[EP_LANES] = { 0, 1, 2, 3, 4, 5, 6, 7 };

EP_KERNEL void x_kernel(const struct axis_terms *t, double first, ep_vd *x)
{
    ep_vd e = (t->offset + t->scale * (first + ep_load(lane_index))) * t->unit + t->shift;
    if (t->log) {
        const ep_vd zero = { 0 };
        *x = e * t->inv;
        ep_log_kernel(x);
        *x = EP_PICK(ep_vd, ep_vu, e > 0.0, *x, zero + __builtin_nan(""));
    } else {
        *x = (e - t->e_ref) * t->inv;
    }
}

EP_CLONES static void x_block(const struct axis_terms *terms, size_t first, size_t n, double *x)
{
    const struct axis_terms own = *terms, *t = &own;     /* no store to x can change it */
    ep_vd v;
    size_t i = 0;
    for (; n - i >= EP_LANES; i += EP_LANES) {
        x_kernel(t, (double)(first + i), &v);
        ep_store(x + i, &v);
    }
    if (i < n) {
        x_kernel(t, (double)(first + i), &v);
        memcpy(x + i, &v, (n - i) * sizeof *x);
    }
}

void ep_model_x(const struct ep_model *m, double shift, size_t first, size_t n, double *x)
{
    struct axis_terms t = axis_terms(m, shift);
    x_block(&t, first, n, x);
}

void ep_model_abscissae(const struct ep_model *m, double shift, struct ep_range ch, double *x)
{
    ep_model_x(m, shift, m->first + ch.first * m->bin, (ch.end - ch.first) * m->bin, x);
}

/* exp(c - k x), 0 where x is NaN. */
EP_KERNEL void model_kernel(double c, double k, const ep_vd *x, ep_vd *out)
{
    ep_vd v = c - k * *x;
    ep_exp_kernel(&v);
    *out = (ep_vd)((ep_vu)v & (ep_vu)(*x == *x));
}

EP_CLONES static void exp_block(double c, double k, const double *x, size_t n, double *out)
{
    size_t i = 0;
    for (; n - i >= EP_LANES; i += EP_LANES) {
        ep_vd v = ep_load(x + i);
        model_kernel(c, k, &v, &v);
        ep_store(out + i, &v);
    }
    if (i < n) {
        ep_vd v = { 0 };
        memcpy(&v, x + i, (n - i) * sizeof *x);
        model_kernel(c, k, &v, &v);
        memcpy(out + i, &v, (n - i) * sizeof *out);
    }
}

EP_CLONES void ep_model_sums(const double theta[2], const double *x, size_t n, double *s0, double *s1)
{
    double c = theta[0], r = theta[1];
    ep_vd t0 = ep_load(s0), t1 = ep_load(s1);
    for (size_t i = 0; i < n; i += EP_LANES) {
        ep_vd v = { 0 }, b;
        if (n - i >= EP_LANES) v = ep_load(x + i);
        else memcpy(&v, x + i, (n - i) * sizeof *x);
        model_kernel(c, r, &v, &b);
        ep_vu keep = (ep_vu)(v == v);
        if (n - i < EP_LANES) keep &= (ep_vu)(ep_load(lane_index) < (double)(n - i));
        b = (ep_vd)((ep_vu)b & keep);
        v = (ep_vd)((ep_vu)v & keep);
        t0 += b;
        t1 += b * v;
    }
    ep_store(s0, &t0);
    ep_store(s1, &t1);
}

void ep_model_eval_at(const struct ep_model *m, const double theta[2], const double *x, size_t n, double *b)
{
    if (m->form == EP_MODEL_COUNTS) {
        memset(b, 0, n * sizeof *b);
        return;
    }
    if (m->form != EP_MODEL_TWO_POWERS) {
        exp_block(theta[0], theta[1], x, n, b);
        return;
    }
    for (size_t i = 0; i < n; i += EP_MODEL_BLOCK) {
        double j1[EP_MODEL_BLOCK];
        size_t k = ep_min(n - i, EP_MODEL_BLOCK);
        exp_block(0, m->r[0], x + i, k, b + i);
        exp_block(0, m->r[1], x + i, k, j1);
        for (size_t q = 0; q < k; q++) b[i + q] = theta[0] * b[i + q] + theta[1] * j1[q];
    }
}

void ep_model_eval(const struct ep_model *m, const double theta[2], double shift, size_t first, size_t n,
                   struct ep_model_values *v)
{
    if (m->form == EP_MODEL_COUNTS) {
        memset(v, 0, sizeof *v);
        return;
    }
    ep_model_x(m, shift, first, n, v->x);
    if (m->form == EP_MODEL_TWO_POWERS) {
        exp_block(0, m->r[0], v->x, n, v->j0);
        exp_block(0, m->r[1], v->x, n, v->j1);
        for (size_t i = 0; i < n; i++) v->b[i] = theta[0] * v->j0[i] + theta[1] * v->j1[i];
    } else {
        exp_block(theta[0], theta[1], v->x, n, v->b);
        for (size_t i = 0; i < n; i++) {
            v->j0[i] = v->b[i];
            v->j1[i] = v->b[i] == 0 ? 0 : -v->b[i] * v->x[i];
        }
    }
}

void ep_model_background_at(const struct ep_model *m, const double theta[EP_NTHETA], const double *x, size_t nch, double *out)
{
    if (m->bin == 1) {
        ep_model_eval_at(m, theta, x, nch, out);
        return;
    }
    for (size_t i = 0; i < nch; i++) out[i] = 0;
    for (size_t i = 0; i < nch * m->bin; i += EP_MODEL_BLOCK) {
        double b[EP_MODEL_BLOCK];
        size_t k = ep_min(nch * m->bin - i, EP_MODEL_BLOCK);
        ep_model_eval_at(m, theta, x + i, k, b);
        for (size_t q = 0; q < k; q++) out[(i + q) / m->bin] += b[q];
    }
}

void ep_model_background(const struct ep_model *m, const double theta[EP_NTHETA], double shift, struct ep_range ch,
                         double *out)
{
    double x[EP_MODEL_BLOCK], b[EP_MODEL_BLOCK];
    size_t n = (ch.end - ch.first) * m->bin, native = m->first + ch.first * m->bin;
    for (size_t i = 0; i < ch.end - ch.first; i++) out[i] = 0;
    for (size_t i = 0; i < n; i += EP_MODEL_BLOCK) {
        size_t k = ep_min(n - i, EP_MODEL_BLOCK);
        ep_model_x(m, shift, native + i, k, x);
        if (m->bin == 1) {
            ep_model_eval_at(m, theta, x, k, out + i);
            continue;
        }
        ep_model_eval_at(m, theta, x, k, b);
        for (size_t q = 0; q < k; q++) out[(i + q) / m->bin] += b[q];
    }
}

double ep_model_mean_variance(const struct ep_model *m, double b, double j0, double j1, double noise)
{
    if (!(b > 0) && m->form == EP_MODEL_TWO_POWERS) b = m->mean_theta[0] * j0 + m->mean_theta[1] * j1;
    return m->gain * (b > 0 ? b : 0) + noise;
}

double ep_model_fit_variance(const struct ep_model *m, double b, double j0, double j1)
{
    return ep_model_mean_variance(m, b, j0, j1, m->read_noise * m->read_noise);
}

/* ---- L ---- */

/* Weight of a fit channel in weighted least squares: 1/v of the mean spectrum's model; equal weights when none is given. */
static double wls_weight(const struct ep_model *m, double j0, double j1)
{
    if (m->mean_theta[0] == 0 && m->mean_theta[1] == 0) return 1;
    double b = m->mean_theta[0] * j0 + m->mean_theta[1] * j1;
    return 1 / (m->gain * b + m->read_noise * m->read_noise);
}

/* u_i and s_i of L_i = s_i M u_i. */
static double lmap_row(const struct ep_model *m, size_t mid, size_t i, const struct ep_model_values *v, size_t k, double u[2])
{
    switch (m->method) {
    case EP_FIT_TWO_AREA:
        u[0] = i < mid;
        u[1] = i >= mid;
        return 1;
    case EP_FIT_WLS:
        u[0] = v->j0[k];
        u[1] = v->j1[k];
        return wls_weight(m, u[0], u[1]);
    case EP_FIT_LOG_LS:
        u[0] = 1;
        u[1] = -v->x[k];
        return 1 / v->b[k];
    case EP_FIT_ML:
    case EP_FIT_ML_AVERAGED:
        u[0] = 1;
        u[1] = -v->x[k];
    }
    return 1;
}

void ep_lmap_column(const struct ep_model *m, const struct ep_lmap *l, size_t i, const struct ep_model_values *v, size_t k,
                    double out[2])
{
    double u[2], s = lmap_row(m, l->mid, i, v, k, u);
    out[0] = s * (l->m[0][0] * u[0] + l->m[0][1] * u[1]);
    out[1] = s * (l->m[1][0] * u[0] + l->m[1][1] * u[1]);
}

/* two_area: I1, I2 the areas of the fitted mean, D = 2/(ln x2 - ln x1); dr = D (dI1/I1 - dI2/I2); with k = 1-r and
 * A = k I2/(x2^k - x3^k): dlnA = dI2/I2 + q dr, q = -1/k + (x2^k ln x2 - x3^k ln x3)/(x2^k - x3^k). With x in units of e_ref
 * ln A is theta0 up to a constant. In u = k ln(x2/x3): q = ln x3 + ln(x2/x3) h(u), h = 1/(1 - exp(-u)) - 1/u = 1/2 + u/12 - .. */
void ep_lmap_two_area(const struct ep_fit_set *c, const double theta[2], const double area[2], struct ep_lmap *l)
{
    double d = 2 / (c->x2 - c->x1), span = c->x2 - c->x3, u = (1 - theta[1]) * span, h;
    if (fabs(u) < 0.5) {        /* Bernoulli numbers */
        double u2 = u * u;
        h = 0.5 + u * (1 / 12.0 + u2 * (-1 / 720.0 + u2 * (1 / 30240.0 + u2 * (-1 / 1209600.0 + u2 / 47900160.0))));
    } else {
        h = 1 / (1 - ep_exp1(-u)) - 1 / u;
    }
    double q = c->x3 + span * h;
    l->m[1][0] = d / area[0];
    l->m[1][1] = -d / area[1];
    l->m[0][0] = q * l->m[1][0];
    l->m[0][1] = q * l->m[1][1] + 1 / area[1];
}

bool ep_lmap_init(const struct ep_model *m, const double theta[EP_NTHETA], double shift, const struct ep_fit_set *c,
                  struct ep_lmap *l)
{
    double n[3] = { 0 };              /* normal matrix of u with the method's weights: 00, 01, 11 */
    double mu[3] = { 0 };             /* moments of the fitted mean: 1, x, x^2 */
    double area[2] = { 0 };
    struct ep_model_values v;
    l->mid = c->mid;
    for (size_t w = 0; w < c->nw; w++)
        for (size_t i = c->w[w].first; i < c->w[w].end; i += EP_MODEL_BLOCK) {
            size_t len = ep_min(c->w[w].end - i, EP_MODEL_BLOCK);
            ep_model_eval(m, theta, shift, i, len, &v);
            for (size_t k = 0; k < len; k++) {
                double u[2], s = lmap_row(m, c->mid, i + k, &v, k, u);
                if (m->method == EP_FIT_ML) s = v.b[k];
                if (m->method == EP_FIT_LOG_LS) s = 1;
                n[0] += s * u[0] * u[0];
                n[1] += s * u[0] * u[1];
                n[2] += s * u[1] * u[1];
                mu[0] += v.b[k];
                mu[1] += v.b[k] * v.x[k];
                mu[2] += v.b[k] * v.x[k] * v.x[k];
                area[i + k >= c->mid] += v.b[k];
            }
        }
    if (m->method == EP_FIT_TWO_AREA) {
        struct ep_fit_set ends = *c;
        ep_model_area_ends(m, shift, &ends);
        ep_lmap_two_area(&ends, theta, area, l);
        return area[0] > 0 && area[1] > 0;
    }
    if (m->method == EP_FIT_ML_AVERAGED) {
        /* dr = own_weight (x_i - xbar) (-1/(Vx S0n)) dy_i, dlnA = dy_i/S0 + xbar dr; theta[2] = S0n. */
        double xbar = mu[1] / mu[0], vx = mu[2] / mu[0] - xbar * xbar, k = -m->own_weight / (theta[2] * vx);
        l->m[0][0] = 1 / mu[0] - k * xbar * xbar;
        l->m[0][1] = l->m[1][0] = -k * xbar;
        l->m[1][1] = -k;
        return vx > 0;
    }
    double det = n[0] * n[2] - n[1] * n[1];
    l->m[0][0] = n[2] / det;
    l->m[0][1] = l->m[1][0] = -n[1] / det;
    l->m[1][1] = n[0] / det;
    return det > 0;
}

void ep_lmap_covariance(const struct ep_model *m, const double theta[EP_NTHETA], double shift,
                        const struct ep_fit_set *c, const struct ep_lmap *l, double cmat[EP_NCMAT])
{
    struct ep_model_values v;
    cmat[0] = cmat[1] = cmat[2] = 0;
    for (size_t w = 0; w < c->nw; w++)
        for (size_t i = c->w[w].first; i < c->w[w].end; i += EP_MODEL_BLOCK) {
            size_t len = ep_min(c->w[w].end - i, EP_MODEL_BLOCK);
            ep_model_eval(m, theta, shift, i, len, &v);
            for (size_t k = 0; k < len; k++) {
                double row[2], var = ep_model_fit_variance(m, v.b[k], v.j0[k], v.j1[k]);
                ep_lmap_column(m, l, i + k, &v, k, row);
                cmat[0] += var * row[0] * row[0];
                cmat[1] += var * row[0] * row[1];
                cmat[2] += var * row[1] * row[1];
            }
        }
}
