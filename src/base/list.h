/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive doubly linked list: a circular ring through a head. Unlinking is idempotent. */
#ifndef SIGFERRY_BASE_LIST_H
#define SIGFERRY_BASE_LIST_H

#include "base/attr.h"
#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev; /* both point at itself when unlinked or empty */
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_unlink(struct list *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    list_init(l);
}

/* Appends l, which must be unlinked, at the end of head. */
static inline void list_push(struct list *head, struct list *l)
{
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}

static inline void list_push_front(struct list *head, struct list *l)
{
    list_push(head->next, l);
}

/* The first element, unlinked; NULL when empty. */
static inline struct list *list_pop(struct list *head)
{
    struct list *l = head->next;
    if (l == head)
        return NULL;
    head->next = l->next;
    l->next->prev = head;
    list_init(l);
    return l;
}

/* Moves all of from to the end of to; from is empty afterwards. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define LIST_FOR(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)

#endif
