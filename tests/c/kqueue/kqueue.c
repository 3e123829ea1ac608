/* kqueue.c - kqueue(2) over epoll(7), timerfd, signalfd and eventfd.
 *
 *     the queue's descriptor: an epoll set of
 *         sets[READ]   an epoll set: every fd with EVFILT_READ
 *         sets[WRITE]  an epoll set: every fd with EVFILT_WRITE
 *         pulse        an eventfd, readable while a user event is triggered
 *         a timerfd or signalfd of each timer or signal
 *
 * so that the two directions of an fd are independent, as they are there. A
 * wait sleeps on the queue's descriptor and then asks each part. epoll keeps
 * what a closed descriptor stood for while a dup of it is open; a real knote
 * goes with the descriptor. So a knote remembers its file, by inode, and when
 * a result comes for another one, the set is made anew without it.
 *
 * One lock, not held while waiting.
 */
#include <sys/event.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#undef close /* in here it is close(2) */

#define BUCKETS 4096
#define BATCH 4096
#define NS_PER_SEC 1000000000ll

enum { READ, WRITE, SETS };

struct knote {
    struct knote *next; /* in its bucket */
    struct kevent kev;
    uint32_t serial; /* tells a result of it from one of an earlier knote */
    bool is_disabled, is_triggered;
    int own_fd; /* timerfd or signalfd; -1 */
    dev_t dev;  /* the file of a descriptor ... */
    ino_t ino;
    mode_t mode;
};

