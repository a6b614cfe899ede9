/* mock_llm.c - a language model that is none: OpenAI's chat completions, models
 * and embeddings.
 *
 * The answer is written in full before it begins; a stream of it goes event by
 * event, each at its time. The role comes at once, and is no token; the first
 * token comes after `first_token`, the others `token_interval` apart. */
#include <openssl/evp.h>
#include <stdlib.h>

#include "cli/json_in.h"
#include "cli/mock.h"

#define JSON_TYPE  BYTES("application/json")
#define EVENT_TYPE BYTES("text/event-stream; charset=utf-8")

enum {
    ANSWER_MAX = 32 << 20,
    INPUTS_MAX = 1000,
    DIMENSIONS = 8,
};

static const char reply_default[] =
    "This is what a model would say if there were one behind this address.";

/* A request for a completion. */
struct wish {
    const char *model;
    bool stream, usage;
    uint64_t record, prompt_tokens;
};

/* ---- the words ---------------------------------------------------------------- */

static struct bytes reply_text(const struct mock *m) {
    return m->reply ? bytes_of(m->reply) : bytes_of(reply_default);
}

uint64_t mock_llm_words(struct bytes text) {
    struct bytes word;
    uint64_t count = 0;
    while (bytes_split(&text, ' ', &word))
        count += word.len > 0;
    return count;
}

uint64_t mock_llm_token_count(const struct mock *m) {
    uint64_t words = mock_llm_words(reply_text(m));
    return m->now.tokens && words ? m->now.tokens : words;
}

struct bytes mock_llm_next_token(const struct mock *m, struct bytes *rest, char memory[64]) {
    struct bytes text = reply_text(m), word = {0};
    bool first = !rest->at;
    while (!word.len) {
        if (!rest->len)
            *rest = text;
        bytes_split(rest, ' ', &word);
    }
    if (first || word.len > 62)
        return word;
    memory[0] = ' ';
    memcpy(memory + 1, word.at, word.len);
    return (struct bytes){memory, word.len + 1};
}

/* ---- what is asked for ------------------------------------------------------------ */

static void write_id(struct json_out *j, uint64_t record) {
    char id[40];
    snprintf(id, sizeof id, "chatcmpl-mock-%llu", (unsigned long long)record);
    json_key_string(j, "id", id);
}

static void write_usage(struct json_out *j, const struct wish *w, uint64_t tokens) {
    json_key_object(j, "usage");
    json_key_uint(j, "prompt_tokens", w->prompt_tokens);
    json_key_uint(j, "completion_tokens", tokens);
    json_key_uint(j, "total_tokens", w->prompt_tokens + tokens);
    json_object_end(j);
}

static uint64_t count_prompt(const struct node *messages) {
    uint64_t words = 0;
    if (!messages || messages->kind != NODE_LIST)
        return 0;
    for (const struct node_entry *e = messages->first; e; e = e->next) {
        const char *content = json_in_text(e->value, "content");
        words += content ? mock_llm_words(bytes_of(content)) : 0;
    }
    return words;
}

/* In the form in which that API refuses. */
static bool refuse(struct mock_reply *r, int status, const char *why) {
    struct buf b;
    struct json_out j;
    buf_init(&b, 1024);
    json_init(&j, &b);
    json_object(&j);
    json_key_object(&j, "error");
    json_key_string(&j, "message", why);
    json_key_string(&j, "type", "invalid_request_error");
    json_key_null(&j, "param");
    json_key_null(&j, "code");
    json_object_end(&j);
    json_object_end(&j);
    mock_reply_take(r, &b, JSON_TYPE);
    r->status = status;
    return true;
}

/* ---- a stream ------------------------------------------------------------------------ */

enum chunk { CHUNK_ROLE, CHUNK_TOKEN, CHUNK_FINISH, CHUNK_USAGE };

