/* linger.c - the end of a connection: half-close, and closing without loss.
 *
 *     shutdown_write: [output] --written--> FIN
 *     close_after_flush: the same, then the peer's bytes are dropped until its FIN
 *
 * FIN goes out at the end of the turn in which the output became empty: the flush
 * list asks for it (stream/bufferevent.h, design note 2), so a write callback may run
 * before, and reading goes on meanwhile.
 *
 * Closing borrows the bufferevent's callbacks: a struct pe_linger is their argument.
 * It ends in one of four ways:
 *
 *     the peer has ended too, after FIN         )
 *     the connection broke, or nothing moves    )  leave(): it is freed
 *     bufferevent_free came first                  the linger state goes with it
 *     bufferevent_setcb: somebody wants it back    the linger state alone goes
 *
 * Input is read and dropped from the start, not only after FIN: a peer that writes
 * before it reads would otherwise wait for us as we do for it.
 *
 * What lies above a filter has no FIN of its own: it tells the filter that nothing
 * follows, and passes the wish on to what lies beneath.
 */
#include <errno.h>

#include "base/clock.h"
#include "base/errors.h"
#include "base/list.h"
#include "base/mem.h"
#include "event2/buffer.h"
#include "stream/bufferevent.h"

#define LIMIT_DEFAULT_NS (60 * PE_NS_PER_SEC)

struct pe_linger {
    struct bufferevent *bev;
    struct pe_timer limit;
    struct pe_task leave;
    int64_t limit_ns;
    size_t left; /* of the output, when the limit was looked at last */
    void (*done)(struct bufferevent *bev, void *arg);
    void *arg;
};

/* --- half-close ------------------------------------------------------------- */

int bufferevent_shutdown_write(struct bufferevent *bev) {
    if (bev->is_detached || bev->base == NULL)
        return pe_fail(-EINVAL);
    if (bev->is_finishing || bev->is_finished)
        return 0;
    bev->is_finishing = true;
    (void)evbuffer_freeze(&bev->output, 0); /* sets a bit: cannot fail */
    if (pe_bev_can_finish(bev))
        pe_flush_add(bev->base, &bev->flush);
    return 0;
}

static void leave(struct pe_linger *f);

void pe_bev_finish(struct bufferevent *bev) {
    union pe_bev_arg arg = {.fd = -1};
    struct bufferevent *under;
    int err;

    bev->is_finishing = false;
    bev->is_finished = true;
    if (bev->is_leaving && bev->is_at_end && !bev->ops->is_instant) {
        leave(bev->arg); /* closing a descriptor says it too */
        return;
    }
    /* If it cannot be said the connection is broken, as reading will tell; or it is
     * a pipe, of which closing is all there is to say. */
    err = bev->ops->ctl(bev, PE_BEV_SHUT_WRITE, &arg);
    if (err == -ENOSYS) {
        (void)bev->ops->flush(bev, EV_WRITE, BEV_FINISHED);
        under = bev->is_detached ? NULL : bufferevent_get_underlying(bev);
        if (under != NULL && !bev->is_leaving)
            (void)bufferevent_shutdown_write(under);
    } else if (err < 0) {
        bev->is_broken = true;
    }
    if (bev->is_leaving && (err < 0 || bev->is_at_end))
        leave(bev->arg);
}

/* --- closing ------------------------------------------------------------------ */

void pe_bev_stay(struct bufferevent *bev) {
    struct pe_linger *f = bev->arg;

    if (!bev->is_leaving)
        return;
    bev->is_leaving = false;
    bev->readcb = bev->writecb = NULL;
    bev->eventcb = NULL;
    bev->arg = NULL;
    if (bev->base != NULL) {
        pe_timer_cancel(bev->base, &f->limit);
        pe_task_cancel(bev->base, &f->leave);
    } else {
        pe_list_remove(&f->leave.link); /* the base is about to go */
    }
    pe_free(PE_MEM_STREAM, f);
    if (bev->is_finished)
        return;
    bev->is_finishing = false;
    (void)evbuffer_unfreeze(&bev->output, 0);
}

/* All is said that can be. */
static void leave(struct pe_linger *f) {
    struct bufferevent *bev = f->bev;
    void (*done)(struct bufferevent *, void *) = f->done;
    void *arg = f->arg;

    pe_bev_hold(bev);
    pe_bev_stay(bev);
    if (done != NULL)
        done(bev, arg);
    else
        bufferevent_free(bev);
    pe_bev_drop(bev);
}

static void run_leave(struct event_base *base, struct pe_task *task) {
    (void)base;
    leave(pe_container(task, struct pe_linger, leave));
}

