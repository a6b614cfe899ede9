#include "fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS 1000000000ull

static const char *const names[FAULT_KINDS] = {
#define X(code, name) [FAULT_##code] = name,
    FAULTS(X)
#undef X
};

const char *fault_name(enum fault f) {
    return names[f];
}

int fault_parse(const char *name, enum fault *out) {
    for (unsigned i = 0; i < FAULT_KINDS; i++) {
        if (strcmp(names[i], name) == 0) {
            *out = (enum fault)i;
            return 0;
        }
    }
    return -EINVAL;
}

static int parse_seconds(const char *text, char stop, const char **rest, uint64_t *out) {
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != stop || !(value >= 0) || value > 1e6)
        return -EINVAL;
    *out = (uint64_t)(value * 1e9);
    *rest = end + 1;
    return 0;
}

int fault_window_parse(const char *text, struct fault_window *w) {
    char name[16];
    const char *colon = strchr(text, ':');
    size_t len = colon != NULL ? (size_t)(colon - text) : 0;

    if (len == 0 || len >= sizeof(name))
        return -EINVAL;
    memcpy(name, text, len);
    name[len] = '\0';
    int err = fault_parse(name, &w->fault);
    const char *rest = colon + 1;
    if (err == 0)
        err = parse_seconds(rest, ':', &rest, &w->from_ns);
    if (err == 0)
        err = parse_seconds(rest, '\0', &rest, &w->to_ns);
    return err == 0 && w->from_ns >= w->to_ns ? -EINVAL : err;
}

bool fault_window_holds(const struct fault_window *w, uint64_t ns) {
    return ns >= w->from_ns && ns < w->to_ns;
}

enum fault fault_now(const struct fault_window *w, uint64_t ns) {
    if (!fault_window_holds(w, ns))
        return FAULT_OK;
    if (w->fault != FAULT_FLAP)
        return w->fault;
    return (ns - w->from_ns) / SECOND_NS % 2 == 0 ? FAULT_KILLED : FAULT_OK;
}

uint64_t fault_next_change(const struct fault_window *w, uint64_t ns) {
    if (ns < w->from_ns)
        return w->from_ns;
    if (ns >= w->to_ns)
        return UINT64_MAX;
    if (w->fault != FAULT_FLAP)
        return w->to_ns;
    uint64_t next = w->from_ns + ((ns - w->from_ns) / SECOND_NS + 1) * SECOND_NS;
    return next < w->to_ns ? next : w->to_ns;
}
