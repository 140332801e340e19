/* X-ray spectra for tests, made without the program's own tables: line energies and relative counts are typed in. Header only.
 *
 * Two materials side by side: LLTO (Ti, La, O) and NCM (Mn, Co, Ni, O), both with the copper of the grid. */
#ifndef TESTS_UNIT_EDS_SIM_H
#define TESTS_UNIT_EDS_SIM_H
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SIM_O, SIM_TI, SIM_LA, SIM_MN, SIM_CO, SIM_NI, SIM_CU, SIM_ELEMENTS };

/* Energies: J. A. Bearden, Rev. Mod. Phys. 39 (1967) 78. Relative counts: for K lines after J. H. Scofield, Phys. Rev. A 9 (1974)
 * 1041; for La L typical of thin specimens; for L lines of 3d metals and La M rough. `set` chooses another table of ratios. */
struct sim_line { int element; char family; double energy, counts, other; };
static const struct sim_line sim_lines[] = {
    { SIM_O, 'K', 524.9, 100, 100 },
    { SIM_TI, 'K', 4510.84, 66.7, 100 }, { SIM_TI, 'K', 4504.86, 33.3, 0 }, { SIM_TI, 'K', 4931.81, 13.2, 11.7 },
    { SIM_TI, 'L', 452.2, 100, 100 }, { SIM_TI, 'L', 458.4, 40, 30 }, { SIM_TI, 'L', 395.3, 46, 60 }, { SIM_TI, 'L', 401.3, 18, 22 },
    { SIM_LA, 'L', 4650.97, 89.9, 100 }, { SIM_LA, 'L', 4634.23, 10.1, 0 }, { SIM_LA, 'L', 5042.1, 45.5, 42.6 },
    { SIM_LA, 'L', 5383.5, 17.2, 19.6 }, { SIM_LA, 'L', 5143.4, 9.4, 13.4 }, { SIM_LA, 'L', 5061.9, 6.1, 8.7 },
    { SIM_LA, 'L', 5788.5, 7.2, 7.7 }, { SIM_LA, 'L', 6073.3, 2.2, 3.3 }, { SIM_LA, 'L', 6062, 1.4, 0 }, { SIM_LA, 'L', 4121, 4.1, 4.3 },
    { SIM_LA, 'L', 4529, 1.25, 1.2 }, { SIM_LA, 'L', 5211.4, 0.9, 0.9 },
    { SIM_LA, 'M', 833, 100, 100 }, { SIM_LA, 'M', 854, 55, 80 }, { SIM_LA, 'M', 640, 8, 6 }, { SIM_LA, 'M', 1027, 8, 12 },
    { SIM_MN, 'K', 5898.75, 66.2, 100 }, { SIM_MN, 'K', 5887.65, 33.8, 0 }, { SIM_MN, 'K', 6490.45, 13.6, 12.5 },
    { SIM_MN, 'L', 637.4, 100, 100 }, { SIM_MN, 'L', 648.8, 32, 25 }, { SIM_MN, 'L', 556.3, 15, 20 }, { SIM_MN, 'L', 567.5, 5, 6 },
    { SIM_CO, 'K', 6930.32, 66.1, 100 }, { SIM_CO, 'K', 6915.3, 33.9, 0 }, { SIM_CO, 'K', 7649.43, 13.7, 12.8 },
    { SIM_CO, 'L', 776.2, 100, 100 }, { SIM_CO, 'L', 791.4, 29, 22 }, { SIM_CO, 'L', 677.8, 9, 12 },
    { SIM_NI, 'K', 7478.15, 66, 100 }, { SIM_NI, 'K', 7460.89, 34, 0 }, { SIM_NI, 'K', 8264.66, 13.7, 12.8 },
    { SIM_NI, 'L', 851.5, 100, 100 }, { SIM_NI, 'L', 868.8, 28, 17 }, { SIM_NI, 'L', 742.7, 8, 14 },
    { SIM_CU, 'K', 8047.78, 66, 100 }, { SIM_CU, 'K', 8027.83, 34, 0 }, { SIM_CU, 'K', 8905.29, 13.5, 13.2 },
    { SIM_CU, 'L', 929.7, 100, 100 }, { SIM_CU, 'L', 949.8, 27, 20 }, { SIM_CU, 'L', 811.1, 6, 8 },
};
#define SIM_NLINES (sizeof sim_lines / sizeof *sim_lines)

