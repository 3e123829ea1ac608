/* model.h - random operations on several buffers, each beside a flat array that
 * says what the buffer must hold.
 *
 * Uses event2/buffer.h alone, so the same operations run against any library
 * with that interface. Who includes it may define, before:
 *
 *     MODEL_BEFORE()      before each operation (asks for failing memory)
 *     MODEL_MAY_FAIL()    whether this operation was allowed to fail
 *     MODEL_AFTER(buf)    after each operation (looks into the buffer)
 *     MODEL_NEW(i)        the i-th buffer
 *     MODEL_CAP           no buffer gets longer
 *     MODEL_FILES         0: no ranges of files
 *     MODEL_RANDOM(n)     a number below n > 0, and
 *     MODEL_FILL(p, n)    bytes, from elsewhere than the seed
 *
 * Every operation checks its own result; an operation that fails must have
 * changed nothing. A callback on each buffer adds up what it is told, which
 * must come to the length.
 */
#ifndef PE_TESTS_BUF_MODEL_H
#define PE_TESTS_BUF_MODEL_H

#include "event2/buffer.h"

#include "../harness.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef MODEL_BEFORE
#define MODEL_BEFORE() ((void)0)
#define MODEL_MAY_FAIL() 0
#endif
#ifndef MODEL_AFTER
#define MODEL_AFTER(buf) ((void)0)
#endif
#ifndef MODEL_NEW
#define MODEL_NEW(i) evbuffer_new()
#endif

#ifndef MODEL_FILES
#define MODEL_FILES 1
#endif

#define N_MODELS 4
#ifndef MODEL_CAP
#define MODEL_CAP ((size_t)1 << 20)
#endif

struct model {
    struct evbuffer *buf;
    unsigned char *data; /* what it must hold */
    size_t len;
    size_t told;    /* what the callback has added up */
    int may_share;  /* may hold bytes shared with another buffer, or a file */
};

static struct model models[N_MODELS];
static uint64_t model_state;
static long lent_out, lent_back;

static unsigned model_random(unsigned below) {
#ifdef MODEL_RANDOM
    return MODEL_RANDOM(below);
#endif
    model_state ^= model_state << 13;
    model_state ^= model_state >> 7;
    model_state ^= model_state << 17;
    return (unsigned)((model_state >> 11) % below);
}

/* Mostly little, sometimes more than any one ring. */
static size_t model_size(void) {
    switch (model_random(12)) {
    case 0:
        return model_random(3);
    case 1:
    case 2:
        return model_random(5000);
    case 3:
        return model_random(20) == 0 ? model_random(150000) : model_random(20000);
    default:
        return model_random(90);
    }
}

static void model_fill(unsigned char *out, size_t n) {
    static const unsigned char some[] = "\r\n\r\n\0abcabcaab   xyz";

#ifdef MODEL_FILL
    MODEL_FILL(out, n);
    return;
#endif
    for (size_t i = 0; i < n; i++)
        out[i] = model_random(4) ? some[model_random(sizeof(some))]
                                 : (unsigned char)model_random(256);
    if (n > 64 && model_random(2)) /* and stretches without an end of line */
        memset(out + 1, 'q', n - 2);
}

static void model_told(struct evbuffer *buf, const struct evbuffer_cb_info *info, void *arg) {
    struct model *m = arg;

    CHECK(buf == m->buf);
    CHECK_EQ(info->orig_size, m->told);
    m->told += info->n_added;
    m->told -= info->n_deleted;
}

static void model_cleanup(const void *data, size_t n, void *arg) {
    CHECK_EQ(n, *(const size_t *)arg);
    free((void *)(uintptr_t)data);
    free(arg);
    lent_back++;
}

/* --- The flat side --- */

static void flat_insert(struct model *m, size_t at, const void *data, size_t n) {
    memmove(m->data + at + n, m->data + at, m->len - at);
    memcpy(m->data + at, data, n);
    m->len += n;
}

static void flat_drop(struct model *m, size_t n) {
    memmove(m->data, m->data + n, m->len - n);
    m->len -= n;
    if (m->len == 0)
        m->may_share = 0;
}

