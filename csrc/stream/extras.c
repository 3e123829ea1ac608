/* extras.c - timeouts and what else few bufferevents use. */
#include "stream/extras.h"

#include <errno.h>

#include "base/clock.h"
#include "base/errors.h"
#include "base/list.h"
#include "base/mem.h"
#include "stream/ratelimit.h"

static void fire_read(struct event_base *base, struct pe_timer *timer);
static void fire_write(struct event_base *base, struct pe_timer *timer);

struct pe_bev_extras *pe_bev_extras(struct bufferevent *bev) {
    if (bev->extras == NULL) {
        bev->extras = pe_calloc(PE_MEM_STREAM, 1, sizeof(*bev->extras));
        if (bev->extras == NULL)
            return NULL;
        bev->extras->bev = bev;
        pe_timer_init(&bev->extras->read.timer, fire_read);
        pe_timer_init(&bev->extras->write.timer, fire_write);
    }
    return bev->extras;
}

void pe_bev_extras_stop(struct bufferevent *bev) {
    if (bev->extras == NULL || bev->base == NULL)
        return;
    pe_timer_cancel(bev->base, &bev->extras->read.timer);
    pe_timer_cancel(bev->base, &bev->extras->write.timer);
    bev->expired = 0;
}

void pe_bev_extras_free(struct bufferevent *bev) {
    if (bev->extras != NULL) {
        pe_rate_free(bev->extras->rate);
        pe_free(PE_MEM_STREAM, bev->extras->path);
    }
    pe_free(PE_MEM_STREAM, bev->extras);
    bev->extras = NULL;
}

/* --- timeouts ------------------------------------------------------------- */

/* Reading waits while it is on, and also while the connection is being made. */
static bool waits_to_read(const struct bufferevent *bev) {
    unsigned held = bev->read_blocked;

    if (bev->is_connecting)
        held &= ~(unsigned)PE_BLOCK_CONNECT;
    return (bev->enabled & EV_READ) && held == 0;
}

/* Writing waits only while there is something that cannot go out. */
static bool waits_to_write(const struct bufferevent *bev) {
    if (bev->is_connecting)
        return (bev->enabled & EV_WRITE) != 0;
    return pe_bev_writes(bev) && (bev->would_block || pe_filter_is_stuck(bev));
}

static int update(struct bufferevent *bev, struct pe_bev_timeout *t, short what, bool waits) {
    if (!waits || t->limit_ns == 0) {
        pe_timer_cancel(bev->base, &t->timer);
        bev->expired &= (uint8_t)~what;
        return 0;
    }
    if (pe_timer_is_set(&t->timer) || (bev->expired & what))
        return 0;
    t->last_ns = pe_clock_now();
    return pe_timer_set(bev->base, &t->timer, t->last_ns + t->limit_ns);
}

int pe_bev_update_timers(struct bufferevent *bev) {
    int err;

    if (bev->extras == NULL || bev->base == NULL)
        return 0;
    err = update(bev, &bev->extras->read, EV_READ, waits_to_read(bev));
    if (err < 0)
        return err;
    return update(bev, &bev->extras->write, EV_WRITE, waits_to_write(bev));
}

void pe_bev_did_read(struct bufferevent *bev, size_t n) {
    if (n == 0 || bev->extras == NULL)
        return;
    if (bev->extras->read.limit_ns != 0)
        bev->extras->read.last_ns = pe_clock_now();
    if (bev->extras->rate != NULL)
        pe_rate_took(bev->extras->rate, PE_RATE_READ, n);
    if (bev->extras->counts)
        bev->extras->stats.bytes_read += n;
}

void pe_bev_did_write(struct bufferevent *bev, size_t n) {
    if (n == 0)
        return;
    if (pe_bufferevent_is_filtered(bev))
        pe_filter_moved_below(bev);
    if (bev->extras == NULL)
        return;
    if (bev->extras->write.limit_ns != 0)
        bev->extras->write.last_ns = pe_clock_now();
    if (bev->extras->rate != NULL)
        pe_rate_took(bev->extras->rate, PE_RATE_WRITE, n);
    if (bev->extras->counts)
        bev->extras->stats.bytes_written += n;
}

