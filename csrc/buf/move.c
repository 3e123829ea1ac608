/* move.c - from buffer to buffer without copying.
 *
 * A whole buffer moves by relinking its chain: the segments know where they came
 * from, so it does not matter whose they are now. Two things are copied: what
 * is in rings and so little that it fits behind the last byte of the other buffer (or
 * a thousand small moves would leave a thousand rings with a few bytes each), and
 * the part of a ring that is cut in two. Lent memory, shared bytes and files are
 * never copied: cut in two, both halves refer to the same.
 *
 * A pinned segment may move: its bytes stay where they are, and the pin keeps
 * them alive.
 */
#include "buf/inner.h"

#define COPY_MAX 512 /* bytes copied rather than moved with their segment */

/* The chain of `from`, which becomes empty, goes to the end of `to`. */
static void splice_back(struct evbuffer *to, struct evbuffer *from) {
    pe_buf_drop_room(from);
    if (to->len == 0) {
        pe_buf_drop_room(to);
        to->searched = from->searched;
        to->searched_for = from->searched_for;
        to->first = from->first;
    } else {
        from->last->next = to->last->next;
        to->last->next = from->first;
    }
    to->last = from->last;
    to->len += from->len;
    to->flags |= from->flags & PE_BUF_FILES;
    from->first = from->last = NULL;
    from->len = 0;
    from->searched = 0;
    from->epoch++;
    from->flags &= (uint8_t)~PE_BUF_FILES;
}

/* Whether the first `n` bytes are all in rings. */
static bool are_in_rings(const struct pe_seg *seg, size_t n) {
    for (; seg->kind == PE_SEG_RING; seg = seg->next) {
        if (n <= pe_seg_used(seg))
            return true;
        n -= pe_seg_used(seg);
    }
    return false;
}

/* Copy `n` bytes from the front of `from` into the room of `to`'s last ring. */
static bool copied_into_room(struct evbuffer *to, const struct evbuffer *from, size_t n) {
    if (n > COPY_MAX || to->last == NULL)
        return false;
    pe_seg_reopen(to->last);
    if (pe_seg_room(to->last) < n || !are_in_rings(from->first, n))
        return false;
    to->len += n;
    for (struct pe_at at = {from->first, 0, 0}; n > 0;) {
        size_t here;
        const unsigned char *p = pe_at_span(&at, &here);

        if (here > n)
            here = n;
        pe_seg_put(to->last, p, here);
        n -= here;
        pe_at_step(from, &at, here);
    }
    return true;
}

/* A segment for `to` with the first `n` bytes of `seg`; NULL when memory is out. */
static struct pe_seg *part_of(struct evbuffer *to, struct pe_seg *seg, size_t n) {
    struct pe_seg *part;

    if (seg->kind != PE_SEG_RING)
        return pe_seg_share(to->pool, seg, 0, n);
    part = pe_seg_ring(to->pool, n);
    if (part != NULL) {
        pe_seg_copy(seg, 0, part->data, n);
        part->tail = n;
    }
    return part;
}

/* Move `n` < len bytes: whole segments as they are, then a part of the next. */
static int move_part(struct evbuffer *to, struct evbuffer *from, size_t n) {
    struct pe_seg *stay = from->first, *whole = NULL, *part = NULL;
    size_t rest = n;

    while (pe_seg_used(stay) <= rest) {
        rest -= pe_seg_used(stay);
        whole = stay;
        stay = stay->next;
    }
    if (rest > 0) {
        part = part_of(to, stay, rest);
        if (part == NULL)
            return -ENOMEM;
    }
    if (whole != NULL) {
        whole->next = NULL;
        for (struct pe_seg *seg = from->first, *next; seg != NULL; seg = next) {
            next = seg->next;
            pe_buf_link(to, seg);
        }
    }
    if (part != NULL)
        pe_buf_link(to, part);
    to->flags |= from->flags & PE_BUF_FILES;
    from->first = stay;
    stay->head += rest;
    from->len -= n;
    from->searched = from->searched > n ? from->searched - n : 0;
    from->epoch++;
    return 0;
}

/* Move `n` bytes (0 < n <= len). What `dead` then holds is to be released last. */
static int move_bytes(struct evbuffer *to, struct evbuffer *from, size_t n,
                      struct pe_released *dead) {
    if (!pe_buf_fits(to, n))
        return -EOVERFLOW;
    if (copied_into_room(to, from, n)) {
        pe_buf_consume(from, n, dead);
        return 0;
    }
    if (n < from->len)
        return move_part(to, from, n);
    splice_back(to, from);
    return 0;
}

static int move_and_tell(struct evbuffer *to, struct evbuffer *from, size_t n) {
    struct pe_released dead = {NULL, NULL};
    int err = move_bytes(to, from, n, &dead);

    if (err != 0)
        return err;
    pe_buf_tell_moved(to, from, n);
    pe_buf_release(&dead);
    return 0;
}

