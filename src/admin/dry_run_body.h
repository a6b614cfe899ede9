/* dry_run_body.h - what a fallback chain is to be tried with:
 *
 *     {"service": "shop", "method": "GET", "path": "/items/7?x=1",
 *      "headers": {"Host": "shop.example.com"}, "body": {"n": 1},
 *      "assume": "open", "ask": false}
 *
 * All optional; a body that is no string is sent as JSON. Anything else is
 * refused, because a misspelt key must not mean that nothing was asked. */
#ifndef SWG_ADMIN_DRY_RUN_BODY_H
#define SWG_ADMIN_DRY_RUN_BODY_H

#include <switchgear/refusal.h>

#include "base/buf.h"

enum { DRY_METHOD_MAX = 16, DRY_SERVICE_MAX = 72, DRY_HOST_MAX = 256, DRY_TEXT_MAX = 64 * 1024 };

struct dry_run_body {
    char service[DRY_SERVICE_MAX]; /* "": the one in the path */
    char method[DRY_METHOD_MAX];
    char host[DRY_HOST_MAX];
    struct buf target, fields, body;
    enum swg_refusal assume;
    bool ask;
};

/* False, with a sentence about what is wrong. To be freed in any case. */
bool dry_run_body_read(struct bytes, struct dry_run_body *, struct buf *wrong);
void dry_run_body_free(struct dry_run_body *);

#endif
