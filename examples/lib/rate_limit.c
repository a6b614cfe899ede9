/* rate_limit.c - at most so many calls a second, with what was saved up.
 *
 *     example_rate_limit
 *
 * Ten a second, three at once; the clock is one for tests, so this takes no time. */
#include <stdio.h>

#include <switchgear/rate_limit.h>
#include <switchgear/time.h>

int main(void) {
    static const struct swg_rate_options ten_a_second = {.calls = 10, .burst = 3};
    struct swg_rate_limiter limiter = {0}; /* one a client, tenant, key … */
    uint64_t now_ns = SWG_SECONDS(1), retry_in_ns;
    for (int i = 1; i <= 8; i++) {
        if (swg_rate_admit(&limiter, &ten_a_second, now_ns, &retry_in_ns)) {
            printf("call %d at %llu ms: made\n", i, (unsigned long long)(now_ns / 1000000));
            continue;
        }
        printf("call %d at %llu ms: in %llu ms\n", i, (unsigned long long)(now_ns / 1000000),
               (unsigned long long)(retry_in_ns / 1000000));
        now_ns += retry_in_ns;
    }
    return 0;
}
