/* listener.c - accepting connections.
 *
 * How many to accept per wake-up. Accepting until EAGAIN costs one failing call
 * each time, which for single connections doubles the price; accepting one and
 * leaving the rest to the next turn costs a crowd a wait each. So a wake-up
 * accepts `batch` connections, 1 at first:
 *
 *   - all of them came, and there is a sign that more are waiting: the batch
 *     doubles, up to BATCH_MAX;
 *   - fewer came (accept said EAGAIN): it is 1 again. If this was the attempt to
 *     double from 1, the next one waits for twice as many signs as before.
 *
 * The sign: the wait after a full batch returned at once, or the turn had so much
 * other work that a failing call is lost in it. To know when the wait began, a
 * listener with a full batch has itself called at the end of the turn.
 *
 * Out of descriptors (or any other error that does not concern one connection):
 * the listener reports, rests, and tries again after 10 ms, 20 ms ... 1 s. It is
 * not watched while it rests, so the loop sleeps.
 */
#include "stream/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/errors.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sock.h"
#include "loop/base.h"
#include "stream/context.h"
#include "stream/stale.h"

#define BATCH_MAX 64u
#define PATIENCE_MAX 64u
#define AT_ONCE_NS (20 * PE_NS_PER_US)  /* a wait this short has not waited */
#define BUSY_NS (500 * PE_NS_PER_US)    /* a turn this long hides a failing accept */
#define REST_MIN_NS (10 * PE_NS_PER_MS)
#define REST_MAX_NS PE_NS_PER_SEC
#define BACKLOG_DEFAULT 128
#define KEEPALIVE_SECONDS 300

struct evconnlistener {
    struct event_base *base; /* NULL: it was freed */
    struct pe_link of_base;  /* in struct pe_stream_context */
    evconnlistener_cb cb;    /* NULL: connections wait */
    evconnlistener_errorcb errorcb;
    void *arg;
    struct pe_io io;
    struct pe_timer rest;     /* set while it rests */
    struct pe_flush turn_end; /* called after a full batch */
    int64_t rest_ns;          /* the last rest; 0: the last accept was good */
    int64_t run_ns;           /* when the last batch was done ... */
    int64_t turn_ns;          /* ... and when its turn ended; 0: unknown */
    unsigned long calls;
    unsigned flags; /* LEV_OPT_ */
    unsigned batch;
    unsigned signs;    /* seen since the last attempt to double from 1 */
    unsigned patience; /* how many it takes */
    unsigned refs;
    bool is_enabled;
    bool is_freed;
};

/* --- what is waited for --------------------------------------------------- */

static bool accepts(const struct evconnlistener *lev) {
    return lev->is_enabled && !lev->is_freed && lev->cb != NULL && lev->base != NULL;
}

/* 0 or a negative errno. */
static int watch(struct evconnlistener *lev) {
    return pe_io_set(lev->base, &lev->io,
                     accepts(lev) && !pe_timer_is_set(&lev->rest) ? EV_READ : 0);
}

static void drop(struct evconnlistener *lev) {
    if (--lev->refs == 0)
        pe_free(PE_MEM_LISTENER, lev);
}

/* --- resting -------------------------------------------------------------- */

static void end_rest(struct event_base *base, struct pe_timer *timer) {
    struct evconnlistener *lev = pe_container(timer, struct evconnlistener, rest);
    int err = watch(lev);

    if (err == 0)
        return;
    (void)pe_timer_set(base, timer, pe_clock_now() + REST_MAX_NS); /* its place is free */
    /* The last: a log callback may free it. */
    pe_log_warn("listener on fd %d: %s; resting on", lev->io.task.fd, strerror(-err));
}

/* Accepting has failed with `err`. Rest first: the callback may change that. */
static void report(struct evconnlistener *lev, int err) {
    bool is_first = lev->rest_ns == 0;
    int64_t next = is_first ? REST_MIN_NS : lev->rest_ns * 2;

    lev->rest_ns = next < REST_MAX_NS ? next : REST_MAX_NS;
    /* Without memory for the timer it stays watched: better busy than lost. */
    if (pe_timer_set(lev->base, &lev->rest, pe_clock_now() + lev->rest_ns) == 0)
        (void)watch(lev);
    if (lev->errorcb != NULL) {
        errno = -err;
        lev->errorcb(lev, lev->arg);
    } else if (is_first) {
        pe_log_warn("listener on fd %d: accept: %s; trying again from time to time",
                    lev->io.task.fd, strerror(-err));
    }
}

