# event2/datagram.h.

from libc.stdint cimport uint64_t

from pyevent._native.base.address cimport sockaddr
from pyevent._native.c.event cimport event_base


cdef extern from "event2/datagram.h":
    cdef struct evdgram:
        pass
    cdef struct evdgram_message:
        const void *data
        size_t len
        const sockaddr *addr
        int addrlen
    ctypedef void (*evdgram_read_cb)(evdgram *dgram, const evdgram_message *messages, int count,
                                     void *arg) noexcept
    ctypedef void (*evdgram_event_cb)(evdgram *dgram, short what, void *arg) noexcept
    evdgram *evdgram_new(event_base *base, int fd, int options)
    evdgram *evdgram_new_bind(event_base *base, const sockaddr *addr, int addrlen)
    void evdgram_free(evdgram *dgram)
    void evdgram_setcb(evdgram *dgram, evdgram_read_cb readcb, evdgram_event_cb eventcb,
                       void *arg)
    int evdgram_enable(evdgram *dgram)
    int evdgram_disable(evdgram *dgram)
    int evdgram_send(evdgram *dgram, const void *data, size_t len, const sockaddr *addr,
                     int addrlen)
    void evdgram_set_queue_max(evdgram *dgram, size_t size)
    size_t evdgram_get_queued(const evdgram *dgram)
    uint64_t evdgram_get_dropped(const evdgram *dgram)
    int evdgram_get_fd(const evdgram *dgram)
