/* findings.h - what the API found wrong with a configuration or a policy. */
#ifndef SWG_CLI_FINDINGS_H
#define SWG_CLI_FINDINGS_H

#include "cli/json_in.h"

/* The detail and each of `errors`, on stderr. */
void findings_print(const char *command, const struct node *problem);

#endif
