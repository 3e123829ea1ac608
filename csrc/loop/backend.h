/* backend.h - one kernel polling interface, as the loop sees it.
 *
 * A backend is a file with one const table. It never calls up: `wait` blocks,
 * `harvest` hands out what came, the loop dispatches. So one can be tested
 * with a socketpair and no loop at all. What can fail returns 0 or a count,
 * else a negative errno.
 *
 * The loop promises: `set` for one fd carries the mask that it last gave as
 * `old`; nothing but PE_BACKEND_SET_ANYTIME backends' `set` is called while
 * `wait` runs; the slot of an fd starts zeroed and stays where it is.
 */
#ifndef PE_LOOP_BACKEND_H
#define PE_LOOP_BACKEND_H

#include <stddef.h>
#include <stdint.h>

/* Beside the EV_FEATURE_* bits in pe_backend_ops.features: `set` may be called
 * from another thread while this one is in `wait`. */
#define PE_BACKEND_SET_ANYTIME 0x100u

/* Beside EV_READ ... in pe_ready.events: an error or hang-up, which the owner
 * of the fd is to hear of whatever it waits for. */
#define PE_READY_ERROR 0x100u

/* Beside the mask in `old` of pe_backend_ops.set: the kernel may have lost the fd,
 * which may be another file's by now. */
#define PE_BACKEND_MAYBE 0x100u

/* One result: the fd, the generation given with `set`, and what came. */
struct pe_ready {
    int fd;
    uint32_t gen;
    unsigned events;
};

struct pe_backend {
    const struct pe_backend_ops *ops;
    void *state;
};

struct pe_backend_ops {
    const char *name;     /* "epoll": what EventBase(backend=...) takes */
    const char *env_off;  /* "EVENT_NOEPOLL": set in the environment, not used */
    unsigned features;    /* EV_FEATURE_* | PE_BACKEND_SET_ANYTIME */
    size_t slot_size;     /* bytes of per-fd state that the fd map keeps for us */

    /* Sets b->state; -ENOSYS, -EPERM, -EMFILE ... let the loop try another. */
    int (*open)(struct pe_backend *b);
    void (*close)(struct pe_backend *b);

    /* Interest in `fd` goes from `old` to `want` (EV_READ | EV_WRITE |
     * EV_CLOSED | EV_ET). From 0: the kernel takes it now or says why not,
     * and a registration that it has of an earlier file is replaced. Both
     * non-zero: if the kernel has lost the fd, it is added again. To 0: what
     * the kernel has lost is no error. With PE_BACKEND_MAYBE in `old`: as from 0,
     * errors too, but expect it to be there; a readiness that was told of is an
     * edge once more. */
    int (*set)(struct pe_backend *b, int fd, uint32_t gen, unsigned old, unsigned want, void *slot);

    /* Wait at most `timeout_ns` (-1: no limit; it may be cut). Other threads
     * run meanwhile, so touch only `b` and the kernel. A signal is 0 events,
     * not an error. Returns how many results there are. */
    int (*wait)(struct pe_backend *b, int64_t timeout_ns);

    /* Move up to `cap` results of the last wait into `out`: how many. */
    int (*harvest)(struct pe_backend *b, struct pe_ready *out, int cap);

    /* A result came for an fd that we have no interest in: take it out of the
     * kernel's set. A negative errno says that it cannot be; the loop then
     * opens a new set. NULL where this cannot happen. */
    int (*purge)(struct pe_backend *b, int fd);
};

/* All that were compiled in, best first, ended by NULL. */
extern const struct pe_backend_ops *const pe_backends[];

extern const struct pe_backend_ops pe_backend_kqueue;
extern const struct pe_backend_ops pe_backend_epoll;
extern const struct pe_backend_ops pe_backend_poll;
extern const struct pe_backend_ops pe_backend_select;

#endif
