# Callbacks that are told what has changed in a buffer.

from cpython.object cimport PyObject

from pyevent._native.c.buffer cimport evbuffer, evbuffer_cb_entry
from pyevent._native.c.event cimport pe_link
from pyevent._native.loop.attached cimport Attached
from pyevent._native.loop.eventbase cimport EventBase


cdef class BufferCallback:
    cdef evbuffer_cb_entry *entry  # NULL: removed, or the buffer has gone
    cdef pe_link link              # in the entries of its Notes
    cdef PyObject *notes           # borrowed: the Notes; NULL as `entry`
    cdef bint is_enabled
    cdef object callback
    cdef object user_arg


cdef class Notes(Attached):
    cdef evbuffer *buf             # what the entries are of
    cdef PyObject *buffer          # borrowed: the Buffer
    cdef PyObject **place          # where that has a borrowed pointer to this; NULL: it has gone
    cdef object kept               # the Buffer, while a base holds this
    cdef pe_link entries           # of BufferCallback, borrowed
    cdef set owned                 # the same, owned
    cdef EventBase deferred_to     # whose loop runs the callbacks; None: nobody's


# Made before the buffer is looked at, then those of `buffer`, noted at *place; `base` is its
# connection's, or None.
cdef Notes notes_new()
cdef int notes_begin(Notes self, object buffer, PyObject **place, EventBase base) except -1

# The same for a callback; 0 or a negative errno. One that C does not call is forgotten.
cdef BufferCallback notes_add(Notes self, object callback, object user_arg)
cdef int notes_start(Notes self, BufferCallback entry, evbuffer *buf) noexcept
cdef int notes_forget(Notes self, BufferCallback entry) except -1

cdef BufferCallback notes_find(Notes self, object callback, object user_arg)
cdef int notes_remove(Notes self, BufferCallback entry) except -1
cdef void notes_enable(BufferCallback entry, bint on) noexcept
cdef int notes_defer(Notes self, EventBase base) except -1

# The evbuffer is about to be freed, or the Buffer goes. Runs no code; the result, which
# the caller drops when all is in order again, may.
cdef object notes_end(PyObject **place)
