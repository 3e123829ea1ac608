"""Buffered connections.

A BufferEvent with callbacks is held by its base (see _loop.pyx) until it is
closed, so that a server need not keep what it accepts. The C object has a
borrowed pointer to the Python one; it has callbacks only while that is held, and
is freed before that goes.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize
from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.stdint cimport int64_t
from libc.string cimport memset
from posix.time cimport timeval

from pyevent._buffer cimport Buffer, buffer_orphan, buffer_view
from pyevent._core cimport (
    address_of,
    bev_flags,
    check,
    check_err,
    event_flags,
    fd_of,
    sockaddr,
    sockaddr_storage,
    socklen_t,
    to_ns,
    to_sockaddr,
    to_timeval,
)
from pyevent._loop cimport (
    Attached,
    EventBase,
    attach,
    call_out,
    callback_failed,
    close_attached,
    detach,
    hold,
    register_kind,
    base_enter,
    unhold,
)
from pyevent._ratelimit cimport (
    RateLimit,
    RateLimitGroup,
    group_require,
    limit_of,
    limit_require,
)
from pyevent.c.buffer cimport evbuffer, evbuffer_get_length
from pyevent.c.event cimport EV_READ, EV_WRITE
from pyevent.c.stream cimport *

import os
import sys


cdef extern from "sys/socket.h":
    int getsockname(int fd, sockaddr *address, socklen_t *size)
    int getsockopt(int fd, int level, int name, void *value, socklen_t *size)


cdef int64_t FAREWELL_NS = 60_000_000_000  # for a peer that takes nothing of what is left for it


# --- what listeners share with it ------------------------------------------------------

cdef bint call(Attached self, object callback, PyObject **args, size_t n, str message) noexcept:
    """Whether the callback went well; if not, the base's exception handler has been told."""
    cdef PyObject *result = call_out(self.owner, self, callback, args, n)
    if result == NULL:
        callback_failed(self, callback, message)
        return False
    Py_DECREF(<object>result)
    return True


cdef int fd_to_serve(object file, bint closes) except -2:
    """The descriptor of `file`; -1 for none. With `closes` the library is to close it,
    so an object that owns it must be able to give it up. May run any code."""
    cdef int fd
    if file is None or (isinstance(file, int) and file == -1):
        return -1
    fd = fd_of(file)
    if closes and not isinstance(file, int) and not is_socket(file):
        raise TypeError(f"closing on free takes an int or a socket, not {file!r}")
    return fd


cdef bint is_socket(object file) except -1:
    cdef object socket_module = sys.modules.get("socket")
    return socket_module is not None and isinstance(file, socket_module.socket)


cdef int unblock_file(object file, int fd) except -1:
    """Make what an object stands for non-blocking; a number is its user's to prepare."""
    if fd >= 0 and not isinstance(file, int):
        check_err(pe_sock_nonblock(fd), file)
    return 0


cdef object give_up(object file, int fd, bint closes):
    """`fd` of `file` is in use: who is to be kept alive for it, or None. With `closes`
    it is ours now."""
    if fd < 0 or isinstance(file, int):
        return None
    if not closes:
        return file
    sys.modules["socket"].socket.detach(file)
    return None


cdef bint overrides(object self, type base, str name):
    return getattr(type(self), name, None) is not getattr(base, name)


cdef object checked_callback(object callback, str what):
    if callback is not None and not callable(callback):
        raise TypeError(f"{what} must be callable or None, not {callback!r}")
    return callback


# --- connections ------------------------------------------------------------------

cdef void bev_detach(Attached one) noexcept:
    cdef BufferEvent self = <BufferEvent>one
    cdef bufferevent *bev = self.bev
    cdef object input = None, output = None  # what is dropped last
    if bev != NULL:
        self.bev = NULL
        input = buffer_orphan(&self.input_view)
        output = buffer_orphan(&self.output_view)
        bufferevent_setcb(bev, NULL, NULL, NULL, NULL)
        bufferevent_free(bev)
    detach(self)


bev_kind = register_kind(bev_detach)


