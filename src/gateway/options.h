/* options.h - what the gateway is told to do: plain structs, never YAML.
 *
 * src/config fills them from a file, tests by hand. All strings are UTF-8
 * and NUL-terminated, owned by `gateway_options.arena`; durations are
 * nanoseconds with SWG_OFF for "none"; everything has its final value
 * (defaults and inheritance are applied by whoever fills). Immutable once
 * handed to the gateway; counted, so that an exchange keeps what it began
 * with while a reload brings in the next. */
#ifndef SWG_GATEWAY_OPTIONS_H
#define SWG_GATEWAY_OPTIONS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include <switchgear/policy.h>

#include "base/bytes.h"
#include "engine/damper.h"
#include "engine/overall.h"
#include "gateway/value.h"

struct arena;

/* An address range whose hops are believed in X-Forwarded-For and the like. */
struct cidr {
    struct in6_addr address; /* v4 as ::ffff:a.b.c.d */
    uint8_t bits;
};

enum listen_protocol { PROTOCOL_HTTP, PROTOCOL_TCP };

enum expose { EXPOSE_AUTO, EXPOSE_FULL, EXPOSE_OFF };

struct listen_options {
    const char *address; /* "127.0.0.1:8080", "[::]:80", "unix:/run/x.sock" as written */
    const char *host;    /* NULL for unix */
    uint16_t port;       /* 0: any free one, printed at start */
    const char *unix_path;
    enum listen_protocol protocol;
    const char *service; /* where the connections of a tcp listener go; else NULL */
    enum expose expose;  /* AUTO: full on loopback and unix, else off */
    uint32_t trusted_count;
    const struct cidr *trusted; /* clients that may tell who they forward for */
};

struct admin_options {
    bool enabled;
    const char *host;
    uint16_t port;
    const char *token; /* NULL: none; only on loopback then */
};

enum endpoint_scheme { SCHEME_HTTP, SCHEME_UNIX, SCHEME_TCP };

struct endpoint_options {
    const char *name; /* as written: "http://127.0.0.1:8001" */
    enum endpoint_scheme scheme;
    const char *host; /* for resolving; NULL for unix */
    uint16_t port;
    const char *unix_path;
    const char *authority; /* host[:port], for the Host field where the client's is not kept */
    const char *base_path; /* prefix of every request's path; "" for none */
    uint32_t weight;
};

/* Beside swg_timeout_options: what only the transport knows. */
struct transport_options {
    uint64_t idle_ns;         /* nothing moves in a relayed body; default 60 s */
    uint64_t upgrade_idle_ns; /* nothing moves in an upgraded connection; default 1 h */
    uint64_t first_token_ns;  /* from the request to the first token of a stream; default off */
    uint64_t token_idle_ns;   /* no token of a stream; default off */
    uint64_t keep_alive_ns;   /* an idle upstream connection is kept so long; default 4 s */
    uint32_t body_keep;       /* request body bytes kept for a retry; default 64 KiB */
    bool preserve_host;       /* send the client's Host; default true */
};

/* Parts of a cache key. */
enum cache_key_part {
    KEY_METHOD = 1 << 0,
    KEY_PATH = 1 << 1,
    KEY_QUERY = 1 << 2,
    KEY_BODY = 1 << 3, /* whole body, hashed; needs a request that is kept whole */
    KEY_HOST = 1 << 4,
    KEY_BODY_FIELDS = 1 << 5, /* JSON fields of the body; the same */
};
enum { KEY_FROM_BODY = KEY_BODY | KEY_BODY_FIELDS };

enum cache_store_kind { CACHE_STORE_MEMORY, CACHE_STORE_DISK, CACHE_STORE_REDIS };
enum { CACHE_STORE_KINDS = CACHE_STORE_REDIS + 1 };

struct cache_options {
    bool enabled;
    enum cache_store_kind store; /* behind the memory, which is always there */
    uint64_t fresh_ns;     /* for answers that say nothing themselves; 0: only what they say */
    uint64_t stale_ns;     /* kept and usable by the stale tier so long after freshness ends */
    uint32_t key;          /* enum cache_key_part, or-ed; default METHOD|HOST|PATH|QUERY */
    uint32_t header_count; /* request fields that are part of the key */
    const char *const *headers;
    uint32_t body_field_count; /* JSON fields of the body that are: "messages.0.role" */
    const char *const *body_fields;
    bool force_stale; /* serve stale even where the answer forbids it (must-revalidate …) */
};

