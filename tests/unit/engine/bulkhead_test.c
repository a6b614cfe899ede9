/* bulkhead_test.c - the limit is never overshot, and no slot is ever lost. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <switchgear/bulkhead.h>

#include "base/list.h"
#include "base/random.h"

/* One who waits, and how often it was granted. */
struct guest {
    struct swg_waiter waiter;
    atomic_uint grants;
};

static void on_grant(struct swg_waiter *w) {
    atomic_fetch_add(&container_of(w, struct guest, waiter)->grants, 1);
}

static struct guest guest(void) {
    return (struct guest){.waiter.on_grant = on_grant};
}

static struct swg_bulkhead *make(uint32_t concurrent, uint32_t queue, uint64_t wait_ns) {
    struct swg_bulkhead *b;
    struct swg_bulkhead_options o = {concurrent, queue, wait_ns};
    assert_int_equal(swg_bulkhead_create(&b, &o), SWG_OK);
    return b;
}

static enum swg_entry enter(struct swg_bulkhead *b, struct guest *g) {
    uint64_t wait_ns = 0;
    enum swg_entry e = swg_bulkhead_enter(b, g ? &g->waiter : NULL, &wait_ns);
    swg_bulkhead_check(b);
    return e;
}

static void leave(struct swg_bulkhead *b) {
    swg_bulkhead_leave(b);
    swg_bulkhead_check(b);
}

static struct swg_bulkhead_stats read_stats(const struct swg_bulkhead *b) {
    struct swg_bulkhead_stats s;
    swg_bulkhead_read(b, &s);
    return s;
}

static void so_many_and_not_one_more(void **state) {
    struct swg_bulkhead *b = make(2, 0, 0);
    assert_int_equal(enter(b, NULL), SWG_ENTERED);
    assert_int_equal(enter(b, NULL), SWG_ENTERED);
    assert_int_equal(enter(b, NULL), SWG_TURNED_AWAY);
    leave(b);
    assert_int_equal(enter(b, NULL), SWG_ENTERED);
    struct swg_bulkhead_stats s = read_stats(b);
    assert_int_equal(s.in_use, 2);
    assert_int_equal(s.admitted, 3);
    assert_int_equal(s.refused_full, 1);
    assert_int_equal(s.concurrent, 2);
    leave(b);
    leave(b);
    swg_bulkhead_destroy(b);
}

static void the_queue_is_first_in_first_out_and_bounded(void **state) {
    struct swg_bulkhead *b = make(1, 2, SWG_SECONDS(1));
    struct guest one = guest(), two = guest(), three = guest();
    uint64_t wait_ns = 0;
    assert_int_equal(enter(b, NULL), SWG_ENTERED);
    assert_int_equal(swg_bulkhead_enter(b, &one.waiter, &wait_ns), SWG_QUEUED);
    assert_int_equal(wait_ns, SWG_SECONDS(1));
    assert_int_equal(enter(b, &two), SWG_QUEUED);
    assert_int_equal(enter(b, &three), SWG_TURNED_AWAY);
    leave(b);
    assert_int_equal(one.grants, 1);
    assert_int_equal(two.grants, 0);
    leave(b);
    assert_int_equal(two.grants, 1);
    assert_int_equal(read_stats(b).in_use, 1);
    leave(b);
    assert_int_equal(three.grants, 0);
    swg_bulkhead_destroy(b);
}

static void nobody_overtakes_the_queue(void **state) {
    struct swg_bulkhead *b = make(1, 1, SWG_SECONDS(1));
    struct guest waiting = guest();
    assert_int_equal(enter(b, NULL), SWG_ENTERED);
    assert_int_equal(enter(b, &waiting), SWG_QUEUED);
    leave(b); /* the slot was never free in between */
    assert_int_equal(read_stats(b).in_use, 1);
    assert_int_equal(enter(b, NULL), SWG_TURNED_AWAY);
    leave(b);
    swg_bulkhead_destroy(b);
}

