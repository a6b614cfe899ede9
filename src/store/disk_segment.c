/* disk_segment.c - segment files: making, dropping, reading, and finding out
 * what is in them after a restart.
 *
 * The scan goes through the segments from the oldest on, and through each from
 * its beginning, by the headers alone. It never looks for a header anywhere
 * else than behind the last record: bodies are what clients and services send,
 * and may well contain what looks like a record.
 *
 * A record that the end of the file cuts off was being written when the process
 * died: there the segment ends, and nothing is lost that had been there. A header
 * that is no header, with bytes behind it, is damage; what it and those behind it
 * said is not known, and they may have said that older records are void. So
 * all that is older is given up. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/disk_priv.h"

enum { NAME_DIGITS = 8, PATH_SIZE = 4096 };

static bool path_of(char out[PATH_SIZE], const struct disk_log *log, uint32_t number) {
    int n = snprintf(out, PATH_SIZE, "%s/%08x.swg", log->path, number);
    return n > 0 && n < PATH_SIZE;
}

int64_t disk_wall_ms(const struct disk_log *log) {
    struct timespec t;
    if (log->options.wall_ms)
        return log->options.wall_ms();
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

uint32_t disk_over_s(const struct cache_record *r) {
    int64_t s = cache_record_over_ms(r) / 1000;
    return s >= UINT32_MAX ? UINT32_MAX : (uint32_t)s + 1;
}

/* ---- life ---------------------------------------------------------------------- */

static struct disk_segment *open_segment(struct disk_log *log, uint32_t number, int flags,
                                         int *error) {
    char path[PATH_SIZE];
    struct disk_segment *s = calloc(1, sizeof(*s));
    *error = s ? -ENAMETOOLONG : -ENOMEM;
    if (s && path_of(path, log, number)) {
        s->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
        *error = s->fd < 0 ? -errno : 0;
    }
    if (*error) {
        free(s);
        return NULL;
    }
    s->number = number;
    list_init(&s->link);
    return s;
}

static void add(struct disk_log *log, struct disk_segment *s) {
    pthread_mutex_lock(&log->lock);
    list_push_back(&log->segments, &s->link);
    log->segment_count++;
    log->last_number = s->number;
    pthread_mutex_unlock(&log->lock);
}

struct disk_segment *disk_segment_create(struct disk_log *log, int *error) {
    if (log->last_number == UINT32_MAX) { /* after some exabytes */
        *error = -EOVERFLOW;
        return NULL;
    }
    struct disk_segment *s = open_segment(log, log->last_number + 1, O_CREAT | O_EXCL, error);
    if (s)
        add(log, s);
    return s;
}

static void close_segment(struct disk_segment *s) {
    close(s->fd);
    free(s);
}

void disk_segment_drop(struct disk_log *log, struct disk_segment *s) {
    char path[PATH_SIZE];
    if (path_of(path, log, s->number))
        (void)unlink(path); /* where that fails it is there again after a restart */
    pthread_mutex_lock(&log->lock);
    disk_index_remove_segment(&log->index, s->number);
    list_remove(&s->link);
    log->segment_count--;
    if (log->newest == s)
        log->newest = NULL;
    s->gone = true;
    bool last = s->readers == 0;
    pthread_mutex_unlock(&log->lock);
    if (last)
        close_segment(s);
}

void disk_segment_hold(struct disk_segment *s) {
    s->readers++;
}

void disk_segment_release(struct disk_log *log, struct disk_segment *s) {
    pthread_mutex_lock(&log->lock);
    bool last = --s->readers == 0 && s->gone;
    pthread_mutex_unlock(&log->lock);
    if (last)
        close_segment(s);
}

