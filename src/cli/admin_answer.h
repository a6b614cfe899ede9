/* admin_answer.h - an answer of the admin API, as its bytes come.
 *
 * No sockets: whoever reads puts what came into `raw` and calls take(). */
#ifndef SWG_CLI_ADMIN_ANSWER_H
#define SWG_CLI_ADMIN_ANSWER_H

#include <stdbool.h>

#include "base/buf.h"
#include "wire/http1.h"

struct admin_answer {
    enum http_method method; /* of the request */
    struct buf raw;          /* what came and is not taken yet */
    struct buf *content;     /* the body is appended here; the owner may empty it at any time */
    struct http1_body body;
    size_t seen;
    int status; /* 0: the head has not come */
};

void admin_answer_init(struct admin_answer *, enum http_method, struct buf *content);
void admin_answer_free(struct admin_answer *);
/* Takes what it can off the front of `raw`. 0; -EPROTO: that is no answer; -EMSGSIZE:
 * it is too large. */
int admin_answer_take(struct admin_answer *);
/* `closed`: nothing more will come. */
bool admin_answer_is_whole(const struct admin_answer *, bool closed);

#endif
