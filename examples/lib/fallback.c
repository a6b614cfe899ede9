/* fallback.c - an answer although the call failed: what is remembered, else a constant.
 *
 *     example_fallback
 *
 * Each line of standard input is a price that the service says, or "fails". */
#include <stdio.h>
#include <string.h>

#include <switchgear/switchgear.h>

struct price {
    const char *said;
    char now[32], last_good[32];
};

static struct swg_answer ask(void *arg, uint64_t deadline_ns) {
    struct price *p = arg;
    (void)deadline_ns; /* it answers at once */
    if (!strcmp(p->said, "fails"))
        return SWG_FAILED_ANSWER;
    snprintf(p->now, sizeof p->now, "%s", p->said);
    snprintf(p->last_good, sizeof p->last_good, "%s", p->said);
    return SWG_OK_ANSWER;
}

/* Called once, after everything else; `why` tells a refusal from a failure. */
static bool fall_back(void *arg, enum swg_refusal why) {
    struct price *p = arg;
    (void)why;
    snprintf(p->now, sizeof p->now, "%s", p->last_good[0] ? p->last_good : "list price");
    return true;
}

int main(void) {
    static const struct swg_policy_options options = {
        .retry = {.max = SWG_RETRY_OFF}, .breaker = {.consecutive = 2, .open_ns = SWG_HOURS(1)}};
    struct swg_policy *policy;
    struct price p = {0};
    char line[32];
    if (swg_policy_create(&policy, &options, swg_now(), swg_now()))
        return 2;
    while (fgets(line, sizeof line, stdin)) {
        struct swg_story story;
        line[strcspn(line, "\n")] = 0;
        p.said = line;
        swg_run(policy, ask, &p, &(struct swg_run_options){.fallback = fall_back, .story = &story});
        printf("%s attempts=%u reason=%s\n", p.now, story.attempts,
               story.reason ? swg_refusal_word(story.reason) : "none");
        fflush(stdout);
    }
    swg_policy_release(policy);
    return 0;
}
