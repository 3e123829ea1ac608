/* test_fork_threads.c - a fork in one thread while another one's loop is at work.
 *
 * A thread runs the loop, and stops at one place: inside a callback of some kind. Then
 * the main thread forks. In the child nobody goes on from that place, and the base
 * must be of use all the same: what was waited for comes, what was due is done, new
 * events can be added, and it can be freed. In the parent the loop then goes on.
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "each.h"
#include "event2/watch.h"
#include "loop/fork.h"
#include "loop/internal.h"

static int entered[2], released[2]; /* pipes: the loop has stopped, and may go on */

static void stop_here(void) {
    char byte;

    CHECK_EQ(write(entered[1], "x", 1), 1);
    CHECK_EQ(read(released[0], &byte, 1), 1);
}

/* What one test is about. */
struct place {
    struct event_base *base;
    struct seen before, after; /* of events that wait since before, and were due */
    struct event *persistent, *due[4];
    struct evwatch *watch[3];
    struct pe_flush flush[3];
    int flushed[3];
    struct pe_timer timer;
    bool has_stopped;
};

static void stop_once(struct place *p) {
    if (p->has_stopped)
        return;
    p->has_stopped = true;
    stop_here();
}

static void stop_in_event(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    stop_once(arg);
}

static void stop_in_prepare(struct evwatch *watch, const struct evwatch_prepare_cb_info *info,
                            void *arg) {
    (void)watch;
    (void)info;
    stop_once(arg);
}

static void stop_in_check(struct evwatch *watch, const struct evwatch_check_cb_info *info,
                          void *arg) {
    (void)watch;
    (void)info;
    stop_once(arg);
}

static void stop_in_finalizer(struct event *ev, void *arg) {
    (void)ev;
    stop_once(arg);
}

static void stop_in_timer(struct event_base *base, struct pe_timer *timer) {
    (void)base;
    stop_once(pe_container(timer, struct place, timer));
}

/* The second of three stops; each is counted when it is through. */
static void flushed_by(struct place *p, int i) {
    if (i == 1)
        stop_once(p);
    p->flushed[i]++;
}

static void flush_first(struct event_base *base, struct pe_flush *item) {
    (void)base;
    flushed_by(pe_container(item, struct place, flush[0]), 0);
}

static void flush_second(struct event_base *base, struct pe_flush *item) {
    (void)base;
    flushed_by(pe_container(item, struct place, flush[1]), 1);
}

static void flush_third(struct event_base *base, struct pe_flush *item) {
    (void)base;
    flushed_by(pe_container(item, struct place, flush[2]), 2);
}

static struct event *made(struct event_base *base, short what, event_callback_fn fn, void *arg) {
    struct event *ev = event_new(base, -1, what, fn, arg);

    CHECK(ev != NULL);
    return ev;
}

static void make_due(struct place *p, int i, event_callback_fn fn, void *arg) {
    p->due[i] = made(p->base, 0, fn, arg);
    event_active(p->due[i], EV_TIMEOUT, 1);
}

/* --- the places -------------------------------------------------------------------- */

static void in_a_callback(struct place *p) {
    make_due(p, 0, stop_in_event, p);
    make_due(p, 1, see, &p->after);
}

static void in_a_prepare_watcher(struct place *p) {
    for (int i = 0; i < 3; i++)
        p->watch[i] = evwatch_prepare_new(p->base, stop_in_prepare, p);
    make_due(p, 0, see, &p->after);
}

static void in_a_check_watcher(struct place *p) {
    for (int i = 0; i < 3; i++)
        p->watch[i] = evwatch_check_new(p->base, stop_in_check, p);
    make_due(p, 0, see, &p->after);
}

static void in_a_finalizer(struct place *p) {
    p->due[0] = made(p->base, 0, see, p);
    CHECK_EQ(event_finalize(0, p->due[0], stop_in_finalizer), 0);
    make_due(p, 1, see, &p->after);
}

static void in_a_timer(struct place *p) {
    pe_timer_init(&p->timer, stop_in_timer);
    CHECK_EQ(pe_timer_set(p->base, &p->timer, 1), 0);
    make_due(p, 0, see, &p->after);
}

static void in_the_flush_list(struct place *p) {
    static void (*const fns[])(struct event_base *, struct pe_flush *) = {
        flush_first, flush_second, flush_third};

    for (int i = 0; i < 3; i++) {
        pe_flush_init(&p->flush[i], fns[i]);
        pe_flush_add(p->base, &p->flush[i]);
    }
}

