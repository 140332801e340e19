/* pipeline/numerics: vector exp and log, the exponential family, background fits without noise, their refusals, flags,
 * covariances. What noise does to them is in test_montecarlo.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pipeline/data/flags.h"
#include "pipeline/numerics/background_fit.h"
#include "pipeline/numerics/exp_family.h"
#include "pipeline/numerics/vmath.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define NCH 600

static void near(double got, double want, double tolerance, const char *what)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%s: %.15g is not %.15g (tolerance %g)", what, got, want, tolerance);
}

static uint64_t seed = 88172645463325252u;
static double uniform(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (double)(seed >> 11) * 0x1p-53;
}

/* ---- exp and log ---- */

static double ulps(double got, long double want)
{
    double w = (double)want, ulp = nextafter(fabs(w), INFINITY) - fabs(w);
    return (double)(fabsl((long double)got - want) / (long double)ulp);
}

static void vector_accuracy(void **state)
{
    (void)state;
    enum { N = 20000 };
    double *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y);
    double worst_exp = 0, worst_log = 0;
    for (int pass = 0; pass < 4; pass++) {
        static const double spread[] = { 1400, 40, 1, 1e-6 };
        for (size_t i = 0; i < N; i++) x[i] = (uniform() - 0.5) * spread[pass];
        ep_vexp(y, x, N);
        for (size_t i = 0; i < N; i++) worst_exp = fmax(worst_exp, ulps(y[i], expl((long double)x[i])));
        ep_vlog(x, y, N);
        for (size_t i = 0; i < N; i++) worst_log = fmax(worst_log, ulps(x[i], logl((long double)y[i])));
    }
    if (!(worst_exp < 1.5 && worst_log < 1)) fail_msg("exp is off by %g ulp, log by %g", worst_exp, worst_log);
    free(x);
    free(y);
}

static void vector_special_values(void **state)
{
    (void)state;
    const double x[] = { 0, -0.0, INFINITY, -INFINITY, NAN, 709.7, 709.9, -745.1, -745.2, 1e-310, 5e-324, -1, 1, -1e308 };
    double e[COUNT(x)], l[COUNT(x)];
    ep_vexp(e, x, COUNT(x));
    ep_vlog(l, x, COUNT(x));
    for (size_t i = 0; i < COUNT(x); i++) {
        double we = exp(x[i]), wl = log(x[i]);
        if (isnan(we) ? !isnan(e[i]) : !(e[i] == we || fabs(e[i] / we - 1) < 1e-15)) fail_msg("exp(%g) = %g", x[i], e[i]);
        if (isnan(wl) ? !isnan(l[i]) : !(l[i] == wl || fabs(l[i] / wl - 1) < 1e-15)) fail_msg("log(%g) = %g", x[i], l[i]);
    }
}

/* The same bits at any length and place, and one by one. */
static void vector_bits(void **state)
{
    (void)state;
    enum { N = 67 };
    double x[N], e[N], l[N], out[N + 16];
    for (size_t i = 0; i < N; i++) x[i] = uniform() * 30 + 0.01;
    ep_vexp(e, x, N);
    ep_vlog(l, x, N);
    for (size_t n = 0; n <= N; n++)
        for (size_t from = 0; from + n <= N; from += 5) {
            memset(out, 0x55, sizeof out);
            ep_vexp(out + 3, x + from, n);
            assert_memory_equal(out + 3, e + from, n * sizeof *e);
            for (size_t k = 0; k < 8; k++) assert_int_equal(((unsigned char *)(out + 3 + n))[k], 0x55);
            ep_vlog(out, x + from, n);
            assert_memory_equal(out, l + from, n * sizeof *l);
        }
    for (size_t i = 0; i < N; i++) {
        assert_true(ep_exp1(x[i]) == e[i]);
        assert_true(ep_log1(x[i]) == l[i]);
    }
}

/* ---- the exponential family ---- */

