/* freshness.h - may an answer be stored, how long is it fresh, how stale may it
 * still be used?
 *
 * RFC 9111 as a shared cache has it, RFC 5861 for stale answers. Pure: facts
 * and times in, decisions out; nothing here parses, stores or reads a clock.
 *
 * Times: `*_ns` are the monotonic clock, or durations; `*_s` of dates are Unix
 * seconds, used only as differences between two dates of the same answer. */
#ifndef SWG_ENGINE_FRESHNESS_H
#define SWG_ENGINE_FRESHNESS_H

#include <stdbool.h>
#include <stdint.h>

/* Cache-Control of a request or an answer. Seconds; -1: not given. */
struct swg__directives {
    int32_t max_age, s_maxage, stale_while_revalidate, stale_if_error;
    int32_t max_stale, min_fresh; /* requests; max_stale without a value: INT32_MAX */
    bool no_store, no_cache, private_, public_;
    bool must_revalidate, proxy_revalidate, must_understand, only_if_cached;
};
#define SWG__DIRECTIVES_NONE ((struct swg__directives){-1, -1, -1, -1, -1, -1})

/* What the answer, and the request it answers, say. */
struct swg__answer {
    int status;
    struct swg__directives control; /* of the answer */
    bool has_expires, has_date;
    int64_t expires_s; /* INT64_MIN: given but malformed, which means expired */
    int64_t date_s;
    int64_t wall_s; /* our own wall clock when the head came; only for a missing Date */
    uint32_t age_s; /* Age; 0 where missing */
    bool sets_cookie, varies_on_all, endless;
    /* of the request */
    bool authorized, ranged, request_no_store;
    uint64_t asked_ns, came_ns; /* request sent, head received */
};

/* What the operator said for this service. 0 and SWG_OFF mean none. */
struct swg__cache_terms {
    uint64_t fresh_ns; /* for answers that say nothing themselves */
    uint64_t stale_ns; /* after freshness, for errors, where the answer does not say */
    bool force_stale;  /* also where the answer forbids it */
};

/* Whether an answer may be stored, and if not, why. The last three are not
 * about the answer but about the cache's bounds.
 * code, name in metrics, sentence */
#define SWG__STORABLES(X)                                                                         \
    X(OK, "ok", "it may be stored")                                                               \
    X(STATUS, "status", "answers with this status are not stored")                                \
    X(FAILURE, "failure", "it tells of a failure that may be over soon")                          \
    X(PARTIAL, "partial", "it is, or may be, a part only")                                        \
    X(REQUEST, "request", "the request said no-store")                                            \
    X(NO_STORE, "no_store", "it says no-store")                                                   \
    X(PRIVATE, "private", "it says private")                                                      \
    X(AUTHORIZED, "authorized", "the request had Authorization and it does not say public")       \
    X(SET_COOKIE, "set_cookie", "it sets a cookie")                                               \
    X(VARIES, "varies", "it varies on more than can be compared")                                 \
    X(ENDLESS, "endless", "it is a stream of events")                                             \
    X(NO_LIFETIME, "no_lifetime", "it does not say how long, and neither does the configuration") \
    X(EXPIRED, "expired", "it came expired and may not be used stale")                            \
    X(TOO_LARGE, "too_large", "it is larger than one entry may be")                               \
    X(NO_ROOM, "no_room", "the cache is full of what is in use")                                  \
    X(INCOMPLETE, "incomplete", "it broke off, or was given up")

enum swg__storable {
#define X(code, name, sentence) SWG__STORE_##code,
    SWG__STORABLES(X)
#undef X
        SWG__STORABLE_COUNT
};
const char *swg__storable_name(enum swg__storable);
const char *swg__storable_sentence(enum swg__storable);

/* The life of one stored answer, fixed when it came. Ages count from at_ns. */
struct swg__freshness {
    uint64_t at_ns, age_ns;   /* when it came, and how old it was then */
    uint64_t lifetime_ns;     /* fresh while its age is less */
    uint64_t revalidate_ns;   /* after that, so long usable while it is being refreshed */
    uint64_t stale_ns;        /* after that, so long usable instead of an error */
    uint64_t stale_forced_ns; /* the same where force_stale disregards what the answer forbids */
    bool stale_forbidden;     /* also a client's max-stale does not allow it */
};

/* May it be stored, and if so, with what life? *out is set only on OK. */
enum swg__storable swg__freshness_of(const struct swg__answer *, const struct swg__cache_terms *,
                                     struct swg__freshness *out);

/* Whether a request whose Cache-Control is `wish` may have it now. */
enum swg__usable {
    SWG__UNUSABLE,
    SWG__FRESH,
    SWG__STALE_ACCEPTED,  /* stale, and the client said that it takes it so */
    SWG__STALE_REFRESHED, /* stale, usable if somebody refreshes it (stale-while-revalidate) */
};
enum swg__usable swg__freshness_judge(const struct swg__freshness *,
                                      const struct swg__directives *wish, uint64_t now_ns);

/* Whether it may be used instead of an error: while fresh, and at most
 * max_stale_ns after; `force` disregards what the answer forbids, if it was
 * stored under such terms. A request's
 * no-cache or max-age is a preference (RFC 9111 section 5.2.1) and does not
 * count here, where the alternative is no answer. */
bool swg__freshness_on_error(const struct swg__freshness *, uint64_t max_stale_ns, bool force,
                             uint64_t now_ns);

/* Whether nobody can use it any more, at any terms. */
bool swg__freshness_over(const struct swg__freshness *, uint64_t now_ns);
uint64_t swg__freshness_age(const struct swg__freshness *, uint64_t now_ns);
/* Positive: so long still fresh; negative: so long stale. Saturates. */
int64_t swg__freshness_left(const struct swg__freshness *, uint64_t now_ns);

#endif
