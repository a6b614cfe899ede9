/* trace_export.c - see trace_export.h.
 *
 * One batch is under way at a time. It stays until the collector has taken it or
 * has said that it never will:
 *
 *   2xx                   sent (but those it says that it refused)
 *   429 502 503 504       the batch is sent again, after what the breaker says
 *   no answer             the same
 *   anything else         failed: sent again it would be refused again
 *
 * Whatever is no 2xx opens the breaker, for a second at first and twice as long each
 * time, up to a minute; meanwhile the queue fills, and then drops. A connection that
 * the collector has closed while it was idle is no failure: a new one is made. */
#include "gateway/trace_export.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <switchgear/breaker.h>

#include "base/buf.h"
#include "base/random.h"
#include "gateway/trace_batch.h"
#include "observe/log.h"
#include "wire/http1.h"

enum {
    BATCH_SPANS = 256, /* more begin no sooner than the next batch */
    ANSWER_MAX = 16 * 1024,
    ANSWER_FIELDS = 128,
};

#define SEND_EVERY_NS SWG_MS(500)
#define LIMIT_NS      SWG_SECONDS(10) /* for one batch */
#define SETTLE_NS     SWG_SECONDS(5)  /* at the end of the process */

struct trace_export {
    struct gateway *gateway;
    struct io *io;
    _Atomic uint64_t results[TRACE_RESULTS]; /* any thread adds, the scrape reads; relaxed:
                                                counts, nothing else hangs on them */
    pthread_mutex_t lock;                    /* guards these three */
    struct list queue;
    uint32_t waiting; /* spans in it */
    bool woken;       /* `wake` is on its way */
    struct io_task wake;

    /* the control thread's */
    struct gateway_options *options; /* held; NULL: nothing is sent anywhere */
    struct target *target;
    struct swg_breaker *breaker;
    struct swg_permit permit;
    struct list batch;
    uint32_t batch_spans;
    struct buf request;
    struct io_stream stream;
    struct io_timer next, limit;
    uint64_t random, settle_until_ns;
    char instance[33], host[64];
    bool under_way, reused, got_bytes;
    bool settling, gave_up;
    int told; /* of the collector: 0 nothing, 1 good, 2 bad */
    /* the answer */
    struct buf in, text;
    struct http1_body body;
    int status; /* 0: its head has not come */
    uint64_t retry_after_ns;
    bool keep;
};

static const struct io_stream_ops collector_ops;
static void pump(struct trace_export *);

/* ---- counting ------------------------------------------------------------------ */

const char *trace_result_word(enum trace_result result) {
    static const char *const words[TRACE_RESULTS] = {"sent", "dropped", "failed"};
    return words[result];
}

uint64_t trace_export_count(const struct trace_export *e, enum trace_result result) {
    return atomic_load_explicit(&e->results[result], memory_order_relaxed);
}

static void count(struct trace_export *e, enum trace_result result, uint32_t spans) {
    atomic_fetch_add_explicit(&e->results[result], spans, memory_order_relaxed);
}

/* ---- the queue -------------------------------------------------------------------- */

static void on_wake(struct io_task *task) {
    struct trace_export *e = container_of(task, struct trace_export, wake);
    pthread_mutex_lock(&e->lock);
    e->woken = false;
    pthread_mutex_unlock(&e->lock);
    pump(e);
}

/* The control thread is only woken for a whole batch: else it comes by itself. */
void trace_export_take(struct trace_export *e, struct trace_parcel *p) {
    bool wakes = false, fits = false;
    uint32_t spans = p->span_count, lost = p->dropped_spans;
    if (e) {
        pthread_mutex_lock(&e->lock);
        fits = e->waiting + spans <= TRACE_QUEUE_MAX;
        if (fits) {
            list_push_back(&e->queue, &p->link);
            e->waiting += spans;
            wakes = e->waiting >= BATCH_SPANS && !e->woken;
            e->woken |= wakes;
        }
        pthread_mutex_unlock(&e->lock);
        count(e, TRACE_DROPPED, lost + (fits ? 0 : spans));
    }
    if (wakes)
        io_post(e->io, &e->wake);
    if (!fits)
        trace_parcel_destroy(p);
}

static void drop_all(struct list *parcels) {
    struct list *l;
    while ((l = list_pop_front(parcels)))
        trace_parcel_destroy(container_of(l, struct trace_parcel, link));
}

static void drop_queue(struct trace_export *e) {
    struct list all;
    list_init(&all);
    pthread_mutex_lock(&e->lock);
    list_splice_back(&all, &e->queue);
    count(e, TRACE_DROPPED, e->waiting);
    e->waiting = 0;
    pthread_mutex_unlock(&e->lock);
    drop_all(&all);
}

