/* test_move.c - moving and sharing between buffers. */
#include "base/mem.h"
#include "buf/pool.h"
#include "inside.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int cleanups;

static void count_cleanup(const void *data, size_t n, void *arg) {
    (void)data;
    (void)n;
    (void)arg;
    cleanups++;
}

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

TEST(a_whole_buffer_moves_without_copying_or_allocating) {
    struct evbuffer *from = new_buffer(), *to = new_buffer();
    static char bytes[300000];
    const struct pe_seg *first;
    unsigned long total;

    CHECK_EQ(evbuffer_add(to, "front", 5), 0);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(evbuffer_add(from, bytes, sizeof(bytes)), 0);
    first = from->first;
    total = pe_mem_total();
    CHECK_EQ(evbuffer_add_buffer(to, from), 0);
    CHECK_EQ(pe_mem_total(), total);
    CHECK(to->first->next == first);
    CHECK_EQ(from->len, 0);
    CHECK(from->first == NULL);
    CHECK_EQ(to->len, 5 + 10 * sizeof(bytes));
    (void)check_inside(to);
    CHECK_EQ(evbuffer_prepend_buffer(from, to), 0);
    CHECK_EQ(pe_mem_total(), total);
    CHECK_EQ(from->len, 5 + 10 * sizeof(bytes));
    evbuffer_free(from);
    evbuffer_free(to);
}

TEST(many_small_moves_do_not_fill_memory_with_rings) {
    struct evbuffer *from = new_buffer(), *to = new_buffer();

    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(evbuffer_add(from, "twenty bytes of text", 20), 0);
        CHECK_EQ(evbuffer_add_buffer(to, from), 0);
    }
    CHECK(check_inside(to) <= 20); /* rings of 1 KiB, and full */
    CHECK_EQ(to->len, 20000);
    evbuffer_free(from);
    evbuffer_free(to);
}

TEST(moving_between_pools_keeps_each_segment_home) {
    struct pe_pool *here = pe_pool_new(), *there = pe_pool_new();
    struct evbuffer a, b;
    struct pe_pool_stats stats;
    static char bytes[5000];

    pe_evbuffer_init(&a, here, NULL);
    pe_evbuffer_init(&b, there, NULL);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(evbuffer_add(&a, bytes, sizeof(bytes)), 0);
        CHECK_EQ(evbuffer_add_buffer(&b, &a), 0);
        CHECK_EQ(evbuffer_drain(&b, sizeof(bytes)), 0);
    }
    pe_evbuffer_fini(&b);
    CHECK_EQ(evbuffer_add(&a, "x", 1), 0); /* takes, and looks what has come back */
    pe_pool_stats(here, &stats);
    CHECK_EQ(stats.segs_out, 1);
    pe_evbuffer_fini(&a);
    pe_pool_close(there);
    pe_pool_close(here);
}

TEST(room_that_was_expanded_does_not_move) {
    struct evbuffer *from = new_buffer(), *to = new_buffer();

    CHECK_EQ(evbuffer_add(from, "abc", 3), 0);
    CHECK_EQ(evbuffer_expand(from, 5000), 0);
    CHECK_EQ(evbuffer_expand(to, 100), 0);
    CHECK_EQ(evbuffer_add_buffer(to, from), 0);
    check_is(to, "abc");
    CHECK(from->first == NULL);
    CHECK_EQ(evbuffer_expand(to, 5000), 0);
    CHECK_EQ(evbuffer_add_reference(to, "def", 3, NULL, NULL), 0);
    CHECK_EQ(evbuffer_add(to, "ghi", 3), 0);
    check_is(to, "abcdefghi");
    evbuffer_free(from);
    evbuffer_free(to);
}

