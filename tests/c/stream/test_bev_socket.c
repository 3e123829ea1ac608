/* test_bev_socket.c - descriptors of all kinds, and connecting. */
#include "streams.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "stream/bufferevent.h"

/* --- descriptors of other kinds ------------------------------------------- */

TEST(pipes_work_in_both_directions) {
    struct event_base *base = event_base_new();
    struct told told_in = {0}, told_out = {0};
    struct bufferevent *in, *out;
    int fds[2];

    CHECK_EQ(pipe2(fds, O_NONBLOCK), 0);
    in = bufferevent_socket_new(base, fds[0], BEV_OPT_CLOSE_ON_FREE);
    out = bufferevent_socket_new(base, fds[1], BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(in, told_read, told_write, told_event, &told_in);
    bufferevent_setcb(out, told_read, told_write, told_event, &told_out);
    bufferevent_enable(in, EV_READ);
    bufferevent_write(out, "through", 7);
    run_until(base, &told_in.reads, 1);
    CHECK_EQ(evbuffer_get_length(bufferevent_get_input(in)), 7);
    CHECK_EQ(told_out.writes, 1);
    bufferevent_free(out);
    run_until(base, &told_in.events, 1);
    CHECK_EQ(told_in.what, BEV_EVENT_READING | BEV_EVENT_EOF);
    bufferevent_free(in);
    event_base_free(base);
}

TEST(broken_pipe_is_an_event_and_no_signal) {
    struct event_base *base = event_base_new();
    struct told told = {0};
    struct bufferevent *out;
    sigset_t pending, mask;
    int fds[2];

    signal(SIGPIPE, SIG_DFL); /* which ends the process */
    CHECK_EQ(pipe2(fds, O_NONBLOCK), 0);
    out = bufferevent_socket_new(base, fds[1], BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(out, told_read, told_write, told_event, &told);
    close(fds[0]);
    bufferevent_write(out, "x", 1);
    run_until(base, &told.events, 1);
    CHECK_EQ(told.what, BEV_EVENT_WRITING | BEV_EVENT_ERROR);
    CHECK_EQ(told.error, EPIPE);
    sigpending(&pending);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    CHECK(!sigismember(&pending, SIGPIPE) && !sigismember(&mask, SIGPIPE));
    bufferevent_free(out);
    event_base_free(base);
}

TEST(regular_file_is_refused_where_the_backend_cannot) {
    struct event_base *base = event_base_new();
    FILE *file = tmpfile();
    struct bufferevent *bev = bufferevent_socket_new(base, fileno(file), 0);

    if (!(event_base_get_features(base) & EV_FEATURE_FDS)) {
        CHECK_EQ(bufferevent_enable(bev, EV_READ), -1);
        CHECK_EQ(errno, EPERM);
        CHECK_EQ(bufferevent_get_enabled(bev), EV_WRITE);
        bufferevent_setfd(bev, -1);
        CHECK_EQ(bufferevent_enable(bev, EV_READ), 0);
        CHECK_EQ(bufferevent_setfd(bev, fileno(file)), -1);
        CHECK_EQ(errno, EPERM);
        CHECK_EQ(bufferevent_get_enabled(bev), 0);
        CHECK_EQ(bufferevent_getfd(bev), -1); /* and it will not be closed with it */
    }
    bufferevent_free(bev);
    event_base_free(base);
    fclose(file);
}

TEST(without_a_descriptor_wishes_are_kept) {
    struct event_base *base = event_base_new();
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct told told = {0};
    int fds[2];

    bufferevent_setcb(bev, told_read, told_write, told_event, &told);
    CHECK_EQ(bufferevent_enable(bev, EV_READ), 0);
    CHECK_EQ(bufferevent_write(bev, "kept", 4), 0);
    turn(base);
    CHECK_EQ(told.events, 0);
    make_pair(fds);
    CHECK_EQ(bufferevent_setfd(bev, fds[0]), 0);
    send_text(fds[1], "x");
    run_until(base, &told.reads, 1);
    CHECK_STR(receive_text(fds[1]), "kept");
    bufferevent_free(bev);
    event_base_free(base);
    close(fds[1]);
}

TEST(replacefd_closes_the_old_one) {
    struct ctx c;
    int fds[2];

    open_ctx(&c, 0);
    bufferevent_enable(c.bev, EV_READ);
    turn(c.base);
    make_pair(fds);
    CHECK_EQ(bufferevent_replacefd(c.bev, fds[0]), 0);
    CHECK_EQ(recv(c.fds[1], c.told.order, 1, 0), 0);
    send_text(fds[1], "x");
    run_until(c.base, &c.told.reads, 1);
    CHECK_EQ(bufferevent_replacefd(c.bev, -1), 0);
    CHECK_EQ(bufferevent_getfd(c.bev), -1);
    close(fds[1]);
    close_ctx(&c);
}

/* --- connecting ----------------------------------------------------------- */

TEST(unix_addresses_connect) {
    struct event_base *base = event_base_new();
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    struct told told = {0};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(sun.sun_path, sizeof(sun.sun_path), "%cpyevent-test-%d", 0, (int)getpid());
    CHECK_EQ(bind(listener, (struct sockaddr *)&sun, sizeof(sun)), 0);
    CHECK_EQ(listen(listener, 4), 0);
    bufferevent_setcb(bev, told_read, told_write, told_event, &told);
    CHECK_EQ(bufferevent_socket_connect(bev, (struct sockaddr *)&sun, sizeof(sun)), 0);
    CHECK_EQ(told.events, 0);
    CHECK(pe_bufferevent_connecting(bev));
    run_until(base, &told.events, 1);
    CHECK_EQ(told.what, BEV_EVENT_CONNECTED);
    CHECK(!pe_bufferevent_connecting(bev));
    bufferevent_free(bev);
    event_base_free(base);
    close(listener);
}

TEST(address_that_cannot_be_reached_is_an_event_and_no_more) {
    struct event_base *base = event_base_new();
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct sockaddr_un sun = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/socket"};
    struct told told = {0};

    bufferevent_setcb(bev, told_read, told_write, told_event, &told);
    bufferevent_enable(bev, EV_READ);
    bufferevent_write(bev, "x", 1);
    CHECK_EQ(bufferevent_socket_connect(bev, (struct sockaddr *)&sun, sizeof(sun)), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(told.events, 1);
    CHECK_EQ(told.what, BEV_EVENT_ERROR);
    CHECK_EQ(told.error, ENOENT);
    CHECK_EQ(pe_bufferevent_error(bev), ENOENT);
    bufferevent_write(bev, "y", 1); /* there is no connection: nothing is tried */
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(told.events, 1);
    bufferevent_free(bev);
    event_base_free(base);
}

TEST(callers_mistakes_in_connect_are_told_at_once) {
    struct event_base *base = event_base_new();
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct sockaddr bad = {.sa_family = 12345};
    struct sockaddr_in short_one = {.sin_family = AF_INET};

    CHECK_EQ(bufferevent_socket_connect(bev, &bad, sizeof(bad)), -1);
    CHECK_EQ(errno, EAFNOSUPPORT);
    CHECK_EQ(bufferevent_socket_connect(bev, (struct sockaddr *)&short_one, 2), -1);
    CHECK_EQ(errno, EINVAL);
    CHECK_EQ(bufferevent_socket_connect(bev, NULL, 0), -1);
    CHECK_EQ(errno, EINVAL);
    CHECK_EQ(bufferevent_getfd(bev), -1);
    CHECK(!pe_bufferevent_connecting(bev));
    bufferevent_free(bev);
    event_base_free(base);
}

/* A listener whose queue is full, so that a connect to it stays under way. */
static int listen_deaf(struct sockaddr_in *sin, int clients[4]) {
    socklen_t len = sizeof(*sin);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    memset(sin, 0, sizeof(*sin));
    sin->sin_family = AF_INET;
    sin->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(fd, (struct sockaddr *)sin, sizeof(*sin)), 0);
    CHECK_EQ(listen(fd, 0), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)sin, &len), 0);
    for (int i = 0; i < 4; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(clients[i], (struct sockaddr *)sin, len);
    }
    return fd;
}

