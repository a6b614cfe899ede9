/* The control port: small answers, made in memory. */
#include "server_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void server_counters_json(struct server *s, FILE *out) {
    unsigned seconds = 0;

    if (server_started(s))
        seconds = (unsigned)(server_since_start(s) / 1000000000ull) + 1;
    fprintf(out, "{\"endpoints\": {");
    for (unsigned i = 0; i < s->options.endpoints; i++) {
        endpoint_count_refused(&s->endpoints[i]);
        fprintf(out, "%s", i > 0 ? ", " : "");
        endpoint_counts_json(&s->endpoints[i], seconds, out);
    }
    fprintf(out, "},\n \"posts\": {\"distinct\": %llu, \"twice\": %llu, \"unnumbered\": %llu}}\n",
            (unsigned long long)s->posts.distinct, (unsigned long long)s->posts.twice,
            (unsigned long long)s->posts.unnumbered);
}

static int force_fault(struct server *s, const char *query) {
    char name, mode[16];
    enum fault fault;

    if (sscanf(query, "endpoint=%c&mode=%15s", &name, mode) != 2 || fault_parse(mode, &fault) != 0)
        return -EINVAL;
    if (name < 'a' || (unsigned)(name - 'a') >= s->options.endpoints || fault == FAULT_FLAP)
        return -EINVAL;
    s->endpoints[name - 'a'].forced = fault;
    return 0;
}

static int run_command(struct server *s, const char *path, FILE *out) {
    int err = 0;

    if (strcmp(path, "/counters") == 0) {
        server_counters_json(s, out);
        return 0;
    }
    if (strcmp(path, "/reset") == 0) {
        for (unsigned i = 0; i < s->options.endpoints; i++)
            endpoint_reset_counts(&s->endpoints[i]);
        posts_clear(&s->posts);
    } else if (strncmp(path, "/start?at=", 10) == 0) {
        s->start_ns = strtoull(path + 10, NULL, 10);
    } else if (strcmp(path, "/start") == 0) {
        s->start_ns = s->now_ns;
    } else if (strncmp(path, "/fault?", 7) == 0) {
        err = force_fault(s, path + 7);
    } else {
        err = -ENOENT;
    }
    fprintf(out, "{\"ok\": %s}\n", err == 0 ? "true" : "false");
    return err;
}

void control_answer(struct server *s, struct served *k) {
    size_t len = 0;
    char *text = NULL;
    FILE *out = open_memstream(&text, &len);

    if (out == NULL) {
        k->request.close = true;
        k->state = SERVE_WRITING;
        return;
    }
    int err = run_command(s, k->request.path, out);
    fclose(out);
    free(k->owned);
    k->owned = NULL;
    if (asprintf(&k->owned,
                 "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                 err == 0 ? "200 OK" : "400 Bad Request", len, text) < 0)
        k->owned = NULL;
    free(text);
    k->out = k->owned;
    k->out_left = k->owned != NULL ? strlen(k->owned) : 0;
    k->fill_left = 0;
    k->state = SERVE_WRITING;
}
