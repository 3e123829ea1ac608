# How much a connection may hold, and how many names may be looked up at once.

from pyevent._native.c.stream cimport bufferevent


cdef struct bev_limits:
    size_t input_max, pause_high, pause_low  # of pe_bev_set_limits; 0: no limit
    unsigned short lookups_max               # 0: no limit
    bint pauses_by_default                   # pause_high is what nobody asked for


cdef int limits_of(type cls, type plain, object max_input, object max_output,
                   object resume_output, object max_lookups, bev_limits *limits) except -1
cdef void no_pause_by_default(bev_limits *limits) noexcept
cdef int bev_limit(bufferevent *bev, bev_limits *limits) noexcept

cdef size_t limit_of_argument(object value, str name) except? 0
cdef object limit_or_none(size_t limit)
cdef size_t resume_of(object value, size_t high) except? 0
