/* services_api.c - services: the policy in force, and how they do. */
#include "admin/handlers.h"
#include "admin/policy_change.h"
#include "admin/problem.h"
#include "admin/service_json.h"
#include "gateway/manager.h"

void handle_services(struct request *r, struct response *a) {
    manager_update(r->admin->gateway->manager);
    struct plan *plan = gateway_plan(r->admin->gateway);
    struct json_out *j = response_json(a, 200);
    json_object(j);
    json_key_array(j, "services");
    for (uint32_t i = 0; plan && i < plan->service_count; i++) {
        json_object(j);
        service_write_members(j, &r->moment, r->admin, &plan->services[i], false);
        json_object_end(j);
    }
    json_array_end(j);
    json_object_end(j);
    response_end_json(a);
    plan_release(plan);
}

void handle_service(struct request *r, struct response *a) {
    manager_update(r->admin->gateway->manager);
    struct plan *plan = gateway_plan(r->admin->gateway);
    struct service *s = plan ? plan_service(plan, bytes_of(r->name)) : NULL;
    if (!s) {
        problem(a, 404, "unknown_service", "there is no service \"%s\"", r->name);
    } else {
        struct json_out *j = response_json(a, 200);
        policy_write_etag(a, plan->generation);
        buf_literal(&a->fields, "Accept-Patch: application/merge-patch+json\r\n");
        json_object(j);
        service_write_members(j, &r->moment, r->admin, s, true);
        json_key(j, "patched");
        policy_write_patches(j, plan->options, s->options->name);
        json_object_end(j);
        response_end_json(a);
    }
    plan_release(plan);
}
