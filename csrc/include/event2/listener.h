/* event2/listener.h - accept connections: one callback for each.
 *
 * The names and contracts are libevent's. When the process or the system is out
 * of descriptors a listener says so once, rests, and tries again by itself after
 * a time that grows from 10 ms to 1 s: connections wait in the kernel's queue
 * meanwhile.
 *
 * Threads: as for the listener's base (event2/event.h).
 */
#ifndef EVENT2_LISTENER_H_INCLUDED_
#define EVENT2_LISTENER_H_INCLUDED_

#include <sys/socket.h>

#include "event2/event.h"

#ifdef __cplusplus
extern "C" {
#endif

struct evconnlistener;

/* A connection: `fd` is the callback's to close. `addr` is the peer's and lasts
 * until the callback returns. */
typedef void (*evconnlistener_cb)(struct evconnlistener *listener, evutil_socket_t fd,
                                  struct sockaddr *addr, int socklen, void *arg);

/* Accepting has failed; errno says why. */
typedef void (*evconnlistener_errorcb)(struct evconnlistener *listener, void *arg);

#define LEV_OPT_LEAVE_SOCKETS_BLOCKING (1u << 0) /* accepted sockets block */
#define LEV_OPT_CLOSE_ON_FREE          (1u << 1) /* evconnlistener_free closes the fd */
#define LEV_OPT_CLOSE_ON_EXEC          (1u << 2) /* on listening and accepted sockets */
#define LEV_OPT_REUSEABLE              (1u << 3) /* SO_REUSEADDR; EINVAL for Unix sockets */
#define LEV_OPT_THREADSAFE             (1u << 4) /* no meaning: there are no locks */
#define LEV_OPT_DISABLED               (1u << 5) /* not enabled at first */
#define LEV_OPT_DEFERRED_ACCEPT        (1u << 6) /* only with data there, where possible */
#define LEV_OPT_REUSEABLE_PORT         (1u << 7) /* SO_REUSEPORT; EINVAL for Unix sockets */
#define LEV_OPT_BIND_IPV6ONLY          (1u << 8) /* not IPv4 as well */
#define LEV_OPT_BIND_IPV4_AND_IPV6     (1u << 9) /* IPv4 as well */
/* Not in libevent. Of a Unix path that an earlier process has left behind, and to which
 * no open socket is bound, whether it listens already or not: remove it and bind. Of
 * two that start at the same moment one wins; the other gets EADDRINUSE. That needs
 * a directory which may be read (its flock(2) is taken). */
#define LEV_OPT_UNLINK_STALE (1u << 16)

/* Accept on the bound socket `fd` (no datagrams': EOPNOTSUPP), which becomes non-blocking. backlog > 0: listen
 * with it; < 0: with 128; 0: it listens already. `flags` are LEV_OPT_ bits; those
 * about binding come too late here. Without `cb` connections wait until
 * evconnlistener_set_cb. NULL with errno set; `fd` is the caller's then. */
struct evconnlistener *evconnlistener_new(struct event_base *base, evconnlistener_cb cb,
                                          void *ptr, unsigned flags, int backlog,
                                          evutil_socket_t fd);

/* The same on a new socket bound to `sa`. `backlog` 0 is EINVAL. */
struct evconnlistener *evconnlistener_new_bind(struct event_base *base, evconnlistener_cb cb,
                                               void *ptr, unsigned flags, int backlog,
                                               const struct sockaddr *sa, int socklen);

/* Accept no more, and close the socket if LEV_OPT_CLOSE_ON_FREE says so. */
void evconnlistener_free(struct evconnlistener *lev);

/* Accept, or let connections wait. Enabling ends a rest. */
int evconnlistener_enable(struct evconnlistener *lev);
int evconnlistener_disable(struct evconnlistener *lev);

/* NULL when the base was freed. */
struct event_base *evconnlistener_get_base(struct evconnlistener *lev);
evutil_socket_t evconnlistener_get_fd(struct evconnlistener *lev);

/* NULL for `cb`: connections wait. `arg` is the error callback's also. */
void evconnlistener_set_cb(struct evconnlistener *lev, evconnlistener_cb cb, void *arg);

/* What is called when accepting fails; NULL: it is logged. */
void evconnlistener_set_error_cb(struct evconnlistener *lev, evconnlistener_errorcb errorcb);

#ifdef __cplusplus
}
#endif

#endif
