/* revalidate.c - what is stored but stale is asked about, not fetched again.
 * RFC 9111 section 4.3.
 *
 * Whoever fetches for all, while an answer is there that may not be used any
 * more, asks with the validators of that answer. A 304 brings it back to life:
 * its body is stored once more under the fields that the 304 has renewed, and
 * the client gets that, or a 304 of its own where its own conditions say so.
 * Anything else is relayed and stored as always.
 *
 * Stored lines are parsed again for this. That costs little beside a question
 * to the service, and spares every entry a table of fields. */
#include "gateway/caching.h"
#include "gateway/fields.h"
#include "gateway/stores.h"

/* A 304 that nobody asked for is not for us. */
static bool asks(const struct leg *leg) {
    const struct exchange *x = leg->x;
    int64_t s;
    return x->flight && x->old && !leg->parent &&
           (cache_entry_etag(x->old).len || cache_entry_last_modified(x->old, &s));
}

void caching_conditions(const struct leg *leg, struct buf *b) {
    if (!asks(leg))
        return;
    struct bytes etag = cache_entry_etag(leg->x->old);
    int64_t modified_s;
    if (etag.len) {
        buf_literal(b, "If-None-Match: ");
        buf_bytes(b, etag);
        buf_literal(b, "\r\n");
    }
    if (cache_entry_last_modified(leg->x->old, &modified_s)) {
        char date[30];
        http_date_write(date, modified_s);
        buf_literal(b, "If-Modified-Since: ");
        buf_append(b, date, 29);
        buf_literal(b, "\r\n");
    }
}

/* ---- the renewed head ------------------------------------------------------ */

/* What a 304 says of these is about itself, or about a body that has not come
 * (RFC 9111 section 3.2). */
static bool is_about_body(unsigned id) {
    return id == HTTP_CONTENT_LENGTH || id == HTTP_CONTENT_ENCODING || id == HTTP_CONTENT_RANGE ||
           id == HTTP_CONTENT_TYPE;
}

static bool parse(struct worker *w, struct bytes text, struct http1_head *head) {
    struct http1_limits limits = {
        .head_bytes = UINT32_MAX, .target = UINT32_MAX, .fields = WORKER_FIELDS};
    size_t used = 0;
    *head = (struct http1_head){.fields = w->request_fields}; /* nobody's at this moment */
    return http1_parse_response(text.at, text.len, 0, HTTP_HEAD, &limits, head, &used) ==
               HTTP1_OK &&
           used == text.len;
}

static bool has_field(const struct http1_head *head, struct bytes name) {
    for (uint16_t i = 0; i < head->field_count; i++)
        if (bytes_equal_nocase(head->fields[i].name, name))
            return true;
    return false;
}

static void write_field(struct buf *b, const struct http_field *f) {
    buf_bytes(b, f->name);
    buf_literal(b, ": ");
    buf_bytes(b, f->value);
    buf_literal(b, "\r\n");
}

/* Without a Date of its own the answer is as old as its coming. */
static void write_merged(struct buf *b, const struct http1_head *stored,
                         const struct http1_head *now) {
    const struct field_set *drop = fields_dropped_from_responses();
    for (uint16_t i = 0; i < stored->field_count; i++) {
        const struct http_field *f = &stored->fields[i];
        if (f->id != HTTP_DATE && (is_about_body(f->id) || !has_field(now, f->name)))
            write_field(b, f);
    }
    for (uint16_t i = 0; i < now->field_count; i++) {
        const struct http_field *f = &now->fields[i];
        if (!is_about_body(f->id) && !field_set_has(drop, f->id) &&
            !fields_is_nominated(now, f->name))
            write_field(b, f);
    }
    buf_literal(b, "\r\n");
}

/* A whole head as text, in the arena. Lines get a blank that may not have been
 * there, so each may grow by one byte. */
static bool make_head(struct exchange *x, const struct http1_head *now, struct http1_head *out,
                      const char **out_end) {
    struct bytes lines = cache_entry_lines(x->old);
    struct buf first, merged;
    size_t size = lines.len + 64, more = 64 + WORKER_FIELDS;
    for (uint16_t i = 0; i < now->field_count; i++)
        more += now->fields[i].name.len + now->fields[i].value.len + 4;
    char *memory = arena_alloc(&x->arena, 2 * size + more);
    if (!memory)
        return false;
    buf_init_fixed(&first, memory, size);
    buf_printf(&first, "HTTP/1.1 %d \r\n", cache_entry_status(x->old));
    buf_init_fixed(&merged, memory + size, size + more);
    buf_bytes(&merged, buf_view(&first));
    buf_bytes(&first, lines);
    buf_literal(&first, "\r\n");
    if (first.failed || !parse(x->worker, buf_view(&first), out))
        return false;
    write_merged(&merged, out, now);
    if (merged.failed || !parse(x->worker, buf_view(&merged), out) || !out->field_count)
        return false;
    *out_end = merged.at + merged.len - 2;
    return true;
}

/* ---- the answer -------------------------------------------------------------- */

/* The upstream has said all it will. */
static void let_go(struct leg *leg) {
    struct upstream *u = leg->up;
    leg->up = NULL;
    u->keep = u->keep && leg->body_sent;
    upstream_put(u);
    (void)swg_call_on_end(&leg->call, true, exchange_now(leg->x));
    leg->over = true;
}

bool caching_not_modified(struct leg *leg, const struct http1_head *now) {
    struct exchange *x = leg->x;
    struct http1_head head;
    const char *head_end;
    if (now->status != 304 || !asks(leg))
        return false;
    struct cache_entry *entry = x->old, *renewed = NULL;
    struct bytes lines = cache_entry_lines(entry);
    x->cache_status = arena_printf(&x->arena, "%s; fwd-status=304", x->cache_status);
    if (make_head(x, now, &head, &head_end)) {
        struct cache_request request;
        struct cache_answer answer;
        struct swg__cache_terms terms = caching_terms(x);
        caching_read_answer(leg, &answer, &request, &head, head_end);
        answer.length = cache_entry_body(entry).len;
        lines = answer.lines.at ? answer.lines : lines;
        if (answer.lines.at)
            (void)cache_fill_renewed(&x->flight, &request, &answer, &terms, entry, &renewed);
    }
    x->old = NULL;
    if (renewed) {
        stores_put(x, renewed);
        x->cache_status = arena_printf(&x->arena, "%s; stored", x->cache_status);
        cache_entry_release(entry);
        entry = renewed;
        lines = cache_entry_lines(entry);
    }
    let_go(leg);
    caching_reply_with(x, entry, lines, "upstream", false);
    return true;
}
