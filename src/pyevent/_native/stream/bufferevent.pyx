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
from cpython.ref cimport Py_DECREF
from libc.errno cimport EBUSY, ENOBUFS, EPERM, ESPIPE, errno
from libc.limits cimport INT_MAX
from libc.stdint cimport int64_t
from libc.string cimport memset
from posix.time cimport timeval

from pyevent._native.base.address cimport (
    address_of,
    sockaddr,
    sockaddr_storage,
    socklen_t,
    to_sockaddr,
)
from pyevent._native.base.arguments cimport (
    bev_flags,
    check,
    check_err,
    event_flags,
    fd_of,
    to_ns,
    to_timeval,
)
from pyevent._native.buf.buffer cimport Buffer, buffer_enter, buffer_orphan, buffer_view
from pyevent._native.c.buffer cimport evbuffer, evbuffer_get_length, evbuffer_remove
from pyevent._native.c.event cimport EV_READ, EV_WRITE
from pyevent._native.c.stream cimport *
from pyevent._native.loop.attached cimport (
    Attached,
    attach,
    close_attached,
    detach,
    hold,
    register_kind,
    unhold,
)
from pyevent._native.loop.calling cimport call_out, callback_failed
from pyevent._native.loop.eventbase cimport EventBase, base_enter, leave
from pyevent._native.stream.ratelimit cimport (
    RateLimit,
    RateLimitGroup,
    group_enter,
    limit_enter,
    limit_of,
)

import os
import stat
import sys


cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        pass
    Py_ssize_t Py_REFCNT(PyObject *)
    bint PyObject_TypeCheck(object, PyTypeObject *)
    int PyErr_ResourceWarning(PyObject *source, Py_ssize_t stack_level, const char *format,
                              ...) except -1
    int PyErr_WarnFormat(object category, Py_ssize_t stack_level, const char *format,
                         ...) except -1


cdef extern from "arpa/inet.h":
    int AF_INET
    int inet_pton(int family, const char *src, void *dst)


cdef extern from "sys/socket.h":
    int getsockname(int fd, sockaddr *address, socklen_t *size)
    int getsockopt(int fd, int level, int name, void *value, socklen_t *size)


cdef int64_t LINGER_NS = 60_000_000_000  # for a peer that takes nothing of what is left for it


# --- what listeners share with it ------------------------------------------------------

cdef bint call(Attached self, object callback, PyObject **args, size_t n, str message) noexcept:
    """Whether the callback went well; if not, the base's exception handler has been told."""
    cdef PyObject *result = call_out(self.owner, self, callback, args, n)
    if result == NULL:
        callback_failed(self, callback, message)
        return False
    Py_DECREF(<object>result)
    return True


cdef int fd_owned(object file, bint closes) except -2:
    """The descriptor of `file`; -1 for none. With `closes` it is to be ours: an int as it is,
    a socket's when give_up() is called, of any other object a duplicate, which
    drop_taken() closes if it is not served after all. May run any code."""
    cdef int fd
    if file is None or (isinstance(file, int) and file == -1):
        return -1
    fd = fd_of(file)
    if closes and not isinstance(file, int) and not is_socket(file):
        fd = os.dup(fd)
    return fd


cdef int fd_taken(object file, bint closes) except -2:
    """The same for a connection: what an object stands for is made non-blocking, a number is
    its user's to prepare."""
    cdef int fd = fd_owned(file, closes)
    cdef int err
    if fd < 0:
        return fd
    if isinstance(file, int):
        if dev_mode:
            warn_if_blocking(fd)
        return fd
    err = pe_sock_nonblock(fd)
    if err < 0:
        drop_taken(file, fd, closes)
        check_err(err, file)
    return fd


cdef void drop_taken(object file, int fd, bint closes) noexcept:
    """It has come to nothing: what fd_owned() has made is closed, all else is its owner's."""
    if closes and fd >= 0 and not isinstance(file, int) and not is_socket(file):
        pe_close(fd)


cdef bint dev_mode = sys.flags.dev_mode


