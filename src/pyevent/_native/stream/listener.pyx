"""Listeners.

A Listener with a callback is held by its base until it is closed, as a
BufferEvent is, and ends as one does (see stream/bufferevent.pyx).
"""

cimport cython
from cpython.object cimport PyObject
from libc.errno cimport ENOTCONN, errno
from libc.string cimport memcmp

from pyevent._native.base.address cimport (
    address_of,
    bound_address,
    is_address,
    sockaddr,
    sockaddr_storage,
    socklen_t,
    to_sockaddr,
)
from pyevent._native.base.arguments cimport check_err
from pyevent._native.c.event cimport event_base
from pyevent._native.c.stream cimport *
from pyevent._native.loop.attached cimport (
    Attached,
    attach,
    detach,
    find_attached,
    hold,
    register_kind,
    unhold,
)
from pyevent._native.loop.calling cimport call, checked_callback
from pyevent._native.loop.eventbase cimport EventBase, base_enter, leave
from pyevent._native.stream.bufferevent cimport BufferEvent, bev_kind
from pyevent._native.stream.descriptor cimport drop_taken, fd_owned, give_up
from pyevent._native.stream.endpoint cimport bev_stands_on
from pyevent._native.stream.upcalls cimport overrides

import os


cdef extern from "Python.h":
    int PyErr_ResourceWarning(PyObject *source, Py_ssize_t stack_level, const char *format,
                              ...) except -1


cdef extern from "sys/socket.h":
    int getpeername(int fd, sockaddr *address, socklen_t *size)


cdef void listener_detach(Attached one) noexcept:
    cdef Listener self = <Listener>one
    cdef evconnlistener *lev = self.lev
    cdef object callback, errorcb, user_arg, file  # dropped last
    if lev == NULL:
        return
    self.lev = NULL
    callback, errorcb, user_arg, file = self.callback, self.errorcb, self.user_arg, self.file
    self.callback = self.errorcb = self.user_arg = self.file = None
    detach(self)
    evconnlistener_free(lev)


cdef int listener_kind = register_kind(listener_detach)


cdef void listener_accepted(evconnlistener *lev, int fd, sockaddr *address, int size,
                            void *arg) noexcept:
    cdef Listener self = <Listener>arg
    cdef object number = fd
    cdef object peer, callback, user_arg
    cdef PyObject *args[4]
    try:
        peer = address_of(address, size)
    except BaseException:
        peer = None  # no memory to name it
    if self.lev == NULL:
        pe_close(fd)  # a finalizer has closed it
        return
    callback = self.callback
    user_arg = self.user_arg
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
    cdef int number = errno
    cdef Listener self = <Listener>arg
    cdef object error = OSError(number, os.strerror(number))
    cdef object callback = self.errorcb
    cdef object user_arg = self.user_arg
    cdef PyObject *args[3]
    args[0] = <PyObject *>self
    args[1] = <PyObject *>error
    args[2] = <PyObject *>user_arg
    if callback is not None:
        call(self, callback, args, 3, "exception in listener error callback")


cdef evconnlistener *listener_enter(Listener self) except NULL:
    if self.lev == NULL:
        raise RuntimeError(f"{self!r}: the listener or its base is closed, "
                           "or it was never set up")
    return self.lev


cdef event_base *listener_open(Listener self, EventBase base) except NULL:
    """It is about to be set up: the C base."""
    if self.owner is not None:
        raise RuntimeError(f"{self!r} is set up already")
    return base_enter(base)


