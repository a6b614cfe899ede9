/* policy_change.h - a service's policy becomes another at run time: what PATCH,
 * its end, and the shadow's PUT and DELETE have in common.
 *
 *     begin:   which service, is If-Match still true
 *     add:     changes, to those that are in force (config/patch.h)
 *     finish:  load, check, compare; unless it is only a trial, bring into force
 *
 * Each step answers by itself what is wrong, and says false. Nothing has changed
 * then. Threading: the control thread. */
#ifndef SWG_ADMIN_POLICY_CHANGE_H
#define SWG_ADMIN_POLICY_CHANGE_H

#include "admin/request.h"
#include "config/config.h"
#include "gateway/plan.h"

struct policy_change {
    struct request *request;
    struct response *answer;
    struct plan *plan; /* before */
    struct service *service;
    const char *author, *reason;
    bool trial; /* ?dry_run=1 */
    uint32_t count;
    struct policy_patch *patches; /* all that are to be in force */
    /* After finish: */
    struct gateway_options *options;
    const struct service_options *after; /* of the service */
    uint64_t generation;
    uint32_t changed; /* keys with another value than before */
    struct buf diff;  /* a JSON array of {key, from, to} */
    struct buf words; /* "breaker.failures 5 -> 8, …" */
    struct config_report report;
};

/* To be ended in any case. */
bool policy_change_begin(struct policy_change *, struct request *, struct response *);
/* The texts are the caller's, until the end. False: too many. */
bool policy_change_add(struct policy_change *, const char *key, const char *value);
/* Takes back all changes of the service. */
void policy_change_clear(struct policy_change *);
/* `verb`: "changed", "undone", for the history. */
bool policy_change_finish(struct policy_change *, const char *verb);
void policy_change_end(struct policy_change *);

/* The members {service, generation, dry_run, changed, patched, warnings}. */
void policy_change_write(const struct policy_change *, struct json_out *);
/* [{key, value, author, reason, since}], of one service; or of all (NULL), with `service`. */
void policy_write_patches(struct json_out *, const struct gateway_options *, const char *service);
/* "g12", the entity tag of whatever hangs on the configuration. */
void policy_write_etag(struct response *, uint64_t generation);

#endif