cdef void bev_data(BufferEvent self, object callback, object method, str message) noexcept:
    cdef object user_arg = self.user_arg
    cdef PyObject *args[2]
    args[0] = <PyObject *>self
    args[1] = <PyObject *>user_arg
    if callback is not None:
        call(self, callback, args, 2, message)
    else:
        call(self, method, args, 1, message)


cdef void bev_readable(bufferevent *bev, void *arg) noexcept:
    cdef BufferEvent self = <BufferEvent>arg
    cdef object callback = self.readcb
    bev_data(self, callback, None if callback is not None else type(self).on_read,
             "exception in read callback")


cdef void bev_written(bufferevent *bev, void *arg) noexcept:
    cdef BufferEvent self = <BufferEvent>arg
    cdef object callback = self.writecb
    bev_data(self, callback, None if callback is not None else type(self).on_write,
             "exception in write callback")


cdef void bev_happened(bufferevent *bev, short what, void *arg) noexcept:
    cdef BufferEvent self = <BufferEvent>arg
    cdef object callback = self.eventcb
    cdef object user_arg = self.user_arg
    cdef object flags = bev_flags(what)
    cdef PyObject *args[3]
    args[0] = <PyObject *>self
    args[1] = <PyObject *>flags
    args[2] = <PyObject *>user_arg
    if callback is not None:
        call(self, callback, args, 3, "exception in event callback")
    elif self.uses_methods and overrides(self, BufferEvent, "on_event"):
        call(self, type(self).on_event, args, 2, "exception in event callback")
    elif what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT):
        bev_say_goodbye(self, what)


cdef void bev_say_goodbye(BufferEvent self, int what) noexcept:
    """Nobody looks after the end of this connection: close it, at EOF after its output."""
    if (what & (BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)
            or evbuffer_get_length(bufferevent_get_output(self.bev)) == 0
            or bev_leave(self, FAREWELL_NS) < 0):
        self.close()


cdef int bev_leave(BufferEvent self, int64_t limit_ns) noexcept:
    """Close it after its output; 0 or a negative errno. The base holds it until then."""
    cdef int err = pe_bev_close_after_flush(self.bev, limit_ns, bev_gone, <void *>self)
    if err == 0:
        hold(self)
    return err


cdef void bev_gone(bufferevent *bev, void *arg) noexcept:
    cdef BufferEvent self = <BufferEvent>arg
    self.close()


cdef void bev_too_much(bufferevent *bev, void *arg) noexcept:
    cdef BufferEvent self = <BufferEvent>arg
    cdef object callback = self.highcb
    if callback is not None:
        bev_data(self, callback, None, "exception in output_high callback")


cdef int bev_require(BufferEvent self) except -1:
    if self.bev == NULL:
        raise RuntimeError(f"{self!r}: the connection or its base is closed, "
                           "or it was never set up")
    return 0


cdef timeval *seconds_or_null(object seconds, timeval *tv) except? NULL:
    """libevent's timeval for a time limit: NULL for none."""
    if seconds is None:
        return NULL
    to_timeval(seconds, tv)
    return tv


