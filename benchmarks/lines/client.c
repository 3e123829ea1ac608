/* client.c - the load of bench_lines.py: lines to a ROT13 server, and their answers.
 *
 *     client PORT CONNECTIONS DEPTH SIZE WARMUP_MS MEASURE_MS
 *
 * Keeps DEPTH lines of SIZE bytes (newline included) under way on each of
 * CONNECTIONS connections to 127.0.0.1, for WARMUP_MS + MEASURE_MS, and checks
 * every byte that comes back. Prints "begin" when the measured time begins, and
 * then one line of JSON:
 *
 *     {"messages": N, "seconds": S, "p50_us": X, "p99_us": Y}
 *
 * A message's latency is the time from the send of its line to the read that
 * brought the end of its answer.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE (1 << 18)
#define SAMPLES_MAX (1 << 22)
#define DEPTH_MAX 64

struct connection {
    int fd;
    size_t at;                  /* bytes of the next answer that have come */
    unsigned first;             /* the oldest line under way, in sent_ns */
    int64_t sent_ns[DEPTH_MAX]; /* when each was sent */
};

static int depth;
static size_t size;
static char *lines;  /* `depth` lines as sent */
static char *answer; /* one line as it must come back */
static uint32_t *samples;
static size_t sample_count;
static uint64_t messages;

static int64_t now_ns(void) {
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static char rot13(char c) {
    if (c >= 'a' && c <= 'z')
        return (char)('a' + (c - 'a' + 13) % 26);
    return c;
}

static void make_lines(void) {
    lines = malloc(size * (size_t)depth);
    answer = malloc(size);
    samples = malloc(SAMPLES_MAX * sizeof(*samples));
    if (lines == NULL || answer == NULL || samples == NULL)
        die("malloc");
    for (size_t i = 0; i < size; i++) {
        char c = i + 1 == size ? '\n' : (char)('a' + i % 26);

        answer[i] = rot13(c);
        for (int d = 0; d < depth; d++)
            lines[(size_t)d * size + i] = c;
    }
}

static void connect_one(struct connection *c, int port) {
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;

    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    c->at = 0;
    c->first = 0;
}

/* Send `count` lines; they are small enough for the socket's buffer. */
static void send_lines(struct connection *c, int count, unsigned slot) {
    size_t n = (size_t)count * size, done = 0;
    int64_t now = now_ns();

    for (int i = 0; i < count; i++)
        c->sent_ns[(slot + (unsigned)i) % (unsigned)depth] = now;
    while (done < n) {
        ssize_t r = send(c->fd, lines + done, n - done, MSG_NOSIGNAL);

        if (r < 0)
            die("send");
        done += (size_t)r;
    }
}

/* Check what has come: how many answers are complete by it. */
static int take(struct connection *c, const char *data, size_t n, int64_t now) {
    int complete = 0;

    while (n > 0) {
        size_t part = size - c->at < n ? size - c->at : n;

        if (memcmp(data, answer + c->at, part) != 0) {
            fprintf(stderr, "a wrong answer\n");
            exit(1);
        }
        c->at += part;
        data += part;
        n -= part;
        if (c->at < size)
            break;
        c->at = 0;
        if (sample_count < SAMPLES_MAX)
            samples[sample_count++] =
                (uint32_t)((now - c->sent_ns[(c->first + (unsigned)complete) % (unsigned)depth]) /
                           10);
        complete++;
    }
    messages += (uint64_t)complete;
    return complete;
}

static void attend(struct connection *c, char *buf) {
    ssize_t n = recv(c->fd, buf, READ_SIZE, MSG_DONTWAIT);
    int complete;

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        die("recv");
    complete = take(c, buf, (size_t)n, now_ns());
    if (complete == 0)
        return;
    send_lines(c, complete, c->first);
    c->first = (c->first + (unsigned)complete) % (unsigned)depth;
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static double percentile(double p) {
    return sample_count ? samples[(size_t)(p * (double)(sample_count - 1))] / 100.0 : 0.0;
}

static void run_until(int ep, char *buf, int64_t end) {
    struct epoll_event events[512];

    while (now_ns() < end) {
        int n = epoll_wait(ep, events, 512, 100);

        for (int i = 0; i < n; i++)
            attend(events[i].data.ptr, buf);
    }
}

int main(int argc, char **argv) {
    static char buf[READ_SIZE];
    struct connection *connections;
    int ep = epoll_create1(0), count;
    int64_t start, begin;

    if (argc != 7) {
        fprintf(stderr, "client PORT CONNECTIONS DEPTH SIZE WARMUP_MS MEASURE_MS\n");
        return 2;
    }
    count = atoi(argv[2]);
    depth = atoi(argv[3]);
    size = (size_t)atol(argv[4]);
    if (count < 1 || depth < 1 || depth > DEPTH_MAX || size < 2 || size > READ_SIZE) {
        fprintf(stderr, "client: an argument is out of range\n");
        return 2;
    }
    make_lines();
    connections = calloc((size_t)count, sizeof(*connections));
    if (connections == NULL || ep < 0)
        die("setup");
    for (int i = 0; i < count; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &connections[i]};

        connect_one(&connections[i], atoi(argv[1]));
        if (epoll_ctl(ep, EPOLL_CTL_ADD, connections[i].fd, &ev) < 0)
            die("epoll_ctl");
    }
    start = now_ns();
    for (int i = 0; i < count; i++)
        send_lines(&connections[i], depth, 0);
    run_until(ep, buf, start + atol(argv[5]) * 1000000);
    messages = 0;
    sample_count = 0;
    printf("begin\n");
    fflush(stdout);
    begin = now_ns();
    run_until(ep, buf, begin + atol(argv[6]) * 1000000);
    printf("{\"messages\": %llu, \"seconds\": %.6f", (unsigned long long)messages,
           (double)(now_ns() - begin) * 1e-9);
    qsort(samples, sample_count, sizeof(*samples), by_value);
    printf(", \"p50_us\": %.2f, \"p99_us\": %.2f}\n", percentile(0.5), percentile(0.99));
    return 0;
}
