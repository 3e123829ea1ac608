/* base.h - the loop's inner face: what streams and other layers above use.
 *
 * An event_base owns one backend, the fd map, the timers, the active queues
 * and the flush list. One turn of it:
 *
 *     later -> active | prepare | timeout | changes to the kernel |
 *     before-hook | WAIT | after-hook | harvest -> active | check |
 *     due timers -> active | run active by priority | flush list
 *
 * Three intrusive things take part, all owned by whoever embeds them:
 *   pe_task   something to run; pe_task_activate() queues it
 *   pe_io     a task that an fd's readiness activates; pe_io_set()
 *   pe_timer  a function called when its deadline has passed; pe_timer_set()
 * (declared in event2/event_struct.h). An event is made of a pe_io and a
 * pe_timer; a bufferevent holds one pe_io for both directions.
 *
 * Threads: one at a time in here; the loop is outside between its wait
 * hooks. What changes something while the loop waits wakes it. Before every
 * call out all structures are consistent, after it nothing is assumed.
 */
#ifndef PE_LOOP_BASE_H
#define PE_LOOP_BASE_H

#include <stdbool.h>
#include <stdint.h>

#include "event2/event.h"
#include "event2/event_struct.h"

/* --- tasks -------------------------------------------------------------- */

/* A task in no queue, run by `run`, of priority `pri`. */
void pe_task_init(struct pe_task *task, void (*run)(struct event_base *, struct pe_task *), int pri);

/* Queue it with the bits `res`; a queued one only gets the bits added. The
 * loop takes it out of the queue before it calls `run`, which finds the bits
 * in task->res and may free what the task is part of. */
void pe_task_activate(struct event_base *base, struct pe_task *task, short res);

/* The same for the next turn: after the kernel was asked once more. */
void pe_task_activate_later(struct event_base *base, struct pe_task *task, short res);

/* Take it out of its queue, if it is in one. */
void pe_task_cancel(struct event_base *base, struct pe_task *task);

static inline bool pe_task_is_queued(const struct pe_task *task) {
    return (task->state & (EVLIST_ACTIVE | EVLIST_ACTIVE_LATER)) != 0;
}

/* --- descriptors -------------------------------------------------------- */

/* A watcher of `fd` that waits for nothing yet. */
void pe_io_init(struct pe_io *io, int fd, void (*run)(struct event_base *, struct pe_task *), int pri);

/* Wait for the EV_READ | EV_WRITE | EV_CLOSED | EV_ET bits `want` from now on
 * (0: for nothing). Readiness activates io->task with the bits that came; the
 * watcher stays until changed. 0, or -errno with nothing changed: -EBADF and
 * -EPERM are the kernel's for an fd it has not known, -ENOMEM, -EMFILE for
 * more than 65535 watchers of one kind on an fd. Taking bits away never fails.
 * Does not touch an activation that is queued already. */
int pe_io_set(struct event_base *base, struct pe_io *io, short want);

/* To be called by whoever closes `fd`, after its watchers are gone and before
 * the close: a removal that still waits goes to the kernel now. */
void pe_io_forget(struct event_base *base, int fd);

/* --- timers ------------------------------------------------------------- */

void pe_timer_init(struct pe_timer *timer, void (*fire)(struct event_base *, struct pe_timer *));

/* Fire at `due_ns` of pe_clock_now(); moves a timer that is set already.
 * 0 or -ENOMEM (never for one that is set, or after pe_timer_reserve). */
int pe_timer_set(struct event_base *base, struct pe_timer *timer, int64_t due_ns);
void pe_timer_cancel(struct event_base *base, struct pe_timer *timer);
bool pe_timer_is_set(const struct pe_timer *timer);

/* The time of this turn's wake-up inside callbacks, else a fresh reading. */
int64_t pe_base_now(struct event_base *base);

/* --- flushing ----------------------------------------------------------- */

/* One entry of the flush list: `flush` is called once at the end of the turn
 * (or before the loop returns), out of the list; what it puts into the list
 * then belongs to the next turn, which does not wait. */
struct pe_flush {
    struct pe_link link;
    void (*flush)(struct event_base *base, struct pe_flush *item);
};

void pe_flush_init(struct pe_flush *item, void (*flush)(struct event_base *, struct pe_flush *));
void pe_flush_add(struct event_base *base, struct pe_flush *item); /* once is enough */
void pe_flush_cancel(struct event_base *base, struct pe_flush *item);

/* --- events ------------------------------------------------------------- */

/* event_add with a timeout in ns; negative: none. 0 or -errno. */
int pe_event_add_ns(struct event *ev, int64_t timeout_ns);

/* Neither pending nor active (which event_pending cannot tell of an event that
 * is active with no bit), nor to be called once more for a further signal:
 * only then may its memory go without event_del. */
bool pe_event_is_idle(const struct event *ev);

/* --- the base ----------------------------------------------------------- */

/* Something that a layer above keeps per base (a pool of segments ...). `key`
 * is the address of a static of that layer. Freed by `destroy` when the base
 * is freed, after its events are gone. */
void *pe_base_extension(struct event_base *base, const void *key);
int pe_base_set_extension(struct event_base *base, const void *key, void *value,
                          void (*destroy)(void *value));

/* `mend` is called with the value of that key in a forked child, before the base is
 * used there, to end what threads that are not there were in the middle of. It calls
 * nothing out. */
void pe_base_mend_extension(struct event_base *base, const void *key, void (*mend)(void *value));

/* Wake the loop if it waits; from any thread that may be in the library. */
void pe_base_wake(struct event_base *base);

bool pe_base_is_running(const struct event_base *base);

/* Whether somebody has called loopbreak: no further callback in this loop. */
bool pe_base_is_breaking(const struct event_base *base);

/* How many things keep the loop from ending for want of events, added by
 * something that is no event (a lookup under way ...). */
void pe_base_add_virtual(struct event_base *base);
void pe_base_del_virtual(struct event_base *base);

#endif
