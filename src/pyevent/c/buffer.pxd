# event2/buffer.h and the inside of evbuffer that the Python face uses.

cdef extern from "buf/evbuffer.h":
    cdef struct evbuffer:
        pass