@cython.trashcan(True)  # a chain of them through `arg` may be of any length
cdef class BufferEvent(Attached):
    """A connection with an input and an output buffer.

    :param base: the :class:`EventBase` that serves it.
    :param fd: an ``int`` (non-blocking), or an object with a ``fileno()``, which is made
        non-blocking: a connected socket, a pipe, a terminal. -1 or ``None``: none yet, see
        :meth:`connect`. With BEV_OPT_CLOSE_ON_FREE it must be an ``int`` or a socket, which
        gives its descriptor up; else the object is kept alive.
    :param options: ``BEV_OPT_*``.
    :raises RuntimeError: the base is closed.

    Writing is enabled, reading is not. Output goes out when the callback that wrote it
    returns, or at the end of the loop's turn. A subclass may define ``on_read(self)``,
    ``on_write(self)`` and ``on_event(self, what)``, which are called where :meth:`setcb`
    was not. With callbacks the base keeps it alive until it is closed.
    """

    def __init__(self, EventBase base not None, fd=-1, int options=0):
        cdef bint closes = options & BEV_OPT_CLOSE_ON_FREE
        cdef int number = fd_to_serve(fd, closes)
        cdef bufferevent *bev
        if self.bev != NULL:  # asked only now: fileno() may have done anything
            raise RuntimeError(f"{self!r} is set up already")
        base_enter(base)
        unblock_file(fd, number)
        bev = bufferevent_socket_new(base.base, number, options)
        if bev == NULL:
            check(-1)
        bev_adopt(self, base, bev, bev_kind, give_up(fd, number, closes), BufferEvent)

    def __dealloc__(self):
        cdef object input = buffer_orphan(&self.input_view)  # dropped last
        cdef object output = buffer_orphan(&self.output_view)
        if self.bev != NULL:  # not held, so it has no callbacks
            bufferevent_free(self.bev)

    def __repr__(self):
        cdef str name = type(self).__name__
        if self.bev == NULL:
            return f"<{name} closed>"
        return (f"<{name} fd={bufferevent_getfd(self.bev)} "
                f"input={evbuffer_get_length(bufferevent_get_input(self.bev))} "
                f"output={evbuffer_get_length(bufferevent_get_output(self.bev))}"
                f"{' connecting' if pe_bufferevent_connecting(self.bev) else ''}>")

    def __enter__(self):
        bev_require(self)
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self):
        """Close it; output that is not written is lost. Closing again does nothing.

        With BEV_OPT_CLOSE_ON_FREE the descriptor is closed now.
        """
        if self.bev != NULL:
            close_attached(self)
        self.readcb = self.writecb = self.eventcb = self.highcb = None
        self.user_arg = self.file = None

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
        bev_require(self)
        if pe_bufferevent_is_filtered(self.bev):
            raise RuntimeError(f"{self!r}: a filter has its callbacks")
        checked_callback(readcb, "readcb")
        checked_callback(writecb, "writecb")
        checked_callback(eventcb, "eventcb")
        self.uses_methods = False
        self.readcb = readcb
        self.writecb = writecb
        self.eventcb = eventcb
        self.user_arg = arg
        bev_install(self)

    def getcb(self):
        """``(readcb, writecb, eventcb, arg)`` as they were set."""
        return self.readcb, self.writecb, self.eventcb, self.user_arg

    def on_read(self):
        """Called for input where :meth:`setcb` was not called; for subclasses."""

    def on_write(self):
        """Called when output has gone, where :meth:`setcb` was not called; for subclasses."""

    def on_event(self, what):
        """Called with ``BEV_EVENT_*``, where :meth:`setcb` was not called; for subclasses."""

    # -- what it is made of

    def get_input(self):
        """The :class:`Buffer` of what has come: the same object while somebody has it."""
        bev_require(self)
        return buffer_view(bufferevent_get_input(self.bev), self, &self.input_view)

    def get_output(self):
        """The :class:`Buffer` of what is to go out."""
        bev_require(self)
        return buffer_view(bufferevent_get_output(self.bev), self, &self.output_view)

    @property
    def input(self):
        """The :class:`Buffer` of what has come: the same object while somebody has it."""
        bev_require(self)
        return buffer_view(bufferevent_get_input(self.bev), self, &self.input_view)

    @property
    def output(self):
        """The :class:`Buffer` of what is to go out."""
        bev_require(self)
        return buffer_view(bufferevent_get_output(self.bev), self, &self.output_view)

    def get_base(self):
        """Its base."""
        return self.owner

    base = property(get_base)

    def getfd(self):
        """Its descriptor; -1: none."""
        bev_require(self)
        return bufferevent_getfd(self.bev)

    fd = property(getfd)

    def fileno(self):
        """As :attr:`fd`."""
        return self.getfd()

    def setfd(self, fd):
        """Go on with another descriptor (-1: none); the old one stays open."""
        bev_change_fd(self, fd, False)

    def replacefd(self, fd):
        """Go on with another descriptor (-1: none); the old one is closed."""
        bev_change_fd(self, fd, True)

    @property
    def error(self):
        """The :class:`OSError` of the last BEV_EVENT_ERROR; ``None``: there was none.

        It names the peer, and how many bytes of output the kernel has not taken: what it
        has taken may not have arrived either. A ``socket.gaierror`` where a name was not
        found.
        """
        return bev_error(self) if self.bev != NULL else None

    @property
    def peername(self):
        """The peer's address as the socket module gives it; ``None``: there is none.

        It stays known when the connection is broken, or could not be made.
        """
        cdef sockaddr_storage storage
        cdef socklen_t size = sizeof(storage)
        bev_require(self)
        if isinstance(self.file, BufferEvent):
            return self.file.peername
        if bufferevent_socket_get_peer(self.bev, <sockaddr *>&storage, &size) < 0:
            return None
        return address_of(<const sockaddr *>&storage, <int>size)

    @property
    def sockname(self):
        """Its own address; ``None``: there is none."""
        cdef sockaddr_storage storage
        cdef socklen_t size = sizeof(storage)
        bev_require(self)
        if getsockname(bufferevent_getfd(self.bev), <sockaddr *>&storage, &size) < 0:
            return None
        return address_of(<const sockaddr *>&storage, <int>size)

    def set_option(self, str name not None, int value):
        """Set an option of the socket, such as ``set_option("TCP_NODELAY", True)``.

        :param name: of an option whose value is a number: ``SO_...``, ``TCP_...``,
            ``IP_...`` or ``IPV6_...``, as the socket module has it.
        :raises ValueError: it has none of that name.
        :raises OSError: the kernel refuses, or there is no socket yet.
        """
        cdef int level, option
        level, option = socket_option(name)
        bev_require(self)
        check_err(pe_sock_option(bufferevent_getfd(self.bev), level, option, value), name)

    def get_option(self, str name not None):
        """The value of such an option."""
        cdef int level, option, value = 0
        cdef socklen_t size = sizeof(value)
        level, option = socket_option(name)
        bev_require(self)
        check(getsockopt(bufferevent_getfd(self.bev), level, option, &value, &size))
        return value

    def set_keepalive(self, int seconds):
        """Have the kernel look, after *seconds* of silence, whether the peer is still there
        (TCP). 0: no longer."""
        bev_require(self)
        check(evutil_set_tcp_keepalive(bufferevent_getfd(self.bev), seconds > 0, seconds))

    def stats(self):
        """What it has done since this was first asked, as a ``dict``.

        ``bytes_read``, ``bytes_written``, and ``reads`` and ``writes``, the system calls.
        Before the first call nothing is counted.
        """
        cdef bufferevent_stats found
        bev_require(self)
        check(bufferevent_get_stats(self.bev, &found))
        return {
            "bytes_read": found.bytes_read,
            "bytes_written": found.bytes_written,
            "reads": found.reads,
            "writes": found.writes,
        }

    # -- data

    def write(self, data):
        """Add *data*, any bytes-like object, to the output."""
        cdef Py_buffer view
        cdef int result
        bev_require(self)
        if PyBytes_CheckExact(data):
            check(bufferevent_write(self.bev, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)))
            return
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            bev_require(self)  # the exporter may have run code
            check(bufferevent_write(self.bev, view.buf, view.len))
        finally:
            PyBuffer_Release(&view)

    def writelines(self, parts):
        """Add each of *parts*, an iterable of bytes-like objects, to the output.

        If the iterable fails, what came before is written.
        """
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
        cdef int fd
        bev_require(self)
        if start < 0 or (length is not None and size < 0):
            raise ValueError(f"not a range of a file: offset={offset!r}, length={length!r}")
        if isinstance(file, (str, bytes, os.PathLike)):
            fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        else:
            fd = os.dup(fd_of(file))
        if self.bev == NULL:  # fileno() may have done anything
            pe_close(fd)
            bev_require(self)
        segment = evbuffer_file_segment_new(fd, start, size, EVBUF_FS_CLOSE_ON_FREE)
        if segment == NULL:
            pe_close(fd)
            check(-1)
        check(evbuffer_add_file_segment(bufferevent_get_output(self.bev), segment, 0, -1))
        evbuffer_file_segment_free(segment)

    def write_buffer(self, Buffer buf not None):
        """Move all of *buf* to the output without copying."""
        bev_require(self)
        check(bufferevent_write_buffer(self.bev, buffer_require(buf)))

    def read(self, Py_ssize_t size):
        """Take up to *size* bytes from the input."""
        cdef size_t there
        cdef object data
        bev_require(self)
        if size < 0:
            raise ValueError(f"size must not be negative: {size}")
        there = evbuffer_get_length(bufferevent_get_input(self.bev))
        if <size_t>size > there:
            size = <Py_ssize_t>there
        data = PyBytes_FromStringAndSize(NULL, size)
        bufferevent_read(self.bev, PyBytes_AS_STRING(data), size)
        return data

    def read_buffer(self, Buffer buf not None):
        """Move all of the input to the end of *buf* without copying."""
        bev_require(self)
        check(bufferevent_read_buffer(self.bev, buffer_require(buf)))

    # -- control

    def connect(self, address):
        """Connect; the event callback gets BEV_EVENT_CONNECTED or BEV_EVENT_ERROR.

        :param address: ``(host, port)`` with a numeric IPv4 or IPv6 host, an IPv6
            4-tuple, or the path of a Unix socket. ``None``: it is under way already.
        :raises OSError: nothing was begun.
        """
        cdef sockaddr_storage storage
        cdef int size
        bev_require(self)
        if address is None:
            check(bufferevent_socket_connect(self.bev, NULL, 0))
            return
        to_sockaddr(address, &storage, &size)
        check(bufferevent_socket_connect(self.bev, <const sockaddr *>&storage, size))

    socket_connect = connect

    def connect_hostname(self, str hostname not None, int port, int family=0):
        """Look *hostname* up and connect; the event callback is told as for :meth:`connect`.

        All addresses that the name has are tried, a new one every 250 ms or when one has
        failed, until one is connected.

        :param port: 1 to 65535.
        :param family: ``socket.AF_INET`` or ``AF_INET6``; 0: both.
        :raises OSError: nothing was begun.
        """
        bev_connect_hostname(self, family, 0, hostname, port)

    def socket_connect_hostname(self, dns_base, int family, str hostname not None, int port):
        """The same with the arguments in C's order; *dns_base* is ``None``."""
        if dns_base is not None:
            raise TypeError(f"there is no evdns_base, so it must be None, not {dns_base!r}")
        bev_connect_hostname(self, family, 0, hostname, port)

    def socket_connect_hostname_hints(self, dns_base, hints, str hostname not None, int port):
        """The same with *hints*: ``None``, or a mapping with ``"family"`` and ``"flags"``."""
        if dns_base is not None:
            raise TypeError(f"there is no evdns_base, so it must be None, not {dns_base!r}")
        hints = {} if hints is None else hints
        bev_connect_hostname(self, hints.get("family", 0), hints.get("flags", 0), hostname, port)

    def socket_get_dns_error(self):
        """The ``EAI_*`` number of the last lookup; 0: it has found something."""
        bev_require(self)
        return bufferevent_socket_get_dns_error(self.bev)

    def close_after_flush(self, timeout=60.0):
        """Close it when the output has been written and the peer has ended too.

        No callback is called any more and nothing can be written. After the output the
        peer gets an end of file; what it still sends is dropped. An error closes it, and
        so does a peer that takes nothing for *timeout* seconds, or that does not end
        for so long. :attr:`closed` says when it is done. :meth:`close` ends it at once,
        and :meth:`setcb` takes it back.
        """
        cdef int64_t limit_ns = to_ns(timeout)
        bev_require(self)
        check_err(bev_leave(self, limit_ns), self)

    def shutdown_write(self):
        """Give the peer an end of file after all output is written; reading goes on.

        Nothing can be written from now on.
        """
        bev_require(self)
        check(bufferevent_shutdown_write(self.bev))

    def set_output_high(self, size_t mark, callback):
        """Call ``callback(bev, arg)`` when the output has grown beyond *mark* bytes.

        It runs inside the write that does so, once; again only after the output has
        fallen to the low mark of EV_WRITE, where the write callback says that producing
        may go on. *arg* is that of :meth:`setcb`. ``None`` or 0: no longer.
        """
        bev_require(self)
        checked_callback(callback, "callback")
        if callback is None or mark == 0:
            check(bufferevent_set_output_high(self.bev, 0, NULL, NULL))
            self.highcb = None
            return
        check(bufferevent_set_output_high(self.bev, mark, bev_too_much, <void *>self))
        self.highcb = callback

    def enable(self, int events):
        """Switch ``EV_READ``, ``EV_WRITE`` or both on."""
        bev_require(self)
        check(bufferevent_enable(self.bev, <short>events))

    def disable(self, int events):
        """Switch them off."""
        bev_require(self)
        check(bufferevent_disable(self.bev, <short>events))

    def get_enabled(self):
        """``EV_READ`` and ``EV_WRITE`` as they are enabled."""
        bev_require(self)
        return event_flags(bufferevent_get_enabled(self.bev))

    enabled = property(get_enabled)

    def set_timeouts(self, read=None, write=None):
        """Report BEV_EVENT_TIMEOUT when nothing was read for *read* seconds while reading
        is enabled, or nothing written for *write* seconds while output waits."""
        cdef timeval read_limit, write_limit
        bev_require(self)
        check(bufferevent_set_timeouts(self.bev, seconds_or_null(read, &read_limit),
                                       seconds_or_null(write, &write_limit)))

    def setwatermark(self, int events, size_t lowmark, size_t highmark=0):
        """Set the marks of ``EV_READ``, ``EV_WRITE`` or both, in bytes.

        Reading: the read callback runs from *lowmark* on, and reading pauses at *highmark*
        (0: no limit). Writing: the write callback runs at *lowmark* or less.
        """
        bev_require(self)
        bufferevent_setwatermark(self.bev, <short>events, lowmark, highmark)

    def getwatermark(self, int events):
        """``(lowmark, highmark)`` of ``EV_READ`` or of ``EV_WRITE``."""
        cdef size_t low, high
        bev_require(self)
        if bufferevent_getwatermark(self.bev, <short>events, &low, &high) < 0:
            raise ValueError(f"getwatermark() takes EV_READ or EV_WRITE, not {events!r}")
        return low, high

    def flush(self, int iotype, int mode=0):
        """Have a filter or a pair pass on what it can: everything in the modes BEV_FLUSH and
        BEV_FINISHED, which also says that nothing will follow. On a socket output is on its
        way anyhow. 1: a filter has passed something on; else 0."""
        bev_require(self)
        return check(bufferevent_flush(self.bev, <short>iotype, <bufferevent_flush_mode>mode))

    def trigger(self, int iotype, int options=0):
        """Run the read callback (EV_READ), the write callback (EV_WRITE) or both now."""
        bev_require(self)
        bufferevent_trigger(self.bev, <short>iotype, options)

    def trigger_event(self, int what, int options=0):
        """Run the event callback with *what* now."""
        bev_require(self)
        bufferevent_trigger_event(self.bev, <short>what, options)

    def priority_set(self, int priority):
        """Set the priority of its callbacks; 0 is the most urgent."""
        bev_require(self)
        if bufferevent_priority_set(self.bev, priority) < 0:
            raise ValueError(f"{self!r}: its base has no priority {priority}")

    def get_priority(self):
        """The priority of its callbacks."""
        bev_require(self)
        return bufferevent_get_priority(self.bev)

    @property
    def priority(self):
        """The priority of its callbacks; 0 is the most urgent."""
        return self.get_priority()

    @priority.setter
    def priority(self, int priority):
        self.priority_set(priority)

    def set_max_single_read(self, size_t size):
        """Read at most so many bytes at a time; 0: the default."""
        bev_require(self)
        check(bufferevent_set_max_single_read(self.bev, size))

    def set_max_single_write(self, size_t size):
        """Write at most so many bytes at a time; 0: the default."""
        bev_require(self)
        check(bufferevent_set_max_single_write(self.bev, size))

    def get_max_single_read(self):
        """What :meth:`set_max_single_read` has set; 16384 before."""
        bev_require(self)
        return bufferevent_get_max_single_read(self.bev)

    def get_max_single_write(self):
        """What :meth:`set_max_single_write` has set; 16384 before."""
        bev_require(self)
        return bufferevent_get_max_single_write(self.bev)


    # -- pairs and filters

    @classmethod
    def pair(cls, EventBase base not None, int options=0):
        """Two connections without a descriptor, each the other's peer: a tuple.

        What is written to one is moved, not copied, to the input of the other as soon as
        that one reads. Their callbacks always run from the loop. :meth:`flush` with
        BEV_FINISHED gives the other one end of file; closing one tells the other nothing.
        """
        from pyevent._filter import _new_pair  # which needs this module
        return _new_pair(cls, base, options)

    def pair_get_partner(self):
        """The other one of a pair; ``None``: it is closed, or this is not of a pair."""
        bev_require(self)
        return self.file() if bufferevent_pair_get_partner(self.bev) != NULL else None

    get_partner = pair_get_partner

    def filter(self, input_filter=None, output_filter=None, int options=0, arg=None):
        """A :class:`Filter` over this connection."""
        from pyevent._filter import Filter  # which needs this module
        return Filter(self, input_filter, output_filter, options, arg)

    def get_underlying(self):
        """What a :class:`Filter` stands on; ``None`` for others."""
        bev_require(self)
        return self.file if isinstance(self.file, BufferEvent) else None

    # -- rate limits

    def set_rate_limit(self, RateLimit limit):
        """Read and write no faster than *limit* says; ``None``: as fast as may be."""
        bev_require(self)
        check(bufferevent_set_rate_limit(self.bev, NULL if limit is None
                                         else limit_require(limit)))

    def get_token_bucket_cfg(self):
        """A :class:`RateLimit` equal to what :meth:`set_rate_limit` has set; or ``None``."""
        bev_require(self)
        return limit_of(<ev_token_bucket_cfg *>bufferevent_get_token_bucket_cfg(self.bev))

    def get_read_limit(self):
        """How many bytes its limit leaves to be read now, maybe less than 0;
        EV_RATE_LIMIT_MAX: it has none."""
        bev_require(self)
        return bufferevent_get_read_limit(self.bev)

    def get_write_limit(self):
        """The same for writing."""
        bev_require(self)
        return bufferevent_get_write_limit(self.bev)

    def get_max_to_read(self):
        """How many bytes it could read at once now: by its limit, its share of its group's, and
        :meth:`get_max_single_read`."""
        bev_require(self)
        return bufferevent_get_max_to_read(self.bev)

    def get_max_to_write(self):
        """The same for writing."""
        bev_require(self)
        return bufferevent_get_max_to_write(self.bev)

    def decrement_read_limit(self, Py_ssize_t decr):
        """Take *decr* bytes off what its limit leaves, or add them if it is negative.

        :raises ValueError: it has no limit.
        """
        bev_require(self)
        bev_limited(self, bufferevent_decrement_read_limit(self.bev, decr))

    def decrement_write_limit(self, Py_ssize_t decr):
        """The same for writing."""
        bev_require(self)
        bev_limited(self, bufferevent_decrement_write_limit(self.bev, decr))

    def add_to_rate_limit_group(self, RateLimitGroup group):
        """Share the limit of *group*, and of no other; ``None``: of none."""
        bev_require(self)
        check(bufferevent_add_to_rate_limit_group(self.bev, NULL if group is None
                                                  else group_require(group)))

    def remove_from_rate_limit_group(self):
        """Be in no group any more."""
        bev_require(self)
        check(bufferevent_remove_from_rate_limit_group(self.bev))


