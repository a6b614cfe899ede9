/* fallback_static.c - the tier that answers from the configuration: a body that
 * may have holes for values of the request (gateway/template.h), and fields. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/fill.h"
#include "config/json_value.h"
#include "config/template_fill.h"
#include "config/types.h"

enum { BODY_MAX = 1 << 20 };

static void finish_template(struct fill *, const struct node *, struct tier_options *);

/* ---- json, text, body ---------------------------------------------------- */

static bool take_body(struct fill *f, const struct node *n, struct tier_options *t,
                      struct bytes body, const char *content_type) {
    if (t->fixed.body.at) {
        report_error(f->report, n, "one of json, text, body and file", NULL, "%s is a second body",
                     f->path);
        return false;
    }
    if (body.len > BODY_MAX)
        return fill_wrong_but(f, n, "at most 1 MiB", NULL);
    const char *copy = fill_copy(f, body);
    t->fixed.body = f->starved ? BYTES("") : (struct bytes){copy, body.len};
    if (!t->fixed.content_type)
        t->fixed.content_type = content_type;
    return !f->starved;
}

static bool read_body_json(struct fill *f, const struct directive *d, const struct node *n,
                           void *base) {
    struct buf body;
    buf_init(&body, BODY_MAX);
    bool good = json_value_write(f, n, &body);
    good = good &&
           take_body(f, n, base, (struct bytes){buf_cstr(&body), body.len}, "application/json");
    buf_free(&body);
    return good;
}

static bool read_body_text(struct fill *f, const struct directive *d, const struct node *n,
                           void *base) {
    struct bytes text;
    if (!fill_text(f, d, n, &text))
        return false;
    return take_body(f, n, base, text,
                     d->type == &type_body_text ? "text/plain; charset=utf-8"
                                                : "application/octet-stream");
}

static void write_nothing(struct json_out *out, const struct directive *d, const char *key,
                          const void *base) {
}

/* json, text and body print as `body`, which says most exactly what is sent. */
static void write_body(struct json_out *out, const struct directive *d, const char *key,
                       const void *base) {
    const struct tier_options *t = base;
    if (t->fixed.file)
        return;
    json_key(out, key);
    json_bytes(out, t->fixed.body);
}

const struct directive_type type_body_json = {"any value", "any value", read_body_json,
                                              write_nothing};
const struct directive_type type_body_text = {"text", "text", read_body_text, write_nothing};
const struct directive_type type_body_raw = {"text", "text", read_body_text, write_body};

/* ---- file ------------------------------------------------------------------ */

