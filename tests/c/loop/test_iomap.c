/* test_iomap.c - the fd map: what reaches the kernel, and who hears of what. */
#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "each.h"
#include "event2/event_struct.h"
#include "loop/internal.h"

/* --- a backend that counts --------------------------------------------------- */

static const struct pe_backend_ops *real_ops;
static struct pe_backend_ops counting_ops;
static int set_calls;
static int refuse_fd = -1; /* its changes fail with refuse_error */
static int refuse_error;

static int counting_set(struct pe_backend *b, int fd, uint32_t gen, unsigned old, unsigned want,
                        void *slot) {
    set_calls++;
    if (fd == refuse_fd && want != 0)
        return refuse_error;
    return real_ops->set(b, fd, gen, old, want, slot);
}

/* From now on the calls of `set` are counted. */
static void count_calls(struct event_base *base) {
    real_ops = base->backend.ops;
    counting_ops = *real_ops;
    counting_ops.set = counting_set;
    base->backend.ops = &counting_ops;
    set_calls = 0;
    refuse_fd = -1;
}

static struct event_base *counted_base(const char *backend) {
    struct event_base *base = base_on(backend);

    count_calls(base);
    return base;
}

/* One turn that does not wait, even when there is nothing to wait for. */
static void turn_once(struct event_base *base) {
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY), 0);
}

static struct event *added(struct event_base *base, int fd, short what, struct seen *seen) {
    struct event *ev = event_new(base, fd, what, see, seen);

    CHECK(ev != NULL);
    CHECK_EQ(event_add(ev, NULL), 0);
    return ev;
}

/* --- what the kernel is told -------------------------------------------------- */

