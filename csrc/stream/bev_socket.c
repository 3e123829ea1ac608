/* bev_socket.c - bufferevents on a descriptor: sockets, pipes, terminals.
 *
 * One watcher serves both directions. Reading: one recv(2) per wake-up, of a
 * size that follows the peer's pace; nothing is asked before it, and none comes
 * after it to hear EAGAIN. Writing: one sendmsg(2); EV_WRITE is waited for only
 * while the kernel has left something ("would block"). So a request and its reply
 * on a busy connection cost wait, recv, send.
 *
 * A descriptor is taken for a socket until the kernel says ENOTSOCK; from then on
 * readv(2) and writev(2) are used, with SIGPIPE held off.
 *
 * Connecting: both directions are blocked by PE_BLOCK_CONNECT, and EV_WRITE is
 * waited for. After a failure they stay blocked until there is another connect
 * or another descriptor.
 */
#include <errno.h>
#include <string.h>

#include "base/errors.h"
#include "base/list.h"
#include "base/sigpipe.h"
#include "base/sock.h"
#include "buf/seg.h"
#include "event2/buffer.h"
#include "stream/bufferevent.h"
#include "stream/context.h"
#include "stream/extras.h"
#include "stream/socket.h"

struct bev_socket {
    struct bufferevent bev;
    struct pe_io io;
    struct pe_peer peer;
    int connect_error;        /* negative errno, or 0; of a connect that ended at once */
    bool is_socket : 1;       /* as far as known */
    bool is_connect_over : 1; /* connect(2) has ended at once, to be told by the loop */
};

_Static_assert(sizeof(struct bev_socket) <= 512, "an idle connection costs too much");

static struct bev_socket *socket_of(struct bufferevent *bev) {
    return pe_container(bev, struct bev_socket, bev);
}

/* --- what is waited for --------------------------------------------------- */

static short wish(const struct bev_socket *s) {
    const struct bufferevent *bev = &s->bev;
    short want = 0;

    if (bev->is_connecting)
        return s->is_connect_over ? 0 : EV_WRITE;
    if (pe_bev_reads(bev))
        want |= EV_READ;
    if (bev->would_block && pe_bev_writes(bev))
        want |= EV_WRITE;
    return want;
}

/* Have the watcher wait for what is wished for. 0 or a negative errno. */
static int watch(struct bev_socket *s) {
    if (s->io.task.fd < 0 || s->bev.base == NULL)
        return 0;
    return pe_io_set(s->bev.base, &s->io, wish(s));
}

static int socket_enable(struct bufferevent *bev, short what) {
    (void)what;
    return watch(socket_of(bev));
}

static void socket_disable(struct bufferevent *bev, short what) {
    (void)what;
    (void)watch(socket_of(bev)); /* taking away never fails */
}

/* --- reading and writing -------------------------------------------------- */

static void receive(struct bev_socket *s) {
    struct bufferevent *bev = &s->bev;
    int fd = s->io.task.fd;
    size_t max;
    ssize_t n;

    if (bev->limits != NULL && pe_bev_is_at_limit(bev))
        return;
    max = pe_bev_read_max(bev);
    if (max == 0)
        return;
    pe_bev_count_call(bev, EV_READ);
    n = pe_evbuffer_recv(&bev->input, fd, max, s->is_socket);
    if (n == -ENOTSOCK && s->is_socket) {
        s->is_socket = false;
        n = pe_evbuffer_recv(&bev->input, fd, max, false);
    }
    if (n > 0) {
        pe_bev_did_read(bev, (size_t)n);
        if (pe_bev_is_full(bev))
            pe_bev_tell_input(bev, 0);
        else if (pe_evbuffer_len(&bev->input) >= bev->read_low)
            pe_bev_run_read(bev, 0);
        return;
    }
    if (n == -EAGAIN || n == -EWOULDBLOCK || n == -EINTR)
        return;
    bev->is_at_end = true;
    (void)bufferevent_disable(bev, EV_READ);
    pe_bev_run_event(bev, BEV_EVENT_READING | (n == 0 ? BEV_EVENT_EOF : BEV_EVENT_ERROR),
                     (int)-n, 0);
}

/* Write once: how many bytes, or a negative errno. */
static ssize_t send_once(struct bev_socket *s) {
    struct evbuffer *out = &s->bev.output;
    size_t max = pe_bev_write_max(&s->bev);
    struct pe_sigpipe held;
    ssize_t n;

    pe_bev_count_call(&s->bev, EV_WRITE);
    if (s->is_socket) {
        n = pe_evbuffer_send(out, s->io.task.fd, max, true);
        if (n != -ENOTSOCK)
            return n;
        s->is_socket = false;
    }
    pe_sigpipe_hold(&held);
    n = pe_evbuffer_send(out, s->io.task.fd, max, false);
    pe_sigpipe_release(&held, n == -EPIPE);
    return n;
}

