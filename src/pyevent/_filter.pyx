"""Filters and pairs.

A Filter keeps the connection below alive (in the place where others have the object
that owns their descriptor), and is itself held by the base while it has callbacks, as
any connection. The C filter has a borrowed pointer to it as context, and is freed
before it goes.

Closing what is below together with the filter is done here, not in C: the Python object
below must see it, and live until the last of its output is written.

The ends of a pair know each other by weak references.
"""

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.errno cimport ENOMEM, EPROTO, errno

from pyevent._buffer cimport buffer_view
from pyevent._core cimport check
from pyevent._loop cimport (
    Attached,
    EventBase,
    call_failed,
    call_out,
    register_kind,
    base_enter,
    unhold,
)
from pyevent._stream cimport (
    BufferEvent,
    bev_adopt,
    bev_detach,
    bev_end,
    bev_kind,
    bev_require,
    checked_callback,
)
from pyevent.c.buffer cimport evbuffer
from pyevent.c.stream cimport *

import weakref

from pyevent.constants import FlushMode


cdef extern from "Python.h":
    void PyErr_SetObject(object kind, object value)


cdef tuple MODES = tuple(FlushMode)


# --- calling filter functions ---------------------------------------------------------

cdef int failed(Filter self, object function) noexcept:
    """An exception is set: tell the handler. The connection is not closed for it: the
    filter's event callback hears of an error."""
    cdef unsigned char closes = self.closes_on_failure
    self.closes_on_failure = False
    call_failed(self.owner, self, function, "exception in filter")
    self.closes_on_failure = closes
    errno = EPROTO
    return BEV_ERROR


cdef int run(Filter self, object function, evbuffer *src, BufferEvent src_of,
             PyObject **src_view, evbuffer *dst, BufferEvent dst_of, PyObject **dst_view,
             Py_ssize_t limit, int mode) noexcept:
    cdef object source, target, most, how, user_arg
    cdef PyObject *args[5]
    cdef PyObject *result
    cdef object value
    cdef int how_far
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
    result = call_out(self.owner, self, function, args, 5)
    if result == NULL:
        return failed(self, function)
    value = <object>result
    Py_DECREF(value)
    try:
        how_far = result_of(value)
    except BaseException as exc:
        PyErr_SetObject(type(exc), exc)
        return failed(self, function)
    errno = EPROTO  # where that is BEV_ERROR
    return how_far


cdef int result_of(object value) except -1:
    if not isinstance(value, int) or not BEV_OK <= value <= BEV_ERROR:
        raise TypeError(f"a filter returns BEV_OK, BEV_NEED_MORE or BEV_ERROR, not {value!r}")
    return value


cdef bufferevent_filter_result filter_input(evbuffer *src, evbuffer *dst, Py_ssize_t limit,
                                            bufferevent_flush_mode mode, void *ctx) noexcept:
    cdef Filter self = <Filter>ctx
    cdef BufferEvent under = self.file
    cdef object function = self.input_filter
    if self.bev == NULL or under is None or under.bev == NULL:
        return <bufferevent_filter_result>BEV_NEED_MORE  # it is being taken apart
    return <bufferevent_filter_result>run(self, function, src, under, &under.input_view,
                                          dst, self, &self.input_view, limit, <int>mode)


cdef bufferevent_filter_result filter_output(evbuffer *src, evbuffer *dst, Py_ssize_t limit,
                                             bufferevent_flush_mode mode, void *ctx) noexcept:
    cdef Filter self = <Filter>ctx
    cdef BufferEvent under = self.file
    cdef object function = self.output_filter
    if self.bev == NULL or under is None or under.bev == NULL:
        return <bufferevent_filter_result>BEV_NEED_MORE
    return <bufferevent_filter_result>run(self, function, src, self, &self.output_view,
                                          dst, under, &under.output_view, limit, <int>mode)


# --- filters ------------------------------------------------------------------------------

cdef void filter_detach(Attached one) noexcept:
    cdef Filter self = <Filter>one
    cdef BufferEvent under = self.file
    cdef object functions = (self.input_filter, self.output_filter, self.filter_arg)
    bev_detach(self)
    self.input_filter = self.output_filter = self.filter_arg = None
    if self.closes_under and under is not None:
        bev_end(under)


cdef int filter_kind = register_kind(filter_detach)


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
    :raises RuntimeError: *underlying* is closed, or has a filter already.

    BEV_ERROR comes to the event callback as BEV_EVENT_ERROR. So does an exception, which
    also goes to the base's exception handler. End of file below is told when all input
    before it has been filtered. Freed with output that was not filtered, because writing
    is disabled or the high mark below was reached, it loses that.
    """

    def __init__(self, BufferEvent underlying not None, input_filter=None, output_filter=None,
                 int options=0, arg=None):
        cdef bufferevent_filter_cb run_input = NULL
        cdef bufferevent_filter_cb run_output = NULL
        cdef bufferevent *bev
        if self.bev != NULL:
            raise RuntimeError(f"{self!r} is set up already")
        bev_require(underlying)
        checked_callback(input_filter, "input_filter")
        checked_callback(output_filter, "output_filter")
        if pe_bufferevent_is_filtered(underlying.bev):
            raise RuntimeError(f"{underlying!r} has a filter already")
        if input_filter is not None:
            run_input = filter_input
        if output_filter is not None:
            run_output = filter_output
        bev = bufferevent_filter_new(underlying.bev, run_input, run_output,
                                     options & ~BEV_OPT_CLOSE_ON_FREE, NULL, <void *>self)
        if bev == NULL:
            check(-1)
        self.closes_under = (options & BEV_OPT_CLOSE_ON_FREE) != 0
        self.input_filter = input_filter
        self.output_filter = output_filter
        self.filter_arg = arg
        bev_adopt(self, underlying.owner, bev, filter_kind, underlying, Filter)
        underlying.uses_methods = False
        unhold(underlying)
        underlying.readcb = underlying.writecb = underlying.eventcb = None
        underlying.user_arg = None

    def __dealloc__(self):
        cdef object under = self.file
        if self.bev != NULL and self.closes_under and under is not None:
            bev_end(<BufferEvent>under)

    def get_filters(self):
        """``(input_filter, output_filter, arg)`` as they were given."""
        return self.input_filter, self.output_filter, self.filter_arg


# --- pairs ----------------------------------------------------------------------------------

def _new_pair(type cls, EventBase base not None, int options):
    """Two of `cls`, a subclass of BufferEvent, without calling its __init__."""
    cdef bufferevent *pair[2]
    cdef BufferEvent first = cls.__new__(cls)
    cdef BufferEvent second = cls.__new__(cls)
    cdef object of_first = weakref.ref(first), of_second = weakref.ref(second)
    base_enter(base)
    check(bufferevent_pair_new(base.base, options, pair))
    try:
        bev_adopt(first, base, pair[0], bev_kind, of_second, BufferEvent)
    finally:
        bev_adopt(second, base, pair[1], bev_kind, of_first, BufferEvent)
    return first, second
