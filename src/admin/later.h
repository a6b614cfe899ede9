/* later.h - answers that need something slow first: the disk.
 *
 * A handler that cannot answer at once embeds a struct later in what it waits
 * for, calls later_begin(), and returns. When it knows, on the control thread,
 * it makes a response and gives it to later_answer(). Between the two the
 * client may go away, or wait too long: then nobody is told, and only the memory
 * of what waited is to be freed. What was asked for is carried out in any case.
 *
 *     handler ─ later_begin ─▶ … ─▶ later_answer ─▶ sent
 *                               └── client gone ──▶ nothing
 *
 * What the request points at is gone when the handler has returned: it copies
 * what it needs. Threading: the control thread. */
#ifndef SWG_ADMIN_LATER_H
#define SWG_ADMIN_LATER_H

#include "admin/request.h"

struct later {
    struct connection *connection; /* NULL: the client has gone */
};

/* Exactly one later_answer() follows, also after the client has gone. */
void later_begin(struct later *, struct request *, struct response *);
/* Sends it to whoever still waits. Frees the response. */
void later_answer(struct later *, struct response *);

#endif