TEST(write_timeout_limits_a_connect) {
    struct event_base *base = event_base_new();
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct timeval limit = {0, 20000};
    struct sockaddr_in sin;
    struct told told = {0};
    int clients[4], listener = listen_deaf(&sin, clients);

    bufferevent_setcb(bev, told_read, told_write, told_event, &told);
    CHECK_EQ(bufferevent_set_timeouts(bev, NULL, &limit), 0);
    CHECK_EQ(bufferevent_socket_connect(bev, (struct sockaddr *)&sin, sizeof(sin)), 0);
    CHECK_EQ(bufferevent_socket_connect(bev, (struct sockaddr *)&sin, sizeof(sin)), -1);
    CHECK_EQ(errno, EALREADY);
    run_until(base, &told.events, 1);
    CHECK_EQ(told.what, BEV_EVENT_WRITING | BEV_EVENT_TIMEOUT);
    CHECK_EQ(told.enabled, 0);
    bufferevent_free(bev);
    event_base_free(base);
    for (int i = 0; i < 4; i++)
        close(clients[i]);
    close(listener);
}

TEST(free_while_connecting) {
    struct event_base *base = event_base_new();
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct sockaddr_in sin;
    int clients[4], listener = listen_deaf(&sin, clients);

    CHECK_EQ(bufferevent_socket_connect(bev, (struct sockaddr *)&sin, sizeof(sin)), 0);
    turn(base);
    bufferevent_free(bev);
    CHECK_EQ(event_base_dispatch(base), 1);
    event_base_free(base);
    for (int i = 0; i < 4; i++)
        close(clients[i]);
    close(listener);
}

