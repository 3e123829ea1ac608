/* test_oom.c - memory runs out, once, at every single place in turn.
 *
 * Each test is a story that is told again and again: the first allocation
 * fails, then the second ..., until it gets through without a failure. What
 * fails has to say so (ENOMEM), to have changed nothing, and to succeed when it
 * is tried again; at the end everything has been given back.
 */
#include <signal.h>
#include <stdbool.h>

#include "each.h"
#include "event2/watch.h"
#include "loop/internal.h"
#include "loop/selfpipe.h"
#include "loop/stats.h"

#define ALL (EVENT_BASE_COUNT_ACTIVE | EVENT_BASE_COUNT_ADDED | EVENT_BASE_COUNT_VIRTUAL)

/* Tell `story` with each allocation failing in turn. */
static void tell(void (*story)(const char *backend), const char *backend) {
    long n = 0;
    int failed;

    do {
        CHECK(++n < 1000);
        pe_mem_fail_nth(n);
        story(backend);
        failed = pe_mem_has_failed();
        pe_mem_fail_nth(0);
        if (pe_mem_live_total() != 0)
            harness_fail(__FILE__, __LINE__, "allocation %ld failed: %ld blocks left", n,
                         pe_mem_live_total());
    } while (failed);
    CHECK(n > 1); /* there was something to fail */
}

#define TEST_OOM(name)                              \
    static void name##_story(const char *backend);  \
    TEST_EACH(name) {                               \
        tell(name##_story, backend);                \
    }                                               \
    static void name##_story(const char *backend)

/* A failure is allowed once, if it was for want of memory. */
static void check_enomem(void) {
    CHECK_EQ(errno, ENOMEM);
    CHECK(pe_mem_has_failed());
}

static struct event_base *sure_base(const char *backend) {
    struct event_base *base;

    for (int i = 0; i < 4; i++) {
        struct event_config *cfg = event_config_new();
        const char **names = event_get_supported_methods();
        int refused = 0;

        if (cfg == NULL) {
            check_enomem();
            continue;
        }
        for (int k = 0; names[k] != NULL; k++) {
            if (strcmp(names[k], backend) != 0 && event_config_avoid_method(cfg, names[k]) < 0)
                refused++;
        }
        base = refused == 0 ? event_base_new_with_config(cfg) : NULL;
        if (base == NULL)
            check_enomem();
        event_config_free(cfg);
        if (base != NULL)
            return base;
    }
    harness_fail(__FILE__, __LINE__, "no base");
}

static struct event *sure_event(struct event_base *base, int fd, short what, struct seen *seen) {
    struct event *ev = event_new(base, fd, what, see, seen);

    if (ev == NULL) {
        check_enomem();
        ev = event_new(base, fd, what, see, seen);
    }
    CHECK(ev != NULL);
    return ev;
}

static void sure_add(struct event *ev, const struct timeval *tv) {
    struct event_base *base = event_get_base(ev);
    short before = (short)event_pending(ev, 0xff, NULL);
    int count = event_base_get_num_events(base, ALL);

    if (event_add(ev, tv) == 0)
        return;
    check_enomem();
    CHECK_EQ(event_pending(ev, 0xff, NULL), before);
    CHECK_EQ(event_base_get_num_events(base, ALL), count);
    CHECK_EQ(event_add(ev, tv), 0);
}

static void turn_once(struct event_base *base) {
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY), 0);
}

/* --- stories -------------------------------------------------------------------------- */

TEST_OOM(a_base_comes_and_goes) {
    event_base_free(sure_base(backend));
}

TEST_OOM(priorities_are_there_or_stay_as_they_were) {
    struct event_base *base = sure_base(backend);

    if (event_base_priority_init(base, 7) < 0) {
        check_enomem();
        CHECK_EQ(event_base_get_npriorities(base), 1);
        CHECK_EQ(event_base_priority_init(base, 7), 0);
    }
    CHECK_EQ(event_base_get_npriorities(base), 7);
    event_base_free(base);
}

TEST_OOM(events_of_every_kind_are_added_or_not) {
    struct event_base *base = sure_base(backend);
    struct seen io = {0}, timer = {0}, sig = {0};
    struct event *ev[3];
    int p[2], far;

    open_pair(p);
    far = fcntl(p[0], F_DUPFD_CLOEXEC, 300); /* in a page of the fd map of its own */
    CHECK(far >= 300);
    ev[0] = sure_event(base, far, EV_READ, &io);
    ev[1] = sure_event(base, -1, 0, &timer);
    ev[2] = sure_event(base, SIGUSR1, EV_SIGNAL, &sig);
    sure_add(ev[0], MS(60000));
    sure_add(ev[1], MS(0));
    sure_add(ev[2], MS(60000));
    send_byte(p[1]);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(io.calls, 1);
    CHECK_EQ(io.what, EV_READ);
    CHECK_EQ(timer.calls, 1);
    CHECK_EQ(sig.calls, 1);
    CHECK_EQ(sig.what, EV_SIGNAL);
    for (int i = 0; i < 3; i++)
        event_free(ev[i]);
    event_base_free(base);
    close(far);
    close_pair(p);
}

