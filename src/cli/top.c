/* top.c - `switchgear top`: how the services do, live, in a terminal.
 *
 *   keys ──▶ view, prompt ──▶ a command ──┐
 *                                         ▼
 *   top_feed: answers, events ──▶ data ──▶ top_view: text ──▶ screen
 *
 * One loop does it all; whatever changes, the whole is drawn again, and the screen
 * writes only what differs from what it shows. */
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <switchgear/time.h>

#include "cli/admin_link.h"
#include "cli/commands.h"
#include "cli/keys.h"
#include "cli/screen.h"
#include "cli/terminal.h"
#include "cli/top_feed.h"
#include "cli/top_prompt.h"
#include "cli/top_view.h"
#include "loop/signals.h"

enum { ONCE = 'o', JSON = 'j', TEXT_MAX_BYTES = 4 << 20 };

#define ESCAPE_NS SWG_MS(50) /* so long what follows an ESC may take */
#define TICK_NS   SWG_SECONDS(1)

static const struct arg_option options[] = {
    {ONCE, 0, "once", NULL, "Prints what it would show, once, and exits: for pipes and scripts."},
    {JSON, 'j', "json", NULL,
     "What it would show, once, as one JSON document: health, services, queues, events."},
    ADMIN_OPTIONS,
    {0},
};

const struct command page_top = {
    .name = "top",
    .run = command_top,
    .summary = "how the services of a running gateway do, live",
    .synopsis = "[--once | --json]",
    .description =
        "The overall state, drills that are on, a line a service, and what has happened lately. A "
        "service's line has the state of its breaker, its condition, and, of the last half minute, "
        "calls a second, the share of them without a 5xx, the median and 99th percentile of their "
        "times; then who answers clients now (upstream, cache, a tier of the fallback chain, "
        "nobody), and the writes that wait in its queue, and dead letters after a plus.\n\n"
        "Changes show at once, figures every two seconds. When the gateway cannot be reached it "
        "says so, shows what was known, and goes on trying.\n\n"
        "Keys: the arrows, page up, page down, home and end select a service. o opens its breaker, "
        "c closes it, d disables it, r resets it; each asks for a reason, and all but r for how "
        "long. s sorts (problems first, name, calls, success, latency), / shows only names with "
        "some text, ? helps, q quits.\n\n"
        "Colours only on a terminal, and not where NO_COLOR is set.",
    .options = options,
    .exit_failed = "there is no terminal; with --once and --json: the gateway does not answer",
    .example = "switchgear top\n"
               "switchgear top --once | mail -s 'how it goes' ops@example.com",
};

struct top {
    struct loop *loop;
    struct admin_client client;
    struct admin_link link;
    struct top_feed feed;
    struct top_data data;
    struct top_view view;
    struct top_prompt prompt;
    struct keys keys;
    struct admin_ask command;
    struct io_watch input;
    struct io_timer escape, tick;
    struct loop_signals signals;
    char where[280];
    bool once, json;
    int result;
    int killed_by; /* a signal; 0: none */
};

/* ---- drawing ------------------------------------------------------------------------ */

static void say_lost(struct top *t) {
    uint64_t now_ns = io_now(loop_io(t->loop));
    char age[64] = "";
    *t->view.lost = '\0';
    if (!*t->feed.lost)
        return;
    if (t->feed.known_ns)
        snprintf(age, sizeof age, "; this is how it was %llus ago",
                 (unsigned long long)((now_ns - t->feed.known_ns) / SWG_SECONDS(1)));
    snprintf(t->view.lost, sizeof t->view.lost, "no answer from %s: %s; trying again%s", t->where,
             t->feed.lost, age);
}

