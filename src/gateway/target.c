/* target.c - see target.h. */
#include "gateway/target.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

static bool set_unix(struct target *t) {
    struct sockaddr_un *un = (struct sockaddr_un *)&t->address[0];
    un->sun_family = AF_UNIX;
    int n = snprintf(un->sun_path, sizeof un->sun_path, "%s", t->unix_path);
    if (n < 0 || (size_t)n >= sizeof un->sun_path)
        return false;
    t->address_len[0] = sizeof *un;
    t->address_count = 1;
    return true;
}

static void set_numeric(struct target *t) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)&t->address[0];
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&t->address[0];
    if (inet_pton(AF_INET, t->host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(t->port);
        t->address_len[0] = sizeof *v4;
        t->address_count = 1;
    } else if (inet_pton(AF_INET6, t->host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(t->port);
        t->address_len[0] = sizeof *v6;
        t->address_count = 1;
    }
}

static void target_free(struct target *t) {
    pthread_mutex_destroy(&t->lock);
    free(t->name);
    free(t->host);
    free(t->unix_path);
    free(t);
}

struct target *target_create(const struct endpoint_options *o, uint32_t workers) {
    struct target *t = calloc(1, sizeof *t + workers * sizeof t->idle[0]);
    if (!t)
        return NULL;
    pthread_mutex_init(&t->lock, NULL);
    atomic_init(&t->references, 1);
    t->scheme = o->scheme;
    t->port = o->port;
    t->workers = workers;
    for (uint32_t w = 0; w < workers; w++)
        list_init(&t->idle[w]);
    t->name = strdup(o->name);
    t->host = o->host ? strdup(o->host) : NULL;
    t->unix_path = o->unix_path ? strdup(o->unix_path) : NULL;
    bool ok = t->name && (!o->host || t->host) && (!o->unix_path || t->unix_path);
    if (ok && t->unix_path)
        ok = set_unix(t);
    else if (ok && t->host)
        set_numeric(t);
    if (!ok) {
        target_free(t);
        return NULL;
    }
    return t;
}

struct target *target_hold(struct target *t) {
    atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
    return t;
}

void target_release(struct target *t) {
    if (t && atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel) == 1)
        target_free(t);
}

void target_set_addresses(struct target *t, const struct sockaddr_storage *address,
                          const socklen_t *len, uint32_t count) {
    if (count > TARGET_ADDRESSES)
        count = TARGET_ADDRESSES;
    if (!count)
        return;
    pthread_mutex_lock(&t->lock);
    memcpy(t->address, address, count * sizeof *address);
    memcpy(t->address_len, len, count * sizeof *len);
    t->address_count = count;
    pthread_mutex_unlock(&t->lock);
}

bool target_pick_address(struct target *t, struct sockaddr_storage *address, socklen_t *len) {
    pthread_mutex_lock(&t->lock);
    bool known = t->address_count > 0;
    if (known) {
        uint32_t i = t->next++ % t->address_count;
        *address = t->address[i];
        *len = t->address_len[i];
    }
    pthread_mutex_unlock(&t->lock);
    return known;
}

bool target_needs_resolving(const struct target *t) {
    struct in6_addr any;
    return t->host && inet_pton(AF_INET, t->host, &any) != 1 &&
           inet_pton(AF_INET6, t->host, &any) != 1;
}
