/* metrics_table.h - every metric the gateway has: the one place where its name,
 * type, unit, labels and sentence stand. The reference page is made from it.
 * Private to metrics*.c. */
#ifndef SWG_GATEWAY_METRICS_TABLE_H
#define SWG_GATEWAY_METRICS_TABLE_H

#include "observe/metrics.h"

#define SERVICE \
    { "service", "name of the service in the configuration" }
#define ENDPOINT \
    { "endpoint", "URL of the endpoint in the configuration" }
#define METHOD \
    { "method", "a registered HTTP method, or OTHER" }
#define REASON \
    { "reason", "why, in the word that responses, logs and events use" }
#define STORE \
    { "store", "disk or redis" }
#define TIER \
    { "tier", "position and kind of the fallback tier, such as 1-stale" }

#define DATABASE \
    { "database", "name of the database in the configuration, or its URL without password" }

/* id, type, name, unit, help, labels */
#define FAMILIES(X)                                                                                \
    X(REQUESTS, COUNTER, "gateway_proxy_requests_total", NULL,                                     \
      "Requests answered, by whatever answered them.", SERVICE, METHOD,                            \
      {"status", "HTTP status of the answer"})                                                     \
    X(DURATION, HISTOGRAM, "gateway_proxy_request_duration_seconds", "seconds",                    \
      "Time from a request's head to the end of its answer.", SERVICE, METHOD)                     \
    X(BROKEN, COUNTER, "gateway_proxy_broken_answers_total", NULL,                                 \
      "Answers that broke off after their head had gone to the client.", SERVICE)                  \
    X(ATTEMPTS, COUNTER, "gateway_proxy_attempts_total", NULL, "Attempts made on an endpoint.",    \
      SERVICE, ENDPOINT)                                                                           \
    X(RETRIES, COUNTER, "gateway_proxy_retries_total", NULL, "Retries made.", SERVICE)             \
    X(SKIPPED, COUNTER, "gateway_proxy_retries_skipped_total", NULL,                               \
      "Retries that were due and not made.", SERVICE, REASON)                                      \
    X(CHANGES, COUNTER, "gateway_circuit_breaker_state_changes_total", NULL,                       \
      "Changes of an endpoint's breaker into a state.", SERVICE,                                   \
      {"state", "closed, open or half_open"})                                                      \
    X(STATE, GAUGE, "circuit_breaker_state", NULL,                                                 \
      "State of the service's breaker: 0 closed, 1 open, 2 half-open.", SERVICE)                   \
    X(ENDPOINT_STATE, GAUGE, "circuit_breaker_endpoint_state", NULL,                               \
      "State of one endpoint's breaker: 0 closed, 1 open, 2 half-open.", SERVICE, ENDPOINT)        \
    X(FORCED, GAUGE, "circuit_breaker_forced", NULL,                                               \
      "1 for the state that an operator has forced, else 0.", SERVICE,                             \
      {"state", "forced_open, forced_closed or disabled"})                                         \
    X(FAILURES, COUNTER, "circuit_breaker_failures_total", NULL,                                   \
      "Attempts that failed by the service's fault.", SERVICE)                                     \
    X(SLOW, COUNTER, "circuit_breaker_slow_calls_total", NULL, "Attempts slower than slow_call.",  \
      SERVICE)                                                                                     \
    X(OVERLOADS, COUNTER, "circuit_breaker_overloads_total", NULL,                                 \
      "Attempts that the service answered with 429.", SERVICE)                                     \
    X(REJECTIONS, COUNTER, "circuit_breaker_rejections_total", NULL,                               \
      "Calls refused without an attempt.", SERVICE, REASON)                                        \
    X(SHADOW_STATE, GAUGE, "circuit_breaker_shadow_state", NULL,                                   \
      "State that the shadow of the service's breaker is in: 0 closed, 1 open, 2 half-open.",      \
      SERVICE)                                                                                     \
    X(SHADOW_OPENED, COUNTER, "circuit_breaker_shadow_opened_total", NULL,                         \
      "Times that the shadow of an endpoint's breaker would have opened.", SERVICE)                \
    X(SHADOW_REJECTIONS, COUNTER, "circuit_breaker_shadow_rejections_total", NULL,                 \
      "Calls that went through and that the shadow would have refused.", SERVICE)                  \
    X(SHADOW_DISAGREEMENTS, COUNTER, "circuit_breaker_shadow_disagreements_total", NULL,           \
      "Calls of which the breaker and its shadow decided differently, either way.", SERVICE)       \
    X(TRIED, COUNTER, "fallback_tried_total", NULL, "Times a fallback tier was asked.", SERVICE,   \
      TIER)                                                                                        \
    X(ANSWERED, COUNTER, "fallback_answered_total", NULL, "Times a fallback tier answered.",       \
      SERVICE, TIER)                                                                               \
    X(TIER_DURATION, HISTOGRAM, "fallback_tier_duration_seconds", "seconds",                       \
      "Time from a fallback tier being asked to its answer or failure.", SERVICE, TIER)            \
    X(CHECKS, COUNTER, "health_checks_total", NULL, "Active checks made of an endpoint.", SERVICE, \
      ENDPOINT, {"result", "good or failed"})                                                      \
    X(DRILLS, GAUGE, "drills_active", NULL,                                                        \
      "Drills that inject faults into attempts on the service.", SERVICE)                          \
    X(DRILL_HITS, COUNTER, "drill_hits_total", NULL, "Attempts that a drill has hit.", SERVICE,    \
      {"kind", "delay, error or abort"})                                                           \
    X(CONDITION, GAUGE, "service_condition", NULL,                                                 \
      "Condition of the service: 0 working, 1 impaired, 2 down.", SERVICE)                         \
    X(OVERALL, GAUGE, "resilience_state", NULL,                                                    \
      "Overall state: 0 healthy, 1 degraded, 2 critical, 3 emergency.", {NULL, NULL})              \
    X(ACTIONS, GAUGE, "resilience_emergency_actions", NULL,                                        \
      "1 while this is done because of an emergency, else 0.", {"action", "read_only or shed"})    \
    X(IN_USE, GAUGE, "bulkhead_in_use", NULL, "Attempts under way.", SERVICE)                      \
    X(WAITING, GAUGE, "bulkhead_waiting", NULL, "Calls that wait for a free slot.", SERVICE)       \
    X(LIMIT, GAUGE, "bulkhead_limit", NULL, "Attempts that may be under way at once.", SERVICE)    \
    X(SQL_QUERIES, COUNTER, "sql_queries_total", NULL,                                             \
      "Queries of sql tiers, each counted once with its retries.", DATABASE,                       \
      {"result", "ok, not_found, unavailable, timeout, refused or too_large"})                     \
    X(SQL_DURATION, HISTOGRAM, "sql_query_duration_seconds", "seconds",                            \
      "Time of a query, with its retries.", DATABASE)                                              \
    X(SQL_CONNECTIONS, GAUGE, "sql_connections", NULL, "Connections to a database.", DATABASE,     \
      {"state", "idle, busy or connecting"})                                                       \
    X(SQL_WAITING, GAUGE, "sql_waiting", NULL, "Queries that wait for a connection.", DATABASE)    \
    X(CACHE_ENTRIES, GAUGE, "cache_entries", NULL, "Answers in the memory store.", {NULL, NULL})   \
    X(CACHE_BYTES, GAUGE, "cache_size_bytes", "bytes", "Bytes in the memory store.", {NULL, NULL}) \
    X(CACHE_LOOKUPS, COUNTER, "cache_lookups_total", NULL, "Look-ups in the memory store.",        \
      {"result", "fresh, stale, miss or coalesced"})                                               \
    X(CACHE_EVICTIONS, COUNTER, "cache_evictions_total", NULL, "Answers thrown out to make room.", \
      {NULL, NULL})                                                                                \
    X(OUTBOX_ENTRIES, GAUGE, "outbox_entries", NULL, "Writes that wait for the service.", SERVICE) \
    X(OUTBOX_BYTES, GAUGE, "outbox_size_bytes", "bytes", "Their content.", SERVICE)                \
    X(OUTBOX_OLDEST, GAUGE, "outbox_oldest_age_seconds", "seconds",                                \
      "How long the oldest of them waits.", SERVICE)                                               \
    X(OUTBOX_OUT, GAUGE, "outbox_in_flight", NULL, "Queued writes that are being sent.", SERVICE)  \
    X(OUTBOX_LEASE, GAUGE, "outbox_lease_held", NULL,                                              \
      "Whether this process sends the queued writes, where several share the store (1, 0).",       \
      SERVICE)                                                                                     \
    X(OUTBOX_ACCEPTED, COUNTER, "outbox_accepted_total", NULL,                                     \
      "Writes promised: they are on stable storage.", SERVICE)                                     \
    X(OUTBOX_REFUSED, COUNTER, "outbox_refused_total", NULL, "Writes that could not be promised.", \
      SERVICE, {"reason", "full, too_large, key_reused or store_failed"})                          \
    X(OUTBOX_SETTLED, COUNTER, "outbox_settled_total", NULL, "Queued writes whose fate is known.", \
      SERVICE, {"state", "sent, dead, expired or dropped"})                                        \
    X(OUTBOX_ATTEMPTS, COUNTER, "outbox_attempts_total", NULL,                                     \
      "Attempts to deliver a queued write.", SERVICE, {"result", "good or failed"})                \
    X(STORE_REQUESTS, COUNTER, "cache_store_requests_total", NULL,                                 \
      "Questions to a store behind the memory.", STORE,                                            \
      {"result", "hit, miss, error, timeout or skipped"})                                          \
    X(STORE_BYTES, GAUGE, "cache_store_bytes", "bytes", "Bytes in a store.", STORE)                \
    X(STORE_ENTRIES, GAUGE, "cache_store_entries", NULL, "Answers in a store.", STORE)             \
    X(STORE_DAMAGED, COUNTER, "cache_store_damaged_total", NULL,                                   \
      "Answers that a store had and that were damaged: never served.", STORE)                      \
    X(STORE_UNSAVED, COUNTER, "cache_store_unsaved_total", NULL,                                   \
      "Answers that could not be written to a store, or not in time.", STORE)                      \
    X(TRACE_SPANS, COUNTER, "trace_spans_total", NULL, "Spans of sampled requests.",               \
      {"result", "sent, dropped (the queue was full) or failed (the collector refused)"})          \
    X(CONNECTIONS, GAUGE, "gateway_client_connections", NULL, "Open client connections.",          \
      {NULL, NULL})                                                                                \
    X(TCP_OPEN, GAUGE, "gateway_tcp_connections", NULL,                                            \
      "Open client connections to a tcp service.", SERVICE)                                        \
    X(TCP_RESULTS, COUNTER, "gateway_tcp_connections_total", NULL,                                 \
      "Connections to a tcp service that have ended.", SERVICE,                                    \
      {"result", "done, client_reset, service_reset, closed_early, idle, cut, refused, failed, "   \
                 "timed_out, left or limited"})                                                    \
    X(TCP_BYTES, COUNTER, "gateway_tcp_bytes_total", "bytes", "Bytes passed on.", SERVICE,         \
      {"direction", "in: from clients; out: to them"})                                             \
    X(TCP_CONNECT, HISTOGRAM, "gateway_tcp_connect_duration_seconds", "seconds",                   \
      "Time from a connection being accepted to its being connected, with waits and retries.",     \
      SERVICE)                                                                                     \
    X(IN_FLIGHT, GAUGE, "gateway_requests_in_flight", NULL, "Requests under way.", {NULL, NULL})   \
    X(DRAIN_LEFT, GAUGE, "gateway_drain_remaining_seconds", "seconds",                             \
      "How long until what still runs is cut off; +Inf while not draining.", {NULL, NULL})         \
    X(RELOADS, COUNTER, "gateway_config_reloads_total", NULL, "Reloads of the configuration.",     \
      {"result", "success or failure"})                                                            \
    X(UPGRADE_FAILURES, COUNTER, "gateway_upgrade_failures_total", NULL,                           \
      "Upgrades after which this process went on.", {NULL, NULL})                                  \
    X(INFO, GAUGE, "gateway_version", NULL, "Always 1.", {"version", "of the running program"})

enum {
#define X(id, ...) FAMILY_##id,
    FAMILIES(X)
#undef X
        FAMILY_COUNT
};

/* By the numbers above; ends with NULL. */
extern const struct metric_desc *const gateway_metric_rows[];

#endif
