/* test_limits.c - what a bufferevent holds at most, and when it stops reading. */
#include "streams.h"

#include "base/mem.h"
#include "stream/bufferevent.h"
#include "stream/resolver.h"

/* Send as much as fits, and no more than `n`: how much that was. */
static size_t stuff(int fd, size_t n) {
    static const char bytes[4096];
    size_t sent = 0;

    while (sent < n) {
        size_t piece = n - sent < sizeof(bytes) ? n - sent : sizeof(bytes);
        ssize_t r = send(fd, bytes, piece, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (r < 0)
            break;
        sent += (size_t)r;
    }
    return sent;
}

static size_t input_of(struct bufferevent *bev) {
    return evbuffer_get_length(bufferevent_get_input(bev));
}

static size_t output_of(struct bufferevent *bev) {
    return evbuffer_get_length(bufferevent_get_output(bev));
}

/* Many turns in which nothing is to happen any more. */
static void settle(struct event_base *base) {
    for (int i = 0; i < 20; i++)
        turn(base);
}

/* --- input ----------------------------------------------------------------- */

TEST(full_input_of_which_nothing_is_taken_is_an_error) {
    struct ctx c;

    open_ctx(&c, 0);
    CHECK_EQ(bufferevent_set_input_max(c.bev, 10000), 0);
    CHECK_EQ(bufferevent_get_input_max(c.bev), 10000);
    bufferevent_enable(c.bev, EV_READ);
    CHECK_EQ(stuff(c.fds[1], 30000), 30000);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.what, BEV_EVENT_READING | BEV_EVENT_ERROR);
    CHECK_EQ(c.told.error, ENOBUFS);
    CHECK_EQ(pe_bufferevent_error(c.bev), ENOBUFS);
    CHECK_EQ(c.told.enabled, EV_WRITE);
    CHECK_EQ(input_of(c.bev), 10000);
    settle(c.base);
    CHECK_EQ(c.told.events, 1);
    CHECK_EQ(input_of(c.bev), 10000);
    CHECK_EQ(waiting(c.fds[0]), 20000);
    close_ctx(&c);
}

static void take_all(struct bufferevent *bev, void *arg) {
    told_read(bev, arg);
    evbuffer_drain(bufferevent_get_input(bev), SIZE_MAX);
}

TEST(input_that_is_taken_may_be_of_any_size) {
    struct ctx c;
    size_t sent = 0;

    open_ctx(&c, 0);
    bufferevent_setcb(c.bev, take_all, NULL, told_event, &c.told);
    bufferevent_set_input_max(c.bev, 1000);
    bufferevent_enable(c.bev, EV_READ);
    while (sent < 100000) {
        sent += stuff(c.fds[1], 5000);
        turn(c.base);
    }
    while (waiting(c.fds[0]) != 0)
        turn(c.base);
    CHECK_EQ(c.told.events, 0);
    close_ctx(&c);
}

static void take_one(struct bufferevent *bev, void *arg) {
    told_read(bev, arg);
    evbuffer_drain(bufferevent_get_input(bev), 1);
}

TEST(callback_that_takes_one_byte_is_no_error) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_setcb(c.bev, take_one, NULL, told_event, &c.told);
    bufferevent_set_input_max(c.bev, 10);
    bufferevent_enable(c.bev, EV_READ);
    stuff(c.fds[1], 30);
    run_until(c.base, &c.told.reads, 10);
    CHECK_EQ(c.told.events, 0);
    CHECK(input_of(c.bev) <= 10);
    close_ctx(&c);
}

TEST(low_mark_above_the_limit_is_an_error_too) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_set_input_max(c.bev, 100);
    bufferevent_setwatermark(c.bev, EV_READ, 200, 0);
    bufferevent_enable(c.bev, EV_READ);
    stuff(c.fds[1], 300);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.reads, 0);
    CHECK_EQ(c.told.error, ENOBUFS);
    close_ctx(&c);
}

