/* test_files.c - ranges of files in buffers. */
#include "base/mem.h"
#include "base/sock.h"
#include "inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FILE_BYTES ((size_t)300000)

static struct evbuffer *new_buffer(void) {
    struct evbuffer *buf = evbuffer_new();

    CHECK(buf != NULL);
    return buf;
}

static unsigned char byte_at(size_t i) {
    return (unsigned char)(i * 31 % 253);
}

/* A file with a pattern, that no directory knows any more. */
static int new_file(size_t n) {
    char path[] = "/tmp/pyevent-test-XXXXXX";
    unsigned char *bytes = malloc(n + 1);
    int fd = mkstemp(path);

    CHECK(fd >= 0);
    CHECK_EQ(unlink(path), 0);
    for (size_t i = 0; i < n; i++)
        bytes[i] = byte_at(i);
    CHECK_EQ(write(fd, bytes, n), (ssize_t)n);
    free(bytes);
    return fd;
}

static int is_open(int fd) {
    return fcntl(fd, F_GETFD) >= 0;
}

/* The next `n` bytes of `buf` are those of the file from `at` on. */
static void check_pattern(struct evbuffer *buf, size_t at, size_t n) {
    unsigned char *got = malloc(n);

    CHECK_EQ(evbuffer_remove(buf, got, n), (int)n);
    for (size_t i = 0; i < n; i++)
        CHECK_EQ(got[i], byte_at(at + i));
    free(got);
}

/* All of `out`, through a socket. */
static void send_all(struct evbuffer *out, struct evbuffer *in, size_t max) {
    size_t total = in->len + out->len;
    int fds[2];

    CHECK_EQ(pe_socketpair(fds), 0);
    while (in->len < total) {
        ssize_t r = pe_evbuffer_send(out, fds[0], max, true);

        CHECK(r == -EAGAIN || r >= 0);
        (void)check_inside(out);
        (void)pe_evbuffer_recv(in, fds[1], 65536, true);
    }
    CHECK_EQ(out->len, 0);
    close(fds[0]);
    close(fds[1]);
}

TEST(a_file_goes_out_between_other_bytes_and_is_closed_after) {
    static const unsigned ways[] = {0, EVBUF_FS_DISABLE_SENDFILE,
                                    EVBUF_FS_DISABLE_SENDFILE | EVBUF_FS_DISABLE_MMAP};

    for (int w = 0; w < 6; w++) {
        struct evbuffer *out = new_buffer(), *in = new_buffer();
        struct evbuffer_file_segment *file;
        int fd = new_file(FILE_BYTES);
        char head[4];

        file = evbuffer_file_segment_new(fd, 100, -1, ways[w % 3] | EVBUF_FS_CLOSE_ON_FREE);
        CHECK(file != NULL);
        CHECK_EQ(evbuffer_add(out, "head", 4), 0);
        CHECK_EQ(evbuffer_add_file_segment(out, file, 50, -1), 0);
        CHECK_EQ(evbuffer_add_file_segment(out, file, 0, 10), 0); /* twice from one */
        CHECK_EQ(evbuffer_add(out, "tail", 4), 0);
        evbuffer_file_segment_free(file);
        CHECK(is_open(fd));
        CHECK_EQ(evbuffer_get_length(out), 8 + FILE_BYTES - 150 + 10);
        send_all(out, in, w < 3 ? 7000 : SIZE_MAX);
        CHECK(!is_open(fd));
        CHECK_EQ(evbuffer_remove(in, head, 4), 4);
        CHECK_MEM(head, "head", 4);
        check_pattern(in, 150, FILE_BYTES - 150);
        check_pattern(in, 100, 10);
        CHECK_EQ(evbuffer_remove(in, head, 4), 4);
        CHECK_MEM(head, "tail", 4);
        evbuffer_free(out);
        evbuffer_free(in);
    }
}

