"""Bases, and what every object that belongs to one has in common.

Who keeps whom alive: every object of a base (Event, BufferEvent, Listener) has
a reference to it and is in one of its two lists, `held` or `loose`. The base
owns a reference to each held one, and nothing else to any; the C core holds
borrowed pointers only. An Event is held while it is pending or active. The
lists go through C links in the objects, so that holding allocates nothing, and
the base's traverse function shows the held ones to the garbage collector: a
base that nobody refers to any more is collected with all it holds.

Whoever is in a list can rely on the base being there: a base that is closed or
deallocated takes all of its objects out first.

The GIL: the core is entered with it and gives it up around the kernel wait
only. Any call out of the core may run any other thread, or re-enter.
"""

from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF, Py_XDECREF, Py_XINCREF
from libc.errno cimport errno
from libc.stdint cimport int64_t
from posix.time cimport timeval
from posix.unistd cimport write

from pyevent._config cimport EventConfig, config_for
from pyevent._core cimport check, check_err, event_flags, fd_of, to_ns, to_timeval
from pyevent.c.event cimport *
from pyevent.c.mem cimport pe_clock_now, pe_clock_wall

import os
import signal
import threading

from pyevent import errors
from pyevent.constants import Feature


cdef extern from "Python.h":
    void PyErr_Fetch(PyObject **kind, PyObject **value, PyObject **traceback)
    void PyErr_Restore(PyObject *kind, PyObject *value, PyObject *traceback)
    void PyErr_NormalizeException(PyObject **kind, PyObject **value, PyObject **traceback)
    void PyErr_SetObject(object kind, object value)
    void PyErr_WriteUnraisable(object source)
    int PyException_SetTraceback(PyObject *exc, PyObject *traceback)
    ctypedef int (*visit_fn "visitproc")(PyObject *, void *) noexcept
    ctypedef int (*traverse_fn "traverseproc")(PyObject *, visit_fn, void *) noexcept
    ctypedef struct TypeObject "PyTypeObject":
        traverse_fn tp_traverse
    PyObject *PyObject_Vectorcall(PyObject *callable, PyObject **args, size_t nargs,
                                  PyObject *kwnames)
    int PyErr_ResourceWarning(PyObject *source, Py_ssize_t stack_level, const char *format,
                              ...) except -1
    Py_ssize_t Py_REFCNT(PyObject *op)
    void Py_SET_REFCNT(PyObject *op, Py_ssize_t n)


cdef enum:
    MAX_KINDS = 8

cdef int EV_IO = EV_READ | EV_WRITE | EV_CLOSED


# --- objects of a base ----------------------------------------------------------

cdef detach_fn detachers[MAX_KINDS]
cdef int kinds = 0
cdef Py_ssize_t link_offset


cdef inline PyObject *attached_of(pe_link *link) noexcept:
    return <PyObject *>(<char *>link - link_offset)


cdef int register_kind(detach_fn detach_one) except -1:
    """A number for objects that `detach_one` closes when their base is closed."""
    global kinds
    if kinds == MAX_KINDS:
        raise RuntimeError("too many kinds of attached objects")
    detachers[kinds] = detach_one
    kinds += 1
    return kinds - 1


cdef void close_attached(Attached self) noexcept:
    """As its kind is closed."""
    detachers[self.kind](self)


cdef event_base *base_enter(EventBase self) except NULL:
    if self is None:
        raise TypeError("an EventBase is needed, not None")
    if self.base == NULL:
        raise RuntimeError(f"{self!r} is closed")
    return self.base


cdef int attach(Attached self, EventBase base, int kind) except -1:
    base_enter(base)
    self.owner = base
    self.kind = kind
    pe_list_push_back(&base.loose, &self.link)
    return 0


cdef void hold(Attached self) noexcept:
    """The base keeps `self` alive from now on."""
    if not self.is_held:
        self.is_held = True
        Py_INCREF(self)
        pe_list_remove(&self.link)
        pe_list_push_back(&self.owner.held, &self.link)


cdef void unhold(Attached self) noexcept:
    """No longer. The caller has a reference of its own."""
    if self.is_held:
        self.is_held = False
        pe_list_remove(&self.link)
        pe_list_push_back(&self.owner.loose, &self.link)
        Py_DECREF(self)


