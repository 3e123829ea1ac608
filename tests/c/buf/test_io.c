/* test_io.c - buffers and descriptors. */
#include "base/mem.h"
#include "base/sock.h"
#include "buf/pool.h"
#include "inside.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct evbuffer *new_buffer(void) {
    struct evbuffer *buf = evbuffer_new();

    CHECK(buf != NULL);
    return buf;
}

/* A pair with room for `bytes` on the way. */
static void new_pair(int fds[2], int bytes) {
    CHECK_EQ(pe_socketpair(fds), 0);
    CHECK_EQ(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
}

static void close_pair(const int fds[2]) {
    close(fds[0]);
    close(fds[1]);
}

/* Send `n` bytes of a pattern that goes on where it stopped. */
static size_t sent, received;

static void feed(int fd, size_t n) {
    unsigned char *bytes = malloc(n);

    for (size_t i = 0; i < n; i++)
        bytes[i] = (unsigned char)((sent + i) % 251);
    CHECK_EQ(send(fd, bytes, n, 0), (ssize_t)n);
    sent += n;
    free(bytes);
}

static void check_pattern(struct evbuffer *buf) {
    size_t n = buf->len;
    unsigned char *bytes = malloc(n + 1);

    (void)check_inside(buf);
    CHECK_EQ(evbuffer_remove(buf, bytes, n), (int)n);
    for (size_t i = 0; i < n; i++)
        CHECK_EQ(bytes[i], (received + i) % 251);
    received += n;
    free(bytes);
}

TEST(reads_grow_while_they_fill_the_room_and_shrink_after) {
    struct pe_pool *pool = pe_pool_new();
    static const ssize_t growing[] = {4096, 16384, 65536, 262144, 262144};
    struct evbuffer buf;
    int fds[2];

    pe_evbuffer_init(&buf, pool, NULL);
    new_pair(fds, 4 << 20);
    feed(fds[0], 700000);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(pe_evbuffer_recv(&buf, fds[1], 1 << 20, true), growing[i]);
        check_pattern(&buf);
    }
    while (pe_evbuffer_recv(&buf, fds[1], 1 << 20, true) > 0)
        check_pattern(&buf);
    feed(fds[0], 10);
    CHECK_EQ(pe_evbuffer_recv(&buf, fds[1], 1 << 20, true), 10);
    feed(fds[0], 100000);
    CHECK_EQ(pe_evbuffer_recv(&buf, fds[1], 1 << 20, true), 100000); /* one says nothing */
    check_pattern(&buf);
    for (int i = 0; i < 12; i++) { /* four for each size, and there are three */
        feed(fds[0], 10);
        CHECK_EQ(pe_evbuffer_recv(&buf, fds[1], 1 << 20, true), 10);
        check_pattern(&buf);
    }
    feed(fds[0], 8000);
    CHECK_EQ(pe_evbuffer_recv(&buf, fds[1], 1 << 20, true), 4096); /* small again */
    pe_evbuffer_fini(&buf);
    pe_pool_close(pool);
    close_pair(fds);
}

TEST(a_read_never_takes_more_than_it_may) {
    static const size_t limits[] = {1, 5, 100, 1024, 4095, 4096, 4097, 10000, 16384, 70000};
    struct evbuffer *buf = new_buffer();
    int fds[2];

    new_pair(fds, 4 << 20);
    feed(fds[0], 400000);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
            ssize_t r = pe_evbuffer_recv(buf, fds[1], limits[i], i % 2 == 0);

            CHECK(r > 0);
            CHECK((size_t)r <= limits[i]);
            (void)check_inside(buf);
            if (round == 1)
                check_pattern(buf);
        }
    }
    check_pattern(buf);
    CHECK_EQ(pe_evbuffer_recv(buf, fds[1], 0, true), -EINVAL);
    evbuffer_free(buf);
    close_pair(fds);
}

