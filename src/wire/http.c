/* http.c - names of methods, fields and statuses; comma-separated lists.
 *
 * Looking up a field's name happens some ten times a request, so it is a hash
 * of its first and last four characters and its length, then one comparison done eight
 * bytes at a time. The table is filled before main() from HTTP_FIELDS, so that
 * a new row there is all it takes; a table written out (or generated) would be
 * one more thing to keep in step, for nothing measurable. */
#include "wire/http.h"

#include "wire/chars.h"

/* ---- methods ------------------------------------------------------------ */

static const char *const method_names[HTTP_METHODS] = {
    [HTTP_METHOD_OTHER] = "OTHER", [HTTP_GET] = "GET",         [HTTP_HEAD] = "HEAD",
    [HTTP_POST] = "POST",          [HTTP_PUT] = "PUT",         [HTTP_DELETE] = "DELETE",
    [HTTP_CONNECT] = "CONNECT",    [HTTP_OPTIONS] = "OPTIONS", [HTTP_TRACE] = "TRACE",
    [HTTP_PATCH] = "PATCH",
};

const char *http_method_name(enum http_method method) {
    return (unsigned)method < HTTP_METHODS ? method_names[method] : "OTHER";
}

static enum http_method method_if(struct bytes text, enum http_method method) {
    return memcmp(text.at, method_names[method], text.len) == 0 ? method : HTTP_METHOD_OTHER;
}

enum http_method http_method_of(struct bytes text) {
    switch (text.len) {
    case 3:
        return text.at[0] == 'G' ? method_if(text, HTTP_GET) : method_if(text, HTTP_PUT);
    case 4:
        return text.at[0] == 'P' ? method_if(text, HTTP_POST) : method_if(text, HTTP_HEAD);
    case 5:
        return text.at[0] == 'P' ? method_if(text, HTTP_PATCH) : method_if(text, HTTP_TRACE);
    case 6:
        return method_if(text, HTTP_DELETE);
    case 7:
        return text.at[0] == 'O' ? method_if(text, HTTP_OPTIONS) : method_if(text, HTTP_CONNECT);
    default:
        return HTTP_METHOD_OTHER;
    }
}

bool http_method_is_safe(enum http_method method) {
    return method == HTTP_GET || method == HTTP_HEAD || method == HTTP_OPTIONS ||
           method == HTTP_TRACE;
}

bool http_method_is_idempotent(enum http_method method) {
    return http_method_is_safe(method) || method == HTTP_PUT || method == HTTP_DELETE;
}

/* ---- field names -------------------------------------------------------- */

static const struct bytes field_names[HTTP_FIELD_IDS] = {
#define X(id, name) [HTTP_##id] = {name, sizeof(name) - 1},
    HTTP_FIELDS(X)
#undef X
};

/* A power of two, and roomy: most names that are not in the table end at an
 * empty slot at once. */
enum { FIELD_SLOTS = 512, FIELD_NAME_MAX = 24 };
_Static_assert(HTTP_FIELD_IDS <= 256, "struct http_field keeps an id in a byte");
_Static_assert(HTTP_FIELD_IDS * 2 <= FIELD_SLOTS, "field_slots needs empty slots to end a search");

/* Open addressing. Written by field_slots_fill() before main(), read only from
 * then on, so that threads need no ordering. */
static uint8_t field_slots[FIELD_SLOTS];

