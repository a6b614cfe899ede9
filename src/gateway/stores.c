/* stores.c - see stores.h.
 *
 *     ask ──▶ question ──▶ store ──▶ on_answer: told, freed
 *               │  └─ timer: told that nothing is there; the answer, when it
 *               │     comes, frees the question
 *               └─ cancel: nobody is told; the same
 *
 * What was removed lately is remembered, because an answer may be on its way
 * from or to a store while the removal overtakes it. */
#include "gateway/stores.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/exchange.h"
#include "gateway/gateway.h"
#include "gateway/stored.h"
#include "observe/log.h"
#include "store/disk_cache.h"
#include "store/redis_cache.h"

enum { REMOVED_SLOTS = 4096 };

struct removed {
    struct cache_key key;
    int64_t at_ms;
};

/* One kind. Counters: any worker adds, the scrape reads; relaxed. */
struct level {
    bool configured;
    uint64_t timeout_ns;
    struct swg_breaker *breaker;
    struct cache_store *shared; /* NULL: each worker has its own */
    _Atomic uint64_t results[CACHE_STORE_SKIPPED + 1];
};

struct stores {
    struct gateway *gateway;
    struct gateway_options *options; /* as at start */
    struct target *redis;            /* where it is; NULL: none */
    _Atomic int redis_state;         /* told last: 0 nothing, 1 good, 2 bad; any worker; relaxed */
    struct level level[CACHE_STORE_KINDS];
    char *disk_path;      /* for messages */
    pthread_mutex_t lock; /* guards `removed` */
    struct removed *removed;
};

struct question {
    struct cache_question asked;
    struct tier_work work;
    struct io_timer limit;
    struct stores *stores;
    struct level *level;
    struct swg_permit permit;
    struct leg *leg; /* NULL: nobody waits any more */
    stores_told *told;
};

const char *cache_store_name(enum cache_store_kind kind) {
    static const char *const names[] = {"memory", "disk", "redis"};
    return names[kind];
}

static int64_t wall_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- life --------------------------------------------------------------------- */

static void on_disk_state(void *arg, int error, const struct cache_store_stats *stats) {
    struct log_line line;
    if (!log_begin(&line, error ? LOG_WARN : LOG_INFO,
                   error ? "the cache goes on without its disk" : "the cache uses its disk"))
        return;
    log_str(&line, "path", arg);
    if (error == -EWOULDBLOCK)
        log_str(&line, "cause", "another process uses the directory");
    else if (error)
        log_str(&line, "cause", strerror(-error));
    log_uint(&line, "entries", stats->entries);
    log_uint(&line, "bytes", stats->bytes);
    log_end(&line);
    (void)log_flush(); /* this thread has no loop that would */
}

/* Each worker has a connection; what one says of the server goes for all. */
static void on_redis_state(void *arg, const char *cause) {
    struct stores *s = arg;
    struct log_line line;
    int state = cause ? 2 : 1;
    if (atomic_exchange_explicit(&s->redis_state, state, memory_order_relaxed) == state ||
        !log_begin(&line, cause ? LOG_WARN : LOG_INFO,
                   cause ? "the cache goes on without its Redis" : "the cache uses its Redis"))
        return;
    log_str(&line, "address", s->redis->name);
    if (cause)
        log_str(&line, "cause", cause);
    log_end(&line);
}

static void on_breaker(void *arg, const struct swg_breaker_event *e) {
    struct log_line line;
    if (e->from == e->to || e->to == SWG_HALF_OPEN ||
        (e->from == SWG_HALF_OPEN && e->to == SWG_OPEN))
        return;
    if (!log_begin(&line, e->to == SWG_OPEN ? LOG_WARN : LOG_INFO,
                   e->to == SWG_OPEN ? "a store of the cache does not answer"
                                     : "a store of the cache answers again"))
        return;
    log_str(&line, "store", arg);
    log_end(&line);
}

