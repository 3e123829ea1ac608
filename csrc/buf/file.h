/* file.h - ranges of files in buffers.
 *
 * A file segment is reference-counted: one reference is the user's, one each
 * segment's that shows a part of it. Its bytes come into memory only when
 * somebody asks for them in place; until then they are sent by sendfile(2), or
 * read in pieces.
 */
#ifndef PE_BUF_FILE_H
#define PE_BUF_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct evbuffer_file_segment;

void pe_file_hold(struct evbuffer_file_segment *file);

/* Give up a reference; the last one closes the fd if it is ours, then calls the
 * cleanup. */
void pe_file_drop(struct evbuffer_file_segment *file);

/* The bytes of the whole segment in memory: mapped or read, the first time. NULL
 * and a negative errno in `*err` when that fails. */
const unsigned char *pe_file_bytes(struct evbuffer_file_segment *file, int *err);

/* Read up to `n` bytes from position `pos` of the segment. How many, or a negative
 * errno; -EIO when the file has become shorter. */
ssize_t pe_file_read(struct evbuffer_file_segment *file, size_t pos, void *out, size_t n);

/* Send up to `n` bytes from position `pos` to the descriptor `to`. How many, or a
 * negative errno: -ENOTSUP where sendfile(2) cannot or must not, -EIO as above. */
ssize_t pe_file_send(struct evbuffer_file_segment *file, size_t pos, size_t n, int to);

#endif
