/* problem.c - see problem.h. */
#include "admin/problem.h"

#include <stdarg.h>
#include <stdio.h>

struct json_out *problem_begin(struct response *a, int status, const char *reason,
                               const char *detail) {
    char type[96];
    snprintf(type, sizeof type, "urn:switchgear:reason:%s", reason);
    buf_clear(&a->body); /* whatever had been begun */
    a->fixed = (struct bytes){0};
    a->stream = false;
    struct json_out *j = response_json(a, status);
    a->content_type = "application/problem+json";
    json_object(j);
    json_key_string(j, "type", type);
    json_key_string(j, "title", http_status_reason(status));
    json_key_int(j, "status", status);
    json_key_string(j, "reason", reason);
    json_key_string(j, "detail", detail);
    return j;
}

void problem_end(struct response *a) {
    json_object_end(&a->json);
    response_end_json(a);
}

void problem(struct response *a, int status, const char *reason, const char *detail, ...) {
    char memory[1024];
    struct buf text;
    va_list args;
    buf_init_fixed(&text, memory, sizeof memory);
    va_start(args, detail);
    buf_vprintf(&text, detail, args);
    va_end(args);
    problem_begin(a, status, reason, text.failed ? reason : buf_cstr(&text));
    problem_end(a);
}
