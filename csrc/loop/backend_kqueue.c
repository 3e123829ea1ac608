/* backend_kqueue.c - kqueue(2): macOS and the BSDs.
 *
 * A registration there is a knote, of one fd and one filter:
 *
 *     EV_READ             EVFILT_READ, its EV_EOF is EV_CLOSED too
 *     EV_CLOSED alone     EVFILT_READ with EV_CLEAR until EV_EOF, so that unread
 *                         bytes wake us once and not for ever; then without
 *     EV_WRITE            EVFILT_WRITE
 *     EV_ET               EV_CLEAR on each
 *     always ready        EVFILT_USER with the number of the fd, triggered and
 *                         never cleared
 *
 * Always ready, as under poll, is what kqueue has other views of: a regular
 * file (it would be ready only before its end) and a pipe whose reader has gone
 * (it is refused with EPIPE). Adding a knote again changes its udata, but not
 * EV_CLEAR, which needs a deletion before. Knotes of an fd go when it is
 * closed, whoever else holds the file, so there are no stale ones but those
 * always ready. By fd we remember what the kernel was given.
 *
 * EV_RECEIPT makes each change report its own error and keeps events out of
 * that answer. All changes of one `set` are one call. Changes may come while
 * another thread waits; the arrays by fd are not for the waiting one. A forked
 * child has no queue: its number may be another file's there.
 */
#include "loop/kqueue.h"

#ifdef PE_HAVE_KQUEUE

#include "loop/backend.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/sock.h"
#include "event2/event.h"

#define KQUEUE_FIRST_BATCH 64
#define KQUEUE_MAX_BATCH 4096
#define KQUEUE_FIRST_FDS 256
#define KQUEUE_MAX_WAIT_SEC (24 * 60 * 60) /* what every kernel takes */

/* The knotes of an fd, a bit each; those with EV_CLEAR once more, shifted. */
#define HAS_READ 0x01u
#define HAS_WRITE 0x02u
#define HAS_ALWAYS 0x04u
#define KINDS 3
#define CLEARED(knotes) ((knotes) << KINDS)
#define UNTIL_END 0x40u /* EV_CLEAR on reading is for EV_CLOSED alone */
#define IS_BROKEN 0x80u /* always ready with an error */

#define MAX_CHANGES (2 * KINDS)

static const short filters[KINDS] = {EVFILT_READ, EVFILT_WRITE, EVFILT_USER};

struct kqueue_state {
    int kq;
    pid_t owner; /* not its child */
    uint8_t *knotes; /* by fd: what the kernel was given */
    int notes_cap;
    int got;  /* results of the last wait ... */
    int next; /* ... of which these were handed out */
    int cap;
    struct kevent *events;
};

static int kqueue_open(struct pe_backend *b) {
    struct kqueue_state *st = pe_calloc(PE_MEM_BACKEND, 1, sizeof(*st));
    int err;

    if (st == NULL)
        return -ENOMEM;
    st->cap = KQUEUE_FIRST_BATCH;
    st->events = pe_calloc(PE_MEM_BACKEND, (size_t)st->cap, sizeof(*st->events));
    if (st->events == NULL) {
        err = -ENOMEM;
        goto free_state;
    }
    st->kq = kqueue();
    if (st->kq < 0) {
        err = -errno;
        goto free_events;
    }
    (void)pe_sock_cloexec(st->kq); /* it could only be a descriptor too many */
    st->owner = getpid();
    b->state = st;
    return 0;
free_events:
    pe_free(PE_MEM_BACKEND, st->events);
free_state:
    pe_free(PE_MEM_BACKEND, st);
    return err;
}

static void kqueue_close(struct pe_backend *b) {
    struct kqueue_state *st = b->state;

    if (st->owner == getpid())
        (void)close(st->kq);
    pe_free(PE_MEM_BACKEND, st->knotes);
    pe_free(PE_MEM_BACKEND, st->events);
    pe_free(PE_MEM_BACKEND, st);
    b->state = NULL;
}

/* --- registering ----------------------------------------------------------------- */

