/* top_view.c - see top_view.h. */
#include "cli/top_view.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/paint.h"
#include "cli/top_order.h"

enum { NAME_MIN = 8, NAME_MAX = 32, NOTE_MIN = 12, EVENTS_MAX = 10, ONCE_EVENTS = 10 };

const char *top_sort_word(enum top_sort sort) {
    static const char *const words[SORT_COUNT] = {"problems", "name", "calls", "success",
                                                  "latency"};
    return words[sort];
}

/* ---- the selection ------------------------------------------------------------------ */

static uint32_t selected_index(const struct top_view *v, const struct top_service **all,
                               uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (!strcmp(all[i]->name, v->selected))
            return i;
    }
    return 0;
}

static uint32_t moved(uint32_t at, int lines, uint32_t count) {
    int64_t to = (int64_t)at + lines;
    return to < 0 ? 0 : to >= (int64_t)count ? count - 1 : (uint32_t)to;
}

void top_view_move(struct top_view *v, const struct top_data *d, int lines) {
    uint32_t count;
    const struct top_service **all = top_order(v, d, &count);
    if (all && count)
        snprintf(v->selected, sizeof v->selected, "%s",
                 all[moved(selected_index(v, all, count), lines, count)]->name);
    free(all);
}

const struct top_service *top_view_selected(const struct top_view *v, const struct top_data *d) {
    uint32_t count;
    const struct top_service **all = top_order(v, d, &count), *found = NULL;
    if (all && count)
        found = all[selected_index(v, all, count)];
    free(all);
    return found;
}

/* ---- the top -------------------------------------------------------------------------- */

static enum colour status_colour(const char *status) {
    return !strcmp(status, "HEALTHY")    ? COLOUR_GREEN
           : !strcmp(status, "DEGRADED") ? COLOUR_YELLOW
                                         : COLOUR_RED;
}

/* "3s", "4m12s", "2h03m", "5d04h" */
static void write_age(char out[32], double seconds) {
    unsigned long s = seconds > 0 ? (unsigned long)seconds : 0;
    if (s < 60)
        snprintf(out, 32, "%lus", s);
    else if (s < 3600)
        snprintf(out, 32, "%lum%02lus", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, 32, "%luh%02lum", s / 3600, s / 60 % 60);
    else
        snprintf(out, 32, "%lud%02luh", s / 86400, s / 3600 % 24);
}

static void draw_overall(struct paint *p, const struct top_view *v, const struct top_data *d) {
    char age[32];
    unsigned where = paint_width(v->where);
    paint_text(p, status_colour(d->status), *d->status ? d->status : "unknown");
    paint_format(p, COLOUR_NONE, "  %u of %u services work", d->working, d->service_count);
    write_age(age, d->uptime_s);
    if (d->uptime_s >= 0)
        paint_format(p, COLOUR_NONE, ", up %s", age);
    if (d->draining)
        paint_text(p, COLOUR_YELLOW, ", draining");
    if (v->lines && p->column + where + 2 < p->columns) {
        paint_until(p, p->columns - where);
        paint_text(p, COLOUR_DIM, v->where);
    }
}

static unsigned draw_banners(struct paint *p, const struct top_view *v, const struct top_data *d) {
    unsigned lines = 0;
    if (*v->lost) {
        paint_text(p, COLOUR_RED, v->lost);
        paint_end_line(p);
        lines++;
    }
    if (*d->emergency) {
        paint_text(p, COLOUR_RED, d->emergency);
        paint_end_line(p);
        lines++;
    }
    for (uint32_t i = 0; i < d->drill_count; i++, lines++) {
        paint_format(p, COLOUR_YELLOW, "drill: %s", d->drills[i].text);
        paint_end_line(p);
    }
    return lines;
}

/* ---- the table ------------------------------------------------------------------------- */

enum column { NAME, STATE, CONDITION, CALLS, OK, P50, P99, ANSWERS, QUEUE, NOTE, COLUMN_COUNT };

