/* calls.h - the calls that are calling out for one object, innermost first.
 *
 * Each has a struct pe_call on its stack, in a list of the object:
 *
 *     object.calls -> innermost -> ... -> outermost -> NULL
 *
 * so that the object, when it goes, can tell all of them (`gone`), and so that a
 * forked child knows which of them will never end: those of threads that it does
 * not have. Calls of several threads need not end in the order they began. Not locked:
 * the owner's rules apply.
 */
#ifndef PE_BASE_CALLS_H
#define PE_BASE_CALLS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct pe_call {
    struct pe_call *outer;
    pthread_t thread;
    bool gone; /* the object was freed in it */
};

static inline void pe_calls_enter(struct pe_call **calls, struct pe_call *call) {
    call->gone = false;
    call->thread = pthread_self();
    call->outer = *calls;
    *calls = call;
}

/* Not of an object that is gone. */
static inline void pe_calls_leave(struct pe_call **calls, const struct pe_call *call) {
    struct pe_call **at = calls;

    while (*at != call)
        at = &(*at)->outer;
    *at = call->outer;
}

/* In a forked child, before it starts a thread: the stacks of those that are not here
 * still lie where they were. Leaves only calls of this one: how many. */
static inline unsigned pe_calls_mend(struct pe_call **calls) {
    struct pe_call **at = calls;
    unsigned n = 0;

    while (*at != NULL) {
        if (pthread_equal((*at)->thread, pthread_self())) {
            at = &(*at)->outer;
            n++;
        } else {
            *at = (*at)->outer;
        }
    }
    return n;
}

#endif
