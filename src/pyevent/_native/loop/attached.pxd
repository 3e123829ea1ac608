# What every object that belongs to a base has in common.

from pyevent._native.c.event cimport pe_link, pe_list_remove
from pyevent._native.loop.eventbase cimport EventBase


# An object that belongs to a base: in one of its two lists from its making until
# it is closed, or the base is. While it is held the base owns a reference to it.
cdef class Attached:
    cdef EventBase owner
    cdef pe_link link
    cdef unsigned char kind               # which detach function closes it
    cdef unsigned char failures           # of its callback in a row
    # Facts, of one byte each: there are many of these objects.
    cdef unsigned char is_held
    cdef unsigned char closes_on_failure  # the default exception handler closes it
    cdef unsigned char uses_methods       # on_read ... of a subclass instead of callbacks
    cdef unsigned char pauses_by_default  # of a BufferEvent: its output limit is nobody's wish
    cdef unsigned short lookups_max       # of a BufferEvent; 0: no limit
    cdef object __weakref__


ctypedef void (*detach_fn)(Attached) noexcept
ctypedef bint (*attached_test)(Attached, int) noexcept

cdef int register_kind(detach_fn detach) except -1
cdef void close_attached(Attached self) noexcept
cdef int attach(Attached self, EventBase base, int kind) except -1
cdef void hold(Attached self) noexcept
cdef void unhold(Attached self) noexcept
cdef void detach(Attached self) noexcept

# The first line of a __dealloc__, before the object's C part goes and its attributes are
# dropped: their finalizers may close the base, and are not to find it there.
cdef inline void forget(Attached self) noexcept:
    pe_list_remove(&self.link)


cdef object find_attached(EventBase base, int kind, attached_test is_it, int number)

# Of a base that is closing: all of its objects are closed, and leave its lists.
cdef void take_all_out(EventBase base) noexcept
