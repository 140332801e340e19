/* What noise does to background fits: bias, coverage of the sigmas, scatter against the Cramer-Rao bound, covariances of window
 * sums against their scatter.
 *
 * Spectra are Poisson counts of a power law (or what each case says) with an edge in the integration window: none (the true
 * net is 0), or a step of a tenth of the background there. The net is the window's counts minus the fitted background; its
 * sigma is ep_functionals(). The bound: without knowledge of the edge the window's own counts say nothing about the background,
 * so that Var(net) >= sum of the counts + P' I^-1 P, I the Fisher information of (ln A, r) on the fit channels, P the
 * derivative of the background's integral.
 */
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
#define NCH 340                    /* 478 to 562.75 eV by 0.25 eV */

/* ---- random numbers: xorshift128+, Poisson by inversion of tabulated sums ---- */

static uint64_t rng[2] = { 0x9e3779b97f4a7c15u, 0xbf58476d1ce4e5b9u };

static double uniform(void)
{
    uint64_t a = rng[0], b = rng[1];
    rng[0] = b;
    a ^= a << 23;
    rng[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return (double)((rng[1] + b) >> 11) * 0x1p-53;
}

static double gauss(void)
{
    return sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform());
}

struct poisson { long first; size_t n; double *sum; };

static struct poisson poisson_of(double mu)
{
    double half = 9 * sqrt(mu) + 20;
    struct poisson p = { .first = mu > half ? (long)(mu - half) : 0 };
    p.n = (size_t)(mu + half - (double)p.first) + 1;
    p.sum = malloc(p.n * sizeof *p.sum);
    double s = 0;
    for (size_t i = 0; i < p.n; i++) {
        double k = (double)(p.first + (long)i);
        s += exp(k * log(mu) - mu - lgamma(k + 1));
        p.sum[i] = s;
    }
    return p;
}

static double draw(const struct poisson *p)
{
    double u = uniform();
    size_t a = 0, b = p->n - 1;
    while (a < b) {
        size_t m = (a + b) / 2;
        if (p->sum[m] > u) b = m; else a = m + 1;
    }
    return (double)(p->first + (long)a);
}

/* ---- one setting ---- */

struct setting {
    struct ep_model m;
    struct ep_fit *fit;
    double mean[NCH];                   /* true counts, edge included */
    double truth;                       /* net counts of the integration window, 530 to 560 eV */
    struct poisson p[NCH];
    void *scratch, *fscratch;
    struct ep_desc d;
    struct ep_fit_result r;
    float y[NCH], net[NCH];
    uint32_t flag;
    struct ep_cell cell;
};

static double energy(const struct setting *s, size_t i)
{
    return ep_axis_at(&s->m.axis, (double)i);
}

static size_t channel(double ev)
{
    return (size_t)lround((ev - 478) / 0.25);
}

static void open_setting(struct setting *s, enum ep_model_form form, enum ep_model_method method, const double *theta, double edge,
                         double gain, double noise)
{
    memset(s, 0, sizeof *s);
    s->m = (struct ep_model){ .form = form, .method = method, .nwindow = 1, .window = { { 480, 525 } }, .r = { 2.6, 3.4 },
                              .own_weight = 0.25, .gain = gain, .read_noise = noise, .bin = 1,
                              .axis = { "Energy loss", "eV", 478, 0.25, NCH } };
    s->m.mean_theta[0] = theta[0];
    s->m.mean_theta[1] = theta[1];
    struct ep_err e = { 0 };
    if (ep_fit_new(&s->m, -15, 25, &s->fit, &e) != EP_OK) fail_msg("%s", e.msg);
    ep_model_background(&s->m, theta, 0, (struct ep_range){ 0, NCH }, s->mean);
    for (size_t i = 0; i < NCH; i++) {
        if (energy(s, i) >= 530 && energy(s, i) < 560) s->truth += edge * s->mean[i];
        if (energy(s, i) >= 528) s->mean[i] *= 1 + edge;
        s->p[i] = poisson_of(s->mean[i] / gain);
    }
    s->scratch = malloc(ep_fit_scratch(s->fit));
    ep_desc_init(&s->d);
    s->d.kind = EP_IMAGE;
    s->d.spectral = true;
    s->d.energy = s->m.axis;
    s->fscratch = malloc(ep_functionals_scratch(&s->d, 8));
    s->cell = (struct ep_cell){ .d = &s->d, .a = { 0, 0, 1, 1 }, .nch = NCH, .sy = NCH, .sx = NCH, .val = s->net,
                                .flag = &s->flag, .model = &s->m, .theta = s->r.theta, .cmat = s->r.cmat };
}