static void write_choice(struct json_out *j, enum chunk kind, struct bytes token) {
    json_object(j);
    json_key_int(j, "index", 0);
    json_key_object(j, "delta");
    if (kind == CHUNK_ROLE)
        json_key_string(j, "role", "assistant");
    if (kind != CHUNK_FINISH) {
        json_key(j, "content");
        json_bytes(j, token);
    }
    json_object_end(j);
    json_key_null(j, "logprobs");
    if (kind == CHUNK_FINISH)
        json_key_string(j, "finish_reason", "stop");
    else
        json_key_null(j, "finish_reason");
    json_object_end(j);
}

static void write_chunk(struct buf *b, const struct wish *w, enum chunk kind, struct bytes token,
                        uint64_t tokens) {
    struct json_out j;
    buf_literal(b, "data: ");
    json_init(&j, b);
    json_object(&j);
    write_id(&j, w->record);
    json_key_string(&j, "object", "chat.completion.chunk");
    json_key_int(&j, "created", 1700000000);
    json_key_string(&j, "model", w->model);
    json_key_array(&j, "choices");
    if (kind != CHUNK_USAGE)
        write_choice(&j, kind, token);
    json_array_end(&j);
    if (kind == CHUNK_USAGE)
        write_usage(&j, w, tokens);
    else if (w->usage)
        json_key_null(&j, "usage");
    json_object_end(&j);
    buf_literal(b, "\n\n");
}

static void write_stream(struct buf *b, const struct mock *m, const struct wish *w) {
    static const char error[] = "data: {\"error\":{\"message\":\"The model is overloaded.\","
                                "\"type\":\"server_error\",\"code\":\"overloaded\"}}\n\n";
    uint64_t tokens = mock_llm_token_count(m);
    struct bytes rest = {0};
    write_chunk(b, w, CHUNK_ROLE, BYTES(""), 0);
    for (uint64_t i = 0; i < tokens && i != m->now.error_after; i++) {
        char memory[64];
        write_chunk(b, w, CHUNK_TOKEN, mock_llm_next_token(m, &rest, memory), 0);
    }
    if (m->now.error_after <= tokens) {
        buf_string(b, error);
        return;
    }
    write_chunk(b, w, CHUNK_FINISH, BYTES(""), 0);
    if (w->usage)
        write_chunk(b, w, CHUNK_USAGE, BYTES(""), tokens);
    buf_literal(b, "data: [DONE]\n\n");
}

/* Tokens before the event that comes next: before the first is the role, but in lines. */
static uint64_t tokens_sent(const struct mock_reply *r) {
    if (r->lines)
        return r->events;
    return r->events ? r->events - 1 : 0;
}

static uint64_t due_ns(const struct mock *m, const struct mock_reply *r) {
    uint64_t token = tokens_sent(r), last = mock_llm_token_count(m);
    if (!r->events && !r->lines)
        return r->paced_ns;
    if (token >= last)
        token = last ? last - 1 : 0;
    return r->paced_ns + m->now.first_token_ns + token * m->now.token_interval_ns;
}

static struct bytes next_event(const struct mock_reply *r, uint64_t left) {
    const char *at = r->body.at + r->sent;
    size_t mark = r->lines ? 1 : 2;
    const char *end = memmem(at, r->body.len - r->sent, "\n\n", mark);
    size_t len = end ? (size_t)(end - at) + mark : r->body.len - r->sent;
    return (struct bytes){at, len < left ? len : (size_t)left};
}

void mock_llm_stream(struct mock_connection *c) {
    struct mock_reply *r = &c->reply;
    struct mock *m = c->mock;
    for (uint64_t left; (left = mock_reply_left(r)) > 0;) {
        uint64_t due = due_ns(m, r);
        bool begun = r->events || r->lines;
        if (begun && tokens_sent(r) == m->now.silence_after)
            return; /* until the other side has had enough */
        if (io_now(m->io) < due) {
            io_timer_set(m->io, &c->timer, due);
            return;
        }
        if (begun && tokens_sent(r) == m->now.break_after) {
            mock_connection_abort(c);
            return;
        }
        struct bytes event = next_event(r, left);
        r->sent += event.len;
        r->events++;
        mock_reply_piece(c, event);
        if (c->state == MOCK_CLOSED || io_pending(&c->stream))
            return;
    }
    mock_reply_end(c);
}

