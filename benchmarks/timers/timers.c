/* timers.c - what timers cost: set, move, cancel, fire, while COUNT are pending.
 *
 *     timers COUNT RUNS
 *
 * In a callback, which is where a server sets timers; `add_outside_ns` is the same before
 * the loop. Delays are random over 100 seconds, moving draws new ones; those that fire are
 * random within 2 ms, and all due when they are asked for. Timed in processor
 * time; prints one line of JSON, nanoseconds for each timer, medians over RUNS:
 *
 *     {"add_ns": X, "move_ns": X, "cancel_ns": X, "fire_ns": X, "active_ns": X,
 *      "add_outside_ns": X}
 *
 * `active_ns` is from making a callback due by hand to its call (0: not possible).
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "timers.h"

enum { ADD, MOVE, CANCEL, FIRE, ACTIVE, OUTSIDE, KINDS };

static const char *const names[KINDS] = {"add", "move", "cancel", "fire", "active", "add_outside"};
static int fired;
static uint64_t state = 88172645463325252u;

static double now_ns(void) {
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static long random_us(long max) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return 1 + (long)(state % (uint64_t)max);
}

void timer_fired(void) {
    fired++;
}

static void set_all(int count, long max_us) {
    for (int i = 0; i < count; i++)
        timer_set(i, random_us(max_us));
}

static void wait_ms(long ms) {
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&ts, NULL);
}

static double fire_all(int count) {
    double start;

    timers_turn(); /* a library's idea of the time is renewed */
    set_all(count, 2000);
    wait_ms(5);
    fired = 0;
    start = now_ns();
    while (fired < count)
        timers_turn();
    return now_ns() - start;
}

static double activate_all(int count) {
    double start = now_ns();

    fired = 0;
    for (int i = 0; i < count; i++) {
        if (timer_activate(i) < 0)
            return 0;
    }
    while (fired < count)
        timers_turn();
    return now_ns() - start;
}

static int timers;
static double *result;

static void set_and_cancel(void) {
    double start = now_ns();

    set_all(timers, 100000000);
    result[ADD] = now_ns() - start;
    start = now_ns();
    set_all(timers, 100000000);
    result[MOVE] = now_ns() - start;
    start = now_ns();
    for (int i = 0; i < timers; i++)
        timer_cancel(i);
    result[CANCEL] = now_ns() - start;
}

/* What a program does before its loop, or in a thread of its own. */
static void set_outside(void) {
    double start = now_ns();

    set_all(timers, 100000000);
    result[OUTSIDE] = now_ns() - start;
    for (int i = 0; i < timers; i++)
        timer_cancel(i);
}

static void run_once(int count, double *ns) {
    timers = count;
    result = ns;
    timers_turn();
    set_outside();
    timers_in_callback(set_and_cancel);
    ns[FIRE] = fire_all(count);
    ns[ACTIVE] = activate_all(count);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    int count, runs;
    double *all, *column;

    if (argc != 3) {
        fprintf(stderr, "timers COUNT RUNS\n");
        return 2;
    }
    count = atoi(argv[1]);
    runs = atoi(argv[2]);
    all = calloc((size_t)runs + 1, KINDS * sizeof(*all));
    column = calloc((size_t)runs + 1, sizeof(*column));
    if (count < 1 || runs < 1 || all == NULL || column == NULL)
        return 1;
    timers_open(count);
    for (int r = 0; r <= runs; r++)
        run_once(count, all + (size_t)r * KINDS);
    for (int k = 0; k < KINDS; k++) {
        for (int r = 0; r < runs; r++)
            column[r] = all[(size_t)(r + 1) * KINDS + (size_t)k];
        qsort(column, (size_t)runs, sizeof(*column), by_value);
        printf("%s\"%s_ns\": %.2f", k == 0 ? "{" : ", ", names[k], column[runs / 2] / count);
    }
    printf("}\n");
    return 0;
}
