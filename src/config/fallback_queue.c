/* fallback_queue.c - what of the queue tier is more than a plain value. */
#include "config/fill.h"
#include "config/types.h"
#include "gateway/value.h"

static bool read_order_by(struct fill *f, const struct directive *d, const struct node *n,
                          void *base) {
    struct tier_options *t = base;
    struct bytes text;
    if (!fill_text(f, d, n, &text))
        return false;
    if (!value_source_parse(&t->queue.order_by, fill_copy(f, text)) ||
        !value_source_is_callers(&t->queue.order_by))
        return fill_wrong(f, d, n, NULL);
    t->queue.ordered = true;
    return true;
}

static void write_order_by(struct json_out *out, const struct directive *d, const char *key,
                           const void *base) {
    const struct tier_options *t = base;
    char text[VALUE_NAME_SIZE];
    if (t->queue.ordered)
        json_key_string(out, key, value_source_text(&t->queue.order_by, text));
}

const struct directive_type type_order_by = {"value of the request",
                                             "path.NAME, query.NAME, header.NAME or body.FIELD",
                                             read_order_by, write_order_by};