/* ---- a whole answer --------------------------------------------------------------------- */

void mock_llm_write_text(struct buf *text, const struct mock *m) {
    struct bytes rest = {0};
    uint64_t tokens = mock_llm_token_count(m);
    buf_init(text, ANSWER_MAX / 2);
    for (uint64_t i = 0; i < tokens; i++) {
        char memory[64];
        buf_bytes(text, mock_llm_next_token(m, &rest, memory));
    }
}

static void write_whole(struct buf *b, const struct mock *m, const struct wish *w) {
    struct json_out j;
    struct buf text;
    uint64_t tokens = mock_llm_token_count(m);
    mock_llm_write_text(&text, m);
    json_init(&j, b);
    json_object(&j);
    write_id(&j, w->record);
    json_key_string(&j, "object", "chat.completion");
    json_key_int(&j, "created", 1700000000);
    json_key_string(&j, "model", w->model);
    json_key_array(&j, "choices");
    json_object(&j);
    json_key_int(&j, "index", 0);
    json_key_object(&j, "message");
    json_key_string(&j, "role", "assistant");
    json_key(&j, "content");
    json_bytes(&j, buf_view(&text));
    json_key_null(&j, "refusal");
    json_object_end(&j);
    json_key_null(&j, "logprobs");
    json_key_string(&j, "finish_reason", "stop");
    json_object_end(&j);
    json_array_end(&j);
    write_usage(&j, w, tokens);
    json_object_end(&j);
    buf_char(b, '\n');
    buf_free(&text);
}

bool mock_llm_waits(struct mock_connection *c) {
    const struct mock_behaviour *now = &c->mock->now;
    uint64_t tokens = mock_llm_token_count(c->mock);
    uint64_t delay = now->first_token_ns + (tokens ? tokens - 1 : 0) * now->token_interval_ns;
    if (!delay || c->due_ns == UINT64_MAX)
        return false;
    c->due_ns = UINT64_MAX;
    io_timer_set(c->mock->io, &c->timer, io_now(c->mock->io) + delay);
    return true;
}

bool mock_llm_chat(struct mock_connection *c, const struct mock_request *q, struct mock_reply *r) {
    struct json_in in;
    struct buf b;
    bool later = false;
    if (q->head->method != HTTP_POST)
        return refuse(r, 405, "POST is expected");
    json_in_read(&in, c->kept.len ? buf_view(&c->kept) : BYTES("[]"));
    struct wish w = {
        .model = json_in_text_or(in.root, "model", c->mock->name),
        .stream = json_in_true(in.root, "stream"),
        .usage = json_in_true(json_in_get(in.root, "stream_options"), "include_usage"),
        .record = c->record,
        .prompt_tokens = count_prompt(json_in_get(in.root, "messages")),
    };
    if (!in.root || in.root->kind != NODE_MAP) {
        refuse(r, 400, "the body is no JSON object");
    } else if (w.stream) {
        buf_init(&b, ANSWER_MAX);
        write_stream(&b, c->mock, &w);
        mock_reply_take(r, &b, EVENT_TYPE);
        r->source = MOCK_FROM_TOKENS;
        buf_literal(&r->fields, "Cache-Control: no-cache\r\n");
    } else if (!(later = mock_llm_waits(c))) {
        buf_init(&b, ANSWER_MAX);
        write_whole(&b, c->mock, &w);
        mock_reply_take(r, &b, JSON_TYPE);
    }
    json_in_free(&in);
    return !later;
}

/* ---- models, embeddings ------------------------------------------------------------------- */

