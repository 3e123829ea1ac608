/* test_finalize.c - finalizers, and debug mode. */
#include <stdlib.h>

#include "base/mem.h"
#include "each.h"
#include "event2/event_struct.h"
#include "event2/thread.h"

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
