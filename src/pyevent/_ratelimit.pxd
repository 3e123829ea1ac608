# Rate limits: configurations and groups.

from pyevent.c.ratelimit cimport bufferevent_rate_limit_group, ev_token_bucket_cfg


cdef class RateLimit:
    cdef ev_token_bucket_cfg *cfg            # NULL: freed
    cdef object __weakref__


cdef class RateLimitGroup:
    cdef bufferevent_rate_limit_group *group  # NULL: freed
    cdef object __weakref__


cdef ev_token_bucket_cfg *limit_require(RateLimit self) except NULL
cdef object limit_of(ev_token_bucket_cfg *cfg)
cdef bufferevent_rate_limit_group *group_require(RateLimitGroup self) except NULL
