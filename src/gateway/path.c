/* path.c - see path.h. */
#include "gateway/path.h"

static bool is_unreserved(unsigned c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes what needs no encoding; false on a broken escape or an encoded NUL. */
static bool decode(struct bytes in, char *out, size_t *len) {
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        if (in.at[i] != '%') {
            out[n++] = in.at[i];
            continue;
        }
        int high = i + 2 < in.len ? hex_value(in.at[i + 1]) : -1;
        int low = i + 2 < in.len ? hex_value(in.at[i + 2]) : -1;
        if (high < 0 || low < 0 || (high == 0 && low == 0))
            return false;
        unsigned c = (unsigned)(high * 16 + low);
        if (is_unreserved(c)) {
            out[n++] = (char)c;
        } else {
            out[n++] = '%';
            out[n++] = digits[high];
            out[n++] = digits[low];
        }
        i += 2;
    }
    *len = n;
    return true;
}

/* RFC 3986 section 5.2.4, in place; path begins with '/'. */
static size_t remove_dots(char *path, size_t len) {
    size_t out = 0;
    for (size_t i = 0; i < len;) {
        size_t end = i + 1; /* path[i] is the slash of this segment */
        while (end < len && path[end] != '/')
            end++;
        size_t size = end - i - 1;
        bool last = end == len;
        if (size == 1 && path[i + 1] == '.') {
            if (last)
                path[out++] = '/';
        } else if (size == 2 && path[i + 1] == '.' && path[i + 2] == '.') {
            while (out && path[--out] != '/')
                ;
            if (last)
                path[out++] = '/';
        } else {
            memmove(path + out, path + i, end - i);
            out += end - i;
        }
        i = end;
    }
    if (!out)
        path[out++] = '/';
    return out;
}

static bool needs_work(struct bytes path) {
    if (memchr(path.at, '%', path.len))
        return true;
    for (const char *p = path.at; (p = memchr(p, '.', (size_t)(path.at + path.len - p))); p++) {
        if (p > path.at && p[-1] == '/')
            return true;
    }
    return false;
}

static bool canonical(struct bytes *path, struct arena *arena) {
    if (!needs_work(*path))
        return true;
    char *out = arena_alloc(arena, path->len + 1);
    size_t len;
    if (!out || !decode(*path, out, &len))
        return false;
    *path = (struct bytes){out, remove_dots(out, len)};
    return true;
}

bool path_split(struct bytes target, struct arena *arena, struct target_parts *parts) {
    *parts = (struct target_parts){0};
    if (target.len == 1 && target.at[0] == '*') {
        parts->path = target;
        return true;
    }
    if (!target.len)
        return false;
    if (target.at[0] != '/') { /* absolute-form: only http:// and https:// */
        size_t scheme = target.len >= 7 && !strncasecmp(target.at, "http://", 7)    ? 7
                        : target.len >= 8 && !strncasecmp(target.at, "https://", 8) ? 8
                                                                                    : 0;
        if (!scheme)
            return false;
        struct bytes rest = {target.at + scheme, target.len - scheme};
        size_t n = 0;
        while (n < rest.len && rest.at[n] != '/' && rest.at[n] != '?')
            n++;
        parts->authority = (struct bytes){rest.at, n};
        if (!n || memchr(rest.at, '@', n))
            return false;
        target = (struct bytes){rest.at + n, rest.len - n};
    }
    const char *mark = target.len ? memchr(target.at, '?', target.len) : NULL;
    if (mark) {
        parts->query = (struct bytes){mark + 1, (size_t)(target.at + target.len - mark - 1)};
        target.len = (size_t)(mark - target.at);
    }
    parts->path = target.len ? target : BYTES("/");
    return canonical(&parts->path, arena);
}
