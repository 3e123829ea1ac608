/* test_conformance.c - what every kind of bufferevent must do, asked of each.
 *
 * A kind makes two bufferevents that are each other's peer, `near` and `far`:
 *
 *     tcp, unix        socket <-> socket
 *     pair             one end of a pair <-> the other one
 *     filter-*         a filter over one of these <-> the other one
 *     filters-tcp      a filter over a filter over a socket <-> a filter over a socket
 *
 * A new kind joins by a line in `kinds`. Each test goes through all of them and prints
 * which one it is at. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "streams.h"

struct link {
    const struct kind *kind;
    struct event_base *base;
    struct bufferevent *near, *far;
    struct bufferevent *beneath; /* of `near`: the lowest one, or `near` itself */
    struct told of_near, of_far;
};

struct kind {
    const char *name;
    void (*connect)(struct link *l, int options);
    int has_sockets; /* and so ends by FIN and errors; those of a pair are only told */
    int filters;     /* above the lowest one of `near` */
};

/* --- kinds -------------------------------------------------------------------------- */

static void connect_fds(struct link *l, int fds[2], int options) {
    CHECK_EQ(evutil_make_socket_nonblocking(fds[1]), 0);
    l->near = bufferevent_socket_new(l->base, fds[0], options | BEV_OPT_CLOSE_ON_FREE);
    l->far = bufferevent_socket_new(l->base, fds[1], options | BEV_OPT_CLOSE_ON_FREE);
    CHECK(l->near != NULL && l->far != NULL);
    l->beneath = l->near;
}

static void connect_tcp(struct link *l, int options) {
    int fds[2];

    make_tcp_pair(fds);
    connect_fds(l, fds, options);
}

static void connect_unix(struct link *l, int options) {
    int fds[2];

    make_pair(fds);
    connect_fds(l, fds, options);
}

static void connect_pair(struct link *l, int options) {
    struct bufferevent *pair[2];

    CHECK_EQ(bufferevent_pair_new(l->base, options, pair), 0);
    l->near = l->beneath = pair[0];
    l->far = pair[1];
}

static enum bufferevent_filter_result pass(struct evbuffer *src, struct evbuffer *dst,
                                           ev_ssize_t limit, enum bufferevent_flush_mode mode,
                                           void *ctx) {
    size_t n = limit < 0 ? evbuffer_get_length(src) : (size_t)limit;

    (void)mode;
    (void)ctx;
    return evbuffer_remove_buffer(src, dst, n) > 0 ? BEV_OK : BEV_NEED_MORE;
}

static struct bufferevent *filter_over(struct bufferevent *bev, int options) {
    struct bufferevent *filter = bufferevent_filter_new(
        bev, pass, pass, options | BEV_OPT_CLOSE_ON_FREE, NULL, NULL);

    CHECK(filter != NULL);
    return filter;
}

static void connect_filter_tcp(struct link *l, int options) {
    connect_tcp(l, 0);
    l->near = filter_over(l->near, options);
}

static void connect_filter_unix(struct link *l, int options) {
    connect_unix(l, options);
    l->near = filter_over(l->near, options);
}

static void connect_filter_pair(struct link *l, int options) {
    connect_pair(l, options);
    l->near = filter_over(l->near, options);
}

static void connect_filters_tcp(struct link *l, int options) {
    connect_tcp(l, options);
    l->near = filter_over(filter_over(l->near, 0), options);
    l->far = filter_over(l->far, options);
}

static const struct kind kinds[] = {
    {"tcp", connect_tcp, 1, 0},
    {"unix", connect_unix, 1, 0},
    {"pair", connect_pair, 0, 0},
    {"filter-tcp", connect_filter_tcp, 1, 1},
    {"filter-unix", connect_filter_unix, 1, 1},
    {"filter-pair", connect_filter_pair, 0, 1},
    {"filters-tcp", connect_filters_tcp, 1, 2},
};

#define EACH(k) \
    for (const struct kind *k = kinds; k != kinds + sizeof(kinds) / sizeof(kinds[0]); k++)

