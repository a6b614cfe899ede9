/* accept_test.c - media types and their weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "admin/accept.h"

static unsigned weight(const char *accept) {
    return accept_quality(bytes_of(accept), BYTES("text/plain"));
}

static void weights(void **state) {
    (void)state;
    assert_int_equal(weight("text/plain"), 1000);
    assert_int_equal(weight("TEXT/Plain;version=0.0.4"), 1000);
    assert_int_equal(weight("a/b, text/plain;version=0.0.4;q=0.5,c/d"), 500);
    assert_int_equal(weight("text/plain ; q=0.125"), 125);
    assert_int_equal(weight("text/plain;q=0"), 0);
    assert_int_equal(weight("text/plain;q=1.000"), 1000);
    assert_int_equal(weight("text/plain;Q=0.3"), 300);
}

static void not_named(void **state) {
    (void)state;
    assert_int_equal(accept_quality((struct bytes){0}, BYTES("text/plain")), 0);
    assert_int_equal(weight(""), 0);
    assert_int_equal(weight("*/*"), 0);
    assert_int_equal(weight("text/*"), 0);
    assert_int_equal(weight("text/plainer"), 0);
}

/* A weight that is none does not take the type away. */
static void nonsense(void **state) {
    (void)state;
    assert_int_equal(weight("text/plain;q=x"), 1000);
    assert_int_equal(weight("text/plain;q=0.12345"), 1000);
    assert_int_equal(weight("text/plain;q=2"), 1000);
    assert_int_equal(weight("text/plain;q="), 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights),
        cmocka_unit_test(not_named),
        cmocka_unit_test(nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
