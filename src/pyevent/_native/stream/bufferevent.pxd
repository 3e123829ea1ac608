# Buffered connections.

from pyevent._native.c.stream cimport bufferevent
from pyevent._native.loop.attached cimport Attached
from pyevent._native.loop.eventbase cimport EventBase
from pyevent._native.stream.limits cimport bev_limits
from pyevent._native.stream.settings cimport Settings


cdef class BufferEvent(Settings):
    cdef object readcb
    cdef object writecb
    cdef object eventcb
    cdef object highcb             # of set_output_high
    cdef object user_arg


cdef int bev_kind

cdef int refuse_made(BufferEvent self) except -1
cdef BufferEvent bev_unmade(type cls)
cdef int bev_adopt(BufferEvent self, EventBase base, bufferevent *bev, int kind, int calls,
                   bev_limits *limits) except -1
cdef void bev_detach(Attached one) noexcept
cdef void bev_let_go(BufferEvent self) noexcept
