/* parity_listener.c - what libevent 2.1 and we do alike with a listener. */
#include "streams.h"

#include <stdio.h>
#include <sys/un.h>

#include <event2/listener.h>

struct seen {
    struct event_base *base;
    struct evconnlistener *listener;
    int count, fds[16], family, socklen;
    int stop_at; /* the callback that disables (or frees) the listener */
    int errors;
};

static void keep(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr,
                 int socklen, void *arg) {
    struct seen *seen = arg;

    (void)listener;
    seen->fds[seen->count++] = fd;
    seen->family = addr->sa_family;
    seen->socklen = socklen;
}

static void close_seen(struct seen *seen) {
    for (int i = 0; i < seen->count; i++)
        close(seen->fds[i]);
    if (seen->listener != NULL)
        evconnlistener_free(seen->listener);
    event_base_free(seen->base);
}

static struct sockaddr_in loopback(void) {
    struct sockaddr_in sin;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return sin;
}

static void open_seen(struct seen *seen, evconnlistener_cb cb, unsigned flags) {
    struct sockaddr_in sin = loopback();

    memset(seen, 0, sizeof(*seen));
    seen->base = event_base_new();
    seen->listener = evconnlistener_new_bind(seen->base, cb, seen, flags | LEV_OPT_CLOSE_ON_FREE,
                                             -1, (struct sockaddr *)&sin, sizeof(sin));
    CHECK(seen->listener != NULL);
}

/* A client that is connected to the listener. */
static int connect_to(struct evconnlistener *listener) {
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    int fd;

    CHECK_EQ(getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&ss, &len), 0);
    fd = socket(ss.ss_family, SOCK_STREAM, 0);
    CHECK_EQ(connect(fd, (struct sockaddr *)&ss, len), 0);
    return fd;
}

TEST(each_connection_is_one_call) {
    struct seen seen;
    int a, b;

    open_seen(&seen, keep, 0);
    CHECK(evconnlistener_get_base(seen.listener) == seen.base);
    a = connect_to(seen.listener);
    b = connect_to(seen.listener);
    run_until(seen.base, &seen.count, 2);
    CHECK_EQ(seen.family, AF_INET);
    CHECK_EQ(seen.socklen, sizeof(struct sockaddr_in));
    send_text(a, "x");
    CHECK_EQ(recv(seen.fds[0], &seen.errors, 1, 0), 1); /* in the order they came */
    close(a);
    close(b);
    close_seen(&seen);
}

TEST(accepted_sockets_do_not_block_unless_asked_to) {
    for (int i = 0; i < 2; i++) {
        struct seen seen;
        int a;

        open_seen(&seen, keep,
                  i ? LEV_OPT_LEAVE_SOCKETS_BLOCKING : LEV_OPT_CLOSE_ON_EXEC);
        a = connect_to(seen.listener);
        run_until(seen.base, &seen.count, 1);
        CHECK_EQ(fcntl(seen.fds[0], F_GETFL) & O_NONBLOCK, i ? 0 : O_NONBLOCK);
        CHECK_EQ(fcntl(seen.fds[0], F_GETFD) & FD_CLOEXEC, i ? 0 : FD_CLOEXEC);
        CHECK_EQ(fcntl(evconnlistener_get_fd(seen.listener), F_GETFD) & FD_CLOEXEC,
                 i ? 0 : FD_CLOEXEC);
        close(a);
        close_seen(&seen);
    }
}

TEST(disabled_listener_lets_connections_wait) {
    struct seen seen;
    int a;

    open_seen(&seen, keep, LEV_OPT_DISABLED);
    a = connect_to(seen.listener);
    run_ready(seen.base);
    CHECK_EQ(seen.count, 0);
    CHECK_EQ(evconnlistener_enable(seen.listener), 0);
    run_until(seen.base, &seen.count, 1);
    close(a);
    close_seen(&seen);
}

static void keep_and_disable(struct evconnlistener *listener, evutil_socket_t fd,
                             struct sockaddr *addr, int socklen, void *arg) {
    keep(listener, fd, addr, socklen, arg);
    CHECK_EQ(evconnlistener_disable(listener), 0);
}

TEST(disabled_in_its_callback_it_accepts_no_more) {
    struct seen seen;
    int a, b;

    open_seen(&seen, keep_and_disable, 0);
    a = connect_to(seen.listener);
    b = connect_to(seen.listener);
    run_ready(seen.base);
    CHECK_EQ(seen.count, 1);
    evconnlistener_enable(seen.listener);
    run_ready(seen.base);
    CHECK_EQ(seen.count, 2);
    close(a);
    close(b);
    close_seen(&seen);
}

