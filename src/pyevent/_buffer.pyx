"""Buffers: bytes on their way between sockets and programs.

A Buffer has a struct evbuffer of its own, or shows one that belongs to a
connection:

    own              evbuffer_free when it is closed or dropped
    a connection's   `owner` is the connection; it has a borrowed pointer to the
                     Buffer at *view, so that it gives out the same one while
                     somebody has it. Whichever goes first clears the other's
                     pointer; a Buffer whose connection has gone is closed.

Calling out: a change runs the connection's hook and callbacks and drops what was
lent, and so may run any code, which may close this very Buffer. So arguments are
converted first, `buf` is looked at after that, and nothing is touched once a
change has been made. What a method hands out is made before the change.

Memoryviews and lent memory are in _views.pyx, callbacks in _notes.pyx, files in
_files.pyx; those three know a struct evbuffer and no Buffer.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.memoryview cimport (
    PyMemoryView_Check,
    PyMemoryView_FromObject,
    PyMemoryView_GET_BUFFER,
)
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.errno cimport EBUSY, EINTR, EINVAL, EIO, ENOMEM, EOVERFLOW, EPERM, errno
from libc.limits cimport INT_MAX
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset

from pyevent._core cimport check, check_err, fd_of
from pyevent._files cimport FileSegment, segment_of, segment_owns
from pyevent._loop cimport Attached, EventBase
from pyevent._notes cimport (
    BufferCallback,
    Notes,
    notes_add,
    notes_defer,
    notes_end,
    notes_find,
    notes_new,
    notes_remove,
)
from pyevent._views cimport (
    Pin,
    drop_view,
    lend_bytes,
    lend_view,
    pin_bytes,
    pin_room,
    view_to_lend,
)
from pyevent.c.buffer cimport *


cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX
    Py_ssize_t Py_REFCNT(PyObject *)
    Py_ssize_t PyNumber_AsSsize_t(object n, PyObject *overflow) except? -1
    void *PyBytes_FromStringAndSize_ "PyBytes_FromStringAndSize"(const char *, Py_ssize_t)
    int PyGC_Disable()
    int PyGC_Enable()


cdef extern from *:
    """
    #define HELD_START (PE_BUF_FROZEN_START | PE_BUF_PINNED) /* the user may not take */
    """
    int HELD_START


# --- errors and arguments -------------------------------------------------------

cdef int closed(Buffer self) except -1:
    cdef str of_owner = "" if self.owner is None else f" of {self.owner!r}"
    raise ValueError(f"I/O operation on closed {type(self).__name__}{of_owner}")


cdef inline evbuffer *opened(Buffer self) except NULL:
    if self.buf == NULL:
        closed(self)
    return self.buf


cdef int fail(int error, Buffer self, Buffer other=None) except -1:
    """Raise what the errno of a call on these buffers means."""
    cdef str whose = repr(self) if other is None or other is self else f"{self!r} or {other!r}"
    if error == ENOMEM:
        raise MemoryError("pyevent: out of memory")
    if error == EBUSY:
        raise BufferError(f"a memoryview holds the bytes in place: {whose}")
    if error == EOVERFLOW:
        raise OverflowError(f"too long for a buffer: {whose}")
    if error == EINVAL:
        raise ValueError(f"not possible: {whose}")
    if error == EPERM:
        raise PermissionError(error, f"this end is frozen: {whose}")
    return check_err(-error, self)


cdef int held(Buffer self) except -1:
    """Raise why bytes may not be taken off the start."""
    return fail(EPERM if self.buf.flags & PE_BUF_FROZEN_START else EBUSY, self)


cdef int refuse_size(Py_ssize_t size) except -1:
    raise ValueError(f"must not be negative: {size}")


cdef inline size_t size_of(object size) except? 0:
    """A number of bytes, or a position; ``None``: all there are."""
    cdef Py_ssize_t n
    if size is None:
        return PY_SSIZE_T_MAX
    n = size
    if n < 0:
        refuse_size(n)
    return <size_t>n


cdef inline evbuffer_ptr pointer(size_t pos) noexcept:
    cdef evbuffer_ptr ptr
    memset(&ptr, 0, sizeof(ptr))
    ptr.pos = <Py_ssize_t>pos
    return ptr


# --- bytes out of the ring --------------------------------------------------------

cdef object gather(Buffer self, size_t pos, size_t n):
    """The `n` bytes from `pos` on, all of which are there, wherever they lie."""
    cdef object data = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>n)
    if pe_evbuffer_copy_at(self.buf, pos, PyBytes_AS_STRING(data), n) != n:
        raise OSError(EIO, f"cannot read a file in {self!r}")
    return data


cdef object next_line(Buffer self, int eol, Py_ssize_t max_line):
    """The first line, taken out, wherever it lies; None: no line is complete."""
    cdef evbuffer *buf = self.buf
    cdef const unsigned char *data = NULL
    cdef size_t eol_len = 0
    cdef Py_ssize_t n
    cdef object line
    if buf == NULL or <unsigned int>eol > EVBUFFER_EOL_NUL:
        refuse_eol(self, eol)
    if buf.flags & HELD_START and buf.len > 0:
        held(self)
    n = pe_evbuffer_line(buf, <evbuffer_eol_style>eol, &data, &eol_len)
    if max_line >= 0:
        check_line(self, n, eol, max_line)
    if n < 0:
        if buf.flags & PE_BUF_FILES:
            look_into_files(self)
        return None
    if data != NULL:
        line = PyBytes_FromStringAndSize(<const char *>data, n)
    else:
        line = gather(self, 0, <size_t>n)
    pe_evbuffer_take(buf, <size_t>n + eol_len)
    return line


cdef int check_line(Buffer self, Py_ssize_t n, int eol, Py_ssize_t max_line) except -1:
    """Raise if the first line, of `n` bytes (-1: not complete), is longer than may be."""
    if n < 0 and self.buf.len > <size_t>max_line:
        n = <Py_ssize_t>self.buf.len
        if (n - 1 == max_line and (eol == EVBUFFER_EOL_CRLF or eol == EVBUFFER_EOL_CRLF_STRICT)
                and gather(self, <size_t>max_line, 1) == b"\r"):
            n -= 1  # the LF may be what comes next
    if n > max_line:
        raise ValueError(f"line longer than {max_line} bytes: {self!r}")
    return 0


# --- the class --------------------------------------------------------------------------

@cython.freelist(32)
cdef class Buffer:
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
        if self.buf != NULL or self.owner is not None:
            raise RuntimeError(f"{self!r} is set up already")
        self.buf = evbuffer_new()
        if self.buf == NULL:
            raise MemoryError("pyevent: out of memory")
        if data is not None:
            self.add(data)

    def __dealloc__(self):
        cdef evbuffer *buf = self.buf
        self.buf = NULL
        if self.notes_at != NULL:
            notes_end(&self.notes_at)
        if self.view != NULL:
            self.view[0] = NULL
        elif buf != NULL:
            evbuffer_free(buf)

    def __reduce__(self):
        raise TypeError(f"cannot pickle or copy {type(self).__name__!r} objects")

    def __enter__(self):
        opened(self)
        require_own(self)
        return self

    def __exit__(self, *exc_info):
        self.close()

    def __repr__(self):
        cdef str name = type(self).__name__
        cdef str state = ""
        if self.buf == NULL:
            return f"<{name} closed>"
        if self.buf.flags & PE_BUF_FROZEN_START:
            state += " frozen-start"
        if self.buf.flags & PE_BUF_FROZEN_END:
            state += " frozen-end"
        if self.buf.flags & PE_BUF_PINNED:
            state += " pinned"
        if self.owner is not None:
            state += f" of {type(self.owner).__name__}"
        return f"<{name} length={self.buf.len}{state}>"

    def __len__(self):
        return opened(self).len

    def __bool__(self):
        return opened(self).len != 0

    def __bytes__(self):
        opened(self)
        return gather(self, 0, self.buf.len)

    def close(self):
        """Let go of all that it holds. Closing again does nothing.

        Memoryviews stay good until they are released.

        :raises ValueError: it belongs to a connection, which closes it.
        """
        cdef evbuffer *buf = self.buf
        if buf == NULL:
            return
        require_own(self)
        self.buf = NULL
        notes_end(&self.notes_at)
        evbuffer_free(buf)
        self.notes = None

    free = close

    @property
    def closed(self):
        """Whether it, or the connection that it belongs to, has been closed."""
        return self.buf == NULL

    def get_length(self):
        """How many bytes it holds."""
        return opened(self).len

    def get_contiguous_space(self):
        """How many of its first bytes lie in one piece."""
        return evbuffer_get_contiguous_space(opened(self))

    # -- adding

    def add(self, data):
        """Add a copy of *data* to the end.

        :raises OverflowError: it would become longer than ``sys.maxsize``.
        """
        cdef Py_buffer view
        if PyBytes_CheckExact(data):
            if evbuffer_add(opened(self), PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)) < 0:
                fail(errno, self)
            return
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if evbuffer_add(opened(self), view.buf, view.len) < 0:
                fail(errno, self)
        finally:
            PyBuffer_Release(&view)

    def add_reference(self, data):
        """Add *data* without copying it: it is kept until its last byte has gone.

        Meanwhile it must not change; a ``bytearray`` cannot be resized.
        """
        cdef Py_buffer *view
        cdef int error
        if PyBytes_CheckExact(data):
            error = lend_bytes(opened(self), data)
        else:
            view = view_to_lend(data)
            if self.buf == NULL:  # looked at only now: the exporter may have run code
                drop_view(view)
                closed(self)
            error = lend_view(self.buf, view)
        if error < 0:
            fail(-error, self)

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

        Written to a socket it goes by ``sendfile``. The file must not become shorter
        meanwhile: writing it fails then, and looking at the bytes may kill the process, as
        with any mapped file.
        """
        cdef int number
        cdef evbuffer_file_segment *seg
        opened(self)
        seg = segment_of(file, offset, length, 0, &number)
        if self.buf == NULL:
            evbuffer_file_segment_free(seg)
            closed(self)
        if evbuffer_add_file_segment(self.buf, seg, 0, -1) < 0:  # it has let go of `seg`
            fail(errno, self)
        if number >= 0:
            segment_owns(seg, number)
        evbuffer_file_segment_free(seg)

    def add_file_segment(self, FileSegment segment not None, offset=0, length=-1):
        """Add *length* bytes (-1: all there are) from *offset* on of a :class:`FileSegment`.

        :raises ValueError: that is not inside the segment, or it is closed.
        """
        cdef int64_t start = offset
        cdef int64_t n = -1 if length is None else length
        opened(self)
        if segment.seg == NULL:
            raise ValueError(f"I/O operation on {segment!r}")
        pe_file_hold(segment.seg)  # a failure gives a reference up
        if evbuffer_add_file_segment(self.buf, segment.seg, start, n) < 0:
            if errno == EINVAL:
                raise ValueError(f"offset {offset} and length {length} are not inside {segment!r}")
            fail(errno, self)
        evbuffer_file_segment_free(segment.seg)

    def prepend(self, data):
        """Put a copy of *data* before the start."""
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if evbuffer_prepend(opened(self), view.buf, view.len) < 0:
                fail(errno, self)
        finally:
            PyBuffer_Release(&view)

    def expand(self, Py_ssize_t size):
        """Have room for *size* more bytes, so that adding them asks for no memory."""
        opened(self)
        if size < 0:
            refuse_size(size)
        if evbuffer_expand(self.buf, <size_t>size) < 0:
            fail(errno, self)

    # -- taking

    def remove(self, size=None):
        """Take up to *size* bytes off the start; ``None``: all.

        :returns: ``bytes``, fewer than *size* when there are not so many.
        :raises ValueError: *size* is negative.
        """
        cdef size_t n = size_of(size)
        n = min(n, opened(self).len)
        if n == 0:
            return b""
        if self.buf.flags & HELD_START:
            held(self)
        data = gather(self, 0, n)
        pe_evbuffer_take(self.buf, n)
        return data

    def drain(self, size=None):
        """Throw up to *size* bytes at the start away; ``None``: all.

        :raises ValueError: *size* is negative.
        """
        cdef size_t n = size_of(size)
        if evbuffer_drain(opened(self), n) < 0:
            fail(errno, self)

    def copyout(self, size=None):
        """As :meth:`remove`, but the bytes stay in the buffer."""
        return copied(self, 0, size_of(size))

    def copyout_from(self, start, size=None):
        """As :meth:`copyout`, from position *start* on."""
        cdef size_t pos = size_of(start)
        return copied(self, pos, size_of(size))

    def readln(self, int eol=EVBUFFER_EOL_CRLF, Py_ssize_t max_line=-1):
        """Take the first line out.

        :param eol: what ends a line, ``EVBUFFER_EOL_*``. CRLF takes LF with or without a
            CR before it; with ANY, which takes any run of CR and LF, no line is empty.
        :param max_line: how long a line may be, without its end; negative: no limit.
        :returns: ``bytes`` without the end of line (``b""``: an empty line), or ``None``
            when no line is complete. What has been searched is not searched again.
        :raises ValueError: the first line is, or will be, longer than *max_line*. It stays.
        """
        return next_line(self, eol, max_line)

    def readlines(self, int eol=EVBUFFER_EOL_CRLF, Py_ssize_t max=-1, Py_ssize_t max_line=-1):
        """Take all complete lines out, at most *max* (negative: no limit).

        :returns: a list of what as many calls of :meth:`readln` would return.
        :raises ValueError: the first line is longer than *max_line*. Lines before one that
            is too long are returned; it is the next call that raises.
        """
        cdef list lines = []  # made first: it may start the garbage collector
        cdef evbuffer *buf = self.buf
        cdef size_t done = 0
        cdef pe_lines it
        if buf == NULL or <unsigned int>eol > EVBUFFER_EOL_NUL:
            refuse_eol(self, eol)
        if buf.len == 0 or max == 0:
            return lines
        if buf.flags & HELD_START:
            held(self)
        pe_lines_init(&it, buf, <evbuffer_eol_style>eol)
        while max != 0 and pe_lines_next(&it):
            if <size_t>max_line < it.len:  # a negative one is larger than any
                if done == 0:
                    check_line(self, <Py_ssize_t>it.len, eol, max_line)
                break
            if it.data != NULL:
                lines.append(PyBytes_FromStringAndSize(<const char *>it.data,
                                                       <Py_ssize_t>it.len))
            else:
                lines.append(gather(self, it.start, it.len))
            max -= 1
            done = it.pos
        if done > 0:
            pe_evbuffer_take(buf, done)
            return lines
        if max_line >= 0:
            check_line(self, -1, eol, max_line)
        if buf.flags & PE_BUF_FILES:
            look_into_files(self)
        return lines

    def __iter__(self):
        opened(self)
        return self

    def __next__(self):
        cdef const unsigned char *data = NULL
        cdef size_t n, eol_len
        cdef object line
        if self.buf != NULL and self.buf.len != 0:
            data = pe_evbuffer_near_line(self.buf, EVBUFFER_EOL_CRLF, &n, &eol_len)
        if data != NULL:
            line = PyBytes_FromStringAndSize(<const char *>data, <Py_ssize_t>n)
            pe_evbuffer_take_near(self.buf, n + eol_len)
            return line
        line = next_line(self, EVBUFFER_EOL_CRLF, -1)
        if line is None:
            raise StopIteration
        return line

    # -- as a sequence of bytes

    def __getitem__(self, key):
        cdef Py_ssize_t start, stop, step
        if not isinstance(key, slice):
            start = PyNumber_AsSsize_t(key, <PyObject *>IndexError)
            if start < 0:
                start += opened(self).len
            if start < 0 or <size_t>start >= opened(self).len:
                raise IndexError(f"index out of range: {self!r}")
            return (<bytes>gather(self, <size_t>start, 1))[0]
        start, stop, step = key.indices(len(self))
        if step < 0:
            start, stop = stop + 1, start + 1
        stop = min(stop, <Py_ssize_t>opened(self).len)  # an index may have run code
        data = gather(self, <size_t>start, <size_t>(stop - start)) if stop > start else b""
        return data if step == 1 else data[::step]

    def __contains__(self, what):
        return self.find(what) >= 0

    def find(self, what, start=None, end=None):
        """The first position of *what* in ``buffer[start:end]``, as :meth:`bytes.find`.

        :param what: bytes-like, or an ``int``: one byte.
        :returns: -1 when there is none.
        """
        cdef Py_buffer view
        cdef Py_ssize_t first, last
        if isinstance(what, int):
            if not 0 <= what <= 255:
                raise ValueError("byte must be in range(0, 256)")
            what = bytes((what,))
        PyObject_GetBuffer(what, &view, PyBUF_SIMPLE)
        try:
            first = 0 if start is None else PyNumber_AsSsize_t(start, NULL)
            last = PY_SSIZE_T_MAX if end is None else PyNumber_AsSsize_t(end, NULL)
            if first < 0:
                first = max(0, first + <Py_ssize_t>opened(self).len)
            if last < 0:
                last = max(0, last + <Py_ssize_t>opened(self).len)
            return searched(self, &view, <size_t>first, <size_t>last)
        finally:
            PyBuffer_Release(&view)

    # -- from buffer to buffer

    def add_buffer(self, Buffer other not None):
        """Move all of *other* to the end, without copying."""
        opened(self)
        if evbuffer_add_buffer(self.buf, opened(other)) < 0:
            fail(errno, self, other)

    def add_buffer_reference(self, Buffer other not None):
        """Add what *other* holds without copying; *other* keeps it too.

        :raises ValueError: it is the same buffer, or holds files or shared bytes itself.
        """
        opened(self)
        if evbuffer_add_buffer_reference(self.buf, opened(other)) < 0:
            fail(errno, self, other)

    def prepend_buffer(self, Buffer other not None):
        """Move all of *other* before the start, without copying."""
        opened(self)
        if evbuffer_prepend_buffer(self.buf, opened(other)) < 0:
            fail(errno, self, other)

    def remove_buffer(self, Buffer other not None, size=None):
        """Move up to *size* bytes (``None``: all) from the start to the end of *other*.

        :returns: how many.
        """
        cdef size_t n = size_of(size)
        cdef int moved
        opened(self)
        moved = evbuffer_remove_buffer(self.buf, opened(other), n)
        if moved < 0:
            fail(errno, self, other)
        return moved

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
        cdef int got
        while True:
            if opened(self).flags & PE_BUF_FROZEN_END:
                fail(EPERM, self)
            got = evbuffer_read(self.buf, number, howmuch)
            if got >= 0 or errno != EINTR:
                return check(got)
            PyErr_CheckSignals()

    def write(self, fd, Py_ssize_t howmuch=-1):
        """Write once to *fd*, and drain what was written.

        :param howmuch: at most so many bytes; negative: all.
        :returns: how many, which may be fewer.
        :raises BlockingIOError: the descriptor takes nothing now.
        :raises BrokenPipeError: the peer has gone. Other ``OSError`` as the kernel says.
        """
        cdef int number = fd_of(fd)
        cdef int put
        while True:
            if opened(self).flags & HELD_START:
                held(self)
            put = evbuffer_write_atmost(self.buf, number, howmuch)
            if put >= 0 or errno != EINTR:
                return check(put)
            PyErr_CheckSignals()

    write_atmost = write

    def get_max_read(self):
        """The most that one :meth:`read` takes, in bytes."""
        return evbuffer_get_max_read(opened(self))

    def set_max_read(self, Py_ssize_t size):
        """Set it.

        :raises ValueError: *size* is not 1 to 2147483647.
        """
        if evbuffer_set_max_read(opened(self), <size_t>size) < 0:
            if errno == EINVAL:
                raise ValueError(f"max_read must be 1 to 2147483647, not {size}")
            fail(errno, self)

    @property
    def max_read(self):
        """The most that one :meth:`read` takes, in bytes."""
        return self.get_max_read()

    @max_read.setter
    def max_read(self, Py_ssize_t size):
        self.set_max_read(size)

    # -- searching

    def search(self, what, start=0, end=None):
        """The first position of *what* at *start* or later, ending not after *end*.

        :returns: -1 when there is none.
        """
        cdef size_t first = size_of(start)
        cdef size_t last = size_of(end)
        cdef Py_buffer view
        PyObject_GetBuffer(what, &view, PyBUF_SIMPLE)
        try:
            return searched(self, &view, first, last)
        finally:
            PyBuffer_Release(&view)

    search_range = search

    def search_eol(self, start=0, int eol=EVBUFFER_EOL_CRLF):
        """The first end of line at *start* or later.

        :returns: its position and its length; ``(-1, 0)`` when there is none.
        """
        cdef size_t first = size_of(start)
        cdef size_t eol_len = 0
        cdef evbuffer_ptr begin, found
        if self.buf == NULL or <unsigned int>eol > EVBUFFER_EOL_NUL:
            refuse_eol(self, eol)
        if first > self.buf.len:
            return (-1, 0)
        begin = pointer(first)
        found = evbuffer_search_eol(self.buf, NULL if first == 0 else &begin, &eol_len,
                                    <evbuffer_eol_style>eol)
        if found.pos < 0 and self.buf.flags & PE_BUF_FILES:
            look_into_files(self)
        return (found.pos, eol_len)

    # -- in place

    def peek(self, Py_ssize_t size=-1, start=0):
        """Up to *size* bytes (negative: all) from position *start* on, without copying.

        :returns: a list of read-only memoryviews, one for each piece; good for
            ``socket.sendmsg``.

        Until they are released nothing can be taken off the start by the user; what a
        connection has written stays in memory.
        """
        cdef list views = []
        cdef Pin pin
        cdef size_t pos = size_of(start)
        cdef size_t left = PY_SSIZE_T_MAX if size < 0 else size
        opened(self)
        # A Pin and a longer list are made without the garbage collector: the buffer does
        # not change before all its pieces are pinned.
        while left > 0 and pos < self.buf.len:
            pin = Pin.__new__(Pin)
            pin_at(self, pin, pos, left)
            views.append(pin)
            pos += pin.pin.len
            left -= pin.pin.len
        pin = None
        for i in range(len(views)):
            views[i] = PyMemoryView_FromObject(views[i])
        return views

    def pullup(self, Py_ssize_t size=-1):
        """Make the first *size* bytes (negative: all) lie in one piece.

        :returns: a read-only memoryview of them; see :meth:`peek`.
        :raises ValueError: there are fewer.
        """
        cdef Pin pin = Pin.__new__(Pin)
        cdef size_t n = opened(self).len if size < 0 else <size_t>size
        if n > self.buf.len:
            raise ValueError(f"fewer than {n} bytes to pull up: {self!r}")
        if n == 0:
            return PyMemoryView_FromObject(b"")
        if evbuffer_pullup(self.buf, <Py_ssize_t>n) == NULL:
            fail(errno, self)
        # What it has freed may have run code.
        if opened(self).len < n or evbuffer_get_contiguous_space(self.buf) < n:
            raise RuntimeError(f"changed while it was pulled up: {self!r}")
        pin_at(self, pin, 0, n)
        return PyMemoryView_FromObject(pin)

    def reserve(self, Py_ssize_t size):
        """Room for *size* bytes in one piece, to be written to and then committed.

        :returns: a writable memoryview; released without :meth:`commit` it is dropped.
        :raises ValueError: *size* is not positive.
        """
        cdef Pin pin = Pin.__new__(Pin)
        cdef int error
        opened(self)
        if size <= 0:
            raise ValueError(f"size must be positive: {size}")
        error = pin_room(pin, self.buf, <size_t>size)
        if error < 0:
            fail(-error, self)
        return PyMemoryView_FromObject(pin)

    def commit(self, view, size=None):
        """Add the first *size* bytes (``None``: all) of what :meth:`reserve` gave.

        The view is released.

        :raises ValueError: it is none of this buffer's, or shorter.
        :raises BufferError: another object still uses the memory.
        """
        cdef Pin pin
        cdef size_t n
        cdef int error
        if not PyMemoryView_Check(view):
            raise TypeError(f"view must be a memoryview from reserve(), not {view!r}")
        base = view.obj  # ValueError when it is released
        n = view.nbytes if size is None else size_of(size)
        opened(self)
        if not isinstance(base, Pin):
            raise ValueError("the view is not from reserve()")
        pin = base
        if (not pin.is_set or not pin.pin.is_room or pin.pin.buf != self.buf
                or PyMemoryView_GET_BUFFER(view).buf != pin.pin.data):
            raise ValueError(f"the view is not from reserve() of {self!r}")
        if n > <size_t>view.nbytes:
            raise ValueError(f"cannot commit {n} of {view.nbytes} bytes")
        if self.buf.flags & PE_BUF_FROZEN_END:
            fail(EPERM, self)
        pin.is_leaving = True
        try:
            view.release()
        finally:
            pin.is_leaving = False
        if pin.exports > 0:
            raise BufferError("another memoryview of the reserved room exists")
        pin.is_set = False
        error = pe_evbuffer_commit_pin(&pin.pin, n)
        if error < 0:
            pin.is_set = True  # goes with the Pin
            fail(-error, self)

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
        cdef Notes notes
        if not callable(callback):
            raise TypeError(f"callback must be callable, not {callback!r}")
        notes = notes_of(self)
        return notes_add(notes, opened(self), callback, arg)

    def remove_cb(self, callback, arg=None):
        """Remove the newest callback with this function and argument.

        :raises ValueError: there is none.
        """
        cdef BufferCallback one = None
        opened(self)
        if self.notes_at != NULL:
            one = notes_find(<Notes>self.notes_at, callback, arg)
        if one is None or one.entry == NULL:
            raise ValueError(f"no such callback: {callback!r}, {arg!r}")
        notes_remove(<Notes>one.notes, one)

    def remove_cb_entry(self, BufferCallback entry not None):
        """Remove the callback that :meth:`add_cb` returned.

        :raises ValueError: it has been removed, or is another buffer's.
        """
        notes_remove(entry_of(self, entry), entry)

    def cb_set_flags(self, BufferCallback entry not None, int flags):
        """Enable a callback (EVBUFFER_CB_ENABLED)."""
        entry_of(self, entry)
        if flags & EVBUFFER_CB_ENABLED:
            entry.enabled = True

    def cb_clear_flags(self, BufferCallback entry not None, int flags):
        """Disable a callback (EVBUFFER_CB_ENABLED); it stays in its place."""
        entry_of(self, entry)
        if flags & EVBUFFER_CB_ENABLED:
            entry.enabled = False

    def defer_callbacks(self, EventBase base not None):
        """From now on run the callbacks from the loop of *base*, with the sums of all changes.

        :raises RuntimeError: the base is closed.
        """
        cdef Notes notes = notes_of(self)
        notes_defer(notes, opened(self), base)

    def set_flags(self, flags):
        """Accepted: EVBUFFER_FLAG_DRAINS_TO_FD, which changes nothing."""
        evbuffer_set_flags(opened(self), <uint64_t>flags)

    def clear_flags(self, flags):
        """As :meth:`set_flags`."""
        evbuffer_clear_flags(opened(self), <uint64_t>flags)

    # -- freezing

    def freeze(self, bint at_front):
        """Refuse changes at the start (*at_front*) or at the end."""
        evbuffer_freeze(opened(self), at_front)

    def unfreeze(self, bint at_front):
        """Allow them again."""
        opened(self)
        if evbuffer_unfreeze(self.buf, at_front) < 0:
            fail(errno, self)


