/* snapshot_test.c - what a breaker knows survives a restart, and bytes that lie
 * do no harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <switchgear/snapshot.h>

#include "base/random.h"
#include "engine/snapshot_bytes.h"
#include "rig.h"

#define WALL_NS SWG_HOURS(24 * 365 * 50)

/* The new process: its clock began later, and is younger than most ages. */
#define LATER_NS SWG_SECONDS(50)

struct image {
    unsigned char bytes[100000];
    struct swg_snapshot_buffer buffer;
};

static struct image image;

static void keep_at(const struct swg_breaker *b, uint64_t now_ns) {
    image.buffer = (struct swg_snapshot_buffer){image.bytes, sizeof(image.bytes), 0};
    assert_int_equal(
        swg_breaker_snapshot(b, swg_snapshot_to_buffer, &image.buffer, now_ns, WALL_NS), SWG_OK);
    assert_true(image.buffer.length <= image.buffer.size);
}

static void keep(const struct rig *r) {
    keep_at(r->b, r->now_ns);
}

/* A fresh breaker that was given the image so much later. */
static struct rig *recall(struct rig *r, const struct swg_breaker_options *o, uint64_t elapsed_ns) {
    rig_make(r, o);
    r->now_ns = LATER_NS;
    r->events = 0;
    swg_breaker_destroy(r->b);
    assert_int_equal(swg_breaker_create(&r->b, o, 1, r->now_ns), SWG_OK);
    assert_int_equal(swg_breaker_restore(r->b, image.bytes, image.buffer.length, r->now_ns,
                                         WALL_NS + elapsed_ns),
                     SWG_OK);
    swg_breaker_check(r->b);
    return r;
}

static const struct swg_breaker_options plain = {.consecutive = 3,
                                                 .open_ns = SWG_SECONDS(60),
                                                 .open_max_ns = SWG_MINUTES(10),
                                                 .jitter_percent = 101};

static void test_closed_and_its_window(void **state) {
    const struct swg_breaker_options o = {
        .failures = 3, .slow_percent = 90, .calls_min = 10, .slow_call_ns = RIG_SLOW_NS};
    struct rig a, b;
    (void)state;
    rig_make(&a, &o);
    rig_feed(&a, "SSFSsF");
    keep(&a);
    recall(&b, &o, 0);
    struct swg_breaker_stats s = rig_read(&b), t = rig_read(&a);
    assert_int_equal(s.state, SWG_CLOSED);
    assert_int_equal(s.window_calls, 6);
    assert_int_equal(s.window_failures, 2);
    assert_int_equal(s.window_slow, 1);
    assert_int_equal(s.consecutive, 1);
    assert_int_equal(s.calls, t.calls);
    assert_int_equal(s.successes, t.successes);
    assert_int_equal(s.failures, t.failures);
    assert_int_equal(s.slow, t.slow);
    rig_feed(&b, "F");
    assert_int_equal(rig_state(&b), SWG_OPEN);
    rig_free(&a);
    rig_free(&b);
}

static void test_the_window_ages(void **state) {
    const struct swg_breaker_options o = {.failures = 100, .window_ns = SWG_SECONDS(10)};
    struct rig a, b;
    (void)state;
    rig_make(&a, &o);
    for (int i = 0; i < 10; i++) { /* one failure in each second */
        rig_feed(&a, "F");
        a.now_ns += SWG_SECONDS(1);
    }
    for (unsigned s = 0; s <= 20; s++) {
        keep(&a);
        recall(&b, &o, SWG_SECONDS(s));
        struct swg_breaker_stats there;
        swg_breaker_read(a.b, &there, a.now_ns + SWG_SECONDS(s));
        assert_int_equal(rig_read(&b).window_failures, there.window_failures);
        assert_int_equal(there.window_failures, s < 9 ? 9 - s : 0);
        rig_free(&b);
    }
    rig_free(&a);
}