/* Where the first end of line at or after `from` begins, -1: nowhere. */
static long flat_eol(const struct model *m, size_t from, enum evbuffer_eol_style style,
                     size_t *eol_len) {
    const unsigned char *d = m->data;

    *eol_len = 0;
    for (size_t i = from; i < m->len; i++) {
        size_t n = 0;

        switch (style) {
        case EVBUFFER_EOL_ANY:
            while (i + n < m->len && (d[i + n] == '\r' || d[i + n] == '\n'))
                n++;
            break;
        case EVBUFFER_EOL_CRLF:
        case EVBUFFER_EOL_CRLF_STRICT:
            if (d[i] == '\r' && i + 1 < m->len && d[i + 1] == '\n')
                n = 2;
            else if (d[i] == '\n' && style == EVBUFFER_EOL_CRLF)
                n = 1;
            break;
        case EVBUFFER_EOL_LF:
            n = d[i] == '\n';
            break;
        case EVBUFFER_EOL_NUL:
            n = d[i] == 0;
            break;
        default:
            break;
        }
        if (n > 0) {
            *eol_len = n;
            return (long)i;
        }
    }
    return -1;
}

static long flat_find(const struct model *m, const unsigned char *what, size_t n, size_t from,
                      size_t end) {
    for (size_t i = from; i + n <= end; i++) {
        if (memcmp(m->data + i, what, n) == 0)
            return (long)i;
    }
    return -1;
}

/* --- Comparing --- */

/* Whether an operation did what it should; a failure must have been allowed. */
static int model_ok(int succeeded) {
    CHECK(succeeded || MODEL_MAY_FAIL());
    return succeeded;
}

/* Whether something was found where it is; a file that cannot be looked through has it
 * nowhere. */
static int model_found(long got, long want) {
    if (got == -1 && want != -1)
        return model_ok(0);
    CHECK_EQ(got, want);
    return 1;
}

static void model_compare(struct model *m) {
    struct evbuffer_iovec vec[256];
    size_t at = 0;
    int n;

    MODEL_AFTER(m->buf);
    CHECK_EQ(evbuffer_get_length(m->buf), m->len);
    CHECK_EQ(m->told, m->len);
    n = evbuffer_peek(m->buf, -1, NULL, NULL, 0);
    CHECK(n >= 0);
    if (n > 250 || (m->may_share && model_random(2))) { /* brings no file into memory */
        unsigned char *copy = malloc(m->len + 1);

        CHECK(copy != NULL);
        CHECK_EQ(evbuffer_copyout(m->buf, copy, m->len), (ssize_t)m->len);
        CHECK(memcmp(copy, m->data, m->len) == 0);
        free(copy);
        return;
    }
    n = evbuffer_peek(m->buf, -1, NULL, vec, 256); /* may count empty room as well */
    if (!model_ok(n >= 0))
        return;
    CHECK(n <= 256);
    for (int i = 0; i < n; i++) {
        CHECK(at + vec[i].iov_len <= m->len);
        CHECK(vec[i].iov_len == 0 || memcmp(vec[i].iov_base, m->data + at, vec[i].iov_len) == 0);
        at += vec[i].iov_len;
    }
    CHECK_EQ(at, m->len);
}

/* --- Operations --- */

static unsigned char model_bytes[200000];

static void op_add(struct model *m) {
    size_t n = model_size();

    if (m->len + n > MODEL_CAP)
        return;
    model_fill(model_bytes, n);
    if (model_ok(evbuffer_add(m->buf, model_bytes, n) == 0))
        flat_insert(m, m->len, model_bytes, n);
}

static void op_prepend(struct model *m) {
    size_t n = model_size();

    if (m->len + n > MODEL_CAP)
        return;
    model_fill(model_bytes, n);
    if (model_ok(evbuffer_prepend(m->buf, model_bytes, n) == 0))
        flat_insert(m, 0, model_bytes, n);
}

static void op_remove(struct model *m) {
    size_t want = model_size(), n = want < m->len ? want : m->len;

    CHECK_EQ(evbuffer_remove(m->buf, model_bytes, want), (int)n);
    CHECK(memcmp(model_bytes, m->data, n) == 0);
    flat_drop(m, n);
}

static void op_drain(struct model *m) {
    size_t want = model_random(8) == 0 ? m->len : model_size();

    CHECK_EQ(evbuffer_drain(m->buf, want), 0);
    flat_drop(m, want < m->len ? want : m->len);
}

