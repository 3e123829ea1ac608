/* task.c - the active queues, and the flush list.
 *
 * A task waits its turn in the queue of its priority. One level of priority is
 * run per turn, the most urgent that has something, so that what becomes
 * ready meanwhile can overtake the less urgent; those may starve, by design.
 *
 * What a callback activates still runs in the same turn, as libevent's users
 * expect, up to TASK_EXTRA callbacks beyond those that were due when the
 * level began: a callback that activates itself cannot lock out the kernel.
 */
#include "loop/internal.h"

#include <errno.h>
#include <limits.h>

#include "base/clock.h"
#include "base/log.h"
#include "loop/stats.h"

#define TASK_EXTRA 256u

int pe_queues_open(struct event_base *base, int n) {
    struct pe_queue *queues = pe_calloc(PE_MEM_BASE, (size_t)n, sizeof(*queues));

    if (queues == NULL)
        return -ENOMEM;
    for (int i = 0; i < n; i++)
        pe_list_init(&queues[i].tasks);
    pe_free(PE_MEM_BASE, base->queues);
    base->queues = queues;
    base->queue_count = n;
    base->running_pri = n;
    return 0;
}

void pe_queues_close(struct event_base *base) {
    struct pe_link *link;

    pe_queues_take_later(base);
    for (int i = 0; i < base->queue_count; i++) {
        while (!pe_list_empty(&base->queues[i].tasks)) {
            struct pe_task *task =
                pe_container(base->queues[i].tasks.next, struct pe_task, link);

            struct event *ev = pe_event_of_task(task);

            if (ev != NULL)
                pe_event_forget(ev);
            else if (task->run == pe_event_run_finalizer)
                pe_event_drop_finalizer(base, task);
            else
                pe_task_cancel(base, task);
        }
    }
    pe_list_splice_back(&base->flush, &base->flushing);
    while ((link = pe_list_pop_front(&base->flush)) != NULL)
        continue;
    pe_free(PE_MEM_BASE, base->queues);
    base->queues = NULL;
}

void pe_task_init(struct pe_task *task, void (*run)(struct event_base *, struct pe_task *),
                  int pri) {
    pe_list_init(&task->link);
    task->run = run;
    task->fd = -1;
    task->res = 0;
    task->pri = (uint8_t)pri;
    task->state = 0;
}

/* A finalizer may bring about another one, but not for ever. */
void pe_queues_finalize(struct event_base *base) {
    int budget;

    pe_queues_take_later(base);
    budget = base->active_count + (int)TASK_EXTRA;
    for (int i = 0; i < base->queue_count; i++) {
        struct pe_link *head = &base->queues[i].tasks;
        struct pe_link *at = head->next;

        while (at != head) {
            struct pe_task *task = pe_container(at, struct pe_task, link);

            at = at->next;
            if (task->run != pe_event_run_finalizer)
                continue;
            if (budget-- == 0) {
                pe_log_warn("event_base_free: finalizers of base %p go on and on; the rest is "
                            "not called",
                            (void *)base);
                return;
            }
            pe_task_cancel(base, task);
            task->run(base, task);
            at = head->next; /* it may have changed anything */
        }
    }
}

static struct pe_queue *queue_of(struct event_base *base, const struct pe_task *task) {
    int pri = task->pri < base->queue_count ? task->pri : base->queue_count - 1;

    return &base->queues[pri];
}

static void enqueue(struct event_base *base, struct pe_task *task) {
    struct pe_queue *queue = queue_of(base, task);

    task->state |= EVLIST_ACTIVE;
    pe_list_push_back(&queue->tasks, &task->link);
    queue->count++;
    if (++base->active_count > base->max_active)
        base->max_active = base->active_count;
}

void pe_task_activate(struct event_base *base, struct pe_task *task, short res) {
    if (pe_task_is_queued(task)) {
        task->res |= res;
        return;
    }
    task->res = res;
    enqueue(base, task);
    if (task->pri < base->running_pri && base->running_pri < base->queue_count)
        base->wants_continue = true; /* more urgent than what runs now */
    if (base->is_waiting)
        pe_base_wake(base);
}

void pe_task_activate_later(struct event_base *base, struct pe_task *task, short res) {
    if (pe_task_is_queued(task)) {
        task->res |= res;
        return;
    }
    task->res = res;
    task->state |= EVLIST_ACTIVE_LATER;
    pe_list_push_back(&base->later, &task->link);
    if (base->is_waiting)
        pe_base_wake(base);
}

