/* parity_readd.c - an event that is added again: what its descriptor has become
 * meanwhile, and what has been told already.
 *
 * A client that reconnects keeps its one event: del, close, a new socket, which gets
 * the lowest free number, the old one's, and add. And a callback that has taken
 * a part of what was there adds its edge-triggered event again to get the rest.
 */
#include "each.h"

/* How the number of the event's descriptor gets another file. */
enum way { CLOSE_AND_OPEN, DUP_OVER, CLOSE_WITH_A_DUP_LEFT };

struct client {
    struct event_base *base;
    struct event *ev;
    int p[2];
    int held; /* a dup of the old file; -1: none */
    enum way way;
    int told_of_old, told_of_new;
    short what; /* besides EV_READ */
};

static void get_a_new_file(struct client *c) {
    int q[2];

    if (c->way == CLOSE_WITH_A_DUP_LEFT) {
        c->held = dup(c->p[0]);
        CHECK(c->held >= 0);
    }
    if (c->way != DUP_OVER)
        CHECK_EQ(close(c->p[0]), 0);
    open_pair(q);
    if (q[0] != c->p[0]) {
        CHECK_EQ(dup2(q[0], c->p[0]), c->p[0]);
        close(q[0]);
    }
    CHECK_EQ(fcntl(c->p[0], F_SETFL, O_NONBLOCK), 0);
    if (c->way == CLOSE_WITH_A_DUP_LEFT)
        send_byte(c->p[1]); /* which nobody is to hear of */
    close(c->p[1]);
    c->p[1] = q[1];
}

static void reconnect(struct client *c) {
    if (c->what & EV_PERSIST)
        CHECK_EQ(event_del(c->ev), 0);
    get_a_new_file(c);
    CHECK_EQ(event_add(c->ev, NULL), 0);
    CHECK_EQ(write(c->p[1], "n", 1), 1);
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    struct client *c = arg;
    char byte;

    (void)what;
    if (read((int)fd, &byte, 1) != 1)
        return;
    if (byte == 'n') {
        c->told_of_new++;
        return;
    }
    if (c->told_of_old++ == 0)
        reconnect(c);
}

static void turn(struct event_base *base) {
    for (int i = 0; i < 3; i++)
        CHECK(event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE) >= 0);
}

static void open_client(struct client *c, const char *backend, enum way way, short what) {
    memset(c, 0, sizeof(*c));
    c->held = -1;
    c->way = way;
    c->what = what;
    c->base = base_on(backend);
    open_pair(c->p);
    c->ev = event_new(c->base, c->p[0], (short)(EV_READ | what), on_readable, c);
    CHECK(c->ev != NULL);
    CHECK_EQ(event_add(c->ev, NULL), 0);
}

static void close_client(struct client *c) {
    event_free(c->ev);
    event_base_free(c->base);
    close_pair(c->p);
    if (c->held >= 0)
        close(c->held);
}

static const enum way ways[] = {CLOSE_AND_OPEN, DUP_OVER, CLOSE_WITH_A_DUP_LEFT};

static void reconnect_in_callback(const char *backend, short what) {
    for (int i = 0; i < 3; i++) {
        struct client c;

        open_client(&c, backend, ways[i], what);
        CHECK_EQ(write(c.p[1], "o", 1), 1);
        turn(c.base);
        CHECK_EQ(c.told_of_old, 1);
        CHECK_EQ(c.told_of_new, 1);
        close_client(&c);
    }
}

TEST_EACH(a_persistent_event_hears_of_the_file_that_got_its_number) {
    reconnect_in_callback(backend, EV_PERSIST);
}

TEST_EACH(an_event_that_fires_once_hears_of_the_file_that_got_its_number) {
    reconnect_in_callback(backend, 0);
}

TEST_EACH(an_edge_triggered_event_hears_of_the_file_that_got_its_number) {
    reconnect_in_callback(backend, EV_ET);
    reconnect_in_callback(backend, EV_ET | EV_PERSIST);
}

TEST_EACH(between_two_loops_a_number_may_change_its_file_too) {
    for (int i = 0; i < 3; i++) {
        struct client c;

        open_client(&c, backend, ways[i], EV_PERSIST);
        turn(c.base);
        reconnect(&c);
        turn(c.base);
        CHECK_EQ(c.told_of_old, 0);
        CHECK_EQ(c.told_of_new, 1);
        close_client(&c);
    }
}

