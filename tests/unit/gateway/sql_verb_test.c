/* sql_verb_test.c - which statements only read, as the verb tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/sql_verb.h"

/* In memory of just that size, so that a step too far is seen. */
static bool reads_bytes(struct bytes text) {
    char *copy = malloc(text.len + !text.len);
    assert_non_null(copy);
    memcpy(copy, text.at, text.len);
    bool reads = sql_only_reads((struct bytes){copy, text.len});
    free(copy);
    return reads;
}

static void each(const char *const *texts, bool expected) {
    for (; *texts; texts++) {
        if (reads_bytes(bytes_of(*texts)) != expected)
            fail_msg("%s: a %s", *texts, expected ? "write" : "read");
    }
}

static void these_read(void **state) {
    static const char *const texts[] = {"SELECT 1",
                                        "  select\n*from t;",
                                        "-- INSERT\nSELECT 1",
                                        "# DROP\nSELECT 1",
                                        "/* DELETE FROM t; */ SELECT 1 -- DROP",
                                        "(SELECT 1) UNION (SELECT 2)",
                                        "WITH a AS (SELECT 1) SELECT * FROM a",
                                        "WITH 1 AS x SELECT x FORMAT JSON",
                                        "SHOW TABLES",
                                        "SHOW CREATE TABLE t",
                                        "DESCRIBE t",
                                        "desc t",
                                        "EXPLAIN SELECT 1",
                                        "EXISTS TABLE t",
                                        "SELECT 'INSERT INTO t; DROP TABLE t'",
                                        "SELECT 'it''s; DROP' , 'a\\'; DROP'",
                                        "SELECT \"delete\", `update`, t.insert, a.into FROM t",
                                        "SELECT $$; DROP$$, $x$; DELETE $$ $x$",
                                        "SELECT 1; SELECT 2 ;; ",
                                        "SELECT inserted, updates, into_x FROM created",
                                        "SELECT 1 /* ; */ ; SHOW TABLES",
                                        NULL};
    each(texts, true);
}

static void these_write(void **state) {
    static const char *const texts[] = {"INSERT INTO t VALUES (1)",
                                        "",
                                        " ;; -- nothing\n",
                                        "DROP TABLE t",
                                        "SELECT 1; DROP TABLE t",
                                        "SELECT 1;DELETE FROM t;SELECT 2",
                                        "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
                                        "WITH a AS (DELETE FROM t RETURNING 1) SELECT * FROM a",
                                        "WITH a",
                                        "SELECT * INTO u FROM t",
                                        "SELECT 1 FOR UPDATE",
                                        "EXPLAIN ANALYZE DELETE FROM t",
                                        "/*! DROP TABLE t */ SELECT 1",
                                        "/* /* */ DROP TABLE t; */ SELECT 1",
                                        "/* SELECT 1",
                                        "SELECT 'no end; ",
                                        "SELECT $a$ no end",
                                        "SELECT `x",
                                        "TRUNCATE t",
                                        "SET x = 1",
                                        "SYSTEM SHUTDOWN",
                                        "selectx 1",
                                        "'SELECT' 1",
                                        "SELECT '' ; DROP TABLE t -- '",
                                        "SELECT '\\\\'; DROP TABLE t",
                                        "--\nINSERT INTO t",
                                        "select/**/1;insert into t",
                                        "\xff\xfe SELECT 1",
                                        "SELECT 1 # 2; DROP TABLE t",
                                        "SELECT 1--1; DROP TABLE t",
                                        NULL};
    each(texts, false);
}

/* Whatever it is cut to, nothing is read behind its end. */
static void any_piece_can_be_judged(void **state) {
    static const char text[] =
        "/*a*/ WITH x AS ($t$y$t$, 'a\\'b''c', \"d\") -- e\nSELECT `f`.g; #h";
    for (size_t from = 0; from < sizeof text; from++) {
        for (size_t len = 0; from + len < sizeof text; len++)
            (void)reads_bytes((struct bytes){text + from, len});
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(these_read),
        cmocka_unit_test(these_write),
        cmocka_unit_test(any_piece_can_be_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
