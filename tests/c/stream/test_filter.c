/* test_filter.c - filters: errors, ends, closing without loss, odd functions. */
#include "base/clock.h"
#include "base/mem.h"
#include "stream/bufferevent.h"
#include "streams.h"

/* filter <-> under, on fds[0] <-> fds[1]. */
struct stack {
    struct event_base *base;
    struct bufferevent *filter, *under;
    struct told told;
    int fds[2];
    int inputs, outputs; /* calls of the functions */
    short modes;         /* 1 << mode of each call */
    int step;            /* for the test to count with */
    int contexts_freed;
};

static enum bufferevent_filter_result pass(struct evbuffer *src, struct evbuffer *dst,
                                           ev_ssize_t limit) {
    size_t n = limit < 0 ? evbuffer_get_length(src) : (size_t)limit;

    return evbuffer_remove_buffer(src, dst, n) > 0 ? BEV_OK : BEV_NEED_MORE;
}

static enum bufferevent_filter_result pass_in(struct evbuffer *src, struct evbuffer *dst,
                                              ev_ssize_t limit,
                                              enum bufferevent_flush_mode mode, void *ctx) {
    struct stack *s = ctx;

    s->inputs++;
    s->modes |= (short)(1 << mode);
    return pass(src, dst, limit);
}

static enum bufferevent_filter_result pass_out(struct evbuffer *src, struct evbuffer *dst,
                                               ev_ssize_t limit,
                                               enum bufferevent_flush_mode mode, void *ctx) {
    struct stack *s = ctx;

    s->outputs++;
    s->modes |= (short)(1 << mode);
    return pass(src, dst, limit);
}

static void free_context(void *ctx) {
    ((struct stack *)ctx)->contexts_freed++;
}

static void open_with(struct stack *s, bufferevent_filter_cb in, bufferevent_filter_cb out,
                      int options) {
    memset(s, 0, sizeof(*s));
    make_pair(s->fds);
    s->base = event_base_new();
    CHECK(s->base != NULL);
    s->under = bufferevent_socket_new(s->base, s->fds[0], BEV_OPT_CLOSE_ON_FREE);
    CHECK(s->under != NULL);
    s->filter = bufferevent_filter_new(s->under, in, out, options, free_context, s);
    CHECK(s->filter != NULL);
    bufferevent_setcb(s->filter, told_read, told_write, told_event, &s->told);
}

static void open_stack(struct stack *s, int options) {
    open_with(s, pass_in, pass_out, options | BEV_OPT_CLOSE_ON_FREE);
}

static void close_stack(struct stack *s) {
    if (s->filter != NULL)
        bufferevent_free(s->filter);
    if (s->base != NULL)
        event_base_free(s->base);
    CHECK_EQ(s->contexts_freed, 1);
    close(s->fds[1]);
}

static size_t input_len(struct bufferevent *bev) {
    return evbuffer_get_length(bufferevent_get_input(bev));
}

static size_t output_len(struct bufferevent *bev) {
    return evbuffer_get_length(bufferevent_get_output(bev));
}

/* --- errors ---------------------------------------------------------------- */

static enum bufferevent_filter_result refuse_x(struct evbuffer *src, struct evbuffer *dst,
                                               ev_ssize_t limit,
                                               enum bufferevent_flush_mode mode, void *ctx) {
    char first;

    (void)limit;
    (void)mode;
    if (evbuffer_copyout(src, &first, 1) == 1 && first == 'x')
        return BEV_ERROR;
    if (first == 'm') {
        errno = ENOMEM;
        return BEV_ERROR;
    }
    ((struct stack *)ctx)->step++;
    return evbuffer_remove_buffer(src, dst, 1) == 1 ? BEV_OK : BEV_NEED_MORE;
}

