/* bench_buffer.c - how long the operations of evbuffer take.
 *
 * Uses event2/buffer.h alone; benchmarks/bench_buffer compiles it against this
 * library and against the system's libevent and compares. Prints, for each
 * operation, nanoseconds: the best and the median of RUNS runs.
 */
#include <event2/buffer.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RUNS 15
#define RUN_NS 4e6 /* about how long one run takes */
#define LINES 256  /* lines of 64 bytes: 16 KiB */

static struct evbuffer *buf, *other;
static char data[1 << 17], out[1 << 17];

static double now_ns(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double run(void (*op)(void), long times) {
    double start = now_ns();

    for (long i = 0; i < times; i++)
        op();
    return now_ns() - start;
}

/* `op` does `units` things at a time. */
static void measure(const char *name, void (*op)(void), int units) {
    double ns[RUNS];
    long times = 16;

    while (run(op, times) < RUN_NS / 2)
        times *= 2;
    for (int i = 0; i < RUNS; i++)
        ns[i] = run(op, times) / (double)times / units;
    qsort(ns, RUNS, sizeof(ns[0]), by_value);
    printf("%s\t%.1f\t%.1f\n", name, ns[0], ns[RUNS / 2]);
    evbuffer_drain(buf, sizeof(data));
    evbuffer_drain(other, sizeof(data));
}

static void cleanup(const void *p, size_t n, void *arg) {
    (void)p;
    (void)n;
    (void)arg;
}

static void add_remove_64(void) {
    evbuffer_add(buf, data, 64);
    evbuffer_remove(buf, out, 64);
}

static void add_remove_4k(void) {
    evbuffer_add(buf, data, 4096);
    evbuffer_remove(buf, out, 4096);
}

static void add_reference(void) {
    evbuffer_add_reference(buf, data, 4096, cleanup, NULL);
    evbuffer_drain(buf, 4096);
}

static void add_lines(void) {
    for (int i = 0; i < LINES; i++)
        evbuffer_add(buf, data + i * 64, 64);
}

static void readln(void) {
    char *line;

    add_lines();
    while ((line = evbuffer_readln(buf, NULL, EVBUFFER_EOL_CRLF)) != NULL)
        free(line);
}

/* What readln is for, without the copy. */
static void look_at_lines(void) {
    struct evbuffer_iovec vec[2];
    struct evbuffer_ptr end;
    size_t eol;

    add_lines();
    for (;;) {
        end = evbuffer_search_eol(buf, NULL, &eol, EVBUFFER_EOL_CRLF);
        if (end.pos < 0)
            return;
        evbuffer_peek(buf, end.pos, NULL, vec, 2);
        evbuffer_drain(buf, (size_t)end.pos + eol);
    }
}

static void move(void) {
    if (evbuffer_get_length(buf) == 0)
        evbuffer_add(buf, data, 65536);
    evbuffer_add_buffer(other, buf);
    evbuffer_add_buffer(buf, other);
}

static void prepend(void) {
    evbuffer_add(buf, data, 100);
    evbuffer_prepend(buf, data, 4);
    evbuffer_drain(buf, 104);
}

static void search(void) {
    if (evbuffer_get_length(buf) == 0)
        evbuffer_add(buf, data, 65536);
    evbuffer_search(buf, "not there", 9, NULL);
}

static void print(void) {
    evbuffer_add_printf(buf, "HTTP/1.1 %d %s\r\n", 200, "OK");
    evbuffer_drain(buf, 100);
}

static void reserve(void) {
    struct evbuffer_iovec vec;

    evbuffer_reserve_space(buf, 512, &vec, 1);
    vec.iov_len = 512;
    evbuffer_commit_space(buf, &vec, 1);
    evbuffer_drain(buf, 512);
}

int main(void) {
    buf = evbuffer_new();
    other = evbuffer_new();
    if (buf == NULL || other == NULL)
        return 1;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = i % 64 == 63 ? '\n' : (char)('a' + i * 7 % 26);
    measure("add + remove 64 B", add_remove_64, 1);
    measure("add + remove 4 KiB", add_remove_4k, 1);
    measure("add_reference + drain", add_reference, 1);
    measure("add + readln, 64 B", readln, LINES);
    measure("add + search_eol + peek", look_at_lines, LINES);
    measure("move 64 KiB there and back", move, 1);
    measure("add 100 B + prepend 4 B", prepend, 1);
    measure("search 64 KiB in vain", search, 1);
    measure("add_printf", print, 1);
    measure("reserve + commit 512 B", reserve, 1);
    evbuffer_free(buf);
    evbuffer_free(other);
    return 0;
}
