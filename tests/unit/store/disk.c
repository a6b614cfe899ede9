/* disk.c - see disk.h. */
#include "disk.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { SECTOR = 512, FILES = 8, REGIONS = 16, NAME = 256 };

struct bytes_on_disk {
    unsigned char *at;
    size_t len, room;
};

struct stored {
    char name[NAME]; /* "": no such file */
    struct bytes_on_disk now, safe;
    bool is_safe;         /* it exists on the disk itself */
    unsigned char *dirty; /* a byte a sector: written since the last sync */
    size_t dirty_room;
    void *regions[REGIONS]; /* shared memory of the write-ahead log */
};

struct open_file {
    sqlite3_file base;
    struct stored *file;
    bool delete_on_close;
};

static struct {
    struct stored files[FILES];
    uint64_t random, changes, syncs, at;
    enum disk_fault fault;
    bool only_syncs, off;
    size_t limit;
} disk;

static uint64_t draw(uint64_t below) {
    disk.random += 0x9e3779b97f4a7c15u;
    uint64_t z = disk.random;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % below;
}

/* ---- bytes ----------------------------------------------------------------------- */

static void resize(struct bytes_on_disk *b, size_t len) {
    if (len > b->room) {
        b->room = len * 2;
        b->at = realloc(b->at, b->room);
        assert(b->at);
    }
    if (len > b->len)
        memset(b->at + b->len, 0, len - b->len);
    b->len = len;
}

static void mark_dirty(struct stored *f, size_t from, size_t len) {
    size_t last = (from + len + SECTOR - 1) / SECTOR;
    if (last > f->dirty_room) {
        f->dirty = realloc(f->dirty, last * 2);
        assert(f->dirty);
        memset(f->dirty + f->dirty_room, 0, last * 2 - f->dirty_room);
        f->dirty_room = last * 2;
    }
    for (size_t i = from / SECTOR; i < last; i++)
        f->dirty[i] = 1;
}

static void copy_part(struct stored *f, size_t from, size_t len) {
    if (from >= f->now.len)
        return;
    if (from + len > f->now.len)
        len = f->now.len - from;
    if (from + len > f->safe.len)
        resize(&f->safe, from + len);
    memcpy(f->safe.at + from, f->now.at + from, len);
}

static void make_safe(struct stored *f) {
    for (size_t i = 0; i < f->dirty_room; i++) {
        if (f->dirty[i])
            copy_part(f, i * SECTOR, SECTOR);
        f->dirty[i] = 0;
    }
    resize(&f->safe, f->now.len);
    f->is_safe = true;
}

/* What chance keeps of what was not synced. */
static void cut_file(struct stored *f) {
    if (!f->is_safe && draw(2))
        return;
    f->is_safe = true;
    if (f->now.len < f->safe.len && draw(2))
        resize(&f->safe, f->now.len);
    for (size_t i = 0; i < f->dirty_room; i++) {
        if (f->dirty[i] && draw(2))
            copy_part(f, i * SECTOR, draw(4) ? SECTOR : (size_t)draw(SECTOR));
    }
}

static void cut(void) {
    disk.off = true;
    for (size_t i = 0; i < FILES; i++) {
        if (disk.files[i].name[0])
            cut_file(&disk.files[i]);
    }
}

/* ---- the plan -------------------------------------------------------------------- */

/* SQLITE_OK, or what becomes of this change. */
static int change(bool is_sync, int how) {
    if (disk.off)
        return SQLITE_IOERR;
    disk.changes++;
    disk.syncs += is_sync;
    if (disk.only_syncs && !is_sync)
        return SQLITE_OK;
    uint64_t count = disk.only_syncs ? disk.syncs : disk.changes;
    if (disk.fault == DISK_CUT && count == disk.at) {
        cut();
        return SQLITE_IOERR;
    }
    if ((disk.fault == DISK_FAIL_ONCE && count == disk.at) ||
        (disk.fault == DISK_FAIL_FROM_HERE && count >= disk.at))
        return how;
    return SQLITE_OK;
}

/* ---- files ------------------------------------------------------------------------ */

static struct stored *find(const char *name) {
    for (size_t i = 0; i < FILES; i++) {
        if (strcmp(disk.files[i].name, name) == 0)
            return &disk.files[i];
    }
    return NULL;
}