TEST(a_large_file_without_sendfile_is_read_in_pieces) {
    size_t n = 2500000;
    struct evbuffer *out = new_buffer(), *in = new_buffer();
    struct evbuffer_file_segment *file;
    int fd = new_file(n), fds[2];

    file = evbuffer_file_segment_new(fd, 0, -1, EVBUF_FS_DISABLE_SENDFILE);
    CHECK_EQ(evbuffer_add_file_segment(out, file, 0, -1), 0);
    evbuffer_file_segment_free(file);
    CHECK_EQ(pe_socketpair(fds), 0);
    CHECK(pe_evbuffer_send(out, fds[0], SIZE_MAX, true) > 0);
    CHECK_EQ(out->first->mask + 1, 1 << 20); /* no more than this at once */
    CHECK(out->last->data == NULL);
    while (pe_evbuffer_recv(in, fds[1], 65536, true) > 0)
        continue;
    close(fds[0]);
    close(fds[1]);
    send_all(out, in, SIZE_MAX);
    check_pattern(in, 0, n);
    close(fd);
    evbuffer_free(out);
    evbuffer_free(in);
}

TEST(the_bytes_of_a_file_can_be_had_in_place) {
    for (int large = 0; large < 2; large++) { /* read, and mapped */
        size_t n = large ? FILE_BYTES : 3000;
        struct evbuffer *buf = new_buffer();
        struct evbuffer_iovec vec[3];
        int fd = new_file(n);
        size_t len;

        CHECK_EQ(evbuffer_add(buf, "\n", 1), 0);
        CHECK_EQ(evbuffer_add_file(buf, fd, 0, -1), 0);
        CHECK_EQ(evbuffer_peek(buf, -1, NULL, vec, 3), 2);
        CHECK_EQ(((unsigned char *)vec[1].iov_base)[n - 1], byte_at(n - 1));
        free(evbuffer_readln(buf, &len, EVBUFFER_EOL_LF));
        CHECK_EQ(len, 0);
        check_pattern(buf, 0, 1000);
        CHECK(evbuffer_pullup(buf, -1) != NULL);
        check_pattern(buf, 1000, n - 1000);
        CHECK(!is_open(fd));
        evbuffer_free(buf);
    }
}

TEST(a_part_of_a_file_moves_without_being_read) {
    struct evbuffer *from = new_buffer(), *to = new_buffer(), *in = new_buffer();
    int fd = new_file(FILE_BYTES);

    CHECK_EQ(evbuffer_add_file(from, fd, 0, -1), 0);
    CHECK_EQ(evbuffer_remove_buffer(from, to, 100), 100);
    CHECK(to->first->data == NULL);
    CHECK_EQ(evbuffer_add_buffer(in, to), 0);
    check_pattern(in, 0, 100);
    CHECK_EQ(evbuffer_drain(from, FILE_BYTES), 0);
    CHECK(!is_open(fd));
    evbuffer_free(from);
    evbuffer_free(to);
    evbuffer_free(in);
}

TEST(a_file_that_is_refused_is_closed_and_a_bad_range_is_not) {
    struct evbuffer *buf = new_buffer();
    int fd = new_file(100);

    CHECK_EQ(evbuffer_add_file(buf, fd, 50, 51), -1);
    CHECK_EQ(errno, EINVAL);
    CHECK_EQ(evbuffer_add_file(buf, fd, -1, 5), -1);
    CHECK_EQ(evbuffer_add_file(buf, fd, 101, -1), -1);
    CHECK(is_open(fd));
    CHECK_EQ(evbuffer_freeze(buf, 0), 0);
    CHECK_EQ(evbuffer_add_file(buf, fd, 0, -1), -1);
    CHECK_EQ(errno, EPERM);
    CHECK(!is_open(fd));
    CHECK_EQ(evbuffer_add_file(buf, fd, 0, -1), -1);
    CHECK_EQ(errno, EBADF);
    CHECK_EQ(evbuffer_unfreeze(buf, 0), 0);
    fd = new_file(100);
    CHECK_EQ(evbuffer_add_file(buf, fd, 100, -1), 0); /* nothing: not kept open */
    CHECK(!is_open(fd));
    evbuffer_free(buf);
}

static int cleanups, cleanup_flags;

static void count_cleanup(struct evbuffer_file_segment const *seg, int flags, void *arg) {
    CHECK(seg != NULL && arg == &cleanups);
    cleanups++;
    cleanup_flags = flags;
}

