/* test_flush.c - when output goes out, and when the write callback runs. */
#include "streams.h"

#include <stdio.h>

static void write_when_read(struct bufferevent *bev, void *arg) {
    struct ctx *c = arg;

    bufferevent_write(bev, "a", 1);
    bufferevent_write(bev, "b", 1);
    CHECK_EQ(waiting(c->fds[1]), 0); /* not before the callback has returned */
    evbuffer_drain(bufferevent_get_input(bev), 100);
}

static void look_at_peer(evutil_socket_t fd, short what, void *arg) {
    struct ctx *c = arg;

    (void)fd;
    (void)what;
    c->step = (int)waiting(c->fds[1]);
}

static void write_and_look_later(struct bufferevent *bev, void *arg) {
    struct ctx *c = arg;

    write_when_read(bev, arg);
    event_base_once(c->base, -1, EV_TIMEOUT, look_at_peer, c, NULL); /* this turn */
}

TEST(own_callbacks_output_goes_out_when_it_returns) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_setcb(c.bev, write_and_look_later, NULL, NULL, &c);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "x");
    turn(c.base);
    CHECK_EQ(c.step, 2); /* seen by a later callback of the same turn */
    close_ctx(&c);
}

static void write_from_outside(evutil_socket_t fd, short what, void *arg) {
    struct ctx *c = arg;

    (void)fd;
    (void)what;
    bufferevent_write(c->bev, "a", 1);
    bufferevent_write(c->bev, "b", 1);
    CHECK_EQ(waiting(c->fds[1]), 0);
    event_base_once(c->base, -1, EV_TIMEOUT, look_at_peer, c, NULL);
}

TEST(others_output_goes_out_at_the_end_of_the_turn) {
    struct ctx c;

    open_ctx(&c, 0);
    event_base_once(c.base, -1, EV_TIMEOUT, write_from_outside, &c, NULL);
    c.step = -1;
    turn(c.base);
    CHECK_EQ(c.step, 0);
    CHECK_STR(receive_text(c.fds[1]), "ab");
    CHECK_STR(c.told.order, "w");
    close_ctx(&c);
}

TEST(dispatch_does_not_return_over_unwritten_output) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_write(c.bev, "bye", 3);
    CHECK_EQ(event_base_dispatch(c.base), 1);
    CHECK_STR(receive_text(c.fds[1]), "bye");
    close_ctx(&c);
}

static void write_and_break(evutil_socket_t fd, short what, void *arg) {
    struct ctx *c = arg;

    (void)fd;
    (void)what;
    bufferevent_write(c->bev, "bye", 3);
    event_base_loopbreak(c->base);
}

TEST(loopbreak_leaves_no_output_behind) {
    struct ctx c;

    open_ctx(&c, 0);
    event_base_once(c.base, -1, EV_TIMEOUT, write_and_break, &c, NULL);
    CHECK_EQ(event_base_dispatch(c.base), 0);
    CHECK_STR(receive_text(c.fds[1]), "bye");
    close_ctx(&c);
}

static void count_write(struct bufferevent *bev, void *arg) {
    struct ctx *c = arg;

    (void)bev;
    c->told.writes++;
}

TEST(after_a_loopbreak_the_write_callback_waits_for_the_next_loop) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_setcb(c.bev, NULL, count_write, NULL, &c);
    event_base_once(c.base, -1, EV_TIMEOUT, write_and_break, &c, NULL);
    CHECK_EQ(event_base_dispatch(c.base), 0);
    CHECK_STR(receive_text(c.fds[1]), "bye");
    CHECK_EQ(c.told.writes, 0);
    CHECK_EQ(event_base_dispatch(c.base), 1);
    CHECK_EQ(c.told.writes, 1);
    close_ctx(&c);
}

static void write_again(struct bufferevent *bev, void *arg) {
    struct ctx *c = arg;

    c->told.writes++;
    bufferevent_write(bev, "y", 1);
}

/* An event that fires in every turn, and ends the loop after 10. */
static void count_turn(evutil_socket_t fd, short what, void *arg) {
    struct ctx *c = arg;

    (void)fd;
    (void)what;
    if (++c->step == 10)
        event_base_loopbreak(c->base);
}

static void run_ten_turns(struct ctx *c) {
    struct event *ev;
    int fds[2];

    make_pair(fds);
    send_text(fds[1], "x");
    ev = event_new(c->base, fds[0], EV_READ | EV_PERSIST, count_turn, c);
    event_add(ev, NULL);
    CHECK_EQ(event_base_dispatch(c->base), 0);
    CHECK_EQ(c->step, 10);
    event_free(ev);
    close(fds[0]);
    close(fds[1]);
}

