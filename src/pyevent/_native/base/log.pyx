"""What the C core has to say, and its settings for the whole process.

Its lines go to the logger "pyevent", or to the callback of set_log_callback().
The core logs only while it is entered, that is, with the GIL.
"""

from libc.stdint cimport uint32_t

from pyevent._native.c.log cimport *

from pyevent import errors


cdef extern from *:
    """
    #include <Python.h>
    #if PY_VERSION_HEX >= 0x030D0000
    #define pe_py_is_finalizing Py_IsFinalizing
    #else
    #define pe_py_is_finalizing _Py_IsFinalizing
    #endif
    """
    bint pe_py_is_finalizing()


cdef object user_callback = None


cdef void line_logged(int severity, const char *msg) noexcept:
    if pe_py_is_finalizing():
        return  # nobody is there to read it
    cdef object callback = user_callback
    try:
        if callback is not None:
            callback(severity, msg.decode("utf-8", "replace"))
        else:
            errors.log_line(severity, msg.decode("utf-8", "replace"))
    except BaseException as exc:
        errors.log_lost(exc)


event_set_log_callback(line_logged)


def set_log_callback(callback):
    """Have ``callback(severity, message)`` called with each line that the C core logs.

    *severity* is an ``EVENT_LOG_*``. ``None``: they go to the logger "pyevent".
    """
    global user_callback
    cdef object old = user_callback  # dropped last
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable or None, not {callback!r}")
    user_callback = callback


def enable_debug_logging(which):
    """``EVENT_DBG_ALL``: have debug lines logged also; ``EVENT_DBG_NONE``: no longer."""
    event_enable_debug_logging(<uint32_t>which)


def enable_debug_mode():
    """Check in each call that memory given as an event holds one. For C code in the process:
    an :class:`Event` is one always.

    :raises RuntimeError: there is a base that has had events, which it would take for none.
    """
    if pe_debug_enable() < 0:
        raise RuntimeError("debug mode is for before the first event: there are some already")


def global_shutdown():
    """Free what the library keeps for the whole process, after all bases are closed."""
    libevent_global_shutdown()
