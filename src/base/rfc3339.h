/* rfc3339.h - a moment of the wall clock as text: 2026-11-21T00:38:20.123Z.
 *
 * For people and other programs to read; never for arithmetic inside, which
 * uses the monotonic clock. */
#ifndef SWG_BASE_RFC3339_H
#define SWG_BASE_RFC3339_H

#include <stdint.h>

enum { RFC3339_SIZE = 25 }; /* with its NUL */

/* UTC, milliseconds. Moments past the year 9999 are written as its end. */
void rfc3339_ms(char out[RFC3339_SIZE], uint64_t unix_ms);

#endif
