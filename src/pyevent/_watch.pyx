"""Prepare and check watchers: callbacks before and after each wait of a loop.

As with events the C object has a borrowed pointer to the Python one, which the
base holds until it is closed.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from posix.time cimport timeval

from pyevent._core cimport check
from pyevent._loop cimport (
    Attached,
    EventBase,
    attach,
    call_out,
    callback_failed,
    detach,
    hold,
    register_kind,
    base_enter,
)
from pyevent.c.watch cimport *


cdef void watcher_detach(Attached one) noexcept:
    cdef Watcher self = <Watcher>one
    cdef evwatch *watch = self.watch
    if watch != NULL:
        self.watch = NULL
        evwatch_free(watch)
    detach(self)


cdef int watcher_kind = register_kind(watcher_detach)


cdef void call_watcher(Watcher self, object info) noexcept:
    cdef object callback = self.callback
    cdef object user_arg = self.user_arg
    cdef PyObject *args[3]
    cdef PyObject *result
    args[0] = <PyObject *>self
    args[1] = <PyObject *>info
    args[2] = <PyObject *>user_arg
    result = call_out(self.owner, self, callback, args, 3)
    if result == NULL:
        callback_failed(self, callback, "exception in watcher callback")
    Py_XDECREF(result)


cdef void prepare_called(evwatch *watch, const evwatch_prepare_cb_info *info,
                         void *arg) noexcept:
    cdef timeval tv
    cdef object timeout = None
    if evwatch_prepare_get_timeout(info, &tv):
        timeout = tv.tv_sec + tv.tv_usec * 1e-6
    call_watcher(<Watcher>arg, timeout)


cdef void check_called(evwatch *watch, const evwatch_check_cb_info *info, void *arg) noexcept:
    call_watcher(<Watcher>arg, None)


@cython.trashcan(True)  # a chain of them through `arg` may be of any length
cdef class Watcher(Attached):
    """What :class:`PrepareWatcher` and :class:`CheckWatcher` have in common."""

    cdef evwatch *watch     # NULL: closed
    cdef object callback
    cdef object user_arg

    def __repr__(self):
        return f"<{type(self).__name__}{' closed' if self.watch == NULL else ''}>"

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self):
        """Call it no more. Closing again does nothing."""
        if self.watch != NULL:
            watcher_detach(self)
        self.callback = self.user_arg = None

    free = close

    @property
    def closed(self):
        """Whether it, or its base, has been closed."""
        return self.watch == NULL

    def get_base(self):
        """Its base."""
        return self.owner

    base = property(get_base)


cdef int watcher_begin(Watcher self, EventBase base, object callback, object arg) except -1:
    if self.watch != NULL:
        raise RuntimeError(f"{self!r} is set up already")
    base_enter(base)
    if not callable(callback):
        raise TypeError(f"callback must be callable, not {callback!r}")
    self.callback = callback
    self.user_arg = arg
    return 0


cdef int watcher_end(Watcher self, EventBase base) except -1:
    if self.watch == NULL:
        check(-1)
    attach(self, base, watcher_kind)
    hold(self)
    return 0


cdef class PrepareWatcher(Watcher):
    """Calls ``callback(watcher, timeout, arg)`` right before each wait of the loop.

    *timeout* is how long the wait will be at most, in seconds; ``None``: without limit.
    What the callback adds counts for that wait. The base keeps the watcher until it is
    closed; it does not keep the loop from ending.

    :raises RuntimeError: the base is closed.
    """

    def __init__(self, EventBase base not None, callback, arg=None):
        watcher_begin(self, base, callback, arg)
        self.watch = evwatch_prepare_new(base.base, prepare_called, <void *>self)
        watcher_end(self, base)


cdef class CheckWatcher(Watcher):
    """Calls ``callback(watcher, None, arg)`` right after each wait, before other callbacks.

    See :class:`PrepareWatcher`.
    """

    def __init__(self, EventBase base not None, callback, arg=None):
        watcher_begin(self, base, callback, arg)
        self.watch = evwatch_check_new(base.base, check_called, <void *>self)
        watcher_end(self, base)


def prepare_get_timeout(info):
    """The timeout that a prepare watcher's callback was told, which is *info* itself."""
    return info
