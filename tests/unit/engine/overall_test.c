/* overall_test.c - the one word, at each of its borders; and when an emergency ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <switchgear/time.h>

#include "base/random.h"
#include "engine/overall.h"

static const struct swg__overall_options defaults = {80, 50, 2, SWG_SECONDS(30)};

static enum swg__overall judge(const struct swg__overall_options *o, uint32_t services,
                               uint32_t working, uint32_t critical_down) {
    const struct swg__overall_count c = {services, working, 0, critical_down};
    return swg__overall_judge(o, &c);
}

static void borders(void **state) {
    (void)state;
    static const struct {
        uint32_t services, working, critical_down;
        enum swg__overall expected;
    } cases[] = {
        {0, 0, 0, SWG__HEALTHY},      {1, 1, 0, SWG__HEALTHY},
        {10, 8, 0, SWG__HEALTHY},     {100, 79, 0, SWG__DEGRADED},
        {10, 5, 0, SWG__DEGRADED},    {100, 49, 0, SWG__CRITICAL},
        {1, 0, 0, SWG__CRITICAL},     {100, 99, 1, SWG__CRITICAL},
        {100, 98, 2, SWG__EMERGENCY}, {2, 0, 2, SWG__EMERGENCY},
        {3, 2, 0, SWG__DEGRADED},     {UINT32_MAX, UINT32_MAX, 0, SWG__HEALTHY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(
            judge(&defaults, cases[i].services, cases[i].working, cases[i].critical_down),
            cases[i].expected);
}

static void other_thresholds(void **state) {
    (void)state;
    const struct swg__overall_options strict = {100, 100, 1, 0}, lax = {1, 0, 3, 0};
    assert_int_equal(judge(&strict, 100, 99, 0), SWG__CRITICAL);
    assert_int_equal(judge(&strict, 100, 99, 1), SWG__EMERGENCY);
    assert_int_equal(judge(&lax, 100, 1, 0), SWG__HEALTHY);
    assert_int_equal(judge(&lax, 100, 0, 0), SWG__DEGRADED);
    assert_int_equal(judge(&lax, 100, 98, 2), SWG__CRITICAL);
    assert_int_equal(judge(&lax, 100, 97, 3), SWG__EMERGENCY);
}

/* Never better than the worst critical service allows; and one more that works, or one
 * critical less that is down, never makes it worse. */
static void never_better_than_allowed(void **state) {
    (void)state;
    uint64_t random = 1;
    uint32_t met[4] = {0};
    for (int i = 0; i < 20000; i++) {
        uint32_t healthy = (uint32_t)random_up_to(random_next(&random), 100);
        struct swg__overall_options o = {healthy,
                                         (uint32_t)random_up_to(random_next(&random), healthy),
                                         1 + (uint32_t)random_up_to(random_next(&random), 3), 0};
        uint32_t services = 1 + (uint32_t)random_up_to(random_next(&random), 20);
        uint32_t working = (uint32_t)random_up_to(random_next(&random), services);
        uint32_t critical = (uint32_t)random_up_to(random_next(&random), services - working);
        enum swg__overall word = judge(&o, services, working, critical);
        met[word]++;
        assert_true(!critical || word >= SWG__CRITICAL);
        assert_true(critical < o.criticals || word == SWG__EMERGENCY);
        assert_true(critical >= o.criticals || word != SWG__EMERGENCY);
        if (working < services)
            assert_true(judge(&o, services, working + 1, critical) <= word);
        if (critical)
            assert_true(judge(&o, services, working, critical - 1) <= word);
    }
    for (int i = 0; i < 4; i++)
        assert_true(met[i] > 100);
}

static void an_emergency_is_held(void **state) {
    (void)state;
    struct swg__emergency e = {0};
    uint64_t now = SWG_SECONDS(1000);
    assert_false(swg__emergency_feed(&e, &defaults, SWG__CRITICAL, now));
    assert_true(swg__emergency_feed(&e, &defaults, SWG__EMERGENCY, now));
    assert_true(swg__emergency_feed(&e, &defaults, SWG__EMERGENCY, now + SWG_SECONDS(100)));
    assert_int_equal(e.since_ns, now);
    now += SWG_SECONDS(100);
    assert_true(swg__emergency_feed(&e, &defaults, SWG__HEALTHY, now + SWG_SECONDS(30) - 1));
    /* again, for a moment: it is the same one, and lasts so much longer */
    now += SWG_SECONDS(30) - 1;
    assert_true(swg__emergency_feed(&e, &defaults, SWG__EMERGENCY, now));
    assert_true(swg__emergency_feed(&e, &defaults, SWG__CRITICAL, now + SWG_SECONDS(30) - 1));
    assert_false(swg__emergency_feed(&e, &defaults, SWG__CRITICAL, now + SWG_SECONDS(30)));
    assert_false(swg__emergency_feed(&e, &defaults, SWG__CRITICAL, now + SWG_SECONDS(31)));
}

static void words(void **state) {
    (void)state;
    assert_string_equal(swg__overall_word(SWG__HEALTHY), "HEALTHY");
    assert_string_equal(swg__overall_word(SWG__DEGRADED), "DEGRADED");
    assert_string_equal(swg__overall_word(SWG__CRITICAL), "CRITICAL");
    assert_string_equal(swg__overall_word(SWG__EMERGENCY), "EMERGENCY");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(borders),
        cmocka_unit_test(other_thresholds),
        cmocka_unit_test(never_better_than_allowed),
        cmocka_unit_test(an_emergency_is_held),
        cmocka_unit_test(words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
