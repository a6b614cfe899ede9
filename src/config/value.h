/* value.h - how values are written in a configuration: text to number and back.
 *
 * Pure functions over text, exact (no floating point). Reading answers true,
 * or false with the value untouched. Writing gives the shortest form that
 * reads back to the same value. */
#ifndef SWG_CONFIG_VALUE_H
#define SWG_CONFIG_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"

/* "5" */
bool value_count(struct bytes, uint64_t *);
/* "250ms", "1.5s", "1h"; ns us ms s m h d; "0" needs no unit. */
bool value_duration(struct bytes, uint64_t *ns);
/* "64KiB", "1MB", "4096": B KB MB GB TB (powers of 1000), KiB MiB GiB TiB. */
bool value_size(struct bytes, uint64_t *bytes);
/* "50%" */
bool value_percent(struct bytes, uint64_t *percent);
/* "100/s", "10/m", "5/h", "1/d" */
bool value_rate(struct bytes, uint64_t *calls, uint64_t *per_ns);
/* "true", "false" */
bool value_bool(struct bytes, bool *);

void value_write_duration(struct buf *, uint64_t ns);
void value_write_size(struct buf *, uint64_t bytes);
void value_write_rate(struct buf *, uint64_t calls, uint64_t per_ns);

/* What was perhaps meant by a text that did not read: "5s" for "5" or "5 sec",
 * "64KiB" for "64k", "50%" for "50" or "0.5", "100/s" for "100" or "100 per second". False: no
 * idea. */
bool value_guess_duration(struct bytes, struct buf *);
bool value_guess_size(struct bytes, struct buf *);
bool value_guess_percent(struct bytes, struct buf *);
bool value_guess_rate(struct bytes, struct buf *);
bool value_guess_bool(struct bytes, struct buf *);

#endif
