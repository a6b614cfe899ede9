/* Tasks, hooks, watches, timers and stopping; the streams have stream_test.c. */
#include "helpers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <time.h>

static int setup(void **state) {
    struct loop *loop;
    int error = loop_create(&loop);
    *state = loop;
    return error;
}

static int teardown(void **state) {
    loop_destroy(*state);
    return 0;
}

/* ---- tasks --------------------------------------------------------------- */

enum { THREADS = 4, POSTS = 5000 };

struct numbered {
    struct io_task task;
    unsigned thread, number;
};

struct poster {
    struct io *io;
    unsigned thread;
};

static unsigned next_number[THREADS], all_posts;
static bool out_of_order;

static void check_order(struct io_task *task) {
    struct numbered *n = container_of(task, struct numbered, task);
    if (next_number[n->thread]++ != n->number)
        out_of_order = true;
    all_posts++;
    free(n); /* a task's memory may go while it runs */
}

static void *post_many(void *arg) {
    struct poster *p = arg;
    for (unsigned i = 0; i < POSTS; i++) {
        struct numbered *n = malloc(sizeof *n);
        *n = (struct numbered){.task.run = check_order, .thread = p->thread, .number = i};
        io_post(p->io, &n->task);
    }
    return NULL;
}

static void tasks_of_four_threads_run_once_and_in_order(void **state) {
    struct loop *loop = *state;
    pthread_t threads[THREADS];
    struct poster posters[THREADS];

    all_posts = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        next_number[i] = 0;
        posters[i] = (struct poster){loop_io(loop), i};
        assert_int_equal(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
    }
    TURN_UNTIL(loop, all_posts == THREADS * POSTS);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    turn_some(loop);
    assert_int_equal(all_posts, THREADS * POSTS);
    assert_false(out_of_order);
}

struct chain {
    struct io_task task;
    struct io *io;
    int left;
};

static void post_again(struct io_task *task) {
    struct chain *c = container_of(task, struct chain, task);
    if (c->left-- > 0)
        io_post(c->io, task);
}

/* The loop must not sleep on what it posted to itself, for which nobody wakes
 * it: with a wait without limit this would hang. */
static void a_task_may_post_itself_again(void **state) {
    struct loop *loop = *state;
    struct chain c = {.task.run = post_again, .io = loop_io(loop), .left = 10};

    io_post(loop_io(loop), &c.task);
    while (c.left >= 0)
        assert_int_equal(loop_turn(loop, -1), 0);
}

/* ---- stopping ------------------------------------------------------------ */

static void *run_loop(void *arg) {
    return (void *)(intptr_t)loop_run(arg);
}

static void another_thread_stops_a_sleeping_loop(void **state) {
    pthread_t thread;
    void *result;

    assert_int_equal(pthread_create(&thread, NULL, run_loop, *state), 0);
    loop_stop(*state);
    pthread_join(thread, &result);
    assert_null(result);
}

static void stopping_before_running_is_not_lost(void **state) {
    loop_stop(*state);
    assert_int_equal(loop_run(*state), 0);
    loop_stop(*state); /* and the loop can run again */
    assert_int_equal(loop_run(*state), 0);
}

/* ---- timers on the loop --------------------------------------------------- */

struct alarm {
    struct io_timer timer;
    struct io *io;
    uint64_t fired_at;
    struct alarm *other;
};

static void note_time(struct io_timer *t) {
    struct alarm *a = container_of(t, struct alarm, timer);
    a->fired_at = io_now(a->io);
    if (a->other)
        io_timer_set(a->io, &a->other->timer, io_now(a->io) + MS);
}

static void timers_wake_a_sleeping_loop(void **state) {
    struct loop *loop = *state;
    struct alarm second = {.io = loop_io(loop)};
    struct alarm first = {.io = loop_io(loop), .other = &second};

    io_timer_init(&first.timer, note_time);
    io_timer_init(&second.timer, note_time);
    uint64_t due = io_now(loop_io(loop)) + 3 * MS + 1;
    io_timer_set(loop_io(loop), &first.timer, due);
    while (!second.fired_at)
        assert_int_equal(loop_turn(loop, -1), 0);
    assert_true(first.fired_at >= due);
    assert_true(second.fired_at >= first.fired_at + MS);
}

static void now_stands_still_within_a_turn(void **state) {
    struct loop *loop = *state;
    struct timespec t;

    loop_turn(loop, 0);
    uint64_t now = io_now(loop_io(loop));
    clock_gettime(CLOCK_MONOTONIC, &t);
    assert_true((uint64_t)t.tv_sec * 1000 * MS + (uint64_t)t.tv_nsec >= now);
    assert_true(io_now(loop_io(loop)) == now);
}

