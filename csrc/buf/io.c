/* io.c - between a buffer and a descriptor, one system call each.
 *
 * Reading offers the free bytes of the last ring. When they are fewer than half
 * of what a read should take, a new ring is offered behind them, and goes back
 * if it stays empty. How much a read should take adapts: a ring of 4 KiB at
 * first, the next size when a read filled all that was offered, one size
 * less when SMALL_READS in a row left most of it: the end of a large message is
 * a small read, and the next is large again. FIONREAD is not asked: it would
 * cost a system call to save some room.
 *
 * Writing offers up to IOV_BATCH spans and drains what was taken. A file range
 * at the front goes by sendfile(2); where that cannot be, a piece of it comes into
 * memory first (load.c).
 */
#include "base/sigpipe.h"
#include "base/sock.h"
#include "buf/file.h"
#include "buf/inner.h"

#include <sys/socket.h>
#include <unistd.h>

#define IOV_BATCH 128
#define READ_CLASS_MIN (PE_CLASS_FIRST_RING + 1)
#define READ_CLASS_MAX (PE_CLASS_BIG - 1)
#define SMALL_READS 4

/* --- Reading --- */

/* Cut the spans to `max` bytes in all; what they are then is returned. */
static size_t trim(struct iovec *vec, int *n_vec, size_t max) {
    size_t total = 0;

    for (int i = 0; i < *n_vec; i++) {
        if (vec[i].iov_len >= max - total) {
            vec[i].iov_len = max - total;
            *n_vec = i + 1;
            return max;
        }
        total += vec[i].iov_len;
    }
    return total;
}

/* A message for, or of, all of the spans. */
static struct msghdr message_of(struct iovec *vec, int n_vec) {
    struct msghdr msg;

    memset(&msg, 0, sizeof(msg));
    msg.msg_iov = vec;
    msg.msg_iovlen = (__typeof__(msg.msg_iovlen))n_vec; /* size_t, or int */
    return msg;
}

/* A socket is never waited for: its number may have been closed and given to one that blocks. */
static ssize_t read_once(int fd, struct iovec *vec, int n_vec, bool is_socket) {
    ssize_t r;

    if (n_vec == 1) {
        r = is_socket ? recv(fd, vec[0].iov_base, vec[0].iov_len, MSG_DONTWAIT)
                      : read(fd, vec[0].iov_base, vec[0].iov_len);
    } else if (is_socket) {
        struct msghdr msg = message_of(vec, n_vec);

        r = recvmsg(fd, &msg, MSG_DONTWAIT);
    } else {
        r = readv(fd, vec, n_vec);
    }
    return r < 0 ? -errno : r;
}

/* `n` bytes were read into the room of `last` and into `fresh`, in that order. */
static void keep_read(struct evbuffer *buf, struct pe_seg *fresh, size_t n) {
    if (buf->last != NULL) {
        size_t room = pe_seg_room(buf->last);
        size_t here = n < room ? n : room;

        buf->last->tail += here;
        buf->len += here;
        n -= here;
    }
    if (n > 0) {
        fresh->tail = n;
        pe_buf_link(buf, fresh);
    } else if (fresh != NULL) {
        pe_pool_give(fresh, buf->pool);
    }
}

static ssize_t read_into(struct evbuffer *buf, int fd, size_t want, size_t *offered,
                         bool is_socket) {
    struct pe_seg *fresh = NULL;
    struct iovec vec[3];
    size_t room = 0;
    int n_vec = 0;
    ssize_t r;

    if (want > PE_BUF_MAX - buf->len)
        return -EOVERFLOW;
    if (buf->last != NULL) {
        pe_seg_reopen(buf->last);
        n_vec = pe_seg_free_spans(buf->last, vec);
        room = pe_seg_room(buf->last);
    }
    if (room < want - want / 2) {
        fresh = pe_seg_ring(buf->pool, want);
        if (fresh == NULL && room == 0)
            return -ENOMEM;
        if (fresh != NULL) {
            vec[n_vec].iov_base = fresh->data;
            vec[n_vec].iov_len = fresh->limit;
            n_vec++;
        }
    }
    *offered = trim(vec, &n_vec, want);
    r = read_once(fd, vec, n_vec, is_socket);
    if (r <= 0) {
        if (fresh != NULL)
            pe_pool_give(fresh, buf->pool);
        return r;
    }
    keep_read(buf, fresh, (size_t)r);
    return r;
}

/* What the next read should take, after one that got `n` of what was offered. */
static void adapt(struct evbuffer *buf, size_t n, size_t offered) {
    unsigned c = buf->read_class;

    if (n == offered && offered >= pe_class_bytes(c) / 2) {
        if (c < READ_CLASS_MAX)
            buf->read_class = (uint8_t)(c + 1);
        buf->small_reads = 0;
    } else if (c > READ_CLASS_MIN && n < pe_class_bytes(c - 1)) {
        if (++buf->small_reads < SMALL_READS)
            return;
        buf->read_class = (uint8_t)(c - 1);
        buf->small_reads = 0;
    } else {
        buf->small_reads = 0;
    }
}

