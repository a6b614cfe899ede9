/* manager_test.c - a gateway without workers or loop, in time that the test makes: what
 * happens to breakers, and what the manager makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/random.h"
#include "config/config.h"
#include "gateway/manager.h"
#include "observe/events.h"
#include "observe/metrics.h"

#define REST                                                                        \
    "admin: off\n"                                                                  \
    "defaults: {breaker: {consecutive: 1, open: 1h, close_after: 1, jitter: 0%}}\n" \
    "routes: [{prefix: /, service: shop}]\n"

/* shop needs stock, which needs base; search is nice to have. */
static const char whole[] =
    REST "resilience: {emergency: {read_only: true, shed: true, hold: 30s},\n"
         "             flap: {changes: 4, within: 60s, hold: 60s}}\n"
         "services:\n"
         "  shop: {endpoints: [http://a], critical: true,\n"
         "         depends_on: [stock, {service: search, soft: true}]}\n"
         "  stock: {endpoints: [http://b], critical: true, depends_on: base}\n"
         "  base: {endpoints: [http://c1, http://c2]}\n"
         "  search: {endpoints: [http://d], essential: false}\n";

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

static int allocations_left = -1; /* negative: without limit; 0: the next fails, once */

void *__wrap_calloc(size_t n, size_t size) {
    if (allocations_left >= 0 && allocations_left-- == 0)
        return NULL;
    return __real_calloc(n, size);
}

struct scene {
    struct metrics *metrics;
    struct events *events;
    struct gateway *gateway;
};
static struct scene s;
static uint64_t now_ns;

static uint64_t clock_of_test(void) {
    return now_ns;
}

static struct gateway_options *load(const char *text) {
    struct config_report report;
    struct gateway_options *o;
    config_report_init(&report);
    if (config_load_text("test.yaml", bytes_of(text), &o, &report) < 0) {
        config_report_print(&report, stderr);
        fail_msg("the configuration does not load");
    }
    config_report_free(&report);
    o->workers = 1;
    return o;
}

static void tick(uint64_t after_ns) {
    now_ns += after_ns;
    gateway_tick(s.gateway);
}

static void begin(const char *text) {
    struct gateway_options *o = load(text);
    now_ns = SWG_SECONDS(1000);
    assert_int_equal(metrics_create(&s.metrics, 1), 0);
    assert_int_equal(events_create(&s.events, NULL), 0);
    const struct gateway_environment e = {s.metrics, s.events, clock_of_test, .seed = 1};
    assert_int_equal(gateway_create(&s.gateway, o, &e), 0);
    gateway_options_release(o);
    tick(0);
}

static void reload(const char *text) {
    struct gateway_options *o = load(text);
    assert_int_equal(gateway_reload(s.gateway, o), 0);
    gateway_options_release(o);
    tick(0);
}

static int teardown(void **state) {
    (void)state;
    gateway_destroy(s.gateway);
    metrics_destroy(s.metrics);
    events_destroy(s.events);
    return 0;
}

static struct service *service(const char *name) {
    struct service *found = plan_service(s.gateway->plan, bytes_of(name));
    assert_non_null(found);
    return found;
}

static void call(const char *name, uint32_t endpoint, enum swg_outcome_kind kind) {
    struct swg_permit p;
    struct swg_breaker *b = swg_policy_breaker(service(name)->policy, endpoint);
    now_ns += SWG_MS(1);
    assert_int_equal(swg_breaker_admit(b, &p, 0, now_ns), SWG_ADMITTED);
    swg_breaker_record(b, &p, kind, 0, now_ns);
}

static void fail_it(const char *name) {
    call(name, 0, SWG_FAILURE);
    tick(0);
}

static void mend(const char *name) {
    swg_policy_reset(service(name)->policy, now_ns);
    tick(SWG_MS(1));
}

static void is(const char *name, const char *condition, const char *because) {
    struct manager_reading r;
    manager_read(s.gateway->manager, service(name), &r);
    assert_string_equal(swg__condition_word(r.condition), condition);
    assert_string_equal(r.because, because);
}

static void all_is(const char *word) {
    struct manager_summary all;
    manager_read_all(s.gateway->manager, &all);
    assert_string_equal(swg__overall_word(all.overall), word);
}

/* The latest event of this kind. */
static struct event last(const char *service, const char *kind) {
    struct event e[128], found = {0};
    size_t n = events_read_latest(s.events, service, e, 128);
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(e[i].kind, kind))
            found = e[i];
    }
    return found;
}

