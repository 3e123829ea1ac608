/* event2/event.h - the loop: bases, and events on descriptors, timers, signals.
 *
 * The names, flags and contracts of libevent 2; what stands behind them is
 * pyevent's own. A base waits for its events and runs their callbacks, one
 * after the other, in the thread that calls event_base_dispatch().
 *
 * Errors: functions returning int give 0 for success and -1 with errno set;
 * constructors give NULL with errno set. Times are struct timeval; NULL
 * means "no time limit".
 *
 * Threads: one thread at a time may be inside the library with a base. The
 * loop is outside while it waits in the kernel; whoever calls in meanwhile
 * must exclude the loop's return with the wait hooks below. A call that
 * changes what the loop waits for then wakes it. Nothing here blocks.
 */
#ifndef EVENT2_EVENT_H
#define EVENT2_EVENT_H

#include <stddef.h>
#include <stdio.h>
#include <sys/time.h>

#include "event2/util.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LIBEVENT_VERSION        "2.2.0-pyevent-0.1"
#define LIBEVENT_VERSION_NUMBER 0x02020001

/* What happened, and what to wait for. */
#define EV_TIMEOUT  0x01 /* its time ran out; ignored when given to event_new */
#define EV_READ     0x02 /* readable, or at end of file */
#define EV_WRITE    0x04 /* writable */
#define EV_SIGNAL   0x08 /* the "fd" is a signal number */
#define EV_PERSIST  0x10 /* stays added when it fires */
#define EV_ET       0x20 /* edge-triggered, where the backend can */
#define EV_FINALIZE 0x40 /* freed with event_free_finalize or event_finalize */
#define EV_CLOSED   0x80 /* the peer has closed its side */

/* For event_base_loop. */
#define EVLOOP_ONCE             0x01 /* wait for events, run them, return */
#define EVLOOP_NONBLOCK         0x02 /* run what is ready now, do not wait */
#define EVLOOP_NO_EXIT_ON_EMPTY 0x04 /* stay even when no event is left */

/* For event_base_get_num_events. */
#define EVENT_BASE_COUNT_ACTIVE  1U
#define EVENT_BASE_COUNT_VIRTUAL 2U
#define EVENT_BASE_COUNT_ADDED   4U

#define EVENT_LOG_DEBUG 0
#define EVENT_LOG_MSG   1
#define EVENT_LOG_WARN  2
#define EVENT_LOG_ERR   3
#define EVENT_DBG_NONE  0
#define EVENT_DBG_ALL   0xffffffffu

#define EVENT_MAX_PRIORITIES 256

struct event_base;
struct event;
struct event_config;

typedef void (*event_callback_fn)(evutil_socket_t fd, short what, void *arg);

/* What a backend can do. */
enum event_method_feature {
    EV_FEATURE_ET = 0x01,         /* edge-triggered events */
    EV_FEATURE_O1 = 0x02,         /* cost independent of the number of fds */
    EV_FEATURE_FDS = 0x04,        /* takes any descriptor, also regular files */
    EV_FEATURE_EARLY_CLOSE = 0x08 /* reports EV_CLOSED */
};

enum event_base_config_flag {
    EVENT_BASE_FLAG_NOLOCK = 0x01,               /* no meaning: there are no locks */
    EVENT_BASE_FLAG_IGNORE_ENV = 0x02,           /* ignore EVENT_NOEPOLL and its like */
    EVENT_BASE_FLAG_STARTUP_IOCP = 0x04,         /* no meaning here */
    EVENT_BASE_FLAG_NO_CACHE_TIME = 0x08,        /* read the clock at each use */
    EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST = 0x10, /* no meaning: changes always wait */
    EVENT_BASE_FLAG_PRECISE_TIMER = 0x20,        /* no meaning: always precise */
    EVENT_BASE_FLAG_EPOLL_DISALLOW_TIMERFD = 0x40, /* no meaning: none is used */
    EVENT_BASE_FLAG_USE_SIGNALFD = 0x80          /* no meaning: handlers are used */
};

/* --- configuration ------------------------------------------------------ */

/* How to make a base. The caller frees it; a base does not keep it. */
struct event_config *event_config_new(void);
void event_config_free(struct event_config *cfg);

