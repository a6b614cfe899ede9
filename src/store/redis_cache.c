/* redis_cache.c - see redis_cache.h. */
#include "store/redis_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/redis_priv.h"

enum { NAME_MAX_BYTES = REDIS_CACHE_PREFIX_MAX + 3 + 2 * CACHE_RECORD_KEY + 1 };

/* One that was sent, until its answer. */
struct command {
    struct redis_cache *cache;
    struct cache_question *question; /* of a GET; NULL otherwise */
    size_t bytes;                    /* of a SET; 0 otherwise */
    uint8_t key[CACHE_RECORD_KEY];
};

struct redis_cache {
    struct cache_store store;
    struct redis_cache_options options;
    struct redis_link link;
    uint32_t commands; /* without an answer */
    size_t unsent;
    bool ending;
    uint8_t (*owed)[CACHE_RECORD_KEY]; /* removals that nobody has confirmed */
    uint32_t owed_count;
    int64_t believed_ms; /* what came before, or then, is void: too much was owed */
    /* the loop's thread writes, anyone reads; relaxed: they are counts */
    atomic_bool is_ready;
    _Atomic uint64_t damaged, unsaved;
};

static struct redis_cache *redis_of(struct cache_store *s) {
    return container_of(s, struct redis_cache, store);
}

