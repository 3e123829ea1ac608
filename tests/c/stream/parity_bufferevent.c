/* parity_bufferevent.c - what libevent 2.1 and we do alike with a connection. */
#include "streams.h"

TEST(new_one_writes_and_does_not_read) {
    struct ctx c;

    open_ctx(&c, 0);
    CHECK_EQ(bufferevent_get_enabled(c.bev), EV_WRITE);
    CHECK_EQ(bufferevent_getfd(c.bev), c.fds[0]);
    CHECK(bufferevent_get_base(c.bev) == c.base);
    CHECK(bufferevent_get_underlying(c.bev) == NULL);
    send_text(c.fds[1], "x");
    run_ready(c.base);
    CHECK_EQ(c.told.reads, 0);
    close_ctx(&c);
}

TEST(input_arrives_and_is_taken) {
    struct ctx c;
    char got[8] = "";

    open_ctx(&c, 0);
    CHECK_EQ(bufferevent_enable(c.bev, EV_READ), 0);
    send_text(c.fds[1], "hello");
    run_until(c.base, &c.told.reads, 1);
    CHECK_EQ(evbuffer_get_length(bufferevent_get_input(c.bev)), 5);
    CHECK_EQ(bufferevent_read(c.bev, got, 3), 3);
    CHECK_MEM(got, "hel", 3);
    CHECK_EQ(bufferevent_read(c.bev, got, sizeof(got)), 2);
    CHECK_MEM(got, "lo", 2);
    CHECK_EQ(bufferevent_read(c.bev, got, sizeof(got)), 0);
    close_ctx(&c);
}

TEST(output_arrives_in_order_and_calls_back) {
    struct ctx c;
    struct evbuffer *more = evbuffer_new();

    open_ctx(&c, 0);
    CHECK_EQ(bufferevent_write(c.bev, "one ", 4), 0);
    evbuffer_add(more, "two", 3);
    CHECK_EQ(bufferevent_write_buffer(c.bev, more), 0);
    CHECK_EQ(evbuffer_get_length(more), 0);
    run_until(c.base, &c.told.writes, 1);
    CHECK_STR(receive_text(c.fds[1]), "one two");
    CHECK_EQ(evbuffer_get_length(bufferevent_get_output(c.bev)), 0);
    evbuffer_free(more);
    close_ctx(&c);
}

TEST(program_cannot_touch_the_librarys_ends) {
    struct ctx c;

    open_ctx(&c, 0);
    CHECK_EQ(evbuffer_add(bufferevent_get_input(c.bev), "x", 1), -1);
    CHECK_EQ(bufferevent_write(c.bev, "abc", 3), 0);
    CHECK_EQ(evbuffer_drain(bufferevent_get_output(c.bev), 1), -1);
    CHECK_EQ(evbuffer_get_length(bufferevent_get_output(c.bev)), 3);
    close_ctx(&c);
}

TEST(nothing_is_written_while_writing_is_disabled) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_disable(c.bev, EV_WRITE);
    bufferevent_write(c.bev, "abc", 3);
    run_ready(c.base);
    CHECK_EQ(waiting(c.fds[1]), 0);
    bufferevent_enable(c.bev, EV_WRITE);
    run_until(c.base, &c.told.writes, 1);
    CHECK_STR(receive_text(c.fds[1]), "abc");
    close_ctx(&c);
}

TEST(enable_write_calls_the_write_callback_once_from_the_loop) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_enable(c.bev, EV_WRITE);
    CHECK_EQ(c.told.writes, 0);
    run_ready(c.base);
    run_ready(c.base);
    CHECK_EQ(c.told.writes, 1);
    close_ctx(&c);
}

TEST(enable_write_calls_nobody_without_a_descriptor) {
    struct ctx c;
    struct bufferevent *bev;

    open_ctx(&c, 0);
    bev = bufferevent_socket_new(c.base, -1, 0);
    bufferevent_setcb(bev, told_read, told_write, told_event, &c.told);
    bufferevent_enable(bev, EV_WRITE);
    run_ready(c.base);
    run_ready(c.base);
    CHECK_EQ(c.told.writes, 0);
    bufferevent_free(bev);
    close_ctx(&c);
}

