/* list.h - a circular doubly linked list whose links live in its members.
 *
 * A `struct list` is a head or a link, alike; a link on its own points at
 * itself, so removing it twice is harmless. Zeroed memory is not a list: call
 * list_init() first. Threading: the caller's. */
#ifndef SWG_BASE_LIST_H
#define SWG_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l) {
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l) {
    return l->next == l;
}

static inline void list_insert_after(struct list *at, struct list *link) {
    link->prev = at;
    link->next = at->next;
    at->next->prev = link;
    at->next = link;
}

static inline void list_push_front(struct list *head, struct list *link) {
    list_insert_after(head, link);
}

static inline void list_push_back(struct list *head, struct list *link) {
    list_insert_after(head->prev, link);
}

static inline void list_remove(struct list *link) {
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* The first member, removed; NULL when the list is empty. */
static inline struct list *list_pop_front(struct list *head) {
    struct list *first = head->next;
    if (first == head)
        return NULL;
    list_remove(first);
    return first;
}

/* Moves all members of `from` to the end of `to`; `from` is empty after. */
static inline void list_splice_back(struct list *to, struct list *from) {
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#endif
