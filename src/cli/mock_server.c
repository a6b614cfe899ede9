/* mock_server.c - the mock as a whole: listening, ill or not, down and up.
 *
 * Three layers make the behaviour in force: `base` (options, or what was set
 * over HTTP last), the schedule's present step on top of it, and being down by
 * order. mock_follow() puts them together; it is called whenever one of them
 * changes, and by a timer when a step ends. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cli/mock.h"
#include "config/value.h"

/* The port may be taken for a moment when it is opened again. */
#define REOPEN_NS UINT64_C(50000000)

/* ---- content ------------------------------------------------------------------ */

struct mock_content *mock_content_create(const char *type, const void *body, size_t len) {
    struct mock_content *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->references = 1;
    c->at = malloc(len ? len : 1);
    if (!c->at) {
        free(c);
        return NULL;
    }
    if (len)
        memcpy(c->at, body, len);
    c->len = len;
    snprintf(c->type, sizeof c->type, "%s", type);
    buf_init(&c->fields, 32 << 10);
    return c;
}

struct mock_content *mock_content_copy(const struct mock_content *from) {
    struct mock_content *c = mock_content_create(from->type, from->at, from->len);
    if (c)
        buf_bytes(&c->fields, buf_view(&from->fields));
    return c;
}

struct mock_content *mock_content_hold(struct mock_content *c) {
    c->references++;
    return c;
}

void mock_content_release(struct mock_content *c) {
    if (!c || --c->references)
        return;
    buf_free(&c->fields);
    free(c->at);
    free(c);
}

bool mock_content_add_field(struct mock_content *c, struct bytes line) {
    const char *colon = memchr(line.at, ':', line.len);
    if (!colon || colon == line.at)
        return false;
    struct bytes name = {line.at, (size_t)(colon - line.at)};
    struct bytes value = bytes_trim((struct bytes){colon + 1, line.len - name.len - 1});
    for (size_t i = 0; i < name.len; i++) {
        if (!strchr("!#$%&'*+-.^_`|~", name.at[i]) &&
            !((name.at[i] | 0x20) >= 'a' && (name.at[i] | 0x20) <= 'z') &&
            !(name.at[i] >= '0' && name.at[i] <= '9'))
            return false;
    }
    for (size_t i = 0; i < value.len; i++) {
        if ((unsigned char)value.at[i] < 0x20 && value.at[i] != '\t')
            return false;
    }
    enum http_field_id id = http_field_of(name);
    if (id == HTTP_CONTENT_LENGTH || id == HTTP_TRANSFER_ENCODING || id == HTTP_CONNECTION)
        return false;
    if (id == HTTP_CONTENT_TYPE && value.len < sizeof c->type) {
        snprintf(c->type, sizeof c->type, "%.*s", (int)value.len, value.at);
        return true;
    }
    buf_printf(&c->fields, "%.*s: %.*s\r\n", (int)name.len, name.at, (int)value.len, value.at);
    return !c->fields.failed;
}

/* ---- the listener ---------------------------------------------------------------- */

static void on_accept(struct loop_listener *l, int fd, const struct sockaddr_storage *peer,
                      socklen_t len) {
    (void)peer;
    (void)len;
    mock_connection_accept(container_of(l, struct mock, listener), fd);
}

static const struct loop_listener_ops listener_ops = {.on_accept = on_accept};

static int open_listener(struct mock *m) {
    struct loop_listener_options options = {0};
    return loop_listener_open(&m->listener, m->loop, (struct sockaddr *)&m->address, m->address_len,
                              &options);
}

int mock_listen(struct mock *m, const struct sockaddr *address, socklen_t len) {
    memcpy(&m->address, address, len);
    m->address_len = len;
    int error = open_listener(m);
    if (error)
        return error;
    m->address = m->listener.address; /* port 0 has become one to come back to */
    m->address_len = m->listener.address_len;
    m->started_ns = io_now(m->io);
    mock_schedule_begin(m);
    return 0;
}

bool mock_is_down(const struct mock *m) {
    return m->now.down || m->down_until_ns;
}

