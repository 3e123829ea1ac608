/* bare_epoll.c - the limit: an echo server on epoll(7), with nothing between.
 *
 *     bare_epoll
 *
 * One recv into a buffer of the connection and one send for each wake-up; what the
 * kernel does not take is written before anything more is read. Prints
 * "listening on 127.0.0.1:PORT".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUF_SIZE (1 << 18)

struct connection {
    int fd;
    size_t at, end; /* what is still to be sent */
    char buf[BUF_SIZE];
};

static int ep;

static void watch(struct connection *c, unsigned events) {
    struct epoll_event ev = {.events = events, .data.ptr = c};

    (void)epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &ev);
}

static int send_rest(struct connection *c) {
    ssize_t r = send(c->fd, c->buf + c->at, c->end - c->at, MSG_NOSIGNAL);

    if (r < 0)
        return errno == EAGAIN ? 0 : -1;
    c->at += (size_t)r;
    return 0;
}

static int attend(struct connection *c, unsigned events) {
    int did_block = c->at < c->end;

    if (!did_block) {
        ssize_t n = recv(c->fd, c->buf, BUF_SIZE, 0);

        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n <= 0)
            return -1;
        c->at = 0;
        c->end = (size_t)n;
    } else if (!(events & EPOLLOUT)) {
        return 0;
    }
    if (send_rest(c) < 0)
        return -1;
    if (did_block != (c->at < c->end))
        watch(c, did_block ? EPOLLIN : EPOLLOUT);
    return 0;
}

static void accept_one(int listener) {
    struct connection *c = malloc(sizeof(*c));
    int one = 1;

    if (c == NULL)
        return;
    c->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    c->at = c->end = 0;
    if (c->fd < 0) {
        free(c);
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

    (void)epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev);
}

int main(void) {
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct epoll_event ev = {.events = EPOLLIN}, events[64];
    socklen_t len = sizeof(addr);

    ep = epoll_create1(EPOLL_CLOEXEC);
    if (bind(listener, (struct sockaddr *)&addr, len) < 0 || listen(listener, 128) < 0 ||
        getsockname(listener, (struct sockaddr *)&addr, &len) < 0 ||
        epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev) < 0) {
        perror("listen");
        return 1;
    }
    printf("listening on 127.0.0.1:%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(ep, events, 64, -1);

        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;

            if (c == NULL) {
                accept_one(listener);
            } else if (attend(c, events[i].events) < 0) {
                close(c->fd);
                free(c);
            }
        }
    }
}
