"""The Buffers of a connection: made when they are asked for, kept for the next time.

`owner` is the connection; it has a borrowed pointer to the Buffer at *view, so that it gives
out the same one while somebody has it. Whichever goes first clears the other's pointer; a
Buffer whose connection has gone is closed.
"""

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF

from pyevent._native.buf.buffer cimport Buffer
from pyevent._native.buf.callbacks cimport callbacks_end
from pyevent._native.c.buffer cimport evbuffer


cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *)
    int PyGC_Disable()
    int PyGC_Enable()


cdef Buffer buffer_view(evbuffer *buf, object owner, PyObject **view):
    """The Buffer over `buf` of `owner`: the one at *view, or a new one noted there."""
    cdef Buffer self
    cdef bint collects
    if view[0] != NULL:
        if Py_REFCNT(view[0]) > 0:
            return <Buffer>view[0]
        let_go(view)  # asked for in a weakref callback while it is being deallocated
    if spare_count > 0:
        self = take_spare()
    else:
        collects = PyGC_Disable()  # a finalizer might close the owner, and `buf` with it
        try:
            self = Buffer.__new__(Buffer)
        finally:
            if collects:
                PyGC_Enable()
    self.is_set_up = True
    self.buf = buf
    self.owner = owner
    self.view = view
    view[0] = <PyObject *>self
    return self


cdef object buffer_orphan(PyObject **view):
    """The owner is being closed: so is the Buffer at *view, if there is one.

    Runs no code. The result, which the caller drops when its own affairs are in order,
    may: callbacks of the Buffer go with it.
    """
    return let_go(view) if view[0] != NULL else None


cdef object let_go(PyObject **view):
    # Without a reference of its own: the Buffer may be in its deallocation already.
    cdef object last = callbacks_end(&(<Buffer>view[0]).callbacks_at)
    (<Buffer>view[0]).buf = NULL
    (<Buffer>view[0]).view = NULL
    view[0] = NULL
    return last


# --- spare ones -------------------------------------------------------------------------------
#
# A callback asks for its connection's buffers and drops them when it returns: a few of those
# are kept for the next one, out of the collector's sight, without all that dismantling and
# setting up again takes.

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define PE_SPARES 0
    #else
    #define PE_SPARES 16
    #endif
    static PyObject *pe_spares[PE_SPARES + 1];

    static inline int pe_has_weakrefs(PyObject *op) {
        return *(PyObject **)((char *)op + Py_TYPE(op)->tp_weaklistoffset) != NULL;
    }
    """
    const int PE_SPARES
    PyObject **pe_spares
    bint pe_has_weakrefs(PyObject *)

cdef extern from "Python.h":
    ctypedef void (*destructor)(PyObject *) noexcept
    ctypedef struct TypeObject "PyTypeObject":
        destructor tp_dealloc
    TypeObject *Py_TYPE(PyObject *)
    PyObject *PyObject_Init(PyObject *, TypeObject *)
    void PyObject_GC_Track(PyObject *)
    void PyObject_GC_UnTrack(PyObject *)

cdef int spare_count = 0
cdef destructor dismantle = NULL


cdef Buffer take_spare():
    """One that is closed and belongs to nobody."""
    global spare_count
    cdef PyObject *op
    cdef Buffer self
    spare_count -= 1
    op = PyObject_Init(pe_spares[spare_count], <TypeObject *>Buffer)
    self = <Buffer>op
    Py_DECREF(self)  # the reference that it was made with
    PyObject_GC_Track(op)
    return self


cdef void spare_or_dismantle(PyObject *op) noexcept:
    """tp_dealloc: keep a connection's Buffer of which nobody else knows."""
    global spare_count
    cdef object owner
    if (spare_count >= PE_SPARES or Py_TYPE(op) != <TypeObject *>Buffer
            or (<Buffer>op).view == NULL or (<Buffer>op).callbacks_at != NULL
            or pe_has_weakrefs(op)):
        dismantle(op)
        return
    PyObject_GC_UnTrack(op)
    (<Buffer>op).view[0] = NULL
    (<Buffer>op).view = NULL
    (<Buffer>op).buf = NULL
    owner = (<Buffer>op).owner
    (<Buffer>op).owner = (<Buffer>op).callbacks = None
    pe_spares[spare_count] = op
    spare_count += 1
    owner = None  # last: it may run anything


dismantle = (<TypeObject *>Buffer).tp_dealloc
(<TypeObject *>Buffer).tp_dealloc = spare_or_dismantle
