/* http1_values.c - the values of fields: lists, dates, Retry-After, Cache-Control. */
#include "fuzz.h"
#include "wire/http.h"

static void check_list(struct bytes list) {
    struct bytes rest = list, element;
    const char *after = list.at;
    while (http_list_next(&rest, &element)) {
        MUST(element.len > 0 && element.at >= after);
        MUST(bytes_equal(bytes_trim(element), element));
        after = element.at + element.len;
        MUST(after <= rest.at && rest.at + rest.len == list.at + list.len);
        MUST(http_list_has(list, element));
    }
    MUST(rest.len == 0 && !http_list_next(&rest, &element));
}

static void check_date(struct bytes text) {
    int64_t unix_s, again;
    char written[30];
    if (!http_date_read(text, &unix_s))
        return;
    http_date_write(written, unix_s);
    MUST(written[29] == '\0' && strlen(written) == 29);
    /* A leap second at the end of year 9999 is beyond what can be written. */
    MUST(http_date_read(bytes_of(written), &again) && (again == unix_s || unix_s > 253402300799));
}

static void check_retry_after(struct bytes text) {
    uint32_t seconds, later;
    if (!http_retry_after_read(text, 0, &seconds))
        return;
    MUST(http_retry_after_read(text, 1000, &later) && later <= seconds);
    http_retry_after_read(text, INT64_MAX, &later);
    http_retry_after_read(text, INT64_MIN, &later);
}

static void check_cache_control(struct bytes text) {
    struct http_cache_control control;
    http_cache_control_init(&control);
    http_cache_control_add(&control, text);
    MUST(control.max_age >= -1 && control.s_maxage >= -1 && control.max_stale >= -1);
    MUST(control.min_fresh >= -1 && control.stale_if_error >= -1);
    MUST(control.stale_while_revalidate >= -1);
    MUST(!control.private_fields || control.private_);
    MUST(!control.no_cache_fields || control.no_cache);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *copy = fuzz_copy(data, size);
    struct bytes text = {copy, size};
    if (size <= 256) /* each element is looked up again: quadratic */
        check_list(text);
    check_date(text);
    check_retry_after(text);
    check_cache_control(text);
    MUST(http_field_of(text) < HTTP_FIELD_IDS && http_method_of(text) < HTTP_METHODS);
    free(copy);
    return 0;
}
