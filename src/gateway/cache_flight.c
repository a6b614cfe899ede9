/* cache_flight.c - beginnings and ends of flights: who is woken, and as what.
 *
 * A flight lives from the look-up that made it until an end that hands it to
 * nobody. In between it may have several leaders, one after the other: when
 * one fails, the engine names the next among those who wait
 * (engine/flight.h). Between being named and looking up again there is no
 * leader; cache_leave() in that moment names the one after.
 *
 *   QUEUED ──end──▶ LEADS ──look_up──▶ leader (waiter DONE)
 *     │    ──end──▶ WOKEN ──look_up──▶ DONE
 *     │    ──end──▶ RETRY ──look_up──▶ DONE, or QUEUED in another flight
 *     └─leave─▶ IDLE     └────leave──▶ GONE (also from LEADS, WOKEN) */
#include "gateway/cache_priv.h"

#include <stdlib.h>

struct cache_flight *cache_flight_create(struct cache *c, struct cache_shard *s, uint64_t hash,
                                         const struct cache_key *key) {
    size_t cost = memory_cost(sizeof(struct cache_flight));
    while (!memory_charge(c->memory, cost))
        if (!cache_evict_one(c, s))
            return NULL;
    struct cache_flight *f = calloc(1, sizeof(*f));
    if (!f) {
        memory_uncharge(c->memory, cost);
        return NULL;
    }
    swg__flight_init(&f->waiting);
    f->cache = c;
    f->shard = s;
    f->key = *key;
    f->hash = hash;
    f->open = true;
    return f;
}

void cache_flight_free(struct cache_flight *f) {
    struct memory *m = f->cache->memory;
    memory_block_release(f->fill);
    free(f);
    memory_uncharge(m, memory_cost(sizeof(struct cache_flight)));
}

/* The first in the list leads `next`, where that is not NULL. */
static void set_states(struct list *woken, struct cache_flight *next, bool again) {
    for (struct list *l = woken->next; l != woken; l = l->next) {
        struct cache_waiter *w = container_of(l, struct cache_waiter, link);
        bool leads = next && l == woken->next;
        w->state = leads ? WAITER_LEADS : again && !w->again ? WAITER_RETRY : WAITER_WOKEN;
        w->again = again;
        w->flight = leads ? next : NULL;
    }
}

/* Once called, a waiter may be gone: its link is read before. Until then it
 * stays, as cache_leave() promises, also if its owner has left. */
static void call_all(struct list *woken) {
    for (struct list *l = woken->next, *next; l != woken; l = next) {
        next = l->next;
        struct cache_waiter *w = container_of(l, struct cache_waiter, link);
        w->on_ready(w);
    }
}

void cache_flight_end_unlock(struct cache_flight *f, enum swg__flight_end end) {
    struct cache_shard *s = f->shard;
    struct list woken;
    list_init(&woken);
    /* Those who wait for an answer that was invalidated meanwhile begin anew,
     * together: it is no failure that they should be spread over. So do, once,
     * those whose variant it turns out not to be: it is known now by what they
     * are told apart. */
    bool again = f->doomed || (end == SWG__FLIGHT_STORED && f->varies);
    bool goes_on = swg__flight_end(&f->waiting, f->doomed ? SWG__FLIGHT_STORED : end, &woken);
    set_states(&woken, goes_on ? f : NULL, again);
    if (!goes_on)
        cache_index_remove_flight(s, f);
    pthread_mutex_unlock(&s->lock);
    if (!goes_on)
        cache_flight_free(f);
    call_all(&woken);
}

void cache_flight_close_unlock(struct cache_flight *f) {
    struct cache_shard *s = f->shard;
    struct list woken;
    list_init(&woken);
    f->open = false;
    swg__flight_end(&f->waiting, SWG__FLIGHT_UNSHARED, &woken);
    set_states(&woken, NULL, false);
    pthread_mutex_unlock(&s->lock);
    call_all(&woken);
}
