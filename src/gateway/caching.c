/* caching.c - an exchange and the cache: fresh answers before the service is
 * asked, stale ones when it fails, and filling from what passes by. */
#include "gateway/caching.h"

#include "gateway/cache_meta.h"
#include "gateway/fields.h"
#include "gateway/gateway.h"
#include "gateway/stores.h"

/* Nobody waits longer for somebody else's fetch, whose client may be slow. */
#define WAIT_NS SWG_SECONDS(5)

static struct cache *cache_of(const struct exchange *x) {
    return x->worker->gateway->cache;
}

static const struct cache_options *options_of(const struct exchange *x) {
    return &x->service->options->cache;
}

/* ---- which requests, under which name ---------------------------------------- */

static bool make_key(struct exchange *x, struct cache_key *key, bool as_get) {
    const struct http1_head *r = &x->request;
    struct origin origin = exchange_origin(x);
    bool body = !as_get && r->method != HTTP_HEAD && !x->kept_dropped;
    bool forwarded = !bytes_equal(origin.host, x->host);
    struct cache_key_parts parts = {
        .service = bytes_of(x->service->options->name),
        .scheme = origin.proto,
        /* HEAD is answered from what GET has brought */
        .method = as_get || r->method == HTTP_HEAD ? BYTES("GET") : r->method_text,
        .host = x->host,
        .forwarded_host = forwarded ? origin.host : (struct bytes){0},
        .path = route_path(x->route.route, x->parts.path),
        .query = x->parts.query,
        .body = body ? (struct bytes){x->kept.at, x->kept.len} : (struct bytes){0},
        .fields = r->fields,
        .field_count = r->field_count,
        .forwards = origin.trusted,
    };
    return cache_key_make(key, &parts, options_of(x)) == 0;
}

/* Conditions that only the service can judge (RFC 9111 section 4.3.2). */
static bool asks_service(const struct http1_head *r) {
    return fields_find(r, HTTP_IF_MATCH).at || fields_find(r, HTTP_IF_UNMODIFIED_SINCE).at;
}

/* A request with a body has a name of its own only where the body is part of
 * it, and that is the user's word that it only reads. Where Connection has
 * fields taken out on the way, the service sees another request than we. */
static bool is_cacheable(const struct exchange *x) {
    const struct cache_options *o = options_of(x);
    const struct http1_head *r = &x->request;
    if (!o->enabled || x->service->options->policy.no_cache)
        return false;
    if (r->upgrade || x->nominated || x->upload.trailers_len || asks_service(r))
        return false;
    bool bodyless = r->framing == HTTP1_BODY_NONE ||
                    (r->framing == HTTP1_BODY_LENGTH && r->content_length == 0);
    bool keyed = o->key & KEY_FROM_BODY;
    if (r->method == HTTP_HEAD)
        return bodyless;
    return r->method == HTTP_GET ? bodyless || keyed : r->method == HTTP_POST && keyed;
}

bool caching_needs_body(const struct exchange *x) {
    return is_cacheable(x) && (options_of(x)->key & KEY_FROM_BODY) && !x->upload_done;
}

bool caching_wanted(struct exchange *x) {
    if (x->flight || !is_cacheable(x)) /* a refresh has its flight already */
        return false;
    if ((options_of(x)->key & KEY_FROM_BODY) && (!x->upload_done || x->kept_dropped))
        return false;
    x->has_cache_key = make_key(x, &x->cache_key, false);
    return x->has_cache_key;
}

static void read_request(const struct exchange *x, struct cache_request *r) {
    cache_request_read(r, x->request.fields, x->request.field_count);
    r->alone = x->request.method == HTTP_HEAD;
}

/* ---- looking up --------------------------------------------------------------- */

static void on_ready_here(struct io_task *task) {
    struct exchange *x = container_of(task, struct exchange, cache_ready);
    if (!x->waiting_for_cache) { /* it had left: only the memory waited */
        exchange_memory_seen(x);
        return;
    }
    x->waiting_for_cache = false;
    leg_look_up(x->leg);
}

