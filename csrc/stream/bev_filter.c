/* bev_filter.c - a bufferevent whose bytes go through functions and another one.
 *
 *     program <-- [input ] <--input_filter--- [input ] <-- peer
 *     program --> [output] ---output_filter-> [output] --> peer
 *                  the filter                  under
 *
 * Design notes
 *
 * 1. The filter owns the callbacks of `under`, and a reference to it. While it does
 *    not read, for whatever reason, the reading of `under` is blocked
 *    (PE_BLOCK_FILTER): what holds the program holds the peer.
 *
 * 2. Input is filtered in the read callback of `under`, or, when reading goes on after
 *    a pause and something has been left, by the task `work`: never inside a call of the
 *    program's but bufferevent_flush. The end of the input below waits in
 *    `last_events` until nothing that lies before it can be used any more.
 *
 * 3. Output is filtered when it is added, so that nothing written is lost when the
 *    filter is freed. That calls nobody but the filter function: errors are deferred,
 *    and the write callback waits for the flush list, `tell`. It is held back while
 *    `under` would block, or a program that writes whenever it is called would fill the
 *    memory: what has been filtered is not gone yet.
 *
 * 4. A filter function may do anything, free the filter included: both bufferevents are
 *    held around it, and it is not entered again while it runs. One that changes
 *    nothing is not called again before there is something new.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/errors.h"
#include "base/list.h"
#include "stream/bufferevent.h"
#include "stream/extras.h"

/* Each passes bytes on to the next one on the stack. */
#define MOST_FILTERS 64

struct bev_filter {
    struct bufferevent bev;
    struct bufferevent *under;
    bufferevent_filter_cb input_filter, output_filter;
    void (*free_context)(void *);
    void *ctx;
    struct pe_task work;
    struct pe_flush tell;
    size_t starved_at;       /* the output that was too little for output_filter; 0: none */
    int last_error;          /* errno of last_events */
    struct pe_call *calls;   /* of the functions */
    short last_events;       /* BEV_EVENT_: the end of the input of `under`, not told yet */
    bool in_input : 1;       /* input_filter runs */
    bool in_output : 1;      /* output_filter runs */
    bool input_ended : 1;    /* the last call was of BEV_FINISHED: */
    bool output_ended : 1;   /* not again without anything to finish */
    bool is_written : 1;     /* the write callback is owed a call */
};

static const struct pe_bev_ops filter_ops;

static struct bev_filter *filter_of(struct bufferevent *bev) {
    return pe_container(bev, struct bev_filter, bev);
}

static void hold(struct bev_filter *f) {
    pe_bev_hold(&f->bev);
    pe_bev_hold(f->under);
}

static void drop(struct bev_filter *f) {
    struct bufferevent *under = f->under;

    pe_bev_drop(&f->bev);
    pe_bev_drop(under);
}

/* --- calling a filter function -------------------------------------------- */

/* What goes through one of the functions. */
struct passage {
    bufferevent_filter_cb fn;
    struct evbuffer *src, *dst;
    enum bufferevent_flush_mode mode;
    enum bufferevent_filter_result result;
    size_t used, made; /* bytes, by the last call */
    int err;           /* errno to tell, when the result is BEV_ERROR */
};

/* The function where the program gives none. */
static enum bufferevent_filter_result pass_on(struct evbuffer *src, struct evbuffer *dst,
                                              ev_ssize_t limit,
                                              enum bufferevent_flush_mode mode, void *ctx) {
    ssize_t n = pe_evbuffer_move(dst, src, limit < 0 ? EV_SSIZE_MAX : (size_t)limit);

    (void)mode;
    (void)ctx;
    if (n < 0)
        errno = (int)-n;
    return n < 0 ? BEV_ERROR : n > 0 ? BEV_OK : BEV_NEED_MORE;
}

/* Call the function once. The ends of the buffers that are the library's are open to it
 * meanwhile. False: it has changed nothing, or failed, or wants no further call. */
