# cython: language_level=3, binding=False
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

Memoryviews (peek, pullup, reserve) refer to a Pin, which keeps the bytes where
they are until the last view of it is released, whatever becomes of the Buffer.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.memoryview cimport (
    PyMemoryView_Check,
    PyMemoryView_FromObject,
    PyMemoryView_GET_BUFFER,
)
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.errno cimport EBUSY, EINTR, EINVAL, EIO, ENOMEM, EOVERFLOW, EPERM, errno
from libc.string cimport memset

from pyevent._core cimport check, check_err, fd_of
from pyevent.c.buffer cimport *


cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX
    Py_ssize_t Py_REFCNT(PyObject *)
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


cdef inline object take(Buffer self, size_t n, size_t more):
    """The first `n` bytes; they and `more` behind them leave the buffer, in one change."""
    cdef evbuffer *buf = self.buf
    cdef size_t here
    cdef const unsigned char *start = pe_evbuffer_first(buf, &here)
    cdef object data
    if n <= here:
        data = PyBytes_FromStringAndSize(<const char *>start, <Py_ssize_t>n)
    else:
        data = gather(self, 0, n)
    pe_evbuffer_take(buf, n + more)
    return data


# --- bytes that others hold ---------------------------------------------------------

cdef void bytes_returned(const void *data, size_t n, void *extra) noexcept:
    Py_XDECREF(<PyObject *>extra)


cdef void view_returned(const void *data, size_t n, void *extra) noexcept:
    PyBuffer_Release(<Py_buffer *>extra)
    PyMem_Free(extra)


cdef int lend_bytes(Buffer self, object data) except -1:
    cdef evbuffer *buf = opened(self)
    cdef int error
    Py_INCREF(data)
    if evbuffer_add_reference(buf, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data),
                              bytes_returned, <void *>data) < 0:
        error = errno
        bytes_returned(NULL, 0, <void *>data)
        fail(error, self)
    return 0


cdef int lend_view(Buffer self, object data) except -1:
    cdef int error
    cdef Py_buffer *view = <Py_buffer *>PyMem_Malloc(sizeof(Py_buffer))
    if view == NULL:
        raise MemoryError("pyevent: out of memory")
    try:
        PyObject_GetBuffer(data, view, PyBUF_SIMPLE)
    except BaseException:
        PyMem_Free(view)
        raise
    if self.buf == NULL:  # looked at only now: the exporter may have run code
        view_returned(NULL, 0, view)
        closed(self)
    if evbuffer_add_reference(self.buf, view.buf, view.len, view_returned, view) < 0:
        error = errno
        view_returned(NULL, 0, view)
        fail(error, self)
    return 0


@cython.final
@cython.internal
@cython.freelist(8)
cdef class Pin:
    """What a memoryview of a Buffer refers to: bytes, or room, that stay where they are."""

    cdef pe_pin pin
    cdef bint is_set
    cdef bint is_leaving      # commit() takes it over from its last view
    cdef Py_ssize_t exports

    def __dealloc__(self):
        unpin(self)

    def __reduce__(self):
        raise TypeError("cannot pickle or copy 'Pin' objects")

    def __getbuffer__(self, Py_buffer *out, int flags):
        if not self.is_set:
            raise BufferError("the memory has been given back")
        PyBuffer_FillInfo(out, self, self.pin.data, <Py_ssize_t>self.pin.len,
                          not self.pin.is_room, flags)
        self.exports += 1

    def __releasebuffer__(self, Py_buffer *out):
        self.exports -= 1
        if self.exports == 0 and not self.is_leaving:
            unpin(self)


cdef void unpin(Pin self) noexcept:
    if self.is_set:
        self.is_set = False
        pe_evbuffer_unpin(&self.pin)


