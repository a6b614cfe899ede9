/* registry_threads_test.c - one registry and many threads, with fewer places than
 * names: whatever the order, each result is in the totals exactly once, no
 * breaker is anybody else's while it is held, and the bound holds. To be run
 * under ThreadSanitizer too. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <switchgear/snapshot.h>

#include "base/random.h"
#include "engine/registry_priv.h"

enum { THREADS = 8, CALLS = 20000, NAMES = 900, PLACES = 600 };

static const uint64_t key[2] = {3, 4};

struct crowd {
    struct swg_registry *r;
    atomic_ullong time_ns; /* moved on by everybody */
    atomic_bool over;
};

struct member {
    struct crowd *crowd;
    pthread_t id;
    uint64_t random, calls, wrong_names;
};

static void one_call(struct member *m) {
    char name[40];
    struct swg_breaker *b;
    struct swg_permit p;
    size_t length;
    uint64_t dice = random_next(&m->random);
    int n = snprintf(name, sizeof(name), "%s%u", dice & 1 ? "" : "a name of more than few bytes ",
                     (unsigned)((dice >> 8) % NAMES));
    uint64_t now_ns = atomic_fetch_add(&m->crowd->time_ns, SWG_MS(1)) + 1;
    if (swg_registry_hold(m->crowd->r, name, (size_t)n, now_ns, &b) != SWG_OK)
        return;
    enum swg_outcome_kind kind = (dice >> 32) % 50 ? SWG_SUCCESS : SWG_FAILURE;
    if (swg_breaker_admit(b, &p, dice, now_ns) == SWG_ADMITTED) {
        swg_breaker_record(b, &p, kind, 0, now_ns);
        m->calls++;
    }
    const char *kept = swg_registry_name(b, &length);
    if (kept && (length != (size_t)n || memcmp(kept, name, length) != 0))
        m->wrong_names++;
    swg_registry_release(b);
}

static void *call_often(void *arg) {
    struct member *m = arg;
    for (int i = 0; i < CALLS; i++)
        one_call(m);
    return NULL;
}

/* Somebody who looks after it all the time. */
static void *keep_house(void *arg) {
    struct crowd *crowd = arg;
    for (uint32_t turn = 0; !atomic_load(&crowd->over); turn++) {
        struct swg_registry_stats stats;
        uint64_t now_ns = atomic_load(&crowd->time_ns);
        const struct swg_breaker_options o = {.consecutive = 2 + turn % 3, .probes = 1 + turn % 4};
        swg_registry_tick(crowd->r, now_ns);
        swg_registry_trim(crowd->r, SWG_SECONDS(2), turn % 2, now_ns, NULL);
        if (swg_registry_configure(crowd->r, &o, now_ns) != SWG_OK)
            break;
        struct swg_snapshot_buffer measured = {NULL, 0, 0};
        if (swg_registry_snapshot(crowd->r, swg_snapshot_to_buffer, &measured, now_ns, 0) != SWG_OK)
            break;
        swg_registry_read(crowd->r, &stats, now_ns);
        if (stats.entries > PLACES)
            break;
    }
    return NULL;
}

static void test_crowd(void **state) {
    struct crowd crowd = {0};
    struct member members[THREADS];
    struct swg_registry_stats stats;
    const struct swg_registry_options o = {.max = PLACES,
                                           .idle_ns = SWG_MS(100),
                                           .breaker = {.consecutive = 2, .open_ns = SWG_MS(50)}};
    pthread_t keeper;
    uint64_t calls = 0;
    (void)state;
    atomic_store(&crowd.time_ns, SWG_SECONDS(1));
    assert_int_equal(swg_registry_create(&crowd.r, &o, key, SWG_SECONDS(1)), SWG_OK);
    assert_int_equal(pthread_create(&keeper, NULL, keep_house, &crowd), 0);
    for (uint64_t i = 0; i < THREADS; i++) {
        members[i] = (struct member){.crowd = &crowd, .random = random_mix(i + 1)};
        assert_int_equal(pthread_create(&members[i].id, NULL, call_often, &members[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(members[i].id, NULL);
        calls += members[i].calls;
        assert_int_equal(members[i].wrong_names, 0);
    }
    atomic_store(&crowd.over, true);
    pthread_join(keeper, NULL);
    swg_registry_check(crowd.r);
    swg_registry_read(crowd.r, &stats, atomic_load(&crowd.time_ns));
    assert_int_equal(stats.total.calls, calls);
    assert_true(stats.evicted > 100);
    assert_in_range(stats.entries, 1, PLACES);
    assert_int_equal(stats.created - stats.evicted, stats.entries);
    swg_registry_destroy(crowd.r);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_crowd)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
