/* on_libuv.c - the pipes on libuv's uv_poll_t. */
#include <stdlib.h>
#include <uv.h>

#include "pipes.h"

static uv_poll_t *polls;
static int is_open;

static void on_readable(uv_poll_t *poll, int status, int events) {
    (void)status;
    (void)events;
    pipe_readable((int)(poll - polls));
}

void loop_open(int n) {
    polls = calloc((size_t)n, sizeof(*polls));
    if (polls == NULL)
        abort();
}

void loop_watch_all(int n, const int *fds) {
    for (int i = 0; i < n; i++) {
        if (!is_open)
            uv_poll_init(uv_default_loop(), &polls[i], fds[i]);
        else
            uv_poll_stop(&polls[i]);
        uv_poll_start(&polls[i], UV_READABLE, on_readable);
    }
    is_open = 1;
}

void loop_turn(void) {
    uv_run(uv_default_loop(), UV_RUN_NOWAIT);
}
