#include "common/rng.h"
#include <stdbool.h>

static uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

void rng_seed(struct rng *rng, uint64_t seed)
{
	for (int i = 0; i < 4; i++) { /* splitmix64 */
		seed += UINT64_C(0x9e3779b97f4a7c15);
		uint64_t z = seed;
		z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
		rng->s[i] = z ^ (z >> 31);
	}
}

uint64_t rng_next(struct rng *rng) /* xoshiro256++ */
{
	uint64_t *s = rng->s;
	uint64_t result = rotl(s[0] + s[3], 23) + s[0];
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

double rng_uniform(struct rng *rng)
{
	return (double)(rng_next(rng) >> 11) * 0x1p-53;
}

uint64_t rng_below(struct rng *rng, uint64_t n)
{
	uint64_t reject_below = (0 - n) % n; /* 2^64 mod n: the part that would bias */
	uint64_t x;

	do
		x = rng_next(rng);
	while (x < reject_below);
	return x % n;
}

/* True with probability exp(-x), 0 <= x <= 1: the run x > u1 > u2 > ... ends after an even
 * number of uniforms (von Neumann 1951; Karney, algorithm H generalised). */
static bool bernoulli_exp(struct rng *rng, double x)
{
	bool even = true;
	double last = x;

	for (;;) {
		double u = rng_uniform(rng);
		if (u >= last)
			return even;
		last = u;
		even = !even;
	}
}

/* True with probability exp(-n/2). */
static bool bernoulli_exp_halves(struct rng *rng, unsigned n)
{
	while (n--) {
		if (!bernoulli_exp(rng, 0.5))
			return false;
	}
	return true;
}

double rng_normal(struct rng *rng)
{
	for (;;) {
		unsigned k = 0; /* the whole part: P(k) ~ exp(-k/2), kept with exp(-k(k-1)/2) */
		while (bernoulli_exp(rng, 0.5))
			k++;
		if (!bernoulli_exp_halves(rng, k * (k - (k > 0))))
			continue;

		/* The fraction, kept with exp(-x(2k+x)/2), as k + 1 equal factors below 1. */
		double x = rng_uniform(rng);
		double part = x * (2.0 * k + x) / (2.0 * k + 2.0);
		bool keep = true;
		for (unsigned i = 0; keep && i <= k; i++)
			keep = bernoulli_exp(rng, part);
		if (keep)
			return rng_next(rng) >> 63 ? k + x : -(k + x);
	}
}
