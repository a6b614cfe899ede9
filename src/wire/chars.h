/* chars.h - classes of bytes in HTTP text, and fast ways past runs of them.
 *
 * One table for all parsers of this room. The skip functions look at 16 bytes
 * at a time where SSE2 is there (every x86-64) and never read at or past end. */
#ifndef SWG_WIRE_CHARS_H
#define SWG_WIRE_CHARS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum char_class {
    CHAR_TOKEN = 0x01,  /* tchar, RFC 9110 section 5.6.2 */
    CHAR_VALUE = 0x02,  /* HTAB, SP, visible, obs-text: may stand in a field value */
    CHAR_TARGET = 0x04, /* visible ASCII but '#': may stand in a request target */
    CHAR_HOST = 0x08,   /* unreserved and sub-delims of RFC 3986, but ',' */
    CHAR_HEX = 0x10,
    CHAR_IPV6 = 0x20, /* inside the brackets of an address: hex, ':' and '.' */
    /* LF, and every control character but HTAB and CR: once one of these has
     * come, what is wrong with a line can be said (see http1_head.c). */
    CHAR_DECIDES = 0x40,
    CHAR_DIGIT = 0x80,
};

extern const uint8_t wire_chars[256];

static inline bool char_is(char c, unsigned classes) {
    return wire_chars[(uint8_t)c] & classes;
}

/* Past all token characters. */
static inline const char *chars_skip_token(const char *at, const char *end) {
    while (at < end && char_is(*at, CHAR_TOKEN))
        at++;
    return at;
}

/* To the first colon, or end. */
static inline const char *chars_find_colon(const char *at, const char *end) {
#ifdef __SSE2__
    const __m128i colon = _mm_set1_epi8(':');
    for (; end - at >= 16; at += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)at);
        unsigned mask = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, colon));
        if (mask)
            return at + __builtin_ctz(mask);
    }
#endif
    while (at < end && *at != ':')
        at++;
    return at;
}

/* To the first byte that may not stand in a field value: mostly CR. */
static inline const char *chars_skip_value(const char *at, const char *end) {
#ifdef __SSE2__
    const __m128i top = _mm_set1_epi8(0x1f), tab = _mm_set1_epi8('\t'), del = _mm_set1_epi8(0x7f);
    for (; end - at >= 16; at += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, top), v);
        __m128i bad =
            _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(v, tab), control), _mm_cmpeq_epi8(v, del));
        unsigned mask = (unsigned)_mm_movemask_epi8(bad);
        if (mask)
            return at + __builtin_ctz(mask);
    }
#endif
    while (at < end && char_is(*at, CHAR_VALUE))
        at++;
    return at;
}

/* To the first byte that may not stand in a request target: mostly SP. */
static inline const char *chars_skip_target(const char *at, const char *end) {
#ifdef __SSE2__
    const __m128i space = _mm_set1_epi8(' '), del = _mm_set1_epi8(0x7f), hash = _mm_set1_epi8('#');
    for (; end - at >= 16; at += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)at);
        /* Signed: bytes from 0x80 on are negative, so not above the space. */
        __m128i visible = _mm_cmpgt_epi8(v, space);
        __m128i wrong = _mm_or_si128(_mm_cmpeq_epi8(v, del), _mm_cmpeq_epi8(v, hash));
        unsigned mask = (unsigned)_mm_movemask_epi8(_mm_andnot_si128(wrong, visible));
        if (mask != 0xffff)
            return at + __builtin_ctz(~mask);
    }
#endif
    while (at < end && char_is(*at, CHAR_TARGET))
        at++;
    return at;
}

#endif