static void open_link(struct link *l, const struct kind *kind, int options) {
    printf("kind: %s\n", kind->name);
    fflush(stdout);
    memset(l, 0, sizeof(*l));
    l->kind = kind;
    l->base = event_base_new();
    CHECK(l->base != NULL);
    kind->connect(l, options);
    bufferevent_setcb(l->near, told_read, told_write, told_event, &l->of_near);
    bufferevent_setcb(l->far, told_read, told_write, told_event, &l->of_far);
}

static void close_link(struct link *l) {
    if (l->near != NULL)
        bufferevent_free(l->near);
    if (l->far != NULL)
        bufferevent_free(l->far);
    event_base_free(l->base);
    CHECK_EQ(pe_mem_live_total(), 0);
}

static size_t input_len(struct bufferevent *bev) {
    return evbuffer_get_length(bufferevent_get_input(bev));
}

static size_t output_len(struct bufferevent *bev) {
    return evbuffer_get_length(bufferevent_get_output(bev));
}

/* Let what is on its way arrive. A loopback socket has no delay, but a hop or two. */
static void settle(struct link *l) {
    for (int i = 0; i < 8; i++)
        turn(l->base);
}

/* --- data ---------------------------------------------------------------------------- */

#define TOTAL (512u * 1024u)

/* One direction: bytes of a fixed sequence, in pieces of random size. */
struct flow {
    struct bufferevent *from, *to;
    size_t sent, got;
    unsigned random;
};

static unsigned char byte_at(size_t i) {
    return (unsigned char)((i * 2654435761u) >> 13);
}

static size_t pick(unsigned *random, size_t most) {
    *random = *random * 1103515245u + 12345u;
    return 1 + (*random >> 8) % most;
}

static void send_piece(struct flow *f) {
    static unsigned char bytes[30000];
    size_t n = pick(&f->random, pick(&f->random, 4) == 1 ? sizeof(bytes) : 700);

    if (n > TOTAL - f->sent)
        n = TOTAL - f->sent;
    for (size_t i = 0; i < n; i++)
        bytes[i] = byte_at(f->sent + i);
    CHECK_EQ(bufferevent_write(f->from, bytes, n), 0);
    f->sent += n;
}

static void receive_piece(struct flow *f) {
    static unsigned char bytes[30000];
    size_t n = bufferevent_read(f->to, bytes, pick(&f->random, sizeof(bytes)));

    for (size_t i = 0; i < n; i++)
        CHECK_EQ(bytes[i], byte_at(f->got + i));
    f->got += n;
}

struct traffic {
    struct flow there, back; /* near to far, far to near */
};

static struct flow *flow_to(struct traffic *t, struct bufferevent *bev) {
    return t->there.to == bev ? &t->there : &t->back;
}

static void take_some(struct bufferevent *bev, void *arg) {
    receive_piece(flow_to(arg, bev));
}

static void give_more(struct bufferevent *bev, void *arg) {
    struct traffic *t = arg;
    struct flow *f = t->there.from == bev ? &t->there : &t->back;

    if (f->sent < TOTAL)
        send_piece(f);
}

static void no_event(struct bufferevent *bev, short what, void *arg) {
    (void)bev;
    (void)arg;
    harness_fail(__FILE__, __LINE__, "event 0x%x", (unsigned)what);
}

static void start_traffic(struct traffic *t, struct link *l, unsigned seed) {
    memset(t, 0, sizeof(*t));
    t->there = (struct flow){.from = l->near, .to = l->far, .random = seed};
    t->back = (struct flow){.from = l->far, .to = l->near, .random = seed + 1};
    bufferevent_setcb(l->near, take_some, give_more, no_event, t);
    bufferevent_setcb(l->far, take_some, give_more, no_event, t);
    CHECK_EQ(bufferevent_enable(l->near, EV_READ), 0);
    CHECK_EQ(bufferevent_enable(l->far, EV_READ), 0);
    send_piece(&t->there);
    send_piece(&t->back);
}

static void run_traffic(struct traffic *t, struct link *l) {
    while (t->there.got < TOTAL || t->back.got < TOTAL) {
        /* What a read callback left calls nobody: take it here. */
        if (input_len(l->far) != 0)
            receive_piece(&t->there);
        if (input_len(l->near) != 0)
            receive_piece(&t->back);
        turn(l->base);
    }
    CHECK_EQ(t->there.got, TOTAL);
    CHECK_EQ(t->back.got, TOTAL);
}

