/* test_reentry.c - whatever a callback does to the bufferevent that a public function works on.
 *
 * Each case is a stack of bufferevents in some state, a public function, a callback that runs
 * in it or in the turns of the loop after it, and what that callback does there, once:
 * free it or its neighbours, close it, take it back, put a filter over it, free the base ...
 * A first run without doing anything shows which callbacks there are to try. What would be wrong is
 * found by the sanitizers, by the blocks left over, and by the deadline.
 */
#include "streams.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "stream/bufferevent.h"

/* --- the stacks -------------------------------------------------------------- */

enum kind { SOCKET, PAIR, FILTER_OF_SOCKET, FILTER_OF_PAIR, FILTER_OF_FILTER, KINDS };

enum state { READING, RESTING, AT_MARK, FULL, PAUSED, LIMITED, DEFERRED, STATES };

/* Where a callback can strike. */
enum point {
    INPUT, OUTPUT,             /* buffers of the one at the top */
    UNDER_INPUT, UNDER_OUTPUT, /* of the one beneath */
    FAR_INPUT, FAR_OUTPUT,     /* of the other end of the pair */
    READ, WRITE, EVENT, HIGH,
    FAR_READ, FAR_WRITE, FAR_EVENT,
    FILTER_IN, FILTER_OUT, CONTEXT,
    POINTS
};

#define MOST 4

struct world {
    struct event_base *base;
    struct bufferevent *top, *under, *far;
    struct bufferevent *extra; /* a filter that a callback has made */
    struct bufferevent *middle; /* of a filter of a filter */
    struct bufferevent_rate_limit_group *group;
    struct ev_token_bucket_cfg *cfg;
    struct evbuffer *buf;
    int fds[2];
    bool in_loop;

    unsigned seen; /* 1 << point: it was reached */
    int armed;     /* the point; -1: none */
    void (*strike)(struct world *w);
};

static struct world *now; /* the one that runs: callbacks of buffers outlive their argument */

static void reach(enum point point) {
    struct world *w = now;

    w->seen |= 1u << point;
    if (w->armed != (int)point)
        return;
    w->armed = -1;
    w->strike(w);
}

#define BUFFER_CALLBACK(name, point)                                                       \
    static void name(struct evbuffer *buf, const struct evbuffer_cb_info *info, void *arg) { \
        (void)buf;                                                                         \
        (void)info;                                                                        \
        (void)arg;                                                                         \
        reach(point);                                                                      \
    }
#define DATA_CALLBACK(name, point)                          \
    static void name(struct bufferevent *bev, void *arg) {  \
        (void)bev;                                          \
        (void)arg;                                          \
        reach(point);                                       \
    }
#define EVENT_CALLBACK(name, point)                                    \
    static void name(struct bufferevent *bev, short what, void *arg) { \
        (void)bev;                                                     \
        (void)what;                                                    \
        (void)arg;                                                     \
        reach(point);                                                  \
    }
#define FILTER_CALLBACK(name, point)                                                              \
    static enum bufferevent_filter_result name(struct evbuffer *src, struct evbuffer *dst,        \
                                               ev_ssize_t limit, enum bufferevent_flush_mode mode, \
                                               void *ctx) {                                       \
        (void)limit;                                                                              \
        (void)mode;                                                                               \
        (void)ctx;                                                                                \
        reach(point);                                                                             \
        return evbuffer_remove_buffer(src, dst, 3) > 0 ? BEV_OK : BEV_NEED_MORE;                  \
    }

BUFFER_CALLBACK(on_input, INPUT)
BUFFER_CALLBACK(on_output, OUTPUT)
BUFFER_CALLBACK(on_under_input, UNDER_INPUT)
BUFFER_CALLBACK(on_under_output, UNDER_OUTPUT)
BUFFER_CALLBACK(on_far_input, FAR_INPUT)
BUFFER_CALLBACK(on_far_output, FAR_OUTPUT)
DATA_CALLBACK(on_read, READ)
DATA_CALLBACK(on_write, WRITE)
DATA_CALLBACK(on_high, HIGH)
DATA_CALLBACK(on_far_read, FAR_READ)
DATA_CALLBACK(on_far_write, FAR_WRITE)
EVENT_CALLBACK(on_event, EVENT)
EVENT_CALLBACK(on_far_event, FAR_EVENT)
FILTER_CALLBACK(filter_in, FILTER_IN)
FILTER_CALLBACK(filter_out, FILTER_OUT)

