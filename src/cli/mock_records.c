/* mock_records.c - see mock_records.h. */
#include "cli/mock_records.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "cli/mock.h"
#include "wire/http1.h"

static const char *const end_words[MOCK_ENDS] = {
    [MOCK_UNDER_WAY] = "under_way", [MOCK_ANSWERED] = "answered", [MOCK_BROKEN_OFF] = "broken_off",
    [MOCK_GONE] = "client_gone",    [MOCK_REFUSED] = "refused",
};

/* ---- the last requests -------------------------------------------------------- */

static void keep_head(struct mock_record *r, struct bytes head) {
    r->head_len = 0;
    if (head.len > MOCK_RECORD_HEAD_MAX)
        return;
    if (head.len > r->head_size) {
        uint32_t size = ((uint32_t)head.len + 255) & ~255u;
        char *grown = realloc(r->head, size);
        if (!grown)
            return;
        r->head = grown;
        r->head_size = size;
    }
    memcpy(r->head, head.at, head.len);
    r->head_len = (uint32_t)head.len;
}

uint64_t mock_records_add(struct mock_records *all, uint64_t connection, enum mock_fate fate,
                          struct bytes head, int64_t at_ms) {
    uint64_t number = ++all->last;
    struct mock_record *r = &all->slots[number % MOCK_RECORDS];
    r->number = number;
    r->connection = connection;
    r->at_ms = at_ms;
    r->body_bytes = 0;
    r->body_complete = false;
    r->fate = (uint8_t)fate;
    r->end = MOCK_UNDER_WAY;
    r->status = 0;
    keep_head(r, head);
    return number;
}

struct mock_record *mock_records_get(struct mock_records *all, uint64_t number) {
    struct mock_record *r = &all->slots[number % MOCK_RECORDS];
    return number && r->number == number ? r : NULL;
}

/* Numbers go on: who asks for what came since one never sees it twice. */
void mock_records_clear(struct mock_records *all) {
    for (int i = 0; i < MOCK_RECORDS; i++)
        all->slots[i].number = 0;
}

void mock_records_free(struct mock_records *all) {
    for (int i = 0; i < MOCK_RECORDS; i++)
        free(all->slots[i].head);
}

static bool read_head(const struct mock_record *r, struct http_field *fields,
                      struct http1_head *head) {
    const struct http1_limits limits = {MOCK_HEAD_MAX, MOCK_HEAD_MAX, MOCK_FIELDS_MAX, 0};
    size_t used;
    head->fields = fields;
    return r->head_len && !http1_parse_request(r->head, r->head_len, 0, &limits, head, &used) &&
           used;
}

static void write_record(const struct mock_record *r, const struct http1_head *head,
                         struct json_out *j) {
    json_object(j);
    json_key_uint(j, "number", r->number);
    json_key_int(j, "at_ms", r->at_ms);
    json_key_uint(j, "connection", r->connection);
    if (head) {
        json_key(j, "method");
        json_bytes(j, head->method_text);
        json_key(j, "target");
        json_bytes(j, head->target);
        json_key_string(j, "version", head->minor ? "1.1" : "1.0");
        mock_write_fields(j, head);
    }
    json_key_uint(j, "body_bytes", r->body_bytes);
    json_key_bool(j, "body_complete", r->body_complete);
    json_key_string(j, "fate", mock_fate_words[r->fate]);
    json_key_string(j, "end", end_words[r->end]);
    if (r->status)
        json_key_uint(j, "status", r->status);
    json_object_end(j);
}

void mock_records_write(const struct mock_records *all, struct json_out *j, uint64_t since,
                        uint64_t limit, struct bytes path) {
    struct http_field fields[MOCK_FIELDS_MAX];
    uint64_t first = all->last > MOCK_RECORDS ? all->last - MOCK_RECORDS + 1 : 1;
    if (since >= first)
        first = since + 1;
    if (limit < MOCK_RECORDS && first + limit <= all->last)
        first = all->last - limit + 1;
    json_array(j);
    for (uint64_t n = first; n <= all->last; n++) {
        const struct mock_record *r = &all->slots[n % MOCK_RECORDS];
        struct http1_head head;
        if (r->number != n)
            continue;
        bool whole = read_head(r, fields, &head);
        if (path.len && !(whole && bytes_starts(head.target, path)))
            continue;
        write_record(r, whole ? &head : NULL, j);
    }
    json_array_end(j);
}

