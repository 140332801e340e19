#include "pipeline/numerics/background_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/data/flags.h"
#include "pipeline/data/model_internal.h"
#include "pipeline/numerics/exp_family.h"
#include "pipeline/numerics/vmath.h"

#define MAX_PIECES 20000
#define MAX_ROWS 262144         /* doubles */

struct ep_fit {
    const struct ep_model *m;
    double lo, hi;
    struct ep_fit_set c;        /* at shift 0 */
    size_t padded;                   /* doubles for the channels of any shift: each window in whole blocks */
    double *x;                       /* shift 0, window after window, each padded with zeros to whole blocks */
    double *j[2], *l[2];             /* WLS at shift 0, laid out as x: the columns of J, the rows of L */
    double *v_mean;                  /* WLS: v of the mean spectrum's model */
    double q[3][EP_NCMAT];           /* WLS: C = gain (theta0 q0 + theta1 q1) + read_noise^2 q2 while B > 0 */
    double mom[3];                   /* n, sum x, sum x^2 at shift 0 */
    double start;                    /* ML with a shift: mean of x at shift 0 */
    struct ep_pieces family;          /* ML: K, M, V, 1/M; */
    /* Powers for chi-square: row k holds exp(+r x) at r = lo + k*row_step, laid out as x; rows so close that a polynomial of
     * degree 5 does the rest. NULL where that would take too much memory. */
    double *row, row_step;
    size_t row_len;
    struct ep_pieces areas;           /* two_area: ln of both half sums of exp(-r x), phi, q */
};

static size_t blocks(size_t n)
{
    return (n + EP_LANES - 1) / EP_LANES * EP_LANES;
}

/* ---- kernels; every sum has EP_LANES accumulators, added in one order ---- */

EP_KERNEL ep_vd load_counts(const float *y, size_t left)
{
    if (left >= EP_LANES) return ep_loadf(y);
    float rest[EP_LANES] = { 0 };
    memcpy(rest, y, left * sizeof *y);
    return ep_loadf(rest);
}

/* s[0] += sum y a, s[1] += sum y b over one window. */
EP_CLONES static void dot2(const float *y, size_t n, const double *a, const double *b, double s[2])
{
    ep_vd s0 = { 0 }, s1 = { 0 };
    for (size_t i = 0; i < n; i += EP_LANES) {
        ep_vd v = load_counts(y + i, n - i);
        s0 += v * ep_load(a + i);
        s1 += v * ep_load(b + i);
    }
    s[0] += EP_HSUM(s0);
    s[1] += EP_HSUM(s1);
}

EP_CLONES static double sum1(const float *y, size_t n)
{
    ep_vd s0 = { 0 };
    for (size_t i = 0; i < n; i += EP_LANES) s0 += load_counts(y + i, n - i);
    return EP_HSUM(s0);
}

EP_CLONES static void sums(const float *y, size_t n, const double *x, double s[2])
{
    ep_vd s0 = { 0 }, s1 = { 0 };
    for (size_t i = 0; i < n; i += EP_LANES) {
        ep_vd v = load_counts(y + i, n - i);
        s0 += v;
        s1 += v * ep_load(x + i);
    }
    s[0] += EP_HSUM(s0);
    s[1] += EP_HSUM(s1);
}

/* sum (y - mu)^2/mu + sum (y - mu), mu = exp(t0 - t1 x): as sum y (y/mu - 1), without a division. */
EP_CLONES static double pearson(const float *y, size_t n, const double *x, double t0, double t1)
{
    ep_vd s = { 0 };
    for (size_t i = 0; i < n; i += EP_LANES) {
        ep_vd v = load_counts(y + i, n - i);
        ep_vd e = t1 * ep_load(x + i) - t0;
        ep_exp_kernel(&e);
        s += (v * e - 1.0) * v;
    }
    return EP_HSUM(s);
}

/* The same with 1/mu = a row exp(dr x), |dr x| <= 1/64 (relative error 2e-14). */
EP_CLONES static double pearson_row(const float *y, size_t n, const double *x, const double *row, double dr, double a)
{
    ep_vd s = { 0 };
    for (size_t i = 0; i < n; i += EP_LANES) {
        ep_vd v = load_counts(y + i, n - i), u = dr * ep_load(x + i);
        ep_vd p = u * (1.0 / 120) + 1.0 / 24;
        p = p * u + 1.0 / 6;
        p = p * u + 0.5;
        p = p * u + 1.0;
        p = p * u + 1.0;
        s += ((v * a) * (ep_load(row + i) * p) - 1.0) * v;
    }
    return EP_HSUM(s);
}

