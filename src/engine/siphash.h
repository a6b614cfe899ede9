/* siphash.h - SipHash-1-3 (Aumasson and Bernstein, 2012): a keyed hash of bytes.
 *
 * Whoever does not know the key cannot make names that collide. One round a
 * word and three at the end are what the hash tables of Rust, Python and Perl
 * use: enough for tables, not for signatures. Same numbers on every machine. */
#ifndef SWG_ENGINE_SIPHASH_H
#define SWG_ENGINE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

static inline uint64_t siphash_rotate(uint64_t v, unsigned by) {
    return v << by | v >> (64 - by);
}

static inline void siphash_round(uint64_t v[4]) {
    v[0] += v[1];
    v[1] = siphash_rotate(v[1], 13) ^ v[0];
    v[0] = siphash_rotate(v[0], 32);
    v[2] += v[3];
    v[3] = siphash_rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = siphash_rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = siphash_rotate(v[1], 17) ^ v[2];
    v[2] = siphash_rotate(v[2], 32);
}

/* `count` bytes, 0…8, the first lowest. */
static inline uint64_t siphash_word(const unsigned char *at, size_t count) {
    uint64_t word = 0;
    for (size_t i = 0; i < count; i++)
        word |= (uint64_t)at[i] << (8 * i);
    return word;
}

static inline uint64_t siphash(const uint64_t key[2], const void *bytes, size_t length) {
    const unsigned char *at = (const unsigned char *)bytes;
    uint64_t v[4] = {
        key[0] ^ UINT64_C(0x736f6d6570736575),
        key[1] ^ UINT64_C(0x646f72616e646f6d),
        key[0] ^ UINT64_C(0x6c7967656e657261),
        key[1] ^ UINT64_C(0x7465646279746573),
    };
    size_t left = length;
    for (; left >= 8; left -= 8, at += 8) {
        uint64_t word = siphash_word(at, 8);
        v[3] ^= word;
        siphash_round(v);
        v[0] ^= word;
    }
    uint64_t last = siphash_word(at, left) | (uint64_t)length << 56;
    v[3] ^= last;
    siphash_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        siphash_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
