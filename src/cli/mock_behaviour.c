/* mock_behaviour.c - see mock_behaviour.h. */
#include "cli/mock_behaviour.h"

#include <math.h>
#include <stdio.h>

#include <switchgear/time.h>

#include "base/random.h"
#include "config/value.h"

enum { STATUS_DEFAULT = 500, TOKENS_MAX = 50000 };

const char *const mock_fate_words[MOCK_FATES] = {
    [MOCK_ANSWER] = "answer", [MOCK_ERROR] = "error", [MOCK_TRUNCATE] = "truncate",
    [MOCK_RESET] = "reset",   [MOCK_HANG] = "hang",
};

/* ---- values ----------------------------------------------------------------- */

/* A decimal with up to four places and '%'. */
bool mock_share_read(struct bytes text, uint32_t *share) {
    uint64_t n = 0;
    int places = -1;
    if (text.len < 2 || text.len > 8 || text.at[text.len - 1] != '%')
        return false;
    for (size_t i = 0; i < text.len - 1; i++) {
        char c = text.at[i];
        if (c == '.' && places < 0 && i > 0)
            places = 0;
        else if (c < '0' || c > '9' || places == 4)
            return false;
        else {
            n = n * 10 + (uint64_t)(c - '0');
            places += places >= 0;
        }
    }
    for (int i = places < 0 ? 0 : places; i < 4; i++)
        n *= 10;
    if (places == 0 || n > MOCK_ALL)
        return false;
    *share = (uint32_t)n;
    return true;
}

static void write_share(struct json_out *j, const char *key, uint32_t share) {
    char text[16];
    snprintf(text, sizeof text, "%g%%", share / 10000.0);
    json_key_string(j, key, text);
}

static struct bytes next_word(struct bytes *rest) {
    struct bytes word = {0};
    while (rest->len && !word.len)
        bytes_split(rest, ' ', &word);
    return word;
}

bool mock_latency_read(struct bytes text, struct mock_latency *out) {
    static const struct {
        struct bytes word;
        enum mock_latency_kind kind;
    } kinds[] = {{BYTES("normal"), MOCK_LATENCY_NORMAL},
                 {BYTES("lognormal"), MOCK_LATENCY_LOGNORMAL},
                 {BYTES("uniform"), MOCK_LATENCY_UNIFORM}};
    struct mock_latency l = {.kind = MOCK_LATENCY_FIXED};
    struct bytes rest = text, word = next_word(&rest);
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (bytes_equal(word, kinds[i].word))
            l.kind = kinds[i].kind;
    }
    if (l.kind != MOCK_LATENCY_FIXED)
        word = next_word(&rest);
    if (!value_duration(word, &l.a_ns) || l.a_ns > SWG_HOURS(24))
        return false;
    if (l.kind != MOCK_LATENCY_FIXED &&
        (!value_duration(next_word(&rest), &l.b_ns) || l.b_ns > SWG_HOURS(24)))
        return false;
    if (next_word(&rest).len)
        return false;
    if (l.kind == MOCK_LATENCY_LOGNORMAL && (!l.a_ns || l.b_ns < l.a_ns))
        return false;
    if (l.kind == MOCK_LATENCY_UNIFORM && l.b_ns < l.a_ns)
        return false;
    *out = l;
    return true;
}

void mock_latency_write(const struct mock_latency *l, struct buf *to) {
    static const char *const words[] = {[MOCK_LATENCY_FIXED] = "",
                                        [MOCK_LATENCY_NORMAL] = "normal ",
                                        [MOCK_LATENCY_LOGNORMAL] = "lognormal ",
                                        [MOCK_LATENCY_UNIFORM] = "uniform "};
    buf_string(to, words[l->kind]);
    value_write_duration(to, l->a_ns);
    if (l->kind != MOCK_LATENCY_FIXED) {
        buf_char(to, ' ');
        value_write_duration(to, l->b_ns);
    }
}

/* ---- settings --------------------------------------------------------------- */

const char *const mock_settings[] = {
    "latency",        "errors",      "status",        "hang",        "reset",  "truncate",
    "slow_body",      "retry_after", "close_after",   "chunked",     "tokens", "first_token",
    "token_interval", "break_after", "silence_after", "error_after", NULL};

static bool set_share(uint32_t *field, struct bytes value, struct buf *why) {
    if (mock_share_read(value, field))
        return true;
    buf_literal(why, "a share of the requests such as 30% or 0.5%");
    return false;
}