TEST(high_mark_takes_the_place_of_the_limit) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_set_input_max(c.bev, 100);
    bufferevent_setwatermark(c.bev, EV_READ, 0, 300);
    bufferevent_enable(c.bev, EV_READ);
    stuff(c.fds[1], 1000);
    settle(c.base);
    CHECK_EQ(input_of(c.bev), 300);
    CHECK_EQ(c.told.events, 0);
    bufferevent_setwatermark(c.bev, EV_READ, 0, 0); /* the limit again, and long exceeded */
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.error, ENOBUFS);
    CHECK_EQ(input_of(c.bev), 300);
    close_ctx(&c);
}

TEST(deferred_callback_has_its_turn_before_the_error) {
    struct ctx c;

    open_ctx(&c, BEV_OPT_DEFER_CALLBACKS);
    bufferevent_setcb(c.bev, take_all, NULL, told_event, &c.told);
    bufferevent_set_input_max(c.bev, 100);
    bufferevent_enable(c.bev, EV_READ);
    stuff(c.fds[1], 1000);
    run_until(c.base, &c.told.reads, 10);
    CHECK_EQ(c.told.events, 0);
    bufferevent_setcb(c.bev, told_read, NULL, told_event, &c.told);
    stuff(c.fds[1], 1000);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.error, ENOBUFS);
    CHECK_EQ(input_of(c.bev), 100);
    close_ctx(&c);
}

TEST(without_anybody_to_tell_reading_pauses_until_some_is_taken) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_setcb(c.bev, NULL, NULL, NULL, NULL);
    bufferevent_set_input_max(c.bev, 100);
    bufferevent_enable(c.bev, EV_READ);
    stuff(c.fds[1], 250);
    CHECK_EQ(event_base_dispatch(c.base), 1); /* nothing is waited for */
    CHECK_EQ(input_of(c.bev), 100);
    evbuffer_drain(bufferevent_get_input(c.bev), 60);
    turn(c.base);
    CHECK_EQ(input_of(c.bev), 100);
    evbuffer_drain(bufferevent_get_input(c.bev), 100);
    turn(c.base);
    CHECK_EQ(input_of(c.bev), 90);
    close_ctx(&c);
}

static void pause_reading(struct bufferevent *bev, void *arg) {
    told_read(bev, arg);
    bufferevent_disable(bev, EV_READ);
}

TEST(program_that_pauses_with_a_full_input_is_called_again_when_it_goes_on) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_setcb(c.bev, pause_reading, NULL, told_event, &c.told);
    bufferevent_set_input_max(c.bev, 100);
    bufferevent_enable(c.bev, EV_READ);
    stuff(c.fds[1], 300);
    settle(c.base);
    CHECK_EQ(c.told.reads, 1);
    CHECK_EQ(c.told.events, 0);
    bufferevent_setcb(c.bev, take_all, NULL, told_event, &c.told);
    bufferevent_enable(c.bev, EV_READ);
    CHECK_EQ(c.told.reads, 1); /* from the loop */
    run_until(c.base, &c.told.reads, 4);
    CHECK_EQ(input_of(c.bev), 0);
    CHECK_EQ(c.told.events, 0);
    close_ctx(&c);
}

TEST(enabling_reading_again_after_the_error_tells_it_again) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_set_input_max(c.bev, 100);
    bufferevent_enable(c.bev, EV_READ);
    stuff(c.fds[1], 300);
    run_until(c.base, &c.told.events, 1);
    bufferevent_enable(c.bev, EV_READ);
    run_until(c.base, &c.told.events, 2);
    bufferevent_set_input_max(c.bev, 0);
    bufferevent_enable(c.bev, EV_READ);
    settle(c.base);
    CHECK_EQ(input_of(c.bev), 300);
    close_ctx(&c);
}

