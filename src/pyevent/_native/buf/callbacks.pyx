"""Callbacks that are told what has changed in a buffer.

    base --(held)--> Callbacks --kept--> Buffer --> connection        a connection's buffer
                     Callbacks <-------- Buffer                       one of its own
                       '--owned--> BufferCallback <-- C entry (borrowed)

A Buffer with callbacks has one Callbacks. A connection gives its Buffer away and keeps
none, so while that has callbacks the base holds the Callbacks, and this the Buffer: all
of it where the garbage collector sees it. A Buffer of its own just owns the Callbacks, and
its callbacks go with it.

What C points to is borrowed and never left behind: Buffer and Callbacks clear each other's
pointer, a BufferCallback takes its C entry out, in whatever order they are deallocated.
"""

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.errno cimport EINVAL, errno

from pyevent._native.c.buffer cimport *
from pyevent._native.c.event cimport pe_link, pe_list_empty, pe_list_init, pe_list_push_back, pe_list_remove
from pyevent._native.loop.attached cimport Attached, attach, detach, hold, register_kind, unhold
from pyevent._native.loop.calling cimport call_failed, call_out
from pyevent._native.loop.eventbase cimport EventBase

from types import BuiltinMethodType, MethodType

from pyevent.changes import BufferChange


cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *)
    PyObject *PyObject_CallFunction(PyObject *callable, const char *format, ...)
    PyObject *PyObject_Vectorcall(PyObject *callable, PyObject **args, size_t n, PyObject *names)
    void PyErr_WriteUnraisable(PyObject *obj)
    void PyErr_SetString(object kind, const char *message)

cdef extern from *:
    """
    #include <stdbool.h>

    #define PE_DEPTH_MAX 200

    /* Calls of buffer callbacks in this thread, one inside the other. */
    static _Thread_local struct {
        int depth;
        bool is_too_deep; /* it was, and the outermost has not returned yet */
    } pe_calls;
    """
    const int DEPTH_MAX "PE_DEPTH_MAX"
    struct calls_t "pe_no_such_name":
        int depth
        bint is_too_deep
    calls_t calls "pe_calls"


METHODS = (MethodType, BuiltinMethodType)  # made anew each time they are looked up


# --- calling out ----------------------------------------------------------------------

cdef Py_ssize_t link_offset


cdef inline BufferCallback entry_of(pe_link *link):
    return <BufferCallback><PyObject *>(<char *>link - link_offset)


cdef EventBase base_of(Callbacks self):
    """Whose exception handler is told; None: nobody's."""
    cdef EventBase base = self.deferred_to
    if base is None:
        base = self.owner
    return base if base is not None and base.base != NULL else None


cdef void changed(evbuffer *buf, const evbuffer_cb_info *info, void *arg) noexcept:
    """A callback that changes a buffer has callbacks called from inside it.

    Python bounds the depth where it runs Python code; what is written in C, as a partial of
    a method, would go on until the stack is full. When it has become too deep, that is
    reported and nobody is called until the outermost has returned: each of those that are still
    to return may change a buffer many times more, and so may what it is reported to.
    """
    if calls.is_too_deep:
        return
    calls.is_too_deep = calls.depth == DEPTH_MAX
    calls.depth += 1
    call_entry(info, <BufferCallback>arg, calls.is_too_deep)
    calls.depth -= 1
    if calls.depth == 0:
        calls.is_too_deep = False


cdef void call_entry(const evbuffer_cb_info *info, BufferCallback entry, bint too_deep) noexcept:
    cdef object callback = entry.callback
    cdef object user_arg = entry.user_arg
    cdef object buffer
    cdef EventBase base
    cdef PyObject *args[3]
    cdef PyObject *change
    cdef PyObject *result = NULL
    if entry.callbacks == NULL or Py_REFCNT(entry.callbacks) == 0 or callback is None:
        return  # being collected
    if Py_REFCNT((<Callbacks>entry.callbacks).buffer) == 0:
        return
    buffer = <object>(<Callbacks>entry.callbacks).buffer
    base = base_of(<Callbacks>entry.callbacks)
    if too_deep:
        PyErr_SetString(RecursionError, "buffer callbacks that change buffers, too deep")
        change = NULL
    else:
        change = PyObject_CallFunction(<PyObject *>BufferChange, "nnn",
                                       <Py_ssize_t>info.orig_size, <Py_ssize_t>info.n_added,
                                       <Py_ssize_t>info.n_deleted)
    if change != NULL:
        args[0] = <PyObject *>buffer
        args[1] = change
        args[2] = <PyObject *>user_arg
        if base is not None:
            result = call_out(base, buffer, callback, args, 3)
        else:
            result = PyObject_Vectorcall(<PyObject *>callback, args, 3, NULL)
        Py_DECREF(<object>change)
    if result != NULL:
        Py_DECREF(<object>result)
    elif base is not None:
        call_failed(base, buffer, callback, "exception in buffer callback")
    else:
        PyErr_WriteUnraisable(<PyObject *>callback)


# --- callbacks ------------------------------------------------------------------------

cdef class BufferCallback:
    """A callback of a :class:`Buffer`, as :meth:`Buffer.add_cb` returns it."""

    def __cinit__(self):
        pe_list_init(&self.link)

    def __dealloc__(self):
        take_out(self)

    def __reduce__(self):
        raise TypeError(f"cannot pickle or copy {type(self).__name__!r} objects")

    def __repr__(self):
        cdef str state = "" if self.entry != NULL else " removed"
        return f"<{type(self).__name__} {self.callback!r}{state}>"

    def remove(self):
        """Call it no more. Removing again does nothing."""
        if self.entry != NULL:
            callbacks_remove(<Callbacks>self.callbacks, self)

    @property
    def removed(self):
        """Whether it has been removed, or its buffer closed."""
        return self.entry == NULL

    @property
    def enabled(self):
        """Whether it is called; what changes meanwhile is not saved up for it."""
        check_called(self)
        return self.is_enabled

    @enabled.setter
    def enabled(self, bint on):
        check_called(self)
        callbacks_enable(self, on)


