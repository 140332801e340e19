/* pipeline/data/model: backgrounds and functionals of net spectra against dense matrices. The dense side knows nothing of the
 * formulas: L is the derivative of the estimator taken by differences, the covariance of the net (R - J L) V (R - J L)'. */
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
#include "pipeline/data/model.h"
#include "pipeline/numerics/background_fit.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define NCH 240                     /* native channels, 1 eV from 400 eV */

static void near(double got, double want, double tolerance, const char *what)
{
    if (!(fabs(got - want) <= tolerance)) fail_msg("%s: %.12g is not %.12g (tolerance %g)", what, got, want, tolerance);
}

struct kind {
    const char *name;
    enum ep_model_form form;
    enum ep_model_method method;
    size_t nwindow;
    double noise, shift;
    size_t bin, first;
};
static const struct kind kinds[] = {
    { "ml", EP_MODEL_POWER, EP_FIT_ML, 1, 0, 0, 1, 0 },
    { "ml, read noise", EP_MODEL_POWER, EP_FIT_ML, 1, 25, 0, 1, 0 },
    { "ml, two windows, shifted", EP_MODEL_POWER, EP_FIT_ML, 2, 0, 0.4, 1, 0 },
    { "ml, bins of 3", EP_MODEL_POWER, EP_FIT_ML, 1, 0, 0, 3, 2 },
    { "ml, bins of 70, read noise", EP_MODEL_POWER, EP_FIT_ML, 1, 25, 0, 70, 0 },
    { "ml, two windows, bins of 4, read noise, shifted", EP_MODEL_POWER, EP_FIT_ML, 2, 25, 0.4, 4, 0 },
    { "ml, exponential", EP_MODEL_EXPONENTIAL, EP_FIT_ML, 2, 0, 0, 1, 0 },
    { "two_area", EP_MODEL_POWER, EP_FIT_TWO_AREA, 1, 0, 0, 1, 0 },
    { "two_area, bins of 3, read noise, shifted", EP_MODEL_POWER, EP_FIT_TWO_AREA, 1, 25, 0.4, 3, 1 },
    { "log_ls", EP_MODEL_POWER, EP_FIT_LOG_LS, 1, 25, 0, 1, 0 },
    { "log_ls, two windows, bins of 2", EP_MODEL_POWER, EP_FIT_LOG_LS, 2, 0, 0, 2, 0 },
    { "lcpl", EP_MODEL_TWO_POWERS, EP_FIT_WLS, 1, 0, 0, 1, 0 },
    { "lcpl, two windows, bins of 3, read noise, shifted", EP_MODEL_TWO_POWERS, EP_FIT_WLS, 2, 25, 0.4, 3, 0 },
    { "averaged", EP_MODEL_POWER, EP_FIT_ML_AVERAGED, 1, 0, 0, 1, 0 },
    { "averaged, bins of 3", EP_MODEL_POWER, EP_FIT_ML_AVERAGED, 2, 0, 0, 3, 0 },
};

/* One pixel: its counts, its fit, its net spectrum as a cell of one pixel. */
struct pixel {
    const struct kind *kind;
    struct ep_model m;
    struct ep_fit *fit;
    double y[NCH], mean[NCH];            /* native: counts, fitted background */
    double l[2][NCH];                    /* by differences, at the fitted mean */
    double others[2], w0;                /* averaged: the neighbours' weighted sums */
    struct ep_fit_result r;
    size_t nch;
    float net[NCH];
    uint32_t flag;
    struct ep_desc d;
    struct ep_cell cell;
};