static void drop_batch(struct trace_export *e, enum trace_result result, uint32_t refused) {
    uint32_t spans = e->batch_spans;
    refused = refused < spans ? refused : spans;
    count(e, result, spans - refused);
    count(e, TRACE_FAILED, refused);
    drop_all(&e->batch);
    e->batch_spans = 0;
    buf_free(&e->request);
}

static void fill_batch(struct trace_export *e) {
    pthread_mutex_lock(&e->lock);
    while (e->batch_spans < BATCH_SPANS && !list_empty(&e->queue)) {
        struct list *l = list_pop_front(&e->queue);
        uint32_t spans = container_of(l, struct trace_parcel, link)->span_count;
        list_push_back(&e->batch, l);
        e->batch_spans += spans;
        e->waiting -= spans;
    }
    pthread_mutex_unlock(&e->lock);
}

/* ---- what came of a batch ------------------------------------------------------------ */

static void tell(struct trace_export *e, const char *cause) {
    struct log_line line;
    int state = cause ? 2 : 1;
    if (e->told == state)
        return;
    e->told = state;
    if (!log_begin(&line, cause ? LOG_WARN : LOG_INFO,
                   cause ? "the trace collector does not take spans" : "spans go to the collector"))
        return;
    log_str(&line, "collector", e->target ? e->target->name : "");
    if (cause)
        log_str(&line, "cause", cause);
    log_end(&line);
}

static void end_try(struct trace_export *e, bool keep) {
    io_timer_clear(e->io, &e->limit);
    e->under_way = false;
    if (!keep || io_pending(&e->stream)) /* an answer may come before all was sent */
        io_close(&e->stream);
    buf_free(&e->in);
    buf_free(&e->text);
    buf_free(&e->request); /* written anew for the next try: its headers may be others then */
    e->status = 0;
}

/* It waits for the breaker; the last try of the process is not made again. */
static void fail(struct trace_export *e, const char *cause, uint64_t retry_after_ns) {
    end_try(e, false);
    swg_breaker_record(e->breaker, &e->permit, SWG_FAILURE, retry_after_ns, io_now(e->io));
    tell(e, cause);
    e->gave_up |= e->settling;
}

static void refuse(struct trace_export *e, int status) {
    char cause[32];
    snprintf(cause, sizeof cause, "status %d", status);
    drop_batch(e, TRACE_FAILED, 0);
    fail(e, cause, 0);
}

/* {"partialSuccess": {"rejectedSpans": "3"}}: a string by the rules of protobuf's
 * JSON, a number from those who do not keep them. */
static uint32_t refused_spans(struct bytes text) {
    json_t *j = text.len ? json_loadb(text.at, text.len, 0, NULL) : NULL;
    json_t *n = json_object_get(json_object_get(j, "partialSuccess"), "rejectedSpans");
    unsigned long long refused = json_is_string(n) ? strtoull(json_string_value(n), NULL, 10)
                                 : json_is_integer(n) && json_integer_value(n) > 0
                                     ? (unsigned long long)json_integer_value(n)
                                     : 0;
    json_decref(j);
    return refused < UINT32_MAX ? (uint32_t)refused : UINT32_MAX;
}

static void conclude(struct trace_export *e) {
    int status = e->status;
    if (status >= 200 && status < 300) {
        uint32_t refused = refused_spans(buf_view(&e->text));
        end_try(e, e->keep);
        swg_breaker_record(e->breaker, &e->permit, SWG_SUCCESS, 0, io_now(e->io));
        drop_batch(e, TRACE_SENT, refused);
        tell(e, NULL);
    } else if (status == 429 || status == 502 || status == 503 || status == 504) {
        char cause[32];
        snprintf(cause, sizeof cause, "status %d", status);
        fail(e, cause, e->retry_after_ns);
    } else {
        refuse(e, status);
    }
    pump(e);
}

/* ---- a try ------------------------------------------------------------------------------ */

static void send_request(struct trace_export *e) {
    struct iovec iov = {e->request.at, e->request.len};
    e->got_bytes = false;
    if (io_send(&e->stream, &iov, 1) < 0)
        fail(e, "no memory", 0);
}

static void connect_anew(struct trace_export *e) {
    struct sockaddr_storage address;
    socklen_t len;
    io_close(&e->stream);
    e->reused = false;
    if (!target_pick_address(e->target, &address, &len)) {
        fail(e, "its name has no address", 0);
        return;
    }
    io_stream_init(&e->stream, &collector_ops);
    if (io_connect(e->io, &e->stream, (struct sockaddr *)&address, len) < 0) {
        fail(e, "no connection", 0);
        return;
    }
    io_want_data(&e->stream, true);
    send_request(e);
}

