/* test_bufferevent.c - reading and marks, timeouts, and what callbacks may do. */
#include "streams.h"

#include "base/clock.h"
#include "base/mem.h"
#include "stream/bufferevent.h"

/* --- reading -------------------------------------------------------------- */

TEST(single_read_is_limited_when_asked_for) {
    struct ctx c;

    open_ctx(&c, 0);
    CHECK_EQ(bufferevent_get_max_single_read(c.bev), 16384);
    CHECK_EQ(bufferevent_set_max_single_read(c.bev, 3), 0);
    CHECK_EQ(bufferevent_get_max_single_read(c.bev), 3);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "abcdefgh");
    turn(c.base);
    CHECK_EQ(evbuffer_get_length(bufferevent_get_input(c.bev)), 3);
    CHECK_EQ(bufferevent_set_max_single_read(c.bev, 0), 0);
    CHECK_EQ(bufferevent_get_max_single_read(c.bev), 16384);
    turn(c.base);
    CHECK_EQ(evbuffer_get_length(bufferevent_get_input(c.bev)), 8);
    close_ctx(&c);
}

TEST(single_write_is_limited_when_asked_for) {
    struct ctx c;

    open_ctx(&c, 0);
    CHECK_EQ(bufferevent_get_max_single_write(c.bev), 16384);
    CHECK_EQ(bufferevent_set_max_single_write(c.bev, 3), 0);
    CHECK_EQ(bufferevent_get_max_single_write(c.bev), 3);
    bufferevent_write(c.bev, "abcdefgh", 8);
    turn(c.base);
    CHECK_EQ(waiting(c.fds[1]), 3);
    run_until(c.base, &c.told.writes, 1);
    CHECK_STR(receive_text(c.fds[1]), "abcdefgh");
    close_ctx(&c);
}

TEST(high_mark_takes_reading_out_of_the_kernels_hands) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_setwatermark(c.bev, EV_READ, 0, 4);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "abcdefgh");
    CHECK_EQ(event_base_dispatch(c.base), 1); /* returns: nothing is waited for */
    CHECK_EQ(c.told.reads, 1);
    bufferevent_disable(c.bev, EV_READ);
    evbuffer_drain(bufferevent_get_input(c.bev), 4);
    CHECK_EQ(event_base_dispatch(c.base), 1); /* room, but disabled */
    bufferevent_enable(c.bev, EV_READ);
    run_until(c.base, &c.told.reads, 2);
    close_ctx(&c);
}

TEST(error_of_a_write_is_told_as_one) {
    struct ctx c;

    open_ctx(&c, 0);
    close(c.fds[1]);
    bufferevent_write(c.bev, "x", 1);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.what, BEV_EVENT_WRITING | BEV_EVENT_ERROR);
    CHECK_EQ(c.told.error, EPIPE);
    CHECK_EQ(pe_bufferevent_error(c.bev), EPIPE);
    CHECK_EQ(c.told.enabled, 0);
    CHECK_EQ(evbuffer_get_length(bufferevent_get_output(c.bev)), 1);
    c.fds[1] = dup(0);
    close_ctx(&c);
}

static void do_nothing(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    (void)arg;
}

TEST(failure_to_resume_is_told_by_the_loop) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_setwatermark(c.bev, EV_READ, 0, 1);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "xy");
    run_until(c.base, &c.told.reads, 1);
    event_base_once(c.base, -1, EV_TIMEOUT, do_nothing, &c, NULL);
    turn(c.base);    /* one more turn: the kernel has been told to forget it */
    close(c.fds[0]); /* behind its back */
    evbuffer_drain(bufferevent_get_input(c.bev), 1);
    CHECK_EQ(c.told.events, 0);
    CHECK_EQ(event_base_dispatch(c.base), 1);
    CHECK_EQ(c.told.events, 1);
    CHECK_EQ(c.told.what, BEV_EVENT_READING | BEV_EVENT_WRITING | BEV_EVENT_ERROR);
    CHECK_EQ(c.told.error, EBADF);
    CHECK_EQ(c.told.enabled, 0);
    bufferevent_setfd(c.bev, -1);
    close_ctx(&c);
}

