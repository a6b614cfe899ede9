/* stall.h - makes an event loop hang, for tests of whoever is to notice it.
 *
 * With SWITCHGEAR_TEST_STALL=worker-0:/some/file in the environment, that loop ("control"
 * or "worker-N") stays in its turn for as long as there is such a file. */
#ifndef SWG_CLI_STALL_H
#define SWG_CLI_STALL_H

#include "loop/loop.h"

struct stall {
    struct loop_hook hook;
    const char *file;
};

/* Does nothing without the variable, or where it names another loop. */
void stall_prepare(struct stall *, const char *name, struct loop *);

#endif
