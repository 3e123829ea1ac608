/* intmap.c - making and clearing of pages. See intmap.h. */
#include "base/intmap.h"

#include <string.h>

/* Let the directory have an entry for page `index`. */
static int grow_directory(struct pe_intmap *m, int index) {
    int count = m->page_count != 0 ? m->page_count : 8;
    char **pages;

    while (count <= index)
        count *= 2;
    if (count == m->page_count)
        return 0;
    pages = pe_realloc(m->kind, m->pages, (size_t)count * sizeof(*pages));
    if (pages == NULL)
        return -1;
    memset(pages + m->page_count, 0, (size_t)(count - m->page_count) * sizeof(*pages));
    m->pages = pages;
    m->page_count = count;
    return 0;
}

void *pe_intmap_make(struct pe_intmap *m, int key) {
    int index = key >> PE_INTMAP_PAGE_BITS;
    void *record = pe_intmap_get(m, key);

    if (record != NULL)
        return record;
    if (key < 0 || key >= PE_INTMAP_MAX_KEYS || grow_directory(m, index) < 0)
        return NULL;
    m->pages[index] = pe_calloc(m->kind, PE_INTMAP_PAGE, m->record_size);
    if (m->pages[index] == NULL)
        return NULL;
    if ((index + 1) * PE_INTMAP_PAGE > m->made_limit)
        m->made_limit = (index + 1) * PE_INTMAP_PAGE;
    return pe_intmap_get(m, key);
}

void pe_intmap_clear(struct pe_intmap *m) {
    for (int i = 0; i < m->page_count; i++)
        pe_free(m->kind, m->pages[i]);
    pe_free(m->kind, m->pages);
    pe_intmap_init(m, m->kind, m->record_size);
}
