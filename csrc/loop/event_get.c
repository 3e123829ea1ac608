/* event_get.c - what can be asked of an event, and set while it is idle. */
#include <errno.h>

#include "base/clock.h"
#include "base/errors.h"
#include "loop/debug.h"
#include "loop/internal.h"

int event_pending(const struct event *ev, short what, struct timeval *tv) {
    short found = 0;

    if (!(ev->io.task.state & EVLIST_INIT) || ev->base == NULL)
        return 0;
    if (ev->io.task.state & EVLIST_INSERTED)
        found |= ev->events & (PE_EVENT_IO | EV_SIGNAL);
    if (pe_task_is_queued(&ev->io.task))
        found |= ev->io.task.res;
    if (ev->io.task.state & EVLIST_TIMEOUT)
        found |= EV_TIMEOUT;
    what &= EV_TIMEOUT | PE_EVENT_IO | EV_SIGNAL;
    if (tv != NULL && (what & EV_TIMEOUT) && (ev->io.task.state & EVLIST_TIMEOUT))
        pe_time_to_timeval(pe_clock_wall_at(ev->timer.node.key), tv);
    return found & what;
}

int event_initialized(const struct event *ev) {
    return (ev->io.task.state & EVLIST_INIT) != 0;
}

bool pe_event_is_idle(const struct event *ev) {
    return !(ev->io.task.state & (EVLIST_INSERTED | EVLIST_TIMEOUT | EVLIST_ACTIVE |
                                  EVLIST_ACTIVE_LATER | EVLIST_SIGNAL));
}

int event_base_set(struct event_base *base, struct event *ev) {
    if (base == NULL || !(ev->io.task.state & EVLIST_INIT) || !pe_event_is_idle(ev) ||
        (ev->io.task.state & EVLIST_FINALIZING))
        return pe_fail(-EINVAL);
    pe_base_note_event(base);
    ev->base = base;
    ev->io.task.pri = (uint8_t)(base->queue_count / 2);
    ev->io.gen = 0; /* a registration of the other base */
    return 0;
}

int event_priority_set(struct event *ev, int priority) {
    if (ev->base == NULL || priority < 0 || priority >= ev->base->queue_count ||
        pe_task_is_queued(&ev->io.task))
        return pe_fail(-EINVAL);
    ev->io.task.pri = (uint8_t)priority;
    return 0;
}

evutil_socket_t event_get_fd(const struct event *ev) {
    return ev->io.task.fd;
}

struct event_base *event_get_base(const struct event *ev) {
    return ev->base;
}

short event_get_events(const struct event *ev) {
    return ev->events;
}

event_callback_fn event_get_callback(const struct event *ev) {
    return ev->callback;
}

void *event_get_callback_arg(const struct event *ev) {
    return ev->arg;
}

int event_get_priority(const struct event *ev) {
    return ev->io.task.pri;
}

void event_get_assignment(const struct event *ev, struct event_base **base, evutil_socket_t *fd,
                          short *events, event_callback_fn *callback, void **arg) {
    if (base != NULL)
        *base = ev->base;
    if (fd != NULL)
        *fd = ev->io.task.fd;
    if (events != NULL)
        *events = ev->events;
    if (callback != NULL)
        *callback = ev->callback;
    if (arg != NULL)
        *arg = ev->arg;
}

size_t event_get_struct_event_size(void) {
    return sizeof(struct event);
}
