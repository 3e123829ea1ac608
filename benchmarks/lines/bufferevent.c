/* bufferevent.c - a ROT13 line server on bufferevents, over event2/ names alone: one
 * source for libevent and for pyevent's core.
 *
 *     bufferevent [PORT]
 *
 * The plainest that there is; tests/c/programs/rot13_bufferevent.c is one that
 * looks after its clients. Prints "listening on 127.0.0.1:PORT".
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

static unsigned char table[256];

static void make_table(void) {
    for (int c = 0; c < 256; c++) {
        table[c] = (unsigned char)c;
        if (c >= 'a' && c <= 'z')
            table[c] = (unsigned char)('a' + (c - 'a' + 13) % 26);
        if (c >= 'A' && c <= 'Z')
            table[c] = (unsigned char)('A' + (c - 'A' + 13) % 26);
    }
}

static void on_read(struct bufferevent *bev, void *arg) {
    struct evbuffer *in = bufferevent_get_input(bev), *out = bufferevent_get_output(bev);
    size_t n;
    char *line;

    (void)arg;
    while ((line = evbuffer_readln(in, &n, EVBUFFER_EOL_LF)) != NULL) {
        for (size_t i = 0; i < n; i++)
            line[i] = (char)table[(unsigned char)line[i]];
        line[n] = '\n';
        evbuffer_add(out, line, n + 1);
        free(line);
    }
}

static void on_event(struct bufferevent *bev, short what, void *arg) {
    (void)arg;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        bufferevent_free(bev);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr,
                      int len, void *arg) {
    struct bufferevent *bev = bufferevent_socket_new(arg, fd, BEV_OPT_CLOSE_ON_FREE);
    int one = 1;

    (void)listener;
    (void)addr;
    (void)len;
    if (bev == NULL)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    bufferevent_setcb(bev, on_read, NULL, on_event, NULL);
    bufferevent_enable(bev, EV_READ);
}

int main(int argc, char **argv) {
    struct event_base *base = event_base_new();
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0)),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    struct evconnlistener *listener;

    make_table();
    listener = evconnlistener_new_bind(base, on_accept, base,
                                       LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 4096,
                                       (struct sockaddr *)&addr, sizeof(addr));
    if (listener == NULL) {
        perror("listen");
        return 1;
    }
    getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&addr, &len);
    printf("listening on 127.0.0.1:%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    return event_base_dispatch(base);
}
