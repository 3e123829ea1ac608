/* test_finalize.c - finalizers, and debug mode. */
#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"
#include "each.h"
#include "event2/event_struct.h"
#include "event2/thread.h"
#include "loop/debug.h"

static struct event *finalized;
static int finalizer_calls;

static void on_finalize(struct event *ev, void *arg) {
    finalized = ev;
    finalizer_calls++;
    CHECK(arg == &finalizer_calls || arg == ev || arg == NULL);
}

TEST_EACH(a_finalizer_runs_in_the_loop_and_the_event_is_of_no_use_before) {
    struct event_base *base = base_on(backend);
    struct event ev;

    finalizer_calls = 0;
    CHECK_EQ(event_assign(&ev, base, -1, EV_PERSIST, NULL, &finalizer_calls), 0);
    CHECK_EQ(event_add(&ev, MS(60000)), 0);
    CHECK_EQ(event_finalize(0, &ev, on_finalize), 0);
    CHECK_EQ(finalizer_calls, 0);
    CHECK_EQ(event_pending(&ev, EV_TIMEOUT, NULL), 0);
    CHECK_EQ(event_add(&ev, NULL), -1);
    event_active(&ev, EV_TIMEOUT, 1);
    CHECK_EQ(event_finalize(0, &ev, on_finalize), -1); /* once is enough */
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(finalizer_calls, 1);
    CHECK(finalized == &ev);
    CHECK_EQ(event_assign(&ev, base, -1, 0, NULL, NULL), 0); /* its memory is free */
    event_base_free(base);
}

static void finalize_self(evutil_socket_t fd, short what, void *arg) {
    struct event *ev = arg;

    (void)fd;
    (void)what;
    CHECK_EQ(event_free_finalize(0, ev, on_finalize), 0);
    CHECK_EQ(finalizer_calls, 0); /* not while its callback runs */
}

TEST_EACH(free_finalize_in_its_own_callback_frees_after_it) {
    struct event_base *base = base_on(backend);
    struct event *ev = event_new(base, -1, EV_PERSIST, finalize_self, event_self_cbarg());

    finalizer_calls = 0;
    CHECK(ev != NULL);
    event_active(ev, EV_TIMEOUT, 1);
    finalized = NULL;
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(finalizer_calls, 1);
    event_base_free(base);
}

TEST_EACH(freeing_the_base_runs_finalizers_that_are_due_unless_told_not_to) {
    struct event_base *base = base_on(backend);
    struct event *ev = event_new(base, -1, 0, see, NULL);
    struct event other;

    finalizer_calls = 0;
    CHECK_EQ(event_free_finalize(0, ev, on_finalize), 0);
    event_base_free(base);
    CHECK_EQ(finalizer_calls, 1);
    base = base_on(backend);
    CHECK_EQ(event_assign(&other, base, -1, 0, see, NULL), 0);
    CHECK_EQ(event_finalize(0, &other, on_finalize), 0);
    event_base_free_nofinalize(base);
    CHECK_EQ(finalizer_calls, 1);
}

static void free_it(struct event *ev, void *arg) {
    on_finalize(ev, arg);
    event_free(ev);
}

static struct event *finalizing(struct event_base *base, event_finalize_callback_fn fn,
                                bool frees) {
    struct event *ev = event_new(base, -1, EV_PERSIST, see, NULL);

    CHECK(ev != NULL);
    CHECK_EQ(event_add(ev, MS(60000)), 0);
    CHECK_EQ(frees ? event_free_finalize(0, ev, fn) : event_finalize(0, ev, fn), 0);
    return ev;
}

