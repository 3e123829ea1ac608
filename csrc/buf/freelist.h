/* freelist.h - segments for buffers that have no pool: evbuffer_new's.
 *
 * A few free segments of each small size, for one thread: the one that made the
 * first such buffer owns the free list until the last one is freed, or the thread
 * ends. To it taking and giving are a comparison and a list; no atomic write, no
 * lock. All other threads go to the allocator, as does the owner when a list is
 * empty or full. Nothing but the name of the owner is ever seen by two threads.
 */
#ifndef PE_BUF_FREELIST_H
#define PE_BUF_FREELIST_H

#include "buf/pool.h"
#include "buf/seg.h"

#include <stdatomic.h>
#include <stdbool.h>

#define PE_FREELIST_CLASSES (PE_CLASS_FIRST_RING + 3) /* up to 16 KiB */

struct pe_freelist {
    _Atomic(const void *) owner;
    struct pe_seg *free[PE_FREELIST_CLASSES];
    unsigned left[PE_FREELIST_CLASSES]; /* how many more each list takes */
};

extern struct pe_freelist pe_freelist;

/* Something that is different in every thread that is alive. */
static inline const void *pe_thread_self(void) {
#if defined(__linux__) && defined(__GNUC__) && (defined(__x86_64__) || defined(__aarch64__))
    return __builtin_thread_pointer();
#else
    static _Thread_local char self;

    return &self;
#endif
}

static inline bool pe_freelist_is_mine(void) {
    return atomic_load_explicit(&pe_freelist.owner, memory_order_relaxed) == pe_thread_self();
}

/* A segment of that class (not BIG), only its origin filled in; NULL when memory
 * is out. */
static inline struct pe_seg *pe_freelist_take(unsigned size_class) {
    struct pe_seg *seg;

    if (size_class >= PE_FREELIST_CLASSES || !pe_freelist_is_mine())
        return pe_seg_alloc(size_class, pe_class_bytes(size_class));
    seg = pe_freelist.free[size_class];
    if (seg == NULL)
        return pe_seg_alloc(size_class, pe_class_bytes(size_class));
    pe_freelist.free[size_class] = seg->next;
    pe_freelist.left[size_class]++;
    return seg;
}

/* Give back a segment that was cut from no block, of any class. */
static inline void pe_freelist_put(struct pe_seg *seg) {
    unsigned size_class = seg->size_class;

    if (size_class >= PE_FREELIST_CLASSES || !pe_freelist_is_mine() ||
        pe_freelist.left[size_class] == 0) {
        pe_seg_free(seg);
        return;
    }
    seg->next = pe_freelist.free[size_class];
    pe_freelist.free[size_class] = seg;
    pe_freelist.left[size_class]--;
}

/* One more, one fewer buffer. */
void pe_freelist_join(void);
void pe_freelist_leave(void);

#endif