TEST(the_last_reference_to_a_file_segment_runs_its_cleanup) {
    struct evbuffer *buf = new_buffer();
    struct evbuffer_file_segment *file;
    int fd = new_file(100);

    file = evbuffer_file_segment_new(fd, 0, -1, EVBUF_FS_DISABLE_LOCKING);
    evbuffer_file_segment_add_cleanup_cb(file, count_cleanup, &cleanups);
    CHECK_EQ(evbuffer_add_file_segment(buf, file, 0, 60), 0);
    evbuffer_file_segment_free(file);
    CHECK_EQ(cleanups, 0);
    CHECK_EQ(evbuffer_drain(buf, 60), 0);
    CHECK_EQ(cleanups, 1);
    CHECK_EQ(cleanup_flags, EVBUF_FS_DISABLE_LOCKING);
    CHECK(is_open(fd)); /* it was not ours to close */

    file = evbuffer_file_segment_new(fd, 0, -1, 0);
    evbuffer_file_segment_add_cleanup_cb(file, count_cleanup, &cleanups);
    CHECK_EQ(evbuffer_add_file_segment(buf, file, 50, 51), -1); /* takes the reference */
    CHECK_EQ(cleanups, 2);
    evbuffer_file_segment_free(NULL);
    close(fd);
    evbuffer_free(buf);
}

TEST(a_file_that_became_shorter_is_an_error) {
    for (int mapped = 0; mapped < 2; mapped++) {
        size_t n = mapped ? FILE_BYTES : 1000;
        struct evbuffer *buf = new_buffer();
        int fd = new_file(n), fds[2];
        char c;

        CHECK_EQ(evbuffer_add(buf, "x", 1), 0);
        CHECK_EQ(evbuffer_add_file(buf, fd, 0, -1), 0);
        CHECK_EQ(ftruncate(fd, 0), 0);
        CHECK_EQ(evbuffer_remove(buf, &c, 1), -1);
        CHECK_EQ(errno, EIO);
        CHECK(evbuffer_pullup(buf, -1) == NULL);
        CHECK_EQ(errno, EIO);
        CHECK_EQ(evbuffer_get_length(buf), n + 1);
        CHECK_EQ(pe_socketpair(fds), 0);
        CHECK_EQ(pe_evbuffer_send(buf, fds[0], SIZE_MAX, true), 1);
        CHECK_EQ(pe_evbuffer_send(buf, fds[0], SIZE_MAX, true), -EIO);
        close(fds[0]);
        close(fds[1]);
        evbuffer_free(buf);
        CHECK(!is_open(fd));
    }
}

TEST(what_is_no_regular_file_is_read_at_once) {
    struct evbuffer *buf = new_buffer();
    struct evbuffer_file_segment *file;
    char got[5];
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(write(fds[1], "piped", 5), 5);
    CHECK(evbuffer_file_segment_new(fds[0], 0, -1, 0) == NULL); /* it has no end */
    CHECK_EQ(errno, EINVAL);
    file = evbuffer_file_segment_new(fds[0], 0, 5, 0);
    CHECK(file != NULL);
    CHECK_EQ(evbuffer_add_file_segment(buf, file, 0, -1), 0);
    evbuffer_file_segment_free(file);
    CHECK_EQ(evbuffer_remove(buf, got, 5), 5);
    CHECK_MEM(got, "piped", 5);
    close(fds[0]);
    close(fds[1]);
    evbuffer_free(buf);
}

TEST(sending_a_file_to_a_peer_that_is_gone_is_no_signal) {
    struct evbuffer *buf = new_buffer();
    int fds[2];

    CHECK_EQ(pe_socketpair(fds), 0);
    close(fds[1]);
    CHECK_EQ(evbuffer_add_file(buf, new_file(1000), 0, -1), 0);
    CHECK_EQ(pe_evbuffer_send(buf, fds[0], SIZE_MAX, true), -EPIPE);
    CHECK_EQ(evbuffer_get_length(buf), 1000);
    close(fds[0]);
    evbuffer_free(buf);
}

TEST(failing_memory_leaves_files_where_they_are) {
    for (long nth = 1; nth < 10; nth++) {
        struct evbuffer *buf = new_buffer();
        int fd = new_file(3000), added;

        pe_mem_fail_nth(nth);
        added = evbuffer_add_file(buf, fd, 0, -1);
        if (added == 0) {
            unsigned char c = 0;
            int got = evbuffer_remove(buf, &c, 1);

            CHECK(got == 1 || pe_mem_has_failed());
            CHECK_EQ(evbuffer_get_length(buf), got == 1 ? 2999 : 3000);
        }
        pe_mem_fail_nth(0);
        evbuffer_free(buf);
        if (is_open(fd)) /* it never became a segment */
            close(fd);
    }
}
