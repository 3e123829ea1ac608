/* test_fork.c - a fork in one thread while another one's loop is inside a stream.
 *
 * A thread runs the loop and stops inside a callback. The main thread forks; in the
 * child, where nobody goes on from that place, every connection can still send,
 * receive and be freed.
 */
#include <pthread.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "event2/buffer.h"
#include "event2/bufferevent.h"
#include "event2/event.h"
#include "harness.h"
#include "loop/fork.h"
#include "stream/bufferevent.h"
#include "streams.h"

enum { CONNECTIONS = 3 };

static int entered[2], released[2]; /* pipes: the loop has stopped, and may go on */
static bool has_stopped;

static void stop_once(void) {
    char byte;

    if (has_stopped)
        return;
    has_stopped = true;
    CHECK_EQ(write(entered[1], "x", 1), 1);
    CHECK_EQ(read(released[0], &byte, 1), 1);
}

/* Some connections to peers that are plain sockets. */
struct world {
    struct event_base *base;
    struct bufferevent *bevs[CONNECTIONS]; /* what is written to */
    int peers[CONNECTIONS];
    struct bufferevent_rate_limit_group *group;
    struct ev_token_bucket_cfg *rate;
};

static struct world world;

static void no_data(struct bufferevent *bev, void *arg) {
    (void)bev;
    (void)arg;
}

static void stop_in_data(struct bufferevent *bev, void *arg) {
    (void)arg;
    CHECK_EQ(bufferevent_write(bev, "from the callback ", 18), 0);
    stop_once();
}

static void stop_in_event(struct bufferevent *bev, short what, void *arg) {
    (void)what;
    (void)arg;
    CHECK_EQ(bufferevent_write(bev, "from the callback ", 18), 0);
    stop_once();
}

static void stop_in_change(struct evbuffer *buf, const struct evbuffer_cb_info *info, void *arg) {
    (void)buf;
    (void)arg;
    if (info->n_deleted != 0)
        stop_once();
}

static enum bufferevent_filter_result pass(struct evbuffer *src, struct evbuffer *dst) {
    return evbuffer_add_buffer(dst, src) == 0 ? BEV_OK : BEV_ERROR;
}

static enum bufferevent_filter_result stop_in_filter(struct evbuffer *src, struct evbuffer *dst,
                                                     ev_ssize_t limit,
                                                     enum bufferevent_flush_mode mode,
                                                     void *arg) {
    (void)limit;
    (void)mode;
    (void)arg;
    stop_once();
    return pass(src, dst);
}

static enum bufferevent_filter_result no_filter(struct evbuffer *src, struct evbuffer *dst,
                                                ev_ssize_t limit,
                                                enum bufferevent_flush_mode mode, void *arg) {
    (void)limit;
    (void)mode;
    (void)arg;
    return pass(src, dst);
}

/* --- places -------------------------------------------------------------------------- */

static void send_to(int i, const char *text) {
    CHECK_EQ(write(world.peers[i], text, strlen(text)), (ssize_t)strlen(text));
}

static void in_a_read_callback(void) {
    bufferevent_setcb(world.bevs[0], stop_in_data, NULL, NULL, NULL);
    send_to(0, "hello");
}

static void in_a_write_callback(void) {
    bufferevent_setcb(world.bevs[0], NULL, stop_in_data, NULL, NULL);
    CHECK_EQ(bufferevent_write(world.bevs[0], "first ", 6), 0);
}

static void in_a_deferred_callback(void) {
    bufferevent_setcb(world.bevs[0], stop_in_data, NULL, NULL, NULL);
    bufferevent_trigger(world.bevs[0], EV_READ, BEV_TRIG_DEFER_CALLBACKS);
}

static void in_an_event_callback(void) {
    bufferevent_setcb(world.bevs[0], NULL, NULL, stop_in_event, NULL);
    bufferevent_trigger_event(world.bevs[0], BEV_EVENT_CONNECTED, BEV_TRIG_DEFER_CALLBACKS);
}

