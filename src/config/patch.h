/* patch.h - changes of services' policies at run time: an overlay of the file.
 *
 * The file is kept as it was read, and beside it a list of changes, each of one
 * key. Changing something means to add to the list and to load the file once
 * more with the list laid over it: so the same table, the same inheritance and
 * the same checks decide, and what was wrong is reported in the same words. A
 * reload reads the file alone, which ends all changes.
 *
 * A list says what a sequence of merge patches (RFC 7396) says: a key is set, or
 * taken away (null), and what stood below a key that is set anew is gone. But
 * taking away what is not there changes nothing at all.
 *
 * A change cannot reach for what the process may read and its author may not:
 * ${…} and file: stand for themselves in it, and it sets no secret. Where the
 * service is found, and what answers in its place, is the file's alone
 * (DIRECTIVE_FILE_ONLY).
 *
 * Memory: the caller's, or an arena. Threading: the caller's. */
#ifndef SWG_CONFIG_PATCH_H
#define SWG_CONFIG_PATCH_H

#include "config/fill.h"

enum {
    PATCH_KEY_MAX = 96, /* bytes of a key */
    PATCHES_MAX = 1000, /* of all services */
    PATCH_VALUE_MAX = 32 << 10,
};

/* Lays the changes over a file's tree; the tree itself is not changed, and the
 * options keep a copy of the list. NULL: something was reported that leaves
 * nothing to read. */
const struct node *patch_document(struct fill *, const struct node *root,
                                  const struct policy_patch *, uint32_t count);

/* Adds a change to a list with room for one more: what it makes meaningless
 * goes. Pointers are copied, not what they point at. */
void patch_list_add(struct policy_patch *list, uint32_t *count, const struct policy_patch *);
/* Takes out those of one service; how many they were. */
uint32_t patch_list_clear(struct policy_patch *list, uint32_t *count, const char *service);

#endif
