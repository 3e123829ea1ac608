/* parity_evbuffer.c - the contracts of event2/buffer.h, as any library with that
 * interface keeps them: return values, edges, what freezing forbids. */
#include "event2/buffer.h"

#include "../harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct evbuffer *new_buffer(const char *text) {
    struct evbuffer *buf = evbuffer_new();

    CHECK(buf != NULL);
    CHECK_EQ(evbuffer_add(buf, text, strlen(text)), 0);
    return buf;
}

static void check_is(struct evbuffer *buf, const char *want) {
    size_t n = strlen(want);
    char *got = malloc(n + 1);

    CHECK_EQ(evbuffer_get_length(buf), n);
    CHECK_EQ(evbuffer_copyout(buf, got, n + 1), (ssize_t)n);
    CHECK_MEM(got, want, n);
    free(got);
}

TEST(taking_more_than_there_is_takes_what_there_is) {
    struct evbuffer *buf = new_buffer("abc");
    char got[10];

    CHECK_EQ(evbuffer_copyout(buf, got, 10), 3);
    CHECK_EQ(evbuffer_remove(buf, got, 10), 3);
    CHECK_EQ(evbuffer_remove(buf, got, 10), 0);
    CHECK_EQ(evbuffer_drain(buf, 10), 0);
    CHECK_EQ(evbuffer_copyout(buf, got, 10), 0);
    evbuffer_free(buf);
}

TEST(a_frozen_start_stays_as_it_is) {
    struct evbuffer *buf = new_buffer("line\n"), *other = new_buffer("x");
    char got[3];

    CHECK_EQ(evbuffer_freeze(buf, 1), 0);
    CHECK_EQ(evbuffer_freeze(buf, 1), 0);
    CHECK_EQ(evbuffer_drain(buf, 1), -1);
    CHECK_EQ(evbuffer_remove(buf, got, 1), -1);
    CHECK_EQ(evbuffer_copyout(buf, got, 1), -1);
    CHECK_EQ(evbuffer_prepend(buf, "x", 1), -1);
    CHECK(evbuffer_readln(buf, NULL, EVBUFFER_EOL_LF) == NULL);
    CHECK_EQ(evbuffer_write(buf, 1), -1);
    CHECK_EQ(evbuffer_add_buffer(other, buf), -1);
    CHECK_EQ(evbuffer_remove_buffer(buf, other, 1), -1);
    CHECK_EQ(evbuffer_prepend_buffer(buf, other), -1);
    CHECK_EQ(evbuffer_prepend_buffer(other, buf), -1);
    CHECK_EQ(evbuffer_remove(buf, got, 0), 0);
    CHECK_EQ(evbuffer_prepend(buf, "", 0), 0);
    CHECK_EQ(evbuffer_add(buf, "more", 4), 0);
    CHECK(evbuffer_pullup(buf, -1) != NULL);
    CHECK_EQ(evbuffer_unfreeze(buf, 1), 0);
    check_is(buf, "line\nmore");
    check_is(other, "x");
    evbuffer_free(buf);
    evbuffer_free(other);
}

TEST(a_frozen_end_takes_no_more) {
    struct evbuffer *buf = new_buffer("abc"), *other = new_buffer("x"), *empty = evbuffer_new();
    struct evbuffer_iovec vec[2] = {{(void *)"v", 1}, {(void *)"w", 1}};

    CHECK_EQ(evbuffer_freeze(buf, 0), 0);
    CHECK_EQ(evbuffer_add(buf, "x", 1), -1);
    CHECK_EQ(evbuffer_add(buf, "", 0), -1);
    CHECK_EQ(evbuffer_add_printf(buf, "%d", 1), -1);
    CHECK_EQ(evbuffer_add_iovec(buf, vec, 2), 0);
    CHECK_EQ(evbuffer_add_reference(buf, "x", 1, NULL, NULL), -1);
    CHECK_EQ(evbuffer_add_buffer(buf, other), -1);
    CHECK_EQ(evbuffer_add_buffer_reference(buf, other), -1);
    CHECK_EQ(evbuffer_remove_buffer(other, buf, 1), -1);
    CHECK_EQ(evbuffer_reserve_space(buf, 10, vec, 1), -1);
    CHECK_EQ(evbuffer_commit_space(buf, vec, 0), -1);
    CHECK_EQ(evbuffer_read(buf, 0, -1), -1);
    CHECK_EQ(evbuffer_add_buffer(buf, empty), 0);
    CHECK_EQ(evbuffer_add_buffer(buf, buf), 0);
    CHECK_EQ(evbuffer_expand(buf, 100), 0);
    CHECK_EQ(evbuffer_prepend(buf, "0", 1), 0);
    CHECK_EQ(evbuffer_drain(buf, 2), 0);
    check_is(buf, "bc");
    evbuffer_free(buf);
    evbuffer_free(other);
    evbuffer_free(empty);
}