static struct ep_fit_result fit(const struct pixel *p, const double *y)
{
    float f[NCH];
    struct ep_fit_result r;
    double s[2];
    void *scratch = malloc(ep_fit_scratch(p->fit));
    for (size_t i = 0; i < NCH; i++) f[i] = (float)y[i];
    if (p->m.method == EP_FIT_ML_AVERAGED) {
        ep_fit_sums(p->fit, f, 0, NCH, p->kind->shift, s, scratch);
        double own = s[0];
        for (int k = 0; k < 2; k++) s[k] = p->w0 * s[k] + p->others[k];
        ep_fit_from_sums(p->fit, f, 0, NCH, p->kind->shift, s, p->w0 * s[0], own, p->w0, &r, scratch);
    } else {
        ep_fit_spectrum(p->fit, f, 0, NCH, p->kind->shift, &r, scratch);
    }
    free(scratch);
    return r;
}

static void open_pixel(struct pixel *p, const struct kind *k)
{
    memset(p, 0, sizeof *p);
    p->kind = k;
    p->m = (struct ep_model){ .form = k->form, .method = k->method, .nwindow = k->nwindow, .window = { { 440, 480 }, { 560, 590 } },
                              .r = { 2, 4 }, .mean_theta = { 5e4, 5e4 }, .own_weight = 0.3, .gain = 1.5, .read_noise = k->noise,
                              .bin = k->bin, .first = k->first, .axis = { "Energy loss", "eV", 400, 1, NCH } };
    struct ep_err e = { 0 };
    if (ep_fit_new(&p->m, -20, 30, &p->fit, &e) != EP_OK) fail_msg("%s: %s", k->name, e.msg);
    double true_theta[EP_NTHETA] = { log(1e5), 3, 0 };
    if (k->form == EP_MODEL_TWO_POWERS) true_theta[0] = 6e4, true_theta[1] = 4e4;
    ep_model_background(&p->m, true_theta, k->shift, (struct ep_range){ 0, NCH }, p->y);
    struct ep_range native = { 0, NCH };
    p->w0 = p->m.own_weight;
    if (k->method == EP_FIT_ML_AVERAGED) {
        float f[NCH];
        double s[2];
        void *scratch = malloc(ep_fit_scratch(p->fit));
        for (size_t i = 0; i < NCH; i++) f[i] = (float)p->y[i];
        ep_fit_sums(p->fit, f, 0, NCH, k->shift, s, scratch);
        free(scratch);
        for (int q = 0; q < 2; q++) p->others[q] = (1 - p->w0) * s[q] * 1.3;
    }
    p->r = fit(p, p->y);
    assert_int_equal(p->r.flag, 0);
    struct ep_model plain = p->m;
    plain.bin = 1;
    plain.first = 0;
    ep_model_background(&plain, p->r.theta, k->shift, native, p->mean);
    for (size_t i = 0; i < NCH; i++) {
        double keep = p->mean[i], h = 128;
        p->mean[i] = keep + h;
        struct ep_fit_result up = fit(p, p->mean);
        p->mean[i] = keep - h;
        struct ep_fit_result low = fit(p, p->mean);
        p->mean[i] = keep;
        for (int q = 0; q < 2; q++) p->l[q][i] = (up.theta[q] - low.theta[q]) / (2 * h);
    }
    /* the net spectrum; a little edge off the fit channels */
    p->nch = (NCH - k->first) / k->bin;
    double b[NCH];
    ep_model_background(&p->m, p->r.theta, k->shift, (struct ep_range){ 0, p->nch }, b);
    for (size_t i = 0; i < p->nch; i++) {
        double s = 0;
        for (size_t q = 0; q < k->bin; q++) {
            size_t n = k->first + i * k->bin + q;
            s += p->y[n] + (n >= 200 ? 3000 : 0);
        }
        p->net[i] = (float)(s - b[i]);
    }
    ep_desc_init(&p->d);
    p->d.kind = EP_IMAGE;
    p->d.spectral = true;
    p->d.energy = p->m.axis;
    p->d.energy.size = p->nch;
    p->cell = (struct ep_cell){ .d = &p->d, .a = { 0, 0, 1, 1 }, .nch = p->nch, .sy = p->nch, .sx = p->nch, .val = p->net,
                                .flag = &p->flag, .shift = k->shift != 0 ? &k->shift : NULL, .model = &p->m,
                                .theta = p->r.theta, .cmat = p->r.cmat };
}

