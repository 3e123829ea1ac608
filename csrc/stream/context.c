/* context.c - what the streams of one event base share. */
#include "stream/context.h"

#include "base/mem.h"
#include "buf/pool.h"
#include "loop/base.h"

static const char context_key; /* its address is the key */

static void orphan_all(struct pe_link *list, void (*orphan)(struct pe_link *)) {
    struct pe_link *link;

    while ((link = pe_list_pop_front(list)) != NULL)
        orphan(link);
}

static void destroy(void *value) {
    struct pe_stream_context *context = value;

    orphan_all(&context->bufferevents, pe_bev_orphan);
    orphan_all(&context->listeners, pe_listener_orphan);
    orphan_all(&context->deferrals, pe_deferral_orphan);
    orphan_all(&context->groups, pe_rate_group_orphan); /* after their members */
    pe_pool_close(context->pool);
    pe_free(PE_MEM_STREAM, context);
}

static void mend_all(struct pe_link *list, void (*mend_one)(struct pe_link *)) {
    for (struct pe_link *at = list->next; at != list; at = at->next)
        mend_one(at);
}

static void mend(void *value) {
    struct pe_stream_context *context = value;

    context->accepted_addr = NULL; /* on a stack that may not be there */
    mend_all(&context->bufferevents, pe_bev_mend);
    mend_all(&context->groups, pe_rate_group_mend);
}

struct pe_stream_context *pe_stream_context_of(struct event_base *base) {
    struct pe_stream_context *context = pe_base_extension(base, &context_key);

    if (context != NULL)
        return context;
    context = pe_calloc(PE_MEM_STREAM, 1, sizeof(*context));
    if (context == NULL)
        return NULL;
    pe_list_init(&context->bufferevents);
    pe_list_init(&context->listeners);
    pe_list_init(&context->deferrals);
    pe_list_init(&context->groups);
    context->pool = pe_pool_new();
    if (context->pool == NULL)
        goto free_context;
    if (pe_base_set_extension(base, &context_key, context, destroy) < 0)
        goto close_pool;
    pe_base_mend_extension(base, &context_key, mend);
    return context;
close_pool:
    pe_pool_close(context->pool);
free_context:
    pe_free(PE_MEM_STREAM, context);
    return NULL;
}
