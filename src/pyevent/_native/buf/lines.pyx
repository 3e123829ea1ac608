"""Taking lines out of a buffer."""

from cpython.object cimport PyObject

from pyevent._native.buf.contents cimport (
    HELD_START,
    Contents,
    buffer_enter,
    buffer_leave,
    bytes_at,
    drop_reference,
    gather,
    list_append,
    new_bytes,
    pe_given,
    refuse_eol,
    why_held,
)
from pyevent._native.c.buffer cimport *


cdef object next_line(Contents self, int eol, Py_ssize_t max_line):
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


cdef int refuse_line(Contents self, Py_ssize_t max_line) except -1:
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