static void in_a_once_callback(struct place *p) {
    CHECK_EQ(event_base_once(p->base, -1, EV_TIMEOUT, stop_in_event, p, NULL), 0);
    CHECK_EQ(event_base_once(p->base, -1, EV_TIMEOUT, see, &p->after, NULL), 0);
}

/* Of three calls that are due; the child is to hear of none. */
static void in_a_signal_callback(struct place *p) {
    p->due[0] = event_new(p->base, SIGUSR1, EV_SIGNAL | EV_PERSIST, stop_in_event, p);
    CHECK(p->due[0] != NULL);
    CHECK_EQ(event_add(p->due[0], NULL), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(raise(SIGUSR1), 0);
    make_due(p, 1, see, &p->after);
}

static void in_the_wait(struct place *p) {
    (void)p;
}

/* --- running ----------------------------------------------------------------------- */

static void *run_loop(void *arg) {
    struct place *p = arg;

    CHECK_EQ(event_base_loop(p->base, EVLOOP_NO_EXIT_ON_EMPTY), 0);
    return NULL;
}

static void end_loop(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    CHECK_EQ(event_base_loopbreak(arg), 0);
}

static void open_place(struct place *p, const char *backend, void (*set_up)(struct place *)) {
    memset(p, 0, sizeof(*p));
    CHECK_EQ(pipe(entered), 0);
    CHECK_EQ(pipe(released), 0);
    p->base = base_on(backend);
    p->persistent = made(p->base, EV_PERSIST, see, &p->before);
    CHECK_EQ(event_add(p->persistent, MS(1)), 0);
    set_up(p);
}

static void close_place(struct place *p) {
    event_free(p->persistent);
    for (int i = 0; i < 4; i++) {
        if (p->due[i] != NULL)
            event_free(p->due[i]);
    }
    for (int i = 0; i < 3; i++) {
        if (p->watch[i] != NULL)
            evwatch_free(p->watch[i]);
    }
    event_base_free(p->base);
    close_pair(entered);
    close_pair(released);
}

/* Everything that a program does with a base. */
static void use_in_child(struct place *p) {
    struct event *ender = made(p->base, 0, end_loop, p->base);
    struct seen io = {0}, signalled = {0};
    struct event *reader, *on_signal;
    struct evwatch *watch;
    int pair[2], before = p->before.calls, after = p->after.calls;
    bool had_after = p->due[0] != NULL || after != 0 || p->flush[0].flush != NULL;

    open_pair(pair);
    reader = event_new(p->base, pair[0], EV_READ, see, &io);
    on_signal = event_new(p->base, SIGUSR2, EV_SIGNAL, see, &signalled);
    watch = evwatch_prepare_new(p->base, stop_in_prepare, p);
    CHECK(reader != NULL && on_signal != NULL && watch != NULL);
    CHECK_EQ(event_add(reader, NULL), 0);
    CHECK_EQ(event_add(on_signal, NULL), 0);
    CHECK_EQ(event_add(ender, MS(30)), 0);
    send_byte(pair[1]);
    CHECK_EQ(raise(SIGUSR2), 0);
    CHECK(!pe_base_is_running(p->base));
    CHECK(event_base_get_running_event(p->base) == NULL);
    CHECK_EQ(event_base_priority_init(p->base, 1), p->base->active_count == 0 ? 0 : -1);
    CHECK_EQ(event_base_dispatch(p->base), 0);
    CHECK(p->before.calls > before);
    CHECK_EQ(io.calls, 1);
    CHECK_EQ(signalled.calls, 1);
    if (p->flush[0].flush != NULL) {
        for (int i = 0; i < 3; i++)
            CHECK_EQ(p->flushed[i], 1);
    } else if (had_after) {
        CHECK_EQ(p->after.calls, 1);
    }
    event_free(reader);
    event_free(on_signal);
    event_free(ender);
    evwatch_free(watch);
    close_pair(pair);
    close_place(p);
    CHECK_EQ(pe_mem_live_total(), 0);
}

static void check_child(pid_t pid) {
    int status;

    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    if (WEXITSTATUS(status) != 0)
        _exit(WEXITSTATUS(status)); /* the child has told why */
}

enum in_child { LET_GO, REINIT };

static void fork_at(const char *backend, void (*set_up)(struct place *), enum in_child way) {
    struct place p;
    pthread_t thread;
    char byte;
    pid_t pid;

    open_place(&p, backend, set_up);
    CHECK_EQ(pthread_create(&thread, NULL, run_loop, &p), 0);
    CHECK_EQ(read(entered[0], &byte, 1), 1);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        if (way == LET_GO)
            pe_bases_let_go_after_fork();
        else
            CHECK_EQ(event_reinit(p.base), 0);
        use_in_child(&p);
        _exit(0);
    }
    check_child(pid);
    CHECK_EQ(event_base_loopbreak(p.base), 0); /* the loop is in a callback: it is ours */
    send_byte(released[1]);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    close_place(&p);
}

