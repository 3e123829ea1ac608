/* stale.h - binding to a Unix path that an earlier process has left behind.
 *
 * A path outlives its socket. Whether somebody has it still is asked by connecting a
 * socket of another type: the kernel refuses it (ECONNREFUSED) when no open socket
 * is bound there, and complains of the type (EPROTOTYPE) when there is one, whether
 * it listens already or not. Nobody is disturbed by that.
 *
 * Asking, removing and binding are three steps, so they are done under a lock: flock(2)
 * on the directory, which leaves no file behind. Of two that start at the same moment
 * one finds the other's socket bound.
 */
#ifndef PE_STREAM_STALE_H
#define PE_STREAM_STALE_H

#include <sys/socket.h>

/* bind(2); if `sa` is a path that is in use, but by no socket, remove it and bind. 0 or a
 * negative errno; -EADDRINUSE also when it cannot be found out, because somebody
 * holds the lock for half a second or the directory cannot be opened. */
int pe_bind_over_stale(int fd, const struct sockaddr *sa, socklen_t len);

#endif
