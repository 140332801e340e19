/*
 * Random numbers of the simulator: seeded per pixel, so that a file does not depend on the
 * number of threads or on which other files are made beside it.
 */
#ifndef SIM_RNG_H
#define SIM_RNG_H

#include <stdint.h>

struct sim_rng {
    uint64_t s[4];
};

/* Mixes one more word into a hash. Start from the user's seed. */
uint64_t sim_hash(uint64_t hash, uint64_t word);

/* Mixes a text into a hash. */
uint64_t sim_hash_text(uint64_t hash, const char *text);

void sim_rng_seed(struct sim_rng *rng, uint64_t seed);

/* Uniform in [0, 1), 53 bits. */
double sim_uniform(struct sim_rng *rng);

/* Normal with mean 0 and standard deviation 1. */
double sim_normal(struct sim_rng *rng);

/* Poisson with the given mean (0 when mean <= 0; mean below 1e15). */
int64_t sim_poisson(struct sim_rng *rng, double mean);

#endif
