/* fallbacks_api.c - fallback chains: which tier was tried, and which answered. */
#include "admin/handlers.h"
#include "admin/service_json.h"

static void write_chain(struct json_out *j, struct request *r, const struct service *s) {
    enum swg_breaker_state state = swg_policy_state(s->policy, r->moment.now_ns, NULL);
    const struct record *record = records_of(r->admin->records, s);
    json_object(j);
    json_key_string(j, "service", s->options->name);
    json_key_string(j, "state", swg_breaker_state_word(state));
    service_write_answering(j, record, state);
    service_write_recent(j, &r->moment, record, s);
    service_write_tiers(j, s);
    json_object_end(j);
}

void handle_fallbacks(struct request *r, struct response *a) {
    struct plan *plan = gateway_plan(r->admin->gateway);
    struct json_out *j = response_json(a, 200);
    json_object(j);
    json_key_array(j, "fallbacks");
    for (uint32_t i = 0; plan && i < plan->service_count; i++) {
        if (plan->services[i].options->tier_count)
            write_chain(j, r, &plan->services[i]);
    }
    json_array_end(j);
    json_object_end(j);
    response_end_json(a);
    plan_release(plan);
}
