/* registry_test.c - a breaker for each name: bounds, evictions, and names that share. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "engine/registry_priv.h"
#include "engine/siphash.h"

static const uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
static const struct swg_breaker_options one_failure = {.consecutive = 1};

struct scene {
    struct swg_registry *r;
    uint64_t now_ns;
};

static struct scene make(const struct swg_registry_options *o) {
    struct scene s = {.now_ns = SWG_SECONDS(1000)};
    assert_int_equal(swg_registry_create(&s.r, o, key, s.now_ns), SWG_OK);
    return s;
}

static void unmake(struct scene *s) {
    swg_registry_check(s->r);
    swg_registry_destroy(s->r);
}

static struct swg_breaker *hold(struct scene *s, const char *name) {
    struct swg_breaker *b;
    assert_int_equal(swg_registry_hold(s->r, name, strlen(name), s->now_ns, &b), SWG_OK);
    assert_non_null(b);
    return b;
}

static bool is_there(struct scene *s, const char *name) {
    struct swg_breaker *b = swg_registry_find(s->r, name, strlen(name));
    swg_registry_release(b);
    return b != NULL;
}

static void call(struct scene *s, const char *name, enum swg_outcome_kind kind) {
    struct swg_permit p;
    struct swg_breaker *b = hold(s, name);
    if (swg_breaker_admit(b, &p, 0, s->now_ns) == SWG_ADMITTED)
        swg_breaker_record(b, &p, kind, 0, s->now_ns);
    swg_registry_release(b);
}

static void call_number(struct scene *s, const char *prefix, int i, enum swg_outcome_kind kind) {
    char name[32];
    snprintf(name, sizeof(name), "%s%d", prefix, i);
    call(s, name, kind);
}

static struct swg_registry_stats read_all(struct scene *s) {
    struct swg_registry_stats stats;
    swg_registry_read(s->r, &stats, s->now_ns);
    return stats;
}

/* The first and the last of the 64 vectors of the authors' own program. */
static void test_siphash(void **state) {
    unsigned char bytes[63];
    (void)state;
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)i;
    assert_true(siphash(key, NULL, 0) == UINT64_C(0xabac0158050fc4dc));
    assert_true(siphash(key, bytes, 1) == UINT64_C(0xc9f49bf37d57ca93));
    assert_true(siphash(key, bytes, 63) == UINT64_C(0x9d199062b7bbb3a8));
    assert_true(siphash(key, bytes, 8) != siphash(key, bytes, 7));
}

static void test_options(void **state) {
    struct swg_registry *r = (void *)1;
    (void)state;
    assert_int_equal(swg_registry_create(&r, NULL, NULL, 0), SWG_ERR_INVALID);
    assert_null(r);
    struct swg_registry_options o = {.max = (1 << 24) + 1};
    assert_int_equal(swg_registry_create(&r, &o, key, 0), SWG_ERR_RANGE);
    o = (struct swg_registry_options){.name_max = 65536};
    assert_int_equal(swg_registry_create(&r, &o, key, 0), SWG_ERR_RANGE);
    o = (struct swg_registry_options){.breaker.probes = 65};
    assert_int_equal(swg_registry_create(&r, &o, key, 0), SWG_ERR_RANGE);
    assert_null(r);
    struct scene s = make(NULL);
    assert_int_equal(read_all(&s).max, 100000);
    unmake(&s);
    swg_registry_destroy(NULL);
}

static void test_a_name_is_a_breaker(void **state) {
    struct scene s = make(NULL);
    size_t length;
    (void)state;
    struct swg_breaker *a = hold(&s, "a"), *again = hold(&s, "a"), *b = hold(&s, "b");
    assert_ptr_equal(a, again);
    assert_ptr_not_equal(a, b);
    assert_memory_equal(swg_registry_name(b, &length), "b", 1);
    assert_int_equal(length, 1);
    assert_int_equal(swg_registry_entries(s.r), 2);
    assert_null(swg_registry_find(s.r, "c", 1));
    assert_int_equal(swg_registry_entries(s.r), 2);
    swg_registry_release(a);
    swg_registry_release(again);
    swg_registry_release(b);
    swg_registry_release(NULL);
    unmake(&s);
}

