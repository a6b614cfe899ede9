/* mock_schedule.c - see mock_schedule.h.
 *
 * A step is kept as its text, and read again each time it begins: the text is
 * what people see in the state, and reading it once at the start shows that it
 * can be read. */
#include "cli/mock_schedule.h"

#include "config/value.h"

struct words {
    uint32_t count, at;
    struct bytes word[16];
};

static bool split(struct bytes text, struct words *w) {
    struct bytes word;
    *w = (struct words){0};
    while (bytes_split(&text, ' ', &word)) {
        if (!word.len)
            continue;
        if (w->count == sizeof w->word / sizeof w->word[0])
            return false;
        w->word[w->count++] = word;
    }
    return true;
}

static struct bytes peek(const struct words *w) {
    return w->at < w->count ? w->word[w->at] : (struct bytes){0};
}

static bool take(struct words *w, const char *word) {
    if (!bytes_equal(peek(w), bytes_of(word)))
        return false;
    w->at++;
    return true;
}

/* ---- what one step does ----------------------------------------------------- */

/* The share of errors, or all of the requests where none is given. */
static bool set_share(struct words *w, struct mock_behaviour *b, const char *key, struct buf *why) {
    struct bytes share = BYTES("100%"), next = peek(w);
    if (next.len && next.at[next.len - 1] == '%') {
        share = next;
        w->at++;
    }
    return mock_behaviour_set(b, bytes_of(key), share, why);
}

static bool set_value(struct words *w, struct mock_behaviour *b, const char *key, struct buf *why) {
    struct bytes value = peek(w);
    w->at += w->at < w->count;
    return mock_behaviour_set(b, bytes_of(key), value, why);
}

static bool set_latency(struct words *w, struct mock_behaviour *b, struct buf *why) {
    struct bytes first = peek(w);
    bool drawn = first.len && (first.at[0] < '0' || first.at[0] > '9');
    uint32_t count = drawn ? 3 : 1;
    struct bytes text = {first.at, 0};
    if (w->at + count > w->count) {
        buf_literal(why, "latency needs a duration, or normal, lognormal or uniform with two");
        return false;
    }
    w->at += count;
    text.len = (size_t)(w->word[w->at - 1].at + w->word[w->at - 1].len - first.at);
    return mock_behaviour_set(b, BYTES("latency"), text, why);
}

/* Whether the word is a status; a duration has a unit. */
static bool is_number(struct bytes word) {
    uint64_t n;
    return value_count(word, &n);
}

static bool apply_term(struct words *w, struct mock_behaviour *b, struct buf *why) {
    if (take(w, "ok"))
        return true;
    if (take(w, "down"))
        return b->down = true;
    if (take(w, "errors"))
        return set_share(w, b, "errors", why) &&
               (!is_number(peek(w)) || set_value(w, b, "status", why));
    if (take(w, "hang"))
        return set_share(w, b, "hang", why);
    if (take(w, "reset"))
        return set_share(w, b, "reset", why);
    if (take(w, "truncate"))
        return set_share(w, b, "truncate", why);
    if (take(w, "latency") || take(w, "slow"))
        return set_latency(w, b, why);
    if (take(w, "slow-body"))
        return set_value(w, b, "slow_body", why);
    if (take(w, "retry-after"))
        return set_value(w, b, "retry_after", why);
    if (take(w, "status")) {
        b->errors = MOCK_ALL;
        return set_value(w, b, "status", why);
    }
    buf_printf(why,
               "\"%.*s\" is none of ok, errors, hang, reset, truncate, latency, slow, "
               "slow-body, status, retry-after, down",
               (int)peek(w).len, peek(w).at ? peek(w).at : "");
    return false;
}

static bool apply_terms(struct words *w, struct mock_behaviour *b, struct buf *why) {
    do {
        if (!apply_term(w, b, why))
            return false;
    } while (take(w, "+"));
    return true;
}

void mock_step_apply(const struct mock_step *s, struct mock_behaviour *b) {
    char memory[256];
    struct words w;
    struct buf why;
    buf_init_fixed(&why, memory, sizeof memory);
    if (split(bytes_of(s->text), &w))
        apply_terms(&w, b, &why);
}

/* ---- reading ------------------------------------------------------------------ */

static bool read_step(struct bytes text, struct mock_step *s, struct buf *why) {
    struct mock_behaviour scratch = {0};
    struct words w;
    text = bytes_trim(text);
    if (!split(text, &w) || !w.count || text.len >= sizeof s->text) {
        buf_literal(why, "a step is empty or too long");
        return false;
    }
    if (!apply_terms(&w, &scratch, why))
        return false;
    s->for_ns = UINT64_MAX;
    if (w.at < w.count) {
        struct bytes last = w.word[w.at];
        if (w.at + 1 != w.count || !value_duration(last, &s->for_ns) || !s->for_ns) {
            buf_printf(why, "\"%.*s\" is no duration at the end of a step", (int)last.len, last.at);
            return false;
        }
        text.len = (size_t)(last.at - text.at);
    }
    text = bytes_trim(text);
    memcpy(s->text, text.at, text.len);
    s->text[text.len] = '\0';
    return true;
}

bool mock_schedule_read(struct mock_schedule *out, struct bytes text, struct buf *why) {
    struct mock_schedule s = {0};
    struct bytes part;
    while (bytes_split(&text, ',', &part)) {
        if (s.count == MOCK_STEPS_MAX) {
            buf_printf(why, "more than %d steps", MOCK_STEPS_MAX);
            return false;
        }
        if (s.count && s.steps[s.count - 1].for_ns == UINT64_MAX) {
            buf_literal(why, "only the last step may be without a duration");
            return false;
        }
        if (!read_step(part, &s.steps[s.count++], why))
            return false;
    }
    *out = s;
    return true;
}

const struct mock_step *mock_schedule_at(const struct mock_schedule *s, uint64_t elapsed_ns,
                                         uint64_t *ends_ns) {
    unsigned __int128 total = 0, end = 0;
    *ends_ns = UINT64_MAX;
    if (!s->count)
        return NULL;
    bool repeats = s->steps[s->count - 1].for_ns != UINT64_MAX;
    for (uint32_t i = 0; i < s->count; i++)
        total += s->steps[i].for_ns;
    uint64_t rounds = repeats ? (uint64_t)(elapsed_ns / total) : 0;
    uint64_t within = repeats ? (uint64_t)(elapsed_ns % total) : elapsed_ns;
    for (uint32_t i = 0;; i++) {
        const struct mock_step *step = &s->steps[i];
        end += step->for_ns;
        if (within < end || i + 1 == s->count) {
            unsigned __int128 ends = end + total * rounds;
            if (step->for_ns != UINT64_MAX && ends < UINT64_MAX)
                *ends_ns = (uint64_t)ends;
            return step;
        }
    }
}
