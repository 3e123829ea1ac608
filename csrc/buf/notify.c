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
 *   - Deferred: the counts add up in the rare part until the loop calls
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
static struct pe_link all_rare = {&all_rare, &all_rare};

static void lock_all(void) {
    pthread_mutex_lock(&lock);
}

static void unlock_all(void) {
    pthread_mutex_unlock(&lock);
}

static void mend_all(void) {
    struct pe_link *at;

    for (at = all_rare.next; at != &all_rare; at = at->next)
        pe_evbuffer_mend(pe_container(at, struct pe_evbuffer_rare, of_all)->buf);
    unlock_all();
}

static void guard_fork(void) {
    pthread_atfork(lock_all, unlock_all, mend_all);
}

/* --- The rare part --- */

struct pe_evbuffer_rare *pe_buf_rare(struct evbuffer *buf) {
    struct pe_evbuffer_rare *rare = buf->rare;

    if (rare != NULL)
        return rare;
    rare = pe_calloc(PE_MEM_BUFFER, 1, sizeof(*rare));
    if (rare == NULL)
        return NULL;
    pe_list_init(&rare->callbacks);
    pe_list_init(&rare->pins);
    rare->buf = buf;
    buf->rare = rare;
    pthread_once(&fork_once, guard_fork);
    lock_all();
    pe_list_push_back(&all_rare, &rare->of_all);
    unlock_all();
    return rare;
}

void pe_buf_fini_rare(struct evbuffer *buf) {
    struct pe_evbuffer_rare *rare = buf->rare;
    struct pe_link *link;

    if (rare->defer != NULL)
        rare->defer->forget(buf, rare->defer_arg);
    while ((link = pe_list_pop_front(&rare->callbacks)) != NULL)
        pe_free(PE_MEM_BUFFER, pe_container(link, struct evbuffer_cb_entry, link));
    while ((link = pe_list_pop_front(&rare->pins)) != NULL)
        pe_container(link, struct pe_pin, link)->buf = NULL;
    lock_all();
    pe_list_remove(&rare->of_all);
    unlock_all();
    buf->rare = NULL;
    pe_free(PE_MEM_BUFFER, rare);
}

/* --- Running --- */

static void sweep_removed(struct pe_evbuffer_rare *rare) {
    struct pe_link *link = rare->callbacks.next;

    while (link != &rare->callbacks) {
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
    struct pe_evbuffer_rare *rare = buf->rare;

    if (rare == NULL || rare->running <= left)
        return;
    rare->running = left; /* each of those may be walking over the list */
    if (left == 0)
        sweep_removed(rare);
}

/* Call everybody; the caller has entered `call`. False: the buffer is gone. */
static bool run_callbacks(struct evbuffer *buf, const struct pe_call *call,
                          const struct evbuffer_cb_info *info) {
    struct pe_evbuffer_rare *rare = buf->rare;
    struct pe_link *link;

    rare->running++;
    for (link = rare->callbacks.next; link != &rare->callbacks; link = link->next) {
        struct evbuffer_cb_entry *ent = pe_container(link, struct evbuffer_cb_entry, link);

        if (ent->fn == NULL || !(ent->flags & EVBUFFER_CB_ENABLED))
            continue;
        ent->fn(buf, info, ent->arg);
        if (call->gone)
            return false;
    }
    if (--rare->running == 0)
        sweep_removed(rare);
    return true;
}

static bool has_callbacks(const struct evbuffer *buf) {
    return buf->rare != NULL && !pe_list_empty(&buf->rare->callbacks);
}

static void tell_callbacks(struct evbuffer *buf, struct pe_call *call,
                           const struct evbuffer_cb_info *info) {
    struct pe_evbuffer_rare *rare = buf->rare;

    if (rare->defer == NULL) {
        (void)run_callbacks(buf, call, info);
        return;
    }
    rare->added += info->n_added;
    rare->removed += info->n_deleted;
    if (!rare->scheduled) {
        rare->scheduled = true;
        rare->defer->schedule(buf, rare->defer_arg);
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

    if (from->hook == NULL && from->rare == NULL) {
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
    struct pe_evbuffer_rare *rare;
    struct evbuffer_cb_entry *ent;

    if (cb == NULL) {
        errno = EINVAL;
        return NULL;
    }
    rare = pe_buf_rare(buffer);
    ent = rare != NULL ? pe_malloc(PE_MEM_BUFFER, sizeof(*ent)) : NULL;
    if (ent == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    ent->fn = cb;
    ent->arg = cbarg;
    ent->flags = EVBUFFER_CB_ENABLED;
    pe_list_init(&ent->link);
    pe_list_push_front(&rare->callbacks, &ent->link);
    return ent;
}

int evbuffer_remove_cb_entry(struct evbuffer *buffer, struct evbuffer_cb_entry *ent) {
    if (buffer->rare->running > 0) {
        ent->fn = NULL;
        return 0;
    }
    pe_list_remove(&ent->link);
    pe_free(PE_MEM_BUFFER, ent);
    return 0;
}

int evbuffer_remove_cb(struct evbuffer *buffer, evbuffer_cb_func cb, void *cbarg) {
    struct pe_link *link;

    if (buffer->rare == NULL || cb == NULL)
        return pe_fail(-ENOENT);
    for (link = buffer->rare->callbacks.next; link != &buffer->rare->callbacks;
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
    struct pe_evbuffer_rare *rare = pe_buf_rare(buf);

    if (rare == NULL)
        return -ENOMEM;
    if (rare->defer != NULL)
        rare->defer->forget(buf, rare->defer_arg);
    rare->defer = ops;
    rare->defer_arg = arg;
    if (rare->scheduled) {
        if (ops != NULL)
            ops->schedule(buf, arg);
        else
            pe_evbuffer_run_deferred(buf);
    }
    return 0;
}

void *pe_evbuffer_defer_arg(struct evbuffer *buf) {
    return buf->rare != NULL && buf->rare->defer != NULL ? buf->rare->defer_arg : NULL;
}

void pe_evbuffer_run_deferred(struct evbuffer *buf) {
    struct pe_evbuffer_rare *rare = buf->rare;
    struct evbuffer_cb_info info;
    struct pe_call call;

    if (rare == NULL || !rare->scheduled)
        return;
    rare->scheduled = false;
    info.n_added = rare->added;
    info.n_deleted = rare->removed;
    info.orig_size = buf->len + rare->removed - rare->added;
    rare->added = rare->removed = 0;
    pe_call_enter(buf, &call);
    (void)run_callbacks(buf, &call, &info);
    (void)pe_call_leave(buf, &call);
}
