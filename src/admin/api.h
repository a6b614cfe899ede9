/* api.h - which request goes where, and who may make it: one table.
 *
 * The table is the router, the answer to a wrong method, and the reference
 * page (admin_reference_write() in admin.h). */
#ifndef SWG_ADMIN_API_H
#define SWG_ADMIN_API_H

#include "admin/request.h"

/* What a request needs; the rules are those of auth.h. */
enum access {
    ACCESS_FREE,   /* probes and metrics: nothing */
    ACCESS_READ,   /* the token, but for those on a loopback address */
    ACCESS_PAGE,   /* the same, refused with a page that asks for the token */
    ACCESS_CHANGE, /* the token, if there is one; and no foreign web page behind it */
};

struct route {
    enum http_method method; /* GET answers HEAD as well */
    const char *pattern;     /* "/api/v1/services/{name}": {name} is one segment */
    enum access access;
    void (*handle)(struct request *, struct response *);
    const char *help;     /* a sentence or two, in Markdown */
    const char *alias_of; /* the pattern that is to be used instead; NULL: this one */
};

/* NULL at its end: pattern. */
extern const struct route api_routes[];

/* Finds the route, checks the access, and has the handler answer. */
void api_handle(struct request *, struct response *);

#endif
