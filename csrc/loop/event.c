/* event.c - struct event: what users of event2/event.h create, add and free.
 *
 * An event is a watcher (pe_io) and a timer in one; both make its one task
 * active, so that a second reason before its turn only adds bits to `what`:
 *
 *     idle --add--> pending --fd, signal or deadline--> active --> callback
 *       ^              |  ^                                |
 *       +-----del------+  +------- with EV_PERSIST --------+
 *
 * Without EV_PERSIST it is idle again *before* its callback, which may add or
 * free it. After the callback nothing of the event is touched.
 */
#include "loop/internal.h"

#include <errno.h>
#include <limits.h>

#include "base/clock.h"
#include "base/errors.h"
#include "base/log.h"
#include "loop/debug.h"

/* The states of an event that must be forgotten before its last callback. */
#define PENDING (EVLIST_TIMEOUT | EVLIST_INSERTED | EVLIST_SIGNAL)

static void event_run(struct event_base *base, struct pe_task *task);
static void event_fire(struct event_base *base, struct pe_timer *timer);

struct event *pe_event_of_task(struct pe_task *task) {
    return task->run == event_run ? pe_container(task, struct event, io.task) : NULL;
}

struct event *pe_event_of_io(struct pe_io *io) {
    return pe_event_of_task(&io->task);
}

struct event *pe_event_of_timer(struct pe_timer *timer) {
    return timer->fire == event_fire ? pe_container(timer, struct event, timer) : NULL;
}

static char self_cbarg; /* its address stands for the event itself */

void *event_self_cbarg(void) {
    return &self_cbarg;
}

/* In debug mode: whether the memory is free for an event; it is noted as one. */
static bool may_assign(struct event *ev) {
    int err;

    if (pe_debug_knows(ev) && !pe_event_is_idle(ev)) {
        pe_log_error("event_assign: event %p is pending or active", (void *)ev);
        errno = EBUSY;
        return false;
    }
    err = pe_debug_assigned(ev);
    if (err < 0)
        errno = -err;
    return err == 0;
}

int event_assign(struct event *ev, struct event_base *base, evutil_socket_t fd, short what,
                 event_callback_fn cb, void *arg) {
    if (base == NULL || ((what & EV_SIGNAL) && (what & PE_EVENT_IO)))
        return pe_fail(-EINVAL);
    if (pe_debug_is_on() && !may_assign(ev))
        return -1;
    pe_base_note_event(base);
    if (base->running_event == ev)
        base->calls_left = 0; /* in its own callback: what remains was for the old one */
    pe_io_init(&ev->io, fd, event_run, base->queue_count / 2);
    ev->io.task.state = EVLIST_INIT;
    pe_timer_init(&ev->timer, event_fire);
    ev->base = base;
    ev->interval_ns = 0;
    ev->callback = cb;
    ev->arg = arg == &self_cbarg ? ev : arg;
    ev->events = what;
    ev->calls = 0;
    return 0;
}

