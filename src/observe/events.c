/* One ring a service, one sequence over all. In a ring the numbers ascend, so
 * reading several services in order is a merge: each ring has a cursor, and
 * the smallest number under the cursors is next. With a ring remembering the
 * latest number it has overwritten, "have I missed something?" is exact. */
#include "observe/events.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/rfc3339.h"

enum { RING_FIRST = 8, PER_SERVICE_DEFAULT = 128, SERVICES_DEFAULT = 256 };

struct ring {
    char service[sizeof(((struct event *)0)->service)];
    struct event *events;
    uint32_t size, count;
    uint32_t oldest; /* index; 0 until the ring has its final size */
    uint64_t lost;   /* the latest number that was overwritten; 0: none */
    uint32_t cursor; /* of the reading under way: how many are passed */
};

struct events {
    pthread_mutex_t lock; /* guards all below */
    uint64_t last;
    uint32_t per_service, services;
    uint32_t ring_count;
    void (*watcher)(void *arg); /* set before there are threads */
    void *watcher_arg;
    struct ring rings[]; /* [0]: of no service, and of those that came too late */
};

static void fill(struct event *, const struct event_info *);
static void copy_text(char *to, size_t size, const char *from);
static struct ring *ring_for(struct events *, const char *service);
static struct event *next_place(struct events *, struct ring *);
static bool grow(struct ring *, uint32_t max);
static struct event *at(const struct ring *, uint32_t place);
static uint32_t count_upto(const struct ring *, uint64_t sequence);
static bool concerns(const struct events *, const struct ring *, const char *service);
static void skip_others(struct ring *, const char *service, int step);

int events_create(struct events **out, const struct events_options *o) {
    uint32_t per_service = o && o->per_service ? o->per_service : PER_SERVICE_DEFAULT;
    uint32_t services = o && o->services ? o->services : SERVICES_DEFAULT;
    struct events *e = calloc(1, sizeof(*e) + ((size_t)services + 1) * sizeof(e->rings[0]));
    if (!e)
        return -ENOMEM;
    int error = pthread_mutex_init(&e->lock, NULL);
    if (error) {
        free(e);
        return -error;
    }
    e->per_service = per_service;
    e->services = services;
    e->ring_count = 1;
    *out = e;
    return 0;
}

void events_destroy(struct events *e) {
    if (!e)
        return;
    for (uint32_t i = 0; i < e->ring_count; i++)
        free(e->rings[i].events);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

void events_watch(struct events *e, void (*fn)(void *arg), void *arg) {
    e->watcher = fn;
    e->watcher_arg = arg;
}

uint64_t events_add(struct events *e, const struct event_info *info) {
    struct event new;
    fill(&new, info);
    pthread_mutex_lock(&e->lock);
    new.sequence = ++e->last;
    struct ring *r = ring_for(e, new.service);
    struct event *place = next_place(e, r);
    if (place)
        *place = new;
    else
        r->lost = new.sequence;
    pthread_mutex_unlock(&e->lock);
    if (e->watcher)
        e->watcher(e->watcher_arg);
    return new.sequence;
}

uint64_t events_last(struct events *e) {
    pthread_mutex_lock(&e->lock);
    uint64_t last = e->last;
    pthread_mutex_unlock(&e->lock);
    return last;
}

/* ---- reading ------------------------------------------------------------- */

size_t events_read(struct events *e, uint64_t after, const char *service, struct event *out,
                   size_t max, bool *gap) {
    char name[sizeof(out->service)];
    if (service)
        copy_text(name, sizeof(name), service);
    service = service ? name : NULL;

    pthread_mutex_lock(&e->lock);
    *gap = after > e->last;
    if (*gap)
        after = 0;
    for (uint32_t i = 0; i < e->ring_count; i++) {
        struct ring *r = &e->rings[i];
        bool wanted = concerns(e, r, service);
        *gap |= wanted && r->lost > after;
        r->cursor = wanted ? count_upto(r, after) : r->count;
    }
    size_t got = 0;
    for (struct ring *first; got < max; got++) {
        first = NULL;
        for (uint32_t i = 0; i < e->ring_count; i++) {
            struct ring *r = &e->rings[i];
            skip_others(r, service, 1);
            if (r->cursor < r->count &&
                (!first || at(r, r->cursor)->sequence < at(first, first->cursor)->sequence))
                first = r;
        }
        if (!first)
            break;
        out[got] = *at(first, first->cursor++);
    }
    pthread_mutex_unlock(&e->lock);
    return got;
}

/* The same merge from the other end: cursors count what is left, and the
 * output is filled from its end, then moved to its beginning. */
size_t events_read_latest(struct events *e, const char *service, struct event *out, size_t max) {
    char name[sizeof(out->service)];
    if (service)
        copy_text(name, sizeof(name), service);
    service = service ? name : NULL;

    pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; i < e->ring_count; i++)
        e->rings[i].cursor = concerns(e, &e->rings[i], service) ? e->rings[i].count : 0;
    size_t got = 0;
    for (struct ring *last; got < max; got++) {
        last = NULL;
        for (uint32_t i = 0; i < e->ring_count; i++) {
            struct ring *r = &e->rings[i];
            skip_others(r, service, -1);
            if (r->cursor &&
                (!last || at(r, r->cursor - 1)->sequence > at(last, last->cursor - 1)->sequence))
                last = r;
        }
        if (!last)
            break;
        out[max - 1 - got] = *at(last, --last->cursor);
    }
    pthread_mutex_unlock(&e->lock);
    memmove(out, out + max - got, got * sizeof(*out));
    return got;
}