cdef void detach(Attached self) noexcept:
    """Out of the base's lists for good. The caller has a reference of its own."""
    pe_list_remove(&self.link)
    if self.is_held:
        self.is_held = False
        Py_DECREF(self)


cdef object find_attached(EventBase base, int kind, attached_test is_it, int number):
    """The object of that kind for which `is_it(object, number)`; None."""
    cdef object found = find_in(&base.held, kind, is_it, number)
    return found if found is not None else find_in(&base.loose, kind, is_it, number)


cdef object find_in(pe_link *head, int kind, attached_test is_it, int number):
    cdef pe_link *at = head.next
    cdef PyObject *op
    while at != head:
        op = attached_of(at)
        at = at.next
        if Py_REFCNT(op) == 0:
            continue  # in the middle of its deallocation: no reference may be taken
        if (<Attached>op).kind == kind and is_it(<Attached>op, number):
            return <Attached>op
    return None


cdef class Attached:
    def __cinit__(self, *args, **kwargs):
        pe_list_init(&self.link)

    def __dealloc__(self):
        pe_list_remove(&self.link)  # if it is in a list, the base is there

    def __reduce__(self):
        raise TypeError(f"cannot pickle or copy {type(self).__name__!r} objects")


# --- failing callbacks --------------------------------------------------------------

cdef object take_exception():
    """The exception that a C call has left, taken."""
    cdef PyObject *kind
    cdef PyObject *value
    cdef PyObject *traceback
    cdef object exc
    PyErr_Fetch(&kind, &value, &traceback)
    PyErr_NormalizeException(&kind, &value, &traceback)
    exc = <object>value
    if traceback != NULL:
        PyException_SetTraceback(value, traceback)
    Py_XDECREF(kind)
    Py_XDECREF(value)
    Py_XDECREF(traceback)
    return exc


cdef void stop_with(EventBase base, object exc) noexcept:
    """Have dispatch() raise `exc`. Of several the first, but KeyboardInterrupt and its like
    before any Exception; the others go to sys.unraisablehook.
    """
    cdef object other = base.failure
    if other is None or isinstance(other, Exception) and not isinstance(exc, Exception):
        base.failure = exc
    else:
        other = exc
    if other is not None:
        PyErr_SetObject(type(other), other)
        PyErr_WriteUnraisable(base)
    if base.base != NULL:
        event_base_loopbreak(base.base)


cdef int handle(EventBase base, dict context) except -1:
    if base.handler is None:
        default_handler(context)
    else:
        base.handler(base, context)
    return 0


cdef int default_handler(dict context) except -1:
    cdef object source = context.get("source")
    errors.log_failure(context)
    if isinstance(source, Attached) and (<Attached>source).closes_on_failure:
        source.close()
    return 0


cdef void call_failed(EventBase base, object source, object callback, str message) noexcept:
    """An exception is set: give it to the base's handler, or have dispatch() raise it."""
    cdef object exc = take_exception()
    if base.handler is errors.RAISE or not isinstance(exc, Exception):
        stop_with(base, exc)
        return
    try:
        handle(base, {"message": message, "exception": exc, "source": source,
                      "callback": callback})
    except BaseException as inner:  # the handler's own
        if inner is not exc and inner.__context__ is None:
            inner.__context__ = exc
        stop_with(base, inner)


cdef void callback_failed(Attached source, object callback, str message) noexcept:
    call_failed(source.owner, source, callback, message)


# --- calling out ------------------------------------------------------------------

cdef PyObject *call_out(EventBase base, object source, object callback, PyObject **args,
                        size_t n) noexcept:
    """Call a user's callback; NULL: it has raised, and the exception is set."""
    cdef int64_t start
    cdef PyObject *result
    if base.slow_ns == 0:
        return PyObject_Vectorcall(<PyObject *>callback, args, n, NULL)
    start = pe_clock_now()
    result = PyObject_Vectorcall(<PyObject *>callback, args, n, NULL)
    start = pe_clock_now() - start
    if start > base.slow_ns:
        note_slow(base, source, callback, start)
    return result


