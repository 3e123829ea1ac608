/* test_mem.c - the allocator's counters, its failures, its replacement. */
#include "harness.h"

#include "base/mem.h"
#include "event2/event.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

TEST(mem_counts_live_blocks_by_kind) {
    void *a = pe_malloc(PE_MEM_EVENT, 10);
    void *b = pe_calloc(PE_MEM_EVENT, 3, 10);
    void *c = pe_malloc(PE_MEM_BUFFER, 0);

    CHECK(a != NULL && b != NULL && c != NULL);
    CHECK_EQ(pe_mem_live(PE_MEM_EVENT), 2);
    CHECK_EQ(pe_mem_live(PE_MEM_BUFFER), 1);
    CHECK_EQ(pe_mem_live_total(), 3);
    pe_free(PE_MEM_EVENT, a);
    CHECK_EQ(pe_mem_live(PE_MEM_EVENT), 1);
    pe_free(PE_MEM_EVENT, b);
    pe_free(PE_MEM_BUFFER, c);
    pe_free(PE_MEM_BUFFER, NULL);
    CHECK_EQ(pe_mem_live_total(), 0);
}

TEST(mem_realloc_keeps_bytes_and_counts_one_block) {
    char *p = pe_realloc(PE_MEM_OTHER, NULL, 4);
    unsigned long made;

    CHECK(p != NULL);
    memcpy(p, "abc", 4);
    made = pe_mem_total();
    p = pe_realloc(PE_MEM_OTHER, p, 100000);
    CHECK(p != NULL);
    CHECK_STR(p, "abc");
    CHECK_EQ(pe_mem_live(PE_MEM_OTHER), 1);
    CHECK_EQ(pe_mem_total() - made, 1); /* growing is work, and is seen */
    pe_free(PE_MEM_OTHER, p);
}

TEST(mem_calloc_zeroes_and_refuses_overflow) {
    static const char zeros[64];
    void *p = pe_calloc(PE_MEM_OTHER, 8, 8);

    CHECK_MEM(p, zeros, 64);
    pe_free(PE_MEM_OTHER, p);
    errno = 0;
    CHECK(pe_calloc(PE_MEM_OTHER, SIZE_MAX / 2, 3) == NULL);
    CHECK_EQ(errno, ENOMEM);
}

TEST(mem_nth_allocation_fails_once) {
    void *a, *b, *c;

    pe_mem_fail_nth(2);
    a = pe_malloc(PE_MEM_OTHER, 1);
    CHECK(a != NULL);
    CHECK(!pe_mem_has_failed());
    errno = 0;
    b = pe_malloc(PE_MEM_OTHER, 1);
    CHECK(b == NULL);
    CHECK_EQ(errno, ENOMEM);
    CHECK(pe_mem_has_failed());
    c = pe_malloc(PE_MEM_OTHER, 1);
    CHECK(c != NULL);
    pe_mem_fail_nth(0);
    CHECK(!pe_mem_has_failed());
    pe_free(PE_MEM_OTHER, a);
    pe_free(PE_MEM_OTHER, c);
}

TEST(mem_every_way_of_allocating_can_fail) {
    char *p = pe_malloc(PE_MEM_OTHER, 2);

    CHECK(p != NULL);
    p[0] = 'x';
    pe_mem_fail_nth(1);
    CHECK(pe_calloc(PE_MEM_OTHER, 1, 1) == NULL);
    pe_mem_fail_nth(1);
    CHECK(pe_user_malloc(1) == NULL);
    pe_mem_fail_nth(1);
    CHECK(pe_realloc(PE_MEM_OTHER, NULL, 1) == NULL);
    pe_mem_fail_nth(1);
    CHECK(pe_realloc(PE_MEM_OTHER, p, 1000) == NULL);
    CHECK_EQ(p[0], 'x'); /* the block is as it was */
    CHECK_EQ(pe_mem_live_total(), 1);
    pe_free(PE_MEM_OTHER, p);
}

TEST(mem_for_the_user_is_freed_with_free_and_not_alive) {
    unsigned long made = pe_mem_total();
    void *p = pe_user_malloc(10);

    CHECK(p != NULL);
    CHECK_EQ(pe_mem_live_total(), 0);
    CHECK_EQ(pe_mem_total() - made, 1);
    free(p);
}

static int mallocs, reallocs, frees;
static int is_empty_handed;

static void *my_malloc(size_t n) {
    void *p;

    mallocs++;
    if (is_empty_handed)
        return NULL;
    p = malloc(n);
    if (p != NULL)
        memset(p, 0x55, n);
    return p;
}

static void *my_realloc(void *p, size_t n) {
    reallocs++;
    return is_empty_handed ? NULL : realloc(p, n);
}

static void my_free(void *p) {
    frees++;
    free(p);
}

TEST(mem_functions_of_the_user_are_used_for_everything) {
    static const char zeros[16];
    void *p;

    event_set_mem_functions(my_malloc, my_realloc, my_free);
    p = pe_calloc(PE_MEM_OTHER, 4, 4);
    CHECK_MEM(p, zeros, 16);
    p = pe_realloc(PE_MEM_OTHER, p, 64);
    CHECK(p != NULL);
    pe_free(PE_MEM_OTHER, p);
    p = pe_user_malloc(1);
    CHECK(p != NULL);
    my_free(p);
    CHECK_EQ(mallocs, 2);
    CHECK_EQ(reallocs, 1);
    CHECK_EQ(frees, 2);
    event_set_mem_functions(NULL, NULL, NULL);
    pe_free(PE_MEM_OTHER, pe_malloc(PE_MEM_OTHER, 1));
    CHECK_EQ(mallocs, 2);
    CHECK_EQ(frees, 2);
}

TEST(mem_functions_of_the_user_may_fail) {
    void *p;

    event_set_mem_functions(my_malloc, my_realloc, my_free);
    p = pe_malloc(PE_MEM_OTHER, 1);
    CHECK(p != NULL);
    is_empty_handed = 1;
    errno = 0;
    CHECK(pe_malloc(PE_MEM_OTHER, 1) == NULL);
    CHECK_EQ(errno, ENOMEM);
    CHECK(pe_calloc(PE_MEM_OTHER, 1, 1) == NULL);
    CHECK(pe_realloc(PE_MEM_OTHER, p, 2) == NULL);
    CHECK_EQ(pe_mem_live_total(), 1);
    pe_free(PE_MEM_OTHER, p);
}

TEST(mem_every_kind_has_a_name) {
    for (int k = 0; k < (int)PE_MEM_KINDS; k++) {
        const char *name = pe_mem_kind_name((enum pe_mem_kind)k);

        CHECK(name != NULL && strlen(name) > 1);
    }
    CHECK_STR(pe_mem_kind_name(PE_MEM_KINDS), "?");
}