static void fork_at_both(const char *backend, void (*set_up)(struct place *)) {
    fork_at(backend, set_up, LET_GO);
    fork_at(backend, set_up, REINIT);
}

TEST_EACH(a_child_forked_during_a_callback_has_a_sound_base) {
    fork_at_both(backend, in_a_callback);
}

TEST_EACH(a_child_forked_during_a_prepare_watcher_has_a_sound_base) {
    fork_at_both(backend, in_a_prepare_watcher);
}

TEST_EACH(a_child_forked_during_a_check_watcher_has_a_sound_base) {
    fork_at_both(backend, in_a_check_watcher);
}

TEST_EACH(a_child_forked_during_a_finalizer_has_a_sound_base) {
    fork_at_both(backend, in_a_finalizer);
}

TEST_EACH(a_child_forked_during_a_timer_has_a_sound_base) {
    fork_at_both(backend, in_a_timer);
}

TEST_EACH(a_child_forked_during_the_flush_list_does_all_of_it) {
    fork_at_both(backend, in_the_flush_list);
}

TEST_EACH(a_child_forked_during_a_once_callback_has_a_sound_base) {
    fork_at_both(backend, in_a_once_callback);
}

TEST_EACH(a_child_forked_during_a_signal_callback_hears_of_no_signal) {
    fork_at_both(backend, in_a_signal_callback);
}

/* --- other places -------------------------------------------------------------------- */

static void *free_base(void *arg) {
    event_base_free(((struct place *)arg)->base);
    return NULL;
}

/* A finalizer runs while the base is being freed: in the child it can be freed again. */
TEST_EACH(a_base_half_freed_in_another_thread_can_be_used_in_the_child) {
    struct place p;
    pthread_t thread;
    char byte;
    pid_t pid;

    open_place(&p, backend, in_a_finalizer);
    CHECK_EQ(pthread_create(&thread, NULL, free_base, &p), 0);
    CHECK_EQ(read(entered[0], &byte, 1), 1);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        pe_bases_let_go_after_fork();
        use_in_child(&p);
        _exit(0);
    }
    check_child(pid);
    send_byte(released[1]);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    event_free(p.persistent);
    event_free(p.due[0]);
    event_free(p.due[1]);
    close_pair(entered);
    close_pair(released);
}

/* The lock of the user's, which the wait hooks give up and take. */
static pthread_mutex_t users_lock = PTHREAD_MUTEX_INITIALIZER;

static void give_up(void *arg) {
    struct place *p = arg;

    if (!p->has_stopped) {
        p->has_stopped = true;
        CHECK_EQ(write(entered[1], "x", 1), 1);
    }
    pthread_mutex_unlock(&users_lock);
}

static void take(void *arg) {
    (void)arg;
    pthread_mutex_lock(&users_lock);
}

static void *run_locked(void *arg) {
    pthread_mutex_lock(&users_lock);
    (void)run_loop(arg);
    pthread_mutex_unlock(&users_lock);
    return NULL;
}

static void start_waiting(struct place *p, const char *backend, pthread_t *thread) {
    char byte;

    open_place(p, backend, in_the_wait);
    CHECK_EQ(event_del(p->persistent), 0);
    event_base_set_wait_hooks(p->base, give_up, take, p);
    CHECK_EQ(pthread_create(thread, NULL, run_locked, p), 0);
    CHECK_EQ(read(entered[0], &byte, 1), 1);
    pthread_mutex_lock(&users_lock);
}

static void end_waiting(struct place *p, pthread_t thread) {
    CHECK_EQ(event_base_loopbreak(p->base), 0);
    pthread_mutex_unlock(&users_lock);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    close_place(p);
}

