/* signal.c - signals as events, for every base that asks.
 *
 * One process-wide counter per signal number, raised by the handler, and a
 * list of the bases that watch signals:
 *
 *     handler:  caught[signo]++, then one write to the wake fd of each base
 *     base:     woken, compares caught[] with what it has seen before, and
 *               activates its events of that signal with the difference
 *
 * So counts are kept, and no base takes a signal from another. The handler
 * walks the list without a lock; whoever unlinks a base waits until no handler
 * is under way before its memory or descriptor goes. The lock is for adding
 * and deleting, and for the saved handlers. It is not held while a handler
 * could run into it, since handlers never take it.
 *
 * The first event of a signal in the process installs the handler, the last
 * one to go puts back what was there, unless somebody replaced ours meanwhile.
 */
#include "loop/internal.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#ifndef NSIG
#define NSIG 65
#endif
#define SIGNAL_MAX 64 /* one bit each in a mask */

struct pe_signals {
    _Atomic(struct pe_signals *) next; /* the handler's way through the bases */
    atomic_int fd;                     /* to write to; -1: none at present */
    _Atomic(uint64_t) mask;            /* bit n - 1: signal n is watched */
    unsigned seen[SIGNAL_MAX + 1];
    struct pe_link events[SIGNAL_MAX + 1]; /* of pe_io.chain */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static _Atomic(struct pe_signals *) all_signals;
static atomic_uint caught[SIGNAL_MAX + 1];
static atomic_int handlers_running;
static unsigned users[SIGNAL_MAX + 1]; /* bases that watch it */
static struct sigaction saved[SIGNAL_MAX + 1];

static uint64_t bit_of(int signo) {
    return UINT64_C(1) << (signo - 1);
}

/* Async-signal-safe: atomics and write(2) only (signal-safety(7)). */
static void on_signal(int signo) {
    int saved_errno = errno;
    uint64_t one = 1;
    struct pe_signals *s;

    atomic_fetch_add(&handlers_running, 1);
    atomic_fetch_add(&caught[signo], 1);
    for (s = atomic_load(&all_signals); s != NULL; s = atomic_load(&s->next)) {
        int fd = atomic_load(&s->fd);

        if (fd >= 0 && (atomic_load(&s->mask) & bit_of(signo))) {
            /* EAGAIN: readable already. Nothing else can be said from here. */
            ssize_t n = write(fd, &one, sizeof(one));
            (void)n;
        }
    }
    atomic_fetch_sub(&handlers_running, 1);
    errno = saved_errno;
}

static void wait_for_handlers(void) {
    while (atomic_load(&handlers_running) != 0)
        sched_yield(); /* a few instructions in another thread */
}

static void lock_for_fork(void) {
    pthread_mutex_lock(&lock);
}

static void unlock_after_fork(void) {
    pthread_mutex_unlock(&lock);
}

/* What was caught until now is the parent's. */
static void forget_caught(struct pe_signals *s) {
    for (int signo = 1; signo <= SIGNAL_MAX; signo++)
        s->seen[signo] = atomic_load(&caught[signo]);
}

static void unlock_in_child(void) {
    atomic_store(&handlers_running, 0); /* those threads are not here */
    for (struct pe_signals *s = atomic_load(&all_signals); s != NULL; s = atomic_load(&s->next))
        forget_caught(s);
    pthread_mutex_unlock(&lock);
}

static void guard_fork(void) {
    pthread_atfork(lock_for_fork, unlock_after_fork, unlock_in_child);
}

static int write_end(const struct event_base *base) {
    return base->wake_fds[1] >= 0 ? base->wake_fds[1] : base->wake_fds[0];
}

static struct pe_signals *signals_of(struct event_base *base) {
    struct pe_signals *s = base->signals;

