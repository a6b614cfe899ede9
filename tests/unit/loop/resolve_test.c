/* Names, against /etc/hosts and a name server of the test's own. */
#include "helpers.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>

#include "loop/resolve.h"

/* ---- a name server ------------------------------------------------------- */

/* Watched by the same loop. Answers A questions with `addresses` records
 * 10.0.0.1, 10.0.0.2, … of TTL 77, AAAA questions with none, "nosuch" with
 * NXDOMAIN, and "silent" not at all. */
struct server {
    struct io_watch watch;
    int fd;
    unsigned addresses, questions;
    char text[32]; /* 127.0.0.1:port */
};

static size_t put_record(unsigned char *at, unsigned i) {
    const unsigned char record[] = {0xc0, 12, 0, 1, 0,  1, 0, 0,
                                    0,    77, 0, 4, 10, 0, 0, (unsigned char)(i + 1)};
    memcpy(at, record, sizeof record);
    return sizeof record;
}

static void answer(struct io_watch *w, uint32_t events) {
    struct server *s = container_of(w, struct server, watch);
    unsigned char m[1500];
    struct sockaddr_storage from;
    socklen_t from_len = sizeof from;
    (void)events;

    ssize_t n = recvfrom(s->fd, m, 512, MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
    if (n < 17)
        return;
    s->questions++;
    size_t len = 12;
    bool nosuch = memcmp(m + 13, "nosuch", 6) == 0, silent = memcmp(m + 13, "silent", 6) == 0;
    while (m[len])
        len += m[len] + 1u;
    bool is_a = m[len + 2] == 1;
    len += 5;
    unsigned count = is_a && !nosuch ? s->addresses : 0;
    m[2] = 0x84 | (m[2] & 1);
    m[3] = nosuch ? 0x83 : 0x80;
    memset(m + 6, 0, 6); /* answers, authorities, additional */
    m[7] = (unsigned char)count;
    for (unsigned i = 0; i < count; i++)
        len += put_record(m + len, i);
    if (!silent)
        assert_true(sendto(s->fd, m, len, 0, (struct sockaddr *)&from, from_len) > 0);
}

static void server_open(struct server *s, struct loop *loop) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t len = sizeof address;

    memset(s, 0, sizeof *s);
    s->addresses = 1;
    s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&address, &len), 0);
    snprintf(s->text, sizeof s->text, "127.0.0.1:%u", ntohs(address.sin_port));
    io_watch_init(&s->watch, answer);
    assert_int_equal(io_watch_start(loop_io(loop), &s->watch, s->fd, 1 /* EPOLLIN */), 0);
}

/* ---- the asking side ------------------------------------------------------ */

struct asking {
    struct loop_resolve resolve;
    unsigned told;
    int status;
    struct loop_resolver *destroys;
};

static void note_answer(struct loop_resolve *q, int status) {
    struct asking *a = container_of(q, struct asking, resolve);
    a->told++;
    a->status = status;
    if (a->destroys)
        loop_resolver_destroy(a->destroys);
}

struct world {
    struct loop *loop;
    struct loop_resolver *resolver;
    struct server server;
};

static int setup(void **state) {
    struct world *w = calloc(1, sizeof *w);
    assert_int_equal(loop_create(&w->loop), 0);
    server_open(&w->server, w->loop);
    const struct loop_resolver_options options = {.servers = w->server.text, .try_ms = 10000};
    assert_int_equal(loop_resolver_create(&w->resolver, w->loop, &options), 0);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    struct world *w = *state;
    loop_resolver_destroy(w->resolver);
    io_watch_stop(&w->server.watch);
    close(w->server.fd);
    loop_destroy(w->loop);
    free(w);
    return 0;
}

static int start(struct world *w, struct asking *a, const char *name, uint64_t limit_ns) {
    memset(a, 0, sizeof *a);
    a->resolve.on_done = note_answer;
    return loop_resolve_start(w->resolver, &a->resolve, name, 8080, limit_ns);
}

static int resolve(struct world *w, struct asking *a, const char *name) {
    assert_int_equal(start(w, a, name, 30000 * MS), 0);
    assert_int_equal(a->told, 0); /* never inside the call */
    TURN_UNTIL(w->loop, a->told);
    turn_some(w->loop);
    assert_int_equal(a->told, 1);
    assert_null(a->resolve.lookup);
    return a->status;
}

static const char *text_of(const struct asking *a, unsigned i) {
    static char text[INET6_ADDRSTRLEN + 8];
    char host[INET6_ADDRSTRLEN];
    const union loop_address *at = &a->resolve.addresses[i];
    bool v6 = at->any.sa_family == AF_INET6;
    const void *bits = v6 ? (const void *)&at->v6.sin6_addr : (const void *)&at->v4.sin_addr;
    inet_ntop(at->any.sa_family, bits, host, sizeof host);
    snprintf(text, sizeof text, "%s %u", host, ntohs(v6 ? at->v6.sin6_port : at->v4.sin_port));
    return text;
}

/* ---- tests --------------------------------------------------------------- */

static void numbers_need_nobody(void **state) {
    struct world *w = *state;
    struct asking a;

    assert_int_equal(resolve(w, &a, "192.0.2.7"), 0);
    assert_int_equal(a.resolve.count, 1);
    assert_string_equal(text_of(&a, 0), "192.0.2.7 8080");
    assert_int_equal(resolve(w, &a, "2001:db8::1"), 0);
    assert_string_equal(text_of(&a, 0), "2001:db8::1 8080");
    assert_int_equal(resolve(w, &a, "[::1]"), 0);
    assert_string_equal(text_of(&a, 0), "::1 8080");
    assert_int_equal(w->server.questions, 0);
}

