"""What a connection is made of: its C object, descriptor and addresses, and connecting.

An Endpoint is the part of every BufferEvent that neither sends nor calls: what can be asked
about it, and the socket below. Users see it as BufferEvent, whose base class it is.
"""

from libc.errno cimport ENOBUFS
from libc.string cimport memset

from pyevent._native.base.address cimport (
    address_of,
    sockaddr,
    sockaddr_storage,
    socklen_t,
    to_sockaddr,
)
from pyevent._native.base.arguments cimport check_err
from pyevent._native.c.buffer cimport evbuffer_get_length
from pyevent._native.c.stream cimport *
from pyevent._native.loop.attached cimport Attached
from pyevent._native.loop.eventbase cimport leave
from pyevent._native.stream.descriptor cimport drop_taken, fd_taken, give_up, socket_option

import os


cdef extern from "arpa/inet.h":
    int AF_INET
    int inet_pton(int family, const char *src, void *dst)


cdef extern from "sys/socket.h":
    int getsockname(int fd, sockaddr *address, socklen_t *size)
    int getsockopt(int fd, int level, int name, void *value, socklen_t *size)


cdef int bev_refuse(Endpoint self) except -1:
    raise RuntimeError(f"{self!r}: the connection or its base is closed, or it was never set up")


cdef class Endpoint(Attached):
    """The base class of :class:`BufferEvent`: what a connection is made of."""

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

    # -- connecting

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


cdef Endpoint bottom_of(Endpoint self):
    """What a stack of filters stands on; of any other itself."""
    cdef Endpoint at = self
    while isinstance(at.file, Endpoint):
        at = at.file
    return at


cdef int bev_change_fd(Endpoint self, object fd, bint closes_old) except -1:
    cdef Endpoint bottom
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


cdef bufferevent *bev_to_connect(Endpoint self) except NULL:
    """That of a connection about to be made: it reads on whatever its output."""
    cdef bufferevent *bev = bev_enter(self)
    if self.pauses_by_default:
        self.pauses_by_default = False
        check_err(pe_bev_set_limits(bev, bufferevent_get_input_max(bev), 0, 0), self)
    return bev_enter(self)


cdef int bev_connect_hostname(Endpoint self, int family, int flags, str hostname,
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


cdef object bev_error(Endpoint self):
    cdef sockaddr_storage storage
    cdef socklen_t size = sizeof(storage)
    cdef bufferevent *bev = bev_enter(self)
    cdef int number = pe_bufferevent_error(bev)
    cdef int dns = bufferevent_socket_get_dns_error(bev)
    cdef size_t left = evbuffer_get_length(bufferevent_get_output(bev))
    cdef size_t most = bufferevent_get_input_max(bev)
    cdef const char *name = pe_bufferevent_host(bev)
    cdef Endpoint bottom
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


cdef str address_text(object address):
    if not isinstance(address, tuple):
        return os.fsdecode(address) if address else "unnamed Unix socket"
    if len(address) == 4:
        return f"[{address[0]}]:{address[1]}"
    return f"{address[0]}:{address[1]}"


cdef bint bev_stands_on(Attached one, int fd) noexcept:
    cdef Endpoint self = <Endpoint>one
    return self.bev != NULL and bufferevent_getfd(self.bev) == fd
