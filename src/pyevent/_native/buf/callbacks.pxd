# Callbacks that are told what has changed in a buffer.

from cpython.object cimport PyObject

from pyevent._native.c.buffer cimport evbuffer, evbuffer_cb_entry
from pyevent._native.c.event cimport pe_link
from pyevent._native.loop.attached cimport Attached
from pyevent._native.loop.eventbase cimport EventBase


cdef class BufferCallback:
    cdef evbuffer_cb_entry *entry  # NULL: removed, or the buffer has gone
    cdef pe_link link              # in the entries of its Callbacks
    cdef PyObject *callbacks           # borrowed: the Callbacks; NULL as `entry`
    cdef bint is_enabled
    cdef object callback
    cdef object user_arg


cdef class Callbacks(Attached):
    cdef evbuffer *buf             # what the entries are of
    cdef PyObject *buffer          # borrowed: the Buffer
    cdef PyObject **place          # where that has a borrowed pointer to this; NULL: it has gone
    cdef object kept               # the Buffer, while a base holds this
    cdef pe_link entries           # of BufferCallback, borrowed
    cdef set owned                 # the same, owned
    cdef EventBase deferred_to     # whose loop runs the callbacks; None: nobody's


# Made before the buffer is looked at, then those of `buffer`, noted at *place; `base` is its
# connection's, or None.
cdef Callbacks callbacks_new()
cdef int callbacks_begin(Callbacks self, object buffer, PyObject **place, EventBase base) except -1

# The same for a callback; 0 or a negative errno. One that C does not call is forgotten.
cdef BufferCallback callbacks_add(Callbacks self, object callback, object user_arg)
cdef int callbacks_start(Callbacks self, BufferCallback entry, evbuffer *buf) noexcept
cdef int callbacks_forget(Callbacks self, BufferCallback entry) except -1

cdef BufferCallback callbacks_find(Callbacks self, object callback, object user_arg)
cdef int callbacks_remove(Callbacks self, BufferCallback entry) except -1
cdef void callbacks_enable(BufferCallback entry, bint on) noexcept
cdef int callbacks_defer(Callbacks self, EventBase base) except -1

# The evbuffer is about to be freed, or the Buffer goes. Runs no code; the result, which
# the caller drops when all is in order again, may.
cdef object callbacks_end(PyObject **place)
