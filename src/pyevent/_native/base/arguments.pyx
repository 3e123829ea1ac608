"""Results and arguments of C: errors, descriptors, times, flags."""

from libc.errno cimport ENOMEM, errno
from libc.math cimport ceil, isfinite
from libc.stdint cimport int64_t
from posix.time cimport timeval

from pyevent._native.c.mem cimport PE_CLOCK_MAX_NS

import os

from pyevent.constants import BevEvent, EventFlag


cdef extern from "Python.h":
    int PyObject_AsFileDescriptor(object o) except -1


# --- errors -------------------------------------------------------------------

cdef int check(int result) except -1:
    """The result of an event2 call; below 0, the OSError (or MemoryError) that errno says."""
    cdef int error
    if result < 0:
        error = errno  # before anything else, which may change it
        if error == ENOMEM:
            raise MemoryError("pyevent: out of memory")
        raise OSError(error, os.strerror(error))
    return result


cdef int check_err(int result, object source) except -1:
    """What answers a negative errno, for *source*: it is the OSError's ``filename``."""
    if result < 0:
        if result == -ENOMEM:
            raise MemoryError(f"pyevent: out of memory: {source!r}")
        raise OSError(-result, os.strerror(-result), source)
    return result


# --- arguments ------------------------------------------------------------------

cdef int fd_of(object file) except -1:
    """The descriptor of an ``int`` or of anything with a ``fileno()``."""
    return PyObject_AsFileDescriptor(file)


cdef int64_t to_ns(object seconds) except -1:
    """Nanoseconds, rounded up; what is beyond the clock's range becomes its maximum."""
    cdef double value
    if isinstance(seconds, int):
        if seconds < 0:
            raise ValueError(f"timeout must not be negative: {seconds!r}")
        if seconds > PE_CLOCK_MAX_NS // 1_000_000_000:
            return PE_CLOCK_MAX_NS
        return <int64_t>seconds * 1_000_000_000
    value = seconds
    if not isfinite(value):
        raise ValueError(f"timeout must be finite: {seconds!r}")
    if value < 0:
        raise ValueError(f"timeout must not be negative: {seconds!r}")
    if value >= <double>PE_CLOCK_MAX_NS / 1e9:
        return PE_CLOCK_MAX_NS
    return <int64_t>ceil(value * 1e9)


cdef int to_timeval(object seconds, timeval *tv) except -1:
    """The same as C's timeval, rounded up to the microsecond."""
    cdef int64_t ns = to_ns(seconds)
    cdef int64_t us = (ns + 999) // 1000
    tv.tv_sec = us // 1_000_000
    tv.tv_usec = us % 1_000_000
    return 0


# The members of both flag types are made once: a callback gets them for free.
cdef list _event_flags = [None] * 256
cdef dict _bev_flags = {}


cdef object event_flags(int what):
    cdef object flags = _event_flags[what & 0xff]
    if flags is None:
        flags = _event_flags[what & 0xff] = EventFlag(what & 0xff)
    return flags


cdef object bev_flags(int what):
    cdef object flags = _bev_flags.get(what)
    if flags is None:
        flags = _bev_flags[what] = BevEvent(what)
    return flags
