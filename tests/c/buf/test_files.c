/* test_files.c - ranges of files in buffers. */
#include "base/mem.h"
#include "base/sigpipe.h"
#include "base/sock.h"
#include "buf/file.h"
#include "inside.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define FILE_BYTES ((size_t)300000)

static struct evbuffer *new_buffer(void) {
    struct evbuffer *buf = evbuffer_new();

    CHECK(buf != NULL);
    return buf;
}

static unsigned char byte_at(size_t i) {
    unsigned char c = (unsigned char)(i * 31 % 253);

    return c != '\n' ? c : 253; /* one line */
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
    CHECK(pe_evbuffer_send(out, fds[0], 1000, true) > 0);
    CHECK_EQ(pe_seg_used(out->first), PE_FILE_PIECE - 1000); /* no more than this at once */
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
    for (int large = 0; large < 2; large++) {
        size_t n = large ? FILE_BYTES : 3000, pieces = (n + PE_FILE_PIECE - 1) / PE_FILE_PIECE;
        struct evbuffer *buf = new_buffer();
        struct evbuffer_iovec vec[10];
        int fd = new_file(n);
        size_t len;

        CHECK_EQ(evbuffer_add(buf, "\n", 1), 0);
        CHECK_EQ(evbuffer_add_file(buf, fd, 0, -1), 0);
        CHECK_EQ(evbuffer_peek(buf, -1, NULL, NULL, 0), 1 + pieces); /* reads nothing */
        CHECK(buf->last->data == NULL);
        CHECK_EQ(evbuffer_peek(buf, -1, NULL, vec, 10), 1 + pieces);
        CHECK_EQ(((unsigned char *)vec[pieces].iov_base)[vec[pieces].iov_len - 1],
                 byte_at(n - 1));
        CHECK(buf->last->data != NULL);
        (void)check_inside(buf);
        free(evbuffer_readln(buf, &len, EVBUFFER_EOL_LF));
        CHECK_EQ(len, 0);
        check_pattern(buf, 0, 1000);
        CHECK(evbuffer_pullup(buf, -1) != NULL);
        check_pattern(buf, 1000, n - 1000);
        CHECK(!is_open(fd));
        evbuffer_free(buf);
    }
}

TEST(a_file_is_pulled_up_as_far_as_asked_and_stays_on_disk_behind_that) {
    struct evbuffer *buf = new_buffer();
    int fd = new_file(FILE_BYTES);
    unsigned char *bytes;

    CHECK_EQ(evbuffer_add(buf, "head", 4), 0);
    CHECK_EQ(evbuffer_add_file(buf, fd, 0, -1), 0);
    bytes = evbuffer_pullup(buf, 100004);
    CHECK(bytes != NULL);
    CHECK_EQ(bytes[100003], byte_at(99999));
    CHECK_EQ(check_inside(buf), 2);
    CHECK(buf->last->data == NULL);
    CHECK_EQ(evbuffer_drain(buf, 4), 0);
    check_pattern(buf, 0, FILE_BYTES);
    CHECK(!is_open(fd));
    evbuffer_free(buf);
}

/* --- Looking through files --- */

/* Over `alphabet`, so that what is looked for is often almost there. */
static void fill_with(int fd, const char *alphabet, size_t n, unsigned char *flat) {
    static uint32_t state = 1;
    size_t letters = strlen(alphabet);

    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        flat[i] = (unsigned char)alphabet[(state >> 16) % letters];
    }
    CHECK_EQ(write(fd, flat, n), (ssize_t)n);
}

static long flat_find(const unsigned char *flat, size_t n, const char *what, size_t len) {
    const unsigned char *hit = memmem(flat, n, what, len);

    return hit != NULL ? (long)(hit - flat) : -1;
}