/* A machine that has just started: everything was before its clock began. */
static void test_a_young_clock(void **state) {
    const struct swg_breaker_options o = {.failures = 100, .window_ns = SWG_SECONDS(10)};
    struct rig a, b;
    (void)state;
    rig_make(&a, &o);
    rig_feed(&a, "FF");
    keep(&a);
    rig_make(&b, &o);
    swg_breaker_listen(b.b, NULL, NULL);
    b.now_ns = 1;
    assert_int_equal(swg_breaker_restore(b.b, image.bytes, image.buffer.length, b.now_ns,
                                         WALL_NS + SWG_MS(1500)),
                     SWG_OK);
    assert_int_equal(rig_read(&b).window_failures, 2);
    assert_int_equal(rig_read(&b).since_ns, 0);
    b.now_ns += SWG_SECONDS(9);
    assert_int_equal(rig_read(&b).window_failures, 0);
    rig_free(&a);
    rig_free(&b);
}

static void test_open_for_what_is_left(void **state) {
    struct rig a, b;
    (void)state;
    rig_make(&a, &plain);
    rig_feed(&a, "FFF");
    a.now_ns += SWG_SECONDS(10);
    keep(&a);
    recall(&b, &plain, SWG_SECONDS(20));
    struct swg_breaker_stats s = rig_read(&b);
    assert_int_equal(s.state, SWG_OPEN);
    assert_true(s.open_until_ns == LATER_NS + SWG_SECONDS(30));
    assert_int_equal(rig_ask(&b), SWG_REFUSED_OPEN);
    b.now_ns += SWG_SECONDS(30);
    assert_int_equal(rig_ask(&b), SWG_ADMITTED);
    assert_int_equal(rig_state(&b), SWG_HALF_OPEN);
    rig_free(&b);
    recall(&b, &plain, SWG_HOURS(1)); /* it was down for longer than that */
    assert_true(rig_read(&b).probe_due);
    assert_int_equal(rig_ask(&b), SWG_ADMITTED);
    rig_free(&b);
    rig_free(&a);
}

static void test_never_longer_than_open_max(void **state) {
    const struct swg_breaker_options patient = {
        .consecutive = 1, .open_ns = SWG_HOURS(10), .jitter_percent = 101};
    struct rig a, b;
    (void)state;
    rig_make(&a, &patient);
    rig_feed(&a, "F");
    keep(&a);
    recall(&b, &plain, 0);
    assert_true(rig_read(&b).open_until_ns == LATER_NS + SWG_MINUTES(10));
    rig_free(&a);
    rig_free(&b);
}

/* What waits for an operator goes on to, however long it was away; and what is told to
 * come back by itself does. */
static void test_stays_open(void **state) {
    struct swg_breaker_options stays = plain;
    struct rig a, b;
    (void)state;
    stays.stay_open = true;
    rig_make(&a, &stays);
    rig_feed(&a, "FFF");
    keep(&a);
    recall(&b, &stays, SWG_HOURS(10));
    assert_true(rig_read(&b).open_until_ns == SWG_NEVER);
    rig_free(&b);
    recall(&b, &plain, SWG_HOURS(10));
    assert_true(rig_read(&b).open_until_ns == LATER_NS + SWG_MINUTES(10));
    rig_free(&b);
    swg_breaker_probe_now(a.b, a.now_ns); /* he has said so before */
    keep(&a);
    recall(&b, &stays, 0);
    assert_true(rig_read(&b).probe_due);
    rig_free(&b);
    rig_free(&a);
    rig_make(&a, &plain);
    rig_feed(&a, "FFF");
    keep(&a);
    recall(&b, &stays, 0);
    assert_true(rig_read(&b).open_until_ns == SWG_NEVER);
    rig_free(&b);
    rig_free(&a);
}

static void test_wall_clocks(void **state) {
    struct rig a, b;
    (void)state;
    rig_make(&a, &plain);
    rig_feed(&a, "FFF");
    keep(&a);
    const uint64_t walls[] = {WALL_NS - SWG_HOURS(1), 0, 1, WALL_NS};
    for (unsigned i = 0; i < 4; i++) { /* back, unknown, far back, the same: no time has passed */
        rig_make(&b, &plain);
        swg_breaker_listen(b.b, NULL, NULL);
        assert_int_equal(
            swg_breaker_restore(b.b, image.bytes, image.buffer.length, LATER_NS, walls[i]), SWG_OK);
        b.now_ns = LATER_NS;
        assert_true(rig_read(&b).open_until_ns == LATER_NS + SWG_SECONDS(60));
        rig_free(&b);
    }
    recall(&b, &plain, SWG_HOURS(24 * 365 * 400)); /* far ahead: a probe */
    assert_true(rig_read(&b).probe_due);
    rig_free(&b);
    rig_free(&a);
}