static int reserve(struct kqueue_state *st, int fd) {
    int cap = st->notes_cap ? st->notes_cap : KQUEUE_FIRST_FDS;
    uint8_t *more;

    if (fd < st->notes_cap)
        return 0;
    while (cap <= fd)
        cap *= 2;
    more = pe_realloc(PE_MEM_BACKEND, st->knotes, (size_t)cap);
    if (more == NULL)
        return -ENOMEM;
    memset(more + st->notes_cap, 0, (size_t)(cap - st->notes_cap));
    st->knotes = more;
    st->notes_cap = cap;
    return 0;
}

/* Which knotes that interest is. */
static unsigned notes_for(unsigned want) {
    unsigned notes = 0;

    if (want & (EV_READ | EV_CLOSED))
        notes |= HAS_READ;
    if (want & EV_WRITE)
        notes |= HAS_WRITE;
    if (want & EV_ET)
        notes |= CLEARED(notes);
    else if (notes & HAS_READ && !(want & EV_READ))
        notes |= CLEARED(HAS_READ) | UNTIL_END;
    return notes;
}

static unsigned always_ready(unsigned want) {
    return HAS_ALWAYS | (want & EV_ET ? CLEARED(HAS_ALWAYS) : 0);
}

/* Give the kernel the knotes `want` of `fd`, where it has `have`; `anew`: none of
 * them is taken for what is wanted. 0 or the first error of what was to be added. */
static int change(struct kqueue_state *st, int fd, uint32_t gen, unsigned have, unsigned want,
                  bool anew) {
    struct kevent changes[MAX_CHANGES], receipts[MAX_CHANGES];
    struct timespec now = {0, 0};
    int n = 0, got, err = 0;

    for (int i = 0; i < KINDS; i++) {
        unsigned kind = 1u << i, both = kind | CLEARED(kind);

        if ((have & kind) && (anew || (have & both) != (want & both))) {
            EV_SET(&changes[n], (unsigned)fd, filters[i], EV_DELETE | EV_RECEIPT, 0, 0, NULL);
            n++;
        }
        if (want & kind) {
            unsigned short clear = want & CLEARED(kind) ? EV_CLEAR : 0;

            EV_SET(&changes[n], (unsigned)fd, filters[i],
                   (unsigned short)(EV_ADD | EV_RECEIPT | clear),
                   kind == HAS_ALWAYS ? NOTE_TRIGGER : 0, 0, (void *)(uintptr_t)gen);
            n++;
        }
    }
    if (n == 0)
        return 0;
    got = kevent(st->kq, changes, n, receipts, n, &now);
    if (got < 0)
        return -errno;
    for (int i = 0; i < got && err == 0; i++) {
        /* Receipts come in the order of the changes. What is to be deleted may
         * be gone already: that was the purpose. */
        if ((receipts[i].flags & EV_ERROR) && (changes[i].flags & EV_ADD))
            err = -(int)receipts[i].data;
    }
    return err;
}

static bool is_file(const struct stat *st) {
    return S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);
}

static int kqueue_set(struct pe_backend *b, int fd, uint32_t gen, unsigned old, unsigned want,
                      void *slot) {
    struct kqueue_state *st = b->state;
    bool anew = (old & PE_BACKEND_MAYBE) != 0;
    unsigned have, notes = notes_for(want);
    struct stat file;
    int err;

    (void)slot;
    if (want == 0 && fd >= st->notes_cap)
        return 0;
    err = reserve(st, fd);
    if (err < 0)
        return err;
    have = st->knotes[fd];
    if (want != 0 && (old == 0 || anew || (have & HAS_ALWAYS))) {
        if (fstat(fd, &file) < 0)
            return -errno;
        if (is_file(&file))
            notes = always_ready(want);
    }
    err = change(st, fd, gen, have, notes, anew);
    if (err == -EPIPE) {
        have |= notes;
        notes = always_ready(want) | IS_BROKEN;
        err = change(st, fd, gen, have, notes, false);
    }
    if (err < 0) {
        (void)change(st, fd, gen, have | notes, 0, false); /* all or nothing */
        notes = 0;
    }
    st->knotes[fd] = (uint8_t)notes;
    return err;
}

