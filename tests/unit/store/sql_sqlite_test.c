/* Queries on an SQLite file: answers, what is refused, time, replacement. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "loop/loop.h"
#include "store/sql.h"
#include "store/sql_text.h"

static const uint64_t second_ns = 1000000000;

static struct loop *loop;
static struct sql_database *db;
static char folder[64], file[128], url[160], other[160];
static unsigned answers;

static void make(const char *path, const char *script) {
    sqlite3 *handle;
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    assert_int_equal(sqlite3_exec(handle, script, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(handle);
}

static const char shop[] =
    "CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, price REAL, sold BOOLEAN, more JSON);"
    "INSERT INTO item VALUES(1, 'Lamp', 12.5, 1, '{\"w\":5}'), (2, 'Desk \"x\"', NULL, 0, 'bad'),"
    "(3, 'O''Neil', 3, 1, NULL);"
    "CREATE VIRTUAL TABLE faq USING fts5(question, answer);"
    "INSERT INTO faq VALUES('where is my order', 'on its way');";

static void open_database(bool writable, uint32_t size) {
    char why[SQL_WHY_SIZE];
    struct sql_options o = {.url = url, .size = size, .writable = writable};
    assert_int_equal(sql_open(&db, &o, loop_io(loop), why, sizeof why), 0);
}

static int setup(void **state) {
    strcpy(folder, "/tmp/swg-sql-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/shop.db", folder);
    snprintf(other, sizeof other, "%s/other.db", folder);
    snprintf(url, sizeof url, "sqlite:%s", file);
    assert_int_equal(loop_create(&loop), 0);
    make(file, shop);
    open_database(false, 2);
    answers = 0;
    return 0;
}

static int teardown(void **state) {
    sql_close(db);
    loop_destroy(loop);
    unlink(file);
    unlink(other);
    rmdir(folder);
    return 0;
}

static void on_done(struct sql_query *q) {
    answers++;
    *(struct sql_query **)q->request.arg = q;
}

static struct sql_query *start(struct sql_query **out, const char *text, enum sql_shape shape,
                               uint64_t limit_ns, const char *value) {
    struct sql_value v = {SQL_TEXT, bytes_of(value)};
    struct sql_request r = {.text = bytes_of(text),
                            .count = value != NULL,
                            .values = &v,
                            .shape = shape,
                            .deadline_ns = io_now(loop_io(loop)) + limit_ns,
                            .io = loop_io(loop),
                            .done = on_done,
                            .arg = out};
    struct sql_query *q = sql_query_create(&r);
    assert_non_null(q);
    *out = NULL;
    sql_submit(db, q);
    return q;
}

static void wait_for(struct sql_query **out) {
    for (int i = 0; i < 1000 && !*out; i++)
        assert_int_equal(loop_turn(loop, 50), 0);
    assert_non_null(*out);
}

static enum sql_result ask(const char *text, enum sql_shape shape, const char *value, char *json,
                           size_t size) {
    struct sql_query *q;
    assert_int_equal(loop_turn(loop, 0), 0);
    start(&q, text, shape, 60 * second_ns, value);
    wait_for(&q);
    enum sql_result result = q->result;
    snprintf(json, size, "%s", result == SQL_OK ? buf_cstr(&q->answer) : q->why);
    sql_query_free(q);
    return result;
}

static void answers_with(const char *text, enum sql_shape shape, const char *value,
                         const char *expected) {
    char json[1000];
    if (ask(text, shape, value, json, sizeof json) != SQL_OK)
        fail_msg("%s: %s", text, json);
    assert_string_equal(json, expected);
}

static void fails_with(enum sql_result expected, const char *text, const char *value) {
    char why[1000];
    enum sql_result result = ask(text, SQL_AS_VALUE, value, why, sizeof why);
    if (result != expected)
        fail_msg("%s: %d, %s", text, result, why);
}

static void test_shapes(void **state) {
    answers_with(
        "SELECT id, name, price, sold, more FROM item ORDER BY id", SQL_AS_ROWS, NULL,
        "[{\"id\":1,\"name\":\"Lamp\",\"price\":12.5,\"sold\":true,\"more\":{\"w\":5}},"
        "{\"id\":2,\"name\":\"Desk \\\"x\\\"\",\"price\":null,\"sold\":false,\"more\":"
        "\"bad\"},{\"id\":3,\"name\":\"O'Neil\",\"price\":3,\"sold\":true,\"more\":null}]");
    answers_with("SELECT id FROM item WHERE id > 9", SQL_AS_ROWS, NULL, "[]");
    answers_with("SELECT name FROM item WHERE id = ?1", SQL_AS_ROW, "1", "{\"name\":\"Lamp\"}");
    answers_with("SELECT price, name FROM item ORDER BY id", SQL_AS_VALUE, NULL, "12.5");
    answers_with("SELECT json_group_array(id) FROM item", SQL_AS_JSON, NULL, "[1,2,3]");
    answers_with("SELECT x'00ff10'", SQL_AS_VALUE, NULL, "\"AP8Q\"");
    answers_with("SELECT answer FROM faq WHERE faq MATCH ?1", SQL_AS_VALUE, "order",
                 "\"on its way\"");
    fails_with(SQL_NOT_FOUND, "SELECT name FROM item WHERE id = ?1", "9");
    char why[100];
    assert_int_equal(ask("SELECT name FROM item", SQL_AS_JSON, NULL, why, sizeof why), SQL_REFUSED);
    assert_int_equal(ask("SELECT NULL", SQL_AS_JSON, NULL, why, sizeof why), SQL_NOT_FOUND);
}

static void test_values_stay_values(void **state) {
    fails_with(SQL_NOT_FOUND, "SELECT name FROM item WHERE name = ?1", "x' OR '1'='1");
    answers_with("SELECT ?1", SQL_AS_VALUE, "'; DROP TABLE item; --", "\"'; DROP TABLE item; --\"");
    answers_with("SELECT count(*) FROM item", SQL_AS_VALUE, NULL, "3");
}

static void test_only_reading(void **state) {
    static const char *const texts[] = {
        "INSERT INTO item VALUES (9, 'x', 1, 1, NULL)",
        "UPDATE item SET name = 'x' RETURNING id",
        "DELETE FROM item",
        "DROP TABLE item",
        "CREATE TEMP TABLE t(a)",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA query_only = 0",
        "ATTACH 'x.db' AS x",
        "BEGIN",
        "VACUUM",
        "REINDEX",
        "SELECT load_extension('x')",
        "SELECT * FROM pragma_table_info('item')",
        "INSERT INTO faq VALUES('a', 'b')",
        "UPDATE sqlite_master SET sql = 'x'",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        fails_with(SQL_REFUSED, texts[i], NULL);
    answers_with("SELECT count(*) FROM item", SQL_AS_VALUE, NULL, "3");
}

static void test_writable(void **state) {
    sql_close(db);
    open_database(true, 1);
    answers_with("UPDATE item SET name = 'New' WHERE id = 1 RETURNING name", SQL_AS_VALUE, NULL,
                 "\"New\"");
    answers_with("SELECT name FROM item WHERE id = 1", SQL_AS_VALUE, NULL, "\"New\"");
    fails_with(SQL_REFUSED, "DROP TABLE item", NULL);
    fails_with(SQL_REFUSED, "UPDATE sqlite_master SET sql = 'x'", NULL);
    fails_with(SQL_REFUSED, "ATTACH 'x.db' AS x", NULL);
}

static void test_wrong_statements(void **state) {
    char why[200];
    fails_with(SQL_REFUSED, "SELECT nothing FROM item", NULL);
    fails_with(SQL_REFUSED, "SELEC 1", NULL);
    /* The caller's words are not in what is logged. */
    assert_int_equal(
        ask("SELECT answer FROM faq WHERE faq MATCH ?1", SQL_AS_ROWS, "\"secret", why, sizeof why),
        SQL_REFUSED);
    assert_null(strstr(why, "secret"));
}

