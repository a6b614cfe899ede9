/* sql_sqlite.h - one connection to an SQLite file, and what may be done on it.
 *
 * Threading: the thread's that made it. Blocks. */
#ifndef SWG_STORE_SQL_SQLITE_H
#define SWG_STORE_SQL_SQLITE_H

#include <sqlite3.h>
#include <sys/types.h>

#include "store/sql.h"

enum { SQLITE_STATEMENTS_MAX = 32 };

struct sqlite_statement {
    sqlite3_stmt *stmt;
    char *text;
    size_t len;
    uint64_t used; /* the larger the later */
};

struct sqlite_connection {
    const struct sql_options *options;
    const char *path;
    sqlite3 *handle; /* NULL: not open */
    dev_t device;    /* of the file that is open */
    ino_t inode;
    uint64_t uses;
    uint32_t count;
    struct sqlite_statement statements[SQLITE_STATEMENTS_MAX];
    /* of the query that runs */
    struct sql_query *query;
    bool timed_out;
};

void sqlite_connection_init(struct sqlite_connection *, const struct sql_options *);
enum sql_result sqlite_connection_run(struct sqlite_connection *, struct sql_query *);
void sqlite_connection_close(struct sqlite_connection *);

#endif
