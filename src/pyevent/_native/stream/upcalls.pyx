"""What C calls of a connection: its callbacks, on_read ..., and its end.

The C object has a borrowed pointer to the Python one; it has callbacks only while that is
held. What C may call without holding (a filter's functions, bev_too_much) looks for a count
of references of 0 first: see stream/bufferevent.pyx.
"""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from pyevent._native.base.arguments cimport bev_flags
from pyevent._native.c.buffer cimport evbuffer_get_length
from pyevent._native.c.stream cimport *
from pyevent._native.loop.attached cimport hold, unhold
from pyevent._native.loop.calling cimport call
from pyevent._native.stream.bufferevent cimport BufferEvent


cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *)


cdef int64_t LINGER_NS = 60_000_000_000  # for a peer that takes nothing of what is left for it


cdef bint overrides(object self, type base, str name) except -1:
    return overrides_in(type(self), base, name)


cdef bint overrides_in(type cls, type base, str name) except -1:
    return getattr(cls, name, None) is not getattr(base, name)


cdef int methods_of(type cls, type plain) except -1:
    """Which of the methods that are called `cls` defines; `plain` has none. May run code."""
    if cls is plain:
        return NO_METHODS
    return ((CALLS_READ if overrides_in(cls, BufferEvent, "on_read") else 0)
            | (CALLS_WRITE if overrides_in(cls, BufferEvent, "on_write") else 0)
            | (CALLS_EVENT if overrides_in(cls, BufferEvent, "on_event") else 0))


cdef void bev_install(BufferEvent self, bufferevent *bev, int calls) noexcept:
    """Have C call what there is to call; with something to call the base holds `self`."""
    cdef bufferevent_data_cb readable = NULL
    cdef bufferevent_data_cb written = NULL
    if calls == 0:
        bufferevent_setcb(bev, NULL, NULL, NULL, NULL)
        unhold(self)
        return
    if calls & CALLS_READ:
        readable = bev_readable
    if calls & CALLS_WRITE:
        written = bev_written
    bufferevent_setcb(bev, readable, written, bev_happened, <void *>self)
    hold(self)


cdef void bev_data(BufferEvent self, object callback, object method, str message) noexcept:
    cdef object user_arg = self.user_arg
    cdef PyObject *args[2]
    args[0] = <PyObject *>self
    args[1] = <PyObject *>user_arg
    if callback is not None:
        call(self, callback, args, 2, message)
    else:
        call(self, method, args, 1, message)


cdef void bev_readable(bufferevent *bev, void *arg) noexcept:
    cdef BufferEvent self = <BufferEvent>arg
    cdef object callback = self.readcb
    bev_data(self, callback, None if callback is not None else type(self).on_read,
             "exception in read callback")


cdef void bev_written(bufferevent *bev, void *arg) noexcept:
    cdef BufferEvent self = <BufferEvent>arg
    cdef object callback = self.writecb
    bev_data(self, callback, None if callback is not None else type(self).on_write,
             "exception in write callback")


cdef void bev_happened(bufferevent *bev, short what, void *arg) noexcept:
    cdef BufferEvent self = <BufferEvent>arg
    cdef object flags = bev_flags(what)  # may run code, the first time
    cdef object callback = self.eventcb
    cdef object user_arg = self.user_arg
    cdef PyObject *args[3]
    args[0] = <PyObject *>self
    args[1] = <PyObject *>flags
    args[2] = <PyObject *>user_arg
    if self.bev == NULL:
        return
    if callback is not None:
        call(self, callback, args, 3, "exception in event callback")
    elif self.uses_methods and overrides(self, BufferEvent, "on_event"):
        call(self, type(self).on_event, args, 2, "exception in event callback")
    elif what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT):
        bev_close_gracefully(self, what)


cdef void bev_close_gracefully(BufferEvent self, int what) noexcept:
    """Nobody looks after the end of this connection: close it, at EOF after its output."""
    if what & (BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT) or not bev_stays_for_output(self):
        self.close()


cdef void bev_end(BufferEvent self) noexcept:
    """Close it when its output has been written."""
    if self.bev != NULL:
        bev_close_gracefully(self, 0)


cdef bint bev_stays_for_output(BufferEvent self) noexcept:
    """Whether it will close itself when its output, of which there is some, is written."""
    return (self.bev != NULL and evbuffer_get_length(bufferevent_get_output(self.bev)) != 0
            and bev_leave(self, LINGER_NS) == 0)


cdef int bev_leave(BufferEvent self, int64_t limit_ns) noexcept:
    """Close it after its output; 0 or a negative errno. The base holds it until then."""
    cdef bint was_held = self.is_held
    cdef int err
    hold(self)  # before it: code may run in there that closes the connection, or keeps it
    err = pe_bev_close_after_flush(self.bev, limit_ns, bev_gone, <void *>self)
    if err < 0 and not was_held and self.bev != NULL:
        unhold(self)
    return err


cdef void bev_gone(bufferevent *bev, void *arg) noexcept:
    cdef BufferEvent self = <BufferEvent>arg
    self.close()


cdef void bev_too_much(bufferevent *bev, void *arg) noexcept:
    cdef BufferEvent self
    cdef object callback
    if Py_REFCNT(<PyObject *>arg) == 0:
        return  # not held, and in the middle of its deallocation
    self = <BufferEvent>arg
    callback = self.highcb
    if callback is not None:
        bev_data(self, callback, None, "exception in output_high callback")
