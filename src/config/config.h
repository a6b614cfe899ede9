/* config.h - from a YAML file to the options of the gateway.
 *
 *     struct config_report report;
 *     struct gateway_options *options;
 *     config_report_init(&report);
 *     int result = config_load("switchgear.yaml", &options, &report);
 *     config_report_print(&report, stderr);      // errors, or only warnings
 *
 * All errors are found in one run. Loading has no effect but on its results:
 * `check`, a start and a reload all do the same.
 *
 * Threading: any thread; reads the environment (getenv), so nothing may write
 * it meanwhile. Memory: the options are one counted object, see
 * gateway_options_release(). */
#ifndef SWG_CONFIG_CONFIG_H
#define SWG_CONFIG_CONFIG_H

#include <stdio.h>

#include "base/json_out.h"
#include "config/report.h"
#include "gateway/options.h"

/* 0, with perhaps warnings in the report; or -1, with at least one error in
 * it and *out NULL. The report is the caller's, initialized; findings are
 * added, and keep a copy of `path`. */
int config_load(const char *path, struct gateway_options **out, struct config_report *);
/* The same for text in memory; `name` stands where the path would. */
int config_load_text(const char *name, struct bytes text, struct gateway_options **out,
                     struct config_report *);

/* What the options `from` came of, loaded again with these changes laid over it; they are
 * copied. See patch.h. */
int config_load_patched(const struct gateway_options *from, const struct policy_patch *,
                        uint32_t count, struct gateway_options **out, struct config_report *);

/* The first of switchgear.yaml and /etc/switchgear/switchgear.yaml that is
 * there; the first where neither is. */
const char *config_default_path(void);

/* The configuration in force as one JSON object in the shape of the file, all
 * defaults filled in. Secrets are "***". Has at most 9 levels. */
void config_write_json(const struct gateway_options *, struct json_out *);

/* One object {key, from, to} for each key of the policy that differs, without endpoints
 * and fallback; how many. A value that is not set is null. `words` gets the same for
 * people: "breaker.failures 5 -> 8, …". */
uint32_t config_write_policy_diff(const struct service_options *before,
                                  const struct service_options *after, struct json_out *,
                                  struct buf *words);

/* One object {key, live, shadow} for each key in which the shadow's breaker differs. */
void config_write_shadow_diff(const struct service_options *, struct json_out *);

/* The names of directives that differ and take effect only at the next start,
 * comma-separated; nothing where a reload brings everything into force. */
void config_write_restart_keys(const struct gateway_options *old, const struct gateway_options *new,
                               struct buf *);

/* docs/reference/configuration.md, from the directive table. */
void config_reference_write(FILE *);
/* A whole configuration in YAML with every default as it would be written. */
void config_defaults_write(FILE *);

#endif
