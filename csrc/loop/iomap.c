/* iomap.c - the fd map: who watches which descriptor, and what the kernel knows.
 *
 * One slot per fd, with the watchers in a chain (newest first), how many want
 * each kind, and the mask that the backend has (`known`):
 *
 *     slot[fd]: chain -> io -> io     counts -> union     known     gen
 *
 * The first watcher of an fd goes to the kernel at once, so that EBADF or EPERM
 * is the error of the call that brought it. Every later change only puts the
 * fd on the list of changes, which is applied before the next wait: what is
 * taken away before then costs no system call.
 *
 * `gen` counts the registrations of the fd number. A watcher remembers the
 * one it was part of. One that was not part of the present one may belong to a
 * new file of the same number, so it makes a registration of its own. So may
 * one that comes back after interest was taken away: meanwhile the number may
 * have been closed and given to another file. The kernel is told again then, at
 * once, and the fd's next edge counts from there. It hands the generation back with
 * each result, and one of an older registration is told by it.
 */
#include "loop/internal.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/sock.h"

#define IOMAP_FIRST_CHANGES 32
#define IOMAP_MAX_WATCHERS UINT16_MAX /* of one kind on one fd */

enum { WANTS_READ, WANTS_WRITE, WANTS_CLOSED, WANTS_ET, WANTS_KINDS };

static const short kind_bits[WANTS_KINDS] = {EV_READ, EV_WRITE, EV_CLOSED, EV_ET};

#define WORTH_FETCHING 4 /* results */

#define SLOT_QUEUED 0x01 /* in the list of changes */
#define SLOT_VERIFY 0x02 /* tell the kernel even if the mask is the same */
#define SLOT_NARROWED 0x04 /* interest that the kernel has was taken away since it was told */

struct pe_fdslot {
    struct pe_link chain; /* of pe_io.chain; zeroed until first used */
    uint16_t counts[WANTS_KINDS];
    uint32_t gen;
    uint8_t known; /* what the backend has; 0: it does not know the fd */
    uint8_t flags;
    /* The backend's slot_size bytes follow, aligned. */
};

static void *backend_slot(struct pe_fdslot *slot) {
    return slot + 1;
}

int pe_iomap_open(struct event_base *base) {
    size_t size = sizeof(struct pe_fdslot) + base->backend.ops->slot_size;

    size = (size + sizeof(void *) - 1) & ~(sizeof(void *) - 1);
    pe_intmap_init(&base->fds, PE_MEM_FDMAP, size);
    return 0;
}

static struct pe_io *first_of(struct pe_fdslot *slot) {
    if (slot->chain.next == NULL || pe_list_empty(&slot->chain))
        return NULL;
    return pe_container(slot->chain.next, struct pe_io, chain);
}

void pe_iomap_close(struct event_base *base) {
    for (int fd = 0; fd < pe_intmap_limit(&base->fds); fd++) {
        struct pe_fdslot *slot = pe_intmap_get(&base->fds, fd);
        struct pe_io *io;

        if (slot == NULL)
            fd |= PE_INTMAP_PAGE - 1; /* on to the next page */
        while (slot != NULL && (io = first_of(slot)) != NULL) {
            struct event *ev = pe_event_of_io(io);

            if (ev != NULL)
                pe_event_forget(ev);
            else
                (void)pe_io_set(base, io, 0); /* taking away never fails */
        }
    }
    pe_intmap_clear(&base->fds);
    pe_free(PE_MEM_FDMAP, base->changes);
    base->changes = NULL;
}

static unsigned mask_of(const struct pe_fdslot *slot) {
    unsigned mask = 0;

    for (int k = 0; k < WANTS_KINDS; k++) {
        if (slot->counts[k] != 0)
            mask |= (unsigned)kind_bits[k];
    }
    return mask == EV_ET ? 0 : mask;
}

static bool has_room(const struct pe_fdslot *slot, short added) {
    for (int k = 0; k < WANTS_KINDS; k++) {
        if ((added & kind_bits[k]) && slot->counts[k] == IOMAP_MAX_WATCHERS)
            return false;
    }
    return true;
}

static void recount(struct pe_fdslot *slot, short old, short want) {
    for (int k = 0; k < WANTS_KINDS; k++)
        slot->counts[k] = (uint16_t)(slot->counts[k] + !!(want & kind_bits[k]) -
                                     !!(old & kind_bits[k]));
}

