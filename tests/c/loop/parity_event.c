/* parity_event.c - events: what holds for pyevent and for libevent alike.
 *
 * Only event2/ headers: the same file is compiled against both.
 */
#include <signal.h>

#include "each.h"
#include "event2/event_struct.h"

#define ANY (EV_TIMEOUT | EV_READ | EV_WRITE | EV_SIGNAL)

static struct event *event_of(struct event_base *base, int fd, short what, struct seen *seen) {
    struct event *ev = event_new(base, fd, what, see, seen);

    CHECK(ev != NULL);
    return ev;
}

static int turn_once(struct event_base *base) {
    return event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
}

/* --- pending, active, deleted ---------------------------------------------------------- */

TEST_EACH(an_event_is_pending_from_add_to_its_callback) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    open_pair(p);
    ev = event_of(base, p[0], EV_READ, &seen);
    CHECK_EQ(event_pending(ev, ANY, NULL), 0);
    CHECK_EQ(event_add(ev, NULL), 0);
    CHECK_EQ(event_pending(ev, ANY, NULL), EV_READ);
    CHECK_EQ(event_pending(ev, EV_WRITE, NULL), 0);
    CHECK_EQ(turn_once(base), 0);
    CHECK_EQ(seen.calls, 0);
    send_byte(p[1]);
    CHECK_EQ(turn_once(base), 0);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(seen.fd, p[0]);
    CHECK_EQ(seen.what, EV_READ);
    CHECK_EQ(event_pending(ev, ANY, NULL), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 1);
    event_free(ev);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(a_persistent_event_stays_pending) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    open_pair(p);
    ev = event_of(base, p[0], EV_READ | EV_WRITE | EV_PERSIST, &seen);
    CHECK_EQ(event_add(ev, NULL), 0);
    CHECK_EQ(turn_once(base), 0);
    CHECK_EQ(seen.what, EV_WRITE);
    send_byte(p[1]);
    CHECK_EQ(turn_once(base), 0);
    CHECK_EQ(seen.what, EV_READ | EV_WRITE);
    CHECK_EQ(event_pending(ev, ANY, NULL), EV_READ | EV_WRITE);
    CHECK_EQ(event_del(ev), 0);
    CHECK_EQ(event_pending(ev, ANY, NULL), 0);
    CHECK_EQ(event_del(ev), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 2);
    event_free(ev);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(activations_merge_and_need_no_add) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = event_of(base, -1, 0, &seen);

    event_active(ev, EV_READ, 1);
    event_active(ev, EV_WRITE, 1);
    CHECK_EQ(event_pending(ev, ANY, NULL), EV_READ | EV_WRITE);
    CHECK_EQ(event_base_get_num_events(base, EVENT_BASE_COUNT_ACTIVE), 1);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(seen.what, EV_READ | EV_WRITE);
    event_active(ev, EV_READ, 1);
    CHECK_EQ(event_del(ev), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 1);
    event_free(ev);
    event_base_free(base);
}

TEST_EACH(a_user_event_runs_when_it_is_triggered) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = evuser_new(base, see, &seen);

    CHECK(ev != NULL);
    evuser_trigger(ev);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(seen.what, 0);
    evuser_del(ev);
    event_free(ev);
    event_base_free(base);
}

static char order[16];

static void note(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    strcat(order, arg);
}

