/* watch.c - prepare and check watchers.
 *
 * One list per kind. While a list is run, a marker of the base stands in it
 * behind the watcher that is being called, so that any watcher may be freed,
 * or made, in any callback: those made in a run are first called in the next.
 */
#include "event2/watch.h"

#include <errno.h>

#include "base/clock.h"
#include "loop/internal.h"
#include "loop/watch.h"

struct evwatch {
    struct pe_link link;
    struct event_base *base;
    evwatch_prepare_cb prepare; /* or */
    evwatch_check_cb check;
    void *arg;
    uint64_t born; /* the run in which it was made: not called in that one */
};

struct evwatch_prepare_cb_info {
    int64_t timeout_ns;
};

struct evwatch_check_cb_info {
    char nothing;
};

static struct evwatch *watch_new(struct event_base *base, struct pe_link *list) {
    struct evwatch *watch = pe_calloc(PE_MEM_EVENT, 1, sizeof(*watch));

    if (watch == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    watch->base = base;
    watch->born = base->watcher_run;
    pe_list_push_back(list, &watch->link);
    return watch;
}

struct evwatch *evwatch_prepare_new(struct event_base *base, evwatch_prepare_cb callback,
                                    void *arg) {
    struct evwatch *watch = watch_new(base, &base->prepare_watchers);

    if (watch != NULL) {
        watch->prepare = callback;
        watch->arg = arg;
    }
    return watch;
}

struct evwatch *evwatch_check_new(struct event_base *base, evwatch_check_cb callback, void *arg) {
    struct evwatch *watch = watch_new(base, &base->check_watchers);

    if (watch != NULL) {
        watch->check = callback;
        watch->arg = arg;
    }
    return watch;
}

struct event_base *evwatch_base(struct evwatch *watch) {
    return watch->base;
}

void evwatch_free(struct evwatch *watch) {
    if (watch == NULL)
        return;
    pe_list_remove(&watch->link);
    pe_free(PE_MEM_EVENT, watch);
}

int evwatch_prepare_get_timeout(const struct evwatch_prepare_cb_info *info,
                                struct timeval *timeout) {
    if (info->timeout_ns < 0)
        return 0;
    pe_ns_to_timeval(info->timeout_ns, timeout);
    return 1;
}

static void call(struct evwatch *watch, int64_t timeout_ns) {
    struct evwatch_prepare_cb_info prepare_info = {.timeout_ns = timeout_ns};
    struct evwatch_check_cb_info check_info = {0};

    if (watch->prepare != NULL)
        watch->prepare(watch, &prepare_info, watch->arg);
    else
        watch->check(watch, &check_info, watch->arg);
}

static void run(struct event_base *base, struct pe_link *list, int64_t timeout_ns) {
    struct pe_link *marker = &base->watcher_marker;

    base->watcher_run++;
    pe_list_init(marker);
    pe_list_push_front(list, marker);
    while (marker->next != list) {
        struct evwatch *watch = pe_container(marker->next, struct evwatch, link);

        pe_list_remove(marker);
        pe_list_insert_after(&watch->link, marker);
        if (watch->born != base->watcher_run)
            call(watch, timeout_ns); /* which may free it */
    }
    pe_list_remove(marker);
}

void pe_watchers_run_prepare(struct event_base *base, int64_t timeout_ns) {
    if (!pe_list_empty(&base->prepare_watchers))
        run(base, &base->prepare_watchers, timeout_ns);
}

void pe_watchers_run_check(struct event_base *base) {
    if (!pe_list_empty(&base->check_watchers))
        run(base, &base->check_watchers, 0);
}

void pe_watchers_close(struct event_base *base) {
    struct pe_link *link;

    while ((link = pe_list_pop_front(&base->prepare_watchers)) != NULL ||
           (link = pe_list_pop_front(&base->check_watchers)) != NULL)
        pe_free(PE_MEM_EVENT, pe_container(link, struct evwatch, link));
}