struct sim_detector {
    size_t nch;
    double offset, scale;      /* eV as the file says */
    double true_offset, true_gain;   /* true energy = (1 + gain) * said + offset */
    double noise, fano;        /* FWHM of the electronics in eV; Fano factor */
    double escape;             /* factor on the escape peaks; 0: none */
    bool other;                /* the other table of ratios */
    double tail;               /* part of the counts that falls exponentially below a line */
};
static inline struct sim_detector sim_detector(size_t nch, double scale)
{
    return (struct sim_detector){ .nch = nch, .scale = scale, .noise = 56, .fano = 0.115, .escape = 1 };
}
static inline double sim_sigma(const struct sim_detector *d, double ev)
{
    return sqrt(d->noise * d->noise / 5.545177 + d->fano * 3.65 * ev);
}
/* Counts of one Gaussian into y. */
static inline void sim_gauss(const struct sim_detector *d, double ev, double counts, double *y)
{
    double s = sim_sigma(d, ev) * sqrt(2), last = NAN;
    for (size_t i = 0; i <= d->nch; i++) {
        double border = (d->offset + ((double)i - 0.5) * d->scale) * (1 + d->true_gain) + d->true_offset;
        double c = 0.5 * erf((border - ev) / s);
        if (i) y[i - 1] += counts * (c - last);
        last = c;
    }
}
static inline void sim_peak(const struct sim_detector *d, double ev, double counts, double *y)
{
    /* Of a thick silicon slab; fits the formula of Reed and Ware to 3 % between 2 and 10 keV. */
    double p = ev > 1839 ? d->escape * 0.0202 / (1 + 0.36 * pow(ev / 2000, 2.3)) : 0;
    sim_gauss(d, ev, counts * (1 - p) * (1 - d->tail), y);
    if (p > 0) sim_gauss(d, ev - 1739.8, counts * p * (1 - d->tail), y);
    for (int k = 0; d->tail > 0 && k < 20; k++)    /* 20 slices of an exponential with 150 eV */
        sim_gauss(d, ev + 150 * log(1 - ((double)k + 0.5) / 20), counts * d->tail / 20, y);
}
/* `alpha` counts of the alpha lines of a family, and the rest in proportion. */
static inline void sim_family(const struct sim_detector *d, int element, char family, double alpha, double *y)
{
    double unit = 0;
    for (size_t k = 0; k < SIM_NLINES; k++) {
        const struct sim_line *l = &sim_lines[k];
        if (l->element != element || l->family != family) continue;
        /* The alpha lines are those of the first entry's doublet: within 20 eV (25 eV at 8 keV) of it. */
        if (unit == 0) {
            for (size_t j = k; j < SIM_NLINES && sim_lines[j].element == element && sim_lines[j].family == family; j++) {
                double below = l->energy - sim_lines[j].energy;
                if (below >= 0 && below < 21 && (j == k || l->energy > 1000)) unit += d->other ? sim_lines[j].other : sim_lines[j].counts;
            }
        }
        double c = d->other ? l->other : l->counts;
        if (c > 0) sim_peak(d, l->energy, alpha * c / unit, y);
    }
}
/* Bremsstrahlung through a window, a dead layer of 50 nm of silicon, 0.45 mm of silicon; scaled to `per_kev` counts per keV at
 * 4.5 keV. tilt: a power of E that tells materials apart. */
static inline void sim_back(const struct sim_detector *d, double per_kev, double tilt, double *y)
{
    double norm = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < (pass ? d->nch : 1); i++) {
            double e = pass ? ((d->offset + (double)i * d->scale) * (1 + d->true_gain) + d->true_offset) / 1000 : 4.5;
            if (e < 0.05) continue;
            double mu_si = (e > 1.839 ? 3200 * pow(e / 1.839, -2.8) : 330 * pow(e / 1.839, -2.7)) * 2.33e-7;   /* per nm */
            double v = (200 - e) / e * pow(e / 4.5, tilt) * exp(-0.55 * pow(e, -2.6)) * exp(-50 * mu_si) * (1 - exp(-4.5e5 * mu_si));
            if (pass) y[i] += per_kev / norm * v * d->scale / 1000;
            else norm = v;
        }
}

/* What a pixel of a material gives at dose 1: alpha counts, in total about 600. */
struct sim_pixel { double ti, la, o, mn, co, ni, cu, back, tilt; };
static inline struct sim_pixel sim_llto(void)
{
    return (struct sim_pixel){ .ti = 100, .la = 90, .o = 60, .cu = 15, .back = 20 };
}
static inline struct sim_pixel sim_ncm(void)
{
    return (struct sim_pixel){ .mn = 40, .co = 40, .ni = 40, .o = 60, .cu = 15, .back = 15, .tilt = 0.1 };
}
static inline void sim_spectrum(const struct sim_detector *d, const struct sim_pixel *p, double dose, double *y)
{
    memset(y, 0, d->nch * sizeof *y);
    sim_family(d, SIM_O, 'K', dose * p->o, y);
    sim_family(d, SIM_TI, 'K', dose * p->ti, y);
    sim_family(d, SIM_TI, 'L', dose * p->ti * 0.1, y);
    sim_family(d, SIM_LA, 'L', dose * p->la, y);
    sim_family(d, SIM_LA, 'M', dose * p->la * 0.5, y);
    const double a[3] = { p->mn, p->co, p->ni };
    for (int k = 0; k < 3; k++) {
        sim_family(d, SIM_MN + k, 'K', dose * a[k], y);
        sim_family(d, SIM_MN + k, 'L', dose * a[k] * 0.5, y);
    }
    sim_family(d, SIM_CU, 'K', dose * p->cu, y);
    sim_family(d, SIM_CU, 'L', dose * p->cu * 0.6, y);
    sim_back(d, dose * p->back, p->tilt, y);
}

/* ---- random counts: xorshift128+; Poisson by multiplication below 30, else a normal number, rounded ---- */

static uint64_t sim_state[2] = { 0x9e3779b97f4a7c15u, 0xbf58476d1ce4e5b9u };
static inline double sim_uniform(void)
{
    uint64_t a = sim_state[0], b = sim_state[1];
    sim_state[0] = b;
    a ^= a << 23;
    sim_state[1] = a ^ b ^ (a >> 17) ^ (b >> 26);
    return ((double)((sim_state[1] + b) >> 11) + 0.5) * 0x1p-53;
}
static inline double sim_normal(void)
{
    return sqrt(-2 * log(sim_uniform())) * cos(6.283185307179586 * sim_uniform());
}
static inline double sim_poisson(double mu)
{
    if (mu > 30) {             /* Cornish-Fisher: keeps the third moment */
        double z = sim_normal();
        return fmax(0, floor(mu + sqrt(mu) * z + (z * z - 1) / 6 + 0.5));
    }
    double limit = exp(-mu), p = sim_uniform(), n = 0;
    while (p > limit) n++, p *= sim_uniform();
    return n;
}
#endif
