/* http1_response.c - response heads, whole and cut, for the methods that matter. */
#include "http1_heads.h"

static enum http_method request;

static void parse(struct outcome *o, const char *data, size_t len, size_t seen) {
    o->head = (struct http1_head){.fields = o->fields};
    o->error = http1_parse_response(data, len, seen, request, &limits, &o->head, &o->used);
    if (!o->used)
        return;
    MUST(o->head.status >= 100 && o->head.status <= 999);
    if (request == HTTP_HEAD || o->head.status < 200 || o->head.status == 204)
        MUST(o->head.framing == HTTP1_BODY_NONE);
    else if (request == HTTP_GET && o->head.status != 304)
        MUST(o->head.framing != HTTP1_BODY_NONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const enum http_method requests[] = {HTTP_GET, HTTP_HEAD, HTTP_CONNECT};
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        request = requests[i];
        check_parse(parse, data, size);
    }
    return 0;
}
