/* Energy losses of a compound with lithium, for tests of mlls. Shares nothing with the stage: edges are Fano resonances and
 * Lorentzians on soft steps, plural scattering is the sum of the Poisson law's terms, each a direct convolution. Header only. */
#ifndef TESTS_UNIT_MLLS_SIM_H
#define TESTS_UNIT_MLLS_SIM_H
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SIM_STEP 0.1
#define SIM_LOW_N 1024         /* -20 eV .. */
#define SIM_CORE_N 700         /* 35 eV .. 105 eV */
#define SIM_LOW_0 (-20.0)
#define SIM_CORE_0 35.0
#define SIM_N 1250             /* losses 0 .. 125 eV */

enum sim_what { SIM_NCM, SIM_LLTO, SIM_OXIDE };        /* an oxide of titanium without lithium */
struct sim_case { enum sim_what what; double t, lithium, electrons; bool fano; };

static inline double sim_soft(double e, double at, double width) { return 0.5 * erfc((at - e) / width); }
static inline double sim_lorentz(double e, double at, double half) { return 1 / (1 + (e - at) * (e - at) / (half * half)); }
static inline double sim_drude(double e, double ep, double width, double share)
{
    double d = e * e - ep * ep, w = e * width;
    return share * ep * w / (d * d + w * w);
}
/* 3p-3d resonance of a metal, its maximum about h. */
static inline double sim_m23(double e, double on, double h, bool fano)
{
    double x = (e - on - 2.2) / 2.5, q = 2.2, f = ((q + x) * (q + x) / (1 + x * x) - 1) / (q * q);
    double peaks = 0.65 * sim_lorentz(e, on + 2.5, 1.7) + 0.35 * sim_lorentz(e, on + 6, 3);
    return h * sim_soft(e, on, 1) * (fano ? fmax(f, 0) : peaks) + 0.2 * h * sim_soft(e, on + 4, 2) * pow(e / (on + 4), -2);
}
static inline double sim_li(double e)
{
    return sim_soft(e, 54.9, 0.7) * (0.6 * sim_lorentz(e, 58.3, 1.2) + 2.4 * sim_lorentz(e, 62, 2.1) + 0.7 * sim_lorentz(e, 69, 3.5)) +
           2.5 * sim_soft(e, 57.5, 1.6) * pow(e / 57.5, -2.2);
}
static inline double sim_ti(double e)
{
    return sim_soft(e, 35, 1.2) * (4 * sim_lorentz(e, 37.2, 1.5) + 14 * sim_lorentz(e, 41.2, 2.5) + 12 * sim_lorentz(e, 47, 2.75)) +
           2.5 * sim_soft(e, 46, 3) * pow(e / 46, -2.5);
}
/* Probability per Mb: the dipole formula at 200 kV and 21 mrad, 60 nm, 30 atoms per nm^3 and unit of h. */
static inline double sim_dipole(double e)
{
    double theta = e / (2 * 1.391 * 123.5e3), beta = 0.0208;
    return 5.2e-3 / e * 0.06 * log1p(beta * beta / (theta * theta));
}

static inline void sim_convolve(const double *a, const double *b, double *out)
{
    memset(out, 0, SIM_N * sizeof *out);
    for (size_t k = 0; k < SIM_N; k++)
        for (size_t i = 0; a[k] != 0 && i + k < SIM_N; i++) out[i + k] += a[k] * b[i];
}
/* Gaussian of 0.9 eV FWHM on bins. */
static inline double sim_zero_loss(double e)
{
    const double s = 0.9 / 2.3548 * sqrt(2);
    return 0.5 * (erf((e + SIM_STEP / 2) / s) - erf((e - SIM_STEP / 2) / s));
}
/* losses [SIM_N] (0: the zero-loss share) broadened, on channels from first. */
static inline void sim_measure(const double *loss, double scale, double first, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++) {
        double e = first + (double)i * SIM_STEP;
        long c = lround(e / SIM_STEP);
        out[i] = 0;
        for (long k = c - 20; k <= c + 20; k++)
            if (k >= 0 && k < SIM_N) out[i] += scale * loss[k] * sim_zero_loss((double)(c - k) * SIM_STEP);
    }
}

