"""Buffered connections.

A BufferEvent with callbacks is held by its base (see loop/eventbase.pyx) until it is
closed, so that a server need not keep what it accepts. The C object has a
borrowed pointer to the Python one; it has callbacks only while that is held.

The C object is freed before the Python one goes: by close(), by the end of the base,
or by the finalizer `__del__`, which runs while the object is still whole. A subclass may
have a finalizer of its own that does not call ours; then `__dealloc__` does it, and what C
may call without holding (a filter's functions, bev_too_much) looks for a count of 0 first.

What its callbacks, their argument and its file are is dropped last, when the object is
out of its base's list: their finalizers may do anything.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.errno cimport EBUSY, EPERM, errno
from libc.limits cimport INT_MAX
from libc.stdint cimport int64_t

from pyevent._native.base.arguments cimport check, check_err, fd_of, to_ns
from pyevent._native.buf.buffer cimport Buffer
from pyevent._native.buf.contents cimport buffer_enter
from pyevent._native.buf.owned cimport buffer_orphan, buffer_view
from pyevent._native.c.buffer cimport evbuffer, evbuffer_get_length, evbuffer_remove
from pyevent._native.c.stream cimport *
from pyevent._native.loop.attached cimport Attached, attach, close_attached, detach, register_kind
from pyevent._native.loop.calling cimport checked_callback
from pyevent._native.loop.eventbase cimport EventBase, base_enter, leave
from pyevent._native.stream.descriptor cimport drop_taken, fd_taken, give_up, refuse_stream
from pyevent._native.stream.endpoint cimport bev_enter
from pyevent._native.stream.limits cimport bev_limit, bev_limits, limits_of, no_pause_by_default
from pyevent._native.stream.settings cimport Settings
from pyevent._native.stream.upcalls cimport (
    CALLS_EVENT,
    CALLS_READ,
    CALLS_WRITE,
    NO_METHODS,
    bev_install,
    bev_leave,
    bev_too_much,
    methods_of,
)

import os


cdef extern from "Python.h":
    int PyErr_ResourceWarning(PyObject *source, Py_ssize_t stack_level, const char *format,
                              ...) except -1


# --- its end ----------------------------------------------------------------------------

cdef void bev_let_go(BufferEvent self) noexcept:
    """Close it. What Python has of it stays: its deallocation drops that, one object of a
    chain after the other, as a finalizer cannot."""
    cdef bufferevent *bev = self.bev
    cdef object input, output  # dropped last
    if bev == NULL:
        return
    self.bev = NULL
    input = buffer_orphan(&self.input_view)
    output = buffer_orphan(&self.output_view)
    detach(self)
    bufferevent_setcb(bev, NULL, NULL, NULL, NULL)
    bufferevent_free(bev)


cdef void bev_detach(Attached one) noexcept:
    """The same, and drop that last."""
    cdef BufferEvent self = <BufferEvent>one
    cdef object readcb, writecb, eventcb, highcb, user_arg, file
    readcb, writecb, eventcb, highcb = self.readcb, self.writecb, self.eventcb, self.highcb
    user_arg, file = self.user_arg, self.file
    self.readcb = self.writecb = self.eventcb = self.highcb = None
    self.user_arg = self.file = None
    bev_let_go(self)


bev_kind = register_kind(bev_detach)


@cython.trashcan(True)  # a chain of them through `arg` may be of any length
cdef class BufferEvent(Settings):
    """A connection with an input and an output buffer.

    :param base: the :class:`EventBase` that serves it.
    :param fd: an ``int``, which must be non-blocking, or an object with a ``fileno()``,
        which is made non-blocking: a connected socket, a pipe, a terminal. -1 or ``None``:
        none yet, see :meth:`connect`.
    :param options: ``BEV_OPT_*``. With BEV_OPT_CLOSE_ON_FREE, as it is unless others are
        given, the descriptor is closed with the connection: an ``int`` is its own from now
        on, a socket gives its descriptor up, of any other object it takes a duplicate.
        Without, it closes nothing and keeps an object alive.
    :param max_input: how much input may wait, in bytes. Where the read callback leaves so
        much, the event callback gets BEV_EVENT_READING and BEV_EVENT_ERROR, and
        :attr:`error` is a ``BufferError``. A high mark (:meth:`setwatermark`) takes its place.
    :param max_output: while more output than this waits, nothing is read: a peer that takes
        no answers is to ask no more. Where it is not given, one that :meth:`connect` connects
        has no such limit, nor have pairs and filters: two ends that both wait for the other
        to read would wait for ever.
    :param resume_output: how far the output must have fallen until reading goes on.
    :param max_lookups: with so many names being looked up, by all connections together,
        :meth:`connect_hostname` begins no other.
    :raises RuntimeError: the base is closed.

    The four limits are ``None`` for none; those that are not given are the class's attributes
    of the same names, so that a subclass has its own.

    Writing is enabled, reading is not. Output goes out when the callback that wrote it
    returns, or at the end of the loop's turn. A subclass may define ``on_read(self)``,
    ``on_write(self)`` and ``on_event(self, what)``, which are called where :meth:`setcb`
    was not. With callbacks the base keeps it alive until it is closed. One that is dropped
    with a descriptor of its own is closed, with a ``ResourceWarning``.
    """

    max_input = 1 << 20
    max_output = 1 << 20
    resume_output = 256 << 10
    max_lookups = 1000

    def __init__(self, EventBase base not None, fd=-1, int options=BEV_OPT_CLOSE_ON_FREE, *,
                 max_input=..., max_output=..., resume_output=..., max_lookups=...):
        cdef bev_limits limits
        limits_of(type(self), BufferEvent, max_input, max_output, resume_output, max_lookups, &limits)
        bev_open(self, base, fd, options, &limits)

    @classmethod
    def socket_new(cls, EventBase base not None, fd=-1, int options=0):
        """As the class, with libevent's defaults: closes nothing unless *options* say so,
        and has no limits. Of a subclass its ``__init__`` is not called."""
        cdef BufferEvent self = bev_unmade(cls)
        bev_open(self, base, fd, options, NULL)
        return self

    def __del__(self):
        if self.bev == NULL or self.is_held:
            return  # one that is held goes with its base, which closes it and says so
        try:
            if bufferevent_getfd(self.bev) >= 0 and pe_bufferevent_closes_fd(self.bev):
                PyErr_ResourceWarning(<PyObject *>self, 1, "unclosed %R", <PyObject *>self)
        finally:
            bev_let_go(self)

    def __dealloc__(self):
        bev_let_go(self)  # if a subclass's finalizer has not called ours

    def __repr__(self):
        cdef str name = type(self).__name__
        cdef bufferevent *bev = self.bev
        cdef size_t input, output
        cdef bint connects
        cdef int fd
        if bev == NULL:
            return f"<{name} closed>"
        fd = bufferevent_getfd(bev)
        input = evbuffer_get_length(bufferevent_get_input(bev))
        output = evbuffer_get_length(bufferevent_get_output(bev))
        connects = pe_bufferevent_connecting(bev)
        return (f"<{name} fd={fd} input={input} output={output}"
                f"{' connecting' if connects else ''}>")

    def __enter__(self):
        bev_enter(self)
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self):
        """Close it; output that is not written is lost. Closing again does nothing.

        With BEV_OPT_CLOSE_ON_FREE the descriptor is closed now.
        """
        if self.bev != NULL:
            close_attached(self)

    free = close

    @property
    def closed(self):
        """Whether it, or its base, has been closed."""
        return self.bev == NULL

    # -- callbacks

    def setcb(self, readcb=None, writecb=None, eventcb=None, arg=None):
        """Set what is called, each with *arg* last; ``None``: nothing.

        :param readcb: ``readcb(bev, arg)``: input has come, at least the low mark of it.
        :param writecb: ``writecb(bev, arg)``: output is down to the low mark.
        :param eventcb: ``eventcb(bev, what, arg)``: ``BEV_EVENT_*``. Without one the
            connection is closed by itself on an error or a timeout, and on end of file
            when its output has been written.
        """
        cdef bufferevent *bev
        cdef object old_readcb, old_writecb, old_eventcb, old_arg  # dropped last
        cdef int calls = ((CALLS_READ if readcb is not None else 0)
                          | (CALLS_WRITE if writecb is not None else 0)
                          | (CALLS_EVENT if eventcb is not None else 0))
        checked_callback(readcb, "readcb")
        checked_callback(writecb, "writecb")
        checked_callback(eventcb, "eventcb")
        bev = bev_enter(self)
        if pe_bufferevent_is_filtered(bev):
            raise RuntimeError(f"{self!r}: a filter has its callbacks")
        old_readcb, old_writecb, old_eventcb = self.readcb, self.writecb, self.eventcb
        old_arg = self.user_arg
        self.uses_methods = False
        self.readcb = readcb
        self.writecb = writecb
        self.eventcb = eventcb
        self.user_arg = arg
        bev_install(self, bev, calls)

    def getcb(self):
        """``(readcb, writecb, eventcb, arg)`` as they were set."""
        bev_enter(self)
        return self.readcb, self.writecb, self.eventcb, self.user_arg

    def on_read(self):
        """Called for input where :meth:`setcb` was not called; for subclasses."""
        bev_enter(self)

    def on_write(self):
        """Called when output has gone, where :meth:`setcb` was not called; for subclasses."""
        bev_enter(self)

    def on_event(self, what):
        """Called with ``BEV_EVENT_*``, where :meth:`setcb` was not called; for subclasses."""
        bev_enter(self)

    # -- data

    def get_input(self):
        """The :class:`Buffer` of what has come: the same object while somebody has it."""
        return buffer_view(bufferevent_get_input(bev_enter(self)), self, &self.input_view)

    def get_output(self):
        """The :class:`Buffer` of what is to go out."""
        return buffer_view(bufferevent_get_output(bev_enter(self)), self, &self.output_view)

    @property
    def input(self):
        """The :class:`Buffer` of what has come: the same object while somebody has it."""
        return buffer_view(bufferevent_get_input(bev_enter(self)), self, &self.input_view)

    @property
    def output(self):
        """The :class:`Buffer` of what is to go out."""
        return buffer_view(bufferevent_get_output(bev_enter(self)), self, &self.output_view)

    def write(self, data):
        """Add *data*, any bytes-like object, to the output."""
        cdef Py_buffer view
        if PyBytes_CheckExact(data):
            leave(self.owner, bufferevent_write(bev_enter(self), PyBytes_AS_STRING(data),
                                                PyBytes_GET_SIZE(data)))
            return
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            leave(self.owner, bufferevent_write(bev_enter(self), view.buf, view.len))
        finally:
            PyBuffer_Release(&view)

    def writelines(self, parts):
        """Add each of *parts*, an iterable of bytes-like objects, to the output.

        If the iterable fails, what came before is written.
        """
        bev_enter(self)
        for part in parts:
            self.write(part)

    def sendfile(self, file, offset=0, length=None):
        """Add a range of a file to the output, which the kernel sends without copying it.

        :param file: a path, a descriptor, or an object with a ``fileno()``; it may be
            closed at once.
        :param offset: where to begin, in bytes.
        :param length: how many bytes; ``None``: to the end as it is now.
        :raises OSError: there is no such file; EINVAL: no such range in it.

        If the file becomes shorter, the connection fails when its end is reached.
        """
        cdef long long start = offset
        cdef long long size = -1 if length is None else length
        cdef evbuffer_file_segment *segment
        cdef evbuffer *output
        cdef int fd, result
        if start < 0 or (length is not None and size < 0):
            raise ValueError(f"not a range of a file: offset={offset!r}, length={length!r}")
        bev_enter(self)
        if isinstance(file, (str, bytes, os.PathLike)):
            # Not to wait for the other end of a FIFO, which is refused in a moment.
            fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        else:
            fd = os.dup(fd_of(file))
        try:
            refuse_stream(fd, file)
            output = bufferevent_get_output(bev_enter(self))
        except BaseException:
            pe_close(fd)
            raise
        segment = evbuffer_file_segment_new(fd, start, size, EVBUF_FS_CLOSE_ON_FREE)
        if segment == NULL:
            result = -errno
            pe_close(fd)
            check_err(result, file)
        result = evbuffer_add_file_segment(output, segment, 0, -1)
        if result == 0:
            evbuffer_file_segment_free(segment)  # else it has been let go of
        leave(self.owner, result)

    def write_buffer(self, Buffer buf not None):
        """Move all of *buf* to the output without copying."""
        cdef bufferevent *bev = bev_enter(self)
        leave(self.owner, bufferevent_write_buffer(bev, buffer_enter(buf)))

    def read(self, Py_ssize_t size):
        """Take up to *size* bytes from the input.

        :raises PermissionError: its start is frozen; ``BufferError``: a memoryview holds it;
            ``OSError``: it is of a file that has become shorter.
        """
        cdef evbuffer *input
        cdef size_t there
        cdef int taken
        cdef object data
        if size < 0:
            raise ValueError(f"size must not be negative: {size}")
        there = evbuffer_get_length(bufferevent_get_input(bev_enter(self)))
        if <size_t>size > there:
            size = <Py_ssize_t>there
        if size > INT_MAX:
            size = INT_MAX
        data = PyBytes_FromStringAndSize(NULL, size)
        input = bufferevent_get_input(bev_enter(self))
        taken = evbuffer_remove(input, PyBytes_AS_STRING(data), <size_t>size)
        if taken < 0:
            read_failed(self, errno)
        return data if taken == size else data[:taken]

    def read_buffer(self, Buffer buf not None):
        """Move all of the input to the end of *buf* without copying."""
        cdef bufferevent *bev = bev_enter(self)
        leave(self.owner, bufferevent_read_buffer(bev, buffer_enter(buf)))

    # -- control

    def close_after_flush(self, timeout=60.0):
        """Close it when the output has been written and the peer has ended too.

        No callback is called any more and nothing can be written. After the output the
        peer gets an end of file; what it still sends is dropped. An error closes it, and
        so does a peer that takes nothing for *timeout* seconds, or that does not end
        for so long. :attr:`closed` says when it is done. :meth:`close` ends it at once,
        and :meth:`setcb` takes it back.
        """
        cdef int64_t limit_ns = to_ns(timeout)
        bev_enter(self)
        check_err(bev_leave(self, limit_ns), self)

    def shutdown_write(self):
        """Give the peer an end of file after all output is written; reading goes on.

        Nothing can be written from now on.
        """
        leave(self.owner, bufferevent_shutdown_write(bev_enter(self)))

    def set_output_high(self, size_t mark, callback):
        """Call ``callback(bev, arg)`` when the output has grown beyond *mark* bytes.

        It runs inside the write that does so, once; again only after the output has
        fallen to the low mark of EV_WRITE, where the write callback says that producing
        may go on. *arg* is that of :meth:`setcb`. ``None`` or 0: no longer.
        """
        cdef bufferevent *bev
        cdef object old  # dropped last
        cdef int result
        checked_callback(callback, "callback")
        bev = bev_enter(self)
        if callback is None or mark == 0:
            callback = None
        old = self.highcb
        self.highcb = callback
        if callback is None:
            result = bufferevent_set_output_high(bev, 0, NULL, NULL)
        else:
            result = bufferevent_set_output_high(bev, mark, bev_too_much, <void *>self)
        if result < 0:
            self.highcb = old
        leave(self.owner, result)

    def enable(self, int events):
        """Switch ``EV_READ``, ``EV_WRITE`` or both on."""
        leave(self.owner, bufferevent_enable(bev_enter(self), <short>events))

    def disable(self, int events):
        """Switch them off."""
        leave(self.owner, bufferevent_disable(bev_enter(self), <short>events))

    def flush(self, int iotype, int mode=0):
        """Have a filter or a pair pass on what it can: everything in the modes BEV_FLUSH and
        BEV_FINISHED, which also says that nothing will follow. On a socket output is on its
        way anyhow. 1: a filter has passed something on; else 0."""
        if not 0 <= mode <= BEV_FINISHED:
            raise ValueError(f"mode must be BEV_NORMAL, BEV_FLUSH or BEV_FINISHED, not {mode}")
        return leave(self.owner, bufferevent_flush(bev_enter(self), <short>iotype,
                                                   <bufferevent_flush_mode>mode))

    def trigger(self, int iotype, int options=0):
        """Run the read callback (EV_READ), the write callback (EV_WRITE) or both now."""
        bufferevent_trigger(bev_enter(self), <short>iotype, options)

    def trigger_event(self, int what, int options=0):
        """Run the event callback with *what* now."""
        global errno
        cdef bufferevent *bev = bev_enter(self)
        errno = 0  # it would be taken for the error's
        bufferevent_trigger_event(bev, <short>what, options)

    # -- pairs and filters

    @classmethod
    def pair(cls, EventBase base not None, int options=0, *, max_input=..., max_output=...,
             resume_output=...):
        """Two connections without a descriptor, each the other's peer: a tuple.

        What is written to one is moved, not copied, to the input of the other as soon as
        that one reads. Their callbacks always run from the loop. :meth:`flush` with
        BEV_FINISHED gives the other one end of file; closing one tells the other nothing.
        The limits are those of the class. Of a subclass ``__init__`` is not called.
        """
        cdef bev_limits limits
        from pyevent._native.stream.filter import _new_pair  # which needs this module
        limits_of(cls, BufferEvent, max_input, max_output, resume_output, ..., &limits)
        no_pause_by_default(&limits)
        return _new_pair(cls, base, options, limits.input_max, limits.pause_high,
                         limits.pause_low, limits.lookups_max)

    @classmethod
    def pair_new(cls, EventBase base not None, int options=0):
        """As :meth:`pair`, without limits, as in libevent."""
        from pyevent._native.stream.filter import _new_pair
        return _new_pair(cls, base, options, 0, 0, 0, 0)

    def pair_get_partner(self):
        """The other one of a pair; ``None``: it is closed, or this is not of a pair."""
        return self.file() if bufferevent_pair_get_partner(bev_enter(self)) != NULL else None

    get_partner = pair_get_partner

    def filter(self, input_filter=None, output_filter=None, int options=0, arg=None, *,
               max_input=..., max_output=..., resume_output=...):
        """A :class:`Filter` over this connection."""
        from pyevent._native.stream.filter import Filter  # which needs this module
        return Filter(self, input_filter, output_filter, options, arg, max_input=max_input,
                      max_output=max_output, resume_output=resume_output)

    def filter_new(self, input_filter=None, output_filter=None, int options=0, arg=None):
        """As :meth:`filter`, without limits, as in libevent."""
        from pyevent._native.stream.filter import Filter
        return Filter(self, input_filter, output_filter, options, arg, max_input=None,
                      max_output=None)

    def get_underlying(self):
        """What a :class:`Filter` stands on; ``None`` for others."""
        bev_enter(self)
        return self.file if isinstance(self.file, BufferEvent) else None

# --- making them ----------------------------------------------------------------------

cdef int refuse_made(BufferEvent self) except -1:
    if self.owner is not None:  # also if it has been closed since
        raise RuntimeError(f"{self!r} is set up already")
    return 0


cdef BufferEvent bev_unmade(type cls):
    """A new object of `cls`, a subclass of BufferEvent, without calling its __init__."""
    cdef object made = cls.__new__(cls)
    if not isinstance(made, BufferEvent):
        raise TypeError(f"{cls!r} makes {made!r}, which is no BufferEvent")
    refuse_made(<BufferEvent>made)
    return made


cdef int bev_open(BufferEvent self, EventBase base, object file, int options,
                  bev_limits *limits) except -1:
    """Set a socket's connection up."""
    cdef bint closes = options & BEV_OPT_CLOSE_ON_FREE
    cdef int calls = methods_of(type(self), BufferEvent)
    cdef int fd = fd_taken(file, closes)
    cdef bufferevent *bev
    cdef int err
    try:
        refuse_made(self)  # asked only now: fileno() may have done anything
        bev = bufferevent_socket_new(base_enter(base), fd, options)
        if bev == NULL:
            check(-1)
        err = bev_limit(bev, limits)
        if err < 0:
            bufferevent_setfd(bev, -1)  # it stays its owner's
            bufferevent_free(bev)
            check_err(err, self)
    except BaseException:
        drop_taken(file, fd, closes)
        raise
    bev_adopt(self, base, bev, bev_kind, calls, limits)
    self.file = give_up(file, fd, closes)
    return 0


cdef int bev_adopt(BufferEvent self, EventBase base, bufferevent *bev, int kind, int calls,
                   bev_limits *limits) except -1:
    """Be the Python object of `bev`, whose base is open. Runs no code, and cannot fail."""
    self.bev = bev
    attach(self, base, kind)
    self.closes_on_failure = True
    if limits != NULL:
        self.lookups_max = limits.lookups_max
        self.pauses_by_default = limits.pauses_by_default
    if calls != NO_METHODS:
        self.uses_methods = True
        bev_install(self, bev, calls)
    return 0


cdef int read_failed(BufferEvent self, int error) except -1:
    """Raise why nothing could be taken from its input, as Buffer.remove() does."""
    if error == EPERM:
        raise PermissionError(error, f"the start of the input is frozen: {self!r}")
    if error == EBUSY:
        raise BufferError(f"a memoryview holds the input in place: {self!r}")
    return check_err(-error, self)

