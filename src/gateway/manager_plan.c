/* manager_plan.c - the services of a plan, and the order in which to look at them.
 *
 * The configuration has no circles of dependencies; should one come from somewhere
 * else, the walk ends all the same, and what closes the circle is looked at with the
 * condition that it had before. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/manager_priv.h"

static uint32_t count_dependencies(const struct plan *plan) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->service_count; i++)
        count += plan->services[i].options->depends_count;
    return count;
}

static const struct managed *find(const struct manager *m, const char *name) {
    for (uint32_t i = 0; i < m->count; i++) {
        if (!strcmp(m->services[i].name, name))
            return &m->services[i];
    }
    return NULL;
}

static void take_over(struct managed *s, const struct managed *before, const char *name,
                      uint64_t now_ns) {
    if (before)
        *s = *before;
    else
        *s = (struct managed){.since_ns = now_ns};
    snprintf(s->name, sizeof s->name, "%s", name);
    s->finding.because = SWG__BECAUSE_NOTHING; /* its dependency has another number now */
}

static struct dependency *link_dependencies(struct managed *s, struct plan *plan,
                                            const struct service_options *o,
                                            struct dependency *free_one) {
    s->dependencies = free_one;
    s->dependency_count = 0;
    for (uint32_t i = 0; i < o->depends_count; i++) {
        const struct service *on = plan_service(plan, bytes_of(o->depends_on[i].service));
        if (!on)
            continue;
        *free_one++ = (struct dependency){on->index, o->depends_on[i].soft};
        s->dependency_count++;
    }
    return free_one;
}

/* Depth first, with a stack of its own: a chain may be as long as the list. */
struct walk {
    const struct managed *services;
    uint32_t *order, done;
    uint32_t *stack; /* the services on the way, */
    uint32_t *next;  /* by index: the dependency that comes next, */
    bool *seen;
};

static void walk_from(struct walk *w, uint32_t root) {
    uint32_t depth = 0;
    w->stack[depth++] = root;
    w->seen[root] = true;
    while (depth) {
        uint32_t at = w->stack[depth - 1];
        const struct managed *s = &w->services[at];
        if (w->next[at] == s->dependency_count) {
            w->order[w->done++] = at;
            depth--;
            continue;
        }
        uint32_t on = s->dependencies[w->next[at]++].on;
        if (!w->seen[on]) {
            w->seen[on] = true;
            w->stack[depth++] = on;
        }
    }
}

static int put_in_order(const struct managed *services, uint32_t count, uint32_t *order) {
    struct walk w = {.services = services, .order = order};
    w.stack = calloc(count + 1, sizeof *w.stack);
    w.next = calloc(count + 1, sizeof *w.next);
    w.seen = calloc(count + 1, sizeof *w.seen);
    bool ok = w.stack && w.next && w.seen;
    for (uint32_t i = 0; ok && i < count; i++) {
        if (!w.seen[i])
            walk_from(&w, i);
    }
    free(w.stack);
    free(w.next);
    free(w.seen);
    return ok ? 0 : -ENOMEM;
}

int manager_follow(struct manager *m, struct plan *plan, uint64_t now_ns) {
    struct manager fresh = {.count = plan->service_count};
    fresh.services = calloc(fresh.count + 1, sizeof *fresh.services);
    fresh.order = calloc(fresh.count + 1, sizeof *fresh.order);
    fresh.dependencies = calloc(count_dependencies(plan) + 1, sizeof *fresh.dependencies);
    struct dependency *free_one = fresh.dependencies;
    bool ok = fresh.services && fresh.order && fresh.dependencies;
    for (uint32_t i = 0; ok && i < fresh.count; i++) {
        const struct service_options *o = plan->services[i].options;
        take_over(&fresh.services[i], find(m, o->name), o->name, now_ns);
        free_one = link_dependencies(&fresh.services[i], plan, o, free_one);
    }
    if (!ok || put_in_order(fresh.services, fresh.count, fresh.order) < 0) {
        manager_forget(&fresh);
        return -ENOMEM;
    }
    manager_forget(m);
    m->count = fresh.count;
    m->services = fresh.services;
    m->order = fresh.order;
    m->dependencies = fresh.dependencies;
    m->generation = plan->generation;
    return 0;
}

void manager_forget(struct manager *m) {
    free(m->services);
    free(m->order);
    free(m->dependencies);
    m->services = NULL;
    m->order = NULL;
    m->dependencies = NULL;
    m->count = 0;
    m->generation = 0;
}
