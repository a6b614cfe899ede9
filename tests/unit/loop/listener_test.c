#include "helpers.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "loop/listener.h"

enum { ACCEPTED_MOST = 256 };

struct door {
    struct loop_listener listener;
    struct loop *loop;
    int fds[ACCEPTED_MOST];
    unsigned accepted, full, drained;
    struct sockaddr_storage peer;
    bool close_on_accept;
};

static struct door *door_of(struct loop_listener *l) {
    return container_of(l, struct door, listener);
}

static void note_accept(struct loop_listener *l, int fd, const struct sockaddr_storage *peer,
                        socklen_t len) {
    struct door *d = door_of(l);
    assert_true(d->accepted < ACCEPTED_MOST);
    assert_true(len >= sizeof(sa_family_t));
    d->fds[d->accepted++] = fd;
    d->peer = *peer;
    if (d->close_on_accept)
        loop_listener_close(l);
}

static void note_full(struct loop_listener *l, int error) {
    assert_int_equal(error, EMFILE);
    door_of(l)->full++;
}

static void note_drained(struct loop_listener *l) {
    door_of(l)->drained++;
}

static const struct loop_listener_ops door_ops = {note_accept, note_full, note_drained};

static void door_init(struct door *d, struct loop *loop) {
    memset(d, 0, sizeof *d);
    d->loop = loop;
    loop_listener_init(&d->listener, &door_ops);
}

static void door_close(struct door *d) {
    loop_listener_close(&d->listener);
    for (unsigned i = 0; i < d->accepted; i++)
        close(d->fds[i]);
}

static const struct loop_listener_options defaults = {.backlog = 0};

static int open_tcp(struct door *d, const struct loop_listener_options *options) {
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    return loop_listener_open(&d->listener, d->loop, (const struct sockaddr *)&any, sizeof any,
                              options);
}

static int dial(const struct door *d) {
    int fd = socket(d->listener.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (const struct sockaddr *)&d->listener.address, d->listener.address_len)) {
        close(fd);
        return -1;
    }
    return fd;
}

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

/* ---- tests --------------------------------------------------------------- */

static void port_zero_becomes_a_real_one(void **state) {
    struct door d;
    int on = 0, peer;
    socklen_t len = sizeof on;

    door_init(&d, *state);
    loop_listener_close(&d.listener); /* not open: harmless */
    assert_int_equal(open_tcp(&d, &defaults), 0);
    assert_int_not_equal(((struct sockaddr_in *)&d.listener.address)->sin_port, 0);
    assert_true((peer = dial(&d)) >= 0);
    TURN_UNTIL(d.loop, d.accepted == 1);
    assert_int_equal(d.peer.ss_family, AF_INET);
    assert_int_equal(((struct sockaddr_in *)&d.peer)->sin_addr.s_addr, htonl(0x7f000001));
    assert_true(fcntl(d.fds[0], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(d.fds[0], F_GETFD) & FD_CLOEXEC);
    assert_int_equal(getsockopt(d.fds[0], IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_int_equal(on, 1);
    close(peer);
    door_close(&d);
}

static void ipv6_is_separate_or_dual(void **state) {
    const struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
    struct loop_listener_options options = {.dual_stack = true};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};

    for (int dual = 0; dual < 2; dual++) {
        struct door d;
        door_init(&d, *state);
        options.dual_stack = dual;
        int error = loop_listener_open(&d.listener, d.loop, (const struct sockaddr *)&any,
                                       sizeof any, &options);
        if (error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL)
            skip();
        assert_int_equal(error, 0);
        v4.sin_port = ((struct sockaddr_in6 *)&d.listener.address)->sin6_port;
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&v4, sizeof v4), dual ? 0 : -1);
        close(fd);
        door_close(&d);
    }
}

static void a_batch_bounds_a_turn(void **state) {
    const struct loop_listener_options options = {.batch = 2};
    struct door d;
    int peers[5];

    door_init(&d, *state);
    assert_int_equal(open_tcp(&d, &options), 0);
    for (int i = 0; i < 5; i++)
        assert_true((peers[i] = dial(&d)) >= 0);
    loop_turn(d.loop, 1000);
    assert_int_equal(d.accepted, 2);
    loop_turn(d.loop, 1000);
    assert_int_equal(d.accepted, 4);
    TURN_UNTIL(d.loop, d.accepted == 5);
    assert_int_equal(d.listener.accepted, 5);
    for (int i = 0; i < 5; i++)
        close(peers[i]);
    door_close(&d);
}

static void an_address_in_use_is_an_error(void **state) {
    const struct loop_listener_options shared = {.reuse_port = true};
    const struct loop_listener_options first = {.reuse_port = true, .claim = true};
    struct door a, b;

    door_init(&a, *state);
    door_init(&b, *state);
    assert_int_equal(open_tcp(&a, &first), 0);
    const struct sockaddr *taken = (struct sockaddr *)&a.listener.address;
    socklen_t len = a.listener.address_len;
    assert_int_equal(loop_listener_open(&b.listener, b.loop, taken, len, &defaults), -EADDRINUSE);
    assert_int_equal(loop_listener_open(&b.listener, b.loop, taken, len, &first), -EADDRINUSE);
    assert_int_equal(b.listener.fd, -1);
    assert_int_equal(loop_listener_open(&b.listener, b.loop, taken, len, &shared), 0);
    door_close(&a);
    door_close(&b);
}

