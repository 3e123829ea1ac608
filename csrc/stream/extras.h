/* extras.h - what few bufferevents use, behind one pointer.
 *
 * Timeouts: each direction keeps when it last made progress. Its timer does not
 * move with every read; when it fires it looks, and is set anew if there was
 * progress meanwhile. So a timeout costs a busy connection one reading of the
 * clock per read, and the heap once per timeout. It is never early: progress is
 * noted with a fresh clock, not with the turn's.
 *
 * A fired timer calls nobody: it marks the direction as expired and has the
 * bufferevent's task run, in its priority and after the reads of the same turn,
 * which win over a timeout.
 */
#ifndef PE_STREAM_EXTRAS_H
#define PE_STREAM_EXTRAS_H

#include <sys/un.h>

#include "stream/bufferevent.h"

struct pe_connect_race;

struct pe_rate;

struct pe_bev_timeout {
    struct pe_timer timer;
    int64_t limit_ns; /* 0: none */
    int64_t last_ns;  /* when it last made progress, or began to wait */
};

struct pe_bev_extras {
    struct bufferevent *bev;
    struct pe_bev_timeout read, write;
    size_t max_read, max_write; /* 0: not set */
    struct pe_bev_limits limits; /* if they are not the common ones */

    struct pe_connect_race *race;     /* connect.c; NULL: none */
    struct sockaddr_un *path; /* peer.c: of a Unix socket; NULL: none */
    socklen_t path_len;

    bufferevent_data_cb high_cb; /* bufferevent_set_output_high */
    void *high_arg;
    size_t high;
    bool is_over_high; /* it has been told so */

    bool counts; /* somebody has asked for the statistics */
    struct bufferevent_stats stats;
    struct pe_rate *rate;       /* NULL: no limit, own or a group's */
};

/* That of `bev`, made if need be; NULL when memory is out. */
struct pe_bev_extras *pe_bev_extras(struct bufferevent *bev);

/* Start and stop the timers as the state of the directions demands: to be called
 * when that has changed. 0 or -ENOMEM. */
int pe_bev_update_timers(struct bufferevent *bev);

/* bev_filter.c: whether what has been filtered cannot go on somewhere below; false for what is
 * no filter. And: something below has been written, which is progress for those above. */
bool pe_filter_is_stuck(const struct bufferevent *bev);
void pe_filter_moved_below(struct bufferevent *under);

/* Which of the directions in bev->expired, which is cleared, have made no progress
 * for too long and wait still. The timers of the others are set again. */
short pe_bev_take_expired(struct bufferevent *bev);

/* Another system call that reads, or writes. */
static inline void pe_bev_count_call(struct bufferevent *bev, short what) {
    if (bev->extras == NULL || !bev->extras->counts)
        return;
    if (what == EV_READ)
        bev->extras->stats.reads++;
    else
        bev->extras->stats.writes++;
}

/* The output has changed in a bufferevent that `has_output_high`. May call out. */
void pe_bev_check_output_high(struct bufferevent *bev);

/* The bufferevent is detached, or freed: for both the pointer may be NULL. */
void pe_bev_extras_stop(struct bufferevent *bev);
void pe_bev_extras_free(struct bufferevent *bev);

#endif
