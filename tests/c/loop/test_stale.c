/* test_stale.c - registrations that outlive their descriptor.
 *
 * epoll watches open files. An fd closed while a dup or a forked child holds
 * its file can no longer be removed by number, and goes on reporting. In each
 * of these tests such a file has data, which nobody reads, and the loop has to
 * sleep all the same: it takes a few turns for 200 ms, not one after the other.
 */
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "each.h"
#include "loop/internal.h"

#define FEW_TURNS 6

static int turns;

static void count_turn(void *arg) {
    (void)arg;
    turns++;
}

static void no_hook(void *arg) {
    (void)arg;
}

/* Let the loop run for 200 ms and count how often it waits. */
static void check_that_it_sleeps(struct event_base *base) {
    turns = 0;
    event_base_set_wait_hooks(base, count_turn, no_hook, NULL);
    CHECK_EQ(event_base_loopexit(base, MS(200)), 0);
    CHECK_EQ(event_base_dispatch(base), 0);
    if (turns < 1 || turns > FEW_TURNS)
        harness_fail(__FILE__, __LINE__, "%d turns in 200 ms", turns);
}

static void turn_once(struct event_base *base) {
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY), 0);
}

/* A child that keeps every descriptor open until it is told to end. */
static pid_t open_holder(void) {
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        for (;;)
            pause();
    }
    return pid;
}

