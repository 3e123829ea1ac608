# event2/bufferevent.h, event2/listener.h and what the Python face needs beside them.

from libc.stdint cimport int64_t, uint64_t
from posix.time cimport timeval

from pyevent._native.base.address cimport sockaddr, socklen_t
from pyevent._native.c.buffer cimport evbuffer
from pyevent._native.c.event cimport event_base
from pyevent._native.c.ratelimit cimport bufferevent_rate_limit_group, ev_token_bucket_cfg


cdef extern from "event2/buffer.h":
    cdef struct evbuffer_file_segment:
        pass
    unsigned EVBUF_FS_CLOSE_ON_FREE

    evbuffer_file_segment *evbuffer_file_segment_new(int fd, long long offset, long long length,
                                                     unsigned flags)
    void evbuffer_file_segment_free(evbuffer_file_segment *seg)
    int evbuffer_add_file_segment(evbuffer *buf, evbuffer_file_segment *seg, long long offset,
                                  long long length)


cdef extern from "event2/util.h":
    cdef struct evutil_addrinfo:
        int ai_family, ai_flags
    const char *evutil_gai_strerror(int err)
    int evutil_set_tcp_keepalive(int fd, int on, int timeout)

cdef extern from "event2/bufferevent.h":
    cdef struct bufferevent:
        pass
    ctypedef void (*bufferevent_data_cb)(bufferevent *bev, void *ctx) noexcept
    ctypedef void (*bufferevent_event_cb)(bufferevent *bev, short what, void *ctx) noexcept
    ctypedef enum bufferevent_flush_mode "enum bufferevent_flush_mode":
        pass

    int BEV_EVENT_READING, BEV_EVENT_WRITING, BEV_EVENT_EOF, BEV_EVENT_ERROR
    int BEV_EVENT_TIMEOUT, BEV_EVENT_CONNECTED
    int BEV_OPT_CLOSE_ON_FREE
    int BEV_OK, BEV_NEED_MORE, BEV_ERROR
    int BEV_FINISHED

    ctypedef enum bufferevent_filter_result "enum bufferevent_filter_result":
        pass
    ctypedef bufferevent_filter_result (*bufferevent_filter_cb)(
        evbuffer *src, evbuffer *dst, Py_ssize_t dst_limit, bufferevent_flush_mode mode,
        void *ctx) noexcept
    bufferevent *bufferevent_filter_new(bufferevent *underlying, bufferevent_filter_cb input_filter,
                                        bufferevent_filter_cb output_filter, int options,
                                        void (*free_context)(void *) noexcept, void *ctx)
    int bufferevent_pair_new(event_base *base, int options, bufferevent **pair)
    bufferevent *bufferevent_pair_get_partner(bufferevent *bev)

    int bufferevent_set_rate_limit(bufferevent *bev, ev_token_bucket_cfg *cfg)
    const ev_token_bucket_cfg *bufferevent_get_token_bucket_cfg(const bufferevent *bev)
    Py_ssize_t bufferevent_get_read_limit(bufferevent *bev)
    Py_ssize_t bufferevent_get_write_limit(bufferevent *bev)
    Py_ssize_t bufferevent_get_max_to_read(bufferevent *bev)
    Py_ssize_t bufferevent_get_max_to_write(bufferevent *bev)
    int bufferevent_decrement_read_limit(bufferevent *bev, Py_ssize_t decr)
    int bufferevent_decrement_write_limit(bufferevent *bev, Py_ssize_t decr)
    int bufferevent_add_to_rate_limit_group(bufferevent *bev, bufferevent_rate_limit_group *group)
    int bufferevent_remove_from_rate_limit_group(bufferevent *bev)

    bufferevent *bufferevent_socket_new(event_base *base, int fd, int options)
    cdef struct evdns_base:
        pass
    cdef struct bufferevent_stats:
        uint64_t bytes_read, bytes_written, reads, writes

    int bufferevent_socket_connect_hostname_hints(bufferevent *bev, evdns_base *dns,
                                                  const evutil_addrinfo *hints,
                                                  const char *hostname, int port)
    int bufferevent_socket_get_dns_error(bufferevent *bev)
    int bufferevent_socket_get_peer(bufferevent *bev, sockaddr *addr, socklen_t *len)
    int bufferevent_shutdown_write(bufferevent *bev)
    int bufferevent_set_output_high(bufferevent *bev, size_t mark, bufferevent_data_cb cb,
                                    void *arg)
    int bufferevent_set_input_max(bufferevent *bev, size_t max)
    size_t bufferevent_get_input_max(const bufferevent *bev)
    int bufferevent_set_output_pause(bufferevent *bev, size_t high, size_t low)
    void bufferevent_get_output_pause(const bufferevent *bev, size_t *high, size_t *low)
    int bufferevent_get_stats(bufferevent *bev, bufferevent_stats *stats)
    int bufferevent_socket_connect(bufferevent *bev, const sockaddr *addr, int socklen)
    void bufferevent_free(bufferevent *bev)
    void bufferevent_setcb(bufferevent *bev, bufferevent_data_cb readcb,
                           bufferevent_data_cb writecb, bufferevent_event_cb eventcb, void *arg)
    int bufferevent_setfd(bufferevent *bev, int fd)
    int bufferevent_replacefd(bufferevent *bev, int fd)
    int bufferevent_getfd(bufferevent *bev)
    int bufferevent_priority_set(bufferevent *bev, int pri)
    int bufferevent_get_priority(const bufferevent *bev)
    evbuffer *bufferevent_get_input(bufferevent *bev)
    evbuffer *bufferevent_get_output(bufferevent *bev)
    int bufferevent_write(bufferevent *bev, const void *data, size_t size)
    int bufferevent_write_buffer(bufferevent *bev, evbuffer *buf)
    size_t bufferevent_read(bufferevent *bev, void *data, size_t size)
    int bufferevent_read_buffer(bufferevent *bev, evbuffer *buf)
    int bufferevent_enable(bufferevent *bev, short events)
    int bufferevent_disable(bufferevent *bev, short events)
    short bufferevent_get_enabled(bufferevent *bev)
    int bufferevent_set_timeouts(bufferevent *bev, const timeval *read, const timeval *write)
    void bufferevent_setwatermark(bufferevent *bev, short events, size_t low, size_t high)
    int bufferevent_getwatermark(bufferevent *bev, short events, size_t *low, size_t *high)
    int bufferevent_flush(bufferevent *bev, short iotype, bufferevent_flush_mode mode)
    void bufferevent_trigger(bufferevent *bev, short iotype, int options)
    void bufferevent_trigger_event(bufferevent *bev, short what, int options)
    int bufferevent_set_max_single_read(bufferevent *bev, size_t size)
    int bufferevent_set_max_single_write(bufferevent *bev, size_t size)
    Py_ssize_t bufferevent_get_max_single_read(bufferevent *bev)
    Py_ssize_t bufferevent_get_max_single_write(bufferevent *bev)