static void test_names_of_any_bytes(void **state) {
    struct scene s = make(&(struct swg_registry_options){.name_max = 100});
    struct swg_breaker *b[6], *too_long = (void *)1;
    char name[101];
    (void)state;
    memset(name, 'x', sizeof(name));
    const size_t lengths[] = {0, 1, 24, 25, 99, 100};
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(swg_registry_hold(s.r, name, lengths[i], s.now_ns, &b[i]), SWG_OK);
    for (unsigned i = 0; i < 6; i++) {
        size_t length;
        const char *copy = swg_registry_name(b[i], &length);
        assert_non_null(copy);
        assert_ptr_not_equal(copy, name);
        assert_int_equal(length, lengths[i]);
        assert_memory_equal(copy, name, length);
        swg_registry_release(b[i]);
    }
    assert_int_equal(swg_registry_hold(s.r, name, 101, s.now_ns, &too_long), SWG_ERR_RANGE);
    assert_null(too_long);
    assert_int_equal(swg_registry_hold(s.r, NULL, 1, s.now_ns, &too_long), SWG_ERR_INVALID);
    assert_int_equal(swg_registry_hold(s.r, "a\0b", 3, s.now_ns, &b[0]), SWG_OK);
    assert_int_equal(swg_registry_hold(s.r, "a\0c", 3, s.now_ns, &b[1]), SWG_OK);
    assert_ptr_not_equal(b[0], b[1]);
    swg_registry_release(b[0]);
    swg_registry_release(b[1]);
    unmake(&s);
}

/* One fails, the other does not notice. */
static void test_names_are_apart(void **state) {
    struct scene s = make(&(struct swg_registry_options){.breaker = one_failure});
    (void)state;
    call(&s, "sick", SWG_FAILURE);
    struct swg_breaker *sick = hold(&s, "sick"), *well = hold(&s, "well");
    assert_int_equal(swg_breaker_peek(sick, s.now_ns, NULL), SWG_REFUSED_OPEN);
    assert_int_equal(swg_breaker_peek(well, s.now_ns, NULL), SWG_ADMITTED);
    swg_registry_release(sick);
    swg_registry_release(well);
    struct swg_registry_stats stats = read_all(&s);
    assert_int_equal(stats.states[SWG_OPEN], 1);
    assert_int_equal(stats.states[SWG_CLOSED], 1);
    unmake(&s);
}

static void test_exactly_max_names(void **state) {
    struct scene s = make(&(struct swg_registry_options){.max = 2000});
    (void)state;
    for (int i = 0; i < 2000; i++)
        call_number(&s, "n", i, SWG_SUCCESS);
    struct swg_registry_stats stats = read_all(&s);
    assert_int_equal(stats.entries, 2000);
    assert_int_equal(stats.shared, 0);
    assert_int_equal(stats.total.successes, 2000);
    call(&s, "one more", SWG_SUCCESS);
    stats = read_all(&s);
    assert_int_equal(stats.entries, 2000);
    assert_int_equal(stats.shared, 1); /* nobody is idle */
    unmake(&s);
}

/* ---- full ---- */

static struct scene make_full(const struct swg_breaker_options *o, bool refuse) {
    struct scene s =
        make(&(struct swg_registry_options){.max = 3, .refuse_when_full = refuse, .breaker = *o});
    call(&s, "a", SWG_SUCCESS);
    call(&s, "b", SWG_SUCCESS);
    call(&s, "c", SWG_SUCCESS);
    return s;
}

static void test_refuse_when_full(void **state) {
    struct scene s = make_full(&one_failure, true);
    struct swg_breaker *b = (void *)1;
    (void)state;
    assert_int_equal(swg_registry_hold(s.r, "d", 1, s.now_ns, &b), SWG_ERR_FULL);
    assert_null(b);
    assert_int_equal(read_all(&s).refused_full, 1);
    call(&s, "a", SWG_SUCCESS); /* who is there is served */
    unmake(&s);
}

static void test_names_share_when_full(void **state) {
    struct scene s = make_full(&one_failure, false);
    size_t length = 9;
    (void)state;
    struct swg_breaker *d = hold(&s, "d"), *again = hold(&s, "d");
    assert_ptr_equal(d, again); /* always the same one */
    assert_null(swg_registry_name(d, &length));
    assert_int_equal(length, 0);
    assert_null(swg_registry_find(s.r, "d", 1));
    swg_registry_release(d);
    swg_registry_release(again);
    call(&s, "d", SWG_FAILURE);
    d = hold(&s, "d");
    assert_int_equal(swg_breaker_peek(d, s.now_ns, NULL), SWG_REFUSED_OPEN); /* protected */
    swg_registry_release(d);
    /* a few of all the others share with it, most do not */
    int shut = 0;
    for (int i = 0; i < 640; i++) {
        char name[16];
        snprintf(name, sizeof(name), "other-%d", i);
        struct swg_breaker *b = hold(&s, name);
        shut += swg_breaker_peek(b, s.now_ns, NULL) == SWG_REFUSED_OPEN;
        swg_registry_release(b);
    }
    assert_in_range(shut, 1, 40);
    assert_int_equal(swg_registry_entries(s.r), 3);
    unmake(&s);
}