TEST(replacing_a_descriptor_by_itself_keeps_it) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_enable(c.bev, EV_READ);
    bufferevent_replacefd(c.bev, c.fds[0]);
    CHECK_EQ(bufferevent_getfd(c.bev), c.fds[0]);
    send_text(c.fds[1], "x");
    run_until(c.base, &c.told.reads, 1);
    close_ctx(&c);
}

/* --- descriptors that block ---------------------------------------------------------- */

/* What the program should not do, but may have done: the number stands for another file. */
static void put_blocking_socket_at(int fd, int *peer) {
    int fds[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(dup2(fds[0], fd), fd);
    close(fds[0]);
    *peer = fds[1];
}

struct twins {
    struct ctx c[2];
    int peer; /* of the socket that has come */
    int calls;
};

static void replace_the_others(struct bufferevent *bev, void *arg) {
    struct twins *t = arg;

    if (t->calls++ == 0)
        put_blocking_socket_at(t->c[bev == t->c[0].bev].fds[0], &t->peer);
}

TEST(number_that_has_become_a_blocking_socket_does_not_hold_the_loop) {
    struct twins t;

    memset(&t, 0, sizeof(t));
    t.peer = -1;
    open_ctx(&t.c[0], 0);
    open_ctx(&t.c[1], 0);
    CHECK_EQ(bufferevent_base_set(t.c[0].base, t.c[1].bev), 0);
    for (int i = 0; i < 2; i++) {
        bufferevent_setcb(t.c[i].bev, replace_the_others, NULL, NULL, &t);
        bufferevent_enable(t.c[i].bev, EV_READ);
        send_text(t.c[i].fds[1], "x");
    }
    turn(t.c[0].base); /* both are ready, and one finds another file */
    CHECK_EQ(t.calls, 1);
    bufferevent_free(t.c[0].bev);
    bufferevent_free(t.c[1].bev);
    event_base_free(t.c[0].base);
    event_base_free(t.c[1].base);
    close(t.c[0].fds[1]);
    close(t.c[1].fds[1]);
    close(t.peer);
}

TEST(blocking_socket_is_read_and_written_without_waiting) {
    static const char block[1 << 22];
    struct ctx c;
    int fds[2];
    size_t got = 0;

    open_ctx(&c, 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    CHECK_EQ(bufferevent_replacefd(c.bev, fds[0]), 0);
    bufferevent_enable(c.bev, EV_READ);
    bufferevent_write(c.bev, block, sizeof(block)); /* one span, then many */
    for (int i = 0; i < 1000; i++)
        evbuffer_add_reference(bufferevent_get_output(c.bev), block, 1000, NULL, NULL);
    while (got < sizeof(block) + 1000 * 1000) {
        ssize_t n;

        turn(c.base);
        n = recv(fds[1], (char[65536]){0}, 65536, MSG_DONTWAIT);
        got += n > 0 ? (size_t)n : 0;
    }
    CHECK_EQ(c.told.events, 0);
    close(fds[1]);
    close_ctx(&c);
}

/* --- modes -------------------------------------------------------------------------- */

TEST(flush_in_a_mode_that_is_none_is_an_error) {
    struct ctx c;
    struct bufferevent *pair[2], *filter;

    open_ctx(&c, 0);
    CHECK_EQ(bufferevent_pair_new(c.base, 0, pair), 0);
    filter = bufferevent_filter_new(pair[0], NULL, NULL, 0, NULL, NULL);
    for (int mode = -1; mode <= 3; mode += 4) {
        struct bufferevent *bevs[] = {c.bev, pair[1], filter};

        for (int i = 0; i < 3; i++) {
            errno = 0;
            CHECK_EQ(bufferevent_flush(bevs[i], EV_WRITE, (enum bufferevent_flush_mode)mode), -1);
            CHECK_EQ(errno, EINVAL);
        }
    }
    bufferevent_free(filter);
    bufferevent_free(pair[0]);
    bufferevent_free(pair[1]);
    close_ctx(&c);
}