static void without_a_waiter_a_wait_or_a_queue_nobody_waits(void **state) {
    struct guest g = guest();
    struct swg_bulkhead *no_wait = make(1, 5, 0), *no_queue = make(1, 0, SWG_SECONDS(1));
    struct swg_bulkhead *off = make(1, 5, SWG_OFF), *both = make(1, 5, SWG_SECONDS(1));
    assert_int_equal(enter(no_wait, &g), SWG_ENTERED);
    assert_int_equal(enter(no_wait, &g), SWG_TURNED_AWAY);
    assert_int_equal(enter(off, &g), SWG_ENTERED);
    assert_int_equal(enter(off, &g), SWG_TURNED_AWAY);
    assert_int_equal(enter(no_queue, &g), SWG_ENTERED);
    assert_int_equal(enter(no_queue, &g), SWG_TURNED_AWAY);
    assert_int_equal(enter(both, NULL), SWG_ENTERED);
    assert_int_equal(enter(both, NULL), SWG_TURNED_AWAY);
    struct swg_bulkhead *all[] = {no_wait, no_queue, off, both};
    for (int i = 0; i < 4; i++) {
        leave(all[i]);
        swg_bulkhead_destroy(all[i]);
    }
}

static void who_gives_up_is_out_of_the_queue(void **state) {
    struct swg_bulkhead *b = make(1, 2, SWG_SECONDS(1));
    struct guest one = guest(), two = guest();
    assert_int_equal(enter(b, NULL), SWG_ENTERED);
    assert_int_equal(enter(b, &one), SWG_QUEUED);
    assert_int_equal(enter(b, &two), SWG_QUEUED);
    assert_true(swg_bulkhead_give_up(b, &one.waiter, true));
    assert_int_equal(read_stats(b).refused_timeout, 1);
    assert_int_equal(read_stats(b).waiting, 1);
    leave(b);
    assert_int_equal(one.grants, 0);
    assert_int_equal(two.grants, 1);
    leave(b);
    assert_int_equal(enter(b, NULL), SWG_ENTERED); /* the slot is still there */
    assert_int_equal(enter(b, &one), SWG_QUEUED);
    assert_true(swg_bulkhead_give_up(b, &one.waiter, false));
    assert_int_equal(read_stats(b).refused_timeout, 1);
    leave(b);
    assert_int_equal(read_stats(b).in_use, 0);
    swg_bulkhead_destroy(b);
}

/* The one who gives up too late owns the slot: it is neither free nor lost. */
static void who_gives_up_after_the_grant_has_the_slot(void **state) {
    struct swg_bulkhead *b = make(1, 1, SWG_SECONDS(1));
    struct guest late = guest();
    assert_int_equal(enter(b, NULL), SWG_ENTERED);
    assert_int_equal(enter(b, &late), SWG_QUEUED);
    leave(b);
    assert_false(swg_bulkhead_give_up(b, &late.waiter, true));
    assert_int_equal(read_stats(b).refused_timeout, 0);
    assert_int_equal(read_stats(b).in_use, 1);
    leave(b);
    assert_int_equal(read_stats(b).in_use, 0);
    assert_int_equal(enter(b, NULL), SWG_ENTERED);
    leave(b);
    swg_bulkhead_destroy(b);
}

static void a_larger_limit_grants_those_who_wait(void **state) {
    struct swg_bulkhead *b = make(1, 3, SWG_SECONDS(1));
    struct guest g[3] = {guest(), guest(), guest()};
    assert_int_equal(enter(b, NULL), SWG_ENTERED);
    for (int i = 0; i < 3; i++)
        assert_int_equal(enter(b, &g[i]), SWG_QUEUED);
    struct swg_bulkhead_options o = {3, 3, SWG_SECONDS(1)};
    assert_int_equal(swg_bulkhead_configure(b, &o), SWG_OK);
    swg_bulkhead_check(b);
    assert_int_equal(g[0].grants + g[1].grants, 2);
    assert_int_equal(g[2].grants, 0);
    assert_int_equal(read_stats(b).in_use, 3);
    for (int i = 0; i < 4; i++)
        leave(b);
    assert_int_equal(g[2].grants, 1);
    assert_int_equal(read_stats(b).in_use, 0);
    swg_bulkhead_destroy(b);
}

static void a_smaller_limit_lets_those_inside_finish(void **state) {
    struct swg_bulkhead *b = make(3, 2, SWG_SECONDS(1));
    struct guest g = guest();
    for (int i = 0; i < 3; i++)
        assert_int_equal(enter(b, NULL), SWG_ENTERED);
    assert_int_equal(enter(b, &g), SWG_QUEUED);
    struct swg_bulkhead_options o = {1, 2, SWG_SECONDS(1)};
    assert_int_equal(swg_bulkhead_configure(b, &o), SWG_OK);
    leave(b);
    leave(b);
    assert_int_equal(g.grants, 0);
    assert_int_equal(read_stats(b).in_use, 1);
    leave(b);
    assert_int_equal(g.grants, 1);
    assert_int_equal(read_stats(b).in_use, 1);
    leave(b);
    swg_bulkhead_destroy(b);
}

