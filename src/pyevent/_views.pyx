"""Memory that a buffer and Python objects share.

One way round, memoryviews of a buffer (peek, pullup, reserve) refer to a Pin, which
keeps the bytes where they are until the last view of it is released, whatever becomes
of the buffer. The other way round, what is lent to a buffer is held until its last
byte has gone; letting it go may run any code.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.errno cimport errno

from pyevent.c.buffer cimport *


# --- views of a buffer --------------------------------------------------------------

@cython.final
@cython.freelist(8)
cdef class Pin:
    """What a memoryview of a Buffer refers to: bytes, or room, that stay where they are."""

    def __dealloc__(self):
        unpin(self)

    def __reduce__(self):
        raise TypeError("cannot pickle or copy 'Pin' objects")

    def __getbuffer__(self, Py_buffer *out, int flags):
        if not self.is_set:
            raise BufferError("the memory has been given back")
        PyBuffer_FillInfo(out, self, self.pin.data, <Py_ssize_t>self.pin.len,
                          not self.pin.is_room, flags)
        self.exports += 1

    def __releasebuffer__(self, Py_buffer *out):
        self.exports -= 1
        if self.exports == 0 and not self.is_leaving:
            unpin(self)


cdef void unpin(Pin self) noexcept:
    if self.is_set:
        self.is_set = False
        pe_evbuffer_unpin(&self.pin)


cdef int pin_bytes(Pin self, evbuffer *buf, size_t pos, size_t most) noexcept:
    cdef int error = pe_evbuffer_pin(buf, pos, most, &self.pin)
    self.is_set = error == 0
    return error


cdef int pin_room(Pin self, evbuffer *buf, size_t size) noexcept:
    cdef int error = pe_evbuffer_reserve_pin(buf, size, &self.pin)
    self.is_set = error == 0
    if error == 0:
        self.pin.len = size
    return error


# --- bytes that others hold ---------------------------------------------------------

cdef void bytes_returned(const void *data, size_t n, void *extra) noexcept:
    Py_XDECREF(<PyObject *>extra)


cdef void view_returned(const void *data, size_t n, void *extra) noexcept:
    drop_view(<Py_buffer *>extra)


cdef int lend_bytes(evbuffer *buf, object data) noexcept:
    cdef int error
    Py_INCREF(data)
    if evbuffer_add_reference(buf, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data),
                              bytes_returned, <void *>data) < 0:
        error = errno
        bytes_returned(NULL, 0, <void *>data)
        return -error
    return 0


cdef int lend_view(evbuffer *buf, Py_buffer *view) noexcept:
    cdef int error
    if evbuffer_add_reference(buf, view.buf, view.len, view_returned, view) < 0:
        error = errno
        drop_view(view)
        return -error
    return 0


cdef Py_buffer *view_to_lend(object data) except NULL:
    cdef Py_buffer *view = <Py_buffer *>PyMem_Malloc(sizeof(Py_buffer))
    if view == NULL:
        raise MemoryError("pyevent: out of memory")
    try:
        PyObject_GetBuffer(data, view, PyBUF_SIMPLE)
    except BaseException:
        PyMem_Free(view)
        raise
    return view


cdef void drop_view(Py_buffer *view) noexcept:
    PyBuffer_Release(view)
    PyMem_Free(view)