static void end_limit(struct event_base *base, struct pe_timer *timer) {
    struct pe_linger *f = pe_container(timer, struct pe_linger, limit);
    size_t left = pe_evbuffer_len(&f->bev->output);

    /* A slow peer that takes something is served to the end. */
    if (left < f->left && pe_timer_set(base, timer, pe_clock_now() + f->limit_ns) == 0)
        f->left = left;
    else
        pe_task_activate(base, &f->leave, EV_TIMEOUT);
}

static void drop_input(struct bufferevent *bev, void *arg) {
    (void)arg;
    (void)evbuffer_drain(&bev->input, pe_evbuffer_len(&bev->input)); /* of our own, unfrozen */
}

/* Whether `f` is what the bufferevent ends with: a callback may have freed it or taken it back. */
static bool is_current(const struct bufferevent *bev, const struct pe_linger *f) {
    return bev->is_leaving && bev->arg == f && bev->base != NULL;
}

static void happened(struct bufferevent *bev, short what, void *arg) {
    struct pe_linger *f = arg;

    if (what & BEV_EVENT_CONNECTED)
        return;
    if (!(what & (BEV_EVENT_EOF | BEV_EVENT_READING))) {
        leave(f);
        return;
    }
    /* A direction that fails to read may still write: what fails there will say so. */
    bev->is_at_end = true;
    if (bev->is_finished)
        leave(f);
}

/* A linger state whose time limit runs; NULL when memory is out. */
static struct pe_linger *new_linger(struct bufferevent *bev, int64_t limit_ns) {
    struct pe_linger *f = pe_calloc(PE_MEM_STREAM, 1, sizeof(*f));

    if (f == NULL)
        return NULL;
    f->bev = bev;
    f->limit_ns = limit_ns;
    f->left = pe_evbuffer_len(&bev->output);
    pe_timer_init(&f->limit, end_limit);
    pe_task_init(&f->leave, run_leave, bev->task.pri);
    if (pe_timer_set(bev->base, &f->limit, pe_clock_now() + limit_ns) == 0)
        return f;
    pe_free(PE_MEM_STREAM, f);
    return NULL;
}

/* Whether nothing is left to be said or heard. */
static bool is_all_said(const struct bufferevent *bev) {
    if (bev->is_connecting)
        return pe_evbuffer_len(&bev->output) == 0; /* nothing to say, and nobody to say it to */
    return bev->is_finished && (bev->is_at_end || bev->is_broken || bev->ops->is_instant);
}

/* Say the rest, and listen for the end. The caller holds the bufferevent: draining the input
 * and enabling a pair run the callbacks of buffers, in which lingering may end. */
static void begin(struct bufferevent *bev, struct pe_linger *f) {
    int err;

    bev->has_output_high = false;
    (void)bufferevent_set_timeouts(bev, NULL, NULL); /* takes away, which cannot fail */
    (void)pe_bev_set_limits(bev, 0, 0, 0);           /* as this */
    if (!is_current(bev, f))
        return;
    bufferevent_setwatermark(bev, EV_READ | EV_WRITE, 0, 0);
    if (!is_current(bev, f))
        return;
    drop_input(bev, NULL);
    if (!is_current(bev, f))
        return;
    (void)bufferevent_shutdown_write(bev);
    err = bufferevent_enable(bev, bev->is_at_end ? EV_WRITE : EV_READ | EV_WRITE);
    if (is_current(bev, f) && (err < 0 || is_all_said(bev)))
        pe_task_activate(bev->base, &f->leave, 0);
}

int pe_bev_close_after_flush(struct bufferevent *bev, int64_t limit_ns,
                             void (*done)(struct bufferevent *bev, void *arg), void *arg) {
    struct pe_linger *f;

    if (bev->is_detached || bev->base == NULL)
        return -EINVAL;
    if (bev->is_leaving)
        return 0;
    f = new_linger(bev, limit_ns);
    if (f == NULL)
        return -ENOMEM;
    f->done = done;
    f->arg = arg;
    bufferevent_setcb(bev, drop_input, NULL, happened, f);
    bev->is_leaving = true;
    pe_bev_hold(bev);
    begin(bev, f);
    pe_bev_drop(bev);
    return 0;
}

int bufferevent_close_after_flush(struct bufferevent *bev, const struct timeval *timeout) {
    int64_t limit_ns = timeout != NULL ? pe_ns_from_timeval(timeout) : LIMIT_DEFAULT_NS;
    int err = limit_ns < 0 ? -EINVAL : pe_bev_close_after_flush(bev, limit_ns, NULL, NULL);

    return err < 0 ? pe_fail(err) : 0;
}
