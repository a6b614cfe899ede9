/* pass_on.c - see pass_on.h. */
#include "gateway/pass_on.h"

#include <sys/socket.h>
#include <unistd.h>

#include "gateway/client.h"
#include "gateway/upstream.h"
#include "gateway/worker.h"

/* When the next process takes none for the moment. */
#define AGAIN_NS SWG_MS(5)

bool client_will_pass(const struct client *c) {
    const struct pass_on *p = c->worker->passing;
    return p && !c->sink && c->listen_index < 64 && p->listeners >> c->listen_index & 1;
}

static bool can_go(const struct client *c) {
    return c->state == CLIENT_IDLE && !c->in_len && !c->eof && !io_pending(&c->stream) &&
           io_is_open(&c->stream) && client_will_pass(c);
}

/* Ours of the two descriptors goes; the connection stays. */
static void let_go(struct client *c) {
    int fd = io_release(&c->stream);
    client_close(c);
    if (fd >= 0)
        close(fd);
}

/* Whoever cannot be released has ended meanwhile: his end is the other's to see. */
static bool give(struct worker *w, struct client *const *clients,
                 const struct passed_client *passed, uint32_t count) {
    if (count && !w->passing->give(w->passing->arg, passed, count))
        return false;
    for (uint32_t i = 0; i < count; i++)
        let_go(clients[i]);
    return true;
}

static void on_due(struct io_timer *t) {
    struct worker *w = container_of(t, struct worker, pass_timer);
    struct passed_client passed[PASS_ON_BATCH];
    struct client *clients[PASS_ON_BATCH];
    struct list *next;
    uint32_t count = 0;
    bool taken = true, waiting = false;
    for (struct list *l = w->clients.next; taken && l != &w->clients; l = next) {
        struct client *c = container_of(l, struct client, link);
        next = l->next;
        if (!can_go(c)) {
            waiting |= c->state == CLIENT_IDLE; /* its last answer is still on its way */
            continue;
        }
        clients[count] = c;
        passed[count++] = (struct passed_client){c->stream.fd, c->listen_index, c->served > 0};
        if (count == PASS_ON_BATCH) {
            taken = give(w, clients, passed, count);
            count = 0;
        }
    }
    if (!taken || !give(w, clients, passed, count) || waiting)
        io_timer_set(w->io, t, io_now(w->io) + AGAIN_NS);
}

void worker_pass_on_soon(struct worker *w) {
    if (w->passing)
        io_timer_set(w->io, &w->pass_timer, io_now(w->io));
}

/* Clients whose listener the next process does not have are told to close with
 * their next answer; those that ask for nothing end with the drain. */
void worker_pass_on(struct worker *w, const struct pass_on *p) {
    w->passing = p;
    w->draining = true;
    upstream_close_parked(w, NULL);
    io_timer_init(&w->pass_timer, on_due);
    worker_pass_on_soon(w);
}

void worker_take_over(struct worker *w, const struct passed_client *p) {
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    getpeername(p->fd, (struct sockaddr *)&peer, &len); /* it may have gone: all the same */
    client_take_over(w, p->listen_index, p->fd, (const struct sockaddr *)&peer, p->served);
}