/* The memory goes once, after the finalizer. */
TEST_EACH(an_event_freed_while_its_finalizer_is_due_goes_after_it) {
    struct event_base *base = base_on(backend);

    finalizer_calls = 0;
    event_free(finalizing(base, on_finalize, false));
    event_free(finalizing(base, on_finalize, true));
    CHECK_EQ(finalizer_calls, 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(finalizer_calls, 2);
    (void)finalizing(base, free_it, false); /* it frees itself */
    (void)finalizing(base, free_it, true);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(finalizer_calls, 4);
    event_free(finalizing(base, on_finalize, false));
    event_base_free(base);
    CHECK_EQ(finalizer_calls, 5);
}

TEST_EACH(a_base_freed_without_finalizers_leaves_no_event_behind) {
    struct event_base *base = base_on(backend);
    struct event *ev = finalizing(base, on_finalize, false);

    finalizer_calls = 0;
    (void)finalizing(base, on_finalize, true);
    event_base_free_nofinalize(base);
    event_free(ev);
    CHECK_EQ(finalizer_calls, 0);
}

static char last_log[256];

static void keep_log(int severity, const char *msg) {
    (void)severity;
    snprintf(last_log, sizeof(last_log), "%s", msg);
}

TEST(debug_mode_refuses_what_is_no_event) {
    struct event_base *base;
    struct event wild, ev;
    struct event *made[300];

    event_set_log_callback(keep_log);
    event_enable_debug_mode();
    base = event_base_new();
    memset(&wild, 0xff, sizeof(wild));
    wild.base = base;
    CHECK_EQ(event_add(&wild, NULL), -1);
    CHECK_EQ(errno, EINVAL);
    CHECK(strstr(last_log, "event_add") != NULL);
    CHECK_EQ(event_del(&wild), -1);
    event_active(&wild, EV_READ, 1);
    CHECK(strstr(last_log, "event_active") != NULL);
    CHECK_EQ(event_assign(&ev, base, -1, 0, see, NULL), 0);
    CHECK_EQ(event_add(&ev, MS(60000)), 0);
    CHECK_EQ(event_assign(&ev, base, -1, 0, see, NULL), -1); /* it is pending */
    CHECK_EQ(errno, EBUSY);
    CHECK_EQ(event_del(&ev), 0);
    event_debug_unassign(&ev);
    CHECK_EQ(event_add(&ev, NULL), -1);
    for (int i = 0; i < 300; i++) { /* the table grows, and finds all again */
        made[i] = event_new(base, -1, 0, see, NULL);
        CHECK(made[i] != NULL);
    }
    for (int i = 0; i < 300; i += 2)
        event_free(made[i]);
    for (int i = 1; i < 300; i += 2) {
        CHECK_EQ(event_add(made[i], NULL), 0);
        event_free(made[i]);
    }
    CHECK_EQ(event_base_loopexit(base, NULL), 0);
    CHECK_EQ(event_base_dispatch(base), 0);
    event_base_free(base);
    libevent_global_shutdown();
}

TEST(debug_mode_reports_that_memory_is_out) {
    struct event_base *base;
    struct event ev;

    event_enable_debug_mode();
    base = event_base_new();
    pe_mem_fail_nth(1);
    CHECK_EQ(event_assign(&ev, base, -1, 0, see, NULL), -1);
    CHECK_EQ(errno, ENOMEM);
    pe_mem_fail_nth(2);
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, see, NULL, NULL), -1);
    CHECK_EQ(errno, ENOMEM);
    event_base_free(base);
    libevent_global_shutdown();
}

TEST(there_are_no_locks_and_thread_h_says_so) {
    struct event_base *base = event_base_new();

    CHECK_EQ(evthread_use_pthreads(), -1);
    CHECK_EQ(errno, ENOSYS);
    CHECK_EQ(evthread_use_pthreads_with_flags(EVTHREAD_PTHREAD_PRIO_INHERIT), -1);
    CHECK_EQ(evthread_make_base_notifiable(base), 0);
    CHECK_EQ(evthread_make_base_notifiable(NULL), -1);
    event_base_free(base);
}

/* Each finalizer brings about the next. */
static void go_on(struct event *ev, void *arg) {
    struct event_base *base = event_get_base(ev);

    (void)arg;
    finalizer_calls++;
    (void)finalizing(base, go_on, true);
}

