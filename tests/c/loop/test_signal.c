/* test_signal.c - signals as events: counted, shared, and handlers put back. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/time.h>

#include "each.h"

static struct event *signal_event(struct event_base *base, int signo, event_callback_fn cb,
                                  void *arg) {
    struct event *ev = event_new(base, signo, EV_SIGNAL | EV_PERSIST, cb, arg);

    CHECK(ev != NULL);
    CHECK_EQ(event_add(ev, NULL), 0);
    return ev;
}

/* Deliver what was caught, without waiting for more. */
static void run_caught(struct event_base *base) {
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE), 0);
}

TEST_EACH(each_signal_caught_is_a_call) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = signal_event(base, SIGUSR1, see, &seen);

    for (int i = 0; i < 3; i++)
        CHECK_EQ(raise(SIGUSR1), 0);
    run_caught(base);
    CHECK_EQ(seen.calls, 3);
    CHECK_EQ(seen.fd, SIGUSR1);
    CHECK_EQ(seen.what, EV_SIGNAL);
    run_caught(base);
    CHECK_EQ(seen.calls, 3);
    CHECK_EQ(raise(SIGUSR1), 0);
    run_caught(base);
    CHECK_EQ(seen.calls, 4);
    event_free(ev);
    event_base_free(base);
}

/* More of them than a short holds, before the loop looks, and by hand. */
TEST_EACH(many_thousand_signals_are_as_many_calls) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = signal_event(base, SIGUSR1, see, &seen);

    for (int i = 0; i < 40000; i++)
        CHECK_EQ(raise(SIGUSR1), 0);
    run_caught(base);
    CHECK_EQ(seen.calls, 40000);
    for (int i = 0; i < 3; i++)
        event_active(ev, EV_SIGNAL, 30000);
    run_caught(base);
    CHECK_EQ(seen.calls, 130000);
    event_free(ev);
    event_base_free(base);
}

TEST_EACH(without_persist_the_signal_is_given_back_before_the_call) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = event_new(base, SIGUSR1, EV_SIGNAL, see, &seen);
    struct sigaction now;

    CHECK_EQ(event_add(ev, NULL), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 2); /* both were caught while it was added */
    CHECK_EQ(sigaction(SIGUSR1, NULL, &now), 0);
    CHECK(now.sa_handler == SIG_DFL);
    event_free(ev);
    event_base_free(base);
}

