/* client.c - the load of bench_churn.py: connections that live for one line.
 *
 *     client PORT WARMUP_MS MEASURE_MS
 *
 * One after the other: connect, send a line, read its answer, close with a reset, so
 * that no port is kept in TIME_WAIT. Prints "begin" when the measured time begins,
 * and then one line of JSON:
 *
 *     {"connections": N, "seconds": S}
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ns(void) {
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void one_connection(const struct sockaddr_in *addr) {
    struct linger reset = {1, 0};
    char answer[8];
    size_t got = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0)
        die("connect");
    if (send(fd, "hello\n", 6, MSG_NOSIGNAL) != 6)
        die("send");
    while (got < 6) {
        ssize_t n = recv(fd, answer, sizeof(answer), 0);

        if (n <= 0)
            die("recv");
        got += (size_t)n;
    }
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(fd);
}

static long run_until(const struct sockaddr_in *addr, int64_t end) {
    long n = 0;

    for (; now_ns() < end; n++)
        one_connection(addr);
    return n;
}

int main(int argc, char **argv) {
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int64_t begin;
    long n;

    if (argc != 4) {
        fprintf(stderr, "client PORT WARMUP_MS MEASURE_MS\n");
        return 2;
    }
    addr.sin_port = htons((uint16_t)atoi(argv[1]));
    run_until(&addr, now_ns() + atol(argv[2]) * 1000000);
    printf("begin\n");
    fflush(stdout);
    begin = now_ns();
    n = run_until(&addr, begin + atol(argv[3]) * 1000000);
    printf("{\"connections\": %ld, \"seconds\": %.6f}\n", n, (double)(now_ns() - begin) * 1e-9);
    return 0;
}
