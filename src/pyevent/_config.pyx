"""How a base is to be made, and on which backend."""

from posix.time cimport timeval

from pyevent._core cimport check, to_timeval
from pyevent.c.event cimport *


cdef class EventConfig:
    """How a base is to be made: ``EventBase(config)``."""

    def __cinit__(self):
        self.cfg = event_config_new()
        if self.cfg == NULL:
            raise MemoryError("pyevent: out of memory")

    def __dealloc__(self):
        event_config_free(self.cfg)

    def __reduce__(self):
        raise TypeError("cannot pickle or copy 'EventConfig' objects")

    def avoid_method(self, str name not None):
        """Leave out the backend called *name*."""
        check(event_config_avoid_method(self.cfg, name.encode()))

    def require_features(self, int features):
        """Accept only a backend with all of these ``EV_FEATURE_*``."""
        check(event_config_require_features(self.cfg, features))

    def set_flag(self, int flag):
        """Add ``EVENT_BASE_FLAG_*`` bits."""
        check(event_config_set_flag(self.cfg, flag))

    def set_max_dispatch_interval(self, max_interval=None, int max_callbacks=-1,
                                  int min_priority=1):
        """Look for new events while many callbacks are due.

        :param max_interval: at the latest after so many seconds; ``None``: no limit.
        :param max_callbacks: and after so many callbacks; negative: no limit.
        :param min_priority: for callbacks of this priority and less urgent ones.
        """
        cdef timeval tv
        if max_interval is not None:
            to_timeval(max_interval, &tv)
        check(event_config_set_max_dispatch_interval(
            self.cfg, NULL if max_interval is None else &tv, max_callbacks, min_priority))


cdef list compiled_backends():
    cdef const char **names = event_get_supported_methods()
    cdef list found = []
    while names[0] != NULL:
        found.append(names[0].decode())
        names += 1
    return found


def get_supported_methods():
    """The names of all backends that were compiled in, best first."""
    return compiled_backends()


cdef EventConfig config_for(str backend):
    cdef EventConfig config = EventConfig()
    cdef list names = compiled_backends()
    if backend not in names:
        raise ValueError(f"no backend called {backend!r}; there are {', '.join(names)}")
    config.set_flag(EVENT_BASE_FLAG_IGNORE_ENV)
    for name in names:
        if name != backend:
            config.avoid_method(name)
    return config


def backends():
    """The names of the backends that open on this system, best first."""
    cdef event_base *base
    cdef list found = []
    for name in compiled_backends():
        base = event_base_new_with_config(config_for(name).cfg)
        if base != NULL:
            found.append(name)
            event_base_free(base)
    return found
