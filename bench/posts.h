/* posts.h - which POSTs the upstream has seen, and which twice.
 *
 * By X-Request-Number, over all endpoints: a POST that reached one endpoint
 * and was then sent to the other has been sent twice. */
#ifndef BENCH_POSTS_H
#define BENCH_POSTS_H

#include <stddef.h>
#include <stdint.h>

#define POSTS_NUMBER_MAX 50000000u /* larger numbers are not told apart, only counted */

/* All zeroes is an empty set. */
struct posts {
    uint8_t *times; /* by number, up to 255 */
    size_t size;
    uint64_t distinct, twice; /* twice: numbers seen more than once */
    uint64_t unnumbered;
};

/* 0 or -ENOMEM. */
int posts_add(struct posts *, uint64_t number);
void posts_clear(struct posts *);

#endif
