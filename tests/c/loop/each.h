/* each.h - one test, run on every backend that opens here.
 *
 *     TEST_EACH(event_without_persist_fires_once) {
 *         struct event_base *base = base_on(backend);
 *         ...
 *
 * `backend` is the name of the one to use. Only event2/event.h is needed, so
 * the parity programs include this too. A failing test's output names the
 * backend it was on.
 */
#ifndef PE_TESTS_LOOP_EACH_H
#define PE_TESTS_LOOP_EACH_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "event2/event.h"
#include "harness.h"

/* A struct timeval of `n` milliseconds, or microseconds, to point to. */
#define MS(n) (&(struct timeval){.tv_sec = (n) / 1000, .tv_usec = (n) % 1000 * 1000})
#define US(n) (&(struct timeval){.tv_sec = (n) / 1000000, .tv_usec = (n) % 1000000})

/* A base on that backend alone; NULL when it does not open. */
static inline struct event_base *base_if_open(const char *backend) {
    struct event_config *cfg = event_config_new();
    const char **names = event_get_supported_methods();
    struct event_base *base;

    CHECK(cfg != NULL);
    for (int i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], backend) != 0)
            CHECK_EQ(event_config_avoid_method(cfg, names[i]), 0);
    }
    base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    return base;
}

static inline struct event_base *base_on(const char *backend) {
    struct event_base *base = base_if_open(backend);

    CHECK(base != NULL);
    CHECK_STR(event_base_get_method(base), backend);
    return base;
}

static inline void on_each_backend(void (*body)(const char *backend)) {
    const char **supported = event_get_supported_methods();
    const char *names[16] = {NULL};
    int opened = 0;

    /* Copied: libevent frees the array when it is asked again. */
    for (int i = 0; supported[i] != NULL && i < 15; i++)
        names[i] = supported[i];
    for (int i = 0; names[i] != NULL; i++) {
        struct event_base *base = base_if_open(names[i]);

        if (base == NULL)
            continue;
        event_base_free(base);
        printf("on %s\n", names[i]);
        body(names[i]);
        opened++;
    }
    CHECK(opened > 0);
}

#define TEST_EACH(name)                      \
    static void name##_on(const char *backend); \
    TEST(name) {                             \
        on_each_backend(name##_on);          \
    }                                        \
    static void name##_on(const char *backend)

/* Two connected stream sockets that do not block. */
static inline void open_pair(int fds[2]) {
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(fcntl(fds[i], F_SETFL, O_NONBLOCK), 0);
        CHECK_EQ(fcntl(fds[i], F_SETFD, FD_CLOEXEC), 0);
    }
}

static inline void close_pair(int fds[2]) {
    close(fds[0]);
    close(fds[1]);
}

static inline void send_byte(int fd) {
    CHECK_EQ(write(fd, "x", 1), 1);
}

/* Take one byte that must be there. */
static inline void take_byte(int fd) {
    char c;

    CHECK_EQ(read(fd, &c, 1), 1);
}

/* A callback's memory: how often it was called, and with what last. */
struct seen {
    int calls;
    int fd;
    short what;
};

static inline void see(evutil_socket_t fd, short what, void *arg) {
    struct seen *seen = arg;

    seen->calls++;
    seen->fd = (int)fd;
    seen->what = what;
}

#endif