cdef void note_slow(EventBase base, object source, object callback, int64_t ns) noexcept:
    """Leaves the exception alone that the callback may have raised."""
    cdef PyObject *kind
    cdef PyObject *value
    cdef PyObject *traceback
    PyErr_Fetch(&kind, &value, &traceback)
    if isinstance(source, event_class):
        callback = shown_callback(callback, source.arg)
    try:
        errors.log_slow(callback, source, ns * 1e-9)
    except BaseException as exc:
        stop_with(base, exc)
    PyErr_Restore(kind, value, traceback)


# --- events, which are another module's --------------------------------------------------

cdef object event_class
cdef event_of_fn event_of
cdef event_row_fn event_row


cdef int provide_events(object cls, event_of_fn of, event_row_fn row) except -1:
    """Told by _event.pyx when it is loaded, right after this one."""
    global event_class, event_of, event_row
    event_class = cls
    event_of = of
    event_row = row
    return 0


cdef int collect_event(const event_base *base, const event *ev, void *arg) noexcept:
    try:
        (<list>arg).append(event_of(ev))
    except BaseException:
        return -1  # no memory: the list is shorter
    return 0


def run_soon(fd, what, call):
    """What call_soon_threadsafe() has made due."""
    callback, args = call
    callback(*args)


def run_finalizer(fd, what, call):
    """What finalize() has made due."""
    callback, ev, arg = call
    callback(ev, arg)


cdef object shown_callback(object callback, object arg):
    """The user's own, of an event that is made for a call."""
    if (callback is run_soon or callback is run_finalizer) and isinstance(arg, tuple):
        return arg[0]
    return callback


# --- the base --------------------------------------------------------------------------