struct sim_spectra {
    double low[SIM_LOW_N], core[SIM_CORE_N];       /* counts; the core loss has 16 times the exposure */
    double part[3][SIM_CORE_N];                    /* of the core loss: valence, metals, lithium */
    double single[SIM_N], i0;                      /* valence and edges after one loss per zero-loss electron, not broadened; counts */
    double li;                                     /* counts at 55 <= E < 65 eV */
};

static inline void sim_make(const struct sim_case *c, struct sim_spectra *out)
{
    double *v = calloc(6 * SIM_N, sizeof *v), *p = v + SIM_N, *term = v + 2 * SIM_N, *next = v + 3 * SIM_N, *edge = v + 4 * SIM_N;
    double *with = v + 5 * SIM_N, sum = 0, low_e = c->electrons, core_e = 16 * c->electrons;
    memset(out, 0, sizeof *out);
    for (size_t i = 1; i < SIM_N; i++) {
        double e = (double)i * SIM_STEP, gap = c->what == SIM_NCM ? 1.5 : 3.2;
        if (c->what == SIM_NCM) v[i] = sim_drude(e, 6.5, 3.5, 0.04) + sim_drude(e, 11, 6, 0.1) + sim_drude(e, 23.3, 10, 0.86);
        if (c->what == SIM_LLTO)
            v[i] = sim_drude(e, 6.8, 3, 0.03) + sim_drude(e, 13.8, 5.5, 0.13) + sim_drude(e, 21, 6, 0.2) + sim_drude(e, 29.5, 8.5, 0.64);
        if (c->what == SIM_OXIDE) v[i] = sim_drude(e, 6.6, 2.8, 0.03) + sim_drude(e, 13.3, 5, 0.13) + sim_drude(e, 24, 6, 0.16) + sim_drude(e, 30.2, 8, 0.68);
        v[i] *= e < gap ? 0 : 1 - exp(-(e - gap) * (e - gap) / 2.25);
        sum += v[i];
    }
    for (size_t i = 0; i < SIM_N; i++) v[i] *= c->t / sum;
    term[0] = p[0] = exp(-c->t);
    for (int n = 1; n < 9; n++) {                  /* Poisson: exp(-t) t^n / n! */
        sim_convolve(term, v, next);
        for (size_t i = 0; i < SIM_N; i++) {
            term[i] = next[i] / n;
            p[i] += term[i];
        }
    }
    double *low = calloc(SIM_N, sizeof *low);
    memcpy(low, p, SIM_N * sizeof *low);
    sim_measure(p, core_e, SIM_CORE_0, SIM_CORE_N, out->part[0]);
    memcpy(out->single, v, sizeof out->single);
    for (int which = 1; which < 3; which++) {
        for (size_t i = 1; i < SIM_N; i++) {
            double e = (double)i * SIM_STEP, mb = 0;
            if (e < 20) continue;
            if (which == 2) mb = c->lithium * (c->what == SIM_NCM ? 1 : c->what == SIM_LLTO ? 0.2 : 0) * sim_li(e);
            else if (c->what == SIM_NCM) mb = (sim_m23(e, 49, 10, c->fano) + sim_m23(e, 60, 10.5, c->fano) + sim_m23(e, 66.5, 6.5, c->fano)) / 3;
            else mb = 0.58 * sim_ti(e);
            edge[i] = SIM_STEP * c->t / 0.5 * 8 * sim_dipole(e) * mb;
            out->single[i] += edge[i];
        }
        sim_convolve(p, edge, with);
        sim_measure(with, core_e, SIM_CORE_0, SIM_CORE_N, out->part[which]);
        for (size_t i = 0; i < SIM_N; i++) low[i] += with[i];
    }
    sim_measure(low, low_e, SIM_LOW_0, SIM_LOW_N, out->low);
    for (int k = 0; k < 3; k++)
        for (size_t i = 0; i < SIM_CORE_N; i++) out->core[i] += out->part[k][i];
    for (size_t i = 200; i < 300; i++) out->li += out->part[2][i];
    out->i0 = low_e * p[0];
    free(v);
    free(low);
}
#endif
