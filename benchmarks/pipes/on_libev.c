/* on_libev.c - the pipes on libev. */
#include <ev.h>
#include <stdint.h>
#include <stdlib.h>

#include "pipes.h"

static struct ev_loop *loop;
static struct ev_io *watchers;

static void on_readable(struct ev_loop *l, ev_io *w, int revents) {
    (void)l;
    (void)revents;
    pipe_readable((int)(w - watchers));
}

void loop_open(int n) {
    loop = ev_default_loop(0);
    watchers = calloc((size_t)n, sizeof(*watchers));
    if (loop == NULL || watchers == NULL)
        abort();
}

void loop_watch_all(int n, const int *fds) {
    for (int i = 0; i < n; i++) {
        if (ev_is_active(&watchers[i]))
            ev_io_stop(loop, &watchers[i]);
        ev_io_init(&watchers[i], on_readable, fds[i], EV_READ);
        ev_io_start(loop, &watchers[i]);
    }
}

void loop_turn(void) {
    ev_run(loop, EVRUN_NOWAIT);
}
