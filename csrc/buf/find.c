/* find.c - places, searching, lines.
 *
 * Everything here walks over spans with memchr(3); nothing is copied or moved
 * to be searched, and files are looked through (load.c). A line that is not complete is not searched twice: the buffer
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

#define EITHER_PIECE 128 /* bytes looked through for CR and for LF in turn */

/* --- Pointers --- */

static struct evbuffer_ptr nowhere(void) {
    struct evbuffer_ptr ptr = {-1, {NULL, 0, 0}};

    return ptr;
}

int evbuffer_ptr_set(struct evbuffer *buffer, struct evbuffer_ptr *ptr, size_t position,
                     enum evbuffer_ptr_how how) {
    size_t from = how == EVBUFFER_PTR_ADD ? (size_t)ptr->pos : 0;
    struct pe_at at = {NULL, 0, 0};

    if (from > buffer->len || position > buffer->len - from) {
        *ptr = nowhere();
        return pe_fail(-EINVAL);
    }
    /* Within the segment it is in, which is where steps mostly end. */
    if (how == EVBUFFER_PTR_ADD && pe_buf_resolve(buffer, ptr, &at) && at.seg != NULL &&
        position < pe_seg_used(at.seg) - at.off) {
        at.off += position;
        at.pos += position;
    } else {
        pe_buf_seek(buffer, from + position, &at);
    }
    *ptr = pe_buf_ptr(buffer, at.seg, at.off, at.pos);
    return 0;
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
static size_t run_of_either(const struct evbuffer *buf, struct pe_look *look, struct pe_at at) {
    size_t count = 0, n, i;
    const unsigned char *p;

    while ((p = pe_look_span(look, &at, &n)) != NULL) {
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
static bool after_cr(const struct evbuffer *buf, struct pe_look *look, const unsigned char *p,
                     size_t i, size_t pos, size_t start) {
    struct pe_at before;
    size_t n;

    if (pos <= start)
        return false;
    if (i > 0)
        return p[i - 1] == '\r';
    pe_buf_seek(buf, pos - 1, &before);
    p = pe_look_span(look, &before, &n);
    return p != NULL && *p == '\r';
}

/* The first end of line that begins at `start` or later; before `at` there is none,
 * or only its CR. False when there is none, or a file cannot be read (look->err is
 * that then, and may be where the answer is true); else `at` is left where it begins,
 * and its length in `*eol_len`. */
static bool eol_through(const struct evbuffer *buf, struct pe_look *look, struct pe_at *at,
                        size_t start, enum evbuffer_eol_style style, size_t *eol_len) {
    int wanted = style == EVBUFFER_EOL_NUL ? 0 : '\n';
    const unsigned char *p, *hit;
    size_t n, i;

    while ((p = pe_look_span(look, at, &n)) != NULL) {
        hit = style == EVBUFFER_EOL_ANY ? either(p, n) : memchr(p, wanted, n);
        if (hit == NULL) {
            pe_at_step(buf, at, n);
            continue;
        }
        i = (size_t)(hit - p);
        if (style == EVBUFFER_EOL_CRLF || style == EVBUFFER_EOL_CRLF_STRICT) {
            if (after_cr(buf, look, p, i, at->pos + i, start)) {
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
        *eol_len = style == EVBUFFER_EOL_ANY ? run_of_either(buf, look, *at) : 1;
        return true;
    }
    return false;
}

/* The same: 1, 0 when there is none, or a negative errno. */
static PE_COLD int find_eol(const struct evbuffer *buf, struct pe_at *at, size_t start,
                            enum evbuffer_eol_style style, size_t *eol_len) {
    struct pe_look look = {{{0}}, 0, 0};
    bool found = eol_through(buf, &look, at, start, style, eol_len);

    pe_look_end(&look);
    return look.err != 0 ? look.err : found;
}

/* The same when the end is plain to see in the span at `at`, which is what most
 * calls are for: its CR, if it needs one, is in that span too. When nothing was
 * found `at` is behind what was searched. */
static inline bool find_nearby(const struct evbuffer *buf, struct pe_at *at, size_t start,
                               enum evbuffer_eol_style style, size_t *eol_len) {
    const unsigned char *p, *hit;
    size_t n, cr = 0, i;

    if (at->seg == NULL || at->seg->data == NULL || style == EVBUFFER_EOL_ANY)
        return false;
    p = pe_at_span(at, &n);
    hit = memchr(p, style == EVBUFFER_EOL_NUL ? 0 : '\n', n);
    if (hit == NULL) {
        pe_at_step(buf, at, n);
        return false;
    }
    i = (size_t)(hit - p);
    if (style == EVBUFFER_EOL_CRLF || style == EVBUFFER_EOL_CRLF_STRICT) {
        cr = i > 0 && p[i - 1] == '\r';
        if (!cr && (style == EVBUFFER_EOL_CRLF_STRICT || (i == 0 && at->pos > start)))
            return false;
    }
    *eol_len = 1 + cr;
    at->off += i - cr;
    at->pos += i - cr;
    return true;
}

/* The first end of line of the buffer, wherever it is, and the mark moved: 1, 0 when
 * there is none, or a negative errno. */
static PE_COLD int find_first(struct evbuffer *buf, enum evbuffer_eol_style style,
                              struct pe_at *at, size_t *eol_len) {
    uint8_t what = pe_searched_for[style];
    int found;

    if (buf->searched_for != what) {
        buf->searched_for = what;
        buf->searched = 0;
    }
    pe_buf_seek(buf, buf->searched, at);
    found = find_eol(buf, at, 0, style, eol_len);
    if (found == 0)
        buf->searched = buf->len;
    /* Where an LF was found its CR is before it: the LF is what comes next. */
    if (found > 0)
        buf->searched = what == PE_FOR_ANY ? at->pos : at->pos + *eol_len - 1;
    return found;
}

static int find_first_eol(struct evbuffer *buf, enum evbuffer_eol_style style,
                          struct pe_at *at, size_t *eol_len) {
    ssize_t near = pe_buf_line_in_first(buf, style, eol_len);

    if (near < 0)
        return find_first(buf, style, at, eol_len);
    at->seg = buf->first;
    at->off = at->pos = (size_t)near;
    return 1;
}

/* The first end of line that begins at `at` or later: 1, 0 or a negative errno. */
static int find_from(const struct evbuffer *buf, struct pe_at *at,
                     enum evbuffer_eol_style style, size_t *eol_len) {
    size_t start = at->pos;

    if (find_nearby(buf, at, start, style, eol_len))
        return 1;
    return find_eol(buf, at, start, style, eol_len);
}

/* Lines are taken out one after the other: where the next one is in a file, a piece of
 * it that begins there comes into memory, and its lines are as quick as any. */
static int load_line_start(struct evbuffer *buf, struct pe_at *at) {
    return pe_buf_has_files(buf) ? pe_buf_load(buf, at) : 0;
}

ssize_t pe_evbuffer_find_line(struct evbuffer *buf, enum evbuffer_eol_style style,
                              size_t *eol_len) {
    struct pe_at at = {buf->first, 0, 0};
    ssize_t near;
    int found;

    if ((unsigned)style > EVBUFFER_EOL_NUL)
        return -1;
    found = load_line_start(buf, &at);
    if (found < 0)
        return found;
    near = pe_buf_line_in_first(buf, style, eol_len);
    if (near >= 0)
        return near;
    found = find_first(buf, style, &at, eol_len);
    return found > 0 ? (ssize_t)at.pos : found < 0 ? found : -1;
}

ssize_t pe_evbuffer_line(struct evbuffer *buf, enum evbuffer_eol_style style,
                         const unsigned char **data, size_t *eol_len) {
    ssize_t len = -1;

    if (PE_LIKELY((unsigned)style <= EVBUFFER_EOL_NUL && !(buf->flags & PE_BUF_FILES)))
        len = pe_buf_line_in_first(buf, style, eol_len);
    if (len < 0)
        len = pe_evbuffer_find_line(buf, style, eol_len);
    if (len < 0)
        return len;
    *data = NULL;
    if ((size_t)len <= pe_seg_run(buf->first, 0, pe_seg_used(buf->first)))
        *data = pe_seg_at(buf->first, 0);
    return len;
}

static PE_COLD struct evbuffer_ptr search_eol_on(struct evbuffer *buf,
                                                 const struct evbuffer_ptr *start,
                                                 size_t *eol_len_out,
                                                 enum evbuffer_eol_style style) {
    size_t eol_len = 0;
    int found = -EINVAL;
    struct pe_at at;

    if ((unsigned)style <= EVBUFFER_EOL_NUL) {
        if (start == NULL)
            found = find_first(buf, style, &at, &eol_len);
        else if (pe_buf_resolve(buf, start, &at))
            found = find_from(buf, &at, style, &eol_len);
    }
    if (found < 0)
        errno = -found;
    if (eol_len_out != NULL)
        *eol_len_out = found > 0 ? eol_len : 0;
    return found > 0 ? pe_buf_ptr(buf, at.seg, at.off, at.pos) : nowhere();
}

ssize_t pe_evbuffer_eol_at(struct evbuffer *buf, size_t from, enum evbuffer_eol_style style,
                           size_t *eol_len) {
    struct pe_at at;
    int found;

    if ((unsigned)style > EVBUFFER_EOL_NUL || from > buf->len)
        return -1;
    pe_buf_seek(buf, from, &at);
    found = from > 0 ? find_from(buf, &at, style, eol_len)
            : pe_buf_has_files(buf) ? find_first(buf, style, &at, eol_len)
                                    : find_first_eol(buf, style, &at, eol_len);
    return found > 0 ? (ssize_t)at.pos : found < 0 ? found : -1;
}

struct evbuffer_ptr evbuffer_search_eol(struct evbuffer *buffer, struct evbuffer_ptr *start,
                                        size_t *eol_len_out,
                                        enum evbuffer_eol_style eol_style) {
    size_t eol_len;
    ssize_t near;

    if (start != NULL || (unsigned)eol_style > EVBUFFER_EOL_NUL ||
        buffer->flags & PE_BUF_FILES)
        return search_eol_on(buffer, start, eol_len_out, eol_style);
    near = pe_buf_line_in_first(buffer, eol_style, &eol_len);
    if (near < 0)
        return search_eol_on(buffer, start, eol_len_out, eol_style);
    if (eol_len_out != NULL)
        *eol_len_out = eol_len;
    return pe_buf_ptr(buffer, buffer->first, (size_t)near, (size_t)near);
}

char *evbuffer_readln(struct evbuffer *buffer, size_t *n_read_out,
                      enum evbuffer_eol_style eol_style) {
    struct pe_released dead = {NULL, NULL};
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
        err = len < -1 ? (int)len : err;
        if (err != 0)
            errno = -err;
        return NULL;
    }
    line = pe_user_malloc((size_t)len + 1);
    err = line != NULL ? pe_buf_copy_front(buffer, line, (size_t)len) : -ENOMEM;
    if (err != 0) {
        pe_user_free(line);
        errno = -err;
        return NULL;
    }
    line[len] = '\0';
    if (n_read_out != NULL)
        *n_read_out = (size_t)len;
    pe_buf_consume(buffer, (size_t)len + eol_len, &dead);
    pe_buf_tell(buffer, 0, (size_t)len + eol_len);
    pe_buf_release(&dead);
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
    int found;

    if (it->pos == 0) {
        if ((unsigned)it->style > EVBUFFER_EOL_NUL)
            return false;
        pe_buf_seek(buf, 0, &from);
    }
    found = load_line_start(buf, &from);
    at = from;
    if (found == 0)
        found = it->pos == 0 ? find_first_eol(buf, it->style, &at, &eol_len)
                             : find_from(buf, &at, it->style, &eol_len);
    if (found <= 0) {
        it->err = found;
        return false;
    }
    it->start = it->pos;
    it->len = at.pos - it->start;
    p = pe_at_span(&from, &n);
    it->data = it->len <= n ? p : NULL;
    while (eol_len > 0) {
        n = pe_seg_used(at.seg) - at.off;
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
static bool equal_at(const struct evbuffer *buf, struct pe_look *look, struct pe_at at,
                     const char *what, size_t n) {
    while (n > 0) {
        size_t here;
        const unsigned char *p = pe_look_span(look, &at, &here);

        if (here > n)
            here = n;
        if (p == NULL || memcmp(p, what, here) != 0)
            return false;
        what += here;
        n -= here;
        pe_at_step(buf, &at, here);
    }
    return true;
}

/* `what` among the `n` bytes at `p`. memchr for its first byte is quickest while
 * that is extras; where it is not, memmem does not go back over bytes seen. */
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
static bool bytes_through(const struct evbuffer *buf, struct pe_look *look, struct pe_at *at,
                          size_t end, const char *what, size_t len) {
    while (at->pos < end && end - at->pos >= len) {
        size_t n, inside;
        const unsigned char *p = pe_look_span(look, at, &n), *hit;

        if (p == NULL)
            return false;
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
            if (equal_at(buf, look, *at, what, len))
                return true;
            if (look->err != 0)
                return false;
            pe_at_step(buf, at, 1);
        }
    }
    return false;
}

/* The same, and any place has no bytes: 1, 0 when it is not there, or a negative errno. */
static int find_bytes(const struct evbuffer *buf, struct pe_at *at, size_t end,
                      const char *what, size_t len) {
    struct pe_look look = {{{0}}, 0, 0};
    bool found = len == 0 || bytes_through(buf, &look, at, end, what, len);

    pe_look_end(&look);
    return look.err != 0 ? look.err : found;
}

struct evbuffer_ptr evbuffer_search_range(struct evbuffer *buffer, const char *what,
                                          size_t len, const struct evbuffer_ptr *start,
                                          const struct evbuffer_ptr *end) {
    size_t end_pos = buffer->len;
    struct pe_at at;
    int found = -EINVAL;

    if (end != NULL && end->pos >= 0 && (size_t)end->pos < end_pos)
        end_pos = (size_t)end->pos;
    if (pe_buf_resolve(buffer, start, &at))
        found = find_bytes(buffer, &at, end_pos, what, len);
    if (found < 0)
        errno = -found;
    return found > 0 ? pe_buf_ptr(buffer, at.seg, at.off, at.pos) : nowhere();
}

ssize_t pe_evbuffer_search_at(struct evbuffer *buf, const void *what, size_t len, size_t from,
                              size_t end) {
    struct pe_at at;
    int found;

    if (from > buf->len || from > end)
        return -1;
    pe_buf_seek(buf, from, &at);
    found = find_bytes(buf, &at, end < buf->len ? end : buf->len, what, len);
    return found > 0 ? (ssize_t)at.pos : found < 0 ? found : -1;
}

struct evbuffer_ptr evbuffer_search(struct evbuffer *buffer, const char *what, size_t len,
                                    const struct evbuffer_ptr *start) {
    return evbuffer_search_range(buffer, what, len, start, NULL);
}
