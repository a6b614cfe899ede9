/* What a confined process cannot do any more, and what it still can: each is tried in a
 * child, by system calls of its own, so that a sanitizer has no part in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/confine.h"

/* 0: it went; else errno. Runs in a child after confine_calls(). */
typedef int attempt(void);

static int code_of(long result) {
    return result < 0 ? errno : 0;
}

static int start_shell(void) {
    return code_of(execl("/bin/sh", "sh", "-c", "exit 0", (char *)NULL));
}

static int make_process(void) {
    return code_of(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
}

static int look_into_parent(void) {
    return code_of(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
}

static int end_parent(void) {
    return code_of(syscall(SYS_kill, getppid(), 0));
}

static int listen_to_all(void) {
    return code_of(socket(AF_PACKET, SOCK_RAW, 0));
}

static int make_code(void) {
    return code_of(syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == -1
                       ? -1
                       : 0);
}

static int become_root(void) {
    return code_of(syscall(SYS_setuid, 0));
}

static int look_at_itself(void) {
    return code_of(syscall(SYS_kill, getpid(), 0));
}

static int open_socket(void) {
    return code_of(socket(AF_INET, SOCK_STREAM, 0));
}

static int read_names(void) {
    return code_of(open("/etc/passwd", O_RDONLY));
}

static int write_names(void) {
    return code_of(open("/etc/passwd", O_WRONLY));
}

static int look_into_root(void) {
    return code_of(open("/root", O_RDONLY | O_DIRECTORY));
}

static int try(attempt *what, bool files, bool calls) {
    struct confine_files f;
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (files) {
            if (confine_files_begin(&f) < 0)
                _exit(200);
            confine_files_allow(&f, "/etc", false);
            confine_files_allow(&f, "/there-is-nothing", false);
            if (confine_files_end(&f) < 0)
                _exit(200);
        }
        if (calls && confine_calls() < 0)
            _exit(201);
        _exit(what());
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_calls_that_are_gone(void **state) {
    static attempt *const all[] = {start_shell,   make_process, look_into_parent, end_parent,
                                   listen_to_all, make_code,    become_root};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_int_equal(try(all[i], false, true), EPERM);
}

static void test_calls_that_are_left(void **state) {
    static attempt *const all[] = {look_at_itself, open_socket, read_names};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_int_equal(try(all[i], false, true), 0);
}

/* The attempts themselves would go. */
static void test_what_is_tried_is_possible_otherwise(void **state) {
    static attempt *const all[] = {start_shell, end_parent, make_code, read_names};
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_int_equal(try(all[i], false, false), 0);
}

static void test_files(void **state) {
    (void)state;
    if (!confine_landlock_version())
        skip();
    assert_int_equal(try(read_names, true, false), 0);
    assert_int_equal(try(write_names, true, false), EACCES);
    assert_int_equal(try(look_into_root, true, false), EACCES);
}

static void *run(void *arg) {
    *(int *)arg = make_process();
    return NULL;
}

/* Threads are made as before, and the filter is theirs too. */
static int use_threads(void) {
    pthread_t thread;
    int code = 0;
    if (pthread_create(&thread, NULL, run, &code) != 0)
        return 202;
    pthread_join(thread, NULL);
    return code;
}

static void test_threads(void **state) {
    (void)state;
    assert_int_equal(try(use_threads, false, true), EPERM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_that_are_gone),
        cmocka_unit_test(test_calls_that_are_left),
        cmocka_unit_test(test_what_is_tried_is_possible_otherwise),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
