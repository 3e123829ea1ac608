/* ratelimit.h - token buckets: how much a bufferevent, or a group, may move.
 *
 *     every tick: + rate, up to burst
 *                  |
 *                  v
 *              [ left ] --- what is read or written --->
 *
 * A bucket knows when it was filled last and is brought up to date when somebody looks:
 * nothing happens per tick while nobody is held up. A bufferevent whose bucket is
 * empty has that direction blocked (PE_BLOCK_RATE), and a timer for the tick
 * that will leave something in it. A group blocks all its members (PE_BLOCK_GROUP).
 * Ticks are counted from when the limits were set.
 *
 * `struct pe_rate` is what a limited bufferevent has behind `extras`: the bucket of its own
 * and its membership, either of them or both. Cost: one reading of the clock per read
 * or write of a limited bufferevent; when a group's bucket runs empty or is filled
 * again, O(members).
 */
#ifndef PE_STREAM_RATELIMIT_H
#define PE_STREAM_RATELIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event2/bufferevent.h"
#include "event2/event.h"
#include "event2/event_struct.h"

enum pe_rate_dir { PE_RATE_READ, PE_RATE_WRITE, PE_RATE_DIRS };

struct ev_token_bucket_cfg {
    size_t rate[PE_RATE_DIRS];  /* bytes per tick */
    size_t burst[PE_RATE_DIRS]; /* the most that is saved up */
    int64_t tick_ns;
    unsigned refs; /* the user's, and one per bufferevent */
};

struct pe_bucket {
    int64_t origin_ns; /* when tick 0 began */
    int64_t tick;      /* filled up to here */
    ev_ssize_t left[PE_RATE_DIRS];
};

static inline short pe_rate_event(enum pe_rate_dir dir) {
    return dir == PE_RATE_READ ? EV_READ : EV_WRITE;
}

/* With one tick's bytes in it. */
void pe_bucket_init(struct pe_bucket *b, const struct ev_token_bucket_cfg *cfg);

/* Under another configuration: keep what that one allows; ticks start anew. */
void pe_bucket_change(struct pe_bucket *b, const struct ev_token_bucket_cfg *cfg);

/* Add what is due by now. */
void pe_bucket_fill(struct pe_bucket *b, const struct ev_token_bucket_cfg *cfg);

/* Take `n` bytes out, put them in when it is negative. */
void pe_bucket_take(struct pe_bucket *b, enum pe_rate_dir dir, ev_ssize_t n);

/* When there will be something in an empty one. */
int64_t pe_bucket_due(const struct pe_bucket *b, const struct ev_token_bucket_cfg *cfg,
                      enum pe_rate_dir dir);

/* --- of a bufferevent ----------------------------------------------------- */

struct pe_rate {
    struct bufferevent *bev;
    struct ev_token_bucket_cfg *cfg; /* NULL: no limit of its own */
    struct pe_bucket bucket;
    struct pe_timer timer; /* when a blocked direction may go on */
    struct bufferevent_rate_limit_group *group;
    struct pe_link of_group; /* the one that took last is the last */
    bool has_read;           /* in this round of the group */
};

/* That of `bev`, made if need be; NULL when memory is out. */
struct pe_rate *pe_rate_of(struct bufferevent *bev);

/* The least of `max`, what its bucket holds and its share of the group's. */
size_t pe_rate_cut(struct pe_rate *r, enum pe_rate_dir dir, size_t max);

/* `n` bytes have been read or written. Blocks what has nothing left. */
void pe_rate_took(struct pe_rate *r, enum pe_rate_dir dir, size_t n);

/* Whether its own bucket holds a direction: then the base has its timer. May be NULL. */
bool pe_rate_holds(const struct pe_rate *r);

/* Its bufferevent is detached, or its memory goes: leave the group. May be NULL. */
void pe_rate_stop(struct pe_rate *r);
void pe_rate_free(struct pe_rate *r);

/* --- of a group ----------------------------------------------------------- */

/* As pe_rate_cut and pe_rate_took, for the group of `r`. */
size_t pe_rate_group_cut(struct pe_rate *r, enum pe_rate_dir dir, size_t max);
void pe_rate_group_took(struct pe_rate *r, enum pe_rate_dir dir, size_t n);

/* Out of its group, if it is in one; what the group blocked goes on. */
void pe_rate_group_leave(struct pe_rate *r);

/* For the Python layer: give the handle up without freeing the group under its members,
 * who keep it. */
void pe_rate_group_let_go(struct bufferevent_rate_limit_group *group);
size_t pe_rate_group_count(const struct bufferevent_rate_limit_group *group);

#endif
