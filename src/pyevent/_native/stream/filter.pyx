"""Filters and pairs.

A Filter keeps the connection below alive (in the place where others have the object
that owns their descriptor), and is itself held by the base while it has callbacks, as
any connection. The C filter has a borrowed pointer to it as context, and is freed
before it goes. One that is not held may be called in the middle of its deallocation,
if a subclass's finalizer has not called ours: then there is nothing to filter.

Closing what is below together with the filter is done here, not in C: the Python object
below must see it, and live until the last of its output is written.

The ends of a pair know each other by weak references.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.errno cimport ELOOP, ENOMEM, EPROTO, errno

from pyevent._native.base.arguments cimport check, check_err
from pyevent._native.buf.owned cimport buffer_view
from pyevent._native.c.buffer cimport evbuffer
from pyevent._native.c.stream cimport *
from pyevent._native.loop.attached cimport Attached, register_kind, unhold
from pyevent._native.loop.calling cimport call_failed, call_out, checked_callback
from pyevent._native.loop.eventbase cimport EventBase, base_enter
from pyevent._native.stream.bufferevent cimport (
    BufferEvent,
    bev_adopt,
    bev_detach,
    bev_kind,
    bev_let_go,
    bev_unmade,
    refuse_made,
)
from pyevent._native.stream.endpoint cimport bev_enter
from pyevent._native.stream.limits cimport bev_limit, bev_limits, limits_of, no_pause_by_default
from pyevent._native.stream.upcalls cimport bev_end, bev_stays_for_output, methods_of, overrides

import weakref

from pyevent.constants import FlushMode


cdef extern from "Python.h":
    void PyErr_SetObject(object kind, object value)
    Py_ssize_t Py_REFCNT(PyObject *)


cdef tuple MODES = tuple(FlushMode)


# --- calling filter functions ---------------------------------------------------------

cdef int failed(Filter self, object function) noexcept:
    """An exception is set: tell the handler. The connection is not closed for it: the
    filter's event callback hears of an error."""
    global errno
    cdef unsigned char closes = self.closes_on_failure
    self.closes_on_failure = False
    call_failed(self.owner, self, function, "exception in filter")
    self.closes_on_failure = closes
    errno = EPROTO
    return BEV_ERROR


cdef int run(Filter self, object function, evbuffer *src, BufferEvent src_of,
             PyObject **src_view, evbuffer *dst, BufferEvent dst_of, PyObject **dst_view,
             Py_ssize_t limit, int mode) noexcept:
    global errno
    cdef object called = function  # held: the filter may be closed in here
    cdef object source, target, most, how, user_arg
    cdef PyObject *args[5]
    cdef PyObject *result
    cdef object value
    cdef int how_far
    if called is None:
        return BEV_NEED_MORE
    try:
        source = buffer_view(src, src_of, src_view)
        target = buffer_view(dst, dst_of, dst_view)
        most = limit
        how = MODES[mode]
    except MemoryError:
        errno = ENOMEM
        return BEV_ERROR
    user_arg = self.filter_arg
    args[0] = <PyObject *>source
    args[1] = <PyObject *>target
    args[2] = <PyObject *>most
    args[3] = <PyObject *>how
    args[4] = <PyObject *>user_arg
    result = call_out(self.owner, self, called, args, 5)
    if result == NULL:
        return failed(self, called)
    value = <object>result
    Py_DECREF(value)
    try:
        how_far = result_of(value)
    except BaseException as exc:
        PyErr_SetObject(type(exc), exc)
        return failed(self, called)
    errno = EPROTO  # where that is BEV_ERROR
    return how_far


cdef int result_of(object value) except -1:
    if not isinstance(value, int) or not BEV_OK <= value <= BEV_ERROR:
        raise TypeError(f"a filter returns BEV_OK, BEV_NEED_MORE or BEV_ERROR, not {value!r}")
    return value


cdef bint is_whole(Filter self, BufferEvent under) noexcept:
    """Whether it filters; False: it is being taken apart."""
    return self.bev != NULL and under is not None and under.bev != NULL


