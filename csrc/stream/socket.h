/* socket.h - what socket bufferevents let the files around them do.
 *
 * connect.c makes connections for them out of names, peer.c says whom they
 * talk to.
 */
#ifndef PE_STREAM_SOCKET_H
#define PE_STREAM_SOCKET_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#include "stream/bufferevent.h"

/* An IP address in a quarter of the room of a struct sockaddr_storage: every
 * connection has one, because the kernel does not tell it any more once the
 * connection is broken. */
struct pe_peer {
    uint16_t family; /* 0: not known, or no IP address */
    in_port_t port;
    uint32_t scope;
    unsigned char ip[16];
};

/* Note it as the peer's; other than IP only in `bev->extras`, and only if `keeps_path`.
 * What memory does not suffice for is forgotten. */
void pe_peer_note(struct bufferevent *bev, const struct sockaddr *addr, socklen_t len,
                  bool keeps_path);

/* Ask the kernel for the peer of `fd`, if there is one. */
void pe_peer_ask(struct bufferevent *bev, int fd);
void pe_peer_forget(struct bufferevent *bev);

/* NULL: no socket. */
struct pe_peer *pe_socket_peer(struct bufferevent *bev);

/* --- connecting, by stages: for connect.c --------------------------------------
 *
 * From begin on it counts as connecting. One of the others ends that; they run
 * callbacks, so the caller holds a reference. */

/* 0 or a negative errno. */
int pe_socket_begin(struct bufferevent *bev);

/* `fd` is connected, and the bufferevent's from now on. */
void pe_socket_connected(struct bufferevent *bev, int fd);

/* There is no way to connect: `err` is why, a negative errno. */
void pe_socket_failed(struct bufferevent *bev, int err);

/* Connect the descriptor that it has. */
void pe_socket_connect_own(struct bufferevent *bev, const struct sockaddr *addr, socklen_t len);

/* --- connect.c ------------------------------------------------------------------ */

/* Give up, or forget, what bufferevent_socket_connect_hostname has begun. */
void pe_connect_race_drop(struct bufferevent *bev);

#endif
