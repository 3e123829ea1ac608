/* parity_ratelimit.c - limits, and how much they leave, as libevent has them.
 *
 * Ticks are an hour long, so that none passes: what goes on with them is for
 * test_ratelimit.c, which has a clock of its own. */
#include "streams.h"

static const struct timeval hour = {3600, 0};

static struct ev_token_bucket_cfg *limits(size_t read_rate, size_t read_burst,
                                          size_t write_rate, size_t write_burst) {
    struct ev_token_bucket_cfg *cfg =
        ev_token_bucket_cfg_new(read_rate, read_burst, write_rate, write_burst, &hour);

    CHECK(cfg != NULL);
    return cfg;
}

TEST(impossible_limits_are_refused) {
    const size_t too_much = (size_t)EV_RATE_LIMIT_MAX + 1;

    CHECK(ev_token_bucket_cfg_new(0, 1, 1, 1, NULL) == NULL);
    CHECK(ev_token_bucket_cfg_new(1, 1, 0, 1, NULL) == NULL);
    CHECK(ev_token_bucket_cfg_new(2, 1, 1, 1, NULL) == NULL);
    CHECK(ev_token_bucket_cfg_new(1, 1, 2, 1, NULL) == NULL);
    CHECK(ev_token_bucket_cfg_new(1, too_much, 1, 1, NULL) == NULL);
    CHECK(ev_token_bucket_cfg_new(1, 1, 1, too_much, NULL) == NULL);
    ev_token_bucket_cfg_free(
        ev_token_bucket_cfg_new(EV_RATE_LIMIT_MAX, EV_RATE_LIMIT_MAX, 1, 1, NULL));
}

TEST(bufferevent_without_limits_has_none) {
    struct ctx c;

    open_ctx(&c, 0);
    CHECK_EQ(bufferevent_get_read_limit(c.bev), EV_SSIZE_MAX);
    CHECK_EQ(bufferevent_get_write_limit(c.bev), EV_SSIZE_MAX);
    CHECK_EQ(bufferevent_get_max_to_read(c.bev), 16384);
    CHECK_EQ(bufferevent_get_max_to_write(c.bev), 16384);
    CHECK(bufferevent_get_token_bucket_cfg(c.bev) == NULL);
    close_ctx(&c);
}

TEST(limits_start_with_the_bytes_of_one_tick) {
    struct ev_token_bucket_cfg *cfg = limits(100, 200, 300, 400);
    struct ctx c;

    open_ctx(&c, 0);
    CHECK_EQ(bufferevent_set_rate_limit(c.bev, cfg), 0);
    CHECK(bufferevent_get_token_bucket_cfg(c.bev) == cfg);
    CHECK_EQ(bufferevent_get_read_limit(c.bev), 100);
    CHECK_EQ(bufferevent_get_write_limit(c.bev), 300);
    CHECK_EQ(bufferevent_get_max_to_read(c.bev), 100);
    CHECK_EQ(bufferevent_get_max_to_write(c.bev), 300);
    close_ctx(&c);
    ev_token_bucket_cfg_free(cfg);
}

TEST(limits_can_be_taken_down_below_zero_and_up_again) {
    struct ev_token_bucket_cfg *cfg = limits(100, 200, 300, 400);
    struct ctx c;

    open_ctx(&c, 0);
    CHECK_EQ(bufferevent_set_rate_limit(c.bev, cfg), 0);
    CHECK_EQ(bufferevent_decrement_read_limit(c.bev, 150), 0);
    CHECK_EQ(bufferevent_get_read_limit(c.bev), -50);
    CHECK_EQ(bufferevent_get_max_to_read(c.bev), 0);
    CHECK_EQ(bufferevent_decrement_read_limit(c.bev, -60), 0);
    CHECK_EQ(bufferevent_get_read_limit(c.bev), 10);
    CHECK_EQ(bufferevent_decrement_write_limit(c.bev, -50), 0);
    CHECK_EQ(bufferevent_get_write_limit(c.bev), 350);
    close_ctx(&c);
    ev_token_bucket_cfg_free(cfg);
}

