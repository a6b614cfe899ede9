/* fill.h - carries a document into the options structs, by the table.
 *
 * fill_map() goes through a mapping and gives each value to the type of its
 * directive; an unknown key, a wrong value, a missing one is reported, and
 * filling goes on, so that one run finds all errors.
 *
 * Inheritance is copying: a service starts as a copy of the defaults, with the
 * places where each directive was named, and then its own mapping is filled
 * over it. */
#ifndef SWG_CONFIG_FILL_H
#define SWG_CONFIG_FILL_H

#include "base/arena.h"
#include "base/buf.h"
#include "config/directives.h"
#include "config/document.h"
#include "config/report.h"
#include "gateway/options.h"

/* Where each directive was named; NULL: nowhere, the default holds. */
struct named {
    const struct node *at[DIRECTIVES_MAX];
};

/* A service in the making. */
struct draft {
    struct service_options options;
    struct named named;
    const struct node *key; /* its name in the file; NULL: the defaults */
    const struct node *endpoint_at[SWG_ENDPOINTS_MAX];
    const struct node *tier_at[SWG_TIERS_MAX];
    const struct node *const *depends_at;
    const struct node *shadow_at; /* NULL: none */
    bool wanted;                  /* a route, a tier or another service leads to it */
};

enum { FILL_PATH_MAX = 160, SERVICES_MAX = 1000, OPTIONS_BYTES_MAX = 64 << 20 };

struct fill {
    struct config_report *report;
    struct arena *arena;   /* of the options: lives as long as they */
    struct arena *scratch; /* of the load */
    struct gateway_options *options;
    struct named top;
    struct named *named; /* of what is being filled */
    bool in_defaults;
    bool starved;               /* out of memory, reported once */
    char path[FILL_PATH_MAX];   /* "services.shop.breaker", for messages */
    const struct node *listens; /* NULL: none is named */
    const struct node *databases, *defaults, *services, *routes; /* filled in this order */
    struct database_options *database_list;                      /* options.databases */
    struct draft base;
    struct draft *drafts; /* in the order of options.services */
    uint32_t draft_count;
};

void fill_map(struct fill *, const char *scope, const struct node *map, void *base);
/* Every default of the scope and of the groups in it. */
void fill_defaults(struct fill *, const char *scope, void *base);
/* Adds to the path for messages; fill_leave() takes back what fill_enter() answered. */
size_t fill_enter(struct fill *, const char *format, ...) __attribute__((format(printf, 2, 3)));
void fill_leave(struct fill *, size_t);

const struct node *named_at(const struct named *, const char *path);

/* Zeroed memory of the options. NULL: out of memory, which is reported. */
void *fill_alloc(struct fill *, size_t count, size_t size);
void *fill_scratch(struct fill *, size_t count, size_t size);
const char *fill_copy(struct fill *, struct bytes); /* of the options; "" when starved */

/* The text of a scalar with its ${…} replaced; false: reported. The result is
 * followed by a NUL. */
bool fill_text(struct fill *, const struct directive *, const struct node *, struct bytes *);
/* expand_file() of a secret, and the options remember where it was. */
int fill_secret_file(struct fill *, const char *path, struct buf *to);
/* "services.shop.breaker.open is "x"; expected … (default …)" */
bool fill_wrong(struct fill *, const struct directive *, const struct node *,
                const char *suggestion);
/* The same with other words for what was expected. */
bool fill_wrong_but(struct fill *, const struct node *, const char *expected,
                    const char *suggestion);
bool fill_too_many(struct fill *, const struct node *, const char *expected);
/* "a duration from 1ms to 24h, or off (default 5s)" */
void fill_expected(const struct directive *, struct buf *);
bool fill_later(struct fill *, const struct node *, const char *what);
/* Nearest service of that name, for suggestions; -1: none has it. */
int fill_service_index(const struct fill *, struct bytes name);
void fill_unknown_service(struct fill *, const struct node *, struct bytes name);

/* The items of a list, or a single value as the only one. */
struct items {
    const struct node *only;
    const struct node_entry *next;
};
struct items items_of(const struct node *);
const struct node *items_next(struct items *);
uint32_t items_count(const struct node *);

/* Unsigned fields of 1, 4 and 8 bytes, by the row's offset and width. */
void field_set(const struct directive *, void *base, uint64_t);
uint64_t field_get(const struct directive *, const void *base);

/* What follows from all keys of a static tier. */
void fill_static_finish(struct fill *, const struct node *, struct tier_options *);
/* The mapping of names to values as header fields, with holes where they have
 * any; `removes`: null takes a field away, file:/path is a secret. */
bool fill_headers(struct fill *, const struct directive *, const struct node *, bool removes,
                  const struct header_value **out, uint32_t *count);
void fill_headers_write(struct json_out *, const char *key, const struct header_value *,
                        uint32_t count);
/* The index of a tier's database, by name or URL; -1: reported. `text` is the
 * options'. */
int fill_database(struct fill *, const struct node *, const char *text);
/* Of a service, or a database. */
bool name_is_good(struct bytes);
/* A service's check, after all keys. */
void finish_health(struct fill *, struct draft *);
/* Its query on that database; `at` is where it was written. */
void finish_health_query(struct fill *, const struct node *at, struct health_options *,
                         const struct database_options *);
/* What it does not name it has from the live breaker, which is filled. */
void fill_shadow(struct fill *, struct draft *);
/* Where `policy` names a trip rule of its breaker, in `scope`, the inherited ones go. */
void fill_trip_rules(const struct node *policy, const char *scope, struct draft *);
/* What follows from all keys of a breaker in `scope`. */
void finish_breaker(struct fill *, struct draft *, const char *scope, struct swg_breaker_options *);
/* A sql tier, after its keys. */
void finish_sql(struct fill *, const struct node *, struct tier_options *);

/* What stands for the whole lists, once all is filled. */
void fill_databases(struct fill *);
void fill_policies(struct fill *); /* defaults, then services */
void fill_tcp(struct fill *);      /* which of them take connections, and what leads there */
/* Whether requests may be led to the service; false: reported. */
bool fill_takes_requests(struct fill *, const struct node *at, int service);
bool fill_has_http_listener(const struct fill *);
void fill_routes(struct fill *);
void check_whole(struct fill *); /* what no value shows alone */
void check_trace(struct fill *); /* a part of it */

#endif
