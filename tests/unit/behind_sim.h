/* O K behind Ti L2,3, and the low loss of the same electrons. All that is lost once, background and edges, is convolved with one distribution of
 * losses: Poisson orders of single losses of three kinds of bound electrons, which fall as E^-3, and the zero-loss peak. Nothing of it is the
 * program's. */
#ifndef TESTS_UNIT_BEHIND_SIM_H
#define TESTS_UNIT_BEHIND_SIM_H
#include "tests/unit/stage_rig.h"

enum { LOSSES = 1400, LATTICE = 1680, PEAK = 40, ORDERS = 9 };      /* 350 eV; 180 to 600 eV; +-10 eV */
#define STEP 0.25

struct behind {
    double dose, electrons;       /* counts of the background per eV at 500 eV; of the low loss */
    double t, titanium, pre;      /* t/lambda; height of Ti L2,3 and of the pre-peak */
    double shift;                 /* eV: where zero loss stands on both axes */
};

static double hump(double e, double centre, double fwhm)
{
    return exp(-4 * log(2) * (e - centre) * (e - centre) / (fwhm * fwhm));
}

static void single_loss(double *s)
{
    static const double term[3][3] = { { 13, 6, 0.2 }, { 21.5, 7, 0.3 }, { 30, 10, 0.5 } };
    double sum = 0;
    for (int i = 0; i < LOSSES; i++) {
        double e = STEP * i, gap = e > 3 ? 1 - exp(-(e - 3) * (e - 3) / 2) : 0;
        s[i] = 0;
        for (int k = 0; k < 3; k++) {
            double d = e * e - term[k][0] * term[k][0], w = e * term[k][1];
            s[i] += gap * term[k][2] * term[k][0] * w / (d * d + w * w);
        }
        sum += s[i];
    }
    for (int i = 0; i < LOSSES; i++) s[i] /= sum;
}

/* out = a convolved with b, n values of it. */
static void convolve(const double *a, const double *b, int n, double *out)
{
    for (int i = 0; i < n; i++) {
        double sum = 0;
        for (int k = 0; k <= i && k < LOSSES; k++) sum += b[k] * a[i - k];
        out[i] = sum;
    }
}

/* Share of electrons with each loss: the first is that of no loss. */
static void all_losses(double t, double *p)
{
    static double s[LOSSES], order[LOSSES], next[LOSSES];
    single_loss(s);
    memset(order, 0, sizeof order);
    memset(p, 0, LOSSES * sizeof *p);
    order[0] = exp(-t);
    for (int n = 1; n <= ORDERS; n++) {
        for (int i = 0; i < LOSSES; i++) p[i] += order[i];
        convolve(order, s, LOSSES, next);
        for (int i = 0; i < LOSSES; i++) order[i] = t / n * next[i];
    }
}

/* Lost once, per 0.25 eV; what: background, titanium's edge, oxygen's. */
static double lost_once(const struct behind *b, int what, double e)
{
    double step = 1 / (1 + exp(-(e - 459) / 0.5)), ok = 1 / (1 + exp(-(e - 536) / 0.8)), gate = 1 / (1 + exp(-(e - 527.5) / 0.2));
    if (what == 0) return pow(e / 500, -3);
    if (what == 1)
        return b->titanium * (0.16 * step * pow(e / 480, -2.6) + 0.7 * hump(e, 458, 1.2) + 0.9 * hump(e, 460.4, 1.7) + 0.6 * hump(e, 463.5, 1.5) +
                              0.8 * hump(e, 465.8, 2) + 0.06 * hump(e, 473, 4));
    return 0.3 * ok * pow(e / 536, -2.8) + gate * (b->pre * hump(e, 530, 2.2) + 0.3 * hump(e, 541, 6));
}

/* Expected counts on the two axes (their channels are multiples of 0.25 eV, where zero loss is not shifted); returns the true ratio of
 * [527, 532] over [536, 546] eV, plural losses included. */
static double behind_counts(const struct behind *b, const struct ep_desc *core, const struct ep_desc *low, double *mu, double *mu_low)
{
    static double p[LOSSES], x[LATTICE], y[LATTICE], sum[LATTICE];
    double z[2 * PEAK + 1], area = 0, above = 0, below = 0;
    for (int k = -PEAK; k <= PEAK; k++) area += z[k + PEAK] = hump(STEP * k, 0, 0.9) + 0.01 * hump(STEP * k, 0, 3);
    all_losses(b->t, p);
    memset(sum, 0, sizeof sum);
    for (int what = 0; what < 3; what++) {
        for (int i = 0; i < LATTICE; i++) x[i] = lost_once(b, what, 180 + STEP * (i + 0.5)) * exp(b->t) * b->dose * STEP;
        convolve(x, p, LATTICE, y);
        for (int i = 0; i < LATTICE; i++) {
            double v = 0, e = 180 + STEP * (i + 0.5);
            for (int k = -PEAK; k <= PEAK; k++) v += i - k >= 0 && i - k < LATTICE ? z[k + PEAK] / area * y[i - k] : 0;
            sum[i] += v;
            if (what == 2 && e > 527 && e < 532) above += v;
            if (what == 2 && e > 536 && e < 546) below += v;
        }
    }
    int per = (int)lround(core->energy.scale / STEP);
    for (size_t i = 0; i < ep_desc_nch(core); i++) {
        int first = (int)lround((ep_axis_at(&core->energy, (double)i) - b->shift - 0.5 * core->energy.scale - 180) / STEP);
        mu[i] = 0;
        for (int k = 0; k < per; k++) mu[i] += sum[first + k];
    }
    for (size_t i = 0; i < ep_desc_nch(low); i++) {
        int at = (int)lround((ep_axis_at(&low->energy, (double)i) - b->shift) / STEP);
        mu_low[i] = 0;
        for (int k = -PEAK; k <= PEAK; k++) mu_low[i] += at - k >= 0 && at - k < LOSSES ? b->electrons * z[k + PEAK] / area * p[at - k] : 0;
    }
    return above / below;
}
#endif
