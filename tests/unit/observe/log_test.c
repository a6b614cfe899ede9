/* Lines as a reader of the file or of the pipe sees them. The reader of the
 * pipe is this test, so "slow" is exact: it reads when it says so. */
#include "observe/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { STAMP = 24 };

static char directory[64], file[96], text[1 << 20];

static int set_up(void **state) {
    snprintf(directory, sizeof(directory), "/tmp/log_test.XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(file, sizeof(file), "%s/log", directory);
    return 0;
}

static int tear_down(void **state) {
    log_close();
    unlink(file);
    rmdir(directory);
    return 0;
}

static void open_log(enum log_format format, enum log_level level) {
    struct log_settings settings = {.format = format, .level = level, .path = file};
    assert_int_equal(log_open(&settings), 0);
}

static const char *read_log(void) {
    log_flush();
    FILE *f = fopen(file, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    return text;
}

/* Compares all but the time, of which only the shape is known. */
static void assert_line(const char *line, const char *before, const char *after) {
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    assert_memory_equal(line, before, strlen(before));
    line += strlen(before);
    for (int i = 0; i < STAMP; i++)
        if (shape[i] == 'd')
            assert_in_range(line[i], '0', '9');
        else
            assert_int_equal(line[i], shape[i]);
    assert_string_equal(line + STAMP, after);
}

static void write_fields(enum log_level level) {
    struct log_line line;
    if (!log_begin(&line, level, "a request"))
        return;
    log_str(&line, "service", "reco");
    log_str(&line, "absent", NULL);
    log_bytes(&line, "path", (struct bytes){"/a b\"\n\0\xff\xc3\xa9", 10});
    log_int(&line, "n", -5);
    log_uint(&line, "status", 503);
    log_bool(&line, "degraded", true);
    log_dur(&line, "took_ms", 1234567);
    log_end(&line);
}

static void writes_json(void **state) {
    open_log(LOG_JSON, LOG_INFO);
    write_fields(LOG_INFO);
    assert_line(read_log(), "{\"time\":\"",
                "\",\"level\":\"info\",\"message\":\"a request\",\"service\":\"reco\","
                "\"path\":\"/a b\\\"\\n\\u0000\\ufffd\xc3\xa9\",\"n\":-5,\"status\":503,"
                "\"degraded\":true,\"took_ms\":1.234}\n");
}

static void writes_logfmt(void **state) {
    open_log(LOG_LOGFMT, LOG_INFO);
    write_fields(LOG_ERROR);
    assert_line(read_log(), "time=",
                " level=error message=\"a request\" service=reco "
                "path=\"/a b\\\"\\n\\u0000\\ufffd\xc3\xa9\" n=-5 status=503 degraded=true "
                "took_ms=1.234\n");
}

static void quotes_logfmt_only_where_needed(void **state) {
    static const char *const values[] = {"plain", "", "a=b", "\\", "a b", "\xc3\xa9", "\x7f"};
    open_log(LOG_LOGFMT, LOG_INFO);
    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
        struct log_line line;
        assert_true(log_begin(&line, LOG_INFO, "m"));
        log_str(&line, "v", values[i]);
        log_end(&line);
    }
    const char *all = read_log();
    assert_non_null(strstr(all, " v=plain\n"));
    assert_non_null(strstr(all, " v=\"\"\n"));
    assert_non_null(strstr(all, " v=\"a=b\"\n"));
    assert_non_null(strstr(all, " v=\"\\\\\"\n"));
    assert_non_null(strstr(all, " v=\"a b\"\n"));
    assert_non_null(strstr(all, " v=\"\xc3\xa9\"\n"));
    assert_non_null(strstr(all, " v=\"\\u007f\"\n"));
}

static void leaves_out_what_is_below_the_level(void **state) {
    write_fields(LOG_ERROR); /* not open: nothing happens */
    open_log(LOG_JSON, LOG_WARN);
    assert_false(log_enabled(LOG_INFO));
    write_fields(LOG_INFO);
    log_message(LOG_DEBUG, "no");
    log_message(LOG_WARN, "yes %d", 1);
    const char *all = read_log();
    assert_non_null(strstr(all, "\"message\":\"yes 1\"}\n"));
    assert_ptr_equal(strchr(all, '\n'), all + strlen(all) - 1);
}

static void collects_until_a_flush_and_warns_at_once(void **state) {
    struct stat st;
    open_log(LOG_JSON, LOG_DEBUG);
    log_message(LOG_INFO, "later");
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_size, 0);
    log_message(LOG_WARN, "now");
    assert_int_equal(stat(file, &st), 0);
    assert_true(st.st_size > 0);
    const char *all = read_log();
    assert_true(strstr(all, "later") < strstr(all, "now"));
}

