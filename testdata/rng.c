/*
 * Generator: xoshiro256** (Blackman and Vigna, ACM Trans. Math. Softw. 47 (2021) 36), its state
 * filled by splitmix64 as its authors advise. Poisson numbers: inversion by sequential search
 * for small means, transformed rejection PTRS for large ones (W. Hoermann, Insurance:
 * Mathematics and Economics 12 (1993) 39).
 */
#include "rng.h"

#include <math.h>

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t sim_hash(uint64_t hash, uint64_t word)
{
    uint64_t state = hash ^ (word * 0xd6e8feb86659fd93u);
    uint64_t first = splitmix64(&state);
    return first ^ splitmix64(&state);
}

uint64_t sim_hash_text(uint64_t hash, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        hash = sim_hash(hash, (unsigned char)*p);
    }
    return sim_hash(hash, 0x7e47u);
}

void sim_rng_seed(struct sim_rng *rng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        rng->s[i] = splitmix64(&seed);
    }
}

static uint64_t rotate_left(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

static uint64_t next_word(struct sim_rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

double sim_uniform(struct sim_rng *rng)
{
    return (double)(next_word(rng) >> 11) * 0x1.0p-53;
}

double sim_normal(struct sim_rng *rng)
{
    double u = 1.0 - sim_uniform(rng); /* in (0, 1]: the logarithm is finite */
    double v = sim_uniform(rng);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

/* ln k! to better than 1e-10: a table, then Stirling's series. (lgamma writes a global.) */
static double log_factorial(double k)
{
    static const double table[10] = {
        0.0,
        0.0,
        0.69314718055994531,
        1.79175946922805500,
        3.17805383034794562,
        4.78749174278204599,
        6.57925121201010100,
        8.52516136106541430,
        10.60460290274525023,
        12.80182748008146961,
    };
    if (k < 10.0) {
        return table[(int)k];
    }
    double inv = 1.0 / k;
    double inv2 = inv * inv;
    return (k + 0.5) * log(k) - k + 0.91893853320467274 +
           inv * (1.0 / 12.0 - inv2 * (1.0 / 360.0 - inv2 * (1.0 / 1260.0 - inv2 / 1680.0)));
}

static int64_t poisson_inversion(struct sim_rng *rng, double mean)
{
    double p = exp(-mean);
    double u = sim_uniform(rng);
    int64_t k = 0;
    /* 1000 stands far beyond any quantile that 53 bits can ask for at mean 10. */
    while (u >= p && k < 1000) {
        u -= p;
        k++;
        p *= mean / (double)k;
    }
    return k;
}

static int64_t poisson_ptrs(struct sim_rng *rng, double mean)
{
    double b = 0.931 + 2.53 * sqrt(mean);
    double a = -0.059 + 0.02483 * b;
    double v_r = 0.9277 - 3.6224 / (b - 2.0);
    for (;;) {
        double u = sim_uniform(rng) - 0.5;
        double v = 1.0 - sim_uniform(rng);
        double us = 0.5 - fabs(u);
        double k = floor((2.0 * a / us + b) * u + mean + 0.43);
        if (us >= 0.07 && v <= v_r) {
            return (int64_t)k;
        }
        if (k < 0.0 || us <= 0.0 || (us < 0.013 && v > us)) {
            continue;
        }
        double inv_alpha = 1.1239 + 1.1328 / (b - 3.4);
        double left = log(v * inv_alpha / (a / (us * us) + b));
        if (left <= -mean + k * log(mean) - log_factorial(k)) {
            return (int64_t)k;
        }
    }
}

int64_t sim_poisson(struct sim_rng *rng, double mean)
{
    if (!(mean > 0.0)) {
        return 0;
    }
    return mean < 10.0 ? poisson_inversion(rng, mean) : poisson_ptrs(rng, mean);
}
