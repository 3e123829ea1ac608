/* test_wake.c - other threads call in while the loop waits in the kernel.
 *
 * The wait hooks give up and take a mutex, as they would Python's lock. A test
 * runs the loop in a thread and, holding the mutex, knows that the loop is
 * between its hooks: it cannot come back before the test lets it.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "each.h"
#include "loop/internal.h"
#include "loop/selfpipe.h"

struct looper {
    struct event_base *base;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool is_waiting; /* between the hooks */
    int waits;
    int flags;
    int result;
    pthread_t thread;
};

static void give_up(void *arg) {
    struct looper *l = arg;

    CHECK(!l->is_waiting);
    l->is_waiting = true;
    l->waits++;
    CHECK_EQ(pthread_cond_broadcast(&l->changed), 0);
    CHECK_EQ(pthread_mutex_unlock(&l->mutex), 0);
}

static void take(void *arg) {
    struct looper *l = arg;

    CHECK_EQ(pthread_mutex_lock(&l->mutex), 0);
    CHECK(l->is_waiting);
    l->is_waiting = false;
}

static void open_looper(struct looper *l, const char *backend) {
    memset(l, 0, sizeof(*l));
    l->base = base_on(backend);
    CHECK_EQ(pthread_mutex_init(&l->mutex, NULL), 0);
    CHECK_EQ(pthread_cond_init(&l->changed, NULL), 0);
    event_base_set_wait_hooks(l->base, give_up, take, l);
}

static void *run_loop(void *arg) {
    struct looper *l = arg;

    CHECK_EQ(pthread_mutex_lock(&l->mutex), 0);
    l->result = event_base_loop(l->base, l->flags);
    CHECK_EQ(pthread_mutex_unlock(&l->mutex), 0);
    return NULL;
}

static void start(struct looper *l, int flags) {
    l->flags = flags;
    l->result = -2;
    CHECK_EQ(pthread_create(&l->thread, NULL, run_loop, l), 0);
}

/* Into the library, with the loop outside. */
static void enter(struct looper *l) {
    CHECK_EQ(pthread_mutex_lock(&l->mutex), 0);
    while (!l->is_waiting)
        CHECK_EQ(pthread_cond_wait(&l->changed, &l->mutex), 0);
}

static void leave(struct looper *l) {
    CHECK_EQ(pthread_mutex_unlock(&l->mutex), 0);
}

static int join(struct looper *l) {
    CHECK_EQ(pthread_join(l->thread, NULL), 0);
    return l->result;
}

static void close_looper(struct looper *l) {
    event_base_free(l->base);
    pthread_mutex_destroy(&l->mutex);
    pthread_cond_destroy(&l->changed);
}

static void see_and_break(evutil_socket_t fd, short what, void *arg) {
    struct event *ev = arg;

    (void)fd;
    (void)what;
    CHECK_EQ(event_base_loopbreak(event_get_base(ev)), 0);
}

/* --- one call each -------------------------------------------------------------------- */

TEST_EACH(an_event_added_while_the_loop_waits_fires) {
    struct looper l;
    struct event *ev;
    int p[2];

    open_looper(&l, backend);
    open_pair(p);
    send_byte(p[1]);
    start(&l, EVLOOP_NO_EXIT_ON_EMPTY);
    enter(&l);
    ev = event_new(l.base, p[0], EV_READ, see_and_break, event_self_cbarg());
    CHECK_EQ(event_add(ev, NULL), 0);
    CHECK_EQ(event_pending(ev, EV_READ, NULL), EV_READ);
    leave(&l);
    CHECK_EQ(join(&l), 0);
    event_free(ev);
    close_looper(&l);
    close_pair(p);
}

TEST_EACH(a_changed_interest_reaches_the_waiting_kernel) {
    struct looper l;
    struct event *reader, *writer;
    struct seen seen = {0};
    int p[2];

    open_looper(&l, backend);
    open_pair(p);
    reader = event_new(l.base, p[0], EV_READ, see, &seen);
    writer = event_new(l.base, p[0], EV_WRITE, see_and_break, event_self_cbarg());
    CHECK_EQ(event_add(reader, NULL), 0);
    start(&l, 0);
    enter(&l);
    CHECK_EQ(event_add(writer, NULL), 0); /* the fd is known: a change of its mask */
    leave(&l);
    CHECK_EQ(join(&l), 0);
    CHECK_EQ(seen.calls, 0);
    event_free(reader);
    event_free(writer);
    close_looper(&l);
    close_pair(p);
}