static void on_context(void *ctx) {
    (void)ctx;
    reach(CONTEXT);
}

static void watch(struct bufferevent *bev, evbuffer_cb_func input, evbuffer_cb_func output) {
    CHECK(evbuffer_add_cb(bufferevent_get_input(bev), input, NULL) != NULL);
    CHECK(evbuffer_add_cb(bufferevent_get_output(bev), output, NULL) != NULL);
}

static void make_filter(struct world *w) {
    w->under = w->top;
    w->top = bufferevent_filter_new(w->under, filter_in, filter_out, 0, on_context, NULL);
    CHECK(w->top != NULL);
}

static void build(struct world *w, enum kind kind) {
    struct bufferevent *pair[2];

    w->base = event_base_new();
    w->cfg = ev_token_bucket_cfg_new(2, 2, 2, 2, NULL);
    w->buf = evbuffer_new();
    w->fds[0] = w->fds[1] = -1;
    if (kind == SOCKET || kind == FILTER_OF_SOCKET) {
        make_pair(w->fds);
        w->top = bufferevent_socket_new(w->base, w->fds[0], BEV_OPT_CLOSE_ON_FREE);
        send_text(w->fds[1], "abcdefgh");
    } else {
        CHECK_EQ(bufferevent_pair_new(w->base, 0, pair), 0);
        w->top = pair[0];
        w->far = pair[1];
        bufferevent_setcb(w->far, on_far_read, on_far_write, on_far_event, NULL);
        watch(w->far, on_far_input, on_far_output);
    }
    if (kind == FILTER_OF_SOCKET || kind == FILTER_OF_PAIR)
        make_filter(w);
    if (kind == FILTER_OF_FILTER) {
        make_filter(w);
        w->middle = w->under;
        make_filter(w);
    }
    if (w->under != NULL)
        watch(w->under, on_under_input, on_under_output);
    bufferevent_setcb(w->top, on_read, on_write, on_event, NULL);
    bufferevent_set_output_high(w->top, 2, on_high, NULL);
    watch(w->top, on_input, on_output);
}

static void put(struct bufferevent *bev) {
    if (bev != NULL)
        CHECK_EQ(bufferevent_write(bev, "abcdefgh", 8), 0);
}

static void run(struct world *w) {
    w->in_loop = true;
    for (int i = 0; i < 3 && w->base != NULL; i++)
        turn(w->base);
    w->in_loop = false;
}

/* Into the state, with something waiting on both sides. */
static void enter(struct world *w, enum state state) {
    if (w->far != NULL)
        bufferevent_enable(w->far, EV_READ);
    if (state == DEFERRED) {
        bufferevent_trigger(w->top, EV_READ | EV_WRITE, BEV_TRIG_DEFER_CALLBACKS);
        bufferevent_trigger_event(w->top, BEV_EVENT_EOF, BEV_TRIG_DEFER_CALLBACKS);
    }
    if (state == AT_MARK)
        bufferevent_setwatermark(w->top, EV_READ, 0, 2);
    if (state == FULL)
        CHECK_EQ(bufferevent_set_input_max(w->top, 2), 0);
    if (state == PAUSED)
        CHECK_EQ(bufferevent_set_output_pause(w->top, 2, 0), 0);
    if (state == LIMITED) {
        w->group = bufferevent_rate_limit_group_new(w->base, w->cfg);
        CHECK(w->group != NULL);
        CHECK_EQ(bufferevent_add_to_rate_limit_group(w->top, w->group), 0);
        CHECK_EQ(bufferevent_set_rate_limit(w->top, w->cfg), 0);
    }
    if (state == PAUSED)
        bufferevent_disable(w->under != NULL ? w->under : w->top, EV_WRITE);
    if (state != RESTING)
        bufferevent_enable(w->top, EV_READ);
    put(w->far);
    put(w->top);
    if (state != RESTING && state != DEFERRED)
        run(w);
    if (state == RESTING)
        bufferevent_disable(w->top, EV_WRITE);
}