static void close_holder(pid_t pid) {
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static struct event *added(struct event_base *base, int fd, struct seen *seen) {
    struct event *ev = event_new(base, fd, EV_READ | EV_PERSIST, see, seen);

    CHECK(ev != NULL);
    CHECK_EQ(event_add(ev, NULL), 0);
    return ev;
}

/* Something else, that must work on after a registration was got rid of. */
struct other {
    int p[2];
    struct seen seen;
    struct event *ev;
};

static void open_other(struct other *other, struct event_base *base) {
    memset(&other->seen, 0, sizeof(other->seen));
    open_pair(other->p);
    other->ev = added(base, other->p[0], &other->seen);
}

static void check_other(struct other *other, struct event_base *base) {
    send_byte(other->p[1]);
    turn_once(base);
    CHECK_EQ(other->seen.calls, 1);
    take_byte(other->p[0]);
    event_free(other->ev);
    close_pair(other->p);
}

enum order { DEL_TURN_CLOSE, DEL_CLOSE, CLOSE_DEL, CLOSE_TURN_DEL };

/* One event, deleted and its fd closed in that order while a child or a dup
 * holds its file. */
static void run_held(const char *backend, enum order order, bool by_child) {
    struct event_base *base = base_on(backend);
    struct other other;
    struct seen seen = {0};
    struct event *ev;
    pid_t pid = -1;
    int p[2], copy = -1;

    open_other(&other, base);
    open_pair(p);
    ev = added(base, p[0], &seen);
    turn_once(base);
    if (by_child) {
        pid = open_holder();
    } else {
        copy = dup(p[0]);
        CHECK(copy >= 0);
    }
    if (order == DEL_CLOSE || order == DEL_TURN_CLOSE)
        CHECK_EQ(event_del(ev), 0);
    if (order == DEL_TURN_CLOSE)
        turn_once(base);
    close(p[0]);
    if (order == CLOSE_TURN_DEL)
        turn_once(base);
    CHECK_EQ(event_del(ev), 0);
    send_byte(p[1]);
    seen.calls = 0; /* under poll a closed fd is an error, and told */
    check_that_it_sleeps(base);
    CHECK_EQ(seen.calls, 0);
    check_other(&other, base);
    event_free(ev);
    event_base_free(base);
    if (by_child)
        close_holder(pid);
    else
        close(copy);
    close(p[1]);
}

TEST_EACH(the_loop_sleeps_when_a_child_holds_a_file_removed_in_time) {
    run_held(backend, DEL_TURN_CLOSE, true);
}

TEST_EACH(the_loop_sleeps_when_a_child_holds_a_file_deleted_and_closed) {
    run_held(backend, DEL_CLOSE, true);
}

TEST_EACH(the_loop_sleeps_when_a_child_holds_a_file_closed_before_del) {
    run_held(backend, CLOSE_DEL, true);
}

TEST_EACH(the_loop_sleeps_when_a_child_holds_a_file_closed_a_turn_before_del) {
    run_held(backend, CLOSE_TURN_DEL, true);
}

TEST_EACH(the_loop_sleeps_when_a_dup_holds_a_file_removed_in_time) {
    run_held(backend, DEL_TURN_CLOSE, false);
}

TEST_EACH(the_loop_sleeps_when_a_dup_holds_a_file_deleted_and_closed) {
    run_held(backend, DEL_CLOSE, false);
}

TEST_EACH(the_loop_sleeps_when_a_dup_holds_a_file_closed_before_del) {
    run_held(backend, CLOSE_DEL, false);
}

TEST_EACH(the_loop_sleeps_when_a_dup_holds_a_file_closed_a_turn_before_del) {
    run_held(backend, CLOSE_TURN_DEL, false);
}

TEST_EACH(add_del_and_close_in_one_turn_leave_the_loop_asleep) {
    struct event_base *base = base_on(backend);
    struct other other;
    struct seen seen = {0};
    struct event *ev;
    pid_t pid;
    int p[2];

    open_other(&other, base);
    open_pair(p);
    pid = open_holder();
    ev = added(base, p[0], &seen);
    event_free(ev);
    close(p[0]);
    send_byte(p[1]);
    check_that_it_sleeps(base);
    CHECK_EQ(seen.calls, 0);
    check_other(&other, base);
    event_base_free(base);
    close_holder(pid);
    close(p[1]);
}

TEST_EACH(a_reused_number_hears_nothing_of_the_file_before_it) {
    struct event_base *base = base_on(backend);
    struct other other;
    struct seen old_seen = {0}, seen = {0};
    struct event *old, *ev;
    pid_t pid;
    int p[2], q[2];

    open_other(&other, base);
    open_pair(p);
    open_pair(q);
    old = added(base, p[0], &old_seen);
    turn_once(base);
    pid = open_holder(); /* holds p[0]'s file */
    event_free(old);
    CHECK_EQ(dup2(q[0], p[0]), p[0]); /* closes it and takes its number at once */
    close(q[0]);
    ev = added(base, p[0], &seen);
    send_byte(p[1]); /* to the old file */
    check_that_it_sleeps(base);
    CHECK_EQ(seen.calls, 0);
    send_byte(q[1]); /* to the new one */
    turn_once(base);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(old_seen.calls, 0);
    check_other(&other, base);
    event_free(ev);
    event_base_free(base);
    close_holder(pid);
    close_pair(p);
    close(q[1]);
}

TEST_EACH(many_held_files_are_got_rid_of_together) {
    enum { HELD = 20 };
    struct event_base *base = base_on(backend);
    struct other other;
    struct seen seen = {0};
    struct event *ev[HELD];
    int p[HELD][2];
    pid_t pid;

    open_other(&other, base);
    for (int i = 0; i < HELD; i++) {
        open_pair(p[i]);
        ev[i] = added(base, p[i][0], &seen);
    }
    turn_once(base);
    pid = open_holder();
    for (int i = 0; i < HELD; i++) {
        event_free(ev[i]);
        close(p[i][0]);
        send_byte(p[i][1]);
    }
    check_that_it_sleeps(base);
    CHECK_EQ(seen.calls, 0);
    check_other(&other, base);
    event_base_free(base);
    close_holder(pid);
    for (int i = 0; i < HELD; i++)
        close(p[i][1]);
}

/* --- results of before a change ------------------------------------------------- */

/* What another thread may do while the loop waits: put another file under a
 * number for which the kernel has a result ready already. */
struct swap {
    struct event_base *base;
    struct event *old, *ev;
    struct seen old_seen, seen;
    int p[2], q[2];
    bool is_done;
};

static void swap_files(void *arg) {
    struct swap *swap = arg;

    if (swap->is_done)
        return;
    swap->is_done = true;
    event_free(swap->old);
    close_pair(swap->p);
    open_pair(swap->q); /* the lowest free numbers: the same two */
    CHECK_EQ(swap->q[0], swap->p[0]);
    swap->ev = added(swap->base, swap->q[0], &swap->seen);
}

TEST_EACH(a_result_from_before_a_change_costs_no_new_set) {
    struct swap swap = {.base = base_on(backend)};
    void *state = swap.base->backend.state;

    open_pair(swap.p);
    swap.old = added(swap.base, swap.p[0], &swap.old_seen);
    send_byte(swap.p[1]);
    event_base_set_wait_hooks(swap.base, no_hook, swap_files, &swap);
    CHECK_EQ(event_base_loopexit(swap.base, MS(50)), 0);
    CHECK_EQ(event_base_dispatch(swap.base), 0);
    CHECK(swap.is_done);
    CHECK_EQ(swap.old_seen.calls, 0);
    CHECK_EQ(swap.seen.calls, 0);
    CHECK(swap.base->backend.state == state);
    send_byte(swap.q[1]);
    turn_once(swap.base);
    CHECK_EQ(swap.seen.calls, 1);
    event_free(swap.ev);
    event_base_free(swap.base);
    close_pair(swap.q);
}
