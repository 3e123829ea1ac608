/* marks.c - how much a bufferevent holds: the marks of a program, and limits.
 *
 *     input  >= high mark, or full     reading is blocked until some is taken
 *     output > `pause_high`            reading is blocked until `pause_low` is reached
 *
 * The limits guard a program that thinks of no bound itself: a high mark takes the place
 * of `input_max`. What is at a high mark waits for ever if need be; a full input of
 * which the read callback takes nothing is an error, because no more input will come to
 * call it again.
 *
 * Design notes
 *
 * 1. Without limits `bev->limits` is NULL, and nothing here is called. The common ones are
 *    one constant; others are in `extras`. A bound that is not set is SIZE_MAX.
 * 2. An input without marks has no hook, so that taking a line costs no call. It gets one
 *    when it is found full, by who has read into it (pe_bev_tell_input), and loses it
 *    when some is taken.
 * 3. The output is looked at before reading only: a bufferevent that is never read from
 *    is never paused. The hook of the output, which there is always, lets it go on.
 * 4. A full input that is read from again, after the program has enabled reading or
 *    another reason is gone, calls back once more, from the loop.
 */
#include <errno.h>
#include <stdint.h>

#include "base/errors.h"
#include "base/list.h"
#include "stream/bufferevent.h"
#include "stream/extras.h"

/* Those of connections that were accepted, and of those that are made here. */
static const struct pe_bev_limits common_limits[] = {
    {PE_INPUT_MAX, PE_PAUSE_HIGH, PE_PAUSE_LOW}, {PE_INPUT_MAX, SIZE_MAX, 0}};

/* --- the input ------------------------------------------------------------- */

static bool is_at_mark(const struct bufferevent *bev) {
    return bev->read_high != 0 && pe_evbuffer_len(&bev->input) >= bev->read_high;
}

static void input_changed(struct evbuffer *buf, size_t added, size_t removed);

/* Hold reading, or let it go on, as the input demands. May call out, last. */
static void update_input(struct bufferevent *bev) {
    bool is_full = pe_bev_is_full(bev);
    unsigned held = (is_at_mark(bev) ? PE_BLOCK_MARK : 0) | (is_full ? PE_BLOCK_FULL : 0);

    bev->input.hook = bev->read_high != 0 || is_full ? input_changed : NULL;
    if (held != 0)
        pe_bev_block(bev, EV_READ, held);
    pe_bev_unblock(bev, EV_READ, (PE_BLOCK_MARK | PE_BLOCK_FULL) & ~held);
}

/* Of an input with a high mark, or that was full. */
static void input_changed(struct evbuffer *buf, size_t added, size_t removed) {
    struct bufferevent *bev = pe_container(buf, struct bufferevent, input);

    (void)added;
    /* More than the mark allows can come out of a filter. No read will call back
     * while that is so: having taken some must. */
    if (removed != 0 && (is_at_mark(bev) || pe_bev_is_full(bev)) && bev->base != NULL)
        pe_bev_run_read(bev, BEV_TRIG_DEFER_CALLBACKS);
    update_input(bev);
}

void bufferevent_setwatermark(struct bufferevent *bev, short events, size_t lowmark,
                              size_t highmark) {
    if (events & EV_WRITE) {
        bev->write_low = lowmark;
        bev->write_high = highmark;
    }
    if (events & EV_READ) {
        bev->read_low = lowmark;
        bev->read_high = highmark;
        update_input(bev);
    }
}

int bufferevent_getwatermark(struct bufferevent *bev, short events, size_t *lowmark,
                             size_t *highmark) {
    if (events != EV_READ && events != EV_WRITE)
        return pe_fail(-EINVAL);
    if (lowmark != NULL)
        *lowmark = events == EV_READ ? bev->read_low : bev->write_low;
    if (highmark != NULL)
        *highmark = events == EV_READ ? bev->read_high : bev->write_high;
    return 0;
}

/* --- a full input ---------------------------------------------------------- */

/* Whether reading would go on if the input were not full. */
static bool wants_more(const struct bufferevent *bev) {
    return (bev->enabled & EV_READ) && (bev->read_blocked & ~(unsigned)PE_BLOCK_FULL) == 0;
}

void pe_bev_check_full(struct bufferevent *bev, int options) {
    if (!pe_bev_is_full(bev) || !wants_more(bev) || bev->is_detached || bev->base == NULL)
        return;
    if ((bev->pending & EV_READ) || bev->eventcb == NULL)
        return; /* its callback has yet to run; or there is nobody to be told */
    (void)bufferevent_disable(bev, EV_READ);
    pe_bev_run_event(bev, BEV_EVENT_READING | BEV_EVENT_ERROR, ENOBUFS, options);
}

