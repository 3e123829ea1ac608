/* rategroup.c - one bucket for several bufferevents.
 *
 * Empty, it blocks that direction of every member; a timer, set only then, lets them
 * go on. Where little is to be had all get it in turn. For writing it is enough that
 * who has taken last goes on last. Who reads is up to the backend, which may always
 * name the same one first: those who have read in this round go on only when the
 * others have been asked, a turn later, and have left something. While members go
 * on, what one of them moves can empty the bucket again: the rest stay blocked and are
 * the first the next time.
 *
 * A member holds a reference: a group that its owner has let go lives on with them.
 */
#include <errno.h>

#include "base/errors.h"
#include "base/list.h"
#include "base/mem.h"
#include "stream/bufferevent.h"
#include "stream/context.h"
#include "stream/extras.h"
#include "stream/ratelimit.h"

#define DEFAULT_MIN_SHARE 64

struct bufferevent_rate_limit_group {
    struct event_base *base;        /* NULL: it was freed, and limits no more */
    struct ev_token_bucket_cfg cfg; /* a copy */
    struct pe_bucket bucket;
    struct pe_timer timer;
    struct pe_link of_base; /* in struct pe_stream_context */
    struct pe_link members; /* struct pe_rate.of_group */
    size_t count;
    size_t wanted_share; /* as it was set */
    ev_uint64_t totals[PE_RATE_DIRS];
    bool is_empty[PE_RATE_DIRS]; /* the members are blocked */
    struct pe_task asked;        /* runs when the kernel is asked for those who go on first; */
    struct pe_flush rest;        /* then lets the others go on, at the end of that turn */
    unsigned refs;
};

static void drop(struct bufferevent_rate_limit_group *group) {
    if (--group->refs != 0)
        return;
    if (group->base != NULL) {
        pe_timer_cancel(group->base, &group->timer);
        pe_task_cancel(group->base, &group->asked);
        pe_flush_cancel(group->base, &group->rest);
    }
    pe_list_remove(&group->rest.link);
    pe_list_remove(&group->of_base);
    pe_free(PE_MEM_STREAM, group);
}

/* --- blocking and going on ------------------------------------------------ */

static int set_timer(struct bufferevent_rate_limit_group *group) {
    int64_t due = INT64_MAX;

    for (int dir = 0; dir < PE_RATE_DIRS; dir++) {
        if (group->is_empty[dir]) {
            int64_t then = pe_bucket_due(&group->bucket, &group->cfg, dir);

            due = then < due ? then : due;
        }
    }
    if (due != INT64_MAX)
        return pe_timer_set(group->base, &group->timer, due);
    pe_timer_cancel(group->base, &group->timer);
    return 0;
}

/* Tell every member of a failure that leaves them blocked for ever. */
static void fail_all(struct bufferevent_rate_limit_group *group, int err) {
    for (struct pe_link *at = group->members.next; at != &group->members; at = at->next)
        pe_bev_fail(pe_container(at, struct pe_rate, of_group)->bev, err);
}

/* Blocking calls nobody: the list stays as it is. */
static void block_all(struct bufferevent_rate_limit_group *group, enum pe_rate_dir dir) {
    group->is_empty[dir] = true;
    for (struct pe_link *at = group->members.next; at != &group->members; at = at->next) {
        struct pe_rate *r = pe_container(at, struct pe_rate, of_group);

        pe_bev_block(r->bev, pe_rate_event(dir), PE_BLOCK_GROUP);
    }
}

/* The first member that the group holds in this direction, one that has read in this
 * round only if `any`; NULL: none. */
static struct pe_rate *first_blocked(struct bufferevent_rate_limit_group *group,
                                     enum pe_rate_dir dir, bool any) {
    for (struct pe_link *at = group->members.next; at != &group->members; at = at->next) {
        struct pe_rate *r = pe_container(at, struct pe_rate, of_group);
        unsigned held = dir == PE_RATE_READ ? r->bev->read_blocked : r->bev->write_blocked;

        if ((held & PE_BLOCK_GROUP) && (any || !r->has_read))
            return r;
    }
    return NULL;
}

