"""event2/util.h for Python: options of sockets, addresses, name lookup, dates.

A socket is an ``int`` or anything with a ``fileno()``. Nothing here keeps any state.
"""

from libc.limits cimport INT_MAX, INT_MIN
from libc.string cimport memset
from libc.time cimport tm as tm_t
from posix.unistd cimport close

from pyevent._native.base.address cimport address_of, sockaddr, sockaddr_storage, to_sockaddr
from pyevent._native.base.arguments cimport check, fd_of
from pyevent._native.c.util cimport *

import os
from _socket import AF_UNIX, SOCK_STREAM, gaierror
from time import struct_time


# --- sockets --------------------------------------------------------------------------

def make_socket_nonblocking(sock):
    """Let no call wait on this descriptor (O_NONBLOCK)."""
    check(evutil_make_socket_nonblocking(fd_of(sock)))


def make_socket_closeonexec(sock):
    """Let no program that is executed inherit this descriptor."""
    check(evutil_make_socket_closeonexec(fd_of(sock)))


def make_listen_socket_reuseable(sock):
    """Before bind(): the address can be listened on again at once after a server has gone."""
    check(evutil_make_listen_socket_reuseable(fd_of(sock)))


def make_listen_socket_reuseable_port(sock):
    """Before bind(): several sockets may listen, and the kernel spreads connections among them."""
    check(evutil_make_listen_socket_reuseable_port(fd_of(sock)))


def make_listen_socket_ipv6only(sock):
    """Before bind(): an IPv6 socket serves IPv6 alone."""
    check(evutil_make_listen_socket_ipv6only(fd_of(sock)))


def make_listen_socket_not_ipv6only(sock):
    """Before bind(): an IPv6 socket serves IPv4 as well."""
    check(evutil_make_listen_socket_not_ipv6only(fd_of(sock)))


def make_tcp_listen_socket_deferred(sock):
    """Report a connection only when its first data is there; no effect where there is no such
    option."""
    check(evutil_make_tcp_listen_socket_deferred(fd_of(sock)))


def set_tcp_keepalive(sock, bint on, int timeout=0):
    """Probe a peer that is silent for *timeout* seconds (0: the system's time), or do not."""
    check(evutil_set_tcp_keepalive(fd_of(sock), on, timeout))


def socketpair(int family=AF_UNIX, int type=SOCK_STREAM, int protocol=0):
    """Two connected sockets as a tuple of two ``int``, not inherited by programs that are
    executed. They are the caller's: closesocket() closes one."""
    cdef int fds[2]
    check(evutil_socketpair(family, type, protocol, fds))
    if evutil_make_socket_closeonexec(fds[0]) < 0 or evutil_make_socket_closeonexec(fds[1]) < 0:
        close(fds[0])
        close(fds[1])
        check(-1)
    return fds[0], fds[1]


def closesocket(sock):
    """Close a descriptor, or a ``socket.socket``, which then knows that it is closed."""
    cdef int fd, result
    if not isinstance(sock, int):
        if not hasattr(sock, "getsockname"):
            raise TypeError(f"sock must be an int or a socket, not {sock!r}")
        sock = sock.detach()
    fd = fd_of(sock)
    with nogil:  # it may wait: SO_LINGER
        result = evutil_closesocket(fd)
    check(result)


# --- addresses ------------------------------------------------------------------------

def parse_sockaddr_port(str text not None):
    """The address tuple of ``"1.2.3.4"``, ``"1.2.3.4:80"``, ``"::1"``, ``"[::1]"`` or
    ``"[::1]:80"``; without a port it is 0. ``ValueError``: the text is none. Asks no resolver."""
    cdef sockaddr_storage storage
    cdef int size = sizeof(storage)
    cdef bytes raw = text.encode("utf-8", "surrogateescape")
    if b"\0" in raw or evutil_parse_sockaddr_port(raw, <sockaddr *>&storage, &size) < 0:
        raise ValueError(f"not a numeric address with or without a port: {text!r}")
    return address_of(<const sockaddr *>&storage, size)


cdef int sign(object a, object b) except? -1:
    return (a > b) - (a < b)


