/* history.h - what happens to the gateway's breakers, as events and log lines. */
#ifndef SWG_GATEWAY_HISTORY_H
#define SWG_GATEWAY_HISTORY_H

#include <switchgear/breaker.h>

#include "gateway/gateway.h"

struct drill;

/* Any thread, under no lock. */
void history_breaker_changed(struct gateway *, const char *service, const char *endpoint,
                             const struct swg_breaker_event *);
/* Before the command is carried out: its effects follow as changes. */
void history_commanded(struct gateway *, const struct gateway_command *);
/* A write in the outbox was retried or dropped by hand. */
void history_write_commanded(struct gateway *, struct bytes service, const char *id,
                             const char *verb, const char *author, const char *reason);
/* A drill has "started", was "stopped", or has "expired". */
void history_drill(struct gateway *, const struct drill *, const char *what, const char *author,
                   const char *reason);
/* Anything else worth remembering: "reload", "drain". */
void history_note(struct gateway *, const char *kind, const char *author, const char *text);

#endif
