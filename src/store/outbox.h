/* outbox.h - writes that wait for their service, on stable storage.
 *
 * An entry is one HTTP request that was promised to be delivered. It is
 * appended, is tried until its service takes it, and then settled; entries
 * that were refused for a fault of their own stay as dead letters until
 * somebody retries or drops them. What was settled is remembered for a while,
 * without its content, so that its sender can ask what became of it.
 *
 *   APPEND ─▶ QUEUED ─▶ SETTLE ─▶ SENT, EXPIRED, DROPPED    remembered, then forgotten
 *                ▲          └───▶ DEAD
 *                └── RETRY ────────┘
 *
 * What is told to be appended is on stable storage: it survives a power cut.
 * Many appends share one sync (group commit): while the file is being synced,
 * what comes meanwhile gathers, and goes with the next.
 *
 * The order of an outbox is that of its sequence numbers. Which entry is sent
 * when is decided elsewhere; here it is only kept.
 *
 * One process at a time owns a file: it holds a lock on FILE-owner, which ends
 * with the process however it ends. At an upgrade the old process disowns it, and
 * then only appends, while the new one owns it, and sends: that is as with a shared
 * database, with the owner as the holder of all leases. A database of PostgreSQL is shared by
 * several processes: whoever holds the lease of a service sends what waits for it, and who has none
 * appends only. Appends of all are one after the other, so that who has listed entries up to a
 * sequence number misses none before it.
 *
 * Threading: a thread of the outbox's own talks to the file or server. outbox_submit() from any
 * thread; `done` comes on the loop of op->io, or without one on the outbox's
 * thread. Memory: an op, and the bytes it points to, are the caller's and stay
 * until `done`; results live in the op until outbox_op_free(). */
#ifndef SWG_STORE_OUTBOX_H
#define SWG_STORE_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/io.h"
#include "base/list.h"

struct outbox;

enum {
    OUTBOX_ID_LEN = 32,
    OUTBOX_CONTENT_MAX = 64 << 20, /* fields and body of one entry */
    OUTBOX_LIST_MAX = 1000,        /* entries of one LIST */
};

enum outbox_state {
    OUTBOX_QUEUED = 1,
    OUTBOX_DEAD,    /* refused; whoever is in charge looks at it */
    OUTBOX_SENT,    /* delivered */
    OUTBOX_EXPIRED, /* nobody wants it any more */
    OUTBOX_DROPPED, /* by hand */
};

struct outbox_entry {
    uint64_t sequence; /* order of acceptance, from 1 */
    char id[OUTBOX_ID_LEN + 1];
    enum outbox_state state;
    int64_t accepted_ms, expires_ms, settled_ms; /* since 1970; 0: none */
    uint32_t attempts;
    int32_t status;             /* of the last attempt; 0: none came */
    struct bytes note;          /* what the last attempt, or whoever settled it, said */
    struct bytes service, lane; /* the order within a lane of a service is kept */
    struct bytes key;           /* Idempotency-Key; one entry a key and service */
    struct bytes method, target;
    struct bytes fields, body; /* "Name: value\r\n" lines; sealed where a secret is set */
    uint64_t content_len;      /* of fields and body, also where they are not loaded */
};

enum outbox_verb {
    OUTBOX_APPEND, /* entry: from `service` to `body`, and expires_ms; gives sequence and id.
                      -EEXIST: the same request was appended before; the entry is that one's.
                      -ENOTUNIQ: another request has this key */
    OUTBOX_LOAD,   /* entry.sequence, with its content; -ENOENT also where that is settled */
    OUTBOX_FIND,   /* entry.id, without content */
    OUTBOX_LIST,   /* filter; found, count: without content */
    OUTBOX_NOTE,   /* an attempt failed: entry.sequence, attempts, status, note */
    OUTBOX_SETTLE, /* entry.sequence, state, attempts, status, note; nothing if it is settled
                      already */
    OUTBOX_RETRY,  /* entry.id, a dead one: queued again with a new sequence number, that is,
                      last in its lane */
    /* where it is shared */
    OUTBOX_LEASE,  /* entry.service, lease: takes or renews it, from when it is asked. Also tells
                      what waits for the service. -EBUSY: another has it, for left_ms */
    OUTBOX_YIELD,  /* entry.service, lease.owner: gives it back */
    OUTBOX_BEHIND, /* entry.service, lane: count is 0 where nothing is queued in it */
};

