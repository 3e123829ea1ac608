/* evbuffer.c - life, flags and the chain of an evbuffer.
 *
 * evbuffer.h says what a buffer is and which invariants hold; inner.h what the
 * steps of a call are. Here are those steps that change the chain without
 * moving a byte, and the calls that only ask or set.
 */
#include "buf/file.h"
#include "buf/inner.h"

#define MAX_READ_DEFAULT 4096         /* of a buffer of its own */
#define MAX_READ_EMBEDDED 16384       /* of a bufferevent's */
#define GROWTH_MAX ((size_t)64 * 1024) /* rings grow by themselves up to this */

/* --- Life --- */

void pe_evbuffer_init(struct evbuffer *buf, struct pe_pool *pool, pe_evbuffer_hook hook) {
    memset(buf, 0, sizeof(*buf));
    buf->pool = pool;
    buf->hook = hook;
    buf->epoch = 1; /* 0 is what a zeroed struct evbuffer_ptr has */
    buf->read_class = PE_CLASS_FIRST_RING + 1;
    pe_pool_join(pool);
}

struct evbuffer *evbuffer_new(void) {
    struct evbuffer *buf = pe_malloc(PE_MEM_BUFFER, sizeof(*buf));

    if (buf == NULL)
        return NULL;
    pe_evbuffer_init(buf, NULL, NULL);
    buf->flags = PE_BUF_ALLOCATED;
    return buf;
}

/* Cleanups run while the buffer is still there, frozen at both ends, as they may
 * well call something on it. */
void pe_evbuffer_fini(struct evbuffer *buf) {
    struct pe_released dead = {NULL, NULL};

    buf->flags |= PE_BUF_DYING | PE_BUF_FROZEN_START | PE_BUF_FROZEN_END;
    buf->hook = NULL;
    pe_buf_clear(buf, &dead);
    pe_buf_release(&dead);
    if (buf->extras != NULL)
        pe_buf_fini_extras(buf);
    for (struct pe_call *call = buf->calls; call != NULL; call = call->outer)
        call->gone = true;
    pe_pool_leave(buf->pool);
}

void evbuffer_free(struct evbuffer *buf) {
    if (buf == NULL || (buf->flags & (PE_BUF_ALLOCATED | PE_BUF_DYING)) != PE_BUF_ALLOCATED)
        return;
    pe_evbuffer_fini(buf);
    pe_free(PE_MEM_BUFFER, buf);
}

/* --- Calling out --- */

void pe_call_enter(struct evbuffer *buf, struct pe_call *call) {
    pe_calls_enter(&buf->calls, call);
}

bool pe_call_leave(struct evbuffer *buf, struct pe_call *call) {
    if (call->gone)
        return true;
    pe_calls_leave(&buf->calls, call);
    return false;
}

/* --- The chain --- */

void pe_buf_clear(struct evbuffer *buf, struct pe_released *dead) {
    struct pe_seg *seg = buf->first;

    if (seg == NULL)
        return;
    buf->first = buf->last = NULL;
    buf->len = 0;
    buf->searched = 0;
    buf->epoch++;
    buf->flags &= (uint8_t)~PE_BUF_FILES;
    do {
        struct pe_seg *next = seg->next;

        pe_seg_drop(seg, buf->pool, dead);
        seg = next;
    } while (seg != NULL);
}

void pe_buf_consume_segs(struct evbuffer *buf, size_t n, struct pe_released *dead) {
    if (n == buf->len) {
        pe_buf_clear(buf, dead);
        return;
    }
    buf->len -= n;
    buf->epoch++;
    buf->searched = buf->searched > n ? buf->searched - n : 0;
    for (;;) {
        struct pe_seg *seg = buf->first;
        size_t used = pe_seg_used(seg);

        if (n < used) {
            seg->head += n;
            return;
        }
        n -= used;
        buf->first = seg->next;
        pe_seg_drop(seg, buf->pool, dead);
    }
}

void pe_buf_drop_room(struct evbuffer *buf) {
    struct pe_released dead = {NULL, NULL}; /* stays empty: rings call nobody */
    struct pe_seg *seg;

    if (buf->last == NULL)
        return;
    if (buf->len == 0) {
        pe_buf_clear(buf, &dead);
        return;
    }
    seg = buf->last->next;
    buf->last->next = NULL;
    while (seg != NULL) {
        struct pe_seg *next = seg->next;

        pe_seg_drop(seg, buf->pool, &dead);
        seg = next;
    }
}