struct queue {
    struct queue *next;
    int fd, pulse, sets[SETS];
    int own_count; /* knotes that are of no fd */
    int first; /* the part that is asked first: they take turns */
    uint32_t serial;
    struct knote *buckets[BUCKETS];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct queue *queues;

/* --- knotes ---------------------------------------------------------------------- */

static bool is_of_fd(const struct knote *kn) {
    return kn->kev.filter == EVFILT_READ || kn->kev.filter == EVFILT_WRITE;
}

static int *set_of(struct queue *q, const struct knote *kn) {
    return &q->sets[kn->kev.filter == EVFILT_READ ? READ : WRITE];
}

/* Whether the descriptor is open still, and on the same file. */
static bool is_alive(const struct knote *kn) {
    struct stat st;

    if (!is_of_fd(kn))
        return true;
    return fstat((int)kn->kev.ident, &st) == 0 && st.st_dev == kn->dev && st.st_ino == kn->ino;
}

static struct knote **bucket_of(struct queue *q, uintptr_t ident) {
    return &q->buckets[ident % BUCKETS];
}

/* epoll_ctl, whatever the set has of the number already. */
static int arm_fd(int set, const struct knote *kn) {
    bool reads = kn->kev.filter == EVFILT_READ;
    struct epoll_event ev = {.events = reads ? EPOLLIN | EPOLLRDHUP : EPOLLOUT};
    int fd = (int)kn->kev.ident;

    if (kn->kev.flags & EV_CLEAR)
        ev.events |= EPOLLET;
    ev.data.u64 = (uint64_t)(uint32_t)fd << 32 | kn->serial;
    if (epoll_ctl(set, EPOLL_CTL_MOD, fd, &ev) == 0)
        return 0;
    return errno == ENOENT && epoll_ctl(set, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : errno;
}

static void beat(struct queue *q) {
    uint64_t one = 1;
    bool is_due = false;

    for (int i = 0; i < BUCKETS && q->own_count != 0; i++) {
        for (struct knote *kn = q->buckets[i]; kn != NULL; kn = kn->next)
            is_due |= kn->is_triggered && !kn->is_disabled;
    }
    if (is_due)
        (void)!write(q->pulse, &one, sizeof(one));
    else
        (void)!read(q->pulse, &one, sizeof(one));
}

static void disarm(struct queue *q, struct knote *kn) {
    if (is_of_fd(kn))
        (void)epoll_ctl(*set_of(q, kn), EPOLL_CTL_DEL, (int)kn->kev.ident, NULL);
    else if (kn->own_fd >= 0)
        (void)epoll_ctl(q->fd, EPOLL_CTL_DEL, kn->own_fd, NULL);
}

static int arm(struct queue *q, struct knote *kn) {
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = kn};

    if (is_of_fd(kn))
        return arm_fd(*set_of(q, kn), kn);
    if (kn->own_fd >= 0 && epoll_ctl(q->fd, EPOLL_CTL_ADD, kn->own_fd, &ev) < 0)
        return errno == EEXIST ? 0 : errno;
    return 0;
}

static void drop(struct queue *q, struct knote *kn) {
    struct knote **at = bucket_of(q, kn->kev.ident);

    while (*at != kn)
        at = &(*at)->next;
    *at = kn->next;
    q->own_count -= !is_of_fd(kn);
    disarm(q, kn);
    if (kn->own_fd >= 0)
        close(kn->own_fd);
    if (kn->is_triggered)
        beat(q);
    free(kn);
}

static struct knote *find(struct queue *q, uintptr_t ident, short filter) {
    for (struct knote *kn = *bucket_of(q, ident); kn != NULL; kn = kn->next) {
        if (kn->kev.ident != ident || kn->kev.filter != filter)
            continue;
        if (is_alive(kn))
            return kn;
        drop(q, kn); /* as the close has done there */
        return NULL;
    }
    return NULL;
}

/* --- changes --------------------------------------------------------------------- */

static int start_timer(struct knote *kn) {
    unsigned unit = kn->kev.fflags & (NOTE_SECONDS | NOTE_USECONDS | NOTE_NSECONDS);
    int64_t scale = unit == NOTE_SECONDS    ? NS_PER_SEC
                    : unit == NOTE_USECONDS ? 1000
                    : unit == NOTE_NSECONDS ? 1
                                            : 1000000;
    int64_t ns = kn->kev.data > 0 ? kn->kev.data * scale : 1;
    struct timespec ts = {.tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC};
    struct itimerspec spec = {.it_value = ts};

    if (!(kn->kev.flags & EV_ONESHOT))
        spec.it_interval = ts;
    return timerfd_settime(kn->own_fd, 0, &spec, NULL) < 0 ? errno : 0;
}

/* What stands behind a new knote. */
static int attach(struct knote *kn) {
    struct pollfd look = {.fd = (int)kn->kev.ident, .events = POLLOUT};
    struct stat st;
    sigset_t mask;

    switch (kn->kev.filter) {
    case EVFILT_READ:
    case EVFILT_WRITE:
        if (fstat((int)kn->kev.ident, &st) < 0)
            return errno;
        kn->dev = st.st_dev;
        kn->ino = st.st_ino;
        kn->mode = st.st_mode;
        if (kn->kev.filter == EVFILT_WRITE && S_ISFIFO(st.st_mode) && poll(&look, 1, 0) == 1 &&
            (look.revents & POLLERR))
            return EPIPE;
        return 0;
    case EVFILT_TIMER:
        kn->own_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        return kn->own_fd < 0 ? errno : start_timer(kn);
    case EVFILT_SIGNAL:
        sigemptyset(&mask);
        if (sigaddset(&mask, (int)kn->kev.ident) < 0)
            return EINVAL;
        kn->kev.flags |= EV_CLEAR;
        kn->own_fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
        return kn->own_fd < 0 ? errno : 0;
    case EVFILT_USER:
        return 0;
    default:
        return EINVAL;
    }
}

static int add(struct queue *q, const struct kevent *change) {
    struct knote *kn = calloc(1, sizeof(*kn));
    struct knote **bucket = bucket_of(q, change->ident);
    int err;

    if (kn == NULL)
        return ENOMEM;
    kn->kev = *change;
    kn->kev.flags &= EV_ONESHOT | EV_CLEAR | EV_DISPATCH;
    kn->kev.fflags &= ~NOTE_TRIGGER;
    kn->serial = ++q->serial;
    kn->own_fd = -1;
    err = attach(kn);
    if (err == 0 && !(change->flags & EV_DISABLE))
        err = arm(q, kn);
    if (err != 0) {
        if (kn->own_fd >= 0)
            close(kn->own_fd);
        free(kn);
        return err;
    }
    kn->next = *bucket;
    *bucket = kn;
    q->own_count += !is_of_fd(kn);
    return 0;
}

/* An existing one: EV_CLEAR and its like stay as they were. */
static int modify(struct queue *q, struct knote *kn, const struct kevent *change) {
    kn->kev.udata = change->udata;
    kn->kev.fflags = change->fflags & ~NOTE_TRIGGER;
    kn->kev.data = change->data;
    if (kn->kev.filter == EVFILT_TIMER)
        return start_timer(kn);
    return kn->is_disabled ? 0 : arm(q, kn); /* told again, if ready */
}

static int apply(struct queue *q, const struct kevent *change) {
    struct knote *kn;
    int err = 0;

    if ((change->filter == EVFILT_READ || change->filter == EVFILT_WRITE) &&
        (change->ident > INT32_MAX || fcntl((int)change->ident, F_GETFD) < 0))
        return EBADF;
    kn = find(q, change->ident, change->filter);
    if (change->flags & EV_ADD)
        err = kn == NULL ? add(q, change) : modify(q, kn, change);
    else if (kn == NULL)
        return ENOENT;
    if (err != 0)
        return err;
    kn = find(q, change->ident, change->filter);
    if (change->flags & EV_DELETE) {
        drop(q, kn);
        return 0;
    }
    if (change->flags & EV_DISABLE) {
        kn->is_disabled = true;
        disarm(q, kn);
    } else if ((change->flags & EV_ENABLE) && kn->is_disabled) {
        kn->is_disabled = false;
        err = arm(q, kn);
    }
    if (kn->kev.filter == EVFILT_USER) {
        kn->is_triggered |= (change->fflags & NOTE_TRIGGER) != 0;
        beat(q);
    }
    return err;
}

/* --- results --------------------------------------------------------------------- */

/* A set without what cannot be taken out of it by number any more. */
static void make_anew(struct queue *q, int which) {
    short filter = which == READ ? EVFILT_READ : EVFILT_WRITE;
    struct epoll_event ev = {.events = EPOLLIN};
    int fresh = epoll_create1(EPOLL_CLOEXEC);

    if (fresh < 0)
        return; /* the next result tries again */
    (void)epoll_ctl(q->fd, EPOLL_CTL_DEL, q->sets[which], NULL);
    close(q->sets[which]);
    q->sets[which] = fresh;
    (void)epoll_ctl(q->fd, EPOLL_CTL_ADD, fresh, &ev);
    for (int i = 0; i < BUCKETS; i++) {
        for (struct knote *kn = q->buckets[i], *next; kn != NULL; kn = next) {
            next = kn->next;
            if (kn->kev.filter == filter && !is_alive(kn))
                drop(q, kn);
            else if (kn->kev.filter == filter && !kn->is_disabled)
                (void)arm_fd(fresh, kn);
        }
    }
}

static void hand_out(struct queue *q, struct knote *kn, struct kevent *out) {
    *out = kn->kev;
    if (kn->kev.flags & EV_DISPATCH) {
        kn->is_disabled = true;
        disarm(q, kn);
    }
    if (kn->kev.flags & EV_ONESHOT)
        drop(q, kn);
}

static int collect_fds(struct queue *q, int which, struct kevent *out, int cap) {
    short filter = which == READ ? EVFILT_READ : EVFILT_WRITE;
    static struct epoll_event got[BATCH]; /* under the lock */
    int n = epoll_wait(q->sets[which], got, cap < BATCH ? cap : BATCH, 0);
    int found = 0;
    bool is_stale = false;

    for (int i = 0; i < n; i++) {
        uint32_t fd = (uint32_t)(got[i].data.u64 >> 32);
        uint32_t end = which == READ ? EPOLLRDHUP | EPOLLHUP | EPOLLERR : EPOLLHUP | EPOLLERR;
        struct knote *kn = find(q, fd, filter);
        bool is_broken;
        int bytes = 0;

        if (kn == NULL || kn->serial != (uint32_t)got[i].data.u64) {
            is_stale = true;
            continue;
        }
        if (which == READ && ioctl((int)fd, FIONREAD, &bytes) < 0)
            bytes = 0;
        is_broken = (got[i].events & EPOLLERR) && S_ISSOCK(kn->mode);
        hand_out(q, kn, &out[found]);
        out[found].data = bytes;
        out[found].fflags = is_broken ? ECONNRESET : 0;
        if (got[i].events & end)
            out[found].flags |= EV_EOF;
        found++;
    }
    if (is_stale)
        make_anew(q, which);
    return found;
}

/* What a timer, signal or user event has to say: 0 is nothing. */
static intptr_t take(struct knote *kn) {
    union {
        uint64_t ticks;
        struct signalfd_siginfo info;
    } got = {0};

    if (kn->is_disabled)
        return 0;
    if (kn->kev.filter == EVFILT_USER) {
        bool was_triggered = kn->is_triggered;

        if (kn->kev.flags & EV_CLEAR)
            kn->is_triggered = false;
        return was_triggered;
    }
    if (read(kn->own_fd, &got, sizeof(got)) <= 0)
        return 0;
    return kn->kev.filter == EVFILT_TIMER ? (intptr_t)got.ticks : 1;
}

static int collect_own(struct queue *q, struct kevent *out, int cap) {
    int found = 0;

    for (int i = 0; i < BUCKETS && q->own_count != 0; i++) {
        for (struct knote *kn = q->buckets[i], *next; kn != NULL && found < cap; kn = next) {
            intptr_t data = is_of_fd(kn) ? 0 : take(kn);

            next = kn->next;
            if (data == 0)
                continue;
            hand_out(q, kn, &out[found]);
            out[found++].data = data;
        }
    }
    beat(q);
    return found;
}

static int collect(struct queue *q, struct kevent *out, int cap) {
    int n = 0;

    q->first = (q->first + 1) % (SETS + 1);
    for (int i = 0; i <= SETS && n < cap; i++) {
        int part = (q->first + i) % (SETS + 1);

        n += part == SETS ? collect_own(q, out + n, cap - n)
                          : collect_fds(q, part, out + n, cap - n);
    }
    return n;
}

/* --- the calls ------------------------------------------------------------------- */

static void close_parts(struct queue *q) {
    for (int i = 0; i < BUCKETS; i++) {
        while (q->buckets[i] != NULL) {
            struct knote *kn = q->buckets[i];

            q->buckets[i] = kn->next;
            if (kn->own_fd >= 0)
                close(kn->own_fd);
            free(kn);
        }
    }
    for (int i = 0; i < SETS; i++)
        close(q->sets[i]);
    close(q->pulse);
    close(q->fd);
    free(q);
}

static void lock_for_fork(void) {
    pthread_mutex_lock(&lock);
}

static void unlock_after_fork(void) {
    pthread_mutex_unlock(&lock);
}

/* A child has none of its parent's queues. */
static void forget_in_child(void) {
    while (queues != NULL) {
        struct queue *q = queues;

        queues = q->next;
        close_parts(q);
    }
    pthread_mutex_unlock(&lock);
}

static void guard_fork(void) {
    pthread_atfork(lock_for_fork, unlock_after_fork, forget_in_child);
}

int kqueue(void) {
    struct epoll_event ev = {.events = EPOLLIN};
    struct queue *q;

    pthread_once(&once, guard_fork);
    q = calloc(1, sizeof(*q));
    if (q == NULL) {
        errno = ENOMEM;
        return -1;
    }
    q->fd = epoll_create1(EPOLL_CLOEXEC);
    q->pulse = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    for (int i = 0; i < SETS; i++)
        q->sets[i] = epoll_create1(EPOLL_CLOEXEC);
    if (q->fd < 0 || epoll_ctl(q->fd, EPOLL_CTL_ADD, q->pulse, &ev) < 0 ||
        epoll_ctl(q->fd, EPOLL_CTL_ADD, q->sets[READ], &ev) < 0 ||
        epoll_ctl(q->fd, EPOLL_CTL_ADD, q->sets[WRITE], &ev) < 0) {
        close_parts(q);
        errno = EMFILE;
        return -1;
    }
    pthread_mutex_lock(&lock);
    q->next = queues;
    queues = q;
    pthread_mutex_unlock(&lock);
    return q->fd;
}

int kqueue_emulation_close(int fd) {
    pthread_mutex_lock(&lock);
    for (struct queue **at = &queues; *at != NULL; at = &(*at)->next) {
        struct queue *q = *at;

        if (q->fd != fd)
            continue;
        *at = q->next;
        pthread_mutex_unlock(&lock);
        close_parts(q);
        return 0;
    }
    pthread_mutex_unlock(&lock);
    return close(fd);
}

static struct queue *queue_of(int fd) {
    for (struct queue *q = queues; q != NULL; q = q->next) {
        if (q->fd == fd)
            return q;
    }
    return NULL;
}

/* How many entries of `events` it took to say how the changes went; -1 when an
 * error has no room there. */
static int apply_all(struct queue *q, const struct kevent *changes, int nchanges,
                     struct kevent *events, int nevents) {
    int said = 0;

