/* introspect.c - looking at the events of a base, and activating them by fd or
 * signal.
 *
 * An event may be known to the fd map or the signal table, to the heap and to
 * an active queue at once; it is visited where it is found first, in that
 * order. What belongs to layers above (a bufferevent's watcher) is no event
 * and is not visited.
 */
#include <errno.h>
#include <inttypes.h>

#include "base/clock.h"
#include "base/errors.h"
#include "loop/internal.h"

struct visit {
    const struct event_base *base;
    event_base_foreach_event_cb fn;
    void *arg;
};

static int visit_one(const struct visit *visit, const struct event *ev) {
    return visit->fn(visit->base, ev, visit->arg);
}

static int visit_io(struct pe_io *io, void *arg) {
    struct event *ev = pe_event_of_io(io);

    return ev != NULL ? visit_one(arg, ev) : 0;
}

static int visit_unwatched(const struct event_base *base, const struct visit *visit) {
    int result = 0;

    for (struct pe_link *at = base->unwatched.next; result == 0 && at != &base->unwatched;
         at = at->next)
        result = visit_one(visit, pe_container(at, struct event, io.chain));
    return result;
}

static int visit_timers(const struct event_base *base, const struct visit *visit) {
    for (size_t i = 0; i < pe_heap_count(&base->timers); i++) {
        struct pe_heap_node *node = base->timers.slots[i].node;
        struct event *ev = pe_event_of_timer(pe_container(node, struct pe_timer, node));
        int result;

        if (ev == NULL || (ev->io.task.state & EVLIST_INSERTED))
            continue;
        result = visit_one(visit, ev);
        if (result != 0)
            return result;
    }
    return 0;
}

static int visit_tasks(const struct pe_link *head, const struct visit *visit) {
    for (const struct pe_link *at = head->next; at != head; at = at->next) {
        struct pe_task *task = pe_container(at, struct pe_task, link);
        struct event *ev = pe_event_of_task(task);
        int result;

        if (ev == NULL || (task->state & (EVLIST_INSERTED | EVLIST_TIMEOUT)))
            continue;
        result = visit_one(visit, ev);
        if (result != 0)
            return result;
    }
    return 0;
}

int event_base_foreach_event(struct event_base *base, event_base_foreach_event_cb fn, void *arg) {
    struct visit visit = {.base = base, .fn = fn, .arg = arg};
    int result;

    if (base == NULL || fn == NULL)
        return pe_fail(-EINVAL);
    result = pe_iomap_foreach(base, visit_io, &visit);
    if (result == 0)
        result = visit_unwatched(base, &visit);
    if (result == 0)
        result = pe_signals_foreach(base, visit_io, &visit);
    if (result == 0)
        result = visit_timers(base, &visit);
    for (int i = 0; result == 0 && i < base->queue_count; i++)
        result = visit_tasks(&base->queues[i].tasks, &visit);
    return result != 0 ? result : visit_tasks(&base->later, &visit);
}

static void dump_flags(FILE *out, short flags) {
    static const struct {
        short bit;
        const char *name;
    } names[] = {{EV_READ, "READ"},       {EV_WRITE, "WRITE"},     {EV_CLOSED, "CLOSED"},
                 {EV_SIGNAL, "SIGNAL"},   {EV_TIMEOUT, "TIMEOUT"}, {EV_PERSIST, "PERSIST"},
                 {EV_ET, "ET"}};
    const char *sep = " ";

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (flags & names[i].bit) {
            fprintf(out, "%s%s", sep, names[i].name);
            sep = "|";
        }
    }
}

static int dump_one(const struct event_base *base, const struct event *ev, void *arg) {
    FILE *out = arg;

    (void)base;
    fprintf(out, "  %p", (const void *)ev);
    if (ev->events & EV_SIGNAL)
        fprintf(out, " signal %d", ev->io.task.fd);
    else if (ev->io.task.fd >= 0)
        fprintf(out, " fd %d", ev->io.task.fd);
    else
        fprintf(out, " timer");
    dump_flags(out, ev->events);
    if (ev->io.task.state & EVLIST_TIMEOUT) {
        int64_t left = ev->timer.node.key - pe_clock_now();

        fprintf(out, " due in %" PRId64 ".%06" PRId64 " s", (left > 0 ? left : 0) / PE_NS_PER_SEC,
                (left > 0 ? left : 0) % PE_NS_PER_SEC / PE_NS_PER_US);
    }
    if (pe_task_is_queued(&ev->io.task)) {
        fprintf(out, " active");
        dump_flags(out, ev->io.task.res);
    }
    fprintf(out, " priority %d\n", ev->io.task.pri);
    return 0;
}

void event_base_dump_events(struct event_base *base, FILE *output) {
    fprintf(output, "%s: %d added, %d active\n", base->backend.ops->name,
            pe_base_added_count(base), base->active_count);
    (void)event_base_foreach_event(base, dump_one, output); /* dump_one never ends it */
}

/* --- activating ------------------------------------------------------------- */

struct by_fd {
    struct event_base *base;
    short events;
};

static int activate_io(struct pe_io *io, void *arg) {
    const struct by_fd *by = arg;
    struct event *ev = pe_event_of_io(io);
    short got = io->want & by->events & (EV_READ | EV_WRITE | EV_CLOSED);

    if ((by->events & EV_TIMEOUT) && ev != NULL && (io->task.state & EVLIST_TIMEOUT))
        got |= EV_TIMEOUT;
    if (got != 0 && !(io->task.state & EVLIST_INTERNAL))
        pe_task_activate(by->base, &io->task, got);
    return 0;
}

void event_base_active_by_fd(struct event_base *base, evutil_socket_t fd, short events) {
    struct by_fd by = {.base = base, .events = events};

    (void)pe_iomap_foreach_of(base, fd, activate_io, &by); /* activate_io never ends it */
}

void event_base_active_by_signal(struct event_base *base, int sig) {
    pe_signals_activate(base, sig);
}
