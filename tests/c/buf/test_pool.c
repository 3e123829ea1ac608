/* test_pool.c - segment pools and the free list. */
#include "base/mem.h"
#include "buf/pool.h"
#include "inside.h"

#include <pthread.h>
#include <string.h>

#define CLASS_4K (PE_CLASS_FIRST_RING + 1)

static struct pe_pool *new_pool(void) {
    struct pe_pool *pool = pe_pool_new();

    CHECK(pool != NULL);
    return pool;
}

static struct pe_pool_stats stats_of(struct pe_pool *pool) {
    struct pe_pool_stats stats;

    pe_pool_stats(pool, &stats);
    return stats;
}

TEST(segments_of_every_class_are_whole_and_apart) {
    static struct pe_seg *segs[PE_CLASS_BIG][40];
    struct pe_pool *pool = new_pool();

    for (unsigned c = 0; c < PE_CLASS_BIG; c++) {
        for (int i = 0; i < 40; i++) {
            segs[c][i] = pe_pool_take(pool, c);
            CHECK(segs[c][i] != NULL);
            CHECK_EQ((uintptr_t)segs[c][i] % 64, 0);
            memset(segs[c][i] + 1, i, pe_class_bytes(c));
        }
    }
    CHECK_EQ(stats_of(pool).segs_out, 40 * PE_CLASS_BIG);
    for (unsigned c = 0; c < PE_CLASS_BIG; c++) {
        for (int i = 0; i < 40; i++) {
            const unsigned char *bytes = (const unsigned char *)(segs[c][i] + 1);

            CHECK_EQ(bytes[0], i);
            CHECK_EQ(bytes[pe_class_bytes(c) - 1], i);
            pe_pool_give(segs[c][i], pool);
        }
    }
    CHECK_EQ(stats_of(pool).segs_out, 0);
    pe_pool_close(pool);
}

TEST(the_class_of_a_length_is_the_smallest_that_holds_it) {
    for (size_t n = 1; n <= 300 * 1024; n += n < 5000 ? 1 : 777) {
        unsigned c = pe_seg_class(n);

        CHECK(c == PE_CLASS_BIG || pe_class_bytes(c) >= n);
        CHECK(c == PE_CLASS_FIRST_RING || pe_class_bytes(c - 1) < n);
    }
    CHECK_EQ(pe_seg_class(256 * 1024), PE_CLASS_BIG - 1);
    CHECK_EQ(pe_seg_class(256 * 1024 + 1), PE_CLASS_BIG);
    CHECK_EQ(pe_seg_class(SIZE_MAX), PE_CLASS_BIG);
}

TEST(what_was_given_back_last_is_taken_first) {
    struct pe_pool *pool = new_pool();
    struct pe_seg *a = pe_pool_take(pool, CLASS_4K), *b = pe_pool_take(pool, CLASS_4K);

    pe_pool_give(a, pool);
    pe_pool_give(b, pool);
    CHECK(pe_pool_take(pool, CLASS_4K) == b);
    CHECK(pe_pool_take(pool, CLASS_4K) == a);
    pe_pool_give(a, pool);
    pe_pool_give(b, pool);
    pe_pool_close(pool);
}

TEST(a_steady_state_neither_maps_nor_allocates) {
    struct pe_pool *pool = new_pool();
    unsigned long maps, total;

    pe_pool_give(pe_pool_take(pool, CLASS_4K), pool);
    maps = stats_of(pool).maps;
    total = pe_mem_total();
    for (int i = 0; i < 10000; i++)
        pe_pool_give(pe_pool_take(pool, CLASS_4K), pool);
    CHECK_EQ(stats_of(pool).maps, maps);
    CHECK_EQ(pe_mem_total(), total);
    pe_pool_close(pool);
}

TEST(a_burst_is_given_back_to_the_system) {
    static struct pe_seg *segs[5000];
    struct pe_pool *pool = new_pool();

    for (unsigned c = 0; c < PE_CLASS_BIG; c++) {
        int n = c == PE_CLASS_BIG - 1 ? 50 : 5000;

        for (int i = 0; i < n; i++) {
            segs[i] = pe_pool_take(pool, c);
            CHECK(segs[i] != NULL);
        }
        CHECK(stats_of(pool).mapped_bytes > (size_t)n * pe_class_bytes(c));
        for (int i = 0; i < n; i += 2) /* not in the order they were taken */
            pe_pool_give(segs[i], pool);
        for (int i = 1; i < n; i += 2)
            pe_pool_give(segs[i], pool);
        CHECK(stats_of(pool).mapped_bytes <= PE_POOL_KEEP_MAX);
        CHECK(stats_of(pool).idle_bytes <= PE_POOL_IDLE_MAX);
    }
    pe_pool_close(pool);
}

TEST(failing_memory_is_no_segment_and_no_harm) {
    struct pe_pool *pool = new_pool();

    pe_mem_fail_nth(1);
    CHECK(pe_pool_take(pool, CLASS_4K) == NULL);
    pe_mem_fail_nth(0);
    pe_pool_give(pe_pool_take(pool, CLASS_4K), pool);
    pe_pool_close(pool);
    pe_mem_fail_nth(1);
    CHECK(pe_pool_new() == NULL);
    pe_mem_fail_nth(0);
}

/* --- From outside --- */

static void *give_to_nobodys(void *arg) {
    struct pe_seg **segs = arg;

    for (; *segs != NULL; segs++)
        pe_pool_give(*segs, NULL);
    return NULL;
}