TEST(every_byte_arrives_in_order_in_both_directions) {
    EACH(kind) {
        struct traffic t;
        struct link l;

        open_link(&l, kind, 0);
        start_traffic(&t, &l, 1);
        run_traffic(&t, &l);
        close_link(&l);
    }
}

TEST(every_byte_arrives_with_deferred_callbacks) {
    EACH(kind) {
        struct traffic t;
        struct link l;

        open_link(&l, kind, BEV_OPT_DEFER_CALLBACKS);
        start_traffic(&t, &l, 2);
        run_traffic(&t, &l);
        close_link(&l);
    }
}

TEST(every_byte_arrives_through_narrow_marks_and_small_pieces) {
    EACH(kind) {
        struct traffic t;
        struct link l;

        open_link(&l, kind, 0);
        bufferevent_setwatermark(l.near, EV_READ, 0, 3000);
        bufferevent_setwatermark(l.far, EV_READ, 0, 5000);
        bufferevent_setwatermark(l.beneath, EV_WRITE, 100, 4000);
        bufferevent_set_max_single_read(l.near, 1777);
        bufferevent_set_max_single_write(l.far, 2777);
        start_traffic(&t, &l, 3);
        run_traffic(&t, &l);
        close_link(&l);
    }
}

TEST(every_byte_arrives_within_rate_limits) {
    EACH(kind) {
        struct timeval ms = {0, 1000};
        struct ev_token_bucket_cfg *cfg = ev_token_bucket_cfg_new(8000, 9000, 7000, 9000, &ms);
        struct bufferevent_rate_limit_group *group;
        struct traffic t;
        struct link l;

        open_link(&l, kind, 0);
        group = bufferevent_rate_limit_group_new(l.base, cfg);
        CHECK_EQ(bufferevent_set_rate_limit(l.near, cfg), 0);
        CHECK_EQ(bufferevent_add_to_rate_limit_group(l.near, group), 0);
        CHECK_EQ(bufferevent_add_to_rate_limit_group(l.far, group), 0);
        start_traffic(&t, &l, 4);
        run_traffic(&t, &l);
        bufferevent_rate_limit_group_free(group);
        ev_token_bucket_cfg_free(cfg);
        close_link(&l);
    }
}

TEST(every_byte_arrives_when_reading_pauses) {
    EACH(kind) {
        struct traffic t;
        struct link l;
        unsigned random = 5;

        open_link(&l, kind, 0);
        start_traffic(&t, &l, 5);
        while (t.there.got < TOTAL || t.back.got < TOTAL) {
            struct bufferevent *bev = pick(&random, 2) == 1 ? l.near : l.far;

            bufferevent_disable(bev, EV_READ);
            turn(l.base);
            bufferevent_enable(bev, EV_READ);
            receive_piece(&t.there);
            receive_piece(&t.back);
            turn(l.base);
        }
        close_link(&l);
    }
}

/* --- directions and marks --------------------------------------------------------------- */

TEST(new_one_writes_and_does_not_read) {
    EACH(kind) {
        struct link l;

        open_link(&l, kind, 0);
        CHECK_EQ(bufferevent_get_enabled(l.near), EV_WRITE);
        bufferevent_write(l.far, "abc", 3);
        settle(&l);
        CHECK_EQ(input_len(l.near), 0);
        bufferevent_enable(l.near, EV_READ);
        run_until(l.base, &l.of_near.reads, 1);
        CHECK_EQ(input_len(l.near), 3);
        close_link(&l);
    }
}

TEST(nothing_is_written_while_writing_is_disabled) {
    EACH(kind) {
        struct link l;

        open_link(&l, kind, 0);
        bufferevent_enable(l.far, EV_READ);
        bufferevent_disable(l.near, EV_WRITE);
        bufferevent_write(l.near, "abc", 3);
        settle(&l);
        CHECK_EQ(output_len(l.near), 3);
        CHECK_EQ(l.of_far.reads, 0);
        bufferevent_enable(l.near, EV_WRITE);
        run_until(l.base, &l.of_far.reads, 1);
        CHECK_EQ(input_len(l.far), 3);
        close_link(&l);
    }
}