/* May call out: members come and go meanwhile, and the bucket may be emptied. Who has
 * gone on is at the end of the list, so the first is mostly the one looked for. The
 * caller holds the group. */
static void unblock(struct bufferevent_rate_limit_group *group, enum pe_rate_dir dir, bool all) {
    struct pe_rate *r;

    group->is_empty[dir] = false;
    while (!group->is_empty[dir] && (r = first_blocked(group, dir, all)) != NULL) {
        pe_list_remove(&r->of_group);
        pe_list_push_back(&group->members, &r->of_group);
        pe_bev_unblock(r->bev, pe_rate_event(dir), PE_BLOCK_GROUP);
    }
}

static void begin_round(struct bufferevent_rate_limit_group *group) {
    for (struct pe_link *at = group->members.next; at != &group->members; at = at->next)
        pe_container(at, struct pe_rate, of_group)->has_read = false;
}

/* Those who have not read in this round first. The others follow at the end of the turn
 * that asks the kernel for those. */
static void go_on_reading(struct bufferevent_rate_limit_group *group) {
    if (first_blocked(group, PE_RATE_READ, false) == NULL)
        begin_round(group);
    unblock(group, PE_RATE_READ, false);
    if (group->base == NULL || first_blocked(group, PE_RATE_READ, true) == NULL)
        return;
    pe_task_activate_later(group->base, &group->asked, 0);
}

static void run_asked(struct event_base *base, struct pe_task *task) {
    pe_flush_add(base,
                 &pe_container(task, struct bufferevent_rate_limit_group, asked)->rest);
}

static void run_rest(struct event_base *base, struct pe_flush *item) {
    struct bufferevent_rate_limit_group *group =
        pe_container(item, struct bufferevent_rate_limit_group, rest);

    (void)base;
    if (group->is_empty[PE_RATE_READ])
        return;
    group->refs++;
    begin_round(group);
    unblock(group, PE_RATE_READ, true);
    drop(group);
}

/* In a forked child: who let the members go on may have stopped half-way. The timer
 * does it again. */
void pe_rate_group_mend(struct pe_link *of_base) {
    struct bufferevent_rate_limit_group *group =
        pe_container(of_base, struct bufferevent_rate_limit_group, of_base);
    bool goes_on = false;

    for (int dir = 0; dir < PE_RATE_DIRS; dir++) {
        if (first_blocked(group, dir, true) != NULL)
            goes_on = group->is_empty[dir] = true;
    }
    if (goes_on && pe_timer_set(group->base, &group->timer, pe_base_now(group->base)) < 0)
        fail_all(group, -ENOMEM);
}

/* The bucket has changed. */
static void apply(struct bufferevent_rate_limit_group *group) {
    bool goes_on[PE_RATE_DIRS] = {false, false};
    int err;

    if (group->base == NULL)
        return;
    for (int dir = 0; dir < PE_RATE_DIRS; dir++) {
        bool is_empty = group->bucket.left[dir] <= 0;

        if (is_empty && !group->is_empty[dir])
            block_all(group, dir);
        goes_on[dir] = !is_empty && group->is_empty[dir];
        group->is_empty[dir] = is_empty;
    }
    err = set_timer(group);
    if (err < 0)
        fail_all(group, err);
    group->refs++;
    if (goes_on[PE_RATE_READ] && group->bucket.left[PE_RATE_READ] > 0)
        go_on_reading(group);
    if (goes_on[PE_RATE_WRITE] && group->bucket.left[PE_RATE_WRITE] > 0)
        unblock(group, PE_RATE_WRITE, true);
    drop(group);
}

static void fire(struct event_base *base, struct pe_timer *timer) {
    struct bufferevent_rate_limit_group *group =
        pe_container(timer, struct bufferevent_rate_limit_group, timer);

    (void)base;
    pe_bucket_fill(&group->bucket, &group->cfg);
    apply(group);
}

