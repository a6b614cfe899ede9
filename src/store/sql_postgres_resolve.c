/* sql_postgres_resolve.c - names of PostgreSQL servers to addresses.
 *
 * libpq asks getaddrinfo() inside PQconnectPoll(), where a name server that
 * does not answer would hold up the loop for half a minute. So names are looked
 * up here, on a thread for each connection that is opened (which is rare), and
 * libpq gets numbers in `hostaddr`, with the name beside them for TLS.
 *
 * A lookup that nobody waits for any more cannot be stopped: its thread ends
 * by itself, and then touches nothing but the lookup's own memory. */
#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/sql_postgres.h"

enum { ADDRESSES_MAX = 16, TARGET_BYTES_MAX = 16 * 1024 };

struct postgres_lookup {
    struct io *io;
    char *host, *port;
    void (*done)(void *, const struct postgres_target *, const char *);
    void *arg;
    /* The thread's, and the loop's once posted. */
    struct buf hosts, addresses, ports;
    uint32_t count;
    char error[120];
    struct io_task task;

    pthread_mutex_t lock; /* guards what follows */
    bool cancelled;
    bool posted;
};

static bool is_path(struct bytes host) {
    return !host.len || host.at[0] == '/' || host.at[0] == '@';
}

static bool is_number(struct bytes host) {
    char text[64];
    unsigned char address[16];
    if (host.len >= sizeof text)
        return false;
    memcpy(text, host.at, host.len);
    text[host.len] = '\0';
    return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

bool postgres_needs_lookup(const char *host) {
    struct bytes rest = bytes_of(host), one;
    while (bytes_split(&rest, ',', &one)) {
        if (!is_path(one) && !is_number(one))
            return true;
    }
    return false;
}

static void destroy(struct postgres_lookup *l) {
    buf_free(&l->hosts);
    buf_free(&l->addresses);
    buf_free(&l->ports);
    pthread_mutex_destroy(&l->lock);
    free(l->host);
    free(l->port);
    free(l);
}

/* ---- the thread -------------------------------------------------------------------- */

static void add(struct postgres_lookup *l, struct bytes host, const char *address,
                struct bytes port) {
    if (l->count++) {
        buf_char(&l->hosts, ',');
        buf_char(&l->addresses, ',');
        buf_char(&l->ports, ',');
    }
    buf_bytes(&l->hosts, host);
    buf_string(&l->addresses, address);
    buf_bytes(&l->ports, port);
}

static void add_all(struct postgres_lookup *l, struct bytes host, struct bytes port,
                    const struct addrinfo *found) {
    for (uint32_t n = 0; found && n < ADDRESSES_MAX; found = found->ai_next, n++) {
        char text[INET6_ADDRSTRLEN + 20];
        if (!getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, NULL, 0,
                         NI_NUMERICHOST))
            add(l, host, text, port);
    }
}

static void look_up_one(struct postgres_lookup *l, struct bytes host, struct bytes port) {
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char *name;
    if (is_path(host)) {
        add(l, host, "", port);
        return;
    }
    name = strndup(host.at, host.len);
    int error = name ? getaddrinfo(name, NULL, &hints, &found) : EAI_MEMORY;
    if (error)
        snprintf(l->error, sizeof l->error, "%.60s: %s", name ? name : "", gai_strerror(error));
    else
        add_all(l, host, port, found);
    if (found)
        freeaddrinfo(found);
    free(name);
}

/* One port stands for all hosts. */
static void look_up_all(struct postgres_lookup *l) {
    struct bytes hosts = bytes_of(l->host), ports = bytes_of(l->port), host, port = {"", 0}, next;
    while (bytes_split(&hosts, ',', &host)) {
        if (bytes_split(&ports, ',', &next))
            port = next;
        look_up_one(l, host, port);
    }
}

static void tell(struct io_task *task) {
    struct postgres_lookup *l = container_of(task, struct postgres_lookup, task);
    struct postgres_target target = {l->hosts.at, l->addresses.at, l->ports.at};
    bool failed = !l->count || l->hosts.failed || l->addresses.failed || l->ports.failed;
    if (!l->cancelled) /* posted, so no thread looks at it any more */
        l->done(l->arg, &target, failed ? l->error : NULL);
    pthread_mutex_lock(&l->lock); /* the thread may still be on its way out of it */
    pthread_mutex_unlock(&l->lock);
    destroy(l);
}

static void *run(void *arg) {
    struct postgres_lookup *l = arg;
    pthread_setname_np(pthread_self(), "sql-names");
    look_up_all(l);
    pthread_mutex_lock(&l->lock);
    bool wanted = !l->cancelled;
    l->posted = wanted;
    if (wanted)
        io_post(l->io, &l->task);
    pthread_mutex_unlock(&l->lock);
    if (!wanted)
        destroy(l);
    return NULL;
}

/* ---- the interface -------------------------------------------------------------------- */

static int start_thread(struct postgres_lookup *l) {
    pthread_attr_t detached;
    pthread_t thread;
    int error = pthread_attr_init(&detached);
    if (error)
        return error;
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    error = pthread_create(&thread, &detached, run, l);
    pthread_attr_destroy(&detached);
    return error;
}

struct postgres_lookup *
postgres_lookup_start(struct io *io, const char *host, const char *port,
                      void (*done)(void *arg, const struct postgres_target *, const char *error),
                      void *arg) {
    struct postgres_lookup *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    *l = (struct postgres_lookup){.io = io, .done = done, .arg = arg, .task.run = tell};
    l->host = strdup(host);
    l->port = strdup(port ? port : "");
    buf_init(&l->hosts, TARGET_BYTES_MAX);
    buf_init(&l->addresses, TARGET_BYTES_MAX);
    buf_init(&l->ports, TARGET_BYTES_MAX);
    pthread_mutex_init(&l->lock, NULL);
    snprintf(l->error, sizeof l->error, "no address");
    if (l->host && l->port && !start_thread(l))
        return l;
    destroy(l);
    return NULL;
}

void postgres_lookup_cancel(struct postgres_lookup *l) {
    pthread_mutex_lock(&l->lock);
    l->cancelled = true;
    pthread_mutex_unlock(&l->lock);
}