/* Which go first where the screen is narrow: those with the highest number. */
static const struct {
    const char *heading;
    unsigned width, gives_way;
    bool right;
} columns[COLUMN_COUNT] = {
    [NAME] = {"SERVICE", NAME_MIN, 0, false},
    [STATE] = {"STATE", 13, 0, false},
    [CONDITION] = {"CONDITION", 9, 4, false},
    [CALLS] = {"CALLS/S", 8, 2, true},
    [OK] = {"OK", 6, 1, true},
    [P50] = {"P50", 6, 8, true},
    [P99] = {"P99", 6, 5, true},
    [ANSWERS] = {"ANSWERS", 11, 3, false},
    [QUEUE] = {"QUEUE", 6, 6, true},
    [NOTE] = {"", NOTE_MIN, 7, false},
};

struct widths {
    unsigned of[COLUMN_COUNT]; /* 0: not shown */
};

static unsigned total(const struct widths *w) {
    unsigned sum = 0;
    for (int c = 0; c < COLUMN_COUNT; c++)
        sum += w->of[c] ? w->of[c] + 2 : 0;
    return sum;
}

static int next_to_go(const struct widths *w) {
    int next = -1;
    for (int c = 0; c < COLUMN_COUNT; c++) {
        if (w->of[c] && columns[c].gives_way &&
            (next < 0 || columns[c].gives_way > columns[next].gives_way))
            next = c;
    }
    return next;
}

/* As much of the names as there are; what is left over is the note's. */
static struct widths fit(unsigned screen, const struct top_service **all, uint32_t count) {
    struct widths w;
    for (int c = 0; c < COLUMN_COUNT; c++)
        w.of[c] = columns[c].width;
    for (uint32_t i = 0; i < count; i++) {
        unsigned width = paint_width(all[i]->name);
        width = width > NAME_MAX ? NAME_MAX : width;
        w.of[NAME] = width > w.of[NAME] ? width : w.of[NAME];
    }
    for (int c; total(&w) > screen && (c = next_to_go(&w)) >= 0;)
        w.of[c] = 0;
    if (w.of[NOTE])
        w.of[NOTE] += screen - total(&w);
    return w;
}

static void draw_headings(struct paint *p, const struct widths *w) {
    for (int c = 0; c < COLUMN_COUNT; c++) {
        if (!w->of[c])
            continue;
        paint_text(p, COLOUR_NONE, "  ");
        paint_cell(p, COLOUR_DIM, w->of[c], columns[c].right, columns[c].heading);
    }
    paint_end_line(p);
}

static enum colour state_colour(const char *state) {
    if (!strcmp(state, "closed"))
        return COLOUR_GREEN;
    return !strcmp(state, "open") || !strcmp(state, "forced_open") ? COLOUR_RED : COLOUR_YELLOW;
}

static enum colour condition_colour(const char *condition) {
    return !strcmp(condition, "working") ? COLOUR_NONE
           : !strcmp(condition, "down")  ? COLOUR_RED
                                         : COLOUR_YELLOW;
}

/* "31ms", "1.2s" */
static void write_latency(char out[16], double ms) {
    if (ms < 0)
        out[0] = '\0';
    else if (ms < 10)
        snprintf(out, 16, "%.1fms", ms);
    else if (ms < 1000)
        snprintf(out, 16, "%.0fms", ms);
    else
        snprintf(out, 16, "%.1fs", ms / 1000);
}

/* Rounded down: 100% is all of them. */
static void write_share(char out[16], double share) {
    if (share < 0)
        snprintf(out, 16, "-");
    else
        snprintf(out, 16, "%.4g%%", (double)(int)(share * 1000) / 10);
}

static void write_queue(char out[32], const struct top_service *s) {
    out[0] = '\0';
    if (s->queued || s->dead)
        snprintf(out, 32, s->dead ? "%lu+%lu" : "%lu", s->queued, s->dead);
}

