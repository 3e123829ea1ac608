/* pipes.c - the classic benchmark of event libraries: many pipes, few of them busy.
 *
 *     pipes PIPES ACTIVE WRITES RUNS
 *
 * In each run all events are deleted and added again, and then, twice, a byte goes into
 * ACTIVE pipes, evenly spread; who reads one writes one into the next pipe, until WRITES
 * bytes have been passed on. Timed apart, in processor time, are the re-adding, the
 * first pass, for which the re-adding has emptied the caches, and the second. Prints
 * one line of JSON, the medians over RUNS after one more that warms up:
 *
 *     {"loop_us": X, "first_us": Y, "add_us": Z}
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "pipes.h"

#define MAX_RUNS 1000

enum { ADD, FIRST, LOOP, KINDS };

static int count, left, fired;
static int *readers, *writers;

static double now_us(void) {
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec * 1e-3;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void put_byte(int i) {
    if (write(writers[i], "e", 1) != 1)
        die("write");
}

void pipe_readable(int i) {
    char byte;

    if (read(readers[i], &byte, 1) != 1)
        die("read");
    fired++;
    if (left > 0) {
        left--;
        put_byte(i + 1 == count ? 0 : i + 1);
    }
}

static double pass_on(int active, int writes) {
    double start = now_us();

    fired = 0;
    left = writes;
    for (int i = 0; i < active; i++)
        put_byte((int)((long)i * count / active));
    while (fired < active + writes)
        loop_turn();
    return now_us() - start;
}

static void run_once(int active, int writes, double *us) {
    double start = now_us();

    loop_watch_all(count, readers);
    loop_turn(); /* what was only noted must be done by now */
    us[ADD] = now_us() - start;
    us[FIRST] = pass_on(active, writes);
    us[LOOP] = pass_on(active, writes);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const double *us, int kind, int runs) {
    double sorted[MAX_RUNS];

    for (int r = 0; r < runs; r++)
        sorted[r] = us[(r + 1) * KINDS + kind];
    qsort(sorted, (size_t)runs, sizeof(*sorted), by_value);
    return sorted[runs / 2];
}

int main(int argc, char **argv) {
    int active, writes, runs;
    double *us;

    if (argc != 5) {
        fprintf(stderr, "pipes PIPES ACTIVE WRITES RUNS\n");
        return 2;
    }
    count = atoi(argv[1]);
    active = atoi(argv[2]);
    writes = atoi(argv[3]);
    runs = atoi(argv[4]);
    readers = calloc((size_t)count, sizeof(*readers));
    writers = calloc((size_t)count, sizeof(*writers));
    us = calloc((size_t)runs + 1, KINDS * sizeof(*us));
    if (count < 1 || runs < 1 || runs > MAX_RUNS || !readers || !writers || !us)
        die("setup");
    for (int i = 0; i < count; i++) {
        int pair[2];

        if (pipe2(pair, O_NONBLOCK | O_CLOEXEC) < 0)
            die("pipe2");
        readers[i] = pair[0];
        writers[i] = pair[1];
    }
    loop_open(count);
    for (int i = 0; i <= runs; i++)
        run_once(active, writes, us + i * KINDS);
    printf("{\"loop_us\": %.2f, \"first_us\": %.2f, \"add_us\": %.2f}\n",
           median(us, LOOP, runs), median(us, FIRST, runs), median(us, ADD, runs));
    return 0;
}
