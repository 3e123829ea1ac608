/* event2/watch.h - callbacks before and after each wait of a loop.
 *
 * A prepare watcher runs right before the loop asks the kernel for events, a
 * check watcher right after, before any event's callback. With them a program
 * embeds another source of events, or measures the loop.
 *
 * Watchers do not keep a loop alive. Those of one kind run in the order in
 * which they were made; they may be freed in their own callback.
 */
#ifndef EVENT2_WATCH_H
#define EVENT2_WATCH_H

#include <sys/time.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;
struct evwatch;
struct evwatch_prepare_cb_info;
struct evwatch_check_cb_info;

typedef void (*evwatch_prepare_cb)(struct evwatch *watch,
                                   const struct evwatch_prepare_cb_info *info, void *arg);
typedef void (*evwatch_check_cb)(struct evwatch *watch, const struct evwatch_check_cb_info *info,
                                 void *arg);

/* Until freed, or until the base is freed, which frees it too. NULL: ENOMEM. */
struct evwatch *evwatch_prepare_new(struct event_base *base, evwatch_prepare_cb callback,
                                    void *arg);
struct evwatch *evwatch_check_new(struct event_base *base, evwatch_check_cb callback, void *arg);

struct event_base *evwatch_base(struct evwatch *watch);
void evwatch_free(struct evwatch *watch);

/* How long the loop is about to wait. 1 and *timeout, or 0: without limit. */
int evwatch_prepare_get_timeout(const struct evwatch_prepare_cb_info *info,
                                struct timeval *timeout);

#ifdef __cplusplus
}
#endif
#endif