TEST(what_straddles_pieces_and_files_is_found) {
    /* Positions around the ends of pieces, of windows, and of the two files. */
    static const size_t places[] = {0,      1,      65533,  65534,  65535, 65536,
                                    131070, 131072, 149996, 149999, 150000, 150003};
    static const char what[] = "\r\n-needle-\r\n";
    static unsigned char flat[300004];

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct evbuffer *buf = new_buffer();
        struct evbuffer_ptr got, from;
        size_t at = places[i], len = sizeof(what) - 1, eol_len;
        int fds[2] = {new_file(0), new_file(0)};

        fill_with(fds[0], "ne-\r", 150000, flat);
        CHECK_EQ(write(fds[1], "1234", 4), 4);
        fill_with(fds[1], "ne-\r", 150000, flat + 150000);
        for (int f = 0; f < 2; f++) {
            long begin = (long)at - f * 150000;

            for (size_t k = 0; k < len; k++) {
                if (begin + (long)k >= 0 && begin + (long)k < 150000)
                    CHECK_EQ(pwrite(fds[f], what + k, 1, begin + (long)k + 4 * f), 1);
            }
            CHECK_EQ(evbuffer_add_file(buf, fds[f], 4 * f, 150000), 0);
        }
        memcpy(flat + at, what, len);
        got = evbuffer_search(buf, what, len, NULL);
        CHECK_EQ(got.pos, flat_find(flat, 300000, what, len));
        CHECK_EQ(got.pos, (long)at);
        got = evbuffer_search_eol(buf, NULL, &eol_len, EVBUFFER_EOL_CRLF_STRICT);
        CHECK_EQ(got.pos, (long)at);
        CHECK_EQ(eol_len, 2);
        CHECK_EQ(evbuffer_ptr_set(buf, &from, at + 1, EVBUFFER_PTR_SET), 0);
        got = evbuffer_search_eol(buf, &from, &eol_len, EVBUFFER_EOL_CRLF);
        CHECK_EQ(got.pos, (long)at + 1); /* its CR is before the start */
        CHECK_EQ(eol_len, 1);
        from.pos = -1;
        CHECK(evbuffer_search(buf, "nothing", 7, NULL).pos == -1);
        CHECK_EQ(check_inside(buf), 2); /* nothing has come into memory */
        CHECK(buf->first->data == NULL && buf->last->data == NULL);
        evbuffer_free(buf);
    }
}

TEST(what_is_longer_than_a_window_is_found) {
    size_t n = 3 * PE_FILE_PIECE, len = PE_FILE_PIECE + 5000, at = 60000;
    struct evbuffer *buf = new_buffer();
    unsigned char *flat = malloc(n);
    int fd = new_file(0);

    fill_with(fd, "ab", n, flat);
    CHECK_EQ(evbuffer_add_file(buf, fd, 0, -1), 0);
    CHECK_EQ(evbuffer_search(buf, (char *)flat + at, len, NULL).pos, (long)at);
    flat[at + len - 1] ^= 1;
    CHECK_EQ(evbuffer_search(buf, (char *)flat + at, len, NULL).pos, -1);
    free(flat);
    evbuffer_free(buf);
}

TEST(a_search_through_a_large_file_takes_little_memory) {
    struct evbuffer *buf = new_buffer();
    long alive = pe_mem_live_total();
    unsigned long total;
    int fd = new_file(0);
    size_t len = 99;

    CHECK_EQ(ftruncate(fd, 256 << 20), 0);
    CHECK_EQ(evbuffer_add_file(buf, fd, 0, -1), 0);
    alive = pe_mem_live_total() - alive;
    total = pe_mem_total();
    CHECK_EQ(evbuffer_search(buf, "x", 1, NULL).pos, -1);
    CHECK(pe_mem_total() - total <= 2); /* its windows */
    CHECK_EQ(evbuffer_search_eol(buf, NULL, &len, EVBUFFER_EOL_LF).pos, -1);
    CHECK_EQ(len, 0);
    CHECK(pe_mem_total() - total <= 4);
    /* A line comes out of memory, so where one may begin a piece is read. */
    CHECK(evbuffer_readln(buf, &len, EVBUFFER_EOL_LF) == NULL);
    CHECK(pe_mem_total() - total <= 8);
    CHECK_EQ(check_inside(buf), 2);
    CHECK_EQ(pe_seg_used(buf->first), PE_FILE_PIECE);
    evbuffer_free(buf);
}

