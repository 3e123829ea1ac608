/* test_fork.c - bases in a forked child: reinit, letting go, fork in a callback.
 *
 * A child reports by its exit status: 0, or 1 from a failed check. The parent
 * waits for it and then looks whether its own events were disturbed.
 */
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "each.h"
#include "loop/fork.h"
#include "loop/internal.h"
#include "loop/selfpipe.h"

static void turn_once(struct event_base *base) {
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY), 0);
}

static void check_child(pid_t pid) {
    int status;

    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    if (WEXITSTATUS(status) != 0)
        _exit(WEXITSTATUS(status)); /* the child has told why */
}

/* In a child the socketpair is the parent's too: one of its own in its place. */
static void replace_pair(int p[2]) {
    int q[2];

    open_pair(q);
    CHECK_EQ(dup2(q[0], p[0]), p[0]);
    CHECK_EQ(dup2(q[1], p[1]), p[1]);
    close_pair(q);
}

/* A base with one event of each kind. */
struct world {
    struct event_base *base;
    int p[2];
    struct event *io, *signal, *timer;
    struct seen io_seen, signal_seen, timer_seen;
};

static struct event *added(struct event_base *base, int fd, short what, struct seen *seen,
                           const struct timeval *tv) {
    struct event *ev = event_new(base, fd, what | EV_PERSIST, see, seen);

    CHECK(ev != NULL);
    CHECK_EQ(event_add(ev, tv), 0);
    return ev;
}

static void open_world(struct world *w, const char *backend) {
    memset(w, 0, sizeof(*w));
    w->base = base_on(backend);
    open_pair(w->p);
    w->io = added(w->base, w->p[0], EV_READ, &w->io_seen, NULL);
    w->signal = added(w->base, SIGUSR1, EV_SIGNAL, &w->signal_seen, NULL);
    w->timer = added(w->base, -1, 0, &w->timer_seen, MS(60000));
    turn_once(w->base);
}

/* Each event works, in this process. */
static void check_world(struct world *w) {
    memset(&w->io_seen, 0, sizeof(w->io_seen));
    memset(&w->signal_seen, 0, sizeof(w->signal_seen));
    memset(&w->timer_seen, 0, sizeof(w->timer_seen));
    turn_once(w->base);
    CHECK_EQ(w->io_seen.calls, 0);
    send_byte(w->p[1]);
    turn_once(w->base);
    CHECK_EQ(w->io_seen.calls, 1);
    take_byte(w->p[0]);
    CHECK_EQ(raise(SIGUSR1), 0);
    turn_once(w->base);
    CHECK_EQ(w->signal_seen.calls, 1);
    CHECK_EQ(event_add(w->timer, MS(1)), 0);
    CHECK_EQ(event_base_loop(w->base, EVLOOP_ONCE), 0);
    CHECK_EQ(w->timer_seen.calls, 1);
    CHECK_EQ(event_add(w->timer, MS(60000)), 0);
    CHECK_EQ(event_base_get_num_events(w->base, EVENT_BASE_COUNT_ADDED), 3);
    CHECK_EQ(w->base->fds_in_use, 2);
}

static void close_world(struct world *w) {
    event_free(w->io);
    event_free(w->signal);
    event_free(w->timer);
    event_base_free(w->base);
    close_pair(w->p);
}

enum child_way { REINIT, LET_GO, LET_GO_REINIT };

static void run_in_both(const char *backend, enum child_way way) {
    struct world w;
    pid_t pid;

    open_world(&w, backend);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        if (way != REINIT)
            pe_bases_let_go_after_fork();
        replace_pair(w.p); /* registered only when the base is used again */
        if (way != LET_GO)
            CHECK_EQ(event_reinit(w.base), 0);
        check_world(&w);
        check_world(&w);
        close_world(&w);
        CHECK_EQ(pe_mem_live_total(), 0);
        _exit(0);
    }
    check_child(pid);
    check_world(&w);
    close_world(&w);
}

TEST_EACH(reinit_gives_the_child_a_base_of_its_own) {
    run_in_both(backend, REINIT);
}

TEST_EACH(a_base_let_go_comes_back_when_it_is_used) {
    run_in_both(backend, LET_GO);
}

TEST_EACH(reinit_after_letting_go_is_as_good) {
    run_in_both(backend, LET_GO_REINIT);
}

TEST_EACH(reinit_in_the_parent_does_no_harm) {
    struct world w;

    open_world(&w, backend);
    CHECK_EQ(event_reinit(w.base), 0);
    check_world(&w);
    CHECK_EQ(event_reinit(w.base), 0);
    check_world(&w);
    close_world(&w);
}

