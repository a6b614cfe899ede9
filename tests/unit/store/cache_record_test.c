/* cache_record_test.c - what is written is read, and nothing else is. */
#include "record_scene.h"

static char body[300];

static void what_is_written_is_read(void **state) {
    struct cache_record r = scene_record(7, 3, body, sizeof(body)), out;
    r.varied = BYTES("\x01\x00\x00\x00x");
    r.revalidate_ms = CACHE_RECORD_LIFE_MAX + 5; /* cut to what can be added */
    r.stale_forced_ms = 9;
    r.stale_forbidden = true;
    struct bytes all = scene_bytes(&r);
    assert_int_equal(cache_record_read(all, &out), 0);
    assert_true(scene_is(&out, 7, 3));
    assert_true(bytes_equal(out.varied, r.varied) && out.stale_forbidden && out.has_last_modified);
    assert_int_equal(out.age_ms, 5);
    assert_int_equal(out.lifetime_ms, 60000);
    assert_int_equal(out.revalidate_ms, CACHE_RECORD_LIFE_MAX);
    assert_int_equal(out.stale_ms, 600000);
    assert_int_equal(out.stale_forced_ms, 9);
    free((void *)all.at);
}

static void the_format_is_fixed(void **state) {
    struct cache_record r = {.kind = CACHE_RECORD_ANSWER, .status = 200, .came_ms = 1};
    struct bytes all = scene_bytes(&r);
    assert_int_equal(all.len, 176);
    assert_memory_equal(all.at, "SWGr\x01\x01\xc8\x00", 8);
    free((void *)all.at);
}

static void any_flipped_bit_is_damage(void **state) {
    struct cache_record r = scene_record(7, 3, body, sizeof(body)), out;
    struct bytes all = scene_bytes(&r);
    char *bytes = (char *)(uintptr_t)all.at;
    for (size_t i = 0; i < 8 * all.len; i++) {
        bytes[i / 8] ^= (char)(1 << i % 8);
        assert_int_equal(cache_record_read(all, &out), -EBADMSG);
        bytes[i / 8] ^= (char)(1 << i % 8);
    }
    assert_int_equal(cache_record_read(all, &out), 0);
    free(bytes);
}

static void any_other_length_is_damage(void **state) {
    struct cache_record r = scene_record(7, 3, body, sizeof(body)), out;
    struct bytes all = scene_bytes(&r);
    for (size_t len = 0; len < all.len; len++) {
        char *cut = malloc(len + 1); /* so that a sanitizer sees what is read behind it */
        memcpy(cut, all.at, len);
        char *end = realloc(cut, len ? len : 1);
        assert_int_equal(cache_record_read((struct bytes){end, len}, &out), -EBADMSG);
        free(end);
    }
    char *longer = calloc(1, all.len + 1);
    memcpy(longer, all.at, all.len);
    assert_int_equal(cache_record_read((struct bytes){longer, all.len + 1}, &out), -EBADMSG);
    free(longer);
    free((void *)all.at);
}

/* Half of one and half of another of the same length, as torn writes make it. */
static void two_halves_are_no_whole(void **state) {
    char other[sizeof(body)];
    struct cache_record a = scene_record(7, 3, body, sizeof(body)), out;
    struct cache_record b = scene_record(7, 4, other, sizeof(other));
    struct bytes one = scene_bytes(&a), two = scene_bytes(&b);
    char *mixed = malloc(one.len);
    for (size_t i = 1; i < one.len; i++) {
        memcpy(mixed, one.at, i);
        memcpy(mixed + i, two.at + i, one.len - i);
        bool whole = memcmp(mixed, one.at, one.len) == 0 || memcmp(mixed, two.at, one.len) == 0;
        assert_int_equal(cache_record_read((struct bytes){mixed, one.len}, &out),
                         whole ? 0 : -EBADMSG);
    }
    free(mixed);
    free((void *)one.at);
    free((void *)two.at);
}

static void what_is_too_long_is_not_written(void **state) {
    uint8_t header[CACHE_RECORD_HEADER], digest[CACHE_RECORD_DIGEST];
    struct cache_record r = {.kind = CACHE_RECORD_ANSWER, .body = {body, CACHE_RECORD_MAX}};
    assert_int_equal(cache_record_write(&r, header, digest), -E2BIG);
    r.body.len = SIZE_MAX;
    r.lines.len = 1000;
    assert_int_equal(cache_record_write(&r, header, digest), -E2BIG);
}

static void over_is_when_no_window_is_left(void **state) {
    struct cache_record r = {.came_ms = 1000, .age_ms = 10, .lifetime_ms = 100, .stale_ms = 50};
    assert_int_equal(cache_record_over_ms(&r), 1140);
    r.revalidate_ms = 70;
    assert_int_equal(cache_record_over_ms(&r), 1160);
    r.age_ms = 1000;
    assert_int_equal(cache_record_over_ms(&r), 1000);
    r.came_ms = INT64_MAX - 1;
    r.age_ms = 0;
    assert_int_equal(cache_record_over_ms(&r), INT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_format_is_fixed),
        cmocka_unit_test(any_flipped_bit_is_damage),
        cmocka_unit_test(any_other_length_is_damage),
        cmocka_unit_test(two_halves_are_no_whole),
        cmocka_unit_test(what_is_too_long_is_not_written),
        cmocka_unit_test(over_is_when_no_window_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
