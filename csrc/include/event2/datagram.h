/* event2/datagram.h - datagram sockets: messages in batches. pyevent's own;
 * libevent has nothing like it.
 *
 * A datagram socket is no stream, so there are no evbuffers here: what comes is
 * handed over message by message with its sender's address, up to
 * EVDGRAM_BATCH of them in one call, and what goes out is queued message by
 * message and sent at the end of the loop's turn, many with one system call.
 * Boundaries are kept. The queue is bounded: a message that finds it full is
 * dropped and counted, as the network would.
 *
 * A receiver that takes nothing (a full Unix socket), or a device whose queue is
 * full, holds up nobody else and no processor: what is for it waits, in half of the
 * queue at most, and is tried again after 1 ms, 2 ms ... 100 ms. Reads that fail again
 * and again rest as long. The error queue of a socket with IP_RECVERR is emptied
 * when there is nothing else to read, and its errors are told.
 *
 * Errors and threads: as in event2/bufferevent.h, whose BEV_ constants are used.
 */
#ifndef EVENT2_DATAGRAM_H
#define EVENT2_DATAGRAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "event2/util.h"

#ifdef __cplusplus
extern "C" {
#endif

#define EVDGRAM_BATCH 64               /* the most messages in one call */
#define EVDGRAM_QUEUE_MAX (1024 * 1024) /* bytes that may wait, at first */

struct evdgram;
struct event_base;

/* A message that has come; all of it lasts until the callback returns. */
struct evdgram_message {
    const void *data;
    size_t len;
    const struct sockaddr *addr; /* the sender's */
    int addrlen;                 /* 0: it has none (an unnamed Unix socket) */
};

typedef void (*evdgram_read_cb)(struct evdgram *dgram, const struct evdgram_message *messages,
                                int count, void *arg);

/* BEV_EVENT_ERROR with BEV_EVENT_READING or WRITING; errno says which: an ICMP
 * error of a connected socket (ECONNREFUSED ...), a message that could not be
 * sent (EMSGSIZE, EACCES; EAGAIN: no room for more that wait for this receiver) and
 * was dropped; reading: EMSGSIZE, one that was longer than 256 KiB and was dropped; the
 * next ones have room, up to 16 MiB. The socket goes on. */
typedef void (*evdgram_event_cb)(struct evdgram *dgram, short what, void *arg);

/* On the datagram socket `fd`, which becomes non-blocking. `options`:
 * BEV_OPT_CLOSE_ON_FREE. Nothing is read before evdgram_enable. NULL with errno set
 * (EPROTOTYPE: it is a stream's socket); `fd` is the caller's then. */
struct evdgram *evdgram_new(struct event_base *base, evutil_socket_t fd, int options);

/* The same on a new socket bound to `addr`, closed on free. */
struct evdgram *evdgram_new_bind(struct event_base *base, const struct sockaddr *addr,
                                 int addrlen);

/* No callback runs any more; what is queued is dropped. */
void evdgram_free(struct evdgram *dgram);

/* NULL: no such callback. Without a read callback what comes is dropped. */
void evdgram_setcb(struct evdgram *dgram, evdgram_read_cb readcb, evdgram_event_cb eventcb,
                   void *arg);

/* Read, or leave what comes in the kernel. */
int evdgram_enable(struct evdgram *dgram);
int evdgram_disable(struct evdgram *dgram);

/* Queue a copy of a message for `addr`, or for the peer of a connected socket
 * (NULL, 0). It is sent at the end of the loop's turn. -1: ENOBUFS, the queue is
 * full (or what waits for a receiver that takes nothing now fills half of it), and it
 * was dropped; ENOMEM; EMSGSIZE, longer than any datagram: 64 KiB, of other
 * families than IP 16 MiB; EAFNOSUPPORT, not of the socket's family. */
int evdgram_send(struct evdgram *dgram, const void *data, size_t len, const struct sockaddr *addr,
                 int addrlen);

/* How many bytes may wait in the queue; what waits already stays. */
void evdgram_set_queue_max(struct evdgram *dgram, size_t bytes);

/* Bytes that wait; messages that were dropped so far, for whatever reason. */
size_t evdgram_get_queued(const struct evdgram *dgram);
uint64_t evdgram_get_dropped(const struct evdgram *dgram);

evutil_socket_t evdgram_get_fd(const struct evdgram *dgram);

/* NULL when the base was freed. */
struct event_base *evdgram_get_base(const struct evdgram *dgram);

#ifdef __cplusplus
}
#endif
#endif