static bool is_fit(const struct pixel *p, size_t native)
{
    return p->l[0][native] != 0 || p->l[1][native] != 0;
}

/* Variance of native channels: the fitted mean where a carried channel holds fit channels, else the carried counts spread out. */
static void dense_variance(const struct pixel *p, double *v)
{
    const struct kind *k = p->kind;
    double back[NCH];
    ep_model_background(&p->m, p->r.theta, k->shift, (struct ep_range){ 0, p->nch }, back);
    for (size_t i = 0; i < NCH; i++) v[i] = 1.5 * p->mean[i] + k->noise * k->noise;
    for (size_t c = 0; c < p->nch; c++) {
        bool any = false;
        for (size_t q = 0; q < k->bin; q++) any |= is_fit(p, k->first + c * k->bin + q);
        for (size_t q = 0; q < k->bin && !any; q++)
            v[k->first + c * k->bin + q] = 1.5 * ((double)p->net[c] + back[c]) / (double)k->bin + k->noise * k->noise;
    }
}

/* The row a'(R - J L) over native channels. Averaged fits: J L holds the pixel's own share only. */
static void dense_row(const struct pixel *p, const struct ep_functional *f, double *row, double ja[2])
{
    const struct kind *k = p->kind;
    memset(row, 0, NCH * sizeof *row);
    ja[0] = ja[1] = 0;
    struct ep_model plain = p->m;
    plain.bin = 1;
    plain.first = 0;
    double up[2][NCH], low[2][NCH], h[2];
    for (int q = 0; q < 2; q++) {
        double t[EP_NTHETA];
        memcpy(t, p->r.theta, sizeof t);
        h[q] = 1e-5 * (1 + fabs(t[q]));
        t[q] += h[q];
        ep_model_background(&plain, t, k->shift, (struct ep_range){ 0, NCH }, up[q]);
        t[q] -= 2 * h[q];
        ep_model_background(&plain, t, k->shift, (struct ep_range){ 0, NCH }, low[q]);
    }
    for (size_t c = f->ch.first; c < f->ch.end; c++)
        for (size_t q = 0; q < k->bin; q++) {
            size_t n = k->first + c * k->bin + q;
            double a = f->weight ? f->weight[c - f->ch.first] : 1;
            row[n] += a;
            for (int t = 0; t < 2; t++) ja[t] += a * (up[t][n] - low[t][n]) / (2 * h[t]);
        }
    for (size_t n = 0; n < NCH; n++) row[n] -= ja[0] * p->l[0][n] + ja[1] * p->l[1][n];
}

static double dense_covariance(const struct pixel *p, const struct ep_functional *fa, const struct ep_functional *fb)
{
    double a[NCH], b[NCH], v[NCH], ja[2], jb[2], s = 0, own[3] = { 0 };
    dense_variance(p, v);
    dense_row(p, fa, a, ja);
    dense_row(p, fb, b, jb);
    for (size_t i = 0; i < NCH; i++) {
        s += a[i] * b[i] * v[i];
        own[0] += v[i] * p->l[0][i] * p->l[0][i];
        own[1] += v[i] * p->l[0][i] * p->l[1][i];
        own[2] += v[i] * p->l[1][i] * p->l[1][i];
    }
    if (p->kind->method != EP_FIT_ML_AVERAGED) return s;
    /* what the neighbours add to C */
    double c[3];
    for (int k = 0; k < 3; k++) c[k] = p->r.cmat[k] - own[k];
    return s + ja[0] * (c[0] * jb[0] + c[1] * jb[1]) + ja[1] * (c[1] * jb[0] + c[2] * jb[1]);
}