/* sum (y - mu)^2/(gain mu + noise) */
EP_CLONES static double pearson_noise(const float *y, size_t n, const double *x, double t0, double t1, double gain, double noise)
{
    ep_vd s = { 0 };
    for (size_t i = 0; i < n; i += EP_LANES) {
        ep_vd mu = t0 - t1 * ep_load(x + i);
        ep_exp_kernel(&mu);
        ep_vd d = load_counts(y + i, n - i) - mu;
        d = d * d / (gain * mu + noise);
        if (n - i < EP_LANES)
            for (size_t k = n - i; k < EP_LANES; k++) d[k] = 0;
        s += d;
    }
    return EP_HSUM(s);
}

/* m += sum 1, x, x^2 over n values, padded with zeros to whole blocks. */
EP_CLONES static void plain_moments(const double *x, size_t n, double m[3])
{
    ep_vd s1 = { 0 }, s2 = { 0 };
    for (size_t i = 0; i < n; i += EP_LANES) {
        ep_vd v = ep_load(x + i);
        s1 += v;
        s2 += v * v;
    }
    m[0] += (double)n;
    m[1] += EP_HSUM(s1);
    m[2] += EP_HSUM(s2);
}

/* ---- plan ---- */

static ep_status check_model(const struct ep_model *m, double lo, double hi, struct ep_err *e)
{
    if (m->nwindow < 1 || m->nwindow > EP_MAX_WINDOWS)
        return ep_fail(e, EP_E_RECIPE, "a background is fitted to one or two windows, not to %zu", m->nwindow);
    for (size_t k = 0; k < m->nwindow; k++) {
        const double *w = m->window[k];
        if (!(isfinite(w[0]) && isfinite(w[1]) && w[0] < w[1]))
            return ep_fail(e, EP_E_RECIPE, "the fit window %g to %g eV is empty: its start must lie below its end", w[0], w[1]);
        if (!(w[0] > 0))
            return ep_fail(e, EP_E_RECIPE, "the fit window %g to %g eV must start above 0 eV", w[0], w[1]);
    }
    bool wls = m->method == EP_FIT_WLS, two = m->form == EP_MODEL_TWO_POWERS;
    if (wls != two)
        return ep_fail(e, EP_E_RECIPE, "two power laws with fixed exponents go with weighted least squares, and only with that");
    if (m->method == EP_FIT_TWO_AREA && m->form != EP_MODEL_POWER)
        return ep_fail(e, EP_E_RECIPE, "the two-area method knows the power law only");
    if (m->method == EP_FIT_TWO_AREA && m->nwindow > 1)
        return ep_fail(e, EP_E_RECIPE, "the two-area method takes one fit window: it halves it; for two windows use method ml");
    if (!(isfinite(m->gain) && m->gain > 0 && isfinite(m->read_noise) && m->read_noise >= 0))
        return ep_fail(e, EP_E_RECIPE, "gain must be positive and read noise not negative (they are %g and %g)", m->gain,
                       m->read_noise);
    if (!wls && !(isfinite(lo) && isfinite(hi) && lo < hi))
        return ep_fail(e, EP_E_RECIPE, "the bounds %g to %g of the exponent are not in order", lo, hi);
    if (two && !(isfinite(m->r[0]) && isfinite(m->r[1]) && m->r[0] != m->r[1]))
        return ep_fail(e, EP_E_RECIPE, "the two fixed exponents %g and %g must differ", m->r[0], m->r[1]);
    return EP_OK;
}

/* Geometric mean of the windows' ends: there the two parameters of a fit hardly correlate. */
static double reference_energy(const struct ep_model *m)
{
    double p[EP_MAX_WINDOWS];
    for (size_t k = 0; k < m->nwindow; k++) p[k] = sqrt(m->window[k][0] * m->window[k][1]);
    return m->nwindow == 1 ? p[0] : sqrt(p[0] * p[1]);
}

