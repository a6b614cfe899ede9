/* message.h - reads one HTTP/1.1 message, in whatever pieces it comes.
 *
 * The bench's own reader, on purpose not the gateway's: a framing mistake
 * there must not be hidden by the same mistake here. It takes what HAProxy,
 * nginx and the gateway send, keeps the few fields the bench asks about, and
 * counts the body away.
 *
 * Ownership: begin() takes no memory; a head that arrives in pieces is kept in
 * a buffer that end() frees.  Threading: one thread a message. */
#ifndef BENCH_MESSAGE_H
#define BENCH_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MESSAGE_HEAD_MAX 16384

enum message_kind { MESSAGE_REQUEST, MESSAGE_RESPONSE };

enum message_state {
    MESSAGE_HEAD,
    MESSAGE_LENGTH,     /* `left` bytes of body to come */
    MESSAGE_CHUNK_SIZE, /* in a chunk's size line */
    MESSAGE_CHUNK_DATA, /* `left` bytes of it to come */
    MESSAGE_CHUNK_END,  /* its CR LF */
    MESSAGE_TRAILERS,
    MESSAGE_UNTIL_CLOSE, /* done when the connection ends in order */
    MESSAGE_DONE,
};

struct message {
    enum message_kind kind;
    enum message_state state;
    int status;        /* response */
    char method[8];    /* request; cut short where it is longer */
    char path[160];    /* request target; cut short where it is longer */
    bool close;        /* Connection: close, or HTTP/1.0 without keep-alive */
    char source;       /* X-Upstream's first letter; '-' where there is none */
    bool numbered;     /* X-Request-Number was there */
    uint64_t number;   /* its value */
    uint64_t body;     /* bytes of body seen */
    uint64_t left;     /* of the body or the chunk */
    unsigned line_len; /* of the chunk size line or trailer line so far */
    char *partial;     /* a head not yet complete */
    size_t partial_len;
};

/* The struct is zeroed before the first begin(); a later one keeps the buffer. */
void message_begin(struct message *, enum message_kind);
/* Reads from p and returns how much was used: all of it, unless the message
 * ended before. -EBADMSG where it is no HTTP/1.x, -EMSGSIZE for a head over
 * MESSAGE_HEAD_MAX, -ENOMEM. After an error only end() may be called. */
ssize_t message_feed(struct message *, const char *p, size_t n);
/* The connection ended in order: true where that completes the message. */
bool message_close(struct message *);
void message_end(struct message *);

#endif
