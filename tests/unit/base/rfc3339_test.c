#include "base/rfc3339.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void writes_moments(void **state) {
    char text[RFC3339_SIZE];
    rfc3339_ms(text, 0);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    rfc3339_ms(text, UINT64_C(951868799007)); /* a leap day */
    assert_string_equal(text, "2000-02-29T23:59:59.007Z");
    rfc3339_ms(text, UINT64_C(1795221500123));
    assert_string_equal(text, "2026-11-21T00:38:20.123Z");
    rfc3339_ms(text, UINT64_MAX);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(writes_moments)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
