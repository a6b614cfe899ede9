/* top_feed.c - see top_feed.h. */
#include "cli/top_feed.h"

#include <stdio.h>

#include <switchgear/time.h>

enum { LINE_MAX_BYTES = 256 << 10 };

#define EVERY_NS   SWG_SECONDS(2)
#define SOON_NS    SWG_MS(150)
#define SILENCE_NS SWG_SECONDS(5)  /* of an answer */
#define HEARTBEATS SWG_SECONDS(40) /* of events: there is one every 15 s */
#define RETRY_NS   SWG_SECONDS(1)
#define FOLLOW_NS  SWG_SECONDS(5)

static void follow(struct top_feed *);

/* ---- rounds ----------------------------------------------------------------------- */

static void ask(struct top_feed *f) {
    static const char *const paths[TOP_ANSWERS] = {
        "/health", "/api/v1/services", "/api/v1/outbox/summary", "/api/v1/events?limit=100"};
    admin_ask_begin(&f->poll, "GET", paths[f->step], "Accept: application/json\r\n",
                    (struct bytes){0}, SILENCE_NS);
}

static void begin_round(struct top_feed *f) {
    f->step = TOP_HEALTH;
    f->kicked = false;
    ask(f);
}

static void on_next(struct io_timer *t) {
    begin_round(container_of(t, struct top_feed, next));
}

static void again_in(struct top_feed *f, uint64_t ns) {
    io_timer_set(f->link->io, &f->next, io_now(f->link->io) + ns);
}

/* Events are read anew when there is a connection again: those of a gateway that was
 * started meanwhile have numbers of their own. */
static void lose(struct top_feed *f, const char *why) {
    uint64_t wait = RETRY_NS << (f->failures < 2 ? f->failures : 2);
    f->failures++;
    f->recent_known = false;
    f->link->len = 0;
    admin_ask_cancel(&f->follow);
    io_timer_clear(f->link->io, &f->next_follow);
    top_round_free(&f->round);
    snprintf(f->lost, sizeof f->lost, "%s", why);
    again_in(f, wait);
    f->on_news(f);
}

static void end_round(struct top_feed *f) {
    if (!top_data_follow(f->data, &f->round)) {
        lose(f, "out of memory");
        return;
    }
    f->failures = 0;
    *f->lost = '\0';
    f->known_ns = io_now(f->link->io);
    f->recent_known |= f->round.answers[TOP_RECENT] != NULL;
    f->answer = f->round;
    f->round = (struct top_round){0};
    if (!f->once) {
        top_round_free(&f->answer);
        again_in(f, f->kicked ? SOON_NS : EVERY_NS);
        if (!f->follow.under_way && f->next_follow.due_ns == UINT64_MAX)
            follow(f);
    }
    f->on_news(f);
}

/* What the API says about a refusal, else its number. */
static void refused(struct top_feed *f, int status, struct bytes body) {
    char detail[160], why[200];
    if (!top_answer_text(body, "detail", detail, sizeof detail))
        snprintf(detail, sizeof detail, "%s", http_status_reason(status));
    snprintf(why, sizeof why, "%d, %s", status, detail);
    lose(f, why);
}

/* The outbox and the events may be missing; 503 is how /health says CRITICAL. */
static void on_answer(struct admin_ask *a, int status, struct bytes body, const char *why) {
    struct top_feed *f = container_of(a, struct top_feed, poll);
    bool needed = f->step == TOP_HEALTH || f->step == TOP_SERVICES;
    bool good = status == 200 || (status == 503 && f->step == TOP_HEALTH);
    bool taken = good && top_round_take(&f->round, f->step, body);
    if (!status) {
        lose(f, why);
    } else if (needed && !taken) {
        refused(f, status, body);
    } else {
        do
            f->step++;
        while (f->step == TOP_RECENT && f->recent_known);
        if (f->step == TOP_ANSWERS)
            end_round(f);
        else
            ask(f);
    }
}

void top_feed_kick(struct top_feed *f) {
    f->kicked = true;
    if (!f->poll.under_way && !*f->lost)
        again_in(f, SOON_NS);
}

/* ---- events ------------------------------------------------------------------------ */

/* The data of one of our events is one line; its number is in it. */
static void on_line(struct top_feed *f, struct bytes line) {
    if (bytes_starts(line, BYTES("event: gap"))) {
        f->recent_known = false;
    } else if (bytes_starts(line, BYTES("data: "))) {
        top_data_event(f->data, (struct bytes){line.at + 6, line.len - 6});
        top_feed_kick(f);
        f->on_news(f);
    }
}

static void on_piece(struct admin_ask *a, struct bytes piece) {
    struct top_feed *f = container_of(a, struct top_feed, follow);
    for (size_t i = 0; i < piece.len; i++) {
        if (piece.at[i] != '\n') {
            buf_char(&f->line, piece.at[i]);
            continue;
        }
        if (!f->line.failed)
            on_line(f, buf_view(&f->line));
        buf_clear(&f->line);
    }
}

/* Polling goes on; if it is the gateway that has gone, that shows there. */
static void on_follow_end(struct admin_ask *a, int status, struct bytes body, const char *why) {
    struct top_feed *f = container_of(a, struct top_feed, follow);
    (void)body;
    (void)why;
    f->recent_known = false;
    io_timer_set(f->link->io, &f->next_follow,
                 io_now(f->link->io) + (status && status != 200 ? FOLLOW_NS : RETRY_NS));
    top_feed_kick(f);
}

static void on_next_follow(struct io_timer *t) {
    struct top_feed *f = container_of(t, struct top_feed, next_follow);
    if (!*f->lost)
        follow(f);
}

static void follow(struct top_feed *f) {
    char fields[96];
    const struct top_data *d = f->data;
    uint64_t last = d->event_count ? d->events[d->event_count - 1].sequence : 0;
    snprintf(fields, sizeof fields, "Accept: text/event-stream\r\nLast-Event-ID: %llu\r\n",
             (unsigned long long)last);
    buf_clear(&f->line);
    io_timer_clear(f->link->io, &f->next_follow);
    admin_ask_begin(&f->follow, "GET", "/api/v1/events", fields, (struct bytes){0}, HEARTBEATS);
}

/* ---- life ---------------------------------------------------------------------------- */

void top_feed_begin(struct top_feed *f) {
    admin_ask_init(&f->poll, f->link);
    admin_ask_init(&f->follow, f->link);
    f->poll.on_end = on_answer;
    f->follow.on_piece = on_piece;
    f->follow.on_end = on_follow_end;
    io_timer_init(&f->next, on_next);
    io_timer_init(&f->next_follow, on_next_follow);
    buf_init(&f->line, LINE_MAX_BYTES);
    begin_round(f);
}

void top_feed_end(struct top_feed *f) {
    admin_ask_cancel(&f->poll);
    admin_ask_cancel(&f->follow);
    io_timer_clear(f->link->io, &f->next);
    io_timer_clear(f->link->io, &f->next_follow);
    top_round_free(&f->round);
    top_round_free(&f->answer);
    buf_free(&f->line);
}
