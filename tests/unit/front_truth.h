/* True profiles across a boundary, as a probe sees them: what tests of fronts count pixels from. Header only. */
#ifndef TESTS_UNIT_FRONT_TRUTH_H
#define TESTS_UNIT_FRONT_TRUTH_H
#include <math.h>
#include <stddef.h>

#define PROBE (1.0 / 2.354820045)     /* nm, sigma */

enum shape { SHARP, SYMMETRIC, ONE_SIDED, INTERPHASE, SHAPES };
static const char *const shape_names[] = { "sharp", "symmetric", "one-sided", "interphase" };

/* The share of the high side at distance d, before the probe. depth: where a tenth is left. */
static inline double sharp_share(enum shape shape, double depth, double d)
{
    switch (shape) {
    case SYMMETRIC: return 0.5 * erfc(d / (depth / 0.906193802436823));
    case ONE_SIDED: return d < 0 ? 1 : erfc(d / (depth / 1.163087153676674));
    case INTERPHASE: return d < 0 ? 1 : d < depth ? 0.45 : 0;
    default: return d < 0;
    }
}

/* Tabulated after the probe: at -30 to 30 nm by 0.01 nm. */
#define TAB 6001
struct curve { double v[TAB]; };

static inline void blur(enum shape shape, double depth, struct curve *c)
{
    double w[401], sum = 0;
    for (int k = -200; k <= 200; k++) sum += w[k + 200] = exp(-0.5 * pow(k * 0.01 / PROBE, 2));
    static double sharp[TAB + 400];
    for (int i = 0; i < TAB + 400; i++) sharp[i] = sharp_share(shape, depth, (i - 200) * 0.01 - 30 + 1e-9);
    for (int i = 0; i < TAB; i++) {
        double v = 0;
        for (int k = 0; k <= 400; k++) v += w[k] * sharp[i + k];
        c->v[i] = v / sum;
    }
}

static inline double share(const struct curve *c, double d)
{
    double t = (d + 30) / 0.01;
    if (t <= 0) return c->v[0];
    if (t >= TAB - 1) return c->v[TAB - 1];
    size_t i = (size_t)t;
    return c->v[i] + (t - (double)i) * (c->v[i + 1] - c->v[i]);
}

/* Where the blurred curve has a tenth left: the true position. */
static inline double truth(const struct curve *c)
{
    for (int i = TAB - 2; i >= 0; i--)
        if (c->v[i] >= 0.1) return -30 + 0.01 * (i + (c->v[i] - 0.1) / (c->v[i] - c->v[i + 1]));
    return (double)NAN;
}

/* How far found positions are off, and how often their sigmas hold that. */
struct tally { double n, sum, square, inside, inside2, sigma; };

static inline void count(struct tally *t, double off, double sigma)
{
    t->n += 1;
    t->sum += off;
    t->square += off * off;
    t->inside += fabs(off) < sigma;
    t->inside2 += fabs(off) < 2 * sigma;
    t->sigma += sigma;
}
#endif