TEST(high_mark_suspends_reading_and_draining_resumes_it) {
    EACH(kind) {
        struct link l;
        size_t total = 0;

        open_link(&l, kind, 0);
        bufferevent_setwatermark(l.near, EV_READ, 0, 10);
        bufferevent_enable(l.near, EV_READ);
        bufferevent_write(l.far, "0123456789012345678901234", 25);
        while (total < 25) {
            run_until(l.base, &l.of_near.reads, l.of_near.reads + 1);
            settle(&l);
            CHECK(input_len(l.near) <= 10);
            total += input_len(l.near);
            CHECK(total == 25 || input_len(l.near) == 10);
            evbuffer_drain(bufferevent_get_input(l.near), 10);
        }
        CHECK_EQ(l.of_near.events, 0);
        close_link(&l);
    }
}

TEST(low_mark_delays_the_read_callback) {
    EACH(kind) {
        struct link l;

        open_link(&l, kind, 0);
        bufferevent_setwatermark(l.near, EV_READ, 4, 0);
        bufferevent_enable(l.near, EV_READ);
        bufferevent_write(l.far, "abc", 3);
        settle(&l);
        CHECK_EQ(input_len(l.near), 3);
        CHECK_EQ(l.of_near.reads, 0);
        bufferevent_write(l.far, "d", 1);
        run_until(l.base, &l.of_near.reads, 1);
        close_link(&l);
    }
}

TEST(write_callback_comes_once_when_the_output_has_gone) {
    EACH(kind) {
        struct link l;

        open_link(&l, kind, 0);
        bufferevent_enable(l.far, EV_READ);
        bufferevent_write(l.near, "abc", 3);
        bufferevent_write(l.near, "def", 3);
        CHECK_EQ(l.of_near.writes, 0);
        settle(&l);
        CHECK_EQ(l.of_near.writes, 1);
        CHECK_EQ(output_len(l.near), 0);
        CHECK_EQ(input_len(l.far), 6);
        close_link(&l);
    }
}

TEST(enabling_writing_calls_the_write_callback_of_a_socket_once) {
    EACH(kind) {
        struct link l;

        open_link(&l, kind, 0);
        settle(&l);
        bufferevent_enable(l.near, EV_WRITE);
        CHECK_EQ(l.of_near.writes, 0);
        settle(&l);
        CHECK_EQ(l.of_near.writes, kind->has_sockets && kind->filters == 0);
        close_link(&l);
    }
}

/* --- timeouts --------------------------------------------------------------------------- */

TEST(read_timeout_disables_reading_and_is_told) {
    EACH(kind) {
        struct timeval soon = {0, 5000};
        struct link l;

        open_link(&l, kind, 0);
        bufferevent_set_timeouts(l.near, &soon, NULL);
        settle(&l);
        CHECK_EQ(l.of_near.events, 0); /* it does not read */
        bufferevent_enable(l.near, EV_READ);
        run_until(l.base, &l.of_near.events, 1);
        CHECK_EQ(l.of_near.what, BEV_EVENT_READING | BEV_EVENT_TIMEOUT);
        CHECK_EQ(l.of_near.enabled, EV_WRITE);
        bufferevent_set_timeouts(l.near, NULL, NULL);
        bufferevent_write(l.far, "x", 1);
        bufferevent_enable(l.near, EV_READ);
        run_until(l.base, &l.of_near.reads, 1);
        close_link(&l);
    }
}

TEST(write_timeout_disables_writing_and_is_told) {
    static char bytes[16 << 20];

    EACH(kind) {
        struct timeval soon = {0, 5000};
        struct link l;

        open_link(&l, kind, 0);
        /* A filter has output that waits only where there is a mark below. */
        for (struct bufferevent *bev = bufferevent_get_underlying(l.near); bev != NULL;
             bev = bufferevent_get_underlying(bev))
            bufferevent_setwatermark(bev, EV_WRITE, 0, 1000);
        bufferevent_set_timeouts(l.near, NULL, &soon);
        bufferevent_write(l.near, bytes, sizeof(bytes));
        run_until(l.base, &l.of_near.events, 1);
        CHECK_EQ(l.of_near.what, BEV_EVENT_WRITING | BEV_EVENT_TIMEOUT);
        CHECK_EQ(l.of_near.enabled, 0);
        CHECK(output_len(l.near) != 0);
        close_link(&l);
    }
}

