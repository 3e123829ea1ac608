/* test_conformance.c - what every backend says of the same descriptors.
 *
 * The table: a situation, and whether an event that waits for EV_READ, EV_WRITE
 * or EV_CLOSED is told of it. Each row runs on each backend with every mask,
 * level-triggered and edge-triggered, for two turns: a level is told in both,
 * an edge in the first. Below it, what takes more than a row. What reaches the
 * kernel when is in test_iomap.c, registrations that outlive their descriptor
 * in test_stale.c, forks in test_fork.c, the tables without a loop in
 * test_backend.c.
 */
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/select.h>

#include "each.h"

static void turn_once(struct event_base *base) {
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY), 0);
}

static struct event *added(struct event_base *base, int fd, short what, struct seen *seen) {
    struct event *ev = event_new(base, fd, what, see, seen);

    CHECK(ev != NULL);
    CHECK_EQ(event_add(ev, NULL), 0);
    return ev;
}

/* --- situations: p[0] is watched, p[1] its other end or -1 -------------------------- */

static void fresh(int p[2]) {
    open_pair(p);
}

static void with_data(int p[2]) {
    open_pair(p);
    send_byte(p[1]);
}

static void fill(int fd) {
    static char zeros[65536];

    while (write(fd, zeros, sizeof(zeros)) > 0)
        continue;
    CHECK_EQ(errno, EAGAIN);
}

static void with_full_output(int p[2]) {
    open_pair(p);
    fill(p[0]);
}

static void half_closed(int p[2]) {
    open_pair(p);
    CHECK_EQ(shutdown(p[1], SHUT_WR), 0);
}

static void half_closed_with_data(int p[2]) {
    with_data(p);
    CHECK_EQ(shutdown(p[1], SHUT_WR), 0);
}

static void half_closed_with_full_output(int p[2]) {
    with_full_output(p);
    CHECK_EQ(shutdown(p[1], SHUT_WR), 0);
}

static void output_shut(int p[2]) {
    open_pair(p);
    CHECK_EQ(shutdown(p[0], SHUT_WR), 0);
}

static void close_other(int p[2]) {
    close(p[1]);
    p[1] = -1;
}

static void hung_up(int p[2]) {
    open_pair(p);
    close_other(p);
}

static void hung_up_with_data(int p[2]) {
    with_data(p);
    close_other(p);
}

static void pipe_to_read(int p[2]) {
    CHECK_EQ(pipe(p), 0);
}

static void pipe_with_data(int p[2]) {
    pipe_to_read(p);
    send_byte(p[1]);
}

static void pipe_without_writer(int p[2]) {
    pipe_to_read(p);
    close_other(p);
}

static void pipe_to_write(int p[2]) {
    int q[2];

    pipe_to_read(q);
    p[0] = q[1];
    p[1] = q[0];
}

static void pipe_full(int p[2]) {
    pipe_to_write(p);
    CHECK_EQ(fcntl(p[0], F_SETFL, O_NONBLOCK), 0);
    fill(p[0]);
}

static void pipe_without_reader(int p[2]) {
    pipe_to_write(p);
    close_other(p);
}

static struct sockaddr_in bound(int fd) {
    struct sockaddr_in sin;
    socklen_t len = sizeof(sin);

    CHECK(fd >= 0);
    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
    return sin;
}

static int connected(const struct sockaddr_in *to) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK(fd >= 0);
    CHECK_EQ(connect(fd, (const struct sockaddr *)to, sizeof(*to)), 0);
    return fd;
}

static void listening(int p[2]) {
    p[0] = socket(AF_INET, SOCK_STREAM, 0);
    (void)bound(p[0]);
    CHECK_EQ(listen(p[0], 1), 0);
    p[1] = -1;
}

static void with_a_connection_to_accept(int p[2]) {
    struct sockaddr_in sin;

    p[0] = socket(AF_INET, SOCK_STREAM, 0);
    sin = bound(p[0]);
    CHECK_EQ(listen(p[0], 1), 0);
    p[1] = connected(&sin);
}