static void test_idle_and_clean_goes(void **state) {
    struct scene s = make_full(&one_failure, true);
    struct swg_breaker *b;
    (void)state;
    s.now_ns += SWG_SECONDS(59);
    assert_int_equal(swg_registry_hold(s.r, "d", 1, s.now_ns, &b), SWG_ERR_FULL);
    s.now_ns += SWG_SECONDS(1) + SWG_MS(40); /* time of use is kept to 17 ms */
    call(&s, "a", SWG_SUCCESS);
    call(&s, "b", SWG_SUCCESS);
    call(&s, "d", SWG_SUCCESS);
    assert_true(is_there(&s, "a") && is_there(&s, "b") && is_there(&s, "d"));
    assert_false(is_there(&s, "c"));
    struct swg_registry_stats stats = read_all(&s);
    assert_int_equal(stats.evicted, 1);
    assert_int_equal(stats.created, 4);
    assert_int_equal(stats.entries, 3);
    assert_int_equal(stats.total.successes, 6); /* c's is still in it */
    unmake(&s);
}

/* All are long idle, but one reason each keeps them. */
static void expect_kept(struct scene *s) {
    struct swg_breaker *b;
    assert_int_equal(swg_registry_hold(s->r, "new", 3, s->now_ns, &b), SWG_ERR_FULL);
    swg_registry_check(s->r);
}

static void test_held_stays(void **state) {
    struct scene s = make_full(&one_failure, true);
    (void)state;
    struct swg_breaker *held[] = {hold(&s, "a"), hold(&s, "b"), hold(&s, "c")};
    s.now_ns += SWG_HOURS(1);
    expect_kept(&s);
    for (unsigned i = 0; i < 3; i++)
        swg_registry_release(held[i]);
    call(&s, "new", SWG_SUCCESS);
    unmake(&s);
}

static void test_open_and_half_open_stay(void **state) {
    struct scene s = make_full(&one_failure, true);
    struct swg_permit p;
    (void)state;
    call(&s, "a", SWG_FAILURE);
    call(&s, "b", SWG_FAILURE);
    call(&s, "c", SWG_FAILURE);
    s.now_ns += SWG_HOURS(1);
    expect_kept(&s);
    struct swg_breaker *a = hold(&s, "a");
    assert_int_equal(swg_breaker_admit(a, &p, 0, s.now_ns), SWG_ADMITTED);
    swg_breaker_record(a, &p, SWG_IGNORED, 0, s.now_ns);
    swg_registry_release(a);
    s.now_ns += SWG_HOURS(1);
    expect_kept(&s);
    unmake(&s);
}

static void test_manual_stays(void **state) {
    static const enum swg_breaker_manual manuals[] = {SWG_FORCED_OPEN, SWG_FORCED_CLOSED,
                                                      SWG_DISABLED};
    struct scene s = make_full(&one_failure, true);
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct swg_breaker *b = hold(&s, (const char *[]){"a", "b", "c"}[i]);
        swg_breaker_force(b, manuals[i], SWG_HOURS(2), s.now_ns);
        swg_registry_release(b);
    }
    s.now_ns += SWG_HOURS(1);
    expect_kept(&s);
    s.now_ns += SWG_HOURS(2);
    swg_registry_tick(s.r, s.now_ns); /* expired: b and c are closed now */
    call(&s, "new", SWG_SUCCESS);
    assert_true(is_there(&s, "a"));
    unmake(&s);
}

static void test_failures_in_the_window_stay(void **state) {
    const struct swg_breaker_options o = {.failures = 5, .window_ns = SWG_MINUTES(10)};
    struct scene s = make_full(&o, true);
    (void)state;
    call(&s, "a", SWG_FAILURE);
    call(&s, "b", SWG_FAILURE);
    call(&s, "c", SWG_FAILURE);
    call(&s, "a", SWG_SUCCESS);
    call(&s, "b", SWG_SUCCESS);
    call(&s, "c", SWG_SUCCESS);
    s.now_ns += SWG_MINUTES(8);
    expect_kept(&s);
    s.now_ns += SWG_MINUTES(4); /* the window has let them go */
    call(&s, "new", SWG_SUCCESS);
    unmake(&s);
}