static void close_setting(struct setting *s)
{
    for (size_t i = 0; i < NCH; i++) free(s->p[i].sum);
    free(s->scratch);
    free(s->fscratch);
    ep_fit_free(s->fit);
}

static void draw_spectrum(const struct setting *s, float *y)
{
    for (size_t i = 0; i < NCH; i++) {
        double k = s->m.gain * draw(&s->p[i]);
        if (s->m.read_noise > 0) k += s->m.read_noise * gauss();
        y[i] = (float)k;
    }
}

/* A new spectrum, its fit, its net. The averaged fit has the mean spectrum's neighbours: 8 others with equal weights. */
static void next(struct setting *s)
{
    draw_spectrum(s, s->y);
    if (s->m.method == EP_FIT_ML_AVERAGED) {
        double w0 = s->m.own_weight, w = (1 - w0) / 8, sum[2], own, t[2] = { 0 }, s2;
        float other[NCH];
        ep_fit_sums(s->fit, s->y, 0, NCH, 0, sum, s->scratch);
        own = sum[0];
        s2 = w0 * w0 * own;
        for (int q = 0; q < 2; q++) t[q] = w0 * sum[q];
        for (int k = 0; k < 8; k++) {
            draw_spectrum(s, other);
            ep_fit_sums(s->fit, other, 0, NCH, 0, sum, s->scratch);
            s2 += w * w * sum[0];
            for (int q = 0; q < 2; q++) t[q] += w * sum[q];
        }
        ep_fit_from_sums(s->fit, s->y, 0, NCH, 0, t, s2, own, w0, &s->r, s->scratch);
    } else {
        ep_fit_spectrum(s->fit, s->y, 0, NCH, 0, &s->r, s->scratch);
    }
    double b[NCH];
    ep_model_background(&s->m, s->r.theta, 0, (struct ep_range){ 0, NCH }, b);
    for (size_t i = 0; i < NCH; i++) s->net[i] = (float)((double)s->y[i] - b[i]);
}

static double bound(const struct setting *s, const double *theta)
{
    double info[3] = { 0 }, p[2] = { 0 }, counts = 0, b[NCH];
    ep_model_background(&s->m, theta, 0, (struct ep_range){ 0, NCH }, b);
    for (size_t i = 0; i < NCH; i++) {
        double e = energy(s, i), x = s->m.form == EP_MODEL_POWER ? log(e / s->m.e_ref) : (e - s->m.e_ref) / s->m.e_ref;
        if (e >= 480 && e < 525) {
            info[0] += b[i];
            info[1] -= b[i] * x;
            info[2] += b[i] * x * x;
        }
        if (e >= 530 && e < 560) {
            counts += s->mean[i];
            p[0] += b[i];
            p[1] -= b[i] * x;
        }
    }
    double det = info[0] * info[2] - info[1] * info[1];
    return sqrt(s->m.gain * (counts + (p[0] * p[0] * info[2] - 2 * p[0] * p[1] * info[1] + p[1] * p[1] * info[0]) / det));
}

/* ---- one window: bias, coverage, scatter ---- */

struct outcome { double bias, cover68, cover95, scatter, chi2; };    /* bias in mean sigmas, scatter over the bound */

