/* parity_loop.c - loops: what holds for pyevent and for libevent alike.
 *
 * Only event2/ headers: the same file is compiled against both.
 */
#include "each.h"

static char order[64];

struct actor {
    const char *name;
    void (*act)(struct actor *);
    struct actor *other;
    struct event_base *base;
    struct event *ev;
    int fd;
};

static void on_actor(evutil_socket_t fd, short what, void *arg) {
    struct actor *a = arg;

    (void)fd;
    (void)what;
    CHECK(strlen(order) < sizeof(order) - 1);
    strcat(order, a->name);
    if (a->act != NULL)
        a->act(a);
}

static void open_actor_on(struct actor *a, struct event_base *base, const char *name, int pri,
                          int fd) {
    memset(a, 0, sizeof(*a));
    a->name = name;
    a->base = base;
    a->fd = -1;
    a->ev = event_new(base, fd, fd >= 0 ? EV_READ : 0, on_actor, a);
    CHECK(a->ev != NULL);
    CHECK_EQ(event_priority_set(a->ev, pri), 0);
}

static void open_actor(struct actor *a, struct event_base *base, const char *name, int pri) {
    open_actor_on(a, base, name, pri, -1);
}

static void activate(struct actor *a) {
    event_active(a->ev, EV_TIMEOUT, 1);
}

static void act_activate_other(struct actor *a) {
    activate(a->other);
}

static void act_send(struct actor *a) {
    send_byte(a->fd);
}

static void act_break(struct actor *a) {
    CHECK_EQ(event_base_loopbreak(a->base), 0);
}

static void act_exit(struct actor *a) {
    CHECK_EQ(event_base_loopexit(a->base, NULL), 0);
}

static struct event_base *base_with_priorities(const char *backend, int n) {
    struct event_base *base = base_on(backend);

    CHECK_EQ(event_base_priority_init(base, n), 0);
    order[0] = '\0';
    return base;
}

struct three {
    struct event_base *base;
    struct actor a[3];
};

static void open_three(struct three *t, const char *backend, void (*first)(struct actor *)) {
    static const char *const names[] = {"1", "2", "3"};

    t->base = base_with_priorities(backend, 1);
    for (int i = 0; i < 3; i++) {
        open_actor(&t->a[i], t->base, names[i], 0);
        activate(&t->a[i]);
    }
    t->a[0].act = first;
}

static void close_three(struct three *t) {
    for (int i = 0; i < 3; i++)
        event_free(t->a[i].ev);
    event_base_free(t->base);
}

/* --- return values and flags ------------------------------------------------------------- */

TEST_EACH(an_empty_base_has_nothing_to_wait_for) {
    struct event_base *base = base_on(backend);

    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(event_base_loop(base, EVLOOP_ONCE), 1);
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 1);
    CHECK(!event_base_got_exit(base));
    CHECK(!event_base_got_break(base));
    event_base_free(base);
}

TEST_EACH(nonblock_returns_when_nothing_is_ready) {
    struct event_base *base = base_with_priorities(backend, 1);
    struct actor a;

    open_actor(&a, base, "a", 0);
    CHECK_EQ(event_add(a.ev, MS(60000)), 0);
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 0);
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE), 0);
    CHECK_STR(order, "");
    event_free(a.ev);
    event_base_free(base);
}

TEST_EACH(once_waits_for_an_event_and_returns_after_it) {
    struct event_base *base = base_with_priorities(backend, 1);
    struct actor a, far;

    open_actor(&a, base, "a", 0);
    open_actor(&far, base, "f", 0);
    CHECK_EQ(event_add(a.ev, MS(10)), 0);
    CHECK_EQ(event_add(far.ev, MS(60000)), 0);
    CHECK_EQ(event_base_loop(base, EVLOOP_ONCE), 0);
    CHECK_STR(order, "a");
    event_free(a.ev);
    event_free(far.ev);
    event_base_free(base);
}

