"""Datagram sockets, in batches.

A Datagram with callbacks is held by its base until it is closed, as a
BufferEvent is (see _loop.pyx).
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.errno cimport ENOBUFS, errno

from pyevent._core cimport (
    address_of,
    bound_address,
    bev_flags,
    check,
    fd_of,
    sockaddr,
    sockaddr_storage,
    to_sockaddr,
)
from pyevent._loop cimport (
    Attached,
    EventBase,
    attach,
    call_out,
    callback_failed,
    detach,
    hold,
    register_kind,
    base_enter,
    unhold,
)
from pyevent.c.datagram cimport *

import os
import socket


cdef extern from "event2/bufferevent.h":
    int BEV_OPT_CLOSE_ON_FREE


cdef void datagram_detach(Attached one) noexcept:
    cdef Datagram self = <Datagram>one
    cdef evdgram *dgram = self.dgram
    if dgram != NULL:
        self.dgram = NULL
        evdgram_free(dgram)
    detach(self)


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
    cdef object callback = self.readcb
    cdef object batch
    if callback is None:
        return
    try:
        batch = batch_of(messages, count)
    except BaseException:
        return  # no memory for them: lost, as datagrams may be
    call(self, callback, batch, "exception in read callback")


cdef void datagram_happened(evdgram *dgram, short what, void *arg) noexcept:
    cdef Datagram self = <Datagram>arg
    cdef object callback = self.eventcb
    self.last_error = errno
    if callback is not None:
        call(self, callback, bev_flags(what), "exception in event callback")


cdef int datagram_require(Datagram self) except -1:
    if self.dgram == NULL:
        raise RuntimeError(f"{self!r}: the socket or its base is closed, or it was never set up")
    return 0


cdef object bound_socket(object address):
    cdef sockaddr_storage storage
    cdef int size
    to_sockaddr(address, &storage, &size)  # refuses names and nonsense before there is a socket
    family = socket.AF_UNIX
    if isinstance(address, tuple):
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.bind(address if isinstance(address, tuple) else os.fspath(address))
    except BaseException:
        sock.close()
        raise
    return sock


@cython.trashcan(True)  # a chain of them through `arg` may be of any length
cdef class Datagram(Attached):
    """A datagram socket: UDP, or Unix.

    :param base: the :class:`EventBase` that serves it.
    :param fd_or_address: a datagram socket: an ``int`` (non-blocking) or an object with a
        ``fileno()``, which is made non-blocking; or the address to bind a new one to:
        ``(host, port)`` with a numeric host, or the path of a Unix socket.
    :param options: BEV_OPT_CLOSE_ON_FREE: closing closes the descriptor. An ``int`` or a
        socket is given up to it; a new socket is closed in any case.
    :raises OSError: the address cannot be bound.
    :raises RuntimeError: the base is closed.

    Messages keep their boundaries. There is no buffer of bytes here: what comes goes to
    the read callback, a batch at a time; what is sent is queued, message by message, and
    goes out at the end of the loop's turn. With callbacks the base keeps it alive.
    """

    cdef evdgram *dgram       # NULL: closed
    cdef object readcb
    cdef object eventcb
    cdef object user_arg
    cdef object file          # an object that owns the fd; None: we do, or nobody
    cdef int last_error

    def __init__(self, EventBase base not None, fd_or_address, int options=0):
        cdef object sock = fd_or_address
        cdef int number
        cdef bint closes = options & BEV_OPT_CLOSE_ON_FREE
        if self.dgram != NULL:
            raise RuntimeError(f"{self!r} is set up already")
        base_enter(base)
        if isinstance(sock, (tuple, str, bytes, os.PathLike)):
            sock = bound_socket(sock)
            closes = True
        number = fd_of(sock)
        if not isinstance(sock, int):
            os.set_blocking(number, False)
            if closes and not isinstance(sock, socket.socket):
                raise TypeError(f"closing on free takes an int or a socket, not {sock!r}")
        self.dgram = evdgram_new(base.base, number, BEV_OPT_CLOSE_ON_FREE if closes else 0)
        if self.dgram == NULL:
            check(-1)
        attach(self, base, datagram_kind)
        if not isinstance(sock, int):
            if closes:
                sock.detach()
            else:
                self.file = sock

    def __dealloc__(self):
        if self.dgram != NULL:  # not held, so it has no callbacks
            evdgram_free(self.dgram)

    def __repr__(self):
        cdef str name = type(self).__name__
        if self.dgram == NULL:
            return f"<{name} closed>"
        return (f"<{name} fd={evdgram_get_fd(self.dgram)} "
                f"queued={evdgram_get_queued(self.dgram)} "
                f"dropped={evdgram_get_dropped(self.dgram)}>")

    def __enter__(self):
        datagram_require(self)
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self):
        """Close it; messages that wait are dropped. Closing again does nothing."""
        if self.dgram != NULL:
            datagram_detach(self)
        self.readcb = self.eventcb = self.user_arg = self.file = None

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
        datagram_require(self)
        for callback in (readcb, eventcb):
            if callback is not None and not callable(callback):
                raise TypeError(f"callbacks must be callable or None, not {callback!r}")
        self.readcb = readcb
        self.eventcb = eventcb
        self.user_arg = arg
        if readcb is None and eventcb is None:
            evdgram_setcb(self.dgram, NULL, NULL, NULL)
            check(evdgram_disable(self.dgram))
            unhold(self)
            return
        evdgram_setcb(self.dgram, datagram_read, datagram_happened, <void *>self)
        hold(self)
        check(evdgram_disable(self.dgram) if readcb is None else evdgram_enable(self.dgram))

    def send(self, data, address=None):
        """Queue one message, any bytes-like object.

        :param address: where it goes; ``None``: to the peer of a connected socket.
        :returns: whether it was queued; False: the queue is full, and it was dropped.
        :raises OSError: ``EMSGSIZE``: it is longer than any datagram.
        """
        cdef sockaddr_storage storage
        cdef int size = 0
        cdef Py_buffer view
        cdef int result
        if address is not None:
            to_sockaddr(address, &storage, &size)
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            datagram_require(self)
            result = evdgram_send(self.dgram, view.buf, view.len,
                                  <const sockaddr *>&storage if size else NULL, size)
        finally:
            PyBuffer_Release(&view)
        if result < 0 and errno == ENOBUFS:
            return False
        check(result)
        return True

    def connect(self, address):
        """Send to *address* and take messages from there only; its ICMP errors are told."""
        datagram_require(self)
        with socket.socket(fileno=os.dup(evdgram_get_fd(self.dgram))) as sock:
            sock.connect(address)

    def enable(self):
        """Read."""
        datagram_require(self)
        check(evdgram_enable(self.dgram))

    def disable(self):
        """Leave what comes in the kernel."""
        datagram_require(self)
        check(evdgram_disable(self.dgram))

    def set_queue_max(self, size_t size):
        """Let at most *size* bytes wait; 1 MiB at first. What waits already stays."""
        datagram_require(self)
        evdgram_set_queue_max(self.dgram, size)

    @property
    def queued(self):
        """Bytes that wait to be sent."""
        datagram_require(self)
        return evdgram_get_queued(self.dgram)

    @property
    def dropped(self):
        """Messages that were dropped so far: queue full, not sendable, nobody to read them."""
        datagram_require(self)
        return evdgram_get_dropped(self.dgram)

    @property
    def error(self):
        """The :class:`OSError` that the event callback was last told of; ``None``: none."""
        return OSError(self.last_error, os.strerror(self.last_error)) if self.last_error else None

    def get_fd(self):
        """Its descriptor."""
        datagram_require(self)
        return evdgram_get_fd(self.dgram)

    fd = property(get_fd)

    def fileno(self):
        """As :attr:`fd`."""
        return self.get_fd()

    def get_base(self):
        """Its base."""
        return self.owner

    base = property(get_base)

    @property
    def address(self):
        """What it is bound to: a tuple with the real port, or a path."""
        datagram_require(self)
        return bound_address(evdgram_get_fd(self.dgram))
