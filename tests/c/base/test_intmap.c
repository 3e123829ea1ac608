/* test_intmap.c - the map from small ints to records. */
#include "harness.h"

#include "base/intmap.h"

#include <limits.h>
#include <string.h>

struct record {
    int value;
    void *pointer;
};

static void init(struct pe_intmap *m) {
    pe_intmap_init(m, PE_MEM_FDMAP, sizeof(struct record));
}

TEST(intmap_knows_nothing_at_first) {
    struct pe_intmap m;

    init(&m);
    CHECK_EQ(pe_intmap_limit(&m), 0);
    CHECK(pe_intmap_get(&m, 0) == NULL);
    CHECK(pe_intmap_get(&m, -1) == NULL);
    CHECK(pe_intmap_get(&m, INT_MAX) == NULL);
    CHECK(pe_intmap_get(&m, INT_MIN) == NULL);
    pe_intmap_clear(&m);
}

TEST(intmap_records_start_zeroed_and_never_move) {
    static const int keys[] = {0, 127, 128, 5, 1000, 999, 100000, 3};
    struct record *seen[sizeof(keys) / sizeof(*keys)];
    struct record zero;
    struct pe_intmap m;
    int n = (int)(sizeof(keys) / sizeof(*keys));

    memset(&zero, 0, sizeof(zero));
    init(&m);
    for (int i = 0; i < n; i++) {
        seen[i] = pe_intmap_make(&m, keys[i]);
        CHECK_MEM(seen[i], &zero, sizeof(zero));
        seen[i]->value = keys[i] + 1;
    }
    for (int i = 0; i < n; i++) {
        CHECK(pe_intmap_get(&m, keys[i]) == seen[i]);
        CHECK(pe_intmap_make(&m, keys[i]) == seen[i]);
        CHECK_EQ(seen[i]->value, keys[i] + 1);
    }
    pe_intmap_clear(&m);
}

TEST(intmap_limit_bounds_the_keys_that_are_there) {
    struct pe_intmap m;

    init(&m);
    CHECK(pe_intmap_make(&m, 300) != NULL);
    CHECK(pe_intmap_limit(&m) > 300);
    CHECK(pe_intmap_get(&m, pe_intmap_limit(&m) - 1) != NULL);
    CHECK(pe_intmap_get(&m, pe_intmap_limit(&m)) == NULL);
    CHECK(pe_intmap_get(&m, 0) == NULL); /* a page below that was never made */
    pe_intmap_clear(&m);
    CHECK_EQ(pe_intmap_limit(&m), 0);
}

TEST(intmap_refuses_keys_out_of_range) {
    struct pe_intmap m;

    init(&m);
    CHECK(pe_intmap_make(&m, -1) == NULL);
    CHECK(pe_intmap_make(&m, INT_MIN) == NULL);
    CHECK(pe_intmap_make(&m, INT_MAX) == NULL);
    CHECK(pe_intmap_make(&m, PE_INTMAP_MAX_KEYS) == NULL);
    CHECK_EQ(pe_mem_live_total(), 0);
    CHECK(pe_intmap_make(&m, PE_INTMAP_MAX_KEYS - 1) != NULL);
    CHECK(pe_intmap_get(&m, PE_INTMAP_MAX_KEYS - 1) != NULL);
    CHECK_EQ(pe_intmap_limit(&m), PE_INTMAP_MAX_KEYS);
    pe_intmap_clear(&m);
}

TEST(intmap_make_out_of_memory_keeps_what_is_there) {
    struct pe_intmap m;
    struct record *r;
    int failures = 0;

    init(&m);
    r = pe_intmap_make(&m, 7);
    CHECK(r != NULL);
    r->value = 42;
    for (long n = 1;; n++) { /* the directory, then the page */
        struct record *far;

        pe_mem_fail_nth(n);
        far = pe_intmap_make(&m, 50000);
        pe_mem_fail_nth(0);
        CHECK(pe_intmap_get(&m, 7) == r);
        CHECK_EQ(r->value, 42);
        if (far != NULL)
            break;
        CHECK(pe_intmap_get(&m, 50000) == NULL);
        failures++;
    }
    CHECK_EQ(failures, 2); /* the directory grown at the first try is kept */
    pe_intmap_clear(&m);
}
