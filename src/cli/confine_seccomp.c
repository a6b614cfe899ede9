/* confine_seccomp.c - see confine.h: which system calls can be made.
 *
 * A list of what is allowed, as a program for the kernel's filter; no library is needed
 * for so little. What is not on it fails with EPERM, and does not kill: a new version of
 * a library that tries something else falls back, or says so in a log, at once and on
 * the first day, where a kill would take all requests with it. The kernel keeps the
 * verdict of calls whose arguments are not looked at, so those cost nothing.
 *
 * Arguments that are looked at:
 *   clone           threads only, no processes; clone3 does not exist (ENOSYS: the C
 *                   library then uses clone), since a filter cannot look into its struct
 *   socket          IP, unix, and netlink, which names are looked up with
 *   mmap, mprotect  nothing is writable and executable
 *   kill, tgkill    this process only: abort() */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cli/confine.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#ifdef ARCHITECTURE

static const int allowed[] = {
    /* the event loop, sockets */
    SYS_epoll_pwait,
    SYS_epoll_pwait2,
    SYS_epoll_ctl,
    SYS_epoll_create1,
    SYS_eventfd2,
    SYS_signalfd4,
    SYS_timerfd_create,
    SYS_timerfd_settime,
    SYS_ppoll,
    SYS_pselect6,
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_recvmmsg,
    SYS_sendto,
    SYS_sendmsg,
    SYS_sendmmsg,
    SYS_accept,
    SYS_accept4,
    SYS_bind,
    SYS_listen,
    SYS_connect,
    SYS_shutdown,
    SYS_socketpair,
    SYS_getsockopt,
    SYS_setsockopt,
    SYS_getsockname,
    SYS_getpeername,
    SYS_pipe2,
    SYS_splice,
    SYS_close,
    SYS_close_range,
    SYS_dup,
    SYS_dup3,
    SYS_fcntl,
    SYS_ioctl,
    /* files */
    SYS_openat,
    SYS_lseek,
    SYS_pread64,
    SYS_pwrite64,
    SYS_preadv,
    SYS_pwritev,
    SYS_fstat,
    SYS_newfstatat,
    SYS_statx,
    SYS_statfs,
    SYS_fstatfs,
    SYS_getdents64,
    SYS_readlinkat,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_getcwd,
    SYS_fsync,
    SYS_fdatasync,
    SYS_sync_file_range,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_fadvise64,
    SYS_copy_file_range,
    SYS_flock,
    SYS_mkdirat,
    SYS_unlinkat,
    SYS_renameat,
    SYS_renameat2,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_fchown,
    SYS_fchownat,
    SYS_utimensat,
    SYS_umask,
    SYS_memfd_create,
    /* memory, threads */
    SYS_brk,
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_msync,
    SYS_mlock,
    SYS_munlock,
    SYS_membarrier,
    SYS_futex,
    SYS_rseq,
    SYS_set_robust_list,
    SYS_get_robust_list,
    SYS_set_tid_address,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_sched_setaffinity,
    SYS_sched_getparam,
    SYS_sched_getscheduler,
    SYS_sched_get_priority_max,
    SYS_sched_get_priority_min,
    SYS_getcpu,
    SYS_exit,
    SYS_exit_group,
    /* time, signals, itself */
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_gettimeofday,
    SYS_getitimer,
    SYS_setitimer,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigtimedwait,
    SYS_rt_sigsuspend,
    SYS_rt_sigpending,
    SYS_sigaltstack,
    SYS_restart_syscall,
    SYS_getpid,
    SYS_getppid,
    SYS_gettid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_getgroups,
    SYS_getresuid,
    SYS_getresgid,
    SYS_getrusage,
    SYS_getrlimit,
    SYS_prlimit64,
    SYS_sysinfo,
    SYS_uname,
    SYS_times,
    SYS_getrandom,
    SYS_prctl,
    SYS_wait4,
    SYS_capget,
#ifdef __x86_64__ /* which newer processors' lists have not */
    SYS_epoll_wait,
    SYS_poll,
    SYS_select,
    SYS_open,
    SYS_stat,
    SYS_lstat,
    SYS_access,
    SYS_readlink,
    SYS_mkdir,
    SYS_rmdir,
    SYS_unlink,
    SYS_rename,
    SYS_chmod,
    SYS_chown,
    SYS_dup2,
    SYS_pipe,
    SYS_time,
    SYS_arch_prctl,
    SYS_utimes,
    SYS_epoll_create,
    SYS_eventfd,
#endif
};

