/* find.c - places, searching, lines.
 *
 * Everything here walks over spans with memchr(3); nothing is copied or moved
 * to be searched. A line that is not complete is not searched twice: the buffer
 * remembers up to where it has looked, and for what:
 *
 *     |......................|........|
 *     start          `searched`       end     no `searched_for` ends before it
 *
 * Draining shifts the mark, prepending and moving reset it, and so does looking
 * for another kind of end. LF and CRLF look for the same byte and share it. A
 * line that was found leaves the mark at its end, so finding it again is quick.
 */
#include "buf/inner.h"

/* What `searched` is about. */
enum { FOR_NOTHING, FOR_LF, FOR_CRLF, FOR_ANY, FOR_NUL };

static const uint8_t searched_for[] = {
    [EVBUFFER_EOL_ANY] = FOR_ANY,           [EVBUFFER_EOL_CRLF] = FOR_LF,
    [EVBUFFER_EOL_CRLF_STRICT] = FOR_CRLF,  [EVBUFFER_EOL_LF] = FOR_LF,
    [EVBUFFER_EOL_NUL] = FOR_NUL,
};

#define EITHER_PIECE 128 /* bytes looked through for CR and for LF in turn */

/* --- Pointers --- */

int evbuffer_ptr_set(struct evbuffer *buffer, struct evbuffer_ptr *ptr, size_t position,
                     enum evbuffer_ptr_how how) {
    size_t pos = position;
    struct pe_at at;

    if (how == EVBUFFER_PTR_ADD) {
        if (ptr->pos < 0 || position > PE_BUF_MAX - (size_t)ptr->pos)
            pos = SIZE_MAX;
        else
            pos = (size_t)ptr->pos + position;
    }
    if (pos > buffer->len) {
        memset(ptr, 0, sizeof(*ptr));
        ptr->pos = -1;
        return pe_fail(-EINVAL);
    }
    pe_buf_seek(buffer, pos, &at);
    *ptr = pe_buf_ptr(buffer, at.seg, at.off, pos);
    return 0;
}

static struct evbuffer_ptr nowhere(void) {
    struct evbuffer_ptr ptr = {-1, {NULL, 0, 0}};

    return ptr;
}

/* --- Ends of line --- */

/* The first CR or LF among `n` bytes. Piece by piece, so that many CRs before a
 * far LF do not make every search go as far as that. */
static const unsigned char *either(const unsigned char *p, size_t n) {
    while (n > 0) {
        size_t piece = n < EITHER_PIECE ? n : EITHER_PIECE;
        const unsigned char *lf = memchr(p, '\n', piece);
        const unsigned char *cr = memchr(p, '\r', lf != NULL ? (size_t)(lf - p) : piece);

        if (cr != NULL || lf != NULL)
            return cr != NULL ? cr : lf;
        p += piece;
        n -= piece;
    }
    return NULL;
}

/* How many CR and LF bytes in a row begin at `at`. */
static size_t run_of_either(const struct evbuffer *buf, struct pe_at at) {
    size_t count = 0, n, i;
    const unsigned char *p;

    while ((p = pe_at_span(&at, &n)) != NULL) {
        for (i = 0; i < n && (p[i] == '\r' || p[i] == '\n'); i++)
            continue;
        count += i;
        if (i < n)
            break;
        pe_at_step(buf, &at, n);
    }
    return count;
}

/* Whether the byte before `at` is CR and not before `start`. `at` is in its span
 * behind `i` others; only at the beginning of a span the place is looked up. */
static bool after_cr(const struct evbuffer *buf, const unsigned char *p, size_t i, size_t pos,
                     size_t start) {
    struct pe_at before;
    size_t n;

    if (pos <= start)
        return false;
    if (i > 0)
        return p[i - 1] == '\r';
    pe_buf_seek(buf, pos - 1, &before);
    return *pe_at_span(&before, &n) == '\r';
}

/* The first end of line that begins at `start` or later; before `at` there is none,
 * or only its CR. False when there is none; else `at` is left where it begins,
 * and its length in `*eol_len`. */
static bool find_eol(const struct evbuffer *buf, struct pe_at *at, size_t start,
                     enum evbuffer_eol_style style, size_t *eol_len) {
    int wanted = style == EVBUFFER_EOL_NUL ? 0 : '\n';
    const unsigned char *p, *hit;
    size_t n, i;

    while ((p = pe_at_span(at, &n)) != NULL) {
        hit = style == EVBUFFER_EOL_ANY ? either(p, n) : memchr(p, wanted, n);
        if (hit == NULL) {
            pe_at_step(buf, at, n);
            continue;
        }
        i = (size_t)(hit - p);
        if (style == EVBUFFER_EOL_CRLF || style == EVBUFFER_EOL_CRLF_STRICT) {
            if (after_cr(buf, p, i, at->pos + i, start)) {
                *eol_len = 2;
                if (i == 0)
                    pe_buf_seek(buf, at->pos - 1, at);
                else
                    pe_at_step(buf, at, i - 1);
                return true;
            }
            if (style == EVBUFFER_EOL_CRLF_STRICT) {
                pe_at_step(buf, at, i + 1);
                continue;
            }
        }
        pe_at_step(buf, at, i);
        *eol_len = style == EVBUFFER_EOL_ANY ? run_of_either(buf, *at) : 1;
        return true;
    }
    return false;
}

