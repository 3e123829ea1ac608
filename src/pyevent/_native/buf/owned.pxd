# The Buffers of a connection.

from cpython.object cimport PyObject

from pyevent._native.buf.buffer cimport Buffer
from pyevent._native.c.buffer cimport evbuffer


# The Buffer over `buf` of `owner`: the one at *view, or a new one noted there.
cdef Buffer buffer_view(evbuffer *buf, object owner, PyObject **view)

# The owner is being closed: so is the Buffer at *view, if there is one. Runs no code; the
# result, which the caller drops when its own affairs are in order, may.
cdef object buffer_orphan(PyObject **view)
