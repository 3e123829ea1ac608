/* seg.h - one segment: the unit an evbuffer is made of.
 *
 * A ring is a power-of-two block. Bytes enter at `tail` and leave at `head`;
 * both only ever grow (prepending turns `head` back), and `& mask` finds the
 * slot, so full and empty differ without wasting a byte:
 *
 *     |....dddddddddd......|     used = tail - head, room = limit - used
 *          ^head     ^tail
 *
 * Used or free bytes are at most two spans, the shape readv(2) and writev(2)
 * take. The other kinds hold bytes that are not theirs: lent memory, the bytes
 * of another segment, a range of a file. Their `mask` is so large that they
 * never wrap and their `limit` is 0, so the same arithmetic serves all.
 *
 * A segment belongs to one buffer. `refs` counts that one, the pins on it and
 * the segments that share its bytes; a ring with more than one stays as it is:
 * its `limit` is 0 ("closed") until it is alone again. The count is atomic, as
 * those who share may be of different bases.
 *
 * Header 64 bytes, the ring right behind it, both on cache lines of their own:
 * copying to where lines are straddled costs up to half as much again. Not locked otherwise: the owning
 * evbuffer's rules apply.
 */
#ifndef PE_BUF_SEG_H
#define PE_BUF_SEG_H

#include "buf/pool.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/uio.h>

#include "event2/buffer.h"

struct pe_block;

enum pe_seg_kind {
    PE_SEG_RING,  /* bytes of its own */
    PE_SEG_LENT,  /* the caller's memory, until a cleanup */
    PE_SEG_SHARE, /* bytes of the segment `source` */
    PE_SEG_FILE   /* [head, tail) of a file segment; `data` NULL: not in memory */
};

#define PE_SEG_LINEAR (SIZE_MAX >> 1) /* the mask of what is no ring */

struct pe_seg {
    struct pe_seg *next;
    unsigned char *data;
    size_t head, tail;
    size_t mask;            /* capacity - 1 */
    size_t limit;           /* capacity while bytes may be added, else 0 */
    struct pe_block *block; /* what it was cut from; NULL: allocated alone */
    atomic_uint refs;
    uint8_t kind;
    uint8_t size_class;
    uint16_t gap; /* without a block: bytes from what was allocated to here */
};

/* What stands behind the header of a segment that is no ring. */
struct pe_seg_extra {
    evbuffer_ref_cleanup_cb cleanup; /* LENT; NULL: none */
    void *cleanup_arg;
    struct pe_seg *source;              /* SHARE */
    bool is_multicast;                  /* SHARE: another buffer has these bytes as well */
    struct evbuffer_file_segment *file; /* FILE */
};

static inline struct pe_seg_extra *pe_seg_extra(struct pe_seg *seg) {
    return (struct pe_seg_extra *)(void *)(seg + 1);
}

static inline size_t pe_seg_used(const struct pe_seg *seg) {
    return seg->tail - seg->head;
}

/* How many bytes can be added at the tail; 0 in a closed segment. */
static inline size_t pe_seg_room(const struct pe_seg *seg) {
    size_t used = seg->tail - seg->head;

    return seg->limit > used ? seg->limit - used : 0;
}

/* The address of the byte `off` bytes after the head, and how many of `n` are
 * contiguous from there. */
static inline unsigned char *pe_seg_at(const struct pe_seg *seg, size_t off) {
    return seg->data + ((seg->head + off) & seg->mask);
}

static inline size_t pe_seg_run(const struct pe_seg *seg, size_t off, size_t n) {
    size_t to_end = seg->mask - ((seg->head + off) & seg->mask) + 1;

    return n < to_end ? n : to_end;
}

/* The bytes [off, off + n) of the segment as one or two spans; how many. */
static inline int pe_seg_spans(const struct pe_seg *seg, size_t off, size_t n,
                               struct iovec out[2]) {
    size_t run = pe_seg_run(seg, off, n);

    out[0].iov_base = pe_seg_at(seg, off);
    out[0].iov_len = run;
    if (run == n)
        return 1;
    out[1].iov_base = seg->data;
    out[1].iov_len = n - run;
    return 2;
}

/* The free bytes of a ring as up to two spans, in the order they fill; how many. */
static inline int pe_seg_free_spans(const struct pe_seg *seg, struct iovec out[2]) {
    size_t room = pe_seg_room(seg);

    return room == 0 ? 0 : pe_seg_spans(seg, seg->tail - seg->head, room, out);
}