/* Room in the list of changes for one more fd. */
static int reserve_change(struct event_base *base) {
    int cap = base->change_cap ? base->change_cap * 2 : IOMAP_FIRST_CHANGES;
    int *more;

    if (base->fds_in_use < base->change_cap)
        return 0;
    more = pe_realloc(PE_MEM_FDMAP, base->changes, (size_t)cap * sizeof(*more));
    if (more == NULL)
        return -ENOMEM;
    base->changes = more;
    base->change_cap = cap;
    return 0;
}

static void queue_change(struct event_base *base, int fd, struct pe_fdslot *slot) {
    if (!(slot->flags & SLOT_QUEUED) &&
        ((slot->flags & SLOT_VERIFY) || mask_of(slot) != slot->known)) {
        slot->flags |= SLOT_QUEUED;
        base->changes[base->change_count++] = fd;
    }
    if ((slot->flags & SLOT_QUEUED) && base->is_waiting)
        pe_base_wake(base);
}

static bool is_frozen(const struct event_base *base) {
    return base->is_waiting && !(base->backend.ops->features & PE_BACKEND_SET_ANYTIME);
}

/* The kernel would not take a change: whoever watches the fd finds out why
 * from its next read or write. What fails for want of memory or of room is
 * tried again before the next wait, so that no watcher stays deaf. */
static void report_failure(struct event_base *base, int fd, struct pe_fdslot *slot, int err) {
    struct pe_link *at;

    slot->known = 0;
    pe_log_debug("%s: fd %d cannot be watched: %s", base->backend.ops->name, fd, strerror(-err));
    if (first_of(slot) == NULL)
        return;
    for (at = slot->chain.next; at != &slot->chain; at = at->next) {
        struct pe_io *io = pe_container(at, struct pe_io, chain);

        pe_task_activate(base, &io->task, io->want & (EV_READ | EV_WRITE | EV_CLOSED));
    }
    if (err == -ENOMEM || err == -ENOSPC)
        queue_change(base, fd, slot);
}

/* A registration for the first watcher of an fd, `mask`. */
static int register_fd(struct event_base *base, int fd, struct pe_fdslot *slot, unsigned mask) {
    int err;

    if (is_frozen(base)) {
        err = pe_fd_check(fd);
        if (err == 0)
            slot->flags |= SLOT_VERIFY;
    } else {
        err = base->backend.ops->set(&base->backend, fd, slot->gen + 1, 0, mask,
                                     backend_slot(slot));
        if (err == 0) {
            slot->known = (uint8_t)mask;
            slot->flags &= (uint8_t)~SLOT_NARROWED;
        }
    }
    if (err == 0)
        slot->gen++;
    return err;
}

/* The kernel has a registration of the fd, but the file may be another by now, or
 * what it has told of must be told again: `mask` anew. Nothing changes on failure;
 * an interest that was taken away is still queued then. */
static int register_again(struct event_base *base, int fd, struct pe_fdslot *slot,
                          unsigned mask) {
    int err;

    if (is_frozen(base)) {
        err = pe_fd_check(fd);
        if (err == 0)
            slot->flags |= SLOT_VERIFY;
    } else {
        err = base->backend.ops->set(&base->backend, fd, slot->gen + 1,
                                     slot->known | PE_BACKEND_MAYBE, mask, backend_slot(slot));
        if (err == 0) {
            slot->known = (uint8_t)mask;
            slot->flags &= (uint8_t)~SLOT_NARROWED;
        }
    }
    if (err == 0)
        slot->gen++;
    return err;
}

static int join(struct event_base *base, struct pe_fdslot *slot, struct pe_io *io, short want) {
    bool is_first = first_of(slot) == NULL;
    bool was_in_use = slot->known != 0 || !is_first || (slot->flags & SLOT_QUEUED);
    int fd = io->task.fd;
    int err;

    if (!was_in_use) {
        err = reserve_change(base);
        if (err < 0)
            return err;
    }
    if (slot->known == 0 || io->gen != slot->gen) {
        if (is_first) {
            err = register_fd(base, fd, slot, (unsigned)want);
            if (err < 0)
                return err;
        } else {
            slot->flags |= SLOT_VERIFY;
        }
    } else if ((slot->flags & SLOT_NARROWED) || (want & EV_ET)) {
        err = register_again(base, fd, slot, mask_of(slot) | (unsigned)want);
        if (err < 0)
            return err;
    }
    if (!was_in_use)
        base->fds_in_use++;
    if (slot->chain.next == NULL)
        pe_list_init(&slot->chain);
    pe_list_push_front(&slot->chain, &io->chain);
    io->gen = slot->gen;
    if (!(io->task.state & EVLIST_INTERNAL)) {
        base->io_count++;
        pe_base_note_added(base);
    }
    return 0;
}

