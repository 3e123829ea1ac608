/* test_lines.c - ends of line, however the bytes arrive and wherever they lie. */
#include "base/mem.h"
#include "buf/quick.h"
#include "inside.h"

#include <stdlib.h>
#include <string.h>

static const char *const samples[] = {
    "one\ntwo\r\nthree\rfour\n\nfive\r\r\nsix\n\rseven\r\n\r\neight",
    "\r\n", "\n", "\r", "", "no end", "\n\n\n", "\r\r\r\n\n", "a\r", "a\r\nb\rc\nd",
};
#define N_SAMPLES (int)(sizeof(samples) / sizeof(samples[0]))

static struct evbuffer *new_buffer(void) {
    struct evbuffer *buf = evbuffer_new();

    CHECK(buf != NULL);
    return buf;
}

/* Lines of `text` (of `n` bytes) by the rule of `style`, each ended by '|'. */
static void split(const char *text, size_t n, enum evbuffer_eol_style style, char *out) {
    size_t start = 0;

    for (size_t i = 0; i < n;) {
        size_t eol = 0;

        if (style == EVBUFFER_EOL_ANY)
            eol = strspn(text + i, "\r\n");
        else if (style == EVBUFFER_EOL_NUL)
            eol = text[i] == '\0';
        else if (style != EVBUFFER_EOL_LF && i + 1 < n && text[i] == '\r' && text[i + 1] == '\n')
            eol = 2;
        else if (style != EVBUFFER_EOL_CRLF_STRICT)
            eol = text[i] == '\n';
        if (eol > n - i)
            eol = n - i;
        if (eol == 0) {
            i++;
            continue;
        }
        memcpy(out, text + start, i - start);
        out += i - start;
        *out++ = '|';
        i += eol;
        start = i;
    }
    *out = '\0';
}

static void readln_all(struct evbuffer *buf, enum evbuffer_eol_style style, char **out) {
    size_t n;
    char *line;

    while ((line = evbuffer_readln(buf, &n, style)) != NULL) {
        memcpy(*out, line, n);
        *out += n;
        *(*out)++ = '|';
        free(line);
    }
    **out = '\0';
    (void)check_inside(buf);
}

/* Every byte a segment of its own. */
static void add_scattered(struct evbuffer *buf, const char *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        CHECK_EQ(evbuffer_add_reference(buf, text + i, 1, NULL, NULL), 0);
}

TEST(every_style_splits_a_whole_text) {
    for (int i = 0; i < N_SAMPLES; i++) {
        for (int style = 0; style < 5; style++) {
            struct evbuffer *buf = new_buffer();
            char want[200], got[200], *end = got;

            split(samples[i], strlen(samples[i]), (enum evbuffer_eol_style)style, want);
            CHECK_EQ(evbuffer_add(buf, samples[i], strlen(samples[i])), 0);
            readln_all(buf, (enum evbuffer_eol_style)style, &end);
            CHECK_STR(got, want);
            evbuffer_free(buf);
        }
    }
}

TEST(every_style_splits_across_segments) {
    for (int i = 0; i < N_SAMPLES; i++) {
        for (int style = 0; style < 5; style++) {
            struct evbuffer *buf = new_buffer();
            char want[200], got[200], *end = got;

            split(samples[i], strlen(samples[i]), (enum evbuffer_eol_style)style, want);
            add_scattered(buf, samples[i], strlen(samples[i]));
            readln_all(buf, (enum evbuffer_eol_style)style, &end);
            CHECK_STR(got, want);
            evbuffer_free(buf);
        }
    }
}

/* For ANY this gives more lines than the whole text: a CR at the end of what is
 * there is an end of line, and the LF that comes later another. */
TEST(every_style_but_any_splits_byte_by_byte_alike) {
    for (int i = 0; i < N_SAMPLES; i++) {
        for (int style = EVBUFFER_EOL_CRLF; style < 5; style++) {
            struct evbuffer *buf = new_buffer();
            char want[200], got[200], *end = got;

            got[0] = '\0';
            split(samples[i], strlen(samples[i]), (enum evbuffer_eol_style)style, want);
            for (size_t k = 0; k < strlen(samples[i]); k++) {
                CHECK_EQ(evbuffer_add(buf, samples[i] + k, 1), 0);
                readln_all(buf, (enum evbuffer_eol_style)style, &end);
            }
            CHECK_STR(got, want);
            evbuffer_free(buf);
        }
    }
}

