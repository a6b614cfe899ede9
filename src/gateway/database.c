/* database.c - see database.h. */
#include "gateway/database.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/gateway.h"
#include "gateway/metrics.h"
#include "gateway/worker.h"
#include "observe/log.h"

enum { NAME_SIZE = 300 };

/* A refused statement is the configuration's fault, or the caller's with each of
 * his requests: it is told so often. */
#define SAY_EVERY_NS SWG_SECONDS(10)

/* The connections; held by the databases of one plan or more. */
struct database_pool {
    /* Any thread; the last release closes (acq_rel). */
    _Atomic uint32_t references;
    struct sql_database *sql;
    struct sql_options options;
    char *url;
    /* Any worker, relaxed: whoever changes it writes the line to the log. */
    _Atomic bool away;
    _Atomic uint64_t said_ns;
};

/* ---- the pool ---------------------------------------------------------------------- */

static struct sql_options sql_options_of(const struct database_options *o) {
    return (struct sql_options){.url = o->url,
                                .size = o->size,
                                .overflow = o->overflow,
                                .pre_ping_ns = o->pre_ping_ns,
                                .recycle_ns = o->recycle_ns,
                                .connect_ns = o->policy.timeout.connect_ns,
                                .writable = o->writable};
}

static bool is_same(const struct database_pool *p, const struct sql_options *o) {
    const struct sql_options *mine = &p->options;
    return !strcmp(p->url, o->url) && mine->size == o->size && mine->overflow == o->overflow &&
           mine->pre_ping_ns == o->pre_ping_ns && mine->recycle_ns == o->recycle_ns &&
           mine->connect_ns == o->connect_ns && mine->writable == o->writable;
}

static void pool_release(struct database_pool *p) {
    if (!p || atomic_fetch_sub_explicit(&p->references, 1, memory_order_acq_rel) != 1)
        return;
    sql_close(p->sql);
    free(p->url);
    free(p);
}

static int pool_create(struct database_pool **out, struct gateway *g, const struct sql_options *o,
                       const char *name) {
    char why[SQL_WHY_SIZE];
    struct database_pool *p = calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    atomic_init(&p->references, 1);
    p->options = *o;
    p->url = strdup(o->url);
    int error = p->url ? sql_open(&p->sql, o, g->io, why, sizeof why) : -ENOMEM;
    if (error) {
        if (p->url)
            log_message(LOG_ERROR, "database %s: %s", name, why);
        pool_release(p);
        return error;
    }
    *out = p;
    return 0;
}

int database_open(struct database *db, struct gateway *g, const struct database_options *o,
                  const struct database *old, uint64_t seed, uint64_t now_ns) {
    struct sql_options options = sql_options_of(o);
    char name[NAME_SIZE];
    *db = (struct database){.options = o};
    enum swg_error e = old ? swg_policy_renew(&db->policy, old->policy, &o->policy, seed, now_ns)
                           : swg_policy_create(&db->policy, &o->policy, seed, now_ns);
    if (e != SWG_OK)
        return e == SWG_ERR_NOMEM ? -ENOMEM : -EINVAL;
    snprintf(name, sizeof name, "sql:%s", o->name);
    db->changes = service_metrics_get(g, name);
    db->metrics = database_metrics_get(g, o->name);
    if (!db->changes || !db->metrics)
        return -ENOMEM;
    gateway_listen(g, db->policy, db->changes);
    if (old && is_same(old->pool, &options)) {
        db->pool = old->pool;
        atomic_fetch_add_explicit(&db->pool->references, 1, memory_order_relaxed);
        return 0;
    }
    return pool_create(&db->pool, g, &options, o->name);
}

void database_close(struct database *db) {
    if (db->policy)
        swg_policy_release(db->policy);
    pool_release(db->pool);
}

void database_read(const struct database *db, struct sql_stats *out) {
    sql_read(db->pool->sql, out);
}

void database_submit(const struct database *db, struct sql_query *q) {
    sql_submit(db->pool->sql, q);
}

/* ---- the log ----------------------------------------------------------------------- */

static void say(const struct database_call *c, enum log_level level, const char *message,
                const char *why) {
    struct log_line line;
    if (!log_begin(&line, level, message))
        return;
    log_str(&line, "database", c->db->options->name);
    if (why && why[0])
        log_str(&line, "why", why);
    log_end(&line);
}

/* Once when it goes, once when it is back. */
static void note_presence(const struct database_call *c, bool away, const char *why) {
    struct database_pool *p = c->db->pool;
    if (atomic_load_explicit(&p->away, memory_order_relaxed) == away ||
        atomic_exchange_explicit(&p->away, away, memory_order_relaxed) == away)
        return;
    say(c, away ? LOG_WARN : LOG_INFO, away ? "database away" : "database back", why);
}

static void note_refusal(const struct database_call *c, const char *why) {
    struct database_pool *p = c->db->pool;
    uint64_t now_ns = io_now(c->worker->io);
    uint64_t said_ns = atomic_load_explicit(&p->said_ns, memory_order_relaxed);
    if (said_ns && now_ns - said_ns < SAY_EVERY_NS)
        return;
    if (atomic_compare_exchange_strong_explicit(&p->said_ns, &said_ns, now_ns, memory_order_relaxed,
                                                memory_order_relaxed))
        say(c, LOG_WARN, "query refused", why);
}

