/* notify.c - telling the owner and the user's callbacks what a call has changed.
 *
 * Design notes
 *   - One notice per public call, after the change, with its own counts. No
 *     callback, no notice: nothing is saved up for one that comes later.
 *   - Order: the owner's hook, then callbacks, newest first. A callback added
 *     meanwhile waits for the next change.
 *   - A callback may do anything: change the buffer (which tells, nested),
 *     remove itself or any other, free the buffer. An entry removed while
 *     someone walks over the list only loses its function; the last walker
 *     takes it out. After each call the walker asks its pe_call whether the
 *     buffer is still there and touches nothing if not.
 *   - A fork leaves the child with calls that never end, of threads that it does
 *     not have. So all buffers with callbacks are in one list, and in the child
 *     such calls are forgotten at once.
 *   - Deferred: the counts add up in the extras until the loop calls
 *     pe_evbuffer_run_deferred(); the owner's hook is never deferred.
 */
#include "buf/inner.h"

#include <pthread.h>

struct evbuffer_cb_entry {
    struct pe_link link;
    evbuffer_cb_func fn; /* NULL: removed */
    void *arg;
    ev_uint32_t flags;
};

/* --- After a fork --- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static struct pe_link all_extras = {&all_extras, &all_extras};

static void lock_all(void) {
    pthread_mutex_lock(&lock);
}

static void unlock_all(void) {
    pthread_mutex_unlock(&lock);
}

static void mend_all(void) {
    struct pe_link *at;

    for (at = all_extras.next; at != &all_extras; at = at->next)
        pe_evbuffer_mend(pe_container(at, struct pe_evbuffer_extras, of_all)->buf);
    unlock_all();
}

static void guard_fork(void) {
    pthread_atfork(lock_all, unlock_all, mend_all);
}

/* --- The extras --- */

struct pe_evbuffer_extras *pe_buf_extras(struct evbuffer *buf) {
    struct pe_evbuffer_extras *extras = buf->extras;

    if (extras != NULL)
        return extras;
    extras = pe_calloc(PE_MEM_BUFFER, 1, sizeof(*extras));
    if (extras == NULL)
        return NULL;
    pe_list_init(&extras->callbacks);
    pe_list_init(&extras->pins);
    extras->buf = buf;
    buf->extras = extras;
    pthread_once(&fork_once, guard_fork);
    lock_all();
    pe_list_push_back(&all_extras, &extras->of_all);
    unlock_all();
    return extras;
}

void pe_buf_fini_extras(struct evbuffer *buf) {
    struct pe_evbuffer_extras *extras = buf->extras;
    struct pe_link *link;

    if (extras->defer != NULL)
        extras->defer->forget(buf, extras->defer_arg);
    while ((link = pe_list_pop_front(&extras->callbacks)) != NULL)
        pe_free(PE_MEM_BUFFER, pe_container(link, struct evbuffer_cb_entry, link));
    while ((link = pe_list_pop_front(&extras->pins)) != NULL)
        pe_container(link, struct pe_pin, link)->buf = NULL;
    lock_all();
    pe_list_remove(&extras->of_all);
    unlock_all();
    buf->extras = NULL;
    pe_free(PE_MEM_BUFFER, extras);
}

/* --- Running --- */

static void sweep_removed(struct pe_evbuffer_extras *extras) {
    struct pe_link *link = extras->callbacks.next;

    while (link != &extras->callbacks) {
        struct evbuffer_cb_entry *ent = pe_container(link, struct evbuffer_cb_entry, link);

        link = link->next;
        if (ent->fn == NULL) {
            pe_list_remove(&ent->link);
            pe_free(PE_MEM_BUFFER, ent);
        }
    }
}

void pe_evbuffer_mend(struct evbuffer *buf) {
    unsigned left = pe_calls_mend(&buf->calls);
    struct pe_evbuffer_extras *extras = buf->extras;

    if (extras == NULL || extras->running <= left)
        return;
    extras->running = left; /* each of those may be walking over the list */
    if (left == 0)
        sweep_removed(extras);
}

/* Call everybody; the caller has entered `call`. False: the buffer is gone. */
static bool run_callbacks(struct evbuffer *buf, const struct pe_call *call,
                          const struct evbuffer_cb_info *info) {
    struct pe_evbuffer_extras *extras = buf->extras;
    struct pe_link *link;

    extras->running++;
    for (link = extras->callbacks.next; link != &extras->callbacks; link = link->next) {
        struct evbuffer_cb_entry *ent = pe_container(link, struct evbuffer_cb_entry, link);

        if (ent->fn == NULL || !(ent->flags & EVBUFFER_CB_ENABLED))
            continue;
        ent->fn(buf, info, ent->arg);
        if (call->gone)
            return false;
    }
    if (--extras->running == 0)
        sweep_removed(extras);
    return true;
}

static bool has_callbacks(const struct evbuffer *buf) {
    return buf->extras != NULL && !pe_list_empty(&buf->extras->callbacks);
}

