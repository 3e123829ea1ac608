/* sock.c - descriptors and sockets. See sock.h. */
#include "base/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* macOS has neither SOCK_CLOEXEC nor accept4 nor pipe2. Between making the
 * descriptor and setting its flag another thread may fork and exec there, and
 * the child inherits it: nobody can prevent that on macOS. */
#if defined(SOCK_CLOEXEC) && defined(SOCK_NONBLOCK)
#define HAS_SOCK_FLAGS 1
#else
#define HAS_SOCK_FLAGS 0
#endif

int pe_sock_nonblock(int fd) {
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return -errno;
    if ((flags & O_NONBLOCK) != 0)
        return 0;
    return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

int pe_sock_cloexec(int fd) {
    int flags = fcntl(fd, F_GETFD);

    if (flags < 0)
        return -errno;
    if ((flags & FD_CLOEXEC) != 0)
        return 0;
    return fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0 ? -errno : 0;
}

int pe_sock_nosigpipe(int fd) {
#if PE_MSG_NOSIGNAL == 0 && defined(SO_NOSIGPIPE)
    return pe_sock_option(fd, SOL_SOCKET, SO_NOSIGPIPE, 1);
#else
    (void)fd;
    return 0;
#endif
}

#if !HAS_SOCK_FLAGS
static int set_both(int fd) {
    int err = pe_sock_cloexec(fd);

    return err < 0 ? err : pe_sock_nonblock(fd);
}

/* Flag both of a pair, or close both. */
static int set_both_or_close(const int fds[2]) {
    int err = set_both(fds[0]);

    if (err == 0)
        err = set_both(fds[1]);
    if (err < 0) {
        (void)pe_close(fds[0]);
        (void)pe_close(fds[1]);
    }
    return err;
}
#endif

int pe_socket(int family, int type, int protocol) {
#if HAS_SOCK_FLAGS
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

    return fd < 0 ? -errno : fd;
#else
    int fd = socket(family, type, protocol);
    int err;

    if (fd < 0)
        return -errno;
    err = set_both(fd);
    if (err == 0)
        err = pe_sock_nosigpipe(fd);
    if (err < 0) {
        (void)pe_close(fd);
        return err;
    }
    return fd;
#endif
}

int pe_socketpair(int fds[2]) {
    int pair[2];

#if HAS_SOCK_FLAGS
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
#else
    int err;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
        return -errno;
    err = set_both_or_close(pair);
    if (err < 0)
        return err;
    /* A fresh pair takes the option; were it refused, SIGPIPE is all there is. */
    (void)pe_sock_nosigpipe(pair[0]);
    (void)pe_sock_nosigpipe(pair[1]);
#endif
    fds[0] = pair[0];
    fds[1] = pair[1];
    return 0;
}

int pe_pipe(int fds[2]) {
    int pair[2];

#if HAS_SOCK_FLAGS
    if (pipe2(pair, O_NONBLOCK | O_CLOEXEC) < 0)
        return -errno;
#else
    int err;

    if (pipe(pair) < 0)
        return -errno;
    err = set_both_or_close(pair);
    if (err < 0)
        return err;
#endif
    fds[0] = pair[0];
    fds[1] = pair[1];
    return 0;
}

int pe_accept(int fd, struct sockaddr *addr, socklen_t *len, bool nonblock,
              bool cloexec) {
#if HAS_SOCK_FLAGS
    int flags = (nonblock ? SOCK_NONBLOCK : 0) | (cloexec ? SOCK_CLOEXEC : 0);
    int conn = accept4(fd, addr, len, flags);

    return conn < 0 ? -errno : conn;
#else
    int conn = accept(fd, addr, len);
    int flags, err = 0;

    if (conn < 0)
        return -errno;
    /* The BSDs let it inherit O_NONBLOCK of the listening socket. */
    flags = fcntl(conn, F_GETFL);
    if (flags < 0 ||
        fcntl(conn, F_SETFL, nonblock ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0)
        err = -errno;
    if (err == 0 && cloexec)
        err = pe_sock_cloexec(conn);
    if (err == 0)
        (void)pe_sock_nosigpipe(conn); /* EINVAL when the peer is gone already */
    if (err < 0) {
        (void)pe_close(conn);
        return err;
    }
    return conn;
#endif
}

int pe_sock_error(int fd) {
    int err = 0;
    socklen_t len = sizeof(err);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        return -errno;
    return -err;
}

int pe_sock_option(int fd, int level, int name, int value) {
    return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

int pe_close(int fd) {
    int saved = errno;
    int err = close(fd) < 0 && errno != EINTR ? -errno : 0;

    errno = saved;
    return err;
}

int pe_fd_check(int fd) {
    int saved = errno;
    int err = fcntl(fd, F_GETFD) < 0 ? -EBADF : 0;

    errno = saved;
    return err;
}
