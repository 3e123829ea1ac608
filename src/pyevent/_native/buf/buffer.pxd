# Buffers: a Python object over a struct evbuffer, its own or a connection's.

from pyevent._native.buf.contents cimport Contents


cdef class Buffer(Contents):
    pass
