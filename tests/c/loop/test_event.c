/* test_event.c - the life of an event: assigned, pending, active, outliving its
 * base, freed by its own callback. Most of it is for the address sanitizer. */
#include <signal.h>
#include <stdlib.h>

#include "each.h"
#include "event2/event_struct.h"

static struct event *event_of(struct event_base *base, int fd, short what, struct seen *seen) {
    struct event *ev = event_new(base, fd, what, see, seen);

    CHECK(ev != NULL);
    return ev;
}

/* --- the base goes first -------------------------------------------------------- */

TEST_EACH(events_outlive_their_base_and_are_freed_after_it) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev[6];
    int p[2];

    open_pair(p);
    ev[0] = event_of(base, p[0], EV_READ | EV_PERSIST, &seen); /* pending */
    ev[1] = event_of(base, -1, EV_PERSIST, &seen);             /* with a timer */
    ev[2] = event_of(base, SIGUSR1, EV_SIGNAL | EV_PERSIST, &seen);
    ev[3] = event_of(base, -1, 0, &seen);                      /* active */
    ev[4] = event_of(base, p[0], EV_READ, &seen);              /* never added */
    ev[5] = event_of(base, SIGUSR2, EV_SIGNAL, &seen);         /* added and deleted */
    CHECK_EQ(event_add(ev[0], MS(60000)), 0);
    CHECK_EQ(event_add(ev[1], MS(60000)), 0);
    CHECK_EQ(event_add(ev[2], MS(60000)), 0);
    event_active(ev[3], EV_TIMEOUT, 1);
    CHECK_EQ(event_add(ev[5], NULL), 0);
    CHECK_EQ(event_del(ev[5]), 0);
    event_base_free(base);
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(event_pending(ev[i], EV_READ | EV_SIGNAL | EV_TIMEOUT, NULL), 0);
        CHECK_EQ(event_del(ev[i]), 0);
        event_free(ev[i]);
    }
    CHECK_EQ(seen.calls, 0);
    close_pair(p);
}

TEST_EACH(one_shot_callbacks_go_with_their_base) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    int p[2];

    open_pair(p);
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, see, &seen, NULL), 0); /* active */
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, see, &seen, MS(60000)), 0);
    CHECK_EQ(event_base_once(base, p[0], EV_READ, see, &seen, NULL), 0);
    CHECK_EQ(event_base_once(base, p[0], EV_READ, see, &seen, MS(60000)), 0);
    CHECK_EQ(event_base_loopexit(base, NULL), 0);
    event_base_free(base);
    CHECK_EQ(seen.calls, 0);
    close_pair(p);
}

static struct event *in_callback;

static void free_base_and_see(evutil_socket_t fd, short what, void *arg) {
    see(fd, what, arg);
    event_base_free(event_get_base(in_callback)); /* logged, no effect */
}

static int log_lines;

static void count_log(int severity, const char *msg) {
    (void)msg;
    log_lines += severity == EVENT_LOG_WARN;
}

TEST_EACH(a_running_base_is_not_freed) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};

    log_lines = 0;
    event_set_log_callback(count_log);
    in_callback = event_new(base, -1, 0, free_base_and_see, &seen);
    CHECK_EQ(event_add(in_callback, MS(0)), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(log_lines, 1);
    event_set_log_callback(NULL);
    event_free(in_callback);
    event_base_free(base);
}

/* --- in its own callback ----------------------------------------------------------- */

static int stage;

static void ask_who_runs(evutil_socket_t fd, short what, void *arg) {
    struct event_base *base = arg;

    (void)fd;
    (void)what;
    stage++;
    if (in_callback != NULL) {
        CHECK_EQ(event_base_get_running_event(base), in_callback);
        event_free(in_callback);
        in_callback = NULL;
    }
    (void)event_base_get_running_event(base); /* looks at no freed memory */
}

TEST_EACH(the_running_event_can_be_asked_for_also_when_it_is_gone) {
    struct event_base *base = base_on(backend);

    stage = 0;
    CHECK(event_base_get_running_event(base) == NULL);
    in_callback = event_new(base, -1, EV_PERSIST, ask_who_runs, base);
    CHECK_EQ(event_add(in_callback, MS(0)), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, ask_who_runs, base, NULL), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(stage, 2);
    CHECK(event_base_get_running_event(base) == NULL);
    event_base_free(base);
}

static void assign_again(evutil_socket_t fd, short what, void *arg) {
    struct event *ev = arg;
    struct event_base *base = event_get_base(ev);

    (void)fd;
    (void)what;
    if (++stage == 3) {
        free(ev);
        return;
    }
    CHECK_EQ(event_assign(ev, base, -1, 0, assign_again, ev), 0);
    CHECK_EQ(event_add(ev, MS(0)), 0);
}