cdef bufferevent_filter_result filter_input(evbuffer *src, evbuffer *dst, Py_ssize_t limit,
                                            bufferevent_flush_mode mode, void *ctx) noexcept:
    cdef Filter self
    cdef BufferEvent under
    cdef int how_far = BEV_NEED_MORE
    if Py_REFCNT(<PyObject *>ctx) != 0:
        self = <Filter>ctx
        under = self.file
        if is_whole(self, under):
            how_far = run(self, self.input_filter, src, under, &under.input_view,
                          dst, self, &self.input_view, limit, <int>mode)
    return <bufferevent_filter_result>how_far


cdef bufferevent_filter_result filter_output(evbuffer *src, evbuffer *dst, Py_ssize_t limit,
                                             bufferevent_flush_mode mode, void *ctx) noexcept:
    cdef Filter self
    cdef BufferEvent under
    cdef int how_far = BEV_NEED_MORE
    if Py_REFCNT(<PyObject *>ctx) != 0:
        self = <Filter>ctx
        under = self.file
        if is_whole(self, under):
            how_far = run(self, self.output_filter, src, self, &self.output_view,
                          dst, under, &under.output_view, limit, <int>mode)
    return <bufferevent_filter_result>how_far


# --- filters ------------------------------------------------------------------------------

cdef void filter_detach(Attached one) noexcept:
    cdef Filter self = <Filter>one
    cdef BufferEvent under = self.file if self.closes_under else None
    filter_close(self)
    close_below(under)


cdef void filter_close(Filter self) noexcept:
    """Close it alone."""
    # What is dropped last.
    cdef object input_filter = self.input_filter, output_filter = self.output_filter
    cdef object user_arg = self.filter_arg
    self.input_filter = self.output_filter = self.filter_arg = None
    bev_detach(self)


cdef void close_below(BufferEvent under) noexcept:
    """Close what a filter was over, and what that is over if it goes with it: any number of
    filters, one after the other."""
    cdef BufferEvent below
    while under is not None and under.bev != NULL:
        if under.kind != filter_kind or overrides(under, BufferEvent, "close"):
            bev_end(under)
            return
        if bev_stays_for_output(under):
            return
        below = under.file if (<Filter>under).closes_under else None
        filter_close(<Filter>under)
        under = below


cdef int filter_kind = register_kind(filter_detach)


