/* quick.h - what is done once for each line, to be inlined where that is done.
 *
 * The Python face takes lines out and puts answers in; the calls between it and the
 * buffer would cost as much as the work. Each of these does the usual case and
 * says no to all others, which the functions of the same purpose know.
 */
#ifndef PE_BUF_QUICK_H
#define PE_BUF_QUICK_H

#include <string.h>

#include "buf/evbuffer.h"
#include "buf/seg.h"

#define PE_LIKELY(x) __builtin_expect(!!(x), 1)
#define PE_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* What the mark `searched` is about. LF and CRLF look for the same byte. */
enum pe_searched_for {
    PE_FOR_NOTHING,
    PE_FOR_LF,
    PE_FOR_CRLF_STRICT,
    PE_FOR_ANY,
    PE_FOR_NUL
};

static const uint8_t pe_searched_for[] = {
    [EVBUFFER_EOL_ANY] = PE_FOR_ANY,
    [EVBUFFER_EOL_CRLF] = PE_FOR_LF,
    [EVBUFFER_EOL_CRLF_STRICT] = PE_FOR_CRLF_STRICT,
    [EVBUFFER_EOL_LF] = PE_FOR_LF,
    [EVBUFFER_EOL_NUL] = PE_FOR_NUL,
};

/* The length of the first line, from the mark on in the first span, or -1 and the mark
 * moved; the length of its end goes to `*eol_len`. */
static inline ssize_t pe_buf_line_in_first(struct evbuffer *buf, enum evbuffer_eol_style style,
                                           size_t *eol_len) {
    const struct pe_seg *seg = buf->first;
    size_t from = buf->searched, n, i;
    const unsigned char *p, *hit;

    if (buf->len == 0 || style == EVBUFFER_EOL_ANY ||
        buf->searched_for != pe_searched_for[style])
        return -1;
    n = pe_seg_run(seg, 0, pe_seg_used(seg));
    if (from >= n)
        return -1;
    p = pe_seg_at(seg, 0);
    hit = (const unsigned char *)memchr(p + from, style == EVBUFFER_EOL_NUL ? 0 : '\n', n - from);
    if (hit == NULL) {
        buf->searched = n;
        return -1;
    }
    i = (size_t)(hit - p);
    buf->searched = i;
    if (style == EVBUFFER_EOL_CRLF || style == EVBUFFER_EOL_CRLF_STRICT) {
        if (i > 0 && p[i - 1] == '\r') {
            *eol_len = 2;
            return (ssize_t)i - 1;
        }
        if (style == EVBUFFER_EOL_CRLF_STRICT)
            return -1;
    }
    *eol_len = 1;
    return (ssize_t)i;
}

/* Take `n` bytes off the front, fewer than the first segment has. */
static inline void pe_buf_step(struct evbuffer *buf, size_t n) {
    buf->first->head += n;
    buf->len -= n;
    buf->epoch++;
    buf->searched = buf->searched > n ? buf->searched - n : 0;
}

/* Drain `n` bytes when that is a step inside the first segment and nobody is told:
 * true when it was. */
static inline bool pe_buf_step_quietly(struct evbuffer *buf, size_t n) {
    if (buf->len == 0 || n >= pe_seg_used(buf->first) || buf->hook != NULL || buf->extras != NULL)
        return false;
    pe_buf_step(buf, n);
    return true;
}

/* Where the first line is, when it is in the first span of a buffer that is neither frozen
 * nor pinned and holds no file; its length, and that of its end. NULL when it is not that
 * easy: pe_evbuffer_line knows. Take it out with pe_evbuffer_take_near. */
static inline const unsigned char *pe_evbuffer_near_line(struct evbuffer *buf,
                                                         enum evbuffer_eol_style style,
                                                         size_t *len, size_t *eol_len) {
    ssize_t n;

    if (buf->flags & (PE_BUF_FILES | PE_BUF_FROZEN_START | PE_BUF_PINNED))
        return NULL;
    n = pe_buf_line_in_first(buf, style, eol_len);
    if (n < 0)
        return NULL;
    *len = (size_t)n;
    return pe_seg_at(buf->first, 0);
}

static inline void pe_evbuffer_take_near(struct evbuffer *buf, size_t n) {
    if (PE_UNLIKELY(!pe_buf_step_quietly(buf, n)))
        pe_evbuffer_take(buf, n);
}

/* Add a copy of `n` bytes when the last segment has room for them: true when that was done.
 * The hook runs; touch nothing after. */
static inline bool pe_evbuffer_add_near(struct evbuffer *buf, const void *data, size_t n) {
    struct pe_seg *last = buf->last;

    if (PE_UNLIKELY(last == NULL || n - 1 >= pe_seg_room(last) || buf->extras != NULL ||
                    buf->flags & PE_BUF_FROZEN_END))
        return false;
    pe_seg_put(last, data, n);
    buf->len += n;
    if (buf->hook != NULL)
        buf->hook(buf, n, 0);
    return true;
}

#endif