static void tcp(int p[2]) {
    int listener[2];

    with_a_connection_to_accept(listener);
    p[0] = listener[1];
    p[1] = accept(listener[0], NULL, NULL);
    CHECK(p[1] >= 0);
    close(listener[0]);
}

/* Until the kernel has done what is asynchronous even on the loopback. */
static void await(int fd, short events) {
    struct pollfd look = {.fd = fd, .events = events};

    CHECK_EQ(poll(&look, 1, -1), 1);
}

static void tcp_reset(int p[2]) {
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    tcp(p);
    CHECK_EQ(setsockopt(p[1], SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close_other(p);
    await(p[0], POLLIN);
}

static void connect_refused(int p[2]) {
    int closed = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in sin = bound(closed);

    close(closed);
    p[0] = socket(AF_INET, SOCK_STREAM, 0);
    p[1] = -1;
    CHECK_EQ(fcntl(p[0], F_SETFL, O_NONBLOCK), 0);
    CHECK_EQ(connect(p[0], (struct sockaddr *)&sin, sizeof(sin)), -1);
    await(p[0], POLLOUT);
}

static void datagram(int p[2]) {
    struct sockaddr_in sin;

    p[0] = socket(AF_INET, SOCK_DGRAM, 0);
    sin = bound(p[0]);
    p[1] = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK_EQ(connect(p[1], (struct sockaddr *)&sin, sizeof(sin)), 0);
    send_byte(p[1]);
    await(p[0], POLLIN);
}

static void regular_file(int p[2]) {
    char path[] = "/tmp/pyevent-XXXXXX";

    p[0] = mkstemp(path);
    CHECK(p[0] >= 0);
    CHECK_EQ(unlink(path), 0);
    p[1] = -1;
}

static void file_at_its_end(int p[2]) {
    regular_file(p);
    send_byte(p[0]);
}

enum { NO, YES, MAY }; /* MAY: the kernels differ, or the backends do */

static const struct row {
    const char *situation;
    void (*open)(int p[2]);
    int read, write, closed;
    bool is_file;
} table[] = {
    {"a fresh socket", fresh, NO, YES, NO, false},
    {"with data", with_data, YES, YES, NO, false},
    {"with a full output", with_full_output, NO, NO, NO, false},
    {"half closed by the peer", half_closed, YES, YES, YES, false},
    {"half closed, with data", half_closed_with_data, YES, YES, YES, false},
    {"half closed, output full", half_closed_with_full_output, YES, NO, YES, false},
    {"half closed by us", output_shut, NO, YES, NO, false},
    {"hung up", hung_up, YES, YES, YES, false},
    {"hung up, with data", hung_up_with_data, YES, YES, YES, false},
    {"TCP", tcp, NO, YES, NO, false},
    {"TCP, reset by the peer", tcp_reset, YES, YES, YES, false},
    {"TCP, connect refused", connect_refused, YES, YES, MAY, false},
    {"listening", listening, NO, NO, NO, false},
    {"a connection to accept", with_a_connection_to_accept, YES, NO, NO, false},
    {"a datagram", datagram, YES, YES, NO, false},
    {"a pipe to read from", pipe_to_read, NO, MAY, NO, false},
    {"a pipe with data", pipe_with_data, YES, MAY, NO, false},
    {"a pipe without writer", pipe_without_writer, YES, MAY, MAY, false},
    {"a pipe to write to", pipe_to_write, MAY, YES, NO, false},
    {"a full pipe", pipe_full, MAY, NO, NO, false},
    {"a pipe without reader", pipe_without_reader, YES, YES, MAY, false},
    {"a regular file", regular_file, YES, YES, NO, true},
    {"a file at its end", file_at_its_end, YES, YES, NO, true},
};

#define ROWS (sizeof(table) / sizeof(table[0]))

static short mask_of(const struct row *row, int answer) {
    int mask = 0;

    mask |= row->read == answer ? EV_READ : 0;
    mask |= row->write == answer ? EV_WRITE : 0;
    mask |= row->closed == answer ? EV_CLOSED : 0;
    return (short)mask;
}

static void check_told(const struct row *row, int turn, short mask, const struct seen *seen) {
    short what = seen->calls != 0 ? (short)(seen->what & ~EV_ET) : 0;
    short must = mask_of(row, YES), may = (short)(must | mask_of(row, MAY));

    must &= mask;
    if (mask & EV_ET) {
        if (turn > 0)
            must = may = 0;
        if (seen->calls != 0)
            CHECK_EQ(seen->what & EV_ET, EV_ET);
    }
    if ((what & must) != must || (what & ~may) != 0 || seen->calls > 1)
        harness_fail(__FILE__, __LINE__, "%s, mask %#x, turn %d: told %#x in %d calls",
                     row->situation, (unsigned)mask, turn + 1, (unsigned)what, seen->calls);
}

static void run_row(struct event_base *base, const struct row *row, short mask) {
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    row->open(p);
    if (row->is_file && !(event_base_get_features(base) & EV_FEATURE_FDS)) {
        ev = event_new(base, p[0], (short)(mask | EV_PERSIST), see, &seen);
        CHECK_EQ(event_add(ev, NULL), -1);
        CHECK_EQ(errno, EPERM);
        CHECK_EQ(event_pending(ev, mask, NULL), 0);
    } else {
        ev = added(base, p[0], (short)(mask | EV_PERSIST), &seen);
        for (int turn = 0; turn < 2; turn++) {
            seen.calls = 0;
            turn_once(base);
            check_told(row, turn, mask, &seen);
        }
    }
    event_free(ev);
    turn_once(base);
    close(p[0]);
    if (p[1] >= 0)
        close(p[1]);
}

static void run_table(const char *backend, short bits) {
    struct event_base *base = base_on(backend);
    int features = event_base_get_features(base);

    for (size_t i = 0; i < ROWS; i++) {
        for (int n = 1; n < 8; n++) {
            int mask = (n & 1 ? EV_READ : 0) | (n & 2 ? EV_WRITE : 0) | (n & 4 ? EV_CLOSED : 0);

            if ((mask & EV_CLOSED) && !(features & EV_FEATURE_EARLY_CLOSE))
                continue;
            if (bits == 0 || (features & EV_FEATURE_ET))
                run_row(base, &table[i], (short)(mask | bits));
        }
    }
    event_base_free(base);
}

TEST_EACH(level_triggered_events_are_told_of_each_situation_as_the_table_says) {
    run_table(backend, 0);
}

TEST_EACH(edge_triggered_events_are_told_of_each_situation_once) {
    run_table(backend, EV_ET);
}

/* --- what takes more than a row ------------------------------------------------------ */

TEST_EACH(an_edge_is_told_again_when_more_has_come) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    if (event_base_get_features(base) & EV_FEATURE_ET) {
        open_pair(p);
        ev = added(base, p[0], EV_READ | EV_ET | EV_PERSIST, &seen);
        for (int i = 1; i <= 3; i++) {
            send_byte(p[1]);
            turn_once(base);
            turn_once(base);
            CHECK_EQ(seen.calls, i);
        }
        event_free(ev);
        close_pair(p);
    }
    event_base_free(base);
}

TEST_EACH(a_descriptor_goes_from_level_to_edge_and_back) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    int p[2];

    open_pair(p);
    send_byte(p[1]);
    for (int i = 0; i < 4 && (event_base_get_features(base) & EV_FEATURE_ET); i++) {
        bool is_edge = i % 2 != 0;
        struct event *ev = added(base, p[0], (short)(EV_READ | EV_PERSIST | (is_edge ? EV_ET : 0)),
                                 &seen);

        for (int n = 0; n < 3; n++)
            turn_once(base);
        CHECK_EQ(seen.calls, is_edge ? 1 : 3);
        seen.calls = 0;
        event_free(ev); /* the removal and what comes next are one change */
    }
    event_base_free(base);
    close_pair(p);
}

