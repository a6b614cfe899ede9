/* cases_test.c - runs the parser cases in tests/wire/ (all of its .md files).
 *
 * A case is a heading, a block of bytes and a block with the log expected:
 *
 *   ## Title
 *   ```http request        or: http response [METHOD it answers]
 *   GET / HTTP/1.1\r\n     and limits: head=N target=N fields=N trailers=N
 *   ```
 *   ```log
 *   request method=GET …
 *   ```
 *
 * In the bytes line breaks do not count; \r \n \t \0 \\ \xNN are escapes, and
 * \{30*text} is a text thirty times (and may hold another). The log is that of
 * http1_log.h.
 *
 * Each case is replayed whole, cut in two at every offset (at 2000 of them where
 * a case is longer), and byte by byte; the log must be the same each time. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "http1_log.h"

enum { CASES_MAX = 1024, TEXT_MAX = 65536 };

struct text {
    char *at;
    size_t len;
};

struct parser_case {
    char *title, *info;
    struct text bytes, log;
};

static struct parser_case cases[CASES_MAX];
static struct CMUnitTest tests[CASES_MAX];
static size_t case_count;

static void bad_file(const char *where, const char *what) {
    fprintf(stderr, "cases: %s: %s\n", where, what);
    exit(1);
}

/* ---- reading ------------------------------------------------------------ */

static void put(struct text *text, char c) {
    if (text->len == TEXT_MAX)
        bad_file(text->at, "more than TEXT_MAX bytes");
    text->at[text->len++] = c;
}

static const char *unescape(struct text *out, const char *at, const char *end, bool nested,
                            const char *title);

/* "{30*text}": at is past the brace. Returns past the closing one. */
static const char *repeat(struct text *out, const char *at, const char *end, const char *title) {
    char *star;
    unsigned long times = strtoul(at, &star, 10);
    const char *stop = star;
    if (*star != '*' || times > 10000)
        bad_file(title, "bad \\{N*text}");
    while (times--)
        stop = unescape(out, star + 1, end, true, title);
    return stop + 1;
}

/* At "\": writes what it stands for and returns past it. */
static const char *escape(struct text *out, const char *at, const char *end, const char *title) {
    static const char names[] = "rnt0\\", values[] = "\r\n\t\0\\";
    const char *name = strchr(names, at[1]);
    if (at[1] == '{')
        return repeat(out, at + 2, end, title);
    if (at[1] == 'x') {
        char digits[3] = {at[2], at[3], 0};
        put(out, (char)strtoul(digits, NULL, 16));
        return at + 4;
    }
    if (!name || !at[1])
        bad_file(title, "unknown escape");
    put(out, values[name - names]);
    return at + 2;
}

/* Up to end, or nested, to the brace that closes a repetition. */
static const char *unescape(struct text *out, const char *at, const char *end, bool nested,
                            const char *title) {
    while (at < end && !(nested && *at == '}')) {
        if (*at == '\\')
            at = escape(out, at, end, title);
        else if (*at == '\n')
            at++;
        else
            put(out, *at++);
    }
    return at;
}

static char *copy(const char *at, size_t len) {
    char *string = strndup(at, len);
    if (!string)
        abort();
    return string;
}

/* The block after *at that opens with "```kind"; moves *at past it. */
static struct text take_block(char **at, const char *kind, char **info, const char *title) {
    char open[16];
    snprintf(open, sizeof open, "\n```%s", kind);
    char *start = strstr(*at, open);
    char *line = start ? strchr(start + 1, '\n') : NULL;
    char *end = line ? strstr(line, "\n```") : NULL;
    if (!end)
        bad_file(title, "a block is missing");
    char *words = start + strlen(open);
    *info = copy(words, (size_t)(line - words));
    *at = end + 4;
    size_t len = (size_t)(end - line);
    return (struct text){copy(line + 1, len ? len - 1 : 0), len ? len - 1 : 0};
}

static void add_case(const char *file, char *text) {
    if (case_count == CASES_MAX)
        bad_file(file, "more than CASES_MAX cases");
    struct parser_case *c = &cases[case_count++];
    char *name_end = strchr(text, '\n'), *ignored;
    if (!name_end || asprintf(&c->title, "%s: %.*s", file, (int)(name_end - text), text) < 0)
        bad_file(file, "a heading without a case");
    struct text escaped = take_block(&text, "http", &c->info, c->title);
    c->log = take_block(&text, "log", &ignored, c->title);
    free(ignored);
    c->bytes.at = malloc(TEXT_MAX);
    if (!c->bytes.at)
        abort();
    unescape(&c->bytes, escaped.at, escaped.at + escaped.len, false, c->title);
    free(escaped.at);
}

