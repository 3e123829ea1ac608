/* bufferevent.c - the common part: life, calling out, directions, flushing.
 *
 * See stream/bufferevent.h for the rules. The public functions that only set or
 * get something are in bev_api.c.
 */
#include "stream/bufferevent.h"

#include <errno.h>

#include "base/errors.h"
#include "base/list.h"
#include "base/mem.h"
#include "event2/buffer.h"
#include "stream/context.h"
#include "stream/extras.h"
#include "stream/ratelimit.h"

/* A callback that has itself called, by a trigger, goes on from the loop beyond so many. */
#define MOST_NESTED 64

static void run_task(struct event_base *base, struct pe_task *task);
static void run_flush(struct event_base *base, struct pe_flush *item);
static void output_changed(struct evbuffer *buf, size_t added, size_t removed);

/* --- life ----------------------------------------------------------------- */

struct bufferevent *pe_bev_new(const struct pe_bev_ops *ops, struct event_base *base,
                               int options) {
    struct pe_stream_context *context = pe_stream_context_of(base);
    struct bufferevent *bev;

    if (context == NULL)
        return NULL;
    bev = pe_calloc(PE_MEM_STREAM, 1, ops->size);
    if (bev == NULL)
        return NULL;
    bev->ops = ops;
    bev->base = base;
    bev->options = (uint8_t)options;
    bev->enabled = EV_WRITE;
    bev->refs = 1;
    pe_list_push_back(&context->bufferevents, &bev->of_base);
    pe_task_init(&bev->task, run_task, event_base_get_npriorities(base) / 2);
    pe_flush_init(&bev->flush, run_flush);
    pe_evbuffer_init(&bev->input, context->pool, NULL);
    pe_evbuffer_init(&bev->output, context->pool, output_changed);
    /* Freezing sets a bit: it cannot fail. */
    (void)evbuffer_freeze(&bev->input, 0);
    (void)evbuffer_freeze(&bev->output, 1);
    (void)evbuffer_set_flags(&bev->output, EVBUFFER_FLAG_DRAINS_TO_FD);
    return bev;
}

/* What is left of a bufferevent after this is memory and two buffers. */
static void detach(struct bufferevent *bev) {
    pe_bev_stay(bev);
    bev->is_detached = true;
    bev->has_output_high = false;
    bev->readcb = bev->writecb = NULL;
    bev->eventcb = NULL;
    bev->enabled = 0;
    bev->ops->detach(bev);
    if (bev->extras != NULL)
        pe_rate_stop(bev->extras->rate);
    if (bev->base == NULL) {
        pe_list_remove(&bev->task.link); /* the base is about to go */
        pe_list_remove(&bev->flush.link);
        return;
    }
    pe_bev_extras_stop(bev);
    pe_task_cancel(bev->base, &bev->task);
    pe_flush_cancel(bev->base, &bev->flush);
    pe_list_remove(&bev->of_base);
}

void pe_bev_drop_last(struct bufferevent *bev) {
    if (!bev->is_detached)
        detach(bev); /* with the last reference: that of a filter may call out */
    if (--bev->refs != 0)
        return;
    bev->refs = 1; /* a cleanup below that holds and drops it frees nothing */
    if (bev->ops->destroy != NULL)
        bev->ops->destroy(bev);
    pe_bev_extras_free(bev);
    pe_evbuffer_fini(&bev->input);
    pe_evbuffer_fini(&bev->output);
    pe_free(PE_MEM_STREAM, bev);
}

void bufferevent_free(struct bufferevent *bev) {
    if (bev == NULL || bev->is_detached)
        return;
    detach(bev);
    pe_bev_drop(bev);
}

void bufferevent_incref(struct bufferevent *bev) {
    pe_bev_hold(bev);
}

int bufferevent_decref(struct bufferevent *bev) {
    int is_last = bev->refs == 1;

    pe_bev_drop(bev);
    return is_last;
}

/* The base has dropped all watchers and timers, and drops the tasks next. */
void pe_bev_orphan(struct pe_link *of_base) {
    struct bufferevent *bev = pe_container(of_base, struct bufferevent, of_base);

    pe_bev_hold(bev);
    if (bev->is_leaving)
        bufferevent_free(bev); /* nobody else will; its tasks must leave the base first */
    bev->base = NULL;
    bev->enabled = 0;
    pe_bev_drop(bev);
}

/* --- calling out ---------------------------------------------------------- */

