# Running a base: who may, and Python's signals meanwhile.

from pyevent._native.loop.eventbase cimport EventBase


# The base leaves the state of being idle, for this thread; and comes back to it.
cdef void begin(EventBase self, int state) noexcept
cdef void end(EventBase self) noexcept

cdef bint is_busy(EventBase self) noexcept     # some thread is inside dispatch()
cdef bint is_ours(EventBase self) noexcept     # not idle, because of this thread
cdef int run(EventBase self, int flags) except -1
cdef int signals_lost(EventBase self) except -1  # its descriptors are new ones

# For pe_py_hooks: around the wait.
cdef void selfpipe_mended(void *arg) noexcept
cdef void wait_returned(void *arg) noexcept
