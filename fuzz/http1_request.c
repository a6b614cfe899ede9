/* http1_request.c - request heads, whole and cut. */
#include "http1_heads.h"

static void parse(struct outcome *o, const char *data, size_t len, size_t seen) {
    o->head = (struct http1_head){.fields = o->fields};
    o->error = http1_parse_request(data, len, seen, &limits, &o->head, &o->used);
    if (!o->used)
        return;
    MUST(o->head.method_text.len > 0 && o->head.method_text.len <= 32);
    MUST(o->head.target.len > 0 && o->head.target.len <= limits.target);
    MUST(o->head.framing != HTTP1_BODY_UNTIL_CLOSE);
    unsigned hosts = 0;
    for (unsigned i = 0; i < o->head.field_count; i++)
        hosts += o->fields[i].id == HTTP_HOST;
    MUST(hosts == 1 || (hosts == 0 && o->head.minor == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_parse(parse, data, size);
    return 0;
}
