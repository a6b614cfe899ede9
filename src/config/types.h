/* types.h - the kinds of values that the directive table speaks of. */
#ifndef SWG_CONFIG_TYPES_H
#define SWG_CONFIG_TYPES_H

#include "config/directives.h"

/* ---- types.c: a single value ------------------------------------------- */
extern const struct directive_type type_group;    /* a mapping, rows of its own */
extern const struct directive_type type_switched; /* such a mapping, or off; field: bool */
extern const struct directive_type type_unless;   /* the same, the field says the opposite */
extern const struct directive_type type_bool, type_not_bool;
extern const struct directive_type type_count, type_duration, type_size, type_percent;
extern const struct directive_type type_rate;       /* struct swg_rate_options */
extern const struct directive_type type_per_second; /* "10/s" as a count */
extern const struct directive_type type_choice;
extern const struct directive_type type_text;   /* one line for people */
extern const struct directive_type type_path;   /* of a request */
extern const struct directive_type type_secret; /* never printed; file:/path */
extern const struct directive_type type_later;  /* known from later versions */
extern const struct directive_type type_empty;  /* harmless while empty, later otherwise */

/* ---- types_policy.c: values made of several ----------------------------- */
extern const struct directive_type type_window;    /* calls or time */
extern const struct directive_type type_retry_on;  /* connect, 503, … */
extern const struct directive_type type_cache_key; /* method, header.X, … */
extern const struct directive_type type_requests;  /* all, errors, off, 1/100 */

/* ---- listen.c ------------------------------------------------------------ */
extern const struct directive_type type_listens, type_listen_address, type_trust;
extern const struct directive_type type_admin_address;

/* ---- redis.c ------------------------------------------------------------- */
extern const struct directive_type type_redis_url, type_redis_prefix;

/* ---- trace.c ------------------------------------------------------------- */
extern const struct directive_type type_collector, type_sample, type_trace_headers;

/* ---- services.c ---------------------------------------------------------- */
extern const struct directive_type type_defaults, type_services, type_endpoints, type_url;
extern const struct directive_type type_depends;

/* ---- shadow.c ------------------------------------------------------------ */
extern const struct directive_type type_shadow;

/* ---- health.c ------------------------------------------------------------- */
extern const struct directive_type type_statuses;                           /* uint64_t[10] */
extern const struct directive_type type_health_database, type_health_query; /* health_options */

/* ---- fallback.c ---------------------------------------------------------- */
extern const struct directive_type type_fallback;

/* ---- fallback_static.c, fallback_service.c --------------------------------- */
extern const struct directive_type type_body_json, type_body_text, type_body_raw, type_body_file;
extern const struct directive_type type_headers;
extern const struct directive_type type_tier_service, type_tier_path, type_tier_method;
extern const struct directive_type type_json_patch, type_set_headers;

/* ---- store.c --------------------------------------------------------------- */
extern const struct directive_type type_store, type_store_key;

/* ---- fallback_queue.c ------------------------------------------------------ */
extern const struct directive_type type_order_by;

/* ---- databases.c, fallback_sql.c ------------------------------------------ */
extern const struct directive_type type_databases, type_database_url;
extern const struct directive_type type_tier_database, type_query, type_params, type_sql_with;

/* ---- routes.c ------------------------------------------------------------ */
extern const struct directive_type type_routes, type_pattern, type_methods, type_host;

/* ---- aggregate.c ---------------------------------------------------------- */
extern const struct directive_type type_aggregate, type_part_path;

/* " from 1ms to 24h", where the row has bounds. */
void directive_bounds(const struct directive *, struct buf *);

/* A token (RFC 9110 section 5.6.2) of at most 256 bytes. */
bool header_name_is_good(struct bytes);

#endif
