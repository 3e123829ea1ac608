/* peer.c - whom a connection talks to. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include "base/addr.h"
#include "base/errors.h"
#include "base/mem.h"
#include "stream/extras.h"
#include "stream/socket.h"

static void note_path(struct bufferevent *bev, const struct sockaddr *addr, socklen_t len) {
    struct pe_bev_extras *extras = pe_bev_extras(bev);

    if (extras == NULL || len > sizeof(*extras->path))
        return;
    if (extras->path == NULL)
        extras->path = pe_calloc(PE_MEM_STREAM, 1, sizeof(*extras->path));
    if (extras->path == NULL)
        return;
    memcpy(extras->path, addr, len);
    extras->path_len = len;
}

void pe_peer_note(struct bufferevent *bev, const struct sockaddr *addr, socklen_t len,
                  bool keeps_path) {
    const struct sockaddr_in *v4 = (const void *)addr;
    const struct sockaddr_in6 *v6 = (const void *)addr;
    struct pe_peer *peer = pe_socket_peer(bev);

    pe_peer_forget(bev);
    if (len >= sizeof(*v4) && addr->sa_family == AF_INET) {
        peer->family = AF_INET;
        peer->port = v4->sin_port;
        memcpy(peer->ip, &v4->sin_addr, sizeof(v4->sin_addr));
    } else if (len >= sizeof(*v6) && addr->sa_family == AF_INET6) {
        peer->family = AF_INET6;
        peer->port = v6->sin6_port;
        peer->scope = v6->sin6_scope_id;
        memcpy(peer->ip, &v6->sin6_addr, sizeof(v6->sin6_addr));
    } else if (addr->sa_family == AF_UNIX && keeps_path) {
        note_path(bev, addr, len);
    }
}

void pe_peer_ask(struct bufferevent *bev, int fd) {
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    int saved = errno;

    if (fd >= 0 && getpeername(fd, (struct sockaddr *)&ss, &len) == 0)
        pe_peer_note(bev, (struct sockaddr *)&ss, len, false);
    errno = saved;
}

void pe_peer_forget(struct bufferevent *bev) {
    memset(pe_socket_peer(bev), 0, sizeof(struct pe_peer));
    if (bev->extras == NULL)
        return;
    pe_free(PE_MEM_STREAM, bev->extras->path);
    bev->extras->path = NULL;
}

/* What was noted; -ENOTCONN: nothing. */
static int recall(struct bufferevent *bev, struct sockaddr_storage *ss, socklen_t *len) {
    const struct pe_peer *peer = pe_socket_peer(bev);
    struct sockaddr_in *v4 = (void *)ss;
    struct sockaddr_in6 *v6 = (void *)ss;

    memset(ss, 0, sizeof(*ss));
    if (peer->family == AF_INET) {
        v4->sin_family = AF_INET;
        v4->sin_port = peer->port;
        memcpy(&v4->sin_addr, peer->ip, sizeof(v4->sin_addr));
        *len = sizeof(*v4);
        return 0;
    }
    if (peer->family == AF_INET6) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = peer->port;
        v6->sin6_scope_id = peer->scope;
        memcpy(&v6->sin6_addr, peer->ip, sizeof(v6->sin6_addr));
        *len = sizeof(*v6);
        return 0;
    }
    if (bev->extras == NULL || bev->extras->path == NULL)
        return -ENOTCONN;
    *len = bev->extras->path_len;
    memcpy(ss, bev->extras->path, *len);
    return 0;
}

int bufferevent_socket_get_peer(struct bufferevent *bev, struct sockaddr *addr, socklen_t *len) {
    struct sockaddr_storage ss;
    socklen_t found = sizeof(ss);
    struct bufferevent *under;
    int err = 0, fd;

    while ((under = bufferevent_get_underlying(bev)) != NULL)
        bev = under;
    if (pe_socket_peer(bev) == NULL)
        return pe_fail(-ENOTSOCK);
    fd = bufferevent_getfd(bev);
    /* The kernel knows better, as long as it knows anything. */
    if (fd < 0 || getpeername(fd, (struct sockaddr *)&ss, &found) < 0)
        err = recall(bev, &ss, &found);
    if (err < 0)
        return pe_fail(err);
    memcpy(addr, &ss, found < *len ? found : *len);
    *len = found;
    return 0;
}
