"""How a base is to be made, and on which backend."""

from posix.time cimport timeval

from pyevent._native.base.arguments cimport check, to_timeval
from pyevent._native.c.event cimport *


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

    def __repr__(self):
        cdef str name = type(self).__name__
        return f"<{name}{' closed' if self.cfg == NULL else ''}>"

    def close(self):
        """Give back what it holds; bases made with it go on. Closing again does nothing."""
        cdef event_config *cfg = self.cfg
        self.cfg = NULL
        event_config_free(cfg)

    free = close

    @property
    def closed(self):
        """Whether it has been closed."""
        return self.cfg == NULL

    def avoid_method(self, str name not None):
        """Leave out the backend called *name*."""
        cdef bytes method = name.encode()
        check(event_config_avoid_method(config_enter(self), method))

    def require_features(self, int features):
        """Accept only a backend with all of these ``EV_FEATURE_*``."""
        check(event_config_require_features(config_enter(self), features))

    def set_flag(self, int flag):
        """Add ``EVENT_BASE_FLAG_*`` bits."""
        check(event_config_set_flag(config_enter(self), flag))

    def set_max_dispatch_interval(self, max_interval=None, int max_callbacks=-1,
                                  int min_priority=1):
        """Look for new events while many callbacks are due.

        :param max_interval: at the latest after so many seconds; ``None``: no limit.
        :param max_callbacks: and after so many callbacks; negative: no limit.
        :param min_priority: for callbacks of this priority and less urgent ones.
        """
        cdef timeval tv
        cdef timeval *interval = NULL
        if max_interval is not None:
            to_timeval(max_interval, &tv)
            interval = &tv
        check(event_config_set_max_dispatch_interval(config_enter(self), interval,
                                                     max_callbacks, min_priority))


cdef event_config *config_enter(EventConfig self) except NULL:
    if self.cfg == NULL:
        raise RuntimeError(f"{self!r}: it was closed")
    return self.cfg


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
    cdef EventConfig config
    cdef list found = []
    for name in compiled_backends():
        config = config_for(name)
        base = event_base_new_with_config(config_enter(config))
        if base != NULL:
            found.append(name)
            event_base_free(base)
    return found
