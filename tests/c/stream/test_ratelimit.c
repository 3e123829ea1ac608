/* test_ratelimit.c - buckets over time, with a clock of our own. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "stream/ratelimit.h"
#include "stream/bufferevent.h"
#include "streams.h"

#define FIRST (1000 * PE_NS_PER_SEC)

static int64_t fake_now;

static int64_t fake_clock(void) {
    return fake_now;
}

static void start_clock(void) {
    fake_now = FIRST;
    pe_clock_set_source(fake_clock);
}

static void set_clock(double seconds) {
    fake_now = FIRST + (int64_t)(seconds * 1e9);
}

static struct ev_token_bucket_cfg *limits(size_t rate, size_t burst) {
    struct ev_token_bucket_cfg *cfg = ev_token_bucket_cfg_new(rate, burst, rate, burst, NULL);

    CHECK(cfg != NULL);
    return cfg;
}

static size_t input_len(struct bufferevent *bev) {
    return evbuffer_get_length(bufferevent_get_input(bev));
}

static void turns(struct event_base *base) {
    for (int i = 0; i < 4; i++)
        turn(base);
}

/* --- buckets ------------------------------------------------------------------- */

TEST(bucket_fills_by_ticks_up_to_its_burst) {
    struct ev_token_bucket_cfg *cfg = limits(10, 25);
    struct pe_bucket b;

    start_clock();
    pe_bucket_init(&b, cfg);
    CHECK_EQ(b.left[PE_RATE_READ], 10);
    set_clock(0.999);
    pe_bucket_fill(&b, cfg);
    CHECK_EQ(b.left[PE_RATE_READ], 10);
    set_clock(1);
    pe_bucket_fill(&b, cfg);
    CHECK_EQ(b.left[PE_RATE_READ], 20);
    set_clock(2);
    pe_bucket_fill(&b, cfg);
    CHECK_EQ(b.left[PE_RATE_WRITE], 25);
    pe_bucket_take(&b, PE_RATE_READ, 100);
    set_clock(5.5);
    pe_bucket_fill(&b, cfg);
    CHECK_EQ(b.left[PE_RATE_READ], -45);
    pe_bucket_take(&b, PE_RATE_WRITE, -1000); /* a gift lasts until the next tick */
    set_clock(6);
    pe_bucket_fill(&b, cfg);
    CHECK_EQ(b.left[PE_RATE_WRITE], 25);
    ev_token_bucket_cfg_free(cfg);
}

TEST(bucket_says_when_it_will_hold_something) {
    struct ev_token_bucket_cfg *cfg = limits(10, 25);
    struct pe_bucket b;

    start_clock();
    pe_bucket_init(&b, cfg);
    set_clock(3.5);
    pe_bucket_fill(&b, cfg);
    pe_bucket_take(&b, PE_RATE_READ, 25);
    CHECK_EQ(pe_bucket_due(&b, cfg, PE_RATE_READ), FIRST + 4 * PE_NS_PER_SEC);
    pe_bucket_take(&b, PE_RATE_READ, 9);
    CHECK_EQ(pe_bucket_due(&b, cfg, PE_RATE_READ), FIRST + 4 * PE_NS_PER_SEC);
    pe_bucket_take(&b, PE_RATE_READ, 1); /* -10: one tick more would leave nothing */
    CHECK_EQ(pe_bucket_due(&b, cfg, PE_RATE_READ), FIRST + 5 * PE_NS_PER_SEC);
    ev_token_bucket_cfg_free(cfg);
}

TEST(bucket_stays_within_its_type) {
    struct ev_token_bucket_cfg *cfg = limits(EV_RATE_LIMIT_MAX, EV_RATE_LIMIT_MAX);
    struct ev_token_bucket_cfg *slow = limits(1, EV_RATE_LIMIT_MAX);
    struct pe_bucket b;

    start_clock();
    pe_bucket_init(&b, cfg);
    for (int i = 0; i < 3; i++)
        pe_bucket_take(&b, PE_RATE_READ, EV_SSIZE_MAX);
    CHECK_EQ(b.left[PE_RATE_READ], EV_SSIZE_MIN);
    CHECK(pe_bucket_due(&b, slow, PE_RATE_READ) > FIRST);
    set_clock(1e6);
    pe_bucket_fill(&b, cfg);
    CHECK_EQ(b.left[PE_RATE_READ], EV_RATE_LIMIT_MAX);
    pe_bucket_take(&b, PE_RATE_WRITE, EV_SSIZE_MIN);
    CHECK_EQ(b.left[PE_RATE_WRITE], EV_SSIZE_MAX);
    ev_token_bucket_cfg_free(cfg);
    ev_token_bucket_cfg_free(slow);
}

