# The library-wide settings of event2/event.h.

from libc.stdint cimport uint32_t


cdef extern from "event2/event.h":
    ctypedef void (*event_log_cb)(int severity, const char *msg) noexcept
    void event_set_log_callback(event_log_cb cb)
    void event_enable_debug_logging(uint32_t which)
    void libevent_global_shutdown()


cdef extern from "loop/debug.h":
    int pe_debug_enable()
