/* service.c - the tier that asks another service, under that service's own
 * policy and what time this one leaves it.
 *
 * What of the request is sent otherwise is made when the tier begins: the path,
 * the method, fields, and the body, which is patched as RFC 7396 says and
 * written anew. Whatever cannot be made (a body that is no JSON, a path
 * without its value) fails the tier; nothing is sent half changed. */
#include <jansson.h>
#include <stdlib.h>

#include "gateway/exchange.h"
#include "gateway/fields.h"
#include "gateway/gateway.h"
#include "gateway/manager.h"
#include "gateway/template.h"

enum { PATCH_DEPTH_MAX = 64, PATH_MAX_LEN = 8 * 1024, LINES_MAX = 16 * 1024 };

static uint32_t depth(const struct leg *leg) {
    uint32_t n = 0;
    for (; leg; leg = leg->parent)
        n++;
    return n;
}

/* ---- the body ------------------------------------------------------------- */

static bool merge(json_t *into, json_t *patch, int level) {
    const char *key;
    json_t *value;
    bool good = level < PATCH_DEPTH_MAX;
    json_object_foreach(patch, key, value) {
        json_t *old = json_object_get(into, key);
        if (!good)
            break;
        if (json_is_null(value)) {
            (void)json_object_del(into, key);
        } else if (json_is_object(value)) {
            if (!json_is_object(old))
                good = json_object_set_new(into, key, json_object()) == 0;
            good = good && merge(json_object_get(into, key), value, level + 1);
        } else {
            good = json_object_set(into, key, value) == 0;
        }
    }
    return good;
}

static json_t *read_patch(struct exchange *x, const struct template *t) {
    struct buf text;
    buf_init(&text, TEMPLATE_RENDERED_MAX);
    json_t *patch = NULL;
    if (template_render(t, value_of, x, &text))
        patch = json_loadb(buf_cstr(&text), text.len, JSON_ALLOW_NUL, NULL);
    buf_free(&text);
    return patch;
}

static bool write_json(struct exchange *x, const json_t *body, struct bytes *out) {
    size_t len = json_dumpb(body, NULL, 0, JSON_COMPACT);
    char *text = len ? arena_alloc(&x->arena, len) : NULL;
    if (!text)
        return false;
    json_dumpb(body, text, len, JSON_COMPACT);
    *out = (struct bytes){text, len};
    return true;
}

/* A body in another coding would have to be decoded first. */
static bool patch_body(struct exchange *x, const struct template *t, struct bytes *out) {
    if (x->kept_dropped || !x->upload_done || fields_find(&x->request, HTTP_CONTENT_ENCODING).len)
        return false;
    json_t *body = json_loadb(buf_cstr(&x->kept), x->kept.len, JSON_ALLOW_NUL, NULL);
    json_t *patch = json_is_object(body) ? read_patch(x, t) : NULL;
    bool good = json_is_object(patch) && merge(body, patch, 0) && write_json(x, body, out);
    json_decref(patch);
    json_decref(body);
    return good;
}

/* ---- path and fields ---------------------------------------------------------- */

static const char *fill_path(struct exchange *x, const struct template *t) {
    char *memory = arena_alloc(&x->arena, PATH_MAX_LEN);
    struct buf path;
    if (!memory)
        return NULL;
    buf_init_fixed(&path, memory, PATH_MAX_LEN);
    return template_render(t, value_of, x, &path) ? memory : NULL;
}

static bool write_lines(struct exchange *x, const struct tier_options *tier,
                        struct leg_changes *changes) {
    char *memory = arena_alloc(&x->arena, LINES_MAX);
    struct buf lines;
    if (!memory)
        return false;
    buf_init_fixed(&lines, memory, LINES_MAX);
    for (uint32_t i = 0; i < tier->service.header_count; i++) {
        const struct header_value *h = &tier->service.headers[i];
        size_t before = lines.len;
        if (!h->value)
            continue;
        buf_string(&lines, h->name);
        buf_literal(&lines, ": ");
        size_t value = lines.len;
        if (!h->filled)
            buf_string(&lines, h->value);
        bool good =
            !h->filled || (template_render(h->filled, value_of, x, &lines) && lines.len > value);
        buf_literal(&lines, "\r\n");
        if (!good)
            buf_truncate(&lines, before);
    }
    changes->lines = buf_view(&lines);
    return !lines.failed;
}

static bool make_changes(struct leg *leg, const struct tier_options *tier) {
    struct exchange *x = leg->x;
    struct leg_changes *changes = arena_zalloc(&x->arena, sizeof *changes);
    leg->changes = changes;
    leg->path = tier->service.path;
    if (!changes)
        return false;
    if (tier->service.path_filled && !(leg->path = fill_path(x, tier->service.path_filled)))
        return false;
    changes->own_query = leg->path && strchr(leg->path, '?');
    changes->method = bytes_of(tier->service.method);
    changes->headers = tier->service.headers;
    changes->header_count = tier->service.header_count;
    if (bytes_equal(changes->method, BYTES("GET")))
        changes->body = BYTES("");
    if (changes->header_count && !write_lines(x, tier, changes))
        return false;
    return !tier->service.set_filled || patch_body(x, tier->service.set_filled, &changes->body);
}

/* ---- the tier -------------------------------------------------------------------- */

static bool is_idempotent(const struct leg *parent, const struct leg *leg) {
    if (!leg->changes->method.len)
        return parent->call.request.idempotent;
    return http_method_is_idempotent(http_method_of(leg->changes->method)) ||
           fields_find(&leg->x->request, HTTP_IDEMPOTENCY_KEY).len > 0;
}

enum tier_result tier_service(struct leg *parent, const struct tier_options *tier,
                              struct service *service, uint64_t deadline_ns) {
    struct exchange *x = parent->x;
    if (x->kept_dropped || depth(parent) >= EXCHANGE_LEGS_MAX)
        return TIER_FAILED; /* the request cannot be told again */
    struct leg *leg = arena_zalloc(&x->arena, sizeof *leg);
    if (!leg)
        return TIER_FAILED;
    leg->x = x;
    leg->parent = parent;
    leg->service = service;
    leg->wake_ns = SWG_NEVER;
    if (!make_changes(leg, tier))
        return TIER_FAILED;
    x->leg = leg;
    struct swg_request request = {
        .idempotent = is_idempotent(parent, leg),
        .safe = parent->call.request.safe,
        .good_only = true, /* else there may be a better tier, or the first service's words */
        .refuse =
            emergency_sheds(x->worker->gateway, service) ? SWG_REFUSED_EMERGENCY : SWG_ADMITTED,
        .deadline_ns = deadline_ns,
        .seed = worker_random(x->worker),
    };
    leg_run(leg, swg_call_start(&leg->call, service->policy, &request, exchange_on_grant,
                                exchange_now(x)));
    return TIER_PENDING;
}
