"""The library: its version, its memory, how it was built.

Also the shared object's own module: the others live in its file (see _boot.py).
"""

from pyevent._native.c.event cimport event_get_version
from pyevent._native.c.mem cimport (
    PE_MEM_KINDS,
    pe_mem_fail_nth,
    pe_mem_kind,
    pe_mem_kind_name,
    pe_mem_live,
)


cdef extern from *:
    """
    #if defined(__clang__)
    #define BUILD_COMPILER __VERSION__ /* says so itself */
    #elif defined(__GNUC__)
    #define BUILD_COMPILER "GCC " __VERSION__
    #else
    #define BUILD_COMPILER "an unknown compiler"
    #endif
    #ifdef __OPTIMIZE__
    #define BUILD_OPTIMISED 1
    #else
    #define BUILD_OPTIMISED 0
    #endif
    #ifdef NDEBUG
    #define BUILD_ASSERTIONS 0
    #else
    #define BUILD_ASSERTIONS 1
    #endif
    #ifdef PYEVENT_COVERAGE
    #define BUILD_COVERAGE 1
    #else
    #define BUILD_COVERAGE 0
    #endif
    #ifndef PYEVENT_SANITIZERS
    #define PYEVENT_SANITIZERS ""
    #endif
    """
    const char *BUILD_COMPILER
    const unsigned int BUILD_CYTHON "CYTHON_HEX_VERSION"
    const char *BUILD_SANITIZERS "PYEVENT_SANITIZERS"
    const bint BUILD_OPTIMISED, BUILD_ASSERTIONS, BUILD_COVERAGE


def get_version():
    """The version of libevent's API that this is, with our own: ``"2.2.0-pyevent-0.1"``."""
    return event_get_version().decode()


def live_allocations():
    """How many memory blocks of each kind the C core holds now, as a ``dict``.

    The same before and after means that nothing leaked.
    """
    return {
        pe_mem_kind_name(<pe_mem_kind>kind).decode(): pe_mem_live(<pe_mem_kind>kind)
        for kind in range(PE_MEM_KINDS)
    }


def build_info():
    """How the extension was compiled: ``compiler``, ``cython``, ``modes``, ``sanitizers``."""
    return {
        "compiler": BUILD_COMPILER.decode(),
        "cython": f"{BUILD_CYTHON >> 24}.{BUILD_CYTHON >> 16 & 0xff}.{BUILD_CYTHON >> 8 & 0xff}",
        "modes": [
            "optimised" if BUILD_OPTIMISED else "not optimised",
            "with assertions" if BUILD_ASSERTIONS else "without assertions",
            "counting lines" if BUILD_COVERAGE else "not counting lines",
        ],
        "sanitizers": BUILD_SANITIZERS.decode(),
    }


def _fail_allocation(long n):
    """Let the core's nth allocation from now fail, once; 0 switches it off. For tests."""
    pe_mem_fail_nth(n)
