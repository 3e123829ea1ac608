# Buffered connections, and what listeners share with them.

from cpython.object cimport PyObject

from pyevent._loop cimport Attached, EventBase
from pyevent.c.stream cimport bufferevent


cdef class BufferEvent(Attached):
    cdef bufferevent *bev          # NULL: closed
    cdef object readcb
    cdef object writecb
    cdef object eventcb
    cdef object highcb             # of set_output_high
    cdef object user_arg
    # An object that owns the fd; what a filter stands on; a weak reference to the partner
    # of an end of a pair; None: nobody.
    cdef object file
    cdef PyObject *input_view      # borrowed: a Buffer clears it when it goes
    cdef PyObject *output_view


cdef int bev_kind
cdef int bev_adopt(BufferEvent self, EventBase base, bufferevent *bev, int kind, object file,
                   type plain) except -1
cdef void bev_detach(Attached one) noexcept
cdef void bev_end(BufferEvent self) noexcept
cdef int bev_require(BufferEvent self) except -1
cdef bint bev_stands_on(Attached one, int fd) noexcept

cdef bint call(Attached self, object callback, PyObject **args, size_t n, str message) noexcept
cdef int fd_to_serve(object file, bint closes) except -2
cdef int unblock_file(object file, int fd) except -1
cdef object give_up(object file, int fd, bint closes)
cdef bint overrides(object self, type base, str name)
cdef object checked_callback(object callback, str what)