static bool set_number(uint32_t *field, struct bytes value, uint64_t max, struct buf *why) {
    uint64_t n;
    if (value_count(value, &n) && n <= max) {
        *field = (uint32_t)n;
        return true;
    }
    buf_printf(why, "a number from 0 to %llu", (unsigned long long)max);
    return false;
}

static bool set_time(uint64_t *field, struct bytes value, struct buf *why) {
    uint64_t n;
    if (value_duration(value, &n) && n <= SWG_HOURS(1)) {
        *field = n;
        return true;
    }
    buf_literal(why, "a duration such as 200ms, up to 1h");
    return false;
}

/* After so many tokens. */
static bool set_point(uint32_t *field, struct bytes value, struct buf *why) {
    if (bytes_equal(value, BYTES("never"))) {
        *field = UINT32_MAX;
        return true;
    }
    if (set_number(field, value, TOKENS_MAX, why))
        return true;
    buf_literal(why, " of tokens, or never");
    return false;
}

/* What concerns the language model; false in *mine if it is something else. */
static bool set_model(struct mock_behaviour *b, struct bytes key, struct bytes value,
                      struct buf *why, bool *mine) {
    *mine = true;
    if (bytes_equal(key, BYTES("tokens")))
        return set_number(&b->tokens, value, TOKENS_MAX, why);
    if (bytes_equal(key, BYTES("first_token")))
        return set_time(&b->first_token_ns, value, why);
    if (bytes_equal(key, BYTES("token_interval")))
        return set_time(&b->token_interval_ns, value, why);
    if (bytes_equal(key, BYTES("break_after")))
        return set_point(&b->break_after, value, why);
    if (bytes_equal(key, BYTES("silence_after")))
        return set_point(&b->silence_after, value, why);
    if (bytes_equal(key, BYTES("error_after")))
        return set_point(&b->error_after, value, why);
    return *mine = false;
}

static bool set_status(struct mock_behaviour *b, struct bytes value, struct buf *why) {
    uint64_t n;
    if (!value_count(value, &n) || n < 200 || n > 599) {
        buf_literal(why, "a status from 200 to 599");
        return false;
    }
    b->status = (uint16_t)n;
    return true;
}

static bool set_rate(struct mock_behaviour *b, struct bytes value, struct buf *why) {
    struct bytes size = value;
    uint64_t n;
    if (size.len > 2 && size.at[size.len - 2] == '/' && size.at[size.len - 1] == 's')
        size.len -= 2;
    if (!value_size(size, &n) || n > (uint64_t)1 << 40) {
        buf_literal(why, "bytes a second such as 1KiB/s; 0: as fast as it goes");
        return false;
    }
    b->slow_body = n;
    return true;
}

static bool set_chunked(struct mock_behaviour *b, struct bytes value, struct buf *why) {
    bool yes = bytes_equal(value, BYTES("yes")) || bytes_equal(value, BYTES("true"));
    if (!yes && !bytes_equal(value, BYTES("no")) && !bytes_equal(value, BYTES("false"))) {
        buf_literal(why, "yes or no");
        return false;
    }
    b->chunked = yes;
    return true;
}

bool mock_behaviour_set(struct mock_behaviour *b, struct bytes key, struct bytes value,
                        struct buf *why) {
    value = bytes_trim(value);
    if (bytes_equal(key, BYTES("latency"))) {
        if (mock_latency_read(value, &b->latency))
            return true;
        buf_literal(why, "a duration such as 20ms, or normal, lognormal or uniform with two");
        return false;
    }
    if (bytes_equal(key, BYTES("errors")))
        return set_share(&b->errors, value, why);
    if (bytes_equal(key, BYTES("hang")))
        return set_share(&b->hang, value, why);
    if (bytes_equal(key, BYTES("reset")))
        return set_share(&b->reset, value, why);
    if (bytes_equal(key, BYTES("truncate")))
        return set_share(&b->truncate, value, why);
    if (bytes_equal(key, BYTES("status")))
        return set_status(b, value, why);
    if (bytes_equal(key, BYTES("slow_body")))
        return set_rate(b, value, why);
    if (bytes_equal(key, BYTES("retry_after"))) {
        if (value.len > 1 && value.at[value.len - 1] == 's')
            value.len--;
        return set_number(&b->retry_after, value, 1000000000, why);
    }
    if (bytes_equal(key, BYTES("close_after")))
        return set_number(&b->close_after, value, 1000000000, why);
    if (bytes_equal(key, BYTES("chunked")))
        return set_chunked(b, value, why);
    bool mine;
    bool good = set_model(b, key, value, why, &mine);
    if (mine)
        return good;
    buf_literal(why, "one of");
    for (const char *const *s = mock_settings; *s; s++)
        buf_printf(why, "%s %s", s == mock_settings ? "" : ",", *s);
    return false;
}

