/* parity_null.c - NULL, wherever libevent takes it or refuses it without a crash.
 *
 * One table of calls and their answers, each call in a process of its own, on
 * a world that has one of everything. The answer is a number; of a pointer, whether
 * there is one. After the call the loop takes a turn, for what it may have left there.
 */
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "event2/buffer.h"
#include "event2/bufferevent.h"
#include "event2/event.h"
#include "event2/event_struct.h"
#include "event2/listener.h"
#include "event2/thread.h"
#include "event2/util.h"
#include "harness.h"

static struct event_base *base;
static struct event_config *config;
static struct event *reader, *timer;
static struct evbuffer *buf;
static struct bufferevent *bev;
static struct evconnlistener *listener;
static struct ev_token_bucket_cfg *rate;
static struct bufferevent_rate_limit_group *group;
static struct timeval tv = {1, 0};
static int pair[2];
static char text[64];
#ifndef HARNESS_PLAIN
static struct bufferevent *ends[2];
#endif

static void on_event(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    (void)arg;
}

static void on_change(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *arg) {
    (void)buffer;
    (void)info;
    (void)arg;
}

static void on_connection(struct evconnlistener *lev, evutil_socket_t fd, struct sockaddr *addr,
                          int len, void *arg) {
    (void)lev;
    (void)fd;
    (void)addr;
    (void)len;
    (void)arg;
}

static int on_each(const struct event_base *of, const struct event *ev, void *arg) {
    (void)of;
    (void)ev;
    (void)arg;
    return 0;
}

static void no_log(int severity, const char *msg) {
    (void)severity;
    (void)msg;
}

static void open_world(void) {
    struct sockaddr_in local;

    memset(&local, 0, sizeof(local));
    local.sin_family = AF_INET;
    local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    event_set_log_callback(no_log);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    base = event_base_new();
    config = event_config_new();
    CHECK(base != NULL && config != NULL);
    reader = event_new(base, pair[0], EV_READ | EV_PERSIST, on_event, NULL);
    timer = event_new(base, -1, 0, on_event, NULL);
    buf = evbuffer_new();
    bev = bufferevent_socket_new(base, pair[1], 0);
    CHECK(reader != NULL && timer != NULL && buf != NULL && bev != NULL);
    CHECK_EQ(event_add(timer, &tv), 0);
    CHECK_EQ(evbuffer_add(buf, "hello\r\nworld", 12), 0);
    listener = evconnlistener_new_bind(base, on_connection, NULL, LEV_OPT_CLOSE_ON_FREE, -1,
                                       (struct sockaddr *)&local, sizeof(local));
    rate = ev_token_bucket_cfg_new(10, 10, 10, 10, NULL);
    group = bufferevent_rate_limit_group_new(base, rate);
    CHECK(listener != NULL && rate != NULL && group != NULL);
}

/* NUMBER, POINTER or NOTHING is what the call gives. */
#define CALLS_OF_THE_LOOP                                                                   \
    NUMBER(-1, event_base_loopexit(NULL, &tv))                                              \
    NUMBER(0, event_base_loopexit(base, NULL))                                              \
    NUMBER(-1, event_base_loopbreak(NULL))                                                  \
    NUMBER(-1, event_base_loopcontinue(NULL))                                               \
    NUMBER(0, event_base_gettimeofday_cached(NULL, &tv))                                    \
    NUMBER(0, event_base_gettimeofday_cached(base, NULL))                                   \
    NUMBER(-1, event_base_update_cache_time(NULL))                                          \
    NUMBER(-1, event_gettime_monotonic(NULL, &tv))                                          \
    NUMBER(-1, event_gettime_monotonic(base, NULL))                                         \
    NUMBER(-1, event_base_foreach_event(NULL, on_each, NULL))                               \
    NUMBER(-1, event_base_foreach_event(base, NULL, NULL))                                  \
    NUMBER(-1, event_base_once(NULL, -1, EV_TIMEOUT, on_event, NULL, &tv))                  \
    NUMBER(0, event_base_once(base, -1, EV_TIMEOUT, on_event, NULL, NULL))                  \
    NOTHING(event_base_free(NULL))                                                          \
    NOTHING(event_base_free_nofinalize(NULL))                                               \
    POINTER(1, event_base_new_with_config(NULL))                                            \
    NUMBER(-1, event_config_avoid_method(config, NULL))                                     \
    NUMBER(-1, event_config_require_features(NULL, EV_FEATURE_O1))                          \
    NUMBER(-1, event_config_set_flag(NULL, EVENT_BASE_FLAG_NOLOCK))                         \
    NUMBER(-1, event_config_set_num_cpus_hint(NULL, 1))                                     \
    NUMBER(0, event_config_set_max_dispatch_interval(config, NULL, 1, 1))                   \
    POINTER(1, event_new(base, -1, 0, NULL, NULL))                                          \
    NUMBER(0, event_assign(reader, base, -1, 0, NULL, NULL))                                \
    NUMBER(0, event_add(reader, NULL))                                                      \
    NUMBER(EV_TIMEOUT, event_pending(timer, EV_TIMEOUT, NULL))                              \
    NOTHING(event_get_assignment(reader, NULL, NULL, NULL, NULL, NULL))                     \
    NOTHING(event_set_log_callback(NULL))                                                   \
    NOTHING(event_set_fatal_callback(NULL))                                                 \
    NOTHING(event_set_mem_functions(NULL, NULL, NULL))                                      \
    NOTHING(evthread_set_id_callback(NULL))                                                 \
    NUMBER(-1, evthread_make_base_notifiable(NULL))                                         \
    NUMBER(29, evutil_date_rfc1123(text, sizeof(text), NULL))                               \
    NUMBER(0, evutil_ascii_strncasecmp(NULL, NULL, 0))                                      \
    NOTHING(evutil_monotonic_timer_free(NULL))                                              \
    NOTHING(evutil_secure_rng_add_bytes(NULL, 0))                                           \
    NOTHING(evutil_secure_rng_get_bytes(NULL, 0))

