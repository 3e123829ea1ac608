/* list.h - an intrusive circular doubly linked list.
 *
 * The head is a link like the others, so that neither an empty list nor an
 * end is a special case:
 *
 *     head <-> first <-> ... <-> last <-> head
 *
 * A link in no list points to itself, so removing twice does nothing. All
 * operations are O(1) and none allocates. Not locked: the owner's rules
 * apply. What a link is part of is found with pe_container().
 */
#ifndef PE_BASE_LIST_H
#define PE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "event2/nodes.h"

/* The struct of type `type` whose member `member` is `*ptr`. */
#define pe_container(ptr, type, member) \
    ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

static inline void pe_list_init(struct pe_link *link) {
    link->prev = link;
    link->next = link;
}

/* As a head: nothing in the list. As a member: in no list. */
static inline bool pe_list_empty(const struct pe_link *link) {
    return link->next == link;
}

static inline void pe_list_insert_after(struct pe_link *at, struct pe_link *link) {
    link->prev = at;
    link->next = at->next;
    at->next->prev = link;
    at->next = link;
}

static inline void pe_list_push_back(struct pe_link *head, struct pe_link *link) {
    pe_list_insert_after(head->prev, link);
}

static inline void pe_list_push_front(struct pe_link *head, struct pe_link *link) {
    pe_list_insert_after(head, link);
}

/* Take `link` out of its list, if it is in one. */
static inline void pe_list_remove(struct pe_link *link) {
    link->prev->next = link->next;
    link->next->prev = link->prev;
    pe_list_init(link);
}

/* The first member, taken out; NULL when the list is empty. */
static inline struct pe_link *pe_list_pop_front(struct pe_link *head) {
    struct pe_link *link = head->next;

    if (link == head)
        return NULL;
    pe_list_remove(link);
    return link;
}

/* All members of `from` go to the end of `to`, in order; `from` is empty then. */
static inline void pe_list_splice_back(struct pe_link *to, struct pe_link *from) {
    if (pe_list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    pe_list_init(from);
}

#endif