static int kqueue_purge(struct pe_backend *b, int fd) {
    struct kqueue_state *st = b->state;
    struct kevent changes[KINDS], receipts[KINDS];
    struct timespec now = {0, 0};
    int got, removed = 0;

    for (int i = 0; i < KINDS; i++)
        EV_SET(&changes[i], (unsigned)fd, filters[i], EV_DELETE | EV_RECEIPT, 0, 0, NULL);
    got = kevent(st->kq, changes, KINDS, receipts, KINDS, &now);
    if (got < 0)
        return -errno;
    for (int i = 0; i < got; i++)
        removed += receipts[i].data == 0;
    if (fd < st->notes_cap)
        st->knotes[fd] = 0;
    return removed != 0 ? 0 : -ENOENT;
}

/* --- waiting --------------------------------------------------------------------- */

static int kqueue_wait(struct pe_backend *b, int64_t timeout_ns) {
    struct kqueue_state *st = b->state;
    struct timespec ts = {0, 0};
    int n;

    st->next = 0;
    st->got = 0;
    if (timeout_ns > KQUEUE_MAX_WAIT_SEC * PE_NS_PER_SEC)
        timeout_ns = KQUEUE_MAX_WAIT_SEC * PE_NS_PER_SEC;
    if (timeout_ns > 0) {
        ts.tv_sec = (time_t)(timeout_ns / PE_NS_PER_SEC);
        ts.tv_nsec = (long)(timeout_ns % PE_NS_PER_SEC);
    }
    n = kevent(st->kq, NULL, 0, st->events, st->cap, timeout_ns < 0 ? NULL : &ts);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    st->got = n;
    return n;
}

static void grow(struct kqueue_state *st) {
    struct kevent *more;

    if (st->got < st->cap || st->cap >= KQUEUE_MAX_BATCH)
        return;
    more = pe_realloc(PE_MEM_BACKEND, st->events, (size_t)st->cap * 2 * sizeof(*more));
    if (more == NULL)
        return; /* as many as now, then */
    st->events = more;
    st->cap *= 2;
}

static unsigned from_kevent(const struct kevent *kev, unsigned notes) {
    unsigned got;

    if (kev->filter == EVFILT_USER)
        return EV_READ | EV_WRITE | (notes & IS_BROKEN ? PE_READY_ERROR : 0);
    got = kev->filter == EVFILT_READ ? EV_READ : EV_WRITE;
    if (!(kev->flags & EV_EOF))
        return got;
    if (kev->filter == EVFILT_READ)
        got |= EV_CLOSED;
    if (kev->fflags != 0) /* the socket's error */
        got |= EV_READ | EV_WRITE | PE_READY_ERROR;
    return got;
}

/* Only the end of the stream is waited for, and here it is: from now on it is
 * told each time, until the loop wants no more of it. */
static void note_end(struct kqueue_state *st, int fd, uint32_t gen) {
    unsigned have = st->knotes[fd];
    unsigned want = have & ~(CLEARED(HAS_READ) | UNTIL_END);

    if (change(st, fd, gen, have, want, false) == 0) /* else the fd was closed */
        st->knotes[fd] = (uint8_t)want;
}

static int kqueue_harvest(struct pe_backend *b, struct pe_ready *out, int cap) {
    struct kqueue_state *st = b->state;
    int n = 0;

    while (n < cap && st->next < st->got) {
        const struct kevent *kev = &st->events[st->next++];
        int fd = (int)kev->ident; /* it was given to `set`: knotes[fd] is there */

        out[n].fd = fd;
        out[n].gen = (uint32_t)(uintptr_t)kev->udata;
        out[n].events = from_kevent(kev, st->knotes[fd]);
        if ((out[n].events & EV_CLOSED) && (st->knotes[fd] & UNTIL_END))
            note_end(st, fd, out[n].gen);
        n++;
    }
    if (n == 0)
        grow(st);
    return n;
}

const struct pe_backend_ops pe_backend_kqueue = {
    .name = "kqueue",
    .env_off = "EVENT_NOKQUEUE",
    .features = EV_FEATURE_ET | EV_FEATURE_O1 | EV_FEATURE_FDS | EV_FEATURE_EARLY_CLOSE |
                PE_BACKEND_SET_ANYTIME,
    .slot_size = 0,
    .open = kqueue_open,
    .close = kqueue_close,
    .set = kqueue_set,
    .wait = kqueue_wait,
    .harvest = kqueue_harvest,
    .purge = kqueue_purge,
};

#endif
