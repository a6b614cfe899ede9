/* scene.c - see scene.h. */
#include "scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/admin.h"
#include "config/config.h"
#include "gateway/health.h"
#include "observe/events.h"
#include "observe/metrics.h"

#define MUST(condition)                                                             \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

static const char configuration[] =
    "defaults: {breaker: {consecutive: 3, open: 5s, jitter: 0%}}\n"
    "admin: {address: 127.0.0.1:9797, token: a-token-of-some-length}\n"
    "services:\n"
    "  shop:\n"
    "    endpoints: [http://127.0.0.1:1, http://127.0.0.1:2]\n"
    "    cache: {stale: 1h}\n"
    "    fallback: [{stale: {max: 1h}}, {static: {status: 200, json: {a: 1}}}]\n"
    "  pay: {endpoints: [http://127.0.0.1:3], critical: true, depends_on: [{service: bank, soft: "
    "true}]}\n"
    "  bank: {endpoints: [http://127.0.0.1:4], critical: true}\n"
    "routes: [{prefix: /, service: shop}]\n";

static struct scene *the_scene; /* for the gateway's clock, which has no argument */

static uint64_t clock_of_scene(void) {
    return the_scene->io.io.now_ns;
}

/* ---- the process -------------------------------------------------------------- */

static bool reload(void *arg, const char *author, uint64_t *generation, struct buf *text) {
    struct scene *s = arg;
    s->reloads++;
    snprintf(s->author, sizeof s->author, "%s", author);
    *generation = 7;
    if (s->reload_fails)
        buf_string(text, "a.yaml:1:2: what is wrong\na.yaml:3:4: and more\n");
    return !s->reload_fails;
}

static int change(void *arg, struct gateway_options *o) {
    return gateway_reload(((struct scene *)arg)->gateway, o);
}

static void drain(void *arg, const char *author) {
    struct scene *s = arg;
    s->drains++;
    snprintf(s->author, sizeof s->author, "%s", author);
}

static bool is_ready(void *arg) {
    return !((struct scene *)arg)->not_ready;
}

static const char *ailment(void *arg) {
    return ((struct scene *)arg)->not_alive ? "an event loop hangs" : NULL;
}

static uint64_t lag_ns(void *arg) {
    (void)arg;
    return SWG_MS(12);
}

/* ---- life ------------------------------------------------------------------------ */

static void load(struct scene *s) {
    struct config_report report;
    config_report_init(&report);
    if (config_load_text("test.yaml", bytes_of(configuration), &s->options, &report) < 0) {
        config_report_print(&report, stderr);
        abort();
    }
    config_report_free(&report);
    s->options->workers = 1;
}

void scene_init(struct scene *s, const char *host, const char *token) {
    memset(s, 0, sizeof *s);
    the_scene = s;
    fake_io_init(&s->io, SWG_SECONDS(1000));
    load(s);
    MUST(metrics_create(&s->metrics, 1) == 0);
    MUST(events_create(&s->events, NULL) == 0);
    const struct gateway_environment e = {s->metrics, s->events, clock_of_scene, 1};
    MUST(gateway_create(&s->gateway, s->options, &e) == 0);
    MUST(health_create(&s->health, s->gateway, &s->io.io) == 0);
    const struct admin_options o = {.enabled = true, .host = host, .port = 9797, .token = token};
    const struct admin_host process = {.arg = s,
                                       .reload = reload,
                                       .change = change,
                                       .drain = drain,
                                       .is_ready = is_ready,
                                       .ailment = ailment,
                                       .lag_ns = lag_ns};
    MUST(admin_create(&s->admin, s->gateway, s->health, &s->io.io, &o, &process) == 0);
}

void scene_free(struct scene *s) {
    admin_destroy(s->admin);
    health_destroy(s->health);
    gateway_destroy(s->gateway);
    fake_io_free(&s->io);
    metrics_destroy(s->metrics);
    events_destroy(s->events);
    gateway_options_release(s->options);
}

struct service *scene_service(struct scene *s, const char *name) {
    struct service *found = plan_service(s->gateway->plan, bytes_of(name));
    MUST(found != NULL);
    return found;
}

void scene_break(struct scene *s, const char *service, uint32_t endpoint) {
    struct swg_breaker *b = swg_policy_breaker(scene_service(s, service)->policy, endpoint);
    for (int i = 0; i < 3; i++) {
        struct swg_permit permit = {0};
        MUST(swg_breaker_admit(b, &permit, 0, s->io.io.now_ns) == SWG_ADMITTED);
        swg_breaker_record(b, &permit, SWG_FAILURE, 0, s->io.io.now_ns);
    }
    fake_io_run_tasks(&s->io);
}

/* ---- clients ---------------------------------------------------------------------- */

struct fake_stream *scene_connect(struct scene *s) {
    int pair[2];
    uint32_t before = s->io.count;
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    admin_accept(s->admin, pair[0], &(struct sockaddr){.sa_family = AF_UNIX});
    close(pair[1]);
    return s->io.count > before ? &s->io.streams[before] : NULL;
}

void scene_say(struct fake_stream *c, const char *text) {
    fake_io_receive(c, text, strlen(text));
}

const char *scene_ask(struct scene *s, const char *method, const char *path, const char *fields,
                      const char *body) {
    char request[8192];
    struct fake_stream *c = scene_connect(s);
    MUST(c != NULL);
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\n%s%s", method, path,
             strstr(fields, "Host:") ? "" : "Host: localhost:9797\r\n", fields);
    scene_say(c, request);
    snprintf(request, sizeof request, "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    scene_say(c, request);
    fake_io_run_tasks(&s->io);
    if (c->stream && !c->shut)
        fake_io_finish(c);
    return buf_cstr(&c->sent);
}

int scene_status(const char *answer) {
    int status = 0;
    return sscanf(answer, "HTTP/1.1 %d ", &status) == 1 ? status : -1;
}
