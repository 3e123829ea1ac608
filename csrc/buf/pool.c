/* pool.c - segments cut from mapped blocks, for one owner.
 *
 * A block is in one list: `partial` (some out, some free), `idle` (none out,
 * newest first) or `full`. Idle blocks are also in `by_age`, over all classes,
 * where the front is idle longest. A fresh block is not threaded into a free
 * list, which would touch every page of it: segments are cut off as needed.
 *
 *     pool --- ready[class]     one segment, given back last
 *          |-- partial[class] -> block -> block       seg -> seg (free)
 *          |-- idle[class] ----> block
 *          |-- full -----------> block -> block
 *          `-- returned ------> seg -> seg            from other threads
 *
 * `returned` is the one thing that others touch: a stack pushed to with
 * compare-and-swap and emptied whole by the owner, so no ABA. When the pool is
 * closed the stack ends in CLOSED for good, and whatever comes back only counts
 * `remaining` down; who reaches 0 frees the pool. A segment's header is followed
 * by its bytes, and so far off a page's start that rings do not all begin in
 * the same sets of the cache.
 */
#include "buf/pool.h"

#include "base/list.h"
#include "base/mem.h"
#include "buf/freelist.h"
#include "buf/seg.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(PE_BUF_ASAN)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#define CLASSES PE_CLASS_BIG
#define READY_CLASSES (PE_CLASS_FIRST_RING + 3) /* up to 16 KiB */

struct pe_block {
    struct pe_link link;
    struct pe_link age_link;
    struct pe_pool *pool;
    struct pe_seg *free; /* given back, newest first */
    char *fresh;         /* the first byte never handed out */
    uint32_t fresh_left; /* segments that fit from there on */
    uint32_t out;        /* segments not in this block now */
    size_t bytes;        /* mapped */
    char *map;
    unsigned size_class;
};

struct pe_pool {
    _Atomic(struct pe_seg *) returned;
    struct pe_seg *ready[READY_CLASSES];
    struct pe_link partial[CLASSES];
    struct pe_link idle[CLASSES];
    struct pe_link full;
    struct pe_link by_age;
    size_t idle_bytes;
    size_t mapped_bytes;
    size_t segs_out;   /* taken and not back with the owner */
    size_t members;    /* buffers that draw on the pool */
    unsigned long maps;
    bool closed;
    atomic_size_t remaining; /* once closed: segments, buffers, and close itself */
};

static struct pe_seg closed_mark;
#define CLOSED (&closed_mark)

struct pe_pool *pe_pool_new(void) {
    struct pe_pool *pool = pe_calloc(PE_MEM_POOL, 1, sizeof(*pool));

    if (pool == NULL)
        return NULL;
    for (unsigned c = 0; c < CLASSES; c++) {
        pe_list_init(&pool->partial[c]);
        pe_list_init(&pool->idle[c]);
    }
    pe_list_init(&pool->full);
    pe_list_init(&pool->by_age);
    return pool;
}

/* --- Blocks --- */

static size_t seg_stride(unsigned size_class) {
    return sizeof(struct pe_seg) + pe_class_bytes(size_class);
}

/* 64 KiB for the small classes, then 7 segments, 4, and a single one: an idle block
 * of each must fit into PE_POOL_IDLE_MAX, or reads of changing sizes, each of which
 * leaves one, would have the kernel map and clear memory all the time. */
static size_t block_bytes(unsigned size_class) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t want = (size_t)64 * 1024;

    if (size_class == CLASSES - 1)
        want = seg_stride(size_class);
    else if (size_class == CLASSES - 2)
        want = 4 * seg_stride(size_class);
    else if (size_class == CLASSES - 3)
        want *= 2;
    return (want + page - 1) & ~(page - 1);
}

static struct pe_block *block_new(struct pe_pool *pool, unsigned size_class) {
    struct pe_block *block = pe_malloc(PE_MEM_POOL, sizeof(*block));
    size_t bytes = block_bytes(size_class);
    void *map;

