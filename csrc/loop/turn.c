/* turn.c - the turning of the loop: wait, hand out, run; and how it is ended.
 *
 * See loop/base.h for the order of things in one turn. The wait is the only
 * place where other threads may be inside: between the two hooks
 * `is_waiting` is set, and whatever they change wakes the loop.
 */
#include "loop/internal.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/errors.h"
#include "base/log.h"
#include "loop/stats.h"
#include "loop/watch.h"

#define HARVEST 64
/* The longest without the hooks. Well above the 5 ms after which a thread that
 * waits for Python's GIL insists on it: a release before that only makes it
 * wait anew, since we have the GIL back before it has woken up. */
#define RELEASE_EVERY_NS (20 * PE_NS_PER_MS)

void event_base_set_wait_hooks(struct event_base *base, void (*before)(void *),
                               void (*after)(void *), void *arg) {
    base->before_wait = before;
    base->after_wait = after;
    base->hooks_arg = arg;
}

static bool has_callbacks(const struct event_base *base) {
    return base->active_count != 0 || !pe_list_empty(&base->later);
}

static bool has_work(const struct event_base *base) {
    return has_callbacks(base) || !pe_list_empty(&base->flush);
}

static bool is_empty(const struct event_base *base) {
    return pe_base_added_count(base) == 0 && base->virtual_count == 0 && !has_work(base);
}

/* How long the kernel may keep us. */
static int64_t wait_limit(struct event_base *base, int flags) {
    struct pe_heap_node *first;
    int64_t left;

    if ((flags & EVLOOP_NONBLOCK) || has_work(base))
        return 0;
    first = pe_heap_first(&base->timers);
    if (first == NULL)
        return -1;
    left = first->key - pe_clock_now();
    return left > 0 ? left : 0;
}

/* Whether the hooks must be called around this wait. */
static bool must_release(struct event_base *base, int64_t timeout_ns) {
    int64_t now;

    if (base->before_wait == NULL)
        return false;
    if (timeout_ns != 0)
        return true;
    now = pe_clock_now();
    if (now - base->last_release < RELEASE_EVERY_NS)
        return false;
    base->last_release = now;
    return true;
}

PE_ALWAYS_INLINE int wait_for_kernel(struct event_base *base, int64_t timeout_ns) {
    bool releases = must_release(base, timeout_ns);
    int n = 0;

    base->is_waiting = timeout_ns != 0 || releases;
    if (releases)
        base->before_wait(base->hooks_arg);
    if (!base->was_forked) /* in the hook: the child has nothing to wait with */
        n = base->backend.ops->wait(&base->backend, timeout_ns);
    if (releases)
        base->after_wait(base->hooks_arg);
    base->is_waiting = false;
    if (n < 0)
        pe_log_warn("%s: %s", base->backend.ops->name, strerror(-n));
    return n;
}

/* How many results there were. */
PE_ALWAYS_INLINE uint32_t harvest(struct event_base *base) {
    struct pe_ready ready[HARVEST];
    uint32_t total = 0;
    int n;

    if (base->was_forked)
        return 0; /* forked in a hook: the child has nothing to harvest */
    base->stale_before = base->stale;
    base->stale = 0;
    do {
        n = base->backend.ops->harvest(&base->backend, ready, HARVEST);
        pe_iomap_deliver(base, ready, n);
        total += (uint32_t)n;
    } while (n == HARVEST);
    if (base->needs_rebuild)
        pe_iomap_rebuild(base);
    return total;
}

/* Run what is due, and write what it left: how many callbacks ran. What the
 * flush makes due belongs to the next turn, unless there was nothing else. */
PE_ALWAYS_INLINE int run_due(struct event_base *base, bool counts) {
    int ran = 0;

    if (base->active_count != 0)
        ran = counts ? pe_queues_run_counted(base) : pe_queues_run(base);

    base->has_more = has_callbacks(base);
    if (!pe_list_empty(&base->flush)) {
        if (counts)
            base->stats->flushes++;
        pe_flush_run(base);
        if (ran++ == 0)
            base->has_more = has_callbacks(base);
    }
    return ran;
}

/* The second half of a turn, from the wait on: how many callbacks ran, or -errno. */
PE_ALWAYS_INLINE int wait_and_run(struct event_base *base, int64_t timeout_ns) {
    int n = wait_for_kernel(base, timeout_ns);

    if (n < 0)
        return n;
    (void)harvest(base);
    pe_watchers_run_check(base);
    pe_timers_run_due(base);
    if (base->wants_break)
        return 0; /* in a hook or a check watcher: what is active stays so */
    return run_due(base, false);
}

/* The same for a base that keeps statistics: apart, so that one branch is all
 * that a turn of any other pays for them. */