static void functionals(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        struct pixel p;
        open_pixel(&p, &kinds[k]);
        /* off the fit channels, over them, across their edge, across two windows, weighted; some share channels */
        static const double ends[][2] = { { 500, 550 }, { 440, 480 }, { 470, 510 }, { 450, 455 }, { 430, 600 }, { 500, 530 },
                                          { 610, 635 }, { 402, 420 } };
        double weight[NCH];
        for (size_t i = 0; i < NCH; i++) weight[i] = sin(0.1 * (double)i) + 0.2;
        struct ep_functional f[COUNT(ends) + 2];
        size_t nf = 0;
        for (size_t i = 0; i < COUNT(ends) + 2; i++) {
            const double *e = i < COUNT(ends) ? ends[i] : ends[i - COUNT(ends) + 2];
            size_t first = ((size_t)e[0] - 400 - kinds[k].first) / kinds[k].bin, end = ((size_t)e[1] - 400 - kinds[k].first) / kinds[k].bin;
            if (end > p.nch) end = p.nch;
            if (first == end) continue;
            f[nf++] = (struct ep_functional){ { first, end }, i < COUNT(ends) ? NULL : weight };
        }
        double value[COUNT(f)], cov[COUNT(f) * COUNT(f)];
        void *scratch = malloc(ep_functionals_scratch(&p.d, nf));
        assert_int_equal(ep_functionals(&p.cell, 0, 0, nf, f, value, cov, scratch), 0);
        double tolerance = 1e-3;
        for (size_t a = 0; a < nf; a++) {
            double s = 0;
            for (size_t c = f[a].ch.first; c < f[a].ch.end; c++)
                s += (f[a].weight ? f[a].weight[c - f[a].ch.first] : 1) * (double)p.net[c];
            near(value[a], s, 1e-9 * (1 + fabs(s)), kinds[k].name);
            for (size_t b = 0; b < nf; b++) {
                char what[128];
                snprintf(what, sizeof what, "%s, functionals %zu and %zu", kinds[k].name, a, b);
                double want = dense_covariance(&p, &f[a], &f[b]);
                /* sums over all fit channels are (nearly) zero: their scale is that of the counts */
                double va = dense_covariance(&p, &f[a], &f[a]), vb = dense_covariance(&p, &f[b], &f[b]), v[NCH], least = 0;
                dense_variance(&p, v);
                for (size_t i = 0; i < NCH; i++) least = fmax(least, v[i]);
                near(cov[a * nf + b], want, tolerance * (sqrt(fmax(va * vb, 0)) + 20 * least), what);
                assert_true(cov[a * nf + b] == cov[b * nf + a]);
            }
            assert_true(cov[a * nf + a] >= 0);
            /* alone, and with the window's sums made before: the same value; the same variance to rounding */
            double v1, c1, v2, c2, x[NCH];
            struct ep_window_sums made = { NULL };
            assert_int_equal(ep_functionals(&p.cell, 0, 0, 1, &f[a], &v1, &c1, scratch), 0);
            const struct ep_window_sums *sums = ep_window_sums(&made, &p.cell, 1, &f[a].ch, x, NCH);
            assert_int_equal(ep_functionals_at(&p.cell, 0, 0, 1, &f[a], sums, &v2, &c2, scratch), 0);
            assert_true(v1 == v2);
            near(c2, c1, 1e-11 * (1 + c1), "variance by the window's sums");
            near(v1, value[a], 1e-9 * (1 + fabs(s)), "value alone");
            near(c1, cov[a * nf + a], 1e-9 * (1 + c1), "variance alone");
        }
        /* single channels */
        double var[NCH];
        struct ep_range all = { 0, p.nch };
        ep_channel_variances(&p.cell, 0, 0, all, var, scratch);
        for (size_t c = 0; c < p.nch; c++) {
            struct ep_functional one = { { c, c + 1 }, NULL };
            double v, s2;
            ep_functionals(&p.cell, 0, 0, 1, &one, &v, &s2, scratch);
            near(var[c], s2, 1e-9 * (1 + s2), "variance of a channel");
        }
        free(scratch);
        ep_fit_free(p.fit);
    }
}

