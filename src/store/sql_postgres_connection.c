/* sql_postgres_connection.c - see sql_postgres.h.
 *
 * A query goes out in one piece (libpq's pipeline mode), so that its read-only
 * transaction costs no round trip:
 *
 *   BEGIN READ ONLY · SET LOCAL statement_timeout · [prepare] · execute · COMMIT · sync
 *
 * When a step fails the server skips to the sync, and the transaction, which
 * failed too, is rolled back before the connection is used again. The server
 * itself ends a statement at the deadline, so a connection survives a slow
 * query; a server that does not even do that loses the connection a little
 * later. Rows are taken one by one, so that an answer that grows too large is
 * seen while it grows.
 *
 * A query that nobody waits for any more is cancelled, and its connection
 * closed: a cancel that arrives late would hit the next query on it. The
 * request to cancel is libpq's PQcancel(), which blocks, hence on a thread.
 *
 * The socket is libpq's, and libpq may close it (to try the next address, when
 * the server is gone), so the watch is taken away before libpq gets to connect
 * and looked after each time something was read. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "store/sql_postgres.h"

enum {
    CANCELS_MAX = 8, /* threads at once; more connections are only closed */
    WHY_SIZE = 160,
    NAME_SIZE = 16,
};

static const uint64_t ms_ns = 1000000;
/* The server is given so long to tell that the time was over. */
static const uint64_t grace_ns = 250 * 1000000;

static void read_results(struct postgres_connection *);

/* The first line of what libpq says, which names host and user, never a
 * password. */
static const char *message_of(PGconn *pg, char *out) {
    snprintf(out, WHY_SIZE, "%s", pg ? PQerrorMessage(pg) : "out of memory");
    out[strcspn(out, "\n")] = '\0';
    return out;
}

/* ---- watching the socket ------------------------------------------------------------- */

static bool watch(struct postgres_connection *c, uint32_t events) {
    int fd = PQsocket(c->pg);
    bool same = c->watch.io && c->watch.fd == fd;
    if (same && c->watched == events)
        return true;
    c->watched = events;
    if (same)
        return io_watch_change(&c->watch, events) == 0;
    io_watch_stop(&c->watch);
    return fd >= 0 && io_watch_start(c->pool->io, &c->watch, fd, events) == 0;
}

/* The query, if any, is told first. */
static void lose(struct postgres_connection *c, const char *why) {
    struct sql_query *q = c->query;
    c->query = NULL;
    if (q) {
        sql__why(q, "%s", why);
        postgres_answer(q, SQL_UNAVAILABLE);
    }
    postgres_gone(c, why);
}

static void lose_now(struct postgres_connection *c) {
    char why[WHY_SIZE];
    lose(c, message_of(c->pg, why));
}

/* Sends what libpq holds. False: the connection is gone. */
static bool flush(struct postgres_connection *c) {
    int left = PQflush(c->pg);
    if (left >= 0 && watch(c, left ? EPOLLIN | EPOLLOUT : EPOLLIN))
        return true;
    lose_now(c);
    return false;
}

/* ---- connecting ------------------------------------------------------------------------ */

static void connected(struct postgres_connection *c) {
    const char *strings = PQparameterStatus(c->pg, "standard_conforming_strings");
    if (strings && strcmp(strings, "on") != 0) {
        lose(c, "standard_conforming_strings is off at the server");
        return;
    }
    if (PQsetnonblocking(c->pg, 1) < 0 || !PQenterPipelineMode(c->pg) || !watch(c, EPOLLIN)) {
        lose_now(c);
        return;
    }
    io_timer_clear(c->pool->io, &c->timer);
    c->born_ns = c->idle_ns = io_now(c->pool->io);
    postgres_set_state(c, POSTGRES_IDLE);
    postgres_ready(c);
}

static void go_on_connecting(struct postgres_connection *c) {
    bool watching;
    io_watch_stop(&c->watch);
    switch (PQconnectPoll(c->pg)) {
    case PGRES_POLLING_OK:
        connected(c);
        return;
    case PGRES_POLLING_READING:
        watching = watch(c, EPOLLIN);
        break;
    case PGRES_POLLING_WRITING:
        watching = watch(c, EPOLLOUT);
        break;
    default:
        watching = false;
    }
    if (!watching)
        lose_now(c);
}

static void ignore_notice(void *arg, const char *message) {
}

enum { KEYWORDS_MAX = 64 };

struct keywords {
    const char *names[KEYWORDS_MAX], *values[KEYWORDS_MAX];
    unsigned count;
};

static void add_keyword(struct keywords *k, const char *name, const char *value) {
    for (unsigned i = 0; value && i < k->count; i++) {
        if (!strcmp(k->names[i], name)) {
            k->values[i] = value;
            return;
        }
    }
    if (value && k->count < KEYWORDS_MAX - 1) {
        k->names[k->count] = name;
        k->values[k->count++] = value;
    }
}

