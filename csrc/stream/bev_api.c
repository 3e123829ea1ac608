/* bev_api.c - the public functions that set, get, or pass something on. */
#include <errno.h>

#include "base/errors.h"
#include "base/list.h"
#include "buf/pool.h"
#include "event2/buffer.h"
#include "stream/bufferevent.h"
#include "stream/context.h"
#include "stream/extras.h"
#include "stream/ratelimit.h"

#define DEFAULT_SINGLE 16384 /* what the getters answer while nothing is set */

void bufferevent_lock(struct bufferevent *bev) {
    (void)bev;
}

void bufferevent_unlock(struct bufferevent *bev) {
    (void)bev;
}

/* --- callbacks ------------------------------------------------------------ */

void bufferevent_setcb(struct bufferevent *bev, bufferevent_data_cb readcb,
                       bufferevent_data_cb writecb, bufferevent_event_cb eventcb, void *cbarg) {
    if (bev->is_detached)
        return; /* nothing may be called any more */
    pe_bev_stay(bev);
    bev->readcb = readcb;
    bev->writecb = writecb;
    bev->eventcb = eventcb;
    bev->arg = cbarg;
}

void bufferevent_getcb(struct bufferevent *bev, bufferevent_data_cb *readcb_ptr,
                       bufferevent_data_cb *writecb_ptr, bufferevent_event_cb *eventcb_ptr,
                       void **cbarg_ptr) {
    if (readcb_ptr != NULL)
        *readcb_ptr = bev->readcb;
    if (writecb_ptr != NULL)
        *writecb_ptr = bev->writecb;
    if (eventcb_ptr != NULL)
        *eventcb_ptr = bev->eventcb;
    if (cbarg_ptr != NULL)
        *cbarg_ptr = bev->arg;
}

void bufferevent_trigger(struct bufferevent *bev, short iotype, int options) {
    bool ignores_marks = (options & BEV_TRIG_IGNORE_WATERMARKS) != 0;

    pe_bev_hold(bev);
    if ((iotype & EV_READ) &&
        (ignores_marks || pe_evbuffer_len(&bev->input) >= bev->read_low))
        pe_bev_run_read(bev, options);
    if ((iotype & EV_WRITE) &&
        (ignores_marks || pe_evbuffer_len(&bev->output) <= bev->write_low))
        pe_bev_run_write(bev, options);
    pe_bev_drop(bev);
}

void bufferevent_trigger_event(struct bufferevent *bev, short what, int options) {
    pe_bev_hold(bev);
    pe_bev_run_event(bev, what, errno, options);
    pe_bev_drop(bev);
}

/* --- data ----------------------------------------------------------------- */

struct evbuffer *bufferevent_get_input(struct bufferevent *bev) {
    return &bev->input;
}

struct evbuffer *bufferevent_get_output(struct bufferevent *bev) {
    return &bev->output;
}

/* After shutdown_write or close_after_flush. */
static bool takes_no_more(const struct bufferevent *bev) {
    return bev->is_finishing || bev->is_finished;
}

int bufferevent_write(struct bufferevent *bev, const void *data, size_t size) {
    if (takes_no_more(bev))
        return pe_fail(-EPIPE);
    return evbuffer_add(&bev->output, data, size);
}

int bufferevent_write_buffer(struct bufferevent *bev, struct evbuffer *buf) {
    if (takes_no_more(bev))
        return pe_fail(-EPIPE);
    return evbuffer_add_buffer(&bev->output, buf);
}

size_t bufferevent_read(struct bufferevent *bev, void *data, size_t size) {
    int n = evbuffer_remove(&bev->input, data, size);

    return n > 0 ? (size_t)n : 0;
}

int bufferevent_read_buffer(struct bufferevent *bev, struct evbuffer *buf) {
    return evbuffer_add_buffer(buf, &bev->input);
}

int bufferevent_flush(struct bufferevent *bev, short iotype, enum bufferevent_flush_mode mode) {
    if ((unsigned)mode > BEV_FINISHED)
        return pe_fail(-EINVAL);
    return bev->ops->flush(bev, iotype, mode);
}

/* --- what it is made of --------------------------------------------------- */

evutil_socket_t bufferevent_getfd(struct bufferevent *bev) {
    union pe_bev_arg arg = {.fd = -1};

    return bev->ops->ctl(bev, PE_BEV_GET_FD, &arg) < 0 ? -1 : arg.fd;
}

static int change_fd(struct bufferevent *bev, enum pe_bev_ctl op, int fd) {
    union pe_bev_arg arg = {.fd = fd};
    int err = bev->is_detached || bev->base == NULL ? -EINVAL : bev->ops->ctl(bev, op, &arg);

    return err < 0 ? pe_fail(err) : 0;
}