/* The same for the first end of line of the buffer, from the mark on, when it is
 * in the first span and plain to see there: the line that most calls are for. */
static bool find_nearby(struct evbuffer *buf, enum evbuffer_eol_style style,
                        struct pe_at *at, size_t *eol_len) {
    const struct pe_seg *seg = buf->first;
    size_t from = buf->searched, n, i;
    const unsigned char *p, *hit;

    n = pe_seg_run(seg, 0, pe_seg_used(seg));
    if (from >= n || style == EVBUFFER_EOL_ANY)
        return false;
    p = pe_seg_at(seg, 0);
    hit = memchr(p + from, style == EVBUFFER_EOL_NUL ? 0 : '\n', n - from);
    if (hit == NULL) {
        buf->searched = n;
        return false;
    }
    i = (size_t)(hit - p);
    *eol_len = 1;
    if (style == EVBUFFER_EOL_CRLF || style == EVBUFFER_EOL_CRLF_STRICT) {
        if (i > 0 && p[i - 1] == '\r')
            *eol_len = 2;
        else if (style == EVBUFFER_EOL_CRLF_STRICT)
            return false;
    }
    buf->searched = i;
    at->seg = buf->first;
    at->off = at->pos = i + 1 - *eol_len;
    return true;
}

/* The first end of line of the buffer, from the mark on, and the mark moved. */
static bool find_first_eol(struct evbuffer *buf, enum evbuffer_eol_style style,
                           struct pe_at *at, size_t *eol_len) {
    uint8_t what = searched_for[style];
    bool found;

    if (buf->len == 0)
        return false;
    if (buf->searched_for != what) {
        buf->searched_for = what;
        buf->searched = 0;
    }
    if (find_nearby(buf, style, at, eol_len))
        return true;
    pe_buf_seek(buf, buf->searched, at);
    found = find_eol(buf, at, 0, style, eol_len);
    /* Where an LF was found its CR is before it: the LF is what comes next. */
    if (!found)
        buf->searched = buf->len;
    else if (what == FOR_LF || what == FOR_CRLF)
        buf->searched = at->pos + *eol_len - 1;
    else
        buf->searched = at->pos;
    return found;
}

ssize_t pe_evbuffer_find_line(struct evbuffer *buf, enum evbuffer_eol_style style,
                              size_t *eol_len) {
    struct pe_at at;

    if ((unsigned)style > EVBUFFER_EOL_NUL || pe_buf_load(buf) != 0)
        return -1;
    return find_first_eol(buf, style, &at, eol_len) ? (ssize_t)at.pos : -1;
}

struct evbuffer_ptr evbuffer_search_eol(struct evbuffer *buffer, struct evbuffer_ptr *start,
                                        size_t *eol_len_out,
                                        enum evbuffer_eol_style eol_style) {
    size_t eol_len = 0;
    bool found = false;
    struct pe_at at;
    int err = 0;

    if ((unsigned)eol_style > EVBUFFER_EOL_NUL)
        err = -EINVAL;
    else
        err = pe_buf_load(buffer);
    if (err == 0) {
        if (start == NULL)
            found = find_first_eol(buffer, eol_style, &at, &eol_len);
        else if (pe_buf_resolve(buffer, start, &at))
            found = find_eol(buffer, &at, at.pos, eol_style, &eol_len);
        else
            err = -EINVAL;
    }
    if (err != 0)
        errno = -err;
    if (eol_len_out != NULL)
        *eol_len_out = found ? eol_len : 0;
    return found ? pe_buf_ptr(buffer, at.seg, at.off, at.pos) : nowhere();
}

