/* stats.h - what a base has done so far, counted on demand.
 *
 * Until somebody asks for statistics a turn pays one predictable branch for
 * them. From then on the clock is read around each wait and each run of
 * callbacks, not around each callback.
 */
#ifndef PE_LOOP_STATS_H
#define PE_LOOP_STATS_H

#include <stdint.h>

struct event_base;

struct pe_stats {
    uint64_t turns;
    uint64_t waits;        /* turns that could block in the kernel */
    uint64_t wait_ns;      /* in the kernel */
    uint64_t callbacks_ns; /* in callbacks and in writing what they left */
    uint64_t callbacks;
    uint64_t io, timeouts, signals, others; /* of these, by what made them due */
    uint64_t flushes;                       /* turns with output written at the end */
    uint32_t most_callbacks;                /* in one turn */
    uint32_t most_ready;                    /* results of one wait */
};

/* Count from now on; again: from zero. 0 or -ENOMEM. */
int pe_stats_start(struct event_base *base);

/* NULL: not started. */
const struct pe_stats *pe_stats_get(const struct event_base *base);

#endif
