/* on_event2.c - the timers on event2/ names: libevent, or pyevent's core. */
#include <event2/event.h>
#include <stdlib.h>

#include "timers.h"

static struct event_base *base;
static struct event **events;

static void on_timeout(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    (void)arg;
    timer_fired();
}

void timers_open(int n) {
    base = event_base_new();
    events = calloc((size_t)n, sizeof(struct event *));
    if (base == NULL || events == NULL)
        abort();
    for (int i = 0; i < n; i++)
        events[i] = event_new(base, -1, 0, on_timeout, NULL);
}

void timer_set(int i, long us) {
    struct timeval tv = {us / 1000000, us % 1000000};

    event_add(events[i], &tv);
}

void timer_cancel(int i) {
    event_del(events[i]);
}

static void call(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    (*(void (**)(void))arg)();
}

void timers_in_callback(void (*work)(void)) {
    event_base_once(base, -1, EV_TIMEOUT, call, &work, NULL);
    timers_turn();
}

void timers_turn(void) {
    event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

int timer_activate(int i) {
    event_active(events[i], EV_TIMEOUT, 0);
    return 0;
}
