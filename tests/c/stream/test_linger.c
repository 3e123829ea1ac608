/* test_linger.c - half-close, closing without loss, and too much output. */
#include "streams.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "stream/bufferevent.h"

/* Read all that comes to `fd` while the loop runs, until its end; how much it was,
 * or -1 - errno. `ends` shuts the peer's own side down then. */
static long receive_until_end(struct event_base *base, int fd) {
    static char bytes[65536];
    long total = 0;

    for (;;) {
        ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

        if (n == 0)
            return total;
        if (n > 0)
            total += n;
        else if (errno != EAGAIN)
            return -1 - errno;
        else
            CHECK(event_base_loop(base, EVLOOP_NONBLOCK) >= 0);
    }
}

static void fill(struct bufferevent *bev, size_t n) {
    char *bytes = calloc(1, n);

    CHECK_EQ(bufferevent_write(bev, bytes, n), 0);
    free(bytes);
}

/* --- half-close ---------------------------------------------------------------- */

TEST(shutdown_write_comes_after_the_output_and_reading_goes_on) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_enable(c.bev, EV_READ);
    fill(c.bev, 3000000);
    CHECK_EQ(bufferevent_shutdown_write(c.bev), 0);
    CHECK_EQ(bufferevent_shutdown_write(c.bev), 0);
    CHECK_EQ(bufferevent_write(c.bev, "late", 4), -1);
    CHECK_EQ(receive_until_end(c.base, c.fds[1]), 3000000);
    CHECK_EQ(c.told.events, 0);
    send_text(c.fds[1], "still");
    run_until(c.base, &c.told.reads, 1);
    CHECK_EQ(evbuffer_get_length(bufferevent_get_input(c.bev)), 5);
    close_ctx(&c);
}

TEST(shutdown_write_without_output_comes_at_the_end_of_the_turn) {
    struct ctx c;
    char byte;

    open_ctx(&c, 0);
    CHECK_EQ(bufferevent_shutdown_write(c.bev), 0);
    CHECK_EQ(recv(c.fds[1], &byte, 1, MSG_DONTWAIT), -1);
    turn(c.base);
    CHECK_EQ(recv(c.fds[1], &byte, 1, MSG_DONTWAIT), 0);
    close_ctx(&c);
}

TEST(shutdown_write_waits_until_writing_is_enabled) {
    struct ctx c;
    char byte;

    open_ctx(&c, 0);
    bufferevent_disable(c.bev, EV_WRITE);
    CHECK_EQ(bufferevent_shutdown_write(c.bev), 0);
    run_ready(c.base);
    CHECK_EQ(recv(c.fds[1], &byte, 1, MSG_DONTWAIT), -1);
    bufferevent_enable(c.bev, EV_WRITE);
    run_ready(c.base);
    CHECK_EQ(recv(c.fds[1], &byte, 1, MSG_DONTWAIT), 0);
    close_ctx(&c);
}

TEST(another_descriptor_is_open_again) {
    struct ctx c;
    int more[2];

    open_ctx(&c, 0);
    bufferevent_shutdown_write(c.bev);
    turn(c.base);
    make_pair(more);
    bufferevent_replacefd(c.bev, more[0]);
    CHECK_EQ(bufferevent_write(c.bev, "new", 3), 0);
    turn(c.base);
    CHECK_STR(receive_text(more[1]), "new");
    close_ctx(&c);
    close(more[1]);
}

/* --- closing --------------------------------------------------------------------- */

