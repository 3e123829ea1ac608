# Buffers: a Python object over a struct evbuffer, its own or a connection's.

from cpython.object cimport PyObject

from pyevent._native.c.buffer cimport evbuffer


cdef class Buffer:
    cdef evbuffer *buf     # NULL: closed
    cdef object owner      # whose buffer it is; None: its own
    cdef PyObject **view   # where the owner keeps a borrowed pointer to it; NULL: its own
    cdef object notes      # the Notes of its callbacks, or None
    cdef PyObject *notes_at  # the same; cleared by that when it goes
    cdef object __weakref__
    cdef bint is_set_up    # once and for all


# The one reader of `buf`: ValueError when the Buffer is closed, or was never set up.
cdef evbuffer *buffer_enter(Buffer self) except NULL


# The Buffer over `buf` of `owner`: the one at *view, or a new one noted there.
cdef Buffer buffer_view(evbuffer *buf, object owner, PyObject **view)

# The owner is being closed: so is the Buffer at *view, if there is one. Runs no code; the
# result, which the caller drops when its own affairs are in order, may.
cdef object buffer_orphan(PyObject **view)
