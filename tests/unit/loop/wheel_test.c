#include "helpers.h"

#include "loop/wheel.h"

#define SECOND (1000 * MS)
#define DAY    (86400 * SECOND)

struct timer {
    struct io_timer timer;
    unsigned fired;
    uint64_t fired_at; /* the wheel's now */
    struct wheel *wheel;
    struct timer *other;
    uint64_t again_ns;
};

static void count(struct io_timer *t) {
    struct timer *self = container_of(t, struct timer, timer);
    self->fired++;
    self->fired_at = self->wheel->now_ns;
}

static void timer_init(struct timer *t, struct wheel *w, void (*on_due)(struct io_timer *)) {
    *t = (struct timer){.wheel = w};
    io_timer_init(&t->timer, on_due);
}

/* Lets time pass as a loop would: from one wheel_next() to another. */
static void pass(struct wheel *w, uint64_t until_ns) {
    for (uint64_t next; (next = wheel_next(w)) <= until_ns;) {
        wheel_fire(w, next > w->now_ns ? next : w->now_ns);
        wheel_check(w);
    }
    wheel_fire(w, until_ns);
    wheel_check(w);
}

static void fires_at_or_after_due_and_within_a_millisecond(void **state) {
    static const uint64_t spans[] = {0,          1,           MS - 1,        MS,         MS + 1,
                                     63 * MS,    64 * MS,     65 * MS,       4095 * MS,  4096 * MS,
                                     4097 * MS,  60 * SECOND, 3600 * SECOND, DAY,        49 * DAY,
                                     3650 * DAY, 262143 * MS, 262144 * MS,   262145 * MS};
    struct wheel w;
    struct timer t;
    (void)state;

    for (uint64_t start = 0; start < 5000 * MS; start += 777777)
        for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i += 1 + start % 3) {
            wheel_init(&w, start);
            timer_init(&t, &w, count);
            wheel_set(&w, &t.timer, start + spans[i]);
            wheel_check(&w);
            if (spans[i]) {
                wheel_fire(&w, start + spans[i] - 1);
                assert_int_equal(t.fired, 0);
            }
            pass(&w, start + spans[i] + MS);
            assert_int_equal(t.fired, 1);
            assert_true(t.fired_at >= start + spans[i]);
            assert_true(t.fired_at < start + spans[i] + MS);
            assert_true(wheel_next(&w) == UINT64_MAX);
        }
}

static void next_is_never_late(void **state) {
    struct wheel w;
    struct timer t;
    (void)state;

    wheel_init(&w, 123456789);
    timer_init(&t, &w, count);
    uint64_t due = 123456789 + 7 * DAY + 13;
    wheel_set(&w, &t.timer, due);
    unsigned steps = 0;
    while (!t.fired) {
        uint64_t next = wheel_next(&w);
        assert_true(next < due + MS);
        wheel_fire(&w, next);
        steps++;
    }
    assert_true(steps <= WHEEL_LEVELS);
}

static void the_largest_time_has_a_place(void **state) {
    struct wheel w;
    struct timer t;
    (void)state;

    wheel_init(&w, 5);
    timer_init(&t, &w, count);
    wheel_set(&w, &t.timer, UINT64_MAX - 1);
    wheel_check(&w);
    pass(&w, UINT64_MAX / 2);
    assert_int_equal(t.fired, 0);
    wheel_clear(&w, &t.timer);
    assert_true(wheel_next(&w) == UINT64_MAX);
}

static void max_means_never(void **state) {
    struct wheel w;
    struct timer t;
    (void)state;

    wheel_init(&w, 0);
    timer_init(&t, &w, count);
    wheel_set(&w, &t.timer, 5 * MS);
    wheel_set(&w, &t.timer, UINT64_MAX);
    assert_true(list_empty(&t.timer.link));
    assert_true(wheel_next(&w) == UINT64_MAX);
}

static void clear_leaves_no_trace(void **state) {
    struct wheel w;
    struct timer a, b;
    (void)state;

    wheel_init(&w, 0);
    timer_init(&a, &w, count);
    timer_init(&b, &w, count);
    wheel_clear(&w, &a.timer); /* not armed: harmless */
    wheel_set(&w, &a.timer, 100 * MS);
    wheel_set(&w, &b.timer, 100 * MS);
    wheel_clear(&w, &a.timer);
    wheel_check(&w);
    assert_true(wheel_next(&w) != UINT64_MAX);
    wheel_clear(&w, &b.timer);
    wheel_check(&w);
    assert_true(wheel_next(&w) == UINT64_MAX);
    wheel_fire(&w, DAY);
    assert_int_equal(a.fired + b.fired, 0);
}

static void moving_forgets_the_old_time(void **state) {
    struct wheel w;
    struct timer t;
    (void)state;

    wheel_init(&w, 0);
    timer_init(&t, &w, count);
    wheel_set(&w, &t.timer, 10 * MS);
    wheel_set(&w, &t.timer, 5 * SECOND);
    wheel_fire(&w, 20 * MS);
    assert_int_equal(t.fired, 0);
    wheel_set(&w, &t.timer, 30 * MS);
    wheel_fire(&w, 30 * MS);
    assert_int_equal(t.fired, 1);
    wheel_fire(&w, 10 * SECOND);
    assert_int_equal(t.fired, 1);
}