/* --- timeouts, with a clock of our own ------------------------------------- */

static int64_t fake_now;

static int64_t fake_clock(void) {
    return fake_now;
}

static void open_timed(struct ctx *c, long read_s, long write_s) {
    struct timeval r = {read_s, 0}, w = {write_s, 0};

    open_ctx(c, 0);
    fake_now = 1000 * PE_NS_PER_SEC;
    pe_clock_set_source(fake_clock);
    CHECK_EQ(bufferevent_set_timeouts(c->bev, &r, &w), 0);
}

static void turn_at(struct ctx *c, double seconds) {
    fake_now = 1000 * PE_NS_PER_SEC + (int64_t)(seconds * 1e9);
    turn(c->base);
    turn(c->base);
}

TEST(read_timeout_counts_from_the_last_read_and_is_never_early) {
    struct ctx c;

    open_timed(&c, 10, 0);
    bufferevent_enable(c.bev, EV_READ);
    turn_at(&c, 9);
    send_text(c.fds[1], "x");
    turn_at(&c, 9);
    CHECK_EQ(c.told.reads, 1);
    turn_at(&c, 18.999);
    CHECK_EQ(c.told.events, 0);
    turn_at(&c, 19);
    CHECK_EQ(c.told.what, BEV_EVENT_READING | BEV_EVENT_TIMEOUT);
    turn_at(&c, 100);
    CHECK_EQ(c.told.events, 1);
    close_ctx(&c);
}

TEST(data_that_is_there_wins_over_a_timeout) {
    struct ctx c;

    open_timed(&c, 10, 0);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "x");
    turn_at(&c, 11);
    CHECK_STR(c.told.order, "r");
    turn_at(&c, 20.5);
    CHECK_STR(c.told.order, "r");
    turn_at(&c, 21);
    CHECK_STR(c.told.order, "re");
    close_ctx(&c);
}

TEST(read_timeout_stops_while_a_mark_holds_reading) {
    struct ctx c;

    open_timed(&c, 10, 0);
    bufferevent_setwatermark(c.bev, EV_READ, 0, 1);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "x");
    turn_at(&c, 5);
    turn_at(&c, 50);
    CHECK_EQ(c.told.events, 0);
    evbuffer_drain(bufferevent_get_input(c.bev), 1); /* counts from here */
    turn_at(&c, 59);
    CHECK_EQ(c.told.events, 0);
    turn_at(&c, 60);
    CHECK_EQ(c.told.events, 1);
    close_ctx(&c);
}

TEST(write_timeout_counts_from_the_last_progress) {
    static char block[4 << 20], got[1 << 20];
    struct ctx c;

    open_timed(&c, 0, 10);
    bufferevent_write(c.bev, block, sizeof(block));
    turn_at(&c, 0);
    turn_at(&c, 9);
    CHECK(recv(c.fds[1], got, sizeof(got), 0) > 0);
    turn_at(&c, 9);
    turn_at(&c, 18);
    CHECK_EQ(c.told.events, 0);
    turn_at(&c, 19);
    CHECK_EQ(c.told.what, BEV_EVENT_WRITING | BEV_EVENT_TIMEOUT);
    CHECK_EQ(c.told.enabled, 0);
    close_ctx(&c);
}

TEST(new_timeouts_count_from_now) {
    struct ctx c;
    struct timeval longer = {20, 0}, negative = {-1, 0};

    open_timed(&c, 10, 0);
    bufferevent_enable(c.bev, EV_READ);
    turn_at(&c, 9);
    CHECK_EQ(bufferevent_set_timeouts(c.bev, &longer, NULL), 0);
    CHECK_EQ(bufferevent_set_timeouts(c.bev, &negative, NULL), -1);
    CHECK_EQ(errno, EINVAL);
    turn_at(&c, 28);
    CHECK_EQ(c.told.events, 0);
    turn_at(&c, 29);
    CHECK_EQ(c.told.events, 1);
    bufferevent_enable(c.bev, EV_READ);
    CHECK_EQ(bufferevent_set_timeouts(c.bev, NULL, NULL), 0);
    turn_at(&c, 1000);
    CHECK_EQ(c.told.events, 1);
    close_ctx(&c);
}