TEST(any_ends_a_line_at_a_cr_that_is_last) {
    struct evbuffer *buf = new_buffer();
    char got[20], *end = got;

    CHECK_EQ(evbuffer_add(buf, "a\r", 2), 0);
    readln_all(buf, EVBUFFER_EOL_ANY, &end);
    CHECK_EQ(evbuffer_add(buf, "\nb\n", 3), 0);
    readln_all(buf, EVBUFFER_EOL_ANY, &end);
    CHECK_STR(got, "a||b|");
    evbuffer_free(buf);
}

TEST(nul_ends_lines_that_hold_anything_else) {
    struct evbuffer *buf = new_buffer();
    size_t n;
    char *line;

    CHECK_EQ(evbuffer_add(buf, "a\r\nb\0\0c", 7), 0);
    line = evbuffer_readln(buf, &n, EVBUFFER_EOL_NUL);
    CHECK_EQ(n, 4);
    CHECK_MEM(line, "a\r\nb", 5);
    free(line);
    line = evbuffer_readln(buf, &n, EVBUFFER_EOL_NUL);
    CHECK_EQ(n, 0);
    CHECK_STR(line, "");
    free(line);
    CHECK(evbuffer_readln(buf, &n, EVBUFFER_EOL_NUL) == NULL);
    evbuffer_free(buf);
}

/* Counted, not timed: what each search looks through adds up to the line. */
TEST(an_incomplete_line_is_searched_once) {
    static const enum evbuffer_eol_style styles[] = {
        EVBUFFER_EOL_ANY, EVBUFFER_EOL_CRLF, EVBUFFER_EOL_CRLF_STRICT, EVBUFFER_EOL_NUL,
    };
    static char piece[65536];

    memset(piece, 'x', sizeof(piece));
    for (int i = 0; i < 4; i++) {
        const char *end = styles[i] == EVBUFFER_EOL_NUL ? "\0" : "\r\n";
        size_t total = 0, searched = 0, eol_len, n = 1;
        struct evbuffer *buf = new_buffer();

        while (total < (size_t)16 << 20) {
            CHECK_EQ(evbuffer_add(buf, piece, n), 0);
            total += n;
            searched += total - buf->searched;
            CHECK_EQ(pe_evbuffer_find_line(buf, styles[i], &eol_len), -1);
            CHECK_EQ(buf->searched, total); /* the next search begins here */
            n = n * 3 % sizeof(piece) + 1;
        }
        CHECK_EQ(searched, total);
        eol_len = styles[i] == EVBUFFER_EOL_NUL ? 1 : 2;
        CHECK_EQ(evbuffer_add(buf, end, eol_len), 0);
        CHECK_EQ(pe_evbuffer_find_line(buf, styles[i], &eol_len), (ssize_t)total);
        CHECK_EQ(eol_len, styles[i] == EVBUFFER_EOL_NUL ? 1 : 2);
        evbuffer_free(buf);
    }
}

/* The first line as quick.h takes it; NULL: it is not that easy. */
static const char *take_near(struct evbuffer *buf, enum evbuffer_eol_style style) {
    static char line[10];
    size_t len, eol_len;
    const unsigned char *data = pe_evbuffer_near_line(buf, style, &len, &eol_len);

    if (data == NULL)
        return NULL;
    memcpy(line, data, len);
    line[len] = '\0';
    pe_evbuffer_take_near(buf, len + eol_len);
    return line;
}

TEST(an_easy_line_is_taken_where_it_lies) {
    struct evbuffer *buf = new_buffer();
    const unsigned char *data;
    size_t eol_len;

    CHECK_EQ(evbuffer_add(buf, "one\r\ntwo\nthree", 14), 0);
    CHECK(take_near(buf, EVBUFFER_EOL_CRLF) == NULL); /* no mark yet */
    CHECK_EQ(pe_evbuffer_line(buf, EVBUFFER_EOL_CRLF, &data, &eol_len), 3);
    CHECK_EQ(eol_len, 2);
    CHECK_MEM(data, "one", 3);
    CHECK_STR(take_near(buf, EVBUFFER_EOL_CRLF), "one");
    CHECK_STR(take_near(buf, EVBUFFER_EOL_LF), "two");
    CHECK_EQ(evbuffer_freeze(buf, 1), 0);
    CHECK(take_near(buf, EVBUFFER_EOL_LF) == NULL);
    CHECK_EQ(evbuffer_unfreeze(buf, 1), 0);
    CHECK_EQ(buf->len, 5); /* "three" without its end */
    CHECK(take_near(buf, EVBUFFER_EOL_LF) == NULL);
    CHECK_EQ(evbuffer_add(buf, "\n", 1), 0);
    CHECK_STR(take_near(buf, EVBUFFER_EOL_LF), "three");
    CHECK_EQ(check_inside(buf), 0); /* the emptied ring has gone back */
    CHECK(take_near(buf, EVBUFFER_EOL_LF) == NULL);
    add_scattered(buf, "ab\n", 3);
    CHECK_EQ(pe_evbuffer_line(buf, EVBUFFER_EOL_LF, &data, &eol_len), 2);
    CHECK(data == NULL);
    evbuffer_free(buf);
}

