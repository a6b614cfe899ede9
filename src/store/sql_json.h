/* sql_json.h - the answer of a query, put together row by row.
 *
 * The databases bring each row's columns in order; the shape says what becomes
 * of them. A row that is not wanted (a second one of ROW) is not written. */
#ifndef SWG_STORE_SQL_JSON_H
#define SWG_STORE_SQL_JSON_H

#include "base/json_out.h"
#include "store/sql.h"

struct sql_json {
    struct sql_query *q;
    struct json_out out;
    enum sql_result result; /* SQL_OK while all goes well */
};

void sql_json_begin(struct sql_json *, struct sql_query *);
/* Between: for each column a key, and one value by json->out. False: no more
 * rows are wanted; do not call sql_json_row_end(). */
bool sql_json_row(struct sql_json *);
/* Before each value. False: the column is not wanted. */
bool sql_json_column(struct sql_json *, uint32_t index, const char *name);
void sql_json_row_end(struct sql_json *);
/* JSON text of the database's: whole where it is the answer, else a value.
 * What is not JSON is refused as the answer, and else written as a string. */
void sql_json_text(struct sql_json *, struct bytes);
void sql_json_blob(struct sql_json *, const void *, size_t); /* base64 */
/* A number as the database writes it; what is none in JSON (NaN) is null. */
void sql_json_number(struct sql_json *, struct bytes);
/* Whether the answer is already too large. */
bool sql_json_failed(const struct sql_json *);
/* The result; q->answer and q->rows are complete. */
enum sql_result sql_json_end(struct sql_json *);

/* One JSON value, nothing else. */
bool sql_json_is_valid(struct bytes);

#endif
