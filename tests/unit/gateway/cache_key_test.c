/* cache_key_test.c - different requests have different keys. */
#include "cache_scene.h"

static const char *const fields_wanted[] = {"X-Tenant"};

enum { ALL = KEY_METHOD | KEY_HOST | KEY_PATH | KEY_QUERY | KEY_BODY };

static struct cache_key make(uint32_t wanted, const struct cache_key_parts *parts) {
    struct cache_options o = {.key = wanted, .header_count = 1, .headers = fields_wanted};
    struct cache_key key;
    assert_int_equal(cache_key_make(&key, parts, &o), 0);
    return key;
}

static struct cache_key_parts usual(void) {
    return (struct cache_key_parts){.service = BYTES("shop"),
                                    .method = BYTES("GET"),
                                    .host = BYTES("example.com"),
                                    .path = BYTES("/a"),
                                    .query = BYTES("b=c"),
                                    .body = BYTES("")};
}

static bool same(uint32_t wanted, const struct cache_key_parts *a,
                 const struct cache_key_parts *b) {
    struct cache_key x = make(wanted, a), y = make(wanted, b);
    return cache_key_equal(&x, &y);
}

/* Keys may be shared with other gateways: the format is fixed. */
static void the_format_is_fixed(void **state) {
    struct cache_key key;
    struct cache_key_parts parts = {.service = BYTES("s"), .path = BYTES("/a")};
    struct cache_options o = {.key = KEY_PATH};
    /* SHA-256 of 01 0100000000000000 's' 04 0200000000000000 "/a" */
    static const uint8_t expected[32] = {0x96, 0xca, 0x6e, 0x79, 0x4c, 0xe5, 0x92, 0x72,
                                         0x2b, 0x2e, 0x22, 0xe7, 0xd6, 0x30, 0x13, 0xaf,
                                         0x6c, 0x1c, 0x43, 0xc3, 0xcc, 0xff, 0xf5, 0xeb,
                                         0xde, 0xef, 0xaf, 0xfb, 0xbf, 0x3c, 0xb9, 0x76};
    assert_int_equal(cache_key_make(&key, &parts, &o), 0);
    assert_memory_equal(key.bytes, expected, sizeof(expected));
}

static void the_length_of_parts_does_not_matter(void **state) {
    static char path[2000];
    struct cache_options o = {.key = KEY_PATH | KEY_HOST};
    struct cache_key last = {{0}}, key, again;
    memset(path, 'A', sizeof(path));
    for (size_t len = 0; len < sizeof(path); len += 1) {
        struct cache_key_parts parts = {.path = {path, len}, .host = {path, sizeof(path) - len}};
        assert_int_equal(cache_key_make(&key, &parts, &o), 0);
        assert_int_equal(cache_key_make(&again, &parts, &o), 0);
        assert_true(cache_key_equal(&key, &again));
        assert_false(cache_key_equal(&key, &last));
        last = key;
    }
    /* SHA-256 of 01 0…0, 03 dc05…0, "A" * 1500, 04 f401…0, "A" * 500 */
    static const uint8_t expected[32] = {0x9a, 0xc1, 0x46, 0x03, 0xba, 0xc7, 0xc9, 0x5c,
                                         0x8a, 0x8c, 0x5a, 0x8f, 0x12, 0xc7, 0x24, 0xab,
                                         0xc7, 0x6c, 0x9f, 0xc6, 0xa2, 0xe8, 0x2d, 0x3a,
                                         0xd5, 0x54, 0x15, 0x6a, 0xd3, 0xd2, 0x0b, 0x1e};
    struct cache_key_parts parts = {.path = {path, 500}, .host = {path, 1500}};
    assert_int_equal(cache_key_make(&key, &parts, &o), 0);
    assert_memory_equal(key.bytes, expected, sizeof(expected));
}

static void every_part_counts_where_it_is_wanted(void **state) {
    struct cache_key_parts base = usual(), other;
    assert_true(same(ALL, &base, &base));
#define DIFFERS(member, value, part)        \
    other = usual();                        \
    other.member = BYTES(value);            \
    assert_false(same(ALL, &base, &other)); \
    assert_int_equal(same(ALL & ~(part), &base, &other), (part) != 0)
    DIFFERS(service, "shop2", 0);
    DIFFERS(method, "HEAD", KEY_METHOD);
    DIFFERS(host, "example.org", KEY_HOST);
    DIFFERS(path, "/A", KEY_PATH);
    DIFFERS(query, "b=C", KEY_QUERY);
    DIFFERS(body, "x", KEY_BODY);
}

static void parts_do_not_run_into_each_other(void **state) {
    struct cache_key_parts a = usual(), b = usual();
    a.path = BYTES("/ab");
    a.query = BYTES("c");
    b.path = BYTES("/a");
    b.query = BYTES("bc");
    assert_false(same(ALL, &a, &b));
    a.query = b.query = BYTES("");
    a.path = b.path = BYTES("/a");
    b.query.at = NULL; /* "/a?" is not "/a" */
    assert_false(same(ALL, &a, &b));
}