static void family_table_is_exact(void **state)
{
    (void)state;
    /* a narrow window, a wide one, two windows, a long axis; spacing as ln E */
    const double cases[][5] = {
        { 480, 525, 0, 0, 0.25 }, { 50, 100, 0, 0, 0.5 }, { 400, 440, 600, 700, 0.5 }, { 100, 3000, 0, 0, 1 },
        { 50, 52, 0, 0, 0.7 },    { 500, 501, 900, 950, 1 }
    };
    for (size_t c = 0; c < COUNT(cases); c++) {
        static double x[4000];
        size_t n = 0;
        double ref = sqrt(cases[c][0] * cases[c][1]);
        for (int w = 0; w < 2; w++)
            for (double e = cases[c][2 * w]; e < cases[c][2 * w + 1]; e += cases[c][4]) x[n++] = log(e / ref);
        struct ep_pieces t;
        double lo = -10, hi = 20, worst[4] = { 0 };
        assert_true(ep_family_table(&t, lo, hi, ep_pieces_count(lo, hi, x[n - 1] - x[0]), x, n));
        for (int i = 0; i < 2000; i++) {
            double r = lo + (hi - lo) * (i == 0 ? 0.000001 : i == 1 ? 0.999999 : uniform());
            struct ep_family_at d = ep_family_direct(x, n, r), s, q;
            assert_int_equal(ep_family_solve(&t, d.mean, &s), 0);
            assert_int_equal(ep_family_search(x, n, lo, hi, d.mean, 3, &q), 0);
            /* r follows from the mean to rounding of the mean: 1e-16 (x range)/V */
            double least = 1e-15 / d.var;
            worst[0] = fmax(worst[0], fabs(s.r - r) / (1 + fabs(r) + least / 1e-13));
            worst[1] = fmax(worst[1], fabs(s.k - ep_family_direct(x, n, s.r).k) / (1 + fabs(s.k)));
            worst[2] = fmax(worst[2], fabs(s.var / d.var - 1) / (1 + least / 1e-12));
            worst[3] = fmax(worst[3], fabs(q.r - r) / (1 + fabs(r) + least / 1e-13));
        }
        if (worst[0] > 1e-12 || worst[1] > 1e-13 || worst[2] > 1e-10 || worst[3] > 1e-12)
            fail_msg("case %zu (%zu pieces, %u steps): r %g, K %g, V %g; search r %g", c, t.n, t.newton, worst[0], worst[1],
                     worst[2], worst[3]);
        struct ep_family_at s;
        assert_int_equal(ep_family_solve(&t, x[0] - 1, &s), 1);
        near(s.r, hi, 0, "upper end");
        assert_int_equal(ep_family_solve(&t, x[n - 1] + 1, &s), -1);
        near(s.r, lo, 0, "lower end");
        assert_int_equal(ep_family_search(x, n, lo, hi, x[0] - 1, 3, &s), 1);
        near(s.r, hi, 0, "upper end");
        assert_int_equal(ep_family_search(x, n, lo, hi, x[n - 1] + 1, 3, &s), -1);
        near(s.r, lo, 0, "lower end");
        ep_pieces_free(&t);
    }
}

/* ---- fits ---- */

static struct ep_model power_law(enum ep_model_method method)
{
    struct ep_model m = { .form = EP_MODEL_POWER, .method = method, .nwindow = 1, .window = { { 480, 525 } }, .own_weight = 1,
                          .gain = 1, .bin = 1, .axis = { "Energy loss", "eV", 450, 0.25, NCH } };
    return m;
}

static void on_axis(const struct ep_model *m, double amplitude, double r, double shift, double *y)
{
    for (size_t i = 0; i < m->axis.size; i++) {
        double e = ep_axis_at(&m->axis, (double)i) + shift;
        y[i] = m->form == EP_MODEL_EXPONENTIAL ? amplitude * exp(-r * (e - 502) / 502) : amplitude * pow(e / 502, -r);
    }
}

static void to_float(const double *y, float *f)
{
    for (size_t i = 0; i < NCH; i++) f[i] = (float)y[i];
}

static struct ep_fit *plan(struct ep_model *m)
{
    struct ep_err e = { 0 };
    struct ep_fit *f;
    if (ep_fit_new(m, -20, 30, &f, &e) != EP_OK) fail_msg("%s", e.msg);
    return f;
}

static struct ep_fit_result run(const struct ep_fit *f, const float *y, double shift)
{
    struct ep_fit_result r;
    void *scratch = malloc(ep_fit_scratch(f));
    ep_fit_spectrum(f, y, 0, NCH, shift, &r, scratch);
    free(scratch);
    return r;
}

