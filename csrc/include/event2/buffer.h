/* event2/buffer.h - evbuffer: a queue of bytes between sockets and programs.
 *
 * Bytes are added at the end and taken from the start. They lie in pieces
 * ("spans"), which peek, reserve and search let a program use in place:
 *
 *     start                                               end
 *       | span | span | borrowed memory | file | span ... |
 *       drain, remove, readln           add, read, reserve, references
 *
 * The names and contracts are libevent's. Unless said otherwise, a call
 * returns 0 on success and -1 with errno set on failure, and then nothing has
 * changed: EPERM, that end of the buffer is frozen; EBUSY, a view holds its
 * bytes in place; ENOMEM, memory is out; EOVERFLOW, longer than EV_SSIZE_MAX;
 * EINVAL, arguments that make no sense.
 *
 * A buffer is used by one thread at a time; there is no lock inside. Callbacks
 * may call anything on the buffer they are called for, evbuffer_free included.
 * Pointers into a buffer (pullup, peek, reserve, struct evbuffer_ptr) last
 * until it is next changed.
 */
#ifndef EVENT2_BUFFER_H_INCLUDED_
#define EVENT2_BUFFER_H_INCLUDED_

#include <stdarg.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <event2/event-config.h>
#include <event2/util.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;
struct evbuffer;

/* One span: iov_base and iov_len. */
#define evbuffer_iovec iovec
#define EVBUFFER_IOVEC_IS_NATIVE_ 1

/* --- Making and freeing --- */

/* An empty buffer; NULL when memory is out. */
struct evbuffer *evbuffer_new(void);

/* Free the buffer and what it holds; cleanups of borrowed memory run before
 * this returns, callbacks do not. NULL is ignored, and so is a buffer that is
 * part of a bufferevent. */
void evbuffer_free(struct evbuffer *buf);

/* The most that one evbuffer_read(buf, fd, -1) takes, in bytes: 4096 at first
 * (16384 in a bufferevent). `max` is 1 to INT_MAX, else -1 with EINVAL. */
int evbuffer_set_max_read(struct evbuffer *buf, size_t max);
size_t evbuffer_get_max_read(struct evbuffer *buf);

/* There for programs that call them: buffers have no lock. enable_locking
 * returns 0, the other two do nothing. */
int evbuffer_enable_locking(struct evbuffer *buf, void *lock);
void evbuffer_lock(struct evbuffer *buf);
void evbuffer_unlock(struct evbuffer *buf);

/* In libevent: the buffer is written to a descriptor in the end, so files in it may
 * go out by sendfile(2). Here they may anyway, as who looks at their bytes gets
 * them all the same. Both calls return 0 and change nothing. */
#define EVBUFFER_FLAG_DRAINS_TO_FD 1

int evbuffer_set_flags(struct evbuffer *buf, ev_uint64_t flags);
int evbuffer_clear_flags(struct evbuffer *buf, ev_uint64_t flags);

/* --- Adding and taking --- */

/* How many bytes the buffer holds. */
size_t evbuffer_get_length(const struct evbuffer *buf);

/* How many of them evbuffer_pullup gives without copying. 0 when empty. */
size_t evbuffer_get_contiguous_space(const struct evbuffer *buf);

/* Copy `datlen` bytes to the end. */
int evbuffer_add(struct evbuffer *buf, const void *data, size_t datlen);

/* Copy `datlen` bytes to the front. */
int evbuffer_prepend(struct evbuffer *buf, const void *data, size_t datlen);

/* Copy `n_vec` pieces to the end, as one change: all or nothing. Returns how
 * many bytes were added; 0 on failure. */
size_t evbuffer_add_iovec(struct evbuffer *buf, struct evbuffer_iovec *vec, int n_vec);

/* Add formatted text, without its NUL. Returns its length in bytes or -1. */
int evbuffer_add_printf(struct evbuffer *buf, const char *fmt, ...)
    EVUTIL_PRINTF_FORMAT_(2, 3);
int evbuffer_add_vprintf(struct evbuffer *buf, const char *fmt, va_list ap)
    EVUTIL_PRINTF_FORMAT_(2, 0);