/* What all services with `store: disk` share. */
struct cache_disk_options {
    const char *path; /* NULL: none */
    uint64_t bytes, entries;
    uint64_t timeout_ns; /* for a look-up */
};

/* And those with `store: redis`. */
struct cache_redis_options {
    bool configured;
    const char *host; /* NULL for unix */
    uint16_t port;
    const char *unix_path;
    const char *user, *password; /* NULL: none */
    uint32_t database;
    uint64_t timeout_ns; /* for a look-up */
    const char *prefix;  /* of all keys */
};

/* What an active check asks; see checks/check.h. AUTO: what fits the endpoint. */
enum health_check {
    HEALTH_CHECK_AUTO,
    HEALTH_CHECK_HTTP,
    HEALTH_CHECK_TCP,
    HEALTH_CHECK_REDIS,
    HEALTH_CHECK_POSTGRES,
    HEALTH_CHECK_SQL,
};

struct health_options {
    bool enabled;
    enum health_check check;
    const char *path;            /* http */
    uint64_t expect[10];         /* http: statuses that are good; swg_status_in() */
    const char *user, *password; /* redis; user also postgres; NULL: none */
    const char *database;        /* sql: as written; NULL: none */
    uint32_t database_index;     /* of it, in gateway_options.databases */
    const char *query;           /* as written */
    struct bytes query_text;     /* as the database gets it */
    bool row;                    /* sql: a result without rows is a failure */
    uint64_t interval_ns;        /* default 10 s */
    uint64_t timeout_ns;         /* default 2 s */
};

enum tier_kind { TIER_STALE, TIER_SERVICE, TIER_STATIC, TIER_QUEUE, TIER_SQL };

/* How a service takes several writes in one request. */
enum batch_form { BATCH_JSON_ARRAY, BATCH_NDJSON, BATCH_FIRESTORE };

/* Writes that wait until the service is back. */
struct queue_options {
    uint32_t max_entries;     /* default 50,000 */
    uint64_t max_bytes;       /* of all entries' content; default 256 MiB */
    uint32_t body_max;        /* of one; default 1 MiB */
    uint64_t expires_ns;      /* not worth sending after that; default SWG_OFF */
    uint32_t window;          /* sent at once, at most; default 64 */
    uint64_t base_ns, cap_ns; /* pauses after failures; default 1 s and 100 s */
    uint32_t batch_max;       /* writes of one request; default 1 */
    uint32_t batch_form;      /* enum batch_form */
    const char *batch_path;   /* where batches go; NULL: where the writes do */
    const char *batch_key;    /* field of each write that gets its key; NULL: none */
    bool ordered;
    struct value_source order_by; /* what has the same value goes in order */
    const char *message;          /* what users read */
};

/* "stale" …, as in the configuration and in names of tiers. */
const char *tier_kind_word(enum tier_kind);

struct template;

/* What the sql tiers ask. */
struct database_options {
    const char *name; /* as configured; of a URL in a tier: that, without its password */
    const char *url;  /* may have a password in it: never shown */
    uint32_t size, overflow;
    uint64_t pre_ping_ns, recycle_ns;
    bool writable;
    bool from_url;                    /* of a tier, not under `databases` */
    struct swg_policy_options policy; /* of the database; connect_ns also of its connections */
    struct health_options health;     /* of the database itself: sql */
};

/* A value's type where it is bound; ANY: JSON's own, else text. */
enum sql_parameter_type {
    SQL_PARAMETER_ANY,
    SQL_PARAMETER_TEXT,
    SQL_PARAMETER_INTEGER,
    SQL_PARAMETER_REAL,
    SQL_PARAMETER_BOOLEAN,
};

struct sql_parameter {
    const char *name;
    const char *source; /* as written */
    struct value_source from;
    enum sql_parameter_type type;
    bool nullable; /* NULL where the request has no such value */
};

struct header_value {
    const char *name, *value;      /* value NULL: the field is taken away */
    const struct template *filled; /* the value, where it has holes; else NULL */
    bool secret;                   /* never shown */
};

