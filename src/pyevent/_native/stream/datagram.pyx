"""Datagram sockets, in batches.

A Datagram with callbacks is held by its base until it is closed, as a
BufferEvent is, and ends as one does (see stream/bufferevent.pyx).
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.errno cimport ENOBUFS, errno

from pyevent._native.base.address cimport (
    ADDRESS_ANY_PATH,
    ADDRESS_UNNAMED,
    address_of,
    bound_address,
    convert_address,
    is_address,
    sockaddr,
    sockaddr_storage,
    socklen_t,
    to_sockaddr,
)
from pyevent._native.base.arguments cimport bev_flags, check_err
from pyevent._native.c.datagram cimport *
from pyevent._native.c.event cimport event_base
from pyevent._native.c.stream cimport BEV_OPT_CLOSE_ON_FREE
from pyevent._native.loop.attached cimport Attached, attach, detach, hold, register_kind, unhold
from pyevent._native.loop.calling cimport call_out, callback_failed, checked_callback
from pyevent._native.loop.eventbase cimport EventBase, base_enter, leave
from pyevent._native.stream.descriptor cimport drop_taken, fd_owned, give_up

import os


cdef extern from "Python.h":
    int PyErr_ResourceWarning(PyObject *source, Py_ssize_t stack_level, const char *format,
                              ...) except -1


cdef extern from "sys/socket.h":
    int connect(int fd, const sockaddr *address, socklen_t size)


cdef void datagram_detach(Attached one) noexcept:
    cdef Datagram self = <Datagram>one
    cdef evdgram *dgram = self.dgram
    cdef object readcb, eventcb, user_arg, file  # dropped last
    if dgram == NULL:
        return
    self.dgram = NULL
    readcb, eventcb, user_arg, file = self.readcb, self.eventcb, self.user_arg, self.file
    self.readcb = self.eventcb = self.user_arg = self.file = None
    detach(self)
    evdgram_free(dgram)


cdef int datagram_kind = register_kind(datagram_detach)


cdef void call(Datagram self, object callback, object what, str message) noexcept:
    cdef object user_arg = self.user_arg
    cdef PyObject *args[3]
    cdef PyObject *result
    args[0] = <PyObject *>self
    args[1] = <PyObject *>what
    args[2] = <PyObject *>user_arg
    result = call_out(self.owner, self, callback, args, 3)
    if result == NULL:
        callback_failed(self, callback, message)
    Py_XDECREF(result)


cdef list batch_of(const evdgram_message *messages, int count):
    cdef list batch = []
    cdef int i
    for i in range(count):
        batch.append((PyBytes_FromStringAndSize(<const char *>messages[i].data, messages[i].len),
                      address_of(messages[i].addr, messages[i].addrlen)))
    return batch


cdef void datagram_read(evdgram *dgram, const evdgram_message *messages, int count,
                        void *arg) noexcept:
    cdef Datagram self = <Datagram>arg
    cdef object batch, callback
    try:
        batch = batch_of(messages, count)
    except BaseException:
        return  # no memory for them: lost, as datagrams may be
    callback = self.readcb
    if callback is not None:  # a finalizer may have closed it meanwhile
        call(self, callback, batch, "exception in read callback")


cdef void datagram_happened(evdgram *dgram, short what, void *arg) noexcept:
    cdef int number = errno
    cdef Datagram self = <Datagram>arg
    cdef object flags = bev_flags(what)  # may run code, the first time
    cdef object callback = self.eventcb
    self.last_error = number
    if callback is not None:
        call(self, callback, flags, "exception in event callback")


cdef evdgram *datagram_enter(Datagram self) except NULL:
    if self.dgram == NULL:
        raise RuntimeError(f"{self!r}: the socket or its base is closed, or it was never set up")
    return self.dgram


cdef event_base *datagram_open(Datagram self, EventBase base) except NULL:
    """It is about to be set up: the C base."""
    if self.owner is not None:
        raise RuntimeError(f"{self!r} is set up already")
    return base_enter(base)


@cython.trashcan(True)  # a chain of them through `arg` may be of any length
cdef class Datagram(Attached):
    """A datagram socket: UDP, or Unix.

    :param base: the :class:`EventBase` that serves it.
    :param fd_or_address: a datagram socket, which becomes non-blocking: an ``int`` or an
        object with a ``fileno()``; or the address to bind a new one to: ``(host, port)``
        with a numeric host, or the path of a Unix socket: a ``str`` with a slash, ``bytes``
        or a path-like object; of an empty one the kernel makes an abstract name of its own.
    :param options: with BEV_OPT_CLOSE_ON_FREE, as it is unless others are given, the
        descriptor is closed with it: an ``int`` is its own from now on, a socket gives its
        descriptor up, of any other object it takes a duplicate. Without, it closes nothing
        but what it has bound itself, and keeps an object alive.
    :raises OSError: the address cannot be bound.
    :raises RuntimeError: the base is closed.

    Messages keep their boundaries. There is no buffer of bytes here: what comes goes to
    the read callback, a batch at a time; what is sent is queued, message by message, and
    goes out at the end of the loop's turn. What is for a receiver that takes nothing (a Unix
    socket whose queue is full) waits, in half of the queue at most, and holds up nobody
    else. With callbacks the base keeps it alive. One that is dropped with a descriptor of
    its own is closed, with a ``ResourceWarning``.
    """

    cdef evdgram *dgram       # NULL: closed
    cdef object readcb
    cdef object eventcb
    cdef object user_arg
    cdef object file          # an object that owns the fd; None: we do, or nobody
    cdef bint closes          # the fd is closed with it
    cdef int last_error

    def __init__(self, EventBase base not None, fd_or_address,
                 int options=BEV_OPT_CLOSE_ON_FREE):
        cdef sockaddr_storage storage
        cdef int size = 0, fd = -1, error
        cdef bint binds = is_address(fd_or_address)
        cdef bint closes = binds or options & BEV_OPT_CLOSE_ON_FREE
        cdef evdgram *dgram
        cdef event_base *c_base
        if binds:
            convert_address(fd_or_address, ADDRESS_UNNAMED, &storage, &size)
        else:
            fd = fd_owned(fd_or_address, closes)
            if fd < 0:
                raise TypeError("a datagram socket or an address is needed, "
                                f"not {fd_or_address!r}")
        try:
            c_base = datagram_open(self, base)
        except BaseException:
            drop_taken(fd_or_address, fd, closes)
            raise
        if binds:
            dgram = evdgram_new_bind(c_base, <const sockaddr *>&storage, size)
        else:
            dgram = evdgram_new(c_base, fd, BEV_OPT_CLOSE_ON_FREE if closes else 0)
        if dgram == NULL:
            error = errno
            drop_taken(fd_or_address, fd, closes)
            leave(base, 0)
            check_err(-error, fd_or_address)
        self.dgram = dgram
        self.closes = closes
        attach(self, base, datagram_kind)
        self.file = None if binds else give_up(fd_or_address, fd, closes)
        leave(base, 0)

    def __del__(self):
        if self.dgram == NULL or self.is_held:
            return  # one that is held goes with its base, which closes it and says so
        try:
            if self.closes:
                PyErr_ResourceWarning(<PyObject *>self, 1, "unclosed %R", <PyObject *>self)
        finally:
            datagram_detach(self)

    def __dealloc__(self):
        if self.dgram != NULL:  # a subclass's finalizer has not called ours
            datagram_detach(self)

    def __repr__(self):
        cdef str name = type(self).__name__
        cdef evdgram *dgram = self.dgram
        cdef size_t queued
        cdef unsigned long long dropped
        cdef int fd
        if dgram == NULL:
            return f"<{name} closed>"
        fd = evdgram_get_fd(dgram)
        queued = evdgram_get_queued(dgram)
        dropped = evdgram_get_dropped(dgram)
        return f"<{name} fd={fd} queued={queued} dropped={dropped}>"

    def __enter__(self):
        datagram_enter(self)
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self):
        """Close it; messages that wait are dropped. Closing again does nothing."""
        datagram_detach(self)

    free = close

    @property
    def closed(self):
        """Whether it, or its base, has been closed."""
        return self.dgram == NULL

    def setcb(self, readcb=None, eventcb=None, arg=None):
        """Set what is called, each with *arg* last; ``None``: nothing.

        :param readcb: ``readcb(datagram, messages, arg)``: up to 64 ``(bytes, address)``
            that have come. Reading is on while there is one.
        :param eventcb: ``eventcb(datagram, what, arg)``: ``BEV_EVENT_ERROR`` with
            ``READING`` or ``WRITING``; see :attr:`error`. The socket goes on.
        """
        cdef evdgram *dgram
        cdef object old_readcb, old_eventcb, old_arg  # dropped last
        cdef bint reads = readcb is not None
        cdef int result
        checked_callback(readcb, "readcb")
        checked_callback(eventcb, "eventcb")
        dgram = datagram_enter(self)
        old_readcb, old_eventcb, old_arg = self.readcb, self.eventcb, self.user_arg
        self.readcb = readcb
        self.eventcb = eventcb
        self.user_arg = arg
        if readcb is None and eventcb is None:
            evdgram_setcb(dgram, NULL, NULL, NULL)
            result = evdgram_disable(dgram)
            unhold(self)
        else:
            evdgram_setcb(dgram, datagram_read, datagram_happened, <void *>self)
            hold(self)
            result = evdgram_enable(dgram) if reads else evdgram_disable(dgram)
        leave(self.owner, result)

    def send(self, data, address=None):
        """Queue one message, any bytes-like object.

        :param address: where it goes; ``None``: to the peer of a connected socket. Any
            address that the read callback was given.
        :returns: whether it was queued; False: the queue is full, or too much waits already
            for a receiver that takes nothing, and it was dropped.
        :raises OSError: ``EMSGSIZE``: it is longer than any datagram; ``EAFNOSUPPORT``: the
            address is of another family.
        """
        cdef sockaddr_storage storage
        cdef const sockaddr *to = NULL
        cdef int size = 0
        cdef int error = 0
        cdef Py_buffer view
        if address is not None:
            convert_address(address, ADDRESS_ANY_PATH, &storage, &size)
            to = <const sockaddr *>&storage
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if evdgram_send(datagram_enter(self), view.buf, view.len, to, size) < 0:
                error = errno
            leave(self.owner, 0)
        finally:
            PyBuffer_Release(&view)
        if error == ENOBUFS:
            return False
        check_err(-error, address)
        return True

    def connect(self, address):
        """Send to *address* and take messages from there only; its ICMP errors are told.

        :param address: ``(host, port)`` with a numeric host, or the path of a Unix socket.
        """
        cdef sockaddr_storage storage
        cdef int size = 0, error = 0
        to_sockaddr(address, &storage, &size)
        if connect(evdgram_get_fd(datagram_enter(self)), <const sockaddr *>&storage, size) < 0:
            error = errno
        leave(self.owner, 0)
        check_err(-error, address)

    def enable(self):
        """Read."""
        leave(self.owner, evdgram_enable(datagram_enter(self)))

    def disable(self):
        """Leave what comes in the kernel."""
        leave(self.owner, evdgram_disable(datagram_enter(self)))

    def set_queue_max(self, size_t size):
        """Let at most *size* bytes wait; 1 MiB at first. What waits already stays."""
        evdgram_set_queue_max(datagram_enter(self), size)
        leave(self.owner, 0)

    @property
    def queued(self):
        """Bytes that wait to be sent."""
        return evdgram_get_queued(datagram_enter(self))

    @property
    def dropped(self):
        """Messages that were dropped so far: no room for them, not sendable, too long to be
        received, nobody to read them."""
        return evdgram_get_dropped(datagram_enter(self))

    @property
    def error(self):
        """The :class:`OSError` that the event callback was last told of; ``None``: none."""
        datagram_enter(self)
        return OSError(self.last_error, os.strerror(self.last_error)) if self.last_error else None

    def get_fd(self):
        """Its descriptor."""
        return evdgram_get_fd(datagram_enter(self))

    fd = property(get_fd)

    def fileno(self):
        """As :attr:`fd`."""
        return evdgram_get_fd(datagram_enter(self))

    def get_base(self):
        """Its base."""
        datagram_enter(self)
        return self.owner

    base = property(get_base)

    @property
    def address(self):
        """What it is bound to: a tuple with the real port, or a path."""
        return bound_address(evdgram_get_fd(datagram_enter(self)))
