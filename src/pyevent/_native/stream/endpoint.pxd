# What a connection is made of.

from cpython.object cimport PyObject

from pyevent._native.c.stream cimport bufferevent
from pyevent._native.loop.attached cimport Attached


cdef class Endpoint(Attached):
    cdef bufferevent *bev          # NULL: closed
    # An object that owns the fd; what a filter stands on; a weak reference to the partner
    # of an end of a pair; None: nobody.
    cdef object file
    cdef PyObject *input_view      # borrowed: a Buffer clears it when it goes
    cdef PyObject *output_view


# The C object of an open connection: how each public method begins (docs/design/cython.md).
cdef inline bufferevent *bev_enter(Endpoint self) except NULL:
    if self.bev == NULL:
        bev_refuse(self)
    return self.bev

cdef int bev_refuse(Endpoint self) except -1
cdef bint bev_stands_on(Attached one, int fd) noexcept
