"""What a buffer holds, seen where it lies.

Contents is the part of every Buffer that looks at its bytes: as a sequence, by searching, through
memoryviews. Users see it as Buffer, whose base class it is.

Calling out: a change runs the connection's hook and callbacks and drops what was
lent, and so may run any code, which may close this very Buffer. So each method
converts, enters, calls C and leaves (docs/design/cython.md): buffer_enter() is the
one reader of `buf`, buffer_leave() raises what the result says. Between them `bytes`
may be made, by CPython's functions that answer NULL: that runs no code, and a line
goes from the ring into its object without a copy in between.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.memoryview cimport (
    PyMemoryView_Check,
    PyMemoryView_FromObject,
    PyMemoryView_GET_BUFFER,
)
from cpython.object cimport PyObject
from libc.errno cimport EBUSY, EINVAL, ENOMEM, EOVERFLOW, EPERM, errno

from pyevent._native.base.arguments cimport check_err
from pyevent._native.buf.views cimport Pin, pin_bytes, pin_commit, pin_room
from pyevent._native.c.buffer cimport *


cdef extern from "Python.h":
    Py_ssize_t PyNumber_AsSsize_t(object n, PyObject *overflow) except? -1
    int PySlice_Unpack(object key, Py_ssize_t *start, Py_ssize_t *stop, Py_ssize_t *step) except -1
    Py_ssize_t PySlice_AdjustIndices(Py_ssize_t length, Py_ssize_t *start, Py_ssize_t *stop,
                                     Py_ssize_t step)


cdef int refuse_closed(Contents self) except -1:
    cdef str of_owner = "" if self.owner is None else f" of {self.owner!r}"
    raise ValueError(f"I/O operation on closed {type(self).__name__}{of_owner}")


cdef int fail(int error, Contents self, Contents other=None) except -1:
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


cdef int refuse_size(Py_ssize_t size) except -1:
    raise ValueError(f"must not be negative: {size}")


cdef int refuse_eol(int eol) except -1:
    raise ValueError(f"eol must be EVBUFFER_EOL_*, not {eol}")


cdef PyObject *gather(evbuffer *buf, size_t pos, size_t n, Py_ssize_t *result) noexcept:
    """The `n` bytes from `pos` on, all of which are there, wherever they lie.

    NULL: why is in *result, else the exception is set.
    """
    cdef PyObject *data = new_bytes(NULL, <Py_ssize_t>n)
    cdef Py_ssize_t got
    if data == NULL:
        return NULL
    got = pe_evbuffer_copy_at(buf, pos, bytes_at(data), n)
    if got < 0:
        drop_reference(data)
        result[0] = got
        return NULL
    return data


cdef object copied(Contents self, size_t pos, size_t n, int held, bint takes):
    """Up to `n` bytes from `pos` on, unless the buffer is one of `held`."""
    cdef PyObject *data = NULL
    cdef Py_ssize_t result = 0
    cdef evbuffer *buf = buffer_enter(self)
    n = min(n, buf.len - pos) if pos < buf.len else 0
    if n > 0 and buf.flags & held:
        result = why_held(buf)
    else:
        data = gather(buf, pos, n, &result)
        if data != NULL and takes:
            pe_evbuffer_take(buf, n)
    buffer_leave(self, result)
    return pe_given(data)


@cython.freelist(32)
cdef class Contents:
    """The base class of :class:`Buffer`: what it holds."""

    def __reduce__(self):
        raise TypeError(f"cannot pickle or copy {type(self).__name__!r} objects")

    def __repr__(self):
        cdef object owner = self.owner
        cdef str name = type(self).__name__  # first: a metaclass may have code for it
        cdef str whose = "" if owner is None else f" of {type(owner).__name__}"
        cdef str state = ""
        cdef size_t n
        cdef int flags
        if self.buf == NULL:
            return f"<{name} closed>"
        n, flags = self.buf.len, self.buf.flags
        if flags & PE_BUF_FROZEN_START:
            state += " frozen-start"
        if flags & PE_BUF_FROZEN_END:
            state += " frozen-end"
        if flags & PE_BUF_PINNED:
            state += " pinned"
        return f"<{name} length={n}{state}{whose}>"

    def __len__(self):
        return buffer_leave(self, length_of(buffer_enter(self)))

    def __bool__(self):
        return buffer_leave(self, length_of(buffer_enter(self))) != 0

    def __bytes__(self):
        return copied(self, 0, PY_SSIZE_T_MAX, 0, False)

    def get_length(self):
        """How many bytes it holds."""
        return buffer_leave(self, length_of(buffer_enter(self)))

    def get_contiguous_space(self):
        """How many of its first bytes lie in one piece, be it of a file that is not in memory."""
        return buffer_leave(self, evbuffer_get_contiguous_space(buffer_enter(self)))

    def copyout(self, size=None):
        """As :meth:`remove`, but the bytes stay in the buffer."""
        return copied(self, 0, size_of(size), PE_BUF_FROZEN_START, False)

    def copyout_from(self, start, size=None):
        """As :meth:`copyout`, from position *start* on."""
        cdef size_t pos = size_of(start)
        return copied(self, pos, size_of(size), PE_BUF_FROZEN_START, False)

    # -- as a sequence of bytes

    def __getitem__(self, key):
        cdef Py_ssize_t start, stop, step, n, result = 0
        cdef PyObject *data = NULL
        cdef evbuffer *buf
        cdef bint is_slice = isinstance(key, slice)
        if is_slice:
            PySlice_Unpack(key, &start, &stop, &step)
        else:
            start = PyNumber_AsSsize_t(key, <PyObject *>IndexError)
            stop, step = 0, 1
        buf = buffer_enter(self)
        if is_slice:
            n = PySlice_AdjustIndices(length_of(buf), &start, &stop, step)
            if step < 0:
                start, stop = stop + 1, start + 1
            data = gather(buf, <size_t>start, <size_t>(stop - start) if n > 0 else 0, &result)
        else:
            if start < 0:
                start += length_of(buf)
            if 0 <= start < length_of(buf):
                data = gather(buf, <size_t>start, 1, &result)
            else:
                step = 0
        buffer_leave(self, result)
        if step == 0:
            raise IndexError(f"index out of range: {self!r}")
        found = pe_given(data)
        if not is_slice:
            return (<bytes>found)[0]
        return found if step == 1 else found[::step]

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
            return searched(self, &view, first, last)
        finally:
            PyBuffer_Release(&view)

    # -- searching

    def search(self, what, start=0, end=None):
        """The first position of *what* at *start* or later, ending not after *end*.

        :returns: -1 when there is none.
        """
        cdef Py_ssize_t first = size_of(start)
        cdef Py_ssize_t last = size_of(end)
        cdef Py_buffer view
        PyObject_GetBuffer(what, &view, PyBUF_SIMPLE)
        try:
            return searched(self, &view, first, last)
        finally:
            PyBuffer_Release(&view)

    search_range = search

    def search_eol(self, start=0, int eol=1):
        """The first end of line at *start* or later.

        :returns: its position and its length; ``(-1, 0)`` when there is none.
        """
        cdef size_t first = size_of(start)
        cdef size_t eol_len = 0
        cdef Py_ssize_t found
        cdef evbuffer *buf = buffer_enter(self)
        if <unsigned int>eol > EVBUFFER_EOL_NUL:
            buffer_leave(self, 0)
            refuse_eol(eol)
        found = pe_evbuffer_eol_at(buf, first, <evbuffer_eol_style>eol, &eol_len)
        buffer_leave(self, found if found < -1 else 0)
        return (found, eol_len if found >= 0 else 0)

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
        buffer_enter(self)
        buffer_leave(self, 0)
        # Each is pinned by an entry of its own. Nothing changes in between: a Pin and a longer
        # list are made without the garbage collector.
        while left > 0:
            pin = Pin.__new__(Pin)
            if not pin_at(self, pin, pos, left):
                break
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
        cdef Py_ssize_t result = 0
        cdef evbuffer *buf = buffer_enter(self)
        cdef size_t n = buf.len if size < 0 else <size_t>size
        cdef bint is_there = n <= buf.len
        if n > 0 and is_there and evbuffer_pullup(buf, <Py_ssize_t>n) == NULL:
            result = -errno
        buffer_leave(self, result)
        if not is_there:
            raise ValueError(f"fewer than {n} bytes to pull up: {self!r}")
        if n == 0:
            return PyMemoryView_FromObject(b"")
        # What it has freed may have run code.
        if not pin_at(self, pin, 0, n) or pin.pin.len < n:
            raise RuntimeError(f"changed while it was pulled up: {self!r}")
        return PyMemoryView_FromObject(pin)

    def reserve(self, Py_ssize_t size):
        """Room for *size* bytes in one piece, to be written to and then committed.

        :returns: a writable memoryview of zeroes; released without :meth:`commit` it is dropped.
        :raises ValueError: *size* is not positive.
        """
        cdef Pin pin = Pin.__new__(Pin)
        cdef evbuffer *buf = buffer_enter(self)
        if size <= 0:
            buffer_leave(self, 0)
            raise ValueError(f"size must be positive: {size}")
        buffer_leave(self, pin_room(pin, buf, <size_t>size))
        return PyMemoryView_FromObject(pin)

    def commit(self, view, size=None):
        """Add the first *size* bytes (``None``: all) of what :meth:`reserve` gave.

        The view is released.

        :raises ValueError: it is none of this buffer's, or shorter.
        :raises BufferError: another object still uses the memory.
        """
        cdef Pin pin
        cdef size_t n, most
        cdef int error
        cdef evbuffer *buf
        if not PyMemoryView_Check(view):
            raise TypeError(f"view must be a memoryview from reserve(), not {view!r}")
        n = size_of(size)
        base, most = view.obj, view.nbytes  # ValueError when it is released
        if not isinstance(base, Pin):
            raise ValueError("the view is not from reserve()")
        pin = base
        if not pin.is_set or not pin.pin.is_room:
            raise ValueError("the view is not from reserve()")
        if PyMemoryView_GET_BUFFER(view).buf != pin.pin.data:
            raise ValueError(f"the view is not from reserve() of {self!r}")
        if size is None:
            n = most
        if n > most:
            raise ValueError(f"cannot commit {n} of {most} bytes")
        buf = buffer_enter(self)
        error = -EPERM if buf.flags & PE_BUF_FROZEN_END else 0
        if pin.pin.buf != buf:
            buffer_leave(self, 0)
            raise ValueError(f"the view is not from reserve() of {self!r}")
        buffer_leave(self, error)
        pin.is_leaving = True
        try:
            view.release()
        finally:
            pin.is_leaving = False
        if pin.exports > 0:
            raise BufferError("another memoryview of the reserved room exists")
        buffer_enter(self)
        buffer_leave(self, pin_commit(pin, n))

    # -- freezing

    def freeze(self, bint at_front):
        """Refuse changes at the start (*at_front*) or at the end."""
        buffer_leave(self, evbuffer_freeze(buffer_enter(self), at_front))

    def unfreeze(self, bint at_front):
        """Allow them again."""
        buffer_leave(self, or_errno(evbuffer_unfreeze(buffer_enter(self), at_front)))


cdef bint pin_at(Contents self, Pin pin, size_t pos, size_t most) except -1:
    """Pin the piece at `pos`. False: that is not inside the buffer."""
    cdef evbuffer *buf = buffer_enter(self)
    cdef bint is_inside = pos < buf.len
    buffer_leave(self, pin_bytes(pin, buf, pos, most) if is_inside else 0)
    return is_inside


cdef Py_ssize_t searched(Contents self, Py_buffer *what, Py_ssize_t first,
                         Py_ssize_t last) except -2:
    """Where it is between `first` and `last`, which count from the end when negative; or -1."""
    cdef evbuffer *buf = buffer_enter(self)
    cdef Py_ssize_t found
    if first < 0:
        first = max(0, first + length_of(buf))
    if last < 0:
        last = max(0, last + length_of(buf))
    found = pe_evbuffer_search_at(buf, what.buf, what.len, <size_t>first, <size_t>last)
    buffer_leave(self, found if found < -1 else 0)
    return found