struct tier_options {
    enum tier_kind kind;
    const char *name;       /* "1-stale": position and kind, as in metrics */
    uint32_t share_percent; /* of the time that is left */
    uint64_t floor_ns;      /* but at least so much, also when none is left; 0: no such thing */
    bool needs_body;        /* begins when the request's body is here, as far as it is kept */
    union {
        struct {
            uint64_t max_ns; /* older than so much past freshness is not served */
        } stale;
        struct {
            const char *service; /* by name; always one that exists */
            const char *path;    /* replaces the path; NULL: the request's own. With a query of
                                    its own: instead of the request's */
            const struct template *path_filled; /* the same, where it has holes */
            const char *method;                 /* NULL: the request's */
            const char *set_json;               /* a merge patch (RFC 7396) of the body; or NULL */
            const struct template *set_filled;
            uint32_t header_count;
            const struct header_value *headers;
        } service;
        struct queue_options queue;
        struct {
            int status;
            const char *content_type;
            struct bytes body;
            const char *file;              /* the body came from there; or NULL */
            const struct template *filled; /* the body, where it has holes; else NULL */
            bool of_caller;                /* has the caller's own words somewhere */
            uint32_t header_count;
            const struct header_value *headers;
        } fixed;
        struct {
            const char *database; /* as written: a name, or a URL */
            uint32_t index;       /* of it, in gateway_options.databases */
            const char *query;    /* as written */
            struct bytes text;    /* as the database gets it */
            uint32_t count;
            const struct sql_parameter *parameters; /* in the order of the text's numbers */
            uint32_t shape;                         /* enum sql_shape of store */
            uint32_t max;                           /* bytes of the result */
            const char *wrap; /* the answer is an object with the result under this key */
            const char *with; /* and with these before it: a JSON object; or NULL */
            bool is_public;   /* anybody may choose the values */
            bool empty_is_fine;
            uint32_t line, column; /* of the query in the file */
        } sql;
    };
};

enum read_only_when { READ_ONLY_OPEN, READ_ONLY_DEGRADED, READ_ONLY_ALWAYS, READ_ONLY_OFF };

/* When a service takes no writes; see read_only.h. */
struct read_only_options {
    bool enabled;
    bool sql;                 /* the statement's verb tells reads from writes */
    enum read_only_when when; /* OPEN: no endpoint's breaker is closed; DEGRADED: not all are */
    uint32_t allow;           /* bits of 1 << enum http_method: methods that pass all the same */
};

/* Another service that one needs. */
struct dependency_options {
    const char *service;
    bool soft; /* it serves without, if less well */
};

struct service_options {
    const char *name;
    bool tcp; /* takes connections, not requests; see tcp.h */
    uint32_t endpoint_count;
    const struct endpoint_options *endpoints;
    struct swg_policy_options policy; /* its endpoint and tier lists are filled too */
    bool rate_per_client;             /* rate limit per client address, else for all together */
    struct transport_options transport;
    struct cache_options cache;
    struct health_options health;
    const char *message_open;    /* users' sentence; never NULL */
    const char *message_timeout; /* users' sentence; never NULL */
    const char *message_read_only;
    const char *message_emergency;
    struct read_only_options read_only;
    bool critical;
    bool essential; /* false: resilience.emergency.shed switches it off */
    uint32_t depends_count;
    const struct dependency_options *depends_on; /* without circles */
    uint32_t tier_count;
    const struct tier_options *tiers;
};

/* One part of the answer of a route that has several. */
struct part_options {
    const char *name;
    const char *service;                /* by name; always one that exists */
    const char *path;                   /* with a query, perhaps */
    const struct template *path_filled; /* the same, where it has holes */
    uint64_t timeout_ns;                /* SWG_OFF: the service's own limits only */
    bool required;                      /* without it there is no answer */
    uint32_t max;                       /* bytes */
};

/* One piece of a path pattern: a literal or a {name} that matches one
 * non-empty segment. */
struct route_options {
    const char *pattern;      /* "/api/v1/users/{id}" whole, or a prefix */
    bool prefix;              /* matches "/x" and "/x/…", not "/xy" */
    const char *strip_prefix; /* NULL: none */
    uint32_t method_mask;     /* bits of 1 << enum http_method; 0: all */
    const char *host;         /* NULL: any; "*.example.com" allowed */
    const char *service;
    uint32_t service_index; /* into services */
    uint32_t part_count;    /* not 0: no service, but these */
    const struct part_options *parts;
};