static int create_level(struct stores *s, enum cache_store_kind kind, uint64_t timeout_ns) {
    static const struct swg_breaker_options options = {.consecutive = 5,
                                                       .open_ns = SWG_SECONDS(1),
                                                       .open_max_ns = SWG_SECONDS(30),
                                                       .probes = 1,
                                                       .close_after = 2,
                                                       .probe_lease_ns = SWG_SECONDS(10)};
    struct level *l = &s->level[kind];
    enum swg_error error =
        swg_breaker_create(&l->breaker, &options, s->gateway->seed + kind, gateway_now(s->gateway));
    if (error != SWG_OK)
        return -ENOMEM;
    swg_breaker_listen(l->breaker, on_breaker, (void *)(uintptr_t)cache_store_name(kind));
    l->configured = true;
    l->timeout_ns = timeout_ns;
    return 0;
}

static int create_disk(struct stores *s, const struct cache_disk_options *o) {
    struct disk_cache_options options = {
        .log = {.path = o->path, .bytes_max = o->bytes, .entries_max = o->entries},
        .on_state = on_disk_state,
        .arg = s->disk_path = strdup(o->path)};
    int error = s->disk_path ? create_level(s, CACHE_STORE_DISK, o->timeout_ns) : -ENOMEM;
    return error ? error : disk_cache_create(&s->level[CACHE_STORE_DISK].shared, &options);
}

static int create_redis(struct stores *s, const struct cache_redis_options *o) {
    char name[300];
    struct endpoint_options where = {.name = name,
                                     .scheme = o->unix_path ? SCHEME_UNIX : SCHEME_HTTP,
                                     .host = o->host,
                                     .port = o->port,
                                     .unix_path = o->unix_path};
    if (o->unix_path)
        snprintf(name, sizeof name, "unix:%s", o->unix_path);
    else
        snprintf(name, sizeof name, "redis://%s:%u", o->host, o->port);
    s->redis = target_create(&where, 0);
    return s->redis ? create_level(s, CACHE_STORE_REDIS, o->timeout_ns) : -ENOMEM;
}

int stores_create(struct stores **out, struct gateway *g, struct gateway_options *o) {
    struct stores *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return -ENOMEM;
    s->gateway = g;
    s->options = gateway_options_hold(o);
    pthread_mutex_init(&s->lock, NULL);
    s->removed = calloc(REMOVED_SLOTS, sizeof *s->removed);
    int error = s->removed ? 0 : -ENOMEM;
    if (!error && o->cache_disk.path)
        error = create_disk(s, &o->cache_disk);
    if (!error && o->cache_redis.configured)
        error = create_redis(s, &o->cache_redis);
    if (error) {
        stores_destroy(s);
        return error;
    }
    *out = s;
    return 0;
}

void stores_stop(struct stores *s) {
    if (s->level[CACHE_STORE_DISK].shared)
        disk_cache_stop(s->level[CACHE_STORE_DISK].shared);
}

void stores_destroy(struct stores *s) {
    if (!s)
        return;
    stores_stop(s); /* where nobody has */
    disk_cache_destroy(s->level[CACHE_STORE_DISK].shared);
    for (int i = 0; i < CACHE_STORE_KINDS; i++)
        swg_breaker_destroy(s->level[i].breaker);
    pthread_mutex_destroy(&s->lock);
    if (s->redis)
        target_release(s->redis);
    gateway_options_release(s->options);
    free(s->removed);
    free(s->disk_path);
    free(s);
}

struct target *stores_target(struct stores *s) {
    return s->redis;
}

static bool redis_address(void *arg, struct sockaddr_storage *address, socklen_t *len) {
    return target_pick_address(((struct stores *)arg)->redis, address, len);
}

int stores_attach(struct worker *w) {
    struct stores *s = w->gateway->stores;
    const struct cache_redis_options *o = &s->options->cache_redis;
    w->stores[CACHE_STORE_DISK] = s->level[CACHE_STORE_DISK].shared;
    if (!s->redis)
        return 0;
    struct redis_cache_options options = {.io = w->io,
                                          .address = redis_address,
                                          .user = o->user,
                                          .password = o->password,
                                          .database = o->database,
                                          .prefix = o->prefix,
                                          .on_state = on_redis_state,
                                          .arg = s,
                                          .seed = worker_random(w)};
    return redis_cache_create(&w->stores[CACHE_STORE_REDIS], &options);
}

