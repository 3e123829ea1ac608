/* once.c - event_base_once: an event that nobody has to keep.
 *
 * The event and what to call are one allocation, in a list of its base. It is
 * given back before the callback, or with the base.
 */
#include <errno.h>

#include "base/errors.h"
#include "loop/internal.h"

struct once {
    struct event ev;
    struct pe_link link; /* in event_base.once */
    event_callback_fn callback;
    void *arg;
};

static void free_once(struct once *once) {
    pe_list_remove(&once->link);
    event_debug_unassign(&once->ev);
    pe_free(PE_MEM_EVENT, once);
}

static void once_run(evutil_socket_t fd, short what, void *arg) {
    struct once *once = arg;
    event_callback_fn callback = once->callback;
    void *user_arg = once->arg;

    once->ev.base->running_event = NULL; /* no event of the user's */
    free_once(once);
    callback(fd, what, user_arg);
}

int event_base_once(struct event_base *base, evutil_socket_t fd, short what, event_callback_fn cb,
                    void *arg, const struct timeval *timeout) {
    struct once *once;
    int err = 0;

    if (base == NULL || cb == NULL || (what & (EV_SIGNAL | EV_PERSIST)) ||
        !(what & (EV_TIMEOUT | PE_EVENT_IO)))
        return pe_fail(-EINVAL);
    once = pe_malloc(PE_MEM_EVENT, sizeof(*once));
    if (once == NULL)
        return pe_fail(-ENOMEM);
    once->callback = cb;
    once->arg = arg;
    pe_list_init(&once->link);
    if (event_assign(&once->ev, base, fd, what, once_run, once) < 0)
        err = -errno; /* debug mode, without memory */
    else if (!(what & PE_EVENT_IO) && (timeout == NULL || !evutil_timerisset(timeout)))
        event_active(&once->ev, EV_TIMEOUT, 1); /* at once, in the order of calls */
    else if (event_add(&once->ev, timeout) < 0)
        err = -errno;
    if (err < 0) {
        free_once(once);
        return pe_fail(err);
    }
    pe_list_push_back(&base->once, &once->link);
    return 0;
}

void pe_event_free_once(struct event_base *base) {
    while (!pe_list_empty(&base->once)) {
        struct once *once = pe_container(base->once.next, struct once, link);

        pe_event_forget(&once->ev); /* it may be active */
        free_once(once);
    }
}
