/* inbox.h - where datagrams are received.
 *
 * An area of EVDGRAM_BATCH slots, each of the largest datagram's size, for all sockets
 * of a base: what is in it lasts until the next call. Only the pages that messages
 * touch are ever real. No datagram of IP is longer than 64 KiB. Of other families
 * (Unix) there is no such limit: they have an area of their own, four times as
 * large, whose slots become longer and fewer for a socket that needs it.
 */
#ifndef PE_STREAM_INBOX_H
#define PE_STREAM_INBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "event2/datagram.h"

#define PE_INBOX_IP_SLOT ((size_t)65536)
#define PE_INBOX_SLOT (4 * PE_INBOX_IP_SLOT) /* more than a Unix socket sends by default */
#define PE_INBOX_AREA (EVDGRAM_BATCH * PE_INBOX_SLOT)

struct pe_inbox {
    char *ip_area; /* NULL: nobody has needed it yet */
    char *area;    /* the same for other families */
};

/* What a socket is to the inbox. */
struct pe_source {
    int fd;
    bool is_ip;
    size_t slot_size;
};

/* The messages of one call that were longer than a slot, and are lost. */
struct pe_cut {
    int count;
    size_t longest;
};

/* Have memory for such a socket. 0 or -ENOMEM. */
int pe_inbox_reserve(struct pe_inbox *inbox, bool is_ip);
void pe_inbox_free(struct pe_inbox *inbox);

/* A socket as it begins. */
void pe_source_init(struct pe_source *source, int fd, bool is_ip);

/* Receive what is there into EVDGRAM_BATCH `messages` and `addrs`: how many, or a
 * negative errno. Those that were cut off are counted in `cut`, and the slots
 * grow for the next ones. */
int pe_inbox_receive(struct pe_inbox *inbox, struct pe_source *source,
                     struct evdgram_message *messages, struct sockaddr_storage *addrs,
                     struct pe_cut *cut);

/* Empty the socket's error queue (IP_RECVERR), which makes it ready until somebody
 * does: how many entries there were, at most EVDGRAM_BATCH; `err` is the error of the
 * last that told of one, 0: none. */
int pe_source_take_errors(const struct pe_source *source, int *err);

#endif
