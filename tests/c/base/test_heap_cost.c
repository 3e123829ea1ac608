/* test_heap_cost.c - what the heap's operations cost, counted.
 *
 * A thousand timers up to a million are added, set anew, deleted and fired in
 * order. Per operation there are at most four comparisons and one move for each
 * level, so both grow as the logarithm of their number. The heap is compiled here with counters; with
 * HARNESS_SECONDS=60 the figures are shown.
 */
#define PE_HEAP_COUNT
#include "base/heap.c" /* NOLINT: with counters */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "harness.h"

#if defined(__SANITIZE_ADDRESS__)
#define MOST        100000
#define MOST_LEVELS 8.31
#else
#define MOST        1000000
#define MOST_LEVELS 9.97
#endif

enum { ADD, REARM, DELETE, FIRE, PHASES };

struct cost {
    double comparisons, moves, ns; /* per operation */
};

static const char *const names[PHASES] = {"add", "set anew", "delete", "fire"};
static struct pe_heap heap;
static struct pe_heap_node nodes[MOST];
static uint64_t state = 88172645463325252u;

static int64_t random_key(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (int64_t)(state >> 20);
}

static double cpu_ns(void) {
    struct timespec ts;

    CHECK_EQ(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts), 0);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void run_phase(int phase, int n) {
    int64_t last = INT64_MIN;

    for (int i = 0; i < n; i++) {
        struct pe_heap_node *node = &nodes[(int64_t)i * 7919 % n]; /* 7919 divides no n here */

        switch (phase) {
        case ADD:
            pe_heap_node_init(node);
            node->key = random_key();
            CHECK_EQ(pe_heap_push(&heap, node), 0);
            break;
        case REARM:
            pe_heap_rekey(&heap, node, random_key());
            break;
        case DELETE:
            pe_heap_remove(&heap, node);
            break;
        default:
            node = pe_heap_first(&heap);
            CHECK(node->key >= last);
            last = node->key;
            pe_heap_remove(&heap, node);
        }
    }
}

static struct cost measure(int phase, int n) {
    double start = cpu_ns();

    comparisons = moves = 0;
    run_phase(phase, n);
    return (struct cost){(double)comparisons / n, (double)moves / n, (cpu_ns() - start) / n};
}

TEST(heap_cost_grows_no_faster_than_the_logarithm) {
    static const int sizes[] = {1000, 30000, MOST};
    static const double levels[] = {4.98, 7.44, MOST_LEVELS}; /* logarithms to base 4 */

    for (int s = 0; s < 3; s++) {
        int n = sizes[s];

        pe_heap_init(&heap);
        for (int phase = 0; phase < PHASES; phase++) {
            struct cost c;

            if (phase == FIRE)
                run_phase(ADD, n);
            c = measure(phase, n);
            printf("%8d timers, %-8s  %5.2f comparisons  %5.2f moves  %6.1f ns\n", n,
                   names[phase], c.comparisons, c.moves, c.ns);
            /* On each level three to find the first child, one with what sinks. */
            CHECK(c.comparisons <= 4 * levels[s] + 1);
            CHECK(c.moves <= levels[s] + 1);
        }
        CHECK_EQ(pe_heap_count(&heap), 0);
        pe_heap_clear(&heap);
    }
}
