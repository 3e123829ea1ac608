/* test_oom.c - the nth allocation fails, for every n: a base, a listener, a
 * connection that echoes a line, with timeouts. What fails must say so and leave
 * nothing behind; what succeeds must work. */
#include "streams.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include <event2/listener.h>

#include "base/mem.h"

struct server {
    struct event_base *base;
    struct bufferevent *bev;
    bool has_failed; /* something has told us that memory is out */
};

static void give_up(struct server *s) {
    s->has_failed = true;
    event_base_loopbreak(s->base);
}

static void echo(struct bufferevent *bev, void *arg) {
    size_t len;
    char *line = evbuffer_readln(bufferevent_get_input(bev), &len, EVBUFFER_EOL_LF);

    if (line == NULL || bufferevent_write(bev, line, len) < 0 ||
        bufferevent_write(bev, "\n", 1) < 0)
        give_up(arg);
    free(line);
}

static void stop(struct bufferevent *bev, void *arg) {
    (void)bev;
    event_base_loopbreak(((struct server *)arg)->base);
}

static void on_event(struct bufferevent *bev, short what, void *arg) {
    (void)bev;
    (void)what;
    give_up(arg);
}

static void serve(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr,
                  int socklen, void *arg) {
    struct server *s = arg;
    struct timeval second = {1, 0};

    (void)listener;
    (void)addr;
    (void)socklen;
    s->bev = bufferevent_socket_new(s->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (s->bev == NULL) {
        close(fd);
        give_up(s);
        return;
    }
    bufferevent_setcb(s->bev, echo, stop, on_event, s);
    if (bufferevent_set_timeouts(s->bev, &second, &second) < 0 ||
        bufferevent_enable(s->bev, EV_READ) < 0)
        give_up(s);
}

static void on_error(struct evconnlistener *listener, void *arg) {
    (void)listener;
    give_up(arg);
}

/* One connection, one line. True: it came back. */
static bool run_server(const struct sockaddr_un *sun, int *client) {
    struct server s = {NULL, NULL, false};
    struct evconnlistener *listener = NULL;
    bool is_answered = false;

    s.base = event_base_new();
    if (s.base != NULL)
        listener = evconnlistener_new_bind(s.base, serve, &s, LEV_OPT_CLOSE_ON_FREE, 16,
                                           (const struct sockaddr *)sun, sizeof(*sun));
    if (listener != NULL) {
        evconnlistener_set_error_cb(listener, on_error);
        *client = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK_EQ(connect(*client, (const struct sockaddr *)sun, sizeof(*sun)), 0);
        send_text(*client, "a line\n");
        if (event_base_dispatch(s.base) == 0 && !s.has_failed)
            is_answered = strcmp(receive_text(*client), "a line\n") == 0;
        if (!is_answered)
            CHECK(s.has_failed || pe_mem_has_failed());
    }
    if (s.bev != NULL)
        bufferevent_free(s.bev);
    if (listener != NULL)
        evconnlistener_free(listener);
    if (s.base != NULL)
        event_base_free(s.base);
    return is_answered;
}

TEST(every_allocation_of_an_echo_may_fail) {
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    bool has_failed = true;
    long n;

    snprintf(sun.sun_path, sizeof(sun.sun_path), "%cpyevent-oom-%d", 0, (int)getpid());
    for (n = 1; has_failed; n++) {
        int client = -1;
        bool is_answered;

        pe_mem_fail_nth(n);
        is_answered = run_server(&sun, &client);
        has_failed = pe_mem_has_failed();
        pe_mem_fail_nth(0);
        CHECK(has_failed || is_answered);
        CHECK_EQ(pe_mem_live_total(), 0);
        if (client >= 0)
            close(client);
    }
    CHECK(n > 8); /* it has tried some */
}

/* The same for a connection made by us, with output that gets stuck. */
static void run_client(const struct sockaddr *sa, int socklen) {
    static char block[1 << 20];
    struct timeval second = {1, 0};
    struct server s = {NULL, NULL, false};

    s.base = event_base_new();
    if (s.base != NULL)
        s.bev = bufferevent_socket_new(s.base, -1, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    if (s.bev != NULL) {
        bufferevent_setcb(s.bev, NULL, NULL, on_event, &s); /* CONNECTED, or an error */
        if (bufferevent_set_timeouts(s.bev, &second, &second) == 0 &&
            bufferevent_write(s.bev, block, sizeof(block)) == 0 &&
            bufferevent_enable(s.bev, EV_READ) == 0 &&
            bufferevent_socket_connect(s.bev, sa, socklen) == 0) {
            CHECK_EQ(event_base_dispatch(s.base), 0);
            event_base_loop(s.base, EVLOOP_NONBLOCK);
            CHECK(s.has_failed);
        } else {
            CHECK(pe_mem_has_failed());
        }
        bufferevent_free(s.bev);
    }
    if (s.base != NULL)
        event_base_free(s.base);
}

/* Connect to `listener` at `sa` for every n. */
static void try_clients(int listener, const struct sockaddr *sa, int socklen) {
    bool has_failed = true;

    CHECK_EQ(listen(listener, 200), 0);
    CHECK_EQ(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
    for (long n = 1; has_failed; n++) {
        int fd;

        pe_mem_fail_nth(n);
        run_client(sa, socklen);
        has_failed = pe_mem_has_failed();
        pe_mem_fail_nth(0);
        CHECK_EQ(pe_mem_live_total(), 0);
        fd = accept(listener, NULL, NULL);
        if (fd >= 0)
            close(fd);
    }
    close(listener);
}

TEST(every_allocation_of_a_connect_that_is_done_at_once_may_fail) {
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(sun.sun_path, sizeof(sun.sun_path), "%cpyevent-oom-%d", 0, (int)getpid());
    CHECK_EQ(bind(listener, (struct sockaddr *)&sun, sizeof(sun)), 0);
    try_clients(listener, (struct sockaddr *)&sun, sizeof(sun));
}

TEST(every_allocation_of_a_connect_may_fail) {
    struct sockaddr_in sin = {.sin_family = AF_INET};
    socklen_t len = sizeof(sin);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(listener, (struct sockaddr *)&sin, sizeof(sin)), 0);
    CHECK_EQ(getsockname(listener, (struct sockaddr *)&sin, &len), 0);
    try_clients(listener, (struct sockaddr *)&sin, sizeof(sin));
}