/* Counts that floats hold exactly would be needed for 1e-9: the rounding of a float is 3e-8 per channel, and averages out. */
static void recovers(void **state)
{
    (void)state;
    static const struct { enum ep_model_form form; enum ep_model_method method; size_t nwindow; double tolerance; } cases[] = {
        { EP_MODEL_POWER, EP_FIT_ML, 1, 3e-7 },       { EP_MODEL_POWER, EP_FIT_ML, 2, 3e-7 },
        { EP_MODEL_POWER, EP_FIT_LOG_LS, 1, 3e-7 },   { EP_MODEL_POWER, EP_FIT_LOG_LS, 2, 3e-7 },
        { EP_MODEL_POWER, EP_FIT_TWO_AREA, 1, 0.01 }, { EP_MODEL_EXPONENTIAL, EP_FIT_ML, 1, 3e-7 },
        { EP_MODEL_EXPONENTIAL, EP_FIT_ML, 2, 3e-7 }, { EP_MODEL_EXPONENTIAL, EP_FIT_LOG_LS, 1, 3e-7 },
    };
    static const double exponents[] = { -3, 0, 1, 2.9999, 3, 5.5, 12 }, shifts[] = { 0, 0.1, -0.37, 3 };
    for (size_t c = 0; c < COUNT(cases); c++)
        for (int down = 0; down < 2; down++)
            for (size_t s = 0; s < COUNT(shifts); s++)
                for (size_t k = 0; k < COUNT(exponents); k++) {
                    struct ep_model m = power_law(cases[c].method);
                    double y[NCH];
                    float yf[NCH];
                    m.form = cases[c].form;
                    m.nwindow = cases[c].nwindow;
                    m.window[1][0] = 560;
                    m.window[1][1] = 575;
                    if (down) m.axis.offset = 450 + 0.25 * (NCH - 1), m.axis.scale = -0.25;
                    struct ep_fit *f = plan(&m);
                    on_axis(&m, 1000, exponents[k], shifts[s], y);
                    to_float(y, yf);
                    struct ep_fit_result r = run(f, yf, shifts[s]);
                    assert_int_equal(r.flag, 0);
                    /* the decay of an exponential is per e_ref */
                    double want = m.form == EP_MODEL_EXPONENTIAL ? exponents[k] * m.e_ref / 502 : exponents[k];
                    double level = m.form == EP_MODEL_EXPONENTIAL ? 1000 * exp(-exponents[k] * (m.e_ref - 502) / 502)
                                                                  : 1000 * pow(m.e_ref / 502, -exponents[k]);
                    near(r.theta[1], want, cases[c].tolerance * (1 + fabs(want)), "exponent");
                    near(exp(r.theta[0]) / level, 1, cases[c].tolerance, "level");
                    double back[NCH];
                    ep_model_background(&m, r.theta, shifts[s], (struct ep_range){ 0, NCH }, back);
                    if (cases[c].method != EP_FIT_TWO_AREA)
                        for (size_t i = 0; i < NCH; i += 7) near(back[i] / y[i], 1, 1e-6, "background");
                    ep_fit_free(f);
                }
}

/* Counts that a float holds exactly, and a start far away: 1e-9 and better, both ways of fitting the same. */
static void recovers_exactly(void **state)
{
    (void)state;
    struct ep_model m = power_law(EP_FIT_ML);
    struct ep_fit *f = plan(&m);
    float y[NCH];
    double s0 = 0, s1 = 0;
    for (size_t i = 0; i < NCH; i++) y[i] = (float)(1000 + (i * 37) % 101);
    struct ep_range ch = ep_fit_channels(f);
    assert_int_equal(ch.first, 120);
    assert_int_equal(ch.end, 300);
    struct ep_fit_result r = run(f, y, 0), shifted = run(f, y, 1e-12);
    double b[NCH];
    ep_model_background(&m, r.theta, 0, (struct ep_range){ 0, NCH }, b);
    for (size_t i = ch.first; i < ch.end; i++) {             /* the score equations */
        s0 += (double)y[i] - b[i];
        s1 += ((double)y[i] - b[i]) * log(ep_axis_at(&m.axis, (double)i) / m.e_ref);
    }
    near(s0, 0, 1e-7, "sum of residuals");
    near(s1, 0, 1e-8, "slope of residuals");
    near(shifted.theta[1], r.theta[1], 1e-9, "exponent of the other way");
    near(shifted.theta[0], r.theta[0], 1e-12, "level of the other way");
    near(shifted.cmat[2] / r.cmat[2], 1, 1e-9, "covariance of the other way");
    near(shifted.chi2 / r.chi2, 1, 1e-9, "chi-square of the other way");
    ep_fit_free(f);
}

