/* snapshot.h - breakers over a restart: what they know, as bytes.
 *
 *     written at the end (or now and then)      read at the start
 *     swg_registry_snapshot(r, sink, file, …)   swg_registry_restore(r, bytes, length, …)
 *
 * A restart that forgets makes every instance find out anew, by failing calls,
 * which services are down. Kept are the state, the window, manual control, how
 * often it reopened, and the totals. Not kept are the options, which are the
 * configuration's: the window is taken into the one there is as
 * swg_breaker_configure() does. Permits do not survive either: half-open comes
 * back without probes out, and results of permits from before are late.
 *
 * Times are kept as ages, since the monotonic clock of the next process is another.
 * How long it took from one to the other only a wall clock can tell: `wall_ns` is
 * any clock that both know, for instance CLOCK_REALTIME; 0: unknown, then no time
 * has passed. One that stepped back counts as no time either; one that jumped
 * ahead ends open times early, which costs a probe. No open time is restored
 * to more than open_max_ns.
 *
 * Bytes may come from anywhere: whatever they say, the breaker is sound
 * (swg_breaker_check()) afterwards, or nothing has changed. The checksum finds
 * damage, not malice: who can write the file can open your breakers.
 *
 * Format, version 1; numbers are little-endian. Frames, one a breaker, and one
 * that ends:
 *   "SWGs", version u8, kind u8 ('b' or 'e'), 0 u16, length of the payload u32, payload,
 *   CRC-32C u32 of all before
 * Payload 'e': count of frames 'b', u64. Payload 'b':
 *   wall_ns u64, length of the name u32, the name (empty for a single breaker)
 *   state u8, manual u8, 0 u16, reopenings u32, consecutive u32, good probes u32
 *   since, opened, closed, left closed, last success, last failure: ages, u64,
 *     2^64-1 for never; open for, manual for: time left, u64; last open time u64
 *   events, failures by note, successes, failures, overloads, cancelled, ignored,
 *     slow, late; refused: open, forced open, half-open full, ramping: u64 each
 *   window of calls u32, 0 for one of time; then
 *     of time:  width u64, time to the end of the newest tenth u64, and ten times from
 *               the newest: calls u64, failures u32, slow u32
 *     of calls: calls u32, failures u32, slow u32; their positions, u32 each, ascending
 *
 * Threading: any thread, any time. Memory: allocates, up to 160 KiB for a moment. */
#ifndef SWITCHGEAR_SNAPSHOT_H
#define SWITCHGEAR_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <switchgear/breaker.h>
#include <switchgear/policy.h>
#include <switchgear/registry.h>

/* Takes some more bytes; false: give up, which makes the snapshot SWG_ERR_CANCELLED.
 * Called outside all locks. */
typedef bool swg_snapshot_sink(void *arg, const void *bytes, size_t length);

/* The simplest: memory of the caller's. What does not fit is counted only: it was too
 * small if length > size, and then length tells what is needed. */
struct swg_snapshot_buffer {
    void *at;
    size_t size, length;
};

SWG_BEGIN_DECLS

/* A sink; `arg` is a struct swg_snapshot_buffer. */
SWG_API bool swg_snapshot_to_buffer(void *arg, const void *bytes, size_t length);

/* SWG_ERR_NOMEM, SWG_ERR_CANCELLED. */
SWG_API enum swg_error swg_breaker_snapshot(const struct swg_breaker *, swg_snapshot_sink *,
                                            void *arg, uint64_t now_ns, uint64_t wall_ns);
/* Takes over the first breaker of the snapshot, in place of what the breaker was; totals
 * are added. Told to the listener, cause "restored". SWG_ERR_CORRUPT, SWG_ERR_VERSION,
 * SWG_ERR_NOT_FOUND (none in it), SWG_ERR_NOMEM: nothing has changed. */
SWG_API enum swg_error swg_breaker_restore(struct swg_breaker *, const void *bytes, size_t length,
                                           uint64_t now_ns, uint64_t wall_ns);

/* All endpoints' breakers, by name. Bulkhead, budget and rate limit are of the moment and
 * begin anew, and so do the policy's own counts. */
SWG_API enum swg_error swg_policy_snapshot(const struct swg_policy *, swg_snapshot_sink *,
                                           void *arg, uint64_t now_ns, uint64_t wall_ns);
/* Endpoints that the policy does not have are passed over. *count (may be NULL): how many were
 * restored. On SWG_ERR_NOMEM those counted have been; on the others nothing changed. */
SWG_API enum swg_error swg_policy_restore(struct swg_policy *, const void *bytes, size_t length,
                                          uint64_t now_ns, uint64_t wall_ns, uint32_t *count);

/* All breakers that know something worth keeping: those that could be evicted, if they
 * were idle, are left out. */
SWG_API enum swg_error swg_registry_snapshot(struct swg_registry *, swg_snapshot_sink *, void *arg,
                                             uint64_t now_ns, uint64_t wall_ns);
/* Makes the names that are not there, as far as there is room. As for a policy. */
SWG_API enum swg_error swg_registry_restore(struct swg_registry *, const void *bytes, size_t length,
                                            uint64_t now_ns, uint64_t wall_ns, uint32_t *count);

SWG_END_DECLS

#endif
