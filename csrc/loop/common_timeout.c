/* common_timeout.c - event_base_init_common_timeout.
 *
 * libevent puts many events with one timeout into a queue of their own, since
 * its heap pays log n for each. In ours a timer whose deadline is later than
 * most, as one that is set from now always is, stays a leaf: O(1). So this
 * only hands out a timeval to pass to event_add, one per duration, the base's
 * own. Its fields are plain: no bits are hidden in them, and a copy is as good.
 */
#include <errno.h>

#include "base/clock.h"
#include "loop/internal.h"

#define COMMON_MAX 256 /* libevent's, so that a program that fails there fails here */

struct pe_common_timeout {
    struct pe_common_timeout *next;
    struct timeval duration;
};

const struct timeval *event_base_init_common_timeout(struct event_base *base,
                                                     const struct timeval *duration) {
    struct pe_common_timeout *common;
    int64_t ns = pe_ns_from_timeval(duration);
    struct timeval plain;
    int count = 0;

    if (ns < 0) {
        errno = EINVAL;
        return NULL;
    }
    pe_ns_to_timeval(ns, &plain);
    for (common = base->common_timeouts; common != NULL; common = common->next) {
        if (evutil_timercmp(&common->duration, &plain, ==))
            return &common->duration;
        count++;
    }
    common = count < COMMON_MAX ? pe_malloc(PE_MEM_TIMER, sizeof(*common)) : NULL;
    if (common == NULL) {
        errno = count < COMMON_MAX ? ENOMEM : ENOSPC;
        return NULL;
    }
    common->duration = plain;
    common->next = base->common_timeouts;
    base->common_timeouts = common;
    return &common->duration;
}

void pe_common_timeouts_close(struct event_base *base) {
    while (base->common_timeouts != NULL) {
        struct pe_common_timeout *common = base->common_timeouts;

        base->common_timeouts = common->next;
        pe_free(PE_MEM_TIMER, common);
    }
}