TEST(enable_write_calls_nobody_while_output_is_stuck) {
    struct ctx c;
    static const char block[1 << 22];

    open_ctx(&c, 0);
    bufferevent_write(c.bev, block, sizeof(block));
    run_ready(c.base); /* until the kernel takes no more */
    run_ready(c.base);
    CHECK(evbuffer_get_length(bufferevent_get_output(c.bev)) > 0);
    bufferevent_setwatermark(c.bev, EV_WRITE, sizeof(block), 0);
    bufferevent_disable(c.bev, EV_WRITE);
    bufferevent_enable(c.bev, EV_WRITE);
    run_ready(c.base);
    run_ready(c.base);
    CHECK_EQ(c.told.writes, 0);
    close_ctx(&c);
}

/* Pauses whenever it is called, and goes on a millisecond later. */
struct pacer {
    struct ctx c;
    size_t got;
};

static void go_on(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    bufferevent_enable(((struct pacer *)arg)->c.bev, EV_WRITE);
}

static void take_some(evutil_socket_t fd, short what, void *arg) {
    char bytes[4096];
    ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    (void)what;
    ((struct pacer *)arg)->got += n > 0 ? (size_t)n : 0;
}

static void pause_writing(struct bufferevent *bev, void *arg) {
    struct timeval soon = {0, 1000};

    bufferevent_disable(bev, EV_WRITE);
    CHECK_EQ(event_base_once(bufferevent_get_base(bev), -1, EV_TIMEOUT, go_on, arg, &soon), 0);
}

TEST(producer_that_pauses_in_its_write_callback_is_sent_to_the_end) {
    static const char block[60000];
    struct pacer p;
    struct event *taker;
    int one = 1;

    memset(&p, 0, sizeof(p));
    open_ctx(&p.c, 0);
    CHECK_EQ(setsockopt(p.c.fds[0], SOL_SOCKET, SO_SNDBUF, &one, sizeof(one)), 0);
    taker = event_new(p.c.base, p.c.fds[1], EV_READ | EV_PERSIST, take_some, &p);
    event_add(taker, NULL);
    bufferevent_setcb(p.c.bev, NULL, pause_writing, NULL, &p);
    bufferevent_setwatermark(p.c.bev, EV_WRITE, sizeof(block), 0);
    bufferevent_write(p.c.bev, block, sizeof(block));
    bufferevent_enable(p.c.bev, EV_WRITE);
    while (p.got < sizeof(block))
        CHECK_EQ(event_base_loop(p.c.base, EVLOOP_ONCE), 0);
    event_free(taker);
    bufferevent_setcb(p.c.bev, NULL, NULL, NULL, NULL);
    bufferevent_disable(p.c.bev, EV_WRITE);
    CHECK_EQ(event_base_dispatch(p.c.base), 1); /* the last timer */
    close_ctx(&p.c);
}

TEST(end_of_input_disables_reading_and_keeps_the_data) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "last");
    CHECK_EQ(shutdown(c.fds[1], SHUT_WR), 0);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.what, BEV_EVENT_READING | BEV_EVENT_EOF);
    CHECK_EQ(c.told.enabled, EV_WRITE);
    CHECK_STR(c.told.order, "re");
    CHECK_EQ(evbuffer_get_length(bufferevent_get_input(c.bev)), 4);
    bufferevent_write(c.bev, "still", 5); /* the other direction is open */
    run_until(c.base, &c.told.writes, 1);
    CHECK_STR(receive_text(c.fds[1]), "still");
    close_ctx(&c);
}