static void op_copyout_from(struct model *m) {
    size_t from = m->len == 0 ? 0 : model_random((unsigned)m->len + 1), want = model_size();
    size_t n = want < m->len - from ? want : m->len - from;
    struct evbuffer_ptr pos;

    CHECK_EQ(evbuffer_ptr_set(m->buf, &pos, from, EVBUFFER_PTR_SET), 0);
    CHECK_EQ(evbuffer_copyout_from(m->buf, &pos, model_bytes, want), (ssize_t)n);
    CHECK(memcmp(model_bytes, m->data + from, n) == 0);
    CHECK_EQ(evbuffer_ptr_set(m->buf, &pos, m->len + 1, EVBUFFER_PTR_SET), -1);
    CHECK_EQ(pos.pos, -1);
}

static void op_printf(struct model *m) {
    size_t n = model_size();
    char *text;

    if (m->len + n > MODEL_CAP)
        return;
    memset(model_bytes, 'p', n + 1);
    text = (char *)model_bytes;
    text[n] = '\0';
    if (model_ok(evbuffer_add_printf(m->buf, "%s\n", text) == (int)n + 1)) {
        text[n] = '\n';
        flat_insert(m, m->len, text, n + 1);
    }
}

static void op_add_iovec(struct model *m) {
    struct evbuffer_iovec vec[3];
    size_t total = 0;

    for (int i = 0; i < 3; i++) {
        vec[i].iov_base = model_bytes + total;
        vec[i].iov_len = model_random(3000);
        total += vec[i].iov_len;
    }
    if (m->len + total > MODEL_CAP)
        return;
    model_fill(model_bytes, total);
    if (model_ok(evbuffer_add_iovec(m->buf, vec, 3) == total))
        flat_insert(m, m->len, model_bytes, total);
}

static void op_reference(struct model *m) {
    size_t n = model_size() + 1, *arg;
    unsigned char *lent;

    if (m->len + n > MODEL_CAP)
        return;
    lent = malloc(n);
    arg = malloc(sizeof(*arg));
    CHECK(lent != NULL && arg != NULL);
    model_fill(lent, n);
    *arg = n;
    if (model_ok(evbuffer_add_reference(m->buf, lent, n, model_cleanup, arg) == 0)) {
        flat_insert(m, m->len, lent, n);
        lent_out++;
    } else {
        free(lent);
        free(arg);
    }
}

/* A range of a file that no directory knows any more. */
static void op_file(struct model *m) {
    char path[] = "/tmp/pyevent-test-XXXXXX";
    size_t before = model_random(100), n = model_size() + 1;
    int fd;

    if (!MODEL_FILES || m->len + n > MODEL_CAP)
        return;
    fd = mkstemp(path);
    CHECK(fd >= 0);
    CHECK_EQ(unlink(path), 0);
    model_fill(model_bytes, before + n);
    CHECK_EQ(write(fd, model_bytes, before + n), (ssize_t)(before + n));
    if (model_ok(evbuffer_add_file(m->buf, fd, (ssize_t)before, (ssize_t)n) == 0)) {
        flat_insert(m, m->len, model_bytes + before, n);
        m->may_share = 1;
    } else if (fcntl(fd, F_GETFD) >= 0) {
        close(fd); /* it never became a segment */
    }
}

static void op_add_buffer(struct model *m, struct model *other) {
    if (m->len + other->len > MODEL_CAP)
        return;
    if (model_ok(evbuffer_add_buffer(m->buf, other->buf) == 0) && m != other) {
        flat_insert(m, m->len, other->data, other->len);
        m->may_share |= other->may_share;
        flat_drop(other, other->len);
    }
}

static void op_prepend_buffer(struct model *m, struct model *other) {
    if (m->len + other->len > MODEL_CAP)
        return;
    if (model_ok(evbuffer_prepend_buffer(m->buf, other->buf) == 0) && m != other) {
        flat_insert(m, 0, other->data, other->len);
        m->may_share |= other->may_share;
        flat_drop(other, other->len);
    }
}

static void op_remove_buffer(struct model *m, struct model *other) {
    size_t want = model_size(), n = want < other->len ? want : other->len;

    if (m->len + n > MODEL_CAP || m == other)
        return;
    if (model_ok(evbuffer_remove_buffer(other->buf, m->buf, want) == (int)n)) {
        flat_insert(m, m->len, other->data, n);
        m->may_share |= other->may_share;
        flat_drop(other, n);
    }
}

static void op_share(struct model *m, struct model *other) {
    if (m->len + other->len > MODEL_CAP || m == other || other->len == 0)
        return;
    if (evbuffer_add_buffer_reference(m->buf, other->buf) == 0) {
        flat_insert(m, m->len, other->data, other->len);
        m->may_share = 1;
    } else {
        CHECK(other->may_share || MODEL_MAY_FAIL());
    }
}

