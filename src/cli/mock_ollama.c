/* mock_ollama.c - the model of mock_llm.c in the words of Ollama: /api/generate and
 * /api/chat, which stream unless told not to, a JSON object a line. */
#include "cli/json_in.h"
#include "cli/mock.h"

#define JSON_TYPE BYTES("application/json; charset=utf-8")
#define LINE_TYPE BYTES("application/x-ndjson")

enum { ANSWER_MAX = 32 << 20 };

struct wish {
    const char *model;
    bool messages; /* /api/chat */
    uint64_t prompt_tokens;
};

static void write_text(struct json_out *j, const struct wish *w, struct bytes text) {
    if (!w->messages) {
        json_key(j, "response");
        json_bytes(j, text);
        return;
    }
    json_key_object(j, "message");
    json_key_string(j, "role", "assistant");
    json_key(j, "content");
    json_bytes(j, text);
    json_object_end(j);
}

/* One line; the last one tells how much it was. `tokens` UINT64_MAX: it is not the last. */
static void write_line(struct buf *b, const struct wish *w, struct bytes text, uint64_t tokens) {
    struct json_out j;
    json_init(&j, b);
    json_object(&j);
    json_key_string(&j, "model", w->model);
    json_key_string(&j, "created_at", "2023-11-14T22:13:20Z");
    write_text(&j, w, text);
    json_key_bool(&j, "done", tokens != UINT64_MAX);
    if (tokens != UINT64_MAX) {
        json_key_string(&j, "done_reason", "stop");
        json_key_uint(&j, "prompt_eval_count", w->prompt_tokens);
        json_key_uint(&j, "eval_count", tokens);
    }
    json_object_end(&j);
    buf_char(b, '\n');
}

static void write_stream(struct buf *b, const struct mock *m, const struct wish *w) {
    uint64_t tokens = mock_llm_token_count(m);
    struct bytes rest = {0};
    for (uint64_t i = 0; i < tokens && i != m->now.error_after; i++) {
        char memory[64];
        write_line(b, w, mock_llm_next_token(m, &rest, memory), UINT64_MAX);
    }
    if (m->now.error_after <= tokens)
        buf_literal(b, "{\"error\":\"the model is overloaded\"}\n");
    else
        write_line(b, w, BYTES(""), tokens);
}

static void write_whole(struct buf *b, const struct mock *m, const struct wish *w) {
    struct buf text;
    mock_llm_write_text(&text, m);
    write_line(b, w, buf_view(&text), mock_llm_token_count(m));
    buf_free(&text);
}

static bool refuse(struct mock_reply *r, int status, const char *why) {
    struct buf b;
    struct json_out j;
    buf_init(&b, 256);
    json_init(&j, &b);
    json_object(&j);
    json_key_string(&j, "error", why);
    json_object_end(&j);
    mock_reply_take(r, &b, JSON_TYPE);
    r->status = status;
    return true;
}

static uint64_t count_prompt(const struct node *root, bool messages) {
    const struct node *list = json_in_get(root, "messages");
    uint64_t words = 0;
    if (!messages)
        return mock_llm_words(bytes_of(json_in_text_or(root, "prompt", "")));
    for (const struct node_entry *e = list && list->kind == NODE_LIST ? list->first : NULL; e;
         e = e->next)
        words += mock_llm_words(bytes_of(json_in_text_or(e->value, "content", "")));
    return words;
}

/* False: it comes later. */
static bool reply(struct mock_connection *c, const struct node *root, bool messages,
                  struct mock_reply *r) {
    const struct wish w = {.model = json_in_text_or(root, "model", c->mock->name),
                           .messages = messages,
                           .prompt_tokens = count_prompt(root, messages)};
    bool stream = !json_in_get(root, "stream") || json_in_true(root, "stream");
    struct buf b;
    if (!stream && mock_llm_waits(c))
        return false;
    buf_init(&b, ANSWER_MAX);
    if (stream)
        write_stream(&b, c->mock, &w);
    else
        write_whole(&b, c->mock, &w);
    mock_reply_take(r, &b, stream ? LINE_TYPE : JSON_TYPE);
    r->source = stream ? MOCK_FROM_TOKENS : r->source;
    r->lines = stream;
    return true;
}

static bool answer(struct mock_connection *c, const struct mock_request *q, bool messages,
                   struct mock_reply *r) {
    struct json_in in;
    bool now = true;
    if (q->head->method != HTTP_POST)
        return refuse(r, 405, "405 method not allowed");
    json_in_read(&in, c->kept.len ? buf_view(&c->kept) : BYTES("[]"));
    if (!in.root || in.root->kind != NODE_MAP)
        refuse(r, 400, "the body is no JSON object");
    else
        now = reply(c, in.root, messages, r);
    json_in_free(&in);
    return now;
}

bool mock_ollama_generate(struct mock_connection *c, const struct mock_request *q,
                          struct mock_reply *r) {
    return answer(c, q, false, r);
}

bool mock_ollama_chat(struct mock_connection *c, const struct mock_request *q,
                      struct mock_reply *r) {
    return answer(c, q, true, r);
}

bool mock_ollama_tags(struct mock_connection *c, const struct mock_request *q,
                      struct mock_reply *r) {
    struct buf b;
    struct json_out j;
    (void)q;
    buf_init(&b, 1024);
    json_init(&j, &b);
    json_object(&j);
    json_key_array(&j, "models");
    json_object(&j);
    json_key_string(&j, "name", c->mock->name);
    json_key_string(&j, "model", c->mock->name);
    json_object_end(&j);
    json_array_end(&j);
    json_object_end(&j);
    mock_reply_take(r, &b, JSON_TYPE);
    return true;
}