static void free_one(struct bufferevent **bev) {
    struct bufferevent *old = *bev;

    *bev = NULL;
    if (old != NULL)
        bufferevent_free(old);
}

static void free_base(struct world *w) {
    struct event_base *base = w->base;

    w->base = NULL;
    if (base != NULL)
        event_base_free(base);
}

static void end(struct world *w) {
    w->armed = -1;
    free_one(&w->extra);
    free_one(&w->top);
    free_one(&w->under);
    free_one(&w->middle);
    free_one(&w->far);
    bufferevent_rate_limit_group_free(w->group);
    ev_token_bucket_cfg_free(w->cfg);
    evbuffer_free(w->buf);
    free_base(w);
    if (w->fds[1] >= 0)
        close(w->fds[1]);
}

/* --- what a callback does ------------------------------------------------------ */

static void strike_top(struct world *w) {
    free_one(&w->top);
}

static void strike_under(struct world *w) {
    free_one(w->under != NULL ? &w->under : &w->top);
}

static void strike_far(struct world *w) {
    free_one(w->far != NULL ? &w->far : &w->top);
}

static void strike_all(struct world *w) {
    free_one(&w->far);
    free_one(&w->under);
    free_one(&w->middle);
    free_one(&w->top);
}

static void strike_base(struct world *w) {
    if (!w->in_loop) /* which cannot go on without it */
        free_base(w);
}

static void strike_closing(struct world *w) {
    struct bufferevent *bev = w->top;

    if (bev == NULL)
        return;
    w->top = NULL; /* it frees itself, or goes with the base */
    if (bufferevent_close_after_flush(bev, NULL) < 0)
        bufferevent_free(bev);
}

static void strike_taking_back(struct world *w) {
    if (w->top == NULL)
        return;
    (void)bufferevent_close_after_flush(w->top, NULL);
    bufferevent_setcb(w->top, NULL, on_write, on_event, NULL);
    (void)bufferevent_disable(w->top, EV_READ | EV_WRITE);
    (void)bufferevent_replacefd(w->top, -1);
}

static void strike_over(struct world *w) {
    if (w->top != NULL && w->extra == NULL) {
        w->extra = bufferevent_filter_new(w->top, NULL, NULL, BEV_OPT_CLOSE_ON_FREE, NULL, NULL);
        if (w->extra != NULL)
            w->top = NULL; /* goes with it */
    }
    free_one(&w->under);
}

static void strike_inside(struct world *w) {
    if (w->top == NULL)
        return;
    put(w->far);
    (void)bufferevent_write(w->top, "xyz", 3);
    (void)evbuffer_drain(bufferevent_get_input(w->top), 100);
    (void)bufferevent_flush(w->top, EV_READ | EV_WRITE, BEV_FINISHED);
    (void)bufferevent_shutdown_write(w->top);
    free_one(&w->far);
}

static void (*const strikes[])(struct world *) = {
    strike_top,     strike_under,       strike_far,  strike_all,    strike_base,
    strike_closing, strike_taking_back, strike_over, strike_inside,
};

/* --- public functions ------------------------------------------------------------ */

#define OP(name, call)                                          \
    static void name(struct world *w, struct bufferevent *bev) { \
        (void)w;                                                \
        (void)bev;                                              \
        (void)(call);                                           \
    }

/* The number stays the program's. */
static int change_fd(struct bufferevent *bev) {
    int fd = bufferevent_getfd(bev);

    if (bufferevent_setfd(bev, -1) == 0 && fd >= 0)
        close(fd);
    return 0;
}

