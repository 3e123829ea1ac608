/* selfpipe.h - a socket that wakes a base with bytes, and tells which.
 *
 * For whoever can only write a byte to a descriptor when something happened,
 * as Python does for signals (signal.set_wakeup_fd).
 */
#ifndef PE_LOOP_SELFPIPE_H
#define PE_LOOP_SELFPIPE_H

#include <stddef.h>

struct event_base;

/* The descriptor to write to (the base's own, non-blocking), or -errno. The
 * loop reads what comes and calls `notice` with it right after the wait, which
 * may call anything but pe_selfpipe_close. Opening again only replaces `notice`
 * and `arg`. */
int pe_selfpipe_open(struct event_base *base,
                  void (*notice)(void *arg, const unsigned char *bytes, size_t n), void *arg);
void pe_selfpipe_close(struct event_base *base);

/* Bytes that came after the loop's last look: up to `n` into `bytes`; how many. */
size_t pe_selfpipe_take(struct event_base *base, unsigned char *bytes, size_t n);

#endif