static void try_batch(struct trace_export *e) {
    e->under_way = true;
    buf_init(&e->in, ANSWER_MAX);
    buf_init(&e->text, ANSWER_MAX);
    io_timer_set(e->io, &e->limit, io_now(e->io) + LIMIT_NS);
    e->reused = io_is_open(&e->stream);
    if (e->reused)
        send_request(e);
    else
        connect_anew(e);
}

static void write_batch(struct trace_export *e) {
    const struct trace_resource self = {.service_name = e->options->trace.service_name,
                                        .version = SWG_VERSION,
                                        .host = e->host,
                                        .instance = e->instance};
    buf_init(&e->request, TRACE_REQUEST_MAX);
    trace_batch_write(&e->request, &e->options->trace, &self, &e->batch);
}

static void pump(struct trace_export *e) {
    uint64_t wait_ns = SEND_EVERY_NS;
    if (!e->target) {
        drop_queue(e);
        drop_batch(e, TRACE_DROPPED, 0);
        return;
    }
    io_timer_set(e->io, &e->next, io_now(e->io) + SEND_EVERY_NS);
    fill_batch(e);
    if (e->under_way || list_empty(&e->batch))
        return;
    if (swg_breaker_admit(e->breaker, &e->permit, random_next(&e->random), io_now(e->io)) !=
        SWG_ADMITTED) {
        (void)swg_breaker_peek(e->breaker, io_now(e->io), &wait_ns);
        wait_ns = wait_ns < SEND_EVERY_NS ? wait_ns : SEND_EVERY_NS;
        io_timer_set(e->io, &e->next, io_now(e->io) + wait_ns + SWG_MS(1));
        e->gave_up |= e->settling;
        return;
    }
    write_batch(e);
    if (e->request.failed) { /* no memory, or far too much text */
        swg_breaker_record(e->breaker, &e->permit, SWG_IGNORED, 0, io_now(e->io));
        drop_batch(e, TRACE_DROPPED, 0);
        return;
    }
    try_batch(e);
}

static void on_next(struct io_timer *t) {
    pump(container_of(t, struct trace_export, next));
}

static void on_limit(struct io_timer *t) {
    fail(container_of(t, struct trace_export, limit), "no answer in time", 0);
}

/* ---- the answer ---------------------------------------------------------------------------- */

static void read_retry_after(struct trace_export *e, const struct http1_head *head) {
    uint32_t seconds = 0;
    for (uint16_t i = 0; i < head->field_count; i++) {
        if (head->fields[i].id == HTTP_RETRY_AFTER &&
            http_retry_after_read(head->fields[i].value, time(NULL), &seconds))
            e->retry_after_ns = SWG_SECONDS(seconds);
    }
}

/* 1 when it is whole, 0 when more must come, negative: not to be understood. */
static int read_head(struct trace_export *e, size_t *used) {
    struct http_field fields[ANSWER_FIELDS];
    const struct http1_limits limits = {ANSWER_MAX, ANSWER_MAX, ANSWER_FIELDS, 0};
    struct http1_head head = {.fields = fields};
    *used = 0;
    if (http1_parse_response(e->in.at, e->in.len, 0, HTTP_POST, &limits, &head, used) != HTTP1_OK)
        return -1;
    if (!*used)
        return 0;
    if (head.status < 200) {
        memmove(e->in.at, e->in.at + *used, e->in.len - *used);
        buf_truncate(&e->in, e->in.len - *used);
        return e->in.len ? read_head(e, used) : 0;
    }
    e->status = head.status;
    e->retry_after_ns = 0;
    e->keep = head.keep_alive && head.framing != HTTP1_BODY_UNTIL_CLOSE;
    read_retry_after(e, &head);
    http1_body_init(&e->body, head.framing, head.content_length, NULL, 0);
    return 1;
}

/* Of a body only what is kept counts; one that is longer says nothing of use. */
static void take_body(struct trace_export *e, const char *data, size_t len) {
    while (!e->body.done && len) {
        struct bytes payload;
        size_t used;
        if (http1_body_next(&e->body, data, len, &payload, &used) != HTTP1_OK) {
            e->keep = false;
            e->body.done = true;
            break;
        }
        buf_bytes(&e->text, payload);
        data += used;
        len -= used;
    }
    e->keep = e->keep && !len;
    if (e->body.done)
        conclude(e);
}

