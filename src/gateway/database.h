/* database.h - the databases of the sql tiers, each under a policy of its own.
 *
 * A database is what a service is: something that can be away. So a query is a
 * call of the engine, with breaker, retry and backoff of the database; only what
 * an attempt is differs (a query of store/sql.h).
 *
 * Connections and breaker outlive a reload as long as the database is the same
 * (by name, and by URL and pool).
 *
 * Threading: a call belongs to its worker. Memory: the caller's; a call that
 * has begun ends by done() or by database_cancel(). */
#ifndef SWG_GATEWAY_DATABASE_H
#define SWG_GATEWAY_DATABASE_H

#include <switchgear/call.h>

#include "base/io.h"
#include "gateway/options.h"
#include "store/sql.h"

struct gateway;
struct database_pool;
struct database_metrics;
struct service_metrics;
struct worker;

/* Of a plan. */
struct database {
    const struct database_options *options;
    struct swg_policy *policy;
    struct database_pool *pool;
    struct database_metrics *metrics;
    struct service_metrics *changes; /* under the name sql:NAME, as the breaker's everywhere */
};

/* `old` has the same name in the plan before, or is NULL. 0 or -errno; close it
 * also after an error. */
int database_open(struct database *, struct gateway *, const struct database_options *,
                  const struct database *old, uint64_t seed, uint64_t now_ns);
void database_close(struct database *);
void database_read(const struct database *, struct sql_stats *);
/* Asks the pool itself, once: neither breaker nor retry, nothing counted. For
 * checks. Ends, or is cancelled, before the database is closed. */
void database_submit(const struct database *, struct sql_query *);

struct database_call {
    struct database *db;
    struct worker *worker;
    /* done(): SQL_OK with `answer`, whose memory is the caller's to free, or why
     * not; SQL_UNAVAILABLE also where the breaker refused. */
    enum sql_result result;
    struct sql_query *answer;
    void (*done)(struct database_call *);

    struct swg_call call;
    struct sql_request request;
    struct sql_query *query; /* under way */
    struct io_timer timer;
    uint64_t started_ns, deadline_ns;
    bool cancelled;
};

/* request: text, values, shape, result_max; the rest is filled here. done()
 * may come before this returns. */
void database_ask(struct database_call *, uint64_t deadline_ns);
void database_cancel(struct database_call *);

#endif
