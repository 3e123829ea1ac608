/* heap.h - a 4-ary min-heap of intrusive nodes, made for timers.
 *
 * The array holds a copy of each node's key beside the pointer to it, so
 * comparing touches the array only; a node's memory is touched when its entry
 * moves (to note the new index) or when two keys are equal:
 *
 *     slots:  0 | 1 2 3 4 | 5 6 7 8 | 9 ...      children of i: 4i+1 .. 4i+4
 *                 ^ 64 bytes, one cache line
 *
 * Four children are four entries of 16 bytes, and the array is placed so that
 * siblings share a cache line: going down one level is one line, and there
 * are half as many levels as in a binary heap. Entries are sifted by moving a
 * hole, not by swapping.
 *
 * Smallest key first; equal keys in order of insertion, where giving a new
 * key counts as a new insertion. (The age is a 32-bit counter compared modulo
 * 2^32: equal keys 2^31 insertions apart may change places.)
 *
 * first() is O(1), the rest O(log n), and a node that stays among the leaves,
 * as a timer pushed into the future mostly does, costs O(1). Only push and
 * reserve allocate. Not locked: the owner's rules apply.
 */
#ifndef PE_BASE_HEAP_H
#define PE_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "event2/nodes.h"

#define PE_HEAP_NONE UINT32_MAX

struct pe_heap_slot {
    int64_t key;
    struct pe_heap_node *node;
};

#define PE_HEAP_FANOUT 4u /* children of slot i: from 4 * i + 1 on */

struct pe_heap {
    struct pe_heap_slot *slots; /* inside `block`; siblings share a line */
    void *block;                /* what was allocated */
    uint32_t count;
    uint32_t cap;
    uint32_t next_seq;
};

static inline void pe_heap_init(struct pe_heap *h) {
    h->slots = NULL;
    h->block = NULL;
    h->count = 0;
    h->cap = 0;
    h->next_seq = 0;
}

static inline void pe_heap_node_init(struct pe_heap_node *node) {
    node->key = 0;
    node->index = PE_HEAP_NONE;
    node->seq = 0;
}

/* Whether `node` is in a heap. */
static inline bool pe_heap_has(const struct pe_heap_node *node) {
    return node->index != PE_HEAP_NONE;
}

static inline size_t pe_heap_count(const struct pe_heap *h) {
    return h->count;
}

/* The node with the smallest key, left in the heap; NULL when it is empty. */
static inline struct pe_heap_node *pe_heap_first(const struct pe_heap *h) {
    return h->count != 0 ? h->slots[0].node : NULL;
}

/* Take every node out and free the array; the heap can be used again. */
void pe_heap_clear(struct pe_heap *h);

/* Whether the next push needs memory. */
static inline bool pe_heap_is_full(const struct pe_heap *h) {
    return h->count == h->cap;
}

/* Room for `n` nodes in all, so that pushing up to there cannot fail.
 * 0 or -ENOMEM. */
int pe_heap_reserve(struct pe_heap *h, size_t n);

/* Put `node`, which is in no heap, in under node->key. 0 or -ENOMEM (and
 * then nothing has changed). */
int pe_heap_push(struct pe_heap *h, struct pe_heap_node *node);

/* Take `node` out. A node that is in no heap is left alone. */
void pe_heap_remove(struct pe_heap *h, struct pe_heap_node *node);

/* Give `node`, which is in `h`, another key. Never fails. */
void pe_heap_rekey(struct pe_heap *h, struct pe_heap_node *node, int64_t key);

#endif
