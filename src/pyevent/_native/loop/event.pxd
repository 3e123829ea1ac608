# Events.

from pyevent._native.c.event cimport event
from pyevent._native.loop.attached cimport Attached


cdef class Event(Attached):
    cdef event ev
    cdef bint is_open
    cdef object callback_
    cdef object arg_
    cdef object file          # whatever the fd was taken from


cdef event *event_enter(Event self) except NULL