/* Move up to `datlen` bytes from the front to `data`. Returns how many: less
 * than asked when the buffer is shorter. */
int evbuffer_remove(struct evbuffer *buf, void *data, size_t datlen);

/* As evbuffer_remove, but the bytes stay in the buffer. */
ev_ssize_t evbuffer_copyout(struct evbuffer *buf, void *data_out, size_t datlen);

/* Throw away up to `len` bytes from the front. */
int evbuffer_drain(struct evbuffer *buf, size_t len);

/* --- From buffer to buffer --- */

/* Move all of `inbuf` to the end of `outbuf`, at a cost that does not depend on the
 * length. Borrowed memory is never copied, and nothing else but a few bytes that fit
 * behind the last one. */
int evbuffer_add_buffer(struct evbuffer *outbuf, struct evbuffer *inbuf);

/* Move all of `inbuf` to the front of `outbuf`. */
int evbuffer_prepend_buffer(struct evbuffer *outbuf, struct evbuffer *inbuf);

/* Move up to `datlen` bytes from the front of `src` to the end of `dst`.
 * Returns how many, INT_MAX at most. As above, and of what is cut in two the part
 * that moves is copied, unless it is borrowed or in a file. */
int evbuffer_remove_buffer(struct evbuffer *src, struct evbuffer *dst, size_t datlen);

/* Add what `inbuf` holds to `outbuf` without copying; `inbuf` keeps it too. The
 * memory lives until neither needs it. -1 with EINVAL when they are the same
 * buffer, or when `inbuf` holds a file or bytes it shares in this way itself. */
int evbuffer_add_buffer_reference(struct evbuffer *outbuf, struct evbuffer *inbuf);

/* --- Borrowed memory and files --- */

/* Called once when borrowed memory is no longer used, with the pointer given,
 * how many bytes from there on were lent, and `extra`. */
typedef void (*evbuffer_ref_cleanup_cb)(const void *data, size_t datalen, void *extra);

/* Add `datlen` bytes at `data` without copying them. They must stay as they
 * are until `cleanupfn` (may be NULL) has been called. On failure it is not
 * called. With `datlen` 0 it is called at once. */
int evbuffer_add_reference(struct evbuffer *outbuf, const void *data, size_t datlen,
                           evbuffer_ref_cleanup_cb cleanupfn, void *cleanupfn_arg);

/* The same for `datlen` bytes at `data` + `offset`; the cleanup gets `data`, and
 * `offset` + `datlen` as the length. */
int evbuffer_add_reference_with_offset(struct evbuffer *outbuf, const void *data,
                                       size_t offset, size_t datlen,
                                       evbuffer_ref_cleanup_cb cleanupfn,
                                       void *cleanupfn_arg);

/* A range of a file, which may be added to any number of buffers. It stays on disk until
 * somebody wants its bytes: written to a descriptor it goes by sendfile(2), looked at it is
 * read, at most 64 KiB at a time, and searching keeps nothing of it in memory. When the
 * file becomes shorter meanwhile, what needs the bytes that are lost fails with EIO; what has
 * been read stays. */
struct evbuffer_file_segment;

#define EVBUF_FS_CLOSE_ON_FREE 0x01    /* close the fd with the last reference */
#define EVBUF_FS_DISABLE_MMAP 0x02     /* map no file, not even one that cannot shrink */
#define EVBUF_FS_DISABLE_SENDFILE 0x04 /* never sendfile(2) */
#define EVBUF_FS_DISABLE_LOCKING 0x08  /* there is no lock: no effect */

/* Called when the last reference to a file segment goes, with its flags. */
typedef void (*evbuffer_file_segment_cleanup_cb)(struct evbuffer_file_segment const *seg,
                                                 int flags, void *arg);

/* `length` bytes of the file `fd` from `offset` on; -1: to its end as it is now.
 * NULL with errno set when that is not inside the file (EINVAL), or `fd` is no regular file
 * (ESPIPE, EISDIR): nothing is read from it then, and it stays open. */
struct evbuffer_file_segment *evbuffer_file_segment_new(int fd, ev_off_t offset,
                                                        ev_off_t length, unsigned flags);

/* Give up the caller's reference; NULL is ignored. */
void evbuffer_file_segment_free(struct evbuffer_file_segment *seg);