/* ---- hooks --------------------------------------------------------------- */

struct counted {
    struct loop_hook hook;
    unsigned runs;
};

static void count_run(struct loop_hook *h) {
    container_of(h, struct counted, hook)->runs++;
}

static void remove_self(struct loop_hook *h) {
    container_of(h, struct counted, hook)->runs++;
    loop_hook_remove(h);
}

static void hooks_run_once_a_turn(void **state) {
    struct loop *loop = *state;
    struct counted kept = {.hook.run = count_run}, removed = {.hook.run = remove_self};

    loop_hook_add(loop, &removed.hook);
    loop_hook_add(loop, &kept.hook);
    for (int i = 0; i < 3; i++)
        loop_turn(loop, 0);
    assert_int_equal(kept.runs, 3);
    assert_int_equal(removed.runs, 1);
    loop_hook_remove(&kept.hook);
    loop_turn(loop, 0);
    assert_int_equal(kept.runs, 3);
}

/* ---- watches ------------------------------------------------------------- */

struct pipe_watch {
    struct io_watch watch;
    unsigned told;
    struct pipe_watch *stops; /* the other, when told */
};

static void on_pipe(struct io_watch *w, uint32_t events) {
    struct pipe_watch *p = container_of(w, struct pipe_watch, watch);
    assert_true(events & EPOLLIN);
    p->told++;
    if (p->stops)
        io_watch_stop(&p->stops->watch);
}

static void a_watch_is_told_until_it_is_read(void **state) {
    struct loop *loop = *state;
    struct pipe_watch p = {0};
    char byte;
    int fds[2];

    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    io_watch_init(&p.watch, on_pipe);
    io_watch_stop(&p.watch); /* not watching: harmless */
    assert_int_equal(io_watch_start(loop_io(loop), &p.watch, fds[0], EPOLLIN), 0);
    loop_turn(loop, 0);
    assert_int_equal(p.told, 0);
    write_text(fds[1], "x");
    loop_turn(loop, 0);
    loop_turn(loop, 0);
    assert_int_equal(p.told, 2);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    loop_turn(loop, 0);
    assert_int_equal(p.told, 2);
    write_text(fds[1], "x");
    io_watch_stop(&p.watch);
    loop_turn(loop, 0);
    assert_int_equal(p.told, 2);
    close(fds[0]);
    close(fds[1]);
}

static void a_watch_stopped_in_the_same_batch_is_not_told(void **state) {
    struct loop *loop = *state;
    struct pipe_watch a = {0}, b = {.stops = &a};
    int fds[2][2];

    a.stops = &b;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pipe2(fds[i], O_NONBLOCK), 0);
        write_text(fds[i][1], "x");
    }
    io_watch_init(&a.watch, on_pipe);
    io_watch_init(&b.watch, on_pipe);
    assert_int_equal(io_watch_start(loop_io(loop), &a.watch, fds[0][0], EPOLLIN), 0);
    assert_int_equal(io_watch_start(loop_io(loop), &b.watch, fds[1][0], EPOLLIN), 0);
    loop_turn(loop, 0);
    assert_int_equal(a.told + b.told, 1);
    io_watch_stop(&a.watch);
    io_watch_stop(&b.watch);
    for (int i = 0; i < 4; i++)
        close(fds[i / 2][i % 2]);
}

/* ---- statistics ---------------------------------------------------------- */

struct watchdog_view {
    struct io_task task;
    struct loop *loop;
    struct loop_stats seen;
};

static void look(struct io_task *task) {
    struct watchdog_view *v = container_of(task, struct watchdog_view, task);
    loop_stats(v->loop, &v->seen);
}

static void statistics_tell_a_turn_from_waiting(void **state) {
    struct loop *loop = *state;
    struct watchdog_view v = {.task.run = look, .loop = loop};
    struct loop_stats after;

    io_post(loop_io(loop), &v.task);
    loop_turn(loop, 1000);
    loop_stats(loop, &after);
    assert_true(v.seen.busy_since_ns == io_now(loop_io(loop)));
    assert_int_equal(after.busy_since_ns, 0);
    assert_int_equal(after.turns, 1);
    assert_int_equal(after.events, 1); /* the wake-up */
    assert_true(after.busy_ns == after.turn_ns_longest);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tasks_of_four_threads_run_once_and_in_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_task_may_post_itself_again, setup, teardown),
        cmocka_unit_test_setup_teardown(another_thread_stops_a_sleeping_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(stopping_before_running_is_not_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(timers_wake_a_sleeping_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(now_stands_still_within_a_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(hooks_run_once_a_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(a_watch_is_told_until_it_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_watch_stopped_in_the_same_batch_is_not_told, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(statistics_tell_a_turn_from_waiting, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