/* The example of the conventions: 20 channels of the fit window at 1000 counts; the plain formula is off by two. */
static void in_window_is_not_plain(void **state)
{
    (void)state;
    struct pixel p;
    struct kind k = { "ml", EP_MODEL_POWER, EP_FIT_ML, 1, 0, 0, 1, 0 };
    open_pixel(&p, &k);
    struct ep_functional f = { { 40, 80 }, NULL }, part = { { 40, 60 }, NULL };
    double v, c;
    void *scratch = malloc(ep_functionals_scratch(&p.d, 1));
    ep_functionals(&p.cell, 0, 0, 1, &f, &v, &c, scratch);
    double counts = 0;
    for (size_t i = 40; i < 80; i++) counts += p.mean[i];
    near(c / counts, 0, 1e-9, "the sum over a fit window");     /* a Poisson fit's residuals add up to zero */
    ep_functionals(&p.cell, 0, 0, 1, &part, &v, &c, scratch);
    assert_true(c > 0 && c < 0.5 * 1.5 * counts / 2);
    free(scratch);
    ep_fit_free(p.fit);
}

/* ---- plain counts, odd values ---- */

static void plain_counts(void **state)
{
    (void)state;
    struct ep_desc d;
    ep_desc_init(&d);
    d.kind = EP_IMAGE;
    d.spectral = true;
    d.energy = (struct ep_axis){ "Energy loss", "eV", 400, 1, 100 };
    d.gain = 2;
    d.read_noise = 3;
    float y[2][110];
    uint32_t flag[2] = { 0, 0 };
    for (int p = 0; p < 2; p++)
        for (size_t i = 0; i < 110; i++) y[p][i] = (float)(p ? -20 : (int)i);
    struct ep_cell c = { .d = &d, .a = { 0, 0, 1, 2 }, .ch0 = 10, .nch = 90, .sy = 220, .sx = 110, .val = y[0], .flag = flag };
    double w[40], value[3], cov[9];
    for (size_t i = 0; i < 40; i++) w[i] = i % 2 ? 1 : -2;
    struct ep_functional f[3] = { { { 20, 60 }, NULL }, { { 50, 90 }, w }, { { 90, 95 }, NULL } };
    void *scratch = malloc(ep_functionals_scratch(&d, 3));
    assert_int_equal(ep_functionals(&c, 0, 0, 3, f, value, cov, scratch), 0);
    double s[3] = { 0 }, want[9] = { 0 };
    for (size_t i = 20; i < 95; i++) {
        double a[3] = { i < 60, i >= 50 && i < 90 ? w[i - 50] : 0, i >= 90 }, counts = (double)y[0][i - 10];
        for (int q = 0; q < 3; q++)
            for (int r = 0; r < 3; r++) want[q * 3 + r] += a[q] * a[r] * (2 * counts + 9);
        for (int q = 0; q < 3; q++) s[q] += a[q] * counts;
    }
    for (int q = 0; q < 9; q++) near(cov[q], want[q], 1e-9, "plain covariance");
    for (int q = 0; q < 3; q++) near(value[q], s[q], 1e-9, "plain sum");
    /* counts below zero: the read noise alone, or the variance of one electron */
    assert_int_equal(ep_functionals(&c, 0, 1, 3, f, value, cov, scratch), 0);
    near(value[0], -800, 1e-9, "negative sum");
    near(cov[0], 40 * 9, 0, "its variance");
    near(cov[4], 20 * 5 * 9, 0, "its variance, weighted");
    d.read_noise = 0;
    assert_int_equal(ep_functionals(&c, 0, 1, 3, f, value, cov, scratch), 0);
    near(cov[0], 4, 0, "its variance");
    near(cov[4], 16, 0, "its variance, weighted");
    /* NaN where it is used, and where it isn't */
    y[0][85] = NAN;                        /* channel 95 */
    assert_int_equal(ep_functionals(&c, 0, 0, 3, f, value, cov, scratch), 0);
    y[0][84] = INFINITY;
    assert_int_equal(ep_functionals(&c, 0, 0, 3, f, value, cov, scratch), EP_FLAG_NOT_FINITE);
    for (int q = 0; q < 9; q++) assert_true(isnan(cov[q]));
    assert_true(isnan(value[0]));
    free(scratch);
}

