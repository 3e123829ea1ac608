/* bufferevent.h - what all kinds of bufferevents have in common.
 *
 * A kind (socket, pair, filter, later TLS) is a struct that begins with a
 * struct bufferevent, and a table of what it does differently. Common are
 * the buffers, callbacks, marks, timeouts, deferral and the times at which
 * output is passed on.
 *
 * Design notes
 *
 * 1. A direction is on when it is enabled and nothing blocks it. What blocks
 *    it is a set of reasons, so that marks, a connect under way, rate limits,
 *    filters ... each hold it without knowing of each other. The table's
 *    `enable` and `disable` are told when a direction goes on or off.
 *
 * 2. Output is passed on by the table's `send`, when writing is on, there is
 *    output, and the side below would not block. That is called
 *      - when a read or event callback of this bufferevent returns, once,
 *        whatever it added, and whatever was waiting already;
 *      - from the flush list, at the end of the turn, for output of all others
 *        and for what a write callback added.
 *    So a write callback, which a write has brought about, never brings about a
 *    write itself before the end of the turn, nor one that the flush list has
 *    called before the next turn: a fast peer can neither recurse nor starve
 *    the loop. "Would block" means that what is below has not taken all; then that
 *    is waited for (EV_WRITE of a socket), and nothing else sends.
 *    Kinds whose `send` costs no system call pass output on when it is added,
 *    and call no callback then.
 *
 * 3. Whoever calls out holds a reference (`refs`), and after the call looks
 *    at the bufferevent anew. bufferevent_free detaches at once, in whatever
 *    callback: callbacks become NULL, both directions are disabled, and all that
 *    comes back from a call finds nothing to do.
 *
 * 4. A failure found where no callback may run (a drain that resumes reading,
 *    and memory is out) is kept in `failure` and told by the flush list.
 *
 * An idle socket bufferevent is one allocation of at most 512 bytes; timeouts and
 * what else is seldom used is behind `extras` (stream/extras.h).
 */
#ifndef PE_STREAM_BUFFEREVENT_H
#define PE_STREAM_BUFFEREVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf/evbuffer.h"
#include "event2/bufferevent.h"
#include "loop/base.h"

struct pe_bev_extras;

/* Why a direction is held though it is enabled. */
enum pe_bev_block {
    PE_BLOCK_MARK = 0x01,    /* the input is at its high mark */
    PE_BLOCK_CONNECT = 0x02, /* there is no connection yet, or its making failed */
    PE_BLOCK_RATE = 0x04,    /* its own bucket is empty: stream/ratelimit.h */
    PE_BLOCK_GROUP = 0x08,   /* the bucket of its group is */
    PE_BLOCK_FILTER = 0x10,  /* the filter above does not read */
    PE_BLOCK_FULL = 0x20,    /* the input is full: stream/marks.c */
    PE_BLOCK_OUTPUT = 0x40   /* its own output is too much */
};

enum pe_bev_ctl {
    PE_BEV_GET_FD,       /* arg->fd */
    PE_BEV_SET_FD,       /* arg->fd; the old one stays open */
    PE_BEV_REPLACE_FD,   /* arg->fd; the old one is closed */
    PE_BEV_GET_UNDER,    /* arg->bev */
    PE_BEV_SET_PRIORITY, /* arg->pri, a valid one */
    PE_BEV_SHUT_WRITE,   /* the peer is to read an end of file now */
    PE_BEV_IS_IDLE       /* 0, or -EBUSY when its base cannot change now */
};

union pe_bev_arg {
    int fd;
    int pri;
    struct bufferevent *bev;
};

/* One kind of bufferevent. What can fail returns 0 or a negative errno. */
struct pe_bev_ops {
    const char *type;
    size_t size;     /* of the struct that begins with struct bufferevent */
    bool is_instant; /* costs no system call: `send` is called when output is added */

    /* These directions are on, or off, from now: see design note 1. Turning on
     * may be told again for one that is on. */
    int (*enable)(struct bufferevent *bev, short what);
    void (*disable)(struct bufferevent *bev, short what);

    /* Pass output on. The caller has seen pe_bev_can_send() and holds a
     * reference; callbacks may run. */
    void (*send)(struct bufferevent *bev);

    int (*flush)(struct bufferevent *bev, short what, enum bufferevent_flush_mode mode);

    /* It is being freed: stop, let go of what is below. What that goes on with may call
     * out, so this comes last. */
    void (*detach)(struct bufferevent *bev);

