# The rate limits of event2/bufferevent.h, and stream/ratelimit.h.

from libc.stdint cimport int64_t, uint64_t
from posix.time cimport timeval

from pyevent._native.c.event cimport event_base


cdef extern from "event2/bufferevent.h":
    cdef struct bufferevent_rate_limit_group:
        pass
    void bufferevent_rate_limit_group_free(bufferevent_rate_limit_group *group)
    int bufferevent_rate_limit_group_set_min_share(bufferevent_rate_limit_group *group,
                                                   size_t share)
    Py_ssize_t bufferevent_rate_limit_group_get_read_limit(bufferevent_rate_limit_group *group)
    Py_ssize_t bufferevent_rate_limit_group_get_write_limit(bufferevent_rate_limit_group *group)
    int bufferevent_rate_limit_group_decrement_read(bufferevent_rate_limit_group *group,
                                                    Py_ssize_t decr)
    int bufferevent_rate_limit_group_decrement_write(bufferevent_rate_limit_group *group,
                                                     Py_ssize_t decr)
    void bufferevent_rate_limit_group_get_totals(bufferevent_rate_limit_group *group,
                                                 uint64_t *read, uint64_t *written)
    void bufferevent_rate_limit_group_reset_totals(bufferevent_rate_limit_group *group)


cdef extern from "stream/ratelimit.h":
    enum: PE_RATE_READ
    enum: PE_RATE_WRITE

    cdef struct ev_token_bucket_cfg:
        size_t rate[2]
        size_t burst[2]
        int64_t tick_ns
        unsigned refs

    ev_token_bucket_cfg *ev_token_bucket_cfg_new(size_t read_rate, size_t read_burst,
                                                 size_t write_rate, size_t write_burst,
                                                 const timeval *tick_len)
    void ev_token_bucket_cfg_free(ev_token_bucket_cfg *cfg)
    bufferevent_rate_limit_group *bufferevent_rate_limit_group_new(event_base *base,
                                                                   const ev_token_bucket_cfg *cfg)
    int bufferevent_rate_limit_group_set_cfg(bufferevent_rate_limit_group *group,
                                             const ev_token_bucket_cfg *cfg)
    void pe_rate_group_let_go(bufferevent_rate_limit_group *group)
    size_t pe_rate_group_count(const bufferevent_rate_limit_group *group)
