/* test_backend.c - each backend alone: a table of functions, sockets, no loop. */
#include "loop/backend.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/clock.h"
#include "each.h"
#include "loop/epoll.h"

#define MANY 100
#define SLOT 32 /* more than any backend's slot_size */
#define FDS 1024

/* An open backend, and the memory that the fd map would keep for it. */
struct rig {
    struct pe_backend b;
    _Alignas(16) unsigned char slots[FDS][SLOT];
};

static struct rig rig;

static void rig_open(const struct pe_backend_ops *ops) {
    memset(&rig, 0, sizeof(rig));
    CHECK(ops->slot_size <= SLOT);
    rig.b.ops = ops;
    CHECK_EQ(ops->open(&rig.b), 0);
}

static void rig_close(void) {
    rig.b.ops->close(&rig.b);
    CHECK(rig.b.state == NULL);
}

static int set(int fd, uint32_t gen, unsigned old, unsigned want) {
    CHECK(fd < FDS);
    return rig.b.ops->set(&rig.b, fd, gen, old, want, rig.slots[fd < 0 ? 0 : fd]);
}

static int wait_ns(int64_t ns) {
    return rig.b.ops->wait(&rig.b, ns);
}

static int harvest(struct pe_ready *out, int cap) {
    return rig.b.ops->harvest(&rig.b, out, cap);
}

/* Wait, without blocking, for this one fd. kqueue reports the directions one
 * by one. */
static void check_only(int fd, uint32_t gen, unsigned events) {
    struct pe_ready ready[3];
    int n = wait_ns(0);
    unsigned got = 0;

    CHECK(n == 1 || n == 2);
    CHECK_EQ(harvest(ready, 3), n);
    for (int i = 0; i < n; i++) {
        CHECK_EQ(ready[i].fd, fd);
        CHECK_EQ(ready[i].gen, gen);
        got |= ready[i].events;
    }
    CHECK_EQ(got, events);
    CHECK_EQ(harvest(ready, 3), 0);
}

static void check_nothing(void) {
    struct pe_ready ready;

    CHECK_EQ(wait_ns(0), 0);
    CHECK_EQ(harvest(&ready, 1), 0);
}

/* Each test runs on each table, with the rig open. */
static void on_each_table(void (*body)(void)) {
    for (int i = 0; pe_backends[i] != NULL; i++) {
        printf("on %s\n", pe_backends[i]->name);
        rig_open(pe_backends[i]);
        body();
        rig_close();
    }
}

