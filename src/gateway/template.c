/* template.c - see template.h.
 *
 * Compiling cuts the text into literals and holes. JSON is walked string by
 * string, because a hole that is a whole string takes the quotes with it; a
 * hole outside of strings is a mistake, and would not be JSON for anybody
 * else's eyes either. */
#include "gateway/template.h"

#include <errno.h>

#include "base/json_out.h"

struct compiler {
    struct template *out;
    struct template_piece *pieces; /* of out */
    uint32_t room;
    struct arena *arena;
    struct template_fault *fault;
    struct bytes text;
    const char *run; /* where the next literal begins */
};

static int compile_json(struct compiler *);
static int compile_holes(struct compiler *, const char *from, const char *to, bool string,
                         bool whole);

static const char *find(const char *from, const char *to, const char *two) {
    return from < to ? memmem(from, (size_t)(to - from), two, 2) : NULL;
}

bool template_is_needed(struct bytes text) {
    return find(text.at, text.at + text.len, "{{") != NULL;
}

static void add_literal(struct compiler *c, const char *end) {
    if (end > c->run)
        c->pieces[c->out->count++] =
            (struct template_piece){.text = {c->run, (size_t)(end - c->run)}};
}

static int fail(struct compiler *c, const char *at, size_t len, const char *expected) {
    *c->fault = (struct template_fault){(size_t)(at - c->text.at), {at, len}, expected};
    return -EINVAL;
}

static uint32_t count_holes(struct bytes text) {
    const char *at = text.at, *end = text.at + text.len;
    uint32_t n = 0;
    while (n <= TEMPLATE_HOLES_MAX && (at = find(at, end, "{{")) != NULL) {
        at += 2;
        n++;
    }
    return n;
}

int template_compile(struct template *out, enum template_as as, struct bytes text,
                     struct arena *arena, struct template_fault *fault) {
    uint32_t holes = count_holes(text);
    struct compiler c = {.out = out,
                         .room = 2 * holes + 1,
                         .arena = arena,
                         .fault = fault,
                         .text = text,
                         .run = text.at};
    *out = (struct template){.as = as};
    *fault = (struct template_fault){0};
    if (holes > TEMPLATE_HOLES_MAX)
        return fail(&c, text.at, 0, "at most 500 holes");
    c.pieces = arena_zalloc(arena, c.room * sizeof *c.pieces);
    if (!c.pieces)
        return -ENOMEM;
    out->pieces = c.pieces;
    const char *end = text.at + text.len;
    int error =
        as == TEMPLATE_JSON ? compile_json(&c) : compile_holes(&c, text.at, end, false, false);
    if (!error)
        add_literal(&c, end);
    return error;
}

/* ---- JSON ------------------------------------------------------------------- */

static const char *string_end(const char *at, const char *end) {
    for (; at < end && *at != '"'; at++)
        at += *at == '\\';
    return at < end ? at : NULL;
}

/* A key stays a string, whatever is in it. */
static bool is_key(const char *behind, const char *end) {
    while (behind < end &&
           (*behind == ' ' || *behind == '\t' || *behind == '\r' || *behind == '\n'))
        behind++;
    return behind < end && *behind == ':';
}

static int compile_json(struct compiler *c) {
    const char *at = c->text.at, *end = at + c->text.len;
    while (at < end) {
        if (*at != '"') {
            if (*at == '{' && at + 1 < end && at[1] == '{')
                return fail(c, at, 2, "holes of JSON in quotes, as in \"{{query.limit}}\"");
            at++;
            continue;
        }
        const char *close = string_end(at + 1, end);
        if (!close)
            return fail(c, at, 1, "JSON: a string has no end");
        int error = compile_holes(c, at + 1, close, true, !is_key(close + 1, end));
        if (error)
            return error;
        at = close + 1;
    }
    return 0;
}

/* Undoes what JSON does to the characters that a hole may hold. */
static bool unescape(struct bytes in, char *out, size_t *len) {
    *len = 0;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.at[i];
        if (c == '\\') {
            c = ++i < in.len ? in.at[i] : 'u';
            if (c != '"' && c != '\\' && c != '/')
                return false;
        }
        out[(*len)++] = c;
    }
    return true;
}

/* ---- holes --------------------------------------------------------------------- */

static bool parse_hole(struct compiler *c, struct bytes inside, struct value_source *from) {
    struct bytes name = inside, otherwise = {0};
    const char *bar = inside.len ? memchr(inside.at, '|', inside.len) : NULL;
    if (bar) {
        name.len = (size_t)(bar - inside.at);
        otherwise = (struct bytes){bar + 1, inside.len - name.len - 1};
    }
    name = bytes_trim(name);
    const char *copy = arena_copy(c->arena, name);
    if (!copy || strlen(copy) != name.len || !value_source_parse(from, copy))
        return false;
    from->otherwise = bar ? arena_copy(c->arena, bytes_trim(otherwise)) : NULL;
    return !bar || from->otherwise;
}

static void note(struct template *t, const struct value_source *from) {
    t->of_caller |= value_source_is_callers(from);
    t->needs_body |= from->from == VALUE_FROM_BODY;
}

