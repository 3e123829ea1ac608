/* inner.h - what the files of this folder share about struct evbuffer.
 *
 * Every public call has the same four steps:
 *
 *     look     is this end frozen, pinned; are the arguments sane
 *     prepare  get all memory; a failure here leaves the buffer as it was
 *     change   relink segments, set lengths; cannot fail
 *     tell     hook, callbacks, then the collected cleanups; touch nothing after
 *
 * Functions named pe_buf_ do one of the steps and call nobody.
 */
#ifndef PE_BUF_INNER_H
#define PE_BUF_INNER_H

#include "base/errors.h"
#include "base/list.h"
#include "base/mem.h"
#include "buf/evbuffer.h"
#include "buf/quick.h"
#include "buf/seg.h"

#include <errno.h>
#include <limits.h>

#define PE_BUF_MAX ((size_t)SSIZE_MAX) /* no buffer is longer: positions are ssize_t */

#define PE_COLD __attribute__((noinline)) /* keeps the registers of hot paths few */

/* What only some buffers need. */
struct pe_evbuffer_extras {
    struct evbuffer *buf;
    struct pe_link of_all; /* notify.c: for a forked child */
    struct pe_link callbacks; /* of struct evbuffer_cb_entry, newest first */
    struct pe_link pins;      /* of struct pe_pin */
    unsigned held;            /* pins that hold bytes: those that are no room */
    size_t max_read;          /* 0: the default */
    unsigned running;         /* walks over `callbacks` going on */
    bool scheduled;           /* deferred callbacks are on their way */
    const struct pe_defer_ops *defer; /* NULL: callbacks run at once */
    void *defer_arg;
    size_t added, removed; /* since deferred callbacks last ran */
};

/* The extras, made when they are not there; NULL when memory is out. */
struct pe_evbuffer_extras *pe_buf_extras(struct evbuffer *buf);

/* --- Look --- */

/* 0, or why the user may not change that end. */
static inline int pe_buf_may_take(const struct evbuffer *buf) {
    if (PE_LIKELY((buf->flags & (PE_BUF_FROZEN_START | PE_BUF_PINNED)) == 0))
        return 0;
    return buf->flags & PE_BUF_FROZEN_START ? -EPERM : -EBUSY;
}

static inline int pe_buf_may_add(const struct evbuffer *buf) {
    return PE_LIKELY((buf->flags & PE_BUF_FROZEN_END) == 0) ? 0 : -EPERM;
}

/* Whether `n` more bytes are still a length. */
static inline bool pe_buf_fits(const struct evbuffer *buf, size_t n) {
    return n <= PE_BUF_MAX - buf->len;
}

bool pe_buf_look_for_files(struct evbuffer *buf);

/* Whether there are bytes that are only in files. */
static inline bool pe_buf_has_files(struct evbuffer *buf) {
    return PE_UNLIKELY((buf->flags & PE_BUF_FILES) != 0) && pe_buf_look_for_files(buf);
}

/* --- Change --- */

/* Add a copy of `n` bytes: all, or a negative errno and nothing. */
int pe_buf_append(struct evbuffer *buf, const void *data, size_t n);

void pe_buf_consume_segs(struct evbuffer *buf, size_t n, struct pe_released *dead);

/* Take `n` bytes (0 < n <= len) off the front. */
static inline void pe_buf_consume(struct evbuffer *buf, size_t n, struct pe_released *dead) {
    if (n < pe_seg_used(buf->first))
        pe_buf_step(buf, n);
    else
        pe_buf_consume_segs(buf, n, dead);
}

/* Let go of every segment. */
void pe_buf_clear(struct evbuffer *buf, struct pe_released *dead);

/* Put a segment with bytes behind the last byte: after `last`, before any room
 * that was reserved. */
void pe_buf_link(struct evbuffer *buf, struct pe_seg *seg);

/* Give back the empty rings behind `last`, and an empty one that is `last`. */
void pe_buf_drop_room(struct evbuffer *buf);

/* How large the next ring should be when `n` bytes wait for room: it grows with
 * the buffer. */
size_t pe_buf_ring_size(const struct evbuffer *buf, size_t n);

/* --- Tell --- */

void pe_call_enter(struct evbuffer *buf, struct pe_call *call);

/* Whether the buffer is gone. */
bool pe_call_leave(struct evbuffer *buf, struct pe_call *call);

void pe_buf_tell_slowly(struct evbuffer *buf, size_t added, size_t removed);

/* A connection's buffers have a hook and seldom more: that is called from here. */
static inline void pe_buf_tell(struct evbuffer *buf, size_t added, size_t removed) {
    if (PE_UNLIKELY(buf->extras != NULL))
        pe_buf_tell_slowly(buf, added, removed);
    else if (buf->hook != NULL && (added | removed) != 0)
        buf->hook(buf, added, removed);
}

/* After `n` bytes went from `from` to `to`. */
void pe_buf_tell_moved(struct evbuffer *to, struct evbuffer *from, size_t n);

static inline void pe_buf_release(struct pe_released *dead) {
    if (PE_UNLIKELY(dead->first != NULL))
        pe_released_run(dead);
}

/* Forget callbacks, deferral and pins: the buffer goes away. */
void pe_buf_fini_extras(struct evbuffer *buf);

/* --- Places --- */

