# Memory that a buffer and Python objects share: views of its bytes, bytes lent to it.

from pyevent.c.buffer cimport evbuffer, pe_pin


cdef class Pin:
    cdef pe_pin pin
    cdef bint is_set
    cdef bint is_leaving      # commit() takes it over from its last view
    cdef Py_ssize_t exports


# Pin bytes of `buf`, or reserve `size` bytes of room. 0 or a negative errno.
cdef int pin_bytes(Pin self, evbuffer *buf, size_t pos, size_t most) noexcept
cdef int pin_room(Pin self, evbuffer *buf, size_t size) noexcept

# Add `data` to `buf` without copying. 0 or a negative errno: then it is not held.
cdef int lend_bytes(evbuffer *buf, object data) noexcept
cdef int lend_view(evbuffer *buf, Py_buffer *view) noexcept

# The memory of `data`, to be lent. May run any code.
cdef Py_buffer *view_to_lend(object data) except NULL
cdef void drop_view(Py_buffer *view) noexcept