static ep_status check_channels(const struct ep_model *m, const struct ep_fit_set *c, struct ep_err *e)
{
    double a = ep_axis_at(&m->axis, 0), b = ep_axis_at(&m->axis, (double)m->axis.size - 1);
    if (c->off_axis)
        return ep_fail(e, EP_E_RECIPE, "a fit window (%g to %g eV%s) reaches beyond the axis, which runs from %g to %g eV",
                       m->window[0][0], m->window[0][1], m->nwindow > 1 ? " and a second" : "", a, b);
    for (size_t k = 0; k < c->nw; k++)
        if (c->w[k].first == c->w[k].end)
            return ep_fail(e, EP_E_RECIPE, "the fit window %g to %g eV holds no channel", m->window[k][0], m->window[k][1]);
    if (c->nw == 2 && c->w[0].first < c->w[1].end && c->w[1].first < c->w[0].end)
        return ep_fail(e, EP_E_RECIPE, "the fit windows %g to %g eV and %g to %g eV overlap", m->window[0][0], m->window[0][1],
                       m->window[1][0], m->window[1][1]);
    size_t least = m->method == EP_FIT_TWO_AREA ? 4 : 3;
    if (c->n < least)
        return ep_fail(e, EP_E_RECIPE, "the fit windows hold %zu channels; the fit needs %zu", c->n, least);
    return EP_OK;
}

/* Doubles at 64-byte boundaries, zeroed. */
static bool doubles(double **p, size_t n)
{
    *p = aligned_alloc(64, blocks(n ? n : 1) * sizeof **p);
    if (*p) memset(*p, 0, blocks(n ? n : 1) * sizeof **p);
    return *p != NULL;
}

/* ln((1 - exp(-v))/v) - like terms are written through sinh(u/2)/(u/2) = sum (u/2)^2k/(2k+1)!, smooth at 0. */
static double log_expm1_over(double u)      /* ln((e^u - 1)/u) */
{
    if (fabs(u) > 1) return u > 0 ? u + ep_log1((1 - ep_exp1(-u)) / u) : ep_log1((ep_exp1(u) - 1) / u);
    double h = u * u / 4, s = 1, term = 1;
    for (int k = 1; k < 10; k++) {
        term *= h / ((2 * k) * (2 * k + 1));
        s += term;
    }
    return u / 2 + ep_log1(s);
}

/* HyperSpy's A from I2: with x in units of e_ref, k = 1-r and B = scale A E^-r, theta0 = ln I2 - phi(r),
 * phi = ln((x2^k - x3^k)/k) - ln(scale/e_ref). It is smooth at r = 1, where HyperSpy's quotient is 0/0. */
static double two_area_phi(const struct ep_model *m, const struct ep_fit_set *c, double r)
{
    double k = 1 - r, span = c->x2 - c->x3;
    double step = fabs(m->axis.scale) * ep_axis_unit_factor(&m->axis) / m->e_ref;
    return k * c->x3 + log_expm1_over(k * span) + ep_log1(fabs(span) / step);
}

static void area_functions(const void *arg, double r, double *out)
{
    const struct ep_fit *f = arg;
    size_t n1 = f->c.mid - f->c.w[0].first, n2 = f->c.w[0].end - f->c.mid;
    out[0] = ep_family_direct(f->x, n1, r).k;
    out[1] = ep_family_direct(f->x + n1, n2, r).k;
    out[2] = two_area_phi(f->m, &f->c, r);
    out[3] = 0;
}

static bool wls_plan(struct ep_fit *f)
{
    const struct ep_model *m = f->m;
    struct ep_model_values v;
    double *all[5] = { 0 };
    for (int k = 0; k < 5; k++)
        if (!doubles(&all[k], f->padded)) {
            for (int q = 0; q < k; q++) free(all[q]);
            return false;
        }
    f->j[0] = all[0];
    f->j[1] = all[1];
    f->l[0] = all[2];
    f->l[1] = all[3];
    f->v_mean = all[4];
    struct ep_lmap l;
    double none[EP_NTHETA] = { 0 };
    if (!ep_lmap_init(m, none, 0, &f->c, &l)) return true;      /* found by the caller: L stays zero */
    size_t at = 0;
    for (size_t w = 0; w < f->c.nw; w++) {
        for (size_t i = f->c.w[w].first, o = at; i < f->c.w[w].end; i++, o++) {
            double row[2];
            ep_model_eval(m, none, 0, i, 1, &v);
            ep_lmap_column(m, &l, i, &v, 0, row);
            for (int k = 0; k < 2; k++) {
                f->j[k][o] = k ? v.j1[0] : v.j0[0];
                f->l[k][o] = row[k];
            }
            f->v_mean[o] = ep_model_fit_variance(m, 0, v.j0[0], v.j1[0]);
            for (int k = 0; k < 3; k++) {
                double s = k == 0 ? v.j0[0] : k == 1 ? v.j1[0] : 1;
                f->q[k][0] += s * row[0] * row[0];
                f->q[k][1] += s * row[0] * row[1];
                f->q[k][2] += s * row[1] * row[1];
            }
        }
        at += blocks(f->c.w[w].end - f->c.w[w].first);
    }
    return true;
}

