/* add.c - bytes that come in by copying: at the end, in pieces, formatted, and at
 * the front.
 *
 * A small add to a buffer whose last ring has room is a memcpy and two
 * additions. Else the room there is filled, and what is left goes into rings
 * reserved before and new ones, all of which are made first, so that a failure
 * leaves the buffer as it was. Rings grow with the buffer (four times the last
 * one, up to 64 KiB); large amounts are cut into pieces of RING_PIECE, so that
 * their memory goes back while they drain.
 */
#include "buf/inner.h"

#include <stdio.h>

#define RING_PIECE ((size_t)1 << 20)

/* New rings for `n` bytes, linked to each other; NULL when memory is out. */
static struct pe_seg *rings_for(struct evbuffer *buf, size_t n) {
    struct pe_seg *first = NULL, **link = &first;

    while (n > RING_PIECE) {
        *link = pe_seg_ring(buf->pool, RING_PIECE);
        if (*link == NULL)
            goto free_rings;
        link = &(*link)->next;
        n -= RING_PIECE;
    }
    *link = pe_seg_ring(buf->pool, first == NULL ? pe_buf_ring_size(buf, n) : n);
    if (*link != NULL)
        return first;
free_rings:
    while (first != NULL) {
        struct pe_seg *next = first->next;

        pe_pool_give(first, buf->pool);
        first = next;
    }
    return NULL;
}

/* Have rings behind `last` for what its own room does not take of `n` bytes. */
static int room_for(struct evbuffer *buf, size_t n) {
    struct pe_seg *seg = buf->last, *end = NULL;

    if (seg != NULL)
        pe_seg_reopen(seg);
    for (; seg != NULL; seg = seg->next) {
        size_t room = pe_seg_room(seg);

        if (room >= n)
            return 0;
        n -= room;
        end = seg;
    }
    seg = rings_for(buf, n);
    if (seg == NULL)
        return -ENOMEM;
    if (end != NULL)
        end->next = seg;
    else
        buf->first = buf->last = seg;
    return 0;
}

/* Copy into room that is there. */
static void fill(struct evbuffer *buf, const char *from, size_t n) {
    buf->len += n;
    for (;;) {
        size_t room = pe_seg_room(buf->last);

        if (n <= room) {
            pe_seg_put(buf->last, from, n);
            return;
        }
        if (room > 0)
            pe_seg_put(buf->last, from, room);
        from += room;
        n -= room;
        buf->last = buf->last->next;
    }
}

int pe_buf_append(struct evbuffer *buf, const void *data, size_t n) {
    int err;

    if (n == 0)
        return 0;
    if (buf->last == NULL && n <= RING_PIECE) {
        struct pe_seg *ring = pe_seg_ring(buf->pool, n);

        if (ring == NULL)
            return -ENOMEM;
        memcpy(ring->data, data, n);
        ring->tail = n;
        buf->first = buf->last = ring;
        buf->len = n;
        return 0;
    }
    if (!pe_buf_fits(buf, n))
        return -EOVERFLOW;
    err = room_for(buf, n);
    if (err == 0)
        fill(buf, data, n);
    return err;
}

int pe_evbuffer_put(struct evbuffer *buf, const void *data, size_t n) {
    int err = pe_buf_append(buf, data, n);

    if (err == 0)
        pe_buf_tell(buf, n, 0);
    return err;
}

int evbuffer_add(struct evbuffer *buf, const void *data, size_t datlen) {
    int err;

    if (PE_LIKELY(pe_evbuffer_add_near(buf, data, datlen)))
        return 0;
    err = pe_buf_may_add(buf);
    if (err == 0)
        err = pe_evbuffer_put(buf, data, datlen);
    return err != 0 ? pe_fail(err) : 0;
}

