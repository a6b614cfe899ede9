/* mock_page.c - paths with a meaning of their own.
 *
 * A page fills a reply from the request; the behaviour in force (latency,
 * errors, hanging …) applies to all of them but the control. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/mock.h"
#include "config/value.h"

#define JSON_TYPE BYTES("application/json")
#define TEXT_TYPE BYTES("text/plain; charset=utf-8")

/* ---- parts of requests ------------------------------------------------------------------- */

static int hex(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool mock_query(struct bytes query, const char *name, struct buf *out) {
    struct bytes pair, want = bytes_of(name);
    while (bytes_split(&query, '&', &pair)) {
        if (!bytes_starts(pair, want) || (pair.len > want.len && pair.at[want.len] != '='))
            continue;
        size_t from = want.len + (pair.len > want.len);
        for (size_t i = from; i < pair.len; i++) {
            int high = pair.at[i] == '%' && i + 2 < pair.len ? hex(pair.at[i + 1]) : -1;
            int low = high >= 0 ? hex(pair.at[i + 2]) : -1;
            if (low >= 0) {
                buf_char(out, (char)(high * 16 + low));
                i += 2;
            } else {
                buf_char(out, pair.at[i] == '+' ? ' ' : pair.at[i]);
            }
        }
        return true;
    }
    return false;
}

/* A number, size or duration of the query; the fallback where it is not given,
 * false (and 400) where it is wrong. */
enum kind { NUMBER, SIZE, DURATION };

static bool query_value(struct mock_reply *reply, struct bytes query, const char *name,
                        enum kind kind, uint64_t fallback, uint64_t *value) {
    char memory[64];
    struct buf text;
    buf_init_fixed(&text, memory, sizeof memory);
    *value = fallback;
    if (!mock_query(query, name, &text))
        return true;
    struct bytes v = buf_view(&text);
    if (kind == SIZE && v.len > 2 && !memcmp(v.at + v.len - 2, "/s", 2))
        v.len -= 2;
    bool good = kind == NUMBER ? value_count(v, value)
                : kind == SIZE ? value_size(v, value)
                               : value_duration(v, value);
    if (!good)
        reply->status = 400;
    return good;
}

/* What follows the prefix that the page stands at. */
static struct bytes rest_of(const struct mock_connection *c, const struct mock_request *r) {
    size_t skip = strlen(c->page->path);
    return (struct bytes){r->path.at + skip, r->path.len - skip};
}

static struct bytes field(const struct http1_head *head, const char *name) {
    for (uint16_t i = 0; i < head->field_count; i++) {
        if (bytes_equal_nocase(head->fields[i].name, bytes_of(name)))
            return head->fields[i].value;
    }
    return (struct bytes){0};
}

static bool bad(struct mock_reply *reply, const char *why) {
    buf_clear(&reply->fields);
    reply->status = 400;
    reply->type = TEXT_TYPE;
    reply->source = MOCK_FROM_MEMORY;
    reply->cut = UINT64_MAX;
    reply->rate = 0;
    reply->chunked = false;
    reply->body = bytes_of(why);
    reply->length = reply->body.len;
    return true;
}

/* Lower case, and several of one name joined, as most programs see them; the
 * raw ones beside. */
void mock_write_fields(struct json_out *j, const struct http1_head *head) {
    char memory[512], value_memory[4096];
    json_key_object(j, "headers");
    for (uint16_t i = 0; i < head->field_count; i++) {
        struct buf name, value;
        bool again = false;
        for (uint16_t k = 0; k < i; k++)
            again = again || bytes_equal_nocase(head->fields[k].name, head->fields[i].name);
        if (again)
            continue;
        buf_init_fixed(&name, memory, sizeof memory);
        buf_init_fixed(&value, value_memory, sizeof value_memory);
        for (size_t k = 0; k < head->fields[i].name.len; k++) {
            char letter = head->fields[i].name.at[k];
            buf_char(&name, letter >= 'A' && letter <= 'Z' ? (char)(letter | 0x20) : letter);
        }
        for (uint16_t k = i; k < head->field_count; k++) {
            if (!bytes_equal_nocase(head->fields[k].name, head->fields[i].name))
                continue;
            if (k > i)
                buf_literal(&value, ", ");
            buf_bytes(&value, head->fields[k].value);
        }
        json_key(j, buf_cstr(&name));
        json_bytes(j, value.failed ? head->fields[i].value : buf_view(&value));
    }
    json_object_end(j);
    json_key_array(j, "raw_headers");
    for (uint16_t i = 0; i < head->field_count; i++) {
        json_array(j);
        json_bytes(j, head->fields[i].name);
        json_bytes(j, head->fields[i].value);
        json_array_end(j);
    }
    json_array_end(j);
}

static void write_digest(struct mock_connection *c, struct json_out *j) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char text[2 * EVP_MAX_MD_SIZE + 1] = "";
    bool good = c->digest ? EVP_DigestFinal_ex(c->digest, digest, &len) == 1
                          : EVP_Digest("", 0, digest, &len, EVP_sha256(), NULL) == 1;
    for (unsigned i = 0; good && i < len; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    json_key_string(j, "sha256", text);
}

/* ---- the default, and errors -------------------------------------------------------------------
 */

void mock_page_default(struct mock_connection *c, struct mock_reply *r) {
    struct mock *m = c->mock;
    r->content = mock_content_hold(m->content);
    r->body = (struct bytes){m->content->at, m->content->len};
    r->type = bytes_of(m->content->type);
    r->length = m->content->len;
    r->chunked = m->now.chunked;
    r->rate = m->now.slow_body;
    buf_bytes(&r->fields, buf_view(&m->content->fields));
}

static void add_retry_after(struct mock_connection *c, struct mock_reply *r) {
    if (c->mock->now.retry_after)
        buf_printf(&r->fields, "Retry-After: %u\r\n", c->mock->now.retry_after);
}

static void status_body(struct mock_reply *r) {
    struct buf b;
    buf_init(&b, 256);
    buf_printf(&b, "{\"status\":%d,\"title\":\"%s\"}\n", r->status, http_status_reason(r->status));
    mock_reply_take(r, &b, JSON_TYPE);
}

void mock_page_error(struct mock_connection *c, struct mock_reply *r) {
    r->status = c->mock->now.status;
    r->rate = c->mock->now.slow_body;
    add_retry_after(c, r);
    status_body(r);
}

/* ---- pages -------------------------------------------------------------------------------------
 */

static bool page_echo(struct mock_connection *c, const struct mock_request *q,
                      struct mock_reply *r) {
    struct buf b;
    struct json_out j;
    buf_init(&b, 8 << 20);
    json_init(&j, &b);
    json_object(&j);
    json_key(&j, "method");
    json_bytes(&j, q->head->method_text);
    json_key(&j, "target");
    json_bytes(&j, q->head->target);
    json_key_string(&j, "version", q->head->minor ? "1.1" : "1.0");
    mock_write_fields(&j, q->head);
    json_key(&j, "body");
    json_bytes(&j, buf_view(&c->kept));
    json_key_uint(&j, "body_bytes", c->body_bytes);
    write_digest(c, &j);
    json_key_string(&j, "name", c->mock->name);
    json_key_uint(&j, "connection", c->number);
    json_key_uint(&j, "request", c->record);
    json_object_end(&j);
    buf_char(&b, '\n');
    mock_reply_take(r, &b, JSON_TYPE);
    r->chunked = c->mock->now.chunked;
    return true;
}

static bool page_upload(struct mock_connection *c, const struct mock_request *q,
                        struct mock_reply *r) {
    struct buf b;
    struct json_out j;
    (void)q;
    buf_init(&b, 1024);
    json_init(&j, &b);
    json_object(&j);
    json_key_uint(&j, "bytes", c->body_bytes);
    write_digest(c, &j);
    json_object_end(&j);
    buf_char(&b, '\n');
    mock_reply_take(r, &b, JSON_TYPE);
    return true;
}

static bool page_status(struct mock_connection *c, const struct mock_request *q,
                        struct mock_reply *r) {
    char memory[512];
    struct buf location;
    uint64_t status;
    buf_init_fixed(&location, memory, sizeof memory);
    if (!value_count(rest_of(c, q), &status) || status < 200 || status > 599)
        return bad(r, "a status from 200 to 599 is expected\n");
    r->status = (int)status;
    if (mock_query(q->query, "location", &location) && !strpbrk(memory, "\r\n"))
        buf_printf(&r->fields, "Location: %s\r\n", memory);
    add_retry_after(c, r);
    status_body(r);
    return true;
}

static bool page_bytes(struct mock_connection *c, const struct mock_request *q,
                       struct mock_reply *r) {
    char memory[16];
    struct buf flag;
    buf_init_fixed(&flag, memory, sizeof memory);
    if (!value_size(rest_of(c, q), &r->length) || r->length > (uint64_t)8 << 30)
        return bad(r, "a size up to 8GiB is expected\n");
    r->source = MOCK_FROM_PATTERN;
    r->type = BYTES("application/octet-stream");
    r->chunked = mock_query(q->query, "chunked", &flag) || c->mock->now.chunked;
    r->cut_resets = mock_query(q->query, "reset", &flag);
    if (!query_value(r, q->query, "rate", SIZE, c->mock->now.slow_body, &r->rate) ||
        !query_value(r, q->query, "cut", SIZE, UINT64_MAX, &r->cut))
        return bad(r, "rate and cut are sizes\n");
    return true;
}

static bool page_delay(struct mock_connection *c, const struct mock_request *q,
                       struct mock_reply *r) {
    uint64_t delay;
    if (c->due_ns == UINT64_MAX) { /* it has been waited for */
        mock_page_default(c, r);
        return true;
    }
    if (!value_duration(rest_of(c, q), &delay) || delay > UINT64_C(86400000000000))
        return bad(r, "a duration up to 24h is expected\n");
    c->due_ns = UINT64_MAX;
    io_timer_set(c->mock->io, &c->timer, io_now(c->mock->io) + delay);
    return false;
}

static bool page_events(struct mock_connection *c, const struct mock_request *q,
                        struct mock_reply *r) {
    (void)c;
    if (!query_value(r, q->query, "events", NUMBER, 5, &r->length) ||
        !query_value(r, q->query, "interval", DURATION, 100000000, &r->interval_ns))
        return bad(r, "events is a number (0: without end), interval a duration\n");
    if (!r->length || r->length > 1000000000)
        r->length = UINT64_MAX;
    if (r->interval_ns > UINT64_C(3600000000000))
        r->interval_ns = UINT64_C(3600000000000);
    r->source = MOCK_FROM_EVENTS;
    r->type = BYTES("text/event-stream");
    buf_literal(&r->fields, "Cache-Control: no-cache\r\n");
    return true;
}

static uint64_t tag_of(struct bytes body) {
    uint64_t h = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < body.len; i++)
        h = (h ^ (unsigned char)body.at[i]) * UINT64_C(1099511628211);
    return h;
}

