"""How a connection behaves: watermarks, timeouts, priority, limits, rate limits.

Settings is the part of every BufferEvent that says how much and how fast. Users see it as
BufferEvent, whose base class it is.
"""

from posix.time cimport timeval

from pyevent._native.base.arguments cimport event_flags, to_timeval
from pyevent._native.c.stream cimport *
from pyevent._native.loop.eventbase cimport leave
from pyevent._native.stream.endpoint cimport Endpoint, bev_enter
from pyevent._native.stream.limits cimport limit_of_argument, limit_or_none, resume_of
from pyevent._native.stream.ratelimit cimport (
    RateLimit,
    RateLimitGroup,
    group_enter,
    limit_enter,
    limit_of,
)


cdef timeval *seconds_or_null(object seconds, timeval *tv) except? NULL:
    """libevent's timeval for a time limit: NULL for none."""
    if seconds is None:
        return NULL
    to_timeval(seconds, tv)
    return tv


cdef class Settings(Endpoint):
    """The base class of :class:`BufferEvent`: how much and how fast."""

    # -- watermarks, timeouts, priority

    def get_enabled(self):
        """``EV_READ`` and ``EV_WRITE`` as they are enabled."""
        return event_flags(bufferevent_get_enabled(bev_enter(self)))

    enabled = property(get_enabled)

    def set_timeouts(self, read=None, write=None):
        """Report BEV_EVENT_TIMEOUT when nothing was read for *read* seconds while reading
        is enabled, or nothing written for *write* seconds while output waits."""
        cdef timeval read_tv, write_tv
        cdef timeval *read_limit = seconds_or_null(read, &read_tv)
        cdef timeval *write_limit = seconds_or_null(write, &write_tv)
        leave(self.owner, bufferevent_set_timeouts(bev_enter(self), read_limit, write_limit))

    def setwatermark(self, int events, size_t lowmark, size_t highmark=0):
        """Set the marks of ``EV_READ``, ``EV_WRITE`` or both, in bytes.

        Reading: the read callback runs from *lowmark* on, and reading pauses at *highmark*
        (0: no limit). Writing: the write callback runs at *lowmark* or less.
        """
        bufferevent_setwatermark(bev_enter(self), <short>events, lowmark, highmark)

    def getwatermark(self, int events):
        """``(lowmark, highmark)`` of ``EV_READ`` or of ``EV_WRITE``."""
        cdef size_t low, high
        if bufferevent_getwatermark(bev_enter(self), <short>events, &low, &high) < 0:
            raise ValueError(f"getwatermark() takes EV_READ or EV_WRITE, not {events!r}")
        return low, high

    def priority_set(self, int priority):
        """Set the priority of its callbacks; 0 is the most urgent."""
        if bufferevent_priority_set(bev_enter(self), priority) < 0:
            raise ValueError(f"{self!r}: its base has no priority {priority}")

    def get_priority(self):
        """The priority of its callbacks."""
        return bufferevent_get_priority(bev_enter(self))

    @property
    def priority(self):
        """The priority of its callbacks; 0 is the most urgent."""
        return bufferevent_get_priority(bev_enter(self))

    @priority.setter
    def priority(self, int priority):
        self.priority_set(priority)

    def set_max_single_read(self, size_t size):
        """Read at most so many bytes at a time; 0: the default."""
        leave(self.owner, bufferevent_set_max_single_read(bev_enter(self), size))

    def set_max_single_write(self, size_t size):
        """Write at most so many bytes at a time; 0: the default."""
        leave(self.owner, bufferevent_set_max_single_write(bev_enter(self), size))

    def get_max_single_read(self):
        """What :meth:`set_max_single_read` has set; 16384 before."""
        return bufferevent_get_max_single_read(bev_enter(self))

    def get_max_single_write(self):
        """What :meth:`set_max_single_write` has set; 16384 before."""
        return bufferevent_get_max_single_write(bev_enter(self))

    # -- limits

    def set_input_max(self, max_input):
        """Let so many bytes of input wait at most; ``None``: any number. See the class."""
        cdef size_t most = limit_of_argument(max_input, "max_input")
        leave(self.owner, bufferevent_set_input_max(bev_enter(self), most))

    def get_input_max(self):
        """What was set; ``None``: no limit."""
        return limit_or_none(bufferevent_get_input_max(bev_enter(self)))

    def set_output_pause(self, max_output, resume_output=...):
        """Do not read while more than *max_output* bytes of output wait, until they are
        down to *resume_output* (a quarter of that, if not given); ``None``: read always."""
        cdef size_t high = limit_of_argument(max_output, "max_output")
        cdef size_t low = high // 4
        if resume_output is not ...:
            low = resume_of(resume_output, high)
        leave(self.owner, bufferevent_set_output_pause(bev_enter(self), high, low))

    def get_output_pause(self):
        """``(max_output, resume_output)`` as they were set; ``None`` twice: no limit."""
        cdef size_t high, low
        bufferevent_get_output_pause(bev_enter(self), &high, &low)
        return (None, None) if high == 0 else (high, low)

    # -- rate limits

    def set_rate_limit(self, RateLimit limit):
        """Read and write no faster than *limit* says; ``None``: as fast as may be."""
        cdef bufferevent *bev = bev_enter(self)
        leave(self.owner, bufferevent_set_rate_limit(bev, NULL if limit is None
                                                     else limit_enter(limit)))

    def get_token_bucket_cfg(self):
        """A :class:`RateLimit` equal to what :meth:`set_rate_limit` has set; or ``None``."""
        cdef RateLimit made = RateLimit.__new__(RateLimit)  # which may run code
        limit_of(made, <ev_token_bucket_cfg *>bufferevent_get_token_bucket_cfg(bev_enter(self)))
        return made if made.cfg != NULL else None

    def get_read_limit(self):
        """How many bytes its limit leaves to be read now, maybe less than 0;
        EV_RATE_LIMIT_MAX: it has none."""
        return bufferevent_get_read_limit(bev_enter(self))

    def get_write_limit(self):
        """The same for writing."""
        return bufferevent_get_write_limit(bev_enter(self))

    def get_max_to_read(self):
        """How many bytes it could read at once now: by its limit, its share of its group's, and
        :meth:`get_max_single_read`."""
        return bufferevent_get_max_to_read(bev_enter(self))

    def get_max_to_write(self):
        """The same for writing."""
        return bufferevent_get_max_to_write(bev_enter(self))

    def decrement_read_limit(self, Py_ssize_t decr):
        """Take *decr* bytes off what its limit leaves, or add them if it is negative.

        :raises ValueError: it has no limit.
        """
        bev_limited(self, bufferevent_decrement_read_limit(bev_enter(self), decr))

    def decrement_write_limit(self, Py_ssize_t decr):
        """The same for writing."""
        bev_limited(self, bufferevent_decrement_write_limit(bev_enter(self), decr))

    def add_to_rate_limit_group(self, RateLimitGroup group):
        """Share the limit of *group*, and of no other; ``None``: of none."""
        cdef bufferevent *bev = bev_enter(self)
        leave(self.owner, bufferevent_add_to_rate_limit_group(bev, NULL if group is None
                                                              else group_enter(group)))

    def remove_from_rate_limit_group(self):
        """Be in no group any more."""
        leave(self.owner, bufferevent_remove_from_rate_limit_group(bev_enter(self)))


cdef int bev_limited(Settings self, int result) except -1:
    if result < 0:
        raise ValueError(f"{self!r} has no rate limit")
    return 0