static int add_hole(struct compiler *c, const char *open, const char *close, bool string,
                    bool whole) {
    static const char expected[] =
        "a value of the request: path.NAME, query.NAME, header.NAME, body.NAME, method, target, "
        "host, service or request_id; {{{{ for the characters {{";
    struct bytes inside = {open + 2, (size_t)(close - open) - 2};
    char plain[TEMPLATE_HOLE_MAX];
    if (inside.len > sizeof plain)
        return fail(c, open, 2, "at most 1024 bytes between {{ and }}");
    struct template_piece hole = {.whole = whole};
    size_t len = inside.len;
    bool good = !string || unescape(inside, plain, &len);
    if (string)
        inside = (struct bytes){plain, len};
    if (!good || !parse_hole(c, inside, &hole.from))
        return fail(c, open, (size_t)(close + 2 - open), expected);
    add_literal(c, whole ? open - 1 : open);
    c->run = close + (whole ? 3 : 2);
    c->pieces[c->out->count++] = hole;
    note(c->out, &hole.from);
    return 0;
}

static int compile_holes(struct compiler *c, const char *from, const char *to, bool string,
                         bool whole) {
    const char *at = from, *open;
    while ((open = find(at, to, "{{")) != NULL) {
        if (find(open + 2, to, "{{") == open + 2) {
            add_literal(c, open + 2);
            at = c->run = open + 4;
            continue;
        }
        const char *close = find(open + 2, to, "}}");
        if (!close)
            return fail(c, open, 2, "}} behind it, or {{{{ for the characters {{");
        int error = add_hole(c, open, close, string, whole && open == from && close + 2 == to);
        if (error)
            return error;
        at = close + 2;
    }
    return 0;
}

/* ---- rendering -------------------------------------------------------------------- */

static void render_json(const struct template_piece *p, const struct value *v, struct buf *to) {
    bool text = v->kind == VALUE_TEXT;
    if (!p->whole) {
        if (v->text.len)
            json_escape(to, v->text);
        return;
    }
    if (v->kind == VALUE_MISSING || v->kind == VALUE_NULL)
        buf_literal(to, "null");
    else if (!text)
        buf_bytes(to, v->text);
    if (!text)
        return;
    buf_char(to, '"');
    json_escape(to, v->text);
    buf_char(to, '"');
}

static void render_markup(struct bytes text, struct buf *to) {
    for (size_t i = 0; i < text.len; i++) {
        switch (text.at[i]) {
        case '&':
            buf_literal(to, "&amp;");
            break;
        case '<':
            buf_literal(to, "&lt;");
            break;
        case '>':
            buf_literal(to, "&gt;");
            break;
        case '"':
            buf_literal(to, "&quot;");
            break;
        case '\'':
            buf_literal(to, "&#39;");
            break;
        default:
            buf_char(to, text.at[i]);
        }
    }
}

static bool render_field(struct bytes text, struct buf *to) {
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.at[i] < ' ' || text.at[i] == 0x7f)
            return false;
    }
    buf_bytes(to, text);
    return true;
}

static bool is_unreserved(char c) {
    return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static bool render_path(struct bytes text, struct buf *to) {
    for (size_t i = 0; i < text.len; i++) {
        if (is_unreserved(text.at[i]))
            buf_char(to, text.at[i]);
        else
            buf_printf(to, "%%%02X", (unsigned)(unsigned char)text.at[i]);
    }
    return text.len > 0;
}

static bool render_hole(const struct template *t, const struct template_piece *p,
                        const struct value *v, struct buf *to) {
    switch (t->as) {
    case TEMPLATE_TEXT:
        buf_bytes(to, v->text);
        return true;
    case TEMPLATE_JSON:
        render_json(p, v, to);
        return true;
    case TEMPLATE_MARKUP:
        render_markup(v->text, to);
        return true;
    case TEMPLATE_FIELD:
        return render_field(v->text, to);
    case TEMPLATE_PATH:
        return render_path(v->text, to);
    }
    return false;
}

/* No way up: a value alone, or with what stands beside it, is no dot segment. */
static bool has_dots(struct bytes path) {
    struct bytes segment;
    const char *mark = path.len ? memchr(path.at, '?', path.len) : NULL;
    if (mark)
        path.len = (size_t)(mark - path.at);
    while (bytes_split(&path, '/', &segment)) {
        if (bytes_equal(segment, BYTES(".")) || bytes_equal(segment, BYTES("..")))
            return true;
    }
    return false;
}

bool template_render(const struct template *t, template_reader *read, void *arg, struct buf *to) {
    size_t before = to->len;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct template_piece *p = &t->pieces[i];
        if (p->text.at) {
            buf_bytes(to, p->text);
            continue;
        }
        struct value v = read(arg, &p->from);
        if (!render_hole(t, p, &v, to))
            return false;
    }
    if (to->failed)
        return false;
    struct bytes all = {to->at + before, to->len - before};
    return t->as != TEMPLATE_PATH || !has_dots(all);
}