cdef class EventBase:
    """A loop: waits for its events and runs their callbacks.

    :param config: an :class:`EventConfig`, or ``None``.
    :param backend: the name of a backend to use (see :func:`backends`), whatever
        the environment says. Not together with *config*.
    :param exception_handler: see :attr:`exception_handler`.
    :param slow_callback: seconds; a callback that keeps the loop longer is logged on
        the logger "pyevent", with its name and duration. ``None``: none is.
    :raises ValueError: there is no such backend.
    :raises OSError: it does not open here; ``EINVAL``: none fits the configuration.

    Every method may be called from any thread; only the callbacks run in the
    thread that called :meth:`dispatch`. A context manager that closes.
    """

    def __cinit__(self, *args, **kwargs):
        pe_list_init(&self.held)
        pe_list_init(&self.loose)
        self.relay_fd = self.forward_to = -1

    def __init__(self, EventConfig config=None, *, str backend=None, exception_handler=None,
                 slow_callback=None):
        if self.base != NULL:
            raise RuntimeError(f"{self!r} is open already")
        if backend is not None:
            if config is not None:
                raise ValueError("give a config or a backend, not both")
            config = config_for(backend)
        self.exception_handler = exception_handler
        self.slow_callback = slow_callback
        self.base = event_base_new_with_config(NULL if config is None else config.cfg)
        if self.base == NULL:
            check(-1)
        self.hooks.base = <void *>self
        self.hooks.mended = relay_mended
        self.hooks.returned = wait_returned
        event_base_set_wait_hooks(self.base, pe_py_before_wait, pe_py_after_wait, &self.hooks)

    def __dealloc__(self):
        take_apart(self)

    def __del__(self):
        if self.base == NULL:
            return
        try:
            PyErr_ResourceWarning(<PyObject *>self, 1, "unclosed %R", <PyObject *>self)
        finally:
            take_apart(self)
            raise_failure(self)

    def __reduce__(self):
        raise TypeError(f"cannot pickle or copy {type(self).__name__!r} objects")

    def __enter__(self):
        base_enter(self)
        return self

    def __exit__(self, *exc_info):
        self.close()

    def __repr__(self):
        cdef str name = type(self).__name__
        if self.base == NULL:
            return f"<{name} closed>"
        return (f"<{name} {event_base_get_method(self.base).decode()}"
                f"{' running' if pe_base_is_running(self.base) else ''}"
                f" events={event_base_get_num_events(self.base, 4)}>")

    def close(self):
        """Delete all events, close all connections and listeners, free the base.

        Closing again does nothing.

        :raises RuntimeError: it is running, in this thread or another.
        """
        if self.base == NULL:
            return
        if pe_base_is_running(self.base):
            raise RuntimeError(f"{self!r} cannot be closed while it runs; loopexit() it first")
        take_apart(self)
        raise_failure(self)  # of a finalizer

    free = close

    @property
    def closed(self):
        """Whether it has been closed."""
        return self.base == NULL

    @property
    def exception_handler(self):
        """What is done about an exception in a callback.

        ``None``: it is logged on the logger "pyevent", the connection whose callback
        failed is closed, and the loop goes on. ``pyevent.RAISE``: dispatch() raises
        it; what is still active stays so. Else a callable ``handler(base, context)``
        with a dict as asyncio's: ``message``, ``exception``, ``source``, ``callback``;
        it may call :meth:`default_exception_handler`. What is no ``Exception``
        (KeyboardInterrupt, SystemExit) always leaves dispatch().
        """
        return self.handler

    @exception_handler.setter
    def exception_handler(self, handler):
        if handler is not None and handler is not errors.RAISE and not callable(handler):
            raise TypeError(f"exception_handler must be None, RAISE or callable, not {handler!r}")
        self.handler = handler

    def default_exception_handler(self, dict context not None):
        """Do what is done without a handler: log, and close a failed connection."""
        default_handler(context)

    @property
    def slow_callback(self):
        """Seconds from which on a callback counts as slow and is logged; ``None``: never."""
        return self.slow_ns * 1e-9 if self.slow_ns else None

    @slow_callback.setter
    def slow_callback(self, seconds):
        self.slow_ns = 0 if seconds is None else max(to_ns(seconds), 1)

    # -- running

    def dispatch(self):
        """Run until no event is left or somebody ends the loop.

        :returns: 0 if it was ended, 1 if nothing was left to wait for.
        :raises RuntimeError: it is closed, or runs already.
        :raises OSError: the backend failed.
        """
        return run(self, 0)

    def loop(self, int flags=0):
        """As :meth:`dispatch`, with ``EVLOOP_*`` flags."""
        return run(self, flags)

    def loopexit(self, timeout=None):
        """End the loop after *timeout* seconds (``None``: now); due callbacks still run."""
        cdef timeval tv
        base_enter(self)
        if timeout is not None:
            to_timeval(timeout, &tv)
        check(event_base_loopexit(self.base, NULL if timeout is None else &tv))

    def loopbreak(self):
        """End the loop after the callback that runs now; others stay active."""
        base_enter(self)
        check(event_base_loopbreak(self.base))

    def loopcontinue(self):
        """After the callback that runs now, look for new events first."""
        base_enter(self)
        check(event_base_loopcontinue(self.base))

    def got_exit(self):
        """Whether the last loop was ended by :meth:`loopexit`."""
        base_enter(self)
        return bool(event_base_got_exit(self.base))

    def got_break(self):
        """Whether the last loop was ended by :meth:`loopbreak` (or an exception)."""
        base_enter(self)
        return bool(event_base_got_break(self.base))

    @property
    def running(self):
        """Whether some thread is inside dispatch()."""
        return self.base != NULL and pe_base_is_running(self.base)

    def once(self, fd, int what, callback, arg=None, timeout=None):
        """Call ``callback(fd, what, arg)`` once when it happens; nothing to keep.

        :param fd: as for :class:`Event`; -1 or ``None`` with ``EV_TIMEOUT`` alone.
        :param timeout: seconds; without a limit and without an fd: in this turn.
        :raises ValueError: *what* has EV_SIGNAL or EV_PERSIST, or nothing to wait for.
        """
        cdef object ev
        if what & (EV_SIGNAL | EV_PERSIST) or not what & (EV_IO | EV_TIMEOUT):
            raise ValueError(f"once() takes EV_READ, EV_WRITE, EV_CLOSED, EV_TIMEOUT, "
                             f"not {event_flags(what)!r}")
        ev = event_class(self, fd, what, callback, arg)
        if not what & EV_IO and (timeout is None or timeout == 0):
            ev.active(EV_TIMEOUT)
        else:
            ev.add(timeout)

    def call_soon_threadsafe(self, callback, *args):
        """Have the loop call ``callback(*args)`` in its next turn, waking it if it waits.

        From any thread; several calls run in the order in which they were made.
        """
        if not callable(callback):
            raise TypeError(f"callback must be callable, not {callback!r}")
        ev = event_class(self, -1, 0, run_soon, (callback, args))
        ev.active(0)

    def reinit(self):
        """In a forked child: get descriptors of its own now rather than at the next use.

        Needed only after ``set_fork_handling(False)``.
        """
        base_enter(self)
        check(event_reinit(self.base))
        if self.relay_fd >= 0:  # went with its old descriptors
            signal.set_wakeup_fd(-1)
            relay_lost(self)

    # -- asking

    def get_method(self):
        """The name of the backend."""
        base_enter(self)
        return event_base_get_method(self.base).decode()

    method = property(get_method)

    def get_signal_method(self):
        """How signals are caught."""
        base_enter(self)
        return event_base_get_signal_method(self.base).decode()

    def get_features(self):
        """The ``EV_FEATURE_*`` of the backend."""
        base_enter(self)
        return Feature(event_base_get_features(self.base))

    features = property(get_features)

    def get_num_events(self, unsigned int flags):
        """How many events there are of the ``EVENT_BASE_COUNT_*`` kinds."""
        base_enter(self)
        return event_base_get_num_events(self.base, flags)

    def get_max_events(self, unsigned int flags, bint clear=False):
        """How many there ever were at once; *clear* forgets it."""
        base_enter(self)
        return event_base_get_max_events(self.base, flags, clear)

    def priority_init(self, int n):
        """Have priorities 0 (most urgent) to *n* - 1; an event's default is ``n // 2``.

        :raises ValueError: not 1 <= n < 256, or callbacks are due.
        """
        base_enter(self)
        if event_base_priority_init(self.base, n) < 0:
            if errno == 12:
                raise MemoryError("pyevent: out of memory")
            raise ValueError(f"priority_init({n}): 1 to 255, and nothing active in {self!r}")

    def get_npriorities(self):
        """How many priorities there are."""
        base_enter(self)
        return event_base_get_npriorities(self.base)

    def stats(self, bint restart=False):
        """What the loop has done since statistics were first asked for, as a ``dict``.

        ``turns``; ``waits``, those of them that could block, and ``wait_seconds`` in the
        kernel; ``callbacks``, ``callback_seconds``, and by what made them due: ``io``,
        ``timeouts``, ``signals``, ``others``; ``flushes``, turns that wrote output at their
        end; the high-water marks ``most_callbacks`` and ``most_ready`` of one turn, and
        ``max_events``, ``max_active`` since the base was made. *restart* counts from zero
        after this answer. Before the first call nothing is counted.
        """
        cdef const pe_stats *s
        base_enter(self)
        if pe_stats_get(self.base) == NULL:
            check_err(pe_stats_start(self.base), self)
        s = pe_stats_get(self.base)
        found = {
            "turns": s.turns,
            "waits": s.waits,
            "wait_seconds": s.wait_ns * 1e-9,
            "callbacks": s.callbacks,
            "callback_seconds": s.callbacks_ns * 1e-9,
            "io": s.io,
            "timeouts": s.timeouts,
            "signals": s.signals,
            "others": s.others,
            "flushes": s.flushes,
            "most_callbacks": s.most_callbacks,
            "most_ready": s.most_ready,
            "max_events": event_base_get_max_events(self.base, 4, False),
            "max_active": event_base_get_max_events(self.base, 1, False),
        }
        if restart:
            check_err(pe_stats_start(self.base), self)
        return found

    def get_running_event(self):
        """The event whose callback runs now; ``None``: none, or a connection's."""
        base_enter(self)
        return event_of(event_base_get_running_event(self.base))

    def get_events(self):
        """All events that are pending or active, as a list."""
        cdef list found = []
        base_enter(self)
        event_base_foreach_event(self.base, collect_event, <void *>found)
        return [ev for ev in found if ev is not None]

    def foreach_event(self, fn, arg=None):
        """Call ``fn(base, event, arg)`` for each event until it answers neither 0 nor ``None``.

        Returns that answer, or 0. It may change events: those are visited that were
        there at the start.
        """
        for ev in self.get_events():
            result = fn(self, ev, arg)
            if result:
                return result
        return 0

    def dump_events(self, file=None):
        """A readable table of all events, as text; also written to *file* if given."""
        base_enter(self)
        rows = [("kind", "fd", "waits for", "due in", "active", "priority", "callback")]
        for ev in self.get_events():
            rows.append(event_row(ev))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        text = f"{self!r}\n" + "".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() + "\n"
            for row in rows)
        if file is not None:
            file.write(text)
        return text

    def active_by_fd(self, fd, int events):
        """Make what waits on *fd* for one of *events* active, as if the kernel had said so."""
        base_enter(self)
        event_base_active_by_fd(self.base, fd_of(fd), <short>events)

    def active_by_signal(self, int signum):
        """Make the events of a signal active, as if it had been caught once."""
        base_enter(self)
        event_base_active_by_signal(self.base, signum)

    def init_common_timeout(self, seconds):
        """*seconds*, to be given to :meth:`Event.add`: here any timeout is as good.

        libevent makes a queue for timeouts that many events share; in the heap of this
        loop they cost no more in the first place.
        """
        cdef timeval tv
        base_enter(self)
        to_timeval(seconds, &tv)
        if event_base_init_common_timeout(self.base, &tv) == NULL:
            check(-1)
        return seconds

    def gettimeofday_cached(self):
        """Seconds since 1970, inside callbacks those of the turn's wake-up."""
        base_enter(self)
        return (pe_clock_wall() + pe_base_now(self.base) - pe_clock_now()) * 1e-9

    def update_cache_time(self):
        """Renew the time that callbacks see, after a long computation in one."""
        base_enter(self)
        check(event_base_update_cache_time(self.base))

    def gettime_monotonic(self):
        """The clock of timers, now, in seconds."""
        base_enter(self)
        return pe_clock_now() * 1e-9