static bool page_cache(struct mock_connection *c, const struct mock_request *q,
                       struct mock_reply *r) {
    struct buf body;
    char memory[512], etag[32], modified[30];
    struct buf control;
    uint64_t max_age;
    (void)c;
    buf_init(&body, 64 << 10);
    buf_init_fixed(&control, memory, sizeof memory);
    if (!query_value(r, q->query, "max-age", NUMBER, 60, &max_age))
        return bad(r, "max-age is a number of seconds\n");
    if (!mock_query(q->query, "control", &control))
        buf_printf(&control, "max-age=%llu", (unsigned long long)max_age);
    if (!mock_query(q->query, "body", &body))
        buf_literal(&body, "cacheable\n");
    snprintf(etag, sizeof etag, "\"%016llx\"", (unsigned long long)tag_of(buf_view(&body)));
    http_date_write(modified, 1700000000);
    if (!strpbrk(memory, "\r\n"))
        buf_printf(&r->fields, "Cache-Control: %s\r\n", memory);
    buf_printf(&r->fields, "ETag: %s\r\nLast-Modified: %s\r\n", etag, modified);
    buf_clear(&control);
    if (mock_query(q->query, "vary", &control) && !strpbrk(memory, "\r\n"))
        buf_printf(&r->fields, "Vary: %s\r\n", memory);
    struct bytes match = field(q->head, "If-None-Match");
    bool same = match.at ? bytes_equal(match, bytes_of(etag))
                         : bytes_equal(field(q->head, "If-Modified-Since"), bytes_of(modified));
    mock_reply_take(r, &body, TEXT_TYPE);
    if (same)
        r->status = 304;
    return true;
}

