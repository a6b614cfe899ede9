/* aggregate.c - see aggregate.h.
 *
 * Parts may be told at any time, also while another request of this worker is
 * being ended; so the answer is always given from the timer, with nothing else
 * on the stack. */
#include "gateway/aggregate.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json_out.h"
#include "gateway/exchange.h"
#include "gateway/fields.h"
#include "gateway/template.h"
#include "gateway/tracing.h"
#include "store/sql_json.h"

enum { TARGET_MAX = 8 * 1024, OVERHEAD_MAX = 4096 };

struct part {
    struct inner inner;
    struct aggregate *all;
    const struct part_options *options;
    uint64_t deadline_ns;
    bool over, has_data;
    int status;
    uint64_t retry_after_ns;
    char source[INNER_SOURCE_MAX];
    char reason[INNER_REASON_MAX];
    char error[INNER_ERROR_MAX];
    struct buf data;
};

struct aggregate {
    struct exchange *x;
    struct io_timer timer;
    uint32_t left, count;
    struct part parts[];
};

/* ---- what a part brought ---------------------------------------------------- */

static void fail_part(struct part *p, int status, const char *reason, const char *error) {
    p->status = status;
    snprintf(p->reason, sizeof p->reason, "%s", reason);
    snprintf(p->error, sizeof p->error, "%s", error);
}

static void take(struct part *p, const struct inner_answer *a) {
    p->status = a->status;
    p->retry_after_ns = a->retry_after_ns;
    memcpy(p->source, a->source, sizeof p->source);
    if (!a->status) {
        fail_part(p, 503, "unavailable_locally", "This part could not be asked for.");
    } else if (a->status < 200 || a->status >= 300) {
        fail_part(p, a->status, *a->reason ? a->reason : "status",
                  *a->error ? a->error : http_status_reason(a->status));
    } else if (!a->whole) {
        fail_part(p, 502, p->inner.too_long ? "too_large" : "reset",
                  p->inner.too_long ? "This part's answer is longer than is taken."
                                    : "This part's answer broke off.");
    } else {
        buf_bytes(&p->data, a->body);
        p->has_data = !p->data.failed;
        if (!p->has_data)
            fail_part(p, 503, "unavailable_locally", "There is no memory for this part.");
    }
}

/* With nothing on the stack: see above. */
static void set_timer(struct aggregate *all) {
    struct io *io = all->x->worker->io;
    uint64_t due = all->left ? SWG_NEVER : io_now(io);
    for (uint32_t i = 0; i < all->count; i++) {
        if (!all->parts[i].over && all->parts[i].deadline_ns < due)
            due = all->parts[i].deadline_ns;
    }
    io_timer_set(io, &all->timer, due);
}

static void part_over(struct part *p) {
    p->over = true;
    p->all->left--;
}

static void on_part(struct inner *in, const struct inner_answer *a) {
    struct part *p = container_of(in, struct part, inner);
    take(p, a);
    part_over(p);
    set_timer(p->all);
}

/* ---- the answer ---------------------------------------------------------------- */

static void write_data(struct json_out *j, const struct part *p) {
    json_key(j, "data");
    if (!p->data.len)
        json_null(j);
    else if (sql_json_is_valid(buf_view(&p->data)))
        json_raw(j, buf_view(&p->data));
    else
        json_bytes(j, buf_view(&p->data));
}

static void write_part(struct json_out *j, const struct part *p) {
    json_key_object(j, p->options->name);
    json_key_int(j, "status", p->status);
    if (*p->source && p->has_data)
        json_key_string(j, "source", p->source);
    if (p->has_data) {
        write_data(j, p);
    } else {
        json_key_string(j, "reason", p->reason);
        json_key_string(j, "error", p->error);
    }
    json_object_end(j);
}

/* How much room the answer needs at most: an escaped byte takes six. */
static size_t room(const struct aggregate *all) {
    size_t sum = OVERHEAD_MAX;
    for (uint32_t i = 0; i < all->count; i++)
        sum += OVERHEAD_MAX + all->parts[i].data.len * 6;
    return sum;
}

static void write_all(const struct aggregate *all, struct buf *to) {
    struct json_out j;
    json_init(&j, to);
    json_object(&j);
    for (uint32_t i = 0; i < all->count; i++)
        write_part(&j, &all->parts[i]);
    json_object_end(&j);
    buf_char(to, '\n');
}

static bool is_good(const struct aggregate *all, uint64_t *retry_after_s) {
    bool any = false, required = true;
    *retry_after_s = 1;
    for (uint32_t i = 0; i < all->count; i++) {
        const struct part *p = &all->parts[i];
        uint64_t wait_s = p->retry_after_ns / SWG_SECONDS(1) + 1;
        any |= p->has_data;
        required = required && (p->has_data || !p->options->required);
        if (!p->has_data && p->retry_after_ns != SWG_NEVER && wait_s > *retry_after_s)
            *retry_after_s = wait_s;
    }
    return any && required;
}

static void answer(struct exchange *x) {
    struct aggregate *all = x->aggregate;
    struct buf body, fields;
    char memory[256];
    uint64_t retry_after_s;
    bool good = is_good(all, &retry_after_s);
    buf_init(&body, room(all));
    buf_init_fixed(&fields, memory, sizeof memory);
    write_all(all, &body);
    bool failed = body.failed;
    aggregate_drop(x);
    buf_literal(&fields, "Content-Type: application/json\r\nCache-Control: no-store\r\n");
    if (!good)
        buf_printf(&fields, "Retry-After: %llu\r\n", (unsigned long long)retry_after_s);
    if (failed)
        reply_error(x, 503, "unavailable_locally", "There is no memory for this answer.");
    else
        reply_whole(x, good ? 200 : 503, buf_view(&fields), buf_view(&body), "aggregate");
    buf_free(&body);
}