/* --- what must not reach the parent ------------------------------------------------- */

static void child_free_all(struct world *w) {
    close_world(w);
    CHECK_EQ(pe_mem_live_total(), 0);
}

static void child_del_all(struct world *w) {
    CHECK_EQ(event_del(w->io), 0);
    CHECK_EQ(event_del(w->signal), 0);
    CHECK_EQ(event_del(w->timer), 0);
}

static void child_nothing(struct world *w) {
    (void)w;
}

static void child_base_first(struct world *w) {
    event_base_free(w->base);
    event_free(w->io);
    event_free(w->signal);
    event_free(w->timer);
    CHECK_EQ(pe_mem_live_total(), 0);
}

static void child_activate(struct world *w) {
    event_active(w->timer, EV_TIMEOUT, 1);
    CHECK_EQ(event_base_loopbreak(w->base), 0);
    CHECK_EQ(event_base_loopexit(w->base, NULL), 0);
    pe_base_wake(w->base);
}

TEST_EACH(what_a_child_does_with_a_base_let_go_disturbs_no_parent) {
    static void (*const ways[])(struct world *) = {child_free_all, child_del_all, child_nothing,
                                                   child_base_first, child_activate};

    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct world w;
        pid_t pid;

        open_world(&w, backend);
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            pe_bases_let_go_after_fork();
            ways[i](&w);
            _exit(0);
        }
        check_child(pid);
        check_world(&w);
        close_world(&w);
    }
}

TEST_EACH(a_selfpipe_closes_in_the_child_and_works_on_in_the_parent) {
    struct event_base *base = base_on(backend);
    int fd = pe_selfpipe_open(base, NULL, NULL);
    pid_t pid;

    CHECK(fd >= 0);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        pe_bases_let_go_after_fork();
        CHECK_EQ(fcntl(fd, F_GETFD), -1);
        turn_once(base);
        CHECK(pe_selfpipe_open(base, NULL, NULL) >= 0);
        event_base_free(base);
        CHECK_EQ(pe_mem_live_total(), 0);
        _exit(0);
    }
    check_child(pid);
    CHECK(fcntl(fd, F_GETFD) >= 0);
    event_base_free(base);
}

/* --- while the parent's loop waits ------------------------------------------------------ */

struct waiter {
    struct event_base *base;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int waits;
};

