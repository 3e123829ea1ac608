/* on_libuv.c - the timers on libuv's uv_timer_t, of milliseconds. */
#include <stdlib.h>
#include <uv.h>

#include "timers.h"

static uv_timer_t *timers;

static void on_timeout(uv_timer_t *timer) {
    (void)timer;
    timer_fired();
}

void timers_open(int n) {
    timers = calloc((size_t)n, sizeof(*timers));
    if (timers == NULL)
        abort();
    for (int i = 0; i < n; i++)
        uv_timer_init(uv_default_loop(), &timers[i]);
}

void timer_set(int i, long us) {
    uv_timer_start(&timers[i], on_timeout, (uint64_t)(us + 999) / 1000, 0);
}

void timer_cancel(int i) {
    uv_timer_stop(&timers[i]);
}

static void call(uv_timer_t *timer) {
    (*(void (**)(void))timer->data)();
}

void timers_in_callback(void (*work)(void)) {
    static uv_timer_t now;

    now.data = &work;
    uv_timer_init(uv_default_loop(), &now);
    uv_timer_start(&now, call, 0, 0);
    timers_turn();
}

void timers_turn(void) {
    uv_run(uv_default_loop(), UV_RUN_NOWAIT);
}

int timer_activate(int i) {
    (void)i;
    return -1;
}