TEST(a_read_fills_what_is_left_of_the_ring_and_goes_on) {
    struct evbuffer *buf = new_buffer();
    int fds[2];

    new_pair(fds, 1 << 20);
    for (int i = 0; i < 100; i++) {
        feed(fds[0], 3000);
        while (pe_evbuffer_recv(buf, fds[1], 3500, true) > 0)
            continue;
        if (i % 7 == 0)
            check_pattern(buf);
    }
    check_pattern(buf);
    evbuffer_free(buf);
    close_pair(fds);
}

TEST(reading_nothing_leaves_nothing_behind) {
    struct pe_pool *pool = pe_pool_new();
    struct pe_pool_stats stats;
    struct evbuffer buf;
    int fds[2];

    pe_evbuffer_init(&buf, pool, NULL);
    new_pair(fds, 65536);
    CHECK_EQ(pe_evbuffer_recv(&buf, fds[1], 4096, true), -EAGAIN);
    CHECK(buf.first == NULL);
    shutdown(fds[0], SHUT_WR);
    CHECK_EQ(pe_evbuffer_recv(&buf, fds[1], 4096, true), 0);
    CHECK_EQ(pe_evbuffer_recv(&buf, -1, 4096, true), -EBADF);
    CHECK(buf.first == NULL);
    pe_pool_stats(pool, &stats);
    CHECK_EQ(stats.segs_out, 0);
    pe_evbuffer_fini(&buf);
    pe_pool_close(pool);
    close_pair(fds);
}

TEST(an_echo_by_recv_and_send_allocates_nothing) {
    struct pe_pool *pool = pe_pool_new();
    unsigned long total = 0;
    struct evbuffer in, out;
    char line[100] = "ping", got[100];
    int fds[2];

    pe_evbuffer_init(&in, pool, NULL);
    pe_evbuffer_init(&out, pool, NULL);
    new_pair(fds, 65536);
    for (int i = 0; i < 200; i++) {
        if (i == 1)
            total = pe_mem_total();
        CHECK_EQ(send(fds[0], line, 100, 0), 100);
        CHECK_EQ(pe_evbuffer_recv(&in, fds[1], 16384, true), 100);
        CHECK_EQ(evbuffer_add_buffer(&out, &in), 0);
        CHECK_EQ(pe_evbuffer_send(&out, fds[1], SIZE_MAX, true), 100);
        CHECK_EQ(recv(fds[0], got, 100, 0), 100);
        CHECK_MEM(got, line, 100);
        CHECK(in.first == NULL && out.first == NULL);
    }
    CHECK_EQ(pe_mem_total(), total);
    pe_evbuffer_fini(&in);
    pe_evbuffer_fini(&out);
    pe_pool_close(pool);
    close_pair(fds);
}

TEST(failing_memory_fails_a_read_without_loss) {
    struct evbuffer *buf = new_buffer();
    int fds[2];

    new_pair(fds, 65536);
    feed(fds[0], 100);
    pe_mem_fail_nth(1);
    CHECK_EQ(pe_evbuffer_recv(buf, fds[1], 4096, true), -ENOMEM);
    pe_mem_fail_nth(0);
    CHECK_EQ(pe_evbuffer_recv(buf, fds[1], 4096, true), 100);
    check_pattern(buf);
    evbuffer_free(buf);
    close_pair(fds);
}

/* --- Writing --- */

TEST(many_spans_go_out_in_order_and_only_what_was_written_is_drained) {
    struct evbuffer *out = new_buffer(), *in = new_buffer();
    unsigned char *bytes = malloc(500000);
    size_t total = 0;
    int fds[2];

    for (size_t i = 0; i < 500000; i++)
        bytes[i] = (unsigned char)(i % 251);
    for (size_t n = 1; total + n <= 500000; n = n * 7 % 3001 + 1) {
        if (n % 3 == 0)
            CHECK_EQ(evbuffer_add_reference(out, bytes + total, n, NULL, NULL), 0);
        else
            CHECK_EQ(evbuffer_add(out, bytes + total, n), 0);
        total += n;
    }
    new_pair(fds, 30000);
    while (out->len > 0 || in->len < total) {
        size_t before = out->len;
        ssize_t r = pe_evbuffer_send(out, fds[0], 20000, true);

        CHECK(r == -EAGAIN || r >= 0);
        CHECK_EQ(out->len, before - (size_t)(r > 0 ? r : 0));
        CHECK(r <= 20000);
        (void)pe_evbuffer_recv(in, fds[1], 65536, true);
    }
    check_pattern(in);
    CHECK_EQ(pe_evbuffer_send(out, fds[0], 100, true), 0); /* nothing to write */
    evbuffer_free(in);
    evbuffer_free(out);
    free(bytes);
    close_pair(fds);
}

