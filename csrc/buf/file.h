/* file.h - ranges of files in buffers.
 *
 * A file segment is reference-counted: one reference is the user's, one each
 * segment's that shows a part of it or bytes read from it. Bytes come into memory
 * only when somebody asks for them; until then they are sent by sendfile(2). They are
 * read, not mapped, unless the file is sealed against becoming shorter.
 */
#ifndef PE_BUF_FILE_H
#define PE_BUF_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct evbuffer_file_segment;

#define PE_FILE_PIECE ((size_t)64 * 1024) /* no read takes more */

void pe_file_hold(struct evbuffer_file_segment *file);

/* Give up a reference; the last one closes the fd if it is ours, then calls the
 * cleanup. */
void pe_file_drop(struct evbuffer_file_segment *file);

/* The bytes of the whole segment, mapped: NULL unless that is safe, and worth it. */
const unsigned char *pe_file_map(struct evbuffer_file_segment *file);

/* Read up to `n` bytes (at most PE_FILE_PIECE) from position `pos` of the segment. How
 * many, or a negative errno (not -EPERM); -EIO when the file has become shorter. */
ssize_t pe_file_read(struct evbuffer_file_segment *file, size_t pos, void *out, size_t n);

/* Read `n` bytes: 0, or a negative errno as above. */
int pe_file_read_all(struct evbuffer_file_segment *file, size_t pos, void *out, size_t n);

/* Send up to `n` bytes from position `pos` to the descriptor `to`. How many, or a
 * negative errno: -ENOTSUP where sendfile(2) cannot or must not, -EIO as above. */
ssize_t pe_file_send(struct evbuffer_file_segment *file, size_t pos, size_t n, int to);

#endif