static void plan_rows(struct ep_fit *f, double largest_x)
{
    size_t len = 0;
    for (size_t w = 0; w < f->c.nw; w++) len += blocks(f->c.w[w].end - f->c.w[w].first);
    f->row_step = 1 / (32 * largest_x);
    double n = floor((f->hi - f->lo) / f->row_step) + 2;
    if (!(n * (double)len <= MAX_ROWS) || !doubles(&f->row, (size_t)n * len)) return;
    f->row_len = len;
    for (size_t k = 0; k < (size_t)n; k++)
        for (size_t i = 0; i < len; i++) f->row[k * len + i] = (f->lo + (double)k * f->row_step) * f->x[i];
    ep_vexp(f->row, f->row, (size_t)n * len);
}

static ep_status plan_tables(struct ep_fit *f, struct ep_err *e)
{
    const struct ep_model *m = f->m;
    size_t n = f->c.n;
    double *x = malloc(n * sizeof *x);              /* without padding */
    if (!x) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (a background fit)", n * sizeof *x);
    size_t at = 0, from = 0;
    for (size_t w = 0; w < f->c.nw; w++) {
        size_t k = f->c.w[w].end - f->c.w[w].first;
        memcpy(x + at, f->x + from, k * sizeof *x);
        plain_moments(f->x + from, k, f->mom);
        at += k;
        from += blocks(k);
    }
    f->start = f->mom[1] / f->mom[0];
    double lowest = x[0], highest = x[0];
    for (size_t i = 0; i < n; i++) {
        lowest = fmin(lowest, x[i]);
        highest = fmax(highest, x[i]);
    }
    ep_status st = EP_OK;
    size_t pieces = ep_pieces_count(f->lo, f->hi, highest - lowest);
    double largest = fmax(fabs(f->lo), fabs(f->hi)) * fmax(fabs(lowest), fabs(highest));
    if (pieces > MAX_PIECES || largest > 500)
        st = ep_fail(e, EP_E_RECIPE, "the bounds %g to %g of the exponent are too wide for these fit windows", f->lo, f->hi);
    else if (!(m->method == EP_FIT_TWO_AREA ? ep_pieces_new(&f->areas, f->lo, f->hi, pieces, area_functions, f)
                                             : ep_family_table(&f->family, f->lo, f->hi, pieces, x, n)))
        st = ep_fail(e, EP_E_COMPUTE, "no memory for a background fit's tables (%zu pieces)", pieces);
    free(x);
    if (st == EP_OK && m->method != EP_FIT_LOG_LS) plan_rows(f, fmax(fabs(lowest), fabs(highest)));
    return st;
}

ep_status ep_fit_new(struct ep_model *m, double lo, double hi, struct ep_fit **out, struct ep_err *e)
{
    *out = NULL;
    ep_status st = check_model(m, lo, hi, e);
    if (st != EP_OK) return st;
    m->e_ref = reference_energy(m);
    struct ep_fit *f = calloc(1, sizeof *f);
    if (!f) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (a background fit)", sizeof *f);
    f->m = m;
    f->lo = lo;
    f->hi = hi;
    ep_model_channels(m, 0, &f->c);
    if (m->method == EP_FIT_TWO_AREA && !f->c.off_axis) ep_model_area_ends(m, 0, &f->c);
    st = check_channels(m, &f->c, e);
    if (st != EP_OK) goto fail;
    for (size_t w = 0; w < f->c.nw; w++) f->padded += blocks(f->c.w[w].end - f->c.w[w].first + 2);
    if (!doubles(&f->x, f->padded)) {
        st = ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (a background fit)", f->padded * sizeof *f->x);
        goto fail;
    }
    size_t at = 0;
    for (size_t w = 0; w < f->c.nw; w++) {
        size_t n = f->c.w[w].end - f->c.w[w].first;
        ep_model_x(m, 0, f->c.w[w].first, n, f->x + at);
        at += blocks(n);
    }
    if (m->method == EP_FIT_WLS) {
        if (!wls_plan(f)) {
            st = ep_fail(e, EP_E_COMPUTE, "no memory for a background fit of %zu channels", f->c.n);
            goto fail;
        }
        bool weighted = m->mean_theta[0] != 0 || m->mean_theta[1] != 0;
        for (size_t i = 0, o = 0; weighted && i < f->c.nw; o += blocks(f->c.w[i].end - f->c.w[i].first), i++)
            for (size_t k = 0; k < f->c.w[i].end - f->c.w[i].first; k++)
                if (!(f->v_mean[o + k] > 0))
                    st = ep_fail(e, EP_E_COMPUTE, "the mean spectrum's background is not positive in the fit window: no weights "
                                 "for the fit of two power laws");
        if (st == EP_OK && f->q[2][0] == 0)
            st = ep_fail(e, EP_E_RECIPE, "the exponents %g and %g can't be told apart on the fit windows", m->r[0], m->r[1]);
    } else {
        st = plan_tables(f, e);
    }
    if (st != EP_OK) goto fail;
    *out = f;
    return EP_OK;
fail:
    ep_fit_free(f);
    return st;
}

