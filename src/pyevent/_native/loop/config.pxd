# How a base is to be made.

from pyevent._native.c.event cimport event_config


cdef class EventConfig:
    cdef event_config *cfg


# A configuration for the backend of that name alone; ValueError: there is none.
cdef EventConfig config_for(str backend)

cdef event_config *config_enter(EventConfig self) except NULL