/* HyperSpy 1.7.3's formula typed in again, for its own order of operations: PowerLaw.estimate_parameters. */
static void two_area_is_the_peer(void **state)
{
    (void)state;
    static const double windows[][2] = { { 480, 525 }, { 480.1, 524.9 }, { 480.125, 500.125 }, { 490, 491 }, { 470, 599.75 } };
    for (size_t w = 0; w < COUNT(windows); w++) {
        struct ep_model m = power_law(EP_FIT_TWO_AREA);
        memcpy(m.window[0], windows[w], sizeof m.window[0]);
        struct ep_fit *f = plan(&m);
        float y[NCH];
        for (size_t i = 0; i < NCH; i++) y[i] = (float)floor(1e5 * pow(1 + (double)i / 1800, -3) + 300 * uniform());
        struct ep_fit_result r = run(f, y, 0);
        size_t i1 = (size_t)ceil((windows[w][0] - 450) / 0.25 - 0.5), i2 = (size_t)ceil((windows[w][1] - 450) / 0.25 - 0.5);
        if ((i1 + i2) % 2) i2--;
        size_t i3 = (i1 + i2) / 2;
        double a1 = 0, a2 = 0, x1 = 450 + 0.25 * (double)i1, x2 = 450 + 0.25 * (double)i2, x3 = 450 + 0.25 * (double)i3;
        for (size_t i = i1; i < i3; i++) a1 += (double)y[i];
        for (size_t i = i3; i < i2; i++) a2 += (double)y[i];
        double ex = 2 * (log(a1) - log(a2)) / (log(x2) - log(x1)), k = 1 - ex;
        double a = k * a2 / (pow(x2, k) - pow(x3, k));
        struct ep_range ch = ep_fit_channels(f);
        assert_int_equal(ch.first, i1);
        assert_int_equal(ch.end, i2);
        double b[NCH];
        ep_model_background(&m, r.theta, 0, (struct ep_range){ 0, NCH }, b);
        near(r.theta[1], ex, 1e-10, "exponent");
        for (size_t i = 0; i < NCH; i += 11) {
            double e = 450 + 0.25 * (double)i;
            near(b[i] / (0.25 * a * pow(e, -ex)), 1, 1e-10, "background");
        }
        ep_fit_free(f);
    }
}

/* Where the peer's quotient is 0/0: r = 1. */
static void two_area_at_one(void **state)
{
    (void)state;
    struct ep_model m = power_law(EP_FIT_TWO_AREA);
    struct ep_fit *f = plan(&m);
    double y[NCH], b[NCH], sum = 0, back = 0;
    float yf[NCH];
    on_axis(&m, 1000, 1, 0, y);
    to_float(y, yf);
    struct ep_fit_result r = run(f, yf, 0);
    near(r.theta[1], 1, 3e-3, "exponent");
    ep_model_background(&m, r.theta, 0, (struct ep_range){ 0, NCH }, b);
    for (size_t i = 120; i < 300; i++) sum += y[i], back += b[i];
    near(back / sum, 1, 1e-3, "background");
    ep_fit_free(f);
}

static struct ep_model two_powers(void)
{
    struct ep_model m = power_law(EP_FIT_WLS);
    m.form = EP_MODEL_TWO_POWERS;
    m.r[0] = 2;
    m.r[1] = 4;
    m.mean_theta[0] = 700;
    m.mean_theta[1] = 300;
    return m;
}

static void recovers_two_powers(void **state)
{
    (void)state;
    static const double shifts[] = { 0, 0.3 };
    for (size_t s = 0; s < COUNT(shifts); s++)
        for (int k = 0; k < 3; k++) {
            static const double amplitude[][2] = { { 600, 400 }, { 1500, -500 }, { -200, 1200 } };
            struct ep_model m = two_powers();
            if (k == 2) m.mean_theta[0] = m.mean_theta[1] = 0;      /* equal weights */
            struct ep_fit *f = plan(&m);
            double a[NCH], b[NCH];
            float y[NCH];
            for (size_t i = 0; i < NCH; i++) {
                double e = (450 + 0.25 * (double)i + shifts[s]) / m.e_ref;
                a[i] = amplitude[k][0] * pow(e, -2) + amplitude[k][1] * pow(e, -4);
                y[i] = (float)a[i];
            }
            struct ep_fit_result r = run(f, y, shifts[s]);
            assert_int_equal(r.flag, 0);
            near(r.theta[0], amplitude[k][0], 1e-3, "first amplitude");
            near(r.theta[1], amplitude[k][1], 1e-3, "second amplitude");
            ep_model_background(&m, r.theta, shifts[s], (struct ep_range){ 0, NCH }, b);
            for (size_t i = 100; i < NCH; i += 13) near(b[i] / a[i], 1, 1e-6, "background");
            ep_fit_free(f);
        }
}