/* Copy `n` bytes to the tail; there must be room. */
static inline void pe_seg_put(struct pe_seg *seg, const void *src, size_t n) {
    size_t at = seg->tail & seg->mask;
    size_t run = seg->mask - at + 1;

    if (n <= run) {
        memcpy(seg->data + at, src, n);
    } else {
        memcpy(seg->data + at, src, run);
        memcpy(seg->data, (const char *)src + run, n - run);
    }
    seg->tail += n;
}

/* Copy `n` bytes before the head; there must be room. */
static inline void pe_seg_put_front(struct pe_seg *seg, const void *src, size_t n) {
    size_t at = (seg->head - n) & seg->mask;
    size_t run = seg->mask - at + 1;

    if (n <= run) {
        memcpy(seg->data + at, src, n);
    } else {
        memcpy(seg->data + at, src, run);
        memcpy(seg->data, (const char *)src + run, n - run);
    }
    seg->head -= n;
}

/* Copy the bytes [off, off + n) out. */
static inline void pe_seg_copy(const struct pe_seg *seg, size_t off, void *dst, size_t n) {
    size_t run = pe_seg_run(seg, off, n);

    memcpy(dst, pe_seg_at(seg, off), run);
    if (run != n)
        memcpy((char *)dst + run, seg->data, n - run);
}

/* A segment of that class, alone in memory, with `bytes` behind the header; NULL when
 * memory is out. */
struct pe_seg *pe_seg_alloc(unsigned size_class, size_t bytes);
void pe_seg_free(struct pe_seg *seg);

/* An empty ring of at least `want` bytes; NULL when memory is out or `want` is
 * beyond what a ring can be. */
struct pe_seg *pe_seg_ring(struct pe_pool *pool, size_t want);

/* An empty ring of that class (FIRST_RING .. BIG - 1). */
struct pe_seg *pe_seg_ring_class(struct pe_pool *pool, unsigned size_class);

/* The class whose rings hold `want` bytes; PE_CLASS_BIG when none does. */
unsigned pe_seg_class(size_t want);

/* A segment that is no ring, over `n` bytes at `data`; its extra is to be set. */
struct pe_seg *pe_seg_foreign(struct pe_pool *pool, enum pe_seg_kind kind,
                              const unsigned char *data, size_t n);

/* A segment that shows the `n` bytes of `seg` from `off` on and keeps them alive;
 * of a file it shows a range. NULL when memory is out. `seg` is closed. */
struct pe_seg *pe_seg_share(struct pe_pool *pool, struct pe_seg *seg, size_t off, size_t n);

/* One more reference: a ring accepts no bytes until it is gone again. */
static inline void pe_seg_hold(struct pe_seg *seg) {
    atomic_fetch_add_explicit(&seg->refs, 1, memory_order_relaxed);
    seg->limit = 0;
}

/* Whether nobody but its buffer uses the segment. */
static inline bool pe_seg_alone(struct pe_seg *seg) {
    return atomic_load_explicit(&seg->refs, memory_order_acquire) == 1;
}

/* Let a closed ring accept bytes again if it is alone by now. */
static inline void pe_seg_reopen(struct pe_seg *seg) {
    if (seg->limit == 0 && seg->kind == PE_SEG_RING && pe_seg_alone(seg))
        seg->limit = seg->mask + 1;
}

/* Segments whose cleanups are due, run when the buffers are in order again. */
struct pe_released {
    struct pe_seg *first;
    struct pe_seg *last;
};

void pe_seg_drop_shared(struct pe_seg *seg, struct pe_pool *pool, struct pe_released *dead);

/* Give up a reference, for a buffer of `pool`. The last one gives the segment
 * back, or puts it onto `dead` when that calls out. A ring that nobody shares
 * needs no atomic write. */
static inline void pe_seg_drop(struct pe_seg *seg, struct pe_pool *pool,
                               struct pe_released *dead) {
    if (seg->kind == PE_SEG_RING && pe_seg_alone(seg))
        pe_pool_give(seg, pool);
    else
        pe_seg_drop_shared(seg, pool, dead);
}

/* Run the cleanups. No buffer is touched: they may be gone. */
void pe_released_run(struct pe_released *dead);

#endif