int bufferevent_setfd(struct bufferevent *bev, evutil_socket_t fd) {
    return change_fd(bev, PE_BEV_SET_FD, fd);
}

int bufferevent_replacefd(struct bufferevent *bev, evutil_socket_t fd) {
    return change_fd(bev, PE_BEV_REPLACE_FD, fd);
}

struct bufferevent *bufferevent_get_underlying(struct bufferevent *bev) {
    union pe_bev_arg arg = {.bev = NULL};

    return bev->ops->ctl(bev, PE_BEV_GET_UNDER, &arg) < 0 ? NULL : arg.bev;
}

struct event_base *bufferevent_get_base(struct bufferevent *bev) {
    return bev->base;
}

/* Segments find their way back to the pool they are from, so the buffer may hold
 * some of the old one's. */
static void change_pool(struct evbuffer *buf, struct pe_pool *pool) {
    struct pe_pool *old = buf->pool;

    pe_pool_join(pool);
    buf->pool = pool;
    pe_pool_leave(old);
}

static bool is_busy(struct bufferevent *bev) {
    union pe_bev_arg arg = {.fd = -1};

    if (bev->extras != NULL && (pe_timer_is_set(&bev->extras->read.timer) ||
                              pe_timer_is_set(&bev->extras->write.timer) ||
                              pe_rate_holds(bev->extras->rate)))
        return true;
    return pe_bufferevent_is_filtered(bev) || bev->calling != 0 || bev->is_connecting || pe_task_is_queued(&bev->task) ||
           !pe_list_empty(&bev->flush.link) || bev->ops->ctl(bev, PE_BEV_IS_IDLE, &arg) < 0;
}

int bufferevent_base_set(struct event_base *base, struct bufferevent *bev) {
    struct pe_stream_context *context;

    if (base == NULL || bev->is_detached || bev->base == NULL)
        return pe_fail(-EINVAL);
    if (is_busy(bev))
        return pe_fail(-EBUSY);
    context = pe_stream_context_of(base);
    if (context == NULL)
        return pe_fail(-ENOMEM);
    pe_list_remove(&bev->of_base);
    pe_list_push_back(&context->bufferevents, &bev->of_base);
    change_pool(&bev->input, context->pool);
    change_pool(&bev->output, context->pool);
    bev->base = base;
    return 0;
}

int bufferevent_priority_set(struct bufferevent *bev, int pri) {
    union pe_bev_arg arg = {.pri = pri};
    short res = bev->task.res;
    bool was_queued;
    int err;

    if (bev->base == NULL || pri < 0 || pri >= event_base_get_npriorities(bev->base))
        return pe_fail(-EINVAL);
    err = bev->ops->ctl(bev, PE_BEV_SET_PRIORITY, &arg);
    if (err < 0)
        return pe_fail(err);
    was_queued = pe_task_is_queued(&bev->task);
    pe_task_cancel(bev->base, &bev->task);
    bev->task.pri = (uint8_t)pri;
    if (was_queued)
        pe_task_activate(bev->base, &bev->task, res);
    return 0;
}

int bufferevent_get_priority(const struct bufferevent *bev) {
    return bev->task.pri;
}

int pe_bufferevent_error(const struct bufferevent *bev) {
    return bev->error;
}

bool pe_bufferevent_connecting(const struct bufferevent *bev) {
    return bev->is_connecting;
}

bool pe_bufferevent_closes_fd(const struct bufferevent *bev) {
    return (bev->options & BEV_OPT_CLOSE_ON_FREE) != 0;
}

/* --- control -------------------------------------------------------------- */

short bufferevent_get_enabled(struct bufferevent *bev) {
    return bev->enabled;
}

static int set_single(struct bufferevent *bev, size_t size, short what) {
    struct pe_bev_extras *extras = pe_bev_extras(bev);
    size_t limit = size > EV_SSIZE_MAX ? 0 : size;

    if (extras == NULL)
        return pe_fail(-ENOMEM);
    if (what == EV_READ)
        extras->max_read = limit;
    else
        extras->max_write = limit;
    return 0;
}

int bufferevent_set_max_single_read(struct bufferevent *bev, size_t size) {
    return set_single(bev, size, EV_READ);
}

int bufferevent_set_max_single_write(struct bufferevent *bev, size_t size) {
    return set_single(bev, size, EV_WRITE);
}

ev_ssize_t bufferevent_get_max_single_read(struct bufferevent *bev) {
    if (bev->extras == NULL || bev->extras->max_read == 0)
        return DEFAULT_SINGLE;
    return (ev_ssize_t)bev->extras->max_read;
}

ev_ssize_t bufferevent_get_max_single_write(struct bufferevent *bev) {
    if (bev->extras == NULL || bev->extras->max_write == 0)
        return DEFAULT_SINGLE;
    return (ev_ssize_t)bev->extras->max_write;
}