static int turns;

static void count_turn(void *arg) {
    (void)arg;
    turns++;
}

static void no_hook(void *arg) {
    (void)arg;
}

TEST_EACH(waiting_for_the_end_alone_sleeps_over_unread_bytes_and_wakes_for_the_end) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    open_pair(p);
    ev = added(base, p[0], EV_CLOSED | EV_PERSIST, &seen);
    for (int i = 0; i < 3; i++)
        send_byte(p[1]);
    turns = 0;
    event_base_set_wait_hooks(base, count_turn, no_hook, NULL);
    CHECK_EQ(event_base_loopexit(base, MS(50)), 0);
    CHECK_EQ(event_base_dispatch(base), 0);
    CHECK(turns <= 3);
    CHECK_EQ(seen.calls, 0);
    if (event_base_get_features(base) & EV_FEATURE_EARLY_CLOSE) {
        CHECK_EQ(shutdown(p[1], SHUT_WR), 0);
        for (int i = 1; i <= 3; i++) {
            turn_once(base);
            CHECK_EQ(seen.calls, i); /* a level */
            CHECK_EQ(seen.what, EV_CLOSED);
        }
        CHECK_EQ(event_del(ev), 0);
        CHECK_EQ(event_add(ev, NULL), 0);
        turn_once(base);
        CHECK_EQ(seen.calls, 4);
    }
    event_free(ev);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(a_dup_is_watched_on_its_own) {
    struct event_base *base = base_on(backend);
    struct seen one = {0}, two = {0};
    struct event *a, *b;
    int p[2], copy;

    open_pair(p);
    copy = dup(p[0]);
    CHECK(copy >= 0);
    a = added(base, p[0], EV_READ | EV_PERSIST, &one);
    b = added(base, copy, EV_READ | EV_PERSIST, &two);
    send_byte(p[1]);
    turn_once(base);
    CHECK_EQ(one.calls, 1);
    CHECK_EQ(two.calls, 1);
    event_free(a);
    close(p[0]);
    turn_once(base);
    CHECK_EQ(one.calls, 1);
    CHECK_EQ(two.calls, 2);
    event_free(b);
    event_base_free(base);
    close(copy);
    close(p[1]);
}

