/* test_heap.c - the timer heap against a model. */
#include "harness.h"

#include "base/heap.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

enum { NODES = 700, STEPS = 60000 };

struct timer {
    char before[8]; /* the node is not the first member */
    struct pe_heap_node node;
    int64_t key;     /* the model's: */
    uint64_t age;
    int is_in;
};

static struct timer timers[NODES];
static uint64_t rng_state = 0x9e3779b97f4a7c15u;

static uint32_t rng(uint32_t bound) {
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return (uint32_t)(rng_state >> 33) % bound;
}

static void init_timers(void) {
    for (int i = 0; i < NODES; i++) {
        memset(&timers[i], 0, sizeof(timers[i]));
        pe_heap_node_init(&timers[i].node);
    }
}

/* What the header promises of the array itself. */
static void check_shape(const struct pe_heap *h) {
    for (uint32_t i = 0; i < h->count; i++) {
        const struct pe_heap_slot *s = &h->slots[i], *up = &h->slots[i > 0 ? (i - 1) / 4 : 0];

        CHECK_EQ(s->node->index, i);
        CHECK_EQ(s->node->key, s->key);
        CHECK(up->key <= s->key);
        if (i > 0 && up->key == s->key)
            CHECK((int32_t)(up->node->seq - s->node->seq) < 0);
    }
}

static struct timer *model_first(void) {
    struct timer *best = NULL;

    for (int i = 0; i < NODES; i++) {
        struct timer *t = &timers[i];

        if (t->is_in && (best == NULL || t->key < best->key ||
                         (t->key == best->key && t->age < best->age)))
            best = t;
    }
    return best;
}

static void step(struct pe_heap *h, uint64_t age, int64_t key) {
    struct timer *t = &timers[rng(NODES)];
    uint32_t what = rng(8);

    if (what == 0) {
        struct pe_heap_node *first = pe_heap_first(h);
        struct timer *want = model_first();

        CHECK(first == (want != NULL ? &want->node : NULL));
        if (want != NULL) {
            pe_heap_remove(h, first);
            want->is_in = 0;
        }
    } else if (what == 1 || (what == 2 && !t->is_in)) {
        pe_heap_remove(h, &t->node); /* sometimes of one that is not in */
        t->is_in = 0;
        CHECK(!pe_heap_has(&t->node));
    } else {
        if (t->is_in) {
            pe_heap_rekey(h, &t->node, key);
        } else {
            t->node.key = key;
            CHECK_EQ(pe_heap_push(h, &t->node), 0);
        }
        t->key = key;
        t->age = age;
        t->is_in = 1;
        CHECK(pe_heap_has(&t->node));
    }
}

/* Random pushes, rekeys and removals with keys below `key_range`, then all out. */
static void run_model(uint32_t key_range, uint32_t first_seq) {
    struct pe_heap h;
    struct timer *want;

    init_timers();
    pe_heap_init(&h);
    h.next_seq = first_seq;
    for (int i = 0; i < STEPS; i++) {
        step(&h, (uint64_t)i, (int64_t)rng(key_range) - (int64_t)(key_range / 2));
        if (i % 512 == 0)
            check_shape(&h);
    }
    while ((want = model_first()) != NULL) {
        CHECK(pe_heap_first(&h) == &want->node);
        pe_heap_remove(&h, &want->node);
        want->is_in = 0;
    }
    CHECK_EQ(pe_heap_count(&h), 0);
    CHECK(pe_heap_first(&h) == NULL);
    pe_heap_clear(&h);
}

TEST(heap_agrees_with_a_model_on_spread_keys) {
    run_model(1u << 30, 0);
}

TEST(heap_agrees_with_a_model_on_many_equal_keys) {
    run_model(5, 0);
}

TEST(heap_agrees_with_a_model_while_the_age_wraps_around) {
    run_model(5, UINT32_MAX - STEPS / 2);
}

TEST(heap_equal_keys_leave_in_order_of_insertion) {
    struct pe_heap h;

    init_timers();
    pe_heap_init(&h);
    for (int i = 0; i < NODES; i++) {
        timers[i].node.key = 77;
        CHECK_EQ(pe_heap_push(&h, &timers[i].node), 0);
    }
    pe_heap_rekey(&h, &timers[0].node, 77); /* counts as a new insertion */
    for (int i = 1; i <= NODES; i++) {
        CHECK(pe_heap_first(&h) == &timers[i % NODES].node);
        pe_heap_remove(&h, pe_heap_first(&h));
    }
    pe_heap_clear(&h);
}

TEST(heap_takes_the_extreme_keys) {
    struct pe_heap h;

    init_timers();
    pe_heap_init(&h);
    timers[0].node.key = INT64_MAX;
    timers[1].node.key = 0;
    timers[2].node.key = INT64_MIN;
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pe_heap_push(&h, &timers[i].node), 0);
    for (int i = 2; i >= 0; i--) {
        CHECK(pe_heap_first(&h) == &timers[i].node);
        pe_heap_remove(&h, &timers[i].node);
    }
    pe_heap_clear(&h);
}

TEST(heap_siblings_share_a_cache_line) {
    struct pe_heap h;

    pe_heap_init(&h);
    for (size_t n = 1; n < 100000; n = n * 3 + 1) {
        CHECK_EQ(pe_heap_reserve(&h, n), 0);
        CHECK_EQ((uintptr_t)&h.slots[1] % 64, 0);
    }
    pe_heap_clear(&h);
}

TEST(heap_push_within_the_reserve_needs_no_memory) {
    struct pe_heap h;
    unsigned long made;

    init_timers();
    pe_heap_init(&h);
    CHECK_EQ(pe_heap_reserve(&h, NODES), 0);
    CHECK_EQ(pe_heap_reserve(&h, 1), 0); /* less than there is: nothing to do */
    made = pe_mem_total();
    for (int i = 0; i < NODES; i++)
        CHECK_EQ(pe_heap_push(&h, &timers[i].node), 0);
    CHECK_EQ(pe_mem_total(), made);
    pe_heap_clear(&h);
    CHECK(!pe_heap_has(&timers[0].node));
}

TEST(heap_push_out_of_memory_changes_nothing) {
    struct pe_heap h;
    int failures = 0;

    init_timers();
    pe_heap_init(&h);
    for (int i = 0; i < NODES; i++) {
        size_t before = pe_heap_count(&h);

        timers[i].node.key = NODES - i;
        pe_mem_fail_nth(1);
        if (pe_heap_push(&h, &timers[i].node) != 0) {
            failures++;
            CHECK(pe_mem_has_failed());
            CHECK(!pe_heap_has(&timers[i].node));
            CHECK_EQ(pe_heap_count(&h), before);
            CHECK_EQ(pe_heap_push(&h, &timers[i].node), 0); /* there is memory again */
        }
        pe_mem_fail_nth(0);
    }
    CHECK(failures >= 4); /* at the first push and at each doubling */
    check_shape(&h);
    CHECK_EQ(pe_heap_count(&h), NODES);
    CHECK_EQ(pe_heap_reserve(&h, SIZE_MAX), -ENOMEM);
    pe_heap_clear(&h);
    CHECK_EQ(pe_heap_push(&h, &timers[0].node), 0); /* usable after a clear */
    pe_heap_clear(&h);
}
