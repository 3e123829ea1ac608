/* file.c - files in buffers. See file.h.
 *
 * Only regular files: what is read from a pipe is gone from it, and reading may wait.
 * A file is not looked at until its bytes are wanted. Written to a descriptor they go
 * by sendfile(2); who asks for them otherwise gets what pread(2) tells, a piece at a
 * time, and EIO where the file has become shorter. Nothing is mapped that somebody
 * else can cut off, as touching what is lost then is SIGBUS: that leaves files that
 * are sealed against it.
 */
#include "buf/file.h"

#include "base/sigpipe.h"
#include "buf/inner.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/sendfile.h>
#endif

struct evbuffer_file_segment {
    atomic_uint refs;
    unsigned flags; /* EVBUF_FS_ */
    int fd;
    off_t offset; /* in the file */
    size_t length;
    _Atomic(unsigned char *) bytes; /* NULL: not mapped; segments of several bases ask */
    evbuffer_file_segment_cleanup_cb cleanup;
    void *cleanup_arg;
};

void pe_file_hold(struct evbuffer_file_segment *file) {
    atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
}

/* How many bytes of the mapping are before the segment's: a mapping begins on a page. */
static size_t bytes_before(const struct evbuffer_file_segment *file) {
    return (size_t)(file->offset % (off_t)sysconf(_SC_PAGESIZE));
}

static void unmap(const struct evbuffer_file_segment *file, unsigned char *bytes) {
    size_t before = bytes_before(file);

    (void)munmap(bytes - before, before + file->length); /* our own mapping */
}

void pe_file_drop(struct evbuffer_file_segment *file) {
    unsigned char *bytes;

    if (atomic_fetch_sub_explicit(&file->refs, 1, memory_order_acq_rel) != 1)
        return;
    bytes = atomic_load_explicit(&file->bytes, memory_order_relaxed);
    if (bytes != NULL)
        unmap(file, bytes);
    if (file->flags & EVBUF_FS_CLOSE_ON_FREE)
        (void)close(file->fd); /* only read from: nothing is lost by an error */
    if (file->cleanup != NULL)
        file->cleanup(file, (int)file->flags, file->cleanup_arg);
    pe_free(PE_MEM_SEGMENT, file);
}

/* --- Bytes --- */