static void draw(struct top *t) {
    struct buf text;
    bool asks = t->prompt.step != PROMPT_NONE;
    say_lost(t);
    t->view.question = asks ? t->prompt.question : NULL;
    t->view.input = t->prompt.input;
    screen_size(&t->view.columns, &t->view.lines);
    buf_init(&text, TEXT_MAX_BYTES);
    top_view_draw(&t->view, &t->data, &text);
    screen_draw(buf_view(&text), asks);
    buf_free(&text);
}

static void on_news(struct top_feed *f) {
    draw(container_of(f, struct top, feed));
}

static void on_tick(struct io_timer *timer) {
    struct top *t = container_of(timer, struct top, tick);
    io_timer_set(loop_io(t->loop), timer, io_now(loop_io(t->loop)) + TICK_NS);
    draw(t);
}

/* ---- commands --------------------------------------------------------------------------- */

static void tell(struct top *t, bool bad, const char *service, const char *text) {
    snprintf(t->view.message, sizeof t->view.message, "%s: %s", service, text);
    t->view.bad = bad;
}

static void on_commanded(struct admin_ask *a, int status, struct bytes body, const char *why) {
    struct top *t = container_of(a, struct top, command);
    char text[200];
    bool good = status >= 200 && status < 300;
    if (!status)
        snprintf(text, sizeof text, "%s", why);
    else if (!top_answer_text(body, good ? "state" : "detail", text, sizeof text))
        snprintf(text, sizeof text, "%d %s", status, http_status_reason(status));
    tell(t, !good, t->prompt.service, text);
    top_feed_kick(&t->feed);
    draw(t);
}

static void send_command(struct top *t) {
    struct buf path, body;
    buf_init(&path, 4096);
    buf_init(&body, 65536);
    top_prompt_request(&t->prompt, &path, &body);
    if (!path.failed && !body.failed)
        admin_ask_begin(&t->command, "POST", path.at, "Accept: application/json\r\n",
                        buf_view(&body), t->client.timeout_ns);
    buf_free(&path);
    buf_free(&body);
}

static void begin_command(struct top *t, enum top_verb verb) {
    const struct top_service *s = top_view_selected(&t->view, &t->data);
    if (t->command.under_way)
        tell(t, true, t->prompt.service, "the last command has not been answered yet");
    else if (s)
        top_prompt_command(&t->prompt, verb, s->name);
}

/* ---- keys ----------------------------------------------------------------------------------- */

static void quit(struct top *t) {
    loop_stop(t->loop);
}

static void set_filter(struct top *t, const char *text) {
    snprintf(t->view.filter, sizeof t->view.filter, "%.64s", text);
    t->view.top = 0;
}

/* The filter works as it is typed. */
static void key_to_prompt(struct top *t, const struct key_event *e) {
    bool filter = t->prompt.step == PROMPT_FILTER;
    enum prompt_result result = top_prompt_key(&t->prompt, e);
    if (filter)
        set_filter(t, result == PROMPT_GIVEN_UP ? "" : t->prompt.input);
    if (result == PROMPT_GOES_ON)
        return;
    t->prompt.step = PROMPT_NONE;
    if (result == PROMPT_DONE && !filter)
        send_command(t);
}

static void letter(struct top *t, char c) {
    switch (c) {
    case 'q':
        quit(t);
        break;
    case 'o':
        begin_command(t, TOP_OPEN);
        break;
    case 'c':
        begin_command(t, TOP_CLOSE);
        break;
    case 'd':
        begin_command(t, TOP_DISABLE);
        break;
    case 'r':
        begin_command(t, TOP_RESET);
        break;
    case 's':
        t->view.sort = (enum top_sort)((t->view.sort + 1) % SORT_COUNT);
        break;
    case '/':
        top_prompt_filter(&t->prompt, t->view.filter);
        break;
    case '?':
        t->view.help = true;
        break;
    default:
        break;
    }
}