TEST(segments_given_back_by_another_thread_come_home) {
    struct pe_pool *pool = new_pool();
    struct pe_seg *segs[101];
    pthread_t thread;

    for (int i = 0; i < 100; i++)
        segs[i] = pe_pool_take(pool, CLASS_4K);
    segs[100] = NULL;
    CHECK_EQ(pthread_create(&thread, NULL, give_to_nobodys, segs), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(stats_of(pool).segs_out, 100); /* nobody has looked yet */
    pe_pool_give(pe_pool_take(pool, CLASS_4K), pool);
    CHECK_EQ(stats_of(pool).segs_out, 0);
    CHECK(stats_of(pool).mapped_bytes <= PE_POOL_KEEP_MAX);
    pe_pool_close(pool);
}

TEST(a_closed_pool_lives_until_its_last_segment_is_back) {
    struct pe_pool *pool = new_pool();
    struct pe_seg *segs[4];

    for (int i = 0; i < 4; i++)
        segs[i] = pe_pool_take(pool, CLASS_4K);
    pe_pool_give(segs[0], pool);
    pe_pool_give(segs[1], NULL); /* still on its way home when the pool is closed */
    pe_pool_close(pool);
    CHECK(pe_mem_live(PE_MEM_POOL) > 0);
    memset(segs[2] + 1, 7, 4096);
    pe_pool_give(segs[2], NULL);
    CHECK(pe_mem_live(PE_MEM_POOL) > 0);
    pe_pool_give(segs[3], pool); /* on behalf of a buffer of the closed pool */
    CHECK_EQ(pe_mem_live(PE_MEM_POOL), 0);
}

TEST(a_buffer_may_outlive_its_closed_pool) {
    struct pe_pool *pool = new_pool();
    struct evbuffer buf;
    char got[5];

    pe_evbuffer_init(&buf, pool, NULL);
    CHECK_EQ(evbuffer_add(&buf, "abc", 3), 0);
    pe_pool_close(pool);
    CHECK_EQ(evbuffer_add(&buf, "de", 2), 0);
    CHECK_EQ(evbuffer_remove(&buf, got, 5), 5);
    CHECK_MEM(got, "abcde", 5);
    CHECK(pe_mem_live(PE_MEM_POOL) > 0);
    CHECK_EQ(evbuffer_add(&buf, "x", 1), 0);
    pe_evbuffer_fini(&buf);
    CHECK_EQ(pe_mem_live_total(), 0);
}

struct giver {
    pthread_t thread;
    struct pe_seg *segs[201];
};

TEST(closing_a_pool_while_others_give_back_loses_nothing) {
    for (int round = 0; round < 50; round++) {
        struct pe_pool *pool = new_pool();
        static struct giver givers[2];

        for (int g = 0; g < 2; g++) {
            for (int i = 0; i < 200; i++)
                givers[g].segs[i] = pe_pool_take(pool, PE_CLASS_FIRST_RING);
            givers[g].segs[200] = NULL;
        }
        for (int g = 0; g < 2; g++)
            CHECK_EQ(pthread_create(&givers[g].thread, NULL, give_to_nobodys, givers[g].segs),
                     0);
        pe_pool_close(pool);
        for (int g = 0; g < 2; g++)
            CHECK_EQ(pthread_join(givers[g].thread, NULL), 0);
        CHECK_EQ(pe_mem_live_total(), 0);
    }
}

/* --- The free list --- */

static void use_a_buffer(struct evbuffer *buf) {
    static char bytes[9000];
    char got[9000];

    for (size_t n = 1; n < sizeof(got); n *= 3) {
        CHECK_EQ(evbuffer_add(buf, bytes, n), 0);
        CHECK_EQ(evbuffer_remove(buf, got, n), (int)n);
    }
}

static void *make_and_use(void *arg) {
    struct evbuffer *buf = evbuffer_new();

    (void)arg;
    CHECK(buf != NULL);
    use_a_buffer(buf);
    return buf;
}

TEST(the_free_list_is_empty_when_the_last_buffer_is_freed) {
    struct evbuffer *a = evbuffer_new(), *b = evbuffer_new();

    use_a_buffer(a);
    use_a_buffer(b);
    evbuffer_free(a);
    use_a_buffer(b);
    evbuffer_free(b);
    CHECK_EQ(pe_mem_live_total(), 0);
}

TEST(a_thread_that_ends_takes_its_free_list_with_it) {
    struct evbuffer *mine;
    pthread_t thread;
    void *theirs;

    CHECK_EQ(pthread_create(&thread, NULL, make_and_use, NULL), 0);
    CHECK_EQ(pthread_join(thread, &theirs), 0);
    CHECK_EQ(pe_mem_live(PE_MEM_SEGMENT), 0);
    use_a_buffer(theirs);
    mine = make_and_use(NULL); /* the next owner */
    evbuffer_free(theirs);
    evbuffer_free(mine);
    CHECK_EQ(pe_mem_live_total(), 0);
}

TEST(buffers_of_many_threads_do_not_disturb_each_other) {
    struct evbuffer *mine = make_and_use(NULL);
    pthread_t threads[4];
    void *theirs;

    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, make_and_use, NULL), 0);
    use_a_buffer(mine);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(pthread_join(threads[i], &theirs), 0);
        evbuffer_free(theirs);
    }
    evbuffer_free(mine);
}
