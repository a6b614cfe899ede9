/* Changes at run time: what a list of them means, and what of a file it leaves alone. */
#include "load_scene.h"

#include "config/patch.h"

static struct policy_patch list[16];
static uint32_t count;

static void change(const char *service, const char *key, const char *value) {
    patch_list_add(list, &count,
                   &(struct policy_patch){.service = service,
                                          .key = key,
                                          .value = value,
                                          .author = "ada",
                                          .reason = "",
                                          .unix_ms = 5});
}

static int begin(void **state) {
    count = 0;
    return scene_setup(state);
}

/* The options with the list laid over them; in place of them. */
static int patched(void) {
    struct gateway_options *before = options;
    config_report_free(&report);
    config_report_init(&report);
    int result = config_load_patched(before, list, count, &options, &report);
    gateway_options_release(before);
    return result;
}

static void patched_error(const char *part) {
    struct gateway_options *before = options;
    struct buf text;
    config_report_free(&report);
    config_report_init(&report);
    assert_int_equal(config_load_patched(before, list, count, &options, &report), -1);
    assert_null(options);
    options = before;
    buf_init(&text, 1 << 16);
    config_report_write(&report, &text);
    if (!strstr(buf_cstr(&text), part))
        fail_msg("\"%s\" does not say \"%s\"", buf_cstr(&text), part);
    buf_free(&text);
    count = 0;
}

#define PATCH_SCENE(name) cmocka_unit_test_setup_teardown(name, begin, scene_teardown)

/* ---- lists ---- */

static void later_changes_undo_earlier_ones(void **state) {
    change("a", "cache.fresh", "\"1s\"");
    change("a", "cache.fresh", "\"2s\"");
    assert_int_equal(count, 1);
    assert_string_equal(list[0].value, "\"2s\"");
    change("a", "cached", "1"); /* not below cache */
    change("b", "cache.fresh", "\"1s\"");
    change("a", "cache", "{}"); /* leaves what is in it */
    assert_int_equal(count, 4);
    change("a", "cache", "\"off\"");
    assert_int_equal(count, 3);
    change("a", "cache.fresh", "\"3s\"");
    assert_int_equal(count, 4); /* off, and then a mapping again: its other keys are gone */
    assert_int_equal(patch_list_clear(list, &count, "a"), 3);
    assert_int_equal(count, 1);
    assert_string_equal(list[0].service, "b");
}

/* ---- values ---- */

static void keys_are_set_and_taken_away(void **state) {
    load_clean("services: {s: {endpoints: [http://h], timeout: {attempt: 3s, total: 9s},\n"
               "  breaker: {consecutive: 4}}}");
    change("s", "timeout.attempt", "\"2s\"");
    change("s", "timeout.total", "null");
    change("s", "breaker.failures", "8");
    change("s", "retry.on", "[503, \"connect\"]");
    change("s", "critical", "true");
    change("s", "cache.nothing", "null");
    assert_int_equal(patched(), -1); /* no such key */
    assert_null(options);
}

static void keys_mean_what_they_mean_in_the_file(void **state) {
    load_clean("services: {s: {endpoints: [http://h], timeout: {attempt: 3s, total: 9s},\n"
               "  breaker: {consecutive: 4}}}");
    change("s", "timeout.attempt", "\"2s\"");
    change("s", "timeout.total", "null");
    change("s", "breaker.failures", "8");
    change("s", "retry.on", "[503, \"connect\"]");
    change("s", "critical", "true");
    change("s", "cache.fresh", "null"); /* is not there: and makes no cache */
    assert_int_equal(patched(), 0);
    const struct service_options *s = service(0);
    assert_int_equal(s->policy.timeout.attempt_ns, SWG_SECONDS(2));
    assert_int_equal(s->policy.timeout.total_ns, SWG_SECONDS(60));
    assert_int_equal(s->policy.breaker.failures, 8);
    assert_int_equal(s->policy.breaker.consecutive, 4);
    assert_true(s->policy.retry.on_connect && !s->policy.retry.on_reset);
    assert_true(s->critical && !s->cache.enabled);
    assert_int_equal(options->patch_count, 6);
    assert_string_equal(options->patches[2].key, "breaker.failures");
    /* and once more, from what came of it */
    assert_int_equal(patch_list_clear(list, &count, "s"), 6);
    assert_int_equal(patched(), 0);
    assert_int_equal(service(0)->policy.timeout.attempt_ns, SWG_SECONDS(3));
    assert_int_equal(options->patch_count, 0);
}