static void key_to_table(struct top *t, const struct key_event *e) {
    int page = t->view.page > 1 ? (int)t->view.page - 1 : 1;
    switch (e->key) {
    case KEY_UP:
        top_view_move(&t->view, &t->data, -1);
        break;
    case KEY_DOWN:
        top_view_move(&t->view, &t->data, 1);
        break;
    case KEY_PAGE_UP:
        top_view_move(&t->view, &t->data, -page);
        break;
    case KEY_PAGE_DOWN:
        top_view_move(&t->view, &t->data, page);
        break;
    case KEY_HOME:
        top_view_move(&t->view, &t->data, -TOP_SERVICES_MAX);
        break;
    case KEY_END:
        top_view_move(&t->view, &t->data, TOP_SERVICES_MAX);
        break;
    case KEY_ESCAPE:
        set_filter(t, "");
        break;
    case KEY_TEXT:
        letter(t, e->text[0]);
        break;
    default:
        break;
    }
}

static void on_key(struct top *t, const struct key_event *e) {
    if (e->key == KEY_SUSPEND) {
        screen_suspend();
    } else if (e->key == KEY_REDRAW) {
        screen_forget();
    } else if (t->prompt.step != PROMPT_NONE) {
        key_to_prompt(t, e);
    } else if (e->key == KEY_INTERRUPT) {
        quit(t);
    } else {
        *t->view.message = '\0';
        if (t->view.help)
            t->view.help = false;
        else
            key_to_table(t, e);
    }
}

static void on_escape(struct io_timer *timer) {
    struct top *t = container_of(timer, struct top, escape);
    struct key_event e;
    if (keys_idle(&t->keys, &e))
        on_key(t, &e);
    draw(t);
}

/* Nothing to read though there is something: the terminal has gone. */
static void on_input(struct io_watch *w, uint32_t events) {
    struct top *t = container_of(w, struct top, input);
    struct io *io = loop_io(t->loop);
    char bytes[256];
    struct key_event e;
    ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
    if ((n == 0 && events & (EPOLLHUP | EPOLLERR)) || (n < 0 && errno != EAGAIN && errno != EINTR))
        quit(t);
    for (ssize_t i = 0; i < n; i++) {
        if (keys_feed(&t->keys, bytes[i], &e))
            on_key(t, &e);
    }
    io_timer_set(io, &t->escape, keys_waits(&t->keys) ? io_now(io) + ESCAPE_NS : UINT64_MAX);
    draw(t);
}

/* ---- signals ------------------------------------------------------------------------------------
 */

static void on_signal(struct loop_signals *s, const struct signalfd_siginfo *info) {
    struct top *t = container_of(s, struct top, signals);
    int number = (int)info->ssi_signo;
    if (number == SIGTSTP) {
        screen_suspend();
        draw(t);
    } else if (number == SIGCONT) { /* whoever had the terminal meanwhile has changed it */
        screen_end();
        screen_begin();
        draw(t);
    } else if (number == SIGWINCH) {
        screen_forget();
        draw(t);
    } else {
        t->killed_by = number;
        quit(t);
    }
}

static void which_signals(sigset_t *set) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH};
    sigemptyset(set);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        sigaddset(set, numbers[i]);
}

/* Ends as that signal ends others, so that the shell sees what it was. */
static void end_by(int number) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    signal(number, SIG_DFL);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* ---- live
 * ------------------------------------------------------------------------------------------ */

static bool begin_live(struct top *t) {
    struct io *io = loop_io(t->loop);
    sigset_t set;
    which_signals(&set);
    loop_signals_init(&t->signals, on_signal);
    io_watch_init(&t->input, on_input);
    io_timer_init(&t->escape, on_escape);
    io_timer_init(&t->tick, on_tick);
    admin_ask_init(&t->command, &t->link);
    t->command.on_end = on_commanded;
    if (loop_signals_open(&t->signals, t->loop, &set) < 0 ||
        io_watch_start(io, &t->input, STDIN_FILENO, EPOLLIN) < 0)
        return false;
    io_timer_set(io, &t->tick, io_now(io) + TICK_NS);
    return screen_begin();
}

