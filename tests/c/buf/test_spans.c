/* test_spans.c - bytes and room in place: pullup, peek, expand, reserve, pins. */
#include "base/mem.h"
#include "inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

/* A buffer whose ring of 1 KiB has `tail` bytes before its end and 100 bytes used. */
static struct evbuffer *wrapped(size_t before_end) {
    struct evbuffer *buf = new_buffer();
    char bytes[1024];

    memset(bytes, 'w', sizeof(bytes));
    CHECK_EQ(evbuffer_add(buf, bytes, 1024 - before_end), 0);
    CHECK_EQ(evbuffer_add(buf, bytes, before_end), 0);
    CHECK_EQ(evbuffer_drain(buf, 1024 - before_end), 0);
    CHECK_EQ(evbuffer_add(buf, bytes, 100 - before_end), 0);
    CHECK_EQ(check_inside(buf), 1);
    return buf;
}

/* --- Bytes --- */

TEST(pullup_of_a_wrapped_ring_gives_one_piece) {
    struct evbuffer *buf = wrapped(30);
    unsigned char *p;

    CHECK_EQ(evbuffer_get_contiguous_space(buf), 30);
    p = evbuffer_pullup(buf, 60);
    CHECK(p != NULL);
    for (int i = 0; i < 60; i++)
        CHECK_EQ(p[i], 'w');
    CHECK(evbuffer_get_contiguous_space(buf) >= 60);
    CHECK_EQ(evbuffer_get_length(buf), 100);
    (void)check_inside(buf);
    evbuffer_free(buf);
}

TEST(pullup_of_what_is_in_one_piece_copies_nothing) {
    struct evbuffer *buf = new_buffer();
    unsigned char *p;

    CHECK_EQ(evbuffer_add(buf, "abc", 3), 0);
    p = evbuffer_pullup(buf, -1);
    CHECK(p == buf->first->data);
    CHECK_EQ(evbuffer_add_reference(buf, "def", 3, NULL, NULL), 0);
    CHECK(evbuffer_pullup(buf, 2) == p);
    CHECK(evbuffer_pullup(buf, 5) == p); /* into the room behind */
    CHECK_MEM(p, "abcde", 5);
    CHECK_EQ(check_inside(buf), 2);
    CHECK(evbuffer_pullup(buf, -1) == p);
    CHECK_EQ(check_inside(buf), 1);
    check_is(buf, "abcdef");
    evbuffer_free(buf);
}

TEST(pullup_of_nothing_or_too_much_is_null) {
    struct evbuffer *buf = new_buffer();

    CHECK(evbuffer_pullup(buf, -1) == NULL);
    CHECK_EQ(evbuffer_add(buf, "abc", 3), 0);
    CHECK(evbuffer_pullup(buf, 0) == NULL);
    CHECK(evbuffer_pullup(buf, 4) == NULL);
    CHECK_EQ(evbuffer_add_reference(buf, "def", 3, NULL, NULL), 0);
    CHECK_EQ(evbuffer_prepend(buf, "0", 1), 0);
    pe_mem_fail_nth(1);
    (void)evbuffer_pullup(buf, -1);
    pe_mem_fail_nth(0);
    check_is(buf, "0abcdef");
    evbuffer_free(buf);
}