TEST(tick_of_no_length_is_refused) {
    struct timeval none = {0, 0}, negative = {-1, 0};

    CHECK(ev_token_bucket_cfg_new(1, 1, 1, 1, &none) == NULL);
    CHECK_EQ(errno, EINVAL);
    CHECK(ev_token_bucket_cfg_new(1, 1, 1, 1, &negative) == NULL);
}

/* --- single bufferevents --------------------------------------------------------- */

static void open_limited(struct ctx *c, size_t rate, size_t burst) {
    struct ev_token_bucket_cfg *cfg = limits(rate, burst);

    start_clock();
    open_ctx(c, 0);
    CHECK_EQ(bufferevent_set_rate_limit(c->bev, cfg), 0);
    ev_token_bucket_cfg_free(cfg); /* the bufferevent keeps it */
}

TEST(reading_takes_the_rate_per_tick) {
    struct ctx c;

    open_limited(&c, 10, 20);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "0123456789012345678901234567890123456789");
    turns(c.base);
    CHECK_EQ(input_len(c.bev), 10);
    set_clock(0.999);
    turns(c.base);
    CHECK_EQ(input_len(c.bev), 10);
    set_clock(1);
    turns(c.base);
    CHECK_EQ(input_len(c.bev), 20);
    set_clock(2);
    turns(c.base);
    CHECK_EQ(input_len(c.bev), 30);
    CHECK_EQ(bufferevent_get_read_limit(c.bev), 0);
    close_ctx(&c);
}

TEST(burst_is_what_can_be_saved_up) {
    struct ctx c;

    open_limited(&c, 10, 25);
    bufferevent_enable(c.bev, EV_READ);
    set_clock(60);
    send_text(c.fds[1], "0123456789012345678901234567890123456789");
    turns(c.base);
    CHECK_EQ(input_len(c.bev), 25);
    close_ctx(&c);
}

TEST(writing_takes_the_rate_per_tick) {
    struct ctx c;

    open_limited(&c, 10, 20);
    bufferevent_write(c.bev, "0123456789012345678901234567890123456789", 40);
    turns(c.base);
    CHECK_EQ(waiting(c.fds[1]), 10);
    set_clock(1);
    turns(c.base);
    CHECK_EQ(waiting(c.fds[1]), 20);
    set_clock(2);
    turns(c.base);
    CHECK_EQ(waiting(c.fds[1]), 30);
    CHECK_EQ(c.told.writes, 0);
    set_clock(3);
    turns(c.base);
    CHECK_EQ(waiting(c.fds[1]), 40);
    CHECK_EQ(c.told.writes, 1);
    close_ctx(&c);
}

TEST(directions_have_buckets_of_their_own) {
    struct ctx c;

    open_limited(&c, 10, 10);
    bufferevent_enable(c.bev, EV_READ);
    bufferevent_write(c.bev, "0123456789x", 11);
    send_text(c.fds[1], "abc");
    turns(c.base);
    CHECK_EQ(input_len(c.bev), 3);
    CHECK_EQ(bufferevent_get_write_limit(c.bev), 0);
    CHECK_EQ(bufferevent_get_read_limit(c.bev), 7);
    close_ctx(&c);
}

TEST(loop_with_limits_that_hold_nobody_can_end) {
    struct bufferevent_rate_limit_group *group;
    struct ev_token_bucket_cfg *cfg = limits(10, 10);
    struct ctx c;

    open_limited(&c, 1000, 1000);
    group = bufferevent_rate_limit_group_new(c.base, cfg);
    CHECK_EQ(bufferevent_add_to_rate_limit_group(c.bev, group), 0);
    bufferevent_write(c.bev, "abc", 3);
    CHECK_EQ(event_base_dispatch(c.base), 1); /* no timer ticks */
    CHECK_EQ(waiting(c.fds[1]), 3);
    bufferevent_rate_limit_group_free(group);
    ev_token_bucket_cfg_free(cfg);
    close_ctx(&c);
}