static void options_have_defaults_and_ranges(void **state) {
    struct swg_bulkhead *b;
    assert_int_equal(swg_bulkhead_create(&b, NULL), SWG_OK);
    assert_int_equal(read_stats(b).concurrent, 1024);
    struct swg_bulkhead_options o = {.concurrent = 1000001};
    assert_int_equal(swg_bulkhead_configure(b, &o), SWG_ERR_RANGE);
    assert_int_equal(read_stats(b).concurrent, 1024);
    swg_bulkhead_destroy(b);
    swg_bulkhead_destroy(NULL);
    assert_int_equal(swg_bulkhead_create(&b, &o), SWG_ERR_RANGE);
    assert_null(b);
    o = (struct swg_bulkhead_options){.queue = 1000001};
    assert_int_equal(swg_bulkhead_create(&b, &o), SWG_ERR_RANGE);
    o = (struct swg_bulkhead_options){.concurrent = 1000000, .queue = 1000000};
    assert_int_equal(swg_bulkhead_create(&b, &o), SWG_OK);
    swg_bulkhead_destroy(b);
    o = (struct swg_bulkhead_options){.concurrent = SWG_BULKHEAD_UNLIMITED};
    assert_int_equal(swg_bulkhead_create(&b, &o), SWG_OK);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(enter(b, NULL), SWG_ENTERED);
    for (int i = 0; i < 5000; i++)
        leave(b);
    swg_bulkhead_destroy(b);
}

/* ---- threads -----------------------------------------------------------------
 * Threads enter, wait a little or give up, and leave. Two known mistakes of
 * such code would show: a slot lost between grant and give-up, and a limit
 * overshot between check and count. */

enum { THREADS = 6, ROUNDS = 3000, LIMIT = 2, LIMIT_MAX = 4 };

struct crowd {
    struct swg_bulkhead *bulkhead;
    atomic_uint inside, overshot, entered, abandoned, late;
    unsigned limit;
    atomic_bool over;
    pthread_barrier_t start;
};

struct member {
    struct crowd *crowd;
    uint64_t seed;
};

static void be_inside(struct crowd *c, uint64_t *seed) {
    if (atomic_fetch_add(&c->inside, 1) + 1 > c->limit)
        atomic_fetch_add(&c->overshot, 1);
    atomic_fetch_add(&c->entered, 1);
    if (random_next(seed) % 4 == 0)
        sched_yield();
    atomic_fetch_sub(&c->inside, 1);
    swg_bulkhead_leave(c->bulkhead);
}

/* Waits for a few turns of the scheduler, then gives up; true: it has a slot. */
static bool wait_a_little(struct crowd *c, struct guest *g, uint64_t *seed) {
    for (uint64_t patience = random_next(seed) % 4; patience; patience--) {
        if (atomic_load(&g->grants))
            return true;
        sched_yield();
    }
    if (swg_bulkhead_give_up(c->bulkhead, &g->waiter, true)) {
        atomic_fetch_add(&c->abandoned, 1);
        return false;
    }
    atomic_fetch_add(&c->late, 1);
    while (!atomic_load(&g->grants)) /* its memory must stay until then */
        sched_yield();
    return true;
}

static void *visit(void *arg) {
    struct member *m = arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct guest g = guest();
        uint64_t wait_ns;
        switch (swg_bulkhead_enter(m->crowd->bulkhead, &g.waiter, &wait_ns)) {
        case SWG_ENTERED:
            be_inside(m->crowd, &m->seed);
            break;
        case SWG_QUEUED:
            if (wait_a_little(m->crowd, &g, &m->seed))
                be_inside(m->crowd, &m->seed);
            break;
        case SWG_TURNED_AWAY:
            sched_yield();
            break;
        }
    }
    return NULL;
}

