"""Listeners.

A Listener with a callback is held by its base until it is closed, as a
BufferEvent is (see _stream.pyx).
"""

cimport cython
from cpython.object cimport PyObject
from libc.errno cimport ENOTCONN, errno
from libc.string cimport memcmp

from pyevent._core cimport (
    address_of,
    bound_address,
    check,
    check_err,
    sockaddr,
    sockaddr_storage,
    socklen_t,
    to_sockaddr,
)
from pyevent._loop cimport (
    Attached,
    EventBase,
    attach,
    detach,
    find_attached,
    hold,
    register_kind,
    base_enter,
    unhold,
)
from pyevent._stream cimport (
    BufferEvent,
    bev_kind,
    bev_stands_on,
    call,
    checked_callback,
    fd_to_serve,
    give_up,
    overrides,
    unblock_file,
)
from pyevent.c.stream cimport *

import os


cdef extern from "sys/socket.h":
    int getpeername(int fd, sockaddr *address, socklen_t *size)


cdef void listener_detach(Attached one) noexcept:
    cdef Listener self = <Listener>one
    cdef evconnlistener *lev = self.lev
    if lev != NULL:
        self.lev = NULL
        evconnlistener_free(lev)
    detach(self)


cdef int listener_kind = register_kind(listener_detach)


cdef void listener_accepted(evconnlistener *lev, int fd, sockaddr *address, int size,
                            void *arg) noexcept:
    cdef Listener self = <Listener>arg
    cdef object callback = self.callback
    cdef object user_arg = self.user_arg
    cdef object number = fd
    cdef object peer
    cdef PyObject *args[4]
    try:
        peer = address_of(address, size)
    except BaseException:
        peer = None  # no memory to name it
    args[0] = <PyObject *>self
    args[1] = <PyObject *>number
    args[2] = <PyObject *>peer
    args[3] = <PyObject *>user_arg
    if callback is not None:
        if not call(self, callback, args, 4, "exception in listener callback"):
            listener_refuse(self, fd, address, size)
    elif not call(self, type(self).on_accept, args, 3, "exception in on_accept"):
        listener_refuse(self, fd, address, size)


cdef void listener_refuse(Listener self, int fd, const sockaddr *address, int size) noexcept:
    """Close a connection whose callback has failed: it may have passed it on before."""
    cdef BufferEvent bev
    cdef bint is_closed
    bev = find_attached(self.owner, bev_kind, bev_stands_on, fd)
    if bev is not None:
        is_closed = pe_bufferevent_closes_fd(bev.bev)
        bev.close()
        if is_closed:
            return
    if is_peer(fd, address, size):
        pe_close(fd)


cdef bint is_peer(int fd, const sockaddr *address, int size) noexcept:
    """Whether `fd` is a connection from there still, not closed, nor a number in new use."""
    cdef sockaddr_storage peer
    cdef socklen_t length = sizeof(peer)
    if getpeername(fd, <sockaddr *>&peer, &length) < 0:
        return errno == ENOTCONN  # it is, and has been reset
    return <int>length == size and memcmp(&peer, address, size) == 0


cdef void listener_failed(evconnlistener *lev, void *arg) noexcept:
    cdef Listener self = <Listener>arg
    cdef object callback = self.errorcb
    cdef object user_arg = self.user_arg
    cdef object error = OSError(errno, os.strerror(errno))
    cdef PyObject *args[3]
    args[0] = <PyObject *>self
    args[1] = <PyObject *>error
    args[2] = <PyObject *>user_arg
    if callback is not None:
        call(self, callback, args, 3, "exception in listener error callback")


cdef int listener_require(Listener self) except -1:
    if self.lev == NULL:
        raise RuntimeError(f"{self!r}: the listener or its base is closed, "
                           "or it was never set up")
    return 0


cdef bint is_address(object address):
    return isinstance(address, (tuple, str, bytes, os.PathLike))