static void give_up(void *arg) {
    struct waiter *w = arg;

    w->waits++;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

static void take(void *arg) {
    struct waiter *w = arg;

    pthread_mutex_lock(&w->mutex);
}

static void *wait_in_loop(void *arg) {
    struct waiter *w = arg;

    pthread_mutex_lock(&w->mutex);
    CHECK_EQ(event_base_loop(w->base, EVLOOP_NO_EXIT_ON_EMPTY), 0);
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

TEST_EACH(a_fork_from_another_thread_does_not_wake_the_waiting_loop) {
    struct waiter w;
    struct seen seen = {0};
    struct event *ev;
    uint64_t count;
    pthread_t thread;
    pid_t pid;

    w.base = base_on(backend);
    w.waits = 0;
    ev = added(w.base, SIGUSR1, EV_SIGNAL, &seen, NULL);
    CHECK(pe_selfpipe_open(w.base, NULL, NULL) >= 0);
    CHECK_EQ(pthread_mutex_init(&w.mutex, NULL), 0);
    CHECK_EQ(pthread_cond_init(&w.changed, NULL), 0);
    event_base_set_wait_hooks(w.base, give_up, take, &w);
    CHECK_EQ(pthread_create(&thread, NULL, wait_in_loop, &w), 0);
    CHECK_EQ(pthread_mutex_lock(&w.mutex), 0);
    while (w.waits == 0)
        CHECK_EQ(pthread_cond_wait(&w.changed, &w.mutex), 0);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) { /* the thread that ran it is not here */
        pe_bases_let_go_after_fork();
        event_base_set_wait_hooks(w.base, NULL, NULL, NULL);
        event_free(ev);
        turn_once(w.base);
        event_base_free(w.base);
        CHECK_EQ(pe_mem_live_total(), 0);
        _exit(0);
    }
    check_child(pid);
    if (w.base->wake_fds[1] < 0) {
        CHECK_EQ(read(w.base->wake_fds[0], &count, sizeof(count)), -1);
        CHECK_EQ(errno, EAGAIN); /* nobody has written to it */
    }
    CHECK_EQ(event_base_loopbreak(w.base), 0);
    CHECK_EQ(pthread_mutex_unlock(&w.mutex), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    event_free(ev);
    event_base_free(w.base);
    pthread_mutex_destroy(&w.mutex);
    pthread_cond_destroy(&w.changed);
}

/* --- in a callback ------------------------------------------------------------------------- */

struct forker {
    struct event_base *base;
    bool lets_go;
    pid_t pid;
    int after; /* callbacks since the fork */
    struct event *timer;
    struct event *io;
    int p[2];
};

static void fork_here(evutil_socket_t fd, short what, void *arg) {
    struct forker *f = arg;

    (void)fd;
    (void)what;
    f->pid = fork();
    CHECK(f->pid >= 0);
    if (f->pid != 0)
        return;
    if (f->lets_go)
        pe_bases_let_go_after_fork();
    if (f->io != NULL)
        replace_pair(f->p);
    if (!f->lets_go)
        CHECK_EQ(event_reinit(f->base), 0);
}

static void count_after_fork(evutil_socket_t fd, short what, void *arg) {
    struct forker *f = arg;

    (void)fd;
    (void)what;
    f->after++;
}

static void count_io_after_fork(evutil_socket_t fd, short what, void *arg) {
    struct forker *f = arg;

    (void)what;
    take_byte(fd);
    f->after += 10;
}

static void send_after_fork(evutil_socket_t fd, short what, void *arg) {
    struct forker *f = arg;

    (void)fd;
    (void)what;
    send_byte(f->p[1]);
    f->after++;
}

static void fork_in_callback(const char *backend, bool lets_go) {
    struct forker f = {.base = base_on(backend), .lets_go = lets_go};
    struct event *forking = event_new(f.base, -1, 0, fork_here, &f);
    struct event *active = event_new(f.base, -1, 0, count_after_fork, &f);

    open_pair(f.p);
    f.timer = event_new(f.base, -1, 0, send_after_fork, &f);
    f.io = event_new(f.base, f.p[0], EV_READ, count_io_after_fork, &f);
    CHECK_EQ(event_add(f.io, NULL), 0);
    CHECK_EQ(event_add(f.timer, MS(5)), 0);
    event_active(forking, EV_TIMEOUT, 1);
    event_active(active, EV_TIMEOUT, 1); /* due in the same turn, in both */
    CHECK_EQ(event_base_dispatch(f.base), 1);
    CHECK_EQ(f.after, 12);
    event_free(forking);
    event_free(active);
    event_free(f.timer);
    event_free(f.io);
    event_base_free(f.base);
    close_pair(f.p);
    if (f.pid == 0) {
        CHECK_EQ(pe_mem_live_total(), 0);
        _exit(0);
    }
    check_child(f.pid);
}

TEST_EACH(a_fork_in_a_callback_lets_both_go_on) {
    fork_in_callback(backend, true);
}

TEST_EACH(a_fork_with_reinit_in_a_callback_lets_both_go_on) {
    fork_in_callback(backend, false);
}

static void fork_in_hook(void *arg) {
    struct forker *f = arg;

    if (f->pid == -1)
        fork_here(-1, 0, f);
}

static void no_hook(void *arg) {
    (void)arg;
}

TEST_EACH(a_fork_in_a_wait_hook_lets_both_go_on) {
    for (int is_after = 0; is_after < 2; is_after++) {
        struct forker f = {.base = base_on(backend), .lets_go = true, .pid = -1};

        f.timer = event_new(f.base, -1, 0, count_after_fork, &f);
        CHECK_EQ(event_add(f.timer, MS(5)), 0);
        event_base_set_wait_hooks(f.base, is_after ? no_hook : fork_in_hook,
                                  is_after ? fork_in_hook : no_hook, &f);
        CHECK_EQ(event_base_dispatch(f.base), 1);
        CHECK_EQ(f.after, 1);
        event_free(f.timer);
        event_base_free(f.base);
        if (f.pid == 0) {
            CHECK_EQ(pe_mem_live_total(), 0);
            _exit(0);
        }
        check_child(f.pid);
    }
}

/* --- failure -------------------------------------------------------------------------------- */

TEST_EACH(a_base_that_cannot_come_back_yet_says_so_and_can_later) {
    struct world w;
    pid_t pid;

    open_world(&w, backend);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        long n = 0;

        pe_bases_let_go_after_fork();
        replace_pair(w.p);
        do { /* until it gets through without a failure */
            pe_mem_fail_nth(++n);
            if (event_reinit(w.base) < 0)
                CHECK_EQ(errno, ENOMEM);
        } while (pe_mem_has_failed());
        pe_mem_fail_nth(0);
        turn_once(w.base); /* an fd that was not registered at once was reported */
        check_world(&w);
        close_world(&w);
        CHECK_EQ(pe_mem_live_total(), 0);
        _exit(0);
    }
    check_child(pid);
    check_world(&w);
    close_world(&w);
}