TEST_EACH(an_event_activated_while_the_loop_waits_runs) {
    struct looper l;
    struct event *ev;

    open_looper(&l, backend);
    start(&l, EVLOOP_NO_EXIT_ON_EMPTY);
    enter(&l);
    ev = event_new(l.base, -1, 0, see_and_break, event_self_cbarg());
    event_active(ev, EV_TIMEOUT, 1);
    leave(&l);
    CHECK_EQ(join(&l), 0);
    event_free(ev);
    close_looper(&l);
}

TEST_EACH(loopbreak_and_loopexit_end_the_wait) {
    struct looper l;

    open_looper(&l, backend);
    start(&l, EVLOOP_NO_EXIT_ON_EMPTY);
    enter(&l);
    CHECK_EQ(event_base_loopbreak(l.base), 0);
    leave(&l);
    CHECK_EQ(join(&l), 0);
    CHECK(event_base_got_break(l.base));
    start(&l, EVLOOP_NO_EXIT_ON_EMPTY);
    enter(&l);
    CHECK_EQ(event_base_loopexit(l.base, NULL), 0);
    leave(&l);
    CHECK_EQ(join(&l), 0);
    CHECK(event_base_got_exit(l.base));
    start(&l, EVLOOP_NO_EXIT_ON_EMPTY);
    enter(&l);
    CHECK_EQ(event_base_loopexit(l.base, MS(5)), 0);
    leave(&l);
    CHECK_EQ(join(&l), 0);
    CHECK(event_base_got_exit(l.base));
    close_looper(&l);
}

TEST_EACH(loopcontinue_makes_another_turn) {
    struct looper l;
    int waits;

    open_looper(&l, backend);
    start(&l, EVLOOP_NO_EXIT_ON_EMPTY);
    enter(&l);
    waits = l.waits;
    CHECK_EQ(event_base_loopcontinue(l.base), 0);
    leave(&l);
    do {
        enter(&l);
        if (l.waits > waits)
            CHECK_EQ(event_base_loopbreak(l.base), 0);
        waits = l.waits > waits ? 0 : waits;
        leave(&l);
    } while (waits != 0);
    CHECK_EQ(join(&l), 0);
    close_looper(&l);
}

TEST_EACH(an_earlier_timer_shortens_the_wait) {
    struct looper l;
    struct event *late, *early;

    open_looper(&l, backend);
    late = event_new(l.base, -1, 0, see_and_break, event_self_cbarg());
    early = event_new(l.base, -1, 0, see_and_break, event_self_cbarg());
    CHECK_EQ(event_add(late, MS(3600000)), 0);
    start(&l, 0);
    enter(&l);
    CHECK_EQ(event_add(early, MS(1)), 0);
    leave(&l);
    CHECK_EQ(join(&l), 0);
    start(&l, 0);
    enter(&l);
    CHECK_EQ(event_add(late, MS(1)), 0); /* the one it waits for, moved */
    leave(&l);
    CHECK_EQ(join(&l), 0);
    event_free(late);
    event_free(early);
    close_looper(&l);
}

/* What the waiting loop has to keep it; each is deleted by another thread. */
static void delete_the_last(const char *backend, int fd, short what, const struct timeval *tv) {
    struct looper l;
    struct event *ev;
    struct seen seen = {0};

    open_looper(&l, backend);
    ev = event_new(l.base, fd, what, see, &seen);
    CHECK_EQ(event_add(ev, tv), 0);
    start(&l, 0);
    enter(&l);
    CHECK_EQ(event_del(ev), 0);
    leave(&l);
    CHECK_EQ(join(&l), 1); /* nothing left */
    CHECK_EQ(seen.calls, 0);
    event_free(ev);
    close_looper(&l);
}

