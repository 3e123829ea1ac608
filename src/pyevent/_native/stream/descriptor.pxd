# Descriptors that are given to us: one of the first two, then either give_up() or drop_taken().

cdef int fd_owned(object file, bint closes) except -2
cdef int fd_taken(object file, bint closes) except -2
cdef object give_up(object file, int fd, bint closes)
cdef void drop_taken(object file, int fd, bint closes) noexcept

cdef int refuse_stream(int fd, object file) except -1
cdef tuple socket_option(str name)