size_t evbuffer_add_iovec(struct evbuffer *buf, struct evbuffer_iovec *vec, int n_vec) {
    size_t total = 0;
    int err = pe_buf_may_add(buf);

    for (int i = 0; i < n_vec && err == 0; i++) {
        if (vec[i].iov_len > PE_BUF_MAX - total)
            err = -EOVERFLOW;
        else
            total += vec[i].iov_len;
    }
    if (err == 0 && total > 0)
        err = pe_buf_fits(buf, total) ? room_for(buf, total) : -EOVERFLOW;
    if (err != 0) {
        errno = -err;
        return 0;
    }
    for (int i = 0; i < n_vec; i++) {
        if (vec[i].iov_len > 0)
            fill(buf, vec[i].iov_base, vec[i].iov_len);
    }
    pe_buf_tell(buf, total, 0);
    return total;
}

/* --- Formatted --- */

/* Where text can be formatted to: the free bytes behind the tail, or a new ring
 * that is not linked yet. False when memory is out. */
static bool printf_room(struct evbuffer *buf, bool use_last, size_t want,
                        struct pe_seg **fresh, struct iovec *room) {
    struct iovec spans[2];

    *fresh = NULL;
    if (use_last && buf->last != NULL) {
        pe_seg_reopen(buf->last);
        if (pe_seg_free_spans(buf->last, spans) > 0) {
            *room = spans[0];
            return true;
        }
    }
    *fresh = pe_seg_ring(buf->pool, pe_buf_ring_size(buf, want));
    if (*fresh == NULL)
        return false;
    room->iov_base = (*fresh)->data;
    room->iov_len = (*fresh)->limit;
    return true;
}

/* Format straight into the buffer; a second time when the room was too small.
 * vsnprintf writes a NUL behind the text, which is not added. */
int evbuffer_add_vprintf(struct evbuffer *buf, const char *fmt, va_list ap) {
    struct pe_seg *fresh;
    struct iovec room;
    size_t want = 1;
    va_list again;
    int n, err = pe_buf_may_add(buf);

    if (err != 0)
        return pe_fail(err);
    for (;;) {
        if (!printf_room(buf, want == 1, want, &fresh, &room))
            return pe_fail(-ENOMEM);
        errno = 0;
        va_copy(again, ap);
        n = vsnprintf(room.iov_base, room.iov_len, fmt, again);
        va_end(again);
        if (n >= 0 && (size_t)n < room.iov_len)
            break;
        if (fresh != NULL)
            pe_pool_give(fresh, buf->pool);
        if (n < 0)
            return pe_fail(errno != 0 ? -errno : -EINVAL);
        want = (size_t)n + 1;
    }
    if (n == 0 || !pe_buf_fits(buf, (size_t)n)) {
        if (fresh != NULL)
            pe_pool_give(fresh, buf->pool);
        return n == 0 ? 0 : pe_fail(-EOVERFLOW);
    }
    if (fresh != NULL) {
        fresh->tail += (size_t)n;
        pe_buf_link(buf, fresh);
    } else {
        buf->last->tail += (size_t)n;
        buf->len += (size_t)n;
    }
    pe_buf_tell(buf, (size_t)n, 0);
    return n;
}

int evbuffer_add_printf(struct evbuffer *buf, const char *fmt, ...) {
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = evbuffer_add_vprintf(buf, fmt, ap);
    va_end(ap);
    return n;
}

/* --- At the front --- */

int evbuffer_prepend(struct evbuffer *buf, const void *data, size_t datlen) {
    struct pe_seg *first = buf->first;
    int err;

    if (datlen == 0)
        return 0;
    err = pe_buf_may_take(buf);
    if (err != 0)
        return pe_fail(err);
    if (!pe_buf_fits(buf, datlen))
        return pe_fail(-EOVERFLOW);
    if (first != NULL)
        pe_seg_reopen(first);
    if (first == NULL || pe_seg_room(first) < datlen) {
        first = pe_seg_ring(buf->pool, datlen);
        if (first == NULL)
            return pe_fail(-ENOMEM);
        if (buf->len == 0)
            pe_buf_drop_room(buf);
        first->next = buf->first;
        buf->first = first;
        if (buf->last == NULL)
            buf->last = first;
    }
    /* Turned back from 0 the head lands at the ring's end, so that what is
     * prepended to a fresh ring lies in one piece. */
    pe_seg_put_front(first, data, datlen);
    buf->len += datlen;
    buf->epoch++;
    buf->searched = 0;
    pe_buf_tell(buf, datlen, 0);
    return 0;
}