static void localhost_is_this_host(void **state) {
    struct world *w = *state;
    struct asking a;

    assert_int_equal(resolve(w, &a, "localhost"), 0);
    assert_true(a.resolve.count >= 1);
    for (unsigned i = 0; i < a.resolve.count; i++)
        assert_true(!strcmp(text_of(&a, i), "127.0.0.1 8080") ||
                    !strcmp(text_of(&a, i), "::1 8080"));
    assert_int_equal(w->server.questions, 0);
}

static void names_are_asked_for(void **state) {
    struct world *w = *state;
    struct asking a;

    w->server.addresses = 3;
    assert_int_equal(resolve(w, &a, "api.example.test"), 0);
    assert_true(w->server.questions > 0);
    assert_int_equal(a.resolve.count, 3);
    assert_int_equal(a.resolve.ttl_s, 77);
    for (unsigned i = 0; i < 3; i++)
        assert_memory_equal(text_of(&a, i), "10.0.0.", 7);
}

static void more_addresses_than_there_is_room_for(void **state) {
    struct world *w = *state;
    struct asking a;

    w->server.addresses = 20;
    assert_int_equal(resolve(w, &a, "big.example.test"), 0);
    assert_int_equal(a.resolve.count, LOOP_RESOLVE_MAX);
}

static void failures_have_their_error(void **state) {
    struct world *w = *state;
    struct asking a;

    assert_int_equal(resolve(w, &a, "nosuch.example.test"), -ENOENT);
    assert_int_equal(a.resolve.count, 0);
    assert_non_null(a.resolve.reason);
    w->server.addresses = 0;
    assert_int_equal(resolve(w, &a, "empty.example.test"), -ENOENT);
}

static void what_can_be_no_name_is_refused_at_once(void **state) {
    struct world *w = *state;
    struct asking a;
    char much[300];

    memset(much, 'a', sizeof much - 1);
    much[sizeof much - 1] = '\0';
    assert_int_equal(start(w, &a, "", MS), -EINVAL);
    assert_int_equal(start(w, &a, "[]", MS), -EINVAL);
    assert_int_equal(start(w, &a, much, MS), -EINVAL);
    assert_int_equal(resolve(w, &a, "two..dots"), -ENOENT);
    assert_int_equal(a.told, 1);
}

static void the_limit_ends_the_waiting(void **state) {
    struct world *w = *state;
    struct asking a, b;

    assert_int_equal(start(w, &a, "silent.example.test", 20 * MS), 0);
    TURN_UNTIL(w->loop, a.told);
    assert_int_equal(a.status, -ETIMEDOUT);
    assert_int_equal(a.resolve.count, 0);
    /* The question lives on within c-ares; others are not disturbed. */
    assert_int_equal(resolve(w, &b, "api.example.test"), 0);
    assert_int_equal(a.told, 1);
}

static void a_cancelled_question_is_not_answered(void **state) {
    struct world *w = *state;
    struct asking a, number, b;

    assert_int_equal(start(w, &a, "api.example.test", 30000 * MS), 0);
    assert_int_equal(start(w, &number, "127.0.0.1", 30000 * MS), 0);
    loop_resolve_cancel(&a.resolve);
    loop_resolve_cancel(&a.resolve);
    loop_resolve_cancel(&number.resolve);
    assert_int_equal(resolve(w, &b, "api.example.test"), 0);
    assert_int_equal(a.told + number.told, 0);
}

static void a_resolver_may_end_with_questions_open_and_in_a_callback(void **state) {
    struct world *w = *state;
    struct asking open[3], last;

    assert_int_equal(start(w, &open[0], "silent.example.test", 30000 * MS), 0);
    assert_int_equal(start(w, &open[1], "127.0.0.1", 30000 * MS), 0);
    assert_int_equal(start(w, &open[2], "silent.example.test", 1), 0);
    TURN_UNTIL(w->loop, open[1].told && open[2].told);
    assert_int_equal(start(w, &last, "127.0.0.1", 30000 * MS), 0);
    assert_int_equal(start(w, &open[1], "127.0.0.1", 30000 * MS), 0); /* due with it */
    last.destroys = w->resolver;
    TURN_UNTIL(w->loop, last.told);
    w->resolver = NULL;
    turn_some(w->loop);
    assert_int_equal(open[0].told, 0);
    assert_int_equal(open[1].told, 0);
}

static void servers_that_cannot_be_read_are_an_error(void **state) {
    struct world *w = *state;
    const struct loop_resolver_options options = {.servers = "not an address"};
    struct loop_resolver *r = NULL;

    assert_int_equal(loop_resolver_create(&r, w->loop, &options), -EINVAL);
    assert_null(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(numbers_need_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(localhost_is_this_host, setup, teardown),
        cmocka_unit_test_setup_teardown(names_are_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(more_addresses_than_there_is_room_for, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_have_their_error, setup, teardown),
        cmocka_unit_test_setup_teardown(what_can_be_no_name_is_refused_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(the_limit_ends_the_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cancelled_question_is_not_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(a_resolver_may_end_with_questions_open_and_in_a_callback,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(servers_that_cannot_be_read_are_an_error, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
