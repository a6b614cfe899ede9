/* top_feed.h - keeps what `switchgear top` knows up to date.
 *
 * Every two seconds it asks for everything that is shown; events are followed, and
 * each has it ask earlier. Where there is no connection it says so, goes on trying,
 * and reads again what happened meanwhile.
 *
 * Threading: the loop's. */
#ifndef SWG_CLI_TOP_FEED_H
#define SWG_CLI_TOP_FEED_H

#include "cli/admin_link.h"
#include "cli/top_data.h"

struct top_feed {
    /* the owner's, before it begins */
    struct admin_link *link;
    struct top_data *data;
    void (*on_news)(struct top_feed *); /* data or `lost` are other ones now */
    bool once;                          /* one round: events are not followed */
    /* to be read */
    char lost[200];          /* why there is no connection; "": there is one */
    uint64_t known_ns;       /* of the last whole round; 0: none yet */
    struct top_round answer; /* `once`: the round as it came */
    /* top_feed.c's */
    struct admin_ask poll, follow;
    struct io_timer next, next_follow;
    enum top_answer step;
    struct top_round round;
    unsigned failures;
    bool recent_known; /* events are, up to where they are followed from */
    bool kicked;       /* something has happened since the round began */
    struct buf line;   /* of the stream, as far as it has come */
};

void top_feed_begin(struct top_feed *);
/* Something has been changed: asks soon. */
void top_feed_kick(struct top_feed *);
void top_feed_end(struct top_feed *);

#endif
