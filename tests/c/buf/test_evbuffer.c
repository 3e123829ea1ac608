/* test_evbuffer.c - adding and taking bytes, and what that does to the rings. */
#include "base/mem.h"
#include "buf/pool.h"
#include "inside.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define PE_TEST_MOST ((size_t)SSIZE_MAX)

static struct evbuffer *new_buffer(void) {
    struct evbuffer *buf = evbuffer_new();

    CHECK(buf != NULL);
    return buf;
}

static void check_is(struct evbuffer *buf, const char *want) {
    size_t n = strlen(want);
    char *got = malloc(n + 1);

    (void)check_inside(buf);
    CHECK_EQ(evbuffer_get_length(buf), n);
    CHECK_EQ(evbuffer_copyout(buf, got, n + 1), (ssize_t)n);
    CHECK_MEM(got, want, n);
    free(got);
}

TEST(a_buffer_is_small) {
    CHECK(sizeof(struct evbuffer) <= 96);
    CHECK_EQ(sizeof(struct pe_seg), 64);
}

TEST(bytes_come_out_in_the_order_they_went_in) {
    struct evbuffer *buf = new_buffer();
    char got[16];

    CHECK_EQ(evbuffer_add(buf, "hello ", 6), 0);
    CHECK_EQ(evbuffer_add(buf, "world", 5), 0);
    check_is(buf, "hello world");
    CHECK_EQ(evbuffer_remove(buf, got, 8), 8);
    CHECK_MEM(got, "hello wo", 8);
    CHECK_EQ(evbuffer_remove(buf, got, sizeof(got)), 3);
    CHECK_MEM(got, "rld", 3);
    CHECK_EQ(evbuffer_remove(buf, got, sizeof(got)), 0);
    evbuffer_free(buf);
}

TEST(an_empty_buffer_holds_no_ring) {
    struct evbuffer *buf = new_buffer();

    CHECK(buf->first == NULL);
    CHECK_EQ(evbuffer_add(buf, "x", 1), 0);
    CHECK(buf->first != NULL);
    CHECK_EQ(evbuffer_drain(buf, 1), 0);
    CHECK(buf->first == NULL && buf->last == NULL);
    evbuffer_free(buf);
}

TEST(a_ring_wraps_without_moving_bytes) {
    struct evbuffer *buf = new_buffer();
    char block[700];
    struct evbuffer_iovec vec[3];

    memset(block, 'a', sizeof(block));
    CHECK_EQ(evbuffer_add(buf, block, 700), 0);
    CHECK_EQ(evbuffer_drain(buf, 600), 0);
    memset(block, 'b', sizeof(block));
    CHECK_EQ(evbuffer_add(buf, block, 700), 0); /* 100 + 700 of 1024: over the end */
    CHECK_EQ(check_inside(buf), 1);
    CHECK_EQ(evbuffer_peek(buf, -1, NULL, vec, 3), 2);
    CHECK_EQ(vec[0].iov_len, 1024 - 600);
    CHECK(vec[1].iov_base == buf->first->data);
    CHECK_EQ(vec[1].iov_len, 800 - (1024 - 600));
    evbuffer_free(buf);
}

TEST(a_full_ring_is_followed_by_a_larger_one) {
    struct evbuffer *buf = new_buffer();
    char block[512] = {0};

    for (int i = 0; i < 2 * 2; i++)
        CHECK_EQ(evbuffer_add(buf, block, 512), 0);
    CHECK_EQ(check_inside(buf), 2);
    CHECK_EQ(buf->first->mask + 1, 1024);
    CHECK_EQ(buf->last->mask + 1, 4096);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(evbuffer_add(buf, block, 512), 0);
    CHECK_EQ(buf->last->mask + 1, 64 * 1024);
    evbuffer_free(buf);
}

