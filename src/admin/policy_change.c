/* policy_change.c - see policy_change.h. */
#include "admin/policy_change.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin/admin_priv.h"
#include "admin/problem.h"
#include "base/rfc3339.h"
#include "config/patch.h"
#include "gateway/policy_history.h"

enum { DIFF_MAX = 1 << 20, TEXT_MAX = 4096 };

static uint64_t unix_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- which one, and whether it is still the one that was seen ---------------------- */

void policy_write_etag(struct response *a, uint64_t generation) {
    buf_printf(&a->fields, "ETag: \"g%llu\"\r\n", (unsigned long long)generation);
}

/* A list of tags (RFC 9110 section 13.1.1); weak ones never match. */
static bool is_current(struct bytes field, uint64_t generation) {
    char tag[32];
    struct bytes part;
    snprintf(tag, sizeof tag, "\"g%llu\"", (unsigned long long)generation);
    while (bytes_split(&field, ',', &part)) {
        part = bytes_trim(part);
        if (bytes_equal(part, BYTES("*")) || bytes_equal(part, bytes_of(tag)))
            return true;
    }
    return false;
}

bool policy_change_begin(struct policy_change *c, struct request *r, struct response *a) {
    char flag[8];
    *c = (struct policy_change){.request = r, .answer = a, .author = "admin API", .reason = ""};
    buf_init(&c->diff, DIFF_MAX);
    buf_init(&c->words, DIFF_MAX);
    config_report_init(&c->report);
    c->plan = gateway_plan(r->admin->gateway);
    c->service = c->plan ? plan_service(c->plan, bytes_of(r->name)) : NULL;
    if (!c->service) {
        problem(a, 404, "unknown_service", "there is no service \"%s\"", r->name);
        return false;
    }
    c->generation = c->plan->generation;
    struct bytes match = request_field_named(r, BYTES("If-Match"));
    if (match.at && !is_current(match, c->generation)) {
        problem(a, 412, "changed_meanwhile",
                "the configuration is another by now: generation %llu; read it again",
                (unsigned long long)c->generation);
        return false;
    }
    if (request_query(r, "dry_run", flag, sizeof flag))
        c->trial = strcmp(flag, "0") != 0 && strcmp(flag, "false") != 0;
    const struct gateway_options *o = c->plan->options;
    c->patches = calloc(PATCHES_MAX + 1, sizeof *c->patches);
    if (!c->patches) {
        problem(a, 503, "no_memory", "out of memory");
        return false;
    }
    c->count = o->patch_count < PATCHES_MAX ? o->patch_count : PATCHES_MAX;
    if (c->count)
        memcpy(c->patches, o->patches, c->count * sizeof *c->patches);
    return true;
}

bool policy_change_add(struct policy_change *c, const char *key, const char *value) {
    if (c->count == PATCHES_MAX) {
        problem(c->answer, 409, "too_many_changes",
                "%d keys are changed at run time already; put them into the file and reload",
                PATCHES_MAX);
        return false;
    }
    patch_list_add(c->patches, &c->count,
                   &(struct policy_patch){.service = c->service->options->name,
                                          .key = key,
                                          .value = value,
                                          .author = c->author,
                                          .reason = c->reason,
                                          .unix_ms = unix_ms()});
    return true;
}

void policy_change_clear(struct policy_change *c) {
    patch_list_clear(c->patches, &c->count, c->service->options->name);
}

void policy_change_end(struct policy_change *c) {
    gateway_options_release(c->options);
    config_report_free(&c->report);
    buf_free(&c->diff);
    buf_free(&c->words);
    free(c->patches);
    plan_release(c->plan);
}

/* ---- carrying out ----------------------------------------------------------------------- */

/* As `switchgear check` prints it; without the file, where it is not about that. */
static void write_finding(struct json_out *j, const struct config_finding *finding) {
    char memory[TEXT_MAX];
    struct buf text;
    struct config_finding f = *finding;
    if (!f.line)
        f.file = "";
    buf_init_fixed(&text, memory, sizeof memory);
    config_finding_write(&f, &text);
    struct bytes shown = buf_view(&text);
    if (!f.line && bytes_starts(shown, BYTES(": ")))
        shown = (struct bytes){shown.at + 2, shown.len - 2};
    json_bytes(j, shown);
}

