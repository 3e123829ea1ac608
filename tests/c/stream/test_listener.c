/* test_listener.c - what accepting costs, and what happens when it fails. */
#include "streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/mem.h"
#include "stream/listener.h"

struct seen {
    struct event_base *base;
    struct evconnlistener *listener;
    int count, errors, error, fds[512];
    bool stops_on_error;
};

static void keep(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr,
                 int socklen, void *arg) {
    struct seen *seen = arg;

    (void)listener;
    (void)addr;
    (void)socklen;
    seen->fds[seen->count++] = fd;
}

static void note_error(struct evconnlistener *listener, void *arg) {
    struct seen *seen = arg;

    seen->error = errno;
    seen->errors++;
    if (seen->stops_on_error) {
        evconnlistener_free(listener);
        seen->listener = NULL;
    }
}

static void close_kept(struct seen *seen) {
    for (int i = 0; i < seen->count; i++)
        close(seen->fds[i]);
}

/* A Unix socket in the abstract namespace: a connect to it is done at once. */
static void open_seen(struct seen *seen, struct sockaddr_un *sun) {
    memset(seen, 0, sizeof(*seen));
    memset(sun, 0, sizeof(*sun));
    sun->sun_family = AF_UNIX;
    snprintf(sun->sun_path, sizeof(sun->sun_path), "%cpyevent-accept-%d", 0, (int)getpid());
    seen->base = event_base_new();
    seen->listener = evconnlistener_new_bind(seen->base, keep, seen, LEV_OPT_CLOSE_ON_FREE, 1024,
                                             (struct sockaddr *)sun, sizeof(*sun));
    CHECK(seen->listener != NULL);
}

static int connect_to(const struct sockaddr_un *sun) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    CHECK(fd >= 0);
    CHECK_EQ(connect(fd, (const struct sockaddr *)sun, sizeof(*sun)), 0);
    return fd;
}

static void close_seen(struct seen *seen) {
    close_kept(seen);
    if (seen->listener != NULL)
        evconnlistener_free(seen->listener);
    event_base_free(seen->base);
}

static int64_t fake_now = 1000 * PE_NS_PER_SEC;

/* Each look at the clock is a quarter of a millisecond after the last. */
static int64_t slow_clock(void) {
    return fake_now += PE_NS_PER_MS / 4;
}

TEST(single_connections_cost_one_call_each) {
    struct seen seen;
    struct sockaddr_un sun;

    pe_clock_set_source(slow_clock); /* so that each wait seems to have taken time */
    open_seen(&seen, &sun);
    for (int i = 1; i <= 50; i++) {
        int fd = connect_to(&sun);

        run_until(seen.base, &seen.count, i);
        close(fd);
    }
    CHECK_EQ(pe_listener_calls(seen.listener), 50);
    close_seen(&seen);
}

TEST(crowd_is_accepted_in_batches) {
    struct seen seen;
    struct sockaddr_un sun;
    int clients[400], turns = 0;

    open_seen(&seen, &sun);
    for (int i = 0; i < 400; i++)
        clients[i] = connect_to(&sun);
    for (; seen.count < 400; turns++)
        CHECK(event_base_loop(seen.base, EVLOOP_ONCE | EVLOOP_NONBLOCK) >= 0);
    CHECK(turns < 100); /* how many depends on how long each takes */
    CHECK(pe_listener_calls(seen.listener) <= 400 + 2);
    for (int i = 0; i < 400; i++)
        close(clients[i]);
    close_seen(&seen);
}

TEST(without_descriptors_it_reports_rests_and_comes_back) {
    struct seen seen;
    struct sockaddr_un sun;
    struct rlimit limit, none;
    unsigned long calls;
    int client;

    open_seen(&seen, &sun);
    evconnlistener_set_error_cb(seen.listener, note_error);
    client = connect_to(&sun);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 3;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    run_until(seen.base, &seen.errors, 1);
    CHECK_EQ(seen.error, EMFILE);
    CHECK(pe_listener_rests(seen.listener));
    calls = pe_listener_calls(seen.listener);
    for (int i = 0; i < 100; i++) /* far less than a rest */
        CHECK(event_base_loop(seen.base, EVLOOP_NONBLOCK) >= 0);
    CHECK(pe_listener_calls(seen.listener) - calls <= 2);
    run_until(seen.base, &seen.errors, 3);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    run_until(seen.base, &seen.count, 1); /* by itself */
    CHECK(!pe_listener_rests(seen.listener));
    close(client);
    close_seen(&seen);
}

static int log_lines;

static void count_log(int severity, const char *msg) {
    (void)severity;
    log_lines += strstr(msg, "accept") != NULL;
}

