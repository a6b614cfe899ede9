/* keys.c - see keys.h.
 *
 *   GROUND ─ ESC ─▶ ESCAPED ─ [ ─▶ SEQUENCE ─ final byte ─▶ GROUND
 *      │               └───── O ─▶ SINGLE ─── a byte ─────▶ GROUND
 *      └─ lead byte ─▶ CHARACTER ─ its last byte ─────────▶ GROUND */
#include "cli/keys.h"

#include <string.h>

#include "base/json_out.h"

enum { GROUND, ESCAPED, SEQUENCE, SINGLE, CHARACTER };

static bool tell(struct keys *k, struct key_event *e, enum key key) {
    k->state = GROUND;
    *e = (struct key_event){.key = key};
    return true;
}

static bool on_control(struct keys *k, unsigned char byte, struct key_event *e) {
    switch (byte) {
    case '\r':
    case '\n':
        return tell(k, e, KEY_ENTER);
    case 0x7f:
    case '\b':
        return tell(k, e, KEY_BACKSPACE);
    case 'U' & 0x1f:
        return tell(k, e, KEY_CLEAR);
    case 'C' & 0x1f:
        return tell(k, e, KEY_INTERRUPT);
    case 'Z' & 0x1f:
        return tell(k, e, KEY_SUSPEND);
    case 'L' & 0x1f:
        return tell(k, e, KEY_REDRAW);
    case 0x1b:
        k->state = ESCAPED;
        return false;
    default:
        return false;
    }
}

/* "CSI A", "CSI 5 ~", "SS3 A" */
static bool on_final(struct keys *k, unsigned char byte, struct key_event *e) {
    k->state = GROUND;
    switch (byte) {
    case 'A':
        return tell(k, e, KEY_UP);
    case 'B':
        return tell(k, e, KEY_DOWN);
    case 'H':
        return tell(k, e, KEY_HOME);
    case 'F':
        return tell(k, e, KEY_END);
    case '~':
        break;
    default:
        return false;
    }
    switch (k->parameter) {
    case 1:
    case 7:
        return tell(k, e, KEY_HOME);
    case 4:
    case 8:
        return tell(k, e, KEY_END);
    case 5:
        return tell(k, e, KEY_PAGE_UP);
    case 6:
        return tell(k, e, KEY_PAGE_DOWN);
    default:
        return false;
    }
}

static bool on_character(struct keys *k, struct key_event *e) {
    if (k->len < k->wanted)
        return false;
    k->text[k->len] = '\0';
    k->state = GROUND;
    if (utf8_length(k->text, k->text + k->len) != k->len)
        return false;
    *e = (struct key_event){.key = KEY_TEXT};
    memcpy(e->text, k->text, k->len + 1u);
    return true;
}

static bool on_ground(struct keys *k, unsigned char byte, struct key_event *e) {
    if (byte < 0x20 || byte == 0x7f)
        return on_control(k, byte, e);
    k->wanted = byte < 0x80 ? 1 : byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    k->state = CHARACTER;
    k->text[0] = (char)byte;
    k->len = 1;
    return on_character(k, e);
}

bool keys_feed(struct keys *k, char c, struct key_event *e) {
    unsigned char byte = (unsigned char)c;
    switch (k->state) {
    case ESCAPED:
        k->parameter = 0;
        k->state = byte == '[' ? SEQUENCE : byte == 'O' ? SINGLE : GROUND;
        return byte == 0x1b && tell(k, e, KEY_ESCAPE);
    case SEQUENCE:
        if (byte >= '0' && byte <= '9' && k->parameter < 1000)
            k->parameter = k->parameter * 10 + (byte - '0');
        return byte >= 0x40 && on_final(k, byte, e);
    case SINGLE:
        return on_final(k, byte, e);
    case CHARACTER:
        if ((byte & 0xc0) != 0x80) {
            k->state = GROUND;
            return on_ground(k, byte, e);
        }
        k->text[k->len++] = c;
        return on_character(k, e);
    default:
        return on_ground(k, byte, e);
    }
}

bool keys_waits(const struct keys *k) {
    return k->state == ESCAPED;
}

bool keys_idle(struct keys *k, struct key_event *e) {
    return k->state == ESCAPED && tell(k, e, KEY_ESCAPE);
}