TEST_EACH(once_ends_when_no_callback_is_left_active) {
    struct event_base *base = base_with_priorities(backend, 3);
    struct actor urgent, middle, late, far;

    open_actor(&urgent, base, "u", 0);
    open_actor(&middle, base, "m", 1);
    open_actor(&late, base, "l", 2);
    open_actor(&far, base, "f", 0);
    CHECK_EQ(event_add(far.ev, MS(60000)), 0);
    late.act = act_activate_other;
    late.other = &urgent;
    activate(&late);
    activate(&middle);
    CHECK_EQ(event_base_loop(base, EVLOOP_ONCE), 0);
    CHECK_STR(order, "mlu");
    activate(&middle);
    activate(&urgent);
    late.act = NULL;
    activate(&late);
    CHECK_EQ(event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK), 0);
    CHECK_STR(order, "mluuml");
    activate(&late);
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 0);
    CHECK_STR(order, "mluumll");
    event_free(urgent.ev);
    event_free(middle.ev);
    event_free(late.ev);
    event_free(far.ev);
    event_base_free(base);
}

TEST_EACH(no_exit_on_empty_stays_until_it_is_told) {
    struct event_base *base = base_with_priorities(backend, 1);
    struct actor a;

    open_actor(&a, base, "a", 0);
    a.act = act_exit;
    CHECK_EQ(event_add(a.ev, MS(5)), 0);
    CHECK_EQ(event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY), 0);
    CHECK_STR(order, "a");
    event_free(a.ev);
    event_base_free(base);
}

static void act_dispatch(struct actor *a) {
    CHECK_EQ(event_base_dispatch(a->base), -1);
}

static void ignore_log(int severity, const char *msg) {
    (void)severity;
    (void)msg;
}

TEST_EACH(a_loop_inside_the_loop_is_refused) {
    struct three t;

    event_set_log_callback(ignore_log);
    open_three(&t, backend, act_dispatch);
    CHECK_EQ(event_base_dispatch(t.base), 1);
    CHECK_STR(order, "123");
    close_three(&t);
    event_set_log_callback(NULL);
}

/* --- ending ---------------------------------------------------------------------------------- */

TEST_EACH(loopbreak_ends_after_the_running_callback) {
    struct three t;

    open_three(&t, backend, act_break);
    CHECK_EQ(event_base_dispatch(t.base), 0);
    CHECK_STR(order, "1");
    CHECK(event_base_got_break(t.base));
    CHECK(!event_base_got_exit(t.base));
    CHECK_EQ(event_base_dispatch(t.base), 1);
    CHECK_STR(order, "123");
    CHECK(!event_base_got_break(t.base));
    close_three(&t);
}

TEST_EACH(loopexit_ends_after_the_turn) {
    struct three t;

    open_three(&t, backend, act_exit);
    CHECK_EQ(event_base_dispatch(t.base), 0);
    CHECK_STR(order, "123");
    CHECK(event_base_got_exit(t.base));
    CHECK(!event_base_got_break(t.base));
    close_three(&t);
}