static int64_t wall_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void add(_Atomic uint64_t *counter) {
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static size_t name_of(char out[NAME_MAX_BYTES], const struct redis_cache *rc,
                      const uint8_t key[CACHE_RECORD_KEY]) {
    static const char digits[] = "0123456789abcdef";
    size_t n = strlen(rc->options.prefix);
    memcpy(out, rc->options.prefix, n);
    out[n++] = ':';
    out[n++] = '1'; /* version of the record, so that an upgrade finds nothing */
    out[n++] = ':';
    for (int i = 0; i < CACHE_RECORD_KEY; i++) {
        out[n++] = digits[key[i] >> 4];
        out[n++] = digits[key[i] & 15];
    }
    out[n] = '\0';
    return n;
}

/* ---- sending ------------------------------------------------------------------------ */

static struct command *command_create(struct redis_cache *rc, const uint8_t *key) {
    struct command *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->cache = rc;
    memcpy(c->key, key, sizeof(c->key));
    return c;
}

/* Takes the command over in any case. 0 or -EAGAIN: it will not be answered. */
static int send_command(struct command *c, redisCallbackFn *fn, int argc, const char **argv,
                        const size_t *len) {
    struct redis_cache *rc = c->cache;
    if (rc->commands == 0)
        rc->link.heard_ns = io_now(rc->link.io);
    if (redisAsyncCommandArgv(rc->link.context, fn, c, argc, argv, len) != REDIS_OK) {
        free(c);
        return -EAGAIN;
    }
    rc->commands++;
    rc->unsent += c->bytes;
    redis_link_watch(&rc->link);
    return 0;
}

/* Answered, or never; the command is the caller's to free. */
static void came_back(struct command *c) {
    struct redis_cache *rc = c->cache;
    rc->commands--;
    rc->unsent -= c->bytes;
    redis_link_watch(&rc->link);
}

/* ---- asking --------------------------------------------------------------------------- */

static enum cache_store_result take_record(struct redis_cache *rc, struct cache_question *q,
                                           const redisReply *r) {
    char *copy = r->len <= REDIS_CACHE_RECORD_MAX ? malloc(r->len + 1) : NULL;
    if (!copy)
        return CACHE_STORE_ERROR;
    memcpy(copy, r->str, r->len);
    bool good = cache_record_read((struct bytes){copy, r->len}, &q->record) == 0 &&
                q->record.kind == CACHE_RECORD_ANSWER &&
                memcmp(q->record.key, q->key, sizeof(q->key)) == 0;
    if (good && q->record.came_ms > rc->believed_ms) {
        q->data = copy;
        return CACHE_STORE_HIT;
    }
    free(copy);
    return good ? CACHE_STORE_MISS : CACHE_STORE_DAMAGED;
}

static enum cache_store_result result_of(struct redis_cache *rc, struct cache_question *q,
                                         const redisReply *r) {
    if (!r)
        return rc->ending ? CACHE_STORE_SKIPPED : CACHE_STORE_ERROR;
    if (r->type == REDIS_REPLY_NIL)
        return CACHE_STORE_MISS;
    if (r->type != REDIS_REPLY_STRING)
        return CACHE_STORE_ERROR;
    if (atomic_load_explicit(&q->dropped, memory_order_relaxed))
        return CACHE_STORE_SKIPPED; /* too late: nobody looks at it */
    return take_record(rc, q, r);
}

static void redis_remove(struct cache_store *, const uint8_t key[CACHE_RECORD_KEY]);

static void on_got(redisAsyncContext *context, void *reply, void *arg) {
    struct command *c = arg;
    struct redis_cache *rc = c->cache;
    struct cache_question *q = c->question;
    (void)context;
    came_back(c);
    q->data = NULL;
    q->result = result_of(rc, q, reply);
    if (q->result == CACHE_STORE_DAMAGED) {
        add(&rc->damaged);
        redis_remove(&rc->store, c->key);
    }
    free(c);
    q->on_answer(q);
}

static int redis_ask(struct cache_store *store, struct cache_question *q) {
    struct redis_cache *rc = redis_of(store);
    char name[NAME_MAX_BYTES];
    if (!rc->link.ready || rc->commands >= REDIS_CACHE_COMMANDS_MAX)
        return -EAGAIN;
    struct command *c = command_create(rc, q->key);
    if (!c)
        return -EAGAIN;
    c->question = q;
    const size_t len[] = {3, name_of(name, rc, q->key)};
    return send_command(c, on_got, 2, (const char *[]){"GET", name}, len);
}

/* ---- removing --------------------------------------------------------------------------- */

static void owe(struct redis_cache *rc, const uint8_t key[CACHE_RECORD_KEY]) {
    if (rc->owed_count < REDIS_CACHE_OWED_MAX)
        memcpy(rc->owed[rc->owed_count++], key, CACHE_RECORD_KEY);
    else
        rc->believed_ms = wall_ms();
}

static void on_removed(redisAsyncContext *context, void *reply, void *arg) {
    struct command *c = arg;
    const redisReply *r = reply;
    (void)context;
    came_back(c);
    if ((!r || r->type == REDIS_REPLY_ERROR) && !c->cache->ending)
        owe(c->cache, c->key);
    free(c);
}

static void redis_remove(struct cache_store *store, const uint8_t key[CACHE_RECORD_KEY]) {
    struct redis_cache *rc = redis_of(store);
    char name[NAME_MAX_BYTES];
    struct command *c = rc->link.ready ? command_create(rc, key) : NULL;
    if (c) {
        const size_t len[] = {3, name_of(name, rc, key)};
        if (send_command(c, on_removed, 2, (const char *[]){"DEL", name}, len) == 0)
            return;
    }
    owe(rc, key);
}

/* Nothing is asked on a connection before this. */
static void pay(struct redis_link *l) {
    struct redis_cache *rc = container_of(l, struct redis_cache, link);
    uint32_t count = rc->owed_count;
    rc->owed_count = 0;
    atomic_store_explicit(&rc->is_ready, true, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t key[CACHE_RECORD_KEY];
        memcpy(key, rc->owed[i], sizeof(key)); /* what fails is owed again, further down */
        redis_remove(&rc->store, key);
    }
}

/* ---- storing ------------------------------------------------------------------------------ */

static void on_stored(redisAsyncContext *context, void *reply, void *arg) {
    struct command *c = arg;
    const redisReply *r = reply;
    (void)context;
    came_back(c);
    if (!r || r->type == REDIS_REPLY_ERROR)
        add(&c->cache->unsaved);
    free(c);
}

/* The record in one piece, to be freed; NULL: no memory. */
static char *gather(const struct cache_record *r, size_t size) {
    const struct bytes parts[] = {r->varied, r->etag, r->lines, r->body};
    char *all = malloc(size), *at = all + CACHE_RECORD_HEADER;
    if (!all ||
        cache_record_write(r, (uint8_t *)all, (uint8_t *)all + size - CACHE_RECORD_DIGEST) < 0) {
        free(all);
        return NULL;
    }
    for (int i = 0; i < 4; i++) {
        if (parts[i].len)
            memcpy(at, parts[i].at, parts[i].len);
        at += parts[i].len;
    }
    return all;
}

static bool set(struct redis_cache *rc, const struct cache_record *r, size_t size) {
    char name[NAME_MAX_BYTES], life[24];
    int64_t life_ms = cache_record_over_ms(r) - wall_ms();
    struct command *c = life_ms > 0 ? command_create(rc, r->key) : NULL;
    char *value = c ? gather(r, size) : NULL;
    if (!value) {
        free(c);
        return false;
    }
    c->bytes = size;
    int n = snprintf(life, sizeof(life), "%lld", (long long)life_ms);
    const size_t len[] = {3, name_of(name, rc, r->key), size, 2, (size_t)n};
    int failed =
        send_command(c, on_stored, 5, (const char *[]){"SET", name, value, "PX", life}, len);
    free(value); /* hiredis has its own copy */
    return !failed;
}

static void redis_put(struct cache_store *store, const struct cache_record *r, void *owner,
                      void (*release)(void *owner)) {
    struct redis_cache *rc = redis_of(store);
    uint64_t size = cache_record_size(r);
    bool can = rc->link.ready && rc->commands < REDIS_CACHE_COMMANDS_MAX &&
               rc->unsent < REDIS_CACHE_UNSENT_MAX;
    if (size > REDIS_CACHE_RECORD_MAX)
        redis_remove(store, r->key); /* what it would have replaced */
    if (size > REDIS_CACHE_RECORD_MAX || !can || !set(rc, r, (size_t)size))
        add(&rc->unsaved);
    release(owner);
}

/* ---- life ----------------------------------------------------------------------------------- */

static void redis_read(struct cache_store *store, struct cache_store_stats *out) {
    struct redis_cache *rc = redis_of(store);
    *out = (struct cache_store_stats){
        .ready = atomic_load_explicit(&rc->is_ready, memory_order_relaxed),
        .damaged = atomic_load_explicit(&rc->damaged, memory_order_relaxed),
        .unsaved = atomic_load_explicit(&rc->unsaved, memory_order_relaxed)};
}

static const struct cache_store_ops ops = {
    .ask = redis_ask, .put = redis_put, .remove = redis_remove, .read = redis_read};

static char *copy_of(const char *text, bool *ok) {
    char *copy = text ? strdup(text) : NULL;
    *ok = *ok && (!text || copy);
    return copy;
}

static void wipe(const char *text) {
    if (text)
        explicit_bzero((char *)(uintptr_t)text, strlen(text));
    free((char *)(uintptr_t)text);
}

static void free_all(struct redis_cache *rc) {
    free((char *)(uintptr_t)rc->options.user);
    wipe(rc->options.password);
    free((char *)(uintptr_t)rc->options.prefix);
    free(rc->owed);
    free(rc);
}

int redis_cache_create(struct cache_store **out, const struct redis_cache_options *o) {
    struct redis_cache *rc = calloc(1, sizeof(*rc));
    bool ok = true;
    *out = NULL;
    if (!rc)
        return -ENOMEM;
    rc->store.ops = &ops;
    rc->options = *o;
    rc->options.user = copy_of(o->user, &ok);
    rc->options.password = copy_of(o->password, &ok);
    rc->options.prefix = copy_of(o->prefix, &ok);
    rc->owed = calloc(REDIS_CACHE_OWED_MAX, sizeof(*rc->owed));
    if (!ok || !rc->owed || strlen(o->prefix) > REDIS_CACHE_PREFIX_MAX) {
        free_all(rc);
        return -ENOMEM;
    }
    rc->link = (struct redis_link){.io = o->io,
                                   .random = o->seed,
                                   .options = &rc->options,
                                   .on_ready = pay,
                                   .waiting = &rc->commands};
    redis_link_init(&rc->link);
    redis_link_begin(&rc->link);
    *out = &rc->store;
    return 0;
}

void redis_cache_destroy(struct cache_store *store) {
    if (!store)
        return;
    struct redis_cache *rc = redis_of(store);
    rc->ending = true;
    redis_link_end(&rc->link);
    free_all(rc);
}
