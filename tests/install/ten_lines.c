#include <stdio.h>
#include <switchgear/switchgear.h>

/* C and C++ alike. */
static struct swg_answer call_it(void *arg, uint64_t deadline_ns) {
    (void)deadline_ns;
    ++*(int *)arg;
    return *(int *)arg < 3 ? SWG_FAILED_ANSWER : SWG_OK_ANSWER;
}

int main(void) {
    int calls = 0;
    struct swg_policy *policy;
    struct swg_policy_options options = {};
    options.retry.max = 5;
    options.retry.base_ns = SWG_MS(1);
    if (swg_policy_create(&policy, &options, 1, swg_now()) != SWG_OK)
        return 1;
    enum swg_error error = swg_run(policy, call_it, &calls, NULL);
    printf("%s after %d calls\n", swg_error_name(error), calls);
    swg_policy_release(policy);
    return error != SWG_OK || calls != 3;
}