#define CALLS_OF_BUFFERS                                                                    \
    NUMBER(0, evbuffer_add(buf, NULL, 0))                                                   \
    NUMBER(0, evbuffer_prepend(buf, NULL, 0))                                               \
    NUMBER(0, evbuffer_remove(buf, NULL, 0))                                                \
    NUMBER(0, evbuffer_copyout(buf, NULL, 0))                                               \
    NUMBER(1, evbuffer_copyout_from(buf, NULL, text, 1))                                    \
    NUMBER(0, evbuffer_add_iovec(buf, NULL, 0))                                             \
    NUMBER(0, evbuffer_add_reference(buf, "x", 1, NULL, NULL))                              \
    NUMBER(0, evbuffer_add_reference(buf, NULL, 0, NULL, NULL))                             \
    NUMBER(-1, evbuffer_reserve_space(buf, 10, NULL, 0))                                    \
    NUMBER(0, evbuffer_commit_space(buf, NULL, 0))                                          \
    NUMBER(1, evbuffer_peek(buf, -1, NULL, NULL, 0))                                        \
    POINTER(1, evbuffer_readln(buf, NULL, EVBUFFER_EOL_CRLF))                               \
    NUMBER(0, evbuffer_search(buf, NULL, 0, NULL).pos)                                      \
    NUMBER(7, evbuffer_search(buf, "w", 1, NULL).pos)                                       \
    NUMBER(7, evbuffer_search_range(buf, "w", 1, NULL, NULL).pos)                           \
    NUMBER(5, evbuffer_search_eol(buf, NULL, NULL, EVBUFFER_EOL_CRLF).pos)                  \
    NUMBER(-1, evbuffer_remove_cb(buf, NULL, NULL))                                         \
    NUMBER(-1, evbuffer_remove_cb(buf, on_change, NULL))

#define CALLS_OF_STREAMS                                                                    \
    NUMBER(0, bufferevent_write(bev, NULL, 0))                                              \
    NUMBER(0, bufferevent_read(bev, NULL, 0))                                               \
    NUMBER(0, bufferevent_socket_connect(bev, NULL, 0))                                     \
    NOTHING(bufferevent_setcb(bev, NULL, NULL, NULL, NULL))                                 \
    NOTHING(bufferevent_getcb(bev, NULL, NULL, NULL, NULL))                                 \
    NUMBER(0, bufferevent_set_timeouts(bev, NULL, NULL))                                    \
    NUMBER(0, bufferevent_getwatermark(bev, EV_READ, NULL, NULL))                           \
    POINTER(0, bufferevent_filter_new(NULL, NULL, NULL, 0, NULL, NULL))                     \
    POINTER(1, bufferevent_filter_new(bev, NULL, NULL, 0, NULL, NULL))                      \
    POINTER(0, bufferevent_pair_get_partner(bev))                                           \
    POINTER(1, ev_token_bucket_cfg_new(1, 1, 1, 1, NULL))                                   \
    NOTHING(ev_token_bucket_cfg_free(NULL))                                                 \
    NUMBER(0, bufferevent_set_rate_limit(bev, NULL))                                        \
    POINTER(0, bufferevent_get_token_bucket_cfg(bev))                                       \
    NUMBER(0, bufferevent_add_to_rate_limit_group(bev, NULL))                               \
    NUMBER(0, bufferevent_remove_from_rate_limit_group(bev))                                \
    NUMBER(-1, bufferevent_rate_limit_group_set_cfg(NULL, rate))                            \
    NUMBER(-1, bufferevent_rate_limit_group_set_cfg(group, NULL))                           \
    NOTHING(bufferevent_rate_limit_group_get_totals(group, NULL, NULL))                     \
    POINTER(0, evconnlistener_new(NULL, on_connection, NULL, 0, -1, pair[0]))               \
    POINTER(1, evconnlistener_new(base, NULL, NULL, 0, 0, pair[0]))                         \
    POINTER(0, evconnlistener_new_bind(base, on_connection, NULL, 0, -1, NULL, 0))          \
    NOTHING(evconnlistener_set_cb(listener, NULL, NULL))                                    \
    NOTHING(evconnlistener_set_error_cb(listener, NULL))

