/* event2/event_struct.h - what a struct event is made of.
 *
 * Only for programs that keep events inside their own structs and set them
 * up with event_assign(). The fields belong to the library: read them with
 * the accessors of event2/event.h. Sizes may change between versions.
 */
#ifndef EVENT2_EVENT_STRUCT_H
#define EVENT2_EVENT_STRUCT_H

#include <stdint.h>

#include "event2/nodes.h"
#include "event2/util.h"

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;
struct event;

typedef void (*event_callback_fn)(evutil_socket_t, short, void *);

/* State bits of a struct pe_task (and so of an event). */
#define EVLIST_TIMEOUT      0x01 /* its timer runs */
#define EVLIST_INSERTED     0x02 /* waits for an fd or a signal */
#define EVLIST_SIGNAL       0x04 /* called for a signal, with more calls to come */
#define EVLIST_ACTIVE       0x08 /* its callback is due in this turn */
#define EVLIST_INTERNAL     0x10 /* does not keep the loop alive */
#define EVLIST_ACTIVE_LATER 0x20 /* its callback is due in the next turn */
#define EVLIST_FINALIZING   0x40 /* on its way out; cannot be added again */
#define EVLIST_INIT         0x80 /* set up by event_new or event_assign */
#define EVLIST_ALL          0xff

/* Anything whose turn to run the loop keeps: a member of an active queue. */
struct pe_task {
    struct pe_link link; /* in an active queue; in itself while not active */
    void (*run)(struct event_base *base, struct pe_task *task);
    int fd;        /* descriptor or signal number; -1 for none */
    short res;     /* the EV_* bits that made it active */
    uint8_t pri;   /* its queue; 0 is the most urgent */
    uint8_t state; /* EVLIST_* */
};

/* A watcher of one descriptor. */
struct pe_io {
    struct pe_task task;
    struct pe_link chain; /* the watchers of one fd, or of one signal */
    uint32_t gen;         /* registration of the fd that it was last part of */
    short want;           /* EV_READ | EV_WRITE | EV_CLOSED | EV_ET; 0: idle */
};

/* A timer: `fire` runs once when `node.key` has passed, out of the heap. */
struct pe_timer {
    struct pe_heap_node node;
    void (*fire)(struct event_base *base, struct pe_timer *timer);
};

struct event {
    struct pe_io io;
    struct pe_timer timer;
    struct event_base *base;
    int64_t interval_ns; /* of a persistent timeout; 0: none */
    event_callback_fn callback;
    void *arg;
    short events; /* as given to event_new */
    int calls;    /* how often a signal's callback is to be called */
};

#ifdef __cplusplus
}
#endif
#endif