/* --- lifetime ------------------------------------------------------------- */

TEST(memory_lives_as_long_as_a_reference) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_enable(c.bev, EV_READ);
    bufferevent_incref(c.bev);
    bufferevent_free(c.bev);
    CHECK_EQ(bufferevent_getfd(c.bev), -1);
    CHECK_EQ(bufferevent_enable(c.bev, EV_READ), -1);
    CHECK_EQ(bufferevent_disable(c.bev, EV_READ), 0);
    CHECK_EQ(bufferevent_setfd(c.bev, 0), -1);
    CHECK_EQ(bufferevent_write(c.bev, "x", 1), 0);
    bufferevent_setcb(c.bev, told_read, told_write, told_event, &c.told);
    bufferevent_trigger(c.bev, EV_READ | EV_WRITE, BEV_TRIG_IGNORE_WATERMARKS);
    bufferevent_trigger_event(c.bev, BEV_EVENT_EOF, BEV_TRIG_DEFER_CALLBACKS);
    CHECK_EQ(event_base_dispatch(c.base), 1);
    CHECK_STR(c.told.order, "");
    CHECK_EQ(recv(c.fds[1], c.told.order, 1, 0), 0); /* closed by free */
    CHECK_EQ(bufferevent_decref(c.bev), 1);
    event_base_free(c.base);
    close(c.fds[1]);
}

TEST(last_decref_without_free_frees) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_incref(c.bev);
    CHECK_EQ(bufferevent_decref(c.bev), 0);
    bufferevent_write(c.bev, "never", 5);
    CHECK_EQ(bufferevent_decref(c.bev), 1);
    event_base_free(c.base);
    CHECK_EQ(recv(c.fds[1], c.told.order, 1, 0), 0);
    close(c.fds[1]);
}

TEST(base_freed_first_is_survived) {
    struct ctx c;
    struct timeval soon = {1, 0};

    open_ctx(&c, BEV_OPT_DEFER_CALLBACKS);
    bufferevent_set_timeouts(c.bev, &soon, &soon);
    bufferevent_enable(c.bev, EV_READ);
    bufferevent_write(c.bev, "x", 1);
    bufferevent_trigger(c.bev, EV_READ, 0);
    send_text(c.fds[1], "x");
    event_base_free(c.base);
    CHECK(bufferevent_get_base(c.bev) == NULL);
    CHECK_EQ(bufferevent_enable(c.bev, EV_READ), -1);
    CHECK_EQ(bufferevent_write(c.bev, "x", 1), 0);
    CHECK_EQ(bufferevent_set_timeouts(c.bev, &soon, &soon), 0);
    bufferevent_disable(c.bev, EV_WRITE);
    bufferevent_trigger(c.bev, EV_READ, 0);
    CHECK_EQ(bufferevent_priority_set(c.bev, 0), -1);
    bufferevent_free(c.bev);
    close(c.fds[1]);
}

/* Everything that a callback may do, one after the other, then free. */
static void do_all(struct bufferevent *bev, struct ctx *c) {
    struct timeval second = {1, 0};
    struct evbuffer *buf = evbuffer_new();
    int fds[2];

    if (c->step++ != 0) {
        evbuffer_free(buf);
        return; /* called again from within */
    }
    bufferevent_write(bev, "w", 1);
    bufferevent_read_buffer(bev, buf);
    bufferevent_write_buffer(bev, buf);
    bufferevent_setwatermark(bev, EV_READ | EV_WRITE, 1, 2);
    bufferevent_set_timeouts(bev, &second, &second);
    bufferevent_disable(bev, EV_READ | EV_WRITE);
    bufferevent_enable(bev, EV_READ | EV_WRITE);
    bufferevent_flush(bev, EV_WRITE, BEV_FLUSH);
    bufferevent_priority_set(bev, 0);
    bufferevent_trigger(bev, EV_READ | EV_WRITE, BEV_TRIG_IGNORE_WATERMARKS);
    bufferevent_trigger(bev, EV_READ | EV_WRITE, BEV_TRIG_DEFER_CALLBACKS);
    bufferevent_trigger_event(bev, BEV_EVENT_EOF, 0);
    bufferevent_trigger_event(bev, BEV_EVENT_EOF, BEV_TRIG_DEFER_CALLBACKS);
    CHECK_EQ(bufferevent_base_set(c->base, bev), -1);
    CHECK_EQ(errno, EBUSY);
    make_pair(fds);
    bufferevent_replacefd(bev, fds[0]);
    close(fds[1]);
    evbuffer_free(buf);
    bufferevent_free(bev);
    bufferevent_free(bev); /* once is enough, twice is survived while it is held */
}