static void tell_callbacks(struct evbuffer *buf, struct pe_call *call,
                           const struct evbuffer_cb_info *info) {
    struct pe_evbuffer_extras *extras = buf->extras;

    if (extras->defer == NULL) {
        (void)run_callbacks(buf, call, info);
        return;
    }
    extras->added += info->n_added;
    extras->removed += info->n_deleted;
    if (!extras->scheduled) {
        extras->scheduled = true;
        extras->defer->schedule(buf, extras->defer_arg);
    }
}

void pe_buf_tell_slowly(struct evbuffer *buf, size_t added, size_t removed) {
    const struct evbuffer_cb_info info = {buf->len + removed - added, added, removed};
    struct pe_call call;

    if (added == 0 && removed == 0)
        return;
    if (!has_callbacks(buf)) {
        if (buf->hook != NULL)
            buf->hook(buf, added, removed);
        return;
    }
    pe_call_enter(buf, &call);
    if (buf->hook != NULL)
        buf->hook(buf, added, removed);
    if (!call.gone && has_callbacks(buf))
        tell_callbacks(buf, &call, &info);
    (void)pe_call_leave(buf, &call);
}

void pe_buf_tell_moved(struct evbuffer *to, struct evbuffer *from, size_t n) {
    struct pe_call call;

    if (from->hook == NULL && from->extras == NULL) {
        pe_buf_tell(to, n, 0);
        return;
    }
    pe_call_enter(from, &call);
    pe_buf_tell(to, n, 0);
    if (!pe_call_leave(from, &call))
        pe_buf_tell(from, 0, n);
}

/* --- Entries --- */

struct evbuffer_cb_entry *evbuffer_add_cb(struct evbuffer *buffer, evbuffer_cb_func cb,
                                          void *cbarg) {
    struct pe_evbuffer_extras *extras;
    struct evbuffer_cb_entry *ent;

    if (cb == NULL) {
        errno = EINVAL;
        return NULL;
    }
    extras = pe_buf_extras(buffer);
    ent = extras != NULL ? pe_malloc(PE_MEM_BUFFER, sizeof(*ent)) : NULL;
    if (ent == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    ent->fn = cb;
    ent->arg = cbarg;
    ent->flags = EVBUFFER_CB_ENABLED;
    pe_list_init(&ent->link);
    pe_list_push_front(&extras->callbacks, &ent->link);
    return ent;
}

int evbuffer_remove_cb_entry(struct evbuffer *buffer, struct evbuffer_cb_entry *ent) {
    if (buffer->extras->running > 0) {
        ent->fn = NULL;
        return 0;
    }
    pe_list_remove(&ent->link);
    pe_free(PE_MEM_BUFFER, ent);
    return 0;
}

int evbuffer_remove_cb(struct evbuffer *buffer, evbuffer_cb_func cb, void *cbarg) {
    struct pe_link *link;

    if (buffer->extras == NULL || cb == NULL)
        return pe_fail(-ENOENT);
    for (link = buffer->extras->callbacks.next; link != &buffer->extras->callbacks;
         link = link->next) {
        struct evbuffer_cb_entry *ent = pe_container(link, struct evbuffer_cb_entry, link);

        if (ent->fn == cb && ent->arg == cbarg)
            return evbuffer_remove_cb_entry(buffer, ent);
    }
    return pe_fail(-ENOENT);
}

int evbuffer_cb_set_flags(struct evbuffer *buffer, struct evbuffer_cb_entry *cb,
                          ev_uint32_t flags) {
    (void)buffer;
    cb->flags |= flags & EVBUFFER_CB_ENABLED;
    return 0;
}

int evbuffer_cb_clear_flags(struct evbuffer *buffer, struct evbuffer_cb_entry *cb,
                            ev_uint32_t flags) {
    (void)buffer;
    cb->flags &= ~(flags & EVBUFFER_CB_ENABLED);
    return 0;
}

/* --- Deferral --- */

int pe_evbuffer_set_defer(struct evbuffer *buf, const struct pe_defer_ops *ops, void *arg) {
    struct pe_evbuffer_extras *extras = pe_buf_extras(buf);

    if (extras == NULL)
        return -ENOMEM;
    if (extras->defer != NULL)
        extras->defer->forget(buf, extras->defer_arg);
    extras->defer = ops;
    extras->defer_arg = arg;
    if (extras->scheduled) {
        if (ops != NULL)
            ops->schedule(buf, arg);
        else
            pe_evbuffer_run_deferred(buf);
    }
    return 0;
}

void *pe_evbuffer_defer_arg(struct evbuffer *buf) {
    return buf->extras != NULL && buf->extras->defer != NULL ? buf->extras->defer_arg : NULL;
}

void pe_evbuffer_run_deferred(struct evbuffer *buf) {
    struct pe_evbuffer_extras *extras = buf->extras;
    struct evbuffer_cb_info info;
    struct pe_call call;

    if (extras == NULL || !extras->scheduled)
        return;
    extras->scheduled = false;
    info.n_added = extras->added;
    info.n_deleted = extras->removed;
    info.orig_size = buf->len + extras->removed - extras->added;
    extras->added = extras->removed = 0;
    pe_call_enter(buf, &call);
    (void)run_callbacks(buf, &call, &info);
    (void)pe_call_leave(buf, &call);
}