TEST_EACH(deleting_the_last_event_ends_the_loop) {
    int p[2];

    open_pair(p);
    delete_the_last(backend, p[0], EV_READ, NULL);
    delete_the_last(backend, p[0], EV_READ | EV_PERSIST, MS(3600000));
    delete_the_last(backend, -1, 0, MS(3600000));
    delete_the_last(backend, SIGUSR1, EV_SIGNAL | EV_PERSIST, NULL);
    close_pair(p);
}

TEST_EACH(the_last_virtual_thing_taken_away_ends_the_loop) {
    struct looper l;

    open_looper(&l, backend);
    pe_base_add_virtual(l.base);
    start(&l, 0);
    enter(&l);
    pe_base_del_virtual(l.base);
    leave(&l);
    CHECK_EQ(join(&l), 1);
    close_looper(&l);
}

TEST_EACH(a_signal_event_added_while_the_loop_waits_works) {
    struct looper l;
    struct event *ev;

    open_looper(&l, backend);
    start(&l, EVLOOP_NO_EXIT_ON_EMPTY);
    enter(&l);
    ev = event_new(l.base, SIGUSR1, EV_SIGNAL, see_and_break, event_self_cbarg());
    CHECK_EQ(event_add(ev, NULL), 0);
    leave(&l);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(join(&l), 0);
    event_free(ev);
    close_looper(&l);
}

static struct event_base *flushed_base;

static void run_flush(struct event_base *base, struct pe_flush *item) {
    (void)item;
    flushed_base = base;
    CHECK_EQ(event_base_loopbreak(base), 0);
}

TEST_EACH(what_is_put_on_the_flush_list_is_flushed) {
    struct looper l;
    struct pe_flush item;

    flushed_base = NULL;
    open_looper(&l, backend);
    pe_flush_init(&item, run_flush);
    start(&l, EVLOOP_NO_EXIT_ON_EMPTY);
    enter(&l);
    pe_flush_add(l.base, &item);
    leave(&l);
    CHECK_EQ(join(&l), 0);
    CHECK_EQ(flushed_base, l.base);
    close_looper(&l);
}

static void ignore_log(int severity, const char *msg) {
    (void)severity;
    (void)msg;
}

TEST_EACH(a_base_that_waits_is_neither_freed_nor_run_twice) {
    struct looper l;

    event_set_log_callback(ignore_log);
    open_looper(&l, backend);
    start(&l, EVLOOP_NO_EXIT_ON_EMPTY);
    enter(&l);
    event_base_free(l.base);
    CHECK_EQ(event_base_dispatch(l.base), -1);
    CHECK_EQ(event_base_loop(l.base, EVLOOP_NONBLOCK), -1);
    CHECK_EQ(event_base_loopbreak(l.base), 0);
    leave(&l);
    CHECK_EQ(join(&l), 0);
    close_looper(&l);
    event_set_log_callback(NULL);
}

/* --- descriptors during the wait ----------------------------------------------------------- */

TEST_EACH(an_error_of_adding_is_told_during_the_wait_too) {
    struct looper l;
    struct event *ev;
    struct seen seen = {0};
    int p[2];

    open_looper(&l, backend);
    open_pair(p);
    close_pair(p);
    start(&l, EVLOOP_NO_EXIT_ON_EMPTY);
    enter(&l);
    ev = event_new(l.base, p[0], EV_READ, see, &seen);
    CHECK_EQ(event_add(ev, MS(0)), -1);
    CHECK_EQ(errno, EBADF);
    CHECK_EQ(event_pending(ev, EV_READ | EV_TIMEOUT, NULL), 0);
    CHECK_EQ(event_base_loopbreak(l.base), 0);
    leave(&l);
    CHECK_EQ(join(&l), 0);
    CHECK_EQ(seen.calls, 0);
    event_free(ev);
    close_looper(&l);
}

static int calls_left;
static struct event_base *counted_base;

static void read_and_count(evutil_socket_t fd, short what, void *arg) {
    see(fd, what, arg);
    take_byte(fd);
    if (--calls_left == 0)
        CHECK_EQ(event_base_loopexit(counted_base, NULL), 0);
}

