/* connection.h - one client of the control side: HTTP/1.1 over a stream.
 *
 *            ┌────────────── all sent ──────────────┐
 *            ▼                                      │
 *   adopt ▶ READING ─ a whole request, answered ─▶ SENDING ─ last answer ─▶ LINGERING ─▶ gone
 *            │  │                                                             ▲
 *            │  ├──── a request that cannot be trusted, or came too slowly ───┘
 *            │  └─ answered later (later.h) ─▶ WAITING ─ answered ─▶ SENDING
 *            └─ events were asked for ─▶ STREAMING ─ gone, or too slow ─▶ gone
 *
 * Handlers run at once, on the control thread: none of them blocks. Answers are
 * made whole in memory and sent; while one waits for a slow client, or for the
 * disk, nothing is read from him. In READING between requests a connection owns
 * no buffer.
 *
 * Limits: a head of 16 KiB, a body of 32 KiB, 10 s for both to come; 60 s
 * between requests; 30 s without progress in sending, 30 s in WAITING. A client that broke a
 * rule is read on for 2 s, so that closing does not reset away the answer that
 * tells him which.
 *
 * Threading: the control thread. */
#ifndef SWG_ADMIN_CONNECTION_H
#define SWG_ADMIN_CONNECTION_H

#include "admin/admin_priv.h"
#include "admin/request.h"

struct later;

enum connection_state { READING, WAITING, SENDING, STREAMING, LINGERING };

struct connection {
    struct list link; /* in admin.connections */
    struct admin *admin;
    struct io_stream stream;
    struct io_timer timer;
    enum connection_state state;
    bool local;      /* came in on an address of this machine's own */
    bool eof;        /* LINGERING: the client has left, but an answer is on its way */
    bool keep_alive; /* after the answer that is being sent */
    char peer[64];

    /* the request that is being read */
    struct buf in;   /* its head, and what came after */
    size_t seen;     /* as far as a head was looked for */
    size_t head_len; /* 0: not whole yet */
    size_t taken;    /* of `in`, head and body */
    struct http1_body decoder;
    struct buf body;

    size_t pending_seen; /* SENDING, STREAMING: to tell whether the client takes anything */

    /* WAITING */
    struct later *later;
    bool head_only; /* HEAD was asked */

    /* STREAMING: see events_api.c */
    uint64_t cursor; /* sequence of the last event sent */
    char service[72];
};

/* Takes over the descriptor. False: no memory; the descriptor is the caller's. */
bool connection_open(struct admin *, int fd, const struct sockaddr *peer);
/* At once; frees it. */
void connection_close(struct connection *);
bool connection_is_idle(const struct connection *);

#endif