/* Have `cb` called with `arg` when the last reference goes. */
void evbuffer_file_segment_add_cleanup_cb(struct evbuffer_file_segment *seg,
                                          evbuffer_file_segment_cleanup_cb cb, void *arg);

/* Add `length` bytes (-1: to its end) of the segment from `offset` on. On
 * failure the caller's reference is given up. */
int evbuffer_add_file_segment(struct evbuffer *buf, struct evbuffer_file_segment *seg,
                              ev_off_t offset, ev_off_t length);

/* Add a range of the file `fd` and close `fd` when it is no longer needed: also
 * when the buffer refuses it, not when the range is bad. `length` -1: to the
 * end of the file. */
int evbuffer_add_file(struct evbuffer *outbuf, int fd, ev_off_t offset, ev_off_t length);

/* --- Descriptors: one system call each --- */

/* Read up to `howmuch` bytes (below 0: evbuffer_get_max_read) from `fd`. Returns
 * how many, 0 at the end of the file, -1 on error (EAGAIN: nothing there). */
int evbuffer_read(struct evbuffer *buf, evutil_socket_t fd, int howmuch);

/* Write what there is, or at most `howmuch` bytes (below 0: all), to `fd` and
 * drain what was written. Returns how many bytes, which may be less, or -1. A
 * peer that is gone is EPIPE, and never a signal. */
int evbuffer_write(struct evbuffer *buf, evutil_socket_t fd);
int evbuffer_write_atmost(struct evbuffer *buf, evutil_socket_t fd, ev_ssize_t howmuch);

/* --- Positions, searching, lines --- */

/* A place in a buffer. `pos` is its distance from the start, -1: nowhere. */
struct evbuffer_ptr {
    ev_ssize_t pos;
    struct { /* where that is, while `epoch` is the buffer's; leave it alone */
        void *chain;
        size_t pos_in_chain;
        size_t epoch;
    } internal_;
};

enum evbuffer_ptr_how {
    EVBUFFER_PTR_SET, /* the distance is from the start */
    EVBUFFER_PTR_ADD  /* the distance is from where the pointer is */
};

/* Put `ptr` at `position`, which may be the end. Past it: -1, and `pos` is -1. */
int evbuffer_ptr_set(struct evbuffer *buffer, struct evbuffer_ptr *ptr, size_t position,
                     enum evbuffer_ptr_how how);

/* The first occurrence of `len` bytes, from `start` (NULL: the start) on. `pos`
 * is -1 when there is none; with `len` 0 it is the start. Also when a file cannot be read:
 * then errno is set, by the calls below too. */
struct evbuffer_ptr evbuffer_search(struct evbuffer *buffer, const char *what, size_t len,
                                    const struct evbuffer_ptr *start);

/* The same, ending not after `end` (NULL: the end of the buffer). */
struct evbuffer_ptr evbuffer_search_range(struct evbuffer *buffer, const char *what,
                                          size_t len, const struct evbuffer_ptr *start,
                                          const struct evbuffer_ptr *end);

enum evbuffer_eol_style {
    EVBUFFER_EOL_ANY,         /* any run of CR and LF bytes: no line is empty */
    EVBUFFER_EOL_CRLF,        /* LF, with or without a CR before it */
    EVBUFFER_EOL_CRLF_STRICT, /* CR LF */
    EVBUFFER_EOL_LF,          /* LF */
    EVBUFFER_EOL_NUL          /* a zero byte */
};

/* The first end of line at or after `start` (NULL: the start): its first byte;
 * how long it is goes to `*eol_len_out` unless that is NULL. `pos` is -1, and
 * the length 0, when there is none. */
struct evbuffer_ptr evbuffer_search_eol(struct evbuffer *buffer, struct evbuffer_ptr *start,
                                        size_t *eol_len_out,
                                        enum evbuffer_eol_style eol_style);

/* Take the first line out: a NUL-terminated copy without its end of line, which
 * the caller frees with free(3). Its length goes to `*n_read_out` unless that is
 * NULL. NULL (and length 0) when no line is complete, the start is frozen, or
 * memory is out: then the line is still there. What has been searched in vain
 * is not searched again when more arrives. */
