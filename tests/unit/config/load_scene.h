/* load_scene.h - loads text and looks at what came of it. */
#ifndef SWG_TEST_LOAD_SCENE_H
#define SWG_TEST_LOAD_SCENE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "config/config.h"

static struct config_report report;
static struct gateway_options *options;

static inline int scene_setup(void **state) {
    config_report_init(&report);
    options = NULL;
    return 0;
}

static inline int scene_teardown(void **state) {
    gateway_options_release(options);
    config_report_free(&report);
    return 0;
}

static inline int load(const char *text) {
    gateway_options_release(options);
    config_report_free(&report);
    config_report_init(&report);
    return config_load_text("test.yaml", bytes_of(text), &options, &report);
}

/* Loads without a finding; a service "s" may be in short. */
static inline void load_clean(const char *text) {
    if (load(text) != 0 || report.count) {
        config_report_print(&report, stderr);
        fail_msg("not clean: %s", text);
    }
}

/* Exactly one error, and it says so. */
static inline void load_error(const char *text, const char *part) {
    struct buf line;
    assert_int_equal(load(text), -1);
    assert_null(options);
    if (report.error_count != 1) {
        config_report_print(&report, stderr);
        fail_msg("%u errors: %s", report.error_count, text);
    }
    uint32_t i = 0;
    while (report.findings[i].severity != CONFIG_ERROR)
        i++;
    buf_init(&line, 8192);
    config_finding_write(&report.findings[i], &line);
    if (!strstr(buf_cstr(&line), part))
        fail_msg("\"%s\" does not say \"%s\"", buf_cstr(&line), part);
    buf_free(&line);
}

static inline void load_warning(const char *text, const char *part) {
    struct buf line;
    assert_int_equal(load(text), 0);
    if (report.count != 1) {
        config_report_print(&report, stderr);
        fail_msg("%u findings: %s", report.count, text);
    }
    buf_init(&line, 8192);
    config_finding_write(&report.findings[0], &line);
    assert_non_null(strstr(buf_cstr(&line), ": warning: "));
    if (!strstr(buf_cstr(&line), part))
        fail_msg("\"%s\" does not say \"%s\"", buf_cstr(&line), part);
    buf_free(&line);
}

/* The options as JSON, to be freed. */
static inline char *printed(const struct gateway_options *o) {
    struct buf text;
    struct json_out out;
    buf_init(&text, 16 << 20);
    json_init(&out, &text);
    config_write_json(o, &out);
    assert_true(json_done(&out));
    return text.at;
}

static inline const struct service_options *service(uint32_t index) {
    assert_non_null(options);
    assert_true(index < options->service_count);
    return &options->services[index];
}

/* One service "s" with the given lines below it, indented by two. */
#define ONE(lines)  "services: {s: {endpoints: [http://h], " lines "}}"
#define SCENE(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)

#endif