static void keep_and_free(struct evconnlistener *listener, evutil_socket_t fd,
                          struct sockaddr *addr, int socklen, void *arg) {
    keep(listener, fd, addr, socklen, arg);
    ((struct seen *)arg)->listener = NULL;
    evconnlistener_free(listener);
}

TEST(freed_in_its_callback_it_is_closed) {
    struct seen seen;
    int a, b;

    open_seen(&seen, keep_and_free, 0);
    a = connect_to(seen.listener);
    b = connect_to(seen.listener);
    run_ready(seen.base);
    CHECK_EQ(seen.count, 1);
    CHECK(recv(b, &seen.errors, 1, 0) <= 0);
    close(a);
    close(b);
    close_seen(&seen);
}

TEST(without_a_callback_connections_wait) {
    struct seen seen;
    int a;

    open_seen(&seen, NULL, 0);
    a = connect_to(seen.listener);
    run_ready(seen.base);
    evconnlistener_set_cb(seen.listener, keep, &seen);
    run_until(seen.base, &seen.count, 1);
    close(a);
    close_seen(&seen);
}

TEST(descriptor_of_the_caller_is_listened_on_and_kept) {
    struct seen seen = {0};
    struct sockaddr_in sin = loopback();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), a;

    CHECK_EQ(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    seen.base = event_base_new();
    seen.listener = evconnlistener_new(seen.base, keep, &seen, 0, 16, fd);
    CHECK(seen.listener != NULL);
    CHECK_EQ(evconnlistener_get_fd(seen.listener), fd);
    a = connect_to(seen.listener);
    run_until(seen.base, &seen.count, 1);
    close(a);
    close_seen(&seen);
    CHECK(fcntl(fd, F_GETFD) >= 0);
    close(fd);
}

TEST(backlog_zero_is_for_sockets_that_listen_already) {
    struct seen seen = {0};
    struct sockaddr_in sin = loopback();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), a;

    seen.base = event_base_new();
    CHECK(evconnlistener_new_bind(seen.base, keep, &seen, 0, 0, (struct sockaddr *)&sin,
                                  sizeof(sin)) == NULL);
    CHECK_EQ(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    CHECK_EQ(listen(fd, 16), 0);
    seen.listener = evconnlistener_new(seen.base, keep, &seen, LEV_OPT_CLOSE_ON_FREE, 0, fd);
    a = connect_to(seen.listener);
    run_until(seen.base, &seen.count, 1);
    close(a);
    close_seen(&seen);
}

TEST(address_in_use_is_refused) {
    struct seen seen;
    struct sockaddr_in sin;
    socklen_t len = sizeof(sin);

    open_seen(&seen, keep, 0);
    CHECK_EQ(getsockname(evconnlistener_get_fd(seen.listener), (struct sockaddr *)&sin, &len), 0);
    CHECK(evconnlistener_new_bind(seen.base, keep, &seen, LEV_OPT_CLOSE_ON_FREE, -1,
                                  (struct sockaddr *)&sin, sizeof(sin)) == NULL);
    CHECK_EQ(errno, EADDRINUSE);
    close_seen(&seen);
}

TEST(ports_can_be_shared_when_asked_for) {
    struct seen seen;
    struct sockaddr_in sin;
    socklen_t len = sizeof(sin);
    struct evconnlistener *second;

    open_seen(&seen, keep, LEV_OPT_REUSEABLE_PORT);
    CHECK_EQ(getsockname(evconnlistener_get_fd(seen.listener), (struct sockaddr *)&sin, &len), 0);
    second = evconnlistener_new_bind(seen.base, keep, &seen,
                                     LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE_PORT, -1,
                                     (struct sockaddr *)&sin, sizeof(sin));
    CHECK(second != NULL);
    evconnlistener_free(second);
    close_seen(&seen);
}

TEST(unix_sockets_are_listened_on) {
    struct seen seen = {0};
    struct sockaddr_un sun;
    int a;

    memset(&sun, 0, sizeof(sun));
    sun.sun_family = AF_UNIX;
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%cpyevent-listener-%d", 0, (int)getpid());
    seen.base = event_base_new();
    seen.listener = evconnlistener_new_bind(seen.base, keep, &seen, LEV_OPT_CLOSE_ON_FREE, -1,
                                            (struct sockaddr *)&sun, sizeof(sun));
    CHECK(seen.listener != NULL);
    a = connect_to(seen.listener);
    run_until(seen.base, &seen.count, 1);
    close(a);
    close_seen(&seen);
}