/* On the thread of whoever ended the wait. */
static void on_ready(struct cache_waiter *waiter) {
    struct exchange *x = container_of(waiter, struct exchange, waiter);
    x->cache_ready = (struct io_task){NULL, on_ready_here};
    io_post(x->worker->io, &x->cache_ready);
}

static void note_hit(struct exchange *x, const struct cache_entry *entry) {
    x->cache_status = arena_printf(&x->arena, "hit; ttl=%lld",
                                   (long long)cache_entry_left_s(entry, exchange_now(x)));
}

static void note_miss(struct exchange *x) {
    x->cache_status = !x->old                                         ? "fwd=miss"
                      : cache_entry_is_fresh(x->old, exchange_now(x)) ? "fwd=request"
                                                                      : "fwd=stale";
}

static void go_on_without(struct leg *leg) {
    note_miss(leg->x);
    leg_run(leg, swg_call_on_cache(&leg->call, false, exchange_now(leg->x)));
}

/* What the store had is in memory now; whoever waits for our fetch can have it. */
static void go_on_with(struct leg *leg, struct cache_entry *entry) {
    struct exchange *x = leg->x;
    cache_entry_release(x->old);
    x->old = NULL;
    cache_abandon(&x->flight, SWG__FLIGHT_STORED, exchange_now(x));
    note_hit(x, entry);
    (void)swg_call_on_cache(&leg->call, true, exchange_now(x));
    leg->over = true;
    caching_reply(x, entry, "cache", false);
}

static struct cache_entry *restore(struct exchange *x, const struct cache_request *request,
                                   const struct cache_stored *stored) {
    return stored ? cache_restore(cache_of(x), x->flight, &x->cache_key, request, stored,
                                  exchange_now(x))
                  : NULL;
}

static void look_up_told(struct leg *leg, const struct cache_stored *stored) {
    struct exchange *x = leg->x;
    struct cache_request request;
    read_request(x, &request);
    struct cache_entry *entry = restore(x, &request, stored);
    if (!entry) {
        go_on_without(leg);
        return;
    }
    switch (cache_entry_usable(entry, &request, exchange_now(x))) {
    case SWG__FRESH:
    case SWG__STALE_ACCEPTED:
        go_on_with(leg, entry);
        return;
    case SWG__STALE_REFRESHED: /* by whoever looks first, which is most likely us */
        cache_entry_release(entry);
        cache_entry_release(x->old);
        x->old = NULL;
        cache_abandon(&x->flight, SWG__FLIGHT_STORED, exchange_now(x));
        leg_look_up(leg);
        return;
    case SWG__UNUSABLE:
        cache_entry_release(x->old);
        x->old = entry;
        go_on_without(leg);
        return;
    }
}

/* What is in memory came through here, so a disk has no more; a Redis may have
 * what another gateway has stored. A client who wants no stored answer has his
 * way. */
static bool ask_store(struct leg *leg) {
    struct exchange *x = leg->x;
    struct cache_request request;
    if (options_of(x)->store == CACHE_STORE_MEMORY)
        return false;
    read_request(x, &request);
    if (x->asked_store || request.wish.no_cache || x->client->sink ||
        (x->old && options_of(x)->store == CACHE_STORE_DISK))
        return false;
    x->asked_store = true;
    return stores_ask(leg, look_up_told);
}

enum caching_found caching_look_up(struct leg *leg, struct cache_entry **entry) {
    struct exchange *x = leg->x;
    struct cache_request request;
    struct cache_result result = {0};
    read_request(x, &request);
    x->waiter.on_ready = on_ready;
    enum cache_found found =
        cache_look_up(cache_of(x), &x->cache_key, &request, &x->waiter, exchange_now(x), &result);
    *entry = result.entry;
    switch (found) {
    case CACHE_STALE_REFRESH:
        exchange_begin_refresh(x, result.flight, result.entry);
        note_hit(x, result.entry);
        return CACHING_FRESH;
    case CACHE_FRESH:
    case CACHE_STALE:
        note_hit(x, result.entry);
        return CACHING_FRESH;
    case CACHE_MISS_LEAD:
        x->flight = result.flight;
        x->old = result.entry;
        *entry = NULL;
        if (ask_store(leg))
            return CACHING_ASKED;
        note_miss(x);
        return CACHING_MISS;
    case CACHE_MISS_ALONE:
        x->cache_status = "fwd=miss";
        return CACHING_MISS;
    case CACHE_WAIT:
        x->waiting_for_cache = true;
        x->wait_until_ns = exchange_now(x) + WAIT_NS;
        return CACHING_WAIT;
    case CACHE_UNAVAILABLE:
        break;
    }
    return CACHING_UNAVAILABLE;
}

