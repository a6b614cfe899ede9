/* listener_test.c - whoever listens to a breaker may call it, and finds out what
 * was missed. */
#include "rig.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

/* A reader who keeps the history; loses what it is told to lose. */
struct reader {
    struct swg_breaker *b;
    uint64_t last, missed;
    uint32_t heard, depth, deepest;
    bool deaf;
    void (*deed)(struct reader *, const struct swg_breaker_event *);
};

static void hear(void *arg, const struct swg_breaker_event *e) {
    struct reader *r = arg;
    if (r->deaf)
        return;
    r->heard++;
    if (r->last && e->sequence > r->last + 1)
        r->missed += e->sequence - r->last - 1;
    if (e->sequence > r->last)
        r->last = e->sequence;
    if (++r->depth > r->deepest)
        r->deepest = r->depth;
    if (r->deed)
        r->deed(r, e);
    r->depth--;
}

static struct rig listen(struct reader *reader,
                         void (*deed)(struct reader *, const struct swg_breaker_event *)) {
    struct rig r;
    rig_make(&r, &(struct swg_breaker_options){.consecutive = 1, .jitter_percent = 101});
    *reader = (struct reader){.b = r.b, .deed = deed};
    swg_breaker_listen(r.b, hear, reader);
    return r;
}

static void test_a_gap_is_seen(void **state) {
    struct reader reader;
    struct rig r = listen(&reader, NULL);
    (void)state;
    rig_feed(&r, "F");
    reader.deaf = true;
    swg_breaker_reset(r.b, r.now_ns);
    rig_feed(&r, "F");
    reader.deaf = false;
    assert_true(rig_read(&r).events > reader.last); /* seen even if nothing comes any more */
    swg_breaker_reset(r.b, r.now_ns);
    assert_int_equal(reader.heard, 2);
    assert_int_equal(reader.missed, 2);
    assert_int_equal(rig_read(&r).events, reader.last);
    rig_free(&r);
}

static void read_it(struct reader *r, const struct swg_breaker_event *e) {
    struct swg_breaker_stats s;
    swg_breaker_read(r->b, &s, e->now_ns);
    assert_int_equal(s.state, e->to);
    assert_int_equal(s.events, e->sequence);
    swg_breaker_peek(r->b, e->now_ns, NULL);
    swg_breaker_check(r->b);
}

static void test_it_may_be_read(void **state) {
    struct reader reader;
    struct rig r = listen(&reader, read_it);
    (void)state;
    rig_feed(&r, "F");
    r.now_ns += SWG_SECONDS(5);
    rig_feed(&r, "SS");
    assert_int_equal(reader.heard, 3);
    rig_free(&r);
}

/* Whoever opens by itself is held closed; the change is told from inside. */
static void hold_closed(struct reader *r, const struct swg_breaker_event *e) {
    if (e->to == SWG_OPEN)
        swg_breaker_force(r->b, SWG_FORCED_CLOSED, SWG_SECONDS(1), e->now_ns);
}

static void test_it_may_be_forced(void **state) {
    struct reader reader;
    struct rig r = listen(&reader, hold_closed);
    (void)state;
    rig_feed(&r, "FFF");
    assert_int_equal(rig_read(&r).manual, SWG_FORCED_CLOSED);
    assert_int_equal(reader.heard, 2);
    assert_int_equal(reader.deepest, 2);
    assert_int_equal(reader.missed, 0);
    rig_free(&r);
}

/* Everything that may be called. */
static void do_all(struct reader *r, const struct swg_breaker_event *e) {
    struct swg_permit p;
    struct swg_breaker_stats s;
    if (r->depth > 3)
        return;
    swg_breaker_probe_now(r->b, e->now_ns);
    if (swg_breaker_admit(r->b, &p, 0, e->now_ns) == SWG_ADMITTED) {
        swg_breaker_overdue(r->b, &p, e->now_ns);
        swg_breaker_record(r->b, &p, SWG_FAILURE, 0, e->now_ns);
        swg_breaker_note_failure(r->b, p.generation, e->now_ns);
    }
    swg_breaker_configure(r->b, &(struct swg_breaker_options){.consecutive = 1, .probes = 3},
                          e->now_ns);
    swg_breaker_reset(r->b, e->now_ns);
    swg_breaker_force(r->b, SWG_DISABLED, SWG_MS(1), e->now_ns);
    swg_breaker_tick(r->b, e->now_ns + SWG_MS(1));
    swg_breaker_read(r->b, &s, e->now_ns);
    swg_breaker_check(r->b);
}

static void test_everything_may_be_called(void **state) {
    struct reader reader;
    struct rig r = listen(&reader, do_all);
    (void)state;
    rig_feed(&r, "F");
    assert_true(reader.heard >= 20);
    assert_int_equal(rig_read(&r).events, reader.heard); /* none twice, none lost */
    rig_free(&r);
}

/* A listener that waits for another thread, which needs the breaker: with a lock
 * held around it this would never end. */
static void *use_it(void *arg) {
    struct swg_breaker *b = arg;
    struct swg_breaker_stats s;
    swg_breaker_read(b, &s, RIG_START_NS);
    swg_breaker_reset(b, RIG_START_NS);
    return NULL;
}

static void wait_for_another(struct reader *r, const struct swg_breaker_event *e) {
    pthread_t id;
    if (strcmp(e->cause, "reset") == 0)
        return;
    assert_int_equal(pthread_create(&id, NULL, use_it, r->b), 0);
    pthread_join(id, NULL);
}

static void test_no_lock_is_held(void **state) {
    struct reader reader;
    struct rig r = listen(&reader, wait_for_another);
    (void)state;
    rig_feed(&r, "F");
    assert_int_equal(rig_state(&r), SWG_CLOSED);
    assert_int_equal(reader.heard, 2);
    rig_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_gap_is_seen),    cmocka_unit_test(test_it_may_be_read),
        cmocka_unit_test(test_it_may_be_forced), cmocka_unit_test(test_everything_may_be_called),
        cmocka_unit_test(test_no_lock_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