TEST(what_the_program_prepends_counts_and_does_not_spin) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_set_input_max(c.bev, 100);
    CHECK_EQ(evbuffer_prepend(bufferevent_get_input(c.bev), (char[200]){0}, 200), 0);
    send_text(c.fds[1], "x");
    bufferevent_enable(c.bev, EV_READ);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.reads, 1);
    CHECK_EQ(c.told.error, ENOBUFS);
    close_ctx(&c);
}

/* --- pairs and filters --------------------------------------------------------- */

TEST(full_end_of_a_pair_holds_the_other_or_is_told) {
    struct event_base *base = event_base_new();
    struct bufferevent *pair[2];
    struct told told = {0};
    static const char bytes[1000];

    CHECK_EQ(bufferevent_pair_new(base, 0, pair), 0);
    bufferevent_set_input_max(pair[1], 100);
    bufferevent_enable(pair[1], EV_READ);
    bufferevent_write(pair[0], bytes, 250);
    settle(base);
    CHECK_EQ(input_of(pair[1]), 100);
    CHECK_EQ(output_of(pair[0]), 150);
    bufferevent_setcb(pair[1], take_all, NULL, told_event, &told);
    evbuffer_drain(bufferevent_get_input(pair[1]), 1);
    settle(base);
    CHECK_EQ(output_of(pair[0]), 0);
    CHECK_EQ(told.events, 0);
    bufferevent_setcb(pair[1], told_read, NULL, told_event, &told);
    bufferevent_write(pair[0], bytes, 250);
    settle(base);
    CHECK_EQ(told.events, 1);
    CHECK_EQ(told.error, ENOBUFS);
    CHECK_EQ(input_of(pair[1]), 100);
    bufferevent_free(pair[0]);
    bufferevent_free(pair[1]);
    event_base_free(base);
}

TEST(filter_stops_at_its_limit_and_goes_on) {
    struct ctx c;
    struct bufferevent *filter;

    open_ctx(&c, 0);
    filter = bufferevent_filter_new(c.bev, NULL, NULL, 0, NULL, NULL);
    CHECK(filter != NULL);
    bufferevent_set_input_max(filter, 100);
    bufferevent_enable(filter, EV_READ);
    stuff(c.fds[1], 250);
    settle(c.base);
    CHECK_EQ(input_of(filter), 100);
    bufferevent_setcb(filter, take_all, NULL, told_event, &c.told);
    evbuffer_drain(bufferevent_get_input(filter), 100);
    run_until(c.base, &c.told.reads, 2);
    CHECK_EQ(input_of(filter), 0);
    CHECK_EQ(c.told.events, 0);
    bufferevent_setcb(filter, NULL, NULL, told_event, &c.told);
    stuff(c.fds[1], 250);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.error, ENOBUFS);
    bufferevent_free(filter);
    close_ctx(&c);
}

static enum bufferevent_filter_result want_more(struct evbuffer *src, struct evbuffer *dst,
                                                ev_ssize_t limit,
                                                enum bufferevent_flush_mode mode, void *ctx) {
    (void)src;
    (void)dst;
    (void)limit;
    (void)mode;
    (void)ctx;
    return BEV_NEED_MORE;
}

TEST(filter_that_makes_nothing_of_a_full_input_below_tells_the_error) {
    for (int pauses = 0; pauses < 2; pauses++) {
        struct ctx c;
        struct bufferevent *filter;

        open_ctx(&c, 0);
        filter = bufferevent_filter_new(c.bev, want_more, NULL, 0, NULL, NULL);
        bufferevent_setcb(filter, told_read, NULL, told_event, &c.told);
        bufferevent_set_input_max(c.bev, 100);
        stuff(c.fds[1], 250);
        if (pauses) { /* what is below is full before the filter reads */
            bufferevent_disable(filter, EV_READ);
            CHECK_EQ(evbuffer_prepend(bufferevent_get_input(c.bev), (char[100]){0}, 100), 0);
        }
        settle(c.base);
        CHECK_EQ(c.told.events, 0);
        bufferevent_enable(filter, EV_READ);
        run_until(c.base, &c.told.events, 1);
        CHECK_EQ(c.told.what, BEV_EVENT_READING | BEV_EVENT_ERROR);
        CHECK_EQ(c.told.error, ENOBUFS);
        bufferevent_free(filter);
        close_ctx(&c);
    }
}