static int blocks_back;

static void block_returned(const void *data, size_t n, void *arg) {
    (void)data;
    CHECK_EQ(n, (size_t)1 << 20);
    CHECK_EQ(*(int *)arg, blocks_back);
    blocks_back++;
}

/* 1 GiB lent to a slow peer: its memory is what the segments' heads take. */
TEST(references_go_to_a_slow_peer_without_a_copy) {
    unsigned char *block = calloc(1, (size_t)1 << 20);
    static int order[1024];
    struct pe_pool *pool = pe_pool_new();
    struct pe_pool_stats stats;
    struct evbuffer_iovec vec;
    struct evbuffer out;
    int fds[2];

    pe_evbuffer_init(&out, pool, NULL);
    for (int i = 0; i < 1024; i++) {
        order[i] = i;
        CHECK_EQ(evbuffer_add_reference(&out, block, (size_t)1 << 20, block_returned, &order[i]),
                 0);
    }
    CHECK_EQ(out.len, (size_t)1 << 30);
    pe_pool_stats(pool, &stats);
    CHECK(stats.mapped_bytes <= (size_t)512 * 1024);
    new_pair(fds, 1 << 20);
    for (size_t gone = 0; gone < (size_t)16 << 20; gone = ((size_t)1 << 30) - out.len) {
        static char in[1 << 20];

        CHECK_EQ(blocks_back, gone >> 20);
        CHECK_EQ(evbuffer_peek(&out, 1, NULL, &vec, 1), 1);
        CHECK(vec.iov_base == block + (gone & ((1 << 20) - 1))); /* where it was */
        (void)pe_evbuffer_send(&out, fds[0], 300000, true);
        (void)recv(fds[1], in, 200000, 0);
    }
    pe_pool_stats(pool, &stats);
    CHECK(stats.mapped_bytes <= (size_t)512 * 1024);
    pe_evbuffer_fini(&out);
    CHECK_EQ(blocks_back, 1024);
    pe_pool_close(pool);
    free(block);
    close_pair(fds);
}

TEST(writing_to_a_peer_that_is_gone_is_an_error_and_no_signal) {
    struct evbuffer *buf = new_buffer();
    int fds[2];

    new_pair(fds, 65536);
    close(fds[1]);
    CHECK_EQ(evbuffer_add(buf, "one", 3), 0);
    CHECK_EQ(pe_evbuffer_send(buf, fds[0], SIZE_MAX, true), -EPIPE);
    CHECK_EQ(evbuffer_add_reference(buf, "two", 3, NULL, NULL), 0);
    CHECK_EQ(pe_evbuffer_send(buf, fds[0], SIZE_MAX, true), -EPIPE);
    CHECK_EQ(evbuffer_write(buf, fds[0]), -1);
    CHECK_EQ(errno, EPIPE);
    CHECK_EQ(buf->len, 6);
    evbuffer_free(buf);
    close(fds[0]);
}

