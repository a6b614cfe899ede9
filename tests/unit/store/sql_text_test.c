/* Named parameters become numbers; nothing else changes; nothing else is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "store/sql_text.h"

static struct arena arena;
static struct sql_text text;
static char why[SQL_WHY_SIZE];
static size_t at;

static int setup(void **state) {
    arena_init(&arena, NULL, 0, 1 << 20);
    return 0;
}

static int teardown(void **state) {
    arena_reset(&arena);
    return 0;
}

static int scan(enum sql_dialect dialect, const char *from) {
    return sql_text_read(&text, &arena, dialect, false, bytes_of(from), &at, why, sizeof why);
}

static void becomes(enum sql_dialect dialect, const char *from, const char *to) {
    int error = scan(dialect, from);
    if (error || strcmp(text.text.at, to) != 0)
        fail_msg("%s\nbecame %s %s", from, error ? why : text.text.at, error ? "" : "(wrong)");
}

static void is_refused(enum sql_dialect dialect, const char *from, const char *reason) {
    int error = scan(dialect, from);
    if (error != -EINVAL || !strstr(why, reason))
        fail_msg("%s\nerror %d: %s", from, error, why);
}

static void test_names(void **state) {
    becomes(SQL_SQLITE, "SELECT :a, :b_2, :a", "SELECT ?1, ?2, ?1");
    assert_int_equal(text.count, 2);
    assert_string_equal(text.names[0], "a");
    assert_string_equal(text.names[1], "b_2");
    becomes(SQL_POSTGRES, "select :a::int, x::text||:b", "select $1::int, x::text||$2");
    becomes(SQL_POSTGRES, "(SELECT a[1:2], b FROM t WHERE c = :c)",
            "(SELECT a[1:2], b FROM t WHERE c = $1)");
    becomes(SQL_SQLITE, "VALUES (:x)", "VALUES (?1)");
}

static void test_quotes_and_comments(void **state) {
    becomes(SQL_SQLITE, "SELECT ':a', \":b\", `:c`, [:d], 'it''s :e', :f",
            "SELECT ':a', \":b\", `:c`, [:d], 'it''s :e', ?1");
    becomes(SQL_SQLITE, "SELECT '\\', :a", "SELECT '\\', ?1");
    becomes(SQL_SQLITE, "SELECT 1 -- :a\n, :b /* :c */ + 1", "SELECT 1  \n, ?1   + 1");
    becomes(SQL_POSTGRES, "SELECT E'\\':a', :b", "SELECT E'\\':a', $1");
    becomes(SQL_POSTGRES, "SELECT 'plain\\', :b", "SELECT 'plain\\', $1");
    becomes(SQL_POSTGRES, "SELECT $$:a$$, $t$ :b $$ $t$, :c", "SELECT $$:a$$, $t$ :b $$ $t$, $1");
    becomes(SQL_POSTGRES, "SELECT /* :a /* :b */ :c */ :d", "SELECT   $1");
    becomes(SQL_POSTGRES, "SELECT j ? 'k', a @> b FROM t", "SELECT j ? 'k', a @> b FROM t");
    is_refused(SQL_SQLITE, "SELECT 'a", "not closed");
    is_refused(SQL_SQLITE, "SELECT 1 /* a", "not closed");
    is_refused(SQL_POSTGRES, "SELECT $x$ a $y$", "not closed");
}

static void test_one_statement(void **state) {
    becomes(SQL_SQLITE, " SELECT 1 ; -- the end\n", " SELECT 1   \n");
    is_refused(SQL_SQLITE, "SELECT 1; DROP TABLE t", "second statement");
    assert_int_equal(at, 10);
    is_refused(SQL_SQLITE, "SELECT 1;;", "empty statement");
    is_refused(SQL_POSTGRES, "", "no statement");
    is_refused(SQL_POSTGRES, "-- nothing", "no statement");
}

static void test_only_reading(void **state) {
    static const char *const others[] = {"INSERT INTO t VALUES (1)",
                                         "UPDATE t SET a = 1",
                                         "DELETE FROM t",
                                         "COMMIT",
                                         "BEGIN",
                                         "SET a = b",
                                         "PRAGMA x",
                                         "ATTACH 'x' AS y",
                                         "DROP TABLE t",
                                         "COPY t TO '/x'",
                                         "/**/SET x=1",
                                         "(DELETE FROM t)",
                                         "EXPLAIN SELECT 1",
                                         "DO $$x$$",
                                         "CALL x()",
                                         "LISTEN x"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        is_refused(SQL_POSTGRES, others[i], "does not only read");
    becomes(SQL_POSTGRES, "WITH a AS (SELECT 1) SELECT * FROM a",
            "WITH a AS (SELECT 1) SELECT * FROM a");
    assert_int_equal(sql_text_read(&text, &arena, SQL_SQLITE, true,
                                   BYTES("UPDATE t SET a = :a RETURNING a"), &at, why, sizeof why),
                     0);
    assert_int_equal(
        sql_text_read(&text, &arena, SQL_SQLITE, true, BYTES("DROP TABLE t"), &at, why, sizeof why),
        -EINVAL);
}

static void test_other_parameters(void **state) {
    is_refused(SQL_SQLITE, "SELECT ?", "written :name");
    is_refused(SQL_SQLITE, "SELECT ?1", "written :name");
    is_refused(SQL_SQLITE, "SELECT @a", "written :name");
    is_refused(SQL_SQLITE, "SELECT $a", "written :name");
    is_refused(SQL_POSTGRES, "SELECT $1", "written :name");
}

static void test_limits(void **state) {
    char many[65 * 6 + 16] = "SELECT ";
    for (int i = 0; i < 65; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), ":p%d,", i);
    is_refused(SQL_SQLITE, many, "more than 64");
    static char large[SQL_TEXT_MAX + 2];
    memset(large, ' ', sizeof large - 1);
    is_refused(SQL_SQLITE, large, "64 KiB");
    assert_int_equal(sql_text_read(&text, &arena, SQL_SQLITE, false,
                                   (struct bytes){"SELECT\0 1", 9}, &at, why, sizeof why),
                     -EINVAL);
}

static void shows(const char *url, const char *as) {
    char out[200];
    sql_url_show(url, out, sizeof out);
    assert_string_equal(out, as);
}

static void test_no_password_is_shown(void **state) {
    shows("sqlite:shop.db", "sqlite:shop.db");
    shows("postgresql://db/shop", "postgresql://db/shop");
    shows("postgresql://me@db:5432/shop", "postgresql://me@db:5432/shop");
    shows("postgresql://me:secret@db:5432/shop?sslmode=require",
          "postgresql://me:***@db:5432/shop?sslmode=require");
    shows("postgresql://me:se@cr/et@db/shop", "postgresql://me:***@db/shop");
    shows("postgres://db/shop?user=me&password=secret&a=b",
          "postgres://db/shop?user=me&password=***&a=b");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_quotes_and_comments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_statement, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_reading, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_parameters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_password_is_shown, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
