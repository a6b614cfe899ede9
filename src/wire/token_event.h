/* token_event.h - what one event in the stream of a language model means.
 *
 * Known are the streams of OpenAI's chat completions, completions and
 * responses, of Anthropic's messages, of Gemini, and of Ollama. In a stream
 * that is none of these, each event with data is content.
 *
 * An event is looked into while it passes; nothing of it is kept. */
#ifndef SWG_WIRE_TOKEN_EVENT_H
#define SWG_WIRE_TOKEN_EVENT_H

#include "wire/json_walk.h"

enum token_kind {
    TOKEN_MORE,    /* the event is not whole yet */
    TOKEN_NOTHING, /* a comment, a ping, no data */
    TOKEN_OTHER,   /* about the answer, but nothing of it: the role, the usage */
    TOKEN_CONTENT, /* text, reasoning, a call of a tool */
    TOKEN_FINISH,  /* the model has come to its end */
    TOKEN_DONE,    /* nothing follows: "[DONE]", message_stop */
    TOKEN_ERROR,   /* an error, told as an event */
};
const char *token_kind_word(enum token_kind);

enum token_shape {
    TOKEN_UNKNOWN,
    TOKEN_CHAT,      /* OpenAI's choices */
    TOKEN_RESPONSES, /* OpenAI's responses */
    TOKEN_MESSAGES,  /* Anthropic's */
    TOKEN_GEMINI,
    TOKEN_OLLAMA,
};

struct token_event {
    struct json_walk json;
    enum token_shape shape; /* of the stream, once an event has told */
    bool has_data;          /* more than white space */
    bool known, content, finish, done, error;
    uint8_t name_len, data_len;
    char name[32], data[8]; /* as they begin */
};

void token_event_init(struct token_event *);
/* Bytes of the event's name, and of its data, as they come. */
void token_event_name(struct token_event *, struct bytes);
void token_event_data(struct token_event *, struct bytes);
/* The event is whole; ready for the next. */
enum token_kind token_event_end(struct token_event *);

#endif
