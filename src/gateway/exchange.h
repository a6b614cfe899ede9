/* exchange.h - one request and its answer.
 *
 * The decisions are the engine's (struct swg_call); an exchange carries them
 * out. It goes through legs: the first is the call to the route's own service;
 * a fallback tier that is another service adds a leg with a call of its own.
 *
 *   client.c ──head──▶ exchange_begin ──step──▶ attempt.c ──▶ upstream.c
 *      ▲                     ▲  │                                │
 *      │                     │  └──tier──▶ tiers/…               │ answer
 *      └── relay.c, reply.c ─┴───────────────────────────────────┘
 *
 * Whatever ends an exchange runs through exchange_finish(), once: metrics, one
 * log line, memory back. Every handler ends with the call that may finish, and
 * touches nothing after it. */
#ifndef SWG_GATEWAY_EXCHANGE_H
#define SWG_GATEWAY_EXCHANGE_H

#include <switchgear/call.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/io.h"
#include "engine/drill.h"
#include "gateway/cache.h"
#include "gateway/client.h"
#include "gateway/inner.h"
#include "gateway/pace.h"
#include "gateway/path.h"
#include "gateway/plan.h"
#include "gateway/upstream.h"
#include "gateway/worker.h"
#include "wire/http1.h"

enum {
    EXCHANGE_FIRST_BLOCK = 6 * 1024,
    EXCHANGE_ARENA_MAX = 1024 * 1024,
    EXCHANGE_LEGS_MAX = 4,
    EXCHANGE_TRAILERS_MAX = 8 * 1024,
};

/* What a tier that answers later has under way; embedded by the tier. */
struct tier_work {
    /* Nobody waits any more: tells the leg nothing from now on. */
    void (*cancel)(struct tier_work *);
};

/* What a service tier sends otherwise than it came; in the exchange's arena. */
struct leg_changes {
    struct bytes method; /* len 0: the request's own */
    struct bytes body;   /* the whole of it; at NULL: the request's own */
    struct bytes lines;  /* added to the fields */
    uint32_t header_count;
    const struct header_value *headers; /* those of the request with these names are left out */
    bool own_query;                     /* the path has one, in place of the request's */
};

struct leg {
    struct swg_call call;
    struct exchange *x;
    struct leg *parent; /* whose service tier this leg is */
    struct service *service;
    struct upstream *up;               /* under way, relaying, or holding an answer back */
    const char *path;                  /* replaces the request's path; NULL: the request's own */
    const struct leg_changes *changes; /* NULL: none */
    uint64_t wake_ns;                  /* when the call wants to be woken */
    uint32_t endpoint;                 /* of the running attempt */
    struct swg__drill_effect drill;    /* what a drill does to that (drilling.h) */
    uint64_t held_until_ns;            /* it does not begin before; 0: it has */
    uint32_t tier;                     /* being tried */
    uint64_t tier_began_ns;            /* when that was asked; 0: none is */
    struct tier_work *work;            /* of that tier; NULL: none */
    bool awaits_body;        /* that tier begins with the body (tier_options.needs_body) */
    bool body_sent;          /* the whole request is with `up` */
    bool over;               /* its call has finished */
    bool held;               /* `up` holds an answer that is relayed if no tier answers */
    size_t kept_sent;        /* bytes of the kept body that `up` has */
    struct trace_span *span; /* of the running attempt, where it is told of (tracing.h) */
    bool span_answered;      /* its answer has begun */
    struct io_task granted;  /* a bulkhead slot came, perhaps from another thread */
};

/* How far the answer to the client is. */
enum answer_state { ANSWER_NONE, ANSWER_BODY, ANSWER_WHOLE };

struct exchange {
    struct list link; /* worker->exchanges or worker->free_exchanges */
    struct worker *worker;
    struct client *client;
    struct plan *plan;
    struct service *service; /* the route's */
    struct leg *leg;         /* the innermost */
    struct leg root;
    struct io_timer timer;

    uint64_t serial;      /* changes when the memory serves another request */
    uint32_t memory_held; /* hand-offs from other threads that are still on their way */
    bool over;            /* finished; only hand-offs keep the memory */

    /* the request */
    struct http1_head request;
    const char *head_end; /* behind the last field line */
    struct target_parts parts;
    struct route_match route;
    struct bytes host; /* as the client said */
    struct bytes request_id, correlation_id;
    struct http1_body upload; /* decoder */
    struct buf kept;          /* body so far, for (re)sending */
    bool kept_dropped;        /* outgrew what is kept */
    bool upload_done;
    bool upload_paused;    /* the client is not being read */
    bool gathering;        /* the body comes first, the call begins after it */
    bool nominated;        /* Connection names fields to drop */
    bool head_only;        /* answer without body: HEAD */
    bool expects_continue; /* and no byte of the body has come yet */
    bool in_emergency;     /* writes are refused for that (read_only.c) */
    char *trailers;        /* of the request, collected by the decoder */
    struct pace pace;      /* of the client, while the body is waited for (limits.body_rate) */

