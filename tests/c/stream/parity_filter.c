/* parity_filter.c - filters over pairs and sockets, as programs written for libevent use
 * them. The filters here turn letters by 13 places or only count. */
#include <ctype.h>

#include "streams.h"

/* filter <-> under, an end of a pair <-> far. */
struct stack {
    struct event_base *base;
    struct bufferevent *filter, *under, *far;
    struct told of_filter, of_far;
    int inputs, outputs;  /* calls of the filter functions */
    short modes;          /* 1 << mode of each call */
    ev_ssize_t limit;     /* of the last call */
    int contexts_freed;
};

static enum bufferevent_filter_result rot13(struct evbuffer *src, struct evbuffer *dst,
                                            ev_ssize_t limit) {
    size_t n = evbuffer_get_length(src);
    char bytes[256];
    int got;

    if (n == 0)
        return BEV_NEED_MORE;
    if (limit >= 0 && (size_t)limit < n)
        n = (size_t)limit;
    if (n > sizeof(bytes))
        n = sizeof(bytes);
    got = evbuffer_remove(src, bytes, n);
    for (int i = 0; i < got; i++) {
        char base = islower((unsigned char)bytes[i]) ? 'a' : 'A';

        if (isalpha((unsigned char)bytes[i]))
            bytes[i] = (char)(base + (bytes[i] - base + 13) % 26);
    }
    CHECK_EQ(evbuffer_add(dst, bytes, (size_t)got), 0);
    return BEV_OK;
}

static enum bufferevent_filter_result filter_in(struct evbuffer *src, struct evbuffer *dst,
                                                ev_ssize_t limit,
                                                enum bufferevent_flush_mode mode, void *ctx) {
    struct stack *s = ctx;

    s->inputs++;
    s->modes |= (short)(1 << mode);
    s->limit = limit;
    return rot13(src, dst, limit);
}

static enum bufferevent_filter_result filter_out(struct evbuffer *src, struct evbuffer *dst,
                                                 ev_ssize_t limit,
                                                 enum bufferevent_flush_mode mode, void *ctx) {
    struct stack *s = ctx;

    s->outputs++;
    s->modes |= (short)(1 << mode);
    s->limit = limit;
    return rot13(src, dst, limit);
}

static void free_context(void *ctx) {
    ((struct stack *)ctx)->contexts_freed++;
}

static void open_stack(struct stack *s, int options) {
    struct bufferevent *pair[2];

    memset(s, 0, sizeof(*s));
    s->base = event_base_new();
    CHECK(s->base != NULL);
    CHECK_EQ(bufferevent_pair_new(s->base, 0, pair), 0);
    s->under = pair[0];
    s->far = pair[1];
    s->filter =
        bufferevent_filter_new(s->under, filter_in, filter_out, options, free_context, s);
    CHECK(s->filter != NULL);
    bufferevent_setcb(s->filter, told_read, told_write, told_event, &s->of_filter);
    bufferevent_setcb(s->far, told_read, told_write, told_event, &s->of_far);
    bufferevent_enable(s->far, EV_READ);
}

static void close_stack(struct stack *s) {
    if (s->filter != NULL)
        bufferevent_free(s->filter);
    run_ready(s->base); /* libevent frees it there */
    CHECK_EQ(s->contexts_freed, 1);
    bufferevent_free(s->far);
    run_ready(s->base);
    event_base_free(s->base);
}

static size_t input_len(struct bufferevent *bev) {
    return evbuffer_get_length(bufferevent_get_input(bev));
}

static size_t output_len(struct bufferevent *bev) {
    return evbuffer_get_length(bufferevent_get_output(bev));
}

static const char *take(struct bufferevent *bev) {
    static char text[1024];

    text[bufferevent_read(bev, text, sizeof(text) - 1)] = '\0';
    return text;
}

TEST(filter_takes_over_what_is_below) {
    bufferevent_data_cb readcb, writecb;
    bufferevent_event_cb eventcb;
    struct stack s;
    void *arg;

    open_stack(&s, BEV_OPT_CLOSE_ON_FREE);
    CHECK_EQ(bufferevent_get_enabled(s.filter), EV_WRITE);
    CHECK_EQ(bufferevent_get_enabled(s.under), EV_READ | EV_WRITE);
    CHECK(bufferevent_get_underlying(s.filter) == s.under);
    CHECK(bufferevent_get_base(s.filter) == s.base);
    CHECK_EQ(bufferevent_getfd(s.filter), -1);
    bufferevent_getcb(s.under, &readcb, &writecb, &eventcb, &arg);
    CHECK(readcb != NULL && writecb != NULL && eventcb != NULL);
    close_stack(&s);
}

