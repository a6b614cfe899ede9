/* seal_test.c - what is sealed comes back whole, from its own place, or not at all. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "store/seal.h"

#define ONE   "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define OTHER "FFEEDDCCBBAA99887766554433221100ffeeddccbbaa99887766554433221100"

static struct sealer *make(const char *secrets) {
    struct sealer *s;
    assert_int_equal(sealer_create(&s, secrets), 0);
    return s;
}

static void what_is_sealed_comes_back(void **state) {
    struct sealer *s = make(ONE);
    unsigned char sealed[100 + SEAL_EXTRA], plain[sizeof sealed];
    char text[100];
    memset(text, 'x', sizeof text);
    for (size_t len = 0; len <= sizeof text; len++) {
        size_t got = 999;
        assert_int_equal(seal(s, BYTES("me"), (struct bytes){text, len}, sealed), 0);
        struct bytes all = {(char *)sealed, len + SEAL_EXTRA};
        assert_int_equal(unseal(s, BYTES("me"), all, plain, &got), 0);
        assert_int_equal(got, len);
        assert_memory_equal(plain, text, len);
    }
    sealer_destroy(s);
}

static void nothing_of_it_can_be_changed(void **state) {
    struct sealer *s = make(ONE);
    unsigned char sealed[5 + SEAL_EXTRA], plain[sizeof sealed];
    size_t got;
    assert_int_equal(seal(s, BYTES("me"), BYTES("hello"), sealed), 0);
    assert_null(memmem(sealed, sizeof sealed, "hello", 5));
    struct bytes all = {(char *)sealed, sizeof sealed};
    for (size_t bit = 0; bit < sizeof sealed * 8; bit++) {
        sealed[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_int_equal(unseal(s, BYTES("me"), all, plain, &got), -EBADMSG);
        sealed[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    for (size_t len = 0; len < sizeof sealed; len++) {
        struct bytes part = {all.at, len};
        assert_int_equal(unseal(s, BYTES("me"), part, plain, &got), -EBADMSG);
    }
    assert_int_equal(unseal(s, BYTES("you"), all, plain, &got), -EBADMSG);
    assert_int_equal(unseal(s, BYTES("me"), all, plain, &got), 0);
    sealer_destroy(s);
}

static void two_seals_of_the_same_differ(void **state) {
    struct sealer *s = make(ONE);
    unsigned char a[5 + SEAL_EXTRA], b[sizeof a];
    assert_int_equal(seal(s, BYTES("me"), BYTES("hello"), a), 0);
    assert_int_equal(seal(s, BYTES("me"), BYTES("hello"), b), 0);
    assert_memory_not_equal(a + 9, b + 9, sizeof a - 9);
    sealer_destroy(s);
}

static void an_old_secret_still_opens(void **state) {
    struct sealer *old = make(ONE), *both = make("\n" OTHER "\n " ONE "\n"), *other = make(OTHER);
    unsigned char sealed[5 + SEAL_EXTRA], plain[sizeof sealed];
    struct bytes all = {(char *)sealed, sizeof sealed};
    size_t got;
    assert_int_equal(seal(old, BYTES("me"), BYTES("hello"), sealed), 0);
    assert_int_equal(unseal(both, BYTES("me"), all, plain, &got), 0);
    assert_int_equal(unseal(other, BYTES("me"), all, plain, &got), -EBADMSG);
    assert_int_equal(seal(both, BYTES("me"), BYTES("hello"), sealed), 0);
    assert_int_equal(unseal(other, BYTES("me"), all, plain, &got), 0);
    assert_int_equal(unseal(old, BYTES("me"), all, plain, &got), -EBADMSG);
    sealer_destroy(old);
    sealer_destroy(both);
    sealer_destroy(other);
}

static void a_secret_is_64_digits(void **state) {
    static const char *const bad[] = {
        "",
        " \n",
        "00",
        ONE "0",
        ONE "," OTHER,
        "g" ONE,
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1",
        ONE " " ONE " " ONE " " ONE " " ONE " " ONE " " ONE " " ONE " " ONE};
    struct sealer *s;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(sealer_create(&s, bad[i]), -EINVAL);
        assert_null(s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_comes_back),
        cmocka_unit_test(nothing_of_it_can_be_changed),
        cmocka_unit_test(two_seals_of_the_same_differ),
        cmocka_unit_test(an_old_secret_still_opens),
        cmocka_unit_test(a_secret_is_64_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
