/* test_contracts.c - promises of docs/semantics.md that no other test is about. */
#include "streams.h"

#include <netinet/tcp.h>

#include <event2/listener.h>

TEST(flushing_a_socket_writes_nothing) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_write(c.bev, "abc", 3);
    CHECK_EQ(bufferevent_flush(c.bev, EV_WRITE, BEV_FLUSH), 0);
    CHECK_EQ(bufferevent_flush(c.bev, EV_READ | EV_WRITE, BEV_FINISHED), 0);
    CHECK_EQ(waiting(c.fds[1]), 0);
    CHECK_EQ(evbuffer_get_length(bufferevent_get_output(c.bev)), 3);
    close_ctx(&c);
}

static void spoil_errno(struct bufferevent *bev, void *arg) {
    told_read(bev, arg);
    errno = EDOM;
}

TEST(deferred_event_callback_finds_the_errno_of_its_error) {
    struct ctx c;

    open_ctx(&c, BEV_OPT_DEFER_CALLBACKS);
    bufferevent_setcb(c.bev, spoil_errno, NULL, told_event, &c.told);
    errno = EPROTO;
    bufferevent_trigger_event(c.bev, BEV_EVENT_ERROR, 0);
    bufferevent_trigger(c.bev, EV_READ, 0);
    errno = 0;
    run_ready(c.base);
    CHECK_STR(c.told.order, "re");
    CHECK_EQ(c.told.error, EPROTO);
    close_ctx(&c);
}

TEST(freeing_an_end_of_a_pair_is_no_end_of_file_for_the_other) {
    struct event_base *base = event_base_new();
    struct bufferevent *pair[2];
    struct told told = {0};

    CHECK_EQ(bufferevent_pair_new(base, 0, pair), 0);
    bufferevent_setcb(pair[1], told_read, told_write, told_event, &told);
    bufferevent_enable(pair[1], EV_READ);
    run_ready(base);
    bufferevent_free(pair[0]);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(told.events, 0);
    CHECK(bufferevent_pair_get_partner(pair[1]) == NULL);
    bufferevent_free(pair[1]);
    event_base_free(base);
}

static void accept_none(struct evconnlistener *listener, evutil_socket_t fd,
                        struct sockaddr *addr, int socklen, void *arg) {
    (void)listener;
    (void)fd;
    (void)addr;
    (void)socklen;
    (void)arg;
}

TEST(tcp_listeners_keep_connections_alive) {
    struct event_base *base = event_base_new();
    struct sockaddr_in sin = {.sin_family = AF_INET};
    struct evconnlistener *listener;
    int value = 0;
    socklen_t len = sizeof(value);

    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = evconnlistener_new_bind(base, accept_none, NULL, LEV_OPT_CLOSE_ON_FREE, -1,
                                       (struct sockaddr *)&sin, sizeof(sin));
    CHECK(listener != NULL);
    CHECK_EQ(getsockopt(evconnlistener_get_fd(listener), SOL_SOCKET, SO_KEEPALIVE, &value, &len),
             0);
    CHECK(value != 0);
    CHECK_EQ(getsockopt(evconnlistener_get_fd(listener), IPPROTO_TCP, TCP_KEEPIDLE, &value, &len),
             0);
    CHECK_EQ(value, 300);
    evconnlistener_free(listener);
    event_base_free(base);
}

TEST(listening_makes_the_callers_descriptor_non_blocking) {
    struct event_base *base = event_base_new();
    struct sockaddr_in sin = {.sin_family = AF_INET};
    struct evconnlistener *listener;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    listener = evconnlistener_new(base, accept_none, NULL, LEV_OPT_CLOSE_ON_FREE, -1, fd);
    CHECK(listener != NULL);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    evconnlistener_free(listener);
    event_base_free(base);
}