TEST(a_part_moves_whole_segments_and_copies_only_what_is_cut) {
    struct evbuffer *from = new_buffer(), *to = new_buffer();
    static char bytes[3000];
    const struct pe_seg *first;

    memset(bytes, 'b', sizeof(bytes));
    CHECK_EQ(evbuffer_add(from, bytes, sizeof(bytes)), 0);
    CHECK_EQ(evbuffer_add_reference(from, bytes, sizeof(bytes), count_cleanup, NULL), 0);
    CHECK_EQ(evbuffer_add(from, "end", 3), 0);
    first = from->first;
    CHECK_EQ(evbuffer_remove_buffer(from, to, 5000), 5000);
    CHECK(to->first == first);
    CHECK(pe_seg_at(to->last, 0) == (unsigned char *)bytes); /* the same lent memory */
    CHECK_EQ(check_inside(to), 2);
    CHECK_EQ(from->len, 1003);
    CHECK_EQ(evbuffer_drain(to, 5000), 0);
    CHECK_EQ(cleanups, 0); /* the other half still needs it */
    CHECK_EQ(evbuffer_remove_buffer(from, to, 999999), 1003);
    CHECK_EQ(evbuffer_drain(to, 1000), 0);
    CHECK_EQ(cleanups, 1);
    check_is(to, "end");
    evbuffer_free(from);
    evbuffer_free(to);
}

TEST(what_is_lent_is_never_copied_however_little_moves) {
    static const char lent[] = "0123456789";
    struct evbuffer *from = new_buffer(), *to = new_buffer(), *third = new_buffer();

    CHECK_EQ(evbuffer_add(to, "head", 4), 0);
    CHECK_EQ(evbuffer_add_reference(from, lent, 10, count_cleanup, NULL), 0);
    CHECK_EQ(evbuffer_remove_buffer(from, to, 3), 3); /* a part of it */
    CHECK(pe_seg_at(to->last, 0) == (const unsigned char *)lent);
    CHECK_EQ(pe_evbuffer_move(to, from, 3), 3);
    CHECK(pe_seg_at(to->last, 0) == (const unsigned char *)lent + 3);
    CHECK_EQ(evbuffer_add_buffer(third, from), 0);
    check_is(to, "head012345");
    check_is(third, "6789");
    /* Nor what another buffer has as well. */
    CHECK_EQ(evbuffer_add(from, "ring", 4), 0);
    CHECK_EQ(evbuffer_drain(to, 10), 0);
    CHECK_EQ(evbuffer_add_buffer_reference(to, from), 0);
    CHECK_EQ(evbuffer_drain(third, 4), 0);
    CHECK_EQ(cleanups, 1);
    CHECK_EQ(evbuffer_add(third, ">", 1), 0);
    CHECK_EQ(evbuffer_remove_buffer(to, third, 2), 2);
    CHECK(pe_seg_at(third->last, 0) == pe_seg_at(from->first, 0));
    check_is(third, ">ri");
    evbuffer_free(from);
    evbuffer_free(to);
    evbuffer_free(third);
    CHECK_EQ(cleanups, 1);
}

TEST(all_that_is_longer_than_an_int_moves) {
    struct evbuffer *from = new_buffer(), *to = new_buffer();
    size_t n = ((size_t)1 << 31) + 5000;
    char path[] = "/tmp/pyevent-test-XXXXXX";
    int fd = mkstemp(path);

    CHECK(fd >= 0);
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(ftruncate(fd, (off_t)n), 0); /* a hole */
    CHECK_EQ(evbuffer_add_file(from, fd, 0, -1), 0);
    CHECK_EQ(evbuffer_remove_buffer(from, to, n), INT_MAX); /* what the answer can say */
    CHECK_EQ(evbuffer_prepend_buffer(from, to), 0);
    CHECK_EQ(pe_evbuffer_remove_buffer(from, to, SIZE_MAX), (ssize_t)n);
    CHECK_EQ(pe_evbuffer_remove_buffer(to, from, n - 1), (ssize_t)n - 1);
    CHECK_EQ(evbuffer_freeze(from, 1), 0);
    CHECK_EQ(pe_evbuffer_remove_buffer(from, to, 1), -EPERM);
    evbuffer_free(from);
    evbuffer_free(to);
}

/* --- Sharing --- */

TEST(shared_bytes_stay_while_either_buffer_needs_them) {
    struct evbuffer *from = new_buffer(), *a = new_buffer(), *b = new_buffer();

    CHECK_EQ(evbuffer_add(from, "ring ", 5), 0);
    CHECK_EQ(evbuffer_add_reference(from, "lent", 4, count_cleanup, NULL), 0);
    CHECK_EQ(evbuffer_add_buffer_reference(a, from), 0);
    CHECK_EQ(evbuffer_add_buffer_reference(b, from), 0);
    check_is(from, "ring lent");
    CHECK(pe_seg_at(a->first, 0) == pe_seg_at(from->first, 0));
    evbuffer_free(from);
    check_is(a, "ring lent");
    evbuffer_free(a);
    CHECK_EQ(cleanups, 0);
    CHECK_EQ(evbuffer_drain(b, 3), 0);
    check_is(b, "g lent");
    evbuffer_free(b);
    CHECK_EQ(cleanups, 1);
}