TEST(a_large_add_is_cut_into_rings_that_drain_one_by_one) {
    struct evbuffer *buf = new_buffer();
    size_t n = 5 * 1024 * 1024 / 2;
    char *bytes = malloc(n), *got = malloc(n);
    long live;

    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(i * 7 >> 3);
    CHECK_EQ(evbuffer_add(buf, "start", 5), 0);
    CHECK_EQ(evbuffer_add(buf, bytes, n), 0);
    CHECK_EQ(check_inside(buf), 4);
    live = pe_mem_live(PE_MEM_SEGMENT);
    CHECK_EQ(evbuffer_drain(buf, 5), 0);
    CHECK_EQ(evbuffer_remove(buf, got, 1500000), 1500000);
    CHECK(pe_mem_live(PE_MEM_SEGMENT) < live);
    CHECK_EQ(evbuffer_remove(buf, got + 1500000, n), (int)(n - 1500000));
    CHECK(memcmp(bytes, got, n) == 0);
    evbuffer_free(buf);
    free(bytes);
    free(got);
}

TEST(prepending_goes_to_the_front_of_any_ring) {
    struct evbuffer *buf = new_buffer();

    CHECK_EQ(evbuffer_prepend(buf, "def", 3), 0); /* of an empty buffer */
    CHECK_EQ(evbuffer_prepend(buf, "abc", 3), 0); /* into room before the head */
    CHECK_EQ(check_inside(buf), 1);
    CHECK_EQ(evbuffer_get_contiguous_space(buf), 6);
    CHECK_EQ(evbuffer_add(buf, "ghi", 3), 0); /* round the ring's end */
    check_is(buf, "abcdefghi");
    CHECK_EQ(evbuffer_drain(buf, 5), 0);
    CHECK_EQ(evbuffer_prepend(buf, "", 0), 0);
    CHECK_EQ(evbuffer_prepend(buf, "12345678", 8), 0);
    check_is(buf, "12345678fghi");
    evbuffer_free(buf);
}

TEST(prepending_more_than_the_room_takes_a_ring_of_its_own) {
    struct evbuffer *buf = new_buffer();
    char block[3000];

    memset(block, 'p', sizeof(block));
    CHECK_EQ(evbuffer_add(buf, "end", 3), 0);
    CHECK_EQ(evbuffer_prepend(buf, block, sizeof(block)), 0);
    CHECK_EQ(check_inside(buf), 2);
    CHECK_EQ(evbuffer_get_contiguous_space(buf), sizeof(block));
    CHECK_EQ(evbuffer_drain(buf, sizeof(block)), 0);
    check_is(buf, "end");
    evbuffer_free(buf);
}

TEST(a_steady_echo_reuses_one_ring_and_allocates_nothing) {
    struct pe_pool *pool = pe_pool_new();
    struct evbuffer in, out;
    unsigned long total;
    char line[40], got[64];

    pe_evbuffer_init(&in, pool, NULL);
    pe_evbuffer_init(&out, pool, NULL);
    memset(line, 'e', sizeof(line));
    total = pe_mem_total();
    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(evbuffer_add(&in, line, sizeof(line)), 0);
        CHECK(in.first->data == pe_seg_at(in.first, 0)); /* it starts at the beginning */
        CHECK_EQ(evbuffer_add_buffer(&out, &in), 0);
        CHECK_EQ(evbuffer_remove(&out, got, sizeof(got)), (int)sizeof(line));
        if (i == 0)
            total = pe_mem_total();
    }
    CHECK_EQ(pe_mem_total(), total);
    pe_evbuffer_fini(&in);
    pe_evbuffer_fini(&out);
    pe_pool_close(pool);
}

TEST(small_adds_to_a_standing_ring_allocate_nothing) {
    struct evbuffer *buf = new_buffer();
    unsigned long total;
    char bytes[100] = {0}, got[100];

    CHECK_EQ(evbuffer_add(buf, bytes, 100), 0);
    total = pe_mem_total();
    for (int i = 0; i < 10000; i++) {
        CHECK_EQ(evbuffer_add(buf, bytes, 100), 0);
        CHECK_EQ(evbuffer_remove(buf, got, 100), 100);
    }
    CHECK_EQ(pe_mem_total(), total);
    CHECK_EQ(check_inside(buf), 1);
    evbuffer_free(buf);
}

