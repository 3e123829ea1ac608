/* sock.h - file descriptors and sockets, as the kernels of today differ.
 *
 * Flags are set at creation where the kernel can (accept4, SOCK_CLOEXEC) and
 * with fcntl(2) right after where it cannot (macOS). What can fail returns 0
 * or a descriptor, else a negative errno. No state, no allocation.
 */
#ifndef PE_BASE_SOCK_H
#define PE_BASE_SOCK_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Switch O_NONBLOCK, or FD_CLOEXEC, on. 0 or a negative errno. */
int pe_sock_nonblock(int fd);
int pe_sock_cloexec(int fd);

/* A new socket(2) that is non-blocking and close-on-exec: the descriptor. */
int pe_socket(int family, int type, int protocol);

/* Two connected AF_UNIX stream sockets, non-blocking and close-on-exec.
 * On failure fds[] is untouched. */
int pe_socketpair(int fds[2]);

/* A pipe, both ends non-blocking and close-on-exec; fds[0] is the read end. */
int pe_pipe(int fds[2]);

/* accept(2) on `fd`: the new descriptor, with the two flags as asked for
 * (whatever the platform lets it inherit), or a negative errno. `addr` and
 * `len` as in accept(2), both NULL when the peer does not matter. */
int pe_accept(int fd, struct sockaddr *addr, socklen_t *len, bool nonblock,
              bool cloexec);

/* The pending error of a socket (SO_ERROR, which this clears) as a negative
 * errno; 0 when there is none. -ENOTSOCK and the like when it cannot be asked. */
int pe_sock_error(int fd);

/* Writing to a socket whose peer is gone must give EPIPE and no SIGPIPE. Pass
 * PE_MSG_NOSIGNAL to send and sendmsg; where there is no such flag it is 0, and
 * pe_sock_nosigpipe() sets an option of the socket that does the same
 * (elsewhere it does nothing). What this file makes or accepts has it set. On
 * macOS the flag is in recent headers, but older kernels do not know it. */
#if defined(MSG_NOSIGNAL) && !defined(__APPLE__)
#define PE_MSG_NOSIGNAL MSG_NOSIGNAL
#else
#define PE_MSG_NOSIGNAL 0
#endif
int pe_sock_nosigpipe(int fd);

/* setsockopt(2) of an option whose value is an int. 0 or a negative errno. */
int pe_sock_option(int fd, int level, int name, int value);

/* Close `fd`: 0 or a negative errno. EINTR is a success: the descriptor is
 * gone then, and a second close could hit another thread's new file.
 * errno stays as it was. A negative `fd` is -EBADF. */
int pe_close(int fd);

/* 0 when `fd` is open in this process, else -EBADF. errno stays as it was. */
int pe_fd_check(int fd);

#endif
