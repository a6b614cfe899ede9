/* cache_meta.c - reads what a cache must know off the fields of a head.
 *
 * Whatever cannot be read counts as its cautious reading: a malformed Expires
 * is past, a malformed Date or Last-Modified is not there, of several the
 * first. A malformed Age is not there, as RFC 9111 section 5.1 has it. */
#include "gateway/cache_meta.h"

void cache_request_read(struct cache_request *request, const struct http_field *fields,
                        uint16_t count) {
    struct http_cache_control control;
    http_cache_control_init(&control);
    bool controlled = false, pragma = false;
    *request = (struct cache_request){.fields = fields, .field_count = count};
    for (uint16_t i = 0; i < count; i++) {
        struct bytes value = fields[i].value;
        switch (fields[i].id) {
        case HTTP_CACHE_CONTROL:
            http_cache_control_add(&control, value);
            controlled = true;
            break;
        case HTTP_PRAGMA:
            pragma = pragma || http_list_has(value, BYTES("no-cache"));
            break;
        case HTTP_AUTHORIZATION:
            request->authorized = true;
            break;
        case HTTP_RANGE:
            request->ranged = true;
            break;
        default:
            break;
        }
    }
    request->wish = cache_directives_of(&control);
    /* max-age=0, as browsers send it on reload, is another spelling of no-cache;
     * so is Pragma, but only without Cache-Control (RFC 9111 section 5.4). */
    bool reload = request->wish.max_age == 0 && request->wish.max_stale < 0;
    if (reload || (pragma && !controlled))
        request->wish.no_cache = true;
}

static uint32_t age_of(struct bytes value) {
    struct bytes first;
    if (!bytes_split(&value, ',', &first))
        return 0;
    first = bytes_trim(first);
    uint64_t age = 0;
    for (size_t i = 0; i < first.len; i++) {
        if (first.at[i] < '0' || first.at[i] > '9')
            return 0;
        age = age * 10 + (uint64_t)(first.at[i] - '0');
        if (age > INT32_MAX)
            age = INT32_MAX;
    }
    return (uint32_t)age;
}

static bool is_event_stream(struct bytes type) {
    struct bytes media;
    return bytes_split(&type, ';', &media) &&
           bytes_equal_nocase(bytes_trim(media), BYTES("text/event-stream"));
}

static void read_dates(struct cache_answer *a, const struct http_field *f) {
    int64_t s;
    bool ok = http_date_read(f->value, &s);
    switch (f->id) {
    case HTTP_DATE:
        if (ok && !a->facts.has_date) {
            a->facts.has_date = true;
            a->facts.date_s = s;
        }
        break;
    case HTTP_EXPIRES:
        if (!a->facts.has_expires) {
            a->facts.has_expires = true;
            a->facts.expires_s = ok ? s : INT64_MIN;
        }
        break;
    case HTTP_LAST_MODIFIED:
        if (ok && !a->has_last_modified) {
            a->has_last_modified = true;
            a->last_modified_s = s;
        }
        break;
    default:
        break;
    }
}

/* `*`, or a field that the service sees otherwise than it came to us, because
 * we write it for each client anew. (X-Forwarded-Host and -Proto are too, but
 * they are part of the key.) */
static bool names_incomparable(struct bytes vary) {
    static const enum http_field_id ours[] = {HTTP_X_FORWARDED_FOR, HTTP_FORWARDED,
                                              HTTP_X_REQUEST_ID, HTTP_X_CORRELATION_ID};
    struct bytes name;
    while (http_list_next(&vary, &name)) {
        if (bytes_equal(name, BYTES("*")))
            return true;
        for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
            if (http_field_of(name) == ours[i])
                return true;
    }
    return false;
}

static void read_field(struct cache_answer *a, struct http_cache_control *control,
                       const struct http_field *f) {
    switch (f->id) {
    case HTTP_CACHE_CONTROL:
        http_cache_control_add(control, f->value);
        break;
    case HTTP_DATE:
    case HTTP_EXPIRES:
    case HTTP_LAST_MODIFIED:
        read_dates(a, f);
        break;
    case HTTP_AGE:
        if (!a->facts.age_s)
            a->facts.age_s = age_of(f->value);
        break;
    case HTTP_ETAG:
        if (!a->etag.len)
            a->etag = f->value;
        break;
    case HTTP_VARY:
        if (names_incomparable(f->value))
            a->facts.varies_on_all = true;
        break;
    case HTTP_SET_COOKIE:
        a->facts.sets_cookie = true;
        break;
    case HTTP_CONTENT_TYPE:
        a->facts.endless = is_event_stream(f->value);
        break;
    default:
        break;
    }
}

void cache_answer_read(struct cache_answer *a, int status, const struct http_field *fields,
                       uint16_t count, const struct cache_request *request, int64_t wall_s) {
    struct http_cache_control control;
    http_cache_control_init(&control);
    *a = (struct cache_answer){
        .facts = {.status = status,
                  .wall_s = wall_s,
                  .authorized = request->authorized,
                  .ranged = request->ranged,
                  .request_no_store = request->wish.no_store},
        .fields = fields,
        .field_count = count,
        .length = UINT64_MAX,
    };
    for (uint16_t i = 0; i < count; i++)
        read_field(a, &control, &fields[i]);
    a->facts.control = cache_directives_of(&control);
}