TEST(pointers_reach_to_the_end_and_no_further) {
    struct evbuffer *buf = new_buffer("hello world");
    struct evbuffer_ptr ptr, got, end;
    char out[10];

    CHECK_EQ(evbuffer_ptr_set(buf, &ptr, 11, EVBUFFER_PTR_SET), 0);
    CHECK_EQ(ptr.pos, 11);
    CHECK_EQ(evbuffer_copyout_from(buf, &ptr, out, 5), 0);
    CHECK_EQ(evbuffer_ptr_set(buf, &ptr, 12, EVBUFFER_PTR_SET), -1);
    CHECK_EQ(ptr.pos, -1);
    CHECK_EQ(evbuffer_ptr_set(buf, &ptr, 4, EVBUFFER_PTR_SET), 0);
    CHECK_EQ(evbuffer_ptr_set(buf, &ptr, 5, EVBUFFER_PTR_ADD), 0);
    CHECK_EQ(ptr.pos, 9);
    CHECK_EQ(evbuffer_copyout_from(buf, &ptr, out, 5), 2);
    CHECK_MEM(out, "ld", 2);
    CHECK_EQ(evbuffer_ptr_set(buf, &ptr, 3, EVBUFFER_PTR_ADD), -1);
    CHECK_EQ(ptr.pos, -1);

    CHECK_EQ(evbuffer_ptr_set(buf, &ptr, 5, EVBUFFER_PTR_SET), 0);
    got = evbuffer_search(buf, "o", 1, NULL);
    CHECK_EQ(got.pos, 4);
    got = evbuffer_search(buf, "o", 1, &ptr);
    CHECK_EQ(got.pos, 7);
    CHECK_EQ(evbuffer_ptr_set(buf, &end, 7, EVBUFFER_PTR_SET), 0);
    got = evbuffer_search_range(buf, "o", 1, &ptr, &end);
    CHECK_EQ(got.pos, -1);
    got = evbuffer_search_range(buf, "", 0, &ptr, &end);
    CHECK_EQ(got.pos, 5); /* nothing is found where the search starts */
    CHECK_EQ(evbuffer_ptr_set(buf, &end, 8, EVBUFFER_PTR_SET), 0);
    got = evbuffer_search_range(buf, "o", 1, &ptr, &end);
    CHECK_EQ(got.pos, 7);
    evbuffer_free(buf);
}