TEST_EACH(events_of_one_fd_run_newest_first) {
    struct event_base *base = base_on(backend);
    struct event *ev[3];
    int p[2];

    order[0] = '\0';
    open_pair(p);
    send_byte(p[1]);
    for (int i = 0; i < 3; i++) {
        ev[i] = event_new(base, p[0], EV_READ, note, i == 0 ? "a" : i == 1 ? "b" : "c");
        CHECK_EQ(event_add(ev[i], NULL), 0);
    }
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_STR(order, "cba");
    for (int i = 0; i < 3; i++)
        event_free(ev[i]);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(one_fd_may_have_readers_and_writers) {
    struct event_base *base = base_on(backend);
    struct seen reader = {0}, writer = {0};
    struct event *r, *w;
    int p[2];

    open_pair(p);
    r = event_of(base, p[0], EV_READ | EV_PERSIST, &reader);
    w = event_of(base, p[0], EV_WRITE | EV_PERSIST, &writer);
    CHECK_EQ(event_add(r, NULL), 0);
    CHECK_EQ(event_add(w, NULL), 0);
    CHECK_EQ(turn_once(base), 0);
    CHECK_EQ(reader.calls, 0);
    CHECK_EQ(writer.calls, 1);
    CHECK_EQ(event_del(w), 0);
    send_byte(p[1]);
    CHECK_EQ(turn_once(base), 0);
    CHECK_EQ(reader.calls, 1);
    CHECK_EQ(writer.calls, 1);
    event_free(r);
    event_free(w);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(end_of_file_is_readable) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    open_pair(p);
    ev = event_of(base, p[0], EV_READ, &seen);
    CHECK_EQ(event_add(ev, NULL), 0);
    close(p[1]);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 1);
    CHECK((seen.what & EV_READ) != 0);
    event_free(ev);
    event_base_free(base);
    close(p[0]);
}

TEST_EACH(an_edge_is_called_so_where_the_backend_has_edges) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2], edge;

    open_pair(p);
    send_byte(p[1]);
    edge = event_base_get_features(base) & EV_FEATURE_ET ? EV_ET : 0;
    ev = event_of(base, p[0], EV_READ | EV_ET | EV_PERSIST, &seen);
    CHECK_EQ(event_add(ev, NULL), 0);
    CHECK_EQ(turn_once(base), 0);
    CHECK_EQ(seen.what, EV_READ | edge);
    CHECK_EQ(turn_once(base), 0);
    CHECK_EQ(seen.calls, edge ? 1 : 2);
    event_free(ev);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(early_close_is_told_where_the_backend_can) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    open_pair(p);
    if (event_base_get_features(base) & EV_FEATURE_EARLY_CLOSE) {
        ev = event_of(base, p[0], EV_CLOSED, &seen);
        CHECK_EQ(event_add(ev, NULL), 0);
        send_byte(p[1]);
        CHECK_EQ(shutdown(p[1], SHUT_WR), 0); /* unread data before the end */
        CHECK_EQ(event_base_dispatch(base), 1);
        CHECK_EQ(seen.what, EV_CLOSED);
        event_free(ev);
    }
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(a_closed_fd_is_refused_by_epoll) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    open_pair(p);
    close_pair(p);
    ev = event_of(base, p[0], EV_READ, &seen);
    if (strcmp(backend, "epoll") == 0) { /* libevent's others do not look */
        CHECK_EQ(event_add(ev, NULL), -1);
        CHECK_EQ(event_pending(ev, ANY, NULL), 0);
    }
    event_free(ev);
    event_base_free(base);
}

/* --- timeouts --------------------------------------------------------------------------- */

TEST_EACH(a_timeout_ends_the_waiting_of_an_event_without_persist) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    open_pair(p);
    ev = event_of(base, p[0], EV_READ, &seen);
    CHECK_EQ(event_add(ev, MS(10)), 0);
    CHECK_EQ(event_pending(ev, ANY, NULL), EV_READ | EV_TIMEOUT);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(seen.what, EV_TIMEOUT);
    CHECK_EQ(event_pending(ev, ANY, NULL), 0);
    event_free(ev);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(timers_run_in_the_order_of_their_deadlines) {
    struct event_base *base = base_on(backend);
    struct event *ev[3];
    static const int ms[] = {40, 1, 20};

    order[0] = '\0';
    for (int i = 0; i < 3; i++) {
        ev[i] = evtimer_new(base, note, i == 0 ? "a" : i == 1 ? "b" : "c");
        CHECK_EQ(evtimer_add(ev[i], MS(ms[i])), 0);
        CHECK_EQ(evtimer_pending(ev[i], NULL), EV_TIMEOUT);
    }
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_STR(order, "bca");
    for (int i = 0; i < 3; i++)
        event_free(ev[i]);
    event_base_free(base);
}