static void several_sockets_share_the_connections(void **state) {
    const struct loop_listener_options shared = {.reuse_port = true};
    struct door a, b;
    int peers[64];

    door_init(&a, *state);
    door_init(&b, *state);
    assert_int_equal(open_tcp(&a, &shared), 0);
    assert_int_equal(loop_listener_open(&b.listener, b.loop, (struct sockaddr *)&a.listener.address,
                                        a.listener.address_len, &shared),
                     0);
    for (int i = 0; i < 64; i++)
        assert_true((peers[i] = dial(&a)) >= 0);
    TURN_UNTIL(a.loop, a.accepted + b.accepted == 64);
    assert_true(a.accepted && b.accepted); /* 2^-63 that chance says otherwise */
    for (int i = 0; i < 64; i++)
        close(peers[i]);
    door_close(&a);
    door_close(&b);
}

static void pause_leaves_clients_in_the_queue(void **state) {
    struct door d;
    int peer;

    door_init(&d, *state);
    assert_int_equal(open_tcp(&d, &defaults), 0);
    loop_listener_pause(&d.listener);
    assert_true((peer = dial(&d)) >= 0);
    turn_some(d.loop);
    assert_int_equal(d.accepted, 0);
    loop_listener_resume(&d.listener);
    TURN_UNTIL(d.loop, d.accepted == 1);
    close(peer);
    door_close(&d);
}

static void closing_in_the_callback_ends_the_batch(void **state) {
    struct door d;
    int peers[3];

    door_init(&d, *state);
    d.close_on_accept = true;
    assert_int_equal(open_tcp(&d, &defaults), 0);
    for (int i = 0; i < 3; i++)
        assert_true((peers[i] = dial(&d)) >= 0);
    turn_some(d.loop);
    assert_int_equal(d.accepted, 1);
    for (int i = 0; i < 3; i++)
        close(peers[i]);
    door_close(&d);
}

/* ---- no descriptors left -------------------------------------------------- */

static void without_descriptors_it_waits_and_does_not_spin(void **state) {
    struct rlimit before, none;
    struct door d;
    int peers[2];

    door_init(&d, *state);
    assert_int_equal(open_tcp(&d, &defaults), 0);
    assert_true((peers[0] = dial(&d)) >= 0);
    assert_true((peers[1] = dial(&d)) >= 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    loop_turn(d.loop, 1000);
    bool told_once = d.full == 1;
    for (int i = 0; i < 50; i++)
        loop_turn(d.loop, 0); /* would try 50 times more if it were watched */
    unsigned full = d.full;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(told_once);
    assert_true(full < 10);
    assert_int_equal(d.accepted, 0);
    TURN_UNTIL(d.loop, d.accepted == 2); /* by itself, after the pause */
    for (int i = 0; i < 2; i++)
        close(peers[i]);
    door_close(&d);
}

/* ---- draining ------------------------------------------------------------- */

static void drain_loses_nobody_who_is_connected(void **state) {
    const struct loop_listener_options options = {.batch = 1, .drain_ns = 1};
    struct door d;
    int peers[40];
    char byte;

    door_init(&d, *state);
    assert_int_equal(open_tcp(&d, &options), 0);
    for (int i = 0; i < 40; i++)
        assert_true((peers[i] = dial(&d)) >= 0);
    loop_listener_drain(&d.listener);
    loop_listener_drain(&d.listener);
    TURN_UNTIL(d.loop, d.drained);
    assert_int_equal(d.drained, 1);
    assert_int_equal(d.accepted, 40);
    assert_int_equal(d.listener.fd, -1);
    for (int i = 0; i < 40; i++) {
        write_text(d.fds[i], "x");
        assert_int_equal(recv(peers[i], &byte, 1, 0), 1);
        close(peers[i]);
    }
    assert_int_equal(dial(&d), -1);
    door_close(&d);
}

/* Of a socket that somebody else has, too, nobody is accepted any more, and nobody refused. */
static void what_others_hold_is_left_to_them(void **state) {
    const struct loop_listener_options held = {.held = true, .drain_ns = 1};
    struct door d, other;
    int peers[2];

    door_init(&d, *state);
    door_init(&other, *state);
    assert_int_equal(open_tcp(&other, &defaults), 0);
    loop_listener_pause(&other.listener);
    int fd = dup(other.listener.fd);
    assert_int_equal(loop_listener_adopt(&d.listener, *state, fd, &held), 0);
    assert_true((peers[0] = dial(&other)) >= 0);
    loop_listener_drain(&d.listener);
    assert_true((peers[1] = dial(&other)) >= 0);
    TURN_UNTIL(d.loop, d.drained);
    assert_int_equal(d.accepted, 0);
    loop_listener_resume(&other.listener);
    TURN_UNTIL(d.loop, other.accepted == 2);
    close(peers[0]);
    close(peers[1]);
    door_close(&d);
    door_close(&other);
}

static void while_draining_no_new_handshake_begins(void **state) {
    struct door d;
    struct pollfd connecting = {.events = POLLOUT};

    door_init(&d, *state);
    assert_int_equal(open_tcp(&d, &defaults), 0);
    loop_listener_drain(&d.listener);
    connecting.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(
        connect(connecting.fd, (struct sockaddr *)&d.listener.address, d.listener.address_len), -1);
    assert_int_equal(errno, EINPROGRESS);
    assert_int_equal(poll(&connecting, 1, 0), 0); /* on loopback it would be there */
    assert_int_equal(d.drained, 0);
    close(connecting.fd);
    door_close(&d);
}

static void draining_wakes_a_paused_listener(void **state) {
    const struct loop_listener_options options = {.drain_ns = 1};
    struct door d;
    int peer;

    door_init(&d, *state);
    assert_int_equal(open_tcp(&d, &options), 0);
    loop_listener_pause(&d.listener);
    assert_true((peer = dial(&d)) >= 0);
    loop_listener_drain(&d.listener);
    TURN_UNTIL(d.loop, d.drained);
    assert_int_equal(d.accepted, 1);
    close(peer);
    door_close(&d);
}

/* ---- unix sockets --------------------------------------------------------- */

static struct sockaddr_un unix_address(char directory[static 32]) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(directory, "/tmp/swg-listener-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", directory);
    return address;
}

