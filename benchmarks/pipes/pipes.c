/* pipes.c - the classic benchmark of event libraries: many pipes, few of them busy.
 *
 *     pipes PIPES ACTIVE WRITES RUNS
 *
 * In each run a byte goes into ACTIVE pipes, evenly spread; who reads one writes
 * one into the next pipe, until WRITES bytes have been passed on. Timed apart are
 * that, and the re-adding of all events before it, in processor time. Prints one
 * line of JSON, the medians over RUNS after one more that warms up:
 *
 *     {"loop_us": X, "add_us": Y}
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "pipes.h"

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

static void run_once(int active, int writes, double *add_us, double *loop_us) {
    double start = now_us(), added;

    loop_watch_all(count, readers);
    loop_turn(); /* what was only noted must be done by now */
    added = now_us();
    fired = 0;
    left = writes;
    for (int i = 0; i < active; i++)
        put_byte((int)((long)i * count / active));
    while (fired < active + writes)
        loop_turn();
    *add_us = added - start;
    *loop_us = now_us() - added;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    int active, writes, runs;
    double *add_us, *loop_us;

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
    add_us = calloc((size_t)runs + 1, sizeof(*add_us));
    loop_us = calloc((size_t)runs + 1, sizeof(*loop_us));
    if (count < 1 || runs < 1 || !readers || !writers || !add_us || !loop_us)
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
        run_once(active, writes, &add_us[i], &loop_us[i]);
    qsort(add_us + 1, (size_t)runs, sizeof(*add_us), by_value);
    qsort(loop_us + 1, (size_t)runs, sizeof(*loop_us), by_value);
    printf("{\"loop_us\": %.2f, \"add_us\": %.2f}\n", loop_us[1 + runs / 2], add_us[1 + runs / 2]);
    return 0;
}