/* Closed again only just, compared with how long it had been open: how often it
 * reopened is remembered. */
static void test_recently_open_stays(void **state) {
    const struct swg_breaker_options o = {
        .consecutive = 1, .open_ns = SWG_MINUTES(5), .jitter_percent = 101, .close_after = 1};
    struct scene s = make_full(&o, true);
    (void)state;
    for (int i = 0; i < 3; i++)
        call(&s, (const char *[]){"a", "b", "c"}[i], SWG_FAILURE);
    s.now_ns += SWG_MINUTES(5);
    for (int i = 0; i < 3; i++)
        call(&s, (const char *[]){"a", "b", "c"}[i], SWG_SUCCESS);
    assert_int_equal(read_all(&s).states[SWG_CLOSED], 3);
    s.now_ns += SWG_MINUTES(5);
    expect_kept(&s);
    s.now_ns += SWG_SECONDS(1);
    call(&s, "new", SWG_SUCCESS);
    unmake(&s);
}

/* A permit that outlived its breaker, by mistake, decides nothing for the next. */
static void test_stray_permit_is_late(void **state) {
    struct scene s = make_full(&one_failure, true);
    struct swg_permit stray;
    struct swg_breaker_stats stats;
    (void)state;
    struct swg_breaker *a = hold(&s, "a");
    assert_int_equal(swg_breaker_admit(a, &stray, 0, s.now_ns), SWG_ADMITTED);
    swg_registry_release(a);
    s.now_ns += SWG_HOURS(1);
    struct swg_breaker *next[] = {hold(&s, "x"), hold(&s, "y"), hold(&s, "z")};
    swg_breaker_record(a, &stray, SWG_FAILURE, 0, s.now_ns);
    swg_breaker_read(a, &stats, s.now_ns);
    assert_int_equal(stats.state, SWG_CLOSED);
    assert_int_equal(stats.late, 1);
    for (unsigned i = 0; i < 3; i++)
        swg_registry_release(next[i]);
    unmake(&s);
}

static void test_trim(void **state) {
    struct scene s = make(&(struct swg_registry_options){.breaker = one_failure});
    uint32_t count;
    (void)state;
    for (int i = 0; i < 100; i++)
        call_number(&s, "n", i, i < 10 ? SWG_FAILURE : SWG_SUCCESS);
    struct swg_breaker *b = hold(&s, "forced"), *held = hold(&s, "held");
    swg_breaker_force(b, SWG_FORCED_OPEN, SWG_NEVER, s.now_ns);
    swg_registry_release(b);
    swg_registry_trim(s.r, SWG_SECONDS(10), false, s.now_ns, &count);
    assert_int_equal(count, 0);
    s.now_ns += SWG_SECONDS(11);
    swg_registry_trim(s.r, SWG_SECONDS(10), false, s.now_ns, &count);
    assert_int_equal(count, 90);
    swg_registry_check(s.r);
    swg_registry_trim(s.r, SWG_SECONDS(10), true, s.now_ns, &count);
    assert_int_equal(count, 10);
    assert_true(is_there(&s, "forced") && is_there(&s, "held"));
    swg_registry_release(held);
    swg_registry_trim(s.r, 0, true, s.now_ns, NULL);
    assert_int_equal(swg_registry_entries(s.r), 1);
    assert_int_equal(read_all(&s).total.calls, 100);
    unmake(&s);
}

/* ---- all of them ---- */

struct heard {
    uint32_t count;
    char name[8];
    const char *cause;
    struct swg_registry *r;
};

static void hear(void *arg, const char *name, size_t length, const struct swg_breaker_event *e) {
    struct heard *h = arg;
    h->count++;
    h->cause = e->cause;
    snprintf(h->name, sizeof(h->name), "%.*s", (int)length, name ? name : "");
    /* no lock is held: whatever one likes may be done from here */
    swg_registry_tick(h->r, e->now_ns);
    struct swg_breaker *b;
    assert_int_equal(swg_registry_hold(h->r, "heard", 5, e->now_ns, &b), SWG_OK);
    swg_registry_release(b);
}