/* A byte of a buffer; at the end `seg` is NULL. */
struct pe_at {
    struct pe_seg *seg;
    size_t off; /* in its bytes, from the head */
    size_t pos; /* in the buffer */
};

void pe_buf_seek_on(const struct evbuffer *buf, size_t pos, struct pe_at *out);

/* The place at `pos`, which is at most the length. */
static inline void pe_buf_seek(const struct evbuffer *buf, size_t pos, struct pe_at *out) {
    out->pos = pos;
    if (PE_LIKELY(pos < buf->len && pos < pe_seg_used(buf->first))) {
        out->seg = buf->first;
        out->off = pos;
    } else {
        pe_buf_seek_on(buf, pos, out);
    }
}

/* The place of a pointer (NULL: the start); quick while its epoch is right.
 * False when it is outside the buffer. */
static inline bool pe_buf_resolve(const struct evbuffer *buf, const struct evbuffer_ptr *ptr,
                                  struct pe_at *out) {
    if (ptr == NULL) {
        pe_buf_seek(buf, 0, out);
        return true;
    }
    if (PE_LIKELY(ptr->internal_.chain != NULL && ptr->internal_.epoch == buf->epoch)) {
        out->seg = ptr->internal_.chain;
        out->off = ptr->internal_.pos_in_chain;
        out->pos = (size_t)ptr->pos;
        return true;
    }
    if (ptr->pos < 0 || (size_t)ptr->pos > buf->len)
        return false;
    pe_buf_seek(buf, (size_t)ptr->pos, out);
    return true;
}

/* Stored two words at a time, as callers copy it: a wide load of what was just
 * stored in single words waits until all of it has reached the cache. */
static inline struct evbuffer_ptr pe_buf_ptr(const struct evbuffer *buf, struct pe_seg *seg,
                                             size_t off, size_t pos) {
    typedef uintptr_t two_words __attribute__((vector_size(2 * sizeof(uintptr_t))));
    const two_words words[2] = {{pos, (uintptr_t)seg}, {off, buf->epoch}};
    struct evbuffer_ptr ptr;

    _Static_assert(sizeof(ptr) == sizeof(words), "four words");
    memcpy(&ptr, words, sizeof(ptr));
    return ptr;
}

/* The contiguous bytes at `at`, which are in memory, how many in `*n`; 0 at the end. */
static inline const unsigned char *pe_at_span(const struct pe_at *at, size_t *n) {
    if (at->seg == NULL) {
        *n = 0;
        return NULL;
    }
    *n = pe_seg_run(at->seg, at->off, pe_seg_used(at->seg) - at->off);
    return pe_seg_at(at->seg, at->off);
}

/* Step over `n` bytes of the span at `at`. */
static inline void pe_at_step(const struct evbuffer *buf, struct pe_at *at, size_t n) {
    at->off += n;
    at->pos += n;
    if (at->off == pe_seg_used(at->seg)) {
        at->seg = at->seg == buf->last ? NULL : at->seg->next;
        at->off = 0;
    }
}

/* Copy `n` bytes from `at` on, which the buffer must have. 0, or why a file cannot be
 * read: then `out` is not to be used. */
int pe_buf_copy(const struct evbuffer *buf, const struct pe_at *from, void *out, size_t n);

/* The same for the first `n` bytes. */
static inline int pe_buf_copy_front(const struct evbuffer *buf, void *out, size_t n) {
    struct pe_at at = {buf->first, 0, 0};

    if (PE_LIKELY(n <= pe_seg_used(buf->first) && buf->first->data != NULL)) {
        pe_seg_copy(buf->first, 0, out, n);
        return 0;
    }
    return pe_buf_copy(buf, &at, out, n);
}

/* --- Bytes that are only in files: the segment's `data` is NULL (load.c) --- */

int pe_buf_load_file(struct evbuffer *buf, struct pe_at *at);

/* Have the byte at `at`, unless that is the end, in memory and in one piece with up to
 * PE_FILE_PIECE after it. `at` stays right, other places do not. 0 or a negative errno. */
static inline int pe_buf_load(struct evbuffer *buf, struct pe_at *at) {
    return at->seg == NULL || PE_LIKELY(at->seg->data != NULL) ? 0 : pe_buf_load_file(buf, at);
}

/* Looking through a buffer without changing it, from {{{0}}, 0, 0} until pe_look_end. */
struct pe_look {
    struct pe_window {
        const struct pe_seg *seg;
        size_t off, n; /* which of its bytes */
        unsigned char *bytes;
    } windows[2];
    unsigned older; /* the window to be filled next */
    int err;        /* why a file could not be read, else 0 */
};

void pe_look_free(struct pe_look *look);

static inline void pe_look_end(struct pe_look *look) {
    if (PE_UNLIKELY(look->windows[0].bytes != NULL))
        pe_look_free(look);
}

const unsigned char *pe_look_into_file(struct pe_look *look, const struct pe_at *at, size_t *n);

/* As pe_at_span; good until the next but one. 0 also where a file cannot be read. */
static inline const unsigned char *pe_look_span(struct pe_look *look, const struct pe_at *at,
                                                size_t *n) {
    if (PE_LIKELY(at->seg == NULL || at->seg->data != NULL))
        return pe_at_span(at, n);
    return pe_look_into_file(look, at, n);
}

#endif
