"""Rate limits: how fast a connection, or several together, may read and write.

A RateLimit is one reference to a C configuration, connections have others. The
members of a RateLimitGroup keep the C group: it limits them also when nobody has the
Python object any more, until its base is closed. Nothing holds a connection.
"""

from libc.stdint cimport uint64_t
from posix.time cimport timeval

from pyevent._native.base.arguments cimport check, to_ns
from pyevent._native.c.ratelimit cimport *
from pyevent._native.loop.eventbase cimport EventBase, base_enter, leave


cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX
    object PyNumber_Index(object)


cdef ev_token_bucket_cfg *limit_enter(RateLimit self) except NULL:
    if self.cfg == NULL:
        raise RuntimeError(f"{self!r}: it was freed, or never set up")
    return self.cfg


cdef void limit_of(RateLimit self, ev_token_bucket_cfg *cfg) noexcept:
    """Have `self`, a new one, stand for `cfg`, which may be NULL."""
    self.cfg = cfg
    if cfg != NULL:
        cfg.refs += 1


cdef size_t bytes_of(object value, size_t otherwise) except? 0:
    """A rate or a burst; 0, which is neither, for what is out of range."""
    if value is None:
        return otherwise
    value = PyNumber_Index(value)
    return value if 0 <= value <= PY_SSIZE_T_MAX else 0


cdef class RateLimit:
    """A token bucket for each direction: how many bytes a tick, and how many at most at once.

    :param read_rate: bytes that may be read per tick; ``None``: as many as there are.
    :param read_burst: how many can be saved up while less is read; ``None``: those of
        one tick.
    :param write_rate: the same for writing, ``None`` too.
    :param write_burst: the same.
    :param tick: seconds; ``None``: one.
    :raises ValueError: unless 1 <= rate <= burst, and the tick is longer than nothing.

    For :meth:`BufferEvent.set_rate_limit`, any number of times, and for
    :class:`RateLimitGroup`. Two with the same numbers are equal.
    """

    def __init__(self, read_rate=None, read_burst=None, write_rate=None, write_burst=None,
                 tick=None):
        cdef size_t reads = bytes_of(read_rate, PY_SSIZE_T_MAX)
        cdef size_t writes = bytes_of(write_rate, PY_SSIZE_T_MAX)
        cdef size_t read_most = bytes_of(read_burst, reads)
        cdef size_t write_most = bytes_of(write_burst, writes)
        cdef long long us = (to_ns(1 if tick is None else tick) + 999) // 1000
        cdef timeval tv
        if self.cfg != NULL:
            raise RuntimeError(f"{self!r} is set up already")
        if not (1 <= reads <= read_most <= <size_t>PY_SSIZE_T_MAX
                and 1 <= writes <= write_most <= <size_t>PY_SSIZE_T_MAX and us > 0):
            raise ValueError("1 <= rate <= burst and tick > 0 must hold, not "
                             f"read_rate={read_rate!r}, read_burst={read_burst!r}, "
                             f"write_rate={write_rate!r}, write_burst={write_burst!r} and "
                             f"tick={tick!r}")
        tv.tv_sec = us // 1_000_000
        tv.tv_usec = us % 1_000_000
        self.cfg = ev_token_bucket_cfg_new(reads, read_most, writes, write_most, &tv)
        if self.cfg == NULL:
            check(-1)

    def __dealloc__(self):
        ev_token_bucket_cfg_free(self.cfg)

    def __reduce__(self):
        raise TypeError("cannot pickle or copy 'RateLimit' objects")

    def __repr__(self):
        cdef tuple key
        if self.cfg == NULL:
            return "<RateLimit freed>"
        key = limit_key(self)
        shown = ", ".join(["None" if n == PY_SSIZE_T_MAX else str(n) for n in key[:4]])
        return f"RateLimit({shown}, {key[4] * 1e-9:g})"

    def __eq__(self, other):
        if not isinstance(other, RateLimit):
            return NotImplemented
        return limit_key(self) == limit_key(<RateLimit>other)

    def __hash__(self):
        return hash(limit_key(self))

    def free(self):
        """Give it up; connections that have it keep it. Doing so again does nothing."""
        cdef ev_token_bucket_cfg *cfg = self.cfg
        self.cfg = NULL
        ev_token_bucket_cfg_free(cfg)

    @property
    def read_rate(self):
        """Bytes per tick that may be read."""
        return limit_enter(self).rate[PE_RATE_READ]

    @property
    def read_burst(self):
        """How many can be saved up."""
        return limit_enter(self).burst[PE_RATE_READ]

    @property
    def write_rate(self):
        """Bytes per tick that may be written."""
        return limit_enter(self).rate[PE_RATE_WRITE]

    @property
    def write_burst(self):
        """How many can be saved up."""
        return limit_enter(self).burst[PE_RATE_WRITE]

    @property
    def tick(self):
        """The length of a tick in seconds."""
        return limit_enter(self).tick_ns * 1e-9