static inline uint64_t load8(const char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline uint32_t load4(const char *at) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* The first four and the last four characters (they overlap in short names)
 * and the length tell all names in the table apart. Case folds by setting bit 5:
 * wrong for some punctuation, but then two names merely share a slot.
 * Needs len >= 2. */
static inline unsigned field_hash(const char *at, size_t len) {
    uint32_t head, tail;
    if (len >= 4) {
        head = load4(at) | UINT32_C(0x20202020);
        tail = load4(at + len - 4) | UINT32_C(0x20202020);
    } else {
        head = (uint8_t)at[0] | 0x20;
        tail = (uint8_t)at[len - 1] | 0x20;
    }
    uint64_t mixed = ((uint64_t)head << 32 ^ tail ^ len << 28) * UINT64_C(0x9e3779b97f4a7c15);
    return (unsigned)(mixed >> 55); /* the top bits are the best mixed: 0 to 511 */
}

/* Whether two words are equal but for bit 5 of letters. `known` comes from a
 * name in HTTP_FIELDS: letters, digits and '-' only. A byte that differs from
 * one of these in bit 5 alone is a letter of the other case, or a control
 * character (0x0d for '-', 0x10-0x19 for digits), which has bit 6 and bit 5
 * clear; all others differ in another bit too. */
static inline bool same8(uint64_t text, uint64_t known) {
    uint64_t controls = ~(text | text << 1) & UINT64_C(0x4040404040404040);
    return (((text ^ known) & ~UINT64_C(0x2020202020202020)) | controls) == 0;
}

static inline bool same4(uint32_t text, uint32_t known) {
    uint32_t controls = ~(text | text << 1) & UINT32_C(0x40404040);
    return (((text ^ known) & ~UINT32_C(0x20202020)) | controls) == 0;
}

/* The last word overlaps the one before, so that no length needs a tail. */
static inline bool field_same(const char *at, const char *known, size_t len) {
    if (len < 4)
        return strncasecmp(at, known, len) == 0;
    if (len < 8)
        return same4(load4(at), load4(known)) && same4(load4(at + len - 4), load4(known + len - 4));
    for (size_t i = 0; i + 8 < len; i += 8)
        if (!same8(load8(at + i), load8(known + i)))
            return false;
    return same8(load8(at + len - 8), load8(known + len - 8));
}

enum http_field_id http_field_of(struct bytes name) {
    if (name.len < 2 || name.len > FIELD_NAME_MAX)
        return HTTP_FIELD_OTHER;
    unsigned slot = field_hash(name.at, name.len);
    for (unsigned id; (id = field_slots[slot]) != 0; slot = (slot + 1) % FIELD_SLOTS)
        if (field_names[id].len == name.len && field_same(name.at, field_names[id].at, name.len))
            return id;
    return HTTP_FIELD_OTHER;
}

__attribute__((constructor)) static void field_slots_fill(void) {
    for (unsigned id = 1; id < HTTP_FIELD_IDS; id++) {
        unsigned slot = field_hash(field_names[id].at, field_names[id].len);
        while (field_slots[slot])
            slot = (slot + 1) % FIELD_SLOTS;
        field_slots[slot] = (uint8_t)id;
    }
}

struct bytes http_field_name(enum http_field_id id) {
    if ((unsigned)id >= HTTP_FIELD_IDS || id == HTTP_FIELD_OTHER)
        return BYTES("");
    return field_names[id];
}

/* ---- statuses ----------------------------------------------------------- */

/* The IANA registry, without "Unused" and temporary entries. */
const char *http_status_reason(int status) {
    static const char *const reasons[] = {
        [100] = "Continue",
        [101] = "Switching Protocols",
        [102] = "Processing",
        [103] = "Early Hints",
        [200] = "OK",
        [201] = "Created",
        [202] = "Accepted",
        [203] = "Non-Authoritative Information",
        [204] = "No Content",
        [205] = "Reset Content",
        [206] = "Partial Content",
        [207] = "Multi-Status",
        [208] = "Already Reported",
        [226] = "IM Used",
        [300] = "Multiple Choices",
        [301] = "Moved Permanently",
        [302] = "Found",
        [303] = "See Other",
        [304] = "Not Modified",
        [305] = "Use Proxy",
        [307] = "Temporary Redirect",
        [308] = "Permanent Redirect",
        [400] = "Bad Request",
        [401] = "Unauthorized",
        [402] = "Payment Required",
        [403] = "Forbidden",
        [404] = "Not Found",
        [405] = "Method Not Allowed",
        [406] = "Not Acceptable",
        [407] = "Proxy Authentication Required",
        [408] = "Request Timeout",
        [409] = "Conflict",
        [410] = "Gone",
        [411] = "Length Required",
        [412] = "Precondition Failed",
        [413] = "Content Too Large",
        [414] = "URI Too Long",
        [415] = "Unsupported Media Type",
        [416] = "Range Not Satisfiable",
        [417] = "Expectation Failed",
        [421] = "Misdirected Request",
        [422] = "Unprocessable Content",
        [423] = "Locked",
        [424] = "Failed Dependency",
        [425] = "Too Early",
        [426] = "Upgrade Required",
        [428] = "Precondition Required",
        [429] = "Too Many Requests",
        [431] = "Request Header Fields Too Large",
        [451] = "Unavailable For Legal Reasons",
        [500] = "Internal Server Error",
        [501] = "Not Implemented",
        [502] = "Bad Gateway",
        [503] = "Service Unavailable",
        [504] = "Gateway Timeout",
        [505] = "HTTP Version Not Supported",
        [506] = "Variant Also Negotiates",
        [507] = "Insufficient Storage",
        [508] = "Loop Detected",
        [511] = "Network Authentication Required",
    };
    const int count = sizeof reasons / sizeof reasons[0];
    return status >= 0 && status < count && reasons[status] ? reasons[status] : "";
}

/* ---- lists -------------------------------------------------------------- */

/* Where the element that starts at `at` ends: the next comma outside quotes.
 * A quote that is never closed takes the rest of the list with it. */
static const char *element_end(const char *at, const char *end) {
    bool quoted = false;
    for (; at < end; at++) {
        if (*at == '"')
            quoted = !quoted;
        else if (quoted && *at == '\\' && end - at > 1)
            at++;
        else if (*at == ',' && !quoted)
            break;
    }
    return at;
}

bool http_list_next(struct bytes *rest, struct bytes *element) {
    if (!rest->len) /* may be nowhere at all */
        return false;
    const char *at = rest->at, *end = rest->at + rest->len;
    while (at < end) {
        const char *stop = element_end(at, end);
        *element = bytes_trim((struct bytes){at, (size_t)(stop - at)});
        at = stop < end ? stop + 1 : end;
        if (element->len) {
            *rest = (struct bytes){at, (size_t)(end - at)};
            return true;
        }
    }
    *rest = (struct bytes){end, 0};
    return false;
}

bool http_list_has(struct bytes list, struct bytes token) {
    struct bytes element;
    while (http_list_next(&list, &element))
        if (bytes_equal_nocase(element, token))
            return true;
    return false;
}
