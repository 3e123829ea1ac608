/* defer.c - evbuffer callbacks that run from the loop.
 *
 * The buffer does not know the loop and the loop does not know buffers, so what
 * brings them together stands here: a task per deferred buffer, which the
 * buffer frees (`forget`) when it goes or is deferred anew.
 */
#include <errno.h>

#include "base/errors.h"
#include "base/list.h"
#include "base/mem.h"
#include "buf/evbuffer.h"
#include "loop/base.h"
#include "stream/context.h"

struct deferral {
    struct pe_task task;
    struct pe_link of_base;  /* in struct pe_stream_context */
    struct event_base *base; /* NULL: it was freed, nothing runs any more */
    struct evbuffer *buf;
};

static void run_deferral(struct event_base *base, struct pe_task *task) {
    (void)base;
    pe_evbuffer_run_deferred(pe_container(task, struct deferral, task)->buf);
}

static void schedule(struct evbuffer *buf, void *arg) {
    struct deferral *d = arg;

    (void)buf;
    if (d->base != NULL)
        pe_task_activate(d->base, &d->task, 0);
}

static void forget(struct evbuffer *buf, void *arg) {
    struct deferral *d = arg;

    (void)buf;
    if (d->base != NULL)
        pe_task_cancel(d->base, &d->task);
    pe_list_remove(&d->of_base);
    pe_free(PE_MEM_STREAM, d);
}

static const struct pe_defer_ops defer_ops = {schedule, forget};

void pe_deferral_orphan(struct pe_link *of_base) {
    pe_container(of_base, struct deferral, of_base)->base = NULL;
}

int evbuffer_defer_callbacks(struct evbuffer *buffer, struct event_base *base) {
    struct pe_stream_context *context;
    struct deferral *d;
    int err;

    if (base == NULL)
        return pe_fail(-EINVAL);
    context = pe_stream_context_of(base);
    d = context != NULL ? pe_malloc(PE_MEM_STREAM, sizeof(*d)) : NULL;
    if (d == NULL)
        return pe_fail(-ENOMEM);
    pe_task_init(&d->task, run_deferral, event_base_get_npriorities(base) / 2);
    d->base = base;
    d->buf = buffer;
    pe_list_init(&d->of_base);
    err = pe_evbuffer_set_defer(buffer, &defer_ops, d);
    if (err < 0) {
        pe_free(PE_MEM_STREAM, d);
        return pe_fail(err);
    }
    pe_list_push_back(&context->deferrals, &d->of_base);
    return 0;
}
