/* report.c - see report.h. */
#include "config/report.h"

#include <string.h>

#include "base/json_out.h"
#include "config/document.h"

enum { REPORT_MEMORY_MAX = 1 << 20, LINE_MAX_BYTES = 8192, SHOWN_CHARACTERS = 60 };

static void add(struct config_report *, struct config_finding, const char *what, va_list)
    __attribute__((format(printf, 3, 0)));
static bool give_way(struct config_report *, enum config_severity);
static void insert(struct config_report *, struct config_finding);

void config_report_init(struct config_report *r) {
    arena_init(&r->arena, NULL, 0, REPORT_MEMORY_MAX);
    r->file = "";
    r->count = r->error_count = r->warning_count = 0;
}

void config_report_free(struct config_report *r) {
    arena_reset(&r->arena);
    r->file = "";
    r->count = r->error_count = r->warning_count = 0;
}

void config_finding_write(const struct config_finding *f, struct buf *to) {
    buf_string(to, f->file);
    if (f->line)
        buf_printf(to, ":%u:%u", f->line, f->column);
    buf_string(to, f->severity == CONFIG_WARNING ? ": warning: " : ": ");
    buf_string(to, f->what);
    if (f->expected)
        buf_printf(to, "; expected %s", f->expected);
    if (f->suggestion)
        buf_printf(to, "; did you mean \"%s\"?", f->suggestion);
}

void config_report_write(const struct config_report *r, struct buf *to) {
    for (uint32_t i = 0; i < r->count; i++) {
        config_finding_write(&r->findings[i], to);
        buf_char(to, '\n');
    }
    uint32_t more = r->error_count + r->warning_count - r->count;
    if (more)
        buf_printf(to, "%s: and %u more\n", r->file, more);
}

void config_report_print(const struct config_report *r, FILE *out) {
    struct buf text;
    buf_init(&text, (size_t)CONFIG_FINDINGS_MAX * LINE_MAX_BYTES);
    config_report_write(r, &text);
    fwrite(buf_cstr(&text), 1, text.len, out);
    buf_free(&text);
}

void report_error(struct config_report *r, const struct node *at, const char *expected,
                  const char *suggestion, const char *what, ...) {
    va_list args;
    va_start(args, what);
    add(r,
        (struct config_finding){
            .severity = CONFIG_ERROR,
            .line = at ? at->line : 0,
            .column = at ? at->column : 0,
            .expected = expected,
            .suggestion = suggestion,
        },
        what, args);
    va_end(args);
}

void report_warning(struct config_report *r, const struct node *at, const char *expected,
                    const char *what, ...) {
    va_list args;
    va_start(args, what);
    add(r,
        (struct config_finding){
            .severity = CONFIG_WARNING,
            .line = at ? at->line : 0,
            .column = at ? at->column : 0,
            .expected = expected,
        },
        what, args);
    va_end(args);
}

void report_error_at(struct config_report *r, uint32_t line, uint32_t column, const char *expected,
                     const char *what, ...) {
    va_list args;
    va_start(args, what);
    add(r,
        (struct config_finding){
            .severity = CONFIG_ERROR, .line = line, .column = column, .expected = expected},
        what, args);
    va_end(args);
}

const char *report_show(char *out, struct bytes text) {
    struct buf to;
    buf_init_fixed(&to, out, SHOW_SIZE);
    buf_char(&to, '"');
    const char *at = text.at, *end = text.at + text.len;
    for (int shown = 0; at < end; shown++) {
        if (shown == SHOWN_CHARACTERS) {
            buf_literal(&to, "…");
            break;
        }
        unsigned len = utf8_length(at, end);
        if (!len || (unsigned char)*at < 0x20 || *at == 0x7f) {
            buf_printf(&to, "\\x%02x", (unsigned char)*at);
            len = 1;
        } else {
            buf_append(&to, at, len);
        }
        at += len;
    }
    buf_char(&to, '"');
    return out;
}

/* Counts always, so that an error is never lost when it could not be kept. */
static void add(struct config_report *r, struct config_finding f, const char *what, va_list args) {
    if (f.severity == CONFIG_ERROR)
        r->error_count++;
    else
        r->warning_count++;
    char text[1024];
    vsnprintf(text, sizeof text, what, args);
    f.file = r->file;
    f.what = arena_copy(&r->arena, bytes_of(text));
    if (f.expected)
        f.expected = arena_copy(&r->arena, bytes_of(f.expected));
    if (f.suggestion)
        f.suggestion = arena_copy(&r->arena, bytes_of(f.suggestion));
    if (f.what)
        insert(r, f);
}

/* A warning makes room for an error. */
static bool give_way(struct config_report *r, enum config_severity severity) {
    uint32_t at = r->count;
    while (severity == CONFIG_ERROR && at-- > 0) {
        if (r->findings[at].severity == CONFIG_WARNING) {
            r->count--;
            memmove(&r->findings[at], &r->findings[at + 1],
                    (r->count - at) * sizeof r->findings[0]);
            return true;
        }
    }
    return false;
}

/* In the order of the file; what concerns the file as a whole stands last. */
static void insert(struct config_report *r, struct config_finding f) {
    uint32_t at;
    uint64_t place = f.line ? (uint64_t)f.line << 32 | f.column : UINT64_MAX;
    if (r->count == CONFIG_FINDINGS_MAX && !give_way(r, f.severity))
        return;
    at = r->count;
    while (at > 0) {
        const struct config_finding *before = &r->findings[at - 1];
        uint64_t its = before->line ? (uint64_t)before->line << 32 | before->column : UINT64_MAX;
        if (its <= place)
            break;
        r->findings[at] = *before;
        at--;
    }
    r->findings[at] = f;
    r->count++;
}