void caching_leave(struct exchange *x) {
    if (!x->waiting_for_cache)
        return;
    x->waiting_for_cache = false;
    if (!cache_leave(cache_of(x), &x->waiter))
        x->memory_held++; /* on_ready is on its way */
}

/* ---- answering ------------------------------------------------------------------ */

void caching_reply(struct exchange *x, struct cache_entry *entry, const char *source, bool stale) {
    caching_reply_with(x, entry, cache_entry_lines(entry), source, stale);
}

void caching_reply_with(struct exchange *x, struct cache_entry *entry, struct bytes lines,
                        const char *source, bool stale) {
    struct buf fields;
    size_t size = lines.len + 128;
    char *memory = arena_alloc(&x->arena, size);
    int status = cache_entry_status(entry);
    if (!memory) {
        cache_entry_release(entry);
        client_abort(x->client);
        return;
    }
    buf_init_fixed(&fields, memory, size);
    buf_bytes(&fields, lines);
    buf_literal(&fields, "Age: ");
    buf_uint(&fields, cache_entry_age_s(entry, exchange_now(x)));
    buf_literal(&fields, "\r\n");
    if (stale)
        buf_literal(&fields, "Warning: 110 switchgear \"Response is Stale\"\r\n");
    bool reads = x->request.method == HTTP_GET || x->request.method == HTTP_HEAD;
    if (reads && cache_entry_matches(entry, x->request.fields, x->request.field_count))
        status = 304;
    x->entry = entry; /* released when the exchange ends: its body is not copied */
    reply_dated(x, status, buf_view(&fields), cache_entry_body(entry), source);
}

static void reply_stale(struct leg *leg, struct cache_entry *entry) {
    struct exchange *x = leg->x;
    bool fresh = cache_entry_is_fresh(entry, exchange_now(x));
    x->cache_status = arena_printf(&x->arena, "hit; ttl=%lld; detail=stale-if-error",
                                   (long long)cache_entry_left_s(entry, exchange_now(x)));
    tier_begin_answer(leg);
    caching_reply(x, entry, "stale", !fresh);
}

static void tier_told(struct leg *leg, const struct cache_stored *stored) {
    struct exchange *x = leg->x;
    const struct tier_options *tier = &leg->service->options->tiers[leg->tier];
    struct cache_request request;
    read_request(x, &request);
    struct cache_entry *entry = restore(x, &request, stored);
    if (entry && cache_entry_on_error(entry, tier->stale.max_ns, options_of(x)->force_stale,
                                      exchange_now(x))) {
        reply_stale(leg, entry);
        return;
    }
    cache_entry_release(entry);
    tier_failed(leg);
}

enum tier_result tier_stale(struct leg *leg, const struct tier_options *tier) {
    struct exchange *x = leg->x;
    struct cache_request request;
    if (leg->parent || !x->has_cache_key)
        return TIER_FAILED;
    read_request(x, &request);
    struct cache_entry *entry =
        cache_find_stale(cache_of(x), &x->cache_key, &request, tier->stale.max_ns,
                         options_of(x)->force_stale, exchange_now(x));
    if (entry) {
        reply_stale(leg, entry);
        return TIER_ANSWERED;
    }
    bool asks = !x->asked_store;
    x->asked_store = true;
    return asks && stores_ask(leg, tier_told) ? TIER_PENDING : TIER_FAILED;
}

/* ---- filling ---------------------------------------------------------------------- */

