/* config.c - a configuration file of any bytes: never a crash, an error in the
 * report or options that print, load again, and print the same. */
#include "config/config.h"
#include "fuzz.h"

/* libfyaml 0.7.12 forgets a buffer when a long quoted scalar ends in a syntax
 * error; nothing of ours is ever allocated below one of its functions. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libfyaml";
}

/* What the file format itself replaces or cannot hold: variables, and DEL. */
static bool has_no_spelling(struct bytes printed) {
    return memmem(printed.at, printed.len, "${", 2) || memchr(printed.at, 0x7f, printed.len);
}

static void print(const struct gateway_options *options, struct buf *to) {
    struct json_out out;
    buf_init(to, 64 << 20);
    json_init(&out, to);
    config_write_json(options, &out);
    MUST(json_done(&out));
}

static void check_report(const struct config_report *report) {
    struct buf text;
    buf_init(&text, 4 << 20);
    config_report_write(report, &text);
    MUST(!text.failed && (text.len > 0) == (report->count > 0));
    for (uint32_t i = 0; i < report->count; i++)
        MUST(report->findings[i].what && report->findings[i].file);
    buf_free(&text);
}

static void load_again(const struct gateway_options *options) {
    struct config_report report;
    struct gateway_options *again;
    struct buf first, second;
    print(options, &first);
    if (first.len <= 1 << 20 && !has_no_spelling(buf_view(&first))) {
        config_report_init(&report);
        if (config_load_text("again", buf_view(&first), &again, &report) != 0) {
            config_report_print(&report, stderr);
            MUST(!"what was printed loads");
        }
        print(again, &second);
        MUST(bytes_equal(buf_view(&first), buf_view(&second)));
        buf_free(&second);
        gateway_options_release(again);
        config_report_free(&report);
    }
    buf_free(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct config_report report;
    struct gateway_options *options;
    char *text = fuzz_copy(data, size);
    config_report_init(&report);
    int result = config_load_text("fuzz.yaml", (struct bytes){text, size}, &options, &report);
    MUST((result == 0) == (options != NULL) && (result == 0) == (report.error_count == 0));
    check_report(&report);
    if (options) {
        struct buf keys;
        buf_init(&keys, 4096);
        config_write_restart_keys(options, options, &keys);
        MUST(keys.len == 0);
        buf_free(&keys);
        load_again(options);
    }
    gateway_options_release(options);
    config_report_free(&report);
    free(text);
    return 0;
}
