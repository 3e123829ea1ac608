/* test_pair.c - two ends in one process: what is our own. */
#include "base/clock.h"
#include "base/mem.h"
#include "stream/bufferevent.h"
#include "streams.h"

static size_t input_len(struct bufferevent *bev) {
    return evbuffer_get_length(bufferevent_get_input(bev));
}

static size_t output_len(struct bufferevent *bev) {
    return evbuffer_get_length(bufferevent_get_output(bev));
}

static struct event_base *open_pair(struct bufferevent *pair[2]) {
    struct event_base *base = event_base_new();

    CHECK(base != NULL);
    CHECK_EQ(bufferevent_pair_new(base, 0, pair), 0);
    return base;
}

static void close_pair(struct event_base *base, struct bufferevent *pair[2]) {
    bufferevent_free(pair[0]);
    bufferevent_free(pair[1]);
    event_base_free(base);
}

TEST(pair_without_base_is_refused) {
    struct bufferevent *pair[2];

    CHECK_EQ(bufferevent_pair_new(NULL, 0, pair), -1);
    CHECK_EQ(errno, EINVAL);
}

TEST(large_buffer_moves_through_without_a_copy) {
    static const char mark[] = "the very same memory";
    struct bufferevent *pair[2];
    struct event_base *base = open_pair(pair);
    struct evbuffer *buf = evbuffer_new();
    struct evbuffer_iovec vec;

    evbuffer_add_reference(buf, mark, sizeof(mark), NULL, NULL);
    bufferevent_enable(pair[1], EV_READ);
    bufferevent_write_buffer(pair[0], buf);
    CHECK_EQ(evbuffer_peek(bufferevent_get_input(pair[1]), -1, NULL, &vec, 1), 1);
    CHECK(vec.iov_base == mark);
    evbuffer_free(buf);
    close_pair(base, pair);
}

TEST(steady_exchange_allocates_nothing) {
    struct bufferevent *pair[2];
    struct event_base *base = open_pair(pair);
    static char bytes[1000];
    unsigned long before = 0;

    bufferevent_enable(pair[1], EV_READ);
    for (int i = 0; i < 100; i++) {
        if (i == 50)
            before = pe_mem_total();
        bufferevent_write(pair[0], bytes, sizeof(bytes));
        CHECK_EQ(bufferevent_read(pair[1], bytes, sizeof(bytes)), sizeof(bytes));
    }
    CHECK_EQ(pe_mem_total(), before);
    close_pair(base, pair);
}

TEST(most_at_a_time_spreads_a_move_over_turns) {
    struct bufferevent *pair[2];
    struct event_base *base = open_pair(pair);
    int turns = 0;

    bufferevent_set_max_single_read(pair[1], 3);
    bufferevent_enable(pair[1], EV_READ);
    bufferevent_write(pair[0], "0123456789", 10);
    CHECK_EQ(input_len(pair[1]), 3);
    for (; output_len(pair[0]) != 0; turns++)
        turn(base);
    CHECK(turns >= 1);
    CHECK_EQ(input_len(pair[1]), 10);
    close_pair(base, pair);
}

TEST(output_for_a_partner_that_is_gone_stays) {
    struct bufferevent *pair[2];
    struct event_base *base = open_pair(pair);

    bufferevent_free(pair[1]);
    bufferevent_write(pair[0], "x", 1);
    CHECK_EQ(event_base_dispatch(base), 1); /* nothing to wait for */
    CHECK_EQ(output_len(pair[0]), 1);
    CHECK_EQ(bufferevent_flush(pair[0], EV_WRITE, BEV_FINISHED), 0);
    bufferevent_free(pair[0]);
    event_base_free(base);
}

TEST(overrun_of_the_mark_calls_back_while_it_is_worked_off) {
    struct bufferevent *pair[2];
    struct event_base *base = open_pair(pair);
    struct told told = {0};

    bufferevent_setcb(pair[1], told_read, NULL, NULL, &told);
    bufferevent_setwatermark(pair[1], EV_READ, 0, 4);
    bufferevent_write(pair[0], "0123456789", 10);
    bufferevent_flush(pair[0], EV_WRITE, BEV_FLUSH);
    run_ready(base);
    CHECK_EQ(told.reads, 1); /* not over and over while nothing is taken */
    evbuffer_drain(bufferevent_get_input(pair[1]), 3);
    run_ready(base);
    CHECK_EQ(told.reads, 2);
    evbuffer_drain(bufferevent_get_input(pair[1]), 5); /* below: new bytes will call */
    run_ready(base);
    CHECK_EQ(told.reads, 2);
    close_pair(base, pair);
}

static int64_t fake_now;

static int64_t fake_clock(void) {
    return fake_now;
}

