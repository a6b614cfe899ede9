/* records_test.c - what is remembered of each service, and what becomes an
 * event because only a difference shows it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <switchgear/call.h>

#include "admin/records.h"
#include "scene.h"

static struct scene s;

static int setup(void **state) {
    (void)state;
    scene_init(&s, "127.0.0.1", NULL);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    scene_free(&s);
    return 0;
}

static void answered_by(const char *service, uint32_t tier, uint64_t n) {
    atomic_fetch_add(&scene_service(&s, service)->tally[tier]->answered, n);
}

static struct record *record(const char *service) {
    struct record *r = records_of(s.admin->records, scene_service(&s, service));
    assert_non_null(r);
    return r;
}

static struct event last_event(void) {
    struct event e = {0};
    events_read_latest(s.events, NULL, &e, 1);
    return e;
}

static void tick(void) {
    fake_io_pass(&s.io, RECORD_INTERVAL_NS);
}

static void one_record_each(void **state) {
    (void)state;
    assert_ptr_equal(record("shop"), record("shop"));
    assert_ptr_not_equal(record("shop"), record("pay"));
    assert_string_equal(record("pay")->source, "upstream");
}

/* The sample timer runs, and half a minute is what it looks back. */
static void recent_is_half_a_minute(void **state) {
    struct reading recent;
    (void)state;
    answered_by("shop", 1, 5);
    record_recent(record("shop"), scene_service(&s, "shop"), s.io.io.now_ns, &recent);
    assert_int_equal(recent.tiers[1], 5);
    for (int i = 0; i < 20; i++)
        tick();
    record_recent(record("shop"), scene_service(&s, "shop"), s.io.io.now_ns, &recent);
    assert_int_equal(recent.tiers[1], 0);
    assert_int_equal(recent.at_ns, (RECORD_READINGS - 1) * RECORD_INTERVAL_NS);
    answered_by("shop", 1, 2);
    s.io.io.now_ns += SWG_SECONDS(1);
    record_recent(record("shop"), scene_service(&s, "shop"), s.io.io.now_ns, &recent);
    assert_int_equal(recent.tiers[1], 2);
}

static void a_flapping_service_keeps_its_command(void **state) {
    struct swg_breaker *b = swg_policy_breaker(scene_service(&s, "shop")->policy, 1);
    (void)state;
    scene_ask(&s, "POST", "/api/v1/circuit-breakers/shop/force-open", "",
              "{\"endpoint\":\"http://127.0.0.1:1\",\"reason\":\"why\"}");
    for (int i = 0; i < 300; i++) {
        scene_break(&s, "shop", 1);
        swg_breaker_reset(b, s.io.io.now_ns);
        fake_io_run_tasks(&s.io);
    }
    assert_string_equal(record("shop")->manual.text, "why");
    assert_string_equal(record("shop")->change.to, "closed");
    assert_string_equal(record("shop")->change.cause, "reset");
    assert_int_equal(record("pay")->manual.sequence, 0);
}

/* A try that is asked for is no state that lasts. */
static void probes_are_no_command(void **state) {
    (void)state;
    scene_break(&s, "bank", 0);
    scene_ask(&s, "POST", "/api/v1/resilience/force-recovery", "", "");
    assert_int_equal(record("bank")->manual.sequence, 0);
}

/* A call that finds the breaker open. */
static void refuse(const char *service) {
    struct swg_call call;
    struct swg_step step = swg_call_start(&call, scene_service(&s, service)->policy,
                                          &(struct swg_request){0}, NULL, s.io.io.now_ns);
    assert_int_equal(step.action, SWG_DO_FINISH);
    assert_int_equal(swg_call_story(&call)->reason, SWG_REFUSED_OPEN);
}

/* When they begin, and again only after a minute without any. */
static void refusals_are_told_once(void **state) {
    (void)state;
    uint64_t before = events_last(s.events);
    scene_break(&s, "pay", 0);
    assert_int_equal(events_last(s.events), before + 1);
    refuse("pay");
    refuse("pay");
    tick();
    assert_int_equal(events_last(s.events), before + 2);
    struct event e = last_event();
    assert_string_equal(e.kind, "refusals");
    assert_string_equal(e.service, "pay");
    assert_string_equal(e.cause, "open");
    assert_string_equal(e.text, "2 calls in 2 s, and counting");
    for (int i = 0; i < 20; i++) { /* on and on: no news */
        record("pay")->refused[SWG_REFUSED_OPEN]--;
        tick();
    }
    assert_int_equal(events_last(s.events), before + 2);
    for (int i = 0; i < 31; i++)
        tick();
    record("pay")->refused[SWG_REFUSED_OPEN]--;
    tick();
    assert_int_equal(events_last(s.events), before + 3);
    assert_string_equal(last_event().kind, "refusals");
}

/* ---- who answers ------------------------------------------------------------------ */

static const char *source(uint64_t requests, uint64_t errors, uint64_t stale, uint64_t fixed,
                          bool open) {
    const struct reading d = {
        .requests = requests, .server_errors = errors, .tiers = {stale, fixed}};
    return record_source(scene_service(&s, "shop"), &d, open);
}

static void who_answers(void **state) {
    (void)state;
    assert_string_equal(source(10, 0, 0, 0, false), "upstream");
    assert_string_equal(source(10, 10, 0, 0, false), "upstream"); /* errors of its own */
    assert_string_equal(source(10, 10, 0, 0, true), "nobody");
    assert_string_equal(source(10, 5, 0, 0, true), "upstream");
    assert_string_equal(source(10, 0, 10, 0, true), "1-stale");
    assert_string_equal(source(10, 0, 2, 8, true), "2-static");
    assert_string_equal(source(10, 0, 4, 0, false), "upstream");
    assert_string_equal(source(10, 0, 5, 0, false), "1-stale");
    assert_string_equal(source(10, 6, 4, 0, true), "nobody");
    /* counted a moment apart: more answers of tiers than requests */
    assert_string_equal(source(1, 0, 3, 0, true), "1-stale");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(one_record_each),
        TEST(recent_is_half_a_minute),
        TEST(a_flapping_service_keeps_its_command),
        TEST(probes_are_no_command),
        TEST(refusals_are_told_once),
        TEST(who_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
