/* time.h - times and durations: unsigned 64-bit nanoseconds.
 *
 * A time (`now_ns`) is read from one clock that never goes backwards and is
 * not set by anybody (CLOCK_MONOTONIC); only differences mean anything. The
 * engine never reads a clock: time is an argument of every function that
 * depends on it. */
#ifndef SWITCHGEAR_TIME_H
#define SWITCHGEAR_TIME_H

#include <stdint.h>

#define SWG_MS(n)      ((uint64_t)(n)*UINT64_C(1000000))
#define SWG_SECONDS(n) ((uint64_t)(n)*UINT64_C(1000000000))
#define SWG_MINUTES(n) SWG_SECONDS((uint64_t)(n)*60)
#define SWG_HOURS(n)   SWG_SECONDS((uint64_t)(n)*3600)

/* No time at all: later than everything. */
#define SWG_NEVER UINT64_MAX

/* Durations in options: 0 means "the default", SWG_OFF means "none". */
#define SWG_OFF UINT64_MAX

#endif