TEST(read_timeout_does_not_run_while_the_limit_holds) {
    struct timeval five = {5, 0};
    struct ctx c;

    open_limited(&c, 10, 10);
    bufferevent_set_timeouts(c.bev, &five, NULL);
    bufferevent_enable(c.bev, EV_READ);
    bufferevent_decrement_read_limit(c.bev, 100); /* for ten seconds */
    set_clock(8);
    turns(c.base);
    CHECK_EQ(c.told.events, 0);
    set_clock(10);
    turns(c.base);
    set_clock(14);
    turns(c.base);
    CHECK_EQ(c.told.events, 0);
    set_clock(15);
    turns(c.base);
    CHECK_EQ(c.told.what, BEV_EVENT_READING | BEV_EVENT_TIMEOUT);
    close_ctx(&c);
}

TEST(limit_and_mark_hold_independently) {
    struct ctx c;

    open_limited(&c, 10, 10);
    bufferevent_setwatermark(c.bev, EV_READ, 0, 5);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "0123456789abcdef");
    turns(c.base);
    CHECK_EQ(input_len(c.bev), 5);
    bufferevent_decrement_read_limit(c.bev, 5); /* to nothing */
    evbuffer_drain(bufferevent_get_input(c.bev), 5);
    turns(c.base);
    CHECK_EQ(input_len(c.bev), 0);
    set_clock(1);
    turns(c.base);
    CHECK_EQ(input_len(c.bev), 5);
    close_ctx(&c);
}

static void free_it(struct bufferevent *bev, void *arg) {
    *(struct bufferevent **)arg = NULL;
    bufferevent_free(bev);
}

TEST(limited_bufferevent_may_be_freed_while_it_is_held) {
    struct ctx c;

    open_limited(&c, 3, 3);
    bufferevent_setcb(c.bev, free_it, NULL, NULL, &c.bev);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "abcdef");
    turns(c.base);
    CHECK(c.bev == NULL);
    set_clock(1);
    turns(c.base);
    c.bev = bufferevent_socket_new(c.base, -1, 0);
    close_ctx(&c);
}

TEST(held_bufferevent_outlives_its_base) {
    struct ctx c;

    open_limited(&c, 3, 3);
    bufferevent_enable(c.bev, EV_READ);
    bufferevent_decrement_read_limit(c.bev, 3);
    event_base_free(c.base);
    CHECK_EQ(bufferevent_set_rate_limit(c.bev, NULL), -1);
    CHECK_EQ(bufferevent_decrement_read_limit(c.bev, -3), 0);
    bufferevent_free(c.bev);
    close(c.fds[1]);
}

TEST(held_bufferevent_stays_on_its_base) {
    struct event_base *other = event_base_new();
    struct ctx c;

    open_limited(&c, 3, 3);
    bufferevent_decrement_read_limit(c.bev, 3);
    CHECK_EQ(bufferevent_base_set(other, c.bev), -1);
    CHECK_EQ(errno, EBUSY);
    bufferevent_decrement_read_limit(c.bev, -3);
    CHECK_EQ(bufferevent_base_set(other, c.bev), 0);
    bufferevent_enable(c.bev, EV_READ);
    send_text(c.fds[1], "abcdef");
    turns(other);
    CHECK_EQ(input_len(c.bev), 3);
    set_clock(1);
    turns(other);
    CHECK_EQ(input_len(c.bev), 6);
    close_ctx(&c);
    event_base_free(other);
}

TEST(nothing_can_be_taken_where_there_is_no_limit) {
    struct ctx c;

    open_ctx(&c, 0);
    CHECK_EQ(bufferevent_decrement_read_limit(c.bev, 1), -1);
    CHECK_EQ(bufferevent_decrement_write_limit(c.bev, 1), -1);
    close_ctx(&c);
}

/* --- other kinds ------------------------------------------------------------------ */

TEST(pair_moves_what_both_ends_may) {
    struct ev_token_bucket_cfg *slow = limits(3, 3), *fast = limits(5, 5);
    struct event_base *base = event_base_new();
    struct bufferevent *pair[2];

    start_clock();
    CHECK_EQ(bufferevent_pair_new(base, 0, pair), 0);
    CHECK_EQ(bufferevent_set_rate_limit(pair[0], fast), 0);
    CHECK_EQ(bufferevent_set_rate_limit(pair[1], slow), 0);
    bufferevent_enable(pair[1], EV_READ);
    bufferevent_write(pair[0], "0123456789", 10);
    turns(base);
    CHECK_EQ(input_len(pair[1]), 3);
    CHECK_EQ(bufferevent_get_write_limit(pair[0]), 2);
    set_clock(1);
    turns(base);
    CHECK_EQ(input_len(pair[1]), 6);
    set_clock(3);
    turns(base);
    CHECK_EQ(input_len(pair[1]), 9);
    bufferevent_free(pair[0]);
    bufferevent_free(pair[1]);
    event_base_free(base);
    ev_token_bucket_cfg_free(slow);
    ev_token_bucket_cfg_free(fast);
}

