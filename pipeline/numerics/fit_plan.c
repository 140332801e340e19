#include "pipeline/numerics/fit_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NET_ROWS ((size_t)1 << 17)
#define MAX_ROWS ((size_t)1 << 20)   /* doubles; a few rows are in use at a time */

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
    if (m->method == EP_FIT_ML_AVERAGED && !(m->own_weight > 0))
        return ep_fail(e, EP_E_COMPUTE, "local averaging needs the pixel's own weight (it is %g)", m->own_weight);
    if (two && !(isfinite(m->r[0]) && isfinite(m->r[1]) && m->r[0] != m->r[1]))
        return ep_fail(e, EP_E_RECIPE, "the two fixed exponents %g and %g must differ", m->r[0], m->r[1]);
    return EP_OK;
}

/* Geometric mean of the windows' ends: there the two parameters of a fit hardly correlate. */
static double reference_energy(const struct ep_model *m)
{
    double first = sqrt(m->window[0][0] * m->window[0][1]);
    return m->nwindow == 1 ? first : sqrt(first * sqrt(m->window[1][0] * m->window[1][1]));
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
    *p = aligned_alloc(64, ep_fit_blocks(n ? n : 1) * sizeof **p);
    if (*p) memset(*p, 0, ep_fit_blocks(n ? n : 1) * sizeof **p);
    return *p != NULL;
}

/* ln((e^u - 1)/u) = u/2 + ln(sinh(u/2)/(u/2)), by the series sum (u/2)^2k/(2k+1)! near 0. */
static double log_expm1_over(double u)
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
double ep_two_area_phi(const struct ep_model *m, const struct ep_fit_set *c, double r)
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
    out[2] = ep_two_area_phi(f->m, &f->c, r);
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
        at += ep_fit_blocks(f->c.w[w].end - f->c.w[w].first);
    }
    return true;
}

static void plan_rows(struct ep_fit *f, double lo, double hi, double largest_x)
{
    size_t len = 0;
    for (size_t w = 0; w < f->c.nw; w++) len += ep_fit_blocks(f->c.w[w].end - f->c.w[w].first);
    f->row_step = 1 / (32 * largest_x);
    double n = floor((hi - lo) / f->row_step) + 2;
    if (!(n * (double)len <= (double)MAX_ROWS) || !doubles(&f->row, (size_t)n * len)) return;
    f->row_len = len;
    f->row_lo = lo;
    f->row_hi = hi;
    for (size_t k = 0; k < (size_t)n; k++)
        for (size_t i = 0; i < len; i++) f->row[k * len + i] = (lo + (double)k * f->row_step) * f->x[i];
    ep_vexp(f->row, f->row, (size_t)n * len);
}

static ep_status plan_tables(struct ep_fit *f, struct ep_err *e)
{
    const struct ep_model *m = f->m;
    size_t n = f->c.n;
    double *x;
    if (!doubles(&f->flat, n)) return ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (a background fit)", n * sizeof *x);
    x = f->flat;
    size_t at = 0, from = 0;
    for (size_t w = 0; w < f->c.nw; w++) {
        size_t k = f->c.w[w].end - f->c.w[w].first;
        memcpy(x + at, f->x + from, k * sizeof *x);
        ep_fit_moments(f->x + from, k, f->mom);
        at += k;
        from += ep_fit_blocks(k);
    }
    f->start = f->mom[1] / f->mom[0];
    double lowest = x[0], highest = x[0];
    for (size_t i = 0; i < n; i++) {
        lowest = fmin(lowest, x[i]);
        highest = fmax(highest, x[i]);
    }
    /* exp(-r x) has to stay a number: a background that falls by e^500 over the windows is none. */
    double largest = fmax(fabs(lowest), fabs(highest));
    f->lo = fmax(f->lo, -500 / largest);
    f->hi = fmin(f->hi, 500 / largest);
    ep_status st = EP_OK;
    if (!(f->lo < f->hi)) {
        st = ep_fail(e, EP_E_RECIPE, "the fit windows can't hold an exponent of %g or more", 500 / largest);
    } else if (m->method != EP_FIT_LOG_LS) {
        /* Tables where exponents are found; the few beyond are summed directly. The wider the windows, the better r is known. */
        double half = fmin(25, 30 / (highest - lowest));
        double lo = fmin(fmax(f->lo, 5 - half), f->hi), hi = fmax(fmin(f->hi, 5 + half), f->lo);
        if (!(lo < hi)) lo = f->lo, hi = f->hi;
        size_t pieces = ep_pieces_count(lo, hi, highest - lowest);
        bool ok = m->method == EP_FIT_TWO_AREA ? ep_pieces_new(&f->areas, lo, hi, pieces, area_functions, f)
                                               : ep_family_table(&f->family, lo, hi, pieces, x, n);
        if (!ok) st = ep_fail(e, EP_E_COMPUTE, "no memory for a background fit's tables (%zu pieces)", pieces);
        else plan_rows(f, lo, hi, largest);
    }
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
    for (size_t w = 0; w < f->c.nw; w++) f->padded += ep_fit_blocks(f->c.w[w].end - f->c.w[w].first + 2);
    if (!doubles(&f->x, f->padded)) {
        st = ep_fail(e, EP_E_COMPUTE, "no memory for %zu bytes (a background fit)", f->padded * sizeof *f->x);
        goto fail;
    }
    size_t at = 0;
    for (size_t w = 0; w < f->c.nw; w++) {
        size_t n = f->c.w[w].end - f->c.w[w].first;
        ep_model_x(m, 0, f->c.w[w].first, n, f->x + at);
        at += ep_fit_blocks(n);
    }
    if (m->method == EP_FIT_WLS) {
        if (!wls_plan(f)) {
            st = ep_fail(e, EP_E_COMPUTE, "no memory for a background fit of %zu channels", f->c.n);
            goto fail;
        }
        bool weighted = m->mean_theta[0] != 0 || m->mean_theta[1] != 0;
        for (size_t i = 0, o = 0; weighted && i < f->c.nw; o += ep_fit_blocks(f->c.w[i].end - f->c.w[i].first), i++)
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
    free(f->flat);
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

void ep_rows_make(struct ep_rows *t, const double *x, size_t n)
{
    double largest = 1e-9;
    for (size_t i = 0; i < n; i++) largest = fmax(largest, fabs(x[i]));    /* NaN is left out */
    *t = (struct ep_rows){ .lo = 1, .hi = 6, .step = 1 / (8 * largest), .n = n };
    double rows = floor((t->hi - t->lo) / t->step) + 2;
    if (!(rows * (double)n <= (double)MAX_NET_ROWS) || !doubles(&t->x, n)) return;
    if (!doubles(&t->row, (size_t)rows * n)) return;
    for (size_t i = 0; i < n; i++) t->x[i] = isnan(x[i]) ? 0 : x[i];
    for (size_t k = 0; k < (size_t)rows; k++)
        for (size_t i = 0; i < n; i++) t->row[k * n + i] = -(t->lo + (double)k * t->step) * x[i];
    ep_vexp(t->row, t->row, (size_t)rows * n);
    for (size_t i = 0; i < (size_t)rows * n; i++)
        if (isnan(t->row[i])) t->row[i] = 0;
}

void ep_rows_free(struct ep_rows *t)
{
    free(t->x);
    free(t->row);
    t->x = t->row = NULL;
}

/* x in padded windows, x without gaps, logarithms or values of the model. */
size_t ep_fit_scratch(const struct ep_fit *f)
{
    return f->padded * 3 * sizeof(double);
}