void event_write_json(struct json_out *j, const struct event *e) {
    const struct {
        const char *key, *value;
    } fields[] = {{"kind", e->kind},     {"service", e->service}, {"endpoint", e->endpoint},
                  {"from", e->from},     {"to", e->to},           {"cause", e->cause},
                  {"author", e->author}, {"text", e->text}};
    char time[RFC3339_SIZE];
    rfc3339_ms(time, e->unix_ms);
    json_object(j);
    json_key_uint(j, "sequence", e->sequence);
    json_key_string(j, "time", time);
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
        if (*fields[i].value)
            json_key_string(j, fields[i].key, fields[i].value);
    json_object_end(j);
}

/* Whether the ring may hold events of this service; ring 0 may of any. */
static bool concerns(const struct events *e, const struct ring *r, const char *service) {
    return !service || r == &e->rings[0] || strcmp(r->service, service) == 0;
}

/* Moves the cursor over events of other services; forward it points at the
 * next event, backward behind it. Only ring 0 mixes services. */
static void skip_others(struct ring *r, const char *service, int step) {
    if (!service)
        return;
    if (step > 0)
        while (r->cursor < r->count && strcmp(at(r, r->cursor)->service, service) != 0)
            r->cursor++;
    else
        while (r->cursor && strcmp(at(r, r->cursor - 1)->service, service) != 0)
            r->cursor--;
}

/* How many events of the ring are not later than `sequence`. */
static uint32_t count_upto(const struct ring *r, uint64_t sequence) {
    uint32_t low = 0, high = r->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (at(r, middle)->sequence <= sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct event *at(const struct ring *r, uint32_t place) {
    return &r->events[(r->oldest + place) % r->size];
}

/* ---- adding -------------------------------------------------------------- */

static void fill(struct event *e, const struct event_info *info) {
    e->unix_ms = info->unix_ms;
    copy_text(e->kind, sizeof(e->kind), info->kind);
    copy_text(e->service, sizeof(e->service), info->service);
    copy_text(e->endpoint, sizeof(e->endpoint), info->endpoint);
    copy_text(e->from, sizeof(e->from), info->from);
    copy_text(e->to, sizeof(e->to), info->to);
    copy_text(e->cause, sizeof(e->cause), info->cause);
    copy_text(e->author, sizeof(e->author), info->author);
    copy_text(e->text, sizeof(e->text), info->text);
}

static void copy_text(char *to, size_t size, const char *from) {
    size_t len = from ? strnlen(from, size) : 0;
    if (len == size)
        len = utf8_cut(from, size - 1);
    if (len)
        memcpy(to, from, len);
    memset(to + len, 0, size - len);
}

static struct ring *ring_for(struct events *e, const char *service) {
    if (!*service)
        return &e->rings[0];
    for (uint32_t i = 1; i < e->ring_count; i++)
        if (strcmp(e->rings[i].service, service) == 0)
            return &e->rings[i];
    if (e->ring_count > e->services)
        return &e->rings[0];
    struct ring *r = &e->rings[e->ring_count++];
    memcpy(r->service, service, sizeof(r->service));
    return r;
}

/* NULL only when there is no memory for even the first. */
static struct event *next_place(struct events *e, struct ring *r) {
    if (r->count < r->size || grow(r, e->per_service))
        return at(r, r->count++);
    if (!r->size)
        return NULL;
    struct event *place = at(r, 0);
    r->lost = place->sequence;
    r->oldest = (r->oldest + 1) % r->size;
    return place;
}

/* A ring that grows again after it has begun to overwrite, because memory was
 * short for a while, is put in order first. */
static bool grow(struct ring *r, uint32_t max) {
    if (r->size >= max)
        return false;
    uint32_t size = r->size ? r->size * 2 : RING_FIRST;
    if (size > max)
        size = max;
    struct event *bigger = calloc(size, sizeof(*bigger));
    if (!bigger)
        return false;
    for (uint32_t i = 0; i < r->count; i++)
        bigger[i] = *at(r, i);
    free(r->events);
    r->events = bigger;
    r->size = size;
    r->oldest = 0;
    return true;
}