/* Has its answer, or gets it: it may be the very request that ordered this. */
static bool may_finish(const struct mock_connection *c) {
    return c->state == MOCK_ENDING || (c->has_request && (c->page->flags & PAGE_CONTROL));
}

/* As a process that died: nobody listens, and every connection is reset. */
static void close_all(struct mock *m) {
    loop_listener_close(&m->listener);
    for (struct list *l = m->connections.next, *next; l != &m->connections; l = next) {
        struct mock_connection *c = container_of(l, struct mock_connection, link);
        next = l->next;
        if (!may_finish(c))
            mock_connection_abort(c);
    }
}

static void settle(struct mock *m) {
    uint64_t wake = m->step_ends_ns;
    if (mock_is_down(m)) {
        if (m->listener.fd >= 0)
            close_all(m);
    } else if (m->listener.fd < 0 && open_listener(m) < 0) {
        wake = io_now(m->io) + REOPEN_NS;
    }
    io_timer_set(m->io, &m->step_timer, wake);
    io_timer_set(m->io, &m->up_timer, m->down_until_ns ? m->down_until_ns : UINT64_MAX);
}

void mock_follow(struct mock *m) {
    uint64_t now = io_now(m->io), ends;
    m->now = m->base;
    m->step = mock_schedule_at(&m->schedule, now - m->schedule_from_ns, &ends);
    m->step_ends_ns = ends == UINT64_MAX ? UINT64_MAX : m->schedule_from_ns + ends;
    if (m->step)
        mock_step_apply(m->step, &m->now);
    settle(m);
    mock_control_notice(m);
}

void mock_schedule_begin(struct mock *m) {
    m->schedule_from_ns = io_now(m->io);
    mock_follow(m);
}

void mock_go_down(struct mock *m, uint64_t for_ns) {
    m->down_until_ns = io_now(m->io) + for_ns;
    mock_follow(m);
}

static void on_step(struct io_timer *t) {
    mock_follow(container_of(t, struct mock, step_timer));
}

static void on_up(struct io_timer *t) {
    struct mock *m = container_of(t, struct mock, up_timer);
    m->down_until_ns = 0;
    mock_follow(m);
}

void mock_reset(struct mock *m) {
    m->base = m->at_start;
    m->schedule = m->schedule_at_start;
    mock_content_release(m->content);
    m->content = mock_content_hold(m->content_at_start);
    mock_counts_clear(&m->counts);
    mock_records_clear(&m->records);
    m->counter = 0;
    mock_schedule_begin(m);
}

const char *mock_date(struct mock *m) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec != m->date_s) {
        m->date_s = now.tv_sec;
        http_date_write(m->date, now.tv_sec);
    }
    return m->date;
}

/* ---- life -------------------------------------------------------------------------- */

static void bury(struct loop_hook *hook) {
    struct mock *m = container_of(hook, struct mock, burial);
    for (struct list *l = m->dead.next, *next; l != &m->dead; l = next) {
        next = l->next;
        free(container_of(l, struct mock_connection, link));
    }
    list_init(&m->dead);
}

void mock_server_init(struct mock *m, struct loop *loop) {
    m->loop = loop;
    m->io = loop_io(loop);
    loop_listener_init(&m->listener, &listener_ops);
    io_timer_init(&m->step_timer, on_step);
    io_timer_init(&m->up_timer, on_up);
    list_init(&m->connections);
    list_init(&m->held);
    list_init(&m->waiters);
    list_init(&m->dead);
    buf_init(&m->out, 256 << 10);
    m->burial.run = bury;
    loop_hook_add(loop, &m->burial);
}

void mock_server_free(struct mock *m) {
    loop_listener_close(&m->listener);
    while (!list_empty(&m->connections))
        mock_connection_close(container_of(m->connections.next, struct mock_connection, link));
    bury(&m->burial);
    loop_hook_remove(&m->burial);
    io_timer_clear(m->io, &m->step_timer);
    io_timer_clear(m->io, &m->up_timer);
    mock_content_release(m->content);
    mock_content_release(m->content_at_start);
    mock_records_free(&m->records);
    buf_free(&m->out);
}
