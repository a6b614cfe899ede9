/* check_sql.h - whether the statements of sql tiers fit the databases they are for. */
#ifndef SWG_CLI_CHECK_SQL_H
#define SWG_CLI_CHECK_SQL_H

#include "config/report.h"
#include "gateway/options.h"

/* Opens SQLite files that exist, and adds an error for each statement that cannot
 * be prepared there. Blocks; nothing is run. */
void check_sql(const struct gateway_options *, struct config_report *);

#endif