static enum colour cell_of(enum column c, const struct top_service *s, char out[256]) {
    out[0] = '\0';
    switch (c) {
    case NAME:
        snprintf(out, 256, "%s", s->name);
        return s->critical ? COLOUR_BOLD : COLOUR_NONE;
    case STATE:
        snprintf(out, 256, "%s", s->state);
        return state_colour(s->state);
    case CONDITION:
        snprintf(out, 256, "%s", s->condition);
        return condition_colour(s->condition);
    case CALLS:
        snprintf(out, 256, s->per_second < 100 ? "%.1f" : "%.0f", s->per_second);
        return COLOUR_NONE;
    case OK:
        write_share(out, s->success);
        return s->success >= 0 && s->success < 0.99 ? COLOUR_YELLOW : COLOUR_NONE;
    case P50:
        write_latency(out, s->p50_ms);
        return COLOUR_NONE;
    case P99:
        write_latency(out, s->p99_ms);
        return COLOUR_NONE;
    case ANSWERS:
        snprintf(out, 256, "%s", s->answering);
        return *s->answering && strcmp(s->answering, "upstream") != 0 ? COLOUR_YELLOW : COLOUR_NONE;
    case QUEUE:
        write_queue(out, s);
        return s->dead ? COLOUR_RED : COLOUR_YELLOW;
    case NOTE:
        snprintf(out, 256, "%s", s->note);
        return COLOUR_NONE;
    case COLUMN_COUNT:
        break;
    }
    return COLOUR_NONE;
}

static void draw_service(struct paint *p, const struct widths *w, const struct top_service *s,
                         bool marked) {
    p->marked = marked;
    for (int c = 0; c < COLUMN_COUNT; c++) {
        char text[256];
        enum colour colour = cell_of((enum column)c, s, text);
        if (!w->of[c])
            continue;
        paint_text(p, COLOUR_NONE, c == NAME && marked ? "> " : "  ");
        paint_cell(p, colour, w->of[c], columns[c].right, text);
    }
    paint_end_line(p);
}

/* The selected one is always among those that are shown. */
static void scroll(struct top_view *v, uint32_t selected, uint32_t count, uint32_t page) {
    v->page = page;
    if (selected < v->top)
        v->top = selected;
    if (selected >= v->top + page)
        v->top = selected + 1 - page;
    if (v->top + page > count)
        v->top = count > page ? count - page : 0;
}

/* `page`: lines that it may take; those that are left are empty. */
static void draw_table(struct paint *p, struct top_view *v, const struct top_data *d,
                       uint32_t page) {
    uint32_t count;
    const struct top_service **all = top_order(v, d, &count);
    struct widths w = fit(p->columns, all, all ? count : 0);
    uint32_t selected = selected_index(v, all, count);
    if (v->lines)
        scroll(v, selected, count, page);
    draw_headings(p, &w);
    for (uint32_t i = 0; i < (v->lines ? page : count); i++) {
        uint32_t at = v->lines ? v->top + i : i;
        if (at < count)
            draw_service(p, &w, all[at], v->lines && at == selected);
        else if (!i && !count)
            paint_text(p, COLOUR_DIM, *v->filter ? "  no service is named so" : "  no services");
        if (at >= count)
            paint_end_line(p);
    }
    free(all);
}

/* What there may be no room for in the table. */
static void draw_detail(struct paint *p, const struct top_view *v, const struct top_data *d) {
    const struct top_service *s = top_view_selected(v, d);
    if (s)
        paint_format(p, COLOUR_DIM, "  %s: %s%s%s", s->name, s->note, *s->note ? "; " : "",
                     s->calls);
    paint_end_line(p);
}

/* ---- events ------------------------------------------------------------------------------- */

static void draw_events(struct paint *p, const struct top_data *d, uint32_t room) {
    uint32_t shown = d->event_count < room ? d->event_count : room;
    for (uint32_t i = d->event_count - shown; i < d->event_count; i++) {
        const struct top_event *e = &d->events[i];
        bool open = strstr(e->text, "closed to open") != NULL;
        paint_format(p, COLOUR_DIM, "%s ", e->time);
        paint_format(p, COLOUR_NONE, "%s ", e->kind);
        paint_format(p, COLOUR_BOLD, "%s%s", e->service, *e->service ? " " : "");
        paint_text(p, open ? COLOUR_RED : COLOUR_NONE, e->text);
        paint_end_line(p);
    }
    for (uint32_t i = shown; i < room; i++)
        paint_end_line(p);
}