static void all_data(struct bufferevent *bev, void *arg) {
    do_all(bev, arg);
}

static void all_event(struct bufferevent *bev, short what, void *arg) {
    (void)what;
    do_all(bev, arg);
}

static void check_all_in(int options, bool in_read, bool in_write, bool in_event) {
    struct ctx c;

    open_ctx(&c, options);
    bufferevent_setcb(c.bev, in_read ? all_data : NULL, in_write ? all_data : NULL,
                      in_event ? all_event : NULL, &c);
    bufferevent_enable(c.bev, EV_READ);
    bufferevent_write(c.bev, "x", 1);
    send_text(c.fds[1], "y");
    if (in_event)
        shutdown(c.fds[1], SHUT_WR);
    run_until(c.base, &c.step, 1);
    CHECK_EQ(event_base_dispatch(c.base), 1);
    event_base_free(c.base);
    close(c.fds[1]);
}

TEST(read_callback_may_do_anything) {
    check_all_in(0, true, false, false);
    check_all_in(BEV_OPT_DEFER_CALLBACKS, true, false, false);
}

TEST(write_callback_may_do_anything) {
    check_all_in(0, false, true, false);
    check_all_in(BEV_OPT_DEFER_CALLBACKS, false, true, false);
}

TEST(event_callback_may_do_anything) {
    check_all_in(0, false, false, true);
    check_all_in(BEV_OPT_DEFER_CALLBACKS, false, false, true);
}

static void all_buffer(struct evbuffer *buf, const struct evbuffer_cb_info *info, void *arg) {
    struct ctx *c = arg;

    (void)buf;
    (void)info;
    do_all(c->bev, c);
}

TEST(callback_of_a_buffer_may_do_anything) {
    for (int which = 0; which < 2; which++) {
        struct ctx c;

        open_ctx(&c, 0);
        bufferevent_incref(c.bev);
        CHECK(evbuffer_add_cb(which ? bufferevent_get_output(c.bev) : bufferevent_get_input(c.bev),
                              all_buffer, &c) != NULL);
        bufferevent_enable(c.bev, EV_READ);
        send_text(c.fds[1], "y");
        if (which)
            bufferevent_write(c.bev, "x", 1);
        run_until(c.base, &c.step, 1);
        CHECK_EQ(event_base_dispatch(c.base), 1);
        CHECK_EQ(bufferevent_decref(c.bev), 1);
        event_base_free(c.base);
        close(c.fds[1]);
    }
}

/* --- the rest ------------------------------------------------------------- */

TEST(priority_is_taken_and_checked) {
    struct event_base *base = event_base_new();
    struct bufferevent *bev;

    CHECK_EQ(event_base_priority_init(base, 3), 0);
    bev = bufferevent_socket_new(base, -1, 0);
    CHECK_EQ(bufferevent_get_priority(bev), 1);
    CHECK_EQ(bufferevent_priority_set(bev, 2), 0);
    CHECK_EQ(bufferevent_get_priority(bev), 2);
    CHECK_EQ(bufferevent_priority_set(bev, 3), -1);
    CHECK_EQ(bufferevent_priority_set(bev, -1), -1);
    bufferevent_free(bev);
    event_base_free(base);
}

