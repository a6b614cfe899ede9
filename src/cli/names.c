/* names.c - see names.h. */
#include "cli/names.h"

#include <stdlib.h>

#include "gateway/gateway.h"
#include "gateway/stores.h"
#include "gateway/trace_export.h"
#include "loop/resolve.h"
#include "observe/log.h"

#define LIMIT_NS   SWG_SECONDS(5)
#define RETRY_NS   SWG_SECONDS(2)  /* after a failure */
#define REFRESH_NS SWG_SECONDS(30) /* where no time to live is known */

struct name {
    struct list link;
    struct names *all;
    struct target *target;
    struct loop_resolve question;
    struct io_timer timer;
    bool answered, failing;
};

struct names {
    struct loop *loop;
    struct loop_resolver *resolver;
    struct list list;
};

static void ask(struct name *n) {
    if (loop_resolve_start(n->all->resolver, &n->question, n->target->host, n->target->port,
                           LIMIT_NS) < 0) {
        n->answered = true;
        io_timer_set(loop_io(n->all->loop), &n->timer, io_now(loop_io(n->all->loop)) + RETRY_NS);
    }
}

static void on_due(struct io_timer *t) {
    ask(container_of(t, struct name, timer));
}

static void publish(struct name *n) {
    struct sockaddr_storage address[TARGET_ADDRESSES] = {0};
    socklen_t len[TARGET_ADDRESSES];
    uint32_t count = 0;
    for (; count < n->question.count && count < TARGET_ADDRESSES; count++) {
        len[count] = loop_address_len(&n->question.addresses[count]);
        memcpy(&address[count], &n->question.addresses[count], len[count]);
    }
    target_set_addresses(n->target, address, len, count);
}

static void on_answer(struct loop_resolve *question, int status) {
    struct name *n = container_of(question, struct name, question);
    struct io *io = loop_io(n->all->loop);
    uint64_t again = RETRY_NS;
    n->answered = true;
    if (status == 0) {
        publish(n);
        again = question->ttl_s ? SWG_SECONDS(question->ttl_s) : REFRESH_NS;
        again = again < RETRY_NS ? RETRY_NS : again;
    } else if (!n->failing) {
        struct log_line line;
        if (log_begin(&line, LOG_WARN, "endpoint's name has no address")) {
            log_str(&line, "endpoint", n->target->name);
            log_str(&line, "cause", question->reason);
            log_end(&line);
        }
    }
    n->failing = status != 0;
    io_timer_set(io, &n->timer, io_now(io) + again);
}

int names_create(struct names **out, struct loop *loop) {
    struct names *names = calloc(1, sizeof *names);
    if (!names)
        return -1;
    names->loop = loop;
    list_init(&names->list);
    int error = loop_resolver_create(&names->resolver, loop, &(struct loop_resolver_options){0});
    if (error < 0) {
        free(names);
        return error;
    }
    *out = names;
    return 0;
}

static void forget(struct name *n) {
    loop_resolve_cancel(&n->question);
    io_timer_clear(loop_io(n->all->loop), &n->timer);
    list_remove(&n->link);
    target_release(n->target);
    free(n);
}

static void forget_all(struct list *list) {
    while (!list_empty(list))
        forget(container_of(list->next, struct name, link));
}

void names_destroy(struct names *names) {
    if (!names)
        return;
    forget_all(&names->list);
    loop_resolver_destroy(names->resolver);
    free(names);
}

static struct name *find(struct list *list, const struct target *target) {
    for (struct list *l = list->next; l != list; l = l->next) {
        struct name *n = container_of(l, struct name, link);
        if (n->target == target)
            return n;
    }
    return NULL;
}

static void follow(struct names *names, struct list *old, struct target *target) {
    if (!target_needs_resolving(target) || find(&names->list, target))
        return;
    struct name *n = find(old, target);
    if (n) {
        list_remove(&n->link);
        list_push_back(&names->list, &n->link);
        return;
    }
    n = calloc(1, sizeof *n);
    if (!n)
        return;
    n->all = names;
    n->target = target_hold(target);
    n->question.on_done = on_answer;
    io_timer_init(&n->timer, on_due);
    list_push_back(&names->list, &n->link);
    ask(n);
}

void names_follow(struct names *names, struct plan *plan) {
    struct list old;
    list_init(&old);
    list_splice_back(&old, &names->list);
    for (uint32_t s = 0; s < plan->service_count; s++) {
        for (uint32_t t = 0; t < plan->services[s].target_count; t++)
            follow(names, &old, plan->services[s].targets[t]);
    }
    struct target *redis = stores_target(plan->gateway->stores);
    if (redis)
        follow(names, &old, redis);
    struct target *collector = trace_export_target(plan->gateway->trace_export);
    if (collector)
        follow(names, &old, collector);
    forget_all(&old);
}

bool names_are_settled(const struct names *names) {
    for (struct list *l = names->list.next; l != &names->list; l = l->next) {
        if (!container_of(l, struct name, link)->answered)
            return false;
    }
    return true;
}
