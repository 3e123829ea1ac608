# Results and arguments of C: errors, descriptors, times, flags.

from libc.stdint cimport int64_t
from posix.time cimport timeval


cdef int check(int result) except -1
cdef int check_err(int result, object source) except -1
cdef int fd_of(object file) except -1
cdef int64_t to_ns(object seconds) except -1
cdef int to_timeval(object seconds, timeval *tv) except -1
cdef object event_flags(int what)
cdef object bev_flags(int what)
