/* confine.c - see confine.h: what is allowed, and when. */
#include "cli/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "observe/log.h"

/* `auto` leaves a program alone that carries a sanitizer, which has needs of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

static bool is_on(int choice) {
    return choice == CONFINE_ON || (choice == CONFINE_AUTO && !SANITIZED);
}

bool confine_is_wanted(const struct gateway_options *o) {
    return o->confine.user || is_on(o->confine.seccomp) || is_on(o->confine.landlock);
}

bool confine_changes_user(const struct gateway_options *o) {
    return o->confine.user && geteuid() == 0;
}

static int complain(const char *what, int error) {
    fprintf(stderr, "switchgear: cannot confine itself: %s: %s\n", what, strerror(-error));
    return -1;
}

/* ---- files -------------------------------------------------------------------------- */

/* Directories, not files: what is replaced by renaming is another file, which a rule for
 * the file that was there would not know. The C library reads many of these late: name
 * servers, hosts, users, time zones, converters, certificates. */
static const char *const readable[] = {"/etc",
                                       "/usr",
                                       "/lib",
                                       "/lib64",
                                       "/proc",
                                       "/sys/fs/cgroup",
                                       "/sys/devices/system",
                                       "/run/systemd/resolve",
                                       "/run/resolvconf",
                                       "/run/secrets",
                                       "/var/run/secrets",
                                       "/run/credentials",
                                       "/dev/random",
                                       "/dev/urandom"};
static const char *const writable[] = {"/dev/null"};

/* For reading, by its name and by where links lead. What lies in the root directory is
 * allowed alone, else everything would be. */
static void allow_file(struct confine_files *files, const char *path) {
    char whole[PATH_MAX];
    const char *const names[] = {path, realpath(path, whole)};
    for (size_t i = 0; i < sizeof names / sizeof *names && names[i]; i++) {
        if (names[i][0] == '/' && strrchr(names[i], '/') == names[i])
            confine_files_allow(files, names[i], false);
        else
            confine_files_allow_beside(files, names[i], false);
    }
}

static void allow_database(struct confine_files *files, const struct database_options *d) {
    if (!strncmp(d->url, "sqlite:", 7)) /* a reader, too, writes beside it: its share of the WAL */
        confine_files_allow_beside(files, d->url + 7, true);
}

static void allow_service(struct confine_files *files, const struct service_options *s) {
    for (uint32_t i = 0; i < s->tier_count; i++) {
        if (s->tiers[i].kind == TIER_STATIC && s->tiers[i].fixed.file)
            allow_file(files, s->tiers[i].fixed.file);
    }
}

static bool has_postgres(const struct gateway_options *o) {
    bool has = o->store_url != NULL;
    for (uint32_t i = 0; i < o->database_count; i++)
        has |= !strncmp(o->databases[i].url, "postgres", 8);
    return has;
}

/* What libpq looks into by itself. Not the whole home: it holds other secrets. */
static void allow_postgres(struct confine_files *files) {
    static const char *const variables[] = {"PGPASSFILE", "PGSERVICEFILE", "PGSSLROOTCERT",
                                            "PGSSLCERT",  "PGSSLKEY",      "PGSSLCRL"};
    static const char *const names[] = {".pgpass", ".pg_service.conf", ".postgresql"};
    const struct passwd *user = getpwuid(geteuid());
    const char *home = getenv("HOME");
    char path[PATH_MAX];
    if ((!home || !*home) && user)
        home = user->pw_dir;
    for (size_t i = 0; home && i < sizeof names / sizeof *names; i++) {
        int len = snprintf(path, sizeof path, "%s/%s", home, names[i]);
        if (len > 0 && (size_t)len < sizeof path)
            confine_files_allow(files, path, false);
    }
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *file = getenv(variables[i]);
        if (file && *file)
            allow_file(files, file);
    }
}