/* Whether the output goes on with bytes that are only in a file. */
static bool file_is_next(const struct evbuffer *out) {
    return (out->flags & PE_BUF_FILES) && out->first != NULL && out->first->data == NULL;
}

/* A file after bytes in memory takes a call of its own: no reason to wait for the
 * next turn with it. How many bytes went, or a negative errno. */
static ssize_t send_with_file(struct bev_socket *s) {
    struct evbuffer *out = &s->bev.output;
    bool began_with_file = file_is_next(out);
    ssize_t n = send_once(s), more = 0;

    if (n > 0 && !began_with_file && !s->bev.is_detached && file_is_next(out))
        more = send_once(s);
    return more > 0 ? n + more : n; /* an error will be there next time also */
}

static void transmit(struct bev_socket *s) {
    struct bufferevent *bev = &s->bev;
    ssize_t n = send_with_file(s);
    int err;

    if (n < 0 && n != -EAGAIN && n != -EWOULDBLOCK && n != -EINTR) {
        pe_bev_fail_writing(bev, (int)-n, 0);
        return;
    }
    if (bev->is_detached)
        return; /* by a callback of the output */
    if (n > 0)
        pe_bev_did_write(bev, (size_t)n);
    bev->would_block = pe_evbuffer_len(&bev->output) != 0;
    err = watch(s);
    if (err == 0)
        err = pe_bev_update_timers(bev);
    if (err < 0)
        pe_bev_fail(bev, err);
    if (n >= 0 && pe_evbuffer_len(&bev->output) <= bev->write_low)
        pe_bev_run_write(bev, 0);
}

static void socket_send(struct bufferevent *bev) {
    struct bev_socket *s = socket_of(bev);

    if (s->io.task.fd >= 0) {
        transmit(s);
        return;
    }
    bev->would_block = true; /* until there is a descriptor */
    if (pe_bev_update_timers(bev) < 0)
        pe_bev_fail(bev, -ENOMEM);
}

/* It is on its way already. */
static int socket_flush(struct bufferevent *bev, short what, enum bufferevent_flush_mode mode) {
    (void)bev;
    (void)what;
    (void)mode;
    return 0;
}

/* --- connecting ----------------------------------------------------------- */

/* 0 when the socket is connected, else a negative errno. SO_ERROR alone is 0 also
 * for a socket on which nothing was begun. */
static int connect_result(struct bev_socket *s) {
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    int err;

    if (s->is_connect_over)
        return s->connect_error;
    err = pe_sock_error(s->io.task.fd);
    if (err < 0)
        return err;
    if (getpeername(s->io.task.fd, (struct sockaddr *)&peer, &len) < 0)
        return -errno;
    pe_peer_note(&s->bev, (struct sockaddr *)&peer, len, false);
    return 0;
}

static void finish_connect(struct bev_socket *s, int err) {
    struct bufferevent *bev = &s->bev;

    bev->is_connecting = false;
    s->is_connect_over = false;
    if (err < 0) {
        (void)watch(s); /* for nothing now, which cannot fail */
        (void)pe_bev_update_timers(bev);
        pe_bev_run_event(bev, BEV_EVENT_ERROR, -err, 0);
        return;
    }
    err = watch(s); /* EV_WRITE goes, even when nothing is enabled */
    if (err == 0)
        err = pe_bev_update_timers(bev);
    if (err < 0)
        pe_bev_fail(bev, err);
    pe_bev_unblock(bev, EV_READ | EV_WRITE, PE_BLOCK_CONNECT);
    pe_bev_run_event(bev, BEV_EVENT_CONNECTED, 0, 0);
}

static void run_socket(struct event_base *base, struct pe_task *task) {
    struct bev_socket *s = pe_container(task, struct bev_socket, io.task);
    struct bufferevent *bev = &s->bev;
    short res = task->res;

    (void)base;
    pe_bev_hold(bev);
    if (bev->is_connecting) {
        finish_connect(s, connect_result(s));
    } else {
        /* Reading first: what its callback adds goes out with what is stuck. */
        if ((res & EV_READ) && pe_bev_reads(bev))
            receive(s);
        if ((res & EV_WRITE) && bev->would_block && pe_bev_writes(bev))
            transmit(s);
    }
    pe_bev_drop(bev);
}