static struct outcome repeat(struct setting *s, size_t n, double crb)
{
    struct ep_functional f = { { channel(530), channel(560) }, NULL };
    double sum = 0, sum2 = 0, sigmas = 0, chi = 0;
    size_t in68 = 0, in95 = 0;
    for (size_t k = 0; k < n; k++) {
        double v, c;
        next(s);
        if (s->r.flag) fail_msg("a fit failed: flags %u", s->r.flag);
        assert_int_equal(ep_functionals(&s->cell, 0, 0, 1, &f, &v, &c, s->fscratch), 0);
        double d = v - s->truth, sigma = sqrt(c);
        sum += d;
        sum2 += d * d;
        sigmas += sigma;
        chi += s->r.chi2;
        in68 += fabs(d) <= sigma;
        in95 += fabs(d) <= 1.959964 * sigma;
    }
    double mean = sum / (double)n, sd = sqrt(sum2 / (double)n - mean * mean);
    return (struct outcome){ mean / (sigmas / (double)n), 100 * (double)in68 / (double)n, 100 * (double)in95 / (double)n, sd / crb,
                             chi / (double)n };
}

/* The acceptance test of `ml`: 1000, 30 and 3 counts per channel at the middle of the fit window, r = 3. */
static void ml_is_honest(void **state)
{
    (void)state;
    static const double levels[] = { 1000, 30, 3 }, edges[] = { 0, 0.1 };
    for (size_t l = 0; l < COUNT(levels); l++)
        for (size_t g = 0; g < COUNT(edges); g++) {
            struct setting s;
            double theta[EP_NTHETA] = { log(levels[l]), 3, 0 };
            open_setting(&s, EP_MODEL_POWER, EP_FIT_ML, theta, edges[g], 1, 0);
            struct outcome o = repeat(&s, 40000, bound(&s, theta));
            print_message("  ml, %4g counts, edge %3g: bias %+.3f sigma, coverage %.2f %% and %.2f %%, scatter %.4f of the "
                          "bound, chi-square %.4f\n", levels[l], edges[g], o.bias, o.cover68, o.cover95, o.scatter, o.chi2);
            assert_true(fabs(o.bias) < 0.15);
            assert_true(fabs(o.cover68 - 68.27) < 3);
            assert_true(fabs(o.cover95 - 95) < 2);
            assert_true(o.scatter > 0.98 && o.scatter < 1.05);
            assert_true(fabs(o.chi2 - 1) < 0.01);
            close_setting(&s);
        }
}

/* Other gains, read noise, forms and methods: the sigmas cover as they say. Two powers are linear: no bias at any dose. The
 * scatter is printed over the bound of a fit to one spectrum where there is no read noise. */
static void others_cover(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum ep_model_form form;
        enum ep_model_method method;
        double theta[EP_NTHETA], gain, noise, bias;
    } cases[] = {
        { "ml, gain 4", EP_MODEL_POWER, EP_FIT_ML, { 4.6, 3, 0 }, 4, 0, 0.05 },
        { "ml, read noise 10", EP_MODEL_POWER, EP_FIT_ML, { 4.6, 3, 0 }, 1, 10, 0.05 },
        { "ml, exponential", EP_MODEL_EXPONENTIAL, EP_FIT_ML, { 4.6, 3, 0 }, 1, 0, 0.05 },
        { "two_area", EP_MODEL_POWER, EP_FIT_TWO_AREA, { 4.6, 3, 0 }, 1, 0, 0.1 },
        { "log_ls, 1000 counts", EP_MODEL_POWER, EP_FIT_LOG_LS, { 6.9, 3, 0 }, 1, 0, 0.1 },
        { "lcpl", EP_MODEL_TWO_POWERS, EP_FIT_WLS, { 60, 40, 0 }, 1, 0, 0.02 },
        { "lcpl, 3 counts", EP_MODEL_TWO_POWERS, EP_FIT_WLS, { 1.5, 1.5, 0 }, 1, 0, 0.02 },
        { "lcpl, read noise 10", EP_MODEL_TWO_POWERS, EP_FIT_WLS, { 60, 40, 0 }, 2, 10, 0.02 },
        { "averaged", EP_MODEL_POWER, EP_FIT_ML_AVERAGED, { 4.6, 3, 0 }, 1, 0, 0.05 },
        { "averaged, 3 counts", EP_MODEL_POWER, EP_FIT_ML_AVERAGED, { 1.1, 3, 0 }, 1, 0, 0.05 },
        { "averaged, gain 2, read noise 10", EP_MODEL_POWER, EP_FIT_ML_AVERAGED, { 5.3, 3, 0 }, 2, 10, 0.05 },
    };
    for (size_t k = 0; k < COUNT(cases); k++) {
        struct setting s;
        open_setting(&s, cases[k].form, cases[k].method, cases[k].theta, 0.05, cases[k].gain, cases[k].noise);
        bool bounded = cases[k].form != EP_MODEL_TWO_POWERS && cases[k].noise == 0;
        struct outcome o = repeat(&s, 10000, bounded ? bound(&s, cases[k].theta) : NAN);
        print_message("  %s: bias %+.3f sigma, coverage %.2f %% and %.2f %%, scatter %.3f, chi-square %.4f\n", cases[k].name, o.bias,
                      o.cover68, o.cover95, o.scatter, o.chi2);
        assert_true(fabs(o.bias) < cases[k].bias);
        assert_true(fabs(o.cover68 - 68.27) < 2.5);
        assert_true(fabs(o.cover95 - 95) < 1.2);
        close_setting(&s);
    }
}

