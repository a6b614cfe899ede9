/* server.h - the running process: threads with loops, listening sockets,
 * signals, and the order in which all of it starts, reloads and ends.
 *
 *   main thread: control loop ── signals, admin, names, health, ticks
 *   lane 0…n-1:  a thread, a loop, a gateway worker, a socket per address
 *
 *   RUNNING ─ SIGTERM ─▶ DELAY ─ drain.delay ─▶ CLOSING ─ queues empty ─▶
 *   FINISHING ─ no connection left, or drain.timeout ─▶ STOPPED
 *
 * Threading: everything here runs on the main thread. */
#ifndef SWG_CLI_SERVER_H
#define SWG_CLI_SERVER_H

#include "config/config.h"
#include "gateway/gateway.h"
#include "loop/loop.h"

struct server;

/* Binds everything and starts the threads; 0, or -1 with a message printed. */
int server_create(struct server **out, struct gateway_options *);
/* Until it has drained. 0, or 1 when the loop itself failed. */
int server_run(struct server *);
void server_destroy(struct server *);

/* Checks the file first; false, with what was wrong in `text` and the old
 * configuration in force, on any error. */
bool server_reload(struct server *, const char *author, uint64_t *generation, struct buf *text);
void server_drain(struct server *, bool skip_delay);

#endif