TEST(a_pipe_is_told_from_a_socket) {
    struct evbuffer *buf = new_buffer();
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(evbuffer_add(buf, "through a pipe", 14), 0);
    CHECK_EQ(pe_evbuffer_send(buf, fds[1], SIZE_MAX, true), -ENOTSOCK);
    CHECK_EQ(pe_evbuffer_send(buf, fds[1], 7, false), 7);
    CHECK_EQ(evbuffer_write(buf, fds[1]), 7); /* finds out by itself */
    CHECK_EQ(pe_evbuffer_recv(buf, fds[0], 100, true), -ENOTSOCK);
    CHECK_EQ(pe_evbuffer_recv(buf, fds[0], 100, false), 14);
    CHECK_EQ(buf->len, 14);
    evbuffer_free(buf);
    close_pair(fds);
}

TEST(pinned_output_is_written_and_stays_for_the_view) {
    struct evbuffer *buf = new_buffer();
    struct pe_pin pin;
    char got[20];
    int fds[2];

    new_pair(fds, 65536);
    CHECK_EQ(evbuffer_add(buf, "pinned", 6), 0);
    CHECK_EQ(pe_evbuffer_pin(buf, 0, 6, &pin), 0);
    CHECK_EQ(pe_evbuffer_send(buf, fds[0], SIZE_MAX, true), 6);
    CHECK_EQ(buf->len, 0);
    CHECK_EQ(recv(fds[1], got, sizeof(got), 0), 6);
    CHECK_EQ(evbuffer_add(buf, "other!", 6), 0);
    CHECK_MEM(pin.data, "pinned", 6);
    pe_evbuffer_unpin(&pin);
    evbuffer_free(buf);
    close_pair(fds);
}

/* --- The public calls --- */

TEST(reading_is_bounded_by_max_read_and_by_the_caller) {
    struct evbuffer *buf = new_buffer();
    int fds[2];

    new_pair(fds, 1 << 20);
    feed(fds[0], 60000);
    CHECK_EQ(evbuffer_read(buf, fds[1], -1), 4096);
    CHECK_EQ(evbuffer_read(buf, fds[1], 100000), 4096);
    CHECK_EQ(evbuffer_read(buf, fds[1], 10), 10);
    CHECK_EQ(evbuffer_read(buf, fds[1], 0), 0);
    CHECK_EQ(evbuffer_set_max_read(buf, 30000), 0);
    CHECK_EQ(evbuffer_read(buf, fds[1], -1), 30000);
    CHECK_EQ(evbuffer_freeze(buf, 0), 0);
    CHECK_EQ(evbuffer_read(buf, fds[1], -1), -1);
    CHECK_EQ(errno, EPERM);
    CHECK_EQ(evbuffer_unfreeze(buf, 0), 0);
    check_pattern(buf);
    while (evbuffer_read(buf, fds[1], -1) > 0)
        continue;
    CHECK_EQ(errno, EAGAIN);
    check_pattern(buf);
    shutdown(fds[0], SHUT_WR);
    CHECK_EQ(evbuffer_read(buf, fds[1], -1), 0);
    evbuffer_free(buf);
    close_pair(fds);
}

TEST(a_frozen_start_keeps_its_bytes_from_the_user_and_not_from_the_owner) {
    struct evbuffer *buf = new_buffer();
    int fds[2];

    new_pair(fds, 65536);
    CHECK_EQ(evbuffer_add(buf, "frozen", 6), 0);
    CHECK_EQ(evbuffer_freeze(buf, 1), 0);
    CHECK_EQ(evbuffer_freeze(buf, 0), 0);
    CHECK_EQ(evbuffer_write(buf, fds[0]), -1);
    CHECK_EQ(errno, EPERM);
    CHECK_EQ(pe_evbuffer_send(buf, fds[0], 3, true), 3);
    CHECK_EQ(send(fds[1], "in", 2, 0), 2);
    CHECK_EQ(pe_evbuffer_recv(buf, fds[0], 100, true), 2);
    CHECK_EQ(pe_evbuffer_put(buf, "!", 1), 0);
    pe_evbuffer_take(buf, 2);
    CHECK_EQ(buf->len, 4);
    CHECK_EQ(evbuffer_unfreeze(buf, 1), 0);
    CHECK_EQ(evbuffer_drain(buf, 4), 0);
    evbuffer_free(buf);
    close_pair(fds);
}