/* Called from the flush list, the first of three that are in it. */
static void in_a_callback_of_the_output(void) {
    CHECK(evbuffer_add_cb(bufferevent_get_output(world.bevs[0]), stop_in_change, NULL) != NULL);
    for (int i = 0; i < CONNECTIONS; i++)
        CHECK_EQ(bufferevent_write(world.bevs[i], "first ", 6), 0);
}

static void in_a_deferred_callback_of_a_buffer(void) {
    struct evbuffer *output = bufferevent_get_output(world.bevs[0]);

    CHECK(evbuffer_add_cb(output, stop_in_change, NULL) != NULL);
    CHECK_EQ(evbuffer_defer_callbacks(output, world.base), 0);
    CHECK_EQ(bufferevent_write(world.bevs[0], "first ", 6), 0);
}

static void put_filter(bufferevent_filter_cb input, bufferevent_filter_cb output) {
    world.bevs[0] = bufferevent_filter_new(world.bevs[0], input, output, BEV_OPT_CLOSE_ON_FREE,
                                           NULL, NULL);
    CHECK(world.bevs[0] != NULL);
    CHECK_EQ(bufferevent_enable(world.bevs[0], EV_READ | EV_WRITE), 0);
}

static void in_a_filter_of_output(void) {
    put_filter(no_filter, stop_in_filter);
    bufferevent_trigger(world.bevs[1], EV_READ, BEV_TRIG_DEFER_CALLBACKS);
}

static void write_to_first(struct bufferevent *bev, void *arg) {
    (void)bev;
    (void)arg;
    CHECK_EQ(bufferevent_write(world.bevs[0], "first ", 6), 0);
}

static void in_a_filter_of_output_set_up(void) {
    bufferevent_setcb(world.bevs[1], write_to_first, NULL, NULL, NULL);
    in_a_filter_of_output();
}

static void in_a_filter_of_input(void) {
    put_filter(stop_in_filter, no_filter);
    bufferevent_setcb(world.bevs[0], no_data, NULL, NULL, NULL);
    send_to(0, "hello");
}

/* All members wait for the group's bucket; the first that goes on stops. */
static void in_a_group_that_goes_on(void) {
    const struct timeval tick = {0, 10000};

    world.rate = ev_token_bucket_cfg_new(EV_RATE_LIMIT_MAX, EV_RATE_LIMIT_MAX, 6, 6, &tick);
    world.group = bufferevent_rate_limit_group_new(world.base, world.rate);
    CHECK(world.rate != NULL && world.group != NULL);
    for (int i = 0; i < CONNECTIONS; i++) {
        CHECK_EQ(bufferevent_add_to_rate_limit_group(world.bevs[i], world.group), 0);
        CHECK_EQ(bufferevent_write(world.bevs[i], "first ", 6), 0);
    }
    CHECK_EQ(bufferevent_rate_limit_group_decrement_write(world.group, 12), 0);
    CHECK(evbuffer_add_cb(bufferevent_get_output(world.bevs[0]), stop_in_change, NULL) != NULL);
}

/* --- running ------------------------------------------------------------------------- */

static void open_world(void (*set_up)(void)) {
    memset(&world, 0, sizeof(world));
    has_stopped = false;
    CHECK_EQ(pipe(entered), 0);
    CHECK_EQ(pipe(released), 0);
    world.base = event_base_new();
    CHECK(world.base != NULL);
    for (int i = 0; i < CONNECTIONS; i++) {
        int pair[2];

        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
        world.peers[i] = pair[0];
        world.bevs[i] = bufferevent_socket_new(world.base, pair[1], BEV_OPT_CLOSE_ON_FREE);
        CHECK(world.bevs[i] != NULL);
        CHECK_EQ(bufferevent_enable(world.bevs[i], EV_READ | EV_WRITE), 0);
    }
    /* Enabling has put them into the flush list: out of it again. */
    CHECK(event_base_loop(world.base, EVLOOP_NONBLOCK) >= 0);
    set_up();
}

