/* test_sock.c - descriptor and socket helpers. */
#include "harness.h"

#include "base/errors.h"
#include "base/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static int is_nonblocking(int fd) {
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

static int is_cloexec(int fd) {
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
}

TEST(sock_flags_are_set_and_may_be_set_again) {
    int pipes[2];

    CHECK_EQ(pipe(pipes), 0);
    CHECK(!is_nonblocking(pipes[0]) && !is_cloexec(pipes[0]));
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(pe_sock_nonblock(pipes[0]), 0);
        CHECK_EQ(pe_sock_cloexec(pipes[0]), 0);
        CHECK(is_nonblocking(pipes[0]) && is_cloexec(pipes[0]));
    }
    CHECK_EQ(pe_close(pipes[0]), 0);
    CHECK_EQ(pe_close(pipes[1]), 0);
    CHECK_EQ(pe_sock_nonblock(pipes[0]), -EBADF);
    CHECK_EQ(pe_sock_cloexec(-1), -EBADF);
}

TEST(sock_pairs_come_with_both_flags) {
    int fds[2] = {-5, -6};
    char byte = 0;

    CHECK_EQ(pe_socketpair(fds), 0);
    CHECK(is_nonblocking(fds[0]) && is_nonblocking(fds[1]));
    CHECK(is_cloexec(fds[0]) && is_cloexec(fds[1]));
    CHECK_EQ(send(fds[0], "x", 1, PE_MSG_NOSIGNAL), 1);
    CHECK_EQ(recv(fds[1], &byte, 1, 0), 1);
    CHECK_EQ(recv(fds[1], &byte, 1, 0), -1);
    CHECK_EQ(errno, EAGAIN);
    close(fds[0]);
    close(fds[1]);
    CHECK_EQ(pe_pipe(fds), 0);
    CHECK(is_nonblocking(fds[0]) && is_nonblocking(fds[1]));
    CHECK(is_cloexec(fds[0]) && is_cloexec(fds[1]));
    CHECK_EQ(write(fds[1], "y", 1), 1);
    CHECK_EQ(read(fds[0], &byte, 1), 1);
    CHECK_EQ(byte, 'y');
    close(fds[0]);
    close(fds[1]);
}

/* A listening socket on a port of the kernel's choice. */
static int listen_somewhere(struct sockaddr_in *in) {
    socklen_t len = sizeof(*in);
    int fd = pe_socket(AF_INET, SOCK_STREAM, 0);

    CHECK(fd >= 0);
    CHECK(is_nonblocking(fd) && is_cloexec(fd));
    memset(in, 0, sizeof(*in));
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(fd, (struct sockaddr *)in, sizeof(*in)), 0);
    CHECK_EQ(listen(fd, 8), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)in, &len), 0);
    return fd;
}

TEST(sock_accept_sets_just_the_flags_asked_for) {
    struct sockaddr_in in, peer, client_name;
    int listener = listen_somewhere(&in);

    CHECK_EQ(pe_accept(listener, NULL, NULL, true, true), -EAGAIN);
    for (int flags = 0; flags < 4; flags++) {
        bool nonblock = (flags & 1) != 0, cloexec = (flags & 2) != 0;
        socklen_t len = sizeof(peer), client_len = sizeof(client_name);
        int client = socket(AF_INET, SOCK_STREAM, 0);
        int conn;

        CHECK_EQ(connect(client, (struct sockaddr *)&in, sizeof(in)), 0);
        conn = pe_accept(listener, (struct sockaddr *)&peer, &len, nonblock, cloexec);
        CHECK(conn >= 0);
        CHECK_EQ(is_nonblocking(conn), nonblock);
        CHECK_EQ(is_cloexec(conn), cloexec);
        CHECK_EQ(getsockname(client, (struct sockaddr *)&client_name, &client_len), 0);
        CHECK_EQ(peer.sin_port, client_name.sin_port);
        close(conn);
        close(client);
    }
    close(listener);
    CHECK_EQ(pe_accept(-1, NULL, NULL, true, true), -EBADF);
}

TEST(sock_error_tells_a_refused_connection_once) {
    struct sockaddr_in in;
    struct pollfd p = {.events = POLLOUT};
    int listener = listen_somewhere(&in);
    int fd = pe_socket(AF_INET, SOCK_STREAM, 0);

    close(listener); /* nobody listens on that port now */
    CHECK(fd >= 0);
    if (connect(fd, (struct sockaddr *)&in, sizeof(in)) < 0 && errno == EINPROGRESS) {
        p.fd = fd;
        CHECK_EQ(poll(&p, 1, 5000), 1);
        CHECK_EQ(pe_sock_error(fd), -ECONNREFUSED);
    }
    CHECK_EQ(pe_sock_error(fd), 0);
    close(fd);
    CHECK_EQ(pe_sock_error(fd), -EBADF);
}

TEST(sock_error_of_a_pipe_is_enotsock) {
    int fds[2];

    CHECK_EQ(pe_pipe(fds), 0);
    CHECK_EQ(pe_sock_error(fds[0]), -ENOTSOCK);
    CHECK_EQ(pe_sock_option(fds[0], SOL_SOCKET, SO_KEEPALIVE, 1), -ENOTSOCK);
    close(fds[0]);
    close(fds[1]);
}

TEST(sock_option_is_set) {
    int fd = pe_socket(AF_INET, SOCK_STREAM, 0);
    int value = 0;
    socklen_t len = sizeof(value);

    CHECK_EQ(pe_sock_option(fd, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, &len), 0);
    CHECK(value != 0);
    CHECK_EQ(pe_sock_nosigpipe(fd), 0);
    close(fd);
}

TEST(sock_write_to_a_gone_peer_is_epipe_without_a_signal) {
    int fds[2];

    CHECK_EQ(pe_socketpair(fds), 0);
    close(fds[1]);
    CHECK_EQ(send(fds[0], "x", 1, PE_MSG_NOSIGNAL), -1); /* a SIGPIPE would kill us */
    CHECK_EQ(errno, EPIPE);
    close(fds[0]);
}

TEST(sock_new_socket_of_an_unknown_family_is_an_error) {
    CHECK(pe_socket(12345, SOCK_STREAM, 0) < 0);
}

TEST(sock_close_and_check_leave_errno_alone) {
    int fds[2];

    CHECK_EQ(pe_pipe(fds), 0);
    errno = ENOSPC;
    CHECK_EQ(pe_fd_check(fds[0]), 0);
    CHECK_EQ(pe_close(fds[0]), 0);
    CHECK_EQ(pe_fd_check(fds[0]), -EBADF);
    CHECK_EQ(pe_close(fds[0]), -EBADF);
    CHECK_EQ(pe_close(-1), -EBADF);
    CHECK_EQ(pe_fd_check(-1), -EBADF);
    CHECK_EQ(errno, ENOSPC);
    CHECK_EQ(pe_close(fds[1]), 0);
}

TEST(errors_leave_the_core_as_minus_one_and_errno) {
    errno = 0;
    CHECK_EQ(pe_fail(-EMFILE), -1);
    CHECK_EQ(errno, EMFILE);
}