/* ---- counts -------------------------------------------------------------------- */

static uint64_t hash(struct bytes method, struct bytes path) {
    uint64_t h = method.len;
    for (size_t i = 0; i < method.len; i++)
        h = h * 31 + (unsigned char)method.at[i];
    for (size_t i = 0; i < path.len; i++)
        h = h * 31 + (unsigned char)path.at[i];
    return random_mix(h);
}

static bool is_path(const struct mock_path *p, struct bytes method, struct bytes path) {
    return !strncmp(p->text, method.at, method.len) && p->text[method.len] == ' ' &&
           !strncmp(p->text + method.len + 1, path.at, path.len) &&
           !p->text[method.len + 1 + path.len];
}

static struct mock_path *find_path(struct mock_counts *c, struct bytes method, struct bytes path) {
    if (method.len > 32)
        method.len = 32;
    if (path.len > sizeof c->paths[0].text - 2 - method.len)
        path.len = sizeof c->paths[0].text - 2 - method.len;
    uint64_t slot = hash(method, path) % MOCK_PATH_SLOTS;
    for (; c->path_slots[slot]; slot = (slot + 1) % MOCK_PATH_SLOTS) {
        struct mock_path *p = &c->paths[c->path_slots[slot] - 1];
        if (is_path(p, method, path))
            return p;
    }
    if (c->path_count == MOCK_PATHS_MAX)
        return NULL;
    struct mock_path *p = &c->paths[c->path_count++];
    c->path_slots[slot] = (uint16_t)c->path_count;
    snprintf(p->text, sizeof p->text, "%.*s %.*s", (int)method.len, method.at, (int)path.len,
             path.at);
    p->count = 0;
    return p;
}

void mock_counts_request(struct mock_counts *c, unsigned method, struct bytes method_text,
                         struct bytes path, enum mock_fate fate) {
    struct mock_path *p = find_path(c, method_text, path);
    c->requests++;
    c->in_flight++;
    c->fates[fate]++;
    c->methods[method < 16 ? method : 0]++;
    if (p)
        p->count++;
    else
        c->other_paths++;
}

void mock_counts_clear(struct mock_counts *c) {
    uint64_t in_flight = c->in_flight, held = c->held;
    memset(c, 0, sizeof *c);
    c->in_flight = in_flight;
    c->held = held;
}

void mock_counts_write(const struct mock_counts *c, struct json_out *j) {
    json_key_uint(j, "requests", c->requests);
    json_key_uint(j, "in_flight", c->in_flight);
    json_key_uint(j, "held", c->held);
    json_key_uint(j, "body_bytes", c->body_bytes);
    json_key_object(j, "by_method");
    for (unsigned m = 0; m < HTTP_METHODS; m++) {
        if (c->methods[m])
            json_key_uint(j, http_method_name((enum http_method)m), c->methods[m]);
    }
    json_object_end(j);
    json_key_object(j, "by_path");
    for (uint32_t i = 0; i < c->path_count; i++)
        json_key_uint(j, c->paths[i].text, c->paths[i].count);
    if (c->other_paths)
        json_key_uint(j, "other", c->other_paths);
    json_object_end(j);
    json_key_object(j, "by_status");
    for (int s = 0; s < 600; s++) {
        char key[12];
        snprintf(key, sizeof key, "%d", s);
        if (c->status[s])
            json_key_uint(j, key, c->status[s]);
    }
    json_object_end(j);
    json_key_object(j, "by_fate");
    for (int f = 0; f < MOCK_FATES; f++)
        json_key_uint(j, mock_fate_words[f], c->fates[f]);
    json_object_end(j);
    json_key_object(j, "by_end");
    for (int e = MOCK_ANSWERED; e < MOCK_ENDS; e++)
        json_key_uint(j, end_words[e], c->ends[e]);
    json_object_end(j);
}
