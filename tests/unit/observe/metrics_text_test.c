/* Both formats byte by byte, and promtool's opinion of the one it reads. */
#include "observe/metrics_text.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "observe/process_metrics.h"

static const struct metric_desc requests = {
    .name = "gateway_proxy_requests_total",
    .type = METRIC_COUNTER,
    .help = "Requests, \"answered\" or not.\\\nTwo lines.",
    .labels = {{"service", "name of the service"}, {"status", "of the answer"}}};
static const struct metric_desc bytes_sent = {.name = "gateway_sent_bytes_total",
                                              .type = METRIC_COUNTER,
                                              .unit = "bytes",
                                              .help = "Bytes sent to clients."};
static const struct metric_desc state_of = {.name = "circuit_breaker_state",
                                            .type = METRIC_GAUGE,
                                            .help = "0 closed, 1 open, 2 half-open.",
                                            .labels = {{"service", "name of the service"}}};
static const struct metric_desc took = {.name = "gateway_proxy_request_duration_seconds",
                                        .type = METRIC_HISTOGRAM,
                                        .unit = "seconds",
                                        .help = "How long requests took.",
                                        .labels = {{"service", "name of the service"}}};

static struct metrics *m;
static struct buf out;
static struct metric_family *state_family, *took_family, *requests_family;

static int set_up(void **state) {
    buf_init(&out, 1 << 20);
    return metrics_create(&m, 2);
}

static int tear_down(void **state) {
    metrics_destroy(m);
    buf_free(&out);
    return 0;
}

static void emit_states(struct metrics_scrape *scrape, void *arg) {
    metrics_emit(scrape, state_family, (const char *[]){"search"}, 1);
    metrics_emit_uint(scrape, requests_family, (const char *[]){"else", "500"}, UINT64_MAX);
    metrics_emit(scrape, state_family, (const char *[]){"reco"}, 0.1);
    metrics_emit(scrape, state_family, (const char *[]){"odd"}, NAN);
    metrics_emit(scrape, state_family, (const char *[]){"high"}, INFINITY);
    metrics_emit(scrape, state_family, (const char *[]){"low"}, -INFINITY);
}

static void fill(void) {
    requests_family = metrics_family(m, &requests);
    struct metric_family *f = requests_family;
    counter_add(metrics_series(f, (const char *[]){"search", "200"}), 0, 3);
    counter_add(metrics_series(f, (const char *[]){"a\"\\\n\xff\xc3\xa9", "503"}), 1, 1);
    counter_add(metrics_series(metrics_family(m, &bytes_sent), NULL), 0, 1024);
    state_family = metrics_family(m, &state_of);
    assert_int_equal(metrics_collect(m, emit_states, NULL), 0);
}

static void writes_prometheus_text(void **state) {
    fill();
    assert_int_equal(metrics_write(m, &out, METRICS_PROMETHEUS), 0);
    assert_string_equal(
        buf_cstr(&out),
        "# HELP gateway_proxy_requests_total Requests, \"answered\" or not.\\\\\\nTwo lines.\n"
        "# TYPE gateway_proxy_requests_total counter\n"
        "gateway_proxy_requests_total{service=\"search\",status=\"200\"} 3\n"
        "gateway_proxy_requests_total{service=\"a\\\"\\\\\\n\xef\xbf\xbd\xc3\xa9\",status=\"503\"} "
        "1\n"
        "gateway_proxy_requests_total{service=\"else\",status=\"500\"} 18446744073709551615\n"
        "# HELP gateway_sent_bytes_total Bytes sent to clients.\n"
        "# TYPE gateway_sent_bytes_total counter\n"
        "gateway_sent_bytes_total 1024\n"
        "# HELP circuit_breaker_state 0 closed, 1 open, 2 half-open.\n"
        "# TYPE circuit_breaker_state gauge\n"
        "circuit_breaker_state{service=\"search\"} 1\n"
        "circuit_breaker_state{service=\"reco\"} 0.1\n"
        "circuit_breaker_state{service=\"odd\"} NaN\n"
        "circuit_breaker_state{service=\"high\"} +Inf\n"
        "circuit_breaker_state{service=\"low\"} -Inf\n");
}