static void forget_regions(struct stored *f) {
    for (size_t i = 0; i < REGIONS; i++) {
        free(f->regions[i]);
        f->regions[i] = NULL;
    }
}

static void erase(struct stored *f) {
    forget_regions(f);
    free(f->now.at);
    free(f->safe.at);
    free(f->dirty);
    memset(f, 0, sizeof *f);
}

static struct stored *file_of(sqlite3_file *base) {
    return ((struct open_file *)base)->file;
}

static int disk_close(sqlite3_file *base) {
    struct open_file *open = (struct open_file *)base;
    if (open->delete_on_close && !disk.off)
        erase(open->file);
    return SQLITE_OK;
}

static int disk_read(sqlite3_file *base, void *to, int amount, sqlite3_int64 offset) {
    const struct stored *f = file_of(base);
    size_t len = (size_t)amount, from = (size_t)offset;
    size_t there = from < f->now.len ? f->now.len - from : 0;
    if (disk.off)
        return SQLITE_IOERR_READ;
    if (there >= len) {
        memcpy(to, f->now.at + from, len);
        return SQLITE_OK;
    }
    if (there)
        memcpy(to, f->now.at + from, there);
    memset((char *)to + there, 0, len - there);
    return SQLITE_IOERR_SHORT_READ;
}

static int disk_write(sqlite3_file *base, const void *data, int amount, sqlite3_int64 offset) {
    struct stored *f = file_of(base);
    size_t len = (size_t)amount, from = (size_t)offset;
    int code = change(false, draw(2) ? SQLITE_IOERR_WRITE : SQLITE_FULL);
    if (code != SQLITE_OK)
        return code;
    size_t grows = from + len > f->now.len ? from + len - f->now.len : 0;
    if (disk.limit && disk_used() + grows > disk.limit)
        return SQLITE_FULL;
    if (grows)
        resize(&f->now, from + len);
    memcpy(f->now.at + from, data, len);
    mark_dirty(f, from, len);
    return SQLITE_OK;
}

static int disk_truncate(sqlite3_file *base, sqlite3_int64 size) {
    if (change(false, SQLITE_IOERR) != SQLITE_OK)
        return SQLITE_IOERR_TRUNCATE;
    resize(&file_of(base)->now, (size_t)size);
    return SQLITE_OK;
}

static int disk_sync(sqlite3_file *base, int flags) {
    struct stored *f = file_of(base);
    if (change(true, SQLITE_IOERR) != SQLITE_OK) {
        if (!disk.off && f->dirty_room)
            memset(f->dirty, 0, f->dirty_room); /* the kernel has given up on them */
        return SQLITE_IOERR_FSYNC;
    }
    make_safe(f);
    return SQLITE_OK;
}

static int disk_size(sqlite3_file *base, sqlite3_int64 *size) {
    *size = (sqlite3_int64)file_of(base)->now.len;
    return SQLITE_OK;
}

static int disk_lock(sqlite3_file *base, int level) {
    return SQLITE_OK;
}

static int disk_check_lock(sqlite3_file *base, int *held) {
    *held = 0;
    return SQLITE_OK;
}

static int disk_control(sqlite3_file *base, int op, void *arg) {
    return SQLITE_NOTFOUND;
}

static int disk_sector(sqlite3_file *base) {
    return SECTOR;
}

static int disk_characteristics(sqlite3_file *base) {
    return 0; /* promises nothing */
}

static int disk_shm_map(sqlite3_file *base, int page, int size, int extend, void volatile **out) {
    struct stored *f = file_of(base);
    *out = NULL;
    if (page >= REGIONS)
        return SQLITE_IOERR_SHMMAP;
    if (!f->regions[page] && extend)
        f->regions[page] = calloc(1, (size_t)size);
    *out = f->regions[page];
    return SQLITE_OK;
}

static int disk_shm_lock(sqlite3_file *base, int offset, int n, int flags) {
    return SQLITE_OK; /* one connection */
}

static void disk_shm_barrier(sqlite3_file *base) {
}

