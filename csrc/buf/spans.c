/* spans.c - bytes and room in place: pullup, peek, expand, reserve and commit,
 * pins.
 *
 *     [ring: d d d d . . . .]->[empty ring: . . . . . . . .]
 *            ^pin      ^room 1              ^room 2 (or 3, when 1 wraps)
 *       `last` ----'              reserved behind `last`
 *
 * Room that was reserved is found again by its address when it is committed, so
 * nothing is remembered in between, and any change in between shows.
 */
#include "buf/file.h"
#include "buf/inner.h"

/* --- Bytes --- */

/* Have `ring`, which has room for them in one piece, hold `n` bytes more, those of the
 * segments from `from` on. 0, or why a file cannot be read: then nothing has changed. */
static int gather(const struct evbuffer *buf, struct pe_seg *ring, struct pe_seg *from,
                  size_t n) {
    const struct pe_at at = {from, 0, 0};
    int err = pe_buf_copy(buf, &at, ring->data + (ring->tail & ring->mask), n);

    if (err == 0)
        ring->tail += n;
    return err;
}

/* Take the `n` bytes that `ring`, which is first, has gathered off the segments behind
 * it. */
static void drop_gathered(struct evbuffer *buf, struct pe_seg *ring, size_t n,
                          struct pe_released *dead) {
    buf->epoch++;
    while (n > 0) {
        struct pe_seg *seg = ring->next;
        size_t here = pe_seg_used(seg);

        if (here > n)
            here = n;
        seg->head += here;
        n -= here;
        if (pe_seg_used(seg) > 0)
            return;
        ring->next = seg->next;
        if (buf->last == seg)
            buf->last = ring;
        pe_seg_drop(seg, buf->pool, dead);
    }
}

unsigned char *evbuffer_pullup(struct evbuffer *buf, ev_ssize_t size) {
    size_t n = size < 0 ? buf->len : (size_t)size;
    struct pe_released dead = {NULL, NULL};
    struct pe_seg *first = buf->first, *ring;
    unsigned char *bytes;
    int err = 0;

    if (n == 0 || n > buf->len) {
        errno = EINVAL;
        return NULL;
    }
    if (first->data != NULL && pe_seg_run(first, 0, pe_seg_used(first)) >= n)
        return pe_seg_at(first, 0);
    if (buf->flags & PE_BUF_PINNED) {
        errno = EBUSY;
        return NULL;
    }
    pe_seg_reopen(first);
    if (first->limit > 0 && (first->head & first->mask) + n <= first->limit) {
        size_t more = n - pe_seg_used(first);

        err = gather(buf, first, first->next, more);
        if (err == 0)
            drop_gathered(buf, first, more, &dead);
    } else {
        ring = pe_seg_ring(buf->pool, n);
        err = ring != NULL ? gather(buf, ring, first, n) : -ENOMEM;
        if (err == 0) {
            ring->next = first;
            buf->first = ring;
            drop_gathered(buf, ring, n, &dead);
        } else if (ring != NULL) {
            pe_pool_give(ring, buf->pool);
        }
    }
    if (err != 0) {
        errno = -err;
        return NULL;
    }
    bytes = pe_seg_at(buf->first, 0);
    pe_buf_release(&dead);
    return bytes;
}

static PE_COLD int peek_on(struct evbuffer *buf, ev_ssize_t len,
                           const struct evbuffer_ptr *start_at, struct evbuffer_iovec *vec_out,
                           int n_vec) {
    size_t want = len < 0 ? PE_BUF_MAX : (size_t)len;
    size_t seen = 0, n;
    int err, count = 0;
    struct pe_at at;

    if (!pe_buf_resolve(buf, start_at, &at))
        return pe_fail(-EINVAL);
    while (seen < want && at.seg != NULL) {
        if (count < n_vec) {
            err = pe_buf_load(buf, &at);
            if (err != 0)
                return pe_fail(err);
            /* An iovec is for writing and for reading; this one is for reading. */
            vec_out[count].iov_base = (void *)(uintptr_t)pe_at_span(&at, &n);
            vec_out[count].iov_len = n;
        } else if (len < 0 && n_vec > 0) {
            break;
        } else if (at.seg->data != NULL) {
            (void)pe_at_span(&at, &n);
        } else { /* what it would take, were it read */
            n = pe_seg_used(at.seg) - at.off;
            if (n > PE_FILE_PIECE)
                n = PE_FILE_PIECE;
        }
        count++;
        seen += n;
        pe_at_step(buf, &at, n);
    }
    return count;
}

int evbuffer_peek(struct evbuffer *buffer, ev_ssize_t len, struct evbuffer_ptr *start_at,
                  struct evbuffer_iovec *vec_out, int n_vec) {
    const struct pe_seg *first = buffer->first;

    /* Few bytes at the start: they are in the first span. */
    if (start_at == NULL && len > 0 && n_vec > 0 && first != NULL && first->data != NULL) {
        size_t run = pe_seg_run(first, 0, pe_seg_used(first));

        if ((size_t)len <= run) {
            vec_out[0].iov_base = pe_seg_at(first, 0);
            vec_out[0].iov_len = run;
            return 1;
        }
    }
    return peek_on(buffer, len, start_at, vec_out, n_vec);
}