/* --- output ----------------------------------------------------------------- */

static void answer(struct bufferevent *bev, void *arg) {
    static const char bytes[100000];

    take_all(bev, arg);
    bufferevent_write(bev, bytes, sizeof(bytes));
}

TEST(reading_pauses_while_the_answers_are_not_taken) {
    struct ctx c;
    size_t at_rest;
    int calls;

    open_ctx(&c, 0);
    bufferevent_setcb(c.bev, answer, NULL, told_event, &c.told);
    CHECK_EQ(bufferevent_set_output_pause(c.bev, 300000, 400000), -1);
    CHECK_EQ(errno, EINVAL);
    CHECK_EQ(bufferevent_set_output_pause(c.bev, 300000, 50000), 0);
    bufferevent_enable(c.bev, EV_READ);
    for (int i = 0; i < 50; i++) {
        send_text(c.fds[1], "question");
        turn(c.base);
    }
    CHECK(output_of(c.bev) > 300000 && output_of(c.bev) <= 400000);
    calls = c.told.reads;
    settle(c.base);
    CHECK_EQ(c.told.reads, calls);
    at_rest = output_of(c.bev);
    while (output_of(c.bev) > 50000) {
        CHECK_EQ(c.told.reads, calls); /* not before it is down to the low one */
        (void)waiting(c.fds[1]);
        receive_text(c.fds[1]);
        turn(c.base);
    }
    CHECK(at_rest > 300000);
    run_until(c.base, &c.told.reads, calls + 1);
    CHECK_EQ(c.told.events, 0);
    close_ctx(&c);
}

TEST(pause_ends_when_writing_has_failed_or_the_limit_goes) {
    for (int fails = 0; fails < 2; fails++) {
        struct ctx c;
        static const char bytes[1000000];

        open_ctx(&c, 0);
        bufferevent_set_output_pause(c.bev, 1000, 0);
        bufferevent_enable(c.bev, EV_READ);
        bufferevent_write(c.bev, bytes, sizeof(bytes));
        send_text(c.fds[1], "x");
        settle(c.base);
        CHECK_EQ(c.told.reads, 0);
        if (fails) {
            close(c.fds[1]);
            run_until(c.base, &c.told.events, 1);
            CHECK_EQ(c.told.what & BEV_EVENT_WRITING, BEV_EVENT_WRITING);
        } else {
            CHECK_EQ(bufferevent_set_output_pause(c.bev, 0, 0), 0);
        }
        while (c.told.reads == 0 && !(c.told.what & BEV_EVENT_READING))
            CHECK_EQ(event_base_loop(c.base, EVLOOP_ONCE), 0);
        if (fails)
            c.fds[1] = dup(0);
        close_ctx(&c);
    }
}

TEST(end_of_a_pair_pauses_as_well) {
    struct event_base *base = event_base_new();
    struct bufferevent *pair[2];
    struct told told = {0};
    static const char bytes[1000];

    CHECK_EQ(bufferevent_pair_new(base, 0, pair), 0);
    bufferevent_setcb(pair[1], take_all, NULL, told_event, &told);
    bufferevent_set_output_pause(pair[1], 500, 100);
    bufferevent_enable(pair[1], EV_READ);
    bufferevent_write(pair[1], bytes, 501);
    bufferevent_write(pair[0], bytes, 10);
    settle(base);
    CHECK_EQ(told.reads, 0);
    CHECK_EQ(output_of(pair[0]), 10);
    bufferevent_enable(pair[0], EV_READ); /* takes all of it */
    settle(base);
    CHECK_EQ(told.reads, 1);
    CHECK_EQ(output_of(pair[0]), 0);
    bufferevent_free(pair[0]);
    bufferevent_free(pair[1]);
    event_base_free(base);
}

