/* outbox_json.c - see outbox_json.h. */
#include "admin/outbox_json.h"

#include <errno.h>

#include "base/rfc3339.h"

/* ---- small things ------------------------------------------------------------- */

static void key_bytes(struct json_out *j, const char *key, struct bytes value) {
    json_key(j, key);
    json_bytes(j, value);
}

static void key_unix_ms(struct json_out *j, const char *key, int64_t ms) {
    char text[RFC3339_SIZE];
    if (ms > 0)
        rfc3339_ms(text, (uint64_t)ms);
    json_key_string(j, key, ms > 0 ? text : NULL);
}

static bool is_utf8(struct bytes b) {
    const char *p = b.at, *end = b.at + b.len;
    for (unsigned len; p < end; p += len) {
        if (!(len = utf8_length(p, end)))
            return false;
    }
    return true;
}

/* As RFC 4648 has it. Past the buffer's end the answer fails as a whole. */
static void write_base64(struct buf *to, struct bytes in) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < in.len; i += 3) {
        uint32_t three = 0;
        size_t have = in.len - i < 3 ? in.len - i : 3;
        for (size_t k = 0; k < 3; k++)
            three = three << 8 | (k < have ? (uint8_t)in.at[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            buf_char(to, k <= have ? digits[three >> (18 - 6 * k) & 63] : '=');
    }
}

/* ---- content ------------------------------------------------------------------- */

bool outbox_is_credential(struct bytes name) {
    static const struct bytes parts[] = {BYTES("auth"),   BYTES("cookie"),   BYTES("token"),
                                         BYTES("secret"), BYTES("password"), BYTES("api-key"),
                                         BYTES("apikey"), BYTES("session"),  BYTES("signature"),
                                         BYTES("csrf"),   BYTES("xsrf"),     BYTES("credential"),
                                         BYTES("jwt")};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        for (size_t at = 0; at + parts[i].len <= name.len; at++) {
            if (bytes_equal_nocase((struct bytes){name.at + at, parts[i].len}, parts[i]))
                return true;
        }
    }
    return false;
}

/* "Name: value" lines; a value is told only with the content. */
static void write_fields(struct json_out *j, struct bytes lines, bool values) {
    struct bytes line, name;
    json_key_array(j, "headers");
    while (bytes_split(&lines, '\n', &line)) {
        if (!bytes_split(&line, ':', &name) || !name.len)
            continue;
        line.len -= line.len && line.at[line.len - 1] == '\r';
        if (!values) {
            json_bytes(j, name);
            continue;
        }
        json_object(j);
        key_bytes(j, "name", name);
        key_bytes(j, "value", outbox_is_credential(name) ? BYTES("***") : bytes_trim(line));
        json_object_end(j);
    }
    json_array_end(j);
}

static void write_body(struct json_out *j, struct bytes body) {
    if (is_utf8(body)) {
        key_bytes(j, "body", body);
        return;
    }
    json_key(j, "body_base64");
    json_raw(j, BYTES("\""));
    write_base64(j->to, body);
    buf_char(j->to, '"');
}

static void write_content(struct json_out *j, const struct outbox_entry *e, bool values,
                          int error) {
    if (error) {
        json_key_string(j, "content",
                        error == -ENOENT    ? "no longer kept"
                        : error == -EBADMSG ? "damaged, or sealed with another store_key"
                                            : "cannot be read at the moment");
        return;
    }
    write_fields(j, e->fields, values);
    if (values)
        write_body(j, e->body);
}

/* ---- an entry -------------------------------------------------------------------- */

void outbox_write_entry(struct json_out *j, const struct outbox_entry *e, enum outbox_detail detail,
                        int content_error) {
    json_object(j);
    json_key_uint(j, "sequence", e->sequence);
    json_key_string(j, "id", e->id);
    key_bytes(j, "service", e->service);
    json_key_string(j, "state", outbox_state_word(e->state));
    key_unix_ms(j, "accepted_at", e->accepted_ms);
    key_unix_ms(j, "expires_at", e->expires_ms);
    key_unix_ms(j, "settled_at", e->settled_ms);
    json_key_uint(j, "attempts", e->attempts);
    json_key(j, "last_status");
    if (e->status)
        json_int(j, e->status);
    else
        json_null(j);
    key_bytes(j, "note", e->note);
    key_bytes(j, "order_key", e->lane);
    key_bytes(j, "idempotency_key", e->key);
    key_bytes(j, "method", e->method);
    json_key_uint(j, "content_bytes", e->content_len);
    if (detail != OUTBOX_BRIEF) {
        key_bytes(j, "target", e->target);
        write_content(j, e, detail == OUTBOX_CONTENT, content_error);
    }
    json_object_end(j);
}

/* ---- a queue ----------------------------------------------------------------------- */

void outbox_write_queue(struct json_out *j, struct queue *q, uint32_t dead_letters) {
    struct queue_stats s;
    queue_read(q, &s);
    json_object(j);
    json_key_string(j, "service", queue_service(q));
    json_key_uint(j, "entries", s.entries);
    json_key_uint(j, "bytes", s.bytes);
    json_key_uint(j, "order_keys", s.lanes);
    json_key_uint(j, "in_flight", s.out);
    key_unix_ms(j, "oldest_at", s.oldest_ms);
    json_key_uint(j, "dead_letters", dead_letters);
    if (s.shared)
        json_key_bool(j, "sends", s.sends);
    json_key_object(j, "since_start");
    json_key_uint(j, "accepted", s.accepted);
    json_key_uint(j, "repeated", s.repeated);
    json_key_uint(j, "sent", s.delivered);
    json_key_uint(j, "dead", s.dead);
    json_key_uint(j, "expired", s.expired);
    json_key_uint(j, "dropped", s.dropped);
    json_key_uint(j, "attempts", s.attempts);
    json_key_uint(j, "failed_attempts", s.failed_attempts);
    json_key_uint(j, "refused_full", s.refused_full);
    json_key_uint(j, "refused_too_large", s.refused_too_large);
    json_key_uint(j, "refused_key_reused", s.key_reused);
    json_key_uint(j, "refused_store_failed", s.store_failed);
    json_object_end(j);
    json_object_end(j);
}
