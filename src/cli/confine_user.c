/* confine_user.c - see confine.h: from root to somebody else, with no way back. */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/confine.h"

static int complain(const char *what, const char *name) {
    fprintf(stderr, "switchgear: confine: %s %s\n", what, name);
    return -1;
}

/* The kernel says when there are no more of them. */
static void drop_bounds(void) {
    for (unsigned long capability = 0; capability < 64; capability++) {
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 && errno == EINVAL)
            return;
    }
}

static int drop_capabilities(void) {
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return syscall(SYS_capset, &head, none) < 0 ? -errno : 0;
}

static int become(const struct passwd *user, gid_t gid) {
    if (initgroups(user->pw_name, gid) < 0 || setresgid(gid, gid, gid) < 0)
        return -errno;
    drop_bounds();
    if (setresuid(user->pw_uid, user->pw_uid, user->pw_uid) < 0)
        return -errno;
    int error = drop_capabilities();
    if (error)
        return error;
    return setuid(0) == 0 ? -EPERM : 0; /* it must not work */
}

int confine_user(const struct confine_options *o) {
    errno = 0;
    const struct passwd *user = getpwnam(o->user);
    if (!user)
        return complain("there is no user", o->user);
    struct passwd wanted = *user;
    gid_t gid = wanted.pw_gid;
    if (o->group) {
        const struct group *group = getgrnam(o->group);
        if (!group)
            return complain("there is no group", o->group);
        gid = group->gr_gid;
    }
    if (geteuid() == wanted.pw_uid && getegid() == gid && geteuid() != 0)
        return 0; /* somebody has seen to it */
    if (geteuid() != 0)
        return complain("only root can become", o->user);
    if (wanted.pw_uid == 0)
        return complain("it is root that is to be given up; name somebody else than", o->user);
    int error = become(&wanted, gid);
    return error ? complain(strerror(-error), o->user) : 0;
}
