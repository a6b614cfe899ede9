/* event_loop.c - struct swg_call driven by an event loop: libuv.
 *
 *     example_event_loop 127.0.0.1 8080 20
 *
 * So many requests at once over TCP. The call says what to do next and when it wants
 * to be woken; this file does it: begin an attempt, give one up, wait, finish. All
 * that a driver needs is in obey(). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include <switchgear/switchgear.h>

struct attempt;

struct exchange {
    struct swg_call call;
    uv_timer_t timer;
    struct attempt *attempt; /* under way; NULL: none */
    int number;
};

/* One connection. It outlives its exchange's interest: libuv closes later. */
struct attempt {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    struct exchange *exchange; /* NULL: given up */
    char head[16];
    size_t len;
};

static uv_loop_t loop;
static struct swg_policy *policy;
static struct sockaddr_in address;
static const char request[] = "GET / HTTP/1.0\r\nHost: example\r\n\r\n";

static void obey(struct exchange *, struct swg_step);

/* libuv's clock is milliseconds; the library's is nanoseconds, and both are monotonic. */
static uint64_t now(void) {
    return uv_hrtime();
}

/* ---- attempts ---- */

static void on_closed(uv_handle_t *handle) {
    free(handle->data);
}

static void give_up(struct exchange *x) {
    if (!x->attempt)
        return;
    x->attempt->exchange = NULL;
    uv_close((uv_handle_t *)&x->attempt->tcp, on_closed);
    x->attempt = NULL;
}

static void ended(struct attempt *a, struct swg_answer answer) {
    struct exchange *x = a->exchange;
    if (!x)
        return;
    give_up(x);
    obey(x, swg_call_on_answer(&x->call, &answer, now()));
}

static void allocate(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer) {
    static char memory[4096]; /* one loop, one read at a time */
    (void)handle, (void)wanted;
    *buffer = uv_buf_init(memory, sizeof memory);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buffer) {
    struct attempt *a = stream->data;
    if (len < 0) {
        ended(a, (struct swg_answer){.kind = SWG_RESET});
        return;
    }
    for (ssize_t i = 0; i < len && a->len < 12; i++)
        a->head[a->len++] = buffer->base[i];
    if (a->len == 12) /* "HTTP/1.1 200" */
        ended(a, (struct swg_answer){.kind = SWG_ANSWERED, .status = atoi(a->head + 9)});
}

static void on_connected(uv_connect_t *connect, int error) {
    struct attempt *a = connect->data;
    if (!a->exchange)
        return;
    if (error) {
        ended(a, (struct swg_answer){.kind = SWG_CONNECT_FAILED});
        return;
    }
    uv_buf_t out = uv_buf_init((char *)request, sizeof request - 1);
    struct exchange *x = a->exchange;
    struct swg_step step = swg_call_on_connected(&x->call, now());
    uv_write(&a->write, (uv_stream_t *)&a->tcp, &out, 1, NULL);
    uv_read_start((uv_stream_t *)&a->tcp, allocate, on_read);
    obey(x, step);
}

static void begin(struct exchange *x) {
    struct attempt *a = calloc(1, sizeof *a);
    if (!a)
        abort();
    x->attempt = a;
    a->exchange = x;
    a->connect.data = a->tcp.data = a;
    uv_tcp_init(&loop, &a->tcp);
    uv_tcp_connect(&a->connect, &a->tcp, (struct sockaddr *)&address, on_connected);
}

/* ---- what the call says ---- */

static void on_timer(uv_timer_t *timer) {
    struct exchange *x = timer->data;
    obey(x, swg_call_on_timer(&x->call, now()));
}

static void wake_at(struct exchange *x, uint64_t wake_ns) {
    if (wake_ns == SWG_NEVER) {
        uv_timer_stop(&x->timer);
        return;
    }
    uint64_t left_ns = wake_ns > now() ? wake_ns - now() : 0;
    uv_update_time(&loop);
    uv_timer_start(&x->timer, on_timer, (left_ns + 999999) / 1000000, 0);
}

static void finish(struct exchange *x) {
    const struct swg_story *story = swg_call_story(&x->call);
    printf("request %d: status=%d attempts=%u reason=%s\n", x->number, story->last.status,
           story->attempts, story->reason ? swg_refusal_word(story->reason) : "none");
    give_up(x);
    uv_close((uv_handle_t *)&x->timer, NULL);
}

static void obey(struct exchange *x, struct swg_step step) {
    if (step.abandon)
        give_up(x);
    wake_at(x, step.wake_ns);
    switch (step.action) {
    case SWG_DO_ATTEMPT:
        begin(x);
        break;
    case SWG_DO_RELAY: /* the body would go to the caller here */
        obey(x, swg_call_on_end(&x->call, true, now()));
        break;
    case SWG_DO_FINISH:
        finish(x);
        break;
    case SWG_DO_WAIT:
    case SWG_DO_LOOK_UP:   /* this policy has no cache */
    case SWG_DO_FALL_BACK: /* and no tiers */
        break;
    }
}

int main(int argc, char **argv) {
    static const struct swg_policy_options options = {
        .timeout = {.connect_ns = SWG_SECONDS(1), .attempt_ns = SWG_SECONDS(2)},
        .retry = {.max = 2, .base_ns = SWG_MS(5)},
        .breaker = {.consecutive = 5},
    };
    int count = argc == 4 ? atoi(argv[3]) : 0;
    struct exchange *all = count > 0 ? calloc((size_t)count, sizeof *all) : NULL;
    if (!all || uv_ip4_addr(argv[1], atoi(argv[2]), &address) || uv_loop_init(&loop) ||
        swg_policy_create(&policy, &options, now(), now()))
        return 2;
    for (int i = 0; i < count; i++) {
        struct exchange *x = &all[i];
        struct swg_request wish = {.idempotent = true, .safe = true, .seed = (uint64_t)i + 1};
        x->number = i + 1;
        uv_timer_init(&loop, &x->timer);
        x->timer.data = x;
        obey(x, swg_call_start(&x->call, policy, &wish, NULL, now()));
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    swg_policy_release(policy);
    free(all);
    return 0;
}
