#include "helpers.h"

#include "loop/signals.h"

struct noted {
    struct loop_signals signals;
    unsigned hups, terms;
    bool close;
};

static void note_signal(struct loop_signals *s, const struct signalfd_siginfo *info) {
    struct noted *n = container_of(s, struct noted, signals);
    n->hups += info->ssi_signo == SIGHUP;
    n->terms += info->ssi_signo == SIGTERM;
    if (n->close)
        loop_signals_close(s);
}

static void signals_are_events(void **state) {
    struct noted n = {0};
    struct loop *loop;
    sigset_t set;
    (void)state;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    assert_int_equal(loop_create(&loop), 0);
    assert_int_equal(loop_signals_block(&set, NULL), 0);
    loop_signals_init(&n.signals, note_signal);
    loop_signals_close(&n.signals); /* not open: harmless */
    raise(SIGTERM);                 /* before the loop listens: not lost */
    assert_int_equal(loop_signals_open(&n.signals, loop, &set), 0);
    TURN_UNTIL(loop, n.terms == 1);
    raise(SIGHUP);
    raise(SIGTERM);
    TURN_UNTIL(loop, n.terms == 2 && n.hups == 1);
    n.close = true;
    raise(SIGHUP);
    TURN_UNTIL(loop, n.hups == 2);
    assert_int_equal(n.signals.fd, -1);
    loop_destroy(loop);
}

static void a_write_to_nobody_kills_nobody(void **state) {
    int fds[2];
    (void)state;
    make_unix_pair(fds);
    close(fds[1]);
    assert_int_equal(write(fds[0], "x", 1), -1); /* SIGPIPE is ignored by now */
    assert_int_equal(errno, EPIPE);
    close(fds[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_are_events),
        cmocka_unit_test(a_write_to_nobody_kills_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