void stores_detach(struct worker *w) {
    redis_cache_destroy(w->stores[CACHE_STORE_REDIS]);
    w->stores[CACHE_STORE_REDIS] = w->stores[CACHE_STORE_DISK] = NULL;
}

/* ---- what was removed lately ----------------------------------------------------- */

/* Keys are SHA-256, and any of its bits are as good as others. */
static struct removed *slot_of(const struct stores *s, const struct cache_key *key) {
    uint32_t hash;
    memcpy(&hash, key->bytes + 16, sizeof hash);
    return &s->removed[hash % REMOVED_SLOTS];
}

static void note_removed(struct stores *s, const struct cache_key *key) {
    pthread_mutex_lock(&s->lock);
    *slot_of(s, key) = (struct removed){*key, wall_ms()};
    pthread_mutex_unlock(&s->lock);
}

/* Whether what came then is void. */
static bool is_removed(struct stores *s, const struct cache_key *key, int64_t came_ms) {
    pthread_mutex_lock(&s->lock);
    const struct removed *r = slot_of(s, key);
    bool removed = cache_key_equal(&r->key, key) && came_ms <= r->at_ms;
    pthread_mutex_unlock(&s->lock);
    return removed;
}

/* ---- asking ------------------------------------------------------------------------- */

static void count(struct level *l, enum cache_store_result r) {
    atomic_fetch_add_explicit(&l->results[r], 1, memory_order_relaxed);
}

static struct question *question_of(struct cache_question *q) {
    return container_of(q, struct question, asked);
}

/* Answers the permit, where that was not done before. */
static void judge(struct question *q, enum swg_outcome_kind outcome) {
    if (q->permit.state == 1)
        swg_breaker_record(q->level->breaker, &q->permit, outcome, 0, io_now(q->asked.io));
}

static enum swg_outcome_kind outcome_of(enum cache_store_result r) {
    switch (r) {
    case CACHE_STORE_HIT:
    case CACHE_STORE_MISS:
    case CACHE_STORE_DAMAGED:
        return SWG_SUCCESS;
    case CACHE_STORE_ERROR:
    case CACHE_STORE_TIMEOUT:
        return SWG_FAILURE;
    case CACHE_STORE_SKIPPED:
        break;
    }
    return SWG_IGNORED;
}

static void leave(struct question *q) {
    io_timer_clear(q->asked.io, &q->limit);
    atomic_store_explicit(&q->asked.dropped, true, memory_order_relaxed);
    q->leg = NULL;
}

/* The last thing its caller does. */
static void tell(struct question *q, const struct cache_stored *stored) {
    struct leg *leg = q->leg;
    leave(q);
    leg->work = NULL;
    q->told(leg, stored);
}

static void on_limit(struct io_timer *t) {
    struct question *q = container_of(t, struct question, limit);
    count(q->level, CACHE_STORE_TIMEOUT);
    judge(q, SWG_FAILURE);
    tell(q, NULL);
}

static void cancel(struct tier_work *work) {
    leave(container_of(work, struct question, work));
}

static void free_question(struct question *q) {
    free(q->asked.data);
    free(q);
}

/* Of this request, in this gateway's time; false: of no use. */
static bool take(struct question *q, struct cache_stored *out) {
    struct exchange *x = q->leg->x;
    const struct cache_record *r = &q->asked.record;
    return !is_removed(q->stores, &x->cache_key, r->came_ms) &&
           stored_from_record(out, r, wall_ms(), exchange_now(x), &x->arena, x->worker);
}

static void on_answer(struct cache_question *asked) {
    struct question *q = question_of(asked);
    struct cache_stored stored;
    enum cache_store_result r = asked->result;
    if (q->permit.state == 1)
        count(q->level, r);
    judge(q, outcome_of(r));
    if (q->leg)
        tell(q, r == CACHE_STORE_HIT && take(q, &stored) ? &stored : NULL);
    free_question(q);
}

