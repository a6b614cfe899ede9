/* heap.h - a heap whose nodes live in its members: the least one first.
 *
 * A pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986): no allocation; insert
 * and the least one in constant time, removal of any member in amortised O(log n).
 *
 * Members are ordered by a 64-bit key that does not change while they are in;
 * equal keys in any order. A node that is zeroed is in no heap. All inline, as
 * the engine links nothing. Threading: the caller's. */
#ifndef SWG_BASE_HEAP_H
#define SWG_BASE_HEAP_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    uint64_t key;
    struct heap_node *child, *next, *prev; /* prev: the left sibling, or the parent */
    bool in;
};

struct heap {
    struct heap_node *first; /* the least; NULL: empty */
};

/* One tree of two; either may be NULL. Roots have no siblings. */
static inline struct heap_node *heap__meld(struct heap_node *a, struct heap_node *b) {
    if (!a || !b)
        return a ? a : b;
    if (b->key < a->key) {
        struct heap_node *t = a;
        a = b;
        b = t;
    }
    b->prev = a;
    b->next = a->child;
    if (a->child)
        a->child->prev = b;
    a->child = b;
    return a;
}

static inline struct heap_node *heap__take_first(struct heap_node **list) {
    struct heap_node *n = *list;
    if (n) {
        *list = n->next;
        n->next = n->prev = NULL;
    }
    return n;
}

/* One tree of a list of siblings: in pairs from the left, then all together
 * from the right, which is what makes removal cheap. */
static inline struct heap_node *heap__meld_all(struct heap_node *list) {
    struct heap_node *pairs = NULL, *root = NULL;
    while (list) {
        struct heap_node *a = heap__take_first(&list), *b = heap__take_first(&list);
        a = heap__meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    for (struct heap_node *a; (a = heap__take_first(&pairs));)
        root = heap__meld(root, a);
    return root;
}

/* `node` is in no heap. */
static inline void heap_insert(struct heap *h, struct heap_node *n, uint64_t key) {
    assert(!n->in);
    *n = (struct heap_node){.key = key, .in = true};
    h->first = heap__meld(h->first, n);
}

static inline void heap__cut_out(struct heap_node *n) {
    if (n->prev->child == n)
        n->prev->child = n->next;
    else
        n->prev->next = n->next;
    if (n->next)
        n->next->prev = n->prev;
}

/* `node` is in this heap. */
static inline void heap_remove(struct heap *h, struct heap_node *n) {
    assert(n->in);
    if (n == h->first) {
        h->first = heap__meld_all(n->child);
    } else {
        heap__cut_out(n);
        h->first = heap__meld(h->first, heap__meld_all(n->child));
    }
    *n = (struct heap_node){0};
}

static inline struct heap_node *heap_first(const struct heap *h) {
    return h->first;
}

#endif
