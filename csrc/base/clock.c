/* clock.c - reading the clocks, and timevals to and fro. See clock.h. */
#include "base/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

#define US_PER_SEC 1000000

static int64_t (*_Atomic clock_source)(void); /* NULL: the system's */

static int64_t read_clock(clockid_t id) {
    struct timespec ts;

    /* Cannot fail: both clocks exist everywhere and `ts` is ours. */
    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * PE_NS_PER_SEC + ts.tv_nsec;
}

int64_t pe_clock_now(void) {
    int64_t (*source)(void) = atomic_load_explicit(&clock_source, memory_order_relaxed);

    return source != NULL ? source() : read_clock(CLOCK_MONOTONIC);
}

int64_t pe_clock_wall(void) {
    return read_clock(CLOCK_REALTIME);
}

void pe_clock_set_source(int64_t (*fn)(void)) {
    atomic_store_explicit(&clock_source, fn, memory_order_relaxed);
}

int64_t pe_ns_from_timeval(const struct timeval *tv) {
    int64_t sec = (int64_t)tv->tv_sec;
    int64_t carry, us;

    if ((uint64_t)tv->tv_usec < US_PER_SEC && (uint64_t)sec < PE_CLOCK_MAX_NS / PE_NS_PER_SEC)
        return sec * PE_NS_PER_SEC + (int64_t)tv->tv_usec * PE_NS_PER_US;
    carry = (int64_t)tv->tv_usec / US_PER_SEC; /* rounds towards 0 */
    us = (int64_t)tv->tv_usec % US_PER_SEC;
    if (us < 0) {
        us += US_PER_SEC;
        carry--;
    }
    /* Compared before adding: tv_sec may be anything up to INT64_MAX. */
    if (sec < -carry)
        return -EINVAL;
    if (sec >= PE_CLOCK_MAX_NS / PE_NS_PER_SEC - carry)
        return PE_CLOCK_MAX_NS;
    return (sec + carry) * PE_NS_PER_SEC + us * PE_NS_PER_US;
}

int64_t pe_clock_wall_at(int64_t ns) {
    int64_t difference = 0, best = INT64_MAX;

    /* The other clock is read in the middle between two readings of this one; again,
     * if they lie so far apart that another process must have run between them. */
    for (int i = 0; i < 4 && best > PE_NS_PER_US; i++) {
        int64_t before = pe_clock_now();
        int64_t wall = pe_clock_wall();
        int64_t took = pe_clock_now() - before;

        if (took < best) {
            best = took;
            difference = wall - (before + took / 2);
        }
    }
    return ns + difference;
}

/* `more` is added to the nanoseconds within a second before they are cut. */
static void to_timeval(int64_t ns, int64_t more, struct timeval *tv) {
    int64_t sec = ns / PE_NS_PER_SEC;
    int64_t rest = ns % PE_NS_PER_SEC;

    if (rest < 0) {
        rest += PE_NS_PER_SEC;
        sec--;
    }
    rest = (rest + more) / PE_NS_PER_US;
    if (rest == US_PER_SEC) {
        rest = 0;
        sec++;
    }
    tv->tv_sec = (time_t)sec;
    tv->tv_usec = (suseconds_t)rest;
}

void pe_ns_to_timeval(int64_t ns, struct timeval *tv) {
    to_timeval(ns, PE_NS_PER_US - 1, tv);
}

void pe_time_to_timeval(int64_t ns, struct timeval *tv) {
    to_timeval(ns, 0, tv);
}