static bool begin(struct question *q, struct cache_store *store) {
    uint64_t now_ns = io_now(q->asked.io);
    if (swg_breaker_admit(q->level->breaker, &q->permit, 0, now_ns) != SWG_ADMITTED)
        return false;
    if (store->ops->ask(store, &q->asked) == 0)
        return true;
    judge(q, SWG_IGNORED);
    return false;
}

bool stores_ask(struct leg *leg, stores_told *told) {
    struct exchange *x = leg->x;
    enum cache_store_kind kind = x->service->options->cache.store;
    struct stores *s = x->worker->gateway->stores;
    struct cache_store *store = x->worker->stores[kind];
    struct question *q = store ? calloc(1, sizeof *q) : NULL;
    if (!q)
        return false;
    q->stores = s;
    q->level = &s->level[kind];
    q->leg = leg;
    q->told = told;
    q->work.cancel = cancel;
    q->asked.io = x->worker->io;
    q->asked.on_answer = on_answer;
    memcpy(q->asked.key, x->cache_key.bytes, sizeof q->asked.key);
    io_timer_init(&q->limit, on_limit);
    if (!begin(q, store)) {
        count(q->level, CACHE_STORE_SKIPPED);
        free(q);
        return false;
    }
    io_timer_set(q->asked.io, &q->limit, io_now(q->asked.io) + q->level->timeout_ns);
    leg->work = &q->work;
    return true;
}

/* ---- giving and taking back ------------------------------------------------------------ */

static void release(void *owner) {
    cache_entry_release(owner);
}

void stores_put(struct exchange *x, struct cache_entry *entry) {
    enum cache_store_kind kind = x->service->options->cache.store;
    struct stores *s = x->worker->gateway->stores;
    struct cache_store *store = x->worker->stores[kind];
    struct cache_record r;
    struct cache_stored stored;
    uint64_t now_ns = exchange_now(x);
    if (!store || swg_breaker_peek(s->level[kind].breaker, now_ns, NULL) != SWG_ADMITTED)
        return;
    const struct cache_key *key = cache_entry_key(entry);
    cache_entry_describe(entry, &stored);
    stored_to_record(&r, &stored, key, wall_ms(), now_ns);
    if (is_removed(s, key, r.came_ms))
        return;
    cache_entry_hold(entry);
    store->ops->put(store, &r, entry, release);
}

void stores_remove(struct exchange *x, const struct cache_key *key) {
    struct cache_store *store = x->worker->stores[x->service->options->cache.store];
    if (!store)
        return;
    note_removed(x->worker->gateway->stores, key);
    store->ops->remove(store, key->bytes);
}

/* ---- looking at it ------------------------------------------------------------------------ */

static uint64_t counted(const struct level *l, enum cache_store_result r) {
    return atomic_load_explicit(&l->results[r], memory_order_relaxed);
}

/* Each worker's own, together. */
static void read_workers(struct stores *s, enum cache_store_kind kind,
                         struct cache_store_stats *out) {
    for (uint32_t i = 0; i < s->gateway->worker_count; i++) {
        const struct worker *w = s->gateway->workers[i];
        struct cache_store *store = w ? w->stores[kind] : NULL;
        struct cache_store_stats one = {0};
        if (store)
            store->ops->read(store, &one);
        out->ready = out->ready || one.ready;
        out->damaged += one.damaged;
        out->unsaved += one.unsaved;
    }
}

bool stores_read(struct stores *s, enum cache_store_kind kind, struct stores_stats *out) {
    const struct level *l = &s->level[kind];
    *out = (struct stores_stats){0};
    if (!l->configured)
        return false;
    if (l->shared)
        l->shared->ops->read(l->shared, &out->store);
    else
        read_workers(s, kind, &out->store);
    out->hits = counted(l, CACHE_STORE_HIT);
    out->misses = counted(l, CACHE_STORE_MISS) + counted(l, CACHE_STORE_DAMAGED);
    out->errors = counted(l, CACHE_STORE_ERROR);
    out->timeouts = counted(l, CACHE_STORE_TIMEOUT);
    out->skipped = counted(l, CACHE_STORE_SKIPPED);
    return true;
}