static void enter(struct bufferevent *bev, struct pe_call *call) {
    pe_bev_hold(bev);
    bev->calling++;
    pe_calls_enter(&bev->calls, call);
}

/* Design note 2: what the callbacks added goes out now, unless all that ran was a
 * write callback. */
static void leave(struct bufferevent *bev, struct pe_call *call, bool sends_now) {
    pe_calls_leave(&bev->calls, call);
    if (--bev->calling == 0 && pe_bev_can_send(bev)) {
        if (sends_now)
            bev->ops->send(bev);
        else
            pe_flush_add(bev->base, &bev->flush);
    }
    pe_bev_drop(bev);
}

/* Whether a callback must wait for the loop, or for the next one after a
 * loopbreak; then the task is on its way. One that its own callbacks ask for runs in
 * the next turn, so that nobody keeps a turn from ending. */
static inline bool is_deferred(struct bufferevent *bev, int options) {
    if (bev->base == NULL)
        return false;
    if (((bev->options | options) & BEV_OPT_DEFER_CALLBACKS) == 0 && bev->calling < MOST_NESTED &&
        !pe_base_is_breaking(bev->base))
        return false;
    if (bev->calling > 0)
        pe_task_activate_later(bev->base, &bev->task, 0);
    else
        pe_task_activate(bev->base, &bev->task, 0);
    return true;
}

void pe_bev_run_read(struct bufferevent *bev, int options) {
    struct pe_call call;

    if (bev->readcb == NULL)
        return;
    if (is_deferred(bev, options)) {
        bev->pending |= EV_READ;
        return;
    }
    enter(bev, &call);
    bev->readcb(bev, bev->arg);
    leave(bev, &call, true);
    if (bev->limits != NULL)
        pe_bev_check_full(bev, options);
}

void pe_bev_run_write(struct bufferevent *bev, int options) {
    struct pe_call call;

    if (bev->writecb == NULL)
        return;
    if (is_deferred(bev, options)) {
        bev->pending |= EV_WRITE;
        return;
    }
    enter(bev, &call);
    bev->writecb(bev, bev->arg);
    leave(bev, &call, false);
}

static void call_event(struct bufferevent *bev, short what) {
    if (bev->eventcb == NULL || what == 0)
        return;
    if (what & BEV_EVENT_ERROR)
        errno = bev->error; /* what EVUTIL_SOCKET_ERROR() reads */
    bev->eventcb(bev, what, bev->arg);
}

void pe_bev_run_event(struct bufferevent *bev, short what, int err, int options) {
    struct pe_call call;

    if (what & BEV_EVENT_ERROR)
        bev->error = err;
    if (bev->eventcb == NULL)
        return;
    if (is_deferred(bev, options)) {
        bev->pending_events |= what;
        return;
    }
    enter(bev, &call);
    call_event(bev, what);
    leave(bev, &call, true);
}

/* In a child whose thread that ran callbacks of it is not there: they have ended, and
 * what they added is to go out. The references they held stay. */
void pe_bev_mend(struct pe_link *of_base) {
    struct bufferevent *bev = pe_container(of_base, struct bufferevent, of_base);

    bev->calling = pe_calls_mend(&bev->calls);
    pe_evbuffer_mend(&bev->input);
    pe_evbuffer_mend(&bev->output);
    if (bev->ops->mend != NULL)
        bev->ops->mend(bev);
    if (bev->calling == 0 && pe_bev_can_send(bev))
        pe_flush_add(bev->base, &bev->flush);
}

void pe_bev_fail_writing(struct bufferevent *bev, int err, int options) {
    (void)bufferevent_disable(bev, EV_WRITE);
    bev->is_broken = true; /* what is left will not go: no reason to wait for it */
    pe_bev_unblock(bev, EV_READ, PE_BLOCK_OUTPUT);
    pe_bev_run_event(bev, BEV_EVENT_WRITING | BEV_EVENT_ERROR, err, options);
}

/* --- the task: timeouts, then deferred callbacks -------------------------- */

static void tell_expired(struct bufferevent *bev) {
    short what = pe_bev_take_expired(bev);

    if (what & EV_READ) {
        (void)bufferevent_disable(bev, EV_READ);
        pe_bev_run_event(bev, BEV_EVENT_READING | BEV_EVENT_TIMEOUT, 0, 0);
    }
    if ((what & EV_WRITE) && (bev->enabled & EV_WRITE)) {
        (void)bufferevent_disable(bev, EV_WRITE);
        pe_bev_run_event(bev, BEV_EVENT_WRITING | BEV_EVENT_TIMEOUT, 0, 0);
    }
}

