/* freelist.c - a few segments for the thread that uses most buffers. See freelist.h.
 *
 * Who owns it is decided when there was no owner: by compare-and-swap, in the
 * thread that makes a buffer. It is given up, and its segments freed, by the
 * owner alone: when it frees the last buffer, or by the destructor of a
 * thread-specific key when it ends. When another thread frees the last buffer,
 * what is in the free list stays there until then.
 */
#include "buf/freelist.h"

#include <pthread.h>

struct pe_freelist pe_freelist;

static atomic_long n_buffers;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool have_key;

/* How many segments are kept: 8 KiB, 8 KiB, 32 KiB, 64 KiB. */
#if defined(PE_BUF_ASAN)
static const unsigned most[PE_FREELIST_CLASSES];
#else
static const unsigned most[PE_FREELIST_CLASSES] = {64, 8, 8, 4};
#endif

/* Only the owner comes here. */
static void give_up(void) {
    for (unsigned c = 0; c < PE_FREELIST_CLASSES; c++) {
        while (pe_freelist.free[c] != NULL) {
            struct pe_seg *seg = pe_freelist.free[c];

            pe_freelist.free[c] = seg->next;
            pe_seg_free(seg);
        }
        pe_freelist.left[c] = 0;
    }
    atomic_store_explicit(&pe_freelist.owner, NULL, memory_order_release);
}

static void thread_ends(void *self) {
    if (pe_freelist_is_mine() && self != NULL)
        give_up();
}

static void make_key(void) {
    have_key = pthread_key_create(&key, thread_ends) == 0;
}

/* Without the key nobody could give the free list up when its thread ends, so then
 * there is none. */
static void become_owner(void) {
    const void *nobody = NULL;

    (void)pthread_once(&key_once, make_key);
    if (!have_key || pthread_setspecific(key, &pe_freelist) != 0)
        return;
    if (!atomic_compare_exchange_strong_explicit(&pe_freelist.owner, &nobody, pe_thread_self(),
                                                 memory_order_acquire,
                                                 memory_order_relaxed))
        return;
    for (unsigned c = 0; c < PE_FREELIST_CLASSES; c++)
        pe_freelist.left[c] = most[c];
}

void pe_freelist_join(void) {
    atomic_fetch_add_explicit(&n_buffers, 1, memory_order_relaxed);
    if (atomic_load_explicit(&pe_freelist.owner, memory_order_relaxed) == NULL)
        become_owner();
}

void pe_freelist_leave(void) {
    if (atomic_fetch_sub_explicit(&n_buffers, 1, memory_order_relaxed) == 1 &&
        pe_freelist_is_mine())
        give_up();
}