static void expire(struct bufferevent *bev, short what) {
    bev->expired |= (uint8_t)what;
    pe_task_activate(bev->base, &bev->task, EV_TIMEOUT);
}

static void fire_read(struct event_base *base, struct pe_timer *timer) {
    (void)base;
    expire(pe_container(timer, struct pe_bev_extras, read.timer)->bev, EV_READ);
}

static void fire_write(struct event_base *base, struct pe_timer *timer) {
    (void)base;
    expire(pe_container(timer, struct pe_bev_extras, write.timer)->bev, EV_WRITE);
}

/* Whether the time is really up; if not, the timer is set to when it may be. */
static bool is_up(struct bufferevent *bev, struct pe_bev_timeout *t) {
    int64_t due = t->last_ns + t->limit_ns;
    int err;

    if (due <= pe_clock_now())
        return true;
    err = pe_timer_set(bev->base, &t->timer, due);
    if (err < 0)
        pe_bev_fail(bev, err);
    return false;
}

short pe_bev_take_expired(struct bufferevent *bev) {
    uint8_t fired = bev->expired;
    short up = 0;

    bev->expired = 0;
    if ((fired & EV_READ) && is_up(bev, &bev->extras->read))
        up |= EV_READ;
    if ((fired & EV_WRITE) && is_up(bev, &bev->extras->write))
        up |= EV_WRITE;
    return up;
}

int bufferevent_set_timeouts(struct bufferevent *bev, const struct timeval *timeout_read,
                             const struct timeval *timeout_write) {
    int64_t read_ns = timeout_read != NULL ? pe_ns_from_timeval(timeout_read) : 0;
    int64_t write_ns = timeout_write != NULL ? pe_ns_from_timeval(timeout_write) : 0;
    struct pe_bev_extras *extras;
    int err;

    if (read_ns < 0 || write_ns < 0)
        return pe_fail(-EINVAL);
    if (read_ns == 0 && write_ns == 0 && bev->extras == NULL)
        return 0;
    extras = pe_bev_extras(bev);
    if (extras == NULL)
        return pe_fail(-ENOMEM);
    pe_bev_extras_stop(bev); /* both begin anew, from now */
    extras->read.limit_ns = read_ns;
    extras->write.limit_ns = write_ns;
    err = pe_bev_update_timers(bev);
    return err < 0 ? pe_fail(err) : 0;
}

/* --- statistics ------------------------------------------------------------ */

int bufferevent_get_stats(struct bufferevent *bev, struct bufferevent_stats *stats) {
    struct pe_bev_extras *extras = pe_bev_extras(bev);

    if (extras == NULL)
        return pe_fail(-ENOMEM);
    extras->counts = true;
    *stats = extras->stats;
    return 0;
}

/* --- when the output is too much --------------------------------------------- */

int bufferevent_set_output_high(struct bufferevent *bev, size_t mark, bufferevent_data_cb cb,
                                void *cbarg) {
    struct pe_bev_extras *extras;

    bev->has_output_high = false;
    if (cb == NULL || mark == 0)
        return 0;
    if (bev->is_detached)
        return pe_fail(-EINVAL);
    extras = pe_bev_extras(bev);
    if (extras == NULL)
        return pe_fail(-ENOMEM);
    extras->high = mark;
    extras->high_cb = cb;
    extras->high_arg = cbarg;
    extras->is_over_high = false;
    bev->has_output_high = true;
    return 0;
}

void pe_bev_check_output_high(struct bufferevent *bev) {
    struct pe_bev_extras *extras = bev->extras;
    size_t len = pe_evbuffer_len(&bev->output);

    if (len <= bev->write_low) {
        extras->is_over_high = false;
        return;
    }
    if (extras->is_over_high || len <= extras->high)
        return;
    extras->is_over_high = true;
    pe_bev_hold(bev);
    extras->high_cb(bev, extras->high_arg);
    pe_bev_drop(bev);
}
