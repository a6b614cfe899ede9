/* cache_threads_test.c - many workers over few keys and little room. To be run
 * under the thread sanitizer too. */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "base/random.h"
#include "cache_scene.h"

enum { THREADS = 6, TURNS = 3000, KEYS = 40, PIECES = 6, PIECE = 3000, MAX = 1 << 20 };

struct crowd {
    struct cache *cache;
    struct cache_key keys[KEYS];
    atomic_int leaders[KEYS];
    atomic_uint two_leaders, torn, lost, woken, waits;
    bool with_writes; /* invalidate and resize too */
};

struct worker {
    struct crowd *crowd;
    struct cache_waiter waiter;
    sem_t ready;
    uint64_t seed;
};

static void on_ready(struct cache_waiter *w) {
    struct worker *worker = container_of(w, struct worker, waiter);
    atomic_fetch_add(&worker->crowd->woken, 1);
    sem_post(&worker->ready);
}

static uint64_t up_to(struct worker *w, uint64_t max) {
    return random_up_to(random_next(&w->seed), max);
}

/* Each body is one byte over and over, the key's. */
static void check_body(struct worker *w, struct cache_entry *e, unsigned key) {
    struct bytes body = cache_entry_body(e);
    bool good = body.len == (size_t)PIECES * PIECE;
    for (size_t i = 0; i < body.len; i += 97)
        good = good && body.at[i] == (char)('A' + key);
    if (!good)
        atomic_fetch_add(&w->crowd->torn, 1);
    cache_entry_release(e);
}

static void fetch(struct worker *w, struct cache_flight *f, unsigned key) {
    char piece[PIECE];
    bool breaks_off = up_to(w, 9) == 0;
    if (atomic_fetch_add(&w->crowd->leaders[key], 1) != 0)
        atomic_fetch_add(&w->crowd->two_leaders, 1);
    memset(piece, (int)('A' + key), sizeof(piece));
    enum swg__storable refused =
        begin(&f, "", 200, "Cache-Control: max-age=1, stale-while-revalidate=1", UINT64_MAX,
              T0 + up_to(w, 5000000));
    for (int i = 0; !refused && i < PIECES - breaks_off; i++)
        refused = cache_fill_append(&f, (struct bytes){piece, sizeof(piece)});
    atomic_fetch_sub(&w->crowd->leaders[key], 1);
    if (breaks_off)
        cache_abandon(&f, up_to(w, 1) ? SWG__FLIGHT_FAILED : SWG__FLIGHT_CANCELLED, T0);
    else
        cache_fill_commit(&f, T0);
}

/* Whether to look again. */
static bool wait_or_leave(struct worker *w) {
    bool leaves = up_to(w, 3) == 0;
    atomic_fetch_add(&w->crowd->waits, 1);
    if (leaves && cache_leave(w->crowd->cache, &w->waiter)) {
        atomic_fetch_add(&w->crowd->woken, 1);
        return false;
    }
    while (sem_wait(&w->ready))
        ;
    if (!leaves && up_to(w, 3) == 0) {
        leaves = true;
        if (cache_leave(w->crowd->cache, &w->waiter))
            atomic_fetch_add(&w->crowd->lost, 1);
    }
    return !leaves;
}

static void request(struct worker *w, unsigned key) {
    struct head h;
    struct cache_result r;
    request_of(&h, "");
    w->waiter = (struct cache_waiter){.on_ready = on_ready};
    for (;;) {
        uint64_t now_ns = T0 + up_to(w, S(3));
        switch (cache_look_up(w->crowd->cache, &w->crowd->keys[key], &h.request, &w->waiter, now_ns,
                              &r)) {
        case CACHE_WAIT:
            if (wait_or_leave(w))
                continue;
            return;
        case CACHE_FRESH:
        case CACHE_STALE:
        case CACHE_STALE_REFRESH:
            check_body(w, r.entry, key);
            break;
        default:
            cache_entry_release(r.entry);
            break;
        }
        if (r.flight)
            fetch(w, r.flight, key);
        return;
    }
}

static void *work(void *arg) {
    struct worker *w = arg;
    for (int i = 0; i < TURNS; i++) {
        unsigned key = (unsigned)(up_to(w, KEYS - 1) * up_to(w, KEYS - 1) / KEYS);
        request(w, key);
        if (w->crowd->with_writes && i % 16 == 0)
            cache_invalidate(w->crowd->cache, &w->crowd->keys[up_to(w, KEYS - 1)]);
        if (w->crowd->with_writes && i % 256 == 0)
            cache_resize(w->crowd->cache, MAX / 2 + (size_t)up_to(w, MAX / 2));
    }
    return NULL;
}

static void run(bool with_writes) {
    struct crowd c = {.with_writes = with_writes};
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    struct cache_stats s;
    char path[16];
    assert_int_equal(cache_create(&c.cache, MAX / 2, 2), 0);
    for (int i = 0; i < KEYS; i++) {
        snprintf(path, sizeof(path), "/%d", i);
        c.keys[i] = key_of(path);
    }
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.crowd = &c, .seed = (uint64_t)i};
        sem_init(&workers[i].ready, 0, 0);
        pthread_create(&threads[i], NULL, work, &workers[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++)
        sem_destroy(&workers[i].ready);

    assert_int_equal(atomic_load(&c.torn), 0);
    assert_int_equal(atomic_load(&c.lost), 0);
    assert_int_equal(atomic_load(&c.woken), atomic_load(&c.waits));
    if (!with_writes)
        assert_int_equal(atomic_load(&c.two_leaders), 0);
    cache_read(c.cache, &s);
    assert_int_equal(s.flights, 0);
    assert_true(s.hits_fresh > 0 && s.hits_stale > 0 && s.evictions > 0 && s.stored > 0);
    if (!with_writes)
        cache_check(c.cache);
    cache_destroy(c.cache);
}

static void one_leader_a_key_and_no_torn_answer(void **state) {
    run(false);
}

static void writes_and_resizes_in_between(void **state) {
    run(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_leader_a_key_and_no_torn_answer),
        cmocka_unit_test(writes_and_resizes_in_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
