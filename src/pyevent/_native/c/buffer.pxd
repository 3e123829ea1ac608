# event2/buffer.h and the inside of evbuffer that the Python face uses.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from pyevent._native.c.event cimport event_base


cdef extern from "buf/evbuffer.h":
    cdef struct evbuffer:
        size_t len
        uint8_t flags

    cdef struct pe_pin:
        evbuffer *buf
        unsigned char *data
        size_t len
        bint is_room

    ctypedef enum evbuffer_eol_style "enum evbuffer_eol_style":
        EVBUFFER_EOL_ANY
        EVBUFFER_EOL_CRLF
        EVBUFFER_EOL_CRLF_STRICT
        EVBUFFER_EOL_LF
        EVBUFFER_EOL_NUL

    cdef struct pe_lines:
        size_t pos
        const unsigned char *data
        size_t start
        size_t len
        int err

    int PE_BUF_FROZEN_START, PE_BUF_FROZEN_END, PE_BUF_PINNED

    void pe_evbuffer_take(evbuffer *buf, size_t n)
    Py_ssize_t pe_evbuffer_line(evbuffer *buf, evbuffer_eol_style style,
                                const unsigned char **data, size_t *eol_len)
    void pe_lines_init(pe_lines *it, evbuffer *buf, evbuffer_eol_style style)
    bint pe_lines_next(pe_lines *it)
    Py_ssize_t pe_evbuffer_copy_at(evbuffer *buf, size_t pos, void *out, size_t n)
    Py_ssize_t pe_evbuffer_eol_at(evbuffer *buf, size_t start, evbuffer_eol_style style,
                                  size_t *eol_len)
    Py_ssize_t pe_evbuffer_search_at(evbuffer *buf, const void *what, size_t n, size_t start,
                                     size_t end)
    Py_ssize_t pe_evbuffer_remove_buffer(evbuffer *src, evbuffer *dst, size_t n)

    int pe_evbuffer_pin(evbuffer *buf, size_t pos, size_t max, pe_pin *pin)
    int pe_evbuffer_reserve_pin(evbuffer *buf, size_t n, pe_pin *pin)
    void pe_evbuffer_unpin(pe_pin *pin)
    int pe_evbuffer_commit_pin(pe_pin *pin, size_t n)


cdef extern from "buf/quick.h":
    const unsigned char *pe_evbuffer_near_line(evbuffer *buf, evbuffer_eol_style style,
                                               size_t *n, size_t *eol_len)
    void pe_evbuffer_take_near(evbuffer *buf, size_t n)
    bint pe_evbuffer_add_near(evbuffer *buf, const void *data, size_t n)


cdef extern from "event2/buffer.h":
    cdef struct evbuffer_file_segment:
        pass

    ctypedef void (*evbuffer_ref_cleanup_cb)(const void *data, size_t n, void *extra) noexcept

    ctypedef struct iovec "struct iovec":
        void *iov_base
        size_t iov_len

    cdef struct evbuffer_cb_info:
        size_t orig_size, n_added, n_deleted

    cdef struct evbuffer_cb_entry:
        pass

    ctypedef void (*evbuffer_cb_func)(evbuffer *buf, const evbuffer_cb_info *info,
                                      void *arg) noexcept

    ctypedef void (*evbuffer_file_segment_cleanup_cb)(const evbuffer_file_segment *seg,
                                                      int flags, void *arg) noexcept

    int EVBUFFER_CB_ENABLED, EVBUF_FS_CLOSE_ON_FREE

    evbuffer *evbuffer_new()
    void evbuffer_free(evbuffer *buf)
    size_t evbuffer_get_length(const evbuffer *buf)
    size_t evbuffer_get_contiguous_space(const evbuffer *buf)
    int evbuffer_set_max_read(evbuffer *buf, size_t max)
    size_t evbuffer_get_max_read(evbuffer *buf)

    int evbuffer_add(evbuffer *buf, const void *data, size_t n)
    int evbuffer_add_reference(evbuffer *buf, const void *data, size_t n,
                               evbuffer_ref_cleanup_cb cleanup, void *extra)
    int evbuffer_prepend(evbuffer *buf, const void *data, size_t n)
    int evbuffer_remove(evbuffer *buf, void *data, size_t n)
    int evbuffer_drain(evbuffer *buf, size_t n)

    int evbuffer_add_buffer(evbuffer *out, evbuffer *buf)
    int evbuffer_add_buffer_reference(evbuffer *out, evbuffer *buf)
    int evbuffer_prepend_buffer(evbuffer *out, evbuffer *buf)

    int evbuffer_read(evbuffer *buf, int fd, int howmuch)
    int evbuffer_write_atmost(evbuffer *buf, int fd, Py_ssize_t howmuch)

    unsigned char *evbuffer_pullup(evbuffer *buf, Py_ssize_t n)
    int evbuffer_expand(evbuffer *buf, size_t n)
    int evbuffer_freeze(evbuffer *buf, int at_front)
    int evbuffer_unfreeze(evbuffer *buf, int at_front)

    int evbuffer_set_flags(evbuffer *buf, uint64_t flags)
    int evbuffer_clear_flags(evbuffer *buf, uint64_t flags)
    size_t evbuffer_add_iovec(evbuffer *buf, iovec *vec, int n)

    evbuffer_cb_entry *evbuffer_add_cb(evbuffer *buf, evbuffer_cb_func cb, void *arg)
    int evbuffer_remove_cb_entry(evbuffer *buf, evbuffer_cb_entry *entry)
    int evbuffer_cb_set_flags(evbuffer *buf, evbuffer_cb_entry *entry, uint32_t flags)
    int evbuffer_cb_clear_flags(evbuffer *buf, evbuffer_cb_entry *entry, uint32_t flags)
    int evbuffer_defer_callbacks(evbuffer *buf, event_base *base)

    evbuffer_file_segment *evbuffer_file_segment_new(int fd, int64_t offset, int64_t length,
                                                     unsigned int flags)
    void evbuffer_file_segment_free(evbuffer_file_segment *seg)
    void evbuffer_file_segment_add_cleanup_cb(evbuffer_file_segment *seg,
                                              evbuffer_file_segment_cleanup_cb cb, void *arg)
    int evbuffer_add_file_segment(evbuffer *buf, evbuffer_file_segment *seg, int64_t offset,
                                  int64_t length)


cdef extern from "buf/file.h":
    void pe_file_hold(evbuffer_file_segment *file)
