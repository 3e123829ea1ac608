"""Running a base: who may, Python's signals meanwhile, and a fork in the middle of it.

A base is idle, starting, running or closing (base_state in loop/eventbase.pxd). dispatch() and close()
look at that and set it before any Python code can run, since that code, or another
thread during it, may call dispatch() or close(), too: the second to come is refused.

Bases that are not idle are in one list, in the order in which they became so; a forked child
goes through it for those whose thread has stayed in the parent. The list, as all of a base,
is touched with the GIL only.
"""

from cpython.object cimport PyObject
from libc.errno cimport errno
from posix.unistd cimport write

from pyevent._native.base.arguments cimport check_err
from pyevent._native.c.event cimport *
from pyevent._native.loop.calling cimport raise_failure, stop_with
from pyevent._native.loop.eventbase cimport (
    BASE_IDLE,
    BASE_RUNNING,
    BASE_STARTING,
    EventBase,
    base_enter,
    leave,
)

import os
import signal
import threading


cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1
    unsigned long this_thread "PyThread_get_thread_ident"()


cdef enum:
    MAX_LOOPS = 100  # inside one another in a thread: Python does not measure their stack


# Where Python runs signal handlers. Asking threading each time would run Python code.
cdef unsigned long main_thread = threading.main_thread().ident

cdef pe_link busy
cdef Py_ssize_t busy_offset


cdef inline EventBase base_of(pe_link *link):
    return <EventBase><PyObject *>(<char *>link - busy_offset)


cdef int prepare() except -1:
    global busy_offset
    cdef EventBase one = EventBase.__new__(EventBase)
    pe_list_init(&busy)
    busy_offset = <char *>&one.busy - <char *><PyObject *>one
    return 0


prepare()


# --- states ------------------------------------------------------------------------------

cdef void begin(EventBase self, int state) noexcept:
    self.state = <unsigned char>state
    self.thread = this_thread()
    pe_list_push_back(&busy, &self.busy)


cdef void end(EventBase self) noexcept:
    self.state = BASE_IDLE
    pe_list_remove(&self.busy)


cdef bint is_busy(EventBase self) noexcept:
    # The C core's own word counts, too: in a child without fork handling it still stands.
    return (self.state == BASE_STARTING or self.state == BASE_RUNNING
            or self.base != NULL and pe_base_is_running(self.base))


cdef bint is_ours(EventBase self) noexcept:
    return self.state != BASE_IDLE and self.thread == this_thread()


cdef int loops_of_this_thread() noexcept:
    cdef pe_link *at = busy.next
    cdef int n = 0
    while at != &busy:
        n += is_ours(base_of(at))
        at = at.next
    return n


cdef int run(EventBase self, int flags) except -1:
    cdef event_base *base = base_enter(self)
    cdef bint is_free = self.state == BASE_IDLE and not pe_base_is_running(base)
    cdef int result
    if is_free:
        begin(self, BASE_STARTING)
    leave(self, 0)
    if not is_free:
        raise RuntimeError(f"{self!r} runs already")
    try:
        raise_failure(self)  # of a callback that ran outside the loop
        if loops_of_this_thread() > MAX_LOOPS:
            raise RecursionError("too many loops inside one another")
        result = run_begun(self, base, flags)
    finally:
        end(self)
    raise_failure(self)
    return check_err(result, self)


cdef int run_begun(EventBase self, event_base *base, int flags) except? -1:
    """What the loop answers, or a negative errno. Nobody frees `base` before this returns."""
    cdef int result
    try:
        if not flags & EVLOOP_NONBLOCK and self.thread == main_thread:
            selfpipe_start(self)
        self.state = BASE_RUNNING
        result = event_base_loop(base, flags)
        if result < 0:
            result = -errno
    finally:
        if self.has_selfpipe:
            selfpipe_stop(self)
    return result


# --- signals -------------------------------------------------------------------------------

