/* upload.c - the request's body on its way through an exchange.
 *
 * It goes to the service as it comes, and what has come is kept, up to a limit,
 * for another attempt, for the cache's key, and for tiers that need it. Where it
 * must be known before the call begins it is gathered first. */
#include "gateway/exchange.h"
#include "gateway/queueing.h"

/* ---- the request's body ------------------------------------------------------------ */

/* Keeps one more piece for another attempt, or gives that up. */
static void keep_piece(struct exchange *x, struct bytes piece) {
    struct leg *leg = x->leg;
    if (x->kept_dropped)
        return;
    if (x->gathering) {
        buf_bytes(&x->kept, piece);
        return;
    }
    size_t limit = queueing_body_max(x);
    bool sending = leg->up && leg->up->state != UPSTREAM_HELD;
    if (sending && x->kept.len + piece.len > limit) {
        x->kept_dropped = true;
        buf_free(&x->kept);
        for (; leg; leg = leg->parent)
            swg_call_not_replayable(&leg->call);
        return;
    }
    buf_bytes(&x->kept, piece);
    if (sending)
        leg->kept_sent = x->kept.len;
}

static bool tunnel_upload(struct exchange *x, const char *data, size_t len, size_t *used) {
    struct leg *leg = x->leg;
    *used = len;
    x->moved_ns = exchange_now(x);
    if (!len) { /* the client has ended its direction */
        if (leg->up->eof)
            relay_end(leg, true);
        else
            io_shut(&leg->up->stream);
        return true;
    }
    struct iovec iov = {(void *)data, len};
    x->in_bytes += len;
    if (io_send(&leg->up->stream, &iov, 1) < 0)
        relay_end(leg, false);
    else
        x->upload_paused = io_pending(&leg->up->stream) > 0;
    return true;
}

static void upload_finished(struct exchange *x) {
    struct leg *leg = x->leg;
    x->upload_done = true;
    x->upload_paused = true; /* what follows is the next request */
    if (x->gathering) {
        x->gathering = false;
        exchange_start(x);
        return;
    }
    if (leg->awaits_body) {
        leg_body_came(leg);
        return;
    }
    if (!leg->up || leg->up->state == UPSTREAM_HELD)
        return;
    attempt_send_end(leg);
    if (leg->up->state == UPSTREAM_HEAD && !io_pending(&leg->up->stream))
        leg_run(leg, attempt_sent(leg));
    else
        leg_run(leg, swg_call_on_upload(&leg->call, false, exchange_now(x)));
}

void exchange_upload_broken(struct exchange *x, int status, const char *reason,
                            const char *sentence) {
    struct client *c = x->client;
    if (x->answer != ANSWER_NONE) {
        client_close(c);
        return;
    }
    for (struct leg *leg = x->leg; leg; leg = leg->parent)
        leg_cancel(leg);
    x->close_client = true;
    reply_error(x, status, reason, sentence);
}

bool exchange_upload(struct exchange *x, const char *data, size_t len, size_t *used) {
    *used = 0;
    if (x->tunnel)
        return tunnel_upload(x, data, len, used);
    if (x->upload_done || !attempt_wants_body(x)) {
        x->upload_paused = true;
        exchange_keep_pace(x);
        return true;
    }
    struct leg *leg = x->leg;
    bool resumes = x->upload_paused || x->expects_continue;
    x->upload_paused = false;
    x->moved_ns = exchange_now(x);
    x->expects_continue = false;
    if (resumes)
        exchange_set_timer(x);
    pace_count(&x->pace, len, exchange_now(x));
    struct bytes payload;
    size_t piece;
    while (len > *used && !x->upload.done) {
        enum http1_error e =
            http1_body_next(&x->upload, data + *used, len - *used, &payload, &piece);
        if (e != HTTP1_OK) {
            *used = len;
            exchange_upload_broken(x, http1_error_status(e), http1_error_name(e),
                                   http1_error_sentence(e));
            return true;
        }
        *used += piece;
        if (!payload.len)
            continue;
        x->in_bytes += payload.len;
        if (x->in_bytes > x->plan->options->limits.body) {
            *used = len;
            exchange_upload_broken(x, 413, "body_too_large",
                                   "The request body is larger than the limit.");
            return true;
        }
        if (leg && leg->up && leg->up->state != UPSTREAM_HELD)
            attempt_send_piece(leg, payload);
        keep_piece(x, payload);
    }
    if (x->upload.done) {
        upload_finished(x);
    } else if (x->gathering && x->kept.len > queueing_body_max(x)) {
        x->gathering = false; /* too long to have a name: it passes as it comes */
        exchange_asked(x);
    } else if (!attempt_wants_body(x)) {
        x->upload_paused = true;
        if (leg && leg->awaits_body)
            leg_body_came(leg);
        else
            exchange_set_timer(x);
    }
    return true;
}

/* What waited is looked at after this; the time in which nobody read is not
 * the client's. */
void exchange_upload_resumed(struct exchange *x) {
    x->upload_paused = false;
    x->moved_ns = exchange_now(x);
    exchange_set_timer(x);
}
