/* test_timer.c - timeouts: never early, in order, without drift.
 *
 * Most tests run on a clock of their own, which moves only when told to; the
 * loop then never waits. Those that are about waiting use the real clock.
 */
#include <limits.h>
#include <stdlib.h>

#include "base/clock.h"
#include "each.h"
#include "event2/event_struct.h"
#include "loop/base.h"
#include "loop/epoll.h"

/* --- a clock that stands still ------------------------------------------------- */

static int64_t fake_now;

static int64_t fake_clock(void) {
    return fake_now;
}

static struct event_base *base_with_fake_clock(const char *backend) {
    fake_now = 1000 * PE_NS_PER_SEC;
    pe_clock_set_source(fake_clock);
    return base_on(backend);
}

static void end_fake_clock(struct event_base *base) {
    event_base_free(base);
    pe_clock_set_source(NULL);
}

/* Let time pass, then run what is due. */
static void pass_us(struct event_base *base, int64_t us) {
    fake_now += us * PE_NS_PER_US;
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY), 0);
}

static void pass_ms(struct event_base *base, int64_t ms) {
    pass_us(base, ms * 1000);
}

static struct event *timer(struct event_base *base, short what, struct seen *seen) {
    struct event *ev = event_new(base, -1, what, see, seen);

    CHECK(ev != NULL);
    return ev;
}

TEST_EACH(a_timer_fires_when_its_time_has_passed_and_not_before) {
    struct event_base *base = base_with_fake_clock(backend);
    struct seen seen = {0};
    struct event *ev = timer(base, 0, &seen);

    CHECK_EQ(event_add(ev, US(1500)), 0);
    CHECK_EQ(event_pending(ev, EV_TIMEOUT, NULL), EV_TIMEOUT);
    pass_us(base, 1499);
    CHECK_EQ(seen.calls, 0);
    pass_us(base, 1);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(seen.what, EV_TIMEOUT);
    CHECK_EQ(seen.fd, -1);
    CHECK_EQ(event_pending(ev, EV_TIMEOUT, NULL), 0);
    pass_us(base, 10000);
    CHECK_EQ(seen.calls, 1);
    event_free(ev);
    end_fake_clock(base);
}

static char order[16];

static void note(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    strcat(order, arg);
}

TEST_EACH(equal_deadlines_fire_in_the_order_of_adding) {
    static char *names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    struct event_base *base = base_with_fake_clock(backend);
    struct event *ev[8];

    order[0] = '\0';
    for (int i = 0; i < 8; i++) {
        ev[i] = event_new(base, -1, 0, note, names[i]);
        CHECK_EQ(event_add(ev[i], MS(5)), 0);
    }
    CHECK_EQ(event_add(ev[2], MS(5)), 0); /* again: now it is the last */
    pass_ms(base, 5);
    CHECK_STR(order, "abdefghc");
    for (int i = 0; i < 8; i++)
        event_free(ev[i]);
    end_fake_clock(base);
}

enum { MANY = 1000 };
static int64_t due[MANY];
static int64_t last_due;
static int fired;

static void check_order(evutil_socket_t fd, short what, void *arg) {
    const int64_t *mine = arg;

    (void)fd;
    (void)what;
    CHECK(*mine >= last_due);
    CHECK(*mine <= fake_now);
    last_due = *mine;
    fired++;
}

TEST_EACH(a_thousand_timers_fire_in_the_order_of_their_deadlines) {
    struct event_base *base = base_with_fake_clock(backend);
    static struct event *ev[MANY];

    srand(1);
    last_due = 0;
    fired = 0;
    for (int i = 0; i < MANY; i++) {
        int us = rand() % 10000;

        due[i] = fake_now + us * PE_NS_PER_US;
        ev[i] = event_new(base, -1, 0, check_order, &due[i]);
        CHECK_EQ(event_add(ev[i], US(us)), 0);
    }
    for (int i = 0; i < MANY; i += 3)
        CHECK_EQ(event_del(ev[i]), 0);
    for (int i = 0; i < 10; i++)
        pass_ms(base, 1);
    CHECK_EQ(fired, MANY - (MANY + 2) / 3);
    for (int i = 0; i < MANY; i++)
        event_free(ev[i]);
    end_fake_clock(base);
}