/* --- ends and errors ---------------------------------------------------------------------- */

TEST(end_of_file_comes_after_all_data) {
    EACH(kind) {
        struct link l;

        open_link(&l, kind, 0);
        bufferevent_enable(l.near, EV_READ);
        bufferevent_write(l.far, "last words", 10);
        CHECK_EQ(bufferevent_shutdown_write(l.far), 0);
        run_until(l.base, &l.of_near.events, 1);
        settle(&l);
        CHECK_STR(l.of_near.order, "re");
        CHECK_EQ(l.of_near.what, BEV_EVENT_READING | BEV_EVENT_EOF);
        CHECK_EQ(input_len(l.near), 10);
        bufferevent_enable(l.far, EV_READ); /* the other direction is open */
        bufferevent_write(l.near, "answer", 6);
        run_until(l.base, &l.of_far.reads, 1);
        CHECK_EQ(input_len(l.far), 6);
        CHECK_EQ(l.of_near.events, 1);
        close_link(&l);
    }
}

TEST(end_of_file_waits_for_what_a_mark_holds_back) {
    EACH(kind) {
        struct link l;
        size_t total = 0;

        if (strcmp(kind->name, "pair") == 0)
            continue; /* finishing ignores the mark there, as in libevent */
        open_link(&l, kind, 0);
        bufferevent_setwatermark(l.near, EV_READ, 0, 4);
        bufferevent_enable(l.near, EV_READ);
        bufferevent_write(l.far, "0123456789", 10);
        CHECK_EQ(bufferevent_shutdown_write(l.far), 0);
        while (l.of_near.events == 0) {
            turn(l.base);
            total += input_len(l.near);
            CHECK(l.of_near.events == 0 || total == 10);
            evbuffer_drain(bufferevent_get_input(l.near), input_len(l.near));
        }
        CHECK_EQ(total, 10);
        close_link(&l);
    }
}

TEST(broken_connection_is_an_error_after_all_data) {
    EACH(kind) {
        struct linger hard = {1, 0};
        struct link l;

        if (!kind->has_sockets || strstr(kind->name, "tcp") == NULL)
            continue;
        open_link(&l, kind, 0);
        bufferevent_enable(l.near, EV_READ);
        bufferevent_write(l.far, "abc", 3);
        run_until(l.base, &l.of_near.reads, 1);
        CHECK_EQ(setsockopt(bufferevent_getfd(l.far), SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)),
                 0);
        bufferevent_free(l.far);
        l.far = NULL;
        run_until(l.base, &l.of_near.events, 1);
        CHECK_STR(l.of_near.order, "re");
        CHECK_EQ(l.of_near.what, BEV_EVENT_READING | BEV_EVENT_ERROR);
        CHECK_EQ(l.of_near.error, ECONNRESET);
        CHECK_EQ(l.of_near.enabled & EV_READ, 0);
        CHECK_EQ(input_len(l.near), 3);
        settle(&l);
        CHECK_EQ(l.of_near.events, 1);
        close_link(&l);
    }
}

TEST(closing_after_flush_delivers_everything) {
    static char bytes[3 << 20];

    EACH(kind) {
        struct link l;

        open_link(&l, kind, 0);
        bufferevent_enable(l.far, EV_READ);
        bufferevent_write(l.near, bytes, sizeof(bytes));
        CHECK_EQ(bufferevent_close_after_flush(l.near, NULL), 0);
        l.near = NULL;
        run_until(l.base, &l.of_far.events, 1);
        CHECK_EQ(l.of_far.what, BEV_EVENT_READING | BEV_EVENT_EOF);
        CHECK_EQ(input_len(l.far), sizeof(bytes));
        bufferevent_free(l.far);
        l.far = NULL;
        CHECK_EQ(event_base_dispatch(l.base), 1); /* and it goes by itself */
        close_link(&l);
    }
}

