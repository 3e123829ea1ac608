/* event2/nodes.h - the intrusive nodes that the public structs embed.
 *
 * `struct event` is public (event_assign takes the caller's memory), and it
 * sits in lists and in the timer heap of its base, so the nodes of those
 * must be visible too. Treat them as opaque: base/list.h and base/heap.h
 * hold the operations, inside the library.
 */
#ifndef EVENT2_NODES_H
#define EVENT2_NODES_H

#include <stdint.h>

/* A member of one circular doubly linked list, or the list's head. */
struct pe_link {
    struct pe_link *prev, *next;
};

/* A member of one min-heap: smallest key first, equal keys by age. */
struct pe_heap_node {
    int64_t key;    /* for timers: the deadline, ns of the monotonic clock */
    uint32_t index; /* where the heap keeps it; UINT32_MAX: in no heap */
    uint32_t seq;   /* age among equal keys */
};

#endif
