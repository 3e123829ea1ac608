/* seg.c - making, sharing and dropping segments. The head comment of seg.h says
 * what they are. */
#include "buf/seg.h"

#include "base/mem.h"
#include "buf/freelist.h"
#include "buf/file.h"

#include <limits.h>

/* The largest ring: beyond it a power of two would not fit, and nobody has it. */
#define RING_MAX ((SIZE_MAX >> 2) + 1)

#define LINE ((size_t)64)

struct pe_seg *pe_seg_alloc(unsigned size_class, size_t bytes) {
    char *block = pe_malloc(PE_MEM_SEGMENT, sizeof(struct pe_seg) + bytes + LINE - 1);
    struct pe_seg *seg;
    size_t gap;

    if (block == NULL)
        return NULL;
    gap = (LINE - (uintptr_t)block % LINE) % LINE;
    seg = (struct pe_seg *)(void *)(block + gap);
    seg->block = NULL;
    seg->size_class = (uint8_t)size_class;
    seg->gap = (uint16_t)gap;
    return seg;
}

void pe_seg_free(struct pe_seg *seg) {
    pe_free(PE_MEM_SEGMENT, (char *)seg - seg->gap);
}

/* Without a pool everything is inline: this is the path of evbuffer_new's. */
static inline struct pe_seg *take(struct pe_pool *pool, unsigned size_class) {
    return pool == NULL ? pe_freelist_take(size_class) : pe_pool_take(pool, size_class);
}

static inline void give(struct pe_seg *seg, struct pe_pool *pool) {
    if (seg->block == NULL)
        pe_freelist_put(seg);
    else
        pe_pool_give(seg, pool);
}

static inline void seg_reset(struct pe_seg *seg, unsigned kind, unsigned char *data, size_t n) {
    seg->next = NULL;
    seg->data = data;
    seg->head = 0;
    seg->tail = n;
    seg->mask = PE_SEG_LINEAR;
    seg->limit = 0;
    atomic_store_explicit(&seg->refs, 1, memory_order_relaxed);
    seg->kind = (uint8_t)kind;
}

unsigned pe_seg_class(size_t want) {
    unsigned bits; /* 2^bits holds it */

    if (want <= 1024)
        return PE_CLASS_FIRST_RING;
    bits = (unsigned)(sizeof(unsigned long) * CHAR_BIT) -
           (unsigned)__builtin_clzl((unsigned long)want - 1);
    bits = (bits - 10 + 1) / 2 + PE_CLASS_FIRST_RING;
    return bits < PE_CLASS_BIG ? bits : PE_CLASS_BIG;
}

static struct pe_seg *open_ring(struct pe_seg *seg, size_t bytes) {
    if (seg == NULL)
        return NULL;
    seg_reset(seg, PE_SEG_RING, (unsigned char *)(seg + 1), 0);
    seg->mask = bytes - 1;
    seg->limit = bytes;
    return seg;
}

struct pe_seg *pe_seg_ring_class(struct pe_pool *pool, unsigned size_class) {
    return open_ring(take(pool, size_class), pe_class_bytes(size_class));
}

static struct pe_seg *big_ring(size_t want) {
    size_t bytes = pe_class_bytes(PE_CLASS_BIG - 1);

    if (want > RING_MAX)
        return NULL;
    while (bytes < want)
        bytes <<= 1;
    return open_ring(pe_seg_alloc(PE_CLASS_BIG, bytes), bytes);
}

struct pe_seg *pe_seg_ring(struct pe_pool *pool, size_t want) {
    unsigned c = pe_seg_class(want);

    return c < PE_CLASS_BIG ? pe_seg_ring_class(pool, c) : big_ring(want);
}

struct pe_seg *pe_seg_foreign(struct pe_pool *pool, enum pe_seg_kind kind,
                              const unsigned char *data, size_t n) {
    struct pe_seg *seg = take(pool, PE_CLASS_LENT);

    if (seg == NULL)
        return NULL;
    /* Nothing writes through `data` of such a segment: its limit stays 0. */
    seg_reset(seg, kind, (unsigned char *)(uintptr_t)data, n);
    return seg;
}

struct pe_seg *pe_seg_share(struct pe_pool *pool, struct pe_seg *seg, size_t off, size_t n) {
    struct pe_seg *source = seg->kind == PE_SEG_SHARE ? pe_seg_extra(seg)->source : seg;
    struct pe_seg *share;

    if (seg->kind == PE_SEG_FILE) {
        struct evbuffer_file_segment *file = pe_seg_extra(seg)->file;

        share = pe_seg_foreign(pool, PE_SEG_FILE, seg->data, 0);
        if (share == NULL)
            return NULL;
        share->head = seg->head + off;
        share->tail = share->head + n;
        pe_seg_extra(share)->file = file;
        pe_file_hold(file);
        return share;
    }
    share = pe_seg_foreign(pool, PE_SEG_SHARE, seg->data, 0);
    if (share == NULL)
        return NULL;
    /* The same slots under the same mask, so that a wrapped ring is shared as it is. */
    share->mask = seg->mask;
    share->head = seg->head + off;
    share->tail = share->head + n;
    pe_seg_extra(share)->source = source;
    pe_seg_extra(share)->is_multicast = seg != source && pe_seg_extra(seg)->is_multicast;
    pe_seg_hold(source);
    return share;
}

static void released_push(struct pe_released *dead, struct pe_seg *seg) {
    seg->next = NULL;
    if (dead->last != NULL)
        dead->last->next = seg;
    else
        dead->first = seg;
    dead->last = seg;
}

void pe_seg_drop_shared(struct pe_seg *seg, struct pe_pool *pool, struct pe_released *dead) {
    while (seg != NULL) {
        struct pe_seg *source = NULL;

        if (!pe_seg_alone(seg) &&
            atomic_fetch_sub_explicit(&seg->refs, 1, memory_order_acq_rel) != 1)
            return;
        if (seg->kind == PE_SEG_SHARE) {
            source = pe_seg_extra(seg)->source;
        } else if (seg->kind == PE_SEG_FILE ||
                   (seg->kind == PE_SEG_LENT && pe_seg_extra(seg)->cleanup != NULL)) {
            released_push(dead, seg);
            return;
        }
        give(seg, pool);
        seg = source;
    }
}

void pe_released_run(struct pe_released *dead) {
    struct pe_seg *seg = dead->first;

    while (seg != NULL) {
        struct pe_seg *next = seg->next;
        struct pe_seg_extra *extra = pe_seg_extra(seg);
        evbuffer_ref_cleanup_cb cleanup = extra->cleanup;
        struct evbuffer_file_segment *file = extra->file;
        const unsigned char *data = seg->data;
        void *arg = extra->cleanup_arg;
        size_t n = seg->tail;
        unsigned kind = seg->kind;

        /* The buffer that dropped it may be gone by now, so not on its behalf. */
        give(seg, NULL);
        if (kind == PE_SEG_FILE)
            pe_file_drop(file);
        else
            cleanup(data, n, arg);
        seg = next;
    }
    dead->first = dead->last = NULL;
}
