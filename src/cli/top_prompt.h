/* top_prompt.h - what `switchgear top` asks before it does something: why, and for how
 * long; and the filter, which is typed in the same place.
 *
 * Threading: none. */
#ifndef SWG_CLI_TOP_PROMPT_H
#define SWG_CLI_TOP_PROMPT_H

#include "base/buf.h"
#include "cli/keys.h"

enum top_verb { TOP_OPEN, TOP_CLOSE, TOP_DISABLE, TOP_RESET };

enum prompt_step { PROMPT_NONE, PROMPT_FILTER, PROMPT_REASON, PROMPT_FOR };

enum prompt_result {
    PROMPT_GOES_ON,
    PROMPT_GIVEN_UP,
    PROMPT_DONE, /* the command can be sent; or the filter stands */
};

enum { PROMPT_REASON_MAX = 151, PROMPT_FOR_MAX = 31 };

struct top_prompt {
    enum prompt_step step;
    enum top_verb verb;
    char service[65];
    char question[200];
    char input[PROMPT_REASON_MAX + 1], reason[PROMPT_REASON_MAX + 1];
};

void top_prompt_command(struct top_prompt *, enum top_verb, const char *service);
void top_prompt_filter(struct top_prompt *, const char *filter);
enum prompt_result top_prompt_key(struct top_prompt *, const struct key_event *);
/* Of a command that is done: the path of the API, and the body. */
void top_prompt_request(const struct top_prompt *, struct buf *path, struct buf *body);

#endif