/* The other event stays for the whole time, wanting something else. */
TEST_EACH(another_event_on_the_number_does_not_hide_the_new_file) {
    for (int i = 0; i < 3; i++) {
        struct seen seen = {0};
        struct client c;
        struct event *other;

        open_client(&c, backend, ways[i], EV_PERSIST);
        other = event_new(c.base, c.p[0], EV_CLOSED | EV_PERSIST, see, &seen);
        CHECK(other != NULL);
        if (event_base_get_features(c.base) & EV_FEATURE_EARLY_CLOSE)
            CHECK_EQ(event_add(other, NULL), 0);
        turn(c.base);
        CHECK_EQ(write(c.p[1], "o", 1), 1);
        turn(c.base);
        CHECK_EQ(c.told_of_new, 1);
        if (ways[i] != CLOSE_WITH_A_DUP_LEFT) /* else libevent tells it of the old file's end */
            CHECK_EQ(seen.calls, 0);
        event_free(other);
        close_client(&c);
    }
}

TEST_EACH(deleting_and_adding_the_same_file_again_changes_nothing) {
    struct seen seen = {0};
    struct event_base *base = base_on(backend);
    struct event *ev;
    int p[2];

    open_pair(p);
    ev = event_new(base, p[0], EV_READ | EV_PERSIST, see, &seen);
    CHECK_EQ(event_add(ev, NULL), 0);
    send_byte(p[1]);
    for (int i = 1; i <= 3; i++) {
        CHECK_EQ(event_del(ev), 0);
        CHECK_EQ(event_add(ev, NULL), 0);
        CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE), 0);
        CHECK_EQ(seen.calls, i);
    }
    take_byte(p[0]);
    CHECK_EQ(event_del(ev), 0);
    CHECK_EQ(event_add(ev, NULL), 0);
    turn(base);
    CHECK_EQ(seen.calls, 3);
    event_free(ev);
    event_base_free(base);
    close_pair(p);
}

/* --- edges ------------------------------------------------------------------------- */

enum again { BY_ADD, BY_DEL_AND_ADD, LATER_IN_THE_TURN };

struct reader {
    struct event_base *base;
    struct event *ev;
    enum again again;
    int taken, calls;
};

static void add_again(evutil_socket_t fd, short what, void *arg) {
    struct reader *r = arg;

    (void)fd;
    (void)what;
    CHECK_EQ(event_add(r->ev, NULL), 0);
}

static void take_one(evutil_socket_t fd, short what, void *arg) {
    struct reader *r = arg;
    char byte;

    (void)what;
    r->calls++;
    if (read((int)fd, &byte, 1) != 1)
        return;
    r->taken++;
    if (r->again == LATER_IN_THE_TURN) {
        CHECK_EQ(event_base_once(r->base, -1, EV_TIMEOUT, add_again, r, NULL), 0);
        return;
    }
    if (r->again == BY_DEL_AND_ADD)
        CHECK_EQ(event_del(r->ev), 0);
    CHECK_EQ(event_add(r->ev, NULL), 0);
}

TEST_EACH(an_edge_triggered_event_that_is_added_again_gets_the_rest) {
    for (enum again again = BY_ADD; again <= LATER_IN_THE_TURN; again++) {
        for (short persist = 0; persist <= EV_PERSIST; persist += EV_PERSIST) {
            struct reader r = {.again = again};
            int p[2];

            if (persist && again != BY_DEL_AND_ADD)
                continue; /* it is pending still: nothing is added */
            r.base = base_on(backend);
            open_pair(p);
            r.ev = event_new(r.base, p[0], (short)(EV_READ | EV_ET | persist), take_one, &r);
            CHECK_EQ(event_add(r.ev, NULL), 0);
            CHECK_EQ(write(p[1], "abc", 3), 3);
            for (int i = 0; i < 8; i++)
                CHECK(event_base_loop(r.base, EVLOOP_NONBLOCK | EVLOOP_ONCE) >= 0);
            CHECK_EQ(r.taken, 3);
            CHECK_EQ(r.calls, 3);
            event_free(r.ev);
            event_base_free(r.base);
            close_pair(p);
        }
    }
}

TEST_EACH(an_edge_triggered_event_added_again_between_two_loops_is_told_again) {
    struct seen seen = {0};
    struct event_base *base = base_on(backend);
    struct event *ev;
    int p[2];

    open_pair(p);
    ev = event_new(base, p[0], EV_READ | EV_ET | EV_PERSIST, see, &seen);
    CHECK_EQ(event_add(ev, NULL), 0);
    send_byte(p[1]);
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE), 0);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(event_del(ev), 0);
    CHECK_EQ(event_add(ev, NULL), 0);
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE), 0);
    CHECK_EQ(seen.calls, 2);
    event_free(ev);
    event_base_free(base);
    close_pair(p);
}