struct ticker {
    struct event_base *base;
    struct event *ev;
    int ticks;
};

static void tick(evutil_socket_t fd, short what, void *arg) {
    struct ticker *t = arg;

    (void)fd;
    CHECK_EQ(what, EV_TIMEOUT);
    CHECK_EQ(event_pending(t->ev, ANY, NULL), EV_TIMEOUT); /* armed again already */
    if (++t->ticks == 3)
        CHECK_EQ(event_del(t->ev), 0);
}

TEST_EACH(a_persistent_timer_ticks_until_it_is_deleted) {
    struct ticker t = {.base = base_on(backend)};

    t.ev = event_new(t.base, -1, EV_PERSIST, tick, &t);
    CHECK_EQ(event_add(t.ev, MS(5)), 0);
    CHECK_EQ(event_base_dispatch(t.base), 1);
    CHECK_EQ(t.ticks, 3);
    event_free(t.ev);
    event_base_free(t.base);
}

TEST_EACH(a_persistent_event_with_a_timeout_has_it_armed_again_by_reading) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    open_pair(p);
    send_byte(p[1]);
    ev = event_of(base, p[0], EV_READ | EV_PERSIST, &seen);
    CHECK_EQ(event_add(ev, MS(60000)), 0);
    CHECK_EQ(turn_once(base), 0);
    CHECK_EQ(seen.what, EV_READ);
    CHECK_EQ(event_pending(ev, ANY, NULL), EV_READ | EV_TIMEOUT);
    CHECK_EQ(event_remove_timer(ev), 0);
    CHECK_EQ(event_pending(ev, ANY, NULL), EV_READ);
    CHECK_EQ(turn_once(base), 0);
    CHECK_EQ(seen.calls, 2);
    CHECK_EQ(event_pending(ev, ANY, NULL), EV_READ);
    event_free(ev);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(a_zero_timeout_of_a_persistent_event_runs_out_once) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = event_of(base, -1, EV_PERSIST, &seen);

    CHECK_EQ(event_add(ev, MS(0)), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(event_pending(ev, ANY, NULL), 0);
    event_free(ev);
    event_base_free(base);
}

TEST_EACH(adding_again_replaces_the_timeout_or_leaves_it) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = event_of(base, -1, 0, &seen);

    CHECK_EQ(event_add(ev, MS(60000)), 0);
    CHECK_EQ(event_add(ev, NULL), 0);
    CHECK_EQ(event_pending(ev, ANY, NULL), EV_TIMEOUT);
    CHECK_EQ(event_add(ev, MS(1)), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(event_add(ev, &(struct timeval){-5, 0}), 0); /* long ago: due at once */
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 2);
    event_free(ev);
    event_base_free(base);
}

static struct event *victim;

static void readd_victim(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    (void)arg;
    CHECK_EQ(event_add(victim, MS(60000)), 0);
}

TEST_EACH(a_new_timeout_takes_back_an_activation_by_the_old) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *first = event_new(base, -1, 0, readd_victim, NULL);

    victim = event_of(base, -1, 0, &seen);
    event_active(first, EV_READ, 1);
    event_active(victim, EV_TIMEOUT, 1);
    CHECK_EQ(turn_once(base), 0);
    CHECK_EQ(seen.calls, 0);
    CHECK_EQ(event_pending(victim, ANY, NULL), EV_TIMEOUT);
    event_free(first);
    event_free(victim);
    event_base_free(base);
}