TEST(without_an_error_callback_it_is_logged_once) {
    struct seen seen;
    struct sockaddr_un sun;
    struct rlimit limit, none;
    int client;

    event_set_log_callback(count_log);
    open_seen(&seen, &sun);
    client = connect_to(&sun);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 3;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    while (pe_listener_calls(seen.listener) < 3)
        CHECK_EQ(event_base_loop(seen.base, EVLOOP_ONCE), 0);
    CHECK_EQ(log_lines, 1);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    close(client);
    close_seen(&seen);
}

TEST(enable_ends_a_rest_and_disable_its_timer) {
    struct seen seen;
    struct sockaddr_un sun;
    struct rlimit limit, none;
    int client;

    open_seen(&seen, &sun);
    evconnlistener_set_error_cb(seen.listener, note_error);
    client = connect_to(&sun);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 3;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    run_until(seen.base, &seen.errors, 1);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_EQ(evconnlistener_disable(seen.listener), 0);
    CHECK_EQ(event_base_dispatch(seen.base), 1);
    CHECK_EQ(evconnlistener_enable(seen.listener), 0);
    CHECK(!pe_listener_rests(seen.listener));
    run_until(seen.base, &seen.count, 1);
    close(client);
    close_seen(&seen);
}

TEST(error_callback_may_free_the_listener) {
    struct seen seen;
    struct sockaddr_un sun;
    struct rlimit limit, none;
    int client;

    open_seen(&seen, &sun);
    seen.stops_on_error = true;
    evconnlistener_set_error_cb(seen.listener, note_error);
    client = connect_to(&sun);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 3;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    CHECK_EQ(event_base_dispatch(seen.base), 1);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_EQ(seen.errors, 1);
    close(client);
    close_seen(&seen);
}

TEST(bad_arguments_are_refused) {
    struct event_base *base = event_base_new();
    struct sockaddr_un sun = {.sun_family = AF_UNIX, .sun_path = "/nonexistent/path"};

    CHECK(evconnlistener_new(base, keep, NULL, 0, 16, -1) == NULL);
    CHECK_EQ(errno, EBADF);
    CHECK(evconnlistener_new(NULL, keep, NULL, 0, 16, 0) == NULL);
    CHECK_EQ(errno, EINVAL);
    CHECK(evconnlistener_new_bind(base, keep, NULL, 0, -1, (struct sockaddr *)&sun,
                                  sizeof(sun)) == NULL);
    CHECK_EQ(errno, ENOENT);
    CHECK(evconnlistener_new_bind(base, keep, NULL, LEV_OPT_REUSEABLE, -1,
                                  (struct sockaddr *)&sun, sizeof(sun)) == NULL);
    CHECK_EQ(errno, EINVAL);
    event_base_free(base);
}

TEST(ipv6_alone_or_with_ipv4) {
    struct event_base *base = event_base_new();
    struct sockaddr_in6 sin6 = {.sin6_family = AF_INET6};
    unsigned flags[2] = {LEV_OPT_BIND_IPV6ONLY, LEV_OPT_BIND_IPV4_AND_IPV6};

    for (int i = 0; i < 2; i++) {
        struct evconnlistener *lev = evconnlistener_new_bind(
            base, keep, NULL, flags[i] | LEV_OPT_CLOSE_ON_FREE | LEV_OPT_DEFERRED_ACCEPT, -1,
            (struct sockaddr *)&sin6, sizeof(sin6));
        int is_only = -1;
        socklen_t len = sizeof(is_only);

        if (lev == NULL)
            SKIP("no IPv6 here");
        CHECK_EQ(getsockopt(evconnlistener_get_fd(lev), IPPROTO_IPV6, IPV6_V6ONLY, &is_only,
                            &len), 0);
        CHECK_EQ(is_only, i == 0);
        evconnlistener_free(lev);
    }
    event_base_free(base);
}

TEST(base_freed_first_is_survived) {
    struct seen seen;
    struct sockaddr_un sun;

    open_seen(&seen, &sun);
    event_base_free(seen.base);
    CHECK(evconnlistener_get_base(seen.listener) == NULL);
    CHECK_EQ(evconnlistener_enable(seen.listener), -1);
    CHECK_EQ(evconnlistener_disable(seen.listener), 0);
    evconnlistener_set_cb(seen.listener, NULL, NULL);
    evconnlistener_free(seen.listener);
}

/* --- listening on a path ------------------------------------------------------------------ */

static void accept_none(struct evconnlistener *lev, evutil_socket_t fd, struct sockaddr *addr,
                        int len, void *arg) {
    (void)lev;
    (void)addr;
    (void)len;
    (void)arg;
    close(fd);
}

