/* token_event.c - see token_event.h. */
#include "wire/token_event.h"

#define KEYS(X)                               \
    X(CHOICES, "choices")                     \
    X(DELTA, "delta")                         \
    X(CONTENT, "content")                     \
    X(REASONING_CONTENT, "reasoning_content") \
    X(REASONING, "reasoning")                 \
    X(REFUSAL, "refusal")                     \
    X(TOOL_CALLS, "tool_calls")               \
    X(FUNCTION_CALL, "function_call")         \
    X(AUDIO, "audio")                         \
    X(TEXT, "text")                           \
    X(FINISH_REASON, "finish_reason")         \
    X(ERROR, "error")                         \
    X(TYPE, "type")                           \
    X(THINKING, "thinking")                   \
    X(PARTIAL_JSON, "partial_json")           \
    X(MESSAGE, "message")                     \
    X(RESPONSE, "response")                   \
    X(DONE, "done")                           \
    X(CANDIDATES, "candidates")               \
    X(PARTS, "parts")                         \
    X(FUNCTION_CALL_GEMINI, "functionCall")   \
    X(FINISH_REASON_GEMINI, "finishReason")

enum {
    NO_KEY,
#define X(id, text) KEY_##id,
    KEYS(X)
#undef X
};

static const char *const keys[] = {
#define X(id, text) text,
    KEYS(X)
#undef X
        NULL};

#define PATH1(a)          (KEY_##a)
#define PATH2(a, b)       (KEY_##a | KEY_##b << 8)
#define PATH3(a, b, c)    (KEY_##a | KEY_##b << 8 | KEY_##c << 16)
#define PATH4(a, b, c, d) (PATH3(a, b, c) | KEY_##d << 24)

/* Where something stands that is part of the answer, if it is not empty. */
static const struct {
    uint32_t path;
    bool string_only; /* an object of that name is something else */
} contents[] = {
    {PATH3(CHOICES, DELTA, CONTENT), false},
    {PATH3(CHOICES, DELTA, REASONING_CONTENT), false},
    {PATH3(CHOICES, DELTA, REASONING), false},
    {PATH3(CHOICES, DELTA, REFUSAL), false},
    {PATH3(CHOICES, DELTA, TOOL_CALLS), false},
    {PATH3(CHOICES, DELTA, FUNCTION_CALL), false},
    {PATH3(CHOICES, DELTA, AUDIO), false},
    {PATH2(CHOICES, TEXT), false},
    {PATH1(DELTA), true},
    {PATH2(DELTA, TEXT), false},
    {PATH2(DELTA, THINKING), false},
    {PATH2(DELTA, PARTIAL_JSON), false},
    {PATH2(MESSAGE, CONTENT), true},
    {PATH2(MESSAGE, THINKING), true},
    {PATH2(MESSAGE, TOOL_CALLS), false},
    {PATH1(RESPONSE), true},
    {PATH1(THINKING), true},
    {PATH4(CANDIDATES, CONTENT, PARTS, TEXT), false},
    {PATH4(CANDIDATES, CONTENT, PARTS, FUNCTION_CALL_GEMINI), false},
};

const char *token_kind_word(enum token_kind kind) {
    static const char *const words[] = {
        [TOKEN_MORE] = "more",       [TOKEN_NOTHING] = "nothing", [TOKEN_OTHER] = "other",
        [TOKEN_CONTENT] = "content", [TOKEN_FINISH] = "finish",   [TOKEN_DONE] = "done",
        [TOKEN_ERROR] = "error"};
    return words[kind];
}

/* ---- values -------------------------------------------------------------- */

static bool is_one_of(struct bytes text, const char *const *words) {
    for (; *words; words++) {
        if (bytes_equal(text, bytes_of(*words)))
            return true;
    }
    return false;
}