TEST_EACH(an_event_may_be_assigned_again_in_its_callback) {
    struct event_base *base = base_on(backend);
    struct event *ev = malloc(sizeof(*ev));

    CHECK(ev != NULL);
    stage = 0;
    CHECK_EQ(event_assign(ev, base, -1, 0, assign_again, ev), 0);
    CHECK_EQ(event_add(ev, NULL), 0);
    event_active(ev, EV_TIMEOUT, 1);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(stage, 3);
    event_base_free(base);
}

/* --- being active ---------------------------------------------------------------------- */

TEST_EACH(activating_needs_no_adding_and_merges) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = event_of(base, -1, 0, &seen);

    event_active(ev, EV_READ, 1);
    event_active(ev, EV_WRITE, 1);
    CHECK_EQ(event_pending(ev, EV_READ | EV_WRITE | EV_TIMEOUT, NULL), EV_READ | EV_WRITE);
    CHECK_EQ(event_base_get_num_events(base, EVENT_BASE_COUNT_ACTIVE), 1);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(seen.what, EV_READ | EV_WRITE);
    event_active(ev, EV_READ, 1);
    CHECK_EQ(event_del(ev), 0); /* takes the activation back */
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 1);
    event_free(ev);
    event_base_free(base);
}

TEST_EACH(an_event_never_set_up_is_refused) {
    struct event_base *base = base_on(backend);
    struct event ev;

    memset(&ev, 0, sizeof(ev));
    CHECK(!event_initialized(&ev));
    CHECK_EQ(event_add(&ev, NULL), -1);
    CHECK_EQ(event_del(&ev), -1);
    CHECK_EQ(event_remove_timer(&ev), -1);
    CHECK_EQ(event_pending(&ev, EV_READ, NULL), 0);
    event_active(&ev, EV_READ, 1);
    CHECK_EQ(event_base_set(base, &ev), -1);
    CHECK_EQ(event_base_dispatch(base), 1);
    event_free(NULL);
    event_base_free(NULL);
    event_base_free(base);
}

TEST_EACH(an_event_moves_to_another_base_while_idle) {
    struct event_base *a = base_on(backend), *b = base_on(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    open_pair(p);
    send_byte(p[1]);
    CHECK_EQ(event_base_priority_init(b, 5), 0);
    ev = event_of(a, p[0], EV_READ, &seen);
    CHECK_EQ(event_add(ev, NULL), 0);
    CHECK_EQ(event_base_set(b, ev), -1);
    CHECK_EQ(event_del(ev), 0);
    CHECK_EQ(event_base_set(b, ev), 0);
    CHECK_EQ(event_get_base(ev), b);
    CHECK_EQ(event_get_priority(ev), 2);
    CHECK_EQ(event_add(ev, NULL), 0);
    CHECK_EQ(event_base_dispatch(a), 1);
    CHECK_EQ(seen.calls, 0);
    CHECK_EQ(event_base_dispatch(b), 1);
    CHECK_EQ(seen.calls, 1);
    event_free(ev);
    event_base_free(a);
    event_base_free(b);
    close_pair(p);
}

TEST_EACH(counts_follow_what_is_added_and_active) {
    const unsigned ADDED = EVENT_BASE_COUNT_ADDED, ACTIVE = EVENT_BASE_COUNT_ACTIVE;
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev[3];
    int p[2];

    open_pair(p);
    ev[0] = event_of(base, p[0], EV_READ, &seen);
    ev[1] = event_of(base, -1, 0, &seen);
    ev[2] = event_of(base, SIGUSR1, EV_SIGNAL, &seen);
    CHECK_EQ(event_base_get_num_events(base, ADDED | ACTIVE), 0); /* ours are not counted */
    CHECK_EQ(event_add(ev[0], NULL), 0);
    CHECK_EQ(event_add(ev[1], MS(60000)), 0);
    CHECK_EQ(event_add(ev[2], NULL), 0);
    CHECK_EQ(event_add(ev[2], NULL), 0);
    CHECK_EQ(event_base_get_num_events(base, ADDED), 3);
    event_active(ev[0], EV_READ, 1);
    CHECK_EQ(event_base_get_num_events(base, ACTIVE), 1);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(event_del(ev[i]), 0);
    CHECK_EQ(event_base_get_num_events(base, ADDED | ACTIVE), 0);
    CHECK_EQ(event_base_get_max_events(base, ADDED, 1), 3);
    CHECK_EQ(event_base_get_max_events(base, ADDED, 0), 0);
    CHECK_EQ(event_base_get_max_events(base, ACTIVE, 0), 1);
    for (int i = 0; i < 3; i++)
        event_free(ev[i]);
    event_base_free(base);
    close_pair(p);
}
