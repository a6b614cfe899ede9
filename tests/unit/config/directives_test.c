/* directives_test.c - the table agrees with itself, with what it tells users,
 * and with the engine. */
#include "load_scene.h"

#include <switchgear/policy.h>

#include "config/directives.h"
#include "config/types.h"
#include "config/value.h"

/* ---- a file around one directive ---------------------------------------- */

static const char services[] =
    "shop: {endpoints: [http://h]}, shop-small: {endpoints: [http://h]}, "
    "inventory: {endpoints: [http://h]}";

/* Opens what the path needs, writes `value`, and closes: for
 * "routes[].match.host" this is [{prefix: /z, service: shop, match: {host: …}}]. */
static void write_nested(struct buf *to, const char *rest, const char *value) {
    size_t len = strcspn(rest, ".[");
    buf_printf(to, "%.*s: ", (int)len, rest);
    bool list = rest[len] == '[';
    rest += len + (list ? 2 : 0);
    if (!*rest) {
        buf_string(to, value);
        return;
    }
    buf_string(to, list ? "[{" : "{");
    write_nested(to, rest + 1, value);
    buf_string(to, list ? "}]" : "}");
}

/* What else must be there beside some keys of a service. */
static const char *companions(const char *path) {
    if (!strcmp(path, "services.*.rate_limit.burst"))
        return "rate_limit: {rate: 1000/s, burst: %s}";
    if (!strcmp(path, "services.*.fallback[].service.path"))
        return "fallback: [{service: {name: shop-small, path: %s}}]";
    if (!strcmp(path, "services.*.fallback[].service.method"))
        return "fallback: [{service: {name: shop-small, method: %s}}]";
    if (!strcmp(path, "services.*.fallback[].service.set_json"))
        return "fallback: [{service: {name: shop-small, set_json: %s}}]";
    if (!strcmp(path, "services.*.fallback[].service.set_headers"))
        return "fallback: [{service: {name: shop-small, set_headers: %s}}]";
    if (!strcmp(path, "services.*.fallback[].share"))
        return "fallback: [{stale: {}, share: %s}]";
    if (!strcmp(path, "services.*.fallback[].time"))
        return "fallback: [{stale: {}, time: %s}]";
    if (!strcmp(path, "services.*.health.check"))
        return "health: {check: %s, database: shop}";
    if (!strcmp(path, "services.*.fallback[].sql"))
        return "fallback: [{sql: {database: 'sqlite:x', query: SELECT 1}}]";
    if (!strcmp(path, "services.*.fallback[].sql.database"))
        return "fallback: [{sql: {database: %s, query: SELECT 1}}]";
    if (!strcmp(path, "services.*.fallback[].sql.query"))
        return "fallback: [{sql: {database: 'sqlite:x', query: %s, public: true, "
               "params: {category: path.c}}}]";
    if (!strcmp(path, "services.*.fallback[].sql.with"))
        return "fallback: [{sql: {database: 'sqlite:x', query: SELECT 1, wrap: items, with: %s}}]";
    if (!strcmp(path, "services.*.fallback[].sql.params"))
        return "fallback: [{sql: {database: 'sqlite:x', public: true, "
               "query: 'SELECT :category, :limit', params: %s}}]";
    if (!strcmp(path, "services.*.shadow.breaker.open_max"))
        return "shadow: {breaker: {open: 1ms, open_max: %s}}";
    if (!strcmp(path, "services.*.depends_on[].soft"))
        return "depends_on: [{service: inventory, soft: %s}]";
    if (!strcmp(path, "services.*.endpoints[].weight"))
        return "endpoints: [{url: http://h, weight: %s}]";
    return NULL;
}

/* Beside any other key of an sql tier. */
static void write_sql(struct buf *to, const char *key, const char *value) {
    buf_printf(to, "fallback: [{sql: {database: 'sqlite:x', query: SELECT 1, %s: %s}}]", key,
               value);
}

