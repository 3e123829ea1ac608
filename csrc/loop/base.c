/* base.c - the life of an event_base, and what can be asked of it. */
#include "loop/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/errors.h"
#include "base/log.h"
#include "loop/config.h"
#include "loop/debug.h"
#include "loop/stats.h"
#include "loop/watch.h"

/* The first backend that is allowed and opens. */
static int open_backend(struct event_base *base, const struct event_config *cfg) {
    int err = -EINVAL;

    for (int i = 0; pe_backends[i] != NULL; i++) {
        if (!pe_config_allows(cfg, pe_backends[i]))
            continue;
        base->backend.ops = pe_backends[i];
        err = pe_backends[i]->open(&base->backend);
        if (err == 0)
            return 0;
    }
    return err;
}

static void init_plain(struct event_base *base, const struct event_config *cfg) {
    pe_list_init(&base->later);
    pe_list_init(&base->flush);
    pe_list_init(&base->flushing);
    pe_list_init(&base->watcher_marker);
    pe_list_init(&base->once);
    pe_list_init(&base->unwatched);
    pe_list_init(&base->prepare_watchers);
    pe_list_init(&base->check_watchers);
    pe_list_init(&base->all_bases);
    pe_heap_init(&base->timers);
    base->wake_fds[0] = base->wake_fds[1] = -1;
    base->selfpipe_fds[0] = base->selfpipe_fds[1] = -1;
    base->max_interval = cfg->max_interval;
    base->max_callbacks = cfg->max_callbacks;
    base->limited_from = cfg->limited_from;
    base->keeps_fresh_time = (cfg->flags & EVENT_BASE_FLAG_NO_CACHE_TIME) != 0;
}

struct event_base *event_base_new_with_config(const struct event_config *cfg) {
    struct event_base *base = pe_calloc(PE_MEM_BASE, 1, sizeof(*base));
    int err = -ENOMEM;

    if (base == NULL)
        goto fail;
    if (cfg == NULL)
        cfg = &pe_config_default;
    init_plain(base, cfg);
    err = pe_queues_open(base, 1);
    if (err < 0)
        goto free_base;
    err = open_backend(base, cfg);
    if (err < 0)
        goto close_queues;
    err = pe_iomap_open(base);
    if (err < 0)
        goto close_backend;
    err = pe_wake_open(base);
    if (err < 0)
        goto close_iomap;
    pe_bases_add(base);
    if (getenv("EVENT_SHOW_METHOD") != NULL && !(cfg->flags & EVENT_BASE_FLAG_IGNORE_ENV))
        pe_log_msg("pyevent using: %s", base->backend.ops->name);
    return base;
close_iomap:
    pe_iomap_close(base);
close_backend:
    base->backend.ops->close(&base->backend);
close_queues:
    pe_queues_close(base);
free_base:
    pe_free(PE_MEM_BASE, base);
fail:
    errno = -err;
    return NULL;
}

struct event_base *event_base_new(void) {
    return event_base_new_with_config(NULL);
}

static void free_extensions(struct event_base *base) {
    while (base->extensions != NULL) {
        struct pe_extension *ext = base->extensions;

        base->extensions = ext->next;
        ext->destroy(ext->value);
        pe_free(PE_MEM_BASE, ext);
    }
}

/* Whether it is neither running nor being freed; then nobody else may begin. */
static bool begin_to_close(struct event_base *base) {
    if (base->is_running || base->is_closing) {
        pe_log_warn("event_base_free: base %p is %s and was not freed", (void *)base,
                    base->is_running ? "running" : "being freed");
        return false;
    }
    base->is_closing = true;
    base->runner = pthread_self();
    return true;
}

static void free_base(struct event_base *base) {
    pe_bases_remove(base);
    if (base->has_events)
        pe_debug_count_base(-1);
    pe_timers_close(base);
    pe_queues_take_later(base);
    pe_signals_detach_fd(base);
    pe_signals_close(base);
    pe_wake_close(base);
    pe_iomap_close(base);
    pe_event_forget_unwatched(base);
    pe_event_free_once(base);
    free_extensions(base);
    pe_watchers_close(base);
    pe_common_timeouts_close(base);
    pe_free(PE_MEM_BASE, base->stats);
    pe_queues_close(base);
    if (base->backend.state != NULL)
        base->backend.ops->close(&base->backend);
    pe_free(PE_MEM_BASE, base);
}

void event_base_free_nofinalize(struct event_base *base) {
    if (base != NULL && begin_to_close(base))
        free_base(base);
}

void event_base_free(struct event_base *base) {
    if (base == NULL || !begin_to_close(base))
        return;
    pe_queues_finalize(base); /* which calls out */
    free_base(base);
}

void libevent_global_shutdown(void) {
    pe_debug_shutdown();
}

void *pe_base_extension(struct event_base *base, const void *key) {
    for (struct pe_extension *ext = base->extensions; ext != NULL; ext = ext->next) {
        if (ext->key == key)
            return ext->value;
    }
    return NULL;
}