/* The members of this base are orphaned by now; those of others go on without limit. */
void pe_rate_group_orphan(struct pe_link *of_base) {
    struct bufferevent_rate_limit_group *group =
        pe_container(of_base, struct bufferevent_rate_limit_group, of_base);

    pe_task_cancel(group->base, &group->asked);
    group->base = NULL;
    group->refs++;
    for (int dir = 0; dir < PE_RATE_DIRS; dir++)
        unblock(group, dir, true);
    drop(group);
}

/* --- for members ---------------------------------------------------------- */

static size_t min_share(const struct bufferevent_rate_limit_group *group) {
    size_t share = group->wanted_share;

    for (int dir = 0; dir < PE_RATE_DIRS; dir++)
        share = group->cfg.rate[dir] < share ? group->cfg.rate[dir] : share;
    return share != 0 ? share : 1; /* or a thousand members would share one byte for ever */
}

size_t pe_rate_group_cut(struct pe_rate *r, enum pe_rate_dir dir, size_t max) {
    struct bufferevent_rate_limit_group *group = r->group;
    size_t share, least = min_share(group);

    if (group->base == NULL)
        return max;
    pe_bucket_fill(&group->bucket, &group->cfg);
    if (group->bucket.left[dir] <= 0)
        return 0;
    share = (size_t)group->bucket.left[dir] / group->count;
    share = share < least ? least : share;
    return share < max ? share : max;
}

void pe_rate_group_took(struct pe_rate *r, enum pe_rate_dir dir, size_t n) {
    struct bufferevent_rate_limit_group *group = r->group;

    group->totals[dir] += n;
    if (dir == PE_RATE_READ)
        r->has_read = true;
    pe_list_remove(&r->of_group);
    pe_list_push_back(&group->members, &r->of_group);
    pe_bucket_take(&group->bucket, dir, (ev_ssize_t)n);
    if (group->bucket.left[dir] <= 0 && !group->is_empty[dir])
        apply(group);
}

void pe_rate_group_leave(struct pe_rate *r) {
    struct bufferevent_rate_limit_group *group = r->group;

    if (group == NULL)
        return;
    r->group = NULL;
    pe_list_remove(&r->of_group);
    group->count--;
    drop(group);
    if (!r->bev->is_detached)
        pe_bev_unblock(r->bev, EV_READ | EV_WRITE, PE_BLOCK_GROUP);
}

/* --- the public functions ------------------------------------------------- */

struct bufferevent_rate_limit_group *
bufferevent_rate_limit_group_new(struct event_base *base, const struct ev_token_bucket_cfg *cfg) {
    struct pe_stream_context *context = base != NULL && cfg != NULL ? pe_stream_context_of(base) : NULL;
    struct bufferevent_rate_limit_group *group;

    group = context != NULL ? pe_calloc(PE_MEM_STREAM, 1, sizeof(*group)) : NULL;
    if (group == NULL) {
        errno = base == NULL || cfg == NULL ? EINVAL : ENOMEM;
        return NULL;
    }
    group->base = base;
    group->cfg = *cfg;
    pe_bucket_init(&group->bucket, cfg);
    pe_timer_init(&group->timer, fire);
    pe_flush_init(&group->rest, run_rest);
    pe_task_init(&group->asked, run_asked, 0);
    group->asked.state = EVLIST_INTERNAL; /* no callback that EVLOOP_ONCE waits for */
    pe_list_init(&group->members);
    pe_list_push_back(&context->groups, &group->of_base);
    group->wanted_share = DEFAULT_MIN_SHARE;
    group->refs = 1;
    return group;
}

void bufferevent_rate_limit_group_free(struct bufferevent_rate_limit_group *group) {
    if (group == NULL)
        return;
    while (!pe_list_empty(&group->members))
        pe_rate_group_leave(pe_container(group->members.next, struct pe_rate, of_group));
    drop(group);
}

void pe_rate_group_let_go(struct bufferevent_rate_limit_group *group) {
    drop(group);
}

size_t pe_rate_group_count(const struct bufferevent_rate_limit_group *group) {
    return group->count;
}

