/* outbox.h - messages that wait to be sent, and the receivers that take none now.
 *
 * A message is in one of two places: in `ready`, oldest first, or with its
 * receiver while that rests. pe_outbox_rest() takes all messages for one
 * receiver out of `ready`; when its time is over, pe_outbox_wake() puts the
 * oldest of them back to try it with. If that one goes (pe_outbox_pop), the
 * others follow; if not, the receiver rests for twice as long. So the messages
 * for one receiver keep their order, and nobody waits behind another's.
 *
 * What waits for resting receivers may take half of the room, so that the
 * others find the other half. A receiver is an address; that of a connected
 * socket has none (length 0).
 *
 * No sockets here, no clock. The threads are the owner's business.
 */
#ifndef PE_STREAM_OUTBOX_H
#define PE_STREAM_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/list.h"

#define PE_OUTBOX_REST_MIN_NS INT64_C(1000000)   /* 1 ms ... */
#define PE_OUTBOX_REST_MAX_NS INT64_C(100000000) /* ... to 100 ms */

struct pe_receiver;

struct pe_message {
    struct pe_link link;
    struct pe_receiver *probes; /* which receiver this one tries; NULL: none */
    size_t len;
    socklen_t addrlen;
    bool was_retried; /* for the owner */
    struct sockaddr_storage addr;
    char data[];
};

struct pe_outbox {
    struct pe_link ready;     /* of struct pe_message, oldest first */
    struct pe_link receivers; /* that rest, or are tried again */
    unsigned receiver_count;
    size_t bytes, count; /* of all messages */
    size_t held_bytes, held_count; /* of those that wait for resting receivers */
    size_t addressed;    /* how many in `ready` have an address */
    size_t max;          /* what `bytes` may be */
};

void pe_outbox_init(struct pe_outbox *box, size_t max);

/* Drop all. */
void pe_outbox_clear(struct pe_outbox *box);

/* Queue a copy. 1: it is in `ready`; 0: its receiver rests; -ENOBUFS: there is
 * no room; -ENOMEM. */
int pe_outbox_add(struct pe_outbox *box, const void *data, size_t len,
                  const struct sockaddr *addr, socklen_t addrlen);

/* The first that is ready; NULL: none is. */
struct pe_message *pe_outbox_first(const struct pe_outbox *box);

/* The first has gone, one way or the other. */
void pe_outbox_pop(struct pe_outbox *box);

/* The receiver of the first takes nothing before `now` plus its rest: take all its
 * messages out of `ready`, `*taken` of them. What finds no room is dropped: how many. */
size_t pe_outbox_rest(struct pe_outbox *box, int64_t now, size_t *taken);

/* Try the receivers again whose time is over. */
void pe_outbox_wake(struct pe_outbox *box, int64_t now);

/* When the next one's time is over; -1: none rests. */
int64_t pe_outbox_due(const struct pe_outbox *box);

#endif
