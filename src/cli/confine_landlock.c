/* confine_landlock.c - see confine.h: which files can be opened (landlock(7)). The
 * constants are the kernel's, by number: older headers do not have all of them. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/confine.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

enum {
    VERSION_FLAG = 1,
    RULE_PATH_BENEATH = 1,
    EXECUTE = 1 << 0,
    WRITE_FILE = 1 << 1,
    READ_FILE = 1 << 2,
    READ_DIR = 1 << 3,
    MAKE_CHAR = 1 << 6,
    MAKE_BLOCK = 1 << 11,
    FIRST = (1 << 13) - 1, /* all of version 1 */
    REFER = 1 << 13,       /* 2 */
    TRUNCATE = 1 << 14,    /* 3 */
    OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE,
};

struct path_rule {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));

int confine_landlock_version(void) {
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION_FLAG);
    return version > 0 ? (int)version : 0;
}

static uint64_t handled(void) {
    int version = confine_landlock_version();
    return (uint64_t)FIRST | (version >= 2 ? REFER : 0) | (version >= 3 ? TRUNCATE : 0);
}

int confine_files_begin(struct confine_files *files) {
    const uint64_t attributes = handled();
    *files = (struct confine_files){0};
    long fd = syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
    files->ruleset = (int)fd;
    return fd < 0 ? -errno : 0;
}

void confine_files_allow(struct confine_files *files, const char *path, bool write) {
    struct path_rule rule = {.allowed = READ_FILE | READ_DIR};
    struct stat file;
    if (write) /* programs are not written, and devices not made */
        rule.allowed = handled() & ~(uint64_t)(EXECUTE | MAKE_CHAR | MAKE_BLOCK);
    rule.parent = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent < 0)
        return;
    if (fstat(rule.parent, &file) == 0 && !S_ISDIR(file.st_mode))
        rule.allowed &= OF_FILES;
    if (syscall(SYS_landlock_add_rule, files->ruleset, RULE_PATH_BENEATH, &rule, 0) < 0 &&
        !files->error)
        files->error = -errno;
    close(rule.parent);
}

void confine_files_allow_beside(struct confine_files *files, const char *file, bool write) {
    const char *slash = strrchr(file, '/');
    char directory[4096];
    snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - file) : 1,
             slash ? file : ".");
    confine_files_allow(files, *directory ? directory : "/", write);
}

int confine_files_end(struct confine_files *files) {
    int error = files->error;
    if (!error && syscall(SYS_landlock_restrict_self, files->ruleset, 0) < 0)
        error = -errno;
    close(files->ruleset);
    return error;
}
