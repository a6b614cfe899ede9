/* mock.c - `switchgear mock`: options, start, end. */
#include "cli/mock.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/commands.h"
#include "config/address.h"
#include "config/value.h"
#include "loop/signals.h"

/* Ids of options; those of mock_settings follow from SETTING on. */
enum { LISTEN = 1, NAME, BODY, BODY_SIZE, HEADER, TYPE, REPLY, SCHEDULE, SEED, JSON, SETTING };

#define SETTING_ROW(name, value, help) \
    { SETTING, 0, name, value, help }

static const struct arg_option options[] = {
    {LISTEN, 'l', "listen", "ADDRESS",
     "Where: 127.0.0.1:8001, [::1]:8001 or unix:/path. Default: 127.0.0.1:0, any free port, "
     "which is printed."},
    {NAME, 'n', "name", "NAME", "Stands in every answer as X-Mock-Name. Default: mock."},
    SETTING_ROW("latency", "TIME",
                "Before each answer: 20ms; or drawn anew for each: 'normal MEAN DEVIATION', "
                "'lognormal MEDIAN P99', 'uniform FROM TO'."),
    SETTING_ROW("errors", "SHARE", "So many of the answers, 30%, have the status of --status."),
    SETTING_ROW("status", "CODE",
                "The status of errors; 500 unless told. Without --errors: of every answer."),
    SETTING_ROW("retry-after", "SECONDS", "Retry-After with errors."),
    SETTING_ROW("hang", "SHARE", "So many requests are never answered."),
    SETTING_ROW("reset", "SHARE", "So many get a reset of the connection instead."),
    SETTING_ROW("truncate", "SHARE", "So many answers break off in the middle of the body."),
    SETTING_ROW("slow-body", "RATE", "Bodies at so many bytes a second: 1KiB/s."),
    SETTING_ROW("close-after", "COUNT",
                "Closes a connection after so many answers without having said so."),
    {SETTING + 1, 0, "chunked", NULL, "Bodies in chunks, their length unsaid."},
    {BODY, 0, "body", "TEXT|@FILE", "What is answered. Default: {\"ok\":true} with the name."},
    {BODY_SIZE, 0, "body-size", "SIZE", "So many bytes instead, up to 64MiB."},
    {TYPE, 0, "type", "TYPE", "The answer's Content-Type."},
    {HEADER, 'H', "header", "'NAME: VALUE'", "A header field of the answer; may be repeated."},
    {REPLY, 0, "reply", "TEXT", "What the language model says; its words are the tokens."},
    SETTING_ROW("tokens", "COUNT",
                "How many; the words are repeated. Default: as many as the reply has."),
    SETTING_ROW("first-token", "TIME", "Before the first token of the language model: 200ms."),
    SETTING_ROW("token-interval", "TIME", "Between its tokens: 20ms."),
    SETTING_ROW(
        "break-after", "COUNT",
        "After so many tokens of a stream the connection is reset; 0: after the role, before "
        "the first."),
    SETTING_ROW("silence-after", "COUNT", "After so many nothing comes any more."),
    SETTING_ROW("error-after", "COUNT", "After so many comes an error event, and the end."),
    {SCHEDULE, 0, "schedule", "STEPS",
     "A behaviour that changes over time: 'ok 30s, errors 50% 10s, hang 5s, down 5s, ok'."},
    {SEED, 0, "seed", "NUMBER", "Of all that is drawn; the same seed gives the same sequence."},
    {JSON, 'j', "json", NULL, "Prints the line at the start as JSON."},
    {0},
};

