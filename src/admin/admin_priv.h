/* admin_priv.h - the control side's one object, shared by the files of this room.
 *
 * Threading: the control thread, but for the bell: see struct bell. */
#ifndef SWG_ADMIN_ADMIN_PRIV_H
#define SWG_ADMIN_ADMIN_PRIV_H

#include <stdatomic.h>

#include "admin/admin.h"
#include "admin/records.h"
#include "base/list.h"
#include "observe/disk_space.h"
#include "observe/process_metrics.h"
#include "observe/system_figures.h"

enum {
    ADMIN_CONNECTIONS_MAX = 64,
    /* Followers of events hold their connection for good; the others are for
     * everybody else, and time out. */
    ADMIN_FOLLOWERS_MAX = 32,
};

/* Rung by whoever adds an event, on any thread; answered on the control
 * thread. Memory of its own, because a ring may still be on its way through
 * the loop when the admin side ends: the last to see it frees it. */
struct bell {
    struct io_task task;
    struct io *io;
    struct admin *admin; /* control thread; NULL: it has ended */
    /* Set by the ringers, cleared by the control thread before it reads the
     * events. acq_rel on both sides: who finds it set knows that a reading
     * which will see his event is still to come. */
    _Atomic bool rung;
};

struct admin {
    struct gateway *gateway;
    struct health *health;
    struct io *io;
    struct admin_host host;
    char *token;   /* NULL: none */
    bool loopback; /* the configured address is this machine's own */
    struct process_metrics *process;
    struct system_meter *meter;
    struct disk_space *disks;
    struct records *records;
    struct bell *bell;
    struct io_timer pulse; /* samples the services' counters */
    struct list connections;
    uint32_t connection_count, follower_count;
    bool holds_changes, has_left; /* see admin_hold_changes(), admin_leave() */
    int64_t clock_offset_ns;      /* see struct moment */
    uint64_t refused_logged_ns;   /* last line about a wrong token */
};

#endif
