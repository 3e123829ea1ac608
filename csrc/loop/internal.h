/* internal.h - struct event_base, and what the files of loop/ share.
 *
 * Nothing outside loop/ includes this.
 */
#ifndef PE_LOOP_INTERNAL_H
#define PE_LOOP_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/heap.h"
#include "base/intmap.h"
#include "base/list.h"
#include "loop/backend.h"
#include "loop/base.h"
#include "loop/debug.h"

#define PE_EVENT_IO (EV_READ | EV_WRITE | EV_CLOSED) /* what an fd can tell */

/* For what both kinds of turn are made of, the counted one and the other. */
#define PE_ALWAYS_INLINE static inline __attribute__((always_inline))

struct pe_signals;
struct pe_stats;
struct pe_common_timeout;

/* The active tasks of one priority. */
struct pe_queue {
    struct pe_link tasks;
    unsigned count;
};

struct pe_extension {
    struct pe_extension *next;
    const void *key;
    void *value;
    void (*destroy)(void *value);
    void (*mend)(void *value); /* NULL: nothing to do */
};

struct event_base {
    struct pe_backend backend;

    /* iomap.c: the watchers by fd, and the fds whose mask the kernel does not
     * have yet. There is room in `changes` for every fd in use, so queueing a
     * change never fails. */
    struct pe_intmap fds;
    int *changes;
    int change_count, change_cap;
    int fds_in_use; /* known to the backend, or with watchers */
    int io_count;   /* watchers with an interest, internal ones left out */
    struct pe_link unwatched; /* events for what happens to no descriptor: fd -1 */
    bool needs_rebuild; /* a stale registration cannot be removed */
    uint64_t stale, stale_before; /* one such of this wait, and of the last; 0: none */

    struct pe_heap timers;

    /* task.c */
    struct pe_queue *queues; /* by priority, 0 the most urgent */
    int queue_count;
    int active_count; /* in all queues together */
    int running_pri;  /* of the queue being run; queue_count while none is */
    struct event *running_event; /* its address only: its callback may free it */
    int calls_left; /* of a signal event that runs: calls still to make */
    struct pe_link later; /* become active at the start of the next turn */
    struct pe_link flush;
    struct pe_link flushing;   /* what is still to do of a list that is being run */
    struct pe_flush *in_flush; /* the item that is called now; NULL: none */

    /* turn.c */
    bool is_running;  /* inside event_base_loop ... */
    bool is_closing;  /* or inside event_base_free ... */
    pthread_t runner; /* ... in this thread */
    bool is_waiting;  /* ... and in the kernel: a change must wake it */
    bool wants_break, wants_exit, wants_continue;
    bool has_more; /* the turn has left callbacks that are due */
    bool keeps_fresh_time; /* EVENT_BASE_FLAG_NO_CACHE_TIME */
    int64_t now;      /* of this turn, once somebody asked; 0: not known */
    int64_t wall, wall_now; /* the time of day that belongs to `wall_now` */
    int64_t last_release; /* when the wait hooks last ran */
    void (*before_wait)(void *);
    void (*after_wait)(void *);
    void *hooks_arg;

    /* Limits of event_config_set_max_dispatch_interval; INT64_MAX, INT_MAX:
     * none. They hold from priority `limited_from` on. */
    int64_t max_interval;
    int max_callbacks;
    int limited_from;

    /* wake.c */
    int wake_fds[2]; /* an eventfd and -1, or a pipe; [0] is read */
    struct pe_io wake_io;
    bool wake_is_pending;
    int selfpipe_fds[2]; /* [0] is read; -1: not open */
    struct pe_io selfpipe_io;
    void (*selfpipe_notice)(void *arg, const unsigned char *bytes, size_t n);
    void *selfpipe_arg;

    /* signal.c */
    struct pe_signals *signals; /* NULL until the first signal event */
    int signal_count;           /* signal events that are added */

    struct pe_stats *stats; /* NULL: nobody has asked for them */
    struct pe_common_timeout *common_timeouts;

    /* watch.c */
    struct pe_link prepare_watchers, check_watchers;
    struct pe_link watcher_marker; /* in the list that is being run */
    uint64_t watcher_run; /* how often a list of them has been run */

    bool has_events; /* somebody has set up one for it */
    int virtual_count;
    int max_added, max_active, max_virtual; /* high-water marks */
    struct pe_link once; /* events of event_base_once */
    struct pe_extension *extensions;

    /* fork.c */
    struct pe_link all_bases;
    pid_t pid; /* the process whose descriptors it has */
    bool was_forked; /* in a child, with no descriptors: revive before use */
};

/* Have the lines around `p` on their way into the cache: all of a struct event that begins
 * there, and the beginning of the object that it is mostly part of. With many events
 * the next one is else waited for each time. */
