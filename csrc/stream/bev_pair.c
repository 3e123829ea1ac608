/* bev_pair.c - two bufferevents in one process, each the other's peer.
 *
 *     a: [output] ---- moved, O(1) ----> [input] :b
 *     a: [input]  <--- moved, O(1) ----- [output] :b
 *
 * Bytes move when they are added, or when the other end begins to read; no system
 * call takes part. Callbacks are always deferred: who writes is not called back
 * from within, and two ends that answer each other cannot recurse.
 *
 * "Would block" means that the other end does not read, or is gone. What a limit on one
 * move leaves goes on at the end of the turn.
 *
 * Moving tells the evbuffer callbacks of both buffers, which may do anything: both
 * ends are held meanwhile.
 */
#include <errno.h>

#include "base/errors.h"
#include "base/list.h"
#include "stream/bufferevent.h"
#include "stream/extras.h"

struct bev_pair {
    struct bufferevent bev;
    struct bev_pair *partner; /* NULL: freed */
};

static const struct pe_bev_ops pair_ops;

static struct bev_pair *pair_of(struct bufferevent *bev) {
    return pe_container(bev, struct bev_pair, bev);
}

/* Move up to `max` bytes, and have both ends told. */
static void move(struct bufferevent *from, struct bufferevent *to, size_t max) {
    ssize_t n = pe_evbuffer_move(&to->input, &from->output, max);

    if (n < 0)
        pe_bev_fail(from, (int)n);
    if (n <= 0)
        return;
    pe_bev_did_write(from, (size_t)n);
    pe_bev_did_read(to, (size_t)n);
    pe_bev_tell_input(to, BEV_TRIG_DEFER_CALLBACKS);
    if (pe_evbuffer_len(&from->output) <= from->write_low)
        pe_bev_run_write(from, BEV_TRIG_DEFER_CALLBACKS);
}

/* Note whether what is left must wait for the other end. */
static void settle(struct bev_pair *p) {
    struct bufferevent *bev = &p->bev;
    int err;

    if (bev->is_detached || bev->base == NULL)
        return;
    bev->would_block = pe_evbuffer_len(&bev->output) != 0 &&
                      (p->partner == NULL || !pe_bev_reads(&p->partner->bev));
    err = pe_bev_update_timers(bev);
    if (err < 0)
        pe_bev_fail(bev, err);
    if (pe_bev_can_send(bev))
        pe_flush_add(bev->base, &bev->flush);
}

/* Whether an end reads now. */
static bool takes(struct bufferevent *to) {
    return pe_bev_reads(to) && (to->limits == NULL || !pe_bev_is_at_limit(to));
}

static void pair_send(struct bufferevent *bev) {
    struct bev_pair *from = pair_of(bev), *to = from->partner;
    size_t most, room;

    if (to != NULL && takes(&to->bev)) {
        most = pe_bev_write_max(bev);
        room = pe_bev_read_max(&to->bev);
        pe_bev_hold(&to->bev);
        move(bev, &to->bev, room < most ? room : most);
        pe_bev_drop(&to->bev);
    }
    settle(from);
}

static void send_if_any(struct bev_pair *p) {
    if (p == NULL)
        return;
    p->bev.would_block = false;
    if (!pe_bev_can_send(&p->bev))
        return;
    pe_bev_hold(&p->bev);
    pair_send(&p->bev);
    pe_bev_drop(&p->bev);
}

/* The caller holds `bev`. */
static int pair_enable(struct bufferevent *bev, short what) {
    if (what & EV_READ)
        send_if_any(pair_of(bev)->partner);
    if (what & EV_WRITE)
        send_if_any(pair_of(bev));
    return 0;
}

/* Who writes to an end that does not read finds out when there is something. */
static void pair_disable(struct bufferevent *bev, short what) {
    (void)bev;
    (void)what;
}

static void flush_to(struct bufferevent *from, struct bufferevent *to) {
    move(from, to, EV_SSIZE_MAX);
    settle(pair_of(from));
}

static int pair_flush(struct bufferevent *bev, short what, enum bufferevent_flush_mode mode) {
    struct bev_pair *partner = pair_of(bev)->partner;
    struct bufferevent *other;
    short end = BEV_EVENT_EOF;

    if (partner == NULL || mode == BEV_NORMAL)
        return 0;
    other = &partner->bev;
    pe_bev_hold(bev);
    pe_bev_hold(other);
    if (what & EV_READ)
        flush_to(other, bev);
    if ((what & EV_WRITE) && !bev->is_detached && !other->is_detached)
        flush_to(bev, other);
    if (what & EV_READ)
        end |= BEV_EVENT_WRITING;
    if (what & EV_WRITE)
        end |= BEV_EVENT_READING;
    if (mode == BEV_FINISHED && !other->is_detached) {
        other->is_at_end |= (what & EV_WRITE) != 0;
        pe_bev_run_event(other, end, 0, BEV_TRIG_DEFER_CALLBACKS);
    }
    pe_bev_drop(other);
    pe_bev_drop(bev);
    return 0;
}

static void pair_detach(struct bufferevent *bev) {
    struct bev_pair *partner = pair_of(bev)->partner;

    if (partner == NULL)
        return;
    pair_of(bev)->partner = NULL;
    partner->partner = NULL;
    settle(partner);
}

static int pair_ctl(struct bufferevent *bev, enum pe_bev_ctl op, union pe_bev_arg *arg) {
    (void)bev;
    (void)arg;
    if (op == PE_BEV_SET_PRIORITY)
        return 0; /* nothing of ours has one */
    return op == PE_BEV_IS_IDLE ? -EBUSY : -ENOSYS; /* its partner would stay behind */
}

static const struct pe_bev_ops pair_ops = {
    .type = "pair",
    .size = sizeof(struct bev_pair),
    .is_instant = true,
    .enable = pair_enable,
    .disable = pair_disable,
    .send = pair_send,
    .flush = pair_flush,
    .detach = pair_detach,
    .ctl = pair_ctl,
};

int bufferevent_pair_new(struct event_base *base, int options, struct bufferevent *pair[2]) {
    struct bufferevent *first, *second;

    if (base == NULL)
        return pe_fail(-EINVAL);
    options |= BEV_OPT_DEFER_CALLBACKS;
    first = pe_bev_new(&pair_ops, base, options);
    if (first == NULL)
        return pe_fail(-ENOMEM);
    second = pe_bev_new(&pair_ops, base, options);
    if (second == NULL) {
        bufferevent_free(first);
        return pe_fail(-ENOMEM);
    }
    pair_of(first)->partner = pair_of(second);
    pair_of(second)->partner = pair_of(first);
    pair[0] = first;
    pair[1] = second;
    return 0;
}

struct bufferevent *bufferevent_pair_get_partner(struct bufferevent *bev) {
    struct bev_pair *partner = bev->ops == &pair_ops ? pair_of(bev)->partner : NULL;

    return partner != NULL ? &partner->bev : NULL;
}
