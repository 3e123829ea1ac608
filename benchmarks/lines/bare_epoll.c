/* bare_epoll.c - the limit: a ROT13 line server on epoll(7), with nothing between.
 *
 *     bare_epoll [PORT]
 *
 * Level-triggered, one recv and one send per wake-up and connection, answers in
 * one buffer of the process: it serves the benchmark's clients, which read, and
 * is not meant for others. Prints "listening on 127.0.0.1:PORT".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUF_SIZE (1 << 18)

struct connection {
    int fd;
    size_t used; /* bytes of an incomplete line */
    char partial[4096];
};

static unsigned char table[256];

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void make_table(void) {
    for (int c = 0; c < 256; c++) {
        table[c] = (unsigned char)c;
        if (c >= 'a' && c <= 'z')
            table[c] = (unsigned char)('a' + (c - 'a' + 13) % 26);
        if (c >= 'A' && c <= 'Z')
            table[c] = (unsigned char)('A' + (c - 'A' + 13) % 26);
    }
}

static void send_all(int fd, const char *data, size_t n) {
    while (n > 0) {
        ssize_t r = send(fd, data, n, MSG_NOSIGNAL);

        if (r < 0 && errno == EAGAIN)
            continue; /* the benchmark's client reads at once */
        if (r < 0)
            return;
        data += r;
        n -= (size_t)r;
    }
}

static void attend(struct connection *c) {
    static char in[BUF_SIZE + 4096], out[BUF_SIZE + 4096];
    size_t have = c->used, answered = 0;
    ssize_t n;

    memcpy(in, c->partial, have);
    n = recv(c->fd, in + have, BUF_SIZE, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        close(c->fd);
        free(c);
        return;
    }
    have += (size_t)n;
    for (;;) { /* line by line, as the others */
        char *end = memchr(in + answered, '\n', have - answered);

        if (end == NULL)
            break;
        for (; in + answered <= end; answered++)
            out[answered] = (char)table[(unsigned char)in[answered]];
    }
    if (answered > 0)
        send_all(c->fd, out, answered);
    c->used = have - answered;
    if (c->used > sizeof(c->partial)) {
        close(c->fd);
        free(c);
        return;
    }
    memcpy(c->partial, in + answered, c->used);
}

static void accept_one(int ep, int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
    struct connection *c = malloc(sizeof(*c));
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};

    if (fd < 0 || c == NULL) {
        free(c);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    c->fd = fd;
    c->used = 0;
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
        die("epoll_ctl");
}

int main(int argc, char **argv) {
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0)),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    int ep = epoll_create1(0);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL}, events[64];
    socklen_t len = sizeof(addr);

    make_table();
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(listener, 4096) < 0)
        die("listen");
    getsockname(listener, (struct sockaddr *)&addr, &len);
    if (epoll_ctl(ep, EPOLL_CTL_ADD, listener, &ev) < 0)
        die("epoll_ctl");
    printf("listening on 127.0.0.1:%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(ep, events, 64, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                accept_one(ep, listener);
            else
                attend(events[i].data.ptr);
        }
    }
}
