/* parity_pair.c - two ends in one process: what programs written for libevent rely on. */
#include "streams.h"

/* Both ends, and what each was told. */
struct ends {
    struct event_base *base;
    struct bufferevent *a, *b;
    struct told of_a, of_b;
};

static void open_ends(struct ends *e, int options) {
    struct bufferevent *pair[2];

    memset(e, 0, sizeof(*e));
    e->base = event_base_new();
    CHECK(e->base != NULL);
    CHECK_EQ(bufferevent_pair_new(e->base, options, pair), 0);
    e->a = pair[0];
    e->b = pair[1];
    bufferevent_setcb(e->a, told_read, told_write, told_event, &e->of_a);
    bufferevent_setcb(e->b, told_read, told_write, told_event, &e->of_b);
}

static void close_ends(struct ends *e) {
    if (e->a != NULL)
        bufferevent_free(e->a);
    if (e->b != NULL)
        bufferevent_free(e->b);
    run_ready(e->base); /* libevent frees them there */
    event_base_free(e->base);
}

static size_t input_len(struct bufferevent *bev) {
    return evbuffer_get_length(bufferevent_get_input(bev));
}

static size_t output_len(struct bufferevent *bev) {
    return evbuffer_get_length(bufferevent_get_output(bev));
}

static const char *take(struct bufferevent *bev) {
    static char text[1024];

    text[bufferevent_read(bev, text, sizeof(text) - 1)] = '\0';
    return text;
}

TEST(new_ends_write_and_do_not_read) {
    struct ends e;

    open_ends(&e, 0);
    CHECK_EQ(bufferevent_get_enabled(e.a), EV_WRITE);
    CHECK_EQ(bufferevent_get_enabled(e.b), EV_WRITE);
    CHECK_EQ(bufferevent_getfd(e.a), -1);
    CHECK(bufferevent_get_underlying(e.a) == NULL);
    CHECK(bufferevent_get_base(e.b) == e.base);
    close_ends(&e);
}

TEST(each_is_the_partner_of_the_other_until_it_is_freed) {
    struct ends e;

    open_ends(&e, 0);
    CHECK(bufferevent_pair_get_partner(e.a) == e.b);
    CHECK(bufferevent_pair_get_partner(e.b) == e.a);
    bufferevent_free(e.a);
    e.a = NULL;
    run_ready(e.base);
    CHECK(bufferevent_pair_get_partner(e.b) == NULL);
    CHECK_EQ(e.of_b.events, 0); /* which is no end of file */
    close_ends(&e);
}

TEST(socket_has_no_partner) {
    struct event_base *base = event_base_new();
    struct bufferevent *bev = bufferevent_socket_new(base, -1, 0);

    CHECK(bufferevent_pair_get_partner(bev) == NULL);
    bufferevent_free(bev);
    run_ready(base);
    event_base_free(base);
}

TEST(written_bytes_move_at_once_to_an_end_that_reads) {
    struct ends e;

    open_ends(&e, 0);
    bufferevent_enable(e.b, EV_READ);
    bufferevent_write(e.a, "hello", 5);
    CHECK_EQ(output_len(e.a), 0);
    CHECK_EQ(input_len(e.b), 5);
    CHECK_EQ(e.of_b.reads, 0); /* always from the loop */
    CHECK_EQ(e.of_a.writes, 0);
    run_ready(e.base);
    CHECK_EQ(e.of_b.reads, 1);
    CHECK_EQ(e.of_a.writes, 1);
    CHECK_STR(take(e.b), "hello");
    close_ends(&e);
}

TEST(written_bytes_wait_for_an_end_that_does_not_read) {
    struct ends e;

    open_ends(&e, 0);
    bufferevent_write(e.a, "hello", 5);
    run_ready(e.base);
    CHECK_EQ(output_len(e.a), 5);
    CHECK_EQ(e.of_a.writes, 0);
    bufferevent_enable(e.b, EV_READ);
    CHECK_EQ(output_len(e.a), 0);
    run_ready(e.base);
    CHECK_EQ(e.of_b.reads, 1);
    CHECK_EQ(e.of_a.writes, 1);
    CHECK_STR(take(e.b), "hello");
    close_ends(&e);
}