/* Leave out the backend called `method` ("epoll", "poll", ...). */
int event_config_avoid_method(struct event_config *cfg, const char *method);

/* Accept only a backend with all these enum event_method_feature bits. */
int event_config_require_features(struct event_config *cfg, int feature);

/* Add enum event_base_config_flag bits. */
int event_config_set_flag(struct event_config *cfg, int flag);

/* Accepted for compatibility. */
int event_config_set_num_cpus_hint(struct event_config *cfg, int cpus);

/* Look for new events at the latest after `max_interval` (NULL: no limit) or
 * `max_callbacks` callbacks (negative: no limit), while callbacks of priority
 * `min_priority` or less urgent run. */
int event_config_set_max_dispatch_interval(struct event_config *cfg,
                                           const struct timeval *max_interval,
                                           int max_callbacks, int min_priority);

/* --- bases -------------------------------------------------------------- */

/* A new base on the best backend that opens here, or NULL: ENOMEM, EMFILE,
 * or EINVAL when no backend satisfies the configuration. */
struct event_base *event_base_new(void);
struct event_base *event_base_new_with_config(const struct event_config *cfg);

/* Free a base. Its events are deleted, not freed: they remain the callers',
 * good for event_free only. Bufferevents and listeners must be freed before.
 * A base that is running, or that is being freed, is not freed: that is logged and
 * has no effect. */
void event_base_free(struct event_base *base);
void event_base_free_nofinalize(struct event_base *base);

/* In the child after fork(): new descriptors for the base, and all of its
 * events registered with them. To be called before anything else there. EBUSY in
 * the process in which another thread's loop waits in the kernel. */
int event_reinit(struct event_base *base);

/* The backend's name, and all names that were compiled in, best first, ended
 * by NULL. Both are static. */
const char *event_base_get_method(const struct event_base *base);
const char **event_get_supported_methods(void);

/* How signals are caught: "sigaction". */
const char *event_base_get_signal_method(const struct event_base *base);

/* enum event_method_feature bits of the backend. */
int event_base_get_features(const struct event_base *base);

/* Events of the EVENT_BASE_COUNT_* kinds now, and the most there ever were. */
int event_base_get_num_events(struct event_base *base, unsigned int flags);
int event_base_get_max_events(struct event_base *base, unsigned int flags, int clear);

/* Run callbacks until no event is left or somebody ends the loop. 0: ended by
 * loopexit or loopbreak, or by the flags; 1: nothing was left to wait for;
 * -1: the backend failed, or the base is running already or being freed (no effect
 * then). */
int event_base_dispatch(struct event_base *base);
int event_base_loop(struct event_base *base, int flags);

/* End the loop after `tv` (NULL: now): callbacks due in that turn still run. */
int event_base_loopexit(struct event_base *base, const struct timeval *tv);

/* End the loop after the callback that runs now; others stay active. */
int event_base_loopbreak(struct event_base *base);

/* After the callback that runs now, look for new events first. */
int event_base_loopcontinue(struct event_base *base);

/* Whether the last loop was ended by loopexit, or by loopbreak. */
int event_base_got_exit(struct event_base *base);
int event_base_got_break(struct event_base *base);

/* Priorities 0 (most urgent) to n - 1; 1 <= n < EVENT_MAX_PRIORITIES. Fails
 * while anything is active. An event's default is n / 2. */
int event_base_priority_init(struct event_base *base, int n);
int event_base_get_npriorities(struct event_base *base);

/* The time of day: inside callbacks that of the turn's wake-up. */
int event_base_gettimeofday_cached(struct event_base *base, struct timeval *tv);

/* Renew the time that callbacks see, after a long computation in one. */
int event_base_update_cache_time(struct event_base *base);

/* The monotonic clock that timers use; fresh. */
int event_gettime_monotonic(struct event_base *base, struct timeval *tv);

/* pyevent's own. The library calls `before` when the loop is about to wait in
 * the kernel and `after` when it is back; between the two other threads may
 * enter it with this base. A lock (Python's GIL is one) is given up in the
 * first and taken again in the second. A wait that cannot block may go without
 * them, for at most 20 ms. NULL, NULL removes. Not while the loop waits. */