static void averaged_shape_and_own_amplitude(void **state)
{
    (void)state;
    struct ep_model m = power_law(EP_FIT_ML_AVERAGED);
    struct ep_fit *f = plan(&m);
    double y[NCH], s[2], own[2];
    float big[NCH], small[NCH];
    on_axis(&m, 1000, 3, 0, y);
    to_float(y, big);
    on_axis(&m, 10, 3.5, 0, y);
    to_float(y, small);
    void *scratch = malloc(ep_fit_scratch(f));
    struct ep_fit_result r;
    assert_int_equal(ep_fit_sums(f, big, 0, NCH, 0, s, scratch), 0);
    assert_int_equal(ep_fit_sums(f, small, 0, NCH, 0, own, scratch), 0);
    ep_fit_from_sums(f, small, 0, NCH, 0, s, s[0] / 9, own[0], 1.0 / 9, &r, scratch);
    assert_int_equal(r.flag, 0);
    near(r.theta[1], 3, 1e-6, "shape");
    double b[NCH], sum = 0;
    ep_model_background(&m, r.theta, 0, (struct ep_range){ 0, NCH }, b);
    for (size_t i = 120; i < 300; i++) sum += b[i];
    near(sum / own[0], 1, 1e-12, "amplitude");
    s[0] = -1;
    ep_fit_from_sums(f, small, 0, NCH, 0, s, 1, own[0], 1.0 / 9, &r, scratch);
    assert_int_equal(r.flag, EP_FLAG_NO_COUNTS);
    free(scratch);
    ep_fit_free(f);
}

/* ---- what is refused ---- */

static void refusals(void **state)
{
    (void)state;
    struct { struct ep_model m; const char *says; } cases[16];
    size_t n = 0;
#define CASE(change, text)                        \
    do {                                          \
        struct ep_model m = power_law(EP_FIT_ML); \
        change;                                   \
        cases[n].m = m;                           \
        cases[n++].says = text;                   \
    } while (0)
    CASE(m.method = EP_FIT_TWO_AREA; m.nwindow = 2; m.window[1][0] = 530; m.window[1][1] = 540, "takes one fit window");
    CASE(m.method = EP_FIT_TWO_AREA; m.form = EP_MODEL_EXPONENTIAL, "knows the power law only");
    CASE(m.method = EP_FIT_WLS, "weighted least squares");
    CASE(m.form = EP_MODEL_TWO_POWERS, "weighted least squares");
    CASE(m.window[0][1] = 480.6; m.window[0][0] = 480, "");
    CASE(m.window[0][1] = 480.4; m.window[0][0] = 480, "hold 2 channels; the fit needs 3");
    CASE(m.method = EP_FIT_TWO_AREA; m.window[0][0] = 480; m.window[0][1] = 480.5, "the fit needs 4");
    CASE(m.window[0][0] = 440, "reaches beyond the axis, which runs from 450 to 599.75 eV");
    CASE(m.window[0][0] = 590; m.window[0][1] = 601, "reaches beyond the axis");
    CASE(m.window[0][0] = 526, "is empty");
    CASE(m.window[0][0] = -5; m.axis.offset = -50, "must start above 0 eV");
    CASE(m.nwindow = 2; m.window[1][0] = 520; m.window[1][1] = 540, "overlap");
    CASE(m.nwindow = 3, "one or two windows");
    CASE(m.gain = 0, "gain must be positive");
    CASE(m.window[0][0] = 480.05; m.window[0][1] = 480.15, "holds no channel");
    CASE(m = two_powers(); m.mean_theta[0] = -1000, "is not positive");
#undef CASE
    for (size_t i = 0; i < n; i++) {
        struct ep_err e = { 0 };
        struct ep_fit *f;
        ep_status st = ep_fit_new(&cases[i].m, -20, 30, &f, &e);
        if (!*cases[i].says) assert_int_equal(st, EP_OK);
        else if (st == EP_OK || f || !strstr(e.msg, cases[i].says)) fail_msg("case %zu: not \"%s\" but \"%s\"", i, cases[i].says, e.msg);
        ep_fit_free(f);
    }
    struct ep_err e = { 0 };
    struct ep_fit *f;
    struct ep_model m = power_law(EP_FIT_ML);
    assert_int_equal(ep_fit_new(&m, 5, 5, &f, &e), EP_E_RECIPE);
    e = (struct ep_err){ 0 };
    assert_int_equal(ep_fit_new(&m, 1e5, 1e6, &f, &e), EP_E_RECIPE);
    assert_non_null(strstr(e.msg, "can't hold an exponent"));
    e = (struct ep_err){ 0 };
    assert_int_equal(ep_fit_new(&m, -1e6, 1e6, &f, &e), EP_OK);      /* as good as no bounds */
    double y[NCH];
    float yf[NCH];
    on_axis(&m, 1000, 3, 0, y);
    to_float(y, yf);
    near(run(f, yf, 0).theta[1], 3, 1e-6, "exponent without bounds");
    ep_fit_free(f);
}