static void op_readln(struct model *m) {
    enum evbuffer_eol_style style = (enum evbuffer_eol_style)model_random(5);
    size_t eol_len, n = 99;
    long at = flat_eol(m, 0, style, &eol_len);
    char *line = evbuffer_readln(m->buf, &n, style);

    if (at < 0) {
        CHECK(line == NULL);
        CHECK_EQ(n, 0);
        return;
    }
    if (!model_ok(line != NULL))
        return;
    CHECK_EQ(n, at);
    CHECK(memcmp(line, m->data, n) == 0);
    CHECK_EQ(line[n], 0);
    free(line);
    flat_drop(m, n + eol_len);
}

static void op_search_eol(struct model *m) {
    enum evbuffer_eol_style style = (enum evbuffer_eol_style)model_random(5);
    size_t from = m->len == 0 ? 0 : model_random((unsigned)m->len + 1), eol_len, want_len;
    struct evbuffer_ptr start, got;

    got = evbuffer_search_eol(m->buf, NULL, &eol_len, style);
    CHECK_EQ(eol_len, model_found(got.pos, flat_eol(m, 0, style, &want_len)) ? want_len : 0);
    CHECK_EQ(evbuffer_ptr_set(m->buf, &start, from, EVBUFFER_PTR_SET), 0);
    got = evbuffer_search_eol(m->buf, &start, &eol_len, style);
    CHECK_EQ(eol_len, model_found(got.pos, flat_eol(m, from, style, &want_len)) ? want_len : 0);
}

static void op_search(struct model *m) {
    size_t n = 1 + model_random(4) * model_random(4), from, end;
    struct evbuffer_ptr start, stop, got;

    from = m->len == 0 ? 0 : model_random((unsigned)m->len + 1);
    end = from + model_random((unsigned)(m->len - from) + 1);
    if (m->len > n && model_random(2)) /* something that is there */
        memcpy(model_bytes, m->data + model_random((unsigned)(m->len - n)), n);
    else
        model_fill(model_bytes, n);
    got = evbuffer_search(m->buf, (char *)model_bytes, n, NULL);
    (void)model_found(got.pos, flat_find(m, model_bytes, n, 0, m->len));
    CHECK_EQ(evbuffer_ptr_set(m->buf, &start, from, EVBUFFER_PTR_SET), 0);
    CHECK_EQ(evbuffer_ptr_set(m->buf, &stop, end, EVBUFFER_PTR_SET), 0);
    got = evbuffer_search_range(m->buf, (char *)model_bytes, n, &start, &stop);
    (void)model_found(got.pos, flat_find(m, model_bytes, n, from, end));
}

static void op_pullup(struct model *m) {
    size_t n = m->len == 0 ? 0 : model_random((unsigned)m->len) + 1;
    unsigned char *p;

    if (n == 0) {
        CHECK(evbuffer_pullup(m->buf, -1) == NULL);
        return;
    }
    p = model_random(6) == 0 ? evbuffer_pullup(m->buf, -1) : evbuffer_pullup(m->buf, (ssize_t)n);
    if (model_ok(p != NULL))
        CHECK(memcmp(p, m->data, n) == 0);
    CHECK(evbuffer_pullup(m->buf, (ssize_t)m->len + 1) == NULL);
}

static void op_expand(struct model *m) {
    size_t n = model_size();

    (void)model_ok(evbuffer_expand(m->buf, n) == 0);
}

static void op_reserve(struct model *m) {
    size_t n = model_size() + 1, done = 0, have = 0;
    int n_vec = 1 + (int)model_random(3), got;
    struct evbuffer_iovec vec[3];

    if (m->len + n > MODEL_CAP)
        return;
    got = evbuffer_reserve_space(m->buf, (ssize_t)n, vec, n_vec);
    if (!model_ok(got >= 1))
        return;
    CHECK(got <= n_vec);
    for (int i = 0; i < got; i++)
        have += vec[i].iov_len;
    CHECK(have >= n);
    if (model_random(4) == 0)
        return; /* nothing need be committed */
    for (int i = 0; i < got; i++) {
        size_t here = vec[i].iov_len < n - done ? vec[i].iov_len : n - done;

        if (model_random(3) == 0)
            here -= here / 3; /* in part */
        model_fill(vec[i].iov_base, here);
        memcpy(model_bytes + done, vec[i].iov_base, here);
        vec[i].iov_len = here;
        done += here;
    }
    CHECK_EQ(evbuffer_commit_space(m->buf, vec, got), 0);
    flat_insert(m, m->len, model_bytes, done);
}

