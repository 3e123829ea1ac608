/* evbuffer.h - the inside of evbuffer, for the layers above.
 *
 * A buffer is a chain of segments (see seg.h):
 *
 *     first                       last
 *       |                           |
 *       v                           v
 *     [ring]->[lent]->[ring]->...->[ring]->[empty ring]
 *      all of these hold bytes              room made by expand and reserve
 *
 * Invariants, whenever control leaves the buffer's own code:
 *   - `len` is the sum of the bytes in the segments;
 *   - len > 0: every segment from `first` to `last` holds a byte, and those
 *     behind `last` are empty rings;
 *   - len == 0: `first` is NULL, or `first` == `last` is an empty ring that
 *     expand or reserve has made. Any other emptied segment has gone back.
 *
 * `struct evbuffer` is embedded where that saves memory: a bufferevent holds
 * two. What few buffers need is behind `extras`, made when first used.
 *
 * Calling out: the hook, callbacks and cleanups may call anything on the buffer,
 * free it included. So a call first changes the buffer, then calls out, then
 * touches nothing; where it must, it asks its struct pe_call whether the
 * buffer is still there. Cleanups are collected and run last.
 *
 * Not locked: one thread at a time, as the owner sees to. Inside C calls return
 * 0 or a count, else a negative errno.
 */
#ifndef PE_BUF_EVBUFFER_H
#define PE_BUF_EVBUFFER_H

#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/calls.h"
#include "event2/buffer.h"

struct pe_pool;
struct pe_seg;
struct pe_evbuffer_extras;

/* The owner's notice that a call has added and removed that many bytes: once per
 * call, before the user's callbacks. */
typedef void (*pe_evbuffer_hook)(struct evbuffer *buf, size_t added, size_t removed);

enum pe_evbuffer_flags {
    PE_BUF_FROZEN_START = 1,
    PE_BUF_FROZEN_END = 2,
    PE_BUF_PINNED = 4,       /* a view holds bytes: nothing leaves but by the owner */
    PE_BUF_FILES = 8,        /* there may be segments whose bytes are only in a file */
    PE_BUF_ALLOCATED = 16,   /* made by evbuffer_new */
    PE_BUF_DYING = 32        /* being freed */
};

struct evbuffer {
    struct pe_seg *first;
    struct pe_seg *last;
    size_t len;
    struct pe_pool *pool; /* NULL: the free list */
    pe_evbuffer_hook hook;
    struct pe_evbuffer_extras *extras;
    struct pe_call *calls; /* those that are calling out now, innermost first */
    size_t searched;       /* no `searched_for` ends before here */
    uint32_t epoch;        /* changes when a struct evbuffer_ptr goes stale */
    uint8_t searched_for;  /* which ends of line `searched` is about; find.c */
    uint8_t flags;         /* enum pe_evbuffer_flags */
    uint8_t read_class;    /* size of the ring for the next read; io.c */
    uint8_t small_reads;   /* in a row, that left most of what was offered */
};

/* Make `buf` an empty buffer that draws on `pool` (NULL: none) and tells `hook`
 * (NULL: nobody). Allocates nothing, cannot fail. */
void pe_evbuffer_init(struct evbuffer *buf, struct pe_pool *pool, pe_evbuffer_hook hook);

/* Free what `buf` holds; cleanups run. `buf` may go as soon as this returns. */
void pe_evbuffer_fini(struct evbuffer *buf);

static inline size_t pe_evbuffer_len(const struct evbuffer *buf) {
    return buf->len;
}

/* --- For the owner: these ignore freezing and pins --- */

/* Read once from `fd`, at most `max` (> 0) bytes: recv(2) or recvmsg(2), which do not wait
 * even if the socket is for that; read(2) or readv(2) unless `is_socket`. The ring starts at 4 KiB and grows
 * while reads fill it. Returns how many bytes, 0 at the end of the file, or a
 * negative errno (-EAGAIN: nothing there; -ENOMEM). Hook and callbacks run. */
ssize_t pe_evbuffer_recv(struct evbuffer *buf, int fd, size_t max, bool is_socket);

/* Write once to `fd`, at most `max` bytes, and drain what was written: send(2) or
 * sendmsg(2), which do not wait, without SIGPIPE; write(2) or writev(2) unless `is_socket`;
 * sendfile(2) where a file is due. Returns how many bytes (0: the buffer is
 * empty), or a negative errno (-EAGAIN; -ENOTSOCK: call again with false). */
ssize_t pe_evbuffer_send(struct evbuffer *buf, int fd, size_t max, bool is_socket);

/* Drain up to `n` bytes. */
void pe_evbuffer_take(struct evbuffer *buf, size_t n);

/* Add a copy of `n` bytes. 0, -ENOMEM or -EOVERFLOW. */
int pe_evbuffer_put(struct evbuffer *buf, const void *data, size_t n);

/* Move up to `max` bytes from the front of `src` to the end of `dst`; pinned
 * bytes are shared, not moved away under the view. Returns how many, or -ENOMEM
 * and nothing has moved. */
ssize_t pe_evbuffer_move(struct evbuffer *dst, struct evbuffer *src, size_t max);

