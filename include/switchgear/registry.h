/* registry.h - a breaker for each name: host, tenant, account, shard, key.
 *
 *     struct swg_breaker *b;
 *     if (swg_registry_hold(hosts, name, length, swg_now(), &b) == SWG_OK) {
 *         … swg_breaker_admit(b, …), the call, swg_breaker_record(b, …) …
 *         swg_registry_release(b);
 *     }
 *
 * Names are made as they are asked for and may be hostile: hashed with a key
 * that is yours (SipHash-1-3), bounded in length and number, copied. A name may
 * be of any bytes.
 *
 * When all places are taken, a new name takes that of one that is idle (nobody
 * holds it, not asked for during idle_ns), closed, and clean: no failure and no
 * slow call in its window, no manual control, no ramp, and closed for longer
 * than it had been open. Nothing but its window of successes is lost; its counts
 * stay in the registry's totals. A few places are looked at, not all, so a
 * flood of new names costs little each. A breaker that knows of trouble is never
 * taken: otherwise whoever asks for many names could have it forgotten.
 *
 * If none can go, the name shares one of 64 breakers with others like it, by its
 * hash. That protects best: refusing the call would let whoever fills the
 * registry shut out all new names, and letting it pass would leave just those
 * calls unprotected. Sharing admits while the names that share are healthy, and
 * what it may shut out with them is bounded. Memory running out does the same.
 * Whoever prefers an error says refuse_when_full.
 *
 * Threading: any thread, any time. A name that is there is found without a lock
 * and held by one atomic addition, without allocation; a new one takes a lock
 * for a part of the table. No callback runs under a lock.
 * Memory: about 570 bytes a breaker with a window of time (one of calls needs up to 16
 * bytes a call beside) and 8 to 16 a place of `max`; kept for reuse until
 * destroy. A breaker that proves busy gets 2 KiB more, at tick; at most 1024 do.
 *
 * For calls that also need retry, bulkhead and deadline: a policy per kind of
 * service, and a registry for what differs by key. */
#ifndef SWITCHGEAR_REGISTRY_H
#define SWITCHGEAR_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <switchgear/breaker.h>

struct swg_registry;

/* Zero means the default. */
struct swg_registry_options {
    uint32_t max;          /* names, 1…16,777,216; default 100,000 */
    uint32_t name_max;     /* bytes of a name, 1…65,535; default 255 */
    uint64_t idle_ns;      /* not asked for so long: idle; default 60 s; SWG_OFF: none ever is */
    bool refuse_when_full; /* SWG_ERR_FULL or SWG_ERR_NOMEM in place of a shared breaker */
    struct swg_breaker_options breaker;
};

/* Sums cost a walk over all breakers: for people and metrics. */
struct swg_registry_stats {
    uint32_t entries, max;
    uint32_t wide;                  /* breakers given more memory for being busy */
    uint32_t states[3];             /* entries by enum swg_breaker_state */
    uint32_t manual;                /* entries under manual control */
    uint64_t created, evicted;      /* names since create */
    uint64_t shared;                /* holds that got a shared breaker */
    uint64_t refused_full;          /* holds that got SWG_ERR_FULL or NOMEM */
    struct swg_breaker_stats total; /* of all, those evicted and shared included */
};

/* `name` is not terminated; NULL with length 0 for a shared breaker. */
typedef void swg_registry_visitor(void *arg, const char *name, size_t length, struct swg_breaker *);
typedef void swg_registry_listener(void *arg, const char *name, size_t length,
                                   const struct swg_breaker_event *);

SWG_BEGIN_DECLS

/* `options` may be NULL. `key`: 128 bits that nobody can guess, from getrandom()
 * or swg_seed(); required, since with a known key names can be made to collide.
 * SWG_ERR_RANGE, SWG_ERR_INVALID (no key), SWG_ERR_NOMEM: *out is then NULL. */
SWG_API enum swg_error swg_registry_create(struct swg_registry **out,
                                           const struct swg_registry_options *options,
                                           const uint64_t key[2], uint64_t now_ns);
/* No breaker may be held. NULL is ignored. */
SWG_API void swg_registry_destroy(struct swg_registry *);

/* Called for every change of every breaker, as swg_breaker_listen() has it; set
 * before the first hold. Do not listen to single breakers. */
SWG_API void swg_registry_listen(struct swg_registry *, swg_registry_listener *, void *arg);

/* The name's breaker, new if need be, held until release: meanwhile it is not
 * evicted. Hold it for one call (a permit must be answered before the release) or
 * for as long as you like. SWG_ERR_RANGE: the name is too long; SWG_ERR_INVALID:
 * it is NULL; else see refuse_when_full. *out is NULL on an error. */
SWG_API enum swg_error swg_registry_hold(struct swg_registry *, const char *name, size_t length,
                                         uint64_t now_ns, struct swg_breaker **out);
/* The same if the name has a breaker of its own, else NULL; makes none, and does
 * not count as asking for it. */
SWG_API struct swg_breaker *swg_registry_find(struct swg_registry *, const char *name,
                                              size_t length);
SWG_API void swg_registry_release(struct swg_breaker *);
/* The name of a breaker that is held; NULL if it is shared by many. */
SWG_API const char *swg_registry_name(const struct swg_breaker *, size_t *length);

/* New options for every breaker, as swg_breaker_configure(); names that come later
 * have them too. On an error nothing has changed. */
SWG_API enum swg_error swg_registry_configure(struct swg_registry *,
                                              const struct swg_breaker_options *, uint64_t now_ns);

/* Calls for each breaker, held meanwhile; outside all locks, so the visitor may do
 * what it likes. What comes or goes during the walk may be met or not. */
SWG_API void swg_registry_each(struct swg_registry *, swg_registry_visitor *, void *arg);
/* To be called now and then (each second, say): tells what time alone has changed
 * (swg_breaker_tick()), and gives busy breakers more memory. */
SWG_API void swg_registry_tick(struct swg_registry *, uint64_t now_ns);
/* Forgets what nobody holds and nobody has asked for during idle_ns; clean ones
 * only, or with `troubled` whatever their state but manual control: for the owner
 * to decide, since it takes protection away. How many went leaves by *count (may be
 * NULL). */
SWG_API void swg_registry_trim(struct swg_registry *, uint64_t idle_ns, bool troubled,
                               uint64_t now_ns, uint32_t *count);

SWG_API uint32_t swg_registry_entries(const struct swg_registry *);
SWG_API void swg_registry_read(struct swg_registry *, struct swg_registry_stats *, uint64_t now_ns);
/* Aborts if an invariant does not hold; for tests. */
SWG_API void swg_registry_check(struct swg_registry *);

SWG_END_DECLS

#endif
