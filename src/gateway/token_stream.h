/* token_stream.h - an answer that comes event by event from a language model.
 *
 *        head of a stream                    content, finish, HOLD_MAX
 *   ────────────────────────▶ held back ────────────────────────────────▶ passing
 *                                 │                                          │
 *        error event, end, break, │                 break, silence: the rest │
 *                time is over     ▼                   is an error event, and ▼
 *                          the attempt failed:           the stream ends as
 *                          retry or next tier            a stream should end
 *
 * While it is held back the engine has not been told of the answer, so that all
 * it knows about time, retries and tiers rules as before any head: `first_token`
 * is its first_byte. The client has seen nothing. Later the events pass at once,
 * each as soon as it is whole: the beginning of one that never comes to its end
 * stays here, and the error event follows on a whole one.
 *
 * Streams that nobody wants to be looked at, and those with a Content-Encoding,
 * pass by this file.
 *
 * Threading: the worker's. Memory: an exchange has at most one, from its arena;
 * the beginning of an event is at most TAIL_MAX, held back are HOLD_MAX. */
#ifndef SWG_GATEWAY_TOKEN_STREAM_H
#define SWG_GATEWAY_TOKEN_STREAM_H

#include "gateway/exchange.h"
#include "wire/sse.h"

struct token_stream {
    struct leg *leg; /* whose answer it is */
    struct sse sse;
    struct http1_body body; /* decodes what is held back */
    int status;
    bool held, passing;
    bool finished;     /* all of the answer has come, as the events tell */
    bool overlong;     /* an event outgrew TAIL_MAX: its bytes pass as they come */
    bool cut;          /* it was ended by us */
    bool timed_out;    /* what ended it, if it did not end by itself */
    uint64_t moved_ns; /* last event that was no comment or ping */
    size_t seen;       /* bytes held back */
    struct buf tail;   /* of the event that is not whole yet */
};

/* Whether the request asks for a stream: by Accept, or `"stream": true`. */
bool token_stream_is_asked_for(const struct exchange *);
/* The head of an answer: whether its stream is to be held back. */
bool token_stream_begin(struct leg *, const struct http1_head *);

enum token_verdict { TOKEN_HOLD, TOKEN_RELEASE, TOKEN_FAILED };
/* Bytes behind the head of an answer that is held back. */
enum token_verdict token_stream_peek(struct token_stream *, const char *data, size_t len);
/* All that was held back is about to be relayed. */
void token_stream_release(struct token_stream *, uint64_t now_ns);

/* Whether it is this leg's answer that passes. */
static inline bool token_stream_passes(const struct leg *leg) {
    const struct token_stream *t = leg->x->tokens;
    return t && t->passing && t->leg == leg;
}
/* How much of a piece of the body may go to the client, after `tail` where that
 * is not empty. The rest is for token_stream_keep(). */
size_t token_stream_take(struct token_stream *, struct bytes piece, uint64_t now_ns);
void token_stream_keep(struct token_stream *, struct bytes rest);
/* A body without a length has ended: in the middle of its answer. */
bool token_stream_is_cut(const struct token_stream *);
/* When the silence has lasted for token_idle; SWG_NEVER: no need to look. */
uint64_t token_stream_due_ns(const struct exchange *);
/* The client reads again: the time in which nothing was read is not silence. */
void token_stream_resumed(struct exchange *);
/* The event that ends it; none where the answer was whole. */
void token_stream_write_end(const struct token_stream *, struct buf *);
/* The exchange is over. */
void token_stream_done(struct exchange *);

#endif