cdef int warn_if_blocking(int fd) except -1:
    try:
        blocks = os.get_blocking(fd)
    except OSError:
        return 0  # who uses it will be told
    if blocks:
        PyErr_WarnFormat(RuntimeWarning, 1, "descriptor %d blocks: a connection of it may stop "
                         "the loop; os.set_blocking(fd, False) it first", fd)
    return 0


cdef bint is_socket(object file) noexcept:
    """Whether it is an object of the socket module. Runs no code."""
    cdef object kind = socket_type()
    return kind is not None and PyObject_TypeCheck(file, <PyTypeObject *>kind)


cdef object socket_type():
    """The C type beneath socket.socket; None: nobody has loaded it, so there are no sockets."""
    cdef object module = sys.modules.get("_socket")
    cdef object kind = None if module is None else getattr(module, "socket", None)
    return kind if isinstance(kind, type) else None


cdef object give_up(object file, int fd, bint closes):
    """`fd` of `file` is in use: who is to be kept alive for it, or None. With `closes`
    it is ours now. Runs no code: socket.socket.detach() would, in a subclass."""
    if fd < 0 or isinstance(file, int):
        return None
    if not closes:
        return file
    if is_socket(file):
        socket_type().detach(file)
    return None


cdef bint overrides(object self, type base, str name) except -1:
    return overrides_in(type(self), base, name)


cdef bint overrides_in(type cls, type base, str name) except -1:
    return getattr(cls, name, None) is not getattr(base, name)


cdef object checked_callback(object callback, str what):
    if callback is not None and not callable(callback):
        raise TypeError(f"{what} must be callable or None, not {callback!r}")
    return callback


# --- connections ------------------------------------------------------------------

cdef enum:
    # What of a connection is to be called.
    CALLS_READ = 1
    CALLS_WRITE = 2
    CALLS_EVENT = 4
    NO_METHODS = 8  # there is no subclass


cdef int bev_refuse(BufferEvent self) except -1:
    raise RuntimeError(f"{self!r}: the connection or its base is closed, or it was never set up")


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
    cdef object flags = bev_flags(what)  # may run code, the first time
    cdef object callback = self.eventcb
    cdef object user_arg = self.user_arg
    cdef PyObject *args[3]
    args[0] = <PyObject *>self
    args[1] = <PyObject *>flags
    args[2] = <PyObject *>user_arg
    if self.bev == NULL:
        return
    if callback is not None:
        call(self, callback, args, 3, "exception in event callback")
    elif self.uses_methods and overrides(self, BufferEvent, "on_event"):
        call(self, type(self).on_event, args, 2, "exception in event callback")
    elif what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT):
        bev_close_gracefully(self, what)


cdef void bev_close_gracefully(BufferEvent self, int what) noexcept:
    """Nobody looks after the end of this connection: close it, at EOF after its output."""
    if what & (BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT) or not bev_stays_for_output(self):
        self.close()


cdef void bev_end(BufferEvent self) noexcept:
    """Close it when its output has been written."""
    if self.bev != NULL:
        bev_close_gracefully(self, 0)


cdef bint bev_stays_for_output(BufferEvent self) noexcept:
    """Whether it will close itself when its output, of which there is some, is written."""
    return (self.bev != NULL and evbuffer_get_length(bufferevent_get_output(self.bev)) != 0
            and bev_leave(self, LINGER_NS) == 0)


cdef int bev_leave(BufferEvent self, int64_t limit_ns) noexcept:
    """Close it after its output; 0 or a negative errno. The base holds it until then."""
    cdef bint was_held = self.is_held
    cdef int err
    hold(self)  # before it: code may run in there that closes the connection, or keeps it
    err = pe_bev_close_after_flush(self.bev, limit_ns, bev_gone, <void *>self)
    if err < 0 and not was_held and self.bev != NULL:
        unhold(self)
    return err


cdef void bev_gone(bufferevent *bev, void *arg) noexcept:
    cdef BufferEvent self = <BufferEvent>arg
    self.close()


