# Calling a user's callback, and what becomes of its exception.

from cpython.object cimport PyObject

from pyevent._native.loop.attached cimport Attached
from pyevent._native.loop.eventbase cimport EventBase


# Call it; False: it has raised, and the base's exception handler has been told.
cdef bint call(Attached self, object callback, PyObject **args, size_t n, str message) noexcept

# The same in two steps: NULL and an exception is set; then tell of that.
cdef void callback_failed(Attached source, object callback, str message) noexcept
cdef PyObject *call_out(EventBase base, object source, object callback, PyObject **args,
                        size_t n) noexcept
cdef void call_failed(EventBase base, object source, object callback, str message) noexcept
cdef void stop_with(EventBase base, object exc) noexcept
cdef int raise_failure(EventBase self) except -1

# run_soon and run_finalizer: callbacks of the events that are made for a call, whose argument
# is a tuple of the user's own callback and what it is given.
cdef object soon, finalizer

# Log a failure. Whatever goes wrong with that is told to sys.unraisablehook: it ends no loop.
cdef void report(EventBase base, dict context) noexcept
cdef object shown_callback(object callback, object arg)
cdef void default_handler(EventBase base, dict context) noexcept

cdef object checked_callback(object callback, str what)
cdef object checked_handler(object handler)
cdef int load_errors() except -1  # what reporting needs, while there are descriptors for it