static void close_world(void) {
    for (int i = 0; i < CONNECTIONS; i++) {
        bufferevent_free(world.bevs[i]);
        close(world.peers[i]);
    }
    bufferevent_rate_limit_group_free(world.group);
    ev_token_bucket_cfg_free(world.rate);
    event_base_free(world.base);
    for (int i = 0; i < 2; i++) {
        close(entered[i]);
        close(released[i]);
    }
}

static void *run_loop(void *arg) {
    (void)arg;
    CHECK_EQ(event_base_loop(world.base, EVLOOP_NO_EXIT_ON_EMPTY), 0);
    return NULL;
}

static void *no_thread(void *arg) {
    return arg;
}

/* What the peer of connection `i` has got must end with `text` before long. */
static void check_got(int i, const char *text) {
    char got[256];
    size_t n = 0;

    for (int tries = 0; tries < 400; tries++) {
        ssize_t more = read(world.peers[i], got + n, sizeof(got) - 1 - n);

        n += more > 0 ? (size_t)more : 0;
        got[n] = '\0';
        if (n >= strlen(text) && strcmp(got + n - strlen(text), text) == 0)
            return;
        CHECK(event_base_loop(world.base, EVLOOP_NONBLOCK | EVLOOP_ONCE) >= 0);
        usleep(5000); /* for a bucket to fill */
    }
    printf("peer %d has got \"%s\"\n", i, got);
    CHECK(!"what was written in the child has come");
}

static void count_input(struct bufferevent *bev, void *arg) {
    *(size_t *)arg = evbuffer_get_length(bufferevent_get_input(bev));
}

