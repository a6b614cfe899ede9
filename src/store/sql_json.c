/* sql_json.c - see sql_json.h. */
#include "store/sql_json.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

enum { RESULT_MAX = 1 << 20 };

void sql_json_begin(struct sql_json *j, struct sql_query *q) {
    uint32_t max = q->request.result_max ? q->request.result_max : RESULT_MAX;
    buf_free(&q->answer);
    buf_init(&q->answer, max);
    q->rows = 0;
    j->q = q;
    j->result = SQL_OK;
    json_init(&j->out, &q->answer);
    if (q->request.shape == SQL_AS_ROWS)
        json_array(&j->out);
}

bool sql_json_row(struct sql_json *j) {
    struct sql_query *q = j->q;
    if (q->request.shape != SQL_AS_ROWS && q->rows)
        return false;
    q->rows++;
    if (q->request.shape == SQL_AS_ROWS || q->request.shape == SQL_AS_ROW)
        json_object(&j->out);
    return true;
}

bool sql_json_column(struct sql_json *j, uint32_t index, const char *name) {
    if (j->q->request.shape >= SQL_AS_VALUE)
        return index == 0;
    json_key(&j->out, name);
    return true;
}

void sql_json_row_end(struct sql_json *j) {
    if (j->q->request.shape == SQL_AS_ROWS || j->q->request.shape == SQL_AS_ROW)
        json_object_end(&j->out);
}

bool sql_json_failed(const struct sql_json *j) {
    return j->q->answer.failed;
}

void sql_json_text(struct sql_json *j, struct bytes text) {
    if (sql_json_is_valid(text)) {
        json_raw(&j->out, text);
    } else if (j->q->request.shape == SQL_AS_JSON) {
        j->result = SQL_REFUSED;
        snprintf(j->q->why, sizeof j->q->why, "the value is not JSON");
        json_null(&j->out);
    } else {
        json_bytes(&j->out, text);
    }
}

void sql_json_blob(struct sql_json *j, const void *data, size_t len) {
    unsigned char *text = len < INT32_MAX / 2 ? malloc(len / 3 * 4 + 5) : NULL;
    if (!text) {
        j->q->answer.failed = true;
        json_null(&j->out);
        return;
    }
    int written = EVP_EncodeBlock(text, data, (int)len);
    json_bytes(&j->out, (struct bytes){(char *)text, (size_t)written});
    free(text);
}

/* NaN, Infinity; and all that may come from a type of the user's own. */
void sql_json_number(struct sql_json *j, struct bytes text) {
    size_t digit = text.len && text.at[0] == '-';
    if (digit < text.len && text.at[digit] >= '0' && text.at[digit] <= '9')
        json_raw(&j->out, text);
    else
        json_null(&j->out);
}

enum sql_result sql_json_end(struct sql_json *j) {
    struct sql_query *q = j->q;
    bool one = q->request.shape != SQL_AS_ROWS;
    if (one && !q->rows)
        return SQL_NOT_FOUND;
    if (!one)
        json_array_end(&j->out);
    if (q->answer.failed) {
        snprintf(q->why, sizeof q->why, "the answer is larger than %zu bytes", q->answer.max);
        return SQL_TOO_LARGE;
    }
    return j->result;
}