    if (block == NULL)
        return NULL;
    map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        pe_free(PE_MEM_POOL, block);
        return NULL;
    }
    pe_list_init(&block->age_link);
    block->pool = pool;
    block->free = NULL;
    block->map = block->fresh = map;
    block->fresh_left = (uint32_t)(bytes / seg_stride(size_class));
    block->out = 0;
    block->bytes = bytes;
    block->size_class = size_class;
    pe_list_init(&block->link);
    pe_list_push_front(&pool->partial[size_class], &block->link);
    pool->mapped_bytes += bytes;
    pool->maps++;
    return block;
}

static void block_free(struct pe_block *block) {
    pe_list_remove(&block->link);
    pe_list_remove(&block->age_link);
    block->pool->mapped_bytes -= block->bytes;
    ASAN_UNPOISON_MEMORY_REGION(block->map, block->bytes);
    (void)munmap(block->map, block->bytes); /* our own mapping: cannot fail */
    pe_free(PE_MEM_POOL, block);
}

static void block_goes_idle(struct pe_block *block) {
    struct pe_pool *pool = block->pool;

    pe_list_remove(&block->link);
    pe_list_push_front(&pool->idle[block->size_class], &block->link);
    pe_list_push_back(&pool->by_age, &block->age_link);
    pool->idle_bytes += block->bytes;
    while (pool->idle_bytes > PE_POOL_IDLE_MAX) {
        struct pe_block *oldest =
            pe_container(pool->by_age.next, struct pe_block, age_link);

        pool->idle_bytes -= oldest->bytes;
        block_free(oldest);
    }
}

/* A block of that class with a segment to spare, or NULL: memory is out. */
static struct pe_block *block_with_free(struct pe_pool *pool, unsigned size_class) {
    struct pe_block *block;

    if (!pe_list_empty(&pool->partial[size_class]))
        return pe_container(pool->partial[size_class].next, struct pe_block, link);
    if (pe_list_empty(&pool->idle[size_class]))
        return block_new(pool, size_class);
    block = pe_container(pool->idle[size_class].next, struct pe_block, link);
    pe_list_remove(&block->link);
    pe_list_remove(&block->age_link);
    pe_list_push_front(&pool->partial[size_class], &block->link);
    pool->idle_bytes -= block->bytes;
    return block;
}

static struct pe_seg *block_take(struct pe_pool *pool, unsigned size_class) {
    struct pe_block *block = block_with_free(pool, size_class);
    struct pe_seg *seg;

    if (block == NULL)
        return NULL;
    seg = block->free;
    if (seg != NULL) {
        block->free = seg->next;
    } else {
        seg = (struct pe_seg *)(void *)block->fresh;
        block->fresh += seg_stride(size_class);
        block->fresh_left--;
        seg->block = block;
        seg->size_class = (uint8_t)size_class;
    }
    block->out++;
    if (block->free == NULL && block->fresh_left == 0) {
        pe_list_remove(&block->link);
        pe_list_push_back(&pool->full, &block->link);
    }
    return seg;
}

static void block_give(struct pe_seg *seg) {
    struct pe_block *block = seg->block;

    if (block->free == NULL && block->fresh_left == 0) {
        pe_list_remove(&block->link);
        pe_list_push_front(&block->pool->partial[block->size_class], &block->link);
    }
    seg->next = block->free;
    block->free = seg;
    if (--block->out == 0)
        block_goes_idle(block);
}

/* --- Taking and giving --- */

/* Segments that other threads have given back since the last look. */
static void collect_returned(struct pe_pool *pool, struct pe_seg *seg) {
    while (seg != NULL) {
        struct pe_seg *next = seg->next;

        pool->segs_out--;
        block_give(seg);
        seg = next;
    }
}

struct pe_seg *pe_pool_take(struct pe_pool *pool, unsigned size_class) {
    struct pe_seg *seg;

    if (pool == NULL || pool->closed)
        return pe_freelist_take(size_class);
    if (atomic_load_explicit(&pool->returned, memory_order_relaxed) != NULL)
        collect_returned(pool, atomic_exchange_explicit(&pool->returned, NULL,
                                                        memory_order_acquire));
    if (size_class < READY_CLASSES && pool->ready[size_class] != NULL) {
        seg = pool->ready[size_class];
        pool->ready[size_class] = NULL;
    } else {
        seg = block_take(pool, size_class);
        if (seg == NULL)
            return NULL;
    }
    pool->segs_out++;
    ASAN_UNPOISON_MEMORY_REGION(seg + 1, pe_class_bytes(size_class));
    return seg;
}