int bufferevent_rate_limit_group_set_cfg(struct bufferevent_rate_limit_group *group,
                                         const struct ev_token_bucket_cfg *cfg) {
    if (group == NULL || cfg == NULL)
        return pe_fail(-EINVAL);
    pe_bucket_fill(&group->bucket, &group->cfg);
    group->cfg = *cfg;
    pe_bucket_change(&group->bucket, cfg);
    apply(group);
    return 0;
}

int bufferevent_rate_limit_group_set_min_share(struct bufferevent_rate_limit_group *group,
                                               size_t share) {
    if (share > EV_SSIZE_MAX)
        return pe_fail(-EINVAL);
    group->wanted_share = share;
    return 0;
}

int bufferevent_add_to_rate_limit_group(struct bufferevent *bev,
                                        struct bufferevent_rate_limit_group *group) {
    struct pe_rate *r;

    if (group == NULL)
        return bufferevent_remove_from_rate_limit_group(bev);
    if (bev->is_detached || bev->base == NULL)
        return pe_fail(-EINVAL);
    r = pe_rate_of(bev);
    if (r == NULL)
        return pe_fail(-ENOMEM);
    if (r->group == group)
        return 0;
    group->refs++; /* leaving another one may call out */
    pe_bev_hold(bev);
    pe_rate_group_leave(r);
    if (bev->is_detached || r->group != NULL) {
        drop(group);
        pe_bev_drop(bev);
        return pe_fail(-EINVAL);
    }
    r->group = group;
    group->count++;
    pe_list_push_back(&group->members, &r->of_group);
    for (int dir = 0; dir < PE_RATE_DIRS; dir++) {
        if (group->is_empty[dir])
            pe_bev_block(bev, pe_rate_event(dir), PE_BLOCK_GROUP);
    }
    pe_bev_drop(bev);
    return 0;
}

int bufferevent_remove_from_rate_limit_group(struct bufferevent *bev) {
    if (bev->extras != NULL && bev->extras->rate != NULL)
        pe_rate_group_leave(bev->extras->rate);
    return 0;
}

static ev_ssize_t limit_of(struct bufferevent_rate_limit_group *group, enum pe_rate_dir dir) {
    pe_bucket_fill(&group->bucket, &group->cfg);
    return group->bucket.left[dir];
}

ev_ssize_t
bufferevent_rate_limit_group_get_read_limit(struct bufferevent_rate_limit_group *group) {
    return limit_of(group, PE_RATE_READ);
}

ev_ssize_t
bufferevent_rate_limit_group_get_write_limit(struct bufferevent_rate_limit_group *group) {
    return limit_of(group, PE_RATE_WRITE);
}

static int decrement(struct bufferevent_rate_limit_group *group, enum pe_rate_dir dir,
                     ev_ssize_t decr) {
    pe_bucket_fill(&group->bucket, &group->cfg);
    pe_bucket_take(&group->bucket, dir, decr);
    apply(group);
    return 0;
}

int bufferevent_rate_limit_group_decrement_read(struct bufferevent_rate_limit_group *group,
                                                ev_ssize_t decr) {
    return decrement(group, PE_RATE_READ, decr);
}

int bufferevent_rate_limit_group_decrement_write(struct bufferevent_rate_limit_group *group,
                                                 ev_ssize_t decr) {
    return decrement(group, PE_RATE_WRITE, decr);
}

void bufferevent_rate_limit_group_get_totals(struct bufferevent_rate_limit_group *group,
                                             ev_uint64_t *total_read_out,
                                             ev_uint64_t *total_written_out) {
    if (total_read_out != NULL)
        *total_read_out = group->totals[PE_RATE_READ];
    if (total_written_out != NULL)
        *total_written_out = group->totals[PE_RATE_WRITE];
}

void bufferevent_rate_limit_group_reset_totals(struct bufferevent_rate_limit_group *group) {
    for (int dir = 0; dir < PE_RATE_DIRS; dir++)
        group->totals[dir] = 0;
}