static void test_half_open_has_no_probe_out(void **state) {
    const struct swg_breaker_options o = {
        .consecutive = 1, .open_ns = SWG_SECONDS(1), .jitter_percent = 101, .close_after = 3};
    struct swg_permit lost[2];
    struct rig a, b;
    (void)state;
    rig_make(&a, &o);
    rig_feed(&a, "F");
    a.now_ns += SWG_SECONDS(1);
    rig_feed(&a, "SS");
    assert_int_equal(rig_admit(&a, &lost[0]), SWG_ADMITTED);
    assert_int_equal(rig_admit(&a, &lost[1]), SWG_ADMITTED);
    assert_int_equal(rig_ask(&a), SWG_REFUSED_HALF_OPEN_FULL);
    keep(&a);
    recall(&b, &o, 0);
    assert_int_equal(rig_state(&b), SWG_HALF_OPEN);
    assert_int_equal(rig_read(&b).probes_out, 0);
    rig_feed(&b, "S"); /* the third good one */
    assert_int_equal(rig_state(&b), SWG_CLOSED);
    rig_free(&b);
    /* given to itself: what was out is of another generation */
    assert_int_equal(swg_breaker_restore(a.b, image.bytes, image.buffer.length, a.now_ns, WALL_NS),
                     SWG_OK);
    assert_int_equal(rig_read(&a).probes_out, 0);
    rig_record(&a, &lost[0], SWG_FAILURE);
    rig_record(&a, &lost[1], SWG_SUCCESS);
    assert_int_equal(rig_state(&a), SWG_HALF_OPEN);
    assert_int_equal(rig_read(&a).late, 2);
    rig_free(&a);
}

static void test_manual_control(void **state) {
    static const enum swg_breaker_manual manuals[] = {SWG_FORCED_OPEN, SWG_FORCED_CLOSED,
                                                      SWG_DISABLED};
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct rig a, b;
        rig_make(&a, &plain);
        swg_breaker_force(a.b, manuals[i], SWG_MINUTES(10), a.now_ns);
        a.now_ns += SWG_MINUTES(1);
        keep(&a);
        recall(&b, &plain, SWG_MINUTES(2));
        struct swg_breaker_stats s = rig_read(&b);
        assert_int_equal(s.manual, manuals[i]);
        assert_true(s.manual_until_ns == LATER_NS + SWG_MINUTES(7));
        b.now_ns += SWG_MINUTES(7);
        swg_breaker_tick(b.b, b.now_ns);
        assert_int_equal(rig_read(&b).manual, SWG_AUTOMATIC);
        rig_free(&b);
        recall(&b, &plain, SWG_MINUTES(9)); /* ended while nobody ran */
        s = rig_read(&b);
        assert_int_equal(s.manual, SWG_AUTOMATIC);
        assert_int_equal(s.state, i == 0 ? SWG_HALF_OPEN : SWG_CLOSED);
        assert_int_equal(s.window_calls, 0);
        rig_free(&b);
        swg_breaker_force(a.b, manuals[i], SWG_NEVER, a.now_ns);
        keep(&a);
        recall(&b, &plain, SWG_HOURS(10000));
        assert_int_equal(rig_read(&b).manual, manuals[i]);
        assert_true(rig_read(&b).manual_until_ns == SWG_NEVER);
        rig_free(&b);
        rig_free(&a);
    }
}

static void test_reopenings(void **state) {
    struct rig a, b;
    (void)state;
    rig_make(&a, &plain);
    rig_feed(&a, "FFF");
    for (uint64_t open_s = 60; open_s <= 240; open_s *= 2) {
        a.now_ns += SWG_SECONDS(open_s);
        rig_feed(&a, "F");
    }
    keep(&a);
    recall(&b, &plain, SWG_SECONDS(480));
    assert_int_equal(rig_read(&b).reopenings, 3);
    rig_feed(&b, "F");
    assert_true(rig_read(&b).open_until_ns == b.now_ns + SWG_MINUTES(10)); /* 960 s, capped */
    rig_free(&b);
    /* closed, and for longer than it had been open: forgotten, though the clock is young */
    a.now_ns += SWG_SECONDS(480);
    rig_feed(&a, "SS");
    assert_int_equal(rig_state(&a), SWG_CLOSED);
    keep(&a);
    recall(&b, &plain, SWG_SECONDS(481));
    assert_int_equal(rig_read(&b).reopenings, 0);
    rig_feed(&b, "FFF");
    assert_true(rig_read(&b).open_until_ns == b.now_ns + SWG_SECONDS(60));
    rig_free(&b);
    rig_free(&a);
}

