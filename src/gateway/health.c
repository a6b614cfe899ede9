/* health.c - see health.h. */
#include "gateway/health.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/database.h"
#include "gateway/plan.h"

/* How often a breaker is looked at whether its time to be probed has come. */
#define LOOK_NS SWG_MS(250)

/* Somebody who is checked. */
struct patient {
    struct list link;
    struct health *all;
    struct plan *plan; /* held: keeps all that the subject points at */
    struct check_subject subject;
    const char *service, *endpoint; /* names; service NULL: a database */
    struct swg_breaker *breaker;
    struct check check;
    struct io_timer next;
    struct swg_permit permit;
    bool leaving; /* its plan is gone */
    bool probing; /* the permit is to be recorded */
    uint64_t due_ns, began_ns;
    struct health_reading reading;
};

struct health {
    struct gateway *gateway;
    struct io *io;
    uint64_t random;
    struct list patients;
    struct list leaving;          /* of plans that are gone, until their check is done */
    const struct list *last_read; /* among them */
};

/* ---- one check ------------------------------------------------------------------ */

static uint64_t next_random(struct health *h) {
    h->random = h->random * 6364136223846793005u + 1442695040888963407u;
    return h->random >> 33;
}

/* A tenth more or less, so that checks of many gateways spread out. */
static uint64_t jittered(struct health *h, uint64_t ns) {
    uint64_t tenth = ns / 10 + 1;
    return ns - tenth + next_random(h) % (2 * tenth);
}

static struct patient *find(const struct list *list, const char *service, const char *endpoint);

/* A check that began before a reload goes on; what it finds is the new one's. */
static struct patient *heir_of(struct patient *p) {
    struct patient *heir = p->leaving ? find(&p->all->patients, p->service, p->endpoint) : NULL;
    return heir ? heir : p;
}

static void on_done(struct check *check, const struct check_verdict *v) {
    struct patient *p = container_of(check, struct patient, check);
    struct health_reading *r = &heir_of(p)->reading;
    uint64_t now_ns = io_now(p->all->io);
    r->state = v->state;
    r->status = v->status;
    r->cause = v->cause;
    r->checked_ns = now_ns;
    r->took_ns = now_ns - p->began_ns;
    r->checks++;
    r->failures += v->state == HEALTH_BAD;
    if (p->probing) /* what never left us proves nothing */
        swg_breaker_record(p->breaker, &p->permit,
                           v->state == HEALTH_GOOD  ? SWG_SUCCESS
                           : v->state == HEALTH_BAD ? SWG_FAILURE
                                                    : SWG_IGNORED,
                           0, now_ns);
    p->probing = false;
    if (p->leaving) /* leaves; not here, within its own check */
        io_timer_set(p->all->io, &p->next, now_ns);
}

static void begin(struct patient *p) {
    uint64_t now_ns = io_now(p->all->io);
    p->began_ns = now_ns;
    p->due_ns = now_ns + jittered(p->all, p->subject.options->interval_ns);
    check_start(&p->check, &p->subject);
}

/* ---- when ------------------------------------------------------------------------ */

static void patient_free(struct patient *);

/* An open breaker whose time is over, or a half-open one, is probed as soon as
 * it admits; otherwise a check comes at its interval and only looks. */
static void on_next(struct io_timer *t) {
    struct patient *p = container_of(t, struct patient, next);
    struct io *io = p->all->io;
    struct swg_breaker_stats stats;
    if (p->leaving) {
        if (!p->check.under_way)
            patient_free(p);
        return;
    }
    if (!p->check.under_way && !find(&p->all->leaving, p->service, p->endpoint)) {
        swg_breaker_read(p->breaker, &stats, io_now(io));
        bool recovering =
            stats.manual == SWG_AUTOMATIC &&
            ((stats.state == SWG_OPEN && stats.probe_due) || stats.state == SWG_HALF_OPEN);
        p->probing = recovering && swg_breaker_admit(p->breaker, &p->permit, next_random(p->all),
                                                     io_now(io)) == SWG_ADMITTED;
        if (p->probing || io_now(io) >= p->due_ns)
            begin(p);
    }
    io_timer_set(io, t, io_now(io) + jittered(p->all, LOOK_NS));
}

/* ---- life -------------------------------------------------------------------------- */

int health_create(struct health **out, struct gateway *g, struct io *io) {
    struct health *h = calloc(1, sizeof *h);
    *out = h;
    if (!h)
        return -ENOMEM;
    h->gateway = g;
    h->io = io;
    h->random = g->seed;
    list_init(&h->patients);
    list_init(&h->leaving);
    h->last_read = &h->patients;
    g->health = h;
    return 0;
}

static void patient_free(struct patient *p) {
    check_stop(&p->check);
    if (p->probing)
        swg_breaker_record(p->breaker, &p->permit, SWG_IGNORED, 0, io_now(p->all->io));
    io_timer_clear(p->all->io, &p->next);
    list_remove(&p->link);
    plan_release(p->plan);
    free(p);
}

static bool is_called(const struct patient *p, const char *service, const char *endpoint) {
    bool same = service ? p->service && !strcmp(p->service, service) : !p->service;
    return same && !strcmp(p->endpoint, endpoint);
}

static struct patient *find(const struct list *list, const char *service, const char *endpoint) {
    for (struct list *l = list->next; l != list; l = l->next) {
        struct patient *p = container_of(l, struct patient, link);
        if (is_called(p, service, endpoint))
            return p;
    }
    return NULL;
}