void pe_bev_tell_input(struct bufferevent *bev, int options) {
    if (bev->is_detached)
        return;
    if (pe_bev_is_full(bev) && !(bev->read_blocked & PE_BLOCK_FULL))
        update_input(bev);
    if (pe_evbuffer_len(&bev->input) >= bev->read_low && bev->readcb != NULL)
        pe_bev_run_read(bev, options);
    else
        pe_bev_check_full(bev, options);
}

void pe_bev_ask_again(struct bufferevent *bev) {
    if (pe_bev_is_full(bev) && wants_more(bev) && bev->base != NULL)
        pe_bev_tell_input(bev, BEV_TRIG_DEFER_CALLBACKS);
}

bool pe_bev_is_at_limit(struct bufferevent *bev) {
    if (pe_evbuffer_len(&bev->output) > bev->limits->pause_high && !bev->is_broken) {
        pe_bev_block(bev, EV_READ, PE_BLOCK_OUTPUT);
        return true;
    }
    if (!pe_bev_is_full(bev))
        return false;
    pe_bev_ask_again(bev);
    return true;
}

/* --- setting them ------------------------------------------------------------ */

static struct pe_bev_limits limits_of(const struct bufferevent *bev) {
    static const struct pe_bev_limits none = {SIZE_MAX, SIZE_MAX, 0};

    return bev->limits != NULL ? *bev->limits : none;
}

static bool are_same(const struct pe_bev_limits *a, const struct pe_bev_limits *b) {
    return a->input_max == b->input_max && a->pause_high == b->pause_high &&
           a->pause_low == b->pause_low;
}

/* The constant that says the same; NULL: there is none. */
static const struct pe_bev_limits *find_common(const struct pe_bev_limits *limits) {
    for (size_t i = 0; i < sizeof(common_limits) / sizeof(*common_limits); i++) {
        if (are_same(limits, &common_limits[i]))
            return &common_limits[i];
    }
    return NULL;
}

static int set_limits(struct bufferevent *bev, struct pe_bev_limits limits) {
    const struct pe_bev_limits *common = find_common(&limits);

    if (bev->is_detached)
        return -EINVAL;
    if (limits.input_max == SIZE_MAX && limits.pause_high == SIZE_MAX) {
        bev->limits = NULL;
    } else if (common != NULL) {
        bev->limits = common;
    } else {
        struct pe_bev_extras *extras = pe_bev_extras(bev);

        if (extras == NULL)
            return -ENOMEM;
        extras->limits = limits;
        bev->limits = &extras->limits;
    }
    pe_bev_hold(bev);
    if (pe_bev_may_resume(bev) && (bev->read_blocked & PE_BLOCK_OUTPUT))
        pe_bev_unblock(bev, EV_READ, PE_BLOCK_OUTPUT);
    if (!bev->is_detached)
        update_input(bev);
    pe_bev_drop(bev);
    return 0;
}

/* As the program says it: 0 is no bound. 0 or a negative errno. */
static int set_pause(struct pe_bev_limits *limits, size_t high, size_t low) {
    if (high != 0 && low > high)
        return -EINVAL;
    limits->pause_high = high != 0 ? high : SIZE_MAX;
    limits->pause_low = high != 0 ? low : 0;
    return 0;
}

int pe_bev_set_limits(struct bufferevent *bev, size_t input_max, size_t pause_high,
                      size_t pause_low) {
    struct pe_bev_limits limits = {.input_max = input_max != 0 ? input_max : SIZE_MAX};
    int err = set_pause(&limits, pause_high, pause_low);

    return err < 0 ? err : set_limits(bev, limits);
}

int bufferevent_set_input_max(struct bufferevent *bev, size_t max) {
    struct pe_bev_limits limits = limits_of(bev);
    int err;

    limits.input_max = max != 0 ? max : SIZE_MAX;
    err = set_limits(bev, limits);
    return err < 0 ? pe_fail(err) : 0;
}

size_t bufferevent_get_input_max(const struct bufferevent *bev) {
    size_t max = limits_of(bev).input_max;

    return max != SIZE_MAX ? max : 0;
}

int bufferevent_set_output_pause(struct bufferevent *bev, size_t high, size_t low) {
    struct pe_bev_limits limits = limits_of(bev);
    int err = set_pause(&limits, high, low);

    if (err == 0)
        err = set_limits(bev, limits);
    return err < 0 ? pe_fail(err) : 0;
}

void bufferevent_get_output_pause(const struct bufferevent *bev, size_t *high, size_t *low) {
    struct pe_bev_limits limits = limits_of(bev);

    if (high != NULL)
        *high = limits.pause_high != SIZE_MAX ? limits.pause_high : 0;
    if (low != NULL)
        *low = limits.pause_low;
}
