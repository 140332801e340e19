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
    double truth = 0, sum = 0, sum2 = 0, sigmas = 0, chi = 0, b[NCH], theta[EP_NTHETA];
    size_t in68 = 0, in95 = 0;
    for (size_t i = 0; i < NCH; i++) b[i] = s->mean[i];
    (void)theta;
    for (size_t i = f.ch.first; i < f.ch.end; i++) truth += b[i];
    /* the true background there */
    double edge = s->mean[f.ch.first] == 0 ? 0 : truth;
    (void)edge;
    for (size_t k = 0; k < n; k++) {
        double v, c;
        next(s);
        if (s->r.flag & EP_FLAGS_FATAL) fail_msg("a fit failed: flags %u", s->r.flag);
        assert_int_equal(ep_functionals(&s->cell, 0, 0, 1, &f, &v, &c, s->fscratch), 0);
        double d = v - s->d.meta.dwell_time_s, sigma = sqrt(c);
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
