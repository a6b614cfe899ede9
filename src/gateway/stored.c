/* stored.c - see stored.h. */
#include "gateway/stored.h"

#include <switchgear/time.h>

#include "base/buf.h"
#include "gateway/fields.h"
#include "gateway/worker.h"

#define MODIFIED_MAX_S INT64_C(253402300799) /* the year 9999: all that a date can say */

static uint64_t to_ms(uint64_t ns) {
    return ns / SWG_MS(1);
}

/* Records are bound to a hundred years. */
static uint64_t to_ns(uint64_t ms) {
    return ms * SWG_MS(1);
}

void stored_to_record(struct cache_record *r, const struct cache_stored *s,
                      const struct cache_key *key, int64_t wall_ms, uint64_t now_ns) {
    const struct swg__freshness *life = &s->life;
    uint64_t since_ms = to_ms(now_ns > life->at_ns ? now_ns - life->at_ns : 0);
    *r = (struct cache_record){.kind = CACHE_RECORD_ANSWER,
                               .status = (uint16_t)s->status,
                               .stale_forbidden = life->stale_forbidden,
                               .has_last_modified = s->has_last_modified,
                               .last_modified_s = s->last_modified_s,
                               .came_ms = wall_ms - (int64_t)since_ms,
                               .age_ms = to_ms(life->age_ns),
                               .lifetime_ms = to_ms(life->lifetime_ns),
                               .revalidate_ms = to_ms(life->revalidate_ns),
                               .stale_ms = to_ms(life->stale_ns),
                               .stale_forced_ms = to_ms(life->stale_forced_ns),
                               .varied = s->varied,
                               .etag = s->etag,
                               .lines = s->lines,
                               .body = s->body};
    r->came_ms = r->came_ms < 0 ? 0 : r->came_ms;
    memcpy(r->key, key->bytes, sizeof r->key);
}

/* ---- and back ----------------------------------------------------------------- */

static struct swg__freshness life_of(const struct cache_record *r, int64_t wall_ms,
                                     uint64_t now_ns) {
    uint64_t passed_ms = wall_ms > r->came_ms ? (uint64_t)(wall_ms - r->came_ms) : 0;
    uint64_t age_ms = r->age_ms, lifetime_ms = r->lifetime_ms;
    if (r->came_ms > wall_ms && lifetime_ms > age_ms + STORED_FUTURE_MAX_MS)
        lifetime_ms = age_ms + STORED_FUTURE_MAX_MS;
    if (passed_ms > CACHE_RECORD_LIFE_MAX)
        passed_ms = CACHE_RECORD_LIFE_MAX;
    return (struct swg__freshness){.at_ns = now_ns,
                                   .age_ns = to_ns(age_ms + passed_ms),
                                   .lifetime_ns = to_ns(lifetime_ms),
                                   .revalidate_ns = to_ns(r->revalidate_ms),
                                   .stale_ns = to_ns(r->stale_ms),
                                   .stale_forced_ns = to_ns(r->stale_forced_ms),
                                   .stale_forbidden = r->stale_forbidden};
}

static bool is_good_tag(struct bytes tag) {
    for (size_t i = 0; i < tag.len; i++) {
        unsigned char c = (unsigned char)tag.at[i];
        if (c < 0x20 || c == 0x7f)
            return false;
    }
    return true;
}

static bool is_sent_by_cache(const struct http1_head *head) {
    const struct field_set *drop = fields_dropped_from_responses();
    for (uint16_t i = 0; i < head->field_count; i++) {
        unsigned id = head->fields[i].id;
        if (field_set_has(drop, id) || id == HTTP_AGE || id == HTTP_CONTENT_LENGTH ||
            id == HTTP_TRANSFER_ENCODING || id == HTTP_SET_COOKIE)
            return false;
    }
    return true;
}

/* They go to clients as they are. */
static bool are_good_lines(struct bytes lines, struct arena *arena, struct worker *w) {
    struct buf text;
    size_t room = lines.len + 64, used = 0;
    char *memory = lines.len < WORKER_SCRATCH ? arena_alloc(arena, room) : NULL;
    struct http1_limits limits = {
        .head_bytes = UINT32_MAX, .target = UINT32_MAX, .fields = WORKER_FIELDS};
    struct http1_head head = {.fields = w->request_fields}; /* nobody's at this moment */
    if (!memory)
        return false;
    buf_init_fixed(&text, memory, room);
    buf_literal(&text, "HTTP/1.1 200 \r\n");
    buf_bytes(&text, lines);
    buf_literal(&text, "\r\n");
    return !text.failed &&
           http1_parse_response(text.at, text.len, 0, HTTP_HEAD, &limits, &head, &used) ==
               HTTP1_OK &&
           used == text.len && is_sent_by_cache(&head);
}

bool stored_from_record(struct cache_stored *s, const struct cache_record *r, int64_t wall_ms,
                        uint64_t now_ns, struct arena *arena, struct worker *w) {
    if (r->kind != CACHE_RECORD_ANSWER || r->status < 200 || r->status > 599 || r->status == 206 ||
        r->status == 304 || !is_good_tag(r->etag) || !are_good_lines(r->lines, arena, w))
        return false;
    bool dated =
        r->has_last_modified && r->last_modified_s >= 0 && r->last_modified_s <= MODIFIED_MAX_S;
    *s = (struct cache_stored){.status = r->status,
                               .life = life_of(r, wall_ms, now_ns),
                               .has_last_modified = dated,
                               .last_modified_s = dated ? r->last_modified_s : 0,
                               .varied = r->varied,
                               .etag = r->etag,
                               .lines = r->lines,
                               .body = r->body};
    return true;
}