TEST(reset_is_an_error_with_its_errno) {
    struct ctx c;
    struct linger at_once = {1, 0};
    int fds[2];

    open_ctx(&c, 0);
    make_tcp_pair(fds);
    close(bufferevent_getfd(c.bev));
    bufferevent_setfd(c.bev, fds[0]);
    bufferevent_enable(c.bev, EV_READ);
    CHECK_EQ(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    close(fds[1]);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.what, BEV_EVENT_READING | BEV_EVENT_ERROR);
    CHECK_EQ(c.told.error, ECONNRESET);
    CHECK_EQ(c.told.enabled & EV_READ, 0);
    close_ctx(&c);
}

TEST(low_mark_delays_the_read_callback) {
    struct ctx c;
    size_t low = 0, high = 0;

    open_ctx(&c, 0);
    bufferevent_setwatermark(c.bev, EV_READ, 4, 100);
    CHECK_EQ(bufferevent_getwatermark(c.bev, EV_READ, &low, &high), 0);
    CHECK_EQ(low, 4);
    CHECK_EQ(high, 100);
    CHECK_EQ(bufferevent_getwatermark(c.bev, EV_READ | EV_WRITE, &low, &high), -1);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "abc");
    run_ready(c.base);
    CHECK_EQ(c.told.reads, 0);
    CHECK_EQ(evbuffer_get_length(bufferevent_get_input(c.bev)), 3);
    send_text(c.fds[1], "d");
    run_until(c.base, &c.told.reads, 1);
    close_ctx(&c);
}

TEST(high_mark_pauses_reading_until_some_is_taken) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_setcb(c.bev, NULL, NULL, told_event, &c.told);
    bufferevent_setwatermark(c.bev, EV_READ, 0, 4);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "abcdefghij");
    run_ready(c.base);
    CHECK_EQ(evbuffer_get_length(bufferevent_get_input(c.bev)), 4);
    CHECK_EQ(bufferevent_get_enabled(c.bev), EV_READ | EV_WRITE);
    evbuffer_drain(bufferevent_get_input(c.bev), 1);
    run_ready(c.base);
    CHECK_EQ(evbuffer_get_length(bufferevent_get_input(c.bev)), 4);
    bufferevent_setwatermark(c.bev, EV_READ, 0, 0);
    run_ready(c.base);
    CHECK_EQ(evbuffer_get_length(bufferevent_get_input(c.bev)), 9);
    close_ctx(&c);
}

TEST(changing_marks_calls_nobody) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_setwatermark(c.bev, EV_READ, 10, 0);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "abc");
    run_ready(c.base);
    bufferevent_setwatermark(c.bev, EV_READ, 1, 0);
    run_ready(c.base);
    CHECK_EQ(c.told.reads, 0);
    close_ctx(&c);
}

TEST(write_callback_waits_for_the_low_mark) {
    struct ctx c;
    static char block[1 << 20], got[65536];
    size_t left = sizeof(block);

    open_ctx(&c, 0);
    memset(block, 'x', sizeof(block));
    bufferevent_setwatermark(c.bev, EV_WRITE, sizeof(block) / 4, 0);
    bufferevent_write(c.bev, block, sizeof(block));
    run_ready(c.base);
    CHECK(evbuffer_get_length(bufferevent_get_output(c.bev)) > sizeof(block) / 4);
    CHECK_EQ(c.told.writes, 0);
    while (left > 0) {
        ssize_t n = recv(c.fds[1], got, sizeof(got), MSG_DONTWAIT);

        left -= n > 0 ? (size_t)n : 0;
        run_ready(c.base);
        if (evbuffer_get_length(bufferevent_get_output(c.bev)) > sizeof(block) / 4)
            CHECK_EQ(c.told.writes, 0);
    }
    CHECK(c.told.writes > 0);
    close_ctx(&c);
}

static void put_timeout(struct bufferevent *bev, long read_ms, long write_ms) {
    struct timeval r = {read_ms / 1000, read_ms % 1000 * 1000};
    struct timeval w = {write_ms / 1000, write_ms % 1000 * 1000};

    CHECK_EQ(bufferevent_set_timeouts(bev, read_ms ? &r : NULL, write_ms ? &w : NULL), 0);
}