TEST_EACH(pending_tells_the_time_of_day) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = event_of(base, -1, 0, &seen);
    struct timeval before, at = {0, 0};

    CHECK_EQ(gettimeofday(&before, NULL), 0);
    CHECK_EQ(event_add(ev, MS(60000)), 0);
    CHECK_EQ(event_pending(ev, EV_TIMEOUT, &at), EV_TIMEOUT);
    CHECK(at.tv_sec >= before.tv_sec + 58 && at.tv_sec <= before.tv_sec + 70);
    event_free(ev);
    event_base_free(base);
}

/* --- once --------------------------------------------------------------------------------- */

TEST_EACH(once_calls_once_and_keeps_order) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    int p[2];

    order[0] = '\0';
    open_pair(p);
    send_byte(p[1]);
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, note, "a", NULL), 0);
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, note, "b", MS(0)), 0);
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, note, "d", MS(20)), 0);
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, note, "c", MS(1)), 0);
    CHECK_EQ(event_base_once(base, p[0], EV_READ, see, &seen, NULL), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_STR(order, "abcd");
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(seen.what, EV_READ);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(once_refuses_signals_persistence_and_nothing) {
    struct event_base *base = base_on(backend);

    CHECK_EQ(event_base_once(base, SIGUSR1, EV_SIGNAL, see, NULL, NULL), -1);
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT | EV_PERSIST, see, NULL, NULL), -1);
    CHECK_EQ(event_base_once(base, -1, 0, see, NULL, NULL), -1);
    CHECK_EQ(event_base_dispatch(base), 1);
    event_base_free(base);
}

TEST_EACH(once_goes_with_its_base) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};

    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, see, &seen, NULL), 0);
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, see, &seen, MS(60000)), 0);
    event_base_free(base);
    CHECK_EQ(seen.calls, 0);
}

/* --- set up, asked, freed ------------------------------------------------------------------- */

TEST_EACH(an_event_says_what_it_was_made_of) {
    struct event_base *base = base_on(backend), *got_base;
    struct event *ev = event_new(base, 7, EV_READ | EV_PERSIST | EV_ET, see, &order);
    evutil_socket_t fd;
    short what;
    event_callback_fn cb;
    void *arg;

    CHECK(ev != NULL);
    CHECK(event_initialized(ev));
    CHECK_EQ(event_get_fd(ev), 7);
    CHECK(event_get_base(ev) == base);
    CHECK_EQ(event_get_events(ev), EV_READ | EV_PERSIST | EV_ET);
    CHECK(event_get_callback(ev) == see);
    CHECK(event_get_callback_arg(ev) == &order);
    event_get_assignment(ev, &got_base, &fd, &what, &cb, &arg);
    CHECK(got_base == base && fd == 7 && cb == see && arg == &order);
    CHECK_EQ(what, EV_READ | EV_PERSIST | EV_ET);
    event_get_assignment(ev, NULL, NULL, NULL, NULL, NULL);
    event_free(ev);
    event_base_free(base);
}

TEST_EACH(an_event_may_live_in_its_callers_memory) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event ev;

    CHECK(event_get_struct_event_size() <= sizeof(ev));
    memset(&ev, 0, sizeof(ev));
    CHECK(!event_initialized(&ev));
    CHECK_EQ(event_assign(&ev, base, -1, 0, see, &seen), 0);
    CHECK(event_initialized(&ev));
    CHECK_EQ(event_add(&ev, MS(1)), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(event_assign(&ev, base, 1, EV_SIGNAL | EV_READ, see, &seen), -1);
    event_base_free(base);
}

static struct event *got_self;

static void keep_arg(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    got_self = arg;
}

TEST_EACH(self_cbarg_stands_for_the_event) {
    struct event_base *base = base_on(backend);
    struct event *ev = event_new(base, -1, 0, keep_arg, event_self_cbarg());

    got_self = NULL;
    CHECK(event_get_callback_arg(ev) == ev);
    event_active(ev, EV_TIMEOUT, 1);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK(got_self == ev);
    event_free(ev);
    event_base_free(base);
}