static void writes_openmetrics(void **state) {
    fill();
    assert_int_equal(metrics_write(m, &out, METRICS_OPENMETRICS), 0);
    assert_string_equal(
        buf_cstr(&out),
        "# HELP gateway_proxy_requests Requests, \\\"answered\\\" or not.\\\\\\nTwo lines.\n"
        "# TYPE gateway_proxy_requests counter\n"
        "gateway_proxy_requests_total{service=\"search\",status=\"200\"} 3\n"
        "gateway_proxy_requests_total{service=\"a\\\"\\\\\\n\xef\xbf\xbd\xc3\xa9\",status=\"503\"} "
        "1\n"
        "gateway_proxy_requests_total{service=\"else\",status=\"500\"} 18446744073709551615\n"
        "# HELP gateway_sent_bytes Bytes sent to clients.\n"
        "# TYPE gateway_sent_bytes counter\n"
        "# UNIT gateway_sent_bytes bytes\n"
        "gateway_sent_bytes_total 1024\n"
        "# HELP circuit_breaker_state 0 closed, 1 open, 2 half-open.\n"
        "# TYPE circuit_breaker_state gauge\n"
        "circuit_breaker_state{service=\"search\"} 1\n"
        "circuit_breaker_state{service=\"reco\"} 0.1\n"
        "circuit_breaker_state{service=\"odd\"} NaN\n"
        "circuit_breaker_state{service=\"high\"} +Inf\n"
        "circuit_breaker_state{service=\"low\"} -Inf\n"
        "# EOF\n");
}

static void writes_histograms(void **state) {
    struct metric_series *s = metrics_series(metrics_family(m, &took), (const char *[]){"search"});
    histogram_observe(s, 0, 500000); /* at a bound: below it */
    histogram_observe(s, 1, 1);
    histogram_observe(s, 2, UINT64_C(40000000000));
    assert_int_equal(metrics_write(m, &out, METRICS_PROMETHEUS), 0);
    const char *text = buf_cstr(&out);
#define NAME "gateway_proxy_request_duration_seconds"
    assert_non_null(strstr(text, NAME "_bucket{service=\"search\",le=\"0.0005\"} 2\n" NAME
                                      "_bucket{service=\"search\",le=\"0.001\"} 2\n"));
    assert_non_null(strstr(text, NAME "_bucket{service=\"search\",le=\"1.0\"} 2\n"));
    assert_non_null(strstr(text, NAME "_bucket{service=\"search\",le=\"30.0\"} 2\n" NAME
                                      "_bucket{service=\"search\",le=\"+Inf\"} 3\n" NAME
                                      "_sum{service=\"search\"} 40.000500001\n" NAME
                                      "_count{service=\"search\"} 3\n"));
}

static void emit_histogram(struct metrics_scrape *scrape, void *arg) {
    struct histogram h = {{1, 2}, 2000000000};
    metrics_emit_histogram(scrape, took_family, (const char *[]){"cold"}, &h);
}

static void writes_collected_histograms(void **state) {
    took_family = metrics_family(m, &took);
    assert_int_equal(metrics_collect(m, emit_histogram, NULL), 0);
    assert_int_equal(metrics_write(m, &out, METRICS_OPENMETRICS), 0);
    const char *text = buf_cstr(&out);
    assert_non_null(strstr(text, "# UNIT " NAME " seconds\n"));
    assert_non_null(strstr(text, NAME "_bucket{service=\"cold\",le=\"0.001\"} 3\n"));
    assert_non_null(strstr(text, NAME "_sum{service=\"cold\"} 2.0\n"));
}

static void writes_nothing_for_a_family_without_samples(void **state) {
    metrics_family(m, &requests);
    assert_int_equal(metrics_write(m, &out, METRICS_PROMETHEUS), 0);
    assert_string_equal(buf_cstr(&out), "");
    assert_int_equal(metrics_write(m, &out, METRICS_OPENMETRICS), 0);
    assert_string_equal(buf_cstr(&out), "# EOF\n");
}