TEST_EACH(reinit_is_refused_while_another_thread_waits) {
    struct place p;
    pthread_t thread;
    struct event *ev;
    struct seen seen = {0};
    pid_t pid;

    start_waiting(&p, backend, &thread);
    CHECK_EQ(event_reinit(p.base), -1);
    CHECK_EQ(errno, EBUSY);
    ev = made(p.base, 0, see, &seen);
    CHECK_EQ(event_add(ev, MS(0)), 0);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) { /* where nobody waits */
        CHECK_EQ(event_reinit(p.base), 0);
        event_base_set_wait_hooks(p.base, NULL, NULL, NULL);
        CHECK_EQ(event_base_loop(p.base, EVLOOP_ONCE), 0);
        CHECK_EQ(seen.calls, 1);
        event_free(ev);
        close_place(&p);
        CHECK_EQ(pe_mem_live_total(), 0);
        _exit(0);
    }
    check_child(pid);
    CHECK_EQ(event_del(ev), 0);
    event_free(ev);
    end_waiting(&p, thread);
}

/* In the same process, while a callback runs in another thread, it is no harm. */
TEST_EACH(reinit_during_a_callback_of_another_thread_leaves_the_loop_running) {
    struct place p;
    pthread_t thread;
    char byte;

    open_place(&p, backend, in_a_callback);
    CHECK_EQ(pthread_create(&thread, NULL, run_loop, &p), 0);
    CHECK_EQ(read(entered[0], &byte, 1), 1);
    CHECK_EQ(event_reinit(p.base), 0);
    CHECK(pe_base_is_running(p.base));
    send_byte(released[1]);
    event_base_once(p.base, -1, EV_TIMEOUT, end_loop, p.base, MS(5));
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(p.after.calls, 1);
    close_place(&p);
}

/* --- signals --------------------------------------------------------------------------- */

/* Caught before the fork, not looked at yet, or delivered and not called for. */
TEST_EACH(a_signal_caught_before_the_fork_is_not_told_in_the_child) {
    for (int is_delivered = 0; is_delivered < 2; is_delivered++) {
        struct event_base *base = base_on(backend);
        struct seen seen = {0}, other = {0};
        struct event *ev = event_new(base, SIGUSR1, EV_SIGNAL | EV_PERSIST, see, &seen);
        struct event *timer = made(base, 0, see, &other);
        pid_t pid;

        CHECK_EQ(event_add(ev, NULL), 0);
        CHECK_EQ(raise(SIGUSR1), 0);
        if (is_delivered)
            pe_signals_deliver(base);
        event_active(timer, EV_TIMEOUT, 1);
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            pe_bases_let_go_after_fork();
            CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 0);
            CHECK_EQ(seen.calls, 0);
            CHECK_EQ(other.calls, 1);
            CHECK_EQ(raise(SIGUSR1), 0);
            CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 0);
            CHECK_EQ(seen.calls, 1);
            event_free(ev);
            event_free(timer);
            event_base_free(base);
            CHECK_EQ(pe_mem_live_total(), 0);
            _exit(0);
        }
        check_child(pid);
        CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 0);
        CHECK_EQ(seen.calls, 1); /* the parent's */
        event_free(ev);
        event_free(timer);
        event_base_free(base);
    }
}

static struct event_base *forking_base;
static int calls_in_child, calls_in_parent;
static pid_t child = -1;

static void fork_in_signal(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    (void)arg;
    if (child < 0) {
        child = fork();
        CHECK(child >= 0);
        if (child == 0)
            pe_bases_let_go_after_fork();
        return;
    }
    if (child == 0)
        calls_in_child++;
    else
        calls_in_parent++;
}

TEST_EACH(a_fork_in_a_signals_callback_leaves_the_further_calls_to_the_parent) {
    struct event *ev;

    child = -1;
    calls_in_child = calls_in_parent = 0;
    forking_base = base_on(backend);
    ev = event_new(forking_base, SIGUSR1, EV_SIGNAL | EV_PERSIST, fork_in_signal, NULL);
    CHECK_EQ(event_add(ev, NULL), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(event_base_loop(forking_base, EVLOOP_NONBLOCK), 0);
    event_free(ev);
    event_base_free(forking_base);
    if (child == 0) {
        CHECK_EQ(calls_in_child, 0);
        CHECK_EQ(pe_mem_live_total(), 0);
        _exit(0);
    }
    CHECK_EQ(calls_in_parent, 2);
    check_child(child);
}
