/* fields.c - see fields.h. */
#include "gateway/fields.h"

#include <pthread.h>

#include "gateway/options.h"

static struct field_set repeat_drop, request_drop, options_drop, fetch_drop, response_drop;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_sets(void) {
    static const enum http_field_id of_one_hop[] = {
        HTTP_CONNECTION, HTTP_KEEP_ALIVE, HTTP_PROXY_CONNECTION, HTTP_TRANSFER_ENCODING,
        HTTP_UPGRADE,    HTTP_TE,         HTTP_CONTENT_LENGTH};
    for (size_t i = 0; i < sizeof of_one_hop / sizeof of_one_hop[0]; i++) {
        field_set_add(&request_drop, of_one_hop[i]);
        field_set_add(&response_drop, of_one_hop[i]);
    }
    repeat_drop = request_drop;
    field_set_add(&repeat_drop, HTTP_HOST);
    field_set_add(&repeat_drop, HTTP_EXPECT);
    /* written anew, or nobody's business further on; a client could forge them */
    static const enum http_field_id of_requests[] = {HTTP_HOST,
                                                     HTTP_EXPECT,
                                                     HTTP_PROXY_AUTHORIZATION,
                                                     HTTP_FORWARDED,
                                                     HTTP_X_FORWARDED_FOR,
                                                     HTTP_X_FORWARDED_HOST,
                                                     HTTP_X_FORWARDED_PORT,
                                                     HTTP_X_FORWARDED_PROTO,
                                                     HTTP_X_REAL_IP,
                                                     HTTP_X_REQUEST_ID,
                                                     HTTP_X_CORRELATION_ID,
                                                     HTTP_SWITCHGEAR};
    for (size_t i = 0; i < sizeof of_requests / sizeof of_requests[0]; i++)
        field_set_add(&request_drop, of_requests[i]);
    options_drop = request_drop;
    field_set_add(&options_drop, HTTP_MAX_FORWARDS); /* written anew, one less */
    fetch_drop = request_drop;
    static const enum http_field_id of_fetches[] = {HTTP_IF_NONE_MATCH, HTTP_IF_MODIFIED_SINCE,
                                                    HTTP_IF_MATCH, HTTP_IF_UNMODIFIED_SINCE,
                                                    HTTP_IF_RANGE};
    for (size_t i = 0; i < sizeof of_fetches / sizeof of_fetches[0]; i++)
        field_set_add(&fetch_drop, of_fetches[i]);
    static const enum http_field_id of_responses[] = {
        HTTP_SWITCHGEAR, HTTP_X_REQUEST_ID, HTTP_X_CORRELATION_ID, HTTP_PROXY_AUTHENTICATE};
    for (size_t i = 0; i < sizeof of_responses / sizeof of_responses[0]; i++)
        field_set_add(&response_drop, of_responses[i]);
}

const struct field_set *fields_dropped_from_requests(void) {
    pthread_once(&once, make_sets);
    return &request_drop;
}

const struct field_set *fields_dropped_from_options(void) {
    pthread_once(&once, make_sets);
    return &options_drop;
}

const struct field_set *fields_dropped_from_fetches(void) {
    pthread_once(&once, make_sets);
    return &fetch_drop;
}

const struct field_set *fields_dropped_from_repeats(void) {
    pthread_once(&once, make_sets);
    return &repeat_drop;
}

const struct field_set *fields_dropped_from_responses(void) {
    pthread_once(&once, make_sets);
    return &response_drop;
}

bool fields_are_nominated(const struct http1_head *head) {
    for (uint16_t i = 0; i < head->field_count; i++) {
        if (head->fields[i].id != HTTP_CONNECTION)
            continue;
        struct bytes list = head->fields[i].value, token;
        while (http_list_next(&list, &token)) {
            if (!bytes_equal_nocase(token, BYTES("keep-alive")) &&
                !bytes_equal_nocase(token, BYTES("close")) &&
                !bytes_equal_nocase(token, BYTES("upgrade")) &&
                !bytes_equal_nocase(token, BYTES("te")))
                return true;
        }
    }
    return false;
}

bool fields_is_nominated(const struct http1_head *head, struct bytes name) {
    for (uint16_t i = 0; i < head->field_count; i++) {
        if (head->fields[i].id == HTTP_CONNECTION && http_list_has(head->fields[i].value, name))
            return true;
    }
    return false;
}

void fields_copy(struct buf *out, const struct http1_head *head, const char *head_end,
                 const struct field_set *drop, bool nominated) {
    const char *run = NULL; /* start of the lines to be copied */
    for (uint16_t i = 0; i < head->field_count; i++) {
        const struct http_field *f = &head->fields[i];
        bool dropped =
            field_set_has(drop, f->id) || (nominated && fields_is_nominated(head, f->name));
        if (!dropped && !run)
            run = f->name.at;
        if (dropped && run) {
            buf_append(out, run, (size_t)(f->name.at - run));
            run = NULL;
        }
    }
    if (run)
        buf_append(out, run, (size_t)(head_end - run));
}

static bool is_named(const struct header_value *all, uint32_t count, struct bytes name) {
    for (uint32_t i = 0; i < count; i++) {
        if (bytes_equal_nocase(name, bytes_of(all[i].name)))
            return true;
    }
    return false;
}

void fields_copy_but(struct buf *out, const struct http1_head *head, const struct field_set *drop,
                     bool nominated, const struct header_value *but, uint32_t count) {
    for (uint16_t i = 0; i < head->field_count; i++) {
        const struct http_field *f = &head->fields[i];
        if (field_set_has(drop, f->id) || (nominated && fields_is_nominated(head, f->name)) ||
            is_named(but, count, f->name))
            continue;
        buf_bytes(out, f->name);
        buf_literal(out, ": ");
        buf_bytes(out, f->value);
        buf_literal(out, "\r\n");
    }
}

struct bytes fields_find(const struct http1_head *head, enum http_field_id id) {
    for (uint16_t i = 0; i < head->field_count; i++) {
        if (head->fields[i].id == id)
            return head->fields[i].value;
    }
    return (struct bytes){0};
}