static void test_totals_and_history(void **state) {
    struct rig a, b;
    (void)state;
    rig_make(&a, &plain);
    rig_feed(&a, "SSFOICFF");
    for (int i = 0; i < 5; i++)
        assert_int_equal(rig_ask(&a), SWG_REFUSED_OPEN);
    swg_breaker_note_failure(a.b, 2, a.now_ns);
    struct swg_breaker_stats s = rig_read(&a), t;
    keep(&a);
    rig_make(&b, &plain);
    b.events = (uint32_t)s.events; /* the rig checks that there is no gap */
    assert_int_equal(swg_breaker_restore(b.b, image.bytes, image.buffer.length, b.now_ns, WALL_NS),
                     SWG_OK);
    t = rig_read(&b);
    assert_int_equal(b.events, s.events + 1);
    assert_string_equal(b.event[s.events].cause, "restored");
    assert_int_equal(b.event[s.events].to, SWG_OPEN);
    assert_true(b.event[s.events].open_until_ns == t.open_until_ns);
    assert_int_equal(t.calls, s.calls);
    assert_int_equal(t.successes, s.successes);
    assert_int_equal(t.failures, s.failures);
    assert_int_equal(t.overloads, s.overloads);
    assert_int_equal(t.cancelled, s.cancelled);
    assert_int_equal(t.ignored, s.ignored);
    assert_memory_equal(t.refused, s.refused, sizeof(t.refused));
    assert_true(t.last_failure_ns == b.now_ns && t.last_success_ns == b.now_ns);
    rig_free(&a);
    rig_free(&b);
}

static void test_a_ramp_goes_on(void **state) {
    const struct swg_breaker_options o = {.consecutive = 1,
                                          .open_ns = SWG_SECONDS(1),
                                          .jitter_percent = 101,
                                          .close_after = 1,
                                          .ramp_ns = SWG_SECONDS(100)};
    struct rig a, b;
    (void)state;
    rig_make(&a, &o);
    rig_feed(&a, "F");
    a.now_ns += SWG_SECONDS(1);
    rig_feed(&a, "S");
    a.now_ns += SWG_SECONDS(10);
    keep(&a);
    struct swg_permit p;
    recall(&b, &o, 0);
    assert_int_equal(swg_breaker_admit(b.b, &p, UINT64_MAX, b.now_ns), SWG_REFUSED_RAMPING);
    rig_free(&b);
    recall(&b, &o, SWG_SECONDS(90));
    assert_int_equal(swg_breaker_admit(b.b, &p, UINT64_MAX, b.now_ns), SWG_ADMITTED);
    swg_breaker_record(b.b, &p, SWG_SUCCESS, 0, b.now_ns);
    rig_free(&b);
    rig_free(&a);
}

static void test_windows_of_other_sizes(void **state) {
    struct rig a, b;
    (void)state;
    rig_make(&a, &(struct swg_breaker_options){.failures = 9, .window_calls = 20});
    rig_feed(&a, "FSSSSSSSSSSFSSSFSF"); /* 18 calls, 4 failures */
    keep(&a);
    recall(&b, &(struct swg_breaker_options){.failures = 9, .window_calls = 40}, 0);
    assert_int_equal(rig_read(&b).window_calls, 18);
    assert_int_equal(rig_read(&b).window_failures, 4);
    rig_free(&b);
    recall(&b, &(struct swg_breaker_options){.failures = 9, .window_calls = 10}, 0);
    assert_int_equal(rig_read(&b).window_calls, 10);
    assert_int_equal(rig_read(&b).window_failures, 3);
    rig_free(&b);
    recall(&b, &(struct swg_breaker_options){.failures = 9}, 0); /* of another kind */
    assert_int_equal(rig_read(&b).window_calls, 0);
    rig_free(&b);
    rig_free(&a);
    rig_make(&a, &(struct swg_breaker_options){.failures = 9, .window_ns = SWG_SECONDS(10)});
    rig_feed(&a, "FFS");
    keep(&a);
    recall(&b, &(struct swg_breaker_options){.failures = 9, .window_ns = SWG_MINUTES(10)}, 0);
    assert_int_equal(rig_read(&b).window_failures, 2);
    b.now_ns += SWG_SECONDS(500);
    assert_int_equal(rig_read(&b).window_failures, 2);
    rig_free(&b);
    rig_free(&a);
}

