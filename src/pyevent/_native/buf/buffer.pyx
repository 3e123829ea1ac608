"""Buffers: bytes on their way between sockets and programs.

A Buffer has a struct evbuffer of its own, or shows one that belongs to a
connection:

    own              evbuffer_free when it is closed or dropped
    a connection's   `owner` is the connection; it has a borrowed pointer to the
                     Buffer at *view, so that it gives out the same one while
                     somebody has it. Whichever goes first clears the other's
                     pointer; a Buffer whose connection has gone is closed.

Calling out: a change runs the connection's hook and callbacks and drops what was
lent, and so may run any code, which may close this very Buffer. So each method
converts, enters, calls C and leaves (docs/design/cython.md): buffer_enter() is the
one reader of `buf`, buffer_leave() raises what the result says. Between them `bytes`
may be made, by CPython's functions that answer NULL: that runs no code, and a line
goes from the ring into its object without a copy in between.

Memoryviews and lent memory are in buf/views.pyx, callbacks in buf/callbacks.pyx, files in
buf/files.pyx; those three know a struct evbuffer and no Buffer.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.memoryview cimport (
    PyMemoryView_Check,
    PyMemoryView_FromObject,
    PyMemoryView_GET_BUFFER,
)
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.errno cimport EBUSY, EINTR, EINVAL, ENOMEM, EOVERFLOW, EPERM, errno
from libc.limits cimport INT_MAX
from libc.stdint cimport int64_t, uint64_t

from pyevent._native.base.arguments cimport check_err, fd_of
from pyevent._native.buf.callbacks cimport (
    BufferCallback,
    Notes,
    notes_add,
    notes_begin,
    notes_defer,
    notes_enable,
    notes_end,
    notes_find,
    notes_forget,
    notes_new,
    notes_remove,
    notes_start,
)
from pyevent._native.buf.files cimport FileSegment, segment_enter, segment_of, segment_owns, whole
from pyevent._native.buf.views cimport (
    Pin,
    drop_view,
    lend_bytes,
    lend_view,
    lent,
    pin_bytes,
    pin_commit,
    pin_room,
    view_to_lend,
)
from pyevent._native.c.buffer cimport *
from pyevent._native.loop.attached cimport Attached
from pyevent._native.loop.eventbase cimport EventBase, base_enter

import os


cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX
    Py_ssize_t Py_REFCNT(PyObject *)
    Py_ssize_t PyNumber_AsSsize_t(object n, PyObject *overflow) except? -1
    int PySlice_Unpack(object key, Py_ssize_t *start, Py_ssize_t *stop, Py_ssize_t *step) except -1
    Py_ssize_t PySlice_AdjustIndices(Py_ssize_t length, Py_ssize_t *start, Py_ssize_t *stop,
                                     Py_ssize_t step)
    int PyGC_Disable()
    int PyGC_Enable()


cdef extern from *:
    """
    #define HELD_START (PE_BUF_FROZEN_START | PE_BUF_PINNED) /* the user may not take */

    /* A new reference, or NULL with an exception set, as a function of Python's answers it. */
    static inline PyObject *pe_given(PyObject *op) {
        return op;
    }
    """
    int HELD_START
    object pe_given(PyObject *op)

# Between entering and leaving: these raise nothing by themselves.
cdef extern from "Python.h":
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *, Py_ssize_t)
    char *bytes_at "PyBytes_AS_STRING"(PyObject *)
    int list_append "PyList_Append"(PyObject *, PyObject *)
    void drop_reference "Py_DECREF"(PyObject *)


# --- errors and arguments -------------------------------------------------------

cdef int closed(Buffer self) except -1:
    cdef str of_owner = "" if self.owner is None else f" of {self.owner!r}"
    raise ValueError(f"I/O operation on closed {type(self).__name__}{of_owner}")


cdef evbuffer *buffer_enter(Buffer self) except NULL:
    if self.buf == NULL:
        closed(self)
    return self.buf


cdef inline Py_ssize_t or_errno(Py_ssize_t result) noexcept:
    """What an event2 call answers, with the negative errno in place of -1."""
    return result if result >= 0 else -errno


cdef inline Py_ssize_t buffer_leave(Buffer self, Py_ssize_t result, Buffer other=None) except -1:
    """The end of what buffer_enter() began: a count, or a negative errno to be raised."""
    if result < 0:
        fail(<int>-result, self, other)
    return result


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


cdef inline int why_held(const evbuffer *buf) noexcept:
    """Why bytes may not be taken off the start."""
    return -EPERM if buf.flags & PE_BUF_FROZEN_START else -EBUSY


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


# --- bytes out of the ring --------------------------------------------------------

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


cdef object copied(Buffer self, size_t pos, size_t n, int held, bint takes):
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


cdef object next_line(Buffer self, int eol, Py_ssize_t max_line):
    """The first line, taken out, wherever it lies; None: no line is complete."""
    cdef const unsigned char *data = NULL
    cdef size_t eol_len = 0
    cdef Py_ssize_t n, result = 0
    cdef PyObject *line = NULL
    cdef bint too_long = False
    cdef evbuffer *buf = buffer_enter(self)
    if <unsigned int>eol > EVBUFFER_EOL_NUL:
        buffer_leave(self, 0)
        refuse_eol(eol)
    if buf.flags & HELD_START and buf.len > 0:
        n = result = why_held(buf)
    else:
        n = pe_evbuffer_line(buf, <evbuffer_eol_style>eol, &data, &eol_len)
        if n < -1:
            result = n
        elif max_line >= 0:
            result = is_too_long(buf, n, eol, max_line)
            too_long = result > 0
    if n >= 0 and result == 0:
        if data != NULL:
            line = new_bytes(<const char *>data, n)
        else:
            line = gather(buf, 0, <size_t>n, &result)
        if line != NULL:
            pe_evbuffer_take(buf, <size_t>n + eol_len)
    buffer_leave(self, result)
    if too_long:
        refuse_line(self, max_line)
    return pe_given(line) if n >= 0 else None


cdef int is_too_long(evbuffer *buf, Py_ssize_t n, int eol, Py_ssize_t max_line) noexcept:
    """Whether the first line, of `n` bytes (-1: not complete), is longer than it may be.

    -errno: a file cannot be read.
    """
    cdef unsigned char last = 0
    cdef Py_ssize_t got
    if n < 0 and buf.len > <size_t>max_line:
        n = <Py_ssize_t>buf.len
        if n - 1 == max_line and (eol == EVBUFFER_EOL_CRLF or eol == EVBUFFER_EOL_CRLF_STRICT):
            got = pe_evbuffer_copy_at(buf, <size_t>max_line, &last, 1)
            if got < 0:
                return <int>got
            n -= last == 13  # the LF may be what comes next
    return n > max_line


cdef int refuse_line(Buffer self, Py_ssize_t max_line) except -1:
    raise ValueError(f"line longer than {max_line} bytes: {self!r}")


cdef PyObject *take_lines(evbuffer *buf, int eol, Py_ssize_t most, Py_ssize_t max_line,
                          PyObject *lines, Py_ssize_t *result) noexcept:
    """Append the complete lines to a list and take them out, `most` at most (< 0: all).

    `lines`; NULL: why is in *result (1: the first one is too long), else the exception is set.
    """
    cdef size_t done = 0
    cdef PyObject *line
    cdef pe_lines it
    pe_lines_init(&it, buf, <evbuffer_eol_style>eol)
    while most != 0 and pe_lines_next(&it):
        if <size_t>max_line < it.len:  # a negative one is larger than any
            result[0] = done == 0
            break
        if it.data != NULL:
            line = new_bytes(<const char *>it.data, <Py_ssize_t>it.len)
        else:
            line = gather(buf, it.start, it.len, result)
        if line == NULL or list_append(lines, line) < 0:
            if line != NULL:
                drop_reference(line)
            return NULL
        drop_reference(line)
        most -= 1
        done = it.pos
    if done > 0:
        pe_evbuffer_take(buf, done)
    elif it.err < 0:
        result[0] = it.err
    elif result[0] == 0 and max_line >= 0 and most != 0:
        result[0] = is_too_long(buf, -1, eol, max_line)
    return lines if result[0] == 0 else NULL


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
        if self.notes_at != NULL:
            last = notes_end(&self.notes_at)
        if self.view != NULL:
            self.view[0] = NULL
        elif buf != NULL:
            evbuffer_free(buf)

    def __reduce__(self):
        raise TypeError(f"cannot pickle or copy {type(self).__name__!r} objects")

    def __enter__(self):
        buffer_enter(self)
        buffer_leave(self, 0)
        require_own(self)
        return self

    def __exit__(self, *exc_info):
        self.close()

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

    def close(self):
        """Let go of all that it holds. Closing again does nothing.

        Memoryviews stay good until they are released.

        :raises ValueError: it belongs to a connection, which closes it.
        """
        cdef evbuffer *buf
        cdef object last, notes
        if self.buf == NULL:
            return
        require_own(self)
        buf = self.buf
        self.buf = NULL
        last = notes_end(&self.notes_at)
        notes, self.notes = self.notes, None
        evbuffer_free(buf)

    free = close

    @property
    def closed(self):
        """Whether it, or the connection that it belongs to, has been closed."""
        return self.buf == NULL

    def get_length(self):
        """How many bytes it holds."""
        return buffer_leave(self, length_of(buffer_enter(self)))

    def get_contiguous_space(self):
        """How many of its first bytes lie in one piece, be it of a file that is not in memory."""
        return buffer_leave(self, evbuffer_get_contiguous_space(buffer_enter(self)))

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

    def copyout(self, size=None):
        """As :meth:`remove`, but the bytes stay in the buffer."""
        return copied(self, 0, size_of(size), PE_BUF_FROZEN_START, False)

    def copyout_from(self, start, size=None):
        """As :meth:`copyout`, from position *start* on."""
        cdef size_t pos = size_of(start)
        return copied(self, pos, size_of(size), PE_BUF_FROZEN_START, False)

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
        cdef BufferCallback one
        if not callable(callback):
            raise TypeError(f"callback must be callable, not {callback!r}")
        notes = notes_of(self)
        one = notes_add(notes, callback, arg)
        try:
            buffer_leave(self, notes_start(notes, one, buffer_enter(self)))
        except BaseException:
            notes_forget(notes, one)
            raise
        return one

    def remove_cb(self, callback, arg=None):
        """Remove the newest callback with this function and argument.

        :raises ValueError: there is none.
        """
        cdef Notes notes = None
        cdef BufferCallback one = None
        buffer_enter(self)
        if self.notes_at != NULL:
            notes = <Notes>self.notes_at
        buffer_leave(self, 0)
        if notes is not None:
            one = notes_find(notes, callback, arg)
        if one is None:
            raise ValueError(f"no such callback: {callback!r}, {arg!r}")
        notes_remove(notes, one)

    def remove_cb_entry(self, BufferCallback entry not None):
        """Remove the callback that :meth:`add_cb` returned.

        :raises ValueError: it has been removed, or is another buffer's.
        """
        notes_remove(entry_of(self, entry), entry)

    def cb_set_flags(self, BufferCallback entry not None, int flags):
        """Enable a callback (EVBUFFER_CB_ENABLED)."""
        entry_of(self, entry)
        if flags & EVBUFFER_CB_ENABLED:
            notes_enable(entry, True)

    def cb_clear_flags(self, BufferCallback entry not None, int flags):
        """Disable a callback (EVBUFFER_CB_ENABLED); it stays in its place."""
        entry_of(self, entry)
        if flags & EVBUFFER_CB_ENABLED:
            notes_enable(entry, False)

    def defer_callbacks(self, EventBase base not None):
        """From now on run the callbacks from the loop of *base*, with the sums of all changes.

        :raises RuntimeError: the base is closed.
        """
        cdef Notes notes = notes_of(self)
        cdef evbuffer *buf = buffer_enter(self)
        buffer_leave(self, or_errno(evbuffer_defer_callbacks(buf, base_enter(base))))
        notes_defer(notes, base)

    def set_flags(self, long long flags):
        """Accepted: EVBUFFER_FLAG_DRAINS_TO_FD, which changes nothing."""
        buffer_leave(self, evbuffer_set_flags(buffer_enter(self), <uint64_t>flags))

    def clear_flags(self, long long flags):
        """As :meth:`set_flags`."""
        buffer_leave(self, evbuffer_clear_flags(buffer_enter(self), <uint64_t>flags))

    # -- freezing

    def freeze(self, bint at_front):
        """Refuse changes at the start (*at_front*) or at the end."""
        buffer_leave(self, evbuffer_freeze(buffer_enter(self), at_front))

    def unfreeze(self, bint at_front):
        """Allow them again."""
        buffer_leave(self, or_errno(evbuffer_unfreeze(buffer_enter(self), at_front)))


cdef inline Py_ssize_t length_of(const evbuffer *buf) noexcept:
    return <Py_ssize_t>buf.len


cdef Py_ssize_t check_io(Py_ssize_t result) except -1:
    """What a system call has answered, else the OSError of its errno."""
    if result < 0:
        if result == -ENOMEM:
            raise MemoryError("pyevent: out of memory")
        errno_ = <int>-result
        raise OSError(errno_, os.strerror(errno_))
    return result


cdef bint pin_at(Buffer self, Pin pin, size_t pos, size_t most) except -1:
    """Pin the piece at `pos`. False: that is not inside the buffer."""
    cdef evbuffer *buf = buffer_enter(self)
    cdef bint is_inside = pos < buf.len
    buffer_leave(self, pin_bytes(pin, buf, pos, most) if is_inside else 0)
    return is_inside


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


cdef Notes notes_of(Buffer self):
    """What keeps its callbacks, made when first used."""
    cdef EventBase base = None
    cdef object last
    cdef Notes notes = None
    if self.notes_at != NULL:
        return <Notes>self.notes_at
    notes = notes_new()
    buffer_enter(self)  # and not before: making them may have run code
    buffer_leave(self, 0)
    if self.notes_at != NULL:
        return <Notes>self.notes_at
    if self.owner is not None:
        base = (<Attached>self.owner).owner
    notes_begin(notes, self, &self.notes_at, base)
    last, self.notes = self.notes, notes
    return notes


cdef Notes entry_of(Buffer self, BufferCallback entry):
    """Whose an entry is: this buffer's."""
    buffer_enter(self)
    buffer_leave(self, 0)
    if entry.entry == NULL or entry.notes != self.notes_at:
        raise ValueError(f"not a callback of {self!r}: {entry!r}")
    return <Notes>entry.notes


cdef int require_own(Buffer self) except -1:
    if self.view != NULL:
        raise ValueError(f"{self!r} is closed with {self.owner!r}, not by itself")
    return 0


cdef int refuse_eol(int eol) except -1:
    raise ValueError(f"eol must be EVBUFFER_EOL_*, not {eol}")


cdef Py_ssize_t searched(Buffer self, Py_buffer *what, Py_ssize_t first,
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
    self.is_set_up = True
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