TEST(lines_of_a_file_come_into_memory_piece_by_piece) {
    size_t n = 200000, len, seen = 0;
    struct evbuffer *buf = new_buffer();
    unsigned char *flat = malloc(n);
    int fd = new_file(0), most = 0;
    char *line;

    fill_with(fd, "abcdefghijklmnopqrstuvwxyz0123456789\n", n, flat);
    CHECK_EQ(evbuffer_add_file(buf, fd, 0, -1), 0);
    while ((line = evbuffer_readln(buf, &len, EVBUFFER_EOL_LF)) != NULL) {
        int segs = check_inside(buf);

        most = segs > most ? segs : most;
        CHECK_EQ(flat[seen + len], '\n');
        CHECK_MEM(line, flat + seen, len);
        free(line);
        seen += len + 1;
    }
    CHECK_EQ(most, 2);
    CHECK(n - seen < 1000);
    CHECK_EQ(buf->len, n - seen);
    free(flat);
    evbuffer_free(buf);
}

TEST(walking_over_the_lines_of_a_file_reads_as_far_as_it_goes) {
    struct evbuffer *buf = new_buffer();
    unsigned char *flat = malloc(FILE_BYTES);
    struct pe_lines it;
    int fd = new_file(0), lines = 0;
    size_t at = 0;

    fill_with(fd, "abcdefgh\n", FILE_BYTES, flat);
    CHECK_EQ(evbuffer_add(buf, "first ", 6), 0);
    CHECK_EQ(evbuffer_add_file(buf, fd, 0, -1), 0);
    pe_lines_init(&it, buf, EVBUFFER_EOL_LF);
    CHECK(pe_lines_next(&it));
    CHECK(buf->last->data == NULL);
    for (at = it.pos - 6; pe_lines_next(&it); lines++) {
        unsigned char line[1000];

        CHECK(it.len < sizeof(line));
        CHECK_EQ(pe_evbuffer_copy_at(buf, it.start, line, it.len), (ssize_t)it.len);
        CHECK_MEM(line, flat + at, it.len);
        CHECK(it.data == NULL || memcmp(it.data, line, it.len) == 0);
        at += it.len + 1;
    }
    CHECK_EQ(it.err, 0);
    CHECK(lines > 1000);
    CHECK_EQ(at, it.pos - 6);
    (void)check_inside(buf);
    free(flat);
    evbuffer_free(buf);
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
    for (int large = 0; large < 2; large++) {
        size_t n = large ? FILE_BYTES : 1000, eol_len;
        struct evbuffer *buf = new_buffer();
        int fd = new_file(n), fds[2];
        struct evbuffer_iovec vec[2];
        struct evbuffer_ptr end;
        struct pe_lines it;
        struct pe_pin pin;
        char got[2];

        CHECK_EQ(evbuffer_add(buf, "x", 1), 0);
        CHECK_EQ(evbuffer_add_file(buf, fd, 0, -1), 0);
        CHECK_EQ(ftruncate(fd, 0), 0);
        CHECK_EQ(evbuffer_copyout(buf, got, 1), 1); /* that is no file's */
        errno = 0;
        CHECK_EQ(evbuffer_remove(buf, got, 2), -1);
        CHECK_EQ(errno, EIO);
        errno = 0;
        CHECK_EQ(evbuffer_copyout(buf, got, 2), -1);
        CHECK_EQ(errno, EIO);
        CHECK_EQ(pe_evbuffer_copy_at(buf, 1, got, 1), -EIO);
        errno = 0;
        CHECK(evbuffer_pullup(buf, -1) == NULL);
        CHECK_EQ(errno, EIO);
        errno = 0;
        CHECK_EQ(evbuffer_search(buf, "nowhere", 7, NULL).pos, -1);
        CHECK_EQ(errno, EIO);
        errno = 0;
        CHECK(evbuffer_readln(buf, NULL, EVBUFFER_EOL_NUL) == NULL);
        CHECK_EQ(errno, EIO);
        errno = 0;
        CHECK_EQ(evbuffer_search_eol(buf, NULL, &eol_len, EVBUFFER_EOL_ANY).pos, -1);
        CHECK_EQ(errno, EIO);
        CHECK_EQ(pe_evbuffer_find_line(buf, EVBUFFER_EOL_CRLF, &eol_len), -EIO);
        CHECK_EQ(pe_evbuffer_eol_at(buf, 1, EVBUFFER_EOL_CRLF, &eol_len), -EIO);
        CHECK_EQ(pe_evbuffer_search_at(buf, "y", 1, 0, SIZE_MAX), -EIO);
        pe_lines_init(&it, buf, EVBUFFER_EOL_LF);
        CHECK(!pe_lines_next(&it));
        CHECK_EQ(it.err, -EIO);
        CHECK_EQ(pe_evbuffer_pin(buf, 1, 1, &pin), -EIO);
        CHECK_EQ(evbuffer_ptr_set(buf, &end, 1, EVBUFFER_PTR_SET), 0);
        errno = 0;
        CHECK_EQ(evbuffer_peek(buf, 1, &end, vec, 2), -1);
        CHECK_EQ(errno, EIO);
        CHECK_EQ(evbuffer_get_length(buf), n + 1);
        CHECK_EQ(pe_socketpair(fds), 0);
        CHECK_EQ(pe_evbuffer_send(buf, fds[0], SIZE_MAX, true), 1);
        CHECK_EQ(pe_evbuffer_send(buf, fds[0], SIZE_MAX, true), -EIO);
        close(fds[0]);
        close(fds[1]);
        (void)check_inside(buf);
        evbuffer_free(buf);
        CHECK(!is_open(fd));
    }
}