/* What libevent answers with a crash, and we do not. */
#define CALLS_OF_OURS                                                                       \
    NUMBER(-1, event_reinit(NULL))                                                          \
    NUMBER(-1, event_config_avoid_method(NULL, "x"))                                        \
    NUMBER(-1, event_config_set_max_dispatch_interval(NULL, NULL, 1, 1))                    \
    NUMBER(-1, bufferevent_pair_new(NULL, 0, ends))                                        \
    POINTER(0, bufferevent_socket_new(NULL, -1, 0))                                         \
    NOTHING(event_free(NULL))                                                               \
    NOTHING(event_config_free(NULL))                                                        \
    NOTHING(event_debug_unassign(NULL))                                                     \
    NOTHING(evbuffer_free(NULL))                                                            \
    NOTHING(evbuffer_file_segment_free(NULL))                                               \
    NOTHING(bufferevent_free(NULL))                                                         \
    NOTHING(bufferevent_rate_limit_group_free(NULL))                                        \
    NOTHING(evconnlistener_free(NULL))                                                      \
    NOTHING(evutil_freeaddrinfo(NULL))

/* Make the `n`th call: what it is, what it should give, and in *got what it gives. */
struct answer {
    const char *call;
    long want, got;
};

#define NUMBER(result, ...)                                         \
    if (at++ == n) {                                                \
        a.call = #__VA_ARGS__;                                      \
        a.want = (result);                                          \
        if (is_made)                                                \
            a.got = (long)(__VA_ARGS__);                            \
    }
#define POINTER(result, ...) NUMBER(result, (__VA_ARGS__) != NULL)
#define NOTHING(...) NUMBER(0, ((__VA_ARGS__), 0))

#define DEFINE(name, calls)                                         \
    static struct answer name(int n, bool is_made) {                \
        struct answer a = {NULL, 0, 0};                             \
        int at = 0;                                                 \
                                                                    \
        calls                                                       \
        return a;                                                   \
    }

#pragma GCC diagnostic ignored "-Wnonnull" /* which is what this is about */
DEFINE(call_loop, CALLS_OF_THE_LOOP)
DEFINE(call_buffers, CALLS_OF_BUFFERS)
DEFINE(call_streams, CALLS_OF_STREAMS)
#ifndef HARNESS_PLAIN
DEFINE(call_ours, CALLS_OF_OURS)
#endif

static void make_one(struct answer (*make)(int n, bool is_made), int n) {
    struct answer a;

    open_world();
    a = make(n, true);
    if (a.got != a.want) {
        printf("%s: got %ld, want %ld\n", a.call, a.got, a.want);
        fflush(stdout);
        _exit(1);
    }
    (void)event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
    _exit(0);
}

/* In processes of their own, which end without giving anything back. */
static void make_all(struct answer (*make)(int n, bool is_made)) {
    for (int n = 0; make(n, false).call != NULL; n++) {
        int status;
        pid_t pid = fork();

        CHECK(pid >= 0);
        if (pid == 0)
            make_one(make, n);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        if (!WIFEXITED(status))
            printf("%s: signal %d\n", make(n, false).call, WTERMSIG(status));
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

TEST(the_loops_calls_take_null_where_libevents_do) {
    make_all(call_loop);
}

TEST(the_buffers_calls_take_null_where_libevents_do) {
    make_all(call_buffers);
}

TEST(the_streams_calls_take_null_where_libevents_do) {
    make_all(call_streams);
}

#ifndef HARNESS_PLAIN
TEST(freeing_nothing_does_nothing_and_a_base_is_asked_for) {
    make_all(call_ours);
}
#endif