static void run_pending(struct bufferevent *bev) {
    short events = bev->pending_events;
    uint8_t pending = bev->pending;
    struct pe_call call;

    bev->pending_events = 0;
    bev->pending = 0;
    enter(bev, &call);
    call_event(bev, events & BEV_EVENT_CONNECTED);
    if ((pending & EV_READ) && bev->readcb != NULL)
        bev->readcb(bev, bev->arg);
    if ((pending & EV_WRITE) && bev->writecb != NULL)
        bev->writecb(bev, bev->arg);
    call_event(bev, events & (short)~BEV_EVENT_CONNECTED);
    leave(bev, &call, events != 0 || (pending & EV_READ) != 0);
    if ((pending & EV_READ) && bev->limits != NULL)
        pe_bev_check_full(bev, 0);
}

static void run_task(struct event_base *base, struct pe_task *task) {
    struct bufferevent *bev = pe_container(task, struct bufferevent, task);

    (void)base;
    pe_bev_hold(bev);
    if (bev->expired != 0)
        tell_expired(bev);
    if (bev->pending != 0 || bev->pending_events != 0)
        run_pending(bev);
    pe_bev_drop(bev);
}

/* --- the flush list ------------------------------------------------------- */

static void tell_failure(struct bufferevent *bev) {
    int err = -bev->failure;

    bev->failure = 0;
    (void)bufferevent_disable(bev, EV_READ | EV_WRITE);
    pe_bev_run_event(bev, BEV_EVENT_READING | BEV_EVENT_WRITING | BEV_EVENT_ERROR, err, 0);
}

static void run_flush(struct event_base *base, struct pe_flush *item) {
    struct bufferevent *bev = pe_container(item, struct bufferevent, flush);

    (void)base;
    pe_bev_hold(bev);
    if (bev->failure != 0) {
        tell_failure(bev);
    } else if (pe_bev_writes(bev)) {
        bool is_due = bev->write_due;

        bev->write_due = false;
        if (pe_bev_can_send(bev))
            bev->ops->send(bev);
        else if (is_due && !bev->would_block && bufferevent_getfd(bev) >= 0)
            pe_bev_run_write(bev, 0); /* there is no output; what is stuck would tell itself */
        if (pe_bev_can_finish(bev))
            pe_bev_finish(bev);
    }
    pe_bev_drop(bev);
}

void pe_bev_fail(struct bufferevent *bev, int err) {
    if (bev->is_detached || bev->base == NULL)
        return;
    bev->failure = err;
    pe_flush_add(bev->base, &bev->flush);
}

/* --- the output's hook ---------------------------------------------------- */

/* `added` bytes are new in the output. The caller holds a reference. */
static void pass_on(struct bufferevent *bev, size_t added) {
    if (added == 0 || !pe_bev_can_send(bev))
        return;
    if (bev->ops->is_instant)
        bev->ops->send(bev);
    else if (bev->calling == 0)
        pe_flush_add(bev->base, &bev->flush);
}

static void see_to_output(struct bufferevent *bev, size_t added, size_t removed) {
    if (bev->is_detached || bev->base == NULL)
        return;
    pe_bev_hold(bev);
    if (removed != 0 && bev->is_finishing && pe_evbuffer_len(&bev->output) == 0)
        pe_flush_add(bev->base, &bev->flush);
    pass_on(bev, added);
    if (bev->has_output_high)
        pe_bev_check_output_high(bev);
    if ((bev->read_blocked & PE_BLOCK_OUTPUT) && pe_bev_may_resume(bev))
        pe_bev_unblock(bev, EV_READ, PE_BLOCK_OUTPUT);
    pe_bev_drop(bev);
}

static void output_changed(struct evbuffer *buf, size_t added, size_t removed) {
    struct bufferevent *bev = pe_container(buf, struct bufferevent, output);

    /* What callbacks add is for when they return; what has gone is of interest to few. */
    if ((added == 0 || (bev->calling != 0 && !bev->ops->is_instant)) && !bev->has_output_high &&
        !bev->is_finishing && !(bev->read_blocked & PE_BLOCK_OUTPUT))
        return;
    see_to_output(bev, added, removed);
}

/* --- directions ----------------------------------------------------------- */

