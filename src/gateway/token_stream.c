/* token_stream.c - see token_stream.h. */
#include "gateway/token_stream.h"

#include "base/json_out.h"
#include "gateway/fields.h"

enum {
    HOLD_MAX = 64 * 1024, /* then it is relayed, whatever it is */
    TAIL_MAX = 64 * 1024,
};

static const struct transport_options *transport(const struct leg *leg) {
    return &leg->service->options->transport;
}

/* ---- what the request wants ------------------------------------------------ */

static struct bytes field(const struct http1_head *head, struct bytes name) {
    for (uint16_t i = 0; i < head->field_count; i++) {
        if (bytes_equal_nocase(head->fields[i].name, name))
            return head->fields[i].value;
    }
    return (struct bytes){0};
}

static bool accepts_stream(const struct http1_head *head) {
    struct bytes list = field(head, BYTES("Accept")), type;
    enum sse_form form;
    while (http_list_next(&list, &type)) {
        if (sse_form_of(type, &form))
            return true;
    }
    return false;
}

enum asked { ASKED_NOTHING, ASKED_STREAM, ASKED_WHOLE };

static void on_request_value(void *who, uint64_t path, enum json_walk_kind kind,
                             struct bytes text) {
    enum asked *asked = who;
    if (path == 1 && kind == JSON_WALK_WORD)
        *asked = bytes_equal(text, BYTES("true")) ? ASKED_STREAM : ASKED_WHOLE;
}

/* Ollama streams unless told not to. */
static bool is_of_ollama(struct bytes path) {
    static const struct bytes ends[] = {BYTES("/api/chat"), BYTES("/api/generate")};
    for (int i = 0; i < 2; i++) {
        if (path.len >= ends[i].len &&
            !memcmp(path.at + path.len - ends[i].len, ends[i].at, ends[i].len))
            return true;
    }
    return false;
}

bool token_stream_is_asked_for(const struct exchange *x) {
    static const char *const keys[] = {"stream", NULL};
    struct json_walk walk;
    enum asked asked = ASKED_NOTHING;
    if (accepts_stream(&x->request))
        return true;
    if (!x->kept.len)
        return false;
    json_walk_init(&walk, keys, on_request_value, &asked);
    json_walk_take(&walk, x->kept.at, x->kept.len);
    return asked == ASKED_STREAM || (asked == ASKED_NOTHING && is_of_ollama(x->parts.path));
}

/* ---- the head ----------------------------------------------------------------- */

/* Whoever posts a question waits for tokens; an EventSource can only GET, and
 * may wait for its first event for hours. */
static bool is_wanted(const struct leg *leg) {
    const struct swg_policy_options *p = &leg->service->options->policy;
    if (transport(leg)->first_token_ns != SWG_OFF || transport(leg)->token_idle_ns != SWG_OFF)
        return true;
    bool other_way = leg->parent || p->retry.any_method || (p->tier_count && !p->no_fallback);
    return other_way && leg->x->request.method == HTTP_POST;
}

static bool is_plain(const struct http1_head *head) {
    struct bytes coding = fields_find(head, HTTP_CONTENT_ENCODING);
    return !coding.len || bytes_equal_nocase(coding, BYTES("identity"));
}

bool token_stream_begin(struct leg *leg, const struct http1_head *head) {
    struct exchange *x = leg->x;
    enum sse_form form;
    if (head->status < 200 || head->status > 299 || x->head_only || x->client->sink ||
        head->framing == HTTP1_BODY_NONE ||
        !sse_form_of(fields_find(head, HTTP_CONTENT_TYPE), &form) || !is_plain(head) ||
        !is_wanted(leg))
        return false;
    struct token_stream *t = x->tokens;
    if (!t) {
        t = arena_zalloc(&x->arena, sizeof *t);
        if (!t)
            return false;
        buf_init(&t->tail, TAIL_MAX);
        x->tokens = t;
    }
    struct buf tail = t->tail;
    *t = (struct token_stream){.leg = leg, .status = head->status, .held = true, .tail = tail};
    sse_init(&t->sse, form);
    http1_body_init(&t->body, head->framing, head->content_length, NULL, 0);
    return true;
}

/* ---- held back ------------------------------------------------------------------ */

static enum token_verdict peek_events(struct token_stream *t, struct bytes piece) {
    while (piece.len) {
        enum token_kind kind;
        size_t used = sse_next(&t->sse, piece.at, piece.len, &kind);
        piece.at += used;
        piece.len -= used;
        if (kind == TOKEN_CONTENT || kind == TOKEN_FINISH)
            return TOKEN_RELEASE;
        if (kind == TOKEN_ERROR)
            return TOKEN_FAILED;
        if (kind == TOKEN_DONE) /* of Ollama and Anthropic: an answer that is empty */
            return t->sse.event.shape == TOKEN_CHAT || t->sse.event.shape == TOKEN_UNKNOWN
                       ? TOKEN_FAILED
                       : TOKEN_RELEASE;
    }
    return TOKEN_HOLD;
}

