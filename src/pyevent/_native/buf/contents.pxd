# What a buffer holds, and how each method of it begins and ends.

from cpython.object cimport PyObject
from libc.errno cimport EBUSY, EPERM, errno

from pyevent._native.c.buffer cimport *


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
    const Py_ssize_t PY_SSIZE_T_MAX
    PyObject *new_bytes "PyBytes_FromStringAndSize"(const char *, Py_ssize_t)
    char *bytes_at "PyBytes_AS_STRING"(PyObject *)
    int list_append "PyList_Append"(PyObject *, PyObject *)
    void drop_reference "Py_DECREF"(PyObject *)


cdef class Contents:
    cdef evbuffer *buf     # NULL: closed
    cdef object owner      # whose buffer it is; None: its own
    cdef PyObject **view   # where the owner keeps a borrowed pointer to it; NULL: its own
    cdef object callbacks      # the Callbacks of its callbacks, or None
    cdef PyObject *callbacks_at  # the same; cleared by that when it goes
    cdef object __weakref__
    cdef bint is_set_up    # once and for all


cdef int refuse_closed(Contents self) except -1
cdef int fail(int error, Contents self, Contents other=*) except -1
cdef int refuse_size(Py_ssize_t size) except -1
cdef int refuse_eol(int eol) except -1
cdef PyObject *gather(evbuffer *buf, size_t pos, size_t n, Py_ssize_t *result) noexcept
cdef object copied(Contents self, size_t pos, size_t n, int held, bint takes)


# The one reader of `buf`: ValueError when the Buffer is closed, or was never set up.
cdef inline evbuffer *buffer_enter(Contents self) except NULL:
    if self.buf == NULL:
        refuse_closed(self)
    return self.buf


cdef inline Py_ssize_t buffer_leave(Contents self, Py_ssize_t result, Contents other=None) except -1:
    """The end of what buffer_enter() began: a count, or a negative errno to be raised."""
    if result < 0:
        fail(<int>-result, self, other)
    return result


cdef inline Py_ssize_t or_errno(Py_ssize_t result) noexcept:
    """What an event2 call answers, with the negative errno in place of -1."""
    return result if result >= 0 else -errno


cdef inline int why_held(const evbuffer *buf) noexcept:
    """Why bytes may not be taken off the start."""
    return -EPERM if buf.flags & PE_BUF_FROZEN_START else -EBUSY


cdef inline size_t size_of(object size) except? 0:
    """A number of bytes, or a position; ``None``: all there are."""
    cdef Py_ssize_t n
    if size is None:
        return PY_SSIZE_T_MAX
    n = size
    if n < 0:
        refuse_size(n)
    return <size_t>n


cdef inline Py_ssize_t length_of(const evbuffer *buf) noexcept:
    return <Py_ssize_t>buf.len
