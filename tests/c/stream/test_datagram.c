/* test_datagram.c - datagram sockets: life, failing memory, a base that goes first. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "base/mem.h"
#include "event2/bufferevent.h"
#include "event2/datagram.h"
#include "event2/watch.h"
#include "streams.h"

struct got {
    struct event_base *base;
    int count, calls;
    size_t bytes;
};

static void on_messages(struct evdgram *dgram, const struct evdgram_message *messages, int count,
                        void *arg) {
    struct got *got = arg;

    CHECK(count >= 1 && count <= EVDGRAM_BATCH);
    got->calls++;
    got->count += count;
    for (int i = 0; i < count; i++) {
        CHECK(messages[i].addrlen > 0);
        got->bytes += messages[i].len;
    }
    (void)dgram;
}

static int udp_socket(struct sockaddr_in *addr) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(*addr);

    memset(addr, 0, sizeof(*addr));
    addr->sin_family = AF_INET;
    addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0);
    CHECK_EQ(bind(fd, (struct sockaddr *)addr, sizeof(*addr)), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)addr, &len), 0);
    return fd;
}

TEST(a_batch_goes_out_and_comes_in_with_one_call_each) {
    struct event_base *base = event_base_new();
    struct got got = {.base = base};
    struct sockaddr_in addr, other;
    struct evdgram *near = evdgram_new(base, udp_socket(&addr), BEV_OPT_CLOSE_ON_FREE);
    struct evdgram *far = evdgram_new(base, udp_socket(&other), BEV_OPT_CLOSE_ON_FREE);

    evdgram_setcb(near, on_messages, NULL, &got);
    CHECK_EQ(evdgram_enable(near), 0);
    for (int i = 0; i < 50; i++)
        CHECK_EQ(evdgram_send(far, "abc", 3, (struct sockaddr *)&addr, sizeof(addr)), 0);
    CHECK_EQ(evdgram_get_queued(far), 150);
    while (got.count < 50)
        CHECK_EQ(event_base_loop(base, EVLOOP_ONCE), 0);
    CHECK_EQ(got.bytes, 150);
    CHECK_EQ(got.calls, 1);
    CHECK_EQ(evdgram_get_queued(far), 0);
    evdgram_free(near);
    evdgram_free(far);
    event_base_free(base);
}

TEST(the_base_may_go_first) {
    struct event_base *base = event_base_new();
    struct sockaddr_in addr;
    struct evdgram *dgram = evdgram_new(base, udp_socket(&addr), BEV_OPT_CLOSE_ON_FREE);

    CHECK_EQ(evdgram_send(dgram, "abc", 3, (struct sockaddr *)&addr, sizeof(addr)), 0);
    CHECK_EQ(evdgram_enable(dgram), 0);
    event_base_free(base);
    CHECK(evdgram_get_base(dgram) == NULL);
    CHECK_EQ(evdgram_send(dgram, "abc", 3, (struct sockaddr *)&addr, sizeof(addr)), -1);
    CHECK_EQ(evdgram_enable(dgram), -1);
    evdgram_free(dgram);
}

static void free_it(struct evdgram *dgram, const struct evdgram_message *messages, int count,
                    void *arg) {
    struct evdgram **kept = arg;

    (void)messages;
    (void)count;
    CHECK_EQ(evdgram_send(dgram, "x", 1, NULL, 0), 0); /* never sent */
    evdgram_free(dgram);
    *kept = NULL;
}

