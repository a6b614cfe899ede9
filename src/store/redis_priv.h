/* redis_priv.h - the layout of a redis_cache, for its own files. */
#ifndef SWG_STORE_REDIS_PRIV_H
#define SWG_STORE_REDIS_PRIV_H

#include <hiredis/async.h>
#include <stdbool.h>

#include "base/io.h"
#include "store/redis_cache.h"

/* A connection, and what it must be told first. */
struct redis_link {
    struct io *io;
    redisAsyncContext *context; /* NULL: none */
    struct io_watch watch;
    uint32_t interest;     /* EPOLLIN, EPOLLOUT */
    struct io_timer timer; /* to begin again, or to give up */
    bool ready;            /* greeted; commands may be sent */
    uint32_t failures;     /* in a row */
    uint64_t heard_ns;     /* something was asked, or came, last */
    uint64_t random;
    const struct redis_cache_options *options; /* the owner's */
    const char *cause;                         /* told last */
    bool told;
    /* The owner's; on_ready may send commands. */
    void (*on_ready)(struct redis_link *);
    uint32_t *waiting; /* commands without an answer */
};

void redis_link_init(struct redis_link *);
/* In the next turn of the loop. */
void redis_link_begin(struct redis_link *);
/* Commands without an answer get none: their callbacks are called with NULL. */
void redis_link_end(struct redis_link *);
/* The same, and begins again later. Not from inside a callback of hiredis. */
void redis_link_fail(struct redis_link *, const char *cause);
/* A command was sent, or answered: arms what gives up. */
void redis_link_watch(struct redis_link *);

#endif