cdef int pin_at(Buffer self, Pin pin, size_t pos, size_t most) except -1:
    cdef int error = pin_bytes(pin, self.buf, pos, most)
    if error < 0:
        fail(-error, self)
    return 0


cdef object add_pieces(Buffer self, object pieces):
    cdef list items = list(pieces)
    cdef Py_ssize_t n = len(items), have = 0
    cdef size_t total = 0
    cdef Py_buffer *views
    cdef iovec *vec
    opened(self)
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
        if evbuffer_add_iovec(opened(self), vec, <int>n) != total:
            fail(errno, self)
        return total
    finally:
        while have > 0:
            have -= 1
            PyBuffer_Release(&views[have])
        PyMem_Free(views)
        PyMem_Free(vec)


cdef Notes notes_of(Buffer self):
    """What keeps its callbacks, made when first used."""
    cdef EventBase base = None
    cdef Notes notes
    opened(self)
    if self.notes_at != NULL:
        return <Notes>self.notes_at
    if self.owner is not None:
        base = (<Attached>self.owner).owner
    notes = notes_new(self, &self.notes_at, base)
    self.notes = notes
    return notes


cdef Notes entry_of(Buffer self, BufferCallback entry):
    opened(self)
    if entry.entry == NULL or entry.notes != self.notes_at:
        raise ValueError(f"not a callback of {self!r}: {entry!r}")
    return <Notes>entry.notes


