/* evutil_sock.c - the socket calls of event2/util.h, over base/sock.h. */
#include "event2/util.h"

#include "base/errors.h"
#include "base/sock.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

/* 0 or a negative errno, as the event2 edge has it. */
static int edge(int err) {
    return err < 0 ? pe_fail(err) : 0;
}

int evutil_socketpair(int family, int type, int protocol, evutil_socket_t fd[2]) {
    return socketpair(family, type, protocol, fd);
}

int evutil_make_socket_nonblocking(evutil_socket_t sock) {
    return edge(pe_sock_nonblock(sock));
}

int evutil_make_socket_closeonexec(evutil_socket_t sock) {
    return edge(pe_sock_cloexec(sock));
}

int evutil_make_listen_socket_reuseable(evutil_socket_t sock) {
    return edge(pe_sock_option(sock, SOL_SOCKET, SO_REUSEADDR, 1));
}

int evutil_make_listen_socket_reuseable_port(evutil_socket_t sock) {
#if defined(SO_REUSEPORT_LB)
    return edge(pe_sock_option(sock, SOL_SOCKET, SO_REUSEPORT_LB, 1));
#else
    return edge(pe_sock_option(sock, SOL_SOCKET, SO_REUSEPORT, 1));
#endif
}

int evutil_make_listen_socket_ipv6only(evutil_socket_t sock) {
    return edge(pe_sock_option(sock, IPPROTO_IPV6, IPV6_V6ONLY, 1));
}

int evutil_make_listen_socket_not_ipv6only(evutil_socket_t sock) {
    return edge(pe_sock_option(sock, IPPROTO_IPV6, IPV6_V6ONLY, 0));
}

int evutil_make_tcp_listen_socket_deferred(evutil_socket_t sock) {
#if defined(TCP_DEFER_ACCEPT)
    return edge(pe_sock_option(sock, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1));
#else
    (void)sock;
    return 0;
#endif
}

int evutil_set_tcp_keepalive(evutil_socket_t sock, int on, int timeout) {
    int interval = timeout / 3 > 0 ? timeout / 3 : 1;
    int err = pe_sock_option(sock, SOL_SOCKET, SO_KEEPALIVE, on ? 1 : 0);

    if (err == 0 && on && timeout > 0) {
#if defined(TCP_KEEPIDLE)
        err = pe_sock_option(sock, IPPROTO_TCP, TCP_KEEPIDLE, timeout);
#elif defined(TCP_KEEPALIVE) /* macOS */
        err = pe_sock_option(sock, IPPROTO_TCP, TCP_KEEPALIVE, timeout);
#endif
#if defined(TCP_KEEPINTVL) && defined(TCP_KEEPCNT)
        if (err == 0)
            err = pe_sock_option(sock, IPPROTO_TCP, TCP_KEEPINTVL, interval);
        if (err == 0)
            err = pe_sock_option(sock, IPPROTO_TCP, TCP_KEEPCNT, 3);
#else
        (void)interval;
#endif
    }
    return edge(err);
}

int evutil_closesocket(evutil_socket_t sock) {
    return edge(pe_close(sock));
}
