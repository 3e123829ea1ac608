/* client.c - the load of bench_bulk.py: blocks to an echo server, and back.
 *
 *     client PORT CONNECTIONS SIZE WARMUP_MS MEASURE_MS
 *
 * Each connection sends a block of SIZE bytes, reading meanwhile what comes back,
 * and the next one when the whole has returned. Every byte is checked. Prints
 * "begin" when the measured time begins, and then one line of JSON:
 *
 *     {"mib": N, "seconds": S}
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

struct connection {
    int fd;
    size_t sent, back; /* of this block */
    int waits_to_write;
};

static size_t size;
static char *block;
static uint64_t bytes;
static int ep;

static int64_t now_ns(void) {
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void watch(struct connection *c, int writes) {
    struct epoll_event ev = {.events = EPOLLIN | (writes ? EPOLLOUT : 0), .data.ptr = c};

    if (writes != c->waits_to_write && epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &ev) < 0)
        die("epoll_ctl");
    c->waits_to_write = writes;
}

static void send_some(struct connection *c) {
    while (c->sent < size) {
        ssize_t r = send(c->fd, block + c->sent, size - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (r < 0 && errno == EAGAIN)
            break;
        if (r < 0)
            die("send");
        c->sent += (size_t)r;
    }
    watch(c, c->sent < size);
}

static void receive(struct connection *c) {
    static char buf[READ_SIZE];
    size_t most = size - c->back < READ_SIZE ? size - c->back : READ_SIZE;
    ssize_t n = recv(c->fd, buf, most, MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        die("recv");
    if (memcmp(buf, block + c->back, (size_t)n) != 0) {
        fprintf(stderr, "a wrong answer\n");
        exit(1);
    }
    c->back += (size_t)n;
    bytes += (uint64_t)n;
    if (c->back == size) {
        c->back = c->sent = 0;
        send_some(c);
    }
}

static void run_until(int64_t end) {
    struct epoll_event events[64];

    while (now_ns() < end) {
        int n = epoll_wait(ep, events, 64, 100);

        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;

            if (events[i].events & EPOLLOUT)
                send_some(c);
            if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))
                receive(c);
        }
    }
}

static void connect_one(struct connection *c, int port) {
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    int one = 1;

    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        die("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ev) < 0)
        die("epoll_ctl");
    send_some(c);
}

int main(int argc, char **argv) {
    struct connection *connections;
    int64_t begin;
    int count;

    if (argc != 6) {
        fprintf(stderr, "client PORT CONNECTIONS SIZE WARMUP_MS MEASURE_MS\n");
        return 2;
    }
    count = atoi(argv[2]);
    size = (size_t)atol(argv[3]);
    ep = epoll_create1(0);
    block = malloc(size);
    connections = calloc((size_t)count, sizeof(*connections));
    if (count < 1 || size < 1 || ep < 0 || block == NULL || connections == NULL)
        die("setup");
    for (size_t i = 0; i < size; i++)
        block[i] = (char)(i * 2654435761u >> 13);
    for (int i = 0; i < count; i++)
        connect_one(&connections[i], atoi(argv[1]));
    run_until(now_ns() + atol(argv[4]) * 1000000);
    bytes = 0;
    printf("begin\n");
    fflush(stdout);
    begin = now_ns();
    run_until(begin + atol(argv[5]) * 1000000);
    printf("{\"mib\": %.3f, \"seconds\": %.6f}\n", (double)bytes / (1 << 20),
           (double)(now_ns() - begin) * 1e-9);
    return 0;
}
