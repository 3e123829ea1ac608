/* take.c - bytes that leave by copying or are thrown away: at the front only.
 *
 * A small remove from the first ring is a memcpy and two additions; the ring that
 * it empties goes back at once. No byte is ever moved inside a buffer.
 */
#include "buf/inner.h"

/* Drain `n` <= len bytes, and say so. */
static inline void drop_front(struct evbuffer *buf, size_t n) {
    struct pe_released dead = {NULL, NULL};

    pe_buf_consume(buf, n, &dead);
    pe_buf_tell(buf, 0, n);
    pe_buf_release(&dead);
}

void pe_evbuffer_take(struct evbuffer *buf, size_t n) {
    if (PE_LIKELY(pe_buf_step_quietly(buf, n)))
        return;
    if (n > buf->len)
        n = buf->len;
    if (n > 0)
        drop_front(buf, n);
}

int evbuffer_drain(struct evbuffer *buf, size_t len) {
    int err;

    if (PE_LIKELY(!(buf->flags & PE_BUF_FROZEN_START) && pe_buf_step_quietly(buf, len)))
        return 0; /* without extras it has no pins */
    if (len == 0 || buf->len == 0)
        return 0;
    err = pe_buf_may_take(buf);
    if (err != 0)
        return pe_fail(err);
    drop_front(buf, len < buf->len ? len : buf->len);
    return 0;
}

/* Copy out up to `n` bytes from `pos`, at most the length; how many, or why not. */
static ssize_t copy_out(struct evbuffer *buf, const struct evbuffer_ptr *pos, void *out,
                        size_t n) {
    struct pe_at at;
    int err;

    if (n == 0 || buf->len == 0)
        return 0;
    if (buf->flags & PE_BUF_FROZEN_START)
        return -EPERM;
    if (pos == NULL) {
        if (n > buf->len)
            n = buf->len;
        err = pe_buf_copy_front(buf, out, n);
        return err != 0 ? err : (ssize_t)n;
    }
    if (pos->pos < 0)
        return -EINVAL;
    if (!pe_buf_resolve(buf, pos, &at))
        return 0; /* past the end there is nothing */
    if (n > buf->len - at.pos)
        n = buf->len - at.pos;
    err = pe_buf_copy(buf, &at, out, n);
    return err != 0 ? err : (ssize_t)n;
}

ev_ssize_t evbuffer_copyout_from(struct evbuffer *buf, const struct evbuffer_ptr *pos,
                                 void *data_out, size_t datlen) {
    ssize_t n = copy_out(buf, pos, data_out, datlen);

    return n < 0 ? pe_fail((int)n) : n;
}

ev_ssize_t evbuffer_copyout(struct evbuffer *buf, void *data_out, size_t datlen) {
    ssize_t n = copy_out(buf, NULL, data_out, datlen);

    return n < 0 ? pe_fail((int)n) : n;
}

ssize_t pe_evbuffer_copy_at(struct evbuffer *buf, size_t pos, void *out, size_t n) {
    struct pe_at at;
    int err;

    if (pos >= buf->len)
        return 0;
    if (n > buf->len - pos)
        n = buf->len - pos;
    pe_buf_seek(buf, pos, &at);
    err = pe_buf_copy(buf, &at, out, n);
    return err != 0 ? err : (ssize_t)n;
}

int evbuffer_remove(struct evbuffer *buf, void *data, size_t datlen) {
    ssize_t n;
    int err;

    if (PE_LIKELY(datlen - 1 < buf->len &&
                  !(buf->flags & (PE_BUF_FROZEN_START | PE_BUF_PINNED | PE_BUF_FILES)) &&
                  datlen <= INT_MAX)) {
        (void)pe_buf_copy_front(buf, data, datlen); /* no file: it cannot fail */
        drop_front(buf, datlen);
        return (int)datlen;
    }
    if (datlen == 0 || buf->len == 0)
        return 0;
    if (datlen > INT_MAX)
        datlen = INT_MAX; /* what the answer can say */
    err = pe_buf_may_take(buf);
    n = err != 0 ? err : copy_out(buf, NULL, data, datlen);
    if (n > 0)
        drop_front(buf, (size_t)n);
    return n < 0 ? pe_fail((int)n) : (int)n;
}