cdef int check_called(BufferCallback self) except -1:
    if self.entry == NULL:
        raise ValueError(f"{self!r} is not called any more")
    return 0


cdef void callbacks_enable(BufferCallback self, bint on) noexcept:
    """Whether it is called from now on; it has not been removed."""
    if on:
        evbuffer_cb_set_flags((<Callbacks>self.callbacks).buf, self.entry, EVBUFFER_CB_ENABLED)
    else:
        evbuffer_cb_clear_flags((<Callbacks>self.callbacks).buf, self.entry, EVBUFFER_CB_ENABLED)
    self.is_enabled = on


cdef void take_out(BufferCallback self) noexcept:
    """C calls it no more. Runs no code, and takes no reference of what may be dying."""
    if self.entry != NULL:
        evbuffer_remove_cb_entry((<Callbacks>self.callbacks).buf, self.entry)
        self.entry = NULL
        self.is_enabled = False
        self.callbacks = NULL
        pe_list_remove(&self.link)


# --- all callbacks of a buffer --------------------------------------------------------

cdef class Callbacks(Attached):
    def __cinit__(self):
        pe_list_init(&self.entries)

    def __dealloc__(self):
        forget_entries(self)
        if self.place != NULL:
            self.place[0] = NULL


cdef void forget_entries(Callbacks self) noexcept:
    """C calls none of them any more."""
    while not pe_list_empty(&self.entries):
        take_out(<BufferCallback><PyObject *>(<char *>self.entries.next - link_offset))


cdef void callbacks_detach(Attached one) noexcept:
    """The base is being closed; the connection follows, or has gone before."""
    cdef object kept = (<Callbacks>one).kept
    (<Callbacks>one).kept = None
    detach(one)


cdef int callbacks_kind = register_kind(callbacks_detach)


cdef Callbacks callbacks_new():
    cdef Callbacks self = Callbacks.__new__(Callbacks)
    self.owned = set()
    return self


cdef int callbacks_begin(Callbacks self, object buffer, PyObject **place, EventBase base) except -1:
    if base is not None:
        attach(self, base, callbacks_kind)
    self.buffer = <PyObject *>buffer
    self.place = place
    place[0] = <PyObject *>self
    return 0


cdef BufferCallback callbacks_add(Callbacks self, object callback, object user_arg):
    cdef BufferCallback one = BufferCallback.__new__(BufferCallback)
    one.callback = callback
    one.user_arg = user_arg
    self.owned.add(one)
    return one


cdef int callbacks_start(Callbacks self, BufferCallback one, evbuffer *buf) noexcept:
    if self.place == NULL:
        return -EINVAL  # ended while the callback was made; the Buffer goes
    one.entry = evbuffer_add_cb(buf, changed, <void *>one)
    if one.entry == NULL:
        return -errno
    self.buf = buf
    one.is_enabled = True
    one.callbacks = <PyObject *>self
    pe_list_push_back(&self.entries, &one.link)
    if self.owner is not None and not self.is_held:
        self.kept = <object>self.buffer
        hold(self)
    return 0


cdef int callbacks_forget(Callbacks self, BufferCallback one) except -1:
    self.owned.discard(one)
    return 0


cdef BufferCallback callbacks_find(Callbacks self, object callback, object user_arg):
    """The newest with this function and argument; the function may be a bound method."""
    cdef list found = []  # to compare runs code, which may remove any
    cdef pe_link *link = self.entries.prev
    cdef BufferCallback one
    while link != &self.entries:
        one = entry_of(link)
        if one.user_arg is user_arg:
            found.append(one)
        link = link.prev
    for one in found:
        if one.callback is callback or is_same_method(one.callback, callback):
            if one.entry != NULL:
                return one
    return None


cdef bint is_same_method(object one, object other):
    return type(one) is type(other) and type(one) in METHODS and one == other


cdef int callbacks_remove(Callbacks self, BufferCallback one) except -1:
    cdef object kept
    take_out(one)
    self.owned.discard(one)
    if self.is_held and pe_list_empty(&self.entries):
        kept, self.kept = self.kept, None
        unhold(self)
    return 0


cdef int callbacks_defer(Callbacks self, EventBase base) except -1:
    cdef EventBase last
    last, self.deferred_to = self.deferred_to, base
    return 0


cdef object callbacks_end(PyObject **place):
    cdef PyObject *callbacks = place[0]
    cdef object result = None
    if callbacks == NULL:
        return None
    (<Callbacks>callbacks).place = NULL
    place[0] = NULL
    forget_entries(<Callbacks>callbacks)
    if Py_REFCNT(callbacks) == 0 or not (<Callbacks>callbacks).is_held:
        return None
    (<Callbacks>callbacks).is_held = False
    pe_list_remove(&(<Callbacks>callbacks).link)
    if Py_REFCNT(callbacks) > 1:  # the Buffer has its own, and comes to its end with the result
        result = (<Callbacks>callbacks).kept
        (<Callbacks>callbacks).kept = None
    else:
        result = <object>callbacks
    Py_DECREF(<object>callbacks)  # the base's reference
    return result


cdef int find_link_offset() except -1:
    global link_offset
    cdef BufferCallback one = BufferCallback.__new__(BufferCallback)
    link_offset = <char *>&one.link - <char *><PyObject *>one
    return 0


find_link_offset()
