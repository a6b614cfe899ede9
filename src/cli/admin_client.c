/* admin_client.c - see admin_client.h. */
#include "cli/admin_client.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <switchgear/time.h>

#include "base/json_out.h"
#include "cli/admin_answer.h"
#include "config/address.h"
#include "config/config.h"
#include "wire/http1.h"

enum { ANSWER_MAX = 64 << 20 };

#define TIMEOUT_NS SWG_SECONDS(5)

/* ---- where --------------------------------------------------------------------- */

void admin_client_init(struct admin_client *c, const char *command) {
    *c = (struct admin_client){.command = command, .timeout_ns = TIMEOUT_NS};
}

bool admin_client_option(struct admin_client *c, struct args *args, int id) {
    switch (id) {
    case ADMIN_ID:
        c->address = args->value;
        return true;
    case ADMIN_TOKEN_ID:
        c->token_file = args->value;
        return true;
    case ADMIN_CONFIG_ID:
        c->config = args->value;
        return true;
    case ADMIN_TIMEOUT_ID:
        args_duration(args, &c->timeout_ns);
        return true;
    default:
        return false;
    }
}

static bool set_address(struct admin_client *c, const char *text) {
    struct address a;
    struct bytes b = bytes_of(text);
    if (bytes_starts(b, BYTES("http://")))
        b = (struct bytes){b.at + 7, b.len - 7};
    while (b.len && b.at[b.len - 1] == '/')
        b.len--;
    if (!address_read(b, &a) || !a.host.len || a.host.len >= sizeof c->host) {
        fprintf(stderr,
                "switchgear %s: %s: \"%s\" is no address; expected one such as "
                "127.0.0.1:9797\n",
                c->command, c->source, text);
        return false;
    }
    snprintf(c->host, sizeof c->host, "%.*s", (int)a.host.len, a.host.at);
    snprintf(c->port, sizeof c->port, "%u", a.has_port ? a.port : 9797u);
    return true;
}

/* An address that means "any" is reached by the loopback. */
static void set_configured(struct admin_client *c, const struct admin_options *o) {
    const char *host = !strcmp(o->host, "0.0.0.0") ? "127.0.0.1"
                       : !strcmp(o->host, "::")    ? "::1"
                                                   : o->host;
    snprintf(c->host, sizeof c->host, "%s", host);
    snprintf(c->port, sizeof c->port, "%u", o->port);
    if (o->token)
        snprintf(c->token, sizeof c->token, "%s", o->token);
    c->source = "from the configuration";
}

/* A configuration that is broken, or not there, is not this command's business
 * unless it was named. */
static bool read_config(struct admin_client *c) {
    const char *path = c->config ? c->config : config_default_path();
    struct config_report report;
    struct gateway_options *options = NULL;
    bool good = true;
    config_report_init(&report);
    if (config_load(path, &options, &report) == 0) {
        if (options->admin.enabled)
            set_configured(c, &options->admin);
        gateway_options_release(options);
    } else if (c->config) {
        config_report_print(&report, stderr);
        good = false;
    }
    config_report_free(&report);
    return good;
}

static bool read_token(struct admin_client *c) {
    const char *env = getenv("SWITCHGEAR_ADMIN_TOKEN");
    FILE *f;
    if (!c->token_file) {
        if (env && *env)
            snprintf(c->token, sizeof c->token, "%s", env);
        return true;
    }
    f = fopen(c->token_file, "re");
    if (!f || !fgets(c->token, sizeof c->token, f)) {
        fprintf(stderr, "switchgear %s: --token-file %s: %s\n", c->command, c->token_file,
                f && !ferror(f) ? "is empty" : strerror(errno));
        if (f)
            fclose(f);
        return false;
    }
    c->token[strcspn(c->token, "\r\n")] = '\0';
    fclose(f);
    return true;
}

bool admin_client_settle(struct admin_client *c) {
    const char *env = getenv("SWITCHGEAR_ADMIN");
    c->source = "the default";
    snprintf(c->host, sizeof c->host, "127.0.0.1");
    snprintf(c->port, sizeof c->port, "9797");
    if (c->address) {
        c->source = "--admin";
        if (!set_address(c, c->address))
            return false;
    } else if (env && *env && !c->config) {
        c->source = "SWITCHGEAR_ADMIN";
        if (!set_address(c, env))
            return false;
    } else if (!read_config(c)) {
        return false;
    }
    return read_token(c);
}