static void count_added(struct evbuffer *buf, const struct evbuffer_cb_info *info, void *arg) {
    (void)buf;
    *(size_t *)arg += info->n_added;
}

TEST(what_fits_is_added_where_there_is_room) {
    struct evbuffer *buf = new_buffer();
    size_t added = 0;
    char *bytes = calloc(1, 4096);

    CHECK(bytes != NULL);
    CHECK(!pe_evbuffer_add_near(buf, "a", 1)); /* there is no ring yet */
    CHECK_EQ(evbuffer_add(buf, "a", 1), 0);
    CHECK(pe_evbuffer_add_near(buf, "bc", 2));
    CHECK(!pe_evbuffer_add_near(buf, "", 0)); /* nothing is not told to anybody */
    CHECK(!pe_evbuffer_add_near(buf, bytes, buf->last->mask));
    CHECK_EQ(evbuffer_freeze(buf, 0), 0);
    CHECK(!pe_evbuffer_add_near(buf, "d", 1));
    CHECK_EQ(evbuffer_unfreeze(buf, 0), 0);
    CHECK(evbuffer_add_cb(buf, count_added, &added) != NULL);
    CHECK(!pe_evbuffer_add_near(buf, "d", 1)); /* it has to be told */
    CHECK_EQ(evbuffer_add(buf, "d", 1), 0);
    CHECK_EQ(added, 1);
    CHECK_EQ(check_inside(buf), 1);
    CHECK_MEM(evbuffer_pullup(buf, -1), "abcd", 4);
    free(bytes);
    evbuffer_free(buf);
}

TEST(the_mark_moves_with_the_bytes) {
    struct evbuffer *buf = new_buffer(), *other = new_buffer();
    size_t eol_len;

    CHECK_EQ(evbuffer_add(buf, "abcdef", 6), 0);
    CHECK_EQ(pe_evbuffer_find_line(buf, EVBUFFER_EOL_LF, &eol_len), -1);
    CHECK_EQ(evbuffer_drain(buf, 4), 0);
    CHECK_EQ(buf->searched, 2);
    CHECK_EQ(evbuffer_add(buf, "\n", 1), 0);
    CHECK_EQ(pe_evbuffer_find_line(buf, EVBUFFER_EOL_LF, &eol_len), 2);
    CHECK_EQ(evbuffer_drain(buf, 3), 0);

    CHECK_EQ(evbuffer_add(buf, "abc", 3), 0);
    CHECK_EQ(pe_evbuffer_find_line(buf, EVBUFFER_EOL_LF, &eol_len), -1);
    CHECK_EQ(evbuffer_prepend(buf, "x\n", 2), 0); /* before what was searched */
    CHECK_EQ(pe_evbuffer_find_line(buf, EVBUFFER_EOL_LF, &eol_len), 1);
    CHECK_EQ(evbuffer_drain(buf, 2), 0);
    CHECK_EQ(pe_evbuffer_find_line(buf, EVBUFFER_EOL_LF, &eol_len), -1);
    CHECK_EQ(evbuffer_add(other, "\n", 1), 0);
    CHECK_EQ(evbuffer_prepend_buffer(buf, other), 0);
    CHECK_EQ(pe_evbuffer_find_line(buf, EVBUFFER_EOL_LF, &eol_len), 0);
    CHECK_EQ(evbuffer_remove_buffer(buf, other, 2), 2);
    CHECK_EQ(pe_evbuffer_find_line(buf, EVBUFFER_EOL_LF, &eol_len), -1);
    CHECK_EQ(pe_evbuffer_find_line(other, EVBUFFER_EOL_LF, &eol_len), 0);
    evbuffer_free(buf);
    evbuffer_free(other);
}