/* After it, the copy decides as the original does: the same calls, refusals and
 * changes, for random lives. */
static void live(struct rig *r, uint64_t *random, char *trace, int steps) {
    for (int i = 0; i < steps; i++) {
        struct swg_permit p;
        uint64_t dice = random_next(random);
        r->now_ns += dice % SWG_MS(300);
        enum swg_refusal refusal = swg_breaker_admit(r->b, &p, 0, r->now_ns);
        trace[i] = (char)('a' + refusal);
        if (!refusal) {
            if (dice >> 60 == 1)
                p.started_ns = r->now_ns > RIG_SLOW_NS ? r->now_ns - RIG_SLOW_NS : 0;
            bool sick = (dice >> 20) % 100 < 30;
            swg_breaker_record(r->b, &p, sick ? SWG_FAILURE : SWG_SUCCESS, 0, r->now_ns);
        }
        swg_breaker_check(r->b);
    }
}

static void test_a_copy_lives_the_same_life(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rig a, b;
        char before[500], after_a[500], after_b[500];
        uint64_t random = seed, again;
        const struct swg_breaker_options o = {
            .failures = 4 + (uint32_t)seed % 5,
            .failure_percent = seed % 3 ? 50 : 0,
            .slow_percent = seed % 2 ? 60 : 0,
            .slow_call_ns = RIG_SLOW_NS,
            .calls_min = 5,
            .window_calls = seed % 4 ? 0 : 10 + (uint32_t)seed % 17,
            .window_ns = SWG_MS(500) + SWG_MS(seed * 10),
            .jitter_percent = 101,
            .open_ns = SWG_MS(700),
            .open_max_ns = SWG_SECONDS(5),
            .ramp_ns = SWG_OFF,
        };
        rig_make(&a, &o);
        swg_breaker_listen(a.b, NULL, NULL);
        live(&a, &random, before, 20 + (int)(seed % 100));
        keep(&a);
        rig_make(&b, &o);
        swg_breaker_listen(b.b, NULL, NULL);
        b.now_ns = a.now_ns + SWG_HOURS(5); /* another clock */
        assert_int_equal(
            swg_breaker_restore(b.b, image.bytes, image.buffer.length, b.now_ns, WALL_NS), SWG_OK);
        again = random;
        live(&a, &random, after_a, 500);
        live(&b, &again, after_b, 500);
        assert_memory_equal(after_a, after_b, 500);
        rig_free(&a);
        rig_free(&b);
    }
}

/* ---- bytes that are not right ---- */

static void expect_untouched(struct rig *r, const void *bytes, size_t length,
                             enum swg_error expected) {
    struct swg_breaker_stats before = rig_read(r), after;
    enum swg_error error = swg_breaker_restore(r->b, bytes, length, r->now_ns, WALL_NS);
    assert_int_equal(error, expected);
    after = rig_read(r);
    assert_memory_equal(&before, &after, sizeof(before));
}

