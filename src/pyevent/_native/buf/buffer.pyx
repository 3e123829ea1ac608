"""Buffers: bytes on their way between sockets and programs.

A Buffer has a struct evbuffer of its own, or shows one that belongs to a
connection:

    own              evbuffer_free when it is closed or dropped
    a connection's   `owner` is the connection, which closes it

Looking at what it holds is in buf/contents.pyx, a connection's Buffers in buf/owned.pyx.
Memoryviews and lent memory are in buf/views.pyx, callbacks in buf/callbacks.pyx, files in
buf/files.pyx; those three know a struct evbuffer and no Buffer.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.object cimport PyObject
from libc.errno cimport EINTR, EINVAL, ENOMEM, EPERM, errno
from libc.limits cimport INT_MAX
from libc.stdint cimport int64_t, uint64_t

from pyevent._native.base.arguments cimport check_err, fd_of
from pyevent._native.buf.callbacks cimport (
    BufferCallback,
    Callbacks,
    callbacks_add,
    callbacks_begin,
    callbacks_defer,
    callbacks_enable,
    callbacks_end,
    callbacks_find,
    callbacks_forget,
    callbacks_new,
    callbacks_remove,
    callbacks_start,
)
from pyevent._native.buf.contents cimport (
    HELD_START,
    Contents,
    buffer_enter,
    buffer_leave,
    copied,
    new_bytes,
    or_errno,
    pe_given,
    refuse_eol,
    refuse_size,
    size_of,
    why_held,
)
from pyevent._native.buf.files cimport FileSegment, segment_enter, segment_of, segment_owns, whole
from pyevent._native.buf.lines cimport next_line, refuse_line, take_lines
from pyevent._native.buf.views cimport drop_view, lend_bytes, lend_view, lent, view_to_lend
from pyevent._native.c.buffer cimport *
from pyevent._native.loop.attached cimport Attached
from pyevent._native.loop.eventbase cimport EventBase, base_enter

import os


cdef class Buffer(Contents):
    """A queue of bytes: added at the end, taken from the start.

    :param data: bytes-like; what it holds at first.

    ``len(buffer)``, ``bool(buffer)`` and ``bytes(buffer)`` do not change it. It is a
    context manager that closes. Where a method wants bytes it takes any contiguous
    object with the buffer protocol. *size* is a number of bytes.

    Every method raises ``ValueError`` when the buffer, or the connection that it
    belongs to, is closed. Methods that take raise ``PermissionError`` when the start is
    frozen and ``BufferError`` while a memoryview holds its bytes in place; those that add
    raise ``PermissionError`` when the end is frozen.
    """

    def __init__(self, data=None):
        if self.is_set_up:
            raise RuntimeError(f"{self!r} is set up already")
        self.buf = evbuffer_new()
        if self.buf == NULL:
            raise MemoryError("pyevent: out of memory")
        self.is_set_up = True
        if data is not None:
            add_copy(self, data)

    def __dealloc__(self):
        cdef evbuffer *buf = self.buf
        cdef object last = None
        self.buf = NULL
        if self.callbacks_at != NULL:
            last = callbacks_end(&self.callbacks_at)
        if self.view != NULL:
            self.view[0] = NULL
        elif buf != NULL:
            evbuffer_free(buf)

    def __enter__(self):
        buffer_enter(self)
        buffer_leave(self, 0)
        require_own(self)
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self):
        """Let go of all that it holds. Closing again does nothing.

        Memoryviews stay good until they are released.

        :raises ValueError: it belongs to a connection, which closes it.
        """
        cdef evbuffer *buf
        cdef object last, callbacks
        if self.buf == NULL:
            return
        require_own(self)
        buf = self.buf
        self.buf = NULL
        last = callbacks_end(&self.callbacks_at)
        callbacks, self.callbacks = self.callbacks, None
        evbuffer_free(buf)

    free = close

    @property
    def closed(self):
        """Whether it, or the connection that it belongs to, has been closed."""
        return self.buf == NULL

    # -- adding

    def add(self, data):
        """Add a copy of *data* to the end.

        :raises OverflowError: it would become longer than ``sys.maxsize``.
        """
        add_copy(self, data)

    def add_reference(self, data):
        """Add *data* without copying it: it is kept until its last byte has gone.

        Meanwhile it must not change; a ``bytearray`` cannot be resized.
        """
        cdef lent *memory
        if PyBytes_CheckExact(data):
            buffer_leave(self, lend_bytes(buffer_enter(self), data))
            return
        memory = view_to_lend(data)
        try:
            buffer_leave(self, lend_view(buffer_enter(self), memory))
        except BaseException:
            drop_view(memory)
            raise

    def writelines(self, pieces):
        """Add a copy of each of *pieces*, bytes-like objects, as one change: all or none.

        As that of a file it adds no ends of lines. Returns ``None``.
        """
        add_pieces(self, pieces)

    def add_iovec(self, pieces):
        """As :meth:`writelines`.

        :returns: how many bytes have been added.
        """
        return add_pieces(self, pieces)

    def add_file(self, file, offset=0, length=-1):
        """Add a range of a file, which stays on disk until somebody looks at its bytes.

        :param file: a path; an object with a ``fileno()``, which may be closed after this;
            or a descriptor (``int``), which is the buffer's from now on: it closes it when
            it is no longer needed. When this raises, the descriptor stays the caller's.
        :param offset: where the range starts.
        :param length: its length in bytes; -1 or ``None``: to the end of the file as it is now.
        :raises ValueError: that is not inside the file. ``OSError`` as :func:`open`.

        Written to a socket it goes by ``sendfile``; looked at it is read, at most 64 KiB at
        a time. When the file becomes shorter meanwhile, what needs the bytes that are lost
        raises ``OSError`` (EIO), and so ends a connection that writes them. Pipes and what
        else is no regular file are refused with ``OSError`` (ESPIPE), and lose nothing.
        """
        cdef int number
        cdef Py_ssize_t result
        cdef evbuffer *buf
        cdef evbuffer_file_segment *seg = segment_of(file, offset, length, 0, &number)
        try:
            buf = buffer_enter(self)
        except BaseException:
            evbuffer_file_segment_free(seg)
            raise
        result = or_errno(evbuffer_add_file_segment(buf, seg, 0, -1))
        if result == 0:  # else it has let go of `seg`
            if number >= 0:
                segment_owns(seg, number)
            evbuffer_file_segment_free(seg)
        buffer_leave(self, result)

    def add_file_segment(self, FileSegment segment not None, offset=0, length=-1):
        """Add *length* bytes (-1: all there are) from *offset* on of a :class:`FileSegment`.

        :raises ValueError: that is not inside the segment, or it is closed.
        """
        cdef int64_t start = whole(offset)
        cdef int64_t n = -1 if length is None else whole(length)
        cdef evbuffer *buf = buffer_enter(self)
        cdef evbuffer_file_segment *seg = segment_enter(segment)
        cdef Py_ssize_t result
        pe_file_hold(seg)  # a failure gives a reference up
        result = or_errno(evbuffer_add_file_segment(buf, seg, start, n))
        if result == 0:
            evbuffer_file_segment_free(seg)
        if result == -EINVAL:
            buffer_leave(self, 0)
            raise ValueError(f"offset {start} and length {n} are not inside {segment!r}")
        buffer_leave(self, result)

    def prepend(self, data):
        """Put a copy of *data* before the start."""
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            buffer_leave(self, or_errno(evbuffer_prepend(buffer_enter(self), view.buf, view.len)))
        finally:
            PyBuffer_Release(&view)

    def expand(self, Py_ssize_t size):
        """Have room for *size* more bytes, so that adding them asks for no memory."""
        cdef evbuffer *buf = buffer_enter(self)
        if size < 0:
            buffer_leave(self, 0)
            refuse_size(size)
        buffer_leave(self, or_errno(evbuffer_expand(buf, <size_t>size)))

    # -- taking

    def remove(self, size=None):
        """Take up to *size* bytes off the start; ``None``: all.

        :returns: ``bytes``, fewer than *size* when there are not so many.
        :raises ValueError: *size* is negative.
        """
        return copied(self, 0, size_of(size), HELD_START, True)

    def drain(self, size=None):
        """Throw up to *size* bytes at the start away; ``None``: all.

        :raises ValueError: *size* is negative.
        """
        cdef size_t n = size_of(size)
        buffer_leave(self, or_errno(evbuffer_drain(buffer_enter(self), n)))

    def readln(self, int eol=1, Py_ssize_t max_line=-1):
        """Take the first line out.

        :param eol: what ends a line, ``EVBUFFER_EOL_*``. CRLF (1) takes LF with or without a
            CR before it; with ANY, which takes any run of CR and LF, no line is empty.
        :param max_line: how long a line may be, without its end; negative: no limit.
        :returns: ``bytes`` without the end of line (``b""``: an empty line), or ``None``
            when no line is complete. What has been searched is not searched again.
        :raises ValueError: the first line is, or will be, longer than *max_line*. It stays.
        """
        return next_line(self, eol, max_line)

    def readlines(self, int eol=1, Py_ssize_t max=-1, Py_ssize_t max_line=-1):
        """Take all complete lines out, at most *max* (negative: no limit).

        :returns: a list of what as many calls of :meth:`readln` would return.
        :raises ValueError: the first line is longer than *max_line*. Lines before one that
            is too long are returned; it is the next call that raises.
        """
        cdef list lines = []  # made first: it may start the garbage collector
        cdef Py_ssize_t result = 0
        cdef PyObject *done = <PyObject *>lines
        cdef evbuffer *buf = buffer_enter(self)
        if <unsigned int>eol > EVBUFFER_EOL_NUL:
            buffer_leave(self, 0)
            refuse_eol(eol)
        if buf.len > 0 and max != 0:
            if buf.flags & HELD_START:
                result = why_held(buf)
            else:
                done = take_lines(buf, eol, max, max_line, done, &result)
        buffer_leave(self, result)
        if result > 0:
            refuse_line(self, max_line)
        if done == NULL:
            pe_given(NULL)
        return lines

    def __iter__(self):
        buffer_enter(self)
        buffer_leave(self, 0)
        return self

    def __next__(self):
        cdef const unsigned char *data = NULL
        cdef size_t n, eol_len
        cdef PyObject *line
        cdef evbuffer *buf = buffer_enter(self)
        if buf.len != 0:
            data = pe_evbuffer_near_line(buf, EVBUFFER_EOL_CRLF, &n, &eol_len)
        if data != NULL:
            line = new_bytes(<const char *>data, <Py_ssize_t>n)
            if line != NULL:
                pe_evbuffer_take_near(buf, n + eol_len)
            buffer_leave(self, 0)
            return pe_given(line)
        buffer_leave(self, 0)
        found = next_line(self, EVBUFFER_EOL_CRLF, -1)
        if found is None:
            raise StopIteration
        return found

    # -- from buffer to buffer

    def add_buffer(self, Buffer other not None):
        """Move all of *other* to the end, without copying."""
        cdef evbuffer *buf = buffer_enter(self)
        buffer_leave(self, or_errno(evbuffer_add_buffer(buf, buffer_enter(other))), other)

    def add_buffer_reference(self, Buffer other not None):
        """Add what *other* holds without copying; *other* keeps it too.

        :raises ValueError: it is the same buffer, or holds files or shared bytes itself.
        """
        cdef evbuffer *buf = buffer_enter(self)
        buffer_leave(self, or_errno(evbuffer_add_buffer_reference(buf, buffer_enter(other))), other)

    def prepend_buffer(self, Buffer other not None):
        """Move all of *other* before the start, without copying."""
        cdef evbuffer *buf = buffer_enter(self)
        buffer_leave(self, or_errno(evbuffer_prepend_buffer(buf, buffer_enter(other))), other)

    def remove_buffer(self, Buffer other not None, size=None):
        """Move up to *size* bytes (``None``: all) from the start to the end of *other*.

        :returns: how many.
        """
        cdef size_t n = size_of(size)
        cdef evbuffer *buf = buffer_enter(self)
        return buffer_leave(self, pe_evbuffer_remove_buffer(buf, buffer_enter(other), n), other)

    # -- descriptors

    def read(self, fd, int howmuch=-1):
        """Read once from *fd*, which should not block: other threads do not run meanwhile.

        :param fd: an ``int`` or any object with a ``fileno()``.
        :param howmuch: at most so many bytes; negative: as many as :attr:`max_read` says.
        :returns: how many; 0 at the end of the file.
        :raises BlockingIOError: there is nothing to read yet. Other ``OSError`` as the
            kernel says.
        """
        cdef int number = fd_of(fd)
        cdef Py_ssize_t got
        cdef evbuffer *buf
        cdef bint is_frozen
        while True:
            buf = buffer_enter(self)
            is_frozen = buf.flags & PE_BUF_FROZEN_END
            got = or_errno(evbuffer_read(buf, number, howmuch))
            buffer_leave(self, -EPERM if is_frozen else 0)
            if got != -EINTR:
                return check_io(got)
            PyErr_CheckSignals()

    def write(self, fd, Py_ssize_t howmuch=-1):
        """Write once to *fd*, and drain what was written.

        :param howmuch: at most so many bytes; negative: all.
        :returns: how many, which may be fewer.
        :raises BlockingIOError: the descriptor takes nothing now.
        :raises BrokenPipeError: the peer has gone. Other ``OSError`` as the kernel says.
        """
        cdef int number = fd_of(fd)
        cdef Py_ssize_t put
        cdef evbuffer *buf
        cdef int result
        while True:
            buf = buffer_enter(self)
            result = why_held(buf) if buf.flags & HELD_START else 0
            put = or_errno(evbuffer_write_atmost(buf, number, howmuch))
            buffer_leave(self, result)
            if put != -EINTR:
                return check_io(put)
            PyErr_CheckSignals()

    write_atmost = write

    def get_max_read(self):
        """The most that one :meth:`read` takes, in bytes."""
        return buffer_leave(self, evbuffer_get_max_read(buffer_enter(self)))

    def set_max_read(self, Py_ssize_t size):
        """Set it.

        :raises ValueError: *size* is not 1 to 2147483647.
        """
        cdef Py_ssize_t result = or_errno(evbuffer_set_max_read(buffer_enter(self), <size_t>size))
        buffer_leave(self, 0 if result == -EINVAL else result)
        if result < 0:
            raise ValueError(f"max_read must be 1 to 2147483647, not {size}")

    @property
    def max_read(self):
        """The most that one :meth:`read` takes, in bytes."""
        return self.get_max_read()

    @max_read.setter
    def max_read(self, Py_ssize_t size):
        self.set_max_read(size)

    # -- callbacks

    def add_cb(self, callback, arg=None):
        """Have ``callback(buffer, change, arg)`` called after each call that changes it.

        *change* is a tuple ``(orig_size, n_added, n_deleted)`` of numbers of bytes; the
        newest callback is called first. It may do anything, close the buffer too. What it
        raises goes to the exception handler of the connection's base, and the change stays;
        without a base (see :meth:`defer_callbacks`) it goes to :func:`sys.unraisablehook`.

        While a connection's buffer has callbacks the base keeps both alive; a buffer of
        its own takes its callbacks along when it goes.

        :returns: a :class:`BufferCallback`, to disable and remove it.
        """
        cdef Callbacks callbacks
        cdef BufferCallback one
        if not callable(callback):
            raise TypeError(f"callback must be callable, not {callback!r}")
        callbacks = callbacks_of(self)
        one = callbacks_add(callbacks, callback, arg)
        try:
            buffer_leave(self, callbacks_start(callbacks, one, buffer_enter(self)))
        except BaseException:
            callbacks_forget(callbacks, one)
            raise
        return one

    def remove_cb(self, callback, arg=None):
        """Remove the newest callback with this function and argument.

        :raises ValueError: there is none.
        """
        cdef Callbacks callbacks = None
        cdef BufferCallback one = None
        buffer_enter(self)
        if self.callbacks_at != NULL:
            callbacks = <Callbacks>self.callbacks_at
        buffer_leave(self, 0)
        if callbacks is not None:
            one = callbacks_find(callbacks, callback, arg)
        if one is None:
            raise ValueError(f"no such callback: {callback!r}, {arg!r}")
        callbacks_remove(callbacks, one)

    def remove_cb_entry(self, BufferCallback entry not None):
        """Remove the callback that :meth:`add_cb` returned.

        :raises ValueError: it has been removed, or is another buffer's.
        """
        callbacks_remove(entry_of(self, entry), entry)

    def cb_set_flags(self, BufferCallback entry not None, int flags):
        """Enable a callback (EVBUFFER_CB_ENABLED)."""
        entry_of(self, entry)
        if flags & EVBUFFER_CB_ENABLED:
            callbacks_enable(entry, True)

    def cb_clear_flags(self, BufferCallback entry not None, int flags):
        """Disable a callback (EVBUFFER_CB_ENABLED); it stays in its place."""
        entry_of(self, entry)
        if flags & EVBUFFER_CB_ENABLED:
            callbacks_enable(entry, False)

    def defer_callbacks(self, EventBase base not None):
        """From now on run the callbacks from the loop of *base*, with the sums of all changes.

        :raises RuntimeError: the base is closed.
        """
        cdef Callbacks callbacks = callbacks_of(self)
        cdef evbuffer *buf = buffer_enter(self)
        buffer_leave(self, or_errno(evbuffer_defer_callbacks(buf, base_enter(base))))
        callbacks_defer(callbacks, base)

    def set_flags(self, long long flags):
        """Accepted: EVBUFFER_FLAG_DRAINS_TO_FD, which changes nothing."""
        buffer_leave(self, evbuffer_set_flags(buffer_enter(self), <uint64_t>flags))

    def clear_flags(self, long long flags):
        """As :meth:`set_flags`."""
        buffer_leave(self, evbuffer_clear_flags(buffer_enter(self), <uint64_t>flags))

cdef Py_ssize_t check_io(Py_ssize_t result) except -1:
    """What a system call has answered, else the OSError of its errno."""
    if result < 0:
        if result == -ENOMEM:
            raise MemoryError("pyevent: out of memory")
        errno_ = <int>-result
        raise OSError(errno_, os.strerror(errno_))
    return result


cdef int add_copy(Buffer self, object data) except -1:
    cdef Py_buffer view
    if PyBytes_CheckExact(data):
        buffer_leave(self, or_errno(evbuffer_add(buffer_enter(self), PyBytes_AS_STRING(data),
                                                 PyBytes_GET_SIZE(data))))
        return 0
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        buffer_leave(self, or_errno(evbuffer_add(buffer_enter(self), view.buf, view.len)))
    finally:
        PyBuffer_Release(&view)
    return 0


cdef object add_pieces(Buffer self, object pieces):
    cdef list items = list(pieces)
    cdef Py_ssize_t n = len(items), have = 0
    cdef size_t total = 0
    cdef Py_buffer *views
    cdef iovec *vec
    cdef evbuffer *buf
    cdef bint is_added
    if n > INT_MAX:
        raise OverflowError(f"too many pieces: {n}")
    views = <Py_buffer *>PyMem_Calloc(<size_t>n, sizeof(Py_buffer))
    vec = <iovec *>PyMem_Calloc(<size_t>n, sizeof(iovec))
    try:
        if views == NULL or vec == NULL:
            raise MemoryError("pyevent: out of memory")
        while have < n:
            PyObject_GetBuffer(items[have], &views[have], PyBUF_SIMPLE)
            vec[have].iov_base = views[have].buf
            vec[have].iov_len = <size_t>views[have].len
            total += vec[have].iov_len
            have += 1
        buf = buffer_enter(self)
        is_added = evbuffer_add_iovec(buf, vec, <int>n) == total
        buffer_leave(self, 0 if is_added else -errno)
        return total
    finally:
        while have > 0:
            have -= 1
            PyBuffer_Release(&views[have])
        PyMem_Free(views)
        PyMem_Free(vec)


cdef Callbacks callbacks_of(Buffer self):
    """What keeps its callbacks, made when first used."""
    cdef EventBase base = None
    cdef object last
    cdef Callbacks callbacks = None
    if self.callbacks_at != NULL:
        return <Callbacks>self.callbacks_at
    callbacks = callbacks_new()
    buffer_enter(self)  # and not before: making them may have run code
    buffer_leave(self, 0)
    if self.callbacks_at != NULL:
        return <Callbacks>self.callbacks_at
    if self.owner is not None:
        base = (<Attached>self.owner).owner
    callbacks_begin(callbacks, self, &self.callbacks_at, base)
    last, self.callbacks = self.callbacks, callbacks
    return callbacks


cdef Callbacks entry_of(Buffer self, BufferCallback entry):
    """Whose an entry is: this buffer's."""
    buffer_enter(self)
    buffer_leave(self, 0)
    if entry.entry == NULL or entry.callbacks != self.callbacks_at:
        raise ValueError(f"not a callback of {self!r}: {entry!r}")
    return <Callbacks>entry.callbacks


cdef int require_own(Buffer self) except -1:
    if self.view != NULL:
        raise ValueError(f"{self!r} is closed with {self.owner!r}, not by itself")
    return 0