void ep_fit_free(struct ep_fit *f)
{
    if (!f) return;
    ep_pieces_free(&f->family);
    ep_pieces_free(&f->areas);
    free(f->x);
    free(f->row);
    for (int k = 0; k < 2; k++) {
        free(f->j[k]);
        free(f->l[k]);
    }
    free(f->v_mean);
    free(f);
}

struct ep_range ep_fit_channels(const struct ep_fit *f)
{
    struct ep_range h = f->c.w[0];
    for (size_t w = 1; w < f->c.nw; w++) {
        if (f->c.w[w].first < h.first) h.first = f->c.w[w].first;
        if (f->c.w[w].end > h.end) h.end = f->c.w[w].end;
    }
    return h;
}

/* Two arrays of doubles (x; logarithms or J) and one of floats, in whole blocks. */
size_t ep_fit_scratch(const struct ep_fit *f)
{
    return f->padded * (3 * sizeof(double) + sizeof(float));
}

/* ---- one spectrum ---- */

/* The fit channels of one spectrum, where the kernels read them: at shift 0 in place, else gathered. */
struct view {
    const struct ep_fit_set *c;
    struct ep_fit_set own;
    size_t nw, len[EP_MAX_WINDOWS];
    const float *y[EP_MAX_WINDOWS];
    const double *x[EP_MAX_WINDOWS];
    const double *mom;
    double own_mom[3];
    double *flat;                 /* shifted: x of all channels without gaps */
    double *spare;                /* f->padded doubles */
};

