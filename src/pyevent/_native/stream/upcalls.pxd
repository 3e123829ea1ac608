# What C calls of a connection.

from pyevent._native.c.stream cimport bufferevent
from pyevent._native.stream.bufferevent cimport BufferEvent

from libc.stdint cimport int64_t


cdef enum:
    # What of a connection is to be called.
    CALLS_READ = 1
    CALLS_WRITE = 2
    CALLS_EVENT = 4
    NO_METHODS = 8  # there is no subclass


cdef int methods_of(type cls, type plain) except -1
cdef bint overrides(object self, type base, str name) except -1
cdef bint overrides_in(type cls, type base, str name) except -1
cdef void bev_install(BufferEvent self, bufferevent *bev, int calls) noexcept
cdef int bev_leave(BufferEvent self, int64_t limit_ns) noexcept
cdef void bev_too_much(bufferevent *bev, void *arg) noexcept
cdef void bev_end(BufferEvent self) noexcept
cdef bint bev_stays_for_output(BufferEvent self) noexcept