static const char endless[] =
    "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";

static void test_deadline(void **state) {
    struct sql_query *q;
    start(&q, endless, SQL_AS_VALUE, second_ns / 50, NULL);
    wait_for(&q);
    assert_int_equal(q->result, SQL_TIMED_OUT);
    sql_query_free(q);
    answers_with("SELECT 1", SQL_AS_VALUE, NULL, "1"); /* the thread is free again */
}

/* Two endless ones hold both threads; those that wait are cancelled where they
 * wait, those that run where they run. */
static void test_cancel(void **state) {
    struct sql_query *q[6];
    struct sql_query *asked[6];
    for (int i = 0; i < 6; i++)
        asked[i] = start(&q[i], endless, SQL_AS_VALUE, 3600 * second_ns, NULL);
    for (int i = 5; i >= 0; i--)
        sql_cancel(asked[i]);
    answers_with("SELECT 1", SQL_AS_VALUE, NULL, "1");
    assert_int_equal(answers, 1);
    /* and one whose answer is on its way */
    struct sql_query *late = start(&q[0], "SELECT 1", SQL_AS_VALUE, 60 * second_ns, NULL);
    usleep(20000);
    sql_cancel(late);
    for (int i = 0; i < 5; i++)
        loop_turn(loop, 10);
    assert_int_equal(answers, 1);
}

