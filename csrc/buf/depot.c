/* depot.c - a few segments for the whole process. See depot.h.
 *
 * Whether there are buffers at all is looked at without a lock: a segment given
 * back while another thread frees the last buffer may stay in its slot, until
 * the next last buffer is freed.
 */
#include "buf/depot.h"

#include "base/mem.h"
#include "buf/seg.h"

#include <stdatomic.h>
#include <stdbool.h>

#define SLOTTED_CLASSES (PE_CLASS_FIRST_RING + 3) /* up to 16 KiB */
#define SLOTS 4

static _Atomic(struct pe_seg *) slots[SLOTTED_CLASSES][SLOTS];
static atomic_long n_buffers;

/* Under AddressSanitizer every segment is a block of its own, so that the use of
 * one that was given back is seen. */
static inline bool has_slots(unsigned size_class) {
#if defined(__SANITIZE_ADDRESS__)
    (void)size_class;
    return false;
#else
    return size_class < SLOTTED_CLASSES;
#endif
}

struct pe_seg *pe_depot_take(unsigned size_class) {
    struct pe_seg *seg;

    if (has_slots(size_class)) {
        for (int i = 0; i < SLOTS; i++) {
            if (atomic_load_explicit(&slots[size_class][i], memory_order_relaxed) == NULL)
                continue;
            seg = atomic_exchange_explicit(&slots[size_class][i], NULL,
                                           memory_order_acquire);
            if (seg != NULL)
                return seg;
        }
    }
    seg = pe_malloc(PE_MEM_SEGMENT, sizeof(*seg) + pe_class_bytes(size_class));
    if (seg == NULL)
        return NULL;
    seg->block = NULL;
    seg->size_class = (uint8_t)size_class;
    return seg;
}

void pe_depot_give(struct pe_seg *seg) {
    unsigned size_class = seg->size_class;

    if (has_slots(size_class) &&
        atomic_load_explicit(&n_buffers, memory_order_relaxed) > 0) {
        for (int i = 0; i < SLOTS; i++) {
            struct pe_seg *empty = NULL;

            if (atomic_load_explicit(&slots[size_class][i], memory_order_relaxed) != NULL)
                continue;
            if (atomic_compare_exchange_strong_explicit(&slots[size_class][i], &empty, seg,
                                                        memory_order_release,
                                                        memory_order_relaxed))
                return;
        }
    }
    pe_free(PE_MEM_SEGMENT, seg);
}

void pe_depot_join(void) {
    atomic_fetch_add_explicit(&n_buffers, 1, memory_order_relaxed);
}

void pe_depot_leave(void) {
    if (atomic_fetch_sub_explicit(&n_buffers, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned c = 0; c < SLOTTED_CLASSES; c++) {
        for (int i = 0; i < SLOTS; i++)
            pe_free(PE_MEM_SEGMENT,
                    atomic_exchange_explicit(&slots[c][i], NULL, memory_order_acquire));
    }
}
