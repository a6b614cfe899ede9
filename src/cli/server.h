/* server.h - the running process: threads with loops, listening sockets,
 * signals, and the order in which all of it starts, reloads and ends.
 *
 *   main thread: control loop ── signals, admin, names, health, ticks
 *   lane 0…n-1:  a thread, a loop, a gateway worker, a socket per address
 *
 *   RUNNING ─ SIGTERM ─▶ DELAY ─ drain.delay ─▶ CLOSING ─ queues empty ─▶
 *   FINISHING ─ no connection left, or drain.timeout ─▶ STOPPED
 *
 * At an upgrade there is no delay: from RUNNING to CLOSING, when the next process has
 * taken over (upgrade.h); and before RUNNING it was that next process (heir.h).
 *
 * Threading: everything here runs on the main thread. */
#ifndef SWG_CLI_SERVER_H
#define SWG_CLI_SERVER_H

#include "cli/heir.h"
#include "cli/launch.h"
#include "cli/upgrade.h"
#include "config/config.h"
#include "gateway/gateway.h"
#include "loop/loop.h"

struct server;

/* Binds everything, or takes what `heir` has, and starts the threads; 0, or -1 with a
 * message printed. The rest is the caller's and
 * outlives the server; pid_file may be NULL. */
int server_create(struct server **out, struct gateway_options *, struct heir *,
                  const struct launch *, const char *pid_file);
/* Until it has drained. 0, or 1 when the loop itself failed. */
int server_run(struct server *);
void server_destroy(struct server *);

/* Checks the file first; false, with what was wrong in `text` and the old
 * configuration in force, on any error. */
bool server_reload(struct server *, const char *author, uint64_t *generation, struct buf *text);
void server_drain(struct server *, bool skip_delay);
/* As upgrade_begin(); -EBUSY also where it cannot be. */
int server_upgrade(struct server *, const char *author, struct upgrade_ticket *, char *why,
                   size_t why_size);

#endif