cdef void take_apart(EventBase self) noexcept:
    """Close all objects of a base in a loop, not one by the other, and then the base."""
    cdef event_base *base = self.base
    if base == NULL or pe_base_is_running(base):
        return  # a running base is never freed: its thread may be asleep for good
    while not pe_list_empty(&self.held) or not pe_list_empty(&self.loose):
        if not pe_list_empty(&self.held):
            take_out(attached_of(self.held.next))
        else:
            take_out(attached_of(self.loose.next))
        if self.base == NULL:
            return  # a finalizer has closed it meanwhile
    self.base = NULL
    event_base_free(base)


cdef void take_out(PyObject *op) noexcept:
    """Close one object of a base, which may be in the middle of its deallocation.

    Then a member's finalizer (or a weakref's callback) has led here, the count of
    references is 0, and it must not come back to 0 in here.
    """
    cdef bint is_dying = Py_REFCNT(op) == 0
    if is_dying:
        Py_SET_REFCNT(op, 1)
    else:
        Py_XINCREF(op)
    detachers[(<Attached>op).kind](<Attached>op)
    detach(<Attached>op)
    if is_dying:
        Py_SET_REFCNT(op, 0)
    else:
        Py_XDECREF(op)


# A base owns a reference to each object in `held`: the collector must see them.
cdef traverse_fn inherited_traverse


