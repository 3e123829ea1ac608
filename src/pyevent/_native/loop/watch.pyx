"""Prepare and check watchers: callbacks before and after each wait of a loop.

As with events the C object has a borrowed pointer to the Python one, which the
base holds until it is closed.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from posix.time cimport timeval

from pyevent._native.c.event cimport event_base
from pyevent._native.c.watch cimport *
from pyevent._native.loop.attached cimport Attached, attach, detach, forget, hold, register_kind
from pyevent._native.loop.calling cimport call_out, callback_failed
from pyevent._native.loop.eventbase cimport EventBase, base_enter, leave


cdef void watcher_detach(Attached one) noexcept:
    cdef Watcher self = <Watcher>one
    watcher_end(self)
    detach(self)


cdef void watcher_end(Watcher self) noexcept:
    """C lets go of it. Runs no code."""
    cdef evwatch *watch = self.watch
    self.watch = NULL
    evwatch_free(watch)


cdef evwatch *watcher_enter(Watcher self) except NULL:
    if self.watch == NULL:
        raise RuntimeError(f"{self!r}: the watcher or its base is closed, or it was never set up")
    return self.watch


cdef int watcher_kind = register_kind(watcher_detach)


cdef void call_watcher(void *arg, object info) noexcept:
    cdef Watcher self = <Watcher>arg  # a reference of its own: the callback may close it
    cdef EventBase base = self.owner
    cdef object callback = self.callback
    cdef object user_arg = self.user_arg
    cdef PyObject *args[3]
    cdef PyObject *result
    args[0] = <PyObject *>self
    args[1] = <PyObject *>info
    args[2] = <PyObject *>user_arg
    result = call_out(base, self, callback, args, 3)
    if result == NULL:
        callback_failed(self, callback, "exception in watcher callback")
    Py_XDECREF(result)


cdef void prepare_called(evwatch *watch, const evwatch_prepare_cb_info *info,
                         void *arg) noexcept:
    cdef timeval tv
    cdef object timeout = None
    if evwatch_prepare_get_timeout(info, &tv):
        timeout = tv.tv_sec + tv.tv_usec * 1e-6
    call_watcher(arg, timeout)


cdef void check_called(evwatch *watch, const evwatch_check_cb_info *info, void *arg) noexcept:
    call_watcher(arg, None)


@cython.trashcan(True)  # a chain of them through `arg` may be of any length
cdef class Watcher(Attached):
    """What :class:`PrepareWatcher` and :class:`CheckWatcher` have in common."""

    cdef evwatch *watch     # NULL: closed
    cdef object callback
    cdef object user_arg

    def __dealloc__(self):
        forget(self)
        watcher_end(self)

    def __repr__(self):
        return f"<{type(self).__name__}{' closed' if self.watch == NULL else ''}>"

    def __enter__(self):
        watcher_enter(self)
        leave(self.owner, 0)
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self):
        """Call it no more. Closing again does nothing."""
        cdef object callback = None, user_arg = None  # what is dropped last
        if self.watch != NULL:
            watcher_detach(self)
        callback, self.callback = self.callback, callback
        user_arg, self.user_arg = self.user_arg, user_arg

    free = close

    @property
    def closed(self):
        """Whether it, or its base, has been closed."""
        return self.watch == NULL

    def get_base(self):
        """Its base."""
        watcher_enter(self)
        leave(self.owner, 0)
        return self.owner

    base = property(get_base)


cdef int set_up(Watcher self, EventBase base, object callback, object arg,
                bint is_prepare) except -1:
    cdef EventBase owner = self.owner  # what is dropped last
    cdef event_base *c_base
    cdef evwatch *watch
    if not callable(callback):
        raise TypeError(f"callback must be callable, not {callback!r}")
    if self.watch != NULL:
        raise RuntimeError(f"{self!r} is set up already")
    c_base = base_enter(base)
    if is_prepare:
        watch = evwatch_prepare_new(c_base, prepare_called, <void *>self)
    else:
        watch = evwatch_check_new(c_base, check_called, <void *>self)
    if watch != NULL:
        self.watch = watch
        attach(self, base, watcher_kind)
        hold(self)
        callback, self.callback = self.callback, callback
        arg, self.user_arg = self.user_arg, arg
    return leave(base, 0 if watch != NULL else -1)


cdef class PrepareWatcher(Watcher):
    """Calls ``callback(watcher, timeout, arg)`` right before each wait of the loop.

    *timeout* is how long the wait will be at most, in seconds; ``None``: without limit.
    What the callback adds counts for that wait. The base keeps the watcher until it is
    closed; it does not keep the loop from ending.

    :raises RuntimeError: the base is closed.
    """

    def __init__(self, EventBase base not None, callback, arg=None):
        set_up(self, base, callback, arg, True)


cdef class CheckWatcher(Watcher):
    """Calls ``callback(watcher, None, arg)`` right after each wait, before other callbacks.

    See :class:`PrepareWatcher`.
    """

    def __init__(self, EventBase base not None, callback, arg=None):
        set_up(self, base, callback, arg, False)


def prepare_get_timeout(info):
    """The timeout that a prepare watcher's callback was told, which is *info* itself."""
    return info