static void test_damage_is_found(void **state) {
    struct rig a, b;
    (void)state;
    rig_make(&a, &(struct swg_breaker_options){
                     .failures = 9, .slow_percent = 90, .window_calls = 20, .calls_min = 20});
    rig_feed(&a, "FSsSFSSs");
    keep(&a);
    rig_make(&b, &plain);
    size_t length = image.buffer.length;
    for (size_t n = 0; n < length; n++)
        expect_untouched(&b, image.bytes, n, SWG_ERR_CORRUPT);
    for (size_t bit = 0; bit < length * 8; bit++) {
        image.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        bool version = bit / 8 == 4 || bit / 8 == length - 24 + 4;
        expect_untouched(&b, image.bytes, length, version ? SWG_ERR_VERSION : SWG_ERR_CORRUPT);
        image.bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    image.bytes[length] = 0; /* and something after the end */
    expect_untouched(&b, image.bytes, length + 1, SWG_ERR_CORRUPT);
    expect_untouched(&b, NULL, 0, SWG_ERR_INVALID);
    expect_untouched(&b, image.bytes + length - 24, 24, SWG_ERR_CORRUPT); /* counts one too many */
    assert_int_equal(swg_breaker_restore(b.b, image.bytes, length, b.now_ns, WALL_NS), SWG_OK);
    rig_free(&a);
    rig_free(&b);
}

/* Makes the checksum of the first frame right again. */
static void mend(void) {
    size_t length = image.buffer.length - 24 - 16;
    uint32_t crc = swg__crc32c(0, image.bytes, 12 + length);
    for (int i = 0; i < 4; i++)
        image.bytes[12 + length + (size_t)i] = (unsigned char)(crc >> (8 * i));
}

/* What no breaker is in at once. */
static void test_states_that_contradict(void **state) {
    (void)state;
    for (unsigned i = 0; i < 4 * 5; i++) {
        struct rig a, b;
        unsigned char *at = image.bytes + 12 + 8 + 4;
        rig_make(&a, &plain);
        keep(&a);
        at[0] = (unsigned char)(i % 4);
        at[1] = (unsigned char)(i / 4);
        mend();
        rig_make(&b, &plain);
        swg_breaker_listen(b.b, NULL, NULL);
        bool good = at[0] <= SWG_HALF_OPEN &&
                    (at[1] == SWG_AUTOMATIC || (at[1] == SWG_FORCED_OPEN && at[0] == SWG_OPEN) ||
                     (at[1] == SWG_FORCED_CLOSED && at[0] == SWG_CLOSED) ||
                     (at[1] == SWG_DISABLED && at[0] == SWG_CLOSED));
        assert_int_equal(
            swg_breaker_restore(b.b, image.bytes, image.buffer.length, b.now_ns, WALL_NS),
            good ? SWG_OK : SWG_ERR_CORRUPT);
        rig_free(&a);
        rig_free(&b);
    }
}

/* Whatever was accepted: sound, and it recovers when its service does. */
static void expect_recovery(struct rig *r) {
    struct swg_breaker_stats s = rig_read(r);
    if (s.manual != SWG_AUTOMATIC)
        swg_breaker_force(r->b, SWG_AUTOMATIC, SWG_NEVER, r->now_ns);
    for (int i = 0; i < 60 && (i < 5 || rig_state(r) != SWG_CLOSED); i++) {
        struct swg_permit p;
        r->now_ns += SWG_MINUTES(10);
        if (rig_admit(r, &p) == SWG_ADMITTED)
            rig_record(r, &p, SWG_SUCCESS);
    }
    assert_int_equal(rig_state(r), SWG_CLOSED);
}

static void test_lies_do_no_harm(void **state) {
    (void)state;
    uint32_t accepted = 0;
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        struct rig a, b;
        uint64_t random = seed;
        const struct swg_breaker_options o = {.failures = 9,
                                              .slow_percent = 90,
                                              .calls_min = 20,
                                              .window_calls = seed % 2 ? 20 : 0,
                                              .ramp_ns = seed % 3 ? 0 : SWG_SECONDS(5)};
        rig_make(&a, &o);
        rig_feed(&a, "FSsSFSSs");
        if (seed % 5 == 0)
            rig_feed(&a, "FFFFFFF");
        keep(&a);
        rig_free(&a);
        for (uint64_t n = 1 + random_next(&random) % 4; n > 0; n--) {
            static const unsigned char telling[] = {0, 1, 2, 3, 4, 127, 128, 255};
            size_t at = 12 + random_next(&random) % (image.buffer.length - 24 - 16);
            uint64_t dice = random_next(&random);
            size_t run = dice % 3 ? 1 : 8; /* whole numbers too */
            for (size_t i = at; i < at + run && i < image.buffer.length - 28; i++)
                image.bytes[i] = telling[(dice >> 8) % 8];
        }
        mend();
        rig_make(&b, &plain);
        swg_breaker_listen(b.b, NULL, NULL);
        enum swg_error error =
            swg_breaker_restore(b.b, image.bytes, image.buffer.length, b.now_ns, WALL_NS + seed);
        swg_breaker_check(b.b);
        assert_true(error == SWG_OK || error == SWG_ERR_CORRUPT);
        accepted += error == SWG_OK;
        expect_recovery(&b);
        rig_free(&b);
    }
    assert_in_range(accepted, 2000, 19000); /* both were tried */
}

