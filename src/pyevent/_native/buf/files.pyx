"""Ranges of files, to be added to buffers.

A path is opened, of an object with a ``fileno()`` the descriptor is duplicated: both may
be closed, moved and deleted at once. A plain number is the descriptor itself. What is no
regular file is refused before anything is read or even opened: opening a FIFO
may wait, and lets somebody go on who waits for its reader.
"""

from libc.errno cimport EINVAL, ESPIPE, errno
from libc.stdint cimport int64_t

from pyevent._native.base.arguments cimport check_err, fd_of
from pyevent._native.c.buffer cimport *

import os
import stat


cdef extern from "Python.h":
    object PyNumber_Index(object n)

cdef extern from "unistd.h":
    int close(int fd)


cdef void close_fd(const evbuffer_file_segment *seg, int flags, void *arg) noexcept:
    close(<int><Py_ssize_t>arg)  # only read from: nothing is lost by an error


cdef void segment_owns(evbuffer_file_segment *seg, int fd) noexcept:
    evbuffer_file_segment_add_cleanup_cb(seg, close_fd, <void *><Py_ssize_t>fd)


cdef int64_t whole(object n) except? -1:
    """A number, of an ``int`` or what has an ``__index__``."""
    return PyNumber_Index(n)


cdef int64_t position(object n, str what) except -1:
    cdef int64_t value = whole(n)
    if value < 0:
        raise ValueError(f"{what} must not be negative: {n!r}")
    return value


cdef int64_t length_of(object n) except -2:
    """-1: to the end of the file."""
    cdef int64_t value = -1 if n is None else whole(n)
    return position(value, "length") if value != -1 else -1


cdef evbuffer_file_segment *segment_enter(FileSegment self) except NULL:
    if self.seg == NULL:
        raise ValueError(f"I/O operation on {self!r}")
    return self.seg


cdef int refuse_kind(object file) except -1:
    raise OSError(ESPIPE, f"only a regular file can be added: {file!r}")


cdef int open_file(object path) except -1:
    cdef int mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        refuse_kind(path)
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # should it be a FIFO by now


cdef evbuffer_file_segment *segment_of(object file, object offset, object length,
                                       unsigned int flags, int *number) except NULL:
    cdef int64_t start = position(offset, "offset")
    cdef int64_t n = length_of(length)
    cdef evbuffer_file_segment *seg
    cdef int fd, error
    number[0] = -1
    if isinstance(file, int):
        fd = number[0] = fd_of(file)
    elif isinstance(file, (str, bytes, os.PathLike)):
        fd = open_file(os.fspath(file))
    else:
        fd = os.dup(fd_of(file))
    if number[0] < 0:
        flags |= EVBUF_FS_CLOSE_ON_FREE
    seg = evbuffer_file_segment_new(fd, start, n, flags)
    if seg != NULL:
        return seg
    error = errno
    if number[0] < 0:
        close(fd)
    if error == EINVAL:
        raise ValueError(f"offset {start} and length {n} are not inside {file!r}")
    if error == ESPIPE:
        refuse_kind(file)
    check_err(-error, file)


cdef class FileSegment:
    """A range of a file, which may be added to any number of buffers.

    :param file: a path, an object with a ``fileno()``, or a descriptor (``int``), which must
        stay open; with EVBUF_FS_CLOSE_ON_FREE it is closed when it is no longer needed.
    :param offset: where the range starts.
    :param length: its length in bytes; -1 or ``None``: to the end of the file as it is now.
    :param flags: ``EVBUF_FS_*``.
    :raises ValueError: that is not inside the file. ``OSError`` as :func:`open`, and when it
        is no regular file (ESPIPE).
    """

    def __init__(self, file, offset=0, length=-1, unsigned int flags=0):
        cdef int number
        cdef evbuffer_file_segment *seg = segment_of(file, offset, length,
                                                     flags & ~EVBUF_FS_CLOSE_ON_FREE, &number)
        if self.is_set_up:  # asked only now: fileno() may have run code
            evbuffer_file_segment_free(seg)
            raise RuntimeError(f"{self!r} is set up already")
        self.is_set_up = True
        if number >= 0 and flags & EVBUF_FS_CLOSE_ON_FREE:
            segment_owns(seg, number)
        self.seg = seg

    def __dealloc__(self):
        cdef evbuffer_file_segment *seg = self.seg
        self.seg = NULL
        evbuffer_file_segment_free(seg)

    def __reduce__(self):
        raise TypeError(f"cannot pickle or copy {type(self).__name__!r} objects")

    def __repr__(self):
        return f"<{type(self).__name__}{' closed' if self.seg == NULL else ''}>"

    def __enter__(self):
        segment_enter(self)
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self):
        """Add it to no more buffers; those that have it keep it. Closing again does nothing."""
        cdef evbuffer_file_segment *seg = self.seg
        self.seg = NULL
        evbuffer_file_segment_free(seg)

    free = close

    @property
    def closed(self):
        """Whether it has been closed."""
        return self.seg == NULL
