/* resolver.h - who turns a name into addresses.
 *
 * A resolver is two functions. Each base may have one of its own, the process one
 * for all bases, and where neither is set the pool of resolver.c asks
 * getaddrinfo(3) in threads:
 *
 *     start(lookup) ----> somebody looks ----> lookup->done(lookup, result)
 *          |                                      in the thread of the base,
 *          +--> cancel(lookup)                    from its loop or in start()
 *
 * After `done` has begun or `cancel` was called the resolver knows the lookup no
 * more, and its memory may go. Neither waits. A lookup under way keeps no loop
 * alive: whoever starts it does that with pe_base_add_virtual.
 */
#ifndef PE_STREAM_RESOLVER_H
#define PE_STREAM_RESOLVER_H

#include "event2/util.h"

struct event_base;
struct evdns_base;

struct pe_lookup {
    struct event_base *base;
    struct evdns_base *dns; /* what the program named; NULL: nothing */
    const char *host;
    const char *service; /* a port in digits */
    struct evutil_addrinfo hints;

    /* `err` is 0 or an EVUTIL_EAI_ code. The list is the resolver's, and may go
     * when this returns. */
    void (*done)(struct pe_lookup *lookup, int err, const struct evutil_addrinfo *list);

    const struct pe_resolver *resolver; /* that has it; NULL: none */
    void *state;                        /* the resolver's own */
};

struct pe_resolver {
    void *arg; /* the resolver's own */

    /* 0 or a negative errno, and then there is nothing to cancel. */
    int (*start)(const struct pe_resolver *resolver, struct pe_lookup *lookup);
    void (*cancel)(const struct pe_resolver *resolver, struct pe_lookup *lookup);
};

/* Use `resolver` for lookups of `base` that start from now on; NULL: for all bases
 * that have none of their own. It stays the caller's and must outlive them; NULL
 * for the resolver takes it back. 0 or -ENOMEM. */
int pe_resolver_set(struct event_base *base, const struct pe_resolver *resolver);

/* Start `lookup`, whose members down to `done` are set. 0 or a negative errno. */
int pe_lookup_start(struct pe_lookup *lookup);

/* Forget one that is under way; does nothing for any other. */
void pe_lookup_cancel(struct pe_lookup *lookup);

/* To be called by resolvers: hands the answer out. */
void pe_lookup_finish(struct pe_lookup *lookup, int err, const struct evutil_addrinfo *list);

/* Let the pool have at most `max` lookups under way, those of all bases together; one more
 * fails with -ENOBUFS. 0, as at first: any number. From any thread. */
void pe_resolver_set_max(int max);

/* The pool: threads that there are now, and jobs not yet done with, cancelled ones
 * included. For tests. */
int pe_pool_of_lookups_threads(void);
int pe_pool_of_lookups_jobs(void);

#endif
