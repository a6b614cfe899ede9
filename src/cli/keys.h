/* keys.h - what a terminal sends, as keys.
 *
 * ESC alone is a key, and the beginning of others: it is told by keys_idle(), when
 * nothing has followed for a moment. What is not known is passed over. */
#ifndef SWG_CLI_KEYS_H
#define SWG_CLI_KEYS_H

#include <stdbool.h>

enum key {
    KEY_TEXT, /* one character, as UTF-8 */
    KEY_UP,
    KEY_DOWN,
    KEY_PAGE_UP,
    KEY_PAGE_DOWN,
    KEY_HOME,
    KEY_END,
    KEY_ENTER,
    KEY_ESCAPE,
    KEY_BACKSPACE,
    KEY_CLEAR,     /* ctrl-U */
    KEY_INTERRUPT, /* ctrl-C */
    KEY_SUSPEND,   /* ctrl-Z */
    KEY_REDRAW,    /* ctrl-L */
};

struct key_event {
    enum key key;
    char text[5];
};

struct keys {
    unsigned char state;
    unsigned char wanted, len; /* of a character */
    unsigned parameter;        /* of a sequence */
    char text[5];
};

/* Zeroed at first. True: a key is whole. */
bool keys_feed(struct keys *, char byte, struct key_event *);
/* Whether an ESC waits for what may follow. */
bool keys_waits(const struct keys *);
/* Nothing has followed. True: it was the key. */
bool keys_idle(struct keys *, struct key_event *);

#endif
