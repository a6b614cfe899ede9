/* pid_file.c - see pid_file.h. */
#include "cli/pid_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* By another name first, so that nobody reads half of it. */
int pid_file_write(const char *path) {
    char *beside, text[16];
    if (!path)
        return 0;
    if (asprintf(&beside, "%s.%d", path, (int)getpid()) < 0)
        return -ENOMEM;
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    int error = fd < 0 ? -errno : 0;
    int len = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (!error && write(fd, text, (size_t)len) != len)
        error = -EIO;
    if (fd >= 0)
        close(fd);
    if (!error && rename(beside, path) < 0)
        error = -errno;
    if (error && fd >= 0)
        unlink(beside);
    free(beside);
    return error;
}

void pid_file_remove(const char *path) {
    char text[16] = "";
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (fd < 0)
        return;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    if (atoi(text) == getpid())
        unlink(path);
}