static void test_too_large(void **state) {
    struct sql_query *q;
    struct sql_request r = {.text = BYTES("WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 "
                                          "FROM n) SELECT i FROM n"),
                            .result_max = 1000,
                            .deadline_ns = UINT64_MAX,
                            .io = loop_io(loop),
                            .done = on_done,
                            .arg = &q};
    q = NULL;
    sql_submit(db, sql_query_create(&r));
    wait_for(&q);
    assert_int_equal(q->result, SQL_TOO_LARGE);
    sql_query_free(q);
}

static void test_file_comes_goes_and_is_replaced(void **state) {
    answers_with("SELECT count(*) FROM item", SQL_AS_VALUE, NULL, "3");
    assert_int_equal(unlink(file), 0);
    fails_with(SQL_UNAVAILABLE, "SELECT count(*) FROM item", NULL);
    make(other, "CREATE TABLE item(id); INSERT INTO item VALUES(1);");
    assert_int_equal(rename(other, file), 0);
    for (int i = 0; i < 8; i++) /* on whichever connection */
        answers_with("SELECT count(*) FROM item", SQL_AS_VALUE, NULL, "1");
    FILE *f = fopen(other, "w");
    assert_non_null(f);
    fputs("this is no database, but it is long enough to be taken for one at first sight, 16+84 "
          "bytes of header",
          f);
    fclose(f);
    assert_int_equal(rename(other, file), 0);
    fails_with(SQL_UNAVAILABLE, "SELECT count(*) FROM item", NULL);
}

static void test_check(void **state) {
    struct sql_options o = {.url = url};
    char why[SQL_WHY_SIZE];
    size_t at;
    assert_int_equal(sql_check_sqlite(&o, BYTES("SELECT name FROM item"), &at, why, sizeof why), 0);
    assert_int_equal(
        sql_check_sqlite(&o, BYTES("SELECT name, nam FROM item"), &at, why, sizeof why), -EINVAL);
    assert_int_equal(at, 13);
    assert_non_null(strstr(why, "nam"));
    assert_int_equal(sql_check_sqlite(&o, BYTES("DELETE FROM item"), &at, why, sizeof why),
                     -EINVAL);
    o.url = "sqlite:/nowhere/x.db";
    assert_int_equal(sql_check_sqlite(&o, BYTES("SELECT 1"), &at, why, sizeof why), -ENOENT);
}

static void test_urls(void **state) {
    static const char *const wrong[] = {"sqlite:", "sqlite::memory:", "sqlite:file:x?mode=rw",
                                        "sqlite://x", "mysql://x"};
    struct sql_database *none;
    char why[SQL_WHY_SIZE];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct sql_options o = {.url = wrong[i]};
        assert_int_equal(sql_open(&none, &o, loop_io(loop), why, sizeof why), -EINVAL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_shapes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_values_stay_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_reading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_writable, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_statements, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_comes_goes_and_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_check, setup, teardown),
        cmocka_unit_test_setup_teardown(test_urls, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