TEST(write_timeout_runs_while_the_partner_does_not_read) {
    struct bufferevent *pair[2];
    struct event_base *base = open_pair(pair);
    struct told told = {0};
    struct timeval ten = {10, 0};

    fake_now = 1000 * PE_NS_PER_SEC;
    pe_clock_set_source(fake_clock);
    bufferevent_setcb(pair[0], NULL, NULL, told_event, &told);
    bufferevent_set_timeouts(pair[0], NULL, &ten);
    bufferevent_write(pair[0], "x", 1);
    fake_now += 9 * PE_NS_PER_SEC;
    turn(base);
    CHECK_EQ(told.events, 0);
    fake_now += PE_NS_PER_SEC;
    turn(base);
    CHECK_EQ(told.what, BEV_EVENT_WRITING | BEV_EVENT_TIMEOUT);
    CHECK_EQ(told.enabled, 0);
    close_pair(base, pair);
}

/* --- callbacks of the buffers, which run while bytes move ------------------ */

static void free_both(struct evbuffer *buf, const struct evbuffer_cb_info *info, void *arg) {
    struct bufferevent **pair = arg;

    (void)buf;
    (void)info;
    for (int i = 0; i < 2; i++) {
        if (pair[i] != NULL)
            bufferevent_free(pair[i]);
        pair[i] = NULL;
    }
}

TEST(both_ends_may_be_freed_while_bytes_move) {
    struct bufferevent *pair[2], *first;
    struct event_base *base = open_pair(pair);

    first = pair[0];
    evbuffer_add_cb(bufferevent_get_input(pair[1]), free_both, pair);
    bufferevent_enable(pair[1], EV_READ);
    bufferevent_write(first, "x", 1);
    CHECK(pair[0] == NULL);
    event_base_free(base);
}

TEST(both_ends_may_be_freed_while_enabling_moves_bytes) {
    struct bufferevent *pair[2], *second;
    struct event_base *base = open_pair(pair);

    bufferevent_write(pair[0], "x", 1);
    evbuffer_add_cb(bufferevent_get_output(pair[0]), free_both, pair);
    second = pair[1];
    CHECK_EQ(bufferevent_enable(second, EV_READ), 0);
    CHECK(pair[1] == NULL);
    event_base_free(base);
}

TEST(flush_ignores_the_mark_of_the_reader) {
    struct bufferevent *pair[2];
    struct event_base *base = open_pair(pair);

    bufferevent_setwatermark(pair[1], EV_READ, 0, 2);
    bufferevent_write(pair[0], "abc", 3);
    bufferevent_flush(pair[0], EV_WRITE, BEV_FLUSH);
    CHECK_EQ(output_len(pair[0]), 0);
    CHECK_EQ(input_len(pair[1]), 3);
    close_pair(base, pair);
}

static void drain_all(struct evbuffer *buf, const struct evbuffer_cb_info *info, void *arg) {
    (void)arg;
    if (info->n_added != 0)
        evbuffer_drain(buf, evbuffer_get_length(buf));
}

TEST(input_that_is_drained_while_bytes_move_makes_room_for_more) {
    struct bufferevent *pair[2];
    struct event_base *base = open_pair(pair);

    evbuffer_add_cb(bufferevent_get_input(pair[1]), drain_all, NULL);
    bufferevent_setwatermark(pair[1], EV_READ, 0, 2);
    bufferevent_enable(pair[1], EV_READ);
    bufferevent_write(pair[0], "0123456789", 10);
    while (output_len(pair[0]) != 0)
        turn(base);
    CHECK_EQ(input_len(pair[1]), 0);
    close_pair(base, pair);
}

TEST(pair_outlives_its_base) {
    struct bufferevent *pair[2];
    struct event_base *base = open_pair(pair);

    bufferevent_write(pair[0], "x", 1);
    event_base_free(base);
    bufferevent_enable(pair[1], EV_READ);
    bufferevent_free(pair[0]);
    bufferevent_free(pair[1]);
}

TEST(pair_survives_every_failing_allocation) {
    for (long n = 1;; n++) {
        struct event_base *base = event_base_new();
        struct bufferevent *pair[2];
        struct told told = {0};

        pe_mem_fail_nth(n);
        if (bufferevent_pair_new(base, 0, pair) == 0) {
            bufferevent_setcb(pair[1], told_read, NULL, told_event, &told);
            bufferevent_set_max_single_read(pair[1], 100);
            if (bufferevent_enable(pair[1], EV_READ) == 0) {
                (void)bufferevent_write(pair[0], "hello", 5);
                run_ready(base);
            }
            bufferevent_free(pair[0]);
            bufferevent_free(pair[1]);
        }
        event_base_free(base);
        if (!pe_mem_has_failed())
            break;
        pe_mem_fail_nth(0);
    }
}