cdef extern from "stream/bufferevent.h":
    const char *pe_bufferevent_host(const bufferevent *bev)
    int pe_bev_close_after_flush(bufferevent *bev, int64_t limit_ns,
                                 void (*done)(bufferevent *bev, void *arg) noexcept, void *arg)
    int pe_bufferevent_error(const bufferevent *bev)
    bint pe_bufferevent_connecting(const bufferevent *bev)
    bint pe_bufferevent_closes_fd(const bufferevent *bev)
    bint pe_bufferevent_is_filtered(const bufferevent *bev)
    int pe_bev_set_limits(bufferevent *bev, size_t input_max, size_t pause_high,
                          size_t pause_low)


cdef extern from "stream/resolver.h":
    int pe_pool_of_lookups_jobs()


cdef extern from "event2/listener.h":
    cdef struct evconnlistener:
        pass
    ctypedef void (*evconnlistener_cb)(evconnlistener *lev, int fd, sockaddr *addr, int socklen,
                                       void *arg) noexcept
    ctypedef void (*evconnlistener_errorcb)(evconnlistener *lev, void *arg) noexcept

    unsigned LEV_OPT_CLOSE_ON_FREE, LEV_OPT_CLOSE_ON_EXEC, LEV_OPT_REUSEABLE, LEV_OPT_UNLINK_STALE

    evconnlistener *evconnlistener_new(event_base *base, evconnlistener_cb cb, void *arg,
                                       unsigned flags, int backlog, int fd)
    evconnlistener *evconnlistener_new_bind(event_base *base, evconnlistener_cb cb, void *arg,
                                            unsigned flags, int backlog, const sockaddr *sa,
                                            int socklen)
    void evconnlistener_free(evconnlistener *lev)
    int evconnlistener_enable(evconnlistener *lev)
    int evconnlistener_disable(evconnlistener *lev)
    int evconnlistener_get_fd(evconnlistener *lev)
    void evconnlistener_set_cb(evconnlistener *lev, evconnlistener_cb cb, void *arg)
    void evconnlistener_set_error_cb(evconnlistener *lev, evconnlistener_errorcb cb)


cdef extern from "base/sock.h":
    int pe_close(int fd)
    int pe_sock_nonblock(int fd)
    int pe_sock_option(int fd, int level, int name, int value)