cdef int require_own(Buffer self) except -1:
    if self.view != NULL:
        raise ValueError(f"{self!r} is closed with {self.owner!r}, not by itself")
    return 0


cdef int refuse_eol(Buffer self, int eol) except -1:
    opened(self)
    raise ValueError(f"eol must be EVBUFFER_EOL_*, not {eol}")


cdef int look_into_files(Buffer self) except -1:
    """Nothing was found, and there are files not in memory: raise why they are not."""
    cdef Pin pin = Pin.__new__(Pin)
    if self.buf.len > 0:
        pin_at(self, pin, 0, 1)
    return 0


cdef Py_ssize_t searched(Buffer self, Py_buffer *what, size_t first, size_t last) except -2:
    cdef evbuffer_ptr begin, stop
    if first > opened(self).len:
        return -1
    begin = pointer(first)
    stop = pointer(min(last, self.buf.len))
    if stop.pos < begin.pos:
        return -1
    begin = evbuffer_search_range(self.buf, <const char *>what.buf, what.len, &begin, &stop)
    if begin.pos < 0 and self.buf.flags & PE_BUF_FILES:
        look_into_files(self)
    return begin.pos


cdef object copied(Buffer self, size_t pos, size_t n):
    cdef evbuffer *buf = opened(self)
    if n == 0 or pos >= buf.len:
        return b""
    if buf.flags & PE_BUF_FROZEN_START:
        held(self)
    return gather(self, pos, min(n, buf.len - pos))