TEST(each_end_of_line_has_its_place_and_length) {
    static const struct {
        const char *text;
        int style;
        long pos;
        size_t len;
    } cases[] = {
        {"a\r\nb", EVBUFFER_EOL_CRLF, 1, 2},        {"a\nb", EVBUFFER_EOL_CRLF, 1, 1},
        {"a\rb", EVBUFFER_EOL_CRLF, -1, 0},         {"a\r\r\n", EVBUFFER_EOL_CRLF, 2, 2},
        {"a\nb\r\n", EVBUFFER_EOL_CRLF_STRICT, 3, 2}, {"a\n", EVBUFFER_EOL_CRLF_STRICT, -1, 0},
        {"a\r\nb", EVBUFFER_EOL_LF, 2, 1},          {"a\r", EVBUFFER_EOL_LF, -1, 0},
        {"a\r\n\r\nb", EVBUFFER_EOL_ANY, 1, 4},     {"a\r", EVBUFFER_EOL_ANY, 1, 1},
        {"\n", EVBUFFER_EOL_ANY, 0, 1},             {"abc", EVBUFFER_EOL_ANY, -1, 0},
        {"a\r\nb", EVBUFFER_EOL_NUL, -1, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct evbuffer *buf = new_buffer(cases[i].text);
        size_t len = 99;
        struct evbuffer_ptr got =
            evbuffer_search_eol(buf, NULL, &len, (enum evbuffer_eol_style)cases[i].style);

        CHECK_EQ(got.pos, cases[i].pos);
        CHECK_EQ(len, cases[i].len);
        evbuffer_free(buf);
    }
}

TEST(readln_gives_lines_and_leaves_what_is_incomplete) {
    struct evbuffer *buf = new_buffer("one\r\n\r\ntwo\nthree");
    static const char *const want[] = {"one", "", "two"};
    size_t n = 99;

    for (int i = 0; i < 3; i++) {
        char *line = evbuffer_readln(buf, &n, EVBUFFER_EOL_CRLF);

        CHECK_STR(line, want[i]);
        CHECK_EQ(n, strlen(want[i]));
        free(line);
    }
    CHECK(evbuffer_readln(buf, &n, EVBUFFER_EOL_CRLF) == NULL);
    CHECK_EQ(n, 0);
    check_is(buf, "three");
    evbuffer_free(buf);
}

TEST(pullup_wants_a_size_that_is_there) {
    struct evbuffer *buf = new_buffer("abc");

    CHECK(evbuffer_pullup(buf, 0) == NULL);
    CHECK(evbuffer_pullup(buf, 4) == NULL);
    CHECK_EQ(evbuffer_add_reference(buf, "def", 3, NULL, NULL), 0);
    CHECK_MEM(evbuffer_pullup(buf, 5), "abcde", 5);
    CHECK_MEM(evbuffer_pullup(buf, -1), "abcdef", 6);
    CHECK(evbuffer_get_contiguous_space(buf) >= 6);
    CHECK_EQ(evbuffer_drain(buf, 6), 0);
    CHECK(evbuffer_pullup(buf, -1) == NULL);
    CHECK_EQ(evbuffer_get_contiguous_space(buf), 0);
    evbuffer_free(buf);
}

TEST(peek_says_how_many_spans_it_takes) {
    struct evbuffer *buf = new_buffer("one");
    struct evbuffer_iovec vec[3];
    struct evbuffer_ptr from;

    CHECK_EQ(evbuffer_add_reference(buf, "two", 3, NULL, NULL), 0);
    CHECK_EQ(evbuffer_peek(buf, -1, NULL, NULL, 0), 2);
    CHECK_EQ(evbuffer_peek(buf, 2, NULL, NULL, 0), 1);
    CHECK_EQ(evbuffer_peek(buf, 4, NULL, vec, 1), 2);
    CHECK_EQ(evbuffer_peek(buf, 2, NULL, vec, 3), 1);
    CHECK_EQ(vec[0].iov_len, 3); /* more than was asked for */
    CHECK_EQ(evbuffer_ptr_set(buf, &from, 4, EVBUFFER_PTR_SET), 0);
    CHECK_EQ(evbuffer_peek(buf, -1, &from, vec, 3), 1);
    CHECK_MEM(vec[0].iov_base, "wo", 2);
    CHECK_EQ(evbuffer_ptr_set(buf, &from, 6, EVBUFFER_PTR_SET), 0);
    CHECK_EQ(evbuffer_peek(buf, 2, &from, vec, 3), 0);
    evbuffer_free(buf);
}

TEST(reserved_room_is_committed_in_part_or_not_at_all) {
    struct evbuffer *buf = new_buffer("abc");
    struct evbuffer_iovec vec[2];

    CHECK_EQ(evbuffer_reserve_space(buf, -1, vec, 1), -1);
    CHECK_EQ(evbuffer_reserve_space(buf, 5, vec, 0), -1);
    CHECK_EQ(evbuffer_reserve_space(buf, 5000, vec, 1), 1);
    CHECK(vec[0].iov_len >= 5000);
    memcpy(vec[0].iov_base, "def", 3);
    vec[0].iov_len = 3;
    CHECK_EQ(evbuffer_commit_space(buf, vec, 1), 0);
    check_is(buf, "abcdef");
    CHECK_EQ(evbuffer_commit_space(buf, vec, 1), -1); /* not twice */
    CHECK_EQ(evbuffer_reserve_space(buf, 10, vec, 2) >= 1, 1);
    vec[0].iov_len = 0;
    CHECK_EQ(evbuffer_commit_space(buf, vec, 1), 0);
    check_is(buf, "abcdef");
    evbuffer_free(buf);
}

static int cleanups;
static size_t cleaned;

static void count_cleanup(const void *data, size_t n, void *arg) {
    CHECK(data == arg);
    cleaned = n;
    cleanups++;
}

TEST(borrowed_memory_is_given_back_once) {
    static char lent[] = "borrowed";
    struct evbuffer *buf = new_buffer("a "), *other = evbuffer_new();
    char got[20];

    CHECK_EQ(evbuffer_add_reference(buf, lent, 8, count_cleanup, lent), 0);
    CHECK_EQ(evbuffer_add_buffer(other, buf), 0);
    evbuffer_free(buf);
    CHECK_EQ(cleanups, 0);
    CHECK_EQ(evbuffer_remove(other, got, 9), 9);
    CHECK_MEM(got, "a borrowe", 9);
    CHECK_EQ(cleanups, 0);
    CHECK_EQ(evbuffer_drain(other, 1), 0);
    CHECK_EQ(cleanups, 1);
    CHECK_EQ(cleaned, 8);
    CHECK_EQ(evbuffer_add_reference(other, lent, 8, count_cleanup, lent), 0);
    evbuffer_free(other);
    CHECK_EQ(cleanups, 2);
}

/* How many of the spans begin at `data`. */
static int spans_at(struct evbuffer *buf, const char *data) {
    struct evbuffer_iovec vec[8];
    int n = evbuffer_peek(buf, -1, NULL, vec, 8), count = 0;

    for (int i = 0; i < n; i++)
        count += vec[i].iov_base == (const void *)data;
    return count;
}

TEST(borrowed_memory_moves_without_a_copy) {
    static char lent[100];
    struct evbuffer *from = evbuffer_new(), *to = new_buffer("head");

    cleanups = 0;
    CHECK_EQ(evbuffer_add_reference(from, lent, 100, count_cleanup, lent), 0);
    CHECK_EQ(evbuffer_add_buffer(to, from), 0);
    CHECK_EQ(spans_at(to, lent), 1);
    CHECK_EQ(cleanups, 0);
    CHECK_EQ(evbuffer_drain(to, 104), 0);
    CHECK_EQ(cleanups, 1);

    CHECK_EQ(evbuffer_add(to, "head", 4), 0);
    CHECK_EQ(evbuffer_add(from, "a", 1), 0);
    CHECK_EQ(evbuffer_add_reference(from, lent, 100, count_cleanup, lent), 0);
    CHECK_EQ(evbuffer_remove_buffer(from, to, 101), 101);
    CHECK_EQ(spans_at(to, lent), 1);
    CHECK_EQ(evbuffer_prepend_buffer(from, to), 0);
    CHECK_EQ(spans_at(from, lent), 1);
    CHECK_EQ(evbuffer_add_buffer_reference(to, from), 0);
    CHECK_EQ(spans_at(to, lent), 1);
    CHECK_EQ(cleanups, 1);
    evbuffer_free(from);
    CHECK_EQ(cleanups, 1);
    evbuffer_free(to);
    CHECK_EQ(cleanups, 2);
}

TEST(shared_bytes_are_in_both_buffers) {
    struct evbuffer *from = new_buffer("shared"), *to = new_buffer("> ");

    CHECK_EQ(evbuffer_add_buffer_reference(from, from), -1);
    CHECK_EQ(evbuffer_add_buffer_reference(to, from), 0);
    check_is(from, "shared");
    CHECK_EQ(evbuffer_add_buffer_reference(from, to), -1); /* not what is shared already */
    evbuffer_free(from);
    check_is(to, "> shared");
    evbuffer_free(to);
}

TEST(lent_bytes_that_were_cut_are_not_shared_yet) {
    static char lent[2000];
    struct evbuffer *from = evbuffer_new(), *to = evbuffer_new(), *both = evbuffer_new();

    memset(lent, 'x', sizeof(lent));
    cleanups = 0;
    CHECK_EQ(evbuffer_add_reference(from, lent, sizeof(lent), count_cleanup, lent), 0);
    CHECK_EQ(evbuffer_remove_buffer(from, to, 1500), 1500);
    CHECK_EQ(evbuffer_add_buffer_reference(both, to), 0);
    CHECK_EQ(evbuffer_add_buffer_reference(both, from), 0);
    CHECK_EQ(evbuffer_get_length(both), 2000);
    evbuffer_free(from);
    evbuffer_free(to);
    CHECK(memcmp(evbuffer_pullup(both, -1), lent, sizeof(lent)) == 0);
    CHECK_EQ(evbuffer_add_buffer_reference(both, both), -1);
    evbuffer_free(both);
    CHECK_EQ(cleanups, 1);
}

TEST(buffers_read_and_write_descriptors) {
    struct evbuffer *out = new_buffer("written "), *in = evbuffer_new();
    int fds[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    CHECK_EQ(evbuffer_add_reference(out, "in pieces", 9, NULL, NULL), 0);
    CHECK_EQ(evbuffer_write_atmost(out, fds[0], 4), 4);
    CHECK_EQ(evbuffer_get_length(out), 13);
    CHECK_EQ(evbuffer_write(out, fds[0]), 13);
    CHECK_EQ(evbuffer_read(in, fds[1], 3), 3);
    CHECK_EQ(evbuffer_read(in, fds[1], -1), 14);
    check_is(in, "written in pieces");
    CHECK_EQ(evbuffer_read(in, fds[1], -1), -1);
    CHECK_EQ(errno, EAGAIN);
    close(fds[0]);
    CHECK_EQ(evbuffer_read(in, fds[1], -1), 0);
    close(fds[1]);
    evbuffer_free(out);
    evbuffer_free(in);
}

TEST(a_file_can_be_added_and_is_closed) {
    char path[] = "/tmp/pyevent-test-XXXXXX";
    struct evbuffer *buf = new_buffer("file: ");
    int fd = mkstemp(path);

    CHECK(fd >= 0);
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(write(fd, "0123456789", 10), 10);
    CHECK_EQ(evbuffer_add_file(buf, fd, 2, 5), 0);
    check_is(buf, "file: 23456");
    CHECK_EQ(evbuffer_drain(buf, 11), 0);
    CHECK_EQ(fcntl(fd, F_GETFD), -1);
    evbuffer_free(buf);
}

TEST(a_pipe_is_no_file_and_keeps_what_is_in_it) {
    struct evbuffer *buf = new_buffer("");
    char got[9];
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(write(fds[1], "piped", 5), 5);
    CHECK(evbuffer_file_segment_new(fds[0], 0, 5,
                                    EVBUF_FS_DISABLE_SENDFILE | EVBUF_FS_DISABLE_MMAP) == NULL);
    CHECK_EQ(errno, ESPIPE);
    CHECK_EQ(read(fds[0], got, sizeof(got)), 5);
    CHECK_EQ(evbuffer_get_length(buf), 0);
    close(fds[0]);
    close(fds[1]);
    evbuffer_free(buf);
}

static char told[200];

static void tell(struct evbuffer *buf, const struct evbuffer_cb_info *info, void *arg) {
    (void)buf;
    snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s%zu+%zu-%zu ",
             (const char *)arg, info->orig_size, info->n_added, info->n_deleted);
}

static void remove_me(struct evbuffer *buf, const struct evbuffer_cb_info *info, void *arg) {
    tell(buf, info, arg);
    CHECK_EQ(evbuffer_remove_cb(buf, remove_me, arg), 0);
}

TEST(callbacks_are_told_newest_first_what_changed) {
    struct evbuffer *buf = new_buffer("abc");
    struct evbuffer_cb_entry *a = evbuffer_add_cb(buf, tell, (void *)"a");

    CHECK(a != NULL);
    CHECK(evbuffer_add_cb(buf, remove_me, (void *)"b") != NULL);
    CHECK_EQ(evbuffer_add(buf, "", 0), 0);
    CHECK_EQ(evbuffer_add(buf, "de", 2), 0);
    CHECK_EQ(evbuffer_drain(buf, 4), 0);
    CHECK_EQ(evbuffer_cb_clear_flags(buf, a, EVBUFFER_CB_ENABLED), 0);
    CHECK_EQ(evbuffer_drain(buf, 4), 0);
    CHECK_EQ(evbuffer_cb_set_flags(buf, a, EVBUFFER_CB_ENABLED), 0);
    CHECK_EQ(evbuffer_drain(buf, 4), 0); /* empty: nothing to tell */
    CHECK_EQ(evbuffer_prepend(buf, "z", 1), 0);
    CHECK_EQ(evbuffer_remove_cb_entry(buf, a), 0);
    CHECK_EQ(evbuffer_remove_cb(buf, tell, (void *)"a"), -1);
    CHECK_EQ(evbuffer_add(buf, "y", 1), 0);
    CHECK_STR(told, "b3+2-0 a3+2-0 a5+0-4 a0+1-0 ");
    evbuffer_free(buf);
}
