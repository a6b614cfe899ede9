/* top_view.h - what `switchgear top` shows, as lines of text.
 *
 *     HEALTHY  3 of 3 services work, up 5m12s                  127.0.0.1:9797
 *     drill: payments: error 503 for 30%, 4m12s left, 17 hits, by ada: game day
 *       SERVICE    STATE    CONDITION  CALLS/S     OK    P99  ANSWERS   QUEUE
 *     > payments   closed   working       12.4   100%   31ms  upstream
 *       …
 *     12:30:05 state_change payments open to half_open
 *     q quit  o open  …
 *
 * Pure: data and view in, text out. Nothing but the selected line and a word or two
 * depends on colours. Threading: none. */
#ifndef SWG_CLI_TOP_VIEW_H
#define SWG_CLI_TOP_VIEW_H

#include "base/buf.h"
#include "cli/top_data.h"

enum top_sort { SORT_PROBLEMS, SORT_NAME, SORT_CALLS, SORT_SUCCESS, SORT_LATENCY, SORT_COUNT };

enum { TOP_FILTER_MAX = 64, TOP_MESSAGE_MAX = 640 };

struct top_view {
    const char *where; /* host and port */
    bool colours;
    unsigned columns, lines; /* lines 0: as many as it takes, without keys */
    enum top_sort sort;
    char filter[TOP_FILTER_MAX + 1];
    char selected[65]; /* by name: it stays although the order changes; "": the first */
    uint32_t top;      /* the first line of the table that is shown */
    uint32_t page;     /* lines of the table, as last drawn */
    bool help;
    /* What stands on the last line: a question that is being answered … */
    const char *question; /* NULL: none */
    const char *input;
    /* … or else what came of the last command. */
    char message[TOP_MESSAGE_MAX];
    bool bad;
    /* The connection. */
    char lost[TOP_MESSAGE_MAX]; /* why there is none, and since when; "": there is one */
};

/* Moves the selection; 0 sees to it that there is one. */
void top_view_move(struct top_view *, const struct top_data *, int lines);
/* NULL: none is shown. */
const struct top_service *top_view_selected(const struct top_view *, const struct top_data *);
/* Whole lines; an unfinished last one where a question waits. */
void top_view_draw(struct top_view *, const struct top_data *, struct buf *to);

const char *top_sort_word(enum top_sort);

#endif
