/* file.c - files in buffers. See file.h.
 *
 * A regular file is not looked at until its bytes are wanted: written to a
 * descriptor they go by sendfile(2) or are read in pieces, and only who asks for
 * them in place has the whole segment mapped (or read, when it is small, must
 * not be mapped, or cannot be). Anything else that can be read is read at once,
 * as there is no second chance.
 *
 * A file that became shorter is an error (EIO) where it is noticed; where it is
 * mapped, touching the lost pages is SIGBUS, as everywhere.
 */
#include "buf/file.h"

#include "buf/inner.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/sendfile.h>
#endif

#define READ_MAX ((size_t)64 * 1024) /* smaller ones are read rather than mapped */

struct evbuffer_file_segment {
    atomic_uint refs;
    unsigned flags; /* EVBUF_FS_ */
    int fd;
    off_t offset; /* in the file */
    size_t length;
    unsigned char *bytes; /* NULL: not in memory */
    void *map;            /* NULL: `bytes` were read */
    size_t map_length;
    evbuffer_file_segment_cleanup_cb cleanup;
    void *cleanup_arg;
};

void pe_file_hold(struct evbuffer_file_segment *file) {
    atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
}

void pe_file_drop(struct evbuffer_file_segment *file) {
    if (atomic_fetch_sub_explicit(&file->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (file->map != NULL)
        (void)munmap(file->map, file->map_length); /* our own mapping */
    else
        pe_free(PE_MEM_SEGMENT, file->bytes);
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
        r = pread(file->fd, out, n, file->offset + (off_t)pos);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return -errno;
    return r > 0 ? r : -EIO;
}

static int map_bytes(struct evbuffer_file_segment *file) {
    off_t page = (off_t)sysconf(_SC_PAGESIZE);
    off_t before = file->offset % page;
    struct stat st;
    void *map;

    if (fstat(file->fd, &st) != 0)
        return -errno;
    if (st.st_size < file->offset + (off_t)file->length)
        return -EIO;
    file->map_length = file->length + (size_t)before;
    map = mmap(NULL, file->map_length, PROT_READ, MAP_PRIVATE, file->fd,
               file->offset - before);
    if (map == MAP_FAILED)
        return -errno;
    file->map = map;
    file->bytes = (unsigned char *)map + before;
    return 0;
}

/* The whole segment by read(2); `in_order`: the file has no positions. */
static int read_bytes(struct evbuffer_file_segment *file, bool in_order) {
    unsigned char *bytes = pe_malloc(PE_MEM_SEGMENT, file->length);
    size_t have = 0;
    ssize_t r;

    if (bytes == NULL)
        return -ENOMEM;
    while (have < file->length) {
        if (in_order) {
            r = read(file->fd, bytes + have, file->length - have);
            if (r < 0 && errno == EINTR)
                continue;
            r = r < 0 ? -errno : r > 0 ? r : -EIO;
        } else {
            r = pe_file_read(file, have, bytes + have, file->length - have);
        }
        if (r < 0) {
            pe_free(PE_MEM_SEGMENT, bytes);
            return (int)r;
        }
        have += (size_t)r;
    }
    file->bytes = bytes;
    return 0;
}

const unsigned char *pe_file_bytes(struct evbuffer_file_segment *file, int *err) {
    *err = 0;
    if (file->bytes != NULL)
        return file->bytes;
    *err = -ENODEV;
    if (file->length > READ_MAX && !(file->flags & EVBUF_FS_DISABLE_MMAP))
        *err = map_bytes(file);
    if (*err != 0 && *err != -EIO)
        *err = read_bytes(file, false);
    return file->bytes;
}

int pe_buf_load_files(struct evbuffer *buf) {
    int err = 0;

    for (struct pe_seg *seg = buf->first; seg != NULL; seg = seg->next) {
        const unsigned char *bytes;

        if (seg->data != NULL)
            continue;
        bytes = pe_file_bytes(pe_seg_extra(seg)->file, &err);
        if (bytes == NULL)
            return err;
        seg->data = (unsigned char *)(uintptr_t)bytes; /* only ever read */
    }
    buf->flags &= (uint8_t)~PE_BUF_FILES;
    return 0;
}

/* --- Sending --- */

#if defined(__linux__)
/* sendfile(2) has no MSG_NOSIGNAL, so SIGPIPE is held back around it, and taken
 * when it came from here. */
static ssize_t sendfile_quietly(int to, int from, off_t *pos, size_t n) {
    const struct timespec no_wait = {0, 0};
    sigset_t pipe_only, before, pending;
    bool was_pending;
    ssize_t r;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigemptyset(&pending);
    (void)sigpending(&pending); /* fails only for a bad address, as do the others */
    was_pending = sigismember(&pending, SIGPIPE) == 1;
    (void)pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    r = sendfile(to, from, pos, n);
    r = r < 0 ? -errno : r;
    if (r == -EPIPE && !was_pending)
        (void)sigtimedwait(&pipe_only, NULL, &no_wait);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

ssize_t pe_file_send(struct evbuffer_file_segment *file, size_t pos, size_t n, int to) {
    off_t at = file->offset + (off_t)pos;
    ssize_t r;

    if (file->flags & EVBUF_FS_DISABLE_SENDFILE)
        return -ENOTSUP;
    r = sendfile_quietly(to, file->fd, &at, n);
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

/* How long the segment is: checked against the file where it has a length. */
static int find_length(int fd, ev_off_t offset, ev_off_t length, size_t *out, bool *in_order) {
    struct stat st;

    if (offset < 0 || length < -1)
        return -EINVAL;
    if (fstat(fd, &st) != 0)
        return -errno;
    if (!S_ISREG(st.st_mode)) {
        /* No end to go up to, and no place to begin but where it is. */
        if (length < 0 || offset > 0)
            return -EINVAL;
        *in_order = true;
        *out = (size_t)length;
        return 0;
    }
    if (offset > st.st_size || (length >= 0 && length > st.st_size - offset))
        return -EINVAL;
    *in_order = false;
    *out = (size_t)(length >= 0 ? length : st.st_size - offset);
    return 0;
}

struct evbuffer_file_segment *evbuffer_file_segment_new(int fd, ev_off_t offset,
                                                        ev_off_t length, unsigned flags) {
    struct evbuffer_file_segment *file;
    bool in_order = false;
    size_t n = 0;
    int err = find_length(fd, offset, length, &n, &in_order);

    if (err != 0) {
        errno = -err;
        return NULL;
    }
    file = pe_calloc(PE_MEM_SEGMENT, 1, sizeof(*file));
    if (file == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    atomic_store_explicit(&file->refs, 1, memory_order_relaxed);
    file->flags = flags;
    file->fd = fd;
    file->offset = (off_t)offset;
    file->length = n;
    if (in_order && n > 0) {
        err = read_bytes(file, true);
        if (err != 0) {
            pe_free(PE_MEM_SEGMENT, file);
            errno = -err;
            return NULL;
        }
    }
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
    seg = pe_seg_foreign(buf->pool, PE_SEG_FILE, file->bytes, (size_t)offset + n);
    if (seg == NULL)
        return -ENOMEM;
    seg->head = (size_t)offset;
    pe_seg_extra(seg)->file = file;
    pe_file_hold(file);
    pe_buf_link(buf, seg);
    if (seg->data == NULL)
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
