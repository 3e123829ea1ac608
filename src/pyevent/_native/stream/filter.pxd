# Filters: connections whose bytes go through functions and another connection.

from pyevent._native.stream.bufferevent cimport BufferEvent


cdef class Filter(BufferEvent):
    cdef object input_filter
    cdef object output_filter
    cdef object filter_arg
    cdef bint closes_under
