/* no_memory_test.c - the clock for tests, when there is no memory for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <switchgear/clock.h>

#include "../engine/failing_memory.h"

static void a_test_clock_needs_memory_and_says_so(void **state) {
    struct swg_test_clock *t = NULL;
    for (int n = 0; !t; n++) {
        allocations_left = n;
        enum swg_error error = swg_test_clock_create(&t, 5, true);
        allocations_left = -1;
        assert_int_equal(error, t ? SWG_OK : SWG_ERR_NOMEM);
        assert_true(t || n == 0);
    }
    assert_true(swg_test_clock_now(t) == 5);
    swg_test_clock_destroy(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_test_clock_needs_memory_and_says_so)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
