"""The base: a loop, its events and its state.

The GIL: the core is entered with it and gives it up around the kernel wait
only. Any call out of the core may run any other thread, or re-enter.
"""

from cpython.object cimport PyObject
from libc.errno cimport EBUSY, ENOMEM, errno
from libc.stdint cimport int64_t
from libc.string cimport memset
from posix.time cimport timeval

from pyevent._native.base.arguments cimport check_err, event_flags, fd_of, to_ns, to_timeval
from pyevent._native.c.event cimport *
from pyevent._native.c.mem cimport pe_clock_now, pe_clock_wall
from pyevent._native.loop.attached cimport take_all_out
from pyevent._native.loop.calling cimport (
    checked_handler,
    default_handler,
    load_errors,
    raise_failure,
    soon,
)
from pyevent._native.loop.config cimport EventConfig, config_enter, config_for
from pyevent._native.loop.running cimport (
    begin,
    end,
    is_busy,
    is_ours,
    run,
    selfpipe_mended,
    signals_lost,
    wait_returned,
)

from pyevent.constants import Feature


cdef extern from "Python.h":
    int PyErr_ResourceWarning(PyObject *source, Py_ssize_t stack_level, const char *format,
                              ...) except -1


cdef int EV_IO = EV_READ | EV_WRITE | EV_CLOSED


cdef event_base *base_enter(EventBase self) except NULL:
    if self is None:
        raise TypeError("an EventBase is needed, not None")
    if self.base == NULL:
        raise RuntimeError(f"{self!r}: it is closed, or was never opened")
    if self.state == BASE_CLOSING:  # so that it comes to an end: nothing is added any more
        raise RuntimeError(f"{self!r} is being closed")
    return self.base


cdef int base_require(EventBase self) except -1:
    """For what is answered without the C core."""
    base_enter(self)
    return leave(self, 0)


# --- events, which are another module's --------------------------------------------------

cdef object event_class
cdef event_of_fn event_of
cdef event_row_fn event_row


cdef int provide_events(object cls, event_of_fn of, event_row_fn row) except -1:
    """Told by loop/event.pyx when it is loaded, right after this one."""
    global event_class, event_of, event_row
    event_class = cls
    event_of = of
    event_row = row
    return 0