static bool page_counter(struct mock_connection *c, const struct mock_request *q,
                         struct mock_reply *r) {
    struct buf b;
    (void)q;
    buf_init(&b, 64);
    buf_printf(&b, "{\"counter\":%llu}\n", (unsigned long long)++c->mock->counter);
    mock_reply_take(r, &b, JSON_TYPE);
    return true;
}

static bool page_interim(struct mock_connection *c, const struct mock_request *q,
                         struct mock_reply *r) {
    uint64_t status, count;
    if (!query_value(r, q->query, "status", NUMBER, 103, &status) || status < 100 || status > 199 ||
        status == 101 || !query_value(r, q->query, "count", NUMBER, 1, &count) || count > 1000)
        return bad(r, "status is one from 100 to 199 but 101, count a number up to 1000\n");
    mock_page_default(c, r);
    r->interim_status = (int)status;
    r->interim_count = (uint32_t)count;
    return true;
}

static bool page_trailers(struct mock_connection *c, const struct mock_request *q,
                          struct mock_reply *r) {
    (void)q;
    mock_page_default(c, r);
    r->chunked = r->trailers = true;
    return true;
}

static bool page_fields(struct mock_connection *c, const struct mock_request *q,
                        struct mock_reply *r) {
    uint64_t count, size;
    if (!value_count(rest_of(c, q), &count) || count > 1000 ||
        !query_value(r, q->query, "size", SIZE, 16, &size) || size > 65536)
        return bad(r, "a number up to 1000, and a size up to 64KiB, are expected\n");
    mock_page_default(c, r);
    for (uint64_t i = 1; i <= count; i++) {
        buf_printf(&r->fields, "X-Field-%llu: ", (unsigned long long)i);
        for (uint64_t k = 0; k < size; k++)
            buf_char(&r->fields, 'x');
        buf_literal(&r->fields, "\r\n");
    }
    if (r->fields.failed)
        return bad(r, "together no more than 256KiB\n");
    return true;
}

