/* random.h - pseudo-random numbers from a seed, for jitter and choice.
 *
 * splitmix64 (Steele, Lea, Flood, OOPSLA 2014): one addition and one mixing
 * function, every seed is a good seed, the same seed gives the same numbers on
 * every machine. Not for secrets. Threading: the state is the caller's. */
#ifndef SWG_BASE_RANDOM_H
#define SWG_BASE_RANDOM_H

#include <stdint.h>

/* Spreads every bit of x over all bits of the result; a bijection. */
static inline uint64_t random_mix(uint64_t x) {
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* The next number of the sequence that *state stands for. */
static inline uint64_t random_next(uint64_t *state) {
    return random_mix(*state += UINT64_C(0x9e3779b97f4a7c15));
}

/* Maps 64 random bits to 0…max, both included, evenly but for one part in
 * 2^64 / max; by multiplication, as a division would cost more. */
static inline uint64_t random_up_to(uint64_t random, uint64_t max) {
    if (max == UINT64_MAX)
        return random;
    return (uint64_t)(((unsigned __int128)random * (max + 1)) >> 64);
}

#endif
