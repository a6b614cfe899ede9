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

/* Hosts are folded piece by piece. */
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
    /* SHA-256 of 01 0…0, 03 dc05…0, "a" * 1500, 04 f401…0, "A" * 500 */
    static const uint8_t expected[32] = {0x5e, 0xb7, 0xf3, 0x1e, 0x60, 0xe1, 0x4e, 0x01,
                                         0xce, 0x0e, 0x06, 0xa5, 0xd7, 0x03, 0xe7, 0xca,
                                         0x41, 0x1c, 0xe7, 0x32, 0xa7, 0x62, 0xa5, 0x80,
                                         0x37, 0x7a, 0x31, 0x28, 0x85, 0x62, 0xb5, 0x9a};
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

static void hosts_have_no_case(void **state) {
    char long_host[300];
    struct cache_key_parts a = usual(), b = usual();
    b.host = BYTES("EXAMPLE.com");
    assert_true(same(ALL, &a, &b));
    memset(long_host, 'A', sizeof(long_host));
    a.host = (struct bytes){long_host, sizeof(long_host)};
    struct cache_key upper = make(ALL, &a);
    memset(long_host, 'a', sizeof(long_host));
    struct cache_key lower = make(ALL, &a);
    assert_true(cache_key_equal(&upper, &lower));
    long_host[299] = 'b';
    struct cache_key differs = make(ALL, &a);
    assert_false(cache_key_equal(&differs, &lower));
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
        cmocka_unit_test(hosts_have_no_case),
        cmocka_unit_test(fields_count_with_all_their_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
