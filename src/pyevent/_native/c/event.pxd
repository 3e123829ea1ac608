# event2/event.h and the loop's inner face.

from libc.stdint cimport int64_t, uint32_t, uint64_t
from posix.time cimport timeval


cdef extern from "event2/event_struct.h":
    cdef struct pe_link:
        pe_link *prev
        pe_link *next
    cdef struct pe_heap_node:
        int64_t key
    cdef struct pe_timer:
        pe_heap_node node
    int EVLIST_TIMEOUT
    cdef struct pe_task:
        short res
        unsigned char state
    cdef struct pe_io:
        pe_task task
    cdef struct event_base:
        pass
    cdef struct event:
        pe_io io
        pe_timer timer


cdef extern from "base/list.h":
    void pe_list_init(pe_link *link)
    bint pe_list_empty(const pe_link *link)
    void pe_list_push_back(pe_link *head, pe_link *link)
    void pe_list_remove(pe_link *link)


cdef extern from "event2/event.h":
    ctypedef void (*event_callback_fn)(int fd, short what, void *arg) noexcept

    cdef struct event_config:
        pass

    int EV_TIMEOUT, EV_READ, EV_WRITE, EV_SIGNAL, EV_PERSIST, EV_ET, EV_CLOSED
    int EVLOOP_NONBLOCK, EVLOOP_NO_EXIT_ON_EMPTY
    int EVENT_BASE_FLAG_IGNORE_ENV

    event_config *event_config_new()
    void event_config_free(event_config *cfg)
    int event_config_avoid_method(event_config *cfg, const char *method)
    int event_config_require_features(event_config *cfg, int feature)
    int event_config_set_flag(event_config *cfg, int flag)
    int event_config_set_max_dispatch_interval(event_config *cfg, const timeval *max_interval,
                                               int max_callbacks, int min_priority)

    event_base *event_base_new_with_config(const event_config *cfg)
    void event_base_free(event_base *base)
    int event_reinit(event_base *base)
    const char *event_base_get_method(const event_base *base)
    const char **event_get_supported_methods()
    const char *event_base_get_signal_method(const event_base *base)
    int event_base_get_features(const event_base *base)
    int event_base_get_num_events(event_base *base, unsigned int flags)
    int event_base_get_max_events(event_base *base, unsigned int flags, int clear)
    int event_base_loop(event_base *base, int flags)
    int event_base_loopbreak(event_base *base)
    int event_base_loopcontinue(event_base *base)
    int event_base_got_exit(event_base *base)
    int event_base_got_break(event_base *base)
    int event_base_loopexit(event_base *base, const timeval *tv)
    int event_base_priority_init(event_base *base, int n)
    int event_base_get_npriorities(event_base *base)
    int event_base_update_cache_time(event_base *base)
    void event_base_set_wait_hooks(event_base *base, void (*before)(void *) noexcept,
                                   void (*after)(void *) noexcept, void *arg)

    int event_assign(event *ev, event_base *base, int fd, short what, event_callback_fn cb,
                     void *arg)
    int event_base_set(event_base *base, event *ev)
    int event_del(event *ev)
    int event_remove_timer(event *ev)
    void event_active(event *ev, int res, short ncalls)
    int event_pending(const event *ev, short what, timeval *tv)
    int event_priority_set(event *ev, int priority)
    int event_get_fd(const event *ev)
    short event_get_events(const event *ev)
    int event_get_priority(const event *ev)
    const char *event_get_version()


cdef extern from "loop/base.h":
    bint pe_task_is_queued(const pe_task *task)
    int pe_event_add_ns(event *ev, int64_t timeout_ns)
    bint pe_event_is_idle(const event *ev)
    int64_t pe_base_now(event_base *base)
    bint pe_base_is_running(const event_base *base)


    ctypedef int (*event_base_foreach_event_cb)(const event_base *base, const event *ev,
                                                void *arg) noexcept
    int event_base_foreach_event(event_base *base, event_base_foreach_event_cb fn, void *arg)
    event *event_base_get_running_event(event_base *base)
    event_callback_fn event_get_callback(const event *ev)
    void *event_get_callback_arg(const event *ev)
    void event_base_active_by_fd(event_base *base, int fd, short events)
    void event_base_active_by_signal(event_base *base, int sig)
    const timeval *event_base_init_common_timeout(event_base *base, const timeval *duration)
    void event_debug_unassign(event *ev)


cdef extern from "loop/stats.h":
    cdef struct pe_stats:
        uint64_t turns, waits, wait_ns, callbacks_ns, callbacks
        uint64_t io, timeouts, signals, others, flushes
        uint32_t most_callbacks, most_ready
    int pe_stats_start(event_base *base)
    const pe_stats *pe_stats_get(const event_base *base)


cdef extern from "loop/selfpipe.h":
    int pe_selfpipe_open(event_base *base,
                      void (*notice)(void *arg, const unsigned char *data, size_t n) noexcept,
                      void *arg)
    size_t pe_selfpipe_take(event_base *base, unsigned char *data, size_t n)


cdef extern from "loop/fork.h":
    void pe_bases_let_go_after_fork()