TEST(closing_after_flush_tells_one_who_has_ended_before) {
    EACH(kind) {
        struct link l;

        open_link(&l, kind, 0);
        bufferevent_enable(l.near, EV_READ);
        CHECK_EQ(bufferevent_shutdown_write(l.far), 0);
        run_until(l.base, &l.of_near.events, 1);
        bufferevent_write(l.near, "answer", 6);
        CHECK_EQ(bufferevent_close_after_flush(l.near, NULL), 0);
        l.near = NULL;
        bufferevent_enable(l.far, EV_READ);
        run_until(l.base, &l.of_far.events, 1);
        CHECK_STR(l.of_far.order, "re");
        CHECK_EQ(l.of_far.what, BEV_EVENT_READING | BEV_EVENT_EOF);
        CHECK_EQ(input_len(l.far), 6);
        bufferevent_free(l.far);
        l.far = NULL;
        CHECK_EQ(event_base_dispatch(l.base), 1);
        close_link(&l);
    }
}

/* --- freeing ------------------------------------------------------------------------------- */

static void free_near(struct bufferevent *bev, void *arg) {
    struct link *l = arg;

    CHECK(bev == l->near);
    l->near = NULL;
    bufferevent_free(bev);
}

static void free_near_at_event(struct bufferevent *bev, short what, void *arg) {
    (void)what;
    free_near(bev, arg);
}

TEST(freeing_in_the_read_callback_ends_all_calls) {
    EACH(kind) {
        for (int deferred = 0; deferred < 2; deferred++) {
            struct link l;

            open_link(&l, kind, deferred ? BEV_OPT_DEFER_CALLBACKS : 0);
            bufferevent_setcb(l.near, free_near, NULL, NULL, &l);
            bufferevent_set_max_single_read(l.near, 1);
            bufferevent_enable(l.near, EV_READ);
            bufferevent_write(l.far, "abc", 3);
            while (l.near != NULL)
                turn(l.base);
            settle(&l); /* free_near checks that it is not called again */
            close_link(&l);
        }
    }
}

TEST(freeing_in_the_write_callback_ends_all_calls) {
    EACH(kind) {
        for (int deferred = 0; deferred < 2; deferred++) {
            struct link l;

            open_link(&l, kind, deferred ? BEV_OPT_DEFER_CALLBACKS : 0);
            bufferevent_enable(l.far, EV_READ);
            bufferevent_setcb(l.near, NULL, free_near, NULL, &l);
            bufferevent_write(l.near, "abc", 3);
            while (l.near != NULL)
                turn(l.base);
            settle(&l);
            CHECK_EQ(input_len(l.far), 3);
            close_link(&l);
        }
    }
}

TEST(freeing_in_the_event_callback_ends_all_calls) {
    EACH(kind) {
        for (int deferred = 0; deferred < 2; deferred++) {
            struct link l;

            open_link(&l, kind, deferred ? BEV_OPT_DEFER_CALLBACKS : 0);
            bufferevent_setcb(l.near, NULL, NULL, free_near_at_event, &l);
            bufferevent_enable(l.near, EV_READ);
            bufferevent_write(l.far, "abc", 3);
            CHECK_EQ(bufferevent_shutdown_write(l.far), 0);
            while (l.near != NULL)
                turn(l.base);
            settle(&l);
            close_link(&l);
        }
    }
}

TEST(freeing_at_any_moment_leaves_nothing) {
    for (int when = 0; when < 12; when++) {
        EACH(kind) {
            struct traffic t;
            struct link l;

            open_link(&l, kind, 0);
            start_traffic(&t, &l, (unsigned)when);
            bufferevent_setcb(l.far, take_some, give_more, NULL, &t);
            bufferevent_setcb(l.near, take_some, give_more, NULL, &t);
            for (int i = 0; i < when; i++)
                turn(l.base);
            bufferevent_free(l.near);
            l.near = NULL;
            settle(&l);
            close_link(&l);
        }
    }
}

