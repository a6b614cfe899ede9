/* directives.c - THE table: see directives.h.
 *
 * The rows are in rows/, a file for each part of the configuration; their order is
 * that of the reference page and of the printed configuration. A group stands
 * before its keys. Bounds are those of the engine, so that whatever loads can
 * also be created. */
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
#define SHADOW(field)      SERVICE(policy.shadow.breaker.field)
#define ENDPOINT(field)    FIELD(endpoint_options, field)
#define TIER(field)        FIELD(tier_options, field)
#define DATABASE(field)    FIELD(database_options, field)
#define PART(field)        FIELD(part_options, field)
#define DEPENDENCY(field)  FIELD(dependency_options, field)
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

static const struct choice confine_choices[] = {
    {"off", CONFINE_OFF, false}, {"auto", CONFINE_AUTO, false}, {"on", CONFINE_ON, false}, {0}};
static const struct choice expose_choices[] = {
    {"auto", EXPOSE_AUTO, false}, {"full", EXPOSE_FULL, false}, {"off", EXPOSE_OFF, false}, {0}};
static const struct choice protocol_choices[] = {
    {"http", PROTOCOL_HTTP, false}, {"tcp", PROTOCOL_TCP, false}, {"redis", 0, true},
    {"postgres", 0, true},          {"mongodb", 0, true},         {0}};
static const struct choice accept_choices[] = {
    {"any", false, false}, {"trusted", true, false}, {0}};
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
static const struct choice recovery_choices[] = {
    {"auto", false, false}, {"manual", true, false}, {0}};
static const struct choice batch_choices[] = {{"json_array", BATCH_JSON_ARRAY, false},
                                              {"ndjson", BATCH_NDJSON, false},
                                              {"firestore", BATCH_FIRESTORE, false},
                                              {0}};
static const struct choice store_choices[] = {{"memory", CACHE_STORE_MEMORY, false},
                                              {"disk", CACHE_STORE_DISK, false},
                                              {"redis", CACHE_STORE_REDIS, false},
                                              {0}};

static const struct choice check_choices[] = {{"auto", HEALTH_CHECK_AUTO, false},
                                              {"http", HEALTH_CHECK_HTTP, false},
                                              {"tcp", HEALTH_CHECK_TCP, false},
                                              {"redis", HEALTH_CHECK_REDIS, false},
                                              {"postgres", HEALTH_CHECK_POSTGRES, false},
                                              {"sql", HEALTH_CHECK_SQL, false},
                                              {0}};
static const struct choice as_choices[] = {{"rows", SQL_AS_ROWS, false},
                                           {"row", SQL_AS_ROW, false},
                                           {"value", SQL_AS_VALUE, false},
                                           {"json", SQL_AS_JSON, false},
                                           {0}};
static const struct choice empty_choices[] = {{"fail", false, false}, {"ok", true, false}, {0}};

/* clang-format off */
const struct directive directives[] = {
#include "config/rows/process.inc"
#include "config/rows/resilience.inc"
#include "config/rows/trace.inc"
#include "config/rows/databases.inc"
#include "config/rows/services.inc"
#include "config/rows/shadow.inc"
#include "config/rows/fallback.inc"
#include "config/rows/routes.inc"
};
/* clang-format on */

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