static bool make_view(const struct ep_fit *f, const float *y, size_t ch0, size_t n, double shift, void *scratch, struct view *v)
{
    v->c = &f->c;
    v->mom = f->mom;
    v->flat = NULL;
    double *room = scratch;
    if (shift != 0) {
        if (!isfinite(shift)) return false;
        ep_model_channels(f->m, shift, &v->own);
        v->c = &v->own;
        if (f->m->method == EP_FIT_TWO_AREA && !v->own.off_axis) ep_model_area_ends(f->m, shift, &v->own);
        if (v->own.off_axis || v->own.n < (f->m->method == EP_FIT_TWO_AREA ? 4u : 3u)) return false;
        v->mom = v->own_mom;
        memset(v->own_mom, 0, sizeof v->own_mom);
        v->flat = room + f->padded;
    }
    v->spare = room + 2 * f->padded;
    v->nw = v->c->nw;
    size_t at = 0, flat = 0;
    for (size_t w = 0; w < v->nw; w++) {
        struct ep_range r = v->c->w[w];
        size_t len = r.end - r.first;
        if (len == 0 || r.first < ch0 || r.end > ch0 + n || at + blocks(len) > f->padded) return false;
        v->len[w] = len;
        v->y[w] = y + (r.first - ch0);
        v->x[w] = f->x + at;
        if (shift != 0) {
            double *x = room + at;
            memset(x, 0, blocks(len) * sizeof *x);
            ep_model_x(f->m, shift, r.first, len, x);
            memcpy(v->flat + flat, x, len * sizeof *x);
            plain_moments(x, len, v->own_mom);
            v->x[w] = x;
        }
        at += blocks(len);
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
    if (!(noise > 0) && f->row && !v->flat) {
        double k = floor((theta[1] - f->lo) / f->row_step + 0.5), dr = theta[1] - (f->lo + k * f->row_step);
        const double *row = f->row + (size_t)k * f->row_len;
        double a = ep_exp1(-theta[0]);
        for (size_t w = 0; w < v->nw; w++) s += pearson_row(v->y[w], v->len[w], v->x[w], row + (v->x[w] - f->x), dr, a);
        s = (s - excess) / gain;
        return (s > 0 ? s : 0) / ((double)v->c->n - 2);
    }
    for (size_t w = 0; w < v->nw; w++)
        s += noise > 0 ? pearson_noise(v->y[w], v->len[w], v->x[w], theta[0], theta[1], gain, noise)
                       : pearson(v->y[w], v->len[w], v->x[w], theta[0], theta[1]);
    if (!(noise > 0)) s = (s - excess) / gain;
    return (s > 0 ? s : 0) / ((double)v->c->n - 2);
}

/* r with mean m on this spectrum's channels. */
static int solve(const struct ep_fit *f, const struct view *v, double m, struct ep_family_at *at)
{
    if (!v->flat) return ep_family_solve(&f->family, m, at);
    ep_family_solve(&f->family, m - v->mom[1] / v->mom[0] + f->start, at);
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
    for (size_t w = 0; w < v->nw; w++) sums(v->y[w], v->len[w], v->x[w], s);
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
    double i1 = sum1(v->y[0], n1), i2 = sum1(v->y[0] + n1, n2);
    if (!isfinite(i1 + i2)) { fail(r, EP_FLAG_NOT_FINITE); return; }
    if (!(i1 + i2 > 0)) { fail(r, EP_FLAG_NO_COUNTS); return; }
    if (!(i1 > 0 && i2 > 0)) { fail(r, EP_FLAG_FIT_FAILED); return; }
    double d = 2 / (c->x2 - c->x1), li2 = ep_log1(i2), ex = d * (ep_log1(i1) - li2), t[EP_PIECE_F];
    r->flag = 0;
    if (ex <= f->lo || ex >= f->hi) {
        r->flag = EP_FLAG_AT_BOUND;
        ex = ex <= f->lo ? f->lo : f->hi;
    }
    if (!v->flat) {
        ep_pieces_eval(&f->areas, ex, t);
    } else {
        t[0] = ep_family_direct(v->x[0], n1, ex).k;
        t[1] = ep_family_direct(v->x[0] + n1, n2, ex).k;
        t[2] = two_area_phi(f->m, c, ex);
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
    for (size_t w = 0; w < v->nw; w++) total += sum1(v->y[w], v->len[w]);
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
    for (size_t w = 0; w < v->nw; w++) total += sum1(v->y[w], v->len[w]);
    if (!isfinite(total)) { fail(r, EP_FLAG_NOT_FINITE); return; }
    if (!(total > 0)) { fail(r, EP_FLAG_NO_COUNTS); return; }
    struct ep_lmap l;
    struct ep_model_values val;
    bool positive = true, shifted = v->flat != NULL;
    size_t at = 0;
    if (shifted && !ep_lmap_init(m, t, shift, v->c, &l)) { fail(r, EP_FLAG_FIT_FAILED); return; }
    for (size_t w = 0; w < v->nw; at += blocks(v->len[w]), w++) {
        if (!shifted) {
            dot2(v->y[w], v->len[w], f->l[0] + at, f->l[1] + at, t);
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
    for (size_t w = 0; w < v->nw; at += blocks(v->len[w]), w++)
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

/* With weights that add up to 1: Var r = sum_k w_k^2 sum_i (x_i-xbar)^2 v_ki/(Vx S0n)^2 = gain s2/(Vx S0n^2) + read noise, where
 * sum w^2 is taken as s2/S0n. ln A = ln S0 - K(r) from the pixel's own sum, which r is uncorrelated with but for the noise. */
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
    double vr = gain * s2 * at.var * u * u + noise * (s2 / s[0]) * spread * u * u;
    double cov = -w0 * noise * (v.mom[1] - v.mom[0] * m) * u / own_s0;
    double vs = (gain * own_s0 + v.mom[0] * noise) / (own_s0 * own_s0);
    r->cmat[0] = vs + 2 * m * cov + m * m * vr;
    r->cmat[1] = cov + m * vr;
    r->cmat[2] = vr;
    r->chi2 = chi_square(f, &v, r->theta, 0);
}
