"""Events: a descriptor, a signal or a time to wait for, and a callback.

An Event holds its struct event by value. It is held by its base (see _loop.pyx)
while it is pending or active; before it is deallocated C has let go of it.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.stdint cimport int64_t

from pyevent._core cimport check, check_err, event_flags, fd_of, to_ns
from pyevent._loop cimport (
    Attached,
    EventBase,
    attach,
    call_failed,
    call_out,
    detach,
    hold,
    provide_events,
    register_kind,
    shown_callback,
    stop_with,
    unhold,
)
from pyevent.c.event cimport *
from pyevent.c.mem cimport pe_clock_now

from pyevent import errors
from pyevent._loop import run_finalizer
from pyevent.constants import EventFlag


cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *op)


cdef enum:
    MAX_FAILURES = 100  # in a row, then a persistent event is removed

cdef int EV_IO = EV_READ | EV_WRITE | EV_CLOSED
cdef int EV_ALL = 0xff


cdef int event_kind


cdef void event_detach(Attached one) noexcept:
    cdef Event self = <Event>one
    cdef bint is_due = False
    if self.is_open:
        self.is_open = False
        is_due = self.callback_ is run_finalizer and not pe_event_is_idle(&self.ev)
        event_del(&self.ev)
    detach(self)
    if is_due:
        event_called(-1, 0, <void *>self)  # its base is being closed: now or never


event_kind = register_kind(event_detach)


cdef void event_settle(Event self) noexcept:
    """Held as long as it is pending, active, or about to be called once more."""
    if self.is_open and not pe_event_is_idle(&self.ev):
        hold(self)
    else:
        unhold(self)


cdef void event_failed(Event self, EventBase base, object callback) noexcept:
    callback = shown_callback(callback, self.arg_)
    call_failed(base, self, callback, "exception in event callback")
    if not self.is_open or not event_get_events(&self.ev) & EV_PERSIST:
        return
    self.failures += 1
    if self.failures < MAX_FAILURES:
        return
    self.failures = 0
    event_del(&self.ev)
    try:
        raise RuntimeError(f"removed: its callback failed {MAX_FAILURES} times in a row")
    except RuntimeError as exc:
        try:
            errors.log_failure({"message": "persistent event removed", "exception": exc,
                                "source": self, "callback": callback})
        except BaseException as inner:
            stop_with(base, inner)


cdef void event_called(int fd, short what, void *arg) noexcept:
    cdef Event self = <Event>arg
    cdef EventBase base = self.owner  # the callback may set the event up anew, for another base
    cdef object callback = self.callback_
    cdef object number = fd
    cdef object flags, user_arg = self.arg_
    cdef PyObject *args[3]
    cdef PyObject *result
    try:
        flags = event_flags(what)
    except BaseException:
        flags = what  # no memory for a new flag set: the plain number
    args[0] = <PyObject *>number
    args[1] = <PyObject *>flags
    args[2] = <PyObject *>user_arg
    result = call_out(base, self, callback, args, 3)
    if result != NULL:
        self.failures = 0
        Py_XDECREF(result)
    else:
        event_failed(self, base, callback)
    event_settle(self)


@cython.trashcan(True)  # a chain of them through `arg` may be of any length
cdef class Event(Attached):
    """Waits for a descriptor, a signal or a time, and calls ``callback(fd, what, arg)``.

    :param base: the :class:`EventBase` whose loop runs the callback.
    :param fd: an ``int`` or any object with a ``fileno()``, which is kept alive;
        -1 or ``None`` for a timer or an event that only :meth:`active` fires; a signal
        number with ``EV_SIGNAL``. Close it only after :meth:`delete`.
    :param what: ``EV_READ``, ``EV_WRITE``, ``EV_CLOSED``, ``EV_SIGNAL``, with
        ``EV_PERSIST`` and ``EV_ET`` as needed.
    :param callback: what to call; its ``what`` is an :class:`EventFlag`.
    :param arg: passed on to it.
    :raises ValueError: the flags do not go together, or *fd* is negative.
    :raises RuntimeError: the base is closed.

    It does nothing before :meth:`add`. While it is pending the base keeps it alive.
    """

    def __init__(self, EventBase base not None, fd, int what, callback, arg=None):
        cdef int number = -1
        if what & ~EV_ALL:
            raise ValueError(f"unknown event flags in {what:#x}")
        if what & EV_SIGNAL and what & EV_IO:
            raise ValueError(f"EV_SIGNAL excludes READ, WRITE and CLOSED: {event_flags(what)!r}")
        if not callable(callback):
            raise TypeError(f"callback must be callable, not {callback!r}")
        if fd is not None and not (isinstance(fd, int) and fd == -1):
            number = fd_of(fd)
        if number < 0 and what & (EV_IO | EV_SIGNAL):
            raise ValueError(f"an event for {event_flags(what)!r} needs a descriptor, not {fd!r}")
        if self.is_open:  # asked only now: fileno() may have done anything
            raise RuntimeError(f"{self!r} is set up already")
        attach(self, base, event_kind)
        check(event_assign(&self.ev, base.base, number, what, event_called, <void *>self))
        self.callback_ = callback
        self.arg_ = arg
        self.file = fd
        self.is_open = True

    @classmethod
    def timer(cls, EventBase base not None, callback, arg=None):
        """A timer: ``timer(base, callback, arg).add(seconds)``."""
        return cls(base, -1, 0, callback, arg)

    @classmethod
    def signal(cls, EventBase base not None, int signum, callback, arg=None):
        """A persistent event of a signal; it takes the signal from Python while pending."""
        return cls(base, signum, EV_SIGNAL | EV_PERSIST, callback, arg)

    def __repr__(self):
        cdef str name = type(self).__name__
        cdef int fd
        if not self.is_open:
            return f"<{name} closed>"
        fd = event_get_fd(&self.ev)
        return (f"<{name} {'' if fd < 0 else f'fd={fd} '}"
                f"{flag_names(event_get_events(&self.ev), 'timer')} "
                f"{'idle' if pe_event_is_idle(&self.ev) else 'pending'}>")

    def __enter__(self):
        event_require(self)
        return self

    def __exit__(self, *exc_info):
        self.close()

    def add(self, timeout=None):
        """Wait for the event, and for at most *timeout* seconds.

        Adding a pending event again with a timeout replaces the old one.

        :param timeout: seconds, rounded up to the nanosecond; ``None``: no limit. Inside
            callbacks it counts from when the loop woke up; after a long computation call
            :meth:`EventBase.update_cache_time` before.
        :raises ValueError: *timeout* is negative or not finite.
        :raises OSError: the kernel refused the fd: ``EPERM`` for a regular file under
            epoll, ``EBADF`` for a closed one.
        :raises RuntimeError: the event or its base is closed.
        """
        cdef int64_t ns = -1
        event_require(self)
        if timeout is not None:
            ns = to_ns(timeout)
        check_err(pe_event_add_ns(&self.ev, ns), self)
        event_settle(self)

    def delete(self):
        """No longer wait for it; a callback that is due is not run. Never blocks."""
        event_require(self)
        event_del(&self.ev)
        event_settle(self)

    def remove_timer(self):
        """Drop the timeout, keep the rest."""
        event_require(self)
        check(event_remove_timer(&self.ev))
        event_settle(self)

    def active(self, int res=0, short ncalls=1):
        """Have the callback called with *res*, whether the event is pending or not."""
        event_require(self)
        if res & ~EV_ALL:
            raise ValueError(f"unknown event flags in {res:#x}")
        event_active(&self.ev, res, ncalls)
        event_settle(self)

    def close(self):
        """Delete it for good. Closing again does nothing."""
        if self.is_open:
            event_detach(self)
        self.callback_ = self.arg_ = self.file = None

    free = close

    def finalize(self, callback):
        """Delete it for good, and call ``callback(event, arg)`` from the loop.

        That is the last call: no callback of the event runs any more, or is running in
        another thread. Closing the base calls it if the loop has not.
        """
        cdef Event ev
        event_require(self)
        if not callable(callback):
            raise TypeError(f"callback must be callable, not {callback!r}")
        ev = Event(self.owner, -1, 0, run_finalizer, (callback, self, self.arg_))
        ev.active(0)
        self.close()

    @property
    def closed(self):
        """Whether it, or its base, has been closed."""
        return not self.is_open

    def get_pending(self, int what=0x8f):
        """Which of the bits *what* it waits for, or is active with."""
        return event_flags(event_pending(&self.ev, what, NULL) if self.is_open else 0)

    @property
    def pending(self):
        """What it waits for, or is active with; falsy when idle."""
        return self.get_pending()

    def get_fd(self):
        """Its descriptor or signal number; -1: none."""
        event_require(self)
        return event_get_fd(&self.ev)

    fd = property(get_fd)

    def fileno(self):
        """As :attr:`fd`."""
        return self.get_fd()

    def get_base(self):
        """Its base."""
        return self.owner

    base = property(get_base)

    def get_events(self):
        """The flags that it was made with."""
        event_require(self)
        return event_flags(event_get_events(&self.ev))

    events = property(get_events)

    def get_callback(self):
        """Its callback; ``None`` once closed."""
        return self.callback_

    callback = property(get_callback)

    def get_callback_arg(self):
        """What its callback gets as third argument."""
        return self.arg_

    arg = property(get_callback_arg)

    def get_priority(self):
        """Its priority; 0 is the most urgent."""
        event_require(self)
        return event_get_priority(&self.ev)

    def priority_set(self, int priority):
        """Set it, while the event is not active.

        :raises ValueError: the base has no such priority, or the event is active.
        """
        event_require(self)
        if event_priority_set(&self.ev, priority) < 0:
            raise ValueError(f"priority {priority} of {self!r}: 0 to "
                             f"{event_base_get_npriorities(self.owner.base) - 1}, while not active")

    @property
    def priority(self):
        """Its priority; 0 is the most urgent."""
        return self.get_priority()

    @priority.setter
    def priority(self, int priority):
        self.priority_set(priority)


cdef int event_require(Event self) except -1:
    if not self.is_open:
        raise RuntimeError(f"{self!r}: the event or its base is closed, or it was never set up")
    return 0


cdef str flag_names(int what, str none):
    names = [flag.name for flag in EventFlag if what & flag]
    return "|".join(names) if names else none


# --- looking at them ----------------------------------------------------------------------------

cdef object event_of(const event *ev):
    """The Event that `ev` is part of; None: no Event's."""
    cdef PyObject *op
    if ev == NULL or event_get_callback(ev) != event_called:
        return None
    op = <PyObject *>event_get_callback_arg(ev)
    if Py_REFCNT(op) == 0:
        return None  # in the middle of its deallocation, after its last callback
    return <Event>op


cdef tuple event_row(object one):
    cdef Event ev = <Event>one
    cdef int what = event_get_events(&ev.ev)
    cdef int fd = event_get_fd(&ev.ev)
    cdef object due = ""
    cdef object active = ""
    cdef object callback = shown_callback(ev.callback_, ev.arg_)
    if ev.ev.io.task.state & EVLIST_TIMEOUT:
        due = f"{max(ev.ev.timer.node.key - pe_clock_now(), 0) * 1e-9:.3f} s"
    if pe_task_is_queued(&ev.ev.io.task):
        active = flag_names(ev.ev.io.task.res, "yes")
    return ("signal" if what & EV_SIGNAL else "fd" if fd >= 0 else "timer",
            str(fd) if fd >= 0 else "",
            flag_names(what, ""),
            due,
            active,
            str(event_get_priority(&ev.ev)),
            getattr(callback, "__qualname__", None) or repr(callback))


provide_events(Event, event_of, event_row)