static bool is_tried(const char *name) {
    struct swg_breaker_stats stats;
    swg_breaker_read(swg_policy_breaker(service(name)->policy, 0), &stats, now_ns);
    return stats.probe_due;
}

/* ---- conditions ------------------------------------------------------------------- */

static void at_first_all_works(void **state) {
    (void)state;
    struct manager_summary all;
    begin(whole);
    is("shop", "working", "");
    manager_read_all(s.gateway->manager, &all);
    assert_int_equal(all.overall, SWG__HEALTHY);
    assert_int_equal(all.count.services, 4);
    assert_int_equal(all.count.working, 4);
    assert_int_equal(all.actions, 0);
    assert_int_equal(events_last(s.events), 0);
}

static void a_service_that_breaks(void **state) {
    (void)state;
    begin(whole);
    fail_it("search");
    is("search", "down", "open");
    is("shop", "impaired", "dependency search");
    all_is("DEGRADED"); /* 3 of 4 */
    struct event e = last("search", "condition");
    assert_string_equal(e.from, "working");
    assert_string_equal(e.to, "down");
    assert_string_equal(e.cause, "open");
    e = last("", "overall");
    assert_string_equal(e.to, "DEGRADED");
    assert_string_equal(e.text, "3 of 4 services work; down: search");
    mend("search");
    is("shop", "working", "");
    all_is("HEALTHY");
    assert_string_equal(last("", "overall").text, "4 of 4 services work");
}

static void one_endpoint_of_two(void **state) {
    (void)state;
    begin(whole);
    fail_it("base");
    is("base", "impaired", "endpoint");
    is("stock", "working", "");
    all_is("HEALTHY");
    call("base", 1, SWG_FAILURE);
    tick(0);
    is("base", "down", "open");
    is("stock", "down", "dependency base"); /* all the way up in one look */
    is("shop", "down", "dependency stock");
    all_is("EMERGENCY");
}

static void who_serves_without_is_not_down(void **state) {
    (void)state;
    begin(whole);
    call("stock", 0, SWG_SUCCESS);
    call("base", 0, SWG_FAILURE);
    call("base", 1, SWG_FAILURE);
    tick(0);
    is("stock", "impaired", "dependency base");
    is("shop", "working", "");
    tick(SWG_SECONDS(31)); /* and nobody shows it any more */
    is("stock", "down", "dependency base");
}

static void what_flaps_is_held(void **state) {
    (void)state;
    struct manager_reading r;
    begin(whole);
    for (int i = 0; i < 2; i++) {
        fail_it("search");
        mend("search");
    }
    is("search", "down", "flapping");
    manager_read(s.gateway->manager, service("search"), &r);
    assert_true(r.flapping);
    struct event e = last("search", "condition");
    assert_string_equal(e.cause, "flapping");
    assert_string_equal(e.text, "changed 4 times in 60 s; held until it is steady for 60 s");
    tick(SWG_SECONDS(59));
    is("search", "down", "flapping");
    tick(SWG_SECONDS(1));
    is("search", "working", "");
}

/* ---- what follows ------------------------------------------------------------------ */

static void dependents_are_tried_when_it_is_back(void **state) {
    (void)state;
    begin(whole);
    fail_it("stock");
    fail_it("shop");
    fail_it("search");
    assert_false(is_tried("shop"));
    mend("search"); /* a soft one */
    assert_true(is_tried("shop"));
    assert_string_equal(last("shop", "recovery").text,
                        "search is back: the breaker is tried at once");
    call("shop", 0, SWG_FAILURE); /* too early: it still lacks the other */
    assert_false(is_tried("shop"));
    mend("stock");
    assert_true(is_tried("shop"));
    call("shop", 0, SWG_SUCCESS);
    tick(0);
    is("shop", "working", "");
}

static void not_what_an_operator_has_opened(void **state) {
    (void)state;
    begin(whole);
    fail_it("stock");
    swg_policy_force(service("shop")->policy, SWG_FORCED_OPEN, SWG_NEVER, now_ns);
    tick(0);
    is("shop", "down", "forced_open");
    mend("stock");
    is("shop", "down", "forced_open");
    assert_int_equal(last("shop", "recovery").sequence, 0);
}

