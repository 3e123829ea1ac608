/* heap.c - sifting. See heap.h for the shape.
 *
 * A sift moves a hole: entries on the way slide into it one level, and the
 * entry in hand is stored once, at the end. Each entry that slides costs a
 * write to its node (the new index), the only access outside the array.
 *
 * Invariant between calls: no slot is before its parent, slots[i].node->index
 * is i and slots[i].key is slots[i].node->key for every i below count.
 */
#include "base/heap.h"

#include <errno.h>
#include <string.h>

#define FIRST_CAP 64u
#define LINE 64u /* bytes of a cache line */

/* A power of two, so that the doubled capacity ends here, and small enough for
 * the index of a child never to overflow. */
#define MAX_NODES (UINT32_C(1) << 28)

_Static_assert(sizeof(void *) != 8 || sizeof(struct pe_heap_slot) * PE_HEAP_FANOUT == LINE,
               "four siblings fill one cache line");

#ifdef PE_HEAP_COUNT /* in a test that includes this file: what an operation costs */
static unsigned long comparisons, moves;
#define COUNT(what) ((void)what++)
#else
#define COUNT(what) ((void)0)
#endif

/* Whether `a` leaves the heap before `b`. */
static inline bool is_before(const struct pe_heap_slot *a, const struct pe_heap_slot *b) {
    COUNT(comparisons);
    if (a->key != b->key)
        return a->key < b->key;
    return (int32_t)(a->node->seq - b->node->seq) < 0;
}

static inline void put(struct pe_heap *h, uint32_t i, struct pe_heap_slot slot) {
    COUNT(moves);
    h->slots[i] = slot;
    slot.node->index = i;
}

/* The first of the children of `i`, which has at least one, to leave. */
static inline uint32_t first_child(const struct pe_heap *h, uint32_t i) {
    const struct pe_heap_slot *s = h->slots;
    uint32_t a = PE_HEAP_FANOUT * i + 1;
    uint32_t last = h->count - 1;
    uint32_t best, other;

    if (a + 3 <= last) { /* as a tournament: the two halves do not wait for each other */
        best = is_before(&s[a + 1], &s[a]) ? a + 1 : a;
        other = is_before(&s[a + 3], &s[a + 2]) ? a + 3 : a + 2;
        return is_before(&s[other], &s[best]) ? other : best;
    }
    best = a;
    for (other = a + 1; other <= last; other++)
        if (is_before(&s[other], &s[best]))
            best = other;
    return best;
}

/* Both put `slot` where it belongs, starting with a hole at `i`. */
static void sift_up(struct pe_heap *h, uint32_t i, struct pe_heap_slot slot) {
    while (i > 0) {
        uint32_t parent = (i - 1) / PE_HEAP_FANOUT;

        if (!is_before(&slot, &h->slots[parent]))
            break;
        put(h, i, h->slots[parent]);
        i = parent;
    }
    put(h, i, slot);
}

static void sift_down(struct pe_heap *h, uint32_t i, struct pe_heap_slot slot) {
    while (PE_HEAP_FANOUT * i + 1 < h->count) {
        uint32_t child = first_child(h, i);

        if (!is_before(&h->slots[child], &slot))
            break;
        put(h, i, h->slots[child]);
        i = child;
    }
    put(h, i, slot);
}

static void sift(struct pe_heap *h, uint32_t i, struct pe_heap_slot slot) {
    if (i > 0 && is_before(&slot, &h->slots[(i - 1) / PE_HEAP_FANOUT]))
        sift_up(h, i, slot);
    else
        sift_down(h, i, slot);
}

/* Move to a block of `cap` slots, placed so that slot 1 begins a line. realloc
 * would not keep that alignment. */
static int set_capacity(struct pe_heap *h, size_t cap) {
    size_t lead = LINE - sizeof(struct pe_heap_slot);
    struct pe_heap_slot *slots;
    uintptr_t start;
    char *block;

    if (cap > (SIZE_MAX - 2 * LINE) / sizeof(*slots)) /* where size_t has 32 bits */
        return -ENOMEM;
    block = pe_malloc(PE_MEM_TIMER, cap * sizeof(*slots) + lead + LINE - 1);
    if (block == NULL)
        return -ENOMEM;
    start = ((uintptr_t)block + LINE - 1) / LINE * LINE + lead;
    slots = (struct pe_heap_slot *)(void *)(block + (start - (uintptr_t)block));
    if (h->count != 0)
        memcpy(slots, h->slots, h->count * sizeof(*slots));
    pe_free(PE_MEM_TIMER, h->block);
    h->block = block;
    h->slots = slots;
    h->cap = (uint32_t)cap;
    return 0;
}

int pe_heap_reserve(struct pe_heap *h, size_t n) {
    size_t cap = h->cap != 0 ? h->cap : FIRST_CAP;

    if (n <= h->cap)
        return 0;
    if (n > MAX_NODES)
        return -ENOMEM;
    while (cap < n)
        cap *= 2;
    return set_capacity(h, cap);
}

int pe_heap_push(struct pe_heap *h, struct pe_heap_node *node) {
    if (h->count == h->cap) {
        int err = pe_heap_reserve(h, (size_t)h->count + 1);

        if (err < 0)
            return err;
    }
    node->seq = h->next_seq++;
    sift_up(h, h->count++, (struct pe_heap_slot){node->key, node});
    return 0;
}

void pe_heap_remove(struct pe_heap *h, struct pe_heap_node *node) {
    uint32_t i = node->index;

    if (i == PE_HEAP_NONE)
        return;
    node->index = PE_HEAP_NONE;
    h->count--;
    if (i != h->count) /* the last entry fills the gap */
        sift(h, i, h->slots[h->count]);
}

void pe_heap_rekey(struct pe_heap *h, struct pe_heap_node *node, int64_t key) {
    node->key = key;
    node->seq = h->next_seq++;
    sift(h, node->index, (struct pe_heap_slot){key, node});
}

void pe_heap_clear(struct pe_heap *h) {
    for (uint32_t i = 0; i < h->count; i++)
        h->slots[i].node->index = PE_HEAP_NONE;
    pe_free(PE_MEM_TIMER, h->block);
    pe_heap_init(h);
}
