"""Events: a descriptor, a signal or a time to wait for, and a callback.

An Event holds its struct event by value. It is held by its base (see loop/eventbase.pyx)
while it is pending or active; before it is deallocated C has let go of it.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.stdint cimport int64_t

from pyevent._native.base.arguments cimport check_err, event_flags, fd_of, to_ns
from pyevent._native.c.event cimport *
from pyevent._native.c.mem cimport pe_clock_now
from pyevent._native.loop.attached cimport (
    Attached,
    attach,
    detach,
    forget,
    hold,
    register_kind,
    unhold,
)
from pyevent._native.loop.calling cimport (
    call_failed,
    call_out,
    finalizer,
    report,
    shown_callback,
    soon,
)
from pyevent._native.loop.eventbase cimport (
    BASE_CLOSING,
    EventBase,
    base_enter,
    leave,
    provide_events,
)

from pyevent.constants import EventFlag

cdef object SELF  # a plain C variable: looked at often

from pyevent.assignment import SELF


cdef extern from "Python.h":
    ctypedef int (*init_fn "initproc")(PyObject *, PyObject *, PyObject *) except -1
    ctypedef struct TypeObject "PyTypeObject":
        init_fn tp_init
    Py_ssize_t Py_REFCNT(PyObject *op)


cdef enum:
    MAX_FAILURES = 100  # in a row, then a persistent event is removed

cdef int EV_IO = EV_READ | EV_WRITE | EV_CLOSED
cdef int EV_ALL = 0xff


cdef int event_kind


cdef event *event_enter(Event self) except NULL:
    if not self.is_open:
        raise RuntimeError(f"{self!r}: the event or its base is closed, or it was never set up")
    return &self.ev


cdef void event_end(Event self) noexcept:
    """C lets go of it. Runs no code."""
    if self.is_open:
        self.is_open = False
        event_del(&self.ev)
        event_debug_unassign(&self.ev)


cdef void event_detach(Attached one) noexcept:
    cdef Event self = <Event>one
    cdef EventBase base = self.owner
    cdef bint is_due = self.is_open and not pe_event_is_idle(&self.ev)
    event_end(self)
    detach(self)
    if not is_due:
        return
    if self.callback_ is finalizer:
        event_called(-1, 0, <void *>self)  # its base is being closed: now or never
    elif self.callback_ is soon and base is not None and base.state == BASE_CLOSING:
        base.unrun += 1


cdef void event_close(Event self) noexcept:
    cdef object callback = None, arg = None, file = None  # what is dropped last
    if self.is_open:
        event_detach(self)
    if not self.is_open:  # a finalizer that was due may have set it up anew
        callback, self.callback_ = self.callback_, callback
        arg, self.arg_ = self.arg_, arg
        file, self.file = self.file, file


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
    report(base, {"message": "persistent event removed",
                  "exception": RuntimeError(f"removed: its callback failed {MAX_FAILURES} times "
                                            "in a row"),
                  "source": self, "callback": callback})


cdef inline object argument_of(Event self):
    return <object>self if self.arg_ is SELF else self.arg_


cdef void event_called(int fd, short what, void *arg) noexcept:
    cdef Event self = <Event>arg
    cdef EventBase base = self.owner  # the callback may set the event up anew, for another base
    cdef object callback = self.callback_
    cdef object number = fd
    cdef object flags, user_arg = argument_of(self)
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
        cdef int number = checked_number(fd, what, callback)
        if self.is_open:  # asked only now: fileno() may have done anything
            raise RuntimeError(f"{self!r} is set up already")
        set_up(self, base, fd, number, what, callback, arg)

    def __dealloc__(self):
        forget(self)
        event_end(self)

    def assign(self, EventBase base not None, fd, int what, callback, arg=None):
        """Set it up anew, or, made by ``Event.__new__(Event)``, for the first time.

        The parameters are those of :class:`Event`.

        :raises RuntimeError: it is pending or active; or the base is closed.
        """
        cdef int number = checked_number(fd, what, callback)
        if self.is_open and not pe_event_is_idle(&self.ev):
            raise RuntimeError(f"{self!r} is pending or active: delete() it first")
        set_up(self, base, fd, number, what, callback, arg)

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
        cdef int fd = event_get_fd(&self.ev)
        cdef int what = event_get_events(&self.ev)
        cdef bint is_idle = pe_event_is_idle(&self.ev)
        if not self.is_open:
            return f"<{name} closed>"
        return (f"<{name} {'' if fd < 0 else f'fd={fd} '}{flag_names(what, 'timer')} "
                f"{'idle' if is_idle else 'pending'}>")

    def __enter__(self):
        event_enter(self)
        leave(self.owner, 0)
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
        cdef int64_t ns = -1 if timeout is None else to_ns(timeout)
        cdef int result = pe_event_add_ns(event_enter(self), ns)
        event_settle(self)
        leave(self.owner, 0)
        check_err(result, self)

    def delete(self):
        """No longer wait for it; a callback that is due is not run. Never blocks."""
        cdef event *ev = event_enter(self)
        cdef int result = 0
        if self.callback_ is not finalizer:  # of an event that is deleted, and to be told so
            result = event_del(ev)
            event_settle(self)
        leave(self.owner, result)

    def remove_timer(self):
        """Drop the timeout, keep the rest."""
        cdef int result = event_remove_timer(event_enter(self))
        event_settle(self)
        leave(self.owner, result)

    def active(self, int res=0, short ncalls=1):
        """Have the callback called with *res*, whether the event is pending or not."""
        if res & ~EV_ALL:
            raise ValueError(f"unknown event flags in {res:#x}")
        event_active(event_enter(self), res, ncalls)
        event_settle(self)
        leave(self.owner, 0)

    def close(self):
        """Delete it for good. Closing again does nothing."""
        event_close(self)

    free = close

    def finalize(self, callback):
        """Delete it for good, and call ``callback(event, arg)`` from the loop.

        That is the last call: no callback of the event runs any more, or is running in
        another thread. Closing the base calls it if the loop has not.
        """
        cdef Event last
        cdef EventBase base = self.owner
        cdef object arg = argument_of(self)
        if not callable(callback):
            raise TypeError(f"callback must be callable, not {callback!r}")
        event_enter(self)
        leave(base, 0)
        last = Event(base, -1, 0, finalizer, (callback, self, arg))
        event_enter(self)  # again: that may have run any code
        event_active(event_enter(last), 0, 1)
        event_settle(last)
        leave(base, 0)
        leave(base, 0)
        event_close(self)

    def set_base(self, EventBase base not None):
        """Have another base's loop serve it; its priority is the default one there.

        :raises RuntimeError: it is pending or active.
        """
        move_to(self, base)

    @property
    def closed(self):
        """Whether it, or its base, has been closed."""
        return not self.is_open

    def get_pending(self, int what=0x8f):
        """Which of the bits *what* it waits for, or is active with."""
        cdef int found = event_pending(event_enter(self), <short>what, NULL)
        return event_flags(leave(self.owner, found))

    @property
    def pending(self):
        """What it waits for, or is active with; falsy when idle."""
        return self.get_pending()

    def get_fd(self):
        """Its descriptor or signal number; -1: none."""
        cdef int fd = event_get_fd(event_enter(self))
        leave(self.owner, 0)
        return fd

    fd = property(get_fd)

    def fileno(self):
        """As :attr:`fd`."""
        return self.get_fd()

    def get_base(self):
        """Its base."""
        event_require(self)
        return self.owner

    base = property(get_base)

    def get_events(self):
        """The flags that it was made with."""
        cdef int what = event_get_events(event_enter(self))
        leave(self.owner, 0)
        return event_flags(what)

    events = property(get_events)

    def get_callback(self):
        """Its callback."""
        event_require(self)
        return self.callback_

    callback = property(get_callback)

    def get_callback_arg(self):
        """What its callback gets as third argument."""
        event_require(self)
        return argument_of(self)

    arg = property(get_callback_arg)

    def get_assignment(self):
        """``(base, fd, events, callback, arg)``, as it was set up."""
        cdef event *ev = event_enter(self)
        cdef int fd = event_get_fd(ev)
        cdef int what = event_get_events(ev)
        cdef EventBase base = self.owner
        cdef object callback = self.callback_, arg = argument_of(self)
        leave(base, 0)
        return base, fd, event_flags(what), callback, arg

    def get_priority(self):
        """Its priority; 0 is the most urgent."""
        return leave(self.owner, event_get_priority(event_enter(self)))

    def priority_set(self, int priority):
        """Set it, while the event is not active.

        :raises ValueError: the base has no such priority, or the event is active.
        """
        cdef event *ev = event_enter(self)
        cdef int count = event_base_get_npriorities(self.owner.base)
        cdef int result = event_priority_set(ev, priority)
        leave(self.owner, 0)
        if result < 0:
            raise ValueError(f"priority {priority} of {self!r}: 0 to {count - 1}, "
                             "while not active")

    @property
    def priority(self):
        """Its priority; 0 is the most urgent."""
        return self.get_priority()

    @priority.setter
    def priority(self, int priority):
        self.priority_set(priority)


cdef int event_require(Event self) except -1:
    """For what is answered without the C core."""
    event_enter(self)
    return leave(self.owner, 0)


# --- setting up -----------------------------------------------------------------------------

cdef int checked_number(object fd, int what, object callback) except? -1:
    """The descriptor or signal number of a new event; all of its arguments go together."""
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
    return number


cdef int set_up(Event self, EventBase base, object fd, int number, int what, object callback,
                object arg) except -1:
    """It is not pending."""
    cdef EventBase owner = self.owner  # what is dropped last
    cdef event_base *c_base = base_enter(base)
    cdef int result = event_assign(&self.ev, c_base, number, <short>what, event_called,
                                   <void *>self)
    if result == 0:
        detach(self)  # from where it was before
        attach(self, base, event_kind)
        self.is_open = True
        self.failures = 0
        callback, self.callback_ = self.callback_, callback
        arg, self.arg_ = self.arg_, arg
        fd, self.file = self.file, fd
    return leave(base, result)


cdef int move_to(Event self, EventBase base) except -1:
    cdef EventBase owner = self.owner  # what is dropped last
    cdef event_base *c_base = base_enter(base)
    cdef event *ev
    cdef int result = -1
    cdef bint is_idle
    try:
        ev = event_enter(self)
    except RuntimeError:
        leave(base, 0)
        raise
    is_idle = pe_event_is_idle(ev)
    if is_idle:
        result = event_base_set(c_base, ev)
    if result == 0:
        detach(self)
        attach(self, base, event_kind)
    leave(owner, 0)
    leave(base, 0)
    if not is_idle:
        raise RuntimeError(f"{self!r} is pending or active: delete() it first")
    return result


def set_base(EventBase base not None, Event event not None):
    """:meth:`Event.set_base`, with the arguments in C's order."""
    move_to(event, base)


