# What the modules of the extension share: errors, descriptors, times, flags, addresses.

from libc.stdint cimport int64_t
from posix.time cimport timeval


cdef extern from *:
    """
    #include <sys/socket.h>
    """
    cdef struct sockaddr:
        unsigned short sa_family
    cdef struct sockaddr_storage:
        pass
    ctypedef unsigned int socklen_t


cdef int check(int result) except -1
cdef int check_err(int result, object source) except -1
cdef int fd_of(object file) except -1
cdef int64_t to_ns(object seconds) except -1
cdef int to_timeval(object seconds, timeval *tv) except -1
cdef object event_flags(int what)
cdef object bev_flags(int what)
cdef object address_of(const sockaddr *address, int size)
cdef object bound_address(int fd)
cdef enum:
    ADDRESS_ANY_PATH = 1
    ADDRESS_UNNAMED = 2

cdef bint is_address(object address) except -1
cdef int convert_address(object address, int allowed, sockaddr_storage *out, int *size) except -1
cdef int to_sockaddr(object address, sockaddr_storage *out, int *size) except -1