# --- a connection's buffers ------------------------------------------------------------

cdef Buffer buffer_view(evbuffer *buf, object owner, PyObject **view):
    """The Buffer over `buf` of `owner`: the one at *view, or a new one noted there."""
    cdef Buffer self
    cdef bint collects
    if view[0] != NULL:
        if Py_REFCNT(view[0]) > 0:
            return <Buffer>view[0]
        let_go(view)  # asked for in a weakref callback while it is being deallocated
    if spare_count > 0:
        self = take_spare()
    else:
        collects = PyGC_Disable()  # a finalizer might close the owner, and `buf` with it
        try:
            self = Buffer.__new__(Buffer)
        finally:
            if collects:
                PyGC_Enable()
    self.buf = buf
    self.owner = owner
    self.view = view
    view[0] = <PyObject *>self
    return self


cdef object buffer_orphan(PyObject **view):
    """The owner is being closed: so is the Buffer at *view, if there is one.

    Runs no code. The result, which the caller drops when its own affairs are in order,
    may: callbacks of the Buffer go with it.
    """
    return let_go(view) if view[0] != NULL else None


cdef object let_go(PyObject **view):
    # Without a reference of its own: the Buffer may be in its deallocation already.
    cdef object last = notes_end(&(<Buffer>view[0]).notes_at)
    (<Buffer>view[0]).buf = NULL
    (<Buffer>view[0]).view = NULL
    view[0] = NULL
    return last


