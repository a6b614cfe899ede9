/* mock.h - the programmable upstream: what its parts share.
 *
 *   mock.c             options, start, end
 *   mock_server.c      the listener, behaviour over time, down and up again
 *   mock_connection.c  a connection's states, from bytes to a request
 *   mock_reply.c       an answer on its way out, in pieces where need be
 *   mock_page.c        paths with a meaning of their own: /bytes/N, /sse, …
 *   mock_llm.c         /v1/…: a language model
 *   mock_ollama.c      /api/…: the same in the words of Ollama
 *   mock_websocket.c   /ws
 *   mock_control.c     /__mock/: state, behaviour, the last requests
 *   mock_records.c     counts, and the last requests
 *
 * One thread, one loop. Memory: bounded but by the number of connections; a
 * connection without a request under way owns no buffer. */
#ifndef SWG_CLI_MOCK_H
#define SWG_CLI_MOCK_H

#include "base/buf.h"
#include "base/io.h"
#include "cli/mock_behaviour.h"
#include "cli/mock_records.h"
#include "cli/mock_schedule.h"
#include "loop/listener.h"
#include "loop/loop.h"
#include "wire/http1.h"

enum {
    MOCK_HEAD_MAX = 64 << 10,
    MOCK_FIELDS_MAX = 256,
    MOCK_KEEP_MAX = 1 << 20,     /* of a request body, for /echo and the control */
    MOCK_BODY_MAX = 64 << 20,    /* of the default answer */
    MOCK_PENDING_MAX = 64 << 10, /* bytes read ahead of a request under way */
};

/* The default answer; counted, since one may be on its way while another is
 * set. */
struct mock_content {
    uint32_t references;
    char type[64];
    char *at;
    size_t len;
    struct buf fields; /* further lines, each with CR LF */
};

struct mock {
    struct loop *loop;
    struct io *io;
    struct loop_listener listener;
    struct loop_hook burial; /* frees closed connections when a turn has ended */
    struct sockaddr_storage address;
    socklen_t address_len;
    const char *name;
    const char *reply; /* what the model says; NULL: something */
    char url[160];
    uint64_t started_ns, random;
    int64_t date_s; /* of `date` */
    char date[30];

    struct mock_content *content, *content_at_start;
    struct mock_behaviour at_start; /* what reset goes back to */
    struct mock_behaviour base;     /* as set last, without the step */
    struct mock_behaviour now;      /* with the step that is in force */
    struct mock_schedule schedule, schedule_at_start;
    uint64_t schedule_from_ns;
    const struct mock_step *step;
    uint64_t step_ends_ns; /* a time of the loop; UINT64_MAX: never */
    struct io_timer step_timer, up_timer;
    uint64_t down_until_ns; /* down by order, until then; 0: not */

    struct list connections, held, waiters, dead;
    uint64_t connection_count, connections_ever;
    struct mock_counts counts;
    struct mock_records records;
    uint64_t counter; /* of /counter */

    /* scratch, valid within one call */
    struct http_field fields[MOCK_FIELDS_MAX];
    struct http1_head head;
    struct buf out;
};

enum mock_state {
    MOCK_READING_HEAD,
    MOCK_READING_BODY,
    MOCK_WAITING,   /* for its time to answer, or for what /__mock/wait waits for */
    MOCK_HELD,      /* hanging */
    MOCK_SENDING,   /* an answer in pieces */
    MOCK_WEBSOCKET, /* echoing frames */
    MOCK_ENDING,    /* all is sent; what still comes is dropped until the other side closes */
    MOCK_CLOSED,
};

enum mock_source { MOCK_FROM_MEMORY, MOCK_FROM_PATTERN, MOCK_FROM_EVENTS, MOCK_FROM_TOKENS };