static void on_timer(struct io_timer *t) {
    struct aggregate *all = container_of(t, struct aggregate, timer);
    struct exchange *x = all->x;
    for (uint32_t i = 0; i < all->count; i++) {
        struct part *p = &all->parts[i];
        if (p->over || p->deadline_ns > exchange_now(x))
            continue;
        const struct service *s = plan_service(x->plan, bytes_of(p->options->service));
        inner_cancel(&p->inner);
        fail_part(p, 504, "timeout", s ? s->options->message_timeout : "");
        part_over(p);
    }
    if (all->left)
        set_timer(all);
    else
        answer(x);
}

/* ---- asking ---------------------------------------------------------------------- */

static void leave_out(struct field_set *drop, enum http_field_id id) {
    field_set_add(drop, id);
}

static void keep(struct field_set *drop, enum http_field_id id) {
    drop->bits[id / 64] &= ~(UINT64_C(1) << (id % 64));
}

/* The client's own fields, but those about this very answer: its conditions,
 * its range, its coding, and the body that it does not have. */
static void write_lines(struct exchange *x, struct buf *lines) {
    struct field_set drop = *fields_dropped_from_fetches();
    leave_out(&drop, HTTP_ACCEPT_ENCODING);
    leave_out(&drop, HTTP_RANGE);
    leave_out(&drop, HTTP_CONTENT_TYPE);
    leave_out(&drop, HTTP_CONTENT_ENCODING);
    if (client_is_trusted(x->client, x->plan->options)) {
        keep(&drop, HTTP_FORWARDED);
        keep(&drop, HTTP_X_FORWARDED_FOR);
        keep(&drop, HTTP_X_FORWARDED_HOST);
        keep(&drop, HTTP_X_FORWARDED_PROTO);
    }
    if (x->tracing) {
        leave_out(&drop, HTTP_TRACEPARENT);
        leave_out(&drop, HTTP_TRACESTATE);
    }
    fields_copy(lines, &x->request, x->head_end, &drop, x->nominated);
    tracing_write_own(lines, x);
    buf_literal(lines, "X-Request-Id: ");
    buf_bytes(lines, x->request_id);
    buf_literal(lines, "\r\nX-Correlation-Id: ");
    buf_bytes(lines, x->correlation_id);
    buf_literal(lines, "\r\n");
}

static bool write_target(struct exchange *x, const struct part_options *o, struct buf *target) {
    if (o->path_filled)
        return template_render(o->path_filled, value_of, x, target);
    buf_string(target, o->path);
    return !target->failed;
}

static void begin_part(struct part *p, struct bytes lines) {
    struct exchange *x = p->all->x;
    char memory[TARGET_MAX];
    struct buf target;
    buf_init_fixed(&target, memory, sizeof memory);
    if (!write_target(x, p->options, &target)) {
        fail_part(p, 400, "bad_request", "The request lacks a value that this part needs.");
        part_over(p);
        return;
    }
    struct inner_request r = {.service = p->options->service,
                              .method = BYTES("GET"),
                              .target = buf_view(&target),
                              .host = x->host,
                              .fields = lines,
                              .client = x->client};
    inner_begin(&p->inner, x->worker, &r);
}

static struct aggregate *make(struct exchange *x) {
    const struct route_options *route = x->route.route;
    struct aggregate *all = calloc(1, sizeof *all + route->part_count * sizeof all->parts[0]);
    if (!all)
        return NULL;
    all->x = x;
    all->left = all->count = route->part_count;
    io_timer_init(&all->timer, on_timer);
    for (uint32_t i = 0; i < all->count; i++) {
        struct part *p = &all->parts[i];
        const struct part_options *o = p->options = &route->parts[i];
        p->all = all;
        p->deadline_ns = o->timeout_ns == SWG_OFF ? SWG_NEVER : exchange_now(x) + o->timeout_ns;
        p->inner = (struct inner){.done = on_part, .body_max = o->max, .counted = true};
        buf_init(&p->data, o->max);
    }
    return all;
}

void aggregate_begin(struct exchange *x) {
    struct buf lines;
    if (x->request.method != HTTP_GET && x->request.method != HTTP_HEAD) {
        x->route.methods = 1u << HTTP_GET | 1u << HTTP_HEAD;
        reply_error(x, 405, "method_not_allowed", "This path does not take this method.");
        return;
    }
    buf_init(&lines, WORKER_SCRATCH / 2);
    write_lines(x, &lines);
    struct aggregate *all = lines.failed ? NULL : make(x);
    if (!all) {
        buf_free(&lines);
        reply_error(x, 503, "unavailable_locally", "There is no memory for this request.");
        return;
    }
    x->aggregate = all;
    for (uint32_t i = 0; i < all->count; i++)
        begin_part(&all->parts[i], buf_view(&lines));
    buf_free(&lines);
    set_timer(all);
}

void aggregate_drop(struct exchange *x) {
    struct aggregate *all = x->aggregate;
    if (!all)
        return;
    x->aggregate = NULL;
    io_timer_clear(x->worker->io, &all->timer);
    for (uint32_t i = 0; i < all->count; i++) {
        inner_cancel(&all->parts[i].inner);
        buf_free(&all->parts[i].data);
    }
    free(all);
}
