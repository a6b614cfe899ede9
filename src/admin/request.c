/* request.c - see request.h. */
#include "admin/request.h"

#include <switchgear/time.h>

#include "base/rfc3339.h"
#include "wire/chars.h"

/* ---- reading --------------------------------------------------------------- */

struct bytes request_field(const struct request *r, enum http_field_id id) {
    for (uint16_t i = 0; i < r->head->field_count; i++) {
        if (r->head->fields[i].id == id)
            return r->head->fields[i].value;
    }
    return (struct bytes){0};
}

struct bytes request_field_named(const struct request *r, struct bytes name) {
    for (uint16_t i = 0; i < r->head->field_count; i++) {
        if (bytes_equal_nocase(r->head->fields[i].name, name))
            return r->head->fields[i].value;
    }
    return (struct bytes){0};
}

static int hex_digit(char c) {
    if (!char_is(c, CHAR_HEX))
        return -1;
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

bool percent_decode(struct bytes in, char *out, size_t size) {
    size_t len = 0;
    for (size_t i = 0; i < in.len; i++) {
        int c = (unsigned char)in.at[i];
        if (c == '%') {
            bool whole = in.len - i > 2;
            int high = whole ? hex_digit(in.at[i + 1]) : -1;
            int low = whole ? hex_digit(in.at[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = high << 4 | low;
            i += 2;
        }
        if (!c || len + 1 >= size)
            return false;
        out[len++] = (char)c;
    }
    out[len] = '\0';
    return size > 0;
}

bool request_query(const struct request *r, const char *key, char *out, size_t size) {
    struct bytes rest = r->query, pair, name;
    while (bytes_split(&rest, '&', &pair)) {
        if (bytes_split(&pair, '=', &name) && bytes_equal(name, bytes_of(key)))
            return percent_decode(pair, out, size);
    }
    return false;
}

/* ---- answering -------------------------------------------------------------- */

void response_init(struct response *a) {
    *a = (struct response){.status = 200};
    buf_init(&a->body, ANSWER_MAX);
    buf_init(&a->fields, 4096);
}

void response_free(struct response *a) {
    buf_free(&a->body);
    buf_free(&a->fields);
}

struct json_out *response_json(struct response *a, int status) {
    a->status = status;
    a->content_type = "application/json";
    json_init(&a->json, &a->body);
    return &a->json;
}

void response_end_json(struct response *a) {
    json_done(&a->json);
    buf_char(&a->body, '\n');
}

void response_text(struct response *a, int status, const char *content_type) {
    a->status = status;
    a->content_type = content_type;
}

/* ---- times in JSON ----------------------------------------------------------- */

int64_t moment_offset(int64_t known_ns, int64_t measured_ns) {
    const int64_t step_ns = 5 * 1000 * 1000;
    int64_t difference_ns = measured_ns - known_ns;
    return difference_ns > step_ns || difference_ns < -step_ns ? measured_ns : known_ns;
}

void json_key_time(struct json_out *j, const char *key, const struct moment *m, uint64_t ns) {
    char text[RFC3339_SIZE];
    if (ns == 0 || ns == SWG_NEVER) {
        json_key_null(j, key);
        return;
    }
    int64_t unix_ns = (int64_t)ns + m->offset_ns;
    rfc3339_ms(text, unix_ns > 0 ? (uint64_t)unix_ns / 1000000 : 0);
    json_key_string(j, key, text);
}

void json_key_ms(struct json_out *j, const char *key, uint64_t ns) {
    json_key(j, key);
    json_fixed(j, (double)ns / 1e6, 3);
}

void json_key_ratio(struct json_out *j, const char *key, uint64_t part, uint64_t whole) {
    json_key(j, key);
    if (whole)
        json_fixed(j, (double)part / (double)whole, 4);
    else
        json_null(j);
}