/* --- accepting ------------------------------------------------------------ */

/* Errors of a connection that was gone before we came, or of its network
 * (accept(2), "Error handling"): the next one may be good. */
static bool is_connections_error(int err) {
    switch (-err) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case EPERM:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
#ifdef ENONET
    case ENONET:
#endif
    case ETIMEDOUT:
        return true;
    default:
        return false;
    }
}

/* Accept one connection and hand it on. 0 or a negative errno. */
static int accept_one(struct evconnlistener *lev) {
    struct pe_stream_context *context = pe_stream_context_of(lev->base); /* there is one, made with `lev` */
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    int fd;

    memset(&peer, 0, sizeof(peer));
    lev->calls++;
    fd = pe_accept(lev->io.task.fd, (struct sockaddr *)&peer, &len,
                   !(lev->flags & LEV_OPT_LEAVE_SOCKETS_BLOCKING),
                   (lev->flags & LEV_OPT_CLOSE_ON_EXEC) != 0);
    if (fd < 0)
        return is_connections_error(fd) ? 0 : fd;
    lev->rest_ns = 0;
    if (len > sizeof(peer))
        len = sizeof(peer);
    context->accepted_fd = fd;
    context->accepted_addr = (struct sockaddr *)&peer;
    context->accepted_len = len;
    lev->cb(lev, fd, (struct sockaddr *)&peer, (int)len, lev->arg);
    context->accepted_addr = NULL;
    return 0;
}

/* Whether the last full batch has probably left connections waiting. */
static bool sees_more(const struct evconnlistener *lev) {
    if (lev->turn_ns == 0)
        return false;
    return pe_base_now(lev->base) - lev->turn_ns < AT_ONCE_NS ||
           lev->turn_ns - lev->run_ns > BUSY_NS;
}

/* The last batch was full: how large is this one to be? */
static void grow(struct evconnlistener *lev) {
    if (!sees_more(lev) || lev->batch == BATCH_MAX)
        return;
    if (lev->batch == 1 && ++lev->signs < lev->patience)
        return;
    lev->signs = 0;
    lev->batch *= 2;
}

static void note_empty(struct evconnlistener *lev) {
    if (lev->batch == 2 && lev->patience < PATIENCE_MAX)
        lev->patience *= 2;
    lev->batch = 1;
    lev->turn_ns = 0;
}

static void note_full(struct evconnlistener *lev) {
    if (lev->batch > 1)
        lev->patience = 1;
    lev->run_ns = pe_clock_now();
    lev->turn_ns = 0;
    pe_flush_add(lev->base, &lev->turn_end);
}

static void end_turn(struct event_base *base, struct pe_flush *item) {
    (void)base;
    pe_container(item, struct evconnlistener, turn_end)->turn_ns = pe_clock_now();
}

static void run_listener(struct event_base *base, struct pe_task *task) {
    struct evconnlistener *lev = pe_container(task, struct evconnlistener, io.task);
    unsigned left;
    int err = 0;

    (void)base;
    lev->refs++;
    grow(lev);
    for (left = lev->batch; left > 0 && accepts(lev) && err == 0; left--)
        err = accept_one(lev);
    if (!accepts(lev)) {
        lev->turn_ns = 0;
    } else if (err == 0) {
        note_full(lev);
    } else {
        note_empty(lev);
        if (err != -EAGAIN && err != -EWOULDBLOCK)
            report(lev, err);
    }
    drop(lev);
}

bool pe_listener_rests(const struct evconnlistener *lev) {
    return pe_timer_is_set(&lev->rest);
}

unsigned long pe_listener_calls(const struct evconnlistener *lev) {
    return lev->calls;
}

/* --- life ----------------------------------------------------------------- */