TEST(lengths_that_cannot_be_are_refused) {
    struct evbuffer *buf = new_buffer();
    struct evbuffer_iovec vec[2] = {{&vec, SIZE_MAX - 5}, {&vec, 100}};

    CHECK_EQ(evbuffer_add(buf, "ab", 2), 0);
    errno = 0;
    CHECK_EQ(evbuffer_add(buf, "x", SIZE_MAX), -1);
    CHECK_EQ(errno, EOVERFLOW);
    CHECK_EQ(evbuffer_prepend(buf, "x", SIZE_MAX - 1), -1);
    CHECK_EQ(errno, EOVERFLOW);
    CHECK_EQ(evbuffer_add_iovec(buf, vec, 2), 0);
    CHECK_EQ(errno, EOVERFLOW);
    CHECK_EQ(evbuffer_expand(buf, SIZE_MAX), -1);
    CHECK_EQ(evbuffer_expand(buf, SIZE_MAX / 2 - 2), -1);
    CHECK_EQ(errno, ENOMEM);
    CHECK_EQ(evbuffer_reserve_space(buf, SSIZE_MAX, vec, 2), -1);
    CHECK_EQ(evbuffer_add_reference(buf, "x", SIZE_MAX, NULL, NULL), -1);
    CHECK_EQ(evbuffer_add_reference_with_offset(buf, "x", SIZE_MAX, 5, NULL, NULL), -1);
    CHECK_EQ(errno, EOVERFLOW);
    check_is(buf, "ab");
    evbuffer_free(buf);
}

TEST(a_buffer_never_gets_longer_than_a_position_can_say) {
    struct evbuffer *buf = new_buffer(), *other = new_buffer();
    struct evbuffer_iovec vec;
    struct pe_pin pin;

    /* Lent, and never looked at. */
    CHECK_EQ(evbuffer_add_reference(buf, "", PE_TEST_MOST - 10, NULL, NULL), 0);
    CHECK_EQ(evbuffer_add(other, "eleven byte", 11), 0);
    CHECK_EQ(evbuffer_add(buf, "eleven byte", 11), -1);
    CHECK_EQ(errno, EOVERFLOW);
    CHECK_EQ(evbuffer_prepend(buf, "eleven byte", 11), -1);
    CHECK_EQ(evbuffer_add_printf(buf, "eleven byte"), -1);
    CHECK_EQ(errno, EOVERFLOW);
    CHECK_EQ(evbuffer_add_buffer(buf, other), -1);
    CHECK_EQ(evbuffer_prepend_buffer(buf, other), -1);
    CHECK_EQ(evbuffer_add_buffer_reference(buf, other), -1);
    CHECK_EQ(evbuffer_remove_buffer(other, buf, 11), -1);
    CHECK_EQ(errno, EOVERFLOW);
    CHECK_EQ(evbuffer_expand(buf, 11), -1);
    CHECK_EQ(evbuffer_reserve_space(buf, 11, &vec, 1), -1);
    CHECK_EQ(pe_evbuffer_recv(buf, 0, 4096, false), -EOVERFLOW);
    CHECK_EQ(pe_evbuffer_reserve_pin(buf, 10, &pin), 0);
    CHECK_EQ(evbuffer_add(buf, "x", 1), 0);
    CHECK_EQ(pe_evbuffer_commit_pin(&pin, 10), -EOVERFLOW);
    pe_evbuffer_unpin(&pin);
    CHECK_EQ(evbuffer_remove_buffer(other, buf, 9), 9);
    CHECK_EQ(evbuffer_get_length(buf), PE_TEST_MOST);
    CHECK_EQ(evbuffer_remove_buffer(buf, other, SIZE_MAX), INT_MAX); /* as many as it can say */
    CHECK_EQ(evbuffer_get_length(other), (size_t)INT_MAX + 2);
    evbuffer_free(buf);
    evbuffer_free(other);
}