static void tells_when_the_text_does_not_fit(void **state) {
    fill();
    for (size_t max = 0; max < 1200; max += 7) {
        struct buf little;
        buf_init(&little, max);
        int error = metrics_write(m, &little, METRICS_OPENMETRICS);
        assert_true((error == 0) == (!little.failed && little.len > 6 &&
                                     strcmp(little.at + little.len - 6, "# EOF\n") == 0));
        buf_free(&little);
    }
}

static void emit_long(struct metrics_scrape *scrape, void *arg) {
    metrics_emit(scrape, state_family, (const char *[]){arg}, 1);
}

/* The only sample is lost before it reaches the output, which itself is fine. */
static void tells_when_a_collected_sample_does_not_fit(void **state) {
    static char name[400];
    struct buf little;
    memset(name, 'x', sizeof(name) - 1);
    state_family = metrics_family(m, &state_of);
    assert_int_equal(metrics_collect(m, emit_long, name), 0);
    buf_init(&little, 300);
    assert_int_equal(metrics_write(m, &little, METRICS_PROMETHEUS), -ENOMEM);
    buf_free(&little);
}

/* Every line of samples once; every family's lines together. */
static void assert_no_duplicates(char *text) {
    char *lines[2000];
    unsigned count = 0;
    for (char *save, *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        if (*l != '#')
            *strrchr(l, ' ') = '\0';
        assert_true(count < 2000);
        lines[count++] = l;
    }
    for (unsigned i = 0; i < count; i++)
        for (unsigned k = i + 1; k < count; k++)
            assert_string_not_equal(lines[i], lines[k]);
}

static void promtool_has_nothing_to_say(void **state) {
    if (system("command -v promtool >/dev/null") != 0)
        skip();
    struct process_metrics *process;
    assert_int_equal(process_metrics_create(&process, m), 0);
    fill();
    for (int i = 0; i < 2100; i++) { /* some into overflow */
        char name[16];
        snprintf(name, sizeof(name), "s%d", i);
        counter_add(metrics_series(requests_family, (const char *[]){name, "200"}), 0, 1);
    }
    histogram_observe(metrics_series(metrics_family(m, &took), (const char *[]){"x"}), 0, 5);
    assert_int_equal(metrics_write(m, &out, METRICS_PROMETHEUS), 0);
    assert_non_null(strstr(buf_cstr(&out), "gateway_metrics_overflow_total{metric="));

    char file[] = "/tmp/metrics_text_test.XXXXXX", command[128], complaint[4096];
    int fd = mkstemp(file);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, out.at, out.len), out.len);
    close(fd);
    snprintf(command, sizeof(command), "promtool check metrics < %s 2>&1", file);
    FILE *promtool = popen(command, "r");
    complaint[fread(complaint, 1, sizeof(complaint) - 1, promtool)] = '\0';
    int status = pclose(promtool);
    unlink(file);
    assert_string_equal(complaint, "");
    assert_int_equal(status, 0);
    process_metrics_destroy(process);
}

static void writes_no_sample_twice(void **state) {
    struct process_metrics *process;
    assert_int_equal(process_metrics_create(&process, m), 0);
    fill();
    histogram_observe(metrics_series(metrics_family(m, &took), (const char *[]){"x"}), 0, 5);
    histogram_observe(metrics_series(metrics_family(m, &took), (const char *[]){"y"}), 0, 5);
    assert_int_equal(metrics_write(m, &out, METRICS_PROMETHEUS), 0);
    assert_no_duplicates(out.at);
    process_metrics_destroy(process);
}

#define TEXT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEXT_TEST(writes_prometheus_text),
        TEXT_TEST(writes_openmetrics),
        TEXT_TEST(writes_histograms),
        TEXT_TEST(writes_collected_histograms),
        TEXT_TEST(writes_nothing_for_a_family_without_samples),
        TEXT_TEST(tells_when_the_text_does_not_fit),
        TEXT_TEST(tells_when_a_collected_sample_does_not_fit),
        TEXT_TEST(promtool_has_nothing_to_say),
        TEXT_TEST(writes_no_sample_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