/* errors: -ENOENT no such entry (or, RETRY, not dead); -ENOSPC the disk is full;
 * -EIO; -EBADMSG the content is damaged, or sealed with another secret;
 * -E2BIG, -ENOMEM; -ESHUTDOWN the outbox is closing. On an error of APPEND the
 * entry is not promised, though after -EIO it may be there all the same (with
 * the next start; or when the connection broke while it was committed): whoever
 * repeats it under its key finds it. */
struct outbox_op {
    enum outbox_verb verb;
    struct io *io; /* NULL: `done` on the outbox's thread */
    void (*done)(struct outbox_op *);
    int error; /* 0, or why not */
    struct outbox_entry entry;
    struct {
        struct bytes service;    /* empty: all */
        enum outbox_state state; /* 0: all */
        uint64_t after;          /* sequence; 0: from the first */
        uint32_t limit;          /* 1…OUTBOX_LIST_MAX */
    } filter;
    struct outbox_entry *found;
    uint32_t count;
    struct {
        const char *owner; /* nobody else's */
        int64_t length_ms, left_ms;
        uint64_t entries, bytes; /* queued for the service */
    } lease;

    /* the outbox's */
    struct arena memory;
    struct list link;
    struct io_task task;
    void *waiter;
};

struct outbox_options {
    const char *file;          /* of SQLite */
    const char *url;           /* postgresql://…, in place of a file */
    bool beside;               /* the process before may still append to the file */
    const char *secret;        /* 64 hexadecimal digits: content is sealed; NULL: it is not */
    int64_t remember_ms;       /* settled entries; default 24 h */
    int64_t (*clock_ms)(void); /* NULL: the wall clock */
    /* The server has gone, or come back (`why` is NULL); on the outbox's thread.
     * May be NULL. */
    void (*tell)(const char *why);
    uint32_t checkpoint_pages; /* the log goes into the file when it is so long; default 4000 */
    const char *vfs;           /* of SQLite, for tests; NULL: the system's files */
    bool without_sync;         /* for the test that shows what syncing is for */
};

/* Opens, or makes, the file or tables; blocks. 0, or -errno with the reason in
 * `why`: -EBUSY another process owns it, -EBADMSG it is no outbox or damaged, …
 * A server that is away is no error: `why` tells, and is empty otherwise. */
int outbox_open(struct outbox **out, const struct outbox_options *, char *why, size_t why_size);
/* Whether other processes append to it, too. */
bool outbox_is_shared(const struct outbox *);
/* A file: another process is to be the owner, once what was submitted has been carried
 * out. Any thread. */
void outbox_disown(struct outbox *);
/* It is not, after all: this process becomes the owner again, as soon as it can. */
void outbox_own(struct outbox *);
/* Whether it is a file, which somebody owns. */
bool outbox_has_owner(const struct outbox *);
/* Carries out what was submitted, then closes; blocks. NULL is fine. */
void outbox_close(struct outbox *);

void outbox_op_init(struct outbox_op *, enum outbox_verb, struct io *,
                    void (*done)(struct outbox_op *));
void outbox_submit(struct outbox *, struct outbox_op *);
void outbox_op_free(struct outbox_op *);

/* The same, waiting for it; returns op->error. For tools and tests. */
int outbox_do(struct outbox *, struct outbox_op *);

struct outbox_stats {
    uint64_t groups, appended;
    uint64_t failed; /* groups that met an error of the file */
};
void outbox_read(struct outbox *, struct outbox_stats *);

const char *outbox_state_word(enum outbox_state); /* "queued" … */

#endif