TEST_EACH(a_persistent_timer_does_not_drift) {
    struct event_base *base = base_with_fake_clock(backend);
    struct seen seen = {0};
    struct event *ev = timer(base, EV_PERSIST, &seen);

    CHECK_EQ(event_add(ev, MS(100)), 0);
    pass_ms(base, 130); /* 30 late: the next is due at 200 all the same */
    CHECK_EQ(seen.calls, 1);
    pass_ms(base, 69);
    CHECK_EQ(seen.calls, 1);
    pass_ms(base, 1);
    CHECK_EQ(seen.calls, 2);
    pass_ms(base, 100);
    CHECK_EQ(seen.calls, 3);
    event_free(ev);
    end_fake_clock(base);
}

/* By hand, for its timeout, which has not come: at once, in the middle, in its callback. */
TEST_EACH(a_persistent_timer_made_active_by_hand_keeps_its_schedule) {
    struct event_base *base = base_with_fake_clock(backend);
    struct seen seen = {0};
    struct event *ev = timer(base, EV_PERSIST, &seen);
    struct timeval at, now;

    CHECK_EQ(event_add(ev, MS(100)), 0);
    event_active(ev, EV_TIMEOUT, 1);
    pass_ms(base, 0);
    CHECK_EQ(seen.calls, 1);
    pass_ms(base, 99);
    CHECK_EQ(seen.calls, 1);
    pass_ms(base, 1);
    CHECK_EQ(seen.calls, 2);
    pass_ms(base, 50);
    event_active(ev, EV_TIMEOUT, 1);
    pass_ms(base, 0);
    CHECK_EQ(seen.calls, 3);
    CHECK_EQ(event_pending(ev, EV_TIMEOUT, &at), EV_TIMEOUT);
    CHECK_EQ(gettimeofday(&now, NULL), 0);
    evutil_timersub(&at, &now, &at);
    CHECK(at.tv_sec == 0 && at.tv_usec <= 50000);
    pass_ms(base, 49);
    CHECK_EQ(seen.calls, 3);
    event_active(ev, EV_TIMEOUT, 1); /* and its time comes in the same turn: one call */
    pass_ms(base, 1);
    CHECK_EQ(seen.calls, 4);
    pass_ms(base, 99);
    CHECK_EQ(seen.calls, 4);
    pass_ms(base, 1);
    CHECK_EQ(seen.calls, 5);
    event_free(ev);
    end_fake_clock(base);
}

TEST_EACH(missed_ticks_are_dropped) {
    struct event_base *base = base_with_fake_clock(backend);
    struct seen seen = {0};
    struct event *ev = timer(base, EV_PERSIST, &seen);

    CHECK_EQ(event_add(ev, MS(100)), 0);
    pass_ms(base, 1030);
    CHECK_EQ(seen.calls, 1); /* one for ten */
    pass_ms(base, 99);
    CHECK_EQ(seen.calls, 1);
    pass_ms(base, 1); /* counted from the one that ran */
    CHECK_EQ(seen.calls, 2);
    event_free(ev);
    end_fake_clock(base);
}

