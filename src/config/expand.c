/* expand.c - see expand.h. */
#include "config/expand.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_MAX_LEN = 128 };

static enum expand_problem replace(struct bytes inside, struct buf *to, struct bytes *name);
static size_t name_length(struct bytes);

enum expand_problem expand_variables(struct bytes text, struct buf *to, struct bytes *name) {
    *name = BYTES("");
    while (text.len) {
        const char *mark = memmem(text.at, text.len, "${", 2);
        size_t before = mark ? (size_t)(mark - text.at) : text.len;
        bool escaped = mark && before && mark[-1] == '$';
        buf_append(to, text.at, before - escaped);
        if (!mark)
            break;
        text = (struct bytes){mark + 2, text.len - before - 2};
        if (escaped) {
            buf_literal(to, "${");
            continue;
        }
        const char *close = text.len ? memchr(text.at, '}', text.len) : NULL;
        if (!close)
            return EXPAND_MALFORMED;
        struct bytes inside = {text.at, (size_t)(close - text.at)};
        enum expand_problem problem = replace(inside, to, name);
        if (problem)
            return problem;
        text = (struct bytes){close + 1, text.len - inside.len - 1};
    }
    return to->failed ? EXPAND_TOO_LARGE : EXPAND_GOOD;
}

/* "NAME" or "NAME:-default"; as in a shell, ":-" stands in for an empty
 * variable too. */
static enum expand_problem replace(struct bytes inside, struct buf *to, struct bytes *name) {
    size_t len = name_length(inside);
    *name = inside;
    if (!len || len > NAME_MAX_LEN)
        return EXPAND_MALFORMED;
    struct bytes rest = {inside.at + len, inside.len - len};
    bool has_default = bytes_starts(rest, BYTES(":-"));
    if (rest.len && !has_default)
        return EXPAND_MALFORMED;
    char variable[NAME_MAX_LEN + 1];
    memcpy(variable, inside.at, len);
    variable[len] = '\0';
    *name = (struct bytes){inside.at, len};
    const char *value = getenv(variable);
    if (value && (*value || !has_default))
        buf_string(to, value);
    else if (has_default)
        buf_append(to, rest.at + 2, rest.len - 2);
    else
        return EXPAND_UNSET;
    return EXPAND_GOOD;
}

static size_t name_length(struct bytes text) {
    size_t i = 0;
    for (; i < text.len; i++) {
        char c = text.at[i];
        bool letter = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';
        if (!letter && !(i && c >= '0' && c <= '9'))
            break;
    }
    return i;
}

/* O_NONBLOCK: a FIFO must not hang the check; it is refused as not regular. */
int expand_file(const char *path, struct buf *to) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    struct stat about;
    int result = fstat(fd, &about) != 0 ? -errno : S_ISREG(about.st_mode) ? 0 : -EINVAL;
    size_t begin = to->len;
    while (result == 0) {
        char piece[4096];
        ssize_t got = read(fd, piece, sizeof piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            result = -errno;
        if (got <= 0)
            break;
        buf_append(to, piece, (size_t)got);
        if (to->failed || to->len - begin > SECRET_MAX)
            result = -EFBIG;
    }
    close(fd);
    while (to->len > begin && (to->at[to->len - 1] == '\n' || to->at[to->len - 1] == '\r'))
        buf_truncate(to, to->len - 1);
    return result;
}