static void test_events_have_names(void **state) {
    struct scene s = make(&(struct swg_registry_options){.breaker = one_failure});
    struct heard heard = {.r = s.r};
    (void)state;
    swg_registry_listen(s.r, hear, &heard);
    call(&s, "a", SWG_FAILURE);
    assert_int_equal(heard.count, 1);
    assert_string_equal(heard.name, "a");
    assert_string_equal(heard.cause, "consecutive");
    struct swg_breaker *b = hold(&s, "b");
    swg_breaker_force(b, SWG_DISABLED, SWG_SECONDS(10), s.now_ns);
    swg_registry_release(b);
    s.now_ns += SWG_SECONDS(10);
    swg_registry_tick(s.r, s.now_ns);
    assert_int_equal(heard.count, 3);
    assert_string_equal(heard.name, "b");
    assert_string_equal(heard.cause, "expired");
    unmake(&s);
}

struct visits {
    uint32_t named, shared;
    uint64_t failures;
    struct scene *s;
};

static void visit(void *arg, const char *name, size_t length, struct swg_breaker *b) {
    struct visits *v = arg;
    struct swg_breaker_stats stats;
    swg_breaker_read(b, &stats, v->s->now_ns);
    v->failures += stats.failures;
    v->named += name != NULL;
    v->shared += name == NULL;
    assert_int_equal(length != 0, name != NULL);
    swg_breaker_reset(b, v->s->now_ns);
}

static void test_each(void **state) {
    struct scene s = make(&(struct swg_registry_options){.breaker = one_failure});
    struct visits v = {.s = &s};
    (void)state;
    for (int i = 0; i < 500; i++)
        call_number(&s, "n", i, SWG_FAILURE);
    assert_int_equal(read_all(&s).states[SWG_OPEN], 500);
    swg_registry_each(s.r, visit, &v);
    assert_int_equal(v.named, 500);
    assert_int_equal(v.shared, 64);
    assert_int_equal(v.failures, 500);
    assert_int_equal(read_all(&s).states[SWG_CLOSED], 500);
    unmake(&s);
}

static void test_busy_ones_get_wide(void **state) {
    struct scene s = make(NULL);
    struct swg_breaker_stats stats;
    (void)state;
    struct swg_breaker *b = hold(&s, "busy");
    call(&s, "quiet", SWG_SUCCESS);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < SWG__BUSY + 1; i++) {
            struct swg_permit p;
            assert_int_equal(swg_breaker_admit(b, &p, 0, s.now_ns), SWG_ADMITTED);
            swg_breaker_record(b, &p, SWG_SUCCESS, 0, s.now_ns);
        }
        swg_registry_tick(s.r, s.now_ns);
        assert_int_equal(read_all(&s).wide, 1);
    }
    swg_breaker_read(b, &stats, s.now_ns);
    assert_int_equal(stats.successes, 2 * (SWG__BUSY + 1));
    assert_int_equal(stats.window_calls, 2 * (SWG__BUSY + 1));
    swg_registry_release(b);
    s.now_ns += SWG_HOURS(1);
    swg_registry_trim(s.r, 0, false, s.now_ns, NULL);
    assert_int_equal(read_all(&s).wide, 0);
    unmake(&s);
}

static void test_configure_keeps_windows(void **state) {
    struct scene s = make(&(struct swg_registry_options){.breaker.failures = 5});
    struct swg_breaker_options o = {.failures = 3, .probes = 10, .window_ns = SWG_SECONDS(10)};
    (void)state;
    for (int i = 0; i < 300; i++) {
        call_number(&s, "n", i, SWG_FAILURE);
        call_number(&s, "n", i, SWG_FAILURE);
    }
    o.failures = 100000;
    assert_int_equal(swg_registry_configure(s.r, &o, s.now_ns), SWG_ERR_RANGE);
    o.failures = 3;
    assert_int_equal(swg_registry_configure(s.r, &o, s.now_ns), SWG_OK);
    swg_registry_check(s.r);
    assert_int_equal(read_all(&s).states[SWG_OPEN], 0);
    assert_int_equal(read_all(&s).total.window_failures, 600);
    for (int i = 0; i < 310; i++) /* the last ten are new, and have the rules too */
        call_number(&s, "n", i, SWG_FAILURE);
    assert_int_equal(read_all(&s).states[SWG_OPEN], 300);
    for (int k = 0; k < 2; k++)
        for (int i = 300; i < 310; i++)
            call_number(&s, "n", i, SWG_FAILURE);
    assert_int_equal(read_all(&s).states[SWG_OPEN], 310);
    unmake(&s);
}

