/* stall.c - see stall.h. */
#include "cli/stall.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void hang(struct loop_hook *hook) {
    const struct stall *s = container_of(hook, struct stall, hook);
    const struct timespec while_ns = {.tv_nsec = 5000000};
    while (access(s->file, F_OK) == 0)
        nanosleep(&while_ns, NULL);
}

void stall_prepare(struct stall *s, const char *name, struct loop *loop) {
    const char *wanted = getenv("SWITCHGEAR_TEST_STALL");
    size_t len = strlen(name);
    if (!wanted || strncmp(wanted, name, len) != 0 || wanted[len] != ':')
        return;
    s->file = wanted + len + 1;
    s->hook.run = hang;
    loop_hook_add(loop, &s->hook);
}