TEST_OOM(the_arrays_grow_or_the_event_is_not_added) {
    enum { PAIRS = 40, TIMERS = 70 }; /* more than each array holds at first */
    struct event_base *base = sure_base(backend);
    static struct event *io[PAIRS], *timers[TIMERS];
    static int p[PAIRS][2];
    struct seen io_seen = {0}, timer_seen = {0};

    for (int i = 0; i < PAIRS; i++) {
        open_pair(p[i]);
        send_byte(p[i][1]);
        io[i] = sure_event(base, p[i][0], EV_READ, &io_seen);
        sure_add(io[i], NULL);
    }
    for (int i = 0; i < TIMERS; i++) {
        timers[i] = sure_event(base, -1, 0, &timer_seen);
        sure_add(timers[i], MS(0));
    }
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(io_seen.calls, PAIRS);
    CHECK_EQ(timer_seen.calls, TIMERS);
    for (int i = 0; i < PAIRS; i++) {
        event_free(io[i]);
        close_pair(p[i]);
    }
    for (int i = 0; i < TIMERS; i++)
        event_free(timers[i]);
    event_base_free(base);
}

TEST_OOM(a_one_shot_callback_is_called_once_or_refused) {
    struct event_base *base = sure_base(backend);
    struct seen seen = {0};
    int p[2], want = 0;

    open_pair(p);
    send_byte(p[1]);
    for (int i = 0; i < 3; i++) {
        int fd = i == 2 ? p[0] : -1;
        short what = i == 2 ? EV_READ : EV_TIMEOUT;
        const struct timeval *tv = i == 0 ? NULL : MS(1);

        want++;
        if (event_base_once(base, fd, what, see, &seen, tv) < 0) {
            check_enomem();
            want--;
        }
    }
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, want);
    CHECK(want >= 2);
    event_base_free(base);
    close_pair(p);
}

TEST_OOM(loopexit_works_or_says_that_it_does_not) {
    struct event_base *base = sure_base(backend);

    for (int i = 0; i < 2; i++) {
        const struct timeval *tv = i == 0 ? NULL : MS(1);

        if (event_base_loopexit(base, tv) < 0) {
            check_enomem();
            CHECK_EQ(event_base_loopexit(base, tv), 0);
        }
        CHECK_EQ(event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY), 0);
        CHECK(event_base_got_exit(base));
    }
    event_base_free(base);
}

TEST_OOM(what_was_added_during_the_wait_is_registered_in_the_end) {
    enum { PAIRS = 40 };
    struct event_base *base = sure_base(backend);
    static struct event *ev[PAIRS];
    static struct seen seen[PAIRS];
    static int p[PAIRS][2];

    memset(seen, 0, sizeof(seen));
    base->is_waiting = true; /* as seen by another thread */
    for (int i = 0; i < PAIRS; i++) {
        open_pair(p[i]);
        ev[i] = sure_event(base, p[i][0], EV_READ | EV_PERSIST, &seen[i]);
        sure_add(ev[i], NULL);
    }
    base->is_waiting = false;
    turn_once(base);
    turn_once(base);
    memset(seen, 0, sizeof(seen));
    for (int i = 0; i < PAIRS; i++)
        send_byte(p[i][1]);
    turn_once(base);
    for (int i = 0; i < PAIRS; i++) {
        CHECK_EQ(seen[i].calls, 1);
        event_free(ev[i]);
        close_pair(p[i]);
    }
    event_base_free(base);
}

static void ignore_log(int severity, const char *msg) {
    (void)severity;
    (void)msg;
}

TEST_OOM(a_stale_registration_is_got_rid_of_in_the_end) {
    struct event_base *base = sure_base(backend);
    struct seen seen = {0}, other_seen = {0};
    struct event *ev, *other;
    int p[2], q[2], copy;

    event_set_log_callback(ignore_log);
    open_pair(p);
    open_pair(q);
    ev = sure_event(base, p[0], EV_READ | EV_PERSIST, &seen);
    other = sure_event(base, q[0], EV_READ | EV_PERSIST, &other_seen);
    sure_add(ev, NULL);
    sure_add(other, NULL);
    turn_once(base);
    copy = dup(p[0]);
    CHECK(copy >= 0);
    event_free(ev);
    close(p[0]);
    send_byte(p[1]);
    for (int i = 0; i < 4; i++)
        turn_once(base);
    CHECK(!base->needs_rebuild);
    CHECK_EQ(base->backend.ops->wait(&base->backend, 0), 0); /* nothing reports any more */
    send_byte(q[1]);
    turn_once(base);
    CHECK_EQ(seen.calls, 0);
    CHECK_EQ(other_seen.calls, 1);
    event_free(other);
    event_base_free(base);
    close(copy);
    close(p[1]);
    close_pair(q);
    event_set_log_callback(NULL);
}

TEST_OOM(a_selfpipe_is_open_or_not) {
    struct event_base *base = sure_base(backend);
    int fd = pe_selfpipe_open(base, NULL, NULL);

    if (fd < 0) {
        CHECK_EQ(fd, -ENOMEM);
        fd = pe_selfpipe_open(base, NULL, NULL);
    }
    CHECK(fd >= 0);
    event_base_free(base);
}

