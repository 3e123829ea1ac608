# Rate limits: configurations and groups.

from pyevent._native.c.ratelimit cimport bufferevent_rate_limit_group, ev_token_bucket_cfg
from pyevent._native.loop.eventbase cimport EventBase


cdef class RateLimit:
    cdef ev_token_bucket_cfg *cfg            # NULL: freed
    cdef object __weakref__


cdef class RateLimitGroup:
    cdef bufferevent_rate_limit_group *group  # NULL: freed
    cdef EventBase owner                      # None: it was never set up
    cdef object __weakref__


# How each public method begins (docs/design/cython.md): the C object, if it is there.
cdef ev_token_bucket_cfg *limit_enter(RateLimit self) except NULL
cdef bufferevent_rate_limit_group *group_enter(RateLimitGroup self) except NULL

# Have `self`, a new one, stand for `cfg`, which may be NULL.
cdef void limit_of(RateLimit self, ev_token_bucket_cfg *cfg) noexcept
