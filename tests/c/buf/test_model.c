/* test_model.c - the random operations of model.h on buffers with and without a
 * pool, looking inside after each round, with and without failing memory. */
#include "base/mem.h"
#include "buf/pool.h"

#include "inside.h"

static unsigned fail_one_in; /* 0: memory never fails */
static struct pe_pool *pools[2];
static struct evbuffer buffers[4];

static unsigned model_random(unsigned below);

static void before(void) {
    pe_mem_fail_nth(0);
    if (fail_one_in > 0 && model_random(fail_one_in) == 0)
        pe_mem_fail_nth((long)model_random(3) + 1);
}

/* Two pools and twice the free list, so that segments wander between all of them. */
static struct evbuffer *make(int i) {
    struct pe_pool *pool = i == 0 || i == 1 ? pools[i] : NULL;

    pe_evbuffer_init(&buffers[i], pool, NULL);
    return &buffers[i];
}

#define MODEL_BEFORE() before()
#define MODEL_MAY_FAIL() pe_mem_has_failed()
#define MODEL_AFTER(buf) ((void)check_inside(buf))
#define MODEL_NEW(i) make(i)
#define MODEL_FREE(buf) pe_evbuffer_fini(buf)

#include "model.h"

static void run_with_pools(unsigned seed, int steps) {
    for (int i = 0; i < 2; i++) {
        pools[i] = pe_pool_new();
        CHECK(pools[i] != NULL);
    }
    model_run(seed, steps);
    pe_mem_fail_nth(0);
    pe_pool_close(pools[0]);
    pe_pool_close(pools[1]);
    CHECK_EQ(pe_mem_live_total(), 0);
}

TEST(random_operations_keep_every_invariant) {
    for (unsigned seed = 100; seed < 120; seed++)
        run_with_pools(seed, 1500);
}

TEST(random_operations_survive_failing_memory_without_loss) {
    for (unsigned seed = 200; seed < 230; seed++) {
        fail_one_in = 1 + seed % 4;
        run_with_pools(seed, 1000);
    }
}
