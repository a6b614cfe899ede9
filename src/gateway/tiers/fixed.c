/* fixed.c - the tier that always answers: what the configuration says, with
 * values of the request where it has holes for them. */
#include "gateway/exchange.h"
#include "gateway/template.h"

enum { FIELDS_MAX = 8192 };

/* A field whose value cannot stand there, or is empty, is left out. */
static void write_field(struct exchange *x, const struct header_value *h, struct buf *fields) {
    size_t before = fields->len;
    buf_string(fields, h->name);
    buf_literal(fields, ": ");
    size_t value = fields->len;
    bool good = true;
    if (h->filled)
        good = template_render(h->filled, value_of, x, fields) && fields->len > value;
    else
        buf_string(fields, h->value);
    buf_literal(fields, "\r\n");
    if (!good)
        buf_truncate(fields, before);
}

static bool says_how_to_cache(const struct tier_options *tier) {
    for (uint32_t i = 0; i < tier->fixed.header_count; i++) {
        if (bytes_equal_nocase(bytes_of(tier->fixed.headers[i].name), BYTES("Cache-Control")))
            return true;
    }
    return false;
}

static bool write_fields(struct exchange *x, const struct tier_options *tier, struct buf *fields) {
    for (uint32_t i = 0; i < tier->fixed.header_count; i++)
        write_field(x, &tier->fixed.headers[i], fields);
    if (tier->fixed.content_type && tier->fixed.body.len) {
        buf_literal(fields, "Content-Type: ");
        buf_string(fields, tier->fixed.content_type);
        buf_literal(fields, "\r\n");
    }
    /* what one caller said is nobody else's, and no script */
    if (tier->fixed.of_caller && !says_how_to_cache(tier))
        buf_literal(fields, "Cache-Control: no-store\r\n");
    if (tier->fixed.of_caller)
        buf_literal(fields, "X-Content-Type-Options: nosniff\r\n");
    return !fields->failed;
}

enum tier_result tier_fixed(struct leg *leg, const struct tier_options *tier) {
    struct exchange *x = leg->x;
    struct buf fields, body;
    char *memory = arena_alloc(&x->arena, FIELDS_MAX);
    if (!memory)
        return TIER_FAILED;
    buf_init_fixed(&fields, memory, FIELDS_MAX);
    buf_init(&body, TEMPLATE_RENDERED_MAX);
    const struct template *filled = tier->fixed.filled;
    bool good =
        write_fields(x, tier, &fields) && (!filled || template_render(filled, value_of, x, &body));
    if (good) {
        leg_answered_by_tier(leg);
        reply_whole(x, tier->fixed.status, buf_view(&fields),
                    filled ? buf_view(&body) : tier->fixed.body, "static");
    }
    buf_free(&body);
    return good ? TIER_ANSWERED : TIER_FAILED;
}
