/* sql_verb.c - see sql_verb.h.
 *
 * A lexer that knows what is no word: blanks, comments, strings, quoted names,
 * $tag$ quotes. Databases differ in what they make of the same text (nested
 * comments, comments that are carried out); where they do, it is a write. */
#include "gateway/sql_verb.h"

struct lexer {
    const char *at, *end;
    bool doubtful; /* databases would not agree */
    bool after_dot;
};

enum token { TOKEN_END, TOKEN_WORD, TOKEN_SEMICOLON, TOKEN_OPEN, TOKEN_OTHER };

static bool is_letter(char c) {
    return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_word(char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '$';
}

static bool starts(const struct lexer *l, const char *two) {
    return l->end - l->at >= 2 && l->at[0] == two[0] && l->at[1] == two[1];
}

/* "#" and "--x" are operators to some: what they hide must not be a statement. */
static void skip_line(struct lexer *l) {
    const char *end = memchr(l->at, '\n', (size_t)(l->end - l->at));
    size_t len = (size_t)((end ? end : l->end) - l->at);
    bool comment = *l->at == '-' && (len == 2 || l->at[2] == ' ' || l->at[2] == '\t');
    l->doubtful |= !comment && memchr(l->at, ';', len);
    l->at = end ? end + 1 : l->end;
}

static void skip_comment(struct lexer *l) {
    l->at += 2;
    l->doubtful |= l->at < l->end && (*l->at == '!' || *l->at == '+' || *l->at == 'M');
    for (; l->end - l->at >= 2 && !starts(l, "*/"); l->at++)
        l->doubtful |= starts(l, "/*");
    if (l->end - l->at < 2) { /* no end */
        l->doubtful = true;
        l->at = l->end;
        return;
    }
    l->at += 2;
}

static void skip_blank(struct lexer *l) {
    while (l->at < l->end) {
        if (*l->at == ' ' || (*l->at >= '\t' && *l->at <= '\r'))
            l->at++;
        else if (starts(l, "--") || *l->at == '#')
            skip_line(l);
        else if (starts(l, "/*"))
            skip_comment(l);
        else
            return;
    }
}

/* A quote is doubled, or escaped by a backslash, to stand for itself. */
static void skip_quoted(struct lexer *l) {
    char quote = *l->at++;
    while (l->at < l->end) {
        if (*l->at == '\\') {
            l->at += l->end - l->at > 1 ? 2 : 1;
        } else if (*l->at == quote) {
            l->at++;
            if (l->at == l->end || *l->at != quote)
                return;
            l->at++;
        } else {
            l->at++;
        }
    }
    l->doubtful = true;
}

/* $tag$ … $tag$; anything else that begins with a dollar is one character. */
static void skip_dollars(struct lexer *l) {
    const char *end = l->at + 1;
    while (end < l->end && is_word(*end) && *end != '$')
        end++;
    if (end == l->end || *end != '$') {
        l->at++;
        return;
    }
    size_t len = (size_t)(end + 1 - l->at);
    const char *close = memmem(end + 1, (size_t)(l->end - end - 1), l->at, len);
    l->doubtful |= !close;
    l->at = close ? close + len : l->end;
}

static enum token next(struct lexer *l, struct bytes *word) {
    skip_blank(l);
    bool after_dot = l->after_dot;
    l->after_dot = false;
    if (l->at == l->end)
        return TOKEN_END;
    char c = *l->at;
    if (is_word(c) && c != '$') {
        const char *from = l->at;
        while (l->at < l->end && is_word(*l->at))
            l->at++;
        *word = (struct bytes){from, (size_t)(l->at - from)};
        return is_letter(c) && !after_dot ? TOKEN_WORD : TOKEN_OTHER;
    }
    if (c == '\'' || c == '"' || c == '`') {
        skip_quoted(l);
        return TOKEN_OTHER;
    }
    if (c == '$') {
        skip_dollars(l);
        return TOKEN_OTHER;
    }
    l->after_dot = c == '.';
    l->at++;
    return c == ';' ? TOKEN_SEMICOLON : c == '(' ? TOKEN_OPEN : TOKEN_OTHER;
}

static bool is_among(struct bytes word, const char *const *words) {
    for (; *words; words++) {
        if (bytes_equal_nocase(word, bytes_of(*words)))
            return true;
    }
    return false;
}

/* One statement, its semicolon included. *none: there was nothing. */
static bool statement_reads(struct lexer *l, bool *none, bool *last) {
    static const char *const verbs[] = {"select",  "show",   "describe", "desc",
                                        "explain", "exists", "with",     NULL};
    static const char *const writes[] = {"insert",   "update", "delete", "merge",  "into", "upsert",
                                         "truncate", "drop",   "alter",  "create", NULL};
    struct bytes word = {0}, verb = {0};
    bool reads = true, selects = false;
    enum token t = next(l, &word);
    while (t == TOKEN_OPEN) /* (SELECT …) UNION … */
        t = next(l, &word);
    *none = t == TOKEN_END || t == TOKEN_SEMICOLON;
    verb = word;
    bool good = t == TOKEN_WORD && is_among(verb, verbs);
    bool looks = !bytes_equal_nocase(verb, BYTES("show")); /* SHOW CREATE TABLE reads */
    for (; t != TOKEN_END && t != TOKEN_SEMICOLON; t = next(l, &word)) {
        if (t != TOKEN_WORD)
            continue;
        selects |= bytes_equal_nocase(word, BYTES("select"));
        reads = reads && !(looks && is_among(word, writes));
    }
    *last = t == TOKEN_END;
    return good && reads && (selects || !bytes_equal_nocase(verb, BYTES("with")));
}

bool sql_only_reads(struct bytes text) {
    struct lexer l = {.at = text.at, .end = text.at + text.len};
    bool any = false, last = text.len == 0;
    while (!last) {
        bool none;
        bool reads = statement_reads(&l, &none, &last);
        if (!none && !reads)
            return false;
        any |= !none;
    }
    return any && !l.doubtful;
}
