/* context.h - what the streams of one event base share.
 *
 * The pool that their buffers draw on, and lists of all that live on the base.
 * The lists are there for the day the base is freed first, which is a fault of
 * the program: what is left then forgets the base, so that freeing it later
 * is safe still. Made with the first stream of a base, freed with the base.
 */
#ifndef PE_STREAM_CONTEXT_H
#define PE_STREAM_CONTEXT_H

#include <sys/socket.h>

#include "base/list.h"

struct event_base;
struct pe_pool;

struct pe_stream_context {
    struct pe_pool *pool;
    struct pe_link bufferevents; /* struct bufferevent.of_base */
    struct pe_link listeners;    /* struct evconnlistener.of_base */
    struct pe_link deferrals;    /* of buffers whose callbacks the loop runs */
    struct pe_link groups;       /* struct bufferevent_rate_limit_group.of_base */

    /* While a listener's callback runs: what it got. */
    int accepted_fd;
    const struct sockaddr *accepted_addr; /* NULL: nothing */
    socklen_t accepted_len;
};

/* That of `base`; NULL when memory is out. */
struct pe_stream_context *pe_stream_context_of(struct event_base *base);

/* Called by the above in a forked child for each, to forget what threads that are not
 * there were doing. They call nothing out. */
void pe_bev_mend(struct pe_link *of_base);
void pe_rate_group_mend(struct pe_link *of_base);

/* Called by the above for each that outlives its base; they leave the list. */
void pe_bev_orphan(struct pe_link *of_base);
void pe_listener_orphan(struct pe_link *of_base);
void pe_deferral_orphan(struct pe_link *of_base);
void pe_rate_group_orphan(struct pe_link *of_base);

#endif