TEST(stale_path_is_taken_over_only_when_asked_and_nobody_answers) {
    struct event_base *base = event_base_new();
    unsigned flags = LEV_OPT_CLOSE_ON_FREE;
    struct evconnlistener *first, *second;
    char dir[] = "/tmp/pyevent-test-XXXXXX";
    struct sockaddr_un un;

    CHECK(mkdtemp(dir) != NULL);
    memset(&un, 0, sizeof(un));
    un.sun_family = AF_UNIX;
    (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s/socket", dir);
    first = evconnlistener_new_bind(base, accept_none, NULL, flags, -1, (struct sockaddr *)&un,
                                    sizeof(un));
    CHECK(first != NULL);
    second = evconnlistener_new_bind(base, accept_none, NULL, flags | LEV_OPT_UNLINK_STALE, -1,
                                     (struct sockaddr *)&un, sizeof(un));
    CHECK(second == NULL); /* the first answers */
    CHECK_EQ(errno, EADDRINUSE);
    evconnlistener_free(first);
    second = evconnlistener_new_bind(base, accept_none, NULL, flags, -1, (struct sockaddr *)&un,
                                     sizeof(un));
    CHECK(second == NULL); /* not asked to */
    second = evconnlistener_new_bind(base, accept_none, NULL, flags | LEV_OPT_UNLINK_STALE, -1,
                                     (struct sockaddr *)&un, sizeof(un));
    CHECK(second != NULL);
    evconnlistener_free(second);
    CHECK_EQ(unlink(un.sun_path), 0);
    CHECK_EQ(rmdir(dir), 0);
    event_base_free(base);
}

/* A directory of its own with a path in it. */
static void make_path(char *dir, struct sockaddr_un *un) {
    CHECK(mkdtemp(dir) != NULL);
    memset(un, 0, sizeof(*un));
    un->sun_family = AF_UNIX;
    (void)snprintf(un->sun_path, sizeof(un->sun_path), "%s/socket", dir);
}

TEST(path_of_a_server_that_does_not_listen_yet_is_left_alone) {
    struct event_base *base = event_base_new();
    char dir[] = "/tmp/pyevent-test-XXXXXX";
    struct evconnlistener *lev;
    struct sockaddr_un un;
    int types[3] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM}, fd, client;

    make_path(dir, &un);
    for (int i = 0; i < 3; i++) {
        fd = socket(AF_UNIX, types[i], 0);
        CHECK_EQ(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
        lev = evconnlistener_new_bind(base, accept_none, NULL, LEV_OPT_UNLINK_STALE, -1,
                                      (struct sockaddr *)&un, sizeof(un));
        CHECK(lev == NULL);
        CHECK_EQ(errno, EADDRINUSE);
        if (types[i] != SOCK_DGRAM)
            CHECK_EQ(listen(fd, 5), 0);
        client = socket(AF_UNIX, types[i], 0);
        CHECK_EQ(connect(client, (struct sockaddr *)&un, sizeof(un)), 0);
        close(client);
        close(fd);
        CHECK_EQ(unlink(un.sun_path), 0);
    }
    CHECK_EQ(rmdir(dir), 0);
    event_base_free(base);
}

/* A child that starts a server when `go` ends, writes 1 or 0 to `say`, and serves until
 * `stop` ends. */
static void start_server(const struct sockaddr_un *un, int go, int say, int stop) {
    struct event_base *base = event_base_new();
    struct evconnlistener *lev;
    char won, none;

    while (read(go, &none, 1) > 0)
        continue;
    lev = evconnlistener_new_bind(base, accept_none, NULL,
                                  LEV_OPT_UNLINK_STALE | LEV_OPT_CLOSE_ON_FREE, -1,
                                  (const struct sockaddr *)un, sizeof(*un));
    won = lev != NULL;
    if (write(say, &won, 1) != 1 || read(stop, &none, 1) != 0)
        _exit(2);
    if (lev != NULL)
        evconnlistener_free(lev);
    event_base_free(base);
    _exit(0);
}

TEST(of_many_that_start_on_a_stale_path_one_wins_and_is_found) {
    enum { SERVERS = 8, ROUNDS = 20 };
    char dir[] = "/tmp/pyevent-test-XXXXXX";
    struct sockaddr_un un;

    make_path(dir, &un);
    for (int round = 0; round < ROUNDS; round++) {
        int go[2], say[2], stop[2], stale = socket(AF_UNIX, SOCK_STREAM, 0), client, winners = 0;
        char won;

        CHECK_EQ(bind(stale, (struct sockaddr *)&un, sizeof(un)), 0);
        close(stale);
        CHECK(pipe(go) == 0 && pipe(say) == 0 && pipe(stop) == 0);
        for (int i = 0; i < SERVERS; i++) {
            if (fork() == 0) {
                close(go[1]);
                close(stop[1]);
                start_server(&un, go[0], say[1], stop[0]);
            }
        }
        close(go[1]);
        for (int i = 0; i < SERVERS; i++) {
            CHECK_EQ(read(say[0], &won, 1), 1);
            winners += won;
        }
        CHECK_EQ(winners, 1);
        client = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK_EQ(connect(client, (struct sockaddr *)&un, sizeof(un)), 0);
        close(client);
        close(stop[1]);
        for (int i = 0; i < SERVERS; i++) {
            int status;

            CHECK(wait(&status) > 0);
            CHECK_EQ(status, 0);
        }
        close(go[0]);
        close(say[0]);
        close(say[1]);
        close(stop[0]);
        CHECK_EQ(unlink(un.sun_path), 0);
    }
    CHECK_EQ(rmdir(dir), 0);
}

TEST(path_whose_directory_somebody_has_locked_is_not_taken_over) {
    struct event_base *base = event_base_new();
    char dir[] = "/tmp/pyevent-test-XXXXXX";
    struct sockaddr_un un;
    int lock, stale = socket(AF_UNIX, SOCK_STREAM, 0);

    make_path(dir, &un);
    CHECK_EQ(bind(stale, (struct sockaddr *)&un, sizeof(un)), 0);
    close(stale);
    lock = open(dir, O_RDONLY);
    CHECK_EQ(flock(lock, LOCK_EX), 0);
    CHECK(evconnlistener_new_bind(base, accept_none, NULL, LEV_OPT_UNLINK_STALE, -1,
                                  (struct sockaddr *)&un, sizeof(un)) == NULL);
    CHECK_EQ(errno, EADDRINUSE);
    close(lock);
    CHECK_EQ(unlink(un.sun_path), 0);
    CHECK_EQ(rmdir(dir), 0);
    event_base_free(base);
}

/* --- what a log callback may do ------------------------------------------------------------- */

static struct evconnlistener *logged_listener;

/* At first take the descriptor away, so that it cannot be watched again; then free it. */
static void close_from_log(int severity, const char *msg) {
    (void)severity;
    if (logged_listener == NULL)
        return;
    if (strstr(msg, "accept") != NULL) {
        close(evconnlistener_get_fd(logged_listener));
    } else {
        evconnlistener_free(logged_listener);
        logged_listener = NULL;
    }
}

TEST(log_callback_may_free_a_listener_whose_rest_ends) {
    struct seen seen;
    struct sockaddr_un sun;
    struct rlimit limit, none;
    int client;

    open_seen(&seen, &sun);
    event_set_log_callback(close_from_log);
    logged_listener = seen.listener;
    client = connect_to(&sun);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 3;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    CHECK_EQ(event_base_loopexit(seen.base, &(struct timeval){.tv_usec = 100000}), 0);
    CHECK_EQ(event_base_dispatch(seen.base), 0);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    event_set_log_callback(NULL);
    if (logged_listener == NULL) /* a backend that tells of the closed descriptor */
        seen.listener = NULL;
    logged_listener = NULL;
    close(client);
    close_seen(&seen);
}

TEST(datagrams_have_no_connections) {
    struct event_base *base = event_base_new();
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    for (int backlog = -1; backlog <= 1; backlog++) {
        CHECK(evconnlistener_new(base, keep, NULL, 0, backlog, fd) == NULL);
        CHECK_EQ(errno, EOPNOTSUPP);
    }
    close(fd);
    event_base_free(base);
}

/* --- flags at once ---------------------------------------------------------------------------- */

#if defined(SOCK_CLOEXEC) && defined(__linux__)
static int last_type;

/* In place of the C library's: with which flags a socket was made. */
int socket(int family, int type, int protocol) {
    last_type = type;
    return (int)syscall(SYS_socket, family, type, protocol);
}

TEST(listening_socket_is_never_inherited_by_a_child_that_comes_in_between) {
    struct event_base *base = event_base_new();
    struct sockaddr_in sin = {.sin_family = AF_INET};
    unsigned flags[2] = {LEV_OPT_CLOSE_ON_FREE, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC};

    for (int i = 0; i < 2; i++) {
        struct evconnlistener *lev = evconnlistener_new_bind(base, keep, NULL, flags[i], -1,
                                                             (struct sockaddr *)&sin, sizeof(sin));
        int fd = evconnlistener_get_fd(lev);

        CHECK_EQ(last_type, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK);
        CHECK_EQ((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0, i);
        evconnlistener_free(lev);
    }
    event_base_free(base);
}
#endif
