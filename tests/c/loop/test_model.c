/* test_model.c - thousands of random steps, and a model that knows what fires.
 *
 * Sockets are opened, watched, written to, read empty, deleted and closed in
 * random order; their numbers are reused, and a dup may hold a closed one's
 * file, with data in it. After each turn exactly those events have fired that
 * the model expects: open, added and with data. A failing test's output names
 * the story, which is its seed.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "each.h"
#include "loop/internal.h"

enum { PLACES = 24, STEPS = 6000, STORIES = 3 };

struct place {
    bool is_open, is_added, has_data;
    int p[2];
    int copy; /* of an earlier p[0]; -1: none */
    struct event *ev;
    struct seen seen;
};

static struct place places[PLACES];
static unsigned seed;

static int chance(int n) {
    return rand_r(&seed) % n;
}

static void turn_once(struct event_base *base) {
    CHECK_EQ(event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY), 0);
}

static void open_place(struct event_base *base, struct place *x) {
    open_pair(x->p);
    x->ev = event_new(base, x->p[0], EV_READ | EV_PERSIST, see, &x->seen);
    CHECK(x->ev != NULL);
    x->is_open = true;
    x->is_added = x->has_data = false;
}

static void close_place(struct place *x) {
    event_free(x->ev);
    if (x->copy < 0 && chance(2))
        x->copy = dup(x->p[0]);
    close(x->p[0]);
    (void)!write(x->p[1], "y", 1); /* reported still, if the copy holds it */
    close(x->p[1]);
    x->is_open = false;
}

static void drain(int fd) {
    char bytes[64];

    while (read(fd, bytes, sizeof(bytes)) > 0)
        continue;
}

static void step_open(struct place *x) {
    switch (chance(7)) {
    case 0:
    case 1:
        CHECK_EQ(event_add(x->ev, NULL), 0);
        x->is_added = true;
        break;
    case 2:
        CHECK_EQ(event_del(x->ev), 0);
        x->is_added = false;
        break;
    case 3:
    case 4:
        send_byte(x->p[1]);
        x->has_data = true;
        break;
    case 5:
        drain(x->p[0]);
        x->has_data = false;
        break;
    default:
        if (chance(2))
            close_place(x);
    }
}

static void check_turn(struct event_base *base) {
    for (int i = 0; i < PLACES; i++)
        places[i].seen.calls = 0;
    turn_once(base);
    for (int i = 0; i < PLACES; i++) {
        struct place *x = &places[i];

        CHECK_EQ(x->seen.calls, x->is_open && x->is_added && x->has_data);
    }
    CHECK(base->change_count <= base->fds_in_use);
    CHECK(base->fds_in_use <= base->change_cap);
}

static void tell(const char *backend) {
    struct event_base *base = base_on(backend);

    for (int i = 0; i < PLACES; i++)
        places[i] = (struct place){.copy = -1};
    for (int step = 0; step < STEPS; step++) {
        struct place *x = &places[chance(PLACES)];

        if (chance(4) == 0) {
            check_turn(base);
        } else if (x->is_open) {
            step_open(x);
        } else if (x->copy >= 0 && chance(3) == 0) {
            close(x->copy);
            x->copy = -1;
        } else if (chance(3) == 0) {
            open_place(base, x);
        }
    }
    for (int i = 0; i < PLACES; i++) {
        if (places[i].is_open)
            close_place(&places[i]);
        if (places[i].copy >= 0)
            close(places[i].copy);
    }
    turn_once(base);
    CHECK_EQ(base->fds_in_use, 1); /* the wake descriptor */
    event_base_free(base);
}

TEST_EACH(what_fires_is_what_a_model_expects) {
    signal(SIGPIPE, SIG_IGN);
    for (unsigned story = 1; story <= STORIES; story++) {
        printf("story %u\n", story);
        seed = story;
        tell(backend);
    }
    signal(SIGPIPE, SIG_DFL);
}
