/* print.c - the configuration in force, in the shape of the file.
 *
 * What is printed can be loaded again and gives the same options, but for
 * secrets. Inheritance and defaults have been applied, so there is no
 * `defaults` and every service stands alone. */
#include "config/print.h"

#include "config/config.h"
#include "config/directives.h"

void config_write_json(const struct gateway_options *options, struct json_out *out) {
    json_object(out);
    print_scope(out, "", options);
    json_object_end(out);
}

void print_scope(struct json_out *out, const char *scope, const void *base) {
    for (uint32_t i = 0; i < directive_count; i++) {
        const struct directive *d = &directives[i];
        if (directive_in(d, scope) && !(d->flags & DIRECTIVE_LATER) && !tcp_has_not(d, base))
            d->type->write(out, d, directive_key(d), base);
    }
}