TEST(other_limits_keep_what_is_left_as_far_as_they_hold_it) {
    struct ev_token_bucket_cfg *large = limits(100, 200, 300, 400);
    struct ev_token_bucket_cfg *small = limits(10, 20, 30, 500);
    struct ctx c;

    open_ctx(&c, 0);
    CHECK_EQ(bufferevent_set_rate_limit(c.bev, large), 0);
    CHECK_EQ(bufferevent_decrement_read_limit(c.bev, 50), 0);
    CHECK_EQ(bufferevent_set_rate_limit(c.bev, large), 0); /* the same: no change */
    CHECK_EQ(bufferevent_get_read_limit(c.bev), 50);
    CHECK_EQ(bufferevent_set_rate_limit(c.bev, small), 0);
    CHECK_EQ(bufferevent_get_read_limit(c.bev), 20);
    CHECK_EQ(bufferevent_get_write_limit(c.bev), 300);
    CHECK_EQ(bufferevent_set_rate_limit(c.bev, NULL), 0);
    CHECK_EQ(bufferevent_get_read_limit(c.bev), EV_SSIZE_MAX);
    CHECK_EQ(bufferevent_set_rate_limit(c.bev, NULL), 0);
    close_ctx(&c);
    ev_token_bucket_cfg_free(large);
    ev_token_bucket_cfg_free(small);
}

TEST(reading_stops_at_the_limit_and_goes_on_with_more) {
    struct ev_token_bucket_cfg *cfg = limits(10, 10, 1000, 1000);
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_set_rate_limit(c.bev, cfg);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "0123456789abcdef");
    run_until(c.base, &c.told.reads, 1);
    for (int i = 0; i < 5; i++)
        turn(c.base);
    CHECK_EQ(evbuffer_get_length(bufferevent_get_input(c.bev)), 10);
    CHECK_EQ(bufferevent_get_read_limit(c.bev), 0);
    CHECK(bufferevent_get_enabled(c.bev) & EV_READ); /* held, not disabled */
    bufferevent_decrement_read_limit(c.bev, -4);
    run_until(c.base, &c.told.reads, 2);
    CHECK_EQ(evbuffer_get_length(bufferevent_get_input(c.bev)), 14);
    CHECK_EQ(bufferevent_set_rate_limit(c.bev, NULL), 0);
    run_until(c.base, &c.told.reads, 3);
    CHECK_EQ(evbuffer_get_length(bufferevent_get_input(c.bev)), 16);
    close_ctx(&c);
    ev_token_bucket_cfg_free(cfg);
}

TEST(writing_stops_at_the_limit_and_goes_on_with_more) {
    struct ev_token_bucket_cfg *cfg = limits(1000, 1000, 10, 10);
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_set_rate_limit(c.bev, cfg);
    bufferevent_write(c.bev, "0123456789abcdef", 16);
    for (int i = 0; i < 5; i++)
        turn(c.base);
    CHECK_EQ(waiting(c.fds[1]), 10);
    bufferevent_decrement_write_limit(c.bev, -4);
    for (int i = 0; i < 5; i++)
        turn(c.base);
    CHECK_EQ(waiting(c.fds[1]), 14);
    bufferevent_set_rate_limit(c.bev, NULL);
    for (int i = 0; i < 5; i++)
        turn(c.base);
    CHECK_EQ(waiting(c.fds[1]), 16);
    close_ctx(&c);
    ev_token_bucket_cfg_free(cfg);
}

/* --- groups ---------------------------------------------------------------------- */

/* Two members of a group. */
struct members {
    struct ctx a, b;
    struct bufferevent_rate_limit_group *group;
};