static void allow_all(struct confine_files *files, const struct gateway_options *o,
                      const char *pid_file) {
    for (size_t i = 0; i < sizeof readable / sizeof *readable; i++)
        confine_files_allow(files, readable[i], false);
    for (size_t i = 0; i < sizeof writable / sizeof *writable; i++)
        confine_files_allow(files, writable[i], true);
    allow_file(files, o->file);
    allow_file(files, "/etc/resolv.conf"); /* links, where a program writes them elsewhere */
    allow_file(files, "/etc/hosts");
    for (const struct secret_file *s = o->secret_files; s; s = s->next)
        allow_file(files, s->path);
    if (has_postgres(o))
        allow_postgres(files);
    if (!o->store_url)
        confine_files_allow_beside(files, o->store_file, true);
    if (o->cache_disk.path) {
        mkdir(o->cache_disk.path, 0700);
        confine_files_allow(files, o->cache_disk.path, true);
    }
    for (uint32_t i = 0; i < o->database_count; i++)
        allow_database(files, &o->databases[i]);
    for (uint32_t i = 0; i < o->service_count; i++)
        allow_service(files, &o->services[i]);
    for (uint32_t i = 0; i < o->listen_count; i++) {
        if (o->listens[i].unix_path)
            confine_files_allow_beside(files, o->listens[i].unix_path, true);
    }
    if (pid_file)
        confine_files_allow_beside(files, pid_file, true);
}

/* The version in force; afterwards the kernel cannot be asked any more. Main thread. */
static int landlock_version;

static int confine_files(const struct gateway_options *o, const char *pid_file) {
    struct confine_files files;
    landlock_version = confine_landlock_version();
    if (landlock_version <= 0) {
        if (o->confine.landlock == CONFINE_ON)
            return complain("landlock", -ENOSYS);
        log_message(LOG_WARN, "confine: this kernel has no Landlock; files are not confined");
        return 0;
    }
    int error = confine_files_begin(&files);
    if (!error) {
        allow_all(&files, o, pid_file);
        error = confine_files_end(&files);
    }
    return error ? complain("landlock", error) : 0;
}

/* ---- the order ------------------------------------------------------------------------ */

/* A core would have requests and keys of clients in it. It stays possible for its own
 * user to look at the process: /proc/self/fd, which the figures come from, hangs on it. */
static void keep_from_disk(void) {
    const struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 1);
}

/* Who is not root any more could neither write the file nor take it away. */
static int check_pid_file(const struct gateway_options *o, const char *pid_file) {
    const char *slash = pid_file ? strrchr(pid_file, '/') : NULL;
    char directory[PATH_MAX];
    if (!pid_file)
        return 0;
    snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - pid_file) + 1 : 1,
             slash ? pid_file : ".");
    if (faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) == 0)
        return 0;
    fprintf(stderr,
            "switchgear: the pid file %s: %s\n"
            "  it is written by %s, confine.user: in a directory of that user it can be\n",
            pid_file, strerror(errno), o->confine.user);
    return -1;
}

int confine_begin(const struct gateway_options *o, const char *pid_file) {
    if (!confine_is_wanted(o))
        return 0;
    bool changes = confine_changes_user(o);
    if (o->confine.user && confine_user(&o->confine) < 0)
        return -1;
    if (changes && check_pid_file(o, pid_file) < 0)
        return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return complain("no_new_privs", -errno);
    keep_from_disk();
    if (access(o->file, R_OK) < 0)
        log_message(LOG_WARN, "confine: %s cannot be read from now on: a reload will fail",
                    o->file);
    return is_on(o->confine.landlock) ? confine_files(o, pid_file) : 0;
}

int confine_end(const struct gateway_options *o) {
    if (!confine_is_wanted(o))
        return 0;
    int error = is_on(o->confine.seccomp) ? confine_calls() : 0;
    if (error && o->confine.seccomp == CONFINE_ON)
        return complain("seccomp", error);
    struct log_line line;
    if (log_begin(&line, LOG_INFO, "confined")) {
        log_uint(&line, "uid", geteuid());
        log_uint(&line, "gid", getegid());
        log_bool(&line, "seccomp", is_on(o->confine.seccomp) && !error);
        log_int(&line, "landlock", landlock_version);
        log_end(&line);
    }
    return 0;
}