static void recovery_by_hand(void **state) {
    (void)state;
    char text[2048];
    begin(whole);
    snprintf(text, sizeof text, "%s", whole);
    char *at = strstr(text, "resilience: {");
    char tail[2048];
    snprintf(tail, sizeof tail, "%s", at + strlen("resilience: {"));
    snprintf(at, sizeof text - (size_t)(at - text), "resilience: {recovery: manual, %s", tail);
    fail_it("shop");
    reload(text); /* also what is open already */
    tick(SWG_HOURS(2));
    assert_false(is_tried("shop"));
    fail_it("stock");
    mend("stock");
    tick(SWG_HOURS(2));
    assert_false(is_tried("shop"));
    assert_int_equal(gateway_control(s.gateway, &(struct gateway_command){.verb = GATEWAY_PROBE_NOW,
                                                                          .service = "shop",
                                                                          .for_ns = SWG_NEVER,
                                                                          .author = "a",
                                                                          .reason = "b"}),
                     0);
    assert_true(is_tried("shop"));
    reload(whole);
    fail_it("shop");
    tick(SWG_HOURS(2) + 1); /* of the second opening in a row */
    assert_true(is_tried("shop"));
}

static void an_emergency(void **state) {
    (void)state;
    begin(whole);
    fail_it("shop");
    all_is("CRITICAL");
    assert_false(emergency_forbids_writes(s.gateway));
    fail_it("stock");
    all_is("EMERGENCY");
    assert_true(emergency_forbids_writes(s.gateway));
    assert_true(emergency_sheds(s.gateway, service("search")));
    assert_false(emergency_sheds(s.gateway, service("base")));
    struct event e = last("", "emergency");
    assert_string_equal(e.to, "on");
    assert_string_equal(e.text, "2 critical services are down; measures: read_only, shed");
    mend("stock");
    mend("shop");
    all_is("HEALTHY");
    tick(SWG_SECONDS(29));
    assert_true(emergency_forbids_writes(s.gateway)); /* held */
    tick(SWG_SECONDS(1));
    assert_false(emergency_forbids_writes(s.gateway));
    assert_false(emergency_sheds(s.gateway, service("search")));
    assert_string_equal(last("", "emergency").to, "off");
}

/* ---- anything, in any order ---- */

enum { TOWN = 12 };

static void write_town(char *text, size_t size, uint64_t *random, bool critical[TOWN]) {
    int n = snprintf(text, size, "%s",
                     REST "resilience: {emergency: {read_only: true, hold: 30s},\n"
                          "  flap: {changes: 3, within: 60s, hold: 40s}}\n"
                          "services:\n  shop: {endpoints: [http://x]}\n");
    for (int i = 0; i < TOWN; i++) {
        critical[i] = random_up_to(random_next(random), 2) == 0;
        n += snprintf(text + n, size - (size_t)n,
                      "  s%d: {endpoints: [http://a%d, http://b%d], critical: %s, depends_on: [", i,
                      i, i, critical[i] ? "true" : "false");
        for (int d = 0; d < i; d++) {
            if (random_up_to(random_next(random), 3) == 0)
                n += snprintf(text + n, size - (size_t)n, "{service: s%d, soft: %s}, ", d,
                              random_next(random) & 1 ? "true" : "false");
        }
        n += snprintf(text + n, size - (size_t)n, "]}\n");
    }
}

/* One call, if the breaker lets it through, or an operator's hand. */
static void disturb(const char *name, uint64_t *random) {
    uint32_t endpoint = random_next(random) & 1;
    struct swg_breaker *b = swg_policy_breaker(service(name)->policy, endpoint);
    struct swg_permit p;
    now_ns += SWG_MS(1);
    switch (random_up_to(random_next(random), 3)) {
    case 0:
        swg_breaker_reset(b, now_ns);
        break;
    default:
        if (swg_breaker_admit(b, &p, 0, now_ns) == SWG_ADMITTED)
            swg_breaker_record(b, &p, random_next(random) & 1 ? SWG_SUCCESS : SWG_FAILURE, 0,
                               now_ns);
    }
}