cdef tuple limit_key(RateLimit self):
    cdef ev_token_bucket_cfg *cfg = self.cfg
    cdef size_t read_rate, read_burst, write_rate, write_burst
    cdef int64_t tick_ns
    if cfg == NULL:
        return (id(self),)
    read_rate, write_rate = cfg.rate[PE_RATE_READ], cfg.rate[PE_RATE_WRITE]
    read_burst, write_burst = cfg.burst[PE_RATE_READ], cfg.burst[PE_RATE_WRITE]
    tick_ns = cfg.tick_ns
    return read_rate, read_burst, write_rate, write_burst, tick_ns


# --- groups -----------------------------------------------------------------------------

cdef bufferevent_rate_limit_group *group_enter(RateLimitGroup self) except NULL:
    if self.group == NULL or self.owner is None or self.owner.base == NULL:
        raise RuntimeError(f"{self!r}: it was freed or its base is closed, or it was never set up")
    return self.group


cdef class RateLimitGroup:
    """A rate limit that several connections share: :meth:`BufferEvent.add_to_rate_limit_group`.

    :param base: the :class:`EventBase` that measures the ticks.
    :param limit: a :class:`RateLimit`.
    :raises RuntimeError: the base is closed.

    Members keep it in force, whether this object lives or not, until :meth:`free`; when
    the base is closed it limits nothing any more. ``len()`` is the number of members.
    """

    def __init__(self, EventBase base not None, RateLimit limit not None):
        cdef ev_token_bucket_cfg *cfg
        if self.owner is not None:
            raise RuntimeError(f"{self!r} is set up already")
        cfg = limit_enter(limit)
        self.group = bufferevent_rate_limit_group_new(base_enter(base), cfg)
        if self.group == NULL:
            check(-1)
        self.owner = base

    def __dealloc__(self):
        cdef bufferevent_rate_limit_group *group = self.group
        if group != NULL:
            self.group = NULL
            pe_rate_group_let_go(group)

    def __reduce__(self):
        raise TypeError("cannot pickle or copy 'RateLimitGroup' objects")

    def __repr__(self):
        cdef size_t n
        if self.group == NULL:
            return "<RateLimitGroup freed>"
        n = pe_rate_group_count(self.group)
        return f"<RateLimitGroup of {n}>"

    def __len__(self):
        return <Py_ssize_t>pe_rate_group_count(group_enter(self))

    def __bool__(self):
        group_enter(self)
        return True  # also without members

    def free(self):
        """Limit the members no longer. Doing so again does nothing."""
        cdef bufferevent_rate_limit_group *group = self.group
        self.group = NULL
        bufferevent_rate_limit_group_free(group)

    def set_cfg(self, RateLimit limit not None):
        """Limit them to something else; what is left is kept, as far as that holds it."""
        cdef bufferevent_rate_limit_group *group = group_enter(self)
        leave(self.owner, bufferevent_rate_limit_group_set_cfg(group, limit_enter(limit)))

    def set_min_share(self, size_t share):
        """Let a member move *share* bytes at a time (64 at first), also if its part is less."""
        leave(self.owner, bufferevent_rate_limit_group_set_min_share(group_enter(self), share))

    def get_read_limit(self):
        """How many bytes are left to be read; may be less than 0."""
        return bufferevent_rate_limit_group_get_read_limit(group_enter(self))

    def get_write_limit(self):
        """How many bytes are left to be written; may be less than 0."""
        return bufferevent_rate_limit_group_get_write_limit(group_enter(self))

    def decrement_read(self, Py_ssize_t decr):
        """Take *decr* bytes away, or add them if it is negative; the totals do not count it."""
        leave(self.owner, bufferevent_rate_limit_group_decrement_read(group_enter(self), decr))

    def decrement_write(self, Py_ssize_t decr):
        """Take *decr* bytes away, or add them if it is negative; the totals do not count it."""
        leave(self.owner, bufferevent_rate_limit_group_decrement_write(group_enter(self), decr))

    def get_totals(self):
        """``(read, written)``: the bytes that its members have moved."""
        cdef uint64_t were_read, were_written
        bufferevent_rate_limit_group_get_totals(group_enter(self), &were_read, &were_written)
        return were_read, were_written

    def reset_totals(self):
        """Count from 0 again."""
        bufferevent_rate_limit_group_reset_totals(group_enter(self))