TEST(what_was_read_of_a_file_stays_when_it_becomes_shorter) {
    struct evbuffer *buf = new_buffer();
    int fd = new_file(FILE_BYTES);
    struct evbuffer_iovec vec;
    unsigned char *got = malloc(PE_FILE_PIECE + 1);

    CHECK_EQ(evbuffer_add_file(buf, fd, 0, -1), 0);
    CHECK_EQ(evbuffer_peek(buf, 1, NULL, &vec, 1), 1);
    CHECK_EQ(vec.iov_len, PE_FILE_PIECE);
    CHECK_EQ(ftruncate(fd, 0), 0);
    CHECK_EQ(((unsigned char *)vec.iov_base)[PE_FILE_PIECE - 1], byte_at(PE_FILE_PIECE - 1));
    CHECK_EQ(evbuffer_remove(buf, got, PE_FILE_PIECE + 1), -1);
    CHECK_EQ(errno, EIO);
    check_pattern(buf, 0, PE_FILE_PIECE);
    CHECK_EQ(evbuffer_drain(buf, 1), 0); /* throwing away reads nothing */
    CHECK_EQ(evbuffer_get_length(buf), FILE_BYTES - PE_FILE_PIECE - 1);
    free(got);
    evbuffer_free(buf);
}

TEST(a_file_that_is_sealed_against_it_is_mapped) {
#if defined(F_ADD_SEALS) && defined(F_SEAL_SHRINK)
    struct evbuffer *buf = new_buffer();
    struct evbuffer_file_segment *file;
    int fd = memfd_create("sealed", MFD_ALLOW_SEALING);
    struct evbuffer_iovec vec[2];
    unsigned long total;

    if (fd < 0)
        harness_skip("no memfd");
    for (size_t i = 0; i < FILE_BYTES; i++) {
        unsigned char c = byte_at(i);

        CHECK_EQ(write(fd, &c, 1), 1);
    }
    CHECK_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    file = evbuffer_file_segment_new(fd, 5000, -1, 0);
    CHECK_EQ(evbuffer_add_file_segment(buf, file, 1, -1), 0);
    total = pe_mem_total();
    CHECK_EQ(evbuffer_search(buf, "nowhere", 7, NULL).pos, -1);
    CHECK_EQ(evbuffer_peek(buf, -1, NULL, vec, 2), 1);
    CHECK_EQ(pe_mem_total(), total);
    CHECK_EQ(vec[0].iov_len, FILE_BYTES - 5001);
    CHECK_EQ(ftruncate(fd, 100), -1);
    check_pattern(buf, 5001, FILE_BYTES - 5001);
    /* Not where it shall not be. */
    evbuffer_file_segment_free(file);
    file = evbuffer_file_segment_new(fd, 0, -1, EVBUF_FS_DISABLE_MMAP);
    CHECK_EQ(evbuffer_add_file_segment(buf, file, 0, -1), 0);
    CHECK_EQ(evbuffer_peek(buf, 1, NULL, vec, 1), 1);
    CHECK_EQ(vec[0].iov_len, PE_FILE_PIECE);
    evbuffer_file_segment_free(file);
    evbuffer_free(buf);
    close(fd);
#else
    harness_skip("no seals");
#endif
}

