/* redis.c - PING, and before it AUTH where there is a password. Both go out at once,
 * and the first line that is an error decides: without its password a Redis says
 * NOAUTH to PING, and a wrong one has been told before.
 *
 * A Redis that loads its data answers, and is of no use yet: that is the word of its
 * error, LOADING. The words of Redis's errors are told as they are, in lower case. */
#include <stdio.h>
#include <string.h>

#include "gateway/checks/check.h"

enum { LINE_MAX_BYTES = 1024 };

static void write_word(struct buf *to, const char *word) {
    buf_printf(to, "$%zu\r\n%s\r\n", strlen(word), word);
}

static void ask(const struct check_subject *subject, struct buf *to) {
    const struct health_options *o = subject->options;
    if (o->password) {
        buf_string(to, o->user ? "*3\r\n" : "*2\r\n");
        write_word(to, "AUTH");
        if (o->user)
            write_word(to, o->user);
        write_word(to, o->password);
    }
    buf_literal(to, "*1\r\n$4\r\nPING\r\n");
}

/* What Redis calls it, as a word of ours: causes are static and few. */
static struct check_verdict refused(struct bytes line) {
    static const struct {
        const char *begins, *cause;
    } known[] = {
        {"LOADING", "loading"},
        {"NOAUTH", "noauth"},
        {"WRONGPASS", "wrongpass"},
        {"ERR invalid password", "wrongpass"},
        {"MASTERDOWN", "masterdown"},
        {"BUSY", "busy"},
        {"NOPERM", "noperm"},
        {"DENIED", "denied"},
        {"MISCONF", "misconf"},
        {"ERR max number of clients", "too_many_connections"},
        {"ERR AUTH", "no_password_set"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (bytes_starts(line, bytes_of(known[i].begins)))
            return check_bad(known[i].cause);
    }
    return check_bad("error");
}

/* The next line without its end; false: it is not all there. */
static bool take_line(struct bytes *in, struct bytes *line) {
    const char *end = in->len ? memchr(in->at, '\n', in->len) : NULL;
    if (!end)
        return false;
    size_t len = (size_t)(end - in->at);
    *line = (struct bytes){in->at, len && in->at[len - 1] == '\r' ? len - 1 : len};
    *in = (struct bytes){end + 1, in->len - len - 1};
    return true;
}

static struct check_verdict read_replies(const struct check_subject *subject, struct bytes in,
                                         size_t seen) {
    bool authenticated = !subject->options->password;
    struct bytes line;
    (void)seen; /* two short lines */
    while (take_line(&in, &line)) {
        if (line.len && line.at[0] == '-')
            return refused((struct bytes){line.at + 1, line.len - 1});
        if (authenticated)
            return bytes_equal(line, BYTES("+PONG")) ? check_good(0) : check_bad("garbled");
        if (!bytes_equal(line, BYTES("+OK")))
            return check_bad("garbled");
        authenticated = true;
    }
    return in.len > LINE_MAX_BYTES || (in.len && in.at[0] != '+' && in.at[0] != '-')
               ? check_bad("garbled")
               : check_more();
}

const struct check_wire check_redis = {.ask = ask, .read = read_replies};