/* ---- covariances of several sums, in and off the fit window, against their scatter ---- */

static void covariances_match(void **state)
{
    (void)state;
    enum { NF = 6, N = 20000 };
    static const double ends[NF][2] = { { 480, 485 }, { 495, 515 }, { 515, 530 }, { 528, 531 }, { 538, 543 }, { 480, 560 } };
    static const struct {
        const char *name;
        enum ep_model_form form;
        enum ep_model_method method;
        double theta[EP_NTHETA], noise;
    } cases[] = {
        { "ml", EP_MODEL_POWER, EP_FIT_ML, { 6.9, 3, 0 }, 0 },
        { "ml, read noise", EP_MODEL_POWER, EP_FIT_ML, { 6.9, 3, 0 }, 40 },
        { "ml, exponential", EP_MODEL_EXPONENTIAL, EP_FIT_ML, { 6.9, 3, 0 }, 0 },
        { "two_area", EP_MODEL_POWER, EP_FIT_TWO_AREA, { 6.9, 3, 0 }, 0 },
        { "log_ls", EP_MODEL_POWER, EP_FIT_LOG_LS, { 6.9, 3, 0 }, 0 },
        { "lcpl", EP_MODEL_TWO_POWERS, EP_FIT_WLS, { 600, 400, 0 }, 0 },
        { "averaged", EP_MODEL_POWER, EP_FIT_ML_AVERAGED, { 6.9, 3, 0 }, 0 },
    };
    struct ep_functional f[NF];
    for (int a = 0; a < NF; a++) f[a] = (struct ep_functional){ { channel(ends[a][0]), channel(ends[a][1]) }, NULL };
    for (size_t k = 0; k < COUNT(cases); k++) {
        struct setting s;
        double mean[NF] = { 0 }, second[NF * NF] = { 0 }, said[NF * NF] = { 0 }, v[NF], c[NF * NF], worst = 0;
        open_setting(&s, cases[k].form, cases[k].method, cases[k].theta, 0.1, 1, cases[k].noise);
        for (size_t n = 0; n < N; n++) {
            next(&s);
            assert_int_equal(ep_functionals(&s.cell, 0, 0, NF, f, v, c, s.fscratch), 0);
            for (int a = 0; a < NF; a++) {
                mean[a] += v[a] / N;
                for (int b = 0; b < NF; b++) {
                    second[a * NF + b] += v[a] * v[b] / N;
                    said[a * NF + b] += c[a * NF + b] / N;
                }
            }
        }
        for (int a = 0; a < NF; a++)
            for (int b = 0; b < NF; b++) {
                double got = second[a * NF + b] - mean[a] * mean[b], want = said[a * NF + b];
                double va = said[a * NF + a], vb = said[b * NF + b], error = sqrt((want * want + va * vb) / N);
                double off = fabs(got - want) / error;
                worst = fmax(worst, off);
                if (off > 4.5)
                    fail_msg("%s, sums %d and %d: covariance %g, said to be %g (%.1f standard errors)", cases[k].name, a, b,
                             got, want, off);
            }
        print_message("  %s: worst of %d covariances off by %.1f standard errors\n", cases[k].name, NF * (NF + 1) / 2, worst);
        close_setting(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(ml_is_honest), cmocka_unit_test(others_cover),
                                        cmocka_unit_test(covariances_match) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
