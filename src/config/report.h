/* report.h - what is wrong with a configuration, all of it at once.
 *
 * Each finding says where, what is wrong, what was expected and, where a
 * likely intention can be guessed, what to write instead. Findings are kept
 * in the order of the file. There is a maximum: a file that is wrong
 * everywhere (another format, binary) ends in "and … more".
 *
 * Memory: the report's own, independent of the file and of the options.
 * Threading: the caller's. */
#ifndef SWG_CONFIG_REPORT_H
#define SWG_CONFIG_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"

enum { CONFIG_FINDINGS_MAX = 200 };

enum config_severity { CONFIG_ERROR, CONFIG_WARNING };

struct config_finding {
    enum config_severity severity;
    const char *file;
    uint32_t line, column;  /* from 1; 0: the file as a whole */
    const char *what;       /* "unknown key \"brekaer\" in services.shop" */
    const char *expected;   /* NULL: nothing more to say */
    const char *suggestion; /* the word or value to write instead; NULL: no idea */
};

struct config_report {
    struct arena arena;
    const char *file;
    uint32_t error_count, warning_count; /* also of those not kept */
    uint32_t count;
    struct config_finding findings[CONFIG_FINDINGS_MAX];
};

void config_report_init(struct config_report *);
void config_report_free(struct config_report *);

/* One line a finding: `file:line:col: what; expected …; did you mean "…"?`;
 * a warning has "warning: " before what. */
void config_report_print(const struct config_report *, FILE *);
/* The same, into a buf; and one finding alone, without a newline. */
void config_report_write(const struct config_report *, struct buf *);
void config_finding_write(const struct config_finding *, struct buf *);

/* ---- for the parts of this room ---------------------------------------- */

struct node;

/* A finding under construction is complete at once: `at` may be NULL (the
 * file as a whole), `expected` and `suggestion` too; all are copied. */
void report_error(struct config_report *, const struct node *at, const char *expected,
                  const char *suggestion, const char *what, ...)
    __attribute__((format(printf, 5, 6)));
void report_warning(struct config_report *, const struct node *at, const char *expected,
                    const char *what, ...) __attribute__((format(printf, 4, 5)));
void report_error_at(struct config_report *, uint32_t line, uint32_t column, const char *expected,
                     const char *what, ...) __attribute__((format(printf, 5, 6)));

/* Text from the file as it may be shown in a message: at most 60 characters,
 * control characters escaped, in quotes. `out` has SHOW_SIZE bytes. */
enum { SHOW_SIZE = 272 };
const char *report_show(char *out, struct bytes);

#endif