cdef int traverse(PyObject *op, visit_fn visit, void *arg) noexcept:
    cdef pe_link *head
    cdef pe_link *at
    cdef int result = inherited_traverse(op, visit, arg)
    if result:
        return result
    head = held_head(op)
    at = head.next
    while at != NULL and at != head:
        result = visit(attached_of(at), arg)
        if result:
            return result
        at = at.next
    return 0


cdef inline pe_link *held_head(PyObject *op) noexcept:
    return <pe_link *>(<char *>op + held_offset)


cdef Py_ssize_t held_offset


cdef int prepare_types() except -1:
    global link_offset, held_offset, inherited_traverse
    cdef Attached one = Attached.__new__(Attached)
    cdef EventBase base = EventBase.__new__(EventBase)
    link_offset = <char *>&one.link - <char *><PyObject *>one
    held_offset = <char *>&base.held - <char *><PyObject *>base
    inherited_traverse = (<TypeObject *>EventBase).tp_traverse
    (<TypeObject *>EventBase).tp_traverse = traverse
    return 0


prepare_types()


# --- running it: the GIL, signals, exceptions -----------------------------------------------

cdef void notice_signals(EventBase self) noexcept:
    """Run Python's signal handlers; what one raises leaves dispatch()."""
    try:
        PyErr_CheckSignals()
    except BaseException as exc:
        stop_with(self, exc)


cdef void wait_returned(void *arg) noexcept:
    notice_signals(<EventBase>arg)