static bool call_filter(struct bev_filter *f, struct passage *p, size_t max) {
    size_t had = pe_evbuffer_len(p->src), held = pe_evbuffer_len(p->dst);
    ev_ssize_t limit = max < EV_SSIZE_MAX ? (ev_ssize_t)max : -1;

    uint8_t src_flags = p->src->flags, dst_flags = p->dst->flags;
    struct pe_call call;

    pe_calls_enter(&f->calls, &call); /* the caller holds `f` */
    errno = 0;
    (void)evbuffer_unfreeze(p->src, 1); /* sets a bit, as freezing: cannot fail */
    (void)evbuffer_unfreeze(p->dst, 0);
    p->result = p->fn(p->src, p->dst, limit, p->mode, f->ctx);
    p->err = errno != 0 ? errno : EPROTO;
    pe_calls_leave(&f->calls, &call);
    if (src_flags & PE_BUF_FROZEN_START)
        (void)evbuffer_freeze(p->src, 1);
    if (dst_flags & PE_BUF_FROZEN_END)
        (void)evbuffer_freeze(p->dst, 0);
    p->used = had > pe_evbuffer_len(p->src) ? had - pe_evbuffer_len(p->src) : 0;
    p->made = pe_evbuffer_len(p->dst) > held ? pe_evbuffer_len(p->dst) - held : 0;
    return p->result == BEV_OK && (p->used != 0 || p->made != 0);
}

/* --- input ---------------------------------------------------------------- */

static void fail_reading(struct bev_filter *f, int err) {
    f->last_events = 0;
    (void)bufferevent_disable(&f->bev, EV_READ);
    pe_bev_run_event(&f->bev, BEV_EVENT_READING | BEV_EVENT_ERROR, err, 0);
}

/* Filter what `under` has, and call back. Whether something came of it. The caller holds
 * both bufferevents. */
static bool filter_input(struct bev_filter *f, enum bufferevent_flush_mode mode) {
    struct bufferevent *bev = &f->bev;
    struct passage p = {.fn = f->input_filter,
                        .src = &f->under->input,
                        .dst = &bev->input,
                        .mode = mode};
    size_t made = 0;
    bool goes_on;

    if (f->in_input || bev->is_detached || bev->base == NULL)
        return false;
    if (pe_evbuffer_len(p.src) == 0 && (mode == BEV_NORMAL || f->input_ended))
        return false;
    if (mode == BEV_NORMAL &&
        (!pe_bev_reads(bev) || (bev->limits != NULL && pe_bev_is_at_limit(bev))))
        return false;
    f->in_input = true;
    f->input_ended = mode == BEV_FINISHED;
    do {
        goes_on = call_filter(f, &p, mode == BEV_NORMAL ? pe_bev_read_max(bev) : EV_SSIZE_MAX);
        made += p.made;
        if (bev->is_detached)
            break;
        pe_bev_did_read(bev, p.made);
    } while (goes_on && pe_evbuffer_len(p.src) != 0 && !bev->is_detached &&
             (mode != BEV_NORMAL || (pe_bev_reads(bev) && !pe_bev_is_full(bev))));
    f->in_input = false;
    if (made != 0)
        pe_bev_tell_input(bev, 0);
    if (p.result == BEV_ERROR && !bev->is_detached)
        fail_reading(f, p.err);
    return made != 0;
}

/* Tell the end of the input below, when all before it has been used that can be. */
static void tell_end(struct bev_filter *f) {
    short what = f->last_events;

    if (what == 0 || f->bev.is_detached || f->in_input)
        return;
    if (pe_evbuffer_len(&f->under->input) != 0 && !pe_bev_reads(&f->bev))
        return; /* `work` comes back to it */
    if (what & BEV_EVENT_EOF)
        (void)filter_input(f, BEV_FINISHED);
    if (f->bev.is_detached || f->last_events == 0)
        return; /* what was left made no sense */
    f->last_events = 0;
    f->bev.is_at_end = f->under->is_at_end; /* not if its input is full */
    (void)bufferevent_disable(&f->bev, EV_READ);
    pe_bev_run_event(&f->bev, what, f->last_error, 0);
}

static void run_work(struct event_base *base, struct pe_task *task) {
    struct bev_filter *f = pe_container(task, struct bev_filter, work);

    (void)base;
    hold(f);
    (void)filter_input(f, BEV_NORMAL);
    pe_bev_check_full(f->under, 0); /* the task runs in no read callback, after which it is seen */
    tell_end(f);
    drop(f);
}

static void under_readable(struct bufferevent *under, void *arg) {
    struct bev_filter *f = arg;

    (void)under;
    run_work(f->bev.base, &f->work);
}