static void start_connecting(struct postgres_connection *c, const struct postgres_target *t) {
    struct keywords k = {.count = 0};
    add_keyword(&k, "gssencmode", "disable"); /* would look for tickets, blocking */
    add_keyword(&k, "fallback_application_name", "switchgear");
    for (const PQconninfoOption *o = c->pool->parameters; o->keyword; o++)
        add_keyword(&k, o->keyword, o->val);
    add_keyword(&k, "client_encoding", "UTF8");
    if (t) {
        add_keyword(&k, "host", t->host);
        add_keyword(&k, "hostaddr", t->hostaddr);
        add_keyword(&k, "port", t->port && *t->port ? t->port : NULL);
    }
    c->pg = PQconnectStartParams(k.names, k.values, 0);
    c->state = POSTGRES_CONNECTING;
    if (!c->pg || PQstatus(c->pg) == CONNECTION_BAD)
        return; /* the timer, due at once, tells */
    PQsetNoticeProcessor(c->pg, ignore_notice, NULL);
    if (watch(c, EPOLLOUT))
        io_timer_set(c->pool->io, &c->timer, io_now(c->pool->io) + c->pool->db.options.connect_ns);
}

static void on_lookup(void *arg, const struct postgres_target *target, const char *error) {
    struct postgres_connection *c = arg;
    c->lookup = NULL;
    if (error) {
        lose(c, error);
        return;
    }
    io_timer_set(c->pool->io, &c->timer, io_now(c->pool->io));
    start_connecting(c, target);
}

static const char *parameter(const struct postgres *p, const char *keyword) {
    for (const PQconninfoOption *o = p->parameters; o->keyword; o++) {
        if (!strcmp(o->keyword, keyword))
            return o->val;
    }
    return NULL;
}

static void on_ready(struct io_watch *w, uint32_t events) {
    struct postgres_connection *c = container_of(w, struct postgres_connection, watch);
    if (c->state == POSTGRES_CONNECTING) {
        go_on_connecting(c);
        return;
    }
    if ((events & ~(uint32_t)EPOLLOUT) && !PQconsumeInput(c->pg)) {
        read_results(c); /* perhaps the server has said why it closes */
        return;
    }
    if (!(events & EPOLLOUT) || flush(c))
        read_results(c);
}

static void on_due(struct io_timer *t) {
    struct postgres_connection *c = container_of(t, struct postgres_connection, timer);
    if (c->state == POSTGRES_RUNNING) {
        struct sql_query *q = c->query;
        c->query = NULL;
        sql__why(q, "the server did not keep the time");
        postgres_answer(q, SQL_TIMED_OUT);
        postgres_gone(c, "the server did not keep the time");
    } else if (c->state == POSTGRES_CONNECTING && PQstatus(c->pg) == CONNECTION_BAD) {
        lose_now(c);
    } else {
        lose(c, c->state <= POSTGRES_CONNECTING ? "connecting took too long"
                                                : "the server does not answer");
    }
}

struct postgres_connection *postgres_connection_open(struct postgres *p) {
    struct postgres_connection *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    const char *host = parameter(p, "host");
    const char *address = parameter(p, "hostaddr");
    c->pool = p;
    list_init(&c->link);
    io_watch_init(&c->watch, on_ready);
    io_timer_init(&c->timer, on_due);
    c->born_ns = io_now(p->io);
    if (!host || !*host)
        host = getenv("PGHOST");
    if ((address && *address) || !host || !postgres_needs_lookup(host)) {
        io_timer_set(p->io, &c->timer, io_now(p->io));
        start_connecting(c, NULL);
        return c;
    }
    c->state = POSTGRES_RESOLVING;
    io_timer_set(p->io, &c->timer, io_now(p->io) + p->db.options.connect_ns);
    c->lookup = postgres_lookup_start(p->io, host, parameter(p, "port"), on_lookup, c);
    if (!c->lookup) {
        postgres_connection_free(c);
        return NULL;
    }
    return c;
}

void postgres_connection_free(struct postgres_connection *c) {
    if (c->lookup)
        postgres_lookup_cancel(c->lookup);
    io_watch_stop(&c->watch);
    io_timer_clear(c->pool->io, &c->timer);
    PQfinish(c->pg);
    for (uint32_t i = 0; i < c->statement_count; i++)
        free((char *)(uintptr_t)c->statements[i].at);
    free(c);
}

/* ---- sending ----------------------------------------------------------------------------- */