static void on_type(struct token_event *e, struct bytes type) {
    static const char *const of_messages[] = {"message_start",
                                              "content_block_start",
                                              "content_block_delta",
                                              "content_block_stop",
                                              "message_delta",
                                              "message_stop",
                                              "ping",
                                              NULL};
    if (is_one_of(type, of_messages)) {
        e->known = true;
        e->shape = TOKEN_MESSAGES;
        e->done |= bytes_equal(type, BYTES("message_stop"));
    } else if (bytes_starts(type, BYTES("response."))) {
        e->known = true;
        e->shape = TOKEN_RESPONSES;
        e->done |= bytes_equal(type, BYTES("response.completed")) ||
                   bytes_equal(type, BYTES("response.incomplete"));
        e->error |= bytes_equal(type, BYTES("response.failed"));
    } else if (bytes_equal(type, BYTES("error"))) {
        e->error = true;
    }
}

static void on_done(struct token_event *e, struct bytes word) {
    e->known = true;
    e->shape = TOKEN_OLLAMA;
    e->done |= bytes_equal(word, BYTES("true"));
}

/* What stands outermost tells whose stream it is. */
static void see_shape(struct token_event *e, uint64_t path) {
    uint8_t top = (uint8_t)path;
    if (top == KEY_CHOICES)
        e->shape = TOKEN_CHAT;
    else if (top == KEY_CANDIDATES)
        e->shape = TOKEN_GEMINI;
    else
        return;
    e->known = true;
}

static bool is_nothing(enum json_walk_kind kind, struct bytes text) {
    return kind == JSON_WALK_EMPTY || (kind == JSON_WALK_STRING && !text.len) ||
           (kind == JSON_WALK_WORD && !bytes_equal(text, BYTES("true")));
}

static void on_value(void *who, uint64_t path, enum json_walk_kind kind, struct bytes text) {
    struct token_event *e = who;
    see_shape(e, path);
    if (path == KEY_TYPE && kind == JSON_WALK_STRING)
        on_type(e, text);
    else if (path == KEY_DONE && kind == JSON_WALK_WORD)
        on_done(e, text);
    if (is_nothing(kind, text))
        return;
    if (path == KEY_ERROR)
        e->error = true;
    else if (path == PATH2(CHOICES, FINISH_REASON) ||
             path == PATH2(CANDIDATES, FINISH_REASON_GEMINI))
        e->finish = true;
    for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++) {
        if (path == contents[i].path && (kind == JSON_WALK_STRING || !contents[i].string_only))
            e->content = true;
    }
}

/* ---- events ---------------------------------------------------------------- */

static void begin(struct token_event *e) {
    json_walk_reset(&e->json);
    e->has_data = e->known = e->content = e->finish = e->done = e->error = false;
    e->name_len = e->data_len = 0;
}

void token_event_init(struct token_event *e) {
    json_walk_init(&e->json, keys, on_value, e);
    e->shape = TOKEN_UNKNOWN;
    begin(e);
}

static void keep(char *to, size_t size, uint8_t *len, struct bytes piece) {
    size_t n = piece.len < size - *len ? piece.len : size - *len;
    if (n)
        memcpy(to + *len, piece.at, n);
    *len = (uint8_t)(*len + n);
}

void token_event_name(struct token_event *e, struct bytes piece) {
    keep(e->name, sizeof e->name, &e->name_len, piece);
}

void token_event_data(struct token_event *e, struct bytes piece) {
    for (size_t i = 0; i < piece.len && !e->has_data; i++)
        e->has_data = (unsigned char)piece.at[i] > ' ';
    keep(e->data, sizeof e->data, &e->data_len, piece);
    json_walk_take(&e->json, piece.at, piece.len);
}

static enum token_kind judge(const struct token_event *e) {
    struct bytes name = {e->name, e->name_len}, data = {e->data, e->data_len};
    if (e->error || bytes_equal(name, BYTES("error")))
        return TOKEN_ERROR;
    if (!e->has_data || bytes_equal(name, BYTES("ping")))
        return TOKEN_NOTHING;
    if (e->done || bytes_equal(data, BYTES("[DONE]")))
        return TOKEN_DONE;
    if (e->finish)
        return TOKEN_FINISH;
    return e->content || !e->known ? TOKEN_CONTENT : TOKEN_OTHER;
}

enum token_kind token_event_end(struct token_event *e) {
    json_walk_end(&e->json);
    enum token_kind kind = judge(e);
    begin(e);
    return kind;
}