TEST_EACH(several_events_and_signals_are_told_apart) {
    struct event_base *base = base_on(backend);
    struct seen a = {0}, b = {0}, c = {0};
    struct event *ev[3];

    ev[0] = signal_event(base, SIGUSR1, see, &a);
    ev[1] = signal_event(base, SIGUSR1, see, &b);
    ev[2] = signal_event(base, SIGUSR2, see, &c);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(raise(SIGUSR2), 0);
    run_caught(base);
    CHECK_EQ(a.calls, 2);
    CHECK_EQ(b.calls, 2);
    CHECK_EQ(c.calls, 1);
    CHECK_EQ(event_del(ev[0]), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    run_caught(base);
    CHECK_EQ(a.calls, 2);
    CHECK_EQ(b.calls, 3);
    for (int i = 0; i < 3; i++)
        event_free(ev[i]);
    event_base_free(base);
}

TEST_EACH(every_base_that_asks_gets_the_signal) {
    struct event_base *base[3];
    struct seen seen[3] = {{0}};
    struct event *ev[3];

    for (int i = 0; i < 3; i++) {
        base[i] = base_on(backend);
        ev[i] = signal_event(base[i], SIGUSR1, see, &seen[i]);
    }
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    for (int i = 0; i < 3; i++) {
        run_caught(base[i]);
        CHECK_EQ(seen[i].calls, 2);
    }
    event_free(ev[1]); /* one goes: the others are served on */
    event_base_free(base[1]);
    CHECK_EQ(raise(SIGUSR1), 0);
    run_caught(base[0]);
    run_caught(base[2]);
    CHECK_EQ(seen[0].calls, 3);
    CHECK_EQ(seen[2].calls, 3);
    event_free(ev[0]);
    event_base_free(base[0]);
    CHECK_EQ(raise(SIGUSR1), 0);
    run_caught(base[2]);
    CHECK_EQ(seen[2].calls, 4);
    event_free(ev[2]);
    event_base_free(base[2]);
}

TEST_EACH(signals_from_before_the_event_are_not_for_it) {
    struct event_base *base = base_on(backend), *other = base_on(backend);
    struct seen seen = {0}, ignored = {0};
    struct event *first = signal_event(other, SIGUSR1, see, &ignored);
    struct event *ev;

    CHECK_EQ(raise(SIGUSR1), 0);
    ev = signal_event(base, SIGUSR1, see, &seen);
    run_caught(base);
    CHECK_EQ(seen.calls, 0);
    CHECK_EQ(event_del(ev), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(event_add(ev, NULL), 0);
    run_caught(base);
    CHECK_EQ(seen.calls, 0);
    event_free(ev);
    event_free(first);
    event_base_free(base);
    event_base_free(other);
}

TEST_EACH(signals_from_before_the_event_are_for_those_that_were_there) {
    struct event_base *base = base_on(backend);
    struct seen early = {0}, late = {0};
    struct event *ev[2];

    ev[0] = signal_event(base, SIGUSR1, see, &early);
    CHECK_EQ(raise(SIGUSR1), 0);
    ev[1] = signal_event(base, SIGUSR1, see, &late);
    CHECK_EQ(raise(SIGUSR1), 0);
    run_caught(base);
    CHECK_EQ(early.calls, 2);
    CHECK_EQ(late.calls, 1);
    for (int i = 0; i < 2; i++)
        event_free(ev[i]);
    event_base_free(base);
}

/* --- handlers ------------------------------------------------------------------------ */

static volatile sig_atomic_t own_calls;

static void own_handler(int signo, siginfo_t *info, void *context) {
    (void)signo;
    (void)info;
    (void)context;
    own_calls = own_calls + 1;
}

static void other_handler(int signo) {
    (void)signo;
    own_calls = own_calls + 1;
}

static void install_own(void) {
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_sigaction = own_handler;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGUSR2);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    own_calls = 0;
}

static void check_own(void) {
    struct sigaction now;

    CHECK_EQ(sigaction(SIGUSR1, NULL, &now), 0);
    CHECK(now.sa_sigaction == own_handler);
    CHECK_EQ(now.sa_flags & (SA_SIGINFO | SA_NODEFER | SA_ONSTACK | SA_RESTART),
             SA_SIGINFO | SA_NODEFER | SA_ONSTACK);
    CHECK_EQ(sigismember(&now.sa_mask, SIGUSR2), 1);
    CHECK_EQ(sigismember(&now.sa_mask, SIGINT), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(own_calls, 1);
    own_calls = 0;
}

TEST_EACH(the_handler_found_is_put_back_with_the_last_event) {
    struct event_base *base = base_on(backend), *other = base_on(backend);
    struct seen seen = {0};
    struct event *a, *b, *c;

    install_own();
    a = signal_event(base, SIGUSR1, see, &seen);
    b = signal_event(base, SIGUSR1, see, &seen);
    c = signal_event(other, SIGUSR1, see, &seen);
    CHECK_EQ(event_del(a), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(event_del(b), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(own_calls, 0);
    CHECK_EQ(event_del(c), 0);
    check_own();
    CHECK_EQ(event_add(a, NULL), 0); /* and once more */
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(own_calls, 0);
    event_base_free(base); /* deletes its events */
    check_own();
    event_free(a);
    event_free(b);
    event_free(c);
    event_base_free(other);
    signal(SIGUSR1, SIG_DFL);
}

TEST_EACH(a_handler_put_in_place_of_ours_is_left_alone) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev;
    struct sigaction now;

    install_own();
    ev = signal_event(base, SIGUSR1, see, &seen);
    CHECK(signal(SIGUSR1, other_handler) != SIG_ERR); /* somebody else, meanwhile */
    CHECK_EQ(event_del(ev), 0);
    CHECK_EQ(sigaction(SIGUSR1, NULL, &now), 0);
    CHECK(now.sa_handler == other_handler);
    CHECK_EQ(event_add(ev, NULL), 0); /* takes it from that one now ... */
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(own_calls, 0);
    run_caught(base);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(event_del(ev), 0); /* ... and gives it back to that one */
    CHECK_EQ(sigaction(SIGUSR1, NULL, &now), 0);
    CHECK(now.sa_handler == other_handler);
    event_free(ev);
    event_base_free(base);
    signal(SIGUSR1, SIG_DFL);
}

TEST_EACH(system_calls_go_on_after_a_signal) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = signal_event(base, SIGUSR1, see, &seen);
    struct sigaction now;

    CHECK_EQ(sigaction(SIGUSR1, NULL, &now), 0);
    CHECK((now.sa_flags & SA_RESTART) != 0);
    CHECK_EQ(sigismember(&now.sa_mask, SIGINT), 1);
    errno = EDOM;
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(errno, EDOM);
    event_free(ev);
    event_base_free(base);
}

TEST_EACH(what_is_no_signal_or_cannot_be_caught_is_refused) {
    static const int bad[] = {SIGKILL, SIGSTOP, 0, -1, -64, 65, 1000, 32, 33};
    struct event_base *base = base_on(backend);
    struct seen seen = {0};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct event *ev = event_new(base, bad[i], EV_SIGNAL | EV_PERSIST, see, &seen);

        CHECK(ev != NULL);
        errno = 0;
        CHECK_EQ(event_add(ev, MS(0)), -1);
        CHECK_EQ(errno, EINVAL);
        CHECK_EQ(event_pending(ev, EV_SIGNAL | EV_TIMEOUT, NULL), 0);
        event_free(ev);
    }
    CHECK_EQ(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
    CHECK(event_new(base, SIGUSR1, EV_SIGNAL | EV_READ, see, NULL) == NULL);
    CHECK_EQ(errno, EINVAL);
    event_base_free(base);
}

TEST_EACH(the_highest_signal_can_be_watched) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    int highest = SIGRTMAX;
    struct event *ev;

    if (signal(highest, other_handler) == SIG_ERR)
        highest--; /* valgrind keeps the last for itself */
    else
        CHECK(signal(highest, SIG_DFL) != SIG_ERR);
    ev = signal_event(base, highest, see, &seen);
    CHECK_EQ(raise(highest), 0);
    run_caught(base);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(seen.fd, highest);
    event_free(ev);
    event_base_free(base);
}

/* --- in the callback -------------------------------------------------------------------- */

struct script {
    struct event_base *base;
    struct event *ev;
    int calls;
    int act_at; /* the call in which to act */
    void (*act)(struct script *);
};

static void run_script(evutil_socket_t fd, short what, void *arg) {
    struct script *s = arg;

    (void)fd;
    (void)what;
    if (++s->calls == s->act_at)
        s->act(s);
}

static void act_del(struct script *s) {
    CHECK_EQ(event_del(s->ev), 0);
}

static void act_free(struct script *s) {
    event_free(s->ev);
    s->ev = NULL;
}

static void act_break(struct script *s) {
    CHECK_EQ(event_base_loopbreak(s->base), 0);
}

static void act_assign(struct script *s) {
    CHECK_EQ(event_del(s->ev), 0);
    CHECK_EQ(event_assign(s->ev, s->base, SIGUSR1, EV_SIGNAL | EV_PERSIST, run_script, s), 0);
    CHECK_EQ(event_add(s->ev, NULL), 0);
}

static void run_caught_with(const char *backend, int caught, int act_at,
                            void (*act)(struct script *), struct script *s) {
    memset(s, 0, sizeof(*s));
    s->base = base_on(backend);
    s->act_at = act_at;
    s->act = act;
    s->ev = signal_event(s->base, SIGUSR1, run_script, s);
    for (int i = 0; i < caught; i++)
        CHECK_EQ(raise(SIGUSR1), 0);
    CHECK(event_base_loop(s->base, EVLOOP_NONBLOCK | EVLOOP_ONCE) >= 0);
}

static void end_script(struct script *s) {
    event_free(s->ev);
    event_base_free(s->base);
}

TEST_EACH(deleting_in_the_callback_stops_the_calls_that_remain) {
    struct script s;

    run_caught_with(backend, 5, 2, act_del, &s);
    CHECK_EQ(s.calls, 2);
    end_script(&s);
}

TEST_EACH(freeing_in_the_callback_stops_the_calls_that_remain) {
    struct script s;

    for (int at = 1; at <= 3; at++) { /* also in the last call */
        run_caught_with(backend, 3, at, act_free, &s);
        CHECK_EQ(s.calls, at);
        end_script(&s);
    }
}

TEST_EACH(an_event_set_up_again_in_the_callback_gets_new_signals_only) {
    struct script s;

    run_caught_with(backend, 5, 2, act_assign, &s);
    CHECK_EQ(s.calls, 2);
    s.act_at = 0;
    CHECK_EQ(raise(SIGUSR1), 0);
    run_caught(s.base);
    CHECK_EQ(s.calls, 3);
    end_script(&s);
}

TEST_EACH(loopbreak_in_the_callback_leaves_the_rest_due) {
    struct script s;

    run_caught_with(backend, 5, 2, act_break, &s);
    CHECK_EQ(s.calls, 2);
    CHECK_EQ(event_base_get_num_events(s.base, EVENT_BASE_COUNT_ACTIVE), 1);
    CHECK_EQ(raise(SIGUSR1), 0);
    run_caught(s.base);
    CHECK_EQ(s.calls, 6);
    end_script(&s);
}

/* --- with timeouts and event_active -------------------------------------------------------- */

TEST_EACH(a_signal_event_may_time_out) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = event_new(base, SIGUSR1, EV_SIGNAL, see, &seen);

    CHECK_EQ(event_add(ev, MS(1)), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(seen.what, EV_TIMEOUT);
    event_free(ev);
    event_base_free(base);
}

TEST_EACH(a_signal_event_is_activated_as_often_as_asked_for) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = signal_event(base, SIGUSR1, see, &seen);

    event_active(ev, EV_SIGNAL, 3);
    event_active(ev, EV_TIMEOUT, 2);
    run_caught(base);
    CHECK_EQ(seen.calls, 5);
    CHECK_EQ(seen.what, EV_SIGNAL | EV_TIMEOUT);
    event_free(ev);
    event_base_free(base);
}