cdef int pin_at(Buffer self, Pin pin, size_t pos, size_t most) except -1:
    cdef int error = pe_evbuffer_pin(self.buf, pos, most, &pin.pin)
    if error < 0:
        fail(-error, self)
    pin.is_set = True
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
        evbuffer_free(buf)

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
        if PyBytes_CheckExact(data):
            lend_bytes(self, data)
        else:
            lend_view(self, data)

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
        return take(self, n, 0)

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

    def readln(self, int eol=EVBUFFER_EOL_CRLF):
        """Take the first line out.

        :param eol: what ends a line, ``EVBUFFER_EOL_*``. CRLF takes LF with or without a
            CR before it; with ANY, which takes any run of CR and LF, no line is empty.
        :returns: ``bytes`` without the end of line (``b""``: an empty line), or ``None``
            when no line is complete. What has been searched is not searched again.
        """
        cdef evbuffer *buf = self.buf
        cdef Py_ssize_t n
        cdef size_t eol_len
        if buf == NULL or <unsigned int>eol > EVBUFFER_EOL_NUL:
            refuse_eol(self, eol)
        if buf.len == 0:
            return None
        if buf.flags & HELD_START:
            held(self)
        n = pe_evbuffer_find_line(buf, <evbuffer_eol_style>eol, &eol_len)
        if n < 0:
            if buf.flags & PE_BUF_FILES:
                look_into_files(self)
            return None
        return take(self, <size_t>n, eol_len)

    def readlines(self, int eol=EVBUFFER_EOL_CRLF, Py_ssize_t max=-1):
        """Take all complete lines out, at most *max* (negative: no limit).

        :returns: a list of what as many calls of :meth:`readln` would return.
        """
        cdef list lines = []  # made first: it may start the garbage collector
        cdef evbuffer *buf = self.buf
        cdef pe_lines it
        if buf == NULL or <unsigned int>eol > EVBUFFER_EOL_NUL:
            refuse_eol(self, eol)
        if buf.len == 0 or max == 0:
            return lines
        if buf.flags & HELD_START:
            held(self)
        pe_lines_init(&it, buf, <evbuffer_eol_style>eol)
        while max != 0 and pe_lines_next(&it):
            if it.data != NULL:
                lines.append(PyBytes_FromStringAndSize(<const char *>it.data,
                                                       <Py_ssize_t>it.len))
            else:
                lines.append(gather(self, it.start, it.len))
            max -= 1
        if it.pos > 0:
            pe_evbuffer_take(buf, it.pos)
        elif buf.flags & PE_BUF_FILES:
            look_into_files(self)
        return lines

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
        cdef evbuffer_ptr begin, stop
        cdef Py_buffer view
        PyObject_GetBuffer(what, &view, PyBUF_SIMPLE)
        try:
            if first > opened(self).len:
                return -1
            begin = pointer(first)
            stop = pointer(min(last, self.buf.len))
            if stop.pos < begin.pos:
                return -1
            begin = evbuffer_search_range(self.buf, <const char *>view.buf, view.len, &begin,
                                          &stop)
            if begin.pos < 0 and self.buf.flags & PE_BUF_FILES:
                look_into_files(self)
            return begin.pos
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
        error = pe_evbuffer_reserve_pin(self.buf, <size_t>size, &pin.pin)
        if error < 0:
            fail(-error, self)
        pin.is_set = True
        pin.pin.len = <size_t>size
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

    # -- freezing

    def freeze(self, bint at_front):
        """Refuse changes at the start (*at_front*) or at the end."""
        evbuffer_freeze(opened(self), at_front)

    def unfreeze(self, bint at_front):
        """Allow them again."""
        opened(self)
        if evbuffer_unfreeze(self.buf, at_front) < 0:
            fail(errno, self)


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


cdef void buffer_orphan(PyObject **view) noexcept:
    """The owner is being closed: so is the Buffer at *view, if there is one."""
    if view[0] != NULL:
        let_go(view)


cdef void let_go(PyObject **view) noexcept:
    # Without a reference of its own: the Buffer may be in its deallocation already.
    (<Buffer>view[0]).buf = NULL
    (<Buffer>view[0]).view = NULL
    view[0] = NULL