static struct evconnlistener *listener_new(struct event_base *base, evconnlistener_cb cb,
                                           void *ptr, unsigned flags, int fd) {
    struct pe_stream_context *context = pe_stream_context_of(base);
    struct evconnlistener *lev;

    if (context == NULL)
        return NULL;
    lev = pe_calloc(PE_MEM_LISTENER, 1, sizeof(*lev));
    if (lev == NULL)
        return NULL;
    lev->base = base;
    lev->cb = cb;
    lev->arg = ptr;
    lev->flags = flags;
    lev->refs = 1;
    lev->batch = 1;
    lev->patience = 1;
    pe_io_init(&lev->io, fd, run_listener, event_base_get_npriorities(base) / 2);
    pe_timer_init(&lev->rest, end_rest);
    pe_flush_init(&lev->turn_end, end_turn);
    pe_list_push_back(&context->listeners, &lev->of_base);
    return lev;
}

/* Let go of the base. */
static void detach(struct evconnlistener *lev) {
    lev->is_freed = true;
    if (lev->base == NULL)
        return;
    (void)pe_io_set(lev->base, &lev->io, 0);
    pe_task_cancel(lev->base, &lev->io.task);
    pe_io_forget(lev->base, lev->io.task.fd);
    pe_timer_cancel(lev->base, &lev->rest);
    pe_flush_cancel(lev->base, &lev->turn_end);
    pe_list_remove(&lev->of_base);
}

/* What listen(2) would say, which is not called for a socket that listens already. */
static int look_at(int fd) {
    socklen_t len = sizeof(int);
    int type;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return -errno;
    return type == SOCK_STREAM || type == SOCK_SEQPACKET ? 0 : -EOPNOTSUPP;
}

struct evconnlistener *evconnlistener_new(struct event_base *base, evconnlistener_cb cb,
                                          void *ptr, unsigned flags, int backlog,
                                          evutil_socket_t fd) {
    struct evconnlistener *lev;
    int err;

    err = base == NULL ? -EINVAL : look_at(fd);
    if (err == 0)
        err = pe_sock_nonblock(fd); /* accept must never block */
    if (err < 0)
        goto fail;
    if (backlog != 0 && listen(fd, backlog > 0 ? backlog : BACKLOG_DEFAULT) < 0) {
        err = -errno;
        goto fail;
    }
    lev = listener_new(base, cb, ptr, flags, fd);
    if (lev == NULL) {
        err = -ENOMEM;
        goto fail;
    }
    lev->is_enabled = !(flags & LEV_OPT_DISABLED);
    err = watch(lev);
    if (err == 0)
        return lev;
    detach(lev);
    drop(lev);
fail:
    errno = -err;
    return NULL;
}

void evconnlistener_free(struct evconnlistener *lev) {
    if (lev == NULL || lev->is_freed)
        return;
    detach(lev);
    if (lev->flags & LEV_OPT_CLOSE_ON_FREE)
        (void)pe_close(lev->io.task.fd); /* nobody is left to be told */
    drop(lev);
}

/* The base has dropped its watcher and timer, and drops the rest next. */
void pe_listener_orphan(struct pe_link *of_base) {
    pe_container(of_base, struct evconnlistener, of_base)->base = NULL;
}

/* --- binding -------------------------------------------------------------- */

static int set_on(int fd, int level, int name, int value, bool is_wanted) {
    return is_wanted ? pe_sock_option(fd, level, name, value) : 0;
}

/* The options that must be set before bind(2). 0 or a negative errno. */
static int prepare(int fd, int family, unsigned flags) {
    bool is_ipv6 = family == AF_INET6;
    bool is_tcp = is_ipv6 || family == AF_INET;
    int err;

    if (is_tcp && evutil_set_tcp_keepalive(fd, 1, KEEPALIVE_SECONDS) < 0)
        return -errno;
    if ((flags & LEV_OPT_REUSEABLE_PORT) && evutil_make_listen_socket_reuseable_port(fd) < 0)
        return -errno;
    if ((flags & LEV_OPT_DEFERRED_ACCEPT) && is_tcp &&
        evutil_make_tcp_listen_socket_deferred(fd) < 0)
        return -errno;
    err = set_on(fd, SOL_SOCKET, SO_REUSEADDR, 1, (flags & LEV_OPT_REUSEABLE) != 0);
    if (err == 0)
        err = set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1,
                     is_ipv6 && (flags & LEV_OPT_BIND_IPV6ONLY));
    if (err == 0)
        err = set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0,
                     is_ipv6 && (flags & LEV_OPT_BIND_IPV4_AND_IPV6));
    return err;
}