static void end_live(struct top *t) {
    screen_end();
    admin_ask_cancel(&t->command);
    io_timer_clear(loop_io(t->loop), &t->tick);
    io_timer_clear(loop_io(t->loop), &t->escape);
    io_watch_stop(&t->input);
    loop_signals_close(&t->signals);
}

static int run_live(struct top *t) {
    sigset_t set;
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        fputs("switchgear top: this is no terminal; --once prints what it would show\n", stderr);
        return EXIT_FAILED;
    }
    which_signals(&set);
    loop_signals_block(&set, NULL);
    bool begun = begin_live(t);
    int error = errno;
    if (begun) {
        t->feed.on_news = on_news;
        top_feed_begin(&t->feed);
        draw(t);
        loop_run(t->loop);
        top_feed_end(&t->feed);
    }
    end_live(t);
    if (!begun)
        fprintf(stderr, "switchgear top: the terminal cannot be used (%s); --once prints lines\n",
                error == ENOTSUP ? "TERM is not set, or dumb" : strerror(error));
    if (t->killed_by)
        end_by(t->killed_by);
    return begun ? EXIT_DONE : EXIT_FAILED;
}

/* ---- once
 * -------------------------------------------------------------------------------------------- */

static void print_frame(struct top *t) {
    struct buf text;
    unsigned lines;
    screen_size(&t->view.columns, &lines);
    if (!isatty(STDOUT_FILENO))
        t->view.columns = 120;
    t->view.lines = 0;
    buf_init(&text, TEXT_MAX_BYTES);
    top_view_draw(&t->view, &t->data, &text);
    fwrite(text.at, 1, text.len, stdout);
    buf_free(&text);
}

static void print_json(struct top *t) {
    char *text = top_round_text(&t->feed.answer);
    if (text)
        puts(text);
    free(text);
}

static void on_round(struct top_feed *f) {
    struct top *t = container_of(f, struct top, feed);
    t->result = EXIT_FAILED;
    if (*f->lost) {
        fprintf(stderr, "switchgear top: no answer from %s (%s): %s\n", t->where, t->client.source,
                f->lost);
    } else {
        if (t->json)
            print_json(t);
        else
            print_frame(t);
        t->result = fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
    }
    quit(t);
}

static int run_once(struct top *t) {
    t->feed.once = true;
    t->feed.on_news = on_round;
    top_feed_begin(&t->feed);
    loop_run(t->loop);
    top_feed_end(&t->feed);
    return t->result;
}

/* ---- the command
 * -------------------------------------------------------------------------------------- */

static int run(struct top *t) {
    if (loop_create(&t->loop) < 0) {
        fputs("switchgear top: out of memory or descriptors\n", stderr);
        return EXIT_FAILED;
    }
    setlocale(LC_CTYPE, "C.UTF-8"); /* how wide characters are: paint.h */
    snprintf(t->where, sizeof t->where, "%s:%s", t->client.host, t->client.port);
    t->view.where = t->where;
    t->view.colours = terminal_has_colours(stdout);
    t->link = (struct admin_link){.client = &t->client, .io = loop_io(t->loop)};
    t->feed.link = &t->link;
    t->feed.data = &t->data;
    int result = t->once || t->json ? run_once(t) : run_live(t);
    top_data_free(&t->data);
    loop_destroy(t->loop);
    return result;
}

int command_top(int argc, char **argv) {
    static struct top t; /* too large for the stack of a careful program */
    struct args args;
    admin_client_init(&t.client, page_top.name);
    args_begin(&args, &page_top, argc, argv);
    for (int id; (id = args_next(&args)) != ARGS_END;) {
        t.once |= id == ONCE;
        t.json |= id == JSON;
        admin_client_option(&t.client, &args, id);
    }
    if (!args_done(&args) || !admin_client_settle(&t.client))
        return EXIT_USAGE;
    return run(&t);
}