TEST(the_source_of_shared_bytes_can_change_without_the_others_seeing) {
    struct evbuffer *from = new_buffer(), *to = new_buffer();
    unsigned char *p;

    CHECK_EQ(evbuffer_add(from, "shared", 6), 0);
    CHECK_EQ(evbuffer_add_buffer_reference(to, from), 0);
    CHECK_EQ(evbuffer_add(from, "+", 1), 0);
    CHECK_EQ(evbuffer_prepend(from, "-", 1), 0);
    CHECK_EQ(check_inside(from), 3);
    p = evbuffer_pullup(from, -1);
    memset(p, 'X', 8);
    check_is(to, "shared");
    CHECK_EQ(evbuffer_drain(to, 6), 0);
    CHECK_EQ(evbuffer_add(from, "y", 1), 0);
    check_is(from, "XXXXXXXXy");
    evbuffer_free(from);
    evbuffer_free(to);
}

TEST(a_wrapped_ring_is_shared_as_it_is) {
    struct evbuffer *from = new_buffer(), *to = new_buffer();
    char bytes[1000], got[300];

    memset(bytes, 'a', sizeof(bytes));
    CHECK_EQ(evbuffer_add(from, bytes, 1000), 0);
    CHECK_EQ(evbuffer_drain(from, 900), 0);
    memset(bytes, 'b', sizeof(bytes));
    CHECK_EQ(evbuffer_add(from, bytes, 200), 0);
    CHECK_EQ(evbuffer_add_buffer_reference(to, from), 0);
    CHECK_EQ(check_inside(to), 1);
    evbuffer_free(from);
    CHECK_EQ(evbuffer_remove(to, got, 300), 300);
    for (int i = 0; i < 300; i++)
        CHECK_EQ(got[i], i < 100 ? 'a' : 'b');
    evbuffer_free(to);
}

TEST(what_cannot_be_shared_is_refused) {
    struct evbuffer *from = new_buffer(), *to = new_buffer(), *third = new_buffer();

    CHECK_EQ(evbuffer_add_buffer_reference(to, from), 0); /* empty */
    CHECK_EQ(evbuffer_add(from, "x", 1), 0);
    CHECK_EQ(evbuffer_add_buffer_reference(from, from), -1);
    CHECK_EQ(errno, EINVAL);
    CHECK_EQ(evbuffer_add_buffer_reference(to, from), 0);
    CHECK_EQ(evbuffer_add_buffer_reference(third, to), -1);
    CHECK_EQ(errno, EINVAL);
    CHECK_EQ(evbuffer_freeze(to, 0), 0);
    CHECK_EQ(evbuffer_add_buffer_reference(to, from), -1);
    CHECK_EQ(errno, EPERM);
    evbuffer_free(from);
    evbuffer_free(to);
    evbuffer_free(third);
}

TEST(references_run_their_cleanup_once_with_what_was_lent) {
    struct evbuffer *buf = new_buffer();

    CHECK_EQ(evbuffer_add_reference(buf, "", 0, count_cleanup, NULL), 0);
    CHECK_EQ(cleanups, 1); /* nothing was lent: at once */
    CHECK_EQ(evbuffer_add_reference_with_offset(buf, "0123456789", 4, 3, count_cleanup, NULL),
             0);
    check_is(buf, "456");
    CHECK_EQ(evbuffer_freeze(buf, 0), 0);
    CHECK_EQ(evbuffer_add_reference(buf, "x", 1, count_cleanup, NULL), -1);
    CHECK_EQ(cleanups, 1);
    CHECK_EQ(evbuffer_drain(buf, 2), 0);
    CHECK_EQ(cleanups, 1);
    CHECK_EQ(evbuffer_drain(buf, 1), 0);
    CHECK_EQ(cleanups, 2);
    evbuffer_free(buf);
}