static void use_in_child(void) {
    pthread_t thread;
    size_t lengths[CONNECTIONS] = {0};

    for (int i = 0; i < CONNECTIONS; i++) {
        bufferevent_setcb(world.bevs[i], count_input, NULL, NULL, &lengths[i]);
        CHECK_EQ(bufferevent_write(world.bevs[i], "child", 5), 0);
    }
    for (int i = 0; i < CONNECTIONS; i++)
        check_got(i, "child");
    for (int i = 0; i < CONNECTIONS; i++) {
        lengths[i] = 0;
        send_to(i, "and back");
        for (int tries = 0; tries < 100 && lengths[i] < 8; tries++)
            CHECK(event_base_loop(world.base, EVLOOP_NONBLOCK | EVLOOP_ONCE) >= 0);
        CHECK(lengths[i] >= 8);
    }
    /* A thread gets the stack of the one that is not here. */
    CHECK_EQ(pthread_create(&thread, NULL, no_thread, NULL), 0);
    close_world();
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void check_child(pid_t pid) {
    int status;

    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    if (WEXITSTATUS(status) != 0)
        _exit(WEXITSTATUS(status)); /* the child has told why */
}

static void fork_at(void (*set_up)(void)) {
    pthread_t thread;
    char byte;
    pid_t pid;

    open_world(set_up);
    CHECK_EQ(pthread_create(&thread, NULL, run_loop, NULL), 0);
    CHECK_EQ(read(entered[0], &byte, 1), 1);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        pe_bases_let_go_after_fork();
        use_in_child();
        _exit(0);
    }
    check_child(pid);
    CHECK_EQ(event_base_loopbreak(world.base), 0); /* it is in a callback: the loop is ours */
    CHECK_EQ(write(released[1], "x", 1), 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    close_world();
}

TEST(connections_work_in_a_child_forked_during_a_read_callback) {
    fork_at(in_a_read_callback);
}

TEST(connections_work_in_a_child_forked_during_a_write_callback) {
    fork_at(in_a_write_callback);
}

TEST(connections_work_in_a_child_forked_during_a_deferred_callback) {
    fork_at(in_a_deferred_callback);
}

TEST(connections_work_in_a_child_forked_during_an_event_callback) {
    fork_at(in_an_event_callback);
}

TEST(connections_work_in_a_child_forked_during_the_flush_list) {
    fork_at(in_a_callback_of_the_output);
}

TEST(connections_work_in_a_child_forked_during_a_buffers_deferred_callback) {
    fork_at(in_a_deferred_callback_of_a_buffer);
}

TEST(connections_work_in_a_child_forked_during_a_filter_of_output) {
    fork_at(in_a_filter_of_output_set_up);
}

TEST(connections_work_in_a_child_forked_during_a_filter_of_input) {
    fork_at(in_a_filter_of_input);
}

TEST(connections_work_in_a_child_forked_while_a_group_goes_on) {
    fork_at(in_a_group_that_goes_on);
}

/* --- the thread that forks is the one in the callback ------------------------------------ */

static pid_t child;

static void fork_in_read(struct bufferevent *bev, void *arg) {
    (void)arg;
    CHECK_EQ(bufferevent_write(bev, "both ", 5), 0);
    child = fork();
    CHECK(child >= 0);
    if (child == 0)
        pe_bases_let_go_after_fork();
    CHECK_EQ(bufferevent_write(bev, "of them", 7), 0);
    CHECK_EQ(event_base_loopexit(world.base, NULL), 0);
}

/* Its callback goes on in the child, and what it has added goes out after it. */
TEST(a_read_callback_that_forks_goes_on_in_both) {
    char got[64];
    ssize_t n;

    open_world(in_a_read_callback);
    has_stopped = true;
    bufferevent_setcb(world.bevs[0], fork_in_read, NULL, NULL, NULL);
    CHECK_EQ(event_base_dispatch(world.base), 0);
    if (child == 0) {
        CHECK_EQ(world.bevs[0]->calling, 0);
        close_world();
        CHECK_EQ(pe_mem_live_total(), 0);
        _exit(0);
    }
    check_child(child);
    n = read(world.peers[0], got, sizeof(got));
    CHECK_EQ(n, 24); /* once from each */
    CHECK_MEM(got, "both of themboth of them", 24);
    close_world();
}

/* --- a buffer of nobody's ------------------------------------------------------------------ */

static struct evbuffer *lone;
static struct evbuffer_cb_entry *lone_entry;

static void *drain_lone(void *arg) {
    (void)arg;
    CHECK_EQ(evbuffer_drain(lone, 1), 0);
    return NULL;
}

TEST(a_buffer_is_sound_in_a_child_forked_during_its_callback) {
    pthread_t thread;
    char byte;
    pid_t pid;

    has_stopped = false;
    CHECK_EQ(pipe(entered), 0);
    CHECK_EQ(pipe(released), 0);
    lone = evbuffer_new();
    CHECK(lone != NULL);
    CHECK_EQ(evbuffer_add(lone, "abc", 3), 0);
    lone_entry = evbuffer_add_cb(lone, stop_in_change, NULL);
    CHECK(lone_entry != NULL);
    CHECK_EQ(pthread_create(&thread, NULL, drain_lone, NULL), 0);
    CHECK_EQ(read(entered[0], &byte, 1), 1);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(lone->calls == NULL); /* they were on a stack that nobody uses */
        CHECK_EQ(evbuffer_remove_cb_entry(lone, lone_entry), 0);
        CHECK_EQ(evbuffer_add(lone, "d", 1), 0);
        CHECK_EQ(evbuffer_get_length(lone), 3);
        evbuffer_free(lone);
        CHECK_EQ(pe_mem_live_total(), 0);
        _exit(0);
    }
    check_child(pid);
    CHECK_EQ(write(released[1], "x", 1), 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    evbuffer_free(lone);
    for (int i = 0; i < 2; i++) {
        close(entered[i]);
        close(released[i]);
    }
}
