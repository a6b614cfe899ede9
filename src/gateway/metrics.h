/* metrics.h - what the gateway counts, under the names that users see.
 *
 * All families stand in one table in metrics.c, which the reference page is
 * made from. What is counted request by request has a cell of its own in each
 * worker; what the engine counts anyway is read when somebody scrapes. */
#ifndef SWG_GATEWAY_METRICS_H
#define SWG_GATEWAY_METRICS_H

#include "gateway/plan.h"
#include "observe/metrics.h"
#include "store/sql.h"

struct database_metrics;
struct exchange;
struct service_metrics;
struct gateway_metrics;
struct tcp_tally;

struct gateway_metrics *gateway_metrics_create(struct gateway *, struct metrics *);
void gateway_metrics_destroy(struct gateway_metrics *);

/* By name, made at the first call; survives reloads. NULL: out of memory. */
struct service_metrics *service_metrics_get(struct gateway *, const char *service);
struct tier_tally *service_metrics_tier(struct service_metrics *, const char *tier);
const char *service_metrics_name(const struct service_metrics *);
struct gateway *service_metrics_gateway(const struct service_metrics *);
/* Any thread. */
void service_metrics_state_changed(struct service_metrics *, enum swg_breaker_state to);
/* Latency of requests so far, all methods together, for people; of a tcp service, how
 * long it took to connect. */
void service_metrics_latency(const struct service_metrics *, struct histogram *into);
uint64_t service_metrics_requests(const struct service_metrics *, int status_class);

/* What is counted of the connections of a tcp service; see tcp.h. */
struct tcp_tally *service_metrics_tcp(struct service_metrics *);
/* A series of the service, looked up at its first use and remembered in `where`. */
enum service_series { SERVICE_TCP_RESULT, SERVICE_TCP_BYTES, SERVICE_TCP_CONNECT };
struct metric_series *service_metrics_series(struct service_metrics *, enum service_series,
                                             const char *label,
                                             _Atomic(struct metric_series *) *where);

/* The same for a database of that name. */
struct database_metrics *database_metrics_get(struct gateway *, const char *name);
/* A query has ended, with its retries. Any worker. */
void database_metrics_count(struct database_metrics *, unsigned worker, enum sql_result,
                            uint64_t took_ns);

/* A tier of the service has answered or failed; `worker` by index. */
void metrics_of_tier(const struct service *, uint32_t tier, unsigned worker, uint64_t took_ns);
/* A drill of this kind has hit an attempt on the service. */
void metrics_of_drill(const struct service *, const char *kind, unsigned worker);
/* One exchange has ended: counters, and the request's log line. */
void metrics_of_exchange(struct exchange *, bool whole);

/* Every descriptor of the gateway, for the reference page; NULL at the end. */
const struct metric_desc *const *gateway_metric_table(void);

#endif