static void free_arg(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    got_self = NULL;
    event_free(arg);
}

TEST_EACH(an_event_may_be_freed_in_its_callback) {
    struct event_base *base = base_on(backend);
    struct event *ev;
    int p[2];

    open_pair(p);
    send_byte(p[1]);
    for (int i = 0; i < 2; i++) {
        short persist = i == 0 ? EV_PERSIST : 0;

        got_self = ev = event_new(base, p[0], (short)(EV_READ | persist), free_arg,
                                  event_self_cbarg());
        CHECK_EQ(event_add(ev, MS(60000)), 0);
        CHECK_EQ(event_base_dispatch(base), 1);
        CHECK(got_self == NULL);
    }
    event_base_free(base);
    close_pair(p);
}

static void add_arg_again(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    CHECK_EQ(event_pending(arg, ANY, NULL), 0);
    if (strlen(order) < 3) {
        strcat(order, "x");
        CHECK_EQ(event_add(arg, MS(1)), 0);
    }
}

TEST_EACH(an_event_may_add_itself_again) {
    struct event_base *base = base_on(backend);
    struct event *ev = event_new(base, -1, 0, add_arg_again, event_self_cbarg());

    order[0] = '\0';
    CHECK_EQ(event_add(ev, MS(1)), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_STR(order, "xxx");
    event_free(ev);
    event_base_free(base);
}

static struct event_base *running_base;

static void ask_who_runs(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    CHECK(event_base_get_running_event(running_base) == arg);
    strcat(order, "r");
}

TEST_EACH(the_running_event_is_known_in_its_callback) {
    struct event_base *base = running_base = base_on(backend);
    struct event *ev = event_new(base, -1, 0, ask_who_runs, event_self_cbarg());

    order[0] = '\0';
    event_active(ev, EV_TIMEOUT, 1);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_STR(order, "r");
    event_free(ev);
    event_base_free(base);
}

TEST_EACH(an_idle_event_moves_to_another_base) {
    struct event_base *a = base_on(backend), *b = base_on(backend);
    struct seen seen = {0};
    struct event *ev = event_of(a, -1, 0, &seen);

    CHECK_EQ(event_add(ev, MS(60000)), 0);
    CHECK_EQ(event_base_set(b, ev), -1);
    CHECK_EQ(event_del(ev), 0);
    CHECK_EQ(event_base_set(b, ev), 0);
    CHECK(event_get_base(ev) == b);
    CHECK_EQ(event_add(ev, MS(0)), 0);
    CHECK_EQ(event_base_dispatch(a), 1);
    CHECK_EQ(seen.calls, 0);
    CHECK_EQ(event_base_dispatch(b), 1);
    CHECK_EQ(seen.calls, 1);
    event_free(ev);
    event_base_free(a);
    event_base_free(b);
}

TEST_EACH(added_events_are_counted) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *timer = event_of(base, -1, 0, &seen);
    struct event *io;
    int p[2];

    open_pair(p);
    io = event_of(base, p[0], EV_READ, &seen);
    CHECK_EQ(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
    CHECK_EQ(event_add(timer, MS(60000)), 0);
    CHECK_EQ(event_add(timer, MS(50000)), 0);
    CHECK_EQ(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 1);
    CHECK_EQ(event_add(io, NULL), 0);
    CHECK_EQ(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 2);
    CHECK_EQ(event_base_get_num_events(base, EVENT_BASE_COUNT_ACTIVE), 0);
    CHECK_EQ(event_base_get_num_events(base, EVENT_BASE_COUNT_VIRTUAL), 0);
    CHECK_EQ(event_del(timer), 0);
    CHECK_EQ(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 1);
    CHECK_EQ(event_del(io), 0);
    CHECK_EQ(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
    CHECK_EQ(event_base_get_max_events(base, EVENT_BASE_COUNT_ADDED, 0), 2);
    CHECK_EQ(event_base_get_max_events(base, EVENT_BASE_COUNT_ADDED, 1), 2);
    CHECK_EQ(event_base_get_max_events(base, EVENT_BASE_COUNT_ADDED, 0), 0);
    event_free(timer);
    event_free(io);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(an_event_for_no_descriptor_keeps_the_loop_and_hears_nothing) {
    static const int fds[] = {-1, -3};

    for (int i = 0; i < 2; i++) {
        struct event_base *base = base_on(backend);
        struct seen seen = {0}, timer_seen = {0};
        struct event *ev = event_of(base, fds[i], EV_READ | EV_WRITE | EV_PERSIST, &seen);
        struct event *timer = event_of(base, -1, 0, &timer_seen);

        CHECK_EQ(event_add(ev, NULL), 0);
        CHECK_EQ(event_pending(ev, EV_READ | EV_WRITE, NULL), EV_READ | EV_WRITE);
        CHECK_EQ(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 1);
        event_base_active_by_fd(base, fds[i], EV_READ);
        CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 0); /* there is something to wait for */
        CHECK_EQ(seen.calls, 0);
        event_active(ev, EV_READ, 1);
        CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 0);
        CHECK_EQ(seen.calls, 1);
        CHECK_EQ(event_add(ev, MS(1)), 0);
        CHECK_EQ(event_base_loop(base, EVLOOP_ONCE), 0);
        CHECK_EQ(seen.calls, 2);
        CHECK_EQ(seen.what, EV_TIMEOUT);
        CHECK_EQ(event_remove_timer(ev), 0);
        CHECK_EQ(event_del(ev), 0);
        CHECK_EQ(event_pending(ev, EV_READ, NULL), 0);
        CHECK_EQ(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
        CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 1);
        CHECK_EQ(event_add(ev, NULL), 0); /* left to the base's end */
        CHECK_EQ(event_add(timer, MS(60000)), 0);
        event_base_free(base);
        event_free(ev);
        event_free(timer);
    }
}

static int finalized;

static void note_finalized(struct event *ev, void *arg) {
    CHECK(ev != NULL);
    CHECK(arg == NULL || arg == (void *)&finalized);
    finalized++;
}

/* What is said to one that is about to be finalized is not heard. */
TEST_EACH(a_finalizer_that_is_due_runs_whatever_is_done_to_its_event) {
    for (int frees = 0; frees < 2; frees++) {
        struct event_base *base = base_on(backend);
        struct event *ev = event_new(base, -1, EV_PERSIST, see, &finalized);

        finalized = 0;
        CHECK_EQ(event_add(ev, MS(60000)), 0);
        if (frees)
            (void)event_free_finalize(0, ev, note_finalized);
        else
            (void)event_finalize(0, ev, note_finalized);
        CHECK_EQ(event_del(ev), 0);
        CHECK_EQ(event_del_noblock(ev), 0);
        CHECK_EQ(event_del_block(ev), 0);
        CHECK_EQ(event_remove_timer(ev), 0);
        CHECK_EQ(event_add(ev, NULL), -1);
        CHECK_EQ(event_add(ev, MS(1)), -1);
        CHECK_EQ(event_priority_set(ev, 0), -1);
        CHECK_EQ(event_base_set(base, ev), -1);
        event_active(ev, EV_TIMEOUT, 1);
        CHECK_EQ(event_pending(ev, EV_TIMEOUT, NULL), 0);
        CHECK_EQ(event_initialized(ev), 1);
        CHECK_EQ(finalized, 0);
        CHECK(event_base_loop(base, EVLOOP_NONBLOCK) >= 0);
        CHECK_EQ(finalized, 1);
        if (!frees) {
            CHECK_EQ(event_add(ev, NULL), -1);
            CHECK_EQ(event_del(ev), 0);
            CHECK_EQ(event_base_set(base, ev), -1);
            event_free(ev);
        }
        event_base_free(base);
        CHECK_EQ(finalized, 1);
    }
}