/* Every "## " heading starts a case that goes to the next one. */
static void read_cases(const char *file, char *text) {
    char *at = strstr(text, "\n## ");
    while (at) {
        char *next = strstr(at + 1, "\n## ");
        if (next)
            *next = '\0';
        add_case(file, at + 4);
        if (next)
            *next = '\n';
        at = next;
    }
}

static void read_file(const char *directory, const char *name) {
    static char text[1 << 20];
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "r");
    if (!file)
        bad_file(path, "cannot be opened");
    size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = '\0';
    read_cases(name, text);
}

static int is_markdown(const struct dirent *entry) {
    size_t len = strlen(entry->d_name);
    return len > 3 && strcmp(entry->d_name + len - 3, ".md") == 0;
}

/* ---- running ------------------------------------------------------------ */

static struct http1_log_options options_of(const struct parser_case *c) {
    struct http1_log_options options;
    http1_log_defaults(&options);
    struct bytes rest = bytes_trim(bytes_of(c->info)), word;
    while (bytes_split(&rest, ' ', &word)) {
        const char *equals = memchr(word.at, '=', word.len);
        unsigned number = equals ? (unsigned)strtoul(equals + 1, NULL, 10) : 0;
        if (bytes_starts(word, BYTES("head=")))
            options.limits.head_bytes = number;
        else if (bytes_starts(word, BYTES("target=")))
            options.limits.target = number;
        else if (bytes_starts(word, BYTES("fields=")))
            options.limits.fields = (uint16_t)number;
        else if (bytes_starts(word, BYTES("trailers=")))
            options.limits.trailer_bytes = number;
        else if (bytes_equal(word, BYTES("response")))
            options.response = true;
        else if (!bytes_equal(word, BYTES("request")))
            options.request = http_method_of(word);
    }
    return options;
}

static void replay(const struct parser_case *c, const struct http1_log_options *options,
                   size_t first, size_t piece) {
    char *log = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&log, &len);
    assert_non_null(out);
    http1_log_replay(out, options, c->bytes.at, c->bytes.len, first, piece);
    fclose(out);
    if (len && log[len - 1] == '\n')
        log[--len] = '\0';
    if (len != c->log.len || memcmp(log, c->log.at, len) != 0) {
        fprintf(stderr, "--- %s, first %zu bytes, then pieces of %zu: expected\n%.*s\n", c->title,
                first, piece, (int)c->log.len, c->log.at);
        fprintf(stderr, "--- got\n%s\n", log);
        free(log);
        fail();
    }
    free(log);
}

/* Drops no trailer, and keeps none: only what it says of the rest must agree. */
static void replay_without_buffer(const struct parser_case *c,
                                  const struct http1_log_options *options) {
    struct http1_log_options dropping = *options;
    dropping.drop_trailers = true;
    char *log = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&log, &len);
    assert_non_null(out);
    http1_log_replay(out, &dropping, c->bytes.at, c->bytes.len, c->bytes.len, 1);
    fclose(out);
    assert_null(strstr(log, "trailer "));
    assert_int_equal(strstr(log, "error ") != NULL, strstr(c->log.at, "error ") != NULL);
    free(log);
}

static void run_case(void **state) {
    const struct parser_case *c = *state;
    struct http1_log_options options = options_of(c);
    size_t len = c->bytes.len;
    replay(c, &options, len, 1);
    replay(c, &options, 1, 1);
    replay(c, &options, 3, 7);
    for (size_t cut = 0; cut < len; cut += 1 + len / 2000)
        replay(c, &options, cut, len);
    replay_without_buffer(c, &options);
}

static void free_cases(void) {
    for (size_t i = 0; i < case_count; i++) {
        free(cases[i].title);
        free(cases[i].info);
        free(cases[i].bytes.at);
        free(cases[i].log.at);
    }
}

int main(int argc, char **argv) {
    const char *directory = argc > 1 ? argv[1] : "tests/wire";
    struct dirent **names;
    int count = scandir(directory, &names, is_markdown, alphasort);
    for (int i = 0; i < count; i++) {
        read_file(directory, names[i]->d_name);
        free(names[i]);
    }
    if (count <= 0 || case_count < 120)
        bad_file(directory, "fewer cases than there should be");
    free(names);
    for (size_t i = 0; i < case_count; i++)
        tests[i] = (struct CMUnitTest){
            .name = cases[i].title, .test_func = run_case, .initial_state = &cases[i]};
    int failed = _cmocka_run_group_tests("wire cases", tests, case_count, NULL, NULL);
    free_cases();
    return failed;
}