char *evbuffer_readln(struct evbuffer *buffer, size_t *n_read_out,
                      enum evbuffer_eol_style eol_style) {
    struct pe_dead dead = {NULL, NULL};
    ssize_t len = -1;
    size_t eol_len;
    char *line;
    int err = 0;

    if (n_read_out != NULL)
        *n_read_out = 0;
    if (buffer->len > 0)
        err = pe_buf_may_take(buffer);
    if (err == 0)
        len = pe_evbuffer_find_line(buffer, eol_style, &eol_len);
    if (len < 0) {
        if (err != 0)
            errno = -err;
        return NULL;
    }
    line = pe_user_malloc((size_t)len + 1);
    if (line == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    pe_buf_copy_front(buffer, line, (size_t)len);
    line[len] = '\0';
    if (n_read_out != NULL)
        *n_read_out = (size_t)len;
    pe_buf_consume(buffer, (size_t)len + eol_len, &dead);
    pe_buf_tell(buffer, 0, (size_t)len + eol_len);
    pe_buf_bury(&dead);
    return line;
}

/* --- Walking over lines --- */

void pe_lines_init(struct pe_lines *it, struct evbuffer *buf, enum evbuffer_eol_style style) {
    memset(it, 0, sizeof(*it));
    it->buf = buf;
    it->style = style;
}

bool pe_lines_next(struct pe_lines *it) {
    struct evbuffer *buf = it->buf;
    struct pe_at from = {it->seg, it->off, it->pos}, at;
    size_t eol_len = 0, n;
    const unsigned char *p;
    bool found;

    if (it->pos == 0) {
        if ((unsigned)it->style > EVBUFFER_EOL_NUL || pe_buf_load(buf) != 0)
            return false;
        pe_buf_seek(buf, 0, &from);
        found = find_first_eol(buf, it->style, &at, &eol_len);
    } else {
        at = from;
        found = find_eol(buf, &at, it->pos, it->style, &eol_len);
    }
    if (!found)
        return false;
    it->start = it->pos;
    it->len = at.pos - it->start;
    p = pe_at_span(&from, &n);
    it->data = it->len <= n ? p : NULL;
    while (eol_len > 0) {
        (void)pe_at_span(&at, &n);
        if (n > eol_len)
            n = eol_len;
        pe_at_step(buf, &at, n);
        eol_len -= n;
    }
    it->seg = at.seg;
    it->off = at.off;
    it->pos = at.pos;
    return true;
}

/* --- Searching --- */

/* Whether the `n` bytes at `at` are `what`; they are all there. */
static bool equal_at(const struct evbuffer *buf, struct pe_at at, const char *what, size_t n) {
    while (n > 0) {
        size_t here;
        const unsigned char *p = pe_at_span(&at, &here);

        if (here > n)
            here = n;
        if (memcmp(p, what, here) != 0)
            return false;
        what += here;
        n -= here;
        pe_at_step(buf, &at, here);
    }
    return true;
}

/* `what` among the `n` bytes at `p`. memchr for its first byte is quickest while
 * that is rare; where it is not, memmem does not go back over bytes seen. */
static const unsigned char *find_in_span(const unsigned char *p, size_t n, const char *what,
                                         size_t len) {
    const unsigned char *end = p + n;

    for (int tries = 0; tries < 16; tries++) {
        if ((size_t)(end - p) < len)
            return NULL;
        p = memchr(p, (unsigned char)what[0], (size_t)(end - p) - len + 1);
        if (p == NULL || memcmp(p, what, len) == 0)
            return p;
        p++;
    }
    return memmem(p, (size_t)(end - p), what, len);
}

/* The search proper: `len` > 0, not ending after position `end`. Matches within a
 * span, then those that begin in its last bytes and go on in the next. */
static bool find_bytes(const struct evbuffer *buf, struct pe_at *at, size_t end,
                       const char *what, size_t len) {
    while (at->pos < end && end - at->pos >= len) {
        size_t n, inside;
        const unsigned char *p = pe_at_span(at, &n), *hit;

        if (n > end - at->pos)
            n = end - at->pos;
        hit = find_in_span(p, n, what, len);
        if (hit != NULL) {
            pe_at_step(buf, at, (size_t)(hit - p));
            return true;
        }
        inside = n >= len ? n - len + 1 : 0;
        pe_at_step(buf, at, inside);
        for (n -= inside; n > 0; n--) {
            if (end - at->pos < len)
                return false;
            if (equal_at(buf, *at, what, len))
                return true;
            pe_at_step(buf, at, 1);
        }
    }
    return false;
}

struct evbuffer_ptr evbuffer_search_range(struct evbuffer *buffer, const char *what,
                                          size_t len, const struct evbuffer_ptr *start,
                                          const struct evbuffer_ptr *end) {
    size_t end_pos = buffer->len;
    struct pe_at at;
    int err = pe_buf_load(buffer);

    if (err == 0 && !pe_buf_resolve(buffer, start, &at))
        err = -EINVAL;
    if (err != 0) {
        errno = -err;
        return nowhere();
    }
    if (end != NULL && end->pos >= 0 && (size_t)end->pos < end_pos)
        end_pos = (size_t)end->pos;
    if (len == 0 || find_bytes(buffer, &at, end_pos, what, len))
        return pe_buf_ptr(buffer, at.seg, at.off, at.pos);
    return nowhere();
}

struct evbuffer_ptr evbuffer_search(struct evbuffer *buffer, const char *what, size_t len,
                                    const struct evbuffer_ptr *start) {
    return evbuffer_search_range(buffer, what, len, start, NULL);
}
