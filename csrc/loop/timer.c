/* timer.c - timers of a base: a heap of deadlines on the monotonic clock.
 *
 * A timer fires in the turn in which its deadline has passed, never before;
 * equal deadlines in the order in which they were set. Setting one that is
 * set already moves it in the heap.
 */
#include "loop/internal.h"

#include <errno.h>

#include "base/clock.h"

void pe_timer_init(struct pe_timer *timer,
                   void (*fire)(struct event_base *, struct pe_timer *)) {
    pe_heap_node_init(&timer->node);
    timer->fire = fire;
}

bool pe_timer_is_set(const struct pe_timer *timer) {
    return pe_heap_has(&timer->node);
}

int pe_timer_set(struct event_base *base, struct pe_timer *timer, int64_t due_ns) {
    int err;

    if (pe_heap_has(&timer->node)) {
        pe_heap_rekey(&base->timers, &timer->node, due_ns);
    } else {
        timer->node.key = due_ns;
        err = pe_heap_push(&base->timers, &timer->node);
        if (err < 0)
            return err;
        pe_base_note_added(base);
    }
    if (base->is_waiting && pe_heap_first(&base->timers) == &timer->node)
        pe_base_wake(base); /* it waits for something later */
    return 0;
}

void pe_timer_cancel(struct event_base *base, struct pe_timer *timer) {
    if (!pe_heap_has(&timer->node))
        return;
    pe_heap_remove(&base->timers, &timer->node);
    pe_base_note_removed(base);
}

/* One of the first's children comes next: get them all. */
static void fetch_next(const struct pe_heap *timers) {
    for (uint32_t i = 1; i <= PE_HEAP_FANOUT && i < timers->count; i++)
        pe_fetch_around(timers->slots[i].node);
}

void pe_timers_run_due(struct event_base *base) {
    struct pe_heap_node *node = pe_heap_first(&base->timers);
    int64_t now;

    if (node == NULL)
        return;
    now = pe_base_now(base);
    for (; node != NULL && node->key <= now; node = pe_heap_first(&base->timers)) {
        struct pe_timer *timer = pe_container(node, struct pe_timer, node);

        pe_heap_remove(&base->timers, node);
        fetch_next(&base->timers);
        timer->fire(base, timer);
    }
}

void pe_timers_close(struct event_base *base) {
    struct pe_heap_node *node;

    while ((node = pe_heap_first(&base->timers)) != NULL) {
        struct event *ev = pe_event_of_timer(pe_container(node, struct pe_timer, node));

        if (ev != NULL)
            pe_event_forget(ev);
        else
            pe_heap_remove(&base->timers, node);
    }
    pe_heap_clear(&base->timers);
}
