/* test_nesting.c - filters over filters, and callbacks inside callbacks: the stack is bounded. */
#include "streams.h"

#include "stream/bufferevent.h"

static enum bufferevent_filter_result pass(struct evbuffer *src, struct evbuffer *dst,
                                           ev_ssize_t limit, enum bufferevent_flush_mode mode,
                                           void *ctx) {
    (void)limit;
    (void)mode;
    (void)ctx;
    return evbuffer_add_buffer(dst, src) == 0 ? BEV_OK : BEV_ERROR;
}

TEST(chain_of_filters_ends_at_a_limit_and_works_up_to_it) {
    struct event_base *base = event_base_new();
    struct bufferevent *pair[2], *chain[100], *top, *more;
    int height = 0;

    CHECK_EQ(bufferevent_pair_new(base, 0, pair), 0);
    top = pair[0];
    while ((more = bufferevent_filter_new(top, pass, pass, BEV_OPT_CLOSE_ON_FREE, NULL, NULL)) !=
           NULL) {
        chain[height++] = more;
        top = more;
        CHECK(height < 100);
    }
    CHECK_EQ(errno, ELOOP);
    CHECK_EQ(height, 64);
    bufferevent_enable(top, EV_READ);
    bufferevent_enable(pair[1], EV_READ);
    bufferevent_write(top, "down", 4);
    bufferevent_write(pair[1], "up", 2);
    run_ready(base);
    CHECK_EQ(evbuffer_get_length(bufferevent_get_input(pair[1])), 4);
    CHECK_EQ(evbuffer_get_length(bufferevent_get_input(top)), 2);
    CHECK_EQ(bufferevent_getfd(top), -1);
    CHECK(bufferevent_get_underlying(top) == chain[62]);
    CHECK_EQ(bufferevent_flush(top, EV_READ | EV_WRITE, BEV_FINISHED), 0);
    bufferevent_write(top, "rest", 4);
    bufferevent_free(top); /* and all beneath it */
    run_ready(base);
    CHECK_EQ(evbuffer_get_length(bufferevent_get_input(pair[1])), 8);
    bufferevent_free(pair[1]);
    event_base_free(base);
}

static void trigger_itself(struct bufferevent *bev, void *arg) {
    struct ctx *c = arg;

    if (++c->step < 100000)
        bufferevent_trigger(bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS);
}

static void trigger_event_itself(struct bufferevent *bev, short what, void *arg) {
    struct ctx *c = arg;

    if (++c->step < 100000)
        bufferevent_trigger_event(bev, what, 0);
}

TEST(callback_that_triggers_itself_goes_on_from_the_loop) {
    struct ctx c;

    open_ctx(&c, 0);
    bufferevent_setcb(c.bev, trigger_itself, trigger_itself, trigger_event_itself, &c);
    bufferevent_trigger(c.bev, EV_READ, BEV_TRIG_IGNORE_WATERMARKS);
    CHECK_EQ(c.step, 64);
    run_until(c.base, &c.step, 100000);
    c.step = 0;
    bufferevent_trigger_event(c.bev, BEV_EVENT_EOF, 0);
    CHECK_EQ(c.step, 64);
    run_until(c.base, &c.step, 100000);
    close_ctx(&c);
}