static void leave(struct event_base *base, struct pe_io *io) {
    pe_list_remove(&io->chain);
    if (!(io->task.state & EVLIST_INTERNAL)) {
        base->io_count--;
        pe_base_note_removed(base);
    }
}

void pe_io_init(struct pe_io *io, int fd, void (*run)(struct event_base *, struct pe_task *),
                int pri) {
    pe_task_init(&io->task, run, pri);
    io->task.fd = fd;
    pe_list_init(&io->chain);
    io->gen = 0;
    io->want = 0;
}

/* The slot is done with its place among the fds in use, if nothing is left. */
static void settle(struct event_base *base, struct pe_fdslot *slot) {
    if (slot->known == 0 && first_of(slot) == NULL)
        base->fds_in_use--;
}

int pe_io_set(struct event_base *base, struct pe_io *io, short want) {
    short old = io->want;
    struct pe_fdslot *slot;
    int err;

    if (want == old)
        return 0;
    if (base->was_forked && want != 0) {
        err = pe_base_revive(base);
        if (err < 0)
            return err;
    }
    if (io->task.fd < 0 || io->task.fd >= PE_INTMAP_MAX_KEYS)
        return -EBADF;
    slot = pe_intmap_make(&base->fds, io->task.fd);
    if (slot == NULL)
        return -ENOMEM;
    if (!has_room(slot, (short)(want & ~old)))
        return -EMFILE;
    if (old == 0) {
        err = join(base, slot, io, want);
        if (err < 0)
            return err;
    } else if (want == 0) {
        leave(base, io);
    }
    recount(slot, old, want);
    io->want = want;
    if (slot->known & ~mask_of(slot))
        slot->flags |= SLOT_NARROWED;
    queue_change(base, io->task.fd, slot);
    if (!(slot->flags & SLOT_QUEUED))
        settle(base, slot); /* the kernel had refused it: nothing to take back */
    return 0;
}

void pe_io_forget(struct event_base *base, int fd) {
    struct pe_fdslot *slot = pe_intmap_get(&base->fds, fd);

    if (slot == NULL || slot->known == 0 || first_of(slot) != NULL || is_frozen(base) ||
        base->was_forked)
        return;
    (void)base->backend.ops->set(&base->backend, fd, slot->gen, slot->known, 0,
                                 backend_slot(slot)); /* lost already: as good */
    slot->known = 0;
}

void pe_iomap_apply(struct event_base *base) {
    int n = base->change_count;

    base->change_count = 0; /* what fails goes to the front again, behind i */
    for (int i = 0; i < n; i++) {
        int fd = base->changes[i];
        struct pe_fdslot *slot = pe_intmap_get(&base->fds, fd);
        unsigned want = mask_of(slot);
        bool must_tell = want != slot->known || (slot->flags & SLOT_VERIFY);

        slot->flags &= (uint8_t)~(SLOT_QUEUED | SLOT_VERIFY | SLOT_NARROWED);
        if (must_tell && (want | slot->known) != 0) {
            int err = base->backend.ops->set(&base->backend, fd, slot->gen, slot->known, want,
                                             backend_slot(slot));

            if (err < 0)
                report_failure(base, fd, slot, err);
            else
                slot->known = (uint8_t)want;
        }
        settle(base, slot);
    }
}

/* A result that nobody can have asked for: out with it, or it comes for ever. Where
 * the kernel cannot be told to drop it, a new set is made when it comes a second
 * time: the first may only be left over from before a change that another thread
 * made during the wait. */
static void drop_stale(struct event_base *base, const struct pe_ready *ready,
                       bool number_is_reused) {
    const struct pe_backend_ops *ops = base->backend.ops;
    uint64_t which = ((uint64_t)ready->gen << 32) | (uint32_t)ready->fd;

    if (ops->purge == NULL)
        return;
    if (!number_is_reused && ops->purge(&base->backend, ready->fd) == 0)
        return;
    if (which == base->stale_before)
        base->needs_rebuild = true;
    if (base->stale == 0)
        base->stale = which;
}

/* Among thousands of descriptors neither the slot nor the watcher of one that is ready
 * is likely to be in the cache: all are on their way before the first is needed. */