TEST(priority_may_change_while_callbacks_are_due) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_disable(c.bev, EV_WRITE);
    CHECK_EQ(event_base_priority_init(c.base, 3), 0);
    bufferevent_trigger(c.bev, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
    CHECK_EQ(bufferevent_priority_set(c.bev, 2), 0);
    CHECK_EQ(bufferevent_priority_set(c.bev, 1), 0);
    turn(c.base);
    CHECK_EQ(c.told.reads, 1);
    CHECK_EQ(event_base_get_num_events(c.base, EVENT_BASE_COUNT_ACTIVE), 0);
    close_ctx(&c);
}

TEST(moves_to_another_base_with_its_data) {
    struct ctx c;
    struct event_base *other = event_base_new();

    open_ctx(&c, 0);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "in");
    run_until(c.base, &c.told.reads, 1);
    CHECK_EQ(bufferevent_base_set(other, c.bev), -1); /* it is watched */
    CHECK_EQ(errno, EBUSY);
    bufferevent_disable(c.bev, EV_READ | EV_WRITE);
    bufferevent_write(c.bev, "out", 3);
    CHECK_EQ(bufferevent_base_set(other, c.bev), 0);
    CHECK(bufferevent_get_base(c.bev) == other);
    event_base_free(c.base);
    c.base = other;
    CHECK_EQ(evbuffer_get_length(bufferevent_get_input(c.bev)), 2);
    bufferevent_enable(c.bev, EV_READ | EV_WRITE);
    run_until(c.base, &c.told.writes, 1);
    CHECK_STR(receive_text(c.fds[1]), "out");
    close_ctx(&c);
}

TEST(idle_connection_is_one_allocation) {
    struct ctx c;
    long before;

    open_ctx(&c, 0);
    before = pe_mem_live_total();
    CHECK_EQ(pe_mem_live(PE_MEM_STREAM), 2); /* the base's share, and this one */
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "x");
    run_until(c.base, &c.told.reads, 1);
    bufferevent_write_buffer(c.bev, bufferevent_get_input(c.bev));
    turn(c.base);
    CHECK_EQ(pe_mem_live(PE_MEM_STREAM), 2);
    CHECK(pe_mem_live_total() - before <= 3); /* the loop's tables, the pool's blocks */
    close_ctx(&c);
}

static void echo(struct bufferevent *bev, void *arg) {
    (void)arg;
    bufferevent_write_buffer(bev, bufferevent_get_input(bev));
}

TEST(steady_echo_allocates_nothing) {
    struct ctx c;
    unsigned long before = 0;

    open_ctx(&c, 0);
    bufferevent_setcb(c.bev, echo, NULL, NULL, NULL);
    bufferevent_enable(c.bev, EV_READ);
    for (int i = 0; i < 200; i++) {
        if (i == 100)
            before = pe_mem_total();
        send_text(c.fds[1], "some line of text\n");
        turn(c.base);
        CHECK_STR(receive_text(c.fds[1]), "some line of text\n");
    }
    CHECK_EQ(pe_mem_total(), before);
    close_ctx(&c);
}

static void count_buffer(struct evbuffer *buf, const struct evbuffer_cb_info *info, void *arg) {
    struct ctx *c = arg;

    (void)buf;
    c->told.reads++;
    c->step += (int)info->n_added;
}

TEST(evbuffer_callbacks_can_run_from_the_loop) {
    struct ctx c;
    struct evbuffer *buf = evbuffer_new();

    open_ctx(&c, 0);
    evbuffer_add_cb(buf, count_buffer, &c);
    CHECK_EQ(evbuffer_defer_callbacks(buf, NULL), -1);
    CHECK_EQ(evbuffer_defer_callbacks(buf, c.base), 0);
    evbuffer_add(buf, "abc", 3);
    evbuffer_add(buf, "de", 2);
    CHECK_EQ(c.told.reads, 0);
    turn(c.base);
    CHECK_EQ(c.told.reads, 1);
    CHECK_EQ(c.step, 5);
    evbuffer_add(buf, "x", 1);
    evbuffer_free(buf); /* while it is due */
    turn(c.base);
    CHECK_EQ(c.told.reads, 1);
    buf = evbuffer_new();
    CHECK_EQ(evbuffer_defer_callbacks(buf, c.base), 0);
    close_ctx(&c);
    evbuffer_add(buf, "x", 1); /* its base is gone */
    evbuffer_free(buf);
}