/* Those of the directions `what` that are on. */
static short on_of(const struct bufferevent *bev, short what) {
    short on = 0;

    if ((what & EV_READ) && pe_bev_reads(bev))
        on |= EV_READ;
    if ((what & EV_WRITE) && pe_bev_writes(bev))
        on |= EV_WRITE;
    return on;
}

/* Tell the kind, the timers and the flush list that `what` may be on by now. */
static int switch_on(struct bufferevent *bev, short what) {
    short on = on_of(bev, what);
    int err = on != 0 ? bev->ops->enable(bev, on) : 0;

    if (err == 0)
        err = pe_bev_update_timers(bev);
    if (err == 0 && (on & EV_WRITE) && pe_bev_writes(bev) &&
        (pe_bev_can_send(bev) || bev->write_due || bev->is_finishing))
        pe_flush_add(bev->base, &bev->flush);
    return err;
}

int bufferevent_enable(struct bufferevent *bev, short event) {
    uint8_t added = (uint8_t)(event & (EV_READ | EV_WRITE) & ~bev->enabled);
    int err;

    if (bev->is_detached || bev->base == NULL)
        return pe_fail(-EINVAL);
    bev->enabled |= added;
    /* One call of the write callback, also when it was enabled before. Where writing costs no
     * system call there is nothing to wait for, and nobody asks to be told. */
    if ((event & EV_WRITE) && !bev->is_connecting && !bev->ops->is_instant)
        bev->write_due = true;
    pe_bev_hold(bev); /* a pair moves bytes, which may call out */
    err = switch_on(bev, event);
    if (err < 0)
        (void)bufferevent_disable(bev, added);
    else if ((event & EV_READ) && bev->limits != NULL)
        pe_bev_ask_again(bev);
    pe_bev_drop(bev);
    return err < 0 ? pe_fail(err) : 0;
}

int bufferevent_disable(struct bufferevent *bev, short event) {
    short what = event & bev->enabled;

    bev->enabled &= (uint8_t)~what;
    if (event & EV_WRITE)
        bev->write_due = false;
    if (what == 0)
        return 0;
    bev->ops->disable(bev, what);
    (void)pe_bev_update_timers(bev); /* stops timers, which cannot fail */
    return 0;
}

void pe_bev_block(struct bufferevent *bev, short what, unsigned reason) {
    short was_on = on_of(bev, what);

    if (what & EV_READ)
        bev->read_blocked |= (uint16_t)reason;
    if (what & EV_WRITE)
        bev->write_blocked |= (uint16_t)reason;
    if (was_on == 0)
        return;
    bev->ops->disable(bev, was_on);
    (void)pe_bev_update_timers(bev);
}

void pe_bev_unblock(struct bufferevent *bev, short what, unsigned reason) {
    bool was_held = (what & EV_READ) && (bev->read_blocked & reason) != 0;
    short was_on = on_of(bev, what);
    int err;

    if (what & EV_READ)
        bev->read_blocked &= (uint16_t)~reason;
    if (what & EV_WRITE)
        bev->write_blocked &= (uint16_t)~reason;
    if (on_of(bev, what) == was_on) {
        if (was_held && bev->limits != NULL)
            pe_bev_ask_again(bev);
        return;
    }
    pe_bev_hold(bev);
    err = switch_on(bev, what);
    if (err < 0)
        pe_bev_fail(bev, err);
    pe_bev_drop(bev);
}

size_t pe_bev_read_max(const struct bufferevent *bev) {
    size_t max = bev->extras != NULL && bev->extras->max_read != 0 ? bev->extras->max_read
                                                               : EV_SSIZE_MAX;
    size_t len = pe_evbuffer_len(&bev->input), end = bev->read_high;

    if (bev->extras != NULL && bev->extras->rate != NULL)
        max = pe_rate_cut(bev->extras->rate, PE_RATE_READ, max);
    if (end == 0) {
        if (bev->limits == NULL)
            return max;
        end = bev->limits->input_max;
    }
    if (len >= end)
        return 0;
    return end - len < max ? end - len : max;
}

size_t pe_bev_write_max(const struct bufferevent *bev) {
    size_t max = bev->extras != NULL && bev->extras->max_write != 0 ? bev->extras->max_write
                                                                : EV_SSIZE_MAX;

    if (bev->extras != NULL && bev->extras->rate != NULL)
        max = pe_rate_cut(bev->extras->rate, PE_RATE_WRITE, max);
    return max;
}
