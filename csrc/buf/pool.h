/* pool.h - where evbuffer segments come from and go back to.
 *
 * A pool belongs to one event base. It cuts segments of a few sizes from
 * mapped blocks; the segments of one block are all of one size:
 *
 *     class 4 KiB:   block [seg|seg|seg|....]   block [seg|seg|....]   ...
 *     class 16 KiB:  block [seg|seg|....]       ...
 *
 * The segment given back last is taken first (one of each small size stands
 * ready without asking its block), so that a steady echo always works in the
 * same warm memory. A block with nothing out is idle; PE_POOL_IDLE_MAX bytes of
 * idle blocks are kept, and beyond that the one idle longest is unmapped: a
 * burst is given back to the system, and what is kept for nothing stays below
 * PE_POOL_KEEP_MAX. Taking and giving are a few instructions and no system
 * call while blocks last. What is larger than the largest class comes from the
 * allocator.
 *
 * A pool is not locked: it is entered by who owns its base. Segments wander,
 * though, into buffers of other bases and of none. Given back from there they
 * go onto a lock-free stack, which the owner empties when it next takes one. A
 * closed pool (its base is gone) lives until the last of its segments and
 * buffers is.
 *
 * Buffers of no base have no pool but the free list (freelist.h).
 */
#ifndef PE_BUF_POOL_H
#define PE_BUF_POOL_H

#include <stddef.h>

struct pe_pool;
struct pe_seg;

/* Under AddressSanitizer what is given back must not be usable: the pool poisons
 * it, the free list keeps nothing. */
#if defined(__SANITIZE_ADDRESS__)
#define PE_BUF_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PE_BUF_ASAN 1
#endif
#endif

#define PE_POOL_IDLE_MAX ((size_t)704 * 1024)
#define PE_POOL_KEEP_MAX ((size_t)1024 * 1024) /* idle, and under ready segments */

/* Sizes: PE_CLASS_LENT for segments without bytes of their own, then rings of
 * 1 KiB, 4 KiB ... 256 KiB. PE_CLASS_BIG is whatever is larger. */
enum {
    PE_CLASS_LENT,
    PE_CLASS_FIRST_RING,
    PE_CLASS_BIG = 6
};

#define PE_LENT_BYTES ((size_t)64) /* behind the header of a PE_CLASS_LENT segment */

/* Bytes behind the header of a segment of this class (which is not BIG). */
static inline size_t pe_class_bytes(unsigned size_class) {
    return size_class == PE_CLASS_LENT ? PE_LENT_BYTES
                                       : (size_t)1024 << (2 * (size_class - 1));
}

/* A pool of one owner; NULL when memory is out. */
struct pe_pool *pe_pool_new(void);

/* The owner goes away. The memory goes with the last segment that is still
 * out and the last buffer that still uses the pool. NULL is ignored. */
void pe_pool_close(struct pe_pool *pool);

/* A buffer begins or ends to draw on `pool` (NULL: on the free list). */
void pe_pool_join(struct pe_pool *pool);
void pe_pool_leave(struct pe_pool *pool);

/* A segment of that class, only its place of origin filled in; NULL when memory
 * is out. */
struct pe_seg *pe_pool_take(struct pe_pool *pool, unsigned size_class);

/* Give `seg` back to where it came from, on behalf of a buffer of `pool`. */
void pe_pool_give(struct pe_seg *seg, struct pe_pool *pool);

/* For tests and reports. */
struct pe_pool_stats {
    size_t segs_out;     /* taken and not given back (to the owner) */
    size_t mapped_bytes; /* in all blocks */
    size_t idle_bytes;   /* in blocks with nothing out */
    unsigned long maps;  /* blocks ever mapped */
};

void pe_pool_stats(struct pe_pool *pool, struct pe_pool_stats *out);

#endif