const struct command page_mock = {
    .name = "mock",
    .run = command_mock,
    .summary = "a programmable upstream: slow, failing, hanging or gone, as told",
    .synopsis = "[--listen ADDRESS] [OPTIONS]",
    .description =
        "An HTTP/1.1 server to try out what happens when a service is ill. It prints the address "
        "it listens on, serves until SIGTERM or SIGINT, and exits with 0.\n\n"
        "Shares are of all requests, drawn for each; where they add up to more than 100%, hanging "
        "goes first, then reset, truncated, error.\n\n"
        "Steps of a schedule are ok, errors [SHARE] [STATUS], hang [SHARE], reset [SHARE], "
        "truncate [SHARE], latency TIME, slow-body RATE, status CODE, retry-after SECONDS and "
        "down (nobody listens), each with its duration at the end; '+' joins several. A last step "
        "without a duration lasts; otherwise the schedule begins anew. Steps come on top of the "
        "other options.\n\n"
        "Over HTTP, while it runs:\n\n"
        "  GET  /__mock/state       counts, what is under way, what it does now\n"
        "  PUT  /__mock/behaviour   {\"errors\": \"50%\", \"latency\": \"1s\"}: exactly this\n"
        "  POST /__mock/behaviour   {\"down_for\": \"5s\"}: this besides\n"
        "  POST /__mock/release     requests that hang get their answer\n"
        "  POST /__mock/reset       as it was started\n"
        "  GET  /__mock/requests    the last 1000, with headers\n"
        "  GET  /__mock/wait?requests=5&timeout=2s   answers when they have come\n\n"
        "Paths with a meaning of their own:\n\n"
        "  /echo  /upload  /status/418  /bytes/1MiB  /delay/250ms  /sse  /ws\n"
        "  /cache  /counter  /interim  /trailers  /fields/50  /early/413\n"
        "  /hang  /reset  /close  /garbled      (more in GET /__mock/)\n\n"
        "A language model, as OpenAI's API speaks:\n\n"
        "  /v1/chat/completions  /v1/models  /v1/embeddings\n"
        "\n"
        "and as Ollama's does:\n"
        "\n"
        "  /api/generate  /api/chat  /api/tags",
    .options = options,
    .exit_failed = "it could not listen",
    .example =
        "switchgear mock --listen 127.0.0.1:8001 --latency 'lognormal 20ms 200ms' --errors 5%\n"
        "switchgear mock --first-token 200ms --token-interval 20ms --break-after 5\n"
        "curl -X PUT http://127.0.0.1:8001/__mock/behaviour -d '{\"hang\": \"100%\"}'",
};

struct mock_options {
    const char *listen, *body, *type;
    bool json, errors_given, status_given;
    uint64_t body_size, seed;
};

/* ---- options -------------------------------------------------------------------------- */

static void set_behaviour(struct args *args, struct mock *m, struct mock_options *o) {
    char key[32], memory[256];
    struct buf why;
    buf_init_fixed(&why, memory, sizeof memory);
    snprintf(key, sizeof key, "%s", args->option->name);
    for (char *p = key; *p; p++)
        *p = *p == '-' ? '_' : *p;
    o->errors_given |= !strcmp(key, "errors");
    o->status_given |= !strcmp(key, "status");
    if (!mock_behaviour_set(&m->at_start, bytes_of(key),
                            args->value ? bytes_of(args->value) : BYTES("yes"), &why))
        args_fail(args, "--%s: \"%s\"; expected %s", args->option->name, args->value,
                  buf_cstr(&why));
}

static void set_schedule(struct args *args, struct mock *m) {
    char memory[256];
    struct buf why;
    buf_init_fixed(&why, memory, sizeof memory);
    if (!mock_schedule_read(&m->schedule_at_start, bytes_of(args->value), &why))
        args_fail(args, "--schedule: %s", buf_cstr(&why));
}