void pe_task_cancel(struct event_base *base, struct pe_task *task) {
    if (task->state & EVLIST_ACTIVE) {
        queue_of(base, task)->count--;
        base->active_count--;
    }
    task->state &= (uint8_t)~(EVLIST_ACTIVE | EVLIST_ACTIVE_LATER);
    pe_list_remove(&task->link);
}

void pe_queues_take_later(struct event_base *base) {
    struct pe_link *link;

    while ((link = pe_list_pop_front(&base->later)) != NULL) {
        struct pe_task *task = pe_container(link, struct pe_task, link);

        task->state &= (uint8_t)~EVLIST_ACTIVE_LATER;
        enqueue(base, task);
    }
}

static void count(struct pe_stats *stats, const struct pe_task *task) {
    stats->callbacks++;
    if (task->res & (EV_READ | EV_WRITE | EV_CLOSED))
        stats->io++;
    else if (task->res & EV_SIGNAL)
        stats->signals++;
    else if (task->res & EV_TIMEOUT)
        stats->timeouts++;
    else
        stats->others++;
}

/* Run the tasks of one queue: how many callbacks ran, internal ones left out.
 * `counts` is a constant wherever this is called, so that a base without
 * statistics does not ask for them at each callback. */
PE_ALWAYS_INLINE int run_queue(struct event_base *base, struct pe_queue *queue, bool is_limited,
                               bool counts) {
    unsigned budget = queue->count + TASK_EXTRA;
    int limit = is_limited ? base->max_callbacks : INT_MAX;
    int64_t end = INT64_MAX;
    int ran = 0;

    if (is_limited && base->max_interval != INT64_MAX)
        end = pe_clock_now() + base->max_interval;
    while (!pe_list_empty(&queue->tasks) && budget-- > 0) {
        struct pe_task *task = pe_container(queue->tasks.next, struct pe_task, link);

        pe_task_cancel(base, task);
        pe_fetch_around(queue->tasks.next->next); /* it has one callback's time */
        if (!(task->state & EVLIST_INTERNAL))
            ran++;
        if (counts)
            count(base->stats, task);
        task->run(base, task); /* which may free it */
        base->running_event = NULL;
        if (base->wants_break || base->wants_continue || ran >= limit)
            break;
        if (end != INT64_MAX && pe_clock_now() >= end)
            break;
    }
    return ran;
}

PE_ALWAYS_INLINE int run_level(struct event_base *base, bool counts) {
    int ran = 0;

    for (int pri = 0; pri < base->queue_count && ran == 0; pri++) {
        if (pe_list_empty(&base->queues[pri].tasks))
            continue;
        base->running_pri = pri;
        ran = run_queue(base, &base->queues[pri], pri >= base->limited_from, counts);
        if (base->wants_break || base->wants_continue)
            break;
    }
    base->running_pri = base->queue_count;
    return ran;
}

int pe_queues_run(struct event_base *base) {
    return run_level(base, false);
}

int pe_queues_run_counted(struct event_base *base) {
    return run_level(base, true);
}

void pe_flush_init(struct pe_flush *item, void (*flush)(struct event_base *, struct pe_flush *)) {
    pe_list_init(&item->link);
    item->flush = flush;
}

void pe_flush_add(struct event_base *base, struct pe_flush *item) {
    if (!pe_list_empty(&item->link))
        return;
    pe_list_push_back(&base->flush, &item->link);
    if (base->is_waiting)
        pe_base_wake(base);
}

void pe_flush_cancel(struct event_base *base, struct pe_flush *item) {
    if (base->in_flush == item)
        base->in_flush = NULL;
    pe_list_remove(&item->link);
}

void pe_flush_run(struct event_base *base) {
    struct pe_link *link;

    /* What a flush brings about belongs to the next turn: a list of its own. It and the
     * item that is out of it are the base's, so that a forked child finds them. */
    pe_list_splice_back(&base->flushing, &base->flush);
    while ((link = pe_list_pop_front(&base->flushing)) != NULL) {
        struct pe_flush *item = pe_container(link, struct pe_flush, link);

        base->in_flush = item;
        item->flush(base, item);
        base->in_flush = NULL;
    }
}

/* Who ran the list is not there any more: all of it is still to do. */
void pe_flush_mend(struct event_base *base) {
    struct pe_flush *item = base->in_flush;

    base->in_flush = NULL;
    if (item != NULL && pe_list_empty(&item->link))
        pe_list_push_front(&base->flushing, &item->link);
    pe_list_splice_back(&base->flushing, &base->flush);
    pe_list_splice_back(&base->flush, &base->flushing);
}
