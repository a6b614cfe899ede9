/* directives.c - THE table: see directives.h.
 *
 * The order of the rows is the order of the reference page and of the printed
 * configuration. A group stands before its keys. Bounds are those of the
 * engine, so that whatever loads can also be created. */
#include "config/directives.h"

#include <assert.h>
#include <string.h>

#include "config/types.h"
#include "gateway/options.h"
#include "observe/log.h"
#include "store/sql.h"

#define FIELD(type, field) offsetof(struct type, field), sizeof(((struct type *)0)->field)
#define TOP(field)         FIELD(gateway_options, field)
#define LISTEN(field)      FIELD(listen_options, field)
#define SERVICE(field)     FIELD(service_options, field)
#define ENDPOINT(field)    FIELD(endpoint_options, field)
#define TIER(field)        FIELD(tier_options, field)
#define DATABASE(field)    FIELD(database_options, field)
#define PART(field)        FIELD(part_options, field)
#define ROUTE(field)       FIELD(route_options, field)
#define NO_FIELD           0, 0

#define MS(n)  SWG_MS(n)
#define S(n)   SWG_SECONDS(n)
#define H(n)   SWG_HOURS(n)
#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define TIB(n) ((uint64_t)(n) << 40)
#define YEAR   SWG_HOURS(24 * 365)
#define OFF \
    { "off", SWG_OFF, false }
#define LATER(path) \
    { path, &type_later, NO_FIELD, .flags = DIRECTIVE_LATER }

static const struct choice expose_choices[] = {
    {"auto", EXPOSE_AUTO, false}, {"full", EXPOSE_FULL, false}, {"off", EXPOSE_OFF, false}, {0}};
static const struct choice protocol_choices[] = {{"http", 0, false},    {"redis", 0, true},
                                                 {"postgres", 0, true}, {"mongodb", 0, true},
                                                 {"tcp", 0, true},      {0}};
static const struct choice format_choices[] = {{"json", 0, false}, {"logfmt", 1, false}, {0}};
static const struct choice level_choices[] = {{"debug", LOG_DEBUG, false},
                                              {"info", LOG_INFO, false},
                                              {"warn", LOG_WARN, false},
                                              {"error", LOG_ERROR, false},
                                              {0}};
static const struct choice requests_choices[] = {{"off", LOG_REQUESTS_OFF, false},
                                                 {"all", LOG_REQUESTS_ALL, false},
                                                 {"errors", LOG_REQUESTS_ERRORS, false},
                                                 {0}};
static const struct choice jitter_choices[] = {{"full", SWG_JITTER_FULL, false},
                                               {"equal", SWG_JITTER_EQUAL, false},
                                               {"decorrelated", SWG_JITTER_DECORRELATED, false},
                                               {"none", SWG_JITTER_NONE, false},
                                               {0}};
static const struct choice read_only_choices[] = {{"open", READ_ONLY_OPEN, false},
                                                  {"degraded", READ_ONLY_DEGRADED, false},
                                                  {"always", READ_ONLY_ALWAYS, false},
                                                  {"off", READ_ONLY_OFF, false},
                                                  {0}};
static const struct choice method_choices[] = {
    {"idempotent", false, false}, {"any", true, false}, {0}};
static const struct choice balance_choices[] = {{"least_request", SWG_LEAST_REQUEST, false},
                                                {"round_robin", SWG_ROUND_ROBIN, false},
                                                {"random", SWG_RANDOM, false},
                                                {0}};
static const struct choice per_choices[] = {
    {"service", false, false}, {"client", true, false}, {0}};
static const struct choice batch_choices[] = {{"json_array", BATCH_JSON_ARRAY, false},
                                              {"ndjson", BATCH_NDJSON, false},
                                              {"firestore", BATCH_FIRESTORE, false},
                                              {0}};
static const struct choice store_choices[] = {{"memory", CACHE_STORE_MEMORY, false},
                                              {"disk", CACHE_STORE_DISK, false},
                                              {"redis", CACHE_STORE_REDIS, false},
                                              {0}};

static const struct choice as_choices[] = {{"rows", SQL_AS_ROWS, false},
                                           {"row", SQL_AS_ROW, false},
                                           {"value", SQL_AS_VALUE, false},
                                           {"json", SQL_AS_JSON, false},
                                           {0}};
static const struct choice empty_choices[] = {{"fail", false, false}, {"ok", true, false}, {0}};

