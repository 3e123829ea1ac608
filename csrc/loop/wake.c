/* wake.c - how a waiting loop is woken, and the self-pipe of signal bytes.
 *
 * Every base keeps a descriptor in its backend that anybody can make readable:
 * an eventfd(2), elsewhere a pipe. Another thread does so under the rule that
 * one thread at a time is inside the library, so `wake_is_pending` is no
 * race: a burst of wakes is one write. Signal handlers write too (signal.c).
 *
 * The self-pipe is a socketpair for those who can only write plain bytes (what
 * Python's signal.set_wakeup_fd asks for). It is opened when first wanted.
 */
#include "loop/internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/eventfd.h>
#endif

#include "base/sock.h"
#include "loop/selfpipe.h"

static void drain(int fd) {
    char bytes[64];

    while (read(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes))
        continue; /* a full buffer: a pipe may hold more; an eventfd never does */
}

static void wake_run(struct event_base *base, struct pe_task *task) {
    drain(task->fd);
    base->wake_is_pending = false;
    pe_signals_deliver(base);
}

int pe_wake_open(struct event_base *base) {
    int err;

#ifdef __linux__
    base->wake_fds[1] = -1;
    base->wake_fds[0] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (base->wake_fds[0] < 0)
        return -errno;
#else
    err = pe_pipe(base->wake_fds);
    if (err < 0) {
        base->wake_fds[0] = base->wake_fds[1] = -1;
        return err;
    }
#endif
    pe_io_init(&base->wake_io, base->wake_fds[0], wake_run, 0);
    base->wake_io.task.state |= EVLIST_INTERNAL;
    base->wake_is_pending = false;
    err = pe_io_set(base, &base->wake_io, EV_READ);
    if (err < 0)
        pe_wake_close(base);
    return err;
}

static void close_pair(struct event_base *base, struct pe_io *io, int fds[2]) {
    if (fds[0] < 0)
        return;
    (void)pe_io_set(base, io, 0);
    pe_io_forget(base, fds[0]);
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0)
            (void)pe_close(fds[i]); /* nothing was written that could be lost */
        fds[i] = -1;
    }
}

void pe_wake_close(struct event_base *base) {
    pe_selfpipe_close(base);
    close_pair(base, &base->wake_io, base->wake_fds);
}

void pe_base_wake(struct event_base *base) {
    uint64_t one = 1;
    int fd = base->wake_fds[1] >= 0 ? base->wake_fds[1] : base->wake_fds[0];
    int saved = errno;

    if (base->wake_is_pending || fd < 0)
        return;
    base->wake_is_pending = true;
    while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
        continue; /* EAGAIN: it is readable already */
    errno = saved;
}

size_t pe_selfpipe_take(struct event_base *base, unsigned char *bytes, size_t n) {
    ssize_t got = base->selfpipe_fds[0] >= 0 ? read(base->selfpipe_fds[0], bytes, n) : 0;

    return got > 0 ? (size_t)got : 0;
}

static void selfpipe_run(struct event_base *base, struct pe_task *task) {
    unsigned char bytes[256];
    size_t n = pe_selfpipe_take(base, bytes, sizeof(bytes));

    (void)task;
    if (n > 0)
        base->selfpipe_notice(base->selfpipe_arg, bytes, n);
}

int pe_selfpipe_open(struct event_base *base,
                  void (*notice)(void *arg, const unsigned char *bytes, size_t n), void *arg) {
    int err;

    base->selfpipe_notice = notice;
    base->selfpipe_arg = arg;
    if (base->selfpipe_fds[0] >= 0)
        return base->selfpipe_fds[1];
    err = pe_socketpair(base->selfpipe_fds);
    if (err < 0)
        return err;
    pe_io_init(&base->selfpipe_io, base->selfpipe_fds[0], selfpipe_run, 0);
    base->selfpipe_io.task.state |= EVLIST_INTERNAL;
    err = pe_io_set(base, &base->selfpipe_io, EV_READ);
    if (err < 0) {
        pe_selfpipe_close(base);
        return err;
    }
    return base->selfpipe_fds[1];
}

void pe_selfpipe_close(struct event_base *base) {
    close_pair(base, &base->selfpipe_io, base->selfpipe_fds);
}