TEST_EACH(many_come_and_go_while_the_loop_waits) {
    enum { PAIRS = 150 }; /* more than any array is made for at first */
    struct looper l;
    static struct event *ev[PAIRS];
    static struct seen seen[PAIRS];
    static int p[PAIRS][2];

    memset(seen, 0, sizeof(seen));
    open_looper(&l, backend);
    for (int i = 0; i < PAIRS; i++) {
        open_pair(p[i]);
        ev[i] = event_new(l.base, p[i][0], EV_READ | EV_PERSIST, read_and_count, &seen[i]);
        if (i % 2)
            CHECK_EQ(event_add(ev[i], NULL), 0);
    }
    start(&l, EVLOOP_NO_EXIT_ON_EMPTY);
    for (int round = 0; round < 10; round++) {
        enter(&l);
        for (int i = 0; i < PAIRS; i++) {
            if (i % 2 == round % 2)
                CHECK_EQ(event_add(ev[i], NULL), 0);
            else
                CHECK_EQ(event_del(ev[i]), 0);
        }
        leave(&l);
    }
    enter(&l); /* the even ones were deleted, the odd ones added */
    for (int i = 0; i < PAIRS; i++)
        send_byte(p[i][1]);
    calls_left = PAIRS / 2;
    counted_base = l.base;
    leave(&l);
    CHECK_EQ(join(&l), 0);
    for (int i = 0; i < PAIRS; i++) {
        CHECK_EQ(seen[i].calls, i % 2);
        event_free(ev[i]);
        close_pair(p[i]);
    }
    close_looper(&l);
}

TEST_EACH(a_number_reused_during_the_wait_is_the_new_file) {
    struct looper l;
    struct event *old, *ev;
    struct seen seen = {0};
    int p[2], q[2], copy;

    open_looper(&l, backend);
    open_pair(p);
    open_pair(q);
    copy = dup(p[0]);
    CHECK(copy >= 0);
    old = event_new(l.base, p[0], EV_READ | EV_PERSIST, see, &seen);
    CHECK_EQ(event_add(old, NULL), 0);
    start(&l, 0);
    enter(&l);
    event_free(old);
    CHECK_EQ(dup2(q[0], p[0]), p[0]);
    send_byte(p[1]); /* for the old file, which `copy` holds */
    ev = event_new(l.base, p[0], EV_READ, see_and_break, event_self_cbarg());
    CHECK_EQ(event_add(ev, NULL), 0);
    leave(&l);
    enter(&l);
    CHECK_EQ(event_pending(ev, EV_READ, NULL), EV_READ); /* it heard nothing of that */
    send_byte(q[1]);
    leave(&l);
    CHECK_EQ(join(&l), 0);
    CHECK_EQ(seen.calls, 0);
    event_free(ev);
    close_looper(&l);
    close(copy);
    close_pair(p);
    close_pair(q);
}

/* --- cost ------------------------------------------------------------------------------------- */

TEST_EACH(a_burst_of_wakes_is_one_write) {
    struct looper l;
    struct event *ev[50];
    struct seen seen = {0};
    uint64_t count = 0;
    int fd;

    open_looper(&l, backend);
    fd = l.base->wake_fds[0];
    if (l.base->wake_fds[1] >= 0)
        SKIP("a pipe does not count its writes");
    for (int i = 0; i < 50; i++)
        ev[i] = event_new(l.base, -1, 0, see, &seen);
    start(&l, EVLOOP_NO_EXIT_ON_EMPTY);
    enter(&l);
    for (int i = 0; i < 50; i++)
        event_active(ev[i], EV_TIMEOUT, 1);
    CHECK_EQ(event_base_loopbreak(l.base), 0);
    CHECK_EQ(read(fd, &count, sizeof(count)), (ssize_t)sizeof(count));
    CHECK_EQ(count, 1); /* an eventfd adds up what is written */
    CHECK_EQ(write(fd, &count, sizeof(count)), (ssize_t)sizeof(count));
    leave(&l);
    CHECK_EQ(join(&l), 0);
    event_base_set_wait_hooks(l.base, NULL, NULL, NULL);
    CHECK_EQ(event_base_loop(l.base, EVLOOP_NONBLOCK), 1);
    CHECK_EQ(seen.calls, 50);
    for (int i = 0; i < 50; i++)
        event_free(ev[i]);
    close_looper(&l);
}

