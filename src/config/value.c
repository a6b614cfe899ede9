/* value.c - see value.h. */
#include "config/value.h"

#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit time_units[] = {
    {"h", UINT64_C(3600000000000)}, {"m", UINT64_C(60000000000)}, {"s", UINT64_C(1000000000)},
    {"ms", UINT64_C(1000000)},      {"us", UINT64_C(1000)},       {"ns", 1},
    {"d", UINT64_C(86400000000000)}};
enum { TIME_UNITS = 7, TIME_UNITS_WRITTEN = 6, DAY = 6 };

static const struct unit size_units[] = {
    {"TiB", UINT64_C(1) << 40},
    {"GiB", UINT64_C(1) << 30},
    {"MiB", UINT64_C(1) << 20},
    {"KiB", UINT64_C(1) << 10},
    {"B", 1},
    {"KB", UINT64_C(1000)},
    {"kB", UINT64_C(1000)},
    {"MB", UINT64_C(1000000)},
    {"GB", UINT64_C(1000000000)},
    {"TB", UINT64_C(1000000000000)},
};
enum { SIZE_UNITS = 10, SIZE_UNITS_WRITTEN = 4 };

static bool decimal(struct bytes *rest, uint64_t *whole, uint64_t *fraction, uint64_t *scale);
static bool measured(struct bytes, const struct unit *, int units, uint64_t *);
static const struct unit *unit_of(struct bytes name, const struct unit *, int units);
static void write_measured(struct buf *, uint64_t value, const struct unit *, int units);
static struct bytes word_after_number(struct bytes text, struct bytes *number);

/* ---- reading ----------------------------------------------------------- */

bool value_count(struct bytes text, uint64_t *out) {
    uint64_t whole, fraction, scale;
    if (!decimal(&text, &whole, &fraction, &scale) || text.len || scale != 1)
        return false;
    *out = whole;
    return true;
}

bool value_duration(struct bytes text, uint64_t *ns) {
    if (bytes_equal(text, BYTES("0"))) {
        *ns = 0;
        return true;
    }
    return measured(text, time_units, TIME_UNITS, ns);
}

bool value_size(struct bytes text, uint64_t *bytes) {
    return value_count(text, bytes) || measured(text, size_units, SIZE_UNITS, bytes);
}

bool value_percent(struct bytes text, uint64_t *percent) {
    static const struct unit unit[] = {{"%", 1}};
    return measured(text, unit, 1, percent);
}

bool value_rate(struct bytes text, uint64_t *calls, uint64_t *per_ns) {
    struct bytes number;
    if (!bytes_split(&text, '/', &number))
        return false;
    const struct unit *unit = unit_of(text, time_units, TIME_UNITS);
    if (!unit || unit->factor < time_units[2].factor || !value_count(number, calls))
        return false;
    *per_ns = unit->factor;
    return true;
}

bool value_bool(struct bytes text, bool *out) {
    bool yes = bytes_equal(text, BYTES("true"));
    if (!yes && !bytes_equal(text, BYTES("false")))
        return false;
    *out = yes;
    return true;
}

/* Digits with at most nine after the point. scale is 10^(digits after it). */
static bool decimal(struct bytes *rest, uint64_t *whole, uint64_t *fraction, uint64_t *scale) {
    size_t i = 0;
    *whole = *fraction = 0;
    *scale = 1;
    for (; i < rest->len && rest->at[i] >= '0' && rest->at[i] <= '9'; i++) {
        if (__builtin_mul_overflow(*whole, 10, whole) ||
            __builtin_add_overflow(*whole, (uint64_t)(rest->at[i] - '0'), whole))
            return false;
    }
    if (!i)
        return false;
    if (i < rest->len && rest->at[i] == '.') {
        size_t point = i++;
        for (; i < rest->len && rest->at[i] >= '0' && rest->at[i] <= '9'; i++) {
            if (i - point > 9)
                return false;
            *fraction = *fraction * 10 + (uint64_t)(rest->at[i] - '0');
            *scale *= 10;
        }
        if (i == point + 1)
            return false;
    }
    *rest = (struct bytes){rest->at + i, rest->len - i};
    return true;
}

/* Number and unit; what is less than one of the smallest unit is refused, not
 * rounded: "0.5ns" is a mistake. */
static bool measured(struct bytes text, const struct unit *units, int count, uint64_t *out) {
    uint64_t whole, fraction, scale, value, part;
    if (!decimal(&text, &whole, &fraction, &scale))
        return false;
    const struct unit *unit = unit_of(text, units, count);
    if (!unit || __builtin_mul_overflow(whole, unit->factor, &value))
        return false;
    /* fraction < 10^9 and factor < 2^47: the product fits 128 bits easily */
    unsigned __int128 product = (unsigned __int128)fraction * unit->factor;
    if (product % scale)
        return false;
    part = (uint64_t)(product / scale);
    if (__builtin_add_overflow(value, part, &value) || value == UINT64_MAX)
        return false;
    *out = value;
    return true;
}

static const struct unit *unit_of(struct bytes name, const struct unit *units, int count) {
    for (int i = 0; i < count; i++) {
        if (bytes_equal(name, bytes_of(units[i].name)))
            return &units[i];
    }
    return NULL;
}

