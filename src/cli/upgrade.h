/* upgrade.h - the running process's side of an upgrade: starts the next one, gives it
 * everything, and leaves; or goes on as if nothing had been, and says why.
 *
 *   IDLE ─ begin ─▶ STARTING ─ READY ─▶ GIVING ─ TAKEN ─▶ LEFT
 *    ▲                 │                   │
 *    └── it ended, or took too long: FAILING ┘
 *
 * What the new process prints until it has taken over comes through a pipe: it goes
 * into this one's log, and if the upgrade fails into the answer of who asked for it.
 *
 * Threading: the control thread. */
#ifndef SWG_CLI_UPGRADE_H
#define SWG_CLI_UPGRADE_H

#include "admin/admin.h"
#include "base/buf.h"
#include "base/io.h"
#include "cli/handover.h"
#include "cli/launch.h"

enum upgrade_state {
    UPGRADE_IDLE,
    UPGRADE_STARTING,
    UPGRADE_GIVING,
    UPGRADE_FAILING,
    UPGRADE_LEFT
};

struct upgrade_host {
    void *arg;
    /* All listening sockets, each as HANDOVER_SOCKETS. 0 or -errno. */
    int (*send_sockets)(void *arg, int channel);
    /* Which process a service manager is to watch from now on. */
    void (*main_process)(void *arg, pid_t);
    /* What is known, for the next process. 0 or -errno. */
    int (*save)(void *arg, struct buf *state);
    /* It did not take over, and has ended: what save() began to give away is ours. Only
     * after save(). */
    void (*keep)(void *arg);
    /* It accepts now. A bit for each listener: whose clients it takes; whose sockets it
     * uses, which are closed and not drained. */
    void (*leave)(void *arg, uint64_t listeners, uint64_t adopted);
    /* How it went; `why` is empty after success. Also where nobody asked. */
    void (*told)(void *arg, bool ok, pid_t next, const char *author, const char *why);
};

struct upgrade {
    enum upgrade_state state;
    struct upgrade_host host;
    struct io *io;
    const struct launch *launch;
    int channel, errors; /* -1: none */
    pid_t pid;
    uint64_t until_ns, listeners, adopted;
    struct io_watch channel_watch, errors_watch;
    struct io_timer timer;
    struct upgrade_ticket *ticket;
    bool giving;           /* save() was called, and neither keep() nor leave() yet */
    struct buf line, said; /* what the new process prints: the present line; for the answer */
    char author[64], why[256];
};

void upgrade_init(struct upgrade *, struct io *, const struct launch *,
                  const struct upgrade_host *);
/* 0, and `ticket` (may be NULL) is told later; or -EBUSY: one is under way; or
 * -errno with the reason in `why`: then nobody is told. */
int upgrade_begin(struct upgrade *, const char *author, struct upgrade_ticket *ticket, char *why,
                  size_t why_size);
/* Something else goes first: fails what is under way, if it can still fail. */
void upgrade_call_off(struct upgrade *, const char *why);
/* For `give` of pass_on.h; any thread. The channel to the next process. */
int upgrade_channel(const struct upgrade *);
/* The loops end: the new process, if it has not taken over, is ended too, and who
 * asked for it is told. */
void upgrade_stop(struct upgrade *);
/* When the workers have ended: the channel closes, which the next process sees. */
void upgrade_free(struct upgrade *);

#endif