TEST_EACH(a_descriptor_closed_before_del_hides_no_other) {
    struct event_base *base = base_on(backend);
    struct seen gone = {0}, other = {0}, writer = {0};
    struct event *a, *b, *c;
    int p[2], q[2];

    open_pair(p);
    open_pair(q);
    a = added(base, p[0], EV_READ | EV_PERSIST, &gone);
    b = added(base, q[0], EV_READ | EV_PERSIST, &other);
    c = added(base, q[0], EV_WRITE | EV_PERSIST, &writer);
    turn_once(base);
    close(p[0]);
    send_byte(q[1]);
    for (int i = 1; i <= 3; i++) {
        turn_once(base);
        CHECK_EQ(other.calls, i);
        CHECK_EQ(writer.calls, i + 1);
    }
    gone.calls = 0; /* an error here, nothing there */
    CHECK_EQ(event_del(a), 0);
    turn_once(base);
    CHECK_EQ(gone.calls, 0);
    CHECK_EQ(other.calls, 4);
    CHECK_EQ(event_add(a, NULL), -1);
    CHECK_EQ(errno, EBADF);
    event_free(a);
    event_free(b);
    event_free(c);
    event_base_free(base);
    close(p[1]);
    close_pair(q);
}

TEST_EACH(a_pipe_that_breaks_while_it_is_watched_is_told_as_long_as_it_is) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev;
    int p[2];

    pipe_full(p);
    ev = added(base, p[0], EV_WRITE | EV_PERSIST, &seen);
    turn_once(base);
    CHECK_EQ(seen.calls, 0);
    close(p[1]);
    for (int i = 1; i <= 2; i++) {
        turn_once(base);
        CHECK_EQ(seen.calls, i);
    }
    CHECK_EQ(event_del(ev), 0);
    turn_once(base);
    CHECK_EQ(event_add(ev, NULL), 0); /* though it is broken already */
    turn_once(base);
    CHECK_EQ(seen.calls, 3);
    CHECK_EQ(event_del(ev), 0);
    close(p[0]); /* before the removal is carried out */
    turn_once(base);
    turn_once(base);
    CHECK_EQ(seen.calls, 3);
    event_free(ev);
    event_base_free(base);
}

/* --- many, and large numbers ------------------------------------------------------- */

#ifdef __SANITIZE_ADDRESS__
#define PAIRS 1000
#else
#define PAIRS 5000
#endif

