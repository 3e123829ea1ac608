/* intmap.h - a map from small non-negative ints to records of a fixed size.
 *
 * Made for file descriptors and signal numbers, which the kernel hands out
 * densely from 0. A directory points to pages of 128 records each:
 *
 *     pages:  [0] -> |rec 0|rec 1| ... |rec 127|
 *             [1] -> NULL                            (no key 128..255 yet)
 *             [2] -> |rec 256| ...
 *
 * Records start zeroed and never move, so a pointer to one stays good until
 * the map is cleared; only the directory is reallocated. A lookup is two loads
 * and a multiplication. A record is not freed on its own: an fd number that
 * was used will be used again. Not locked: the owner's rules apply.
 */
#ifndef PE_BASE_INTMAP_H
#define PE_BASE_INTMAP_H

#include <stddef.h>

#include "base/mem.h"

#define PE_INTMAP_PAGE_BITS 7
#define PE_INTMAP_PAGE (1 << PE_INTMAP_PAGE_BITS)

/* Keys are below this. Well above what any kernel hands out as an fd, it keeps
 * a wild value from making a huge directory. */
#define PE_INTMAP_MAX_KEYS (1 << 26)

struct pe_intmap {
    char **pages;
    int page_count; /* entries in `pages`; those never made are NULL */
    int made_limit; /* 1 + last key of the highest page that exists */
    enum pe_mem_kind kind;
    size_t record_size;
};

/* `record_size` is the sizeof of the record, so that an array of them is
 * aligned. Allocates nothing yet. */
static inline void pe_intmap_init(struct pe_intmap *m, enum pe_mem_kind kind,
                                  size_t record_size) {
    m->pages = NULL;
    m->page_count = 0;
    m->made_limit = 0;
    m->kind = kind;
    m->record_size = record_size;
}

/* The record of `key`; NULL when its page was never made, or for a key that
 * is out of range. */
static inline void *pe_intmap_get(const struct pe_intmap *m, int key) {
    char *page;

    if ((unsigned)key >= (unsigned)m->made_limit)
        return NULL;
    page = m->pages[key >> PE_INTMAP_PAGE_BITS];
    if (page == NULL)
        return NULL;
    return page + (size_t)(key & (PE_INTMAP_PAGE - 1)) * m->record_size;
}

/* 1 + the largest key that pe_intmap_get() may answer; 0 for an empty map. */
static inline int pe_intmap_limit(const struct pe_intmap *m) {
    return m->made_limit;
}

/* The record of `key`, made zeroed when it is not there. NULL when memory is
 * out, or when `key` is outside 0 .. PE_INTMAP_MAX_KEYS-1. */
void *pe_intmap_make(struct pe_intmap *m, int key);

/* Free all pages; the map is empty and can be used again. */
void pe_intmap_clear(struct pe_intmap *m);

#endif