static bool page_early(struct mock_connection *c, const struct mock_request *q,
                       struct mock_reply *r) {
    r->close = true;
    return page_status(c, q, r);
}

static bool page_hang(struct mock_connection *c, const struct mock_request *q,
                      struct mock_reply *r) {
    (void)q;
    (void)r;
    if (c->fate == MOCK_ANSWER && c->due_ns == UINT64_MAX) { /* released */
        mock_page_default(c, r);
        return true;
    }
    c->due_ns = UINT64_MAX;
    c->state = MOCK_HELD;
    c->mock->counts.held++;
    list_push_back(&c->mock->held, &c->park);
    mock_control_notice(c->mock);
    return false;
}

static bool page_reset(struct mock_connection *c, const struct mock_request *q,
                       struct mock_reply *r) {
    (void)q;
    (void)r;
    mock_connection_abort(c);
    return false;
}

static bool page_close(struct mock_connection *c, const struct mock_request *q,
                       struct mock_reply *r) {
    (void)q;
    (void)r;
    mock_connection_end(c);
    return false;
}

static bool page_garbled(struct mock_connection *c, const struct mock_request *q,
                         struct mock_reply *r) {
    static const char text[] = "this is no HTTP\r\n\r\n";
    (void)q;
    (void)r;
    io_send(&c->stream, &(struct iovec){(void *)text, sizeof text - 1}, 1);
    mock_connection_end(c);
    return false;
}

