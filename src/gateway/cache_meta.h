/* cache_meta.h - what heads say to a cache: wire's fields into engine's facts. */
#ifndef SWG_GATEWAY_CACHE_META_H
#define SWG_GATEWAY_CACHE_META_H

#include "gateway/cache.h"
#include "gateway/options.h"
#include "wire/http.h"

static inline struct swg__directives cache_directives_of(const struct http_cache_control *c) {
    return (struct swg__directives){
        .max_age = c->max_age,
        .s_maxage = c->s_maxage,
        .stale_while_revalidate = c->stale_while_revalidate,
        .stale_if_error = c->stale_if_error,
        .max_stale = c->max_stale,
        .min_fresh = c->min_fresh,
        .no_store = c->no_store,
        .no_cache = c->no_cache || c->no_cache_fields,
        .private_ = c->private_ || c->private_fields,
        .public_ = c->public_,
        .must_revalidate = c->must_revalidate,
        .proxy_revalidate = c->proxy_revalidate,
        .must_understand = c->must_understand,
        .only_if_cached = c->only_if_cached,
    };
}

static inline struct swg__cache_terms cache_terms_of(const struct cache_options *o) {
    return (struct swg__cache_terms){
        .fresh_ns = o->fresh_ns, .stale_ns = o->stale_ns, .force_stale = o->force_stale};
}

/* Everything in *request; `fields` must outlive it. Clear nothing, but set
 * `alone` for a request that must not fetch for others. */
void cache_request_read(struct cache_request *, const struct http_field *fields, uint16_t count);

/* Everything in *answer that the answer's head and its request say, but for
 * `length`, `lines`, and facts.asked_ns and came_ns, which the caller sets.
 * wall_s is the Unix time now. `fields` must outlive it. */
void cache_answer_read(struct cache_answer *, int status, const struct http_field *fields,
                       uint16_t count, const struct cache_request *, int64_t wall_s);

#endif
