/* on_event2.c - the pipes on event2/ names: libevent, or pyevent's core. */
#include <event2/event.h>
#include <stdint.h>
#include <stdlib.h>

#include "pipes.h"

static struct event_base *base;
static struct event **events;

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    pipe_readable((int)(intptr_t)arg);
}

void loop_open(int n) {
    base = event_base_new();
    events = calloc((size_t)n, sizeof(struct event *));
    if (base == NULL || events == NULL)
        abort();
}

void loop_watch_all(int n, const int *fds) {
    for (int i = 0; i < n; i++) {
        if (events[i] == NULL)
            events[i] = event_new(base, fds[i], EV_READ | EV_PERSIST, on_readable,
                                  (void *)(intptr_t)i);
        else
            event_del(events[i]);
        event_add(events[i], NULL);
    }
}

void loop_turn(void) {
    event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}