#define TEST_TABLE(name)         \
    static void name##_body(void); \
    TEST(name) {                 \
        on_each_table(name##_body); \
    }                            \
    static void name##_body(void)

TEST_TABLE(ready_descriptors_are_reported_with_their_generation) {
    int p[2];

    open_pair(p);
    CHECK_EQ(set(p[0], 7, 0, EV_READ), 0);
    check_nothing();
    send_byte(p[1]);
    check_only(p[0], 7, EV_READ);
    check_only(p[0], 7, EV_READ); /* level-triggered */
    take_byte(p[0]);
    check_nothing();
    CHECK_EQ(set(p[0], 7, EV_READ, 0), 0);
    close_pair(p);
}

TEST_TABLE(a_changed_mask_is_what_is_waited_for) {
    int p[2];

    open_pair(p);
    send_byte(p[1]);
    CHECK_EQ(set(p[0], 1, 0, EV_READ), 0);
    CHECK_EQ(set(p[0], 1, EV_READ, EV_READ | EV_WRITE), 0);
    check_only(p[0], 1, EV_READ | EV_WRITE);
    CHECK_EQ(set(p[0], 1, EV_READ | EV_WRITE, EV_WRITE), 0);
    check_only(p[0], 1, EV_WRITE);
    CHECK_EQ(set(p[0], 1, EV_WRITE, 0), 0);
    check_nothing();
    CHECK_EQ(set(p[0], 2, 0, EV_READ), 0); /* and again from the start */
    check_only(p[0], 2, EV_READ);
    CHECK_EQ(set(p[0], 2, EV_READ, 0), 0);
    close_pair(p);
}

TEST_TABLE(setting_anew_replaces_the_generation) {
    int p[2];

    open_pair(p);
    send_byte(p[1]);
    CHECK_EQ(set(p[0], 1, 0, EV_WRITE), 0);
    CHECK_EQ(set(p[0], 2, 0, EV_READ), 0); /* its removal was not carried out */
    check_only(p[0], 2, EV_READ);
    CHECK_EQ(set(p[0], 2, EV_READ, 0), 0);
    close_pair(p);
}

TEST_TABLE(a_closed_descriptor_is_refused_and_may_be_dropped) {
    int p[2];

    open_pair(p);
    CHECK_EQ(set(p[0], 1, 0, EV_READ), 0);
    close(p[0]);
    CHECK_EQ(set(p[0], 1, EV_READ, 0), 0);
    CHECK_EQ(set(p[0], 2, 0, EV_READ), -EBADF);
    check_nothing();
    close(p[1]);
}

TEST_TABLE(a_change_adds_what_the_kernel_has_lost) {
    int p[2], q[2];

    open_pair(p);
    open_pair(q);
    CHECK_EQ(set(p[0], 1, 0, EV_READ), 0);
    CHECK_EQ(dup2(q[0], p[0]), p[0]); /* another file under the number */
    send_byte(q[1]);
    CHECK_EQ(set(p[0], 1, EV_READ, EV_READ | EV_WRITE), 0);
    check_only(p[0], 1, EV_READ | EV_WRITE);
    CHECK_EQ(set(p[0], 1, EV_READ | EV_WRITE, 0), 0);
    close_pair(p);
    close_pair(q);
}

TEST_TABLE(regular_files_are_for_the_backends_that_say_so) {
    FILE *file = tmpfile();
    int fd;

    CHECK(file != NULL);
    fd = fileno(file);
    if (rig.b.ops->features & EV_FEATURE_FDS) {
        struct pe_ready ready;

        CHECK_EQ(set(fd, 3, 0, EV_READ), 0);
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(wait_ns(0), 1);
            CHECK_EQ(harvest(&ready, 1), 1);
            CHECK_EQ(ready.fd, fd);
            CHECK_EQ(ready.gen, 3);
            CHECK((ready.events & EV_READ) && !(ready.events & (EV_CLOSED | PE_READY_ERROR)));
        }
        CHECK_EQ(set(fd, 3, EV_READ, 0), 0);
        check_nothing();
    } else {
        CHECK_EQ(set(fd, 3, 0, EV_READ), -EPERM);
        check_nothing();
    }
    fclose(file);
}

TEST_TABLE(results_are_handed_out_in_portions) {
    int p[3][2];
    struct pe_ready ready;
    unsigned found = 0;

    for (int i = 0; i < 3; i++) {
        open_pair(p[i]);
        send_byte(p[i][1]);
        CHECK_EQ(set(p[i][0], (uint32_t)i, 0, EV_READ), 0);
    }
    CHECK_EQ(wait_ns(0), 3);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(harvest(&ready, 1), 1);
        CHECK_EQ(ready.fd, p[ready.gen][0]);
        found |= 1u << ready.gen;
    }
    CHECK_EQ(found, 7);
    CHECK_EQ(harvest(&ready, 1), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(set(p[i][0], 1, EV_READ, 0), 0);
        close_pair(p[i]);
    }
}

TEST_TABLE(more_ready_than_one_batch_come_within_a_few_waits) {
    static int p[MANY][2];
    struct pe_ready ready[MANY];
    int n = 0;

    for (int i = 0; i < MANY; i++) {
        open_pair(p[i]);
        send_byte(p[i][1]);
        CHECK_EQ(set(p[i][0], 1, 0, EV_READ), 0);
    }
    for (int i = 0; i < 3 && n < MANY; i++) { /* the batch grows when it was full */
        n = 0;
        CHECK(wait_ns(0) > 0);
        for (int got; (got = harvest(ready + n, MANY - n)) > 0;)
            n += got;
    }
    CHECK_EQ(n, MANY);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(set(p[i][0], 1, EV_READ, 0), 0);
        close_pair(p[i]);
    }
}