cdef void notice_signals(EventBase self) noexcept:
    """Run Python's signal handlers; what one raises leaves dispatch()."""
    try:
        PyErr_CheckSignals()
    except BaseException as exc:
        stop_with(self, exc)


cdef void wait_returned(void *arg) noexcept:
    notice_signals(<EventBase>arg)


cdef void selfpipe_noticed(void *arg, const unsigned char *data, size_t n) noexcept:
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


cdef int selfpipe_start(EventBase self) except -1:
    """Have a signal wake the wait: the earlier descriptor goes to forward_to."""
    cdef int fd = pe_selfpipe_open(self.base, selfpipe_noticed, <void *>self)
    check_err(fd, self)
    try:
        self.forward_to = signal.set_wakeup_fd(fd, warn_on_full_buffer=False)
    except ValueError:
        return 0  # Python says that another thread is the main one
    self.selfpipe_fd = fd
    self.has_selfpipe = True
    return 0


cdef void selfpipe_mended(void *arg) noexcept:
    """In a forked child that goes on with the loop: a self-pipe of its own."""
    cdef EventBase self = <EventBase>arg
    self.hooks.mend = False
    try:
        self.selfpipe_fd = check_err(pe_selfpipe_open(self.base, selfpipe_noticed, arg), self)
        signal.set_wakeup_fd(self.selfpipe_fd, warn_on_full_buffer=False)
    except BaseException as exc:
        stop_with(self, exc)


cdef int selfpipe_stop(EventBase self) except -1:
    cdef unsigned char data[256]
    cdef size_t n
    cdef int current
    try:
        current = set_wakeup(self.forward_to)
        n = pe_selfpipe_take(self.base, data, sizeof(data))
        if current >= 0 and current != self.selfpipe_fd:
            signal.set_wakeup_fd(current)  # somebody's own, set in a callback: theirs stays
        elif self.forward_to >= 0 and n > 0:
            write(self.forward_to, data, n)  # of signals in the last callbacks
    finally:
        self.selfpipe_fd = self.forward_to = -1
        self.hooks.mend = False
        self.has_selfpipe = False
    return 0


# --- forks ---------------------------------------------------------------------------------

cdef bint handles_fork = True


cdef bint is_outermost(EventBase self) noexcept:
    """Of those whose self-pipe Python writes, or wrote, to."""
    cdef pe_link *at = busy.next
    while at != &busy:
        if base_of(at).has_selfpipe:
            return base_of(at) is self
        at = at.next
    return True


cdef void selfpipe_lost(EventBase self) noexcept:
    """Its self-pipe is closed: a running base opens another before its next wait."""
    self.selfpipe_fd = -1
    if is_ours(self):
        self.hooks.mend = True
        if not is_outermost(self):
            self.forward_to = -1  # the self-pipe of the one outside it, which is gone
    else:
        self.forward_to = -1
        self.has_selfpipe = False  # its thread has stayed in the parent


cdef int signals_lost(EventBase self) except -1:
    if self.has_selfpipe:
        signal.set_wakeup_fd(-1)
        selfpipe_lost(self)
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


cdef bint settle() noexcept:
    """Bases that other threads had to themselves are idle: those threads stayed in the parent.
    Whether one had Python write to its self-pipe."""
    cdef pe_link *at = busy.next
    cdef EventBase base
    cdef bint found = False
    while at != &busy:
        base = base_of(at)
        at = at.next
        found |= base.has_selfpipe
        if handles_fork and base.has_selfpipe:
            selfpipe_lost(base)
        if not is_ours(base):
            base.depth = 0
            end(base)
    return found


def _after_fork_in_child():
    """No base disturbs the parent's; the one that this thread runs goes on by itself."""
    global main_thread
    main_thread = this_thread()
    if handles_fork:
        pe_bases_let_go_after_fork()
    if settle() and handles_fork:
        signal.set_wakeup_fd(-1)  # the inherited one leads to the parent


os.register_at_fork(after_in_child=_after_fork_in_child)