TEST(end_that_does_not_write_keeps_its_output) {
    struct ends e;

    open_ends(&e, 0);
    bufferevent_enable(e.b, EV_READ);
    bufferevent_disable(e.a, EV_WRITE);
    bufferevent_write(e.a, "hello", 5);
    run_ready(e.base);
    CHECK_EQ(input_len(e.b), 0);
    bufferevent_enable(e.a, EV_WRITE);
    CHECK_EQ(input_len(e.b), 5);
    close_ends(&e);
}

TEST(both_directions_are_independent) {
    struct ends e;

    open_ends(&e, 0);
    bufferevent_enable(e.a, EV_READ);
    bufferevent_enable(e.b, EV_READ);
    bufferevent_write(e.a, "to b", 4);
    bufferevent_write(e.b, "to a", 4);
    run_ready(e.base);
    CHECK_STR(take(e.a), "to a");
    CHECK_STR(take(e.b), "to b");
    close_ends(&e);
}

TEST(high_mark_of_the_reader_holds_the_rest_back) {
    struct ends e;

    open_ends(&e, 0);
    bufferevent_setcb(e.b, NULL, NULL, told_event, &e.of_b);
    bufferevent_setwatermark(e.b, EV_READ, 0, 8);
    bufferevent_enable(e.b, EV_READ);
    bufferevent_write(e.a, "0123456789", 10);
    CHECK_EQ(input_len(e.b), 8);
    CHECK_EQ(output_len(e.a), 2);
    run_ready(e.base);
    evbuffer_drain(bufferevent_get_input(e.b), 1);
    CHECK_EQ(input_len(e.b), 8);
    evbuffer_drain(bufferevent_get_input(e.b), 4);
    CHECK_EQ(input_len(e.b), 5);
    CHECK_STR(take(e.b), "56789");
    close_ends(&e);
}

TEST(low_mark_of_the_reader_delays_its_callback) {
    struct ends e;

    open_ends(&e, 0);
    bufferevent_setwatermark(e.b, EV_READ, 4, 0);
    bufferevent_enable(e.b, EV_READ);
    bufferevent_write(e.a, "abc", 3);
    run_ready(e.base);
    CHECK_EQ(e.of_b.reads, 0);
    bufferevent_write(e.a, "d", 1);
    run_ready(e.base);
    CHECK_EQ(e.of_b.reads, 1);
    close_ends(&e);
}

TEST(flushing_normally_changes_nothing) {
    struct ends e;

    open_ends(&e, 0);
    bufferevent_write(e.a, "abc", 3);
    CHECK_EQ(bufferevent_flush(e.a, EV_WRITE, BEV_NORMAL), 0);
    CHECK_EQ(output_len(e.a), 3);
    close_ends(&e);
}

TEST(flush_ignores_enabling) {
    struct ends e;

    open_ends(&e, 0);
    bufferevent_write(e.a, "abc", 3);
    CHECK_EQ(bufferevent_flush(e.a, EV_WRITE, BEV_FLUSH), 0);
    CHECK_EQ(output_len(e.a), 0);
    CHECK_EQ(input_len(e.b), 3);
    CHECK_EQ(e.of_b.events, 0);
    close_ends(&e);
}

TEST(flush_for_reading_fetches_what_the_other_one_has) {
    struct ends e;

    open_ends(&e, 0);
    bufferevent_write(e.a, "abc", 3);
    bufferevent_flush(e.b, EV_READ, BEV_FLUSH);
    CHECK_EQ(input_len(e.b), 3);
    close_ends(&e);
}

TEST(finishing_gives_the_other_one_the_rest_and_then_end_of_file) {
    struct ends e;

    open_ends(&e, 0);
    bufferevent_write(e.a, "last", 4);
    bufferevent_flush(e.a, EV_WRITE, BEV_FINISHED);
    run_ready(e.base);
    CHECK_STR(e.of_b.order, "re");
    CHECK_EQ(e.of_b.what, BEV_EVENT_EOF | BEV_EVENT_READING);
    CHECK_EQ(e.of_a.events, 0);
    CHECK_STR(take(e.b), "last");
    close_ends(&e);
}