cdef int bev_limited(BufferEvent self, int result) except -1:
    if result < 0:
        raise ValueError(f"{self!r} has no rate limit")
    return 0


cdef int bev_adopt(BufferEvent self, EventBase base, bufferevent *bev, int kind, object file,
                   type plain) except -1:
    """Be the Python object of `bev`; methods are for subclasses of `plain`."""
    self.bev = bev
    attach(self, base, kind)
    self.closes_on_failure = True
    self.file = file
    if type(self) is not plain:
        self.uses_methods = True
        bev_install(self)
    return 0


cdef void bev_end(BufferEvent self) noexcept:
    """Close it when its output has been written."""
    if self.bev != NULL:
        bev_say_goodbye(self, 0)


cdef int bev_install(BufferEvent self) except -1:
    """Have C call what there is to call; with something to call the base holds `self`."""
    cdef bint reads = self.readcb is not None
    cdef bint writes = self.writecb is not None
    cdef bint minds = self.eventcb is not None
    cdef bufferevent_data_cb readable = NULL
    cdef bufferevent_data_cb written = NULL
    if self.uses_methods:
        reads = overrides(self, BufferEvent, "on_read")
        writes = overrides(self, BufferEvent, "on_write")
        minds = overrides(self, BufferEvent, "on_event")
    if reads:
        readable = bev_readable
    if writes:
        written = bev_written
    if reads or writes or minds:
        bufferevent_setcb(self.bev, readable, written, bev_happened, <void *>self)
        hold(self)
    else:
        bufferevent_setcb(self.bev, NULL, NULL, NULL, NULL)
        unhold(self)
    return 0


