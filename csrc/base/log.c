/* log.c - formats a message and hands it on. See log.h. */
#include "base/log.h"

#include "event2/event.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define LOG_LINE_MAX 1024

atomic_uint pe_log_debug_mask;

/* NULL: stderr, and no fatal function. */
static void (*_Atomic log_callback)(int, const char *);
static void (*_Atomic fatal_callback)(int);

void event_set_log_callback(event_log_cb cb) {
    atomic_store(&log_callback, cb);
}

void event_set_fatal_callback(event_fatal_cb cb) {
    atomic_store(&fatal_callback, cb);
}

void event_enable_debug_logging(ev_uint32_t which) {
    atomic_store(&pe_log_debug_mask, which);
}

static const char *level_name(enum pe_log_level level) {
    switch (level) {
    case PE_LOG_DEBUG:
        return "debug";
    case PE_LOG_MSG:
        return "msg";
    case PE_LOG_WARN:
        return "warn";
    case PE_LOG_ERROR:
        return "err";
    }
    return "???";
}

static void write_line(enum pe_log_level level, const char *fmt, va_list args) {
    void (*callback)(int, const char *) = atomic_load(&log_callback);
    char line[LOG_LINE_MAX];

    if (vsnprintf(line, sizeof(line), fmt, args) < 0)
        line[0] = '\0';
    if (callback != NULL)
        callback((int)level, line);
    else /* one call, so that lines of several threads do not mix */
        (void)fprintf(stderr, "[%s] %s\n", level_name(level), line);
}

void pe_log_write(enum pe_log_level level, const char *fmt, ...) {
    int saved = errno;
    va_list args;

    va_start(args, fmt);
    write_line(level, fmt, args);
    va_end(args);
    errno = saved;
}

void pe_log_fatal(int err, const char *fmt, ...) {
    void (*callback)(int) = atomic_load(&fatal_callback);
    int saved = errno;
    va_list args;

    va_start(args, fmt);
    write_line(PE_LOG_ERROR, fmt, args);
    va_end(args);
    if (callback != NULL)
        callback(err);
    errno = saved;
}