char *evbuffer_readln(struct evbuffer *buffer, size_t *n_read_out,
                      enum evbuffer_eol_style eol_style);

/* As evbuffer_copyout, from `pos` (NULL: the start) on. */
ev_ssize_t evbuffer_copyout_from(struct evbuffer *buf, const struct evbuffer_ptr *pos,
                                 void *data_out, size_t datlen);

/* --- Bytes and room in place --- */

/* Make the first `size` bytes (below 0: all) lie in one piece, copying what is
 * scattered, and return its address; it may be written to unless it is
 * borrowed. NULL when `size` is 0 or more than there is. */
unsigned char *evbuffer_pullup(struct evbuffer *buf, ev_ssize_t size);

/* Fill `vec_out` with up to `n_vec` spans that hold `len` bytes (below 0: as many
 * as fit) from `start_at` (NULL: the start) on. The last may hold more than was
 * asked. Returns how many spans it takes, which can be more than `n_vec`. */
int evbuffer_peek(struct evbuffer *buffer, ev_ssize_t len, struct evbuffer_ptr *start_at,
                  struct evbuffer_iovec *vec_out, int n_vec);

/* Have room for `datlen` more bytes, in one piece, so that adding them asks for
 * no memory. */
int evbuffer_expand(struct evbuffer *buf, size_t datlen);

/* Room for at least `size` bytes at the end, in at most `n_vec` spans (with one:
 * in one piece). Returns how many spans were filled in, or -1. Write into
 * them, then call commit_space; nothing need be committed. */
int evbuffer_reserve_space(struct evbuffer *buf, ev_ssize_t size,
                           struct evbuffer_iovec *vec, int n_vec);

/* Add what was written into reserved spans: the spans in their order, with
 * iov_len set to how much of each is used. -1 with EINVAL when the buffer has
 * changed since. */
int evbuffer_commit_space(struct evbuffer *buf, struct evbuffer_iovec *vec, int n_vecs);

/* --- Callbacks --- */

/* What one call changed. The length now is orig_size + n_added - n_deleted,
 * unless an earlier callback changed it again. */
struct evbuffer_cb_info {
    size_t orig_size; /* length before, in bytes */
    size_t n_added;
    size_t n_deleted;
};

typedef void (*evbuffer_cb_func)(struct evbuffer *buffer,
                                 const struct evbuffer_cb_info *info, void *arg);

struct evbuffer_cb_entry;

#define EVBUFFER_CB_ENABLED 1 /* set at first; without it a callback is skipped */

/* Have `cb` called after each call that added or took bytes, newest callback
 * first. NULL when memory is out. The entry lives until it is removed or the
 * buffer is freed. */
struct evbuffer_cb_entry *evbuffer_add_cb(struct evbuffer *buffer, evbuffer_cb_func cb,
                                          void *cbarg);

/* Remove a callback, also from inside one; it is not called any more. */
int evbuffer_remove_cb_entry(struct evbuffer *buffer, struct evbuffer_cb_entry *ent);

/* Remove the newest callback with this function and argument; -1 if there is none. */
int evbuffer_remove_cb(struct evbuffer *buffer, evbuffer_cb_func cb, void *cbarg);

/* Set or clear EVBUFFER_CB_ flags. */
int evbuffer_cb_set_flags(struct evbuffer *buffer, struct evbuffer_cb_entry *cb,
                          ev_uint32_t flags);
int evbuffer_cb_clear_flags(struct evbuffer *buffer, struct evbuffer_cb_entry *cb,
                            ev_uint32_t flags);

/* From now on run the callbacks from the loop of `base`, with what has been added
 * and taken since they last ran, instead of inside each call. */
int evbuffer_defer_callbacks(struct evbuffer *buffer, struct event_base *base);

/* --- Freezing --- */

/* Make calls fail that would change the start (`at_front` nonzero: drain, remove,
 * readln, prepend, write, moving away) or the end (add, read, reserve, references,
 * moving here). Freezing twice is freezing once. */
int evbuffer_freeze(struct evbuffer *buf, int at_front);
int evbuffer_unfreeze(struct evbuffer *buf, int at_front);

#ifdef __cplusplus
}
#endif

#endif
