# Taking lines out of a buffer.

from cpython.object cimport PyObject

from pyevent._native.buf.contents cimport Contents
from pyevent._native.c.buffer cimport evbuffer


cdef object next_line(Contents self, int eol, Py_ssize_t max_line)
cdef PyObject *take_lines(evbuffer *buf, int eol, Py_ssize_t most, Py_ssize_t max_line,
                          PyObject *lines, Py_ssize_t *result) noexcept
cdef int refuse_line(Contents self, Py_ssize_t max_line) except -1