TEST(peek_counts_what_it_takes_and_shows_what_fits) {
    struct evbuffer *buf = new_buffer();
    struct evbuffer_iovec vec[4];
    struct evbuffer_ptr from;

    CHECK_EQ(evbuffer_peek(buf, -1, NULL, vec, 4), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(evbuffer_add_reference(buf, "0123456789" + i, 4, NULL, NULL), 0);
    CHECK_EQ(evbuffer_peek(buf, -1, NULL, NULL, 0), 3);
    CHECK_EQ(evbuffer_peek(buf, 5, NULL, NULL, 0), 2);
    CHECK_EQ(evbuffer_peek(buf, 9, NULL, vec, 1), 3);
    CHECK_EQ(evbuffer_peek(buf, -1, NULL, vec, 2), 2); /* as many as fit */
    CHECK_EQ(evbuffer_ptr_set(buf, &from, 6, EVBUFFER_PTR_SET), 0);
    CHECK_EQ(evbuffer_peek(buf, 3, &from, vec, 4), 2);
    CHECK_EQ(vec[0].iov_len, 2);
    CHECK_MEM(vec[0].iov_base, "34", 2);
    CHECK_EQ(vec[1].iov_len, 4); /* the last one is not cut */
    evbuffer_free(buf);
}

TEST(the_first_span_can_be_had_without_a_copy) {
    struct evbuffer *buf = wrapped(30);
    const unsigned char *p;
    size_t n;

    p = pe_evbuffer_first(buf, &n);
    CHECK(p == pe_seg_at(buf->first, 0));
    CHECK_EQ(n, 30);
    CHECK_EQ(evbuffer_drain(buf, 100), 0);
    CHECK(pe_evbuffer_first(buf, &n) == NULL);
    CHECK_EQ(n, 0);
    evbuffer_free(buf);
}

TEST(places_outside_the_buffer_are_refused) {
    struct evbuffer *buf = new_buffer();
    struct evbuffer_ptr ptr = {-1, {NULL, 0, 0}}, got;
    char out[4];
    size_t n = 9;

    CHECK_EQ(evbuffer_add(buf, "abc\n", 4), 0);
    CHECK_EQ(evbuffer_peek(buf, 1, &ptr, NULL, 0), -1);
    CHECK_EQ(errno, EINVAL);
    CHECK_EQ(evbuffer_copyout_from(buf, &ptr, out, 4), -1);
    CHECK_EQ(evbuffer_ptr_set(buf, &ptr, 1, EVBUFFER_PTR_ADD), -1);
    got = evbuffer_search(buf, "a", 1, &ptr);
    CHECK_EQ(got.pos, -1);
    got = evbuffer_search_eol(buf, &ptr, &n, EVBUFFER_EOL_LF);
    CHECK_EQ(got.pos, -1);
    CHECK_EQ(n, 0);
    got = evbuffer_search_eol(buf, NULL, &n, (enum evbuffer_eol_style)17);
    CHECK_EQ(got.pos, -1);
    CHECK_EQ(errno, EINVAL);
    ptr.pos = 3;
    CHECK_EQ(evbuffer_ptr_set(buf, &ptr, SIZE_MAX, EVBUFFER_PTR_ADD), -1);
    CHECK_EQ(pe_evbuffer_copy_at(buf, 4, out, 4), 0);
    CHECK_EQ(pe_evbuffer_copy_at(buf, 2, out, 4), 2);
    CHECK_MEM(out, "c\n", 2);
    evbuffer_free(buf);
}

/* --- Room --- */

TEST(what_was_expanded_is_there_without_memory) {
    struct evbuffer *buf = new_buffer();
    static char bytes[50000];

    for (int round = 0; round < 3; round++) {
        CHECK_EQ(evbuffer_expand(buf, sizeof(bytes)), 0);
        pe_mem_fail_nth(1);
        CHECK_EQ(evbuffer_add(buf, bytes, sizeof(bytes)), 0);
        pe_mem_fail_nth(0);
        (void)check_inside(buf);
    }
    evbuffer_free(buf);
}

TEST(room_reserved_in_one_span_is_in_one_piece_wherever_the_ring_stands) {
    for (size_t before_end = 0; before_end <= 90; before_end += 30) {
        struct evbuffer *buf = wrapped(before_end);
        struct evbuffer_iovec vec;

        CHECK_EQ(evbuffer_drain(buf, 1), 0);
        CHECK_EQ(evbuffer_reserve_space(buf, 1000, &vec, 1), 1);
        CHECK(vec.iov_len >= 1000);
        memset(vec.iov_base, 'r', 1000);
        vec.iov_len = 1000;
        CHECK_EQ(evbuffer_commit_space(buf, &vec, 1), 0);
        CHECK_EQ(evbuffer_get_length(buf), 1099);
        (void)check_inside(buf);
        evbuffer_free(buf);
    }
}

TEST(room_in_two_spans_of_a_ring_closes_up_when_the_first_is_not_filled) {
    struct evbuffer *buf = new_buffer();
    struct evbuffer_iovec vec[2];
    char bytes[1024];

    memset(bytes, 'x', sizeof(bytes));
    CHECK_EQ(evbuffer_add(buf, bytes, 1000), 0);
    CHECK_EQ(evbuffer_drain(buf, 900), 0); /* free: 24 behind, 900 before */
    CHECK_EQ(evbuffer_reserve_space(buf, 500, vec, 2), 2);
    CHECK_EQ(vec[0].iov_len, 24);
    memcpy(vec[0].iov_base, "abcd", 4);
    for (int i = 0; i < 50; i++)
        ((char *)vec[1].iov_base)[i] = (char)('0' + i);
    vec[0].iov_len = 4;
    vec[1].iov_len = 50;
    CHECK_EQ(evbuffer_commit_space(buf, vec, 2), 0);
    CHECK_EQ(evbuffer_drain(buf, 100), 0);
    CHECK_EQ(evbuffer_remove(buf, bytes, 100), 54);
    CHECK_MEM(bytes, "abcd", 4);
    for (int i = 0; i < 50; i++)
        CHECK_EQ(bytes[4 + i], '0' + i);
    evbuffer_free(buf);
}

TEST(a_reservation_need_not_be_committed_and_can_be_made_again) {
    struct evbuffer *buf = new_buffer();
    struct evbuffer_iovec vec[3];
    int n;

    CHECK_EQ(evbuffer_add(buf, "abc", 3), 0);
    CHECK_EQ(evbuffer_reserve_space(buf, 10, vec, 1), 1);
    n = evbuffer_reserve_space(buf, 100000, vec, 3);
    CHECK(n >= 2);
    for (int i = 0; i < n; i++)
        vec[i].iov_len = 0;
    memcpy(vec[n - 1].iov_base, "z", 1);
    vec[n - 1].iov_len = 1; /* only the last span is used */
    CHECK_EQ(evbuffer_commit_space(buf, vec, n), 0);
    check_is(buf, "abcz");
    CHECK_EQ(evbuffer_commit_space(buf, vec, 0), 0);
    evbuffer_free(buf);
}

TEST(a_commit_after_a_change_is_refused) {
    struct evbuffer *buf = new_buffer();
    struct evbuffer_iovec vec[2], other;
    char c;

    CHECK_EQ(evbuffer_reserve_space(buf, 10, vec, 1), 1);
    CHECK_EQ(evbuffer_add(buf, "x", 1), 0);
    vec[0].iov_len = 5;
    CHECK_EQ(evbuffer_commit_space(buf, vec, 1), -1);
    CHECK_EQ(errno, EINVAL);
    CHECK_EQ(evbuffer_reserve_space(buf, 10, vec, 1), 1);
    other.iov_base = &c;
    other.iov_len = 1;
    CHECK_EQ(evbuffer_commit_space(buf, &other, 1), -1); /* not our room at all */
    vec[0].iov_len++;
    CHECK_EQ(evbuffer_commit_space(buf, vec, 1), -1); /* more than there was */
    vec[0].iov_len = 1;
    *(char *)vec[0].iov_base = 'y';
    CHECK_EQ(evbuffer_commit_space(buf, vec, 1), 0);
    check_is(buf, "xy");
    CHECK_EQ(evbuffer_drain(buf, 2), 0);
    CHECK_EQ(evbuffer_commit_space(buf, vec, 1), -1); /* the ring has gone back */
    evbuffer_free(buf);
}

TEST(failing_memory_leaves_reservations_as_they_were) {
    struct evbuffer *buf = new_buffer();
    struct evbuffer_iovec vec[3], again[3];

    CHECK_EQ(evbuffer_add(buf, "abc", 3), 0);
    CHECK_EQ(evbuffer_reserve_space(buf, 2000, vec, 1), 1);
    pe_mem_fail_nth(1);
    CHECK_EQ(evbuffer_reserve_space(buf, 200000, again, 3), -1);
    CHECK_EQ(errno, ENOMEM);
    pe_mem_fail_nth(0);
    vec[0].iov_len = 3;
    memcpy(vec[0].iov_base, "def", 3);
    CHECK_EQ(evbuffer_commit_space(buf, vec, 1), 0);
    check_is(buf, "abcdef");
    evbuffer_free(buf);
}

/* --- Pins --- */

TEST(a_pinned_buffer_refuses_what_would_move_bytes_and_takes_more) {
    struct evbuffer *buf = new_buffer(), *other = new_buffer();
    struct pe_pin pin;
    char c;

    CHECK_EQ(evbuffer_add(buf, "line\nrest", 9), 0);
    CHECK_EQ(pe_evbuffer_pin(buf, 9, 1, &pin), -EINVAL);
    CHECK_EQ(pe_evbuffer_pin(buf, 2, 100, &pin), 0);
    CHECK_EQ(pin.len, 7);
    CHECK_MEM(pin.data, "ne\nrest", 7);
    errno = 0;
    CHECK_EQ(evbuffer_drain(buf, 1), -1);
    CHECK_EQ(errno, EBUSY);
    CHECK_EQ(evbuffer_remove(buf, &c, 1), -1);
    CHECK_EQ(evbuffer_prepend(buf, "x", 1), -1);
    CHECK(evbuffer_readln(buf, NULL, EVBUFFER_EOL_LF) == NULL);
    CHECK_EQ(evbuffer_add_buffer(other, buf), -1);
    CHECK_EQ(evbuffer_remove_buffer(buf, other, 3), -1);
    CHECK_EQ(evbuffer_prepend_buffer(other, buf), -1);
    CHECK_EQ(evbuffer_write(buf, 1), -1);
    CHECK_EQ(errno, EBUSY);
    CHECK_EQ(evbuffer_add(buf, "+more", 5), 0);
    CHECK_EQ(check_inside(buf), 2); /* in another segment */
    CHECK(evbuffer_pullup(buf, -1) == NULL);
    CHECK_EQ(errno, EBUSY);
    CHECK(evbuffer_pullup(buf, 9) != NULL); /* in one piece already */
    CHECK_EQ(evbuffer_add(other, "!", 1), 0);
    CHECK_EQ(evbuffer_add_buffer(buf, other), 0);
    check_is(buf, "line\nrest+more!");
    CHECK_MEM(pin.data, "ne\nrest", 7);
    pe_evbuffer_unpin(&pin);
    CHECK_EQ(evbuffer_drain(buf, 5), 0);
    check_is(buf, "rest+more!");
    evbuffer_free(buf);
    evbuffer_free(other);
}

TEST(every_pin_must_go_before_bytes_may) {
    struct evbuffer *buf = new_buffer();
    struct pe_pin a, b;

    CHECK_EQ(evbuffer_add(buf, "abc", 3), 0);
    CHECK_EQ(pe_evbuffer_pin(buf, 0, 1, &a), 0);
    CHECK_EQ(pe_evbuffer_pin(buf, 0, 1, &b), 0);
    pe_evbuffer_unpin(&a);
    CHECK_EQ(evbuffer_drain(buf, 1), -1);
    pe_evbuffer_unpin(&b);
    CHECK_EQ(evbuffer_drain(buf, 1), 0);
    CHECK_EQ(evbuffer_add(buf, "d", 1), 0);
    CHECK_EQ(check_inside(buf), 1); /* its ring takes bytes again */
    evbuffer_free(buf);
}

static void count_cleanup(const void *data, size_t n, void *arg) {
    (void)data;
    (void)n;
    ++*(int *)arg;
}

TEST(the_owner_may_take_pinned_bytes_and_the_view_keeps_them) {
    struct evbuffer *buf = new_buffer();
    struct pe_pin ring, lent;
    int cleanups = 0;

    CHECK_EQ(evbuffer_add(buf, "ring", 4), 0);
    CHECK_EQ(evbuffer_add_reference(buf, "lent", 4, count_cleanup, &cleanups), 0);
    CHECK_EQ(pe_evbuffer_pin(buf, 0, 4, &ring), 0);
    CHECK_EQ(pe_evbuffer_pin(buf, 4, 4, &lent), 0);
    pe_evbuffer_take(buf, 6);
    CHECK_EQ(evbuffer_get_length(buf), 2);
    CHECK_EQ(evbuffer_add(buf, "over", 4), 0);
    CHECK_MEM(ring.data, "ring", 4);
    pe_evbuffer_take(buf, 6);
    CHECK(buf->first == NULL);
    CHECK_MEM(ring.data, "ring", 4);
    CHECK_EQ(cleanups, 0);
    pe_evbuffer_unpin(&lent);
    CHECK_EQ(cleanups, 1);
    pe_evbuffer_unpin(&ring);
    evbuffer_free(buf);
}

TEST(failing_memory_pins_nothing) {
    struct evbuffer *buf = new_buffer();
    struct pe_pin pin;

    CHECK_EQ(evbuffer_add(buf, "abc", 3), 0);
    pe_mem_fail_nth(1);
    CHECK_EQ(pe_evbuffer_pin(buf, 0, 3, &pin), -ENOMEM);
    pe_mem_fail_nth(1);
    CHECK_EQ(pe_evbuffer_reserve_pin(buf, 300, &pin), -ENOMEM);
    pe_mem_fail_nth(2);
    CHECK_EQ(pe_evbuffer_reserve_pin(buf, 300, &pin), -ENOMEM);
    pe_mem_fail_nth(0);
    CHECK_EQ(pe_evbuffer_reserve_pin(buf, SIZE_MAX, &pin), -EOVERFLOW);
    CHECK_EQ(evbuffer_drain(buf, 3), 0);
    evbuffer_free(buf);
}

TEST(a_pin_outlives_its_buffer) {
    struct evbuffer *buf = new_buffer();
    struct pe_pin pin, room;

    CHECK_EQ(evbuffer_add(buf, "stays", 5), 0);
    CHECK_EQ(pe_evbuffer_pin(buf, 0, 5, &pin), 0);
    CHECK_EQ(pe_evbuffer_reserve_pin(buf, 10, &room), 0);
    evbuffer_free(buf);
    CHECK_MEM(pin.data, "stays", 5);
    memset(room.data, 'r', room.len);
    CHECK_EQ(pe_evbuffer_commit_pin(&room, 3), -EINVAL);
    pe_evbuffer_unpin(&room);
    pe_evbuffer_unpin(&pin);
    CHECK_EQ(pe_mem_live_total(), 0);
}

TEST(pinned_bytes_move_with_their_segment) {
    struct evbuffer *buf = new_buffer(), *to = new_buffer();
    static char bytes[1000];
    struct pe_pin pin;

    memset(bytes, 'm', sizeof(bytes));
    CHECK_EQ(evbuffer_add(buf, bytes, sizeof(bytes)), 0);
    CHECK_EQ(pe_evbuffer_pin(buf, 0, SIZE_MAX, &pin), 0);
    CHECK_EQ(pe_evbuffer_move(to, buf, SIZE_MAX), 1000);
    CHECK_EQ(evbuffer_prepend(to, "x", 1), 0); /* not into the pinned ring */
    CHECK_EQ(evbuffer_drain(to, SIZE_MAX), 0);
    CHECK_MEM(pin.data, bytes, sizeof(bytes));
    pe_evbuffer_unpin(&pin);
    evbuffer_free(buf);
    evbuffer_free(to);
}

TEST(a_reserved_view_is_committed_behind_what_came_meanwhile) {
    struct evbuffer *buf = new_buffer();
    struct pe_pin room;

    CHECK_EQ(pe_evbuffer_reserve_pin(buf, 3000, &room), 0);
    CHECK(room.len >= 3000);
    memset(room.data, 'r', 3000);
    CHECK_EQ(evbuffer_add(buf, "first", 5), 0);
    CHECK_EQ(pe_evbuffer_commit_pin(&room, room.len + 1), -EINVAL);
    CHECK_EQ(pe_evbuffer_commit_pin(&room, 3), 0);
    check_is(buf, "firstrrr");
    CHECK_EQ(check_inside(buf), 1); /* little is copied behind the last byte */
    CHECK_EQ(pe_evbuffer_reserve_pin(buf, 3000, &room), 0);
    CHECK_EQ(pe_evbuffer_commit_pin(&room, 3000), 0);
    CHECK_EQ(check_inside(buf), 2); /* much is not */
    CHECK_EQ(pe_evbuffer_reserve_pin(buf, 30, &room), 0);
    CHECK_EQ(pe_evbuffer_commit_pin(&room, 0), 0);
    CHECK_EQ(pe_evbuffer_reserve_pin(buf, 30, &room), 0);
    pe_evbuffer_unpin(&room);
    CHECK_EQ(evbuffer_freeze(buf, 0), 0);
    CHECK_EQ(pe_evbuffer_reserve_pin(buf, 30, &room), -EPERM);
    CHECK_EQ(evbuffer_get_length(buf), 3008);
    evbuffer_free(buf);
}