static void cuts_long_values_and_lines(void **state) {
    static char value[20000];
    struct log_line line;
    open_log(LOG_JSON, LOG_INFO);
    memset(value, 'x', sizeof(value) - 1);
    memcpy(value + LOG_VALUE_MAX - 1, "\xe2\x82\xac", 3); /* the cut would fall into it */
    assert_true(log_begin(&line, LOG_INFO, "long"));
    log_str(&line, "v", value);
    log_end(&line);
    const char *all = read_log();
    const char *v = strstr(all, "\"v\":\"");
    assert_int_equal(strspn(v + 5, "x"), LOG_VALUE_MAX - 1);
    assert_string_equal(v + 5 + LOG_VALUE_MAX - 1, "…\"}\n");

    unlink(file);
    assert_int_equal(log_reopen(), 0);
    memset(value, '\x01', sizeof(value) - 1); /* each becomes six bytes */
    assert_true(log_begin(&line, LOG_INFO, "long"));
    for (int i = 0; i < 5; i++)
        log_str(&line, "v", value);
    log_int(&line, "small", 1);
    log_end(&line);
    all = read_log();
    assert_true(strlen(all) <= LOG_LINE_MAX);
    assert_true(strlen(all) > LOG_VALUE_MAX);
    assert_non_null(strstr(all, "\\u0001…\",\"v\""));
    assert_non_null(strstr(all, "…\",\"small\":1}\n"));
}

static void cuts_lines_that_would_be_too_long(void **state) {
    static char value[LOG_VALUE_MAX];
    struct log_line line;
    memset(value, 'x', sizeof(value) - 1);
    for (enum log_format format = LOG_JSON; format <= LOG_LOGFMT; format++) {
        unlink(file);
        open_log(format, LOG_INFO);
        assert_true(log_begin(&line, LOG_INFO, "long"));
        for (int i = 0; i < 20; i++)
            log_str(&line, "v", value);
        for (int i = 0; i < 2000; i++)
            log_int(&line, "n", i);
        log_end(&line);
        const char *all = read_log();
        size_t len = strlen(all);
        assert_in_range(len, LOG_LINE_MAX - 100, LOG_LINE_MAX);
        assert_ptr_equal(strchr(all, '\n'), all + len - 1);
        const char *end = format == LOG_JSON ? ",\"cut\":true}\n" : " cut=true\n";
        assert_string_equal(all + len - strlen(end), end);
    }
}

static void takes_one_line_at_a_time(void **state) {
    struct log_line one, two;
    uint64_t before = log_dropped();
    open_log(LOG_JSON, LOG_INFO);
    assert_true(log_begin(&one, LOG_INFO, "one"));
    assert_false(log_begin(&two, LOG_INFO, "two"));
    log_str(&two, "nothing", "happens");
    log_end(&two);
    log_end(&one);
    log_end(&one); /* harmless */
    assert_int_equal(log_dropped() - before, 1);
    assert_null(strstr(read_log(), "happens"));
}

