/* sql_verb.h - whether statements of SQL only read, by their verbs.
 *
 * For a service that speaks SQL over HTTP and is to be read only for a while.
 * In doubt it is a write: a read that is refused can be asked again, a write
 * that slips through cannot be taken back. It is no guard against somebody who
 * means harm; that is what the database's own rights are for.
 *
 * Pure, no allocation. */
#ifndef SWG_GATEWAY_SQL_VERB_H
#define SWG_GATEWAY_SQL_VERB_H

#include <stdbool.h>

#include "base/bytes.h"

/* True: there is a statement, and each of them begins with SELECT, SHOW,
 * DESCRIBE, DESC, EXPLAIN, EXISTS, or is a WITH … SELECT, and none writes
 * further on: WITH … INSERT, EXPLAIN … DELETE, SELECT … INTO. */
bool sql_only_reads(struct bytes text);

#endif