static void break_loop(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    CHECK_EQ(event_base_loopbreak(arg), 0);
}

TEST_EACH(signals_after_a_timeout_are_counted_from_nothing) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = signal_event(base, SIGUSR1, see, &seen);
    struct event *breaker = event_new(base, -1, 0, break_loop, base);

    for (int i = 0; i < 3; i++)
        CHECK_EQ(raise(SIGUSR1), 0);
    run_caught(base);
    CHECK_EQ(seen.calls, 3);
    CHECK_EQ(event_add(breaker, MS(0)), 0);
    CHECK_EQ(event_add(ev, MS(0)), 0);
    CHECK_EQ(event_base_dispatch(base), 0); /* active by the timeout, not run yet */
    CHECK_EQ(seen.calls, 3);
    CHECK_EQ(event_base_get_num_events(base, EVENT_BASE_COUNT_ACTIVE), 1);
    CHECK_EQ(raise(SIGUSR1), 0);
    run_caught(base);
    CHECK_EQ(seen.calls, 4);
    event_free(ev);
    event_free(breaker);
    event_base_free(base);
}

/* --- waking ------------------------------------------------------------------------------------ */

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

enum { SENT = 200 };

static void *send_signals(void *arg) {
    (void)arg;
    for (int i = 0; i < SENT; i++)
        raise(SIGUSR1); /* handled in this thread, before it returns */
    return NULL;
}