cdef void relay_noticed(void *arg, const unsigned char *data, size_t n) noexcept:
    """Bytes that Python's C handler wrote: one per signal."""
    cdef EventBase self = <EventBase>arg
    if self.forward_to >= 0:
        write(self.forward_to, data, n)  # a full pipe is as good: it is readable
    notice_signals(self)


cdef int set_wakeup(int fd) except -2:
    """signal.set_wakeup_fd; no descriptor if `fd` has become unfit for it. Gives the old one."""
    try:
        return signal.set_wakeup_fd(fd, warn_on_full_buffer=fd < 0)
    except (OSError, ValueError):
        return signal.set_wakeup_fd(-1)


cdef int relay_start(EventBase self) except -1:
    """Have a signal wake the wait: the earlier descriptor goes to forward_to."""
    cdef int fd = check_err(pe_relay_open(self.base, relay_noticed, <void *>self), self)
    self.forward_to = signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
    self.relay_fd = fd
    relaying.append(self)
    return 0


cdef void relay_mended(void *arg) noexcept:
    """In a forked child that goes on with the loop: a relay of its own."""
    cdef EventBase self = <EventBase>arg
    self.hooks.mend = False
    try:
        self.relay_fd = check_err(pe_relay_open(self.base, relay_noticed, arg), self)
        signal.set_wakeup_fd(self.relay_fd, warn_on_full_buffer=False)
    except BaseException as exc:
        stop_with(self, exc)


cdef int relay_stop(EventBase self) except -1:
    cdef int current = set_wakeup(self.forward_to)
    cdef unsigned char data[256]
    cdef size_t n = pe_relay_take(self.base, data, sizeof(data))
    if current >= 0 and current != self.relay_fd:
        signal.set_wakeup_fd(current)  # somebody's own, set in a callback: theirs stays
    elif self.forward_to >= 0 and n > 0:
        write(self.forward_to, data, n)  # of signals in the last callbacks
    self.relay_fd = self.forward_to = -1
    self.hooks.mend = False
    relaying.remove(self)
    return 0


cdef int run(EventBase self, int flags) except -1:
    cdef int result, error
    base_enter(self)
    if pe_base_is_running(self.base):
        raise RuntimeError(f"{self!r} runs already")
    raise_failure(self)  # of a callback that ran outside the loop
    if not flags & EVLOOP_NONBLOCK and threading.current_thread() is threading.main_thread():
        relay_start(self)
    try:
        result = event_base_loop(self.base, flags)
        error = errno
    finally:
        if self.relay_fd >= 0 or self.hooks.mend:
            relay_stop(self)
    raise_failure(self)
    if result < 0:
        check_err(-error, self)
    return result


cdef int raise_failure(EventBase self) except -1:
    cdef object failure = self.failure
    self.failure = None
    if failure is not None:
        raise failure
    return 0


cdef list relaying = []  # bases that run in the main thread, outermost first
cdef bint handles_fork = True


cdef int relay_lost(EventBase self) except -1:
    """Its relay is closed: a running base opens another before its next wait."""
    self.relay_fd = -1
    if self.base != NULL and pe_base_is_running(self.base):
        self.hooks.mend = True
        if self is not relaying[0]:
            self.forward_to = -1  # the relay of the one outside it, which is gone
    else:
        self.forward_to = -1
        relaying.remove(self)  # its thread stayed in the parent
    return 0


def set_fork_handling(bint on):
    """Whether a forked child sees to the bases that it inherits; it does unless told not to.

    It closes its copies of their descriptors at once, which disturbs nothing of the
    parent's, and a base gets new ones when it is first used there. With ``False`` a base
    of the parent must not be used in a child, nor closed, before its
    :meth:`EventBase.reinit`: they share what they wait with. For programs whose
    children end or call exec at once, and that have very many bases.

    :returns: what held before.
    """
    global handles_fork
    before = handles_fork
    handles_fork = on
    return before


def _after_fork_in_child():
    """No base disturbs the parent's; the one that this thread runs goes on by itself."""
    cdef EventBase base
    if not handles_fork:
        return
    pe_bases_let_go_after_fork()
    if not relaying:
        return
    signal.set_wakeup_fd(-1)  # the inherited one leads to the parent
    for base in list(relaying):
        relay_lost(base)


os.register_at_fork(after_in_child=_after_fork_in_child)
