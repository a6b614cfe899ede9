/* top_data.h - what `switchgear top` knows of a gateway, out of the API's answers.
 *
 * What is not there, or of another kind than expected, reads as unknown: the
 * gateway may be of another version. Threading: none. Memory: its own. */
#ifndef SWG_CLI_TOP_DATA_H
#define SWG_CLI_TOP_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct json_t;

enum { TOP_EVENTS = 200, TOP_DRILLS = 8, TOP_SERVICES_MAX = 10000 };

struct top_service {
    char name[65], state[16], condition[12], because[64], answering[24];
    char note[200]; /* what one should know beside the figures */
    char calls[96]; /* of the breaker's window, and when one last succeeded */
    double per_second;
    double success;        /* 0…1; below 0: no calls */
    double p50_ms, p99_ms; /* below 0: none */
    unsigned long queued, dead;
    bool critical, works;
};

struct top_event {
    uint64_t sequence;
    char time[9]; /* "12:30:05", local */
    char kind[24], service[65], text[256];
};

struct top_drill {
    char text[320];
};

struct top_data {
    bool known; /* there has been an answer */
    char status[16];
    char version[24];
    double uptime_s; /* below 0: unknown */
    bool draining;
    char emergency[160]; /* what is being done; "": there is none */
    uint32_t service_count, working;
    struct top_service *services; /* as the configuration orders them */
    uint32_t drill_count;
    struct top_drill drills[TOP_DRILLS];
    uint32_t event_count; /* at most TOP_EVENTS, oldest first */
    struct top_event events[TOP_EVENTS];
};

/* The bodies of one round of questions. */
enum top_answer { TOP_HEALTH, TOP_SERVICES, TOP_QUEUES, TOP_RECENT, TOP_ANSWERS };

struct top_round {
    struct json_t *answers[TOP_ANSWERS]; /* NULL: not asked, or no answer */
};

/* False: it is no JSON object. */
bool top_round_take(struct top_round *, enum top_answer, struct bytes body);
void top_round_free(struct top_round *);
/* Replaces what is known. False: no memory. */
bool top_data_follow(struct top_data *, const struct top_round *);
/* One event, as its JSON; those that are known already are passed over. */
void top_data_event(struct top_data *, struct bytes json);
void top_data_free(struct top_data *);

/* A member of an answer that is text. False: there is none. */
bool top_answer_text(struct bytes body, const char *key, char *out, size_t size);

/* All answers as one document, to be freed; NULL: no memory. */
char *top_round_text(const struct top_round *);

#endif