/* An answer: filled by a page, then sent by mock_reply_start(). */
struct mock_reply {
    int status;
    struct bytes type; /* Content-Type; empty: none */
    struct buf fields; /* further lines */
    enum mock_source source;
    struct bytes body;            /* from memory: of `owned`, `content`, or static */
    char *owned;                  /* freed at the end */
    struct mock_content *content; /* released at the end */
    uint64_t length;              /* bytes, or events; UINT64_MAX: without end */
    uint64_t sent;                /* of them */
    uint64_t events;              /* sent, where it comes from tokens */
    bool lines;                   /* of those each is a line; else there is an empty one behind */
    uint64_t cut;                 /* ends after so many bytes; UINT64_MAX: does not */
    bool cut_resets;
    uint64_t rate, paced_ns; /* bytes a second (0: at full speed), from when on */
    uint64_t interval_ns;    /* between events */
    bool chunked, trailers, close;
    uint32_t interim_count;
    int interim_status;
    bool goes_down; /* when this answer has gone */
    uint64_t down_ns;
};

struct mock_page;

struct mock_connection {
    struct mock *mock;
    struct io_stream stream;
    struct io_timer timer;
    struct list link; /* connections, or dead */
    struct list park; /* held, or waiters */
    enum mock_state state;
    uint64_t number, answers;
    struct buf in; /* bytes not used yet */
    size_t seen;   /* of a head that is not whole */
    bool feeding;  /* input is being worked on further up the stack */

    /* the request under way */
    bool has_request, head_only, keep_alive, sends_body;
    uint8_t minor;
    const struct mock_page *page;
    enum mock_fate fate;
    uint64_t due_ns;
    uint64_t record; /* its number */
    struct buf head; /* a copy, where the answer comes later */
    struct http1_body body;
    uint64_t body_bytes;
    struct buf kept;
    void *digest; /* EVP_MD_CTX of the body, where the page wants it */
    struct mock_reply reply;
    struct mock_wait *wait;

    struct mock_websocket *websocket;
};

/* A request as the pages see it. */
struct mock_request {
    const struct http1_head *head;
    struct bytes path, query;
};

enum page_flag {
    PAGE_KEEPS = 1,   /* the body's first MOCK_KEEP_MAX bytes */
    PAGE_HASHES = 2,  /* the body */
    PAGE_EARLY = 4,   /* answers before the body */
    PAGE_CONTROL = 8, /* is never ill, and is not counted */
    PAGE_LATER = 16,  /* may answer later: the head is kept */
};

struct mock_page {
    const char *path;
    bool prefix; /* "/bytes/" and what follows */
    unsigned flags;
    const char *help;
    /* Fills the reply. False: nothing is to be sent, the connection has been
     * dealt with. */
    bool (*answer)(struct mock_connection *, const struct mock_request *, struct mock_reply *);
};

/* ---- mock_server.c --------------------------------------------------------- */
/* `address` as bytes of a sockaddr. 0 or -errno. */
int mock_listen(struct mock *, const struct sockaddr *, socklen_t);
void mock_server_init(struct mock *, struct loop *);
/* Closes everything and frees it. */
void mock_server_free(struct mock *);
/* After base, schedule or time have changed: what is in force now. */
void mock_follow(struct mock *);
void mock_schedule_begin(struct mock *);
bool mock_is_down(const struct mock *);
void mock_go_down(struct mock *, uint64_t for_ns);
/* As it was at the start: behaviour, content, schedule, counts, records. */
void mock_reset(struct mock *);
const char *mock_date(struct mock *);

struct mock_content *mock_content_create(const char *type, const void *, size_t);
struct mock_content *mock_content_copy(const struct mock_content *);
struct mock_content *mock_content_hold(struct mock_content *);
void mock_content_release(struct mock_content *);
/* "Name: value" to the content's fields; false if it is malformed. */
bool mock_content_add_field(struct mock_content *, struct bytes line);