static void under_happened(struct bufferevent *under, short what, void *arg) {
    struct bev_filter *f = arg;

    hold(f);
    if ((what & BEV_EVENT_READING) && (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))) {
        f->last_events = what;
        f->last_error = under->error;
        (void)filter_input(f, BEV_NORMAL);
        tell_end(f);
    } else {
        pe_bev_run_event(&f->bev, what, under->error, 0);
    }
    drop(f);
}

/* --- output --------------------------------------------------------------- */

/* How much `under` takes: up to its high mark. */
static size_t room_below(const struct bev_filter *f) {
    const struct bufferevent *under = f->under;
    size_t len = pe_evbuffer_len(&under->output);

    if (under->is_detached)
        return 0;
    if (under->write_high == 0)
        return EV_SSIZE_MAX;
    return len < under->write_high ? under->write_high - len : 0;
}

static size_t output_max(const struct bev_filter *f) {
    size_t room = room_below(f), most = pe_bev_write_max(&f->bev);

    return room < most ? room : most;
}

static void fail_writing(struct bev_filter *f, int err) {
    pe_bev_fail_writing(&f->bev, err, BEV_TRIG_DEFER_CALLBACKS);
}

/* In the flush list's next round, when what is below has written, see whether the write
 * callback is due, or the output stuck. */
static void tell_soon(struct bev_filter *f) {
    if (f->bev.base != NULL && !f->bev.is_detached)
        pe_flush_add(f->bev.base, &f->tell);
}

/* Whether what has been filtered waits somewhere below. */
static bool lags(const struct bufferevent *under) {
    return under->would_block ||
           (under->ops == &filter_ops &&
            pe_container(under, const struct bev_filter, bev)->is_written);
}

bool pe_filter_is_stuck(const struct bufferevent *bev) {
    while (bev->ops == &filter_ops) {
        const struct bufferevent *under = pe_container(bev, const struct bev_filter, bev)->under;

        if (under == NULL)
            break; /* it is being made */
        if (under->would_block || (under->is_connecting && pe_evbuffer_len(&under->output) != 0))
            return true;
        bev = under;
    }
    return false;
}

void pe_filter_moved_below(struct bufferevent *under) {
    while (pe_bufferevent_is_filtered(under)) {
        struct bev_filter *f = under->arg;

        if (f->bev.extras != NULL && f->bev.extras->write.limit_ns != 0)
            f->bev.extras->write.last_ns = pe_clock_now();
        under = &f->bev;
    }
}

static void update_timers(struct bev_filter *f) {
    if (pe_bev_update_timers(&f->bev) < 0)
        pe_bev_fail(&f->bev, -ENOMEM);
}

static void run_tell(struct event_base *base, struct pe_flush *item) {
    struct bev_filter *f = pe_container(item, struct bev_filter, tell);

    (void)base;
    update_timers(f);
    if (!f->is_written || lags(f->under))
        return; /* under_written() comes back to it */
    f->is_written = false;
    if (pe_evbuffer_len(&f->bev.output) > f->bev.write_low)
        return; /* it has grown meanwhile, and will be filtered */
    pe_bev_hold(&f->bev);
    pe_bev_run_write(&f->bev, 0);
    pe_bev_drop(&f->bev);
}

/* Filter what is in the output. Whether something came of it. The caller holds both
 * bufferevents. Calls nobody but the filter function. */
static bool filter_output(struct bev_filter *f, enum bufferevent_flush_mode mode) {
    struct bufferevent *bev = &f->bev;
    struct passage p = {.fn = f->output_filter,
                        .src = &bev->output,
                        .dst = &f->under->output,
                        .mode = mode};
    size_t moved = 0;
    bool goes_on;

    if (f->in_output || bev->is_detached || f->under->is_detached || bev->base == NULL)
        return false;
    if (pe_evbuffer_len(p.src) == 0 && (mode == BEV_NORMAL || f->output_ended))
        goto settle;
    if (mode == BEV_NORMAL && (!pe_bev_writes(bev) || output_max(f) == 0 ||
                               f->starved_at == pe_evbuffer_len(p.src)))
        goto settle;
    f->in_output = true;
    f->output_ended = mode == BEV_FINISHED;
    do {
        goes_on = call_filter(f, &p, mode == BEV_NORMAL ? output_max(f) : EV_SSIZE_MAX);
        moved += p.used + p.made;
        if (bev->is_detached || f->under->is_detached)
            break;
        pe_bev_did_write(bev, p.used);
    } while (goes_on && pe_evbuffer_len(p.src) != 0 && !bev->is_detached &&
             (mode != BEV_NORMAL || (pe_bev_writes(bev) && output_max(f) != 0)));
    f->in_output = false;
    f->starved_at = p.result == BEV_NEED_MORE ? pe_evbuffer_len(p.src) : 0;
    if (bev->is_detached)
        return moved != 0;
    if (p.result == BEV_ERROR)
        fail_writing(f, p.err);
    if (moved != 0 && pe_evbuffer_len(&bev->output) <= bev->write_low)
        f->is_written = true;
    if (moved != 0 || f->is_written)
        tell_soon(f);
settle:
    bev->would_block = pe_evbuffer_len(&bev->output) != 0 && room_below(f) == 0;
    update_timers(f);
    return moved != 0;
}