const unsigned char *pe_evbuffer_first(struct evbuffer *buf, size_t *len) {
    struct pe_at at;

    pe_buf_seek(buf, 0, &at);
    if (pe_buf_load(buf, &at) != 0) {
        *len = 0;
        return NULL;
    }
    return pe_at_span(&at, len);
}

/* --- Room --- */

/* The free spans behind the tail of `last`. */
static int room_of_last(struct evbuffer *buf, struct iovec out[2]) {
    if (buf->last == NULL)
        return 0;
    pe_seg_reopen(buf->last);
    return pe_seg_free_spans(buf->last, out);
}

/* The ring behind `last` (`last` itself when there was none), with `n` bytes of
 * room; made unless it is there. NULL when memory is out. */
static struct pe_seg *room_behind(struct evbuffer *buf, size_t n) {
    struct pe_seg *ring;

    if (buf->last != NULL && buf->last->next != NULL && buf->last->next->limit >= n)
        return buf->last->next;
    ring = pe_seg_ring(buf->pool, pe_buf_ring_size(buf, n));
    if (ring == NULL)
        return NULL;
    pe_buf_drop_room(buf);
    if (buf->last == NULL)
        buf->first = buf->last = ring;
    else
        buf->last->next = ring;
    return ring;
}

/* One span of at least `n` bytes, where adding goes on. 0 or a negative errno. */
static int room_in_one(struct evbuffer *buf, size_t n, struct iovec *out) {
    struct iovec spans[2];
    struct pe_seg *ring;

    if (!pe_buf_fits(buf, n))
        return -EOVERFLOW;
    if (room_of_last(buf, spans) > 0 && spans[0].iov_len >= n) {
        *out = spans[0];
        return 0;
    }
    ring = room_behind(buf, n);
    if (ring == NULL)
        return -ENOMEM;
    out->iov_base = ring->data;
    out->iov_len = ring->limit;
    return 0;
}

int evbuffer_expand(struct evbuffer *buf, size_t datlen) {
    struct iovec room;
    int err;

    if (datlen == 0)
        return 0;
    err = buf->flags & PE_BUF_DYING ? -EPERM : room_in_one(buf, datlen, &room);
    return err != 0 ? pe_fail(err) : 0;
}

/* Room in up to `n_vec` >= 2 spans: those of `last`, then a ring behind them. */
static int room_in_many(struct evbuffer *buf, size_t size, struct iovec *vec, int n_vec) {
    struct iovec spans[2];
    int count = room_of_last(buf, spans);
    size_t have = 0;
    struct pe_seg *ring;

    for (int i = 0; i < count; i++) {
        vec[i] = spans[i];
        have += spans[i].iov_len;
    }
    if (have >= size)
        return count;
    if (count == n_vec) {
        count--;
        have -= vec[count].iov_len;
    }
    if (buf->len == 0)
        count = 0; /* an empty ring that is too small is replaced */
    ring = room_behind(buf, buf->len == 0 ? size : size - have);
    if (ring == NULL)
        return -ENOMEM;
    vec[count].iov_base = ring->data;
    vec[count].iov_len = ring->limit;
    return count + 1;
}

int evbuffer_reserve_space(struct evbuffer *buf, ev_ssize_t size,
                           struct evbuffer_iovec *vec, int n_vec) {
    size_t want = size > 0 ? (size_t)size : 1;
    int n = pe_buf_may_add(buf);

    if (n == 0 && (n_vec < 1 || size < 0))
        n = -EINVAL;
    if (n == 0 && !pe_buf_fits(buf, want))
        n = -EOVERFLOW;
    if (n == 0 && n_vec == 1) {
        n = room_in_one(buf, want, &vec[0]);
        if (n == 0)
            n = 1;
    } else if (n == 0) {
        n = room_in_many(buf, want, vec, n_vec);
    }
    return n < 0 ? pe_fail(n) : n;
}

/* Whether what is committed lies in the room `span`. */
static bool is_within(const struct iovec *part, const struct iovec *span) {
    return part->iov_base == span->iov_base && part->iov_len <= span->iov_len;
}

/* Append what was written into the free spans of `last`. When the first was not
 * filled, the bytes of the second close up. */
static void commit_last(struct pe_seg *last, const struct iovec *spans,
                        const struct iovec *vec, int n) {
    size_t gap = spans[0].iov_len - vec[0].iov_len, closed = 0;

    last->tail += vec[0].iov_len;
    if (n < 2)
        return;
    if (gap > 0) {
        closed = gap < vec[1].iov_len ? gap : vec[1].iov_len;
        memcpy(last->data + (last->tail & last->mask), last->data, closed);
        memmove(last->data, last->data + closed, vec[1].iov_len - closed);
    }
    last->tail += vec[1].iov_len;
}

