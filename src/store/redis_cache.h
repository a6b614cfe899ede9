/* redis_cache.h - answers in a Redis, which several gateways may share.
 *
 *     SET prefix:1:key-in-hex RECORD PX life      GET …      DEL …
 *
 * One connection an event loop, made anew when it breaks, at growing intervals.
 * Commands go out at once, one behind the other, and are answered in order. While
 * there is no connection nothing is asked and nothing stored; what should be
 * removed is removed when there is one again, before anything is asked.
 *
 * How long an answer is waited for is the asker's business; a connection on
 * which none has come for a second is given up.
 *
 * Threading: the loop's thread; read_stats from any. */
#ifndef SWG_STORE_REDIS_CACHE_H
#define SWG_STORE_REDIS_CACHE_H

#include <sys/socket.h>

#include "store/cache_store.h"

struct redis_cache_options {
    struct io *io;
    /* Where it is now; false while nobody knows. */
    bool (*address)(void *arg, struct sockaddr_storage *, socklen_t *);
    const char *user, *password; /* NULL: none */
    uint32_t database;
    const char *prefix;
    /* The first connection, the loss of one, and the next: cause NULL is good. Not
     * repeated while it stays the same. */
    void (*on_state)(void *arg, const char *cause);
    void *arg;
    uint64_t seed; /* so that many gateways do not come back at once */
};

enum {
    REDIS_CACHE_RECORD_MAX = 1 << 20,  /* a longer one is not stored */
    REDIS_CACHE_UNSENT_MAX = 16 << 20, /* bytes of records that were not answered yet */
    REDIS_CACHE_COMMANDS_MAX = 1024,
    REDIS_CACHE_OWED_MAX = 4096, /* removals; more: what is older than now is not believed */
    REDIS_CACHE_PREFIX_MAX = 64,
};

/* Strings are copied. 0 or -ENOMEM. */
int redis_cache_create(struct cache_store **out, const struct redis_cache_options *);
/* What was asked is answered (SKIPPED) before it returns. NULL is fine. */
void redis_cache_destroy(struct cache_store *);

#endif