def sockaddr_cmp(sa1, sa2, bint include_port=True):
    """-1, 0 or 1: the order of two addresses, each a tuple or the path of a Unix socket. Ports
    count unless *include_port* is false, IPv6 scopes never."""
    cdef sockaddr_storage a, b
    cdef int size, result
    if not isinstance(sa1, tuple) and not isinstance(sa2, tuple):
        return sign(os.fsencode(sa1), os.fsencode(sa2))
    if not isinstance(sa1, tuple) or not isinstance(sa2, tuple):  # paths come first
        os.fsencode(sa2 if isinstance(sa1, tuple) else sa1)
        to_sockaddr(sa1 if isinstance(sa1, tuple) else sa2, &a, &size)
        return 1 if isinstance(sa1, tuple) else -1
    to_sockaddr(sa1, &a, &size)
    to_sockaddr(sa2, &b, &size)
    result = evutil_sockaddr_cmp(<const sockaddr *>&a, <const sockaddr *>&b, include_port)
    return (result > 0) - (result < 0)


# --- name lookup ------------------------------------------------------------------------

cdef bytes name_of(object value, str what):
    """As C takes it; an empty one where it is None."""
    cdef bytes raw
    if value is None:
        return b""
    if isinstance(value, int) and what == "servname":
        value = str(value)
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str or None, not {value!r}")
    raw = value.encode("ascii" if value.isascii() else "idna")
    if b"\0" in raw:
        raise ValueError(f"{what} has a NUL in it: {value!r}")
    return raw


def getaddrinfo(nodename, servname, hints=None):
    """What ``socket.getaddrinfo`` gives: a list of (family, type, proto, canonname, address).

    *servname* may be a number; *hints* is a mapping with any of "family", "type", "proto" and
    "flags". Waits for the name server, without the GIL. ``socket.gaierror``: no such name.
    """
    cdef evutil_addrinfo c_hints
    cdef evutil_addrinfo *found = NULL
    cdef evutil_addrinfo *each
    cdef bytes node = name_of(nodename, "nodename"), service = name_of(servname, "servname")
    cdef const char *c_node = NULL
    cdef const char *c_service = NULL
    cdef int number
    cdef list result = []
    if nodename is not None:
        c_node = node
    if servname is not None:
        c_service = service
    memset(&c_hints, 0, sizeof(c_hints))
    hints = dict(hints or {})
    c_hints.ai_family = hints.pop("family", 0)
    c_hints.ai_socktype = hints.pop("type", 0)
    c_hints.ai_protocol = hints.pop("proto", 0)
    c_hints.ai_flags = hints.pop("flags", 0)
    if hints:
        raise ValueError(f"hints have family, type, proto and flags, and no {list(hints)!r}")
    with nogil:
        number = evutil_getaddrinfo(c_node, c_service, &c_hints, &found)
    if number == EVUTIL_EAI_SYSTEM:
        check(-1)
    if number != 0:
        raise gaierror(number, f"{evutil_gai_strerror(number).decode()}: {nodename}")
    try:
        each = found
        while each != NULL:
            name = "" if each.ai_canonname == NULL else os.fsdecode(each.ai_canonname)
            address = address_of(each.ai_addr, <int>each.ai_addrlen)
            result.append((each.ai_family, each.ai_socktype, each.ai_protocol, name, address))
            each = each.ai_next
    finally:
        evutil_freeaddrinfo(found)
    return result


def gai_strerror(int err):
    """What an error number of getaddrinfo means."""
    return evutil_gai_strerror(err).decode()


# --- dates ------------------------------------------------------------------------------

cdef int field(object value, int offset) except? -1:
    cdef object number = value + offset
    if not INT_MIN <= number <= INT_MAX:
        raise ValueError(f"out of range: {value!r}")
    return number


def date_rfc1123(tm=None):
    """The date of HTTP headers, "Sun, 06 Nov 1994 08:49:37 GMT", of a ``time.struct_time`` in
    UTC, or of now."""
    cdef tm_t when
    cdef char text[128]
    cdef int length
    if tm is None:
        length = evutil_date_rfc1123(text, sizeof(text), NULL)
    else:
        tm = struct_time(tm)
        memset(&when, 0, sizeof(when))
        when.tm_year = field(tm.tm_year, -1900)
        when.tm_mon = field(tm.tm_mon, -1)
        when.tm_mday = field(tm.tm_mday, 0)
        when.tm_hour = field(tm.tm_hour, 0)
        when.tm_min = field(tm.tm_min, 0)
        when.tm_sec = field(tm.tm_sec, 0)
        if not 0 <= tm.tm_wday <= 6:
            raise ValueError(f"the day of the week must be 0 to 6: {tm.tm_wday!r}")
        when.tm_wday = field(tm.tm_wday, 1) % 7  # C's week begins with Sunday
        length = evutil_date_rfc1123(text, sizeof(text), &when)
    if length < 0:
        raise ValueError(f"no date: {tm!r}")
    return text[:length].decode()
