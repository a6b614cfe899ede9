/* http.c - fetches a path. Only the head of the answer is read: a status says it. */
#include <switchgear/retry.h>

#include "gateway/checks/check.h"
#include "wire/http1.h"

enum { FIELDS = 128 };

static void ask(const struct check_subject *subject, struct buf *to) {
    const struct endpoint_options *e = subject->endpoint;
    buf_printf(to,
               "GET %s%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: switchgear-health\r\n"
               "Accept: */*\r\nConnection: close\r\n\r\n",
               e->base_path ? e->base_path : "", subject->options->path,
               e->authority ? e->authority : "");
}

static struct check_verdict read_head(const struct check_subject *subject, struct bytes in,
                                      size_t seen) {
    const struct http1_limits limits = {CHECK_ANSWER_MAX, CHECK_ANSWER_MAX, FIELDS, 0};
    struct http_field fields[FIELDS];
    for (;;) {
        struct http1_head head = {.fields = fields};
        size_t used = 0;
        if (http1_parse_response(in.at, in.len, seen, HTTP_GET, &limits, &head, &used) != HTTP1_OK)
            return check_bad("garbled");
        if (!used)
            return check_more();
        if (head.status >= 200) {
            bool good = swg_status_in(subject->options->expect, head.status);
            return (struct check_verdict){good ? HEALTH_GOOD : HEALTH_BAD, head.status,
                                          good ? "" : "status"};
        }
        in = (struct bytes){in.at + used, in.len - used}; /* what comes after an interim answer */
        seen = seen > used ? seen - used : 0;
    }
}

const struct check_wire check_http = {.ask = ask, .read = read_head};