/* As evbuffer_remove_buffer, which the user calls, of any length: how many, or a negative
 * errno. */
ssize_t pe_evbuffer_remove_buffer(struct evbuffer *src, struct evbuffer *dst, size_t max);

/* --- Reading in place --- */

/* The first span and its length; NULL, 0 when the buffer is empty or its bytes
 * cannot be had (a file that cannot be read). */
const unsigned char *pe_evbuffer_first(struct evbuffer *buf, size_t *len);

/* In these a position is -1 where there is none, and another negative errno where a file
 * cannot be read. */

/* The length of the first complete line, without its end, or as above; the length of
 * the end goes to `*eol_len`. Remembers what it has searched in vain. */
ssize_t pe_evbuffer_find_line(struct evbuffer *buf, enum evbuffer_eol_style style,
                              size_t *eol_len);

/* The same, and where the line is in `*data`: NULL when it is not in one piece. */
ssize_t pe_evbuffer_line(struct evbuffer *buf, enum evbuffer_eol_style style,
                         const unsigned char **data, size_t *eol_len);

/* The first end of line at `from` or later, and its length. */
ssize_t pe_evbuffer_eol_at(struct evbuffer *buf, size_t from, enum evbuffer_eol_style style,
                           size_t *eol_len);

/* The first position of `len` bytes at `from` or later, ending not after `end`. */
ssize_t pe_evbuffer_search_at(struct evbuffer *buf, const void *what, size_t len, size_t from,
                              size_t end);

/* Walks over complete lines without changing the buffer, which must not change
 * meanwhile either. */
struct pe_lines {
    struct evbuffer *buf;
    struct pe_seg *seg;        /* where `pos` is; NULL: not looked up yet */
    size_t off;                /* in the bytes of `seg` */
    size_t pos;                /* where the next line starts */
    enum evbuffer_eol_style style;
    const unsigned char *data; /* the line, when it lies in one span, else NULL */
    size_t start;              /* where the line starts */
    size_t len;                /* its length without its end */
    int err;                   /* a negative errno: why a file cannot be read */
};

void pe_lines_init(struct pe_lines *it, struct evbuffer *buf, enum evbuffer_eol_style style);

/* Step to the next complete line; false when there is none. After the last one
 * `pos` bytes are complete lines: what to drain when all have been used. */
bool pe_lines_next(struct pe_lines *it);

/* Copy up to `n` bytes from position `pos` on to `out`; returns how many, or why a file
 * cannot be read: then nothing in `out` counts. */
ssize_t pe_evbuffer_copy_at(struct evbuffer *buf, size_t pos, void *out, size_t n);

/* --- Pins: bytes that stay where they are while somebody looks at them ---
 *
 * While a buffer has a pin the user's drain, remove, readln, write, prepend,
 * pullup and moves fail with EBUSY; adding at the end goes on, in another
 * segment. The owner's calls go on: bytes written out count as gone, and their
 * segment is freed by the last unpin. A pin outlives even the buffer. */

struct pe_pin {
    struct pe_link link;
    struct evbuffer *buf; /* NULL: freed */
    struct pe_seg *seg;
    unsigned char *data;
    size_t len;
    bool is_room; /* a reservation: bytes that are in no buffer yet */
};

/* Pin the bytes from `pos` to the end of their span, at most `max`; `data` and
 * `len` say what. 0, -EINVAL when `pos` is not inside the buffer, -ENOMEM, or why
 * a file cannot be read. */
int pe_evbuffer_pin(struct evbuffer *buf, size_t pos, size_t max, struct pe_pin *pin);

/* Make room for `n` (> 0) bytes in one piece, to be added by commit. Nothing else
 * is blocked meanwhile. 0, -EPERM (frozen), -ENOMEM, -EOVERFLOW. */
int pe_evbuffer_reserve_pin(struct evbuffer *buf, size_t n, struct pe_pin *pin);

/* Release a pin; the room of a reservation is dropped. */
void pe_evbuffer_unpin(struct pe_pin *pin);

/* Add the first `n` bytes of a reservation to the end of the buffer, and release
 * it: on success only. 0, -EPERM (frozen), -EINVAL (`n` too large, or the buffer is
 * freed), -EOVERFLOW. */
int pe_evbuffer_commit_pin(struct pe_pin *pin, size_t n);

/* --- Deferred callbacks: the loop's part is passed in --- */

struct pe_defer_ops {
    void (*schedule)(struct evbuffer *buf, void *arg); /* run_deferred soon */
    void (*forget)(struct evbuffer *buf, void *arg);   /* the buffer goes away */
};

/* From now on `ops->schedule` is called, once, when callbacks are due, and they
 * run when the loop calls pe_evbuffer_run_deferred(). 0 or -ENOMEM. */
int pe_evbuffer_set_defer(struct evbuffer *buf, const struct pe_defer_ops *ops, void *arg);
void *pe_evbuffer_defer_arg(struct evbuffer *buf); /* NULL: not deferred */
void pe_evbuffer_run_deferred(struct evbuffer *buf);

/* In a forked child: calls of threads that are not there have ended. Buffers with
 * callbacks are seen to without it. */
void pe_evbuffer_mend(struct evbuffer *buf);

#endif