static void fetch_ahead(const struct event_base *base, const struct pe_ready *ready, int n) {
    for (int i = 0; i < n; i++)
        __builtin_prefetch(pe_intmap_get(&base->fds, ready[i].fd));
    for (int i = 0; i < n; i++) {
        const struct pe_fdslot *slot = pe_intmap_get(&base->fds, ready[i].fd);

        if (slot != NULL && slot->chain.next != NULL)
            pe_fetch_around(slot->chain.next);
    }
}

static void deliver(struct event_base *base, const struct pe_ready *ready) {
    struct pe_fdslot *slot = pe_intmap_get(&base->fds, ready->fd);
    struct pe_link *at;

    if (slot == NULL || slot->known == 0 || slot->gen != ready->gen) {
        drop_stale(base, ready, slot != NULL && slot->known != 0);
        return;
    }
    if (first_of(slot) == NULL)
        return; /* its removal is queued */
    for (at = slot->chain.next; at != &slot->chain; at = at->next) {
        struct pe_io *io = pe_container(at, struct pe_io, chain);
        unsigned got = (unsigned)io->want & ready->events & (EV_READ | EV_WRITE | EV_CLOSED);

        if (got == 0 && (ready->events & PE_READY_ERROR))
            got = (unsigned)io->want & (EV_READ | EV_WRITE | EV_CLOSED);
        if (got == 0)
            continue;
        if (base->backend.ops->features & EV_FEATURE_ET)
            got |= (unsigned)io->want & EV_ET; /* elsewhere it was no edge */
        if (io->task.state & EVLIST_INTERNAL) {
            io->task.res = (short)got; /* ours: runs at once, changes no watcher */
            io->task.run(base, &io->task);
        } else {
            pe_task_activate(base, &io->task, (short)got);
        }
    }
}

void pe_iomap_deliver(struct event_base *base, const struct pe_ready *ready, int n) {
    if (n >= WORTH_FETCHING)
        fetch_ahead(base, ready, n);
    for (int i = 0; i < n; i++)
        deliver(base, &ready[i]);
}

void pe_iomap_register_all(struct event_base *base) {
    base->change_count = 0; /* what was queued is part of the masks told now */
    base->fds_in_use = 0;
    for (int fd = 0; fd < pe_intmap_limit(&base->fds); fd++) {
        struct pe_fdslot *slot = pe_intmap_get(&base->fds, fd);
        unsigned mask;
        int err;

        if (slot == NULL) {
            fd |= PE_INTMAP_PAGE - 1; /* on to the next page */
            continue;
        }
        memset(backend_slot(slot), 0, base->backend.ops->slot_size);
        slot->flags &= (uint8_t)~(SLOT_QUEUED | SLOT_VERIFY | SLOT_NARROWED);
        slot->known = 0;
        mask = mask_of(slot);
        if (first_of(slot) == NULL)
            continue;
        base->fds_in_use++;
        err = base->backend.ops->set(&base->backend, fd, slot->gen, 0, mask, backend_slot(slot));
        if (err < 0)
            report_failure(base, fd, slot, err);
        else
            slot->known = (uint8_t)mask;
    }
}

void pe_iomap_rebuild(struct event_base *base) {
    struct pe_backend old = base->backend;
    struct pe_backend fresh = {.ops = old.ops, .state = NULL};
    int err = old.ops->open(&fresh);

    if (err < 0) {
        pe_log_warn("%s: no new set (%s); tried again after the next wait", old.ops->name,
                    strerror(-err));
        return;
    }
    base->needs_rebuild = false;
    base->backend = fresh;
    old.ops->close(&old);
    pe_iomap_register_all(base);
}

static int foreach_in(struct pe_fdslot *slot, int (*fn)(struct pe_io *io, void *arg), void *arg) {
    struct pe_link *at;
    int result = 0;

    if (slot == NULL || first_of(slot) == NULL)
        return 0;
    for (at = slot->chain.next; result == 0 && at != &slot->chain; at = at->next)
        result = fn(pe_container(at, struct pe_io, chain), arg);
    return result;
}

int pe_iomap_foreach_of(struct event_base *base, int fd, int (*fn)(struct pe_io *io, void *arg),
                        void *arg) {
    return foreach_in(pe_intmap_get(&base->fds, fd), fn, arg);
}

int pe_iomap_foreach(struct event_base *base, int (*fn)(struct pe_io *io, void *arg), void *arg) {
    int result = 0;

    for (int fd = 0; result == 0 && fd < pe_intmap_limit(&base->fds); fd++)
        result = pe_iomap_foreach_of(base, fd, fn, arg);
    return result;
}
