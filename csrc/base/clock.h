/* clock.h - time, in nanoseconds, as one signed 64-bit number.
 *
 * An int64_t of nanoseconds reaches 292 years, compares with one instruction
 * and cannot be unnormalised as a struct timeval can. Timevals are converted
 * at the event2 edge. A duration is cut at PE_CLOCK_MAX_NS, a quarter of what
 * the type holds, so that adding two, or one to a time, never overflows.
 *
 * Deadlines use the monotonic clock. A test may put a clock of its own in its
 * place. Any thread may call anything here; a read costs about 25 ns.
 */
#ifndef PE_BASE_CLOCK_H
#define PE_BASE_CLOCK_H

#include <stdint.h>
#include <sys/time.h>

#define PE_CLOCK_MAX_NS (INT64_MAX / 4) /* 73 years */
#define PE_NS_PER_SEC INT64_C(1000000000)
#define PE_NS_PER_MS INT64_C(1000000)
#define PE_NS_PER_US INT64_C(1000)

/* Nanoseconds of CLOCK_MONOTONIC (or of the test's clock): never goes back. */
int64_t pe_clock_now(void);

/* Nanoseconds since 1970-01-01 00:00 UTC; jumps when the clock is set. */
int64_t pe_clock_wall(void);

/* A duration in nanoseconds. -EINVAL when it is negative; PE_CLOCK_MAX_NS
 * when it is longer than that. tv_usec may lie outside 0..999999. */
int64_t pe_ns_from_timeval(const struct timeval *tv);

/* A duration, rounded up to the microsecond, so that waiting for `tv` is never too
 * short; a point in time, rounded down, as clocks are read. A negative time gives a
 * negative tv_sec and a tv_usec of 0..999999. */
void pe_ns_to_timeval(int64_t ns, struct timeval *tv);
void pe_time_to_timeval(int64_t ns, struct timeval *tv);

/* The time of day when pe_clock_now() is `ns`, to some tens of nanoseconds. */
int64_t pe_clock_wall_at(int64_t ns);

/* Let `fn` be what pe_clock_now() answers; NULL: the system's clock again. */
void pe_clock_set_source(int64_t (*fn)(void));

#endif