static void write_findings(struct json_out *j, const char *key, const struct config_report *report,
                           enum config_severity severity) {
    json_key_array(j, key);
    for (uint32_t i = 0; i < report->count; i++) {
        const struct config_finding *f = &report->findings[i];
        /* what the file says was read, and warned of, when it was loaded */
        if (f->severity == severity && (severity == CONFIG_ERROR || !f->line))
            write_finding(j, f);
    }
    json_array_end(j);
}

static bool refused(struct policy_change *c) {
    struct json_out *j = problem_begin(c->answer, 422, "bad_policy",
                                       "the policy would have errors; nothing was changed");
    json_key_string(j, "service", c->service->options->name);
    write_findings(j, "errors", &c->report, CONFIG_ERROR);
    problem_end(c->answer);
    return false;
}

static const struct service_options *find(const struct gateway_options *o, const char *name) {
    for (uint32_t i = 0; i < o->service_count; i++) {
        if (!strcmp(o->services[i].name, name))
            return &o->services[i];
    }
    return NULL;
}

static void compare(struct policy_change *c) {
    struct json_out j;
    json_init(&j, &c->diff);
    json_array(&j);
    c->changed = config_write_policy_diff(c->service->options, c->after, &j, &c->words);
    json_array_end(&j);
}

static void note(const struct policy_change *c, const char *verb) {
    history_policy_changed(c->request->admin->gateway,
                           &(struct policy_note){.service = c->service->options->name,
                                                 .verb = verb,
                                                 .author = c->author,
                                                 .reason = c->reason,
                                                 .changes = buf_cstr(&c->words),
                                                 .generation = c->generation});
}

static bool bring_into_force(struct policy_change *c, const char *verb) {
    struct admin *admin = c->request->admin;
    int error = admin->host.change(admin->host.arg, c->options);
    if (error) {
        problem(c->answer, error == -ENOMEM ? 503 : 500, "not_changed",
                "the policy could not be brought into force: %s", strerror(-error));
        return false;
    }
    struct plan *now = gateway_plan(admin->gateway);
    c->generation = now->generation;
    plan_release(now);
    note(c, verb);
    return true;
}

bool policy_change_finish(struct policy_change *c, const char *verb) {
    const struct gateway_options *old = c->plan->options;
    if (config_load_patched(old, c->patches, c->count, &c->options, &c->report) < 0)
        return refused(c);
    c->after = find(c->options, c->service->options->name);
    if (!c->after) {
        problem(c->answer, 500, "not_changed", "the service is gone");
        return false;
    }
    compare(c);
    bool same = !c->changed && c->count == old->patch_count;
    return c->trial || same || bring_into_force(c, verb);
}

/* ---- telling ------------------------------------------------------------------------------- */

void policy_write_patches(struct json_out *j, const struct gateway_options *o,
                          const char *service) {
    char since[RFC3339_SIZE];
    json_array(j);
    for (uint32_t i = 0; i < o->patch_count; i++) {
        const struct policy_patch *p = &o->patches[i];
        if (service && strcmp(p->service, service) != 0)
            continue;
        rfc3339_ms(since, p->unix_ms);
        json_object(j);
        if (!service)
            json_key_string(j, "service", p->service);
        json_key_string(j, "key", p->key);
        json_key(j, "value");
        json_raw(j, bytes_of(p->value));
        json_key_string(j, "author", p->author);
        json_key_string(j, "reason", *p->reason ? p->reason : NULL);
        json_key_string(j, "since", since);
        json_object_end(j);
    }
    json_array_end(j);
}

void policy_change_write(const struct policy_change *c, struct json_out *j) {
    json_key_string(j, "service", c->after->name);
    json_key_uint(j, "generation", c->generation);
    json_key_bool(j, "dry_run", c->trial);
    json_key(j, "changed");
    json_raw(j, buf_view(&c->diff));
    json_key(j, "patched");
    policy_write_patches(j, c->options, c->after->name);
    write_findings(j, "warnings", &c->report, CONFIG_WARNING);
}