TEST_EACH(loopexit_may_come_before_the_loop_and_loopbreak_not) {
    struct event_base *base = base_on(backend);

    CHECK_EQ(event_base_loopbreak(base), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(event_base_loopexit(base, NULL), 0);
    CHECK_EQ(event_base_dispatch(base), 0);
    CHECK(event_base_got_exit(base));
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK(!event_base_got_exit(base));
    event_base_free(base);
}

TEST_EACH(loopexit_may_be_for_later) {
    struct event_base *base = base_with_priorities(backend, 1);
    struct actor a;

    open_actor(&a, base, "a", 0);
    CHECK_EQ(event_add(a.ev, MS(60000)), 0);
    CHECK_EQ(event_base_loopexit(base, MS(10)), 0);
    CHECK_EQ(event_base_dispatch(base), 0);
    CHECK(event_base_got_exit(base));
    CHECK_STR(order, "");
    event_free(a.ev);
    event_base_free(base);
}

static void act_add_other_and_continue(struct actor *a) {
    CHECK_EQ(event_add(a->other->ev, NULL), 0);
    CHECK_EQ(event_base_loopcontinue(a->base), 0);
}

TEST_EACH(loopcontinue_looks_for_events_before_the_rest) {
    struct event_base *base = base_with_priorities(backend, 2);
    struct actor first, rest, urgent;
    int p[2];

    open_pair(p);
    send_byte(p[1]);
    open_actor(&first, base, "1", 1);
    open_actor(&rest, base, "2", 1);
    open_actor_on(&urgent, base, "u", 0, p[0]);
    first.act = act_add_other_and_continue;
    first.other = &urgent;
    activate(&first);
    activate(&rest);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_STR(order, "1u2");
    event_free(first.ev);
    event_free(rest.ev);
    event_free(urgent.ev);
    event_base_free(base);
    close_pair(p);
}

/* --- priorities -------------------------------------------------------------------------------- */

TEST_EACH(more_urgent_callbacks_run_first) {
    struct event_base *base = base_with_priorities(backend, 4);
    static const char *const names[] = {"0", "1", "2", "3"};
    struct actor a[4];

    for (int i = 3; i >= 0; i--) {
        open_actor(&a[i], base, names[i], i);
        activate(&a[i]);
    }
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_STR(order, "0123");
    for (int i = 0; i < 4; i++)
        event_free(a[i].ev);
    event_base_free(base);
}

TEST_EACH(one_level_runs_between_two_polls) {
    struct event_base *base = base_with_priorities(backend, 2);
    struct actor urgent, late, reader;
    int p[2];

    open_pair(p);
    open_actor(&urgent, base, "u", 0);
    open_actor(&late, base, "l", 1);
    open_actor_on(&reader, base, "s", 0, p[0]);
    CHECK_EQ(event_add(reader.ev, NULL), 0);
    urgent.act = act_send;
    urgent.fd = p[1];
    activate(&urgent);
    activate(&late);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_STR(order, "usl");
    event_free(urgent.ev);
    event_free(late.ev);
    event_free(reader.ev);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(a_more_urgent_activation_interrupts_the_level) {
    struct event_base *base = base_with_priorities(backend, 2);
    struct actor first, second, urgent;

    open_actor(&first, base, "1", 1);
    open_actor(&second, base, "2", 1);
    open_actor(&urgent, base, "u", 0);
    first.act = act_activate_other;
    first.other = &urgent;
    activate(&first);
    activate(&second);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_STR(order, "1u2");
    event_free(first.ev);
    event_free(second.ev);
    event_free(urgent.ev);
    event_base_free(base);
}

TEST_EACH(what_a_callback_activates_runs_in_its_turn) {
    struct event_base *base = base_with_priorities(backend, 1);
    struct actor first, second;

    open_actor(&first, base, "1", 0);
    open_actor(&second, base, "2", 0);
    first.act = act_activate_other;
    first.other = &second;
    activate(&first);
    CHECK_EQ(event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK), 0);
    CHECK_STR(order, "12");
    event_free(first.ev);
    event_free(second.ev);
    event_base_free(base);
}

TEST_EACH(priorities_are_within_bounds) {
    struct event_base *base = base_on(backend);
    struct actor a;

    CHECK_EQ(event_base_get_npriorities(base), 1);
    CHECK_EQ(event_base_priority_init(base, 0), -1);
    CHECK_EQ(event_base_priority_init(base, EVENT_MAX_PRIORITIES), -1);
    CHECK_EQ(event_base_priority_init(base, EVENT_MAX_PRIORITIES - 1), 0);
    CHECK_EQ(event_base_priority_init(base, 5), 0);
    CHECK_EQ(event_base_get_npriorities(base), 5);
    open_actor(&a, base, "a", 0);
    CHECK_EQ(event_get_priority(a.ev), 0);
    CHECK_EQ(event_priority_set(a.ev, 4), 0);
    CHECK_EQ(event_get_priority(a.ev), 4);
    CHECK_EQ(event_priority_set(a.ev, 5), -1);
    CHECK_EQ(event_priority_set(a.ev, -1), -1);
    activate(&a);
    CHECK_EQ(event_priority_set(a.ev, 1), -1);
    CHECK_EQ(event_base_priority_init(base, 3), -1);
    CHECK_EQ(event_base_get_npriorities(base), 5);
    event_free(a.ev);
    event_base_free(base);
}

TEST_EACH(the_default_priority_is_in_the_middle) {
    struct event_base *base = base_with_priorities(backend, 5);
    struct event *ev = event_new(base, -1, 0, see, NULL);

    CHECK_EQ(event_get_priority(ev), 2);
    event_free(ev);
    event_base_free(base);
}

/* --- configuration ------------------------------------------------------------------------------- */

static void act_send_once(struct actor *a) {
    if (a->fd >= 0)
        send_byte(a->fd);
    a->fd = -1;
}

/* Five callbacks are due, the first makes a more urgent socket ready, which is
 * seen when the limit of three lets the loop look again. */
TEST(a_limit_on_callbacks_holds_from_its_priority_on) {
    for (int min_priority = 1; min_priority < 3; min_priority++) {
        struct event_config *cfg = event_config_new();
        struct event_base *base;
        struct actor a[5], urgent;
        int p[2];

        CHECK(cfg != NULL);
        CHECK_EQ(event_config_set_max_dispatch_interval(cfg, NULL, 3, min_priority), 0);
        base = event_base_new_with_config(cfg);
        event_config_free(cfg);
        CHECK(base != NULL);
        CHECK_EQ(event_base_priority_init(base, 2), 0);
        order[0] = '\0';
        open_pair(p);
        open_actor_on(&urgent, base, "u", 0, p[0]);
        CHECK_EQ(event_add(urgent.ev, NULL), 0);
        for (int i = 0; i < 5; i++) {
            open_actor(&a[i], base, "x", 1);
            activate(&a[i]);
        }
        a[0].act = act_send_once;
        a[0].fd = p[1];
        CHECK_EQ(event_base_dispatch(base), 1);
        CHECK_STR(order, min_priority == 1 ? "xxxuxx" : "xxxxxu");
        for (int i = 0; i < 5; i++)
            event_free(a[i].ev);
        event_free(urgent.ev);
        event_base_free(base);
        close_pair(p);
    }
}

TEST(a_base_has_the_features_asked_for_or_is_not_made) {
    static const int features[] = {EV_FEATURE_ET, EV_FEATURE_O1, EV_FEATURE_FDS,
                                   EV_FEATURE_EARLY_CLOSE};

    for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        struct event_config *cfg = event_config_new();
        struct event_base *base;

        CHECK(cfg != NULL);
        CHECK_EQ(event_config_require_features(cfg, features[i]), 0);
        base = event_base_new_with_config(cfg);
        event_config_free(cfg);
        if (base != NULL) {
            CHECK((event_base_get_features(base) & features[i]) != 0);
            event_base_free(base);
        }
    }
}

