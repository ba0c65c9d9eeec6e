/* A random generator with state of its own: the same seed gives the same numbers on every
 * machine and with every compiler, because nothing here calls libm. Not for secrets.
 * Sources: xoshiro256++ 1.0 and splitmix64 (Blackman, Vigna, prng.di.unimi.it, public domain). */
#ifndef ISOLDE_COMMON_RNG_H
#define ISOLDE_COMMON_RNG_H

#include <stdint.h>

struct rng {
	uint64_t s[4];
};

/* Fills the state from splitmix64, as the authors advise. Any seed is good. */
void rng_seed(struct rng *rng, uint64_t seed);

uint64_t rng_next(struct rng *rng);

/* Uniform in [0, 1), a multiple of 2^-53. */
double rng_uniform(struct rng *rng);

/* Uniform in 0 .. n-1, without modulo bias. n > 0. */
uint64_t rng_below(struct rng *rng, uint64_t n);

/* Standard normal, exactly distributed up to the 53 bits of its uniforms, made by comparisons
 * alone. Source: Karney, "Sampling exactly from the normal distribution", ACM TOMS 42(1), 2016,
 * algorithm N. About 20 uniforms a deviate. */
double rng_normal(struct rng *rng);

#endif
