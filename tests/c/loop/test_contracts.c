/* test_contracts.c - small promises of event2/event.h that no other file is about. */
#include <signal.h>

#include "base/clock.h"
#include "each.h"
#include "loop/internal.h"
#include "loop/stats.h"

static void take_one(evutil_socket_t fd, short what, void *arg) {
    int *calls = arg;

    (void)what;
    take_byte((int)fd);
    ++*calls;
}

TEST_EACH(nonblock_goes_on_until_nothing_is_ready_and_once_with_it_takes_one_batch) {
    struct event_base *base = base_on(backend);
    struct event *ev;
    int p[2], calls = 0;

    open_pair(p);
    ev = event_new(base, p[0], EV_READ | EV_PERSIST, take_one, &calls);
    CHECK_EQ(event_add(ev, NULL), 0);
    for (int i = 0; i < 5; i++)
        send_byte(p[1]);
    CHECK_EQ(event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK), 0);
    CHECK_EQ(calls, 1);
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 0);
    CHECK_EQ(calls, 5);
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 0);
    CHECK_EQ(calls, 5);
    event_free(ev);
    event_base_free(base);
    close_pair(p);
}

TEST(a_dispatch_limit_holds_for_priority_zero_only_when_told) {
    for (int min_priority = 0; min_priority < 2; min_priority++) {
        struct event_config *cfg = event_config_new();
        struct event_base *base;
        struct event *ev[6];
        struct seen seen = {0};

        CHECK(cfg != NULL);
        CHECK_EQ(event_config_set_max_dispatch_interval(cfg, NULL, 2, min_priority), 0);
        base = event_base_new_with_config(cfg);
        event_config_free(cfg);
        CHECK(base != NULL);
        CHECK_EQ(pe_stats_start(base), 0);
        for (int i = 0; i < 6; i++) {
            ev[i] = event_new(base, -1, 0, see, &seen);
            event_active(ev[i], EV_TIMEOUT, 1);
        }
        CHECK_EQ(event_base_dispatch(base), 1);
        CHECK_EQ(seen.calls, 6);
        CHECK_EQ(pe_stats_get(base)->most_callbacks, min_priority == 0 ? 2 : 6);
        for (int i = 0; i < 6; i++)
            event_free(ev[i]);
        event_base_free(base);
    }
}

static int64_t clock_now;

static int64_t clock_that_steps(void) {
    return clock_now += PE_NS_PER_SEC;
}

static void read_time_twice(evutil_socket_t fd, short what, void *arg) {
    struct event_base *base = arg;
    int64_t first = pe_base_now(base), second = pe_base_now(base);

    (void)fd;
    (void)what;
    CHECK_EQ(second - first, base->keeps_fresh_time ? PE_NS_PER_SEC : 0);
}

TEST(without_a_time_cache_each_look_at_the_clock_is_a_new_one) {
    for (int flag = 0; flag <= EVENT_BASE_FLAG_NO_CACHE_TIME; flag += EVENT_BASE_FLAG_NO_CACHE_TIME) {
        struct event_config *cfg = event_config_new();
        struct event_base *base;

        CHECK(cfg != NULL);
        CHECK_EQ(event_config_set_flag(cfg, flag), 0);
        base = event_base_new_with_config(cfg);
        event_config_free(cfg);
        CHECK(base != NULL);
        clock_now = 1;
        pe_clock_set_source(clock_that_steps);
        CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, read_time_twice, base, NULL), 0);
        CHECK_EQ(event_base_dispatch(base), 1);
        pe_clock_set_source(NULL);
        event_base_free(base);
    }
}

TEST(an_event_needs_a_base) {
    struct event ev;

    memset(&ev, 0, sizeof(ev));
    errno = 0;
    CHECK(event_new(NULL, -1, 0, see, NULL) == NULL);
    CHECK_EQ(errno, EINVAL);
    CHECK_EQ(event_assign(&ev, NULL, -1, 0, see, NULL), -1);
    CHECK(!event_initialized(&ev));
}

TEST(signals_are_caught_by_handlers_and_counted_whatever_the_flags) {
    struct event_config *cfg = event_config_new();
    struct event_base *base;
    struct seen seen = {0};
    struct event *ev;

    CHECK(cfg != NULL);
    CHECK_EQ(event_config_set_flag(cfg, EVENT_BASE_FLAG_USE_SIGNALFD), 0);
    base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    CHECK(base != NULL);
    CHECK_STR(event_base_get_signal_method(base), "sigaction");
    ev = evsignal_new(base, SIGUSR1, see, &seen);
    CHECK_EQ(event_add(ev, NULL), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(raise(SIGUSR1), 0); /* a signalfd would tell of one */
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 0);
    CHECK_EQ(seen.calls, 3);
    event_free(ev);
    event_base_free(base);
}