TEST_EACH(nothing_is_written_to_a_loop_that_does_not_wait) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = event_new(base, -1, 0, see, &seen);
    uint64_t count;

    event_active(ev, EV_TIMEOUT, 1);
    CHECK_EQ(event_add(ev, MS(0)), 0);
    CHECK_EQ(event_base_loopbreak(base), 0);
    if (base->wake_fds[1] < 0) {
        CHECK_EQ(read(base->wake_fds[0], &count, sizeof(count)), -1);
        CHECK_EQ(errno, EAGAIN);
    }
    event_free(ev);
    event_base_free(base);
}

TEST_EACH(a_wake_alone_does_not_end_once) {
    struct looper l;
    struct event *ev;
    int waits;

    open_looper(&l, backend);
    ev = event_new(l.base, -1, 0, see_and_break, event_self_cbarg());
    CHECK_EQ(event_add(ev, MS(3600000)), 0);
    start(&l, EVLOOP_ONCE);
    enter(&l);
    waits = l.waits;
    pe_base_wake(l.base);
    leave(&l);
    for (;;) { /* it waits once more */
        enter(&l);
        if (l.waits > waits)
            break;
        leave(&l);
    }
    event_active(ev, EV_TIMEOUT, 1);
    leave(&l);
    CHECK_EQ(join(&l), 0);
    event_free(ev);
    close_looper(&l);
}

/* --- the hooks ---------------------------------------------------------------------------------- */

struct hook_counts {
    struct event *ev;
    int before, after, turns;
    int64_t released; /* when the hooks were last called */
    int64_t ran;      /* when the callback before this one was, and ... */
    int released_before_it; /* ... how often the hooks had been called then */
    int64_t end;
};

static void count_before(void *arg) {
    struct hook_counts *h = arg;

    h->before++;
    h->released = pe_clock_now();
    CHECK_EQ(h->before, h->after + 1);
}

static void count_after(void *arg) {
    struct hook_counts *h = arg;

    h->after++;
    CHECK_EQ(h->before, h->after);
}

static void again_for_a_while(evutil_socket_t fd, short what, void *arg) {
    struct hook_counts *h = arg;

    (void)fd;
    (void)what;
    /* The wait since the last callback went without the hooks only if they
     * had been called less than 20 ms before it. */
    if (h->turns > 0 && h->before == h->released_before_it)
        CHECK(h->ran - h->released < 20 * PE_NS_PER_MS);
    h->turns++;
    h->released_before_it = h->before;
    h->ran = pe_clock_now();
    if (h->ran < h->end)
        CHECK_EQ(event_add(h->ev, MS(0)), 0);
}