/* What a name costs: measured as the allocator has it. */
static void test_memory(void **state) {
    (void)state;
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    struct scene s = make(NULL);
    for (int i = 0; i < 100000; i++)
        call_number(&s, "tenant-0123456-", i, SWG_SUCCESS);
    size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
    assert_int_equal(swg_registry_entries(s.r), 100000);
    print_message("%.0f bytes a name\n", (double)(after - before) / 100000);
    if (after > before) /* sanitizers have an allocator that does not tell */
        assert_in_range((after - before) / 100000, 400, 620);
    unmake(&s);
}

/* A flood of names cannot make it forget what it knows of a sick one. */
static void test_flood(void **state) {
    struct scene s = make(&(struct swg_registry_options){.max = 1000, .breaker = one_failure});
    (void)state;
    call(&s, "sick", SWG_FAILURE);
    for (int i = 0; i < 20000; i++) {
        call_number(&s, "flood", i, SWG_SUCCESS);
        s.now_ns += SWG_MS(100);
        if (i == 0)
            call(&s, "sick", SWG_FAILURE);
    }
    struct swg_registry_stats stats = read_all(&s);
    assert_true(is_there(&s, "sick"));
    assert_int_equal(stats.states[SWG_OPEN], 1);
    assert_int_equal(stats.entries, 1000);
    assert_int_equal(stats.shared, 0); /* idle ones made room in time */
    assert_int_equal(stats.created - stats.evicted, 1000);
    assert_int_equal(stats.total.successes, 20000);
    unmake(&s);
}

static void one_of_many_things(struct scene *s, uint64_t *random) {
    char name[40];
    uint64_t dice = random_next(random) % 1000;
    snprintf(name, sizeof(name), "%s%d", dice % 3 ? "n" : "a name too long to be kept inside ",
             (int)(random_next(random) % 60));
    s->now_ns += random_next(random) % SWG_SECONDS(2);
    if (dice < 900)
        call(s, name, random_next(random) % 10 ? SWG_SUCCESS : SWG_FAILURE);
    else if (dice < 930)
        is_there(s, name);
    else if (dice < 940)
        swg_registry_trim(s->r, SWG_SECONDS(dice % 60), dice % 2, s->now_ns, NULL);
    else if (dice < 950)
        swg_registry_tick(s->r, s->now_ns);
    else if (dice < 960)
        assert_int_equal(
            swg_registry_configure(
                s->r,
                &(struct swg_breaker_options){.failures = 1 + (uint32_t)dice % 3,
                                              .window_calls = dice % 2 ? 0 : 5 + (uint32_t)dice % 4,
                                              .probes = 1 + (uint32_t)dice % 5},
                s->now_ns),
            SWG_OK);
    else {
        struct swg_breaker *b = hold(s, name);
        swg_breaker_force(b, dice % 4, SWG_SECONDS(20), s->now_ns);
        swg_registry_release(b);
    }
}

static void test_random_deeds(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct scene s = make(&(struct swg_registry_options){.max = 40, .idle_ns = SWG_SECONDS(5)});
        uint64_t random = seed;
        for (int i = 0; i < 2000; i++) {
            one_of_many_things(&s, &random);
            if (i % 16 == 0)
                swg_registry_check(s.r);
        }
        assert_true(read_all(&s).evicted > 100);
        unmake(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_siphash),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_a_name_is_a_breaker),
        cmocka_unit_test(test_names_of_any_bytes),
        cmocka_unit_test(test_names_are_apart),
        cmocka_unit_test(test_exactly_max_names),
        cmocka_unit_test(test_refuse_when_full),
        cmocka_unit_test(test_names_share_when_full),
        cmocka_unit_test(test_idle_and_clean_goes),
        cmocka_unit_test(test_held_stays),
        cmocka_unit_test(test_open_and_half_open_stay),
        cmocka_unit_test(test_manual_stays),
        cmocka_unit_test(test_failures_in_the_window_stay),
        cmocka_unit_test(test_recently_open_stays),
        cmocka_unit_test(test_stray_permit_is_late),
        cmocka_unit_test(test_trim),
        cmocka_unit_test(test_events_have_names),
        cmocka_unit_test(test_each),
        cmocka_unit_test(test_busy_ones_get_wide),
        cmocka_unit_test(test_configure_keeps_windows),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_random_deeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