TEST(read_timeout_disables_reading_and_says_so) {
    struct ctx c;

    open_ctx(&c, 0);
    put_timeout(c.bev, 20, 0);
    bufferevent_enable(c.bev, EV_READ);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.what, BEV_EVENT_READING | BEV_EVENT_TIMEOUT);
    CHECK_EQ(c.told.enabled, EV_WRITE);
    close_ctx(&c);
}

TEST(read_timeout_does_not_run_while_reading_is_disabled) {
    struct ctx c;

    open_ctx(&c, 0);
    put_timeout(c.bev, 20, 0);
    bufferevent_enable(c.bev, EV_READ);
    bufferevent_disable(c.bev, EV_READ);
    CHECK_EQ(event_base_dispatch(c.base), 1); /* nothing to wait for */
    CHECK_EQ(c.told.events, 0);
    close_ctx(&c);
}

TEST(write_timeout_runs_only_while_output_is_stuck) {
    struct ctx c;
    static char block[1 << 22];

    open_ctx(&c, 0);
    put_timeout(c.bev, 0, 20);
    bufferevent_write(c.bev, "x", 1);
    CHECK_EQ(event_base_dispatch(c.base), 1);
    CHECK_EQ(c.told.events, 0);
    bufferevent_write(c.bev, block, sizeof(block));
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.what, BEV_EVENT_WRITING | BEV_EVENT_TIMEOUT);
    CHECK_EQ(c.told.enabled, 0);
    close_ctx(&c);
}

TEST(write_timeout_runs_without_a_descriptor_too) {
    struct ctx c;
    struct bufferevent *bev;

    open_ctx(&c, 0);
    bev = bufferevent_socket_new(c.base, -1, 0);
    bufferevent_setcb(bev, told_read, told_write, told_event, &c.told);
    put_timeout(bev, 0, 20);
    bufferevent_write(bev, "x", 1);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.what, BEV_EVENT_WRITING | BEV_EVENT_TIMEOUT);
    CHECK_EQ(c.told.enabled, 0);
    bufferevent_free(bev);
    close_ctx(&c);
}

TEST(deferred_callbacks_run_from_the_loop_in_order) {
    struct ctx c;

    open_ctx(&c, BEV_OPT_DEFER_CALLBACKS);
    bufferevent_trigger_event(c.bev, BEV_EVENT_EOF, 0);
    bufferevent_trigger(c.bev, EV_WRITE, 0);
    bufferevent_trigger(c.bev, EV_READ, 0);
    bufferevent_trigger(c.bev, EV_READ, 0);
    bufferevent_trigger_event(c.bev, BEV_EVENT_CONNECTED, 0);
    CHECK_STR(c.told.order, "");
    run_ready(c.base);
    CHECK_STR(c.told.order, "crwe");
    close_ctx(&c);
}

TEST(trigger_respects_the_marks_unless_told_otherwise) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_setwatermark(c.bev, EV_READ, 1, 0);
    bufferevent_trigger(c.bev, EV_READ, 0);
    CHECK_EQ(c.told.reads, 0);
    bufferevent_trigger(c.bev, EV_READ | EV_WRITE, BEV_TRIG_IGNORE_WATERMARKS);
    CHECK_EQ(c.told.reads, 1);
    CHECK_EQ(c.told.writes, 1);
    bufferevent_trigger(c.bev, EV_WRITE, BEV_TRIG_DEFER_CALLBACKS);
    CHECK_EQ(c.told.writes, 1);
    run_ready(c.base);
    CHECK_EQ(c.told.writes, 2);
    bufferevent_trigger_event(c.bev, BEV_EVENT_EOF, BEV_TRIG_DEFER_CALLBACKS);
    CHECK_EQ(c.told.events, 0);
    run_ready(c.base);
    CHECK_EQ(c.told.what, BEV_EVENT_EOF);
    close_ctx(&c);
}

