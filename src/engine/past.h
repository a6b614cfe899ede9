/* past.h - what a breaker knows, apart from it: taken from one, or given to one.
 *
 * Times are ages and times left, at the moment it was taken. Memory: the window's;
 * free with swg__past_free(). Threading: the owner's. */
#ifndef SWG_ENGINE_PAST_H
#define SWG_ENGINE_PAST_H

#include "engine/breaker_priv.h"

enum swg__past_age {
    SWG__AGE_SINCE,
    SWG__AGE_OPENED,
    SWG__AGE_CLOSED,
    SWG__AGE_LEFT,
    SWG__AGE_SUCCESS,
    SWG__AGE_FAILURE,
    SWG__AGES,
};

struct swg__past {
    enum swg_breaker_state state;
    enum swg_breaker_manual manual;
    uint32_t reopenings, consecutive, probe_successes;
    uint64_t age_ns[SWG__AGES]; /* SWG_NEVER: never */
    uint64_t open_for_ns, manual_for_ns, last_open_ns;
    uint64_t events, notes;
    uint64_t beside[SWG_IGNORED + 1], slow, late; /* successes are all beside */
    uint64_t shut[SWG__SHUT_COUNT];
    /* Settled: its newest tenth ends end_ns after the moment. Has no live successes. */
    struct swg__window window;
};

/* SWG_ERR_NOMEM. */
enum swg_error swg__past_take(struct swg__past *, const struct swg_breaker *, uint64_t now_ns);
/* Gives it to the breaker, `elapsed_ns` after it was taken; uses the past's window
 * up. On SWG_ERR_NOMEM the breaker is as it was. */
enum swg_error swg__past_give(struct swg__past *, struct swg_breaker *, uint64_t elapsed_ns,
                              uint64_t now_ns);
void swg__past_free(struct swg__past *);

/* past_bytes.c. *size is set first, to be told in the frame. */
struct swg__writer;
size_t swg__past_size(const struct swg__past *);
void swg__past_write(const struct swg__past *, struct swg__writer *);
/* Whatever the bytes say: SWG_OK and a past that swg__past_give() makes a sound
 * breaker of, or SWG_ERR_CORRUPT, SWG_ERR_NOMEM and nothing to free. */
struct swg__reader;
enum swg_error swg__past_read(struct swg__past *, struct swg__reader *);

#endif
