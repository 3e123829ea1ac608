"""Calling a user's callback, and what becomes of its exception.

The GIL: the core is entered with it and gives it up around the kernel wait
only. Any call out of the core may run any other thread, or re-enter.
"""

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_XDECREF
from libc.stdint cimport int64_t

from pyevent._native.c.event cimport event_base_loopbreak
from pyevent._native.c.mem cimport pe_clock_now
from pyevent._native.loop.attached cimport Attached
from pyevent._native.loop.eventbase cimport EventBase

from pyevent import errors


cdef extern from "Python.h":
    void PyErr_Fetch(PyObject **kind, PyObject **value, PyObject **traceback)
    void PyErr_Restore(PyObject *kind, PyObject *value, PyObject *traceback)
    void PyErr_NormalizeException(PyObject **kind, PyObject **value, PyObject **traceback)
    void PyErr_SetObject(object kind, object value)
    void PyErr_WriteUnraisable(object source)
    int PyException_SetTraceback(PyObject *exc, PyObject *traceback)
    PyObject *PyObject_Vectorcall(PyObject *callable, PyObject **args, size_t nargs,
                                  PyObject *kwnames)
    PyObject *PyExc_RecursionError
    void PyErr_SetString(PyObject *kind, const char *text)


cdef enum:
    MAX_DEPTH = 200  # of callbacks that call callbacks


# --- failing callbacks --------------------------------------------------------------

cdef object take_exception():
    """The exception that a C call has left, taken."""
    cdef PyObject *kind
    cdef PyObject *value
    cdef PyObject *traceback
    cdef object exc
    PyErr_Fetch(&kind, &value, &traceback)
    PyErr_NormalizeException(&kind, &value, &traceback)
    exc = <object>value
    if traceback != NULL:
        PyException_SetTraceback(value, traceback)
    Py_XDECREF(kind)
    Py_XDECREF(value)
    Py_XDECREF(traceback)
    return exc


cdef void stop_with(EventBase base, object exc) noexcept:
    """Have dispatch() raise `exc`. Of several the first, but KeyboardInterrupt and its like
    before any Exception; the others go to sys.unraisablehook.
    """
    cdef object other = base.failure
    if other is None or isinstance(other, Exception) and not isinstance(exc, Exception):
        base.failure = exc
    else:
        other = exc
    if other is not None:
        PyErr_SetObject(type(other), other)
        PyErr_WriteUnraisable(base)
    if base.base != NULL:
        event_base_loopbreak(base.base)


cdef void unraisable(object exc, object source) noexcept:
    PyErr_SetObject(type(exc), exc)
    PyErr_WriteUnraisable(source)


cdef void report(EventBase base, dict context) noexcept:
    try:
        errors.log_failure(context)
    except Exception as exc:
        unraisable(context["exception"], context["callback"])
        unraisable(exc, base)
    except BaseException as exc:
        stop_with(base, exc)


cdef void default_handler(EventBase base, dict context) noexcept:
    cdef object source = context["source"]
    report(base, context)
    if not isinstance(source, Attached) or not (<Attached>source).closes_on_failure:
        return
    try:
        source.close()
    except Exception as exc:
        unraisable(exc, source)
    except BaseException as exc:
        stop_with(base, exc)


cdef void call_failed(EventBase base, object source, object callback, str message) noexcept:
    """An exception is set: give it to the base's handler, or have dispatch() raise it."""
    cdef object exc = take_exception()
    cdef object handler = base.handler
    cdef dict context
    if handler is errors.RAISE or not isinstance(exc, Exception):
        stop_with(base, exc)
        return
    try:
        context = {"message": message, "exception": exc, "source": source, "callback": callback}
        if handler is None:
            default_handler(base, context)
        else:
            handler(base, context)
    except BaseException as inner:  # the handler's own
        if inner is not exc and inner.__context__ is None:
            inner.__context__ = exc
        stop_with(base, inner)


cdef void callback_failed(Attached source, object callback, str message) noexcept:
    cdef EventBase base = source.owner  # which a handler may change
    call_failed(base, source, callback, message)


