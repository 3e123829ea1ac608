/* mem.c - the allocator: counting, failing on demand, replaceable.
 *
 * Two counters for each kind, blocks made and blocks freed, so that a call
 * touches one of them: what is alive is the difference, what was ever made is
 * the sum of the first. Relaxed atomics: the counts are exact whenever nobody
 * is allocating, which is when they are asked for.
 *
 * The replaceable functions are atomics too, so that a late
 * event_set_mem_functions is no data race; that blocks made before it go to
 * the new free() is the caller's affair, and documented there.
 */
#include "base/mem.h"

#include "event2/event.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static atomic_long blocks_made[PE_MEM_KINDS + 1]; /* the last: pe_user_malloc */
static atomic_long blocks_freed[PE_MEM_KINDS];

static atomic_long fail_countdown; /* <= 0: off; 1: the next one fails */
static atomic_int has_failed;

/* NULL: the C library's. */
static void *(*_Atomic user_malloc)(size_t);
static void *(*_Atomic user_realloc)(void *, size_t);
static void (*_Atomic user_free)(void *);

#define RELAXED memory_order_relaxed

void event_set_mem_functions(void *(*malloc_fn)(size_t sz),
                             void *(*realloc_fn)(void *ptr, size_t sz),
                             void (*free_fn)(void *ptr)) {
    atomic_store(&user_malloc, malloc_fn);
    atomic_store(&user_realloc, realloc_fn);
    atomic_store(&user_free, free_fn);
}

/* Whether this allocation is the one that was told to fail. */
static int must_fail(void) {
    if (atomic_load_explicit(&fail_countdown, RELAXED) <= 0)
        return 0;
    if (atomic_fetch_sub_explicit(&fail_countdown, 1, RELAXED) != 1)
        return 0;
    atomic_store_explicit(&has_failed, 1, RELAXED);
    errno = ENOMEM;
    return 1;
}

static void *raw_malloc(size_t n) {
    void *(*fn)(size_t) = atomic_load_explicit(&user_malloc, RELAXED);

    return fn != NULL ? fn(n) : malloc(n);
}

static void *raw_realloc(void *p, size_t n) {
    void *(*fn)(void *, size_t) = atomic_load_explicit(&user_realloc, RELAXED);

    return fn != NULL ? fn(p, n) : realloc(p, n);
}

static void *counted(size_t kind, void *p) {
    if (p != NULL)
        atomic_fetch_add_explicit(&blocks_made[kind], 1, RELAXED);
    else
        errno = ENOMEM; /* a replaced malloc need not set it */
    return p;
}

/* A block of 0 bytes is one of 1, so that NULL always means failure. */
void *pe_malloc(enum pe_mem_kind kind, size_t n) {
    if (must_fail())
        return NULL;
    return counted(kind, raw_malloc(n != 0 ? n : 1));
}

void *pe_calloc(enum pe_mem_kind kind, size_t count, size_t size) {
    size_t n;
    void *p;

    if (must_fail())
        return NULL;
    if (size != 0 && count > SIZE_MAX / size) {
        errno = ENOMEM;
        return NULL;
    }
    n = count * size != 0 ? count * size : 1;
    if (atomic_load_explicit(&user_malloc, RELAXED) == NULL)
        return counted(kind, calloc(1, n)); /* fresh pages need no memset */
    p = raw_malloc(n);
    if (p != NULL)
        memset(p, 0, n);
    return counted(kind, p);
}

void *pe_realloc(enum pe_mem_kind kind, void *p, size_t n) {
    if (p == NULL)
        return pe_malloc(kind, n);
    if (must_fail())
        return NULL;
    p = raw_realloc(p, n != 0 ? n : 1);
    if (p == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    /* One block made and one freed, so that pe_mem_total() sees the work. */
    (void)counted(kind, p);
    atomic_fetch_add_explicit(&blocks_freed[kind], 1, RELAXED);
    return p;
}

static void raw_free(void *p) {
    void (*fn)(void *) = atomic_load_explicit(&user_free, RELAXED);

    if (fn != NULL)
        fn(p);
    else
        free(p);
}

void pe_free(enum pe_mem_kind kind, void *p) {
    if (p == NULL)
        return;
    atomic_fetch_add_explicit(&blocks_freed[kind], 1, RELAXED);
    raw_free(p);
}

void *pe_user_malloc(size_t n) {
    if (must_fail())
        return NULL;
    return counted(PE_MEM_KINDS, raw_malloc(n != 0 ? n : 1));
}

void pe_user_free(void *p) {
    if (p != NULL)
        raw_free(p);
}

long pe_mem_live(enum pe_mem_kind kind) {
    /* Freed first: a block made and freed in between must not count as -1. */
    long freed = atomic_load_explicit(&blocks_freed[kind], RELAXED);

    return atomic_load_explicit(&blocks_made[kind], RELAXED) - freed;
}

long pe_mem_live_total(void) {
    long n = 0;

    for (int kind = 0; kind < (int)PE_MEM_KINDS; kind++)
        n += pe_mem_live((enum pe_mem_kind)kind);
    return n;
}

unsigned long pe_mem_total(void) {
    unsigned long n = 0;

    for (size_t kind = 0; kind <= PE_MEM_KINDS; kind++)
        n += (unsigned long)atomic_load_explicit(&blocks_made[kind], RELAXED);
    return n;
}

const char *pe_mem_kind_name(enum pe_mem_kind kind) {
    static const char *const names[PE_MEM_KINDS] = {
        [PE_MEM_BASE] = "base",       [PE_MEM_EVENT] = "event",
        [PE_MEM_FDMAP] = "fdmap",     [PE_MEM_TIMER] = "timer",
        [PE_MEM_BACKEND] = "backend", [PE_MEM_SIGNAL] = "signal",
        [PE_MEM_BUFFER] = "buffer",   [PE_MEM_SEGMENT] = "segment",
        [PE_MEM_POOL] = "pool",       [PE_MEM_STREAM] = "stream",
        [PE_MEM_LISTENER] = "listener", [PE_MEM_OTHER] = "other",
    };

    return (unsigned)kind < PE_MEM_KINDS ? names[kind] : "?";
}

void pe_mem_fail_nth(long n) {
    atomic_store_explicit(&has_failed, 0, RELAXED);
    atomic_store_explicit(&fail_countdown, n, RELAXED);
}

int pe_mem_has_failed(void) {
    return atomic_load_explicit(&has_failed, RELAXED);
}