/* ---- sinks ---- */

static bool refuse_after(void *arg, const void *bytes, size_t length) {
    size_t *left = arg;
    (void)bytes;
    if (length > *left)
        return false;
    *left -= length;
    return true;
}

static void test_sinks(void **state) {
    struct rig a;
    unsigned char few[10] = {0};
    struct swg_snapshot_buffer small = {few, sizeof(few), 0};
    (void)state;
    rig_make(&a, NULL);
    keep(&a);
    assert_int_equal(swg_breaker_snapshot(a.b, swg_snapshot_to_buffer, &small, a.now_ns, WALL_NS),
                     SWG_OK);
    assert_int_equal(small.length, image.buffer.length);
    assert_memory_equal(few, image.bytes, sizeof(few));
    size_t left = 100;
    assert_int_equal(swg_breaker_snapshot(a.b, refuse_after, &left, a.now_ns, 0),
                     SWG_ERR_CANCELLED);
    rig_free(&a);
}

/* ---- policies and registries ---- */

static const struct swg_endpoint_options three[] = {{"a", 1}, {"b", 1}, {"c", 1}};

static struct swg_policy *make_policy(const struct swg_endpoint_options *e, uint32_t count) {
    struct swg_policy *p;
    const struct swg_policy_options o = {.endpoints = e, .endpoint_count = count, .breaker = plain};
    assert_int_equal(swg_policy_create(&p, &o, 1, RIG_START_NS), SWG_OK);
    return p;
}

static void test_policy(void **state) {
    static const struct swg_endpoint_options others[] = {{"c", 1}, {"d", 1}, {"b", 1}};
    struct swg_policy *p = make_policy(three, 3), *q = make_policy(others, 3);
    uint32_t count;
    (void)state;
    swg_breaker_force(swg_policy_breaker(p, 0), SWG_FORCED_OPEN, SWG_NEVER, RIG_START_NS);
    swg_breaker_force(swg_policy_breaker(p, 1), SWG_DISABLED, SWG_NEVER, RIG_START_NS);
    image.buffer = (struct swg_snapshot_buffer){image.bytes, sizeof(image.bytes), 0};
    assert_int_equal(
        swg_policy_snapshot(p, swg_snapshot_to_buffer, &image.buffer, RIG_START_NS, WALL_NS),
        SWG_OK);
    assert_int_equal(
        swg_policy_restore(q, image.bytes, image.buffer.length - 1, RIG_START_NS, WALL_NS, &count),
        SWG_ERR_CORRUPT);
    assert_int_equal(count, 0);
    assert_int_equal(
        swg_policy_restore(q, image.bytes, image.buffer.length, RIG_START_NS, WALL_NS, &count),
        SWG_OK);
    assert_int_equal(count, 2);
    struct swg_breaker_stats s;
    swg_breaker_read(swg_policy_breaker(q, 2), &s, RIG_START_NS);
    assert_int_equal(s.manual, SWG_DISABLED);
    for (uint32_t i = 0; i < 2; i++) {
        swg_breaker_read(swg_policy_breaker(q, i), &s, RIG_START_NS);
        assert_int_equal(s.manual, SWG_AUTOMATIC);
    }
    swg_policy_check(q);
    swg_policy_release(p);
    swg_policy_release(q);
}

static struct swg_registry *make_registry(uint32_t max) {
    struct swg_registry *r;
    const uint64_t key[2] = {max, 2};
    const struct swg_registry_options o = {.max = max, .breaker = {.consecutive = 1}};
    assert_int_equal(swg_registry_create(&r, &o, key, RIG_START_NS), SWG_OK);
    return r;
}