# --- calling out ------------------------------------------------------------------

cdef PyObject *call_out(EventBase base, object source, object callback, PyObject **args,
                        size_t n) noexcept:
    """Call a user's callback; NULL: it has raised, and the exception is set."""
    cdef EventBase held = base  # its caller's attribute may change meanwhile
    cdef PyObject *result
    if held.depth != 0:
        return call_nested(held, source, callback, args, n)
    held.depth = 1
    result = call_timed(held, source, callback, args, n)
    held.depth -= 1
    return result


cdef PyObject *call_nested(EventBase base, object source, object callback, PyObject **args,
                           size_t n) noexcept:
    """A callback inside a callback. Where no Python function is in between, Python counts too
    little, or nothing, of the stack that each of them takes in C. At this limit enough
    is left for telling of it."""
    cdef PyObject *result
    if base.depth >= MAX_DEPTH:
        PyErr_SetString(PyExc_RecursionError, "too many callbacks inside one another")
        return NULL
    base.depth += 1
    result = call_timed(base, source, callback, args, n)
    base.depth -= 1
    return result


cdef inline PyObject *call_timed(EventBase base, object source, object callback,
                                 PyObject **args, size_t n) noexcept:
    cdef int64_t start
    cdef PyObject *result
    if base.slow_ns == 0:
        return PyObject_Vectorcall(<PyObject *>callback, args, n, NULL)
    start = pe_clock_now()
    result = PyObject_Vectorcall(<PyObject *>callback, args, n, NULL)
    start = pe_clock_now() - start
    if start > base.slow_ns:
        note_slow(base, source, callback, args[n - 1], start)
    return result


cdef void note_slow(EventBase base, object source, object callback, PyObject *arg,
                    int64_t ns) noexcept:
    """Leaves the exception alone that the callback may have raised."""
    cdef PyObject *kind
    cdef PyObject *value
    cdef PyObject *traceback
    PyErr_Fetch(&kind, &value, &traceback)
    try:
        errors.log_slow(shown_callback(callback, <object>arg), source, ns * 1e-9)
    except Exception as exc:
        unraisable(exc, base)
    except BaseException as exc:
        stop_with(base, exc)
    PyErr_Restore(kind, value, traceback)


# --- calls that are made into events ---------------------------------------------------

def run_soon(fd, what, call):
    """What call_soon_threadsafe() has made due."""
    callback, args = call
    callback(*args)


soon = run_soon


def run_finalizer(fd, what, call):
    """What finalize() has made due."""
    callback, ev, arg = call
    callback(ev, arg)


finalizer = run_finalizer


cdef object shown_callback(object callback, object arg):
    """The user's own, of an event that is made for a call."""
    if (callback is run_soon or callback is run_finalizer) and isinstance(arg, tuple):
        return arg[0]
    return callback


# --- callbacks as arguments ------------------------------------------------------------

cdef object checked_callback(object callback, str what):
    if callback is not None and not callable(callback):
        raise TypeError(f"{what} must be callable or None, not {callback!r}")
    return callback


cdef object checked_handler(object handler):
    if handler is not None and handler is not errors.RAISE and not callable(handler):
        raise TypeError(f"exception_handler must be None, RAISE or callable, not {handler!r}")
    return handler


cdef bint call(Attached self, object callback, PyObject **args, size_t n, str message) noexcept:
    """Whether the callback went well; if not, the base's exception handler has been told."""
    cdef PyObject *result = call_out(self.owner, self, callback, args, n)
    if result == NULL:
        callback_failed(self, callback, message)
        return False
    Py_DECREF(<object>result)
    return True


cdef bint has_errors = False


cdef int load_errors() except -1:
    global has_errors
    if not has_errors:
        errors.load()
        has_errors = True
    return 0


cdef int raise_failure(EventBase self) except -1:
    cdef object failure = self.failure
    self.failure = None
    if failure is not None:
        raise failure
    return 0