TEST_EACH(readiness_starts_a_persistent_timeout_anew) {
    struct event_base *base = base_with_fake_clock(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    open_pair(p);
    ev = event_new(base, p[0], EV_READ | EV_PERSIST, see, &seen);
    CHECK_EQ(event_add(ev, MS(100)), 0);
    send_byte(p[1]);
    pass_ms(base, 60);
    CHECK_EQ(seen.what, EV_READ);
    take_byte(p[0]);
    pass_ms(base, 99);
    CHECK_EQ(seen.calls, 1);
    pass_ms(base, 1);
    CHECK_EQ(seen.calls, 2);
    CHECK_EQ(seen.what, EV_TIMEOUT);
    pass_ms(base, 100);
    CHECK_EQ(seen.calls, 3);
    event_free(ev);
    end_fake_clock(base);
    close_pair(p);
}

TEST_EACH(a_persistent_event_with_a_zero_timeout_times_out_once) {
    struct event_base *base = base_with_fake_clock(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    open_pair(p);
    ev = event_new(base, p[0], EV_READ | EV_PERSIST, see, &seen);
    CHECK_EQ(event_add(ev, MS(0)), 0);
    pass_ms(base, 0);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(seen.what, EV_TIMEOUT);
    pass_ms(base, 1000);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(event_pending(ev, EV_READ | EV_TIMEOUT, NULL), EV_READ);
    event_free(ev);
    end_fake_clock(base);
    close_pair(p);
}

TEST_EACH(without_persist_a_timeout_ends_the_waiting_for_readiness_too) {
    struct event_base *base = base_with_fake_clock(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    open_pair(p);
    ev = event_new(base, p[0], EV_READ, see, &seen);
    CHECK_EQ(event_add(ev, MS(10)), 0);
    pass_ms(base, 10);
    CHECK_EQ(seen.what, EV_TIMEOUT);
    CHECK_EQ(event_pending(ev, EV_READ | EV_TIMEOUT, NULL), 0);
    CHECK_EQ(event_add(ev, MS(10)), 0);
    send_byte(p[1]);
    pass_ms(base, 1);
    CHECK_EQ(seen.what, EV_READ);
    CHECK_EQ(event_pending(ev, EV_READ | EV_TIMEOUT, NULL), 0);
    pass_ms(base, 100);
    CHECK_EQ(seen.calls, 2);
    event_free(ev);
    end_fake_clock(base);
    close_pair(p);
}

/* --- adding again, taking away ---------------------------------------------------- */

TEST_EACH(adding_again_replaces_a_timeout_and_null_leaves_it) {
    struct event_base *base = base_with_fake_clock(backend);
    struct seen seen = {0};
    struct event *ev = timer(base, 0, &seen);

    CHECK_EQ(event_add(ev, MS(50)), 0);
    CHECK_EQ(event_add(ev, MS(20)), 0);
    pass_ms(base, 20);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(event_add(ev, MS(20)), 0);
    CHECK_EQ(event_add(ev, MS(50)), 0);
    pass_ms(base, 49);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(event_add(ev, NULL), 0);
    pass_ms(base, 1);
    CHECK_EQ(seen.calls, 2);
    event_free(ev);
    end_fake_clock(base);
}

static struct event *victim;

static void readd_victim(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    CHECK_EQ(event_pending(victim, EV_TIMEOUT, NULL), EV_TIMEOUT);
    CHECK_EQ(event_add(victim, arg), 0);
}

TEST_EACH(a_new_timeout_takes_back_an_activation_by_the_old) {
    struct event_base *base = base_with_fake_clock(backend);
    struct seen seen = {0};
    struct event *first;

    victim = timer(base, 0, &seen);
    first = event_new(base, -1, 0, readd_victim, MS(30));
    CHECK_EQ(event_add(first, MS(10)), 0);
    CHECK_EQ(event_add(victim, MS(10)), 0);
    pass_ms(base, 10); /* both are due; the first adds the second again */
    CHECK_EQ(seen.calls, 0);
    pass_ms(base, 29);
    CHECK_EQ(seen.calls, 0);
    pass_ms(base, 1);
    CHECK_EQ(seen.calls, 1);
    event_free(first);
    event_free(victim);
    end_fake_clock(base);
}

TEST_EACH(adding_without_a_timeout_leaves_an_activation_alone) {
    struct event_base *base = base_with_fake_clock(backend);
    struct seen seen = {0};
    struct event *first;

    victim = timer(base, 0, &seen);
    first = event_new(base, -1, 0, readd_victim, NULL);
    CHECK_EQ(event_add(first, MS(10)), 0);
    CHECK_EQ(event_add(victim, MS(10)), 0);
    pass_ms(base, 10);
    CHECK_EQ(seen.calls, 1);
    event_free(first);
    event_free(victim);
    end_fake_clock(base);
}

TEST_EACH(remove_timer_drops_the_timeout_and_nothing_else) {
    struct event_base *base = base_with_fake_clock(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    open_pair(p);
    ev = event_new(base, p[0], EV_READ | EV_PERSIST, see, &seen);
    CHECK_EQ(event_add(ev, MS(10)), 0);
    CHECK_EQ(event_remove_timer(ev), 0);
    CHECK_EQ(event_remove_timer(ev), 0);
    CHECK_EQ(event_pending(ev, EV_READ | EV_TIMEOUT, NULL), EV_READ);
    pass_ms(base, 100);
    CHECK_EQ(seen.calls, 0);
    send_byte(p[1]);
    pass_ms(base, 0);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(event_pending(ev, EV_READ | EV_TIMEOUT, NULL), EV_READ); /* not armed by it */
    event_free(ev);
    end_fake_clock(base);
    close_pair(p);
}

TEST_EACH(del_forgets_the_interval) {
    struct event_base *base = base_with_fake_clock(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    open_pair(p);
    send_byte(p[1]);
    ev = event_new(base, p[0], EV_READ | EV_PERSIST, see, &seen);
    CHECK_EQ(event_add(ev, MS(10)), 0);
    CHECK_EQ(event_del(ev), 0);
    CHECK_EQ(event_add(ev, NULL), 0);
    pass_ms(base, 0);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(event_pending(ev, EV_READ | EV_TIMEOUT, NULL), EV_READ);
    CHECK_EQ(event_del(ev), 0);
    event_active(ev, EV_READ, 1); /* activating does not add */
    pass_ms(base, 0);
    CHECK_EQ(seen.calls, 2);
    CHECK_EQ(event_pending(ev, EV_READ | EV_TIMEOUT, NULL), 0);
    event_free(ev);
    end_fake_clock(base);
    close_pair(p);
}

TEST_EACH(a_deleted_timer_stays_silent) {
    struct event_base *base = base_with_fake_clock(backend);
    struct seen seen = {0};
    struct event *ev = timer(base, EV_PERSIST, &seen);

    CHECK_EQ(event_add(ev, MS(10)), 0);
    pass_ms(base, 10);
    CHECK_EQ(event_del(ev), 0);
    CHECK_EQ(event_del(ev), 0);
    pass_ms(base, 1000);
    CHECK_EQ(seen.calls, 1);
    event_free(ev);
    end_fake_clock(base);
}

/* --- in callbacks ------------------------------------------------------------------ */

static void free_arg(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    fired++;
    event_free(arg);
}

TEST_EACH(an_event_may_be_freed_in_its_own_callback) {
    struct event_base *base = base_with_fake_clock(backend);
    struct event *once = event_new(base, -1, 0, free_arg, event_self_cbarg());
    struct event *often = event_new(base, -1, EV_PERSIST, free_arg, event_self_cbarg());

    fired = 0;
    CHECK_EQ(event_add(once, MS(1)), 0);
    CHECK_EQ(event_add(often, MS(1)), 0);
    pass_ms(base, 1);
    CHECK_EQ(fired, 2);
    CHECK_EQ(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
    end_fake_clock(base);
}

static void release_memory(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    fired++;
    free(arg); /* idle again before its callback: needs no event_del */
}

TEST_EACH(memory_of_an_event_without_persist_may_go_in_its_callback) {
    struct event_base *base = base_with_fake_clock(backend);
    struct event *ev = malloc(sizeof(*ev));

    CHECK(ev != NULL);
    fired = 0;
    CHECK_EQ(event_assign(ev, base, -1, 0, release_memory, ev), 0);
    CHECK_EQ(event_add(ev, MS(1)), 0);
    pass_ms(base, 1);
    CHECK_EQ(fired, 1);
    end_fake_clock(base);
}

static void add_again_at_once(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    fired++;
    CHECK_EQ(event_add(arg, MS(0)), 0);
}

TEST_EACH(a_timer_that_adds_itself_for_now_runs_once_a_turn) {
    struct event_base *base = base_with_fake_clock(backend);
    struct event *ev = event_new(base, -1, 0, add_again_at_once, event_self_cbarg());

    fired = 0;
    CHECK_EQ(event_add(ev, MS(0)), 0);
    for (int i = 1; i <= 3; i++) {
        pass_ms(base, 0);
        CHECK_EQ(fired, i);
    }
    event_free(ev);
    end_fake_clock(base);
}

/* --- values ------------------------------------------------------------------------- */

TEST_EACH(strange_timeouts_are_understood) {
    struct event_base *base = base_with_fake_clock(backend);
    struct timeval negative = {-1, 0}, under = {0, -1}, carried = {0, 1500000};
    struct timeval endless = {LONG_MAX, 999999};
    struct seen seen = {0};
    struct event *ev = timer(base, 0, &seen);

    CHECK_EQ(event_add(ev, &endless), 0);
    pass_ms(base, 1000LL * 3600 * 24 * 365 * 50);
    CHECK_EQ(seen.calls, 0);
    CHECK_EQ(event_add(ev, &carried), 0);
    pass_us(base, 1499999);
    CHECK_EQ(seen.calls, 0);
    pass_us(base, 1);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(event_add(ev, &negative), 0); /* what is left of a time that has passed */
    pass_us(base, 0);
    CHECK_EQ(seen.calls, 2);
    CHECK_EQ(event_add(ev, &under), 0);
    pass_us(base, 0);
    CHECK_EQ(seen.calls, 3);
    event_free(ev);
    end_fake_clock(base);
}

TEST_EACH(pending_tells_when_it_will_be) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = timer(base, 0, &seen);
    struct timeval before, after, at;

    CHECK_EQ(gettimeofday(&before, NULL), 0);
    CHECK_EQ(event_add(ev, MS(60000)), 0);
    CHECK_EQ(event_pending(ev, EV_TIMEOUT, &at), EV_TIMEOUT);
    CHECK_EQ(gettimeofday(&after, NULL), 0);
    CHECK(at.tv_sec >= before.tv_sec + 59 && at.tv_sec <= after.tv_sec + 61);
    event_free(ev);
    event_base_free(base);
}

/* The clock stands still, so that there is one right answer. */
TEST_EACH(pending_tells_no_microsecond_too_much) {
    struct event_base *base = base_with_fake_clock(backend);
    struct event *ev = timer(base, 0, NULL);
    struct timeval before, after, at;

    fake_now += 123;
    for (int i = 0; i < 1000; i++) {
        CHECK_EQ(gettimeofday(&before, NULL), 0);
        CHECK_EQ(event_add(ev, US(5000001)), 0);
        CHECK_EQ(event_pending(ev, EV_TIMEOUT, &at), EV_TIMEOUT);
        CHECK_EQ(gettimeofday(&after, NULL), 0);
        evutil_timersub(&at, US(5000001), &at);
        CHECK(evutil_timercmp(&before, &at, <=) && evutil_timercmp(&at, &after, <=));
    }
    event_free(ev);
    end_fake_clock(base);
}

/* --- the real clock ------------------------------------------------------------------- */

static void check_not_early(evutil_socket_t fd, short what, void *arg) {
    const int64_t *mine = arg;

    (void)fd;
    (void)what;
    CHECK(pe_clock_now() >= *mine);
    fired++;
}

static void wait_for_real(const char *backend) {
    static const int lengths[] = {0, 1, 70, 999, 1000, 1001, 2500, 9999};
    enum { N = sizeof(lengths) / sizeof(lengths[0]) };
    struct event_base *base = base_on(backend);
    struct event *ev[N];
    int64_t at[N];

    fired = 0;
    for (int i = 0; i < N; i++) {
        ev[i] = event_new(base, -1, 0, check_not_early, &at[i]);
        at[i] = pe_clock_now() + lengths[i] * PE_NS_PER_US;
        CHECK_EQ(event_add(ev[i], US(lengths[i])), 0);
    }
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(fired, N);
    for (int i = 0; i < N; i++)
        event_free(ev[i]);
    event_base_free(base);
}

TEST_EACH(no_timer_is_early_on_the_real_clock) {
    wait_for_real(backend);
    pe_epoll_forbid_pwait2(true);
    wait_for_real(backend);
    pe_epoll_forbid_pwait2(false);
}

static int waits;

static void count_wait(void *arg) {
    (void)arg;
    waits++;
}

TEST_EACH(a_timer_costs_one_wait) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = timer(base, 0, &seen);

    for (int i = 0; i < 2; i++) {
        pe_epoll_forbid_pwait2(i == 1);
        waits = 0;
        event_base_set_wait_hooks(base, count_wait, count_wait, NULL);
        CHECK_EQ(event_add(ev, US(2345)), 0);
        CHECK_EQ(event_base_dispatch(base), 1);
        CHECK_EQ(seen.calls, i + 1);
        CHECK_EQ(waits, 2); /* before and after */
    }
    pe_epoll_forbid_pwait2(false);
    event_free(ev);
    event_base_free(base);
}

static void check_cached_time(evutil_socket_t fd, short what, void *arg) {
    struct timeval first, second, renewed;
    int64_t start = pe_clock_now();

    (void)fd;
    (void)what;
    CHECK_EQ(event_base_gettimeofday_cached(arg, &first), 0);
    while (pe_clock_now() < start + 5 * PE_NS_PER_MS)
        continue;
    CHECK_EQ(event_base_gettimeofday_cached(arg, &second), 0);
    CHECK((second.tv_sec - first.tv_sec) * 1000000 + second.tv_usec - first.tv_usec < 4000);
    CHECK_EQ(event_base_update_cache_time(arg), 0);
    CHECK_EQ(event_base_gettimeofday_cached(arg, &renewed), 0);
    CHECK((renewed.tv_sec - first.tv_sec) * 1000000 + renewed.tv_usec - first.tv_usec >= 4900);
    fired++;
}

TEST_EACH(callbacks_see_the_time_of_the_wake_up) {
    struct event_base *base = base_on(backend);

    fired = 0;
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, check_cached_time, base, MS(1)), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(fired, 1);
    event_base_free(base);
}

static struct event *set_in_callback[2];

static void compute_and_set(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    CHECK_EQ(event_add(set_in_callback[0], MS(10)), 0);
    fake_now += 10 * PE_NS_PER_MS;
    CHECK_EQ(event_add(set_in_callback[0], MS(10)), 0); /* the clock is not asked again */
    CHECK_EQ(event_base_update_cache_time(arg), 0);
    CHECK_EQ(event_add(set_in_callback[1], MS(10)), 0);
}

TEST_EACH(a_timeout_set_in_a_callback_counts_from_the_wake_up) {
    struct event_base *base = base_with_fake_clock(backend);
    struct seen seen[2] = {{0}, {0}};

    for (int i = 0; i < 2; i++)
        set_in_callback[i] = timer(base, 0, &seen[i]);
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, compute_and_set, base, NULL), 0);
    pass_ms(base, 0);
    pass_ms(base, 0);
    CHECK_EQ(seen[0].calls, 1);
    CHECK_EQ(seen[1].calls, 0);
    pass_ms(base, 9);
    CHECK_EQ(seen[1].calls, 0);
    pass_ms(base, 1);
    CHECK_EQ(seen[1].calls, 1);
    for (int i = 0; i < 2; i++)
        event_free(set_in_callback[i]);
    end_fake_clock(base);
}

/* --- pe_timer --------------------------------------------------------------------------- */

static int inner_fired;

static void inner_fire(struct event_base *base, struct pe_timer *t) {
    (void)base;
    CHECK(!pe_timer_is_set(t));
    inner_fired++;
}

TEST_EACH(an_inner_timer_can_be_set_moved_and_cancelled) {
    struct event_base *base = base_with_fake_clock(backend);
    struct pe_timer t;

    inner_fired = 0;
    pe_timer_init(&t, inner_fire);
    pe_timer_cancel(base, &t);
    CHECK_EQ(pe_timer_set(base, &t, fake_now + 10 * PE_NS_PER_MS), 0);
    CHECK_EQ(pe_timer_set(base, &t, fake_now + 20 * PE_NS_PER_MS), 0);
    pass_ms(base, 19);
    CHECK_EQ(inner_fired, 0);
    pass_ms(base, 1);
    CHECK_EQ(inner_fired, 1);
    CHECK_EQ(pe_timer_set(base, &t, fake_now), 0);
    pe_timer_cancel(base, &t);
    pass_ms(base, 1);
    CHECK_EQ(inner_fired, 1);
    CHECK_EQ(pe_timer_set(base, &t, fake_now), 0);
    end_fake_clock(base);
    CHECK(!pe_timer_is_set(&t)); /* freeing the base took it out */
}