@cython.trashcan(True)  # a chain of them through `arg` may be of any length
cdef class Filter(BufferEvent):
    """A connection whose bytes go through two functions and another connection.

    :param underlying: the :class:`BufferEvent` below. Its callbacks are the filter's from
        now on, and both its directions are enabled; it reads while the filter does.
    :param input_filter: ``input_filter(src, dst, limit, mode, arg)`` takes bytes from the
        :class:`Buffer` *src* and adds what they become to *dst*, about *limit* bytes at
        most (-1: no limit). *mode* is BEV_NORMAL, BEV_FLUSH (keep nothing back) or
        BEV_FINISHED (nothing will follow; *src* may be empty). It returns BEV_OK,
        BEV_NEED_MORE or BEV_ERROR. ``None``: input is passed on as it is.
    :param output_filter: the same for output.
    :param options: with BEV_OPT_CLOSE_ON_FREE closing the filter also closes *underlying*,
        when its output has been written; else that lives on without callbacks.
    :param arg: passed on to both functions.
    :param max_input: as of a :class:`BufferEvent`; so are the others.
    :raises RuntimeError: *underlying* is closed, or has a filter already, or 64 filters
        stand one over the other.

    BEV_ERROR comes to the event callback as BEV_EVENT_ERROR. So does an exception, which
    also goes to the base's exception handler. End of file below is told when all input
    before it has been filtered. Freed with output that was not filtered, because writing
    is disabled or the high mark below was reached, it loses that.
    """

    def __init__(self, BufferEvent underlying not None, input_filter=None, output_filter=None,
                 int options=0, arg=None, *, max_input=..., max_output=..., resume_output=...):
        cdef bufferevent_filter_cb run_input = NULL
        cdef bufferevent_filter_cb run_output = NULL
        cdef bufferevent *bev
        cdef bufferevent *under
        cdef bev_limits limits
        cdef object readcb, writecb, eventcb, user_arg  # of `underlying`, dropped last
        cdef int calls = methods_of(type(self), Filter)
        cdef int err
        limits_of(type(self), BufferEvent, max_input, max_output, resume_output, ..., &limits)
        no_pause_by_default(&limits)
        checked_callback(input_filter, "input_filter")
        checked_callback(output_filter, "output_filter")
        refuse_made(self)
        under = bev_enter(underlying)
        if pe_bufferevent_is_filtered(under):
            raise RuntimeError(f"{underlying!r} has a filter already")
        if input_filter is not None:
            run_input = filter_input
        if output_filter is not None:
            run_output = filter_output
        bev = bufferevent_filter_new(under, run_input, run_output,
                                     options & ~BEV_OPT_CLOSE_ON_FREE, NULL, <void *>self)
        err = -errno if bev == NULL else bev_limit(bev, &limits)
        if err == 0 and underlying.bev != NULL and self.owner is None:
            readcb, writecb = underlying.readcb, underlying.writecb
            eventcb, user_arg = underlying.eventcb, underlying.user_arg
            underlying.uses_methods = False
            underlying.readcb = underlying.writecb = underlying.eventcb = None
            underlying.user_arg = None
            self.closes_under = (options & BEV_OPT_CLOSE_ON_FREE) != 0
            self.input_filter = input_filter
            self.output_filter = output_filter
            self.filter_arg = arg
            self.file = underlying
            bev_adopt(self, underlying.owner, bev, filter_kind, calls, &limits)
            unhold(underlying)
            return
        if bev != NULL:
            bufferevent_free(bev)
        # Enabling what is below may run code, if that is an end of a pair.
        bev_enter(underlying)
        refuse_made(self)
        if err == -ELOOP:
            raise RuntimeError(f"{underlying!r}: too many filters one over the other")
        check_err(err, underlying)

    def __del__(self):
        cdef BufferEvent under = self.file if self.closes_under else None
        if self.bev == NULL or self.is_held:
            return
        bev_let_go(self)
        close_below(under)

    def __dealloc__(self):
        cdef BufferEvent under = self.file if self.closes_under else None
        if self.bev != NULL:  # a subclass's finalizer has not called ours
            bev_let_go(self)
            close_below(under)

    def get_filters(self):
        """``(input_filter, output_filter, arg)`` as they were given."""
        bev_enter(self)
        return self.input_filter, self.output_filter, self.filter_arg


# --- pairs ----------------------------------------------------------------------------------

def _new_pair(type cls, EventBase base not None, int options, size_t input_max,
              size_t pause_high, size_t pause_low, unsigned short lookups_max):
    """Two of `cls`, a subclass of BufferEvent, without calling its __init__; 0: no limit."""
    cdef bufferevent *pair[2]
    cdef bev_limits limits
    cdef int calls = methods_of(cls, BufferEvent)
    cdef BufferEvent first = bev_unmade(cls)
    cdef BufferEvent second = bev_unmade(cls)
    cdef object of_first = weakref.ref(first), of_second = weakref.ref(second)
    cdef int err
    limits.input_max = input_max
    limits.pause_high = pause_high
    limits.pause_low = pause_low
    limits.lookups_max = lookups_max
    limits.pauses_by_default = False
    refuse_made(first)  # making the second may have done anything
    if first is second:
        raise TypeError(f"{cls!r} makes one object for both ends of a pair")
    check(bufferevent_pair_new(base_enter(base), options, pair))
    err = bev_limit(pair[0], &limits)
    if err == 0:
        err = bev_limit(pair[1], &limits)
    if err < 0:
        bufferevent_free(pair[0])
        bufferevent_free(pair[1])
        check_err(err, base)
    first.file = of_second
    second.file = of_first
    bev_adopt(first, base, pair[0], bev_kind, calls, &limits)
    bev_adopt(second, base, pair[1], bev_kind, calls, &limits)
    return first, second