TEST(filter_shows_the_descriptor_below) {
    struct ctx c;
    struct bufferevent *filter;

    open_ctx(&c, 0);
    filter = bufferevent_filter_new(c.bev, NULL, NULL, BEV_OPT_CLOSE_ON_FREE, NULL, NULL);
    CHECK_EQ(bufferevent_getfd(filter), c.fds[0]);
    c.bev = filter;
    bufferevent_free(filter);
    run_ready(c.base);
    event_base_free(c.base);
    close(c.fds[1]);
}

TEST(output_is_filtered_when_it_is_added) {
    struct stack s;

    open_stack(&s, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_write(s.filter, "Hello", 5);
    CHECK_EQ(s.outputs, 1);
    CHECK_EQ(s.limit, -1);
    CHECK_EQ(output_len(s.filter), 0);
    run_ready(s.base);
    CHECK_STR(take(s.far), "Uryyb");
    CHECK_EQ(s.of_filter.writes, 1);
    close_stack(&s);
}

TEST(input_is_filtered_when_it_comes) {
    struct stack s;

    open_stack(&s, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_enable(s.filter, EV_READ);
    bufferevent_write(s.far, "Uryyb", 5);
    run_ready(s.base);
    CHECK_EQ(s.inputs, 1);
    CHECK_EQ(s.of_filter.reads, 1);
    CHECK_STR(take(s.filter), "Hello");
    CHECK_EQ(s.outputs, 0);
    close_stack(&s);
}

TEST(filter_that_does_not_read_holds_what_is_below) {
    struct stack s;

    open_stack(&s, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_write(s.far, "Uryyb", 5);
    run_ready(s.base);
    CHECK_EQ(output_len(s.far), 5);
    CHECK_EQ(s.inputs, 0);
    bufferevent_enable(s.filter, EV_READ);
    run_ready(s.base);
    CHECK_STR(take(s.filter), "Hello");
    bufferevent_disable(s.filter, EV_READ);
    bufferevent_write(s.far, "Nygb", 4);
    run_ready(s.base);
    CHECK_EQ(output_len(s.far), 4);
    close_stack(&s);
}

TEST(output_waits_while_writing_is_disabled) {
    struct stack s;

    open_stack(&s, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_disable(s.filter, EV_WRITE);
    bufferevent_write(s.filter, "Hello", 5);
    run_ready(s.base);
    CHECK_EQ(s.outputs, 0);
    CHECK_EQ(output_len(s.filter), 5);
    close_stack(&s);
}

TEST(many_calls_pass_what_one_does_not) {
    struct stack s;
    char bytes[2000], got[2000];

    open_stack(&s, BEV_OPT_CLOSE_ON_FREE);
    memset(bytes, 'N', sizeof(bytes));
    bufferevent_enable(s.filter, EV_READ);
    bufferevent_write(s.far, bytes, sizeof(bytes));
    run_ready(s.base);
    CHECK_EQ(s.inputs, 8); /* of 256 bytes */
    CHECK_EQ(bufferevent_read(s.filter, got, sizeof(got)), sizeof(bytes));
    CHECK_EQ(got[0], 'A');
    CHECK_EQ(got[1999], 'A');
    close_stack(&s);
}

TEST(limit_is_the_room_below_the_high_mark) {
    struct stack s;

    open_stack(&s, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(s.filter, NULL, NULL, told_event, &s.of_filter);
    bufferevent_setwatermark(s.filter, EV_READ, 0, 8);
    bufferevent_enable(s.filter, EV_READ);
    bufferevent_write(s.far, "abcdefghij", 10);
    run_ready(s.base);
    CHECK_EQ(s.limit, 8);
    CHECK_EQ(input_len(s.filter), 8);
    CHECK_EQ(input_len(s.under), 2);
    evbuffer_drain(bufferevent_get_input(s.filter), 5);
    run_ready(s.base);
    CHECK_STR(take(s.filter), "stuvw");
    close_stack(&s);
}

TEST(high_mark_below_holds_the_output_back) {
    struct stack s;

    open_stack(&s, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_disable(s.far, EV_READ);
    bufferevent_setwatermark(s.under, EV_WRITE, 0, 4);
    bufferevent_write(s.filter, "abcdefghij", 10);
    run_ready(s.base);
    CHECK_EQ(s.limit, 4);
    CHECK_EQ(output_len(s.under), 4);
    CHECK_EQ(output_len(s.filter), 6);
    CHECK_EQ(s.of_filter.writes, 0);
    bufferevent_enable(s.far, EV_READ);
    for (int i = 0; i < 5; i++)
        run_ready(s.base);
    CHECK_EQ(output_len(s.filter), 0);
    CHECK_STR(take(s.far), "nopqrstuvw");
    CHECK_EQ(s.of_filter.writes, 1);
    close_stack(&s);
}

TEST(flush_passes_on_what_is_disabled_and_says_so) {
    struct stack s;

    open_stack(&s, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_disable(s.filter, EV_WRITE);
    bufferevent_write(s.filter, "abc", 3);
    CHECK_EQ(bufferevent_flush(s.filter, EV_WRITE, BEV_NORMAL), 0);
    CHECK_EQ(output_len(s.filter), 3);
    CHECK_EQ(bufferevent_flush(s.filter, EV_WRITE, BEV_FLUSH), 1);
    CHECK_EQ(output_len(s.filter), 0);
    CHECK_EQ(s.modes, 1 << BEV_FLUSH);
    run_ready(s.base);
    CHECK_STR(take(s.far), "nop");
    CHECK_EQ(s.of_far.events, 0);
    close_stack(&s);
}

TEST(finishing_tells_the_filter_and_what_is_below) {
    struct stack s;

    open_stack(&s, BEV_OPT_CLOSE_ON_FREE);
    CHECK_EQ(bufferevent_flush(s.filter, EV_WRITE, BEV_FINISHED), 0);
    CHECK_EQ(s.outputs, 1); /* with nothing to filter */
    CHECK_EQ(s.modes, 1 << BEV_FINISHED);
    run_ready(s.base);
    CHECK_EQ(s.of_far.what, BEV_EVENT_EOF | BEV_EVENT_READING);
    close_stack(&s);
}

TEST(end_of_file_below_is_told) {
    struct stack s;

    open_stack(&s, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_enable(s.filter, EV_READ);
    bufferevent_write(s.far, "nop", 3);
    bufferevent_flush(s.far, EV_WRITE, BEV_FINISHED);
    run_ready(s.base);
    CHECK_STR(s.of_filter.order, "re");
    CHECK_EQ(s.of_filter.what, BEV_EVENT_EOF | BEV_EVENT_READING);
    CHECK_STR(take(s.filter), "abc");
    close_stack(&s);
}

TEST(filter_without_functions_passes_on) {
    struct ctx c;
    struct bufferevent *filter;
    char got[8] = "";

    open_ctx(&c, 0);
    filter = bufferevent_filter_new(c.bev, NULL, NULL, BEV_OPT_CLOSE_ON_FREE, NULL, NULL);
    bufferevent_setcb(filter, told_read, told_write, told_event, &c.told);
    bufferevent_enable(filter, EV_READ);
    bufferevent_write(filter, "out", 3);
    send_text(c.fds[1], "in");
    run_until(c.base, &c.told.reads, 1);
    CHECK_EQ(bufferevent_read(filter, got, sizeof(got)), 2);
    CHECK_MEM(got, "in", 2);
    run_until(c.base, &c.told.writes, 1);
    CHECK_STR(receive_text(c.fds[1]), "out");
    shutdown(c.fds[1], SHUT_WR);
    run_until(c.base, &c.told.events, 1);
    CHECK_EQ(c.told.what, BEV_EVENT_EOF | BEV_EVENT_READING);
    bufferevent_free(filter);
    run_ready(c.base);
    event_base_free(c.base);
    close(c.fds[1]);
}

TEST(bufferevent_below_lives_on_without_callbacks) {
    bufferevent_data_cb readcb, writecb;
    bufferevent_event_cb eventcb;
    struct stack s;
    void *arg;

    open_stack(&s, 0);
    bufferevent_free(s.filter);
    s.filter = NULL;
    run_ready(s.base);
    bufferevent_getcb(s.under, &readcb, &writecb, &eventcb, &arg);
    CHECK(readcb == NULL && writecb == NULL && eventcb == NULL);
    bufferevent_write(s.far, "abc", 3); /* which it reads again */
    CHECK_EQ(input_len(s.under), 3);
    bufferevent_free(s.under);
    close_stack(&s);
}

TEST(filter_over_a_filter_undoes_it) {
    struct stack s;
    struct bufferevent *top;

    open_stack(&s, BEV_OPT_CLOSE_ON_FREE);
    top = bufferevent_filter_new(s.filter, filter_in, filter_out, BEV_OPT_CLOSE_ON_FREE, NULL,
                                 &s);
    bufferevent_setcb(top, told_read, NULL, told_event, &s.of_filter);
    bufferevent_enable(top, EV_READ);
    bufferevent_write(top, "Hello", 5);
    bufferevent_write(s.far, "there", 5);
    run_ready(s.base);
    CHECK_STR(take(s.far), "Hello");
    CHECK_STR(take(top), "there");
    s.filter = top;
    close_stack(&s);
}

static void free_it(struct bufferevent *bev, void *arg) {
    *(struct bufferevent **)arg = NULL;
    bufferevent_free(bev);
}

TEST(filter_may_be_freed_in_its_read_callback) {
    struct stack s;

    open_stack(&s, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(s.filter, free_it, NULL, NULL, &s.filter);
    bufferevent_enable(s.filter, EV_READ);
    bufferevent_write(s.far, "x", 1);
    run_ready(s.base);
    CHECK(s.filter == NULL);
    close_stack(&s);
}

TEST(filter_may_be_freed_in_its_write_callback) {
    struct stack s;

    open_stack(&s, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(s.filter, NULL, free_it, NULL, &s.filter);
    bufferevent_write(s.filter, "x", 1);
    run_ready(s.base);
    CHECK(s.filter == NULL);
    close_stack(&s);
}

static void free_at_event(struct bufferevent *bev, short what, void *arg) {
    (void)what;
    free_it(bev, arg);
}

TEST(filter_may_be_freed_in_its_event_callback) {
    struct stack s;

    open_stack(&s, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(s.filter, NULL, NULL, free_at_event, &s.filter);
    bufferevent_enable(s.filter, EV_READ);
    bufferevent_flush(s.far, EV_WRITE, BEV_FINISHED);
    run_ready(s.base);
    CHECK(s.filter == NULL);
    close_stack(&s);
}

TEST(filter_below_its_low_mark_is_not_called_back) {
    struct stack s;

    open_stack(&s, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setwatermark(s.filter, EV_READ, 4, 0);
    bufferevent_enable(s.filter, EV_READ);
    bufferevent_write(s.far, "abc", 3);
    run_ready(s.base);
    CHECK_EQ(input_len(s.filter), 3);
    CHECK_EQ(s.of_filter.reads, 0);
    bufferevent_write(s.far, "d", 1);
    run_ready(s.base);
    CHECK_EQ(s.of_filter.reads, 1);
    close_stack(&s);
}

TEST(enabling_an_idle_filter_calls_nobody) {
    struct stack s;

    open_stack(&s, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_enable(s.filter, EV_READ | EV_WRITE);
    run_ready(s.base);
    run_ready(s.base);
    CHECK_EQ(s.of_filter.writes, 0);
    close_stack(&s);
}

TEST(write_timeout_tells_what_is_stuck_below) {
    struct stack s;
    struct timeval soon = {0, 20000};

    open_stack(&s, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_disable(s.far, EV_READ);
    bufferevent_set_timeouts(s.filter, NULL, &soon);
    bufferevent_enable(s.filter, EV_WRITE);
    bufferevent_write(s.filter, "abc", 3);
    run_until(s.base, &s.of_filter.events, 1);
    CHECK_EQ(s.of_filter.what, BEV_EVENT_WRITING | BEV_EVENT_TIMEOUT);
    CHECK_EQ(s.of_filter.enabled & EV_WRITE, 0);
    CHECK_EQ(output_len(s.under), 3);
    close_stack(&s);
}