TEST(callbacks_can_be_read_back) {
    struct ctx c;
    bufferevent_data_cb r = NULL, w = NULL;
    bufferevent_event_cb e = NULL;
    void *arg = NULL;

    open_ctx(&c, 0);
    bufferevent_getcb(c.bev, &r, &w, &e, &arg);
    CHECK(r == told_read && w == told_write && e == told_event && arg == &c.told);
    bufferevent_getcb(c.bev, NULL, NULL, NULL, NULL);
    close_ctx(&c);
}

TEST(another_descriptor_gets_what_is_waiting) {
    struct ctx c;
    int fds[2];

    open_ctx(&c, 0);
    make_pair(fds);
    bufferevent_enable(c.bev, EV_READ);
    bufferevent_write(c.bev, "moved", 5);
    CHECK_EQ(bufferevent_setfd(c.bev, fds[0]), 0);
    close(c.fds[0]);
    run_until(c.base, &c.told.writes, 1);
    CHECK_EQ(waiting(c.fds[1]), 0);
    CHECK_STR(receive_text(fds[1]), "moved");
    send_text(fds[1], "x");
    run_until(c.base, &c.told.reads, 1);
    close(fds[1]);
    close_ctx(&c);
}

TEST(descriptor_stays_open_without_close_on_free) {
    struct event_base *base = event_base_new();
    struct bufferevent *bev;
    int fds[2];

    make_pair(fds);
    bev = bufferevent_socket_new(base, fds[0], 0);
    bufferevent_free(bev);
    event_base_free(base);
    CHECK(fcntl(fds[0], F_GETFD) >= 0);
    close(fds[0]);
    close(fds[1]);
}

/* --- connecting --- */

static int listen_on_loopback(struct sockaddr_in *sin) {
    socklen_t len = sizeof(*sin);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    memset(sin, 0, sizeof(*sin));
    sin->sin_family = AF_INET;
    sin->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(fd, (struct sockaddr *)sin, sizeof(*sin)), 0);
    CHECK_EQ(listen(fd, 8), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)sin, &len), 0);
    return fd;
}

TEST(connect_makes_a_socket_and_sends_what_was_written_before) {
    struct event_base *base = event_base_new();
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct told told = {0};
    struct sockaddr_in sin;
    int listener = listen_on_loopback(&sin), peer;

    bufferevent_setcb(bev, told_read, told_write, told_event, &told);
    CHECK_EQ(bufferevent_enable(bev, EV_READ), 0);
    CHECK_EQ(bufferevent_write(bev, "early", 5), 0);
    CHECK_EQ(bufferevent_socket_connect(bev, (struct sockaddr *)&sin, sizeof(sin)), 0);
    CHECK(bufferevent_getfd(bev) >= 0);
    CHECK_EQ(told.events, 0); /* from the loop only */
    run_until(base, &told.writes, 1);
    CHECK_EQ(told.what, BEV_EVENT_CONNECTED);
    CHECK_STR(told.order, "cw");
    peer = accept(listener, NULL, NULL);
    CHECK_STR(receive_text(peer), "early");
    send_text(peer, "x");
    run_until(base, &told.reads, 1);
    bufferevent_free(bev);
    event_base_free(base);
    close(peer);
    close(listener);
}

TEST(connected_alone_does_not_call_the_write_callback) {
    struct event_base *base = event_base_new();
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct told told = {0};
    struct sockaddr_in sin;
    int listener = listen_on_loopback(&sin);

    bufferevent_setcb(bev, told_read, told_write, told_event, &told);
    CHECK_EQ(bufferevent_socket_connect(bev, (struct sockaddr *)&sin, sizeof(sin)), 0);
    run_until(base, &told.events, 1);
    run_ready(base);
    CHECK_STR(told.order, "c");
    bufferevent_free(bev);
    event_base_free(base);
    close(listener);
}