static void a_unix_socket_has_its_mode_and_leaves_no_path(void **state) {
    const struct loop_listener_options options = {.unix_mode = 0660};
    char directory[32];
    struct sockaddr_un address = unix_address(directory);
    struct door d, other;
    struct stat file;
    int peer;

    door_init(&d, *state);
    door_init(&other, *state);
    assert_int_equal(loop_listener_open(&d.listener, d.loop, (struct sockaddr *)&address,
                                        sizeof address, &options),
                     0);
    assert_int_equal(stat(address.sun_path, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0660);
    assert_int_equal(loop_listener_open(&other.listener, d.loop, (struct sockaddr *)&address,
                                        sizeof address, &defaults),
                     -EADDRINUSE); /* somebody answers there */
    /* Another loop shares it by a dup(). */
    assert_int_equal(loop_listener_adopt(&other.listener, d.loop, dup(d.listener.fd), &defaults),
                     0);
    assert_true((peer = dial(&d)) >= 0);
    /* The second is the connection by which the failed open asked who is there. */
    TURN_UNTIL(d.loop, d.accepted + other.accepted == 2);
    close(peer);
    door_close(&other);
    assert_int_equal(stat(address.sun_path, &file), 0); /* it is not the other's path */
    door_close(&d);
    assert_int_equal(stat(address.sun_path, &file), -1);
    assert_int_equal(rmdir(directory), 0);
}

static void a_stale_path_is_bound_again_but_a_file_is_left_alone(void **state) {
    char directory[32];
    struct sockaddr_un address = unix_address(directory);
    struct door d;
    int fd, peer;

    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd); /* dies, and leaves its path */
    door_init(&d, *state);
    assert_int_equal(loop_listener_open(&d.listener, d.loop, (struct sockaddr *)&address,
                                        sizeof address, &defaults),
                     0);
    assert_true((peer = dial(&d)) >= 0);
    close(peer);
    door_close(&d);

    fd = open(address.sun_path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    door_init(&d, *state);
    assert_int_equal(loop_listener_open(&d.listener, d.loop, (struct sockaddr *)&address,
                                        sizeof address, &defaults),
                     -EADDRINUSE);
    assert_int_equal(unlink(address.sun_path), 0);
    assert_int_equal(rmdir(directory), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(port_zero_becomes_a_real_one, setup, teardown),
        cmocka_unit_test_setup_teardown(ipv6_is_separate_or_dual, setup, teardown),
        cmocka_unit_test_setup_teardown(a_batch_bounds_a_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(an_address_in_use_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(several_sockets_share_the_connections, setup, teardown),
        cmocka_unit_test_setup_teardown(pause_leaves_clients_in_the_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(closing_in_the_callback_ends_the_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(without_descriptors_it_waits_and_does_not_spin, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(drain_loses_nobody_who_is_connected, setup, teardown),
        cmocka_unit_test_setup_teardown(what_others_hold_is_left_to_them, setup, teardown),
        cmocka_unit_test_setup_teardown(while_draining_no_new_handshake_begins, setup, teardown),
        cmocka_unit_test_setup_teardown(draining_wakes_a_paused_listener, setup, teardown),
        cmocka_unit_test_setup_teardown(a_unix_socket_has_its_mode_and_leaves_no_path, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_stale_path_is_bound_again_but_a_file_is_left_alone, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
