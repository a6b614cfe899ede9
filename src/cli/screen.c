/* screen.c - see screen.h. */
#include "cli/screen.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"

enum { DRAWN_MAX = 1 << 20 };

/* Alternate screen; no cursor; lines that are too long are cut, not wrapped. */
static const char enter[] = "\033[?1049h\033[?25l\033[?7l\033[2J";
static const char leave[] = "\033[0m\033[?7h\033[?25h\033[?1049l";

static const int deadly[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
enum { DEADLY = sizeof deadly / sizeof deadly[0] };

static struct {
    struct termios before;
    volatile sig_atomic_t on;
    bool registered;
    struct sigaction others[DEADLY]; /* who is told of deadly signals after us */
    struct buf drawn;                /* what it shows */
} screen;

static void write_all(const char *at, size_t len) {
    while (len) {
        ssize_t n = write(STDOUT_FILENO, at, len);
        if (n < 0 && errno != EINTR)
            return;
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
}

void screen_end(void) {
    int saved = errno;
    if (screen.on) {
        screen.on = 0;
        write_all(leave, sizeof leave - 1);
        tcsetattr(STDIN_FILENO, TCSANOW, &screen.before);
    }
    errno = saved;
}

static void on_deadly(int number) {
    screen_end();
    for (int i = 0; i < DEADLY; i++) {
        if (deadly[i] == number)
            sigaction(number, &screen.others[i], NULL);
    }
    raise(number); /* it comes when we return */
}

static void watch_deadly(void) {
    for (int i = 0; i < DEADLY; i++) {
        struct sigaction action = {.sa_handler = on_deadly};
        sigemptyset(&action.sa_mask);
        sigaction(deadly[i], &action, &screen.others[i]);
    }
}

static bool make_raw(void) {
    struct termios raw;
    if (tcgetattr(STDIN_FILENO, &screen.before) < 0)
        return false;
    raw = screen.before;
    raw.c_iflag &= ~(tcflag_t)(ICRNL | INLCR | IXON | ISTRIP | BRKINT);
    raw.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG | IEXTEN);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    return tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

bool screen_begin(void) {
    const char *term = getenv("TERM");
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return false;
    if (!term || !*term || !strcmp(term, "dumb")) {
        errno = ENOTSUP;
        return false;
    }
    if (!screen.registered) {
        buf_init(&screen.drawn, DRAWN_MAX);
        atexit(screen_end);
        watch_deadly();
        screen.registered = true;
    }
    if (!make_raw())
        return false;
    screen.on = 1;
    screen_forget();
    write_all(enter, sizeof enter - 1);
    return true;
}

void screen_suspend(void) {
    screen_end();
    raise(SIGSTOP);
    screen_begin();
}

void screen_size(unsigned *columns, unsigned *lines) {
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row;
    *columns = known ? size.ws_col : 80;
    *lines = known ? size.ws_row : 24;
}

void screen_forget(void) {
    buf_clear(&screen.drawn);
}

/* A line is emptied before it is written: behind a full one the cursor stands on its
 * last character. More lines than there are would scroll it all away. */
static void compose(struct buf *to, struct bytes text, bool cursor) {
    unsigned columns, lines, count = 0;
    struct bytes line;
    screen_size(&columns, &lines);
    buf_literal(to, "\033[?25l\033[H");
    while (count < lines && bytes_split(&text, '\n', &line)) {
        buf_string(to, count++ ? "\r\n\033[K" : "\033[K");
        buf_bytes(to, line);
    }
    if (count < lines)
        buf_literal(to, "\033[J");
    if (cursor)
        buf_literal(to, "\033[?25h");
}

void screen_draw(struct bytes text, bool cursor) {
    struct buf fresh;
    buf_init(&fresh, DRAWN_MAX);
    compose(&fresh, text, cursor);
    if (!fresh.failed && !bytes_equal(buf_view(&fresh), buf_view(&screen.drawn)))
        write_all(fresh.at, fresh.len);
    buf_free(&screen.drawn);
    screen.drawn = fresh;
}
