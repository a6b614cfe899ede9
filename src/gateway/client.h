/* client.h - a client's connection: requests come in, one after the other, and
 * their exchanges answer them.
 *
 *   IDLE ──bytes──▶ HEAD ──whole head──▶ BUSY ──answered──▶ IDLE
 *     └── timeout ──▶ closed      └─▶ TUNNEL    └─▶ LINGER ─▶ closed
 *
 * An idle connection owns no buffer. What a client sends ahead (pipelining, or
 * a body that the upstream cannot take yet) waits in `in`, and reading pauses. */
#ifndef SWG_GATEWAY_CLIENT_H
#define SWG_GATEWAY_CLIENT_H

#include "gateway/worker.h"

enum client_state {
    CLIENT_IDLE,
    CLIENT_HEAD,
    CLIENT_BUSY,
    CLIENT_TUNNEL,
    CLIENT_LINGER,
    CLIENT_DEAD
};

struct client {
    struct io_stream stream;
    struct list link;      /* worker->clients, then worker->dead_clients */
    struct io_timer timer; /* head, idle or linger time, by state */
    struct worker *worker;
    struct exchange *exchange;
    char *in; /* bytes not yet consumed; NULL when none */
    uint32_t in_len, in_size;
    uint32_t in_seen; /* of the head, by an earlier parse */
    uint32_t listen_index;
    uint32_t served;
    uint32_t unsent_seen;    /* of an answer, when it was last looked whether it is read */
    uint64_t since_ns;       /* idle, or receiving a head, or not reading its answer, since then */
    struct in6_addr address; /* v4 as ::ffff:…; zero for unix sockets */
    uint16_t port;
    uint8_t state;
    bool feeding;     /* client_feed() is on the stack */
    bool eof;         /* nothing more will come */
    bool close_after; /* the current answer is the last */
    bool abort_after; /* a reset follows what is pending */
    bool sink;        /* no connection */
};

void client_accept(struct worker *, uint32_t listen_index, int fd, const struct sockaddr *peer);
/* A connection that another process has accepted and passed on. */
void client_take_over(struct worker *, uint32_t listen_index, int fd, const struct sockaddr *peer,
                      bool served);
/* No connection at all: for requests that nobody waits for. Takes over who
 * `like` is, if it is not NULL. Gone when its exchange is done. NULL: out of memory. */
struct client *client_create_sink(struct worker *, const struct client *like);
/* Closes at once; an exchange in progress is cancelled. */
void client_close(struct client *);
/* Like client_close(), by a reset: the answer was not whole. */
void client_abort(struct client *);
/* The same, once what is on its way has gone. */
void client_cut_off(struct client *);
/* The exchange is over. `keep` : the connection may carry another request. */
void client_exchange_done(struct client *, bool keep);
/* The exchange takes body bytes again. */
void client_resume_upload(struct client *);
/* Raw bytes both ways from now on: those already read are handed over. */
void client_become_tunnel(struct client *);
/* "192.0.2.1" or "[2001:db8::1]" for Forwarded; without brackets when `bare`. */
size_t client_address_text(const struct client *, char out[64], bool bare);
size_t client_write_address(const struct in6_addr *, char out[64], bool bare);
bool client_is_trusted(const struct client *, const struct gateway_options *);

/* ---- what all kinds of connections share ---- */

/* v4 as ::ffff:…; zero for unix sockets. */
void client_read_address(const struct sockaddr *, struct in6_addr *, uint16_t *port);
/* One connection more, for all and for this address; false, and not counted, if that
 * is too many. */
bool client_enter(struct worker *, const struct in6_addr *);
void client_leave(struct worker *, const struct in6_addr *);

#endif
