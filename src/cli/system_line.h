/* system_line.h - what a gateway takes of what it may have, in one line for people. */
#ifndef SWG_CLI_SYSTEM_LINE_H
#define SWG_CLI_SYSTEM_LINE_H

struct node;

/* Of details.system of /health; nothing where that is NULL. */
void system_line_print(const struct node *system);

#endif
