/* problem.h - what went wrong, as RFC 9457 has it.
 *
 *     {"type": "urn:switchgear:reason:unknown_service", "title": "Not Found",
 *      "status": 404, "reason": "unknown_service", "detail": "there is no …"}
 *
 * `reason` is a word for programs, `detail` a sentence for people. */
#ifndef SWG_ADMIN_PROBLEM_H
#define SWG_ADMIN_PROBLEM_H

#include "admin/request.h"

void problem(struct response *, int status, const char *reason, const char *detail, ...)
    __attribute__((format(printf, 4, 5)));
/* The same, left open for further members; problem_end() ends it. */
struct json_out *problem_begin(struct response *, int status, const char *reason,
                               const char *detail);
void problem_end(struct response *);

#endif