    /* The memory goes next; NULL: there is nothing to do. May call out. */
    void (*destroy)(struct bufferevent *bev);

    /* In a forked child: forget what threads that are not there were doing. NULL:
     * there is nothing to forget. Calls nothing out. */
    void (*mend)(struct bufferevent *bev);

    /* -ENOSYS for what this kind does not know. */
    int (*ctl)(struct bufferevent *bev, enum pe_bev_ctl op, union pe_bev_arg *arg);
};

/* What the Python classes set: one constant, whoever has it. In bytes. */
#define PE_INPUT_MAX ((size_t)1 << 20)
#define PE_PAUSE_HIGH ((size_t)1 << 20)
#define PE_PAUSE_LOW ((size_t)256 << 10)

/* How much it may hold: stream/marks.c. */
struct pe_bev_limits {
    size_t input_max;             /* SIZE_MAX: no limit */
    size_t pause_high, pause_low; /* SIZE_MAX and 0: never */
};

struct bufferevent {
    const struct pe_bev_ops *ops;
    struct event_base *base;     /* NULL: it was freed */
    struct pe_link of_base;      /* in struct pe_stream_context */
    struct pe_bev_extras *extras;    /* NULL: nothing seldom is used */
    const struct pe_bev_limits *limits; /* NULL: none */
    bufferevent_data_cb readcb;
    bufferevent_data_cb writecb;
    bufferevent_event_cb eventcb;
    void *arg;
    size_t read_low, read_high;
    size_t write_low, write_high;
    struct pe_task task;   /* runs deferred callbacks and expired timeouts */
    struct pe_flush flush; /* design note 2 */
    uint32_t refs;
    uint32_t calling; /* callbacks of it that run now: */
    struct pe_call *calls;
    int error;        /* errno of the last BEV_EVENT_ERROR */
    int failure;      /* negative errno of design note 4 */
    uint16_t read_blocked, write_blocked; /* enum pe_bev_block */
    short pending_events;                 /* deferred BEV_EVENT_ bits */
    uint8_t pending;                      /* deferred EV_READ, EV_WRITE */
    uint8_t expired;                      /* EV_READ, EV_WRITE: a timer has fired */
    uint8_t enabled;                      /* EV_READ, EV_WRITE */
    uint8_t options;                      /* BEV_OPT_ */
    bool is_detached : 1;
    bool is_connecting : 1;
    bool would_block : 1; /* below takes no more: waits for EV_WRITE */
    bool write_due : 1;  /* the write callback is owed one call by enable */
    bool is_at_end : 1;    /* a socket has read its last byte, or failed to */
    bool is_finishing : 1; /* shutdown_write: after the output ... */
    bool is_finished : 1;  /* ... and done */
    bool is_leaving : 1;   /* close_after_flush has it: see linger.c */
    bool has_output_high : 1;
    bool is_broken : 1; /* writing has failed */
    struct evbuffer input, output;
};

static inline bool pe_bev_reads(const struct bufferevent *bev) {
    return (bev->enabled & EV_READ) && bev->read_blocked == 0;
}

static inline bool pe_bev_writes(const struct bufferevent *bev) {
    return (bev->enabled & EV_WRITE) && bev->write_blocked == 0;
}

/* The input has reached its limit. A high mark takes the place of that. */
static inline bool pe_bev_is_full(const struct bufferevent *bev) {
    return bev->limits != NULL && pe_evbuffer_len(&bev->input) >= bev->limits->input_max &&
           bev->read_high == 0;
}

/* The output is no reason, or none any more, to hold reading. */
static inline bool pe_bev_may_resume(const struct bufferevent *bev) {
    return bev->limits == NULL || bev->limits->pause_high == SIZE_MAX || bev->is_broken ||
           pe_evbuffer_len(&bev->output) <= bev->limits->pause_low;
}

static inline bool pe_bev_can_send(const struct bufferevent *bev) {
    return pe_bev_writes(bev) && !bev->would_block && pe_evbuffer_len(&bev->output) != 0;
}

/* --- for the kinds -------------------------------------------------------- */

/* A zeroed struct of ops->size with its common part set up, of one reference;
 * NULL when memory is out. */
struct bufferevent *pe_bev_new(const struct pe_bev_ops *ops, struct event_base *base, int options);

/* Hold it across a call out. */
static inline void pe_bev_hold(struct bufferevent *bev) {
    bev->refs++;
}

/* The same for the last reference: it is freed. */
void pe_bev_drop_last(struct bufferevent *bev);