ssize_t pe_evbuffer_move(struct evbuffer *dst, struct evbuffer *src, size_t max) {
    size_t n = max < src->len ? max : src->len;
    int err = 0;

    if (n > 0 && dst != src)
        err = move_and_tell(dst, src, n);
    return err != 0 ? err : (ssize_t)n;
}

int evbuffer_add_buffer(struct evbuffer *outbuf, struct evbuffer *inbuf) {
    int err;

    if (inbuf->len == 0 || outbuf == inbuf)
        return 0;
    err = pe_buf_may_add(outbuf);
    if (err == 0)
        err = pe_buf_may_take(inbuf);
    if (err == 0)
        err = move_and_tell(outbuf, inbuf, inbuf->len);
    return err != 0 ? pe_fail(err) : 0;
}

ssize_t pe_evbuffer_remove_buffer(struct evbuffer *src, struct evbuffer *dst, size_t max) {
    size_t n = max < src->len ? max : src->len;
    int err;

    if (max == 0 || src == dst)
        return 0;
    err = pe_buf_may_add(dst);
    if (err == 0)
        err = pe_buf_may_take(src);
    if (err == 0 && n > 0)
        err = move_and_tell(dst, src, n);
    return err != 0 ? err : (ssize_t)n;
}

int evbuffer_remove_buffer(struct evbuffer *src, struct evbuffer *dst, size_t datlen) {
    /* No more than the answer can say. */
    ssize_t n = pe_evbuffer_remove_buffer(src, dst, datlen < INT_MAX ? datlen : INT_MAX);

    return n < 0 ? pe_fail((int)n) : (int)n;
}

int evbuffer_prepend_buffer(struct evbuffer *outbuf, struct evbuffer *inbuf) {
    size_t n = inbuf->len;
    int err;

    if (n == 0 || outbuf == inbuf)
        return 0;
    err = pe_buf_may_take(outbuf);
    if (err == 0)
        err = pe_buf_may_take(inbuf);
    if (err == 0 && !pe_buf_fits(outbuf, n))
        err = -EOVERFLOW;
    if (err != 0)
        return pe_fail(err);
    if (outbuf->len == 0) {
        splice_back(outbuf, inbuf);
    } else {
        /* To the end of the one, then the chain changes hands. */
        struct pe_seg *first, *last;

        pe_buf_drop_room(inbuf);
        first = inbuf->first;
        last = inbuf->last;
        last->next = outbuf->first;
        outbuf->first = first;
        outbuf->len += n;
        outbuf->flags |= inbuf->flags & PE_BUF_FILES;
        inbuf->first = inbuf->last = NULL;
        inbuf->len = 0;
        inbuf->searched = 0;
        inbuf->epoch++;
        inbuf->flags &= (uint8_t)~PE_BUF_FILES;
    }
    outbuf->searched = 0;
    outbuf->epoch++;
    pe_buf_tell_moved(outbuf, inbuf, n);
    return 0;
}

/* --- The same bytes in two buffers --- */

/* Segments that show all of `inbuf`, linked to each other; NULL: out of memory. */
static struct pe_seg *shares_of(struct evbuffer *outbuf, struct evbuffer *inbuf) {
    struct pe_released dead = {NULL, NULL}; /* stays empty: `inbuf` still holds everything */
    struct pe_seg *first = NULL, **link = &first;

    for (struct pe_seg *seg = inbuf->first; seg != NULL; seg = seg->next) {
        if (pe_seg_used(seg) == 0)
            break; /* room behind the last byte */
        *link = pe_seg_share(outbuf->pool, seg, 0, pe_seg_used(seg));
        if (*link == NULL)
            goto free_shares;
        pe_seg_extra(*link)->is_multicast = true;
        link = &(*link)->next;
    }
    return first;
free_shares:
    while (first != NULL) {
        struct pe_seg *next = first->next;

        pe_seg_drop(first, outbuf->pool, &dead);
        first = next;
    }
    return NULL;
}

int evbuffer_add_buffer_reference(struct evbuffer *outbuf, struct evbuffer *inbuf) {
    size_t n = inbuf->len;
    struct pe_seg *seg;
    int err;

    if (n == 0)
        return 0;
    err = outbuf == inbuf ? -EINVAL : pe_buf_may_add(outbuf);
    for (seg = inbuf->first; seg != NULL && err == 0; seg = seg->next) {
        if (seg->kind == PE_SEG_FILE ||
            (seg->kind == PE_SEG_SHARE && pe_seg_extra(seg)->is_multicast))
            err = -EINVAL;
    }
    if (err == 0 && !pe_buf_fits(outbuf, n))
        err = -EOVERFLOW;
    if (err != 0)
        return pe_fail(err);
    seg = shares_of(outbuf, inbuf);
    if (seg == NULL)
        return pe_fail(-ENOMEM);
    while (seg != NULL) {
        struct pe_seg *next = seg->next;

        pe_buf_link(outbuf, seg);
        seg = next;
    }
    pe_buf_tell(outbuf, n, 0);
    return 0;
}
