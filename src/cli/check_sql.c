/* check_sql.c - see check_sql.h.
 *
 * Only here and not where the configuration is read: `run` begins also while a
 * file is not there yet, and a reload must not wait for a disk. PostgreSQL is not
 * asked: `check` needs no network. */
#include "cli/check_sql.h"

#include <errno.h>
#include <string.h>

#include "store/sql.h"

static void check_tier(const struct gateway_options *o, const struct service_options *s,
                       uint32_t index, struct config_report *report) {
    const struct tier_options *t = &s->tiers[index];
    const struct database_options *db = &o->databases[t->sql.index];
    struct sql_options options = {.url = db->url, .writable = db->writable};
    enum sql_dialect dialect;
    char why[SQL_WHY_SIZE];
    size_t at;
    if (!sql_dialect_of(db->url, &dialect) || dialect != SQL_SQLITE)
        return;
    int error = sql_check_sqlite(&options, t->sql.text, &at, why, sizeof why);
    if (!error || error == -ENOENT)
        return;
    if (at >= t->sql.text.len)
        report_error_at(report, t->sql.line, t->sql.column, NULL,
                        "services.%s.fallback[%u].sql.query: %s", s->name, index, why);
    else
        report_error_at(report, t->sql.line, t->sql.column, NULL,
                        "services.%s.fallback[%u].sql.query: %s, at \"%.20s\"", s->name, index, why,
                        t->sql.text.at + at);
}

void check_sql(const struct gateway_options *o, struct config_report *report) {
    for (uint32_t i = 0; i < o->service_count; i++) {
        for (uint32_t t = 0; t < o->services[i].tier_count; t++) {
            if (o->services[i].tiers[t].kind == TIER_SQL)
                check_tier(o, &o->services[i], t, report);
        }
    }
}