cdef int bev_change_fd(BufferEvent self, object fd, bint closes_old) except -1:
    cdef bint closes
    cdef int number
    cdef object close_old = None
    bev_require(self)
    if isinstance(self.file, BufferEvent):
        return bev_change_fd(self.file, fd, closes_old)
    closes = pe_bufferevent_closes_fd(self.bev)
    number = fd_to_serve(fd, closes)
    if closes_old:  # an object that owns it must not close the number once more
        close_old = getattr(self.file, "close", None)
    bev_require(self)  # fileno() may have done anything
    unblock_file(fd, number)
    if closes_old and close_old is None:
        check(bufferevent_replacefd(self.bev, number))
    else:
        check(bufferevent_setfd(self.bev, number))
    self.file = give_up(fd, number, closes)
    if close_old is not None:
        close_old()
    return 0


cdef int bev_connect_hostname(BufferEvent self, int family, int flags, str hostname,
                              int port) except -1:
    cdef evutil_addrinfo hints
    cdef bytes name = hostname.encode("ascii" if hostname.isascii() else "idna")
    if not 1 <= port <= 65535:
        raise ValueError(f"port must be 1 to 65535: {port}")
    if b"\0" in name:
        raise ValueError(f"no host has a name with a null character: {hostname!r}")
    bev_require(self)
    memset(&hints, 0, sizeof(hints))
    hints.ai_family = family
    hints.ai_flags = flags
    return check(bufferevent_socket_connect_hostname_hints(self.bev, NULL, &hints, name, port))


