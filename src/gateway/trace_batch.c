/* trace_batch.c - see trace_batch.h. */
#include "gateway/trace_batch.h"

#include "observe/trace_json.h"

static const char path[] = "/v1/traces";

static void write_head(struct buf *to, const struct trace_options *o, size_t length) {
    const char *base = o->collector.base_path;
    size_t len = strlen(base), tail = sizeof path - 1;
    bool whole = len >= tail && !strcmp(base + len - tail, path);
    buf_printf(to, "POST %s%s HTTP/1.1\r\nHost: %s\r\n", base, whole ? "" : path,
               o->collector.authority);
    buf_literal(to, "User-Agent: switchgear/" SWG_VERSION "\r\nContent-Type: application/json\r\n");
    for (uint32_t i = 0; i < o->header_count; i++) {
        const struct header_value *h = &o->headers[i];
        if (h->value)
            buf_printf(to, "%s: %s\r\n", h->name, h->value);
    }
    buf_printf(to, "Content-Length: %zu\r\n\r\n", length);
}

static void write_spans(struct buf *to, const struct trace_resource *self,
                        const struct list *parcels) {
    struct json_out j;
    json_init(&j, to);
    trace_json_begin(&j, self);
    for (const struct list *l = parcels->next; l != parcels; l = l->next)
        trace_json_parcel(&j, container_of(l, struct trace_parcel, link));
    trace_json_end(&j);
}

void trace_batch_write(struct buf *to, const struct trace_options *o,
                       const struct trace_resource *self, const struct list *parcels) {
    struct buf body;
    buf_init(&body, TRACE_REQUEST_MAX);
    write_spans(&body, self, parcels);
    write_head(to, o, body.len);
    buf_bytes(to, buf_view(&body));
    to->failed |= body.failed;
    buf_free(&body);
}
