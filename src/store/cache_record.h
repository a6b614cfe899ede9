/* cache_record.h - one stored answer as bytes, for disks and for Redis.
 *
 *     header (160 bytes) | varied | etag | lines | body | digest (16 bytes)
 *
 * All numbers are little-endian. The header ends with a checksum of its own,
 * so that whoever looks for records need not read the bodies; the digest (the
 * first half of SHA-256) is over everything before it. A record that was cut
 * off, torn, mixed with another, or changed in any bit is not a record.
 *
 * The digest tells accidents. It is no signature: whoever may write to the
 * directory or to the Redis decides what is in the answers.
 *
 * Times are Unix milliseconds, as the reader is another process at another
 * time; what they mean is the reader's business (the clock may have jumped).
 * Threading: any. */
#ifndef SWG_STORE_CACHE_RECORD_H
#define SWG_STORE_CACHE_RECORD_H

#include <stdint.h>

#include "base/bytes.h"

enum {
    CACHE_RECORD_KEY = 32,
    CACHE_RECORD_HEADER = 160,
    CACHE_RECORD_DIGEST = 16,
    CACHE_RECORD_EXTRA = CACHE_RECORD_HEADER + CACHE_RECORD_DIGEST,
};

/* No part may be longer, nor all together. */
#define CACHE_RECORD_MAX ((uint64_t)1 << 30)

enum cache_record_kind {
    CACHE_RECORD_ANSWER = 1,
    CACHE_RECORD_REMOVED = 2, /* on disks: what was written before under this key is void */
};

struct cache_record {
    enum cache_record_kind kind;
    uint8_t key[CACHE_RECORD_KEY];
    uint16_t status;
    bool stale_forbidden, has_last_modified;
    int64_t last_modified_s;
    int64_t came_ms; /* when the answer came, on the wall clock of who stored it */
    /* Ages and windows as in engine/freshness.h; no more than CACHE_RECORD_LIFE_MAX. */
    uint64_t age_ms, lifetime_ms, revalidate_ms, stale_ms, stale_forced_ms;
    struct bytes varied, etag, lines, body; /* views */
};

/* A hundred years: five of them can be added in nanoseconds. */
#define CACHE_RECORD_LIFE_MAX (UINT64_C(100) * 365 * 86400 * 1000)

/* Of the whole record, extra included. */
uint64_t cache_record_size(const struct cache_record *);
/* When nobody can use it any more, in Unix milliseconds. */
int64_t cache_record_over_ms(const struct cache_record *);

/* 0, -E2BIG (a part is too long), -EIO (no SHA-256 to be had). `digest` is
 * of all parts; header and digest go before and behind them. */
int cache_record_write(const struct cache_record *, uint8_t header[CACHE_RECORD_HEADER],
                       uint8_t digest[CACHE_RECORD_DIGEST]);

/* The header alone: 0, with the parts at NULL but with their lengths; or -EBADMSG. */
int cache_record_read_header(const uint8_t header[CACHE_RECORD_HEADER], struct cache_record *out);
/* All of it, and nothing behind it: 0, with views into `bytes`; -EBADMSG; -EIO. */
int cache_record_read(struct bytes, struct cache_record *out);

#endif