static bool send_command(struct postgres_connection *c, const char *text) {
    c->steps[c->step_count++] = STEP_OTHER;
    return PQsendQueryParams(c->pg, text, 0, NULL, NULL, NULL, NULL, 0);
}

static bool send_sync(struct postgres_connection *c) {
    c->steps[c->step_count++] = STEP_SYNC;
    return PQpipelineSync(c->pg);
}

static void begin_steps(struct postgres_connection *c, enum postgres_state state) {
    c->step = c->step_count = 0;
    c->failed = c->preparing = false;
    postgres_set_state(c, state);
}

static int find_statement(const struct postgres_connection *c, struct bytes text) {
    for (uint32_t i = 0; i < c->statement_count; i++) {
        if (bytes_equal(c->statements[i], text))
            return (int)i;
    }
    return -1;
}

static bool send_prepare(struct postgres_connection *c, struct bytes text) {
    char name[NAME_SIZE];
    char *copy = strndup(text.at, text.len);
    if (!copy)
        return false;
    snprintf(name, sizeof name, "s%u", c->statement_count);
    c->statements[c->statement_count++] = (struct bytes){copy, text.len};
    c->worn_out = c->statement_count == POSTGRES_STATEMENTS_MAX;
    c->steps[c->step_count++] = STEP_PREPARE;
    c->preparing = true;
    return PQsendPrepare(c->pg, name, copy, 0, NULL);
}

static bool send_execute(struct postgres_connection *c, const struct sql_request *r, int number) {
    const char *values[SQL_PARAMETERS_MAX];
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "s%d", number);
    for (uint32_t i = 0; i < r->count; i++)
        values[i] = r->values[i].kind == SQL_NULL ? NULL : r->values[i].text.at;
    c->steps[c->step_count++] = STEP_EXECUTE;
    return PQsendQueryPrepared(c->pg, name, (int)r->count, values, NULL, NULL, 0);
}

/* A number of ours: nothing that could be bound. */
static bool send_timeout(struct postgres_connection *c, uint64_t deadline_ns) {
    char text[64];
    uint64_t now_ns = io_now(c->pool->io);
    uint64_t ms = deadline_ns > now_ns ? (deadline_ns - now_ns) / ms_ns : 0;
    if (deadline_ns == UINT64_MAX)
        return true;
    ms = ms < 1 ? 1 : ms > INT32_MAX ? INT32_MAX : ms;
    snprintf(text, sizeof text, "SET LOCAL statement_timeout = %u", (unsigned)ms);
    return send_command(c, text);
}

static bool send_query(struct postgres_connection *c, const struct sql_request *r) {
    bool writable = c->pool->db.options.writable;
    bool sent = send_command(c, writable ? "BEGIN READ WRITE" : "BEGIN READ ONLY") &&
                send_timeout(c, r->deadline_ns);
    int number = find_statement(c, r->text);
    if (sent && number < 0) {
        sent = send_prepare(c, r->text);
        number = (int)c->statement_count - 1;
    }
    return sent && send_execute(c, r, number) && send_command(c, "COMMIT") && send_sync(c);
}

/* Text goes as a C string, which ends at a NUL. */
static bool has_nul(const struct sql_request *r) {
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->values[i].text.len && memchr(r->values[i].text.at, '\0', r->values[i].text.len))
            return true;
    }
    return false;
}

void postgres_connection_run(struct postgres_connection *c, struct sql_query *q) {
    if (has_nul(&q->request)) {
        sql__why(q, "a value has a NUL byte");
        postgres_answer(q, SQL_REFUSED);
        return;
    }
    uint64_t deadline_ns = q->request.deadline_ns;
    c->query = q;
    c->result = SQL_OK;
    q->connection = c;
    sql_json_begin(&c->json, q);
    begin_steps(c, POSTGRES_RUNNING);
    if (!send_query(c, &q->request)) {
        lose_now(c);
        return;
    }
    if (deadline_ns < UINT64_MAX - grace_ns)
        io_timer_set(c->pool->io, &c->timer, deadline_ns + grace_ns);
    flush(c);
}

void postgres_connection_ping(struct postgres_connection *c) {
    uint64_t limit_ns = 1000 * ms_ns;
    if (limit_ns > c->pool->db.options.connect_ns)
        limit_ns = c->pool->db.options.connect_ns;
    begin_steps(c, POSTGRES_PINGING);
    io_timer_set(c->pool->io, &c->timer, io_now(c->pool->io) + limit_ns);
    if (send_sync(c))
        flush(c);
    else
        lose_now(c);
}

static void clean(struct postgres_connection *c) {
    begin_steps(c, POSTGRES_CLEANING);
    io_timer_set(c->pool->io, &c->timer, io_now(c->pool->io) + 1000 * ms_ns);
    if (send_command(c, "ROLLBACK") && send_sync(c))
        flush(c);
    else
        lose_now(c);
}

