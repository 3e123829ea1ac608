/* errors.h - how a negative errno leaves the core.
 *
 * Inside the core a call returns 0 or a count, else a negative errno. The
 * functions of event2/ keep libevent's contract instead: -1 (or NULL), with
 * errno saying why. pe_fail() is that step.
 */
#ifndef PE_BASE_ERRORS_H
#define PE_BASE_ERRORS_H

#include <errno.h>

/* Set errno to -`neg_errno` (which is below 0) and return -1. */
static inline int pe_fail(int neg_errno) {
    errno = -neg_errno;
    return -1;
}

#endif