static inline void pe_fetch_around(const void *p) {
    const uintptr_t at = (uintptr_t)p;

    __builtin_prefetch((const void *)(at - 64), 1);
    __builtin_prefetch(p, 1);
    __builtin_prefetch((const void *)(at + 64), 1);
    __builtin_prefetch((const void *)(at + sizeof(struct event) - 1), 1);
}

/* --- iomap.c -------------------------------------------------------------- */

int pe_iomap_open(struct event_base *base);
void pe_iomap_close(struct event_base *base);

/* Give the kernel what has changed since the last wait. */
void pe_iomap_apply(struct event_base *base);

/* Activate the watchers of `n` results. */
void pe_iomap_deliver(struct event_base *base, const struct pe_ready *ready, int n);

/* Tell a backend that was opened anew about everything. */
void pe_iomap_register_all(struct event_base *base);

/* A new kernel set in place of one with a registration that cannot be removed. */
void pe_iomap_rebuild(struct event_base *base);

/* Call `fn` for each watcher, or for each of one fd, until it answers something
 * else than 0: that, or 0. `fn` changes no watcher. */
int pe_iomap_foreach(struct event_base *base, int (*fn)(struct pe_io *io, void *arg), void *arg);
int pe_iomap_foreach_of(struct event_base *base, int fd, int (*fn)(struct pe_io *io, void *arg),
                        void *arg);

/* --- task.c, timer.c -------------------------------------------------------- */

int pe_queues_open(struct event_base *base, int n);
void pe_queues_close(struct event_base *base);
void pe_queues_take_later(struct event_base *base);
void pe_queues_finalize(struct event_base *base); /* run the finalizers that are due */

/* Run one level of priority: how many callbacks ran. */
int pe_queues_run(struct event_base *base);
int pe_queues_run_counted(struct event_base *base); /* the same into base->stats */

void pe_flush_run(struct event_base *base);
void pe_flush_mend(struct event_base *base);

void pe_timers_run_due(struct event_base *base);
void pe_timers_close(struct event_base *base);

/* --- wake.c, signal.c, fork.c, event.c -------------------------------------- */

int pe_wake_open(struct event_base *base);
void pe_wake_close(struct event_base *base);

int pe_signal_add(struct event_base *base, struct event *ev);
void pe_signal_del(struct event_base *base, struct event *ev);
void pe_signals_deliver(struct event_base *base);
void pe_signals_detach_fd(struct event_base *base); /* about to be closed */
void pe_signals_attach_fd(struct event_base *base);
void pe_signals_close(struct event_base *base);
void pe_signals_mend(struct event_base *base);
int pe_signals_foreach(struct event_base *base, int (*fn)(struct pe_io *io, void *arg), void *arg);
void pe_signals_activate(struct event_base *base, int signo); /* as if it came once */
void pe_common_timeouts_close(struct event_base *base);

void pe_bases_add(struct event_base *base);
void pe_bases_remove(struct event_base *base);

/* In a forked child: descriptors of its own again. 0 or -errno. */
int pe_base_revive(struct event_base *base);

/* `ev` got `n` signals. */
void pe_event_signalled(struct event_base *base, struct event *ev, unsigned n);

/* The base goes away: the event is no longer pending nor active. */
void pe_event_forget(struct event *ev);

/* In a child: signals that the parent has caught are not for its events. */
void pe_event_drop_signals(struct event *ev);
struct event *pe_event_of_io(struct pe_io *io);          /* NULL: no event's */
struct event *pe_event_of_task(struct pe_task *task);    /* NULL: no event's */
struct event *pe_event_of_timer(struct pe_timer *timer); /* NULL: no event's */
void pe_event_run_finalizer(struct event_base *base, struct pe_task *task);
void pe_event_drop_finalizer(struct event_base *base, struct pe_task *task);
void pe_event_free_once(struct event_base *base);
void pe_event_forget_unwatched(struct event_base *base);

static inline int pe_base_added_count(const struct event_base *base) {
    return base->io_count + base->signal_count + (int)pe_heap_count(&base->timers);
}

/* Something that was waited for is not any more: another thread may have taken
 * away the last, and then the loop is to end. */
static inline void pe_base_note_removed(struct event_base *base) {
    if (base->is_waiting && pe_base_added_count(base) == 0)
        pe_base_wake(base);
}

static inline void pe_base_note_event(struct event_base *base) {
    if (base->has_events)
        return;
    base->has_events = true;
    pe_debug_count_base(1);
}

static inline void pe_base_note_added(struct event_base *base) {
    int n = pe_base_added_count(base);

    if (n > base->max_added)
        base->max_added = n;
}

#endif