/* ---- results ------------------------------------------------------------------------------ */

/* The answer is complete; the connection still has to hear the end of it. */
static void answer(struct postgres_connection *c) {
    struct sql_query *q = c->query;
    enum sql_result result = c->result;
    c->query = NULL;
    if (!q)
        return;
    if (!c->failed)
        result = sql_json_end(&c->json);
    postgres_answer(q, result);
}

static void cancel_at_server(struct postgres_connection *c);

/* False: the connection is gone. */
static bool on_result(struct postgres_connection *c, const PGresult *r) {
    switch (PQresultStatus(r)) {
    case PGRES_SINGLE_TUPLE:
        if (c->query && !c->failed)
            postgres_write_row(&c->json, r);
        if (!c->query || !sql_json_failed(&c->json))
            return true;
        answer(c); /* too large: no need to hear the rest */
        cancel_at_server(c);
        postgres_gone(c, "an answer was too large");
        return false;
    case PGRES_FATAL_ERROR:
    case PGRES_BAD_RESPONSE:
        postgres_note_error(c, r);
        return true;
    default:
        return true;
    }
}

static void on_sync(struct postgres_connection *c) {
    struct postgres *p = c->pool;
    answer(c);
    if (c->failed && c->preparing) /* else it got as far as to be executed */
        free((char *)(uintptr_t)c->statements[--c->statement_count].at);
    io_timer_clear(p->io, &c->timer);
    if (PQtransactionStatus(c->pg) != PQTRANS_IDLE && c->state != POSTGRES_CLEANING) {
        clean(c);
        return;
    }
    c->worn_out |= PQtransactionStatus(c->pg) != PQTRANS_IDLE;
    c->idle_ns = io_now(p->io);
    postgres_set_state(c, POSTGRES_IDLE);
    postgres_ready(c);
}

/* The results of one step have all come. */
static void next_step(struct postgres_connection *c) {
    if (c->steps[c->step] == STEP_PREPARE && !c->failed)
        c->preparing = false;
    if (c->steps[c->step] != STEP_SYNC)
        c->step++;
    if (c->steps[c->step] == STEP_EXECUTE)
        PQsetSingleRowMode(c->pg);
}

static void read_results(struct postgres_connection *c) {
    while (c->state > POSTGRES_IDLE && !PQisBusy(c->pg)) {
        PGresult *r = PQgetResult(c->pg);
        if (!r) {
            if (PQstatus(c->pg) == CONNECTION_BAD)
                break;
            next_step(c);
            continue;
        }
        bool synced = PQresultStatus(r) == PGRES_PIPELINE_SYNC;
        bool alive = synced || on_result(c, r);
        PQclear(r);
        if (!alive)
            return;
        if (synced) {
            on_sync(c);
            return;
        }
    }
    if (PQstatus(c->pg) == CONNECTION_BAD)
        lose_now(c);
}

/* ---- cancelling ------------------------------------------------------------------------------ */

/* Any thread adds, a cancelling thread subtracts when it is done; relaxed: only a
 * bound. */
static atomic_uint cancels;

static void *cancel_main(void *arg) {
    char error[256];
    pthread_setname_np(pthread_self(), "sql-cancel");
    PQcancel(arg, error, sizeof error);
    PQfreeCancel(arg);
    atomic_fetch_sub_explicit(&cancels, 1, memory_order_relaxed);
    return NULL;
}

void sql_settle(void) {
    for (int i = 0; i < 500 && atomic_load_explicit(&cancels, memory_order_relaxed); i++)
        usleep(1000);
}

static void cancel_at_server(struct postgres_connection *c) {
    pthread_attr_t detached;
    pthread_t thread;
    PGcancel *request = NULL;
    if (atomic_fetch_add_explicit(&cancels, 1, memory_order_relaxed) < CANCELS_MAX)
        request = PQgetCancel(c->pg);
    bool started = false;
    if (request && !pthread_attr_init(&detached)) {
        pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
        started = !pthread_create(&thread, &detached, cancel_main, request);
        pthread_attr_destroy(&detached);
    }
    if (started)
        return;
    PQfreeCancel(request);
    atomic_fetch_sub_explicit(&cancels, 1, memory_order_relaxed);
}

void postgres_connection_leave(struct postgres_connection *c) {
    uint64_t now_ns = io_now(c->pool->io);
    bool soon = c->query->request.deadline_ns <= now_ns + 20 * ms_ns;
    c->query = NULL;
    if (soon) { /* the server ends it by itself; the timer runs on */
        postgres_set_state(c, POSTGRES_LEFT);
        return;
    }
    cancel_at_server(c);
    postgres_gone(c, "cancelled");
}