ssize_t pe_file_read(struct evbuffer_file_segment *file, size_t pos, void *out, size_t n) {
    ssize_t r;

    do {
        r = pread(file->fd, out, n < PE_FILE_PIECE ? n : PE_FILE_PIECE,
                  file->offset + (off_t)pos);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return errno == EPERM ? -EIO : -errno; /* -EPERM is -1: "no line" to some */
    return r > 0 ? r : -EIO;
}

int pe_file_read_all(struct evbuffer_file_segment *file, size_t pos, void *out, size_t n) {
    char *to = out;

    while (n > 0) {
        ssize_t r = pe_file_read(file, pos, to, n);

        if (r < 0)
            return (int)r;
        to += r;
        pos += (size_t)r;
        n -= (size_t)r;
    }
    return 0;
}

/* Whether the segment's bytes are there for good, whoever else has the file. */
static bool cannot_shrink(const struct evbuffer_file_segment *file) {
#if defined(F_GET_SEALS) && defined(F_SEAL_SHRINK)
    int seals = fcntl(file->fd, F_GET_SEALS);
    struct stat st;

    return seals >= 0 && (seals & F_SEAL_SHRINK) && fstat(file->fd, &st) == 0 &&
           st.st_size >= file->offset + (off_t)file->length;
#else
    (void)file;
    return false;
#endif
}

const unsigned char *pe_file_map(struct evbuffer_file_segment *file) {
    unsigned char *bytes = atomic_load_explicit(&file->bytes, memory_order_acquire), *mine;
    size_t before;
    void *map;

    if (bytes != NULL || file->length <= PE_FILE_PIECE ||
        (file->flags & EVBUF_FS_DISABLE_MMAP) || !cannot_shrink(file))
        return bytes;
    before = bytes_before(file);
    map = mmap(NULL, before + file->length, PROT_READ, MAP_PRIVATE, file->fd,
               file->offset - (off_t)before);
    if (map == MAP_FAILED)
        return NULL; /* then it is read */
    mine = (unsigned char *)map + before;
    if (atomic_compare_exchange_strong_explicit(&file->bytes, &bytes, mine,
                                                memory_order_acq_rel, memory_order_acquire))
        return mine;
    unmap(file, mine);
    return bytes;
}

/* --- Sending --- */

#if defined(__linux__)
ssize_t pe_file_send(struct evbuffer_file_segment *file, size_t pos, size_t n, int to) {
    off_t at = file->offset + (off_t)pos;
    struct pe_sigpipe held;
    ssize_t r;

    if (file->flags & EVBUF_FS_DISABLE_SENDFILE)
        return -ENOTSUP;
    pe_sigpipe_hold(&held); /* it has no MSG_NOSIGNAL */
    r = sendfile(to, file->fd, &at, n);
    r = r < 0 ? -errno : r;
    pe_sigpipe_release(&held, r == -EPIPE);
    if (r == -EINVAL || r == -ENOSYS || r == -EOPNOTSUPP)
        return -ENOTSUP;
    return r != 0 ? r : -EIO;
}
#else
ssize_t pe_file_send(struct evbuffer_file_segment *file, size_t pos, size_t n, int to) {
    (void)file;
    (void)pos;
    (void)n;
    (void)to;
    return -ENOTSUP;
}
#endif

/* --- The public face --- */

/* How long the segment is: its range must be inside the file. */
static int find_length(int fd, ev_off_t offset, ev_off_t length, size_t *out) {
    struct stat st;

    if (offset < 0 || length < -1)
        return -EINVAL;
    if (fstat(fd, &st) != 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return S_ISDIR(st.st_mode) ? -EISDIR : -ESPIPE;
    if (offset > st.st_size || (length >= 0 && length > st.st_size - offset))
        return -EINVAL;
    *out = (size_t)(length >= 0 ? length : st.st_size - offset);
    return 0;
}

struct evbuffer_file_segment *evbuffer_file_segment_new(int fd, ev_off_t offset,
                                                        ev_off_t length, unsigned flags) {
    struct evbuffer_file_segment *file = NULL;
    size_t n = 0;
    int err = find_length(fd, offset, length, &n);

    if (err == 0) {
        file = pe_calloc(PE_MEM_SEGMENT, 1, sizeof(*file));
        err = file != NULL ? 0 : -ENOMEM;
    }
    if (err != 0) {
        errno = -err;
        return NULL;
    }
    atomic_store_explicit(&file->refs, 1, memory_order_relaxed);
    file->flags = flags;
    file->fd = fd;
    file->offset = (off_t)offset;
    file->length = n;
    return file;
}

void evbuffer_file_segment_free(struct evbuffer_file_segment *seg) {
    if (seg != NULL)
        pe_file_drop(seg);
}

void evbuffer_file_segment_add_cleanup_cb(struct evbuffer_file_segment *seg,
                                          evbuffer_file_segment_cleanup_cb cb, void *arg) {
    seg->cleanup = cb;
    seg->cleanup_arg = arg;
}

static int add_range(struct evbuffer *buf, struct evbuffer_file_segment *file,
                     ev_off_t offset, ev_off_t length) {
    struct pe_seg *seg;
    size_t n;
    int err = pe_buf_may_add(buf);

    if (err != 0)
        return err;
    if (offset < 0 || (size_t)offset > file->length || length < -1 ||
        (length >= 0 && (size_t)length > file->length - (size_t)offset))
        return -EINVAL;
    n = length >= 0 ? (size_t)length : file->length - (size_t)offset;
    if (!pe_buf_fits(buf, n))
        return -EOVERFLOW;
    if (n == 0)
        return 0;
    seg = pe_seg_foreign(buf->pool, PE_SEG_FILE, NULL, (size_t)offset + n);
    if (seg == NULL)
        return -ENOMEM;
    seg->head = (size_t)offset;
    pe_seg_extra(seg)->file = file;
    pe_file_hold(file);
    pe_buf_link(buf, seg);
    buf->flags |= PE_BUF_FILES; /* after linking, which may clear it */
    pe_buf_tell(buf, n, 0);
    return 0;
}

int evbuffer_add_file_segment(struct evbuffer *buf, struct evbuffer_file_segment *seg,
                              ev_off_t offset, ev_off_t length) {
    int err = add_range(buf, seg, offset, length);

    if (err == 0)
        return 0;
    pe_file_drop(seg);
    return pe_fail(err);
}

int evbuffer_add_file(struct evbuffer *outbuf, int fd, ev_off_t offset, ev_off_t length) {
    struct evbuffer_file_segment *file =
        evbuffer_file_segment_new(fd, offset, length, EVBUF_FS_CLOSE_ON_FREE);
    int err;

    if (file == NULL)
        return -1; /* errno is set, and the fd is still the caller's */
    err = add_range(outbuf, file, 0, -1);
    pe_file_drop(file);
    return err != 0 ? pe_fail(err) : 0;
}
