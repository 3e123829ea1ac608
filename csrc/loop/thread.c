/* thread.c - event2/thread.h: there are no locks, and it says so. */
#include "event2/thread.h"

#include <errno.h>

#include "base/errors.h"

int evthread_use_pthreads(void) {
    return pe_fail(-ENOSYS);
}

int evthread_use_pthreads_with_flags(int flags) {
    (void)flags;
    return pe_fail(-ENOSYS);
}

int evthread_set_lock_callbacks(const struct evthread_lock_callbacks *cbs) {
    (void)cbs;
    return pe_fail(-ENOSYS);
}

int evthread_set_condition_callbacks(const struct evthread_condition_callbacks *cbs) {
    (void)cbs;
    return pe_fail(-ENOSYS);
}

void evthread_set_id_callback(unsigned long (*id_fn)(void)) {
    (void)id_fn;
}

void evthread_enable_lock_debugging(void) {
}

int evthread_make_base_notifiable(struct event_base *base) {
    return base != NULL ? 0 : pe_fail(-EINVAL);
}