static void pool_destroy(struct pe_pool *pool);

/* One of those who keep a closed pool alive is done. */
static void closed_pool_release(struct pe_pool *pool) {
    if (atomic_fetch_sub_explicit(&pool->remaining, 1, memory_order_acq_rel) == 1)
        pool_destroy(pool);
}

static void give_from_outside(struct pe_seg *seg, struct pe_pool *pool) {
    struct pe_seg *top = atomic_load_explicit(&pool->returned, memory_order_acquire);

    do {
        if (top == CLOSED) {
            closed_pool_release(pool);
            return;
        }
        seg->next = top;
    } while (!atomic_compare_exchange_weak_explicit(
        &pool->returned, &top, seg, memory_order_release, memory_order_acquire));
}

void pe_pool_give(struct pe_seg *seg, struct pe_pool *pool) {
    struct pe_block *block = seg->block;
    unsigned size_class = seg->size_class;

    if (block == NULL) {
        pe_freelist_put(seg);
        return;
    }
    ASAN_POISON_MEMORY_REGION(seg + 1, pe_class_bytes(size_class));
    if (block->pool != pool || pool->closed) {
        give_from_outside(seg, block->pool);
        return;
    }
    pool->segs_out--;
    if (size_class < READY_CLASSES) {
        struct pe_seg *was_ready = pool->ready[size_class];

        pool->ready[size_class] = seg;
        if (was_ready == NULL)
            return;
        seg = was_ready;
    }
    block_give(seg);
}

/* --- The pool's end --- */

static void free_blocks(struct pe_link *list) {
    while (!pe_list_empty(list))
        block_free(pe_container(list->next, struct pe_block, link));
}

static void pool_destroy(struct pe_pool *pool) {
    for (unsigned c = 0; c < CLASSES; c++) {
        free_blocks(&pool->partial[c]);
        free_blocks(&pool->idle[c]);
    }
    free_blocks(&pool->full);
    pe_free(PE_MEM_POOL, pool);
}

void pe_pool_close(struct pe_pool *pool) {
    struct pe_seg *late;
    size_t n_late = 0;

    if (pool == NULL)
        return;
    for (unsigned c = 0; c < READY_CLASSES; c++) {
        if (pool->ready[c] != NULL)
            block_give(pool->ready[c]);
        pool->ready[c] = NULL;
    }
    /* Counted before the mark is set: from then on others count down. */
    atomic_store_explicit(&pool->remaining, pool->segs_out + pool->members + 1,
                          memory_order_relaxed);
    pool->closed = true;
    late = atomic_exchange_explicit(&pool->returned, CLOSED, memory_order_acq_rel);
    for (const struct pe_seg *seg = late; seg != NULL; seg = seg->next)
        n_late++;
    collect_returned(pool, late);
    for (unsigned c = 0; c < CLASSES; c++)
        free_blocks(&pool->idle[c]);
    pool->idle_bytes = 0;
    atomic_fetch_sub_explicit(&pool->remaining, n_late, memory_order_relaxed);
    closed_pool_release(pool);
}

void pe_pool_join(struct pe_pool *pool) {
    if (pool == NULL)
        pe_freelist_join();
    else if (!pool->closed)
        pool->members++;
    else
        atomic_fetch_add_explicit(&pool->remaining, 1, memory_order_relaxed);
}

void pe_pool_leave(struct pe_pool *pool) {
    if (pool == NULL)
        pe_freelist_leave();
    else if (!pool->closed)
        pool->members--;
    else
        closed_pool_release(pool);
}

void pe_pool_stats(struct pe_pool *pool, struct pe_pool_stats *out) {
    out->segs_out = pool->segs_out;
    out->mapped_bytes = pool->mapped_bytes;
    out->idle_bytes = pool->idle_bytes;
    out->maps = pool->maps;
}
