/* snapshot.c - see snapshot.h. */
#include "gateway/snapshot.h"

#include <errno.h>
#include <time.h>

#include <switchgear/snapshot.h>

#include "gateway/database.h"

static uint64_t wall_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return SWG_SECONDS(t.tv_sec) + (uint64_t)t.tv_nsec;
}

/* ---- out ------------------------------------------------------------------- */

static void put_32(char out[4], uint32_t n) {
    for (int i = 0; i < 4; i++)
        out[i] = (char)(n >> 8 * i);
}

static void append_32(struct buf *out, uint32_t n) {
    char bytes[4];
    put_32(bytes, n);
    buf_append(out, bytes, sizeof bytes);
}

static bool to_buf(void *arg, const void *bytes, size_t length) {
    struct buf *out = arg;
    buf_append(out, bytes, length);
    return !out->failed;
}

/* The length is known when all is there. */
static void add(struct buf *out, char kind, const char *name, const struct swg_policy *policy,
                uint64_t now_ns) {
    size_t begin = out->len;
    buf_char(out, kind);
    append_32(out, (uint32_t)strlen(name));
    buf_string(out, name);
    append_32(out, 0);
    size_t content = out->len;
    if (swg_policy_snapshot(policy, to_buf, out, now_ns, wall_ns()) != SWG_OK)
        buf_truncate(out, begin);
    else if (!out->failed)
        put_32(out->at + content - 4, (uint32_t)(out->len - content));
}

int gateway_snapshot(struct gateway *g, struct buf *out) {
    struct plan *plan = gateway_plan(g);
    for (uint32_t i = 0; i < plan->service_count; i++)
        add(out, 's', plan->services[i].options->name, plan->services[i].policy, gateway_now(g));
    for (uint32_t i = 0; i < plan->database_count; i++)
        add(out, 'd', plan->databases[i].options->name, plan->databases[i].policy, gateway_now(g));
    plan_release(plan);
    return out->failed ? -ENOMEM : 0;
}

/* ---- in -------------------------------------------------------------------- */

static bool take(struct bytes *in, size_t len, struct bytes *out) {
    if (len > in->len)
        return false;
    *out = (struct bytes){in->at, len};
    *in = (struct bytes){in->at + len, in->len - len};
    return true;
}

static bool take_sized(struct bytes *in, struct bytes *out) {
    struct bytes b;
    if (!take(in, 4, &b))
        return false;
    uint32_t len = 0;
    for (int i = 0; i < 4; i++)
        len |= (uint32_t)(uint8_t)b.at[i] << 8 * i;
    return take(in, len, out);
}

static struct swg_policy *find(struct plan *plan, char kind, struct bytes name) {
    struct service *s = kind == 's' ? plan_service(plan, name) : NULL;
    for (uint32_t i = 0; kind == 'd' && i < plan->database_count; i++) {
        if (bytes_equal(bytes_of(plan->databases[i].options->name), name))
            return plan->databases[i].policy;
    }
    return s ? s->policy : NULL;
}

int gateway_restore(struct gateway *g, struct bytes in) {
    struct plan *plan = gateway_plan(g);
    int restored = 0, error = 0;
    while (!error && in.len) {
        struct bytes kind, name, content;
        uint32_t count = 0;
        if (!take(&in, 1, &kind) || !take_sized(&in, &name) || !take_sized(&in, &content)) {
            error = -EBADMSG;
            break;
        }
        struct swg_policy *policy = find(plan, kind.at[0], name);
        if (policy && swg_policy_restore(policy, content.at, content.len, gateway_now(g), wall_ns(),
                                         &count) != SWG_OK)
            error = -EBADMSG;
        restored += (int)count;
    }
    plan_release(plan);
    return error ? error : restored;
}