static void replace(struct buf *to, const char *pattern, const char *value) {
    const char *mark = strstr(pattern, "%s");
    if (!mark) {
        buf_string(to, pattern);
        return;
    }
    buf_append(to, pattern, (size_t)(mark - pattern));
    buf_string(to, value);
    buf_string(to, mark + 2);
}

static void write_route(struct buf *to, const char *path, const char *value) {
    const char *key = path + strlen("routes[].");
    bool own = !strcmp(key, "path") || !strcmp(key, "prefix");
    buf_printf(to, "routes: [{%s", own ? "" : "prefix: /api/shop, ");
    if (!strncmp(key, "aggregate", 9)) {
        bool part = strlen(key) > 9, service = !strcmp(key, "aggregate.*.service");
        if (part)
            buf_printf(to, "aggregate: {p: {%s%s: %s}}}]\n", service ? "" : "service: shop, ",
                       key + strlen("aggregate.*."), value);
        else
            buf_printf(to, "aggregate: %s}]\n", value);
        return;
    }
    if (strcmp(key, "service") != 0)
        buf_string(to, "service: shop, ");
    write_nested(to, key, value);
    buf_string(to, "}]\n");
}

static void write_database(struct buf *to, const char *key, const char *value) {
    buf_string(to, strcmp(key, "url") ? "databases: {d: {url: 'sqlite:x', " : "databases: {d: {");
    write_nested(to, key, value);
    buf_string(to, "}}\n");
}

/* A whole file in which only this directive is given. */
static void write_file(struct buf *to, const struct directive *d, const char *value) {
    const char *path = d->path, *special = companions(path);
    bool in_service = !strncmp(path, "services.*.", 11);
    if (!strncmp(path, "routes[].", 9)) {
        write_route(to, path, value);
    } else if (!strcmp(path, "listen[].service") || !strcmp(value, "tcp")) {
        buf_printf(to, "listen: [{address: '127.0.0.1:1'}, {address: '127.0.0.1:2', protocol: tcp, "
                       "service: database}]\n");
    } else if (!strncmp(path, "listen[].", 9)) {
        buf_string(to, strcmp(path + 9, "address") ? "listen: [{address: '127.0.0.1:1', "
                                                   : "listen: [{");
        write_nested(to, path + 9, value);
        buf_string(to, "}]\n");
    } else if (!strncmp(path, "databases.*.", 12)) {
        write_database(to, path + 12, value);
    } else if (!in_service && strcmp(path, "services") != 0) {
        write_nested(to, path, value);
        buf_char(to, '\n');
    }
    if (!strcmp(path, "services.*.cache.store"))
        buf_string(to, "cache_disk: {path: /x}\ncache_redis: {url: 'redis://h'}\n");
    if (!strncmp(path, "services.*.health.", 18))
        buf_string(to, "databases: {shop: {url: 'sqlite:x'}}\n");
    if (!strcmp(path, "services")) {
        buf_printf(to, "services: %s\n", value);
        return;
    }
    buf_printf(to, "services: {%s, ", services);
    if (!strcmp(path, "listen[].service") || !strcmp(value, "tcp"))
        buf_string(to, "database: {endpoints: ['tcp://h:1']}, ");
    buf_string(to, "s: {");
    if (strncmp(path, "services.*.endpoints", 20) != 0)
        buf_string(to, "endpoints: [http://h], ");
    if (!strncmp(path, "services.*.fallback", 19))
        buf_string(to, "cache: {}, ");
    if (in_service && special)
        replace(to, special, value);
    else if (!strncmp(path, "services.*.fallback[].sql.", 26))
        write_sql(to, path + 26, value);
    else if (in_service)
        write_nested(to, path + 11, value);
    buf_string(to, "}}\n");
    if (strncmp(path, "routes", 6) != 0)
        buf_string(to, "routes: [{prefix: /, service: s}]\n");
}