enum token_verdict token_stream_peek(struct token_stream *t, const char *data, size_t len) {
    t->seen += len;
    while (len && !t->body.done) {
        struct bytes piece;
        size_t used;
        if (http1_body_next(&t->body, data, len, &piece, &used) != HTTP1_OK)
            return TOKEN_FAILED;
        data += used;
        len -= used;
        enum token_verdict v = peek_events(t, piece);
        if (v != TOKEN_HOLD)
            return v;
    }
    if (t->body.done)
        return TOKEN_FAILED;
    return t->seen > HOLD_MAX ? TOKEN_RELEASE : TOKEN_HOLD;
}

void token_stream_release(struct token_stream *t, uint64_t now_ns) {
    sse_init(&t->sse, t->sse.form);
    buf_clear(&t->tail);
    t->held = false;
    t->passing = true;
    t->moved_ns = now_ns;
}

/* ---- passing ----------------------------------------------------------------------- */

/* The usage may follow on the finish; more content may not, unless there are
 * several choices. */
static void note(struct token_stream *t, enum token_kind kind, uint64_t now_ns) {
    if (kind != TOKEN_NOTHING)
        t->moved_ns = now_ns;
    if (kind == TOKEN_FINISH || kind == TOKEN_DONE)
        t->finished = true;
    else if (kind == TOKEN_CONTENT)
        t->finished = false;
}

size_t token_stream_take(struct token_stream *t, struct bytes piece, uint64_t now_ns) {
    size_t at = 0, whole = 0;
    while (at < piece.len) {
        enum token_kind kind;
        at += sse_next(&t->sse, piece.at + at, piece.len - at, &kind);
        if (kind == TOKEN_MORE)
            continue;
        note(t, kind, now_ns);
        t->overlong = false;
        whole = at;
    }
    size_t before = whole ? 0 : t->tail.len, rest = piece.len - whole;
    if (before + rest > TAIL_MAX || (rest && !buf_reserve(&t->tail, rest)))
        t->overlong = true;
    return t->overlong ? piece.len : whole;
}

void token_stream_keep(struct token_stream *t, struct bytes rest) {
    buf_bytes(&t->tail, rest);
}

bool token_stream_is_cut(const struct token_stream *t) {
    return !t->finished && t->sse.event.shape != TOKEN_UNKNOWN;
}

uint64_t token_stream_due_ns(const struct exchange *x) {
    const struct token_stream *t = x->tokens;
    if (!t || !t->passing || x->answer != ANSWER_BODY || !t->leg->up || t->leg->up->paused)
        return SWG_NEVER;
    uint64_t idle_ns = transport(t->leg)->token_idle_ns;
    return idle_ns == SWG_OFF ? SWG_NEVER : t->moved_ns + idle_ns;
}

void token_stream_resumed(struct exchange *x) {
    if (!x->tokens)
        return;
    x->tokens->moved_ns = exchange_now(x);
    exchange_set_timer(x);
}

/* ---- the end ------------------------------------------------------------------------ */

struct ending {
    const char *message, *type, *code;
};

static void write_error(struct json_out *j, const struct ending *e) {
    json_key_object(j, "error");
    json_key_string(j, "message", e->message);
    json_key_string(j, "type", e->type);
    json_key_string(j, "code", e->code);
    json_object_end(j);
}

/* The error as the API of that shape tells it. */
static void write_data(struct buf *to, enum token_shape shape, const struct ending *e) {
    struct json_out j;
    json_init(&j, to);
    json_object(&j);
    if (shape == TOKEN_OLLAMA) {
        json_key_string(&j, "error", e->message);
    } else if (shape == TOKEN_RESPONSES) {
        json_key_string(&j, "type", "error");
        json_key_string(&j, "code", e->code);
        json_key_string(&j, "message", e->message);
        json_key_null(&j, "param");
    } else {
        if (shape == TOKEN_MESSAGES)
            json_key_string(&j, "type", "error");
        write_error(&j, e);
    }
    json_object_end(&j);
}

void token_stream_write_end(const struct token_stream *t, struct buf *to) {
    const struct service_options *o = t->leg->service->options;
    enum token_shape shape = t->sse.event.shape;
    struct ending e = {o->message_open, "upstream_error", "stream_broken"};
    if (t->timed_out)
        e = (struct ending){o->message_timeout, "timeout", "stream_idle"};
    if (t->finished)
        return;
    if (t->overlong) /* the beginning of an event has gone already */
        buf_string(to, t->sse.form == SSE_EVENTS ? "\n\n" : "\n");
    if (t->sse.form == SSE_LINES) {
        write_data(to, shape, &e);
        buf_char(to, '\n');
        return;
    }
    if (shape != TOKEN_CHAT && shape != TOKEN_GEMINI)
        buf_literal(to, "event: error\n");
    buf_literal(to, "data: ");
    write_data(to, shape, &e);
    buf_literal(to, "\n\n");
}

void token_stream_done(struct exchange *x) {
    if (x->tokens)
        buf_free(&x->tokens->tail);
    x->tokens = NULL;
}