TEST_TABLE(removing_one_leaves_the_others_and_their_slots_right) {
    int p[4][2];
    struct pe_ready ready[4];

    for (int i = 0; i < 4; i++) {
        open_pair(p[i]);
        CHECK_EQ(set(p[i][0], (uint32_t)i, 0, EV_READ), 0);
    }
    CHECK_EQ(set(p[1][0], 1, EV_READ, 0), 0);
    CHECK_EQ(set(p[3][0], 13, EV_READ, EV_READ | EV_WRITE), 0); /* the one that may have moved */
    send_byte(p[0][1]);
    CHECK_EQ(wait_ns(0), 2);
    CHECK_EQ(harvest(ready, 4), 2);
    for (int i = 0; i < 2; i++) {
        if (ready[i].fd == p[0][0]) {
            CHECK_EQ(ready[i].gen, 0);
            CHECK_EQ(ready[i].events, EV_READ);
        } else {
            CHECK_EQ(ready[i].fd, p[3][0]);
            CHECK_EQ(ready[i].gen, 13);
            CHECK_EQ(ready[i].events, EV_WRITE);
        }
    }
    CHECK_EQ(set(p[0][0], 0, EV_READ, 0), 0);
    CHECK_EQ(set(p[3][0], 13, EV_READ | EV_WRITE, 0), 0);
    CHECK_EQ(set(p[2][0], 2, EV_READ, 0), 0);
    send_byte(p[2][1]);
    check_nothing();
    for (int i = 0; i < 4; i++)
        close_pair(p[i]);
}

TEST_TABLE(a_vanished_peer_is_readable_and_closed) {
    int p[2];
    unsigned closed = rig.b.ops->features & EV_FEATURE_EARLY_CLOSE ? EV_CLOSED : 0;
    struct pe_ready ready;

    open_pair(p);
    CHECK_EQ(set(p[0], 1, 0, EV_READ | closed), 0);
    close(p[1]);
    CHECK_EQ(wait_ns(0), 1);
    CHECK_EQ(harvest(&ready, 1), 1);
    CHECK((ready.events & EV_READ) != 0);
    CHECK_EQ(ready.events & EV_CLOSED, closed);
    CHECK_EQ(set(p[0], 1, EV_READ | closed, 0), 0);
    close(p[0]);
}

TEST_TABLE(an_error_is_told_whatever_was_asked_for) {
    int p[2];
    struct pe_ready ready;

    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(set(p[1], 1, 0, EV_READ), 0); /* never readable */
    close(p[0]);
    CHECK_EQ(wait_ns(0), 1);
    CHECK_EQ(harvest(&ready, 1), 1);
    if (ready.events & PE_READY_ERROR)
        CHECK_EQ(ready.events & (EV_READ | EV_WRITE), EV_READ | EV_WRITE);
    else
        CHECK((ready.events & EV_READ) != 0); /* select and kqueue: readiness */
    CHECK_EQ(set(p[1], 1, EV_READ, 0), 0);
    close(p[1]);
}

TEST_TABLE(edges_are_told_once) {
    int p[2];

    if (!(rig.b.ops->features & EV_FEATURE_ET))
        return;
    open_pair(p);
    CHECK_EQ(set(p[0], 1, 0, EV_READ | EV_ET), 0);
    send_byte(p[1]);
    check_only(p[0], 1, EV_READ);
    check_nothing();
    send_byte(p[1]);
    check_only(p[0], 1, EV_READ);
    CHECK_EQ(set(p[0], 1, EV_READ | EV_ET, 0), 0);
    close_pair(p);
}