cdef int collect_event(const event_base *base, const event *ev, void *arg) noexcept:
    try:
        (<list>arg).append(event_of(ev))  # which runs no code
    except MemoryError:
        errno = ENOMEM
        return -1
    return 0


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
        pe_list_init(&self.busy)
        self.selfpipe_fd = self.forward_to = -1

    def __init__(self, EventConfig config=None, *, str backend=None, exception_handler=None,
                 slow_callback=None):
        cdef int64_t slow_ns = limit_of(slow_callback)
        cdef object handler = checked_handler(exception_handler)
        cdef const event_config *cfg = NULL
        cdef event_base *base
        if backend is not None:
            if config is not None:
                raise ValueError("give a config or a backend, not both")
            config = config_for(backend)
        load_errors()
        if config is not None:
            cfg = config_enter(config)
        if self.base != NULL:
            raise RuntimeError(f"{self!r} is open already")
        base = event_base_new_with_config(cfg)
        if base == NULL:
            check_err(-errno, backend if backend is not None else config)
        if self.base != NULL:  # by a log callback, which was told the new one's backend
            event_base_free(base)
            raise RuntimeError(f"{self!r} is open already")
        self.hooks.base = <void *>self
        self.hooks.mended = selfpipe_mended
        self.hooks.returned = wait_returned
        event_base_set_wait_hooks(base, pe_py_before_wait, pe_py_after_wait, &self.hooks)
        self.base = base
        self.slow_ns = slow_ns
        handler, self.handler = self.handler, handler  # what it was is dropped last

    def __dealloc__(self):
        take_apart(self)

    def __del__(self):
        if self.base == NULL:
            return
        try:
            PyErr_ResourceWarning(<PyObject *>self, 1, "unclosed %R", <PyObject *>self)
        finally:
            take_apart(self)
            report_end(self)

    def __reduce__(self):
        raise TypeError(f"cannot pickle or copy {type(self).__name__!r} objects")

    def __enter__(self):
        base_require(self)
        return self

    def __exit__(self, *exc_info):
        self.close()

    def __repr__(self):
        cdef str name = type(self).__name__
        cdef event_base *base = self.base
        cdef const char *method
        cdef bint is_running
        cdef int count
        if base == NULL:
            return f"<{name} closed>"
        method = event_base_get_method(base)
        is_running = pe_base_is_running(base)
        count = event_base_get_num_events(base, 4)
        return f"<{name} {method.decode()}{' running' if is_running else ''} events={count}>"

    def close(self):
        """Delete all events, close all connections and listeners, free the base.

        Closing again does nothing. A :exc:`ResourceWarning` tells of calls of
        :meth:`call_soon_threadsafe` that have not run, and will not.

        :raises RuntimeError: it is running, or another thread is closing it.
        """
        if self.base == NULL or self.state == BASE_CLOSING and is_ours(self):
            return
        if self.state == BASE_CLOSING:
            raise RuntimeError(f"{self!r} is being closed by another thread")
        if is_busy(self):
            raise RuntimeError(f"{self!r} cannot be closed while it runs; loopexit() it first")
        take_apart(self)
        report_end(self)

    free = close

    @property
    def closed(self):
        """Whether it has been closed, or is being closed."""
        return self.base == NULL or self.state == BASE_CLOSING

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
        base_require(self)
        return self.handler

    @exception_handler.setter
    def exception_handler(self, handler):
        handler = checked_handler(handler)
        base_require(self)
        handler, self.handler = self.handler, handler

    def default_exception_handler(self, dict context not None):
        """Do what is done without a handler: log, and close a failed connection.

        Where logging fails, the exception is told to :func:`sys.unraisablehook`.
        """
        context = {key: context.get(key) for key in ("message", "exception", "source", "callback")}
        if not isinstance(context["exception"], BaseException):
            raise TypeError("context['exception'] must be an exception, "
                            f"not {context['exception']!r}")
        base_require(self)
        default_handler(self, context)

    @property
    def slow_callback(self):
        """Seconds from which on a callback counts as slow and is logged; ``None``: never."""
        base_require(self)
        return self.slow_ns * 1e-9 if self.slow_ns else None

    @slow_callback.setter
    def slow_callback(self, seconds):
        cdef int64_t ns = limit_of(seconds)
        base_require(self)
        self.slow_ns = ns

    # -- running

    def dispatch(self, *, bint forever=False):
        """Run until no event is left or somebody ends the loop.

        :param forever: with no event left, wait for those that other threads add, as
            :meth:`call_soon_threadsafe` does, until somebody ends the loop.
        :returns: 0 if it was ended, 1 if nothing was left to wait for.
        :raises RuntimeError: it is closed, or runs already.
        :raises OSError: the backend failed.
        """
        return run(self, EVLOOP_NO_EXIT_ON_EMPTY if forever else 0)

    def loop(self, int flags=0):
        """As :meth:`dispatch`, with ``EVLOOP_*`` flags."""
        return run(self, flags)

    def loopexit(self, timeout=None):
        """End the loop after *timeout* seconds (``None``: now); due callbacks still run."""
        cdef timeval tv
        cdef timeval *limit = NULL
        if timeout is not None:
            to_timeval(timeout, &tv)
            limit = &tv
        leave(self, event_base_loopexit(base_enter(self), limit))

    def loopbreak(self):
        """End the loop after the callback that runs now; others stay active."""
        leave(self, event_base_loopbreak(base_enter(self)))

    def loopcontinue(self):
        """After the callback that runs now, look for new events first."""
        leave(self, event_base_loopcontinue(base_enter(self)))

    def got_exit(self):
        """Whether the last loop was ended by :meth:`loopexit`."""
        return leave(self, event_base_got_exit(base_enter(self))) != 0

    def got_break(self):
        """Whether the last loop was ended by :meth:`loopbreak` (or an exception)."""
        return leave(self, event_base_got_break(base_enter(self))) != 0

    @property
    def running(self):
        """Whether some thread is inside dispatch()."""
        base_require(self)
        return is_busy(self)

    def once(self, fd, int what, callback, arg=None, timeout=None):
        """Call ``callback(fd, what, arg)`` once when it happens; nothing to keep.

        :param fd: as for :class:`Event`; -1 or ``None`` with ``EV_TIMEOUT`` alone.
        :param timeout: seconds; without a limit and without an fd: in this turn.
        :raises ValueError: *what* has EV_SIGNAL or EV_PERSIST, or nothing to wait for.
        """
        cdef object ev
        cdef bint is_due = not what & EV_IO and (timeout is None or to_ns(timeout) == 0)
        if what & (EV_SIGNAL | EV_PERSIST) or not what & (EV_IO | EV_TIMEOUT):
            raise ValueError(f"once() takes EV_READ, EV_WRITE, EV_CLOSED, EV_TIMEOUT, "
                             f"not {event_flags(what)!r}")
        ev = event_class(self, fd, what, callback, arg)
        if is_due:
            ev.active(EV_TIMEOUT)
        else:
            ev.add(timeout)

    def call_soon_threadsafe(self, callback, *args):
        """Have the loop call ``callback(*args)`` in its next turn, waking it if it waits.

        From any thread, and also before :meth:`dispatch`; several calls run in the order in
        which they were made. A loop that may be without an event when the first call is
        made is run with ``dispatch(forever=True)``.
        """
        if not callable(callback):
            raise TypeError(f"callback must be callable, not {callback!r}")
        ev = event_class(self, -1, 0, soon, (callback, args))
        ev.active(0)

    def reinit(self):
        """In a forked child: get descriptors of its own now rather than at the next use.

        Needed only after ``set_fork_handling(False)``.

        :raises RuntimeError: it runs in another thread, which may be waiting with the old ones.
        """
        cdef event_base *base = base_enter(self)
        cdef bint is_free = self.state == BASE_IDLE or is_ours(self)
        cdef int error = 0
        if is_free and event_reinit(base) < 0:
            error = -errno
        leave(self, 0)
        if not is_free:
            raise RuntimeError(f"{self!r} runs in another thread")
        if error == -EBUSY:
            raise RuntimeError(f"{self!r} is waiting")
        signals_lost(self)
        check_err(error, self)

    # -- asking

    def get_method(self):
        """The name of the backend."""
        cdef const char *name = event_base_get_method(base_enter(self))
        leave(self, 0)
        return name.decode()

    method = property(get_method)

    def get_signal_method(self):
        """How signals are caught."""
        cdef const char *name = event_base_get_signal_method(base_enter(self))
        leave(self, 0)
        return name.decode()

    def get_features(self):
        """The ``EV_FEATURE_*`` of the backend."""
        return Feature(leave(self, event_base_get_features(base_enter(self))))

    features = property(get_features)

    def get_num_events(self, unsigned int flags):
        """How many events there are of the ``EVENT_BASE_COUNT_*`` kinds."""
        return leave(self, event_base_get_num_events(base_enter(self), flags))

    def get_max_events(self, unsigned int flags, bint clear=False):
        """How many there ever were at once; *clear* forgets it."""
        return leave(self, event_base_get_max_events(base_enter(self), flags, clear))

    def priority_init(self, int n):
        """Have priorities 0 (most urgent) to *n* - 1; an event's default is ``n // 2``.

        :raises ValueError: not 1 <= n < 256, or callbacks are due.
        """
        cdef int result = event_base_priority_init(base_enter(self), n)
        if result < 0 and errno != ENOMEM:
            leave(self, 0)
            raise ValueError(f"priority_init({n}): 1 to 255, and nothing active in {self!r}")
        leave(self, result)

    def get_npriorities(self):
        """How many priorities there are."""
        return leave(self, event_base_get_npriorities(base_enter(self)))

    def stats(self, bint restart=False):
        """What the loop has done since statistics were first asked for, as a ``dict``.

        ``turns``; ``waits``, those of them that could block, and ``wait_seconds`` in the
        kernel; ``callbacks``, ``callback_seconds``, and by what made them due: ``io``,
        ``timeouts``, ``signals``, ``others``; ``flushes``, turns that wrote output at their
        end; the high-water marks ``most_callbacks`` and ``most_ready`` of one turn, and
        ``max_events``, ``max_active`` since the base was made. *restart* counts from zero
        after this answer. Before the first call nothing is counted.
        """
        cdef event_base *base = base_enter(self)
        cdef int max_events = event_base_get_max_events(base, 4, False)
        cdef int max_active = event_base_get_max_events(base, 1, False)
        cdef int result = 0
        cdef pe_stats s
        memset(&s, 0, sizeof(s))
        if pe_stats_get(base) == NULL:
            result = pe_stats_start(base)
        if result == 0:
            s = pe_stats_get(base)[0]
            if restart:
                result = pe_stats_start(base)
        leave(self, 0)
        check_err(result, self)
        return {
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
            "max_events": max_events,
            "max_active": max_active,
        }

    def get_running_event(self):
        """The event whose callback runs now; ``None``: none, or a connection's."""
        found = event_of(event_base_get_running_event(base_enter(self)))
        leave(self, 0)
        return found

    def get_events(self):
        """All events that are pending or active, as a list."""
        cdef list found = []
        leave(self, event_base_foreach_event(base_enter(self), collect_event, <void *>found))
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
        cdef list rows = [("kind", "fd", "waits for", "due in", "active", "priority", "callback")]
        cdef list found
        cdef object write = getattr(file, "write", None)
        if file is not None and not callable(write):
            raise TypeError(f"file must have a write(), or be None: {file!r}")
        found = self.get_events()
        title = repr(self)
        for ev in found:
            row = event_row(ev)
            if row is not None:  # it was not closed meanwhile, by the repr() of another's callback
                rows.append(row)
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        text = f"{title}\n" + "".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() + "\n"
            for row in rows)
        if file is not None:
            write(text)
        return text

    def active_by_fd(self, fd, int events):
        """Make what waits on *fd* for one of *events* active, as if the kernel had said so."""
        cdef int number = fd_of(fd)
        event_base_active_by_fd(base_enter(self), number, <short>events)
        leave(self, 0)

    def active_by_signal(self, int signum):
        """Make the events of a signal active, as if it had been caught once."""
        event_base_active_by_signal(base_enter(self), signum)
        leave(self, 0)

    def init_common_timeout(self, seconds):
        """*seconds*, to be given to :meth:`Event.add`: here any timeout is as good.

        libevent makes a queue for timeouts that many events share; in the heap of this
        loop they cost no more in the first place.
        """
        cdef timeval tv
        to_timeval(seconds, &tv)
        leave(self, 0 if event_base_init_common_timeout(base_enter(self), &tv) != NULL else -1)
        return seconds

    def gettimeofday_cached(self):
        """Seconds since 1970, inside callbacks those of the turn's wake-up."""
        cdef int64_t now = pe_base_now(base_enter(self))
        leave(self, 0)
        return (pe_clock_wall() + now - pe_clock_now()) * 1e-9

    def update_cache_time(self):
        """Renew the time that callbacks see, after a long computation in one."""
        leave(self, event_base_update_cache_time(base_enter(self)))

    def gettime_monotonic(self):
        """The clock of timers, now, in seconds."""
        base_require(self)
        return pe_clock_now() * 1e-9


cdef int64_t limit_of(object slow_callback) except -1:
    return 0 if slow_callback is None else max(to_ns(slow_callback), 1)


# --- the end of a base -------------------------------------------------------------------

cdef void take_apart(EventBase self) noexcept:
    """Close all objects of a base, and then the base."""
    cdef event_base *base = self.base
    if base == NULL or self.state != BASE_IDLE or pe_base_is_running(base):
        return  # a running base is never freed: its thread may be asleep for good
    begin(self, BASE_CLOSING)
    take_all_out(self)
    self.base = NULL
    end(self)
    event_base_free(base)


cdef int report_end(EventBase self) except -1:
    """What the finalizers of its objects have raised, and what it did not come to."""
    cdef int unrun = self.unrun
    self.unrun = 0
    try:
        if unrun != 0:
            PyErr_ResourceWarning(<PyObject *>self, 1, "%R: %d calls of call_soon_threadsafe() "
                                  "had not run when it was closed", <PyObject *>self, unrun)
    finally:
        raise_failure(self)
    return 0