/* Stop watching; the descriptor is no longer ours to look at. */
static void release(struct bev_socket *s) {
    struct bufferevent *bev = &s->bev;
    int fd = s->io.task.fd;

    if (bev->base == NULL)
        pe_list_remove(&s->io.task.link); /* it is about to go */
    if (bev->base == NULL || fd < 0)
        return;
    (void)pe_io_set(bev->base, &s->io, 0);
    pe_task_cancel(bev->base, &s->io.task);
    pe_io_forget(bev->base, fd);
}

/* Take `fd` (-1: none), connected or not used yet, in place of the one before. */
static int adopt(struct bev_socket *s, int fd) {
    struct bufferevent *bev = &s->bev;
    int err;

    release(s);
    pe_connect_race_drop(bev);
    pe_peer_forget(bev);
    pe_peer_ask(bev, fd);
    (void)pe_sock_nosigpipe(fd); /* none, or no socket: nothing to set */
    pe_io_init(&s->io, fd, run_socket, s->io.task.pri);
    s->is_socket = true;
    s->is_connect_over = false;
    bev->is_connecting = false;
    bev->would_block = bev->is_at_end = bev->is_broken = false;
    if (bev->is_finishing || bev->is_finished)
        (void)evbuffer_unfreeze(&bev->output, 0); /* clears a bit: cannot fail */
    bev->is_finishing = bev->is_finished = false;
    bev->read_blocked &= (uint16_t)~PE_BLOCK_CONNECT;
    bev->write_blocked &= (uint16_t)~PE_BLOCK_CONNECT;
    (void)pe_bev_update_timers(bev);
    if (fd < 0 || bev->enabled == 0 || bufferevent_enable(bev, bev->enabled) == 0)
        return 0;
    err = -errno;
    (void)bufferevent_disable(bev, EV_READ | EV_WRITE);
    release(s);
    s->io.task.fd = -1; /* it stays the caller's */
    return err;
}

/* Errors of connect(2) that are the caller's, not the network's. */
static bool is_callers_error(int err) {
    return err == -EBADF || err == -ENOTSOCK || err == -EINVAL || err == -EFAULT ||
           err == -EISCONN || err == -EALREADY || err == -EAFNOSUPPORT || err == -EPROTOTYPE;
}

/* Begin to wait for a connect whose result is `err`: 0, -EINPROGRESS or worse. */
static int begin_connect(struct bev_socket *s, int err) {
    struct bufferevent *bev = &s->bev;

    pe_bev_block(bev, EV_READ | EV_WRITE, PE_BLOCK_CONNECT);
    bev->is_connecting = true;
    bev->would_block = false;
    bev->write_due = false;
    s->is_connect_over = err != -EINPROGRESS;
    s->connect_error = err;
    err = watch(s);
    if (err == 0)
        err = pe_bev_update_timers(bev);
    if (err < 0) {
        bev->is_connecting = false;
        (void)watch(s);
        (void)pe_bev_update_timers(bev);
        return err;
    }
    if (s->is_connect_over)
        pe_task_activate(bev->base, &s->io.task, EV_WRITE);
    return 0;
}

static int connect_socket(struct bev_socket *s, const struct sockaddr *addr, int socklen) {
    int fd = s->io.task.fd;
    bool is_ours = fd < 0;
    int err = -EINPROGRESS;

    pe_connect_race_drop(&s->bev);
    if (is_ours) {
        fd = addr != NULL ? pe_socket(addr->sa_family, SOCK_STREAM, 0) : -EINVAL;
        if (fd < 0)
            return fd;
    }
    if (addr != NULL) {
        err = connect(fd, addr, (socklen_t)socklen) < 0 ? -errno : 0;
        if (err == -EINTR)
            err = -EINPROGRESS; /* it goes on without us */
        if (is_callers_error(err))
            goto close_socket;
        pe_peer_note(&s->bev, addr, (socklen_t)socklen, true);
    }
    if (is_ours) {
        pe_io_init(&s->io, fd, run_socket, s->io.task.pri);
        s->is_socket = true;
    }
    err = begin_connect(s, err);
    if (err == 0 || !is_ours)
        return err;
    s->io.task.fd = -1;
    pe_bev_unblock(&s->bev, EV_READ | EV_WRITE, PE_BLOCK_CONNECT);
close_socket:
    if (is_ours)
        pe_close(fd);
    return err;
}

int bufferevent_socket_connect(struct bufferevent *bev, const struct sockaddr *addr,
                               int socklen) {
    int err;

    if (bev->ops != &pe_bev_socket_ops || bev->is_detached || bev->base == NULL)
        return pe_fail(-EINVAL);
    if (bev->is_connecting)
        return pe_fail(-EALREADY);
    err = connect_socket(socket_of(bev), addr, socklen);
    return err < 0 ? pe_fail(err) : 0;
}

/* --- for connect.c, peer.c ------------------------------------------------- */

