/* ratelimit.c - buckets, and those of single bufferevents. */
#include "stream/ratelimit.h"

#include <errno.h>

#include "base/clock.h"
#include "base/errors.h"
#include "base/mem.h"
#include "stream/bufferevent.h"
#include "stream/extras.h"

/* --- configurations ------------------------------------------------------- */

static bool is_valid(size_t rate, size_t burst) {
    return rate >= 1 && rate <= burst && burst <= EV_RATE_LIMIT_MAX;
}

struct ev_token_bucket_cfg *ev_token_bucket_cfg_new(size_t read_rate, size_t read_burst,
                                                    size_t write_rate, size_t write_burst,
                                                    const struct timeval *tick_len) {
    int64_t tick_ns = tick_len != NULL ? pe_ns_from_timeval(tick_len) : PE_NS_PER_SEC;
    struct ev_token_bucket_cfg *cfg;

    if (!is_valid(read_rate, read_burst) || !is_valid(write_rate, write_burst) ||
        tick_ns <= 0) {
        errno = EINVAL;
        return NULL;
    }
    cfg = pe_malloc(PE_MEM_STREAM, sizeof(*cfg));
    if (cfg == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    cfg->rate[PE_RATE_READ] = read_rate;
    cfg->burst[PE_RATE_READ] = read_burst;
    cfg->rate[PE_RATE_WRITE] = write_rate;
    cfg->burst[PE_RATE_WRITE] = write_burst;
    cfg->tick_ns = tick_ns;
    cfg->refs = 1;
    return cfg;
}

void ev_token_bucket_cfg_free(struct ev_token_bucket_cfg *cfg) {
    if (cfg != NULL && --cfg->refs == 0)
        pe_free(PE_MEM_STREAM, cfg);
}

/* --- buckets -------------------------------------------------------------- */

void pe_bucket_init(struct pe_bucket *b, const struct ev_token_bucket_cfg *cfg) {
    b->origin_ns = pe_clock_now();
    b->tick = 0;
    for (int dir = 0; dir < PE_RATE_DIRS; dir++)
        b->left[dir] = (ev_ssize_t)cfg->rate[dir];
}

void pe_bucket_change(struct pe_bucket *b, const struct ev_token_bucket_cfg *cfg) {
    b->origin_ns = pe_clock_now();
    b->tick = 0;
    for (int dir = 0; dir < PE_RATE_DIRS; dir++) {
        if (b->left[dir] > (ev_ssize_t)cfg->burst[dir])
            b->left[dir] = (ev_ssize_t)cfg->burst[dir];
    }
}

/* `left` after `ticks` > 0 more ticks. The room is computed without signs: it can be
 * twice what fits in the type. */
static ev_ssize_t filled(ev_ssize_t left, int64_t ticks, size_t rate, size_t burst) {
    uint64_t room = (uint64_t)burst - (uint64_t)left;

    if (left >= (ev_ssize_t)burst || (uint64_t)ticks > room / rate)
        return (ev_ssize_t)burst;
    return (ev_ssize_t)((uint64_t)left + (uint64_t)ticks * rate);
}

void pe_bucket_fill(struct pe_bucket *b, const struct ev_token_bucket_cfg *cfg) {
    int64_t tick = (pe_clock_now() - b->origin_ns) / cfg->tick_ns;

    if (tick <= b->tick)
        return;
    for (int dir = 0; dir < PE_RATE_DIRS; dir++)
        b->left[dir] = filled(b->left[dir], tick - b->tick, cfg->rate[dir], cfg->burst[dir]);
    b->tick = tick;
}

void pe_bucket_take(struct pe_bucket *b, enum pe_rate_dir dir, ev_ssize_t n) {
    if (__builtin_sub_overflow(b->left[dir], n, &b->left[dir]))
        b->left[dir] = n > 0 ? EV_SSIZE_MIN : EV_SSIZE_MAX;
}

int64_t pe_bucket_due(const struct pe_bucket *b, const struct ev_token_bucket_cfg *cfg,
                      enum pe_rate_dir dir) {
    uint64_t need = (uint64_t)1 - (uint64_t)b->left[dir];
    uint64_t ticks = (need - 1) / cfg->rate[dir] + 1;
    int64_t wait_ns;

    if (ticks > INT64_MAX || __builtin_mul_overflow((int64_t)ticks, cfg->tick_ns, &wait_ns) ||
        wait_ns > PE_CLOCK_MAX_NS)
        wait_ns = PE_CLOCK_MAX_NS;
    return b->origin_ns + b->tick * cfg->tick_ns + wait_ns;
}

/* --- of a bufferevent ----------------------------------------------------- */

static void fire(struct event_base *base, struct pe_timer *timer);

struct pe_rate *pe_rate_of(struct bufferevent *bev) {
    struct pe_bev_extras *extras = pe_bev_extras(bev);
    struct pe_rate *r;

    if (extras == NULL || extras->rate != NULL)
        return extras != NULL ? extras->rate : NULL;
    r = pe_calloc(PE_MEM_STREAM, 1, sizeof(*r));
    if (r == NULL)
        return NULL;
    r->bev = bev;
    pe_timer_init(&r->timer, fire);
    pe_list_init(&r->of_group);
    extras->rate = r;
    return r;
}

bool pe_rate_holds(const struct pe_rate *r) {
    return r != NULL && pe_timer_is_set(&r->timer);
}

void pe_rate_stop(struct pe_rate *r) {
    if (r == NULL)
        return;
    if (r->bev->base != NULL)
        pe_timer_cancel(r->bev->base, &r->timer);
    pe_rate_group_leave(r);
}

void pe_rate_free(struct pe_rate *r) {
    if (r == NULL)
        return;
    pe_rate_group_leave(r);
    ev_token_bucket_cfg_free(r->cfg);
    pe_free(PE_MEM_STREAM, r);
}

static bool is_empty(const struct pe_rate *r, enum pe_rate_dir dir) {
    return r->cfg != NULL && r->bucket.left[dir] <= 0;
}

/* Have the timer fire when the first of the empty buckets is due, if one is. */
static int set_timer(struct pe_rate *r) {
    int64_t due = INT64_MAX;

    for (int dir = 0; dir < PE_RATE_DIRS; dir++) {
        if (is_empty(r, dir)) {
            int64_t then = pe_bucket_due(&r->bucket, r->cfg, dir);

            due = then < due ? then : due;
        }
    }
    if (due != INT64_MAX)
        return pe_timer_set(r->bev->base, &r->timer, due);
    pe_timer_cancel(r->bev->base, &r->timer);
    return 0;
}

/* Block what has an empty bucket, and let the other direction go on. The latter may
 * call out, and `r` be gone after it. */
static void apply(struct pe_rate *r) {
    struct bufferevent *bev = r->bev;
    short empty = 0;
    int err;

    if (bev->is_detached || bev->base == NULL)
        return;
    for (int dir = 0; dir < PE_RATE_DIRS; dir++)
        empty |= is_empty(r, dir) ? pe_rate_event(dir) : 0;
    err = set_timer(r);
    if (err < 0)
        pe_bev_fail(bev, err);
    if (empty != 0)
        pe_bev_block(bev, empty, PE_BLOCK_RATE);
    if (empty != (EV_READ | EV_WRITE))
        pe_bev_unblock(bev, (short)((EV_READ | EV_WRITE) & ~empty), PE_BLOCK_RATE);
}

static void fire(struct event_base *base, struct pe_timer *timer) {
    struct pe_rate *r = pe_container(timer, struct pe_rate, timer);

    (void)base;
    pe_bucket_fill(&r->bucket, r->cfg);
    apply(r);
}

size_t pe_rate_cut(struct pe_rate *r, enum pe_rate_dir dir, size_t max) {
    if (r->cfg != NULL) {
        pe_bucket_fill(&r->bucket, r->cfg);
        if (is_empty(r, dir))
            return 0;
        if ((size_t)r->bucket.left[dir] < max)
            max = (size_t)r->bucket.left[dir];
    }
    return r->group != NULL ? pe_rate_group_cut(r, dir, max) : max;
}

void pe_rate_took(struct pe_rate *r, enum pe_rate_dir dir, size_t n) {
    if (r->group != NULL)
        pe_rate_group_took(r, dir, n);
    if (r->cfg == NULL)
        return;
    pe_bucket_take(&r->bucket, dir, (ev_ssize_t)n);
    if (is_empty(r, dir))
        apply(r);
}

/* --- the public functions of one bufferevent ------------------------------ */

static void remove_limit(struct pe_rate *r) {
    struct ev_token_bucket_cfg *old = r->cfg;

    r->cfg = NULL;
    ev_token_bucket_cfg_free(old);
    apply(r);
}

int bufferevent_set_rate_limit(struct bufferevent *bev, struct ev_token_bucket_cfg *cfg) {
    struct pe_rate *r = bev->extras != NULL ? bev->extras->rate : NULL;

    if (bev->is_detached || bev->base == NULL)
        return pe_fail(-EINVAL);
    if (cfg == (r != NULL ? r->cfg : NULL))
        return 0;
    if (cfg == NULL) {
        remove_limit(r);
        return 0;
    }
    r = pe_rate_of(bev);
    if (r == NULL)
        return pe_fail(-ENOMEM);
    cfg->refs++;
    if (r->cfg == NULL)
        pe_bucket_init(&r->bucket, cfg);
    else
        pe_bucket_change(&r->bucket, cfg);
    ev_token_bucket_cfg_free(r->cfg);
    r->cfg = cfg;
    apply(r);
    return 0;
}

const struct ev_token_bucket_cfg *bufferevent_get_token_bucket_cfg(const struct bufferevent *bev) {
    return bev->extras != NULL && bev->extras->rate != NULL ? bev->extras->rate->cfg : NULL;
}

static ev_ssize_t limit_of(struct bufferevent *bev, enum pe_rate_dir dir) {
    struct pe_rate *r = bev->extras != NULL ? bev->extras->rate : NULL;

    if (r == NULL || r->cfg == NULL)
        return EV_SSIZE_MAX;
    pe_bucket_fill(&r->bucket, r->cfg);
    return r->bucket.left[dir];
}

ev_ssize_t bufferevent_get_read_limit(struct bufferevent *bev) {
    return limit_of(bev, PE_RATE_READ);
}

ev_ssize_t bufferevent_get_write_limit(struct bufferevent *bev) {
    return limit_of(bev, PE_RATE_WRITE);
}

static ev_ssize_t max_of(struct bufferevent *bev, enum pe_rate_dir dir, ev_ssize_t single) {
    if (bev->extras == NULL || bev->extras->rate == NULL)
        return single;
    return (ev_ssize_t)pe_rate_cut(bev->extras->rate, dir, (size_t)single);
}

ev_ssize_t bufferevent_get_max_to_read(struct bufferevent *bev) {
    return max_of(bev, PE_RATE_READ, bufferevent_get_max_single_read(bev));
}

ev_ssize_t bufferevent_get_max_to_write(struct bufferevent *bev) {
    return max_of(bev, PE_RATE_WRITE, bufferevent_get_max_single_write(bev));
}

static int decrement(struct bufferevent *bev, enum pe_rate_dir dir, ev_ssize_t decr) {
    struct pe_rate *r = bev->extras != NULL ? bev->extras->rate : NULL;

    if (r == NULL || r->cfg == NULL)
        return pe_fail(-EINVAL);
    pe_bucket_fill(&r->bucket, r->cfg);
    pe_bucket_take(&r->bucket, dir, decr);
    apply(r);
    return 0;
}

int bufferevent_decrement_read_limit(struct bufferevent *bev, ev_ssize_t decr) {
    return decrement(bev, PE_RATE_READ, decr);
}

int bufferevent_decrement_write_limit(struct bufferevent *bev, ev_ssize_t decr) {
    return decrement(bev, PE_RATE_WRITE, decr);
}
