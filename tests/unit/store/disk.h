/* disk.h - a disk in memory, for SQLite, whose power can be cut.
 *
 * What is written is in the "page cache" until the file is synced. A cut keeps
 * what was synced, and of the rest whatever chance keeps: each sector that was
 * written since is there, or not, or torn in the middle. After a failed sync
 * what it was to make safe is forgotten by later syncs too, as Linux does.
 *
 * Everything fails from the cut until disk_boot(). One disk at a time; its
 * SQLite VFS is called "disk". One thread. */
#ifndef SWG_TEST_DISK_H
#define SWG_TEST_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum disk_fault { DISK_FINE, DISK_CUT, DISK_FAIL_ONCE, DISK_FAIL_FROM_HERE };

/* An empty disk. */
void disk_reset(uint64_t seed);
/* Something happens at the `at`-th change (write, sync, truncate, delete) from
 * now on, counted from 1; only syncs are counted if so wished. */
void disk_plan(enum disk_fault, uint64_t at, bool only_syncs);
/* Changes, or syncs, since disk_plan(). */
uint64_t disk_changes(void);
uint64_t disk_syncs(void);
bool disk_is_off(void);
/* Power again: what was in the page cache is what the disk has kept. */
void disk_boot(void);
/* No file grows beyond so many bytes on the whole disk; 0: no limit. */
void disk_limit(size_t bytes);
size_t disk_used(void);
void disk_free(void);

#endif