/* Exponents beyond the tables of the plan: found by direct sums, continuous with the tables. */
static void far_exponents(void **state)
{
    (void)state;
    static const double exponents[] = { -300, -60, -20.0001, -19.9999, 29.9999, 30.0001, 60, 300 };
    static const enum ep_model_method methods[] = { EP_FIT_ML, EP_FIT_TWO_AREA, EP_FIT_LOG_LS };
    for (size_t k = 0; k < COUNT(methods); k++) {
        struct ep_model m = power_law(methods[k]);
        struct ep_fit *f;
        struct ep_err e = { 0 };
        assert_int_equal(ep_fit_new(&m, -350, 350, &f, &e), EP_OK);
        for (size_t i = 0; i < COUNT(exponents); i++) {
            double y[NCH], chi = 0, b[NCH];
            float yf[NCH];
            on_axis(&m, 1000, exponents[i], 0, y);
            to_float(y, yf);
            struct ep_fit_result r = run(f, yf, 0), s = run(f, yf, 1e-10);
            assert_int_equal(r.flag, 0);
            if (methods[k] != EP_FIT_TWO_AREA) near(r.theta[1], exponents[i], 1e-6 * (1 + fabs(exponents[i])), "exponent");
            near(s.theta[1], r.theta[1], 1e-7, "exponent of a shifted axis");
            near(s.theta[0], r.theta[0], 1e-7, "level of a shifted axis");
            ep_model_background(&m, r.theta, 0, (struct ep_range){ 0, NCH }, b);
            for (size_t q = 120; q < 300; q++) chi += ((double)yf[q] - b[q]) * ((double)yf[q] - b[q]) / b[q];
            near(r.chi2, chi / 178, 1e-6, "chi-square");
        }
        ep_fit_free(f);
    }
}

/* ---- bad spectra ---- */

static void bad_spectra(void **state)
{
    (void)state;
    static const enum ep_model_method methods[] = { EP_FIT_ML, EP_FIT_TWO_AREA, EP_FIT_LOG_LS, EP_FIT_WLS };
    for (size_t k = 0; k < COUNT(methods); k++) {
        struct ep_model m = methods[k] == EP_FIT_WLS ? two_powers() : power_law(methods[k]);
        struct ep_fit *f = plan(&m);
        double y[NCH];
        float good[NCH], bad[NCH];
        on_axis(&m, 1000, 3, 0, y);
        to_float(y, good);
        for (int shifted = 0; shifted < 2; shifted++) {
            double shift = shifted ? 0.3 : 0;
            struct ep_fit_result r = run(f, good, shift);
            assert_int_equal(r.flag, 0);
            for (size_t at = 0; at < NCH; at++) {                /* NaN and inf matter on fit channels only */
                memcpy(bad, good, sizeof bad);
                bad[at] = at % 3 == 0 ? NAN : at % 3 == 1 ? INFINITY : -INFINITY;
                size_t first = shifted ? 119 : 120, end = shifted ? 299 : 300;
                if (methods[k] == EP_FIT_TWO_AREA && (at < first + 2 || at >= end - 2)) continue;  /* its own rounding of ends */
                uint32_t want = at >= first && at < end ? (uint32_t)EP_FLAG_NOT_FINITE : 0;
                struct ep_fit_result b = run(f, bad, shift);
                if (b.flag != want && !(at == 0 || at == NCH - 1))
                    fail_msg("method %zu, shift %g, channel %zu: flag %u", k, shift, at, b.flag);
                if (want) assert_true(isnan(b.theta[0]) && isnan(b.cmat[1]) && isnan(b.chi2));
                else assert_memory_equal(&b, &r, offsetof(struct ep_fit_result, flag));
            }
            memset(bad, 0, sizeof bad);
            assert_int_equal(run(f, bad, shift).flag, EP_FLAG_NO_COUNTS);
            for (size_t i = 0; i < NCH; i++) bad[i] = -good[i];
            assert_int_equal(run(f, bad, shift).flag, EP_FLAG_NO_COUNTS);
        }
        /* the axis ends */
        assert_int_equal(run(f, good, 31).flag, EP_FLAG_OFF_AXIS);
        assert_int_equal(run(f, good, -76).flag, EP_FLAG_OFF_AXIS);
        assert_int_equal(run(f, good, NAN).flag, EP_FLAG_OFF_AXIS);
        assert_int_equal(run(f, good, 29).flag, 0);
        /* a part of the spectrum */
        struct ep_fit_result whole = run(f, good, 0), part;
        void *scratch = malloc(ep_fit_scratch(f));
        struct ep_range ch = ep_fit_channels(f);
        ep_fit_spectrum(f, good + ch.first, ch.first, ch.end - ch.first, 0, &part, scratch);
        assert_memory_equal(&whole, &part, offsetof(struct ep_fit_result, flag));
        ep_fit_spectrum(f, good + ch.first, ch.first, ch.end - ch.first - 1, 0, &part, scratch);
        assert_int_equal(part.flag, EP_FLAG_OFF_AXIS);
        ep_fit_spectrum(f, good + ch.first + 1, ch.first + 1, ch.end - ch.first - 1, 0, &part, scratch);
        assert_int_equal(part.flag, EP_FLAG_OFF_AXIS);
        free(scratch);
        ep_fit_free(f);
    }
}