TEST(refused_connection_is_an_error_event) {
    struct event_base *base = event_base_new();
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct told told = {0};
    struct sockaddr_in sin;

    close(listen_on_loopback(&sin)); /* a port that nobody listens on */
    bufferevent_setcb(bev, told_read, told_write, told_event, &told);
    CHECK_EQ(bufferevent_socket_connect(bev, (struct sockaddr *)&sin, sizeof(sin)), 0);
    run_until(base, &told.events, 1);
    CHECK_EQ(told.what, BEV_EVENT_ERROR);
    CHECK_EQ(told.error, ECONNREFUSED);
    bufferevent_free(bev);
    event_base_free(base);
}

TEST(disabling_writing_does_not_cancel_a_connect) {
    struct event_base *base = event_base_new();
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct told told = {0};
    struct sockaddr_in sin;
    int listener = listen_on_loopback(&sin);

    bufferevent_setcb(bev, told_read, told_write, told_event, &told);
    CHECK_EQ(bufferevent_socket_connect(bev, (struct sockaddr *)&sin, sizeof(sin)), 0);
    bufferevent_disable(bev, EV_WRITE);
    run_until(base, &told.events, 1);
    CHECK_EQ(told.what, BEV_EVENT_CONNECTED);
    CHECK_EQ(told.enabled, 0);
    bufferevent_free(bev);
    event_base_free(base);
    close(listener);
}

/* --- freeing in callbacks --- */

static void free_in_data(struct bufferevent *bev, void *arg) {
    ++*(int *)arg;
    bufferevent_free(bev);
}

static void free_in_event(struct bufferevent *bev, short what, void *arg) {
    (void)what;
    ++*(int *)arg;
    bufferevent_free(bev);
}

TEST(freed_in_its_read_callback) {
    struct ctx c;
    int calls = 0;

    open_ctx(&c, 0);
    bufferevent_setcb(c.bev, free_in_data, NULL, free_in_event, &calls);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "x");
    run_until(c.base, &calls, 1);
    run_ready(c.base);
    CHECK_EQ(calls, 1);
    event_base_free(c.base);
    CHECK_EQ(recv(c.fds[1], &calls, 1, 0), 0); /* it is closed */
    close(c.fds[1]);
}

TEST(freed_in_its_write_callback) {
    struct ctx c;
    int calls = 0;

    open_ctx(&c, 0);
    bufferevent_setcb(c.bev, NULL, free_in_data, free_in_event, &calls);
    bufferevent_write(c.bev, "x", 1);
    run_until(c.base, &calls, 1);
    run_ready(c.base);
    CHECK_EQ(calls, 1);
    event_base_free(c.base);
    CHECK_STR(receive_text(c.fds[1]), "x");
    close(c.fds[1]);
}

TEST(freed_in_its_event_callback) {
    struct ctx c;
    int calls = 0;

    open_ctx(&c, 0);
    bufferevent_setcb(c.bev, NULL, NULL, free_in_event, &calls);
    bufferevent_enable(c.bev, EV_READ);
    close(c.fds[1]);
    run_until(c.base, &calls, 1);
    run_ready(c.base);
    CHECK_EQ(calls, 1);
    event_base_free(c.base);
}

static void free_by_buffer(struct evbuffer *buf, const struct evbuffer_cb_info *info, void *arg) {
    struct ctx *c = arg;

    (void)buf;
    (void)info;
    if (c->bev == NULL)
        return;
    bufferevent_free(c->bev);
    c->bev = NULL;
}

TEST(freed_in_a_callback_of_its_input) {
    struct ctx c;

    open_ctx(&c, 0);
    CHECK(evbuffer_add_cb(bufferevent_get_input(c.bev), free_by_buffer, &c) != NULL);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "x");
    while (c.bev != NULL)
        CHECK(event_base_loop(c.base, EVLOOP_ONCE) >= 0);
    run_ready(c.base);
    CHECK_EQ(c.told.reads, 0);
    event_base_free(c.base);
    close(c.fds[1]);
}