static void note(const struct database_call *c, const struct sql_query *q) {
    switch (q->result) {
    case SQL_UNAVAILABLE:
    case SQL_TIMED_OUT:
        note_presence(c, true, q->why);
        break;
    case SQL_REFUSED:
    case SQL_TOO_LARGE:
        note_presence(c, false, NULL);
        note_refusal(c, q->why);
        break;
    default:
        note_presence(c, false, NULL);
    }
}

/* ---- a call ------------------------------------------------------------------------- */

static uint64_t now(const struct database_call *c) {
    return io_now(c->worker->io);
}

static void give_up(struct database_call *c) {
    if (c->query)
        sql_cancel(c->query);
    c->query = NULL;
}

static void finish(struct database_call *c) {
    give_up(c);
    io_timer_clear(c->worker->io, &c->timer);
    database_metrics_count(c->db->metrics, c->worker->index, c->result, now(c) - c->started_ns);
    if (!c->cancelled)
        c->done(c);
}

static void carry_out(struct database_call *, struct swg_step);

/* What the engine makes of it: an answer that says no is an answer too. */
static struct swg_answer answer_of(enum sql_result result) {
    switch (result) {
    case SQL_OK:
    case SQL_NOT_FOUND:
        return (struct swg_answer){.kind = SWG_ANSWERED, .status = 200};
    case SQL_TIMED_OUT:
        return (struct swg_answer){.kind = SWG_TIMED_OUT};
    case SQL_UNAVAILABLE:
        return (struct swg_answer){.kind = SWG_RESET};
    default:
        return (struct swg_answer){.kind = SWG_ANSWERED, .status = 400};
    }
}

static void on_answer(struct sql_query *q) {
    struct database_call *c = q->request.arg;
    struct swg_answer answer = answer_of(q->result);
    c->query = NULL;
    c->result = q->result;
    note(c, q);
    if (q->result == SQL_OK)
        c->answer = q;
    else
        sql_query_free(q);
    carry_out(c, swg_call_on_answer(&c->call, &answer, now(c)));
}

static bool begin_attempt(struct database_call *c, const struct swg_step *step) {
    uint64_t attempt_ns = step->attempt_deadline_ns;
    c->request.deadline_ns = attempt_ns < c->deadline_ns ? attempt_ns : c->deadline_ns;
    c->query = sql_query_create(&c->request);
    if (c->query)
        sql_submit(c->db->pool->sql, c->query);
    return c->query;
}

static struct swg_step attempt(struct database_call *c, const struct swg_step *step) {
    struct swg_answer none = {.kind = SWG_UNAVAILABLE_LOCALLY};
    if (!begin_attempt(c, step))
        return swg_call_on_answer(&c->call, &none, now(c));
    (void)swg_call_on_connected(&c->call, now(c)); /* which cannot be told from outside */
    return swg_call_on_sent(&c->call, now(c));
}

static void carry_out(struct database_call *c, struct swg_step step) {
    for (;;) {
        if (step.abandon)
            give_up(c);
        switch (step.action) {
        case SWG_DO_ATTEMPT:
            c->result = SQL_UNAVAILABLE;
            step = attempt(c, &step);
            continue;
        case SWG_DO_WAIT:
            io_timer_set(c->worker->io, &c->timer, step.wake_ns);
            return;
        case SWG_DO_RELAY: /* all of it is here */
            step = swg_call_on_end(&c->call, true, now(c));
            continue;
        case SWG_DO_LOOK_UP: /* a database has neither cache nor fallback */
        case SWG_DO_FALL_BACK:
            step = swg_call_on_cancel(&c->call, now(c));
            continue;
        case SWG_DO_FINISH:
            finish(c);
            return;
        }
    }
}

static void on_timer(struct io_timer *t) {
    struct database_call *c = container_of(t, struct database_call, timer);
    struct swg_step step = swg_call_on_timer(&c->call, now(c));
    if (step.abandon && c->query) {
        c->result = SQL_TIMED_OUT;
        note_presence(c, true, "no answer in time");
    }
    carry_out(c, step);
}

void database_ask(struct database_call *c, uint64_t deadline_ns) {
    struct swg_request request = {
        .idempotent = !c->db->options->writable,
        .safe = !c->db->options->writable,
        .deadline_ns = deadline_ns,
        .seed = worker_random(c->worker),
    };
    c->request.io = c->worker->io;
    c->request.done = on_answer;
    c->request.arg = c;
    c->result = SQL_UNAVAILABLE;
    c->answer = c->query = NULL;
    c->cancelled = false;
    c->started_ns = now(c);
    c->deadline_ns = deadline_ns;
    io_timer_init(&c->timer, on_timer);
    carry_out(c, swg_call_start(&c->call, c->db->policy, &request, NULL, now(c)));
}

void database_cancel(struct database_call *c) {
    c->cancelled = true;
    carry_out(c, swg_call_on_cancel(&c->call, now(c)));
}