static void odd_pixels(void **state)
{
    (void)state;
    struct pixel p;
    open_pixel(&p, &kinds[0]);
    struct ep_functional f = { { 100, 140 }, NULL };
    double v, c, v2, c2;
    void *scratch = malloc(ep_functionals_scratch(&p.d, 1));
    ep_functionals(&p.cell, 0, 0, 1, &f, &v, &c, scratch);
    /* counts that add up to less than nothing: the background's counts give the noise */
    double b[NCH];
    ep_model_background(&p.m, p.r.theta, 0, f.ch, b);
    double back = 0;
    for (size_t i = 0; i < 40; i++) {
        back += b[i];
        p.net[100 + i] = (float)(-2 * b[i]);
    }
    assert_int_equal(ep_functionals(&p.cell, 0, 0, 1, &f, &v2, &c2, scratch), 0);
    near(v2, -2 * back, 1e-6 * back, "value");
    assert_true(c2 > 1.5 * back && c2 < c);
    /* a pixel whose fit failed */
    double theta[EP_NTHETA] = { NAN, NAN, NAN };
    p.cell.theta = theta;
    assert_int_equal(ep_functionals(&p.cell, 0, 0, 1, &f, &v2, &c2, scratch), EP_FLAG_NOT_FINITE);
    assert_true(isnan(v2) && isnan(c2));
    free(scratch);
    ep_fit_free(p.fit);
}

/* Power laws end at E = 0; the same bits whatever the range. */
static void background_of_channels(void **state)
{
    (void)state;
    struct ep_model m = { .form = EP_MODEL_POWER, .method = EP_FIT_ML, .nwindow = 1, .window = { { 40, 60 } }, .gain = 1,
                          .bin = 1, .e_ref = 50, .axis = { "Energy loss", "eV", -20, 0.5, 400 } };
    double theta[EP_NTHETA] = { log(1000), 3, 0 }, all[400], some[400], x[400];
    ep_model_background(&m, theta, 0, (struct ep_range){ 0, 400 }, all);
    for (size_t i = 0; i <= 40; i++) near(all[i], 0, 0, "background at E <= 0");
    for (size_t i = 41; i < 400; i++) near(all[i] / (1000 * pow((-20 + 0.5 * (double)i) / 50, -3)), 1, 1e-13, "background");
    for (size_t first = 0; first < 400; first += 13)
        for (size_t n = 0; first + n <= 400; n += 17) {
            struct ep_range ch = { first, first + n };
            ep_model_background(&m, theta, 0, ch, some);
            assert_memory_equal(some, all + first, n * sizeof *some);
            ep_model_abscissae(&m, 0, ch, x);
            ep_model_background_at(&m, theta, x, n, some);
            assert_memory_equal(some, all + first, n * sizeof *some);
        }
    m.bin = 7;
    m.first = 5;
    double binned[56], at[56];
    ep_model_background(&m, theta, 0, (struct ep_range){ 0, 56 }, binned);
    for (size_t i = 0; i < 56; i++) {
        double s = 0;
        for (size_t q = 0; q < 7; q++) s += all[5 + 7 * i + q];
        near(binned[i], s, 1e-12 * s, "binned background");
    }
    ep_model_abscissae(&m, 0, (struct ep_range){ 0, 56 }, x);
    ep_model_background_at(&m, theta, x, 56, at);
    assert_memory_equal(at, binned, sizeof at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functionals),  cmocka_unit_test(in_window_is_not_plain), cmocka_unit_test(plain_counts),
        cmocka_unit_test(odd_pixels),   cmocka_unit_test(background_of_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