TEST(no_base_without_a_method) {
    struct event_config *cfg = event_config_new();
    const char **names = event_get_supported_methods();

    CHECK(cfg != NULL);
    event_set_log_callback(ignore_log);
    for (int i = 0; names[i] != NULL; i++)
        CHECK_EQ(event_config_avoid_method(cfg, names[i]), 0);
    CHECK(event_base_new_with_config(cfg) == NULL);
    event_config_free(cfg);
    event_set_log_callback(NULL);
}

static void check_cached_time(evutil_socket_t fd, short what, void *arg) {
    struct timeval first, second, now;

    (void)fd;
    (void)what;
    CHECK_EQ(event_base_gettimeofday_cached(arg, &first), 0);
    CHECK_EQ(gettimeofday(&now, NULL), 0);
    CHECK(first.tv_sec <= now.tv_sec + 1 && first.tv_sec >= now.tv_sec - 2);
    CHECK_EQ(event_base_update_cache_time(arg), 0);
    CHECK_EQ(event_base_gettimeofday_cached(arg, &second), 0);
    CHECK(second.tv_sec >= first.tv_sec);
    strcat(order, "c");
}

TEST_EACH(the_time_of_day_can_be_asked_of_the_base) {
    struct event_base *base = base_with_priorities(backend, 1);

    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, check_cached_time, base, NULL), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_STR(order, "c");
    check_cached_time(-1, 0, base); /* outside of the loop too */
    event_base_free(base);
}
