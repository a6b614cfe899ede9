/* handlers.h - the functions that answer requests: one file a group of paths.
 *
 * Each fills the response and returns, or says that it will be later (later.h);
 * none waits for anything. What a handler
 * answers to stands in the table of routes, in api.c. */
#ifndef SWG_ADMIN_HANDLERS_H
#define SWG_ADMIN_HANDLERS_H

#include "admin/connection.h"
#include "admin/request.h"

/* health_api.c */
void handle_live(struct request *, struct response *);
void handle_ready(struct request *, struct response *);
void handle_startup(struct request *, struct response *);
void handle_health(struct request *, struct response *);

/* breakers_api.c */
void handle_breakers(struct request *, struct response *);
void handle_breaker(struct request *, struct response *);
void handle_history(struct request *, struct response *);
void handle_reset(struct request *, struct response *);
void handle_force_open(struct request *, struct response *);
void handle_force_close(struct request *, struct response *);
void handle_disable(struct request *, struct response *);
void handle_force_recovery(struct request *, struct response *);

/* outbox_api.c; they answer later: see later.h */
void handle_outbox(struct request *, struct response *);
void handle_outbox_summary(struct request *, struct response *);
void handle_outbox_entry(struct request *, struct response *);
void handle_outbox_retry(struct request *, struct response *);
void handle_outbox_drop(struct request *, struct response *);

/* fallbacks_api.c, services_api.c */
void handle_fallback_test(struct request *, struct response *); /* dry_run_api.c; later */
void handle_fallbacks(struct request *, struct response *);
void handle_services(struct request *, struct response *);
void handle_service(struct request *, struct response *);
void handle_series(struct request *, struct response *); /* series_api.c */

/* drills_api.c */
void handle_drills(struct request *, struct response *);
void handle_drill_start(struct request *, struct response *);
void handle_drill_stop(struct request *, struct response *);
void handle_drills_stop(struct request *, struct response *);
/* "drills": a list of them, in an open object. */
void drills_write_member(struct json_out *, const struct moment *, struct admin *);

/* patch_api.c */
void handle_patch_service(struct request *, struct response *);
void handle_unpatch_service(struct request *, struct response *);

/* shadow_api.c */
void handle_shadow(struct request *, struct response *);
void handle_shadow_set(struct request *, struct response *);
void handle_shadow_end(struct request *, struct response *);

/* config_api.c */
void handle_config(struct request *, struct response *);
void handle_reload(struct request *, struct response *);
void handle_drain(struct request *, struct response *);

/* upgrade_api.c; later */
void handle_upgrade(struct request *, struct response *);

/* events_api.c: a stream, for which the connection then calls the other two. */
void handle_events(struct request *, struct response *);
/* Sends what the follower has not seen, as far as he takes it. False: he was
 * too slow, or there was no memory, and is gone. */
bool follower_feed(struct connection *);
/* Every 15 s: a comment that keeps the connection alive, or the end of a
 * follower who takes nothing. */
void follower_beat(struct connection *);

/* metrics_api.c */
void handle_metrics(struct request *, struct response *);

/* page.c */
void handle_page(struct request *, struct response *);
/* The page as the answer to one who may not see anything yet: it asks for the
 * token. The status is left as it is. */
void page_write(struct response *);

#endif