/* What may be said, whatever happened before. */
static void check_town(const bool critical[TOWN]) {
    struct manager_summary all;
    struct manager_reading r;
    uint32_t down = 0, critical_down = 0;
    char name[16];
    manager_read_all(s.gateway->manager, &all);
    for (int i = 0; i < TOWN; i++) {
        snprintf(name, sizeof name, "s%d", i);
        manager_read(s.gateway->manager, service(name), &r);
        bool shut = swg_policy_state(service(name)->policy, now_ns, NULL) != SWG_CLOSED;
        assert_true(!shut || r.condition == SWG__DOWN);
        assert_true((r.condition == SWG__WORKING) == !*r.because);
        down += r.condition == SWG__DOWN;
        critical_down += r.condition == SWG__DOWN && critical[i];
        for (uint32_t d = 0; d < service(name)->options->depends_count; d++) {
            struct manager_reading on;
            const struct dependency_options *o = &service(name)->options->depends_on[d];
            manager_read(s.gateway->manager, service(o->service), &on);
            assert_true(on.condition != SWG__DOWN || r.condition != SWG__WORKING);
        }
    }
    assert_int_equal(all.count.services - all.count.working, down);
    assert_int_equal(all.count.critical_down, critical_down);
    assert_true(!critical_down || all.overall >= SWG__CRITICAL);
    assert_true((critical_down >= 2) == (all.overall == SWG__EMERGENCY));
    assert_true(all.overall != SWG__EMERGENCY || all.emergency.on);
    assert_true(emergency_forbids_writes(s.gateway) == all.emergency.on);
}

static void whatever_happens(void **state) {
    (void)state;
    static char text[16384];
    uint64_t random = 1;
    uint32_t met[4] = {0};
    bool critical[TOWN];
    write_town(text, sizeof text, &random, critical);
    begin(text);
    for (int step = 0; step < 3000; step++) {
        struct manager_summary all;
        char name[16];
        bool calm = step / 200 % 2;
        snprintf(name, sizeof name, "s%d", (int)random_up_to(random_next(&random), TOWN - 1));
        if (calm)
            mend(name);
        else
            disturb(name, &random);
        tick(random_up_to(random_next(&random), calm ? SWG_SECONDS(10) : SWG_SECONDS(1)));
        check_town(critical);
        manager_read_all(s.gateway->manager, &all);
        met[all.overall]++;
        if (step % 500 == 499) { /* other dependencies, the same services */
            write_town(text, sizeof text, &random, critical);
            reload(text);
            check_town(critical);
        }
    }
    for (int i = 0; i < 4; i++)
        assert_true(met[i] > 20);
}

/* ---- reloads ------------------------------------------------------------------------ */

/* Whichever allocation fails: what was known stays, and the next tick goes on. */
static void without_memory(void **state) {
    (void)state;
    begin(whole);
    fail_it("shop");
    for (int n = 0; n < 10; n++) {
        struct gateway_options *o = load(whole);
        assert_int_equal(gateway_reload(s.gateway, o), 0);
        gateway_options_release(o);
        allocations_left = n;
        tick(SWG_MS(1));
        bool failed = allocations_left < 0;
        allocations_left = -1;
        all_is("CRITICAL");
        is("shop", "down", "open");
        tick(SWG_MS(1));
        is("shop", "down", "open");
        if (!failed) {
            assert_true(n >= 6);
            return;
        }
    }
    fail_msg("it takes memory without end");
}

static void a_reload_keeps_what_is_known(void **state) {
    (void)state;
    static const char other[] = REST "services:\n"
                                     "  other: {endpoints: [http://x]}\n"
                                     "  stock: {endpoints: [http://b], critical: true}\n"
                                     "  shop: {endpoints: [http://a], critical: true}\n";
    begin(whole);
    fail_it("shop");
    fail_it("stock");
    uint64_t before = events_last(s.events);
    reload(other); /* without measures, and in another order */
    is("shop", "down", "open");
    is("other", "working", "");
    all_is("EMERGENCY");
    assert_false(emergency_forbids_writes(s.gateway));
    assert_string_equal(last("", "emergency").text, "2 critical services are down; measures: none");
    assert_int_equal(events_last(s.events), before + 1);
    reload(whole);
    assert_true(emergency_forbids_writes(s.gateway));
    is("search", "working", "");
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(at_first_all_works),
        TEST(a_service_that_breaks),
        TEST(one_endpoint_of_two),
        TEST(who_serves_without_is_not_down),
        TEST(what_flaps_is_held),
        TEST(dependents_are_tried_when_it_is_back),
        TEST(not_what_an_operator_has_opened),
        TEST(recovery_by_hand),
        TEST(an_emergency),
        TEST(whatever_happens),
        TEST(without_memory),
        TEST(a_reload_keeps_what_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
