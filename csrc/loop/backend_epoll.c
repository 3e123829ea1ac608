/* backend_epoll.c - epoll(7).
 *
 * Some facts, and what follows from them. epoll watches open files, not
 * descriptors: an fd closed while a dup or a forked child holds its file
 * keeps reporting, and can no longer be removed by number. The loop notices
 * such a result by the generation that we put into the event's data, and
 * opens a new set. An fd closed for the last time leaves the set by itself, so
 * a MOD may find nothing (ENOENT: add it) and an ADD something (EEXIST).
 * Regular files are refused with EPERM. epoll_ctl(2) works while another
 * thread waits.
 *
 * epoll_pwait2(2) takes nanoseconds; where the kernel or a sandbox does not
 * have it, milliseconds rounded up, so that no timer is early.
 */
#ifdef __linux__

#include "loop/backend.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "event2/event.h"
#include "loop/epoll.h"

#define EPOLL_FIRST_BATCH 64
#define EPOLL_MAX_BATCH 4096
#define EPOLL_MAX_WAIT_MS (35 * 60 * 1000) /* what every kernel takes */

struct epoll_state {
    int epfd;
    int got;  /* results of the last wait ... */
    int next; /* ... of which these were handed out */
    int cap;
    struct epoll_event *events;
};

static atomic_bool no_pwait2; /* the kernel has refused it once */

void pe_epoll_forbid_pwait2(bool forbid) {
    atomic_store_explicit(&no_pwait2, forbid, memory_order_relaxed);
}

static int epoll_open(struct pe_backend *b) {
    struct epoll_state *st = pe_calloc(PE_MEM_BACKEND, 1, sizeof(*st));
    int err;

    if (st == NULL)
        return -ENOMEM;
    st->cap = EPOLL_FIRST_BATCH;
    st->events = pe_calloc(PE_MEM_BACKEND, (size_t)st->cap, sizeof(*st->events));
    if (st->events == NULL) {
        err = -ENOMEM;
        goto free_state;
    }
    st->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (st->epfd < 0) {
        err = -errno;
        goto free_events;
    }
    b->state = st;
    return 0;
free_events:
    pe_free(PE_MEM_BACKEND, st->events);
free_state:
    pe_free(PE_MEM_BACKEND, st);
    return err;
}

static void epoll_close(struct pe_backend *b) {
    struct epoll_state *st = b->state;

    close(st->epfd);
    pe_free(PE_MEM_BACKEND, st->events);
    pe_free(PE_MEM_BACKEND, st);
    b->state = NULL;
}

static uint32_t to_epoll(unsigned want) {
    uint32_t events = 0;

    if (want & EV_READ)
        events |= EPOLLIN;
    if (want & EV_WRITE)
        events |= EPOLLOUT;
    if (want & EV_CLOSED)
        events |= EPOLLRDHUP;
    if (want & EV_ET)
        events |= EPOLLET;
    return events;
}

static int epoll_set(struct pe_backend *b, int fd, uint32_t gen, unsigned old, unsigned want,
                     void *slot) {
    struct epoll_state *st = b->state;
    struct epoll_event ev;

    (void)slot;
    memset(&ev, 0, sizeof(ev));
    ev.events = to_epoll(want);
    ev.data.u64 = ((uint64_t)gen << 32) | (uint32_t)fd;
    if (want == 0) {
        if (epoll_ctl(st->epfd, EPOLL_CTL_DEL, fd, &ev) == 0 || errno == ENOENT ||
            errno == EBADF || errno == EPERM)
            return 0;
        return -errno;
    }
    if (epoll_ctl(st->epfd, old ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) == 0)
        return 0;
    if (old ? errno == ENOENT : errno == EEXIST) {
        if (epoll_ctl(st->epfd, old ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &ev) == 0)
            return 0;
    }
    return -errno;
}

static int epoll_purge(struct pe_backend *b, int fd) {
    struct epoll_state *st = b->state;
    struct epoll_event ev; /* kernels before 2.6.9 want a pointer */

    memset(&ev, 0, sizeof(ev));
    return epoll_ctl(st->epfd, EPOLL_CTL_DEL, fd, &ev) == 0 ? 0 : -errno;
}

static int wait_once(struct epoll_state *st, int64_t timeout_ns) {
    int64_t ms;

#ifdef SYS_epoll_pwait2
    if (timeout_ns > 0 && !atomic_load_explicit(&no_pwait2, memory_order_relaxed)) {
        struct timespec ts = {.tv_sec = (time_t)(timeout_ns / PE_NS_PER_SEC),
                              .tv_nsec = (long)(timeout_ns % PE_NS_PER_SEC)};
        long n = syscall(SYS_epoll_pwait2, st->epfd, st->events, st->cap, &ts, NULL, (size_t)8);

        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return (int)n;
        pe_epoll_forbid_pwait2(true);
    }
#endif
    if (timeout_ns < 0) {
        ms = -1;
    } else {
        ms = (timeout_ns + PE_NS_PER_MS - 1) / PE_NS_PER_MS;
        if (ms > EPOLL_MAX_WAIT_MS)
            ms = EPOLL_MAX_WAIT_MS;
    }
    return epoll_wait(st->epfd, st->events, st->cap, (int)ms);
}

/* After a wait that filled the array: room for more next time. Without the
 * memory it simply stays as it is. */
static void grow(struct epoll_state *st) {
    struct epoll_event *more;

    if (st->got < st->cap || st->cap >= EPOLL_MAX_BATCH)
        return;
    more = pe_realloc(PE_MEM_BACKEND, st->events, (size_t)st->cap * 2 * sizeof(*more));
    if (more == NULL)
        return;
    st->events = more;
    st->cap *= 2;
}

static int epoll_backend_wait(struct pe_backend *b, int64_t timeout_ns) {
    struct epoll_state *st = b->state;
    int n;

    st->next = 0;
    st->got = 0;
    n = wait_once(st, timeout_ns);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    st->got = n;
    return n;
}

static unsigned from_epoll(uint32_t events) {
    unsigned got = 0;

    if ((events & EPOLLERR) || ((events & EPOLLHUP) && !(events & EPOLLRDHUP)))
        got |= EV_READ | EV_WRITE | PE_READY_ERROR;
    if (events & EPOLLIN)
        got |= EV_READ;
    if (events & EPOLLOUT)
        got |= EV_WRITE;
    if (events & EPOLLRDHUP)
        got |= EV_CLOSED;
    if (events & EPOLLHUP)
        got |= PE_READY_ERROR;
    return got;
}

static int epoll_harvest(struct pe_backend *b, struct pe_ready *out, int cap) {
    struct epoll_state *st = b->state;
    int n = 0;

    while (n < cap && st->next < st->got) {
        const struct epoll_event *ev = &st->events[st->next++];

        out[n].fd = (int)(uint32_t)ev->data.u64;
        out[n].gen = (uint32_t)(ev->data.u64 >> 32);
        out[n].events = from_epoll(ev->events);
        n++;
    }
    if (n == 0)
        grow(st);
    return n;
}

const struct pe_backend_ops pe_backend_epoll = {
    .name = "epoll",
    .env_off = "EVENT_NOEPOLL",
    .features = EV_FEATURE_ET | EV_FEATURE_O1 | EV_FEATURE_EARLY_CLOSE | PE_BACKEND_SET_ANYTIME,
    .slot_size = 0,
    .open = epoll_open,
    .close = epoll_close,
    .set = epoll_set,
    .wait = epoll_backend_wait,
    .harvest = epoll_harvest,
    .purge = epoll_purge,
};

#endif
