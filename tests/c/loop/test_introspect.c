/* test_introspect.c - foreach, dump, activation by fd and signal, statistics,
 * common timeouts. */
#include <signal.h>
#include <stdlib.h>

#include "each.h"
#include "event2/event_struct.h"
#include "loop/stats.h"

struct found {
    const struct event *events[8];
    int count;
    int stop_after;
};

static int find_one(const struct event_base *base, const struct event *ev, void *arg) {
    struct found *found = arg;

    CHECK(base != NULL);
    CHECK(found->count < 8);
    found->events[found->count++] = ev;
    return found->count == found->stop_after ? 42 : 0;
}

static int times_found(const struct found *found, const struct event *ev) {
    int n = 0;

    for (int i = 0; i < found->count; i++)
        n += found->events[i] == ev;
    return n;
}

TEST_EACH(foreach_visits_each_event_once_and_stops_when_told) {
    struct event_base *base = base_on(backend);
    struct found found = {.stop_after = -1};
    struct seen seen = {0};
    struct event *ev[5];
    int p[2];

    open_pair(p);
    ev[0] = event_new(base, p[0], EV_READ, see, &seen);
    ev[1] = event_new(base, -1, 0, see, &seen);
    ev[2] = event_new(base, SIGUSR1, EV_SIGNAL, see, &seen);
    ev[3] = event_new(base, -1, 0, see, &seen); /* only active */
    ev[4] = event_new(base, p[1], EV_READ, see, &seen); /* neither */
    CHECK_EQ(event_add(ev[0], MS(60000)), 0); /* in the map and in the heap */
    CHECK_EQ(event_add(ev[1], MS(60000)), 0);
    CHECK_EQ(event_add(ev[2], NULL), 0);
    event_active(ev[3], EV_TIMEOUT, 1);
    event_active(ev[0], EV_READ, 1); /* and in a queue too */
    CHECK_EQ(event_base_foreach_event(base, find_one, &found), 0);
    CHECK_EQ(found.count, 4);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(times_found(&found, ev[i]), 1);
    found = (struct found){.stop_after = 2};
    CHECK_EQ(event_base_foreach_event(base, find_one, &found), 42);
    CHECK_EQ(found.count, 2);
    for (int i = 0; i < 5; i++)
        event_free(ev[i]);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(dump_names_fds_signals_and_timers) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev[3];
    char *text = NULL, fd_text[32];
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    int p[2];

    open_pair(p);
    ev[0] = event_new(base, p[0], EV_READ | EV_PERSIST, see, &seen);
    ev[1] = event_new(base, -1, 0, see, &seen);
    ev[2] = event_new(base, SIGUSR1, EV_SIGNAL, see, &seen);
    CHECK_EQ(event_add(ev[0], NULL), 0);
    CHECK_EQ(event_add(ev[1], MS(60000)), 0);
    CHECK_EQ(event_add(ev[2], NULL), 0);
    event_base_dump_events(base, out);
    fclose(out);
    snprintf(fd_text, sizeof(fd_text), "fd %d READ|PERSIST", p[0]);
    CHECK(strstr(text, backend) != NULL);
    CHECK(strstr(text, "3 added, 0 active") != NULL);
    CHECK(strstr(text, fd_text) != NULL);
    CHECK(strstr(text, "timer due in 59.") != NULL);
    CHECK(strstr(text, "signal 10 SIGNAL") != NULL);
    free(text);
    for (int i = 0; i < 3; i++)
        event_free(ev[i]);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(active_by_fd_touches_only_what_waits_for_it) {
    struct event_base *base = base_on(backend);
    struct seen reads = {0}, writes = {0}, timed = {0};
    struct event *ev[3];
    int p[2];

    open_pair(p);
    ev[0] = event_new(base, p[0], EV_READ, see, &reads);
    ev[1] = event_new(base, p[0], EV_READ, see, &timed);
    ev[2] = event_new(base, p[0], EV_WRITE, see, &writes); /* not added */
    CHECK_EQ(event_add(ev[0], NULL), 0);
    CHECK_EQ(event_add(ev[1], MS(60000)), 0);
    event_base_active_by_fd(base, p[0], EV_TIMEOUT);
    event_base_active_by_fd(base, p[0], EV_WRITE);
    event_base_active_by_fd(base, p[1], EV_READ);
    event_base_active_by_fd(base, -1, EV_READ);
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 0);
    CHECK_EQ(reads.calls, 0);
    CHECK_EQ(timed.calls, 1);
    CHECK_EQ(timed.what, EV_TIMEOUT);
    event_base_active_by_fd(base, p[0], EV_READ);
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 1); /* and nothing is left */
    CHECK_EQ(reads.calls, 1);
    CHECK_EQ(reads.what, EV_READ);
    CHECK_EQ(writes.calls, 0);
    for (int i = 0; i < 3; i++)
        event_free(ev[i]);
    event_base_free(base);
    close_pair(p);
}

