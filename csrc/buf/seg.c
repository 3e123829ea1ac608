/* seg.c - making, sharing and dropping segments. The head comment of seg.h says
 * what they are. */
#include "buf/seg.h"

#include "base/mem.h"
#include "buf/file.h"

/* The largest ring: beyond it a power of two would not fit, and nobody has it. */
#define RING_MAX ((SIZE_MAX >> 2) + 1)

static void seg_reset(struct pe_seg *seg, unsigned kind, unsigned char *data, size_t n) {
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
    unsigned c = PE_CLASS_FIRST_RING;

    while (c < PE_CLASS_BIG && pe_class_bytes(c) < want)
        c++;
    return c;
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
    return open_ring(pe_pool_take(pool, size_class), pe_class_bytes(size_class));
}

static struct pe_seg *big_ring(size_t want) {
    size_t bytes = pe_class_bytes(PE_CLASS_BIG - 1);
    struct pe_seg *seg;

    if (want > RING_MAX)
        return NULL;
    while (bytes < want)
        bytes <<= 1;
    seg = pe_malloc(PE_MEM_SEGMENT, sizeof(*seg) + bytes);
    if (seg == NULL)
        return NULL;
    seg->block = NULL;
    seg->size_class = PE_CLASS_BIG;
    return open_ring(seg, bytes);
}

struct pe_seg *pe_seg_ring(struct pe_pool *pool, size_t want) {
    unsigned c = pe_seg_class(want);

    return c < PE_CLASS_BIG ? pe_seg_ring_class(pool, c) : big_ring(want);
}

struct pe_seg *pe_seg_foreign(struct pe_pool *pool, enum pe_seg_kind kind,
                              const unsigned char *data, size_t n) {
    struct pe_seg *seg = pe_pool_take(pool, PE_CLASS_LENT);

    if (seg == NULL)
        return NULL;
    /* Nothing writes through `data` of such a segment: its limit stays 0. */
    seg_reset(seg, kind, (unsigned char *)(uintptr_t)data, n);
    memset(pe_seg_extra(seg), 0, sizeof(struct pe_seg_extra));
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
    pe_seg_hold(source);
    return share;
}

static void dead_push(struct pe_dead *dead, struct pe_seg *seg) {
    seg->next = NULL;
    if (dead->last != NULL)
        dead->last->next = seg;
    else
        dead->first = seg;
    dead->last = seg;
}

/* Whether that was the last reference. One who is alone needs no atomic write. */
static bool unref(struct pe_seg *seg) {
    if (pe_seg_alone(seg))
        return true;
    return atomic_fetch_sub_explicit(&seg->refs, 1, memory_order_acq_rel) == 1;
}

void pe_seg_drop(struct pe_seg *seg, struct pe_pool *pool, struct pe_dead *dead) {
    while (seg != NULL && unref(seg)) {
        struct pe_seg *source = NULL;

        if (seg->kind == PE_SEG_SHARE) {
            source = pe_seg_extra(seg)->source;
        } else if (seg->kind == PE_SEG_FILE ||
                   (seg->kind == PE_SEG_LENT && pe_seg_extra(seg)->cleanup != NULL)) {
            dead_push(dead, seg);
            return;
        }
        pe_pool_give(seg, pool);
        seg = source;
    }
}

void pe_dead_run(struct pe_dead *dead) {
    struct pe_seg *seg = dead->first;

    while (seg != NULL) {
        struct pe_seg *next = seg->next;
        const struct pe_seg_extra extra = *pe_seg_extra(seg);
        const unsigned char *data = seg->data;
        size_t n = seg->tail;
        unsigned kind = seg->kind;

        /* The buffer that dropped it may be gone by now, so not on its behalf. */
        pe_pool_give(seg, NULL);
        if (kind == PE_SEG_FILE)
            pe_file_drop(extra.file);
        else
            extra.cleanup(data, n, extra.cleanup_arg);
        seg = next;
    }
    dead->first = dead->last = NULL;
}