TEST(input_filter_error_is_told_after_what_came_before) {
    struct stack s;

    open_with(&s, refuse_x, NULL, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_enable(s.filter, EV_READ);
    send_text(s.fds[1], "abxcd");
    run_until(s.base, &s.told.events, 1);
    CHECK_STR(s.told.order, "re");
    CHECK_EQ(s.told.what, BEV_EVENT_READING | BEV_EVENT_ERROR);
    CHECK_EQ(s.told.error, EPROTO);
    CHECK_EQ(s.told.enabled, EV_WRITE);
    CHECK_EQ(input_len(s.filter), 2);
    CHECK_EQ(input_len(s.under), 3);
    close_stack(&s);
}

TEST(output_filter_error_is_told_from_the_loop) {
    struct stack s;

    open_with(&s, NULL, refuse_x, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_write(s.filter, "abxcd", 5);
    CHECK_EQ(s.told.events, 0);
    run_ready(s.base);
    CHECK_EQ(s.told.what, BEV_EVENT_WRITING | BEV_EVENT_ERROR);
    CHECK_EQ(s.told.error, EPROTO);
    CHECK_EQ(s.told.enabled, 0);
    CHECK_EQ(output_len(s.filter), 3);
    CHECK_STR(receive_text(s.fds[1]), "ab");
    CHECK_EQ(s.told.writes, 0);
    close_stack(&s);
}

TEST(errno_of_a_filter_function_is_told) {
    struct stack s;

    open_with(&s, refuse_x, refuse_x, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_enable(s.filter, EV_READ);
    send_text(s.fds[1], "m");
    run_until(s.base, &s.told.events, 1);
    CHECK_EQ(s.told.error, ENOMEM);
    CHECK_EQ(pe_bufferevent_error(s.filter), ENOMEM);
    close_stack(&s);
}

TEST(flush_with_an_error_tells_it) {
    struct stack s;

    open_with(&s, refuse_x, refuse_x, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_disable(s.filter, EV_WRITE);
    bufferevent_write(s.filter, "x", 1);
    CHECK_EQ(bufferevent_flush(s.filter, EV_WRITE, BEV_FLUSH), 0);
    run_ready(s.base);
    CHECK_EQ(s.told.what, BEV_EVENT_WRITING | BEV_EVENT_ERROR);
    close_stack(&s);
}

TEST(error_of_writing_below_is_told) {
    struct stack s;

    open_stack(&s, 0);
    close(s.fds[1]);
    bufferevent_write(s.filter, "x", 1);
    run_until(s.base, &s.told.events, 1);
    CHECK_EQ(s.told.what & (BEV_EVENT_WRITING | BEV_EVENT_ERROR),
             BEV_EVENT_WRITING | BEV_EVENT_ERROR);
    CHECK_EQ(s.told.error, EPIPE);
    s.fds[1] = dup(0);
    close_stack(&s);
}

TEST(filter_needs_something_below) {
    struct event_base *base = event_base_new();
    struct bufferevent *bev = bufferevent_socket_new(base, -1, 0);

    CHECK(bufferevent_filter_new(NULL, NULL, NULL, 0, NULL, NULL) == NULL);
    CHECK_EQ(errno, EINVAL);
    bufferevent_incref(bev);
    bufferevent_free(bev);
    CHECK(bufferevent_filter_new(bev, NULL, NULL, 0, NULL, NULL) == NULL);
    bufferevent_decref(bev);
    event_base_free(base);
}

/* --- ends, and their order -------------------------------------------------- */

TEST(end_of_file_waits_for_the_data_that_a_mark_holds_back) {
    struct stack s;

    open_stack(&s, 0);
    bufferevent_setwatermark(s.filter, EV_READ, 0, 4);
    bufferevent_enable(s.filter, EV_READ);
    send_text(s.fds[1], "0123456789");
    shutdown(s.fds[1], SHUT_WR);
    for (int i = 0; i < 3; i++)
        turn(s.base);
    CHECK_EQ(input_len(s.filter), 4);
    CHECK_EQ(s.told.events, 0);
    while (s.told.events == 0) {
        evbuffer_drain(bufferevent_get_input(s.filter), 4);
        s.step++;
        CHECK(event_base_loop(s.base, EVLOOP_ONCE) == 0);
    }
    CHECK_EQ(s.told.what, BEV_EVENT_READING | BEV_EVENT_EOF);
    CHECK_EQ(s.told.enabled, EV_WRITE);
    CHECK_EQ(input_len(s.under), 0);
    CHECK(s.step >= 2);
    close_stack(&s);
}

TEST(end_of_file_waits_while_the_filter_does_not_read) {
    struct bufferevent *pair[2], *filter;
    struct event_base *base = event_base_new();
    struct told told = {0};

    CHECK_EQ(bufferevent_pair_new(base, 0, pair), 0);
    filter = bufferevent_filter_new(pair[0], NULL, NULL, BEV_OPT_CLOSE_ON_FREE, NULL, NULL);
    bufferevent_setcb(filter, told_read, NULL, told_event, &told);
    bufferevent_write(pair[1], "abc", 3);
    bufferevent_flush(pair[1], EV_WRITE, BEV_FINISHED); /* past the filter that holds it */
    run_ready(base);
    CHECK_STR(told.order, "");
    bufferevent_enable(filter, EV_READ);
    run_ready(base);
    CHECK_STR(told.order, "re");
    bufferevent_free(filter);
    bufferevent_free(pair[1]);
    event_base_free(base);
}

/* Passes on pairs of bytes; what is left at the end comes as one. */
static enum bufferevent_filter_result pairs_of(struct evbuffer *src, struct evbuffer *dst,
                                               ev_ssize_t limit,
                                               enum bufferevent_flush_mode mode, void *ctx) {
    struct stack *s = ctx;

    (void)limit;
    s->modes |= (short)(1 << mode);
    s->inputs++;
    if (evbuffer_get_length(src) < 2 && mode != BEV_FINISHED)
        return BEV_NEED_MORE;
    return evbuffer_remove_buffer(src, dst, 2) > 0 ? BEV_OK : BEV_NEED_MORE;
}

TEST(filter_gets_a_last_chance_at_end_of_file) {
    struct stack s;

    open_with(&s, pairs_of, NULL, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_enable(s.filter, EV_READ);
    send_text(s.fds[1], "abc");
    run_until(s.base, &s.told.reads, 1);
    CHECK_EQ(input_len(s.filter), 2);
    shutdown(s.fds[1], SHUT_WR);
    run_until(s.base, &s.told.events, 1);
    CHECK_STR(s.told.order, "rre");
    CHECK_EQ(input_len(s.filter), 3);
    CHECK(s.modes & (1 << BEV_FINISHED));
    close_stack(&s);
}

static enum bufferevent_filter_result no_rest(struct evbuffer *src, struct evbuffer *dst,
                                              ev_ssize_t limit,
                                              enum bufferevent_flush_mode mode, void *ctx) {
    if (mode == BEV_FINISHED && evbuffer_get_length(src) != 0)
        return BEV_ERROR;
    return pairs_of(src, dst, limit, mode, ctx);
}

TEST(input_that_ends_too_early_is_an_error_if_the_filter_says_so) {
    struct stack s;

    open_with(&s, no_rest, NULL, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_enable(s.filter, EV_READ);
    send_text(s.fds[1], "abc");
    shutdown(s.fds[1], SHUT_WR);
    run_until(s.base, &s.told.events, 1);
    CHECK_EQ(s.told.what, BEV_EVENT_READING | BEV_EVENT_ERROR);
    turn(s.base);
    CHECK_EQ(s.told.events, 1);
    close_stack(&s);
}

TEST(reset_is_told_after_the_data) {
    struct stack s;
    struct linger hard = {1, 0};
    int fds[2];

    make_tcp_pair(fds);
    memset(&s, 0, sizeof(s));
    s.base = event_base_new();
    s.under = bufferevent_socket_new(s.base, fds[0], BEV_OPT_CLOSE_ON_FREE);
    s.filter = bufferevent_filter_new(s.under, pass_in, pass_out, BEV_OPT_CLOSE_ON_FREE,
                                      free_context, &s);
    bufferevent_setcb(s.filter, told_read, NULL, told_event, &s.told);
    bufferevent_enable(s.filter, EV_READ);
    send_text(fds[1], "abc");
    run_until(s.base, &s.told.reads, 1);
    setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close(fds[1]);
    run_until(s.base, &s.told.events, 1);
    CHECK_EQ(s.told.what, BEV_EVENT_READING | BEV_EVENT_ERROR);
    CHECK_EQ(s.told.error, ECONNRESET);
    CHECK_EQ(input_len(s.filter), 3);
    s.fds[1] = dup(0);
    close_stack(&s);
}

TEST(timeout_below_is_told_at_once) {
    struct stack s;
    struct timeval soon = {0, 10000};

    open_stack(&s, 0);
    bufferevent_set_timeouts(s.under, &soon, NULL);
    bufferevent_enable(s.filter, EV_READ);
    run_until(s.base, &s.told.events, 1);
    CHECK_EQ(s.told.what, BEV_EVENT_READING | BEV_EVENT_TIMEOUT);
    close_stack(&s);
}

TEST(read_timeout_of_the_filter_counts_from_what_came_through) {
    struct stack s;
    struct timeval soon = {0, 10000};

    open_with(&s, pairs_of, NULL, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_set_timeouts(s.filter, &soon, NULL);
    bufferevent_enable(s.filter, EV_READ);
    send_text(s.fds[1], "a"); /* of which nothing comes */
    run_until(s.base, &s.told.events, 1);
    CHECK_EQ(s.told.what, BEV_EVENT_READING | BEV_EVENT_TIMEOUT);
    CHECK_EQ(s.told.reads, 0);
    close_stack(&s);
}

TEST(finishing_is_said_once_until_there_is_more) {
    struct stack s;

    open_stack(&s, 0);
    bufferevent_flush(s.filter, EV_WRITE, BEV_FINISHED);
    bufferevent_flush(s.filter, EV_WRITE, BEV_FINISHED);
    bufferevent_shutdown_write(s.filter); /* which says it, too */
    run_ready(s.base);
    CHECK_EQ(s.outputs, 1);
    bufferevent_flush(s.filter, EV_READ, BEV_FINISHED);
    bufferevent_flush(s.filter, EV_READ, BEV_FINISHED);
    CHECK_EQ(s.inputs, 1);
    send_text(s.fds[1], "x");
    bufferevent_enable(s.filter, EV_READ);
    run_until(s.base, &s.told.reads, 1);
    bufferevent_flush(s.filter, EV_READ, BEV_FINISHED);
    CHECK_EQ(s.inputs, 3);
    close_stack(&s);
}

/* --- closing without loss ---------------------------------------------------- */

/* All that comes at `fd` while the loop runs, until its end. */
static size_t receive_all(struct event_base *base, int fd) {
    static char bytes[65536];
    size_t total = 0;

    for (;;) {
        ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

        if (n == 0)
            return total;
        if (n > 0)
            total += (size_t)n;
        else
            turn(base);
    }
}

TEST(freeing_delivers_what_was_written_before) {
    static char bytes[4 << 20];
    struct stack s;

    open_stack(&s, 0);
    bufferevent_write(s.filter, bytes, sizeof(bytes));
    bufferevent_free(s.filter);
    s.filter = NULL;
    CHECK_EQ(s.contexts_freed, 1);
    CHECK_EQ(receive_all(s.base, s.fds[1]), sizeof(bytes));
    shutdown(s.fds[1], SHUT_WR);
    CHECK_EQ(event_base_dispatch(s.base), 1); /* and nothing is left */
    CHECK(pe_mem_live(PE_MEM_STREAM) <= 1);
    close_stack(&s);
}

static void write_and_free(struct bufferevent *bev, void *arg) {
    struct stack *s = arg;

    bufferevent_write(bev, "answer", 6);
    bufferevent_free(bev);
    s->filter = NULL;
}

TEST(freeing_in_the_callback_that_wrote_delivers_it) {
    struct stack s;

    open_stack(&s, 0);
    bufferevent_setcb(s.filter, write_and_free, NULL, NULL, &s);
    bufferevent_enable(s.filter, EV_READ);
    send_text(s.fds[1], "question");
    CHECK_EQ(receive_all(s.base, s.fds[1]), 6);
    shutdown(s.fds[1], SHUT_WR);
    CHECK_EQ(event_base_dispatch(s.base), 1);
    close_stack(&s);
}

TEST(freeing_a_stack_of_filters_delivers_through_all_of_them) {
    static char bytes[2 << 20];
    struct bufferevent *top;
    struct stack s;

    open_stack(&s, 0);
    top = bufferevent_filter_new(s.filter, NULL, NULL, BEV_OPT_CLOSE_ON_FREE, NULL, NULL);
    bufferevent_setwatermark(s.under, EV_WRITE, 0, 100000); /* so that filters have to wait */
    bufferevent_write(top, bytes, sizeof(bytes));
    bufferevent_free(top);
    s.filter = NULL;
    CHECK_EQ(receive_all(s.base, s.fds[1]), sizeof(bytes));
    shutdown(s.fds[1], SHUT_WR);
    CHECK_EQ(event_base_dispatch(s.base), 1);
    close_stack(&s);
}

TEST(freeing_with_nothing_to_write_closes_at_once) {
    struct stack s;
    char byte;

    open_stack(&s, 0);
    bufferevent_free(s.filter);
    s.filter = NULL;
    CHECK_EQ(recv(s.fds[1], &byte, 1, MSG_DONTWAIT), 0);
    close_stack(&s);
}

static int64_t fake_now;

static int64_t fake_clock(void) {
    return fake_now;
}

TEST(delivery_to_a_peer_that_never_reads_has_a_time_limit) {
    static char bytes[4 << 20];
    struct stack s;

    fake_now = 1000 * PE_NS_PER_SEC;
    pe_clock_set_source(fake_clock);
    open_stack(&s, 0);
    bufferevent_write(s.filter, bytes, sizeof(bytes));
    bufferevent_free(s.filter);
    s.filter = NULL;
    turn(s.base);
    CHECK(pe_mem_live(PE_MEM_STREAM) > 1);
    for (int i = 0; i < 3; i++) { /* a minute without progress, seen a minute later */
        fake_now += 61 * PE_NS_PER_SEC;
        turn(s.base);
        turn(s.base);
    }
    CHECK_EQ(event_base_get_num_events(s.base, EVENT_BASE_COUNT_ADDED), 0);
    close_stack(&s);
}

TEST(base_freed_first_takes_an_unfinished_delivery_along) {
    static char bytes[4 << 20];
    struct stack s;

    open_stack(&s, 0);
    bufferevent_write(s.filter, bytes, sizeof(bytes));
    bufferevent_free(s.filter);
    s.filter = NULL;
    turn(s.base);
    send_text(s.fds[1], "x"); /* something of it is due to run when the base goes */
    event_base_free(s.base);
    s.base = NULL;
    close_stack(&s);
}

TEST(base_freed_first_leaves_a_filter_that_can_be_freed) {
    struct stack s;

    open_stack(&s, 0);
    bufferevent_enable(s.filter, EV_READ);
    bufferevent_write(s.filter, "x", 1);
    event_base_free(s.base);
    s.base = NULL;
    bufferevent_write(s.filter, "y", 1);
    bufferevent_flush(s.filter, EV_READ | EV_WRITE, BEV_FINISHED);
    close_stack(&s);
}

TEST(bufferevent_below_may_be_freed_first) {
    struct stack s;

    open_with(&s, pass_in, pass_out, 0);
    bufferevent_free(s.under);
    bufferevent_write(s.filter, "x", 1);
    run_ready(s.base);
    CHECK_EQ(output_len(s.filter), 1);
    CHECK_EQ(bufferevent_getfd(s.filter), -1);
    bufferevent_flush(s.filter, EV_READ | EV_WRITE, BEV_FINISHED);
    close_stack(&s);
}

/* --- when the write callback comes --------------------------------------------- */

static void write_more(struct bufferevent *bev, void *arg) {
    static char block[65536];

    ((struct stack *)arg)->step++;
    bufferevent_write(bev, block, sizeof(block));
}

TEST(producer_is_held_back_by_a_peer_that_does_not_read) {
    struct stack s;

    open_stack(&s, 0);
    bufferevent_setcb(s.filter, NULL, write_more, NULL, &s);
    write_more(s.filter, &s);
    for (int i = 0; i < 1000; i++)
        turn(s.base);
    CHECK(s.step < 100);
    CHECK(output_len(s.under) <= 2 * 65536);
    close_stack(&s);
}

TEST(producer_over_two_filters_is_held_back_too) {
    struct bufferevent *top;
    struct stack s;

    open_stack(&s, 0);
    top = bufferevent_filter_new(s.filter, NULL, NULL, BEV_OPT_CLOSE_ON_FREE, NULL, NULL);
    bufferevent_setcb(top, NULL, write_more, NULL, &s);
    write_more(top, &s);
    for (int i = 0; i < 1000; i++)
        turn(s.base);
    CHECK(s.step < 100);
    CHECK(waiting(s.fds[1]) > 0);
    s.filter = top;
    /* and goes on when it reads */
    while (s.step < 200) {
        static char bytes[65536];

        (void)recv(s.fds[1], bytes, sizeof(bytes), MSG_DONTWAIT);
        turn(s.base);
    }
    close(s.fds[1]);
    close_stack(&(struct stack){.base = s.base, .filter = top, .fds = {-1, dup(0)},
                                .contexts_freed = 1});
}

/* --- odd functions --------------------------------------------------------------- */

static enum bufferevent_filter_result pretend(struct evbuffer *src, struct evbuffer *dst,
                                              ev_ssize_t limit,
                                              enum bufferevent_flush_mode mode, void *ctx) {
    (void)src;
    (void)dst;
    (void)limit;
    (void)mode;
    ((struct stack *)ctx)->step++;
    return BEV_OK;
}

TEST(function_that_changes_nothing_is_not_called_again_and_again) {
    struct stack s;

    open_with(&s, pretend, pretend, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_enable(s.filter, EV_READ);
    bufferevent_write(s.filter, "x", 1);
    CHECK_EQ(s.step, 1);
    send_text(s.fds[1], "y");
    for (int i = 0; i < 10; i++)
        turn(s.base);
    CHECK(s.step <= 3);
    close_stack(&s);
}

TEST(function_that_needs_more_is_asked_again_when_there_is_more) {
    struct stack s;

    open_with(&s, NULL, pairs_of, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_write(s.filter, "a", 1);
    CHECK_EQ(s.inputs, 1);
    bufferevent_trigger(s.filter, EV_READ, 0); /* after a callback it would be sent */
    run_ready(s.base);
    CHECK_EQ(s.inputs, 1);
    bufferevent_write(s.filter, "bc", 2);
    run_ready(s.base);
    CHECK_STR(receive_text(s.fds[1]), "ab");
    CHECK_EQ(output_len(s.filter), 1);
    bufferevent_flush(s.filter, EV_WRITE, BEV_FINISHED);
    run_ready(s.base);
    CHECK_STR(receive_text(s.fds[1]), "c");
    close_stack(&s);
}

/* Makes ten bytes of one, whatever the limit. */
static enum bufferevent_filter_result swell(struct evbuffer *src, struct evbuffer *dst,
                                            ev_ssize_t limit,
                                            enum bufferevent_flush_mode mode, void *ctx) {
    (void)limit;
    (void)mode;
    (void)ctx;
    if (evbuffer_drain(src, 1) < 0 || evbuffer_get_length(src) == 0)
        return BEV_NEED_MORE;
    evbuffer_add(dst, "0123456789", 10);
    return BEV_OK;
}

static void take_five(struct bufferevent *bev, void *arg) {
    told_read(bev, arg);
    evbuffer_drain(bufferevent_get_input(bev), 5);
}

TEST(input_that_overruns_its_mark_calls_back_until_it_is_worked_off) {
    struct stack s;

    open_with(&s, swell, NULL, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(s.filter, take_five, NULL, told_event, &s.told);
    bufferevent_setwatermark(s.filter, EV_READ, 0, 3);
    bufferevent_enable(s.filter, EV_READ);
    send_text(s.fds[1], "abcde");
    for (int i = 0; i < 30; i++)
        turn(s.base);
    CHECK_EQ(input_len(s.filter), 0);
    CHECK_EQ(s.told.reads, 8);
    close_stack(&s);
}

static enum bufferevent_filter_result free_in_filter(struct evbuffer *src, struct evbuffer *dst,
                                                     ev_ssize_t limit,
                                                     enum bufferevent_flush_mode mode,
                                                     void *ctx) {
    struct stack *s = ctx;

    (void)mode;
    if (s->filter != NULL)
        bufferevent_free(s->filter);
    s->filter = NULL;
    CHECK_EQ(s->contexts_freed, 0); /* not while it runs */
    return pass(src, dst, limit);
}

TEST(filter_may_be_freed_in_its_input_function) {
    struct stack s;

    open_with(&s, free_in_filter, NULL, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_enable(s.filter, EV_READ);
    send_text(s.fds[1], "x");
    while (s.filter != NULL)
        CHECK(event_base_loop(s.base, EVLOOP_ONCE) >= 0);
    CHECK_EQ(s.told.reads, 0);
    close_stack(&s);
}

TEST(filter_may_be_freed_in_its_output_function) {
    struct stack s;

    open_with(&s, NULL, free_in_filter, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_write(s.filter, "x", 1);
    CHECK(s.filter == NULL);
    run_ready(s.base);
    close_stack(&s);
}

static enum bufferevent_filter_result write_again(struct evbuffer *src, struct evbuffer *dst,
                                                  ev_ssize_t limit,
                                                  enum bufferevent_flush_mode mode, void *ctx) {
    enum bufferevent_filter_result result = pass(src, dst, limit);
    struct stack *s = ctx;

    (void)mode;
    if (s->step++ < 3)
        bufferevent_write(s->filter, "+", 1);
    return result;
}

TEST(output_function_may_write) {
    struct stack s;

    open_with(&s, NULL, write_again, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_write(s.filter, "x", 1);
    run_ready(s.base);
    CHECK_STR(receive_text(s.fds[1]), "x+++");
    close_stack(&s);
}

/* --- the rest -------------------------------------------------------------------- */

TEST(deferred_filter_calls_back_from_the_loop_in_order) {
    struct stack s;

    open_stack(&s, BEV_OPT_DEFER_CALLBACKS);
    bufferevent_enable(s.filter, EV_READ);
    send_text(s.fds[1], "abc");
    shutdown(s.fds[1], SHUT_WR);
    run_until(s.base, &s.told.events, 1);
    CHECK_STR(s.told.order, "re");
    close_stack(&s);
}

TEST(new_descriptor_is_given_to_what_is_below) {
    struct stack s;
    int other[2];

    open_stack(&s, 0);
    make_pair(other);
    CHECK_EQ(bufferevent_replacefd(s.filter, other[0]), 0);
    CHECK_EQ(bufferevent_getfd(s.under), other[0]);
    bufferevent_write(s.filter, "x", 1);
    run_ready(s.base);
    CHECK_STR(receive_text(other[1]), "x");
    close(other[1]);
    close_stack(&s);
}

TEST(filter_has_a_priority_and_stays_on_its_base) {
    struct event_base *other = event_base_new();
    struct stack s;

    open_stack(&s, 0);
    CHECK_EQ(event_base_priority_init(s.base, 3), 0);
    CHECK_EQ(bufferevent_priority_set(s.filter, 2), 0);
    CHECK_EQ(bufferevent_get_priority(s.filter), 2);
    CHECK_EQ(bufferevent_base_set(other, s.filter), -1);
    CHECK_EQ(bufferevent_base_set(other, s.under), -1);
    event_base_free(other);
    bufferevent_enable(s.filter, EV_READ);
    send_text(s.fds[1], "x");
    run_until(s.base, &s.told.reads, 1);
    close_stack(&s);
}

TEST(closing_a_filter_after_flush_delivers_and_ends_the_connection) {
    struct stack s;

    open_stack(&s, 0);
    bufferevent_write(s.filter, "bye", 3);
    CHECK_EQ(bufferevent_close_after_flush(s.filter, NULL), 0);
    s.filter = NULL;
    CHECK_EQ(receive_all(s.base, s.fds[1]), 3);
    shutdown(s.fds[1], SHUT_WR);
    CHECK_EQ(event_base_dispatch(s.base), 1);
    close_stack(&s);
}

TEST(closing_a_filter_after_flush_finishes_it_also_when_the_peer_has_ended) {
    struct stack s;

    open_stack(&s, 0);
    bufferevent_enable(s.filter, EV_READ);
    shutdown(s.fds[1], SHUT_WR);
    run_until(s.base, &s.told.events, 1);
    s.modes = 0;
    CHECK_EQ(bufferevent_close_after_flush(s.filter, NULL), 0);
    s.filter = NULL;
    CHECK_EQ(event_base_dispatch(s.base), 1);
    CHECK_EQ(s.modes, 1 << BEV_FINISHED);
    close_stack(&s);
}

TEST(half_closing_a_filter_reaches_the_peer) {
    struct stack s;

    open_stack(&s, 0);
    bufferevent_write(s.filter, "last", 4);
    CHECK_EQ(bufferevent_shutdown_write(s.filter), 0);
    CHECK_EQ(receive_all(s.base, s.fds[1]), 4);
    bufferevent_enable(s.filter, EV_READ);
    send_text(s.fds[1], "still here");
    run_until(s.base, &s.told.reads, 1);
    close_stack(&s);
}

TEST(filter_survives_every_failing_allocation) {
    for (long n = 1;; n++) {
        struct event_base *base = event_base_new();
        struct bufferevent *under, *filter;
        struct told told = {0};
        int fds[2];

        make_pair(fds);
        under = bufferevent_socket_new(base, fds[0], BEV_OPT_CLOSE_ON_FREE);
        pe_mem_fail_nth(n);
        filter = bufferevent_filter_new(under, NULL, NULL, BEV_OPT_CLOSE_ON_FREE, NULL, NULL);
        if (filter == NULL) {
            bufferevent_free(under); /* it stays the caller's */
        } else {
            bufferevent_setcb(filter, told_read, told_write, told_event, &told);
            if (bufferevent_enable(filter, EV_READ) == 0) {
                (void)bufferevent_write(filter, "hello", 5);
                send_text(fds[1], "world");
                for (int i = 0; i < 3; i++)
                    turn(base);
                (void)bufferevent_write(filter, "again", 5);
            }
            bufferevent_free(filter);
            for (int i = 0; i < 3; i++)
                turn(base);
        }
        event_base_free(base);
        close(fds[1]);
        if (!pe_mem_has_failed())
            break;
        pe_mem_fail_nth(0);
    }
}