TEST_EACH(finalizers_that_go_on_and_on_do_not_keep_the_base) {
    struct event_base *base = base_on(backend);

    event_set_log_callback(keep_log);
    finalizer_calls = 0;
    (void)finalizing(base, go_on, true);
    event_base_free(base);
    CHECK(finalizer_calls > 1 && finalizer_calls < 1000);
    CHECK(strstr(last_log, "go on and on") != NULL);
}

/* Finalizers that try to use the base, while it is being freed. */
static void use_the_base(struct event *ev, void *arg) {
    struct event_base *base = event_get_base(ev);

    (void)arg;
    finalizer_calls++;
    CHECK_EQ(event_base_dispatch(base), -1);
    CHECK_EQ(errno, EBUSY);
    CHECK(strstr(last_log, "being freed") != NULL);
    last_log[0] = '\0';
    event_base_free(base);
    CHECK(strstr(last_log, "being freed") != NULL);
    last_log[0] = '\0';
    event_base_free_nofinalize(base);
    CHECK(strstr(last_log, "being freed") != NULL);
}

TEST_EACH(a_base_that_is_being_freed_neither_runs_nor_is_freed_again) {
    struct event_base *base = base_on(backend);

    event_set_log_callback(keep_log);
    finalizer_calls = 0;
    (void)finalizing(base, use_the_base, true);
    event_base_free(base);
    CHECK_EQ(finalizer_calls, 1);
}

TEST_EACH(debug_mode_refuses_edges_and_levels_on_one_descriptor) {
    static const short kinds[] = {EV_READ, EV_READ | EV_ET};
    struct event_base *base;
    int p[2];

    event_set_log_callback(keep_log);
    event_enable_debug_mode();
    base = base_on(backend);
    open_pair(p);
    for (int i = 0; i < 2; i++) {
        struct event *first = event_new(base, p[0], kinds[i], see, NULL);
        struct event *like = event_new(base, p[0], (short)(kinds[i] | EV_WRITE), see, NULL);
        struct event *other = event_new(base, p[0], kinds[1 - i], see, NULL);

        CHECK_EQ(event_add(first, NULL), 0);
        CHECK_EQ(event_add(like, NULL), 0);
        last_log[0] = '\0';
        CHECK_EQ(event_add(other, MS(1)), -1);
        CHECK_EQ(errno, EINVAL);
        CHECK(strstr(last_log, "edge-triggered") != NULL);
        CHECK_EQ(event_pending(other, EV_READ | EV_TIMEOUT, NULL), 0);
        CHECK_EQ(event_del(first), 0);
        CHECK_EQ(event_del(like), 0);
        CHECK_EQ(event_add(other, NULL), 0);
        event_free(first);
        event_free(like);
        event_free(other);
    }
    event_base_free(base);
    close_pair(p);
    libevent_global_shutdown();
}

TEST(debug_mode_is_refused_while_there_are_events) {
    struct event_base *base = event_base_new(), *other = event_base_new();
    struct event ev;

    event_set_log_callback(keep_log);
    CHECK_EQ(event_assign(&ev, base, -1, 0, see, NULL), 0);
    event_enable_debug_mode();
    CHECK(strstr(last_log, "event_enable_debug_mode") != NULL);
    CHECK(!pe_debug_is_on());
    CHECK_EQ(event_add(&ev, MS(60000)), 0); /* it is not taken for none */
    CHECK_EQ(event_del(&ev), 0);
    CHECK_EQ(event_base_set(other, &ev), 0);
    event_base_free(base);
    event_enable_debug_mode();
    CHECK(!pe_debug_is_on());
    event_base_free(other);
    base = event_base_new(); /* without events it is no matter */
    CHECK_EQ(pe_debug_enable(), 0);
    CHECK(pe_debug_is_on());
    CHECK_EQ(event_assign(&ev, base, -1, 0, see, NULL), 0);
    CHECK_EQ(pe_debug_enable(), 0); /* it is on */
    event_base_free(base);
    libevent_global_shutdown();
}
