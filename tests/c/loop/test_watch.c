/* test_watch.c - prepare and check watchers: when they run, how they go. */
#include <stdbool.h>

#include "each.h"
#include "event2/watch.h"

static char order[64]; /* a letter for each thing that ran */

static void note(char letter) {
    size_t n = strlen(order);

    CHECK(n + 1 < sizeof(order));
    order[n] = letter;
}

static void on_prepare(struct evwatch *watch, const struct evwatch_prepare_cb_info *info,
                       void *arg) {
    struct timeval tv;

    (void)watch;
    note(*(const char *)arg);
    CHECK(evwatch_prepare_get_timeout(info, &tv) == 0 || tv.tv_sec >= 0);
}

static void on_check(struct evwatch *watch, const struct evwatch_check_cb_info *info, void *arg) {
    (void)watch;
    (void)info;
    note(*(const char *)arg);
}

static void on_event(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    note(*(const char *)arg);
}

TEST_EACH(watchers_run_around_the_wait_in_the_order_of_making) {
    struct event_base *base = base_on(backend);
    struct evwatch *watch = evwatch_check_new(base, on_check, (void *)"c");

    memset(order, 0, sizeof(order));
    CHECK(watch != NULL);
    CHECK(evwatch_base(watch) == base);
    CHECK(evwatch_prepare_new(base, on_prepare, (void *)"p") != NULL);
    CHECK(evwatch_prepare_new(base, on_prepare, (void *)"q") != NULL);
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, on_event, (void *)"e", NULL), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_STR(order, "pqce");
    event_base_free(base); /* frees them */
}

TEST_EACH(watchers_do_not_keep_a_loop_alive) {
    struct event_base *base = base_on(backend);

    memset(order, 0, sizeof(order));
    CHECK(evwatch_prepare_new(base, on_prepare, (void *)"p") != NULL);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_STR(order, "");
    event_base_free(base);
}

static void check_timeout(struct evwatch *watch, const struct evwatch_prepare_cb_info *info,
                          void *arg) {
    struct timeval tv = {-1, -1};
    int *calls = arg;

    (void)watch;
    if (++*calls == 1) {
        CHECK_EQ(evwatch_prepare_get_timeout(info, &tv), 1);
        CHECK_EQ(tv.tv_sec, 0);
        CHECK(tv.tv_usec > 0 && tv.tv_usec <= 20000);
    }
}

TEST_EACH(prepare_is_told_how_long_the_wait_will_be) {
    struct event_base *base = base_on(backend);
    int calls = 0;

    CHECK(evwatch_prepare_new(base, check_timeout, &calls) != NULL);
    memset(order, 0, sizeof(order));
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, on_event, (void *)"e", MS(20)), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK(calls >= 1);
    event_base_free(base);
}

static void add_timer(struct evwatch *watch, const struct evwatch_prepare_cb_info *info,
                      void *arg) {
    bool *done = arg;

    (void)info;
    if (!*done)
        CHECK_EQ(event_base_once(evwatch_base(watch), -1, EV_TIMEOUT, on_event, (void *)"e", MS(1)),
                 0);
    *done = true;
}

TEST_EACH(what_a_prepare_watcher_adds_counts_for_the_coming_wait) {
    struct event_base *base = base_on(backend);
    bool done = false;
    int p[2];
    struct event *ev;
    struct seen seen = {0};

    open_pair(p);
    memset(order, 0, sizeof(order));
    ev = event_new(base, p[0], EV_READ, see, &seen); /* never readable */
    CHECK_EQ(event_add(ev, NULL), 0);
    CHECK(evwatch_prepare_new(base, add_timer, &done) != NULL);
    CHECK_EQ(event_base_loop(base, EVLOOP_ONCE), 0); /* the deadline would find a hang */
    CHECK_STR(order, "e");
    event_free(ev);
    event_base_free(base);
    close_pair(p);
}

static struct evwatch *others[3];

static struct event_base *the_base;

static void free_all(struct evwatch *watch, const struct evwatch_prepare_cb_info *info,
                     void *arg) {
    (void)watch;
    (void)info;
    note(*(const char *)arg);
    for (int i = 0; i < 3; i++)
        evwatch_free(others[i]);
    CHECK(evwatch_prepare_new(the_base, on_prepare, (void *)"n") != NULL);
}

TEST_EACH(any_watcher_may_be_freed_and_made_in_any_callback) {
    struct event_base *base = the_base = base_on(backend);

    memset(order, 0, sizeof(order));
    others[0] = evwatch_prepare_new(base, on_prepare, (void *)"a");
    others[1] = evwatch_prepare_new(base, free_all, (void *)"b");
    others[2] = evwatch_prepare_new(base, on_prepare, (void *)"c");
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_NO_EXIT_ON_EMPTY), 0);
    CHECK_STR(order, "ab"); /* the new one is first called in the next run */
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_NO_EXIT_ON_EMPTY), 0);
    CHECK_STR(order, "abn");
    event_base_free(base);
}

static void break_loop(struct evwatch *watch, const struct evwatch_prepare_cb_info *info,
                       void *arg) {
    (void)info;
    (void)arg;
    CHECK_EQ(event_base_loopbreak(evwatch_base(watch)), 0);
}

TEST_EACH(a_loopbreak_in_a_watcher_ends_the_loop_before_any_callback) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = event_new(base, -1, 0, see, &seen);

    CHECK(evwatch_prepare_new(base, break_loop, NULL) != NULL);
    event_active(ev, EV_TIMEOUT, 1);
    CHECK_EQ(event_base_dispatch(base), 0);
    CHECK(event_base_got_break(base));
    CHECK_EQ(seen.calls, 0);
    CHECK_EQ(event_pending(ev, EV_TIMEOUT, NULL), EV_TIMEOUT); /* still active */
    event_free(ev);
    event_base_free(base);
}