static void writes_to_the_new_file_after_a_rotation(void **state) {
    char old[128];
    snprintf(old, sizeof(old), "%s.1", file);
    open_log(LOG_JSON, LOG_INFO);
    log_message(LOG_WARN, "first");
    assert_int_equal(rename(file, old), 0);
    log_message(LOG_WARN, "second");
    assert_int_equal(log_reopen(), 0);
    log_message(LOG_WARN, "third");
    assert_null(strstr(read_log(), "second"));
    assert_non_null(strstr(text, "third"));
    unlink(old);
}

static void keeps_the_old_file_when_the_new_one_fails(void **state) {
    open_log(LOG_JSON, LOG_INFO);
    struct log_settings bad = {.level = LOG_ERROR, .path = "/nonexistent/dir/log"};
    assert_int_equal(log_open(&bad), -ENOENT);
    log_message(LOG_INFO, "still here");
    assert_non_null(strstr(read_log(), "still here"));
}

/* ---- a slow reader -------------------------------------------------------- */

static int open_pipe(void) {
    assert_int_equal(mkfifo(file, 0600), 0);
    int reader = open(file, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    return reader;
}

/* Reads what is there, after what was read before. */
static size_t drain(int fd, size_t have) {
    ssize_t n;
    while ((n = read(fd, text + have, sizeof(text) - 1 - have)) > 0)
        have += (size_t)n;
    text[have] = '\0';
    return have;
}

/* Every line is whole and the numbers ascend; returns how many lines had a
 * number, and the sum of what the notices say was dropped in *dropped. */
static unsigned check_lines(uint64_t *dropped) {
    unsigned lines = 0;
    long last = -1;
    *dropped = 0;
    for (char *save, *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        assert_memory_equal(l, "{\"time\":\"", 9);
        assert_int_equal(l[strlen(l) - 1], '}');
        const char *n = strstr(l, "\"n\":"), *d = strstr(l, "\"dropped\":");
        assert_true(!n != !d);
        if (d) {
            *dropped += strtoull(d + 10, NULL, 10);
            continue;
        }
        assert_true(strtol(n + 4, NULL, 10) > last);
        last = strtol(n + 4, NULL, 10);
        lines++;
    }
    return lines;
}

static bool log_number(unsigned n) {
    struct log_line line;
    if (!log_begin(&line, LOG_INFO, "a line of some length, as they are in real life"))
        return false;
    log_uint(&line, "n", n);
    log_end(&line);
    return true;
}

static void drops_and_tells_when_the_pipe_stays_full(void **state) {
    int reader = open_pipe();
    open_log(LOG_JSON, LOG_INFO);
    uint64_t before = log_dropped(), told;
    unsigned written = 0, n = 0;
    while (log_dropped() - before < 1000)
        written += log_number(n++);
    assert_false(log_flush());
    size_t have = drain(reader, 0);
    for (int i = 0; i < 4; i++) { /* the rest of a line, the notice, the buffer */
        log_flush();
        have = drain(reader, have);
    }
    written += log_number(n++);
    assert_true(log_flush());
    drain(reader, have);
    assert_int_equal(check_lines(&told), written);
    assert_int_equal(told, log_dropped() - before);
    assert_int_equal(written + told, n);
    close(reader);
}

static void loses_nothing_to_a_short_stall(void **state) {
    int reader = open_pipe();
    open_log(LOG_JSON, LOG_INFO);
    uint64_t before = log_dropped(), told;
    unsigned n = 0;
    while (log_flush())
        log_number(n++);
    for (int i = 0; i < 100; i++)
        assert_true(log_number(n++));
    size_t have = drain(reader, 0);
    while (!log_flush())
        have = drain(reader, have);
    drain(reader, have);
    assert_int_equal(check_lines(&told), n);
    assert_int_equal(told, 0);
    assert_int_equal(log_dropped(), before);
    close(reader);
}

static void *log_a_few(void *arg) {
    for (unsigned n = 0; n < 10; n++)
        log_number(n);
    return NULL;
}

static void counts_what_a_thread_cannot_leave_behind(void **state) {
    int reader = open_pipe();
    pthread_t thread;
    open_log(LOG_JSON, LOG_INFO);
    unsigned n = 0;
    while (log_flush())
        log_number(n++);
    uint64_t before = log_dropped();
    assert_int_equal(pthread_create(&thread, NULL, log_a_few, NULL), 0);
    pthread_join(thread, NULL);
    assert_int_equal(log_dropped() - before, 10);
    do
        drain(reader, 0);
    while (!log_flush());
    close(reader);
}

/* In a child, whose standard error is something that nobody reads: it must
 * come to its end, and must not have made the descriptor non-blocking. */
static void assert_never_waits_on(int fd, bool as_another_user) {
    pid_t child = fork();
    if (child == 0) {
        alarm(30); /* ends it, should it wait */
        dup2(fd, STDERR_FILENO);
        if (as_another_user && (fchmod(fd, 0) < 0 || (getuid() == 0 && setuid(65534) < 0)))
            _exit(2);
        log_open(&(struct log_settings){.path = "stderr"});
        for (unsigned n = 0; n < 10000; n++)
            log_number(n);
        _exit(log_dropped() > 0 && !(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void never_waits_on_a_pipe(void **state) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_never_waits_on(ends[1], false);
    close(ends[0]);
    close(ends[1]);
}

/* It cannot be opened once more, and is polled. */
static void never_waits_on_a_pipe_of_another_user(void **state) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_never_waits_on(ends[1], true);
    close(ends[0]);
    close(ends[1]);
}

static void never_waits_on_a_socket(void **state) {
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_never_waits_on(ends[1], false);
    close(ends[0]);
    close(ends[1]);
}

static void never_waits_on_a_terminal(void **state) {
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
        skip();
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0);
    assert_never_waits_on(terminal, false);
    close(terminal);
    close(master);
}

enum { THREADS = 4, LINES = 5000 };

static void *log_many(void *arg) {
    for (unsigned n = 0; n < LINES; n++) {
        struct log_line line;
        if (log_begin(&line, LOG_INFO, "from a thread")) {
            log_str(&line, "thread", arg);
            log_uint(&line, "n", n);
            log_end(&line);
        }
        if (n % 16 == 0)
            log_flush();
    }
    return NULL; /* what is left goes out as the thread ends */
}

static void keeps_the_lines_of_threads_apart(void **state) {
    static char names[THREADS][2] = {"0", "1", "2", "3"};
    pthread_t threads[THREADS];
    open_log(LOG_JSON, LOG_INFO);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, names[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);

    FILE *f = fopen(file, "r");
    char line[512];
    unsigned next[THREADS] = {0};
    while (fgets(line, sizeof(line), f)) {
        const char *thread = strstr(line, "\"thread\":\""), *n = strstr(line, "\"n\":");
        assert_non_null(thread);
        assert_int_equal(strtoul(n + 4, NULL, 10), next[thread[10] - '0']++);
    }
    fclose(f);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(next[i], LINES);
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        LOG_TEST(writes_json),
        LOG_TEST(writes_logfmt),
        LOG_TEST(quotes_logfmt_only_where_needed),
        LOG_TEST(leaves_out_what_is_below_the_level),
        LOG_TEST(collects_until_a_flush_and_warns_at_once),
        LOG_TEST(cuts_long_values_and_lines),
        LOG_TEST(cuts_lines_that_would_be_too_long),
        LOG_TEST(takes_one_line_at_a_time),
        LOG_TEST(writes_to_the_new_file_after_a_rotation),
        LOG_TEST(keeps_the_old_file_when_the_new_one_fails),
        LOG_TEST(drops_and_tells_when_the_pipe_stays_full),
        LOG_TEST(loses_nothing_to_a_short_stall),
        LOG_TEST(counts_what_a_thread_cannot_leave_behind),
        LOG_TEST(never_waits_on_a_pipe),
        LOG_TEST(never_waits_on_a_pipe_of_another_user),
        LOG_TEST(never_waits_on_a_socket),
        LOG_TEST(never_waits_on_a_terminal),
        LOG_TEST(keeps_the_lines_of_threads_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
