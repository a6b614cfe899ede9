/* series_api.c - the last five minutes of every service, for small pictures. */
#include "admin/admin_priv.h"
#include "admin/handlers.h"
#include "admin/problem.h"
#include "config/value.h"

/* Which points are asked for. */
struct stretch {
    uint64_t first, last;
};

enum member { REQUESTS, SERVER_ERRORS, FALLBACK, P50, P95, MEMBERS };

static void write_value(struct json_out *j, const struct series_point *p, enum member m) {
    const uint32_t values[MEMBERS] = {p->requests, p->server_errors, p->fallback, p->p50_us,
                                      p->p95_us};
    if (m < P50)
        json_uint(j, values[m]);
    else if (p->requests)
        json_fixed(j, values[m] / 1000.0, 2);
    else
        json_null(j);
}

static void write_member(struct json_out *j, const struct series *s, const struct stretch *range,
                         enum member m) {
    static const char *const keys[MEMBERS] = {"requests", "server_errors", "fallback", "p50_ms",
                                              "p95_ms"};
    json_key_array(j, keys[m]);
    for (uint64_t n = range->first; n <= range->last; n++) {
        const struct series_point *p = series_at(s, n);
        if (p)
            write_value(j, p, m);
        else
            json_null(j);
    }
    json_array_end(j);
}

static void write_service(struct json_out *j, struct admin *a, const struct service *s,
                          const struct stretch *range) {
    const struct record *r = records_of(a->records, s);
    if (!r)
        return;
    json_key_object(j, s->options->name);
    for (enum member m = 0; m < MEMBERS; m++)
        write_member(j, &r->series, range, m);
    json_object_end(j);
}

static bool read_after(struct request *r, struct response *a, uint64_t *after) {
    char text[24];
    *after = 0;
    if (!request_query(r, "after", text, sizeof text) || value_count(bytes_of(text), after))
        return true;
    problem(a, 400, "bad_number", "after is the number of a point");
    return false;
}

/* Beginning behind `after`; one that was never given out was another process's. */
static struct stretch stretch_after(uint64_t after, uint64_t last) {
    uint64_t oldest = last > SERIES_POINTS ? last - SERIES_POINTS + 1 : 1;
    bool known = after >= oldest && after <= last;
    return (struct stretch){known ? after + 1 : oldest, last};
}

void handle_series(struct request *r, struct response *a) {
    uint64_t after, ends_ns;
    if (!read_after(r, a, &after))
        return;
    struct plan *plan = gateway_plan(r->admin->gateway);
    struct stretch range = stretch_after(after, records_points(r->admin->records, &ends_ns));
    struct json_out *j = response_json(a, 200);
    json_object(j);
    json_key(j, "interval_seconds");
    json_fixed(j, (double)(SERIES_SAMPLES * RECORD_INTERVAL_NS) / 1e9, 0);
    json_key_uint(j, "first", range.first);
    json_key_uint(j, "last", range.last);
    json_key_time(j, "ends_at", &r->moment, ends_ns);
    json_key_object(j, "services");
    for (uint32_t i = 0; plan && i < plan->service_count; i++)
        write_service(j, r->admin, &plan->services[i], &range);
    json_object_end(j);
    json_object_end(j);
    response_end_json(a);
    plan_release(plan);
}
