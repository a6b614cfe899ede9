/* watchdog.h - a thread that sees whether the event loops turn, when they cannot see
 * it themselves.
 *
 * Where one hangs, or memory has outgrown its limit, the process is not alive: /livez
 * says 503, and systemd's watchdog is not told any more that all is well, so that
 * whoever started the process starts it again. When the control loop hangs there is no
 * /livez; the log and systemd's watchdog remain. What counts as hanging is in
 * loop_watch.h.
 *
 * Threading: create, add, follow, start, stop and destroy on the control thread; the rest
 * on any. Loops that were added live until stop(). */
#ifndef SWG_CLI_WATCHDOG_H
#define SWG_CLI_WATCHDOG_H

#include "cli/notify.h"
#include "gateway/options.h"
#include "loop/loop.h"
#include "observe/metrics.h"

struct watchdog;

/* Registers gateway_event_loop_lag_seconds. Destroy after the last scrape. 0 or -errno. */
int watchdog_create(struct watchdog **out, struct metrics *);
/* `name` is copied. 0 or -ENOMEM. */
int watchdog_add(struct watchdog *, const char *name, struct loop *);
/* These limits from now on. */
void watchdog_follow(struct watchdog *, const struct watchdog_options *);
/* From now on it looks, and tells `notify` that the process is alive, if that wants to
 * know. 0 or -errno. */
int watchdog_start(struct watchdog *, const struct notify *);
void watchdog_stop(struct watchdog *);
void watchdog_destroy(struct watchdog *);

/* What the process ails, in words for people; NULL: it is alive. */
const char *watchdog_ailment(const struct watchdog *);
/* The longest turn of any loop within the last half minute. */
uint64_t watchdog_lag_ns(const struct watchdog *);

#endif
