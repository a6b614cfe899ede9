/* trace_context.c - see trace_context.h. */
#include "observe/trace_context.h"

/* ---- traceparent ---------------------------------------------------------- */

/* Lower case only, as the standard has it. -1: none. */
static int digit_of(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(const char *at, unsigned digits, uint64_t *out) {
    uint64_t value = 0;
    for (unsigned i = 0; i < digits; i++) {
        int digit = digit_of(at[i]);
        if (digit < 0)
            return false;
        value = value << 4 | (uint64_t)digit;
    }
    *out = value;
    return true;
}

static void write_hex(char *out, unsigned digits, uint64_t value) {
    for (unsigned i = 0; i < digits; i++)
        out[i] = "0123456789abcdef"[value >> (4 * (digits - 1 - i)) & 15];
}

/* Where the parts begin. */
enum { AT_TRACE = 3, AT_SPAN = 36, AT_FLAGS = 53 };

bool traceparent_read(struct bytes text, struct trace_context *out) {
    uint64_t version, high, low, span, flags;
    const char *at = text.at;
    if (text.len < TRACEPARENT_LEN || at[AT_TRACE - 1] != '-' || at[AT_SPAN - 1] != '-' ||
        at[AT_FLAGS - 1] != '-')
        return false;
    if (!read_hex(at, 2, &version) || !read_hex(at + AT_TRACE, 16, &high) ||
        !read_hex(at + AT_TRACE + 16, 16, &low) || !read_hex(at + AT_SPAN, 16, &span) ||
        !read_hex(at + AT_FLAGS, 2, &flags))
        return false;
    if (version == 0xff || !(high | low) || !span)
        return false;
    if (text.len > TRACEPARENT_LEN && (version == 0 || at[TRACEPARENT_LEN] != '-'))
        return false;
    *out = (struct trace_context){
        {high, low}, span, (uint8_t)(flags & (TRACE_SAMPLED | TRACE_RANDOM))};
    return true;
}

void trace_id_write(char out[TRACE_ID_LEN + 1], struct trace_id id) {
    write_hex(out, 16, id.high);
    write_hex(out + 16, 16, id.low);
    out[TRACE_ID_LEN] = '\0';
}

void span_id_write(char out[SPAN_ID_LEN + 1], uint64_t id) {
    write_hex(out, 16, id);
    out[SPAN_ID_LEN] = '\0';
}

void traceparent_write(char out[TRACEPARENT_LEN + 1], const struct trace_context *c) {
    out[0] = out[1] = '0';
    trace_id_write(out + AT_TRACE, c->trace);
    span_id_write(out + AT_SPAN, c->span);
    out[AT_TRACE - 1] = out[AT_SPAN - 1] = out[AT_FLAGS - 1] = '-';
    write_hex(out + AT_FLAGS, 2, c->flags);
    out[TRACEPARENT_LEN] = '\0';
}

/* ---- tracestate ------------------------------------------------------------- */

static bool is_key_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c && strchr("_-*/@", c));
}

static bool key_is_good(struct bytes key) {
    if (!key.len || key.len > 256 || strchr("_-*/@", key.at[0]))
        return false;
    for (size_t i = 0; i < key.len; i++) {
        if (!is_key_char(key.at[i]))
            return false;
    }
    return true;
}

static bool value_is_good(struct bytes value) {
    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] < ' ' || value.at[i] > '~' || value.at[i] == '=')
            return false;
    }
    return value.len > 0 && value.len <= 256;
}

static bool is_known(const struct bytes *keys, uint32_t count, struct bytes key) {
    for (uint32_t i = 0; i < count; i++) {
        if (bytes_equal(keys[i], key))
            return true;
    }
    return false;
}

bool tracestate_is_good(struct bytes list) {
    struct bytes keys[TRACESTATE_MEMBERS], member;
    uint32_t count = 0;
    if (list.len > TRACESTATE_MAX)
        return false;
    while (bytes_split(&list, ',', &member)) {
        member = bytes_trim(member);
        if (!member.len)
            continue; /* an empty one is allowed, and none */
        struct bytes value = member, key;
        if (!memchr(member.at, '=', member.len) || !bytes_split(&value, '=', &key) ||
            !key_is_good(key) || !value_is_good(value) || count == TRACESTATE_MEMBERS ||
            is_known(keys, count, key))
            return false;
        keys[count++] = key;
    }
    return count > 0;
}

/* ---- sampling ----------------------------------------------------------------- */

/* By the low 63 bits: where only a half of an id is random, it is this one. */
bool trace_is_chosen(struct trace_id id, uint32_t per_million) {
    uint64_t limit = (UINT64_C(1) << 63) / TRACE_PER_MILLION * per_million;
    return per_million >= TRACE_PER_MILLION || (id.low & (UINT64_MAX >> 1)) < limit;
}