TEST(another_style_searches_from_the_start) {
    struct evbuffer *buf = new_buffer();
    size_t eol_len;

    CHECK_EQ(evbuffer_add(buf, "a\rb\0c", 5), 0);
    CHECK_EQ(pe_evbuffer_find_line(buf, EVBUFFER_EOL_LF, &eol_len), -1);
    CHECK_EQ(pe_evbuffer_find_line(buf, EVBUFFER_EOL_NUL, &eol_len), 3);
    CHECK_EQ(pe_evbuffer_find_line(buf, EVBUFFER_EOL_ANY, &eol_len), 1);
    CHECK_EQ(pe_evbuffer_find_line(buf, EVBUFFER_EOL_CRLF_STRICT, &eol_len), -1);
    CHECK_EQ(evbuffer_add(buf, "\n\r", 2), 0);
    CHECK_EQ(pe_evbuffer_find_line(buf, EVBUFFER_EOL_CRLF_STRICT, &eol_len), -1);
    CHECK_EQ(evbuffer_add(buf, "\n", 1), 0); /* its CR was searched already */
    CHECK_EQ(pe_evbuffer_find_line(buf, EVBUFFER_EOL_CRLF_STRICT, &eol_len), 6);
    CHECK_EQ(pe_evbuffer_find_line(buf, EVBUFFER_EOL_LF, &eol_len), 5);
    CHECK_EQ(pe_evbuffer_find_line(buf, EVBUFFER_EOL_LF, &eol_len), 5);
    CHECK_EQ(pe_evbuffer_find_line(buf, (enum evbuffer_eol_style)5, &eol_len), -1);
    evbuffer_free(buf);
}

TEST(walking_over_lines_finds_what_readln_takes) {
    for (int i = 0; i < N_SAMPLES; i++) {
        for (int scattered = 0; scattered < 2; scattered++) {
            for (int style = 0; style < 5; style++) {
                struct evbuffer *buf = new_buffer();
                char want[200], got[200], *end = got;
                struct pe_lines it;

                split(samples[i], strlen(samples[i]), (enum evbuffer_eol_style)style, want);
                if (scattered)
                    add_scattered(buf, samples[i], strlen(samples[i]));
                else
                    CHECK_EQ(evbuffer_add(buf, samples[i], strlen(samples[i])), 0);
                pe_lines_init(&it, buf, (enum evbuffer_eol_style)style);
                while (pe_lines_next(&it)) {
                    CHECK(it.data != NULL || scattered);
                    if (it.data != NULL)
                        memcpy(end, it.data, it.len);
                    else
                        CHECK_EQ(pe_evbuffer_copy_at(buf, it.start, end, it.len), it.len);
                    end += it.len;
                    *end++ = '|';
                }
                *end = '\0';
                CHECK_STR(got, want);
                pe_evbuffer_take(buf, it.pos);
                CHECK(evbuffer_readln(buf, NULL, (enum evbuffer_eol_style)style) == NULL);
                evbuffer_free(buf);
            }
        }
    }
}

TEST(a_pointer_stays_right_while_bytes_are_added_and_is_looked_up_again_after) {
    struct evbuffer *buf = new_buffer();
    struct evbuffer_ptr ptr, got;
    char out[3];

    add_scattered(buf, "abcdefghij", 10);
    CHECK_EQ(evbuffer_ptr_set(buf, &ptr, 4, EVBUFFER_PTR_SET), 0);
    CHECK_EQ(evbuffer_add(buf, "klm", 3), 0);
    CHECK_EQ(evbuffer_copyout_from(buf, &ptr, out, 3), 3);
    CHECK_MEM(out, "efg", 3);
    CHECK_EQ(evbuffer_drain(buf, 2), 0); /* the segment under it is another now */
    CHECK_EQ(evbuffer_copyout_from(buf, &ptr, out, 3), 3);
    CHECK_MEM(out, "ghi", 3);
    got = evbuffer_search(buf, "kl", 2, &ptr);
    CHECK_EQ(got.pos, 8);
    CHECK_EQ(evbuffer_drain(buf, 9), 0);
    CHECK_EQ(evbuffer_copyout_from(buf, &ptr, out, 3), 0); /* past the end */
    got = evbuffer_search(buf, "m", 1, &ptr);
    CHECK_EQ(got.pos, -1);
    evbuffer_free(buf);
}

TEST(searching_finds_what_begins_in_one_segment_and_ends_in_another) {
    struct evbuffer *buf = new_buffer();
    struct evbuffer_ptr got;

    add_scattered(buf, "xxabababcxx", 11);
    got = evbuffer_search(buf, "ababc", 5, NULL);
    CHECK_EQ(got.pos, 4);
    got = evbuffer_search(buf, "ababd", 5, NULL);
    CHECK_EQ(got.pos, -1);
    CHECK_EQ(evbuffer_drain(buf, 11), 0);
    for (int i = 0; i < 100; i++) /* many false beginnings */
        CHECK_EQ(evbuffer_add(buf, "aaaaaaaaab", 10), 0);
    CHECK_EQ(evbuffer_add(buf, "aaaaaaaaac", 10), 0);
    got = evbuffer_search(buf, "aaac", 4, NULL);
    CHECK_EQ(got.pos, 1006);
    evbuffer_free(buf);
}