TEST(close_after_flush_delivers_all_and_drops_what_comes) {
    struct ctx c;

    open_ctx(&c, 0);
    close(c.fds[0]);
    close(c.fds[1]);
    make_tcp_pair(c.fds);
    bufferevent_setfd(c.bev, c.fds[0]);
    fill(c.bev, 5000000);
    send_text(c.fds[1], "nobody reads this: closing over it would reset the connection");
    CHECK_EQ(bufferevent_close_after_flush(c.bev, NULL), 0);
    CHECK_EQ(bufferevent_close_after_flush(c.bev, NULL), 0);
    CHECK_EQ(receive_until_end(c.base, c.fds[1]), 5000000);
    send_text(c.fds[1], "nor this");
    CHECK_EQ(event_base_loop(c.base, EVLOOP_NONBLOCK), 0);
    CHECK_EQ(fcntl(c.fds[0], F_GETFD) >= 0, 1); /* the peer has not ended */
    close(c.fds[1]);
    CHECK_EQ(event_base_dispatch(c.base), 1);
    CHECK_EQ(fcntl(c.fds[0], F_GETFD), -1);
    CHECK_EQ(c.told.reads + c.told.writes + c.told.events, 0);
    event_base_free(c.base);
}

TEST(close_after_flush_of_a_peer_that_has_ended_is_over_with_the_output) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_enable(c.bev, EV_READ);
    shutdown(c.fds[1], SHUT_WR);
    run_until(c.base, &c.told.events, 1);
    fill(c.bev, 2000000);
    bufferevent_close_after_flush(c.bev, NULL);
    CHECK_EQ(receive_until_end(c.base, c.fds[1]), 2000000);
    CHECK_EQ(event_base_dispatch(c.base), 1);
    CHECK_EQ(fcntl(c.fds[0], F_GETFD), -1);
    event_base_free(c.base);
    close(c.fds[1]);
}

TEST(close_after_flush_ends_with_its_time_or_with_the_connection) {
    struct timeval tv = {0, 20000};
    struct ctx c;

    open_ctx(&c, 0);
    fill(c.bev, 4000000);
    bufferevent_close_after_flush(c.bev, &tv); /* nobody reads */
    CHECK_EQ(event_base_dispatch(c.base), 1);
    CHECK_EQ(fcntl(c.fds[0], F_GETFD), -1);
    event_base_free(c.base);
    close(c.fds[1]);

    open_ctx(&c, 0);
    fill(c.bev, 4000000);
    bufferevent_close_after_flush(c.bev, NULL);
    run_ready(c.base);
    close(c.fds[1]);
    CHECK_EQ(event_base_dispatch(c.base), 1);
    CHECK_EQ(fcntl(c.fds[0], F_GETFD), -1);
    CHECK_EQ(c.told.events, 0);
    event_base_free(c.base);
}

TEST(close_after_flush_in_its_own_callbacks) {
    struct ctx c;
    struct timeval negative = {-1, 0};

    open_ctx(&c, 0);
    CHECK_EQ(bufferevent_close_after_flush(c.bev, &negative), -1);
    CHECK_EQ(errno, EINVAL);
    bufferevent_free(c.bev);
    close(c.fds[1]);
    event_base_free(c.base);
}

static void say_bye(struct bufferevent *bev, void *arg) {
    (void)arg;
    bufferevent_write(bev, "bye", 3);
    bufferevent_close_after_flush(bev, NULL);
}

TEST(close_after_flush_in_a_read_callback) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_setcb(c.bev, say_bye, NULL, NULL, NULL);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "x");
    CHECK_EQ(receive_until_end(c.base, c.fds[1]), 3);
    close(c.fds[1]);
    CHECK_EQ(event_base_dispatch(c.base), 1);
    event_base_free(c.base);
}

TEST(close_after_flush_of_a_pipe_closes_when_all_is_written) {
    struct event_base *base = event_base_new();
    struct bufferevent *bev;
    int fds[2];
    char got[16];

    CHECK_EQ(pipe2(fds, O_NONBLOCK), 0);
    bev = bufferevent_socket_new(base, fds[1], BEV_OPT_CLOSE_ON_FREE);
    bufferevent_write(bev, "piped", 5);
    bufferevent_close_after_flush(bev, NULL);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(read(fds[0], got, sizeof(got)), 5);
    CHECK_EQ(read(fds[0], got, sizeof(got)), 0);
    event_base_free(base);
    close(fds[0]);
}