ssize_t pe_evbuffer_recv(struct evbuffer *buf, int fd, size_t max, bool is_socket) {
    size_t want = pe_class_bytes(buf->read_class), offered;
    ssize_t r;

    if (max == 0)
        return -EINVAL;
    r = read_into(buf, fd, want < max ? want : max, &offered, is_socket);
    if (r > 0) {
        adapt(buf, (size_t)r, offered);
        pe_buf_tell(buf, (size_t)r, 0);
    }
    return r;
}

int evbuffer_read(struct evbuffer *buf, evutil_socket_t fd, int howmuch) {
    size_t max = evbuffer_get_max_read(buf), offered;
    int err = pe_buf_may_add(buf);
    ssize_t r;

    if (err != 0)
        return pe_fail(err);
    if (howmuch == 0)
        return 0;
    if (howmuch > 0 && (size_t)howmuch < max)
        max = (size_t)howmuch;
    r = read_into(buf, fd, max, &offered, false);
    if (r > 0)
        pe_buf_tell(buf, (size_t)r, 0);
    return r < 0 ? pe_fail((int)r) : (int)r;
}

/* --- Writing --- */

/* The bytes at the front as spans: at most `max`, and none behind a file that is
 * not in memory. */
static int spans_to_write(const struct evbuffer *buf, size_t max, struct iovec *vec) {
    struct pe_at at = {buf->first, 0, 0};
    int count = 0;

    while (count < IOV_BATCH && max > 0 && at.seg != NULL && at.seg->data != NULL) {
        size_t n;
        const unsigned char *p = pe_at_span(&at, &n);

        vec[count].iov_base = (void *)(uintptr_t)p;
        vec[count].iov_len = n < max ? n : max;
        max -= vec[count].iov_len;
        count++;
        pe_at_step(buf, &at, n);
    }
    return count;
}

/* `flags` are those of send(2); negative: it is no socket. */
static ssize_t write_once(int fd, struct iovec *vec, int n_vec, int flags) {
    ssize_t r;

    if (flags < 0) {
        r = n_vec == 1 ? write(fd, vec[0].iov_base, vec[0].iov_len) : writev(fd, vec, n_vec);
    } else if (n_vec == 1) {
        r = send(fd, vec[0].iov_base, vec[0].iov_len, flags);
    } else {
        struct msghdr msg = message_of(vec, n_vec);

        r = sendmsg(fd, &msg, flags);
    }
    return r < 0 ? -errno : r;
}

static ssize_t write_front(struct evbuffer *buf, int fd, size_t max, int flags) {
    struct pe_seg *first = buf->first;
    struct pe_at front = {first, 0, 0};
    struct iovec vec[IOV_BATCH];
    ssize_t r;
    int err;

    if (first->data == NULL) {
        r = pe_file_send(pe_seg_extra(first)->file, first->head,
                         pe_seg_used(first) < max ? pe_seg_used(first) : max, fd);
        if (r != -ENOTSUP)
            return r;
        err = pe_buf_load(buf, &front);
        if (err != 0)
            return err;
    }
    return write_once(fd, vec, spans_to_write(buf, max, vec), flags);
}

static ssize_t send_front(struct evbuffer *buf, int fd, size_t max, int flags) {
    struct pe_released dead = {NULL, NULL};
    ssize_t r;

    if (buf->len == 0 || max == 0)
        return 0;
    r = write_front(buf, fd, max, flags);
    if (r > 0) {
        pe_buf_consume(buf, (size_t)r, &dead);
        pe_buf_tell(buf, 0, (size_t)r);
    }
    pe_buf_release(&dead);
    return r;
}

ssize_t pe_evbuffer_send(struct evbuffer *buf, int fd, size_t max, bool is_socket) {
    return send_front(buf, fd, max, is_socket ? PE_MSG_NOSIGNAL | MSG_DONTWAIT : -1);
}

int evbuffer_write_atmost(struct evbuffer *buf, evutil_socket_t fd, ev_ssize_t howmuch) {
    size_t max = howmuch < 0 || howmuch > INT_MAX ? INT_MAX : (size_t)howmuch;
    int err = pe_buf_may_take(buf);
    struct pe_sigpipe held;
    ssize_t r;

    if (err != 0)
        return pe_fail(err);
    r = send_front(buf, fd, max, PE_MSG_NOSIGNAL); /* waits, if the descriptor is for that */
    if (r == -ENOTSOCK) {
        pe_sigpipe_hold(&held);
        r = send_front(buf, fd, max, -1);
        pe_sigpipe_release(&held, r == -EPIPE);
    }
    return r < 0 ? pe_fail((int)r) : (int)r;
}

int evbuffer_write(struct evbuffer *buf, evutil_socket_t fd) {
    return evbuffer_write_atmost(buf, fd, -1);
}