OP(op_none, 0)
OP(op_enable, bufferevent_enable(bev, EV_READ | EV_WRITE))
OP(op_enable_read, bufferevent_enable(bev, EV_READ))
OP(op_enable_write, bufferevent_enable(bev, EV_WRITE))
OP(op_disable, bufferevent_disable(bev, EV_READ | EV_WRITE))
OP(op_no_mark, (bufferevent_setwatermark(bev, EV_READ | EV_WRITE, 0, 0), 0))
OP(op_mark, (bufferevent_setwatermark(bev, EV_READ | EV_WRITE, 0, 5), 0))
OP(op_input_max, bufferevent_set_input_max(bev, 5))
OP(op_no_limits, pe_bev_set_limits(bev, 0, 0, 0))
OP(op_pause, bufferevent_set_output_pause(bev, 5, 5))
OP(op_flush, bufferevent_flush(bev, EV_READ | EV_WRITE, BEV_FLUSH))
OP(op_finish, bufferevent_flush(bev, EV_READ | EV_WRITE, BEV_FINISHED))
OP(op_finish_read, bufferevent_flush(bev, EV_READ, BEV_FINISHED))
OP(op_write, bufferevent_write(bev, "hello", 5))
OP(op_write_buffer, (evbuffer_add(w->buf, "hello", 5), bufferevent_write_buffer(bev, w->buf)))
OP(op_read, bufferevent_read(bev, (char[4]){0}, 4))
OP(op_read_buffer, bufferevent_read_buffer(bev, w->buf))
OP(op_drain, evbuffer_drain(bufferevent_get_input(bev), 1))
OP(op_prepend, evbuffer_prepend(bufferevent_get_input(bev), "abcdef", 6))
OP(op_trigger, (bufferevent_trigger(bev, EV_READ | EV_WRITE, BEV_TRIG_IGNORE_WATERMARKS), 0))
OP(op_trigger_event, (bufferevent_trigger_event(bev, BEV_EVENT_EOF, 0), 0))
OP(op_shutdown, bufferevent_shutdown_write(bev))
OP(op_setfd, change_fd(bev))
OP(op_replacefd, bufferevent_replacefd(bev, -1))
OP(op_limit, bufferevent_set_rate_limit(bev, w->cfg))
OP(op_no_limit, bufferevent_set_rate_limit(bev, NULL))
OP(op_fill_bucket, (bufferevent_decrement_read_limit(bev, -100),
                    bufferevent_get_max_to_write(bev)))
OP(op_leave_group, bufferevent_remove_from_rate_limit_group(bev))
OP(op_fill_group, w->group != NULL
                      ? bufferevent_rate_limit_group_decrement_read(w->group, -100)
                      : bufferevent_priority_set(bev, 0))
OP(op_timeouts, bufferevent_set_timeouts(bev, &(struct timeval){.tv_sec = 1}, NULL))
OP(op_setcb, (bufferevent_setcb(bev, on_read, on_write, on_event, NULL), 0))
OP(op_connect, bufferevent_socket_connect_hostname(bev, NULL, AF_INET, "127.0.0.1", 9))
OP(op_far_enable, w->far != NULL ? bufferevent_enable(w->far, EV_READ | EV_WRITE) : 0)
OP(op_far_disable, w->far != NULL ? bufferevent_disable(w->far, EV_READ) : 0)
OP(op_far_flush, w->far != NULL ? bufferevent_flush(w->far, EV_WRITE, BEV_FINISHED) : 0)
OP(op_under_enable, w->under != NULL ? bufferevent_enable(w->under, EV_READ | EV_WRITE) : 0)

static void op_free(struct world *w, struct bufferevent *bev) {
    (void)bev;
    free_one(&w->top);
}

static void op_free_under(struct world *w, struct bufferevent *bev) {
    (void)bev;
    free_one(&w->under);
}

static void op_free_far(struct world *w, struct bufferevent *bev) {
    (void)bev;
    free_one(&w->far);
}

static void op_free_group(struct world *w, struct bufferevent *bev) {
    struct bufferevent_rate_limit_group *group = w->group;

    (void)bev;
    w->group = NULL;
    bufferevent_rate_limit_group_free(group);
}

static void op_free_closing(struct world *w, struct bufferevent *bev) {
    w->top = NULL;
    if (bufferevent_close_after_flush(bev, NULL) < 0)
        bufferevent_free(bev);
}

