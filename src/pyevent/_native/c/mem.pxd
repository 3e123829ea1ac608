# base/mem.h and base/clock.h: what the Python face needs of the lowest layer.

from libc.stdint cimport int64_t


cdef extern from "base/mem.h":
    int PE_MEM_KINDS
    ctypedef enum pe_mem_kind "enum pe_mem_kind":
        pass
    long pe_mem_live(pe_mem_kind kind)
    const char *pe_mem_kind_name(pe_mem_kind kind)
    void pe_mem_fail_nth(long n)


cdef extern from "base/clock.h":
    int64_t PE_CLOCK_MAX_NS
    int64_t pe_clock_now()
    int64_t pe_clock_wall()
