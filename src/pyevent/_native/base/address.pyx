"""Socket addresses, as the socket module gives and takes them."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memchr, memcpy, memset, strlen

from pyevent._native.base.arguments cimport check

import os


cdef extern from "Python.h":
    object PyNumber_Index(object o)
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    object PyUnicode_DecodeFSDefaultAndSize(const char *bytes, Py_ssize_t size)


cdef extern from *:
    """
    #include <arpa/inet.h>
    #include <net/if.h>
    #include <netinet/in.h>
    #include <stddef.h>
    #include <sys/socket.h>
    #include <sys/un.h>
    #define UNIX_PATH_OFFSET offsetof(struct sockaddr_un, sun_path)
    """
    const int AF_INET, AF_INET6, AF_UNIX, INET6_ADDRSTRLEN, UNIX_PATH_OFFSET
    cdef struct in_addr:
        pass
    cdef struct in6_addr:
        pass
    cdef struct sockaddr_in:
        unsigned short sin_family, sin_port
        in_addr sin_addr
    cdef struct sockaddr_in6:
        unsigned short sin6_family, sin6_port
        unsigned int sin6_flowinfo, sin6_scope_id
        in6_addr sin6_addr
    cdef struct sockaddr_un:
        unsigned short sun_family
        char sun_path[108]
    const char *inet_ntop(int family, const void *src, char *dst, socklen_t size)
    int inet_pton(int family, const char *src, void *dst)
    int getsockname(int fd, sockaddr *address, socklen_t *size)
    unsigned short ntohs(unsigned short n)
    unsigned short htons(unsigned short n)
    unsigned int ntohl(unsigned int n)
    unsigned int htonl(unsigned int n)


cdef extern from "base/addr.h":
    int pe_addr_parse_in6(const char *text, void *in6, unsigned int *scope)


cdef object address_of(const sockaddr *address, int size):
    """As the socket module gives it: a tuple, for AF_UNIX a path (``bytes`` if abstract).
    Runs no Python code, but what a garbage collection may run."""
    cdef char text[64]
    cdef const sockaddr_in *v4 = <const sockaddr_in *>address
    cdef const sockaddr_in6 *v6 = <const sockaddr_in6 *>address
    cdef const char *path = <const char *>address + UNIX_PATH_OFFSET
    cdef const char *end
    cdef int n = size - UNIX_PATH_OFFSET
    if address == NULL or size < <int>sizeof(unsigned short):
        return None
    if address.sa_family == AF_INET:
        inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text))
        return (text.decode(), ntohs(v4.sin_port))
    if address.sa_family == AF_INET6:
        inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text))
        return (text.decode(), ntohs(v6.sin6_port), ntohl(v6.sin6_flowinfo), v6.sin6_scope_id)
    if address.sa_family == AF_UNIX:
        if n <= 0:
            return ""
        if path[0] == 0:
            return <bytes>path[:n]
        end = <const char *>memchr(path, 0, n)
        return PyUnicode_DecodeFSDefaultAndSize(path, n if end == NULL else end - path)
    return (address.sa_family, <bytes>(<const char *>address)[:size])


cdef object bound_address(int fd):
    """What a socket is bound to, with the real port; OSError: it is no socket."""
    cdef sockaddr_storage storage
    cdef socklen_t size = sizeof(storage)
    check(getsockname(fd, <sockaddr *>&storage, &size))
    return address_of(<const sockaddr *>&storage, <int>size)


cdef bint is_address(object address) except -1:
    """Whether it is meant as an address, and not as a descriptor. May run code."""
    return isinstance(address, (tuple, str, bytes, os.PathLike))


cdef unsigned int to_number(object value, str name, unsigned int most) except? 0xffffffff:
    cdef object number
    try:
        number = PyNumber_Index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, not {value!r}") from None
    if not 0 <= number <= most:
        raise ValueError(f"{name} must be 0 to {most}: {value!r}")
    return number


cdef int tuple_to_sockaddr(tuple address, sockaddr_storage *out, int *size) except -1:
    cdef sockaddr_in *v4 = <sockaddr_in *>out
    cdef sockaddr_in6 *v6 = <sockaddr_in6 *>out
    cdef Py_ssize_t n = len(address), length
    cdef unsigned int port, flow = 0, scope = 0, named_scope
    cdef object host
    cdef const char *text
    if not 2 <= n <= 4 or not isinstance(address[0], str):
        raise TypeError(f"an address is (host, port) or a path, not {address!r}")
    host = address[0]
    text = PyUnicode_AsUTF8AndSize(host, &length)
    port = to_number(address[1], "port", 65535)
    if n > 2:
        flow = to_number(address[2], "flowinfo", 0xfffff)
    if n > 3:
        scope = to_number(address[3], "scope_id", 0xffffffff)
    memset(out, 0, sizeof(sockaddr_storage))
    if strlen(text) == <size_t>length:
        if n == 2 and (length == 0 or inet_pton(AF_INET, text, &v4.sin_addr) == 1):
            v4.sin_family = AF_INET
            v4.sin_port = htons(port)
            size[0] = sizeof(sockaddr_in)
            return 0
        if pe_addr_parse_in6(text, &v6.sin6_addr, &named_scope) == 0:
            v6.sin6_family = AF_INET6
            v6.sin6_port = htons(port)
            v6.sin6_flowinfo = htonl(flow)
            v6.sin6_scope_id = scope or named_scope
            size[0] = sizeof(sockaddr_in6)
            return 0
    raise ValueError(f"not a numeric IPv4 or IPv6 address: {host!r}")


cdef int path_to_sockaddr(object address, int allowed, sockaddr_storage *out,
                          int *size) except -1:
    cdef sockaddr_un *un = <sockaddr_un *>out
    cdef object encoded = os.fsencode(address)
    cdef const char *path
    cdef size_t n
    if not isinstance(encoded, bytes):  # str's own, of a subclass
        raise TypeError(f"an address is (host, port) or a path, not {address!r}")
    path = PyBytes_AS_STRING(encoded)
    n = <size_t>PyBytes_GET_SIZE(encoded)
    if n == 0 and not allowed & ADDRESS_UNNAMED or n == 1 and path[0] == 0:
        raise ValueError(f"an empty path is no address: {address!r}")
    if n > 0 and path[0] != 0:
        if memchr(path, 0, n) != NULL:
            raise ValueError(f"a NUL in a path: {address!r}")
        if (isinstance(address, str) and not allowed & ADDRESS_ANY_PATH
                and memchr(path, c"/", n) == NULL):
            raise ValueError(f"neither (host, port) nor a path with a slash: {address!r}; "
                             "of a path without one make a Path")
    if n >= sizeof(un.sun_path) + (n > 0 and path[0] == 0):
        raise ValueError(f"path is too long for a Unix socket: {address!r}")
    memset(out, 0, sizeof(sockaddr_storage))
    un.sun_family = AF_UNIX
    memcpy(un.sun_path, path, n)
    size[0] = UNIX_PATH_OFFSET + <int>n
    if n > 0 and path[0] != 0:
        size[0] += 1  # the path's own zero byte; an abstract name has none
    return 0


cdef int convert_address(object address, int allowed, sockaddr_storage *out,
                         int *size) except -1:
    """As to_sockaddr(). `allowed`: ADDRESS_ANY_PATH: a str without a slash, as a peer's address
    may be; ADDRESS_UNNAMED: an empty path, for which the kernel finds a name."""
    if isinstance(address, tuple):
        return tuple_to_sockaddr(<tuple>address, out, size)
    if not is_address(address):
        raise TypeError(f"an address is (host, port) or a path, not {address!r}")
    return path_to_sockaddr(address, allowed, out, size)


cdef int to_sockaddr(object address, sockaddr_storage *out, int *size) except -1:
    """A ``(host, port)`` tuple with a numeric host, an IPv6 4-tuple, or the path of a Unix socket:
    a str with a slash, bytes, a path-like object; one that begins with a NUL is an abstract
    name. What looks like "host:port" is refused. May run any code."""
    return convert_address(address, 0, out, size)