/* ---- the table
 * ------------------------------------------------------------------------------------ */

static const struct mock_page pages[] = {
    {"/__mock", true, PAGE_CONTROL | PAGE_KEEPS, NULL, mock_control_answer},
    {"/echo", false, PAGE_KEEPS | PAGE_HASHES, "method, target, headers and body as JSON",
     page_echo},
    {"/upload", false, PAGE_HASHES, "counts and hashes the body as it comes", page_upload},
    {"/status/", true, 0, "N: that status; ?location=", page_status},
    {"/bytes/", true, 0, "SIZE: so many bytes, up to 8GiB; ?chunked ?rate= ?cut=SIZE ?reset",
     page_bytes},
    {"/delay/", true, PAGE_LATER, "TIME: the default answer after that time", page_delay},
    {"/sse", false, 0, "server-sent events; ?events=5&interval=100ms", page_events},
    {"/v1/chat/completions", false, PAGE_KEEPS | PAGE_LATER,
     "a language model; {\"stream\": true} or not", mock_llm_chat},
    {"/v1/models", false, 0, "two of them", mock_llm_models},
    {"/v1/embeddings", false, PAGE_KEEPS, "a few numbers for each input", mock_llm_embeddings},
    {"/api/generate", false, PAGE_KEEPS | PAGE_LATER, "the same as Ollama has it",
     mock_ollama_generate},
    {"/api/chat", false, PAGE_KEEPS | PAGE_LATER, "the same, for messages", mock_ollama_chat},
    {"/api/tags", false, 0, "the models, as Ollama lists them", mock_ollama_tags},
    {"/ws", false, 0, "a WebSocket that echoes", mock_websocket_answer},
    {"/cache", false, 0, "ETag, Last-Modified; ?max-age=60 ?control= ?vary= ?body=", page_cache},
    {"/counter", false, 0, "another number each time", page_counter},
    {"/interim", false, 0, "1xx answers before the final one; ?status=103&count=1", page_interim},
    {"/trailers", false, 0, "chunked, with a trailer", page_trailers},
    {"/fields/", true, 0, "N: an answer with so many header fields; ?size=16", page_fields},
    {"/early/", true, PAGE_EARLY, "STATUS: answers before the body is read, and closes",
     page_early},
    {"/hang", false, PAGE_LATER, "never answers", page_hang},
    {"/reset", false, 0, "resets the connection", page_reset},
    {"/close", false, 0, "closes without an answer", page_close},
    {"/garbled", false, 0, "answers what is no HTTP", page_garbled},
};
static const struct mock_page any_page = {"/", true, 0, "all other paths: the default answer",
                                          NULL};

enum { PAGES = sizeof pages / sizeof pages[0] };

const struct mock_page *mock_page_find(struct bytes path) {
    for (int i = 0; i < PAGES; i++) {
        struct bytes p = bytes_of(pages[i].path);
        if (pages[i].prefix ? bytes_starts(path, p) : bytes_equal(path, p))
            return &pages[i];
    }
    return &any_page;
}

void mock_pages_write(struct buf *to) {
    for (int i = 0; i < PAGES; i++) {
        if (pages[i].help)
            buf_printf(to, "%-21s %s\n", pages[i].path, pages[i].help);
    }
    buf_printf(to, "%-21s %s\n", any_page.path, any_page.help);
}