/* ---- mock_connection.c ------------------------------------------------------ */
void mock_connection_accept(struct mock *, int fd);
/* Nothing else happens to it; its memory goes when the turn ends. */
void mock_connection_close(struct mock_connection *);
void mock_connection_abort(struct mock_connection *);
/* The answer has gone: counts, then the next request, or the end. */
void mock_connection_answered(struct mock_connection *);
/* All bytes have been handed over: half-closes, waits for the other side. */
void mock_connection_end(struct mock_connection *);
/* A held request gets its answer after all. */
void mock_connection_release(struct mock_connection *);

/* ---- mock_reply.c ------------------------------------------------------------ */
/* Sends c->reply, and calls mock_connection_answered() when it has gone. */
void mock_reply_start(struct mock_connection *);
/* The kernel has taken what was pending, or it is time for more. */
void mock_reply_go_on(struct mock_connection *);
void mock_reply_init(struct mock_reply *);
void mock_reply_free(struct mock_reply *);
/* What is left to be sent; 0: mock_reply_end() */
uint64_t mock_reply_left(const struct mock_reply *);
/* Sends a piece of the body, in a chunk where it is chunked. */
void mock_reply_piece(struct mock_connection *, struct bytes);
void mock_reply_end(struct mock_connection *);
/* The answer is what `b` holds, which becomes the reply's own. */
void mock_reply_take(struct mock_reply *, struct buf *b, struct bytes type);

/* ---- mock_page.c --------------------------------------------------------------- */
/* Never NULL: the last page is for all other paths. */
const struct mock_page *mock_page_find(struct bytes path);
void mock_pages_write(struct buf *); /* "/bytes/N  so many bytes", a line each */
/* The value of `name` in a query, decoded, in `out`; false if it is not there. */
bool mock_query(struct bytes query, const char *name, struct buf *out);
/* The default answer, and that with the status of errors. */
void mock_page_default(struct mock_connection *, struct mock_reply *);
void mock_page_error(struct mock_connection *, struct mock_reply *);
/* What /echo tells of a request, for /__mock/requests too. */
void mock_write_fields(struct json_out *, const struct http1_head *);

/* ---- mock_control.c --------------------------------------------------------------- */
bool mock_control_answer(struct mock_connection *, const struct mock_request *,
                         struct mock_reply *);
/* Something was counted: answers those that wait for it. */
void mock_control_notice(struct mock *);
/* The time of one that waits is over. */
void mock_control_timeout(struct mock_connection *);

/* ---- mock_llm.c ------------------------------------------------------------------------- */
bool mock_llm_chat(struct mock_connection *, const struct mock_request *, struct mock_reply *);
bool mock_llm_models(struct mock_connection *, const struct mock_request *, struct mock_reply *);
bool mock_llm_embeddings(struct mock_connection *, const struct mock_request *,
                         struct mock_reply *);
/* Sends what is due of a stream of tokens. */
void mock_llm_stream(struct mock_connection *);
/* What the model says: how many tokens, the next of them (with the space before it; it
 * begins anew at its end), all of them. */
uint64_t mock_llm_token_count(const struct mock *);
struct bytes mock_llm_next_token(const struct mock *, struct bytes *rest, char memory[64]);
void mock_llm_write_text(struct buf *, const struct mock *);
uint64_t mock_llm_words(struct bytes);
/* A whole answer is there when the last token would have come; true if that is later. */
bool mock_llm_waits(struct mock_connection *);

/* ---- mock_ollama.c ----------------------------------------------------------------------- */
bool mock_ollama_generate(struct mock_connection *, const struct mock_request *,
                          struct mock_reply *);
bool mock_ollama_chat(struct mock_connection *, const struct mock_request *, struct mock_reply *);
bool mock_ollama_tags(struct mock_connection *, const struct mock_request *, struct mock_reply *);

/* ---- mock_websocket.c --------------------------------------------------------------- */
bool mock_websocket_answer(struct mock_connection *, const struct mock_request *,
                           struct mock_reply *);
/* Takes all bytes. */
void mock_websocket_data(struct mock_connection *, const char *, size_t);
void mock_websocket_free(struct mock_connection *);

#endif