/* ---- writing ----------------------------------------------------------- */

void value_write_duration(struct buf *to, uint64_t ns) {
    uint64_t day = time_units[DAY].factor;
    if (ns > day && ns % day == 0) /* a day is 24h, a week 7d */
        write_measured(to, ns, &time_units[DAY], 1);
    else if (ns)
        write_measured(to, ns, time_units, TIME_UNITS_WRITTEN);
    else
        buf_char(to, '0');
}

void value_write_size(struct buf *to, uint64_t bytes) {
    for (int i = 0; i < SIZE_UNITS_WRITTEN; i++) {
        if (bytes && bytes % size_units[i].factor == 0) {
            write_measured(to, bytes, size_units, SIZE_UNITS_WRITTEN);
            return;
        }
    }
    buf_uint(to, bytes);
}

void value_write_rate(struct buf *to, uint64_t calls, uint64_t per_ns) {
    const char *unit = "s";
    for (int i = 0; i < TIME_UNITS; i++) {
        if (time_units[i].factor == per_ns)
            unit = time_units[i].name;
    }
    buf_printf(to, "%llu/%s", (unsigned long long)calls, unit);
}

/* In the largest unit that divides it. */
static void write_measured(struct buf *to, uint64_t value, const struct unit *units, int count) {
    for (int i = 0; i < count; i++) {
        if (value % units[i].factor == 0) {
            buf_uint(to, value / units[i].factor);
            buf_string(to, units[i].name);
            return;
        }
    }
}

/* ---- guessing ---------------------------------------------------------- */

bool value_guess_duration(struct bytes text, struct buf *to) {
    static const struct unit words[] = {
        {"", 2},      {"sec", 2},  {"secs", 2},   {"second", 2},  {"seconds", 2},
        {"min", 1},   {"mins", 1}, {"minute", 1}, {"minutes", 1}, {"hour", 0},
        {"hours", 0}, {"hr", 0},   {"msec", 3},   {"millis", 3},  {"milliseconds", 3},
        {"day", 6},   {"days", 6}, {"S", 2},      {"M", 1},       {"H", 0},
        {"MS", 3},    {"s", 2},    {"m", 1},      {"h", 0},       {"ms", 3}};
    struct bytes number, word = word_after_number(text, &number);
    for (size_t i = 0; number.len && i < sizeof words / sizeof words[0]; i++) {
        if (bytes_equal(word, bytes_of(words[i].name))) {
            buf_bytes(to, number);
            buf_string(to, time_units[words[i].factor].name);
            return true;
        }
    }
    return false;
}

bool value_guess_size(struct bytes text, struct buf *to) {
    struct bytes number, word = word_after_number(text, &number);
    static const char letters[] = "tgmk";
    if (!number.len || !word.len || word.len > 3)
        return false;
    const char *letter = strchr(letters, word.at[0] | 0x20);
    if (!letter || (word.len > 1 && (word.at[word.len - 1] | 0x20) != 'b'))
        return false;
    buf_bytes(to, number);
    buf_string(to, size_units[letter - letters].name);
    return true;
}

bool value_guess_percent(struct bytes text, struct buf *to) {
    uint64_t whole, fraction, scale;
    struct bytes rest = text;
    if (!decimal(&rest, &whole, &fraction, &scale))
        return false;
    rest = bytes_trim(rest);
    if (rest.len && !bytes_equal(rest, BYTES("percent")) && !bytes_equal(rest, BYTES("%")))
        return false;
    bool ratio = whole <= 1 && scale > 1 && !rest.len; /* 0.5 is a half */
    buf_uint(to, ratio ? whole * 100 + fraction * 100 / scale : whole);
    buf_char(to, '%');
    return true;
}

bool value_guess_rate(struct bytes text, struct buf *to) {
    static const char *const words[] = {"",     "rps", "qps", "per second", "/second",
                                        "/sec", "ps",  "/S",  "per s"};
    struct bytes number, word = word_after_number(text, &number);
    for (size_t i = 0; number.len && i < sizeof words / sizeof words[0]; i++) {
        if (bytes_equal(word, bytes_of(words[i]))) {
            buf_bytes(to, number);
            buf_literal(to, "/s");
            return true;
        }
    }
    return false;
}

bool value_guess_bool(struct bytes text, struct buf *to) {
    static const char *const yes[] = {"yes", "on", "true", "y", "1", "enabled"};
    static const char *const no[] = {"no", "off", "false", "n", "0", "disabled"};
    for (int i = 0; i < 6; i++) {
        if (bytes_equal_nocase(text, bytes_of(yes[i])))
            buf_literal(to, "true");
        else if (bytes_equal_nocase(text, bytes_of(no[i])))
            buf_literal(to, "false");
    }
    return to->len > 0;
}

/* "5 sec" is "5" and "sec". */
static struct bytes word_after_number(struct bytes text, struct bytes *number) {
    uint64_t whole, fraction, scale;
    struct bytes rest = text;
    *number = BYTES("");
    if (!decimal(&rest, &whole, &fraction, &scale))
        return rest;
    *number = (struct bytes){text.at, text.len - rest.len};
    return bytes_trim(rest);
}
