/* admin_link.h - asks the admin API on a loop, without waiting: for `switchgear top`.
 *
 * An ask is embedded in its owner, one connection each time. An answer may also be
 * followed as it comes (on_piece), as the stream of events is.
 *
 * Threading: the loop's. Memory: until on_end() or cancel. */
#ifndef SWG_CLI_ADMIN_LINK_H
#define SWG_CLI_ADMIN_LINK_H

#include "base/io.h"
#include "cli/admin_answer.h"
#include "cli/admin_client.h"

struct admin_link {
    const struct admin_client *client;
    struct io *io;
    struct sockaddr_storage address;
    socklen_t len; /* 0: the name is to be looked up (again) */
};

struct admin_ask {
    /* the owner's, set once */
    struct admin_link *link;
    /* What came of the body of a 200, in order; NULL: it is kept for on_end(). */
    void (*on_piece)(struct admin_ask *, struct bytes);
    /* Once for each begin, never from within it: the status and the body (of a followed
     * answer: nothing); or status 0, and why there is none. May begin again. */
    void (*on_end)(struct admin_ask *, int status, struct bytes body, const char *why);
    /* admin_link.c's */
    struct io_stream stream;
    struct io_timer timer; /* nothing has come for too long; or: there is a failure to tell */
    struct admin_answer answer;
    struct buf content;
    uint64_t silence_ns;
    bool under_way;
    int failed; /* -errno, to be told */
    const char *why;
};

void admin_ask_init(struct admin_ask *, struct admin_link *);
/* Nothing is under way. `silence_ns`: how long nothing may come. */
void admin_ask_begin(struct admin_ask *, const char *method, const char *path, const char *fields,
                     struct bytes body, uint64_t silence_ns);
/* on_end() does not come any more. Harmless when nothing is under way. */
void admin_ask_cancel(struct admin_ask *);

#endif