static void filter_send(struct bufferevent *bev) {
    struct bev_filter *f = filter_of(bev);

    hold(f);
    (void)filter_output(f, BEV_NORMAL);
    drop(f);
}

static void under_written(struct bufferevent *under, void *arg) {
    struct bev_filter *f = arg;

    (void)under;
    hold(f);
    f->bev.would_block = false;
    (void)filter_output(f, BEV_NORMAL);
    if (f->is_written)
        tell_soon(f);
    drop(f);
}

/* --- the rest ------------------------------------------------------------- */

static int filter_enable(struct bufferevent *bev, short what) {
    struct bev_filter *f = filter_of(bev);

    if (what & EV_READ) {
        pe_bev_unblock(f->under, EV_READ, PE_BLOCK_FILTER);
        if (bev->is_detached || bev->base == NULL)
            return 0; /* in a callback of a pair's buffers, which that has moved bytes between */
        if (pe_evbuffer_len(&f->under->input) != 0 || f->last_events != 0)
            pe_task_activate(bev->base, &f->work, 0);
    }
    return 0; /* the flush list sends */
}

static void filter_disable(struct bufferevent *bev, short what) {
    if (what & EV_READ)
        pe_bev_block(filter_of(bev)->under, EV_READ, PE_BLOCK_FILTER);
}

/* Reading comes from below, writing goes there. */
static int filter_flush(struct bufferevent *bev, short what, enum bufferevent_flush_mode mode) {
    struct bev_filter *f = filter_of(bev);
    bool moved = false;

    if (bev->is_detached)
        return 0;
    hold(f);
    if (what & EV_READ) {
        (void)bufferevent_flush(f->under, EV_READ, mode);
        moved = filter_input(f, mode);
        tell_end(f);
    }
    if (what & EV_WRITE) {
        moved = filter_output(f, mode) || moved;
        (void)bufferevent_flush(f->under, EV_WRITE, mode);
    }
    drop(f);
    return moved;
}

/* Free it, after what it has to write if its base is there still. */
static void close_under(struct bufferevent *under, bool has_base) {
    if (has_base && pe_evbuffer_len(&under->output) != 0) {
        pe_bev_unblock(under, EV_READ, PE_BLOCK_FILTER);
        if (bufferevent_close_after_flush(under, NULL) == 0)
            return;
    }
    bufferevent_free(under);
}

static void filter_detach(struct bufferevent *bev) {
    struct bev_filter *f = filter_of(bev);
    struct bufferevent *under = f->under;

    if (bev->base != NULL) {
        pe_task_cancel(bev->base, &f->work);
        pe_flush_cancel(bev->base, &f->tell);
    } else {
        pe_list_remove(&f->work.link); /* the base is about to go */
        pe_list_remove(&f->tell.link);
    }
    if (under == NULL)
        return; /* it was never finished */
    if (under->eventcb == under_happened && under->arg == f)
        bufferevent_setcb(under, NULL, NULL, NULL, NULL);
    if (bev->options & BEV_OPT_CLOSE_ON_FREE)
        close_under(under, bev->base != NULL);
    else if (bev->base != NULL)
        pe_bev_unblock(under, EV_READ, PE_BLOCK_FILTER);
}

static void filter_destroy(struct bufferevent *bev) {
    struct bev_filter *f = filter_of(bev);

    if (f->under == NULL)
        return;
    if (f->free_context != NULL)
        f->free_context(f->ctx);
    pe_bev_drop(f->under);
}

static void set_priority(struct bev_filter *f, int pri) {
    bool was_queued = pe_task_is_queued(&f->work);

    pe_task_cancel(f->bev.base, &f->work);
    f->work.pri = (uint8_t)pri;
    if (was_queued)
        pe_task_activate(f->bev.base, &f->work, 0);
}