    if (s != NULL)
        return s;
    s = pe_calloc(PE_MEM_SIGNAL, 1, sizeof(*s));
    if (s == NULL)
        return NULL;
    for (int i = 0; i <= SIGNAL_MAX; i++)
        pe_list_init(&s->events[i]);
    atomic_store(&s->fd, write_end(base));
    pthread_once(&fork_once, guard_fork);
    pthread_mutex_lock(&lock);
    atomic_store(&s->next, atomic_load(&all_signals));
    atomic_store(&all_signals, s);
    pthread_mutex_unlock(&lock);
    base->signals = s;
    return s;
}

/* This base's first event of the signal. */
static int watch(struct pe_signals *s, int signo) {
    struct sigaction action;
    int err = 0;

    pthread_mutex_lock(&lock);
    s->seen[signo] = atomic_load(&caught[signo]);
    atomic_fetch_or(&s->mask, bit_of(signo));
    if (users[signo] == 0) {
        memset(&action, 0, sizeof(action));
        action.sa_handler = on_signal;
        action.sa_flags = SA_RESTART;
        sigfillset(&action.sa_mask);
        if (sigaction(signo, &action, &saved[signo]) < 0)
            err = -errno;
    }
    if (err == 0)
        users[signo]++;
    else
        atomic_fetch_and(&s->mask, ~bit_of(signo));
    pthread_mutex_unlock(&lock);
    return err;
}

/* This base's last event of the signal has gone. */
static void unwatch(struct pe_signals *s, int signo) {
    struct sigaction now;

    pthread_mutex_lock(&lock);
    atomic_fetch_and(&s->mask, ~bit_of(signo));
    if (--users[signo] == 0 && sigaction(signo, NULL, &now) == 0 &&
        !(now.sa_flags & SA_SIGINFO) && now.sa_handler == on_signal)
        (void)sigaction(signo, &saved[signo], NULL); /* it was accepted before */
    pthread_mutex_unlock(&lock);
}

/* Tell the events of a signal how often it was caught since the last look. */
static void deliver_one(struct event_base *base, int signo) {
    struct pe_signals *s = base->signals;
    unsigned total = atomic_load(&caught[signo]), n = total - s->seen[signo];
    struct pe_link *at;

    s->seen[signo] = total;
    if (n == 0)
        return;
    for (at = s->events[signo].next; at != &s->events[signo]; at = at->next)
        pe_event_signalled(base, pe_container(at, struct event, io.chain), n);
}

int pe_signal_add(struct event_base *base, struct event *ev) {
    int signo = ev->io.task.fd;
    struct pe_signals *s;
    int err;

    if (signo < 1 || signo > SIGNAL_MAX || signo >= NSIG)
        return -EINVAL;
    if (base->was_forked) {
        err = pe_base_revive(base);
        if (err < 0)
            return err;
    }
    s = signals_of(base);
    if (s == NULL)
        return -ENOMEM;
    if (pe_list_empty(&s->events[signo])) {
        err = watch(s, signo);
        if (err < 0)
            return err;
    } else {
        deliver_one(base, signo); /* to those that were there when it came */
    }
    pe_list_push_front(&s->events[signo], &ev->io.chain);
    base->signal_count++;
    pe_base_note_added(base);
    return 0;
}

void pe_signal_del(struct event_base *base, struct event *ev) {
    int signo = ev->io.task.fd;
    struct pe_signals *s = base->signals;

    pe_list_remove(&ev->io.chain);
    base->signal_count--;
    pe_base_note_removed(base);
    if (pe_list_empty(&s->events[signo]))
        unwatch(s, signo);
}

void pe_signals_deliver(struct event_base *base) {
    uint64_t mask = base->signals != NULL ? atomic_load(&base->signals->mask) : 0;

    for (int signo = 1; mask != 0; signo++, mask >>= 1) {
        if (mask & 1)
            deliver_one(base, signo);
    }
}

void pe_signals_detach_fd(struct event_base *base) {
    if (base->signals == NULL)
        return;
    atomic_store(&base->signals->fd, -1);
    wait_for_handlers();
}

void pe_signals_attach_fd(struct event_base *base) {
    if (base->signals != NULL)
        atomic_store(&base->signals->fd, write_end(base));
}

void pe_signals_close(struct event_base *base) {
    struct pe_signals *s = base->signals;
    struct pe_signals *at;

    if (s == NULL)
        return;
    for (int signo = 1; signo <= SIGNAL_MAX; signo++) {
        while (!pe_list_empty(&s->events[signo]))
            pe_event_forget(pe_container(s->events[signo].next, struct event, io.chain));
    }
    pthread_mutex_lock(&lock);
    at = atomic_load(&all_signals);
    if (at == s) {
        atomic_store(&all_signals, atomic_load(&s->next));
    } else {
        while (atomic_load(&at->next) != s)
            at = atomic_load(&at->next);
        atomic_store(&at->next, atomic_load(&s->next));
    }
    pthread_mutex_unlock(&lock);
    wait_for_handlers();
    pe_free(PE_MEM_SIGNAL, s);
    base->signals = NULL;
}

/* In a child: nor is what has been delivered, and not been called for yet. */
void pe_signals_mend(struct event_base *base) {
    struct pe_signals *s = base->signals;

    for (int signo = 1; s != NULL && signo <= SIGNAL_MAX; signo++) {
        struct pe_link *at = s->events[signo].next;

        for (; at != &s->events[signo]; at = at->next)
            pe_event_drop_signals(pe_container(at, struct event, io.chain));
    }
}

int pe_signals_foreach(struct event_base *base, int (*fn)(struct pe_io *io, void *arg), void *arg) {
    struct pe_signals *s = base->signals;
    int result = 0;

    for (int signo = 1; s != NULL && result == 0 && signo <= SIGNAL_MAX; signo++) {
        struct pe_link *at = s->events[signo].next;

        for (; result == 0 && at != &s->events[signo]; at = at->next)
            result = fn(pe_container(at, struct pe_io, chain), arg);
    }
    return result;
}

void pe_signals_activate(struct event_base *base, int signo) {
    struct pe_signals *s = base->signals;
    struct pe_link *at;

    if (s == NULL || signo < 1 || signo > SIGNAL_MAX)
        return;
    for (at = s->events[signo].next; at != &s->events[signo]; at = at->next)
        pe_event_signalled(base, pe_container(at, struct event, io.chain), 1);
}
