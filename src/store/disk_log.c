/* disk_log.c - see disk_log.h.
 *
 * Never what is damaged: every read checks the whole record, key included.
 *
 * Never what was removed: a removal is a record too, behind what it makes void,
 * and segments are dropped from the oldest on, so it outlives what it is about.
 * Where it cannot be written, the segments with what it is about, and all
 * before them, are deleted. What a record replaces is void from then on, also
 * if the new one turns out to be damaged. (After a power cut what was written
 * last may be missing, removals too: nothing is synced.) */
#include "store/disk_log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/disk_priv.h"

/* ---- life ---------------------------------------------------------------------- */

int disk_log_create(struct disk_log **out, const struct disk_log_options *o) {
    struct disk_log *log = calloc(1, sizeof(*log));
    *out = NULL;
    if (!log)
        return -ENOMEM;
    log->options = *o;
    log->path = strdup(o->path);
    log->lock_fd = -1;
    list_init(&log->segments);
    uint64_t bytes = o->bytes_max / DISK_LOG_SEGMENTS_MAX;
    bytes = bytes < DISK_LOG_SEGMENT_MIN ? DISK_LOG_SEGMENT_MIN : bytes;
    log->segment_bytes = (uint32_t)(bytes < DISK_LOG_SEGMENT_MAX ? bytes : DISK_LOG_SEGMENT_MAX);
    uint64_t count = o->bytes_max / log->segment_bytes;
    log->segments_max = (uint32_t)(count < 3 ? 3 : count > 65536 ? 65536 : count);
    if (!log->path || disk_index_init(&log->index) < 0) {
        free(log->path);
        free(log);
        return -ENOMEM;
    }
    pthread_mutex_init(&log->lock, NULL);
    *out = log;
    return 0;
}

/* The files stay. Readers that are under way keep theirs. */
static void close_all(struct disk_log *log) {
    pthread_mutex_lock(&log->lock);
    log->ready = false;
    log->newest = NULL;
    log->segment_count = 0;
    disk_index_clear(&log->index);
    for (struct list *l; (l = list_pop_front(&log->segments)) != NULL;) {
        struct disk_segment *s = container_of(l, struct disk_segment, link);
        s->gone = true;
        if (s->readers)
            continue;
        close(s->fd);
        free(s);
    }
    pthread_mutex_unlock(&log->lock);
    if (log->lock_fd >= 0)
        close(log->lock_fd);
    log->lock_fd = -1;
}

void disk_log_destroy(struct disk_log *log) {
    if (!log)
        return;
    close_all(log);
    disk_index_free(&log->index);
    pthread_mutex_destroy(&log->lock);
    free(log->path);
    free(log);
}

