/* test_kqueue.c - that the emulation does what kqueue(2) says. */
#include <sys/event.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "harness.h"
#include "loop/each.h"

static int kq;

/* One change; 0 or its errno. */
static int change(int ident, int filter, int flags, unsigned fflags, intptr_t data, void *udata) {
    struct kevent kev, receipt;

    EV_SET(&kev, ident, filter, flags | EV_RECEIPT, fflags, data, udata);
    CHECK_EQ(kevent(kq, &kev, 1, &receipt, 1, NULL), 1);
    CHECK(receipt.flags & EV_ERROR);
    CHECK_EQ(receipt.ident, ident);
    return (int)receipt.data;
}

/* How many of two events are there at once. */
static int look(struct kevent got[2]) {
    static const struct timespec now = {0, 0};

    return kevent(kq, NULL, 0, got, 2, &now);
}

static struct kevent wait_one(void) {
    struct kevent got;

    CHECK_EQ(kevent(kq, NULL, 0, &got, 1, NULL), 1);
    return got;
}

static char mark[2];

TEST(directions_are_knotes_of_their_own) {
    struct kevent got[2];
    int p[2];

    kq = kqueue();
    CHECK(kq >= 0);
    open_pair(p);
    CHECK_EQ(change(p[0], EVFILT_READ, EV_ADD, 0, 0, &mark[0]), 0);
    CHECK_EQ(look(got), 0);
    CHECK_EQ(change(p[0], EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 0, &mark[1]), 0);
    CHECK_EQ(look(got), 1);
    CHECK_EQ(got[0].filter, EVFILT_WRITE);
    CHECK(got[0].udata == &mark[1]);
    CHECK_EQ(look(got), 0); /* cleared */
    send_byte(p[1]);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(look(got), 1); /* level */
        CHECK_EQ(got[0].filter, EVFILT_READ);
        CHECK_EQ(got[0].data, 1);
        CHECK(got[0].udata == &mark[0]);
    }
    CHECK_EQ(change(p[0], EVFILT_READ, EV_DELETE, 0, 0, NULL), 0);
    CHECK_EQ(change(p[0], EVFILT_READ, EV_DELETE, 0, 0, NULL), ENOENT);
    CHECK_EQ(look(got), 0);
    close(kq);
    close_pair(p);
}

TEST(adding_again_changes_udata_and_not_clear) {
    struct kevent got[2];
    int p[2];

    kq = kqueue();
    open_pair(p);
    send_byte(p[1]);
    CHECK_EQ(change(p[0], EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0, &mark[0]), 0);
    CHECK_EQ(look(got), 1);
    CHECK_EQ(change(p[0], EVFILT_READ, EV_ADD, 0, 0, &mark[1]), 0);
    CHECK_EQ(look(got), 1); /* told again, for it is ready ... */
    CHECK(got[0].udata == &mark[1]);
    CHECK_EQ(look(got), 0); /* ... once */
    close(kq);
    close_pair(p);
}

TEST(errors_of_changes_come_in_the_list_or_else_as_the_result) {
    struct kevent changes[2], got[2];
    int p[2];

    kq = kqueue();
    open_pair(p);
    close(p[1]);
    EV_SET(&changes[0], p[1], EVFILT_READ, EV_ADD, 0, 0, NULL);
    EV_SET(&changes[1], p[0], EVFILT_READ, EV_ADD, 0, 0, NULL);
    CHECK_EQ(kevent(kq, changes, 2, got, 2, NULL), 1);
    CHECK_EQ(got[0].flags, EV_ADD | EV_ERROR);
    CHECK_EQ(got[0].data, EBADF);
    CHECK_EQ(kevent(kq, changes, 1, NULL, 0, NULL), -1);
    CHECK_EQ(errno, EBADF);
    CHECK_EQ(look(got), 1); /* the second was made */
    CHECK_EQ(change(p[0], -77, EV_ADD, 0, 0, NULL), EINVAL);
    close(kq);
    CHECK_EQ(kevent(kq, NULL, 0, got, 2, NULL), -1);
    CHECK_EQ(errno, EBADF);
    close(p[0]);
}

