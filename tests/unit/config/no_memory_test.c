/* no_memory_test.c - every allocation of a load fails once, each in its turn:
 * the load then fails with an error in the report, or (where what failed was
 * only the text of a finding) goes through; nothing leaks or breaks. libfyaml's
 * own allocations are not ours to fail. */
#include "load_scene.h"

static long allowed; /* allocations until one fails; negative: none fails */
static long counted;

void *__real_malloc(size_t);
void *__real_calloc(size_t, size_t);
void *__real_realloc(void *, size_t);
void *__wrap_malloc(size_t);
void *__wrap_calloc(size_t, size_t);
void *__wrap_realloc(void *, size_t);

static bool fails(void) {
    counted++;
    return allowed >= 0 && allowed-- == 0;
}

void *__wrap_malloc(size_t size) {
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size) {
    return fails() ? NULL : __real_realloc(old, size);
}

static const char text[] =
    "listen: [{address: '127.0.0.1:1', trust: [10.0.0.0/8]}]\n"
    "admin: {token: '${SWG_TEST_TOKEN}'}\n"
    "defaults: {cache: {key: [path, header.A]}, retry: {on: [reset]}}\n"
    "services:\n"
    "  a: {endpoints: [http://a, unix:/x], depends_on: [b],\n"
    "      fallback: [{stale: {}}, {service: b}, {static: {json: {a: [1, "
    "'${SWG_TEST_TOKEN}']}}}],\n"
    "      bulkhead: {queue: 1}}\n" /* a warning */
    "  b: {endpoints: [http://b], fallback: [{static: {text: x, headers: {A: b}}}]}\n"
    "routes: [{path: '/{x}', service: b}, {prefix: /, service: a}]\n";

static void every_allocation_fails_once(void **state) {
    setenv("SWG_TEST_TOKEN", "0123456789abcdef", 1);
    long failed = 0;
    allowed = -1;
    counted = 0;
    assert_int_equal(load(text), 0);
    long all = counted;
    assert_true(all > 10);
    for (long i = 0; i < all; i++) {
        config_report_free(&report);
        config_report_init(&report);
        gateway_options_release(options);
        allowed = i;
        int result = config_load_text("test.yaml", bytes_of(text), &options, &report);
        allowed = -1;
        if (result == 0) {
            assert_non_null(options);
            assert_int_equal(report.error_count, 0);
        } else {
            assert_null(options);
            assert_true(report.error_count > 0);
            failed++;
        }
    }
    assert_true(failed > 5);
}

static void every_allocation_fails_once_while_printing(void **state) {
    assert_int_equal(load(text), 0);
    for (long i = 0; i < 20; i++) {
        struct buf to;
        struct json_out out;
        buf_init(&to, 1 << 20);
        json_init(&out, &to);
        allowed = i;
        config_write_json(options, &out);
        allowed = -1;
        bool good = json_done(&out);
        assert_true(good == !to.failed);
        buf_free(&to);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(every_allocation_fails_once),
        SCENE(every_allocation_fails_once_while_printing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
