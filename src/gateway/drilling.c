/* drilling.c - see drilling.h. */
#include "gateway/drilling.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/drills.h"

/* ---- delays ---------------------------------------------------------------------- */

static bool is_exempt(const struct exchange *x) {
    return x->inner && (x->inner->verbatim || x->inner->dry);
}

/* A slow service would have the whole request by now, as far as it is here. */
static struct swg_step pretend_sent(struct leg *leg) {
    const struct exchange *x = leg->x;
    (void)swg_call_on_connected(&leg->call, exchange_now(x));
    if (x->upload_done || (leg->changes && leg->changes->body.at))
        return attempt_sent(leg);
    return swg_call_on_upload(&leg->call, false, exchange_now(x));
}

bool drilling_holds(struct leg *leg) {
    struct exchange *x = leg->x;
    struct drills *drills = x->worker->gateway->drills;
    leg->drill.hit = false;
    if (!drills_any(drills) || is_exempt(x))
        return false;
    const struct drill_attempt attempt = {leg->service, leg->endpoint, &x->request};
    drills_choose(drills, x->worker, &attempt, &leg->drill);
    if (!leg->drill.hit)
        return false;
    x->drill = swg__drill_word(leg->drill.kind);
    if (!leg->drill.delay_ns)
        return false;
    leg->held_until_ns = exchange_now(x) + leg->drill.delay_ns;
    leg_run(leg, pretend_sent(leg));
    return true;
}

struct leg *drilling_due(const struct exchange *x) {
    for (struct leg *leg = x->leg; leg; leg = leg->parent) {
        if (leg->held_until_ns && leg->held_until_ns <= exchange_now(x))
            return leg;
    }
    return NULL;
}

/* ---- faults ---------------------------------------------------------------------- */

/* A few hundred bytes: a fresh socket always takes them. */
static bool answer(int fd, const struct leg *leg) {
    char memory[512], body[128];
    const char *reason = http_status_reason(leg->drill.status);
    struct buf b;
    int len = snprintf(body, sizeof body, "{\"title\":\"%s\",\"status\":%d}\n", reason,
                       leg->drill.status);
    buf_init_fixed(&b, memory, sizeof memory);
    buf_printf(&b,
               "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\n"
               "Cache-Control: no-store\r\nContent-Length: %d\r\nConnection: close\r\n\r\n",
               leg->drill.status, reason, len);
    if (leg_method(leg) != HTTP_HEAD)
        buf_append(&b, body, (size_t)len);
    return !b.failed && send(fd, b.at, b.len, MSG_NOSIGNAL) == (ssize_t)b.len;
}

struct upstream *drilling_connect(struct leg *leg, int *os_error) {
    struct target *target = leg->service->targets[leg->endpoint];
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0) {
        *os_error = errno;
        return NULL;
    }
    bool told = leg->drill.kind == SWG__DRILL_ABORT || answer(ends[1], leg);
    close(ends[1]);
    struct upstream *u = NULL;
    *os_error = ENOMEM;
    if (told)
        u = upstream_adopt(leg->x->worker, target, leg, ends[0], os_error);
    if (!u)
        close(ends[0]);
    return u;
}