static int disk_shm_unmap(sqlite3_file *base, int remove) {
    forget_regions(file_of(base));
    return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = disk_close,
    .xRead = disk_read,
    .xWrite = disk_write,
    .xTruncate = disk_truncate,
    .xSync = disk_sync,
    .xFileSize = disk_size,
    .xLock = disk_lock,
    .xUnlock = disk_lock,
    .xCheckReservedLock = disk_check_lock,
    .xFileControl = disk_control,
    .xSectorSize = disk_sector,
    .xDeviceCharacteristics = disk_characteristics,
    .xShmMap = disk_shm_map,
    .xShmLock = disk_shm_lock,
    .xShmBarrier = disk_shm_barrier,
    .xShmUnmap = disk_shm_unmap,
};

/* ---- the VFS ------------------------------------------------------------------------ */

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags,
                    int *out_flags) {
    struct open_file *open = (struct open_file *)base;
    base->pMethods = NULL;
    if (disk.off)
        return SQLITE_CANTOPEN;
    struct stored *f = name ? find(name) : NULL;
    if (!f) {
        f = find("");
        assert(f && (!name || strlen(name) < NAME));
        sqlite3_snprintf(NAME, f->name, "%s", name ? name : "temporary");
    }
    open->file = f;
    open->delete_on_close = (flags & SQLITE_OPEN_DELETEONCLOSE) != 0;
    base->pMethods = &methods;
    if (out_flags)
        *out_flags = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync) {
    struct stored *f = find(name);
    if (!f)
        return SQLITE_IOERR_DELETE_NOENT;
    if (change(false, SQLITE_IOERR) != SQLITE_OK)
        return SQLITE_IOERR_DELETE;
    erase(f);
    return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *out) {
    *out = find(name) != NULL;
    return SQLITE_OK;
}

static int vfs_path(sqlite3_vfs *vfs, const char *name, int size, char *out) {
    sqlite3_snprintf(size, out, "%s", name);
    return SQLITE_OK;
}

static int vfs_random(sqlite3_vfs *vfs, int count, char *out) {
    for (int i = 0; i < count; i++)
        out[i] = (char)draw(256);
    return count;
}

static int vfs_sleep(sqlite3_vfs *vfs, int us) {
    return us;
}

static int vfs_time(sqlite3_vfs *vfs, double *days) {
    *days = 2460000.5;
    return SQLITE_OK;
}

static int vfs_error(sqlite3_vfs *vfs, int size, char *out) {
    return 0;
}

static sqlite3_vfs vfs = {
    .iVersion = 1,
    .szOsFile = sizeof(struct open_file),
    .mxPathname = NAME - 1,
    .zName = "disk",
    .xOpen = vfs_open,
    .xDelete = vfs_delete,
    .xAccess = vfs_access,
    .xFullPathname = vfs_path,
    .xRandomness = vfs_random,
    .xSleep = vfs_sleep,
    .xCurrentTime = vfs_time,
    .xGetLastError = vfs_error,
};

/* ---- for tests ------------------------------------------------------------------------ */

void disk_free(void) {
    for (size_t i = 0; i < FILES; i++)
        erase(&disk.files[i]);
}

void disk_reset(uint64_t seed) {
    disk_free();
    memset(&disk, 0, sizeof disk);
    disk.random = seed;
    if (!sqlite3_vfs_find("disk"))
        sqlite3_vfs_register(&vfs, 0);
}

void disk_plan(enum disk_fault fault, uint64_t at, bool only_syncs) {
    disk.fault = fault;
    disk.at = at;
    disk.only_syncs = only_syncs;
    disk.changes = disk.syncs = 0;
}

uint64_t disk_changes(void) {
    return disk.changes;
}

uint64_t disk_syncs(void) {
    return disk.syncs;
}

bool disk_is_off(void) {
    return disk.off;
}

void disk_boot(void) {
    disk.off = false;
    disk.fault = DISK_FINE;
    for (size_t i = 0; i < FILES; i++) {
        struct stored *f = &disk.files[i];
        if (!f->name[0])
            continue;
        if (!f->is_safe) {
            erase(f);
            continue;
        }
        forget_regions(f);
        resize(&f->now, 0);
        resize(&f->now, f->safe.len);
        if (f->safe.len)
            memcpy(f->now.at, f->safe.at, f->safe.len);
        if (f->dirty_room)
            memset(f->dirty, 0, f->dirty_room);
    }
}

void disk_limit(size_t bytes) {
    disk.limit = bytes;
}

size_t disk_used(void) {
    size_t used = 0;
    for (size_t i = 0; i < FILES; i++)
        used += disk.files[i].now.len;
    return used;
}