struct event *event_new(struct event_base *base, evutil_socket_t fd, short what,
                        event_callback_fn cb, void *arg) {
    struct event *ev = pe_malloc(PE_MEM_EVENT, sizeof(*ev));

    if (ev == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    if (event_assign(ev, base, fd, what, cb, arg) < 0) {
        pe_free(PE_MEM_EVENT, ev);
        return NULL;
    }
    return ev;
}

static void free_memory(struct event *ev) {
    if (pe_debug_is_on())
        pe_debug_unassigned(ev);
    pe_free(PE_MEM_EVENT, ev);
}

void event_free(struct event *ev) {
    if (ev == NULL || !pe_debug_check(ev, "event_free"))
        return;
    if (ev->io.task.run == pe_event_run_finalizer) {
        ev->calls = 1; /* its finalizer is due, or runs: the memory goes after that */
        return;
    }
    (void)event_del(ev); /* fails only for an event that was never set up */
    free_memory(ev);
}

/* --- waiting ---------------------------------------------------------------- */

/* There is no such descriptor: nothing will be told, but the loop waits for it. */
static void insert_unwatched(struct event_base *base, struct event *ev) {
    pe_list_push_back(&base->unwatched, &ev->io.chain);
    base->io_count++;
    pe_base_note_added(base);
}

static void extract_unwatched(struct event_base *base, struct event *ev) {
    pe_list_remove(&ev->io.chain);
    base->io_count--;
    pe_base_note_removed(base);
}

void pe_event_forget_unwatched(struct event_base *base) {
    while (!pe_list_empty(&base->unwatched))
        pe_event_forget(pe_container(base->unwatched.next, struct event, io.chain));
}

static int is_of_other_kind(struct pe_io *io, void *arg) {
    const struct event *ev = arg;

    return (io->want & EV_ET) != (ev->events & EV_ET);
}

/* In debug mode: whether its descriptor has events of the other kind of triggering. */
static bool mixes_edges(struct event_base *base, struct event *ev) {
    if (pe_iomap_foreach_of(base, ev->io.task.fd, is_of_other_kind, ev) == 0)
        return false;
    pe_log_error("event_add: fd %d has edge-triggered events and others", ev->io.task.fd);
    return true;
}

static int insert(struct event_base *base, struct event *ev) {
    int err = 0;

    if (ev->io.task.state & EVLIST_INSERTED)
        return 0;
    if ((ev->events & PE_EVENT_IO) && ev->io.task.fd < 0)
        insert_unwatched(base, ev);
    else if ((ev->events & PE_EVENT_IO) && pe_debug_is_on() && mixes_edges(base, ev))
        err = -EINVAL;
    else if (ev->events & PE_EVENT_IO)
        err = pe_io_set(base, &ev->io, ev->events & (PE_EVENT_IO | EV_ET));
    else if (ev->events & EV_SIGNAL)
        err = pe_signal_add(base, ev);
    else
        return 0;
    if (err == 0)
        ev->io.task.state |= EVLIST_INSERTED;
    return err;
}

static void extract(struct event_base *base, struct event *ev) {
    if (!(ev->io.task.state & EVLIST_INSERTED))
        return;
    ev->io.task.state &= (uint8_t)~EVLIST_INSERTED;
    if (ev->events & EV_SIGNAL)
        pe_signal_del(base, ev);
    else if (ev->io.task.fd < 0)
        extract_unwatched(base, ev);
    else
        (void)pe_io_set(base, &ev->io, 0); /* taking away never fails */
}

static void stop_timer(struct event_base *base, struct event *ev) {
    ev->io.task.state &= (uint8_t)~EVLIST_TIMEOUT;
    pe_timer_cancel(base, &ev->timer);
}

/* Room for its timer is there. */
static void start_timer(struct event_base *base, struct event *ev, int64_t due_ns) {
    (void)pe_timer_set(base, &ev->timer, due_ns);
    ev->io.task.state |= EVLIST_TIMEOUT;
}

static void deactivate(struct event_base *base, struct event *ev) {
    if (ev->io.task.state & EVLIST_SIGNAL) {
        ev->io.task.state &= (uint8_t)~EVLIST_SIGNAL;
        base->calls_left = 0;
    }
    pe_task_cancel(base, &ev->io.task);
}

int pe_event_add_ns(struct event *ev, int64_t timeout_ns) {
    struct event_base *base = ev->base;
    int err = 0;

    if (!pe_debug_check(ev, "event_add"))
        return -EINVAL;
    if (!(ev->io.task.state & EVLIST_INIT) || base == NULL ||
        (ev->io.task.state & EVLIST_FINALIZING))
        return -EINVAL;
    if (timeout_ns >= 0 && pe_heap_is_full(&base->timers) && !pe_timer_is_set(&ev->timer))
        err = pe_heap_reserve(&base->timers, pe_heap_count(&base->timers) + 1);
    if (err == 0)
        err = insert(base, ev);
    if (err < 0 || timeout_ns < 0)
        return err;
    if (ev->events & EV_PERSIST)
        ev->interval_ns = timeout_ns;
    if ((ev->io.task.state & EVLIST_ACTIVE) && (ev->io.task.res & EV_TIMEOUT))
        deactivate(base, ev); /* the old timeout is not to be heard of */
    start_timer(base, ev, pe_base_now(base) + timeout_ns);
    return 0;
}

int event_add(struct event *ev, const struct timeval *timeout) {
    int64_t ns = -1;
    int err;

    if (timeout != NULL) {
        ns = pe_ns_from_timeval(timeout);
        if (ns < 0)
            ns = 0; /* what is left until a time that has passed */
    }
    err = pe_event_add_ns(ev, ns);
    return err < 0 ? pe_fail(err) : 0;
}

void pe_event_forget(struct event *ev) {
    deactivate(ev->base, ev);
    stop_timer(ev->base, ev);
    ev->interval_ns = 0;
    extract(ev->base, ev);
}

int event_del(struct event *ev) {
    if (!pe_debug_check(ev, "event_del"))
        return pe_fail(-EINVAL);
    if (!(ev->io.task.state & EVLIST_INIT) || ev->base == NULL)
        return pe_fail(-EINVAL);
    if (!(ev->io.task.state & EVLIST_FINALIZING)) /* else there is only its finalizer */
        pe_event_forget(ev);
    return 0;
}

int event_del_noblock(struct event *ev) {
    return event_del(ev);
}

int event_del_block(struct event *ev) {
    return event_del(ev);
}

int event_remove_timer(struct event *ev) {
    if (!(ev->io.task.state & EVLIST_INIT) || ev->base == NULL)
        return pe_fail(-EINVAL);
    stop_timer(ev->base, ev);
    ev->interval_ns = 0;
    return 0;
}

/* --- happening -------------------------------------------------------------- */

static void event_fire(struct event_base *base, struct pe_timer *timer) {
    struct event *ev = pe_container(timer, struct event, timer);

    ev->io.task.state &= (uint8_t)~EVLIST_TIMEOUT;
    if (!pe_task_is_queued(&ev->io.task))
        ev->calls = 0; /* no signal yet */
    pe_task_activate(base, &ev->io.task, EV_TIMEOUT);
}

static void activate_calls(struct event_base *base, struct event *ev, short res, int calls) {
    if (!pe_task_is_queued(&ev->io.task))
        ev->calls = calls;
    else
        ev->calls = ev->calls <= INT_MAX - calls ? ev->calls + calls : INT_MAX;
    pe_task_activate(base, &ev->io.task, res);
}

void event_active(struct event *ev, int res, short ncalls) {
    if (!pe_debug_check(ev, "event_active"))
        return;
    if (!(ev->io.task.state & EVLIST_INIT) || ev->base == NULL ||
        (ev->io.task.state & EVLIST_FINALIZING))
        return;
    activate_calls(ev->base, ev, (short)res, (ev->events & EV_SIGNAL) && ncalls > 0 ? ncalls : 1);
}

void pe_event_signalled(struct event_base *base, struct event *ev, unsigned n) {
    activate_calls(base, ev, EV_SIGNAL, n > INT_MAX ? INT_MAX : (int)n);
}

void pe_event_drop_signals(struct event *ev) {
    struct event_base *base = ev->base;

    if (!pe_task_is_queued(&ev->io.task) || !(ev->io.task.res & EV_SIGNAL))
        return;
    ev->io.task.res &= (short)~EV_SIGNAL;
    ev->calls = 1;
    if (ev->io.task.res == 0)
        pe_task_cancel(base, &ev->io.task);
}

/* The next deadline of a persistent event that is about to be called. */
static void rearm(struct event_base *base, struct event *ev) {
    int64_t now, due;

    if (ev->interval_ns == 0)
        return;
    if (ev->io.task.res == EV_TIMEOUT && pe_timer_is_set(&ev->timer))
        return; /* made active by hand: its time is still to come */
    now = pe_base_now(base);
    due = now + ev->interval_ns;
    if (ev->io.task.res & EV_TIMEOUT) {
        /* Counted from the last deadline, so that it does not drift; ticks
         * that were missed altogether are dropped. */
        due = ev->timer.node.key + ev->interval_ns;
        if (due < now)
            due = now + ev->interval_ns;
    }
    /* Its place in the heap was there before: only if others took all the room
     * and memory is out does the timeout lapse. */
    if (pe_timer_set(base, &ev->timer, due) == 0)
        ev->io.task.state |= EVLIST_TIMEOUT;
    else
        pe_log_error("event %p: out of memory, its timeout has lapsed", (void *)ev);
}

/* One call for each signal caught, until the event is deleted: that, and only
 * that, clears EVLIST_SIGNAL and `calls_left` together. In the last call, after
 * which nothing of the event is touched, the bit is off. */
static void run_signal(struct event_base *base, struct event *ev, short what) {
    event_callback_fn callback = ev->callback;
    evutil_socket_t fd = ev->io.task.fd;
    void *arg = ev->arg;

    base->calls_left = ev->calls > 0 ? ev->calls : 1;
    while (base->calls_left > 0) {
        if (--base->calls_left > 0)
            ev->io.task.state |= EVLIST_SIGNAL;
        else
            ev->io.task.state &= (uint8_t)~EVLIST_SIGNAL;
        callback(fd, what, arg);
        if (base->calls_left > 0 && base->wants_break) {
            ev->io.task.state &= (uint8_t)~EVLIST_SIGNAL;
            activate_calls(base, ev, what, base->calls_left); /* stays due */
            return;
        }
    }
}

static void event_run(struct event_base *base, struct pe_task *task) {
    struct event *ev = pe_container(task, struct event, io.task);

    if (ev->events & EV_PERSIST)
        rearm(base, ev);
    else if (task->state & PENDING)
        pe_event_forget(ev);
    if (ev->callback == NULL)
        return;
    base->running_event = ev;
    if (ev->events & EV_SIGNAL)
        run_signal(base, ev, task->res);
    else
        ev->callback(task->fd, task->res, ev->arg);
}

struct event *event_base_get_running_event(struct event_base *base) {
    return base->running_event;
}

/* --- finalizing ------------------------------------------------------------- */

/* The last call for an event, from the loop: no callback of it runs any more. */
void pe_event_run_finalizer(struct event_base *base, struct pe_task *task) {
    struct event *ev = pe_container(task, struct event, io.task);
    event_finalize_callback_fn callback = (event_finalize_callback_fn)(void (*)(void))ev->callback;
    bool frees = ev->calls != 0;

    (void)base;
    if (!frees)
        ev->io.task.run = event_run; /* the callback may free it */
    callback(ev, ev->arg);
    if (frees)
        free_memory(ev);
}

/* Its base goes without it. */
void pe_event_drop_finalizer(struct event_base *base, struct pe_task *task) {
    struct event *ev = pe_container(task, struct event, io.task);

    pe_task_cancel(base, task);
    task->run = event_run;
    if (ev->calls != 0)
        free_memory(ev);
}

static int finalize(struct event *ev, event_finalize_callback_fn cb, bool frees) {
    if (!pe_debug_check(ev, "event_finalize"))
        return pe_fail(-EINVAL);
    if (!(ev->io.task.state & EVLIST_INIT) || ev->base == NULL || cb == NULL ||
        (ev->io.task.state & EVLIST_FINALIZING))
        return pe_fail(-EINVAL);
    pe_event_forget(ev);
    ev->io.task.state |= EVLIST_FINALIZING;
    ev->callback = (event_callback_fn)(void (*)(void))cb;
    ev->calls = frees;
    ev->io.task.run = pe_event_run_finalizer;
    pe_task_activate(ev->base, &ev->io.task, 0);
    return 0;
}

int event_finalize(unsigned flags, struct event *ev, event_finalize_callback_fn cb) {
    (void)flags;
    return finalize(ev, cb, false);
}

int event_free_finalize(unsigned flags, struct event *ev, event_finalize_callback_fn cb) {
    (void)flags;
    return finalize(ev, cb, true);
}