TEST_EACH(a_busy_loop_gives_way_now_and_then) {
    struct event_base *base = base_on(backend);
    struct hook_counts h = {0};

    event_base_set_wait_hooks(base, count_before, count_after, &h);
    h.ev = event_new(base, -1, 0, again_for_a_while, &h);
    h.end = pe_clock_now() + 70 * PE_NS_PER_MS;
    CHECK_EQ(event_add(h.ev, MS(0)), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK(h.before >= 1);
    CHECK_EQ(h.before, h.after);
    CHECK(h.turns < 100 || h.before < h.turns); /* but not for every turn */
    event_free(h.ev);
    event_base_set_wait_hooks(base, NULL, NULL, NULL);
    event_base_free(base);
}

/* --- the self-pipe ------------------------------------------------------------------------------------ */

static unsigned char noticed[64];
static size_t noticed_count;

static void notice(void *arg, const unsigned char *bytes, size_t n) {
    CHECK(noticed_count + n <= sizeof(noticed));
    memcpy(noticed + noticed_count, bytes, n);
    noticed_count += n;
    CHECK_EQ(event_base_loopbreak(arg), 0);
}

TEST_EACH(bytes_written_to_the_selfpipe_are_noticed_and_end_the_wait) {
    struct event_base *base = base_on(backend);
    int fd = pe_selfpipe_open(base, notice, base);

    noticed_count = 0;
    CHECK(fd >= 0);
    CHECK_EQ(pe_selfpipe_open(base, notice, base), fd);
    CHECK_EQ(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
    CHECK_EQ(write(fd, "\2\17", 2), 2);
    CHECK_EQ(event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY), 0);
    CHECK_EQ(noticed_count, 2);
    CHECK_MEM(noticed, "\2\17", 2);
    pe_selfpipe_close(base);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK(pe_selfpipe_open(base, notice, base) >= 0);
    event_base_free(base); /* closes it too */
}

/* --- all together ------------------------------------------------------------------------------------ */

enum { THREADS = 3, ROUNDS = 300 };

struct worker {
    struct looper *l;
    pthread_t thread;
    unsigned seed;
    atomic_int calls;
};

static void count_call(evutil_socket_t fd, short what, void *arg) {
    struct worker *w = arg;
    char c;

    (void)what;
    if (fd >= 0)
        (void)!read((int)fd, &c, 1);
    atomic_fetch_add(&w->calls, 1);
}

static void work_once(struct worker *w, struct event *io, struct event *timer, int far) {
    switch (rand_r(&w->seed) % 8) {
    case 0:
        CHECK_EQ(event_add(io, NULL), 0);
        break;
    case 1:
        CHECK_EQ(event_del(io), 0);
        break;
    case 2:
        (void)!write(far, "x", 1);
        break;
    case 3:
        CHECK_EQ(event_add(timer, US(rand_r(&w->seed) % 500)), 0);
        break;
    case 4:
        CHECK_EQ(event_del(timer), 0);
        break;
    case 5:
        event_active(timer, EV_TIMEOUT, 1);
        break;
    case 6:
        CHECK_EQ(event_base_loopcontinue(w->l->base), 0);
        break;
    default:
        CHECK_EQ(event_base_loopbreak(w->l->base), 0);
        break;
    }
}

static void *work(void *arg) {
    struct worker *w = arg;

    for (int round = 0; round < ROUNDS; round++) {
        struct event *io, *timer;
        int p[2];

        enter(w->l);
        open_pair(p);
        io = event_new(w->l->base, p[0], EV_READ | EV_PERSIST, count_call, w);
        timer = event_new(w->l->base, -1, EV_PERSIST, count_call, w);
        CHECK(io != NULL && timer != NULL);
        for (int i = 0; i < 10; i++) {
            work_once(w, io, timer, p[1]);
            leave(w->l);
            sched_yield(); /* or the others, and the loop, might never get in */
            CHECK_EQ(pthread_mutex_lock(&w->l->mutex), 0);
        }
        event_free(io);
        event_free(timer);
        close_pair(p);
        leave(w->l);
    }
    return NULL;
}

static atomic_int workers_left;

static void *loop_until_done(void *arg) {
    struct looper *l = arg;

    CHECK_EQ(pthread_mutex_lock(&l->mutex), 0);
    while (atomic_load(&workers_left) > 0)
        CHECK_EQ(event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY), 0);
    CHECK_EQ(pthread_mutex_unlock(&l->mutex), 0);
    return NULL;
}

TEST_EACH(threads_that_do_everything_at_once_do_no_harm) {
    struct looper l;
    struct worker w[THREADS];
    int calls = 0;

    open_looper(&l, backend);
    atomic_store(&workers_left, THREADS);
    CHECK_EQ(pthread_create(&l.thread, NULL, loop_until_done, &l), 0);
    for (int i = 0; i < THREADS; i++) {
        w[i].l = &l;
        w[i].seed = (unsigned)i + 1;
        atomic_init(&w[i].calls, 0);
        CHECK_EQ(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQ(pthread_join(w[i].thread, NULL), 0);
        calls += atomic_load(&w[i].calls);
        atomic_fetch_sub(&workers_left, 1);
    }
    CHECK(calls > 0);
    CHECK_EQ(pthread_mutex_lock(&l.mutex), 0);
    CHECK_EQ(event_base_loopbreak(l.base), 0);
    CHECK_EQ(pthread_mutex_unlock(&l.mutex), 0);
    CHECK_EQ(pthread_join(l.thread, NULL), 0);
    CHECK_EQ(event_base_get_num_events(l.base, EVENT_BASE_COUNT_ADDED), 0);
    close_looper(&l);
}
