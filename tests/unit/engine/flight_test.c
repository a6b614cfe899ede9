/* flight_test.c - one fetches; who waits is neither forgotten nor let loose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "engine/flight.h"

enum { WAITERS = 100 };

static struct list waiters[WAITERS];

static void fill(struct swg__flight *f, int count) {
    swg__flight_init(f);
    for (int i = 0; i < count; i++)
        list_push_back(&f->waiters, &waiters[i]);
}

/* How many were woken; they come in order, from *next on. */
static int end(struct swg__flight *f, enum swg__flight_end how, bool goes_on, int *next) {
    struct list woken, *one;
    int count = 0;
    list_init(&woken);
    assert_int_equal(swg__flight_end(f, how, &woken), goes_on);
    while ((one = list_pop_front(&woken)) != NULL) {
        assert_ptr_equal(one, &waiters[*next]);
        ++*next;
        count++;
    }
    return count;
}

static void roles(void **state) {
    /* under_way, unshared, may_lead, may_wait */
    static const struct {
        struct swg__flight_facts facts;
        enum swg__flight_role role;
    } cases[] = {
        {{false, false, true, true}, SWG__FLIGHT_LEAD},
        {{false, false, true, false}, SWG__FLIGHT_LEAD},
        {{false, false, false, true}, SWG__FLIGHT_ALONE},
        {{true, false, true, true}, SWG__FLIGHT_WAIT},
        {{true, false, false, true}, SWG__FLIGHT_WAIT},
        {{true, false, true, false}, SWG__FLIGHT_ALONE},
        {{true, true, true, true}, SWG__FLIGHT_ALONE},
        {{false, true, true, true}, SWG__FLIGHT_ALONE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(swg__flight_role(&cases[i].facts), cases[i].role);
}

static void a_stored_answer_wakes_all(void **state) {
    struct swg__flight f;
    int next = 0;
    fill(&f, WAITERS);
    assert_int_equal(end(&f, SWG__FLIGHT_STORED, false, &next), WAITERS);
    fill(&f, WAITERS);
    next = 0;
    assert_int_equal(end(&f, SWG__FLIGHT_UNSHARED, false, &next), WAITERS);
}

static void a_leader_that_goes_away_is_followed_by_one(void **state) {
    struct swg__flight f;
    int next = 0;
    fill(&f, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(end(&f, SWG__FLIGHT_CANCELLED, true, &next), 1);
    assert_int_equal(end(&f, SWG__FLIGHT_CANCELLED, false, &next), 0);
}

static void failures_let_more_go_each_time(void **state) {
    struct swg__flight f;
    int next = 0;
    fill(&f, WAITERS);
    for (int batch = 1; batch < 64; batch *= 2)
        assert_int_equal(end(&f, SWG__FLIGHT_FAILED, true, &next), batch);
    assert_int_equal(end(&f, SWG__FLIGHT_CANCELLED, true, &next), 1);
    assert_int_equal(end(&f, SWG__FLIGHT_FAILED, true, &next), WAITERS - 64);
    assert_int_equal(next, WAITERS);
    assert_int_equal(end(&f, SWG__FLIGHT_FAILED, false, &next), 0);
}

static void many_failures_do_not_overflow(void **state) {
    struct swg__flight f;
    int next = 0;
    fill(&f, 0);
    f.failures = UINT32_MAX - 1;
    assert_int_equal(end(&f, SWG__FLIGHT_FAILED, false, &next), 0);
    fill(&f, 2);
    f.failures = 40;
    assert_int_equal(end(&f, SWG__FLIGHT_FAILED, true, &next), 2);
}

static void a_mark_holds_for_its_time(void **state) {
    struct swg__flight_mark places[64] = {{0, 0}};
    struct swg__flight_marks m;
    swg__flight_marks_init(&m, places, 64);
    uint64_t hash = random_mix(1);
    assert_false(swg__flight_marked(&m, hash, 0));
    assert_false(swg__flight_marked(&m, 0, 0));
    swg__flight_mark(&m, hash, 100);
    assert_true(swg__flight_marked(&m, hash, 99));
    assert_false(swg__flight_marked(&m, hash, 100));
    swg__flight_mark(&m, hash, 200);
    swg__flight_unmark(&m, hash + 1);
    assert_true(swg__flight_marked(&m, hash, 150));
    swg__flight_unmark(&m, hash);
    assert_false(swg__flight_marked(&m, hash, 150));
}

static void marks_displace_each_other_but_never_lie(void **state) {
    struct swg__flight_mark places[4] = {{0, 0}};
    struct swg__flight_marks m;
    swg__flight_marks_init(&m, places, 4);
    for (uint64_t i = 1; i <= 100; i++)
        swg__flight_mark(&m, random_mix(i), 100);
    int marked = 0;
    for (uint64_t i = 1; i <= 100; i++)
        marked += swg__flight_marked(&m, random_mix(i), 0);
    assert_int_equal(marked, 4);
    for (uint64_t i = 101; i <= 1000; i++)
        assert_false(swg__flight_marked(&m, random_mix(i), 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roles),
        cmocka_unit_test(a_stored_answer_wakes_all),
        cmocka_unit_test(a_leader_that_goes_away_is_followed_by_one),
        cmocka_unit_test(failures_let_more_go_each_time),
        cmocka_unit_test(many_failures_do_not_overflow),
        cmocka_unit_test(a_mark_holds_for_its_time),
        cmocka_unit_test(marks_displace_each_other_but_never_lie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