static void again(struct io_timer *t) {
    struct timer *self = container_of(t, struct timer, timer);
    count(t);
    wheel_set(self->wheel, t, self->again_ns);
}

static void set_for_now_in_a_callback_waits_for_the_next_call(void **state) {
    struct wheel w;
    struct timer t;
    (void)state;

    wheel_init(&w, 0);
    timer_init(&t, &w, again);
    wheel_set(&w, &t.timer, MS);
    assert_int_equal(wheel_fire(&w, 2 * MS), 1);
    assert_int_equal(wheel_next(&w), 0);
    assert_int_equal(wheel_fire(&w, 2 * MS), 1);
    t.again_ns = UINT64_MAX;
    assert_int_equal(wheel_fire(&w, 2 * MS), 1);
    assert_int_equal(wheel_fire(&w, 2 * MS), 0);
}

static void clear_other(struct io_timer *t) {
    struct timer *self = container_of(t, struct timer, timer);
    count(t);
    wheel_clear(self->wheel, &self->other->timer);
}

static void a_callback_may_clear_another_that_is_due(void **state) {
    struct wheel w;
    struct timer a, b;
    (void)state;

    wheel_init(&w, 0);
    timer_init(&a, &w, clear_other);
    timer_init(&b, &w, clear_other);
    a.other = &b;
    b.other = &a;
    wheel_set(&w, &a.timer, MS);
    wheel_set(&w, &b.timer, MS);
    assert_int_equal(wheel_fire(&w, 3 * MS), 1);
    wheel_check(&w);
    assert_int_equal(a.fired + b.fired, 1);
    assert_true(wheel_next(&w) == UINT64_MAX);
}

static void earlier_milliseconds_fire_first(void **state) {
    struct wheel w;
    struct timer a, b, c;
    (void)state;

    wheel_init(&w, 0);
    timer_init(&a, &w, count);
    timer_init(&b, &w, clear_other);
    timer_init(&c, &w, count);
    b.other = &c;
    wheel_set(&w, &c.timer, 5000 * MS);
    wheel_set(&w, &b.timer, 4999 * MS);
    wheel_set(&w, &a.timer, 4998 * MS);
    wheel_fire(&w, 9000 * MS);
    assert_int_equal(a.fired, 1);
    assert_int_equal(b.fired, 1);
    assert_int_equal(c.fired, 0); /* b was first and cleared it */
}

static void time_that_goes_back_changes_nothing(void **state) {
    struct wheel w;
    struct timer t;
    (void)state;

    wheel_init(&w, 100 * MS);
    timer_init(&t, &w, count);
    wheel_set(&w, &t.timer, 110 * MS);
    wheel_fire(&w, 50 * MS);
    wheel_check(&w);
    assert_int_equal(t.fired, 0);
    wheel_fire(&w, 110 * MS);
    assert_int_equal(t.fired, 1);
}

static uint32_t seed;

static uint32_t random_u32(void) {
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

/* Against the simplest model there is: look at all timers each time. */
static void equals_a_plain_list_under_random_use(void **state) {
    enum { TIMERS = 200, STEPS = 20000 };
    static struct timer timers[TIMERS];
    static uint64_t due[TIMERS];
    static struct wheel w;
    uint64_t now = 987654321;
    (void)state;

    seed = 20240229;
    wheel_init(&w, now);
    for (int i = 0; i < TIMERS; i++) {
        timer_init(&timers[i], &w, count);
        due[i] = UINT64_MAX;
    }
    for (int step = 0; step < STEPS; step++) {
        int i = (int)(random_u32() % TIMERS);
        due[i] = random_u32() % 4 ? now + (random_u32() >> random_u32() % 32) * UINT64_C(1000) +
                                        (random_u32() % 100 ? 0 : DAY)
                                  : UINT64_MAX;
        timers[i].fired = 0;
        wheel_set(&w, &timers[i].timer, due[i]);
        now += random_u32() >> random_u32() % 32;
        wheel_fire(&w, now);
        wheel_check(&w);
        for (int k = 0; k < TIMERS; k++) {
            if (timers[k].fired)
                assert_true(timers[k].fired == 1 && due[k] <= now);
            else
                assert_true(due[k] == UINT64_MAX || due[k] > now - now % MS);
            if (timers[k].fired)
                due[k] = UINT64_MAX;
            timers[k].fired = 0;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fires_at_or_after_due_and_within_a_millisecond),
        cmocka_unit_test(next_is_never_late),
        cmocka_unit_test(the_largest_time_has_a_place),
        cmocka_unit_test(max_means_never),
        cmocka_unit_test(clear_leaves_no_trace),
        cmocka_unit_test(moving_forgets_the_old_time),
        cmocka_unit_test(set_for_now_in_a_callback_waits_for_the_next_call),
        cmocka_unit_test(a_callback_may_clear_another_that_is_due),
        cmocka_unit_test(earlier_milliseconds_fire_first),
        cmocka_unit_test(time_that_goes_back_changes_nothing),
        cmocka_unit_test(equals_a_plain_list_under_random_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
