/* demo.h - the processes of `switchgear demo`.
 *
 * All are children, started from this very program and ended by their pids;
 * the kernel ends them where the demo itself is killed. */
#ifndef SWG_CLI_DEMO_H
#define SWG_CLI_DEMO_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { DEMO_SERVICES = 4, DEMO_ARGUMENTS = 16 };

struct demo_child {
    const char *name;     /* "recommendations" */
    const char *variable; /* of the configuration, that has its port */
    uint16_t port;
    pid_t pid;              /* 0: does not run */
    const char *options[8]; /* of a mock; ends with NULL */
};

/* examples/demo.yaml, as it was when the program was built. */
extern const char demo_config[];

/* The port itself where it is free, else any other; 0 when there is none. */
uint16_t demo_free_port(uint16_t wanted);
/* Starts a mock and waits until it listens. 0, or -1 with the message printed. */
int demo_start_mock(struct demo_child *);
/* Starts `run -c path`, and waits until `admin_port` takes connections. */
int demo_start_gateway(struct demo_child *, const char *path, uint16_t admin_port);
/* Asks it to end, waits, and if it does not within 5 s, kills it. */
void demo_end(struct demo_child *, int signal);
/* This program, as one would type it. */
const char *demo_program(void);

#endif