/* The flags of that direction's result. */
static int flags_of(const struct kevent *got, int n, int filter) {
    for (int i = 0; i < n; i++) {
        if (got[i].filter == filter)
            return got[i].flags;
    }
    return 0;
}

TEST(the_end_of_a_stream_is_eof_of_that_direction) {
    struct kevent got[2];
    int p[2];

    kq = kqueue();
    open_pair(p);
    CHECK_EQ(change(p[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
    CHECK_EQ(change(p[0], EVFILT_WRITE, EV_ADD, 0, 0, NULL), 0);
    CHECK_EQ(look(got), 1);
    CHECK_EQ(shutdown(p[1], SHUT_WR), 0);
    CHECK_EQ(look(got), 2);
    CHECK_EQ(flags_of(got, 2, EVFILT_READ), EV_EOF);
    CHECK_EQ(flags_of(got, 2, EVFILT_WRITE), 0);
    close(p[1]);
    CHECK_EQ(look(got), 2);
    CHECK_EQ(flags_of(got, 2, EVFILT_READ), EV_EOF);
    CHECK_EQ(flags_of(got, 2, EVFILT_WRITE), EV_EOF);
    close(kq);
    close(p[0]);
}

TEST(a_pipe_without_a_reader_is_refused_for_writing) {
    int p[2];

    kq = kqueue();
    CHECK_EQ(pipe(p), 0);
    close(p[0]);
    CHECK_EQ(change(p[1], EVFILT_WRITE, EV_ADD, 0, 0, NULL), EPIPE);
    CHECK_EQ(change(p[1], EVFILT_WRITE, EV_DELETE, 0, 0, NULL), ENOENT);
    close(kq);
    close(p[1]);
}

TEST(oneshot_is_gone_and_dispatch_disabled_after_one_result) {
    struct kevent got[2];
    int p[2];

    kq = kqueue();
    open_pair(p);
    send_byte(p[1]);
    CHECK_EQ(change(p[0], EVFILT_READ, EV_ADD | EV_ONESHOT, 0, 0, NULL), 0);
    CHECK_EQ(look(got), 1);
    CHECK_EQ(look(got), 0);
    CHECK_EQ(change(p[0], EVFILT_READ, EV_DELETE, 0, 0, NULL), ENOENT);
    CHECK_EQ(change(p[0], EVFILT_READ, EV_ADD | EV_DISPATCH, 0, 0, NULL), 0);
    CHECK_EQ(look(got), 1);
    CHECK_EQ(look(got), 0);
    CHECK_EQ(change(p[0], EVFILT_READ, EV_ENABLE, 0, 0, NULL), 0);
    CHECK_EQ(look(got), 1);
    CHECK_EQ(change(p[0], EVFILT_READ, EV_ENABLE, 0, 0, NULL), 0);
    CHECK_EQ(change(p[0], EVFILT_READ, EV_DISABLE, 0, 0, NULL), 0);
    CHECK_EQ(look(got), 0);
    close(kq);
    close_pair(p);
}

TEST(user_events_stay_triggered_unless_cleared) {
    struct kevent got[2];

    kq = kqueue();
    CHECK_EQ(change(5, EVFILT_USER, EV_ADD, 0, 0, &mark[0]), 0);
    CHECK_EQ(change(6, EVFILT_USER, EV_ADD | EV_CLEAR, NOTE_TRIGGER, 0, &mark[1]), 0);
    CHECK_EQ(look(got), 1);
    CHECK_EQ(got[0].ident, 6);
    CHECK_EQ(look(got), 0);
    CHECK_EQ(change(5, EVFILT_USER, 0, NOTE_TRIGGER, 0, &mark[0]), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(wait_one().ident, 5);
        CHECK_EQ(look(got), 1);
        CHECK(got[0].udata == &mark[0]);
    }
    CHECK_EQ(change(5, EVFILT_USER, EV_DELETE, 0, 0, NULL), 0);
    CHECK_EQ(look(got), 0);
    close(kq);
}

TEST(timers_repeat_and_count) {
    struct timespec nap = {0, 20000000};
    struct kevent got;

    kq = kqueue();
    CHECK_EQ(change(1, EVFILT_TIMER, EV_ADD, NOTE_USECONDS, 1000, NULL), 0);
    nanosleep(&nap, NULL);
    got = wait_one();
    CHECK_EQ(got.filter, EVFILT_TIMER);
    CHECK(got.data >= 19);
    CHECK(wait_one().data >= 1);
    CHECK_EQ(change(1, EVFILT_TIMER, EV_DELETE, 0, 0, NULL), 0);
    CHECK_EQ(change(2, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1, NULL), 0);
    CHECK_EQ(wait_one().ident, 2);
    CHECK_EQ(change(2, EVFILT_TIMER, EV_DELETE, 0, 0, NULL), ENOENT);
    close(kq);
}

TEST(a_blocked_signal_is_an_event) {
    struct kevent got[2];
    sigset_t mask;

    kq = kqueue();
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &mask, NULL), 0);
    CHECK_EQ(change(SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL), 0);
    CHECK_EQ(look(got), 0);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK_EQ(wait_one().ident, SIGUSR1);
    CHECK_EQ(look(got), 0);
    close(kq);
}

TEST(a_wait_ends_in_time_and_not_before) {
    struct timespec start, end, limit = {0, 5000000};
    struct kevent got;

    kq = kqueue();
    clock_gettime(CLOCK_MONOTONIC, &start);
    CHECK_EQ(kevent(kq, NULL, 0, &got, 1, &limit), 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    CHECK((end.tv_sec - start.tv_sec) * 1000000000 + end.tv_nsec - start.tv_nsec >= 5000000);
    close(kq);
}

TEST(a_closed_descriptor_takes_its_knotes_along_though_the_file_is_held) {
    struct kevent got[2];
    int p[2], q[2], copy;

    kq = kqueue();
    open_pair(p);
    open_pair(q);
    copy = dup(p[0]);
    CHECK_EQ(change(p[0], EVFILT_READ, EV_ADD, 0, 0, &mark[0]), 0);
    send_byte(p[1]);
    CHECK_EQ(look(got), 1);
    CHECK_EQ(dup2(q[0], p[0]), p[0]); /* closes it and takes its number */
    CHECK_EQ(look(got), 0);
    CHECK_EQ(change(p[0], EVFILT_READ, EV_DELETE, 0, 0, NULL), ENOENT);
    CHECK_EQ(change(p[0], EVFILT_READ, EV_ADD, 0, 0, &mark[1]), 0);
    CHECK_EQ(look(got), 0);
    send_byte(q[1]);
    CHECK_EQ(look(got), 1);
    CHECK(got[0].udata == &mark[1]);
    close(copy);
    close(kq);
    close_pair(p);
    close_pair(q);
}

static void *add_and_send(void *arg) {
    int *p = arg;

    CHECK_EQ(change(p[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
    send_byte(p[1]);
    return NULL;
}

TEST(changes_may_come_while_another_thread_waits) {
    pthread_t thread;
    int p[2];

    kq = kqueue();
    open_pair(p);
    CHECK_EQ(pthread_create(&thread, NULL, add_and_send, p), 0);
    CHECK_EQ(wait_one().ident, p[0]);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    close(kq);
    close_pair(p);
}

TEST(a_child_has_no_queue) {
    struct kevent got[2];
    int p[2], status;
    pid_t pid;

    kq = kqueue();
    open_pair(p);
    CHECK_EQ(change(p[0], EVFILT_READ, EV_ADD, 0, 0, NULL), 0);
    pid = fork();
    if (pid == 0) {
        CHECK_EQ(fcntl(kq, F_GETFD), -1);
        CHECK_EQ(look(got), -1);
        CHECK_EQ(errno, EBADF);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    send_byte(p[1]);
    CHECK_EQ(look(got), 1);
    close(kq);
    close_pair(p);
}
