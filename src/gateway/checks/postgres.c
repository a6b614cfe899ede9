/* postgres.c - whether a PostgreSQL takes connections, found out as pg_isready does:
 * by the first packet of a session that never begins. It needs no account. A server
 * that asks who we are is up, and so is one that says no such role, no such database
 * or nothing for you in pg_hba.conf; one that starts, stops or recovers says so
 * (57P0x), and one without a free connection too (53300).
 *
 * Where the server trusts us the session does begin: then all it says first is read,
 * up to ReadyForQuery, and Terminate sent, or its log would tell of a lost client. */
#include <string.h>

#include "gateway/checks/check.h"

enum {
    HEAD_BYTES = 5,
    MESSAGE_MAX = 8 * 1024, /* none of these is longer */
    SQLSTATE_BYTES = 5,
    PROTOCOL_3 = 196608,
};

static void put_u32(char *at, uint32_t value) {
    at[0] = (char)(value >> 24);
    at[1] = (char)(value >> 16);
    at[2] = (char)(value >> 8);
    at[3] = (char)value;
}

static uint32_t get_u32(const char *at) {
    const unsigned char *p = (const unsigned char *)at;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_pair(struct buf *to, const char *key, const char *value) {
    buf_append(to, key, strlen(key) + 1);
    buf_append(to, value, strlen(value) + 1);
}

static void ask(const struct check_subject *subject, struct buf *to) {
    size_t start = to->len;
    const char head[8] = {0};
    buf_append(to, head, sizeof head); /* filled in below */
    put_pair(to, "user", subject->options->user ? subject->options->user : "switchgear");
    put_pair(to, "database", "postgres"); /* always there */
    put_pair(to, "application_name", "switchgear-health");
    buf_char(to, '\0');
    if (to->failed)
        return;
    put_u32(to->at + start, (uint32_t)(to->len - start));
    put_u32(to->at + start + 4, PROTOCOL_3);
}

/* The field `C` of an ErrorResponse; false: it has none. */
static bool find_sqlstate(struct bytes fields, struct bytes *out) {
    while (fields.len && fields.at[0]) {
        const char *end = memchr(fields.at, '\0', fields.len);
        if (!end)
            return false;
        size_t len = (size_t)(end - fields.at);
        if (fields.at[0] == 'C' && len == 1 + SQLSTATE_BYTES) {
            *out = (struct bytes){fields.at + 1, SQLSTATE_BYTES};
            return true;
        }
        fields = (struct bytes){end + 1, fields.len - len - 1};
    }
    return false;
}

static struct check_verdict judge_error(struct bytes fields) {
    struct bytes state;
    if (!find_sqlstate(fields, &state))
        return check_bad("garbled");
    if (bytes_equal(state, BYTES("57P03")))
        return check_bad("not_ready"); /* starts, stops, or recovers */
    if (bytes_starts(state, BYTES("57P0")))
        return check_bad("shutting_down");
    if (bytes_equal(state, BYTES("53300")))
        return check_bad("too_many_connections");
    if (bytes_starts(state, BYTES("53")) || bytes_starts(state, BYTES("58")) ||
        bytes_starts(state, BYTES("XX")))
        return check_bad("error"); /* out of memory or disk, a broken server */
    return check_good(0);          /* it knows what it wants from us */
}

static struct check_verdict judge(char type, struct bytes body) {
    switch (type) {
    case 'R': /* which authentication; 0: none needed, and a session begins */
        if (body.len < 4)
            return check_bad("garbled");
        return get_u32(body.at) ? check_good(0) : check_more();
    case 'E':
        return judge_error(body);
    case 'Z': /* ready for a query */
        return check_good(0);
    case 'S': /* settings, the key to cancel with, notices, another version */
    case 'K':
    case 'N':
    case 'v':
        return check_more();
    default:
        return check_bad("garbled");
    }
}

static struct check_verdict read_messages(const struct check_subject *subject, struct bytes in,
                                          size_t seen) {
    (void)subject, (void)seen; /* a handful of messages */
    while (in.len) {
        if (!strchr("RESKNvZ", in.at[0]) || !in.at[0])
            return check_bad("garbled");
        if (in.len < HEAD_BYTES)
            return check_more();
        uint32_t len = get_u32(in.at + 1); /* of itself and the body */
        if (len < 4 || len > MESSAGE_MAX)
            return check_bad("garbled");
        if (in.len < 1 + (size_t)len)
            return check_more();
        struct check_verdict v = judge(in.at[0], (struct bytes){in.at + HEAD_BYTES, len - 4});
        if (v.state != HEALTH_UNKNOWN)
            return v;
        in = (struct bytes){in.at + 1 + len, in.len - 1 - len};
    }
    return check_more();
}

const struct check_wire check_postgres = {
    .ask = ask, .read = read_messages, .leave = {"X\0\0\0\4", 5}};
