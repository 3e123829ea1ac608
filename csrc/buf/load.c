/* load.c - bytes of files, brought into memory.
 *
 * Who wants them in place has the chain changed: a piece of the file segment becomes
 * a segment of its own, of memory that the file lends until the piece has gone.
 *
 *     [file: - - - - - - - - -]    [file: - -]->[lent: d d d]->[file: - - - -]
 *                ^at                              ^at
 *
 * Who only looks through them leaves the chain alone and uses two windows, blocks
 * of scratch that are filled in turn: what was looked at last, and what is
 * next to it. So a search takes the same memory whatever the file's length.
 */
#include "buf/file.h"
#include "buf/inner.h"

bool pe_buf_look_for_files(struct evbuffer *buf) {
    for (const struct pe_seg *seg = buf->first; seg != NULL; seg = seg->next) {
        if (seg->data == NULL)
            return true;
    }
    buf->flags &= (uint8_t)~PE_BUF_FILES;
    return false;
}

/* --- In place --- */

/* The cleanup of a piece. */
static void piece_gone(const void *data, size_t n, void *file) {
    (void)n;
    pe_free(PE_MEM_SEGMENT, (void *)(uintptr_t)data);
    pe_file_drop(file);
}

static void make_piece(struct pe_seg *seg, struct evbuffer_file_segment *file) {
    pe_seg_extra(seg)->cleanup = piece_gone;
    pe_seg_extra(seg)->cleanup_arg = file;
}

/* Have the `n` bytes of `block` stand for what `seg` has from `off` on: the piece is
 * returned, `rest` (NULL: nothing) comes behind it. NULL when memory is out. */
static struct pe_seg *cut_out(struct evbuffer *buf, struct pe_seg *seg, size_t off,
                              unsigned char *block, size_t n, struct pe_seg *rest) {
    struct evbuffer_file_segment *file = pe_seg_extra(seg)->file;
    struct pe_seg *piece = seg, *next = seg->next;

    if (off == 0) { /* it becomes the piece, and its reference to the file is the piece's */
        seg->kind = PE_SEG_LENT;
        seg->data = block;
        seg->head = 0;
        seg->tail = n;
    } else {
        piece = pe_seg_foreign(buf->pool, PE_SEG_LENT, block, n);
        if (piece == NULL)
            return NULL;
        pe_file_hold(file);
        seg->tail = seg->head + off;
        seg->next = piece;
    }
    make_piece(piece, file);
    piece->next = next;
    if (rest != NULL) {
        rest->next = next;
        piece->next = rest;
    }
    if (buf->last == seg)
        buf->last = rest != NULL ? rest : piece;
    buf->epoch++;
    return piece;
}

int pe_buf_load_file(struct evbuffer *buf, struct pe_at *at) {
    struct pe_released dead = {NULL, NULL};
    struct pe_seg *seg = at->seg, *piece = NULL, *rest = NULL;
    struct evbuffer_file_segment *file = pe_seg_extra(seg)->file;
    const unsigned char *map = pe_file_map(file);
    size_t left = pe_seg_used(seg) - at->off;
    size_t n = left < PE_FILE_PIECE ? left : PE_FILE_PIECE;
    unsigned char *block;
    int err;

    if (map != NULL) {
        seg->data = (unsigned char *)(uintptr_t)map; /* only ever read */
        return 0;
    }
    block = pe_malloc(PE_MEM_SEGMENT, n);
    if (block == NULL)
        return -ENOMEM;
    err = pe_file_read_all(file, seg->head + at->off, block, n);
    if (err == 0 && n < left) {
        rest = pe_seg_share(buf->pool, seg, at->off + n, left - n);
        err = rest != NULL ? 0 : -ENOMEM;
    }
    if (err == 0) {
        piece = cut_out(buf, seg, at->off, block, n, rest);
        err = piece != NULL ? 0 : -ENOMEM;
    }
    if (err == 0) {
        at->seg = piece;
        at->off = 0;
        return 0;
    }
    if (rest != NULL)
        pe_seg_drop(rest, buf->pool, &dead);
    pe_buf_release(&dead); /* calls nobody: `seg` still holds the file */
    pe_free(PE_MEM_SEGMENT, block);
    return err;
}

/* --- Through windows --- */

void pe_look_free(struct pe_look *look) {
    pe_free(PE_MEM_SEGMENT, look->windows[0].bytes);
    pe_free(PE_MEM_SEGMENT, look->windows[1].bytes);
}

static bool is_in(const struct pe_window *window, const struct pe_at *at) {
    return window->seg == at->seg && at->off >= window->off && at->off - window->off < window->n;
}

const unsigned char *pe_look_into_file(struct pe_look *look, const struct pe_at *at, size_t *n) {
    const struct pe_seg *seg = at->seg;
    struct evbuffer_file_segment *file = pe_seg_extra(at->seg)->file;
    size_t left = pe_seg_used(seg) - at->off;
    struct pe_window *window = &look->windows[0];
    const unsigned char *map;
    ssize_t r;

    if (!is_in(window, at))
        window = &look->windows[1];
    if (!is_in(window, at)) {
        *n = left;
        map = pe_file_map(file);
        if (map != NULL)
            return map + seg->head + at->off;
        window = &look->windows[look->older];
        *n = 0;
        window->n = 0;
        if (window->bytes == NULL)
            window->bytes = pe_malloc(PE_MEM_SEGMENT, PE_FILE_PIECE);
        if (window->bytes == NULL) {
            look->err = -ENOMEM;
            return NULL;
        }
        r = pe_file_read(file, seg->head + at->off, window->bytes, left);
        if (r < 0) {
            look->err = (int)r;
            return NULL;
        }
        window->seg = seg;
        window->off = at->off;
        window->n = (size_t)r;
    }
    look->older = window == &look->windows[0];
    *n = window->n - (at->off - window->off);
    return window->bytes + (at->off - window->off);
}
