# Buffered connections, and what listeners share with them.

from cpython.object cimport PyObject

from pyevent._native.c.stream cimport bufferevent
from pyevent._native.loop.attached cimport Attached
from pyevent._native.loop.eventbase cimport EventBase


cdef struct bev_limits:
    size_t input_max, pause_high, pause_low  # of pe_bev_set_limits; 0: no limit
    unsigned short lookups_max               # 0: no limit
    bint pauses_by_default                   # pause_high is what nobody asked for


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

# The C object of an open connection: how each public method begins (docs/design/cython.md).
cdef inline bufferevent *bev_enter(BufferEvent self) except NULL:
    if self.bev == NULL:
        bev_refuse(self)
    return self.bev

cdef int bev_refuse(BufferEvent self) except -1

cdef int methods_of(type cls, type plain) except -1
cdef int refuse_made(BufferEvent self) except -1
cdef BufferEvent bev_unmade(type cls)
cdef int bev_adopt(BufferEvent self, EventBase base, bufferevent *bev, int kind, int calls,
                   bev_limits *limits) except -1
cdef int limits_of(type cls, object max_input, object max_output, object resume_output,
                   object max_lookups, bev_limits *limits) except -1
cdef void no_pause_by_default(bev_limits *limits) noexcept
cdef int bev_limit(bufferevent *bev, bev_limits *limits) noexcept
cdef void bev_detach(Attached one) noexcept
cdef void bev_let_go(BufferEvent self) noexcept
cdef void bev_end(BufferEvent self) noexcept
cdef bint bev_stays_for_output(BufferEvent self) noexcept
cdef bint bev_stands_on(Attached one, int fd) noexcept

# A descriptor that is given to us: one of the first two, then either give_up() or drop_taken().
cdef int fd_owned(object file, bint closes) except -2
cdef int fd_taken(object file, bint closes) except -2
cdef object give_up(object file, int fd, bint closes)
cdef void drop_taken(object file, int fd, bint closes) noexcept

cdef bint call(Attached self, object callback, PyObject **args, size_t n, str message) noexcept
cdef bint overrides(object self, type base, str name) except -1
cdef bint overrides_in(type cls, type base, str name) except -1
cdef object checked_callback(object callback, str what)