static void count_to_all(evutil_socket_t fd, short what, void *arg) {
    struct script *s = arg;

    (void)fd;
    (void)what;
    if (++s->calls == SENT)
        CHECK_EQ(event_base_loopexit(s->base, NULL), 0);
}

TEST_EACH(signals_handled_in_another_thread_all_arrive) {
    struct script s = {.base = base_on(backend)};
    struct event *ev = signal_event(s.base, SIGUSR1, count_to_all, &s);
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, send_signals, NULL), 0);
    CHECK_EQ(event_base_dispatch(s.base), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(s.calls, SENT);
    event_free(ev);
    event_base_free(s.base);
}

static atomic_bool sender_must_end;

static void *send_until_told(void *arg) {
    (void)arg;
    while (!atomic_load(&sender_must_end))
        raise(SIGUSR1);
    return NULL;
}

TEST_EACH(bases_come_and_go_while_signals_arrive) {
    struct event_base *keeper = base_on(backend);
    struct seen seen = {0};
    struct event *kept = signal_event(keeper, SIGUSR1, see, &seen);
    pthread_t thread;

    atomic_store(&sender_must_end, false);
    CHECK_EQ(pthread_create(&thread, NULL, send_until_told, NULL), 0);
    for (int i = 0; i < 200; i++) {
        struct event_base *base = base_on(backend);
        struct event *ev = signal_event(base, SIGUSR1, see, &seen);

        run_caught(base);
        event_free(ev);
        event_base_free(base);
    }
    atomic_store(&sender_must_end, true);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    event_free(kept);
    event_base_free(keeper);
}