int pe_socket_begin(struct bufferevent *bev) {
    return begin_connect(socket_of(bev), -EINPROGRESS);
}

void pe_socket_connected(struct bufferevent *bev, int fd) {
    struct bev_socket *s = socket_of(bev);

    pe_io_init(&s->io, fd, run_socket, s->io.task.pri);
    s->is_socket = true;
    finish_connect(s, 0);
}

void pe_socket_failed(struct bufferevent *bev, int err) {
    finish_connect(socket_of(bev), err);
}

void pe_socket_connect_own(struct bufferevent *bev, const struct sockaddr *addr, socklen_t len) {
    struct bev_socket *s = socket_of(bev);
    int err = connect(s->io.task.fd, addr, len) < 0 ? -errno : 0;

    pe_peer_note(bev, addr, len, true);
    err = begin_connect(s, err == -EINTR ? -EINPROGRESS : err);
    if (err < 0)
        finish_connect(s, err);
}

struct pe_peer *pe_socket_peer(struct bufferevent *bev) {
    return bev->ops == &pe_bev_socket_ops ? &socket_of(bev)->peer : NULL;
}

/* --- the rest ------------------------------------------------------------- */

static void socket_detach(struct bufferevent *bev) {
    struct bev_socket *s = socket_of(bev);
    int fd = s->io.task.fd;

    release(s);
    pe_connect_race_drop(bev);
    s->io.task.fd = -1;
    bev->is_connecting = false;
    if (fd >= 0 && (bev->options & BEV_OPT_CLOSE_ON_FREE))
        (void)pe_close(fd); /* nobody is left to be told */
}

static int replace(struct bev_socket *s, int fd) {
    int old = s->io.task.fd;

    if (fd >= 0 && fd == old)
        return 0;
    release(s);
    s->io.task.fd = -1;
    if (old >= 0)
        (void)pe_close(old); /* gone in any case; what it had to say is not wanted */
    return adopt(s, fd);
}

static int set_priority(struct bev_socket *s, int pri) {
    struct event_base *base = s->bev.base;
    bool was_queued = pe_task_is_queued(&s->io.task);
    short res = s->io.task.res;

    pe_task_cancel(base, &s->io.task);
    s->io.task.pri = (uint8_t)pri;
    if (was_queued)
        pe_task_activate(base, &s->io.task, res);
    return 0;
}

static int socket_ctl(struct bufferevent *bev, enum pe_bev_ctl op, union pe_bev_arg *arg) {
    struct bev_socket *s = socket_of(bev);

    switch (op) {
    case PE_BEV_GET_FD:
        arg->fd = s->io.task.fd;
        return 0;
    case PE_BEV_SET_FD:
        return adopt(s, arg->fd);
    case PE_BEV_REPLACE_FD:
        return replace(s, arg->fd);
    case PE_BEV_SET_PRIORITY:
        return set_priority(s, arg->pri);
    case PE_BEV_IS_IDLE:
        return s->io.want == 0 && !pe_task_is_queued(&s->io.task) ? 0 : -EBUSY;
    case PE_BEV_SHUT_WRITE:
        return shutdown(s->io.task.fd, SHUT_WR) < 0 ? -errno : 0;
    case PE_BEV_GET_UNDER:
        break;
    }
    return -ENOSYS;
}

const struct pe_bev_ops pe_bev_socket_ops = {
    .type = "socket",
    .size = sizeof(struct bev_socket),
    .enable = socket_enable,
    .disable = socket_disable,
    .send = socket_send,
    .flush = socket_flush,
    .detach = socket_detach,
    .ctl = socket_ctl,
};

/* What a listener has just accepted need not be asked for its peer. */
static void note_peer(struct bufferevent *bev, int fd) {
    struct pe_stream_context *context = pe_stream_context_of(bev->base); /* there is one: pe_bev_new made it */

    if (fd < 0)
        return;
    if (context->accepted_addr == NULL || context->accepted_fd != fd) {
        pe_peer_ask(bev, fd);
        return;
    }
    pe_peer_note(bev, context->accepted_addr, context->accepted_len, false);
    context->accepted_addr = NULL; /* once: the number may come again */
}

struct bufferevent *bufferevent_socket_new(struct event_base *base, evutil_socket_t fd,
                                           int options) {
    struct bufferevent *bev;

    if (base == NULL) {
        errno = EINVAL;
        return NULL;
    }
    bev = pe_bev_new(&pe_bev_socket_ops, base, options);
    if (bev == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    (void)pe_sock_nosigpipe(fd);
    pe_io_init(&socket_of(bev)->io, fd < 0 ? -1 : fd, run_socket, bev->task.pri);
    socket_of(bev)->is_socket = true;
    note_peer(bev, fd);
    return bev;
}