void mock_behaviour_heal(struct mock_behaviour *b) {
    *b = (struct mock_behaviour){
        .status = STATUS_DEFAULT,
        .close_after = b->close_after,
        .chunked = b->chunked,
        .tokens = b->tokens,
        .first_token_ns = 0,
        .break_after = UINT32_MAX,
        .silence_after = UINT32_MAX,
        .error_after = UINT32_MAX,
    };
}

static void write_time(struct json_out *j, const char *key, uint64_t ns) {
    char text[64];
    struct buf t;
    buf_init_fixed(&t, text, sizeof text);
    value_write_duration(&t, ns);
    json_key_string(j, key, text);
}

static void write_point(struct json_out *j, const char *key, uint32_t tokens) {
    if (tokens == UINT32_MAX)
        json_key_string(j, key, "never");
    else
        json_key_uint(j, key, tokens);
}

static void write_model(struct json_out *j, const struct mock_behaviour *b) {
    json_key_uint(j, "tokens", b->tokens);
    write_time(j, "first_token", b->first_token_ns);
    write_time(j, "token_interval", b->token_interval_ns);
    write_point(j, "break_after", b->break_after);
    write_point(j, "silence_after", b->silence_after);
    write_point(j, "error_after", b->error_after);
}

void mock_behaviour_write(const struct mock_behaviour *b, struct json_out *j) {
    char text[128];
    struct buf t;
    buf_init_fixed(&t, text, sizeof text);
    json_object(j);
    mock_latency_write(&b->latency, &t);
    json_key_string(j, "latency", text);
    write_share(j, "errors", b->errors);
    json_key_uint(j, "status", b->status);
    write_share(j, "hang", b->hang);
    write_share(j, "reset", b->reset);
    write_share(j, "truncate", b->truncate);
    buf_clear(&t);
    value_write_size(&t, b->slow_body);
    buf_literal(&t, "/s");
    json_key_string(j, "slow_body", b->slow_body ? text : "0");
    json_key_uint(j, "retry_after", b->retry_after);
    json_key_uint(j, "close_after", b->close_after);
    json_key_bool(j, "chunked", b->chunked);
    write_model(j, b);
    json_object_end(j);
}

/* ---- drawing ------------------------------------------------------------------ */

enum mock_fate mock_behaviour_fate(const struct mock_behaviour *b, uint64_t random) {
    if (!(b->hang | b->reset | b->truncate | b->errors))
        return MOCK_ANSWER;
    uint64_t drawn = random_up_to(random, MOCK_ALL - 1);
    uint64_t sum = b->hang;
    if (drawn < sum)
        return MOCK_HANG;
    if (drawn < (sum += b->reset))
        return MOCK_RESET;
    if (drawn < (sum += b->truncate))
        return MOCK_TRUNCATE;
    return drawn < sum + b->errors ? MOCK_ERROR : MOCK_ANSWER;
}

/* In (0, 1): the logarithm of it is wanted. */
static double unit(uint64_t *state) {
    return ((double)(random_next(state) >> 11) + 0.5) / (double)(UINT64_C(1) << 53);
}

/* Box and Muller. */
static double standard_normal(uint64_t *state) {
    double radius = sqrt(-2 * log(unit(state)));
    return radius * cos(2 * M_PI * unit(state));
}

uint64_t mock_latency_draw(const struct mock_latency *l, uint64_t *state) {
    const double p99 = 2.3263478740408408; /* of the standard normal distribution */
    double a = (double)l->a_ns, b = (double)l->b_ns, drawn = 0;
    switch (l->kind) {
    case MOCK_LATENCY_FIXED:
        return l->a_ns;
    case MOCK_LATENCY_NORMAL:
        drawn = a + b * standard_normal(state);
        break;
    case MOCK_LATENCY_LOGNORMAL:
        drawn = a * exp(log(b / a) / p99 * standard_normal(state));
        break;
    case MOCK_LATENCY_UNIFORM:
        drawn = a + (b - a) * unit(state);
        break;
    }
    if (drawn < 0)
        return 0;
    return drawn < (double)SWG_HOURS(24) ? (uint64_t)drawn : SWG_HOURS(24);
}
