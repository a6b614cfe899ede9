/* auth.c - see auth.h. */
#include "admin/auth.h"

#include "admin/admin_priv.h"
#include "admin/connection.h"
#include "admin/problem.h"
#include "config/address.h"
#include "observe/log.h"

enum shown { SHOWN_NOTHING, SHOWN_WRONG, SHOWN_RIGHT };

/* Whoever tries tokens by the thousand shall not fill the log. */
#define LOG_EVERY_NS SWG_SECONDS(1)

bool auth_token_is(const char *token, struct bytes given) {
    size_t len = strlen(token);
    volatile unsigned char difference = len != given.len;
    if (!len)
        return false;
    for (size_t i = 0; i < given.len; i++)
        difference |= (unsigned char)(given.at[i] ^ token[i % len]);
    return difference == 0;
}

static enum shown shown_token(const struct request *r) {
    struct bytes value = request_field(r, HTTP_AUTHORIZATION), scheme;
    if (!value.at)
        return SHOWN_NOTHING;
    if (!r->admin->token || !bytes_split(&value, ' ', &scheme) ||
        !bytes_equal_nocase(scheme, BYTES("Bearer")))
        return SHOWN_WRONG;
    return auth_token_is(r->admin->token, bytes_trim(value)) ? SHOWN_RIGHT : SHOWN_WRONG;
}

/* ---- web pages of somewhere else ------------------------------------------------ */

bool auth_is_loopback_authority(struct bytes authority) {
    struct address a;
    return address_read(authority, &a) && !a.unix_path.len && a.host.len &&
           address_is_loopback(a.host);
}

/* A client so old, or so simple, that it says no Host is no browser. */
static bool is_rebound(const struct request *r) {
    return r->authority.at && !auth_is_loopback_authority(r->authority);
}

/* The scheme is not compared: TLS may end in front of us. */
static bool is_own_origin(const struct request *r, struct bytes origin) {
    static const struct bytes schemes[] = {{"http://", 7}, {"https://", 8}};
    for (int i = 0; i < 2; i++) {
        if (bytes_starts(origin, schemes[i])) {
            origin.at += schemes[i].len;
            origin.len -= schemes[i].len;
            return r->authority.at && bytes_equal_nocase(origin, r->authority);
        }
    }
    return false;
}

static bool is_foreign_page(const struct request *r) {
    struct bytes origin = request_field(r, HTTP_ORIGIN);
    struct bytes site = request_field_named(r, BYTES("Sec-Fetch-Site"));
    return (origin.at && !is_own_origin(r, origin)) ||
           (site.at && !bytes_equal(site, BYTES("same-origin")));
}

/* ---- refusing ---------------------------------------------------------------------- */

static void log_refused(struct request *r) {
    struct admin *a = r->admin;
    struct log_line line;
    if (a->refused_logged_ns && r->moment.now_ns - a->refused_logged_ns < LOG_EVERY_NS)
        return;
    a->refused_logged_ns = r->moment.now_ns;
    if (!log_begin(&line, LOG_WARN, "admin request with a wrong token"))
        return;
    log_str(&line, "client", r->connection->peer);
    log_bytes(&line, "path", r->path);
    log_end(&line);
}

static bool unauthorized(struct request *r, struct response *a, enum shown shown) {
    bool wrong = shown == SHOWN_WRONG;
    buf_string(&a->fields, wrong ? "WWW-Authenticate: Bearer realm=\"switchgear\", "
                                   "error=\"invalid_token\"\r\n"
                                 : "WWW-Authenticate: Bearer realm=\"switchgear\"\r\n");
    if (wrong)
        log_refused(r);
    problem(a, 401, wrong ? "wrong_token" : "token_needed",
            !r->admin->token ? "no token is configured (admin.token), and this needs none or "
                               "cannot be done"
            : wrong          ? "that is not the token (admin.token)"
                             : "this needs the token (admin.token): Authorization: Bearer …");
    return false;
}

static bool forbidden(struct response *a, const char *reason, const char *detail) {
    problem(a, 403, reason, "%s", detail);
    return false;
}

bool auth_permits(struct request *r, enum access access, struct response *a) {
    if (access == ACCESS_FREE)
        return true;
    enum shown shown = shown_token(r);
    if (access == ACCESS_CHANGE && is_foreign_page(r))
        return forbidden(a, "foreign_origin",
                         "a web page of another origin may not change anything here");
    if (shown == SHOWN_RIGHT)
        return true;
    bool needed = !r->connection->local || (access == ACCESS_CHANGE && r->admin->token);
    if (needed)
        return unauthorized(r, a, shown);
    if (is_rebound(r))
        return forbidden(a, "foreign_host",
                         "without the token, Host must be localhost or a loopback address");
    return true;
}

bool auth_demands_token(struct request *r, struct response *a) {
    enum shown shown = shown_token(r);
    return shown == SHOWN_RIGHT || unauthorized(r, a, shown);
}