cdef object bev_error(BufferEvent self):
    cdef int number = bufferevent_socket_get_dns_error(self.bev)
    cdef size_t left = evbuffer_get_length(bufferevent_get_output(self.bev))
    cdef object peer
    if pe_bufferevent_error(self.bev) == 0:
        return None
    if number != 0:
        import socket  # only a lookup that has failed needs it
        host = (<bytes>pe_bufferevent_host(self.bev)).decode("ascii", "replace")
        return socket.gaierror(number, f"{evutil_gai_strerror(number).decode()}: {host}")
    number = pe_bufferevent_error(self.bev)
    message = os.strerror(number)
    peer = self.peername
    if peer is not None:
        message += f": {address_text(peer)}"
    if left != 0:
        message += f", {left} byte{'s' if left != 1 else ''} of output not sent"
    return OSError(number, message)


cdef str address_text(object address):
    if not isinstance(address, tuple):
        return os.fsdecode(address) if address else "unnamed Unix socket"
    if len(address) == 4:
        return f"[{address[0]}]:{address[1]}"
    return f"{address[0]}:{address[1]}"


cdef tuple socket_option(str name):
    """The level and the number of an option by its name."""
    import socket  # who names options has it loaded
    level = {
        "SO": socket.SOL_SOCKET,
        "TCP": socket.IPPROTO_TCP,
        "IP": socket.IPPROTO_IP,
        "IPV6": socket.IPPROTO_IPV6,
    }.get(name.partition("_")[0])
    number = getattr(socket, name, None)
    if level is None or not isinstance(number, int):
        raise ValueError(f"this system has no socket option {name!r}")
    return level, number


cdef evbuffer *buffer_require(Buffer buf) except NULL:
    if buf.buf == NULL:
        raise ValueError(f"{buf!r} is closed")
    return buf.buf


cdef bint bev_stands_on(Attached one, int fd) noexcept:
    cdef BufferEvent self = <BufferEvent>one
    return self.bev != NULL and bufferevent_getfd(self.bev) == fd
