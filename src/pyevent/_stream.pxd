# Buffered connections, and what listeners share with them.

from cpython.object cimport PyObject

from pyevent._loop cimport Attached
from pyevent.c.stream cimport bufferevent


cdef class BufferEvent(Attached):
    cdef bufferevent *bev          # NULL: closed
    cdef object readcb
    cdef object writecb
    cdef object eventcb
    cdef object highcb             # of set_output_high
    cdef object user_arg
    cdef object file               # an object that owns the fd; None: nobody
    cdef PyObject *input_view      # borrowed: a Buffer clears it when it goes
    cdef PyObject *output_view


cdef int bev_kind
cdef bint bev_stands_on(Attached one, int fd) noexcept

cdef bint call(Attached self, object callback, PyObject **args, size_t n, str message) noexcept
cdef int fd_to_serve(object file, bint closes) except -2
cdef int unblock_file(object file, int fd) except -1
cdef object give_up(object file, int fd, bint closes)
cdef bint overrides(object self, type base, str name)
cdef object checked_callback(object callback, str what)