static const char *type_of_file(struct bytes path) {
    static const struct {
        const char *end, *type;
    } types[] = {
        {".html", "text/html; charset=utf-8"},
        {".htm", "text/html; charset=utf-8"},
        {".json", "application/json"},
        {".xml", "application/xml"},
        {".txt", "text/plain; charset=utf-8"},
        {".csv", "text/csv; charset=utf-8"},
        {".svg", "image/svg+xml"},
        {".css", "text/css; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".jpeg", "image/jpeg"},
        {".gif", "image/gif"},
        {".webp", "image/webp"},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct bytes end = bytes_of(types[i].end);
        if (path.len > end.len &&
            bytes_equal_nocase((struct bytes){path.at + path.len - end.len, end.len}, end))
            return types[i].type;
    }
    return "application/octet-stream";
}

/* As the bytes stand. 0, or a negative errno; -EFBIG: more than a body may have.
 * O_NONBLOCK: a FIFO must not hang the check. */
static int read_whole(const char *path, struct buf *to) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    struct stat about;
    int result = fstat(fd, &about) != 0 ? -errno : S_ISREG(about.st_mode) ? 0 : -EINVAL;
    while (!result) {
        char piece[16384];
        ssize_t got = read(fd, piece, sizeof piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            result = -errno;
        if (got <= 0)
            break;
        buf_append(to, piece, (size_t)got);
        if (to->failed)
            result = -EFBIG;
    }
    close(fd);
    return result;
}

static bool read_body_file(struct fill *f, const struct directive *d, const struct node *n,
                           void *base) {
    struct tier_options *t = base;
    struct bytes path;
    struct buf body;
    if (!fill_text(f, d, n, &path))
        return false;
    if (bytes_starts(path, BYTES("file:")))
        path = (struct bytes){path.at + 5, path.len - 5};
    buf_init(&body, BODY_MAX);
    int error = path.len && strlen(path.at) == path.len ? read_whole(path.at, &body) : -EINVAL;
    if (error) {
        char shown[SHOW_SIZE];
        report_error(f->report, n, "a regular file of at most 1 MiB that can be read", NULL,
                     "%s: %s: %s", f->path, report_show(shown, path), strerror(-error));
    } else {
        t->fixed.file = fill_copy(f, path);
    }
    bool good =
        !error && take_body(f, n, t, (struct bytes){buf_cstr(&body), body.len}, type_of_file(path));
    buf_free(&body);
    return good;
}

static void write_body_file(struct json_out *out, const struct directive *d, const char *key,
                            const void *base) {
    const struct tier_options *t = base;
    if (t->fixed.file)
        json_key_string(out, key, t->fixed.file);
}

const struct directive_type type_body_file = {"path of a file", "the path of a file",
                                              read_body_file, write_body_file};

/* ---- headers --------------------------------------------------------------- */

static bool read_static_headers(struct fill *f, const struct directive *d, const struct node *n,
                                void *base) {
    struct tier_options *t = base;
    return fill_headers(f, d, n, false, &t->fixed.headers, &t->fixed.header_count);
}

static void write_static_headers(struct json_out *out, const struct directive *d, const char *key,
                                 const void *base) {
    const struct tier_options *t = base;
    fill_headers_write(out, key, t->fixed.headers, t->fixed.header_count);
}

const struct directive_type type_headers = {"mapping of name to value",
                                            "a mapping of at most 64 header fields",
                                            read_static_headers, write_static_headers};

/* ---- what follows ------------------------------------------------------------ */

static bool has(const char *type, const char *word) {
    return strcasestr(type, word) != NULL;
}

/* How values are kept values in a body of this type; -1: nobody knows. */
static int context_of(const char *type) {
    if (has(type, "json"))
        return TEMPLATE_JSON;
    if (has(type, "html") || has(type, "xml"))
        return TEMPLATE_MARKUP;
    if (has(type, "javascript") || has(type, "css") || strncasecmp(type, "text/", 5) != 0)
        return -1;
    return TEMPLATE_TEXT;
}

static const struct node *body_node(const struct node *n) {
    static const char *const keys[] = {"json", "text", "body", "file"};
    for (int i = 0; i < 4; i++) {
        const struct node *at = node_get(n, keys[i]);
        if (at)
            return at;
    }
    return n;
}

/* A file of another type is sent as it is, braces and all. */
static void finish_template(struct fill *f, const struct node *n, struct tier_options *t) {
    int as = context_of(t->fixed.content_type);
    if (!template_is_needed(t->fixed.body) || (as < 0 && t->fixed.file))
        return;
    if (as < 0) {
        report_error(f->report, body_node(n),
                     "a content_type of JSON, HTML, XML or text; {{{{ for the characters {{", NULL,
                     "%s: how values stand in %s is not known", f->path, t->fixed.content_type);
        return;
    }
    t->fixed.filled =
        fill_template(f, body_node(n), t->fixed.body, (enum template_as)as, t->fixed.file);
    if (!t->fixed.filled)
        return;
    t->fixed.of_caller |= t->fixed.filled->of_caller;
    t->needs_body |= t->fixed.filled->needs_body;
}

void fill_static_finish(struct fill *f, const struct node *n, struct tier_options *t) {
    bool no_body = t->fixed.status == 204 || t->fixed.status == 304;
    if (no_body && t->fixed.body.len)
        report_error(f->report, n, "no body, or another status", NULL,
                     "%s: an answer with status %d has no body", f->path, t->fixed.status);
    if (!t->fixed.body.at)
        t->fixed.body = BYTES("");
    if (!t->fixed.content_type)
        t->fixed.content_type = "text/plain; charset=utf-8";
    finish_template(f, n, t);
    for (uint32_t i = 0; i < t->fixed.header_count; i++) {
        const struct template *value = t->fixed.headers[i].filled;
        t->fixed.of_caller |= value && value->of_caller;
        t->needs_body |= value && value->needs_body;
    }
}