static void read_option(struct args *args, int id, struct mock *m, struct mock_options *o) {
    switch (id) {
    case LISTEN:
        o->listen = args->value;
        break;
    case NAME:
        m->name = args->value;
        if (strpbrk(m->name, "\r\n") || strlen(m->name) > 64)
            args_fail(args, "--name: one line of at most 64 bytes is expected");
        break;
    case BODY:
        o->body = args->value;
        break;
    case BODY_SIZE:
        if (args_size(args, &o->body_size) && o->body_size > MOCK_BODY_MAX)
            args_fail(args, "--body-size: at most 64MiB; for more see /bytes/SIZE");
        break;
    case TYPE:
        o->type = args->value;
        break;
    case HEADER:
        if (!mock_content_add_field(m->content_at_start, bytes_of(args->value)))
            args_fail(args, "--header: \"%s\" is no field that can be set; expected 'Name: value'",
                      args->value);
        break;
    case REPLY:
        m->reply = args->value;
        break;
    case SCHEDULE:
        set_schedule(args, m);
        break;
    case SEED:
        args_count(args, &o->seed);
        break;
    case JSON:
        o->json = true;
        break;
    default:
        set_behaviour(args, m, o);
    }
}

/* ---- the answer ------------------------------------------------------------------------ */

static bool read_file(struct args *args, const char *path, struct buf *to) {
    char piece[65536];
    size_t n;
    FILE *f = fopen(path, "rbe");
    while (f && (n = fread(piece, 1, sizeof piece, f)) > 0)
        buf_append(to, piece, n);
    bool good = f && !ferror(f) && !to->failed;
    if (!good)
        args_fail(args, "--body: %s: %s", path, to->failed ? "larger than 64MiB" : strerror(errno));
    if (f)
        fclose(f);
    return good;
}

static void make_body(struct args *args, struct mock *m, const struct mock_options *o) {
    struct mock_content *c = m->content_at_start;
    struct buf b;
    buf_init(&b, MOCK_BODY_MAX);
    if (o->body_size != UINT64_MAX) {
        if (buf_reserve(&b, o->body_size)) {
            memset(b.at, 'x', o->body_size);
            b.len = o->body_size;
        }
    } else if (o->body && o->body[0] == '@') {
        read_file(args, o->body + 1, &b);
    } else if (o->body) {
        buf_string(&b, o->body);
    } else {
        struct json_out j;
        json_init(&j, &b);
        json_object(&j);
        json_key_bool(&j, "ok", true);
        json_key_string(&j, "name", m->name);
        json_object_end(&j);
        buf_char(&b, '\n');
    }
    bool made = !o->body && o->body_size == UINT64_MAX;
    if (o->type)
        snprintf(c->type, sizeof c->type, "%s", o->type);
    else if (!c->type[0])
        snprintf(c->type, sizeof c->type, "%s", made ? "application/json" : "text/plain");
    if (strpbrk(c->type, "\r\n"))
        args_fail(args, "--type: a media type such as text/plain is expected");
    free(c->at);
    c->at = b.at;
    c->len = b.len;
}

/* ---- listening -------------------------------------------------------------------------- */