TEST(failing_memory_leaves_every_call_undone) {
    struct evbuffer *buf = new_buffer(), *other = new_buffer();
    static char big[3000000];

    CHECK_EQ(evbuffer_add(buf, "kept", 4), 0);
    CHECK_EQ(evbuffer_add(other, "other", 5), 0);
    for (long n = 1; n <= 3; n++) {
        pe_mem_fail_nth(n);
        CHECK_EQ(evbuffer_add(buf, big, sizeof(big)), -1);
        CHECK_EQ(errno, ENOMEM);
    }
    pe_mem_fail_nth(1);
    CHECK_EQ(evbuffer_prepend(buf, big, 20000), -1);
    pe_mem_fail_nth(1);
    CHECK_EQ(evbuffer_add_printf(buf, "%20000d", 1), -1);
    pe_mem_fail_nth(1);
    CHECK_EQ(evbuffer_add_reference(buf, big, 10, NULL, NULL), -1);
    pe_mem_fail_nth(1);
    CHECK_EQ(evbuffer_add_buffer_reference(buf, other), -1);
    pe_mem_fail_nth(1);
    CHECK_EQ(evbuffer_expand(buf, 20000), -1);
    pe_mem_fail_nth(1);
    CHECK(evbuffer_add_cb(buf, (evbuffer_cb_func)abort, NULL) == NULL);
    pe_mem_fail_nth(1);
    CHECK_EQ(evbuffer_set_max_read(buf, 77), -1);
    CHECK_EQ(evbuffer_add(buf, "\n", 1), 0);
    pe_mem_fail_nth(1);
    CHECK(evbuffer_readln(buf, NULL, EVBUFFER_EOL_LF) == NULL);
    CHECK_EQ(errno, ENOMEM);
    pe_mem_fail_nth(0);
    check_is(buf, "kept\n");
    check_is(other, "other");
    evbuffer_free(buf);
    evbuffer_free(other);
    pe_mem_fail_nth(1);
    CHECK(evbuffer_new() == NULL);
    pe_mem_fail_nth(0);
}

TEST(printf_formats_into_place_and_grows_when_it_must) {
    struct evbuffer *buf = new_buffer();
    char want[6001];

    CHECK_EQ(evbuffer_add_printf(buf, "%s=%d;", "a", 12), 5);
    CHECK_EQ(evbuffer_add_printf(buf, "%s", ""), 0);
    check_is(buf, "a=12;");
    CHECK_EQ(evbuffer_drain(buf, 5), 0);
    memset(want, 'w', 6000);
    want[6000] = '\0';
    CHECK_EQ(evbuffer_add_printf(buf, "%s", want), 6000);
    check_is(buf, want);
    evbuffer_free(buf);
    buf = new_buffer();
    CHECK_EQ(evbuffer_add_printf(buf, "%s", ""), 0);
    CHECK(buf->first == NULL);
    evbuffer_free(buf);
}

TEST(locks_and_flags_are_accepted_and_mean_nothing) {
    struct evbuffer *buf = new_buffer();

    CHECK_EQ(evbuffer_enable_locking(buf, NULL), 0);
    evbuffer_lock(buf);
    evbuffer_unlock(buf);
    CHECK_EQ(evbuffer_set_flags(buf, EVBUFFER_FLAG_DRAINS_TO_FD), 0);
    CHECK_EQ(evbuffer_clear_flags(buf, EVBUFFER_FLAG_DRAINS_TO_FD), 0);
    evbuffer_free(buf);
}

TEST(max_read_has_a_default_and_limits) {
    struct evbuffer *buf = new_buffer(), inside;

    CHECK_EQ(evbuffer_get_max_read(buf), 4096);
    CHECK_EQ(evbuffer_set_max_read(buf, 0), -1);
    CHECK_EQ(evbuffer_set_max_read(buf, (size_t)INT_MAX + 1), -1);
    CHECK_EQ(errno, EINVAL);
    CHECK_EQ(evbuffer_set_max_read(buf, 1), 0);
    CHECK_EQ(evbuffer_get_max_read(buf), 1);
    evbuffer_free(buf);
    pe_evbuffer_init(&inside, NULL, NULL);
    CHECK_EQ(evbuffer_get_max_read(&inside), 16384);
    evbuffer_free(&inside); /* not the user's: nothing happens */
    CHECK_EQ(evbuffer_add(&inside, "x", 1), 0);
    pe_evbuffer_fini(&inside);
    evbuffer_free(NULL);
}
