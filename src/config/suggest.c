/* suggest.c - see suggest.h. Optimal string alignment, three rows at a time. */
#include "config/suggest.h"

#include <string.h>

enum { WORD_MAX = 48, PREFIX_MIN = 4 };

static uint32_t distance(struct bytes a, struct bytes b);
static char plain(char c);
static uint32_t least(uint32_t a, uint32_t b);

/* How far off a word may be: a third of it, and one letter at least. A word
 * of one letter is near to every other one; it gets no suggestion. */
void suggest_begin(struct suggestion *s, struct bytes word) {
    uint32_t tolerated = word.len < 2 ? 0 : word.len < 6 ? 1 : (uint32_t)word.len / 3;
    if (word.len >= 4 && word.len < 6)
        tolerated = 2;
    *s = (struct suggestion){word, NULL, least(tolerated, 4) + 1};
}

void suggest_offer(struct suggestion *s, const char *candidate) {
    struct bytes b = bytes_of(candidate);
    if (!s->word.len || s->word.len > WORD_MAX || b.len > WORD_MAX)
        return;
    uint32_t d = distance(s->word, b);
    size_t shorter = b.len < s->word.len ? b.len : s->word.len;
    if (shorter >= PREFIX_MIN && strncasecmp(s->word.at, candidate, shorter) == 0)
        d = least(d, 2);
    if (d < s->distance && d < b.len) {
        s->best = candidate;
        s->distance = d;
    }
}

static uint32_t distance(struct bytes a, struct bytes b) {
    uint32_t rows[3][WORD_MAX + 1];
    uint32_t *two_up = rows[0], *up = rows[1], *row = rows[2];
    for (uint32_t j = 0; j <= b.len; j++)
        up[j] = j;
    memset(two_up, 0, sizeof rows[0]);
    for (uint32_t i = 1; i <= a.len; i++) {
        row[0] = i;
        for (uint32_t j = 1; j <= b.len; j++) {
            char ca = plain(a.at[i - 1]), cb = plain(b.at[j - 1]);
            row[j] = least(up[j - 1] + (ca != cb), least(up[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && ca == plain(b.at[j - 2]) && plain(a.at[i - 2]) == cb)
                row[j] = least(row[j], two_up[j - 2] + 1);
        }
        uint32_t *next = two_up;
        two_up = up;
        up = row;
        row = next;
    }
    return up[b.len];
}

static char plain(char c) {
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c == '-' ? '_' : c;
}

static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}
