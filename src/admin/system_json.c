/* system_json.c - see system_json.h. */
#include "admin/system_json.h"

#include "gateway/plan.h"

int system_disks_create(struct admin *a) {
    struct disk_place places[DISK_PLACES_MAX];
    uint32_t count = 0;
    struct plan *plan = gateway_plan(a->gateway);
    const struct gateway_options *o = plan->options;
    if (a->gateway->outbox && !o->store_url && o->store_file)
        places[count++] = (struct disk_place){"store", o->store_file};
    if (o->cache_disk.path)
        places[count++] = (struct disk_place){"cache", o->cache_disk.path};
    int error = disk_space_create(&a->disks, a->gateway->metrics, places, count);
    plan_release(plan);
    return error;
}

static void write_share(struct json_out *j, const char *key, double value) {
    json_key(j, key);
    if (value < 0)
        json_null(j);
    else
        json_fixed(j, value, 3);
}

static void write_bytes(struct json_out *j, const char *key, uint64_t bytes) {
    if (bytes)
        json_key_uint(j, key, bytes);
    else
        json_key_null(j, key);
}

/* A disk that does not answer any more shows by its age. */
static void write_disks(struct json_out *j, struct admin *a) {
    struct disk_reading all[DISK_PLACES_MAX] = {0};
    uint32_t count = disk_space_read(a->disks, all);
    json_key_object(j, "disks");
    for (uint32_t i = 0; i < count; i++) {
        json_key_object(j, all[i].name);
        json_key_string(j, "path", all[i].path);
        if (all[i].known) {
            json_key_uint(j, "free_bytes", all[i].free_bytes);
            json_key_uint(j, "size_bytes", all[i].size_bytes);
            write_share(j, "seen_seconds_ago", (double)all[i].age_ns / 1e9);
        } else {
            json_key_null(j, "free_bytes");
            json_key_null(j, "size_bytes");
            json_key_null(j, "seen_seconds_ago");
        }
        json_object_end(j);
    }
    json_object_end(j);
}

void system_write(struct json_out *j, struct admin *a) {
    struct process_figures process;
    struct system_figures system;
    process_figures_read(a->process, &process);
    system_figures_read(a->meter, &system);
    json_key(j, "cpu_seconds");
    json_fixed(j, process.cpu_seconds, 3);
    write_share(j, "cpu_usage", system.cpu_usage);
    write_share(j, "cpu_limit", system.cpu_limit > 0 ? system.cpu_limit : -1);
    json_key_uint(j, "resident_bytes", process.resident_bytes);
    write_bytes(j, "memory_limit_bytes", system.memory_limit_bytes);
    write_bytes(j, "memory_group_bytes", system.memory_used_bytes);
    json_key_uint(j, "open_fds", process.open_fds);
    json_key_uint(j, "max_fds", process.max_fds);
    write_share(j, "event_loop_lag_seconds", (double)a->host.lag_ns(a->host.arg) / 1e9);
    write_disks(j, a);
}