const struct directive directives[] = {
    /* ---- the process ------------------------------------------------------ */
    {"listen", &type_listens, NO_FIELD, .flags = DIRECTIVE_RESTART,
     .help = "Where clients connect. Without it: 127.0.0.1:8080.",
     .example = "[{address: \"0.0.0.0:8080\"}]"},
    {"listen[].address", &type_listen_address, NO_FIELD, .flags = DIRECTIVE_REQUIRED,
     .help = "An IP address with a port (0: any free one, printed at start), or unix:/path.",
     .example = "127.0.0.1:8080"},
    {"listen[].protocol", &type_choice, NO_FIELD, .default_text = "http",
     .choices = protocol_choices, .help = "What clients speak."},
    {"listen[].expose", &type_choice, LISTEN(expose), .default_text = "auto",
     .choices = expose_choices,
     .help = "Whether answers carry the Switchgear field, which tells how they came about; auto: "
             "full on loopback and unix sockets, else off."},
    {"listen[].trust", &type_trust, NO_FIELD,
     .help = "Clients that are believed when they tell, in X-Forwarded-For and the like, for whom "
             "they forward.",
     .example = "[10.0.0.0/8, ::1]"},
    LATER("listen[].tls"),
    {"admin", &type_switched, TOP(admin.enabled), .flags = DIRECTIVE_RESTART,
     .help = "The admin API, health, metrics and the status page; `off` to do without.",
     .example = "{address: 127.0.0.1:9797, token: \"${SWITCHGEAR_ADMIN_TOKEN:-}\"}"},
    {"admin.address", &type_admin_address, NO_FIELD, .default_text = "127.0.0.1:9797",
     .flags = DIRECTIVE_RESTART, .help = "Where it listens. Anything but loopback needs a token."},
    {"admin.token", &type_secret, TOP(admin.token), .flags = DIRECTIVE_RESTART,
     .help = "What a caller sends as `Authorization: Bearer …` to change anything; empty: none. "
             "file:/path reads it from a file.",
     .example = "\"${SWITCHGEAR_ADMIN_TOKEN:-}\""},
    {"workers",
     &type_count,
     TOP(workers),
     1,
     256,
     "auto",
     {"auto", 0, false},
     .flags = DIRECTIVE_RESTART,
     .help = "Event-loop threads; auto: one a core."},
    {"cache_memory", &type_size, TOP(cache_bytes), MIB(1), TIB(1), "64MiB",
     .help = "What all answers kept in memory, of all services, may take together."},
    {"cache_redis", &type_group, NO_FIELD, .flags = DIRECTIVE_RESTART,
     .help = "Where services with `cache: {store: redis}` keep answers; gateways may share it.",
     .example = "{url: \"redis://cache.local:6379/1\", password: \"${REDIS_PASSWORD:-}\"}"},
    {"cache_redis.url", &type_redis_url, TOP(cache_redis), .flags = DIRECTIVE_RESTART,
     .help = "redis://host[:port][/database], or unix:/path.",
     .example = "\"redis://127.0.0.1:6379\""},
    {"cache_redis.user", &type_text, TOP(cache_redis.user), .flags = DIRECTIVE_RESTART,
     .help = "For AUTH, beside the password; without it Redis takes `default`.",
     .example = "switchgear"},
    {"cache_redis.password", &type_secret, TOP(cache_redis.password), .flags = DIRECTIVE_RESTART,
     .help = "For AUTH; empty: none. file:/path reads it from a file.",
     .example = "\"${REDIS_PASSWORD:-}\""},
    {"cache_redis.timeout", &type_duration, TOP(cache_redis.timeout_ns), MS(1), S(10), "20ms",
     .flags = DIRECTIVE_RESTART,
     .help = "How long a request waits for it. After five in a row that waited in vain it is not "
             "asked for a while."},
    {"cache_redis.prefix", &type_redis_prefix, TOP(cache_redis.prefix), .flags = DIRECTIVE_RESTART,
     .default_text = "switchgear",
     .help = "What all keys begin with, before a colon; at most 64 characters."},
    {"store", &type_store, NO_FIELD, .default_text = "sqlite:switchgear.db",
     .flags = DIRECTIVE_RESTART,
     .help =
         "Where queued writes are kept: sqlite:FILE, on a local disk, which one process owns at "
         "a time; or postgresql://…, as libpq has it, which several share.",
     .example = "sqlite:/var/lib/switchgear/switchgear.db"},
    {"store_lease", &type_duration, TOP(store_lease_ns), S(1), S(600), "15s",
     .flags = DIRECTIVE_RESTART,
     .help = "With postgresql://…: which of several processes sends a service's queued writes is "
             "settled by a lease of this length. When one dies, another goes on after it. The "
             "same for all.",
     .example = "15s"},
    {"store_key", &type_store_key, NO_FIELD, .flags = DIRECTIVE_RESTART,
     .help = "64 hexadecimal digits (openssl rand -hex 32): bodies and header fields of queued "
             "writes are encrypted at rest (AES-256-GCM). Several, apart by white space: the first "
             "encrypts, all decrypt, so that a new one can be put in front.",
     .example = "\"${SWITCHGEAR_STORE_KEY:-}\""},
    {"cache_entries",
     &type_count,
     TOP(cache_entries),
     1000,
     UINT32_MAX,
     "off",
     {"off", 0, false},
     .help = "How many answers may be kept in memory."},
    {"cache_disk", &type_group, NO_FIELD, .flags = DIRECTIVE_RESTART,
     .help = "Where services with `cache: {store: disk}` keep answers.",
     .example = "{path: /var/cache/switchgear, bytes: 10GiB}"},
    {"cache_disk.path", &type_text, TOP(cache_disk.path), .flags = DIRECTIVE_RESTART,
     .help = "A directory of its own; made where it is missing. One process uses it.",
     .example = "/var/cache/switchgear"},
    {"cache_disk.bytes", &type_size, TOP(cache_disk.bytes), MIB(4), TIB(1), "1GiB",
     .flags = DIRECTIVE_RESTART, .help = "What all answers there may take together."},
    {"cache_disk.entries", &type_count, TOP(cache_disk.entries), 100, 1000000000, "1000000",
     .flags = DIRECTIVE_RESTART,
     .help = "How many answers there may be; each takes 64 to 128 bytes of memory."},
    {"cache_disk.timeout", &type_duration, TOP(cache_disk.timeout_ns), MS(1), S(10), "100ms",
     .flags = DIRECTIVE_RESTART,
     .help = "How long a request waits for the disk. After five in a row that waited in vain the "
             "disk is not asked for a while."},
    {"share", &type_empty, NO_FIELD, .flags = DIRECTIVE_LATER},
    LATER("trace"),
    LATER("drills"),

    {"limits", &type_group, NO_FIELD, .help = "What one client may ask of the gateway."},
    {"limits.headers", &type_count, TOP(limits.headers), 8, 1000, "100",
     .help = "Fields in the head of a request."},
    {"limits.header_bytes", &type_size, TOP(limits.header_bytes), KIB(1), KIB(64), "16KiB",
     .help = "Bytes of the head of a request."},
    {"limits.url", &type_size, TOP(limits.url), 64, KIB(64), "8KiB",
     .help = "Bytes of the request target."},
    {"limits.body", &type_size, TOP(limits.body), 0, TIB(1024), "off", OFF,
     .help = "Bytes of a request body."},
    {"limits.connections", &type_count, TOP(limits.connections), 1, 10000000, "100000",
     .help = "Client connections at once."},
    {"limits.connections_per_client",
     &type_count,
     TOP(limits.connections_per_client),
     1,
     10000000,
     "off",
     {"off", 0, false},
     .help = "Connections at once from one address."},
    {"limits.header_timeout", &type_duration, TOP(limits.header_timeout_ns), MS(10), H(1), "10s",
     .help = "How long a client may take to send a whole head."},
    {"limits.idle_timeout", &type_duration, TOP(limits.idle_timeout_ns), MS(10), H(24), "75s",
     .help = "How long a connection may stay open without a request."},
    {"limits.body_rate",
     &type_size,
     TOP(limits.body_rate),
     1,
     TIB(1),
     "off",
     {"off", 0, false},
     .help = "Bytes a second that a client sending a body must keep up until its answer begins; it "
             "may fall behind by header_timeout, and then gets 408. Time in which the service "
             "does not take the body is not counted."},

    {"drain", &type_group, NO_FIELD, .help = "How the gateway stops on SIGTERM."},
    {"drain.delay", &type_duration, TOP(drain.delay_ns), 0, H(1), "5s",
     .help = "Goes on accepting for so long, telling clients to close, while load balancers learn "
             "of it."},
    {"drain.timeout", &type_duration, TOP(drain.timeout_ns), 0, H(24), "30s",
     .help = "Then running requests get so long to finish."},

    {"log", &type_group, NO_FIELD, .help = "The log, on standard error."},
    {"log.format", &type_choice, TOP(log.logfmt), .default_text = "json", .choices = format_choices,
     .help = "One JSON object a line, or key=value pairs."},
    {"log.level", &type_choice, TOP(log.level), .default_text = "info", .choices = level_choices,
     .help = "The least important message that is written."},
    {"log.requests", &type_requests, TOP(log), .default_text = "off", .choices = requests_choices,
     .help = "Which requests get a line: none, all, those that failed, or one in so many.",
     .example = "1/100"},

    /* ---- databases ---------------------------------------------------------- */
    {"databases", &type_databases, NO_FIELD,
     .help = "What sql tiers ask: a mapping of names to databases.",
     .example = "{shop: {url: \"postgresql://reader@db/shop\"}}"},
    {"databases.*.url", &type_database_url, NO_FIELD, .flags = DIRECTIVE_REQUIRED,
     .help = "sqlite:PATH, or a connection URI of PostgreSQL. A password in it is never shown.",
     .example = "postgresql://reader@db.internal/shop"},
    {"databases.*.size", &type_count, DATABASE(size), 1, 64, "4",
     .help = "Connections that stay open (for SQLite: threads)."},
    {"databases.*.overflow", &type_count, DATABASE(overflow), 0, 64, "4",
     .help = "PostgreSQL: further connections, closed when they have nothing to do."},
    {"databases.*.pre_ping", &type_duration, DATABASE(pre_ping_ns), MS(1), H(24), "30s", OFF,
     .help = "PostgreSQL: a connection that was idle for longer is asked for a sign of life "
             "before it is used."},
    {"databases.*.recycle", &type_duration, DATABASE(recycle_ns), MS(1), YEAR, "30m", OFF,
     .help = "PostgreSQL: a connection older than this is replaced."},
    {"databases.*.writable", &type_bool, DATABASE(writable), .default_text = "false",
     .help = "Whether statements may change rows. Without it the database refuses them."},
    {"databases.*.timeout", &type_group, NO_FIELD,
     .help = "Beside the time of the tier, which holds in any case."},
    {"databases.*.timeout.connect", &type_duration, DATABASE(policy.timeout.connect_ns), MS(1),
     H(1), "5s", .help = "To open a connection."},
    {"databases.*.timeout.attempt", &type_duration, DATABASE(policy.timeout.attempt_ns), MS(1),
     H(1), "10s", .help = "For one try of a query; then it is cancelled."},
    {"databases.*.breaker", &type_group, NO_FIELD,
     .help = "When the database is left alone for a while."},
    {"databases.*.breaker.consecutive", &type_count, DATABASE(policy.breaker.consecutive), 1, 10000,
     "5", .help = "Opens after so many failures in a row."},
    {"databases.*.breaker.open", &type_duration, DATABASE(policy.breaker.open_ns), MS(1), H(24),
     "5s", .help = "How long it stays open at first."},
    {"databases.*.breaker.open_max", &type_duration, DATABASE(policy.breaker.open_max_ns), MS(1),
     H(24), "60s", .help = "It doubles with each failed try, up to this."},
    {"databases.*.retry", &type_group, NO_FIELD,
     .help = "A query that could not be asked, or whose connection broke, is asked again, if the "
             "database is not writable."},
    {"databases.*.retry.max",
     &type_count,
     DATABASE(policy.retry.max),
     1,
     10,
     "2",
     {"0", SWG_RETRY_OFF, false},
     .help = "Retries after the first try; 0: none."},
    {"databases.*.retry.base", &type_duration, DATABASE(policy.retry.base_ns), MS(1), H(1), "50ms",
     .help = "The longest first wait; it doubles with each retry."},
    {"databases.*.retry.cap", &type_duration, DATABASE(policy.retry.cap_ns), MS(1), H(1), "1s",
     .help = "The longest wait."},

    /* ---- what a service inherits ------------------------------------------ */
    {"defaults", &type_defaults, NO_FIELD,
     .help = "A policy that every service inherits; the same keys as a service, but for "
             "endpoints and depends_on.",
     .example = "{timeout: {total: 10s}}"},
    {"services", &type_services, NO_FIELD, .flags = DIRECTIVE_REQUIRED,
     .help = "What is protected: a mapping of names to services.",
     .example = "{shop: {endpoints: [http://127.0.0.1:8001]}}"},
    {"services.*.endpoints", &type_endpoints, NO_FIELD,
     .flags = DIRECTIVE_REQUIRED | DIRECTIVE_SERVICE_ONLY,
     .help = "Where the service is found; each has a breaker of its own.",
     .example = "[http://10.0.0.1:8001, {url: \"http://10.0.0.2:8001\", weight: 2}]"},
    {"services.*.endpoints[].url", &type_url, NO_FIELD, .flags = DIRECTIVE_REQUIRED,
     .help = "http://host[:port][/base] or unix:/path. The base is put before every path.",
     .example = "http://127.0.0.1:8001"},
    {"services.*.endpoints[].weight", &type_count, ENDPOINT(weight), 1, 1000, "1",
     .help = "Its share of the traffic, in proportion to the others'."},
    {"services.*.critical", &type_bool, SERVICE(critical), .default_text = "false",
     .help = "Whether the overall state is critical while this service cannot serve."},
    {"services.*.depends_on", &type_names, NO_FIELD, .flags = DIRECTIVE_SERVICE_ONLY,
     .help = "Services that this one needs; shown with its health.", .example = "[inventory]"},
    {"services.*.preserve_host", &type_bool, SERVICE(transport.preserve_host),
     .default_text = "true",
     .help = "Whether the service sees the Host field that the client sent, or its own address."},
    {"services.*.balance", &type_choice, SERVICE(policy.balance), .default_text = "least_request",
     .choices = balance_choices, .help = "How an endpoint is chosen."},
    {"services.*.slow_start", &type_duration, SERVICE(policy.slow_start_ns), 0, H(24), "0",
     .help = "An endpoint's share of the traffic grows to its whole over this time; 0: at once."},
    {"services.*.ejection", &type_group, NO_FIELD,
     .help = "An endpoint whose breaker is open gets no traffic."},
    {"services.*.ejection.max", &type_percent, SERVICE(policy.ejection_max_percent), 1, 100, "50%",
     .help = "How many of the endpoints may be taken out while others serve."},

    {"services.*.timeout", &type_group, NO_FIELD,
     .help = "Attempt and total end when the head of the answer goes to the client; from then on "
             "idle rules."},
    {"services.*.timeout.connect", &type_duration, SERVICE(policy.timeout.connect_ns), MS(1), YEAR,
     "5s", OFF, .help = "To open a connection."},
    {"services.*.timeout.first_byte", &type_duration, SERVICE(policy.timeout.first_byte_ns), MS(1),
     YEAR, "off", OFF, .help = "From the request being sent to the first byte of the answer."},
    {"services.*.timeout.attempt", &type_duration, SERVICE(policy.timeout.attempt_ns), MS(1), YEAR,
     "30s", OFF, .help = "For one attempt, connecting included."},
    {"services.*.timeout.total", &type_duration, SERVICE(policy.timeout.total_ns), MS(1), YEAR,
     "60s", OFF, .help = "For the whole call: attempts, waits and fallbacks."},
    {"services.*.timeout.idle", &type_duration, SERVICE(transport.idle_ns), MS(1), YEAR, "60s", OFF,
     .help = "While an answer is relayed: how long nothing may move."},
    {"services.*.timeout.upgrade_idle", &type_duration, SERVICE(transport.upgrade_idle_ns), MS(1),
     YEAR, "1h", OFF, .help = "The same for an upgraded connection (WebSocket)."},
    {"services.*.timeout.keep_alive", &type_duration, SERVICE(transport.keep_alive_ns), MS(1),
     H(24), "4s", OFF, .help = "How long an unused connection to the service is kept."},

    {"services.*.first_token", &type_duration, SERVICE(transport.first_token_ns), MS(1), YEAR,
     "off", OFF,
     .help = "Of a streamed answer of a language model: from the request being sent to the first "
             "event with content. Until then the client gets nothing, and a failure is followed by "
             "a retry or the fallback. Takes the place of timeout.first_byte.",
     .example = "20s"},
    {"services.*.token_idle", &type_duration, SERVICE(transport.token_idle_ns), MS(1), YEAR, "off",
     OFF,
     .help = "Of the same, later: how long no event with data may come. Then the stream ends with "
             "an error event.",
     .example = "15s"},

    {"services.*.retry", &type_group, NO_FIELD, .help = "When and how an attempt is repeated."},
    {"services.*.retry.max",
     &type_count,
     SERVICE(policy.retry.max),
     1,
     100,
     "3",
     {"0", SWG_RETRY_OFF, false},
     .help = "Retries after the first attempt; 0: none."},
    {"services.*.retry.base", &type_duration, SERVICE(policy.retry.base_ns), 1, H(24), "100ms",
     .help = "The first wait; each further one is up to twice as long."},
    {"services.*.retry.cap", &type_duration, SERVICE(policy.retry.cap_ns), 1, H(24), "10s",
     .help = "The longest wait."},
    {"services.*.retry.jitter", &type_choice, SERVICE(policy.retry.jitter), .default_text = "full",
     .choices = jitter_choices,
     .help = "How waits are spread: anywhere up to the wait (full), in its upper half (equal), "
             "up to three times the last one (decorrelated), or not (none)."},
    {"services.*.retry.on", &type_retry_on, SERVICE(policy.retry),
     .default_text = "[connect, reset, timeout, 500, 502, 503, 504]",
     .help = "What is retried: connect, reset, timeout, and statuses from 400 to 599."},
    {"services.*.retry.methods", &type_choice, SERVICE(policy.retry.any_method),
     .default_text = "idempotent", .choices = method_choices,
     .help = "idempotent: GET, HEAD, PUT, DELETE, OPTIONS, TRACE, and whatever has an "
             "Idempotency-Key; any: POST and PATCH too, which may then be done twice."},
    {"services.*.retry.retry_after_max", &type_duration, SERVICE(policy.retry.retry_after_max_ns),
     MS(1), H(24), "30s",
     .help = "A service that asks for a longer wait (Retry-After) is not retried."},
    {"services.*.retry.body", &type_size, SERVICE(transport.body_keep), 0, MIB(16), "64KiB",
     .help = "Bytes of a request body that are kept for a retry; a longer body is sent once."},
    {"services.*.retry.budget", &type_unless, SERVICE(policy.budget.unlimited),
     .help = "Bounds retries by the traffic of the last ten seconds, so that they never become "
             "the load; `off`: unbounded."},
    {"services.*.retry.budget.ratio",
     &type_percent,
     SERVICE(policy.budget.percent),
     1,
     1000,
     "20%",
     {"0%", SWG_BUDGET_NONE, false},
     .help = "Retries per call."},
    {"services.*.retry.budget.floor",
     &type_per_second,
     SERVICE(policy.budget.floor_per_s),
     1,
     1000000,
     "10/s",
     {"0/s", SWG_BUDGET_NONE, false},
     .help = "So many retries besides, for rare traffic."},

    {"services.*.breaker", &type_group, NO_FIELD,
     .help = "One breaker an endpoint. The trip rules (consecutive, failures, failure_rate, "
             "slow_rate) combine; naming any replaces all inherited ones."},
    {"services.*.breaker.consecutive", &type_count, SERVICE(policy.breaker.consecutive), 1, 1000000,
     .help = "Opens at so many failures in a row.", .example = "5"},
    {"services.*.breaker.failures", &type_count, SERVICE(policy.breaker.failures), 1, 10000,
     .help = "Opens at so many failures in the window.", .example = "5"},
    {"services.*.breaker.failure_rate", &type_percent, SERVICE(policy.breaker.failure_percent), 1,
     100, "50%", .help = "Opens when so many of the calls in the window failed."},
    {"services.*.breaker.slow_rate", &type_percent, SERVICE(policy.breaker.slow_percent), 1, 100,
     .help = "Opens when so many of the calls in the window were slow.", .example = "80%"},
    {"services.*.breaker.slow_call", &type_duration, SERVICE(policy.breaker.slow_call_ns), MS(1),
     YEAR, "1s", OFF,
     .help = "From when on a call is slow. A client that goes away counts from then on too."},
    {"services.*.breaker.min_calls", &type_count, SERVICE(policy.breaker.calls_min), 1, 1000000,
     "20", .help = "Rates are judged only from so many calls in the window on."},
    {"services.*.breaker.window", &type_window, SERVICE(policy.breaker), MS(10), H(24), "10s",
     .help = "What is looked at: a number is the last so many calls, a duration the last so much "
             "time."},
    {"services.*.breaker.open", &type_duration, SERVICE(policy.breaker.open_ns), MS(1), YEAR, "5s",
     .help = "How long it stays open before it tries the service; doubled each time that fails."},
    {"services.*.breaker.open_max", &type_duration, SERVICE(policy.breaker.open_max_ns), MS(1),
     YEAR, "60s", .help = "What the open time grows to at most."},
    {"services.*.breaker.jitter",
     &type_percent,
     SERVICE(policy.breaker.jitter_percent),
     1,
     100,
     "10%",
     {"0%", 101, false},
     .help = "Open times vary by up to so much."},
    {"services.*.breaker.half_open", &type_count, SERVICE(policy.breaker.probes), 1, 64, "2",
     .help = "Calls at once that may try the service when the open time is over."},
    {"services.*.breaker.close_after", &type_count, SERVICE(policy.breaker.close_after), 1, 1000000,
     "2", .help = "Successes in a row that close it."},
    {"services.*.breaker.lease", &type_duration, SERVICE(policy.breaker.probe_lease_ns), MS(1),
     YEAR, "60s", .help = "A try that has no result by then counts as failed."},
    {"services.*.breaker.ramp", &type_duration, SERVICE(policy.breaker.ramp_ns), 0, H(24), "0",
     .help = "Traffic comes back from 10% to all over this time; 0: at once."},

    {"services.*.bulkhead", &type_group, NO_FIELD, .help = "Bounds the attempts under way."},
    {"services.*.bulkhead.concurrent",
     &type_count,
     SERVICE(policy.bulkhead.concurrent),
     1,
     1000000,
     "1024",
     {"unlimited", SWG_BULKHEAD_UNLIMITED, false},
     .help = "Attempts at once."},
    {"services.*.bulkhead.queue", &type_count, SERVICE(policy.bulkhead.queue), 0, 1000000, "0",
     .help = "Calls that may wait for a free slot."},
    {"services.*.bulkhead.wait", &type_duration, SERVICE(policy.bulkhead.wait_ns), 0, H(24), "0",
     .help = "How long they may wait."},

    {"services.*.rate_limit", &type_group, NO_FIELD, .help = "Bounds the calls in a time."},
    {"services.*.rate_limit.rate", &type_rate, SERVICE(policy.rate), 1, 1000000,
     .help = "Calls a second (s), minute (m), hour (h) or day (d).", .example = "100/s"},
    {"services.*.rate_limit.burst", &type_count, SERVICE(policy.rate.burst), 1, 1000000,
     .help = "Calls at once; without it those of one second.", .example = "200"},
    {"services.*.rate_limit.per", &type_choice, SERVICE(rate_per_client), .default_text = "service",
     .choices = per_choices,
     .help = "For all clients of the service together, or for each client's address."},

    {"services.*.enabled", &type_group, NO_FIELD, .help = "Switches for whole parts."},
    {"services.*.enabled.breaker", &type_not_bool, SERVICE(policy.no_breaker),
     .default_text = "true", .help = "The breaker."},
    {"services.*.enabled.retry", &type_not_bool, SERVICE(policy.no_retry), .default_text = "true",
     .help = "Retries."},
    {"services.*.enabled.fallback", &type_not_bool, SERVICE(policy.no_fallback),
     .default_text = "true", .help = "The fallback chain."},
    {"services.*.enabled.cache", &type_not_bool, SERVICE(policy.no_cache), .default_text = "true",
     .help = "The cache."},

    {"services.*.cache", &type_switched, SERVICE(cache.enabled),
     .help = "Keeps answers that RFC 9111 allows to keep; none without this key. `off` in a "
             "service undoes what the defaults say.",
     .example = "{fresh: 60s, stale: 24h}"},
    {"services.*.cache.fresh", &type_duration, SERVICE(cache.fresh_ns), 0, YEAR, "0",
     .help = "How long an answer that says nothing itself is served without asking again."},
    {"services.*.cache.stale", &type_duration, SERVICE(cache.stale_ns), 0, YEAR, "24h",
     .help = "How long after that it is kept for the stale tier. An answer that says nothing is "
             "kept for it too, renewed every 5 s."},
    {"services.*.cache.key", &type_cache_key, SERVICE(cache),
     .default_text = "[method, host, path, query]", .help = "What makes two requests the same.",
     .example = "[method, path, header.Accept]"},
    {"services.*.cache.force_stale", &type_bool, SERVICE(cache.force_stale),
     .default_text = "false",
     .help = "Whether the stale tier may serve answers that forbid it (must-revalidate and the "
             "like)."},
    {"services.*.cache.store", &type_choice, SERVICE(cache.store), .default_text = "memory",
     .choices = store_choices,
     .help = "Where answers are kept besides memory, which is always asked first: on a disk "
             "(cache_disk) or in a Redis (cache_redis), where they outlast a restart."},

    {"services.*.health", &type_switched, SERVICE(health.enabled),
     .help = "Asks each endpoint by itself whether it is well; not done without this key.",
     .example = "{path: /health, interval: 10s}"},
    {"services.*.health.path", &type_path, SERVICE(health.path), .default_text = "/health",
     .help = "What is fetched; a status below 400 says that it is well."},
    {"services.*.health.interval", &type_duration, SERVICE(health.interval_ns), MS(100), H(24),
     "10s", .help = "How often."},
    {"services.*.health.timeout", &type_duration, SERVICE(health.timeout_ns), MS(1), H(1), "2s",
     .help = "How long it may take."},

    {"services.*.message", &type_group, NO_FIELD,
     .help = "What users read; {service} stands for the service's name."},
    {"services.*.message.open", &type_text, SERVICE(message_open),
     .default_text = "{service} is taking a short break. Please try again in a few moments.",
     .help = "While the breaker is open, or the call is refused for another reason."},
    {"services.*.message.timeout", &type_text, SERVICE(message_timeout),
     .default_text = "{service} took too long. Please try again.", .help = "When the time is up."},

    {"services.*.message.read_only", &type_text, SERVICE(message_read_only),
     .default_text = "{service} takes no changes at the moment. Reading works. Please try again in "
                     "a few moments.",
     .help = "For a write that is refused because of read_only."},

    {"services.*.read_only", &type_switched, SERVICE(read_only.enabled),
     .help = "While the service is degraded its writes are refused (503) or queued, and reads go "
             "on.",
     .example = "{when: degraded, sql: true}"},
    {"services.*.read_only.when", &type_choice, SERVICE(read_only.when), .default_text = "degraded",
     .choices = read_only_choices,
     .help = "open: while no endpoint's breaker is closed; degraded: while one of them is not "
             "closed; always, off: by hand."},
    {"services.*.read_only.allow", &type_methods, SERVICE(read_only.allow),
     .help = "Methods that only read besides GET, HEAD and OPTIONS.", .example = "[POST]"},
    {"services.*.read_only.sql", &type_bool, SERVICE(read_only.sql), .default_text = "false",
     .help = "Whether requests carry SQL, in the body or as ?query=, whose verb tells reads from "
             "writes; a body that is not kept whole (retry.body) is a write."},

    {"services.*.fallback", &type_fallback, NO_FIELD,
     .help = "What answers when the service cannot; tried in order, in what is left of the time.",
     .example = "[{stale: {max: 24h}}, {service: shop-small}, {static: {json: {items: []}}}]"},
    {"services.*.fallback[].share", &type_percent, TIER(share_percent), 1, 100, "100%",
     .help = "Beside the kind of any tier: how much of the time that is left it may use."},
    {"services.*.fallback[].time", &type_duration, TIER(floor_ns), MS(1), H(1),
     .help = "Beside the kind of any tier: the time that it has in any case, also when none is "
             "left.",
     .example = "1s"},
    {"services.*.fallback[].stale", &type_group, NO_FIELD,
     .help = "The last good answer to the same request, from the cache."},
    {"services.*.fallback[].stale.max", &type_duration, TIER(stale.max_ns), MS(1), YEAR, "24h",
     .help = "How old it may be, past its freshness."},
    {"services.*.fallback[].service", &type_tier_service, NO_FIELD,
     .help = "Another service, with its own policy: its name, or a mapping. A request that may "
             "not be done twice (retry.methods) goes there only while the first service cannot "
             "have seen it."},
    {"services.*.fallback[].service.name", &type_text, TIER(service.service),
     .flags = DIRECTIVE_REQUIRED, .help = "Its name.", .example = "shop-small"},
    {"services.*.fallback[].service.path", &type_tier_path, NO_FIELD,
     .help = "The path to ask for; without it the request's own. May have holes, and a query, "
             "which then replaces the request's.",
     .example = "\"/v1/items/{{path.id}}\""},
    {"services.*.fallback[].service.method", &type_tier_method, NO_FIELD,
     .help = "The method; without it the request's own.", .example = "GET"},
    {"services.*.fallback[].service.set_json", &type_json_patch, NO_FIELD,
     .help = "Keys of the request's JSON body that are set; null takes one away, a mapping goes "
             "into what is there. A body that is no JSON, or longer than retry.body: the next "
             "tier. May have holes.",
     .example = "{model: small, stream: null}"},
    {"services.*.fallback[].service.set_headers", &type_set_headers, NO_FIELD,
     .help = "Fields of the request that are set; null takes one away, file:/path reads the value "
             "from a file. May have holes.",
     .example = "{X-Model: small, Cookie: null}"},
    {"services.*.fallback[].static", &type_group, NO_FIELD,
     .help = "An answer from the configuration. One of json, text, body and file, with holes that "
             "values of the request fill, as in \"{{query.limit|10}}\"."},
    {"services.*.fallback[].static.status", &type_count, TIER(fixed.status), 200, 599, "200",
     .help = "Its status."},
    {"services.*.fallback[].static.json", &type_body_json, NO_FIELD,
     .help = "Any value, sent as application/json.", .example = "{items: [], degraded: true}"},
    {"services.*.fallback[].static.text", &type_body_text, NO_FIELD,
     .help = "Text, sent as text/plain.", .example = "Please come back later."},
    {"services.*.fallback[].static.body", &type_body_raw, NO_FIELD,
     .help = "Text, sent as content_type.", .example = "\"<p>Please come back later.</p>\""},
    {"services.*.fallback[].static.file", &type_body_file, NO_FIELD,
     .help = "A file of at most 1 MiB, read when the configuration is; content_type follows from "
             "its name. Files of JSON, HTML, XML and text may have holes.",
     .example = "/usr/share/shop/sorry.html"},
    {"services.*.fallback[].static.content_type", &type_text, TIER(fixed.content_type),
     .help = "What the answer is; follows from json and text.",
     .example = "text/html; charset=utf-8"},
    {"services.*.fallback[].static.headers", &type_headers, NO_FIELD,
     .help = "Further fields of the answer.", .example = "{Cache-Control: no-store}"},
    {"services.*.fallback[].sql", &type_group, NO_FIELD,
     .help = "What a database answers, as application/json."},
    {"services.*.fallback[].sql.database", &type_tier_database, NO_FIELD,
     .flags = DIRECTIVE_REQUIRED,
     .help = "The name of one under databases, or a URL: sqlite:PATH, postgresql://HOST/NAME.",
     .example = "sqlite:shop.db"},
    {"services.*.fallback[].sql.query", &type_query, NO_FIELD, .flags = DIRECTIVE_REQUIRED,
     .help = "One statement. Values are written :name and bound, never put into the text.",
     .example = "\"SELECT id, name FROM item WHERE category = :category\""},
    {"services.*.fallback[].sql.params", &type_params, NO_FIELD,
     .help = "Where each value comes from: path.NAME, query.NAME, header.NAME, body.KEY, method, "
             "target, host, service or request_id; or {from, type, default}, where type is any, "
             "text, integer, real or boolean, and default is what stands for a missing value "
             "(null: NULL). A request that lacks a value without default goes on to the next "
             "tier.",
     .example = "{category: path.category, limit: {from: query.limit, type: integer, default: "
                "10}}"},
    {"services.*.fallback[].sql.as", &type_choice, TIER(sql.shape), .default_text = "rows",
     .choices = as_choices,
     .help = "rows: an array of objects. row: the first row as an object. value: its first "
             "column. json: the same, which is JSON text already."},
    {"services.*.fallback[].sql.wrap", &type_text, TIER(sql.wrap),
     .help = "Makes the answer an object that has the result under this key.", .example = "items"},
    {"services.*.fallback[].sql.with", &type_sql_with, NO_FIELD,
     .help = "Further keys of that object, so that an answer can tell where it came from.",
     .example = "{source: popular_last_30_days}"},
    {"services.*.fallback[].sql.max", &type_size, TIER(sql.max), KIB(1), MIB(8), "1MiB",
     .help = "Bytes of the result; a larger one goes on to the next tier."},
    {"services.*.fallback[].sql.empty", &type_choice, TIER(sql.empty_is_fine),
     .default_text = "fail", .choices = empty_choices,
     .help = "Whether a result without a row goes on to the next tier (fail), or is the answer "
             "(ok): [] or null."},
    {"services.*.fallback[].sql.public", &type_bool, TIER(sql.is_public), .default_text = "false",
     .help = "That anybody may choose the values. Must be said where params come from the "
             "request."},
    {"services.*.fallback[].queue", &type_group, NO_FIELD,
     .help = "For writes: 202 once the write is on stable storage (see store); it is sent when the "
             "service is back, in order where order_by says so, and with an Idempotency-Key, the "
             "client's or the gateway's own, that is on the very first try already."},
    {"services.*.fallback[].queue.max", &type_count, TIER(queue.max_entries), 1, 100000000, "50000",
     .help = "Writes that may wait; one more is refused with 503."},
    {"services.*.fallback[].queue.max_bytes", &type_size, TIER(queue.max_bytes), KIB(1), TIB(1),
     "256MiB", .help = "What all of them may take together."},
    {"services.*.fallback[].queue.max_body", &type_size, TIER(queue.body_max), 0, MIB(16), "1MiB",
     .help = "The longest body that is queued. It is kept in memory while the service is asked."},
    {"services.*.fallback[].queue.order_by", &type_order_by, NO_FIELD,
     .help = "Writes in which this is the same go one after the other, in the order they were "
             "accepted, and none overtakes those that wait: path.NAME, query.NAME, header.NAME or "
             "body.FIELD. Without it they have no order.",
     .example = "header.X-Account"},
    {"services.*.fallback[].queue.expire", &type_duration, TIER(queue.expires_ns), S(1), YEAR,
     "off", OFF, .help = "A write that could not be delivered by then is given up."},
    {"services.*.fallback[].queue.window", &type_count, TIER(queue.window), 1, 1000, "64",
     .help = "Writes that are sent at once, at most; how many really is found by how the service "
             "bears them."},
    {"services.*.fallback[].queue.base", &type_duration, TIER(queue.base_ns), MS(1), H(1), "1s",
     .help =
         "The pause after a write has failed, doubled each time, with full jitter; what has the "
         "same key waits with it."},
    {"services.*.fallback[].queue.cap", &type_duration, TIER(queue.cap_ns), MS(1), H(24), "100s",
     .help = "The longest pause."},
    {"services.*.fallback[].queue.batch", &type_group, NO_FIELD,
     .help = "For services that take several writes in one request. Writes with the same method, "
             "target and credentials go together, in order; where the service refuses a batch, "
             "they go one by one.",
     .example = "{max: 100, as: json_array, key: idempotency_key}"},
    {"services.*.fallback[].queue.batch.max", &type_count, TIER(queue.batch_max), 1, 500, "1",
     .help = "Writes of one request."},
    {"services.*.fallback[].queue.batch.as", &type_choice, TIER(queue.batch_form),
     .default_text = "json_array", .choices = batch_choices,
     .help = "json_array: their bodies as a list; ndjson: a line each; firestore: one batchWrite, "
             "whose answer tells the fate of each."},
    {"services.*.fallback[].queue.batch.path", &type_path, TIER(queue.batch_path),
     .help = "Where batches go; without it, where the writes do.", .example = "/v1/payments/batch"},
    {"services.*.fallback[].queue.batch.key", &type_text, TIER(queue.batch_key),
     .help = "A field that each write gets in its own body, with its Idempotency-Key: by it the "
             "service tells a write that it has seen from one that is new.",
     .example = "idempotency_key"},
    {"services.*.fallback[].queue.message", &type_text, TIER(queue.message),
     .default_text = "{service} gets it as soon as it is back.",
     .help = "What users read; {service} stands for the service's name."},
    LATER("services.*.hedge"),
    LATER("services.*.shadow"),
    LATER("services.*.tls"),
    LATER("services.*.essential"),

    /* ---- routes ------------------------------------------------------------ */
    {"routes", &type_routes, NO_FIELD,
     .help = "Which request goes to which service; the first that matches. Without it, one "
             "service gets all requests.",
     .example = "[{prefix: /api/shop, service: shop, strip_prefix: /api}]"},
    {"routes[].path", &type_pattern, NO_FIELD,
     .help = "The whole path; {name} stands for one segment.", .example = "\"/users/{id}\""},
    {"routes[].prefix", &type_pattern, NO_FIELD,
     .help = "Or its beginning: /api is /api and /api/…, not /apis.", .example = "/api"},
    {"routes[].service", &type_text, ROUTE(service), .help = "The service that answers.",
     .example = "shop"},
    {"routes[].strip_prefix", &type_pattern, NO_FIELD,
     .help = "Taken off the path before it goes to the service.", .example = "/api"},
    {"routes[].match", &type_group, NO_FIELD, .help = "What else must hold."},
    {"routes[].match.method", &type_methods, ROUTE(method_mask), .help = "One of these methods.",
     .example = "[GET, HEAD]"},
    {"routes[].match.host", &type_host, NO_FIELD,
     .help = "The host that the client asked for; *.example.com: any below it.",
     .example = "shop.example.com"},
    LATER("routes[].match.headers"),
    {"routes[].aggregate", &type_aggregate, NO_FIELD,
     .help = "Instead of a service: an answer of several parts, fetched side by side (GET), each "
             "under its own service's policy. It has each part's data, or why there is none.",
     .example = "{products: {service: shop, path: /products}, stock: {service: inventory}}"},
    {"routes[].aggregate.*.service", &type_text, PART(service), .flags = DIRECTIVE_REQUIRED,
     .help = "The service of this part.", .example = "shop"},
    {"routes[].aggregate.*.path", &type_part_path, NO_FIELD, .default_text = "/",
     .help = "What it is asked for; may have a query, and holes.",
     .example = "\"/invoices?user={{path.id}}\""},
    {"routes[].aggregate.*.timeout", &type_duration, PART(timeout_ns), MS(1), YEAR, "off", OFF,
     .help = "How long the whole answer waits for this part, its fallbacks included."},
    {"routes[].aggregate.*.required", &type_bool, PART(required), .default_text = "false",
     .help = "Whether the whole answer is 503 when this part has no data."},
    {"routes[].aggregate.*.max", &type_size, PART(max), KIB(1), MIB(16), "1MiB",
     .help = "How long this part may be."},
    LATER("routes[].auth"),
    LATER("routes[].split"),
    LATER("routes[].mirror"),
};

const uint32_t directive_count = sizeof directives / sizeof directives[0];
_Static_assert(sizeof directives / sizeof directives[0] <= DIRECTIVES_MAX, "raise DIRECTIVES_MAX");

const char *directive_key(const struct directive *d) {
    const char *dot = strrchr(d->path, '.');
    return dot ? dot + 1 : d->path;
}

bool directive_in(const struct directive *d, const char *scope) {
    size_t len = strlen(scope);
    const char *key = directive_key(d);
    size_t before = (size_t)(key - d->path);
    if (!len)
        return before == 0;
    return before == len + 1 && strncmp(d->path, scope, len) == 0;
}

const struct directive *directive_find(const char *scope, struct bytes key) {
    for (uint32_t i = 0; i < directive_count; i++) {
        if (bytes_equal(bytes_of(directive_key(&directives[i])), key) &&
            directive_in(&directives[i], scope))
            return &directives[i];
    }
    return NULL;
}

const struct directive *directive_at(const char *path) {
    for (uint32_t i = 0; i < directive_count; i++) {
        if (!strcmp(directives[i].path, path))
            return &directives[i];
    }
    assert(!"no such directive");
    return NULL;
}

uint32_t directive_index(const struct directive *d) {
    return (uint32_t)(d - directives);
}