int evbuffer_commit_space(struct evbuffer *buf, struct evbuffer_iovec *vec, int n_vecs) {
    struct pe_seg *last = buf->last, *behind = NULL;
    struct iovec spans[2];
    size_t total = 0;
    int in_last = 0, matched, n_spans, err = pe_buf_may_add(buf);

    if (err != 0)
        return pe_fail(err);
    if (n_vecs == 0)
        return 0;
    n_spans = room_of_last(buf, spans);
    while (in_last < n_spans && in_last < n_vecs && is_within(&vec[in_last], &spans[in_last]))
        in_last++;
    matched = in_last;
    if (matched < n_vecs && last != NULL && last->next != NULL) {
        const struct iovec room = {last->next->data, last->next->limit};

        if (is_within(&vec[matched], &room)) {
            behind = last->next;
            matched++;
        }
    }
    for (int i = 0; i < matched; i++)
        total += vec[i].iov_len;
    if (matched != n_vecs || !pe_buf_fits(buf, total))
        return pe_fail(matched != n_vecs ? -EINVAL : -EOVERFLOW);

    if (in_last > 0)
        commit_last(last, spans, vec, in_last);
    if (behind != NULL && vec[in_last].iov_len > 0) {
        behind->tail += vec[in_last].iov_len;
        buf->last = behind; /* there is one only behind a `last` with bytes */
    }
    buf->len += total;
    pe_buf_tell(buf, total, 0);
    return 0;
}

/* --- Pins --- */

static int pin_start(struct evbuffer *buf, struct pe_pin *pin) {
    if (pe_buf_extras(buf) == NULL)
        return -ENOMEM;
    pe_list_init(&pin->link);
    pe_list_push_back(&buf->extras->pins, &pin->link);
    pin->buf = buf;
    return 0;
}

int pe_evbuffer_pin(struct evbuffer *buf, size_t pos, size_t max, struct pe_pin *pin) {
    struct pe_at at;
    size_t n;
    int err;

    pe_buf_seek(buf, pos, &at);
    if (at.seg == NULL)
        return -EINVAL;
    err = pe_buf_load(buf, &at);
    if (err == 0)
        err = pin_start(buf, pin);
    if (err != 0)
        return err;
    pe_seg_hold(at.seg);
    pin->data = pe_seg_at(at.seg, at.off);
    (void)pe_at_span(&at, &n);
    pin->len = n < max ? n : max;
    pin->seg = at.seg;
    pin->is_room = false;
    buf->extras->held++;
    buf->flags |= PE_BUF_PINNED;
    return 0;
}

int pe_evbuffer_reserve_pin(struct evbuffer *buf, size_t n, struct pe_pin *pin) {
    struct pe_seg *ring;
    int err = pe_buf_may_add(buf);

    if (err != 0)
        return err;
    if (!pe_buf_fits(buf, n))
        return -EOVERFLOW;
    ring = pe_seg_ring(buf->pool, n);
    if (ring == NULL)
        return -ENOMEM;
    err = pin_start(buf, pin);
    if (err != 0) {
        pe_pool_give(ring, buf->pool);
        return err;
    }
    pin->data = ring->data;
    pin->len = ring->limit;
    pin->seg = ring;
    pin->is_room = true;
    return 0;
}

void pe_evbuffer_unpin(struct pe_pin *pin) {
    struct evbuffer *buf = pin->buf;
    struct pe_released dead = {NULL, NULL};

    pe_list_remove(&pin->link);
    pin->buf = NULL;
    if (buf != NULL && !pin->is_room && --buf->extras->held == 0)
        buf->flags &= (uint8_t)~PE_BUF_PINNED;
    pe_seg_drop(pin->seg, buf != NULL ? buf->pool : NULL, &dead);
    pin->seg = NULL;
    pe_buf_release(&dead);
}

int pe_evbuffer_commit_pin(struct pe_pin *pin, size_t n) {
    struct evbuffer *buf = pin->buf;
    struct pe_seg *ring = pin->seg;
    int err;

    if (buf == NULL || n > pin->len)
        return -EINVAL;
    err = pe_buf_may_add(buf);
    if (err == 0 && !pe_buf_fits(buf, n))
        err = -EOVERFLOW;
    if (err != 0)
        return err;
    if (n == 0) {
        pe_evbuffer_unpin(pin);
        return 0;
    }
    pe_list_remove(&pin->link);
    pin->buf = NULL;
    pin->seg = NULL;
    if (buf->last != NULL)
        pe_seg_reopen(buf->last);
    if (buf->last != NULL && n <= 512 && pe_seg_room(buf->last) >= n) {
        /* Little: behind the last byte, or small commits would fill memory with rings. */
        pe_seg_put(buf->last, ring->data, n);
        buf->len += n;
        pe_pool_give(ring, buf->pool);
    } else {
        ring->tail = n;
        pe_buf_link(buf, ring);
    }
    pe_buf_tell(buf, n, 0);
    return 0;
}