static void op_close(struct world *w, struct bufferevent *bev) {
    bufferevent_incref(bev); /* so that it can be looked at afterwards */
    (void)bufferevent_close_after_flush(bev, NULL);
    run(w);
    if (w->top == bev)
        w->top = NULL;
    bufferevent_free(bev);
    bufferevent_decref(bev);
}

static void op_decref(struct world *w, struct bufferevent *bev) {
    w->top = NULL;
    bufferevent_decref(bev);
}

/* A callback that frees what is being made a filter of has it refused. */
static void op_filter(struct world *w, struct bufferevent *bev) {
    struct bufferevent *filter = bufferevent_filter_new(bev, NULL, NULL, 0, NULL, NULL);

    if (filter == NULL)
        CHECK(errno == EINVAL);
    else if (w->extra == NULL)
        w->extra = filter;
    else
        bufferevent_free(filter);
}

static void op_filter_that_closes(struct world *w, struct bufferevent *bev) {
    struct bufferevent *filter =
        bufferevent_filter_new(bev, NULL, NULL, BEV_OPT_CLOSE_ON_FREE, NULL, NULL);

    if (filter == NULL)
        return;
    if (w->top == bev)
        w->top = NULL;
    bufferevent_enable(filter, EV_READ);
    bufferevent_free(filter);
}

static void (*const ops[])(struct world *, struct bufferevent *) = {
    op_none,         op_enable,       op_enable_read, op_enable_write, op_disable,
    op_no_mark,      op_mark,         op_input_max,   op_no_limits,    op_pause,
    op_flush,        op_finish,       op_finish_read, op_write,        op_write_buffer,
    op_read,         op_read_buffer,  op_drain,       op_prepend,      op_trigger,
    op_trigger_event, op_shutdown,    op_setfd,       op_replacefd,    op_limit,
    op_no_limit,     op_fill_bucket,  op_leave_group, op_fill_group,   op_timeouts,
    op_setcb,        op_connect,      op_far_enable,  op_far_disable,  op_far_flush,
    op_under_enable, op_free,         op_free_under,  op_free_far,     op_free_group,
    op_free_closing, op_close,        op_decref,      op_filter,       op_filter_that_closes,
};

/* --- all of them --------------------------------------------------------------- */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Which points were reached by the function and the turns after it. */
static unsigned try(enum kind kind, enum state state, size_t op, int point, size_t strike) {
    struct world w = {.armed = -1};

    now = &w;
    build(&w, kind);
    enter(&w, state);
    w.seen = 0;
    w.armed = point;
    w.strike = strikes[strike];
    ops[op](&w, w.top);
    run(&w);
    end(&w);
    if (pe_mem_live_total() != 0)
        printf("state %d, function %zu, point %d, strike %zu\n", state, op, point, strike);
    CHECK_EQ(pe_mem_live_total(), 0);
    return w.seen;
}

static void try_all(enum kind kind) {
    long tried = 0;

    for (int state = 0; state < STATES; state++) {
        for (size_t op = 0; op < COUNT(ops); op++) {
            unsigned seen = try(kind, (enum state)state, op, -1, 0);

            for (int point = 0; point < POINTS; point++) {
                if (!(seen & (1u << point)))
                    continue;
                for (size_t strike = 0; strike < COUNT(strikes); strike++, tried++)
                    (void)try(kind, (enum state)state, op, point, strike);
            }
        }
    }
    CHECK(tried > 1000);
}

TEST(socket_may_be_struck_in_every_callback) {
    try_all(SOCKET);
}

TEST(pair_may_be_struck_in_every_callback) {
    try_all(PAIR);
}

TEST(filter_of_a_socket_may_be_struck_in_every_callback) {
    try_all(FILTER_OF_SOCKET);
}

TEST(filter_of_a_pair_may_be_struck_in_every_callback) {
    try_all(FILTER_OF_PAIR);
}

TEST(filter_of_a_filter_may_be_struck_in_every_callback) {
    try_all(FILTER_OF_FILTER);
}
