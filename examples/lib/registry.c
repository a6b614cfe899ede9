/* registry.c - a breaker for each host, made when it is first asked for.
 *
 *     example_registry
 *
 * Each line of standard input: a host, and "good" or "bad", how the call to it went. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include <switchgear/clock.h>
#include <switchgear/registry.h>

static void call(struct swg_registry *hosts, const char *host, bool good) {
    struct swg_breaker *breaker;
    struct swg_permit permit;
    if (swg_registry_hold(hosts, host, strlen(host), swg_now(), &breaker) != SWG_OK)
        return;
    enum swg_refusal refusal = swg_breaker_admit(breaker, &permit, swg_now(), swg_now());
    if (refusal == SWG_ADMITTED)
        swg_breaker_record(breaker, &permit, good ? SWG_SUCCESS : SWG_FAILURE, 0, swg_now());
    printf("%s: %s\n", host, refusal ? swg_refusal_word(refusal) : good ? "good" : "bad");
    fflush(stdout);
    swg_registry_release(breaker);
}

int main(void) {
    static const struct swg_registry_options options = {.max = 100000,
                                                        .breaker = {.consecutive = 2}};
    struct swg_registry *hosts;
    uint64_t key[2]; /* secret, so that nobody can choose names that collide */
    char line[256], host[200], how[8];
    if (getrandom(key, sizeof key, 0) != sizeof key ||
        swg_registry_create(&hosts, &options, key, swg_now()))
        return 2;
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "%199s %7s", host, how) == 2)
            call(hosts, host, !strcmp(how, "good"));
    }
    swg_registry_destroy(hosts);
    return 0;
}