static void open_members(struct members *m, struct ev_token_bucket_cfg *cfg) {
    open_ctx(&m->a, 0);
    m->group = bufferevent_rate_limit_group_new(m->a.base, cfg);
    CHECK(m->group != NULL);
    memset(&m->b, 0, sizeof(m->b));
    make_pair(m->b.fds);
    m->b.base = m->a.base;
    m->b.bev = bufferevent_socket_new(m->a.base, m->b.fds[0], BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(m->b.bev, told_read, told_write, told_event, &m->b.told);
    CHECK_EQ(bufferevent_add_to_rate_limit_group(m->a.bev, m->group), 0);
    CHECK_EQ(bufferevent_add_to_rate_limit_group(m->b.bev, m->group), 0);
}

static void close_members(struct members *m) {
    CHECK_EQ(bufferevent_remove_from_rate_limit_group(m->a.bev), 0);
    CHECK_EQ(bufferevent_remove_from_rate_limit_group(m->b.bev), 0);
    bufferevent_rate_limit_group_free(m->group);
    bufferevent_free(m->b.bev);
    close(m->b.fds[1]);
    close_ctx(&m->a);
}

TEST(group_starts_with_the_bytes_of_one_tick) {
    struct ev_token_bucket_cfg *cfg = limits(1000, 2000, 3000, 4000);
    struct members m;

    open_members(&m, cfg);
    ev_token_bucket_cfg_free(cfg); /* it has a copy */
    CHECK_EQ(bufferevent_rate_limit_group_get_read_limit(m.group), 1000);
    CHECK_EQ(bufferevent_rate_limit_group_get_write_limit(m.group), 3000);
    CHECK_EQ(bufferevent_get_read_limit(m.a.bev), EV_SSIZE_MAX); /* its own */
    close_members(&m);
}

TEST(members_have_equal_shares) {
    struct ev_token_bucket_cfg *cfg = limits(1000, 2000, 3000, 4000);
    struct members m;

    open_members(&m, cfg);
    CHECK_EQ(bufferevent_get_max_to_read(m.a.bev), 500);
    CHECK_EQ(bufferevent_get_max_to_write(m.b.bev), 1500);
    CHECK_EQ(bufferevent_add_to_rate_limit_group(m.a.bev, m.group), 0); /* again: no more */
    CHECK_EQ(bufferevent_get_max_to_read(m.a.bev), 500);
    bufferevent_remove_from_rate_limit_group(m.b.bev);
    CHECK_EQ(bufferevent_get_max_to_read(m.a.bev), 1000);
    CHECK_EQ(bufferevent_get_max_to_read(m.b.bev), 16384);
    close_members(&m);
    ev_token_bucket_cfg_free(cfg);
}

TEST(share_is_never_less_than_the_least_one) {
    struct ev_token_bucket_cfg *cfg = limits(100, 200, 300, 400);
    struct members m;

    open_members(&m, cfg);
    CHECK_EQ(bufferevent_get_max_to_read(m.a.bev), 64);
    CHECK_EQ(bufferevent_rate_limit_group_set_min_share(m.group, 80), 0);
    CHECK_EQ(bufferevent_get_max_to_read(m.a.bev), 80);
    CHECK_EQ(bufferevent_rate_limit_group_set_min_share(m.group, 1000), 0);
    CHECK_EQ(bufferevent_get_max_to_read(m.a.bev), 100); /* nor more than a tick's */
    CHECK_EQ(bufferevent_rate_limit_group_set_min_share(m.group, (size_t)EV_SSIZE_MAX + 1), -1);
    close_members(&m);
    ev_token_bucket_cfg_free(cfg);
}

TEST(group_limits_can_be_changed) {
    struct ev_token_bucket_cfg *cfg = limits(1000, 2000, 3000, 4000);
    struct ev_token_bucket_cfg *small = limits(10, 20, 3000, 4000);
    struct members m;

    open_members(&m, cfg);
    CHECK_EQ(bufferevent_rate_limit_group_set_cfg(m.group, small), 0);
    CHECK_EQ(bufferevent_rate_limit_group_get_read_limit(m.group), 20);
    CHECK_EQ(bufferevent_rate_limit_group_get_write_limit(m.group), 3000);
    CHECK_EQ(bufferevent_get_max_to_read(m.a.bev), 10);
    close_members(&m);
    ev_token_bucket_cfg_free(cfg);
    ev_token_bucket_cfg_free(small);
}

TEST(empty_group_holds_all_members) {
    struct ev_token_bucket_cfg *cfg = limits(100, 100, 100, 100);
    struct members m;

    open_members(&m, cfg);
    bufferevent_enable(m.a.bev, EV_READ);
    bufferevent_enable(m.b.bev, EV_READ);
    bufferevent_rate_limit_group_decrement_read(m.group, 150);
    CHECK_EQ(bufferevent_rate_limit_group_get_read_limit(m.group), -50);
    CHECK_EQ(bufferevent_get_max_to_read(m.a.bev), 0);
    send_text(m.a.fds[1], "to a");
    send_text(m.b.fds[1], "to b");
    for (int i = 0; i < 5; i++)
        turn(m.a.base);
    CHECK_EQ(m.a.told.reads + m.b.told.reads, 0);
    bufferevent_rate_limit_group_decrement_read(m.group, -150);
    run_until(m.a.base, &m.a.told.reads, 1);
    run_until(m.a.base, &m.b.told.reads, 1);
    close_members(&m);
    ev_token_bucket_cfg_free(cfg);
}

TEST(member_that_leaves_an_empty_group_goes_on) {
    struct ev_token_bucket_cfg *cfg = limits(100, 100, 100, 100);
    struct members m;

    open_members(&m, cfg);
    bufferevent_enable(m.a.bev, EV_READ);
    bufferevent_rate_limit_group_decrement_read(m.group, 150);
    send_text(m.a.fds[1], "x");
    bufferevent_remove_from_rate_limit_group(m.a.bev);
    run_until(m.a.base, &m.a.told.reads, 1);
    close_members(&m);
    ev_token_bucket_cfg_free(cfg);
}

TEST(totals_count_what_members_have_moved) {
    struct ev_token_bucket_cfg *cfg = limits(10000, 10000, 10000, 10000);
    ev_uint64_t total_read = 9, total_written = 9;
    struct members m;

    open_members(&m, cfg);
    bufferevent_enable(m.a.bev, EV_READ);
    send_text(m.a.fds[1], "abc");
    run_until(m.a.base, &m.a.told.reads, 1);
    bufferevent_write(m.b.bev, "defgh", 5);
    run_until(m.a.base, &m.b.told.writes, 1);
    bufferevent_rate_limit_group_decrement_read(m.group, 100); /* does not count */
    bufferevent_rate_limit_group_get_totals(m.group, &total_read, &total_written);
    CHECK_EQ(total_read, 3);
    CHECK_EQ(total_written, 5);
    bufferevent_rate_limit_group_get_totals(m.group, NULL, NULL);
    bufferevent_rate_limit_group_reset_totals(m.group);
    bufferevent_rate_limit_group_get_totals(m.group, &total_read, &total_written);
    CHECK_EQ(total_read + total_written, 0);
    close_members(&m);
    ev_token_bucket_cfg_free(cfg);
}

TEST(freed_member_has_left_its_group) {
    struct ev_token_bucket_cfg *cfg = limits(1000, 1000, 1000, 1000);
    struct members m;

    open_members(&m, cfg);
    bufferevent_free(m.b.bev);
    run_ready(m.a.base); /* libevent frees it there */
    CHECK_EQ(bufferevent_get_max_to_read(m.a.bev), 1000);
    m.b.bev = bufferevent_socket_new(m.a.base, -1, 0);
    close_members(&m);
    ev_token_bucket_cfg_free(cfg);
}

TEST(own_limit_and_that_of_the_group_hold_both) {
    struct ev_token_bucket_cfg *cfg = limits(1000, 1000, 1000, 1000);
    struct ev_token_bucket_cfg *own = limits(100, 100, 700, 700);
    struct members m;

    open_members(&m, cfg);
    CHECK_EQ(bufferevent_set_rate_limit(m.a.bev, own), 0);
    CHECK_EQ(bufferevent_get_max_to_read(m.a.bev), 100);
    CHECK_EQ(bufferevent_get_max_to_write(m.a.bev), 500);
    bufferevent_set_rate_limit(m.a.bev, NULL);
    close_members(&m);
    ev_token_bucket_cfg_free(cfg);
    ev_token_bucket_cfg_free(own);
}