static void allow_fds(rlim_t n) {
    struct rlimit limit;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < n)
        SKIP("too few descriptors allowed");
    limit.rlim_cur = limit.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void send_to_some(int (*p)[2], int step) {
    for (int i = 0; i < PAIRS; i += step)
        send_byte(p[i][1]);
}

/* Every step-th pair has been told `calls` times, the others as often as before. */
static void check_some(const struct seen *seen, int step, int calls, int others) {
    for (int i = 0; i < PAIRS; i++) {
        CHECK_EQ(seen[2 * i].calls, i % step == 0 ? calls : others);
        CHECK_EQ(seen[2 * i + 1].calls, 0);
    }
}

TEST_EACH(ten_thousand_descriptors_are_each_told_of_their_own) {
    struct seen *seen = calloc(2 * PAIRS, sizeof(*seen));
    struct event **ev = calloc(2 * PAIRS, sizeof(struct event *));
    int (*p)[2] = calloc(PAIRS, sizeof(*p));
    struct event_base *base = base_on(backend);

    CHECK(seen != NULL && ev != NULL && p != NULL);
    allow_fds(2 * PAIRS + 100);
    for (int i = 0; i < PAIRS; i++) {
        open_pair(p[i]);
        for (int n = 0; n < 2; n++)
            ev[2 * i + n] = added(base, p[i][n], EV_READ | EV_PERSIST, &seen[2 * i + n]);
    }
    send_to_some(p, 1);
    for (int i = 0; i < 10; i++) /* a wait takes more results each time */
        turn_once(base);
    for (int i = 0; i < PAIRS; i++) {
        CHECK(seen[2 * i].calls >= 1);
        CHECK_EQ(seen[2 * i].fd, p[i][0]);
        seen[2 * i].calls = 0;
        take_byte(p[i][0]);
    }
    send_to_some(p, 7);
    turn_once(base);
    check_some(seen, 7, 1, 0);
    for (int i = 0; i < PAIRS; i++) {
        if (i % 7 == 0)
            take_byte(p[i][0]);
        if (i % 2 == 0)
            CHECK_EQ(event_del(ev[2 * i]), 0);
        seen[2 * i].calls = 0;
    }
    send_to_some(p, 2); /* nobody waits there */
    send_byte(p[PAIRS - 1][1]);
    turn_once(base);
    CHECK_EQ(seen[2 * (PAIRS - 1)].calls, 1);
    seen[2 * (PAIRS - 1)].calls = 0;
    check_some(seen, 1, 0, 0);
    for (int i = 0; i < 2 * PAIRS; i++)
        event_free(ev[i]);
    for (int i = 0; i < PAIRS; i++)
        close_pair(p[i]);
    event_base_free(base);
    free(seen);
    free(ev);
    free(p);
}

TEST_EACH(numbers_around_and_beyond_fd_setsize_work) {
    static const int numbers[] = {63, 64, FD_SETSIZE - 1, FD_SETSIZE, FD_SETSIZE + 1, 4095, 5000};
    struct event_base *base = base_on(backend);

    allow_fds(5001);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct seen near = {0}, far = {0};
        struct event *a, *b;
        int p[2], high;

        open_pair(p);
        high = fcntl(p[0], F_DUPFD_CLOEXEC, numbers[i]);
        CHECK_EQ(high, numbers[i]);
        a = added(base, high, EV_READ | EV_PERSIST, &far);
        b = added(base, p[0], EV_WRITE | EV_PERSIST, &near);
        turn_once(base);
        CHECK_EQ(far.calls, 0);
        CHECK_EQ(near.calls, 1);
        send_byte(p[1]);
        turn_once(base);
        CHECK_EQ(far.calls, 1);
        CHECK_EQ(far.fd, high);
        CHECK_EQ(near.calls, 2);
        event_free(a); /* the highest goes, the low one stays */
        turn_once(base);
        CHECK_EQ(far.calls, 1);
        CHECK_EQ(near.calls, 3);
        event_free(b);
        turn_once(base);
        close(high);
        close_pair(p);
    }
    event_base_free(base);
}
