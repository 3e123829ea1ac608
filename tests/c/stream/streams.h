/* streams.h - what the tests of streams share: socket pairs, and loops that end.
 *
 * Only event2/ names, so that the tests that also run on libevent can use it. No
 * wait here has a limit of its own: the harness ends a test that hangs.
 */
#ifndef PE_TESTS_STREAMS_H
#define PE_TESTS_STREAMS_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "harness.h"

/* A connected pair: fds[0] non-blocking, for the library; fds[1] blocks. */
static inline void make_pair(int fds[2]) {
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(evutil_make_socket_nonblocking(fds[0]), 0);
}

/* The same over TCP on the loopback interface. */
static inline void make_tcp_pair(int fds[2]) {
    struct sockaddr_in sin;
    socklen_t len = sizeof(sin);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(listener, (struct sockaddr *)&sin, sizeof(sin)), 0);
    CHECK_EQ(listen(listener, 1), 0);
    CHECK_EQ(getsockname(listener, (struct sockaddr *)&sin, &len), 0);
    fds[1] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(connect(fds[1], (struct sockaddr *)&sin, len), 0);
    fds[0] = accept(listener, NULL, NULL);
    CHECK(fds[0] >= 0);
    CHECK_EQ(evutil_make_socket_nonblocking(fds[0]), 0);
    close(listener);
}

/* Run the loop until `*count` has reached `n`. */
static inline void run_until(struct event_base *base, const int *count, int n) {
    while (*count < n)
        CHECK(event_base_loop(base, EVLOOP_ONCE) == 0);
}

/* Run what is ready now, and nothing that it makes wait. */
static inline void run_ready(struct event_base *base) {
    CHECK(event_base_loop(base, EVLOOP_NONBLOCK) >= 0);
}

static inline void send_text(int fd, const char *text) {
    CHECK_EQ(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* How many bytes wait at `fd`, at most 64 KiB. */
static inline long waiting(int fd) {
    static char bytes[65536];
    ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);

    return n < 0 ? 0 : n;
}

/* What waits at `fd` as a string, in a static buffer. */
static inline const char *receive_text(int fd) {
    static char text[1024];
    ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

    text[n < 0 ? 0 : n] = '\0';
    return text;
}

/* What a bufferevent's callbacks were told. */
struct told {
    int reads, writes, events; /* how often each was called */
    short what;                /* all bits of the events */
    int error;                 /* errno at the last event */
    int enabled;               /* what was enabled at the last event */
    char order[32];            /* 'r', 'w', 'e' and 'c' (connected) as they came */
};

static inline void note(struct told *told, char c) {
    size_t len = strlen(told->order);

    if (len + 1 < sizeof(told->order)) {
        told->order[len] = c;
        told->order[len + 1] = '\0';
    }
}

static inline void told_read(struct bufferevent *bev, void *arg) {
    (void)bev;
    ((struct told *)arg)->reads++;
    note(arg, 'r');
}

static inline void told_write(struct bufferevent *bev, void *arg) {
    (void)bev;
    ((struct told *)arg)->writes++;
    note(arg, 'w');
}

static inline void told_event(struct bufferevent *bev, short what, void *arg) {
    struct told *told = arg;

    told->error = errno;
    told->events++;
    told->what |= what;
    told->enabled = bufferevent_get_enabled(bev);
    note(arg, what & BEV_EVENT_CONNECTED ? 'c' : 'e');
}

/* A base, a bufferevent on one end of a pair, and what it was told. */
struct ctx {
    struct event_base *base;
    struct bufferevent *bev;
    struct told told;
    int fds[2];
    int step; /* for the test to count with */
};

static inline void open_ctx(struct ctx *c, int options) {
    memset(c, 0, sizeof(*c));
    make_pair(c->fds);
    c->base = event_base_new();
    CHECK(c->base != NULL);
    c->bev = bufferevent_socket_new(c->base, c->fds[0], options | BEV_OPT_CLOSE_ON_FREE);
    CHECK(c->bev != NULL);
    bufferevent_setcb(c->bev, told_read, told_write, told_event, &c->told);
}

static inline void close_ctx(struct ctx *c) {
    bufferevent_free(c->bev);
    event_base_free(c->base);
    close(c->fds[1]);
}

static inline void turn(struct event_base *base) {
    CHECK(event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK) >= 0);
}

#endif
