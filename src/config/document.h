/* document.h - a YAML file as a tree of nodes that know their place.
 *
 * The tree is built from libfyaml's events, not by its document builder, so
 * that every bound is ours: file size, depth, number of nodes. Aliases are
 * resolved by pointing at the same node (the "tree" is then a graph without
 * cycles), merge keys (<<) by copying entries; both count against the number
 * of nodes, so that no file grows beyond it by naming itself.
 *
 * Memory: an arena of the caller's. Threading: the caller's. */
#ifndef SWG_CONFIG_DOCUMENT_H
#define SWG_CONFIG_DOCUMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"

enum {
    DOCUMENT_BYTES_MAX = 1 << 20,
    DOCUMENT_NODES_MAX = 100000,
    DOCUMENT_DEPTH_MAX = 32,
    DOCUMENT_KEYS_MAX = 2000, /* of one mapping */
};

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node {
    enum node_kind kind;
    bool plain;            /* a scalar without quotes: null, true, 5 are not text */
    bool literal;          /* came by the admin API: ${…} and file: stand for themselves */
    uint32_t line, column; /* from 1; line 0: not in the file */
    struct bytes text;     /* of a scalar; followed by a NUL */
    struct node_entry *first, *last;
    uint32_t count;
};

/* One item of a list (key is NULL) or one pair of a mapping. */
struct node_entry {
    struct node_entry *next;
    const struct node *key, *value;
    bool merged; /* came in by <<; a key of the mapping's own replaces it */
};

struct config_report;

/* NULL when something was reported that leaves nothing to read; a duplicate
 * key, say, is reported and reading goes on. An empty file is an empty map. */
const struct node *document_read(struct arena *, struct bytes text, struct config_report *);

/* NULL if there is no such key. */
const struct node *node_get(const struct node *map, const char *key);
/* An unquoted null, ~, or nothing at all. */
bool node_is_null(const struct node *);
/* "a mapping", "a list", "a value". */
const char *node_kind_words(const struct node *);

#endif