/* Made close-on-exec, so that no child gets it in between: not wanted. */
static int let_inherit(int fd) {
    return fcntl(fd, F_SETFD, 0) < 0 ? -errno : 0;
}

static int bind_there(int fd, const struct sockaddr *sa, socklen_t len) {
    return bind(fd, sa, len) < 0 ? -errno : 0;
}

/* A bound stream socket, or a negative errno. */
static int bind_new(const struct sockaddr *sa, socklen_t len, unsigned flags) {
    int fd, err;

    if (sa->sa_family == AF_UNIX && (flags & (LEV_OPT_REUSEABLE | LEV_OPT_REUSEABLE_PORT)))
        return -EINVAL; /* means nothing there: a stale path must be removed instead */
    fd = pe_socket(sa->sa_family, SOCK_STREAM, 0);
    if (fd < 0)
        return fd;
    err = flags & LEV_OPT_CLOSE_ON_EXEC ? 0 : let_inherit(fd);
    if (err == 0)
        err = prepare(fd, sa->sa_family, flags);
    if (err == 0)
        err = flags & LEV_OPT_UNLINK_STALE ? pe_bind_over_stale(fd, sa, len)
                                           : bind_there(fd, sa, len);
    if (err == 0)
        return fd;
    (void)pe_close(fd);
    return err;
}

struct evconnlistener *evconnlistener_new_bind(struct event_base *base, evconnlistener_cb cb,
                                               void *ptr, unsigned flags, int backlog,
                                               const struct sockaddr *sa, int socklen) {
    struct evconnlistener *lev;
    int fd = backlog == 0 || sa == NULL ? -EINVAL : bind_new(sa, (socklen_t)socklen, flags);

    if (fd < 0) {
        errno = -fd;
        return NULL;
    }
    lev = evconnlistener_new(base, cb, ptr, flags, backlog, fd);
    if (lev == NULL)
        (void)pe_close(fd); /* keeps errno */
    return lev;
}

/* --- the rest ------------------------------------------------------------- */

int evconnlistener_enable(struct evconnlistener *lev) {
    int err;

    if (lev->is_freed || lev->base == NULL)
        return pe_fail(-EINVAL);
    lev->is_enabled = true;
    pe_timer_cancel(lev->base, &lev->rest);
    err = watch(lev);
    if (err == 0)
        return 0;
    lev->is_enabled = false;
    return pe_fail(err);
}

int evconnlistener_disable(struct evconnlistener *lev) {
    lev->is_enabled = false;
    if (lev->is_freed || lev->base == NULL)
        return 0;
    pe_timer_cancel(lev->base, &lev->rest);
    pe_task_cancel(lev->base, &lev->io.task);
    (void)watch(lev); /* taking away never fails */
    return 0;
}

struct event_base *evconnlistener_get_base(struct evconnlistener *lev) {
    return lev->base;
}

evutil_socket_t evconnlistener_get_fd(struct evconnlistener *lev) {
    return lev->io.task.fd;
}

void evconnlistener_set_cb(struct evconnlistener *lev, evconnlistener_cb cb, void *arg) {
    int err;

    lev->cb = cb;
    lev->arg = arg;
    if (lev->base == NULL || lev->is_freed)
        return;
    err = watch(lev);
    if (err < 0)
        pe_log_error("listener on fd %d: cannot be watched: %s", lev->io.task.fd, strerror(-err));
}

void evconnlistener_set_error_cb(struct evconnlistener *lev, evconnlistener_errorcb errorcb) {
    lev->errorcb = errorcb;
}
