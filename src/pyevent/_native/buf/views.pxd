# Memory that a buffer and Python objects share: views of its bytes, bytes lent to it.

from pyevent._native.c.buffer cimport evbuffer, pe_pin

cdef extern from *:
    """
    #ifndef PE_LENT
    #define PE_LENT
    /* Memory of a Python object that is lent to a buffer. */
    struct pe_lent {
        Py_buffer view;
        struct pe_lent *next;
    };
    #endif
    """
    ctypedef struct lent "struct pe_lent":
        Py_buffer view
        lent *next


cdef class Pin:
    cdef pe_pin pin
    cdef bint is_set
    cdef bint is_leaving      # commit() takes it over from its last view
    cdef Py_ssize_t exports


# Pin bytes of `buf`, or reserve `size` bytes of room, zeroes. 0 or a negative errno.
cdef int pin_bytes(Pin self, evbuffer *buf, size_t pos, size_t most) noexcept
cdef int pin_room(Pin self, evbuffer *buf, size_t size) noexcept

# Add the first `n` bytes of the room to its buffer, and give it back. As above.
cdef int pin_commit(Pin self, size_t n) noexcept

# Add memory to `buf` without copying. 0 or a negative errno: then it is still the caller's.
cdef int lend_bytes(evbuffer *buf, object data) noexcept
cdef int lend_view(evbuffer *buf, lent *memory) noexcept

# The memory of `data`, to be lent. May run any code.
cdef lent *view_to_lend(object data) except NULL
cdef void drop_view(lent *memory) noexcept