    /* the answer */
    struct bytes out_head; /* written, not sent: goes out with the first bytes of the body */
    enum answer_state answer;
    int status;
    enum http1_framing out_framing; /* towards the client */
    bool close_client;              /* after this answer */
    bool tunnel;
    uint64_t out_bytes, in_bytes;
    uint64_t out_left; /* LENGTH framing: what the head promised and has not gone yet */

    /* time */
    uint64_t started_ns, moved_ns; /* moved: last time a byte of a body moved */
    uint64_t looked_ns;            /* last time it was looked at what a slow reader has taken */
    size_t unsent_seen;            /* by then it had not taken so much */

    /* cache */
    struct cache_waiter waiter;
    struct io_task cache_ready; /* the wait is over, perhaps told by another thread */
    bool waiting_for_cache;
    uint64_t wait_until_ns; /* then it fetches for itself */
    bool has_cache_key;
    bool asked_store;            /* behind the cache: once a request */
    bool filling;                /* the answer is being stored */
    struct cache_flight *flight; /* we fetch for all: ended exactly once */
    struct cache_entry *entry;   /* being sent */
    struct cache_entry *old;     /* is there, but may not be used unless still good */
    const char *cache_status;    /* for Cache-Status; NULL: none */
    struct cache_key cache_key;

    /* a body that somebody wanted values of */
    struct json_t *body_json;
    bool body_is_no_json;

    /* a write that may be queued (queueing.h) */
    struct bytes write_key;      /* Idempotency-Key; at NULL: it may not */
    struct bytes write_lane;     /* what it must not overtake; empty: nothing */
    bool own_key;                /* the client has sent none */
    bool behind;                 /* others wait in its lane: the outbox has said so */
    const char *queue_refusal;   /* why it could not be queued */
    struct tier_work *question;  /* to the outbox, under way, for a request that has no leg (yet) */
    struct token_stream *tokens; /* NULL: the answer has been none so far */

    const char *drill; /* the kind that hit an attempt of it last; NULL: none did */

    struct tracing *tracing;     /* where it belongs; NULL: nothing is traced */
    struct aggregate *aggregate; /* the parts of its answer, where the route has parts */
    struct inner *inner;         /* whose request this is, where it is our own; NULL: a client's */

    struct arena arena;
    _Alignas(16) char first_block[EXCHANGE_FIRST_BLOCK];
};

/* ---- exchange.c ---- */

/* A whole head came (in the client's or the loop's memory: it is copied).
 * `raw` is the head as bytes. Afterwards client->exchange is set, or the
 * client was answered with an error and is lingering or closed. */
void exchange_begin(struct client *, const struct http1_head *, struct bytes raw);
/* The same request once more, for nobody but the cache, where `old` is; ends
 * `flight`. */
void exchange_begin_refresh(const struct exchange *, struct cache_flight *flight,
                            struct cache_entry *old);
/* A request of our own (inner.h), whose head has been parsed from `raw`. */
void exchange_begin_inner(struct inner *, struct worker *, const struct inner_request *,
                          const struct http1_head *, struct bytes raw);
/* The question before the call has its answer (queueing_asks()). */
void exchange_asked(struct exchange *);
/* One hand-off has arrived that only the memory waited for. */
void exchange_memory_seen(struct exchange *);
/* The client went away. */
void exchange_cancel(struct exchange *);
/* The client has taken all that was pending for it. */
void exchange_client_drained(struct exchange *);
/* The call begins; or, where only the outbox knows whether the write would
 * overtake others, that is asked first. */
void exchange_start(struct exchange *);
/* The answer has gone to the client as far as it will; ends the exchange. */
void exchange_finish(struct exchange *, bool whole);

/* ---- upload.c ---- */

/* Bytes of the request's body. *used < len: the rest must wait
 * (client_resume_upload() tells). False: the client is gone. */
bool exchange_upload(struct exchange *, const char *data, size_t len, size_t *used);
/* The body is read from the client again. */
void exchange_upload_resumed(struct exchange *);
/* Its body is not what it should be: an answer that says so, and the end. */
void exchange_upload_broken(struct exchange *, int status, const char *reason,
                            const char *sentence);

/* ---- exchange_time.c ---- */

/* Arms the timer for the earliest of all legs' wishes and the idle limits. */
void exchange_set_timer(struct exchange *);
void exchange_on_timer(struct io_timer *);
/* The client's pace counts while it is the client that is waited for. */
void exchange_keep_pace(struct exchange *);

/* ---- leg.c ---- */