cdef void bev_too_much(bufferevent *bev, void *arg) noexcept:
    cdef BufferEvent self
    cdef object callback
    if Py_REFCNT(<PyObject *>arg) == 0:
        return  # not held, and in the middle of its deallocation
    self = <BufferEvent>arg
    callback = self.highcb
    if callback is not None:
        bev_data(self, callback, None, "exception in output_high callback")


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
        limits_of(type(self), max_input, max_output, resume_output, max_lookups, &limits)
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

    # -- what it is made of

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

    def get_base(self):
        """Its base."""
        bev_enter(self)
        return self.owner

    base = property(get_base)

    def getfd(self):
        """Its descriptor; -1: none."""
        return bufferevent_getfd(bev_enter(self))

    fd = property(getfd)

    def fileno(self):
        """As :attr:`fd`."""
        return bufferevent_getfd(bev_enter(self))

    def setfd(self, fd):
        """Go on with another descriptor (-1: none); the old one stays open."""
        bev_change_fd(self, fd, False)

    def replacefd(self, fd):
        """Go on with another descriptor (-1: none); the old one is closed.

        With the descriptor that it has already nothing changes.
        """
        bev_change_fd(self, fd, True)

    @property
    def error(self):
        """The :class:`OSError` of the last BEV_EVENT_ERROR; ``None``: there was none.

        Its ``filename`` is the peer's address as text, its ``strerror`` says how many bytes of
        output the kernel has not taken, if any: what it has taken may not have arrived
        either. A ``socket.gaierror`` where a name was not found (its ``filename``), a
        ``BufferError`` where the input was full (``max_input``).
        """
        return bev_error(self)

    @property
    def peername(self):
        """The peer's address as the socket module gives it; ``None``: there is none.

        It stays known when the connection is broken, or could not be made.
        """
        cdef sockaddr_storage storage
        cdef socklen_t size = sizeof(storage)
        bev_enter(self)
        if bufferevent_socket_get_peer(bev_enter(bottom_of(self)), <sockaddr *>&storage,
                                       &size) < 0:
            return None
        return address_of(<const sockaddr *>&storage, <int>size)

    @property
    def sockname(self):
        """Its own address; ``None``: there is none."""
        cdef sockaddr_storage storage
        cdef socklen_t size = sizeof(storage)
        if getsockname(bufferevent_getfd(bev_enter(self)), <sockaddr *>&storage, &size) < 0:
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
        check_err(pe_sock_option(bufferevent_getfd(bev_enter(self)), level, option, value), name)

    def get_option(self, str name not None):
        """The value of such an option."""
        cdef int level, option, value = 0
        cdef socklen_t size = sizeof(value)
        level, option = socket_option(name)
        leave(self.owner, getsockopt(bufferevent_getfd(bev_enter(self)), level, option, &value,
                                     &size))
        return value

    def set_keepalive(self, int seconds):
        """Have the kernel look, after *seconds* of silence, whether the peer is still there
        (TCP). 0: no longer."""
        leave(self.owner, evutil_set_tcp_keepalive(bufferevent_getfd(bev_enter(self)),
                                                   seconds > 0, seconds))

    def stats(self):
        """What it has done since this was first asked, as a ``dict``.

        ``bytes_read``, ``bytes_written``, and ``reads`` and ``writes``, the system calls.
        Before the first call nothing is counted.
        """
        cdef bufferevent_stats found
        leave(self.owner, bufferevent_get_stats(bev_enter(self), &found))
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

    def connect(self, address):
        """Connect; the event callback gets BEV_EVENT_CONNECTED or BEV_EVENT_ERROR.

        :param address: ``(host, port)`` with a numeric IPv4 or IPv6 host, an IPv6
            4-tuple, or the path of a Unix socket: a ``str`` with a slash, ``bytes`` or a
            path-like object. ``None``: it is under way already.
        :raises OSError: nothing was begun.
        """
        cdef sockaddr_storage storage
        cdef const sockaddr *to = NULL
        cdef int size = 0
        if address is not None:
            to_sockaddr(address, &storage, &size)
            to = <const sockaddr *>&storage
        leave(self.owner, bufferevent_socket_connect(bev_to_connect(self), to, size))

    socket_connect = connect

    def connect_hostname(self, str hostname not None, int port, int family=0):
        """Look *hostname* up and connect; the event callback is told as for :meth:`connect`.

        All addresses that the name has are tried, a new one every 250 ms or when one has
        failed, until one is connected.

        :param port: 1 to 65535.
        :param family: ``socket.AF_INET`` or ``AF_INET6``; 0: both.
        :raises OSError: nothing was begun; ``ENOBUFS``: too many names are being looked up.
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
        if hints is None:
            hints = {}
        elif not hasattr(hints, "get"):
            raise TypeError(f"hints must be a mapping or None, not {hints!r}")
        bev_connect_hostname(self, hints.get("family", 0), hints.get("flags", 0), hostname, port)

    def socket_get_dns_error(self):
        """The ``EAI_*`` number of the last lookup; 0: it has found something."""
        return bufferevent_socket_get_dns_error(bev_enter(self))

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

    def get_enabled(self):
        """``EV_READ`` and ``EV_WRITE`` as they are enabled."""
        return event_flags(bufferevent_get_enabled(bev_enter(self)))

    enabled = property(get_enabled)

    def set_timeouts(self, read=None, write=None):
        """Report BEV_EVENT_TIMEOUT when nothing was read for *read* seconds while reading
        is enabled, or nothing written for *write* seconds while output waits."""
        cdef timeval read_tv, write_tv
        cdef timeval *read_limit = seconds_or_null(read, &read_tv)
        cdef timeval *write_limit = seconds_or_null(write, &write_tv)
        leave(self.owner, bufferevent_set_timeouts(bev_enter(self), read_limit, write_limit))

    def setwatermark(self, int events, size_t lowmark, size_t highmark=0):
        """Set the marks of ``EV_READ``, ``EV_WRITE`` or both, in bytes.

        Reading: the read callback runs from *lowmark* on, and reading pauses at *highmark*
        (0: no limit). Writing: the write callback runs at *lowmark* or less.
        """
        bufferevent_setwatermark(bev_enter(self), <short>events, lowmark, highmark)

    def getwatermark(self, int events):
        """``(lowmark, highmark)`` of ``EV_READ`` or of ``EV_WRITE``."""
        cdef size_t low, high
        if bufferevent_getwatermark(bev_enter(self), <short>events, &low, &high) < 0:
            raise ValueError(f"getwatermark() takes EV_READ or EV_WRITE, not {events!r}")
        return low, high

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

    def priority_set(self, int priority):
        """Set the priority of its callbacks; 0 is the most urgent."""
        if bufferevent_priority_set(bev_enter(self), priority) < 0:
            raise ValueError(f"{self!r}: its base has no priority {priority}")

    def get_priority(self):
        """The priority of its callbacks."""
        return bufferevent_get_priority(bev_enter(self))

    @property
    def priority(self):
        """The priority of its callbacks; 0 is the most urgent."""
        return bufferevent_get_priority(bev_enter(self))

    @priority.setter
    def priority(self, int priority):
        self.priority_set(priority)

    def set_max_single_read(self, size_t size):
        """Read at most so many bytes at a time; 0: the default."""
        leave(self.owner, bufferevent_set_max_single_read(bev_enter(self), size))

    def set_max_single_write(self, size_t size):
        """Write at most so many bytes at a time; 0: the default."""
        leave(self.owner, bufferevent_set_max_single_write(bev_enter(self), size))

    def get_max_single_read(self):
        """What :meth:`set_max_single_read` has set; 16384 before."""
        return bufferevent_get_max_single_read(bev_enter(self))

    def get_max_single_write(self):
        """What :meth:`set_max_single_write` has set; 16384 before."""
        return bufferevent_get_max_single_write(bev_enter(self))

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
        limits_of(cls, max_input, max_output, resume_output, ..., &limits)
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

    # -- limits

    def set_input_max(self, max_input):
        """Let so many bytes of input wait at most; ``None``: any number. See the class."""
        cdef size_t most = limit_of_argument(max_input, "max_input")
        leave(self.owner, bufferevent_set_input_max(bev_enter(self), most))

    def get_input_max(self):
        """What was set; ``None``: no limit."""
        return limit_or_none(bufferevent_get_input_max(bev_enter(self)))

    def set_output_pause(self, max_output, resume_output=...):
        """Do not read while more than *max_output* bytes of output wait, until they are
        down to *resume_output* (a quarter of that, if not given); ``None``: read always."""
        cdef size_t high = limit_of_argument(max_output, "max_output")
        cdef size_t low = high // 4
        if resume_output is not ...:
            low = resume_of(resume_output, high)
        leave(self.owner, bufferevent_set_output_pause(bev_enter(self), high, low))

    def get_output_pause(self):
        """``(max_output, resume_output)`` as they were set; ``None`` twice: no limit."""
        cdef size_t high, low
        bufferevent_get_output_pause(bev_enter(self), &high, &low)
        return (None, None) if high == 0 else (high, low)

    # -- rate limits

    def set_rate_limit(self, RateLimit limit):
        """Read and write no faster than *limit* says; ``None``: as fast as may be."""
        cdef bufferevent *bev = bev_enter(self)
        leave(self.owner, bufferevent_set_rate_limit(bev, NULL if limit is None
                                                     else limit_enter(limit)))

    def get_token_bucket_cfg(self):
        """A :class:`RateLimit` equal to what :meth:`set_rate_limit` has set; or ``None``."""
        cdef RateLimit made = RateLimit.__new__(RateLimit)  # which may run code
        limit_of(made, <ev_token_bucket_cfg *>bufferevent_get_token_bucket_cfg(bev_enter(self)))
        return made if made.cfg != NULL else None

    def get_read_limit(self):
        """How many bytes its limit leaves to be read now, maybe less than 0;
        EV_RATE_LIMIT_MAX: it has none."""
        return bufferevent_get_read_limit(bev_enter(self))

    def get_write_limit(self):
        """The same for writing."""
        return bufferevent_get_write_limit(bev_enter(self))

    def get_max_to_read(self):
        """How many bytes it could read at once now: by its limit, its share of its group's, and
        :meth:`get_max_single_read`."""
        return bufferevent_get_max_to_read(bev_enter(self))

    def get_max_to_write(self):
        """The same for writing."""
        return bufferevent_get_max_to_write(bev_enter(self))

    def decrement_read_limit(self, Py_ssize_t decr):
        """Take *decr* bytes off what its limit leaves, or add them if it is negative.

        :raises ValueError: it has no limit.
        """
        bev_limited(self, bufferevent_decrement_read_limit(bev_enter(self), decr))

    def decrement_write_limit(self, Py_ssize_t decr):
        """The same for writing."""
        bev_limited(self, bufferevent_decrement_write_limit(bev_enter(self), decr))

    def add_to_rate_limit_group(self, RateLimitGroup group):
        """Share the limit of *group*, and of no other; ``None``: of none."""
        cdef bufferevent *bev = bev_enter(self)
        leave(self.owner, bufferevent_add_to_rate_limit_group(bev, NULL if group is None
                                                              else group_enter(group)))

    def remove_from_rate_limit_group(self):
        """Be in no group any more."""
        leave(self.owner, bufferevent_remove_from_rate_limit_group(bev_enter(self)))


cdef int bev_limited(BufferEvent self, int result) except -1:
    if result < 0:
        raise ValueError(f"{self!r} has no rate limit")
    return 0


# --- making them ----------------------------------------------------------------------

cdef int methods_of(type cls, type plain) except -1:
    """Which of the methods that are called `cls` defines; `plain` has none. May run code."""
    if cls is plain:
        return NO_METHODS
    return ((CALLS_READ if overrides_in(cls, BufferEvent, "on_read") else 0)
            | (CALLS_WRITE if overrides_in(cls, BufferEvent, "on_write") else 0)
            | (CALLS_EVENT if overrides_in(cls, BufferEvent, "on_event") else 0))


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


cdef void bev_install(BufferEvent self, bufferevent *bev, int calls) noexcept:
    """Have C call what there is to call; with something to call the base holds `self`."""
    cdef bufferevent_data_cb readable = NULL
    cdef bufferevent_data_cb written = NULL
    if calls == 0:
        bufferevent_setcb(bev, NULL, NULL, NULL, NULL)
        unhold(self)
        return
    if calls & CALLS_READ:
        readable = bev_readable
    if calls & CALLS_WRITE:
        written = bev_written
    bufferevent_setcb(bev, readable, written, bev_happened, <void *>self)
    hold(self)


# --- limits -----------------------------------------------------------------------------

cdef size_t limit_of_argument(object value, str name) except? 0:
    """A number of bytes, or of lookups; 0 for ``None``, which is no limit."""
    cdef Py_ssize_t n
    if value is None:
        return 0
    n = value
    if n <= 0:
        raise ValueError(f"{name} must be positive, or None for no limit, not {n}")
    return <size_t>n


cdef object limit_or_none(size_t limit):
    return None if limit == 0 else limit


cdef size_t resume_of(object value, size_t high) except? 0:
    """How far output must fall that was above `high`."""
    cdef Py_ssize_t n = 0 if value is None else value
    if n < 0 or (high != 0 and <size_t>n > high):
        raise ValueError(f"resume_output must be 0 to max_output, not {n}")
    return <size_t>n


cdef int limits_of(type cls, object max_input, object max_output, object resume_output,
                   object max_lookups, bev_limits *limits) except -1:
    """What the arguments say, the class where they are not given. May run code."""
    cdef size_t lookups
    limits.input_max = limit_of_argument(cls.max_input if max_input is ... else max_input,
                                         "max_input")
    limits.pauses_by_default = max_output is ... and cls.max_output is BufferEvent.max_output
    limits.pause_high = limit_of_argument(cls.max_output if max_output is ... else max_output,
                                          "max_output")
    if resume_output is not ...:
        limits.pause_low = resume_of(resume_output, limits.pause_high)
    else:
        limits.pause_low = resume_of(cls.resume_output, 0)
        if limits.pause_low > limits.pause_high:
            limits.pause_low = limits.pause_high // 4
    lookups = limit_of_argument(cls.max_lookups if max_lookups is ... else max_lookups,
                                "max_lookups")
    if lookups > 0xffff:
        raise ValueError(f"max_lookups must be less than 65536, or None, not {lookups}")
    limits.lookups_max = <unsigned short>lookups
    return 0


cdef void no_pause_by_default(bev_limits *limits) noexcept:
    if limits.pauses_by_default:
        limits.pauses_by_default = False
        limits.pause_high = limits.pause_low = 0


cdef bufferevent *bev_to_connect(BufferEvent self) except NULL:
    """That of a connection about to be made: it reads on whatever its output."""
    cdef bufferevent *bev = bev_enter(self)
    if self.pauses_by_default:
        self.pauses_by_default = False
        check_err(pe_bev_set_limits(bev, bufferevent_get_input_max(bev), 0, 0), self)
    return bev_enter(self)


cdef int bev_limit(bufferevent *bev, bev_limits *limits) noexcept:
    """Give it these limits; 0 or a negative errno."""
    if limits == NULL:
        return 0
    return pe_bev_set_limits(bev, limits.input_max, limits.pause_high, limits.pause_low)


# --- descriptors, names, errors -----------------------------------------------------------

cdef BufferEvent bottom_of(BufferEvent self):
    """What a stack of filters stands on; of any other itself."""
    cdef BufferEvent at = self
    while isinstance(at.file, BufferEvent):
        at = at.file
    return at


cdef int bev_change_fd(BufferEvent self, object fd, bint closes_old) except -1:
    cdef BufferEvent bottom
    cdef bufferevent *bev
    cdef object owner, close_old = None  # what is dropped last
    cdef bint closes
    cdef int number, result
    bev_enter(self)
    bottom = bottom_of(self)
    closes = pe_bufferevent_closes_fd(bev_enter(bottom))  # as it was made: for good
    owner = bottom.file
    if closes_old:  # an object that owns it must not close the number once more
        close_old = getattr(owner, "close", None)
    number = fd_taken(fd, closes)
    try:
        bev_enter(self)  # all that may have done anything
        bev = bev_enter(bottom)
        if bottom.file is not owner:
            raise RuntimeError(f"{self!r}: its descriptor was changed meanwhile")
        if closes_old and number >= 0 and number == bufferevent_getfd(bev):
            if closes:
                give_up(fd, number, closes)  # of two owners one
            return 0
        if closes_old and close_old is None:
            result = bufferevent_replacefd(bev, number)
        else:
            result = bufferevent_setfd(bev, number)
        leave(bottom.owner, result)
    except BaseException:
        drop_taken(fd, number, closes)
        raise
    kept = give_up(fd, number, closes)
    if bottom.bev != NULL:
        bottom.file = kept
    if close_old is not None:
        close_old()
    return 0


cdef int bev_connect_hostname(BufferEvent self, int family, int flags, str hostname,
                              int port) except -1:
    cdef evutil_addrinfo hints
    cdef bytes name = hostname.encode("ascii" if hostname.isascii() else "idna")
    cdef bufferevent *bev
    if not 1 <= port <= 65535:
        raise ValueError(f"port must be 1 to 65535: {port}")
    if b"\0" in name:
        raise ValueError(f"no host has a name with a null character: {hostname!r}")
    memset(&hints, 0, sizeof(hints))
    hints.ai_family = family
    hints.ai_flags = flags
    bev = bev_to_connect(self)
    if (self.lookups_max != 0 and <size_t>pe_pool_of_lookups_jobs() >= self.lookups_max
            and not is_numeric(name)):
        raise OSError(ENOBUFS, f"{self.lookups_max} names are being looked up already: "
                               f"{hostname}")
    return leave(self.owner, bufferevent_socket_connect_hostname_hints(bev, NULL, &hints, name,
                                                                      port))


cdef bint is_numeric(bytes name) noexcept:
    """Whether it is an address, which needs no lookup."""
    cdef char address[16]
    return b":" in name or inet_pton(AF_INET, name, address) == 1


cdef object bev_error(BufferEvent self):
    cdef sockaddr_storage storage
    cdef socklen_t size = sizeof(storage)
    cdef bufferevent *bev = bev_enter(self)
    cdef int number = pe_bufferevent_error(bev)
    cdef int dns = bufferevent_socket_get_dns_error(bev)
    cdef size_t left = evbuffer_get_length(bufferevent_get_output(bev))
    cdef size_t most = bufferevent_get_input_max(bev)
    cdef const char *name = pe_bufferevent_host(bev)
    cdef BufferEvent bottom
    cdef object host = None if name == NULL else <bytes>name
    cdef bint has_peer
    if number == 0:
        return None
    bottom = bottom_of(self)
    has_peer = bottom.bev != NULL and bufferevent_socket_get_peer(
        bottom.bev, <sockaddr *>&storage, &size) == 0
    if dns != 0:
        import socket  # only a lookup that has failed needs it
        host = "" if host is None else host.decode("ascii", "replace")
        return socket.gaierror(dns, evutil_gai_strerror(dns).decode(), host)
    peer = address_of(<const sockaddr *>&storage, <int>size) if has_peer else None
    peer = None if peer is None else address_text(peer)
    if number == ENOBUFS and most != 0:
        return BufferError(f"the input is full: {most} bytes, of which the read callback "
                           f"takes nothing{'' if peer is None else f': {peer}'}")
    message = os.strerror(number)
    if left != 0:
        message += f", {left} byte{'s' if left != 1 else ''} of output not sent"
    return OSError(number, message) if peer is None else OSError(number, message, peer)


cdef int read_failed(BufferEvent self, int error) except -1:
    """Raise why nothing could be taken from its input, as Buffer.remove() does."""
    if error == EPERM:
        raise PermissionError(error, f"the start of the input is frozen: {self!r}")
    if error == EBUSY:
        raise BufferError(f"a memoryview holds the input in place: {self!r}")
    return check_err(-error, self)


cdef int refuse_stream(int fd, object file) except -1:
    """What has no length cannot be sent as a file: reading it would stop the loop."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode):
        raise OSError(ESPIPE, f"no regular file, but a stream of bytes: {file!r}")
    return 0


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


cdef bint bev_stands_on(Attached one, int fd) noexcept:
    cdef BufferEvent self = <BufferEvent>one
    return self.bev != NULL and bufferevent_getfd(self.bev) == fd