@cython.trashcan(True)  # a chain of them through `arg` may be of any length
cdef class Listener(Attached):
    """Accepts connections and calls ``callback(listener, fd, address, arg)`` for each.

    :param base: the :class:`EventBase` that serves it.
    :param address: ``(host, port)`` with a numeric host (port 0: any, see
        :attr:`address`), an IPv6 4-tuple, or the path of a Unix socket, to bind a new
        socket to: a ``str`` with a slash, ``bytes`` or a path-like object (one that begins
        with a NUL is an abstract name, open to all local users). Or a bound socket, which
        becomes non-blocking: an ``int`` or an object with a ``fileno()``.
    :param callback: gets the new descriptor, which is its to close, and the peer's
        address as the socket module gives it. If it fails the descriptor is closed.
    :param arg: passed on to it.
    :param flags: ``LEV_OPT_*``; by default close on free and exec, and reuseable where
        it binds an IP address. With LEV_OPT_CLOSE_ON_FREE an ``int`` is its own from now
        on, a socket gives its descriptor up, of any other object it takes a duplicate;
        without, it closes nothing and keeps an object alive.
    :param backlog: for listen(2); negative: 128; 0: the socket listens already.
    :param unlink_stale: remove a Unix path that an earlier process has left, to which no
        socket is bound any more. Of two that do so at the same moment one gets the path, the
        other EADDRINUSE. Closing does not remove the path.
    :raises OSError: the address cannot be bound.
    :raises RuntimeError: the base is closed.

    A subclass may define ``on_accept(self, fd, address)``, called where no callback is
    set. With either the base keeps it alive until it is closed. One that is dropped
    with a descriptor of its own is closed, with a ``ResourceWarning``.
    """

    cdef evconnlistener *lev       # NULL: closed
    cdef object callback
    cdef object errorcb
    cdef object user_arg
    cdef object file               # an object that owns the fd; None: nobody
    cdef bint closes               # the fd is closed with it

    def __init__(self, EventBase base not None, address, callback=None, arg=None, *,
                 flags=None, int backlog=-1, bint unlink_stale=False):
        cdef sockaddr_storage storage
        cdef unsigned bits = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC
        cdef int size = 0, fd = -1, error
        cdef bint binds = is_address(address)
        cdef bint accepts, closes
        cdef evconnlistener *lev
        cdef event_base *c_base
        if isinstance(address, tuple):
            bits |= LEV_OPT_REUSEABLE
        if flags is not None:
            bits = flags
        if unlink_stale:
            bits |= LEV_OPT_UNLINK_STALE
        closes = bits & LEV_OPT_CLOSE_ON_FREE
        checked_callback(callback, "callback")
        accepts = callback is not None or overrides(self, Listener, "on_accept")
        if binds:
            to_sockaddr(address, &storage, &size)
        else:
            fd = fd_owned(address, closes)
            if fd < 0:
                raise TypeError(f"a listener needs an address or a socket, not {address!r}")
        try:
            c_base = listener_open(self, base)
        except BaseException:
            drop_taken(address, fd, closes)
            raise
        if binds:
            lev = evconnlistener_new_bind(c_base, NULL, <void *>self, bits, backlog,
                                          <const sockaddr *>&storage, size)
        else:
            lev = evconnlistener_new(c_base, NULL, <void *>self, bits, backlog, fd)
        if lev == NULL:
            error = errno
            drop_taken(address, fd, closes)
            leave(base, 0)
            check_err(-error, address)
        self.lev = lev
        self.closes = closes
        attach(self, base, listener_kind)
        self.callback = callback
        self.user_arg = arg
        self.file = give_up(address, fd, closes)
        listener_install(self, lev, accepts)
        leave(base, 0)

    @classmethod
    def new(cls, EventBase base not None, callback, arg, int flags, int backlog, fd):
        """On a bound socket, with the arguments in C's order."""
        if is_address(fd):
            raise TypeError(f"a bound socket is needed, not {fd!r}")
        return cls(base, fd, callback, arg, flags=flags, backlog=backlog)

    @classmethod
    def new_bind(cls, EventBase base not None, callback, arg, int flags, int backlog, address):
        """On a new socket, with the arguments in C's order."""
        if not is_address(address):
            raise TypeError(f"an address is (host, port) or a path, not {address!r}")
        return cls(base, address, callback, arg, flags=flags, backlog=backlog)

    def __del__(self):
        if self.lev == NULL or self.is_held:
            return  # one that is held goes with its base, which closes it and says so
        try:
            if self.closes:
                PyErr_ResourceWarning(<PyObject *>self, 1, "unclosed %R", <PyObject *>self)
        finally:
            listener_detach(self)

    def __dealloc__(self):
        if self.lev != NULL:  # a subclass's finalizer has not called ours
            listener_detach(self)

    def __repr__(self):
        cdef str name = type(self).__name__
        cdef int fd
        if self.lev == NULL:
            return f"<{name} closed>"
        fd = evconnlistener_get_fd(self.lev)
        try:
            return f"<{name} fd={fd} address={bound_address(fd)!r}>"
        except OSError:  # it has been closed under it
            return f"<{name} fd={fd}>"

    def __enter__(self):
        listener_enter(self)
        return self

    def __exit__(self, *exc_info):
        self.close()

    def close(self):
        """Accept no more; closes the socket unless the flags leave it open."""
        listener_detach(self)

    free = close

    @property
    def closed(self):
        """Whether it, or its base, has been closed."""
        return self.lev == NULL

    def on_accept(self, fd, address):
        """Called for each connection where no callback is set; for subclasses."""
        listener_enter(self)

    def set_cb(self, callback, arg=None):
        """Replace the callback; ``None``: connections wait in the kernel."""
        cdef bint accepts = callback is not None or overrides(self, Listener, "on_accept")
        cdef evconnlistener *lev
        cdef object old_callback, old_arg  # dropped last
        checked_callback(callback, "callback")
        lev = listener_enter(self)
        old_callback, old_arg = self.callback, self.user_arg
        self.callback = callback
        self.user_arg = arg
        listener_install(self, lev, accepts)
        leave(self.owner, 0)

    def set_error_cb(self, callback):
        """Call ``callback(listener, error, arg)`` with an OSError when accepting fails.

        Out of descriptors (EMFILE, ENFILE) it rests and tries again by itself. Without
        a callback the failure is logged.
        """
        cdef evconnlistener *lev
        cdef object old_errorcb  # dropped last
        checked_callback(callback, "callback")
        lev = listener_enter(self)
        old_errorcb = self.errorcb
        self.errorcb = callback
        if callback is not None:
            evconnlistener_set_error_cb(lev, listener_failed)
        else:
            evconnlistener_set_error_cb(lev, NULL)
        leave(self.owner, 0)

    def enable(self):
        """Accept."""
        leave(self.owner, evconnlistener_enable(listener_enter(self)))

    def disable(self):
        """Let connections wait in the kernel."""
        leave(self.owner, evconnlistener_disable(listener_enter(self)))

    def get_fd(self):
        """The listening descriptor."""
        return evconnlistener_get_fd(listener_enter(self))

    fd = property(get_fd)

    def fileno(self):
        """As :attr:`fd`."""
        return evconnlistener_get_fd(listener_enter(self))

    def get_base(self):
        """Its base."""
        listener_enter(self)
        return self.owner

    base = property(get_base)

    @property
    def address(self):
        """What it is bound to: a tuple with the real port, or a path."""
        return bound_address(evconnlistener_get_fd(listener_enter(self)))


cdef void listener_install(Listener self, evconnlistener *lev, bint accepts) noexcept:
    """With something to call, connections are accepted and the base holds `self`: before, as
    a failure to watch it is logged, and who reads that may close it."""
    if accepts:
        hold(self)
        evconnlistener_set_cb(lev, listener_accepted, <void *>self)
    else:
        evconnlistener_set_cb(lev, NULL, <void *>self)
        unhold(self)
