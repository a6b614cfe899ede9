/* cache_vary.c - which of several stored answers a request selects. RFC 9111
 * section 4.1.
 *
 * An entry keeps, for each field its answer varies on, what the request that
 * fetched it had there:
 *
 *     u32 length of name | name | u32 length of value, or ABSENT | value
 *
 * with several values of one field joined as ", ". Compared byte for byte and
 * not by a hash: a false match would give one user another's answer. */
#include "gateway/cache_priv.h"

#include "base/random.h"

static const uint32_t ABSENT = UINT32_MAX;

/* Walks the values of one field of a request. */
static bool next_value(const struct cache_request *r, struct bytes name, uint16_t *at,
                       struct bytes *value) {
    for (; *at < r->field_count; ++*at) {
        if (!bytes_equal_nocase(r->fields[*at].name, name))
            continue;
        *value = r->fields[(*at)++].value;
        return true;
    }
    return false;
}

/* Walks the names in the Vary fields of an answer. */
struct names {
    const struct cache_answer *answer;
    uint16_t field;
    struct bytes rest;
};

static bool next_name(struct names *n, struct bytes *name) {
    while (!http_list_next(&n->rest, name)) {
        do {
            if (n->field == n->answer->field_count)
                return false;
        } while (n->answer->fields[n->field++].id != HTTP_VARY);
        n->rest = n->answer->fields[n->field - 1].value;
    }
    return true;
}

/* ---- writing ----------------------------------------------------------- */

static size_t value_len(const struct cache_request *r, struct bytes name, bool *present) {
    struct bytes value;
    size_t len = 0;
    *present = false;
    for (uint16_t at = 0; next_value(r, name, &at, &value); *present = true)
        len += value.len + (*present ? 2 : 0);
    return len;
}

bool cache_vary_measure(const struct cache_answer *answer, const struct cache_request *request,
                        size_t *len) {
    struct names names = {.answer = answer};
    struct bytes name;
    bool present;
    int count = 0;
    *len = 0;
    while (next_name(&names, &name)) {
        *len += 2 * sizeof(uint32_t) + name.len + value_len(request, name, &present);
        if (++count > CACHE_VARIED_NAMES_MAX || *len > CACHE_VARIED_BYTES_MAX)
            return false;
    }
    return true;
}

static int write_sized(struct memory_block **block, struct bytes part) {
    uint32_t len = (uint32_t)part.len;
    int failed = memory_block_append(block, &len, sizeof(len));
    return failed ? failed : memory_block_append(block, part.at, part.len);
}

static int write_value(struct memory_block **block, const struct cache_request *r,
                       struct bytes name) {
    bool present, first = true;
    uint32_t len = (uint32_t)value_len(r, name, &present);
    if (!present)
        len = ABSENT;
    int failed = memory_block_append(block, &len, sizeof(len));
    struct bytes value;
    for (uint16_t at = 0; !failed && next_value(r, name, &at, &value); first = false) {
        if (!first)
            failed = memory_block_append(block, ", ", 2);
        if (!failed)
            failed = memory_block_append(block, value.at, value.len);
    }
    return failed;
}

int cache_vary_write(struct memory_block **block, const struct cache_answer *answer,
                     const struct cache_request *request) {
    struct names names = {.answer = answer};
    struct bytes name;
    int failed = 0;
    while (!failed && next_name(&names, &name)) {
        failed = write_sized(block, name);
        if (!failed)
            failed = write_value(block, request, name);
    }
    return failed;
}

/* ---- comparing --------------------------------------------------------- */

static uint32_t take_length(struct bytes *rest) {
    uint32_t len;
    memcpy(&len, rest->at, sizeof(len));
    rest->at += sizeof(len);
    rest->len -= sizeof(len);
    return len;
}

static struct bytes take(struct bytes *rest, uint32_t len) {
    struct bytes part = {rest->at, len};
    rest->at += len;
    rest->len -= len;
    return part;
}

static bool take_prefix(struct bytes *rest, struct bytes prefix) {
    if (!bytes_starts(*rest, prefix))
        return false;
    take(rest, (uint32_t)prefix.len);
    return true;
}

static bool same_value(struct bytes name, struct bytes stored, bool stored_present,
                       const struct cache_request *r) {
    struct bytes value;
    bool present = false;
    for (uint16_t at = 0; next_value(r, name, &at, &value); present = true) {
        if (present && !take_prefix(&stored, BYTES(", ")))
            return false;
        if (!take_prefix(&stored, value))
            return false;
    }
    return present == stored_present && stored.len == 0;
}

bool cache_vary_is_sound(struct bytes varied) {
    int count = 0;
    if (varied.len > CACHE_VARIED_BYTES_MAX)
        return false;
    while (varied.len) {
        for (int part = 0; part < 2; part++) {
            if (varied.len < sizeof(uint32_t))
                return false;
            uint32_t len = take_length(&varied);
            if (part == 1 && len == ABSENT)
                continue;
            if (len > varied.len)
                return false;
            take(&varied, len);
        }
        if (++count > CACHE_VARIED_NAMES_MAX)
            return false;
    }
    return true;
}

bool cache_vary_matches(struct bytes varied, const struct cache_request *request) {
    while (varied.len) {
        struct bytes name = take(&varied, take_length(&varied));
        uint32_t len = take_length(&varied);
        struct bytes value = take(&varied, len == ABSENT ? 0 : len);
        if (!same_value(name, value, len != ABSENT, request))
            return false;
    }
    return true;
}

static uint64_t mix_bytes(uint64_t hash, struct bytes b) {
    for (size_t i = 0; i < b.len; i++)
        hash = (hash ^ (unsigned char)b.at[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
    return random_mix(hash ^ b.len);
}

uint64_t cache_vary_hash(struct bytes varied, const struct cache_request *request) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    while (varied.len) {
        struct bytes name = take(&varied, take_length(&varied)), value;
        uint32_t len = take_length(&varied);
        take(&varied, len == ABSENT ? 0 : len);
        hash = mix_bytes(hash, name);
        for (uint16_t at = 0; next_value(request, name, &at, &value);)
            hash = mix_bytes(hash, value);
    }
    return hash ? hash : 1;
}