static void write_url(struct mock *m) {
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (m->address.ss_family == AF_UNIX) {
        snprintf(m->url, sizeof m->url, "unix:%s", ((struct sockaddr_un *)&m->address)->sun_path);
    } else if (getnameinfo((struct sockaddr *)&m->address, m->address_len, host, sizeof host, port,
                           sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
        snprintf(m->url, sizeof m->url,
                 strchr(host, ':') ? "http://[%.100s]:%.8s" : "http://%.100s:%.8s", host, port);
    }
}

/* Names are resolved: localhost is as good as an address. 0 or -errno. */
static int listen_at(struct args *args, struct mock *m, const char *text) {
    struct address a;
    char host[256], port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    if (!address_read(bytes_of(text), &a)) {
        args_fail(args, "--listen: \"%s\" is no address; expected 127.0.0.1:8001 or unix:/path",
                  text);
        return -EINVAL;
    }
    if (a.unix_path.len) {
        struct sockaddr_un u = {.sun_family = AF_UNIX};
        if (a.unix_path.len >= sizeof u.sun_path)
            return -ENAMETOOLONG;
        memcpy(u.sun_path, a.unix_path.at, a.unix_path.len);
        return mock_listen(m, (struct sockaddr *)&u, sizeof u);
    }
    snprintf(host, sizeof host, "%.*s", (int)(a.host.len < 255 ? a.host.len : 255), a.host.at);
    snprintf(port, sizeof port, "%u", a.has_port ? a.port : 0u);
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return -EADDRNOTAVAIL;
    int error = mock_listen(m, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return error;
}

static void announce(const struct mock *m, bool json) {
    struct buf b;
    struct json_out j;
    if (!json) {
        printf("listening on %s\n", m->url);
    } else {
        buf_init(&b, 1024);
        json_init(&j, &b);
        json_object(&j);
        json_key_string(&j, "url", m->url);
        json_key_string(&j, "name", m->name);
        json_key_int(&j, "pid", getpid());
        json_object_end(&j);
        printf("%s\n", buf_cstr(&b));
        buf_free(&b);
    }
    fflush(stdout);
}

/* ---- life --------------------------------------------------------------------------------- */

struct ending {
    struct loop_signals signals;
    struct loop *loop;
};

static void on_signal(struct loop_signals *s, const struct signalfd_siginfo *info) {
    (void)info;
    loop_stop(container_of(s, struct ending, signals)->loop);
}

static int start_signals(struct ending *e, struct loop *loop) {
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    e->loop = loop;
    loop_signals_init(&e->signals, on_signal);
    int error = loop_signals_block(&wanted, NULL);
    return error ? error : loop_signals_open(&e->signals, loop, &wanted);
}

static void raise_descriptor_limit(void) {
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        setrlimit(RLIMIT_NOFILE, &l);
    }
}

static int serve(struct mock *m, const struct mock_options *o) {
    struct ending ending;
    raise_descriptor_limit();
    if (start_signals(&ending, m->loop) < 0)
        return EXIT_FAILED;
    write_url(m);
    announce(m, o->json);
    int error = loop_run(m->loop);
    loop_signals_close(&ending.signals);
    return error ? EXIT_FAILED : EXIT_DONE;
}

static int start(struct args *args, struct mock *m, struct mock_options *o) {
    if (o->status_given && !o->errors_given)
        m->at_start.errors = MOCK_ALL;
    m->base = m->at_start;
    m->schedule = m->schedule_at_start;
    m->content = mock_content_hold(m->content_at_start);
    m->random = o->seed;
    int error = listen_at(args, m, o->listen);
    if (args->failed)
        return EXIT_USAGE;
    if (error) {
        fprintf(stderr, "switchgear mock: cannot listen on %s: %s\n", o->listen, strerror(-error));
        return EXIT_FAILED;
    }
    return serve(m, o);
}

static int run(struct args *args, struct mock *m) {
    struct mock_options o = {.listen = "127.0.0.1:0", .body_size = UINT64_MAX};
    if (getrandom(&o.seed, sizeof o.seed, GRND_NONBLOCK) < 0)
        o.seed = (uint64_t)getpid();
    m->name = "mock";
    m->content_at_start = mock_content_create("", "", 0);
    mock_behaviour_heal(&m->at_start);
    if (!m->content_at_start)
        return EXIT_FAILED;
    for (int id; (id = args_next(args)) != ARGS_END;)
        read_option(args, id, m, &o);
    if (!args->failed)
        make_body(args, m, &o);
    return args_done(args) ? start(args, m, &o) : EXIT_USAGE;
}

int command_mock(int argc, char **argv) {
    struct args args;
    struct loop *loop = NULL;
    struct mock *m = calloc(1, sizeof *m);
    int result = EXIT_FAILED;
    if (m && loop_create(&loop) == 0) {
        mock_server_init(m, loop);
        args_begin(&args, &page_mock, argc, argv);
        result = run(&args, m);
        mock_server_free(m);
        loop_destroy(loop);
    } else {
        fprintf(stderr, "switchgear mock: cannot start: out of memory or descriptors\n");
    }
    free(m);
    return result;
}
