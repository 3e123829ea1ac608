/* test_stuck.c - output that cannot go on: write timeouts of filters, and what holds them. */
#include "streams.h"

#include "base/clock.h"

static const char block[1 << 22];

/* A chain of filters over a socket, whose peer reads when the test does. */
struct tower {
    struct ctx c;
    struct bufferevent *filters[3];
    struct bufferevent *top;
};

static void open_tower(struct tower *t, int height, int timeout_ms) {
    struct timeval limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000};

    memset(t, 0, sizeof(*t));
    open_ctx(&t->c, 0);
    t->top = t->c.bev;
    for (int i = 0; i < height; i++)
        t->top = t->filters[i] = bufferevent_filter_new(t->top, NULL, NULL, 0, NULL, NULL);
    CHECK(t->top != NULL);
    bufferevent_setcb(t->top, told_read, told_write, told_event, &t->c.told);
    CHECK_EQ(bufferevent_set_timeouts(t->top, NULL, &limit), 0);
}

static void close_tower(struct tower *t) {
    for (int i = 2; i >= 0; i--)
        if (t->filters[i] != NULL)
            bufferevent_free(t->filters[i]);
    close_ctx(&t->c);
}

TEST(write_timeout_of_a_filter_is_told_when_the_socket_is_stuck) {
    for (int height = 1; height <= 3; height++) {
        struct tower t;

        open_tower(&t, height, 20);
        bufferevent_write(t.top, block, sizeof(block));
        run_until(t.c.base, &t.c.told.events, 1);
        CHECK_EQ(t.c.told.what, BEV_EVENT_WRITING | BEV_EVENT_TIMEOUT);
        CHECK_EQ(t.c.told.enabled & EV_WRITE, 0);
        bufferevent_enable(t.top, EV_WRITE); /* and once more */
        run_until(t.c.base, &t.c.told.events, 2);
        close_tower(&t);
    }
}

TEST(write_timeout_of_a_filter_does_not_run_when_all_has_gone) {
    struct tower t;

    open_tower(&t, 2, 20);
    bufferevent_write(t.top, "x", 1);
    CHECK_EQ(event_base_dispatch(t.c.base), 1); /* nothing is waited for */
    CHECK_EQ(t.c.told.events, 0);
    CHECK_EQ(t.c.told.writes, 1);
    close_tower(&t);
}

TEST(write_timeout_of_a_filter_ends_when_the_rest_has_gone) {
    struct tower t;
    size_t got = 0;

    open_tower(&t, 2, 10000);
    bufferevent_write(t.top, block, sizeof(block));
    while (got < sizeof(block)) {
        ssize_t n;

        turn(t.c.base);
        n = recv(t.c.fds[1], (char[65536]){0}, 65536, MSG_DONTWAIT);
        got += n > 0 ? (size_t)n : 0;
    }
    CHECK_EQ(event_base_dispatch(t.c.base), 1); /* no timer is left */
    CHECK_EQ(t.c.told.events, 0);
    close_tower(&t);
}

/* The peer takes something every 20 ms, which is longer than the whole takes. */
static void take_some(evutil_socket_t fd, short what, void *arg) {
    (void)what;
    (void)arg;
    CHECK(recv(fd, (char[65536]){0}, 65536, MSG_DONTWAIT) > 0);
}

TEST(write_timeout_of_a_filter_counts_from_the_last_progress_below) {
    struct tower t;
    struct timeval step = {0, 20000};
    struct event *taker;
    int64_t began = pe_clock_now();

    open_tower(&t, 2, 300);
    taker = event_new(t.c.base, t.c.fds[1], EV_PERSIST, take_some, NULL);
    bufferevent_write(t.top, block, sizeof(block));
    event_add(taker, &step);
    while (pe_clock_now() - began < 600 * PE_NS_PER_MS)
        CHECK_EQ(event_base_loop(t.c.base, EVLOOP_ONCE), 0);
    CHECK_EQ(t.c.told.events, 0);
    event_free(taker);
    run_until(t.c.base, &t.c.told.events, 1);
    CHECK_EQ(t.c.told.what, BEV_EVENT_WRITING | BEV_EVENT_TIMEOUT);
    close_tower(&t);
}

TEST(output_without_a_descriptor_goes_to_the_one_that_comes) {
    struct ctx c;
    struct bufferevent *bev;
    struct timeval limit = {5, 0};
    int fds[2];

    open_ctx(&c, 0);
    bev = bufferevent_socket_new(c.base, -1, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(bev, told_read, told_write, told_event, &c.told);
    CHECK_EQ(bufferevent_set_timeouts(bev, NULL, &limit), 0);
    bufferevent_write(bev, "waited", 6);
    run_ready(c.base);
    make_pair(fds);
    CHECK_EQ(bufferevent_setfd(bev, fds[0]), 0);
    run_until(c.base, &c.told.writes, 1);
    CHECK_STR(receive_text(fds[1]), "waited");
    CHECK_EQ(event_base_dispatch(c.base), 1); /* the timer is gone */
    bufferevent_free(bev);
    close_ctx(&c);
    close(fds[1]);
}