int pe_base_set_extension(struct event_base *base, const void *key, void *value,
                          void (*destroy)(void *value)) {
    struct pe_extension *ext = pe_malloc(PE_MEM_BASE, sizeof(*ext));

    if (ext == NULL)
        return -ENOMEM;
    ext->next = base->extensions;
    ext->key = key;
    ext->value = value;
    ext->destroy = destroy;
    ext->mend = NULL;
    base->extensions = ext;
    return 0;
}

void pe_base_mend_extension(struct event_base *base, const void *key, void (*mend)(void *value)) {
    for (struct pe_extension *ext = base->extensions; ext != NULL; ext = ext->next) {
        if (ext->key == key)
            ext->mend = mend;
    }
}

/* --- priorities ------------------------------------------------------------- */

int event_base_priority_init(struct event_base *base, int n) {
    int err;

    if (n < 1 || n >= EVENT_MAX_PRIORITIES || base->active_count != 0 ||
        !pe_list_empty(&base->later) || base->running_pri < base->queue_count)
        return pe_fail(-EINVAL);
    if (n == base->queue_count)
        return 0;
    err = pe_queues_open(base, n);
    return err < 0 ? pe_fail(err) : 0;
}

int event_base_get_npriorities(struct event_base *base) {
    return base->queue_count;
}

/* --- asking ----------------------------------------------------------------- */

const char *event_base_get_method(const struct event_base *base) {
    return base->backend.ops->name;
}

const char *event_base_get_signal_method(const struct event_base *base) {
    (void)base;
    return "sigaction";
}

int event_base_get_features(const struct event_base *base) {
    return (int)(base->backend.ops->features & (EV_FEATURE_ET | EV_FEATURE_O1 | EV_FEATURE_FDS |
                                                EV_FEATURE_EARLY_CLOSE));
}

int event_base_get_num_events(struct event_base *base, unsigned int flags) {
    int n = 0;

    if (flags & EVENT_BASE_COUNT_ACTIVE)
        n += base->active_count;
    if (flags & EVENT_BASE_COUNT_VIRTUAL)
        n += base->virtual_count;
    if (flags & EVENT_BASE_COUNT_ADDED)
        n += pe_base_added_count(base);
    return n;
}

int event_base_get_max_events(struct event_base *base, unsigned int flags, int clear) {
    int n = 0;

    if (flags & EVENT_BASE_COUNT_ACTIVE)
        n += base->max_active;
    if (flags & EVENT_BASE_COUNT_VIRTUAL)
        n += base->max_virtual;
    if (flags & EVENT_BASE_COUNT_ADDED)
        n += base->max_added;
    if (!clear)
        return n;
    if (flags & EVENT_BASE_COUNT_ACTIVE)
        base->max_active = 0;
    if (flags & EVENT_BASE_COUNT_VIRTUAL)
        base->max_virtual = 0;
    if (flags & EVENT_BASE_COUNT_ADDED)
        base->max_added = 0;
    return n;
}

void pe_base_add_virtual(struct event_base *base) {
    if (++base->virtual_count > base->max_virtual)
        base->max_virtual = base->virtual_count;
}

void pe_base_del_virtual(struct event_base *base) {
    base->virtual_count--;
    if (base->is_waiting)
        pe_base_wake(base); /* it may have nothing left to wait for */
}

bool pe_base_is_running(const struct event_base *base) {
    return base->is_running;
}

bool pe_base_is_breaking(const struct event_base *base) {
    return base->is_running && base->wants_break;
}

/* --- time ------------------------------------------------------------------- */

int64_t pe_base_now(struct event_base *base) {
    if (base->now != 0)
        return base->now;
    if (!base->is_running || base->is_waiting || base->keeps_fresh_time)
        return pe_clock_now();
    return base->now = pe_clock_now();
}

int event_base_gettimeofday_cached(struct event_base *base, struct timeval *tv) {
    int64_t now = base != NULL ? base->now : 0;

    if (tv == NULL)
        return 0; /* as gettimeofday(2) */
    if (now == 0 && base != NULL && base->is_running && !base->is_waiting &&
        !base->keeps_fresh_time)
        now = pe_base_now(base);
    if (now == 0) { /* there is no turn that has a time */
        pe_time_to_timeval(pe_clock_wall(), tv);
        return 0;
    }
    if (now != base->wall_now) { /* two readings would not quite agree */
        base->wall = pe_clock_wall_at(now);
        base->wall_now = now;
    }
    pe_time_to_timeval(base->wall, tv);
    return 0;
}

int event_base_update_cache_time(struct event_base *base) {
    if (base == NULL)
        return pe_fail(-EINVAL);
    base->now = 0;
    return 0;
}

int event_gettime_monotonic(struct event_base *base, struct timeval *tv) {
    if (base == NULL || tv == NULL)
        return pe_fail(-EINVAL);
    pe_time_to_timeval(pe_clock_now(), tv);
    return 0;
}

/* --- library ---------------------------------------------------------------- */

const char *event_get_version(void) {
    return LIBEVENT_VERSION;
}

ev_uint32_t event_get_version_number(void) {
    return LIBEVENT_VERSION_NUMBER;
}