TEST(finishing_reading_tells_the_one_who_writes) {
    struct ends e;

    open_ends(&e, 0);
    bufferevent_flush(e.b, EV_READ, BEV_FINISHED);
    run_ready(e.base);
    CHECK_EQ(e.of_a.what, BEV_EVENT_EOF | BEV_EVENT_WRITING);
    close_ends(&e);
}

/* --- ends that answer each other ------------------------------------------ */

static void count_down(struct bufferevent *bev, void *arg) {
    struct told *told = arg;
    unsigned char n = 0;

    told->reads++;
    while (bufferevent_read(bev, &n, 1) == 1)
        ;
    n--;
    if (n != 0)
        bufferevent_write(bev, &n, 1);
}

TEST(ends_that_answer_each_other_do_not_recurse) {
    struct ends e;
    unsigned char first = 200;

    open_ends(&e, 0);
    bufferevent_setcb(e.a, count_down, NULL, NULL, &e.of_a);
    bufferevent_setcb(e.b, count_down, NULL, NULL, &e.of_b);
    bufferevent_enable(e.a, EV_READ);
    bufferevent_enable(e.b, EV_READ);
    bufferevent_write(e.a, &first, 1);
    event_base_dispatch(e.base);
    CHECK_EQ(e.of_a.reads + e.of_b.reads, 200);
    close_ends(&e);
}

static void free_it(struct bufferevent *bev, void *arg) {
    *(struct bufferevent **)arg = NULL;
    bufferevent_free(bev);
}

TEST(end_may_be_freed_in_its_read_callback) {
    struct ends e;

    open_ends(&e, 0);
    bufferevent_setcb(e.b, free_it, NULL, NULL, &e.b);
    bufferevent_enable(e.b, EV_READ);
    bufferevent_write(e.a, "x", 1);
    run_ready(e.base);
    CHECK(e.b == NULL);
    bufferevent_write(e.a, "y", 1);
    run_ready(e.base);
    CHECK_EQ(output_len(e.a), 1);
    close_ends(&e);
}

static void free_partner(struct bufferevent *bev, void *arg) {
    bufferevent_free(bufferevent_pair_get_partner(bev));
    *(struct bufferevent **)arg = NULL;
}

TEST(end_may_be_freed_in_a_callback_of_the_other) {
    struct ends e;

    open_ends(&e, 0);
    bufferevent_setcb(e.b, free_partner, NULL, NULL, &e.a);
    bufferevent_enable(e.b, EV_READ);
    bufferevent_write(e.a, "x", 1);
    run_ready(e.base);
    CHECK(e.a == NULL);
    CHECK_EQ(input_len(e.b), 1);
    close_ends(&e);
}

TEST(read_timeout_of_an_end_is_told) {
    struct ends e;
    struct timeval soon = {0, 20000};

    open_ends(&e, 0);
    bufferevent_set_timeouts(e.b, &soon, NULL);
    bufferevent_enable(e.b, EV_READ);
    run_until(e.base, &e.of_b.events, 1);
    CHECK_EQ(e.of_b.what, BEV_EVENT_READING | BEV_EVENT_TIMEOUT);
    CHECK_EQ(e.of_b.enabled & EV_READ, 0);
    close_ends(&e);
}

TEST(pair_cannot_move_to_another_base) {
    struct event_base *other = event_base_new();
    struct ends e;

    open_ends(&e, 0);
    CHECK_EQ(bufferevent_base_set(other, e.a), -1);
    close_ends(&e);
    event_base_free(other);
}

TEST(enabling_an_idle_end_calls_nobody) {
    struct ends e;

    open_ends(&e, 0);
    bufferevent_enable(e.a, EV_READ | EV_WRITE);
    bufferevent_enable(e.b, EV_WRITE);
    run_ready(e.base);
    run_ready(e.base);
    CHECK_EQ(e.of_a.writes + e.of_b.writes, 0);
    close_ends(&e);
}