@cython.trashcan(True)  # a chain of them through `arg` may be of any length
cdef class Listener(Attached):
    """Accepts connections and calls ``callback(listener, fd, address, arg)`` for each.

    :param base: the :class:`EventBase` that serves it.
    :param address: ``(host, port)`` with a numeric host (port 0: any, see
        :attr:`address`), an IPv6 4-tuple, or the path of a Unix socket, to bind a new
        socket to; or a bound socket: an ``int`` or an object with a ``fileno()``.
    :param callback: gets the new descriptor, which is its to close, and the peer's
        address as the socket module gives it. If it fails the descriptor is closed.
    :param arg: passed on to it.
    :param flags: ``LEV_OPT_*``; by default close on free and exec, and reuseable where
        it binds an IP address.
    :param backlog: for listen(2); negative: 128; 0: the socket listens already.
    :param unlink_stale: remove a Unix path that is in use already, but where nobody
        answers, as an earlier process has left it. Closing does not remove the path.
    :raises OSError: the address cannot be bound.
    :raises RuntimeError: the base is closed.

    A subclass may define ``on_accept(self, fd, address)``, called where no callback is
    set. With either the base keeps it alive until it is closed.
    """

    cdef evconnlistener *lev       # NULL: closed
    cdef object callback
    cdef object errorcb
    cdef object user_arg
    cdef object file               # an object that owns the fd; None: nobody

    def __init__(self, EventBase base not None, address, callback=None, arg=None, *,
                 flags=None, int backlog=-1, bint unlink_stale=False):
        cdef sockaddr_storage storage
        cdef unsigned bits = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC
        cdef int size = 0, fd = -1
        cdef bint binds = is_address(address)
        if isinstance(address, tuple):
            bits |= LEV_OPT_REUSEABLE
        if flags is not None:
            bits = flags
        if unlink_stale:
            bits |= LEV_OPT_UNLINK_STALE
        checked_callback(callback, "callback")
        if binds:
            to_sockaddr(address, &storage, &size)
        else:
            fd = fd_to_serve(address, bits & LEV_OPT_CLOSE_ON_FREE)
            if fd < 0:
                raise TypeError(f"a listener needs an address or a socket, not {address!r}")
        if self.lev != NULL:  # asked only now: fileno() may have done anything
            raise RuntimeError(f"{self!r} is set up already")
        base_enter(base)
        if binds:
            self.lev = evconnlistener_new_bind(base.base, NULL, <void *>self, bits, backlog,
                                               <const sockaddr *>&storage, size)
        else:
            self.lev = evconnlistener_new(base.base, NULL, <void *>self, bits, backlog, fd)
        if self.lev == NULL:
            check_err(-errno, address)
        attach(self, base, listener_kind)
        self.callback = callback
        self.user_arg = arg
        self.file = give_up(address, fd, bits & LEV_OPT_CLOSE_ON_FREE)
        listener_install(self)

    @classmethod
    def new(cls, EventBase base not None, callback, arg, int flags, int backlog, fd):
        """On a bound socket, with the arguments in C's order."""
        return cls(base, fd, callback, arg, flags=flags, backlog=backlog)

    @classmethod
    def new_bind(cls, EventBase base not None, callback, arg, int flags, int backlog, address):
        """On a new socket, with the arguments in C's order."""
        if not is_address(address):
            raise TypeError(f"an address is (host, port) or a path, not {address!r}")
        return cls(base, address, callback, arg, flags=flags, backlog=backlog)

    def __dealloc__(self):
        if self.lev != NULL:  # not held, so it has no callback
            evconnlistener_free(self.lev)

    def __repr__(self):
        cdef str name = type(self).__name__
        if self.lev == NULL:
            return f"<{name} closed>"
        return f"<{name} fd={evconnlistener_get_fd(self.lev)}>"

    def __enter__(self):
        listener_require(self)
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self):
        """Accept no more; closes the socket unless the flags leave it open."""
        if self.lev != NULL:
            listener_detach(self)
        self.callback = self.errorcb = self.user_arg = self.file = None

    free = close

    @property
    def closed(self):
        """Whether it, or its base, has been closed."""
        return self.lev == NULL

    def on_accept(self, fd, address):
        """Called for each connection where no callback is set; for subclasses."""

    def set_cb(self, callback, arg=None):
        """Replace the callback; ``None``: connections wait in the kernel."""
        listener_require(self)
        self.callback = checked_callback(callback, "callback")
        self.user_arg = arg
        listener_install(self)

    def set_error_cb(self, callback):
        """Call ``callback(listener, error, arg)`` with an OSError when accepting fails.

        Out of descriptors (EMFILE, ENFILE) it rests and tries again by itself. Without
        a callback the failure is logged.
        """
        listener_require(self)
        self.errorcb = checked_callback(callback, "callback")
        if callback is not None:
            evconnlistener_set_error_cb(self.lev, listener_failed)
        else:
            evconnlistener_set_error_cb(self.lev, NULL)

    def enable(self):
        """Accept."""
        listener_require(self)
        check(evconnlistener_enable(self.lev))

    def disable(self):
        """Let connections wait in the kernel."""
        listener_require(self)
        check(evconnlistener_disable(self.lev))

    def get_fd(self):
        """The listening descriptor."""
        listener_require(self)
        return evconnlistener_get_fd(self.lev)

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
        listener_require(self)
        return bound_address(evconnlistener_get_fd(self.lev))


cdef int listener_install(Listener self) except -1:
    """With something to call, connections are accepted and the base holds `self`."""
    if self.callback is not None or overrides(self, Listener, "on_accept"):
        evconnlistener_set_cb(self.lev, listener_accepted, <void *>self)
        hold(self)
    else:
        evconnlistener_set_cb(self.lev, NULL, <void *>self)
        unhold(self)
    return 0