static void load_with(const struct directive *d, const char *value) {
    struct buf text;
    char quoted[512];
    buf_init(&text, 8192);
    /* As in the printed defaults: a sentence that begins with {service}. */
    if (value[0] == '{' && d->type == &type_text) {
        snprintf(quoted, sizeof quoted, "\"%s\"", value);
        value = quoted;
    }
    if (d->type == &type_body_file) /* one that is there */
        value = "/etc/passwd";
    write_file(&text, d, value);
    if (load(buf_cstr(&text)) != 0) {
        config_report_print(&report, stderr);
        fail_msg("%s does not load:\n%s", d->path, buf_cstr(&text));
    }
    buf_free(&text);
}

/* ---- the table ----------------------------------------------------------- */

static void paths_are_unique_and_below_a_group(void **state) {
    for (uint32_t i = 0; i < directive_count; i++) {
        for (uint32_t j = 0; j < i; j++)
            assert_string_not_equal(directives[i].path, directives[j].path);
        assert_ptr_equal(directive_at(directives[i].path), &directives[i]);
        assert_int_equal(directive_index(&directives[i]), i);
        char parent[128];
        snprintf(parent, sizeof parent, "%s", directives[i].path);
        char *dot = strrchr(parent, '.');
        if (!dot)
            continue;
        *dot = '\0';
        char *end = strpbrk(parent, "[*") ? parent + strlen(parent) : NULL;
        if (end && end[-1] == ']')
            end[-2] = '\0';
        if (end && end[-1] == '*')
            end[-2] = '\0';
        assert_non_null(directive_at(parent));
    }
}

static void rows_are_complete(void **state) {
    for (uint32_t i = 0; i < directive_count; i++) {
        const struct directive *d = &directives[i];
        if (d->flags & DIRECTIVE_LATER)
            continue;
        size_t len = d->help ? strlen(d->help) : 0;
        if (len < 5 || d->help[len - 1] != '.')
            fail_msg("%s: help is not a sentence", d->path);
        if (!d->default_text && !d->example && d->type != &type_group && d->type != &type_unless &&
            d->type != &type_tier_service)
            fail_msg("%s has neither default nor example", d->path);
        if (d->min > d->max)
            fail_msg("%s: bounds", d->path);
        /* These store by offset and width; others know their field themselves. */
        bool stores =
            d->type == &type_bool || d->type == &type_not_bool || d->type == &type_count ||
            d->type == &type_duration || d->type == &type_size || d->type == &type_percent ||
            d->type == &type_per_second || d->type == &type_text || d->type == &type_path ||
            d->type == &type_secret || d->type == &type_switched || d->type == &type_unless ||
            d->type == &type_rate || d->type == &type_requests || d->type == &type_window ||
            d->type == &type_retry_on || d->type == &type_cache_key;
        if (stores && !d->width)
            fail_msg("%s has no field", d->path);
    }
}

/* A default that is given explicitly changes nothing. */
static void every_default_loads_back(void **state) {
    const char minimal[] = "services: {shop: {endpoints: [http://h]}, shop-small: {endpoints: "
                           "[http://h]}, inventory: {endpoints: [http://h]}, s: {endpoints: "
                           "[http://h]}}\nroutes: [{prefix: /, service: s}]\n";
    assert_int_equal(load(minimal), 0);
    char *expected = printed(options);
    for (uint32_t i = 0; i < directive_count; i++) {
        const struct directive *d = &directives[i];
        if (!d->default_text)
            continue;
        load_with(d, d->default_text);
        bool has_more = strchr(d->path, '[') || !strncmp(d->path, "databases", 9) ||
                        !strncmp(d->path, "services.*.cache", 16) ||
                        !strncmp(d->path, "services.*.health", 17) ||
                        !strncmp(d->path, "services.*.read_only", 20);
        char *got = printed(options);
        if (!has_more && strcmp(got, expected) != 0)
            fail_msg("%s: %s is not its default:\n%s\n%s", d->path, d->default_text, got, expected);
        free(got);
    }
    free(expected);
}

