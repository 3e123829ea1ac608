/* event2/bufferevent.h - buffered connections: a descriptor, an input buffer,
 * an output buffer, and callbacks when something has come or gone.
 *
 *     kernel --> [input ]  --read callback-->  program
 *     kernel <-- [output]  <--bufferevent_write--
 *
 * The names and contracts are libevent's; what stands behind them is pyevent's
 * own. Output is written without waiting for the kernel to ask for it: when
 * the callback that produced it returns, and output that comes from elsewhere
 * at the end of the loop's turn. Only what the kernel does not take then waits
 * until the descriptor is writable.
 *
 * Errors: functions returning int give 0 for success and -1 with errno set.
 * What goes wrong on a connection comes to the event callback.
 *
 * A callback may call anything on its bufferevent, bufferevent_free included.
 * Threads: as for the bufferevent's base (event2/event.h); there are no locks.
 */
#ifndef EVENT2_BUFFEREVENT_H_INCLUDED_
#define EVENT2_BUFFEREVENT_H_INCLUDED_

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "event2/util.h"

#ifdef __cplusplus
extern "C" {
#endif

struct bufferevent;
struct evbuffer;
struct evdns_base;
struct event_base;

/* What the event callback is told. */
#define BEV_EVENT_READING   0x01 /* it happened while reading */
#define BEV_EVENT_WRITING   0x02 /* it happened while writing */
#define BEV_EVENT_EOF       0x10 /* the peer sends no more */
#define BEV_EVENT_ERROR     0x20 /* errno says which */
#define BEV_EVENT_TIMEOUT   0x40 /* no progress for as long as set_timeouts said */
#define BEV_EVENT_CONNECTED 0x80 /* bufferevent_socket_connect has succeeded */

enum bufferevent_options {
    BEV_OPT_CLOSE_ON_FREE = 1 << 0,   /* bufferevent_free closes the descriptor */
    BEV_OPT_THREADSAFE = 1 << 1,      /* no meaning: there are no locks */
    BEV_OPT_DEFER_CALLBACKS = 1 << 2, /* callbacks run from the loop only */
    BEV_OPT_UNLOCK_CALLBACKS = 1 << 3 /* no meaning */
};

/* Input has come, or output has gone: see bufferevent_setwatermark. */
typedef void (*bufferevent_data_cb)(struct bufferevent *bev, void *ctx);

/* End of input, error, timeout, connection made: BEV_EVENT_ bits. */
typedef void (*bufferevent_event_cb)(struct bufferevent *bev, short what, void *ctx);

/* --- making and freeing --------------------------------------------------- */

/* A bufferevent on the non-blocking stream descriptor `fd`: a socket, a pipe, a
 * terminal; -1 when there is none yet. That it does not block is for the caller to see to, as
 * with libevent: its flags are left alone. Bytes go to and come from a socket without
 * waiting in any case; a pipe that blocks holds the loop up, and so does a file that
 * sendfile(2) sends. `options` are BEV_OPT_ bits. Writing is
 * enabled, reading is not. NULL with errno set: ENOMEM, or EINVAL without a
 * base. */
struct bufferevent *bufferevent_socket_new(struct event_base *base, evutil_socket_t fd,
                                           int options);

/* Connect, and call back with BEV_EVENT_CONNECTED, or with BEV_EVENT_ERROR when
 * the address cannot be reached; always from the loop. Without a descriptor a
 * socket for the address is made. `addr` may be IPv4, IPv6 or Unix; NULL: the
 * connection is under way already. Nothing is read or written until it is made.
 * A write timeout limits it. -1 and no callback when nothing was begun. */
int bufferevent_socket_connect(struct bufferevent *bev, const struct sockaddr *addr,
                               int socklen);

/* The same by name. All addresses that the name has are tried, a new one every
 * 250 ms or when one has failed, IPv6 and IPv4 in turn, until one is connected
 * (RFC 8305); a bufferevent that has a descriptor is connected to the first of its
 * family. `family` is AF_UNSPEC, AF_INET or AF_INET6, `port` 1 to 65535;
 * `evdns_base` may be NULL: names are then looked up by getaddrinfo(3) in threads.
 * BEV_EVENT_ERROR comes with bufferevent_socket_get_dns_error when the name is not
 * found (EVUTIL_EAI_AGAIN and ENOBUFS: too many lookups are under way), else with the errno
 * of the last address. -1 and no callback when nothing
 * was begun. bufferevent_free, setfd and replacefd end it at once. */
int bufferevent_socket_connect_hostname(struct bufferevent *bev, struct evdns_base *evdns_base,
                                        int family, const char *hostname, int port);

/* Of `hints` (NULL: none) the family and the flags count. */
int bufferevent_socket_connect_hostname_hints(struct bufferevent *bev,
                                              struct evdns_base *evdns_base,
                                              const struct evutil_addrinfo *hints,
                                              const char *hostname, int port);

/* The EVUTIL_EAI_ code of the last lookup; 0 when it has found something. */
int bufferevent_socket_get_dns_error(struct bufferevent *bev);

/* Give up the caller's reference: no callback will run any more, the descriptor is
 * closed now if BEV_OPT_CLOSE_ON_FREE says so, and output that is not written is
 * lost. The memory goes when no callback of it runs any longer. */
void bufferevent_free(struct bufferevent *bev);

/* Take and give up a further reference, which keeps the memory (and that of the
 * buffers), not the connection, when bufferevent_free comes first. decref returns
 * 1 when it was the last one, and then does what bufferevent_free does. */
void bufferevent_incref(struct bufferevent *bev);
int bufferevent_decref(struct bufferevent *bev);

/* The same after all output is written. Nothing is called any more and nothing can
 * be added. When the output has gone the peer gets an end of file; what it still
 * sends is read and dropped, until it ends too: closing over unread input would make
 * TCP take back what the peer has not read yet. It is freed as it is when the
 * connection breaks, or when nothing has gone out for `timeout` (NULL: 60 seconds;
 * looked at once in that time) and, after all is written, no end of file has come
 * for so long. Marks, limits and timeouts are reset. The pointer is not to be used afterwards, except that
 * bufferevent_free ends it early, and bufferevent_setcb takes it back: then it is the
 * caller's as before. -1 and nothing has changed: ENOMEM, or EINVAL when it is freed.
 * Not in libevent. */
int bufferevent_close_after_flush(struct bufferevent *bev, const struct timeval *timeout);

/* Give the peer an end of file after all output is written; reading goes on, and
 * nothing can be added to the output any more. A pipe has one direction only, and
 * is closed instead. -1, EINVAL: it is freed. Not in libevent. */
int bufferevent_shutdown_write(struct bufferevent *bev);

/* There is no lock: these do nothing. */
void bufferevent_lock(struct bufferevent *bev);
void bufferevent_unlock(struct bufferevent *bev);

/* --- what it is made of --------------------------------------------------- */

/* NULL: no such callback. `cbarg` is the last argument of all three. */
void bufferevent_setcb(struct bufferevent *bev, bufferevent_data_cb readcb,
                       bufferevent_data_cb writecb, bufferevent_event_cb eventcb, void *cbarg);
void bufferevent_getcb(struct bufferevent *bev, bufferevent_data_cb *readcb_ptr,
                       bufferevent_data_cb *writecb_ptr, bufferevent_event_cb *eventcb_ptr,
                       void **cbarg_ptr);

/* Another descriptor (-1: none). setfd leaves the old one open; replacefd closes
 * it, unless it is the same number, which changes nothing. What is in the output goes to
 * the new one. -1 when that cannot be watched: then there is none, and `fd` is the
 * caller's. */
int bufferevent_setfd(struct bufferevent *bev, evutil_socket_t fd);
int bufferevent_replacefd(struct bufferevent *bev, evutil_socket_t fd);

/* The descriptor, or -1. */
evutil_socket_t bufferevent_getfd(struct bufferevent *bev);

/* The address of the peer, as getpeername(2) gives it and for as long as the
 * bufferevent has the connection: also after it has broken, or was never made, where
 * the kernel knows no more. Of a filter, the peer of what is beneath. -1: ENOTCONN when there
 * is none, ENOTSOCK for what has no address. Not in libevent. */
int bufferevent_socket_get_peer(struct bufferevent *bev, struct sockaddr *addr, socklen_t *len);

/* The bufferevent beneath a filter; NULL for others. */
struct bufferevent *bufferevent_get_underlying(struct bufferevent *bev);

/* NULL when the base was freed. */
struct event_base *bufferevent_get_base(struct bufferevent *bev);

/* Move it to another base. EBUSY while it waits for the kernel (reading enabled,
 * output stuck, connecting) or something of it is due to run: disable it before. */
int bufferevent_base_set(struct event_base *base, struct bufferevent *bev);

/* The priority of its callbacks: 0 <= pri < event_base_get_npriorities. */
int bufferevent_priority_set(struct bufferevent *bev, int pri);
int bufferevent_get_priority(const struct bufferevent *bev);

/* --- data ----------------------------------------------------------------- */

/* The buffers belong to the bufferevent and live as long as it. The program takes
 * from the start of the input and adds to the end of the output; the other two
 * ends are frozen. */
struct evbuffer *bufferevent_get_input(struct bufferevent *bev);
struct evbuffer *bufferevent_get_output(struct bufferevent *bev);

/* Copy `size` bytes to the output. EPIPE after shutdown_write. */
int bufferevent_write(struct bufferevent *bev, const void *data, size_t size);

/* Move all of `buf` to the output, without copying. */
int bufferevent_write_buffer(struct bufferevent *bev, struct evbuffer *buf);

/* Move up to `size` bytes from the input to `data`. Returns how many. */
size_t bufferevent_read(struct bufferevent *bev, void *data, size_t size);

/* Move all of the input to the end of `buf`, without copying. */
int bufferevent_read_buffer(struct bufferevent *bev, struct evbuffer *buf);

/* --- control -------------------------------------------------------------- */

/* Switch directions on and off: EV_READ, EV_WRITE or both. Enabling EV_WRITE with
 * nothing to write calls the write callback of a socket once, from the loop; not while
 * output is stuck, without a descriptor, or of a pair or filter. Disabling EV_WRITE
 * does not cancel a connect. */
int bufferevent_enable(struct bufferevent *bev, short event);
int bufferevent_disable(struct bufferevent *bev, short event);

/* EV_READ and EV_WRITE as they were enabled. */
short bufferevent_get_enabled(struct bufferevent *bev);

/* The event callback gets BEV_EVENT_TIMEOUT, with READING or WRITING, when nothing
 * was read for `timeout_read` while reading is enabled, or nothing written for
 * `timeout_write` while output waits, of a filter also what waits below; and that direction
 * is disabled. NULL or zero: no limit. */
int bufferevent_set_timeouts(struct bufferevent *bev, const struct timeval *timeout_read,
                             const struct timeval *timeout_write);

/* EV_READ: the read callback runs when the input holds at least `lowmark` bytes;
 * at `highmark` bytes (0: no limit) reading pauses until some are taken. EV_WRITE:
 * the write callback runs when, after a write, the output holds `lowmark` bytes
 * or fewer; `highmark` is for those who ask for it. All 0 at first. */
void bufferevent_setwatermark(struct bufferevent *bev, short events, size_t lowmark,
                              size_t highmark);

/* The marks of one direction, EV_READ or EV_WRITE; -1 for anything else. */
int bufferevent_getwatermark(struct bufferevent *bev, short events, size_t *lowmark,
                             size_t *highmark);

/* Call `cb` with `cbarg` when the output has grown beyond `mark` bytes, from inside
 * the call that has added them: whoever produces is to pause. Once; again only after
 * the output was at the low write mark or below, which is when the write callback says
 * to go on. NULL or 0: no longer. -1: ENOMEM. Not in libevent. */
int bufferevent_set_output_high(struct bufferevent *bev, size_t mark, bufferevent_data_cb cb,
                                void *cbarg);

/* How much input it holds: at `max` bytes reading stops, and the kernel holds the peer, until
 * some is taken. When the read callback has run and the input is full still, or cannot
 * run because the low mark lies higher, the event callback gets BEV_EVENT_READING |
 * BEV_EVENT_ERROR with ENOBUFS, and reading is disabled; nothing is lost. A high mark takes
 * the place of `max`: then the program has said itself how much it wants to hold. A filter
 * may exceed it by what its function makes of one call. 0, as at first: no limit. The
 * Python classes have 1 MiB. -1: ENOMEM, or EINVAL when it is freed. Not in libevent. */
int bufferevent_set_input_max(struct bufferevent *bev, size_t max);

/* What was set; 0: no limit. */
size_t bufferevent_get_input_max(const struct bufferevent *bev);

/* Do not read while the bufferevent's own output is above `high` bytes, until it is down to
 * `low`: a peer that takes no answers is to ask no more. After an error of writing that
 * is over. Two ends that both write much at once and both pause wait for each other: the
 * one that sends a lot unasked should not pause. `high` 0, as at first: never. The Python
 * classes have 1 MiB and 256 KiB. -1: EINVAL when `low` > `high` or it is freed, or ENOMEM.
 * Not in libevent. */
int bufferevent_set_output_pause(struct bufferevent *bev, size_t high, size_t low);

/* What was set: 0 and 0 for never. Each pointer may be NULL. */
void bufferevent_get_output_pause(const struct bufferevent *bev, size_t *high, size_t *low);

struct bufferevent_stats {
    uint64_t bytes_read, bytes_written;
    uint64_t reads, writes; /* system calls */
};

/* What it has done since this was first called for it; before, nothing is counted.
 * -1: ENOMEM. Not in libevent. */
int bufferevent_get_stats(struct bufferevent *bev, struct bufferevent_stats *stats);

enum bufferevent_flush_mode {
    BEV_NORMAL = 0,  /* as usual */
    BEV_FLUSH = 1,   /* pass on all that can be passed on now */
    BEV_FINISHED = 2 /* and nothing will follow */
};

/* For pairs and filters (see there); a socket's output is on its way anyhow. 1: a
 * filter has passed something on, 0: there was nothing to do. -1, EINVAL: no such mode. */
int bufferevent_flush(struct bufferevent *bev, short iotype, enum bufferevent_flush_mode mode);

enum bufferevent_trigger_options {
    BEV_TRIG_IGNORE_WATERMARKS = 1 << 16,              /* whatever the marks say */
    BEV_TRIG_DEFER_CALLBACKS = BEV_OPT_DEFER_CALLBACKS /* from the loop, not now */
};

/* Run the read callback (EV_READ), the write callback (EV_WRITE) or both if the
 * low marks allow it. `options` are BEV_TRIG_ bits. What triggers itself runs from the
 * loop after 64 calls one inside the other. */
void bufferevent_trigger(struct bufferevent *bev, short iotype, int options);

/* Run the event callback with the BEV_EVENT_ bits `what`. */
void bufferevent_trigger_event(struct bufferevent *bev, short what, int options);

/* --- pairs ---------------------------------------------------------------- */

/* Two bufferevents without a descriptor: what is written to the one is moved, not
 * copied, to the input of the other as soon as that one reads. Their callbacks are
 * always deferred to the loop. At the high mark of a reader the rest waits in
 * the output of the writer. bufferevent_flush with BEV_FLUSH moves everything
 * that waits (EV_WRITE: what this one has written, EV_READ: what the other one
 * has), whatever marks and enabling say; with BEV_FINISHED the other one then also
 * gets BEV_EVENT_EOF. Freeing one of them tells the other one nothing.
 * 0, or -1 with errno EINVAL or ENOMEM. */
int bufferevent_pair_new(struct event_base *base, int options, struct bufferevent *pair[2]);

/* The other one; NULL when that was freed, or `bev` is not of a pair. */
struct bufferevent *bufferevent_pair_get_partner(struct bufferevent *bev);

/* --- filters -------------------------------------------------------------- */

/* What a filter function has done. */
enum bufferevent_filter_result {
    BEV_OK = 0,        /* some of `src` was used, or something added to `dst` */
    BEV_NEED_MORE = 1, /* nothing can be made of what is in `src` so far */
    BEV_ERROR = 2      /* it makes no sense; errno may say why */
};

/* Take bytes from the start of `src`, add what they become to the end of `dst`: at
 * most `dst_limit` bytes (-1: no limit), which is a wish and not checked. It is
 * called again while it returns BEV_OK, has changed something, and there is
 * more in `src` that may be passed on. `mode`: BEV_NORMAL; BEV_FLUSH: keep
 * nothing back; BEV_FINISHED: nor will anything follow (then `src` may be empty; it is not
 * said again while that is so). */
typedef enum bufferevent_filter_result (*bufferevent_filter_cb)(
    struct evbuffer *src, struct evbuffer *dst, ev_ssize_t dst_limit,
    enum bufferevent_flush_mode mode, void *ctx);

/* A bufferevent whose bytes come from and go to another one, `underlying`:
 *
 *     program <-- [input ] <--input_filter--- [input ]
 *     program --> [output] ---output_filter-> [output]
 *                  the filter                  underlying
 *
 * It takes over the callbacks of `underlying`, enables both of its directions, and
 * holds its reading while it does not read itself. Writing is enabled, reading is
 * not. A filter function that is NULL passes everything on as it is.
 *
 *   - Output is filtered when it is added, while `underlying` holds less than its
 *     high mark for writing. The write callback runs, from the loop, when it has
 *     been filtered and what is below does not lag behind.
 *   - Input is filtered when it comes, up to the high mark. The end of the input
 *     below, or an error in reading it, is told when all before it has been
 *     passed on; at the end input_filter gets BEV_FINISHED once. Other events
 *     of `underlying` are told at once.
 *   - BEV_ERROR from a function comes as BEV_EVENT_ERROR with READING or WRITING,
 *     which is then disabled; errno is what the function left there, else EPROTO.
 *   - bufferevent_flush with BEV_FLUSH or BEV_FINISHED filters all there is,
 *     whatever marks and enabling say, and flushes what is below.
 *
 * BEV_OPT_CLOSE_ON_FREE: bufferevent_free of the filter also frees `underlying`,
 * but not before its output has been written; when it makes no progress for 60
 * seconds what is left is lost. Until then it calls nobody. Without that option
 * `underlying` lives on, without callbacks.
 *
 * `free_context` (or NULL) is called with `ctx` when no function can be called any
 * more. NULL with errno EINVAL, ENOMEM, or ELOOP for more than 64 filters one over the
 * other: then `ctx` and `underlying` stay the caller's, as they were. */
struct bufferevent *bufferevent_filter_new(struct bufferevent *underlying,
                                           bufferevent_filter_cb input_filter,
                                           bufferevent_filter_cb output_filter, int options,
                                           void (*free_context)(void *), void *ctx);

/* --- how much at a time --------------------------------------------------- */

/* The most that is read or written by one system call, in bytes; 0 or more than
 * EV_SSIZE_MAX: the default, for which the getters answer 16384, while the library
 * reads as much as the peer's pace suggests and writes all there is. */
int bufferevent_set_max_single_read(struct bufferevent *bev, size_t size);
int bufferevent_set_max_single_write(struct bufferevent *bev, size_t size);
ev_ssize_t bufferevent_get_max_single_read(struct bufferevent *bev);
ev_ssize_t bufferevent_get_max_single_write(struct bufferevent *bev);

/* --- rate limits ---------------------------------------------------------- */

/* A token bucket for each direction: every tick adds `rate` bytes, up to `burst` in
 * all; what is read or written takes as many. A direction whose bucket is empty
 * pauses until there is something in it again. One call can take more than is
 * there, so a bucket can be below zero; the average stays. Limits count what the
 * bufferevent reads and writes, and work for every kind of it. */
struct ev_token_bucket_cfg;

#define EV_RATE_LIMIT_MAX EV_SSIZE_MAX

/* Bytes per tick, and the most that can be saved up. `tick_len` NULL: one second.
 * NULL with errno EINVAL unless 1 <= rate <= burst <= EV_RATE_LIMIT_MAX for both
 * and the tick is longer than nothing; or ENOMEM. */
struct ev_token_bucket_cfg *ev_token_bucket_cfg_new(size_t read_rate, size_t read_burst,
                                                    size_t write_rate, size_t write_burst,
                                                    const struct timeval *tick_len);

/* The memory goes when no bufferevent uses it any more. */
void ev_token_bucket_cfg_free(struct ev_token_bucket_cfg *cfg);

/* Limit `bev` by buckets of its own, which hold one tick's bytes at first; NULL: no
 * longer. What is in the buckets stays when there were other limits before, as
 * far as the new ones hold it. */
int bufferevent_set_rate_limit(struct bufferevent *bev, struct ev_token_bucket_cfg *cfg);

/* What set_rate_limit has set; NULL: nothing. */
const struct ev_token_bucket_cfg *bufferevent_get_token_bucket_cfg(const struct bufferevent *bev);

/* What is in its own buckets, which may be less than 0; EV_SSIZE_MAX without a limit. */
ev_ssize_t bufferevent_get_read_limit(struct bufferevent *bev);
ev_ssize_t bufferevent_get_write_limit(struct bufferevent *bev);

/* How much it could read or write at once now: the least of bufferevent_get_max_single_*,
 * its own limit and its share of the group's; 0 when one of them is used up. */
ev_ssize_t bufferevent_get_max_to_read(struct bufferevent *bev);
ev_ssize_t bufferevent_get_max_to_write(struct bufferevent *bev);

/* Take `decr` bytes out of its own bucket, or add them when it is negative. -1: there is
 * no limit. */
int bufferevent_decrement_read_limit(struct bufferevent *bev, ev_ssize_t decr);
int bufferevent_decrement_write_limit(struct bufferevent *bev, ev_ssize_t decr);

/* --- rate limits of groups ------------------------------------------------ */

/* Buckets that several bufferevents share, beside those of their own. */
struct bufferevent_rate_limit_group;

/* `base` measures the ticks; the members may be of other bases. `cfg` is copied. NULL with
 * errno EINVAL or ENOMEM. */
struct bufferevent_rate_limit_group *
bufferevent_rate_limit_group_new(struct event_base *base, const struct ev_token_bucket_cfg *cfg);

/* Members leave it. */
void bufferevent_rate_limit_group_free(struct bufferevent_rate_limit_group *group);

/* Other limits from now on; what is in the buckets stays as far as they hold it. */
int bufferevent_rate_limit_group_set_cfg(struct bufferevent_rate_limit_group *group,
                                         const struct ev_token_bucket_cfg *cfg);

/* A member may read or write its part of the bucket at a time, but `share` bytes even if
 * that is less (64 at first; never more than one tick's bytes): one byte for each
 * of a thousand members would be a waste of packets. */
int bufferevent_rate_limit_group_set_min_share(struct bufferevent_rate_limit_group *group,
                                               size_t share);

/* A bufferevent is in one group at most, and leaves the other one. `group` NULL: it only
 * leaves. It leaves by itself when it is freed. */
int bufferevent_add_to_rate_limit_group(struct bufferevent *bev,
                                        struct bufferevent_rate_limit_group *group);
int bufferevent_remove_from_rate_limit_group(struct bufferevent *bev);

/* What is in the buckets; may be less than 0. */
ev_ssize_t
bufferevent_rate_limit_group_get_read_limit(struct bufferevent_rate_limit_group *group);
ev_ssize_t
bufferevent_rate_limit_group_get_write_limit(struct bufferevent_rate_limit_group *group);

/* Take `decr` bytes out, or add them when it is negative; the totals do not count it. */
int bufferevent_rate_limit_group_decrement_read(struct bufferevent_rate_limit_group *group,
                                                ev_ssize_t decr);
int bufferevent_rate_limit_group_decrement_write(struct bufferevent_rate_limit_group *group,
                                                 ev_ssize_t decr);

/* How many bytes its members have read and written since it was made or the totals were
 * reset; each pointer may be NULL. */
void bufferevent_rate_limit_group_get_totals(struct bufferevent_rate_limit_group *group,
                                             ev_uint64_t *total_read_out,
                                             ev_uint64_t *total_written_out);
void bufferevent_rate_limit_group_reset_totals(struct bufferevent_rate_limit_group *group);

#ifdef __cplusplus
}
#endif

#endif
