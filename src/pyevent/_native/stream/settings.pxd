# How a connection behaves.

from pyevent._native.stream.endpoint cimport Endpoint


cdef class Settings(Endpoint):
    pass