TEST(freed_in_its_own_callback_it_drops_what_waits) {
    struct event_base *base = event_base_new();
    struct sockaddr_in addr;
    struct evdgram *dgram = evdgram_new(base, udp_socket(&addr), BEV_OPT_CLOSE_ON_FREE);

    evdgram_setcb(dgram, free_it, NULL, &dgram);
    CHECK_EQ(evdgram_enable(dgram), 0);
    CHECK_EQ(evdgram_send(dgram, "abc", 3, (struct sockaddr *)&addr, sizeof(addr)), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK(dgram == NULL);
    event_base_free(base);
}

TEST(failing_allocations_lose_nothing_else) {
    struct sockaddr_in addr;

    for (long n = 1;; n++) {
        struct event_base *base = event_base_new();
        struct got got = {.base = base};
        int fd = udp_socket(&addr), ok;
        struct evdgram *dgram;

        pe_mem_fail_nth(n);
        dgram = evdgram_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
        if (dgram == NULL) {
            CHECK_EQ(errno, ENOMEM);
            close(fd);
            event_base_free(base);
            continue;
        }
        evdgram_setcb(dgram, on_messages, NULL, &got);
        ok = evdgram_enable(dgram) == 0 &&
             evdgram_send(dgram, "abc", 3, (struct sockaddr *)&addr, sizeof(addr)) == 0;
        if (!ok)
            CHECK_EQ(errno, ENOMEM);
        while (ok && got.count == 0)
            CHECK_EQ(event_base_loop(base, EVLOOP_ONCE), 0);
        evdgram_free(dgram);
        event_base_free(base);
        if (!pe_mem_has_failed())
            break;
    }
    pe_mem_fail_nth(0);
}

TEST(arguments_are_checked) {
    struct event_base *base = event_base_new();
    struct sockaddr_in addr;
    static char big[65537];
    struct evdgram *dgram;

    CHECK(evdgram_new(NULL, 3, 0) == NULL);
    CHECK_EQ(errno, EINVAL);
    CHECK(evdgram_new(base, -1, 0) == NULL);
    dgram = evdgram_new(base, udp_socket(&addr), BEV_OPT_CLOSE_ON_FREE);
    CHECK_EQ(evdgram_send(dgram, big, sizeof(big), (struct sockaddr *)&addr, sizeof(addr)), -1);
    CHECK_EQ(errno, EMSGSIZE);
    evdgram_set_queue_max(dgram, 10);
    CHECK_EQ(evdgram_send(dgram, big, 11, (struct sockaddr *)&addr, sizeof(addr)), -1);
    CHECK_EQ(errno, ENOBUFS);
    CHECK_EQ(evdgram_get_dropped(dgram), 1);
    evdgram_free(dgram);
    event_base_free(base);
}

/* --- what does not go at once ----------------------------------------------------------- */

static int failing_sends, failing_errno;

#ifdef __linux__
/* In place of the C library's: the next `failing_sends` fail. */
int sendmmsg(int fd, struct mmsghdr *messages, unsigned n, int flags) {
    CHECK(flags & MSG_DONTWAIT);
    if (failing_sends > 0) {
        failing_sends--;
        errno = failing_errno;
        return -1;
    }
    return (int)syscall(SYS_sendmmsg, fd, messages, n, flags);
}
#endif

struct errors {
    int count, last, sends_left;
    struct sockaddr_in to;
};

static void note_error(struct evdgram *dgram, short what, void *arg) {
    struct errors *errors = arg;

    errors->last = errno;
    errors->count++;
    CHECK(what & BEV_EVENT_ERROR);
    if (errors->sends_left-- > 0)
        CHECK_EQ(evdgram_send(dgram, "again", 5, (struct sockaddr *)&errors->to,
                              sizeof(errors->to)), 0);
}

static int turns;

static void count_turn(struct evwatch *watcher, const struct evwatch_prepare_cb_info *info,
                       void *arg) {
    (void)watcher;
    (void)info;
    (void)arg;
    turns++;
}

TEST(a_full_device_queue_is_waited_for_in_sleep) {
    struct event_base *base = event_base_new();
    struct got got = {.base = base};
    struct errors errors = {.count = 0};
    struct sockaddr_in addr, other;
    struct evdgram *near = evdgram_new(base, udp_socket(&addr), BEV_OPT_CLOSE_ON_FREE);
    struct evdgram *far = evdgram_new(base, udp_socket(&other), BEV_OPT_CLOSE_ON_FREE);

#ifndef __linux__
    SKIP("no sendmmsg here");
#endif
    CHECK(evwatch_prepare_new(base, count_turn, NULL) != NULL);
    evdgram_setcb(near, on_messages, NULL, &got);
    evdgram_setcb(far, NULL, note_error, &errors);
    CHECK_EQ(evdgram_enable(near), 0);
    failing_sends = 6; /* 1 + 2 + 4 + ... 32 ms */
    failing_errno = ENOBUFS;
    for (int i = 0; i < 10; i++)
        CHECK_EQ(evdgram_send(far, "abc", 3, (struct sockaddr *)&addr, sizeof(addr)), 0);
    turns = 0;
    while (got.count < 10)
        CHECK_EQ(event_base_loop(base, EVLOOP_ONCE), 0);
    CHECK_EQ(failing_sends, 0);
    CHECK(turns < 20);
    CHECK_EQ(errors.count, 0);
    CHECK_EQ(evdgram_get_dropped(far), 0);
    evdgram_free(near);
    evdgram_free(far);
    event_base_free(base);
}

TEST(freed_while_a_receiver_rests_it_leaves_nothing) {
    for (int base_first = 0; base_first < 2; base_first++) {
        struct event_base *base = event_base_new();
        struct sockaddr_in addr;
        struct evdgram *dgram = evdgram_new(base, udp_socket(&addr), BEV_OPT_CLOSE_ON_FREE);

#ifndef __linux__
        SKIP("no sendmmsg here");
#endif
        failing_sends = 1;
        failing_errno = ENOBUFS;
        CHECK_EQ(evdgram_send(dgram, "abc", 3, (struct sockaddr *)&addr, sizeof(addr)), 0);
        CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 0); /* it is to go on */
        if (base_first)
            event_base_free(base);
        evdgram_free(dgram);
        if (!base_first) {
            CHECK_EQ(event_base_dispatch(base), 1);
            event_base_free(base);
        }
    }
}