static inline void pe_bev_drop(struct bufferevent *bev) {
    if (bev->refs > 1)
        bev->refs--;
    else
        pe_bev_drop_last(bev);
}

/* Run callbacks, or defer them as the options of the bufferevent or BEV_TRIG_
 * `options` say. The caller holds a reference. `err` is the errno of an error. */
void pe_bev_run_read(struct bufferevent *bev, int options);
void pe_bev_run_write(struct bufferevent *bev, int options);
void pe_bev_run_event(struct bufferevent *bev, short what, int err, int options);

/* Writing has failed: it is disabled, and the event callback told. The caller holds a
 * reference. */
void pe_bev_fail_writing(struct bufferevent *bev, int err, int options);

/* Hold a direction (EV_READ, EV_WRITE or both) for a reason, and let it go: that may call
 * out, and the bufferevent be freed in it. */
void pe_bev_block(struct bufferevent *bev, short what, unsigned reason);
void pe_bev_unblock(struct bufferevent *bev, short what, unsigned reason);

/* Bytes have been moved: counts as progress for the timeouts. */
void pe_bev_did_read(struct bufferevent *bev, size_t n);
void pe_bev_did_write(struct bufferevent *bev, size_t n);

/* How much to read or write at a time; reading: 0 when nothing may be read. */
size_t pe_bev_read_max(const struct bufferevent *bev);
size_t pe_bev_write_max(const struct bufferevent *bev);

/* Tell `err`, a negative errno, at the end of the turn: design note 4. */
void pe_bev_fail(struct bufferevent *bev, int err);

/* --- marks.c: the caller holds a reference, callbacks may run ---------------- */

/* Something was added to the input: run the read callback if the low mark allows it, and
 * see whether it has left a full input as it was. */
void pe_bev_tell_input(struct bufferevent *bev, int options);

/* After the read callback has run: a full input of which it took nothing is an error. */
void pe_bev_check_full(struct bufferevent *bev, int options);

/* Reading may go on, but for a full input: have the read callback run once more. */
void pe_bev_ask_again(struct bufferevent *bev);

/* Of one that has limits, before reading: whether one of them forbids it. Then reading
 * is blocked. */
bool pe_bev_is_at_limit(struct bufferevent *bev);

/* For the Python layer: all limits in one call, as bufferevent_set_input_max and _set_output_pause. Costs no
 * memory for PE_INPUT_MAX with PE_PAUSE_HIGH and PE_PAUSE_LOW, or without a pause. 0 or a negative errno. */
int pe_bev_set_limits(struct bufferevent *bev, size_t input_max, size_t pause_high,
                      size_t pause_low);

/* --- linger.c --------------------------------------------------------------- */

/* Whether one that `is_finishing` has come to its end: its output is written. A filter
 * may keep some until it hears that nothing follows, so it hears that at once. */
static inline bool pe_bev_can_finish(struct bufferevent *bev) {
    return bev->is_finishing && pe_bev_writes(bev) &&
           (pe_evbuffer_len(&bev->output) == 0 || bufferevent_get_underlying(bev) != NULL);
}

/* It has. The caller holds a reference. */
void pe_bev_finish(struct bufferevent *bev);

/* End what bufferevent_close_after_flush has begun; the bufferevent stays. */
void pe_bev_stay(struct bufferevent *bev);

/* As bufferevent_close_after_flush with `limit_ns`; when all is said, or nothing
 * can be any more, `done` (NULL: bufferevent_free) is called to free it. */
int pe_bev_close_after_flush(struct bufferevent *bev, int64_t limit_ns,
                             void (*done)(struct bufferevent *bev, void *arg), void *arg);

extern const struct pe_bev_ops pe_bev_socket_ops;

/* --- for the Python layer ------------------------------------------------- */

/* The errno of the last BEV_EVENT_ERROR that the event callback was told; 0. */
int pe_bufferevent_error(const struct bufferevent *bev);

/* The name that connect_hostname was given last; NULL once it is connected. */
const char *pe_bufferevent_host(const struct bufferevent *bev);

/* Whether bufferevent_socket_connect is under way. */
bool pe_bufferevent_connecting(const struct bufferevent *bev);

/* Whether it was made with BEV_OPT_CLOSE_ON_FREE. */
bool pe_bufferevent_closes_fd(const struct bufferevent *bev);

/* Whether a filter has its callbacks. */
bool pe_bufferevent_is_filtered(const struct bufferevent *bev);

#endif
