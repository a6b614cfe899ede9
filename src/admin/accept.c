/* accept.c - see accept.h. */
#include "admin/accept.h"

#include "wire/http.h"

/* "1", "0.5", "0.725"; anything else counts as 1000. */
static unsigned read_weight(struct bytes text) {
    unsigned weight = 0, scale = 1000;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (i == 1 && c == '.')
            continue;
        if (c < '0' || c > '9' || (i == 0 && c > '1') || i > 4)
            return 1000;
        weight += (unsigned)(c - '0') * scale;
        scale /= 10;
    }
    return text.len && weight <= 1000 ? weight : 1000;
}

static unsigned weight_of(struct bytes parameters) {
    struct bytes one;
    while (bytes_split(&parameters, ';', &one)) {
        one = bytes_trim(one);
        if (one.len > 2 && (one.at[0] | 0x20) == 'q' && one.at[1] == '=')
            return read_weight((struct bytes){one.at + 2, one.len - 2});
    }
    return 1000;
}

unsigned accept_quality(struct bytes accept, struct bytes type) {
    struct bytes range, name;
    while (accept.len && http_list_next(&accept, &range)) {
        if (bytes_split(&range, ';', &name) && bytes_equal_nocase(bytes_trim(name), type))
            return weight_of(range);
    }
    return 0;
}