# --- spare ones -------------------------------------------------------------------------------
#
# A callback asks for its connection's buffers and drops them when it returns: a few of those
# are kept for the next one, out of the collector's sight, without all that dismantling and
# setting up again takes.

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define PE_SPARES 0
    #else
    #define PE_SPARES 16
    #endif
    static PyObject *pe_spares[PE_SPARES + 1];

    static inline int pe_has_weakrefs(PyObject *op) {
        return *(PyObject **)((char *)op + Py_TYPE(op)->tp_weaklistoffset) != NULL;
    }
    """
    const int PE_SPARES
    PyObject **pe_spares
    bint pe_has_weakrefs(PyObject *)

cdef extern from "Python.h":
    ctypedef void (*destructor)(PyObject *) noexcept
    ctypedef struct TypeObject "PyTypeObject":
        destructor tp_dealloc
    TypeObject *Py_TYPE(PyObject *)
    PyObject *PyObject_Init(PyObject *, TypeObject *)
    void PyObject_GC_Track(PyObject *)
    void PyObject_GC_UnTrack(PyObject *)

cdef int spare_count = 0
cdef destructor dismantle = NULL


cdef Buffer take_spare():
    """One that is closed and belongs to nobody."""
    global spare_count
    cdef PyObject *op
    cdef Buffer self
    spare_count -= 1
    op = PyObject_Init(pe_spares[spare_count], <TypeObject *>Buffer)
    self = <Buffer>op
    Py_DECREF(self)  # the reference that it was made with
    PyObject_GC_Track(op)
    return self


cdef void spare_or_dismantle(PyObject *op) noexcept:
    """tp_dealloc: keep a connection's Buffer of which nobody else knows."""
    global spare_count
    cdef object owner
    if (spare_count >= PE_SPARES or Py_TYPE(op) != <TypeObject *>Buffer
            or (<Buffer>op).view == NULL or (<Buffer>op).notes_at != NULL
            or pe_has_weakrefs(op)):
        dismantle(op)
        return
    PyObject_GC_UnTrack(op)
    (<Buffer>op).view[0] = NULL
    (<Buffer>op).view = NULL
    (<Buffer>op).buf = NULL
    owner = (<Buffer>op).owner
    (<Buffer>op).owner = (<Buffer>op).notes = None
    pe_spares[spare_count] = op
    spare_count += 1
    owner = None  # last: it may run anything


dismantle = (<TypeObject *>Buffer).tp_dealloc
(<TypeObject *>Buffer).tp_dealloc = spare_or_dismantle
