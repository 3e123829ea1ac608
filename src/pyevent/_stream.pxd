# Buffered connections and listeners.

from cpython.object cimport PyObject

from pyevent._loop cimport Attached
from pyevent.c.stream cimport bufferevent, evconnlistener


cdef class BufferEvent(Attached):
    cdef bufferevent *bev          # NULL: closed
    cdef object readcb
    cdef object writecb
    cdef object eventcb
    cdef object user_arg
    cdef object file               # an object that owns the fd; None: nobody
    cdef PyObject *input_view      # borrowed: a Buffer clears it when it goes
    cdef PyObject *output_view


cdef class Listener(Attached):
    cdef evconnlistener *lev       # NULL: closed
    cdef object callback
    cdef object errorcb
    cdef object user_arg
    cdef object file               # an object that owns the fd; None: nobody