static void bounds_hold(void **state)
{
    (void)state;
    static const enum ep_model_method methods[] = { EP_FIT_ML, EP_FIT_TWO_AREA, EP_FIT_LOG_LS };
    for (size_t k = 0; k < COUNT(methods); k++)
        for (int shifted = 0; shifted < 2; shifted++) {
            struct ep_model m = power_law(methods[k]);
            struct ep_fit *f;
            struct ep_err e = { 0 };
            double y[NCH], b[NCH], sum = 0, back = 0;
            float yf[NCH];
            assert_int_equal(ep_fit_new(&m, 1, 4, &f, &e), EP_OK);
            for (int high = 0; high < 2; high++) {
                on_axis(&m, 1000, high ? 5 : 0, 0, y);
                to_float(y, yf);
                struct ep_fit_result r = run(f, yf, shifted ? 1e-9 : 0);
                assert_int_equal(r.flag, EP_FLAG_AT_BOUND);
                near(r.theta[1], high ? 4 : 1, 0, "exponent at its bound");
                ep_model_background(&m, r.theta, 0, (struct ep_range){ 0, NCH }, b);
                for (size_t i = 120; i < 300; i++) sum += y[i], back += b[i];
                near(back / sum, 1, 0.06, "level at the bound");
                assert_true(r.chi2 > 0.01);
            }
            ep_fit_free(f);
        }
}

/* Negative channels are data while the window's sum is positive. */
static void dark_subtracted(void **state)
{
    (void)state;
    struct ep_model m = power_law(EP_FIT_ML);
    m.read_noise = 2;
    struct ep_fit *f = plan(&m);
    float y[NCH];
    for (size_t i = 0; i < NCH; i++) y[i] = i % 2 ? -1.5f : 2.5f;
    struct ep_fit_result r = run(f, y, 0);
    assert_int_equal(r.flag, 0);
    near(exp(r.theta[0]), 0.5, 0.02, "level");
    near(r.chi2, 4 / 4.5, 0.02, "chi-square");
    ep_fit_free(f);
    m = power_law(EP_FIT_TWO_AREA);
    f = plan(&m);
    for (size_t i = 0; i < NCH; i++) y[i] = i < 210 ? 2 : -1;
    assert_int_equal(run(f, y, 0).flag, EP_FLAG_FIT_FAILED);
    ep_fit_free(f);
    m = power_law(EP_FIT_LOG_LS);
    f = plan(&m);
    for (size_t i = 0; i < NCH; i++) y[i] = i == 150 || i == 250 ? 3 : 0;
    assert_int_equal(run(f, y, 0).flag, EP_FLAG_FIT_FAILED);
    y[200] = 3;
    assert_int_equal(run(f, y, 0).flag, 0);
    ep_fit_free(f);
}

static void chi_square(void **state)
{
    (void)state;
    static const double noises[] = { 0, 3 };
    for (size_t k = 0; k < 2; k++)
        for (int shifted = 0; shifted < 2; shifted++) {
            struct ep_model m = power_law(EP_FIT_ML);
            m.gain = 2.5;
            m.read_noise = noises[k];
            struct ep_fit *f = plan(&m);
            double y[NCH], b[NCH], chi = 0;
            float yf[NCH];
            on_axis(&m, 1000, 3, 0, y);
            for (size_t i = 0; i < NCH; i++) y[i] += 60 * (uniform() - 0.5);
            to_float(y, yf);
            struct ep_fit_result r = run(f, yf, shifted ? 1e-9 : 0);
            ep_model_background(&m, r.theta, 0, (struct ep_range){ 0, NCH }, b);
            for (size_t i = 120; i < 300; i++)
                chi += ((double)yf[i] - b[i]) * ((double)yf[i] - b[i]) / (2.5 * b[i] + noises[k] * noises[k]);
            near(r.chi2 / (chi / 178), 1, 1e-8, "chi-square");
            ep_fit_free(f);
        }
}