    for (int i = 0; i < nchanges; i++) {
        int err = apply(q, &changes[i]);

        if (err == 0 && !(changes[i].flags & EV_RECEIPT))
            continue;
        if (said == nevents) {
            errno = err;
            if (err != 0)
                return -1;
            continue;
        }
        events[said] = changes[i];
        events[said].flags |= EV_ERROR;
        events[said++].data = err;
    }
    return said;
}

static int64_t now_ns(void) {
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

/* Sleep until the queue's descriptor says something: 0 in time, -1 with errno
 * on a signal, 1 when the time is over. */
static int sleep_on(int fd, bool is_limited, int64_t due) {
    struct pollfd look = {.fd = fd, .events = POLLIN};
    int64_t left = is_limited ? due - now_ns() : 0;
    struct timespec ts = {0, 0};
    int n;

    if (left > 0) {
        ts.tv_sec = left / NS_PER_SEC;
        ts.tv_nsec = left % NS_PER_SEC;
    }
    n = ppoll(&look, 1, is_limited ? &ts : NULL, NULL);
    if (n < 0)
        return -1;
    return n == 0;
}

int kevent(int kq, const struct kevent *changes, int nchanges, struct kevent *events, int nevents,
           const struct timespec *timeout) {
    int64_t due = 0;
    struct queue *q;
    int n, slept = 0;

    pthread_mutex_lock(&lock);
    q = queue_of(kq);
    if (q == NULL) {
        pthread_mutex_unlock(&lock);
        errno = EBADF;
        return -1;
    }
    n = apply_all(q, changes, nchanges, events, nevents);
    pthread_mutex_unlock(&lock);
    if (n != 0 || nevents == 0)
        return n;
    if (timeout != NULL)
        due = now_ns() + timeout->tv_sec * NS_PER_SEC + timeout->tv_nsec;
    for (;;) {
        pthread_mutex_lock(&lock);
        q = queue_of(kq);
        n = q != NULL ? collect(q, events, nevents) : 0;
        pthread_mutex_unlock(&lock);
        if (n != 0 || slept != 0)
            return n;
        slept = sleep_on(kq, timeout != NULL, due);
        if (slept < 0)
            return -1;
    }
}