TEST(what_is_no_regular_file_is_refused_and_loses_nothing) {
    static const unsigned ways[] = {0, EVBUF_FS_DISABLE_SENDFILE, EVBUF_FS_DISABLE_MMAP};
    struct evbuffer *buf = new_buffer();
    int fds[2], other[2], directory;
    char got[9];

    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(pe_socketpair(other), 0);
    CHECK_EQ(write(fds[1], "piped", 5), 5);
    for (int i = 0; i < 3; i++) {
        errno = 0;
        CHECK(evbuffer_file_segment_new(fds[0], 0, -1, ways[i]) == NULL);
        CHECK_EQ(errno, ESPIPE);
        CHECK(evbuffer_file_segment_new(fds[0], 0, 5, ways[i]) == NULL);
    }
    CHECK_EQ(evbuffer_add_file(buf, fds[0], 0, 5), -1);
    CHECK_EQ(errno, ESPIPE);
    CHECK_EQ(evbuffer_add_file(buf, other[0], 0, 5), -1);
    CHECK_EQ(errno, ESPIPE);
    directory = open("/", O_RDONLY);
    CHECK_EQ(evbuffer_add_file(buf, directory, 0, 5), -1);
    CHECK_EQ(errno, EISDIR);
    CHECK_EQ(evbuffer_get_length(buf), 0);
    CHECK_EQ(read(fds[0], got, sizeof(got)), 5);
    CHECK_MEM(got, "piped", 5);
    close(directory);
    close(fds[0]);
    close(fds[1]);
    close(other[0]);
    close(other[1]);
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

TEST(writing_to_a_pipe_that_nobody_reads_is_an_error_and_no_signal) {
    struct evbuffer *buf = new_buffer();
    struct pe_sigpipe held;
    sigset_t mask, pending;
    int fds[2];

    signal(SIGPIPE, SIG_DFL); /* which ends the process */
    CHECK_EQ(pipe(fds), 0);
    close(fds[0]);
    CHECK_EQ(evbuffer_add(buf, "text", 4), 0);
    CHECK_EQ(evbuffer_write(buf, fds[1]), -1);
    CHECK_EQ(errno, EPIPE);
    CHECK_EQ(evbuffer_write_atmost(buf, fds[1], 2), -1);
    CHECK_EQ(errno, EPIPE);
    CHECK_EQ(evbuffer_drain(buf, 4), 0);
    CHECK_EQ(evbuffer_add_file(buf, new_file(1000), 0, -1), 0);
    CHECK_EQ(evbuffer_write(buf, fds[1]), -1);
    CHECK_EQ(errno, EPIPE);
    /* As a connection on a pipe does it: the signal is held off twice, and taken once. */
    pe_sigpipe_hold(&held);
    CHECK_EQ(pe_evbuffer_send(buf, fds[1], SIZE_MAX, false), -EPIPE);
    pe_sigpipe_release(&held, true);
    CHECK_EQ(sigpending(&pending), 0);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
    CHECK(!sigismember(&pending, SIGPIPE) && !sigismember(&mask, SIGPIPE));
    CHECK_EQ(evbuffer_get_length(buf), 1000);
    close(fds[1]);
    evbuffer_free(buf);
}

TEST(failing_memory_leaves_files_where_they_are) {
    for (long nth = 1; nth < 10; nth++) {
        struct evbuffer *buf = new_buffer();
        int fd = new_file(FILE_BYTES), added;
        struct evbuffer_iovec vec[3];
        size_t len;

        CHECK_EQ(evbuffer_add(buf, "head", 4), 0);
        pe_mem_fail_nth(nth);
        added = evbuffer_add_file(buf, fd, 0, -1);
        if (added == 0) {
            (void)evbuffer_search(buf, "nowhere", 7, NULL);
            (void)evbuffer_peek(buf, -1, NULL, vec, 3);
            free(evbuffer_readln(buf, &len, EVBUFFER_EOL_LF)); /* there is none */
            (void)evbuffer_pullup(buf, 200000);
            (void)check_inside(buf);
            CHECK_EQ(evbuffer_get_length(buf), 4 + FILE_BYTES);
        }
        pe_mem_fail_nth(0);
        if (added == 0) {
            CHECK_EQ(evbuffer_drain(buf, 4), 0);
            check_pattern(buf, 0, FILE_BYTES);
        }
        evbuffer_free(buf);
        if (is_open(fd)) /* it never became a segment */
            close(fd);
    }
}
