# Ranges of files, to be added to buffers.

from libc.stdint cimport int64_t

from pyevent._native.c.buffer cimport evbuffer_file_segment


cdef class FileSegment:
    cdef evbuffer_file_segment *seg  # NULL: closed
    cdef bint is_set_up              # once and for all


# The one reader of `seg`: ValueError when it is closed, or was never set up.
cdef evbuffer_file_segment *segment_enter(FileSegment self) except NULL

cdef int64_t whole(object n) except? -1

# A segment of `file` with one reference, the caller's. When `file` is a number it stays
# open, and goes to `*number`; else that is -1.
cdef evbuffer_file_segment *segment_of(object file, object offset, object length,
                                       unsigned int flags, int *number) except NULL

# Have the descriptor closed with the last reference.
cdef void segment_owns(evbuffer_file_segment *seg, int fd) noexcept
