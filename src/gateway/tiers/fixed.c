/* fixed.c - the tier that always answers: what the configuration says. */
#include "gateway/exchange.h"

enum tier_result tier_fixed(struct leg *leg, const struct tier_options *tier) {
    struct exchange *x = leg->x;
    struct buf fields;
    char *memory = arena_alloc(&x->arena, 8192);
    if (!memory)
        return TIER_FAILED;
    buf_init_fixed(&fields, memory, 8192);
    for (uint32_t i = 0; i < tier->fixed.header_count; i++) {
        buf_string(&fields, tier->fixed.headers[i].name);
        buf_literal(&fields, ": ");
        buf_string(&fields, tier->fixed.headers[i].value);
        buf_literal(&fields, "\r\n");
    }
    if (tier->fixed.content_type && tier->fixed.body.len) {
        buf_literal(&fields, "Content-Type: ");
        buf_string(&fields, tier->fixed.content_type);
        buf_literal(&fields, "\r\n");
    }
    if (fields.failed)
        return TIER_FAILED;
    leg_answered_by_tier(leg);
    reply_whole(x, tier->fixed.status, buf_view(&fields), tier->fixed.body, "static");
    return TIER_ANSWERED;
}
