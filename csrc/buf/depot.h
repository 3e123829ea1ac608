/* depot.h - segments for buffers that have no pool: evbuffer_new's.
 *
 * A few free segments of each small size, for one thread: the one that made the
 * first such buffer owns the depot until the last one is freed, or the thread
 * ends. To it taking and giving are a comparison and a list; no atomic write, no
 * lock. All other threads go to the allocator, as does the owner when a list is
 * empty or full. Nothing but the name of the owner is ever seen by two threads.
 */
#ifndef PE_BUF_DEPOT_H
#define PE_BUF_DEPOT_H

#include "buf/pool.h"
#include "buf/seg.h"

#include <stdatomic.h>
#include <stdbool.h>

#define PE_DEPOT_CLASSES (PE_CLASS_FIRST_RING + 3) /* up to 16 KiB */

struct pe_depot {
    _Atomic(const void *) owner;
    struct pe_seg *free[PE_DEPOT_CLASSES];
    unsigned left[PE_DEPOT_CLASSES]; /* how many more each list takes */
};

extern struct pe_depot pe_depot;

/* Something that is different in every thread that is alive. */
static inline const void *pe_thread_self(void) {
#if defined(__linux__) && defined(__GNUC__) && (defined(__x86_64__) || defined(__aarch64__))
    return __builtin_thread_pointer();
#else
    static _Thread_local char self;

    return &self;
#endif
}

static inline bool pe_depot_is_mine(void) {
    return atomic_load_explicit(&pe_depot.owner, memory_order_relaxed) == pe_thread_self();
}

/* A segment of that class (not BIG), only its origin filled in; NULL when memory
 * is out. */
static inline struct pe_seg *pe_depot_take(unsigned size_class) {
    struct pe_seg *seg;

    if (size_class >= PE_DEPOT_CLASSES || !pe_depot_is_mine())
        return pe_seg_alloc(size_class, pe_class_bytes(size_class));
    seg = pe_depot.free[size_class];
    if (seg == NULL)
        return pe_seg_alloc(size_class, pe_class_bytes(size_class));
    pe_depot.free[size_class] = seg->next;
    pe_depot.left[size_class]++;
    return seg;
}

/* Give back a segment that was cut from no block, of any class. */
static inline void pe_depot_give(struct pe_seg *seg) {
    unsigned size_class = seg->size_class;

    if (size_class >= PE_DEPOT_CLASSES || !pe_depot_is_mine() ||
        pe_depot.left[size_class] == 0) {
        pe_seg_free(seg);
        return;
    }
    seg->next = pe_depot.free[size_class];
    pe_depot.free[size_class] = seg;
    pe_depot.left[size_class]--;
}

/* One more, one fewer buffer. */
void pe_depot_join(void);
void pe_depot_leave(void);

#endif