bool mock_llm_models(struct mock_connection *c, const struct mock_request *q,
                     struct mock_reply *r) {
    static const char *const models[] = {"mock-large", "mock-small"};
    struct buf b;
    struct json_out j;
    (void)c;
    (void)q;
    buf_init(&b, 1024);
    json_init(&j, &b);
    json_object(&j);
    json_key_string(&j, "object", "list");
    json_key_array(&j, "data");
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        json_object(&j);
        json_key_string(&j, "id", models[i]);
        json_key_string(&j, "object", "model");
        json_key_int(&j, "created", 1700000000);
        json_key_string(&j, "owned_by", "switchgear");
        json_object_end(&j);
    }
    json_array_end(&j);
    json_object_end(&j);
    mock_reply_take(r, &b, JSON_TYPE);
    return true;
}

/* Numbers that follow from the text, so that the same text has the same. */
static void write_vector(struct json_out *j, struct bytes text, bool base64) {
    float vector[DIMENSIONS];
    unsigned char encoded[4 * sizeof vector];
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < text.len; i++)
        h = (uint32_t)((h ^ (unsigned char)text.at[i]) * UINT64_C(16777619));
    for (int i = 0; i < DIMENSIONS; i++) {
        h = (uint32_t)(h * UINT64_C(1664525) + 1013904223u);
        vector[i] = (float)(h >> 8) / (float)(1 << 23) - 1;
    }
    json_key(j, "embedding");
    if (base64) { /* little-endian, as every machine is that this runs on */
        int len = EVP_EncodeBlock(encoded, (const unsigned char *)vector, sizeof vector);
        json_bytes(j, (struct bytes){(const char *)encoded, (size_t)len});
        return;
    }
    json_array(j);
    for (int i = 0; i < DIMENSIONS; i++)
        json_double(j, (double)vector[i]);
    json_array_end(j);
}

static void write_embedding(struct json_out *j, uint64_t index, struct bytes text, bool base64) {
    json_object(j);
    json_key_string(j, "object", "embedding");
    json_key_uint(j, "index", index);
    write_vector(j, text, base64);
    json_object_end(j);
}

static void write_embeddings(struct json_out *j, const struct node *root) {
    const struct node *input = json_in_get(root, "input");
    const char *format = json_in_text_or(root, "encoding_format", "float");
    bool base64 = !strcmp(format, "base64");
    uint64_t index = 0, words = 0;
    json_object(j);
    json_key_string(j, "object", "list");
    json_key_array(j, "data");
    if (input && input->kind == NODE_SCALAR) {
        words = mock_llm_words(input->text);
        write_embedding(j, index, input->text, base64);
    } else if (input && input->kind == NODE_LIST) {
        for (const struct node_entry *e = input->first; e && index < INPUTS_MAX; e = e->next) {
            words += mock_llm_words(e->value->text);
            write_embedding(j, index++, e->value->text, base64);
        }
    }
    json_array_end(j);
    json_key_string(j, "model", json_in_text_or(root, "model", "mock"));
    json_key_object(j, "usage");
    json_key_uint(j, "prompt_tokens", words);
    json_key_uint(j, "total_tokens", words);
    json_object_end(j);
    json_object_end(j);
}

bool mock_llm_embeddings(struct mock_connection *c, const struct mock_request *q,
                         struct mock_reply *r) {
    struct json_in in;
    struct json_out j;
    struct buf b;
    (void)q;
    json_in_read(&in, c->kept.len ? buf_view(&c->kept) : BYTES("[]"));
    if (!in.root || in.root->kind != NODE_MAP) {
        refuse(r, 400, "the body is no JSON object");
    } else {
        buf_init(&b, ANSWER_MAX);
        json_init(&j, &b);
        write_embeddings(&j, in.root);
        mock_reply_take(r, &b, JSON_TYPE);
    }
    json_in_free(&in);
    return true;
}
