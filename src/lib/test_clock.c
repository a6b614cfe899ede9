/* test_clock.c - a clock that moves when it is told to.
 *
 * One lock and one condition for all: whoever changes anything (time, a wake, the
 * number of sleepers) tells everybody, and each looks whether it was meant. A
 * test has few threads; what counts is that no wake is lost. */
#include <switchgear/clock.h>

#include <stdlib.h>

/* One who sleeps now; on its own stack. */
struct sleeper {
    uint64_t until_ns;
    struct sleeper *next;
};

struct swg_test_clock {
    struct swg_clock interface; /* first */
    bool automatic;
    pthread_mutex_t lock; /* guards the rest, and `woken` of sleeps */
    pthread_cond_t changed;
    uint64_t now_ns;
    struct sleeper *sleepers;
};

static struct swg_test_clock *of(struct swg_clock *clock) {
    return (struct swg_test_clock *)clock;
}

static uint64_t test_now_ns(struct swg_clock *clock) {
    return swg_test_clock_now(of(clock));
}

static void lie_down(struct swg_test_clock *t, struct sleeper *me) {
    me->next = t->sleepers;
    t->sleepers = me;
    pthread_cond_broadcast(&t->changed); /* somebody may await sleepers */
}

static void get_up(struct swg_test_clock *t, const struct sleeper *me) {
    struct sleeper **at = &t->sleepers;
    while (*at != me)
        at = &(*at)->next;
    *at = me->next;
}

static bool test_sleep(struct swg_clock *clock, struct swg_sleep *s, uint64_t until_ns) {
    struct swg_test_clock *t = of(clock);
    struct sleeper me = {.until_ns = until_ns};
    pthread_mutex_lock(&t->lock);
    if (t->automatic && !s->woken && until_ns != SWG_NEVER && until_ns > t->now_ns) {
        t->now_ns = until_ns;
        pthread_cond_broadcast(&t->changed);
    }
    lie_down(t, &me);
    while (!s->woken && (until_ns == SWG_NEVER || t->now_ns < until_ns))
        pthread_cond_wait(&t->changed, &t->lock);
    get_up(t, &me);
    bool woken = s->woken;
    s->woken = false;
    pthread_mutex_unlock(&t->lock);
    return woken;
}

static void test_wake(struct swg_clock *clock, struct swg_sleep *s) {
    struct swg_test_clock *t = of(clock);
    pthread_mutex_lock(&t->lock);
    s->woken = true;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

enum swg_error swg_test_clock_create(struct swg_test_clock **out, uint64_t start_ns,
                                     bool automatic) {
    struct swg_test_clock *t = calloc(1, sizeof(*t));
    *out = t;
    if (!t)
        return SWG_ERR_NOMEM;
    t->interface = (struct swg_clock){test_now_ns, test_sleep, test_wake};
    t->automatic = automatic;
    t->now_ns = start_ns;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->changed, NULL);
    return SWG_OK;
}

void swg_test_clock_destroy(struct swg_test_clock *t) {
    if (!t)
        return;
    pthread_cond_destroy(&t->changed);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

struct swg_clock *swg_test_clock_interface(struct swg_test_clock *t) {
    return &t->interface;
}

uint64_t swg_test_clock_now(struct swg_test_clock *t) {
    pthread_mutex_lock(&t->lock);
    uint64_t now_ns = t->now_ns;
    pthread_mutex_unlock(&t->lock);
    return now_ns;
}

void swg_test_clock_advance(struct swg_test_clock *t, uint64_t by_ns) {
    pthread_mutex_lock(&t->lock);
    t->now_ns = by_ns >= SWG_NEVER - t->now_ns ? SWG_NEVER - 1 : t->now_ns + by_ns;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
}

uint64_t swg_test_clock_next_ns(struct swg_test_clock *t) {
    uint64_t next_ns = SWG_NEVER;
    pthread_mutex_lock(&t->lock);
    for (const struct sleeper *s = t->sleepers; s; s = s->next) {
        if (s->until_ns > t->now_ns && s->until_ns < next_ns)
            next_ns = s->until_ns;
    }
    pthread_mutex_unlock(&t->lock);
    return next_ns;
}

static uint32_t count_sleepers(const struct swg_test_clock *t) {
    uint32_t count = 0;
    for (const struct sleeper *s = t->sleepers; s; s = s->next)
        count += s->until_ns > t->now_ns;
    return count;
}

void swg_test_clock_await_sleepers(struct swg_test_clock *t, uint32_t count) {
    pthread_mutex_lock(&t->lock);
    while (count_sleepers(t) < count)
        pthread_cond_wait(&t->changed, &t->lock);
    pthread_mutex_unlock(&t->lock);
}