TEST(filter_is_limited_by_what_comes_through) {
    struct ev_token_bucket_cfg *cfg = limits(4, 4);
    struct bufferevent *filter;
    struct ctx c;

    start_clock();
    open_ctx(&c, 0);
    filter = bufferevent_filter_new(c.bev, NULL, NULL, BEV_OPT_CLOSE_ON_FREE, NULL, NULL);
    CHECK_EQ(bufferevent_set_rate_limit(filter, cfg), 0);
    bufferevent_enable(filter, EV_READ);
    send_text(c.fds[1], "0123456789");
    bufferevent_write(filter, "0123456789", 10);
    turns(c.base);
    CHECK_EQ(input_len(filter), 4);
    CHECK_EQ(waiting(c.fds[1]), 4);
    set_clock(1);
    turns(c.base);
    CHECK_EQ(input_len(filter), 8);
    CHECK_EQ(waiting(c.fds[1]), 8);
    set_clock(2);
    turns(c.base);
    CHECK_EQ(input_len(filter), 10);
    CHECK_EQ(waiting(c.fds[1]), 10);
    c.bev = filter;
    ev_token_bucket_cfg_free(cfg);
    close_ctx(&c);
}

/* --- groups ------------------------------------------------------------------------ */

#define MEMBERS 5

struct crowd {
    struct event_base *base;
    struct bufferevent_rate_limit_group *group;
    struct ctx of[MEMBERS];
};

static void open_crowd(struct crowd *w, size_t rate, size_t burst) {
    struct ev_token_bucket_cfg *cfg = limits(rate, burst);

    start_clock();
    memset(w, 0, sizeof(*w));
    w->base = event_base_new();
    w->group = bufferevent_rate_limit_group_new(w->base, cfg);
    CHECK(w->group != NULL);
    ev_token_bucket_cfg_free(cfg);
    for (int i = 0; i < MEMBERS; i++) {
        struct ctx *c = &w->of[i];

        make_pair(c->fds);
        c->base = w->base;
        c->bev = bufferevent_socket_new(w->base, c->fds[0], BEV_OPT_CLOSE_ON_FREE);
        bufferevent_setcb(c->bev, told_read, told_write, told_event, &c->told);
        CHECK_EQ(bufferevent_add_to_rate_limit_group(c->bev, w->group), 0);
        bufferevent_enable(c->bev, EV_READ);
    }
}

static void close_crowd(struct crowd *w) {
    for (int i = 0; i < MEMBERS; i++) {
        bufferevent_free(w->of[i].bev);
        close(w->of[i].fds[1]);
    }
    bufferevent_rate_limit_group_free(w->group);
    event_base_free(w->base);
}

static size_t total_input(const struct crowd *w) {
    size_t total = 0;

    for (int i = 0; i < MEMBERS; i++)
        total += input_len(w->of[i].bev);
    return total;
}

static void send_all(struct crowd *w, size_t n) {
    static char bytes[65536];

    for (int i = 0; i < MEMBERS; i++)
        CHECK_EQ(send(w->of[i].fds[1], bytes, n, 0), n);
}

TEST(group_reads_its_rate_per_tick_in_all) {
    struct crowd w;
    ev_uint64_t total;

    open_crowd(&w, 1000, 1000);
    send_all(&w, 5000);
    for (int s = 0; s < 10; s++) {
        set_clock(s);
        for (int i = 0; i < 10; i++)
            turn(w.base);
        /* one share, 64 bytes at least, may be too much */
        CHECK(total_input(&w) >= (size_t)(s + 1) * 1000);
        CHECK(total_input(&w) <= (size_t)(s + 1) * 1000 + 64);
    }
    bufferevent_rate_limit_group_get_totals(w.group, &total, NULL);
    CHECK_EQ(total, total_input(&w));
    close_crowd(&w);
}