static void *resize(void *arg) {
    struct crowd *c = arg;
    for (uint64_t seed = 9; !atomic_load(&c->over);) {
        struct swg_bulkhead_options o = {1 + (uint32_t)(random_next(&seed) % LIMIT_MAX), 3,
                                         SWG_SECONDS(1)};
        swg_bulkhead_configure(c->bulkhead, &o);
        sched_yield();
    }
    return NULL;
}

static void visit_by_many(struct crowd *c) {
    pthread_t threads[THREADS];
    struct member members[THREADS];
    for (int i = 0; i < THREADS; i++) {
        members[i] = (struct member){c, (uint64_t)i};
        assert_int_equal(pthread_create(&threads[i], NULL, visit, &members[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void nothing_is_left_behind(struct crowd *c) {
    struct swg_bulkhead_stats s = read_stats(c->bulkhead);
    assert_int_equal(c->overshot, 0);
    assert_int_equal(s.in_use, 0);
    assert_int_equal(s.waiting, 0);
    assert_int_equal(s.admitted, c->entered);
    assert_int_equal(s.refused_timeout, c->abandoned);
    swg_bulkhead_check(c->bulkhead);
    for (uint32_t i = 0; i < s.concurrent; i++) /* every slot can still be had */
        assert_int_equal(enter(c->bulkhead, NULL), SWG_ENTERED);
    for (uint32_t i = 0; i < s.concurrent; i++)
        leave(c->bulkhead);
    swg_bulkhead_destroy(c->bulkhead);
}

/* No pause between coming and going: swaps meet, and one has to try again. */
static void *rush(void *arg) {
    struct crowd *c = arg;
    uint64_t wait_ns;
    pthread_barrier_wait(&c->start);
    for (int i = 0; i < 30 * ROUNDS; i++) {
        if (swg_bulkhead_enter(c->bulkhead, NULL, &wait_ns) != SWG_ENTERED)
            continue;
        unsigned inside = atomic_fetch_add_explicit(&c->inside, 1, memory_order_relaxed) + 1;
        if (inside > c->limit)
            atomic_fetch_add(&c->overshot, 1);
        atomic_fetch_sub_explicit(&c->inside, 1, memory_order_relaxed);
        swg_bulkhead_leave(c->bulkhead);
        atomic_fetch_add_explicit(&c->entered, 1, memory_order_relaxed);
    }
    return NULL;
}

static void threads_in_a_rush_are_counted_exactly(void **state) {
    struct crowd c = {.bulkhead = make(LIMIT, 0, 0), .limit = LIMIT};
    pthread_t threads[LIMIT + 1];
    pthread_barrier_init(&c.start, NULL, LIMIT + 1);
    for (int i = 0; i < LIMIT + 1; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, rush, &c), 0);
    for (int i = 0; i < LIMIT + 1; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&c.start);
    nothing_is_left_behind(&c);
}

static void threads_lose_no_slot_and_never_overshoot(void **state) {
    struct crowd c = {.bulkhead = make(LIMIT, 3, SWG_SECONDS(1)), .limit = LIMIT};
    visit_by_many(&c);
    assert_true(c.entered > 0 && c.abandoned > 0);
    nothing_is_left_behind(&c);
}

static void nor_while_the_limit_changes(void **state) {
    struct crowd c = {.bulkhead = make(LIMIT, 3, SWG_SECONDS(1)), .limit = LIMIT_MAX};
    pthread_t resizer;
    assert_int_equal(pthread_create(&resizer, NULL, resize, &c), 0);
    visit_by_many(&c);
    atomic_store(&c.over, true);
    pthread_join(resizer, NULL);
    nothing_is_left_behind(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(so_many_and_not_one_more),
        cmocka_unit_test(the_queue_is_first_in_first_out_and_bounded),
        cmocka_unit_test(nobody_overtakes_the_queue),
        cmocka_unit_test(without_a_waiter_a_wait_or_a_queue_nobody_waits),
        cmocka_unit_test(who_gives_up_is_out_of_the_queue),
        cmocka_unit_test(who_gives_up_after_the_grant_has_the_slot),
        cmocka_unit_test(a_larger_limit_grants_those_who_wait),
        cmocka_unit_test(a_smaller_limit_lets_those_inside_finish),
        cmocka_unit_test(options_have_defaults_and_ranges),
        cmocka_unit_test(threads_in_a_rush_are_counted_exactly),
        cmocka_unit_test(threads_lose_no_slot_and_never_overshoot),
        cmocka_unit_test(nor_while_the_limit_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
