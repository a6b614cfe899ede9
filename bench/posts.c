#include "posts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int grow(struct posts *p, uint64_t number) {
    size_t size = p->size > 0 ? p->size : 65536;

    while (size <= number)
        size *= 2;
    uint8_t *times = realloc(p->times, size);
    if (times == NULL)
        return -ENOMEM;
    memset(times + p->size, 0, size - p->size);
    p->times = times;
    p->size = size;
    return 0;
}

int posts_add(struct posts *p, uint64_t number) {
    if (number >= POSTS_NUMBER_MAX) {
        p->unnumbered++;
        return 0;
    }
    if (number >= p->size && grow(p, number) != 0)
        return -ENOMEM;
    if (p->times[number] == 0)
        p->distinct++;
    else if (p->times[number] == 1)
        p->twice++;
    if (p->times[number] < UINT8_MAX)
        p->times[number]++;
    return 0;
}

void posts_clear(struct posts *p) {
    free(p->times);
    memset(p, 0, sizeof(*p));
}