TEST_EACH(active_by_signal_calls_its_events_once) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    struct event *ev = event_new(base, SIGUSR1, EV_SIGNAL | EV_PERSIST, see, &seen);

    event_base_active_by_signal(base, SIGUSR1); /* nobody watches any signal */
    CHECK_EQ(event_add(ev, NULL), 0);
    event_base_active_by_signal(base, SIGUSR2);
    event_base_active_by_signal(base, SIGUSR1);
    event_base_active_by_signal(base, 0);
    event_base_active_by_signal(base, 10000);
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK), 0);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(seen.what, EV_SIGNAL);
    CHECK_EQ(seen.fd, SIGUSR1);
    event_free(ev);
    event_base_free(base);
}

TEST_EACH(statistics_count_turns_waits_and_callbacks_by_kind) {
    struct event_base *base = base_on(backend);
    struct seen seen = {0};
    const struct pe_stats *stats;
    struct event *ev;
    int p[2];

    open_pair(p);
    CHECK(pe_stats_get(base) == NULL);
    CHECK_EQ(pe_stats_start(base), 0);
    stats = pe_stats_get(base);
    ev = event_new(base, p[0], EV_READ, see, &seen);
    CHECK_EQ(event_add(ev, NULL), 0);
    send_byte(p[1]);
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, see, &seen, MS(5)), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(stats->callbacks, 2);
    CHECK_EQ(stats->io, 1);
    CHECK_EQ(stats->timeouts, 1);
    CHECK_EQ(stats->signals, 0);
    CHECK(stats->turns >= 2);
    CHECK(stats->waits >= 2);
    CHECK(stats->wait_ns >= 1000000);
    CHECK(stats->callbacks_ns > 0);
    CHECK_EQ(stats->most_callbacks, 1);
    CHECK_EQ(stats->most_ready, 1);
    CHECK_EQ(pe_stats_start(base), 0); /* from zero */
    CHECK_EQ(pe_stats_get(base)->callbacks, 0);
    event_free(ev);
    event_base_free(base);
    close_pair(p);
}

TEST(common_timeouts_are_one_per_duration_and_at_most_256) {
    struct event_base *base = event_base_new();
    const struct timeval *first = event_base_init_common_timeout(base, MS(10));
    const struct timeval *again = event_base_init_common_timeout(base, MS(10));
    struct seen seen = {0};
    struct event *ev = event_new(base, -1, 0, see, &seen);

    CHECK(first != NULL);
    CHECK(first == again);
    CHECK_EQ(first->tv_sec, 0);
    CHECK_EQ(first->tv_usec, 10000); /* no bits hidden in it */
    CHECK_EQ(event_add(ev, first), 0);
    CHECK_EQ(event_base_dispatch(base), 1);
    CHECK_EQ(seen.calls, 1);
    for (int i = 1; i < 256; i++)
        CHECK(event_base_init_common_timeout(base, MS(1000 + i)) != NULL);
    CHECK(event_base_init_common_timeout(base, MS(999)) == NULL);
    CHECK_EQ(errno, ENOSPC);
    CHECK(event_base_init_common_timeout(base, &(struct timeval){-1, 0}) == NULL);
    CHECK_EQ(errno, EINVAL);
    event_free(ev);
    event_base_free(base);
}
