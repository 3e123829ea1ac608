/* log.h - what the library has to say while it runs.
 *
 * A message goes to the function of event_set_log_callback, or to stderr as
 * "[warn] text". It is one line, formatted in a buffer on the stack and cut at
 * about 1 KiB. errno stays as it was, so a message may stand between a failed
 * call and the reading of its errno. Any thread may log.
 *
 * Debug messages are off until event_enable_debug_logging; off, they cost one
 * load. Nothing here ends the process. event_set_log_callback,
 * event_set_fatal_callback and event_enable_debug_logging are defined in log.c.
 */
#ifndef PE_BASE_LOG_H
#define PE_BASE_LOG_H

#include <stdatomic.h>

enum pe_log_level { /* the values of EVENT_LOG_* */
    PE_LOG_DEBUG,
    PE_LOG_MSG,
    PE_LOG_WARN,
    PE_LOG_ERROR
};

#define PE_LOG_FORMAT(f, a) __attribute__((format(printf, f, a)))

extern atomic_uint pe_log_debug_mask; /* nonzero: debug messages are wanted */

/* One message of `level`, whatever the debug mask says. */
void pe_log_write(enum pe_log_level level, const char *fmt, ...) PE_LOG_FORMAT(2, 3);

/* An error so bad that libevent would end the process (a broken invariant).
 * Logged as an error, then handed to event_set_fatal_callback's function
 * with `err`, an errno or -1. Without such a function it returns: the caller
 * goes on as well as it can. */
void pe_log_fatal(int err, const char *fmt, ...) PE_LOG_FORMAT(2, 3);

#define pe_log_error(...) pe_log_write(PE_LOG_ERROR, __VA_ARGS__)
#define pe_log_warn(...) pe_log_write(PE_LOG_WARN, __VA_ARGS__)
#define pe_log_msg(...) pe_log_write(PE_LOG_MSG, __VA_ARGS__)
#define pe_log_debug(...)                                                          \
    (atomic_load_explicit(&pe_log_debug_mask, memory_order_relaxed) != 0           \
         ? pe_log_write(PE_LOG_DEBUG, __VA_ARGS__)                                 \
         : (void)0)

#endif