void event_base_set_wait_hooks(struct event_base *base, void (*before)(void *arg),
                               void (*after)(void *arg), void *arg);

/* A timeval of the base's own to pass to event_add, for a duration that many
 * events have. Here it is a plain one, and passing it or a copy costs the same.
 * NULL: EINVAL for a negative one, ENOSPC after 256 different ones, ENOMEM. */
const struct timeval *event_base_init_common_timeout(struct event_base *base,
                                                     const struct timeval *duration);

/* Call `fn` for every event that is added or active, until it answers something
 * else than 0, which is the result. `fn` must not change events. */
typedef int (*event_base_foreach_event_cb)(const struct event_base *base, const struct event *ev,
                                           void *arg);
int event_base_foreach_event(struct event_base *base, event_base_foreach_event_cb fn, void *arg);

/* A line for the base and one for each event, readable, not to be parsed. */
void event_base_dump_events(struct event_base *base, FILE *output);

/* Make what waits on `fd` for one of `events` active with these bits, as if the
 * kernel had reported them; EV_TIMEOUT: those that have a timeout. */
void event_base_active_by_fd(struct event_base *base, evutil_socket_t fd, short events);

/* Make the events of a signal active, as if it had been caught once. */
void event_base_active_by_signal(struct event_base *base, int sig);

/* --- events ------------------------------------------------------------- */

/* An event on `fd` for the EV_* bits `what`: -1 and 0 for a pure timer or
 * user event (readiness of a negative one never comes), a signal number with EV_SIGNAL (which excludes READ, WRITE and
 * CLOSED). Not yet added. NULL: EINVAL or ENOMEM. Close an fd only after
 * event_del or event_free of its events. An event belongs to a number: after
 * event_del it may be added again for another file that has the number then. */
struct event *event_new(struct event_base *base, evutil_socket_t fd, short what,
                        event_callback_fn cb, void *arg);

/* The same in the caller's memory (sizeof from event2/event_struct.h). The
 * event must not be pending or active. */
int event_assign(struct event *ev, struct event_base *base, evutil_socket_t fd, short what,
                 event_callback_fn cb, void *arg);

/* Give this as `arg` to have the callback get its own event as `arg`. */
void *event_self_cbarg(void);

/* Delete, then free memory of event_new; also inside its own callback. While a
 * finalizer of it is due the memory goes after that. */
void event_free(struct event *ev);

/* Wait for the event, at most `timeout`; a negative one is 0, the next turn.
 * Inside callbacks it counts from the turn's wake-up, or from when
 * event_base_update_cache_time was last called in that turn. Again on a pending
 * event: NULL leaves its timeout, another replaces it. An edge-triggered event that
 * is added again is told of what is there, though it was told before. On
 * failure nothing has changed: EBADF or EPERM (regular file under epoll) from
 * the kernel, EINVAL, ENOMEM. */
int event_add(struct event *ev, const struct timeval *timeout);

/* No longer wait for it, and do not run it if it was active. Never blocks:
 * a callback that runs now, in another thread, ends undisturbed. */
int event_del(struct event *ev);
int event_del_noblock(struct event *ev);
int event_del_block(struct event *ev);

/* Drop the timeout, keep the rest. */
int event_remove_timer(struct event *ev);

/* Make it active with `res`, whether it is pending or not; `ncalls` matters
 * for signals. A persistent timeout that has not run out goes on as it was. */
void event_active(struct event *ev, int res, short ncalls);

/* Call `cb` once when it happens: no event to keep, none to free. EV_SIGNAL
 * and EV_PERSIST are refused. */
int event_base_once(struct event_base *base, evutil_socket_t fd, short what, event_callback_fn cb,
                    void *arg, const struct timeval *timeout);

/* Which of the bits `what` it waits for or is active with. With EV_TIMEOUT
 * among them, *tv (if not NULL) gets the time of day when it will run out. */
int event_pending(const struct event *ev, short what, struct timeval *tv);

/* The event whose callback runs now, or NULL: none runs, or one of
 * event_base_once. Its callback may have freed it meanwhile. */
struct event *event_base_get_running_event(struct event_base *base);

/* Whether event_new or event_assign was called on this memory, given that it
 * was zeroed before. */
int event_initialized(const struct event *ev);

