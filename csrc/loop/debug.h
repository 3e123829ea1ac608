/* debug.h - event_enable_debug_mode: which memory holds an event.
 *
 * Off, each check costs one load and a branch.
 */
#ifndef PE_LOOP_DEBUG_H
#define PE_LOOP_DEBUG_H

#include <stdatomic.h>
#include <stdbool.h>

struct event;

extern atomic_bool pe_debug_on;

static inline bool pe_debug_is_on(void) {
    return atomic_load_explicit(&pe_debug_on, memory_order_relaxed);
}

/* `ev` is set up, or gone. 0, or -ENOMEM. */
int pe_debug_assigned(const struct event *ev);
void pe_debug_unassigned(const struct event *ev);

/* Whether `ev` is known to be set up. */
bool pe_debug_knows(const struct event *ev);

/* Whether `ev` was set up; if not, `function` has been called with something
 * else, which is logged. True while the mode is off. */
bool pe_debug_check_known(const struct event *ev, const char *function);

static inline bool pe_debug_check(const struct event *ev, const char *function) {
    return !pe_debug_is_on() || pe_debug_check_known(ev, function);
}

/* What event_enable_debug_mode does: 0, or -EBUSY while a base lives that has had
 * events. Bases of that kind come (1) and go (-1). */
int pe_debug_enable(void);
void pe_debug_count_base(int n);

/* Free the table; libevent_global_shutdown. */
void pe_debug_shutdown(void);

#endif