/* ---- the last line --------------------------------------------------------------------------- */

static void draw_keys(struct paint *p, const struct top_view *v) {
    paint_text(p, COLOUR_DIM, "q quit  o open  c close  r reset  d disable  ? help  s sort: ");
    paint_text(p, COLOUR_NONE, top_sort_word(v->sort));
    paint_text(p, COLOUR_DIM, "  / filter");
    if (*v->filter)
        paint_format(p, COLOUR_YELLOW, ": %s", v->filter);
}

/* The end of a long answer is what is being typed. */
static void draw_question(struct paint *p, const struct top_view *v) {
    const char *input = v->input;
    paint_text(p, COLOUR_BOLD, v->question);
    paint_text(p, COLOUR_NONE, " ");
    while (p->column + paint_width(input) + 1 >= p->columns && *input) {
        input++;
        while ((*input & 0xc0) == 0x80)
            input++;
    }
    paint_text(p, COLOUR_NONE, input);
}

static void draw_last(struct paint *p, const struct top_view *v) {
    if (v->question)
        draw_question(p, v);
    else if (*v->message)
        paint_text(p, v->bad ? COLOUR_RED : COLOUR_GREEN, v->message);
    else
        draw_keys(p, v);
}

/* ---- help -------------------------------------------------------------------------------------
 */

static void draw_help(struct paint *p, unsigned lines) {
    static const char *const text[] = {
        "up, down, page up, page down, home, end   select a service",
        "o   open: refuse all calls, for some time or until reset",
        "c   close: let all calls through, for some time",
        "d   disable: take the breaker out of use, for some time",
        "r   reset: end manual control, clear the window, and close",
        "    each asks for a reason; it is kept in the history",
        "s   sort by problems, name, calls, success, latency",
        "/   filter by name; Esc ends it",
        "q   quit",
        "",
        "OK is the share of requests without a 5xx, of the last half minute, as are calls and",
        "latencies. ANSWERS is who answers clients now. QUEUE is writes that wait, + dead letters.",
        "Any key goes back.",
    };
    for (unsigned i = 0; i < lines; i++) {
        if (i < sizeof text / sizeof text[0])
            paint_text(p, COLOUR_NONE, text[i]);
        paint_end_line(p);
    }
}

/* ---- the whole
 * ----------------------------------------------------------------------------------- */

/* Above it all: overall state, banners, an empty line and the headings; below it a line
 * about the selected service, the events, and the last line. */
static void draw_screen(struct paint *p, struct top_view *v, const struct top_data *d,
                        unsigned above) {
    unsigned rest = v->lines > above + 4 ? v->lines - above - 4 : 1;
    unsigned wanted = d->service_count ? d->service_count : 1;
    unsigned events = rest / 3 < EVENTS_MAX ? rest / 3 : EVENTS_MAX;
    if (rest > wanted + events)
        events = rest - wanted;
    paint_end_line(p);
    if (v->help) {
        draw_help(p, rest + 2);
    } else {
        draw_table(p, v, d, rest - events);
        draw_detail(p, v, d);
        draw_events(p, d, events);
    }
    draw_last(p, v);
}

static void draw_once(struct paint *p, struct top_view *v, const struct top_data *d) {
    uint32_t events = d->event_count < ONCE_EVENTS ? d->event_count : ONCE_EVENTS;
    paint_end_line(p);
    draw_table(p, v, d, 0);
    if (events)
        paint_end_line(p);
    draw_events(p, d, events);
}

void top_view_draw(struct top_view *v, const struct top_data *d, struct buf *to) {
    struct paint p = {.to = to, .columns = v->columns, .colours = v->colours};
    unsigned above = 1;
    if (d->known)
        draw_overall(&p, v, d);
    else
        paint_format(&p, COLOUR_DIM, "asking %s", v->where);
    paint_end_line(&p);
    above += draw_banners(&p, v, d);
    if (v->lines)
        draw_screen(&p, v, d, above);
    else
        draw_once(&p, v, d);
}