__attribute__((noinline)) static int wait_and_run_counted(struct event_base *base, int64_t timeout_ns) {
    struct pe_stats *stats = base->stats;
    uint64_t before = stats->callbacks;
    int64_t start = pe_clock_now();
    int n = wait_for_kernel(base, timeout_ns);
    uint32_t ready;

    stats->turns++;
    stats->waits += timeout_ns != 0;
    stats->wait_ns += (uint64_t)(pe_clock_now() - start);
    if (n < 0)
        return n;
    ready = harvest(base);
    if (ready > stats->most_ready)
        stats->most_ready = ready;
    pe_watchers_run_check(base);
    pe_timers_run_due(base);
    if (base->wants_break)
        return 0;
    start = pe_clock_now();
    n = run_due(base, true);
    stats->callbacks_ns += (uint64_t)(pe_clock_now() - start);
    if (stats->callbacks < before)
        before = 0; /* a callback has started them anew */
    if (stats->callbacks - before > stats->most_callbacks)
        stats->most_callbacks = (uint32_t)(stats->callbacks - before);
    return n;
}

/* One turn: how many callbacks ran, or -errno. */
static int turn(struct event_base *base, int flags) {
    int64_t timeout_ns;
    int err;

    base->has_more = true; /* if it is cut short */
    if (base->was_forked) {
        err = pe_base_revive(base);
        if (err < 0)
            return err;
    }
    pe_queues_take_later(base);
    pe_iomap_apply(base); /* first: a refusal activates watchers */
    timeout_ns = wait_limit(base, flags);
    if (!pe_list_empty(&base->prepare_watchers)) {
        pe_watchers_run_prepare(base, timeout_ns);
        if (base->wants_break || base->was_forked)
            return 0;
        pe_iomap_apply(base);
        timeout_ns = wait_limit(base, flags);
    }
    base->now = 0;
    return base->stats == NULL ? wait_and_run(base, timeout_ns)
                               : wait_and_run_counted(base, timeout_ns);
}

/* Done when no callback is left: with EVLOOP_ONCE after a turn that ran some,
 * with EVLOOP_NONBLOCK after one that had none to run, with both after either.
 * Were those waited for that come of flushing, a stream that writes in each of
 * its write callbacks would keep the loop for ever. */
static bool is_done(const struct event_base *base, int flags, int ran) {
    return !base->has_more && (flags & (ran > 0 ? EVLOOP_ONCE : EVLOOP_NONBLOCK));
}

static int turn_until_done(struct event_base *base, int flags) {
    int ran;

    for (;;) {
        base->wants_continue = false;
        if (base->wants_exit || base->wants_break)
            return 0;
        if (!(flags & EVLOOP_NO_EXIT_ON_EMPTY) && is_empty(base))
            return 1;
        ran = turn(base, flags);
        if (ran < 0)
            return pe_fail(ran);
        if (!base->wants_exit && !base->wants_break && is_done(base, flags, ran))
            return 0;
    }
}

int event_base_loop(struct event_base *base, int flags) {
    int result, saved;

    if (base->is_running || base->is_closing) {
        pe_log_warn(base->is_running
                        ? "event_base_loop: base %p is running already; one loop at a time"
                        : "event_base_loop: base %p is being freed",
                    (void *)base);
        return pe_fail(-EBUSY);
    }
    base->is_running = true;
    base->runner = pthread_self();
    base->wants_exit = base->wants_break = false;
    result = turn_until_done(base, flags);
    saved = errno;
    pe_flush_run(base); /* what was written is not left lying */
    base->now = 0;
    base->is_running = false;
    errno = saved;
    return result;
}

int event_base_dispatch(struct event_base *base) {
    return event_base_loop(base, 0);
}

/* --- ending it ------------------------------------------------------------------ */

static void exit_now(evutil_socket_t fd, short what, void *arg) {
    struct event_base *base = arg;

    (void)fd;
    (void)what;
    base->wants_exit = true;
}

int event_base_loopexit(struct event_base *base, const struct timeval *tv) {
    return event_base_once(base, -1, EV_TIMEOUT, exit_now, base, tv);
}

int event_base_loopbreak(struct event_base *base) {
    if (base == NULL)
        return pe_fail(-EINVAL);
    base->wants_break = true;
    if (base->is_waiting)
        pe_base_wake(base);
    return 0;
}

int event_base_loopcontinue(struct event_base *base) {
    if (base == NULL)
        return pe_fail(-EINVAL);
    base->wants_continue = true;
    if (base->is_waiting)
        pe_base_wake(base);
    return 0;
}

int event_base_got_exit(struct event_base *base) {
    return base->wants_exit;
}

int event_base_got_break(struct event_base *base) {
    return base->wants_break;
}
