"""How much a connection may hold, and how many names may be looked up at once."""

from pyevent._native.c.stream cimport *


cdef size_t limit_of_argument(object value, str name) except? 0:
    """A number of bytes, or of lookups; 0 for ``None``, which is no limit."""
    cdef Py_ssize_t n
    if value is None:
        return 0
    n = value
    if n <= 0:
        raise ValueError(f"{name} must be positive, or None for no limit, not {n}")
    return <size_t>n


cdef object limit_or_none(size_t limit):
    return None if limit == 0 else limit


cdef size_t resume_of(object value, size_t high) except? 0:
    """How far output must fall that was above `high`."""
    cdef Py_ssize_t n = 0 if value is None else value
    if n < 0 or (high != 0 and <size_t>n > high):
        raise ValueError(f"resume_output must be 0 to max_output, not {n}")
    return <size_t>n


cdef int limits_of(type cls, type plain, object max_input, object max_output, object resume_output,
                   object max_lookups, bev_limits *limits) except -1:
    """What the arguments say, the class where they are not given; `plain` is BufferEvent, whose
    pause is the default. May run code."""
    cdef size_t lookups
    limits.input_max = limit_of_argument(cls.max_input if max_input is ... else max_input,
                                         "max_input")
    limits.pauses_by_default = max_output is ... and cls.max_output is plain.max_output
    limits.pause_high = limit_of_argument(cls.max_output if max_output is ... else max_output,
                                          "max_output")
    if resume_output is not ...:
        limits.pause_low = resume_of(resume_output, limits.pause_high)
    else:
        limits.pause_low = resume_of(cls.resume_output, 0)
        if limits.pause_low > limits.pause_high:
            limits.pause_low = limits.pause_high // 4
    lookups = limit_of_argument(cls.max_lookups if max_lookups is ... else max_lookups,
                                "max_lookups")
    if lookups > 0xffff:
        raise ValueError(f"max_lookups must be less than 65536, or None, not {lookups}")
    limits.lookups_max = <unsigned short>lookups
    return 0


cdef void no_pause_by_default(bev_limits *limits) noexcept:
    if limits.pauses_by_default:
        limits.pauses_by_default = False
        limits.pause_high = limits.pause_low = 0


cdef int bev_limit(bufferevent *bev, bev_limits *limits) noexcept:
    """Give it these limits; 0 or a negative errno."""
    if limits == NULL:
        return 0
    return pe_bev_set_limits(bev, limits.input_max, limits.pause_high, limits.pause_low)