struct limit_options {
    uint32_t headers;                /* fields in a head; default 100 */
    uint32_t header_bytes;           /* bytes of a head; default 16 KiB */
    uint32_t url;                    /* bytes of a target; default 8 KiB */
    uint64_t body;                   /* bytes of a request body; default unlimited (SWG_OFF) */
    uint32_t connections;            /* client connections, all workers; default 100,000 */
    uint32_t connections_per_client; /* default 0: no limit */
    uint64_t header_timeout_ns;      /* a head must be whole by then; default 10 s */
    uint64_t idle_timeout_ns;        /* keep-alive without a request; default 75 s */
    uint64_t body_rate; /* bytes a second a client must send at least; default 0: none */
};

/* What the state of the whole is, and what follows from it: manager.h. */
struct resilience_options {
    struct swg__overall_options overall;
    struct swg__damper_options flap;
    bool flap_off; /* then flap is not used */
    bool manual_recovery;
    bool emergency_read_only, emergency_shed;
};

enum log_requests { LOG_REQUESTS_OFF, LOG_REQUESTS_ALL, LOG_REQUESTS_ERRORS, LOG_REQUESTS_SAMPLED };

struct log_options {
    bool logfmt;
    int level; /* enum log_level of observe */
    enum log_requests requests;
    uint32_t sample; /* one in so many */
};

/* Where spans go, and which. */
struct trace_options {
    bool enabled;
    struct endpoint_options collector; /* OTLP over HTTP; base_path: before /v1/traces */
    uint32_t sample;                   /* of a million traces that begin here; default 1% */
    bool trusted_only;                 /* other clients' traceparent is replaced */
    const char *service_name;          /* default "switchgear" */
    uint32_t header_count;
    const struct header_value *headers; /* of requests to the collector; their values are secret */
};

struct drain_options {
    bool enabled;        /* else both times below are 0 */
    uint64_t within_ns;  /* both together take no longer; SWG_OFF: they may */
    uint64_t delay_ns;   /* go on accepting, telling clients to close; default 5 s */
    uint64_t timeout_ns; /* then running requests get so long; default 30 s */
};

/* One key of a service's policy as it was changed at run time. */
struct policy_patch {
    const char *service;
    const char *key;   /* "breaker.failures", below the service */
    const char *value; /* as JSON; "null": the file's is taken away */
    const char *author, *reason;
    uint64_t unix_ms; /* since when */
};

/* When the process says that it is not alive; see cli/watchdog.h. */
struct watchdog_options {
    uint64_t loop_ns;      /* an event loop in one turn for so long hangs; default 10 s */
    uint64_t memory_bytes; /* resident; 0: no matter */
};

/* A file that a secret was read from, and will be again. */
struct secret_file {
    const char *path;
    const struct secret_file *next;
};

enum confine_choice { CONFINE_OFF, CONFINE_AUTO, CONFINE_ON };

/* What the process gives up once it has started. */
struct confine_options {
    const char *user, *group; /* NULL: stays who it is; its own group */
    int seccomp, landlock;    /* enum confine_choice */
};

struct gateway_options {
    uint32_t references; /* gateway_options_hold(), _release() */
    struct arena *arena;
    const char *file;     /* where it came from */
    struct bytes source;  /* what stood there; has secrets in it */
    uint32_t patch_count; /* laid over it, in this order */
    const struct policy_patch *patches;
    uint32_t workers;         /* never 0 */
    const char *store_file;   /* what must last, in SQLite; default switchgear.db */
    const char *store_url;    /* postgresql://… in place of it; NULL: none */
    uint64_t store_lease_ns;  /* default 15 s */
    const char *store_secret; /* one or more of 64 hexadecimal digits: content is sealed;
                                 NULL: it is not */
    uint64_t cache_bytes;     /* memory store of all services; default 64 MiB */
    uint64_t cache_entries;   /* the same in entries; default 0: no limit */
    struct cache_disk_options cache_disk;
    struct cache_redis_options cache_redis;
    struct limit_options limits;
    struct drain_options drain;
    struct resilience_options resilience;
    struct watchdog_options watchdog;
    struct log_options log;
    struct trace_options trace;
    struct admin_options admin;
    struct confine_options confine;
    const struct secret_file *secret_files; /* NULL: none */
    uint32_t listen_count;
    const struct listen_options *listens;
    uint32_t database_count;
    const struct database_options *databases;
    uint32_t service_count;
    const struct service_options *services;
    uint32_t route_count;
    const struct route_options *routes; /* in order; first match wins */
};

/* Any thread. Release frees at the last reference. */
struct gateway_options *gateway_options_hold(struct gateway_options *);
void gateway_options_release(struct gateway_options *);

#endif