/* ---- the connection ---------------------------------------------------------------- */

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return SWG_SECONDS(t.tv_sec) + (uint64_t)t.tv_nsec;
}

/* 0, or -ETIMEDOUT. */
static int wait_for(int fd, short events, uint64_t until_ns) {
    for (;;) {
        uint64_t now = now_ns();
        struct pollfd p = {.fd = fd, .events = events};
        if (now >= until_ns)
            return -ETIMEDOUT;
        uint64_t ms = (until_ns - now) / 1000000 + 1;
        int n = poll(&p, 1, ms > 1000000 ? 1000000 : (int)ms);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
    }
}

static int connect_one(const struct addrinfo *a, uint64_t until_ns) {
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    int error = fd < 0 ? -errno : 0;
    socklen_t len = sizeof error;
    if (!error && connect(fd, a->ai_addr, a->ai_addrlen) < 0)
        error = -errno;
    if (error == -EINPROGRESS) {
        error = wait_for(fd, POLLOUT, until_ns);
        if (!error && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0)
            error = -error;
    }
    if (error && fd >= 0)
        close(fd);
    return error ? error : fd;
}

static void say_unreachable(const struct admin_client *c, const char *why) {
    fprintf(stderr,
            "switchgear %s: no answer from the admin API at %s:%s (%s): %s\n"
            "  Is `switchgear run` running? --admin or SWITCHGEAR_ADMIN name another address.\n",
            c->command, c->host, c->port, c->source, why);
}

/* A descriptor, or -1 with *why set. */
static int open_connection(const struct admin_client *c, uint64_t until_ns, const char **why) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int error = getaddrinfo(c->host, c->port, &hints, &found);
    if (error) {
        *why = gai_strerror(error);
        return -1;
    }
    int fd = -ENOENT;
    for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next)
        fd = connect_one(a, until_ns);
    freeaddrinfo(found);
    *why = fd < 0 ? strerror(-fd) : NULL;
    return fd < 0 ? -1 : fd;
}

