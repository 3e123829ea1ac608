# event2/util.h: sockets, addresses, name lookup, dates.

from libc.time cimport tm

from pyevent._native.base.address cimport sockaddr, socklen_t


cdef extern from "event2/util.h":
    cdef struct evutil_addrinfo:
        int ai_flags, ai_family, ai_socktype, ai_protocol
        socklen_t ai_addrlen
        sockaddr *ai_addr
        char *ai_canonname
        evutil_addrinfo *ai_next

    const int EVUTIL_EAI_SYSTEM

    int evutil_make_socket_nonblocking(int sock)
    int evutil_make_socket_closeonexec(int sock)
    int evutil_make_listen_socket_reuseable(int sock)
    int evutil_make_listen_socket_reuseable_port(int sock)
    int evutil_make_listen_socket_ipv6only(int sock)
    int evutil_make_listen_socket_not_ipv6only(int sock)
    int evutil_make_tcp_listen_socket_deferred(int sock)
    int evutil_set_tcp_keepalive(int sock, int on, int timeout)
    int evutil_socketpair(int family, int type, int protocol, int *fds)
    int evutil_closesocket(int sock) nogil

    int evutil_parse_sockaddr_port(const char *text, sockaddr *out, int *outlen)
    int evutil_sockaddr_cmp(const sockaddr *a, const sockaddr *b, int include_port)

    int evutil_getaddrinfo(const char *nodename, const char *servname,
                           const evutil_addrinfo *hints, evutil_addrinfo **result) nogil
    void evutil_freeaddrinfo(evutil_addrinfo *result)
    const char *evutil_gai_strerror(int number)

    int evutil_date_rfc1123(char *date, size_t size, const tm *when)
