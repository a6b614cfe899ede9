/* sql_text.c - see sql_text.h.
 *
 * Not a parser of SQL: it only has to know where a piece of text ends in which
 * a colon means nothing. The two dialects differ in that:
 *
 *             '…'  "…"   E'…\'…'   $tag$…$tag$   `…` […]   nested comments
 *   SQLite     x    x                              x
 *   PostgreSQL x    x       x           x                         x
 *
 * standard_conforming_strings is on for our connections, so that a backslash
 * in a plain '…' means nothing in either. */
#include "store/sql_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct scan {
    struct sql_text *out;
    struct arena *arena;
    enum sql_dialect dialect;
    struct bytes in;
    size_t at;
    struct buf to;
    const char *why; /* what is wrong, at `at` */
    bool ended;      /* a ; came */
    bool begun;      /* the first word came */
    bool writable;
};

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_word_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Bytes above 127 are letters to both databases. */
static bool is_word(char c) {
    return is_word_start(c) || is_digit(c) || c == '$' || (unsigned char)c >= 128;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static char peek(const struct scan *s, size_t ahead) {
    return s->at + ahead < s->in.len ? s->in.at[s->at + ahead] : '\0';
}

static bool fail(struct scan *s, const char *why) {
    s->why = why;
    return false;
}

/* Copies up to `end`. */
static bool take(struct scan *s, size_t end) {
    buf_append(&s->to, s->in.at + s->at, end - s->at);
    s->at = end;
    return true;
}

/* ---- what a colon means nothing in --------------------------------------------- */

static bool take_quoted(struct scan *s, char close, bool backslash) {
    for (size_t i = s->at + 1; i < s->in.len; i++) {
        char c = s->in.at[i];
        if (backslash && c == '\\') {
            i++;
        } else if (c == close) {
            if (close == ']' || i + 1 >= s->in.len || s->in.at[i + 1] != close)
                return take(s, i + 1);
            i++; /* doubled: stands for itself */
        }
    }
    return fail(s, "a quote that is not closed");
}

static bool take_line_comment(struct scan *s) {
    const char *end = memchr(s->in.at + s->at, '\n', s->in.len - s->at);
    s->at = end ? (size_t)(end - s->in.at) : s->in.len;
    buf_char(&s->to, ' ');
    return true;
}

static bool take_comment(struct scan *s) {
    unsigned depth = 0;
    for (size_t i = s->at; i + 1 < s->in.len; i++) {
        bool opens = s->in.at[i] == '/' && s->in.at[i + 1] == '*';
        bool closes = s->in.at[i] == '*' && s->in.at[i + 1] == '/';
        if (opens && (depth == 0 || s->dialect == SQL_POSTGRES)) {
            depth++;
            i++;
        } else if (closes) {
            i++;
            if (--depth == 0) {
                s->at = i + 1;
                buf_char(&s->to, ' ');
                return true;
            }
        }
    }
    return fail(s, "a comment that is not closed");
}

/* $$…$$ and $tag$…$tag$ of PostgreSQL. */
static bool take_dollar(struct scan *s) {
    size_t end = s->at + 1;
    while (end < s->in.len && (is_word_start(s->in.at[end]) || is_digit(s->in.at[end]) ||
                               (unsigned char)s->in.at[end] >= 128))
        end++;
    if (is_digit(peek(s, 1)) || end >= s->in.len || s->in.at[end] != '$')
        return fail(s, "a parameter by number; parameters are written :name");
    size_t tag = end + 1 - s->at;
    const char *close = memmem(s->in.at + end + 1, s->in.len - end - 1, s->in.at + s->at, tag);
    if (!close)
        return fail(s, "a quote that is not closed");
    return take(s, (size_t)(close - s->in.at) + tag);
}

/* ---- words and parameters -------------------------------------------------------- */

static bool is_one_of(struct bytes word, const char *const *words) {
    for (; *words; words++) {
        if (bytes_equal_nocase(word, bytes_of(*words)))
            return true;
    }
    return false;
}

/* Whatever else a statement may be (SET, BEGIN, COPY, PRAGMA, ATTACH, …) would
 * change the connection, which is not this query's alone. */
static bool first_word(struct scan *s, struct bytes word) {
    static const char *const reads[] = {"SELECT", "WITH", "VALUES", "TABLE", NULL};
    static const char *const writes[] = {"INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE", NULL};
    s->begun = true;
    if (is_one_of(word, reads) || (s->writable && is_one_of(word, writes)))
        return true;
    return fail(s, s->writable ? "a statement of another kind; expected SELECT, WITH, VALUES, "
                                 "INSERT, UPDATE, DELETE"
                               : "a statement that does not only read; expected SELECT, WITH or "
                                 "VALUES");
}

static bool take_word(struct scan *s) {
    size_t end = s->at;
    while (end < s->in.len && is_word(s->in.at[end]))
        end++;
    struct bytes word = {s->in.at + s->at, end - s->at};
    if (!s->begun && !first_word(s, word))
        return false;
    bool quote = end < s->in.len && s->in.at[end] == '\'';
    bool escapes = s->dialect == SQL_POSTGRES && quote && bytes_equal_nocase(word, BYTES("e"));
    take(s, end);
    return escapes ? take_quoted(s, '\'', true) : true;
}

static int parameter_number(struct scan *s, struct bytes name) {
    struct sql_text *out = s->out;
    for (uint32_t i = 0; i < out->count; i++) {
        if (bytes_equal(bytes_of(out->names[i]), name))
            return (int)i + 1;
    }
    if (out->count == SQL_PARAMETERS_MAX)
        return 0;
    out->names[out->count] = arena_copy(s->arena, name);
    if (!out->names[out->count])
        return 0;
    return (int)++out->count;
}

static bool take_parameter(struct scan *s) {
    size_t end = s->at + 1;
    while (end < s->in.len && (is_word_start(s->in.at[end]) || is_digit(s->in.at[end])))
        end++;
    struct bytes name = {s->in.at + s->at + 1, end - s->at - 1};
    int number = name.len <= SQL_NAME_MAX ? parameter_number(s, name) : 0;
    if (!number)
        return fail(s, "more than 64 parameters, or a name of more than 64 bytes");
    buf_printf(&s->to, "%c%d", s->dialect == SQL_SQLITE ? '?' : '$', number);
    s->at = end;
    return true;
}

/* ---- the whole ------------------------------------------------------------------- */

static bool take_sqlite(struct scan *s, char c) {
    if (c == '`' || c == '[')
        return take_quoted(s, c == '[' ? ']' : c, false);
    if (c == '?' || c == '@' || c == '#' || c == '$')
        return fail(s, "a parameter of another form; parameters are written :name");
    return take(s, s->at + 1);
}

static bool take_next(struct scan *s) {
    char c = s->in.at[s->at];
    if (is_space(c))
        return take(s, s->at + 1);
    if (c == '-' && peek(s, 1) == '-')
        return take_line_comment(s);
    if (c == '/' && peek(s, 1) == '*')
        return take_comment(s);
    if (s->ended)
        return fail(s, c == ';' ? "an empty statement" : "a second statement; expected only one");
    if (c == ';') {
        s->ended = true;
        s->at++;
        return true;
    }
    if (is_word_start(c) || (unsigned char)c >= 128)
        return take_word(s);
    if (!s->begun && c != '(')
        return fail(s, "something else where a statement begins; expected SELECT, WITH or VALUES");
    if (is_digit(c)) {
        size_t end = s->at;
        while (end < s->in.len && is_word(s->in.at[end]) && s->in.at[end] != '$')
            end++;
        return take(s, end);
    }
    if (c == '\'' || c == '"')
        return take_quoted(s, c, false);
    if (c == ':' && peek(s, 1) == ':')
        return take(s, s->at + 2);
    if (c == ':' && is_word_start(peek(s, 1)))
        return take_parameter(s);
    if (s->dialect == SQL_SQLITE)
        return take_sqlite(s, c);
    return c == '$' ? take_dollar(s) : take(s, s->at + 1);
}

static int scan_all(struct scan *s) {
    while (s->at < s->in.len) {
        if (!take_next(s))
            return -EINVAL;
        if (s->to.failed)
            return -ENOMEM;
    }
    if (!s->begun) {
        fail(s, "no statement");
        return -EINVAL;
    }
    const char *text = arena_copy(s->arena, buf_view(&s->to));
    s->out->text = (struct bytes){text, s->to.len};
    return text ? 0 : -ENOMEM;
}

int sql_text_read(struct sql_text *out, struct arena *arena, enum sql_dialect dialect,
                  bool writable, struct bytes text, size_t *at, char *why, size_t why_size) {
    struct scan s = {out, arena, dialect, text, .writable = writable};
    *out = (struct sql_text){0};
    int error = -EINVAL;
    buf_init(&s.to, 2 * SQL_TEXT_MAX);
    if (text.len > SQL_TEXT_MAX)
        s.why = "more than 64 KiB of text";
    else if (text.len && memchr(text.at, '\0', text.len))
        s.why = "a NUL byte";
    else
        error = scan_all(&s);
    *at = s.at;
    snprintf(why, why_size, "%s", error == -ENOMEM ? "out of memory" : s.why ? s.why : "");
    buf_free(&s.to);
    return error;
}