static bool is_same_text(const char *a, const char *b) {
    return a && b ? !strcmp(a, b) : a == b;
}

/* Their names are the same, and with them the addresses. */
static bool is_same_check(const struct patient *a, const struct patient *b) {
    const struct health_options *x = a->subject.options, *y = b->subject.options;
    const struct database *d = a->subject.database, *e = b->subject.database;
    return x->check == y->check && x->row == y->row && x->interval_ns == y->interval_ns &&
           x->timeout_ns == y->timeout_ns && !memcmp(x->expect, y->expect, sizeof x->expect) &&
           is_same_text(x->path, y->path) && is_same_text(x->user, y->user) &&
           is_same_text(x->password, y->password) && bytes_equal(x->query_text, y->query_text) &&
           (d && e ? d->pool == e->pool : d == e);
}

static void add(struct health *h, const struct list *old, struct plan *plan,
                const struct patient *who) {
    struct patient *p = malloc(sizeof *p);
    if (!p)
        return;
    *p = *who;
    p->all = h;
    p->plan = plan_hold(plan);
    p->reading.cause = "";
    const struct patient *before = find(old, p->service, p->endpoint);
    if (before)
        p->reading = before->reading;
    if (before && is_same_check(before, p))
        p->due_ns = before->due_ns;
    p->reading.kind = check_kind_word(check_kind_of(p->subject.options, p->subject.endpoint));
    check_init(&p->check, h->io, on_done);
    io_timer_init(&p->next, on_next);
    list_init(&p->link);
    list_push_back(&h->patients, &p->link);
    io_timer_set(h->io, &p->next, io_now(h->io) + next_random(h) % LOOK_NS);
}

static void add_endpoint(struct health *h, const struct list *old, struct plan *plan,
                         const struct service *s, uint32_t e) {
    const struct service_options *o = s->options;
    add(h, old, plan,
        &(struct patient){.service = o->name,
                          .endpoint = o->endpoints[e].name,
                          .breaker = swg_policy_breaker(s->policy, e),
                          .subject = {.options = &o->health,
                                      .endpoint = &o->endpoints[e],
                                      .target = s->targets[e],
                                      .database = o->health.check == HEALTH_CHECK_SQL
                                                      ? &plan->databases[o->health.database_index]
                                                      : NULL}});
}

static void add_database(struct health *h, const struct list *old, struct plan *plan,
                         const struct database *db) {
    add(h, old, plan,
        &(struct patient){.endpoint = db->options->name,
                          .breaker = swg_policy_breaker(db->policy, 0),
                          .subject = {.options = &db->options->health, .database = db}});
}

/* Whoever changes something every second would otherwise keep a slow check from ever
 * coming to its end. */
static void leave(struct patient *p) {
    const struct patient *heir = find(&p->all->patients, p->service, p->endpoint);
    if (!p->check.under_way || !heir || !is_same_check(p, heir)) {
        patient_free(p);
        return;
    }
    io_timer_clear(p->all->io, &p->next);
    list_remove(&p->link);
    list_push_back(&p->all->leaving, &p->link);
    p->leaving = true;
}

void health_follow(struct health *h, struct plan *plan) {
    struct list old;
    list_init(&old);
    list_splice_back(&old, &h->patients); /* first: they know most */
    list_splice_back(&old, &h->leaving);
    h->last_read = &h->patients;
    for (uint32_t i = 0; i < plan->service_count; i++) {
        const struct service *s = &plan->services[i];
        for (uint32_t e = 0; s->options->health.enabled && e < s->target_count; e++)
            add_endpoint(h, &old, plan, s, e);
    }
    for (uint32_t i = 0; i < plan->database_count; i++) {
        if (plan->databases[i].options->health.enabled)
            add_database(h, &old, plan, &plan->databases[i]);
    }
    while (!list_empty(&old))
        leave(container_of(old.next, struct patient, link));
}

void health_destroy(struct health *h) {
    if (!h)
        return;
    while (!list_empty(&h->patients))
        patient_free(container_of(h->patients.next, struct patient, link));
    while (!list_empty(&h->leaving))
        patient_free(container_of(h->leaving.next, struct patient, link));
    h->gateway->health = NULL;
    free(h);
}

/* Readers go through the plan, and the list has its order: the one behind the last that
 * was read is most likely the one that is wanted. */
static void read_of(struct health *h, const char *service, const char *endpoint,
                    struct health_reading *out) {
    const struct list *begin = h->last_read;
    *out = (struct health_reading){.cause = ""};
    do {
        h->last_read = h->last_read->next;
        const struct patient *p = container_of(h->last_read, struct patient, link);
        if (h->last_read != &h->patients && is_called(p, service, endpoint)) {
            *out = p->reading;
            return;
        }
    } while (h->last_read != begin);
}

void health_read(struct health *h, const struct service *s, uint32_t endpoint,
                 struct health_reading *out) {
    read_of(h, s->options->name, s->options->endpoints[endpoint].name, out);
}

void health_read_database(struct health *h, const struct database *db, struct health_reading *out) {
    read_of(h, NULL, db->options->name, out);
}

void health_probe_now(struct health *h) {
    for (struct list *l = h->patients.next; l != &h->patients; l = l->next) {
        struct patient *p = container_of(l, struct patient, link);
        p->due_ns = 0;
        io_timer_set(h->io, &p->next, io_now(h->io));
    }
}