static int filter_ctl(struct bufferevent *bev, enum pe_bev_ctl op, union pe_bev_arg *arg) {
    struct bev_filter *f = filter_of(bev);

    switch (op) {
    case PE_BEV_GET_UNDER:
        arg->bev = f->under;
        return 0;
    case PE_BEV_GET_FD:
    case PE_BEV_SET_FD:
    case PE_BEV_REPLACE_FD:
        return f->under->is_detached ? -EINVAL : f->under->ops->ctl(f->under, op, arg);
    case PE_BEV_SET_PRIORITY:
        set_priority(f, arg->pri);
        return 0;
    case PE_BEV_IS_IDLE:
        return -EBUSY; /* `under` would stay behind */
    case PE_BEV_SHUT_WRITE:
        break; /* flushing says it */
    }
    return -ENOSYS;
}

/* A function that never returned has left its buffers' ends open. */
static void filter_mend(struct bufferevent *bev) {
    struct bev_filter *f = filter_of(bev);

    if (pe_calls_mend(&f->calls) != 0)
        return;
    if (f->in_input) {
        (void)evbuffer_freeze(&bev->input, 0);
        pe_task_activate(bev->base, &f->work, 0);
    }
    if (f->in_output)
        (void)evbuffer_freeze(&bev->output, 1);
    f->in_input = f->in_output = false;
    if (f->is_written)
        pe_flush_add(bev->base, &f->tell);
}

static const struct pe_bev_ops filter_ops = {
    .type = "filter",
    .size = sizeof(struct bev_filter),
    .is_instant = true,
    .enable = filter_enable,
    .disable = filter_disable,
    .send = filter_send,
    .flush = filter_flush,
    .detach = filter_detach,
    .destroy = filter_destroy,
    .mend = filter_mend,
    .ctl = filter_ctl,
};

/* Take over the callbacks and the directions of `under`. Enabling may call out, and `under` be
 * freed or closed in that. 0 or a negative errno. */
static int take_over(struct bev_filter *f, struct bufferevent *under) {
    bool was_leaving = under->is_leaving;
    int err = 0;

    pe_bev_hold(under);
    pe_bev_block(under, EV_READ, PE_BLOCK_FILTER);
    if (bufferevent_enable(under, EV_READ | EV_WRITE) < 0)
        err = -errno;
    else if (under->is_detached || under->base == NULL || under->is_leaving != was_leaving)
        err = -EINVAL;
    if (err < 0) {
        pe_bev_unblock(under, EV_READ, PE_BLOCK_FILTER);
        pe_bev_drop(under);
        return err;
    }
    f->under = under; /* with the reference */
    bufferevent_setcb(under, under_readable, under_written, under_happened, f);
    return 0;
}

/* How many filters there are from `bev` down. */
static int depth_of(struct bufferevent *bev) {
    int n = 0;

    for (; bev->ops == &filter_ops; bev = filter_of(bev)->under)
        n++;
    return n;
}

bool pe_bufferevent_is_filtered(const struct bufferevent *bev) {
    return bev->eventcb == under_happened;
}

struct bufferevent *bufferevent_filter_new(struct bufferevent *underlying,
                                           bufferevent_filter_cb input_filter,
                                           bufferevent_filter_cb output_filter, int options,
                                           void (*free_context)(void *), void *ctx) {
    struct bufferevent *bev;
    struct bev_filter *f;
    int err;

    if (underlying == NULL || underlying->is_detached || underlying->base == NULL) {
        errno = EINVAL;
        return NULL;
    }
    if (depth_of(underlying) >= MOST_FILTERS) {
        errno = ELOOP;
        return NULL;
    }
    bev = pe_bev_new(&filter_ops, underlying->base, options);
    if (bev == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    f = filter_of(bev);
    f->input_filter = input_filter != NULL ? input_filter : pass_on;
    f->output_filter = output_filter != NULL ? output_filter : pass_on;
    f->free_context = free_context;
    f->ctx = ctx;
    pe_task_init(&f->work, run_work, bev->task.pri);
    pe_flush_init(&f->tell, run_tell);
    err = take_over(f, underlying);
    if (err < 0) {
        bufferevent_free(bev); /* which knows nothing of `underlying` */
        errno = -err;
        return NULL;
    }
    return bev;
}
