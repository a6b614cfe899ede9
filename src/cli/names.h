/* names.h - keeps the addresses of endpoints that are given by name up to date.
 *
 * Threading: the control thread. */
#ifndef SWG_CLI_NAMES_H
#define SWG_CLI_NAMES_H

#include "gateway/plan.h"
#include "loop/loop.h"

struct names;

int names_create(struct names **out, struct loop *);
void names_destroy(struct names *);
/* Looks up what this plan's targets need, and again as the answers age; those
 * of an earlier plan are forgotten. */
void names_follow(struct names *, struct plan *);
/* Whether every name has had its first answer, good or bad. */
bool names_are_settled(const struct names *);

#endif