bool admin_client_is_there(const struct admin_client *c) {
    const char *why;
    int fd = open_connection(c, now_ns() + c->timeout_ns, &why);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static int send_all(int fd, const struct buf *b, uint64_t until_ns) {
    for (size_t done = 0; done < b->len;) {
        ssize_t n = send(fd, b->at + done, b->len - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) {
            int error = wait_for(fd, POLLOUT, until_ns);
            if (error)
                return error;
        } else if (n < 0 && errno != EINTR) {
            return -errno;
        } else if (n > 0) {
            done += (size_t)n;
        }
    }
    return 0;
}

/* Bytes, 0 at the end, or -errno. */
static ssize_t receive(int fd, char *to, size_t size, uint64_t until_ns) {
    for (;;) {
        ssize_t n = recv(fd, to, size, 0);
        if (n >= 0)
            return n;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
        int error = wait_for(fd, POLLIN, until_ns);
        if (error)
            return error;
    }
}

/* ---- an exchange ------------------------------------------------------------------- */

void admin_client_write_request(const struct admin_client *c, const char *method, const char *path,
                                const char *fields, struct bytes body, struct buf *to) {
    bool v6 = strchr(c->host, ':') != NULL;
    buf_printf(to, "%s %s HTTP/1.1\r\nHost: %s%s%s:%s\r\nUser-Agent: switchgear/%s\r\n", method,
               path, v6 ? "[" : "", c->host, v6 ? "]" : "", c->port, SWG_VERSION);
    buf_string(to, fields);
    buf_literal(to, "Connection: close\r\n");
    if (*c->token)
        buf_printf(to, "Authorization: Bearer %s\r\n", c->token);
    if (body.len)
        buf_printf(to, "Content-Type: application/json\r\nContent-Length: %zu\r\n", body.len);
    else if (strcmp(method, "GET") != 0)
        buf_literal(to, "Content-Length: 0\r\n");
    buf_literal(to, "\r\n");
    buf_bytes(to, body);
}

static int read_answer(int fd, struct admin_answer *a, uint64_t until_ns) {
    char piece[16384];
    while (!admin_answer_is_whole(a, false)) {
        ssize_t n = receive(fd, piece, sizeof piece, until_ns);
        if (n < 0)
            return (int)n;
        if (n == 0)
            return admin_answer_is_whole(a, true) ? 0 : -ECONNRESET;
        buf_append(&a->raw, piece, (size_t)n);
        int error = admin_answer_take(a);
        if (error)
            return error;
    }
    return 0;
}

const char *admin_client_error_words(int error) {
    return error == -EPROTO      ? "what came is no HTTP"
           : error == -EMSGSIZE  ? "the answer is too large"
           : error == -ETIMEDOUT ? "it takes too long"
                                 : strerror(-error);
}

int admin_client_send(struct admin_client *c, const char *method, const char *path,
                      struct bytes body, struct buf *answer, int *status) {
    uint64_t until = now_ns() + c->timeout_ns;
    struct admin_answer r;
    struct buf request;
    const char *why;
    int fd = open_connection(c, until, &why);
    if (fd < 0) {
        say_unreachable(c, why);
        return -1;
    }
    buf_init(answer, ANSWER_MAX);
    admin_answer_init(&r, http_method_of(bytes_of(method)), answer);
    buf_init(&request, 1 << 20);
    admin_client_write_request(c, method, path, "Accept: application/json\r\n", body, &request);
    int error = request.failed ? -EMSGSIZE : send_all(fd, &request, until);
    if (!error)
        error = read_answer(fd, &r, until);
    if (error) {
        say_unreachable(c, admin_client_error_words(error));
        buf_free(answer);
    }
    *status = r.status;
    admin_answer_free(&r);
    buf_free(&request);
    close(fd);
    return error ? -1 : 0;
}

/* ---- what it means -------------------------------------------------------------------- */

/* RFC 9457, as the API speaks; from anything else the status must do. */
void admin_client_problem(const struct admin_client *c, int status, struct bytes answer) {
    struct json_in in;
    bool read = json_in_read(&in, answer);
    const char *detail = read ? json_in_text(in.root, "detail") : NULL;
    fprintf(stderr, "switchgear %s: ", c->command);
    if (detail)
        fprintf(stderr, "%s\n", detail);
    else
        fprintf(stderr, "%s:%s answered %d %s\n", c->host, c->port, status,
                http_status_reason(status));
    if (status == 401)
        fprintf(stderr, "  The token is read from --token-file, or from SWITCHGEAR_ADMIN_TOKEN.\n");
    json_in_free(&in);
}

int admin_client_ask(struct admin_client *c, const char *method, const char *path,
                     struct bytes body, struct buf *answer, int good) {
    int status;
    if (admin_client_send(c, method, path, body, answer, &status) < 0)
        return -1;
    if ((status >= 200 && status < 300) || status == good)
        return 0;
    admin_client_problem(c, status, buf_view(answer));
    buf_free(answer);
    return -1;
}

int admin_client_read(struct admin_client *c, const char *path, int good, struct json_in *in) {
    struct buf answer;
    if (admin_client_ask(c, "GET", path, (struct bytes){0}, &answer, good) < 0)
        return -1;
    bool read = json_in_read(in, buf_view(&answer));
    buf_free(&answer);
    if (read)
        return 0;
    fprintf(stderr, "switchgear %s: what %s:%s answered is no JSON\n", c->command, c->host,
            c->port);
    json_in_free(in);
    return -1;
}

const char *admin_client_user(void) {
    const struct passwd *p = getpwuid(getuid());
    const char *env = getenv("USER");
    return p ? p->pw_name : env ? env : "";
}

void admin_client_author(struct buf *body) {
    struct json_out j;
    json_init(&j, body);
    json_object(&j);
    json_key_string(&j, "author", admin_client_user());
    json_object_end(&j);
}

void admin_client_escape(struct buf *path, const char *segment) {
    for (const unsigned char *p = (const unsigned char *)segment; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= '0' && *p <= '9') || strchr("-._~", *p);
        if (plain)
            buf_char(path, (char)*p);
        else
            buf_printf(path, "%%%02X", *p);
    }
}