TEST(group_writes_its_rate_per_tick_in_all) {
    static char bytes[1000];
    struct crowd w;
    long total = 0;

    open_crowd(&w, 100, 100);
    for (int i = 0; i < MEMBERS; i++)
        bufferevent_write(w.of[i].bev, bytes, sizeof(bytes));
    for (int s = 0; s < 10; s++) {
        set_clock(s);
        turns(w.base);
    }
    for (int i = 0; i < MEMBERS; i++)
        total += waiting(w.of[i].fds[1]);
    CHECK(total >= 1000 && total <= 1064);
    close_crowd(&w);
}

/* One member per tick; not the one that the backend names first, whichever that is. */
TEST(small_group_serves_all_members_in_turn) {
    static const char *const without[] = {"EVENT_NOTHING", "EVENT_NOEPOLL", "EVENT_NOPOLL"};

    for (int k = 0; k < 3; k++) {
        struct crowd w;

        CHECK_EQ(setenv(without[k], "1", 1), 0);
        open_crowd(&w, 64, 64);
        send_all(&w, 1000);
        for (int s = 0; s < 10 * MEMBERS; s++) {
            set_clock(s);
            turns(w.base);
        }
        for (int i = 0; i < MEMBERS; i++) {
            CHECK(input_len(w.of[i].bev) >= 5 * 64);
            CHECK(input_len(w.of[i].bev) <= 15 * 64);
        }
        close_crowd(&w);
    }
}

TEST(member_that_reads_alone_has_the_whole_limit) {
    struct crowd w;

    open_crowd(&w, 64, 64);
    CHECK_EQ(send(w.of[2].fds[1], (char[1000]){0}, 1000, 0), 1000);
    for (int s = 0; s < 5; s++) {
        set_clock(s);
        turns(w.base);
    }
    CHECK_EQ(input_len(w.of[2].bev), 5 * 64);
    close_crowd(&w);
}

TEST(least_share_of_nothing_still_moves_a_byte) {
    struct crowd w;

    open_crowd(&w, 1, 1);
    CHECK_EQ(bufferevent_rate_limit_group_set_min_share(w.group, 0), 0);
    send_all(&w, 10);
    turns(w.base);
    set_clock(1);
    turns(w.base);
    CHECK_EQ(total_input(&w), 2);
    close_crowd(&w);
}

TEST(new_member_of_an_empty_group_is_held) {
    struct crowd w;

    open_crowd(&w, 100, 100);
    bufferevent_remove_from_rate_limit_group(w.of[0].bev);
    bufferevent_rate_limit_group_decrement_read(w.group, 100);
    CHECK_EQ(bufferevent_add_to_rate_limit_group(w.of[0].bev, w.group), 0);
    send_all(&w, 10);
    turns(w.base);
    CHECK_EQ(total_input(&w), 0);
    set_clock(1);
    turns(w.base);
    CHECK_EQ(total_input(&w), 50);
    close_crowd(&w);
}

TEST(member_leaves_one_group_for_another) {
    struct ev_token_bucket_cfg *cfg = limits(7, 7);
    struct bufferevent_rate_limit_group *other;
    struct crowd w;

    open_crowd(&w, 100, 100);
    other = bufferevent_rate_limit_group_new(w.base, cfg);
    bufferevent_rate_limit_group_decrement_read(w.group, 100);
    CHECK_EQ(bufferevent_add_to_rate_limit_group(w.of[0].bev, other), 0);
    CHECK_EQ(pe_rate_group_count(w.group), MEMBERS - 1);
    send_all(&w, 10);
    turns(w.base);
    CHECK_EQ(input_len(w.of[0].bev), 7);
    CHECK_EQ(total_input(&w), 7);
    CHECK_EQ(bufferevent_add_to_rate_limit_group(w.of[0].bev, NULL), 0);
    CHECK_EQ(pe_rate_group_count(other), 0);
    bufferevent_rate_limit_group_free(other);
    ev_token_bucket_cfg_free(cfg);
    close_crowd(&w);
}

TEST(members_of_a_freed_group_go_on) {
    struct crowd w;

    open_crowd(&w, 100, 100);
    bufferevent_rate_limit_group_decrement_read(w.group, 1000);
    send_all(&w, 10);
    turns(w.base);
    CHECK_EQ(total_input(&w), 0);
    bufferevent_rate_limit_group_free(w.group);
    w.group = NULL;
    turns(w.base);
    CHECK_EQ(total_input(&w), 50);
    close_crowd(&w);
}

