/* parity_signal.c - signals: what holds for pyevent and for libevent alike.
 *
 * Only event2/ headers: the same file is compiled against both. One base at a
 * time has signals here, since libevent serves only one.
 */
#include <signal.h>
#include <sys/time.h>

#include "each.h"

static void run_caught(struct event_base *base) {
    CHECK(event_base_loop(base, EVLOOP_NONBLOCK) >= 0);
}

TEST_EACH(each_signal_caught_is_a_call) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = evsignal_new(base, SIGUSR1, see, &seen);

    CHECK(ev != NULL);
    CHECK_EQ(event_get_signal(ev), SIGUSR1);
    CHECK_EQ(evsignal_add(ev, NULL), 0);
    CHECK_EQ(evsignal_pending(ev, NULL), EV_SIGNAL);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(raise(SIGUSR1), 0);
    run_caught(base);
    CHECK_EQ(seen.calls, 3);
    CHECK_EQ(seen.fd, SIGUSR1);
    CHECK_EQ(seen.what, EV_SIGNAL);
    CHECK_EQ(evsignal_del(ev), 0);
    event_free(ev);
    event_base_free(base);
}

TEST_EACH(all_events_of_a_signal_are_called) {
    struct event_base *base = base_on(backend);
    struct seen a = {0}, b = {0}, c = {0};
    struct event *ev[3];

    ev[0] = evsignal_new(base, SIGUSR1, see, &a);
    ev[1] = evsignal_new(base, SIGUSR1, see, &b);
    ev[2] = evsignal_new(base, SIGUSR2, see, &c);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(event_add(ev[i], NULL), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(raise(SIGUSR2), 0);
    run_caught(base);
    CHECK_EQ(a.calls, 1);
    CHECK_EQ(b.calls, 1);
    CHECK_EQ(c.calls, 1);
    for (int i = 0; i < 3; i++)
        event_free(ev[i]);
    event_base_free(base);
}

TEST_EACH(an_event_without_persist_gets_one_delivery) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = event_new(base, SIGUSR1, EV_SIGNAL, see, &seen);

    CHECK_EQ(event_add(ev, NULL), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(event_pending(ev, EV_SIGNAL, NULL), 0);
    event_free(ev);
    event_base_free(base);
}

static volatile sig_atomic_t own_calls;

static void own_handler(int signo) {
    (void)signo;
    own_calls = own_calls + 1;
}

TEST_EACH(the_handler_found_comes_back) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *a = evsignal_new(base, SIGUSR1, see, &seen);
    struct event *b = evsignal_new(base, SIGUSR1, see, &seen);
    struct sigaction action = {.sa_handler = own_handler}, now;

    own_calls = 0;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQ(event_add(a, NULL), 0);
    CHECK_EQ(event_add(b, NULL), 0);
    CHECK_EQ(event_del(a), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(own_calls, 0);
    CHECK_EQ(event_del(b), 0);
    CHECK_EQ(sigaction(SIGUSR1, NULL, &now), 0);
    CHECK(now.sa_handler == own_handler);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(own_calls, 1);
    event_free(a);
    event_free(b);
    event_base_free(base);
    signal(SIGUSR1, SIG_DFL);
}

static void del_arg_at_second(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    own_calls = own_calls + 1;
    if (own_calls == 2)
        CHECK_EQ(event_del(arg), 0);
}

TEST_EACH(deleting_in_the_callback_stops_the_calls_that_remain) {
    struct event_base *base = base_on(backend);
    struct event *ev = evsignal_new(base, SIGUSR1, del_arg_at_second, event_self_cbarg());

    own_calls = 0;
    CHECK_EQ(event_add(ev, NULL), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(own_calls, 2);
    event_free(ev);
    event_base_free(base);
}

TEST_EACH(a_signal_event_may_time_out) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = event_new(base, SIGUSR1, EV_SIGNAL, see, &seen);

    CHECK_EQ(event_add(ev, MS(5)), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(seen.what, EV_TIMEOUT);
    event_free(ev);
    event_base_free(base);
}

TEST_EACH(a_signal_event_is_activated_as_often_as_asked_for) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = evsignal_new(base, SIGUSR1, see, &seen);

    CHECK_EQ(event_add(ev, NULL), 0);
    event_active(ev, EV_READ, 3);
    run_caught(base);
    CHECK_EQ(seen.calls, 3);
    CHECK_EQ(seen.what, EV_READ);
    event_free(ev);
    event_base_free(base);
}

TEST_EACH(a_signal_ends_the_wait) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = event_new(base, SIGALRM, EV_SIGNAL, see, &seen);
    struct itimerval soon = {{0, 0}, {0, 20000}};

    CHECK_EQ(event_add(ev, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &soon, NULL), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 1);
    event_free(ev);
    event_base_free(base);
}

static void ignore_log(int severity, const char *msg) {
    (void)severity;
    (void)msg;
}

TEST_EACH(what_cannot_be_caught_is_refused) {
    struct event_base *base = base_on(backend);
    struct event *ev = evsignal_new(base, SIGKILL, see, NULL);

    event_set_log_callback(ignore_log);
    CHECK_EQ(event_add(ev, NULL), -1);
    CHECK_EQ(event_pending(ev, EV_SIGNAL, NULL), 0);
    CHECK(event_new(base, SIGUSR1, EV_SIGNAL | EV_READ, see, NULL) == NULL);
    CHECK(event_new(base, SIGUSR1, EV_SIGNAL | EV_WRITE, see, NULL) == NULL);
    event_free(ev);
    event_base_free(base);
    event_set_log_callback(NULL);
}
