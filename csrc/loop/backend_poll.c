/* backend_poll.c - poll(2): works everywhere and for every file, O(fds) a turn.
 *
 * One dense array of struct pollfd and, beside it, the generations. An fd's
 * slot holds its index + 1. Removing moves the last entry into the gap:
 *
 *     fds:  [0][1][2][3][4]     remove 1:  [0][4][2][3]
 *
 * The kernel reads the array during the wait, so it must not change then: the
 * loop sees to that, since we do not offer PE_BACKEND_SET_ANYTIME.
 */
#include "loop/backend.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/sock.h"
#include "event2/event.h"

#define POLL_FIRST_CAP 32

#ifdef POLLRDHUP
#define POLL_CLOSED POLLRDHUP
#define POLL_FEATURES (EV_FEATURE_FDS | EV_FEATURE_EARLY_CLOSE)
#else
#define POLL_CLOSED 0
#define POLL_FEATURES EV_FEATURE_FDS
#endif

struct poll_state {
    struct pollfd *fds;
    uint32_t *gens;
    void **slots; /* whose index to mend when an entry moves */
    int count, cap;
    int left; /* results of the last wait not handed out yet ... */
    int next; /* ... and the entry to look at for them */
};

struct poll_slot {
    int index_plus_1;
};

static int poll_open(struct pe_backend *b) {
    b->state = pe_calloc(PE_MEM_BACKEND, 1, sizeof(struct poll_state));
    return b->state != NULL ? 0 : -ENOMEM;
}

static void poll_close(struct pe_backend *b) {
    struct poll_state *st = b->state;

    pe_free(PE_MEM_BACKEND, st->fds);
    pe_free(PE_MEM_BACKEND, st->gens);
    pe_free(PE_MEM_BACKEND, st->slots);
    pe_free(PE_MEM_BACKEND, st);
    b->state = NULL;
}

static int reserve_one(struct poll_state *st) {
    int cap = st->cap ? st->cap * 2 : POLL_FIRST_CAP;
    struct pollfd *fds;
    uint32_t *gens;
    void **slots;

    if (st->count < st->cap)
        return 0;
    /* One that succeeds before another fails is merely larger than needed. */
    fds = pe_realloc(PE_MEM_BACKEND, st->fds, (size_t)cap * sizeof(*fds));
    if (fds == NULL)
        return -ENOMEM;
    st->fds = fds;
    gens = pe_realloc(PE_MEM_BACKEND, st->gens, (size_t)cap * sizeof(*gens));
    if (gens == NULL)
        return -ENOMEM;
    st->gens = gens;
    slots = pe_realloc(PE_MEM_BACKEND, st->slots, (size_t)cap * sizeof(*slots));
    if (slots == NULL)
        return -ENOMEM;
    st->slots = slots;
    st->cap = cap;
    return 0;
}

static void remove_entry(struct poll_state *st, struct poll_slot *slot) {
    int i = slot->index_plus_1 - 1;
    int last = --st->count;

    slot->index_plus_1 = 0;
    if (i == last)
        return;
    st->fds[i] = st->fds[last];
    st->gens[i] = st->gens[last];
    st->slots[i] = st->slots[last];
    ((struct poll_slot *)st->slots[i])->index_plus_1 = i + 1;
}

static short to_poll(unsigned want) {
    int events = 0;

    if (want & EV_READ)
        events |= POLLIN;
    if (want & EV_WRITE)
        events |= POLLOUT;
    if (want & EV_CLOSED)
        events |= POLL_CLOSED;
    return (short)events;
}

static int poll_set(struct pe_backend *b, int fd, uint32_t gen, unsigned old, unsigned want,
                    void *slot_memory) {
    struct poll_state *st = b->state;
    struct poll_slot *slot = slot_memory;
    int i, err;

    if (want == 0) {
        if (slot->index_plus_1 != 0)
            remove_entry(st, slot);
        return 0;
    }
    if (old == 0 || (old & PE_BACKEND_MAYBE)) {
        err = pe_fd_check(fd);
        if (err < 0)
            return err;
    }
    if (slot->index_plus_1 == 0) {
        err = reserve_one(st);
        if (err < 0)
            return err;
        slot->index_plus_1 = ++st->count;
    }
    i = slot->index_plus_1 - 1;
    st->fds[i].fd = fd;
    st->fds[i].events = to_poll(want);
    st->fds[i].revents = 0;
    st->gens[i] = gen;
    st->slots[i] = slot;
    return 0;
}

static int poll_backend_wait(struct pe_backend *b, int64_t timeout_ns) {
    struct poll_state *st = b->state;
    int n;

    st->left = 0;
    st->next = 0;
#ifdef __linux__
    {
        struct timespec ts;

        if (timeout_ns >= 0) {
            ts.tv_sec = (time_t)(timeout_ns / PE_NS_PER_SEC);
            ts.tv_nsec = (long)(timeout_ns % PE_NS_PER_SEC);
        }
        n = ppoll(st->fds, (nfds_t)st->count, timeout_ns < 0 ? NULL : &ts, NULL);
    }
#else
    {
        int64_t ms = timeout_ns < 0 ? -1 : (timeout_ns + PE_NS_PER_MS - 1) / PE_NS_PER_MS;

        n = poll(st->fds, (nfds_t)st->count, ms > INT_MAX ? INT_MAX : (int)ms);
    }
#endif
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    st->left = n;
    return n;
}

static unsigned from_poll(short revents) {
    unsigned got = 0;

    if (revents & (POLLERR | POLLHUP | POLLNVAL))
        got |= EV_READ | EV_WRITE | PE_READY_ERROR;
    if (revents & POLLIN)
        got |= EV_READ;
    if (revents & POLLOUT)
        got |= EV_WRITE;
    if (revents & POLL_CLOSED)
        got |= EV_CLOSED;
    return got;
}

static int poll_harvest(struct pe_backend *b, struct pe_ready *out, int cap) {
    struct poll_state *st = b->state;
    int n = 0;

    while (n < cap && st->left > 0 && st->next < st->count) {
        int i = st->next++;

        if (st->fds[i].revents == 0)
            continue;
        out[n].fd = st->fds[i].fd;
        out[n].gen = st->gens[i];
        out[n].events = from_poll(st->fds[i].revents);
        st->left--;
        n++;
    }
    return n;
}

const struct pe_backend_ops pe_backend_poll = {
    .name = "poll",
    .env_off = "EVENT_NOPOLL",
    .features = POLL_FEATURES,
    .slot_size = sizeof(struct poll_slot),
    .open = poll_open,
    .close = poll_close,
    .set = poll_set,
    .wait = poll_backend_wait,
    .harvest = poll_harvest,
    .purge = NULL,
};