/* ---- covariances: L by differences of the estimator, C = L diag(v) L' ---- */

static void covariances(void **state)
{
    (void)state;
    static const struct { enum ep_model_form form; enum ep_model_method method; size_t nwindow; double noise, shift; } cases[] = {
        { EP_MODEL_POWER, EP_FIT_ML, 1, 0, 0 },          { EP_MODEL_POWER, EP_FIT_ML, 1, 20, 0 },
        { EP_MODEL_POWER, EP_FIT_ML, 2, 20, 0.3 },       { EP_MODEL_EXPONENTIAL, EP_FIT_ML, 2, 20, 0 },
        { EP_MODEL_EXPONENTIAL, EP_FIT_ML, 1, 0, 0.3 },  { EP_MODEL_POWER, EP_FIT_TWO_AREA, 1, 0, 0 },
        { EP_MODEL_POWER, EP_FIT_TWO_AREA, 1, 20, 0.3 }, { EP_MODEL_POWER, EP_FIT_LOG_LS, 1, 0, 0 },
        { EP_MODEL_POWER, EP_FIT_LOG_LS, 2, 20, 0.3 },   { EP_MODEL_TWO_POWERS, EP_FIT_WLS, 1, 0, 0 },
        { EP_MODEL_TWO_POWERS, EP_FIT_WLS, 2, 20, 0 },   { EP_MODEL_TWO_POWERS, EP_FIT_WLS, 1, 20, 0.3 },
    };
    for (size_t c = 0; c < COUNT(cases); c++) {
        struct ep_model m = cases[c].method == EP_FIT_WLS ? two_powers() : power_law(cases[c].method);
        m.form = cases[c].form;
        m.nwindow = cases[c].nwindow;
        m.window[0][0] = 500;
        m.window[1][0] = 560;
        m.window[1][1] = 565;
        m.gain = 1.5;
        m.read_noise = cases[c].noise;
        struct ep_fit *f = plan(&m);
        double y[NCH], b[NCH], got[3] = { 0 };
        float yf[NCH];
        on_axis(&m, 1e4, 3, cases[c].shift, y);
        to_float(y, yf);
        struct ep_fit_result r = run(f, yf, cases[c].shift);
        ep_model_background(&m, r.theta, cases[c].shift, (struct ep_range){ 0, NCH }, b);
        for (size_t i = 0; i < NCH; i++) {
            float h = 64, keep = yf[i];
            yf[i] = keep + h;
            struct ep_fit_result up = run(f, yf, cases[c].shift);
            yf[i] = keep - h;
            struct ep_fit_result low = run(f, yf, cases[c].shift);
            yf[i] = keep;
            double v = 1.5 * b[i] + cases[c].noise * cases[c].noise;
            double l0 = (up.theta[0] - low.theta[0]) / 128, l1 = (up.theta[1] - low.theta[1]) / 128;
            got[0] += v * l0 * l0;
            got[1] += v * l0 * l1;
            got[2] += v * l1 * l1;
        }
        /* two_area: C is formed with the fitted mean's areas, which its bias sets off from the data's by 0.1 % */
        double tolerance = cases[c].method == EP_FIT_TWO_AREA ? 3e-3 : 5e-4;
        char what[32];
        snprintf(what, sizeof what, "covariance of case %zu", c);
        near(r.cmat[0] / got[0], 1, tolerance, what);
        near(r.cmat[1], got[1], tolerance * sqrt(got[0] * got[2]), what);
        near(r.cmat[2] / got[2], 1, tolerance, what);
        ep_fit_free(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vector_accuracy),       cmocka_unit_test(vector_special_values),
        cmocka_unit_test(vector_bits),           cmocka_unit_test(family_table_is_exact),
        cmocka_unit_test(recovers),              cmocka_unit_test(recovers_exactly),
        cmocka_unit_test(two_area_is_the_peer),  cmocka_unit_test(two_area_at_one),
        cmocka_unit_test(recovers_two_powers),   cmocka_unit_test(averaged_shape_and_own_amplitude),
        cmocka_unit_test(refusals),              cmocka_unit_test(far_exponents),
        cmocka_unit_test(bad_spectra),
        cmocka_unit_test(bounds_hold),           cmocka_unit_test(dark_subtracted),
        cmocka_unit_test(chi_square),            cmocka_unit_test(covariances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