static void forget(struct exchange *x, const struct cache_key *key) {
    cache_invalidate(cache_of(x), key);
    stores_remove(x, key);
}

/* RFC 9111 section 4.4: a write that succeeded makes what was read before void. */
static void invalidate(struct exchange *x, int status) {
    struct cache_key key;
    if (options_of(x)->enabled && status >= 200 && status < 400 &&
        !http_method_is_safe(x->request.method) && !is_cacheable(x) && make_key(x, &key, true))
        forget(x, &key);
}

static struct bytes stored_lines(struct exchange *x, const struct http1_head *head,
                                 const char *head_end) {
    struct field_set drop = *fields_dropped_from_responses();
    struct buf b;
    size_t size = (size_t)(head_end - head->fields[0].name.at) + 64;
    char *memory = arena_alloc(&x->arena, size);
    if (!memory)
        return (struct bytes){0};
    field_set_add(&drop, HTTP_AGE);
    field_set_add(&drop, HTTP_CACHE_STATUS);
    buf_init_fixed(&b, memory, size);
    fields_copy(&b, head, head_end, &drop, fields_are_nominated(head));
    if (!fields_find(head, HTTP_DATE).at) {
        buf_literal(&b, "Date: ");
        buf_append(&b, worker_date(x->worker), 29);
        buf_literal(&b, "\r\n");
    }
    return b.failed ? (struct bytes){0} : buf_view(&b);
}

struct swg__cache_terms caching_terms(const struct exchange *x) {
    return cache_terms_of(options_of(x));
}

void caching_read_answer(struct leg *leg, struct cache_answer *answer,
                         struct cache_request *request, const struct http1_head *head,
                         const char *head_end) {
    struct exchange *x = leg->x;
    read_request(x, request);
    cache_answer_read(answer, head->status, head->fields, head->field_count, request,
                      worker_unix_s(x->worker));
    answer->length = head->framing == HTTP1_BODY_LENGTH ? head->content_length : UINT64_MAX;
    answer->lines = stored_lines(x, head, head_end);
    answer->facts.asked_ns = swg_call_story(&leg->call)->first_attempt_ns;
    answer->facts.came_ns = exchange_now(x);
}

void caching_head(struct leg *leg, const struct http1_head *head, const char *head_end) {
    struct exchange *x = leg->x;
    struct cache_request request;
    struct cache_answer answer;
    invalidate(x, head->status);
    if (!x->flight)
        return;
    if (leg->parent || !head->field_count) { /* a stand-in's answer is not the service's */
        caching_failed(x);
        return;
    }
    caching_read_answer(leg, &answer, &request, head, head_end);
    struct swg__cache_terms terms = caching_terms(x);
    if (!answer.lines.at)
        caching_failed(x);
    else if (cache_fill_begin(&x->flight, &request, &answer, &terms) == SWG__STORE_OK)
        x->cache_status = arena_printf(&x->arena, "%s; stored", x->cache_status);
    x->filling = x->flight != NULL;
}

void caching_data(struct exchange *x, struct bytes piece) {
    if (x->filling)
        (void)cache_fill_append(&x->flight, piece);
}

static void commit(struct exchange *x) {
    struct cache_entry *entry;
    (void)cache_fill_commit_held(&x->flight, exchange_now(x), &entry);
    if (entry)
        stores_put(x, entry);
    cache_entry_release(entry);
}

void caching_end(struct exchange *x, bool whole) {
    if (!x->flight)
        return;
    if (whole && x->filling)
        commit(x);
    else
        cache_abandon(&x->flight, x->client->eof ? SWG__FLIGHT_CANCELLED : SWG__FLIGHT_FAILED,
                      exchange_now(x));
    x->filling = false;
}

void caching_failed(struct exchange *x) {
    if (x->flight)
        cache_abandon(&x->flight, SWG__FLIGHT_FAILED, exchange_now(x));
    x->filling = false;
}

void caching_done(struct exchange *x) {
    caching_leave(x);
    caching_end(x, false);
    cache_entry_release(x->entry);
    cache_entry_release(x->old);
    x->entry = x->old = NULL;
}