static void call_names(struct swg_registry *r, int count, enum swg_outcome_kind kind) {
    for (int i = 0; i < count; i++) {
        char name[16];
        struct swg_breaker *b;
        struct swg_permit p;
        int length = snprintf(name, sizeof(name), "%c%d", kind == SWG_FAILURE ? 'f' : 's', i);
        assert_int_equal(swg_registry_hold(r, name, (size_t)length, RIG_START_NS, &b), SWG_OK);
        if (swg_breaker_admit(b, &p, 0, RIG_START_NS) == SWG_ADMITTED)
            swg_breaker_record(b, &p, kind, 0, RIG_START_NS);
        swg_registry_release(b);
    }
}

static void restore_into(uint32_t max, uint32_t expected) {
    struct swg_registry *r = make_registry(max);
    struct swg_registry_stats stats;
    uint32_t count;
    assert_int_equal(
        swg_registry_restore(r, image.bytes, image.buffer.length, RIG_START_NS, WALL_NS, &count),
        SWG_OK);
    swg_registry_check(r);
    assert_int_equal(count, expected);
    swg_registry_read(r, &stats, RIG_START_NS);
    assert_int_equal(stats.entries, expected);
    assert_int_equal(stats.states[SWG_OPEN], expected);
    swg_registry_destroy(r);
}

static void test_registry(void **state) {
    struct swg_registry *r = make_registry(1000);
    (void)state;
    call_names(r, 100, SWG_FAILURE);
    call_names(r, 500, SWG_SUCCESS); /* these know nothing worth keeping */
    image.buffer = (struct swg_snapshot_buffer){image.bytes, sizeof(image.bytes), 0};
    assert_int_equal(
        swg_registry_snapshot(r, swg_snapshot_to_buffer, &image.buffer, RIG_START_NS, WALL_NS),
        SWG_OK);
    assert_true(image.buffer.length <= image.buffer.size);
    restore_into(5000, 100);
    restore_into(30, 30); /* as many as there is room for */
    struct swg_breaker *b;
    assert_int_equal(swg_breaker_create(&b, NULL, 1, 1), SWG_OK);
    assert_int_equal(swg_breaker_restore(b, image.bytes, image.buffer.length, 1, 0), SWG_OK);
    swg_breaker_destroy(b);
    swg_registry_destroy(r);
}

static void test_nothing_in_it(void **state) {
    struct swg_registry *r = make_registry(10);
    struct swg_breaker *b;
    (void)state;
    image.buffer = (struct swg_snapshot_buffer){image.bytes, sizeof(image.bytes), 0};
    assert_int_equal(
        swg_registry_snapshot(r, swg_snapshot_to_buffer, &image.buffer, RIG_START_NS, WALL_NS),
        SWG_OK);
    assert_int_equal(image.buffer.length, 24);
    assert_int_equal(swg_breaker_create(&b, NULL, 1, 1), SWG_OK);
    assert_int_equal(swg_breaker_restore(b, image.bytes, 24, 1, 0), SWG_ERR_NOT_FOUND);
    swg_breaker_destroy(b);
    swg_registry_destroy(r);
}

static void test_checksum(void **state) {
    (void)state;
    assert_true(swg__crc32c(0, "123456789", 9) == UINT32_C(0xe3069283)); /* RFC 3720, B.4 */
    assert_true(swg__crc32c(swg__crc32c(0, "1234", 4), "56789", 5) == UINT32_C(0xe3069283));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksum),
        cmocka_unit_test(test_closed_and_its_window),
        cmocka_unit_test(test_the_window_ages),
        cmocka_unit_test(test_a_young_clock),
        cmocka_unit_test(test_open_for_what_is_left),
        cmocka_unit_test(test_never_longer_than_open_max),
        cmocka_unit_test(test_stays_open),
        cmocka_unit_test(test_wall_clocks),
        cmocka_unit_test(test_half_open_has_no_probe_out),
        cmocka_unit_test(test_manual_control),
        cmocka_unit_test(test_reopenings),
        cmocka_unit_test(test_totals_and_history),
        cmocka_unit_test(test_a_ramp_goes_on),
        cmocka_unit_test(test_windows_of_other_sizes),
        cmocka_unit_test(test_a_copy_lives_the_same_life),
        cmocka_unit_test(test_damage_is_found),
        cmocka_unit_test(test_states_that_contradict),
        cmocka_unit_test(test_lies_do_no_harm),
        cmocka_unit_test(test_sinks),
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_registry),
        cmocka_unit_test(test_nothing_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