/* A service may fail on one of them. */
static void hosts_are_taken_as_they_are_sent(void **state) {
    struct cache_key_parts a = usual(), b = usual();
    b.host = BYTES("EXAMPLE.com");
    assert_false(same(ALL, &a, &b));
    assert_true(same(ALL & ~KEY_HOST, &a, &b));
}

static void what_the_service_is_told_counts(void **state) {
    struct cache_key_parts a = usual(), b = usual();
    b.scheme = BYTES("https");
    assert_false(same(ALL, &a, &b));
    assert_false(same(KEY_PATH, &a, &b));
    b = usual();
    b.forwarded_host = BYTES("example.org");
    assert_false(same(ALL, &a, &b));
    a.forwarded_host = BYTES("example.org");
    a.host = BYTES("");
    assert_false(same(ALL, &a, &b)); /* which of the two it was is told apart */
}

/* Whether requests with these heads, one field each, have the same key. */
static bool same_with(const char *first, const char *second, bool forwards) {
    struct head heads[2];
    struct cache_key_parts p[2] = {usual(), usual()};
    head_read(&heads[0], first);
    head_read(&heads[1], second);
    for (int i = 0; i < 2; i++) {
        p[i].fields = heads[i].fields;
        p[i].field_count = heads[i].count;
        p[i].forwards = forwards;
    }
    return same(ALL, &p[0], &p[1]);
}

static void fields_that_change_what_is_asked_for_count(void **state) {
    assert_false(same_with("X-Original-URL: /admin", "Accept: */*", false));
    assert_false(same_with("x-http-method-override: DELETE", "Accept: */*", false));
    assert_false(same_with("X-Forwarded-Scheme: https", "X-Forwarded-Scheme: http", false));
    assert_false(same_with("X-Forwarded-Prefix: /a", "X-Forwarded-Server: /a", false));
    assert_true(same_with("X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 2.3.4.5", false));
    assert_true(same_with("X-Other: 1", "X-Other: 2", false));
    assert_true(same_with("X-Original-URL: /a", "x-original-url: /a", false));
}

static void forwarded_counts_for_what_it_says_of_host_and_scheme(void **state) {
    const char *plain = "Forwarded: for=192.0.2.1;proto=http";
    assert_true(same_with(plain, "Forwarded: for=192.0.2.9; proto=http", true));
    assert_true(same_with(plain, "Forwarded: for=\"[2001:db8::1]:1\";proto=http", true));
    assert_false(same_with(plain, "Forwarded: for=192.0.2.1;proto=https", true));
    assert_false(same_with(plain, "Forwarded: for=192.0.2.1;proto=http;HOST=x", true));
    assert_false(same_with("Forwarded: host=\"a;,\\\"b\"", "Forwarded: host=\"a;,\\\"c\"", true));
    assert_true(same_with(plain, "Forwarded: for=\"a;host=x\";proto=http", true));
    /* from who is not trusted it goes no further */
    assert_true(same_with(plain, "Forwarded: host=x", false));
}

static void a_body_is_what_its_fields_say(void **state) {
    assert_false(same_with("Content-Type: text/a", "Content-Type: text/b", false));
    assert_false(same_with("Content-Encoding: gzip", "Accept: */*", false));
}

static void fields_count_with_all_their_values(void **state) {
    struct head none, one, other_case, two, joined;
    struct cache_key_parts p[5];
    head_read(&none, "X-Other: 1");
    head_read(&one, "X-Tenant: 1\nX-Other: 2");
    head_read(&other_case, "x-tenant: 1");
    head_read(&two, "X-Tenant: 1\nX-Tenant: 2");
    head_read(&joined, "X-Tenant: 1, 2");
    const struct head *heads[] = {&none, &one, &other_case, &two, &joined};
    for (int i = 0; i < 5; i++) {
        p[i] = usual();
        p[i].fields = heads[i]->fields;
        p[i].field_count = heads[i]->count;
    }
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < i; j++)
            assert_int_equal(same(ALL, &p[i], &p[j]), i == 2 && j == 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_format_is_fixed),
        cmocka_unit_test(the_length_of_parts_does_not_matter),
        cmocka_unit_test(every_part_counts_where_it_is_wanted),
        cmocka_unit_test(parts_do_not_run_into_each_other),
        cmocka_unit_test(hosts_are_taken_as_they_are_sent),
        cmocka_unit_test(what_the_service_is_told_counts),
        cmocka_unit_test(fields_count_with_all_their_values),
        cmocka_unit_test(fields_that_change_what_is_asked_for_count),
        cmocka_unit_test(forwarded_counts_for_what_it_says_of_host_and_scheme),
        cmocka_unit_test(a_body_is_what_its_fields_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
