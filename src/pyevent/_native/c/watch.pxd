# event2/watch.h.

from posix.time cimport timeval

from pyevent._native.c.event cimport event_base


cdef extern from "event2/watch.h":
    cdef struct evwatch:
        pass
    cdef struct evwatch_prepare_cb_info:
        pass
    cdef struct evwatch_check_cb_info:
        pass
    ctypedef void (*evwatch_prepare_cb)(evwatch *watch, const evwatch_prepare_cb_info *info,
                                        void *arg) noexcept
    ctypedef void (*evwatch_check_cb)(evwatch *watch, const evwatch_check_cb_info *info,
                                      void *arg) noexcept
    evwatch *evwatch_prepare_new(event_base *base, evwatch_prepare_cb callback, void *arg)
    evwatch *evwatch_check_new(event_base *base, evwatch_check_cb callback, void *arg)
    void evwatch_free(evwatch *watch)
    int evwatch_prepare_get_timeout(const evwatch_prepare_cb_info *info, timeval *timeout)