enum { COUNT = sizeof allowed / sizeof *allowed, PROGRAM_MAX = 2 * COUNT + 80 };

struct program {
    struct sock_filter code[PROGRAM_MAX];
    unsigned short len;
};

static void add(struct program *p, uint16_t code, uint8_t yes, uint8_t no, uint32_t k) {
    p->code[p->len++] = (struct sock_filter){code, yes, no, k};
}

static void load(struct program *p, size_t offset) {
    add(p, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset);
}

static void answer(struct program *p, uint32_t verdict) {
    add(p, BPF_RET | BPF_K, 0, 0, verdict);
}

/* If the accumulator is `value`, the next instruction runs, else it is passed over. */
static void when(struct program *p, uint32_t value) {
    add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 1, value);
}

static void load_number(struct program *p) {
    load(p, offsetof(struct seccomp_data, nr));
}

/* The low half: both processors are little-endian. */
static void load_argument(struct program *p, int index) {
    load(p, offsetof(struct seccomp_data, args) + (size_t)index * sizeof(uint64_t));
}

static const uint32_t refused = SECCOMP_RET_ERRNO | EPERM;

/* A call that is passed over unless it is this one: `checks` more instructions follow. */
static unsigned short begin_call(struct program *p, int call) {
    load_number(p);
    add(p, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, (uint32_t)call);
    return (unsigned short)(p->len - 1);
}

static void end_call(struct program *p, unsigned short begun) {
    p->code[begun].jf = (uint8_t)(p->len - begun - 1);
}

static void add_threads(struct program *p) {
    unsigned short begun = begin_call(p, SYS_clone);
    load_argument(p, 0);
    add(p, BPF_JMP | BPF_JSET | BPF_K, 0, 1, CLONE_THREAD);
    answer(p, SECCOMP_RET_ALLOW);
    answer(p, refused);
    end_call(p, begun);
    begun = begin_call(p, SYS_clone3);
    answer(p, SECCOMP_RET_ERRNO | ENOSYS);
    end_call(p, begun);
}

static void add_sockets(struct program *p) {
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
    unsigned short begun = begin_call(p, SYS_socket);
    load_argument(p, 0);
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        when(p, (uint32_t)families[i]);
        answer(p, SECCOMP_RET_ALLOW);
    }
    answer(p, refused);
    end_call(p, begun);
}

static void add_memory(struct program *p, int call) {
    unsigned short begun = begin_call(p, call);
    load_argument(p, 2);
    add(p, BPF_ALU | BPF_AND | BPF_K, 0, 0, PROT_WRITE | PROT_EXEC);
    when(p, PROT_WRITE | PROT_EXEC);
    answer(p, refused);
    answer(p, SECCOMP_RET_ALLOW);
    end_call(p, begun);
}

static void add_signals(struct program *p, int call) {
    unsigned short begun = begin_call(p, call);
    load_argument(p, 0);
    when(p, (uint32_t)getpid());
    answer(p, SECCOMP_RET_ALLOW);
    answer(p, refused);
    end_call(p, begun);
}

static void write_program(struct program *p) {
    p->len = 0;
    load(p, offsetof(struct seccomp_data, arch));
    add(p, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ARCHITECTURE);
    answer(p, refused);
    load_number(p);
#ifdef __x86_64__ /* the x32 numbers of the same calls */
    add(p, BPF_JMP | BPF_JGE | BPF_K, 0, 1, 0x40000000);
    answer(p, refused);
#endif
    for (size_t i = 0; i < COUNT; i++) {
        when(p, (uint32_t)allowed[i]);
        answer(p, SECCOMP_RET_ALLOW);
    }
    add_threads(p);
    add_sockets(p);
    add_memory(p, SYS_mmap);
    add_memory(p, SYS_mprotect);
    add_signals(p, SYS_kill);
    add_signals(p, SYS_tgkill);
    answer(p, refused);
}

int confine_calls(void) {
    struct program p;
    write_program(&p);
    const struct sock_fprog program = {.len = p.len, .filter = p.code};
    /* TSYNC: all threads; it gives the id of one that could not follow */
    long result =
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
    return result < 0 ? -errno : result > 0 ? -EAGAIN : 0;
}

#else

int confine_calls(void) {
    return -ENOSYS;
}

#endif