TEST(common_limits_cost_no_memory) {
    struct ctx c;
    size_t live, high, low;

    open_ctx(&c, 0);
    live = (size_t)pe_mem_live_total();
    CHECK_EQ(pe_bev_set_limits(c.bev, PE_INPUT_MAX, PE_PAUSE_HIGH, PE_PAUSE_LOW), 0);
    CHECK_EQ(pe_mem_live_total(), live);
    CHECK_EQ(bufferevent_get_input_max(c.bev), PE_INPUT_MAX);
    bufferevent_get_output_pause(c.bev, &high, &low);
    CHECK_EQ(high, PE_PAUSE_HIGH);
    CHECK_EQ(low, PE_PAUSE_LOW);
    CHECK_EQ(bufferevent_set_input_max(c.bev, 0), 0);
    CHECK_EQ(bufferevent_get_input_max(c.bev), 0);
    bufferevent_get_output_pause(c.bev, &high, NULL);
    CHECK_EQ(high, PE_PAUSE_HIGH);
    CHECK_EQ(pe_bev_set_limits(c.bev, 1, 1, 2), -EINVAL);
    CHECK_EQ(bufferevent_set_output_pause(c.bev, 0, 0), 0);
    bufferevent_get_output_pause(c.bev, &high, &low);
    CHECK_EQ(high, 0);
    CHECK_EQ(low, 0);
    close_ctx(&c);
}

TEST(closing_after_the_flush_is_bound_by_no_limit) {
    struct ctx c;
    static const char bytes[400000];
    size_t got = 0;
    char end;

    open_ctx(&c, 0);
    bufferevent_set_input_max(c.bev, 10);
    bufferevent_set_output_pause(c.bev, 10, 0);
    bufferevent_write(c.bev, bytes, sizeof(bytes));
    CHECK_EQ(bufferevent_close_after_flush(c.bev, NULL), 0);
    stuff(c.fds[1], 1000);
    while (got < sizeof(bytes)) {
        ssize_t n;

        turn(c.base);
        n = recv(c.fds[1], (char[10000]){0}, 10000, MSG_DONTWAIT);
        got += n > 0 ? (size_t)n : 0;
    }
    shutdown(c.fds[1], SHUT_WR);
    CHECK_EQ(event_base_dispatch(c.base), 1);
    CHECK_EQ(recv(c.fds[1], &end, 1, 0), 0);
    event_base_free(c.base);
    close(c.fds[1]);
}

/* --- lookups ----------------------------------------------------------------- */

TEST(lookups_beyond_the_bound_fail_with_a_clear_error) {
    struct event_base *base = event_base_new();
    struct bufferevent *bevs[64];
    struct told told = {0};
    int failed = 0;

    pe_resolver_set_max(5);
    for (int i = 0; i < 64; i++) {
        bevs[i] = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
        bufferevent_setcb(bevs[i], NULL, NULL, told_event, &told);
        CHECK_EQ(bufferevent_socket_connect_hostname(bevs[i], NULL, AF_INET, "localhost", 9), 0);
        CHECK(pe_pool_of_lookups_jobs() <= 5);
    }
    run_until(base, &told.events, 64);
    for (int i = 0; i < 64; i++) {
        if (bufferevent_socket_get_dns_error(bevs[i]) != EVUTIL_EAI_AGAIN)
            continue;
        CHECK_EQ(pe_bufferevent_error(bevs[i]), ENOBUFS);
        failed++;
    }
    CHECK(failed > 0 && failed < 64);
    pe_resolver_set_max(0);
    for (int i = 0; i < 64; i++)
        bufferevent_free(bevs[i]);
    event_base_free(base);
}