static void what_is_shared_stays_others(void **state) {
    load_clean("x-b: &b {consecutive: 3, open: 7s}\n"
               "services:\n"
               "  a.b: {endpoints: [http://h], breaker: *b}\n"
               "  c: {endpoints: [http://h], breaker: {<<: *b, open: 8s}}\n"
               "routes: [{path: /a, service: a.b}, {path: /c, service: c}]\n");
    change("a.b", "breaker.open", "\"9s\"");
    change("c", "breaker.consecutive", "5");
    change("a.b", "cache", "\"off\"");
    change("a.b", "cache.stale", "\"5m\"");
    assert_int_equal(patched(), 0);
    assert_int_equal(service(0)->policy.breaker.open_ns, SWG_SECONDS(9));
    assert_int_equal(service(0)->policy.breaker.consecutive, 3);
    assert_int_equal(service(1)->policy.breaker.open_ns, SWG_SECONDS(8));
    assert_int_equal(service(1)->policy.breaker.consecutive, 5);
    assert_int_equal(service(0)->cache.stale_ns, SWG_MINUTES(5));
    assert_int_equal(service(0)->cache.fresh_ns, 0);
}

/* ---- what is not to be reached ---- */

static void nothing_is_looked_up_for_it(void **state) {
    load_clean(ONE(""));
    assert_int_equal(setenv("PATCH_TEST", "found", 1), 0);
    change("s", "message.open", "\"${PATCH_TEST} file:/etc/hostname $${\"");
    assert_int_equal(patched(), 0);
    assert_string_equal(service(0)->message_open, "${PATCH_TEST} file:/etc/hostname $${");
}

static void some_is_the_files_alone(void **state) {
    static const char *const keys[] = {"endpoints", "fallback"};
    load_clean(ONE(""));
    for (unsigned i = 0; i < 2; i++) {
        change("s", keys[i], "[]");
        patched_error("cannot be changed at run time");
        change("s", keys[i], "null");
        patched_error("cannot be changed at run time");
        change("s", keys[i], "{}");
        patched_error("cannot be changed at run time");
    }
    change("s", "breaker.opn", "null");
    patched_error("did you mean \"open\"");
    change("s", "breaker.open", "\"\x7f\"");
    patched_error("cannot be read");
    change("nobody", "critical", "true");
    patched_error("there is no service nobody");
}

/* ---- differences ---- */

static void differences_are_told_by_key(void **state) {
    struct gateway_options *before;
    struct buf json, words;
    struct json_out out;
    load_clean(ONE("timeout: {attempt: 3s}"));
    before = gateway_options_hold(options);
    change("s", "timeout.attempt", "\"2s\"");
    change("s", "breaker.consecutive", "5");
    change("s", "cache", "{}");
    assert_int_equal(patched(), 0);
    buf_init(&json, 1 << 16);
    buf_init(&words, 1 << 16);
    json_init(&out, &json);
    json_array(&out);
    assert_int_equal(config_write_policy_diff(&before->services[0], service(0), &out, &words), 4);
    json_array_end(&out);
    assert_string_equal(buf_cstr(&words),
                        "timeout.attempt 3s -> 2s, breaker.consecutive none -> 5, "
                        "breaker.failure_rate 50% -> none, cache off -> on");
    assert_non_null(
        strstr(buf_cstr(&json), "{\"key\":\"timeout.attempt\",\"from\":\"3s\",\"to\":\"2s\"}"));
    buf_free(&json);
    buf_free(&words);
    gateway_options_release(before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        PATCH_SCENE(later_changes_undo_earlier_ones),      PATCH_SCENE(keys_are_set_and_taken_away),
        PATCH_SCENE(keys_mean_what_they_mean_in_the_file), PATCH_SCENE(what_is_shared_stays_others),
        PATCH_SCENE(nothing_is_looked_up_for_it),          PATCH_SCENE(some_is_the_files_alone),
        PATCH_SCENE(differences_are_told_by_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