TEST_EACH(the_first_event_of_an_fd_goes_to_the_kernel_at_once) {
    struct event_base *base = counted_base(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    open_pair(p);
    ev = added(base, p[0], EV_READ, &seen);
    CHECK_EQ(set_calls, 1);
    turn_once(base);
    CHECK_EQ(set_calls, 1);
    event_free(ev);
    CHECK_EQ(set_calls, 1); /* a removal waits ... */
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(del_and_add_of_the_same_event_in_one_turn_costs_one_call) {
    struct event_base *base = counted_base(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    open_pair(p);
    ev = added(base, p[0], EV_READ | EV_PERSIST, &seen);
    turn_once(base);
    set_calls = 0;
    CHECK_EQ(event_del(ev), 0);
    CHECK_EQ(event_add(ev, NULL), 0); /* the number may be another file's */
    CHECK_EQ(set_calls, 1);
    turn_once(base);
    CHECK_EQ(set_calls, 1);
    send_byte(p[1]);
    turn_once(base);
    CHECK_EQ(seen.calls, 1);
    event_free(ev);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(an_event_that_adds_itself_again_costs_one_call) {
    struct event_base *base = counted_base(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    open_pair(p);
    ev = added(base, p[0], EV_READ, &seen); /* no EV_PERSIST: out before each call */
    send_byte(p[1]);
    set_calls = 0;
    for (int i = 0; i < 5; i++) {
        turn_once(base);
        CHECK_EQ(event_add(ev, NULL), 0);
    }
    CHECK_EQ(seen.calls, 5);
    CHECK_EQ(set_calls, 5);
    event_free(ev);
    event_base_free(base);
    close_pair(p);
}

/* Another watcher leaves and comes back, and the kernel is asked for no less meanwhile. */
TEST_EACH(an_event_that_comes_back_beside_its_like_costs_no_call) {
    struct event_base *base = counted_base(backend);
    struct seen seen = {0}, stays = {0};
    struct event *ev, *other;
    int p[2];

    open_pair(p);
    other = added(base, p[0], EV_READ | EV_PERSIST, &stays);
    ev = added(base, p[0], EV_READ | EV_PERSIST, &seen);
    turn_once(base);
    set_calls = 0;
    CHECK_EQ(event_del(ev), 0);
    CHECK_EQ(event_add(ev, NULL), 0);
    turn_once(base);
    CHECK_EQ(set_calls, 0);
    event_free(ev);
    event_free(other);
    event_base_free(base);
    close_pair(p);
}

/* The number is closed, or a file's that the backend refuses, when the event comes back. */
TEST_EACH(coming_back_to_a_file_that_is_refused_fails_and_changes_nothing) {
    struct event_base *base = counted_base(backend);
    struct seen seen = {0}, stays = {0};
    struct event *ev, *other;
    int p[2], copy;

    open_pair(p);
    copy = dup(p[0]);
    CHECK(copy >= 0);
    ev = added(base, p[0], EV_READ | EV_PERSIST, &seen);
    turn_once(base);
    CHECK_EQ(event_del(ev), 0);
    CHECK_EQ(close(p[0]), 0);
    CHECK_EQ(event_add(ev, NULL), -1);
    CHECK_EQ(errno, EBADF);
    CHECK_EQ(event_pending(ev, EV_READ, NULL), 0);
    CHECK_EQ(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
    turn_once(base);
    CHECK_EQ(dup2(copy, p[0]), p[0]);
    other = added(base, p[0], EV_WRITE | EV_PERSIST, &stays);
    CHECK_EQ(event_add(ev, NULL), 0);
    turn_once(base);
    CHECK_EQ(event_del(ev), 0);
    refuse_fd = p[0];
    refuse_error = -ENOMEM;
    CHECK_EQ(event_add(ev, NULL), -1);
    CHECK_EQ(errno, ENOMEM);
    refuse_fd = -1;
    stays.calls = 0;
    send_byte(p[1]);
    turn_once(base);
    CHECK_EQ(seen.calls, 0);
    CHECK_EQ(stays.calls, 1);
    CHECK_EQ(event_add(ev, NULL), 0);
    turn_once(base);
    CHECK(seen.calls > 0);
    event_free(ev);
    event_free(other);
    event_base_free(base);
    close(copy);
    close_pair(p);
}

TEST_EACH(changes_of_one_turn_are_one_call) {
    struct event_base *base = counted_base(backend);
    struct pe_io io;
    int p[2];

    open_pair(p);
    pe_io_init(&io, p[0], NULL, 0);
    CHECK_EQ(pe_io_set(base, &io, EV_READ), 0);
    turn_once(base);
    set_calls = 0;
    CHECK_EQ(pe_io_set(base, &io, EV_READ | EV_WRITE), 0);
    CHECK_EQ(pe_io_set(base, &io, EV_READ), 0);
    turn_once(base);
    CHECK_EQ(set_calls, 0);
    CHECK_EQ(pe_io_set(base, &io, EV_READ | EV_CLOSED), 0);
    CHECK_EQ(pe_io_set(base, &io, EV_CLOSED), 0);
    turn_once(base);
    CHECK_EQ(set_calls, 1);
    CHECK_EQ(pe_io_set(base, &io, 0), 0);
    turn_once(base);
    CHECK_EQ(set_calls, 2);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(forget_carries_a_removal_out_at_once) {
    struct event_base *base = counted_base(backend);
    struct pe_io io;
    int p[2];

    open_pair(p);
    pe_io_init(&io, p[0], NULL, 0);
    CHECK_EQ(pe_io_set(base, &io, EV_READ), 0);
    pe_io_forget(base, p[0]); /* still watched: not forgotten */
    CHECK_EQ(set_calls, 1);
    CHECK_EQ(pe_io_set(base, &io, 0), 0);
    CHECK_EQ(set_calls, 1);
    pe_io_forget(base, p[0]);
    CHECK_EQ(set_calls, 2);
    turn_once(base);
    pe_io_forget(base, p[0]);
    CHECK_EQ(set_calls, 2);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(a_fresh_event_on_a_reused_number_is_registered_anew) {
    struct event_base *base = counted_base(backend);
    struct seen old_seen = {0}, seen = {0};
    struct event *old, *ev;
    int p[2], q[2], number;

    open_pair(p);
    old = added(base, p[0], EV_READ | EV_PERSIST, &old_seen);
    turn_once(base);
    set_calls = 0;
    number = p[0];
    event_free(old);
    close_pair(p);
    open_pair(q); /* the lowest free numbers: the same two */
    CHECK_EQ(q[0], number);
    ev = added(base, q[0], EV_READ | EV_PERSIST, &seen);
    CHECK_EQ(set_calls, 1);
    send_byte(q[1]);
    turn_once(base);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(seen.what, EV_READ);
    CHECK_EQ(old_seen.calls, 0);
    event_free(ev);
    event_base_free(base);
    close_pair(q);
}

TEST_EACH(a_second_event_reaches_a_file_put_under_a_watched_number) {
    struct event_base *base = base_on(backend);
    struct seen first = {0}, second = {0};
    struct event *a, *b;
    int p[2], q[2];

    open_pair(p);
    open_pair(q);
    a = added(base, p[0], EV_READ | EV_PERSIST, &first);
    turn_once(base);
    CHECK_EQ(dup2(q[0], p[0]), p[0]); /* behind the loop's back */
    b = added(base, p[0], EV_READ | EV_PERSIST, &second);
    send_byte(q[1]);
    turn_once(base);
    CHECK_EQ(second.calls, 1);
    event_free(a);
    event_free(b);
    event_base_free(base);
    close_pair(p);
    close_pair(q);
}

TEST_EACH(steady_changes_need_no_memory) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev;
    unsigned long before;
    int p[2];

    open_pair(p);
    ev = added(base, p[0], EV_READ | EV_PERSIST, &seen);
    turn_once(base);
    before = pe_mem_total();
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(event_del(ev), 0);
        if (i % 2)
            turn_once(base);
        CHECK_EQ(event_add(ev, NULL), 0);
        turn_once(base);
    }
    CHECK_EQ(pe_mem_total(), before);
    CHECK_EQ(base->fds_in_use, 2); /* this and the wake descriptor */
    event_free(ev);
    turn_once(base);
    CHECK_EQ(base->fds_in_use, 1);
    event_base_free(base);
    close_pair(p);
}

/* --- failures ------------------------------------------------------------------ */

TEST_EACH(adding_on_a_closed_fd_fails_and_changes_nothing) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    open_pair(p);
    close_pair(p);
    ev = event_new(base, p[0], EV_READ, see, &seen);
    CHECK(ev != NULL);
    errno = 0;
    CHECK_EQ(event_add(ev, MS(0)), -1);
    CHECK_EQ(errno, EBADF);
    CHECK_EQ(event_pending(ev, EV_READ | EV_TIMEOUT, NULL), 0);
    CHECK_EQ(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 0);
    event_free(ev);
    event_base_free(base);
}

TEST_EACH(wild_descriptors_are_an_error) {
    static const int wild[] = {INT_MAX, PE_INTMAP_MAX_KEYS, 1000000};
    struct event_base *base = base_on(backend);

    for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
        struct event *ev = event_new(base, wild[i], EV_READ, see, NULL);

        CHECK(ev != NULL);
        CHECK_EQ(event_add(ev, NULL), -1);
        CHECK_EQ(errno, EBADF);
        event_free(ev);
    }
    CHECK_EQ(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
    event_base_free(base);
}

TEST_EACH(a_change_that_the_kernel_refuses_activates_the_watchers) {
    struct event_base *base = counted_base(backend);
    struct seen reader = {0}, writer = {0};
    struct event *a, *b;
    int p[2];

    open_pair(p);
    a = added(base, p[0], EV_READ | EV_PERSIST, &reader);
    refuse_fd = p[0];
    refuse_error = -ENOSPC;
    b = added(base, p[0], EV_WRITE | EV_PERSIST, &writer); /* a change: told later */
    turn_once(base);
    CHECK_EQ(reader.calls, 1);
    CHECK_EQ(reader.what, EV_READ);
    CHECK_EQ(writer.calls, 1);
    CHECK_EQ(writer.what, EV_WRITE);
    event_free(a);
    event_free(b);
    turn_once(base);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(a_change_refused_for_want_of_memory_is_tried_again) {
    struct event_base *base = counted_base(backend);
    struct seen reader = {0}, writer = {0};
    struct event *a, *b;
    int p[2];

    open_pair(p);
    a = added(base, p[0], EV_READ | EV_PERSIST, &reader);
    refuse_fd = p[0];
    refuse_error = -ENOMEM;
    b = added(base, p[0], EV_WRITE | EV_PERSIST, &writer);
    turn_once(base);
    turn_once(base);
    CHECK_EQ(reader.calls, 2);
    CHECK_EQ(writer.calls, 2);
    refuse_fd = -1;
    turn_once(base);
    CHECK_EQ(reader.calls, 2); /* not readable: the kernel says so again */
    CHECK_EQ(writer.calls, 3);
    send_byte(p[1]);
    turn_once(base);
    CHECK_EQ(reader.calls, 3);
    set_calls = 0;
    turn_once(base);
    CHECK_EQ(set_calls, 0);
    event_free(a);
    event_free(b);
    turn_once(base);
    CHECK_EQ(base->fds_in_use, 1);
    event_base_free(base);
    close_pair(p);
}

static int io_runs;

static void io_run(struct event_base *base, struct pe_task *task) {
    (void)base;
    (void)task;
    io_runs++;
}

TEST_EACH(refused_changes_leave_nothing_behind) {
    struct event_base *base = counted_base(backend);
    int p[2];

    io_runs = 0;
    open_pair(p);
    refuse_error = -EPERM; /* for good */
    for (int i = 0; i < 10; i++) {
        struct pe_io io;

        pe_io_init(&io, p[0], io_run, 0);
        CHECK_EQ(pe_io_set(base, &io, EV_READ), 0);
        refuse_fd = p[0];
        CHECK_EQ(pe_io_set(base, &io, EV_READ | EV_WRITE), 0);
        turn_once(base);
        CHECK_EQ(pe_io_set(base, &io, 0), 0);
        refuse_fd = -1;
        turn_once(base);
        CHECK_EQ(base->fds_in_use, 1); /* the wake descriptor */
    }
    CHECK_EQ(io_runs, 10);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(an_fd_takes_65535_watchers_of_a_kind) {
    enum { LIMIT = 65535 };
    struct event_base *base = base_on(backend);
    struct pe_io *ios = calloc(LIMIT + 1, sizeof(*ios));
    int p[2];

    CHECK(ios != NULL);
    open_pair(p);
    for (int i = 0; i <= LIMIT; i++)
        pe_io_init(&ios[i], p[0], NULL, 0);
    for (int i = 0; i < LIMIT; i++)
        CHECK_EQ(pe_io_set(base, &ios[i], EV_READ), 0);
    CHECK_EQ(pe_io_set(base, &ios[LIMIT], EV_READ), -EMFILE);
    CHECK_EQ(pe_io_set(base, &ios[LIMIT], EV_WRITE), 0); /* another kind */
    CHECK_EQ(pe_io_set(base, &ios[LIMIT], EV_WRITE | EV_READ), -EMFILE);
    CHECK_EQ(ios[LIMIT].want, EV_WRITE);
    CHECK_EQ(pe_io_set(base, &ios[0], 0), 0);
    CHECK_EQ(pe_io_set(base, &ios[LIMIT], EV_READ), 0);
    for (int i = 0; i <= LIMIT; i++)
        CHECK_EQ(pe_io_set(base, &ios[i], 0), 0);
    event_base_free(base);
    free(ios);
    close_pair(p);
}

/* --- who hears of what ----------------------------------------------------------- */

static char order[16];

static void note(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    strcat(order, arg);
}

TEST_EACH(events_of_one_fd_fire_newest_first) {
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

TEST_EACH(an_event_hears_of_its_own_bits_only) {
    struct event_base *base = base_on(backend);
    struct seen reader = {0}, writer = {0}, both = {0};
    struct event *r, *w, *b;
    int p[2];

    open_pair(p);
    r = added(base, p[0], EV_READ | EV_PERSIST, &reader);
    w = added(base, p[0], EV_WRITE | EV_PERSIST, &writer);
    b = added(base, p[0], EV_READ | EV_WRITE | EV_PERSIST, &both);
    turn_once(base);
    CHECK_EQ(reader.calls, 0);
    CHECK_EQ(writer.what, EV_WRITE);
    CHECK_EQ(both.what, EV_WRITE);
    send_byte(p[1]);
    turn_once(base);
    CHECK_EQ(reader.what, EV_READ);
    CHECK_EQ(writer.what, EV_WRITE);
    CHECK_EQ(both.what, EV_READ | EV_WRITE);
    event_free(r);
    event_free(w);
    event_free(b);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(an_error_reaches_every_event_of_the_fd) {
    struct event_base *base = base_on(backend);
    struct seen reader = {0}, writer = {0};
    struct event *r, *w;
    int p[2];

    CHECK_EQ(pipe(p), 0);
    r = added(base, p[1], EV_READ, &reader);
    w = added(base, p[1], EV_WRITE, &writer);
    close(p[0]);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(reader.what, EV_READ);
    CHECK_EQ(writer.what, EV_WRITE);
    event_free(r);
    event_free(w);
    event_base_free(base);
    close(p[1]);
}

static struct event *rivals[2];
static int rival_calls;

static void free_the_other(evutil_socket_t fd, short what, void *arg) {
    struct event **other = arg;

    (void)fd;
    (void)what;
    rival_calls++;
    event_free(*other);
    *other = NULL;
}

TEST_EACH(a_callback_may_free_an_event_that_is_active_too) {
    struct event_base *base = base_on(backend);
    int p[2][2];

    rival_calls = 0;
    for (int i = 0; i < 2; i++) {
        open_pair(p[i]);
        send_byte(p[i][1]);
        rivals[i] = event_new(base, p[i][0], EV_READ | EV_PERSIST, free_the_other, &rivals[!i]);
        CHECK_EQ(event_add(rivals[i], NULL), 0);
    }
    turn_once(base);
    CHECK_EQ(rival_calls, 1);
    for (int i = 0; i < 2; i++) {
        event_free(rivals[i]);
        close_pair(p[i]);
    }
    event_base_free(base);
}

TEST_EACH(hundreds_of_descriptors_are_each_served) {
    enum { PAIRS = 300 };
    struct event_base *base = base_on(backend);
    static struct seen seen[PAIRS];
    static struct event *ev[PAIRS];
    static int p[PAIRS][2];
    struct rlimit limit;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < 2 * PAIRS + 20)
        SKIP("not enough descriptors");
    memset(seen, 0, sizeof(seen));
    for (int i = 0; i < PAIRS; i++) {
        open_pair(p[i]);
        ev[i] = added(base, p[i][0], EV_READ, &seen[i]);
    }
    for (int i = 0; i < PAIRS; i += 2)
        event_free(ev[i]);
    for (int i = 0; i < PAIRS; i++)
        send_byte(p[i][1]);
    CHECK_EQ(event_base_dispatch(base), 1);
    for (int i = 0; i < PAIRS; i++) {
        CHECK_EQ(seen[i].calls, i % 2);
        if (i % 2)
            event_free(ev[i]);
        close_pair(p[i]);
    }
    event_base_free(base);
}
