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
from libc.string cimport memset

from pyevent._native.c.buffer cimport *


cdef extern from *:
    """
    #define PE_RELEASES_MAX 32

    /* What this thread is giving back now, one from inside the other. */
    static _Thread_local struct {
        int depth;
        struct pe_lent *later;
    } pe_releases;
    """
    const int RELEASES_MAX "PE_RELEASES_MAX"
    struct releases_t "pe_no_such_name":
        int depth
        lent *later
    releases_t releases "pe_releases"


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
        memset(self.pin.data, 0, size)  # it may have held what is nobody's business here
    return error


cdef int pin_commit(Pin self, size_t n) noexcept:
    cdef int error
    self.is_set = False
    error = pe_evbuffer_commit_pin(&self.pin, n)
    if error < 0:
        self.is_set = True  # goes with the Pin
    return error


# --- bytes that others hold ---------------------------------------------------------

cdef void bytes_returned(const void *data, size_t n, void *extra) noexcept:
    Py_XDECREF(<PyObject *>extra)


# What is lent may be a view of another buffer's bytes, of memory that was lent to that, and so
# on: letting go of the first lets go of all the others, each from inside the one before. From
# some depth on they wait until the innermost that runs is done, and the stack does not grow.
cdef void view_returned(const void *data, size_t n, void *extra) noexcept:
    cdef lent *one = <lent *>extra
    if releases.depth == RELEASES_MAX:
        one.next = releases.later
        releases.later = one
        return
    releases.depth += 1
    drop_view(one)
    while releases.depth == RELEASES_MAX and releases.later != NULL:
        one = releases.later
        releases.later = one.next
        drop_view(one)
    releases.depth -= 1


cdef int lend_bytes(evbuffer *buf, object data) noexcept:
    cdef int error
    Py_INCREF(data)
    if evbuffer_add_reference(buf, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data),
                              bytes_returned, <void *>data) < 0:
        error = errno
        bytes_returned(NULL, 0, <void *>data)
        return -error
    return 0


cdef int lend_view(evbuffer *buf, lent *memory) noexcept:
    if evbuffer_add_reference(buf, memory.view.buf, memory.view.len, view_returned, memory) < 0:
        return -errno
    return 0


cdef lent *view_to_lend(object data) except NULL:
    cdef lent *memory = <lent *>PyMem_Malloc(sizeof(lent))
    if memory == NULL:
        raise MemoryError("pyevent: out of memory")
    try:
        PyObject_GetBuffer(data, &memory.view, PyBUF_SIMPLE)
    except BaseException:
        PyMem_Free(memory)
        raise
    return memory


cdef void drop_view(lent *memory) noexcept:
    PyBuffer_Release(&memory.view)
    PyMem_Free(memory)