TEST(group_that_is_let_go_lives_with_its_members) {
    struct crowd w;

    open_crowd(&w, 100, 100);
    pe_rate_group_let_go(w.group);
    w.group = NULL;
    send_all(&w, 1000);
    turns(w.base);
    CHECK(total_input(&w) >= 100 && total_input(&w) <= 164);
    close_crowd(&w);
}

TEST(group_of_a_base_that_is_freed_limits_no_more) {
    struct crowd w;
    struct event_base *other = event_base_new();
    struct ev_token_bucket_cfg *cfg = limits(10, 10);
    struct bufferevent_rate_limit_group *group = bufferevent_rate_limit_group_new(other, cfg);

    open_crowd(&w, 1000, 1000);
    CHECK_EQ(bufferevent_add_to_rate_limit_group(w.of[0].bev, group), 0);
    send_all(&w, 50);
    turns(w.base);
    CHECK_EQ(input_len(w.of[0].bev), 10);
    event_base_free(other);
    turns(w.base);
    CHECK_EQ(input_len(w.of[0].bev), 50);
    bufferevent_rate_limit_group_free(group);
    ev_token_bucket_cfg_free(cfg);
    close_crowd(&w);
}

TEST(members_outlive_base_and_group) {
    struct crowd w;

    open_crowd(&w, 100, 100);
    bufferevent_rate_limit_group_decrement_read(w.group, 1000);
    event_base_free(w.base);
    w.base = NULL;
    close_crowd(&w);
}

static void drop_the_crowd(struct evbuffer *buf, const struct evbuffer_cb_info *info, void *arg) {
    struct bufferevent **all = arg;

    (void)buf;
    (void)info;
    for (int i = 0; i < 4; i++) {
        if (all[i] != NULL)
            bufferevent_free(all[i]);
        all[i] = NULL;
    }
}

/* Going on moves bytes between the ends of a pair, which calls out. */
TEST(members_may_be_freed_while_the_group_goes_on) {
    struct ev_token_bucket_cfg *cfg = limits(10, 10);
    struct event_base *base = event_base_new();
    struct bufferevent_rate_limit_group *group;
    struct bufferevent *all[4];

    start_clock();
    group = bufferevent_rate_limit_group_new(base, cfg);
    CHECK_EQ(bufferevent_pair_new(base, 0, all), 0);
    CHECK_EQ(bufferevent_pair_new(base, 0, all + 2), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(bufferevent_add_to_rate_limit_group(all[i], group), 0);
    bufferevent_rate_limit_group_decrement_read(group, 20);
    bufferevent_rate_limit_group_decrement_write(group, 20);
    for (int i = 0; i < 4; i++) {
        bufferevent_enable(all[i], EV_READ);
        bufferevent_write(all[i], "x", 1);
        evbuffer_add_cb(bufferevent_get_input(all[i]), drop_the_crowd, all);
    }
    set_clock(5);
    turns(base);
    CHECK(all[0] == NULL);
    bufferevent_rate_limit_group_free(group);
    ev_token_bucket_cfg_free(cfg);
    event_base_free(base);
}

/* --- memory -------------------------------------------------------------------------- */

TEST(limits_survive_every_failing_allocation) {
    start_clock();
    for (long n = 1;; n++) {
        struct bufferevent_rate_limit_group *group;
        struct ev_token_bucket_cfg *cfg;
        struct ctx c;

        fake_now = FIRST;
        open_ctx(&c, 0);
        pe_mem_fail_nth(n);
        cfg = ev_token_bucket_cfg_new(3, 3, 3, 3, NULL);
        group = cfg != NULL ? bufferevent_rate_limit_group_new(c.base, cfg) : NULL;
        if (cfg != NULL)
            (void)bufferevent_set_rate_limit(c.bev, cfg);
        if (group != NULL)
            (void)bufferevent_add_to_rate_limit_group(c.bev, group);
        bufferevent_enable(c.bev, EV_READ);
        send_text(c.fds[1], "0123456789");
        (void)bufferevent_write(c.bev, "0123456789", 10);
        for (int i = 0; i < 4; i++) {
            turns(c.base);
            fake_now += PE_NS_PER_SEC;
        }
        bufferevent_rate_limit_group_free(group);
        ev_token_bucket_cfg_free(cfg);
        close_ctx(&c);
        if (!pe_mem_has_failed())
            break;
        pe_mem_fail_nth(0);
    }
}