static void every_example_loads(void **state) {
    setenv("SWITCHGEAR_ADMIN_TOKEN", "0123456789abcdef", 1);
    for (uint32_t i = 0; i < directive_count; i++) {
        if (directives[i].example)
            load_with(&directives[i], directives[i].example);
    }
}

static void the_printed_defaults_are_the_defaults(void **state) {
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    config_defaults_write(out);
    fclose(out);
    load_clean("services: {example: {endpoints: [http://127.0.0.1:8001]}}");
    char *expected = printed(options);
    load_clean(text);
    char *got = printed(options);
    assert_string_equal(got, expected);
    free(got);
    free(expected);
    free(text);
}

static void what_comes_later_is_named(void **state) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < directive_count; i++) {
        const struct directive *d = &directives[i];
        struct buf text;
        if (!(d->flags & DIRECTIVE_LATER))
            continue;
        buf_init(&text, 8192);
        write_file(&text, d, "{some: thing}");
        assert_int_equal(load(buf_cstr(&text)), -1);
        bool told = false;
        for (uint32_t j = 0; j < report.count; j++)
            told = told || strstr(report.findings[j].what, "is not supported by this version");
        if (!told)
            fail_msg("%s:\n%s", d->path, buf_cstr(&text));
        buf_free(&text);
        count++;
    }
    assert_true(count >= 5);
    load_clean("store: ''\nshare: \"\"\n" ONE(""));
}

/* ---- the engine ----------------------------------------------------------- */

static void create_policies(const struct directive *d) {
    for (uint32_t i = 0; i < options->database_count; i++) {
        struct swg_policy *policy;
        enum swg_error error = swg_policy_create(&policy, &options->databases[i].policy, 1, 1);
        if (error)
            fail_msg("%s: %s", d->path, swg_error_sentence(error));
        swg_policy_release(policy);
    }
    for (uint32_t i = 0; i < options->service_count; i++) {
        struct swg_policy *policy;
        enum swg_error error = swg_policy_create(&policy, &options->services[i].policy, 1, 1);
        if (error)
            fail_msg("%s: %s", d->path, swg_error_sentence(error));
        swg_policy_release(policy);
    }
}

static void load_number(const struct directive *d, uint64_t value) {
    char text[64];
    struct buf to;
    buf_init_fixed(&to, text, sizeof text);
    if (d->type == &type_duration)
        value_write_duration(&to, value);
    else if (d->type == &type_size)
        value_write_size(&to, value);
    else
        buf_printf(&to, "%llu%s", (unsigned long long)value,
                   d->type == &type_percent                               ? "%"
                   : d->type == &type_per_second || d->type == &type_rate ? "/s"
                                                                          : "");
    load_with(d, text);
    create_policies(d);
}

/* Whatever loads can be created: at both bounds of every number, with every
 * word. */
static void the_engine_takes_all_that_loads(void **state) {
    uint32_t tried = 0;
    for (uint32_t i = 0; i < directive_count; i++) {
        const struct directive *d = &directives[i];
        if (d->flags & DIRECTIVE_LATER)
            continue;
        for (const struct choice *c = d->choices; c && c->word; c++) {
            if (!c->later)
                load_with(d, c->word);
        }
        if (d->special.word) {
            load_with(d, d->special.word);
            create_policies(d);
        }
        if (!d->max || d->type == &type_window)
            continue;
        /* open_max may not be less than open, here 5s. */
        bool open_max = !strcmp(d->path, "services.*.breaker.open_max");
        load_number(d, open_max ? SWG_SECONDS(5) : d->min);
        load_number(d, d->max);
        tried++;
    }
    assert_true(tried > 40);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        SCENE(paths_are_unique_and_below_a_group),
        SCENE(rows_are_complete),
        SCENE(every_default_loads_back),
        SCENE(every_example_loads),
        SCENE(the_printed_defaults_are_the_defaults),
        SCENE(what_comes_later_is_named),
        SCENE(the_engine_takes_all_that_loads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
