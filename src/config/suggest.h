/* suggest.h - "did you mean …?": the nearest of some words.
 *
 * Nearest by edit distance (insert, delete, replace, swap of neighbours);
 * case and '-' for '_' cost nothing, and a word that goes on where the other
 * ends ("warning", "warn") is near. A word too far from all has no
 * suggestion: a wrong guess is worse than none. */
#ifndef SWG_CONFIG_SUGGEST_H
#define SWG_CONFIG_SUGGEST_H

#include <stdint.h>

#include "base/bytes.h"

struct suggestion {
    struct bytes word;
    const char *best; /* NULL: none near enough */
    uint32_t distance;
};

void suggest_begin(struct suggestion *, struct bytes word);
/* `candidate` is kept by pointer. */
void suggest_offer(struct suggestion *, const char *candidate);

#endif