void leg_init(struct leg *, struct exchange *, struct leg *parent, struct service *);
/* Ends the legs below: the tier that they are is given up. */
void leg_cancel_below(struct leg *);
/* The body that its tier waits for is here, or as much of it as is kept. */
void leg_body_came(struct leg *);
/* Who has asked whether to send the body is told to, by us. */
void exchange_invite_body(struct exchange *);
/* Carries out what a leg's call said; may finish the exchange. */
void leg_run(struct leg *, struct swg_step);
/* Looks into the cache, for the first time or after a wait. */
void leg_look_up(struct leg *);
/* Its call is told that nobody waits for it any more. */
void leg_cancel(struct leg *);
/* Gives up the leg's attempt or held answer, and the legs of its tier. */
void leg_abandon(struct leg *);
/* A tier of this leg has answered: its call and those above it are over. Legs
 * above may hold connections, which are closed. */
void leg_answered_by_tier(struct leg *);
/* Bulkhead grants come here, from any thread. */
void exchange_on_grant(struct swg_waiter *);

/* A dry run: everything as it would be, and nothing done. */
static inline bool exchange_is_rehearsal(const struct exchange *x) {
    return x->inner && x->inner->dry;
}

static inline uint64_t exchange_now(const struct exchange *x) {
    return io_now(x->worker->io);
}

/* ---- attempt.c: the request on its way to an upstream ---- */

/* What the service is told that the request was for: believed from trusted
 * clients, else replaced, so that nobody can pretend to be somebody else. */
struct origin {
    bool trusted;
    struct bytes proto, host;
};
struct origin exchange_origin(const struct exchange *);

/* The method that this leg's request has. */
enum http_method leg_method(const struct leg *);
void attempt_begin(struct leg *);
/* The same when a drill has held it back. */
void attempt_go_on(struct leg *);
/* The field lines that every attempt of it has, but for Host and what frames it. */
void attempt_write_fields(struct buf *, const struct leg *);
/* Sends what of the body has come and has not been sent to leg->up. */
void attempt_send_kept(struct leg *);
/* One more piece of the body, straight from the client. */
void attempt_send_piece(struct leg *, struct bytes piece);
void attempt_send_end(struct leg *);
/* The whole request has been handed to the kernel. */
struct swg_step attempt_sent(struct leg *);
/* No head came, and none will: tells the call, and goes on as that says. */
void attempt_failed(struct leg *, enum swg_answer_kind);
/* Whether it is the upstream that does not take what is sent to it. */
bool attempt_is_stuck(const struct exchange *);
/* Whether more of the body should be read from the client now. */
bool attempt_wants_body(const struct exchange *);

/* ---- relay.c: an upstream's answer on its way to the client ---- */

/* Head and rest are in the loop's or the upstream's memory. */
void relay_head(struct leg *, const struct http1_head *, const char *head_end);
void relay_interim(struct leg *, const struct http1_head *, const char *head_end);
/* Body bytes (or, in a tunnel, any); ends the exchange when it was the last. */
void relay_data(struct leg *, const char *data, size_t len);
/* The upstream ended: the end of an until-close body, or a break. */
void relay_end(struct leg *, bool clean);
/* It was silent for too long. */
void relay_timed_out(struct leg *);

/* ---- reply.c: answers of our own ---- */

/* A failure of the service, as design demands: JSON with the service's own
 * message, Retry-After, Proxy-Status. Finishes the exchange. */
void reply_failure(struct exchange *, const struct swg_story *);
/* A refusal by the gateway itself: bad request, no route, too large. */
void reply_error(struct exchange *, int status, const char *reason, const char *detail);
/* A whole answer from memory: `fields` are finished lines. Finishes. */
void reply_whole(struct exchange *, int status, struct bytes fields, struct bytes body,
                 const char *source);
/* The same, when Date is among the fields. */
void reply_dated(struct exchange *, int status, struct bytes fields, struct bytes body,
                 const char *source);
/* To OPTIONS about the gateway itself. Finishes. */
void reply_options(struct exchange *);
/* Straight to a client that has no exchange (the head could not be parsed). */
void reply_bad_head(struct client *, enum http1_error);
/* Date, Via, X-Request-Id, Switchgear, Connection: what every answer has. */
void reply_common_fields(struct exchange *, struct buf *, bool has_date, const char *source);

/* ---- tiers/ ---- */

/* Returns whether the tier has answered (the exchange is then finished or its
 * relay has begun), failed, or will tell later: then it has set leg->work, and
 * calls tier_failed(), or tier_begin_answer() and a reply_…(). */
enum tier_result { TIER_ANSWERED, TIER_FAILED, TIER_PENDING };
void tier_failed(struct leg *);
void tier_begin_answer(struct leg *);
enum tier_result tier_fixed(struct leg *, const struct tier_options *);
enum tier_result tier_service(struct leg *, const struct tier_options *, struct service *,
                              uint64_t deadline_ns);
enum tier_result tier_sql(struct leg *, const struct tier_options *, uint64_t deadline_ns);
enum tier_result tier_stale(struct leg *, const struct tier_options *);
enum tier_result tier_queue(struct leg *);

#endif