static int take_directory(struct disk_log *log) {
    int dir;
    if (mkdir(log->path, 0700) < 0 && errno != EEXIST)
        return -errno;
    dir = open(log->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    int error = 0;
    log->lock_fd = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (log->lock_fd < 0 || flock(log->lock_fd, LOCK_EX | LOCK_NB) < 0)
        error = -errno;
    close(dir);
    return error;
}

static void evict(struct disk_log *);
static size_t count(struct disk_log *);
static bool is_full(struct disk_log *);
static void make_place(struct disk_log *);

int disk_log_open(struct disk_log *log) {
    close_all(log);
    log->last_number = 0;
    int error = take_directory(log);
    if (!error)
        error = disk_scan(log);
    if (error) {
        close_all(log);
        return error;
    }
    /* A cut-off end is not written over: the next record begins a segment. */
    while (log->segment_count >= log->segments_max)
        disk_segment_drop(log, container_of(log->segments.next, struct disk_segment, link));
    pthread_mutex_lock(&log->lock);
    log->ready = true;
    pthread_mutex_unlock(&log->lock);
    while (count(log) > log->options.entries_max)
        evict(log);
    return 0;
}

void disk_log_clear(struct disk_log *log) {
    while (!list_empty(&log->segments))
        disk_segment_drop(log, container_of(log->segments.next, struct disk_segment, link));
}

/* ---- writing ------------------------------------------------------------------- */

/* What is already there of a record that could not be written whole would stand
 * in the way of the next; where it cannot be cut off, a new segment begins. */
static void give_up(struct disk_log *log) {
    if (ftruncate(log->newest->fd, log->newest->size) < 0) {
        pthread_mutex_lock(&log->lock);
        log->newest = NULL;
        pthread_mutex_unlock(&log->lock);
    }
}

static int write_all(struct disk_log *log, struct iovec *iov, int count) {
    uint64_t at = log->newest->size;
    while (count) {
        ssize_t n = (log->options.write ? log->options.write : pwritev)(log->newest->fd, iov, count,
                                                                        (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int error = n < 0 ? -errno : -ENOSPC;
            give_up(log);
            return error;
        }
        at += (uint64_t)n;
        for (; count && (size_t)n >= iov->iov_len; iov++, count--)
            n -= (ssize_t)iov->iov_len;
        if (count) {
            iov->iov_base = (char *)iov->iov_base + n;
            iov->iov_len -= (size_t)n;
        }
    }
    return 0;
}

/* At the end of the newest segment, which has room for it. */
static int write_record(struct disk_log *log, const struct cache_record *r, uint32_t *offset) {
    uint8_t header[CACHE_RECORD_HEADER], digest[CACHE_RECORD_DIGEST];
    int error = cache_record_write(r, header, digest);
    if (error)
        return error;
    struct iovec iov[] = {{header, sizeof(header)},
                          {(void *)(uintptr_t)r->varied.at, r->varied.len},
                          {(void *)(uintptr_t)r->etag.at, r->etag.len},
                          {(void *)(uintptr_t)r->lines.at, r->lines.len},
                          {(void *)(uintptr_t)r->body.at, r->body.len},
                          {digest, sizeof(digest)}};
    error = write_all(log, iov, sizeof(iov) / sizeof(iov[0]));
    if (error)
        return error;
    pthread_mutex_lock(&log->lock);
    *offset = log->newest->size;
    log->newest->size += (uint32_t)cache_record_size(r);
    pthread_mutex_unlock(&log->lock);
    return 0;
}

static bool has_room(const struct disk_log *log, uint64_t size) {
    return log->newest && size <= log->segment_bytes - log->newest->size;
}

static int roll(struct disk_log *log) {
    int error;
    struct disk_segment *fresh = disk_segment_create(log, &error);
    if (!fresh)
        return error;
    pthread_mutex_lock(&log->lock);
    log->newest = fresh;
    pthread_mutex_unlock(&log->lock);
    while (log->segment_count >= log->segments_max)
        evict(log);
    return 0;
}

static void forget(struct disk_log *log, uint64_t hash) {
    pthread_mutex_lock(&log->lock);
    struct disk_place *p = disk_index_find(&log->index, hash);
    if (p)
        disk_index_remove(&log->index, p);
    pthread_mutex_unlock(&log->lock);
}

static int index_put(struct disk_log *log, const struct cache_record *r, uint32_t offset) {
    struct disk_place place = {.hash = disk_index_hash(&log->index, r->key),
                               .segment = log->newest->number,
                               .offset = offset,
                               .size = (uint32_t)cache_record_size(r),
                               .over_s = disk_over_s(r)};
    pthread_mutex_lock(&log->lock);
    int error = disk_index_put(&log->index, &place);
    pthread_mutex_unlock(&log->lock);
    return error;
}

int disk_log_append(struct disk_log *log, const struct cache_record *r) {
    uint64_t size = cache_record_size(r);
    uint32_t offset;
    if (!log->ready)
        return -EAGAIN;
    int error = size > log->segment_bytes ? -E2BIG : 0;
    if (!error && !has_room(log, size))
        error = roll(log);
    while (!error && is_full(log))
        make_place(log);
    if (!error && !has_room(log, size)) /* what was evicted has filled it up again */
        error = roll(log);
    if (!error)
        error = write_record(log, r, &offset);
    if (!error)
        error = index_put(log, r, offset);
    if (error) /* what was there is older than what could not be kept */
        disk_log_remove(log, r->key);
    return error;
}

/* ---- removing -------------------------------------------------------------------- */

static void drop_up_to(struct disk_log *log, uint32_t number) {
    while (!list_empty(&log->segments)) {
        struct disk_segment *s = container_of(log->segments.next, struct disk_segment, link);
        if (s->number > number)
            return;
        disk_segment_drop(log, s);
    }
}

void disk_log_remove(struct disk_log *log, const uint8_t key[CACHE_RECORD_KEY]) {
    struct cache_record r = {.kind = CACHE_RECORD_REMOVED, .came_ms = disk_wall_ms(log)};
    uint64_t hash = disk_index_hash(&log->index, key);
    uint32_t offset, segment = 0;
    pthread_mutex_lock(&log->lock);
    struct disk_place *p = disk_index_find(&log->index, hash);
    if (p)
        segment = p->segment;
    pthread_mutex_unlock(&log->lock);
    if (!segment)
        return;
    forget(log, hash);
    memcpy(r.key, key, sizeof(r.key));
    int error = has_room(log, CACHE_RECORD_EXTRA) ? 0 : roll(log);
    if (!error)
        error = write_record(log, &r, &offset);
    if (error)
        drop_up_to(log, segment);
}

/* ---- evicting ------------------------------------------------------------------------ */

/* Whether the index leads to just this record; `uses` are then its reads. */
static bool is_current(struct disk_log *log, const struct disk_segment *s, uint64_t hash,
                       uint32_t offset, uint8_t *uses) {
    pthread_mutex_lock(&log->lock);
    const struct disk_place *p = disk_index_find(&log->index, hash);
    bool current =
        p && p->segment == s->number && p->offset == offset && p->over_s > disk_wall_ms(log) / 1000;
    *uses = current ? p->uses : 0;
    pthread_mutex_unlock(&log->lock);
    return current;
}

/* Writes one record again, as it is. */
static bool save(struct disk_log *log, const struct disk_segment *s, uint32_t offset,
                 uint64_t size) {
    struct cache_record r;
    uint32_t to;
    char *data = malloc(size);
    bool saved = data && disk_segment_read(s, data, size, offset) == 0 &&
                 cache_record_read((struct bytes){data, size}, &r) == 0 && has_room(log, size) &&
                 write_record(log, &r, &to) == 0 && index_put(log, &r, to) == 0;
    free(data);
    return saved;
}

static void save_used(struct disk_log *log, const struct disk_segment *s) {
    uint8_t header[CACHE_RECORD_HEADER], uses;
    uint64_t budget = log->segment_bytes / 2, entries = log->options.entries_max / 2;
    struct cache_record r;
    for (uint32_t at = 0; at < s->size;) {
        if (disk_segment_read(s, header, sizeof(header), at) < 0 ||
            cache_record_read_header(header, &r) < 0)
            return;
        uint64_t size = cache_record_size(&r), hash = disk_index_hash(&log->index, r.key);
        if (is_current(log, s, hash, at, &uses) && uses && entries && size <= budget &&
            save(log, s, at, size)) {
            budget -= size;
            entries--;
        }
        at += (uint32_t)size;
    }
}

/* The oldest segment goes. */
static void evict(struct disk_log *log) {
    struct disk_segment *s = container_of(log->segments.next, struct disk_segment, link);
    if (s != log->newest && log->newest)
        save_used(log, s);
    disk_segment_drop(log, s);
}

static size_t count(struct disk_log *log) {
    pthread_mutex_lock(&log->lock);
    size_t entries = log->index.count;
    pthread_mutex_unlock(&log->lock);
    return entries;
}

static bool is_full(struct disk_log *log) {
    return count(log) >= log->options.entries_max;
}

/* For one more entry. Where all are in one segment, what is used of it moves to
 * a new one. */
static void make_place(struct disk_log *log) {
    if (log->newest && log->segments.next == &log->newest->link)
        (void)roll(log);
    evict(log);
}

/* ---- reading -------------------------------------------------------------------------- */

static struct disk_segment *find_segment(struct disk_log *log, uint32_t number) {
    for (struct list *l = log->segments.prev; l != &log->segments; l = l->prev) {
        struct disk_segment *s = container_of(l, struct disk_segment, link);
        if (s->number == number)
            return s;
    }
    return NULL;
}

static struct disk_segment *find(struct disk_log *log, uint64_t hash, struct disk_place *place) {
    struct disk_segment *s = NULL;
    pthread_mutex_lock(&log->lock);
    struct disk_place *p = log->ready ? disk_index_find(&log->index, hash) : NULL;
    if (p && p->over_s <= disk_wall_ms(log) / 1000) {
        disk_index_remove(&log->index, p);
        p = NULL;
    }
    if (p) {
        p->uses += p->uses < UINT8_MAX;
        *place = *p;
        s = find_segment(log, p->segment);
        assert(s);
        disk_segment_hold(s);
    }
    pthread_mutex_unlock(&log->lock);
    return s;
}

/* Unless it was replaced meanwhile. */
static void forget_place(struct disk_log *log, const struct disk_place *place) {
    pthread_mutex_lock(&log->lock);
    struct disk_place *p = disk_index_find(&log->index, place->hash);
    if (p && p->segment == place->segment && p->offset == place->offset)
        disk_index_remove(&log->index, p);
    pthread_mutex_unlock(&log->lock);
}

enum cache_store_result disk_log_read(struct disk_log *log, const uint8_t key[CACHE_RECORD_KEY],
                                      struct cache_record *r, char **data) {
    struct disk_place place;
    struct disk_segment *s = find(log, disk_index_hash(&log->index, key), &place);
    *data = NULL;
    if (!s)
        return CACHE_STORE_MISS;
    enum cache_store_result result = CACHE_STORE_ERROR;
    char *bytes = malloc(place.size);
    int error = bytes ? disk_segment_read(s, bytes, place.size, place.offset) : -ENOMEM;
    disk_segment_release(log, s);
    if (!error)
        error = cache_record_read((struct bytes){bytes, place.size}, r);
    if (!error && r->kind == CACHE_RECORD_ANSWER && memcmp(r->key, key, sizeof(r->key)) == 0) {
        *data = bytes;
        return CACHE_STORE_HIT;
    }
    if (!error || error == -EBADMSG)
        result = CACHE_STORE_DAMAGED;
    if (error != -ENOMEM)
        forget_place(log, &place);
    free(bytes);
    return result;
}

/* ---- looking at it ---------------------------------------------------------------------- */

void disk_log_read_stats(struct disk_log *log, struct cache_store_stats *out) {
    pthread_mutex_lock(&log->lock);
    out->ready = log->ready;
    out->entries = log->index.count;
    out->bytes = 0;
    for (struct list *l = log->segments.next; l != &log->segments; l = l->next)
        out->bytes += container_of(l, struct disk_segment, link)->size;
    pthread_mutex_unlock(&log->lock);
}

void disk_log_check(struct disk_log *log) {
    uint32_t segments = 0;
    size_t entries = 0;
    pthread_mutex_lock(&log->lock);
    for (struct list *l = log->segments.next; l != &log->segments; l = l->next, segments++)
        assert(container_of(l, struct disk_segment, link)->size <= DISK_LOG_SEGMENT_MAX);
    for (size_t i = 0; i <= log->index.mask; i++) {
        const struct disk_place *p = &log->index.places[i];
        if (!p->hash)
            continue;
        const struct disk_segment *s = find_segment(log, p->segment);
        assert(s && (uint64_t)p->offset + p->size <= s->size);
        assert(disk_index_find(&log->index, p->hash) == p);
        entries++;
    }
    assert(segments == log->segment_count && entries == log->index.count);
    assert(entries <= log->options.entries_max);
    pthread_mutex_unlock(&log->lock);
}