def is_initialized(Event event not None):
    """Whether it was set up, and neither it nor its base has been closed."""
    return event.is_open


# A call with too few arguments is told which: Cython's own words for it only count them.
cdef init_fn init_plainly
cdef tuple PARAMETERS = ("base", "fd", "what", "callback")


cdef int init_or_name(PyObject *self, PyObject *args, PyObject *keywords) except -1:
    cdef list missing
    try:
        return init_plainly(self, args, keywords)
    except TypeError:
        missing = [name for name in PARAMETERS[len(<tuple>args):]
                   if keywords == NULL or name not in <dict>keywords]
        if not missing:
            raise
    raise TypeError(f"Event() needs base, fd, what and callback: {', '.join(missing)} missing")


cdef int name_parameters() except -1:
    global init_plainly
    init_plainly = (<TypeObject *>Event).tp_init
    (<TypeObject *>Event).tp_init = init_or_name
    return 0


name_parameters()


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
    """None: it is closed."""
    cdef Event self = <Event>one
    cdef int what = event_get_events(&self.ev)
    cdef int fd = event_get_fd(&self.ev)
    cdef int priority = event_get_priority(&self.ev)
    cdef int64_t left = self.ev.timer.node.key - pe_clock_now()
    cdef bint is_timed = self.ev.io.task.state & EVLIST_TIMEOUT
    cdef bint is_active = pe_task_is_queued(&self.ev.io.task)
    cdef int res = self.ev.io.task.res
    cdef object callback = shown_callback(self.callback_, self.arg_)
    if not self.is_open:
        return None
    return ("signal" if what & EV_SIGNAL else "fd" if fd >= 0 else "timer",
            str(fd) if fd >= 0 else "",
            flag_names(what, ""),
            f"{max(left, 0) * 1e-9:.3f} s" if is_timed else "",
            flag_names(res, "yes") if is_active else "",
            str(priority),
            getattr(callback, "__qualname__", None) or repr(callback))


provide_events(Event, event_of, event_row)
