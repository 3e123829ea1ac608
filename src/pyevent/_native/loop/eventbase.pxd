# Bases.

from cpython.object cimport PyObject

from pyevent._native.base.arguments cimport check
from pyevent._native.c.event cimport event, event_base, pe_link


cdef extern from *:
    """
    #include <Python.h>
    #include <stdbool.h>

    /* What the wait hooks need while they must not touch a Python object. */
    struct pe_py_hooks {
        PyThreadState *thread;
        void *base; /* the EventBase */
        bool mend;  /* call `mended` before waiting */
        void (*mended)(void *base);
        void (*returned)(void *base);
    };

    static inline void pe_py_before_wait(void *arg) {
        struct pe_py_hooks *hooks = (struct pe_py_hooks *)arg;

        if (hooks->mend)
            hooks->mended(hooks->base);
        hooks->thread = PyEval_SaveThread();
    }

    static inline void pe_py_after_wait(void *arg) {
        struct pe_py_hooks *hooks = (struct pe_py_hooks *)arg;

        PyEval_RestoreThread(hooks->thread);
        hooks->returned(hooks->base);
    }
    """
    cdef struct pe_py_hooks:
        void *base
        bint mend
        void (*mended)(void *base) noexcept
        void (*returned)(void *base) noexcept
    void pe_py_before_wait(void *arg) noexcept
    void pe_py_after_wait(void *arg) noexcept


# What a base is doing. Whoever makes it more than idle does so before any Python code can
# run, so that of two who want it for themselves one finds it taken: see loop/running.pyx.
cdef enum:
    BASE_IDLE
    BASE_STARTING  # dispatch() prepares the loop
    BASE_RUNNING
    BASE_CLOSING   # its objects are closed one by one, which may run any code


cdef class EventBase:
    cdef event_base *base     # NULL: closed, or never opened
    cdef pe_link held         # objects that this base owns a reference to
    cdef pe_link loose        # its other objects
    cdef pe_py_hooks hooks
    cdef object handler       # exception handler; None: the default one
    cdef object failure       # to be raised when the loop has ended
    cdef long long slow_ns    # a callback that runs longer is logged; 0: none is
    cdef int depth            # callbacks that run now, one called by the other
    cdef int unrun            # calls of call_soon_threadsafe that closing has dropped
    cdef object __weakref__
    # loop/running.pyx
    cdef unsigned char state
    cdef bint has_selfpipe          # signals wake it
    cdef unsigned long thread # who has it in that state
    cdef pe_link busy         # in the list of bases that are not idle
    cdef int selfpipe_fd         # what signal.set_wakeup_fd has of this base; -1: nothing
    cdef int forward_to       # what it had before; -1: nothing


# Each public method that touches C begins with its class's `..._enter` (here base_enter), which
# checks the object and answers the C pointer, and ends with leave(), which raises what the
# call's result and errno say. Between the two stands C alone: docs/design/cython.md, "Entries".
cdef event_base *base_enter(EventBase self) except NULL


cdef inline int leave(EventBase base, int result) except -1:
    return result if result >= 0 else check(result)

# For loop/event.pyx: its class, the Event of a struct event, a row of a table for one.
ctypedef object (*event_of_fn)(const event *ev)
ctypedef tuple (*event_row_fn)(object ev)
cdef int provide_events(object cls, event_of_fn of, event_row_fn row) except -1