/* Both sides have ended before it is closed: the peer by now, or `other` here. */
static void close_what_has_ended(struct event_base *base, struct bufferevent *bev,
                                 struct bufferevent *other) {
    struct told told = {0};
    int64_t began = pe_clock_now();

    bufferevent_setcb(bev, told_read, told_write, told_event, &told);
    bufferevent_enable(bev, EV_READ);
    if (other != NULL)
        CHECK_EQ(bufferevent_flush(other, EV_WRITE, BEV_FINISHED), 0);
    while (!(told.what & BEV_EVENT_EOF))
        CHECK(event_base_loop(base, EVLOOP_ONCE) >= 0);
    run_ready(base);
    CHECK_EQ(bufferevent_close_after_flush(bev, NULL), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK(pe_clock_now() - began < 5 * PE_NS_PER_SEC);
}

TEST(close_after_flush_of_what_has_ended_on_both_sides_is_over_at_once) {
    for (int writes = 0; writes < 2; writes++) {
        struct ctx c;

        open_ctx(&c, 0);
        if (writes)
            fill(c.bev, 10);
        CHECK_EQ(bufferevent_shutdown_write(c.bev), 0);
        turn(c.base);
        shutdown(c.fds[1], SHUT_WR);
        close_what_has_ended(c.base, c.bev, NULL);
        CHECK_EQ(fcntl(c.fds[0], F_GETFD), -1);
        event_base_free(c.base);
        close(c.fds[1]);
    }
}

TEST(pair_and_filter_that_have_ended_on_both_sides_are_over_at_once) {
    for (int is_filter = 0; is_filter < 2; is_filter++) {
        struct event_base *base = event_base_new();
        struct bufferevent *pair[2], *bev;

        CHECK_EQ(bufferevent_pair_new(base, 0, pair), 0);
        bev = is_filter ? bufferevent_filter_new(pair[0], NULL, NULL, BEV_OPT_CLOSE_ON_FREE,
                                                 NULL, NULL)
                        : pair[0];
        CHECK_EQ(bufferevent_shutdown_write(bev), 0);
        close_what_has_ended(base, bev, pair[1]);
        bufferevent_free(pair[1]);
        event_base_free(base);
    }
}

TEST(pipe_that_could_not_be_half_closed_is_closed_at_once) {
    struct event_base *base = event_base_new();
    struct bufferevent *bev;
    int fds[2];

    CHECK_EQ(pipe2(fds, O_NONBLOCK), 0);
    bev = bufferevent_socket_new(base, fds[1], BEV_OPT_CLOSE_ON_FREE);
    CHECK_EQ(bufferevent_shutdown_write(bev), 0);
    turn(base);
    CHECK_EQ(bufferevent_close_after_flush(bev, NULL), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(fcntl(fds[1], F_GETFD), -1);
    event_base_free(base);
    close(fds[0]);
}

TEST(close_after_flush_waits_for_a_connection_only_with_output) {
    struct ctx c;
    struct bufferevent *bev;

    open_ctx(&c, 0);
    bev = bufferevent_socket_new(c.base, -1, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_socket_connect_hostname(bev, NULL, AF_INET, "127.0.0.1", 9);
    bufferevent_close_after_flush(bev, NULL);
    CHECK_EQ(event_base_dispatch(c.base), 1);
    bev = bufferevent_socket_new(c.base, -1, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_write(bev, "x", 1);
    bufferevent_socket_connect_hostname(bev, NULL, AF_INET, "127.0.0.1", 9);
    bufferevent_close_after_flush(bev, NULL);
    CHECK_EQ(event_base_dispatch(c.base), 1); /* nobody listens there */
    close_ctx(&c);
}

TEST(setcb_takes_it_back) {
    struct ctx c;

    open_ctx(&c, 0);
    fill(c.bev, 2000000);
    bufferevent_close_after_flush(c.bev, NULL);
    run_ready(c.base);
    bufferevent_setcb(c.bev, told_read, told_write, told_event, &c.told);
    CHECK_EQ(bufferevent_write(c.bev, "x", 1), 0);
    shutdown(c.fds[1], SHUT_WR);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.what, BEV_EVENT_READING | BEV_EVENT_EOF);
    CHECK(fcntl(c.fds[0], F_GETFD) >= 0);
    close_ctx(&c);
}

TEST(free_ends_it_early_and_the_base_frees_what_is_left) {
    struct ctx c;

    open_ctx(&c, 0);
    fill(c.bev, 2000000);
    bufferevent_close_after_flush(c.bev, NULL);
    close_ctx(&c);
    CHECK_EQ(fcntl(c.fds[0], F_GETFD), -1);
    open_ctx(&c, 0);
    fill(c.bev, 2000000);
    bufferevent_close_after_flush(c.bev, NULL);
    event_base_free(c.base);
    CHECK_EQ(fcntl(c.fds[0], F_GETFD), -1);
    close(c.fds[1]);
}

TEST(close_after_flush_without_memory_changes_nothing) {
    struct ctx c;

    for (long n = 1;; n++) {
        int result;

        open_ctx(&c, 0);
        fill(c.bev, 100);
        pe_mem_fail_nth(n);
        result = bufferevent_close_after_flush(c.bev, NULL);
        pe_mem_fail_nth(0);
        if (result < 0)
            CHECK_EQ(bufferevent_write(c.bev, "x", 1), 0);
        close_ctx(&c);
        if (!pe_mem_has_failed())
            break;
    }
}

/* --- too much output ----------------------------------------------------------------- */

static void count_step(struct bufferevent *bev, void *arg) {
    (void)bev;
    ((struct ctx *)arg)->step++;
}

TEST(output_high_is_told_once_until_the_low_mark) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_setwatermark(c.bev, EV_WRITE, 1000, 0);
    CHECK_EQ(bufferevent_set_output_high(c.bev, 1000000, count_step, &c), 0);
    fill(c.bev, 1000000);
    CHECK_EQ(c.step, 0);
    fill(c.bev, 1);
    CHECK_EQ(c.step, 1);
    fill(c.bev, 1000000);
    CHECK_EQ(c.step, 1);
    while (evbuffer_get_length(bufferevent_get_output(c.bev)) > 0) {
        run_ready(c.base);
        while (receive_text(c.fds[1])[0] != '\0' || waiting(c.fds[1]) > 0)
            continue;
    }
    fill(c.bev, 1000001);
    CHECK_EQ(c.step, 2);
    bufferevent_set_output_high(c.bev, 0, NULL, NULL);
    fill(c.bev, 2000000);
    CHECK_EQ(c.step, 2);
    close_ctx(&c);
}

static void free_now(struct bufferevent *bev, void *arg) {
    ((struct ctx *)arg)->step++;
    bufferevent_free(bev);
}

TEST(output_high_may_free_the_bufferevent) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_set_output_high(c.bev, 10, free_now, &c);
    (void)bufferevent_write(c.bev, "more than ten bytes", 19);
    CHECK_EQ(c.step, 1);
    event_base_free(c.base);
    close(c.fds[1]);
}

/* --- statistics -------------------------------------------------------------------------- */

TEST(statistics_count_from_the_first_question) {
    struct bufferevent_stats s;
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_enable(c.bev, EV_READ);
    bufferevent_write(c.bev, "uncounted", 9);
    turn(c.base);
    CHECK_EQ(bufferevent_get_stats(c.bev, &s), 0);
    CHECK_EQ(s.bytes_written + s.bytes_read + s.reads + s.writes, 0);
    bufferevent_write(c.bev, "abc", 3);
    send_text(c.fds[1], "question");
    run_until(c.base, &c.told.reads, 1);
    CHECK_EQ(bufferevent_get_stats(c.bev, &s), 0);
    CHECK_EQ(s.bytes_read, 8);
    CHECK_EQ(s.bytes_written, 3);
    CHECK_EQ(s.reads, 1);
    CHECK_EQ(s.writes, 1);
    close_ctx(&c);
}
