# Buffers: a Python object over a struct evbuffer, its own or a connection's.

from cpython.object cimport PyObject

from pyevent.c.buffer cimport evbuffer


cdef class Buffer:
    cdef evbuffer *buf     # NULL: closed
    cdef object owner      # whose buffer it is; None: its own
    cdef PyObject **view   # where the owner keeps a borrowed pointer to it; NULL: its own
    cdef object __weakref__


# The Buffer over `buf` of `owner`: the one at *view, or a new one noted there.
cdef Buffer buffer_view(evbuffer *buf, object owner, PyObject **view)

# The owner is being closed: so is the Buffer at *view, if there is one.
cdef void buffer_orphan(PyObject **view) noexcept