TEST_TABLE(purge_says_what_it_cannot_remove) {
    int p[2], copy;

    if (rig.b.ops->purge == NULL)
        return;
    open_pair(p);
    send_byte(p[1]);
    CHECK_EQ(set(p[0], 1, 0, EV_READ), 0);
    CHECK_EQ(rig.b.ops->purge(&rig.b, p[0]), 0);
    check_nothing();
    CHECK_EQ(set(p[0], 2, 0, EV_READ), 0);
    copy = dup(p[0]);
    CHECK(copy >= 0);
    close(p[0]);
    if (rig.b.ops == &pe_backend_epoll)
        check_only(p[0], 2, EV_READ); /* the file is open still */
    CHECK(rig.b.ops->purge(&rig.b, p[0]) < 0);
    close(copy);
    check_nothing();
    close(p[1]);
}

/* --- time --------------------------------------------------------------------- */

static bool has_pwait2(void) {
#ifdef SYS_epoll_pwait2
    struct epoll_event ev;
    struct timespec ts = {0, 0};
    int epfd = epoll_create1(EPOLL_CLOEXEC);
    long n = syscall(SYS_epoll_pwait2, epfd, &ev, 1, &ts, NULL, (size_t)8);

    close(epfd);
    return n == 0;
#else
    return false;
#endif
}

/* The shortest of some waits of `ns`; none may be shorter than asked for. */
static int64_t shortest_wait(int64_t ns, int tries) {
    int64_t shortest = INT64_MAX;

    for (int i = 0; i < tries; i++) {
        int64_t start = pe_clock_now();
        int64_t took;

        CHECK_EQ(wait_ns(ns), 0);
        took = pe_clock_now() - start;
        if (took < ns)
            harness_fail(__FILE__, __LINE__, "waited %lld ns of %lld", (long long)took,
                         (long long)ns);
        if (took < shortest)
            shortest = took;
    }
    return shortest;
}

static void wait_all_lengths(void) {
    static const int64_t lengths[] = {1, 999, 50000, 999999, 1000000, 1000001, 1500000, 7300000};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
        (void)shortest_wait(lengths[i], 10);
}

TEST_TABLE(no_wait_is_shorter_than_asked_for) {
    wait_all_lengths();
    pe_epoll_forbid_pwait2(true);
    wait_all_lengths();
    pe_epoll_forbid_pwait2(false);
}

TEST(epoll_waits_nanoseconds_or_else_milliseconds_rounded_up) {
    rig_open(&pe_backend_epoll);
    if (has_pwait2())
        CHECK(shortest_wait(100000, 50) < PE_NS_PER_MS);
    pe_epoll_forbid_pwait2(true);
    CHECK(shortest_wait(100000, 10) >= PE_NS_PER_MS * 9 / 10);
    pe_epoll_forbid_pwait2(false);
    rig_close();
}

TEST_TABLE(results_end_a_wait_in_both_kinds_of_epoll_wait) {
    int p[2];

    open_pair(p);
    send_byte(p[1]);
    CHECK_EQ(set(p[0], 1, 0, EV_READ), 0);
    for (int i = 0; i < 2; i++) {
        pe_epoll_forbid_pwait2(i == 1);
        CHECK_EQ(wait_ns(-1), 1);
        CHECK_EQ(wait_ns(3600 * PE_NS_PER_SEC), 1);
        CHECK_EQ(wait_ns(PE_CLOCK_MAX_NS), 1);
    }
    pe_epoll_forbid_pwait2(false);
    CHECK_EQ(set(p[0], 1, EV_READ, 0), 0);
    close_pair(p);
}

static void on_alarm(int signo) {
    (void)signo;
}

TEST_TABLE(a_signal_ends_a_wait_with_no_results) {
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval often = {{0, 10000}, {0, 10000}}, never = {{0, 0}, {0, 0}};

    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0); /* repeats: none can be too early */
    CHECK_EQ(wait_ns(-1), 0);
    CHECK_EQ(wait_ns(60 * PE_NS_PER_SEC), 0);
    CHECK_EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
    signal(SIGALRM, SIG_DFL);
}
