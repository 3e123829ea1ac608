/* rot13_bufferevent.c - a line server written for libevent: each line comes back
 * with its letters turned by 13 places.
 *
 *     rot13_bufferevent [port]        port 0, the default: any free one
 *
 * Prints "listening on 127.0.0.1:PORT" and serves until SIGINT or SIGTERM, then
 * exits with status 0. Nothing here is of one library: it compiles unchanged
 * against libevent 2.1 and against libpyevent.a, and a test runs both with the
 * same clients.
 *
 * Lines may be of any length. A client that has closed its sending side gets the
 * answers to all its complete lines before the connection is closed. One that
 * sends and does not read is not read from until it has taken its answers.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#define OUTPUT_MAX (1 << 20) /* bytes waiting for a client that does not read */
#define LINGER_SECONDS 30   /* to take the last answers */

struct client {
    struct client *next, **link; /* in server.clients */
    struct bufferevent *bev;
    int has_ended; /* it sends no more */
};

struct server {
    struct event_base *base;
    struct client *clients;
};

static char rot13(char c) {
    if ((c >= 'a' && c <= 'm') || (c >= 'A' && c <= 'M'))
        return (char)(c + 13);
    if ((c >= 'n' && c <= 'z') || (c >= 'N' && c <= 'Z'))
        return (char)(c - 13);
    return c;
}

static void client_free(struct client *client) {
    *client->link = client->next;
    if (client->next != NULL)
        client->next->link = client->link;
    bufferevent_free(client->bev);
    free(client);
}

/* Answer the complete lines, as long as the client takes the answers. */
static void answer_lines(struct client *client) {
    struct evbuffer *in = bufferevent_get_input(client->bev);
    struct evbuffer *out = bufferevent_get_output(client->bev);
    size_t len, i;
    char *line;

    while (evbuffer_get_length(out) < OUTPUT_MAX || client->has_ended) {
        line = evbuffer_readln(in, &len, EVBUFFER_EOL_LF);
        if (line == NULL)
            return;
        for (i = 0; i < len; i++)
            line[i] = rot13(line[i]);
        line[len] = '\n'; /* in the place of the NUL */
        if (evbuffer_add(out, line, len + 1) < 0)
            fprintf(stderr, "out of memory: a line is lost\n");
        free(line);
    }
    bufferevent_disable(client->bev, EV_READ);
}

static void on_read(struct bufferevent *bev, void *arg) {
    (void)bev;
    answer_lines(arg);
}

/* All answers have been taken. */
static void on_written(struct bufferevent *bev, void *arg) {
    struct client *client = arg;

    if (client->has_ended) {
        client_free(client);
        return;
    }
    if (bufferevent_get_enabled(bev) & EV_READ)
        return;
    bufferevent_enable(bev, EV_READ);
    answer_lines(client);
}

static void on_event(struct bufferevent *bev, short what, void *arg) {
    struct client *client = arg;
    struct timeval limit = {LINGER_SECONDS, 0};

    if (!(what & BEV_EVENT_EOF)) {
        client_free(client); /* an error, or too slow to take its last answers */
        return;
    }
    client->has_ended = 1;
    answer_lines(client);
    if (evbuffer_get_length(bufferevent_get_output(bev)) == 0)
        client_free(client);
    else
        bufferevent_set_timeouts(bev, NULL, &limit);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd,
                      struct sockaddr *addr, int addrlen, void *arg) {
    struct server *server = arg;
    struct client *client = calloc(1, sizeof(*client));

    (void)listener;
    (void)addr;
    (void)addrlen;
    if (client != NULL)
        client->bev = bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (client == NULL || client->bev == NULL) {
        free(client);
        evutil_closesocket(fd);
        return;
    }
    client->link = &server->clients;
    client->next = server->clients;
    if (client->next != NULL)
        client->next->link = &client->next;
    server->clients = client;
    bufferevent_setcb(client->bev, on_read, on_written, on_event, client);
    if (bufferevent_enable(client->bev, EV_READ) < 0)
        client_free(client);
}

static void on_signal(evutil_socket_t signo, short what, void *arg) {
    struct server *server = arg;

    (void)signo;
    (void)what;
    event_base_loopexit(server->base, NULL);
}

static struct evconnlistener *listen_on(struct server *server, int port) {
    struct sockaddr_in sin;

    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sin.sin_port = htons((unsigned short)port);
    return evconnlistener_new_bind(server->base, on_accept, server,
                                   LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC |
                                       LEV_OPT_REUSEABLE,
                                   1024, (struct sockaddr *)&sin, (int)sizeof(sin));
}

static void say_where(struct evconnlistener *listener) {
    struct sockaddr_in sin;
    socklen_t len = sizeof(sin);

    if (getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&sin, &len) < 0) {
        perror("getsockname");
        return;
    }
    printf("listening on 127.0.0.1:%d\n", ntohs(sin.sin_port));
    fflush(stdout);
}

int main(int argc, char **argv) {
    struct server server = {NULL, NULL};
    struct event *on_int = NULL, *on_term = NULL;
    struct evconnlistener *listener = NULL;
    int status = 1;

    signal(SIGPIPE, SIG_IGN); /* libevent's sockets raise it */
    server.base = event_base_new();
    if (server.base == NULL) {
        perror("event_base_new");
        return 1;
    }
    on_int = evsignal_new(server.base, SIGINT, on_signal, &server);
    on_term = evsignal_new(server.base, SIGTERM, on_signal, &server);
    if (on_int == NULL || on_term == NULL || event_add(on_int, NULL) < 0 ||
        event_add(on_term, NULL) < 0) {
        fprintf(stderr, "cannot catch signals\n");
        goto done;
    }
    listener = listen_on(&server, argc > 1 ? atoi(argv[1]) : 0);
    if (listener == NULL) {
        perror("listen");
        goto done;
    }
    say_where(listener);
    status = event_base_dispatch(server.base) < 0;
done:
    while (server.clients != NULL)
        client_free(server.clients);
    if (listener != NULL)
        evconnlistener_free(listener);
    if (on_term != NULL)
        event_free(on_term);
    if (on_int != NULL)
        event_free(on_int);
    event_base_free(server.base);
    return status;
}