static void destroy(void *value) {
    int *destroyed = value;

    ++*destroyed;
}

TEST_OOM(an_extension_is_set_or_not) {
    static char key;
    struct event_base *base = sure_base(backend);
    int destroyed = 0;

    if (pe_base_set_extension(base, &key, &destroyed, destroy) < 0) {
        CHECK(pe_base_extension(base, &key) == NULL);
        CHECK_EQ(pe_base_set_extension(base, &key, &destroyed, destroy), 0);
    }
    event_base_free(base);
    CHECK_EQ(destroyed, 1);
}

static void count_prepare(struct evwatch *watch, const struct evwatch_prepare_cb_info *info,
                          void *arg) {
    int *calls = arg;

    (void)watch;
    (void)info;
    ++*calls;
}

static void count_check(struct evwatch *watch, const struct evwatch_check_cb_info *info,
                        void *arg) {
    int *calls = arg;

    (void)watch;
    (void)info;
    ++*calls;
}

TEST_OOM(watchers_are_made_or_not) {
    struct event_base *base = sure_base(backend);
    int prepares = 0, checks = 0;

    if (evwatch_prepare_new(base, count_prepare, &prepares) == NULL) {
        check_enomem();
        CHECK(evwatch_prepare_new(base, count_prepare, &prepares) != NULL);
    }
    if (evwatch_check_new(base, count_check, &checks) == NULL) {
        check_enomem();
        CHECK(evwatch_check_new(base, count_check, &checks) != NULL);
    }
    turn_once(base);
    CHECK_EQ(prepares, 1);
    CHECK_EQ(checks, 1);
    event_base_free(base);
}

TEST_OOM(common_timeouts_are_there_or_not) {
    struct event_base *base = sure_base(backend);
    const struct timeval *tv;

    for (int i = 0; i < 3; i++) {
        tv = event_base_init_common_timeout(base, MS(i + 1));
        if (tv == NULL) {
            check_enomem();
            tv = event_base_init_common_timeout(base, MS(i + 1));
        }
        CHECK(tv != NULL);
        CHECK_EQ(tv->tv_usec, (i + 1) * 1000);
    }
    event_base_free(base);
}

TEST_OOM(statistics_begin_or_not) {
    struct event_base *base = sure_base(backend);
    int err = pe_stats_start(base);

    if (err < 0) {
        CHECK_EQ(err, -ENOMEM);
        CHECK(pe_stats_get(base) == NULL);
        CHECK_EQ(pe_stats_start(base), 0);
    }
    turn_once(base);
    CHECK_EQ(pe_stats_get(base)->turns, 1);
    event_base_free(base);
}

TEST_OOM(reinit_works_or_can_be_tried_again) {
    struct event_base *base = sure_base(backend);
    struct seen io = {0}, sig = {0};
    struct event *ev[2];
    int p[2];

    open_pair(p);
    ev[0] = sure_event(base, p[0], EV_READ | EV_PERSIST, &io);
    ev[1] = sure_event(base, SIGUSR1, EV_SIGNAL | EV_PERSIST, &sig);
    sure_add(ev[0], NULL);
    sure_add(ev[1], NULL);
    if (event_reinit(base) < 0) {
        check_enomem();
        CHECK_EQ(event_reinit(base), 0);
    }
    send_byte(p[1]);
    CHECK_EQ(raise(SIGUSR1), 0);
    turn_once(base);
    CHECK_EQ(io.calls, 1);
    CHECK_EQ(sig.calls, 1);
    for (int i = 0; i < 2; i++)
        event_free(ev[i]);
    event_base_free(base);
    close_pair(p);
}

static void finalized(struct event *ev, void *arg) {
    struct seen *seen = arg;

    (void)ev;
    seen->calls += 100;
}

/* What is called to give something back must not need memory itself. */
TEST_OOM(what_ends_something_cannot_fail) {
    struct event_base *base = sure_base(backend);
    struct seen seen = {0}, timer_seen = {0};
    struct event *ev, *timer;
    int p[2];

    open_pair(p);
    ev = sure_event(base, p[0], EV_READ | EV_PERSIST, &seen);
    timer = sure_event(base, -1, EV_PERSIST, &timer_seen);
    sure_add(ev, MS(60000));
    sure_add(timer, MS(1));
    event_active(timer, EV_TIMEOUT, 1);
    event_base_active_by_fd(base, p[0], EV_READ);
    CHECK_EQ(event_remove_timer(ev), 0);
    CHECK_EQ(event_base_loopcontinue(base), 0);
    CHECK_EQ(event_base_loopbreak(base), 0);
    turn_once(base);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(timer_seen.calls, 1);
    CHECK_EQ(event_del(timer), 0);
    event_free(timer);
    CHECK_EQ(event_free_finalize(0, ev, finalized), 0);
    turn_once(base);
    CHECK_EQ(seen.calls, 101);
    event_base_free(base);
    close_pair(p);
}