static void op_write_and_read(struct model *m, struct model *other) {
    ssize_t atmost = model_random(2) ? -1 : (ssize_t)model_size() + 1;
    int pair[2], wrote, got;

    if (m->len == 0 || m->len + other->len > MODEL_CAP)
        return;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    wrote = evbuffer_write_atmost(m->buf, pair[0], atmost);
    if (model_ok(wrote >= 0)) {
        CHECK(wrote > 0 && (size_t)wrote <= m->len);
        memcpy(model_bytes, m->data, (size_t)wrote <= sizeof(model_bytes) ? (size_t)wrote : 0);
        flat_drop(m, (size_t)wrote);
        if ((size_t)wrote <= sizeof(model_bytes)) {
            got = evbuffer_read(other->buf, pair[1], wrote);
            if (model_ok(got > 0)) {
                CHECK(got <= wrote);
                flat_insert(other, other->len, model_bytes, (size_t)got);
            }
        }
    }
    close(pair[0]);
    close(pair[1]);
}

static void op_freeze(struct model *m) {
    char c;

    CHECK_EQ(evbuffer_freeze(m->buf, 1), 0);
    CHECK_EQ(evbuffer_prepend(m->buf, "x", 1), -1);
    CHECK(evbuffer_readln(m->buf, NULL, EVBUFFER_EOL_LF) == NULL);
    if (m->len > 0) {
        CHECK_EQ(evbuffer_drain(m->buf, 1), -1);
        CHECK_EQ(evbuffer_remove(m->buf, &c, 1), -1);
    }
    CHECK_EQ(evbuffer_unfreeze(m->buf, 1), 0);
    CHECK_EQ(evbuffer_freeze(m->buf, 0), 0);
    CHECK_EQ(evbuffer_add(m->buf, "x", 1), -1);
    CHECK_EQ(evbuffer_add_printf(m->buf, "x"), -1);
    CHECK_EQ(evbuffer_add_reference(m->buf, "x", 1, NULL, NULL), -1);
    CHECK_EQ(evbuffer_unfreeze(m->buf, 0), 0);
}

static void model_step(void) {
    struct model *m = &models[model_random(N_MODELS)], *other = &models[model_random(N_MODELS)];
    static void (*const one[])(struct model *) = {
        op_add,     op_add,    op_add,        op_add,    op_prepend,   op_prepend, op_remove,
        op_remove,  op_drain,  op_drain,      op_drain,  op_printf,    op_readln,  op_readln,
        op_readln,  op_search, op_search_eol, op_pullup, op_reference, op_expand,  op_reserve,
        op_reserve, op_freeze, op_add_iovec,  op_copyout_from, op_file,
    };
    static void (*const two[])(struct model *, struct model *) = {
        op_add_buffer, op_remove_buffer, op_remove_buffer, op_prepend_buffer,
        op_share, op_write_and_read, op_write_and_read,
    };
    unsigned which = model_random(32);

    MODEL_BEFORE();
    if (which < sizeof(one) / sizeof(one[0]))
        one[which](m);
    else
        two[model_random(sizeof(two) / sizeof(two[0]))](m, other);
    CHECK_EQ(m->told, m->len);
}

static void model_run(uint64_t seed, int steps) {
    model_state = seed * 0x9e3779b97f4a7c15u + 1;
    for (int i = 0; i < N_MODELS; i++) {
        memset(&models[i], 0, sizeof(models[i]));
        models[i].buf = MODEL_NEW(i);
        models[i].data = malloc(MODEL_CAP + 1);
        CHECK(models[i].buf != NULL && models[i].data != NULL);
        CHECK(evbuffer_add_cb(models[i].buf, model_told, &models[i]) != NULL);
    }
    for (int step = 0; step < steps; step++) {
        model_step();
        if (step % 7 == 0) {
            for (int i = 0; i < N_MODELS; i++)
                model_compare(&models[i]);
        }
    }
    for (int i = 0; i < N_MODELS; i++) {
        model_compare(&models[i]);
#ifdef MODEL_FREE
        MODEL_FREE(models[i].buf);
#else
        evbuffer_free(models[i].buf);
#endif
        free(models[i].data);
    }
#ifndef HARNESS_PLAIN /* libevent 2.1.12 loses some cleanups of memory lent and shared */
    CHECK_EQ(lent_back, lent_out);
#endif
}

#endif