TEST(write_callback_runs_once_a_turn_however_fast_the_peer) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_setcb(c.bev, NULL, write_again, NULL, &c);
    bufferevent_write(c.bev, "x", 1);
    run_ten_turns(&c);
    CHECK_EQ(c.told.writes, 9); /* the tenth turn was broken off */
    CHECK_EQ(waiting(c.fds[1]), 9 + 1);
    bufferevent_disable(c.bev, EV_WRITE);
    turn(c.base);
    CHECK_EQ(c.told.writes, 10); /* the call that the break has left due */
    close_ctx(&c);
}

TEST(write_callback_after_a_read_callback_cannot_recurse) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_setcb(c.bev, write_when_read, write_again, NULL, &c);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "x");
    run_ten_turns(&c);
    CHECK_EQ(c.told.writes, 1 + 9); /* one more: for what the read callback wrote */
    bufferevent_disable(c.bev, EV_WRITE);
    close_ctx(&c);
}

TEST(deferred_write_callbacks_cannot_starve_the_loop) {
    struct ctx c;

    open_ctx(&c, BEV_OPT_DEFER_CALLBACKS);
    bufferevent_setcb(c.bev, NULL, write_again, NULL, &c);
    bufferevent_write(c.bev, "x", 1);
    for (int i = 0; i < 6; i++)
        turn(c.base);
    CHECK(c.told.writes >= 2 && c.told.writes <= 6);
    bufferevent_disable(c.bev, EV_WRITE);
    close_ctx(&c);
}

TEST(what_the_kernel_leaves_is_sent_when_it_takes_more) {
    static unsigned char sent[3000000], got[sizeof(sent)];
    struct ctx c;
    size_t n = 0;

    for (size_t i = 0; i < sizeof(sent); i++)
        sent[i] = (unsigned char)(i * 7 + i / 251);
    open_ctx(&c, 0);
    bufferevent_write(c.bev, sent, sizeof(sent));
    turn(c.base);
    CHECK(evbuffer_get_length(bufferevent_get_output(c.bev)) > 0);
    CHECK_EQ(c.told.writes, 0);
    while (n < sizeof(sent)) {
        ssize_t r = recv(c.fds[1], got + n, sizeof(got) - n, MSG_DONTWAIT);

        n += r > 0 ? (size_t)r : 0;
        turn(c.base);
    }
    CHECK_MEM(got, sent, sizeof(sent));
    CHECK_EQ(c.told.writes, 1);
    CHECK_EQ(event_base_dispatch(c.base), 1); /* EV_WRITE is waited for no more */
    close_ctx(&c);
}

TEST(nothing_left_to_wait_for_when_all_is_written) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_write(c.bev, "x", 1);
    CHECK_EQ(event_base_dispatch(c.base), 1);
    CHECK_EQ(event_base_get_num_events(c.base, EVENT_BASE_COUNT_ADDED), 0);
    close_ctx(&c);
}

TEST(bytes_and_the_file_behind_them_go_out_in_one_turn) {
    struct ctx c;
    FILE *file = tmpfile();

    open_ctx(&c, 0);
    CHECK_EQ(fwrite("the file", 1, 8, file), 8);
    fflush(file);
    bufferevent_write(c.bev, "header, ", 8);
    CHECK_EQ(evbuffer_add_file(bufferevent_get_output(c.bev), dup(fileno(file)), 0, -1), 0);
    turn(c.base);
    CHECK_STR(receive_text(c.fds[1]), "header, the file");
    CHECK_EQ(c.told.writes, 1);
    fclose(file);
    close_ctx(&c);
}

static void free_after_write(struct bufferevent *bev, void *arg) {
    struct ctx *c = arg;

    bufferevent_write(bev, "never", 5);
    bufferevent_free(bev);
    CHECK_EQ(evbuffer_get_length(bufferevent_get_output(bev)), 5); /* memory is there */
    c->step = 1;
}

TEST(free_discards_what_its_callback_wrote) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_setcb(c.bev, free_after_write, NULL, NULL, &c);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "x");
    run_until(c.base, &c.step, 1);
    event_base_free(c.base);
    CHECK_STR(receive_text(c.fds[1]), "");
    close(c.fds[1]);
}

TEST(free_takes_it_off_the_flush_list) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_write(c.bev, "never", 5);
    bufferevent_free(c.bev);
    CHECK_EQ(event_base_dispatch(c.base), 1);
    CHECK_STR(receive_text(c.fds[1]), "");
    event_base_free(c.base);
    close(c.fds[1]);
}

