# Socket addresses, as the socket module gives and takes them.

cdef extern from *:
    """
    #include <sys/socket.h>
    """
    cdef struct sockaddr:
        unsigned short sa_family
    cdef struct sockaddr_storage:
        pass
    ctypedef unsigned int socklen_t


cdef enum:
    ADDRESS_ANY_PATH = 1
    ADDRESS_UNNAMED = 2

cdef object address_of(const sockaddr *address, int size)
cdef object bound_address(int fd)
cdef bint is_address(object address) except -1
cdef int convert_address(object address, int allowed, sockaddr_storage *out, int *size) except -1
cdef int to_sockaddr(object address, sockaddr_storage *out, int *size) except -1