TEST(an_error_callback_that_sends_again_has_its_turns) {
    struct event_base *base = event_base_new();
    struct errors errors = {.sends_left = 1000};
    struct sockaddr_in addr;
    struct evdgram *dgram = evdgram_new(base, udp_socket(&addr), BEV_OPT_CLOSE_ON_FREE);

#ifndef __linux__
    SKIP("no sendmmsg here");
#endif
    errors.to = addr;
    evdgram_setcb(dgram, NULL, note_error, &errors);
    failing_sends = 2000;
    failing_errno = EMSGSIZE;
    CHECK_EQ(evdgram_send(dgram, "abc", 3, (struct sockaddr *)&addr, sizeof(addr)), 0);
    turn(base);
    CHECK(errors.count < 5); /* the list is run once more before the loop returns */
    while (evdgram_get_queued(dgram) > 0)
        turn(base);
    CHECK_EQ(errors.count, 1001);
    CHECK_EQ(evdgram_get_dropped(dgram), 1001);
    evdgram_free(dgram);
    event_base_free(base);
}

TEST(a_full_socket_waits_for_room) {
    struct event_base *base = event_base_new();
    struct errors errors = {.count = 0};
    struct evdgram *dgram;
    int fds[2], small = 1;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    CHECK_EQ(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    dgram = evdgram_new(base, fds[0], BEV_OPT_CLOSE_ON_FREE);
    CHECK(evwatch_prepare_new(base, count_turn, NULL) != NULL);
    evdgram_setcb(dgram, NULL, note_error, &errors);
    for (int i = 0; i < 200; i++)
        CHECK_EQ(evdgram_send(dgram, "abc", 3, NULL, 0), 0);
    turns = 0;
    CHECK_EQ(event_base_loopexit(base, &(struct timeval){.tv_usec = 50000}), 0);
    CHECK_EQ(event_base_dispatch(base), 0);
    CHECK(turns < 40);
    CHECK(evdgram_get_queued(dgram) > 0);
    while (evdgram_get_queued(dgram) > 0) {
        char text[10];

        while (recv(fds[1], text, sizeof(text), MSG_DONTWAIT) > 0)
            continue;
        CHECK_EQ(event_base_loop(base, EVLOOP_ONCE), 0);
    }
    CHECK_EQ(evdgram_get_dropped(dgram), 0);
    CHECK_EQ(errors.count, 0);
    evdgram_free(dgram);
    close(fds[1]);
    event_base_free(base);
}

static bool poll_says_no;

/* In place of the C library's: it may deny that a socket is writable. */
int poll(struct pollfd *fds, nfds_t n, int timeout) {
    struct timespec limit = {.tv_sec = timeout / 1000, .tv_nsec = timeout % 1000 * 1000000L};
    int ready = ppoll(fds, n, timeout < 0 ? NULL : &limit, NULL);

    return poll_says_no && ready == 1 && fds->revents == POLLOUT ? 0 : ready;
}

/* EV_WRITE comes at once and again, and nothing can be sent. */
TEST(a_socket_whose_readiness_lies_is_tried_after_rests) {
    struct event_base *base = event_base_new();
    struct sockaddr_in addr;
    struct evdgram *dgram = evdgram_new(base, udp_socket(&addr), BEV_OPT_CLOSE_ON_FREE);

#ifndef __linux__
    SKIP("no sendmmsg here");
#endif
    CHECK(evwatch_prepare_new(base, count_turn, NULL) != NULL);
    poll_says_no = true;
    failing_sends = 7;
    failing_errno = EAGAIN;
    CHECK_EQ(evdgram_send(dgram, "abc", 3, (struct sockaddr *)&addr, sizeof(addr)), 0);
    turns = 0;
    CHECK_EQ(event_base_dispatch(base), 1); /* until nothing is left to be sent */
    CHECK_EQ(evdgram_get_queued(dgram), 0);
    CHECK_EQ(failing_sends, 0);
    CHECK(turns < 30);
    CHECK_EQ(evdgram_get_dropped(dgram), 0);
    evdgram_free(dgram);
    event_base_free(base);
}

TEST(a_stream_is_no_datagram_socket) {
    struct event_base *base = event_base_new();
    int types[2] = {SOCK_STREAM, SOCK_SEQPACKET}, fds[2];

    for (int i = 0; i < 2; i++) {
        int fd = socket(AF_UNIX, types[i], 0);

        CHECK(evdgram_new(base, fd, 0) == NULL);
        CHECK_EQ(errno, EPROTOTYPE);
        close(fd);
    }
    CHECK_EQ(pipe(fds), 0);
    CHECK(evdgram_new(base, fds[0], 0) == NULL);
    CHECK_EQ(errno, ENOTSOCK);
    close(fds[0]);
    close(fds[1]);
    event_base_free(base);
}

TEST(a_blocking_socket_becomes_non_blocking) {
    struct event_base *base = event_base_new();
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct evdgram *dgram = evdgram_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    evdgram_free(dgram);
    event_base_free(base);
}

TEST(a_new_socket_is_bound_and_its_own) {
    struct event_base *base = event_base_new();
    struct sockaddr_un un;
    struct sockaddr_in addr, bound;
    socklen_t len = sizeof(bound);
    struct evdgram *dgram;
    int fd;

    memset(&addr, 0, sizeof(addr));
    addr.sin_family = AF_INET;
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    dgram = evdgram_new_bind(base, (struct sockaddr *)&addr, sizeof(addr));
    CHECK(dgram != NULL);
    fd = evdgram_get_fd(dgram);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&bound, &len), 0);
    CHECK(evdgram_new_bind(base, (struct sockaddr *)&bound, sizeof(bound)) == NULL);
    CHECK_EQ(errno, EADDRINUSE);
    memset(&un, 0, sizeof(un));
    un.sun_family = AF_UNIX;
    un.sun_path[0] = '/';
    CHECK_EQ(evdgram_send(dgram, "x", 1, (struct sockaddr *)&un, sizeof(un)), -1);
    CHECK_EQ(errno, EAFNOSUPPORT);
    evdgram_free(dgram);
    CHECK_EQ(fcntl(fd, F_GETFD), -1);
    CHECK(evdgram_new_bind(base, NULL, 0) == NULL);
    event_base_free(base);
}
