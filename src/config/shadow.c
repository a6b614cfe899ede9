/* shadow.c - the breaker beside the live one: what it does not name it has from
 * that, so it can be filled only when that is. Until then its mapping is kept.
 *
 * A service's shadow takes the place of the one in `defaults` as a whole: an
 * experiment is one thing, not something to be put together from two places. */
#include "config/fill.h"
#include "config/print.h"
#include "config/types.h"

static bool read_shadow(struct fill *f, const struct directive *d, const struct node *n,
                        void *base) {
    struct draft *draft = base; /* options are its first member */
    bool off = n->kind == NODE_SCALAR && bytes_equal(n->text, BYTES("off"));
    if (!off && n->kind != NODE_MAP)
        return fill_wrong(f, d, n, NULL);
    draft->shadow_at = off ? NULL : n;
    return true;
}

static void write_shadow(struct json_out *out, const struct directive *d, const char *key,
                         const void *base) {
    const struct service_options *s = base;
    if (!s->policy.shadow.enabled) {
        json_key_string(out, key, "off");
        return;
    }
    json_key_object(out, key);
    print_scope(out, d->path, base);
    json_object_end(out);
}

const struct directive_type type_shadow = {"mapping", "a mapping with breaker, or off", read_shadow,
                                           write_shadow};

void fill_shadow(struct fill *f, struct draft *draft) {
    struct swg_shadow_options *s = &draft->options.policy.shadow;
    *s = (struct swg_shadow_options){.enabled = draft->shadow_at != NULL};
    if (!s->enabled)
        return;
    size_t path = fill_enter(f, ".shadow");
    s->breaker = draft->options.policy.breaker;
    fill_trip_rules(draft->shadow_at, "services.*.shadow.breaker", draft);
    fill_map(f, "services.*.shadow", draft->shadow_at, &draft->options);
    finish_breaker(f, draft, "services.*.shadow.breaker", &s->breaker);
    fill_leave(f, path);
}