void pe_buf_link(struct evbuffer *buf, struct pe_seg *seg) {
    if (buf->len == 0 && buf->last != NULL)
        pe_buf_drop_room(buf);
    if (buf->last == NULL) {
        seg->next = NULL;
        buf->first = seg;
    } else {
        seg->next = buf->last->next;
        buf->last->next = seg;
    }
    buf->last = seg;
    buf->len += pe_seg_used(seg);
}

size_t pe_buf_ring_size(const struct evbuffer *buf, size_t n) {
    size_t grown;

    if (buf->last == NULL || buf->last->kind != PE_SEG_RING)
        return n;
    grown = (buf->last->mask + 1) * 4;
    if (grown > GROWTH_MAX)
        grown = GROWTH_MAX;
    return n > grown ? n : grown;
}

/* --- Places --- */

void pe_buf_seek_on(const struct evbuffer *buf, size_t pos, struct pe_at *out) {
    struct pe_seg *seg = buf->first;

    out->seg = NULL;
    out->off = 0;
    out->pos = pos;
    if (pos >= buf->len)
        return;
    while (pos >= pe_seg_used(seg)) {
        pos -= pe_seg_used(seg);
        seg = seg->next;
    }
    out->seg = seg;
    out->off = pos;
}

int pe_buf_copy(const struct evbuffer *buf, const struct pe_at *from, void *out, size_t n) {
    struct pe_at at = *from;
    char *to = out;
    int err;

    while (n > 0) {
        size_t here = pe_seg_used(at.seg) - at.off;

        if (here > n)
            here = n;
        if (at.seg->data != NULL) {
            pe_seg_copy(at.seg, at.off, to, here);
        } else {
            err = pe_file_read_all(pe_seg_extra(at.seg)->file, at.seg->head + at.off, to, here);
            if (err != 0)
                return err;
        }
        to += here;
        n -= here;
        pe_at_step(buf, &at, here);
    }
    return 0;
}

/* --- Asking and setting --- */

size_t evbuffer_get_length(const struct evbuffer *buf) {
    return buf->len;
}

size_t evbuffer_get_contiguous_space(const struct evbuffer *buf) {
    return buf->len == 0 ? 0 : pe_seg_run(buf->first, 0, pe_seg_used(buf->first));
}

int evbuffer_set_max_read(struct evbuffer *buf, size_t max) {
    struct pe_evbuffer_extras *extras;

    if (max == 0 || max > INT_MAX)
        return pe_fail(-EINVAL);
    extras = pe_buf_extras(buf);
    if (extras == NULL)
        return pe_fail(-ENOMEM);
    extras->max_read = max;
    return 0;
}

size_t evbuffer_get_max_read(struct evbuffer *buf) {
    if (buf->extras != NULL && buf->extras->max_read != 0)
        return buf->extras->max_read;
    return buf->flags & PE_BUF_ALLOCATED ? MAX_READ_DEFAULT : MAX_READ_EMBEDDED;
}

int evbuffer_enable_locking(struct evbuffer *buf, void *lock) {
    (void)buf;
    (void)lock;
    return 0;
}

void evbuffer_lock(struct evbuffer *buf) {
    (void)buf;
}

void evbuffer_unlock(struct evbuffer *buf) {
    (void)buf;
}

/* There is one flag, and what it allows is done anyway: see buffer.h. */
int evbuffer_set_flags(struct evbuffer *buf, ev_uint64_t flags) {
    (void)buf;
    (void)flags;
    return 0;
}

int evbuffer_clear_flags(struct evbuffer *buf, ev_uint64_t flags) {
    (void)buf;
    (void)flags;
    return 0;
}

int evbuffer_freeze(struct evbuffer *buf, int at_front) {
    buf->flags |= at_front ? PE_BUF_FROZEN_START : PE_BUF_FROZEN_END;
    return 0;
}

int evbuffer_unfreeze(struct evbuffer *buf, int at_front) {
    if (buf->flags & PE_BUF_DYING)
        return pe_fail(-EPERM);
    buf->flags &= (uint8_t) ~(at_front ? PE_BUF_FROZEN_START : PE_BUF_FROZEN_END);
    return 0;
}