int disk_segment_read(const struct disk_segment *s, void *to, size_t len, uint64_t at) {
    for (size_t done = 0; done < len;) {
        ssize_t n = pread(s->fd, (char *)to + done, len - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EBADMSG;
        done += (size_t)n;
    }
    return 0;
}

/* ---- the scan -------------------------------------------------------------------- */

/* 0: not the name of a segment. */
static uint32_t number_of(const char *name) {
    uint32_t number = 0;
    if (strlen(name) != NAME_DIGITS + 4 || strcmp(name + NAME_DIGITS, ".swg") != 0)
        return 0;
    for (int i = 0; i < NAME_DIGITS; i++) {
        const char *digit = name[i] ? strchr("0123456789abcdef", name[i]) : NULL;
        if (!digit)
            return 0;
        number = number << 4 | (uint32_t)(digit - (const char *)"0123456789abcdef");
    }
    return number;
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* *out is malloc()ed, in order. */
static int list_numbers(const struct disk_log *log, uint32_t **out, size_t *count) {
    size_t room = 0;
    *out = NULL;
    *count = 0;
    DIR *dir = opendir(log->path);
    if (!dir)
        return -errno;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        uint32_t number = number_of(e->d_name);
        if (!number)
            continue;
        if (*count == room) {
            room = room ? 2 * room : 64;
            uint32_t *more = realloc(*out, room * sizeof(**out));
            if (!more) {
                closedir(dir);
                free(*out);
                return -ENOMEM;
            }
            *out = more;
        }
        (*out)[(*count)++] = number;
    }
    closedir(dir);
    if (*count)
        qsort(*out, *count, sizeof(**out), compare);
    return 0;
}

/* What the record says goes for all that was under its key. */
static int apply(struct disk_log *log, const struct disk_segment *s, uint32_t offset,
                 const struct cache_record *r) {
    struct disk_place place = {.hash = disk_index_hash(&log->index, r->key),
                               .segment = s->number,
                               .offset = offset,
                               .size = (uint32_t)cache_record_size(r),
                               .over_s = disk_over_s(r)};
    pthread_mutex_lock(&log->lock);
    struct disk_place *old = disk_index_find(&log->index, place.hash);
    if (old)
        disk_index_remove(&log->index, old);
    bool keep = r->kind == CACHE_RECORD_ANSWER && place.over_s > disk_wall_ms(log) / 1000;
    int failed = keep ? disk_index_put(&log->index, &place) : 0;
    pthread_mutex_unlock(&log->lock);
    return failed;
}

/* 0, -EBADMSG: damaged, -errno. */
static int scan_segment(struct disk_log *log, struct disk_segment *s, uint64_t end) {
    uint8_t header[CACHE_RECORD_HEADER];
    struct cache_record r;
    while (end - s->size >= sizeof(header)) {
        int failed = disk_segment_read(s, header, sizeof(header), s->size);
        if (!failed)
            failed = cache_record_read_header(header, &r);
        if (failed)
            return failed;
        uint64_t size = cache_record_size(&r);
        if (size > end - s->size)
            break; /* cut off */
        failed = apply(log, s, s->size, &r);
        if (failed)
            return failed;
        s->size += (uint32_t)size;
    }
    return 0;
}

static void drop_all(struct disk_log *log) {
    while (!list_empty(&log->segments))
        disk_segment_drop(log, container_of(log->segments.next, struct disk_segment, link));
}

static int take_segment(struct disk_log *log, uint32_t number) {
    struct stat st;
    int error;
    struct disk_segment *s = open_segment(log, number, 0, &error);
    if (!s && (error == -ENOMEM || error == -EMFILE || error == -ENFILE))
        return error;
    if (!s) { /* no file of ours, or not any more */
        drop_all(log);
        return 0;
    }
    add(log, s);
    bool good = fstat(s->fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= 0 &&
                st.st_size <= DISK_LOG_SEGMENT_MAX;
    error = good ? scan_segment(log, s, (uint64_t)st.st_size) : -EBADMSG;
    if (error == -ENOMEM)
        return error;
    if (error)
        drop_all(log); /* this one and all older: see above */
    return 0;
}

int disk_scan(struct disk_log *log) {
    uint32_t *numbers;
    size_t count;
    int error = list_numbers(log, &numbers, &count);
    for (size_t i = 0; !error && i < count; i++)
        error = take_segment(log, numbers[i]);
    free(numbers);
    return error;
}
