/* explain_rehearse.c - `explain --rehearse`: the running gateway tries the
 * fallback chain for this request, without effect. */
#include <stdlib.h>

#include "base/json_out.h"
#include "cli/explain.h"
#include "cli/terminal.h"

enum { BODY_MAX = 32 * 1024, ANSWER_MAX = 1 << 20 };

static void write_request(const struct explanation *e, struct buf *to) {
    const struct explain_request *r = e->request;
    struct json_out j;
    struct buf target;
    buf_init(&target, BODY_MAX);
    buf_bytes(&target, r->parts.path);
    if (r->parts.query.at) {
        buf_char(&target, '?');
        buf_bytes(&target, r->parts.query);
    }
    json_init(&j, to);
    json_object(&j);
    json_key(&j, "method");
    json_bytes(&j, r->method_text);
    json_key(&j, "path");
    json_bytes(&j, buf_view(&target));
    json_key_object(&j, "headers");
    if (r->host.len) {
        json_key(&j, "Host");
        json_bytes(&j, r->host);
    }
    for (uint16_t i = 0; i < r->field_count; i++) {
        if (r->fields[i].id == HTTP_HOST)
            continue;
        json_key_bytes(&j, r->fields[i].name);
        json_bytes(&j, r->fields[i].value);
    }
    json_object_end(&j);
    json_object_end(&j);
    buf_free(&target);
}

static void show(const char *text, FILE *to) {
    terminal_text(to, text);
}

static void write_tier(const struct node *tier, FILE *to) {
    const char *reason = json_in_text(tier, "reason");
    const char *preview = json_in_text(tier, "preview");
    double took = json_in_number(tier, "took_ms", -1);
    fputs("  ", to);
    show(json_in_text_or(tier, "tier", "?"), to);
    fputs(": ", to);
    show(json_in_text_or(tier, "result", "?"), to);
    if (took >= 0)
        fprintf(to, " in %.1f ms", took);
    if (reason) {
        fputs(", ", to);
        show(reason, to);
    }
    fputc('\n', to);
    if (preview && *preview) {
        fprintf(to, "    %.0f ", json_in_number(tier, "status", 0));
        show(preview, to);
        fputc('\n', to);
    }
}

static void write_text(const struct node *told, FILE *to) {
    const struct node *tiers = json_in_get(told, "tiers");
    const char *who = json_in_text(told, "would_answer");
    fputs("\nif the service were gone now: ", to);
    show(who ? who : "no tier would answer", to);
    fputc('\n', to);
    for (const struct node_entry *t = tiers && tiers->kind == NODE_LIST ? tiers->first : NULL; t;
         t = t->next)
        write_tier(t->value, to);
}

int explain_rehearse(const struct explanation *e, struct admin_client *client, bool json,
                     FILE *to) {
    struct buf path, body, answer;
    struct json_in told;
    buf_init(&path, 1024);
    buf_init(&body, BODY_MAX);
    buf_init(&answer, ANSWER_MAX);
    buf_string(&path, "/api/v1/fallbacks/");
    admin_client_escape(&path, e->service->name);
    buf_string(&path, "/test");
    write_request(e, &body);
    int result = body.failed ? -1
                             : admin_client_ask(client, "POST", buf_cstr(&path), buf_view(&body),
                                                &answer, 0);
    if (!result && json) {
        fprintf(to, "%s\n", buf_cstr(&answer));
    } else if (!result) {
        if (json_in_read(&told, buf_view(&answer)))
            write_text(told.root, to);
        json_in_free(&told);
    }
    buf_free(&path);
    buf_free(&body);
    buf_free(&answer);
    return result;
}