static void on_data(struct io_stream *s, const char *data, size_t len) {
    struct trace_export *e = container_of(s, struct trace_export, stream);
    size_t used;
    if (!e->under_way) { /* nobody has asked */
        io_close(s);
        return;
    }
    e->got_bytes = true;
    if (e->status) {
        take_body(e, data, len);
        return;
    }
    buf_append(&e->in, data, len);
    int whole = e->in.failed ? -1 : read_head(e, &used);
    if (whole < 0)
        fail(e, "its answer is no HTTP", 0);
    else if (whole)
        take_body(e, e->in.at + used, e->in.len - used);
}

static void on_end(struct io_stream *s, enum io_end end, int os_error) {
    struct trace_export *e = container_of(s, struct trace_export, stream);
    (void)os_error;
    e->keep = false;
    if (!e->under_way) {
        io_close(s);
    } else if (e->status) {
        conclude(e); /* a body until the end, or one that broke off: the status tells enough */
    } else if (e->reused && !e->got_bytes) {
        connect_anew(e);
    } else {
        fail(e, end == IO_END_REFUSED ? "no connection" : "the connection broke", 0);
    }
}

static void on_connect(struct io_stream *s) {
    (void)s;
}

static void on_drain(struct io_stream *s) {
    (void)s;
}

static const struct io_stream_ops collector_ops = {
    .on_connect = on_connect, .on_data = on_data, .on_drain = on_drain, .on_end = on_end};

/* ---- life ------------------------------------------------------------------------------------ */

bool trace_export_is_settled(struct trace_export *e) {
    uint64_t now = io_now(e->io);
    if (!e->settling) {
        e->settling = true;
        e->settle_until_ns = now + SETTLE_NS;
    }
    if (!e->under_way && !e->gave_up)
        pump(e);
    return e->gave_up || now >= e->settle_until_ns || (!e->under_way && list_empty(&e->batch));
}

struct target *trace_export_target(const struct trace_export *e) {
    return e ? e->target : NULL;
}

/* What is under way ends as it is: the batch goes to the new place. */
static void leave_target(struct trace_export *e) {
    if (e->under_way) {
        end_try(e, false);
        swg_breaker_record(e->breaker, &e->permit, SWG_IGNORED, 0, io_now(e->io));
    }
    io_close(&e->stream);
    target_release(e->target);
    e->target = NULL;
    e->told = 0;
    swg_breaker_reset(e->breaker, io_now(e->io));
}

void trace_export_follow(struct trace_export *e, const struct plan *plan) {
    struct gateway_options *before = e->options;
    const struct trace_options *o = &plan->options->trace;
    bool same = e->target && o->enabled && !strcmp(e->target->name, o->collector.name);
    e->options = gateway_options_hold(plan->options);
    if (!same)
        leave_target(e);
    if (!same && o->enabled)
        e->target = target_create(&o->collector, 0);
    gateway_options_release(before);
    if (!same)
        pump(e);
}

int trace_export_create(struct trace_export **out, struct gateway *g, struct io *io) {
    const struct swg_breaker_options breaker = {
        .consecutive = 1, .open_ns = SWG_SECONDS(1), .probes = 1, .close_after = 1};
    struct trace_export *e = calloc(1, sizeof *e);
    *out = NULL;
    if (!e)
        return -ENOMEM;
    e->gateway = g;
    e->io = io;
    e->random = random_mix(g->seed ^ 0x7472616365u);
    snprintf(e->instance, sizeof e->instance, "%016llx%016llx",
             (unsigned long long)random_next(&e->random),
             (unsigned long long)random_next(&e->random));
    gethostname(e->host, sizeof e->host - 1);
    if (swg_breaker_create(&e->breaker, &breaker, random_next(&e->random), io_now(io)) != SWG_OK) {
        free(e);
        return -ENOMEM;
    }
    pthread_mutex_init(&e->lock, NULL);
    list_init(&e->queue);
    list_init(&e->batch);
    e->wake = (struct io_task){NULL, on_wake};
    io_stream_init(&e->stream, &collector_ops);
    io_timer_init(&e->next, on_next);
    io_timer_init(&e->limit, on_limit);
    buf_init(&e->in, 0);
    buf_init(&e->text, 0);
    buf_init(&e->request, 0);
    g->trace_export = e;
    *out = e;
    return 0;
}

void trace_export_destroy(struct trace_export *e) {
    if (!e)
        return;
    leave_target(e);
    e->gateway->trace_export = NULL;
    drop_queue(e);
    drop_batch(e, TRACE_DROPPED, 0);
    io_timer_clear(e->io, &e->next);
    swg_breaker_destroy(e->breaker);
    gateway_options_release(e->options);
    pthread_mutex_destroy(&e->lock);
    free(e);
}