/* Delete the event, and have `cb` called from the loop as the last thing that is
 * done with it, when no callback of it runs: then its memory may go, which
 * event_free_finalize sees to itself. It cannot be added any more, and deleting it
 * has no effect; before `cb` is called its memory is not the caller's. `flags`
 * must be 0. event_base_free calls what is still due. */
typedef void (*event_finalize_callback_fn)(struct event *ev, void *arg);
int event_finalize(unsigned flags, struct event *ev, event_finalize_callback_fn cb);
int event_free_finalize(unsigned flags, struct event *ev, event_finalize_callback_fn cb);

/* Only while it is neither pending nor active. */
int event_base_set(struct event_base *base, struct event *ev);

/* Only while it is not active. 0 <= priority < event_base_get_npriorities. */
int event_priority_set(struct event *ev, int priority);

evutil_socket_t event_get_fd(const struct event *ev);
struct event_base *event_get_base(const struct event *ev);
short event_get_events(const struct event *ev);
event_callback_fn event_get_callback(const struct event *ev);
void *event_get_callback_arg(const struct event *ev);
int event_get_priority(const struct event *ev);
void event_get_assignment(const struct event *ev, struct event_base **base, evutil_socket_t *fd,
                          short *events, event_callback_fn *callback, void **arg);
size_t event_get_struct_event_size(void);

#define evtimer_new(b, cb, arg)          event_new((b), -1, 0, (cb), (arg))
#define evtimer_assign(ev, b, cb, arg)   event_assign((ev), (b), -1, 0, (cb), (arg))
#define evtimer_add(ev, tv)              event_add((ev), (tv))
#define evtimer_del(ev)                  event_del(ev)
#define evtimer_pending(ev, tv)          event_pending((ev), EV_TIMEOUT, (tv))
#define evtimer_initialized(ev)          event_initialized(ev)
#define evsignal_new(b, s, cb, arg)      event_new((b), (s), EV_SIGNAL | EV_PERSIST, (cb), (arg))
#define evsignal_assign(ev, b, s, cb, a) event_assign((ev), (b), (s), EV_SIGNAL | EV_PERSIST, (cb), (a))
#define evsignal_add(ev, tv)             event_add((ev), (tv))
#define evsignal_del(ev)                 event_del(ev)
#define evsignal_pending(ev, tv)         event_pending((ev), EV_SIGNAL, (tv))
#define evsignal_initialized(ev)         event_initialized(ev)
#define evuser_new(b, cb, arg)           event_new((b), -1, 0, (cb), (arg))
#define evuser_del(ev)                   event_del(ev)
#define evuser_pending(ev, tv)           event_pending((ev), 0, (tv))
#define evuser_initialized(ev)           event_initialized(ev)
#define evuser_trigger(ev)               event_active((ev), 0, 0)
#define event_get_signal(ev)             ((int)event_get_fd(ev))

/* --- library ------------------------------------------------------------ */

const char *event_get_version(void);
ev_uint32_t event_get_version_number(void);

typedef void (*event_log_cb)(int severity, const char *msg);
typedef void (*event_fatal_cb)(int err);

/* Where log lines go: NULL is stderr. Without line end. */
void event_set_log_callback(event_log_cb cb);

/* Accepted for compatibility: the library never ends the process. */
void event_set_fatal_callback(event_fatal_cb cb);

/* EVENT_DBG_ALL: log debug lines also. */
void event_enable_debug_logging(ev_uint32_t which);

/* Before any other call: keep track of which memory holds an event, and refuse,
 * with a log line, to use memory that holds none, to set up a pending event again or
 * to mix edge-triggered events with others on one fd. While a base lives that has had
 * events the mode is refused, with a log line. event_debug_unassign is for events of event_assign whose memory goes. */
void event_enable_debug_mode(void);
void event_debug_unassign(struct event *ev);

/* Free what the library keeps for the whole process, after all bases. */
void libevent_global_shutdown(void);

/* Use these instead of malloc, realloc and free. Before any other call. */
void event_set_mem_functions(void *(*malloc_fn)(size_t sz), void *(*realloc_fn)(void *ptr, size_t sz),
                             void (*free_fn)(void *ptr));

#ifdef __cplusplus
}
#endif
#endif
