/* endpoint.h - one port of the bench's upstream, its faults and its counters.
 *
 * Ownership: the server (upstream.c) owns everything here.
 * Threading: one thread.  Units: nanoseconds. */
#ifndef BENCH_ENDPOINT_H
#define BENCH_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/queue.h>

#include "fault.h"
#include "message.h"

#define ENDPOINT_SECONDS_MAX 900
#define ENDPOINT_ANSWER_MAX  (64 * 1024)

/* Which requests a proxy sent, by what they are for. A health check is a GET
 * of /health; it meets the same fault and is counted apart. */
struct endpoint_counts {
    uint64_t gets, posts, checks, answers;
};

struct endpoint {
    char name; /* 'a', 'b'; in every answer's X-Upstream */
    uint16_t port;
    int listener;         /* -1 where the port could not be had again */
    bool listening;       /* killed: bound, so that nobody else gets the port, but refusing */
    int refusal_tap;      /* packet socket that sees connects while refusing; else -1 */
    bool refusals_unseen; /* it is not allowed here: `refused` is not known */
    struct fault_window window;
    enum fault forced;   /* by a control request; FAULT_OK: the window decides */
    enum fault fault;    /* what holds now */
    bool odd, odd_check; /* half500: which answer is the second */
    uint64_t connections;
    struct endpoint_counts all, in_fault;   /* in_fault: while the window held */
    uint64_t refused;                       /* connects, while killed */
    uint32_t seconds[ENDPOINT_SECONDS_MAX]; /* requests that came in each, checks apart */
    char answer[ENDPOINT_ANSWER_MAX];       /* a whole 200, ready to send */
    size_t answer_len, answer_head_len;
};

/* Takes the port (0: a free one), refusing until listen(). 0 or a negative errno. */
int endpoint_open(struct endpoint *, char name, uint16_t port, size_t body);
/* Connects are refused from now on. */
int endpoint_refuse(struct endpoint *);
int endpoint_listen(struct endpoint *);
/* Counts the connects refused since the last call. */
void endpoint_count_refused(struct endpoint *);
void endpoint_counts_json(const struct endpoint *, unsigned seconds, FILE *);
void endpoint_reset_counts(struct endpoint *);
void endpoint_close(struct endpoint *);

#endif