TEST(base_may_be_freed_first) {
    EACH(kind) {
        struct traffic t;
        struct link l;

        open_link(&l, kind, 0);
        start_traffic(&t, &l, 7);
        turn(l.base);
        event_base_free(l.base);
        bufferevent_write(l.near, "x", 1);
        bufferevent_enable(l.near, EV_READ | EV_WRITE);
        bufferevent_free(l.near);
        bufferevent_free(l.far);
        CHECK_EQ(pe_mem_live_total(), 0);
    }
}

/* --- deferring and flushing ------------------------------------------------------------------ */

static void answer(struct bufferevent *bev, void *arg) {
    char bytes[100];
    size_t n = bufferevent_read(bev, bytes, sizeof(bytes));

    told_read(bev, arg);
    bufferevent_write(bev, bytes, n);
}

TEST(deferred_callbacks_come_from_the_loop_in_order) {
    EACH(kind) {
        struct link l;

        open_link(&l, kind, BEV_OPT_DEFER_CALLBACKS);
        bufferevent_setcb(l.far, answer, NULL, NULL, &l.of_far);
        bufferevent_enable(l.near, EV_READ);
        bufferevent_enable(l.far, EV_READ);
        bufferevent_write(l.near, "a", 1);
        bufferevent_write(l.near, "b", 1);
        CHECK_EQ(l.of_far.reads + l.of_near.reads + l.of_near.writes, 0);
        run_until(l.base, &l.of_near.reads, 1);
        settle(&l);
        CHECK_EQ(input_len(l.near), 2);
        bufferevent_trigger_event(l.near, BEV_EVENT_EOF, 0);
        bufferevent_trigger(l.near, EV_READ | EV_WRITE, 0);
        memset(&l.of_near, 0, sizeof(l.of_near));
        settle(&l);
        CHECK_STR(l.of_near.order, "rwe");
        close_link(&l);
    }
}

TEST(flushing_in_any_mode_loses_nothing) {
    static const enum bufferevent_flush_mode modes[] = {BEV_NORMAL, BEV_FLUSH};

    EACH(kind) {
        struct link l;

        open_link(&l, kind, 0);
        bufferevent_enable(l.far, EV_READ);
        for (int i = 0; i < 20; i++) {
            bufferevent_write(l.near, "0123456789", 10);
            CHECK(bufferevent_flush(l.near, EV_READ | EV_WRITE, modes[i % 2]) >= 0);
        }
        settle(&l);
        CHECK_EQ(input_len(l.far), 200);
        CHECK_EQ(l.of_far.events, 0);
        close_link(&l);
    }
}

TEST(finishing_ends_a_pair_and_leaves_a_socket_as_it_is) {
    EACH(kind) {
        struct link l;

        open_link(&l, kind, 0);
        bufferevent_enable(l.far, EV_READ);
        bufferevent_write(l.near, "abc", 3);
        CHECK(bufferevent_flush(l.near, EV_WRITE, BEV_FINISHED) >= 0);
        settle(&l);
        CHECK_EQ(input_len(l.far), 3);
        CHECK_EQ(l.of_far.what, kind->has_sockets ? 0 : BEV_EVENT_READING | BEV_EVENT_EOF);
        close_link(&l);
    }
}

TEST(every_kind_knows_what_lies_beneath) {
    EACH(kind) {
        struct bufferevent *bev;
        struct link l;
        int filters = 0;

        open_link(&l, kind, 0);
        for (bev = l.near; bufferevent_get_underlying(bev) != NULL; filters++)
            bev = bufferevent_get_underlying(bev);
        CHECK(bev == l.beneath);
        CHECK_EQ(filters, kind->filters);
        CHECK_EQ(bufferevent_getfd(l.near) >= 0, kind->has_sockets);
        close_link(&l);
    }
}

TEST(every_kind_has_a_priority) {
    EACH(kind) {
        struct link l;

        open_link(&l, kind, 0);
        CHECK_EQ(event_base_priority_init(l.base, 3), 0);
        CHECK_EQ(bufferevent_priority_set(l.near, 2), 0);
        CHECK_EQ(bufferevent_priority_set(l.near, 3), -1);
        CHECK_EQ(bufferevent_get_priority(l.near), 2);
        bufferevent_enable(l.near, EV_READ);
        bufferevent_write(l.far, "x", 1);
        run_until(l.base, &l.of_near.reads, 1);
        close_link(&l);
    }
}
